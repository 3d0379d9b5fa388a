"""Lessons run from start to end without a learner, once for all the pages and slides that show their results."""

import asyncio
import contextlib
import os
import re
import signal

from i2pemd_lite.course.publish import notebooks
from i2pemd_lite.files import BadInput, cache_folder, fingerprint, root, write_text

STOPPED = "stopped; lessons that had been run to their end are not run again the next time"


def executed(path, say=print):
    """The notebook at `path` with its outputs, under the profile of this process; predictions answer from the key.

    It is run again only when the lesson, the package or the profile has changed; until then a copy in the cache serves.
    `say` is told before a lesson is run how long it may take. `BadInput` names the cell that raises.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    from i2pemd_lite.device import profile

    name, sources = profile().name, sorted((root() / "i2pemd_lite").rglob("*.py"))
    facts = (name, os.environ.get("I2PEMD_DATA", ""), path.read_bytes(), *sources)
    copy = cache_folder() / "executed" / f"{path.stem}-{fingerprint(*facts)}.ipynb"
    if copy.exists():
        return notebooks.read(copy)
    notebook = nbformat.read(path, as_version=4)
    takes = re.search(rf"^Reading: .*\b{name} (?:about )?(\d+ (?:s|min))", notebook.cells[0].source, flags=re.M)
    lasts = f"about {takes[1]}" if takes else "not timed yet"
    say(f"running lesson {path.name[:2]}, {lasts} (profile {name})")
    here = {"metadata": {"path": str(path.parent)}}
    quiet = ["--IPKernelApp.log_level=50"]  # without its warning that a kernel on this machine is not encrypted
    client = NotebookClient(notebook, timeout=None, resources=here, store_widget_state=False, extra_arguments=quiet)
    client.on_notebook_start = _stoppable
    try:
        client.execute(env=os.environ | {"I2PEMD_HEADLESS": "1"})
    except CellExecutionError as error:
        at = next(cell.id for cell in notebook.cells if "error" in [o.output_type for o in cell.get("outputs", ())])
        raise BadInput(f"{path.name}, cell {at}: expected it to run, found {error.ename}: {error.evalue}") from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(STOPPED) from None
    for stale in copy.parent.glob(f"{path.stem}-*.ipynb"):
        stale.unlink()
    write_text(copy, nbformat.writes(notebook))
    return notebooks.read(copy)


def _stoppable(**_):
    """Ctrl-C stops Python as anywhere: nbclient's own answer ends the kernel and complains that it has died."""
    with contextlib.suppress(NotImplementedError):  # Windows, where nbclient has none
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
