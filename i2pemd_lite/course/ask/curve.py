"""A curve that the learner draws before the true one is laid over it (see `question.py`)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from i2pemd_lite.course.ask.question import Question, demand_text, ends, on_grid, step_of, verdict
from i2pemd_lite.emd import Numbers, numbers
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.card import Card
from i2pemd_lite.panels.engine.panel import grid, slider, steps
from i2pemd_lite.panels.engine.picture import Picture


class Sketch(Question):
    """A curve over the places `x`, with heights from `low` to `high`, drawn by mouse, touch or keyboard.

    A drag draws; with the keyboard one chooses a place and moves its height. Between drawn places the curve is a
    straight line, before the first and after the last it is level.

    answer : the heights at `x`, or a function without arguments that computes them; it is called only at the commitment
    within : the mean distance from the truth that is right; a tenth of the range when None

    A curve is right when it is that near and runs as the truth does (`runs`): what the truth does by more than half of
    `within`, the curve does at least half as much, and what the truth does not do, it does by no more than `within`.

    The other arguments are those of `predict`; a lesson calls it `sketch`.
    """

    missing = "Draw the curve first, from left to right: two places are enough."

    def __init__(
        self, name: str, question: str, x: Numbers, answer: Numbers | Callable[[], Numbers], because: str, xlabel: str,
        ylabel: str, low: float, high: float, within: float | None = None, reveal: Callable[[], Any] | None = None
    ):  # fmt: skip
        demand_text(xlabel=xlabel, ylabel=ylabel)
        self.low, self.high, self.within = ends(name, low, high, within)
        self.x, self.xlabel, self.ylabel = numbers(f"{name}, x", x), xlabel, ylabel
        if self.x.ndim != 1 or len(self.x) < 2 or (np.diff(self.x) <= 0).any():
            raise BadInput(f"{name}, x: expected two or more numbers that rise, found {self.x.tolist()}")
        self.drawn, self._last, self._quiet = np.full(len(self.x), np.nan), None, False
        self.image = Picture(self._touched)
        self.at = steps(f"at {xlabel}", [(f"{value:g}", i) for i, value in enumerate(self.x)], 0)
        self.step = step_of(self.low, self.high)
        middle = on_grid((self.low + self.high) / 2, self.low, self.step)
        self.height = slider(ylabel, middle, self.low, self.high, self.step)
        self.height.observe(self._moved, "value")
        self.height.on_typed = self._typed
        self.at.observe(lambda _: self.show(), "value")
        enough = f"right when it is at most {self.within:g} off on average and has the right shape"
        options = [f"a curve of {ylabel} against {xlabel}, {enough}"]
        body = [self.image, grid([self.at, self.height])]
        self.show()
        super().__init__(name, question, answer, because, reveal, 0.0, body, options, [self.at, self.height])

    def _touched(self, at, pressed):
        place = None if self.verdict else self.card.planes["curve"].place(at)
        if place is None:
            return
        x, y = place
        x0, y0 = (x, y) if pressed or self._last is None else self._last
        self._last = (x, y)
        # What lies between two reports of a quick hand belongs to the stroke as well.
        between = (self.x > min(x0, x)) & (self.x < max(x0, x))
        self._put(between, y0 + (y - y0) * (self.x[between] - x0) / (x - x0))
        self._put(np.abs(self.x - x).argmin(), y)
        self.show()

    def _moved(self, _):
        if not self._quiet:
            self._put(self.at.value, self.height.value)
            self.show()

    def _put(self, places, heights):
        self.drawn[places] = np.clip(heights, self.low, self.high)
        self._changed()

    def value(self):
        there = np.isfinite(self.drawn)
        return np.interp(self.x, self.x[there], self.drawn[there]).tolist() if there.sum() > 1 else None

    def truth_of(self, answer):
        truth = numbers(f"{self.name}, answer", answer)
        if truth.shape != self.x.shape:
            raise BadInput(f"{self.name}, answer: expected {len(self.x)} numbers, one for each x, found {answer!r}")
        if truth.min() < self.low or truth.max() > self.high:
            found = f"{truth.min():g} to {truth.max():g}; widen low and high"
            raise BadInput(f"{self.name}, answer: expected numbers from {self.low:g} to {self.high:g}, found {found}")
        return truth.tolist()

    def known(self, truth):
        return "The picture has the true curve."

    def judge(self, value, truth):
        apart = np.abs(np.subtract(value, truth))
        if not apart.any():
            return True, "Right."
        worst = int(apart.argmax())
        words = f"On average, your curve is {apart.mean():.3g} away from the true one"
        words += f", and at most {apart[worst]:.3g}, at {self.xlabel} = {self.x[worst]:g}"
        near, said = verdict(apart.mean(), self.within, words, f"{self.within:g} on average")
        other = self._unlike(value, truth)
        if near and other:
            said = f"Not so: {words[0].lower()}{words[1:]}, which is near enough. But its shape is not right."
            return False, f"{said} {other}"
        return near, said if near else f"{said} {other or 'Its shape is right.'}"

    def _unlike(self, value, truth):
        """What of a curve's shape is not the truth's, in a sentence; "" where they run alike."""
        mine = runs(self.x, value)
        for how, much in runs(self.x, truth).items():
            if much > self.within / 2 and mine[how] < much / 2:
                return f"The true curve {how}, and yours does not, or much less."
            if much <= self.within / 2 and mine[how] > self.within:
                return f"Yours {how}, and the true curve does not."
        return ""

    def like(self, value, truth):
        does = [how for how, much in runs(self.x, value).items() if much > self.within]
        return does[0] if does else "is straight"

    def key(self, truth):
        self.drawn[:] = truth
        return truth

    def show(self) -> None:
        """Draw the curve as it is, and say its height; once committed, the true one over it."""
        x, y, truth, drawn = self.x, self.value(), self.truth, np.isfinite(self.drawn)
        if y:
            self._quiet = True
            self.height.value = on_grid(y[self.at.value], self.low, self.step)
            self._quiet = False
        margin, room = 0.02 * (x[-1] - x[0]), 0.03 * (self.high - self.low)
        self.card = Card(9.4, 3.2)
        plane = self.card.plane(
            "curve", [0.075, 0.155, 0.79, 0.77], xlim=(x[0] - margin, x[-1] + margin),
            ylim=(self.low - room, self.high + room), xlabel=self.xlabel, ylabel=self.ylabel,
        )  # fmt: skip
        if truth is None:
            plane.line([x[self.at.value]] * 2, [self.low, self.high], color=style.LINE, lw=1, zorder=0)
        elif y:
            plane.polygons([np.r_[np.c_[x, y], np.c_[x, truth][::-1]]], fc=style.BAND, zorder=1)
        plane.points(x[drawn], self.drawn[drawn], ms=6, zorder=3, **style.SOURCE)
        if y:
            plane.line(x, y, color=style.BLUE, lw=2.2, zorder=3)
        if truth:
            plane.line(x, truth, lw=2, ls=(5, 2), ms=6, zorder=4, **style.TARGET)
        if not drawn.any():
            words = "draw your curve here: press and drag"
            plane.text(0.5, 0.5, words, size=10, ha="center", va="center", inside=True)
        edge, gap = x[-1] + 0.03 * (x[-1] - x[0]), 0.09 * (self.high - self.low)
        heights = style.apart([curve[-1] for curve in (y, truth) if curve], gap, top=self.high)
        for height, (words, ink) in zip(heights, (("yours", style.BLUE), ("the truth", style.ORANGE)), strict=False):
            plane.text(edge, height, words, size=9, va="center", color=ink)
        self.image.value = self.card.svg(self.words())

    def words(self) -> str:
        """The alternative text."""
        if self.truth is not None:
            return f"Your curve {self._told(self.committed)}; the true one {self._told(self.truth)}."
        if y := self.value():
            return f"Your curve {self._told(y)}."
        one = ", with one place drawn" if np.isfinite(self.drawn).any() else ""
        return f"An empty picture for {self.ylabel} against {self.xlabel}{one}."

    def _told(self, y):
        picks = sorted({0, len(self.x) // 2, len(self.x) - 1})
        return "goes " + ", ".join(f"{y[i]:.3g} at {self.xlabel} {self.x[i]:g}" for i in picks)


sketch = Sketch


def runs(x, y):
    """How a curve runs, and by how much of its height: below and above both of its ends, and the line between these.

    Example
    -------
    >>> runs([0, 1, 2], [1.0, 0.0, 3.0])
    {'falls and then rises': 1.0, 'rises and then falls': 0.0, 'bends upwards': 2.0, 'bends downwards': 0.0}
    """
    y = np.asarray(y, dtype=float)
    above = y - np.interp(x, [x[0], x[-1]], [y[0], y[-1]])
    ends = y[0], y[-1]
    much = {"falls and then rises": min(ends) - y.min(), "rises and then falls": y.max() - max(ends),
            "bends upwards": -above.min(), "bends downwards": above.max()}  # fmt: skip
    return {how: float(height) for how, height in much.items()}
