"""The method in one picture: features of two modalities, shared prototypes, the ground distance, and the transport."""

from typing import NamedTuple

import numpy as np
import torch

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.ground import ground_distance
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider

PROTOTYPES = torch.tensor([[0.0, 0.0], [1.0, 1.0], [3.0, 0.0]], dtype=torch.float64)
GROUND = ground_distance(PROTOTYPES)


class Result(NamedTuple):
    """A prediction, its label, and what carrying the one to the other costs."""

    p: np.ndarray
    label: int
    ground: np.ndarray
    parts: np.ndarray  # pᵢ G_ik, the terms of Eq. 6
    distance: float


def compute(state):
    """Eq. 6 for the prediction of the state: share (p₁), rest (class 2's part of 1 − p₁), label (from 1)."""
    p1, k = state["share"], state["label"] - 1
    p = torch.tensor([p1, (1 - p1) * state["rest"], (1 - p1) * (1 - state["rest"])], dtype=torch.float64)
    distance = i2pemd(p[None], torch.tensor([k]), GROUND).item()
    return Result(p.numpy(), k, GROUND.numpy(), (p * GROUND[:, k]).numpy(), distance)


def draw(figure, result):
    """Left the features and prototypes, middle G with the label's column framed, right the mass that moves."""
    art = style.artists(figure, _Card)
    art.ground.show(result.ground)
    art.frame.set_x(result.label - 0.5)
    art.target.set_offsets([[1.0, result.label]])
    for i, p in enumerate(result.p):
        art.labels[i].set_text(f"c{style.subscript(i + 1)}")
        art.names[i].set_text(f"p{style.subscript(i + 1)} = {style.number(p)}")
        moves = result.parts[i] > 0
        art.costs[i].set_text(f"{style.number(p)} × {style.number(result.ground[i, result.label])}" if moves else "")
        art.costs[i].set_position((0.42, i + 0.42 * (result.label - i) - 0.13))
    art.mass.set_sizes(1200 * result.p + 4)
    art.flow.set_segments([[(0, i), (1, result.label)] for i in range(3)])
    art.flow.set_linewidths(18 * result.p)
    art.total.set_text(f"I2PEMD = {result.distance:.4f}")


class _Card:
    """The artists of the picture."""

    def __init__(self, figure):
        from matplotlib.collections import LineCollection
        from matplotlib.patches import Rectangle
        from matplotlib.patheffects import withStroke

        halo = [withStroke(linewidth=3, foreground=style.CARD)]
        random = np.random.default_rng(3)
        plane = style.blank(figure.add_axes([0.02, 0.06, 0.28, 0.78], aspect="equal"))
        plane.set(xlim=(-0.9, 3.9), ylim=(-1.5, 2.2))
        figure.text(0.02, 0.92, "1  Features, one prototype a class", size=10)
        self.labels = []
        for centre in PROTOTYPES.numpy():
            ct, mr = centre + 0.26 * random.standard_normal((2, 14, 2)) + [[[-0.12, 0.1]], [[0.12, -0.1]]]
            plane.plot(*ct.T, ls="", ms=4.5, alpha=0.7, **style.SOURCE)
            plane.plot(*mr.T, ls="", ms=5, alpha=0.8, **{**style.TARGET, "markeredgewidth": 1.4})
            plane.plot(*centre, ls="", ms=10, **style.PROTOTYPE)
            self.labels.append(plane.text(*(centre + [0.2, 0.14]), "", weight="bold", size=11, path_effects=halo))
        plane.text(2.4, 2.0, "○ CT", color=style.BLUE, weight="bold")
        plane.text(3.2, 2.0, "× MR", color=style.ORANGE, weight="bold")

        figure.text(0.355, 0.92, "2  Ground distance G between classes", size=10)
        c = style.names("c", 3)
        self.ground = style.Matrix(figure.add_axes([0.375, 0.10, 0.235, 0.66]), "", c, c, size=10)
        self.frame = self.ground.axes.add_patch(Rectangle((0, -0.5), 1, 3, fill=False, ec=style.ORANGE, lw=3, zorder=3))
        self.frame.set_clip_on(False)

        figure.text(0.675, 0.92, "3  Carry the prediction p to its label", size=10)
        axes = style.blank(figure.add_axes([0.72, 0.13, 0.27, 0.70]))
        axes.set(xlim=(-0.55, 1.2), ylim=(2.45, -0.45))
        self.flow = axes.add_collection(LineCollection([], colors=style.LINE, capstyle="butt", zorder=1))
        self.mass = axes.scatter([0] * 3, range(3), color=style.BLUE, zorder=2)
        self.target = axes.scatter([1], [0], marker="x", s=160, lw=3.5, color=style.ORANGE, zorder=3)
        beside = {"ha": "right", "va": "center", "color": style.BLUE, "weight": "bold"}
        self.names = [axes.text(-0.22, i, "", **beside) for i in range(3)]
        self.costs = [axes.text(0, 0, "", ha="center", va="center", weight="bold", zorder=4) for _ in range(3)]
        self.total = figure.text(0.675, 0.035, "", size=11, weight="bold")


def describe(result):
    """The sum of Eq. 6, term by term."""
    k = result.label
    terms = [f"{style.number(result.p[i])} × {style.number(result.ground[i, k], 4)}" for i in range(3) if i != k]
    words = f"All mass goes to class {k + 1}: {' + '.join(terms)} = {result.distance:.4f}."
    names = [f"p{style.subscript(i)} G{style.subscript(10 * i + k + 1)}" for i in (1, 2, 3)]
    numbers = {name: f"{part:.4f}" for name, part in zip(names, result.parts, strict=True)}
    return words, {**numbers, "I2PEMD (Eq. 6)": f"{result.distance:.6f}"}


def panel(share=0.2, rest=0.625, label=1):
    """The picture with the prediction and its label as controls.

    Example
    -------
    >>> round(panel().result.distance, 6)
    0.316667
    """
    controls = {
        "share": slider("p₁ (share)", share, 0.0, 1.0, 0.05),
        "rest": slider("class 2's part of 1 − p₁ (share)", rest, 0.0, 1.0, 0.025, width="380px"),
        "label": choice("label k", [1, 2, 3], label, "160px"),
    }
    return Panel("overview", controls, compute, draw, describe, layout=[list(controls)], size=(9.4, 3.0))
