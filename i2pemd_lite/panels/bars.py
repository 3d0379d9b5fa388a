"""One prediction over up to seven classes: what each class adds to its distance, and where it is pushed (Eq. 6)."""

from types import SimpleNamespace

import numpy as np
import torch

from i2pemd_lite.files import BadInput
from i2pemd_lite.ground import fixed_ground_distance, ground_distance
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider
from i2pemd_lite.panels.instance import TOPS, with_gradients

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


def compute(state, K):
    """The three measures of the prediction in `state`: p1 … pK (masses), label (from 1) and ground (of GROUNDS)."""
    masses = np.array([state[f"p{i + 1}"] for i in range(K)])
    if masses.sum() == 0:
        raise BadInput("p: expected some mass, found none; move one of its sliders up")
    k, G = state["label"] - 1, GROUNDS[state["ground"]](K)
    p = torch.tensor(masses / masses.sum())
    distances, gradients = with_gradients(p[None], k, G)
    # Each row adds up to its distance.
    parts = torch.stack([p * G[:, k], p * fixed_ground_distance(K, dtype=p.dtype)[:, k]])
    return SimpleNamespace(masses=masses, p=p.numpy(), label=k, ground=G.numpy(), parts=parts.numpy(),
                           distances=distances[:, 0], gradients=gradients[:, 0])  # fmt: skip


def draw(card, result):
    """Left p and the column of G, middle the products that add up to a distance, right the gradients."""
    K, k = len(result.p), result.label
    where, ends = np.arange(K), (-0.6, K - 0.4)
    ticks = {"xlim": ends, "xticks": where}
    left = card.plane("p", [0.045, 0.22, 0.285, 0.63], ylim=(-0.1, 1.08), ticks=6, **ticks)
    left.look(title="Prediction p, and the column G[:, k]", xticklabels=style.names("p", K))
    for i, value in enumerate(result.p):
        left.rect(i - ASIDE - 0.22, 0, 0.44, value, fc=style.BLUE)
        look = {"ha": "center", "va": "bottom", "size": 8, "color": style.BLUE}
        left.text(i - ASIDE, value + 0.015, style.number(value), **look)
    left.points(where + 0.27, result.ground[:, k], marker="_", ms=11, mew=2.6, color=style.INK)
    left.points(k - ASIDE, -0.05, ms=8, **style.PROTOTYPE)
    card.paper.text(0.02, 0.03, "▮ share pᵢ   ━ cost Gᵢₖ of that share   ◆ label k", size=8.5)

    middle = card.plane("parts", [0.375, 0.22, 0.275, 0.63], "blank", xlim=(0, 1.0), ylim=(2.35, -0.7))
    middle.look(title="What the classes add to the distance")
    for row, parts in enumerate(result.parts):
        for i, (part, end) in enumerate(zip(parts, np.cumsum(parts), strict=True)):
            middle.rect(end - part, row - 0.21, part, 0.42, fc=(style.DEEP, style.STEEL)[i % 2], ec=style.PAPER, lw=0.8)
            if part > 0.035:
                look = {"color": style.PAPER, "size": 8, "ha": "center", "va": "center"}
                middle.text(end - part / 2, row, str(i + 1), **look)
    middle.rect(0, 1.79, min(result.distances[2] / TOPS[2], 1.0), 0.42, fc=style.GREY)
    measures = "I2PEMD: pᵢ Gᵢₖ", "fixed form: pᵢ, but for i = k", "cross-entropy: −log pₖ, cut at 4"
    for row, (words, distance) in enumerate(zip(measures, result.distances, strict=True)):
        middle.text(0, row - 0.36, words, size=8.5, va="center")
        middle.text(1.0, row - 0.36, f"{distance:.3f}", size=9.5, weight="bold", ha="right", va="center")
    card.paper.text(0.375, 0.03, "a number is the class i; a full line is 1", size=8.5)

    box = [0.715, 0.22, 0.275, 0.63]
    right = card.plane("gradients", box, ylim=(-1.15, 1.15), **ticks, xticklabels=style.names("z", K))
    right.look(title="Gradient by the logits, ∂/∂zⱼ")
    right.line(ends, [0, 0], color=style.LINE, lw=1, zorder=0)
    for i, value in enumerate(result.gradients[0]):
        right.rect(i - 0.25, 0, 0.5, value, fc=style.DEEP)
    right.points(where, result.gradients[1], marker="o", ms=7, mfc="none", mec=style.QUIET, mew=1.5)
    right.points(where, result.gradients[2], ms=7, **style.TARGET)
    card.paper.text(0.69, 0.03, "▮ I2PEMD   ○ fixed form   × cross-entropy", size=8.5)


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


def point(card, result, at, pressed):
    """The masses that put the top of the bar under the pointer to where it points.

    A mass m makes a share y beside the others' sum r when m / (m + r) = y, that is m = r y/(1 − y). Where that is more
    than a slider takes, m is 1 and the others shrink together.
    """
    place = card.planes["p"].place(at)
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
    """The panel for K of 2 to 7 classes; `ground` is a key of GROUNDS, and further values set controls."""
    if K not in range(2, 8):
        raise BadInput(f"K: expected 2 to 7 classes, found {K!r}")
    choices = {
        "label": choice("label k", list(range(1, K + 1)), 1),
        "ground": choice("prototypes", list(GROUNDS), ground),
    }
    masses = {
        f"p{i}": slider(f"p{style.subscript(i)} (mass)", mass, 0.0, 1.0, 0.01) for i, mass in enumerate(START[:K], 1)
    }
    return Panel("bars", {**choices, **masses}, lambda state: compute(state, K), draw, describe,
                 [list(choices), list(masses)], (9.4, 3.1), point, start)  # fmt: skip
