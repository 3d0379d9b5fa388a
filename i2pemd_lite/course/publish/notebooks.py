"""The master notebooks: found, read, written, and taken apart into headings, links and exercises."""

import ast
import json
import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

from i2pemd_lite.files import BadInput, atomic_write, read_json, root

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
MARK = re.compile(r"\b(?:begin|end)[\s_-]*solution", flags=re.I)  # however it is spelled
CHECK = re.compile(r"""^[ \t]*check\(\s*["']\d\d[a-z]["']""", flags=re.M)
STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")  # as nbgrader writes it
SPOKEN = re.compile(r"\s*\([^()]*between two marks[^()]*\)")  # what a master says of the solutions that stand in it
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")  # a file, and perhaps a place in it


class Task(NamedTuple):
    """An exercise as it stands in a master's cell: its name, the lines to solve it, and the line that checks it."""

    name: str
    solution: str
    check: str


def lessons(numbers=(), folder=None):
    """The paths of all master notebooks, or of those whose number or name is given."""
    folder = Path(folder or root() / "notebooks")
    every = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not every:
        raise BadInput(f"{folder}: expected the lessons, found none; work in a checkout of the repository")
    stems = tuple(Path(number).stem for number in numbers)
    for stem in stems:
        if not any(path.stem.startswith(stem) for path in every):
            raise BadInput(f"lessons: expected some of {', '.join(path.stem for path in every)}, found {stem!r}")
    return [path for path in every if not stems or path.stem.startswith(stems)]


def read(path):
    """A notebook as a dict, each cell's source as one string."""
    notebook = read_json(path)
    if not isinstance(notebook, dict) or "cells" not in notebook:
        raise BadInput(f"{path}: expected a notebook, found JSON without cells; take it anew from the repository")
    for number, cell in enumerate(notebook["cells"], 1):
        if not isinstance(cell, dict) or not {"cell_type", "source"} <= cell.keys():
            found = "one without them; take it anew from the repository"
            raise BadInput(f"{path}, cell number {number}: expected a type and a source, found {found}")
        cell["source"] = "".join(cell["source"])
    return notebook


def write(path, notebook):
    """Write a notebook, its sources as lists of lines, as Jupyter does."""
    cells = [{**cell, "source": cell["source"].splitlines(keepends=True)} for cell in notebook["cells"]]
    write_text(path, json.dumps({**notebook, "cells": cells}, indent=1, ensure_ascii=False) + "\n")


def write_text(path, text):
    """Write a file of text, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def markdown(name, source):
    """A markdown cell with the id `name`."""
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def code(name, source, **metadata):
    """A code cell with the id `name`."""
    return {
        "cell_type": "code", "execution_count": None, "id": name, "metadata": metadata, "outputs": [], "source": source
    }  # fmt: skip


def headings(cell):
    """The second-level headings in a cell; none in a cell of code."""
    return re.findall(r"^## +(.*?)\s*$", cell["source"], flags=re.M) if cell["cell_type"] == "markdown" else []


def links(notebook):
    """The relative links of a notebook's text, with what follows # and without what is shown, in their order."""
    text = "\n".join(cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    return [(target, (place or "#")[1:]) for target, place in LINK.findall(text)]


def copy_links(notebook, path, to):
    """Copy what a notebook at `path` links to outside of its folder to the same places under `to`; the copies made."""
    outside = [target for target, _ in links(notebook) if target.startswith("../")]
    return [copy for target in outside for copy in copy_linked(path.parent / target, to, path.parent.parent)]


def copy_linked(path, to, root, done=None):
    """Copy a file to the place under `to` that it has under `root`, and what it links to in turn; the copies made."""
    path, root, done = Path(os.path.normpath(path)), Path(os.path.normpath(root)), {} if done is None else done
    if path in done or not path.exists() or not path.is_relative_to(root):
        return []
    done[path] = copy = Path(to) / path.relative_to(root)
    if path.is_dir():
        shutil.copytree(path, copy, dirs_exist_ok=True, copy_function=_copy)
        return []
    _copy(path, copy)
    if path.suffix == ".md":
        for target, _ in LINK.findall(path.read_text(encoding="utf-8")):
            copy_linked(path.parent / target, to, root, done)
    return [each for each in done.values() if each.is_file()]


def _copy(path, copy):
    with atomic_write(copy) as temporary:
        shutil.copyfile(path, temporary)


def spoken(cell):
    """The source of a cell, of a text without what the master alone has to say of the solutions in it."""
    return SPOKEN.sub("", cell["source"]) if cell["cell_type"] == "markdown" else cell["source"]


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
        if BEGIN in line:
            indent, inside = re.match(r"\s*", line)[0], True
            lines += [indent + stub for stub in STUB]
        elif END in line:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def task(cell):
    """The `Task` of a cell, and None when the cell holds no exercise.

    An exercise is one cell: lines with a region between the two marks, and `check("02a", answer)` as its last line.

    Raises
    ------
    BadInput, when marks and check are not so: then no copy could be made of it, or one that shows the solution.
    """
    source = cell["source"]
    if cell["cell_type"] != "code" or not (MARK.search(source) or CHECK.search(source)):
        return None
    lines = source.splitlines()
    marks = [line.strip() for line in lines if MARK.search(line)]
    if not marks or marks != [BEGIN, END] * (len(marks) // 2):
        raise BadInput(f"cell {cell['id']}: expected {BEGIN} before {END}, each alone on its line, found {marks}")
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        found = (error.text or "").strip()
        raise BadInput(
            f"cell {cell['id']}: expected Python, found {found!r} in line {error.lineno} ({error.msg}); "
            "put what begins with % or ! into a cell of its own"
        ) from None
    last = statements[-1] if statements else None
    match last:
        case ast.Expr(ast.Call(ast.Name("check"), [ast.Constant(str(name)), *_])):
            first = last.lineno - 1
        case _:
            raise BadInput(f"cell {cell['id']}: expected check(\"NAME\", answer) as the last line, found {lines[-1]!r}")
    if any(END in line for line in lines[first:]):
        raise BadInput(f"cell {cell['id']}: expected the check after {END}, found it between the marks; move it down")
    return Task(name, "\n".join(lines[:first]).rstrip(), "\n".join(lines[first:]))
