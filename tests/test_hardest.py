"""The panel of the hardest images: its order, its pages and what it says, against a slow computation by hand."""

import base64
import dataclasses
import io

import numpy as np
import pytest
import torch
from controls import marks, move_every_control
from PIL import Image

from i2pemd_lite import classification
from i2pemd_lite.classification import CLASSES
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import selection
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.card import Card
from i2pemd_lite.panels.selection import ALL, BLANK, HARDEST, ORDERS, PAGE, Frozen, draw_hardest, freeze, hardest


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")


@pytest.fixture(scope="module")
def runs(skin):
    """Three runs, two of them a few steps old."""
    data = classification.load(skin)
    made = {name: classification.train(name, data, profile="ci") for name in ("baseline", "mixmatch", "vat")}
    for name in ("baseline", "mixmatch"):
        next(made[name]), next(made[name])
    return made


@pytest.fixture(scope="module")
def made(runs):
    return selection.panel(freeze(runs["vat"], 1, beside=runs), "hardest images")


@pytest.fixture
def panel(made):
    """The one of this file, put back after a test that moved it."""
    before = made.state
    yield made
    if made.state != before:
        made.set(**before)


@pytest.fixture(scope="module")
def answers(runs):
    """{method: {image: its scores}} and {image: its class}, image by image, without the panel."""
    scores, truth = {}, {}
    for name, run in runs.items():
        learner = run.learner
        with learner.evaluating():
            for i in learner.test.tolist():
                scores.setdefault(name, {})[learner.data.ids[i]] = learner.probabilities(torch.tensor([i]))[0].numpy()
                truth[learner.data.ids[i]] = int(learner.data.labels[i])
    return scores, truth


def by_hand(scores, truth, order, kind=ALL):
    """{image: the value of its order}, hardest first."""
    found = {}
    for image, k in truth.items():
        if kind in (ALL, CLASSES[k]):
            t = [float(answers[image][k]) for answers in scores.values()]
            found[image] = sum(t) / len(t) if order == HARDEST else max(t) - min(t)
    return dict(sorted(found.items(), key=lambda pair: pair[1], reverse=order != HARDEST))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", [ALL, "NV", "MEL"])
def test_the_pages_hold_every_image_once_in_the_stated_order(answers, panel, order, kind):
    scores, truth = answers
    expected = by_hand(scores, truth, order, kind)
    panel.set(order=order, kind=kind)
    pages = range(1, panel.controls["page"].max + 1)
    cases = [case for page in pages for case in panel._compute({**panel.state, "page": page}).cases]
    assert [case.place for case in cases] == list(range(1, len(expected) + 1))
    assert {case.id for case in cases} == set(expected)
    # By value: a batch rounds the scores otherwise than an image alone, so near ties may change places.
    np.testing.assert_allclose([case.value for case in cases], list(expected.values()), atol=1e-5, rtol=0)
    for case in cases:
        assert case.truth == truth[case.id] and case.value == pytest.approx(expected[case.id], abs=1e-5)
        np.testing.assert_allclose(case.scores, [answers[case.id] for answers in scores.values()], atol=1e-5, rtol=0)


def test_each_case_shows_its_own_picture(runs, panel):
    data = runs["baseline"].learner.data
    for case in panel._compute({**panel.state, "page": 2}).cases:
        picture = data.images[data.ids.index(case.id)].permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(case.image, picture)


def test_the_true_class_is_framed_and_the_answer_of_each_method_bold(panel):
    for page in (1, panel.controls["page"].max):
        panel.set(page=page)
        svg, titles = panel.image.value, marks(panel.image.value, "paper text")
        for n, (case, title) in enumerate(zip(panel.result.cases, titles, strict=True)):
            ends = panel._card.planes[f"scores {n}"].at([case.truth - 0.5, case.truth + 0.5], [-0.5, 2.5])
            for frame in marks(svg, f"scores {n} rect"):
                place = [float(part) for part in (frame.x, frame.y, frame.width, frame.height)]
                np.testing.assert_allclose(place, [*ends[0], *(ends[1] - ends[0])], atol=0.051)  # one decimal
            (image,) = marks(svg, f"image {n} image")
            with Image.open(io.BytesIO(base64.b64decode(image.href.split(",")[1]))) as picture:
                np.testing.assert_array_equal(picture, case.image)
            assert [cell.fill for cell in marks(svg, f"scores {n} cell")] == [
                style.heat(value)[0] for value in case.scores.flatten()
            ]
            numbers = np.reshape(marks(svg, f"scores {n} number"), case.scores.shape)
            for row, values in zip(numbers, case.scores, strict=True):
                assert [hasattr(number, "font_weight") for number in row].index(True) == values.argmax()
                written = ["" if value < BLANK else style.number(value) for value in values]
                assert [number.text for number in row] == written
            assert title.text.startswith(f"{case.place}. {CLASSES[case.truth]} ")


@pytest.mark.parametrize("order", ORDERS)
def test_the_words_say_which_images_these_are_and_in_which_order(panel, order):
    panel.set(order=order, page=2)
    which = "The hardest for all methods" if order == HARDEST else "Those on which the methods disagree most"
    said = f"Images {PAGE + 1} to {2 * PAGE} of {panel.result.count} held-back ones. {which} come first. {PAGE + 1}: "
    assert panel.words.startswith(said)


def test_places_without_an_image_are_empty(panel):
    panel.controls["page"].value = panel.controls["page"].max
    panel.set(kind="MEL")
    panel.controls["page"].value = panel.controls["page"].max
    shown = len(panel.result.cases)
    assert 0 < shown < PAGE, "choose a class that fills no last page"
    assert list(panel._card.planes) == [f"{part} {n}" for n in range(shown) for part in ("image", "scores")]
    assert len(marks(panel.image.value, "paper")) == shown


def test_every_control_works_at_both_ends_and_in_the_middle(panel):
    def holds(result):
        if result.view != "hardest images":
            return
        assert 1 <= len(result.cases) <= PAGE and result.page == panel.state["page"] <= panel.controls["page"].max
        assert result.missed["all methods"] <= min(result.missed.values()) <= result.count
        values = [case.value for case in result.cases]
        assert values == sorted(values, reverse=panel.state["order"] != HARDEST)

    move_every_control(panel, holds)


def test_a_class_with_fewer_pages_shortens_the_slider_and_a_state_comes_back(runs, answers, panel, tmp_path):
    panel.controls["page"].value = panel.controls["page"].max
    panel.controls["kind"].value = "MEL"
    there = int((np.array(list(answers[1].values())) == CLASSES.index("MEL")).sum())
    assert panel.controls["page"].max == -(-there // PAGE) == panel.state["page"]
    panel.save(tmp_path / "state.json")
    other = selection.panel(freeze(runs["vat"], 1, beside=runs))
    other.load(tmp_path / "state.json")
    assert other.state == panel.state and other.image.value == panel.image.value


def test_the_words_say_what_each_method_answered(runs, answers, panel):
    scores, truth = answers
    assert panel._repr_mimebundle_()["image/svg+xml"] == panel.image.value
    for case in panel.result.cases:
        sentence = panel.words[panel.words.index(f" {case.place}: {CLASSES[case.truth]}, called") :]
        sentence = sentence[: sentence.index(").") + 1]
        for part in sentence.split("called ")[1].split("; "):
            called, methods = part.split(" by ")
            for method in (word.split(" (")[0] for word in methods.split(", ")):
                assert CLASSES[scores[method][case.id].argmax()] == called
    for method in runs:
        wrong = sum(int(scores[method][image].argmax()) != k for image, k in truth.items())
        assert panel.numbers[f"wrong: {method}"] == f"{wrong} of {len(truth)}"
    every = sum(all(int(scores[method][image].argmax()) != k for method in runs) for image, k in truth.items())
    assert panel.numbers["wrong: all methods"] == f"{every} of {len(truth)}"


def test_scores_are_computed_once(runs, monkeypatch):
    asked = []
    of = type(runs["vat"].learner).probabilities
    monkeypatch.setattr(type(runs["vat"].learner), "probabilities", lambda me, *a: asked.append(me) or of(me, *a))
    panel = selection.panel(freeze(runs["vat"], 1, beside=runs), "hardest images", kind="NV")
    panel.set(order="methods disagree most", page=2)
    assert len(asked) == 3


def test_the_best_weights_answer_and_the_run_stays_as_it_was(runs):
    run = runs["baseline"].fork()
    zero = {name: torch.zeros_like(value) for name, value in run.learner.state_dict().items()}
    run.best = (99.0, 1, zero)
    before = {name: value.clone() for name, value in run.learner.state_dict().items()}
    cases = hardest(freeze(run, 1), HARDEST, ALL, 1).cases
    np.testing.assert_allclose([case.scores for case in cases], 1 / 7, atol=1e-6)
    assert all(torch.equal(value, before[name]) for name, value in run.learner.state_dict().items())


def test_frozen_batches_are_the_papers_however_small_those_of_the_training_were(runs):
    run = runs["baseline"]
    small = classification.train("i2pemd", run.learner.data, "ci", unlabelled=12, top=8)
    assert freeze(small, 2).o.shape == freeze(run, 2).o.shape == (2, 36, 7)


def held_back(methods, scores, truth, images=None, ids=None):
    """`Frozen` answers to held-back images alone."""
    return Frozen(None, None, None, methods, scores, truth, images, ids, None)


def test_a_class_that_no_image_is_of():
    images = np.zeros((2, 3, 3, 3), np.uint8)
    result = hardest(held_back(("a",), np.full((1, 2, 7), 1 / 7), np.array([0, 1]), images, "xy"), HARDEST, "VASC", 1)
    assert (result.cases, result.count) == ([], 0)
    card = Card(9.4, 3.9)
    draw_hardest(card, result)
    assert not card.marks()


def test_equal_images_keep_their_order():
    t = np.arange(99) * 7 % 5 / 10  # of method a; b gives 0
    answers = held_back(
        ("a", "b"), np.stack([t, 0 * t])[..., None].repeat(7, 2), np.zeros(99, int), range(99), range(99)
    )
    pages = range(1, -(-99 // PAGE) + 1)
    for order, sign in zip(ORDERS, (1, -1), strict=True):
        ids = [case.id for page in pages for case in hardest(answers, order, ALL, page).cases]
        assert ids == sorted(range(99), key=lambda i: sign * t[i])  # noqa: B023


def test_runs_that_cannot_stand_beside_each_other(runs, skin):
    for some, number in ((dict.fromkeys("abcde", runs["vat"]), 5), ({}, 0)):
        with pytest.raises(BadInput, match=f"beside: expected one to 4 runs, found {number}"):
            freeze(runs["vat"], 1, beside=some)
    learner = runs["vat"].learner
    other = dataclasses.replace(learner.data, fingerprint="other")
    for name, value in (("test", learner.test[1:]), ("data", other)):
        twin = runs["vat"].fork()
        setattr(twin.learner, name, value)
        with pytest.raises(BadInput, match="beside: expected runs with the same held-back images, found others in b"):
            freeze(runs["vat"], 1, beside={"a": runs["vat"], "b": twin})
