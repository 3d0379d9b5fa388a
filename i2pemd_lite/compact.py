"""A prepared set in one small file that travels: packed parts with checksums, of at most so many MiB together.

Both tasks write one by `Prepared.save_compact` and read it by `Prepared.open`. It holds the labelled images, which are
all that training and evaluation need, and opens where only numpy, torch and safetensors are.
"""

import contextlib
import hashlib
import json
import lzma
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from i2pemd_lite import files
from i2pemd_lite.files import BadInput

FORMAT = 1  # counts the changes that make a file written before of no use
LIMIT = 45  # MiB that a file may have


def packed(parts):
    """{name: (packed bytes, sha256)} of parts = {name: function that gives a uint8 array}."""

    def pack(part):
        data = part().tobytes()
        return lzma.compress(data), _mark(data)

    return dict(zip(parts, at_once(pack, parts.values()), strict=True))


def expect_name(file):
    """Raise `BadInput` for a name by which the file would not be known again."""
    if Path(file).suffix != ".safetensors":
        raise BadInput(f"{file}: expected a name ending in .safetensors, by which it is known again; choose another")


def write(file, task, notes, parts, limit=LIMIT):
    """Write what `packed` gave, and notes that JSON can hold, whole or not at all -> MiB.

    Raises `BadInput` for another name than *.safetensors, and above `limit` MiB; nothing is written then.
    """
    expect_name(file)
    marks = {name: mark for name, (_, mark) in parts.items()}
    text = json.dumps({"format": FORMAT, "task": task, "sha256": marks} | notes)
    tensors = {name: torch.frombuffer(bytearray(data), dtype=torch.uint8) for name, (data, _) in parts.items()}
    data = save(tensors, {"compact": text, "sha256": _mark(text.encode())})
    size = len(data) / 2**20
    if size > limit:
        do = "nothing was written; prepare fewer or smaller images, such as with --set size=…"
        raise BadInput(f"{file}: expected a compact set of at most {limit:g} MiB, found {size:.2f} MiB; {do}")
    with files.atomic_write(file) as temporary:
        temporary.write_bytes(data)
    return size


def read(file, task, form=()):
    """(notes, fingerprint, unpacked) of a file that `write` wrote; unpacked() is {name: uint8 array}.

    unpacked(use) gives {name: use(name, array)} instead. The fingerprint is that of all that the file holds, and so the
    same on every machine. Both raise `BadInput` for what is damaged, of another format or of another task, and where
    the notes have not the `form` (`files.formed`).
    """

    again = f"copy it again, or make it anew with: python -m i2pemd_lite data {task} --compact"

    def unpacked(use=lambda name, array: array):
        def unpack(name):
            with files.parsing(file, f"{name} as it was written", again):
                data = lzma.decompress(parts[name])
                if _mark(data) != notes["sha256"][name]:
                    raise ValueError("other content")
            return use(name, np.frombuffer(data, np.uint8))

        return dict(zip(parts, at_once(unpack, parts), strict=True))

    with files.parsing(file, "a whole compact set", again), safe_open(file, "pt") as stored:
        about = stored.metadata() or {}
        if _mark(about["compact"].encode()) != about.get("sha256"):
            raise ValueError("other content than was written")
        notes = json.loads(about["compact"])
        files.formed(notes, {"format": FORMAT, "task": task, "sha256": dict} | dict(form), file, again)
        parts = {name: stored.get_tensor(name).numpy() for name in notes["sha256"]}
    return notes, about["sha256"][:16], unpacked


def is_one(file):
    """Whether a file is, or was, a compact set."""
    with contextlib.suppress(OSError, SafetensorError):
        if not files.unlike_file(file):
            with safe_open(file, "pt") as stored:
                return "compact" in (stored.metadata() or {})
    return False


def at_once(function, items, bar=iter):
    """`map` in threads: packing, decoding and arithmetic on arrays release the interpreter's lock. bar: of progress."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        return list(bar(pool.map(function, items)))


def _mark(data):
    return hashlib.sha256(data).hexdigest()
