"""Every lesson as a page with its results, for those without a kernel and without a network.

A page holds its formulas as MathML and its pictures as data; beside the pages lie the files that they link to.
"""

import asyncio
import contextlib
import os
import re
import signal
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from i2pemd_lite.course.publish import notebooks, render
from i2pemd_lite.files import BadInput, cache_folder, fingerprint, home, root, write_text

STOPPED = "stopped; lessons that had been run to their end are not run again the next time"


def write(out, numbers=(), folder=None, say=print, first=None):
    """Run the lessons, write a page for each and `index.html` under `out`; the paths written. `BadInput` when a lesson
    does not run, or a formula or picture in it could not be read on its page. `first` makes another page than `index`.
    """
    out, chosen, every = Path(out), notebooks.lessons(numbers, folder), notebooks.lessons((), folder)
    every = [path for path in every if path in chosen or (out / f"{path.stem}.html").exists()]
    written = list(write_each(out, chosen, lambda notebook, path: lesson(notebook, path, every), "lessons", say))
    write_text(out / "index.html", (first or index)(every))
    say(out / "index.html")
    return [*written, out / "index.html"]


def write_each(out, paths, page, what, say):
    """Run the lessons and write `page(notebook, path)` of each, and the files that it links to; each path as it is
    written."""
    out.mkdir(parents=True, exist_ok=True)  # or fail before the lessons are run
    for path in paths:
        content = page(executed(path, lambda line: say(f"{what}: {line}")), path)
        beside(notebooks.read(path), path, out)
        target = out / f"{path.stem}.html"
        write_text(target, content)
        say(target)
        yield target


def beside(notebook, path, out):
    """Copy what a notebook at `path` links to under `out`, and write a page for each text among it."""
    for copy in notebooks.copy_links(notebook, path, out):
        if copy.suffix == ".md":
            text = render.text(copy.read_text(encoding="utf-8"))
            for place in re.findall(r'<h\d id="([^"]*)"', text):
                named = re.sub(r"[^\w-]", "", place).lower()  # by GitHub, as such a file links to it
                text = text.replace(f'href="#{named}"', f'href="#{place}"')
            write_text(copy.with_suffix(".html"), render.page(copy.stem, text))


def executed(path, say=print):
    """The notebook at `path` with its outputs, run under the profile of this process when lesson, package or profile
    have changed, with predictions by the key; else a copy in the cache. `BadInput` names a cell that raises."""
    from i2pemd_lite.device import profile  # and torch

    name, sources = profile().name, sorted(Path(__file__).parents[2].rglob("*.py"))
    code = [part for each in sources for part in (each.name, each.read_bytes())]
    facts = (name, os.environ.get("I2PEMD_DATA", ""), path.read_bytes(), *code)
    copy = cache_folder() / "executed" / f"{path.stem}-{fingerprint(*facts)}.ipynb"
    if copy.exists():
        return notebooks.read(copy)
    notebook = nbformat.read(path, as_version=4)
    takes = re.search(rf"^Reading: .*\b{name} (?:about )?(\d+ (?:s|min))", notebook.cells[0].source, flags=re.M)
    lasts = f"about {takes[1]}" if takes else "not timed yet"
    say(f"running lesson {path.name[:2]}, {lasts}, and recording what moves (profile {name})")
    place = path.parent if home() == root() else home() / "work"  # in which a lesson may write
    place.mkdir(parents=True, exist_ok=True)
    here = {"metadata": {"path": str(place)}}
    quiet = ["--IPKernelApp.log_level=50"]  # without its warning that a kernel on this machine is not encrypted
    client = NotebookClient(notebook, timeout=None, resources=here, store_widget_state=False, extra_arguments=quiet)
    client.on_notebook_start = _stoppable
    try:
        client.execute(env=os.environ | {"I2PEMD_HEADLESS": "1", "I2PEMD_MOVES": "1"})
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


def lesson(notebook, path, every=()):
    """The page of an executed notebook."""
    main = "\n".join(_cell(cell, path) for cell in notebooks.spoken(notebook, path.name)["cells"])
    around = _around(path, list(every))
    page = render.page(title(notebook), f"{around}\n<main>\n{main}\n</main>\n{around}")
    if wordless := render.wordless(page):
        raise BadInput(f"{path.name}: expected words for every picture (alt), found {wordless[0]}…; show a panel")
    return page


def _cell(cell, path):
    """A cell as a section whose id is the cell's."""
    if notebooks.is_text(cell):
        return f'<section class="text" id="{cell["id"]}">\n{render.text(here(cell["source"]), path.parent)}\n</section>'
    results = "\n".join(filter(None, map(render.output, cell.get("outputs", ()))))
    results = f'<div class="outputs">\n{results}\n</div>' if results else ""
    if task := notebooks.task(cell):  # what is to be written is open; a way to write it, and its result, a click away
        source = render.code(f"{notebooks.cleared(task.solution)}\n\n\n{task.check}")
        source, results = source + render.code(task.solution, "a solution", results), ""
    else:
        source = render.code(cell["source"], "code" * bool(cell["metadata"].get("jupyter", {}).get("source_hidden")))
    return f'<section class="code" id="{cell["id"]}">\n{source}\n{results}\n</section>'


def here(source):
    """Markdown of a lesson whose links lead to files beside the page, where `write_each` puts them."""
    return notebooks.LINK.sub(lambda link: link[0].removeprefix("../"), source)


def title(notebook):
    """The first heading of a lesson."""
    return notebook["cells"][0]["source"].splitlines()[0].lstrip("# ")


def index(paths):
    """A page that leads to all others."""
    text = "# The lessons"
    for path in paths:
        notebook = notebooks.read(path)
        what = re.match(r"# .*?\n\n(.*)", notebook["cells"][0]["source"], re.S)[1]
        text += f"\n\n## [{title(notebook)}]({path.stem}.ipynb)\n\n{here(what)}"
    return render.page("i2pemd-lite: the lessons", render.text(text))


def _around(path, every):
    """Links to the lesson before, to all of them and to the next one."""
    if path not in every:
        return ""
    names, at = [each.stem for each in every], every.index(path)
    before = f'<a href="{names[at - 1]}.html">← {names[at - 1]}</a>' if at else "<span></span>"
    after = f'<a href="{names[at + 1]}.html">{names[at + 1]} →</a>' if path != every[-1] else "<span></span>"
    return f'<nav>{before}<a href="index.html">all lessons</a>{after}</nav>'
