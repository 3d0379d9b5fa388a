"""A run over its epochs: does the figure that is optimised move with the one that is wanted?

Table 2 of the paper: mI2PEMD against mDOC and MMD, evaluated again and again on the held-back cases.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np

from i2pemd_lite.files import BadInput
from i2pemd_lite.metrics import Correlation, pearson
from i2pemd_lite.panels.curves import ends
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider
from i2pemd_lite.runs.run import Run

MEASURES = {"mI2PEMD": "mi2pemd", "mDOC (%)": "doc", "MMD²": "mmd"}
CAUTION = "Evaluations of one run follow each other (they are autocorrelated), so this p is too small."


def compute(run, state):
    """The curves of state's run: first (evaluations left out at the beginning), against (a key of `MEASURES`)."""
    rows, first, against = run.evaluations, state["first"], state["against"]
    values = {name: np.array([row[column] for row in rows], dtype=float) for name, column in MEASURES.items()}
    pairs = np.stack([values["mI2PEMD"][first:], values[against][first:]])
    pairs = pairs[:, np.isfinite(pairs).all(0)]
    varies = pairs.shape[1] > 2 and (np.ptp(pairs, axis=1) > 0).all()
    correlation = pearson(*pairs) if varies else Correlation(np.nan, np.nan, pairs.shape[1])
    steps = np.array([row["step"] for row in rows])
    return SimpleNamespace(steps=steps, values=values, first=first, against=against, correlation=correlation)


def draw(card, result):
    """Three curves over the same steps on the left; each evaluation as a point of two figures on the right."""
    steps, first = result.steps, result.first
    for bottom, (name, values) in zip((0.705, 0.415, 0.125), result.values.items(), strict=True):
        below = {"xlabel": "step"} if bottom == 0.125 else {"xticks": []}
        curve = card.plane(name, [0.075, bottom, 0.39, 0.2], ticks=4,
                           title=name, xlim=(0, 1.2 * steps[-1]), ylim=ends(values), **below)  # fmt: skip
        curve.line(steps[: first + 1], values[: first + 1], color=style.QUIET, lw=1, ls=":")  # what is left out
        curve.line(steps[first:], values[first:], color=style.BLACK, lw=1.4, marker="o", ms=3)
        last = style.number(values[-1], 1 if "%" in name else 3)
        curve.text(1.02 * steps[-1], values[-1], last, size=8, va="center")
    x, y = result.values["mI2PEMD"], result.values[result.against]
    plane = card.plane("pairs", [0.555, 0.235, 0.43, 0.62], ticks=5,
                       xlabel="mI2PEMD", xlim=ends(x, 0.28), ylim=ends(y))  # fmt: skip
    plane.line(x[first:], y[first:], lw=0.8, color=style.BLACK, marker="o", ms=5)
    plane.points(x[:first], y[:first], mfc="none", color=style.QUIET, marker="o", ms=5)
    # The labels of both ends lie on the side from which their neighbour is not.
    for i, beside in ((first, first + 1), (len(steps) - 1, len(steps) - 2)):
        side = "right" if x[i] < x[beside] else "left"
        plane.text(x[i], y[i], f"  step {steps[i]}  ", ha=side, size=8, va="center", halo=True, zorder=1.5)
    card.paper.text(0.555, 0.93, f"mI2PEMD and {result.against}: {said(result.correlation)}", size=9.5)
    card.paper.text(0.555, 0.875, f"{result.against} upwards", size=8.5, color=style.QUIET)
    card.paper.text(0.525, 0.02, CAUTION.replace(", so", ",\nso"), size=8, color=style.QUIET, linespacing=1.4)


def said(correlation):
    """A correlation in words."""
    r, p, n = correlation
    return f"r is undefined, n = {n}" if np.isnan(r) else f"r = {r:.2f}, p = {p:.2g}, n = {n}"


def describe(result):
    """How closely the two figures move together, and why p is not to be trusted."""
    r, p, n = result.correlation
    words = f"The correlation of mI2PEMD and {result.against} over the evaluations: {said(result.correlation)}. "
    last = {f"{name}, last": f"{values[-1]:.4g}" for name, values in result.values.items()}
    return words + CAUTION, {"r": f"{r:.3f}", "p": f"{p:.2g}", "n": n, **last}


def epochs(run: Run, **start: Any) -> Panel:
    """The evaluations of a segmentation run: mI2PEMD, mDOC and MMD², and the first against one of the others.

    Values in `start` set controls. Raises `BadInput` for a run with fewer than 3 evaluations.
    """
    count = len(run.evaluations)
    if count < 3:
        raise BadInput(f"run: expected at least 3 evaluations, found {count}; train on, or lower evaluate_every")
    controls = {
        "against": choice("mI2PEMD against", list(MEASURES)[1:], "mDOC (%)"),
        "first": slider("leave out the first (evaluations)", 0, 0, count - 3, 1),
    }
    return Panel("epochs", controls, lambda state: compute(run, state), draw, describe, layout=[list(controls)],
                 size=(9.4, 4.0), start=start)  # fmt: skip
