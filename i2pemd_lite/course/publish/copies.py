"""One master, five copies: for students, for teachers to run and to read, for a projector, and for nbgrader.

What a student copy lacks is exactly what nbgrader's ClearSolutions takes out, so both ways lead to the same files.
"""

from functools import partial
from pathlib import Path

from i2pemd_lite.course.publish import badges, notebooks, teacher
from i2pemd_lite.files import BadInput, Problems, fingerprint, read_json, write_json, write_text

IMPORT = "from i2pemd_lite.course import check\n"  # a graded cell does not trust the name `check` of those above
LOCKED = {"tags": ["raises-exception"], "deletable": False, "editable": False}  # Run All goes on past it
FINGERPRINTS = ".release.json"  # of all that a release wrote, so that it never replaces what somebody changed
COPIES = {  # each, and where in its folder a lesson lies
    "student": "{0}.ipynb",  # without solutions: each exercise is a cell to fill and a locked cell that checks it
    "instructor": "{0}.ipynb",  # with solutions, timings, what to say, and what typical wrong answers reveal
    "pages": "{0}.html",  # the instructor's, run, as a page a lesson whose panels move, for a browser without network
    "slides": "{0}.html",  # one page a lesson, with its figures, for a browser without network
    "source": "{0}/{0}.ipynb",  # an assignment a lesson: nbgrader generate_assignment 02_ground_distance
}
RUN = ("pages", "slides")  # for which the lessons are run
CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "i2pemd"
c.ExecutePreprocessor.timeout = 3600  # a training lesson under the laptop profile
c.ClearSolutions.begin_solution_delimeter = "### BEGIN SOLUTION"
c.ClearSolutions.end_solution_delimeter = "### END SOLUTION"
"""


def release(out, numbers=(), copies=tuple(COPIES), repository=None, folder=None, say=print):
    """Write some of `COPIES` of the lessons under `out`; the paths of all notebooks and pages written.

    Those for students get the links and the setup cell of a `badges.Repository`. `say` is told each path as it is
    written, and before a lesson is run how long it may take. `BadInput` when an exercise cannot be taken apart, a name
    of a copy is none, or somebody has worked in files that would be replaced; then nothing is written.
    """
    out = Path(out)
    if unknown := set(copies) - set(COPIES):
        raise BadInput(f"copies: expected some of {', '.join(COPIES)}, found {', '.join(sorted(unknown))}")
    masters = {path: notebooks.read(path) for path in notebooks.lessons(numbers, folder)}
    graded = {path: source(master, path.name) for path, master in masters.items()}
    targets = {(copy, path): out / copy / place.format(path.stem)
               for path in masters for copy, place in COPIES.items() if copy in copies}  # fmt: skip
    config = [out / "nbgrader_config.py"] * ("source" in copies)
    fingerprints = _fingerprints(out, [*targets.values(), *config])

    def note(path):  # at once, so that a release that was stopped can be made again
        fingerprints[path.relative_to(out).as_posix()] = fingerprint(path.read_bytes())
        write_json(out / FINGERPRINTS, fingerprints)

    for (copy, path), target in targets.items():
        if copy in RUN:
            continue
        notebook = instructor(masters[path], path.name) if copy == "instructor" else graded[path]
        if copy == "student":
            notebook = badges.opened(student(notebook), path.name, repository)
        _put(target, notebook, path, copy == "source")
        note(target)
        say(target)
    for file in config:
        write_text(file, CONFIG)
        note(file)
    if run := [copy for copy in RUN if copy in copies]:
        from i2pemd_lite.course.publish import pages, slides  # and nbconvert, which takes a second

        page = {"pages": lambda notebook, path: pages.lesson(instructor(notebook, path.name), path),
                "slides": slides.deck}  # fmt: skip
        for copy in run:
            for path in pages.write_each(out / copy, masters, page[copy], copy, say):
                note(path)
    return list(targets.values())


def _fingerprints(out, targets):
    """{file under `out`: fingerprint of what a release wrote there}; of the targets none was changed since."""
    path, problems = out / FINGERPRINTS, Problems(out)
    fingerprints = read_json(path, dict) if path.exists() else {}
    for file in filter(Path.exists, targets):
        if fingerprints.get(file.relative_to(out).as_posix()) != fingerprint(file.read_bytes()):
            expected = "a file as a release wrote it, to replace it"
            problems.add(file, expected, "one that was changed since", "move it, or choose another --out")
    problems.raise_if_any()
    return fingerprints


def source(notebook, name="notebook"):
    """The master for nbgrader: every exercise in two cells with metadata, the solutions still in."""
    cells = []
    for cell in notebooks.spoken(notebook, name)["cells"]:
        try:
            task = notebooks.task(cell)
        except BadInput as error:
            raise BadInput(f"{name}, {error}") from None
        if task is None:
            cells.append(cell)
            continue
        cells.append({**cell, "source": task.solution, "metadata": _graded(f"{task.name}-answer", solution=True)})
        check = _graded(task.name, grade=True, locked=True, points=1) | LOCKED
        cells.append(notebooks.code(f"{cell['id']}-check", IMPORT + task.check, **check))
    return {**notebook, "cells": cells}


def _graded(name, solution=False, grade=False, locked=False, **more):
    facts = {"grade": grade, "grade_id": name, "locked": locked, **more}
    return {"nbgrader": {**facts, "schema_version": 3, "solution": solution, "task": False}}


def student(graded):
    """The student copy of what `source` made: a stub that raises in place of every solution."""
    return notebooks.changed(graded, notebooks.cleared)


def instructor(notebook, name):
    """The instructor copy: the master with `teacher.py`'s cells after each heading and each exercise."""
    notes, cells = teacher.notes(name[:2]), []
    for cell in notebooks.spoken(notebook, name)["cells"]:
        cells += [cell, *teacher.after(cell, notes)]
    cells[1:1] = teacher.contents(notes, notebook)
    return {**notebook, "cells": cells}


def _put(path, notebook, original, alone=False):
    """Write a copy, and the files that its lesson links to beside it, each lesson in a folder where `alone`."""

    def moved(link):
        target, place = link[1], link[2] or ""
        if target.startswith("../"):
            return target.removeprefix("../") + place  # `data/` lies beside a copy
        return f"../{Path(target).stem}/{target}{place}" if alone and target.endswith(".ipynb") else target + place

    notebooks.copy_links(notebook, original, path.parent)
    notebooks.write(path, notebooks.changed(notebook, partial(notebooks.LINK.sub, moved), notebooks.is_text))
