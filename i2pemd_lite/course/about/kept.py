"""What lies where on the disk, how large and how old it is, and what of it can be made again."""

import contextlib
import shutil
import time
from pathlib import Path
from typing import NamedTuple

from i2pemd_lite.files import cache_folder, home


class Kept(NamedTuple):
    """Something that the course wrote: what it is, where, its bytes, when it was last written, and if it is removed."""

    what: str
    path: Path
    size: int
    written: float
    again: bool  # it can be made again; never so of answers, progress and results

    def __str__(self):
        days = int((time.time() - self.written) / 86400)
        return f"{self.size / 2**20:8.1f} MiB  {f'{days} days' if days else 'today':>9}  {self.what}: {self.path}"


def kept():
    """Each `Kept` of this home, what can be made again first."""
    cache, own = cache_folder(), home()
    found = [
        ("prepared scans", cache.glob("segmentation/*"), True),
        ("prepared images", cache.glob("skin-*"), True),
        ("lessons that were run", cache.glob("executed"), True),
        ("synthetic set", (own / "data" / "synthetic").glob("abdomen"), True),
        ("synthetic set", (own / "data" / "synthetic").glob("skin-*"), True),
        ("copies of lessons", own.glob("work/*.ipynb"), False),
        ("runs", (place / name for place in (own, own / "work") for name in ("runs", "sweeps")), False),
        ("pages, copies and tables", own.glob("out"), False),
        ("progress", cache.glob("progress.jsonl"), False),
    ]
    return [_of(what, path, again) for what, paths, again in found for path in sorted(paths) if path.exists()]


def _of(what, path, again):
    files = []
    for each in (path, *path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # it is being written, and then renamed
            files += [each.lstat()] * (not each.is_dir())
    written = max((each.st_mtime for each in files), default=0.0)
    return Kept(what, path, sum(each.st_size for each in files), written, again and not path.is_symlink())


def summary():
    """`kept` in a line."""
    parts = {}
    for each in kept():
        parts.setdefault(each.what, []).append(each)
    lines = []
    for what, each in parts.items():
        size, days = sum(one.size for one in each), int((time.time() - max(one.written for one in each)) / 86400)
        lines += [f"{what} {size / 2**20:.0f} MiB" + f", {days} days old" * (days > 0)] * (size >= 2**20)
    return "; ".join(lines)


def remove(found):
    """Remove those of some `Kept` that can be made again; what that was."""
    again = [each for each in found if each.again]
    for each in again:
        shutil.rmtree(each.path) if each.path.is_dir() else each.path.unlink()
    return again
