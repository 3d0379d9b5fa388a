"""Every cut of a ranking: the curves and points of the panel against plain loops over the images."""

import numpy as np
import ot
import pytest
import torch
from controls import marks, move_every_control, places
from test_task_panels import spread  # noqa: F401

from i2pemd_lite import select
from i2pemd_lite.panels import selection

EXACT = 1e-9


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")


@pytest.fixture
def frozen(spread):  # noqa: F811
    return spread


def right_of(frozen):
    return (frozen.o.argmax(-1) == frozen.truth).numpy()


def by_hand(frozen, ground=None):
    """Precision in percent after 1, 2, … of each batch: by confidence, or by transport costs of a solver."""
    right, (B, N, K) = right_of(frozen), frozen.o.shape
    orders = []
    for batch in frozen.o.numpy():
        if ground is None:
            key = [-float(o.max()) for o in batch]
        else:
            key = [ot.emd2(o / o.sum(), np.eye(K)[o.argmax()], ground) for o in batch]
        orders.append(sorted(range(N), key=key.__getitem__))
    return [100 * sum(right[b, i] for b in range(B) for i in orders[b][:n]) / (B * n) for n in range(1, N + 1)]


def cuts(frozen, **start):
    """What is computed of every cut."""
    return selection.panel(frozen, "every cut", **start).result.judged


def test_curves_are_those_of_plain_sorting(frozen):
    by_s, by_d = cuts(frozen).precision
    np.testing.assert_allclose(by_s, by_hand(frozen), atol=EXACT, rtol=0)
    np.testing.assert_allclose(by_d, by_hand(frozen, frozen.ground.numpy()), atol=EXACT, rtol=0)
    assert np.abs(by_d - by_s).max() > 1, "nothing to tell apart"


def test_with_the_fixed_ground_distance_the_ranking_is_confidence(frozen):
    judged = cuts(frozen, ground="fixed")
    np.testing.assert_array_equal(*judged.ranks)
    np.testing.assert_array_equal(*judged.precision)
    assert not judged.lead.any() and not judged.doubt.any() and not judged.others


def test_all_rankings_end_where_all_are_taken(frozen):
    judged = cuts(frozen)
    for precision in judged.precision:
        assert precision[-1] == pytest.approx(100 * right_of(frozen).mean())
    assert judged.lead[-1] == judged.doubt[-1] == 0


def test_the_lead_is_the_difference_of_the_curves_and_its_error_counts_who_differs(frozen):
    judged, right = cuts(frozen), right_of(frozen)
    B, N = right.shape
    by_s, by_d = judged.precision
    np.testing.assert_allclose(judged.lead, by_d - by_s, atol=EXACT, rtol=0)
    for n in (1, 7, 20):
        first = [{(b, i) for b, i in np.argwhere(rank.numpy() < n).tolist()} for rank in judged.ranks]
        m, variance = len(first[0] - first[1]), 0.0
        for members in (first[0] - first[1], first[1] - first[0]):
            share = sum(right[*at] for at in members) / m
            variance += m * share * (1 - share)
        assert judged.doubt[n - 1] == pytest.approx(100 * variance**0.5 / (B * n))


def holds(result, frozen):
    if result.view in ("hardest images", "by class"):
        return
    tau_low, tau_high, top, ground = result.rule
    G = frozen.ground if ground == "learned" else 1 - torch.eye(frozen.o.shape[-1], dtype=torch.float64)
    right, s = right_of(frozen), frozen.o.max(-1).values.numpy()
    masks = np.stack([select(o, G, tau_low, tau_high, top).mask.numpy() for o in frozen.o])
    most = np.zeros_like(masks)
    for b, mask in enumerate(masks):
        most[b, sorted(range(len(mask)), key=lambda i: -s[b, i])[: mask.sum()]] = True  # noqa: B023
    for name, mask in {"high": s > tau_high, "rule": masks, "rival": most}.items():
        share = result.judged.shares[name]
        assert share.number == mask.sum()
        if share.number:
            a = right[mask].mean()
            assert share.percent == pytest.approx(100 * a)
            assert share.error == pytest.approx(100 * (a * (1 - a) / mask.sum()) ** 0.5)
    assert result.judged.others == (masks & ~most).sum()


def test_every_control_works_and_the_points_are_those_of_the_rules(frozen):
    panel = selection.panel(frozen, "every cut", tau_low=0.4, tau_high=0.6, top=12)
    holds(panel.result, frozen)
    assert panel.result.judged.others > 0
    move_every_control(panel, lambda result: holds(result, frozen))


def test_the_points_stand_where_the_rules_cut(frozen):
    panel = selection.panel(frozen, "every cut", tau_low=0.4, tau_high=0.6, top=12)
    plane, shares = panel._card.planes["precision"], panel.result.judged.shares
    lines = [places(mark) for mark in marks(panel.image.value, "precision line")][2:]  # after both curves
    for name, line in zip(selection.POINTS, lines, strict=True):
        number, percent, error = shares[name]
        there = plane.at(100 * number / frozen.truth.numel(), [percent - error, percent + error])
        np.testing.assert_allclose(line, there, atol=0.051)  # one decimal is written


def test_where_nobody_is_taken_it_is_said(frozen):
    panel = selection.panel(frozen._replace(o=frozen.o * 0 + 1 / 7), "every cut")
    assert panel.numbers["I2PEMD rule: right"] == panel.numbers["as many by s: right"] == "none"
    assert "nan" not in panel.words + str(panel.numbers)


def test_words_controls_and_state(frozen, tmp_path):
    panel, other = selection.panel(frozen, "every cut", top=6), selection.panel(frozen)
    assert all(control.description for control in panel.controls.values())
    number, percent, _ = panel.result.judged.shares["rule"]
    assert f"takes {100 * number / frozen.truth.numel():.1f} % of all and is right in {percent:.1f} %" in panel.words
    panel.controls["tau_low"].value = 0.9
    assert panel.state["tau_high"] == pytest.approx(0.92)
    panel.save(tmp_path / "state.json")
    other.load(tmp_path / "state.json")
    assert other.state == panel.state and other.image.value == panel.image.value
