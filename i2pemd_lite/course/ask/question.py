"""Predict, commit, reveal: a question that is answered before its result is drawn.

The learner picks a choice, a number (`number.py`) or a curve (`curve.py`), says how sure they are, and commits. Only
then is the truth computed, laid over the learner's, and the result shown. Who was wrong reads why that answer tempts,
where the exercises' file of the lesson has a sentence for it. Each commitment goes into the journal (`progress.py`),
which keeps score of how well stated confidence and hits agree.
"""

import math
import os
import re
from collections.abc import Callable, Sequence
from html import escape
from numbers import Real
from typing import Any

import ipywidgets as widgets

from i2pemd_lite.course import exercises
from i2pemd_lite.course.ask.feedback import card, status
from i2pemd_lite.course.record import progress
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.engine import still
from i2pemd_lite.panels.engine.panel import Panel, alert, grid, note_shown, steps

ANSWER = "<details><summary>The answer</summary>"  # how it begins on a page
REVEALED = "<!-- revealed -->"  # how what it reveals begins
AGAIN = "You have committed to this before: your first answer is the one that counts."


class Question(widgets.VBox):
    """A question to commit to before the truth is computed; where no learner is there to answer, the key is committed.

    A kind gives `body` (its widgets, of which `inputs` take the answer), `options` (what can be answered, in words),
    `missing` (what is said where nothing is answered), `value()` (what is answered; None while it is not),
    `truth_of(answer)` (the checked truth), `judge(value, truth)` -> (hit, what is said), `known(truth)` (what is said
    where nobody answered), `key(truth)` (puts the truth in as the answer), `like(value, truth)` (what a wrong answer is
    called in `tempts()`), and perhaps `show()` (what it draws after the commitment) and an `image`.

    After the commitment it has `committed`, `truth`, `hit`, `verdict` and `revealed`, what `reveal()` returned.
    """

    image = committed = truth = hit = revealed = None
    title, verdict = "Predict.", ""

    def __init__(
        self, name: str, question: str, answer: Any, because: str, reveal: Callable[[], Any] | None, chance: float,
        body: list, options: list[str], inputs: list
    ):  # fmt: skip
        demand_text(name=name, question=question, because=because)
        if not re.fullmatch(r"p\d\d[a-z]", name):
            raise BadInput(f"name: expected p, the lesson's two digits and a letter, as in p02a; found {name!r}")
        if reveal is not None and not callable(reveal):
            raise BadInput(f"{name}, reveal: expected a function without arguments, found {type(reveal).__name__}")
        self.name, self.question, self.because, self.reveal, self.chance = name, question, because, reveal, chance
        self.options, self.inputs, self._answer = options, inputs, answer if callable(answer) else lambda: answer
        levels = [(f"{100 * chance:.0f} %", chance)]
        levels += [(f"{p} %", p / 100) for p in range(10, 100, 10) if p / 100 > chance + 0.02] + [("100 %", 1.0)]
        lowest = f"{levels[0][0]} if you {'only guess' if chance else 'have no idea'}"
        self.confidence = steps(f"how sure? ({lowest})", levels, chance)
        self.button = widgets.Button(description="Commit", tooltip="Commit to the answer and see the truth")
        self.button.on_click(lambda _: self.commit())
        self.feedback = widgets.HTML()
        title = widgets.HTML(f'<p style="margin:0;line-height:1.4"><b>{self.title}</b> {escape(question)}</p>')
        super().__init__([title, *body, grid([self.confidence]), self.button, self.feedback])
        self.add_class("i2pemd-question")
        if not callable(answer):
            self.truth_of(answer)  # a wrong key is told when the question is made
        if progress.headless():
            self.commit(by="key")

    def commit(self, by: str = "learner") -> None:
        """Take the answer as final, say whether it is right and why, and reveal the result.

        What the key or the revelation raises stands under the question; it is raised when `I2PEMD_STRICT` is 1.
        """
        if self.verdict:
            return
        value = self.value()
        if value is None and by == "learner":
            self.feedback.value = status(self.missing)
            return
        try:
            truth = self.truth_of(self._answer())
        except Exception as error:
            return self._report("The truth could not be computed.", error)
        if by == "key":
            value = self.key(truth)
        again = by == "learner" and self.name in progress.predictions()
        self.committed, self.truth = value, truth
        self.hit, said = self.judge(value, truth)
        said = self.known(truth) if by == "key" else said
        why = "" if self.hit else self.tempts().get(self.like(value, truth))
        told = [words for words in (said, why, self.because) if words]
        self.verdict = " ".join(told)
        self.feedback.value = card(self.hit, *told, AGAIN * again)
        for each in (*self.inputs, self.confidence, self.button):
            each.disabled = True
        self.show()
        sure = self.confidence.value if by == "learner" else None
        progress.record("prediction", self.name, value=value, confidence=sure, chance=self.chance, hit=self.hit, by=by)
        try:
            self.revealed = self.reveal and self.reveal()
        except Exception as error:
            return self._report("The result could not be shown.", error)
        if isinstance(self.revealed, Panel):
            note_shown(self.revealed)
        if self.revealed is not None:
            is_widget = isinstance(self.revealed, widgets.Widget)
            self.children = [*self.children, self.revealed if is_widget else widgets.HTML(_fallback(self.revealed))]

    def tempts(self) -> dict[str, str]:
        """{what a wrong answer is called: why it tempts}."""
        return exercises.tempts(self.name)

    def show(self) -> None:
        """What a kind draws once it is committed to."""

    def _changed(self, *_):
        """Take a tip away that has been followed."""
        if not self.verdict and self.value() is not None:
            self.feedback.value = ""

    def _typed(self, error):
        """Say what is wrong with what was typed into a slider's field."""
        if error:
            self.feedback.value = status(str(error))

    def _report(self, before, error):
        self.feedback.value += alert(error, before)
        if os.environ.get("I2PEMD_STRICT") == "1":
            raise error

    def _repr_mimebundle_(self, **_):
        """The live widget; and for pages in which no kernel runs the question, and once committed, what came of it."""
        listed = "".join(f"<li>{escape(option)}</li>" for option in self.options)
        html = f"<p><b>{self.title}</b> {escape(self.question)}</p><ul>{listed}</ul>"
        if self.verdict:
            below = "" if self.image is None else still.html(self.image.value, self.verdict)
            below += "" if self.revealed is None else REVEALED + _fallback(self.revealed)
            html += f"{ANSWER}<p>{escape(self.verdict)}</p>{below}</details>"
        words = "\n".join([f"{self.title} {self.question}", *(f"  ( ) {option}" for option in self.options)])
        return {**(super()._repr_mimebundle_() or {}), "text/html": html, "text/plain": words}


class Choice(Question):
    """One of `choices`, and how sure the learner is of it; a lesson calls it `predict`.

    name : of the prediction, p and the lesson and a letter: "p02a"
    question : text
    choices : two or more different texts
    answer : the right one, or a function without arguments that computes it; it is called only at the commitment
    because : the sentence that follows the verdict
    reveal : None, or a function without arguments; the panel, widget or printable value that it returns is shown below
    """

    missing = "Pick one first: a wrong guess teaches more than none."

    def __init__(
        self, name: str, question: str, choices: Sequence[str], answer: str | Callable[[], str], because: str,
        reveal: Callable[[], Any] | None = None
    ):  # fmt: skip
        choices = list(choices) if isinstance(choices, list | tuple) else choices
        fine = isinstance(choices, list) and len(choices) > 1 and all(isinstance(c, str) and c for c in choices)
        if not fine or len(set(choices)) < len(choices):
            raise BadInput(f"{name}, choices: expected a list of two or more different texts, found {choices!r}")
        self.radio = radio = widgets.RadioButtons(options=choices, value=None, layout={"width": "max-content"})
        radio.observe(self._changed, "value")
        super().__init__(name, question, answer, because, reveal, 1 / len(choices), [radio], choices, [radio])

    def value(self):
        return self.radio.value

    def truth_of(self, answer):
        if answer not in self.radio.options:
            raise BadInput(f"{self.name}, answer: expected one of {list(self.radio.options)}, found {answer!r}")
        return answer

    def judge(self, value, truth):
        return value == truth, "Right." if value == truth else f"Not so: the answer is “{truth}”."

    def known(self, truth):
        return f"The answer is “{truth}”."

    def like(self, value, truth):
        return value

    def key(self, truth):
        self.radio.value = truth
        return truth


predict = Choice


def ends(name, low, high, within):
    """The range of what can be answered, and what counts as near enough, as checked floats."""
    for label, number in (("low", low), ("high", high), ("within", 1 if within is None else within)):
        if isinstance(number, bool) or not isinstance(number, Real) or not math.isfinite(number):
            raise BadInput(f"{name}, {label}: expected a finite number, found {number!r}")
    if low >= high:
        raise BadInput(f"{name}, low and high: expected the lower one first, found {low:g} and {high:g}")
    if within is not None and within <= 0:
        raise BadInput(f"{name}, within: expected a distance above 0, found {within:g}")
    return float(low), float(high), float((high - low) / 10 if within is None else within)


def verdict(apart, within, words, enough):
    """(whether a distance is near enough, what is said of it)."""
    hit = bool(apart <= within * (1 + 1e-9))
    return hit, f"Right. {words}." if hit else f"Not so: {words[0].lower()}{words[1:]}; {enough} would be near enough."


def step_of(low, high):
    """The step of a slider from low to high: 1, 2 or 5 times a power of ten, at most a two-hundredth of the range.

    Example
    -------
    >>> step_of(0, 60), step_of(0.0, 0.25)
    (0.2, 0.001)
    """
    size = (high - low) / 200
    ten = 10.0 ** math.floor(math.log10(size) + 1e-9)
    return float(f"{ten * max(m for m in (1, 2, 5) if m * ten <= size * (1 + 1e-9)):.1g}")


def on_grid(value, low, step):
    """The place of a slider that is nearest to a value: a page moves it there, and tells so as if it were touched."""
    return round(low + step * round((value - low) / step), 12)


def demand_text(**texts):
    """`BadInput` for each argument that is not some text."""
    for label, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise BadInput(f"{label}: expected some text, found {text!r}")


def _fallback(value):
    """What a page without a kernel shows of a value, and of what is no widget in any page."""
    bundle = getattr(value, "_repr_mimebundle_", dict)() or {}
    html = bundle.get("text/html") or getattr(value, "_repr_html_", lambda: None)()
    plain = bundle.get("text/plain") or (value if isinstance(value, str) else repr(value))
    return html or f'<pre style="margin:4px 0;line-height:1.35">{escape(plain)}</pre>'
