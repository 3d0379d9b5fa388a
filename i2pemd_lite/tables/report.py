"""A table of results that prints itself, in a terminal and in a notebook, and can be had as JSON, CSV or in pandas.

A row is a dict of figures. What belongs to a figure lies beside it under names that begin or end alike: its SD
("auc sd"), the ends of its interval ("auc low", "auc high"), and what the paper prints ("paper auc"). Which of them are
printed, and how, is declared by `Column`s.
"""

import dataclasses
import math
import re
import statistics
import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from i2pemd_lite.device import told
from i2pemd_lite.files import write_csv, write_json
from i2pemd_lite.text import plain

WIDTH = 120  # of the text under a table
WORDS = "text-align:left;vertical-align:top;padding:3px 8px;line-height:1.35"  # style of a cell of words


class Column(NamedTuple):
    """A column of a printed table: which figure of a row, under which head, with how many digits.

    kind : "value", as it is; "mean", with its SD; "interval", with its ends; "ends", these alone; "p"; "link", to a
        file; or "words", the name itself in every row
    digits : of a "value" after the point; None: those of the report
    sign : "+" where numbers above 0 have a sign too

    Example
    -------
    >>> row = {"auc": 1.25, "auc sd": 0.5, "auc low": -0.5, "auc high": 3.0, "p": 1e-9}
    >>> Column("auc", kind="mean").cell(row), Column("auc", kind="interval", sign="+").cell(row)
    ('1.2 ± 0.5', '+1.2 [-0.5, +3.0]')
    >>> Column("auc", digits=2).cell(row), Column("p", kind="p").cell(row), Column("paper", kind="words").cell(row)
    ('1.25', '< 0.001', 'paper')
    """

    name: str
    head: str | None = None  # None: the name
    kind: str = "value"
    digits: int | None = None
    sign: str = ""

    def paper(self, digits: int | None = None) -> Self:
        """The column of what the paper prints for this figure; digits: as many as there, and without an SD."""
        return self._replace(name=f"paper {self.name}", kind=self.kind if digits is None else "value", digits=digits)

    def cell(self, row: dict, digits: int = 1) -> str:
        """What a row shows in this column; a figure that is NaN is "-"."""
        if self.kind == "words":
            return self.name
        if self.kind == "ends":
            return self._ends(row)
        value = row[self.name]
        if self.kind == "p" and isinstance(value, str):  # as the paper prints it
            return value or "-"
        if isinstance(value, float) and math.isnan(value):
            return "-"
        if self.kind == "interval":
            return f"{value:{self.sign}.1f} {self._ends(row)}"
        if self.kind == "mean":
            return plus_minus(value, row.get(f"{self.name} sd", math.nan))
        if self.kind == "p":
            return "< 0.001" if value < 0.001 else f"{value:.3f}"
        if isinstance(value, float) or self.digits is not None:
            return f"{value:{self.sign}.{digits if self.digits is None else self.digits}f}"
        return str(value)

    def _ends(self, row):
        low, high = (row[f"{self.name} {end}"] for end in ("low", "high"))
        return "-" if math.isnan(low) else f"[{low:{self.sign}.1f}, {high:{self.sign}.1f}]"

    def is_number(self, row: dict) -> bool:
        """Whether the column is one of plain numbers, which stand below each other at the right."""
        return (self.kind, self.digits, self.sign) == ("value", None, "") and isinstance(row[self.name], int | float)


BLANK = Column("", kind="words")
ROW, SETTING, SEEDS = Column("row", ""), Column("setting"), Column("seeds")


def with_paper(columns, more=(), digits=None):
    """Two lines for each row: these columns, with `more` at their end, and below them what the paper prints."""
    theirs = [BLANK, Column("paper", kind="words"), *(column.paper(digits) for column in columns)]
    return [[ROW, SETTING, *columns, *more], [*theirs, *[BLANK] * len(more)]]


def _html(column, cell):
    # Quoted, a name that has the form of an address, such as one with "javascript:", is that of a file.
    place = cell if re.match("https?://", cell) else quote(cell, errors="surrogateescape")
    link = f'<a href="{escape(place)}">{escape(Path(cell).name)}</a>'
    return f"<td>{link if column.kind == 'link' else escape(cell)}</td>"


@dataclasses.dataclass
class Report:
    """A table: `rows` are dicts with the same keys, `about` says how it was made (method, seed, profile, seconds).

    `notes` are sentences that belong under the table. A row takes a printed line for each list of `Column`s in `lines`,
    of which the first gives the heads; without any, all its figures are printed. `pages` are reports to print in place
    of this one, `below` others to print after it, {name in JSON: report}.

    Example
    -------
    >>> rows = [{"modality": "CT", "liver": 93.456}, {"modality": "MR", "liver": float("nan")}]
    >>> print(Report("Dice in %", rows, notes=["no MR scan shows a liver"]))
    Dice in %
    modality  liver
    CT         93.5
    MR            -
    no MR scan shows a liver
    """

    title: str
    rows: list
    about: dict = dataclasses.field(default_factory=dict)
    digits: int = 1
    notes: list = dataclasses.field(default_factory=list)
    lines: list = dataclasses.field(default_factory=list, repr=False)
    pages: list = dataclasses.field(default_factory=list, repr=False)
    below: dict = dataclasses.field(default_factory=dict)

    def printed(self) -> Iterator[tuple]:
        """Each report to print, with its `Column`s, their heads, the cells as text, and the sentences below."""
        for report in self.pages or [self]:
            rows = report.rows
            lines = (report.lines or [list(map(Column, rows[0]))]) if rows else [[]]
            heads = [column.name if column.head is None else column.head for column in lines[0]]
            cells = [[column.cell(row, report.digits) for column in line] for row in rows for line in lines]
            about = [" · ".join(f"{name} {value}" for name, value in report.about.items())] if report.about else []
            yield report, lines[0], heads, cells, about + report.notes
        for report in self.below.values():
            yield from report.printed()

    def __str__(self):
        texts = []
        for report, columns, heads, cells, notes in self.printed():
            table = lines([heads, *cells], [column.is_number(report.rows[0]) for column in columns])
            texts.append("\n".join([report.title, *table, *(textwrap.fill(note, WIDTH) for note in notes)]))
        return "\n\n".join(texts)

    def markdown(self) -> str:
        """The tables for a Markdown file."""
        texts = []
        for report, _, heads, cells, notes in self.printed():
            table = [markdown(heads, cells)] if cells else []
            texts.append("\n".join([f"**{report.title}**", "", *table, *(f"\n{note}" for note in notes)]))
        return "\n\n".join(texts)

    def _repr_html_(self):
        page = ""
        for report, columns, heads, cells, notes in self.printed():
            rows = [[f'<th style="{WORDS}">{escape(head)}</th>' for head in heads]] if heads else []
            rows += [map(_html, columns, row) for row in cells]
            body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
            page += f"<table><caption>{escape(report.title)}</caption>{body}</table>"
            page += "".join(f"<p><small>{escape(note)}</small></p>" for note in notes)
        return plain(page, "utf-8")

    def to_pandas(self) -> Any:
        """The rows as a pandas DataFrame (pandas comes with the `lab` extra)."""
        import pandas

        return pandas.DataFrame(self.rows)

    def content(self) -> dict[str, Any]:
        """What JSON holds of the report: title, about, notes and rows, NaN as None, and the reports below."""
        below = {name: report.content() for name, report in self.below.items()}
        return {"title": self.title, "about": self.about, "notes": self.notes, "rows": without_nan(self.rows), **below}

    @told()
    def save(self, path: Path | str) -> None:
        """Write the report, whole or not at all: the rows alone where the name ends in .csv, else `content` as JSON."""
        path = Path(path)
        if path.suffix != ".csv":
            write_json(path, self.content())
            return
        header = list(self.rows[0]) if self.rows else []
        write_csv(path, [header, *([row.get(name, "") for name in header] for row in without_nan(self.rows))])


class WordTable(tuple):
    """Rows of words as a table, for a terminal (`str`) or a notebook.

    A kind of it gives the `HEADS` of its columns, its `caption`, and of a row its `text` and `cells`, or `html_cells`.
    """

    BETWEEN = "\n"  # rows in a terminal

    def __str__(self):
        return self.BETWEEN.join(map(self.text, self))

    def __repr__(self):
        return str(self)

    def _repr_mimebundle_(self, **_):
        rows = map(self.html_cells, self)
        return {"text/html": html_table(self.HEADS, rows, self.caption), "text/plain": str(self)}

    def html_cells(self, row: Any) -> Sequence[str]:
        """The cells of a row for a page."""
        return [escape(str(cell)) for cell in self.cells(row)]


def lines(rows, numbers=()):
    """Rows of words as lines, each column as wide as its widest word; where `numbers` says so, at the right.

    Example
    -------
    >>> lines([("a", "bc", ""), ("def", "g", "h")], [False, True, False])
    ['a    bc', 'def   g  h']
    """
    columns = []
    for column, number in zip_longest(zip(*rows, strict=True), numbers):
        width = max(map(len, column))
        columns.append([cell.rjust(width) if number else cell.ljust(width) for cell in column])
    return ["  ".join(row).rstrip() for row in zip(*columns, strict=True)]


def markdown(header, rows):
    """A table for a Markdown file."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def html_table(header, rows, caption="", names=0):
    """A table of words in a page, in its own colours and at the left, so that sentences read in a light and in a dark
    theme. The cells of `rows` are HTML already; the column `names` names the rows."""
    body, head = "", "".join(f'<th scope="col" style="{WORDS}">{escape(name)}</th>' for name in header)
    for row in rows:
        cells = [f'<td style="{WORDS}">{cell}</td>' for cell in row]
        cells[names] = f'<th scope="row" style="{WORDS};font-weight:inherit">{row[names]}</th>'
        body += f"<tr>{''.join(cells)}</tr>"
    head, above = f"<tr>{head}</tr>" if head else "", f"<caption>{escape(caption)}</caption>" if caption else ""
    table = f'<table style="font-size:13px;color:inherit">{above}<thead>{head}</thead><tbody>{body}</tbody></table>'
    return f'<div style="overflow-x:auto;color:inherit">{table}</div>'


def without_nan(rows):
    """Rows with None for NaN, which JSON does not have.

    Example
    -------
    >>> without_nan([{"liver": float("nan"), "spleen": 1.0}])
    [{'liver': None, 'spleen': 1.0}]
    """
    # NaN alone is not itself
    return [{name: value if value == value else None for name, value in row.items()} for row in rows]


def with_nan(rows):
    """Rows that come from JSON, with NaN for None."""
    return [{name: math.nan if value is None else value for name, value in row.items()} for row in rows]


def spread(name, values):
    """The mean of the known values, and their SD (of a sample, n − 1) where there are two.

    Example
    -------
    >>> spread("liver", [90.0, 92.0, math.nan])
    {'liver': 91.0, 'liver sd': 1.4142135623730951}
    """
    numbers = [value for value in values if not math.isnan(value)]
    mean = statistics.fmean(numbers) if numbers else math.nan
    return {name: mean, f"{name} sd": statistics.stdev(numbers) if len(numbers) > 1 else math.nan}


def plus_minus(mean, sd=math.nan):
    """Mean ± SD as text, above 100 without a digit after the point; without an SD the mean; without a mean "-".

    Example
    -------
    >>> plus_minus(91.25, 0.5), plus_minus(91.25), plus_minus(185.6, 106.3), plus_minus(math.nan)
    ('91.2 ± 0.5', '91.2', '186 ± 106', '-')
    """
    if math.isnan(mean):
        return "-"
    digits = 1 if mean <= 100 else 0
    return f"{mean:.{digits}f}" if math.isnan(sd) else f"{mean:.{digits}f} ± {sd:.{digits}f}"
