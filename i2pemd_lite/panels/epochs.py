"""A run over its epochs: does the figure that is optimised move with the one that is wanted? And the size of features.

Table 2 and Figure 6 of the paper: mI2PEMD against mDOC and MMD, evaluated again and again on the held-back cases, and
DOC for several feature sizes d.
"""

from typing import NamedTuple

import numpy as np

from i2pemd_lite.files import BadInput
from i2pemd_lite.metrics import Correlation, pearson
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider

MEASURES = {"mI2PEMD": "mi2pemd", "mDOC (%)": "doc", "MMD²": "mmd"}
CAUTION = "Evaluations of one run follow each other (they are autocorrelated), so this p is too small."


class Result(NamedTuple):
    """The evaluations of a run, and how mI2PEMD moves with the measure it is held against."""

    steps: np.ndarray  # (n,)
    values: dict  # measure -> (n,)
    first: int  # how many are left out, at the beginning
    against: str
    found: Correlation  # r and p are NaN where one of the two does not vary


def compute(run, state):
    """The curves of state's run: first (evaluations left out at the beginning), against (a key of `MEASURES`)."""
    rows, first, against = run.evaluations, state["first"], state["against"]
    values = {name: np.array([row[column] for row in rows], dtype=float) for name, column in MEASURES.items()}
    pairs = np.stack([values["mI2PEMD"][first:], values[against][first:]])
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    varies = pairs.shape[1] > 2 and (np.ptp(pairs, axis=1) > 0).all()
    found = pearson(*pairs) if varies else Correlation(np.nan, np.nan, pairs.shape[1])
    return Result(np.array([row["step"] for row in rows]), values, first, against, found)


def draw(figure, result):
    """Three curves over the same steps on the left; each evaluation as a point of two figures on the right."""
    art = style.artists(figure, _Card)
    steps, first = result.steps, result.first
    for name, values in result.values.items():
        curve = art.curves[name]
        curve.line.set_data(steps[first:], values[first:])
        curve.left_out.set_data(steps[: first + 1], values[: first + 1])
        style.limits(curve.axes, (0, 1.2 * steps[-1]), ends(values))
        curve.last.set_position((1.02 * steps[-1], values[-1]))
        curve.last.set_text(style.number(values[-1], 1 if "%" in name else 3))
    x, y = result.values["mI2PEMD"], result.values[result.against]
    art.way.set_data(x[first:], y[first:])
    art.left_out.set_data(x[:first], y[:first])
    style.limits(art.plane, ends(x, 0.28), ends(y))
    # The labels of both ends lie on the side from which their neighbour is not.
    for text, i, beside in ((art.begin, first, first + 1), (art.end, len(steps) - 1, len(steps) - 2)):
        text.set_position((x[i], y[i]))
        text.set(text=f"  step {steps[i]}  ", ha="right" if x[i] < x[beside] else "left")
    art.title.set_text(f"mI2PEMD and {result.against}: {said(result.found)}")
    art.vertical.set_text(f"{result.against} upwards")


def said(found):
    """A correlation in words.

    Example
    -------
    >>> said(Correlation(-0.789, 0.00041, 32)), said(Correlation(np.nan, np.nan, 3))
    ('r = -0.79, p = 0.00041, n = 32', 'r is undefined, n = 3')
    """
    r, p, n = found
    return f"r is undefined, n = {n}" if np.isnan(r) else f"r = {r:.2f}, p = {p:.2g}, n = {n}"


def ends(values, part=0.1):
    """Limits around values, with a part of their range as room."""
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    room = part * (high - low) or part * abs(high) or 1.0
    return low - room, high + room


class _Card:
    """The artists of three curves and of a plane."""

    def __init__(self, figure):
        boxes = [[0.075, bottom, 0.39, 0.2] for bottom in (0.705, 0.415, 0.125)]
        self.curves = {name: _Curve(figure, box, name) for name, box in zip(MEASURES, boxes, strict=True)}
        self.curves["MMD²"].axes.tick_params(labelbottom=True)
        self.curves["MMD²"].axes.set_xlabel("step")
        self.plane = figure.add_axes([0.555, 0.235, 0.43, 0.62])
        self.plane.set_xlabel("mI2PEMD")
        self.plane.locator_params(nbins=5)
        dot = {"color": style.BLACK, "marker": "o", "markersize": 5}
        self.way = self.plane.plot([], [], lw=0.8, markeredgewidth=0, **dot)[0]
        self.left_out = self.plane.plot([], [], ls="", mfc="none", **{**dot, "color": style.QUIET})[0]
        paper = {"facecolor": style.CARD, "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
        look = {"size": 8, "va": "center", "bbox": paper, "zorder": 1.5}
        self.begin, self.end = (self.plane.text(0, 0, "", **look) for _ in range(2))
        self.title = figure.text(0.555, 0.93, "", size=9.5)
        self.vertical = figure.text(0.555, 0.875, "", size=8.5, color=style.QUIET)
        figure.text(0.525, 0.02, CAUTION.replace(", so", ",\nso"), size=8, color=style.QUIET, linespacing=1.4)


class _Curve:
    """One figure over the steps; what is left out is dotted."""

    def __init__(self, figure, box, title):
        self.axes = figure.add_axes(box)
        self.axes.set_title(title)
        self.axes.tick_params(labelbottom=False)
        self.axes.locator_params(axis="y", nbins=3)
        self.left_out = self.axes.plot([], [], color=style.QUIET, lw=1, ls=":")[0]
        self.line = self.axes.plot([], [], color=style.BLACK, lw=1.4, marker="o", ms=3)[0]
        self.last = self.axes.text(0, 0, "", size=8, va="center")


def describe(result):
    """How closely the two figures move together, and why p is not to be trusted."""
    r, p, n = result.found
    words = f"The correlation of mI2PEMD and {result.against} over the evaluations: {said(result.found)}. {CAUTION}"
    last = {name: f"{values[-1]:.4g}" for name, values in result.values.items()}
    return words, {"r": f"{r:.3f}", "p": f"{p:.2g}", "n": n, **{f"{name}, last": text for name, text in last.items()}}


def epochs(run, **start):
    """The evaluations of a segmentation run: mI2PEMD, mDOC and MMD², and the first against one of the others.

    Values in `start` set controls: first, against. Raises `BadInput` for a run with fewer than 3 evaluations.
    """
    count = len(run.evaluations)
    if count < 3:
        raise BadInput(f"run: expected at least 3 evaluations, found {count}; train on, or lower evaluate_every")
    return Panel(
        "epochs",
        {
            "against": choice("mI2PEMD against", list(MEASURES)[1:], "mDOC (%)", "260px"),
            "first": slider("leave out the first (evaluations)", 0, 0, count - 3, 1, width="380px"),
        },
        lambda state: compute(run, state),
        draw,
        describe,
        layout=[["against", "first"]],
        size=(9.4, 4.0),
        start=start,
    )


class Sizes(NamedTuple):
    """DOC in percent of each seed, by feature size: d -> (seeds,)."""

    docs: dict


def draw_sizes(figure, result):
    """A ring for each seed, their mean as a point, and the deviation as a line."""
    art = style.artists(figure, lambda figure: _Sizes(figure, list(result.docs)))
    x = np.arange(len(result.docs))
    mean = [docs.mean() for docs in result.docs.values()]
    art.mean.set_data(x, mean)
    seeds = [(i + 0.1, doc) for i, docs in enumerate(result.docs.values()) for doc in docs]
    art.seeds.set_data(*np.array(seeds).T)
    spread = [(docs.mean(), deviation(docs)) for docs in result.docs.values()]
    bars = [[(i, m - sd), (i, m + sd), (i, np.nan)] for i, (m, sd) in enumerate(spread)]
    art.bars.set_data(*np.array(bars).reshape(-1, 2).T)
    style.limits(art.axes, (-0.5, len(x) - 0.5), ends(np.array(seeds + [end for bar in bars for end in bar[:2]])[:, 1]))
    for text, i, (m, sd) in zip(art.values, x, spread, strict=True):
        text.set_position((i - 0.06, m + sd))
        text.set_text(f"{m:.1f}")


def deviation(docs):
    """The standard deviation over seeds (n − 1 in the denominator); 0 for one seed."""
    return float(docs.std(ddof=1)) if len(docs) > 1 else 0.0


class _Sizes:
    """The artists of DOC by feature size."""

    def __init__(self, figure, sizes):
        self.axes = figure.add_axes([0.09, 0.17, 0.88, 0.68])
        self.axes.set(title="DOC (%), mean of CT and MR: points are means, lines ± SD, rings the seeds")
        self.axes.set(xlabel="feature size d (channels of F)")
        self.axes.set_xticks(range(len(sizes)), [str(d) for d in sizes])
        self.bars = self.axes.plot([], [], color=style.QUIET, lw=1)[0]
        self.seeds = self.axes.plot([], [], ls="", marker="o", ms=4, mfc="none", color=style.QUIET)[0]
        self.mean = self.axes.plot([], [], color=style.BLACK, lw=1.2, marker="o", ms=6)[0]
        self.values = [self.axes.text(0, 0, "", size=8.5, ha="right", va="bottom") for _ in sizes]


def describe_sizes(result):
    """The best feature size, and how far apart the others are."""
    mean = {d: docs.mean() for d, docs in result.docs.items()}
    best, worst = max(mean, key=mean.get), min(mean, key=mean.get)
    words = (
        f"The mean DOC is highest at d = {best} ({mean[best]:.1f} %) and lowest at d = {worst} ({mean[worst]:.1f} %). "
        f"The largest deviation over the seeds of one d is {max(map(deviation, result.docs.values())):.1f} points."
    )
    counts = {f"d = {d}": f"{mean[d]:.1f} ± {deviation(docs):.1f} ({len(docs)})" for d, docs in result.docs.items()}
    return words, counts


def feature_sizes(docs):
    """DOC by feature size (Figure 6 (a)) from {d: [DOC in percent of each seed]}.

    Example
    -------
    >>> feature_sizes({8: [78.0, 80.0], 32: [81.0, 82.0]}).numbers["d = 8"]
    '79.0 ± 1.4 (2)'
    """
    for d, values in docs.items():
        known = np.asarray(values, dtype=float)
        if known.ndim != 1 or not len(known) or not ((known >= 0) & (known <= 100)).all():
            raise BadInput(f"docs: expected for d = {d} one DOC in percent for each seed, found {values}")
    if not docs:
        raise BadInput("docs: expected {d: [DOC of each seed]}, found nothing; train with dim=d first")
    result = Sizes({d: np.asarray(docs[d], dtype=float) for d in sorted(docs)})
    return Panel("feature size", {}, lambda state: result, draw_sizes, describe_sizes, size=(6.2, 3.4))
