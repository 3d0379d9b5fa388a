"""The copies of the lessons: what is in them, and that nbgrader grades them.

That students' copies fail at their exercises is seen where the lessons are run: see `unsound`; that they fail nowhere
else, by `test_no_later_cell_uses_what_an_exercise_defines`.
"""

import ast
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpecManager
from jupyterlab.labapp import LabApp
from masters import EXERCISE, notebook_of
from nbclient import NotebookClient

from i2pemd_lite import files
from i2pemd_lite.__main__ import main
from i2pemd_lite.course import exercises
from i2pemd_lite.course.about.outline import lessons
from i2pemd_lite.course.publish import badges, copies, notebooks, teacher, updates
from i2pemd_lite.course.record import progress
from i2pemd_lite.files import BadInput

ROOT = Path(__file__).resolve().parent.parent
LESSONS = [path for path in notebooks.lessons() if path.name[:2] in exercises.lessons()]
TESTED = "02_ground_distance"
HEADLESS = {"I2PEMD_HEADLESS": "1", "I2PEMD_PROFILE": "ci", "OMP_NUM_THREADS": "1"}


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


def tasks(notebook):
    return [task for task in map(notebooks.task, notebook["cells"]) if task]


def run(notebook, folder):
    """{cell id: name of the error} of the cells that fail, when all are run."""
    live = nbformat.from_dict(notebook)
    here = {"metadata": {"path": str(folder)}}
    NotebookClient(live, timeout=300, allow_errors=True, resources=here).execute(env={**os.environ, **HEADLESS})
    shown = {cell.id: out for cell in live.cells for out in cell.get("outputs", ()) if out.output_type == "error"}
    return {name: (out.ename, "\n".join(out.traceback)) for name, out in shown.items()}


# What students get


def names(source):
    """The names that code sets, and those that it uses, at the level of a notebook's cell."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    tops = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    loaded = {node.id for node in nodes if isinstance(node.ctx, ast.Load)}
    return {*tops, *(node.id for node in nodes if isinstance(node.ctx, ast.Store))}, loaded


@each(LESSONS)
def test_no_later_cell_uses_what_an_exercise_defines(path):
    cells, open_to_students = notebooks.read(path)["cells"], {}
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        task = notebooks.task(cell)
        defines, uses = names(task.solution if task else cell["source"])
        assert not uses & open_to_students.keys(), f"{cell['id']} needs what a student still has to write"
        if task:
            open_to_students |= dict.fromkeys(node.name for node in ast.parse(task.solution).body
                                              if isinstance(node, ast.FunctionDef))  # fmt: skip
        else:
            open_to_students = {name: None for name in open_to_students if name not in defines}


@each(LESSONS)
def test_what_a_student_has_to_write_is_inside_a_function(path):
    """So that the cell with the stub runs, and only its check fails."""
    for cell in copies.student(copies.source(notebooks.read(path)))["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("solution"):
            top = ast.parse(cell["source"]).body
            assert not any(isinstance(node, ast.Raise) for node in top), cell["id"]
            assert sum("raise NotImplementedError()" in ast.unparse(node) for node in top) >= 1, cell["id"]


def test_the_static_check_sees_a_cell_that_needs_an_answer(tmp_path):
    cells = [notebooks.code("a-01", EXERCISE), notebooks.code("a-02", "half(3)")]
    path = tmp_path / "09_planted.ipynb"
    notebooks.write(path, notebook_of(cells))
    with pytest.raises(AssertionError, match="a-02 needs"):
        test_no_later_cell_uses_what_an_exercise_defines(path)


@each(LESSONS)
def test_solutions_are_cleared_as_nbgrader_clears_them(path):
    from nbgrader.preprocessors import ClearSolutions

    source = copies.source(notebooks.read(path))
    theirs, _ = ClearSolutions().preprocess(nbformat.from_dict(deepcopy(source)), {})
    ours = copies.student(source)
    assert [cell.source for cell in theirs.cells] == [cell["source"] for cell in ours["cells"]]
    assert not any("SOLUTION" in cell["source"] for cell in ours["cells"])
    nbformat.validate(nbformat.from_dict(ours))


def test_a_stub_stands_at_the_indent_of_the_solution():
    stub = "def half(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert notebooks.cleared("def half(x):\n    ### BEGIN SOLUTION\n    return x / 2\n    ### END SOLUTION") == stub


@each(LESSONS)
def test_a_student_copy_does_not_speak_of_solutions_that_it_lacks(path):
    text = "\n".join(cell["source"] for cell in copies.student(copies.source(notebooks.read(path)))["cells"])
    assert not re.search(r"between\s+two\s+marks", text) and "of this copy" not in text


@each(LESSONS)
def test_every_copy_says_once_where_its_lesson_is_in_the_course(path):
    copy = notebooks.spoken(copies.instructor(notebooks.read(path), path.name), path.name)
    (line,) = re.findall("^You are here: .*", copy["cells"][0]["source"], re.M)
    others = [f"[{each.name[:2]}]({each.name})" for each in LESSONS if each != path]
    assert sorted(line.removeprefix("You are here: ").split(" · ")) == sorted([*others, f"**{path.name[:2]}**"])


def test_copies_bring_the_files_that_they_link_to(tmp_path):
    made = copies.release(tmp_path, copies=("student", "instructor", "source"), folder=planted(tmp_path / "notebooks"))
    assert len(made) == 6
    for path in made:
        for target, _ in notebooks.links(notebooks.read(path)):
            found = (path.parent / target).resolve()
            assert found.exists() and found.is_relative_to(tmp_path), f"{path}: {target}"
    assert (tmp_path / "student" / "data" / "table.csv").read_text() == "1,2\n"  # what a linked page links to


def test_what_somebody_has_worked_in_is_not_replaced(tmp_path):
    folder, out = planted(tmp_path / "notebooks"), tmp_path / "out"
    options = {"copies": ("student", "source"), "folder": folder}
    made = copies.release(out, **options)
    (folder / "02_one.ipynb").write_text((folder / "02_one.ipynb").read_text().replace("One", "Uno"))
    assert copies.release(out, **options) == made and "Uno" in made[0].read_text()
    worked = [out / "student" / "03_two.ipynb", out / "nbgrader_config.py"]
    for path in worked:
        path.write_text(path.read_text() + "\n")
    (folder / "02_one.ipynb").write_text((folder / "02_one.ipynb").read_text().replace("Uno", "Un"))
    with pytest.raises(BadInput) as error:
        copies.release(out, **options)
    assert all(f"{path}: expected" in str(error.value) for path in worked) and "2 problems" in str(error.value)
    assert "move it, or choose another --out" in str(error.value) and "Uno" in made[0].read_text()
    copies.release(out, ["02"], ("student",), folder=folder)  # what it does not replace is no matter
    assert '"# 02 · Un\\n"' in made[0].read_text() and worked[0].read_text().endswith("\n\n")


def test_a_release_that_stops_halfway_can_be_made_again(tmp_path, monkeypatch):
    folder, out = planted(tmp_path / "notebooks"), tmp_path / "out"
    put = copies._put
    monkeypatch.setattr(copies, "_put", lambda path, *more: 1 / 0 if "03" in path.name else put(path, *more))
    with pytest.raises(ZeroDivisionError):
        copies.release(out, copies=("student",), folder=folder)
    monkeypatch.undo()
    assert len(copies.release(out, copies=("student",), folder=folder)) == 2


def test_a_linked_file_is_copied_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = planted(tmp_path / "notebooks")
    first = copies.release(tmp_path / "out", copies=("student",), folder=folder)[0]
    kept = first.parent / "data" / "README.md"
    before = kept.read_text()

    def full(path, to, **_):
        Path(to).write_text(Path(path).read_text()[:3])
        raise OSError(28, "No space left on device", str(to))

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="No space"):
        copies.release(tmp_path / "out", copies=("student",), folder=folder)
    assert kept.read_text() == before and not list(kept.parent.glob(".partial-*"))


def planted(folder):
    """Two small lessons, of which the first links to the second and to a page that links to a table."""
    (folder.parent / "data").mkdir(parents=True)
    (folder.parent / "data" / "README.md").write_text("[table](table.csv)")
    (folder.parent / "data" / "table.csv").write_text("1,2\n")
    first = [notebooks.markdown("a-01", "# 02 · One\n\n[next](03_two.ipynb#b-01), [data](../data/README.md)"),
             notebooks.code("a-02", "from i2pemd_lite.course import check"),
             notebooks.code("a-03", EXERCISE)]  # fmt: skip
    notebooks.write(folder / "02_one.ipynb", notebook_of(first))
    notebooks.write(folder / "03_two.ipynb", notebook_of([notebooks.markdown("b-01", "# 03 · Two")]))
    return folder


def test_a_cell_that_grades_does_not_trust_the_name_check():
    graded = copies.source(notebook_of([notebooks.code("a-03", EXERCISE)]))
    for copy in (graded, copies.student(graded)):
        lines = copy["cells"][1]["source"].splitlines()
        assert lines == ["from i2pemd_lite.course import check", 'check("02b", half)']


# nbgrader


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course folder of which nbgrader has graded a right hand-in and a forged one of open exercises."""
    folder = tmp_path_factory.mktemp("course")
    path = shortened(next(path for path in LESSONS if path.stem == TESTED), folder / "notebooks")
    copies.release(folder, [TESTED], ("student", "source"), folder=path.parent)
    nbgrader("generate_assignment", TESTED, folder=folder)
    released = folder / "release" / TESTED / path.name
    for who, change in {"right": solved, "forged": forged}.items():
        notebook = notebooks.read(released)
        change(notebook["cells"], {task.name: task.solution for task in tasks(notebooks.read(path))})
        notebooks.write(folder / "submitted" / who / TESTED / path.name, notebook)
    nbgrader("autograde", TESTED, folder=folder)
    return folder


def shortened(path, folder):
    """The lesson with its text, imports and exercises: its panels need not be drawn three times to be graded."""
    notebook, imported = notebooks.read(path), False
    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" or notebooks.task(cell) or not imported:
            cells.append(cell)
            imported = imported or cell["cell_type"] == "code"
    (folder.parent / "data").symlink_to(ROOT / "data")
    notebooks.write(folder / path.name, {**notebook, "cells": cells})
    return folder / path.name


def nbgrader(*words, folder):
    """Run nbgrader as an activated environment does: it looks for `alembic` where programs are looked for."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **HEADLESS, "PATH": programs, "I2PEMD_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "nbgrader", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def solved(cells, solutions):
    for cell in cells:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
        if name.endswith("-answer"):
            cell["source"] = solutions[name.removesuffix("-answer")]


def forged(cells, _):
    """Open exercises whose author hopes for points: each check is another cell, or deaf. Where either is believed,
    they are given; where none is, what stays is an open hand-in."""
    for cell in cells:
        about = cell["metadata"].get("nbgrader", {})
        if about.get("grade"):
            cell["source"] = "print('right')"
        elif about.get("solution"):
            cell["source"] += "\ncheck = lambda *answer: None"


@pytest.mark.slow
def test_nbgrader_grades_right_and_forged_hand_ins(course):
    from nbgrader.api import Gradebook

    names = [task.name for task in tasks(notebooks.read(next(path for path in LESSONS if path.stem == TESTED)))]
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        scores = {
            who: {grade.name: grade.score for grade in book.find_submission_notebook(TESTED, TESTED, who).grades}
            for who in ("right", "forged")
        }
        assert book.find_assignment(TESTED).max_score == len(names)
    assert scores["right"] == dict.fromkeys(names, 1.0)
    assert scores["forged"] == dict.fromkeys(names, 0.0)


@pytest.mark.slow
def test_what_nbgrader_releases_is_our_student_copy(course):
    released = notebooks.read(course / "release" / TESTED / f"{TESTED}.ipynb")["cells"]
    ours = notebooks.read(course / "student" / f"{TESTED}.ipynb")["cells"]
    assert [cell["id"] for cell in released] == [cell["id"] for cell in ours]
    for theirs, mine in zip(released, ours, strict=True):
        # A lesson is in a folder of its own there, so the way to the next one is longer.
        assert re.sub(r"\(\.\./\w+/", "(", theirs["source"]) == mine["source"]
        locked = theirs["metadata"].get("nbgrader", {}).get("grade", False)
        assert mine["metadata"].get("editable", True) is theirs["metadata"].get("editable", True) is (not locked)


# What teachers get

NOTES = sorted(teacher.FOLDER.glob("*.md"))


@pytest.mark.parametrize("file", NOTES, ids=lambda file: file.stem)
def test_notes_follow_the_lesson_and_fit_its_time(file):
    """A class takes as long as reading aloud, and up to three times that to predict, to move and to talk."""
    notes, (path,) = teacher.notes(file.stem), notebooks.lessons([file.stem])
    notebook = notebooks.read(path)
    headings = [heading for cell in notebook["cells"] for heading in notebooks.headings(cell)]
    assert [note.heading for note in notes] == [each for each in headings if not each.startswith("Exercise")]
    reading = next(lesson.reading for lesson in lessons() if lesson.path == path)
    assert 1 <= sum(note.minutes for note in notes) / reading <= 4
    assert all(note.text for note in notes)


@each(LESSONS)
def test_an_instructor_copy_has_all_of_the_master_and_tells_of_every_exercise(path):
    notebook = notebooks.read(path)
    cells = copies.instructor(notebook, path.name)["cells"]
    assert [cell for cell in cells if "teacher" not in cell["id"]] == notebooks.spoken(notebook, path.name)["cells"]
    after = {before["id"]: cell["source"] for before, cell in zip(cells, cells[1:], strict=False)}
    for cell in notebook["cells"]:
        if task := notebooks.task(cell):
            said, entry = after[cell["id"]], exercises.find(task.name)
            assert f"{entry.minutes} min" in said and all(hint in said for hint in entry.hints)
            assert all(sentence in said for sentence in entry.mistakes) and "`…`" not in said
            assert not re.search(r"`[^`\n]*\b_[a-z][^`\n]*`: ", said)  # a function of ours that nobody would write
        for name in teacher.ASKED.findall(cell["source"]):
            assert all(why in after[cell["id"]] for why in exercises.tempts(name).values())
    assert not re.search(r"\?\.", "\n".join(cell["source"] for cell in cells if "teacher" in cell["id"]))


def test_notes_without_minutes_are_named(tmp_path):
    (tmp_path / "02.md").write_text("## The panel\n\n- Say it.\n")
    with pytest.raises(BadInput, match=r"02.md: expected '## heading \(N min\)', found '## The panel'"):
        teacher.notes("02", tmp_path)


def test_of_a_wrong_answer_only_code_that_somebody_would_write_is_shown():
    said = "\n".join(teacher._about("02b").splitlines())
    assert "- `g.argsort(dim=1, stable=True).argsort(1) / len(g)`: Sorting twice" in said
    assert "\n- That counts the entries that are smaller or equal." in said


# Elsewhere


def test_links_to_colab_and_binder_and_a_setup_cell_that_only_acts_in_colab(tmp_path, capsys):
    where = "https://github.com/someone/course/tree/autumn/lessons"
    folder = planted(tmp_path / "notebooks")
    copies.release(tmp_path / "out", ["02"], ("student",), badges.repository(where), folder)
    cells = notebooks.read(tmp_path / "out" / "student" / "02_one.ipynb")["cells"]
    assert "colab.research.google.com/github/someone/course/blob/autumn/lessons/02_one.ipynb" in cells[1]["source"]
    assert "mybinder.org/v2/gh/someone/course/autumn?urlpath=lab%2Ftree%2Flessons%2F02_one.ipynb" in cells[1]["source"]
    assert "--branch autumn https://github.com/someone/course /content" in cells[2]["source"]
    only = notebook_of([cells[2], notebooks.code("z-01", "assert 'google' not in sys.modules")])
    assert run(only, tmp_path) == {}  # it imports nothing of Colab's and installs nothing


def test_the_command_says_what_was_written_and_what_is_left_to_do(tmp_path, capsys):
    words = ["release", "02", "--out", str(tmp_path), "--only", "student,source"]
    assert main([*words, "--repository", "https://github.com/someone/course/tree/autumn/lessons"]) == 0
    *paths, left, place = capsys.readouterr().out.splitlines()
    folders = tmp_path / "student", tmp_path / "source" / TESTED
    assert paths == [str(folder / f"{TESTED}.ipynb") for folder in folders]
    assert f"/someone/course/tree/autumn/lessons: commit what is in {tmp_path / 'student'} there" in left
    assert place.startswith("as lessons/ ") and "/tree/BRANCH/FOLDER" in place


def test_an_address_alone_leads_to_the_folder_of_students():
    found = badges.repository("https://github.com/someone/i2pemd-lite.git")
    assert found == ("someone", "i2pemd-lite", "main", "student")


@pytest.mark.parametrize("address", ["git@github.com:a/b", "https://gitlab.com/a/b", "https://github.com/a", ""])
def test_an_address_that_colab_cannot_read_is_refused(address):
    with pytest.raises(BadInput, match="repository: expected https://github.com/OWNER/NAME"):
        badges.repository(address)


@pytest.mark.parametrize(
    ("said", "found"),
    [("git@github.com:a/b.git", "https://github.com/a/b"), ("https://github.com/a/b", "https://github.com/a/b"),
     ("/srv/git/b", None)],
)  # fmt: skip
def test_origin_is_used_where_it_is_on_github(said, found, tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "remote", "add", "origin", said], check=True)
    where = badges.origin(tmp_path)
    assert (where and where.url) == found


# Bad input

BAD = {
    "expected check": EXERCISE.replace('check("02b", half)', "half(1)"),
    "found \\['### BEGIN SOLUTION'\\]": EXERCISE.replace("    ### END SOLUTION\n", ""),
    "found \\['### END SOLUTION', '### BEGIN": "### END SOLUTION\n### BEGIN SOLUTION\ncheck('02b', 1)",
    "found \\['## BEGIN SOLUTION', '### END": EXERCISE.replace("### BEGIN", "## BEGIN"),
    "found \\['### Begin solUTION', '### End": EXERCISE.replace("BEGIN SOL", "Begin sol").replace("END SOL", "End sol"),
    "found \\['#begin_solution'\\]": "x = 1  # no check\n#begin_solution",
    "found \\[\\]": "def half(x):\n    return x / 2\n\n\ncheck('02b', half)",
    "found '%matplotlib inline' in line 1": "%matplotlib inline\n" + EXERCISE,
    "answer\\) as the last line, found '### END": "### BEGIN SOLUTION\n### END SOLUTION",
    "found it between the marks": "### BEGIN SOLUTION\nx = 1\ncheck(\n'02b', x\n### END SOLUTION\n)",
}


@pytest.mark.parametrize("said", BAD)
def test_an_exercise_that_cannot_be_taken_apart_is_named(said):
    cells = [notebooks.code("a-03", BAD[said])]
    with pytest.raises(BadInput, match=f"02_one.ipynb, cell a-03: .*{said}"):
        copies.source(notebook_of(cells), "02_one.ipynb")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["release", "77"], "lessons: expected some of 00_start_here"),
        (["release", "--only", "students"], "of student, instructor, pages, slides, source, found students"),
        (["release", "--repository", "here"], "repository: expected https://github.com/OWNER/NAME"),
        (["lessons", "x"], "lessons: expected some of"),
    ],
)
def test_the_command_says_what_is_wrong(words, said, tmp_path, capsys):
    assert main([*words, "--out", str(tmp_path)]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", ["lessons", "release"])
def test_a_path_through_a_file_is_named(command, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main([command, "00", "--out", str(tmp_path / "file" / "x")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"i2pemd_lite: {tmp_path / 'file'}") and "Not a directory" in said


def test_what_is_no_notebook_is_named(tmp_path):
    (tmp_path / "02_one.ipynb").write_text(json.dumps([1]))
    with pytest.raises(BadInput, match="02_one.ipynb: expected a notebook"):
        copies.release(tmp_path / "out", folder=tmp_path, copies=("student",))


@pytest.mark.parametrize("cell", [{"cell_type": "code", "id": "a-01"}, {"id": "a-01", "source": []}, "a-01"])
def test_a_cell_without_a_source_is_named(cell, tmp_path):
    (tmp_path / "02_one.ipynb").write_text(json.dumps(notebook_of([notebooks.markdown("a-00", "# One"), cell])))
    with pytest.raises(BadInput, match="02_one.ipynb, cell number 2: expected a type and a source"):
        notebooks.read(tmp_path / "02_one.ipynb")


# A learner's own copies


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A worked copy of a small lesson; `own.update(change)` renews it from a master of which cells were changed."""
    solved = "def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION\n\n\ncheck(\"{0}\", f)"
    sources = {"own-01": "# One", "own-02": "from i2pemd_lite import emd", "own-03": "## Why\n\nFirst."}
    sources |= {"own-04": "s = 1", "exercise-01": solved.format("02a")}
    sources |= {"own-05": "## Then", "exercise-02": solved.format("02b")}
    copy = tmp_path / "work" / "02_one.ipynb"

    def write(sources):
        cells = [notebooks.code(name, text) if name[0] == "e" or name in ("own-02", "own-04")
                 else notebooks.markdown(name, text) for name, text in sources.items()]  # fmt: skip
        notebooks.write(tmp_path / "masters" / "02_one.ipynb", notebook_of(cells))

    def read():
        return {cell["id"]: cell["source"].removeprefix(updates.GUARD) for cell in notebooks.read(copy)["cells"]}

    def edit(insert=(), remove=(), **texts):
        book = notebooks.read(copy)
        for cell in book["cells"]:
            cell["source"] = texts.get(cell["id"].replace("-", "_"), cell["source"])
        for after, name, text in insert:
            at = [cell["id"] for cell in book["cells"]].index(after)
            book["cells"].insert(at + 1, notebooks.code(name, text))
        book["cells"] = [cell for cell in book["cells"] if cell["id"] not in remove]
        notebooks.write(copy, book)

    def update(change=None, **how):
        write(sources if change is None else change(dict(sources)))
        return updates.working(folder=copy.parent, **how)

    monkeypatch.setattr(notebooks, "lessons", lambda numbers=(): [tmp_path / "masters" / "02_one.ipynb"])
    monkeypatch.setattr("jupyter_client.kernelspec.find_kernel_specs", lambda: {"python3": "", "i2pemd-lite": ""})
    assert update() == []
    return SimpleNamespace(copy=copy, update=update, read=read, edit=edit)


def beside(own):
    return sorted(path.name for path in own.copy.parent.iterdir())


ANSWER, NOTE = "def f(x):\n    return 2 * x", "mine = [1, 2]"


def test_an_update_renews_what_nobody_wrote_in(own):
    came = own.update(lambda sources: sources | {"own-03": "## Why\n\nSecond."})
    assert came == [] and own.read()["own-03"] == "## Why\n\nSecond." and beside(own) == ["02_one.ipynb"]


def test_an_update_keeps_answers_notes_and_added_cells_in_their_places(own):
    own.edit([("exercise-01-check", "a1b2", NOTE)], exercise_01=ANSWER, own_05="## Then, I think")

    def change(sources):  # another import, another order, another text
        sources = sources | {"own-02": "from i2pemd_lite.emd import emd", "own-03": "## Why\n\nSecond."}
        return {name: sources[name] for name in sorted(sources, key=lambda name: name != "own-05")}

    said, = own.update(change)
    assert said.endswith("brought up to date with what you wrote; the old one is in 02_one.before.ipynb")
    read = own.read()
    assert [*read] == ["own-05", "own-01", "own-02", "own-03", "own-04", "exercise-01", "exercise-01-check", "a1b2",
                       "exercise-02", "exercise-02-check"]  # fmt: skip
    assert (read["exercise-01"], read["a1b2"], read["own-05"]) == (ANSWER, NOTE, "## Then, I think")
    assert read["own-02"] == "from i2pemd_lite.emd import emd" and read["own-03"].endswith("Second.")
    assert own.update(change) == [] and own.read() == read and beside(own) == ["02_one.before.ipynb", "02_one.ipynb"]
    assert ANSWER in [cell["source"] for cell in notebooks.read(own.copy.with_name("02_one.before.ipynb"))["cells"]]


def test_an_exercise_that_changed_says_so_and_one_that_is_gone_comes_at_the_end(own):
    own.edit([("own-04", "a1b2", NOTE)], exercise_01=ANSWER, exercise_02=ANSWER + " + 1", own_04="s = 5")

    def change(sources):
        del sources["exercise-02"]
        return sources | {"exercise-01": sources["exercise-01"].replace("f(x)", "f(x, y)"), "own-04": "s = 3"}

    said, = own.update(change)
    assert "though 1 of the exercises changed; 2 of your cells are at its end; the old one is in" in said
    read = own.read()
    assert read["exercise-01"] == ANSWER and read["exercise-01-changed"] == updates.CHANGED
    assert read["own-04"] == "s = 3"
    names = [*read]
    assert names.index("exercise-01-changed") + 1 == names.index("exercise-01") and read["a1b2"] == NOTE
    assert [read[name] for name in names[-3:]] == [updates.END, "s = 5", ANSWER + " + 1"]
    assert len({*names}) == len(notebooks.read(own.copy)["cells"])
    own.update()  # back again: what is at the end stays there
    assert {"s = 5", ANSWER + " + 1", NOTE, ANSWER} <= {*own.read().values()}
    assert len({*own.read()}) == len(notebooks.read(own.copy)["cells"])


def test_a_copy_of_before_copies_remembered_keeps_its_answers(own):
    book = notebooks.changed(notebooks.read(own.copy), lambda source: source.removeprefix(updates.GUARD))
    del book["metadata"]["i2pemd"]
    notebooks.write(own.copy, book)
    untouched = own.copy.read_text()
    assert own.update() == [] and beside(own) == ["02_one.ipynb"]
    own.copy.write_text(untouched)
    own.edit([("own-04", "a1b2", NOTE)], exercise_01=ANSWER)
    own.update(lambda sources: sources | {"own-03": "## Why\n\nSecond."})
    read = own.read()
    assert read["exercise-01"] == ANSWER and read["a1b2"] == NOTE and read["own-03"].endswith("Second.")


def test_a_deleted_cell_and_a_fresh_copy_can_be_had_again(own):
    own.edit(exercise_01=ANSWER, remove=("own-04",))
    own.update(lambda sources: sources | {"own-03": "## Why\n\nSecond."})
    assert "own-04" not in own.read()
    said, = own.update(restore=True)
    assert said.startswith(f"{own.copy}: brought up to date with what you wrote, and 1 deleted cell brought back; the")
    assert own.read()["own-04"] == "s = 1" and own.read()["exercise-01"] == ANSWER
    said, = own.update(fresh=True)
    assert said.endswith("written anew; what you had is in 02_one.before2.ipynb")
    assert ANSWER not in own.read().values()
    said, = own.update(restore=True)
    assert said == f"{own.copy}: nothing to bring back, for no cell of the lesson is missing"


def test_what_is_saved_in_the_moment_of_an_update_is_in_it(own, monkeypatch):
    own.edit(exercise_01=ANSWER)
    write = notebooks.write

    def as_somebody_saves(path, notebook):
        write(path, notebook)
        if path.parent == own.copy.parent:
            monkeypatch.setattr(notebooks, "write", write)
            own.edit(exercise_02=NOTE)

    monkeypatch.setattr(notebooks, "write", as_somebody_saves)
    said, = own.update(lambda sources: {**sources, "own-03": "## Why\n\nSecond."})
    assert "brought up to date with what you wrote" in said
    assert (own.read()["exercise-01"], own.read()["exercise-02"]) == (ANSWER, NOTE)
    assert own.read()["own-03"].endswith("Second.")
    text, half = own.copy.read_text(), own.copy.with_name(".~02_one.ipynb")  # which is there while JupyterLab saves
    half.write_text(text)
    said, = own.update(fresh=True)
    assert "left alone, for JupyterLab saves it" in said and own.copy.read_text() == text


def test_what_is_no_file_is_left_alone_too(own):
    own.copy.unlink()
    own.copy.mkdir()
    said, = own.update()
    assert "found what cannot be read" in said and own.copy.is_dir()


def test_a_copy_is_kept_whole_or_nothing_is_done(own, monkeypatch):
    text = own.copy.read_text()
    monkeypatch.setattr("pathlib.Path.write_bytes", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="02_one.before.ipynb"):
        own.update(fresh=True)
    assert own.copy.read_text() == text and beside(own) == ["02_one.ipynb"]


@pytest.mark.parametrize(("text", "found"), [
    ("mine", "expected a JSON file"), ("{}", "expected a notebook, found JSON without cells"),
    ('{"cells": []}', "expected a notebook, found another form"),
    (json.dumps({"metadata": {}, "cells": 2 * [notebooks.code("own-04", "s = 1")]}), "found another form"),
    ('{"cells": [], "metadata": {"i2pemd": {"version": "99.0", "cells": {}}}}', "written by version 99.0 of"),
])  # fmt: skip
def test_a_copy_that_cannot_be_brought_up_to_date_is_left_alone(own, text, found):
    own.copy.write_text(text)
    said, = own.update()
    assert found in said and own.copy.read_text() == text and beside(own) == ["02_one.ipynb"]


def test_an_own_copy_asks_for_the_kernel_that_has_the_module_and_says_so_elsewhere(own, tmp_path, monkeypatch):
    book = notebooks.read(own.copy)
    first = next(cell["source"] for cell in book["cells"] if cell["cell_type"] == "code")
    assert book["metadata"]["kernelspec"]["name"] == "i2pemd-lite" and first.startswith(updates.GUARD)
    assert len(updates.GUARD.strip().splitlines()) == 2
    monkeypatch.setattr("jupyter_client.kernelspec.find_kernel_specs", lambda: {"python3": ""})  # as with conda
    own.update(fresh=True)
    assert notebooks.read(own.copy)["metadata"]["kernelspec"]["name"] == "python3"
    folder = tmp_path / "kernels" / "i2pemd-lite"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "i2pemd_lite" / "course" / "publish" / "static" / "kernel.json", folder)
    known = KernelSpecManager(kernel_dirs=[str(folder.parent)])
    command = KernelManager(kernel_name="i2pemd-lite", kernel_spec_manager=known).format_kernel_cmd()
    assert command[:3] == [sys.executable, "-m", "ipykernel_launcher"]
    bare = [sys.executable, "-I", "-S", "-c", updates.GUARD]  # a Python that has nothing installed
    told = subprocess.run(bare, cwd=tmp_path, capture_output=True, text=True).stderr
    assert f"AssertionError: {sys.executable} lacks i2pemd_lite: take the kernel i2pemd-lite" in told
    exec(updates.GUARD, {})


def test_own_copies_have_no_solutions_and_links_that_lead_somewhere(tmp_path):
    assert updates.working(["2", "00"], folder=tmp_path) == [] and len([*tmp_path.iterdir()]) == 2
    assert updates.working(folder=tmp_path) == []
    for path in notebooks.lessons():
        copy = tmp_path / path.name
        assert notebooks.BEGIN not in copy.read_text(encoding="utf-8")
        for target, _ in notebooks.links(notebooks.read(copy)):
            assert (path.parent / target).exists()  # from beside notebooks/, as work/ is
    for copy in tmp_path.iterdir():
        copy.write_text(copy.read_text(encoding="utf-8").replace('"version": "', '"version": "99.'), encoding="utf-8")
    said, = updates.working(folder=tmp_path)
    assert said.startswith(str(tmp_path / "00_")) and "and 7 more: written by version 99.0.1.0 of the course" in said


def test_lab_opens_the_own_copies_and_the_master_only_when_asked(monkeypatch, tmp_path):
    """With settings and tabs of its own: of two clones that one person opens, neither shows the tabs of the other; two
    learners who start at once share neither a port nor a lock."""
    started, homes, held = [], (tmp_path / "one", tmp_path / "two"), contextlib.ExitStack()
    monkeypatch.setattr("jupyterlab.labapp.main", started.append)
    for place in homes:
        with monkeypatch.context() as patch:
            patch.setattr(os, "environ", {name: os.environ[name] for name in os.environ.keys() - {"I2PEMD_CACHE"}})
            assert main(["lab", "--home", str(place), "--no-browser"]) == 0
            progress.record("check", "02a", right=True)
            held.enter_context(files.lock(f"{progress.journal()}.lock", timeout=0))
        words = started.pop()
        lab = LabApp()
        lab.load_config_environ(), lab.parse_command_line(words)
        assert all(Path(each).is_relative_to(place) for each in (lab.user_settings_dir, lab.workspaces_dir))
        assert lab.config.ServerApp.port == 0  # one that the system gives away
        assert list(Path(lab.user_settings_dir).rglob("notification.jupyterlab-settings"))
        assert f"--ServerApp.root_dir={place}" in words and "--no-browser" in words and "--home" not in words
        assert any("/lab/tree/work/00" in word for word in words) and list(place.glob("work/*.ipynb"))
    held.close()
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", os.environ | {"I2PEMD_HOME": str(tmp_path / "three")})
        assert main(["lab", "--solutions"]) == 0
    words = started.pop()
    assert any("/lab/tree/notebooks/00" in word for word in words) and "--solutions" not in words
    assert f"--ServerApp.root_dir={ROOT}" in words and not list(tmp_path.glob("three/work"))
