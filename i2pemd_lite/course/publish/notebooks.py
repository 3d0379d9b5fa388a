"""The master notebooks: found, read, written, and taken apart into headings, links and exercises."""

import ast
import os
import re
import shutil
from functools import partial
from pathlib import Path
from typing import NamedTuple

from i2pemd_lite.course.publish.words import explained
from i2pemd_lite.files import BadInput, atomic_write, read_json, root, write_json

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
MARK = re.compile(r"\b(?:begin|end)[\s_-]*solution", flags=re.I)  # however it is spelled
CHECK = re.compile(r"""^[ \t]*check\(\s*["']\d\d[a-z]["']""", flags=re.M)
STUB = r"\1# YOUR CODE HERE\n\1raise NotImplementedError()"  # as nbgrader writes it, at the indent of the mark
SPOKEN = re.compile(r"\s*\([^()]*between\s+two\s+marks[^()]*\)")  # what a master says of the solutions that stand in it
TIMES = re.compile(r"^Reading: .*$(?!\n\nYou are here)", re.M)
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
    stems = tuple(Path(number).stem.zfill(2) for number in numbers)
    known = [any(path.stem.startswith(stem) for path in every) for stem in stems]
    if unknown := [number for number, there in zip(numbers, known, strict=True) if not there]:
        raise BadInput(f"lessons: expected some of {', '.join(path.stem for path in every)}, found {unknown[0]!r}")
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
    write_json(path, changed(notebook, lambda source: source.splitlines(keepends=True)))


def markdown(name, source):
    """A markdown cell with the id `name`."""
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def code(name, source, **metadata):
    """A code cell with the id `name`."""
    empty = {"cell_type": "code", "execution_count": None, "id": name, "metadata": metadata, "outputs": []}
    return empty | {"source": source}


def is_text(cell):
    """Whether a cell is Markdown."""
    return cell["cell_type"] == "markdown"


def changed(notebook, change, which=lambda cell: True):
    """A notebook with `change(source)` as the source of those cells for which `which(cell)` holds."""
    cells = [{**cell, "source": change(cell["source"])} if which(cell) else cell for cell in notebook["cells"]]
    return {**notebook, "cells": cells}


def spoken(notebook, name):
    """A notebook, of the lesson with this file name, without what the master alone has to say of the solutions in it;
    its words are `explained`, and after its times it says where it is in the course."""
    notebook = changed(notebook, partial(SPOKEN.sub, ""), is_text)
    if name in (names := [path.name for path in lessons()]):
        places = " · ".join(f"**{each[:2]}**" if each == name else f"[{each[:2]}]({each})" for each in names)
        notebook = changed(notebook, partial(TIMES.sub, rf"\g<0>\n\nYou are here: {places}"), is_text)
    texts = iter(explained([cell["source"] for cell in notebook["cells"] if is_text(cell)]))
    return changed(notebook, lambda _: next(texts), is_text)


def headings(cell):
    """The second-level headings in a cell; none in a cell of code."""
    return re.findall(r"^## +(.*?)\s*$", cell["source"], flags=re.M) if is_text(cell) else []


def links(notebook):
    """The relative links of a notebook's text, with what follows # and without what is shown, in their order."""
    text = "\n".join(cell["source"] for cell in notebook["cells"] if is_text(cell))
    return [(target, (place or "#")[1:]) for target, place in LINK.findall(text)]


def copy_links(notebook, path, to, again=True):
    """Copy what a notebook at `path` links to outside of its folder, and what that links to in turn, to the same places
    under `to`, those that are there only where `again`; the files copied."""
    root, copies = Path(os.path.normpath(path.parent.parent)), {}
    waiting = [path.parent / target for target, _ in links(notebook) if target.startswith("../")]
    while waiting:
        file = Path(os.path.normpath(waiting.pop(0)))
        if file in copies or not file.exists() or not file.is_relative_to(root):
            continue
        copies[file] = Path(to) / file.relative_to(root)
        for each in filter(Path.is_file, (file, *file.rglob("*"))):  # not copytree: of a folder one may not write to
            if again or not (Path(to) / each.relative_to(root)).exists():
                with atomic_write(Path(to) / each.relative_to(root)) as temporary:
                    shutil.copyfile(each, temporary)
        if file.suffix == ".md" and file.is_file():
            waiting += [file.parent / target for target, _ in LINK.findall(file.read_text(encoding="utf-8"))]
    return [copy for copy in copies.values() if copy.is_file()]


def cleared(source):
    """Source with its solution replaced by the stub, at the indent of the mark."""
    return re.sub(rf"^([ \t]*){BEGIN}[ \t]*$.*?{END}[ \t]*$", STUB, source, flags=re.M | re.S)


def task(cell):
    """The `Task` of a cell, and None when the cell holds no exercise.

    An exercise is one cell: lines with a region between the two marks, and `check("02a", answer)` as its last line.
    `BadInput` when marks and check are not so: then no copy could be made of it, or one that shows the solution.
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
        found = f"{(error.text or '').strip()!r} in line {error.lineno} ({error.msg})"
        do = "put what begins with % or ! into a cell of its own"
        raise BadInput(f"cell {cell['id']}: expected Python, found {found}; {do}") from None
    match statements:
        case [*_, ast.Expr(ast.Call(ast.Name("check"), [ast.Constant(str(name)), *_])) as last]:
            first = last.lineno - 1
        case _:
            raise BadInput(f"cell {cell['id']}: expected check(\"NAME\", answer) as the last line, found {lines[-1]!r}")
    if any(END in line for line in lines[first:]):
        raise BadInput(f"cell {cell['id']}: expected the check after {END}, found it between the marks; move it down")
    return Task(name, "\n".join(lines[:first]).rstrip(), "\n".join(lines[first:]))
