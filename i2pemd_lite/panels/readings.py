"""Where the paper is silent, or says two things: both readings side by side, and what hangs on it.

`panel` shows one such passage, `table` lists them all. The passages themselves are in `passages.py`; every number is
computed when it is shown.
"""

from functools import lru_cache
from html import escape
from typing import NamedTuple

import numpy as np

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.engine import cards, sheet, style
from i2pemd_lite.panels.engine.panel import Panel, choice
from i2pemd_lite.panels.passages import PASSAGES

LEFTS = (0.06, 0.385, 0.71)  # of the three views: as it is read here, otherwise, and the change


class Result(NamedTuple):
    """One passage, read as here and otherwise: two vectors or two matrices of one shape."""

    name: str
    reading: str
    ours: np.ndarray
    other: np.ndarray

    @property
    def change(self):
        """The other reading less ours."""
        return self.other - self.ours


@lru_cache(64)
def compute(name, reading):
    """The outcome of a passage (a key of PASSAGES) as it is read here, and of another reading (a key of `readings`)."""
    passage = PASSAGES[name]
    keys = passage.readings
    if reading not in keys:
        raise BadInput(f"reading: expected one of {', '.join(map(repr, keys))}, found {reading!r}")
    ours, other = (np.asarray(passage.compute(key), dtype=float) for key in (next(iter(keys.values())), keys[reading]))
    return Result(name, reading, ours, other)


def draw(figure, result):
    """As it is read here, otherwise, and the change from the one to the other."""
    passage, build = PASSAGES[result.name], _Matrices if result.ours.ndim == 2 else _Bars
    card = cards.card(style.artists(figure, lambda figure: {}), result.name, figure, build, passage)
    titles = f"as read here: {next(iter(passage.readings))}", f"read as: {result.reading}", "change"
    for title, words in zip(card.titles, titles, strict=True):
        title.set_text(words)
    card.show(result)


class _Bars:
    """Three axes with a bar for each label."""

    def __init__(self, figure, passage):
        self.low, places = passage.low, range(len(passage.labels))
        self.axes = [figure.add_axes([left, 0.18, 0.265, 0.66]) for left in LEFTS]
        self.bars, self.texts = [], []
        for axes, colour in zip(self.axes, (style.BLUE, style.ORANGE, style.BLACK), strict=True):
            axes.set(xlim=(-0.6, len(places) - 0.4), xlabel=passage.numbers)
            axes.set_xticks(places, passage.labels)
            self.bars.append(axes.bar(places, [0] * len(places), 0.6, color=colour))
            self.texts.append([axes.text(x, 0, "", ha="center", va="bottom", size=8) for x in places])
        self.axes[2].axhline(0, color=style.LINE, lw=1, zorder=0)
        self.titles = [axes.text(0, 1.05, "", transform=axes.transAxes, size=9.5) for axes in self.axes]

    def show(self, result):
        most = max(result.ours.max(), result.other.max())
        reach = 1.25 * max(np.abs(result.change).max(), 0.02 * (most - self.low))
        for axes in self.axes[:2]:
            style.limits(axes, y=(self.low, self.low + 1.15 * (most - self.low)))
        style.limits(self.axes[2], y=(-reach, reach))
        for bars, texts, values in zip(self.bars, self.texts, (result.ours, result.other, result.change), strict=True):
            for bar, text, value in zip(bars, texts, values, strict=True):
                bar.set_height(value)
                words = _in_words(value, np.abs(values).max())
                text.set(y=value, va="bottom" if value >= 0 else "top", text=words)


class _Matrices:
    """Three matrices; the colour of the third is the size of a change, its number has the sign."""

    def __init__(self, figure, passage):
        rows, columns = passage.labels
        size = 8.5 if len(columns) < 5 else 7.5
        places = [figure.add_axes([left, 0.1, 0.265, 0.67]) for left in LEFTS]
        self.matrices = [style.Matrix(axes, "", rows, columns, size=size) for axes in places]
        self.axes = [matrix.axes for matrix in self.matrices]
        for axes in self.axes:
            axes.tick_params(labelsize=7.5)
            axes.set_xlabel(passage.numbers)
            axes.set_anchor("NW")
        self.titles = [
            axes.text(left, 0.9, "", transform=figure.transFigure, size=9.5)
            for axes, left in zip(self.axes, LEFTS, strict=True)
        ]

    def show(self, result):
        top = max(result.ours.max(), result.other.max(), 1e-9)
        for matrix, values in zip(self.matrices, (result.ours, result.other, np.abs(result.change)), strict=True):
            matrix.show(values, top=top)
        for (i, j), value in np.ndenumerate(result.change):
            sign = "+" if value > 5e-3 else ""
            self.matrices[2].texts[i][j].set_text(sign + _in_words(value, top))


def _in_words(value, most):
    return style.number(value, 1 if most >= 10 else 2)


def describe(result):
    """What is printed, how it is read and why, and where the readings differ most."""
    passage, change = PASSAGES[result.name], result.change
    most, at = np.abs(change).max(), np.unravel_index(np.abs(change).argmax(), change.shape)
    sides = passage.labels if change.ndim == 2 else (passage.labels,)
    where = " and ".join(str(labels[i]) for labels, i in zip(sides, at, strict=True))
    digits = 1 if max(result.ours.max(), result.other.max()) >= 10 else 3
    one, other = (style.number(values[at], digits) for values in (result.ours, result.other))
    words = f"The paper, {passage.equation}: {passage.says} Read here: {passage.ours} {passage.why} "
    if most < 1e-12:
        words += f"Read as “{result.reading}”, nothing changes."
    else:
        words += f"Read as “{result.reading}”, most changes at “{where}”, where {one} becomes {other}."
    return words, {
        "largest change": style.number(most, 3),
        "at": where if most >= 1e-12 else "nowhere",
        "entries that change": f"{np.count_nonzero(np.abs(change) > 1e-12)} of {change.size}",
        "switch": passage.switch,
        "lesson": passage.lesson,
    }


def panel(passage="ties", **start):
    """The panel; `passage` is a key of PASSAGES, and `reading` one of its readings, in words.

    Example
    -------
    >>> board = panel("absent")
    >>> board.result.ours.round(4).tolist(), board.result.other.round(4).tolist()
    ([0.1813, 0.0813, 0.0, 0.2938, 0.1854], [0.1813, 0.0813, 0.0, 0.2938, 0.1391])
    """
    if passage not in PASSAGES:
        raise BadInput(f"passage: expected one of {', '.join(PASSAGES)}, found {passage!r}")
    readings = list(PASSAGES[passage].readings)
    titles = [(f"{each.title} ({each.equation})", name) for name, each in PASSAGES.items()]
    controls = {
        "passage": choice("passage", titles, passage, "400px"),
        "reading": choice("read as", readings, readings[1], "360px"),
    }

    def fit(change):
        controls["reading"].options = list(PASSAGES[change["new"]].readings)
        controls["reading"].index = 1

    controls["passage"].observe(fit, "value")
    return Panel("readings of the paper", controls, lambda state: compute(state["passage"], state["reading"]), draw,
                 describe, layout=[list(controls)], size=(9.4, 3.0), start=start)  # fmt: skip


class Table(tuple):
    """All passages as a table, for a terminal (`str`) or a notebook."""

    def __str__(self):
        return "\n\n".join(
            f"{each.title} ({each.equation}; lesson {each.lesson})\n  the paper: {each.says}\n"
            f"  read here: {each.ours}\n  because:   {each.why}\n  switch:    {each.switch}" for each in self
        )  # fmt: skip

    __repr__ = __str__

    def _repr_mimebundle_(self, **_):
        names = ("passage", "where", "the paper says", "read here, because", "switch", "lesson")
        rows = ((each.title, each.equation, each.says, f"{each.ours} {each.why}", each.switch, each.lesson)
                for each in self)  # fmt: skip
        caption = f"{len(self)} passages of the paper that can be read in more than one way"
        return {"text/html": sheet.html(names, (map(escape, row) for row in rows), caption), "text/plain": str(self)}


def table():
    """Every passage: what the paper says, how it is read here and why, what switches it, and in which lesson it is met.

    Example
    -------
    >>> print(str(table()).splitlines()[0])
    how much is carried (Eq. 1, 2; lesson 01)
    """
    return Table(PASSAGES.values())
