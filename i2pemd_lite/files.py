"""Files: written whole or not at all, and bad ones reported all at once.

Every error about input is a `BadInput`: it names the file or argument, what was expected, what was found, what to do.
"""

import contextlib
import csv
import errno
import hashlib
import json
import os
import re
import tempfile
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what writing ends with where a disk, a quota or a limit is full


class BadInput(ValueError):
    """Input that cannot be used; the message says which, what was expected, what was found and what to do.

    A notebook shows the message alone: where in the module it was raised says nothing more.
    """

    written = ()  # the files that were written all the same

    def _render_traceback_(self):
        return [f"{type(self).__name__}: {self}"]


class Problems:
    """Collects what is wrong with many files, so that a user sees all of it at once."""

    def __init__(self, what):
        self.what, self.found = what, []

    def add(self, name, expected, found, do="leave the file out or replace it"):
        """Note that `name` is not as expected."""
        self.found.append(f"{name}: expected {expected}, found {found}; {do}")

    @contextlib.contextmanager
    def collect(self):
        """Note a `BadInput` raised inside, and go on after it."""
        try:
            yield
        except BadInput as error:
            self.found.append(str(error))

    def raise_if_any(self):
        """Raise one `BadInput` that lists every problem noted."""
        if self.found:
            count = f"{len(self.found)} problem{'s' * (len(self.found) > 1)}"
            raise BadInput(f"{count} in {self.what}:\n  " + "\n  ".join(self.found))


def refusal(error):
    """A sentence on the file or folder that an `OSError` is about, with what to do; "" where it is about none."""
    if error.filename is None and error.errno not in FULL:
        return ""
    expected, do, cache = "a file or folder to use", "choose another path", cache_folder().absolute()
    path = error.filename and Path(error.filename).absolute()
    if path and (path.is_relative_to(cache) or cache.is_relative_to(path)):  # mkdir may name a folder above it
        do = "set I2PEMD_CACHE to a folder that can be written to"
    if error.errno in FULL:
        expected, do = "room to write it", f"make room on its disk, or {do}"
    return f"{error.filename or 'a file'}: expected {expected}, found: {error.strerror}; {do}"


@contextlib.contextmanager
def atomic_write(path):
    """A temporary path beside `path`, moved over it when the block ends well and removed when it does not.

    Where it cannot be made, or there is no room for it, the `OSError` names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffixes stay last, because writers such as nibabel choose the format by them.
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix="".join(path.suffixes[-2:]))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except Exception as error:
        number, said = getattr(error, "errno", None), re.search(r"os error (\d+)", str(error))
        if said:  # in the words of safetensors, on Windows 112
            number = errno.ENOSPC if said[1] == "112" else int(said[1])
        if number not in FULL:
            raise
        raise OSError(number, os.strerror(number), str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def run_lock(folder):
    """Inside, no other cockpit and no command trains the run in `folder`; `BadInput` when one does.

    It is a lock of the operating system, so that a process that is killed leaves none. A `Run` in Python takes none.
    """
    from filelock import FileLock, Timeout

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".training").acquire(blocking=False)
    except Timeout:
        found = "one that is being trained elsewhere; stop it there, or choose another name"
        raise BadInput(f"{folder}: expected a run that nobody trains, found {found}") from None
    with lock:
        yield


def write_text(path, text):
    """Write a file of text, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, value):
    """Write `value` as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_csv(path, rows):
    """Write rows of cells as CSV, whole or not at all."""
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def read_json(path):
    """The value in a JSON file; `BadInput` when it is absent or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: expected a JSON file, found {error}") from None


def fingerprint(*parts):
    """A short hash of strings, bytes, numbers and the name, size and time of change of paths."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            part = f"{part.name} {part.stat().st_size} {part.stat().st_mtime_ns}"
        digest.update(part if isinstance(part, bytes) else repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def root():
    """The folder that holds `data/`: the checkout when there is one, else the user's own cache folder."""
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "i2pemd-lite"


def data_folder():
    """The folder of real data that `I2PEMD_DATA` names, or None for the synthetic sets."""
    value = os.environ.get("I2PEMD_DATA")
    folder = Path(value).expanduser() if value else None
    if folder and not folder.is_dir():
        raise BadInput(f"I2PEMD_DATA: expected a folder, found {value!r}; correct it, or unset it for synthetic data")
    return folder


def cache_folder():
    """Where prepared data is kept: `I2PEMD_CACHE`, else `data/cache`."""
    return Path(os.environ.get("I2PEMD_CACHE") or root() / "data" / "cache")
