"""Runs that an earlier version saved, in tests/before: they open, tell what they told, go on and are evaluated.

They are of 3 steps at width 1, trained on the small synthetic sets of `conftest.py`, by the version before the rooms of
the module were set up. A machine may code or decode these sets in another way, so the fingerprint is that of this one.
"""

import json
import shutil
from pathlib import Path

import pytest

from i2pemd_lite.runs.watch import saved

BEFORE = Path(__file__).parent / "before"


@pytest.fixture
def run(task, tmp_path):
    """The folder of an earlier run, on this machine's data."""
    folder = shutil.copytree(BEFORE / task.name, tmp_path / "run")
    about = json.loads((folder / "settings.json").read_text())
    data = task.module.TASK.prepared(task.folder, task.module.TASK.settings_of(folder))
    about["data"] |= {"folder": str(task.folder), "fingerprint": data.fingerprint}
    (folder / "settings.json").write_text(json.dumps(about))
    return folder


def test_an_earlier_run_opens_goes_on_and_is_evaluated(task, run):
    told, kept = json.loads((run / "report.json").read_text()), saved(run)
    again = task.module.resume(run)
    assert (again.number, len(again.history), len(again.evaluations), len(again.moments)) == (3, 3, 2, 3)
    assert again.history == kept.history and again.settings.width == 1 and kept.settings["width"] == 1
    report = task.module.evaluate(again)
    known = [name for name in report.about if name in told["about"]]  # since then "seconds a scan" is told, too
    assert report.title == told["title"] and known == [*told["about"]]
    for row, before in zip(report.rows, told["rows"], strict=True):
        for name, value in before.items():
            same = pytest.approx(value, abs=0.5, nan_ok=True) if isinstance(value, float) else value
            assert value is None or row[name] == same, name
    again.change(steps=4)
    again.finish(progress=False)
    assert saved(run).number == 4 and [row["step"] for row in saved(run).history] == [1, 2, 3, 4]
