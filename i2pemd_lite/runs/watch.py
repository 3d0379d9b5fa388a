"""A run as its folder tells it: settings, tables and moments, without data, network or weights, and so in no time."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from i2pemd_lite.files import BadInput, formed
from i2pemd_lite.runs import moments
from i2pemd_lite.runs.store import read_about, read_checkpoint, read_tables
from i2pemd_lite.text import bar

SETTINGS = {"method": str, "seed": int, "steps": int, "weight": float}
"""The form of the settings that every comparison of runs names."""


class Saved(NamedTuple):
    """What is known of a run without its network."""

    place: str  # its folder, or "in memory"
    task: str
    settings: dict
    number: int  # steps done at its last checkpoint
    history: list
    evaluations: list
    moments: list
    changes: list  # as those of a `Run`
    began: dict  # the settings of its first step
    data: dict  # as `Learner.source` says it
    brought: bool  # whether it came with the course


def saved(run):
    """The `Saved` of a `Run`, as it was when it last evaluated or was saved, or of the run in a folder.

    `BadInput` names the file: for a folder that holds no run, one without a checkpoint (which is still being written,
    or was stopped at its start), a damaged file, or one of another version.
    """
    if not isinstance(run, str | Path):
        tables = (list(table) for table in (run.history, run.evaluations, run.moments, run.changes))
        place, now = str(run.folder or "in memory"), dataclasses.asdict(run.settings)
        return Saved(place, run.task, now, run.number, *tables, run.began or now, run.learner.source(), run.brought)
    folder = Path(run)
    start, path = read_about(folder), folder / "checkpoint.safetensors"
    if not path.exists():
        raise BadInput(
            f"{path}: expected the checkpoint of a run, found none: the run is still being written, or was stopped at "
            "its start; come back later, or train it again"
        )
    # The checkpoint first: whatever a run that goes on writes meanwhile lies behind it.
    about, _ = read_checkpoint(folder, tensors=False)
    formed(about["settings"], SETTINGS, f"the settings in {path}")
    number = about["number"]
    history, evaluations = read_tables(folder, number, about.get("tables"))
    found, changes = moments.read(folder, number), about.get("changes", [])
    rest = history, evaluations, found, changes, start["settings"], start["data"], about.get("brought", False)
    return Saved(str(folder), start["task"], about["settings"], number, *rest)


def tensorboard(run):
    """Let a run write its tables also as event files, in `events` of its folder, each time that it is saved; the run.

    They begin anew with all that the tables have, so that nothing is missing after a kill. `BadInput` where torch finds
    no TensorBoard, or the run has no folder.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        found = "none; install it with: pip install tensorboard"
        raise BadInput(f"--log tensorboard: expected TensorBoard to write for, found {found}") from None
    if run.folder is None:
        raise BadInput("--log tensorboard: expected a run with a folder, found one in memory only; give it a folder")
    writer, done = SummaryWriter(run.folder / "events", purge_step=0), {"train": 0, "held back": 0}

    def write(run):
        for part, rows in {"train": run.history, "held back": run.evaluations}.items():
            for row in rows[done[part] :]:
                for name, value in row.items():
                    if name != "step":
                        writer.add_scalar(f"{part}/{name}", value, row["step"])
            done[part] = len(rows)
        writer.flush()

    run.on_save.append(write)
    return run


def watch(folder: Path | str, process: Any, steps: int, every: float = 0.5) -> Iterator[Saved]:
    """The `Saved` of a run that another process trains, again each time that it has saved, to its end.

    The `folder` may not be there yet. `process` trains, with a `poll()` that is None while it goes on and then its exit
    status, such as a `subprocess.Popen`; a `bar` shows how many of the `steps` it has done; `every` are the seconds
    between two looks. `BadInput` where the process has ended and left no run, or ended with another status than 0.

    Example
    -------
    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     next(watch(folder, SimpleNamespace(poll=lambda: 0), 20))
    Traceback (most recent call last):
    i2pemd_lite.files.BadInput: ...: expected the folder of a run, found no settings.json in it; check the name
    """
    number, before = None, 0

    def looks():
        nonlocal number
        status = None
        while status is None:
            status = process.poll()  # before the look, so that the last one sees all
            try:
                now = saved(folder)
            except BadInput:
                if status is not None:
                    raise
            else:
                if now.number != number:
                    number = now.number
                    yield now
            if status is None:
                time.sleep(every)
        if status:
            expected = f"a training that ends well, found that it ended with status {status} after step {number or 0}"
            do = f"see what it printed, then go on with train --resume {folder}"
            raise BadInput(f"{folder}: expected {expected}; {do}")

    with contextlib.suppress(BadInput):
        before = saved(folder).number
    known = {"done": before, "known": lambda: number or before}
    return bar(looks(), "training elsewhere", "step", steps, stop="stop watching", **known)
