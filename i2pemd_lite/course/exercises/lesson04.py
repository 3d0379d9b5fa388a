"""Exercises of lesson 04: prototypes that follow (Eq. 10, 11), and how old those of rare classes are."""

import numpy as np
import torch
from scipy.signal import lfilter
from scipy.stats import binom, geom

from i2pemd_lite.course.about.independent import ground_of
from i2pemd_lite.course.exercises import Exercise


def _batch(random):
    """Prototypes, and what a batch says of its classes: means that are 0 and counts that are 0 for the absent ones."""
    K, d = random.integers(3, 8), random.integers(1, 5)
    counts = random.integers(1, 6, size=K) * (random.random(K) < 0.6)
    means = random.normal(size=(K, d)) * (counts > 0)[:, None]
    c = torch.tensor(random.normal(size=(K, d)))
    return c, torch.tensor(means), torch.tensor(counts), float(random.uniform(0.1, 0.95))


def _class_by_class(c, means, counts, alpha):
    new = c.numpy().copy()
    for k, j in np.ndindex(new.shape):
        if counts[k] > 0:
            new[k, j] = alpha * c[k, j] + (1 - alpha) * means[k, j]
    return new


def _ages(u, alpha, weight):
    return weight(alpha, torch.arange(len(u), dtype=torch.float64).flip(0)) @ u


def _alone(c, end):
    """The one class whose distance to class 1 in G is the extreme, counted from 1; None when several share it."""
    row = ground_of(c)[0, 1:]
    (at,) = np.nonzero(row == end(row))
    return int(at[0]) + 1 if len(at) == 1 else None


# fmt: off
EXERCISES = {}

EXERCISES["04a"] = Exercise("A step of Equation 10", minutes=5, kind="fill in", takes="c, means, counts, alpha", hints=(
    "Two kinds of classes: what should a class get that the batch holds, and what one that it does not hold?",
    "`torch.where(condition, one, other)` chooses number by number. The condition has the shape (K,), and the two "
    "it chooses between have (K, d).",
    "Give the condition a second axis with `[:, None]`; where it holds take what moved, elsewhere c.",
), inputs=_batch, oracle=_class_by_class, against="a loop over classes and features", properties={
    "a class without an instance in the batch keeps its prototype":
        lambda new, c, means, counts, alpha: np.abs((new - c.numpy())[counts.numpy() == 0]).max(initial=0) < 1e-6,
}, mistakes={
    "A class that is absent moves too, towards a mean of 0 that nobody measured. Look at counts.":
        lambda c, means, counts, alpha: alpha * c + (1 - alpha) * means,
    "An absent class gets zeros in place of its prototype. It should keep what it has.":
        lambda c, means, counts, alpha: (alpha * c + (1 - alpha) * means) * (counts > 0)[:, None],
    "Two factors have changed places: α is the share that stays.":
        lambda c, means, counts, alpha: torch.where((counts > 0)[:, None], (1 - alpha) * c + alpha * means, c),
    "That takes the mean of the batch as it is. Eq. 10 goes only a part of the way.":
        lambda c, means, counts, alpha: torch.where((counts > 0)[:, None], means, c),
})

EXERCISES["04b"] = Exercise("What a prototype remembers", minutes=10, kind="write", takes="u, alpha", hints=(
    "How old is the last row of u? And how old is the first?",
    "The ages of the rows are T − 1, …, 1, 0. With them you have T weights: a list of T numbers.",
    "A list of T weights times a table (T, d), by `@`, is their weighted sum (d,).",
), inputs=lambda random: (
    torch.tensor(random.normal(1, 1, size=(random.integers(2, 15), random.integers(1, 5)))), random.uniform(0.3, 0.95),
), oracle=lambda u, alpha: lfilter([1 - alpha], [1, -alpha], u.numpy(), axis=0)[-1],  # begun at rest
    against="SciPy's digital filter lfilter", mistakes={
    "The oldest batch has the largest weight. The last row of u is the newest, of age 0.":
        lambda u, alpha: _ages(u.flip(0), alpha, lambda a, n: (1 - a) * a**n),
    "The factor 1 − α is missing.": lambda u, alpha: _ages(u, alpha, lambda a, n: a**n),
    "Your weights add up to 1. From zero they do not: α to the power T is still the zero at the start.":
        lambda u, alpha: _ages(u, alpha, lambda a, n: a**n / (a**n).sum()),
    "That takes the first mean as it is. Here the prototype starts from zero.":
        lambda u, alpha: _ages(u, alpha, lambda a, n: torch.where(n == n.max(), a**n, (1 - a) * a**n)),
    "Ages are off by one: the newest batch has the weight 1 − α.":
        lambda u, alpha: _ages(u, alpha, lambda a, n: (1 - a) * a ** (n + 1)),
})

EXERCISES["04c"] = Exercise("Waiting for a rare class", minutes=8, kind="write", takes="share, size", hints=(
    "First another question: how probable is it that a batch holds the class at all?",
    "What happens in one batch out of ten happens every ten batches. So you need one over that probability.",
    "The probability that none of the images is of the class is (1 − share) to the power size; you need the opposite.",
), inputs=lambda random: (random.uniform(0.003, 0.4), int(random.integers(2, 49))),
    oracle=lambda share, size: geom.mean(binom.sf(0, size, share)),
    against="SciPy's binomial and geometric distributions",
    properties={"nobody waits less than one batch": lambda wait, share, size: wait >= 1 - 1e-9}, mistakes={
    "That would be right if no batch held the class twice. Rare classes come close, common ones do not.":
        lambda share, size: 1 / (share * size),
    "That waits for a batch without the class. You need the probability that it is there.":
        lambda share, size: 1 / (1 - share) ** size,
    "That is the probability that the class is in a batch, not yet a number of batches.":
        lambda share, size: 1 - (1 - share) ** size,
    "That counts only the batches in between. Count from one to the next, so that neighbours wait 1.":
        lambda share, size: 1 / (1 - (1 - share) ** size) - 1,
})

EXERCISES["04d"] = Exercise("From the farthest to the nearest", minutes=12, kind="open", takes="K, alpha", hints=(
    "Class 1 and a far class, on a line. Which of the two should have had many updates?",
    "After one update a prototype stands at (1 − α) times its true place. Where must the true place be, so that "
    "this is close to class 1?",
    "Many updates for all but the last class; class 1 at 2, the others a little above, and the last one at 2/(1 − α).",
), inputs=lambda random: (int(random.integers(3, 10)), random.uniform(0.55, 0.95)),
    against="SciPy's distances and ranks", properties={
    "there is one row for each of the K classes, and in it a count and at least one feature":
        lambda table, K, alpha: table.ndim == 2 and len(table) == K and (table.shape[1] > 1),
    "the counts, in the first column, are whole numbers of at least 1":
        lambda table, K, alpha: (table[:, 0] == table[:, 0].round()).all() and table[:, 0].min() >= 1,
    "the counts differ: with equal ones all prototypes shrink by one factor, and G stays as it is":
        lambda table, K, alpha: len(set(table[:, 0])) > 1,
    "in truth, one class alone is the farthest from class 1 by G":
        lambda table, K, alpha: _alone(table[:, 1:], np.max) is not None,
    "seen from zero, that class alone is the nearest to class 1 by G":
        lambda table, K, alpha: _alone((1 - alpha ** table[:, :1]) * table[:, 1:], np.min)
        == _alone(table[:, 1:], np.max),
}, mistakes={
    "The rare class lands at (1 − α) times its place, which is near class 1 for some α and not for others. Let its "
    "place depend on α.": lambda K, alpha: np.stack([[20] * (K - 1) + [1], np.arange(K)], 1),
    "Class 1 itself has had one update, so it has moved too, and towards zero. The far class "
    "should be the rare one.": lambda K, alpha: np.stack([[1] + [20] * (K - 1), np.arange(1, K + 1)], 1),
})
