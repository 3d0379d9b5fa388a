"""A run's folder: settings.json, its tables and the checkpoint, written so that a kill loses nothing."""

import contextlib
import csv
import json
import os
import subprocess
from pathlib import Path

from i2pemd_lite.files import BadInput, atomic_write, read_json
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


def _part(tensors, prefix):
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _write_rows(path, rows, written):
    """Append the rows after the first `written`; with None write the table anew, whole."""
    if written is None and rows:
        with atomic_write(path) as temporary:
            _append(temporary, rows, header=True)
    elif written is None:
        path.unlink(missing_ok=True)
    elif rows[written:] and rows[-1].keys() != rows[0].keys():  # a run of an earlier version, with fewer columns
        _write_rows(path, rows, None)
    elif rows[written:]:
        _append(path, rows[written:], header=not path.exists())


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


def _commit():
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, encoding="utf-8", timeout=10)
        return done.stdout.strip() or None
    return None
