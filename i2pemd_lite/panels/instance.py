"""All predictions over three classes at once: what each measure says of them, and where its gradient pushes (Eq. 6)."""

from types import SimpleNamespace

import numpy as np
import torch

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider, steps, switch

# The corners of the simplex in the plane: p lies at p₁ c₁ + p₂ c₂ + p₃ c₃.
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
MEASURES = ("I2PEMD  p · G[:, k]", "fixed form  1 − pₖ", "cross-entropy  −log pₖ")
TOPS = (1.0, 1.0, 4.0)
PARTS = np.arange(1, 10) / 10  # of the top of each measure, between which its bands lie
# −log pₖ is more than t where 1 − pₖ is more than 1 − e⁻ᵗ: so its bands have straight edges too.
LEVELS = (PARTS, PARTS, 1 - np.exp(-TOPS[2] * PARTS))
# (28, 3): predictions spread evenly over the inside of the simplex, 7 along an edge
FIELD = np.array([(i + 1 / 3, j + 1 / 3, 7 - i - j - 2 / 3) for i in range(7) for j in range(7 - i)]) / 7


def measures(p, label, ground, diagonal=0.0):
    """The three measures of a batch of predictions against one label.

    I2PEMD = p · G[:, k],   fixed = p · (1 − I)[:, k] = 1 − pₖ,   CE = −log pₖ

    p is (N, K), the label k from 0, the ground distance (K, K); a `diagonal` of 1, of the fixed form, is the paper's
    words taken to the letter. Each measure is (N,) and differentiable in p.

    Example
    -------
    >>> p = torch.tensor([[0.2, 0.5, 0.3]])
    >>> [round(m.item(), 4) for m in measures(p, 1, torch.tensor([[0, 1/3, 1/2], [1/3, 0, 1/2], [1/2, 1/2, 0]]))]
    [0.2167, 0.5, 0.6931]
    """
    k = torch.full((len(p),), label)
    K = p.shape[1]
    fixed = fixed_ground_distance(K, dtype=p.dtype) + diagonal * torch.eye(K, dtype=p.dtype)
    return [i2pemd(p, k, ground), i2pemd(p, k, fixed), -p[:, label].clamp(min=torch.finfo(p.dtype).tiny).log()]


def with_gradients(p, label, ground, diagonal=0.0):
    """The three measures of a batch of predictions, (3, N), and their gradients by its logits, (3, N, K)."""
    logits = p.clamp(min=1e-12).log().requires_grad_()
    values = measures(logits.softmax(1), label, ground, diagonal)
    gradients = [torch.autograd.grad(value.sum(), logits, retain_graph=True)[0] for value in values]
    return torch.stack(values).detach().numpy(), torch.stack(gradients).numpy()


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
    """The measures of the prediction in `state`, their gradients by its logits, and the maps around it.

    `state` has label (from 1), g12, g13, g23, share (p₁), rest (how much of 1 − p₁ is p₂) and diagonal (bool).
    """
    p1, p2 = state["share"], (1 - state["share"]) * state["rest"]
    G = torch.zeros(3, 3, dtype=torch.float64)
    for (i, j), name in (((0, 1), "g12"), ((0, 2), "g13"), ((1, 2), "g23")):
        G[i, j] = G[j, i] = float(state[name])
    k, diagonal = state["label"] - 1, float(state["diagonal"])
    points = np.vstack([[[p1, p2, 1 - p1 - p2]], FIELD])
    distances, gradients = with_gradients(torch.tensor(points), k, G, diagonal)
    # A step down the logits' gradient moves p by J(−∂/∂z) with J = diag(p) − p pᵀ.
    moves = points * (-gradients - (points * -gradients).sum(-1, keepdims=True))
    costs = G[:, k].numpy(), 1 - (1 - diagonal) * np.eye(3)[k], 1 - np.eye(3)[k]
    bands = [[above(cost, level) for level in levels] for cost, levels in zip(costs, LEVELS, strict=True)]
    return SimpleNamespace(p=points[0], label=k, ground=G.numpy(), distances=distances[:, 0], gradients=gradients[:, 0],
                           bands=bands, pushes=moves @ CORNERS)  # fmt: skip


def draw(card, result):
    """Three simplexes: bands of equal distance, small arrows where a gradient step moves each prediction."""
    where, field, arrow = result.p @ CORNERS, FIELD @ CORNERS, {"color": style.PAPER, "ec": style.INK}
    for i, measure in enumerate(MEASURES):
        box = [0.015 + 0.333 * i, 0.02, 0.30, 0.86]
        plane = card.plane(measure, box, "blank", aspect="equal", xlim=(-0.16, 1.16), ylim=(-0.12, 0.98))
        card.paper.text(0.02 + 0.333 * i, 0.93, measure, size=9.5)
        for part, corners in zip(PARTS, result.bands[i], strict=True):
            if corners:
                plane.polygons([corners], style.heat(part / PARTS[-1])[0])
        plane.polygons([CORNERS], "none", style.LINE, 1.5)
        pushes = result.pushes[i] / max(np.linalg.norm(result.pushes[i], axis=1).max(), 1e-12)
        plane.arrows(field, field + pushes[1:] / 8, **arrow)
        plane.arrows(where[None], where + pushes[:1] / 4, lw=3, zorder=4, **arrow)
        plane.points(*CORNERS[result.label], ms=11, zorder=5, **style.PROTOTYPE)
        plane.points(*where, ms=10, mec=style.PAPER, mew=1.5, zorder=5, **style.SOURCE)
        for k, aside in enumerate([(-0.06, -0.07), (0.06, -0.07), (0, 0.06)]):
            plane.text(*CORNERS[k] + aside, f"class {k + 1}", ha="center", va="center", size=8.5)
        plane.text(-0.14, 0.80, f"{result.distances[i]:.3f}", size=13, weight="bold", va="center")
        end = f"of {style.number(TOPS[i])}" if i < 2 else "cut at 4"
        plane.text(-0.14, 0.69, end, size=8, color=style.QUIET)


def describe(result):
    """Which class the prediction is pushed away from hardest, and the gradients as numbers."""
    G, k = result.ground, result.label
    far = max({0, 1, 2} - {k}, key=lambda j: result.gradients[0, j])
    p = ", ".join(style.number(x) for x in result.p)
    words = f"I2PEMD lowers class {far + 1} hardest, which costs {style.number(G[far, k])} a unit of mass."
    if np.abs(result.gradients[0]).max() < 1e-9:
        words = "I2PEMD has no gradient here."
    rows = ("I2PEMD", "fixed", "cross-entropy")
    numbers = {name: f"{d:.4f}" for name, d in zip(rows, result.distances, strict=True)}
    for name, gradient in zip(rows, result.gradients, strict=True):
        numbers[f"∂{name}/∂z"] = "(" + ", ".join(style.number(x, 3) for x in gradient) + ")"
    return f"p = ({p}) against class {k + 1}: {words}", numbers


def point(card, result, at, pressed):
    """The prediction p under the pointer, in whichever triangle that is; outside of one, the nearest on its edges.

    With the corners as columns, (x, y, 1) = C p is a linear system, whose solution is p inside of the triangle.
    """
    places = [plane.place(at) for plane in card.planes.values()]
    place = next((place for place in places if place is not None), None)
    if place is None:
        return {}
    p = np.linalg.solve(np.vstack([CORNERS.T, np.ones(3)]), [*place, 1.0])
    if p.min() < 0:  # The corners are equally far apart, so the nearest place is the p that is nearest on the simplex.
        p = np.maximum(p - ((np.sort(p)[::-1].cumsum() - 1) / [1, 2, 3]).max(), 0)
    share = round(float(p[0]), 2)
    rest = float(p[1] / (p[1] + p[2])) if p[1] + p[2] > 1e-9 else 0.5  # at corner 1 there is no rest to divide
    return {"share": share, "rest": round(rest, 2)}


def panel(**start):
    """The panel, with G of the three prototypes (0,0), (1,1), (3,0) to begin with; values in `start` set controls."""
    # G of three classes has entries that are multiples of 1/6, at most 2/3.
    sixths = [("0", 0.0), ("1/6", 1 / 6), ("1/3", 1 / 3), ("1/2", 1 / 2), ("2/3", 2 / 3)]
    controls = {
        "share": slider("p₁ (share)", 0.5, 0.0, 1.0, 0.01),
        "rest": slider("class 2's part of 1 − p₁ (share)", 0.5, 0.0, 1.0, 0.01),
        "label": choice("label k", [1, 2, 3], 1),
        "g12": steps("G₁₂ (cost)", sixths, 1 / 3),
        "g13": steps("G₁₃ (cost)", sixths, 1 / 2),
        "g23": steps("G₂₃ (cost)", sixths, 1 / 2),
        "diagonal": switch("fixed form with 1 on its diagonal too", False),
    }
    layout = [["share", "rest", "label"], ["g12", "g13", "g23", "diagonal"]]
    return Panel("instance to prototype", controls, compute, draw, describe, layout, (9.4, 3.0), point, start)
