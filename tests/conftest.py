"""Every test is alone with its files: a cache of its own, and real data only where it asks for them."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("I2PEMD_PROFILE", "ci")
REAL = os.environ.pop("I2PEMD_DATA", None)


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
