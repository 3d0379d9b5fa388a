"""The files that learners hand in, read with suspicion: each bad one is told with all the others."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

from i2pemd_lite import __version__
from i2pemd_lite.course.exercises import known_mistakes
from i2pemd_lite.course.record import progress
from i2pemd_lite.files import BadInput, Problems, listed, of_system, unlike_file
from i2pemd_lite.panels.engine.still import count

AGAIN = "ask for a new one, made with progress.save"
LARGEST, MOST_ATTEMPTS = 1_000_000, 100_000  # bytes of a file; attempts at one exercise


def read(path, folder=None):
    """What `progress.save` wrote into a file, each part under its name, and as `file` the path below `folder`, or the
    name alone; `BadInput` when it is damaged, of another version, changed since, or says what nobody can have done."""
    path = Path(path)
    name = path.relative_to(folder).as_posix() if folder else path.name
    name = "".join(c if c.isprintable() else "\ufffd" for c in name)  # others can move the cursor of a terminal
    content = _content(path, name)
    if not isinstance(content, dict) or content.get("what") != progress.WHAT:
        panel = isinstance(content, dict) and "panel" in content
        raise _refused(name, "a hand-in", "the state of a panel" if panel else "other JSON")
    versions = content.get("versions")
    version = versions.get("i2pemd-lite") if isinstance(versions, dict) else None
    if content.get("format") != progress.FORMAT or str(version).split(".")[:2] != __version__.split(".")[:2]:
        is_version = isinstance(version, str) and re.fullmatch(r"[0-9A-Za-z.+-]{1,40}", version)
        other = f"{version if is_version else 'an unknown version'}, whose exercises can differ"
        todo = "make the report of these files with that version"
        raise BadInput(f"{name}: expected one saved by i2pemd-lite {__version__}, found {other}; {todo}")
    try:
        unchanged = content.get("checksum") == progress.checksum(content)
    except (ValueError, RecursionError):
        raise _refused(name, "only valid text", "characters that are not valid text") from None
    if not unchanged:
        raise _refused(name, "the file as progress.save wrote it", "one that was changed later")
    if wrong := _wrong(content):
        raise _refused(name, "checks and predictions", wrong)
    return SimpleNamespace(**content | {"file": name})


def _refused(name, expected, found):
    return BadInput(f"{name}: expected {expected}, found {found}; {AGAIN}")


def _content(path, name):
    """The JSON in a file, which may begin with the mark that Windows sets before UTF-8."""
    if unlike := unlike_file(path):
        raise _refused(name, "a text file", unlike)
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
        text = data.decode("utf-8-sig") if len(data) <= LARGEST else ""
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(name, "a text file", getattr(error, "strerror", error)) from None
    if not text.strip():
        raise _refused(name, "a hand-in", "an empty file" if len(data) <= LARGEST else "a file of more than 1 MB")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        broken = text.lstrip().startswith("{") and not text.rstrip().endswith("}")
        wrong = ("a whole file", "one that ends too early") if broken else ("JSON", error)
    except RecursionError:
        wrong = "a text file", "brackets nested too deeply"
    except ValueError:  # Python reads no whole number of more than 4300 digits
        wrong = "a hand-in", "a number of thousands of digits"
    raise _refused(name, *wrong)


def _wrong(content):
    """What is wrong with the entries, None when nothing is: a checksum can be computed by hand as well. None of it is
    quoted, as it can be anything."""
    try:
        checks, predictions = content["checks"], content["predictions"]
        if not all(map(progress.EXERCISE.fullmatch, checks)):
            return "a name that no exercise has"
        if not all(map(progress.PREDICTION.fullmatch, predictions)):
            return "a name that no prediction has"
        for name, check in checks.items():
            attempts, hint, mistakes = check["attempts"], check["hint"], check["mistakes"]
            if not (type(attempts) is type(hint) is int and isinstance(check["right"], bool)):
                return "damaged ones"
            if not (1 <= attempts <= MOST_ATTEMPTS and 0 <= hint <= progress.MOST_HINTS):
                return "a number of attempts or hints that nobody can have"
            if not isinstance(mistakes, list) or not set(mistakes) <= set(known_mistakes(name)):
                return "a mistake that this exercise does not have"
        facts = {"kind": "prediction", "by": "learner"}
        said = all(progress.fits({**each, **facts, "name": name}) for name, each in predictions.items())
        profile, seed = content["profile"], content["seed"]
        about = re.fullmatch("[a-z0-9_-]{1,20}", profile) and type(seed) is int and abs(seed) < 2**64
        fine = said and about and progress.IDENTITY.fullmatch(content["journal"]) and "panels" in content
    except (KeyError, TypeError, AttributeError):
        fine = False
    return None if fine else "damaged ones"


def read_all(folder):
    """([hand-ins], `Problems`) of all .json files in a folder and the folders in it, in the order of their paths, but
    for hidden ones and those of systems; of those from one journal the one with most counts. `BadInput`, when there is
    none, or no good one."""
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInput(f"{folder}: expected a folder of hand-ins, found none; correct its name")
    inside = [path for path in sorted(folder.rglob("*")) if not of_system(path.relative_to(folder))]
    paths = [path for path in inside if path.suffix.lower() == ".json" and not path.is_dir()]
    if not paths:
        packed = [path.name for path in inside if path.suffix.lower() == ".zip"]
        found = f"{listed(packed)}; unpack it" if packed else "none; put them there"
        raise BadInput(f"{folder}: expected hand-ins, files that end in .json, found {found}")
    hand_ins, problems = [], Problems(count(len(paths), "hand-in"))
    for path in paths:
        with problems.collect():
            hand_ins.append(read(path, folder))
    if not hand_ins:
        problems.raise_if_any()
    most = {one.journal: one for one in sorted(reversed(hand_ins), key=_amount)}  # of equal ones the first
    for one in hand_ins:
        if one is not most[one.journal]:
            counted = f"one from the same journal as {most[one.journal].file}, which has as much or more and is counted"
            do = "if they come from two learners, ask whose it is"
            problems.add(one.file, "one hand-in from each journal", counted, do)
    return [one for one in hand_ins if one is most[one.journal]], problems


def _amount(one):
    """How much is in a hand-in: of two from one journal the later one has more, unless the learner started over."""
    right, attempts = (sum(check[key] for check in one.checks.values()) for key in ("right", "attempts"))
    return len(one.checks) + len(one.predictions), right, attempts
