"""The lessons: their form, and that they run, once each, with nothing swallowed.

Each notebook is copied into a temporary folder and executed there by nbmake (`pytest --nbmake --overwrite`), in its own
process and under the ci profile. `I2PEMD_STRICT=1` makes panels raise; then the executed copy is searched for errors
that widgets kept to themselves, which nbmake by itself calls a success. The main run does not collect `notebooks/` with
nbmake as well, because then every lesson would be executed twice.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from i2pemd_lite.course import render, slides, web

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    """The notebook, with every cell's source as one string."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def code(notebook):
    return [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code"]


def execute(path, folder, seconds=300):
    """Run a copy of the notebook in `folder` by nbmake; the executed notebook, and what nbmake said when it failed."""
    copy = Path(shutil.copy(path, folder))
    # One thread: at ci sizes a second gains little, and on a busy machine the two wait for each other at every step.
    environment = {**os.environ, "I2PEMD_PROFILE": "ci", "I2PEMD_STRICT": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("I2PEMD_DATA", None)
    options = ["-q", "--nbmake", "--overwrite", f"--nbmake-timeout={seconds}", f"--rootdir={folder}", "-c", os.devnull]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, str(copy)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    return read(copy), (done.stdout + done.stderr) * (done.returncode != 0)


def swallowed(notebook):
    """Errors that an executed notebook shows in a widget and that did not stop it."""
    states = notebook["metadata"].get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    found = []
    for widget in states.values():
        state = widget["state"]
        found += [f"{o['ename']}: {o['evalue']}" for o in state.get("outputs", ()) if o.get("output_type") == "error"]
        value = str(state.get("value", ""))
        found += [value] * ("i2pemd-error" in value)
    return found


def test_there_are_lessons():
    assert len(NOTEBOOKS) >= 5
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{n:02d}" for n in range(len(NOTEBOOKS))]


@every_notebook
def test_only_the_source_is_kept(path):
    notebook = read(path)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert notebook["metadata"]["kernelspec"] == {"name": "python3", "display_name": "Python 3", "language": "python"}
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    for cell in notebook["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
        assert not {"execution", "collapsed", "ExecuteTime"} & set(cell["metadata"])


@every_notebook
def test_cell_ids_are_short_and_their_own(path):
    ids = [cell["id"] for cell in read(path)["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*-\d\d", name) for name in ids)


@every_notebook
def test_size(path):
    notebook = read(path)
    assert 25 <= len(notebook["cells"]) <= 45
    for source in code(notebook):
        assert source.strip()
        assert len(source.splitlines()) <= 15, source


@every_notebook
def test_form(path):
    notebook = read(path)
    opening, goals = (cell["source"] for cell in notebook["cells"][:2])
    assert opening.startswith("# ") and all(profile in opening for profile in ("ci", "laptop", "gpu"))
    assert goals.startswith("## You will be able to") and goals.count("\n- **") == 3
    headings = re.findall(r"^## (.*)", "\n".join(c["source"] for c in notebook["cells"]), flags=re.M)
    for part in ("Before you start", "Where it breaks", "Recap"):
        assert any(heading.startswith(part) for heading in headings), f"no section {part!r}"
    assert "**Next:**" in notebook["cells"][-1]["source"]


@every_notebook
def test_one_import_cell_that_says_profile_device_and_seed(path):
    sources = code(read(path))
    imports = [s for s in sources if any(isinstance(n, ast.Import | ast.ImportFrom) for n in ast.walk(ast.parse(s)))]
    assert imports == sources[:1]
    assert "start(seed=" in imports[0]


@every_notebook
def test_a_question_comes_before_every_panel(path):
    cells, panels = read(path)["cells"], 0
    for n, cell in enumerate(cells):
        if cell["cell_type"] == "code" and re.search(r"\.panel\(", cell["source"]):
            panels += 1
            before = cells[n - 1]["source"]
            assert "?" in before, f"{cell['id']}: no question in the cell before this panel"
    assert panels >= 1
    assert any(re.search(r"\b(predict|estimate|sketch)\(", source) for source in code({"cells": cells}))


@every_notebook
def test_every_exercise_has_a_solution_and_a_check(path):
    sources = code(read(path))
    exercises = [source for source in sources if "SOLUTION" in source]
    assert exercises
    for source in exercises:
        begin, end = source.index("### BEGIN SOLUTION\n"), source.index("### END SOLUTION\n")
        assert begin < end and ("check(" in source[end:] or "agree(" in source[end:])


@every_notebook
def test_it_runs_and_swallows_nothing(path, tmp_path):
    notebook, failure = execute(path, tmp_path)
    assert not failure, failure[-4000:]
    assert not swallowed(notebook)
    shown = [out for cell in notebook["cells"] for out in cell.get("outputs", ())]
    assert any("image/png" in out.get("data", {}) for out in shown), "no panel left a picture for readers"
    said = "".join("".join(out["text"]) for out in shown if "text" in out)
    assert "profile ci" in said and "not yet" not in said
    warned = [out["text"] for out in shown if out.get("name") == "stderr" and "Warning" in "".join(out["text"])]
    assert not warned, warned
    for page in (web.lesson(notebook, path), slides.deck(notebook, path)):
        assert not render.outside(page) and not render.wordless(page)  # it can be read without network and without eyes


PLANTED = [
    "import ipywidgets as widgets\nout = widgets.Output()\nwith out:\n    1 / 0\nout",
    "widgets.interact(lambda x: 1 / 0, x=widgets.IntSlider())",
    "import os\nos.environ['I2PEMD_STRICT'] = '0'\nfrom i2pemd_lite.panels import transport",
    "panel = transport.panel()\npanel.set(p1=0, p2=0, p3=0)\npanel",
]


def plant(sources, folder, name="planted"):
    """A notebook of these cells, in a folder."""
    empty = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [{**empty, "id": f"{name}-{n:02d}", "source": source} for n, source in enumerate(sources)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_planted_errors_that_nbmake_lets_pass_are_found(tmp_path):
    (tmp_path / "run").mkdir()
    notebook, failure = execute(plant(PLANTED, tmp_path), tmp_path / "run")
    assert not failure  # nbmake calls it a success
    found = swallowed(notebook)
    assert sum("ZeroDivisionError" in error for error in found) == 2
    assert sum("expected some mass" in error for error in found) == 1


def test_a_strict_panel_stops_the_notebook(tmp_path):
    (tmp_path / "run").mkdir()
    source = "from i2pemd_lite.panels import transport\ntransport.panel().set(p1=0, p2=0, p3=0)"
    _, failure = execute(plant([source], tmp_path), tmp_path / "run")
    assert "expected some mass" in failure
