"""Exercises of lesson 03: Eq. 6 for a batch, its gradient, Eq. 8 and 9, and a push in the wrong direction."""

import numpy as np
import torch
from scipy.special import softmax

from i2pemd_lite.course.about import independent as other
from i2pemd_lite.course.exercises import Exercise


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
    "For one instance it was a product with one column of G. Here each row of p has a column of its own.",
    "`prices` has the shape of p: row b holds the column of G that belongs to the label of instance b.",
    "Multiply p and `prices` entry by entry, and add up over the classes, which are the last axis.",
), inputs=lambda random: ((batch := other.logits_and_labels(random))[0].softmax(1), *batch[1:]),
    oracle=other.transported, against="POT, one transport problem for each row", gradient=0, mistakes={
    "That is each prediction against every label. Only the label of its own row is asked for.": lambda p, y, G: p @ G,
    "That is 1 − p_k, the fix form. The prices of G are missing.": lambda p, y, G: 1 - p[range(len(y)), y],
    "That is the mean over the classes. Eq. 6 is a sum.": lambda p, y, G: (p * G[y]).mean(1),
    "That is one number for the whole batch. Add up over the classes only, not over the instances.":
        lambda p, y, G: (p * G[y]).sum(),
})

EXERCISES["03b"] = Exercise("Its gradient, by hand", minutes=8, kind="write", takes="z, k, G", hints=(
    "The formula above has p and not z in it. What turns the one into the other?",
    "The bracket compares the price of each class with the present average price, which is one number.",
    "With p the softmax of z and `prices` the column k of G: p times the difference of `prices` and their mean "
    "under p.",
), inputs=lambda random: (
    z := torch.tensor(random.normal(size=random.integers(3, 8))), int(random.integers(len(z))),
    other.random_ground(random, len(z)),
), oracle=_by_differences, against="finite differences of SciPy's softmax", properties={
    "the parts add up to 0": lambda gradient, z, k, G: abs(gradient.sum()) < 1e-6,
    "the gradient of the label itself is not above 0": lambda gradient, z, k, G: gradient[k] < 1e-6,
}, mistakes={
    "That is the gradient with respect to p. Softmax is still to be passed on the way to z.":
        _at(lambda p, prices, e: prices),
    "The bracket is not complete: the average price p · G is subtracted from each price.":
        _at(lambda p, prices, e: p * prices),
    "The sign is turned round: this is the direction of the step. The gradient points uphill.":
        _at(lambda p, prices, e: -p * (prices - p @ prices)),
    "That is the gradient of cross-entropy, p − e_k.": _at(lambda p, prices, e: p - e),
    "The factor p_j in front of the bracket is missing.": _at(lambda p, prices, e: prices - p @ prices),
})

EXERCISES["03c"] = Exercise("Equations 8 and 9", minutes=10, kind="write", takes="z, y, G", hints=(
    "Two means, one inside the other. Over what does each of them run, and which classes have none?",
    "For a class k that occurs: choose its voxels by `y == k`, and take the mean of their distances.",
    "Softmax of z over the classes; for each k in `y.unique()` the mean of the distances; `torch.stack` and the mean.",
), inputs=(other.logits_and_labels, lambda random: other.logits_and_labels(random, 1)),
    oracle=other.loss_by_class, against="loops over voxels and classes in float64",
    gradient=0, mistakes={
    "That is the mean over all voxels, in which large classes weigh more. Eq. 9 takes each class by itself first.":
        lambda z, y, G: (z.softmax(1) * G[y]).sum(1).mean(),
    "Divided by all K classes. A class without a voxel has no mean, so divide by the number of those present.":
        lambda z, y, G: _class_means(z, y, G).sum() / len(G),
    "That is the sum over the classes. Eq. 8 is their mean.": lambda z, y, G: _class_means(z, y, G).sum(),
    "Eq. 6 wants probabilities: z are logits, and softmax turns them into p.":
        lambda z, y, G: torch.stack([z[y == k].mean(0) @ G[:, k] for k in y.unique()]).mean(),
})

EXERCISES["03d"] = Exercise("Pushed the wrong way", minutes=12, kind="open", takes="G, k", hints=(
    "In the gradient every class has its p_j as a factor. How large should that of class k be?",
    "A wrong class is pushed up when it costs less than the average. What has to lift the average above its price?",
    "Hardly any mass on class k, half on the cheapest wrong class, half on the dearest; z is the logarithm of p.",
), inputs=_two_prices, against="finite differences of SciPy's softmax", properties={
    "there is one logit for each class": lambda z, G, k: z.shape == (len(G),),
    "some wrong class is pushed up harder than class k, by more than 0.01":
        lambda z, G, k: np.delete(gradient := _by_differences(z, k, G), k).min() < gradient[k] - 0.01,
}, mistakes={
    "Where all classes are equally probable, the push depends on the price alone, and class k has the price 0.":
        lambda G, k: torch.zeros_like(G[k]),
    "The prediction is sure of class k already, so there is nothing left to push.": lambda G, k: _sure_of(G, k),
    "Sure of one wrong class, its bracket is nearly 0: its price is the average. Put mass on a dearer class too.":
        lambda G, k: _sure_of(G, _others(G, k)[0]),
    "Those are probabilities. As logits they are nearly equal; take their logarithm.":
        lambda G, k: torch.tensor([0.5 if i in _others(G, k)[:: len(G) - 2] else 0.01 for i in range(len(G))]),
})
