"""Lessons run from start to end without a learner, once for all the pages and slides that show their results."""

import os

from i2pemd_lite.course import master
from i2pemd_lite.files import BadInput, cache_folder, fingerprint, root, written_whole


def executed(path):
    """The notebook at `path` with its outputs, under the profile of this process; predictions answer from the key.

    It is run again only when the lesson, the package or the profile has changed; until then a copy in the cache serves.

    Raises
    ------
    BadInput, when a cell raises: it says which cell of which lesson, and what.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    from i2pemd_lite.training import profile

    sources = sorted((root() / "i2pemd_lite").rglob("*.py"))
    facts = (profile().name, os.environ.get("I2PEMD_DATA", ""), path.read_bytes(), *sources)
    kept = cache_folder() / "executed" / f"{path.stem}-{fingerprint(*facts)}.ipynb"
    if kept.exists():
        return master.read(kept)
    notebook = nbformat.read(path, as_version=4)
    here = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=None, resources=here, store_widget_state=False)
    try:
        client.execute(env=os.environ | {"I2PEMD_HEADLESS": "1"})
    except CellExecutionError as error:
        at = next(cell.id for cell in notebook.cells if "error" in [o.output_type for o in cell.get("outputs", ())])
        raise BadInput(f"{path.name}, cell {at}: expected it to run, found {error.ename}: {error.evalue}") from None
    for stale in kept.parent.glob(f"{path.stem}-*.ipynb"):
        stale.unlink()
    with written_whole(kept) as temporary:
        temporary.write_text(nbformat.writes(notebook), encoding="utf-8")
    return master.read(kept)
