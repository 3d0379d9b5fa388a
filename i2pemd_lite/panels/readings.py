"""Where the paper is silent, or says two things: both readings side by side, and what hangs on it.

`panel` shows one such passage, `table` lists them all. The passages themselves are in `passages.py`; every number is
computed when it is shown.
"""

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.curves import ends
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice
from i2pemd_lite.panels.passages import PASSAGES
from i2pemd_lite.tables.report import WordTable

LEFTS = (0.05, 0.3775, 0.71)  # of the three views: as it is read here, otherwise, and the change


@lru_cache(64)
def compute(name, reading):
    """The outcome of a passage (a key of PASSAGES) as it is read here, and of another reading (a key of `readings`)."""
    passage = PASSAGES[name]
    keys = passage.readings
    if reading not in keys:
        raise BadInput(f"reading: expected one of {', '.join(map(repr, keys))}, found {reading!r}")
    ours, other = (np.asarray(passage.compute(key), dtype=float) for key in (next(iter(keys.values())), keys[reading]))
    return SimpleNamespace(name=name, reading=reading, ours=ours, other=other, change=other - ours)


def draw(card, result):
    """As it is read here, otherwise, and the change from the one to the other."""
    passage, square = PASSAGES[result.name], result.ours.ndim == 2
    titles = f"as read here: {next(iter(passage.readings))}", f"read as: {result.reading}", "change"
    for left, title in zip(LEFTS, titles, strict=True):
        card.paper.text(left, 0.9 if square else 0.873, title, size=9.5)
    (_draw_matrices if square else _draw_bars)(card, result, passage)


def _draw_bars(card, result, passage):
    """Three axes with a bar for each label."""
    most, low, places = max(result.ours.max(), result.other.max()), passage.low, range(len(passage.labels))
    each, change = (low, low + 1.15 * (most - low)), ends(np.append(result.change, [0, 0.02 * (most - low)]), 0.15)
    rows = (result.ours, each, style.BLUE), (result.other, each, style.ORANGE), (result.change, change, style.BLACK)
    for left, (values, limits, colour) in zip(LEFTS, rows, strict=True):
        box, across = [left, 0.18, 0.285, 0.66], (-0.5, len(places) - 0.5)
        plane = card.plane(f"view {left}", box, xlim=across, ylim=limits, xlabel=passage.numbers, xticks=places,
                           xticklabels=passage.labels)  # fmt: skip
        if limits is change:
            plane.line(across, [0, 0], color=style.LINE, lw=1, zorder=0)
        for x, value in enumerate(values):
            plane.rect(x - 0.3, 0, 0.6, value, fc=colour)
            side, beside = ("bottom", 0.01) if value >= 0 else ("top", -0.01)
            words = _in_words(value, np.abs(values).max())
            plane.text(x, value + beside * (limits[1] - limits[0]), words, ha="center", va=side, size=8)


def _draw_matrices(card, result, passage):
    """Three matrices; the colours of the third go either way from no change."""
    (rows, columns), top = passage.labels, max(result.ours.max(), result.other.max(), 1e-9)
    signed = [[("+" if value > 5e-3 else "") + _in_words(value, top) for value in row] for row in result.change]
    views = (result.ours, None), (result.other, None), (result.change, signed)
    for left, (values, words) in zip(LEFTS, views, strict=True):
        box = [left + 0.02, 0.1, 0.24, 0.67]  # beside the longest label
        plane = card.plane(f"view {left}", box, "blank", xlabel=passage.numbers, anchor="NW")
        plane.matrix(values, rows, columns, top, 8.5 if len(columns) < 5 else 7.5, words=words)


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
    words = f"What the paper says in {passage.equation}: {passage.says} How we read it: {passage.ours} {passage.why} "
    if most < 1e-12:
        words += f"Read as “{result.reading}”, nothing changes."
    else:
        words += f"Read as “{result.reading}”, the largest change is at “{where}”: {one} becomes {other}."
    return words, {
        "largest change": style.number(most, 3),
        "at": where if most >= 1e-12 else "nowhere",
        "entries that change": f"{np.count_nonzero(np.abs(change) > 1e-12)} of {change.size}",
        "switch": passage.switch,
        "lesson": passage.lesson,
    }


def panel(passage: str = "ties", **start: Any) -> Panel:
    """The panel; `passage` is a key of PASSAGES, and `reading` one of its readings, in words."""
    titles = [(f"{each.title} ({each.equation})", name) for name, each in PASSAGES.items()]
    controls = {"passage": choice("passage", titles, passage)}
    readings = list(PASSAGES[passage].readings)
    controls["reading"] = choice("read as", readings, readings[1])

    def fit(change):
        controls["reading"].options = list(PASSAGES[change["new"]].readings)
        controls["reading"].index = 1

    controls["passage"].observe(fit, "value")
    return Panel("readings of the paper", controls, lambda state: compute(state["passage"], state["reading"]), draw,
                 describe, layout=[list(controls)], size=(9.4, 3.0), start=start)  # fmt: skip


class Table(WordTable):
    """All passages as a table."""

    HEADS = ("passage", "where", "the paper says", "read here, because", "switch", "lesson")
    BETWEEN = "\n\n"
    caption = f"{len(PASSAGES)} passages of the paper that can be read in more than one way"

    @staticmethod
    def text(passage):
        """The lines of one passage."""
        return (
            f"{passage.title} ({passage.equation}; lesson {passage.lesson})\n  the paper: {passage.says}\n"
            f"  read here: {passage.ours}\n  because:   {passage.why}\n  switch:    {passage.switch}"
        )

    @staticmethod
    def cells(passage):
        """One passage under `HEADS`."""
        title, equation, lesson, says, ours, why, switch, *_ = passage
        return title, equation, says, f"{ours} {why}", switch, lesson


def table() -> Table:
    """Every passage: what the paper says, how it is read here and why, its switch, and the lesson that it is met in."""
    return Table(PASSAGES.values())
