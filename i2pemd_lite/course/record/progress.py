"""What a learner has done: a journal that all kernels share, what it says, and the file to hand in.

    progress.show()                  # what is done in which lesson
    progress.calibration()           # how sure you were, and how often you were right
    progress.save("my work.json")    # to hand in: no name, no path and no time of day is in it
    progress.start_over()
"""

import hashlib
import json
import os
import re
import secrets
import sys
from pathlib import Path
from typing import Any

from i2pemd_lite.course import exercises
from i2pemd_lite.files import BadInput, cache_folder, lock, write_json
from i2pemd_lite.panels.engine.still import Still, count, drawn
from i2pemd_lite.tables.report import html_table

EXERCISE, PREDICTION = re.compile("[0-9]{2}[a-z]"), re.compile("p[0-9]{2}[a-z]")
IDENTITY, MOST_HINTS = re.compile("[0-9a-f]{16}"), 9
KINDS = {"check": EXERCISE, "challenge": EXERCISE, "prediction": PREDICTION, "start over": re.compile("(?s:.*)"),
         "journal": IDENTITY}  # fmt: skip
OPEN = "Still open"  # how what is found of an exercise begins where there is no answer yet
WHAT, FORMAT = "progress in i2pemd-lite", 1
_unwritten = []  # records of this kernel that no file took


def headless() -> bool:
    """Whether nobody is there to answer: the profile is ci, or `I2PEMD_HEADLESS` is 1; with 0 somebody is."""
    said = os.environ.get("I2PEMD_HEADLESS", "")
    return said == "1" or (said != "0" and os.environ.get("I2PEMD_PROFILE") == "ci")


def seen() -> bool:
    """Whether somebody sees what a cell shows: its kernel may ask for input, which is not so where a program runs the
    notebook. When `I2PEMD_STRICT` is 1 nobody does."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    message = getattr(shell, "get_parent", dict)()  # that which runs the cell, in Jupyter's protocol
    asks = message.get("content", {}).get("allow_stdin", False)
    return bool(asks) and not headless() and os.environ.get("I2PEMD_STRICT") != "1"


def journal() -> Path:
    """The file of the journal, one JSON object a line."""
    return cache_folder() / "progress.jsonl"


def record(kind: str, name: str, **facts: Any) -> None:
    """Append one line to the journal: `kind` is "check", "challenge" or "prediction", `name` that of what was tried.

    Two kernels at once wait for each other. Where the file cannot be written, it is said once and the record is kept
    until the kernel ends. What happens while nobody is there (`headless`) is marked by="key", and counts nowhere.
    """
    if kind not in KINDS:
        raise BadInput(f"kind: expected one of {tuple(KINDS)}, found {kind!r}")
    line = {"kind": kind, "name": name, **facts}
    line.setdefault("by", "key" if headless() and kind == "check" else "learner")
    text, path = json.dumps(line, ensure_ascii=False, allow_nan=False), journal()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(f"{path}.lock", timeout=10), open(path, "ab+") as file:
            if file.seek(0, os.SEEK_END):  # a line that a killed kernel left torn is closed, and no other is lost
                file.seek(-1, os.SEEK_END)
                file.write(b"\n" * (file.read(1) != b"\n"))
            file.write(text.encode(errors="replace") + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # filelock's Timeout is one as well
        if not _unwritten:
            print(f"Your progress cannot be saved in {path}: {error}. It is kept only until this kernel ends.")
        _unwritten.append(line)


def records() -> list[dict]:
    """All records since the last `start_over`, the oldest first; torn and odd lines are left out."""
    lines = [line for line in _lines() if line["kind"] != "journal"]
    starts = [n for n, line in enumerate(lines, 1) if line["kind"] == "start over"]
    return lines[max(starts, default=0) :]


def _lines():
    try:
        lines = journal().read_bytes().split(b"\n")
    except OSError:
        lines = []
    return [line for line in map(_parsed, lines) if line] + _unwritten


def identity() -> str:  # pyrefly: ignore[bad-return]
    """The journal's id, drawn at random when it is first asked for. It tells two hand-ins of one journal from those of
    two learners who did the same, and nothing of who they are."""
    for _ in range(2):
        # Of two kernels that draw one at once, both take the first that stands in the file.
        for line in _lines():
            if line["kind"] == "journal":
                return line["name"]
        record("journal", secrets.token_hex(8))


def _parsed(line):
    """The record in a line; None when it is no such record, so that one odd line costs only itself."""
    try:
        value = json.loads(line)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair could not be saved
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and fits(value) else None


def fits(r: dict) -> bool:
    """Whether a record, a dict, has the types that are counted on."""
    kind, name, sure = r.get("kind"), r.get("name"), r.get("confidence")
    if not (isinstance(kind, str) and kind in KINDS and isinstance(name, str) and KINDS[kind].fullmatch(name)):
        return False
    if kind == "check":
        hint = r.get("hint", 0)
        hinted = type(hint) is int and 0 <= hint <= MOST_HINTS
        return hinted and isinstance(r.get("finding", ""), str) and isinstance(r.get("right", False), bool)
    if kind == "prediction":
        shares = [r.get("chance")] if sure is None and r.get("by") != "learner" else [r.get("chance"), sure]
        return isinstance(r.get("hit"), bool) and all(type(x) in (int, float) and 0 <= x <= 1 for x in shares)
    return True


def _own(kind):
    return [r for r in records() if r["kind"] == kind and r.get("by") == "learner"]


def predictions() -> dict[str, dict]:
    """{name: {"value", "confidence", "chance", "hit"}}: the first commitment to each, which is the one that counts."""
    said = {}
    for r in _own("prediction"):
        said.setdefault(r["name"], {key: r.get(key) for key in ("value", "confidence", "chance", "hit")})
    return said


def checks() -> dict[str, dict]:
    """{name: {"attempts", "right", "hint", "mistakes"}} of each exercise, up to its first right answer.

    An exercise that was still open is no attempt, and a hint that was asked for neither. `hint` is the plainest hint
    that was shown, `mistakes` are the typical ones that were recognised.
    """
    tried = {}
    for r in _own("check"):
        each = tried.setdefault(r["name"], {"attempts": 0, "right": False, "hint": 0, "mistakes": []})
        if each["right"]:
            continue
        each["hint"] = max(each["hint"], int(r.get("hint") or 0))
        if not r.get("right") and r.get("finding", OPEN).startswith(OPEN):
            continue
        each["attempts"] += 1
        each["right"] = bool(r.get("right"))
        # Other findings quote the learner's own lines, in which a name or a path can stand.
        if r.get("finding") in exercises.known_mistakes(r["name"]) and r["finding"] not in each["mistakes"]:
            each["mistakes"].append(r["finding"])
    return {name: each for name, each in tried.items() if each["attempts"]}


def checksum(content: dict) -> str:
    """The checksum over all of a hand-in but itself."""
    rest = {key: value for key, value in content.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:32]


def save(file: Path | str) -> None:
    """Write what was done to a JSON file, to hand in: predictions, checks, states of the panels of this kernel without
    what was typed as text, seed, profile, versions, and the random id of the journal."""
    from i2pemd_lite.panels.engine import lesson, panel

    path = Path(file)
    if path.suffix != ".json":
        raise BadInput(f"file: expected a name that ends in .json, found {str(file)!r}")
    about = lesson.versions()
    content = {
        "what": WHAT, "format": FORMAT, "journal": identity(), "predictions": predictions(), "checks": checks(),
        "panels": panel.states(), "profile": about.pop("profile"), "seed": about.pop("seed"), "versions": about,
    }  # fmt: skip
    write_json(path, {**content, "checksum": checksum(content)})
    done = sum(each["right"] for each in content["checks"].values())
    print(
        f"Saved in {path}: {done} right of {count(len(content['checks']), 'exercise')} tried, "
        f"{count(len(content['predictions']), 'prediction')}, {count(len(content['panels']), 'panel')}."
    )


def show() -> Still:
    """A table of what is done in which lesson."""
    tried, said = checks(), predictions()
    won = {r["name"] for r in _own("challenge") if r.get("right")}
    numbers = sorted({*exercises.lessons(), *(name[:2] for name in tried), *(name[1:3] for name in said)})
    rows, left = [], 0
    for number in numbers:
        names = {*exercises.of_lesson(number), *exercises.challenges(number), *(n for n in tried if n[:2] == number)}
        states = (f"{n} {_state(**tried[n]) if n in tried else 'won' if n in won else 'open'}" for n in sorted(names))
        left += len(names - tried.keys() - won)
        hits = [each["hit"] for name, each in said.items() if name[1:3] == number]
        rows.append((number, " · ".join(states), f"{sum(hits)} of {len(hits)}"))
    right = sum(each["right"] for each in tried.values())
    words = f"{count(right, 'exercise')} right, {len(tried) - right} not yet, {left} open; "
    words += f"{count(len(said), 'prediction')} committed to."
    return Still(words, html=html_table(("lesson", "exercises and challenges", "predictions right"), rows))


def _state(right, attempts, **_):
    return f"{'right after' if right else 'not yet,'} {count(attempts, 'attempt')}"


def calibration() -> Still:
    """How sure you were of your predictions, and how often they were right: a picture, its words, the Brier score."""
    from i2pemd_lite.course.record import calibration

    score = calibration.score(predictions().values())
    return Still(words := calibration.words(score), drawn(5.5, 3.1, words, calibration.draw, score))


def start_over() -> None:
    """Count nothing of what was done so far. The lines stay in the journal; delete that file to lose them for good."""
    record("start over", "all", by="learner")
    print(f"You start again from zero. Your earlier work is still in {journal()}, but it no longer counts.")
