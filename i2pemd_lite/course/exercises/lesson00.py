"""Exercises of lesson 00: a cost as a sum of products, and which doubt is cheap; challenges of its playground."""

import numpy as np
import torch
from scipy.optimize import linprog

from i2pemd_lite.course.about.independent import histogram, random_ground, transported
from i2pemd_lite.course.exercises import Challenge, Exercise, Recall
from i2pemd_lite.panels import playground


def _uneven_ground(random):
    """G in which some class is nearer to all others than another one is."""
    while True:
        G = random_ground(random, random.integers(3, 8))
        if np.ptp(G.sum(0).numpy()) > 0.2:
            return (G,)


def _cheapest_by_scipy(G, k, share):
    """The smallest cost of a prediction with p_k = share, as a linear program in p."""
    K = len(G)
    return linprog(G[:, k].numpy(), A_eq=np.stack([np.ones(K), np.eye(K)[k]]), b_eq=[1, share], bounds=(0, 1)).fun


def _split(G, k, share, to):
    """p_k = share, and the rest on one class."""
    one_hot = torch.eye(len(G), dtype=G.dtype)
    return share * one_hot[k] + (1 - share) * one_hot[to]


def _rest_evenly(G, k, share):
    p = torch.full_like(G[k], (1 - share) / (len(G) - 1))
    p[k] = share
    return p


def _leaning(G, to):
    """Nearly even, and a little more on one class."""
    p = torch.ones_like(G[0])
    p[to] += 0.01
    return p / p.sum()


def _is_prediction(p, G, *_):
    return p.shape == (len(G),) and p.min() > -1e-9 and abs(p.sum() - 1) < 1e-6


def _cheaper_elsewhere(p, G):
    p = p.clip(0) / p.clip(0).sum()
    costs = transported([p] * len(G), range(len(G)), G)
    return costs[p.argmax()] - costs.min() > 1e-6


# fmt: off
EXERCISES = {}

EXERCISES["00a"] = Exercise("A cost as a sum of products", minutes=4, kind="fill in", takes="p, k, G", hints=(
    "By hand, you multiplied mass by price, for one class after the other. How do you write these two with p and G?",
    "The mass of class i is `p[i]`. Its price is in row i of G, in the column of the label.",
    "`p[i]` times `G[i, k]` is one part of the sum. The loop adds up the parts.",
), inputs=lambda random: (
    p := torch.tensor(histogram(random, random.integers(3, 8))), int(random.integers(len(p))),
    random_ground(random, len(p)),
), oracle=lambda p, k, G: transported(p[None], [k], G)[0], against="POT's exact solver", mistakes={
    "You computed 1 − pₖ, as if every mistake cost 1. Multiply each mass by its own price from G.":
        lambda p, k, G: 1 - p[k],
    "You added the prices without the masses. Multiply each price by the mass that is carried.":
        lambda p, k, G: G[:, k].sum(),
    "That is the cost against the class before k. Python counts from 0, so label k has column k.":
        lambda p, k, G: p @ G[:, k - 1],
    "That is always 0. You added nothing, or only the mass that stays. Mass moves from class i to class k.":
        lambda p, k, G: p @ G.diagonal(),
})

EXERCISES["00b"] = Exercise("The cheapest doubt", minutes=7, kind="write", takes="G, k, share", hints=(
    "The mass that is not on class k has to be on other classes. From which one is the way to class k the cheapest?",
    "Column k of G holds the prices. Which price is the smallest, if you leave out class k itself?",
    "Give class k its share. Give all the rest to the class with the smallest price in column k, leaving out k.",
), inputs=lambda random: (
    G := random_ground(random, random.integers(3, 8)), int(random.integers(len(G))), round(random.uniform(0.1, 0.9), 2),
), against="a linear program of SciPy", properties={
    "p has one share for each class, none below 0, and they add up to 1": _is_prediction,
    "the share of class k is the given one": lambda p, G, k, share: abs(p[k] - share) < 1e-6,
    "no prediction with this share of class k costs less against label k":
        lambda p, G, k, share: p @ G[:, k].numpy() < _cheapest_by_scipy(G, k, share) + 1e-6,
}, mistakes={
    "You spread the rest over all other classes. Some of them are nearer to class k than others.": _rest_evenly,
    "You put the rest on the class farthest from k. That is the most expensive prediction of all.":
        lambda G, k, share: _split(G, k, share, G[:, k].argmax()),
    "The smallest price in column k is the 0 of class k itself, so all mass ended up there. Leave k out.":
        lambda G, k, share: _split(G, k, share, k),
    "You chose the class that is nearest to all others on average. Only the price to class k counts.":
        lambda G, k, share: _split(G, k, share, min({*range(len(G))} - {k}, key=lambda i: G[i].sum())),
})

EXERCISES["00c"] = Exercise("Most probable, and yet not the cheapest", minutes=10, kind="open", takes="G", hints=(
    "The more certain a prediction is, the less the other classes matter. How undecided can a prediction be?",
    "If all K classes are equally probable, the costs are the column sums of G, divided by K. Which is smallest?",
    "Start with equal shares, and give a little more to the class that is farthest from all others.",
), inputs=_uneven_ground, against="POT's exact solver", properties={
    "p has one share for each class, none below 0, and they add up to 1": _is_prediction,
    "one class is the most probable, by more than 0.000001": lambda p, G: np.ptp(np.sort(p)[-2:]) > 1e-6,
    "the cost against some label is lower than against the most probable class": _cheaper_elsewhere,
}, mistakes={
    "All classes are equally probable here, so no class is the most probable one.":
        lambda G: torch.full_like(G[0], 1 / len(G)),
    "This prediction is certain of one class. Then the cost against this class is 0, and no other is cheaper.":
        lambda G: torch.eye(len(G))[G.sum(0).argmax()],
    "Your most probable class is the one in the middle of the others. It is also the cheapest label.":
        lambda G: _leaning(G, G.sum(0).argmin()),
})
# fmt: on

SEEDS = range(100, 105)  # of the judge; the panel offers 0 to 9


def _ends(state, figure):
    """A figure of the training of a state at its end, (seeds,)."""
    return np.array([getattr(playground.ended(state, seed), figure) for seed in SEEDS])


def _without(state):
    return state["weight"] == 0 or state["ground"] == "none"


def _signed(number, digits=0):
    return f"{round(number, digits) + 0.0:+.{digits}f}".replace("-", "−")


def _closed(state):
    missing = {"Set λ to 0.": not _without(state), "Move MR by 0.5 at least.": state["shift"] < 0.5,
               "Look under “more” for the normalisation.": state["norm"] != "separate"}  # fmt: skip
    if any(missing.values()):
        return False, " ".join(words for words, missed in missing.items() if missed)
    mine, joint = (_ends(state | {"norm": norm}, "mmd") for norm in ("separate", "joint"))
    said = f"Over five other seeds, the MMD is {mine.mean():.2f}. With a joint normalisation it is {joint.mean():.2f}"
    return bool(mine.mean() <= joint.mean() / 2), f"{said}. Yours is {100 * mine.mean() / joint.mean():.0f} % of that."


def _hurts(state):
    if _without(state):
        return False, "Here I2PEMD is off, so the training is its own twin. Raise λ."
    mine, twin = (_ends(each, "accuracy") for each in (state, state | playground.TWIN))
    said = f"Over five other seeds, {mine.mean():.1f} % of the points are right, and {twin.mean():.1f} % in the twin"
    return bool(mine.mean() <= twin.mean() - 3), f"{said}: {_signed(mine.mean() - twin.mean(), 1)} points."


def _helps(state):
    if _without(state):
        return False, "Here I2PEMD is off, so the training is its own twin. Raise λ."
    if playground.called(state) != playground.OWN:
        return False, "These settings are in the list already. Find some of your own."
    change, _, lower = playground.compared(state, playground.TWIN, "harm", SEEDS)
    said = f"The harm is lower in {lower} of five other seeds, and changes by {_signed(100 * change)} % on average."
    return bool(lower >= len(SEEDS) - 1 and change <= -0.05), said


CHALLENGES = {
    "00d": Challenge(
        "Close the gap by separate normalisation alone. Set λ to 0, and move MR by 0.5 or more. Find a state in which "
        "the MMD between CT and MR at the end of training is at most half of what it is when both are normalised "
        "together. To check it, five other seeds are trained, and the averages are compared.",
        _closed),
    "00e": Challenge(
        "Find a state in which I2PEMD hurts: the accuracy at the end of training is at least 3 percentage points lower "
        "than the twin's, on average over five seeds other than the panel's. The twin has the same learning rate.",
        _hurts),
    "00f": Challenge(
        "Find a state of your own in which I2PEMD helps. To check it, five other seeds are trained. At the end of "
        "training, the harm of the predictions must be lower than the twin's in at least four of them, and by 5 % or "
        "more on average. The twin has the same learning rate.",
        _helps),
}  # fmt: skip

TEMPTS = {
    "p00a": {
        "class 1": "Did you look for the smallest share? A small share means that much has to be carried there.",
        "class 3": "Did you look for the highest prices? They make this label the most expensive one.",
    },
    "p00b": dict.fromkeys(
        ("bends upwards", "bends downwards"),
        "Did you think of a softmax? There is none here. Each bit of mass pays its own price, so twice the mass costs "
        "twice as much."),
}  # fmt: skip
RECALL = Recall(
    "Two predictions give 0.5 to the right class. One has its rest on a similar class, the other on a very different "
    "class. Which one costs less?", {
        "the one with its rest on the similar class": "",
        "the one with its rest on the different class":
            "The price of a mistake grows with the distance between the prototypes, so this one costs more.",
        "both cost the same":
            "That would be true if all mistakes had the same price. G gives each pair of classes a price of its own.",
    }, "I2PEMD does not only see how sure a prediction is. It also sees where the doubt is.")  # fmt: skip
