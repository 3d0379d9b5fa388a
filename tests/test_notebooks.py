"""The lessons: their form, and that they run, once each, with nothing swallowed.

Where there is a browser, a lesson is run in it (`tests/browser/test_lessons.py`), and `unsound` looks at the same run.
Elsewhere it is executed by nbmake (`pytest --nbmake --overwrite`), in its own process and under the ci profile.
`I2PEMD_STRICT=1` makes panels raise; then the executed copy is searched for errors that widgets kept to themselves,
which nbmake by itself calls a success. Either way each exercise stands in the lesson twice: open, as a student has it,
and solved. The main run does not collect `notebooks/` with nbmake as well, because then every lesson would be executed
twice.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from masters import plant, unsound, with_open_exercises

from browser import lab as learner
from i2pemd_lite.course.publish import notebooks

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code(notebook):
    return [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]


def execute(path):
    """Run a notebook by nbmake, which writes its outputs into it; the notebook, and what nbmake said if it failed."""
    # One thread: at ci sizes a second gains little, and on a busy machine the two wait for each other at every step.
    environment = {**os.environ, "I2PEMD_PROFILE": "ci", "I2PEMD_STRICT": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("I2PEMD_DATA", None)
    here = [f"--rootdir={path.parent}", "-c", os.devnull, str(path)]
    options = ["-q", "--nbmake", "--overwrite", "--nbmake-timeout=300", *here]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=path.parent)
    return notebooks.read(path), (done.stdout + done.stderr) * (done.returncode != 0)


def swallowed(notebook):
    """Errors that an executed notebook shows in a panel and that did not stop it."""
    states = notebook["metadata"].get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    values = (str(widget["state"].get("value", "")) for widget in states.values())
    return [value for value in values if "i2pemd-error" in value]


def test_there_are_lessons():
    assert len(NOTEBOOKS) >= 5
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{n:02d}" for n in range(len(NOTEBOOKS))]


@every_notebook
def test_only_the_source_is_kept(path):
    notebook = notebooks.read(path)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert notebook["metadata"]["kernelspec"] == {"name": "python3", "display_name": "Python 3", "language": "python"}
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    for cell in notebook["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
        assert not {"execution", "collapsed", "ExecuteTime"} & set(cell["metadata"])


@every_notebook
def test_cell_ids_are_short_and_their_own(path):
    ids = [cell["id"] for cell in notebooks.read(path)["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*-\d\d", name) for name in ids)


@every_notebook
def test_size(path):
    notebook = notebooks.read(path)
    assert 25 <= len(notebook["cells"]) <= 47
    for source in code(notebook):
        assert source.strip()
        assert len(source.splitlines()) <= 15, source


@every_notebook
def test_form(path):
    notebook = notebooks.read(path)
    opening, goals = (cell["source"] for cell in notebook["cells"][:2])
    assert opening.startswith("# ") and all(profile in opening for profile in ("ci", "laptop", "gpu"))
    assert goals.startswith("## You will be able to") and goals.count("\n- **") == 3
    headings = re.findall(r"^## (.*)", "\n".join(c["source"] for c in notebook["cells"]), flags=re.M)
    for part in ("Before you start", "Where it breaks", "Recap"):
        assert any(heading.startswith(part) for heading in headings), f"no section {part!r}"
    assert "**Next:**" in notebook["cells"][-1]["source"]


@every_notebook
def test_one_import_cell_that_says_profile_device_and_seed(path):
    """Lesson 00 says it later: its import cell shows the first picture."""
    sources = code(notebooks.read(path))
    imports = [s for s in sources if any(isinstance(n, ast.Import | ast.ImportFrom) for n in ast.walk(ast.parse(s)))]
    starts = [source for source in sources if "start(seed=" in source]
    assert imports == sources[:1] and len(starts) == 1
    assert starts == imports or (path.stem.startswith("00") and "doubt.panel()" in imports[0])


@every_notebook
def test_no_cell_keeps_errors_to_itself(path):
    """In an Output of ipywidgets they stop nothing; and nbclient, which fills it by a message on the socket from which
    it waits for a cell's reply, is then not told of a reply that comes meanwhile (nbclient issue 312): it waits for its
    time to be over, with none given for ever.
    """
    assert not re.search(r"\bOutput\(|\binteract(ive|_manual)?\(", "".join(code(notebooks.read(path))))


@every_notebook
def test_a_question_comes_before_every_panel(path):
    cells, panels = notebooks.read(path)["cells"], 0
    for n, cell in enumerate(cells):
        if cell["cell_type"] == "code" and re.search(r"\.panel\(", cell["source"]):
            panels += 1
            before = cells[n - 1]["source"]
            assert "?" in before, f"{cell['id']}: no question in the cell before this panel"
    assert panels >= 1
    assert any(re.search(r"\b(predict|estimate|sketch)\(", source) for source in code({"cells": cells}))


@every_notebook
def test_every_exercise_has_a_solution_and_a_check(path):
    sources = code(notebooks.read(path))
    exercises = [source for source in sources if "SOLUTION" in source]
    assert exercises
    for source in exercises:
        begin, end = source.index("### BEGIN SOLUTION\n"), source.index("### END SOLUTION\n")
        assert begin < end and ("check(" in source[end:] or "agree(" in source[end:])


@pytest.mark.slow
@pytest.mark.skipif(not learner.missing(), reason="it is run in the browser, once for all who look at it")
@every_notebook
def test_it_runs_and_swallows_nothing(path, tmp_path):
    notebooks.write(tmp_path / path.name, with_open_exercises(path))
    notebook, failure = execute(tmp_path / path.name)
    assert not failure, failure[-4000:]
    assert swallowed(notebook) == unsound(notebook, path) == []


PLANTED = [
    "import os\nos.environ['I2PEMD_STRICT'] = '0'\nfrom i2pemd_lite.panels.engine.panel import Panel, slider",
    "def board():\n"
    "    controls = {'mass': slider('mass', 1, 0, 2, 1)}\n"
    "    return Panel('share', controls, lambda state: 1 / state['mass'], lambda *_: None, lambda _: ('A share.', {}))",
    "panel = board()\npanel.set(mass=0)\npanel",
    "os.environ['I2PEMD_STRICT'] = '1'\n"
    "try:\n    board().set(mass=0)\nexcept ZeroDivisionError as error:\n    print('raised', error)",
]


def test_what_is_unsound_is_found():
    path = NOTEBOOKS[2]
    lesson = with_open_exercises(path)
    asks = [cell for cell in lesson["cells"] if cell["id"].endswith("-check-open")]
    told = {"output_type": "error", "ename": "NotYet", "evalue": "", "traceback": ["02a: still open, that is all"]}
    for cell in asks:
        cell["outputs"] = [told]
    alt, svg = "a picture", '<svg role="img" aria-label="a picture"></svg>'
    lesson["cells"][-2]["outputs"] = outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["profile ci"]},
        {"output_type": "display_data", "data": {"image/svg+xml": svg, "text/plain": alt}, "metadata": {}},
    ]
    assert lesson["cells"][-2]["cell_type"] == "code" and unsound(lesson, path) == []
    outputs[1]["data"]["image/svg+xml"] = '<svg role="img"></svg>'
    outputs.append({"output_type": "stream", "name": "stderr", "text": ["a UserWarning"]})
    outputs.append({"output_type": "error", "ename": "ValueError", "evalue": "planted", "traceback": []})
    outputs.append({"output_type": "display_data", "data": {"text/html": '<a href="98.ipynb">a</a>'}, "metadata": {}})
    asks[0]["outputs"], asks[1]["outputs"] = [], [{**told, "traceback": ["File 1"]}]
    found = "; ".join(unsound(lesson, path))
    for words in ("ValueError: planted", "found nothing", "found File 1", "a UserWarning", "<svg", "leads nowhere"):
        assert words in found, words
    lesson["cells"][-2]["source"] = "run.finish()"
    assert f"{lesson['cells'][-2]['id']}: trains in silence" in unsound(lesson, path)
    outputs.append({"output_type": "display_data", "data": {"text/html": "<div class='i2pemd-bar'>"}, "metadata": {}})
    assert f"{lesson['cells'][-2]['id']}: trains in silence" not in unsound(lesson, path)
    asks[0]["outputs"] = [{"output_type": "display_data", "data": {"text/plain": "02a: still open: write"}}]
    assert "found nothing" not in "; ".join(unsound(lesson, path))  # as a card says it
    card = {"output_type": "display_data", "data": {"text/plain": "02a: not yet. Off."}, "metadata": {}}
    outputs[:] = [card]
    assert "not yet" in unsound(lesson, path)
    outputs[:] = [{"output_type": "stream", "name": "stdout", "text": ["not yet"]}]
    found = "; ".join(unsound(lesson, path))
    for words in ("no panel left a picture", "the profile is not said", "not yet"):
        assert words in found, words


def test_planted_errors_that_nbmake_lets_pass_are_found_and_a_strict_panel_raises(tmp_path):
    notebook, failure = execute(plant(PLANTED, tmp_path))
    assert not failure  # nbmake calls it a success
    assert [error.count("division by zero") for error in swallowed(notebook)] == [1, 1]  # of the two panels
    assert "raised division by zero" in "".join(notebook["cells"][-1]["outputs"][0]["text"])


def test_a_cell_that_fails_is_told_by_nbmake(tmp_path):
    _, failure = execute(plant(["1 / 0"], tmp_path))
    assert "ZeroDivisionError" in failure
