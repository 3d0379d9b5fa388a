"""Predictions without a browser: nothing is shown before the commitment, the truth after it; the journal keeps it."""

import ast
import json
import os
import re
from html import unescape
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pytest
import torch
from controls import marks

from i2pemd_lite import course
from i2pemd_lite.course import estimate, exercises, predict, sketch, start
from i2pemd_lite.course.ask import curve, feedback
from i2pemd_lite.course.publish import notebooks, teacher
from i2pemd_lite.course.record import progress
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import instance
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.slider import Control, WholeSlider


@pytest.fixture(autouse=True)
def learner(monkeypatch, tmp_path):
    """Somebody is there to answer, with a journal of their own."""
    monkeypatch.setenv("I2PEMD_STRICT", "1")
    monkeypatch.setenv("I2PEMD_HEADLESS", "0")
    monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path / "cache"))


def how_many(**given):
    given = {"choices": ["1", "2"], "answer": "2", "because": "Count.", **given}
    return predict("p01a", **{"question": "How many?", **given})


def how_long(**given):
    given = {"answer": 12.0, "because": "Measured.", "low": 0.0, "high": 60.0, "unit": "mm", **given}
    return estimate("p01b", "How long?", **given)


def how_it_grows(**given):
    x = np.arange(5.0)
    given = {"x": x, "answer": x**2, "xlabel": "step", "ylabel": "cost", "low": 0.0, "high": 20.0, **given}
    return sketch("p01c", "How does it grow?", because="It bends.", **given)


def answered(asked):
    """The question with a wrong answer put in."""
    if hasattr(asked, "radio"):
        asked.radio.value = "1"
    elif hasattr(asked, "slider"):
        asked.slider.value = 50.0
    else:
        asked.height.value = 20.0
        asked.at.value = 4
        asked.height.value = 0.0
    return asked


def read(asked):
    """What its feedback says, without the marks of HTML."""
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", asked.feedback.value)).split())


EVERY = pytest.mark.parametrize("kind", [how_many, how_long, how_it_grows])


def everything(widget):
    """The text of a widget and all within it."""
    own = [str(getattr(widget, name, "")) for name in ("value", "description", "tooltip", "alt", "placeholder")]
    return " ".join(own + [everything(child) for child in getattr(widget, "children", ())])


@EVERY
def test_nothing_is_computed_or_shown_before_the_commitment(kind):
    asked, calls = [], []
    right = {how_many: "2", how_long: 12.0, how_it_grows: np.arange(5.0) ** 2}[kind]

    def truth():
        calls.append("truth")
        return right

    def shown():
        calls.append("shown")
        return "the result itself"

    asked = kind(answer=truth, reveal=shown)
    asked.button.click()  # without an answer
    assert asked.verdict == "" and asked.missing in asked.feedback.value
    answered(asked)
    page = asked._repr_mimebundle_()
    assert calls == [] and asked.truth is None and asked.hit is None and progress.records() == []
    assert "the result itself" not in everything(asked) + page["text/html"]
    assert "<details>" not in page["text/html"] and asked.because not in everything(asked)
    asked.button.click()
    assert calls == ["truth", "shown"] and asked.hit is False
    assert "Not so" in asked.verdict and asked.because in asked.verdict
    assert "the result itself" in everything(asked)
    page = asked._repr_mimebundle_()
    assert "<details>" in page["text/html"] and "the result itself" in page["text/html"]
    assert asked.verdict in page["text/html"] and asked.question in page["text/plain"]


@EVERY
def test_a_commitment_is_final_and_recorded_once(kind):
    asked = answered(kind())
    asked.confidence.value = 1.0
    asked.commit()
    before = asked.committed
    asked.commit()
    [line] = progress.records()
    assert (line["kind"], line["name"], line["by"], line["hit"]) == ("prediction", asked.name, "learner", False)
    assert line["confidence"] == 1.0 and line["value"] == before
    inputs = [getattr(asked, name) for name in ("radio", "slider", "at", "height") if hasattr(asked, name)]
    assert all(each.disabled for each in [*inputs, asked.confidence, asked.button])
    again = answered(kind())
    assert "committed to this before" not in everything(again)
    again.commit()
    assert "committed to this before" in again.feedback.value


@EVERY
@pytest.mark.parametrize("environment", [{"I2PEMD_PROFILE": "ci"}, {"I2PEMD_HEADLESS": "1"}])
def test_without_a_learner_the_key_is_committed_at_once(kind, environment, monkeypatch):
    monkeypatch.delenv("I2PEMD_HEADLESS")
    monkeypatch.setenv("I2PEMD_PROFILE", "laptop")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    asked = kind(reveal=lambda: "the result itself")
    assert asked.hit and asked.verdict == f"{asked.known(asked.truth)} {asked.because}"  # nobody was right or wrong
    assert "the result itself" in everything(asked)
    assert [(r["by"], r["confidence"]) for r in progress.records()] == [("key", None)]
    monkeypatch.setenv("I2PEMD_HEADLESS", "0")
    assert not kind().verdict


@EVERY
def test_a_tip_goes_when_it_is_followed(kind):
    asked = kind()
    asked.commit()
    assert asked.missing in asked.feedback.value
    asked.confidence.value = 1.0
    assert asked.missing in asked.feedback.value
    answered(asked)
    assert asked.feedback.value == ""
    asked.commit()
    assert asked.verdict in read(asked)


def test_a_tip_goes_when_the_curve_is_drawn():
    asked = how_it_grows()
    asked.commit()
    drag(asked, (0.0, 2.0))
    assert asked.missing in asked.feedback.value  # one place is no curve yet
    drag(asked, (4.0, 10.0))
    assert asked.feedback.value == ""


@EVERY
@pytest.mark.parametrize("revealed", ["the result itself", instance.panel()])
def test_on_a_page_the_result_is_folded_with_the_answer(kind, revealed):
    asked = answered(kind(reveal=lambda: revealed))
    asked.commit()
    page = asked._repr_mimebundle_()["text/html"]
    before, folded = page.split("<details>", 1)
    assert folded.endswith("</details>") and asked.question in before
    shown = revealed if isinstance(revealed, str) else "data:image/svg"
    assert shown in folded and shown not in before


def test_a_choice_is_judged():
    asked = how_many()
    asked.radio.value = "2"
    asked.button.click()
    assert asked.hit and asked.verdict == "Right. Count."
    assert answered(how_many()).judge("1", "2") == (False, "Not so: the answer is “2”.")


def test_a_guess_is_the_lowest_confidence():
    assert how_many().confidence.value == 0.5
    four = predict("p01a", "Which?", list("abcd"), "a", "So.")
    assert [value for _, value in four.confidence.options][:3] == [0.25, 0.3, 0.4]
    assert how_long(within=3.0).confidence.value == pytest.approx(0.1)
    assert [value for _, value in how_long(within=26.0).confidence.options] == pytest.approx([52 / 60, 0.9, 1.0])


@pytest.mark.parametrize(("yours", "hit"), [(12.0, True), (15.0, True), (9.0, True), (15.5, False), (8.5, False)])
def test_a_number_is_right_within_its_distance(yours, hit):
    asked = how_long(within=3.0)
    asked.slider.typed = str(yours)
    asked.commit()
    assert asked.hit is hit and asked.committed == yours
    apart = f"{abs(yours - 12):.3g} mm apart" if yours != 12 else "The truth is 12 mm. Measured."
    assert "12 mm" in asked.verdict and apart in asked.verdict


def test_a_number_can_be_the_one_that_the_slider_starts_from():
    asked = how_long()
    asked.slider.typed = "forty"
    assert "expected a number from 0 to 60" in asked.feedback.value and asked.value() is None
    asked.slider.value = 31.0
    asked.slider.value = 30.0
    assert asked.value() == 30.0


def test_who_moves_nothing_is_asked_whether_the_first_number_is_meant():
    asked = how_long()
    assert asked.meant.layout.display == "none"
    asked.commit()
    assert asked.verdict == "" and asked.meant.layout.display == "" and asked.meant.description == "I mean 30 mm"
    asked.commit()  # a button that is pressed twice says no more than once
    assert asked.verdict == "" and progress.records() == []
    asked.meant.click()
    assert asked.committed == 30.0 and asked.verdict and asked.meant.layout.display == "none"
    other = how_long()
    other.commit()
    other.slider.value = 12.0
    assert other.meant.layout.display == "none" and other.feedback.value == ""


def test_numbers_of_tensors_and_arrays_are_taken():
    for answer in (torch.tensor(12.0), np.float32(12), np.array([12.0]), 12):
        asked = answered(how_long(answer=answer))
        asked.commit()
        assert asked.truth == 12.0 and isinstance(asked.truth, float)


def on_the_grid(control):
    """Whether a slider stands where the page can put its handle: it would else move it, as if it were touched."""
    steps = (control.value - control.min) / control.step
    return abs(steps - round(steps)) < 1e-6


@pytest.mark.parametrize(("low", "high"), [(0, 100), (0, 7), (0.0, 0.25), (-1.0, 0.35), (3, 1003), (0.0, 1e-3)])
def test_sliders_stand_where_the_page_leaves_them(low, high):
    asked = how_long(answer=low, low=low, high=high, within=None)
    assert on_the_grid(asked.slider)
    assert isinstance(asked.slider, WholeSlider) == (isinstance(high, int) and high > 50)
    drawn = how_it_grows(answer=[low] * 5, low=low, high=high)
    assert on_the_grid(drawn.height)
    drag(drawn, (0.0, low + 0.31 * (high - low)), (4.0, low + 0.77 * (high - low)))
    for i in range(5):
        drawn.at.value = i
        assert on_the_grid(drawn.height)
    assert drawn.value()[4] == pytest.approx(low + 0.77 * (high - low), abs=1e-3 * (high - low))


def ink(asked, colour):
    """How many marks of its picture are of this colour."""
    drawn = marks(asked.image.value)
    return sum(colour in (getattr(mark, "fill", ""), getattr(mark, "stroke", "")) for mark in drawn)


def test_both_numbers_are_drawn_on_one_line():
    asked = answered(how_long())
    assert asked.image is None
    asked.commit()
    assert ink(asked, style.BLUE) == ink(asked, style.ORANGE) == 2  # a marker and words
    assert asked.image in asked.children and "50 mm" in asked.image.value and "12 mm" in asked.image.value


def drag(asked, *places):
    """Drag in the picture through places in data coordinates."""
    card = asked.card
    for n, (x, y) in enumerate(card.planes["curve"].at(*np.transpose(places))):
        asked._touched((x / card.width, 1 - y / card.height), n == 0)


def test_a_curve_is_drawn_by_a_drag_however_quick():
    asked = how_it_grows()
    blank = asked.image.value
    assert ink(asked, style.ORANGE) == 0
    drag(asked, (0.0, 2.0), (4.0, 10.0))
    assert asked.image.value != blank
    assert asked.value() == pytest.approx([2.0, 4.0, 6.0, 8.0, 10.0], abs=1e-6)
    assert asked.at.value == 0 and asked.height.value == 2.0
    drag(asked, (2.0, 1.0))
    assert asked.value() == pytest.approx([2.0, 4.0, 1.0, 8.0, 10.0], abs=1e-6)
    assert ink(asked, style.BLUE) >= 2 and ink(asked, style.ORANGE) == 0
    asked.commit()
    assert ink(asked, style.ORANGE) >= 2
    assert asked.hit is False and "the true one goes 0 at step 0, 4 at step 2, 16 at step 4" in asked.image.value
    drawn = asked.value()
    drag(asked, (0.0, 9.0), (4.0, 9.0))
    assert asked.value() == drawn == asked.committed


def test_a_curve_is_drawn_by_the_keyboard():
    asked = how_it_grows()
    asked.height.value = 4.0
    asked.commit()
    assert asked.verdict == "" and "two places" in asked.feedback.value
    asked.at.value = 4
    asked.height.value = 16.0
    assert asked.value() == [4.0, 7.0, 10.0, 13.0, 16.0]
    asked.at.value = 2
    assert asked.height.value == 10.0 and np.isfinite(asked.drawn).tolist() == [True, False, False, False, True]


def test_a_curve_is_right_when_its_mean_distance_is_small():
    truth = [0.0, 1.0, 4.0, 9.0, 16.0]
    asked = how_it_grows(within=1.0)
    assert asked.judge([1.0, 2.0, 5.0, 10.0, 17.0], truth)[0]
    assert not asked.judge([1.0, 2.0, 5.0, 10.0, 17.1], truth)[0]
    assert asked.judge([0.0, 1.0, 4.0, 4.0, 16.0], truth)[0]
    assert "at most 5, at step = 3" in asked.judge([0.0, 1.0, 4.0, 4.0, 16.0], truth)[1]


def straight(**given):
    return how_it_grows(**{"answer": [8.0, 6.0, 4.0, 2.0, 0.0], "within": 2.0, **given})


@pytest.mark.parametrize(("yours", "said"), [
    ([8.0, 7.0, 6.5, 3.0, 0.0], "Yours bends downwards, and the true curve does not."),
    ([8.0, 8.0, 4.0, 0.0, 0.0], "bends"),  # as a softmax does: on average it has no bend
    ([8.0, 6.0, 1.0, 2.0, 3.5], "Yours falls and then rises, and the true curve does not."),
])  # fmt: skip
def test_a_bent_line_that_is_near_a_straight_one_is_not_right(yours, said):
    near = np.abs(np.subtract(yours, straight().truth_of([8.0, 6.0, 4.0, 2.0, 0.0]))).mean()
    hit, words = straight(within=max(near, 1.5)).judge(yours, [8.0, 6.0, 4.0, 2.0, 0.0])
    assert not hit and "which is near enough. But its shape is not right. " in words and said in words
    wobbling = [8.2, 5.7, 4.3, 1.8, 0.2]  # as a hand does
    assert straight().judge(wobbling, [8.0, 6.0, 4.0, 2.0, 0.0])[0]


def test_a_straight_line_that_is_near_a_bent_one_is_not_right():
    """The line of lesson 01, which passes the truth at a mean distance below the one that is near enough."""
    x = np.linspace(0, 2, 21)
    truth = np.minimum(np.minimum(0.04 + 0.4 * x, 0.06 + 0.3 * x), 0.26 + 0.1 * x)
    line = np.polyval(np.polyfit(x, truth, 1), x)
    asked = how_it_grows(x=x, answer=truth, low=0.0, high=1.0, within=0.05)
    assert np.abs(line - truth).mean() < 0.05
    hit, words = asked.judge(line.tolist(), truth.tolist())
    assert not hit and "The true curve bends downwards, and yours does not, or much less." in words
    assert asked.judge((truth + 0.02).tolist(), truth.tolist())[0]
    assert asked.judge((truth + 0.2).tolist(), truth.tolist())[1].endswith("Its shape is right.")


def test_a_key_is_right_whatever_its_shape():
    random = np.random.default_rng(0)
    for truth in random.uniform(0, 20, size=(50, 5)):
        assert how_it_grows().judge(truth.tolist(), truth.tolist())[0]


def test_two_places_have_no_shape_but_a_line():
    assert set(curve.runs([0, 1], [3.0, 1.0]).values()) == {0.0}


# Why a wrong answer tempts

TEMPTING = {"choice": {"1": "You counted from none."}, "number": {"below": "Too low.", "above": "Too high."},
            "curve": {"rises and then falls": "A hill.", "is straight": "A line."}}  # fmt: skip


def test_who_is_wrong_reads_why_that_answer_tempts_and_others_do_not(monkeypatch):
    kinds = iter(TEMPTING.values())
    wrong = {how_many: ("1", "You counted from none."), how_long: (50.0, "Too high."), how_it_grows: (None, "A line.")}
    for kind, (_, words) in wrong.items():
        told = next(kinds)
        monkeypatch.setattr(exercises, "tempts", lambda name, told=told: told)
        asked = answered(kind())
        asked.commit()
        first, *rest = re.findall(r"<p\b[^>]*>(.*?)</p>", asked.feedback.value)
        assert first.startswith("Not so") and rest == [words, asked.because]
        assert words in asked.verdict
    right = how_many()
    right.radio.value = "2"
    right.commit()
    assert right.verdict == "Right. Count."


LESSONS = notebooks.lessons()
QUESTIONS = {name: cell["source"] for path in LESSONS for cell in notebooks.read(path)["cells"]
             for name in teacher.ASKED.findall(cell["source"]) if not notebooks.is_text(cell)}  # fmt: skip
SHAPES = {*curve.runs([0, 1], [0, 1]), "is straight"}


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_tempts_is_an_answer_of_the_question(name):
    source, told = QUESTIONS[name], exercises.tempts(name)
    texts = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
    answers = texts if "predict(" in source else {"below", "above"} if "estimate(" in source else SHAPES
    assert told.keys() <= answers
    assert told or "predict(" not in source  # of a choice some wrong one is always explained
    assert all(why.endswith((".", "?")) for why in told.values())


def test_there_are_no_reasons_for_questions_that_are_not_asked():
    told = {name for number in exercises.lessons() for name in exercises._part(number, "TEMPTS")}
    assert told <= QUESTIONS.keys() and len(told) > 20


# What a lesson opens with


@pytest.mark.parametrize("path", LESSONS[1:], ids=lambda path: path.stem)
def test_a_lesson_opens_with_a_question_on_the_one_before(path):
    source = next(cell["source"] for cell in notebooks.read(path)["cells"] if cell["cell_type"] == "code")
    before = LESSONS[LESSONS.index(path) - 1].name[:2]
    assert source.endswith(f'start(seed=0, after="{before}")')


@pytest.mark.parametrize("number", [path.name[:2] for path in LESSONS[:-1]])
def test_what_is_recalled_has_one_right_choice_and_a_reason_for_each_other(number, capsys):
    asked = start(seed=0, after=number)
    assert "profile" in capsys.readouterr().out and asked.name == f"p{number}r" and asked.question.endswith("?")
    reasons = exercises.recall(number).choices
    assert len(reasons) >= 3 and sum(not why for why in reasons.values()) == 1
    wrong = next(choice for choice, why in reasons.items() if why)
    asked.radio.value = wrong
    asked.commit()
    assert asked.hit is False and reasons[wrong] in asked.verdict
    assert progress.predictions()[asked.name]["hit"] is False
    assert "Do you remember?" in asked._repr_mimebundle_()["text/plain"]


def test_a_lesson_that_is_none_has_nothing_to_recall():
    with pytest.raises(BadInput, match="after: expected a lesson with a question to recall, such as .02., found '99'"):
        start(after="99")


# Right and wrong, without colours


def test_right_wrong_and_open_differ_in_mark_form_and_words():
    cards = [feedback.card(right, "Words.") for right in (True, False, None)]
    assert [re.search(r'aria-hidden="true"[^>]*>(.)<', each)[1] for each in cards] == ["✓", "✗", "○"]
    assert len({re.search(r"border-left:6px (\w+)", each)[1] for each in cards}) == 3
    for kind in (how_many, how_long, how_it_grows):
        asked = answered(kind())
        asked.commit()
        assert "✗" in asked.feedback.value and read(asked).startswith("✗ Not so")


def test_what_is_revealed_stands_below(monkeypatch):
    asked = answered(how_many(reveal=instance.panel))
    asked.commit()
    assert isinstance(asked.revealed, instance.Panel) and asked.children[-1] is asked.revealed
    page = asked._repr_mimebundle_()["text/html"]
    assert asked.revealed.words in page.replace("&#x27;", "'") and "data:image/svg" in page
    for value, words in ((3.5, "3.5"), ("a < b", "a &lt; b"), (np.arange(2), "array([0, 1])")):
        asked = answered(how_many(reveal=lambda value=value: value))
        asked.commit()
        assert words in asked.children[-1].value and words in asked._repr_mimebundle_()["text/html"]
    asked = answered(how_many(reveal=lambda: None))
    count = len(asked.children)
    asked.commit()
    assert len(asked.children) == count


def fails():
    raise RuntimeError("no such run")


@EVERY
def test_an_error_in_the_truth_is_told_and_the_answer_stays_open(kind, monkeypatch):
    asked = answered(kind(answer=fails))
    with pytest.raises(RuntimeError):
        asked.commit()
    monkeypatch.setenv("I2PEMD_STRICT", "0")
    asked = answered(kind(answer=fails))
    asked.commit()
    assert "i2pemd-error" in asked.feedback.value and "RuntimeError: no such run" in asked.feedback.value
    assert asked.verdict == "" and not asked.button.disabled and progress.records() == []


def test_an_error_in_what_is_revealed_is_told_after_the_verdict(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "0")
    asked = answered(how_many(reveal=fails))
    asked.commit()
    assert asked.verdict and "i2pemd-error" in asked.feedback.value and len(progress.records()) == 1
    monkeypatch.setenv("I2PEMD_STRICT", "1")
    with pytest.raises(RuntimeError):
        answered(how_many(reveal=fails)).commit()


WRONG = [
    (how_many, {"answer": "3"}, "answer: expected one of"),
    (how_many, {"choices": ["1"]}, "choices"),
    (how_many, {"choices": ["1", "1"]}, "choices"),
    (how_many, {"choices": "12"}, "choices"),
    (how_many, {"question": ""}, "question: expected some text"),
    (how_many, {"because": None}, "because: expected some text"),
    (how_many, {"reveal": 3}, "reveal: expected a function"),
    (how_long, {"low": 60.0}, "low and high"),
    (how_long, {"high": float("nan")}, "high: expected a finite number"),
    (how_long, {"within": 0}, "within: expected a distance above 0"),
    (how_long, {"within": 30.0}, "within: expected less than half of the range"),
    (how_long, {"answer": 61.0}, "answer: expected a number from 0 to 60"),
    (how_long, {"answer": "twelve"}, "answer"),
    (how_long, {"answer": True}, "answer"),
    (how_long, {"answer": torch.ones(2)}, "answer"),
    (how_it_grows, {"x": [0, 2, 1, 3, 4]}, "x: expected two or more numbers that rise"),
    (how_it_grows, {"x": [[0, 1]]}, "x: expected two or more numbers that rise"),
    (how_it_grows, {"answer": [1.0, 2.0]}, "answer: expected 5 numbers"),
    (how_it_grows, {"answer": [0, 0, 0, 0, 30]}, "widen low and high"),
    (how_it_grows, {"answer": [0, 0, 0, 0, float("nan")]}, "answer: expected finite numbers"),
    (how_it_grows, {"ylabel": ""}, "ylabel: expected some text"),
]


@pytest.mark.parametrize(("kind", "given", "words"), WRONG)
def test_a_question_that_cannot_be_asked_is_told_when_it_is_made(kind, given, words):
    with pytest.raises(BadInput, match=words):
        kind(**given)


def test_names_follow_the_lessons():
    for name in ("01a", "p1a", "p01", "p01A", "p01ab", "q01a"):
        with pytest.raises(BadInput, match="name: expected p, the lesson's two digits and a letter"):
            predict(name, "How many?", ["1", "2"], "2", "Count.")


@EVERY
def test_every_control_has_a_label_and_every_picture_words(kind):
    asked = answered(kind())
    asked.commit()

    def walk(widget):
        yield widget
        for child in getattr(widget, "children", ()):
            yield from walk(child)

    for each in walk(asked):
        if isinstance(each, Control | widgets.Button):
            assert each.description
        if isinstance(each, widgets.Text):
            assert each.tooltip
    assert kind is how_many or 'aria-label=""' not in asked.image.value


def test_a_journal_line_is_plain_json():
    answered(how_it_grows(answer=lambda: torch.arange(5.0) ** 2)).commit()
    [line] = progress.journal().read_text().splitlines()
    assert json.loads(line)["value"] == [20.0, 15.0, 10.0, 5.0, 0.0]
    assert os.path.basename(progress.journal()) == "progress.jsonl"


def test_no_function_of_the_course_is_hidden_by_a_file_of_its_name():
    folder = Path(course.__file__).parent
    assert [name for name in course._HOME if (folder / f"{name}.py").exists()] == []
    assert all(callable(getattr(course, name)) for name in course._HOME if name != "progress")
    assert course.progress is progress
    with pytest.raises(AttributeError):
        _ = course.nothing


@pytest.mark.parametrize(("number", "words"), [
    (12345.678, "12346 mm"), (1e6, "1000000 mm"), (-12345.678, "-12346 mm"), (999.6, "1000 mm"), (9.999, "10 mm"),
    (3.14159, "3.14 mm"), (0.00001234, "0.0000123 mm"), (0.0, "0 mm"), (120.0, "120 mm"),
])  # fmt: skip
def test_an_estimate_writes_numbers_plainly(number, words):
    asked = estimate("p01b", "How long?", 12345.678, "Measured.", low=0, high=2_000_000, unit="mm")
    assert asked.said(number) == words
    assert asked.options == ["a number from 0 to 2000000 mm, right within 200000"]
