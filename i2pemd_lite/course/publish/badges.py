"""Where a lesson can be opened without installing anything: badges for Colab and Binder, and Colab's setup cell.

Both services read a public repository on GitHub, and Binder installs from the `environment.yml` at its root.
"""

import contextlib
import re
import subprocess
from typing import NamedTuple

from i2pemd_lite.course.publish import notebooks
from i2pemd_lite.files import BadInput, root

ADDRESS = re.compile(
    r"https://github\.com/(?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(?:\.git)?"
    r"(?:/tree/(?P<branch>[\w.-]+)(?:/(?P<folder>[\w./-]+?))?)?/?"
)
SETUP = """\
import sys

if "google.colab" in sys.modules:
    !git clone --quiet --depth 1 --branch {at.branch} {at.url} /content/i2pemd-lite
    %pip install --quiet "/content/i2pemd-lite[lab]"
    sys.path.insert(0, "/content/i2pemd-lite")  # with its lessons beside it, which the outline and the ledger read
    from google.colab import output

    output.enable_custom_widget_manager()"""
LINKS = """\
[Open in Colab](https://colab.research.google.com/github/{at.owner}/{at.name}/blob/{at.branch}/{path}) ·
[Open in Binder](https://mybinder.org/v2/gh/{at.owner}/{at.name}/{at.branch}?urlpath={place})"""


class Repository(NamedTuple):
    """A public repository on GitHub, and the folder in it where the copies for students lie."""

    owner: str
    name: str
    branch: str = "main"
    folder: str = "student"

    @property
    def url(self):
        return f"https://github.com/{self.owner}/{self.name}"


def repository(address):
    """The repository at an address of GitHub, with its branch and folder where the address says so."""
    match = ADDRESS.fullmatch(address)
    if match is None:
        expected = "https://github.com/OWNER/NAME, perhaps with /tree/BRANCH/FOLDER"
        raise BadInput(f"repository: expected {expected}, found {address!r}; Colab and Binder need a public one")
    return Repository(**{part: text for part, text in match.groupdict().items() if text})


def origin(folder=None):
    """The repository that this checkout came from, and None when that is not on GitHub."""
    command = ["git", "-C", str(folder or root()), "remote", "get-url", "origin"]
    with contextlib.suppress(OSError, subprocess.CalledProcessError, BadInput):
        said = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()
        return repository(re.sub(r"^git@github\.com:", "https://github.com/", said))


def opened(notebook, name, repository):
    """A student copy with links to Colab and Binder under its title, and a setup cell that acts in Colab only."""
    if repository is None:
        return notebook
    title, *rest = notebook["cells"]
    path = f"{repository.folder}/{name}"
    links = LINKS.format(at=repository, path=path, place=f"lab/tree/{path}".replace("/", "%2F"))
    hidden = {"jupyter": {"source_hidden": True}, "tags": ["colab"]}
    setup = notebooks.code("elsewhere-02", SETUP.format(at=repository), **hidden)
    return {**notebook, "cells": [title, notebooks.markdown("elsewhere-01", links), setup, *rest]}
