"""The runs that come with the course, made anew by the cells of the lessons that train them, or held against these."""

import contextlib
import math
import os
import re
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

from i2pemd_lite.course.publish import notebooks
from i2pemd_lite.files import BadInput
from i2pemd_lite.runs import brought

KEPT = {"05": ("weights", "moments"), "06": ("answers", "moments"), "07": ("reports",)}
"""What the later cells of a lesson need of its runs."""
LAPTOP = mock.patch.dict(os.environ, {"I2PEMD_PROFILE": "laptop", "I2PEMD_DATA": "", "I2PEMD_HEADLESS": "1"})
NAME = re.compile(r'"(lesson(\d\d)[\w/]*)"')  # by which a cell asks for some


def ship(numbers=(), check=False, say=print):
    """Train the runs of lessons 05 to 07, or of some of them, under the laptop profile, and put them into data/runs;
    with `check` nothing is written, and only the first step is trained of each: `BadInput` says which of those that are
    there does not fit any more."""
    for path in notebooks.lessons(numbers or KEPT):
        sources = [cell["source"] for cell in notebooks.read(path)["cells"] if cell["cell_type"] == "code"]
        last = max((n for n, source in enumerate(sources) if NAME.search(source)), default=-1)
        if last < 0:
            say(f"{path.name}: no runs come with this lesson")
        required = mock.patch.object(brought, "required", check)
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), LAPTOP, required:
            space = {"__name__": "__main__"}
            for source in sources[: last + 1]:
                found = NAME.search(source)
                exec(compile(source if check or not found else source.replace(found[0], "None"), path, "exec"), space)
                if found:
                    task, runs = _runs(space, source)
                    for name, run in runs.items():
                        if check:
                            _compare(task, run, f"data/runs/{found[1]}/{name}")
                        else:
                            brought.ship(run, found[1], *KEPT[found[2]])
                    say(f"data/runs/{found[1]}: {', '.join(brought.names(found[1]))}")


def _runs(space, source):
    """(the task, {name: run}) of what a cell trained: the runs of its tables, or of the panel `curves`, whose forks
    have no folder yet and get one of their name."""
    if made := re.search(r"^(\w+) = \w+\.tables\(", source, re.M):
        task, folders = space[made[1]].TASK, [result.folder for result in space[made[1]].results]
        return task, {folder.name: task.resume(folder) for folder in folders}
    panel = space["curves"]
    return panel.task, {name: run if run.brought else _saved(run, name) for name, run in panel.runs.items()}


def _saved(run, name):
    twin = run.fork(Path("forked") / name)
    twin.save()
    return twin


def _compare(task, run, name):
    """`BadInput` where the first step of a run has other losses now than when it was shipped."""
    new = task.train(data=run.learner.data, **run.began)
    next(new)
    new.fetch()
    for column, now in new.history[0].items():
        if not np.isclose(now, then := run.history[0].get(column, math.nan), brought.NEAR, brought.NEAR, True):
            raise BadInput(f"{name}: expected in step 1 {column} {now:.6g}, found {then:.6g}; ship it anew")
