"""The training cockpit in a browser: a run is started, steered, paused, forked, stopped, and found again."""

import re

import pytest
from masters import plant

from browser import lab as learner

CELLS = [
    "from i2pemd_lite.panels import cockpit, start\nstart()",
    'cockpit.cockpit("runs", "classification")',
    'print("free", "hands")',
]


@pytest.fixture(scope="module")
def opened(browser, lab):
    """A notebook with a cockpit and a cell below it, run whole."""
    plant(CELLS, lab.folder / "notebooks", "cockpit")

    def open_it():
        lesson = learner.Lesson(learner.Desk(browser, lab), "cockpit")
        lesson.run_all()
        return lesson, lesson.panel("cockpit")

    return open_it


def wait(panel, pattern, seconds=90):
    """Its words, once they match."""
    panel.box.locator(learner.STATUS).filter(has_text=re.compile(pattern)).wait_for(timeout=1000 * seconds)
    return panel.status


def step_of(panel):
    return int(re.search(r"step (\d+) of", panel.status)[1])


def test_a_run_is_steered_and_a_closed_tab_loses_nothing(opened):
    lesson, panel = opened()
    panel.type("steps (empty: the profile's)", "100000")
    panel.type("name", "ours")
    panel.click("Start")
    wait(panel, r"^ours \(i2pemd\) is training: step [1-9]")

    counts = lesson.page.locator(".jp-InputPrompt").all_text_contents()
    lesson.page.locator(".jp-CodeCell").last.locator(".cm-content").click()
    lesson.page.keyboard.press("Shift+Enter")
    lesson.page.locator(".jp-InputPrompt").nth(2).filter(has_text="[4]").wait_for(timeout=20_000)
    assert counts[2] == "[3]:" and " is training" in panel.status

    panel.change(lambda: panel.drag("λ", 0.75))
    panel.screenshot("cockpit training")
    panel.click("Pause")
    wait(panel, "^ours .* is paused")
    before = step_of(panel)
    panel.click("Step")
    wait(panel, f"is paused: step {before + 1} of")

    panel.type("name", "twin")
    panel.click("Fork")
    wait(panel, rf"^twin \(i2pemd\) is paused: step {before + 1} of")
    panel.click("Resume")
    wait(panel, "^twin .* is training")
    panel.choose("run", "ours")
    wait(panel, "^ours .* is paused")
    panel.click("Stop")
    wait(panel, "^ours .* is stopped")

    lesson.desk.close()
    lesson, panel = opened()
    panel.choose("run", "twin")
    wait(panel, "^twin .* is training")
    assert step_of(panel) > before and panel.alert == ""
    panel.click("Stop")
    wait(panel, "^twin .* is stopped")

    assert lesson.errors == [] and lesson.desk.complaints == []
    panel.type("name", "../away")
    panel.click("Start")
    panel.box.locator(learner.ALERT).filter(has_text="expected the name of a folder").wait_for()
    for theme in learner.THEMES:
        lesson.theme(theme)
        panel.screenshot(f"cockpit {theme}")
        assert panel.clipped() == []
        assert panel.contrasts()[0][0] >= 4.5
    lesson.close()
    lesson.desk.close()
