"""Exercises of lesson 05: the terms of Eq. 7, the map of Eq. 6, the feature size, and two measures that disagree."""

from functools import cache

import numpy as np
import torch
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist
from scipy.special import softmax

from i2pemd_lite.course.about.independent import random_ground, transported, weighted_ce
from i2pemd_lite.course.exercises import Exercise, Recall
from i2pemd_lite.segmentation import network


def _voxels(random):
    """Logits of voxels of which each class has some, some more than others."""
    K = random.integers(2, 6)
    labels = np.concatenate([np.arange(K), random.choice(K, random.integers(5, 40), p=random.dirichlet(np.ones(K)))])
    return torch.tensor(random.normal(0, 2, size=(len(labels), K))), torch.tensor(labels)


def _ce(logits, labels, weigh, mean_over=len):
    share = torch.bincount(labels, minlength=logits.shape[1]).double() / len(labels)
    w = weigh(share)[labels]
    return -(w * logits.log_softmax(1)[torch.arange(len(labels)), labels]).sum() / mean_over(w)


def _slice(random):
    """A small picture of probabilities, its labels, and a table of prices, symmetric and 0 on its diagonal."""
    K, height, width = random.integers(2, 7), random.integers(2, 6), random.integers(2, 6)
    p = np.moveaxis(random.dirichlet(np.full(K, 0.5), (height, width)), -1, 0)
    return torch.tensor(p), torch.tensor(random.integers(0, K, (height, width))), random_ground(random, K)


@cache
def _parameters(b, d, K):
    with torch.device("meta"):  # shapes without numbers: a network costs nothing
        return sum(p.numel() for p in network.UNet("joint_sepbn", b, d, K).parameters())


def _hd95(maps):
    """The 95th percentile of the distances between the two surfaces, the larger one of there and back, in voxels."""
    surfaces = [np.argwhere(mask & ~binary_erosion(mask)) for mask in maps > 0.5]
    distances = cdist(*surfaces)
    return max(np.percentile(distances.min(axis), 95) for axis in (0, 1))


def _block(n, stray=None):
    maps = np.zeros((2, n, n))
    maps[:, :, : n // 2] = 1
    if stray is not None:
        maps[1][stray] = 1
    return maps


# fmt: off
EXERCISES = {}

EXERCISES["05a"] = Exercise(
    "Cross-entropy that sees small organs", minutes=8, kind="fill in", takes="logits, labels", hints=(
    "You need one weight for each class. Then each voxel gets the weight of its own class.",
    "`torch.bincount` counts the voxels of each class; with `minlength` you say how many classes there are. "
    "`w[labels]` has one weight for each voxel.",
    "A weight is 1 minus the class's share of the voxels. Take the mean of weight times log p, with a minus sign.",
), inputs=_voxels, oracle=lambda logits, labels: weighted_ce(softmax(logits.numpy(), 1), labels.numpy()),
    against="scikit-learn's log_loss", gradient=0, mistakes={
    "That is the plain cross-entropy: every voxel counts the same.":
        lambda logits, labels: _ce(logits, labels, torch.ones_like),
    "Your weight is the share of a class, so large organs count more. It should be 1 minus the share.":
        lambda logits, labels: _ce(logits, labels, lambda share: share),
    "You divide by the sum of the weights, as torch does with `weight=`. Here you divide by N.":
        lambda logits, labels: _ce(logits, labels, lambda share: 1 - share, lambda w: w.sum()),
    "That is the sum over the voxels, not their mean.":
        lambda logits, labels: _ce(logits, labels, lambda share: 1 - share, lambda w: 1),
    "The sign is wrong: log-probabilities are negative, so a loss needs a minus sign.":
        lambda logits, labels: -_ce(logits, labels, lambda share: 1 - share),
})

EXERCISES["05b"] = Exercise("The map of I2PEMD", minutes=10, kind="write", takes="p, labels, G", hints=(
    "Eq. 6 is a sum over the classes: the probability of a class times the price of moving it to the true class.",
    "`G[labels]` has the shape (H, W, K): for each voxel, it has the price from every class to the true one. "
    "Which axis of p holds the classes?",
    "Move the classes of p to the last axis with `movedim`. Multiply by the prices, and add up over this axis.",
), inputs=_slice, oracle=lambda p, labels, G: transported(p.flatten(1).T, labels.flatten(), G).reshape(labels.shape),
    against="POT, one transport problem for each voxel",
    properties={"no voxel has a price below 0": lambda d, p, labels, G: d.min() > -1e-9}, mistakes={
    "That is 1 − p of the true class: every mistake costs the same, and G is not used.":
        lambda p, labels, G: 1 - p.gather(0, labels[None])[0],
    "You price only the most probable class. Eq. 6 moves the probability of every class.":
        lambda p, labels, G: G[p.argmax(0), labels],
    "That is the mean over the classes. Eq. 6 is a sum.": lambda p, labels, G: (p.movedim(0, -1) * G[labels]).mean(-1),
    "You price all probability as if it moved to the most probable class. It moves to the true one.":
        lambda p, labels, G: (p.movedim(0, -1) * G[p.argmax(0)]).sum(-1),
})

EXERCISES["05c"] = Exercise("What a channel of F costs", minutes=8, kind="write", takes="b, K", hints=(
    "Three layers have parameters for a channel: the convolution that makes it, its normalisation, and the head.",
    "A kernel has 27 numbers for each channel that it reads. A normalisation has a scale and a shift. The head "
    "reads the channel once for each class.",
    "Add three terms. The kernels read 2b channels. CT and MR have a normalisation each. The head has K outputs, "
    "and its biases do not grow with d.",
), inputs=lambda random: (int(random.integers(1, 17)), int(random.integers(2, 14))),
    oracle=lambda b, K: (_parameters(b, 24, K) - _parameters(b, 8, K)) / 16,
    against="two networks, whose parameters are counted", mistakes={
    "The normalisation is separate: CT has a scale and a shift, and MR has its own.": lambda b, K: 54 * b + 2 + K,
    "The head's bias belongs to a class, not to a channel: it does not grow with d.": lambda b, K: 54 * b + 5 + K,
    "The kernels of the last unit also reach along z: they are 3 × 3 × 3.": lambda b, K: 18 * b + 4 + K,
    "The last unit reads 2b channels, not b.": lambda b, K: 27 * b + 4 + K,
})

EXERCISES["05d"] = Exercise("Right in volume, wrong at the surface", minutes=12, kind="open", takes="n", hints=(
    "DOC counts voxels. HD95 looks only at those on the surface. Which shapes are nearly all surface?",
    "Take a large organ that the prediction finds without a mistake. What else could it contain, far away?",
    "Fill the left half in both maps. In the prediction, add a line of voxels at the right edge.",
), inputs=lambda random: (int(random.integers(16, 49)),), against="SciPy's erosion and distances", properties={
    "there are two maps of n × n voxels, the truth and the prediction": lambda maps, n: maps.shape == (2, n, n),
    "the maps contain only 0 and 1, and both have an organ":
        lambda maps, n: np.isin(maps, (0, 1)).all() and maps.any((1, 2)).all(),
    "DOC is at least 90": lambda maps, n: 200 * (maps > 0.5).all(0).sum() / (maps > 0.5).sum() >= 90,
    "HD95 is at least n/4 voxels: more than 5 % of one surface has to be that far from the other":
        lambda maps, n: _hd95(maps) >= n / 4,
}, mistakes={
    "A single voxel far away changes the largest distance, HD. But it is less than 5 % of the surface, so HD95 "
    "does not see it.": lambda n: _block(n, (0, n - 1)),
    "You return the same map twice, so DOC is 100 and all distances are 0.": _block,
    "The prediction is off at one edge of the organ, so its surface has moved by only one voxel.":
        lambda n: _block(n, (slice(None), n // 2)),
})

TEMPTS = {
    "p05a": {"above": "A normalisation for each modality sounds like a second network. But it is a small part of one."},
    "p05b": {
        "all zeros": "The prototypes are nearly equal, but not exactly. A rank does not see how small a difference is.",
        "all ones": "All classes seem equally far apart. But ranks put even the smallest differences in order.",
    },
    "p05e": {
        "full recipe": "Augmentation helps in nearly every paper. But those train much longer than 500 steps.",
        "with wide + organ + fold + exchange": "More variety sounds better. But so much is hard to learn in 500 steps.",
        "without I2PEMD": "One term less may be faster. But what λ changes here is less than luck explains.",
    },
}
RECALL = Recall(
    "The I2PEMD term falls during a training. What does this show?", {
        "I2PEMD helps": "It looks like success. But cross-entropy alone makes predictions surer, so they cost less.",
        "CT and MR become more alike": "The term compares predictions with labels. It does not compare CT with MR.",
        "nothing yet: it also falls when λ is 0": "",
    }, "To see an effect, compare with a run without the term.")
