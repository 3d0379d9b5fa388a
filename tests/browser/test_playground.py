"""The playground in a browser: it plays, pauses and goes back to its start, and its challenges are beaten by hand."""

import re
import time

import pytest
from masters import plant

from browser import lab as learner

CELLS = [
    "from i2pemd_lite.course import challenges, start\nfrom i2pemd_lite.panels import playground\nstart()",
    "board = playground.panel(picture=0)\nboard",
    'display(*challenges("00", board))',
    "import time\ntime.sleep(3)",
]
PICTURE, STATE = "picture", "state, to copy and paste"


@pytest.fixture(scope="module")
def lesson(browser, lab):
    plant(CELLS, lab.folder / "notebooks", "playing")
    lesson = learner.Lesson(learner.Desk(browser, lab), "playing")
    lesson.run_all()
    yield lesson
    lesson.close()
    lesson.desk.close()


@pytest.fixture
def panel(lesson):
    return lesson.panel("playground")


def picture_of(panel):
    return int(panel.value(PICTURE))


def wait_for_picture(panel, low, seconds=30):
    until = time.monotonic() + seconds
    while picture_of(panel) < low:
        assert time.monotonic() < until, f"picture {picture_of(panel)} of {low}"
        time.sleep(0.02)


def test_it_plays_pauses_and_resets(panel):
    button = panel.box.get_by_role("button", name=f"play {PICTURE}")
    panel.show()
    button.click()
    wait_for_picture(panel, 5)
    panel.box.get_by_role("button", name=f"pause {PICTURE}").click()
    panel.rest()
    paused = picture_of(panel)
    time.sleep(0.5)  # more than three steps
    assert picture_of(panel) == paused < 40
    assert panel.status.startswith(f"Picture {paused} of 40, after {3 * paused} of 120 steps")
    panel.change(lambda: panel.click("Reset"))
    assert picture_of(panel) == 0 and panel.status.startswith("Picture 0 of 40, after 0 of 120 steps")
    button.click()
    wait_for_picture(panel, 40)
    panel.rest()
    assert panel.status.startswith("Picture 40 of 40, after 120 of 120 steps") and panel.alert == ""


def test_reset_ends_the_film_of_another_setting(panel):
    panel.click("Reset")  # to picture 0, as this panel opened
    panel.rest()
    panel.drag("λ", 0.0)
    wait_for_picture(panel, 3)
    panel.click("Reset")
    panel.rest()
    # A picture of the film that was on its way to the kernel may come after.
    assert picture_of(panel) < 40 and panel.value("λ") == "1"


def test_a_state_is_pasted_and_what_is_none_is_told(panel):
    panel.change(lambda: panel.type(STATE, "picture=7 weight=20 norm=separate seed=3"))
    assert picture_of(panel) == 7 and panel.value("λ") == "20" and panel.value("seed") == "3"
    before = panel.rest()
    panel.type(STATE, "weight=plenty")
    panel.box.locator(learner.ALERT).filter(has_text="expected one of 0, 0.1, 0.5").wait_for()
    assert panel.rest() == before
    panel.change(lambda: panel.drag("λ", 0.0))
    assert panel.alert == ""
    wait_for_picture(panel, 40)  # another λ is another training, which is shown anew
    panel.rest()
    assert panel.box.get_by_label(STATE).input_value() == "weight=0 norm=separate seed=3"


WON = {
    "00d": lambda panel: (panel.drag("λ", 0.0), panel.choose("normalise CT and MR", "each by its own")),
    "00e": lambda panel: panel.drag("λ", 1.0),
    "00f": lambda panel: (
        panel.choose("settings", "built for the idea: near is harmless"), panel.type("noise of the points", "0.7")),
}


def test_the_challenges_are_beaten_by_moving_the_controls(lesson, panel):
    for number, (name, win) in enumerate(WON.items()):
        panel.click("Reset")
        box = lesson.page.locator(".i2pemd-challenge").nth(number)
        asked = learner.Panel(lesson.page, box)
        assert f"Challenge {name}." in box.text_content()
        asked.click("Check")
        box.locator(learner.STATUS).filter(has_text=re.compile(r"^Not yet\.")).wait_for(timeout=90_000)
        panel.rest()
        panel.change(lambda win=win: win(panel))
        asked.click("Check")
        box.locator(learner.STATUS).filter(has_text=re.compile(r"^Right\.")).wait_for(timeout=90_000)
    assert lesson.errors == [] and lesson.desk.complaints == []


def test_it_answers_while_a_cell_runs(lesson, panel):
    """JupyterLab sends what a slider says to a subshell, which runs beside the cell."""
    panel.click("Reset")
    panel.rest()
    cell = lesson.page.locator(".jp-CodeCell").nth(len(CELLS) - 1)  # one more comes below it
    cell.locator(".cm-content").click()
    lesson.page.keyboard.press("Shift+Enter")
    cell.locator(".jp-InputPrompt").filter(has_text="[*]").wait_for(timeout=5_000)
    panel.press(PICTURE, "ArrowRight")
    panel.box.locator(learner.STATUS).filter(has_text="After 3 of 120 steps").wait_for(timeout=10_000)
    assert "[*]" in cell.locator(".jp-InputPrompt").text_content()


def test_it_reads_in_both_themes(lesson, panel):
    for theme, width in zip(learner.THEMES, (1280, 1920), strict=True):
        lesson.theme(theme)
        lesson.resize(width)
        panel.show()
        panel.screenshot(f"playground {theme}")
        assert panel.clipped() == []
        assert panel.contrasts()[0][0] >= 4.5
