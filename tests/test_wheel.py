"""Whoever has nothing but the wheel has the course: it is built from the sdist, and installed without the project."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from installed import READER, copied, environment, written

from i2pemd_lite import segmentation

ROOT = Path(__file__).resolve().parent.parent
WHOLE = 5_000_000  # bytes at most, of either
BUILD = "import sys; from setuptools import build_meta as build; print(getattr(build, sys.argv[1])(sys.argv[2]))"
ASKED = """
from i2pemd_lite import fused
from i2pemd_lite.__main__ import main
assert [main(words) for words in {}] == [0, 0, 0]
print("compiled:", fused._compiled(5) is not None)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist and the wheel that is built from it."""
    place = tmp_path_factory.mktemp("built")
    copied(place / "project")

    def make(what, where):
        words = [sys.executable, "-c", BUILD, what, str(place)]
        told = subprocess.run(words, cwd=where, capture_output=True, text=True, check=True).stdout
        return place / told.splitlines()[-1]

    sdist = make("build_sdist", place / "project")
    shutil.unpack_archive(sdist, place, filter="data")
    return sdist, make("build_wheel", place / sdist.name.removesuffix(".tar.gz"))


@pytest.fixture(scope="module")
def alone(built, tmp_path_factory):
    """The folder of commands of an environment with the wheel, at a path with a space and an umlaut, which nobody here
    may write to."""
    place = tmp_path_factory.mktemp("alone") / "für mich"
    venv.create(place, with_pip=False, symlinks=True)
    bare = ["-m", "uv", "pip", "install", "--quiet", "--no-deps", "--no-index", "--python", str(place), str(built[1])]
    subprocess.run([sys.executable, *bare], check=True)
    commands = place / ("Scripts" if os.name == "nt" else "bin")
    packages = next(path for path in place.rglob("site-packages") if path.is_dir())
    others = [folder for folder in sys.path if folder.endswith("site-packages")]
    (packages / "others.pth").write_text("\n".join(others), encoding="utf-8")
    if os.name != "nt":
        subprocess.run(["chmod", "-R", "a-w", place], check=True)
    yield commands
    if os.name != "nt":
        subprocess.run(["chmod", "-R", "u+w", place], check=True)


@pytest.fixture
def said(alone, tmp_path):
    """What a command of the wheel prints, run in an empty folder by somebody whose home is empty."""

    def run(*words, program="i2pemd-lite"):
        came = subprocess.run([*READER, alone / program, *words], cwd=tmp_path, env=environment(tmp_path), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        assert came.returncode == 0, came.stdout
        return came.stdout

    return run


def test_both_are_small_and_every_package_is_in(built):
    assert [path.stat().st_size <= WHOLE for path in built] == [True, True]
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    packages = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "i2pemd_lite").rglob("__init__.py")}
    assert {*listed} == packages | {"i2pemd_lite.share.data", "i2pemd_lite.share.notebooks"}
    with tarfile.open(built[0]) as sdist, zipfile.ZipFile(built[1]) as wheel:  # by which editors take the hints
        assert all(any(name.endswith("i2pemd_lite/py.typed") for name in names)
                   for names in (sdist.getnames(), wheel.namelist()))  # fmt: skip


def test_a_second_account_has_the_course_from_the_wheel_alone(alone, said, tmp_path):
    before = written(alone.parent)
    assert str(ROOT) not in said("-c", "import i2pemd_lite; print(i2pemd_lite.__file__)", program="python")
    assert f"What you write is kept in {tmp_path / 'i2pemd'}." in said("lab", "--version")
    home = tmp_path / "i2pemd"
    masters = (ROOT / "notebooks").glob("[0-9]*.ipynb")
    assert sorted(path.name for path in home.glob("work/*.ipynb")) == sorted(path.name for path in masters)
    assert all('"name": "i2pemd-lite"' in path.read_text(encoding="utf-8") for path in home.glob("work/*.ipynb"))
    assert "02_ground_distance.html" in said("lessons", "2")
    assert list(home.glob("out/lessons/02*.html")) and b"02" in (home / "data/cache/progress.jsonl").read_bytes()
    data = segmentation.synthetic.make(progress=False)  # the set of the lessons, on which its runs were trained
    scan = str(next((data / "btcv" / "RawData" / "Testing").rglob("*.nii.gz")))
    labels = ["predict", "lesson05/ours", "--data", str(data), "--images", scan, "--modality", "ct", "--out", "labels"]
    came = said("-c", ASKED.format([["doctor"], ["ledger"], labels]), program="python")
    assert "all well" in came and "21 of 21 equations hold" in came and list(tmp_path.glob("labels/ct/*.nii.gz"))
    assert f"compiled: {shutil.which('cc') is not None}" in came
    assert written(alone.parent) == before
