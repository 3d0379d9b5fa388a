"""The runs that come with the course, made anew by the cells of the lessons that train them, or held against these."""

import contextlib
import os
import re
import tempfile
from pathlib import Path
from unittest import mock

from i2pemd_lite.course.publish import notebooks
from i2pemd_lite.runs import brought

KEPT = {"05": ("weights", "moments"), "06": ("answers", "moments"), "07": ("reports",)}
"""What the later cells of a lesson need of its runs."""
LAPTOP = mock.patch.dict(os.environ, {"I2PEMD_PROFILE": "laptop", "I2PEMD_DATA": ""})  # and the sets that are drawn
NAME = re.compile(r'"(lesson(\d\d)[\w/]*)"')  # by which a cell asks for some


def ship(numbers=(), check=False, say=print):
    """Train the runs of lessons 05 to 07, or of some of them, under the laptop profile, and put them into data/runs;
    with `check` nothing is trained or written: `BadInput` says which of those that are there does not fit any more."""
    for path in notebooks.lessons(numbers or KEPT):
        sources = [cell["source"] for cell in notebooks.read(path)["cells"] if cell["cell_type"] == "code"]
        last = max((n for n, source in enumerate(sources) if NAME.search(source)), default=-1)
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), LAPTOP, brought.required(check):
            space = {"__name__": "__main__"}
            for source in sources[: last + 1]:
                found = NAME.search(source)
                exec(compile(source if check or not found else source.replace(found[0], "None"), path, "exec"), space)
                if found and not check:
                    for run in _runs(space, source, Path(folder) / "forked"):
                        brought.ship(run, found[1], *KEPT[found[2]])
                if found:
                    say(f"data/runs/{found[1]}: {', '.join(brought.names(found[1]))}")


def _runs(space, source, folder):
    """The runs that a cell trained, each in a folder of its name: those of its tables, or of the panel `curves`."""
    if made := re.search(r"^(\w+) = \w+\.tables\(", source, re.M):
        tables = space[made[1]]
        yield from (tables.TASK.resume(result.folder) for result in tables.results)
    else:
        for name, run in space["curves"].runs.items():
            twin = run.fork(folder / name)
            twin.save()
            yield twin
