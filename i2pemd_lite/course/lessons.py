"""The lessons as files: where they lie, and what their first cells say of themselves."""

import json
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from i2pemd_lite.files import BadInput

NEAR = (Path(__file__).resolve().parents[2] / "notebooks", Path("."), Path("notebooks"))


class Lesson(NamedTuple):
    """A lesson: its number "02", title, file, cells with whole sources, minutes of reading, and times of running."""

    number: str
    title: str
    path: Path
    cells: tuple
    reading: int
    running: str


@cache
def lessons(folder=None):
    """All lessons of a folder, in order; by default those of the project, or those beside the notebook that asks.

    Example
    -------
    >>> [lesson.title for lesson in lessons()][:2]
    ['Start here', 'Transport']
    """
    folders = NEAR if folder is None else (Path(folder),)
    found = next(filter(None, (sorted(each.glob("[0-9][0-9]_*.ipynb")) for each in folders)), [])
    if not found:
        raise BadInput(f"{folders[0]}: expected the lessons, 00_….ipynb and so on, found none; start in their folder")
    return tuple(map(_read, found))


def _read(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    cells = tuple({**cell, "source": "".join(cell["source"])} for cell in cells)
    opening = next(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    title = re.search(r"^# \d\d · (.+)", opening, flags=re.M)
    times = re.search(r"^Reading: (\d+) minutes\. Running: (.+)", opening, flags=re.M)
    if not title or not times:
        raise BadInput(
            f"{path}: expected a first cell with '# NN · Title' and a line 'Reading: N minutes. Running: …', "
            "found none; write them"
        )
    return Lesson(path.name[:2], title[1], path, cells, int(times[1]), times[2])
