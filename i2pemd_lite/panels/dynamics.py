"""How prototypes follow moving features: momentum, rare classes, and CT and MR together (Eq. 10, 11, 20, 21).

The features are simulated in the plane; everything that happens to them goes through the real `PrototypeBank`.
"""

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from i2pemd_lite.panels.curves import LINES
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider, switch
from i2pemd_lite.panels.engine.still import count
from i2pemd_lite.prototypes import PrototypeBank
from i2pemd_lite.segmentation.methods import POOLS

STEPS, K = 32, 4
CENTRES = np.array([[0.0, 0.0], [4.0, 0.5], [1.2, 3.2], [5.0, 3.6]])
DRIFT = np.array([[0.6, 0.3], [-0.3, 0.6], [0.6, -0.2], [-0.5, -0.4]])
WAYS = {"pooled voxels (Eq. 11)": "voxels", "mean of the CT and MR means": "modalities", "CT first, then MR": "in turn"}


@lru_cache(8)
def simulate(batch, rarest, drift, gap, share):
    """Batches -> features (STEPS, batch, 2), labels (STEPS, batch), is_mr (STEPS, batch), centre (STEPS, K, 2).

    batch : instances a step, rarest : probability of class 4 (the others share the rest evenly)
    drift : feature units that each centre moves in all, gap : distance of MR from CT, share : part that is MR
    """
    random = np.random.default_rng(0)
    frequency = np.array([(1 - rarest) / (K - 1)] * (K - 1) + [rarest])
    labels = random.choice(K, (STEPS, batch), p=frequency)
    is_mr = random.random((STEPS, batch)) < share
    t = np.linspace(0, 1, STEPS)[:, None, None]
    ct = CENTRES + drift * t * DRIFT
    step = np.arange(STEPS)[:, None]
    offset = gap * np.array([0.8, -0.6])
    features = ct[step, labels] + is_mr[..., None] * offset + 0.35 * random.standard_normal((STEPS, batch, 2))
    return features.astype(np.float32), labels, is_mr, ct + share * offset


def follow(features, labels, is_mr, alpha, way="voxels", zeros=False):
    """The prototypes after each step, (STEPS + 1, K, 2), NaN where a class has none yet.

    `way` says what a step updates with, as the setting `pool` of segmentation; `WAYS` has it in words.
    """
    bank = PrototypeBank(K, 2, momentum=alpha)
    if zeros:
        bank.seen.fill_(True)
    path = [np.where(bank.seen[:, None], bank.prototypes, np.nan)]
    for f, y, mr in zip(*map(torch.from_numpy, (features, labels, is_mr)), strict=True):
        # The batch as one image, or as a CT and an MR image, of which each shows the instances of its modality
        images = y[None] if way == "voxels" else torch.stack([y.where(~mr, -100), y.where(mr, -100)])
        POOLS[way](bank, f.T.expand(len(images), 2, -1), images, (1,) * len(images))
        path.append(np.where(bank.seen[:, None], bank.prototypes, np.nan))
    return np.stack(path)


@lru_cache(8)
def film(alpha, way, zeros, *batches):
    """What `simulate(*batches)` gives, and the `follow` of its prototypes by that way and by another one."""
    features, labels, is_mr, centre = simulate(*batches)
    ways = way, "modalities" if way == "voxels" else "voxels"
    return features, labels, is_mr, centre, *(follow(features, labels, is_mr, alpha, each, zeros) for each in ways)


def compute(state):
    """The first steps of the bank: how far each prototype is from the centre of its class, and its age, after each."""
    batches = (state[name] for name in ("batch", "rarest", "drift", "gap", "share"))
    shown = film(state["alpha"], WAYS[state["pool"]], state["zeros"], *batches)
    features, labels, is_mr, centre, path, rival = (each[: state["step"] + (n > 3)] for n, each in enumerate(shown))
    present = (labels[..., None] == np.arange(K)).any(1)
    step = np.arange(1, len(labels) + 1)[:, None]
    last = np.maximum.accumulate(np.where(present, step, 0))
    age = np.where(last > 0, step - last, np.nan)
    error = np.linalg.norm(path[1:] - centre, axis=-1)
    largest = np.nanmax(np.linalg.norm(shown[4][1:] - shown[3], axis=-1))  # of all steps
    return SimpleNamespace(path=path, other=rival[-1], error=error, age=age, alpha=state["alpha"], largest=largest,
                           features=features[-1], labels=labels[-1], is_mr=is_mr[-1])  # fmt: skip


def draw(card, result):
    """The plane with the batch of the step and every prototype's track; the distance to the class centre; the age."""
    c, error, steps = style.names("c", K), result.error, range(1, len(result.error) + 1)
    plane = card.plane("features", [0.035, 0.12, 0.37, 0.75], xlim=(-1.6, 6.8), ylim=(-1.8, 5.3))
    plane.look(title=f"Features of step {len(error)}, tracks of the prototypes")
    for k, (x, y) in enumerate(result.path[-1]):
        ink, here = {"color": style.CLASSES[k]}, result.labels == k
        plane.points(*result.features[here & ~result.is_mr].T, ms=4, alpha=0.55, **style.SOURCE | ink)
        plane.points(*result.features[here & result.is_mr].T, ms=5, alpha=0.7, **style.TARGET | ink | {"mew": 1.3})
        plane.line(*result.path[:, k].T, lw=1.5, ls=LINES[k], **ink)
        at, words = ((x + 0.2, y + 0.25), c[k]) if np.isfinite(x) else (CENTRES[k] - [0.8, 0], f"{c[k]} not seen")
        plane.text(*at, words, weight="bold", halo=True, **ink)
        plane.points(*result.other[k], ms=10, zorder=3, **style.PROTOTYPE | {"mfc": "none", "mec": style.QUIET})
        plane.points(*result.path[-1, k], ms=9, zorder=3, **style.PROTOTYPE | ink)
    corner = {"inside": True, "ha": "right", "va": "top", "weight": "bold", "color": style.QUIET}
    for x, words in (0.47, "○ CT"), (0.61, "× MR"), (0.99, "◇ other pooling"):
        plane.text(x, 0.99, words, **corner)

    # The axis holds every distance of the film, so it stands still; and c₀ αᵗ, which is forgotten, falls along a line.
    top = 0.0 if result.largest < 1 else 1.0  # as a power of ten
    look = {"xlim": (0, STEPS + 4), "ylim": (0.03, 10**top), "yscale": "log"}
    distances = card.plane("distances", [0.465, 0.15, 0.27, 0.72], **look)
    distances.look(title="Distance to the class centre", xlabel="step")
    for k, height in enumerate(style.apart(np.nan_to_num(np.log10(error[-1]), nan=-9), 0.1 + 0.05 * top, top)):
        distances.line(steps, error[:, k], color=style.CLASSES[k], lw=1.6, ls=LINES[k])
        if np.isfinite(error[-1, k]):
            distances.text(steps[-1] + 0.8, 10**height, c[k], va="center", size=8.5, color=style.CLASSES[k])

    ages = card.plane("ages", [0.80, 0.15, 0.19, 0.72], xlim=(0, 1.35 * STEPS), ylim=(K - 0.5, -0.5))
    ages.look(title="Age: steps since an update", xlabel="steps  (| highest so far)")
    ages.look(xticks=(0, 10, 20, 30), yticks=range(K), yticklabels=c)
    for k, age in enumerate(result.age[-1]):
        ages.rect(0, k - 0.25, np.nan_to_num(age), 0.5, fc=style.CLASSES[k])
        words = f"{int(age)} now" if np.isfinite(age) else "not seen"
        ages.text(1.35 * STEPS, k, words, ha="right", va="center", size=8)
    oldest = np.nan_to_num(result.age).max(0)
    ages.points(oldest, range(K), color=style.BLACK, marker="|", ms=14, mew=2)


def describe(result):
    """How well the prototypes follow, and which one is out of date."""
    error = result.error[-1]
    unseen = [k + 1 for k in range(K) if np.isnan(result.age[-1, k])]
    if unseen:
        then = "it has no prototype and G is not used yet"
        if np.isfinite(error).all():
            then = "its prototype is still zero, and G uses zero as its position"
        words = f"Class {', '.join(map(str, unseen))} has not appeared yet, so {then}."
    else:
        longest = result.age.max(0, where=np.isfinite(result.age), initial=0)
        words = f"Class {int(np.argmax(error)) + 1}'s prototype is farthest from its centre, by {error.max():.2f}. "
        waits = int(np.argmax(longest))
        words += f"Class {waits + 1} went longest without an update: {count(int(longest[waits]), 'step')}."
    distances = np.nanmean(error), np.nanmax(error), np.nanmax(np.linalg.norm(result.path[-1] - result.other, axis=-1))
    names = "mean distance to centre", "largest", "largest distance to the other pooling"
    return words, {
        **{name: f"{distance:.3f}" for name, distance in zip(names, distances, strict=True)},
        "weight of a mean 10 updates old": f"{(1 - result.alpha) * result.alpha**10:.4f}",
        "classes seen": f"{K - len(unseen)} of {K}",
    }


def panel(**start: Any) -> Panel:
    """The panel; values in `start` set controls."""
    controls = {
        "step": slider("step", STEPS, 1, STEPS, 1, plays=True),
        "alpha": slider("momentum α", 0.8, 0.0, 1.0, 0.02),
        "batch": slider("batch (instances)", 32, 4, 128, 4),
        "rarest": slider("class 4 is (part of all)", 0.02, 0.0, 0.25, 0.01),
        "drift": slider("drift (feature units)", 2.0, 0.0, 3.0, 0.1),
        "gap": slider("MR lies off CT by (feature units)", 1.0, 0.0, 2.0, 0.1),
        "share": slider("MR is (part of all)", 0.5, 0.0, 1.0, 0.05),
        "pool": choice("update with the", list(WAYS), "pooled voxels (Eq. 11)"),
        "zeros": switch("start from zeros, not from the first mean", False),
    }
    layout = [["step", "alpha", "batch"], ["rarest", "share"], ["drift", "gap"], ["pool", "zeros"]]
    return Panel("prototype dynamics", controls, compute, draw, describe, layout=layout, size=(9.4, 3.3), start=start)
