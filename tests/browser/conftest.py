"""One JupyterLab and one browser for each file of tests: playwright's loop must have ended before other tests run."""

import os

import lab as learner
import pytest

collect_ignore = ["conftest.py"]  # as a module with doctests: there are two of that name


@pytest.fixture(scope="session")
def there():
    """Skip where there is no browser; where one is required, as in continuous integration, fail."""
    if why := learner.missing():
        if os.environ.get("I2PEMD_BROWSER") == "required":
            pytest.fail(f"I2PEMD_BROWSER is required, but {why}")
        pytest.skip(why)


@pytest.fixture(scope="module")
def browser(there):
    """A running browser."""
    with learner.Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def lab(there, tmp_path_factory):
    """A running JupyterLab on a copy of the lessons."""
    cache = str(tmp_path_factory.getbasetemp() / "cache")
    with learner.Lab(tmp_path_factory.mktemp("lab"), I2PEMD_CACHE=cache) as lab:
        yield lab
