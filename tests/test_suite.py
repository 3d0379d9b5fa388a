"""The suite itself: a test that hangs and one that dies end the run at once, by name; the whole is bounded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLANTED = {
    "hangs": "import time\n\ndef test_it():\n    time.sleep(600)\n",
    "dies": "import os\n\ndef test_it():\n    os.abort()\n",
}
OTHERS = "import pytest, time\n\n@pytest.mark.parametrize('n', range(300))\ndef test_other(n):\n    time.sleep(2)\n"


@pytest.mark.parametrize("what", PLANTED)
def test_the_run_ends_with_the_name_of_a_test_that(what, tmp_path, monkeypatch):
    import run as runner

    asked = []
    monkeypatch.setattr(runner, "call", lambda *words: None)
    monkeypatch.setattr(runner, "run", lambda *words, **_: asked.append(words))
    runner.test([])
    (tmp_path / "test_planted.py").write_text(PLANTED[what])
    (tmp_path / "test_others.py").write_text(OTHERS)
    options = ["-p", "conftest", "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, "-o", "faulthandler_timeout=3"]
    options += ["-n", "2"]  # a worker for each file
    command = [sys.executable, *asked[0], *options, tmp_path / "test_planted.py", tmp_path / "test_others.py"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    for name in [name for name in environment if name.startswith(("PYTEST_", "COV_"))]:
        del environment[name]  # of the run around this one
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=250)
    assert done.returncode == 1
    assert "a worker ended while it ran test_planted.py::test_it" in done.stdout
    assert 'test_planted.py", line 4 in test_it' in done.stderr  # all stacks, with the line that was running


def test_a_program_is_stopped_when_its_time_is_over(monkeypatch, capsys):
    import run as runner

    monkeypatch.setattr(runner, "PYTHON", sys.executable)
    waits = "import signal, time; signal.signal(signal.SIGINT, signal.default_int_handler); time.sleep(600)"
    assert runner.run("-c", waits, limit=1) == 1  # one that is started in the background ignores interrupts
    assert "stopped what had not ended" in capsys.readouterr().out
    assert runner.run("-c", "raise SystemExit(3)", limit=60) == 3
