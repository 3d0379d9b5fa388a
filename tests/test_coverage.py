"""Precision against coverage: the curves and points of the panel against plain loops over the images."""


import numpy as np
import ot
import pytest
from controls import move_every_control
from test_task_panels import spread  # noqa: F401

from i2pemd_lite import select
from i2pemd_lite.panels.coverage import coverage

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
    for batch in frozen.o.double().numpy():
        if ground is None:
            key = [-float(o.max()) for o in batch]
        else:
            key = [ot.emd2(o / o.sum(), np.eye(K)[o.argmax()], ground) for o in batch]
        orders.append(sorted(range(N), key=key.__getitem__))
    return [100 * sum(right[b, i] for b in range(B) for i in orders[b][:n]) / (B * n) for n in range(1, N + 1)]


def test_curves_are_those_of_plain_sorting(frozen):
    curves, K = coverage(frozen).result.curves, frozen.o.shape[-1]
    expected = {
        "sure": by_hand(frozen),
        "learned": by_hand(frozen, frozen.ground.double().numpy()),
        "fixed": by_hand(frozen, 1.0 - np.eye(K)),
    }
    for name, precision in expected.items():
        np.testing.assert_allclose(curves[name].precision, precision, atol=EXACT, rtol=0)
    assert np.abs(curves["learned"].precision - curves["sure"].precision).max() > 1, "nothing to tell apart"


def test_with_the_fixed_ground_distance_the_ranking_is_confidence(frozen):
    curves = coverage(frozen).result.curves
    np.testing.assert_array_equal(curves["fixed"].order, curves["sure"].order)
    np.testing.assert_array_equal(curves["fixed"].precision, curves["sure"].precision)


def test_all_rankings_end_where_all_are_taken(frozen):
    result = coverage(frozen).result
    for curve in result.curves.values():
        assert curve.precision[-1] == pytest.approx(100 * right_of(frozen).mean())
    assert result.lead[-1] == result.doubt[-1] == 0


def test_the_lead_is_the_difference_of_the_curves_and_its_error_counts_who_differs(frozen):
    result, right = coverage(frozen).result, right_of(frozen)
    B, N = right.shape
    sure, learned = (result.curves[name] for name in ("sure", "learned"))
    np.testing.assert_allclose(result.lead, learned.precision - sure.precision, atol=EXACT, rtol=0)
    for n in (1, 7, 20):
        first = [{(b, i) for b in range(B) for i in curve.order[b, :n]} for curve in (learned, sure)]
        m, variance = len(first[0] - first[1]), 0.0
        for members in (first[0] - first[1], first[1] - first[0]):
            share = sum(right[at] for at in members) / m
            variance += m * share * (1 - share)
        assert result.doubt[n - 1] == pytest.approx(100 * variance**0.5 / (B * n))


def holds(result, frozen):
    tau_low, tau_high, top = result.rule
    right, s = right_of(frozen), frozen.o.max(-1).values.numpy()
    masks = np.stack([select(o, frozen.ground, tau_low, tau_high, top).mask.numpy() for o in frozen.o])
    most = np.zeros_like(masks)
    for b, mask in enumerate(masks):
        most[b, sorted(range(len(mask)), key=lambda i: -s[b, i])[: mask.sum()]] = True  # noqa: B023
    for name, mask in {"threshold": s > np.float32(tau_high), "rule": masks, "rival": most}.items():
        point = result.points[name]
        assert point.right.number == mask.sum() and point.coverage == pytest.approx(100 * mask.mean())
        if point.right.number:
            a = right[mask].mean()
            assert point.right.percent == pytest.approx(100 * a)
            assert point.right.error == pytest.approx(100 * (a * (1 - a) / mask.sum()) ** 0.5)
    assert result.points["threshold"].coverage <= result.points["rule"].coverage == result.points["rival"].coverage
    assert result.differ == (masks & ~most).sum()


def test_every_control_works_and_the_points_are_those_of_the_rules(frozen):
    panel = coverage(frozen, tau_low=0.4, tau_high=0.6, top=12)
    holds(panel.result, frozen)
    assert panel.result.differ > 0
    move_every_control(panel, lambda result: holds(result, frozen))


def test_where_nobody_is_taken_it_is_said(frozen):
    panel = coverage(frozen._replace(o=frozen.o * 0 + 1 / 7))
    assert panel.numbers["I2PEMD rule: right"] == panel.numbers["as many by s: right"] == "nobody"
    assert "nan" not in panel.words + str(panel.numbers)


def test_words_controls_and_state(frozen, tmp_path):
    panel, other = coverage(frozen, top=6), coverage(frozen)
    assert all(control.description for control in panel.controls.values())
    rule = panel.result.points["rule"]
    assert f"takes {rule.coverage:.1f} % and is right in {rule.right.percent:.1f} %" in panel.words
    panel.controls["tau_low"].value = 0.9
    assert panel.state["tau_high"] == pytest.approx(0.92)
    panel.save(tmp_path / "state.json")
    other.load(tmp_path / "state.json")
    assert other.state == panel.state and other.image.value == panel.image.value
