"""Predict, commit, reveal: a question that is answered before its result is drawn.

The learner picks a choice, a number or a curve, says how sure they are, and commits. Only then is the truth computed,
laid over the learner's, and the result shown. Each commitment goes into the journal (`progress.py`), which keeps score
of how well stated confidence and hits agree. Without a learner (`headless`) the key is committed.
"""

import ipywidgets as widgets

from i2pemd_lite.course.ask.curve import Sketch
from i2pemd_lite.course.ask.number import Estimate
from i2pemd_lite.course.ask.question import Question
from i2pemd_lite.course.record.progress import headless
from i2pemd_lite.files import BadInput


class Choice(Question):
    """One of several choices.

    Example
    -------
    >>> question = Choice("p01a", "What is the exact cost of x = 0?", ["0", "1"], "0", "Nothing is carried.")
    >>> question.judge("1", "0")
    (False, 'Not so: the answer is “0”.')
    """

    missing = "Pick one first: a wrong guess teaches more than none."

    def __init__(self, name, question, choices, answer, because, reveal=None):
        choices = list(choices) if isinstance(choices, list | tuple) else choices
        fine = isinstance(choices, list) and len(choices) > 1 and all(isinstance(c, str) and c for c in choices)
        if not fine or len(set(choices)) < len(choices):
            raise BadInput(f"{name}, choices: expected a list of two or more different texts, found {choices!r}")
        self.radio = widgets.RadioButtons(options=choices, value=None, layout={"width": "max-content"})
        super().__init__(name, question, answer, because, reveal, 1 / len(choices), [self.radio], choices)
        self.radio.observe(self._changed, "value")

    def value(self):
        return self.radio.value

    def truth_of(self, answer):
        if answer not in self.radio.options:
            raise BadInput(f"{self.name}, answer: expected one of {list(self.radio.options)}, found {answer!r}")
        return answer

    def judge(self, value, truth):
        return value == truth, "Right." if value == truth else f"Not so: the answer is “{truth}”."

    def key(self, truth):
        self.radio.value = truth
        return truth

    def freeze(self):
        self.radio.disabled = True


def _asked(made):
    if headless():
        made.commit(by="key")
    return made


def predict(name, question, choices, answer, because, reveal=None):
    """Ask for one of `choices`, and how sure the learner is of it.

    Parameters
    ----------
    name : of the prediction, p and the lesson and a letter: "p02a"
    question : text
    choices : two or more different texts
    answer : the right one, or a function without arguments that computes it; it is called only at the commitment
    because : the sentence that follows the verdict
    reveal : None, or a function without arguments; the panel, widget or printable value that it returns is shown below
    """
    return _asked(Choice(name, question, choices, answer, because, reveal))


def estimate(name, question, answer, because, low, high, unit="", within=None, reveal=None):
    """Ask for a number from `low` to `high`; it is right within `within` of the truth (None: a tenth of the range).

    The other parameters are those of `predict`.
    """
    return _asked(Estimate(name, question, answer, because, low, high, unit, within, reveal))


def sketch(name, question, x, answer, because, xlabel, ylabel, low, high, within=None, reveal=None):
    """Ask for a curve over the places `x`, with heights from `low` to `high`.

    Parameters
    ----------
    answer : the heights at `x`, or a function without arguments that computes them; it is called only at the commitment
    within : the mean distance from the truth that is right; a tenth of the range when None

    The other parameters are those of `predict`.
    """
    return _asked(Sketch(name, question, x, answer, because, xlabel, ylabel, low, high, within, reveal))
