"""The lessons, and what their first cells say of themselves."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from i2pemd_lite.course.publish import notebooks
from i2pemd_lite.files import BadInput


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
    """All lessons of a folder, in order; by default those of the project.

    Example
    -------
    >>> [lesson.title for lesson in lessons()][:2]
    ['Start here', 'Transport']
    """
    return tuple(map(_read, notebooks.lessons(folder=folder)))


def _read(path):
    cells = tuple(notebooks.read(path)["cells"])
    title = re.search(r"^# \d\d · (.+)", cells[0]["source"], flags=re.M)
    times = re.search(r"^Reading: (\d+) minutes\. Running: (.+)", cells[0]["source"], flags=re.M)
    if not title or not times:
        raise BadInput(
            f"{path}: expected a first cell with '# NN · Title' and a line 'Reading: N minutes. Running: …', "
            "found none; write them"
        )
    return Lesson(path.name[:2], title[1], path, cells, int(times[1]), times[2])
