"""A learner's own copies of the lessons: written once, and brought up to date without losing what was written.

A copy remembers which version of the course wrote it, and what each cell was then. So an update knows what a learner
has written: answers, notes, and cells of their own.
"""

import contextlib
import itertools
import re
from pathlib import Path

from i2pemd_lite import __version__
from i2pemd_lite.course.publish import notebooks
from i2pemd_lite.course.publish.copies import source, student
from i2pemd_lite.files import BadInput, atomic_write, fingerprint, home, listed, root

END = "## From your copy before the update\n\nThese cells are yours. Their places are gone, or have other content now."
KERNEL = "i2pemd-lite"  # which run.py and a wheel bring
GUARD = """\
import importlib.util, sys
assert importlib.util.find_spec("i2pemd_lite"), sys.executable + " lacks i2pemd_lite: \
take the kernel i2pemd-lite, or python3 run.py lab"

"""
CHANGED = "**This exercise has changed since you wrote your answer.** Read it again, then run its check."


class _Saved(Exception):
    """Somebody, such as JupyterLab, has saved a copy since it was read."""


def working(numbers=(), fresh=False, restore=False, folder=None):
    """Write the student copies into `work/` at `home`, where links lead where the master's do, and bring those that are
    there up to date; sentences on those in which something a learner wrote is concerned.

    fresh : write them anew, and keep the worked ones beside;  restore : also bring deleted cells back
    """
    said = {}
    for path in notebooks.lessons(numbers):
        copy = Path(folder or home() / "work") / path.name
        while True:
            with contextlib.suppress(_Saved):  # else it is read again, with what was written in that moment
                said.setdefault(_work(copy, path, fresh, restore), []).append(copy)
                break
    return [f"{listed(copies)}: {words}" for words, copies in said.items() if words]


def _work(copy, path, fresh, restore):
    new = _noted(student(source(notebooks.read(path), path.name)))
    if home() != root():
        notebooks.copy_links(new, path, copy.parent.parent, again=False)
    if not copy.exists():
        notebooks.write(copy, new)
        return "written, for there was none" if fresh or restore else ""
    if _saving(copy).exists():
        return f"left alone, for JupyterLab saves it, or was stopped in that; if {_saving(copy).name} stays, remove it"
    try:
        before = copy.read_bytes()
    except OSError as error:
        return f"expected a notebook, found what cannot be read ({error.strerror}); it is left alone: move it away"
    if fresh:
        beside = _keep(copy, before)
        _replace(copy, before, new)
        return f"written anew; what you had is in {beside.name}"
    try:
        worked = notebooks.read(copy)
        about = worked["metadata"].get("i2pemd", {"version": "0", "cells": {}})
        if _number(about["version"]) > _number(__version__):
            return f"written by version {about['version']} of the course, and this is {__version__}: left alone"
        if about["cells"] == new["metadata"]["i2pemd"]["cells"] and not restore:
            return ""
        lesson, touched, odd = merged(worked, new, restore)
    except (BadInput, AttributeError, KeyError, TypeError, ValueError) as error:
        told = str(error).removeprefix(str(copy)).lstrip(",: ")
        found = told if isinstance(error, BadInput) else "expected a notebook, found another form"
        return f"{found}; it is left alone: python3 run.py work {copy.name[:2]} --fresh keeps it beside a new one"
    if lesson["cells"] == worked["cells"]:
        return "nothing to bring back, for no cell of the lesson is missing" if restore else ""
    beside = _keep(copy, before) if touched else None
    _replace(copy, before, lesson)
    kept = f" with what you wrote{odd}; the old one is in {beside.name}" if beside else odd
    return f"brought up to date{kept}" if beside or restore else ""


def _noted(notebook):
    """A copy that remembers itself, asks for the kernel that has the module, and says so where another one runs."""
    first = next(cell["id"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    notebook = notebooks.changed(notebook, lambda source: GUARD + source, lambda cell: cell["id"] == first)
    cells = {cell["id"]: fingerprint(cell["source"]) for cell in notebook["cells"]}
    from jupyter_client.kernelspec import find_kernel_specs  # which is not there where one only trains

    metadata = notebook["metadata"] | {"i2pemd": {"version": __version__, "cells": cells}}
    if KERNEL in find_kernel_specs():  # else, as with conda, the only kernel is the right one
        metadata["kernelspec"] = {"name": KERNEL, "display_name": KERNEL, "language": "python"}
    return {**notebook, "metadata": metadata}


def _number(version):
    return [int(part) for part in re.findall(r"\d+", version)]


def _keep(copy, content):
    """Write what a copy held to a new name beside it; that."""
    names = (f"{copy.stem}.before{n or ''}{copy.suffix}" for n in itertools.count())
    beside = next(path for path in map(copy.with_name, names) if not path.exists())
    with atomic_write(beside) as temporary:
        temporary.write_bytes(content)
    return beside


def _replace(copy, before, notebook):
    """Write a notebook over a copy that still holds what it held `before`; else `_Saved`."""
    with atomic_write(copy) as temporary:
        notebooks.write(temporary, notebook)
        if copy.read_bytes() != before or _saving(copy).exists():
            raise _Saved


def _saving(copy):
    """What lies beside a copy while JupyterLab saves it."""
    return copy.with_name(f".~{copy.name}")


def merged(worked, new, restore=False):
    """(A lesson's new version with what was written into the worked copy, whether that is anything, what changed).

    By cells' ids. An answer stays in its exercise, also in one that has changed, above which it is then said; another
    cell that was written in stays where the lesson has not changed it. A cell that was added stays behind the one that
    it is behind. What has no place any more comes at the end. What was run and is as before keeps its outputs.
    """
    was, now = (book["metadata"].get("i2pemd", {}).get("cells", {}) for book in (worked, new))
    mine = {cell["id"]: cell for cell in worked["cells"]}
    if len(mine) < len(worked["cells"]):
        raise ValueError("two cells with one id")
    written = {name for name, cell in mine.items() if _written(cell, was, now)}
    answers = {cell["id"] for cell in new["cells"] if cell["metadata"].get("nbgrader", {}).get("solution")}
    kept = {name for name in written & now.keys() if name in answers or was.get(name) == now[name]}
    behind, last = {None: []}, None
    for name in mine:
        if name in now:
            behind[last := name] = []
        elif name in written and name not in was:
            behind[last].append(mine[name])
    cells, changed, back = list(behind[None]), [], 0
    for cell in new["cells"]:
        name = cell["id"]
        if was and name in kept and any(was.get(each) != now.get(each) for each in (name, f"{name}-check")):
            changed.append(name)
            cells += [notebooks.markdown(f"{name}-changed", CHANGED)] * (f"{name}-changed" not in mine)
        if name in kept or name in mine and mine[name]["source"] == cell["source"]:
            cells.append(mine[name])
        elif name in mine or restore or name not in was:
            cells.append(cell)
            back += name not in mine and name in was
        cells += behind.get(name, [])
    left = [mine[name] for name in mine if name in written - kept and (name in now or name in was)]
    taken = {cell["id"] for cell in cells}
    if left:
        names = (f"before-{n:02d}" for n in itertools.count() if f"before-{n:02d}" not in taken)
        cells.append(notebooks.markdown(next(names), END))
        cells += [{**cell, "id": next(names)} for cell in left]
    odd = f", and {back} deleted {'cells' if back > 1 else 'cell'} brought back" * bool(back)
    odd += f", though {len(changed)} of the exercises changed" * bool(changed)
    odd += f"; {len(left)} of your cells {'is' if len(left) == 1 else 'are'} at its end" * bool(left)
    metadata = new["metadata"] | {name: worked["metadata"][name] for name in {"kernelspec"} & worked["metadata"].keys()}
    return {**new, "cells": cells, "metadata": metadata}, bool(written), odd


def _written(cell, was, now):
    """Whether a learner wrote a cell or in it. Where the copy remembers nothing, its text is the course's."""
    name, text = cell["id"], fingerprint(cell["source"])
    if was or name not in now:
        return was.get(name) != text
    return not notebooks.is_text(cell) and now[name] not in (text, fingerprint(GUARD + cell["source"]))
