"""A table of results that prints itself, in a terminal and in a notebook, and can be had as JSON, CSV or in pandas."""

import csv
import dataclasses
import html
import math
import textwrap
from pathlib import Path

from i2pemd_lite.files import atomic_write, write_json

WIDTH = 120  # of the text under a table


@dataclasses.dataclass
class Report:
    """A table: `rows` are dicts with the same keys, `about` says how it was made (method, seed, profile, seconds).

    `notes` are sentences that belong under the table. A report of more than one table gives them as `pages`.

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

    def pages(self):
        """The tables to print, one below the other: just this one."""
        return [self]

    def cells(self):
        """The table as text: a header and one list a row."""
        return [list(self.rows[0])] + [[self._cell(value) for value in row.values()] for row in self.rows]

    def _cell(self, value):
        if isinstance(value, float):
            return "-" if math.isnan(value) else f"{value:.{self.digits}f}"
        return str(value)

    def _lines(self):
        cells = self.cells() if self.rows else []
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        numeric = [isinstance(value, int | float) for value in self.rows[0].values()] if self.rows else []
        lines = [
            "  ".join(c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)).rstrip()
            for row in cells
        ]
        return [self.title, *lines, *(textwrap.fill(line, WIDTH) for line in self._below())]

    def __str__(self):
        return "\n\n".join("\n".join(page._lines()) for page in self.pages())

    def _below(self):
        about = [" · ".join(f"{name} {value}" for name, value in self.about.items())] if self.about else []
        return about + self.notes

    def markdown(self):
        """The tables for a Markdown file."""
        return "\n\n".join(page._markdown() for page in self.pages())

    def _markdown(self):
        header, *body = self.cells() if self.rows else [[]]
        table = [header, ["---"] * len(header), *body] if header else []
        rows = ["| " + " | ".join(cells) + " |" for cells in table]
        return "\n".join([f"**{self.title}**", "", *rows, *(f"\n{line}" for line in self._below())])

    def _repr_html_(self):
        return "".join(page._html() for page in self.pages())

    def _html(self):
        def row(tag, cells):
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        header, *body = self.cells() if self.rows else [[]]
        below = "".join(f"<p><small>{html.escape(line)}</small></p>" for line in self._below())
        rows = "".join(row("td", cells) for cells in body)
        return f"<table><caption>{html.escape(self.title)}</caption>{row('th', header)}{rows}</table>{below}"

    def to_pandas(self):
        """The rows as a pandas DataFrame (pandas comes with the `lab` extra)."""
        import pandas

        return pandas.DataFrame(self.rows)

    def content(self):
        """What JSON holds of the report: title, about, notes and rows, NaN as None."""
        return {"title": self.title, "about": self.about, "notes": self.notes, "rows": without_nan(self.rows)}

    def save(self, path):
        """Write the report, whole or not at all: the rows alone where the name ends in .csv, else `content` as JSON."""
        path = Path(path)
        if path.suffix != ".csv":
            write_json(path, self.content())
            return
        with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.rows[0] if self.rows else [], lineterminator="\n")
            writer.writeheader()
            writer.writerows(without_nan(self.rows))


def without_nan(rows):
    """Rows with None for NaN, which JSON does not have.

    Example
    -------
    >>> without_nan([{"liver": float("nan"), "spleen": 1.0}])
    [{'liver': None, 'spleen': 1.0}]
    """
    return [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
        for row in rows
    ]
