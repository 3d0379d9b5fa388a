"""From prototypes to the ground distance: points in the plane, their L1 distances, row ranks, and G (Eq. 3-5)."""

import inspect
import textwrap
from types import SimpleNamespace
from typing import Any

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
REACH, STEP = 3.0, 0.25  # of the sliders that move a prototype, in feature units
ALL = "all"
CODE = [textwrap.fill(inspect.getsource(function).strip().rpartition("return ")[2], 30)
        for function in (prototype_distances, percentile_ranks, ground_distance)]  # fmt: skip


def compute(state):
    """Place the prototypes of a layout, shift one of them, scale them all, and take Eq. 3, 4 and 5.

    So many entries of Eq. 4 are shown, row by row, as are ranked in the state; ALL for the whole table.
    """
    layout, scale, moving = np.array(LAYOUTS[state["layout"]]), state["scale"], state["moving"] - 1
    if not 0 <= moving < len(layout):
        raise BadInput(f"prototype to move: this layout has {len(layout)}, found {moving + 1}; pick a smaller one")
    points = layout.copy()
    points[moving] += state["right"], state["up"]
    c = torch.tensor(points * scale, dtype=torch.float64)
    g, most = prototype_distances(c), len(c) ** 2
    ranked = most if state["ranked"] == ALL else min(state["ranked"], most)
    return SimpleNamespace(layout=layout, moving=moving, scale=scale, prototypes=c.numpy(), distances=g.numpy(),
                           ranks=percentile_ranks(g).numpy(), ground=ground_distance(c).numpy(),
                           ranked=ranked, entry=divmod(ranked - 1, len(c)) if 0 < ranked < most else None)  # fmt: skip


def draw(card, result):
    """The plane on the left; raw distances, row ranks and G on the right, each made from the one before."""
    points, K = result.prototypes, len(result.prototypes)
    # What the sliders can reach: so the frame stands still while a prototype moves, or all come closer.
    low, high = result.layout.min(0) - REACH, result.layout.max(0) + REACH
    ends, half = np.transpose([low, high]) * max(result.scale, 1), max(high - low) * max(result.scale, 1) / 2
    box, look = [0.035, 0.16, 0.24, 0.68], {"xlim": ends[0], "ylim": ends[1], "aspect": "equal"}
    plane = card.plane("prototypes", box, ticks=4, **look)
    plane.look(title="Prototypes in the plane", xlabel="feature 1 (feature 2 upwards)")
    plane.segments([[points[result.moving], c] for c in points], color=style.LINE, lw=1, zorder=1)
    above = 15 / np.abs(plane.at(1, 1) - plane.at(0, 0))[1]  # outside of the ring
    for k, (x, y) in enumerate(points):
        # Names of prototypes in one place go side by side.
        before = int((np.abs(points[:k] - (x, y)).max(1, initial=0) < 0.02 * half).sum())
        with plane.link(f"c{k}"):
            plane.points(x, y, ms=8, **style.PROTOTYPE)
            free = y + 2 * above < ends[1][1]  # of the title; else the name goes to the right
            name, at = f"c{style.subscript(k + 1)}", (x, y + above) if free else (x + 1.4 * above, y - 0.3 * above)
            plane.text(at[0] + 0.16 * before * half, at[1], name, size=9, ha="center")
    plane.points(*points[result.moving], marker="o", ms=16, mfc="none", mec=style.QUIET, mew=1.2)
    c, size, done = style.names("c", K), 8.5 if K < 6 else 7, np.arange(K * K).reshape(K, K) < result.ranked
    matrices = {
        "g: L1 distance (Eq. 3)": (result.distances, max(result.distances.max(), 1e-9), _distance),
        "ḡ: rank in its row / K (Eq. 4)": (np.where(done, result.ranks, np.nan), 1.0, _rank),
        "G: mean of ḡ and ḡᵀ (Eq. 5)": (np.where(done & done.T, result.ground, np.nan), 1.0, _price),
    }
    for n, (title, (values, top, term)) in enumerate(matrices.items()):
        left = 0.315 + 0.235 * n
        matrix = card.plane(title, [left, 0.29, 0.205, 0.545], "blank", title=title, anchor="NW")
        matrix.look(ink=style.GROUND if title[0] == "G" else style.INK)
        names, terms = np.empty((2, K, K), object)
        for i, j in np.ndindex(K, K):
            names[i, j] = f"c{i}", f"c{j}", title[0], f"{title[0]}{i}-{j}"
            terms[i, j] = term(result, i, j) if values[i, j] >= 0 else ""
        words = [[style.number(value) if value >= 0 else "" for value in row] for row in values]
        matrix.matrix(values, c, c, top, size, words=words, names=names, terms=terms)
        with card.paper.link(title[0]):
            card.paper.text(left, 0.21, CODE[n], va="top", color=style.QUIET)
    if result.entry:
        _draw_row(card, result, *list(card.planes.values())[1:3])


def _draw_row(card, result, distances, ranks):
    """The entry that was ranked last, which entries of its row are smaller, and the row in its order."""
    (i, j), row = result.entry, result.distances[result.entry[0]]
    smaller = [(distances, at, style.GREEN) for at in np.flatnonzero(row < row[j])]
    for plane, at, ink in (*smaller, (distances, j, style.BLACK), (ranks, j, style.BLACK)):
        for ec, lw in (style.PAPER, 4.5), (ink, 2):  # a rim of paper, to be seen on every cell
            plane.rect(at - 0.44, i - 0.44, 0.88, 0.88, ec=ec, lw=lw, zorder=2)
    card.paper.text(0.315, 0.035, f"Row {i + 1} of g in its order:", size=9)
    for n, at in enumerate(np.argsort(row, kind="stable")):
        ink = style.BLACK if at == j else style.GREEN if row[at] < row[j] else style.QUIET
        weight = "" if ink == style.QUIET else "bold"
        card.paper.text(0.52 + 0.05 * n, 0.035, style.number(row[at]), size=9, color=ink, weight=weight, ha="center")


def _distance(result, i, j):
    one, two = result.prototypes[[i, j]]
    parts = [f"|{style.number(a)} − {style.number(b)}|" for a, b in zip(one, two, strict=True)]
    return f"{_entry('g', i, j)} = {' + '.join(parts)} = {style.number(result.distances[i, j])}"


def _rank(result, i, j):
    row = result.distances[i]
    return f"{_entry('ḡ', i, j)} = {(row < row[j]).sum()} smaller / {len(row)} = {style.number(result.ranks[i, j])}"


def _price(result, i, j):
    one, two, mean = (style.number(matrix[at]) for matrix, at in
                      ((result.ranks, (i, j)), (result.ranks, (j, i)), (result.ground, (i, j))))  # fmt: skip
    return f"{_entry('G', i, j)} = ({one} + {two}) / 2 = {mean}"


def _entry(symbol, i, j):
    return f"{symbol}{style.subscript(i + 1)}{style.subscript(j + 1)}"


def describe(result):
    """Which classes G holds to be alike, and the properties that a learner can check."""
    K, G = len(result.ground), result.ground
    off = ~np.eye(K, dtype=bool)
    ties = sum(len(row) - len(np.unique(row)) for row in result.ranks)
    words = "All prototypes are at the same point. So every distance is 0, every rank is 0, and all of G is 0."
    if G.any():
        least = G[off].min()
        near = [f"classes {i + 1} and {j + 1}" for i, j in np.argwhere(np.triu(off & np.isclose(G, least)))]
        words = f"It is cheapest to confuse {', or '.join(near)}: that costs {style.number(least)}."
        words += f" The most expensive mistake costs {style.number(G.max())}."
        words += " Equal distances in a row of g share the lower rank, so the mean of G is lower." * bool(ties)
    if result.entry:
        i, j = result.entry
        words = f"Rank {result.ranked} of {K * K}. In row {i + 1} of g, count the distances that are smaller than "
        words += f"{_entry('g', i, j)} = {style.number(result.distances[i, j])}: {_rank(result, i, j)}."
    elif not result.ranked:
        words = "No rank is computed yet. Press play at “ranks computed”, or move it one step."
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


def panel(layout: str = "five organs", **start: Any) -> Panel:
    """The panel; `layout` is a key of LAYOUTS, and further values set controls."""
    controls = {
        "layout": choice("layout", list(LAYOUTS), layout),
        "moving": slider("prototype to move", 1, 1, len(LAYOUTS[layout]), 1),
        "right": slider("move right", 0.0, -REACH, REACH, STEP, "feature units"),
        "up": slider("move up", 0.0, -REACH, REACH, STEP, "feature units"),
        # Powers of two scale without rounding, so that a tie stays a tie.
        "scale": steps("scale all by", [0, 0.25, 0.5, 1, 2, 4, 8], 1),
        "ranked": steps("ranks computed", _counts(layout), ALL, plays=True),
    }

    def fit(change):
        controls["moving"].max, offered = len(LAYOUTS[change["new"]]), _counts(change["new"])
        if controls["ranked"].value not in offered:
            controls["ranked"].value = ALL
        controls["ranked"].options = offered

    controls["layout"].observe(fit, "value")
    rows = [["right", "up", "scale"], ["ranked", "moving", "layout"]]
    return Panel("ground distance", controls, compute, draw, describe, rows, (9.4, 3.7), point, start)


def _counts(layout):
    return [*range(len(LAYOUTS[layout]) ** 2), ALL]
