"""Paired tests against SciPy and sums by hand; bootstrap intervals against test sets that are really drawn again."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from i2pemd_lite import BadInput
from i2pemd_lite.comparison import bootstrap, draws, mcnemar, paired_t
from i2pemd_lite.metrics import classification_metrics

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


@pytest.mark.parametrize("decision", ["argmax", 0.5])
@pytest.mark.parametrize("grouped", [False, True])
def test_bootstrap_is_a_loop_over_test_sets_drawn_again(grouped, decision):
    (runs, labels), (others, _) = method(0), method(1, seeds=3, skill=0.2)
    groups = np.array([f"lesion {i // 3}" for i in range(60)]) if grouped else None
    counts = draws(np.arange(60) if groups is None else groups, rounds=40, seed=7)

    def mean(runs, rows):
        found = [classification_metrics(scores[rows], labels[rows], decision) for scores in runs]
        return {name: np.mean([figures[name] for figures in found]) for name in FIGURES}

    drawn = [np.repeat(np.arange(60), row) for row in counts]
    first, second = ([mean(of, rows) for rows in drawn] for of in (runs, others))
    alone = bootstrap(runs, labels, groups, 40, 7, decision)
    paired = bootstrap(runs, labels, groups, 40, 7, decision, against=others)
    assert set(alone) == set(paired) == FIGURES
    for name in FIGURES:
        values = np.array([a[name] for a in first])
        differences = values - [b[name] for b in second]
        assert alone[name] == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=ROUNDING)
        assert paired[name] == pytest.approx(np.percentile(differences, [2.5, 97.5]), abs=ROUNDING)


def test_draws_are_of_whole_groups_each_as_likely_as_the_next():
    groups = np.array(["b", "a", "b", "c", "d", "b", "a"])
    counts = draws(groups, rounds=4000)
    first = [1, 0, 3, 4]  # an image of a, b, c, d
    assert (counts == counts[:, [0, 1, 0, 3, 4, 0, 1]]).all()
    assert (counts[:, first].sum(1) == 4).all() and (counts >= 0).all()
    # Counts are multinomial: mean 1, variance 1 − 1/4. The bounds are over four standard errors of 4000 rounds.
    assert counts[:, first].mean(0) == pytest.approx(np.ones(4), abs=4.5 * math.sqrt(0.75 / 4000))
    assert counts[:, first].var(0) == pytest.approx(np.full(4, 0.75), abs=0.1)


def test_copies_of_an_image_add_nothing_when_drawn_with_it():
    runs, labels = method(2)
    alone = bootstrap(runs, labels, rounds=200)
    twice, groups = [scores.repeat(2, 0) for scores in runs], np.arange(60).repeat(2)
    together = bootstrap(twice, labels.repeat(2), groups, rounds=200)
    for name in FIGURES:
        assert together[name] == pytest.approx(alone[name], abs=ROUNDING)
    apart = bootstrap(twice, labels.repeat(2), rounds=200)
    assert np.diff(apart["top1"]) < 0.85 * np.diff(alone["top1"])  # 1/√2 of the width, up to chance


def test_bootstrap_is_that_of_its_seed():
    runs, labels = method(3)
    assert bootstrap(runs, labels, rounds=50) == bootstrap(runs, labels, rounds=50, seed=0)
    assert bootstrap(runs, labels, rounds=50) != bootstrap(runs, labels, rounds=50, seed=1)


def test_a_method_does_not_differ_from_itself():
    runs, labels = method(4)
    assert bootstrap(runs, labels, rounds=50, against=runs) == dict.fromkeys(FIGURES, (0, 0))
    (better, labels), (worse, _) = method(5, N=200, skill=1.0), method(5, N=200, skill=0.1)
    assert all(low > 0 for low, _ in bootstrap(better, labels, rounds=200, against=worse).values())


def test_intervals_hold_the_figures():
    runs, labels = method(6, N=300)
    found = bootstrap(runs, labels, rounds=200)
    for name in FIGURES:
        low, high = found[name]
        assert low < np.mean([classification_metrics(scores, labels)[name] for scores in runs]) < high


def test_the_interval_of_top1_is_as_wide_as_the_binomial_one():
    (scores,), labels = method(8, N=800, seeds=1)
    right = (scores.argmax(1) == labels).mean()
    low, high = bootstrap([scores], labels)["top1"]
    # ± 1.96 √(p (1 − p) / N), which the percentiles of 1000 rounds meet up to about 5 %.
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(right * (1 - right) / 800), rel=0.15)
    assert (low + high) / 2 == pytest.approx(right, abs=0.005)


def test_auc_is_undefined_where_all_images_are_of_one_class():
    found = bootstrap([np.eye(2)], [0, 0], rounds=20)
    assert np.isnan(found["auc"]).all() and not np.isnan(found["top1"]).any()
    assert bootstrap([np.eye(2)], [0, 1], rounds=20)["auc"] == (1, 1)  # half of the rounds have one class only


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
        (lambda: bootstrap([], LABELS), "runs: expected at least one array"),
        (lambda: bootstrap([GOOD], LABELS, against=[]), "against: expected at least one array"),
        (lambda: bootstrap(GOOD, LABELS), r"runs\[0\]: expected scores of shape \(4, K\), found \(2,\)"),
        (lambda: bootstrap([GOOD, GOOD[:3]], LABELS), r"runs\[1\]: expected scores of shape \(4, 2\), found \(3, 2\)"),
        (lambda: bootstrap([GOOD], LABELS, against=[GOOD[:, :1]]), r"against\[0\]: expected scores of shape \(4, 2\)"),
        (lambda: bootstrap([GOOD, GOOD * math.inf], LABELS), r"runs\[1\]: expected finite scores"),
        (lambda: bootstrap([GOOD[:1]], [0]), "labels: expected one for each of at least 2 images"),
        (lambda: bootstrap([GOOD], LABELS, groups=["a", "b"]), "groups: expected a name for each of 4 images"),
        (lambda: bootstrap([GOOD], LABELS, groups=["a"] * 4), "groups: expected at least 2 different ones"),
        (lambda: bootstrap([GOOD], LABELS, rounds=0), "rounds: expected at least 1, found 0"),
        (lambda: bootstrap([GOOD], LABELS, decision="best"), "decision: expected"),
    ],
)
def test_comparison_says_what_is_wrong(call, named):
    with pytest.raises(BadInput, match=named):
        call()
