"""Exercises of lesson 06: the rule of Eq. 15-18, what an accuracy says, a paired test, and when G changes a choice."""

from functools import partial

import numpy as np
import torch
from scipy.stats import ttest_ind, ttest_rel
from sklearn.metrics import accuracy_score

from i2pemd_lite.course.about.independent import ground_of, random_ground, selections, transported
from i2pemd_lite.course.exercises import Exercise, Recall


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
    "Eq. 17 is an intersection, and Eq. 18 is a union. How do you write these for masks of True and False?",
    "`&` is the intersection of two masks, and `|` is their union. Put each comparison in brackets.",
    "In words: all images that are above low and near, together with all images above high.",
), inputs=tuple(partial(_batch, size) for size in ("one", "some", "all")), oracle=lambda *given: selections(*given)[2],
    against="one transport problem by POT for each image", mistakes={
    "The union of Eq. 18 is missing: images above high are always in, whether they are near or not.":
        _rule(lambda s, near, low, high: (s > low) & near),
    "The condition on low is missing: an image with low confidence is out, even if it is near.":
        _rule(lambda s, near, low, high: near | (s > high)),
    "Your rule does not use the distance: it lets in every image above low.": _rule(lambda s, near, low, high: s > low),
    "That is FixMatch: it lets in only the images above high.": _rule(lambda s, near, low, high: s > high),
})

EXERCISES["06b"] = Exercise("Why 94 % can mean 81 %", minutes=6, kind="write", takes="top1, K", hints=(
    "Take 100 images and ask K questions about each. That makes 100 K answers. How many of these are wrong?",
    "A right image has K right answers. A wrong image has two wrong answers and K − 2 right ones.",
    "Double the share of wrong images and divide it by K: that is the share of wrong answers. Accuracy is the rest.",
), inputs=lambda random: (int(random.integers(20, 100)) / 100, int(random.integers(3, 12))), oracle=_questions,
    against="scikit-learn, asked one question for each class", mistakes={
    "A wrong image gives two wrong answers: no for its own class, and yes for another one.":
        lambda top1, K: 1 - (1 - top1) / K,
    "That is the share of right images. Here accuracy counts answers, K of them for each image.": lambda top1, K: top1,
    "That is the share of wrong answers, not of right ones.": lambda top1, K: 2 * (1 - top1) / K,
    "Divide by the number of classes: each image answers K questions, not one.": lambda top1, K: 1 - 2 * (1 - top1),
})

EXERCISES["06c"] = Exercise("Is it luck?", minutes=6, kind="write", takes="a, b", hints=(
    "Start with the differences, image by image. After that you need only these differences.",
    "`.std(ddof=1)` divides by n − 1. Without `ddof`, NumPy divides by n.",
    "Divide the standard deviation of the differences by the root of n. Then divide their mean by the result.",
), inputs=_answered, oracle=lambda a, b: ttest_rel(a, b).statistic, against="SciPy's ttest_rel", mistakes={
    "Your standard deviation divides by n. Use `ddof=1`.": lambda a, b: _t(a, b, ddof=0),
    "The root of n is missing: without it, more images make the test no sharper.": lambda a, b: _t(a, b, root=False),
    "That is the test for two independent samples. Here both networks answered the same images: take the differences "
    "first.": lambda a, b: ttest_ind(a, b).statistic,
    "The sign is wrong: Δ is a − b, not b − a.": lambda a, b: _t(b, a),
})

EXERCISES["06d"] = Exercise("Two filters that disagree", minutes=15, kind="open", takes="G, T", hints=(
    "The distance is (1 − s) ḡ, and in the band 1 − s changes little. So give the surest images expensive mistakes, "
    "and the others cheap ones.",
    "Do not spread the rest, 1 − s, over many classes: put all of it on one. Which pair of classes in G is the most "
    "expensive, and which is the cheapest?",
    "Give T images an s a little below 0.8, and use the most expensive pair of G for label and rest. Give the other T "
    "images an s a little above 0.7, and use the cheapest pair off the diagonal.",
), inputs=lambda random: (random_ground(random, random.integers(5, 9)), int(random.integers(1, 7))),
    against="one transport problem by POT for each image", properties={
    "there are 2T rows of K numbers, none negative, and each row adds up to 1":
        lambda o, G, T: o.shape == (2 * T, len(G)) and o.min() >= 0 and np.abs(o.sum(1) - 1).max() < 1e-6,
    "all images are in the band, 0.7 < s ≤ 0.8":  # 0.8 in float32 is a little more
        lambda o, G, T: 0.7 < o.max(1).min() and o.max(1).max() <= 0.8 + 1e-6,
    "no two images share the T-th place, by confidence or by distance":
        lambda o, G, T: np.diff(np.sort([-o.max(1), transported(o, o.argmax(1), G)]))[:, T - 1].min() > 1e-6,
    "the T nearest by I2PEMD and the T surest have no image in common":
        lambda o, G, T: set(transported(o, o.argmax(1), G).argsort()[:T]).isdisjoint((-o.max(1)).argsort()[:T]),
}, mistakes={
    "You spread the rest evenly. So ḡ is the same for all images, d has the order of 1 − s, and both filters agree.":
        lambda G, T: _evenly(G, T, np.linspace(0.71, 0.79, 2 * T)),
    "All your images are equal: none is nearer or surer.": lambda G, T: _evenly(G, T, np.full(2 * T, 0.75)),
})

TEMPTS = {
    "p06a": {"below": "It is easy to forget that one lesion can have several photographs, which land on both sides."},
    "p06b": dict.fromkeys(
        ("below", "above"), "If you said about 75 %, you trusted the network's own confidence. It can be wrong."),
    "p06c": {
        "it is large": "The network does make large mistakes. But Lᵤ adds up only images that pass a threshold.",
        "it decides the direction": "Did you read the formula without counting its terms? So far it has none.",
    },
}
RECALL = Recall(
    "About which unlabelled images does I2PEMD itself decide?", {
        "about all of them": "Images above the upper threshold always teach, and images below the lower one never do.",
        "about those between the two thresholds": "",
        "about the surest ones": "The surest images are above the upper threshold. They always teach, as in FixMatch.",
    }, "In this band, the T images with the lowest cost may teach.")
