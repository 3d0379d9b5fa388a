"""One JupyterLab and one browser for all tests of this folder; both end before other tests run in this process."""

import os

import pytest
from masters import with_open_exercises

from browser import lab as learner
from i2pemd_lite.course.publish import notebooks


@pytest.fixture(scope="package")
def there():
    """Skip where there is no browser; where one is required, as in continuous integration, fail."""
    if why := learner.missing():
        if os.environ.get("I2PEMD_BROWSER") == "required":
            pytest.fail(f"I2PEMD_BROWSER is required, but {why}")
        pytest.skip(why)


@pytest.fixture(scope="package")
def browser(there):
    """A running browser."""
    with learner.Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def desk(browser, lab):
    """JupyterLab in a page of the module's own."""
    desk = learner.Desk(browser, lab)
    yield desk
    desk.close()


@pytest.fixture(scope="package")
def lab(there, tmp_path_factory, shared):
    """A running JupyterLab on a copy of the lessons, in which each exercise stands open before it is solved."""
    folder = tmp_path_factory.mktemp("lab")
    with learner.Lab(folder, I2PEMD_CACHE=str(shared / "cache")) as lab:
        for path in (folder / "notebooks").glob("[0-9]*.ipynb"):
            notebooks.write(path, with_open_exercises(path))
        yield lab
