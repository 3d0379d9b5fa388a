"""Precision against coverage: how right are pseudo-labels when only the best of each batch are taken?

A threshold or a T cuts a ranking somewhere. This panel shows every place at which it could be cut, and where the rules
of the methods cut it.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, slider
from i2pemd_lite.panels.selection import judge, keep_apart

RANKINGS = {"sure": "confidence s", "learned": "I2PEMD d, learned G", "fixed": "I2PEMD d, fixed G"}
RULES = {"threshold": "s > τ_high", "rule": "I2PEMD, Eq. 18", "rival": "as many by s"}


class Curve(NamedTuple):
    """One ranking, cut after 1, 2, … N images of every batch."""

    order: np.ndarray  # (B, N): the images of each batch, the most trusted first
    precision: np.ndarray  # (N,): right ones of those taken, in percent


class Point(NamedTuple):
    """One rule: the part of all images that it takes, and the part of those that is right, in percent."""

    coverage: float
    precision: float  # NaN where nobody is taken
    number: int

    @property
    def error(self):
        """The standard error of the precision, √(a (1 − a)/n)."""
        a = self.precision / 100
        return 100 * np.sqrt(a * (1 - a) / self.number) if self.number else np.nan


def curves(frozen):
    """Rank the images of each batch by itself, as a method does in training, and cut all batches at the same place.

    After n of N images of each of B batches, the coverage is n/N and the precision Σ_b right_b(n) / (B n).

    Parameters
    ----------
    frozen : `selection.Frozen`

    Returns
    -------
    {"sure": by falling s, "learned": by rising d with the network's own G, "fixed": by rising d with 1 − I}. The last
    is the first again, because then d = 1 − s, but for images whose s differ by a rounding.

    Example
    -------
    >>> import torch
    >>> from i2pemd_lite.panels.selection import Frozen
    >>> o = torch.tensor([[[.75, .20, .05], [.78, .02, .20], [.5, .3, .2]]])
    >>> G = torch.tensor([[0, .2, .8], [.2, 0, .6], [.8, .6, 0]])
    >>> found = curves(Frozen(o, torch.tensor([[0, 1, 0]]), G, 0))
    >>> found["sure"].order.tolist(), found["sure"].precision.round(1).tolist()
    ([[1, 0, 2]], [0.0, 50.0, 66.7])
    >>> found["learned"].order.tolist(), found["learned"].precision.round(1).tolist()
    ([[0, 1, 2]], [100.0, 50.0, 66.7])
    """
    o = frozen.o.double()
    s, labels = o.max(-1)
    K = o.shape[-1]

    def distance(ground):
        return i2pemd(o.flatten(0, 1), labels.flatten(), ground.double()).view_as(s)

    keys = {"sure": -s, "learned": distance(frozen.ground), "fixed": distance(fixed_ground_distance(K))}
    right = (labels == frozen.truth).double()

    def curve(key):
        order = key.argsort(dim=-1, stable=True)
        hits = right.gather(-1, order).cumsum(-1).mean(0).numpy()
        return Curve(order.numpy(), 100 * hits / (1 + np.arange(o.shape[1])))

    return {name: curve(key) for name, key in keys.items()}


class Result(NamedTuple):
    """The curves, and where the rules cut."""

    curves: dict  # key of `RANKINGS` -> Curve
    lead: np.ndarray  # (N,): precision by the learned d less that by s, in points
    doubt: np.ndarray  # (N,): its standard error
    points: dict  # key of `RULES` -> Point
    differ: int  # how many images the I2PEMD rule takes that its rival does not
    rule: tuple  # τ_low, τ_high, T


def lead(frozen, found):
    """How far the ranking by the learned d is ahead of that by s at each coverage, and its standard error.

    Both take most images in common, which cannot make a difference. Of the m that only d takes, a are right, and of
    the m that only s takes, b: the lead is (a − b)/n of all n, its error √(a (1 − a/m) + b (1 − b/m))/n.
    """
    right = (frozen.o.argmax(-1) == frozen.truth).numpy()
    B, N = right.shape
    place = {name: np.argsort(found[name].order, -1) for name in ("sure", "learned")}
    n = 1 + np.arange(N)
    taken = {name: where[..., None] < n for name, where in place.items()}  # (B, N, N): is image i among the first n?
    only = [taken[one] & ~taken[other] for one, other in (("learned", "sure"), ("sure", "learned"))]
    a, b = ((mask & right[..., None]).sum((0, 1)) for mask in only)
    m = np.maximum(only[0].sum((0, 1)), 1)
    return 100 * (a - b) / (B * n), 100 * np.sqrt(a * (1 - a / m) + b * (1 - b / m)) / (B * n)


def compute(frozen, found, ahead, tau_low, tau_high, top):
    """The operating points of one rule on the curves `found`, whose lead is `ahead`."""
    judged = judge(frozen, tau_low, tau_high, top, "learned")
    chosen, right = judged.chosen.mask.numpy(), judged.right.numpy()
    # As many of each batch as the rule takes, the most confident ones
    rival = np.argsort(found["sure"].order, -1) < chosen.sum(-1, keepdims=True)
    masks = {"threshold": judged.chosen.high.numpy(), "rule": chosen, "rival": rival}

    def point(mask):
        number = int(mask.sum())
        return Point(100 * mask.mean(), 100 * right[mask].mean() if number else np.nan, number)

    points = {name: point(mask) for name, mask in masks.items()}
    return Result(found, *ahead, points, int((chosen & ~rival).sum()), (tau_low, tau_high, top))


def draw(figure, result):
    """Left the curves with the operating points, right how far d is ahead of s at the same coverage."""
    art = style.artists(figure, _Card)
    N = len(result.lead)
    coverage = 100 * (1 + np.arange(N)) / N
    for name, line in art.curves.items():
        line.set_data(coverage, result.curves[name].precision)
    seen = [c.precision.min() for c in result.curves.values()] + [p.precision for p in result.points.values()]
    low = 10 * np.floor(np.nanmin(seen) / 10 - 0.2)
    style.limits(art.left, y=(low, 100 + 0.06 * (100 - low)))
    for name, (mark, whisker) in art.points.items():
        p = result.points[name]
        mark.set_data([p.coverage], [p.precision])
        whisker.set_data([p.coverage] * 2, [p.precision - p.error, p.precision + p.error])
    top = max(2.0, np.ceil((np.abs(result.lead) + result.doubt).max()))
    style.limits(art.right, y=(-1.15 * top, 1.15 * top))
    art.doubt.set_verts([np.r_[np.c_[coverage, result.lead + result.doubt],
                               np.c_[coverage, result.lead - result.doubt][::-1]]])  # fmt: skip
    art.lead.set_data(coverage, result.lead)
    rule, rival = result.points["rule"], result.points["rival"]
    art.gain.set_data([rule.coverage], [rule.precision - rival.precision])


class _Card:
    """The artists: two axes, three curves, three points."""

    def __init__(self, figure):
        from matplotlib.collections import PolyCollection

        left = self.left = figure.add_axes([0.065, 0.25, 0.43, 0.62])
        left.set(xlim=(0, 101), title="How right is what is taken?", xlabel="coverage: taken of all (%)")
        left.set_ylabel("precision: right (%)")
        looks = {
            "sure": {"color": style.BLUE, "lw": 2.2},
            "fixed": {"color": style.INK, "ls": "", "marker": ".", "ms": 4},
            "learned": {"color": style.ORANGE, "lw": 1.8, "ls": (0, (5, 2))},
        }
        self.curves = {name: left.plot([], [], zorder=2, **look)[0] for name, look in looks.items()}
        marks = {
            "threshold": {"marker": "s", "ms": 9, "mfc": "none", "mec": style.INK, "mew": 1.8},
            "rival": {"marker": "o", "ms": 11, "mfc": "none", "mec": style.BLUE, "mew": 1.8},
            "rule": {"marker": "*", "ms": 11, "mfc": style.ORANGE, "mec": style.CARD, "mew": 0.8},
        }
        bars = {name: left.plot([], [], color=style.QUIET, lw=1.2, zorder=3)[0] for name in marks}
        spots = {name: left.plot([], [], ls="", zorder=4, **look)[0] for name, look in marks.items()}
        self.points = {name: (spots[name], bars[name]) for name in marks}
        figure.text(0.02, 0.085, "━  confidence s    ╌  I2PEMD, learned G    •  I2PEMD, fixed G", size=8.5)
        figure.text(0.02, 0.03, "□  s > τ_high (FixMatch)    ★  I2PEMD rule    ○  as many by s    │  ± error", size=8.5)
        right = self.right = figure.add_axes([0.60, 0.25, 0.385, 0.62])
        right.set(xlim=(0, 101), title="I2PEMD (learned G) less confidence", xlabel="coverage: taken of all (%)")
        right.set_ylabel("difference (points)")
        self.doubt = PolyCollection([], facecolors="#e6dcc3", linewidths=0, zorder=0)
        right.add_collection(self.doubt, autolim=False)
        right.plot([0, 101], [0, 0], color=style.BLUE, lw=2.2, zorder=1)
        self.lead = right.plot([], [], zorder=2, **looks["learned"])[0]
        self.gain = right.plot([], [], ls="", zorder=4, **marks["rule"])[0]
        figure.text(0.555, 0.085, "above 0: d ranks better than s; shaded: ± standard error", size=8.5)
        figure.text(0.555, 0.03, "★  the I2PEMD rule less as many by s", size=8.5)


def describe(result):
    """The points in words; the numbers beside them."""
    rule, rival, threshold = (result.points[name] for name in ("rule", "rival", "threshold"))
    means = {name: curve.precision.mean() for name, curve in result.curves.items()}
    best = int(np.argmax(result.lead))
    words = [
        f"Over all coverages confidence is right in {means['sure']:.1f} % on average, I2PEMD with the learned G in "
        f"{means['learned']:.1f} %, with the fixed G in {means['fixed']:.1f} %; at best the learned one is "
        f"{result.lead[best]:.1f} ± {result.doubt[best]:.1f} points ahead."
    ]
    if rule.number:
        words.append(
            f"The I2PEMD rule takes {rule.coverage:.1f} % and is right in {rule.precision:.1f} %, as many by "
            f"confidence in {rival.precision:.1f} %; they differ in {result.differ} of {rule.number} images."
        )
    return " ".join(words), {
        "s > τ_high: taken": f"{threshold.coverage:.1f} %",
        "s > τ_high: right": _right(threshold),
        "I2PEMD rule: taken": f"{rule.coverage:.1f} %",
        "I2PEMD rule: right": _right(rule),
        "as many by s: right": _right(rival),
        "they differ in": result.differ,
        "mean over coverage, s": f"{means['sure']:.2f} %",
        "learned d": f"{means['learned']:.2f} %",
    }


def _right(point):
    return f"{point.precision:.1f} ± {point.error:.1f} %" if point.number else "nobody"


def coverage(frozen, **start):
    """Precision against coverage on `selection.Frozen` predictions; values in `start` set controls.

    Each batch is ranked by itself, as in training. The errors take pseudo-labels for independent; an image that is in
    several batches counts as often, so they are somewhat too small.

    Example
    -------
        coverage(selection.freeze(run), tau_low=0.6)
    """
    count = frozen.o.shape[1]
    found = curves(frozen)
    ahead = lead(frozen, found)
    controls = {
        "tau_low": slider("τ_low", 0.7, 0.3, 0.97, 0.01, width="250px"),
        "tau_high": slider("τ_high", 0.8, 0.32, 0.99, 0.01, width="250px"),
        "top": slider("T (nearest of the batch)", min(24, count), 1, count, 1, width="320px"),
    }
    keep_apart(controls)
    cut = lru_cache(64)(lambda *rule: compute(frozen, found, ahead, *rule))
    return Panel(
        "precision against coverage",
        controls,
        lambda state: cut(state["tau_low"], state["tau_high"], state["top"]),
        draw,
        describe,
        layout=[list(controls)],
        size=(9.4, 3.7),
        start=start,
    )
