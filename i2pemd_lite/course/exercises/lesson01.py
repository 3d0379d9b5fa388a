"""Exercises of lesson 01: plans that are allowed, one target bin, unequal masses, and prices that hide a bad plan."""

from fractions import Fraction
from functools import partial

import numpy as np
import ot

from i2pemd_lite.course.about.independent import histogram
from i2pemd_lite.course.exercises import Exercise, Recall


def _plan(flaw, random):
    """A plan for p and q: allowed, or with wrong rows, wrong columns, an entry below 0, or a wrong sum."""
    m, n = random.integers(2, 6, size=2)
    p, q = histogram(random, m), histogram(random, n)
    x = ot.emd(p, q, random.random((m, n))) if random.random() < 0.5 else np.outer(p, q)
    i, j = random.choice(np.argwhere(x > 0.5 * x.max()))  # moving nothing would be no flaw
    other, another = (i + random.integers(1, m)) % m, (j + random.integers(1, n)) % n
    if flaw in ("row", "column"):  # the columns stay right, or the rows
        to = (other, j) if flaw == "row" else (i, another)
        x[i, j], x[to] = 0, x[i, j] + x[to]
    if flaw == "sign":  # rows and columns stay right
        by = x[i, j] + 0.03
        x[i, j], x[other, another] = x[i, j] - by, x[other, another] - by
        x[i, another], x[other, j] = x[i, another] + by, x[other, j] + by
    return x * {"less": 0.99, "more": 1.01}.get(flaw, 1 + 1e-11), p, q  # no sum is right to the last bit


def _allowed_by_fractions(x, p, q):
    """Sums without any rounding, and then as close as rounding may bring them."""
    x, p, q = (np.vectorize(Fraction, otypes=[object])(each) for each in (x, p, q))
    off = max(*abs(x.sum(1) - p), *abs(x.sum(0) - q))
    return off < Fraction(1, 10**6) and x.min() >= -1e-9


def _filled(p, where, what):
    plan = np.zeros((len(p), len(p)))
    plan[where] = what
    return plan


def _unequal(random):
    m, n = random.integers(2, 6, size=2)
    supply, demand = random.permutation([random.uniform(1.2, 2.0), random.uniform(0.3, 0.9)])
    return supply * histogram(random, m), demand * histogram(random, n), random.random((m, n))


def _unequal_by_pot(p, q, g):
    """The surplus goes to an extra bin, or comes from one, at no cost."""
    more, flow = p.sum() - q.sum(), min(p.sum(), q.sum())
    g = np.pad(g, [(0, int(more < 0)), (0, int(more > 0))])
    p, q = (p, np.append(q, more)) if more > 0 else (np.append(p, -more), q)
    return ot.emd2(p, q, g) / flow


# fmt: off
EXERCISES = {}

EXERCISES["01a"] = Exercise("Is this plan allowed?", minutes=6, kind="fill in", takes="x, p, q", hints=(
    "The rows are done. What else did we ask of a plan? And which amounts of sand are impossible?",
    "Compare the sums over axis 0 with q, and the smallest entry of x with 0. Leave room for rounding in both.",
    "Join three conditions by `and`: the rows, the columns, and no entry below 0 (say, below -1e-9).",
),  # each flaw in its turn: drawn, one may be missing from all cases
    inputs=tuple(partial(_plan, flaw) for flaw in ("none", "row", "column", "sign", "less", "more")),
    oracle=_allowed_by_fractions, against="sums in exact fractions", mistakes={
    "You test the rows and the columns, but an entry may still be below 0. Nobody can send less than nothing.":
        lambda x, p, q: np.abs(x.sum(1) - p).max() < 1e-9 and np.abs(x.sum(0) - q).max() < 1e-9,
    "You do not test what reaches the consumers. Compare the column sums with q.":
        lambda x, p, q: np.abs(x.sum(1) - p).max() < 1e-9 and x.min() >= -1e-9,
    "You do not test what leaves the suppliers. Compare the row sums with p.":
        lambda x, p, q: np.abs(x.sum(0) - q).max() < 1e-9 and x.min() >= -1e-9,
    "Sums of decimal numbers are rarely equal to the last bit. Ask for a small difference instead of ==.":
        lambda x, p, q: (x.sum(1) == p).all() and (x.sum(0) == q).all() and (x >= 0).all(),
    "Your test accepts a plan that sends too little. Each supplier has to send all that it has.":
        lambda x, p, q: (x.sum(1) - p).max() < 1e-9 and (x.sum(0) - q).max() < 1e-9 and (x.min() >= -1e-9),
})

EXERCISES["01b"] = Exercise("The plan against one bin", minutes=5, kind="write", takes="p, k", hints=(
    "Only one consumer wants anything. How much freedom is left?",
    "Every supplier sends all that it has to consumer k. Which row or column of the table is that?",
    "Make a table of zeros, and put p into column k.",
), inputs=lambda random: (p := histogram(random, random.integers(2, 8)), int(random.integers(len(p)))),
    oracle=lambda p, k: ot.emd(p, np.eye(len(p))[k], np.ones((len(p), len(p)))),  # at any prices
    against="POT's exact solver", properties={
    "each supplier sends what it has": lambda x, p, k: np.abs(x.sum(1) - p).max() < 1e-6,
    "everything reaches bin k": lambda x, p, k: abs(x[:, k].sum() - 1) < 1e-6,
}, mistakes={
    "Your table is transposed. Row k is the sand that supplier k sends. The columns are the consumers.":
        lambda p, k: _filled(p, k, p),
    "Here all sand stays where it is. But only bin k wants any.": lambda p, k: np.diag(p),
    "Everything leaves supplier k here. But each supplier has to send what it has.": lambda p, k: _filled(p, (k, k), 1),
    "That is the careless plan for equal demands. Here the whole demand is in bin k.":
        lambda p, k: np.outer(p, np.ones(len(p)) / len(p)),
})

EXERCISES["01c"] = Exercise("Unequal masses", minutes=8, kind="write", takes="p, q, g", hints=(
    "One side has more than the other. How much sand can flow at most?",
    "`transport.linear_program(p, q, g, flow=...)` gives the cost of all flow. Eq. 2 is the cost per unit of flow.",
    "The flow is the smaller of the two sums. Solve with this flow, take the cost, and divide it by the flow.",
), inputs=_unequal, oracle=_unequal_by_pot, against="POT with an extra bin", mistakes={
    "That is the cost, Eq. 1. Eq. 2 divides it by the flow.":
        lambda p, q, g: _unequal_by_pot(p, q, g) * min(p.sum(), q.sum()),
    "You divided by the larger mass. Eq. 2 divides by what is really carried.":
        lambda p, q, g: _unequal_by_pot(p, q, g) * min(p.sum(), q.sum()) / max(p.sum(), q.sum()),
    "You scaled both sides to 1, so everything has to move. In Eq. 1, a surplus may stay where it is.":
        lambda p, q, g: ot.emd2(p / p.sum(), q / q.sum(), g),
})

EXERCISES["01d"] = Exercise("Prices that hide a careless plan", minutes=12, kind="open", takes="p, q", hints=(
    "The careless plan uses every road. By the dual bound, it is the cheapest if the transport company charges the "
    "full price on every road.",
    "So each price has to be made of two parts: one that belongs to the supplier, one that belongs to the consumer.",
    "The company charges the full price everywhere if each price is a fee for picking up plus a fee for delivering. "
    "How many plans are then the cheapest?",
), inputs=lambda random: tuple(histogram(random, n) for n in random.integers(3, 7, size=2)),
    against="POT's exact solver", properties={
    "g has a row for each supplier and a column for each consumer": lambda g, p, q: g.shape == (len(p), len(q)),
    "no price is below 0": lambda g, p, q: g.min() > -1e-9,
    "no supplier has the same price for all its roads": lambda g, p, q: np.ptp(g, axis=1).min() > 0.01,
    "no consumer has the same price for all its roads": lambda g, p, q: np.ptp(g, axis=0).min() > 0.01,
    "the careless plan costs no more than the cheapest one":
        lambda g, p, q: (np.outer(p, q) * g).sum() < ot.emd2(p, q, g) + 1e-6,
}, mistakes={
    "All roads cost the same here. Then all plans cost the same, but the exercise asks for prices that differ.":
        lambda p, q: np.ones((len(p), len(q))),
    "With the distance |i − j|, sand that crosses other sand costs more. In the careless plan, sand crosses.":
        lambda p, q: np.fromfunction(lambda i, j: abs(i - j), (len(p), len(q))),
    "With a product, a consumer raises the price more for expensive suppliers than for others. What would a sum do?":
        lambda p, q: np.fromfunction(lambda i, j: (i + 1) * (j + 1), (len(p), len(q))),
    "The price depends on the supplier alone. Then every plan does cost the same. Now let it depend on the "
    "consumer too.": lambda p, q: np.fromfunction(lambda i, j: i, (len(p), len(q))),
})

TEMPTS = {
    "p01a": {
        "3": "Three roads are enough if each quarry can serve one site. Here the amounts do not match in pairs.",
        "9": "The careless plan uses all nine roads. A cheapest plan can do without most of them.",
    },
    "p01b": {"is straight": "Did you keep the old plan? Its cost is a straight line. But once the road is expensive, "
                            "another plan is cheaper."},
    "p01c": {
        "the same as before": "You read what the equation means. But no line of it says that anything has to move.",
        "it has none": "No price and no amount is below 0, so no plan costs less than 0. A minimum exists.",
    },
    "p01d": {"below": "A ratio near 1 is what the name of the solver promises. A plan can meet every constraint, and "
                      "still be expensive."},
}
RECALL = Recall(
    "A label is a single target bin. How many plans carry all the mass of a prediction into it?", {
        "one": "",
        "as many as there are classes":
            "There are as many roads as classes. But all of them are needed, so nothing is left to choose.",
        "infinitely many":
            "With several target bins there are infinitely many. With one bin, each class has only one way to send.",
    }, "So you need no solver: the cost is a sum of products.")
