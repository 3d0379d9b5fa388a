"""What each part of a recipe is worth: one run for each, which is other than the full recipe in that part alone.

Measured on real data by `python3 run.py bench parts`, and kept in data/results.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import stats

from i2pemd_lite.files import read_json, root
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice
from i2pemd_lite.segmentation.stress import STRESS
from i2pemd_lite.tables.report import with_nan

FULL, LAMBDA = "full recipe", "without I2PEMD"  # names of rows
USUAL, UNUSUAL = "DOC", "unusual"  # columns of parts.json
BESIDE = {"all unusual scans": UNUSUAL, **{name: name for name in STRESS}, "CT": "CT", "MR": "MR"}
ORDERS = {"what it changes on usual scans": USUAL, "what it changes on the right": None, "the recipe": ""}
ROWS = {USUAL: "mean", UNUSUAL: "all", "CT": "ct mean", "MR": "mr mean"}  # as tables of rows call these columns


def committed() -> SimpleNamespace:
    """What was measured: `full`, the row of the full recipe, `rows`, those of its parts, `worth`, the points of DOC by
    which a part is other, and `luck`, the points within which two runs that differ in their seeds alone lie 19 times in
    20, by the spread in the rows of Table 1."""
    parts, *tables = (with_nan(read_json(root() / "data" / "results" / f"segmentation-{name}.json")["rows"])
                      for name in ("parts/parts", "beyond-rows/table1", "beyond-rows/unusual"))  # fmt: skip
    seeds = [{**one, **other} for one, other in zip(*tables, strict=True) if one["seeds"] > 1]
    free, luck = sum(row["seeds"] - 1 for row in seeds), {}
    for column in (USUAL, *BESIDE.values()):
        squares = sum((row["seeds"] - 1) * row[f"{ROWS.get(column, column)} sd"] ** 2 for row in seeds)
        luck[column] = stats.t.ppf(0.975, free) * np.sqrt(2 * squares / free)
    full = next(row for row in parts if row["part"] == FULL)
    others = [row for row in parts if row is not full]
    return SimpleNamespace(full=full, rows=others, worth={row["part"]: row["Δ"] for row in others}, luck=luck)


def compute(found: SimpleNamespace, state: dict[str, str]) -> SimpleNamespace:
    """Points of each part beside the full recipe: `usual`, and `beside`, in the column that state's `beside` names."""
    column = BESIDE[state["beside"]]
    points = {each: np.array([row[each] - found.full[each] for row in found.rows]) for each in (USUAL, column)}
    by = ORDERS[state["order"]]
    keys = np.zeros(len(found.rows)) if by == "" else points[column if by is None else by]
    order = np.argsort(keys, kind="stable")
    return SimpleNamespace(found=found, names=[found.rows[i]["part"] for i in order], title=state["beside"],
                           usual=points[USUAL][order], beside=points[column][order], column=column)  # fmt: skip


def draw(card, result):
    """A row for each part; the left plane says what it changes on usual scans, the right one on others."""
    heights, low, high = np.arange(len(result.names))[::-1], 55 / card.height, 1 - 40 / card.height
    ours = np.array([name == LAMBDA for name in result.names])
    sides = ((USUAL, "usual scans", result.usual, 0.27, result.names),
             (result.column, result.title, result.beside, 0.66, [""] * len(heights)))  # fmt: skip
    for column, title, points, left, labels in sides:
        luck, ends = result.found.luck[column], (-0.8, len(heights) - 0.2)
        reach = 1.1 * max(*np.abs(points), luck)
        plane = card.plane(title, [left, low, 0.27, high - low], xlim=(-reach, reach), ylim=ends, ticks=5,
                           title=f"{title}: {result.found.full[column]:.1f} with all parts", xlabel="points of DOC",
                           yticks=[*heights], yticklabels=labels)  # fmt: skip
        plane.rect(-luck, ends[0], 2 * luck, ends[1] - ends[0], fc=style.SHADE, zorder=0)
        plane.line([0, 0], ends, color=style.LINE, lw=1.2, zorder=0.5)
        plane.segments([[(0, y), (x, y)] for x, y in zip(points, heights, strict=True)], color=style.LINE, zorder=1)
        plane.points(points[~ours], heights[~ours], ms=7, **style.SOURCE)
        plane.points(points[ours], heights[ours], ms=8, **style.PROTOTYPE)
        for x, y in zip(points, heights, strict=True):
            plane.text(1.05 * reach, y, f"{round(x, 1) + 0.0:+.1f}", va="center")


def describe(result):
    """Which parts are worth most, and which luck explains."""
    luck = result.found.luck[USUAL]
    far = [name for name, x in zip(result.names, result.usual, strict=True) if abs(x) > luck]
    lowest, worst = min(zip(result.usual, result.names, strict=True))
    words = (f"The full recipe has {result.found.full[USUAL]:.1f} on usual scans. Two seeds lie within {luck:.1f} "
             f"points of each other 19 times in 20; of {len(result.names)} changes, those that reach further are: "
             f"{', '.join(far) or 'none'}. It loses most by: {worst} ({lowest:+.1f}).")  # fmt: skip
    words += f" Without I2PEMD, it changes by {result.found.worth[LAMBDA]:+.1f}."
    return words, {name: f"{x:+.2f}" for name, x in zip(result.names, result.usual, strict=True)}


def panel(**start: Any) -> Panel:
    """The parts of `preset="beyond"`, each beside the full recipe; values in `start` set controls."""
    found = committed()
    controls = {
        "beside": choice("on the right", list(BESIDE), next(iter(BESIDE))),
        "order": choice("order by", list(ORDERS), next(iter(ORDERS))),
    }
    return Panel("parts", controls, lambda state: compute(found, state), draw, describe, layout=[list(controls)],
                 size=(9.4, 1.2 + 0.2 * len(found.rows)), start=start)  # fmt: skip
