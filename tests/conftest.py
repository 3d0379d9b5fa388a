"""Every test is alone with its files: a cache of its own, and real data only where it asks for them."""

import os
from pathlib import Path

import pytest

collect_ignore = ["conftest.py"]  # as a module with doctests: there are two of that name

os.environ.setdefault("I2PEMD_PROFILE", "ci")
if "I2PEMD_DATA" in os.environ:
    os.environ["I2PEMD_REAL"] = os.environ.pop("I2PEMD_DATA")
REAL = os.environ.get("I2PEMD_REAL")  # of a worker beside this one, too


def pytest_collection_modifyitems(items):
    if REAL is None:
        skip = pytest.mark.skip(reason="I2PEMD_DATA is not set")
        for item in items:
            if "real" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def _own_cache(request, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    if "real" in request.keywords:
        monkeypatch.setenv("I2PEMD_DATA", REAL)


@pytest.fixture
def real():
    """The folder of real data."""
    return Path(REAL)


@pytest.fixture(scope="session")
def abdomen(tmp_path_factory):
    """A small synthetic set of CT and MR."""
    from i2pemd_lite.segmentation.phantoms import make

    return make(tmp_path_factory.mktemp("data") / "abdomen", cases=4, progress=False)


@pytest.fixture(scope="session")
def skin(tmp_path_factory):
    """A small synthetic set of skin lesions."""
    from i2pemd_lite.classification.lesions import make

    return make(tmp_path_factory.mktemp("data") / "skin", images=240, progress=False)


@pytest.fixture(params=["segmentation", "classification"])
def task(request):
    """Each of the two tasks in turn: its module, its small data and its main method."""
    import importlib
    from types import SimpleNamespace

    folder = request.getfixturevalue({"segmentation": "abdomen", "classification": "skin"}[request.param])
    module = importlib.import_module(f"i2pemd_lite.{request.param}")
    method = {"segmentation": "joint_sepbn_i2pemd", "classification": "i2pemd"}[request.param]
    return SimpleNamespace(name=request.param, folder=folder, method=method, module=module, train=module.train)
