"""Paired tests against SciPy and sums by hand; intervals against loops that really leave images out, and the truth."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi, kurtosis, norm, t, ttest_1samp, ttest_rel

from i2pemd_lite.files import BadInput
from i2pemd_lite.metrics import classification_metrics
from i2pemd_lite.tables import statistics
from i2pemd_lite.tables.statistics import jackknife, mcnemar, paired_t

FIGURES = {"auc", "sensitivity", "specificity", "accuracy", "f1", "top1"}
ROUNDING = 1e-12  # the same sums of at most some thousand numbers near 1, in another order


def test_v20_paired_t():
    a, b = (np.array([int(digit) for digit in digits]) for digits in ("1110110111", "1010100101"))
    found = paired_t(a, b)
    assert found.difference == pytest.approx(0.3, abs=ROUNDING)
    assert found.difference / (found.t / math.sqrt(10)) == pytest.approx(0.483046, abs=5e-7)  # six digits are given
    assert found.t == pytest.approx(1.963961, abs=5e-7)
    assert found.p == pytest.approx(0.081126, abs=5e-7)
    assert found.n == 10
    of_seven = paired_t(1 - 2 / 7 * (1 - a), 1 - 2 / 7 * (1 - b))
    assert of_seven.difference == pytest.approx(0.3 * 2 / 7, abs=ROUNDING)
    assert (of_seven.t, of_seven.p) == pytest.approx((found.t, found.p), abs=ROUNDING)


@pytest.mark.parametrize("n", [2, 5, 400])
def test_paired_t_is_that_of_scipy(n):
    rng = np.random.default_rng(n)
    a, b = rng.integers(4, size=n) / 3, rng.random(n)
    expected = ttest_rel(a, b)
    found = paired_t(a, b)
    assert (found.t, found.p) == pytest.approx((expected.statistic, expected.pvalue), abs=1e-10)  # t is near 10
    back = paired_t(b, a)
    assert (back.difference, back.t, back.p) == (-found.difference, -found.t, found.p)


def test_paired_t_of_a_constant_difference():
    a = np.array([True, False, True])
    assert paired_t(a, a) == (0, 0, 1, 3)
    assert paired_t([1, 1, 1], [0, 0, 0]) == (1, math.inf, 0, 3)
    tenth = paired_t([0.0] * 3, [0.1] * 3)  # the mean of three times 0.1 is not quite 0.1
    assert (tenth.t, tenth.p) == (-math.inf, 0)


def test_mcnemar_is_a_sum_of_binomial_chances():
    # Out of 9 discordant pairs 7 are a's: p = 2 (C(9,0) + C(9,1) + C(9,2)) / 2⁹ = 2 · (1 + 9 + 36) / 512 = 92/512.
    a = np.array([True] * 7 + [False] * 2 + [True] * 5 + [False] * 3)
    b = np.array([False] * 7 + [True] * 2 + [True] * 5 + [False] * 3)
    assert mcnemar(a, b) == (7, 2, pytest.approx(92 / 512, abs=ROUNDING))
    assert mcnemar(b, a) == (2, 7, pytest.approx(92 / 512, abs=ROUNDING))
    assert mcnemar(a[7:], b[7:]) == (0, 2, pytest.approx(0.5, abs=ROUNDING))
    assert mcnemar(a[6:8], b[6:8]) == (1, 1, 1)  # both tails hold the middle: the sum is cut at 1
    assert mcnemar(a, a) == (0, 0, 1)


def method(seed, N=60, K=3, seeds=2, skill=0.4):
    """Labels of N images, and scores of a method: one array for each seed."""
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(1000).integers(K, size=N)
    return [rng.dirichlet(np.ones(K), size=N).round(1) + skill * np.eye(K)[labels] for _ in range(seeds)], labels


def means(runs, labels, rows):
    found = [classification_metrics(scores[rows], labels[rows]) for scores in runs]
    return {name: np.mean([figures[name] for figures in found]) for name in FIGURES}


@pytest.mark.parametrize("grouped", [False, True])
def test_the_interval_is_that_of_a_loop_that_leaves_groups_out(grouped):
    (runs, labels), (others, _) = method(0), method(1, seeds=3, skill=0.2)
    groups = np.array([f"lesion {i // 3}" for i in range(60)]) if grouped else None
    member = np.arange(60) if groups is None else np.arange(60) // 3
    kept = [np.arange(60), *(np.flatnonzero(member != g) for g in range(member[-1] + 1))]
    first, second = ([means(of, labels, rows) for rows in kept] for of in (runs, others))
    alone = jackknife(runs, labels, groups)
    paired = jackknife(runs, labels, groups, against=others)
    assert set(alone) == set(paired) == FIGURES
    for name in FIGURES:
        values = np.array([a[name] for a in first])
        differences = values - [b[name] for b in second]
        for found, (whole, *left), lowest in ((alone, values, 0), (paired, differences, -1)):
            G = len(left)
            nu = min(G - 1, 2 * G / (kurtosis(left, fisher=False) - 1))
            half = t.ppf(0.975, nu) * math.sqrt((G - 1) ** 2 / G * np.var(left, ddof=1))
            expected = np.clip([whole - half, whole + half], lowest, 1)
            assert found[name] == pytest.approx(expected, abs=1e-9), name  # fourth powers of small differences


def test_many_groups_are_left_out_in_blocks():
    (scores,), labels = method(7, N=1203, seeds=1)
    right = scores.argmax(1) == labels
    # Of a mean s is sd/√n, and half of right or wrong images has nearly no kurtosis: t with n − 1.
    theirs = ttest_1samp(right.astype(float), 0).confidence_interval()
    assert jackknife([scores], labels)["top1"] == pytest.approx((theirs.low, theirs.high), abs=1e-4)


def test_few_images_that_decide_make_an_interval_wide():
    # All is right, and only one image can move the mean over 20 classes: it is all that its class has. The kurtosis of
    # one that differs among G is about G, so ν = 2, and s is what it moves, 1/20.
    labels = np.append(np.arange(19).repeat(20), 19)
    low, high = jackknife([np.eye(20)[labels]], labels)["sensitivity"]
    assert (low, high) == pytest.approx((1 - t.ppf(0.975, 2) / 20, 1), abs=5e-3)


def test_copies_of_an_image_add_nothing_when_left_out_with_it():
    runs, labels = method(2)
    alone = jackknife(runs, labels)
    twice, groups = [scores.repeat(2, 0) for scores in runs], np.arange(60).repeat(2)
    together = jackknife(twice, labels.repeat(2), groups)
    for name in FIGURES:
        assert together[name] == pytest.approx(alone[name], abs=1e-9)
    apart = jackknife(twice, labels.repeat(2))
    assert np.diff(apart["top1"]) == pytest.approx(np.diff(alone["top1"]) / math.sqrt(2), rel=0.02)


def test_a_method_does_not_differ_from_itself():
    runs, labels = method(4)
    assert jackknife(runs, labels, against=runs) == dict.fromkeys(FIGURES, (0, 0))
    (better, labels), (worse, _) = method(5, N=200, skill=1.0), method(5, N=200, skill=0.1)
    assert all(low > 0 for low, _ in jackknife(better, labels, against=worse).values())


def test_an_interval_stays_where_a_figure_can_be():
    found = jackknife([np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])], [0, 1, 0, 1])
    assert all(0 <= low <= high <= 1 for low, high in found.values()) and found["top1"][1] == 1


def test_95_of_100_intervals_of_top1_hold_the_truth():
    # Three images in four are right, the four of a group alike in half of the groups.
    random, held = np.random.default_rng(0), []
    for _ in range(300):
        right = np.where(random.random((60, 1)) < 0.5, random.random((60, 1)), random.random((60, 4))) < 0.75
        scores = np.eye(2)[np.where(right, 1, 0).ravel()]
        low, high = jackknife([scores], np.ones(240, int), np.arange(60).repeat(4))["top1"]
        held.append(low <= 0.75 <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.035)  # a standard error of 300 sets is 0.013


def test_auc_is_undefined_where_a_class_can_be_left_out():
    found = jackknife([np.eye(2)], [0, 0])
    assert np.isnan(found["auc"]).all() and not np.isnan(found["top1"]).any()
    scores = np.eye(2).repeat(2, 0)
    assert np.isnan(jackknife([scores], [0, 0, 0, 1])["auc"]).all()
    assert jackknife([scores], [0, 0, 1, 1])["auc"] == (1, 1)


GOOD, LABELS = np.full((4, 2), 0.5), [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: paired_t([1, 0], [1, 0, 1]), r"a, b: expected two lists .* found shapes \(2,\) and \(3,\)"),
        (lambda: paired_t([1], [0]), "a, b: expected two lists .* at least 2"),
        (lambda: paired_t([[1, 0], [0, 1]], [[1, 0], [1, 1]]), "a, b: expected two lists"),
        (lambda: paired_t([1, 0], [1, math.nan]), "b: expected finite numbers"),
        (lambda: mcnemar([True], [True]), "a, b: expected two lists .* at least 2"),
        (lambda: mcnemar([True, False], [True]), "a, b: expected two lists"),
        (lambda: mcnemar([True, False], [1, 0]), "b: expected booleans, found int"),
        (lambda: mcnemar([0.5, 1], [True, True]), "a: expected booleans, found float"),
        (lambda: jackknife([], LABELS), "runs: expected at least one array"),
        (lambda: jackknife([GOOD], LABELS, against=[]), "against: expected at least one array"),
        (lambda: jackknife(GOOD, LABELS), r"runs\[0\]: expected scores of shape \(4, K\), found \(2,\)"),
        (lambda: jackknife([GOOD, GOOD[:3]], LABELS), r"runs\[1\]: expected scores of shape \(4, 2\), found \(3, 2\)"),
        (lambda: jackknife([GOOD], LABELS, against=[GOOD[:, :1]]), r"against\[0\]: expected scores of shape \(4, 2\)"),
        (lambda: jackknife([GOOD, GOOD * math.inf], LABELS), r"runs\[1\]: expected finite numbers"),
        (lambda: jackknife([GOOD[:1]], [0]), "labels: expected one for each of at least 2 images"),
        (lambda: jackknife([GOOD], LABELS, groups=["a", "b"]), "groups: expected a name for each of 4 images"),
        (lambda: jackknife([GOOD], LABELS, groups=["a"] * 4), "groups: expected at least 2 different ones"),
        (lambda: jackknife([GOOD], LABELS, groups=["a", None, "b", "c"]), "a name for each image, found 1 without"),
        (lambda: jackknife([GOOD], LABELS, groups=[1, math.nan, math.nan, 2]), "found 2 without one; give each image"),
        (lambda: jackknife([GOOD], LABELS, groups=["a", "", "", "b"]), "found 2 without one; give each image"),
        (lambda: paired_t([1, 0], [1, "MEL"]), "b: expected numbers"),
        (lambda: statistics.interval([1, 2j]), "differences: expected numbers"),
        (lambda: statistics.sd_interval(-1.0, 3), "sd, n: expected an SD from 0"),
        (lambda: statistics.sd_interval([1.0, 2.0], 3), "sd, n: expected an SD from 0"),
        (lambda: statistics.sd_interval(1.0, 1), "sd, n: .* at least 2 differences, found 1.0 and 1"),
        (lambda: statistics.power(1.0, 1.0, 0), "sd, n: expected"),
        (lambda: statistics.power(math.nan, 1.0, 3), "gap: expected finite"),
        (lambda: statistics.needed(1.0, -1.0), "sd, n: expected"),
    ],
)
def test_comparison_says_what_is_wrong(call, named):
    with pytest.raises(BadInput, match=named):
        call()


# Over seeds


def test_the_interval_is_that_of_scipy():
    random = np.random.default_rng(0)
    for n in (2, 3, 5, 40):
        d = random.normal(1.0, 2.0, n)
        found, theirs = statistics.interval(d), ttest_1samp(d, 0).confidence_interval()
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
        assert (found.mean, found.sd, found.n) == pytest.approx((d.mean(), d.std(ddof=1), n))
    one = statistics.interval([1.5])
    assert one.verdict == "unknown" and one.mean == 1.5 and one.n == 1 and np.isnan([one.low, one.high, one.sd]).all()
    for bad in ([], [np.nan], [[1.0, 2.0]]):
        with pytest.raises(BadInput, match="differences"):
            statistics.interval(bad)


@pytest.mark.parametrize(("gap", "sd", "n"), [(1, 1, 3), (1, 1, 10), (-0.5, 1, 20), (0, 2, 5), (3, 1, 3)])
def test_power_is_how_often_an_interval_leaves_out_0(gap, sd, n):
    d = np.random.default_rng(1).normal(gap, sd, size=(20_000, n))
    seen = ttest_1samp(d, 0, axis=1).pvalue < 0.05
    # The share of 20,000 draws has a standard error of at most 0.0035.
    assert float(statistics.power(gap, sd, n)) == pytest.approx(seen.mean(), abs=0.015)


def integrated(gap, n):
    """Given the spread the mean is normal, and the spread times the root of n - 1 has a chi distribution."""
    edge, far, spread = t.ppf(0.975, n - 1), np.sqrt(n) * gap, chi(n - 1, scale=(n - 1) ** -0.5)
    low, high = spread.ppf(1e-14), spread.isf(1e-14)

    def given(w):
        return spread.pdf(w) * (norm.cdf(far - edge * w) + norm.cdf(-far - edge * w))

    return quad(given, low, high, limit=200, points=[np.clip(far / edge, low, high)])[0]


@pytest.mark.parametrize("n", [2, 3, 4, 8, 20, 100, 100_000])
def test_power_is_that_of_an_integral_over_the_spread(n):
    for gap in (0, 0.01, 0.1, 0.5, 1, 2, 5, 7, 9, 12, 20, 40, 100):
        assert float(statistics.power(gap, 1.0, n)) == pytest.approx(integrated(gap, n), abs=1e-6), gap


def test_the_interval_of_a_spread_holds_it_in_95_of_100():
    d = np.random.default_rng(2).normal(0.0, 3.0, size=(4000, 3))
    low, high = np.array([statistics.sd_interval(sd, 3) for sd in d.std(axis=1, ddof=1)]).T
    assert ((low <= 3.0) & (3.0 <= high)).mean() == pytest.approx(0.95, abs=0.015)


def test_needed_is_the_first_number_of_seeds_with_the_power():
    for gap, sd in ((1.0, 0.3), (1.0, 1.0), (1.1, 0.76), (0.2, 1.0), (-0.2, 1.0)):
        n = statistics.needed(gap, sd)
        assert n == next(k for k in range(2, 1000) if statistics.power(gap, sd, k) >= statistics.POWER)
    assert statistics.needed(0.0, 1.0) is None and statistics.needed(1e-4, 1.0) is None
    assert statistics.needed(1.0, 0.0) == 2
