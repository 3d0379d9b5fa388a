"""Slides and pages as files in a browser without network: keys, what waits, that all fits, formulas that are drawn."""

import os

import pytest
from masters import EXERCISE, notebook_of

from browser import lab as learner
from i2pemd_lite.course.publish import notebooks, pages, render, slides
from i2pemd_lite.panels import ground, transport
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.picture import part

TEXT = [
    "# 02 · One\n\nThe opening.",
    "## Guess\n\n**Guess:** why?\n\n- so",
    "## Equation 7\n\n$$ \\mathcal L = \\frac{1}{K} \\sum_k \\ell^k + \\lVert c_i - c_j \\rVert_1 \\tag{7} $$",
    "## Long\n\n" + "\n\n".join(["Word after word stands here. " * 12] * 12),
]
FITS = """() => { const box = slides[at].firstElementChild.getBoundingClientRect()
    return box.height > 0 && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth }"""
RUNS = "each => each.effect.target.dataset.flow && !(each instanceof CSSTransition)"
CONTROLS = "input:visible, select:visible, button:visible"


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
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")  # no WebGL
    page.goto(file.as_uri())
    return page, complaints, outside


def test_slides_go_by_keys_and_show_what_waits_last(folder, browser):
    page, complaints, outside = opened(browser, folder / "deck.html")
    number = lambda: page.locator("footer").inner_text().split(" / ")[0]  # noqa: E731
    assert page.locator("section:visible").count() == 1 and number() == "1"
    page.keyboard.press("ArrowRight")
    assert page.locator("section:visible h2").inner_text() == "Guess"
    asked = page.locator("section.now .fragment")
    assert page.locator("section.now .idea").inner_text() == "Guess: why?" and not asked.is_visible()
    page.keyboard.press("ArrowRight")
    assert asked.is_visible() and number() == "2"
    page.keyboard.press("ArrowRight")
    assert number() == "3"
    page.keyboard.press("ArrowLeft")
    assert number() == "2" and asked.is_visible()
    assert page.evaluate("slides.length") == 4
    for _ in range(4):
        assert page.evaluate(FITS)
        page.keyboard.press("PageDown")
    notes = page.locator("section.now aside")
    assert not notes.is_visible() and page.locator("section.now .idea").inner_text().count("stands here.") == 2
    page.keyboard.press("n")
    above = page.locator("section.now .sheet").bounding_box()
    assert notes.inner_text().count("Word") == 144 and notes.bounding_box()["y"] >= above["y"] + above["height"] > 0
    page.evaluate("slides[at].firstElementChild.style.height = '3000px', fit()")  # as with a panel
    above, below = page.locator("section.now .sheet").bounding_box(), notes.bounding_box()
    assert page.evaluate(FITS) and below["height"] > 100 and below["y"] >= above["y"] + above["height"]
    page.keyboard.press("n")
    assert not notes.is_visible()
    page.keyboard.press("Home")
    assert number() == "1"
    assert outside == complaints == []


def test_formulas_are_drawn_by_the_browser_itself(folder, browser):
    page, complaints, outside = opened(browser, folder / "page.html")
    size = page.locator("math mfrac").first.bounding_box()
    assert size["height"] > 20  # numerator above denominator: more than a line
    number, formula = page.locator(".formula .number").bounding_box(), page.locator(".formula math").bounding_box()
    assert number["x"] > formula["x"] + formula["width"] / 2
    one, other = (bar.bounding_box()["height"] for bar in page.locator("mo").filter(has_text="‖").all())
    assert one == other
    assert outside == complaints == []


@pytest.mark.parametrize("theme", style.THEMES)
def test_a_symbol_has_in_formulas_the_colour_that_it_has_in_pictures(moving, folder, browser, theme):
    page, _, _ = opened(browser, folder / "moves.html")
    page.emulate_media(color_scheme=theme)
    colours = page.locator("math mi").evaluate_all("all => all.map(it => [it.textContent, getComputedStyle(it).color])")
    ink, known = page.locator("math").evaluate("it => getComputedStyle(it).color"), style.THEMES[theme]
    named = {"G": known["violet"], "k": known["orange"], "p": known["blue"]}
    rgb = {letter: "rgb({}, {}, {})".format(*bytes.fromhex(colour[1:])) for letter, colour in named.items()}
    assert dict(colours) == rgb | {"i": ink} and len({*rgb.values(), ink}) == 4


@pytest.fixture(scope="module")
def moving(folder):
    """A panel that moves, and the page on which it does; beside it what is shown of it where no kernel answers."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("I2PEMD_MOVES", "1")
        panel = ground.panel()
        shown = render.output({"data": panel._repr_mimebundle_()})
    text = render.text("$p_i G_{ik}$")
    (folder / "moves.html").write_text(render.page("ground", f'{text}<div class="outputs">{shown}</div>'))
    (folder / "bundle.html").write_text(f"<!DOCTYPE html>{panel._repr_mimebundle_()['text/html']}")
    return panel


def test_a_panel_moves_without_a_kernel(moving, folder, browser):
    page, complaints, outside = opened(browser, folder / "moves.html")
    slider, still = page.get_by_label("move right"), page.locator(".i2pemd-still")
    assert page.evaluate("location.protocol") == "file:" and not still.is_visible()
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    moving.set(right=0.5)
    assert slider.get_attribute("aria-valuetext") == "0.50"
    assert page.locator("[role=status]").inner_text() == moving.words
    told = page.locator(".caption b")
    assert told.count() == 0
    assert same(page, moving.image.value)
    page.get_by_label("move up").press("End")  # both are moved now: the nearest that was recorded
    words = [page.get_by_label(label).get_attribute("aria-valuetext") for label in ("move right", "move up")]
    assert float(words[1]) == ground.REACH and 0 < abs(float(words[0]) - 0.5) <= 0.5
    assert told.inner_text().endswith("another control moved too: move right (feature units). ")
    moving.set(right=float(words[0]), up=ground.REACH)
    assert same(page, moving.image.value)
    goes_on = """it => getComputedStyle(it, "::before").content.includes("scroll it sideways")"""
    assert not page.locator(".i2pemd-below").evaluate(goes_on)
    page.set_viewport_size({"width": 400, "height": 900})
    assert page.locator(".i2pemd-below").evaluate(goes_on)
    wide = "it => it.scrollWidth > it.clientWidth"
    assert page.locator(".i2pemd-picture").evaluate(wide) and not page.locator(".outputs").evaluate(wide)
    page.set_viewport_size({"width": 700, "height": 900})  # about that of a sheet of A4
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator(".i2pemd-picture").evaluate(wide)
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 27, 27)"  # ink for white paper
    assert page.pdf() and shown(page) and still.is_visible() and page.locator(CONTROLS).count() == 0
    page.emulate_media(media="screen")
    page.get_by_role("button", name="Reset").click()
    moving.set(right=0.0, up=0.0)
    assert same(page, moving.image.value)
    assert outside == complaints == []


def test_the_first_page_of_the_site_moves_and_finds_all_pages_without_a_network(site, browser):
    page, complaints, outside = opened(browser, site / "index.html")
    slider, words = page.get_by_label("the rest, to background", exact=True), page.locator("[role=status]")
    before = words.inner_text()
    slider.press("End")
    assert page.evaluate("location.protocol") == "file:" and words.inner_text() != before
    assert "right kidney is right" in words.inner_text() and slider.get_attribute("aria-valuetext") == "1.00"
    for asked, leads in (("voxel", "words.html#voxel"), ("prototype_distances", "ground.html#prototype_distances")):
        page.get_by_label("search").fill(asked)
        result = page.locator(f".search-result a[href$='{leads}']")
        result.click()
        page.wait_for_url(f"**/{leads}")
        page.go_back()
    assert outside == complaints == []


def shown(page):
    """Whether a picture, its words and its numbers can be seen."""
    picture = page.locator("svg, img").first
    box, words = picture.bounding_box(), [page.locator(it).first for it in ("[role=status]", "dd")]
    return min(box["width"], box["height"]) > 100 and all(each.is_visible() and each.inner_text() for each in words)


@pytest.mark.parametrize(("file", "needs"), [("moves", "a browser with JavaScript"), ("bundle", "JupyterLab")])
def test_without_scripts_there_is_a_still_picture_with_its_words_and_a_sentence(file, needs, moving, folder, browser):
    page = browser.page()
    page.context.new_cdp_session(page).send("Emulation.setScriptExecutionDisabled", {"value": True})
    page.goto((folder / f"{file}.html").as_uri())
    assert shown(page) and learner.controls(page.locator("body")) == [("DisclosureTriangle", "checks")]
    assert page.locator(".i2pemd-still").inner_text() == f"This picture does not move here: its controls need {needs}."


def test_a_screen_reader_is_told_the_name_of_every_control_of_a_page(moving, folder, browser):
    page, *_ = opened(browser, folder / "moves.html")
    page.get_by_text("more", exact=True).click()
    names = learner.controls(page.locator(".i2pemd-moves"))
    assert all(name for _, name in names)
    assert len(names) == page.locator(f"{CONTROLS}, summary:visible").count() > 5
    assert {control.description for control in moving.controls.values()} <= {name for _, name in names}


def lit(page):
    return page.locator("svg .lit").evaluate_all("all => all.map(mark => [mark.nodeName, mark.textContent])")


def test_a_cell_lights_its_prototypes_its_term_and_its_line_of_code(moving, folder, browser):
    page, complaints, _ = opened(browser, folder / "moves.html")
    cells = page.locator('svg [data-l~="G"][data-t]')
    of_cell = [["text", "(ranks + ranks.T) / 2"], *[["path", ""]] * 2, ["text", "c₁"], ["text", "c₂"], ["rect", ""]]
    term = page.locator('svg [data-k^="G"][data-k$="term 0"]')
    cells.nth(1).hover()
    assert lit(page) == of_cell and term.text_content() == "G₁₂ = (.4 + .4) / 2 = .4"
    page.get_by_label("scale all by").press("ArrowRight")  # the numbers are other ones, and the mouse is where it was
    assert lit(page) == of_cell and term.text_content() == "G₁₂ = (.4 + .4) / 2 = .4"
    page.mouse.move(2, 2)
    assert lit(page) == [] and term.text_content() == ""
    page.locator(".i2pemd-moves svg").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert [words for _, words in lit(page) if words] == ["(c[:, None] -c[None]).abs().sum(-1)", "c₁", "c₂"]
    page.keyboard.press("Tab")
    assert lit(page) == complaints == []


def test_a_slider_that_plays_goes_step_by_step_to_its_end_and_pauses(moving, folder, browser):
    page, complaints, _ = opened(browser, folder / "moves.html")
    page.get_by_text("more", exact=True).click()
    slider, words = page.get_by_label("ranks computed", exact=True), page.locator("[role=status]")
    step, place = page.get_by_label("one step of ranks computed"), lambda: slider.get_attribute("aria-valuetext")
    step.click()
    assert place() == "0" and words.inner_text().startswith("No rank")  # from the end it starts again
    step.click()
    assert place() == "1" and words.inner_text().startswith("Rank 1 of 25. In row 1")
    page.get_by_label("speed of ranks computed").select_option(label="3×")
    page.get_by_label("play ranks computed").click()
    page.wait_for_function("slider => slider.value >= 4", arg=slider.element_handle())
    page.get_by_label("pause ranks computed").click()
    paused = place()
    page.wait_for_timeout(200)
    assert place() == paused and page.get_by_label("play ranks computed").is_visible()
    page.get_by_label("play ranks computed").click()
    page.wait_for_function("slider => slider.value === slider.max", arg=slider.element_handle())
    page.get_by_label("play ranks computed").wait_for()
    assert place() == "all" and words.inner_text().startswith("It is cheapest") and complaints == []


def test_an_answer_fits_a_page_and_a_table_of_numbers_has_several_in_a_row(folder, browser, monkeypatch):
    monkeypatch.setenv("I2PEMD_MOVES", "1")
    shown = render.output({"data": transport.panel()._repr_mimebundle_()})
    answer = f"<details open><summary>The answer</summary>{shown}</details>"
    (folder / "answer.html").write_text(render.page("answer", f'<div class="outputs">{answer}</div>'))
    page, complaints, _ = opened(browser, folder / "answer.html")
    page.set_viewport_size({"width": 900, "height": 800})
    page.get_by_text("more", exact=True).click()
    boxes = [page.get_by_label(f"g{i}{j}").bounding_box() for i in "₁₂₃" for j in "₁₂₃"]
    assert len({box["y"] for box in boxes}) <= 3 and all(box["width"] > 40 for box in boxes)
    for each in page.locator(".outputs, .outputs details, .i2pemd-picture").all():
        assert each.evaluate("it => it.scrollWidth <= it.clientWidth")
    assert complaints == []


def test_dots_run_along_a_road_whose_load_changes_unless_motion_is_to_be_reduced(folder, browser):
    before, after = (transport.panel(p=p).image.value for p in ((0.5, 0.3, 0.2), (0.4, 0.4, 0.2)))
    page, complaints, _ = opened(browser, folder / "page.html")
    page.evaluate("svg => { document.body.innerHTML = svg }", before)
    page.add_script_tag(content=part("patch.js"))
    change = f"""svg => {{
        patch(document.querySelector("svg"), svg)
        return document.getAnimations().filter({RUNS}).map(each => each.effect.getTiming().duration)
    }}"""
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(change, after) == []
    page.emulate_media(reduced_motion="no-preference")
    lengths = page.evaluate(change, before)
    assert lengths and max(lengths) < 300 and complaints == []
    page.wait_for_function(f"document.getAnimations().filter({RUNS}).length === 0")


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
