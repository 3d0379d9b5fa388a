"""A table of results that prints itself, in a terminal and in a notebook, and can be had as JSON or with pandas."""

import dataclasses
import html
import math
from pathlib import Path

from i2pemd_lite.files import write_json


@dataclasses.dataclass
class Report:
    """A table: `rows` are dicts with the same keys, `about` says how it was made (method, seed, profile, seconds).

    Example
    -------
    >>> print(Report("Dice in %", [{"modality": "CT", "liver": 93.456}, {"modality": "MR", "liver": float("nan")}]))
    Dice in %
    modality  liver
    CT         93.5
    MR            -
    """

    title: str
    rows: list
    about: dict = dataclasses.field(default_factory=dict)
    digits: int = 1

    def cells(self):
        """The table as text: a header and one list a row."""
        return [list(self.rows[0])] + [[self._cell(value) for value in row.values()] for row in self.rows]

    def _cell(self, value):
        if isinstance(value, float):
            return "-" if math.isnan(value) else f"{value:.{self.digits}f}"
        return str(value)

    def __str__(self):
        cells = self.cells()
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        numeric = [isinstance(value, int | float) for value in self.rows[0].values()]
        lines = [
            "  ".join(c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)).rstrip()
            for row in cells
        ]
        return "\n".join([self.title, *lines, *self._note()])

    def _note(self):
        return [" · ".join(f"{name} {value}" for name, value in self.about.items())] if self.about else []

    def _repr_html_(self):
        def row(tag, cells):
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        header, *body = self.cells()
        note = "".join(f"<p><small>{html.escape(line)}</small></p>" for line in self._note())
        rows = "".join(row("td", cells) for cells in body)
        return f"<table><caption>{html.escape(self.title)}</caption>{row('th', header)}{rows}</table>{note}"

    def to_pandas(self):
        """The rows as a pandas DataFrame (pandas comes with the `lab` extra)."""
        import pandas

        return pandas.DataFrame(self.rows)

    def save(self, path):
        """Write title, rows and about as JSON, whole or not at all; NaN as null."""
        rows = [
            {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
            for row in self.rows
        ]
        write_json(Path(path), {"title": self.title, "about": self.about, "rows": rows})
