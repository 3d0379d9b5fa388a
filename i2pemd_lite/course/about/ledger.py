"""The ledger: every numbered equation of the paper with its code, its lesson, its test, and whether it holds now.

An equation has one id, eq01 … eq21: the name of a function of `equations.py`, which computes it twice and says where
the module has it, its home. The docstring there names the id, and so does a cell of a lesson. `ledger()` looks for both
and runs the function: `python -m i2pemd_lite ledger` prints the same.
"""

import ast
import re
from collections.abc import Callable, Collection
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2pemd_lite.course.about import equations
from i2pemd_lite.course.publish.notebooks import read
from i2pemd_lite.files import BadInput, root
from i2pemd_lite.tables.report import WordTable, lines

IDS = tuple(name for name in vars(equations) if re.fullmatch(r"eq\d\d", name))
PACKAGE = Path(__file__).parents[2]
NOTEBOOKS = root() / "notebooks"
DRAWS = 5  # random inputs of each equation; the largest gap counts


class Place(NamedTuple):
    """Where an id stands: a file, and in it a name with the line of its definition, or a cell."""

    file: Path
    name: str
    line: int = 0


class Row(NamedTuple):
    """One equation; `wrong` lists in words what is missing or does not hold, and is empty when all is well."""

    id: str
    test: Callable  # of `equations.py`, with what is noted on it
    home: Place | None
    lessons: list  # of Place
    gap: float
    wrong: list

    @property
    def verdict(self) -> str:
        """In a word."""
        return "right" if not self.wrong else "wrong" if self.gap > self.test.tolerance else "missing"


class Ledger(WordTable):
    """The rows, as a table for a terminal (`str`), or a notebook, where links lead to the files and the cells."""

    HEADS = ("id", "equation", "home", "lesson", "gap (allowed)", "")

    @property
    def caption(self) -> str:
        """The whole table in a sentence."""
        bad = [row.id for row in self if row.wrong]
        return f"{len(self) - len(bad)} of {len(self)} equations hold" + f"; look at {', '.join(bad)}" * bool(bad)

    def __str__(self):
        cells = [("", "", "gap", "allowed", "home", "lessons", "what it says, and what else computes it")]
        for row in self:
            home = f"{_short(row.home.file)}:{row.home.line} {row.home.name}" if row.home else "-"
            lessons = ", ".join(f"{place.file.stem[:2]} {place.name}" for place in row.lessons) or "-"
            gap, says = (f"{row.gap:.1e}", f"{row.test.tolerance:.0e}"), f"{row.test.meaning} ({row.test.independent})"
            cells.append((row.id, row.verdict, *gap, home, lessons, says))
        wrong = [f"{row.id}: {why}" for row in self for why in row.wrong]
        return "\n".join([*lines(cells), "", *wrong, self.caption])

    @staticmethod
    def html_cells(row: Row) -> tuple[str, ...]:
        """One equation under `HEADS`."""
        home, test = "-", row.test
        if row.home:
            file, name, line = row.home
            # JupyterLab's editor counts lines from 0.
            home = _link(f"../{_short(file)}#line={line - 1}", f"{file.name}:{line}") + f"<br>{escape(name)}"
        lessons = (_link(f"{file.name}#cell-id={name}", file.stem[:2]) for file, name, _ in row.lessons)
        says = f"{escape(test.meaning)}<br>${escape(test.tex)}$<br>against {escape(test.independent)}"
        gap = f"{row.gap:.1e} ({test.tolerance:.0e})"
        verdict = [f"<b>{'✗' if row.wrong else '✓'} {row.verdict}</b>", *map(escape, row.wrong)]
        return row.id, says, home, ", ".join(lessons) or "-", gap, "<br>".join(verdict)


def _link(target, text):
    return f'<a href="{escape(target)}">{escape(text)}</a>'


def ledger(notebooks: Path | str | None = None, seed: int = 0, only: Collection[str] = IDS) -> Ledger:
    """Look up all equations, also in the lessons of the folder `notebooks`, and compute them; `only` some of the ids.
    Without a folder the lessons are those of the course.

    `BadInput` when there are no notebooks, or the seed of the random inputs is below 0.

    Example
    -------
    >>> (row,) = ledger(only=["eq06"])
    >>> row.id, row.home.name, row.lessons[0].name, row.verdict
    ('eq06', 'i2pemd', 'instance-09', 'right')
    """
    if seed < 0:
        raise BadInput(f"seed: expected a whole number from 0, found {seed}; choose another --seed")
    notebooks = notebooks or NOTEBOOKS
    cells = [(file, cell) for file in sorted(Path(notebooks).glob("*.ipynb")) for cell in read(file)["cells"]]
    if not cells:
        raise BadInput(f"{notebooks}: expected the lessons, found no notebook; give their folder: --notebooks FOLDER")
    met = {name: [Place(file, cell["id"]) for file, cell in cells if name in cell["source"]] for name in only}
    return Ledger(_row(name, met[name], seed) for name in IDS if name in only)


def _row(name, lessons, seed):
    test, wrong = getattr(equations, name), []
    draws = (np.random.default_rng([seed, int(name[2:]), draw]) for draw in range(DRAWS))
    try:
        gap = max((difference(*test(random)) for random in draws), default=0.0)
        if gap > test.tolerance:
            wrong.append(f"{test.home} and {test.independent} differ by {gap:.2g}, more than {test.tolerance:.0e}")
    except Exception as error:  # a wrong home may raise anything, and is a red row, not the end of the table
        gap = np.inf
        wrong.append(f"it cannot be computed: {type(error).__name__}: {error}")
    home = _home(name, *test.home.split(":"))
    if not home:
        wrong.append(f"no docstring: the one of {test.home} does not name {name}")
    if not lessons:
        wrong.append(f"no lesson: no cell names {name}")
    return Row(name, test, home, lessons, gap, wrong)


def _home(name, module, definition):
    """The place of a definition whose docstring names the equation; None where it does not."""
    file = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    node = ast.parse(file.read_text(encoding="utf-8"))
    for part in definition.split("."):
        node = next(child for child in ast.iter_child_nodes(node) if getattr(child, "name", "") == part)
    return Place(file, definition, node.lineno) if name in (ast.get_docstring(node) or "") else None


def difference(ours, independent):
    """The largest absolute difference; infinite where shapes differ or something is no number."""
    a, b = (np.asarray(x.detach() if hasattr(x, "detach") else x, dtype=np.float64) for x in (ours, independent))
    gap = np.abs(a - b).max(initial=0) if a.shape == b.shape else np.inf
    return float(gap) if np.isfinite(gap) else float("inf")


def _short(file):
    """The file as it is named from the folder of the project, or elsewhere by its name alone."""
    return file.relative_to(PACKAGE.parent).as_posix() if file.is_relative_to(PACKAGE) else file.name
