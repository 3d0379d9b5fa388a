"""One prediction over up to seven classes: what each class adds to its distance, and where it is pushed (Eq. 6)."""

from typing import NamedTuple

import numpy as np
import torch

from i2pemd_lite.files import BadInput
from i2pemd_lite.ground import fixed_ground_distance, ground_distance
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider
from i2pemd_lite.panels.instance import TOPS, measures

SCATTERED = [[0.0, 0.0], [4.0, 0.5], [1.0, 2.5], [1.5, 3.5], [5.0, 2.25], [6.5, 5.0], [2.75, 0.75]]
GROUNDS = {
    "scattered": lambda K: ground_distance(torch.tensor(SCATTERED[:K], dtype=torch.float64)),
    "on a line": lambda K: ground_distance(torch.arange(K, dtype=torch.float64)[:, None]),
    "fixed, 1 − I": lambda K: fixed_ground_distance(K, dtype=torch.float64),
}
"""Where the K prototypes lie, and the ground distance that this makes."""
START = (0.45, 0.2, 0.05, 0.05, 0.1, 0.05, 0.1)
NAMES = ("I2PEMD", "fixed form", "cross-entropy")
ASIDE = 0.17  # a bar stands left of its tick by this, to have the mark of its cost beside it


class Result(NamedTuple):
    """One prediction against one label, under the three measures."""

    masses: np.ndarray  # (K,) as set
    p: np.ndarray  # (K,) scaled to a sum of 1
    label: int
    ground: np.ndarray  # (K, K)
    parts: np.ndarray  # (2, K): pᵢ Gᵢₖ, and the same for 1 − I; each row adds up to its distance
    distances: np.ndarray  # (3,): I2PEMD, fixed form, cross-entropy
    gradients: np.ndarray  # (3, K), by the logits


def compute(state, K):
    """The three measures of the prediction in `state`: p1 … pK (masses), label (from 1) and ground (of GROUNDS)."""
    masses = np.array([state[f"p{i + 1}"] for i in range(K)])
    if masses.sum() == 0:
        raise BadInput("p: expected some mass, found none; move one of its sliders up")
    k, G = state["label"] - 1, GROUNDS[state["ground"]](K)
    p = torch.tensor(masses / masses.sum())
    logits = p[None].clamp(min=1e-12).log().requires_grad_()
    values = measures(logits.softmax(1), k, G)
    gradients = np.stack([torch.autograd.grad(v.sum(), logits, retain_graph=True)[0][0].numpy() for v in values])
    parts = torch.stack([p * G[:, k], p * fixed_ground_distance(K, dtype=p.dtype)[:, k]])
    return Result(masses, p.numpy(), k, G.numpy(), parts.numpy(), np.array([v.item() for v in values]), gradients)


def draw(figure, result):
    """Left p and the column of G, middle the products that add up to a distance, right the gradients."""
    art = style.artists(figure, lambda figure: _Card(figure, len(result.p)))
    where, k = np.arange(len(result.p)), result.label
    for bar, text, value in zip(art.p, art.p_texts, result.p, strict=True):
        bar.set_height(value)
        text.set(text=style.number(value), y=value + 0.015)
    art.column.set_data(where + 0.27, result.ground[:, k])
    art.label.set_data([k - ASIDE], [-0.05])
    for bars, texts, parts in zip(art.parts, art.part_texts, result.parts, strict=True):
        for i, (part, end) in enumerate(zip(parts, np.cumsum(parts), strict=True)):
            bars[i].set(x=end - part, width=part)
            texts[i].set(x=end - part / 2, text=str(i + 1) if part > 0.035 else "")
    art.cross.set_width(min(result.distances[2] / TOPS[2], 1.0))
    for text, distance in zip(art.totals, result.distances, strict=True):
        text.set_text(f"{distance:.3f}")
    for bar, value in zip(art.pushes, result.gradients[0], strict=True):
        bar.set_height(value)
    art.fixed.set_data(where, result.gradients[1])
    art.entropy.set_data(where, result.gradients[2])


class _Card:
    """The artists for K classes."""

    def __init__(self, figure, K):
        where, ends = range(K), (-0.6, K - 0.4)
        self.axes = axes = figure.add_axes([0.045, 0.22, 0.285, 0.63])
        axes.set(xlim=ends, ylim=(-0.1, 1.08), title="Prediction p, and the column G[:, k]")
        axes.set_xticks(where, style.names("p", K))
        left = [i - ASIDE for i in where]
        self.p = axes.bar(left, [0] * K, 0.44, color=style.BLUE)
        self.p_texts = [axes.text(x, 0, "", ha="center", va="bottom", size=8, color=style.BLUE) for x in left]
        self.column = axes.plot([], [], ls="", marker="_", ms=11, mew=2.6, color=style.INK)[0]
        self.label = axes.plot([], [], ls="", ms=8, **style.PROTOTYPE)[0]
        figure.text(0.02, 0.03, "▮ share pᵢ   ━ cost Gᵢₖ of that share   ◆ label k", size=8.5)

        middle = style.blank(figure.add_axes([0.375, 0.22, 0.275, 0.63]), "What the classes add to the distance")
        middle.set(xlim=(0, 1.0), ylim=(2.35, -0.7))
        look = {"color": [("#2e3b56", "#566487")[i % 2] for i in where], "edgecolor": style.CARD, "linewidth": 0.8}
        self.parts = [middle.barh([row] * K, [0] * K, 0.42, **look) for row in range(2)]
        number = {"color": style.CARD, "size": 8, "ha": "center", "va": "center"}
        self.part_texts = [[middle.text(0, row, "", **number) for _ in where] for row in range(2)]
        self.cross = middle.barh([2], [0], 0.42, color="#8d919b")[0]
        words = "I2PEMD: pᵢ Gᵢₖ", "fixed form: pᵢ, but for i = k", "cross-entropy: −log pₖ, cut at 4"
        for row, text in enumerate(words):
            middle.text(0, row - 0.36, text, size=8.5, va="center")
        right = {"size": 9.5, "weight": "bold", "ha": "right", "va": "center"}
        self.totals = [middle.text(1.0, row - 0.36, "", **right) for row in range(3)]
        figure.text(0.375, 0.03, "a number is the class i; a full line is 1", size=8.5)

        pushes = figure.add_axes([0.715, 0.22, 0.275, 0.63])
        pushes.set(xlim=ends, ylim=(-1.15, 1.15), title="Gradient by the logits, ∂/∂zⱼ")
        pushes.set_xticks(where, style.names("z", K))
        pushes.plot(ends, [0, 0], color=style.LINE, lw=1, zorder=0)
        self.pushes = pushes.bar(where, [0] * K, 0.5, color="#2e3b56")
        hollow = {"ls": "", "marker": "o", "ms": 7, "mfc": "none", "mec": style.QUIET, "mew": 1.5}
        self.fixed = pushes.plot([], [], **hollow)[0]
        self.entropy = pushes.plot([], [], ls="", ms=7, **style.TARGET)[0]
        figure.text(0.69, 0.03, "▮ I2PEMD   ○ fixed form   × cross-entropy", size=8.5)


def describe(result):
    """Which class adds most, and all numbers."""
    k, parts = result.label, result.parts[0]
    p = ", ".join(style.number(x) for x in result.p)
    most = int(np.argmax(parts))
    words = "nothing lies elsewhere, so the distance is 0."
    if parts.sum() > 0:
        mass, price = style.number(result.p[most]), style.number(result.ground[most, k])
        words = f"class {most + 1} adds most, {mass} at a price of {price}, "
        words += f"which is {100 * parts[most] / parts.sum():.0f} % of the distance."
    numbers = {name: f"{d:.4f}" for name, d in zip(NAMES, result.distances, strict=True)}
    for name, gradient in zip(NAMES, result.gradients, strict=True):
        j = int(np.argmax(gradient))
        push = f"z{style.subscript(j + 1)}, by {gradient[j]:.4f}" if gradient[j] > 5e-5 else "none"
        numbers[f"{name} lowers hardest"] = push
    return f"p = ({p}) against class {k + 1}: {words}", numbers


def point(figure, result, at, pressed):
    """The masses that put the top of the bar under the pointer to where it points.

    A mass m makes a share y beside the others' sum r when m / (m + r) = y, that is m = r y/(1 − y). Where that is more
    than a slider takes, m is 1 and the others shrink together.
    """
    place = style.place(style.artists(figure, None).axes, at)
    if place is None:
        return {}
    k, y = int(np.clip(np.rint(place[0]), 0, len(result.p) - 1)), float(np.clip(place[1], 0.0, 0.99))
    masses = result.masses.copy()
    rest = masses.sum() - masses[k]
    if rest == 0:  # whatever its mass, the share of a bar alone is 1
        return {}
    masses[k] = rest * y / (1 - y)
    if masses[k] > 1:
        masses /= masses[k]
    return {f"p{i + 1}": round(float(m), 4) for i, m in enumerate(masses)}


def panel(K=7, ground="scattered", **start):
    """The panel for K of 2 to 7 classes; `ground` is a key of GROUNDS, and further values set controls.

    Example
    -------
    >>> bars = panel(3, "on a line", p1=0.2, p2=0.5, p3=0.3, label=2)
    >>> bars.result.parts[0].round(4).tolist(), bars.result.distances.round(4).tolist()
    ([0.0667, 0.0, 0.1], [0.1667, 0.5, 0.6931])
    """
    if K not in range(2, 8):
        raise BadInput(f"K: expected 2 to 7 classes, found {K!r}")
    choices = {
        "label": choice("label k", list(range(1, K + 1)), 1, "150px"),
        "ground": choice("prototypes", list(GROUNDS), ground, "260px"),
    }
    masses = {
        f"p{i}": slider(f"p{style.subscript(i)} (mass)", START[i - 1], 0.0, 1.0, 0.01, width="225px")
        for i in range(1, K + 1)
    }
    return Panel(
        "bars", {**choices, **masses}, lambda state: compute(state, K), draw, describe,
        layout=[list(choices), list(masses)], size=(9.4, 3.1), point=point, start=start,
    )  # fmt: skip
