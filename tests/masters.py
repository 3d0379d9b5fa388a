"""Small lessons for the tests of copies, pages and browsers."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

from i2pemd_lite.course.publish import copies, notebooks, pages, render, slides
from i2pemd_lite.files import BadInput

ROOT = Path(__file__).resolve().parent.parent
EXERCISE = '''def half(x):
    ### BEGIN SOLUTION
    return x / 2
    ### END SOLUTION


check("02b", half)'''


TRAINS = r"\.(finish|go|tables)\("  # what a cell calls that trains: it has to show how far it is


def notebook_of(cells):
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


def with_open_exercises(path):
    """The lesson, and before each exercise its two cells as students have them: the one to fill, the one that checks.

    Whether those raise as they should, and nothing else does, is seen in the same run as the solved lesson.
    """
    notebook = notebooks.read(path)
    asked = {cell["id"]: cell for cell in copies.student(copies.source(notebook, path.name))["cells"]}
    cells = []
    for cell in notebook["cells"]:
        if notebooks.task(cell):
            cells += [{**asked[name], "id": f"{name}-open"} for name in (cell["id"], f"{cell['id']}-check")]
        cells.append(cell)
    return {**notebook, "cells": cells}


def unsound(notebook, path):
    """What is wrong with a lesson that was run as `with_open_exercises` makes it: a list."""
    cells = [(cell["id"], cell, cell.get("outputs", ())) for cell in notebook["cells"]]
    errors = {name: out for name, _, outs in cells for out in outs if out["output_type"] == "error"}
    asks = [name for name, *_ in cells if name.endswith("-check-open")]
    found = [f"{name}: {errors[name]['ename']}: {errors[name]['evalue']}" for name in errors.keys() - set(asks)]
    cards = {name: "".join(_plain(out) for out in outs) for name, _, outs in cells}  # where somebody sees what is shown
    for name in asks:
        told = "\n".join(errors[name]["traceback"]) if name in errors else cards[name] or "nothing"
        other = name in errors and errors[name]["ename"] != "NotYet"
        if not re.match(r"\d\d[a-z]: still open", told) or "File" in told or other:
            found.append(f"{name}: expected that it is still open, found {told}")
    lesson = {**notebook, "cells": [cell for name, cell, _ in cells if not name.endswith("-open")]}
    shown = [out for cell in lesson["cells"] for out in cell.get("outputs", ())]
    said = "".join("".join(out["text"]) for out in shown if "text" in out)
    seen = any("image/svg+xml" in out.get("data", {}) for out in shown)
    trains = [cell for cell in lesson["cells"] if cell["cell_type"] == "code" and re.search(TRAINS, cell["source"])]
    found += [f"{cell['id']}: trains in silence" for cell in trains if "i2pemd-bar" not in str(cell.get("outputs"))]
    found += [] if seen else ["no panel left a picture for readers"]
    found += [] if "profile ci" in said else ["the profile is not said"]
    judged = "\n".join(map(_plain, shown))
    found += ["not yet"] * ("not yet" in said or bool(re.search(r"^\d\d[a-z]: (not yet|still open)", judged, re.M)))
    streams = ["".join(out["text"]) for out in shown if out.get("name") == "stderr"]
    found += [text for text in streams if "Warning" in text]
    for make in (pages.lesson, slides.deck):  # it can be read without network and without eyes
        try:
            page = make(lesson, path)
            found += outside(page) + render.wordless(page) + astray(page)
        except BadInput as error:
            found.append(str(error))
    return found


def _plain(out):
    return "".join(out.get("data", {}).get("text/plain", ""))


def plant(sources, folder, name="planted"):
    """A notebook of these cells, in a folder."""
    cells = [notebooks.code(f"{name}-{n:02d}", source) for n, source in enumerate(sources)]
    notebooks.write(folder / f"{name}.ipynb", notebook_of(cells))
    return folder / f"{name}.ipynb"


def outside(page):
    """What a page would ask the network for. (A link that a reader may follow is no such thing.)"""
    asked = re.findall(r"""<(?:img|script|iframe|link|source)\b[^>]*?\b(?:src|href)=["'](?!data:)([^"']*)""", page)
    return asked + re.findall(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]*)""", page)


def astray(page):
    """The links of a lesson's page that lead to no lesson, and to nothing that is copied with it."""
    found = []
    for link in re.findall(r'<a\s[^>]*?href="((?!https?:|#)[^"]+)', page):
        place = ROOT / ("" if link.startswith("data/") else "notebooks") / link.partition("#")[0]
        there = any(place.with_suffix(kind).exists() for kind in (place.suffix, ".ipynb", ".md"))
        if not there or link.startswith("../") or "cell-id=" in link:
            found.append(f"{link}: leads nowhere")
    return found


def dead(folder):
    """The links in the pages under a folder, between them or to their files, that lead to nothing, as "page: link"."""
    read = {page.resolve(): page.read_text(encoding="utf-8") for page in folder.rglob("*.html")}
    read = {page: re.sub(r"<script\b.*?</script>", "", text, flags=re.S) for page, text in read.items()}
    places = {page: {unescape(name) for name in re.findall(r'\bid="([^"]*)"', text)} for page, text in read.items()}
    found = []
    for page, text in read.items():
        for link in map(unescape, re.findall(r'<\w[^>]*?\s(?:href|src)="((?!https?:|mailto:|data:)[^"]*)"', text)):
            file, _, place = unquote(link).partition("#")
            file = (page.parent / file).resolve() if file else page
            there = file.exists() and file.is_relative_to(folder.resolve())
            if not there or place and place not in places.get(file, ()):
                found.append(f"{page.relative_to(folder.resolve())}: {link}")
    return found
