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

ROOT = Path(__file__).resolve().parent.parent
WHOLE = 5_000_000  # bytes at most, of either
BUILD = "import sys; from setuptools import build_meta as build; print(getattr(build, sys.argv[1])(sys.argv[2]))"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist and the wheel that is built from it."""
    place = tmp_path_factory.mktemp("built")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0")[:-1]:
        (place / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / "project" / name)

    def make(what, where):
        words = [sys.executable, "-c", BUILD, what, str(place)]
        told = subprocess.run(words, cwd=where, capture_output=True, text=True, check=True).stdout
        return place / told.splitlines()[-1]

    sdist = make("build_sdist", place / "project")
    shutil.unpack_archive(sdist, place, filter="data")
    return sdist, make("build_wheel", place / sdist.name.removesuffix(".tar.gz"))


@pytest.fixture(scope="module")
def alone(built, tmp_path_factory):
    """The folder of commands of an environment with the wheel, at a path with a space and an umlaut."""
    place = tmp_path_factory.mktemp("alone") / "für mich"
    venv.create(place, with_pip=False, symlinks=True)
    bare = ["-m", "uv", "pip", "install", "--quiet", "--no-deps", "--no-index", "--python", str(place), str(built[1])]
    subprocess.run([sys.executable, *bare], check=True)
    commands = place / ("Scripts" if os.name == "nt" else "bin")
    packages = next(path for path in place.rglob("site-packages") if path.is_dir())
    others = [folder for folder in sys.path if folder.endswith("site-packages")]
    (packages / "others.pth").write_text("\n".join(others), encoding="utf-8")
    return commands


@pytest.fixture
def said(alone, tmp_path):
    """What a command of the wheel prints, run in an empty folder by somebody whose home is empty."""
    own = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "PYTHONPATH": str(ROOT / "tests" / "without")}
    left = {name: os.environ[name] for name in os.environ.keys() - {"I2PEMD_CACHE", "I2PEMD_HOME"}}

    def run(*words, program="i2pemd-lite"):
        came = subprocess.run([alone / program, *words], cwd=tmp_path, env=left | own, text=True,
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


def test_the_wheel_alone_opens_the_course(said, tmp_path):
    assert str(ROOT) not in said("-c", "import i2pemd_lite; print(i2pemd_lite.__file__)", program="python")
    assert f"What you write is kept in {tmp_path / 'i2pemd'}." in said("lab", "--version")
    own = tmp_path / "i2pemd" / "work"
    masters = (ROOT / "notebooks").glob("[0-9]*.ipynb")
    assert sorted(path.name for path in own.glob("*.ipynb")) == sorted(path.name for path in masters)
    assert all('"name": "i2pemd-lite"' in path.read_text(encoding="utf-8") for path in own.glob("*.ipynb"))
    assert "02_ground_distance.html" in said("lessons", "02")
    assert list((tmp_path / "i2pemd" / "out" / "lessons").glob("02*.html"))
    assert "all well" in said("doctor") and "21 of 21 equations hold" in said("ledger")
    compiled = "from i2pemd_lite import fused; print(fused._compiled(5) is not None)"
    assert said("-c", compiled, program="python").strip() == str(shutil.which("cc") is not None)
