"""How prototypes follow moving features: momentum, rare classes, and CT and MR together (Eq. 10, 11, 20, 21).

The features are simulated in the plane; everything that happens to them goes through the real `PrototypeBank`.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider, switch
from i2pemd_lite.prototypes import PrototypeBank, class_means

STEPS, K = 32, 4
CENTRES = np.array([[0.0, 0.0], [4.0, 0.5], [1.2, 3.2], [5.0, 3.6]])
DRIFT = np.array([[0.6, 0.3], [-0.3, 0.6], [0.6, -0.2], [-0.5, -0.4]])
POOLS = {
    "pooled voxels (Eq. 11)": "pooled",
    "mean of the CT and MR means": "modality",
    "CT first, then MR": "sequential",
}


class Result(NamedTuple):
    """The whole run: where the prototypes were after each step, and what the last batch looked like."""

    path: np.ndarray  # (STEPS + 1, K, 2), NaN before a class was seen
    other: np.ndarray  # (K, 2): where the other pooling leads: modality means if pooled, else pooled
    centre: np.ndarray  # (STEPS, K, 2): the true mean of each class, CT and MR in their proportion
    age: np.ndarray  # (STEPS, K): steps since the last update, NaN before the first
    features: np.ndarray
    labels: np.ndarray
    is_mr: np.ndarray
    alpha: float


@lru_cache(8)
def simulate(batch, rarest, drift, gap, share, seed=0):
    """Batches of features of two modalities.

    Parameters
    ----------
    batch : instances a step, rarest : probability of class 4 (the others share the rest evenly)
    drift : feature units that each centre moves in all, gap : distance of MR from CT, share : part that is MR

    Returns
    -------
    features (STEPS, batch, 2), labels (STEPS, batch), is_mr (STEPS, batch), centre (STEPS, K, 2)
    """
    random = np.random.default_rng(seed)
    frequency = np.array([(1 - rarest) / (K - 1)] * (K - 1) + [rarest])
    labels = random.choice(K, (STEPS, batch), p=frequency)
    is_mr = random.random((STEPS, batch)) < share
    t = np.linspace(0, 1, STEPS)[:, None, None]
    ct = CENTRES + drift * t * DRIFT
    step = np.arange(STEPS)[:, None]
    offset = gap * np.array([0.8, -0.6])
    features = ct[step, labels] + is_mr[..., None] * offset + 0.35 * random.standard_normal((STEPS, batch, 2))
    return features.astype(np.float32), labels, is_mr, ct + share * offset


def follow(features, labels, is_mr, alpha, pool="pooled", zeros=False):
    """The prototypes after each step, (STEPS + 1, K, 2), NaN where a class has none yet.

    `pool` says what a step updates with: the mean of all instances of a class (Eq. 11), the mean of its CT mean and its
    MR mean, or its CT instances first and its MR instances in a second update.
    """
    bank = PrototypeBank(K, 2, momentum=alpha)
    if zeros:
        bank.seen.fill_(True)
    path = [np.where(bank.seen[:, None], bank.prototypes, np.nan)]
    if pool == "modality":
        features, labels, is_mr = _modality_means(features, labels, is_mr)
    # (1, 2, batch): the batch as the voxels of one image
    for f, y, mr in zip(torch.from_numpy(features).mT[:, None], *map(_voxels, (labels, is_mr)), strict=True):
        if pool != "sequential":
            bank.update(f, y)
        else:
            bank.update(f, y, mask=~mr)
            bank.update(f, y, mask=mr)
        path.append(np.where(bank.seen[:, None], bank.prototypes, np.nan))
    return np.stack(path)


def _voxels(values):
    return torch.from_numpy(values)[:, None]


def _modality_means(features, labels, is_mr):
    """The CT mean and the MR mean of each class in each step as its two instances: their mean is that of the means.

    All steps at once: class k of modality m in step t counts as class (2t + m) K + k.
    """
    steps = len(features)
    kind = (2 * np.arange(steps)[:, None] + is_mr) * K + labels
    all_at_once = torch.from_numpy(features.reshape(1, -1, 2)).mT
    means, counts = class_means(all_at_once, torch.from_numpy(kind.reshape(1, -1)), 2 * steps * K)
    kept = np.where(counts > 0, np.arange(2 * steps * K) % K, -100)
    return means.numpy().reshape(steps, 2 * K, 2), kept.reshape(steps, 2 * K), np.zeros((steps, 2 * K), bool)


def compute(state):
    """Run STEPS steps of the bank.

    `state` has alpha, batch, rarest, drift, gap, share, pool (a key of POOLS) and zeros (bool).
    """
    features, labels, is_mr, centre = simulate(*(state[name] for name in ("batch", "rarest", "drift", "gap", "share")))
    pool = POOLS[state["pool"]]
    other = "modality" if pool == "pooled" else "pooled"
    path, rival = (follow(features, labels, is_mr, state["alpha"], way, state["zeros"]) for way in (pool, other))
    present = (labels[..., None] == np.arange(K)).any(1)
    step = np.arange(1, STEPS + 1)[:, None]
    last = np.maximum.accumulate(np.where(present, step, 0))
    age = np.where(last > 0, step - last, np.nan)
    return Result(path, rival[-1], centre, age, features[-1], labels[-1], is_mr[-1], state["alpha"])


def draw(figure, result):
    """The plane with the last batch and every prototype's way; the distance to the class centre; the age."""
    art = style.artists(figure, _Card)
    ct = ~result.is_mr
    art.ct.set_data(*result.features[ct].T)
    art.mr.set_data(*result.features[result.is_mr].T)
    error = np.linalg.norm(result.path[1:] - result.centre, axis=-1)
    for k in range(K):
        art.paths[k].set_data(*result.path[:, k].T)
        art.errors[k].set_data(np.arange(1, STEPS + 1), error[:, k])
        x, y = result.path[-1, k]
        art.names[k].set_position((x + 0.15, y + 0.28) if np.isfinite(x) else CENTRES[k])
        art.names[k].set_text(f"c{style.subscript(k + 1)}" + ("" if np.isfinite(x) else " not seen"))
        art.bars[k].set_width(np.nan_to_num(result.age[-1, k]))
        oldest = result.age[:, k][np.isfinite(result.age[:, k])]
        art.oldest[k].set_data([oldest.max() if oldest.size else 0], [k])
        art.age_names[k].set_text(f"{int(result.age[-1, k])} now" if np.isfinite(result.age[-1, k]) else "not seen")
    art.now.set_data(*result.path[-1].T)
    art.rival.set_data(*result.other.T)
    top = np.nanmax(error) if np.isfinite(error).any() else 1.0
    style.limits(art.error_axes, y=(0, max(1.0, np.ceil(2.2 * top) / 2)))
    heights = style.apart(error[-1], 0.07 * art.error_axes.get_ylim()[1])
    for k, label in enumerate(art.error_names):
        label.set_position((STEPS + 0.8, heights[k]))
        label.set_text(f"c{style.subscript(k + 1)}" if np.isfinite(error[-1, k]) else "")


LINES = ("-", "--", "-.", ":")


class _Card:
    """The artists of the three views."""

    def __init__(self, figure):
        plane = figure.add_axes([0.035, 0.12, 0.37, 0.75])
        plane.set(title="Features of the last step, ways of the prototypes", xlim=(-1.6, 6.8), ylim=(-1.8, 5.3))
        self.ct = plane.plot([], [], ls="", ms=4, alpha=0.55, **style.SOURCE)[0]
        self.mr = plane.plot([], [], ls="", ms=5, alpha=0.7, **{**style.TARGET, "markeredgewidth": 1.3})[0]
        self.paths = [plane.plot([], [], color=style.BLACK, lw=1.3, ls=ls)[0] for ls in LINES]
        ring = {**style.PROTOTYPE, "markerfacecolor": "none", "markeredgecolor": style.QUIET}
        self.rival = plane.plot([], [], ls="", ms=10, **ring)[0]
        self.now = plane.plot([], [], ls="", ms=9, **style.PROTOTYPE)[0]
        self.names = [plane.text(0, 0, "", weight="bold") for _ in range(K)]
        corner = {"transform": plane.transAxes, "ha": "right", "va": "top", "weight": "bold"}
        plane.text(0.99, 0.97, "CT ○", color=style.BLUE, **corner)
        plane.text(0.99, 0.90, "MR ×", color=style.ORANGE, **corner)
        plane.text(0.99, 0.83, "other pooling ◇", color=style.QUIET, **corner)

        self.error_axes = figure.add_axes([0.465, 0.15, 0.27, 0.72])
        self.error_axes.set(title="Distance to the class centre", xlabel="step", xlim=(0, STEPS + 4))
        self.errors = [self.error_axes.plot([], [], color=style.BLACK, lw=1.4, ls=ls)[0] for ls in LINES]
        self.error_names = [self.error_axes.text(0, 0, "", va="center", size=8.5) for _ in range(K)]

        ages = figure.add_axes([0.80, 0.15, 0.19, 0.72])
        ages.set(title="Age: steps since an update", xlabel="steps  (| oldest it has been)")
        ages.set(xlim=(0, 1.35 * STEPS), ylim=(K - 0.5, -0.5), xticks=(0, 10, 20, 30))
        ages.set_yticks(range(K), style.names("c", K))
        self.bars = ages.barh(range(K), [0] * K, 0.5, color=style.QUIET)
        self.oldest = [ages.plot([], [], color=style.BLACK, marker="|", ms=14, mew=2, ls="")[0] for _ in range(K)]
        self.age_names = [ages.text(1.35 * STEPS, k, "", ha="right", va="center", size=8) for k in range(K)]


def describe(result):
    """How well the prototypes follow, and which one is out of date."""
    error = np.linalg.norm(result.path[-1] - result.centre[-1], axis=-1)
    unseen = [k + 1 for k in range(K) if np.isnan(result.age[-1, k])]
    apart = np.linalg.norm(result.path[-1] - result.other, axis=-1)
    seen = np.isfinite(error).any()
    if unseen:
        then = "it has no prototype and G is not used yet"
        if np.isfinite(error).all():
            then = "its prototype is still zero, and G takes that for its place"
        words = f"Class {', '.join(map(str, unseen))} never came up, so {then}."
    else:
        oldest = int(np.argmax(np.nanmax(result.age, axis=0)))
        words = (
            f"Farthest from its centre: class {int(np.argmax(error)) + 1}, by {error.max():.2f}. "
            f"Class {oldest + 1} went longest without an update: {int(np.nanmax(result.age[:, oldest]))} steps."
        )
    return words, {
        "mean distance to centre": f"{np.nanmean(error):.3f}" if seen else "no prototype",
        "largest": f"{np.nanmax(error):.3f}" if seen else "no prototype",
        "largest distance to the other pooling": f"{np.nanmax(apart):.3f}" if seen else "no prototype",
        "weight of a mean 10 updates old": f"{(1 - result.alpha) * result.alpha**10:.4f}",
        "classes seen": f"{K - len(unseen)} of {K}",
    }


def panel(**start):
    """The panel; values in `start` set controls.

    Example
    -------
    >>> ways = panel(alpha=0.0)
    >>> ways.result.path.shape
    (33, 4, 2)
    """
    return Panel(
        "prototype dynamics",
        {
            "alpha": slider("momentum α", 0.8, 0.0, 1.0, 0.02, width="400px"),
            "batch": slider("batch (instances)", 32, 4, 128, 4, width="400px"),
            "rarest": slider("class 4 is (part of all)", 0.02, 0.0, 0.25, 0.01, width="400px"),
            "drift": slider("drift (feature units)", 2.0, 0.0, 3.0, 0.1, width="400px"),
            "gap": slider("MR lies off CT by (feature units)", 1.0, 0.0, 2.0, 0.1, width="400px"),
            "share": slider("MR is (part of all)", 0.5, 0.0, 1.0, 0.05, width="400px"),
            "pool": choice("update with the", list(POOLS), "pooled voxels (Eq. 11)", "400px"),
            "zeros": switch("start from zeros, not from the first mean", False),
        },
        compute,
        draw,
        describe,
        layout=[["alpha", "batch"], ["rarest", "share"], ["drift", "gap"], ["pool", "zeros"]],
        size=(9.4, 3.3),
        start=start,
    )
