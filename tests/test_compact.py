"""Compact files of both tasks: what they are trained with, and what is said of those that cannot be used."""

import functools
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch
from filelock import FileLock

from i2pemd_lite import compact
from i2pemd_lite.__main__ import main
from i2pemd_lite.files import BadInput

OTHER = {"segmentation": "classification", "classification": "segmentation"}


@pytest.fixture
def prepared(task):
    """The small set of a task, prepared for the ci profile."""
    return task.module.TASK.prepared(task.folder, task.module.TASK.settings_for(task.method, "ci"))


@pytest.fixture
def file(task, prepared, shared):
    """Its compact file, written once; tests that spoil one spoil a copy."""
    file = shared / "compact" / f"{task.name}.safetensors"
    file.parent.mkdir(exist_ok=True)
    with FileLock(shared / "compact.lock"):
        if not file.exists():
            prepared.save_compact(file, 45)
    return file


def bad(task, file):
    """The sentence with which a file is refused."""
    with pytest.raises(BadInput) as found:
        task.module.TASK.prepared(file, task.module.TASK.settings_for(task.method, "ci"))
    said = str(found.value)
    assert said.startswith(f"{file}: expected ") and ", found " in said and "\n" not in said
    assert "; copy it again, or" in said
    return said


BARE = """
import sys
sys.modules.update(dict.fromkeys(("nibabel", "pydicom", "PIL", "monai", "ot", "matplotlib", "IPython")))
import i2pemd_lite, torch
task = __import__(f"i2pemd_lite.{sys.argv[1]}", fromlist=["train"])
run = task.train(sys.argv[2], sys.argv[3], profile="ci", steps=2)
losses = [step.loss for step in run]
assert len(losses) == 2 and all(abs(loss) < 1e4 for loss in losses) and run.evaluations
print(run.learner.data.fingerprint, *losses)
"""


def test_it_trains_where_no_reader_of_images_is_installed(task, file):
    done = subprocess.run([sys.executable, "-c", BARE, task.name, task.method, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    fingerprint, *losses = done.stdout.split()
    assert fingerprint == task.module.Prepared.open(file).fingerprint
    here = [step.loss for step in task.train(task.method, file, profile="ci", steps=2)]
    assert [float(loss) for loss in losses] == pytest.approx(here, rel=1e-5)


def test_a_run_finds_its_file_again_and_takes_no_other_set_for_it(task, file, prepared, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(file.parent)
    words = ["train", task.name, task.method, "--profile", "ci", "--set", "steps=1", "--out", str(tmp_path / "run")]
    assert main([*words, "--data", file.name]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--resume", "run", "--set", "steps=2"]) == 0
    assert main(["evaluate", "run"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "run", "--data", str(task.folder)]) == 1
    said = capsys.readouterr().err
    mark = compact.read(file, task.name)[1]
    assert f"expected the data of fingerprint {mark}, found {prepared.fingerprint} in" in said


def test_the_fingerprint_is_that_of_all_that_a_file_holds(tmp_path):
    marks = []
    for notes, value in (({"a": 1}, 0), ({"a": 1}, 0), ({"a": 2}, 0), ({"a": 1}, 1)):
        parts = compact.packed({"part": functools.partial(np.full, 9, value, np.uint8)})
        compact.write(tmp_path / "x.safetensors", "some", notes, parts)
        marks.append(compact.read(tmp_path / "x.safetensors", "some")[1])
    assert marks[0] == marks[1] and len({*marks}) == 3


def test_the_command_writes_it_and_says_how_large_it_is(task, file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", task.name, "--data", str(task.folder), "--profile", "ci", "--compact"]) == 0
    said = capsys.readouterr().out
    written = tmp_path / "out" / "compact" / f"{task.name}.safetensors"
    size = written.stat().st_size / 2**20
    assert f" in {size:.1f} MiB" in said and "left out: " in said and " without labels" in said
    there, here = (task.module.Prepared.open(path) for path in (file, written))
    assert there.fingerprint == here.fingerprint


def test_settings_are_those_that_it_was_prepared_for(task, tmp_path, capsys):
    changes, other = {"segmentation": ("size=16,16", "(16, 16)"), "classification": ("size=16", "16")}[task.name]
    words = ["--profile", "ci", "--data"]
    file = str(tmp_path / "small.safetensors")
    assert main(["data", task.name, *words, str(task.folder), "--set", changes, "--compact", file]) == 0
    assert main(["train", task.name, task.method, *words, file, "--out", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert "that they were prepared for" in said and other in said.partition("found")[2]
    words += [file, "--out", str(tmp_path / "run"), "--set", changes, "--set", "steps=1"]
    assert main(["train", task.name, task.method, *words]) == 0


@pytest.mark.parametrize("part", [0.0, 0.05, 0.5, 0.999])
def test_a_file_that_was_cut_off_is_named(task, file, tmp_path, part):
    short = tmp_path / "short.safetensors"
    short.write_bytes(file.read_bytes()[: int(part * file.stat().st_size)])
    bad(task, short)


def test_a_byte_that_was_changed_is_seen_wherever_it_is(task, file, tmp_path):
    data, spoilt = file.read_bytes(), tmp_path / "spoilt.safetensors"
    (header,) = struct.unpack("<Q", data[:8])
    streams = range(8 + header, len(data), max((len(data) - header) // 40, 1))
    for place in (*range(0, 8 + header, max(header // 60, 1)), *streams, len(data) - 1):
        spoilt.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        bad(task, spoilt)


def test_notes_of_another_form_are_named(task, file, tmp_path):
    notes, other = compact.read(file, task.name)[0], tmp_path / "x.safetensors"
    for name, value in (("size" if task.name == "classification" else "geometry", "32"), ("name", None)):
        compact.write(other, task.name, notes | {name: value}, {})
        with pytest.raises(BadInput, match=f"x.safetensors: expected at {name} .*, found {value!r}; copy it"):
            task.module.Prepared.open(other)
    compact.write(other, task.name, {"name": "real"}, {})
    with pytest.raises(BadInput, match="x.safetensors: expected [a-z]+, found only"):
        task.module.Prepared.open(other)


def test_a_file_of_another_format_or_task_is_named(task, file, prepared, tmp_path, monkeypatch):
    later = tmp_path / "later.safetensors"
    monkeypatch.setattr(compact, "FORMAT", 2)
    prepared.save_compact(later, 45)
    monkeypatch.undo()
    assert "expected at format 1, found 2" in bad(task, later)
    notes, _, _ = compact.read(file, task.name)
    other = tmp_path / "other.safetensors"
    compact.write(other, OTHER[task.name], {k: v for k, v in notes.items() if k not in ("task", "sha256")}, {}, 45)
    assert f"expected at task {task.name!r}, found {OTHER[task.name]!r}" in bad(task, other)


def test_a_file_that_is_no_compact_set_is_named(task, tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, tmp_path / "x.safetensors")
    bad(task, tmp_path / "x.safetensors")


def test_nothing_is_written_above_the_limit(task, prepared, tmp_path):
    file = tmp_path / "out" / "x.safetensors"
    said = r"x.safetensors: expected a compact set of at most 0.001 MiB, found 0\.\d\d MiB; nothing was written"
    with pytest.raises(BadInput, match=said):
        prepared.save_compact(file, 0.001)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files there")
def test_a_full_disk_is_said_in_a_sentence(task, prepared, tmp_path, capsys):
    import resource

    file = str(tmp_path / "x.safetensors")
    words = ["data", task.name, "--data", str(task.folder), "--profile", "ci", "--compact", file]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
        assert main(words) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capsys.readouterr().err.splitlines()[-1]
    said = said.removeprefix(f"i2pemd_lite: {tmp_path / 'x.safetensors'}: ")
    assert said.startswith("expected room to write it, found: File too large; make room on its disk")
    assert not list(tmp_path.iterdir())


def test_a_name_by_which_it_would_not_be_known_is_refused_at_once(task, tmp_path, capsys):
    assert main(["data", task.name, "--data", str(task.folder), "--compact", str(tmp_path / "x.bin")]) == 1
    said = capsys.readouterr()
    assert "x.bin: expected a name ending in .safetensors" in said.err and said.out == ""
