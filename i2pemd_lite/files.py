"""Files: written whole or not at all, and bad ones reported all at once."""

import contextlib
import csv
import errno
import functools
import hashlib
import json
import logging
import os
import re
import reprlib
import secrets
import stat
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
FORMULA = re.compile(r"(?![-+]([\d.]+(e[-+]?\d+)?|inf|nan)$)'*[=+\-@\t\r\n].", re.DOTALL)  # and no number
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)  # what locking ends with where a file system has none
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what writing ends with where a disk, a quota or a limit is full


class BadInput(ValueError):
    """Input that cannot be used; the message names the file or argument, what was expected, what was found, what to do.

    A notebook shows the message alone: where in the module it was raised says nothing more.
    """

    written = ()  # the files that were written all the same

    def _render_traceback_(self):
        return [f"{type(self).__name__}: {self}"]


_SENTENCE = re.compile(r"(.*?): expected (.*?), found (.*?)(?:; ([^;]*))?")


class Problems:
    """Collects what is wrong with many files, so that a user sees all of it at once, and one cause in one sentence.

    Causes are told apart by what was expected and what to do, but for numbers in it.

    Example
    -------
    >>> problems = Problems("photos")
    >>> for i in range(1, 6):
    ...     problems.add(f"{i}.jpg", "a row in a.csv", "none", "add it")
    >>> problems.raise_if_any()
    Traceback (most recent call last):
    i2pemd_lite.files.BadInput: 5 problems in photos:
      1.jpg, 2.jpg, 3.jpg and 2 more: expected a row in a.csv, found none; add it
      each of them is listed in ...
    """

    def __init__(self, what: str):
        self.what, self.found = what, []

    def add(self, name: Any, expected: str, found: Any, do: str = "leave the file out or replace it") -> None:
        """Note that `name` is not as expected."""
        self.found.append(f"{name}: expected {expected}, found {found}; {do}")

    @contextlib.contextmanager
    def collect(self) -> Iterator[None]:
        """Note a `BadInput` raised inside, and go on after it."""
        try:
            yield
        except BadInput as error:
            self.found.append(str(error))

    def raise_if_any(self, written: Sequence = ()) -> None:
        """Raise one `BadInput` that lists every problem noted; its attribute `written` are the files written before."""
        if self.found:
            count = f"{len(self.found)} problem{'s' * (len(self.found) > 1)}"
            error = BadInput(f"{count} in {self.what}:\n  " + "\n  ".join(self._told()))
            error.written = written
            raise error

    def _told(self):
        """The sentences of `found`, but one for each cause that more than three have."""
        causes, told = {}, []
        for sentence in self.found:
            parts = _SENTENCE.fullmatch(sentence)
            cause = re.sub(r"\d+", "0", f"{parts[2]}{parts[4]}") if parts else sentence
            causes.setdefault(cause, []).append((sentence, parts))
        for sentences, parts in (zip(*each, strict=True) for each in causes.values()):
            if len(sentences) > 3 and parts[0]:
                expected, found, do = (listed(dict.fromkeys(each[i] or "" for each in parts)) for i in (2, 3, 4))
                names = [each[1] for each in parts]
                same = re.match(r".*[ /\\]|", os.path.commonprefix(names))[0]  # said once
                names = listed([names[0], *(name.removeprefix(same) for name in names[1:])])
                sentences = [f"{names}: expected {expected}, found {found}{do and f'; {do}'}"]
            told += dict.fromkeys(sentences)
        if len(told) < len(self.found):
            path = cache_folder().absolute() / "problems" / f"{fingerprint(str(self.what))}.txt"
            with contextlib.suppress(OSError):  # of a full disk, say: this is about something else
                write_text(path, "\n".join(self.found) + "\n")
                told.append(f"each of them is listed in {path}")
        return told


def listed(names):
    """Names in a sentence: all of up to three, else three of them and how many more.

    Example
    -------
    >>> listed("ab"), listed("abcdef")
    ('a, b', 'a, b, c and 3 more')
    """
    names = [str(name) for name in names]
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def grouped(said):
    """What is said of several names, {name: sentence}, as a tuple: each sentence once, with the number of its names.

    Example
    -------
    >>> grouped({"a.txt": "not used, as no image", "b.txt": "not used, as no image"})
    ('not used, as no image (2): a.txt, b.txt',)
    """
    names = {}
    for name, sentence in said.items():
        names.setdefault(sentence, []).append(name)
    return tuple(f"{sentence} ({len(each)}): {listed(each)}" for sentence, each in names.items())


def of_system(path):
    """Whether a path, from the folder where one looks on, is hidden or something that systems leave behind."""
    names = {"@eadir", "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini"}
    return any(part.startswith(".") or part.lower() in names for part in path.parts)


def unlike_file(path):
    """In words what `path` is where it is no file, nor a link to one; None for a file. Other things are never opened:
    reading a pipe or a device may never end."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "a link to nowhere" if os.path.islink(path) else "no such file"
    except (OSError, ValueError) as error:  # links in a circle, no permission, a name that there cannot be
        return getattr(error, "strerror", None) or str(error)
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return None if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "a device")


def expect_file(path, what, do="copy or download it again", most=None):
    """Raise `BadInput` unless `path` is a file, or a link to one, of at most so many bytes where `most` is given."""
    found = unlike_file(path)
    if not found and most and (size := os.stat(path).st_size) > most:
        what, found = f"{what} of at most {most / 2**20:g} MiB", f"{size / 2**20:.0f} MiB"
    if found:
        raise BadInput(f"{path}: expected {what}, found {found}; {do}")


def refusal(error, size=None):
    """A sentence on the file or folder that an `OSError` is about, with what to do; "" where it is about none.

    size : bytes that were to be written
    """
    if error.filename is None and error.errno not in FULL:
        return ""
    expected, do, cache = "a file or folder to use", "choose another path", cache_folder().absolute()
    named = isinstance(error.filename, str | bytes | os.PathLike)
    path = Path(os.fsdecode(error.filename)).absolute() if named else None
    if path and (path.is_relative_to(cache) or cache.is_relative_to(path)):  # mkdir may name a folder above it
        do = "set I2PEMD_CACHE to a folder that can be written to"
    if error.errno in FULL:
        room = "room to write it" if size is None else f"room for {max(size / 2**20, 0.1):.1f} MiB"
        expected, do = room, f"make room on its disk, or {do}"
    return f"{error.filename or 'a file'}: expected {expected}, found: {error.strerror}; {do}"


@contextlib.contextmanager
def atomic_write(path):
    """A temporary path beside `path`, moved over it when the block ends well and removed when it does not.

    Where it cannot be made, or there is no room for it, the `OSError` names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffixes stay last, because writers such as nibabel choose the format by them.
    temporary = path.with_name(f".partial-{secrets.token_hex(6)}{''.join(path.suffixes[-2:])}")
    try:
        temporary.touch()
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except Exception as error:
        number, said = getattr(error, "errno", None), re.search(r"os error (\d+)", str(error))
        if said:  # in the words of safetensors, on Windows 112
            number = errno.ENOSPC if said[1] == "112" else int(said[1])
        if number not in FULL and getattr(error, "filename", None) != str(temporary):
            raise
        raise OSError(number, os.strerror(number), str(path)) from None
    finally:
        with contextlib.suppress(OSError):  # such as that there can be no such name
            temporary.unlink(missing_ok=True)


def lock(path, timeout=-1):
    """A lock on a file for `with`, of the operating system, which frees it when a process is killed. On a disk without
    locks, as some of a network are, it keeps nobody out, and a line says so.

    timeout : seconds after which filelock's `Timeout` is raised where somebody else holds it; -1: never
    """
    from filelock import FileLock, Timeout

    held = FileLock(path, timeout=timeout)
    try:
        with contextlib.suppress(Timeout), held.acquire(timeout=0):
            pass
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        folder = Path(path).absolute().parent
        if (disk := folder.stat().st_dev) not in _lockless:
            log.warning("%s: its disk has no locks, so do not write the same thing from two programs at once", folder)
        _lockless.add(disk)
        return threading.RLock()
    return held


_lockless = set()  # disks of which it was said


@contextlib.contextmanager
def run_lock(folder):
    """Inside, no other cockpit and no command trains the run in `folder`; `BadInput` when one does.

    A `Run` in Python takes no lock.
    """
    from filelock import Timeout

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    held = lock(folder / ".training", timeout=0)
    try:
        held.acquire()
    except Timeout:
        found = "one that is being trained elsewhere; stop it there, wait for its end, or choose another folder"
        raise BadInput(f"{folder}: expected a run that nobody trains, found {found}") from None
    try:
        yield
    finally:
        held.release()


def write_text(path, text):
    """Write a file of text, whole or not at all; bytes that are no UTF-8, as of a file's name, as escapes."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path, value):
    """Write `value` as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_csv(path, rows):
    """Write rows of cells as CSV, whole or not at all; each `guarded`, and bytes that are no UTF-8 as escapes."""
    look = {"newline": "", "encoding": "utf-8", "errors": "backslashreplace"}
    with atomic_write(path) as temporary, open(temporary, "w", **look) as file:
        csv.writer(file, lineterminator="\n").writerows(map(guarded, rows))


def guarded(row):
    """Cells of a row, with an apostrophe before words that a spreadsheet would take for a formula.

    Example
    -------
    >>> guarded(["=A1", "-0.5", -1, "-", "'@x"]), unguarded("'=A1"), unguarded("''@x"), unguarded("'a")
    (["'=A1", '-0.5', -1, '-', "''@x"], '=A1', "'@x", "'a")
    """
    return [f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell for cell in row]


def unguarded(cell):
    """A cell as it was before `guarded`."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def read_json(path, form=None):
    """The value in a JSON file; `BadInput` when it is absent, not JSON, or has another form (see `formed`)."""
    with parsing(path, "a JSON file", "restore it, or have it written again"):
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    return value if form is None else formed(value, form, path)


KINDS: dict[Any, tuple] = {
    int: ("a whole number of up to 18 digits", lambda value: type(value) is int and abs(value) < 10**18),
    float: ("a finite number", lambda n: isinstance(n, int | float) and type(n) is not bool and -1e308 <= n <= 1e308),
    str: ("a word", lambda value: isinstance(value, str)),
    bool: ("True or False", lambda value: isinstance(value, bool)),
    dict: ("names with values", lambda value: isinstance(value, dict)),
    list: ("a list", lambda value: isinstance(value, list)),
    None: ("nothing", lambda value: value is None),
}
"""What a value can be by its kind: (in words, whether it is)."""


def formed(value, form, place, do="restore the file, or have it written again"):
    """`value`, which was read from the file `place`; `BadInput` says where in it something has not the `form`.

    form : {name: form}, where a name that ends in "?" may be missing; [form] of each of a list; a kind of `KINDS`;
        another value for itself; (form, form, …) where it may be any of them

    Example
    -------
    >>> formed({"seed": 1, "best": [0.5, 2.0]}, {"seed": int, "best?": [float], "more?": str}, "a.json")
    {'seed': 1, 'best': [0.5, 2.0]}
    >>> formed({"seed": 1, "best": [0.5, "2"]}, {"seed": int, "best?": [float]}, "a.json")
    Traceback (most recent call last):
    i2pemd_lite.files.BadInput: a.json: expected at best, 2 a finite number, found '2'; restore the file, or ...
    """
    if wrong := _unlike(value, form):
        at, expected, found = wrong
        at = f" at {', '.join(map(str, at))}" if at else ""
        raise BadInput(f"{place}: expected{at} {expected}, found {found}; {do}")
    return value


def _unlike(value, form):
    """(the way to the first thing that has another form, what was expected, what found), or None."""
    if isinstance(form, dict) and isinstance(value, dict):
        for name, inner in form.items():
            if (key := name.removesuffix("?")) not in value:
                if key == name:
                    return (), key, f"only {reprlib.repr([*value])}"
            elif wrong := _unlike(value[key], inner):
                return (key, *wrong[0]), *wrong[1:]
        return None
    if isinstance(form, list) and isinstance(value, list):
        wrongs = ((i, _unlike(each, form[0])) for i, each in enumerate(value, 1))
        return next((((i, *wrong[0]), *wrong[1:]) for i, wrong in wrongs if wrong), None)
    if isinstance(form, tuple):
        wrongs = [_unlike(value, each) for each in form]
        return None if None in wrongs else ((), " or ".join(wrong[1] for wrong in wrongs), reprlib.repr(value))
    kind = type(form) if isinstance(form, dict | list) else form
    expected, fits = KINDS.get(kind, (repr(form), lambda value: value == form))
    return None if fits(value) else ((), expected, reprlib.repr(value))


def write_arrays(path, arrays, notes):
    """Write arrays and notes, {name: text}, as safetensors with a hash of it all, whole or not at all."""
    from safetensors.numpy import save_file

    with atomic_write(path) as temporary:
        save_file(arrays, temporary, notes | {"mark": hash_of_arrays(arrays, notes)})


def read_arrays(path, what, do, kinds, form, key="", framework="pt"):
    """(arrays, notes) of a safetensors file; `BadInput` where it is damaged, or not the `what` that it should be.

    kinds : {name: dtype and axes} as in {"image": "float32 D H W", "label?": "uint8 D H W", "affine": "float64 4 4"};
        a letter stands for one number throughout, and what has a name that ends in "?" may be missing
    form : of the notes (see `formed`), or of the JSON in the one called `key`
    framework : "pt" gives arrays that stay in the file until they are used, "np" copies, so that it can be deleted

    What older versions wrote has no hash, and is held to its form alone.
    """
    from safetensors import safe_open

    with parsing(path, what, do), safe_open(path, framework) as file:
        arrays, notes = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
        arrays = {name: array.numpy() for name, array in arrays.items()} if framework == "pt" else arrays
        _expect_kinds(arrays, kinds)
        if notes.get("mark") not in (None, hash_of_arrays(arrays, notes)):
            raise ValueError("other content than was written")
        return arrays, formed(json.loads(notes.get(key, "null")) if key else notes, form, path, do)


def _expect_kinds(arrays, kinds):
    """Raise ValueError where an array is not of its kind."""
    sizes = {str(n): n for n in range(10)}
    for name, kind in kinds.items():
        array, (dtype, *axes) = arrays.get(key := name.removesuffix("?")), kind.split()
        if array is None and key == name:
            raise ValueError(f"no {name}")
        if array is not None:
            same = str(array.dtype) == dtype and array.ndim == len(axes)
            if not same or any(sizes.setdefault(*pair) != pair[1] for pair in zip(axes, array.shape, strict=True)):
                raise ValueError(f"{key} {array.shape} {array.dtype} instead of {kind}")


def hash_of_arrays(arrays, notes=None):
    """A hash of arrays, their names and kinds, and of the notes but for their "mark"."""
    parts = [sorted((name, text) for name, text in (notes or {}).items() if name != "mark")]
    for name, array in sorted(arrays.items()):
        parts += [name, str(array.dtype), array.shape, array.reshape(-1).view("u1").data]
    return fingerprint(*parts)


def hashed(content):
    """What a JSON file is to hold, with a hash of it, by which `is_whole` tells that it was not changed."""
    return content | {"hash": fingerprint(json.dumps(content))}


def is_whole(content):
    """Whether content that was read is what was written; that of an older version has no hash."""
    return "hash" not in content or content == hashed({name: content[name] for name in content if name != "hash"})


def fingerprint(*parts):
    """A short hash of strings, bytes, numbers and, of paths, of the name, the size and what tells a file from another.

    Of times those of change (mtime) and of any change (ctime): that, and the inode, differ where another file of the
    same size and time took a file's place.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            about = part.stat()
            part = f"{part.name} {about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"
        digest.update(part if isinstance(part, bytes | memoryview) else repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def root():
    """The folder that holds `data/` and `notebooks/`: the checkout when there is one, else `share` of the package."""
    package = Path(__file__).resolve().parent
    return package.parent if (package.parent / "pyproject.toml").is_file() else package / "share"


def home():
    """The folder for what a person writes: `I2PEMD_HOME`, else a checkout that may be written to, else `~/i2pemd`."""
    if value := os.environ.get("I2PEMD_HOME"):
        return Path(value).expanduser().absolute()
    own = (root() / "pyproject.toml").is_file() and _takes_files(root())
    return root() if own else Path.home() / "i2pemd"


@functools.cache
def _takes_files(folder):
    """Whether one can write into a folder; Windows tells by trying alone."""
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=folder):
        return True
    return False


def places(*parts):
    """Where something may lie: in the installation of somebody else, which is only read, and `home`, the last."""
    return [place.joinpath(*parts) for place in dict.fromkeys((root(), home()))]


def data_folder(what="", holds=lambda folder: True):
    """The folder of real data, or .npz file of images, that `I2PEMD_DATA` names; None for the synthetic sets.

    what, holds : where `holds(folder)` is not so, the synthetic set takes its place, with a warning that there are no
        `what`
    """
    value = os.environ.get("I2PEMD_DATA")
    folder = Path(value).expanduser() if value else None
    if folder and not (folder.is_dir() or folder.is_file() and folder.suffix.lower() == ".npz"):
        do = "correct it, or unset it for synthetic data"
        raise BadInput(f"I2PEMD_DATA: expected a folder, or a file ending in .npz, found {value!r}; {do}")
    if folder and not holds(folder):
        log.warning("I2PEMD_DATA: no %s in %s as data/README.md lays them out; synthetic ones are used", what, folder)
        return None
    return folder


def cache_folder():
    """Where prepared data is kept: `I2PEMD_CACHE`, else `data/cache` at `home`."""
    return caches()[-1]


def caches(*parts):
    """`places` of prepared data; with `I2PEMD_CACHE` that alone."""
    own = os.environ.get("I2PEMD_CACHE")
    return [Path(own, *parts)] if own else places("data", "cache", *parts)


@contextlib.contextmanager
def parsing(path, what, do="copy or download it again"):
    """Turn whatever a parser raises on a broken file, a dozen unrelated exceptions, into a `BadInput` that names it; a
    pipe or a device in place of the file is never opened."""
    if isinstance(path, str | Path):
        expect_file(path, what, do)
    try:
        yield
    except (BadInput, ImportError):
        raise
    except MemoryError:
        found = "more than the memory holds; free some of it, or take a smaller one"
        raise BadInput(f"{path}: expected {what}, found {found}") from None
    except Exception as error:
        said = re.sub(" ?<_io[^>]*>", "", str(error))
        said = re.sub(r"^(?:'\w+' object has no attribute )?'(\w+)'$", r"no \1", said)  # or a key of a dict
        reason = " ".join(said.split())[:200] or type(error).__name__
        raise BadInput(f"{path}: expected {what}, found {reason}; {do}") from None
