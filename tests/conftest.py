"""Every test is alone with its files, but for what all may share: a cache, synthetic sets, JupyterLab and a browser."""

import gc
import os
import shutil
import sys
from pathlib import Path

import pytest
from filelock import FileLock

collect_ignore = ["conftest.py", "without", "browser/silence.py"]  # as modules with doctests

os.environ.setdefault("I2PEMD_PROFILE", "ci")
if "I2PEMD_DATA" in os.environ:
    os.environ["I2PEMD_REAL"] = os.environ.pop("I2PEMD_DATA")
WITHOUT = str(Path(__file__).parent / "without")
sys.path.insert(0, WITHOUT)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (WITHOUT, os.environ.get("PYTHONPATH"))))
FIRST = ("browser", "benchmarks")
REAL = os.environ.get("I2PEMD_REAL")  # of a worker beside this one, too


def pytest_collection_modifyitems(items):
    """What takes long comes first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: FIRST.index(item.path.parent.name) if item.path.parent.name in FIRST else len(FIRST))
    for item in items:
        if REAL is None and "real" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="I2PEMD_DATA is not set"))


def pytest_collection_finish():
    """What was imported until here stays: the search for garbage need not look through it again and again."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Workers take files whole, those in a browser as one: beside two browsers a widget may load too late."""
    from xdist.scheduler import LoadFileScheduling

    class Whole(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return "browser" if "browser/" in nodeid else super()._split_scope(nodeid)

    return Whole(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem):
    pytest.exit(f"a worker ended while it ran {crashitem}; what it said of that is above", returncode=1)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder of this run of the tests, the same for all workers."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _cache(shared):
    os.environ["I2PEMD_CACHE"] = str(shared / "cache")


@pytest.fixture(autouse=True)
def _data(request, monkeypatch):
    if "real" in request.keywords:
        monkeypatch.setenv("I2PEMD_DATA", REAL)


@pytest.fixture
def real():
    """The folder of real data."""
    return Path(REAL)


@pytest.fixture(scope="session")
def abdomen(shared):
    """A small synthetic set of CT and MR."""
    from i2pemd_lite.segmentation.synthetic import make

    with FileLock(shared / "abdomen.lock"):
        return make(shared / "abdomen", cases=4, progress=False)


@pytest.fixture(scope="session")
def skin(shared):
    """A small synthetic set of skin lesions."""
    from i2pemd_lite.classification.synthetic import make

    with FileLock(shared / "skin.lock"):
        return make(shared / "skin", images=240, progress=False)


@pytest.fixture(scope="session")
def both(shared, abdomen, skin):
    """Both small sets in one folder, as I2PEMD_DATA names it."""
    folder = shared / "both"
    with FileLock(shared / "both.lock"):
        if not folder.exists():
            shutil.copytree(abdomen, folder)
            shutil.copytree(skin, folder / "isic2018")
    return folder


@pytest.fixture(scope="session")
def site(shared):
    """The site with all lessons, none of them run, few positions of its slider, and the reference of some modules."""
    from i2pemd_lite.course.about import equations, ledger
    from i2pemd_lite.course.publish import notebooks, pages, reference, site
    from i2pemd_lite.panels.engine import moving

    homes = {getattr(equations, name).home.partition(":")[0] for name in ledger.IDS}
    with FileLock(shared / "site.lock"), pytest.MonkeyPatch.context() as patch:
        if not (folder := shared / "site").exists():
            patch.setattr(pages, "executed", lambda path, say: notebooks.read(path))
            patch.setattr(ledger, "DRAWS", 0)
            for name in ("ALONE", "TOGETHER", "APART"):
                patch.setattr(moving, name, 3)
            patch.setattr(reference, "modules", lambda: ["i2pemd_lite", *sorted(homes)])
            site.write(folder)
    return folder


@pytest.fixture(params=["segmentation", "classification"])
def task(request):
    """Each of the two tasks in turn: its module, its small data and its main method."""
    import importlib
    from types import SimpleNamespace

    folder = request.getfixturevalue({"segmentation": "abdomen", "classification": "skin"}[request.param])
    module = importlib.import_module(f"i2pemd_lite.{request.param}")
    method = {"segmentation": "joint_sepbn_i2pemd", "classification": "i2pemd"}[request.param]
    return SimpleNamespace(name=request.param, folder=folder, method=method, module=module, train=module.train)
