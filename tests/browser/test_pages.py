"""Slides and pages as files in a browser without network: keys, what waits, that all fits, formulas that are drawn."""

import os

import pytest
from masters import EXERCISE, notebook_of

from browser import lab as learner
from i2pemd_lite.course.publish import notebooks, pages, render, slides
from i2pemd_lite.panels import ground

TEXT = [
    "# 02 · One\n\nThe opening.",
    "## Equation 7\n\n$$ \\mathcal L = \\frac{1}{K} \\sum_k \\ell^k \\tag{7} $$\n\n**Guess:** why?",
    "## Long\n\n" + "\n\n".join(["Word after word stands here. " * 12] * 12),
]
FITS = """() => { const box = slides[at].firstElementChild.getBoundingClientRect()
    return box.height > 0 && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth }"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A page and a deck of a small lesson that was not run."""
    folder = tmp_path_factory.mktemp("pages")
    cells = [notebooks.markdown(f"a-{n:02d}", text) for n, text in enumerate(TEXT)]
    notebook, path = notebook_of([*cells, notebooks.code("a-09", EXERCISE)]), folder / "02_one.ipynb"
    notebooks.write(path, notebook)
    (folder / "page.html").write_text(pages.lesson(notebook, path), encoding="utf-8")
    (folder / "deck.html").write_text(slides.deck(notebook, path), encoding="utf-8")
    return folder


def opened(browser, file):
    page, complaints, outside = browser.page(), [], []
    learner.listen(page, complaints, outside)
    page.goto(file.as_uri())
    return page, complaints, outside


def test_slides_go_by_keys_and_show_what_waits_last(folder, browser):
    page, complaints, outside = opened(browser, folder / "deck.html")
    number = lambda: page.locator("footer").inner_text().split(" / ")[0]  # noqa: E731
    assert page.locator("section:visible").count() == 1 and number() == "1"
    page.keyboard.press("ArrowRight")
    assert page.locator("section:visible h2").inner_text() == "Equation 7"
    question = page.locator("section.now .fragment")
    assert not question.is_visible()
    page.keyboard.press("ArrowRight")
    assert question.is_visible() and number() == "2"
    page.keyboard.press("ArrowRight")
    assert number() == "3"
    page.keyboard.press("ArrowLeft")
    assert number() == "2" and question.is_visible()
    count = page.evaluate("slides.length")
    assert count >= 5
    for _ in range(count):
        assert page.evaluate(FITS)
        page.keyboard.press("PageDown")
    page.keyboard.press("Home")
    assert number() == "1"
    assert outside == complaints == []


def test_formulas_are_drawn_by_the_browser_itself(folder, browser):
    page, complaints, outside = opened(browser, folder / "page.html")
    size = page.locator("math mfrac").first.bounding_box()
    assert size["height"] > 20  # numerator above denominator: more than a line
    number, formula = page.locator(".formula .number").bounding_box(), page.locator(".formula math").bounding_box()
    assert number["x"] > formula["x"] + formula["width"] / 2
    assert outside == complaints == []


def test_a_panel_moves_without_a_kernel(folder, browser, monkeypatch):
    monkeypatch.setenv("I2PEMD_MOVES", "1")
    panel = ground.panel()
    (folder / "moves.html").write_text(render.page("ground", render.output({"data": panel._repr_mimebundle_()})))
    page, complaints, outside = opened(browser, folder / "moves.html")
    slider = page.get_by_label("move right")
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    panel.set(right=0.5)
    assert slider.get_attribute("aria-valuetext") == ".5"
    assert page.locator("[role=status]").inner_text() == panel.words
    assert same(page, panel.image.value)
    page.get_by_label("move up").press("End")  # both are moved now: the nearest that was recorded
    words = [page.get_by_label(label).get_attribute("aria-valuetext") for label in ("move right", "move up")]
    assert words[1] == "5" and abs(float(words[0]) - 0.5) <= 0.5
    panel.set(right=float(words[0]), up=5.0)
    assert same(page, panel.image.value)
    page.get_by_role("button", name="Reset").click()
    panel.set(right=0.0, up=0.0)
    assert same(page, panel.image.value)
    assert outside == complaints == []


def same(page, svg):
    """Whether the picture on a page is what a fresh one would be: what was patched is what was drawn."""
    return page.evaluate("""svg => {
        const fresh = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement
        const said = it => it.getAttributeNames().sort().map(name => [name, it.getAttribute(name)])
        const told = it => [...it.children].map(each => [each.nodeName, said(each), each.textContent, told(each)])
        return JSON.stringify(told(document.querySelector("svg"))) === JSON.stringify(told(fresh))
            && document.querySelector("svg").getAttribute("aria-label") === fresh.getAttribute("aria-label")
    }""", svg)


@pytest.mark.skipif(os.name == "nt", reason="the browser here is a script of a shell")
@pytest.mark.parametrize("says", ["Chromium 92.0.4512.0", "Google Chrome 108.0.1"])
def test_a_browser_that_is_too_old_is_said_in_a_sentence(says, tmp_path, monkeypatch):
    browser = tmp_path / "chromium"
    monkeypatch.setenv("PATH", str(tmp_path))
    for said, old in ((says, True), ("Chromium 156.0.8078.108 built on Debian GNU/Linux", False), ("", False)):
        browser.write_text(f"#!/bin/sh\necho '{said}'\n", encoding="utf-8")
        browser.chmod(0o755)
        why = learner.missing()
        assert why.startswith(f"{browser}: expected Chromium 109 or newer, found ") == old == bool(why)
        assert why.endswith("update it, or install Chrome") == old
