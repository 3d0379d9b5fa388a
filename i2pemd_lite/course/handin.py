"""The files that learners hand in, read with suspicion: each bad one is told with all the others."""

import json
from pathlib import Path
from typing import NamedTuple

from i2pemd_lite import __version__
from i2pemd_lite.course.progress import FORMAT, WHAT, checksum
from i2pemd_lite.course.still import count
from i2pemd_lite.files import BadInput, Problems

AGAIN = "ask for a new one, made with progress.save"


class HandIn(NamedTuple):
    """What one learner did."""

    file: str
    checks: dict  # name -> {"attempts", "right", "hint", "mistakes"}
    predictions: dict  # name -> {"value", "confidence", "chance", "hit"}
    about: dict  # profile, seed, versions, panels, checksum


def read(path, folder=None):
    """The hand-in in a file, named by its path below `folder`, or by its name alone.

    Raises
    ------
    BadInput, when it is no JSON, half a file, no hand-in, of another version, or changed after it was saved
    """
    path = Path(path)
    name = path.relative_to(folder).as_posix() if folder else path.name
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{name}: expected a text file, found {error}; {AGAIN}") from None
    except json.JSONDecodeError as error:
        if not text.strip():
            raise BadInput(f"{name}: expected a hand-in, found an empty file; {AGAIN}") from None
        if text.lstrip().startswith("{") and not text.rstrip().endswith("}"):
            raise BadInput(f"{name}: expected a whole file, found one that breaks off; {AGAIN}") from None
        raise BadInput(f"{name}: expected JSON, found {error}; {AGAIN}") from None
    if not isinstance(content, dict) or content.get("what") != WHAT:
        found = "the state of a panel" if isinstance(content, dict) and "panel" in content else "other JSON"
        raise BadInput(f"{name}: expected a hand-in, found {found}; {AGAIN}")
    theirs = (content.get("versions") or {}).get("i2pemd-lite") if isinstance(content.get("versions"), dict) else None
    if content.get("format") != FORMAT or _series(theirs) != _series(__version__):
        raise BadInput(
            f"{name}: expected one saved by i2pemd-lite {__version__}, found {theirs or 'an unknown version'}, "
            "whose exercises can differ; make the report of those with that version"
        )
    if content.get("checksum") != checksum(content):
        raise BadInput(f"{name}: expected it as progress.save wrote it, found it changed since; {AGAIN}")
    if not _fits(content):
        raise BadInput(f"{name}: expected checks and predictions, found them damaged; {AGAIN}")
    about = {name: content[name] for name in ("profile", "seed", "versions", "panels", "checksum")}
    return HandIn(name, content["checks"], content["predictions"], about)


def _series(version):
    return str(version).split(".")[:2]


def _fits(content):
    """Whether all entries have the types that the report counts on: a checksum can be computed by hand as well."""

    def share(x):
        return isinstance(x, int | float) and 0 <= x <= 1

    try:
        checks = all(
            isinstance(c["attempts"], int) and c["attempts"] > 0 and isinstance(c["right"], bool)
            and isinstance(c["hint"], int) and all(isinstance(m, str) for m in c["mistakes"])
            for c in content["checks"].values()
        )  # fmt: skip
        said = all(
            share(p["confidence"]) and share(p["chance"]) and isinstance(p["hit"], bool)
            for p in content["predictions"].values()
        )
        return checks and said and all(name in content for name in ("profile", "seed", "panels"))
    except (KeyError, TypeError, AttributeError):
        return False


def read_all(folder):
    """([hand-ins], `Problems`) of all .json files in a folder and the folders in it, in the order of their
    paths; of two with the same content the first counts.

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
    found, problems, seen = [], Problems(count(len(paths), "hand-in")), {}
    for path in paths:
        with problems.collect():
            one = read(path, folder)
            first = seen.setdefault(one.about["checksum"], one.file)
            if first != one.file:
                raise BadInput(
                    f"{one.file}: expected work of its own, found the same content as in {first}; it is counted once, "
                    "ask whose it is"
                )
            found.append(one)
    if not found:
        problems.raise_if_any()
    return found, problems
