"""One installation, many learners: whoever may only read it has a home of their own for what they write."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from i2pemd_lite import classification, files, segmentation
from i2pemd_lite.course.record import progress

ROOT = Path(__file__).resolve().parent.parent
# Root may write everywhere, unless it gives that right up.
ROOTS = "-dac_override,-dac_read_search"
IS_ROOT = hasattr(os, "getuid") and os.getuid() == 0
READER = ["setpriv", f"--bounding-set={ROOTS}", f"--inh-caps={ROOTS}"] if IS_ROOT else []
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the rights of another account")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """An installation of somebody else, which nobody here may write to, in a path with a space and an umlaut."""
    place = tmp_path_factory.mktemp("theirs") / "für alle"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0")[:-1]:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    venv.create(place / ".venv")
    packages = next((place / ".venv" / "lib").glob("python*")) / "site-packages"
    others = [folder for folder in sys.path if folder.endswith("site-packages")]
    (packages / "all.pth").write_text("\n".join([str(place), *others]), encoding="utf-8")
    (place / ".venv" / "installed.txt").write_text("by another Python")
    subprocess.run(["chmod", "-R", "a-w", place], check=True)
    yield place
    subprocess.run(["chmod", "-R", "u+w", place], check=True)


def run(theirs, tmp_path, *words, **environment):
    """What `run.py` says and ends with for a reader whose home is tmp_path."""
    own = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "tests" / "without")} | environment
    left = {name: os.environ[name] for name in os.environ.keys() - {"I2PEMD_CACHE", "I2PEMD_HOME"}}
    return subprocess.run([*READER, sys.executable, "run.py", *words], cwd=theirs, env=left | own, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip


def written(place):
    """When each file under a folder was written."""
    return {path: path.stat().st_mtime_ns for path in place.rglob("*")}


@only_linux
def test_a_second_account_works_from_an_installation_that_it_may_only_read(theirs, tmp_path):
    before = written(theirs)
    came = run(theirs, tmp_path, "lab", "--version")
    home = tmp_path / "i2pemd"
    assert came.returncode == 0 and f"What you write is kept in {home}." in came.stdout
    copies = sorted((home / "work").glob("*.ipynb"))
    assert [copy.name for copy in copies] == sorted(path.name for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
    assert (home / "data" / "README.md").is_file()  # to which lessons link
    copies[2].write_text("mine")
    assert run(theirs, tmp_path, "lessons", "02").returncode == 0
    assert run(theirs, tmp_path, "lab", "--version").returncode == 0 and copies[2].read_text() == "mine"
    assert (home / "out" / "lessons" / "02_ground_distance.html").is_file()
    assert b"02" in (home / "data" / "cache" / "progress.jsonl").read_bytes()
    assert written(theirs) == before


@only_linux
@pytest.mark.parametrize(("spoil", "found"), [
    (lambda place: shutil.rmtree(place / ".venv"), "found none that starts"),
    (lambda place: next(place.glob(".venv/lib/*/*/all.pth")).unlink(), "found one that was made for another place"),
])  # fmt: skip
def test_an_installation_that_is_of_no_use_is_a_sentence(theirs, tmp_path, spoil, found):
    moved = tmp_path / "moved"
    shutil.copytree(theirs, moved, symlinks=True, ignore=shutil.ignore_patterns("data"))
    subprocess.run(["chmod", "-R", "u+w", moved], check=True)
    spoil(moved)
    subprocess.run(["chmod", "-R", "a-w", moved], check=True)
    came = run(moved, tmp_path, "lab", "--version")
    subprocess.run(["chmod", "-R", "u+w", moved], check=True)
    assert came.returncode == 1 and found in came.stdout and "Traceback" not in came.stdout
    assert came.stdout.count("\n") == 1 and "ask its owner for python3 run.py setup" in came.stdout


@only_linux
def test_a_home_that_nobody_can_write_to_is_a_sentence(theirs, tmp_path):
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file" / "mine", theirs / "mine"):
        came = run(theirs, tmp_path, "lab", "--version", "--home", str(home))
        assert came.returncode == 1 and came.stdout.endswith("; choose another folder by --home\n")
        assert came.stdout.count("\n") == 1


def test_what_was_prepared_there_is_read_and_what_is_new_lies_at_home(abdomen, tmp_path, monkeypatch):
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    monkeypatch.delenv("I2PEMD_CACHE")
    monkeypatch.setattr(files, "root", lambda: theirs)

    def prepared(images):
        settings = segmentation.TASK.settings_for("joint", "ci")
        scans = segmentation.prepare(segmentation.load(abdomen), settings.geometry, progress=False)
        return classification.prepare(classification.load(images=images), 16, progress=False), scans

    monkeypatch.setenv("I2PEMD_HOME", str(theirs))
    first, before = prepared(60), written(theirs)
    monkeypatch.setenv("I2PEMD_HOME", str(mine))
    assert [each.fingerprint for each in prepared(60)] == [each.fingerprint for each in first] and not mine.exists()
    images, _ = prepared(70)
    assert Path(images.folder).is_relative_to(mine) and list(mine.glob("data/cache/skin-16-*"))
    assert progress.journal().is_relative_to(mine) and written(theirs) == before
    done = theirs / "data" / "synthetic" / "abdomen"
    done.mkdir()
    whole = {"format": segmentation.synthetic.FORMAT, "cases": 10, "seed": 0, "complete": True}
    files.write_json(done / "synthetic.json", whole)
    assert segmentation.synthetic.make() == done
