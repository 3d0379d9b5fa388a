"""The doctor: each thing that can be missing is found, with something to do about it."""

import shutil
import sys
from collections import namedtuple
from importlib import metadata, util

import pytest

from i2pemd_lite.__main__ import main
from i2pemd_lite.course.about import doctor, kept
from i2pemd_lite.course.publish import render

Usage = namedtuple("Usage", "total used free")


def line(about):
    return next(line for line in doctor.doctor() if line.about == about)


def test_a_report_has_what_to_do_below_what_was_found():
    lines = ["fix      disk      0 GiB free", "                   → make 2 GiB free", "1 thing to fix"]
    assert str(doctor.Examination([doctor.Line("disk", "0 GiB free", "make 2 GiB free")])).splitlines() == lines


def test_all_is_well_here():
    assert [line.about for line in doctor.doctor() if line.todo] == []
    assert str(doctor.doctor()).endswith("all well")


def test_an_old_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 0))
    assert "use Python 3.11" in line("python").todo


def test_a_package_that_is_missing_and_one_that_is_too_old(monkeypatch):
    real, version = util.find_spec, metadata.version
    monkeypatch.setattr(util, "find_spec", lambda name, *a: None if name == "nibabel" else real(name, *a))
    monkeypatch.setattr(metadata, "version", lambda name: "1.26.4" if name == "numpy" else version(name))
    found = line("packages")
    assert "nibabel>=" in found.found and "numpy>=" in found.found and "torch" not in found.found
    assert "python3 run.py lab" in found.todo
    assert "1 thing to fix" in str(doctor.Examination([found]))


def test_a_foreign_kernel_only_where_something_is_missing(monkeypatch, tmp_path):
    (tmp_path / ".venv").mkdir()
    monkeypatch.setattr(doctor, "root", lambda: tmp_path)
    assert not line("kernel").todo
    monkeypatch.setattr(doctor, "_missing", lambda: ["torch>=2.6"])
    assert ".venv" in line("kernel").todo


def test_a_gpu_that_torch_does_not_see(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/" + name)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "a GPU that torch does not see" in line("device").todo


def test_a_profile_that_is_none(monkeypatch):
    monkeypatch.setenv("I2PEMD_PROFILE", "huge")
    assert "expected one of ci, laptop, gpu" in line("device").todo


def test_no_compiler_is_told_and_is_no_fault(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "no C compiler" in line("compiler").found and not line("compiler").todo


def test_a_compiler_that_is_not_there(monkeypatch):
    monkeypatch.setenv("CC", "/nowhere/gcc -m64")
    assert "CC names /nowhere/gcc -m64, which does not exist" in line("compiler").found
    assert line("compiler").todo == "correct CC, or unset it"


def test_data_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("I2PEMD_DATA", str(tmp_path / "nowhere"))
    assert "I2PEMD_DATA: expected a folder" in line("data").todo
    monkeypatch.setenv("I2PEMD_DATA", str(tmp_path))
    assert line("data").found == f"neither scans nor images in {tmp_path}" and "data/README.md" in line("data").todo
    (tmp_path / "dermamnist.npz").write_bytes(b"")
    assert line("data").found == f"real images in {tmp_path}" and not line("data").todo
    (tmp_path / "btcv" / "RawData").mkdir(parents=True)
    assert line("data").found == f"real scans and images in {tmp_path}"


def test_a_full_disk_and_one_that_cannot_be_written(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**12, 10**12, 2**29))
    assert "make 2 GiB free" in line("disk").todo
    monkeypatch.setattr("os.access", lambda *a: False)
    assert "I2PEMD_CACHE" in line("disk").todo


def test_a_notebook_gets_a_table_and_a_line_that_the_browser_fills_in(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda what, **_: shown.append(what))
    doctor.doctor()._ipython_display_()
    table, pulse = shown
    assert table["text/html"].count("<tr>") == len(doctor.doctor()) and "all well" in table["text/plain"]
    assert "widgets do not work here" in pulse["text/plain"] and render.output({"data": pulse}) == ""
    monkeypatch.setattr(doctor, "_missing", lambda: ["anywidget>=0.9"])
    shown.clear()
    doctor.doctor()._ipython_display_()
    assert len(shown) == 1 and "<b>✗ fix</b>" in shown[0]["text/html"]


@pytest.mark.parametrize("known", [True, False])
def test_the_project_itself_may_not_be_installed(monkeypatch, known):
    def requires(name):
        if not known:
            raise metadata.PackageNotFoundError
        return ['ruff>=99; extra == "test"']

    monkeypatch.setattr(metadata, "requires", requires)
    assert doctor._missing() == ([] if known else ["i2pemd-lite"])


def test_what_can_be_made_again_is_removed_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("I2PEMD_CACHE")
    monkeypatch.setenv("I2PEMD_HOME", str(tmp_path))
    again = ("data/cache/segmentation/a/prepared.json", "data/cache/skin-24-b.safetensors",
             "data/cache/executed/c.ipynb", "data/synthetic/abdomen/synthetic.json")  # fmt: skip
    stays = ("data/cache/progress.jsonl", "work/02_one.ipynb", "work/runs/ours/settings.json", "runs/r/history.csv",
             "sweeps/s/study.log", "out/tables/tables.md", "data/mine.txt", "data/synthetic/mine/a.nii")  # fmt: skip
    for name in (*again, *stays):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(2**20))
    assert "prepared scans 1 MiB; prepared images 1 MiB" in kept.summary()
    assert main(["clean"]) == 0 and "Nothing was removed" in capsys.readouterr().out
    assert all((tmp_path / name).exists() for name in again)
    assert main(["clean", "--yes"]) == 0 and "removed 4.0 MiB" in capsys.readouterr().out
    assert not any((tmp_path / name).exists() for name in again)
    assert all((tmp_path / name).exists() for name in stays)
    assert kept.remove(kept.kept()) == []
