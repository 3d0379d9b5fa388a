"""What lies where on the disk, how large and how old it is, and what of it can be made again."""

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
        ("synthetic set", (own / "data" / "synthetic").glob("*"), True),
        ("copies of lessons", own.glob("work"), False),
        ("runs", (place / name for place in (own, own / "work") for name in ("runs", "sweeps")), False),
        ("pages, copies and tables", own.glob("out"), False),
        ("progress", cache.glob("progress.jsonl"), False),
    ]
    return [_of(what, path, again) for what, paths, again in found for path in sorted(paths) if path.exists()]


def _of(what, path, again):
    files = [each.lstat() for each in (path, *path.rglob("*")) if not each.is_dir()]
    written = max((each.st_mtime for each in files), default=path.stat().st_mtime)
    return Kept(what, path, sum(each.st_size for each in files), written, again)


def summary():
    """`kept` in a line."""
    sizes = {}
    for each in kept():
        sizes[each.what] = sizes.get(each.what, 0) + each.size
    return ", ".join(f"{what} {size / 2**20:.0f} MiB" for what, size in sizes.items() if size >= 2**20)


def remove(chosen):
    """Remove some `Kept`; those that cannot be made again are refused."""
    for each in chosen:
        if not each.again:
            raise ValueError(f"{each.path}: never removed")
        shutil.rmtree(each.path) if each.path.is_dir() else each.path.unlink()
