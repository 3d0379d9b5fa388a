"""Precision against coverage: how right are pseudo-labels when only the best of each batch are taken?

A threshold or a T cuts a ranking somewhere. This panel shows every place at which it could be cut, and where the rules
of the methods cut it.
"""

from types import SimpleNamespace

import numpy as np

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel
from i2pemd_lite.panels.selection import judge, rule_controls, share


def rank(frozen):
    """Rank the images of each batch by itself, as a method does in training, and cut all batches at the same place.

    After n of N images of each of B batches, the coverage is n/N and the precision Σ_b right_b(n) / (B n).

    curves: the order of the images (B, N), the most trusted first, and the precision (N,) in percent, of {"sure": by
    falling s, "learned": by rising d with the network's own G, "fixed": by rising d with 1 − I}.
    The last is the first again, because then d = 1 − s, but for images whose s differ by a rounding.

    lead, doubt: how far the ranking by the learned d is ahead of that by s at each coverage, and its standard error.
    Both take most images in common, which cannot make a difference. Of the m that only d takes, a are right, and of
    the m that only s takes, b: the lead is (a − b)/n of all n, its error √(a (1 − a/m) + b (1 − b/m))/n.
    """
    o, (B, N, K) = frozen.o.double(), frozen.o.shape
    s, labels = o.max(-1)
    right, n = labels == frozen.truth, 1 + np.arange(N)
    keys = {"sure": -s}
    for name, ground in (("learned", frozen.ground), ("fixed", fixed_ground_distance(K))):
        keys[name] = i2pemd(o.flatten(0, 1), labels.flatten(), ground.double()).view_as(s)
    curves = {}
    for name, key in keys.items():
        order = key.argsort(dim=-1, stable=True)
        hits = right.gather(-1, order).double().cumsum(-1).mean(0).numpy()
        curves[name] = SimpleNamespace(order=order.numpy(), precision=100 * hits / n)
    # (B, N, N): is image i among the first n?
    learned, sure = (np.argsort(curves[name].order, -1)[..., None] < n for name in ("learned", "sure"))
    a, b = ((only & right.numpy()[..., None]).sum((0, 1)) for only in (learned & ~sure, sure & ~learned))
    m = np.maximum((learned & ~sure).sum((0, 1)), 1)
    doubt = 100 * np.sqrt(a * (1 - a / m) + b * (1 - b / m)) / (B * n)
    return SimpleNamespace(curves=curves, lead=100 * (a - b) / (B * n), doubt=doubt)


def compute(frozen, ranking, rule):
    """Where one rule (τ_low, τ_high, T) cuts the curves of a ranking of the `frozen` predictions.

    points: "threshold" (s > τ_high), "rule" (Eq. 18) and "rival" (as many by s) -> coverage, the part of all images
    that it takes, in percent, and the `Share` of right ones;  differ: images that only the rule takes
    """
    judged = judge(frozen, *rule, "learned")
    chosen, right = judged.chosen.mask.numpy(), judged.right.numpy()
    # As many of each batch as the rule takes, the most confident ones
    rival = np.argsort(ranking.curves["sure"].order, -1) < chosen.sum(-1, keepdims=True)
    masks = {"threshold": judged.chosen.high.numpy(), "rule": chosen, "rival": rival}
    points = {name: SimpleNamespace(coverage=100 * mask.mean(), right=share(int(mask.sum()), int(right[mask].sum())))
              for name, mask in masks.items()}  # fmt: skip
    return SimpleNamespace(**vars(ranking), points=points, rule=rule, differ=int((chosen & ~rival).sum()))


CURVES = {
    "sure": {"color": style.BLUE, "lw": 2.2},
    "fixed": {"color": style.INK, "ls": "", "marker": ".", "ms": 4},
    "learned": {"color": style.ORANGE, "lw": 1.8, "ls": (5, 2)},
}
POINTS = {
    "threshold": {"marker": "s", "ms": 9, "mfc": "none", "mec": style.INK, "mew": 1.8},
    "rival": {"marker": "o", "ms": 11, "mfc": "none", "mec": style.BLUE, "mew": 1.8},
    "rule": {"marker": "*", "ms": 11, "mfc": style.ORANGE, "mec": style.PAPER, "mew": 0.8},
}


def draw(card, result):
    """Left the curves with the operating points, right how far d is ahead of s at the same coverage."""
    cuts = 100 * (1 + np.arange(len(result.lead))) / len(result.lead)
    least = [curve.precision.min() for curve in result.curves.values()]
    least += [point.right.percent for point in result.points.values()]
    low = 10 * np.floor(np.nanmin(least) / 10 - 0.2)
    across = {"xlim": (0, 101), "xlabel": "coverage: taken of all (%)"}
    left = card.plane("precision", [0.065, 0.25, 0.43, 0.62], ylim=(low, 100 + 0.06 * (100 - low)), **across,
                      title="How right is what is taken?", ylabel="precision: right (%)")  # fmt: skip
    for name, look in CURVES.items():
        left.line(cuts, result.curves[name].precision, zorder=2, **look)
    for name, look in POINTS.items():
        coverage, (_, percent, error) = result.points[name].coverage, result.points[name].right
        left.line([coverage] * 2, [percent - error, percent + error], color=style.QUIET, lw=1.2, zorder=3)
        left.points(coverage, percent, zorder=4, **look)
    top = max(2.0, np.ceil((np.abs(result.lead) + result.doubt).max()))
    right = card.plane("lead", [0.60, 0.25, 0.385, 0.62], ylim=(-1.15 * top, 1.15 * top), **across,
                       title="I2PEMD (learned G) less confidence", ylabel="difference (points)")  # fmt: skip
    above, below = (np.c_[cuts, result.lead + sign * result.doubt] for sign in (1, -1))
    right.polygons([np.r_[above, below[::-1]]], fc=style.BAND, zorder=0)
    right.line([0, 101], [0, 0], color=style.BLUE, lw=2.2, zorder=1)
    right.line(cuts, result.lead, zorder=2, **CURVES["learned"])
    rule, rival = result.points["rule"], result.points["rival"]
    right.points(rule.coverage, rule.right.percent - rival.right.percent, zorder=4, **POINTS["rule"])
    for x, y, words in (
        (0.02, 0.085, "━  confidence s    ╌  I2PEMD, learned G    •  I2PEMD, fixed G"),
        (0.02, 0.03, "□  s > τ_high (FixMatch)    ★  I2PEMD rule    ○  as many by s    │  ± error"),
        (0.555, 0.085, "above 0: d ranks better than s; shaded: ± standard error"),
        (0.555, 0.03, "★  the I2PEMD rule less as many by s"),
    ):
        card.paper.text(x, y, words, size=8.5)


def describe(result):
    """The points in words; the numbers beside them."""
    rule, rival, threshold = (result.points[name] for name in ("rule", "rival", "threshold"))
    means = {name: curve.precision.mean() for name, curve in result.curves.items()}
    best = int(np.argmax(result.lead))
    words = f"Over all coverages confidence is right in {means['sure']:.1f} % on average, I2PEMD with the learned G in "
    words += f"{means['learned']:.1f} %, with the fixed G in {means['fixed']:.1f} %; at best the learned one is "
    words += f"{result.lead[best]:.1f} ± {result.doubt[best]:.1f} points ahead."
    if rule.right.number:
        words += f" The I2PEMD rule takes {rule.coverage:.1f} % and is right in {rule.right.percent:.1f} %, as many "
        words += f"by confidence in {rival.right.percent:.1f} %; "
        words += f"they differ in {result.differ} of {rule.right.number} images."
    return words, {
        "s > τ_high: taken": f"{threshold.coverage:.1f} %",
        "s > τ_high: right": str(threshold.right),
        "I2PEMD rule: taken": f"{rule.coverage:.1f} %",
        "I2PEMD rule: right": str(rule.right),
        "as many by s: right": str(rival.right),
        "they differ in": result.differ,
        "mean over coverage, s": f"{means['sure']:.2f} %",
        "learned d": f"{means['learned']:.2f} %",
    }


def coverage(frozen, **start):
    """Precision against coverage on `selection.Frozen` predictions, as `coverage(freeze(run))`; `start` sets controls.

    Each batch is ranked by itself, as in training. The errors take pseudo-labels for independent; an image that is in
    several batches counts as often, so they are somewhat too small.
    """
    ranking, controls = rank(frozen), rule_controls(frozen.o.shape[1])
    return Panel("precision against coverage", controls, lambda state: compute(frozen, ranking, tuple(state.values())),
                 draw, describe, layout=[list(controls)], size=(9.4, 3.7), start=start)  # fmt: skip
