"""One master, four copies: for students, for teachers, for a projector, and for nbgrader.

    python -m i2pemd_lite release --out out/course

| folder | what is in it |
| --- | --- |
| `student/` | the lessons without solutions: each exercise is a cell to fill and a locked cell that checks it |
| `instructor/` | the lessons with solutions, timings, what to say, and what typical wrong answers reveal |
| `slides/` | one page of slides a lesson, with its figures, for a browser without network (`slides.py`) |
| `source/` | one nbgrader assignment a lesson: `nbgrader generate_assignment 02_ground_distance` |

What a student copy lacks is exactly what nbgrader's ClearSolutions takes out, so both ways lead to the same files.
`working` writes the lessons that a learner works with on their own.
"""

import contextlib
import re
from pathlib import Path

from i2pemd_lite.course.publish import badges, notebooks, teacher
from i2pemd_lite.files import BadInput, Problems, fingerprint, read_json, root, write_json

IMPORT = "from i2pemd_lite.course import check\n"  # a graded cell does not trust the name `check` of those above
FINGERPRINTS = ".release.json"  # of all that a release wrote, so that it never replaces what somebody changed
COPIES = {  # each, and where in its folder a lesson lies
    "student": "{0}.ipynb",
    "instructor": "{0}.ipynb",
    "slides": "{0}.html",
    "source": "{0}/{0}.ipynb",
}
CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "i2pemd"
c.ExecutePreprocessor.timeout = 900  # a training lesson under the laptop profile
c.ClearSolutions.begin_solution_delimeter = "### BEGIN SOLUTION"
c.ClearSolutions.end_solution_delimeter = "### END SOLUTION"
"""


def release(out, numbers=(), copies=tuple(COPIES), repository=None, folder=None, say=print):
    """Write the copies of the lessons under `out`, and return the paths of all notebooks and pages written.

    Parameters
    ----------
    out : folder; copies in it that were made before and are unchanged are replaced, other files stay
    numbers : of the lessons, such as ["02"]; all when empty
    copies : some of `COPIES`
    repository : an `badges.Repository`, whose links and setup cell student copies get; None for copies without
    folder : of the master notebooks; default: `notebooks/` of the checkout
    say : is told each path as it is written, and before a lesson is run for its slides how long it may take

    Raises
    ------
    BadInput, when a lesson's exercise cannot be taken apart, a name of a copy is none, or somebody has worked in files
    that would be replaced: all of them are named before anything is written.
    """
    out, config, written = Path(out), Path(out) / "nbgrader_config.py", []
    if unknown := set(copies) - set(COPIES):
        raise BadInput(f"copies: expected some of {', '.join(COPIES)}, found {', '.join(sorted(unknown))}")
    paths = notebooks.lessons(numbers, folder)
    masters = {path: notebooks.read(path) for path in paths}
    graded = {path: source(master, path.name) for path, master in masters.items()}
    targets = [out / copy / COPIES[copy].format(path.stem) for copy in copies for path in paths]
    fingerprints = _fingerprints(out)
    _expect_untouched(out, targets + [config] * ("source" in copies), fingerprints)

    def note(path):  # at once, so that a release that was stopped can be made again
        fingerprints[path.relative_to(out).as_posix()] = fingerprint(path.read_bytes())
        write_json(out / FINGERPRINTS, fingerprints)

    for path in _notebooks(out, masters, graded, copies, repository):
        written.append(path)
        note(path)
        say(path)
    if "source" in copies:
        notebooks.write_text(config, CONFIG)
        note(config)
    if "slides" in copies:
        from i2pemd_lite.course.publish import slides  # and nbconvert, which takes a second

        for path in slides.decks(out / "slides", paths, say):
            written.append(path)
            note(path)
    return written


def _notebooks(out, masters, graded, copies, repository):
    """Write all but the slides, which take a run of every lesson; each path as it is written."""
    for path, master in masters.items():
        if "student" in copies:
            copy = student(graded[path])
            copy = badges.opened(copy, path.name, repository) if repository else copy
            yield _put(out / "student" / path.name, copy, path)
        if "instructor" in copies:
            yield _put(out / "instructor" / path.name, instructor(master, path.name), path)
        if "source" in copies:
            yield _put(out / "source" / path.stem / path.name, graded[path], path, True)


def _fingerprints(out):
    """{file under `out`: fingerprint of what a release wrote there}."""
    path = out / FINGERPRINTS
    fingerprints = read_json(path) if path.exists() else {}
    if not isinstance(fingerprints, dict):
        raise BadInput(f"{path}: expected the fingerprints of a release, found another value; choose another --out")
    return fingerprints


def _expect_untouched(out, files, fingerprints):
    problems = Problems(out)
    for file in filter(Path.exists, files):
        if fingerprints.get(file.relative_to(out).as_posix()) != fingerprint(file.read_bytes()):
            expected = "a file as a release wrote it, to replace it"
            problems.add(file, expected, "one that was changed since", "move it, or choose another --out")
    problems.raise_if_any()


def source(notebook, name="notebook"):
    """The master for nbgrader: every exercise in two cells with metadata, the solutions still in."""
    cells = []
    for cell in notebook["cells"]:
        try:
            task = notebooks.task(cell)
        except BadInput as error:
            raise BadInput(f"{name}, {error}") from None
        if task is None:
            cells.append({**cell, "source": notebooks.spoken(cell)})
            continue
        cells.append({**cell, "source": task.solution, "metadata": _graded(f"{task.name}-answer", solution=True)})
        locked = {"tags": ["raises-exception"], "deletable": False, "editable": False}  # Run All goes on past it
        check = _graded(task.name, grade=True, locked=True, points=1) | locked
        cells.append(notebooks.code(f"{cell['id']}-check", IMPORT + task.check, **check))
    return {**notebook, "cells": cells}


def _graded(name, solution=False, grade=False, locked=False, **more):
    facts = {"grade": grade, "grade_id": name, "locked": locked, **more}
    return {"nbgrader": {**facts, "schema_version": 3, "solution": solution, "task": False}}


def student(graded):
    """The student copy of what `source` made: a stub that raises in place of every solution."""
    cells = [
        {**cell, "source": notebooks.cleared(cell["source"])}
        if cell["metadata"].get("nbgrader", {}).get("solution")
        else cell
        for cell in graded["cells"]
    ]
    return {**graded, "cells": cells}


def working(folder=None):
    """Write the student copies to work with, and return the paths of those that were not there yet.

    What a learner has written stays as it is. `folder` is `work/` of the checkout; links lead where the master's do.
    """
    folder, written = Path(folder or root() / "work"), []
    for path in notebooks.lessons():
        copy = folder / path.name
        if not copy.exists():
            notebooks.write(copy, student(source(notebooks.read(path), path.name)))
            written.append(copy)
    return written


def outdated(folder=None):
    """The copies in `work/` that import from this package what the lesson does not: of another version, perhaps."""
    folder = Path(folder or root() / "work")
    found = []
    for path in notebooks.lessons():
        with contextlib.suppress(BadInput):  # not there, or not a notebook any more
            if _imports(folder / path.name) - _imports(path):
                found.append(folder / path.name)
    return found


def _imports(path):
    """The names that a lesson imports from this package, each with where it is from."""
    cells = (cell["source"] for cell in notebooks.read(path)["cells"] if cell["cell_type"] == "code")
    lines = re.findall(r"^from (i2pemd_lite[\w.]*) import ([\w, ]+)$", "\n".join(cells), re.M)
    return {(module, name.strip()) for module, names in lines for name in names.split(",")}


def instructor(notebook, name):
    """The instructor copy: the master with `teacher.py`'s cells after each heading and each exercise."""
    notes, cells = teacher.notes(name[:2]), []
    for cell in notebook["cells"]:
        cell = {**cell, "source": notebooks.spoken(cell)}
        cells += [cell, *teacher.after(cell, notes)]
    cells[1:1] = teacher.contents(notes, notebook)
    return {**notebook, "cells": cells}


def _put(path, notebook, original, alone=False):
    """Write a copy, and the files that its lesson links to beside it, each lesson in a folder where `alone`."""
    notebooks.copy_links(notebook, original, path.parent)

    def moved(link):
        target, place = link[1], link[2] or ""
        if target.startswith("../"):
            return target.removeprefix("../") + place  # `data/` lies beside a copy
        return f"../{Path(target).stem}/{target}{place}" if alone and target.endswith(".ipynb") else target + place

    cells = [
        {**cell, "source": notebooks.LINK.sub(moved, cell["source"])} if cell["cell_type"] == "markdown" else cell
        for cell in notebook["cells"]
    ]
    notebooks.write(path, {**notebook, "cells": cells})
    return path
