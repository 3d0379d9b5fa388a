"""How a lesson opens: with what its figures depend on, and a question on the lesson before."""

from IPython import get_ipython

from i2pemd_lite.course import exercises
from i2pemd_lite.course.ask import judge
from i2pemd_lite.course.ask.question import Choice
from i2pemd_lite.panels.engine import lesson


class Recall(Choice):
    """The question on the lesson `number`, as its file of exercises has it (`exercises.Recall`)."""

    title = "Do you remember?"

    def __init__(self, number: str):
        asked = exercises.recall(number)
        self._tempts = asked.choices
        (answer,) = (choice for choice, why in asked.choices.items() if not why)
        super().__init__(f"p{number}r", asked.question, list(asked.choices), answer, asked.because)

    def tempts(self):
        return self._tempts


def start(seed: int = 0, after: str | None = None) -> Recall | None:
    """Seed everything, say under what the lesson's figures are made, and ask a question on the lesson `after` which it
    comes, such as "02"; from then on a check of a function that is not there says so on a card."""
    lesson.start(seed)
    if shell := get_ipython():
        shell.set_custom_exc((NameError,), judge.skipped)
    return Recall(after) if after else None
