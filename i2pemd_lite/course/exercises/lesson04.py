"""Exercises of lesson 04: prototypes that follow (Eq. 10, 11), and how old those of rare classes are."""

import numpy as np
import torch
from scipy.signal import lfilter
from scipy.stats import binom, geom

from i2pemd_lite.course.about.independent import ground_of
from i2pemd_lite.course.exercises import Exercise, Recall


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
    "There are two kinds of classes. What should a class get that is in the batch, and a class that is not?",
    "`torch.where(condition, one, other)` chooses number by number. The condition has the shape (K,), but the two "
    "tables that it chooses from have the shape (K, d).",
    "Give the condition a second axis with `[:, None]`. Where it is true, take what moved. Elsewhere, take c.",
), inputs=_batch, oracle=_class_by_class, against="a loop over classes and features", properties={
    "a class without an instance in the batch keeps its prototype":
        lambda new, c, means, counts, alpha: np.abs((new - c.numpy())[counts.numpy() == 0]).max(initial=0) < 1e-6,
}, mistakes={
    "A class that is absent moves too, towards a mean of 0 that was never measured. Look at counts.":
        lambda c, means, counts, alpha: alpha * c + (1 - alpha) * means,
    "An absent class gets zeros instead of its prototype. It should keep its prototype.":
        lambda c, means, counts, alpha: (alpha * c + (1 - alpha) * means) * (counts > 0)[:, None],
    "The two factors are swapped: α is the share of the old prototype that stays.":
        lambda c, means, counts, alpha: torch.where((counts > 0)[:, None], (1 - alpha) * c + alpha * means, c),
    "You take the mean of the batch as it is. Eq. 10 moves only part of the way towards it.":
        lambda c, means, counts, alpha: torch.where((counts > 0)[:, None], means, c),
})

EXERCISES["04b"] = Exercise("What a prototype remembers", minutes=10, kind="write", takes="u, alpha", hints=(
    "How many updates ago did the last row of u come in? And the first row?",
    "The ages of the rows are T − 1, …, 1, 0. Each age gives one weight, so you have a list of T weights.",
    "Multiply the T weights by the table (T, d) with `@`. The result is the weighted sum of its rows, (d,).",
), inputs=lambda random: (
    torch.tensor(random.normal(1, 1, size=(random.integers(2, 15), random.integers(1, 5)))), random.uniform(0.3, 0.95),
), oracle=lambda u, alpha: lfilter([1 - alpha], [1, -alpha], u.numpy(), axis=0)[-1],  # begun at rest
    against="SciPy's digital filter lfilter", mistakes={
    "You give the oldest batch the largest weight. The last row of u is the newest, so its age is 0.":
        lambda u, alpha: _ages(u.flip(0), alpha, lambda a, n: (1 - a) * a**n),
    "The factor 1 − α is missing.": lambda u, alpha: _ages(u, alpha, lambda a, n: a**n),
    "Your weights add up to 1. Here they do not: the zero at the start still has the weight α to the power T.":
        lambda u, alpha: _ages(u, alpha, lambda a, n: a**n / (a**n).sum()),
    "You take the first mean as it is. Here the prototype starts from zero.":
        lambda u, alpha: _ages(u, alpha, lambda a, n: torch.where(n == n.max(), a**n, (1 - a) * a**n)),
    "Your ages are off by one: the newest batch should have the weight 1 − α.":
        lambda u, alpha: _ages(u, alpha, lambda a, n: (1 - a) * a ** (n + 1)),
})

EXERCISES["04c"] = Exercise("Waiting for a rare class", minutes=8, kind="write", takes="share, size", hints=(
    "Answer another question first: how probable is it that a batch contains the class at all?",
    "What happens in one batch out of ten happens every ten batches on average. So divide 1 by that probability.",
    "With probability (1 − share) to the power size, no image in the batch is of the class. You need the opposite.",
), inputs=lambda random: (random.uniform(0.003, 0.4), int(random.integers(2, 49))),
    oracle=lambda share, size: geom.mean(binom.sf(0, size, share)),
    against="SciPy's binomial and geometric distributions",
    properties={"the wait is at least one batch": lambda wait, share, size: wait >= 1 - 1e-9}, mistakes={
    "That would be right if no batch contained the class twice. It is nearly right for rare classes only.":
        lambda share, size: 1 / (share * size),
    "You wait for a batch without the class. Use the probability that the class is in the batch.":
        lambda share, size: 1 / (1 - share) ** size,
    "That is the probability that the class is in a batch. It is not yet a number of batches.":
        lambda share, size: 1 - (1 - share) ** size,
    "You count only the batches in between. When two batches in a row contain the class, the wait is 1.":
        lambda share, size: 1 / (1 - (1 - share) ** size) - 1,
})

EXERCISES["04d"] = Exercise("From the farthest to the nearest", minutes=12, kind="open", takes="K, alpha", hints=(
    "Put class 1 and a far class on a line. Which of the two should have had many updates?",
    "After one update, a prototype is at (1 − α) times its true place. Where must the true place be, so that this "
    "point is close to class 1?",
    "Give many updates to all but the last class. Put class 1 at 2, the last at 2/(1 − α), the others just above 2.",
), inputs=lambda random: (int(random.integers(3, 10)), random.uniform(0.55, 0.95)),
    against="SciPy's distances and ranks", properties={
    "there is one row for each of the K classes, with a count and at least one feature":
        lambda table, K, alpha: table.ndim == 2 and len(table) == K and (table.shape[1] > 1),
    "the counts, in the first column, are whole numbers of at least 1":
        lambda table, K, alpha: (table[:, 0] == table[:, 0].round()).all() and table[:, 0].min() >= 1,
    "the counts differ: with equal counts, all prototypes shrink by the same factor, and G does not change":
        lambda table, K, alpha: len(set(table[:, 0])) > 1,
    "with the true prototypes, one class alone is the farthest from class 1 by G":
        lambda table, K, alpha: _alone(table[:, 1:], np.max) is not None,
    "with a start at zero, that class alone is the nearest to class 1 by G":
        lambda table, K, alpha: _alone((1 - alpha ** table[:, :1]) * table[:, 1:], np.min)
        == _alone(table[:, 1:], np.max),
}, mistakes={
    "The rare class lands at (1 − α) times its true place. This is near class 1 for some α, but not for others. Make "
    "its true place depend on α.": lambda K, alpha: np.stack([[20] * (K - 1) + [1], np.arange(K)], 1),
    "Class 1 itself has had only one update, so it lies too close to zero. The far class "
    "should be the rare one.": lambda K, alpha: np.stack([[1] + [20] * (K - 1), np.arange(1, K + 1)], 1),
})

TEMPTS = {
    "p04a": {"is straight": "A straight line is a window, which forgets a batch at some point. Here each update keeps "
                            "80 % of the weight, so it never ends."},
    "p04b": dict.fromkeys(
        ("is straight", "bends upwards", "bends downwards"),
        "You drew one of two effects. A larger α removes noise, and it also adds delay."),
    "p04c": {"below": "One in a hundred sounds like one in each batch or two. But twelve draws nearly always miss it."},
}
RECALL = Recall(
    "A class does not occur in a batch. What does this batch do to the prototype of that class?", {
        "it pulls it towards zero":
            "That would happen if the mean of an absent class were used. Its count is 0, so it is left out.",
        "it pulls it towards the other classes": "A prototype follows only the features of its own class.",
        "nothing": "",
    }, "So the prototype of a rare class can be many batches old.")
