"""Exercises of lesson 06: the rule of Eq. 15-18, what an accuracy says, a paired test, and when G changes a choice."""

from functools import partial

import numpy as np
import torch
from scipy.stats import ttest_ind, ttest_rel
from sklearn.metrics import accuracy_score

from i2pemd_lite.course.about.independent import ground_of, random_ground, selections, transported
from i2pemd_lite.course.exercises import Exercise


def _batch(size, random):
    """Answers, a T of one, some or all of them, and thresholds around the T-th nearest and the next, so that one more
    or less is seen; with some, another is nearer and below low, and another farther and above high."""
    while True:
        N, K = int(random.integers(8, 25)), int(random.integers(3, 8))
        G, s = ground_of(random.normal(size=(K, 3))), random.uniform(0.25, 1, size=N)
        o = random.dirichlet(np.full(K, 0.3), N) * (1 - s)[:, None]
        o[np.arange(N), random.integers(0, K, N)] += s
        s = o.max(1)[(o * G[o.argmax(1)]).sum(1).argsort()]
        for T in random.permutation({"one": [1], "some": np.arange(2, N), "all": [N]}[size]):
            low, high = s[T - 1 : T + 1].min() - 0.002, s[T - 1 : T + 1].max() + 0.002
            if size != "some" or (s[:T].min() < low and s[T:].max() > high):
                return torch.tensor(o), torch.tensor(G), float(low), float(high), int(T)


def _rule(choose):
    """A mistaken rule: what it makes of the confidence, of being near, and of the thresholds."""
    return lambda o, G, *rule: torch.tensor(choose(o.numpy().max(1), selections(o, G, *rule)[0], *rule[:2]))


def _questions(top1, K):
    """100 images of which that share is right, and scikit-learn asked K times: this class, or not?"""
    labels = np.arange(100) % K
    wrong = np.arange(100) >= round(100 * top1)
    answers = (labels + wrong * (1 + np.arange(100) % (K - 1))) % K
    return np.mean([accuracy_score(labels == k, answers == k) for k in range(K)])


def _answered(random):
    """Which images two networks got right, 1 or 0; mostly the same ones."""
    n = int(random.integers(20, 200))
    hard = random.random(n)
    a, b = ((hard + random.normal(0, 0.2, n) < right).astype(float) for right in random.uniform(0.4, 0.9, size=2))
    a[0], b[0], a[1], b[1] = 1, 0, 0, 0  # the differences are not all the same
    return a, b


def _t(a, b, ddof=1, root=True):
    delta = a - b
    return delta.mean() / delta.std(ddof=ddof) * (len(delta) ** 0.5 if root else 1)


def _evenly(G, T, s):
    o = (1 - s)[:, None] * np.full((2 * T, len(G)), 1 / (len(G) - 1))
    o[:, 0] = s
    return o


# fmt: off
EXERCISES = {}

EXERCISES["06a"] = Exercise("Who may teach", minutes=6, kind="fill in", takes="o, G, low, high, T", hints=(
    "Eq. 17 is an intersection, and Eq. 18 a union. What are these for masks of True and False?",
    "`&` is the intersection of two masks and `|` their union. Comparisons need brackets around them.",
    "In words: those above low that are near, together with all those above high.",
), inputs=tuple(partial(_batch, size) for size in ("one", "some", "all")), oracle=lambda *given: selections(*given)[2],
    against="one transport problem by POT for each image", mistakes={
    "The union of Eq. 18 is missing: those above high are in, near or not.":
        _rule(lambda s, near, low, high: (s > low) & near),
    "The condition on low is missing: somebody near whom the network does not believe is out.":
        _rule(lambda s, near, low, high: near | (s > high)),
    "That asks nobody about distance: everybody above low is in.": _rule(lambda s, near, low, high: s > low),
    "That is FixMatch: only those above high.": _rule(lambda s, near, low, high: s > high),
})

EXERCISES["06b"] = Exercise("Why 94 % can mean 81 %", minutes=6, kind="write", takes="top1, K", hints=(
    "Take 100 images and K questions each: 100 K answers. How many of these are wrong?",
    "An image that is right has K right answers. One that is wrong has two wrong ones, and K − 2 right ones.",
    "The share of wrong answers is two for each wrong image, divided by K. The accuracy is the rest.",
), inputs=lambda random: (int(random.integers(20, 100)) / 100, int(random.integers(3, 12))), oracle=_questions,
    against="scikit-learn, asked one question for each class", mistakes={
    "A wrong image is wrong twice: its own class says no, and another one says yes.":
        lambda top1, K: 1 - (1 - top1) / K,
    "That is the share of right images itself. Each image answers K questions.": lambda top1, K: top1,
    "That is the share of wrong answers, not of right ones.": lambda top1, K: 2 * (1 - top1) / K,
    "Divide by the number of classes: each image answers K questions, not one.": lambda top1, K: 1 - 2 * (1 - top1),
})

EXERCISES["06c"] = Exercise("Is it luck?", minutes=6, kind="write", takes="a, b", hints=(
    "Start with the differences, image by image. All that follows looks at them only.",
    "`.std(ddof=1)` divides by n − 1. Without `ddof` numpy divides by n.",
    "The mean of the differences, divided by their standard deviation over the root of n.",
), inputs=_answered, oracle=lambda a, b: ttest_rel(a, b).statistic, against="SciPy's ttest_rel", mistakes={
    "The standard deviation divides by n. Say `ddof=1`.": lambda a, b: _t(a, b, ddof=0),
    "The root of n is missing: without it more images make the test no sharper.": lambda a, b: _t(a, b, root=False),
    "That is the test for two samples that have nothing to do with each other. Here both answered the same images: "
    "take differences first.": lambda a, b: ttest_ind(a, b).statistic,
    "The sign is turned: Δ is a less b.": lambda a, b: _t(b, a),
})

EXERCISES["06d"] = Exercise("Two filters that disagree", minutes=15, kind="open", takes="G, T", hints=(
    "The distance is (1 − s) ḡ, and in the band 1 − s differs little. Let the surest have dear mistakes, and the "
    "others cheap ones.",
    "The rest of an image need not be spread out: put all of it on one class. Where in G is the dearest pair, and "
    "where the cheapest?",
    "T images of s a little below 0.8 with the rest on the dearest pair of G, and T a little above 0.7 with the "
    "rest on its cheapest pair off the diagonal.",
), inputs=lambda random: (random_ground(random, random.integers(5, 9)), int(random.integers(1, 7))),
    against="one transport problem by POT for each image", properties={
    "there are 2T rows of K numbers, none negative, and each row adds up to 1":
        lambda o, G, T: o.shape == (2 * T, len(G)) and o.min() >= 0 and np.abs(o.sum(1) - 1).max() < 1e-6,
    "all images are in the band, 0.7 < s ≤ 0.8":  # 0.8 in float32 is a little more
        lambda o, G, T: 0.7 < o.max(1).min() and o.max(1).max() <= 0.8 + 1e-6,
    "nobody shares the T-th place, by confidence or by distance":
        lambda o, G, T: np.diff(np.sort([-o.max(1), transported(o, o.argmax(1), G)]))[:, T - 1].min() > 1e-6,
    "the T nearest by I2PEMD and the T surest have no image in common":
        lambda o, G, T: set(transported(o, o.argmax(1), G).argsort()[:T]).isdisjoint((-o.max(1)).argsort()[:T]),
}, mistakes={
    "The rest is spread evenly, so ḡ is the same for all, and d has the order of 1 − s: both filters agree.":
        lambda G, T: _evenly(G, T, np.linspace(0.71, 0.79, 2 * T)),
    "All images are equal: nothing is nearer and nothing surer.": lambda G, T: _evenly(G, T, np.full(2 * T, 0.75)),
})
