"""Exercises of lesson 08: the loss of a loop of one's own, and what several processes have to share."""

import numpy as np
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss

from i2pemd_lite.course.about.independent import class_costs, logits_and_labels
from i2pemd_lite.course.exercises import Exercise, Recall


def _loss(z, y, G, weight, term):
    return torch.nn.functional.cross_entropy(z, y) + weight * term((z.softmax(1) * G[:, y].T).sum(1), y, len(G))


def _each_class(d, y, K, divide=None):
    means = [d[y == k].mean() for k in y.unique()]
    return sum(means) / (divide or len(means))


def _parts(random):
    """Class means and counts of W processes; one class is in none of them, others are missing in some."""
    W, K, d = random.integers(2, 5), random.integers(3, 7), random.integers(1, 5)
    counts = random.integers(1, 9, size=(W, K)) * (random.random((W, K)) < 0.7)
    absent = random.integers(K)
    counts[:, [absent - 1, absent]] = 0
    counts[0, absent - 1] = 1  # and one class has a single instance
    means = random.normal(size=(W, K, d)) * (counts > 0)[:, :, None]
    return torch.tensor(means), torch.tensor(counts, dtype=torch.float64)


def _one_by_one(means, counts):
    """Each mean stands for as many instances as it was taken from; then the mean of all of them."""
    by_class = zip(means.numpy().swapaxes(0, 1), counts.numpy().astype(int).T, strict=True)
    everyone = [np.repeat(mean, count, axis=0) for mean, count in by_class]
    return np.array([x.sum(0) / max(1, len(x)) for x in everyone])


# fmt: off
EXERCISES = {}

EXERCISES["08a"] = Exercise("The loss of your own loop", minutes=8, kind="fill in", takes="z, y, G, weight", hints=(
    "Eq. 6 gives each instance a cost. Eq. 9 averages the costs within each class, and Eq. 8 averages these means.",
    "`d` has the costs. `y.unique()` has the classes that are present, and `d[y == k]` has the costs of one of them.",
    "Take one mean for each class in `y.unique()`, then the mean of these means. Which of the two terms does the "
    "weight multiply?",
), inputs=lambda random: (*logits_and_labels(random), random.uniform(0.5, 3)),
    oracle=lambda z, y, G, weight: log_loss(y, p := softmax(z.numpy(), 1), labels=range(len(G)))
    + weight * np.mean(class_costs(p, y, G)),  # in which each class present counts the same
    against="scikit-learn's log_loss and POT, one transport problem for each instance", gradient=0, mistakes={
    "You took the mean over all instances. In Eq. 8 each class counts the same, however many instances it has.":
        lambda z, y, G, weight: _loss(z, y, G, weight, lambda d, y, K: d.mean()),
    "You divided by all K classes. A class that is not in the batch has no mean, so it must not count.":
        lambda z, y, G, weight: _loss(z, y, G, weight, lambda d, y, K: _each_class(d, y, K, divide=K)),
    "You took the sum over the classes. Eq. 8 takes their mean.":
        lambda z, y, G, weight: _loss(z, y, G, weight, lambda d, y, K: _each_class(d, y, K, divide=1)),
    "The weight is missing: multiply the second term by λ.": lambda z, y, G, weight: _loss(z, y, G, 1.0, _each_class),
    "This is the I2PEMD term alone. The loss needs the cross-entropy too.":
        lambda z, y, G, weight: _loss(z, y, G, weight, _each_class) - torch.nn.functional.cross_entropy(z, y),
    "Your weight multiplies both terms. It should multiply only the second.":
        lambda z, y, G, weight: weight * _loss(z, y, G, 1.0, _each_class),
})

EXERCISES["08b"] = Exercise("Prototypes from shares", minutes=8, kind="write", takes="means, counts", hints=(
    "Means of different numbers of instances must not count the same. What can you add up over the processes?",
    "A mean times its count is a sum, and sums can be added. `counts[:, :, None]` fits the shape of `means`.",
    "Add up means times counts over the processes. Divide by the sum of the counts, but never by less than 1.",
), inputs=_parts, oracle=_one_by_one, against="the mean over all instances, one by one", properties={
    "a class that no process has seen gets zeros":
        lambda c, means, counts: np.abs(c[counts.numpy().sum(0) == 0]).max(initial=0) < 1e-9,
}, mistakes={
    "This is the mean of the means. A process with few instances of a class then counts as much as one with many.":
        lambda means, counts: means.mean(0),
    "You leave out the processes that have not seen a class. But the others count the same, however many instances "
    "each had.": lambda means, counts: means.sum(0) / (counts > 0).sum(0).clamp(min=1)[:, None],
    "This is the sum of each class. You still have to divide it by the number of its instances in all processes.":
        lambda means, counts: (means * counts[:, :, None]).sum(0),
    "You divided by the number of instances of all classes. Each class has its own count.":
        lambda means, counts: (means * counts[:, :, None]).sum(0) / counts.sum(),
})

EXERCISES["08c"] = Exercise("What a process alone cannot see", minutes=6, kind="open", takes="n", hints=(
    "What does a variance of 0 say about the values of one process?",
    "Each process repeats one value n times. How far must these two values be from their mean?",
    "Take ones for the first process. The mean of the batch is halfway between the values of the two processes.",
), inputs=lambda random: (int(random.integers(2, 20)),), against="NumPy's variance", properties={
    "there are n values for each of two processes": lambda x, n: x.shape == (2, n),
    "each process alone sees a variance of 0": lambda x, n: x.var(1).max() < 1e-9,
    "the whole batch has a variance of 1": lambda x, n: abs(x.var() - 1) < 1e-6,
}, mistakes={
    "Your two values are 1 apart, so each is 1/2 away from their mean, and the variance is 1/4.":
        lambda n: np.stack([np.zeros(n), np.ones(n)]),
    "All values are the same, so the whole batch has no variance either.": lambda n: np.ones((2, n)),
    "Both processes have the same values, with a variance of 1 each. Each must see a variance of 0.":
        lambda n: np.tile(np.where(np.arange(n) % 2, 1.0, -1.0), (2, 1)),
})

TEMPTS = {
    "p08a": {"below": "The term needs G, and G needs a prototype of every class. Twelve digits rarely show all ten."},
    "p08b": {
        **dict.fromkeys(
            ("the cross-entropy", "both"), "Cross-entropy has several forms, but these two programs use the same one."),
        "none": "Two losses with the same name look the same. Compare their formulas before you believe it.",
    },
    "p08c": {
        "nothing: training will fail": "Many programs do so: they find a bad file only when they need it.",
        "it named the first bad file": "Many programs do so. Then you repair file after file, and start again.",
    },
    "p08d": {"yes": "An average of gradients is enough if each sample has a loss of its own. Here samples mix."},
    "p08e": {"above": "G looks spread out for every d, so the distances seem to be so. But G keeps only ranks."},
}
RECALL = Recall(
    "In a training loop of your own, why is the I2PEMD term 0 in the first steps?", {
        "the network is not trained yet": "An untrained network makes expensive mistakes, unless G is 0.",
        "not all classes have been seen": "",
        "λ starts at 0": "λ has its full value from the first step on. It is multiplied by a cost of 0.",
    }, "Until every class has a prototype, G is 0, and the term does no harm.")
