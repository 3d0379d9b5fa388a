"""Every lesson as a page with its results, for those without a kernel and without a network.

    python -m i2pemd_lite lessons --out out/lessons

A page holds its formulas as MathML and its pictures as data; beside the pages lie the files that they link to.
"""

from pathlib import Path

from i2pemd_lite.course.publish import copies, notebooks, render
from i2pemd_lite.course.publish.executed import executed
from i2pemd_lite.files import BadInput, atomic_write


def write(out, numbers=(), folder=None, say=print):
    """Run the lessons, write a page for each and `index.html` under `out`; the paths written.

    `say` is told each path as it is written, and before a lesson is run how long it may take.

    Raises
    ------
    BadInput, when a lesson does not run, or a formula or picture in it could not be read on its page.
    """
    out, chosen, made = Path(out), notebooks.lessons(numbers, folder), []
    out.mkdir(parents=True, exist_ok=True)  # or fail before the lessons are run
    every = [path for path in notebooks.lessons((), folder) if path in chosen or (out / f"{path.stem}.html").exists()]
    for path in chosen:
        page = lesson(executed(path, lambda line: say(f"lessons: {line}")), path, every)
        linked(path, out)
        made.append(_put(out / f"{path.stem}.html", page, say))
    return [*made, _put(out / "index.html", index(every), say)]


def _put(path, content, say):
    with atomic_write(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
    say(path)
    return path


def lesson(notebook, path, every=()):
    """The page of an executed notebook."""
    main = "\n".join(cell_html(cell, path) for cell in notebook["cells"])
    around = _around(path, list(every))
    body = render.page(title(notebook), f"{around}\n<main>\n{main}\n</main>\n{around}")
    if wordless := render.wordless(body):
        raise BadInput(f"{path.name}: expected words for every picture (alt), found {wordless[0]}…; show a panel")
    return body


def cell_html(cell, path):
    """A cell as a section whose id is the cell's; nothing for what does nothing on a page."""
    if cell["cell_type"] == "markdown":
        source = here(copies.spoken(cell))
        return f'<section class="text" id="{cell["id"]}">\n{render.text(source, path.parent)}\n</section>'
    shown = render.outputs(cell)
    shown = f'<div class="outputs">\n{shown}\n</div>' if shown else ""
    if task := notebooks.task(cell):  # what is to be written is open; a way to write it, and its result, a click away
        source = render.code(f"{copies.cleared(task.solution)}\n\n\n{task.check}")
        source, shown = source + render.code(task.solution, "a solution", shown), ""
    else:
        source = render.code(cell["source"], "code" * bool(cell["metadata"].get("jupyter", {}).get("source_hidden")))
    return f'<section class="code" id="{cell["id"]}">\n{source}\n{shown}\n</section>'


def here(source):
    """Markdown of a lesson whose links lead to files beside the page, where `linked` puts them."""
    return notebooks.LINK.sub(lambda found: found[0].removeprefix("../"), source)


def title(notebook):
    """The first heading of a lesson."""
    return notebook["cells"][0]["source"].splitlines()[0].lstrip("# ")


def index(paths):
    """A page that leads to all others."""
    rows = []
    for path in paths:
        opening = notebooks.read(path)["cells"][0]["source"].split("\n\n")
        times = next((part for part in opening if part.startswith("Reading:")), "")
        name = opening[0].lstrip("# ")
        rows.append(f"## [{name}]({path.stem}.ipynb)\n\n{here(opening[1])}\n\n{times}")
    return render.page("i2pemd-lite: the lessons", render.text("# The lessons\n\n" + "\n\n".join(rows)))


def linked(path, out):
    """Put the files that a lesson links to under `out`, those in Markdown as pages."""
    root = path.parent.parent
    for target, _ in notebooks.links(notebooks.read(path)):
        if target.startswith("../"):
            for copy in notebooks.copy_linked(path.parent / target, out, root):
                if copy.suffix == ".md":
                    source = copy.read_text(encoding="utf-8")
                    with atomic_write(copy.with_suffix(".html")) as temporary:
                        temporary.write_text(render.page(copy.stem, render.text(source)), encoding="utf-8")


def _around(path, every):
    if path not in every:
        return ""
    names, at = [each.stem for each in every], every.index(path)
    before = f'<a href="{names[at - 1]}.html">← {names[at - 1]}</a>' if at else "<span></span>"
    after = f'<a href="{names[at + 1]}.html">{names[at + 1]} →</a>' if path != every[-1] else "<span></span>"
    return f'<nav>{before}<a href="index.html">all lessons</a>{after}</nav>'
