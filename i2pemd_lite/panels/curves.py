"""Curves of runs: their losses step by step, and their figures on held-back data, of up to four beside each other."""

from typing import NamedTuple

import numpy as np

from i2pemd_lite.panels.engine import style

LINES = ("-", "--", "-.", ":")  # one for each run
POINTS = 300  # of a curve, at most: more cannot be told apart
ALL = "all of this run"  # what is chosen where all losses of one run are drawn


class Terms(NamedTuple):
    """What the rows of a history are drawn as: `names` of columns, title, and whether they are counts of `per`."""

    title: str
    names: tuple
    per: float = 0.0


class Line(NamedTuple):
    """One curve: its label, where it is, which run's line style it has, and whether it is drawn heavily."""

    label: str
    x: np.ndarray
    y: np.ndarray
    run: int = 0
    heavy: bool = True


def column(rows, name, smooth=1):
    """Steps and values of one column of rows, each the mean of up to `smooth` rows, and at most POINTS of them.

    Example
    -------
    >>> column([{"step": 1, "ce": 3.0}, {"step": 2}, {"step": 3, "ce": 2.0}], "ce")
    (array([1., 3.]), array([3., 2.]))
    """
    rows = [row for row in rows if name in row]
    at = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), POINTS)).round().astype(int)) if rows else []
    y = [np.mean([row[name] for row in rows[max(0, n - smooth + 1) : n + 1]]) for n in at]
    return np.array([rows[n]["step"] for n in at], dtype=float), np.array(y, dtype=float)


def loss_lines(runs, chosen, show, terms, smooth):
    """One of the `terms` for every run, by name, or where `show` is none of them all terms of the chosen run; each
    point is the mean of `smooth` steps."""
    if show in terms:
        return [Line(name, *column(run.history, show, smooth), i, name == chosen)
                for i, (name, run) in enumerate(runs.items())]  # fmt: skip
    here = list(runs).index(chosen)
    return [Line(term, *column(runs[chosen].history, term, smooth), here) for term in terms]


def score_lines(runs, chosen, measure):
    """One column of the evaluations for every run."""
    return [Line(name, *column(run.evaluations, measure), i, name == chosen)
            for i, (name, run) in enumerate(runs.items())]  # fmt: skip


def last_values(lines, digits):
    """{label: the last value, in words} of the lines that have one."""
    return {line.label: format(line.y[-1], digits) for line in lines if len(line.y)}


def draw_curves(card, name, box, lines, total, title="", limits=None, changes=()):
    """The lines that have points in a plane with room for `total` steps, each with its label at its right end.

    With `limits`, of what the values can be, the axis has as many tenths of it as hold them; without, it is logarithmic
    between powers of two. Each (step, λ) of `changes` is a thin vertical line with the value at its upper end.
    """
    lines = [line for line in lines if len(line.x)]
    values = np.concatenate([[], *(line.y for line in lines)])
    low, high = _tenths(values, *limits) if limits else _powers(values)
    plane = card.plane(name, box, xlabel="step", title=title, xlim=(0, 1.36 * total), ylim=(low, high),
                       yscale="linear" if limits else "log")  # fmt: skip
    scale, back = (float, float) if limits else (np.log, np.exp)
    bottom, height = scale(low), scale(high) - scale(low)
    gap = 13 / (box[3] * card.height)  # of a line of text in the height
    ends = [(scale(max(line.y[-1], low)) - bottom) / height for line in lines]
    ends = style.apart([max(end, gap / 2) for end in ends], gap, 1.0)  # clear of the axis
    for line, end in zip(lines, ends, strict=True):
        ink, width = (style.BLACK, 1.6) if line.heavy else (style.QUIET, 1.0)
        y, marker = np.maximum(line.y, low), "o" if len(line.x) < 12 else ""
        plane.line(line.x, y, ls=LINES[line.run % 4], lw=width, color=ink, marker=marker, ms=3)
        at = line.x[-1] + 0.05 * total, back(bottom + end * height)
        plane.line([line.x[-1] + 0.01 * total, at[0] - 0.01 * total], [y[-1], at[1]], color=style.LINE, lw=0.7)
        plane.text(*at, line.label, color=ink, size=8, va="center")
    for n, (step, weight) in enumerate(changes):
        top = back(bottom + (1 - gap * (1 + n % 3)) * height)  # a line ends below the words of the one before
        plane.line([step, step], [low, top], color=style.QUIET, lw=0.8, zorder=2.1)
        plane.text(step, top, f"λ {style.number(weight)}", color=style.QUIET, size=8, ha="center", halo=True)


def _tenths(values, low, high):
    """As many of the about ten parts from `low` to `high`, powers of ten, as hold the values."""
    part = 10.0 ** np.floor(np.log10(high - low) - 1)
    seen = values[np.isfinite(values)]
    if not len(seen):
        return low, high
    low = max(low, part * np.floor(seen.min() / part))
    return low, min(high, max(part * np.ceil(seen.max() / part), low + part) + 0.2 * part)


def ends(values, part=0.1):
    """Limits around values, with a part of their range as room."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    room = part * (high - low) or part * abs(high) or 1.0
    return low - room, high + room


def _powers(values):
    """Powers of two around what is shown, so that they seldom change."""
    seen = values[values > 0]
    low, high = (seen.min(), seen.max()) if len(seen) else (0.1, 1.0)
    low, high = 2.0 ** np.floor(np.log2(max(low, high / 2**12))), 2.0 ** np.ceil(np.log2(high) + 0.01)
    return min(low, high / 4), high
