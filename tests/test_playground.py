"""The playground: its training against NumPy, its state as a line of text, regions, and what its challenges take."""

import base64
import json
import re
import threading
import zlib
from html import unescape

import numpy as np
import pytest
import torch
from controls import move_every_control
from test_panels import (  # noqa: F401 (they ask the fixture `case`)
    test_a_page_without_a_kernel_still_shows_the_picture,
    test_every_control_has_a_label_and_every_picture_its_words,
    test_marks_have_keys_of_their_own_and_colours_that_themes_know,
)

from i2pemd_lite.course import exercises
from i2pemd_lite.course.about.independent import ground_of
from i2pemd_lite.course.ask.challenge import challenges
from i2pemd_lite.course.record import progress
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import playground
from i2pemd_lite.panels.engine import moving
from i2pemd_lite.panels.playground import NAMED, OWN, START, Training, called, settings, written

EXACT = 1e-9  # of float64 sums of a hundred terms
FIXED = "the same, with all costs 1"
BUILT = NAMED["built for the idea: near is harmless"]


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")


def made(**given):
    return Training(**settings(START | given))


def holds(result):
    for look in (*result.mine, *result.twin):
        K, G = len(look.prototypes), look.ground
        costs = ground_of(look.prototypes), 1 - np.eye(K), np.zeros((K, K))
        assert min(abs(G - each).max() for each in costs) < EXACT
        assert 0 <= look.harm <= 1 and 0 <= look.decided <= 1 and 0 <= look.accuracy <= 100
    assert len(result.mine) == len(result.twin) == result.picture + 1
    assert not result.twin[-1].ground.any()


@pytest.fixture(scope="module")
def case():
    """As in the tests of all panels: a panel, what holds of its results, and how it was made."""
    panel = playground.panel(picture=2)
    return panel, holds, playground.panel


def test_every_control_works_at_both_ends_and_in_the_middle(case):
    move_every_control(case[0], holds)


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def through(weights, x, own, groups):
    """Features and logits in NumPy."""
    a, b, c, a0, b0, c0 = weights
    parts = []
    for theirs, mine in zip(np.split(x, groups), np.split(own, groups), strict=True):
        h, theirs = np.tanh(mine @ a + a0), np.tanh(theirs @ a + a0)
        parts.append((theirs - h.mean(0)) / (h.std(0, ddof=1) + 0.05))
    features = np.concatenate(parts) @ b + b0
    return features, features @ c + c0


def loss(weights, x, y, groups, weight, G):
    p = softmax(through(weights, x, x, groups)[1])
    cost = [(p[y == k] @ G[:, k]).mean() for k in np.unique(y)]
    return -np.log(p[np.arange(len(y)), y]).mean() + weight * np.mean(cost)


def slopes(weights, f, step=1e-6):
    """The gradient of f(weights) by central differences."""
    found = [np.zeros_like(w) for w in weights]
    for w, slope in zip(weights, found, strict=True):
        for at in np.ndindex(w.shape):
            middle = w[at]
            w[at] = middle + step
            above = f(weights)
            w[at] = middle - step
            slope[at], w[at] = (above - f(weights)) / (2 * step), middle
    return found


@pytest.mark.parametrize("norm", ["joint", "separate"])
@pytest.mark.parametrize("ground", ["learned", "fixed", "none"])
def test_two_steps_are_those_of_numpy(norm, ground):
    one = made(norm=norm, ground=ground, weight=5, classes=5)
    x, y, groups = one.x.numpy(), one.y.numpy(), 1 + (norm == "separate")
    weights = [w.detach().numpy().copy() for w in one.weights]
    means = [np.array([through(weights, x, x, groups)[0][y == k].mean(0) for k in range(5)])]
    c, speed = means[0], [0 * w for w in weights]
    for _ in range(2):
        G = {"learned": ground_of(c), "fixed": 1 - np.eye(5), "none": np.zeros((5, 5))}[ground]
        np.testing.assert_allclose(one.costs(), G, atol=EXACT, rtol=0)
        features = through(weights, x, x, groups)[0]
        push = slopes(weights, lambda w, G=G: loss(w, x, y, groups, 5, G))
        speed = [0.9 * v - 0.05 * g for v, g in zip(speed, push, strict=True)]
        weights = [w + v for w, v in zip(weights, speed, strict=True)]
        c = 0.8 * c + 0.2 * np.array([features[y == k].mean(0) for k in range(5)])
        one.step()
        for mine, theirs in zip(one.weights, weights, strict=True):
            np.testing.assert_allclose(mine.detach(), theirs, atol=1e-8, rtol=0)  # of central differences
        np.testing.assert_allclose(one.bank.prototypes, c, atol=1e-8, rtol=0)


def test_the_figures_are_of_points_that_it_does_not_learn_from():
    one = made(norm="separate", alike=0.9)
    look, (x, y) = one.looks(3)[-1], (each.numpy() for each in one.test)
    assert not np.isin(x[:, 0], one.x.numpy()[:, 0]).any()
    features, logits = through([w.detach().numpy() for w in one.weights], x, one.x.numpy(), 2)
    p, centres = softmax(logits), 2.2 * np.array([[1, 0], [0.9, 0.1], [-1, 0], [0, -1]])
    harm = np.linalg.norm(centres[:, None] - centres, axis=2)
    harm /= harm.max()
    np.testing.assert_allclose(look.features, features[::10], atol=EXACT)
    assert look.harm == pytest.approx(np.mean([p[n] @ harm[k] for n, k in enumerate(y)]), abs=EXACT)
    assert look.decided == pytest.approx(harm[p.argmax(1), y].mean(), abs=EXACT)
    right = 100 * (p.argmax(1) == y)
    assert [look.ct, look.mr] == pytest.approx([right[:400].mean(), right[400:].mean()])
    assert look.accuracy == pytest.approx(right.mean())
    np.testing.assert_array_equal(look.wrong, right[::10] == 0)


def test_mr_is_shifted_turned_and_scaled():
    still, moved = (playground.points(3, shift, 0.5, 0.6, 7, 4) for shift in (0.0, 1.0))
    (x, y), (z, _) = ((each[0].numpy(), each[1]) for each in (still, moved))
    assert y.tolist() == 2 * [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    np.testing.assert_array_equal(x[:12], z[:12])
    turn = np.exp(-0.9j)  # in complex numbers, clockwise
    expected = 0.6 * (x[12:] @ [1, 1j]) * np.conj(turn) + 2.0 - 1.2j
    np.testing.assert_allclose(z[12:] @ [1, 1j], expected, atol=EXACT)


def test_without_i2pemd_a_training_is_its_own_twin():
    for off in ({"weight": 0}, {"ground": "none"}):
        result = playground.compute(START | {"picture": 3} | off)
        for mine, twin in zip(result.mine, result.twin, strict=True):
            np.testing.assert_array_equal(mine.features, twin.features)
    result = playground.compute(START | {"picture": 3})
    assert abs(result.mine[-1].features - result.twin[-1].features).max() > 1e-3


def test_a_picture_is_the_same_played_at_once_or_asked_by_several_threads():
    played, asked = made(), made()
    for n in range(5):
        played.looks(n)
    threads = [threading.Thread(target=asked.looks, args=(n,)) for n in (4, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, other = (each.looks(4) for each in (played, asked))
    assert len(one) == len(other) == 5
    np.testing.assert_array_equal(one[-1].features, other[-1].features)


def test_the_threads_of_torch_are_given_back():
    found = []

    def look():
        torch.set_num_threads(3)  # of this thread alone
        made().looks(0)
        found.append(torch.get_num_threads())

    before = torch.get_num_threads()
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    torch.set_num_threads(before)  # also of threads that are yet to come
    assert found == [3]


def test_the_end_is_the_last_picture():
    last, end = playground.compute(START).mine[-1], playground.ended(START, START["seed"])
    np.testing.assert_array_equal(last.features, end.features)
    assert (last.harm, last.mmd) == (end.harm, end.mmd)


def test_only_one_thread_at_a_time_sets_the_threads_of_torch():
    within, entered = threading.Event(), []

    def enter():
        within.set()
        with playground.alone():
            entered.append(True)

    thread = threading.Thread(target=enter)
    with playground.alone():
        thread.start()
        within.wait()
        thread.join(0.2)
        assert not entered
    thread.join()
    assert entered


@pytest.mark.parametrize("classes", [3, 4, 5])
def test_the_first_half_of_what_is_drawn_is_of_ct(classes):
    one = made(classes=classes)
    features, half = one.looks(0)[0].features, classes * playground.TEST // 10
    assert len(features) == 2 * half
    ct = one.forward(one.test[0])[0][: classes * playground.TEST].detach().numpy()
    assert (abs(features[:, None] - ct).sum(2).min(1) < EXACT).tolist() == half * [True] + half * [False]


def test_what_does_not_settle_is_seen_and_said():
    wild, calm = playground.panel(weight=100, rate=0.5, picture=8), playground.panel(picture=8)
    assert "that of guessing." in wild.words and "guessing" not in calm.words
    look = wild.result.mine[-1]
    assert abs(look.features).max() > 200 and look.ce > 10
    plane = wild._card.planes["features"]
    left, top, wide, high = plane._ends()[0]
    places = plane.at(*np.concatenate([look.features, look.prototypes]).T)
    assert (places >= (left, top)).all() and (places <= (left + wide, top + high)).all()


def test_without_i2pemd_there_is_no_weight_to_set(board):
    weight = board.controls["weight"]
    shown = lambda: [each for each in board.box.children if each.layout.display != "none"]  # noqa: E731
    assert weight in shown()
    board.set(ground="none")
    assert weight not in shown() and "Features, without I2PEMD" in board.image.value
    board.set(ground="learned")
    assert weight in shown()


def test_a_comparison_is_of_the_same_seeds():
    state = START | BUILT
    mine, twin = (np.array([playground.ended(each, seed).harm for seed in (7, 8, 9)])
                  for each in (state, state | playground.TWIN))  # fmt: skip
    d = (mine - twin) / twin.mean()
    error = np.sqrt(((d - d.mean()) ** 2).sum() / 2 / 3)
    found = playground.compared(state, playground.TWIN, "harm", (7, 8, 9))
    assert found == pytest.approx((d.mean(), error, (mine < twin).sum()))


@pytest.mark.parametrize("classes", [3, 5])
def test_regions_are_where_a_class_has_the_largest_logit(classes):
    look = made(classes=classes).looks(4)[-1]
    places = np.random.default_rng(0).uniform(-3, 3, (200, 2))
    within = np.zeros((200, classes), bool)
    for k in range(classes):
        corners = playground.region(look, k, 3.0)
        if len(corners):
            along, to = np.roll(corners, -1, 0) - corners, places[:, None] - corners
            within[:, k] = (along[:, 0] * to[..., 1] >= along[:, 1] * to[..., 0]).all(1)
    np.testing.assert_array_equal(within.argmax(1), (places @ look.lines + look.offsets).argmax(1))
    assert (within.sum(1) == 1).all()


def test_every_class_has_a_shade_and_its_number_in_its_region():
    marks = "".join(playground.panel(picture=20, classes=5, alike=0.0)._card.marks().values())
    regions = re.findall(r'data-k="features polygons \d+"[^>]* fill="([^"]*)"', marks)
    numbers = re.findall(r'data-k="features text \d+"[^>]*>(\d)<', marks)
    assert len(regions) == len(set(regions)) == 5 and sorted(numbers) == list("12345")


@pytest.fixture(scope="module")
def board():
    return playground.panel(picture=0)


def test_a_line_of_text_says_a_state_and_brings_it_back(board):
    random = np.random.default_rng(0)
    for _ in range(20):
        state = {}
        for name, control in board.controls.items():
            options = [each[1] if isinstance(each, tuple) else each for each in getattr(control, "options", ())]
            if not options:
                count = round((control.max - control.min) / control.step)
                options = [type(control.value)(round(control.min + n * control.step, 3)) for n in range(count + 1)]
            state[name] = options[random.integers(len(options))]
        assert board.read(written(state)) == state


BAD = {
    "abc": "expected words such as weight=20, with picture, weight, .* before =, found 'abc'",
    "": "expected words such as weight=20",
    "weight": "weight: expected one of 0, 0.1, .*, 100, found ''",
    "weight=3": "weight: expected one of 0, 0.1, .*, 100, found 3",
    "norm=both": "norm: expected one of joint, separate, found 'both'",
    "shift=nan": "shift: expected a number from 0 to 1.5, found 'nan'",
    "shift=-1": "shift: expected a number from 0 to 1.5, found -1",
    "seed=1.5": "seed: expected a whole number from 0 to 9, found 1.5",
    "classes=99999999999999999999": "classes: expected a whole number from 3 to 5",
    "weight=20 colour=red": "found 'colour=red'",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_line_is_told_and_the_state_stays(board, monkeypatch, line):
    with pytest.raises(BadInput, match=BAD[line]):
        board.read(line)
    monkeypatch.delenv("I2PEMD_STRICT")
    before, good = board.state, board.line.value
    board.line.value = f"{line} " if line == good else line
    assert board.state == before and "expected" in unescape(board.error.value)
    assert "i2pemd-wrong" in board.line._dom_classes
    board.line.value = good
    assert board.error.value == "" and board.state == before and "i2pemd-wrong" not in board.line._dom_classes


def test_an_error_stays_though_the_line_says_another_state(board, monkeypatch):
    monkeypatch.delenv("I2PEMD_STRICT")
    monkeypatch.setattr(board, "_draw", lambda card, result: 1 / 0)
    board.controls["noise"].value = 0.9
    assert "ZeroDivisionError" in board.error.value and board.line.value == written(board.state)


def test_three_controls_are_there_at_once_and_all_others_under_more(board):
    children = board.box.children
    board.set(shift=0.7)
    assert board.box.children == children and children[-1] is board.line
    seen = [child for child in children if child.layout.display != "none"]
    assert seen == [board.controls["picture"], board.controls["weight"], board.named]
    assert {*children} == {*board.controls.values(), board.named, board.line}


def test_a_page_has_the_whole_film_first(board):
    page = moving.recorded(board)
    kept = {each["label"]: len(each["words"]) for each in page["controls"]}
    assert kept == {"picture": 41, "λ": 10, "normalise CT and MR": 2, "G": 3}
    frames = json.loads(zlib.decompress(base64.b64decode(page["packed"])))["frames"]
    assert all("Its other controls need JupyterLab." in below for _, _, below, _ in frames.values())
    assert list(frames)[:41] == ["", *(f"0:{n}" for n in range(1, 41))]


def test_list_line_and_controls_say_the_same():
    panel = playground.panel(picture=0)
    assert (panel.named.value, panel.line.value) == ("as it opens", "picture=0 weight=1")
    panel.line.value = written(START | NAMED[FIXED] | {"picture": 1, "seed": 3})
    assert panel.state == START | NAMED[FIXED] | {"picture": 1, "seed": 3} and panel.named.value == FIXED
    panel.controls["shift"].value = 0.5
    assert panel.named.value == OWN and "shift=0.5" in panel.line.value
    panel.named.value = FIXED
    assert panel.state == START | NAMED[FIXED] | {"picture": 0} and panel.controls["picture"].films == 2
    panel.line.value = "weight=100"
    assert panel.state == START | {"weight": 100} and panel.named.value == OWN
    reset = next(button for box in panel.children for button in box.children if button.description == "Reset")
    reset.click()
    assert panel.state == START | {"picture": 0} and panel.named.value == "as it opens"
    assert all(called(START | state) == name for name, state in NAMED.items())


SOLVED = {
    "00d": {"weight": 0, "norm": "separate"},
    "00e": {"weight": 100},
    "00f": BUILT | {"noise": 0.7},
}
MISSED = [
    ("00d", {"norm": "separate"}, "Set λ to 0"),
    ("00d", {"weight": 0}, "^Look under “more” for the normalisation.$"),
    ("00d", {"weight": 0, "norm": "separate", "shift": 0.4}, "^Move MR by 0.5 at least.$"),
    ("00e", {"weight": 0}, "its own twin"),
    ("00e", {}, "twin: [+−]"),
    ("00f", {"ground": "none"}, "its own twin"),
    ("00f", BUILT, "in the list"),
    ("00f", {"classes": 5}, "changes by −"),
]


@pytest.mark.parametrize("name", exercises.challenges("00"))
def test_a_challenge_is_beaten_by_a_state_whatever_its_picture_and_seed(name):
    right, said = exercises.challenges("00")[name].judge(START | SOLVED[name] | {"picture": 0, "seed": 5})
    assert right, said


@pytest.mark.parametrize(("name", "state", "told"), MISSED)
def test_another_state_is_refused_with_what_is_missing(name, state, told):
    right, said = exercises.challenges("00")[name].judge(START | state)
    assert not right
    assert re.search(told, said), said


def test_a_lesson_that_is_none_has_no_challenges():
    assert exercises.challenges("99") == exercises.challenges("01") == exercises.of_lesson("99") == {}


def test_a_challenge_can_be_tried_again_and_is_noted(board, monkeypatch, tmp_path):
    monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path))
    monkeypatch.setenv("I2PEMD_HEADLESS", "0")
    asked = challenges("00", board)[0]
    assert progress.records() == [] and asked.challenge.question in asked._repr_mimebundle_()["text/html"]
    asked.check()
    assert not asked.right and asked.verdict.startswith("Not yet. Set λ to 0")
    monkeypatch.setattr(
        asked.challenge.judge.__globals__["playground"], "ended", lambda state, seed: made().looks(0)[0]
    )
    board.set(weight=0, norm="separate")
    asked.check()
    assert asked.verdict.startswith("Not yet. Over five other seeds, the MMD is") and "✗" in asked.feedback.value
    assert asked.verdict.removeprefix("Not yet. ") in unescape(asked.feedback.value)
    board.set(**board._start)
    assert [(each["kind"], each["right"]) for each in progress.records()] == [("challenge", False)] * 2
    assert progress.checks() == {}  # which are of exercises
