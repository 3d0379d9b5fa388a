"""What each part of a recipe is worth: one run for each, which trains or predicts otherwise in that part alone.

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
ORDERS = ("what it changes on usual scans", "what it changes on the right", "the recipe")
PAIRED = {USUAL: "doc", UNUSUAL: "stress", "CT": "ct", "MR": "mr"}  # as the table of differences calls these columns


def committed() -> SimpleNamespace:
    """What was measured: `full`, the row of the full recipe, `rows`, those of its parts, `worth`, the points of DOC by
    which a part is other, and `luck`, by how many points a part that is worth nothing is other 19 times in 20.

    luck = t √(mean over rows r of sd²(Δ_r)), with Δ_r the proposed method minus row r of Table 1, seed by seed: runs of
    one seed, as those of the parts are, but for what differs. Of a single kind of unusual scans it was not kept: NaN.
    """
    parts, table = (with_nan(read_json(root() / "data" / "results" / f"segmentation-{name}.json")["rows"])
                    for name in ("parts/parts", "beyond-rows/differences"))  # fmt: skip
    free, luck = sum(row["seeds"] - 1 for row in table), dict.fromkeys(STRESS, np.nan)
    for column, name in PAIRED.items():  # an interval of a mean is ± t sd / √n
        sds = [(row[f"{name} high"] - row[name]) * row["seeds"] ** 0.5 / stats.t.ppf(0.975, row["seeds"] - 1)
               for row in table]  # fmt: skip
        luck[column] = stats.t.ppf(0.975, free) * np.sqrt(np.mean(np.square(sds)))
    full = next(row for row in parts if row["part"] == FULL)
    others = [row for row in parts if row is not full]
    return SimpleNamespace(full=full, rows=others, worth={row["part"]: row["Δ"] for row in others}, luck=luck)


def compute(found: SimpleNamespace, state: dict[str, str]) -> SimpleNamespace:
    """Points of each part beside the full recipe: `usual`, and `beside`, in the column that state's `beside` names."""
    column = BESIDE[state["beside"]]
    points = {each: np.array([row[each] - found.full[each] for row in found.rows]) for each in (USUAL, column)}
    keys = dict(zip(ORDERS, (points[USUAL], points[column], range(len(found.rows))), strict=True))
    order = np.argsort(keys[state["order"]], kind="stable")
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
        reach = 1.1 * np.nanmax([*np.abs(points), luck])
        plane = card.plane(title, [left, low, 0.27, high - low], xlim=(-reach, reach), ylim=ends, ticks=5,
                           title=f"{title}: {result.found.full[column]:.1f} by the {FULL}", xlabel="points of DOC",
                           yticks=[*heights], yticklabels=labels)  # fmt: skip
        if luck == luck:
            plane.rect(-luck, ends[0], 2 * luck, ends[1] - ends[0], fc=style.SHADE, zorder=0)
        plane.line([0, 0], ends, color=style.LINE, lw=1.2, zorder=0.5)
        plane.segments([[(0, y), (x, y)] for x, y in zip(points, heights, strict=True)], color=style.LINE, zorder=1)
        plane.points(points[~ours], heights[~ours], ms=7, **style.SOURCE)
        plane.points(points[ours], heights[ours], ms=8, **style.PROTOTYPE)
        for x, y in zip(points, heights, strict=True):
            plane.text(1.05 * reach, y, f"{x:+z.1f}", va="center")


def describe(result):
    """Which parts are worth most, what λ is, and what luck explains."""
    full = result.found.full
    words = [f"Each is a run of {full['steps']} steps on real scans, or the full recipe's that predicts otherwise."]
    for title, column, points in (("usual scans", USUAL, result.usual), (result.title, result.column, result.beside)):
        luck, worth = result.found.luck[column], dict(zip(result.names, points, strict=True))
        told = {name: f"{name} ({worth[name]:+z.1f})" for name in sorted(worth, key=worth.get)}
        words.append(f"On {title}: {full[column]:.1f} by the {FULL}, {worth[LAMBDA]:+z.1f} {LAMBDA}.")
        if luck == luck:
            more = ", ".join(said for name, said in told.items() if abs(worth[name]) > luck) or "none"
            words.append(f"Luck explains up to {luck:.1f} points; more change: {more}.")
        else:
            most = ", ".join(said for name, said in told.items() if abs(worth[name]) >= sorted(map(abs, points))[-3])
            words.append(f"How much luck explains was not measured; three change most: {most}.")
    return " ".join(words), {name: f"{x:+.2f}" for name, x in zip(result.names, result.usual, strict=True)}


def panel(**start: Any) -> Panel:
    """The parts of `preset="beyond"`, each beside the full recipe; values in `start` set controls."""
    found = committed()
    controls = {
        "beside": choice("on the right", list(BESIDE), next(iter(BESIDE))),
        "order": choice("order by", list(ORDERS), ORDERS[0]),
    }
    return Panel("parts", controls, lambda state: compute(found, state), draw, describe, layout=[list(controls)],
                 size=(9.4, 1.2 + 0.2 * len(found.rows)), start=start)  # fmt: skip
