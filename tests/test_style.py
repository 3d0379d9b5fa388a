"""The style of the lessons: how long they are, what comes before a slider, how terms are written, where links lead.

`test_notebooks.py` holds the form of the files: cells, ids, one import cell, no output. Nothing is run or timed here:
stated times are compared with the table that `python3 run.py bench lessons` measured.
"""

import ast
import re
from pathlib import Path

import pytest

from i2pemd_lite.course.about.outline import lessons
from i2pemd_lite.course.ask.question import ANSWER
from i2pemd_lite.course.publish import notebooks

ROOT = Path(__file__).resolve().parent.parent
LESSONS = lessons(ROOT / "notebooks")
PAGES = [ROOT / name for name in ("README.md", "data/README.md", "data/results/README.md",
                                  "i2pemd_lite/ARCHITECTURE.md", "notebooks/README.md")]  # fmt: skip
NOTES = sorted((ROOT / "i2pemd_lite" / "course" / "publish" / "notes").glob("*.md"))
TABLE = ROOT / "tests" / "benchmarks" / "lessons.md"
PANELS = {"panel", "sheet", "views", "scrub", "cockpit", "epochs", "sharing", "volumes", "readings"}
ASKED = r"^(predict|estimate|sketch)\("
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)
TEXTS = [*PAGES, *NOTES, *(lesson.path for lesson in LESSONS)]
each_text = pytest.mark.parametrize("path", TEXTS, ids=lambda path: f"{path.parent.name}/{path.stem}")


def texts(path):
    """{where: Markdown} of a file: of a lesson cell by cell, of a page as a whole."""
    if path.suffix == ".md":
        return {path.name: path.read_text(encoding="utf-8")}
    cells = notebooks.read(path)["cells"]
    return {f"{path.name}, {cell['id']}": cell["source"] for cell in cells if cell["cell_type"] == "markdown"}


def prose(text):
    """Text without code, formulas and the targets of links."""
    text = re.sub(r"^ {4}.*$", " … ", text, flags=re.M)
    text = re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$\n]+\$|`[^`\n]*`", " … ", text, flags=re.S)
    return re.sub(r"\]\([^)]*\)|https?://\S+|<[^>]*>", " ", text)


def words(text):
    return len(re.findall(r"\w[\w'’.-]*", prose(text)))


# Length


@each_lesson
def test_a_lesson_has_as_many_words_as_its_time_bears(lesson):
    """The stated minutes of reading are those of reading aloud, at about 150 words a minute."""
    count = sum(map(words, texts(lesson.path).values()))
    trains = re.search(r"laptop (?:\d+ to )?(\d+ min|[4-9]\d s)", lesson.running)
    most = 2450 if trains else 1650  # one that trains has more than one lesson's panels
    assert 600 <= count <= most
    assert 1 / 1.5 <= count / 150 / lesson.reading <= 1.5, f"{count} words in {lesson.reading} minutes"


@each_lesson
def test_cells_are_short(lesson):
    for where, text in texts(lesson.path).items():
        assert words(text) <= 200, where
    code = [cell["source"] for cell in lesson.cells if cell["cell_type"] == "code"]
    assert sum(len(source.splitlines()) for source in code) <= 180
    assert all(len(line) <= 120 for source in code for line in source.splitlines())


@pytest.mark.parametrize("path", PAGES[:4], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_pages_are_narrow(path):
    """The outline's table, in notebooks/README.md, is as wide as it is."""
    assert [line for line in path.read_text(encoding="utf-8").splitlines() if len(line) > 120] == []


def test_the_first_page_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 200


# A question before every slider


def shows_panel(source):
    """Whether a cell opens a panel, other than as what a question reveals.

    It is one when it is the cell's last value or is shown; asking a panel for its numbers shows no slider.
    """
    for node in ast.parse(source).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and called(node.value) in PANELS:
            return True
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and called(node.value) in PANELS:
            return True
    return False


def called(call):
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def unasked(cells):
    """The ids of the cells that show a panel without a question right before."""
    found = []
    for n, cell in enumerate(cells):
        if cell["cell_type"] == "code" and shows_panel(cell["source"]):
            before = cells[n - 1]
            asked = before["cell_type"] == "markdown" and "?" in before["source"]
            asked |= before["cell_type"] == "code" and bool(re.search(ASKED, before["source"], re.M))
            found += [cell["id"]] * (not asked)
    return found


@each_lesson
def test_a_question_comes_before_every_slider(lesson):
    assert unasked(lesson.cells) == []


@pytest.mark.parametrize("name", sorted(PANELS))
def test_a_slider_without_a_question_is_seen(name):
    told, asked = notebooks.markdown("a-01", "Look."), notebooks.markdown("a-01", "What will move?")
    for shown in (f"some.{name}(1)", f"p = some.{name}(1)\np"):
        assert unasked([told, notebooks.code("a-02", shown)]) == ["a-02"]
        assert unasked([asked, notebooks.code("a-02", shown)]) == []


def unfolded(cells):
    """The ids of the cells that ask, and show the answer in their code above the question."""
    asking = [c for c in cells if c["cell_type"] == "code" and re.search(ASKED, c["source"], re.M)]
    return [c["id"] for c in asking if not c["metadata"].get("jupyter", {}).get("source_hidden")]


@each_lesson
def test_the_code_of_a_prediction_is_folded(lesson):
    assert unfolded(lesson.cells) == []


@pytest.mark.parametrize("kind", ["predict", "estimate", "sketch"])
def test_a_prediction_that_is_not_folded_is_seen(kind):
    open_one = notebooks.code("a-01", f'g = 1\n{kind}("p00a", g)')
    folded = notebooks.code("a-02", f'{kind}("p00b", 2)', jupyter={"source_hidden": True})
    assert unfolded([open_one, folded, notebooks.code("a-03", "segmentation.predict(run)")]) == ["a-01"]


def torn(text):
    """What is left of the folds of a Markdown text when those are taken out that show their answer as Markdown."""
    whole = re.sub(rf"(?m)^{re.escape(ANSWER)}\n\n(?:(?!</?details).)+?\n\n</details>$", "", text, flags=re.S)
    return re.findall(r"</?(?:details|summary)>", whole)


@each_lesson
def test_what_a_lesson_folds_is_shown_as_markdown(lesson):
    found = {where: torn(text) for where, text in texts(lesson.path).items()}
    assert not {where: tags for where, tags in found.items() if tags}


def test_a_torn_fold_is_seen():
    assert torn(f"Ask?\n\n{ANSWER}\n\nIt is **this**.\n\n</details>\n\nThen on.") == []
    for wrong in ("\nIt is **this**.\n\n</details>", "\n\nIt is this.\n</details>", "\n\nIt is **this**."):
        assert torn(ANSWER + wrong)


# Spelling: preferred, and what it is not

SPELLING = {
    "ground distance": r"ground[-_]distances?|ground costs?",
    "prototype": r"proto-types?",
    "pseudo-label": r"pseudo ?labels?|pseudo ?labell?(?:ed|ing)",
    "cross-entropy": r"cross ?entropy",
    "I2PEMD": r"(?-i:i2pemd|I2PEmd|I2PEMd)(?!-lite)|I2P-EMD",
    "earth mover's distance": r"earth[- ]?movers? distance|earth[- ]movers'",
    "held back, held-back": r"held[- ]out|hold[- ]?out",
    "one-hot": r"one ?hot",
    "softmax": r"soft[- ]max",
    "checkpoint": r"check[- ]points?",
    "backpropagation": r"back[- ]propagat\w+",
    "data set": r"data-?sets?",
    "percent": r"per cent",
    "MR": r"MRIs?",
    "JupyterLab": r"(?-i:Jupyter Lab|Jupyterlab|jupyterlab)",
    "NumPy": r"(?-i:Numpy|NUMPY)",
    "SciPy": r"(?-i:Scipy)",
    "PyTorch": r"(?-i:Pytorch|pytorch(?!\.org))",
    "FixMatch": r"(?-i:Fixmatch|Fix-Match|FIXMATCH)",
    "MixMatch": r"(?-i:Mixmatch|Mix-Match)",
    "labelled": r"(?:un)?label(?:ed|ing)",
    "-ise, -isation": r"(?:regular|normal|optim|general|minim|maxim|visual|summar|organ|initial|recogn)iz\w+",
    "analyse": r"analyz\w+",
    "colour": r"colou?rful|colors?|colored",
    "centre": r"centers?|centered",
    "neighbour": r"neighbors?|neighboring",
    "behaviour": r"behaviors?",
    "grey": r"grays?",
    "modelling": r"model(?:ing|ed)",
    "learned": r"learnt",
}


OTHERS = r"Multi-Atlas Labeling|\"[^\"\n]*\""  # names and quotations: they spell as they do


def misspelt(text):
    """(found, preferred) of the terms in a text that are written in another way."""
    text = re.sub(OTHERS, " ", prose(text))
    return [
        (found[0], preferred)
        for preferred, wrong in SPELLING.items()
        for found in re.finditer(rf"(?<![\w/.-])(?:{wrong})(?![\w/])", text, flags=re.I)
    ]


@each_text
def test_terms_are_spelt_in_one_way(path):
    found = {where: misspelt(text) for where, text in texts(path).items()}
    assert not {where: terms for where, terms in found.items() if terms}


def test_other_spellings_are_seen():
    wrong = ["ground-distance", "pseudo label", "Cross entropy", "i2pemd", "held-out", "Jupyter Lab", "unlabeled",
             "normalize", "color", "Scipy", "data-sets", "Earth Movers Distance", "one hot", "MRI"]  # fmt: skip
    for term in wrong:
        assert [found for found, _ in misspelt(f"So the {term} is here.")] == [term]
    right = "Ground distance, held-back, I2PEMD, i2pemd-lite, `i2pemd`, [x](02_ground_distance.ipynb), data sets."
    assert misspelt(right) == []


# Links

ANY = re.compile(r"\]\(([^)\s]*)\)")


def slug(heading, page):
    """The place of a heading: on a page as GitHub names it, in a notebook as JupyterLab does."""
    if page:
        return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    return re.sub(r"\s+", "-", re.sub(r"[`*]", "", heading))


def places(path):
    """What may follow the # of a link to a file."""
    if path.suffix == ".md":
        return {slug(found, True) for found in re.findall(r"^#+ +(.*?)\s*$", path.read_text(encoding="utf-8"), re.M)}
    cells = notebooks.read(path)["cells"]
    found = {f"cell-id={cell['id']}" for cell in cells} | {cell["id"] for cell in cells}
    for cell in cells:
        if cell["cell_type"] == "markdown":
            found |= {slug(heading, False) for heading in re.findall(r"^#+ +(.*?)\s*$", cell["source"], re.M)}
    return found


def dead(path):
    """The links of a file that lead nowhere; addresses on the web are looked at, not visited."""
    found = []
    base = ROOT / "notebooks" / "x" if path in NOTES else path  # a note stands in the lesson's place
    for target in (target for text in texts(path).values() for target in ANY.findall(text)):
        if re.match(r"[a-z]+:", target):
            found += [target] * (not re.fullmatch(r"https://[\w.-]+\.[a-z]{2,}(/[\w./%?=&#~:+-]*[\w/#=])?", target))
            continue
        file, _, place = target.partition("#")
        there = base.parent / file if file else path
        if not there.exists() or (place and place not in places(there)):
            found.append(target)
    return found


@each_text
def test_links_are_alive(path):
    assert dead(path) == []


def test_dead_links_are_seen(tmp_path):
    (tmp_path / "there.md").write_text("# One: two\n")
    text = (
        "## A place\n\n[a](gone.md) [b](there.md#one-two) [c](there.md#three) [d](#A-place) [e](#nowhere) "
        "[f](http://a.org) [g](https://a.org/x.) [h](https://doi.org/10.1) [i](#cell-id=a-01) [j](#cell-id=a-02)"
    )
    cells = [notebooks.markdown("a-01", text)]
    notebooks.write(tmp_path / "02_x.ipynb", {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    gone = ["gone.md", "there.md#three", "#nowhere", "http://a.org", "https://a.org/x.", "#cell-id=a-02"]
    assert dead(tmp_path / "02_x.ipynb") == gone


@each_text
def test_pictures_in_text_have_words(path):
    for where, text in texts(path).items():
        assert all(len(alt.split()) >= 3 for alt in re.findall(r"!\[([^\]]*)\]\(", text)), where
        assert all(re.search(r'\balt="[^"]+"', tag) for tag in re.findall(r"<img\b[^>]*>", text)), where


# Times


def measured():
    """{lesson: (seconds of running, minutes of reading aloud)} of the table."""
    written = TABLE.read_text(encoding="utf-8") if TABLE.exists() else ""
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in written.splitlines() if line[:1] == "|"]
    rows = [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]
    return {row["what"]: (float(row["time"]), float(row["aloud min"])) for row in rows}


def stated(running):
    """The seconds under the ci profile that a line says, such as 'ci 90 s, laptop 8 min'."""
    found = re.search(r"\bci (?:about )?(\d+(?:\.\d+)?) (s|min)\b", running)
    return float(found[1]) * {"s": 1, "min": 60}[found[2]] if found else None


@each_lesson
def test_a_lesson_runs_as_long_as_it_says(lesson):
    table = measured()
    assert lesson.path.stem in table, "measure it: python3 run.py bench lessons"
    seconds, says = table[lesson.path.stem][0], stated(lesson.running)
    assert says is not None, f"expected 'ci N s' or 'ci N min' in {lesson.running!r}"
    assert 1 / 1.5 <= says / seconds <= 1.5, f"says {says:g} s, takes {seconds:g} s"


def test_stated_times_are_read():
    assert stated("ci 3 s, laptop 3 s, gpu not timed yet.") == 3 and stated("ci about 1.5 min, laptop 8 min") == 90
    assert stated("a few seconds in every profile (ci, laptop, gpu)") is None


@each_lesson
def test_a_lesson_can_be_read_aloud_in_the_time_it_says(lesson):
    table = measured()
    assert lesson.path.stem in table, "measure it: python3 run.py bench lessons"
    aloud = table[lesson.path.stem][1]
    assert 1 / 1.5 <= lesson.reading / aloud <= 1.5, f"says {lesson.reading} min, takes {aloud:g} min"
