"""From prototypes to the ground distance: points in the plane, their L1 distances, row ranks, and G (Eq. 3-5)."""

from types import SimpleNamespace

import numpy as np
import torch

from i2pemd_lite.files import BadInput
from i2pemd_lite.ground import ground_distance, percentile_ranks, prototype_distances
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider, steps

LAYOUTS = {
    "five organs": [[0.0, 0.0], [4.0, 0.5], [1.0, 2.5], [1.5, 3.5], [5.0, 2.25]],
    "two classes": [[1.0, 1.0], [4.0, 2.0]],
    "three, with a tie": [[0.0, 0.0], [1.0, 1.0], [3.0, 0.0]],
    "one far away": [[0.0, 0.0], [1.0, 0.0], [0.0, 1.5], [6.0, 4.0]],
    "seven on a line": [[float(k), 0.0] for k in range(7)],
}
REACH, STEP = 5.0, 0.25  # of the sliders that move a prototype, in feature units


def compute(state):
    """Place the prototypes of a layout, shift one of them, scale them all, and take Eq. 3, 4 and 5.

    `state` has layout, moving (from 1), right and up (shift, feature units) and scale.
    """
    layout, scale, moving = np.array(LAYOUTS[state["layout"]]), state["scale"], state["moving"] - 1
    if not 0 <= moving < len(layout):
        raise BadInput(f"prototype to move: this layout has {len(layout)}, found {moving + 1}; pick a smaller one")
    points = layout.copy()
    points[moving] += state["right"], state["up"]
    c = torch.tensor(points * scale, dtype=torch.float64)
    g = prototype_distances(c)
    return SimpleNamespace(layout=layout, moving=moving, scale=scale, prototypes=c.numpy(), distances=g.numpy(),
                           ranks=percentile_ranks(g).numpy(), ground=ground_distance(c).numpy())  # fmt: skip


def draw(card, result):
    """The plane on the left; raw distances, row ranks and G on the right, each made from the one before."""
    points, K = result.prototypes, len(result.prototypes)
    # Whole multiples of 2 units, so that the frame stands still while a prototype moves within it.
    ends = 2 * np.floor((points.min() - 0.2) / 2), 2 * np.ceil((points.max() + 0.8) / 2)
    half = (ends[1] - ends[0]) / 2
    box, look = [0.035, 0.13, 0.24, 0.70], {"xlim": ends, "ylim": ends, "aspect": "equal"}
    plane = card.plane("prototypes", box, ticks=4, **look)
    plane.look(title="Prototypes in the plane", xlabel="feature 1 (feature 2 upwards)")
    plane.segments([[points[result.moving], c] for c in points], color=style.LINE, lw=1, zorder=1)
    plane.points(*points.T, ms=8, **style.PROTOTYPE)
    plane.points(*points[result.moving], marker="o", ms=16, mfc="none", mec=style.QUIET, mew=1.2)
    for k, (x, y) in enumerate(points):
        # Outside of the ring; names of prototypes in one place go side by side.
        before = int((np.abs(points[:k] - (x, y)).max(1, initial=0) < 0.02 * half).sum())
        plane.text(x + (0.12 + 0.16 * before) * half, y + 0.03 * half, f"c{style.subscript(k + 1)}", size=9)
    c, size = style.names("c", K), 8.5 if K < 6 else 7
    matrices = {
        "g: L1 distance (Eq. 3)": (result.distances, max(result.distances.max(), 1e-9)),
        "ḡ: rank in its row / K (Eq. 4)": (result.ranks, 1.0),
        "G: mean of ḡ and ḡᵀ (Eq. 5)": (result.ground, 1.0),
    }
    for i, (title, (values, top)) in enumerate(matrices.items()):
        matrix = card.plane(title, [0.315 + 0.235 * i, 0.08, 0.205, 0.70], "blank", title=title)
        matrix.matrix(values, c, c, top, size)


def describe(result):
    """Which classes G holds to be alike, and the properties that a learner can check."""
    K, G = len(result.ground), result.ground
    off = ~np.eye(K, dtype=bool)
    ties = sum(len(row) - len(np.unique(row)) for row in result.ranks)
    words = "All prototypes are in one point: every distance is 0, every rank is 0, and G vanishes."
    if G.any():
        i, j = np.unravel_index(np.argmin(np.where(off, G, np.inf)), G.shape)
        words = f"The cheapest mistake is between class {i + 1} and class {j + 1}, at {style.number(G[i, j])}; "
        words += f"the dearest costs {style.number(G.max())}."
    return words, {
        "mean of G off the diagonal": f"{G[off].mean():.4f}",
        "largest entry": f"{G.max():.4f}",
        "its bound (K−1)/K": f"{(K - 1) / K:.4f}",
        "largest |ḡ − ḡᵀ|": f"{np.abs(result.ranks - result.ranks.T).max():.4f}",
        "ties": ties,
    }


def point(card, result, at, pressed):
    """The prototype nearest to where the pointer went down, and the shift, in steps of the sliders, that takes it
    along.

    The sliders shift before all is scaled, so the shift is x/scale less the place in the layout.
    """
    place = card.planes["prototypes"].place(at)
    if place is None or result.scale == 0:  # scaled to one point, there is nothing to pick
        return {}
    k = int(np.linalg.norm(result.prototypes - place, axis=1).argmin()) if pressed else result.moving
    shift = np.array(place) / result.scale - result.layout[k]
    right, up = np.clip(np.rint(shift / STEP) * STEP, -REACH, REACH)
    return {"moving": k + 1, "right": float(right), "up": float(up)}


def panel(layout="five organs", **start):
    """The panel; `layout` is a key of LAYOUTS, and further values set controls."""
    controls = {
        "layout": choice("layout", list(LAYOUTS), layout),
        "moving": slider("prototype to move", 1, 1, len(LAYOUTS[layout]), 1),
        "right": slider("move right", 0.0, -REACH, REACH, STEP, "feature units"),
        "up": slider("move up", 0.0, -REACH, REACH, STEP, "feature units"),
        # Powers of two scale without rounding, so that a tie stays a tie.
        "scale": steps("scale all by", [0, 0.25, 0.5, 1, 2, 4, 8], 1),
    }
    controls["layout"].observe(lambda change: setattr(controls["moving"], "max", len(LAYOUTS[change["new"]])), "value")
    layout = [["right", "up", "scale"], ["moving", "layout"]]
    return Panel("ground distance", controls, compute, draw, describe, layout=layout, point=point, start=start)
