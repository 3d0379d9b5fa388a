"""Exercises of lesson 02: from prototypes to the ground distance (Eq. 3-5)."""

import numpy as np
import torch
from scipy.spatial.distance import cdist

from i2pemd_lite.course.about.independent import ground_of, ranks
from i2pemd_lite.course.exercises import Exercise


def _counts(compare, divide=lambda K: K):
    return lambda g: compare(g[:, :, None], g[:, None, :]).sum(2) / divide(len(g))


# fmt: off
EXERCISES = {}

EXERCISES["02a"] = Exercise("Equation 3 without a loop", minutes=5, kind="fill in", takes="c", hints=(
    "Eq. 3 takes differences feature by feature, and then adds up. What has to happen to a sign in between?",
    "`c[:, None] - c` has the shape (K, K, d): classes, classes, features. Over which of the three is the sum?",
    "Absolute values of `c[:, None] - c`, and then a sum over the last axis.",
), inputs=lambda random: (torch.tensor(random.normal(size=(random.integers(2, 9), random.integers(1, 6)))),),
    oracle=lambda c: cdist(c, c, "cityblock"), against="SciPy's cdist", properties={
    "the distance of a class to itself is 0": lambda g, c: np.abs(np.diag(g)).max() < 1e-6,
    "the table equals its transpose": lambda g, c: np.abs(g - g.T).max() < 1e-6,
}, mistakes={
    "That is the Euclidean distance: squares and a root. Eq. 3 adds up absolute values.": lambda c: torch.cdist(c, c),
    "Those are the squared differences, added up. Eq. 3 adds up absolute values.":
        lambda c: ((c[:, None] - c) ** 2).sum(2),
    "Positive and negative differences cancel: take their absolute values before you add.":
        lambda c: (c[:, None] - c).sum(2),
    "That is the mean over the features. Eq. 3 has no division by d.": lambda c: (c[:, None] - c).abs().mean(2),
    "That is the largest difference of one feature. Eq. 3 adds up all of them.":
        lambda c: (c[:, None] - c).abs().amax(2),
})

EXERCISES["02b"] = Exercise("Equation 4, with ties", minutes=8, kind="write", takes="g", hints=(
    "For one entry: compare it with every entry of its row, and count. With broadcasting all entries at once.",
    "`g[:, :, None]` against `g[:, None, :]` compares each entry of a row with each other of the same row.",
    "Count over the last axis where the second is strictly smaller than the first, and divide by K.",
), inputs=lambda random: (
    # Distances on a coarse lattice, so that many rows have ties.
    torch.tensor(cdist(c := random.integers(0, 4, size=(random.integers(2, 9), 2)), c, "cityblock")),
), oracle=ranks, against="SciPy's rankdata", properties={
    "no entry of g is smaller than one on its diagonal, which so has the rank 0":
        lambda ranks, g: np.abs(np.diag(ranks)).max() < 1e-6,
    "the largest rank is at most (K − 1)/K": lambda ranks, g: ranks.max() <= (len(g) - 1) / len(g) + 1e-6,
    "equal distances of a row have equal ranks":
        lambda ranks, g: np.abs(ranks[:, :, None] - ranks[:, None])[g[:, :, None] == g[:, None]].max() < 1e-9,
}, mistakes={
    "That counts the entries that are smaller or equal. The comparison in Eq. 4 is strict, so ties "
    "take the lower rank.": _counts(lambda one, other: other <= one),
    "That counts the entries that are larger. Eq. 4 counts those that are smaller.":
        _counts(lambda one, other: other > one),
    "Divided by K − 1. Eq. 4 divides by the number of classes, so that 1 is never reached.":
        _counts(lambda one, other: other < one, lambda K: K - 1),
    "Sorting twice gives each of two equal distances a rank of its own. Eq. 4 gives both the lower one.":
        lambda g: g.argsort(dim=1, stable=True).argsort(1) / len(g),
    "That ranks within columns. Eq. 4 ranks each row: l runs over the second index.":
        lambda g: _counts(lambda one, other: other < one)(g.T).T,
})

EXERCISES["02c"] = Exercise("Is G a distance?", minutes=10, kind="open", takes="K", hints=(
    "Start with prototypes on a line. Who is the nearest of whom?",
    "In the middle of a line a class has near neighbours on both sides; at its end it has them on one side.",
    "Equally spaced on a line, look at a class, its neighbour, and the neighbour of the neighbour.",
), inputs=lambda random: (int(random.integers(4, 10)),), against="SciPy's ranks", properties={
    "there is one row for each of the K classes": lambda c, K: len(c) == K,
    "for some three classes i, l, j the way round is cheaper: G_il + G_lj < G_ij":
        lambda c, K: ((G := ground_of(c.reshape(K, -1)))[:, :, None] > G[:, None] + G.T[None] + 1e-6).any(),
}, mistakes={
    "With all prototypes in one point G is zero, and so is every way round.": lambda K: np.zeros((K, 2)),
    "At the corners of a simplex all are equally far. Then every price is 1/K, and a way round costs two of them.":
        lambda K: np.eye(K),
})
