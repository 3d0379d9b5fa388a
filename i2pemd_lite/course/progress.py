"""What a learner has done: a journal that all kernels share."""

import json
import os

from filelock import FileLock

from i2pemd_lite.files import BadInput, cache_folder

KINDS = ("check", "prediction", "start over")
_unwritten = []  # records of this kernel that no file took


def journal():
    """The file of the journal, one JSON object a line."""
    return cache_folder() / "progress.jsonl"


def record(kind, name, **facts):
    """Append one line to the journal: `kind` is "check" or "prediction", `name` that of the exercise or prediction.

    Two kernels at once wait for each other. A line that a killed kernel left torn is closed first, so that only that
    one is lost. Where the file cannot be written, it is said once and the record is kept until the kernel ends.
    """
    if kind not in KINDS:
        raise BadInput(f"kind: expected one of {KINDS}, found {kind!r}")
    line = {"kind": kind, "name": name, **facts}
    text = json.dumps(line, ensure_ascii=False, allow_nan=False)
    path = journal()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=10), open(path, "ab+") as file:
            if file.tell() and _last_byte(file) != b"\n":
                file.write(b"\n")
            file.write(text.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # filelock's Timeout is one as well
        if not _unwritten:
            print(f"Your progress cannot be kept in {path}: {error}. It is kept until this kernel ends.")
        _unwritten.append(line)


def _last_byte(file):
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def records():
    """All records since the last `start_over`, the oldest first; torn lines are left out."""
    try:
        lines = journal().read_bytes().splitlines()
    except OSError:
        lines = []
    found = [line for line in map(_parsed, lines) if line] + _unwritten
    starts = [n for n, line in enumerate(found) if line["kind"] == "start over"]
    return found[starts[-1] + 1 :] if starts else found


def _parsed(line):
    try:
        value = json.loads(line)
    except ValueError:
        return None
    fine = isinstance(value, dict) and value.get("kind") in KINDS and isinstance(value.get("name"), str)
    return value if fine else None


def committed(name):
    """Whether a learner has committed to the prediction `name`."""
    return any(r["kind"] == "prediction" and r["name"] == name and r.get("by") == "learner" for r in records())
