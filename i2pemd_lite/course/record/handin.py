"""The files that learners hand in, read with suspicion: each bad one is told with all the others."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from i2pemd_lite import __version__
from i2pemd_lite.course.exercises import known_mistakes
from i2pemd_lite.course.record.progress import (
    EXERCISE,
    FORMAT,
    IDENTITY,
    MOST_HINTS,
    PREDICTION,
    WHAT,
    checksum,
    is_share,
)
from i2pemd_lite.files import BadInput, Problems
from i2pemd_lite.panels.engine.still import count

AGAIN = "ask for a new one, made with progress.save"
LARGEST, MOST_ATTEMPTS = 1_000_000, 100_000  # bytes of a file; attempts at one exercise


class HandIn(NamedTuple):
    """What one learner did."""

    file: str
    checks: dict  # name -> {"attempts", "right", "hint", "mistakes"}
    predictions: dict  # name -> {"value", "confidence", "chance", "hit"}
    about: dict  # journal, profile, seed, versions, panels, checksum


def read(path, folder=None):
    """The hand-in in a file, named by its path below `folder`, or by its name alone.

    Raises
    ------
    BadInput, when it is too large, no JSON, half a file, no hand-in, of another version, changed after it was saved, or
    says what no learner can have done
    """
    path = Path(path)
    name = printable(path.relative_to(folder).as_posix() if folder else path.name)
    content = _content(path, name)
    if not isinstance(content, dict) or content.get("what") != WHAT:
        found = "the state of a panel" if isinstance(content, dict) and "panel" in content else "other JSON"
        raise BadInput(f"{name}: expected a hand-in, found {found}; {AGAIN}")
    theirs = (content.get("versions") or {}).get("i2pemd-lite") if isinstance(content.get("versions"), dict) else None
    if content.get("format") != FORMAT or _series(theirs) != _series(__version__):
        known = isinstance(theirs, str) and re.fullmatch(r"[0-9A-Za-z.+-]{1,40}", theirs)
        found = theirs if known else "an unknown version"
        raise BadInput(
            f"{name}: expected one saved by i2pemd-lite {__version__}, found {found}, "
            "whose exercises can differ; make the report of those with that version"
        )
    try:
        unchanged = content.get("checksum") == checksum(content)
    except (ValueError, RecursionError):
        raise BadInput(f"{name}: expected text throughout, found text that is none; {AGAIN}") from None
    if not unchanged:
        raise BadInput(f"{name}: expected it as progress.save wrote it, found it changed since; {AGAIN}")
    if wrong := _wrong(content):
        raise BadInput(f"{name}: expected checks and predictions, found {wrong}; {AGAIN}")
    about = {key: content[key] for key in ("journal", "profile", "seed", "versions", "panels", "checksum")}
    return HandIn(name, content["checks"], content["predictions"], about)


def printable(name):
    """A file's name as it can be printed: one can hold what moves the cursor of a terminal.

    Example
    -------
    >>> printable("a\\nb.json")
    'a�b.json'
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in name)


def _content(path, name):
    """The JSON in a file."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise BadInput(f"{name}: expected a hand-in, found a file of more than 1 MB; {AGAIN}")
        text = data.decode()
        return json.loads(text)
    except BadInput:
        raise
    except OSError as error:
        raise BadInput(f"{name}: expected a text file, found {error.strerror}; {AGAIN}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{name}: expected a text file, found {error}; {AGAIN}") from None
    except json.JSONDecodeError as error:
        if not text.strip():
            raise BadInput(f"{name}: expected a hand-in, found an empty file; {AGAIN}") from None
        if text.lstrip().startswith("{") and not text.rstrip().endswith("}"):
            raise BadInput(f"{name}: expected a whole file, found one that breaks off; {AGAIN}") from None
        raise BadInput(f"{name}: expected JSON, found {error}; {AGAIN}") from None
    except ValueError:  # Python reads no whole number of more than 4300 digits
        raise BadInput(f"{name}: expected a hand-in, found a number of thousands of digits; {AGAIN}") from None


def _series(version):
    return str(version).split(".")[:2]


def _wrong(content):
    """What is wrong with the entries, None when nothing is: a checksum can be computed by hand as well.

    None of it is quoted, as it can be anything.
    """
    try:
        checks, predictions = content["checks"], content["predictions"]
        if not all(map(EXERCISE.fullmatch, checks)):
            return "a name that no exercise has"
        if not all(map(PREDICTION.fullmatch, predictions)):
            return "a name that no prediction has"
        for name, check in checks.items():
            attempts, hint, mistakes = check["attempts"], check["hint"], check["mistakes"]
            if not (type(attempts) is type(hint) is int and isinstance(check["right"], bool)):
                return "them damaged"
            if not (1 <= attempts <= MOST_ATTEMPTS and 0 <= hint <= MOST_HINTS):
                return "more than anybody tries, or less"
            if not isinstance(mistakes, list) or not set(mistakes) <= set(known_mistakes(name)):
                return "a mistake that is none of the exercise's"
        said = all(
            is_share(p["confidence"]) and is_share(p["chance"]) and isinstance(p["hit"], bool)
            for p in predictions.values()
        )
        about = re.fullmatch("[a-z0-9_-]{1,20}", content["profile"]) and type(content["seed"]) is int
        about = about and abs(content["seed"]) < 2**64
        fine = said and about and IDENTITY.fullmatch(content["journal"]) and "panels" in content
    except (KeyError, TypeError, AttributeError):
        fine = False
    return None if fine else "them damaged"


def read_all(folder):
    """([hand-ins], `Problems`) of all .json files in a folder and the folders in it, in the order of their paths; of
    those from one journal the one with most counts.

    Raises
    ------
    BadInput, when there is no such folder, no file in it, or no good one
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInput(f"{folder}: expected a folder of hand-ins, found none; correct its name")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".json" and path.is_file())
    if not paths:
        raise BadInput(f"{folder}: expected hand-ins, files that end in .json, found none; put them there")
    found, problems, most = [], Problems(count(len(paths), "hand-in")), {}
    for path in paths:
        with problems.collect():
            one = read(path, folder)
            found.append(one)
            before = most.setdefault(one.about["journal"], one)
            if _amount(one) > _amount(before):
                most[one.about["journal"]] = one
    if not found:
        problems.raise_if_any()
    for one in found:
        kept = most[one.about["journal"]]
        if kept is not one:
            problems.add(
                one.file,
                "one hand-in from each journal",
                f"one from the same journal as {kept.file}, which has as much or more and is counted",
                "where they are of two learners, ask whose it is",
            )
    return [one for one in found if most[one.about["journal"]] is one], problems


def _amount(one):
    """How much is in a hand-in: of two from one journal the later one has more, unless the learner started over."""
    right = sum(check["right"] for check in one.checks.values())
    attempts = sum(check["attempts"] for check in one.checks.values())
    return len(one.checks) + len(one.predictions), right, attempts
