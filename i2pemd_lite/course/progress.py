"""What a learner has done: one line for each check and each prediction, kept across lessons."""

import json

from i2pemd_lite.files import cache_folder


def record(kind, name, **facts):
    """Add one line to the journal."""
    file = cache_folder() / "progress.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a", encoding="utf-8") as journal:
        journal.write(json.dumps({"kind": kind, "name": name, **facts}) + "\n")
