"""A number that the learner estimates before the true one is shown beside it (see `question.py`)."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import ipywidgets as widgets

from i2pemd_lite.course.ask.question import Question, ends, on_grid, step_of, verdict
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import grid, slider
from i2pemd_lite.panels.engine.picture import Picture
from i2pemd_lite.panels.engine.slider import WholeSlider
from i2pemd_lite.panels.engine.still import drawn


class Estimate(Question):
    """A number from `low` to `high`, right within `within` of the truth (None: a tenth of the range).

    The other arguments are those of `predict`; a lesson calls it `estimate`.

    Example
    -------
    >>> Estimate("p01b", "How long?", 12.0, "Measured.", 0, 60, "mm").judge(15.0, 12.0)
    (True, 'Right. The truth is 12 mm, yours 15 mm: 3 mm apart.')
    """

    missing = "Move the slider, or type a number: a wrong guess teaches more than none. Do you mean the one it shows?"

    def __init__(
        self, name: str, question: str, answer: float | Callable[[], float], because: str, low: float, high: float,
        unit: str = "", within: float | None = None, reveal: Callable[[], Any] | None = None
    ):  # fmt: skip
        self.low, self.high, self.within = ends(name, low, high, within)
        self.unit, self._touched = unit, False
        step = step_of(self.low, self.high)
        whole = all(isinstance(end, int) for end in (low, high)) and step >= 0.5
        given = (low, high, max(1, int(step))) if whole else (self.low, self.high, step)
        middle = (int if whole else float)(on_grid((low + high) / 2, low, given[-1]))
        self.slider = slider("your estimate", middle, *given, unit)
        self.slider.observe(self._moved, "value")
        self.slider.on_typed = self._typed
        chance = 2 * self.within / (self.high - self.low)  # of a guess, wherever the truth is but near an end
        if chance >= 1:
            raise BadInput(f"{name}, within: expected less than half of the range, found {self.within:g}")
        self.between = f"{plain(self.low, 6)} to {plain(self.high, 6)}"
        options = [f"a number from {self.between}{unit and ' ' + unit}, right within {plain(self.within, 6)}"]
        self.meant = widgets.Button(description=f"I mean {self.said(middle)}", layout={"display": "none"})
        self.meant.on_click(lambda _: (self._moved(None), self.commit()))
        super().__init__(name, question, answer, because, reveal, chance, [grid([self.slider])], options, [self.slider])
        self.children = [*self.children, self.meant]

    def commit(self, by: str = "learner") -> None:
        """As of every question; who has moved nothing is asked whether they mean the number where the slider begins."""
        super().commit(by)
        self.meant.layout.display = "none" if self._touched or self.verdict else ""

    def _moved(self, _):
        self._touched, self.meant.layout.display = True, "none"
        self._changed()

    def _typed(self, error):
        super()._typed(error) if error else self._moved(None)

    def value(self):
        return self.slider.value if self._touched else None

    def truth_of(self, answer):
        single = hasattr(answer, "item") and answer.reshape(-1).shape[0] == 1  # tensors and arrays with one element
        number = answer.item() if single else answer
        if isinstance(number, bool) or not isinstance(number, Real) or not self.low <= number <= self.high:
            raise BadInput(f"{self.name}, answer: expected a number from {self.between}, found {answer!r}")
        return float(number)

    def said(self, number: float) -> str:
        """A number with its unit, to three digits."""
        return f"{plain(number)}{self.unit and ' ' + self.unit}"

    def judge(self, value, truth):
        apart = round(abs(value - truth), 6)  # a truth can be a float32
        words = f"The truth is {self.said(truth)}"
        words += f", yours {self.said(value)}: {self.said(apart)} apart" if apart else ""
        return verdict(apart, self.within, words, self.said(self.within))

    def known(self, truth):
        return f"It is {self.said(truth)}."

    def like(self, value, truth):
        return "below" if value < truth else "above"

    def key(self, truth):
        self.slider.value = round(truth) if isinstance(self.slider, WholeSlider) else truth
        return truth

    def show(self):
        self.image = Picture()
        self.image.value = drawn(9.4, 1.15, self.judge(self.committed, self.truth)[1], _line, self)
        self.children = [*self.children, self.image]


estimate = Estimate


def plain(number, digits=3):
    """A number to so many digits, without a power of ten; what stands before the point is never rounded away.

    Example
    -------
    >>> plain(12345.678), plain(3.14159), plain(0.00001234), plain(120.0)
    ('12346', '3.14', '0.0000123', '120')
    """
    after = digits - 1 - math.floor(math.log10(abs(number))) if number else 0
    text = f"{number:.{max(0, after)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _line(card, asked):
    """Both numbers on one line, what counts as right shaded, the distance between them."""
    low, high, truth, yours = asked.low, asked.high, asked.truth, asked.committed
    plane = card.plane("line", [0.04, 0.24, 0.92, 0.72], xlim=(low, high), ylim=(-1.25, 1.25), yticks=[])
    left, right = max(low, truth - asked.within), min(high, truth + asked.within)
    plane.rect(left, -1.25, right - left, 2.5, fc=style.BAND, zorder=0)
    plane.line([yours, truth], [0, 0], color=style.QUIET)
    plane.points(yours, 0, ms=9, **style.SOURCE)
    plane.points(truth, 0, ms=9, **style.TARGET)
    for words, x, y, ink in (("yours", yours, -0.75, style.BLUE), ("the truth", truth, 0.75, style.ORANGE)):
        part = (x - low) / (high - low)
        side = "left" if part < 0.1 else "right" if part > 0.9 else "center"
        plane.text(x, y, f"{words}: {asked.said(x)}", color=ink, ha=side, va="center", size=9)
