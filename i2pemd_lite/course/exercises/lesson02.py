"""Exercises of lesson 02: from prototypes to the ground distance (Eq. 3-5)."""

import numpy as np
import torch
from scipy.spatial.distance import cdist

from i2pemd_lite.course.about.independent import ground_of, ranks
from i2pemd_lite.course.exercises import Exercise, Recall


def _counts(compare, divide=lambda K: K):
    return lambda g: compare(g[:, :, None], g[:, None, :]).sum(2) / divide(len(g))


# fmt: off
EXERCISES = {}

EXERCISES["02a"] = Exercise("Equation 3 without a loop", minutes=5, kind="fill in", takes="c", hints=(
    "Eq. 3 takes the difference of each feature, and then adds them up. What must happen to signs first?",
    "`c[:, None] - c` has the shape (K, K, d): classes, classes, features. Over which of these axes do you sum?",
    "Take the absolute values of `c[:, None] - c`, and then the sum over the last axis.",
), inputs=lambda random: (torch.tensor(random.normal(size=(random.integers(2, 9), random.integers(1, 6)))),),
    oracle=lambda c: cdist(c, c, "cityblock"), against="SciPy's cdist", properties={
    "the distance of a class to itself is 0": lambda g, c: np.abs(np.diag(g)).max() < 1e-6,
    "the table equals its transpose": lambda g, c: np.abs(g - g.T).max() < 1e-6,
}, mistakes={
    "That is the Euclidean distance, with squares and a root. Eq. 3 adds up absolute values.":
        lambda c: torch.cdist(c, c),
    "You added up the squared differences. Eq. 3 adds up absolute values.":
        lambda c: ((c[:, None] - c) ** 2).sum(2),
    "Positive and negative differences cancel: take their absolute values before you add.":
        lambda c: (c[:, None] - c).sum(2),
    "That is the mean over the features. Eq. 3 does not divide by d.": lambda c: (c[:, None] - c).abs().mean(2),
    "That is the largest difference of one feature. Eq. 3 adds up the differences of all.":
        lambda c: (c[:, None] - c).abs().amax(2),
})

EXERCISES["02b"] = Exercise("Equation 4, with ties", minutes=8, kind="write", takes="g", hints=(
    "For one entry, compare it with every entry of its row, and count. Broadcasting does it for all entries at once.",
    "If you compare `g[:, :, None]` with `g[:, None, :]`, each entry of a row meets every entry of the same row.",
    "Count over the last axis where the second is strictly smaller than the first, and divide by K.",
), inputs=lambda random: (
    # Distances on a coarse lattice, so that many rows have ties.
    torch.tensor(cdist(c := random.integers(0, 4, size=(random.integers(2, 9), 2)), c, "cityblock")),
), oracle=ranks, against="SciPy's rankdata", properties={
    "an entry on the diagonal of g has the rank 0, because no entry of its row is smaller":
        lambda ranks, g: np.abs(np.diag(ranks)).max() < 1e-6,
    "the largest rank is at most (K − 1)/K": lambda ranks, g: ranks.max() <= (len(g) - 1) / len(g) + 1e-6,
    "equal distances of a row have equal ranks":
        lambda ranks, g: np.abs(ranks[:, :, None] - ranks[:, None])[g[:, :, None] == g[:, None]].max() < 1e-9,
}, mistakes={
    "That counts the entries that are smaller or equal. The comparison in Eq. 4 is strict, so ties "
    "get the lower rank.": _counts(lambda one, other: other <= one),
    "That counts the entries that are larger. Eq. 4 counts those that are smaller.":
        _counts(lambda one, other: other > one),
    "You divided by K − 1. Eq. 4 divides by the number of classes, K, so 1 is never reached.":
        _counts(lambda one, other: other < one, lambda K: K - 1),
    "Sorting twice gives two equal distances two different ranks. Eq. 4 gives both the lower rank.":
        lambda g: g.argsort(dim=1, stable=True).argsort(1) / len(g),
    "You ranked within columns. Eq. 4 ranks within rows: l runs over the second index.":
        lambda g: _counts(lambda one, other: other < one)(g.T).T,
})

EXERCISES["02c"] = Exercise("Is G a distance?", minutes=10, kind="open", takes="K", hints=(
    "Start with prototypes on a line. Which class is nearest to which?",
    "A class in the middle of a line has near neighbours on both sides. A class at the end has them on one side.",
    "Space the classes equally on a line. Then look at a class, its neighbour, and the neighbour of this neighbour.",
), inputs=lambda random: (int(random.integers(4, 10)),), against="SciPy's ranks", properties={
    "there is one row for each of the K classes": lambda c, K: len(c) == K,
    "for some three classes i, l and j, the way round over l is cheaper: G_il + G_lj < G_ij":
        lambda c, K: ((G := ground_of(c.reshape(K, -1)))[:, :, None] > G[:, None] + G.T[None] + 1e-6).any(),
}, mistakes={
    "With all prototypes in one point, G is zero. A way round then costs 0, and so does the direct way.":
        lambda K: np.zeros((K, 2)),
    "At the corners of a simplex all are equally far apart. Every price is 1/K, so a way round costs twice that.":
        lambda K: np.eye(K),
})

TEMPTS = {
    "p02a": {
        "(.25, .5, .75, 1)": "You counted from one, as if an entry were smaller than itself.",
        "(0, .1, .4, 1)": "You divided by the largest entry. That keeps the distances. A rank keeps only their order.",
    },
    "p02b": {
        "below": "Did you include the diagonal? With its zeros, the mean is 3/7 for seven classes.",
        "above": "The largest ranks come to mind first. But a row has as many small ranks as large ones.",
    },
}
RECALL = Recall(
    "All prototypes move twice as far apart. What happens to G?", {
        "it is doubled": "The distances of Eq. 3 are doubled. But Eq. 4 replaces them by ranks, which do not change.",
        "it stays the same": "",
        "all prices become 1": "Ranks do not grow with the distances, and they never reach 1.",
    }, "G knows only the order of the distances within each row.")
