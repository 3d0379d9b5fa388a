"""Exercises of lesson 07: an interval by drawing again, an audit of printed means, how many seeds a gap takes, and what
the lead of the best of many trials is worth."""

from decimal import Decimal
from itertools import count

import numpy as np
from scipy.stats import norm, t, ttest_rel

from i2pemd_lite.course.exercises import Exercise, Recall


def _follows(end, n, d, picks):
    """Whether the end lies between the n-th mean and the next: there are the percentiles of all definitions."""
    means = sorted(sum(float(d[i]) for i in row) / len(row) for row in picks)
    return means[n - 1] - 1e-6 <= end <= means[n] + 1e-6


def _printed(random):
    """Organs of R rows in CT and in MR with two digits, and three means with one digit, some of which are wrong."""
    R = int(random.integers(4, 9))
    # One column at a time, so that no column alone tells which rows are wrong; up and down, so that signs matter;
    # off by a little less than 0.1 and by a little more, so that the limit matters.
    off = np.zeros((R, 3))
    off[range(4), [0, 1, 2, random.integers(3)]] = random.permutation([0.095, 0.105, -0.105, random.uniform(0.3, 1)])
    organs, means = zip(*(_row(random, each) for each in random.permutation(off)), strict=True)
    return *np.array(organs).transpose(1, 0, 2), np.array(means)


def _row(random, off):
    """Organs of CT and of MR, and their means, each printed that much off, as nearly as its digits allow."""
    while True:
        organs = random.uniform(80, 95, size=(2, 4)).round(2)
        means = np.array([*organs.mean(1), organs.mean()])
        printed = (means + off).round(1)
        if np.abs(printed - means - off)[off != 0].max(initial=0) < 0.004:
            return organs, printed


def _exactly(ct, mr, means, columns=(0, 1, 2), slack="0.1"):
    """In decimal numbers, as one would by hand."""
    wrong = []
    for organs_ct, organs_mr, printed in zip(ct, mr, means, strict=True):
        one, other = (sum(Decimal(f"{x:.2f}") for x in organs) / 4 for organs in (organs_ct, organs_mr))
        again = (one, other, (one + other) / 2)
        wrong.append(any(abs(again[k] - Decimal(f"{printed[k]:.1f}")) > Decimal(slack) for k in columns))
    return np.array(wrong)


def _search(gap, sd, edge=lambda n: t.ppf(0.975, n - 1), root=np.sqrt, start=2):
    return next(n for n in count(start) if edge(n) * sd / root(n) < gap)


def _lead(values, edge=lambda n: t.ppf(0.975, n - 1), ddof=1, of=(-1, -2), best=lambda values: values.mean(1)):
    first, second = np.argsort(best(values))[list(of)]
    d = values[first] - values[second]
    return d.mean() - edge(len(d)) * d.std(ddof=ddof) / len(d) ** 0.5


def _apart(values):
    """As if the two trials had other seeds: their spreads add up."""
    first, second = values[np.argsort(values.mean(1))[[-1, -2]]]
    n = len(first)
    return (first - second).mean() - t.ppf(0.975, n - 1) * np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / n)


def _by_scipy(values):
    first, second = sorted(values, key=np.mean, reverse=True)[:2]
    return ttest_rel(first, second).confidence_interval().low


# fmt: off
EXERCISES = {}

EXERCISES["07a"] = Exercise("An interval by drawing again", minutes=6, kind="fill in", takes="d, picks", hints=(
    "Each row of `picks` is one set of seeds that you might have had. Which differences does it pick?",
    "`d[picks]` has one row for each draw. You need one number of each row, and then two ends for all these numbers.",
    "Take the mean of each row of `d[picks]`. Then take the percentiles 2.5 and 97.5 of all these means.",
), inputs=lambda random: (
    d := random.normal(random.normal(), 2.0, size=random.integers(3, 9)), random.integers(len(d), size=(400, len(d))),
), against="sorted means, one by one", properties={
    "there are two ends": lambda ends, d, picks: ends.shape == (2,),
    "10 of the 400 means lie below the interval: it begins between the 10th and the 11th":
        lambda ends, d, picks: _follows(ends[0], 10, d, picks),
    "10 of the 400 means lie above the interval: it ends between the 390th and the 391st":
        lambda ends, d, picks: _follows(ends[1], 390, d, picks),
}, mistakes={
    "Those are percentiles of the differences. The interval is about their mean: take the mean of each draw first.":
        lambda d, picks: np.percentile(d[picks], (2.5, 97.5)),
    "Your means go down the columns. But each draw is a row, so take the mean over the second axis.":
        lambda d, picks: np.percentile(d[picks].mean(0), (2.5, 97.5)),
    "That is the interval from 5 to 95 %, which leaves out one mean in ten. Leave out 2.5 % at each end.":
        lambda d, picks: np.percentile(d[picks].mean(1), (5, 95)),
    "Those are medians. The interval is about the mean.":
        lambda d, picks: np.percentile(np.median(d[picks], 1), (2.5, 97.5)),
})

EXERCISES["07b"] = Exercise("An audit of printed means", minutes=10, kind="write", takes="ct, mr, means", hints=(
    "Three means are printed for each row, and any of them can be wrong. From which numbers does each one follow?",
    "The means over the organs give CT and MR, and the mean of these two gives the third. Compare all three at once.",
    "Put your three means in one array (R, 3), subtract the printed ones, take absolute values, and use `.any(1)`.",
), inputs=_printed, oracle=_exactly, against="decimal arithmetic by hand",
    properties={"there is one answer for each row": lambda answers, ct, mr, means: answers.shape == (len(ct),)},
    mistakes={
    "You check only the overall mean. You also have to find a row in which only CT is wrong.":
        lambda ct, mr, means: _exactly(ct, mr, means, columns=(2,)),
    "You do not check the overall mean. It can be wrong even if the means of CT and MR are right.":
        lambda ct, mr, means: _exactly(ct, mr, means, columns=(0, 1)),
    "You miss a mean that is printed too high: take the absolute difference.": lambda ct, mr, means: (
            np.stack([ct.mean(1), mr.mean(1), (ct.mean(1) + mr.mean(1)) / 2], 1) - means > 0.1).any(1),
    "Rounding to one digit moves a mean by up to 0.05, and you call this wrong. Allow 0.1.":
        lambda ct, mr, means: _exactly(ct, mr, means, slack="0.01"),
})

EXERCISES["07c"] = Exercise("How many seeds?", minutes=10, kind="open", takes="gap, sd", hints=(
    "The quantile of t changes with n, so there is no formula: try one n after the other.",
    "For each n from 2, compute `t.ppf(0.975, n - 1) * sd / n ** 0.5`. When do you stop?",
    "Stop at the first n for which half the width of the interval is below the gap, and return that n.",
), inputs=(
    *[lambda random: (random.uniform(0.3, 2.0), random.uniform(0.2, 2.0))] * 2,
    lambda random: ((sd := random.uniform(0.2, 2.0)) * random.uniform(9.5, 15), sd),  # two are enough
), oracle=_search, against="a search with SciPy's t distribution", properties={
    "there are at least two seeds, because one seed has no spread": lambda n, gap, sd: n >= 2,
    "the answer is a whole number": lambda n, gap, sd: float(n) == int(n),
}, mistakes={
    "1.96 is right for many seeds. For few, the quantile of t with n − 1 degrees of freedom is far larger.":
        lambda gap, sd: _search(gap, sd, edge=lambda n: norm.ppf(0.975)),
    "The t of n differences has n − 1 degrees of freedom: the mean uses up one.":
        lambda gap, sd: _search(gap, sd, edge=lambda n: t.ppf(0.975, n)),
    "0.95 leaves out 5 % at one end. The interval leaves out 2.5 % at each end: take 0.975.":
        lambda gap, sd: _search(gap, sd, edge=lambda n: t.ppf(0.95, n - 1)),
    "The spread of a mean is sd/√n, not sd/n.": lambda gap, sd: _search(gap, sd, root=lambda n: n),
})

EXERCISES["07d"] = Exercise("By how much does the best one lead?", minutes=8, kind="open", takes="values", hints=(
    "Which two rows do you compare? Sort the means of the rows.",
    "Both trials have the same seeds, so take one difference for each seed. You need the interval of their mean.",
    "With n differences `d`, it is `d.mean() - t.ppf(0.975, n - 1) * d.std(ddof=1) / n ** 0.5`.",
), inputs=lambda random: (random.normal(0.8, 0.1, size=(T := random.integers(4, 9), 1)) + random.normal(0, 0.2, size=(
    1, S := random.integers(3, 6))) + random.normal(0, 0.1, size=(T, S)),), oracle=_by_scipy,
    against="SciPy's paired t-test", properties={
    "one number is the answer": lambda low, values: np.ndim(low) == 0,
}, mistakes={
    "You compare the best trial with the worst one. The question is whether it leads the second best.":
        lambda values: _lead(values, of=(-1, 0)),
    "1.96 is right for many seeds. For few, the quantile of t with n − 1 degrees of freedom is far larger.":
        lambda values: _lead(values, edge=lambda n: norm.ppf(0.975)),
    "The spread of a sample divides by n − 1: use `ddof=1`.": lambda values: _lead(values, ddof=0),
    "Both trials have the same seeds. So take their differences seed by seed, and the spread of these differences.":
        _apart,
    "The best trial is the one with the highest mean. A single high value may be luck.":
        lambda values: _lead(values, best=lambda values: values.max(1)),
})

TEMPTS = {
    "p07a": {"below": "Most people guess far less than a point. A table with one run for each row hides this spread."},
    "p07b": {
        "by drawing again": "Drawing again seems to imitate new seeds. But it only ever draws these three numbers.",
        "both are about equal": "With many differences they would be. With three, only t allows for unseen values.",
    },
    "p07c": {"below": "Did you trust the printed 90.0? Take the mean of the printed organs."},
    "p07d": {
        "all 5": "A chosen setting looks as if it had to be the best everywhere. Read the table column by column.",
        "none": "It would be strange to choose a pair that is never the best. Look at each column again.",
    },
}
TEMPTS["p07e"] = {
    "that of the six means": "The learning rates differ by up to ten times, so this seems likely. But runs this short "
    "depend even more on their first weights.",
    "that of a mean of three seeds, by luck alone": "You saw above how far seeds are apart. Here the setting did more.",
}
RECALL = Recall(
    "With three seeds, the 95 % interval for the difference between two rows contains 0. What can you say?", {
        "both rows are equally good": "The interval contains 0, but it also contains other differences.",
        "the row with the higher mean is better": "With three seeds, luck alone can put either row first.",
        "these runs cannot tell the rows apart": "",
    }, "To say more, you need more seeds.")
