"""The panel of one prediction, and what a pointer on the pictures of prototypes and predictions sets."""

import numpy as np
import ot
import pytest
from controls import marks, move_every_control, places

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import ground, instance
from i2pemd_lite.panels.engine import style

EXACT = 1e-9


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")


def holds(result):
    p, k, G, K = result.p, result.label, result.ground, len(result.p)
    assert abs(p.sum() - 1) < EXACT
    np.testing.assert_array_equal(G, G.T)
    assert (np.diag(G) == 0).all() or (G == 1).all()
    assert abs(result.parts[0].sum() - ot.emd2(p / p.sum(), np.eye(K)[k], G)) < EXACT
    assert abs(result.parts[1].sum() - (1 - p[k])) < EXACT
    # The measures are taken after a softmax whose logits are cut at log 1e-12.
    np.testing.assert_allclose(result.parts[:2].sum(1), result.distances[:2], atol=1e-10 * K, rtol=0)
    almost = np.maximum(p, 1e-12) / np.maximum(p, 1e-12).sum()
    assert abs(result.distances[2] + np.log(almost[k])) < EXACT
    for gradient, column in ((result.gradients[0], G[:, k]), (result.gradients[1], 1 - np.eye(K)[k])):
        np.testing.assert_allclose(gradient, almost * (column - almost @ column), atol=EXACT, rtol=0)
    np.testing.assert_allclose(result.gradients[2], almost - np.eye(K)[k], atol=EXACT, rtol=0)
    np.testing.assert_allclose(result.gradients.sum(1), 0, atol=EXACT, rtol=0)
    np.testing.assert_allclose(result.parts[2], np.eye(K)[k] * min(result.distances[2] / 4, 1), atol=EXACT, rtol=0)


@pytest.mark.parametrize("K", [2, 4, 7])
def test_every_control_works_at_both_ends_and_in_the_middle(K):
    panel = instance.panel(K)
    assert len(panel.result.p) == K
    holds(panel.result)
    move_every_control(panel, holds)


def test_three_classes_on_a_line_are_as_by_hand():
    result = instance.panel(prototypes="on a line", p1=0.2, part2=0.625, label=2).result
    np.testing.assert_allclose(result.parts[:2], [[0.2 / 3, 0, 0.3 / 3], [0.2, 0, 0.3]], atol=EXACT, rtol=0)


def test_the_segments_stand_end_to_end():
    panel = instance.panel(7, view="term by term")
    bars_drawn, (left, full) = marks(panel.image.value, "parts rect"), panel._card.planes["parts"].at([0, 1], 0)[:, 0]
    for row, distance in zip((bars_drawn[:7], bars_drawn[7:14]), panel.result.distances, strict=False):
        end = left
        for bar in row:
            assert float(bar.x) == pytest.approx(end, abs=0.11)  # numbers of the picture have one decimal
            end = float(bar.x) + float(bar.width)
        assert end == pytest.approx(left + distance * (full - left), abs=0.11)


def test_words_controls_and_state(tmp_path):
    panel, other = instance.panel(7, p1=0.3, prototypes="on a line", label=3), instance.panel(7)
    assert all(control.description for control in panel.controls.values())
    most = int(np.argmax(panel.result.parts[0])) + 1
    assert f"Class {most} adds most" in panel.words and len(panel.numbers) == 6
    assert "Nothing is left" not in panel.words
    panel.set(p1=1.0)
    assert "Nothing is left after class 1" in panel.words  # so other shares change nothing
    panel.set(p1=0.3)
    panel.save(tmp_path / "state.json")
    other.load(tmp_path / "state.json")
    assert other.state == panel.state and other.image.value == panel.image.value
    panel.set(p1=0.0, part2=0.0, part3=1.0)
    assert "the distance is 0" in panel.words
    # Surely wrong: cross-entropy alone has a gradient left.
    panel.set(label=1)
    lowered = [value for name, value in panel.numbers.items() if "lowers" in name]
    assert lowered == ["none", "none", "z₃, by 1.0000"]


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(BadInput, match="K: expected 2 to 7 classes, found 8; choose "):
        instance.panel(8)
    with pytest.raises(BadInput, match="one prediction, 4 classes, view: expected a value that the control takes"):
        instance.panel(4, view="all predictions")


@pytest.mark.parametrize("K", [2, 3, 5, 7])
def test_each_class_has_its_part_of_what_those_before_it_leave(K):
    panel = instance.panel(K)
    for p in np.random.default_rng(0).dirichlet(np.ones(K), 5):
        panel.set(**{name: p[i] / p[i:].sum() for i, name in enumerate(instance.SHARES[: K - 1])})
        np.testing.assert_allclose(panel.result.p, p, atol=EXACT, rtol=0)


@pytest.mark.parametrize("K", [3, 7])
def test_mass_moves_to_the_label_at_its_price_and_features_stand_by_their_prototypes(K):
    panel = instance.panel(K, label=2)
    result, svg, card = panel.result, panel.image.value, panel._card
    for i, (road, dot) in enumerate(zip(marks(svg, "mass segments"), marks(svg, "mass points"), strict=False)):
        np.testing.assert_allclose(places(road), card.planes["mass"].at([0, 1], [i, 1]), atol=0.06)
        np.testing.assert_allclose(places(dot)[0], card.planes["mass"].at(0, i), atol=0.06)
        assert float(road.stroke_width) == pytest.approx(18 * result.p[i] * 100 / 72, abs=0.06)
    products = [mark.text for mark in marks(svg, "mass text") if "×" in mark.text]
    roads, runs = marks(svg, "mass segments"), marks(svg, "mass flow")
    assert [road.data_l for road in roads] == [f"x{i}-1" for i in range(K)]
    assert [each.d for each in runs] == [road.d for road in roads]
    assert [cell.data_l for cell in marks(svg, "G cell")] == [f"x{i}-{j}" for i in range(K) for j in range(K)]
    terms = zip(result.p, result.ground[:, 1], strict=True)
    assert products == [f"{style.number(p)} × {style.number(g)}" for p, g in terms if g > 0]
    assert f"I2PEMD = {result.distances[0]:.4f}" in svg
    for k, (x, y) in enumerate(result.places):
        diamond = places(marks(svg, f"features points {2 * k + 1}")[0])
        np.testing.assert_allclose(diamond.mean(0), card.planes["features"].at(x, y), atol=0.06)
        crosses = marks(svg, f"features x {k}")[0].d.count("M") // 2
        circles = marks(svg, f"features points {2 * k}")[0].d.count("M")
        assert circles == crosses == 14
    panel.set(prototypes=instance.FIXED)
    assert "features" not in panel._card.planes and "this G is fixed" in panel.image.value


def test_the_label_has_one_mark_and_p_k_and_g_each_one_colour_in_every_view():
    panel = instance.panel()
    (cross,), (frame,) = marks(panel.image.value, "mass x"), marks(panel.image.value, "G rect")
    assert cross.stroke == frame.stroke == style.LABEL
    panel.set(view="term by term")
    assert marks(panel.image.value, "p rect 0")[0].fill == style.MASS
    assert [mark.stroke for mark in marks(panel.image.value, "p x")] == [style.LABEL]
    assert {mark.stroke for mark in marks(panel.image.value, "p _")} == {style.GROUND}
    panel.set(view="all predictions")
    for name in instance.MEASURES:
        (corner,) = marks(panel.image.value, f"{name} x")
        assert corner.stroke == style.LABEL
        np.testing.assert_allclose(places(corner).mean(0), panel._card.planes[name].at(*instance.CORNERS[0]), atol=0.06)


def test_the_label_goes_to_the_row_or_column_that_is_touched():
    panel = instance.panel(5)
    for k in (4, 2, 0):
        assert drag(instance, panel, at(panel, "mass", 1, k)) == {"label": k + 1}
        assert drag(instance, panel, at(panel, "G", 4 - k, 0)) == {"label": 5 - k}


def at(panel, plane, x, y):
    """A place of a plane in parts of the card from the lower left."""
    x, y = panel._card.planes[plane].at(x, y)
    return x / panel._card.width, 1 - y / panel._card.height


def drag(module, panel, where, pressed=False):
    values = module.point(panel._card, panel.result, where, pressed)
    panel.set(**values)  # a value that a control does not take is an error
    return values


def test_the_top_of_a_bar_follows_the_pointer():
    panel = instance.panel(7, view="term by term")
    for k, y in ((0, 0.2), (3, 0.6), (6, 0.35), (2, 0.97), (2, 0.1), (5, 0.0)):
        before = np.delete(panel.result.p, k) / np.delete(panel.result.p, k).sum()
        drag(instance, panel, at(panel, "p", k + 0.2, y))
        assert panel.result.p[k] == pytest.approx(y, abs=2e-3)
        after = np.delete(panel.result.p, k) / np.delete(panel.result.p, k).sum()
        np.testing.assert_allclose(after, before, atol=5e-3, rtol=0)  # masses keep four decimals
    assert drag(instance, panel, (0.5, 0.5)) == drag(instance, panel, (0.99, 0.01)) == {}


def test_a_bar_alone_gives_to_all_others_alike():
    panel = instance.panel(4, view="term by term", p1=1.0)
    drag(instance, panel, at(panel, "p", 0, 0.4))
    assert panel.result.p == pytest.approx([0.4, 0.2, 0.2, 0.2], abs=1e-3)


@pytest.mark.parametrize("triangle", [0, 1, 2])
def test_the_prediction_follows_the_pointer_in_every_triangle(triangle):
    panel = instance.panel(view="all predictions")
    plane = list(instance.MEASURES)[triangle]
    for p in ((0.2, 0.5, 0.3), (0.7, 0.1, 0.2), (0.0, 0.4, 0.6), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)):
        drag(instance, panel, at(panel, plane, *(np.array(p) @ instance.CORNERS)))
        np.testing.assert_allclose(panel.result.p, p, atol=0.011, rtol=0)  # sliders of 0.01
    for x, y, p in ((0.5, -0.1, (0.5, 0.5, 0.0)), (-0.1, -0.1, (1, 0, 0)), (1.1, -0.05, (0, 1, 0))):
        drag(instance, panel, at(panel, plane, x, y))
        np.testing.assert_allclose(panel.result.p, p, atol=0.011, rtol=0)
    assert drag(instance, panel, (0.32, 0.99)) == {}


@pytest.mark.parametrize("scale", [0.25, 1, 4])
def test_a_prototype_is_picked_and_follows_the_pointer(scale):
    panel = ground.panel(scale=scale)
    x, y = panel.result.prototypes[3]
    assert drag(ground, panel, at(panel, "prototypes", x, y), pressed=True) == {"moving": 4, "right": 0.0, "up": 0.0}
    target = scale * (np.array(ground.LAYOUTS["five organs"][3]) + (1.5, -2.25))
    # Past others: while the button is held it is the one that was picked that moves.
    drag(ground, panel, at(panel, "prototypes", *panel.result.prototypes[1]))
    assert panel.state["moving"] == 4
    drag(ground, panel, at(panel, "prototypes", *target))
    np.testing.assert_allclose(panel.result.prototypes[3], target, atol=EXACT, rtol=0)
    assert (panel.state["right"], panel.state["up"]) == (1.5, -2.25)
    assert drag(ground, panel, (0.6, 0.5)) == {}


def test_a_shift_ends_where_its_slider_ends_and_one_point_cannot_be_picked_apart():
    panel = ground.panel("one far away", scale=1)
    drag(ground, panel, at(panel, "prototypes", 0.0, 0.0), pressed=True)
    drag(ground, panel, at(panel, "prototypes", 5.9, 5.9))
    assert (panel.state["right"], panel.state["up"]) == (ground.REACH, ground.REACH)
    panel.set(scale=0)
    assert drag(ground, panel, at(panel, "prototypes", 0.0, 0.0), pressed=True) == {}
