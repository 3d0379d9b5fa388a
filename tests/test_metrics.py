"""Distances of surfaces against brute force, Pearson's r, and figures of weighted images against scikit-learn."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score

from i2pemd_lite import BadInput
from i2pemd_lite.metrics import classification_metrics, dice, pearson, surface_distances, weighted_metrics
from i2pemd_lite.runs.sampling import generator

SPACING = (8.0, 1.5, 1.5)


def blobs(seed, shape=(7, 13, 12)):
    """A label map of two classes with ragged surfaces, one of them at the border of the volume."""
    noise = torch.randn(shape, generator=generator(seed, "blobs"))
    labels = torch.zeros(shape, dtype=torch.long)
    labels[1:6, 2:10, 2:6] = 1
    labels[2:, 4:11, 8:] = 2
    labels[noise > 1.2] = 0
    return labels


def surface(mask):
    """Positions in mm of the voxels with a neighbour outside of the mask, one by one."""
    found = []
    for place in itertools.product(*map(range, mask.shape)):
        near = [np.add(place, sign * axis) for axis in np.eye(3, dtype=int) for sign in (-1, 1)]
        inside = [all(0 <= i < n for i, n in zip(v, mask.shape, strict=True)) and mask[tuple(v)] for v in near]
        if mask[place] and not all(inside):
            found.append(np.multiply(place, SPACING))
    return np.array(found)


def test_surface_distances_are_those_of_brute_force():
    prediction, truth = blobs(0), blobs(1)
    prediction[0, 12, :2], prediction[0, 0, 10:] = 1, 2  # a few voxels far off: HD goes up, HD95 does not
    found = surface_distances(prediction, truth, 3, SPACING)
    for k in (1, 2):
        p, t = surface((prediction == k).numpy()), surface((truth == k).numpy())
        between = np.linalg.norm(p[:, None] - t[None], axis=-1)
        there, back = between.min(1), between.min(0)
        assert found.assd[k] == pytest.approx((there.sum() + back.sum()) / (len(p) + len(t)), rel=1e-12)
        assert found.hd95[k] == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), rel=1e-12)
        assert found.hd[k] == pytest.approx(max(there.max(), back.max()), rel=1e-12)
        assert found.assd[k] < found.hd95[k] < found.hd[k]


def test_a_class_missing_on_either_side_has_no_distance():
    whole, no_one, no_two = blobs(0), blobs(0), blobs(0)
    no_one[no_one == 1], no_two[no_two == 2] = 0, 0
    found = surface_distances(no_one, no_two, 4, SPACING)
    assert np.isnan(found).all()
    found = surface_distances(whole, no_two, 4, SPACING)
    assert np.isnan(found)[:, [0, 2, 3]].all() and (np.array(found)[:, 1] == 0).all()


NUMBERS = (2.9999998, 0.5, np.nan, np.inf, 1 + 1j)


@pytest.mark.parametrize(
    ("kind", "wrong"), [*itertools.product([np.array, torch.tensor], NUMBERS), (np.array, "MEL"), (np.array, None)]
)
def test_labels_that_are_no_whole_numbers_are_named(kind, wrong):
    labels, good = kind([[[0, 1], [wrong, 0]]]), torch.zeros(1, 2, 2, dtype=torch.long)
    for call in (lambda *maps: dice(*maps, 4), lambda *maps: surface_distances(*maps, 4, (8, 1.5, 1.5))):
        for maps, name in (((labels, good), "prediction"), ((good, labels), "truth")):
            with pytest.raises(BadInput, match=f"{name}: expected .*numbers"):
                call(*maps)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.uint16, torch.uint32, torch.uint64])
def test_labels_are_whole_numbers_of_any_kind(kind):
    labels, spacing = blobs(0), torch.tensor(SPACING)
    assert dice(labels.to(kind), labels, 3).tolist() == [1, 1, 1]
    assert surface_distances(labels.to(kind), labels, 3, spacing).hd[1:].tolist() == [0, 0]


@pytest.mark.parametrize("classes", [2.0, 0, -1, "3", None])
def test_a_number_of_classes_that_is_none_is_named(classes):
    for figure, spacing in ((dice, ()), (surface_distances, (SPACING,))):
        with pytest.raises(BadInput, match="num_classes: expected a whole number from 1"):
            figure(blobs(0), blobs(1), classes, *spacing)


@pytest.mark.parametrize("decision", [np.nan, np.inf, True, "best", None])
def test_a_decision_that_is_no_threshold_is_named(decision):
    with pytest.raises(BadInput, match="decision: expected 'argmax' or a threshold"):
        classification_metrics([[0.2, 0.8], [0.4, 0.6]], [0, 1], decision)


def test_surface_distances_say_what_is_wrong():
    for spacing in ((8, 1.5, np.nan), (8, 1.5, np.inf), ("a", "b", "c"), 1.5, None):
        with pytest.raises(BadInput, match="spacing: expected"):
            surface_distances(blobs(0), blobs(1), 3, spacing)
    with pytest.raises(BadInput, match="spacing: expected 3 lengths"):
        surface_distances(blobs(0), blobs(1), 3, (1.5, 1.5))
    with pytest.raises(BadInput, match="spacing: expected 3 lengths"):
        surface_distances(blobs(0), blobs(1), 3, (8.0, 0.0, 1.5))
    with pytest.raises(BadInput, match="truth: expected class indices 0 to 1, found 0 to 2"):
        surface_distances(blobs(0) == 1, blobs(1), 2, SPACING)
    with pytest.raises(BadInput, match="prediction: expected the truth's shape"):
        surface_distances(blobs(0)[1:], blobs(1), 3, SPACING)


def test_v21_pearson():
    found = pearson((0.5, 0.4, 0.3, 0.25, 0.2), (60, 70, 78, 80, 86))
    assert found.r == pytest.approx(-0.994747, abs=5e-7)
    assert found.p == pytest.approx(4.566e-4, abs=5e-8)
    assert found.n == 5


@pytest.mark.parametrize(
    ("x", "y", "named"),
    [
        ([1, 2], [2, 1], "at least 3 numbers"),
        ([1, 2, 3], [2, 1], r"shapes \(3,\) and \(2,\)"),
        ([1, 1, 1], [2, 1, 0], "x: expected numbers that vary, found 1 3 times"),
        ([1, 2, 3], [2, 1, float("nan")], "y: expected finite numbers"),
    ],
)
def test_pearson_says_what_is_wrong(x, y, named):
    with pytest.raises(BadInput, match=named):
        pearson(x, y)


def images(seed=0, N=200, K=4):
    """Scores with many ties, labels, and rows of weights."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(K, size=N)
    return rng.integers(6, size=(N, K)) / 10 + 0.2 * np.eye(K)[labels], labels, rng.exponential(size=(5, N))


@pytest.mark.parametrize("decision", ["argmax", 0.45])
def test_weighted_figures_are_those_of_scikit_learn(decision):
    s, y, weights = images()
    decided = s.argmax(1)[:, None] == np.arange(4) if decision == "argmax" else s >= decision
    binary = [(y == k, decided[:, k], s[:, k]) for k in range(4)]
    found = weighted_metrics(s, y, weights, decision)
    for b, w in enumerate(weights):
        expected = {
            "auc": np.mean([roc_auc_score(t, scores, sample_weight=w) for t, _, scores in binary]),
            "sensitivity": np.mean([recall_score(t, p, sample_weight=w) for t, p, _ in binary]),
            "specificity": np.mean([recall_score(~t, ~p, sample_weight=w) for t, p, _ in binary]),
            "accuracy": np.mean([accuracy_score(t, p, sample_weight=w) for t, p, _ in binary]),
            "f1": np.mean([f1_score(t, p, sample_weight=w) for t, p, _ in binary]),
            "top1": accuracy_score(y, s.argmax(1), sample_weight=w),
        }
        # 1e-12: the same sums of 200 numbers near 1, in another order.
        assert {name: values[b] for name, values in found.items()} == pytest.approx(expected, abs=1e-12)


def test_a_whole_weight_repeats_an_image():
    s, y, _ = images(1, N=30)
    counts = np.random.default_rng(2).integers(4, size=(20, 30))
    counts[0, y == 2], counts[1, y != 2] = 0, 0  # a class that never occurs, and one that always does
    found = weighted_metrics(s, y, counts)
    for b, row in enumerate(counts):
        repeated = classification_metrics(s.repeat(row, 0), y.repeat(row))
        expected = pytest.approx(repeated, abs=1e-12, nan_ok=True)  # rounding of sums of some 60 numbers
        assert {name: values[b] for name, values in found.items()} == expected
    occurring = [roc_auc_score(y.repeat(counts[0]) == k, s[:, k].repeat(counts[0])) for k in (0, 1, 3)]
    assert found["auc"][0] == pytest.approx(np.mean(occurring), abs=1e-12)
    assert np.isnan(found["auc"]).tolist() == [b == 1 for b in range(20)]


@pytest.mark.parametrize("label", [2, -100, 0.9, np.nan, "MEL"])
def test_a_label_of_no_class_is_named(label):
    with pytest.raises(BadInput, match=f"labels: expected classes 0 to 1, found .*{label}.?\\]"):
        classification_metrics([[0.2, 0.8], [0.4, 0.6], [0.3, 0.7]], [0, 1, label])


@pytest.mark.parametrize("weights", [np.ones(6), np.ones((2, 5)), -np.ones((1, 6)), np.zeros((1, 6)), [[np.inf] * 6]])
def test_weights_say_what_is_wrong(weights):
    s, y, _ = images(N=6)
    with pytest.raises(BadInput, match="weights: expected"):
        weighted_metrics(s, y, weights)
