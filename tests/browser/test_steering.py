"""The training cockpit in a browser: a run is started, steered, paused, forked, stopped, and found again."""

import re
from functools import partial

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
    """A notebook of these cells, run whole, and its panel of this title."""

    def open_it(title, cells):
        plant(cells, lab.folder / "notebooks", title)
        lesson = learner.Lesson(learner.Desk(browser, lab), title)
        lesson.run_all()
        return lesson, lesson.panel(title)

    return open_it


def wait(panel, pattern, seconds=90):
    """Its words, once they match."""
    panel.box.locator(learner.STATUS).filter(has_text=re.compile(pattern)).wait_for(timeout=1000 * seconds)
    return panel.status


def step_of(panel):
    return int(re.search(r"step (\d+) of", panel.status)[1])


def work_at_the_table(panel):
    """By the keyboard: a note, a comparison, a command, and a run that is deleted at the second time of asking."""
    page, named = panel.page, partial(panel.box.get_by_label, exact=True)
    panel.pick("twin")
    panel.type("note on twin", "as it was")
    named("compare ours").press("Space")
    assert not named("compare ours").is_checked() and named("compare twin").is_checked()
    panel.box.get_by_role("button", name="Copy as command").press("Enter")
    text = named("what was copied")
    page.wait_for_function("it => it.value", arg=text.element_handle())
    assert text.input_value().startswith("python -m i2pemd_lite train classification i2pemd --profile ci --seed 0")
    assert [role for role, name in learner.controls(panel.box) if not name] == []
    for delete in (False, True):
        named("delete ours").press("Enter")
        assert "Nothing else is touched" in panel.box.get_by_role("dialog", name="Delete a run").text_content()
        if delete:
            panel.screenshot("cockpit delete")
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert named("note on ours").count() == 1 or delete
    named("note on ours").wait_for(state="detached")
    assert named("twin").is_checked() and named("note on twin").input_value() == "as it was"


def test_a_run_is_steered_and_a_closed_tab_loses_nothing(opened):
    lesson, panel = opened("cockpit", CELLS)
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
    panel.pick("ours")
    wait(panel, "^ours .* is paused")
    panel.click("Stop")
    wait(panel, "^ours .* is stopped")

    lesson.desk.close()
    lesson, panel = opened("cockpit", CELLS)
    panel.pick("twin")
    wait(panel, "^twin .* is training")
    assert step_of(panel) > before and panel.alert == ""
    panel.click("Stop")
    wait(panel, "^twin .* is stopped")

    assert lesson.errors == [] and lesson.desk.complaints == []
    work_at_the_table(panel)
    panel.type("seed", "one")
    panel.click("Start")
    panel.box.locator(learner.ALERT).filter(has_text="seed: expected a whole number").wait_for()
    for theme in learner.THEMES:
        lesson.theme(theme)
        panel.screenshot(f"cockpit {theme}")
        assert panel.clipped() == []
        assert panel.contrasts()[0][0] >= 4.5
    lesson.close()
    lesson.desk.close()


SWEEP = [
    "from i2pemd_lite.panels import start, sweeps\nstart()",
    "small = {'seeds': (0, 1), 'size': 12, 'width': 4, 'steps': 40, 'evaluate_every': 10}\n"
    "sweeps.panel('sweeps/rate', 'classification', 'i2pemd', **small)",
]


def test_a_sweep_goes_on_without_a_page_and_is_read_off_the_picture(opened):
    lesson, panel = opened("sweep", SWEEP)
    assert panel.status.startswith("Press Start: 12 trials") and panel.status.endswith("λ from 0 to 4.")
    panel.choose("vary", "learning rate")
    panel.change(lambda: panel.press("from", "ArrowRight"))
    panel.click("Vary another setting")
    wait(panel, "learning rate from 0.0002 to 0.1 and λ from 0 to 4.$")
    panel.screenshot("sweep asked")
    panel.click("Start")
    wait(panel, "In training now: trial")
    panel.screenshot("sweep training")
    assert lesson.errors == [] and lesson.desk.complaints == []
    lesson.close()  # the kernel ends with it
    lesson.desk.close()

    lesson, panel = opened("sweep", SWEEP)
    wait(panel, r"^Best is trial \d+, learning rate .*\. Trial \d+ leads trial")
    panel.click("Stop")
    wait(panel, r"^Best is trial(?!.*In training)")
    panel.choose("sort by", "auc")
    panel.choose("Optuna's picture", "slices")
    panel.box.locator(".js-plotly-plot .slicelayer, .js-plotly-plot .scatterlayer .errorbar").first.wait_for()
    panel.choose("trial", "1")
    panel.choose("compare with", "0")
    wait(panel, r"Trial (1 (leads|trails) trial 0|0 leads trial 1) by")
    panel.click("Use these settings")
    shown = panel.box.get_by_label("to copy")
    lesson.page.wait_for_function("it => it.value", arg=shown.element_handle())
    assert "python -m i2pemd_lite train classification i2pemd --profile ci --seed 0" in shown.input_value()
    assert lesson.errors == [] and lesson.desk.complaints == []
    for theme in learner.THEMES:
        lesson.theme(theme)
        panel.screenshot(f"sweep {theme}")
        assert panel.clipped() == []
        assert panel.contrasts()[0][0] >= 4.5
    panel.click("Open in the cockpit")
    panel.box.get_by_label("seed0", exact=True).wait_for()
    lesson.close()
    lesson.desk.close()
