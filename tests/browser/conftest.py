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


@pytest.fixture(scope="package")
def desk(browser, lab):
    """JupyterLab in a page that modules share, each with notebooks of its own: to load it takes three seconds."""
    desk = learner.Desk(browser, lab)
    yield desk
    desk.close()


@pytest.fixture(scope="package")
def lab(there, tmp_path_factory, shared):
    """A running JupyterLab on a copy of the lessons, in which each exercise stands open before it is solved, and the
    kernel's time is taken after the first cell."""
    folder = tmp_path_factory.mktemp("lab")
    with learner.Lab(folder, I2PEMD_CACHE=str(shared / "cache")) as lab:
        for path in (folder / "notebooks").glob("[0-9]*.ipynb"):
            notebook = with_open_exercises(path)
            first = next(n for n, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code")
            clock = notebooks.code("clock-open", '__import__("time").process_time()')
            notebook["cells"].insert(first + 1, clock)
            notebooks.write(path, notebook)
        yield lab
