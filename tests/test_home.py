"""One installation, many learners: whoever may only read it has a home of their own for what they write."""

import errno
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from installed import READER, copied, environment, written

from i2pemd_lite import classification, files, segmentation
from i2pemd_lite.__main__ import main
from i2pemd_lite.course.record import progress

ROOT = Path(__file__).resolve().parent.parent
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the rights of another account")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """An installation of somebody else, which nobody here may write to, in a path with a space and an umlaut."""
    place = tmp_path_factory.mktemp("theirs") / "für alle"
    copied(place)
    venv.create(place / ".venv")
    packages = next((place / ".venv" / "lib").glob("python*")) / "site-packages"
    others = [folder for folder in sys.path if folder.endswith("site-packages")]
    (packages / "all.pth").write_text("\n".join([str(place), *others]), encoding="utf-8")
    (place / ".venv" / "installed.txt").write_text("by another Python")
    subprocess.run(["chmod", "-R", "a-w", place], check=True)
    yield place
    subprocess.run(["chmod", "-R", "u+w", place], check=True)


def begun(theirs, home, *words):
    """`run.py` with some words, begun by a reader whose home is given."""
    return subprocess.Popen([*READER, sys.executable, "run.py", *words], cwd=theirs, env=environment(home), text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip


def run(theirs, home, *words):
    """What `run.py` says and ends with for a reader whose home is given."""
    with begun(theirs, home, *words) as process:
        return process.wait(), process.stdout.read()


@only_linux
def test_two_accounts_start_at_once_from_an_installation_that_they_may_only_read(theirs, tmp_path):
    """That they work through a lesson is tried with the wheel, which lies in an installation of this kind."""
    before, homes = written(theirs), [tmp_path / "one", tmp_path / "two"]
    for home, process in [(home, begun(theirs, home, "lab", "--version")) for home in homes]:
        said, _ = process.communicate()
        assert process.returncode == 0 and f"What you write is kept in {home / 'i2pemd'}." in said
        copies = sorted((home / "i2pemd" / "work").glob("*.ipynb"))
        assert [copy.name for copy in copies] == sorted(path.name for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
        assert (home / "i2pemd" / "data" / "README.md").is_file()  # to which lessons link
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
    code, said = run(moved, tmp_path, "lab", "--version")
    subprocess.run(["chmod", "-R", "u+w", moved], check=True)
    assert code == 1 and found in said and "Traceback" not in said
    assert said.count("\n") == 1 and "ask its owner for python3 run.py setup" in said


@only_linux
def test_a_home_that_nobody_can_write_to_is_a_sentence(theirs, tmp_path):
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file" / "mine", theirs / "mine"):
        code, said = run(theirs, tmp_path, "lab", "--version", "--home", str(home))
        assert code == 1 and said.endswith("; choose another folder by --home\n") and said.count("\n") == 1


def test_a_full_home_is_a_sentence_and_nothing_half_written_stays(tmp_path, monkeypatch, capsys):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "environ", {**os.environ})
    monkeypatch.setattr(os, "fsync", full)
    for words in ("lab", "work"):
        assert main([words, "--home", str(tmp_path)]) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and said.startswith(f"i2pemd_lite: {tmp_path}") and "No space left" in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.skipif(os.name == "nt", reason="Windows has other locks")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_on_a_disk_without_locks_all_goes_on_and_a_line_says_so(number, tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr(files, "_lockless", set())
    with files.run_lock(tmp_path / "run"), files.lock(tmp_path / "taking"):
        progress.record("check", "02a", right=True, by="learner")
    assert progress.checks()["02a"]["right"] and caplog.text.count("its disk has no locks") == 1


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
