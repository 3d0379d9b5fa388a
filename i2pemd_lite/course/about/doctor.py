"""Whether all is there that the lessons use, and for each thing that is missing, what to do.

Only the standard library is needed to say that something is missing.
"""

import os
import platform
import re
import shutil
import sys
import warnings
from html import escape
from importlib import metadata, util
from pathlib import Path
from typing import NamedTuple

from i2pemd_lite import __version__
from i2pemd_lite.course.about import kept
from i2pemd_lite.files import BadInput, cache_folder, data_folder, root
from i2pemd_lite.tables.report import html_table

SPACE = 2  # GiB: the synthetic sets, prepared, and a few runs
PULSE = """
export default { render({ model, el }) {
    el.setAttribute("role", "status");
    el.textContent = "✓ ok  widgets: this line was written by your browser.";
} }
"""
PULSELESS = ("widgets: if you read this in JupyterLab, widgets do not work here. "
             "Stop the kernel, close the tab, and start with python3 run.py lab.")  # fmt: skip
MODULES = {"scikit-learn": "sklearn", "pillow": "PIL", "pot": "ot", "scikit-image": "skimage"}


class Line(NamedTuple):
    """One thing looked at: what it is, what was found, and what to do, which is empty where all is well."""

    about: str
    found: str
    todo: str


def _python():
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    fits = (3, 11) <= sys.version_info[:2] <= (3, 14)
    return found, "" if fits else "use Python 3.11 to 3.14: start run.py lab with another python3"


def _kernel():
    own, here = root() / ".venv", Path(sys.prefix)
    # Somebody with conda, say, is right where they are if everything is there.
    bad = own.exists() and here.resolve() != own.resolve() and _missing()
    todo = "the project has its own environment, .venv, and this is another one: start with python3 run.py lab"
    return f"i2pemd-lite {__version__}, run by {here.name}", todo if bad else ""


def _missing():
    """What is not installed, or older than the project asks for, as "name>=version": of the project and its lab."""
    try:
        wanted = metadata.requires("i2pemd-lite") or []
    except metadata.PackageNotFoundError:
        return ["i2pemd-lite"]
    needs = (re.match(r"([\w.-]+)>=([\d.]+)(?:; extra == ['\"](\w+)['\"])?", need).groups() for need in wanted)
    return [f"{name}>={least}" for name, least, extra in needs if extra in (None, "lab") and not _is_there(name, least)]


def _is_there(name, least):
    try:
        has, needs = ([int(n) for n in re.findall(r"\d+", v)[:3]] for v in (metadata.version(name), least))
    except metadata.PackageNotFoundError:
        return False
    return util.find_spec(MODULES.get(name, name.replace("-", "_"))) and has >= needs


def _packages():
    todo = "close JupyterLab and start it with python3 run.py lab, or: pip install -c constraints.txt -e .[lab]"
    missing = ", ".join(_missing())
    return (f"missing or too old: {missing}", todo) if missing else ("all there, none too old", "")


def _device():
    if util.find_spec("torch") is None:
        return "not known without torch", "install the packages first"
    import torch

    from i2pemd_lite.device import no_gpu, profile

    try:
        with warnings.catch_warnings(action="ignore"):  # that a driver is too old, which is said below
            found, seen, threads = profile(), torch.cuda.is_available(), torch.get_num_threads()
    except BadInput as error:
        return "no profile", str(error)
    unseen = shutil.which("nvidia-smi") and not seen
    todo = f"this machine has a GPU that torch does not see: {no_gpu()}" if unseen else ""
    return f"{found}, torch {torch.__version__}, {threads} thread{'s' * (threads > 1)}", todo


def _compiler():
    compiler = os.environ.get("CC") or next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if not compiler:
        return "no C compiler: the loss runs in torch, two to three times slower, with the same numbers", ""
    if shutil.which(program := compiler.split()[0]):
        return f"{Path(program).name}: the loss is one pass in C", ""
    found = f"CC names {compiler}, which does not exist: the loss runs in torch, slower, with the same numbers"
    return found, "correct CC, or unset it"


def _data():
    try:
        folder = data_folder()
    except BadInput as error:
        return "not found", str(error)
    if not folder:
        return "synthetic: I2PEMD_DATA names no folder", ""
    try:
        from i2pemd_lite.classification.data import holds_images
        from i2pemd_lite.segmentation.data import holds_scans
    except (ImportError, OSError):  # of a package, which another line names
        return f"a folder, {folder}", ""
    found = [what for what, holds in (("scans", holds_scans), ("images", holds_images)) if holds(folder)]
    if not found:
        return f"neither scans nor images in {folder}", "arrange them as data/README.md shows, or unset I2PEMD_DATA"
    return f"real {' and '.join(found)} in {folder}", ""


def _disk():
    cache = cache_folder()
    existing = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 2**30
    if not os.access(existing, os.W_OK):
        return f"cannot write to {existing}", "set I2PEMD_CACHE to a folder that can be written to"
    todo = f"make {SPACE} GiB free, or set I2PEMD_CACHE to a folder on another disk"
    return f"{free:.0f} GiB free for prepared data and runs", "" if free >= SPACE else todo


def _kept():
    return kept.summary() or "nothing of size yet", ""


def doctor() -> "Examination":
    """The examination, a `Line` each; in a notebook the browser itself fills in a last one: whether widgets work.

    Example
    -------
    >>> doctor()
    ok       python    ...
    ...
    widgets: ...
    """
    looks = (_python, _kernel, _packages, _device, _compiler, _data, _disk, _kept)
    return Examination(Line(look.__name__[1:], *look()) for look in looks)


class Examination(tuple):
    """Each `Line`, and last how much there is to mend: as text, or as a table in a notebook."""

    def __str__(self):
        text = [f"{'fix' if todo else 'ok':8} {about:9} {found}" + f"\n{'':18} → {todo}" * bool(todo)
                for about, found, todo in self]  # fmt: skip
        bad = sum(bool(line.todo) for line in self)
        return "\n".join([*text, f"{bad} thing{'s' * (bad > 1)} to fix" if bad else "all well"])

    def __repr__(self):
        return f"{self}\nwidgets: open this cell in a browser to see whether they work"

    def _ipython_display_(self):
        from IPython.display import display

        rows = [
            ("<b>✗ fix</b>" if todo else "✓ ok", about, escape(found) + f"<br><b>→ {escape(todo)}</b>" * bool(todo))
            for about, found, todo in self
        ]
        table, text = html_table((), rows, names=1), str(self)
        html = f'<div role="group" aria-label="examination">{table}</div><p>{text.splitlines()[-1]}</p>'
        display({"text/plain": text, "text/html": html}, raw=True)
        if any(line.about == "packages" and line.todo for line in self):
            return
        import anywidget

        live = anywidget.AnyWidget(_esm=PULSE)._repr_mimebundle_() or {}  # data, or data and metadata
        display({**(live[0] if isinstance(live, tuple) else live), "text/plain": PULSELESS}, raw=True)
