"""Exercises of lesson 03: Eq. 6 for a batch, its gradient, Eq. 8 and 9, and a push in the wrong direction."""

import numpy as np
import torch
from scipy.special import softmax

from i2pemd_lite.course.about import independent as other
from i2pemd_lite.course.exercises import Exercise, Recall


def _by_differences(z, k, G):
    return other.slopes(lambda z: softmax(z) @ np.asarray(G)[:, k], np.asarray(z))


def _at(formula):
    """A formula in p and the prices of the label, as a function of logits."""
    return lambda z, k, G: formula(z.softmax(0), G[:, k], torch.eye(len(z), dtype=z.dtype)[k])


def _class_means(z, y, G):
    p = z.softmax(1)
    return torch.stack([p[y == k].mean(0) @ G[:, k] for k in y.unique()])


def _two_prices(random):
    """G and a label to which two other classes have different prices."""
    while True:
        K = random.integers(4, 9)
        G, k = other.random_ground(random, K), int(random.integers(K))
        if np.ptp(np.delete(G[:, k].numpy(), k)) > 0.12:
            return G, k


def _others(G, k):
    return sorted((i for i in range(len(G)) if i != k), key=lambda i: float(G[i, k]))


def _sure_of(G, i):
    return 12 * torch.eye(len(G), dtype=G.dtype)[i]


# fmt: off
EXERCISES = {}

EXERCISES["03a"] = Exercise("Equation 6 for a batch", minutes=5, kind="fill in", takes="p, y, G", hints=(
    "For one instance you took the product with one column of G. Here each row of p has its own column.",
    "`prices` has the same shape as p. Its row b is the column of G for the label of instance b.",
    "Multiply p and `prices` entry by entry. Then add up over the classes, which are the last axis.",
), inputs=lambda random: ((batch := other.logits_and_labels(random))[0].softmax(1), *batch[1:]),
    oracle=other.transported, against="POT, one transport problem for each row", gradient=0, mistakes={
    "That compares each prediction with every label. Use only the label of its own row.": lambda p, y, G: p @ G,
    "That is 1 − pₖ, the fix form. The prices of G are missing.": lambda p, y, G: 1 - p[range(len(y)), y],
    "That is the mean over the classes. Eq. 6 is a sum.": lambda p, y, G: (p * G[y]).mean(1),
    "That is one number for the whole batch. Add up over the classes only, not over the instances.":
        lambda p, y, G: (p * G[y]).sum(),
})

EXERCISES["03b"] = Exercise("Its gradient, by hand", minutes=8, kind="write", takes="z, k, G", hints=(
    "The formula above has p in it, and not z. How do you get p from z?",
    "The bracket compares the price of each class with the average price under p, which is one number.",
    "Let p be the softmax of z, and `prices` column k of G. Subtract from `prices` their mean under p, and multiply "
    "by p.",
), inputs=lambda random: (
    z := torch.tensor(random.normal(size=random.integers(3, 8))), int(random.integers(len(z))),
    other.random_ground(random, len(z)),
), oracle=_by_differences, against="finite differences of SciPy's softmax", properties={
    "the entries of the gradient add up to 0": lambda gradient, z, k, G: abs(gradient.sum()) < 1e-6,
    "the gradient of the label itself is at most 0": lambda gradient, z, k, G: gradient[k] < 1e-6,
}, mistakes={
    "That is the gradient with respect to p. To get to z, you still have to go through the softmax.":
        _at(lambda p, prices, e: prices),
    "The bracket is not complete: subtract the average price, p · G, from each price.":
        _at(lambda p, prices, e: p * prices),
    "The sign is reversed: this is the direction of the step. The gradient points uphill.":
        _at(lambda p, prices, e: -p * (prices - p @ prices)),
    "That is the gradient of cross-entropy, p − e_k.": _at(lambda p, prices, e: p - e),
    "The factor p_j in front of the bracket is missing.": _at(lambda p, prices, e: prices - p @ prices),
})

EXERCISES["03c"] = Exercise("Equations 8 and 9", minutes=10, kind="write", takes="z, y, G", hints=(
    "You need two means, one inside the other. What does each of them average over? Which classes have no mean?",
    "For a class k that occurs, select its voxels with `y == k`, and take the mean of their distances.",
    "Take the softmax of z, and for each k in `y.unique()` the mean of the distances. Then `torch.stack` and the mean.",
), inputs=(other.logits_and_labels, lambda random: other.logits_and_labels(random, 1)),
    oracle=other.loss_by_class, against="loops over voxels and classes in float64",
    gradient=0, mistakes={
    "That is the mean over all voxels, where large classes weigh more. Eq. 9 first takes the mean of each class.":
        lambda z, y, G: (z.softmax(1) * G[y]).sum(1).mean(),
    "You divided by all K classes. A class without a voxel has no mean, so divide by the number of those present.":
        lambda z, y, G: _class_means(z, y, G).sum() / len(G),
    "That is the sum over the classes. Eq. 8 is their mean.": lambda z, y, G: _class_means(z, y, G).sum(),
    "Eq. 6 needs probabilities. z are logits: the softmax turns them into p.":
        lambda z, y, G: torch.stack([z[y == k].mean(0) @ G[:, k] for k in y.unique()]).mean(),
})

EXERCISES["03d"] = Exercise("Pushed the wrong way", minutes=12, kind="open", takes="G, k", hints=(
    "In the gradient every class has its own p_j as a factor. How large should this factor be for class k?",
    "A wrong class is pushed up when it costs less than the average. What can raise the average above its price?",
    "Put hardly any mass on class k, half on the cheapest wrong class, and half on the most expensive. Then z = log p.",
), inputs=_two_prices, against="finite differences of SciPy's softmax", properties={
    "there is one logit for each class": lambda z, G, k: z.shape == (len(G),),
    "some wrong class is pushed up harder than class k, by more than 0.01":
        lambda z, G, k: np.delete(gradient := _by_differences(z, k, G), k).min() < gradient[k] - 0.01,
}, mistakes={
    "When all classes are equally probable, the push depends only on the price, and class k has the price 0.":
        lambda G, k: torch.zeros_like(G[k]),
    "This prediction is already sure of class k, so there is nothing left to push.": lambda G, k: _sure_of(G, k),
    "When p is sure of one wrong class, its price is the average and its bracket nearly 0. Add a more expensive class.":
        lambda G, k: _sure_of(G, _others(G, k)[0]),
    "Those are probabilities. As logits they are nearly equal, so take their logarithm.":
        lambda G, k: torch.tensor([0.5 if i in _others(G, k)[:: len(G) - 2] else 0.01 for i in range(len(G))]),
})

TEMPTS = {
    "p03a": {
        "the fix form": "In the fix form, all mistakes have the same price. So it cannot see where the doubt is.",
        "both": "With equal prices, the cost is just 1 − p₁, and this is the same for both predictions.",
        "neither": "Both predictions are equally sure of class 1. But their doubt is on different classes.",
    },
    "p03b": {"is straight": "A straight line, 1 − pₖ, is the push of cross-entropy. I2PEMD also has the factor pₖ."},
    "p03c": {"below": "Did you leave out the mass that is already on class 3? With a 1 on the diagonal, it pays too."},
}
RECALL = Recall(
    "A prediction has nearly all of its mass on one wrong class. How strongly does I2PEMD alone push it back?", {
        "as strongly as it can": "The cost is high there. But the push is its slope, and the softmax is flat there.",
        "as strongly as cross-entropy": "Cross-entropy does push there. This is one reason why Eq. 7 contains both.",
        "hardly at all": "",
    }, "The push on class k contains the factor pₖ (1 − pₖ), which is nearly 0 at both ends.")
