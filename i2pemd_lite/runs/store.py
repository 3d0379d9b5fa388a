"""A run's folder: settings.json, its tables, moments and checkpoint, written so that a kill loses nothing."""

import contextlib
import csv
import dataclasses
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import torch

import i2pemd_lite
from i2pemd_lite import distributed
from i2pemd_lite.files import BadInput, atomic_write, read_json, write_json
from i2pemd_lite.runs import moments
from i2pemd_lite.runs.settings import PRECISIONS


def read_about(folder):
    """What settings.json says of the run in `folder`; `BadInput` when there is none."""
    path = Path(folder) / "settings.json"
    if not path.is_file():
        raise BadInput(f"{folder}: expected the folder of a run, found no settings.json in it; check the name")
    about = read_json(path)
    if not isinstance(about, dict) or not {"task", "settings", "profile", "data"} <= about.keys() or (
        not isinstance(about["profile"], dict) or about["profile"].get("precision") not in PRECISIONS
    ):
        raise BadInput(f"{path}: expected task, settings, profile and data of a run, found others; restore the file")
    return about


def read_checkpoint(folder, tensors=True):
    """What a checkpoint says about its run, and its tensors where wanted; `BadInput` when it is absent or damaged."""
    from safetensors import SafetensorError, safe_open

    path = Path(folder) / "checkpoint.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            # Cloned, because a tensor that is still mapped to the file keeps Windows from replacing it.
            names = file.keys() if tensors else ()
            return json.loads(file.metadata()["run"]), {name: file.get_tensor(name).clone() for name in names}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path}: expected the checkpoint of a run, found {error}; train again, or restore it") from None


def read_tables(folder, number):
    """history.csv and evaluations.csv of a run up to step `number`, each a list of dicts; `BadInput` when damaged."""
    return tuple(_read_rows(Path(folder) / name, number) for name in ("history.csv", "evaluations.csv"))


def write(run, saved):
    """Write a run to its folder but for the checkpoint, which comes after everything else (`write_checkpoint`).

    saved : the step at which this run last wrote it; later rows and moments are added to what is there. None: never
    """
    folder = run.folder
    if not (folder / "checkpoint.safetensors").exists():
        write_json(folder / "settings.json", _description(run))
        for name in ("report.json", "scores.csv"):  # of a run that was here before
            (folder / name).unlink(missing_ok=True)
    _write_table(folder / "history.csv", run.history, saved)
    _write_table(folder / "evaluations.csv", run.evaluations, saved)
    if saved is None:  # there may be moments of a kill after the last checkpoint, or of a run that was here before
        own = {moment.step for moment in run.moments}
        for step, path in moments.paths(folder).items():
            if step not in own:
                path.unlink()
    there = () if saved is None else moments.paths(folder)
    for moment in run.moments:
        if moment.step not in there:
            moments.write(folder, moment)


def restore(run, folder, about, tensors):
    """Bring a run that was only just built to the step of its checkpoint, `read_checkpoint(folder)`."""
    run.number, run.seconds, run.memory = about["number"], about["seconds"], about.get("memory")
    weights, own = _part(tensors, "learner."), run.learner.state_dict()
    if {name: x.shape for name, x in weights.items()} != {name: x.shape for name, x in own.items()}:
        found = "others; use the version that trained it, or train it again"
        raise BadInput(f"{folder}: expected the weights of this version's network, found {found}")
    run.learner.load_state_dict(weights)
    state = {}
    for name, value in _part(tensors, "optimiser.").items():
        i, key = name.split(".", 1)
        # In the memory layout of its weights, as before: another layout is summed in another order.
        like = run.parameters[int(i)]
        layout = torch.empty_like(like) if value.shape == like.shape else torch.empty_like(value)
        state.setdefault(int(i), {})[key] = layout.copy_(value)
    run.optimiser.load_state_dict({**run.optimiser.state_dict(), "state": state})
    if "best" in about:
        run.best = (*about["best"], _part(tensors, "best."))
    run.history, run.evaluations = read_tables(folder, run.number)
    run.moments = moments.read(folder, run.number)
    run.lambdas = [(1, run.settings.weight)] * (run.number > 0)  # which of its changes the folder does not tell


def _description(run):
    """What settings.json says: the task, all settings, versions, the data's fingerprint and the commit."""
    return {
        "task": run.task,
        "settings": dataclasses.asdict(run.settings),
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


def write_checkpoint(run):
    """The weights, the optimiser and the number of steps: whole, or as they were."""
    from safetensors.torch import save_file

    about = {"number": run.number, "seconds": run.seconds, "memory": run.memory}
    about["settings"] = dataclasses.asdict(run.settings)
    tensors = {f"learner.{name}": value for name, value in run.learner.state_dict().items()}
    for i, state in run.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{name}": value for name, value in state.items()}
    if run.best is not None:
        about["best"] = run.best[:2]
        tensors |= {f"best.{name}": value for name, value in run.best[2].items()}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with atomic_write(run.folder / "checkpoint.safetensors") as temporary:
        save_file(tensors, temporary, metadata={"run": json.dumps(about)})


def _part(tensors, prefix):
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _write_table(path, rows, saved):
    """Append the rows after step `saved`; write the table whole where it is None, or a new version has more columns."""
    new = [row for row in rows if saved is None or row["step"] > saved]
    if saved is None and not rows:
        path.unlink(missing_ok=True)
    elif saved is None or new and rows[-1].keys() != rows[0].keys():
        with atomic_write(path) as temporary:
            _append(temporary, rows, header=True)
    elif new:
        _append(path, new, header=not path.exists())


def _append(path, rows, header):
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, dict.fromkeys(name for row in rows for name in row), restval="nan")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        file.flush()
        os.fsync(file.fileno())


def _read_rows(path, number):
    """The rows up to step `number`, without what a killed run wrote after its last checkpoint."""
    if not path.exists():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        complete = [row for row in rows if None not in row and None not in row.values() and row["step"].isdigit()]
        return [{name: _number(value) for name, value in row.items()} for row in complete if int(row["step"]) <= number]
    except (KeyError, ValueError, csv.Error) as error:
        found = f"{type(error).__name__}: {error}"
        raise BadInput(f"{path}: expected a table of a run, found {found}; restore it, or train again") from None


def _number(text):
    return int(text) if text.lstrip("-").isdigit() else float(text)
