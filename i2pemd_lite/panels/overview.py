"""The method in one picture: features of two modalities, shared prototypes, the ground distance, and the transport."""

from types import SimpleNamespace

import numpy as np
import torch

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.ground import ground_distance
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider

PROTOTYPES = torch.tensor([[0.0, 0.0], [1.0, 1.0], [3.0, 0.0]], dtype=torch.float64)
GROUND = ground_distance(PROTOTYPES)


def compute(state):
    """Eq. 6 for the prediction of the state: share (p₁), rest (class 2's part of 1 − p₁), label (from 1)."""
    p1, k = state["share"], state["label"] - 1
    p = torch.tensor([p1, (1 - p1) * state["rest"], (1 - p1) * (1 - state["rest"])], dtype=torch.float64)
    parts, distance = p * GROUND[:, k], i2pemd(p[None], torch.tensor([k]), GROUND).item()
    return SimpleNamespace(p=p.numpy(), label=k, ground=GROUND.numpy(), parts=parts.numpy(), distance=distance)


def draw(card, result):
    """Left the features and prototypes, middle G with the label's column framed, right the mass that moves."""
    box = [0.02, 0.06, 0.28, 0.78]
    plane = card.plane("features", box, "blank", aspect="equal", xlim=(-0.9, 3.9), ylim=(-1.5, 2.2))
    card.paper.text(0.02, 0.92, "1  Features, one prototype a class", size=10)
    random = np.random.default_rng(3)
    for i, centre in enumerate(PROTOTYPES.numpy()):
        ct, mr = centre + 0.26 * random.standard_normal((2, 14, 2)) + [[[-0.12, 0.1]], [[0.12, -0.1]]]
        plane.points(*ct.T, ms=4.5, alpha=0.7, **style.SOURCE)
        plane.points(*mr.T, ms=5, alpha=0.8, **style.TARGET | {"mew": 1.4})
        plane.points(*centre, ms=10, **style.PROTOTYPE)
        name, place = f"c{style.subscript(i + 1)}", centre + [0.2, 0.14]
        plane.text(*place, name, weight="bold", size=11, halo=True)
    plane.text(2.4, 2.0, "○ CT", color=style.BLUE, weight="bold")
    plane.text(3.2, 2.0, "× MR", color=style.ORANGE, weight="bold")

    card.paper.text(0.355, 0.92, "2  Ground distance G between classes", size=10)
    c = style.names("c", 3)
    ground = card.plane("G", [0.375, 0.10, 0.235, 0.66], "blank")
    ground.matrix(result.ground, c, c, size=10)
    ground.rect(result.label - 0.5, -0.5, 1, 3, ec=style.ORANGE, lw=3, zorder=3, clip=False)

    card.paper.text(0.675, 0.92, "3  Carry the prediction p to its label", size=10)
    right = card.plane("mass", [0.72, 0.13, 0.27, 0.70], "blank", xlim=(-0.55, 1.2), ylim=(2.45, -0.45))
    ends = [[(0, i), (1, result.label)] for i in range(3)]
    right.segments(ends, style.LINE, 18 * result.p, zorder=1)
    right.dots(np.zeros(3), range(3), np.sqrt(1200 * result.p + 4), style.BLUE)
    right.points(1, result.label, ms=15, **style.TARGET | {"mew": 3.5})
    for i, p in enumerate(result.p):
        name, look = f"p{style.subscript(i + 1)} = {style.number(p)}", {"va": "center", "weight": "bold"}
        right.text(-0.22, i, name, ha="right", color=style.BLUE, **look)
        if result.parts[i] > 0:
            product = f"{style.number(p)} × {style.number(result.ground[i, result.label])}"
            right.text(0.42, i + 0.42 * (result.label - i), product, ha="center", halo=True, **look)
    card.paper.text(0.675, 0.035, f"I2PEMD = {result.distance:.4f}", size=11, weight="bold")


def describe(result):
    """The sum of Eq. 6, term by term."""
    k = result.label
    terms = [f"{style.number(result.p[i])} × {style.number(result.ground[i, k], 4)}" for i in range(3) if i != k]
    words = f"All mass goes to class {k + 1}: {' + '.join(terms)} = {result.distance:.4f}."
    names = [f"p{style.subscript(i)} G{style.subscript(10 * i + k + 1)}" for i in (1, 2, 3)]
    numbers = {name: f"{part:.4f}" for name, part in zip(names, result.parts, strict=True)}
    return words, {"I2PEMD (Eq. 6)": f"{result.distance:.6f}", **numbers}


def panel(share=0.2, rest=0.625, label=1):
    """The picture with the prediction and its label as controls."""
    controls = {
        "share": slider("p₁ (share)", share, 0.0, 1.0, 0.05),
        "rest": slider("class 2's part of 1 − p₁ (share)", rest, 0.0, 1.0, 0.025),
        "label": choice("label k", [1, 2, 3], label),
    }
    return Panel("overview", controls, compute, draw, describe, layout=[list(controls)], size=(9.4, 3.0))
