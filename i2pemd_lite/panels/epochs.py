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
    correlation: Correlation  # r and p are NaN where one of the two does not vary


def compute(run, state):
    """The curves of state's run: first (evaluations left out at the beginning), against (a key of `MEASURES`)."""
    rows, first, against = run.evaluations, state["first"], state["against"]
    values = {name: np.array([row[column] for row in rows], dtype=float) for name, column in MEASURES.items()}
    pairs = np.stack([values["mI2PEMD"][first:], values[against][first:]])
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    varies = pairs.shape[1] > 2 and (np.ptp(pairs, axis=1) > 0).all()
    correlation = pearson(*pairs) if varies else Correlation(np.nan, np.nan, pairs.shape[1])
    return Result(np.array([row["step"] for row in rows]), values, first, against, correlation)


def draw(figure, result):
    """Three curves over the same steps on the left; each evaluation as a point of two figures on the right."""
    art = style.artists(figure, _Card)
    steps, first = result.steps, result.first
    for name, values in result.values.items():
        curve = art.curves[name]
        curve.line.set_data(steps[first:], values[first:])
        curve.left_out.set_data(steps[: first + 1], values[: first + 1])
        style.limits(curve.axes, (0, 1.2 * steps[-1]), ends(values))
        value = style.number(values[-1], 1 if "%" in name else 3)
        curve.last.set(position=(1.02 * steps[-1], values[-1]), text=value)
    x, y = result.values["mI2PEMD"], result.values[result.against]
    art.way.set_data(x[first:], y[first:])
    art.left_out.set_data(x[:first], y[:first])
    style.limits(art.plane, ends(x, 0.28), ends(y))
    # The labels of both ends lie on the side from which their neighbour is not.
    for text, i, beside in ((art.begin, first, first + 1), (art.end, len(steps) - 1, len(steps) - 2)):
        text.set(position=(x[i], y[i]), text=f"  step {steps[i]}  ", ha="right" if x[i] < x[beside] else "left")
    art.title.set_text(f"mI2PEMD and {result.against}: {said(result.correlation)}")
    art.vertical.set_text(f"{result.against} upwards")


def said(correlation):
    """A correlation in words.

    Example
    -------
    >>> said(Correlation(-0.789, 0.00041, 32)), said(Correlation(np.nan, np.nan, 3))
    ('r = -0.79, p = 0.00041, n = 32', 'r is undefined, n = 3')
    """
    r, p, n = correlation
    return f"r is undefined, n = {n}" if np.isnan(r) else f"r = {r:.2f}, p = {p:.2g}, n = {n}"


def ends(values, part=0.1):
    """Limits around values, with a part of their range as room."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
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
    r, p, n = result.correlation
    words = f"The correlation of mI2PEMD and {result.against} over the evaluations: {said(result.correlation)}. "
    last = {f"{name}, last": f"{values[-1]:.4g}" for name, values in result.values.items()}
    return words + CAUTION, {"r": f"{r:.3f}", "p": f"{p:.2g}", "n": n, **last}


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


def draw_sizes(figure, docs):
    """A ring for each seed, their mean as a point, and the deviation as a line; d -> DOC (seeds,) in percent."""
    art = style.artists(figure, lambda figure: _Sizes(figure, list(docs)))
    x, mean = np.arange(len(docs)), np.array([seeds.mean() for seeds in docs.values()])
    sd = np.array([deviation(seeds) for seeds in docs.values()])
    art.mean.set_data(x, mean)
    art.seeds.set_data(np.repeat(x, [len(seeds) for seeds in docs.values()]) + 0.1, np.concatenate([*docs.values()]))
    art.bars.set_data(np.repeat(x, 3), np.stack([mean - sd, mean + sd, np.nan * sd], 1).ravel())
    style.limits(art.axes, (-0.5, len(x) - 0.5), ends(np.concatenate([*docs.values(), mean - sd, mean + sd])))
    for text, i in zip(art.values, x, strict=True):
        text.set(position=(i - 0.06, mean[i] + sd[i]), text=f"{mean[i]:.1f}")


def deviation(docs):
    """The standard deviation over seeds (n − 1 in the denominator); 0 for one seed."""
    return float(docs.std(ddof=1)) if len(docs) > 1 else 0.0


class _Sizes:
    """The artists of DOC by feature size."""

    def __init__(self, figure, sizes):
        self.axes = axes = figure.add_axes([0.09, 0.17, 0.88, 0.68])
        axes.set(title="DOC (%), mean of CT and MR: points are means, lines ± SD, rings the seeds")
        axes.set(xlabel="feature size d (channels of F)")
        axes.set_xticks(range(len(sizes)), [str(d) for d in sizes])
        self.bars = axes.plot([], [], color=style.QUIET, lw=1)[0]
        self.seeds = axes.plot([], [], ls="", marker="o", ms=4, mfc="none", color=style.QUIET)[0]
        self.mean = axes.plot([], [], color=style.BLACK, lw=1.2, marker="o", ms=6)[0]
        self.values = [axes.text(0, 0, "", size=8.5, ha="right", va="bottom") for _ in sizes]


def describe_sizes(docs):
    """The best feature size, and how far apart the others are."""
    mean = {d: seeds.mean() for d, seeds in docs.items()}
    best, worst = max(mean, key=mean.get), min(mean, key=mean.get)
    words = (
        f"The mean DOC is highest at d = {best} ({mean[best]:.1f} %) and lowest at d = {worst} ({mean[worst]:.1f} %). "
        f"The largest deviation over the seeds of one d is {max(map(deviation, docs.values())):.1f} points."
    )
    return words, {f"d = {d}": f"{mean[d]:.1f} ± {deviation(seeds):.1f} ({len(seeds)})" for d, seeds in docs.items()}


def feature_sizes(docs):
    """DOC by feature size (Figure 6 (a)) from {d: [DOC in percent of each seed]}.

    Example
    -------
    >>> feature_sizes({8: [78.0, 80.0], 32: [81.0, 82.0]}).numbers["d = 8"]
    '79.0 ± 1.4 (2)'
    """
    for d, values in docs.items():
        seeds = np.asarray(values, dtype=float)
        if seeds.ndim != 1 or not len(seeds) or not ((seeds >= 0) & (seeds <= 100)).all():
            raise BadInput(f"docs: expected for d = {d} one DOC in percent for each seed, found {values}")
    if not docs:
        raise BadInput("docs: expected {d: [DOC of each seed]}, found nothing; train with dim=d first")
    result = {d: np.asarray(docs[d], dtype=float) for d in sorted(docs)}
    return Panel("feature size", {}, lambda state: result, draw_sizes, describe_sizes, size=(6.2, 3.4))
