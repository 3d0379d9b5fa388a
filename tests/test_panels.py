"""Panels without a browser: ipywidgets fire their callbacks in plain Python, so every control can be moved here."""

import json
import re
from functools import partial
from xml.etree import ElementTree

import numpy as np
import ot
import pytest
from controls import ends, marks, move_every_control, on_page, places, unseen
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from test_instance import holds as instance_holds

from i2pemd_lite import select
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import agree, curves, doubt, dynamics, ground, instance, museum, playground, transport
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.card import Card
from i2pemd_lite.panels.engine.panel import Panel, slider, steps
from i2pemd_lite.segmentation.layout import class_ids
from i2pemd_lite.segmentation.synthetic import phantom

# Exact solvers and closed forms on a handful of float64 numbers agree to a few hundred roundings.
EXACT = 1e-9


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")


def transport_holds(result):
    t, p, q, g = result.transport, result.p, result.q, result.cost
    flow = min(p.sum(), q.sum())
    assert (t.plan >= 0).all()
    assert max(result.residuals) < EXACT
    assert abs(result.bound - t.cost) < EXACT and result.undercut < EXACT
    np.testing.assert_array_less(result.u[:, None] + result.v, g + EXACT)
    everybody = sum(p[i] * q[j] * g[i, j] for i in range(len(p)) for j in range(len(q))) / max(p.sum(), q.sum())
    assert abs(result.careless - everybody) < EXACT
    assert result.careless >= result.whole - EXACT
    if result.label is not None:
        assert abs(result.whole - sum(p * g[:, result.label])) < EXACT and np.count_nonzero(q) == 1
    if result.printed:
        assert t.cost == 0 and t.flow == 0
        return
    assert result.whole == pytest.approx(t.cost, abs=EXACT)
    assert not result.pot_gap >= EXACT  # NaN where ot.emd2 does not apply
    assert abs(t.flow - flow) < EXACT
    # A road in use costs no more than its prices.
    np.testing.assert_allclose((result.u[:, None] + result.v)[t.plan > EXACT], g[t.plan > EXACT], atol=EXACT, rtol=0)
    np.testing.assert_array_less(t.plan.sum(1), p + EXACT)
    np.testing.assert_array_less(t.plan.sum(0), q + EXACT)


def doubt_holds(result):
    assert abs(result.p.sum() - 1) < EXACT and (result.p >= 0).all()
    G = doubt.patient().ground.numpy()[np.ix_(doubt.IDS, doubt.IDS)]
    assert abs(result.price - ot.emd2(result.p / result.p.sum(), np.eye(3)[0], G)) < EXACT
    assert min(result.ends) - EXACT <= result.price <= max(result.ends) + EXACT
    assert abs(np.exp(-result.entropy) - result.p[0]) < EXACT


def ground_holds(result):
    c, K = result.prototypes, len(result.prototypes)
    g = [[sum(abs(a - b) for a, b in zip(c[i], c[j], strict=True)) for j in range(K)] for i in range(K)]
    ranks = np.array([[sum(g[i][m] < g[i][j] for m in range(K)) / K for j in range(K)] for i in range(K)])
    np.testing.assert_allclose(result.distances, g, atol=EXACT, rtol=0)
    np.testing.assert_allclose(result.ranks, ranks, atol=EXACT, rtol=0)
    np.testing.assert_array_equal(result.ground, result.ground.T)
    np.testing.assert_array_equal(np.diag(result.ground), 0)
    assert result.ground.max() <= (K - 1) / K + EXACT


def dynamics_holds(result):
    assert np.isfinite(result.path[-1]).any()
    assert 2 <= len(result.path) == len(result.error) + 1 <= dynamics.STEPS + 1
    assert np.nanmin(result.age) >= 0
    present = set(result.labels.tolist())
    for k in range(dynamics.K):
        assert (result.age[-1, k] == 0) == (k in present)
        if k not in present:
            np.testing.assert_array_equal(result.path[-1, k], result.path[-2, k])


def hill_holds(view, diagonal):
    p = np.linspace(0.01, 0.99, 99)
    np.testing.assert_allclose(view.cost, 1 - (1 - diagonal) * p, atol=EXACT, rtol=0)
    # The softmax of Eq. 6: −∂/∂zₖ of 1 − (1 − δ) pₖ
    np.testing.assert_allclose(view.push, (1 - diagonal) * p * (1 - p), atol=EXACT, rtol=0)
    assert view.wrong == pytest.approx(1 - (1 - diagonal) * 0.05, abs=EXACT)
    assert view.sign == pytest.approx(1 - (1 - diagonal) * 0.95, abs=EXACT)


def collapse_holds(view, spread, fresh):
    point, whole = museum.POINT.numpy(), museum.Collapsed(1.0, False)
    np.testing.assert_allclose(view.features - point, spread * (whole.features - point), atol=1e-5, rtol=0)
    # Four standard errors of the mean of 12 features with a deviation of 0.3
    np.testing.assert_allclose(whole.prototypes, museum.CENTRES, atol=4 * 0.3 / 12**0.5, rtol=0)
    c = view.prototypes.astype(float)
    if fresh:
        np.testing.assert_array_equal(c, 0)
    else:
        means = view.features.reshape(-1, museum.K, 2).mean(0)  # one instance of each class after the other
        np.testing.assert_allclose(c, means, atol=1e-5, rtol=0)  # float32
    widest = max(abs(a - b).sum() for a in c for b in c)
    size = abs(c).sum(1).mean()
    assert view.sign == pytest.approx(widest / size if size else 0, abs=1e-6)
    together = widest == 0
    # Without ties each row of ranks is 0, 1/K … (K−1)/K in some order, whatever the spread.
    assert view.price == pytest.approx(0 if together else 0.5, abs=1e-6)
    assert together == (fresh or spread == 0)


def absent_holds(view, share, absent):
    rare, away = museum.K - 1, ~view.present
    assert view.path.shape == (museum.STEPS + 1, museum.K, 2)
    here = view.labels.tolist()
    np.testing.assert_array_equal(view.present, [[k in batch for k in range(museum.K)] for batch in here])
    assert (view.labels == rare).mean() == pytest.approx(share, abs=4 * (share * (1 - share) / view.labels.size) ** 0.5)
    before, after = view.path[:-1][away], view.path[1:][away]
    if "keeps" in absent:
        np.testing.assert_array_equal(after, before)
        assert view.sign == 0
    elif "zero" in absent:
        np.testing.assert_allclose(after, museum.ALPHA * before, atol=1e-5, rtol=0)
        assert view.sign == away.sum()
    else:
        assert np.isnan(after).all() and view.sign == away.sum()
    centre = museum.CENTRES[rare].numpy()
    np.testing.assert_allclose(view.error, np.linalg.norm(view.path[1:, rare] - centre, axis=1), atol=1e-5, rtol=0)


def chosen_holds(view, tau_low, tau_high):
    assert view.thresholds == (tau_low, tau_high)
    inside = (view.scores > tau_low) & (view.scores <= tau_high)
    assert view.sign == inside.sum()
    if tau_low < tau_high:
        mask = select(*museum.predictions(), tau_low, tau_high, museum.TOP).mask
        np.testing.assert_array_equal(view.low | view.high, mask)
    else:
        assert not (view.low & ~view.high).any()
        np.testing.assert_array_equal(view.high, view.scores > tau_high)


def training_holds(view, rate):
    assert view is museum.run(museum.Hasty, rate=rate)
    late = slice(museum.SETTLED, None)
    assert view.sign == 100 * np.mean(view.loss[late] > view.guess[late])
    assert len(view.loss) == museum.TRAINING and np.isfinite(view.loss).all()
    # Guessing costs log K, and by G at most its largest entry, (K − 1)/K.
    assert (view.guess >= np.log(museum.K) - 1e-6).all() and (view.guess <= np.log(museum.K) + 0.75).all()


def unusual_holds(view, brighter, views):
    classes = np.arange(museum.K)
    asked = LinearDiscriminantAnalysis("lsqr", priors=np.full(museum.K, 1 / museum.K))
    asked.fit(view.seen.reshape(-1, 2), np.tile(np.repeat(classes, museum.VOXELS), museum.SCANS))
    spleen = museum.K - 1
    np.testing.assert_array_equal(asked.predict(view.scan[spleen]) == spleen, view.found)
    where, answer = view.answer
    np.testing.assert_array_equal(asked.predict(where), answer)
    assert view.sign == 100 * view.found.mean()


HOLDS = {
    "one on the diagonal": hill_holds,
    "collapsed prototypes": collapse_holds,
    "a batch without a class": absent_holds,
    "thresholds crossed": chosen_holds,
    "learning rate too high": training_holds,
    "an unusual scan": unusual_holds,
}


def museum_holds(result):
    exhibit, (healthy, yours) = museum.EXHIBITS[result.name], (view.sign for view in result.views)
    assert not exhibit.there(healthy)
    assert exhibit.there(yours) or result.settings[1] != exhibit.broken
    for view, setting in zip(result.views, result.settings, strict=True):
        HOLDS[result.name](view, **setting)
    if result.settings[0] == result.settings[1]:
        assert healthy == yours


PANELS = {
    "doubt": (doubt.panel, doubt_holds),
    "transport": (transport.panel, transport_holds),
    "two by four": (partial(transport.panel, (0.5, 0.5), (0.1, 0.2, 0.3, 0.4), np.ones((2, 4))), transport_holds),
    "ground": (ground.panel, ground_holds),
    "seven classes": (partial(ground.panel, "seven on a line"), ground_holds),
    "instance": (instance.panel, instance_holds),
    "dynamics": (dynamics.panel, dynamics_holds),
    **{name: (partial(museum.panel, name), museum_holds) for name in museum.EXHIBITS},
}


@pytest.fixture(scope="module", params=PANELS.values(), ids=PANELS)
def made(request):
    """A panel that the tests of it share, what must hold of its results, and how it was made."""
    make, holds = request.param
    panel = make()
    assert panel.error.value == ""
    return panel, holds, make


@pytest.fixture
def case(made):
    """The same, put back after a test that moved it."""
    panel, before = made[0], made[0].state
    yield made
    if panel.state != before:
        panel.set(**before)


def test_every_control_works_at_both_ends_and_in_the_middle(case):
    panel, holds, _ = case
    holds(panel.result)
    move_every_control(panel, holds)


def test_controls_work_together(case):
    (panel, holds, _), random = case, np.random.default_rng(0)
    for _ in range(4):
        with unseen():
            for control in panel.controls.values():
                values = ends(control)
                # Not the lowest end of all at once: a histogram without mass is an error, tested below.
                control.value = values[random.integers(isinstance(control.value, float), len(values))]
                holds(panel.result)
        panel.refresh()
        assert panel.error.value == ""


def test_a_picture_comes_back_from_its_file(case, tmp_path):
    panel, _, make = case
    for control in panel.controls.values():
        control.value = ends(control)[1]
    panel.save(tmp_path / "state.json")
    assert set(json.loads((tmp_path / "state.json").read_text())) >= {"panel", "state", "seed", "profile", "torch"}
    with unseen():
        other = make()
    other.load(tmp_path / "state.json")
    assert other.state == panel.state
    assert other.image.value == panel.image.value


def test_marks_have_keys_of_their_own_and_colours_that_themes_know(case):
    """The page tells marks apart by their keys."""
    found = marks(case[0].image.value)
    assert len(found) == len({mark.key for mark in found}) > 10
    inks = {getattr(mark, name) for mark in found for name in ("fill", "stroke") if hasattr(mark, name)} - {"none"}
    known = {f"--i2-{name}" for name in style.THEMES["dark"]}
    assert all(set(re.findall(r"--[\w-]+", ink)) & known for ink in inks), inks
    assert min(float(mark.font_size) for mark in found if mark.tag == "text") >= 11


def test_every_control_has_a_label_and_every_picture_its_words(case):
    panel, *_ = case
    assert all(control.description for control in panel.controls.values())
    assert len(panel.words) > 20 and len(panel.numbers) >= 3
    assert panel.words.split(":")[0] in panel.image.below.replace("&#x27;", "'")
    assert "profile" in panel.image.below and "seed" in panel.image.below
    drawn = ElementTree.fromstring(panel.image.value)
    assert drawn.get("aria-label") == panel.words and float(drawn.get("width")) > 500


def test_a_page_without_a_kernel_still_shows_the_picture(case):
    bundle = case[0]._repr_mimebundle_()
    assert ElementTree.fromstring(bundle["image/svg+xml"]).get("role") == "img"
    assert len(bundle["text/plain"]) > 20
    for words in ('src="data:image/svg+xml;base64,', 'alt="', "<dl", "profile"):
        assert words in bundle["text/html"]
    assert "Press Tab" not in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


SIGNS = {
    "one on the diagonal": ({"diagonal": 0.0}, {"diagonal": 1.0}, {"diagonal": 0.5}),
    "collapsed prototypes": ({"spread": 1.0}, {"spread": 0.0}, {"fresh": True}),
    "a batch without a class": (
        {"absent": "keeps its prototype (ours)"},
        {"absent": "gets 0/0 = NaN"},
        {"absent": "gets a mean of zero"},
    ),
    "thresholds crossed": ({"tau_low": 0.7, "tau_high": 0.8}, {"tau_low": 0.8, "tau_high": 0.7}, {"tau_low": 0.9}),
    "learning rate too high": ({"rate": 0.1}, {"rate": 10.0}, {"rate": 20.0}),
    "an unusual scan": ({"brighter": 0.0}, {"brighter": 2.0}, {"brighter": 4.0}),
}


@pytest.mark.parametrize("zeros, then", [(False, "no prototype and G is not used"), (True, "prototype is still zero")])
def test_a_class_that_never_came_up_is_told(zeros, then):
    ways = dynamics.panel(rarest=0.0, zeros=zeros)
    assert ways.words.startswith("Class 4 has not appeared yet") and then in ways.words
    assert ways.numbers["classes seen"] == "3 of 4"


@pytest.mark.parametrize("name", museum.EXHIBITS)
def test_a_failure_shows_its_sign_and_a_healthy_run_does_not(name):
    panel, exhibit = museum.panel(name), museum.EXHIBITS[name]
    healthy, *broken = SIGNS[name]
    panel.set(**healthy)
    assert not exhibit.there(panel.result.views[1].sign) and "The sign is not there" in panel.words
    for setting in broken:
        panel.set(**setting)
        assert exhibit.there(panel.result.views[1].sign) and "The sign is there" in panel.words
        assert "?." not in panel.words and " is 0" not in panel.words


@pytest.mark.parametrize(
    "name, bad, good",
    [
        ("one on the diagonal", 0.11, 0.1),
        ("collapsed prototypes", 1 / 129, 1 / 128),
        ("a batch without a class", 1, 0),
        ("thresholds crossed", 0, 1),
        ("learning rate too high", 5.1, 5),
    ],
)
def test_a_sign_has_its_limit_where_its_reason_says(name, bad, good):
    exhibit = museum.EXHIBITS[name]
    assert exhibit.there(bad) and not exhibit.there(good)


def test_what_is_not_a_number_is_said_in_words():
    broken = museum.panel("a batch without a class", absent="gets 0/0 = NaN")
    gone = 1 + np.flatnonzero(np.isnan(broken.result.views[1].error))[0]
    (said,) = (
        mark.text for mark in marks(broken.image.value, "a batch without a class yours text") if "NaN" in mark.text
    )
    assert said == f"not a number (NaN)from step {gone} on, for ever"
    assert "nan" not in broken.words + str(broken.numbers)


def test_an_unknown_exhibit_is_refused():
    with pytest.raises(BadInput, match="one on the diagonal.*; choose "):
        museum.panel("one off the diagonal")


def test_another_panels_file_is_refused(tmp_path):
    ground.panel().save(tmp_path / "ground.json")
    with pytest.raises(BadInput, match="transport"):
        transport.panel().load(tmp_path / "ground.json")


@pytest.mark.parametrize("values", [{"p9": 1}, {"p1": 1.7}, {"p1": "much"}, {"equal": 0.5}])
def test_a_value_that_a_control_does_not_take_changes_nothing(values):
    panel = transport.panel()
    before, picture = panel.state, panel.image.value
    with pytest.raises(BadInput, match="transport"):
        panel.set(p2=0.9, **values)
    assert panel.state == before
    assert panel.image.value == picture


def test_a_state_of_other_controls_says_which_version_saved_it(tmp_path):
    file, panel = tmp_path / "state.json", ground.panel()
    panel.save(file)
    saved = json.loads(file.read_text())
    saved["i2pemd-lite"], saved["state"]["angle"] = "0.0.1", saved["state"].pop("up")
    file.write_text(json.dumps(saved))
    with pytest.raises(BadInput, match=r"expected values for .*up.*angle.*saved by i2pemd-lite 0\.0\.1"):
        panel.load(file)


@pytest.mark.parametrize(("change", "words"), [
    ({"state": None}, "expected at state names with values, found None"),
    ({"panel": 3}, "expected at panel a word, found 3"),
    ({"state": {"up": 10**400}}, "ground distance, up: expected a value"),
    ({"state": {"up": [[]]}}, "ground distance, up: expected a value"),
])  # fmt: skip
def test_a_damaged_state_is_named_with_its_file(tmp_path, change, words):
    file, panel = tmp_path / "state.json", ground.panel()
    panel.save(file)
    saved, before = json.loads(file.read_text()), panel.state
    change = change if not change.get("state") else {"state": saved["state"] | change["state"]}
    file.write_text(json.dumps(saved | change))
    with pytest.raises(BadInput, match=f"state.json: {words}"):
        panel.load(file)
    file.write_text("[" * 10_000)
    with pytest.raises(BadInput, match="state.json: expected a JSON file, found maximum recursion"):
        panel.load(file)
    assert panel.state == before


def typed(panel, name, text):
    panel.controls[name].typed = text or " "  # as the page says that a field was emptied


def test_what_is_typed_moves_the_slider():
    panel = transport.panel()
    typed(panel, "p1", "0.333")
    assert panel.state["p1"] == 0.333 and panel.controls["p1"].typed == ""
    typed(panel, "g12", " 7 ")
    assert panel.result.cost[0, 1] == 7
    whole = ground.panel()
    typed(whole, "moving", "4")
    assert whole.state["moving"] == 4 and isinstance(whole.state["moving"], int)


@pytest.mark.parametrize("step, digits", [(0.025, 3), (0.125, 3), (0.01, 2), (0.5, 1), (5.0, 1)])
def test_a_field_shows_the_decimals_of_its_step(step, digits):
    assert slider("x", 0.625, 0.0, 1.0, step).digits == digits and slider("x", 1, 0, 5, 1).digits == 0


def test_a_slider_keeps_within_its_ends_when_these_move():
    moved = slider("x", 4, 1, 5, 1)
    moved.max = 2
    assert moved.value == 2 and isinstance(moved.value, int)
    moved.value = 9
    assert moved.value == 2


def test_steps_stop_at_given_values_alone():
    scale = steps("scale", [("a half", 0.5), ("one", 1), ("two", 2)], 1)
    assert scale.words == ["a half", "one", "two"] and scale.index == 1
    scale.value = 0.5
    assert scale.index == 0
    with pytest.raises(BadInput, match=r"scale: expected one of \[0.5, 1, 2\], found 3"):
        scale.value = 3
    scale.options = [7, 8]
    assert scale.value == 7 and scale.words == ["7", "8"]


@pytest.mark.parametrize(
    "make, name, text, expected",
    [
        (transport.panel, "g12", "-1", "a number from 0 to 10, found '-1'"),
        (transport.panel, "g12", "", "found ''"),
        (transport.panel, "g12", "nan", "found 'nan'"),
        (transport.panel, "p1", "much", "a number from 0 to 1, found 'much'"),
        (transport.panel, "p1", "1.5", "found '1.5'"),
        (ground.panel, "moving", "2.5", "a whole number from 1 to 5"),
    ],
)
def test_what_is_no_number_is_told_and_the_last_good_picture_stays(make, name, text, expected, monkeypatch):
    panel = make()
    picture, state, control = panel.image.value, panel.state, panel.controls[name]
    written = f"{control.value:.{control.digits}f}"
    with pytest.raises(BadInput, match=expected):
        typed(panel, name, text)
    monkeypatch.delenv("I2PEMD_STRICT")
    typed(panel, name, written)
    typed(panel, name, text)
    assert expected in panel.error.value.replace("&#x27;", "'") and "still holds" in panel.error.value
    assert panel.image.value == picture and panel.state == state and control.wrong
    typed(panel, name, written)
    assert panel.error.value == "" and not control.wrong
    typed(panel, name, text)
    panel.set(**state)
    assert panel.error.value == "" and not control.wrong


def test_only_the_field_that_the_error_is_about_is_marked(monkeypatch):
    monkeypatch.delenv("I2PEMD_STRICT")
    panel = transport.panel()
    for name in ("p1", "g12"):
        typed(panel, name, "much")
        assert [each for each, control in panel.controls.items() if getattr(control, "wrong", False)] == [name]
    typed(panel, "p1", f"{panel.state['p1']:.2f}")  # which it was, so nothing is drawn
    assert panel.error.value == "" and not panel.controls["g12"].wrong


def test_a_panel_that_starts_elsewhere_is_drawn_once():
    drawn, control = [], slider("x", 1, 0, 5, 1)
    Panel("once", {"x": control}, lambda s: s["x"], lambda f, r: drawn.append(r), lambda r: ("", {}), start={"x": 3})
    assert drawn == [3]


def test_a_touch_of_the_picture_sets_controls():
    control = slider("x", 0.5, 0.0, 1.0, 0.1)
    touches = []

    def point(figure, result, at, pressed):
        touches.append((result, at, pressed))
        return {} if pressed else {"x": at[0]}

    panel = Panel("touched", {"x": control}, lambda s: s["x"], lambda f, r: None, lambda r: (str(r), {}), point=point)
    assert panel.image.touchable
    panel.image.touch = {"at": [0.2, 0.4], "began": [0.2, 0.4], "count": 1}
    assert touches == [(0.5, (0.2, 0.4), True)] and control.value == 0.5
    panel.image.touch = {"at": [0.3, 0.4], "began": [0.2, 0.4], "count": 1}
    assert panel.result == 0.3
    # The kernel was busy, and two touches came as one message.
    panel.image.touch = {"at": [0.9, 0.1], "began": [0.8, 0.1], "count": 2}
    assert touches[2:] == [(0.3, (0.8, 0.1), True), (0.3, (0.9, 0.1), False)] and panel.result == 0.9
    assert not transport.panel(p=(1, 0, 0)).image.touchable


def test_a_slow_panel_says_that_it_works():
    said = []
    control = slider("x", 1, 0, 5, 1)
    panel = Panel("slow", {"x": control}, lambda s: said.append(panel.image.below) if said else s, lambda f, r: None,
                  lambda r: ("", {}))  # fmt: skip
    said, panel._took = [""], 1.0
    control.value = 2
    assert "Working" in said[1] and "Working" not in panel.image.below


def test_a_slow_panel_that_fails_works_no_longer(monkeypatch):
    monkeypatch.delenv("I2PEMD_STRICT")
    control = slider("x", 1, 0, 5, 1)
    panel = Panel("slow", {"x": control}, lambda s: 1 / s["x"], lambda f, r: None, lambda r: ("well", {}))
    panel._took = 1.0
    control.value = 0
    assert "ZeroDivisionError" in panel.error.value
    assert "Working" not in panel.image.below and "well" in panel.image.below


@pytest.mark.parametrize("entry", [-0.1, float("nan"), 11.0, None])
def test_a_cost_that_is_negative_or_missing_is_refused(entry):
    cost = np.array(transport.COSTS, dtype=object)
    cost[0, 1] = entry
    with pytest.raises(BadInput, match="g₁₂: expected a number from 0 to 10, found"):
        transport.panel(cost=cost)


def test_masses_that_are_no_probabilities_are_told():
    panel = transport.panel(equal=False)
    assert "not probabilities" not in panel.words
    panel.controls["p1"].value = 0.2
    assert "p adds up to .7 and q to 1, so they are not probabilities" in panel.words


def test_masses_that_are_scaled_are_told_and_a_label_hides_the_sliders_that_it_replaces():
    panel = transport.panel(p=(0.5, 0.3, 0.1), q=(0.1, 0.2, 0.7))
    note = lambda: [mark.text for mark in marks(panel.image.value, "paper text") if "masses" in mark.text]  # noqa: E731
    assert note() == ["p: masses / .9"] and panel.result.p == pytest.approx(np.array([5, 3, 1]) / 9)
    panel.set(p3=0.2)
    assert note() == []
    panel.set(q1=0.6)
    assert note() == ["q: masses / 1.5"] and set(panel.shown) == panel.controls.keys()
    before = panel.box.children  # which stay, so that no field and no focus is lost
    panel.set(label=2)
    assert note() == [] and panel.controls.keys() - panel.shown == {"q1", "q2", "q3"}
    assert panel.box.children == before and on_page(panel) == panel.shown[:2] == ["way", "p1"]
    panel.more.value = True
    assert on_page(panel) == panel.shown


def test_the_title_of_g_has_its_colour():
    cards = {name: Card(9, 5) for name in ("curves", "playground")}
    curves.draw_ground(cards["curves"], [0.1, 0.1, 0.8, 0.8], None, "ab")
    playground.draw(cards["playground"], playground.compute(playground.START))
    for card in cards.values():
        (title,) = [mark for mark in card.marks().values() if ">G" in mark and "of" in mark]
        assert f'fill="{style.GROUND}"' in title


def test_ranks_are_computed_one_at_a_time():
    panel = ground.panel("three, with a tie", ranked=5)
    numbers = lambda plane: [mark.text for mark in marks(panel.image.value, plane) if " number " in mark.key]  # noqa: E731
    assert numbers("ḡ") == ["0", ".33", ".67", ".33", "0", "", "", "", ""]
    assert numbers("G") == ["0", ".33", "", ".33", "0", "", "", "", ""]
    assert panel.words.startswith("Rank 5 of 9. In row 2 of g") and "g₂₂ = 0: ḡ₂₂ = 0 smaller / 3 = 0." in panel.words
    panel.set(ranked=6)  # of distances 2, 0, 3
    assert numbers("ḡ")[5] == ".67" and "ḡ₂₃ = 2 smaller / 3 = .67" in panel.words
    order = [mark.text for mark in marks(panel.image.value, "paper text") if re.fullmatch(r"[\d.]+", mark.text)]
    assert order == ["0", "2", "3"]
    panel.set(ranked=0)
    assert set(numbers("ḡ")) == {""} and panel.words.startswith("No rank")
    panel.set(ranked="all")
    panel.controls["layout"].value = "five organs"
    assert panel.state["ranked"] == "all" and len(panel.controls["ranked"].options) == 26
    panel.set(ranked=3)
    panel.controls["layout"].value = "two classes"
    assert panel.state["ranked"] == 3
    panel.set(layout="five organs", ranked=20)
    panel.controls["layout"].value = "two classes"  # which has four ranks
    assert panel.state["ranked"] == "all" and "" not in numbers("G")


@pytest.mark.parametrize("layout", ground.LAYOUTS)
def test_the_axes_of_prototypes_stand_still_wherever_one_is_moved(layout):
    panel = ground.panel(layout)
    first = axes(panel)
    for moving in 1, 2:
        for right, up in (-ground.REACH, ground.REACH), (ground.REACH, -ground.REACH):
            panel.set(moving=moving, right=right, up=up)
            assert axes(panel) == first
            at = panel._card.planes["prototypes"].at(*panel.result.prototypes.T)
            (left, top, wide, high), *_ = panel._card.planes["prototypes"]._ends()
            assert (at >= (left - 1e-6, top - 1e-6)).all() and (at <= (left + wide + 1e-6, top + high + 1e-6)).all()


def test_a_cell_says_its_term_and_names_its_prototypes():
    picture, names = ground.panel("three, with a tie").image.value, {"c0", "c2", "G", "G0-2"}
    cell = next(mark for mark in marks(picture, "G") if " cell " in mark.key and set(mark.data_l.split()) == names)
    assert cell.data_t == "G₁₃ = (.67 + .33) / 2 = .5"
    within = [mark for mark in marks(picture) if set(getattr(mark, "data_l", "-").split()) < names]
    assert [mark.tag for mark in within] == ["text", "path", "path", "text", "text"]
    assert within[0].text == "(ranks + ranks.T) / 2"


NOTHING = {"p1": 0.0, "p2": 0.0, "p3": 0.0}


def test_the_page_hears_of_the_picture_before_the_controls(monkeypatch):
    panel, told = ground.panel(), []
    monkeypatch.setattr("ipywidgets.Widget.send_state", lambda self, key=None: told.append((self, key and list(key))))
    panel.set(right=1.0, up=0.5)
    up, right = panel.controls["up"], panel.controls["right"]
    assert [who for who, what in told if "value" in what] == [panel.image, up, right]
    with pytest.raises(BadInput, match="within its ends"):
        panel.set(right=0.5, up=1e9)
    assert (panel.state["right"], panel.state["up"]) == (1.0, 0.5) and [who for who, _ in told[3:]] == [up, right]


def test_an_error_is_raised_when_strict():
    with pytest.raises(BadInput, match="p: expected some mass"):
        transport.panel().set(**NOTHING)


def test_an_error_is_raised_by_a_moved_control_when_strict():
    panel = transport.panel((1.0, 0.0, 0.0))
    with pytest.raises(BadInput, match="p: expected some mass"):
        panel.controls["p1"].value = 0.0


def test_an_error_stands_inline_and_the_last_good_picture_stays(monkeypatch):
    monkeypatch.delenv("I2PEMD_STRICT")
    panel = transport.panel()
    picture, words = panel.image.value, panel.words
    panel.set(**NOTHING)
    assert "p: expected some mass" in panel.error.value and 'role="alert"' in panel.error.value
    assert "solid #" in panel.error.value  # beside the pictures nothing knows their variables
    assert (panel.image.value, panel.words) == (picture, words)
    panel.controls["p1"].value = 0.4
    assert panel.error.value == "" and panel.image.value != picture


def test_a_defect_is_not_taken_for_a_users_mistake(monkeypatch):
    monkeypatch.delenv("I2PEMD_STRICT")
    panel = Panel("broken", {"x": slider("x", 0, 0, 5, 1)}, lambda s: 1 / s["x"], None, None)
    assert "ZeroDivisionError" in panel.error.value and panel.result is None


def test_a_control_without_a_label_is_refused():
    with pytest.raises(BadInput, match="description"):
        Panel("unnamed", {"x": slider("", 0, 0, 5, 1)}, lambda s: s, None, None)


def axes(panel):
    """The frames and ticks of a panel's planes, without titles, in which the step stands."""
    found = [mark for mark in marks(panel.image.value) if " axes " in mark.key and "step" not in mark.text]
    return [(mark.key, getattr(mark, "d", mark.text)) for mark in found]


def test_what_is_played_is_one_film_in_axes_that_stand_still():
    panel, whole = dynamics.panel(step=3), dynamics.panel().result
    first = axes(panel)
    for step in (20, 7):
        panel.set(step=step)
        np.testing.assert_array_equal(panel.result.path, whole.path[: step + 1])
        np.testing.assert_array_equal(panel.result.error, whole.error[:step])
        assert axes(panel) == first
    film = dynamics.simulate(*(panel.state[name] for name in ("batch", "rarest", "drift", "gap", "share")))
    np.testing.assert_array_equal(panel.result.features, film[0][6])


def test_the_prototype_path_is_an_exponential_average():
    batch, alpha = dynamics.simulate(16, 0.1, 1.0, 1.0, 0.5), 0.7
    path = dynamics.follow(*batch[:3], alpha)
    c = np.full((dynamics.K, 2), np.nan)
    for t, (features, labels) in enumerate(zip(batch[0].astype(float), batch[1], strict=True)):
        for k in set(labels.tolist()):
            update = features[labels == k].mean(0)
            c[k] = update if np.isnan(c[k, 0]) else alpha * c[k] + (1 - alpha) * update
        # float32 features around 5 carry about 1e-6; 32 averages do not add to it
        np.testing.assert_allclose(path[t + 1], c, atol=1e-5, rtol=0)


@pytest.mark.parametrize("way, expected", [("voxels", 1.75), ("modalities", 2.5), ("in turn", 0.96)])
def test_three_ways_of_pooling_differ_as_by_hand(way, expected):
    features = np.r_[np.full((30, 2), 1.0), np.full((10, 2), 4.0)].astype(np.float32)[None]
    labels, is_mr = np.zeros((1, 40), dtype=int), (np.arange(40) >= 30)[None]
    start = 0.8 if way == "in turn" else 0.0
    path = dynamics.follow(features, labels, is_mr, start, way, zeros=True)
    np.testing.assert_allclose(path[1, 0], expected, atol=1e-6, rtol=0)  # float32


@pytest.mark.parametrize("label, prototypes", [(3, "on a line"), (1, "1 and 2 in one place"), (2, "apart")])
def test_the_bands_agree_with_a_solver_all_over(label, prototypes):
    result, k = instance.panel(label=label, prototypes=prototypes).result, label - 1
    for p in np.random.default_rng(0).dirichlet(np.ones(3), 100):
        exact = np.array([ot.emd2(p, np.eye(3)[k], result.ground), 1 - p[k], -np.log(p[k])]) / instance.TOPS
        place = p @ instance.CORNERS
        over = [sum(turns_left(band, place) for band in bands if band) for bands in result.bands]
        assert over == np.minimum(10 * exact, 9).astype(int).tolist()


def turns_left(corners, place):
    """Whether a place is within an area whose corners are said against the clock."""
    along, to = np.roll(corners, -1, 0) - corners, place - corners
    return (along[:, 0] * to[:, 1] >= along[:, 1] * to[:, 0]).all()


def test_first_pictures_show_what_was_computed_by_hand():
    assert instance.panel().result.distances[0] == pytest.approx(0.5 / 3 + 0.3 / 2, abs=EXACT)
    assert transport.panel().result.transport.cost == pytest.approx(0.3, abs=EXACT)
    of_label_2 = instance.panel(label=2).result.distances
    np.testing.assert_allclose(of_label_2, [0.2 / 3 + 0.3 / 2, 0.5, np.log(2)], atol=EXACT, rtol=0)


@pytest.mark.parametrize("spread, sign, price", [(1.0, 1.7834, 0.5), (2**-10, 0.0017, 0.5), (0.0, 0.0, 0.0)])
def test_ranks_hide_a_collapse_to_the_last(spread, sign, price):
    view = museum.Collapsed(spread, False)
    assert (view.sign, view.price) == pytest.approx((sign, price), abs=5e-5)


def test_the_fixed_form_is_one_minus_the_confidence():
    result = instance.panel(p1=0.3, part2=0.25, label=2).result
    assert abs(result.distances[1] - (1 - 0.7 * 0.25)) < EXACT


def test_with_ones_on_its_diagonal_the_fixed_form_says_nothing():
    result = instance.panel(prototypes=instance.ONES).result
    assert all(len(band) == 3 for band in result.bands[0]), "each band is the whole triangle"
    np.testing.assert_allclose(result.gradients[0], 0, atol=EXACT, rtol=0)


def test_the_literal_equation_has_minimum_zero():
    found = transport.linear_program([0.2, 0.5, 0.3], [1.0, 0, 0], [[0, 2, 3], [2, 0, 3], [3, 3, 0]])
    assert found.cost == 0 and found.plan.sum() == 0
    assert found.w == 0 and not found.u.any() and not found.v.any()


@pytest.mark.parametrize("masses", [(1.0, 1.0), (0.6, 1.0), (1.0, 0.6)])
def test_prices_prove_the_cost_of_any_masses(masses):
    random = np.random.default_rng(0)
    for _ in range(40):
        m, n = random.integers(2, 6, 2)
        p, q = (mass * random.dirichlet(np.ones(bins)) for mass, bins in zip(masses, (m, n), strict=True))
        g, flow = random.random((m, n)), min(p.sum(), q.sum())
        cost = ot.partial.partial_wasserstein2(p, q, g, flow)
        u, v = transport.prices(transport.linear_program(p, q, g, flow), p, q)
        assert sum(p * u) + sum(q * v) == pytest.approx(cost, abs=EXACT)
        assert (u[:, None] + v <= g + EXACT).all()
        # What may stay or be left wanting is never paid for: the larger side has no price above 0.
        assert masses[0] <= masses[1] or (u <= EXACT).all()
        assert masses[1] <= masses[0] or (v <= EXACT).all()


@pytest.mark.parametrize("k", [1, 2, 3])
def test_against_a_label_the_closed_form_and_the_prices_are_its_column(k):
    panel = transport.panel(label=k)
    g = np.array(transport.COSTS)
    assert panel.result.q.tolist() == np.eye(3)[k - 1].tolist() and panel.state["q1"] == 0.2
    by_hand = 0.5 * g[0, k - 1] + 0.3 * g[1, k - 1] + 0.2 * g[2, k - 1]
    assert panel.numbers[f"closed form p · g[:, {k}]"] == f"{by_hand:.6f}"
    np.testing.assert_allclose(panel.result.u, g[:, k - 1], atol=EXACT, rtol=0)
    panel.set(label=0)
    assert panel.result.label is None and "closed form does not apply" in panel.words
    assert not any("closed form" in name for name in panel.numbers)
    panel.set(label=k, equal=False, p1=0.9)  # more than the label takes: somebody stays, so there is a choice
    assert panel.result.label is None and panel.result.whole < panel.result.careless


def test_a_plan_that_breaks_a_sum_or_a_price_that_is_too_high_is_told():
    result, p, q = transport.panel().result, np.array([0.5, 0.5]), np.array([0.6, 0.4])
    assert transport._residuals(np.array([[0.5, 0.0], [0.2, 0.3]]), p, q, 1.0) == pytest.approx((0.0, 0.1, 0.0))
    assert transport._residuals(np.array([[0.6, -0.2], [0.0, 0.6]]), p, q, 1.0) == pytest.approx((0.1, 0.0, 0.2))
    # A side that is carried whole may not be short either.
    assert transport._residuals(np.array([[0.5, 0.0], [0.1, 0.2]]), p, q, 1.0) == pytest.approx((0.2, 0.2, 0.0))
    # With 0.5 to carry, less than p or q has, a row may be short but not over.
    assert transport._residuals(np.array([[0.2, 0.0], [0.0, 0.2]]), p, q, 0.5) == (0.0, 0.0, 0.0)
    p, q, g, u, v = result.p, result.q, result.cost, result.u, result.v
    assert transport.undercut(p, q, g, u + 0.25, v, False) == pytest.approx(0.25)
    assert transport.undercut(p, 0.5 * q, g, u - 1.0, v, False) == 0.0
    assert transport.undercut(p, 0.5 * q, g, np.array([-1.0, 0.3, -1.0]), -g.max(0), False) == 0.3


def test_an_arrow_points_at_the_consumer():
    panel = transport.panel(label=3)
    heads, *_ = marks(panel.image.value, "flow polygons")
    corners = places(heads).reshape(-1, 3, 2)
    assert len(corners) == 3  # one for each road in use
    plane = panel._card.planes["flow"]
    for i, (tip, *back) in enumerate(corners):
        start, end = plane.at([0, 1], [i, 2])
        part = (tip - start)[0] / (end - start)[0]
        assert (np.array(back)[:, 0] < tip[0]).all() and 0.5 < part < 0.9
        np.testing.assert_allclose(tip, start + part * (end - start), atol=0.2, err_msg="the tip lies on the road")


def area(corners):
    (ax, ay), (bx, by), (cx, cy) = corners
    return abs((bx - ax) * (cy - ay) - (cx - ax) * (by - ay)) / 2


@pytest.mark.parametrize("p, equal", [((0.5, 0.3, 0.2), True), ((0.9, 0.3, 0.2), False)])
def test_earth_goes_from_the_piles_along_the_roads_into_the_holes_and_none_is_lost(p, equal):
    panel = transport.panel(p=p, equal=equal)
    plan, plane = panel.result.transport.plan, panel._card.planes["flow"]

    def earth():
        """The places (n, 3, 2) of all that is filled: on the left, on roads, and on the right."""
        every = [mark for mark in marks(panel.image.value, "flow polygons")[1:] if mark.fill == style.MASS]
        return np.concatenate([places(mark).reshape(-1, 3, 2) for mark in every])

    unit = area(earth()[0]) / p[0]
    piles, holes = earth()[:3], earth()[3:]
    assert [area(each) / unit for each in piles] == pytest.approx(p, rel=0.02)  # numbers have one decimal
    assert [area(each) for each in holes] == [0, 0, 0]
    panel.set(way=0.5)
    assert [area(each) / unit for each in earth()[:3]] == pytest.approx(p - plan.sum(1), abs=0.01)
    loads = marks(panel.image.value, "flow polygons")[-1]
    for (i, j), load in zip(np.ndindex(3, 3), places(loads).reshape(-1, 3, 2), strict=True):
        assert area(load) / unit == pytest.approx(plan[i, j], abs=0.01)
        np.testing.assert_allclose(load[:2].mean(0), plane.at(0.5, (i + j) / 2), atol=0.11)
    panel.set(way=1.0)
    assert [area(each) / unit for each in earth()[3:]] == pytest.approx(plan.sum(0), abs=0.01)
    assert f"{panel.result.transport.cost:.3f} is paid" in panel.words


def test_a_doubt_that_moves_to_background_costs_more_and_cross_entropy_does_not_see_it():
    panel = doubt.panel(share=0.6)
    prices, entropies = [], []
    for away in (0.0, 0.5, 1.0):
        panel.set(away=away)
        prices.append(panel.result.price)
        entropies.append(panel.result.entropy)
    left, background = panel.result.costs[1:]
    assert prices == pytest.approx([0.4 * left, 0.2 * (left + background), 0.4 * background], abs=EXACT)
    assert prices[0] < prices[1] < prices[2] and entropies == pytest.approx([-np.log(0.6)] * 3, abs=EXACT)
    level, rising = (places(marks(panel.image.value, f"{name} line")[0])[:, 1] for name in ("entropy", "price"))
    assert level[0] == level[1] and rising[1] < rising[0] - 20  # y runs downwards


def test_prices_of_a_scan_come_from_the_grey_values_in_it():
    scan, found = phantom("ct", (0, False, 1)), doubt.patient()
    labels = class_ids(scan.label, "btcv")
    means = [scan.image[labels == k].astype(np.float64).mean() for k in range(5)]
    np.testing.assert_allclose(found.prototypes, means, rtol=1e-9)
    rank = [[sum(abs(a - c) < abs(a - b) for c in means) / 5 for b in means] for a in means]
    np.testing.assert_allclose(found.ground, (np.array(rank) + np.transpose(rank)) / 2, atol=1e-6)
    assert found.part.truth[found.at] == doubt.IDS[0]
    for k in doubt.IDS[:2]:
        assert (found.part.truth == k).sum() > 100


def test_the_ring_lies_on_the_voxel_and_a_touch_of_a_chart_moves_the_doubt():
    panel = doubt.panel()
    (row, column), part = doubt.patient().at, doubt.patient().part
    ring = marks(panel.image.value, "scan points")[-1]
    at = panel._card.planes["scan"].at(column * part.spacing[1], row * part.spacing[0])
    begins = places(ring)[0]  # of the circle, at its left
    assert ring.stroke == style.LABEL and begins[1] == pytest.approx(at[1], abs=0.06) and 0 < at[0] - begins[0] < 12
    card = panel._card
    for name in ("entropy", "price"):
        x, y = card.planes[name].at(0.25, 0.5)
        panel.image.touch = {"at": [x / card.width, 1 - y / card.height], "began": [0.5, 0.5], "count": 1}
        assert panel.state["away"] == pytest.approx(0.25)
        panel.set(away=0.9)
    assert doubt.point(card, panel.result, (0.01, 0.01), True) == {}


@pytest.mark.parametrize("start", [{}, {"zeros": True}, {"alpha": 0.96, "drift": 3.0}])
def test_the_axis_of_distances_holds_all_of_the_film_and_no_empty_power_of_ten(start):
    tops = [dynamics.panel(**start, step=step)._card.planes["distances"]._look["ylim"][1] for step in (1, 16, 32)]
    largest = np.nanmax(dynamics.panel(**start, step=32).result.error)
    assert largest <= tops[0] == tops[1] == tops[2] and (tops[0] == 1 or largest > 0.5)


def test_the_names_of_distances_that_end_together_stay_inside_their_axis():
    panel = dynamics.panel(alpha=0.96)
    _, top, _, height = panel._card.planes["distances"]._ends()[0]
    names = [float(mark.y) for mark in marks(panel.image.value, "distances text") if mark.text[0] == "c"]
    assert len(names) == dynamics.K and top <= min(names) + 0.1 and max(names) <= top + height


def test_the_name_of_a_prototype_is_clear_of_the_title():
    for up in (0.0, 2.75, 3.0):
        panel = ground.panel("five organs", moving=4, up=up)
        (title,) = (each for each in marks(panel.image.value, "prototypes axes") if "plane" in each.text)
        assert min(float(each.y) for each in marks(panel.image.value, "prototypes text")) - float(title.y) > 12


def test_the_fields_of_a_table_are_side_by_side_and_hidden_until_they_are_asked_for():
    panel = transport.panel()
    (cells,) = (each for each in panel.box.children if "i2pemd-cells" in each._dom_classes)
    assert list(cells.children) == [control for name, control in panel.controls.items() if name[0] == "g"]
    assert {each.layout.display for each in cells.children} == {"none"}
    panel.more.value = True
    assert {each.layout.display for each in cells.children} == {""}


def test_a_class_has_one_colour_in_the_plane_the_curves_and_the_ages():
    panel = dynamics.panel()
    svg = panel.image.value
    tracks, curves_, ages = marks(svg, "features line"), marks(svg, "distances line"), marks(svg, "ages rect")
    inks = [(track.stroke, curve.stroke, age.fill) for track, curve, age in zip(tracks, curves_, ages, strict=True)]
    assert inks == [(ink, ink, ink) for ink in style.CLASSES] and len(set(style.CLASSES)) == 4
    ends = panel._card.planes["features"].at(*panel.result.path[-1].T)
    for ink, end in zip(style.CLASSES, ends, strict=True):
        diamonds = [mark for mark in marks(svg, "features points") if getattr(mark, "fill", "none") == ink]
        assert any(np.allclose(places(each).mean(0), end, atol=0.2) for each in diamonds)


LINEAR = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                   [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
OKLAB = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                  [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip
"""From linear sRGB to the cones, and from their cube roots to Oklab, as CSS Color 4 has them."""


def linear(colour):
    """A colour "#rrggbb" as linear sRGB."""
    rgb = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def mixed(part, one, other):
    """What `color-mix(in oklab, one part, other)` makes, as linear sRGB."""
    one, other = (OKLAB @ np.cbrt(LINEAR @ linear(colour)) for colour in (one, other))
    return np.linalg.inv(LINEAR) @ (np.linalg.inv(OKLAB) @ (part * one + (1 - part) * other)) ** 3


def contrast(one, other):
    """The contrast of two linear colours by the WCAG 2 formula, 1 to 21: text needs 4.5, marks need 3."""
    light, dark = sorted(np.clip([one, other], 0, 1) @ [0.2126, 0.7152, 0.0722], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_and_mixture_are_those_of_css():
    assert contrast(linear("#ffffff"), linear("#000000")) == pytest.approx(21)
    # css-color-4 gives oklab(62.796% 0.22486 0.12585) for red
    assert OKLAB @ np.cbrt(LINEAR @ linear("#ff0000")) == pytest.approx([0.62796, 0.22486, 0.12585], abs=1e-4)
    assert mixed(1.0, "#336699", "#ffffff") == pytest.approx(linear("#336699"), abs=1e-6)


@pytest.mark.parametrize("theme", style.THEMES)
@pytest.mark.parametrize("ground", ["paper", "shade", "band", "alarm"])
@pytest.mark.parametrize("ink", ["ink", "quiet", "blue", "orange", "red", "black", "green", "violet", "gold"])
def test_inks_read_on_each_ground(theme, ground, ink):
    colours = style.THEMES[theme]
    assert contrast(linear(colours[ink]), linear(colours[ground])) >= 4.5


@pytest.mark.parametrize("theme", style.THEMES)
@pytest.mark.parametrize("ink", style.CLASSES)
def test_names_of_classes_read_on_paper(theme, ink):
    colours = style.THEMES[theme]
    name = next(name for name in colours if ink == f"var(--i2-{name})")
    assert contrast(linear(colours[name]), linear(colours["paper"])) >= 4.5


@pytest.mark.parametrize("theme", style.THEMES)
@pytest.mark.parametrize("part", [*np.linspace(-1, 1, 81), style.TURN, style.TURN + 1e-6, -style.TURN - 1e-6])
def test_numbers_read_on_every_colour_of_a_matrix(theme, part):
    colours, (cell, ink) = style.THEMES[theme], style.heat(part)
    assert f"{style.BELOW if part < 0 else style.TOP} {100 * abs(part):.3g}%" in cell
    ink = next(colours[name] for name in colours if ink == f"var(--i2-{name})")
    assert contrast(linear(ink), mixed(abs(part), colours["below" if part < 0 else "top"], colours["paper"])) >= 4.5


@pytest.mark.parametrize("theme", style.THEMES)
@pytest.mark.parametrize("missing", ["long", "middle", "short"])
def test_source_and_target_differ_for_every_eye(theme, missing):
    """By Machado's matrices for who lacks the long, middle or short cones; in grey by their marks."""
    seen = {
        "long": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "middle": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        "short": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    }[missing]
    one, other = (np.array(seen) @ linear(style.THEMES[theme][name]) for name in ("blue", "orange"))
    apart = np.linalg.norm(np.cbrt(np.clip(one, 0, 1)) - np.cbrt(np.clip(other, 0, 1)))
    assert apart > 0.15 and style.SOURCE["marker"] != style.TARGET["marker"]


def test_results_that_agree_are_told_so_and_others_where_not(capsys, monkeypatch):
    agree("sums", [1.0, 2.0], [1.0, 2.0 + 1e-12])
    assert "sums: agree" in capsys.readouterr().out
    with pytest.raises(AssertionError, match=r"difference 1 at \[1\]"):
        agree("sums", [1.0, 3.0], [1.0, 2.0])
    monkeypatch.delenv("I2PEMD_STRICT")
    for result in ([1.0], [1.0, float("nan")]):
        capsys.readouterr()
        agree("sums", result, [1.0, 2.0])
        assert "do not agree" in capsys.readouterr().out
    with pytest.raises(BadInput, match="sums: expected numbers"):
        agree("sums", "three", 3.0)
