"""A run's folder: settings.json, its tables, moments and checkpoint, written so that a kill loses nothing."""

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

import i2pemd_lite
from i2pemd_lite import distributed, files
from i2pemd_lite.files import BadInput
from i2pemd_lite.runs import moments
from i2pemd_lite.runs.settings import PRECISIONS

TABLES = ("history.csv", "evaluations.csv")
DATA = {"folder": str, "name": str, "fingerprint": str, "sketch?": [float]}
ABOUT = {"task": str, "settings": dict, "profile": {"precision": PRECISIONS}, "data": DATA, "versions?": dict}
"""The form of settings.json, as far as it is read."""
CHECKPOINT = {"number": int, "seconds": float, "memory?": (None, float), "settings": dict, "best?": list}
CHECKPOINT |= {  # which those of older versions lack
    "hash?": str, "tables?": dict.fromkeys(TABLES, str), "changes?": [list], "live?": (None, dict), "brought?": True,
}  # fmt: skip
"""The form of what a checkpoint says."""
FEW = 3000  # weights: smaller kernels are not rounded, as to round those of the first layer cost a point of an organ


def read_about(folder):
    """What settings.json says of the run in `folder`; `BadInput` when there is none."""
    path = Path(folder) / "settings.json"
    if not path.is_file():
        raise BadInput(f"{folder}: expected the folder of a run, found no settings.json in it; check the name")
    return files.read_json(path, ABOUT)


def read_checkpoint(folder, tensors=True):
    """What a checkpoint says about its run, and its tensors where wanted; `BadInput` when it is absent or damaged.

    In what it says, "mark" is a hash of all of it. Weights that were `rounded` are in float32 again.
    """
    path, do = Path(folder) / "checkpoint.safetensors", "train again, or restore it"
    with files.parsing(path, "the checkpoint of a run", do), safe_open(path, framework="pt") as file:
        # Cloned, because a tensor that is still mapped to the file keeps Windows from replacing it.
        names, notes = file.keys() if tensors else (), file.metadata()
        values = {name: file.get_tensor(name).clone() for name in names}
        about, mark = json.loads(notes["run"]), files.fingerprint(notes["run"])
        if "hash" in about and (notes.get("mark") != mark or tensors and about["hash"] != _hash(values)):
            raise ValueError("other content than was written")
    return files.formed(about, CHECKPOINT, path) | {"mark": mark}, _unrounded(values)


def read_tables(folder, number, hashes=None):
    """history.csv and evaluations.csv of a run up to step `number`, each a list of dicts; `BadInput` when damaged.

    hashes : {name: of its rows}, as a checkpoint has them
    """
    history, evaluations = tables = [_read_rows(Path(folder) / name, number) for name in TABLES]
    steps = [row["step"] for row in history]
    wrong = [f"step {step} in row {n}" for n, step in enumerate(steps, 1) if step != n] or [f"{len(steps)} rows"]
    if steps != [*range(1, number + 1)]:
        path = Path(folder) / "history.csv"
        raise BadInput(f"{path}: expected a row for each of {number} steps, found {wrong[0]}; restore it")
    for name, rows in zip(TABLES, tables, strict=True):
        if hashes and hashes[name] != _digest(rows).hexdigest():
            raise BadInput(f"{Path(folder) / name}: expected the rows of the checkpoint, found others; restore it")
    return history, evaluations


def _digest(rows, before=None):
    """The hash of rows of a table, after those that were hashed `before`; columns that are NaN make none."""
    digest = hashlib.sha256() if before is None else before.copy()
    for row in rows:
        digest.update(repr(sorted((name, str(value)) for name, value in row.items() if value == value)).encode())
    return digest


class Writer:
    """How a run's folder is written: whole or so that the next try makes it whole, and by one run alone.

    `marks` are those of the last checkpoint, None before the first, and of one that is being written over it; `tables`
    says how far each is written: {name: (rows, bytes, hash of the rows)}.
    """

    def __init__(self, mark=None):
        self.marks, self.tables = (mark,), {}

    def write(self, run):
        """Write all that is not there yet, the checkpoint after everything else; `BadInput` says why it cannot be."""
        self.expect_own(run.folder)
        tensors, about = _checkpoint(run)
        size = sum(tensor.nbytes for tensor in tensors.values())
        try:
            self._write(run, tensors, about)
        except OSError as error:
            if not (why := files.refusal(error, size if "checkpoint" in str(error.filename) else None)):
                raise
            raise BadInput(f"{why}; then go on, or do so elsewhere by run.fork(FOLDER)") from None

    def _write(self, run, tensors, about):
        folder, there = run.folder, moments.paths(run.folder)
        if not self.tables:
            for path in [*folder.glob(".partial-*"), *folder.glob("moments/.partial-*")]:  # of a kill
                path.unlink(missing_ok=True)
            own = {moment.step for moment in run.moments}
            for step, path in there.items():  # after the last checkpoint, or of a run that was here before
                if step not in own:
                    path.unlink()
        if self.marks[0] is None or run.number == 0:  # which may be steered before its first step
            files.write_json(folder / "settings.json", _description(run))
        if self.marks[0] is None:
            for name in ("report.json", "scores.csv"):  # of a run that was here before
                (folder / name).unlink(missing_ok=True)
        for moment in run.moments:
            if not self.tables or moment.step not in there:
                moments.write(folder, moment)
        for name, rows in zip(TABLES, (run.history, run.evaluations), strict=True):
            self.tables[name] = self._write_table(folder / name, rows)
        words = json.dumps(about | {"tables": {name: self.tables[name][2].hexdigest() for name in TABLES}})
        self.marks = (self.marks[0], files.fingerprint(words))
        _write_checkpoint(folder, tensors, words)
        self.marks = self.marks[1:]

    def expect_own(self, folder):
        """Raise `BadInput` where not this run's last checkpoint lies in the folder."""
        path, mark = folder / "checkpoint.safetensors", None
        found = "none; put the folder back where it was, or go on elsewhere by run.fork(FOLDER)"
        if path.exists():
            if self.marks[0] is None:
                raise BadInput(f"{folder}: holds a run already; resume it, or choose another folder")
            about, _ = read_checkpoint(folder, tensors=False)
            mark, found = about["mark"], f"one of step {about['number']} that somebody else wrote; resume that one"
        if mark not in self.marks:
            raise BadInput(f"{path}: expected the last checkpoint of this run, found {found}")
        self.marks = (mark,)

    def _write_table(self, path, rows):
        """Append what is not there yet, over what a try that failed left -> how far it is written now.

        The table is written whole where it is not known how far it goes, or where a new version has more columns.
        """
        count, end, digest = self.tables.get(path.name, (0, 0, None))
        new = rows[count:]
        digest = _digest(new, digest)
        if not rows:
            path.unlink(missing_ok=True)
        if not new:
            return count, end, digest
        whole = not count or any(row.keys() != rows[0].keys() for row in new)
        whole = whole or not path.exists() or path.stat().st_size < end  # somebody else removed or cut it
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, dict.fromkeys(name for row in rows for name in row), restval="nan")
        if whole:
            new, end = rows, 0
            writer.writeheader()
        writer.writerows(new)
        data = text.getvalue().encode()
        place = files.atomic_write(path) if whole else contextlib.nullcontext(path)
        try:
            with place as target, open(target, "r+b") as file:
                file.seek(end)
                file.truncate()
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:  # which names no file where the disk is full
            raise OSError(error.errno, error.strerror, error.filename or str(path)) from None
        return len(rows), end + len(data), digest


def restore(run, folder, about, tensors):
    """Bring a run that was only just built to the step of its checkpoint, `read_checkpoint(folder)`."""
    run.number, run.seconds, run.memory = about["number"], about["seconds"], about.get("memory")
    run.began = read_about(folder)["settings"]
    for name, began in run.began.items():
        if name not in (*run.settings.LIVE, "checkpoint_every") and about["settings"].get(name, began) != began:
            found = f"{began!r} beside {about['settings'][name]!r} in the checkpoint; restore the file"
            raise BadInput(f"{folder}/settings.json: expected one {name}, found {found}")
    weights, best = (_part(tensors, prefix) for prefix in ("learner.", "best."))
    own, run.brought = run.learner.state_dict(), about.get("brought", False)
    if run.brought and weights.keys() < own.keys():
        run.learner.go_without(_part(tensors, "kept."))
        weights, best = own | weights, own
    _expect(folder, weights, own)
    run.learner.load_state_dict(weights)
    state = {}
    for i, like in enumerate(run.parameters):
        if there := _part(tensors, f"optimiser.{i}."):
            _expect(folder, there, {"step": torch.tensor(0.0), "exp_avg": like, "exp_avg_sq": like})
            # In the memory layout of its weights, as before: another layout is summed in another order.
            moved = {key: torch.empty_like(like).copy_(x) for key, x in there.items() if key != "step"}
            state[i] = {"step": there["step"], **moved}
    run.optimiser.load_state_dict({**run.optimiser.state_dict(), "state": state})
    if "best" in about and about["best"][0] == about["best"][0]:  # older ones kept one that was no number
        files.formed(about["best"], [float], f"{folder}/checkpoint.safetensors")
        _expect(folder, best, own)
        run.best = (*about["best"], best)
    run.history, run.evaluations = read_tables(folder, run.number, about.get("tables"))
    run.moments = moments.read(folder, run.number)
    run.changes, run.live = about.get("changes", []), about.get("live")


def _expect(folder, tensors, like):
    kinds, own = ({name: (x.shape, x.dtype) for name, x in these.items()} for these in (tensors, like))
    if kinds != own:
        found = "others; use the version that trained it, or train it again"
        raise BadInput(f"{folder}: expected the weights of this version's network, found {found}")


def _description(run):
    """What settings.json says: the task, all settings, versions, the data's fingerprint and the commit."""
    return {
        "task": run.task,
        "settings": run.began,
        "profile": dataclasses.asdict(run.profile),
        "data": run.learner.source(),
        "versions": {"i2pemd_lite": i2pemd_lite.__version__, "torch": torch.__version__, "numpy": np.__version__},
        "threads": torch.get_num_threads(),
        "processes": distributed.count(),
        "commit": _commit(),
    }


def _commit():
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, encoding="utf-8", timeout=10)
        return done.stdout.strip() or None
    return None


def _checkpoint(run):
    """(the weights and the state of the optimiser, what is said of them)."""
    tensors = {f"learner.{name}": value for name, value in run.learner.state_dict().items()}
    for i, state in run.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{name}": value for name, value in state.items()}
    about = {"number": run.number, "seconds": run.seconds, "memory": run.memory}
    about |= {"settings": dataclasses.asdict(run.settings), "changes": run.changes, "live": run.live}
    if run.best is not None:
        about["best"] = run.best[:2]
        tensors |= {f"best.{name}": value for name, value in run.best[2].items()}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    return tensors, about | {"hash": _hash(tensors)}


def write_checkpoint(folder, tensors, about):
    """Write what `read_checkpoint` gave, with other tensors and words."""
    words = json.dumps({name: value for name, value in about.items() if name != "mark"} | {"hash": _hash(tensors)})
    _write_checkpoint(Path(folder), tensors, words)


def rounded(tensors):
    """Large kernels as whole numbers up to 127, with a unit for each of their first axis."""
    kernels = {name: w for name, w in tensors.items() if w.ndim > 2 and w.numel() > FEW and name.startswith("learner.")}
    units = {name: w.abs().flatten(1).amax(1).clamp(min=1e-30) / 127 for name, w in kernels.items()}
    found = {name: (w / _along(units[name], w)).round().to(torch.int8) for name, w in kernels.items()}
    return tensors | found | {f"{name} unit": unit for name, unit in units.items()}


def _unrounded(tensors):
    """What `rounded` gave, in float32."""
    units = {name.removesuffix(" unit"): unit for name, unit in tensors.items() if name.endswith(" unit")}
    return {name: x * _along(units[name], x) if name in units else x for name, x in tensors.items()
            if not name.endswith(" unit")}  # fmt: skip


def _along(unit, w):
    return unit.reshape(-1, *[1] * (w.ndim - 1))


def _write_checkpoint(folder, tensors, words):
    from safetensors.torch import save_file

    with files.atomic_write(folder / "checkpoint.safetensors") as temporary:
        save_file(tensors, temporary, metadata={"run": words, "mark": files.fingerprint(words)})


def _hash(tensors):
    return files.hash_of_arrays({name: tensor.numpy() for name, tensor in tensors.items()})


def _part(tensors, prefix):
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _read_rows(path, number):
    """The rows up to step `number`, without what a killed run wrote after its last checkpoint."""
    if not path.exists():
        return []
    do = "restore it, or train again"
    with files.parsing(path, "a table of a run", do), open(path, newline="", encoding="utf-8") as file:
        complete = [row for row in csv.DictReader(file) if None not in (*row, *row.values()) and row["step"].isdigit()]
        once = {tuple(row.values()): row for row in complete if int(row["step"]) <= number}  # of equal rows one
        return [{name: _number(value) for name, value in row.items()} for row in once.values()]


def _number(text):
    return int(text) if text.lstrip("-").isdigit() else float(text)
