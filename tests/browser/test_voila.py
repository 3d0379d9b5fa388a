"""A lesson as a page without code, by Voilà: for those who want to move sliders and nothing else."""

import re
import shutil

import pytest

from browser import lab as learner

LESSON = "00_start_here.ipynb"


@pytest.fixture(scope="module")
def server(there, tmp_path_factory):
    """Voilà on a copy of a lesson."""
    folder = tmp_path_factory.mktemp("voila")
    shutil.copy(learner.ROOT / "notebooks" / LESSON, folder)
    words = ["voila", LESSON, "--no-browser", "--port={port}", "--Voila.ip=127.0.0.1", "--token={token}",
             "--show_tracebacks=True"]  # fmt: skip
    with learner.Server(folder, words, "/static/", ready=(403, 404)) as server:
        yield server


def test_a_lesson_is_a_page_whose_slider_moves_the_picture(server, browser):
    page, complaints, outside = browser.page(), [], []
    learner.listen(page, complaints, outside)
    page.goto(f"{server.url}/?token={server.token}", timeout=120_000)
    page.locator(learner.PICTURE).first.wait_for(timeout=120_000)
    panel = learner.Panel(page, page.locator(learner.PANEL).first)
    assert panel.title == "overview"
    assert page.locator("text=Traceback").count() == 0
    assert page.locator("text=overview.panel()").count() == 0  # it shows no code
    said, label = panel.said, panel.sliders[0]
    panel.change(lambda: panel.drag(label, 0.8))
    assert panel.said != said
    panel.change(lambda: panel.press(label, "ArrowLeft"))
    # Voilà's own template asks the web for these two, and works without them.
    assert [url for url in outside if not re.search("mathjax|font-?awesome", url)] == []
    assert [text for text in complaints if "ERR_NAME_NOT_RESOLVED" not in text] == []
    panel.screenshot("voila overview")
