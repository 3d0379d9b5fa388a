"""One prediction over two to seven classes against a label: what it costs, and where it is pushed (Eq. 6).

A result has three views: "mass" is the whole method, from features to the mass that moves; "term by term" is what each
class adds to each measure; "all predictions", of three classes, shows every other prediction beside this one.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.files import BadInput
from i2pemd_lite.ground import fixed_ground_distance, ground_distance
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider

MEASURES = {"I2PEMD": "p · G[:, k]", "fixed form": "1 − pₖ", "cross-entropy": "−log pₖ, cut at 4"}
TOPS = (1.0, 1.0, 4.0)
PLACES = [(0, 0), (1, 1), (3, 0), (4, 3), (2, 2.5), (5, 1.5), (0.5, 3.5)]
PROTOTYPES = {"apart": PLACES, "1 and 2 in one place": [(0, 0), (0, 0), *PLACES[2:]],
              "on a line": [(i, 0) for i in range(7)]}  # fmt: skip
FIXED, ONES = "none: every mistake costs 1", "none: every entry of G is 1"
SHARES = ("p1", "part2", "part3", "part4", "part5", "part6")
# The corners of the simplex in the plane: p lies at p₁ c₁ + p₂ c₂ + p₃ c₃.
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
LABEL = {"color": style.LABEL, "marker": "x", "mew": 3.5}  # k, in every view
BANDS = np.arange(1, 10) / 10  # of the top of each measure
# −log pₖ is more than t where 1 − pₖ is more than 1 − e⁻ᵗ: so its bands have straight edges too.
LEVELS = (BANDS, BANDS, 1 - np.exp(-TOPS[2] * BANDS))
# (28, 3): predictions spread evenly over the inside of the simplex, 7 along an edge
FIELD = np.array([(i + 1 / 3, j + 1 / 3, 7 - i - j - 2 / 3) for i in range(7) for j in range(7 - i)]) / 7


def measures(p, label, ground):
    """The `MEASURES` (3, N) of predictions p (N, K) for a label from 0, and their gradients by the logits (3, N, K)."""
    k, fixed = torch.full((len(p),), label), fixed_ground_distance(p.shape[1], dtype=p.dtype)
    logits = p.clamp(min=1e-12).log().requires_grad_()
    q = logits.softmax(1)
    values = [i2pemd(q, k, ground), i2pemd(q, k, fixed), -q[:, label].log()]
    slopes = [torch.autograd.grad(value.sum(), logits, retain_graph=True)[0] for value in values]
    return torch.stack(values).detach().numpy(), torch.stack(slopes).numpy()


def above(cost, level):
    """The corners of the part of the triangle where p · cost is more than `level`; none where that is nowhere."""
    corners = []
    for i, j in ((0, 1), (1, 2), (2, 0)):
        if cost[i] > level:
            corners.append(CORNERS[i])
        if (cost[i] > level) != (cost[j] > level):
            corners.append(CORNERS[i] + (level - cost[i]) / (cost[j] - cost[i]) * (CORNERS[j] - CORNERS[i]))
    return corners


def compute(state):
    """What the measures say of the prediction in `state`, and of three classes the bands and moves of all predictions.

    p1, part2, part3, … are parts sᵢ of what the classes before leave: pᵢ = sᵢ ∏ⱼ₍ⱼ<ᵢ₎ (1 − sⱼ), and s_K = 1. Beside
    them a state has label (from 1), prototypes and view.
    """
    shares = np.array([state[name] for name in SHARES if name in state])
    p, k = np.append(shares, 1) * np.append(1, np.cumprod(1 - shares)), state["label"] - 1
    places, K = np.array(PROTOTYPES.get(state["prototypes"], ())[: len(p)], float), len(p)
    G = fixed = fixed_ground_distance(K, dtype=torch.float64)
    if state["prototypes"] != FIXED:
        G = ground_distance(torch.tensor(places)) if len(places) else torch.ones_like(fixed)
    points = np.vstack([p, FIELD]) if K == 3 else p[None]
    distances, gradients = measures(torch.tensor(points), k, G)
    costs = torch.stack([G[:, k], fixed[:, k], fixed[:, k]]).numpy()
    pairs = zip(costs, LEVELS, strict=True) if K == 3 else ()
    # A step down the logits' gradient moves p by J(−∂/∂z) with J = diag(p) − p pᵀ.
    moves = -points * (gradients - (points * gradients).sum(-1, keepdims=True))
    surprise = np.eye(K)[k] * min(distances[2, 0] / TOPS[2], 1)
    return SimpleNamespace(view=state["view"], p=p, label=k, places=places, ground=G.numpy(), distances=distances[:, 0],
                           gradients=gradients[:, 0], parts=np.vstack([p * costs[:2], surprise]), moves=moves,
                           bands=[[above(cost, level) for level in levels] for cost, levels in pairs])  # fmt: skip


def _draw_mass(card, result):
    """Left the features and prototypes, middle G with the label's column framed, right the mass that moves."""
    K, k, c = len(result.p), result.label, style.names("c", len(result.p))
    from_features = "Features, one prototype a class" if len(result.places) else "No features: this G is fixed"
    for x, words in ((0.02, f"1  {from_features}"), (0.355, "2  Ground distance G between classes"),
                     (0.675, "3  Carry the prediction p to its label")):  # fmt: skip
        card.paper.text(x, 0.92, words, size=10)
    if len(result.places):
        (x0, y0), (x1, y1) = result.places.min(0) - 0.9, result.places.max(0) + 0.9
        plane = card.plane("features", [0.02, 0.1, 0.28, 0.76], "blank", aspect="equal", xlim=(x0, x1), ylim=(y0, y1))
        card.paper.text(0.02, 0.03, "● CT", color=style.BLUE, weight="bold")
        card.paper.text(0.08, 0.03, "× MR", color=style.ORANGE, weight="bold")
    random = np.random.default_rng(3)
    for name, centre in zip(c, result.places, strict=False):
        ct, mr = centre + 0.26 * random.standard_normal((2, 14, 2)) + [[[-0.12, 0.1]], [[0.12, -0.1]]]
        plane.points(*ct.T, ms=4.5, alpha=0.7, **style.SOURCE)
        plane.points(*mr.T, ms=5, alpha=0.8, **style.TARGET | {"mew": 1.4})
        plane.points(*centre, ms=10, **style.PROTOTYPE)
        plane.text(*centre + [0.2, 0.14], name, weight="bold", size=11, halo=True)
    ground = card.plane("G", [0.375, 0.10, 0.235, 0.66], "blank")
    names = [[(f"x{i}-{j}",) for j in range(K)] for i in range(K)]
    ground.matrix(result.ground, c, c, size=10 if K < 5 else 8, names=names)
    ground.rect(k - 0.5, -0.5, 1, K, ec=style.LABEL, lw=3, zorder=3, clip=False)
    shares = [f"p{style.subscript(i + 1)} = {style.number(p)}" for i, p in enumerate(result.p)]
    links = [names[i][k] for i in range(K)]
    draw_mass(card, [0.72, 0.13, 0.27, 0.70], result.p, result.ground[:, k], k, shares, links)
    card.paper.text(0.675, 0.03, f"I2PEMD = {result.distances[0]:.4f}", size=11, weight="bold")


def draw_mass(card, box, p, costs, k, shares, links=None):
    """The masses p (K,) on the left, each with the words of its share, on their roads to the label k, which cost so
    much (K,); `links` has the names of each road."""
    K = len(p)
    plane = card.plane("mass", box, "blank", xlim=(-0.55, 1.2), ylim=(K - 0.55, -0.45))
    roads = np.array([[(0, i), (1, k)] for i in range(K)], float)
    for i, road in enumerate(roads):
        with plane.link(*(links[i] if links else ())):
            plane.segments([road], style.LINE, 18 * p[i], zorder=1)
    plane.flow(roads, p, style.MASS)
    for i, size in enumerate(np.sqrt(1200 * p + 4)):
        plane.points(0, i, marker="o", ms=size, color=style.MASS)
    plane.points(1, k, ms=15, **LABEL)
    for i, (share, cost) in enumerate(zip(p, costs, strict=True)):
        look = {"va": "center", "weight": "bold"}
        plane.text(-0.22, i, shares[i], ha="right", color=style.MASS, **look)
        if share * cost > 0:
            product = f"{style.number(share)} × {style.number(cost)}"
            plane.text(0.42, i + 0.42 * (k - i), product, ha="center", halo=True, **look)


def _draw_all(card, result):
    """Three simplexes: bands of equal distance, small arrows where a gradient step moves each prediction."""
    where, field, arrow = result.p @ CORNERS, FIELD @ CORNERS, {"color": style.PAPER, "ec": style.INK}
    for i, (name, form) in enumerate(MEASURES.items()):
        box = [0.015 + 0.333 * i, 0.02, 0.30, 0.86]
        plane = card.plane(name, box, "blank", aspect="equal", xlim=(-0.16, 1.16), ylim=(-0.12, 0.98))
        card.paper.text(0.02 + 0.333 * i, 0.92, f"{name}  {form}", size=10)
        for part, corners in zip(BANDS, result.bands[i], strict=True):
            plane.polygons([corners], style.heat(part / BANDS[-1])[0])
        plane.polygons([CORNERS], "none", style.LINE, 1.5)
        pushes = result.moves[i] @ CORNERS
        pushes /= max(np.linalg.norm(pushes, axis=1).max(), 1e-12)
        plane.arrows(field, field + pushes[1:] / 8, **arrow)
        plane.arrows(where[None], where + pushes[:1] / 4, lw=3, zorder=4, **arrow)
        plane.points(*CORNERS[result.label], ms=11, zorder=5, **LABEL)
        plane.points(*where, marker="o", ms=10, color=style.MASS, mec=style.PAPER, mew=1.5, zorder=5)
        for k, aside in enumerate([(-0.06, -0.07), (0.06, -0.07), (0, 0.06)]):
            plane.text(*CORNERS[k] + aside, f"class {k + 1}", ha="center", va="center")
        plane.text(-0.14, 0.80, f"{result.distances[i]:.3f}", size=13, weight="bold", va="center")
        plane.text(-0.14, 0.69, f"of {style.number(TOPS[i])}", color=style.QUIET)


def _draw_terms(card, result):
    """Left p and the column of G, middle the products that add up to a distance, right the gradients."""
    K, k, aside = len(result.p), result.label, 0.17  # a bar has the mark of its cost beside it
    where, axes = np.arange(K), {"xlim": (-0.6, K - 0.4), "xticks": np.arange(K)}
    left = card.plane("p", [0.045, 0.22, 0.285, 0.63], ylim=(-0.1, 1.15), ticks=6, **axes,
                      xticklabels=style.names("p", K), title="Prediction p, and the column G[:, k]")  # fmt: skip
    for i, p in enumerate(result.p):
        left.rect(i - aside - 0.22, 0, 0.44, p, fc=style.MASS)
        left.text(i - aside, p + 0.015, style.number(p), ha="center", va="bottom", color=style.MASS)
    left.points(where + 0.27, result.ground[:, k], marker="_", ms=11, mew=2.6, color=style.GROUND)
    left.points(k - aside, -0.05, ms=8, **LABEL)
    middle = card.plane("parts", [0.375, 0.22, 0.275, 0.63], "blank", xlim=(0, 1.0), ylim=(2.35, -0.7),
                        title="What the classes add to the distance")  # fmt: skip
    for row, (name, form) in enumerate(MEASURES.items()):
        for i, (part, end) in enumerate(zip(result.parts[row], result.parts[row].cumsum(), strict=True)):
            middle.rect(end - part, row - 0.21, part, 0.42, fc=(style.DEEP, style.STEEL)[i % 2], ec=style.PAPER, lw=0.8)
            middle.text(end - part / 2, row, i + 1 if part > 0.035 else "", color=style.PAPER, ha="center", va="center")
        middle.text(0, row - 0.36, f"{name}: {form}", va="center")
        middle.text(1.0, row - 0.36, f"{result.distances[row]:.3f}", size=9.5, weight="bold", ha="right", va="center")
    right = card.plane("gradients", [0.715, 0.22, 0.275, 0.63], ylim=(-1.15, 1.15), **axes,
                       xticklabels=style.names("z", K), title="Gradients ∂/∂zⱼ, of ▮ and ○ times 4")  # fmt: skip
    right.line(axes["xlim"], [0, 0], color=style.LINE, lw=1, zorder=0)
    bars, fixed = 4 * result.gradients[:2]  # p (d - Gᵢₖ) is within ± ¼
    for i, value in enumerate(bars):
        right.rect(i - 0.25, 0, 0.5, value, fc=style.DEEP)
    right.points(where, fixed, marker="o", ms=7, mfc="none", mec=style.QUIET, mew=1.5)
    right.points(where, result.gradients[2], marker="D", ms=6, color=style.INK)
    card.paper.text(0.02, 0.03, "▮ share pᵢ   ━ cost Gᵢₖ of that share   × label k")
    card.paper.text(0.375, 0.03, "A number is a class. A full row is 1, the last 4.")
    card.paper.text(0.705, 0.03, "▮ I2PEMD   ○ fixed form   ◆ cross-entropy")


VIEWS = {"mass": _draw_mass, "all predictions": _draw_all, "term by term": _draw_terms}


def draw(card, result):
    """The view that was chosen."""
    VIEWS[result.view](card, result)


def describe(result):
    """The sum of Eq. 6, which class adds most to it, and which logit each measure lowers hardest."""
    k, number, paid = result.label, style.number, np.flatnonzero(result.parts[0])
    terms = " + ".join(f"{number(result.p[i], 4)} × {number(result.ground[i, k], 4)}" for i in paid)
    words = f"All mass goes to class {k + 1}: {terms} = {result.distances[0]:.4f}. "
    words += f"Class {np.argmax(result.parts[0]) + 1} adds most."
    if not len(paid):
        words = f"All mass is on classes that cost nothing when the label is class {k + 1}, so the distance is 0."
    last = int(np.flatnonzero(result.p > 1e-9)[-1])
    if last < len(result.p) - 2:
        words += f" Nothing is left after class {last + 1}, so the sliders of the later classes change nothing."
    numbers = {name: f"{distance:.4f}" for name, distance in zip(MEASURES, result.distances, strict=True)}
    for name, slope in zip(MEASURES, result.gradients, strict=True):
        j = int(np.argmax(slope))
        lowered = f"z{style.subscript(j + 1)}, by {slope[j]:.4f}"
        numbers[f"{name} lowers hardest"] = lowered if slope[j] > 5e-5 else "none"
    return words, numbers


def point(card, result, at, pressed):
    """The label in a row or column under the pointer, the prediction in a triangle, or with a bar that ends there.

    With the corners as columns, (x, y, 1) = C p is a linear system, whose solution is p inside of the triangle; outside
    of it p is the nearest on its edges. When a bar moves, the shares of the others keep their proportions.
    """
    K, p = len(result.p), result.p.copy()
    name, place = next(((name, place) for name, plane in card.planes.items()
                        if (place := plane.place(at)) is not None), ("", None))  # fmt: skip
    if name in ("G", "mass"):
        return {"label": int(np.clip(np.rint(place[int(name == "mass")]), 0, K - 1)) + 1}
    if name in MEASURES:
        p = np.linalg.solve(np.vstack([CORNERS.T, np.ones(3)]), [*place, 1.0])
        if p.min() < 0:  # The corners are equally far apart, so the nearest place is the nearest p of the simplex.
            p = np.maximum(p - ((np.sort(p)[::-1].cumsum() - 1) / [1, 2, 3]).max(), 0)
    elif name == "p":
        k, share = int(np.clip(np.rint(place[0]), 0, K - 1)), float(np.clip(place[1], 0, 1))
        p = p * (1 - share) / (1 - p[k]) if p[k] < 1 else np.full(K, (1 - share) / (K - 1))
        p[k] = share
    else:
        return {}
    left = p[::-1].cumsum()[:0:-1]
    parts = np.divide(p[:-1], left, out=np.full(K - 1, 0.5), where=left > 1e-9)  # a half of nothing
    return dict(zip(SHARES, parts.round(4).tolist(), strict=False))


def panel(K: int = 3, **start: Any) -> Panel:
    """The panel of K of 2 to 7 classes; `start` sets controls, as in panel(7, view="term by term", label=2)."""
    if K not in range(2, 8):
        raise BadInput(f"K: expected 2 to 7 classes, found {K!r}; choose one of these numbers")
    controls = {"label": choice("label k", list(range(1, K + 1)), 1), "p1": slider("p₁ (share)", 0.2, 0.0, 1.0, 0.01)}
    for i, name in enumerate(SHARES[1 : K - 1], 2):
        part = 0.625 if i == 2 else round(1 / (K - i + 1), 4)  # from the third on all are equal
        controls[name] = slider(f"class {i}'s part of the rest", part, 0.0, 1.0, 0.005)
    controls["prototypes"] = choice("prototypes", [*PROTOTYPES, FIXED, ONES], "apart")
    controls["view"] = choice("view", [each for each in VIEWS if K == 3 or each != "all predictions"], "mass")
    names = list(controls)
    return Panel(f"one prediction, {K} classes", controls, compute, draw, describe, [names[:3], names[3:]], (9.4, 3.1),
                 point, start)  # fmt: skip
