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
from copy import deepcopy
from pathlib import Path

from i2pemd_lite.course.publish import badges, notebooks, teacher
from i2pemd_lite.files import BadInput, Problems, atomic_write, fingerprint, read_json, root, write_json

IMPORT = "from i2pemd_lite.course import check\n"  # a graded cell does not trust the name `check` of those above
STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")  # as nbgrader writes it
SPOKEN = re.compile(r"\s*\([^()]*between two marks[^()]*\)")  # what the master says of the solutions that stand in it
KEPT = ".release.json"  # in the folder of a release: what it wrote, so that it never replaces what somebody changed
COPIES = ("student", "instructor", "slides", "source")
CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "i2pemd"
c.ExecutePreprocessor.timeout = 900  # a training lesson under the laptop profile
c.ClearSolutions.begin_solution_delimeter = "### BEGIN SOLUTION"
c.ClearSolutions.end_solution_delimeter = "### END SOLUTION"
"""


def release(out, numbers=(), copies=COPIES, repository=None, folder=None, say=print):
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
    out = Path(out)
    if unknown := set(copies) - set(COPIES):
        raise BadInput(f"copies: expected some of {', '.join(COPIES)}, found {', '.join(sorted(unknown))}")
    paths = notebooks.lessons(numbers, folder)
    masters = {path: notebooks.read(path) for path in paths}
    graded = {path: source(notebook, path.name) for path, notebook in masters.items()}
    _expect_untouched(out, _targets(out, paths, copies))
    with _remembered(out, _targets(out, paths, set(copies) - {"slides"})):
        written = _copies(out, masters, graded, copies, repository, say)
    if "slides" in copies:
        from i2pemd_lite.course.publish import slides

        with _remembered(out, _targets(out, paths, ("slides",))):
            written += slides.write(out / "slides", paths, say)
    return written


def _copies(out, masters, graded, copies, repository, say):
    """Write all but the slides, which take a run of every lesson."""
    written = []

    def put(to, copy, alone=False):
        written.append(_put(to, copy, path, alone))
        say(to)

    for path in masters:
        if "student" in copies:
            copy = student(graded[path])
            copy = badges.opened(copy, path.name, repository) if repository else copy
            put(out / "student" / path.name, copy)
        if "instructor" in copies:
            put(out / "instructor" / path.name, instructor(masters[path], path.name))
        if "source" in copies:
            put(out / "source" / path.stem / path.name, graded[path], alone=True)
    if "source" in copies:
        with atomic_write(out / "nbgrader_config.py") as temporary:
            temporary.write_text(CONFIG, encoding="utf-8")
    return written


def _targets(out, paths, copies):
    """The files that a release of these copies replaces, and in which somebody may have worked."""
    where = {"student": "{0}.ipynb", "instructor": "{0}.ipynb", "slides": "{0}.html", "source": "{0}/{0}.ipynb"}
    files = [out / copy / where[copy].format(path.stem) for copy in copies for path in paths]
    return files + [out / "nbgrader_config.py"] * ("source" in copies)


def _fingerprints(out):
    """{file under `out`: fingerprint of what a release wrote there}."""
    kept = out / KEPT
    known = read_json(kept) if kept.exists() else {}
    if not isinstance(known, dict):
        raise BadInput(f"{kept}: expected the fingerprints of a release, found another value; choose another --out")
    return known


def _expect_untouched(out, files):
    known, problems = _fingerprints(out), Problems(out)
    for file in filter(Path.exists, files):
        if known.get(file.relative_to(out).as_posix()) != fingerprint(file.read_bytes()):
            expected = "a file as a release wrote it, to replace it"
            problems.add(file, expected, "one that was changed since", "move it, or choose another --out")
    problems.raise_if_any()


@contextlib.contextmanager
def _remembered(out, files):
    """Note what is written inside, also when not all of it is."""
    try:
        yield
    finally:
        made = {file.relative_to(out).as_posix(): fingerprint(file.read_bytes()) for file in files if file.exists()}
        write_json(out / KEPT, _fingerprints(out) | made)


def source(notebook, name="notebook"):
    """The master for nbgrader: every exercise in two cells with metadata, the solutions still in.

    Example
    -------
    >>> exercise = 'def half(x):\\n    ### BEGIN SOLUTION\\n    return x / 2\\n    ### END SOLUTION\\n'
    >>> made = source({"cells": [notebooks.code("ground-28", exercise + 'check("02b", half)')]})
    >>> [cell["metadata"]["nbgrader"]["grade_id"] for cell in made["cells"]]
    ['02b-answer', '02b']
    """
    cells = []
    for cell in deepcopy(notebook["cells"]):
        try:
            task = notebooks.task(cell)
        except BadInput as error:
            raise BadInput(f"{name}, {error}") from None
        if task is None:
            cells.append({**cell, "source": spoken(cell)})
            continue
        cells.append({**cell, "source": task.solution, "metadata": _graded(f"{task.name}-answer", solution=True)})
        check = _graded(task.name, grade=True, locked=True, points=1)
        check["tags"] = ["raises-exception"]  # so that Run All goes on to what an open exercise does not concern
        locked = {**check, "deletable": False, "editable": False}
        cells.append(notebooks.code(f"{cell['id']}-check", IMPORT + task.check, **locked))
    return {**notebook, "cells": cells}


def spoken(cell):
    """The source of a cell, of a text without what the master alone has to say of the solutions in it."""
    return SPOKEN.sub("", cell["source"]) if cell["cell_type"] == "markdown" else cell["source"]


def _graded(name, solution=False, grade=False, locked=False, **more):
    facts = {"grade": grade, "grade_id": name, "locked": locked, **more}
    return {"nbgrader": {**facts, "schema_version": 3, "solution": solution, "task": False}}


def student(graded):
    """The student copy of what `source` made: a stub that raises in place of every solution."""
    cells = deepcopy(graded["cells"])
    for cell in cells:
        if cell["metadata"].get("nbgrader", {}).get("solution"):
            cell["source"] = cleared(cell["source"])
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


def cleared(source):
    """Source with its solution replaced by the stub, at the indent of the mark.

    Example
    -------
    >>> print(cleared("def half(x):\\n    ### BEGIN SOLUTION\\n    return x / 2\\n    ### END SOLUTION"))
    def half(x):
        # YOUR CODE HERE
        raise NotImplementedError()
    """
    lines, inside = [], False
    for line in source.split("\n"):
        if notebooks.BEGIN in line:
            indent, inside = re.match(r"\s*", line)[0], True
            lines += [indent + stub for stub in STUB]
        elif notebooks.END in line:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def instructor(notebook, name):
    """The instructor copy: the master with `teacher.py`'s cells after each heading and each exercise."""
    notes, cells = teacher.notes(name[:2]), []
    for cell in deepcopy(notebook["cells"]):
        cell["source"] = spoken(cell)
        cells += [cell, *teacher.after(cell, notes)]
    cells[1:1] = teacher.contents(notes, notebook)
    return {**notebook, "cells": cells}


def _put(path, notebook, original, alone=False):
    """Write a copy, and the files that its lesson links to beside it."""
    for target, _ in notebooks.links(notebook):
        if target.startswith("../"):
            notebooks.copy_linked(original.parent / target, path.parent, original.parent.parent)
    cells = deepcopy(notebook["cells"])
    for cell in cells:
        if cell["cell_type"] == "markdown":
            moved = notebooks.LINK.sub(lambda found: _moved(found[1], alone) + (found[2] or ""), cell["source"])
            cell["source"] = moved
    notebooks.write(path, {**notebook, "cells": cells})
    return path


def _moved(target, alone):
    """Where a link of a lesson leads in a copy, beside which `data/` lies; `alone`: each lesson in a folder."""
    if target.startswith("../"):
        return target.removeprefix("../")
    return f"../{Path(target).stem}/{target}" if alone and target.endswith(".ipynb") else target
