"""The lessons as a learner has them: in JupyterLab, in a real browser, with a mouse and a keyboard.

Each lesson is opened and run once, its exercises both open and solved; all tests then look at that page and that run.
What they look for is found by functions that return a list, so that planted defects can be seen to be found (at the
end).
"""

from functools import partial

import numpy as np
import pytest
from masters import plant, unsound

from browser import lab as learner
from i2pemd_lite.panels.engine import style

LESSONS = [path.stem for path in sorted((learner.ROOT / "notebooks").glob("*.ipynb"))]
INK = 128  # of 255 levels lie between card and ink; what a page shows in a picture's place has edges of about 20
SIZES = (1280, 1920)  # px; 950 and 1590 of them are the notebook's


@pytest.fixture(scope="module", params=LESSONS)
def lesson(request, browser, lab):
    """A lesson that was run whole, in a page of its own: one that has shown others before it draws ever more slowly."""
    lesson = learner.Lesson(learner.Desk(browser, lab), request.param)
    lesson.run_all()
    yield lesson
    lesson.close()
    lesson.desk.close()


def wrong(lesson):
    """What is wrong with a lesson that was run: errors in cells and panels, pictures that are not there, complaints."""
    found = [f"error: {text[:500]}" for text in lesson.errors]
    found += [] if lesson.panels else ["no panel"]
    for panel in lesson.panels:
        picture = panel.settled()
        if picture is None or np.ptp(picture) == 0:
            found.append(f"{panel.title}: no picture")
        elif panel.nameless or not (panel.alternative or panel.status):  # a plotly figure has the status only
            found.append(f"{panel.title}: no alternative text")
    found += [f"console: {text}" for text in lesson.desk.complaints]
    return found + [f"asked outside of this machine: {url}" for url in lesson.desk.outside]


def unmoved(panel, label, act, seconds=20):
    """What is wrong with the picture while a slider is moved by `act`: a list."""
    found = []
    with panel.watched() as seen:
        try:
            panel.change(act, seconds)
        except TimeoutError as error:
            found.append(f"{label}: {error}")
    blank = sum(np.ptp(frame) < INK for frame in seen.frames)
    found += [f"{label}: blank in {blank} of {len(seen.frames)} frames"] if blank or not seen.frames else []
    return found + ([f"{label}: sizes {seen.sizes}"] if len(seen.sizes) > 1 else [])


def other_half(panel, label):
    """A place on a slider's track that is far from its handle."""
    return 0.2 if panel.part(label) > 0.5 else 0.8


def test_it_runs_whole_and_shows_its_panels(lesson):
    assert wrong(lesson) == []
    assert unsound(lesson.notebook, learner.ROOT / "notebooks" / f"{lesson.name}.ipynb") == []


EXCUSED = {
    ("ground distance", "prototype to move"): "when all are scaled to one point, its mark does not move",
    ("ground distance", "scale all by"): "it leaves G, and so the words, as they are: that is what the lesson is about",
    ("training", "λ of this run"): "it steers the next steps of a run, and shows only in those",
    ("cockpit", "λ"): "it steers the next steps of a run, and shows only in those",
    ("cockpit", "α"): "as λ",
    ("cockpit", "learning rate"): "as λ",
    ("cockpit", "τ_low"): "as λ",
    ("cockpit", "τ_high"): "as λ",
    ("cockpit", "T"): "as λ",
}
"""Sliders that may leave the picture or the words as they are, with the reason; every other one must change them."""


def moved(panel, by_keyboard):
    """Move the first slider of a panel that is not excused by the mouse or by the keyboard, and put it back.

    Returns what is wrong, and whether the panel said something else while it was moved.
    """
    label = next((label for label in panel.sliders if (panel.title, label) not in EXCUSED), None)
    if label is None:
        return [], False
    place, value, before = panel.part(label), panel.value(label), panel.said
    key, back = ("ArrowLeft", "ArrowRight") if place > 0.5 else ("ArrowRight", "ArrowLeft")
    act = partial(panel.press, label, key, 3) if by_keyboard else partial(panel.drag, label, other_half(panel, label))
    found = unmoved(panel, label, act)
    if panel.part(label) == place:
        found.append(f"{label}: its handle did not move from {place:.0%} of its track")
    other = panel.said != before
    # What comes next finds the panel as the lesson shows it: at the ends of one slider others have no effect.
    if by_keyboard:
        panel.press(label, back, 3)
    elif label in panel.fields:
        panel.type(label, value)
    else:
        panel.drag(label, place, moves=3)
    return found, other


def test_a_slider_moves_the_picture_without_flicker_and_the_words(lesson):
    spoke = []
    kinds = {panel.title: panel for panel in reversed(lesson.panels)}  # the first of several that differ in numbers
    for panel in kinds.values():
        found, other = moved(panel, by_keyboard=False)
        assert found == [], panel.title
        spoke.append(other)
    assert any(spoke)


def test_the_keyboard_moves_a_slider(lesson):
    """Once in each lesson: a key moves every slider in the same way, and what follows is what follows the mouse."""
    panel = next(panel for panel in lesson.panels if any((panel.title, label) not in EXCUSED for label in panel.fields))
    assert moved(panel, by_keyboard=True)[0] == []


IN_THE_PICTURE = {
    "00_start_here": {
        "one voxel": [((0.80, 0.25), (0.93, 0.30), ("the rest, to background",))],
        "one prediction, 3 classes": [((0.97, 0.33), (0.97, 0.48), ())],
    },
    "02_ground_distance": {"ground distance": [((0.20, 0.35), (0.10, 0.65), ("move right", "move up"))]},
    "03_instance_to_prototype": {
        "one prediction, 3 classes": [((0.17, 0.20), (0.12, 0.25), ("p₁", "class 2's part of the rest"))],
        "one prediction, 7 classes": [((0.069, 0.30), (0.069, 0.70), ("p₁",))],
    },
    "05_segmentation": {
        "volumes": [
            ((0.22, 0.65), (0.32, 0.80), ("x, right to left", "y, front to back")),
            ((0.47, 0.70), (0.57, 0.75), ("x, right to left", "z, upwards")),
        ],
        "moments of training": [((0.30, 0.20), (0.80, 0.20), ("step",))],
        "sweep": [],  # in which one touches a trial, where there is one
    },
    "06_classification": {"moments of training": [((0.73, 0.50), (0.90, 0.50), ("step",))]},
    "08_your_own": {"moments of training": [((0.73, 0.50), (0.90, 0.50), ("step",))]},
}
"""Panels whose picture takes the pointer: drags in it, and the quantities whose sliders it moves."""


def test_a_drag_inside_of_the_picture_moves_it_and_the_sliders(lesson):
    drags = IN_THE_PICTURE.get(lesson.name, {})
    assert {panel.title for panel in lesson.panels if panel.touchable} == set(drags)
    for title, each in drags.items():
        panel = lesson.panel(title)
        for start, end, quantities in each:
            labels = [label for label in panel.sliders if label.split(" (")[0] in quantities]
            assert len(labels) == len(quantities)
            panel.drag_picture(end, start)
            panel.settled()
            before = {label: panel.value(label) for label in labels}
            assert unmoved(panel, f"{title} from {start} to {end}", partial(panel.drag_picture, start, end)) == []
            assert all(panel.value(label) != value for label, value in before.items()), before
            assert panel.alert == ""
    if lesson.name == "05_segmentation":
        panel = lesson.panel("volumes", 1)
        panel.change(partial(panel.choose, "view", "CT in 3D"))
        # Its place is there before it is drawn.
        assert any(np.ptp(panel.settled()) >= INK for _ in range(100))
        assert unmoved(panel, "the mouse", partial(panel.drag_picture, (0.2, 0.5), (0.27, 0.5))) == []
        assert unmoved(panel, "turn", partial(panel.press, "turn (°)", "ArrowRight")) == []


def test_a_screen_reader_is_told_the_name_of_every_control(lesson):
    for each in (*lesson.panels, *lesson.questions):
        each.show()  # what is far away is not laid out
        told = learner.controls(each.box)
        assert [role for role, name in told if not name] == [], each.title
        assert len(told) == each.box.locator(":is(input, select, button, summary):visible").count() > 0, each.title


def test_a_question_is_answered(lesson):
    assert lesson.questions
    for question in lesson.questions:
        answered(question)


def answered(question):
    """Answer a question of any kind by the mouse; its words are there, and its controls are closed, after Commit."""
    question.page.wait_for_function(learner.IDLE)  # what the one before has revealed moves this one down the page
    question.show()
    assert question.status == ""
    if question.touchable:
        question.drag_picture((0.15, 0.4), (0.8, 0.6))
    elif question.fields:
        label = question.fields[0]
        question.drag(label, other_half(question, label))
    else:
        question.box.get_by_role("radio").first.check()
    question.click("Commit")
    question.box.locator(learner.STATUS).first.wait_for()
    assert question.status.startswith(("Right.", "Not so:"))
    question.box.get_by_role("button", name="Commit", disabled=True).wait_for()  # told after the words


def test_bad_input_is_told_and_the_last_good_picture_stays(lesson):
    panel = next(panel for panel in lesson.panels if panel.fields)
    label = panel.fields[0]
    panel.page.mouse.move(0, 0)  # what it rests on is lit, and typing scrolls
    before, value = panel.rest(), panel.value(label)
    for text in ("half", "1e9"):
        panel.type(label, text)
        panel.box.locator(learner.ALERT).filter(has_text=f"found '{text}'").wait_for()
        assert "expected" in panel.alert
        assert panel.rest() == before
        assert panel.value(label) == value
    panel.type(label, value)
    panel.box.locator(learner.ALERT).wait_for(state="detached")


# What is cut off depends on the width, and contrast on the theme: two of the four pairs show both.
@pytest.mark.parametrize(("theme", "width"), list(zip(learner.THEMES, SIZES, strict=True)))
def test_it_reads_in_this_theme_at_this_width(lesson, theme, width):
    lesson.theme(theme)
    lesson.resize(width)
    for panel in lesson.panels:
        panel.show()  # what is far away is not laid out
        assert panel.clipped() == [], panel.title
    for box in (*lesson.panels, *lesson.questions):
        faint = [text for text in box.contrasts() if text[0] < 4.5]
        assert faint == [], box.title
    for letter, name in (("p", "blue"), ("q", "orange"), ("k", "orange"), ("G", "violet")):  # as pictures draw them
        drawn = lesson.page.locator(f"mjx-c.{style.symbol(letter)}")
        colours = set(drawn.evaluate_all("all => all.map(it => getComputedStyle(it).color)"))
        assert colours <= {"rgb({}, {}, {})".format(*bytes.fromhex(style.THEMES[theme][name][1:]))}
        assert colours or not lesson.name.startswith("03") or letter == "q"


@pytest.mark.parametrize("lesson", LESSONS[:1], indirect=True)
def test_the_first_picture_of_the_course_moves_within_half_a_minute(lesson):
    """Its kernel may take half of it, in its own processor time, from its start: that of others is not counted."""
    panel = lesson.panels[0]
    panel.show()
    panel.change(panel.box.get_by_role("button", name="play the rest, to background").click)
    (clock,) = (cell for cell in lesson.notebook["cells"] if cell["id"] == "clock-open")
    assert 0 < float(clock["outputs"][0]["data"]["text/plain"]) < 15


DEFECTS = [
    "import os\nos.environ['I2PEMD_STRICT'] = '0'\nfrom i2pemd_lite.panels import instance, transport",
    "panel = instance.panel()\npanel.title = 'empty'\npanel.refresh()\n"
    "panel.image.value = '<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"940\" viewBox=\"0 0 9 3\"/>'\npanel",
    "panel = transport.panel()\npanel.set(p1=0.0, p2=0.0, p3=0.0)\npanel",
    "panel = instance.panel()\npanel.title = 'deaf'\npanel.refresh()\n"
    "panel.controls['p1'].unobserve(panel._changed, 'value')\npanel",
    "from IPython.display import Javascript, display\n"
    "display(Javascript(\"console.error('planted'); fetch('http://192.0.2.1/').catch(() => 0)\"))",
    "import ipywidgets as widgets\nfrom IPython.display import HTML\npanel = instance.panel()\npanel.title = 'narrow'\n"
    "panel.refresh()\npanel.add_class('narrow')\n"
    "display(HTML('<style>.narrow {width: 300px} .narrow .i2pemd-picture {min-width: 1800px} .narrow input "
    "{width: 20px !important} .narrow dt, .narrow dd {float: left; opacity: .4 !important}</style>'))\npanel",
    "panel = instance.panel()\npanel.title = 'mute'\npanel.refresh()\n"
    "panel.image.value = panel.image.value.replace('aria-label', 'data-label')\npanel",
    "out = widgets.Output()\nwith out:\n    [][1]\nout",
    "widgets.interact(lambda x: {}['key'], x=widgets.IntSlider())",
    "import time\nclock = time.process_time\ntime.process_time = lambda: clock() + 9",  # nine silent seconds
    "1 / 0",
]


def test_planted_defects_are_found(desk, lab):
    plant(DEFECTS, lab.folder / "notebooks")
    lesson = learner.Lesson(desk, "planted")
    lesson.run_all()
    found = wrong(lesson)
    for words in ("ZeroDivisionError", "IndexError", "KeyError", "expected some mass", "empty: no picture",
                  "mute: no alternative text", "console: planted", "192.0.2.1"):  # fmt: skip
        assert any(words in line for line in found), words
    assert "Warning: this cell showed nothing new for 9 s" in str(lesson.notebook)
    deaf, narrow = lesson.panel("deaf"), lesson.panel("narrow")
    label = deaf.sliders[0]
    assert "stayed the same" in unmoved(deaf, label, lambda: deaf.press(label, "ArrowRight"), seconds=2)[0]
    assert any("picture" in line for line in narrow.clipped())
    assert any("not below its name" in line for line in narrow.clipped())
    assert any("a slider's track of" in line for line in narrow.clipped())
    assert narrow.contrasts()[0][0] < 4.5
    narrow.show()
    assert all(name for _, name in learner.controls(narrow.box))
    narrow.box.locator(learner.LABEL).first.evaluate("label => label.remove()")
    assert not all(name for _, name in learner.controls(narrow.box))
    second, pictures = deaf.sliders[1], deaf.box.locator(learner.PICTURE)

    def flicker():
        deaf.drag(second, 0.2)
        for shown in 5 * ("hidden", "visible"):  # not every frame is put out while others are on their way
            lesson.page.wait_for_timeout(100)
            pictures.evaluate(f"picture => {{ picture.style.visibility = '{shown}' }}")

    assert "blank in" in unmoved(deaf, second, flicker)[0]

    def jump():
        deaf.drag(second, 0.8)
        pictures.evaluate("picture => { picture.style.width = '500px' }")
        lesson.page.wait_for_timeout(200)

    assert "sizes" in unmoved(deaf, second, jump)[0]
    lesson.close()
