"""Exercises of lesson 09: ratios of interleaved times, the gradient of Eq. 8 by hand, sums that lose their terms."""

import math
from statistics import median

import numpy as np
import torch

from i2pemd_lite.course.about.independent import logits_and_labels, loss_by_class, slopes
from i2pemd_lite.course.exercises import Exercise


def _rounds(random):
    """Times of 2 to 5 versions in an odd number of rounds, of which some were interrupted."""
    rounds, versions = 2 * random.integers(3, 8) + 1, random.integers(2, 6)
    t = random.uniform(1, 2, (rounds, versions)) * 10 ** random.uniform(-1, 2, versions)
    interrupted = random.random((rounds, versions)) < 0.15
    interrupted[random.integers(rounds)] = True  # at least one round in all versions alike
    return (torch.tensor(np.where(interrupted, random.uniform(20, 60) * t, t)),)


def _hand(divide):
    """The gradient of lesson 03 for each voxel, divided by what `divide` makes of the labels."""

    def gradient(z, y, G):
        p, prices = z.softmax(1), G[y]
        return p * (prices - (p * prices).sum(1, keepdim=True)) / divide(y)[:, None]

    return gradient


def _counts(y):
    return (y[:, None] == y).sum(1)


# fmt: off
EXERCISES = {}

EXERCISES["09a"] = Exercise("A ratio that one interruption does not move", minutes=5, kind="fill in", takes="t", hints=(
    "Each version has one column. What is its typical time when some rounds were interrupted?",
    "`middle` has one number for each version. A version with half the time of version 0 is twice as fast.",
    "Divide the median time of version 0 by the median time of each version.",
), inputs=_rounds, oracle=lambda t: np.array([median(t[:, 0].tolist()) / median(each) for each in t.T.tolist()]),
    against="Python's statistics.median",
    properties={"version 0 is exactly as fast as itself, so the first ratio is 1": lambda r, t: abs(r[0] - 1) < 1e-9},
    mistakes={
    "Your ratio is upside down: a version with half the time would be half as fast.":
        lambda t: t.median(0).values / t.median(0).values[0],
    "You took means. One round in which the machine did something else moves a mean far.":
        lambda t: t.mean(0)[0] / t.mean(0),
    "You took the median over the versions of each round. Take it over the rounds of each version.":
        lambda t: t.median(1).values[0] / t.median(1).values,
    "You compared the longest times. They come from the interrupted rounds.": lambda t: t.amax(0)[0] / t.amax(0),
})

EXERCISES["09b"] = Exercise("The gradient of the loss, by hand", minutes=10, kind="write", takes="z, y, G", hints=(
    "Lesson 03 has the gradient for one voxel. How much does one voxel count in the loss?",
    "A voxel of class k counts 1/Nₖ in its class, and a class counts one over the number of classes present.",
    "Take the gradient of lesson 03 for all rows at once. Divide each row by the number of voxels with its label, "
    "and all rows by the number of different labels.",
), inputs=logits_and_labels, oracle=lambda z, y, G: slopes(lambda z: loss_by_class(z, y, G), z.numpy()),
    against="finite differences of Eq. 8 and 9 in NumPy",
    properties={"the parts of each voxel add up to 0": lambda g, z, y, G: np.abs(g.sum(1)).max() < 1e-6}, mistakes={
    "This is the gradient of a mean over all voxels. In Eq. 9 each class has a mean of its own.":
        _hand(lambda y: torch.full_like(y, len(y))),
    "The mean over the classes (Eq. 8) is missing: divide by the number of classes present.": _hand(_counts),
    "The mean over the voxels of a class (Eq. 9) is missing: divide by Nₖ.":
        _hand(lambda y: torch.full_like(y, len(y.unique()))),
    "You divided by K. When a class is absent, there are fewer classes in the mean.":
        lambda z, y, G: _hand(lambda y: _counts(y) * len(G))(z, y, G),
    "Your sign is the opposite: this is the direction of a step downhill. The gradient points uphill.":
        lambda z, y, G: -_hand(lambda y: _counts(y) * len(y.unique()))(z, y, G),
})

EXERCISES["09c"] = Exercise("A sum that stops growing", minutes=8, kind="open", takes="n", hints=(
    "When is total + x equal to the total? Think of 256 + 1 with 8 bits.",
    "A number is lost when it is below half of the last bit of the total: total/512 to total/256.",
    "No number has to be special. Let the total become much larger than each of them.",
), inputs=lambda random: (int(random.integers(1100, 1500)),), against="exact sums by Python's math.fsum", properties={
    "there are n numbers": lambda x, n: x.shape == (n,),
    "all of them are above 0": lambda x, n: x.min() > 0,
    "added one after the other in bfloat16, they give less than half of their sum":
        lambda x, n: float(sum(torch.tensor(x).to(torch.bfloat16))) < math.fsum(x) / 2,
}, mistakes={
    "Your numbers grow with the total, so little is lost. What if they did not grow?":
        lambda n: 1.02 ** np.arange(n),
    "One large number does swallow the small ones. But together they are smaller than it is.":
        lambda n: np.r_[10000.0, np.ones(n - 1)],
    "Each number is half of the one before, so almost nothing is lost.":
        lambda n: 2.0 ** (-np.minimum(np.arange(n), 60)),
})

TEMPTS = {
    "p09a": {
        "A looks too fast": "A was timed on a quiet machine, so its time is right. It only looks fast next to B.",
        "both look too slow by the same factor": "That would be true if A and B took turns. Here A was already done.",
    },
    "p09b": {"below": "The loop looks harmless. But it calls a solver for each voxel, one by one, from Python."},
    "p09c": {"below": "The code shows only a few tensors. But autograd keeps each result for the backward pass."},
    "p09d": {"above": "The loss is what this course talks about, so it seems large. The network is much larger."},
    "p09e": {
        "1000": "It would be 1000 with the 24 bits of float32. A number in bfloat16 has only 8.",
        "about 990": "Small errors often cancel, so a small loss is a good guess. Here all errors have the same sign.",
    },
}
