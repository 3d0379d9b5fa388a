"""Lessons as pages and slides: that they need no network, show what was shown, and say in words what pictures show."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from masters import EXERCISE, notebook_of, outside

from i2pemd_lite.course import estimate, predict
from i2pemd_lite.course.publish import copies, notebooks, pages, render, slides
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import ground, volumes
from i2pemd_lite.panels.engine import moving, slider
from i2pemd_lite.panels.engine.panel import Panel

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PICTURE = ("class P:\n    def _repr_mimebundle_(self, **_):\n"
           f"        return {{'image/png': '{PNG}', 'text/plain': 'a red dot'}}\nP()")  # fmt: skip
TINY = ("from i2pemd_lite.panels.engine.panel import Panel, switch\n"
        "Panel('tiny', {'on': switch('on', False)}, lambda state: str(state['on']), "
        "lambda card, result: card.paper.text(0.1, 0.5, result), lambda result: (f'It is {result}.', {}))")  # fmt: skip
SOLVED = EXERCISE.replace('check("02b"', 'check = lambda *_: print("all", "right")\ncheck("02b"')
CELLS = [
    notebooks.markdown("a-01", "# 02 · One\n\nSee [two](03_two.ipynb#cell-id=b-01), [data](../data/README.md)."
                            "\n\nReading: 5 minutes. Running: ci 1 s, laptop 1 s."),  # fmt: skip
    notebooks.markdown("a-02", "## Equation 7\n\n$$ \\mathcal L = \\frac{1}{K} \\tag{7} $$\n\nWith $G_{ij}$."
                            "\n\n**Guess:** why?"),  # fmt: skip
    notebooks.code("a-03", "from i2pemd_lite.course import check"),
    notebooks.code("a-04", "1 + 1"),
    notebooks.code("a-05", PICTURE, jupyter={"source_hidden": True}),
    notebooks.markdown("a-06", "## Exercise 02b\n\n" + "Many words. " * 40 + "(It stands between two marks.)"),
    notebooks.code("a-07", SOLVED),
    notebooks.code("a-08", TINY),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small lesson and another, run and written as pages and as slides, under one folder."""
    root = tmp_path_factory.mktemp("web")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("I2PEMD_CACHE", str(root / "cache"))
    (root / "data").mkdir()
    (root / "data" / "README.md").write_text("# Data\n\n[table](table.csv) $x^2$")
    (root / "data" / "table.csv").write_text("1,2\n")
    notebooks.write(root / "notebooks" / "02_one.ipynb", notebook_of(CELLS))
    two = notebook_of([notebooks.markdown("b-01", "# 03 · Two\n\nMore.")])
    notebooks.write(root / "notebooks" / "03_two.ipynb", two)
    pages.write(root / "lessons", folder=root / "notebooks")
    copies.release(root, copies=("pages", "slides"), folder=root / "notebooks")
    yield root
    monkeypatch.undo()


def test_what_a_page_asks_the_network_for_is_seen():
    page = '<a href="https://a.org">a</a> <img src="https://a.org/b.png"> <script src="c.js"></script>'
    assert outside(page) == ["https://a.org/b.png", "c.js"]


def test_a_page_needs_no_network_and_shows_what_was_shown(made):
    page = (made / "lessons" / "02_one.html").read_text()
    assert outside(page) == [] and render.wordless(page) == []
    assert '<section class="code" id="a-04">' in page and "<pre>2</pre>" in page
    assert f'src="data:image/png;base64,{PNG}" alt="a red dot"' in page
    assert page.count("<math ") == 2 and "<mi>ℒ</mi>" in page and "(7)" in page
    assert "$" not in re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert page.count("<summary>code</summary>") == 1  # the cell whose source is hidden
    open_part, solution = page.split("<summary>a solution</summary>")
    open_part = open_part.split('id="a-07"')[1]
    assert "YOUR CODE HERE" in open_part and "return" not in open_part and "return" in solution
    assert "all right" not in open_part and "all right" in solution.split("</details>")[0]
    assert "two marks" not in page and "Many words." in page


def test_links_of_pages_lead_to_pages(made):
    for page in (made / "lessons").rglob("*.html"):
        for target in re.findall(r'href="([^"#]*)(?:#[^"]*)?"', page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
            assert not target.endswith((".ipynb", ".md"))
    assert 'href="03_two.html#b-01"' in (made / "lessons" / "02_one.html").read_text()
    index = (made / "lessons" / "index.html").read_text()
    assert "02 · One" in index and "ci 1 s" in index and 'href="03_two.html"' in index
    assert "<msup>" in (made / "lessons" / "data" / "README.html").read_text()


def test_slides_follow_the_rules(made):
    deck = (made / "slides" / "02_one.html").read_text()
    assert outside(deck) == [] and render.wordless(deck) == []
    slide_by_slide = re.findall(r"<section>.*?</section>", deck, re.S)
    found = [re.findall(r"<h[12][^>]*>(.*?)</h[12]>", slide)[0] for slide in slide_by_slide]
    assert list(dict.fromkeys(found)) == ["02 · One", "Equation 7", "Exercise 02b"]
    assert '<div class="idea"><strong>Guess:</strong> why?</div>\n<div class="fragment">' in deck
    assert "YOUR CODE HERE" in deck and "return" not in re.sub(r"<script>.*", "", deck, flags=re.S)
    assert "all right" not in deck and "import" not in re.sub(r"<style>.*?</style>|<script>.*", "", deck, flags=re.S)
    assert "a red dot" in deck and "two marks" not in deck


@pytest.mark.parametrize("copy", ["lessons", "slides", "pages"])
def test_a_panel_moves_in_every_executed_copy(made, copy):
    page = (made / copy / "02_one.html").read_text()
    moves, told = moves_of(page)
    assert moves["controls"][0]["label"] == "on" and len(told["frames"]) == 2 and "function patch(" in page
    assert ("For the teacher" in page) == (copy == "pages")


def deck_of(made, *cells):
    """The slides of a lesson of these cells: (heading, sentence, what is shown, notes) of each."""
    deck = slides.slides(notebook_of(list(cells)), made / "notebooks" / "02_one.ipynb")
    return [(re.sub("<[^>]*>", "", one.heading), one.idea, one.shown, "".join(one.notes)) for one in deck]


def test_a_slide_has_one_sentence_and_the_paragraphs_are_notes(made):
    words = ["First things first. Then more of it.", *["Word after word stands here. " * 12] * 12]
    text = "\n\n".join(["## Long", *words])
    [(heading, idea, shown, notes)] = deck_of(made, notebooks.markdown("a-01", text))
    assert (heading, idea, shown) == ("Long", "First things first. Then more of it.", "")  # short ones together
    assert notes.count("<p>") == 13 and notes.startswith("<p>First things first. Then more")


def test_the_teachers_notes_of_a_heading_are_a_list_below_their_minutes(made):
    [(*_, notes)] = deck_of(made, notebooks.markdown("a-01", "## Before you start"))
    assert notes.startswith("<p><strong>1 min.</strong></p>\n<ul>\n<li>Four classes")


LONG = "This is a sentence that says enough to be on a slide"


@pytest.mark.parametrize(("text", "idea"), [
    (f"{LONG}, by Eq. 3. It is L1.", f"{LONG}, by Eq. 3."),
    (f"{LONG}. Does G change when all of these points move? Say why.",
     "Does G change when all of these points move?"),
    (f"{LONG}. Does G? Say why.", f"{LONG}. Does G?"),
    (f"{LONG}, 0.5 each. **All** pay.", f"{LONG}, 0.5 each."),
    (f"So *no sum* flows. (It is so.) {LONG}.", f"So <em>no sum</em> flows. (It is so.) {LONG}."),
    (f"**{LONG}. It stays.** Both.", f"<strong>{LONG}. It stays.</strong> Both."),  # a mark is not torn
    ("no end", "no end"),
])  # fmt: skip
def test_the_sentence_of_a_slide_is_the_question_or_the_first(text, idea, made):
    assert deck_of(made, notebooks.markdown("a-01", f"## One\n\n{text}"))[0][1] == idea


def shows(name, *outputs, **metadata):
    return notebooks.code(name, "look(1)", **metadata) | {"outputs": list(outputs)}


def test_a_slide_has_one_thing_to_look_at(made):
    svg = {"output_type": "display_data", "data": {"text/html": '<svg role="img" aria-label="a bar"></svg>'}}
    said = {"output_type": "stream", "name": "stdout", "text": ["12 of 13"]}
    text = "## One\n\nTo begin.\n\n$$ a $$\n\nNow a picture.\n\n- x\n- y"
    deck = deck_of(made, notebooks.markdown("a-01", text), shows("a-02", svg),
                   notebooks.markdown("a-03", "So **how many**?"), shows("a-04", said))  # fmt: skip
    assert [heading for heading, *_ in deck] == ["One"] * 4
    assert [idea for _, idea, *_ in deck] == ["To begin.", "Now a picture.", "", "So <strong>how many</strong>?"]
    assert ["<math" in deck[0][2], "<li>" in deck[1][2], "<svg" in deck[2][2], "12 of 13" in deck[3][2]] == [True] * 4
    assert ["fragment" in shown for _, _, shown, _ in deck] == [False, False, False, True]  # which was asked for
    assert "look" not in deck[2][2] and "look" in deck[3][2]  # code beside what it prints, not beside a picture
    cell = shows("a-02", {**said, "text": ["line\n"] * 50})
    deck = deck_of(made, notebooks.markdown("a-01", "## Table"), cell)
    assert [heading for heading, *_ in deck] == ["Table"] * 3
    assert sum(shown.count("line") for _, _, shown, _ in deck) == 50


def test_the_answer_to_a_prediction_is_on_the_next_slide(made, monkeypatch):
    monkeypatch.setenv("I2PEMD_HEADLESS", "1")
    asked = predict("p02a", "Which?", ["this", "that"], "this", "So it is. It was.", reveal=ground.panel)
    output = {"output_type": "display_data", "data": asked._repr_mimebundle_()}
    cell = shows("a-02", output, jupyter={"source_hidden": True})
    question, answer = deck_of(made, notebooks.markdown("a-01", "## Guess"), cell)
    drawn = estimate("p02b", "How many?", 3.0, "So it is.", 0, 10, reveal=lambda: "the result itself")
    output = {"output_type": "display_data", "data": drawn._repr_mimebundle_()}
    _, line, result = deck_of(made, notebooks.markdown("a-01", "## Guess"), shows("a-02", output))
    assert "the truth: 3" in line[2] and "the result itself" in result[2] and "<svg" not in result[2]
    assert "Which?" in question[2] and "<li>that</li>" in question[2] and "So it is." not in question[2]
    assert answer[1] == "The answer is “this”. So it is. It was." and "<svg" in answer[2]


def test_a_slide_keeps_formulas_and_lists_whole():
    text = "## One\n\nTwo\nlines.\n\n$$ a\n\nb $$\n\n- x\n\n- y"
    assert slides._blocks(text) == ["## One", "Two\nlines.", "$$ a\n\nb $$", "- x\n\n- y"]


def test_what_a_lesson_folds_is_told_by_the_speaker(made):
    folded = f"## One\n\nAsk.\n\n{slides.ANSWER}\n\nThe answer itself.\n\n</details>\n\nThen on."
    assert slides._blocks(folded) == ["## One", "Ask.", "The answer itself.", "Then on."]


def test_a_lesson_is_run_once_until_it_changes(made, monkeypatch):
    monkeypatch.setenv("I2PEMD_CACHE", str(made / "cache"))
    path = made / "notebooks" / "03_two.ipynb"
    (kept,) = (made / "cache" / "executed").glob("03_two-*.ipynb")
    before = kept.stat().st_mtime_ns
    pages.executed(path)
    assert kept.stat().st_mtime_ns == before
    notebooks.write(path, notebook_of([notebooks.markdown("b-01", "# 03 · Two\n\nLess.")]))
    pages.executed(path)
    assert [file.name == kept.name for file in kept.parent.glob("03_two-*.ipynb")] == [False]


def test_before_a_lesson_is_run_it_is_said_how_long_it_may_take(made, monkeypatch, tmp_path):
    monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("I2PEMD_PROFILE", "laptop")
    told, first = [], "# 05 · One\n\nWhat for.\n\nReading: 5 minutes. Running: ci 1 s, laptop 8 min."
    for name, source in (("05_one", first), ("06_two", "# 06 · Two\n\nMore.")):
        notebooks.write(tmp_path / "notebooks" / f"{name}.ipynb", notebook_of([notebooks.markdown("a-01", source)]))
    written = pages.write(tmp_path / "out", folder=tmp_path / "notebooks", say=told.append)
    moves = ", and recording what moves (profile laptop)"
    one, two = f"running lesson 05, about 8 min{moves}", f"running lesson 06, not timed yet{moves}"
    assert told == [f"lessons: {one}", written[0], f"lessons: {two}", *written[1:]]
    monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path / "another"))
    lessons = notebooks.lessons(folder=tmp_path / "notebooks")
    paths = list(pages.write_each(tmp_path / "slides", lessons, slides.deck, "slides", told.append))
    assert told[5:] == [f"slides: {one}", paths[0], f"slides: {two}", paths[1]]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C in another way")
def test_ctrl_c_ends_with_a_sentence(tmp_path):
    begun = f"import pathlib, time\npathlib.Path({str(tmp_path / 'begun')!r}).touch()\n"
    cell = notebooks.code("a-02", f"{begun}time.sleep(120)")
    one = notebook_of([notebooks.markdown("a-01", "# 05 · One"), cell])
    notebooks.write(tmp_path / "notebooks" / "05_one.ipynb", one)
    program = ("import sys\nfrom i2pemd_lite import __main__\nfrom i2pemd_lite.course.publish import notebooks\n"
               f"import pathlib\nnotebooks.root = lambda: pathlib.Path({str(tmp_path)!r})\n"
               "sys.exit(__main__.main(['release', '--only', 'slides', '--out', sys.argv[1]]))\n")  # fmt: skip
    command = [sys.executable, "-c", program, str(tmp_path / "out")]
    with open(tmp_path / "said", "w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=os.environ | {"I2PEMD_CACHE": str(tmp_path)})
        while not (tmp_path / "begun").exists() and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    lines = (tmp_path / "said").read_text().splitlines()
    said = "slides: running lesson 05, not timed yet, and recording what moves (profile ci)"
    assert lines == [said, f"i2pemd_lite: {pages.STOPPED}"]


def test_a_lesson_that_does_not_run_is_named(tmp_path):
    path = tmp_path / "notebooks" / "04_bad.ipynb"
    notebooks.write(path, notebook_of([notebooks.markdown("a-01", "# 04 · Bad"), notebooks.code("a-02", "1 / 0")]))
    with pytest.raises(BadInput, match="04_bad.ipynb, cell a-02: expected it to run, found ZeroDivisionError"):
        pages.write(tmp_path / "out", folder=path.parent)
    assert not list((tmp_path / "out").iterdir())


def test_a_picture_without_words_is_refused(made):
    output = {"output_type": "display_data", "data": {"image/png": PNG, "text/plain": "<Figure size 640x480>"}}
    cell = notebooks.code("a-02", "plt.plot()") | {"outputs": [output]}
    with pytest.raises(BadInput, match="02_one.ipynb: expected words for every picture"):
        pages.lesson(notebook_of([notebooks.markdown("a-01", "# 02"), cell]), made / "notebooks" / "02_one.ipynb")


@pytest.mark.parametrize("path", notebooks.lessons(), ids=lambda path: path.stem)
def test_every_formula_of_a_lesson_is_drawn_without_a_script(path):
    for cell in notebooks.read(path)["cells"]:
        if cell["cell_type"] == "markdown":
            drawn = render.text(cell["source"])
            assert "$" not in re.sub(r"<code>.*?</code>", "", drawn, flags=re.S)
            assert "\\" not in re.sub(r"<(code|annotation)\b.*?</\1>", "", drawn, flags=re.S)


@pytest.mark.parametrize(("tex", "letter"), [(r"\mathcal L", "ℒ"), (r"\mathbf G", "𝐆"), (r"\mathrm d", "d")])
def test_letters_of_other_alphabets_are_characters(tex, letter):
    assert f">{letter}</mi>" in render.mathml(tex)


@pytest.mark.parametrize("tex", [r"\frobnicate x", r"a & b", r"\frac"])
def test_a_formula_that_cannot_be_drawn_is_named(tex):
    with pytest.raises(BadInput, match="expected TeX that MathML has"):
        render.mathml(tex)


def moves_of(html):
    """What a page has recorded of its only panel, and its frames unpacked."""
    (moves,) = re.findall(r'<script type="application/json">(.*?)</script>', html)
    return json.loads(moves), json.loads(zlib.decompress(base64.b64decode(json.loads(moves)["packed"])))


def test_a_panel_on_a_page_has_what_it_shows_for_each_position_of_its_controls(monkeypatch):
    monkeypatch.setenv("I2PEMD_MOVES", "1")
    monkeypatch.setattr(moving, "SECONDS", 120)
    panel = ground.panel(right=0.5)
    moves, told = moves_of(panel._repr_mimebundle_()["text/html"])
    names = [name for row in panel.rows for name in row]
    assert [each["label"] for each in moves["controls"]] == [panel.controls[name].description for name in names]
    alone = [key for key in told["frames"] if key and "," not in key]
    offered = [control.words if hasattr(control, "words") else getattr(control, "options", None) or
               np.arange(control.min, control.max + control.step, control.step) for control in
               (panel.controls[name] for name in names)]  # fmt: skip
    assert [len(each["words"]) for each in moves["controls"]] == [len(each) for each in offered]
    assert len(alone) == sum(len(each) - 1 for each in offered)
    assert sum("," in key for key in told["frames"]) > 100 and len(moves["packed"]) < 500_000
    right = names.index("right")
    pairs = {tuple(names[int(place.split(":")[0])] for place in key.split(",")) for key in told["frames"] if "," in key}
    assert {"right", "moving"} in [{*pair} for pair in pairs]  # lesson 02 asks for it
    assert moves["controls"][right]["words"][moves["controls"][right]["at"]] == "0.50"
    for place in ("0", "24"):
        panel.set(right={"0": -ground.REACH, "24": ground.REACH}[place])
        changed, order, below, _ = told["frames"][f"{right}:{place}"]
        marks = [changed.get(key, told["marks"].get(key)) for key in order or told["marks"]]
        picture = "\n".join([told["head"], *marks, "</svg>"])
        drawn = panel.image.value
        assert panel.words in below
        assert picture[picture.index("<style>") :] == drawn[drawn.index("<style>") :]


def test_a_state_that_a_panel_refuses_is_none_of_its_page(monkeypatch):
    monkeypatch.setenv("I2PEMD_MOVES", "1")
    panel = ground.panel(layout="five organs", moving=5)  # of "two classes" there is no fifth
    _, told = moves_of(panel._repr_mimebundle_()["text/html"])
    n = [name for row in panel.rows for name in row].index("layout")
    assert not {f"{n}:0", f"{n}:1"} & told["frames"].keys() and f"{n}:4" in told["frames"]


def drawn(card, result):
    card.paper.text(0.1, 0.5, result)


def test_where_time_is_short_every_control_has_some_positions(monkeypatch):
    monkeypatch.setenv("I2PEMD_MOVES", "1")
    monkeypatch.setattr(moving, "BYTES", 40_000)
    moves, told = moves_of(ground.panel()._repr_mimebundle_()["text/html"])
    assert len(told["frames"]) < 60 < sum(len(each["words"]) for each in moves["controls"])
    assert all(each["moves"] for each in moves["controls"])


def test_a_control_on_which_nothing_depends_is_not_on_a_page(monkeypatch):
    """Not λ of a run, which steers its next steps; but a seed that counts only where there is noise."""
    monkeypatch.setenv("I2PEMD_MOVES", "1")
    controls = {name: slider.slider(name, 0, 0, 3, 1) for name in ("weight", "noise", "seed")}
    panel = Panel("told", controls, lambda state: f"{state['noise']} {state['noise'] and state['seed']}", drawn,
                  lambda result: (result, {}))  # fmt: skip
    moves, _ = moves_of(panel._repr_mimebundle_()["text/html"])
    assert [each["moves"] for each in moves["controls"]] == [False, True, True]
    assert [each["first"] for each in moves["controls"]] == [True] * 3


def test_a_control_of_another_view_comes_and_goes_with_it_on_a_page(monkeypatch):
    monkeypatch.setenv("I2PEMD_MOVES", "1")
    controls = {"view": slider.choice("view", ["one", "two"], "one"), "on": slider.switch("on", False),
                **{name: slider.slider(name, 0, 0, 3, 1) for name in "abcd"}}  # fmt: skip
    shows = {"one": ("view", "on"), "two": ("view", *"abcd")}
    said = lambda state: " ".join(f"{name} {state[name]}" for name in shows[state["view"]])  # noqa: E731
    panel = Panel("two", controls, said, drawn, lambda result: (result, {}), shows=lambda state: shows[state["view"]])
    moves, told = moves_of(panel._repr_mimebundle_()["text/html"])
    assert all(each["moves"] for each in moves["controls"])
    assert [each["first"] for each in moves["controls"]] == [True] * 4 + [False] * 2
    for frame, (_, _, below, on) in told["frames"].items():
        view = "two" if "0:1" in frame else "one"
        assert [[*controls][n] for n in on] == [*shows[view]] and f"view {view}" in below
    assert {f"0:1,{n}:{i}" for n in range(2, 6) for i in range(1, 4)} <= told["frames"].keys()
    assert not [frame for frame in told["frames"] if "0:1" in frame and "1:1" in frame]


def test_a_view_that_needs_a_kernel_is_not_on_a_page(monkeypatch):
    monkeypatch.setenv("I2PEMD_MOVES", "1")
    panel = Panel("views", {"view": slider.choice("view", ["flat", "turned", "in 3D"], "flat")},
                  lambda state: state["view"], drawn, lambda result: (result, {}))  # fmt: skip
    panel.kernel_only = {"view": ["in 3D"]}
    moves, told = moves_of(panel._repr_mimebundle_()["text/html"])
    assert moves["controls"][0]["words"] == ["flat", "turned"] and len(told["frames"]) == 2
    assert volumes.Volumes.kernel_only == {"view": ["CT in 3D", "MR in 3D"]}


def test_what_a_question_reveals_moves_on_a_page(monkeypatch):
    for name in ("MOVES", "HEADLESS"):
        monkeypatch.setenv(f"I2PEMD_{name}", "1")
    asked = predict("p02a", "Which?", ["this", "that"], "this", "So it is.", reveal=ground.panel)
    page = render.output({"data": asked._repr_mimebundle_()})
    assert page.count('class="i2pemd-moves"') == 1 and "<img" not in page
    assert moves_of(page)[0]["controls"]


def test_a_name_is_no_markup_on_a_page(monkeypatch):
    monkeypatch.setenv("I2PEMD_MOVES", "1")
    panel = ground.panel()
    panel.controls["right"].description = "</script><script>alert(1)"
    page = render.output({"data": panel._repr_mimebundle_()})
    assert page.count("<script") == page.count("</script>") == 1 and "<script>alert" not in page
