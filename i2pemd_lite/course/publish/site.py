"""The whole course as one folder, for any static host or a stick: all that a browser shows without a network."""

import os
import re
from functools import partial
from pathlib import Path
from unittest import mock

from i2pemd_lite.course.about import ledger, outline
from i2pemd_lite.course.publish import notebooks, pages, reference, render, slides
from i2pemd_lite.course.publish.words import WORDS
from i2pemd_lite.files import write_text
from i2pemd_lite.panels import doubt

HOME = '<nav><a href="index.html">i2pemd-lite</a></nav>'
SEARCH = '<nav class="pdoc"><input type="search" placeholder="Search all pages" aria-label="search"></nav>'
MOVES = mock.patch.dict(os.environ, {"I2PEMD_MOVES": "1"})
UNREAD = re.compile(r"<(script|style|svg|nav)\b.*?</\1>|<[^>]*>", re.S)  # what a search leaves out of a page
HEADING = re.compile(r'<h[1-3] id="([^"]*)">(.*?)</h[1-3]>(.*?)(?=<h[1-3] id=|\Z)', re.S)


def write(out, say=print):
    """Run the lessons and write under `out` what they need and `index.html`, on which the idea moves, the slides, the
    words, the equations, and the reference with a search for all of it. `BadInput` as of `pages.write`."""
    out, paths = Path(out), notebooks.lessons()
    reference.pdoc()  # or fail before the lessons are run
    pages.write(out, say=say, first=partial(first, out=out))
    for path in paths:
        deck = slides.deck(pages.executed(path, say), path)
        deck = re.sub(r'href="(data/|\d\d_\w+\.html#)', r'href="../\1', deck)  # what slides do not have beside them
        write_text(out / "slides" / f"{path.stem}.html", deck)
    for name, text in (("words", words(paths, out)), ("equations", equations())):
        write_text(out / f"{name}.html", render.page(name, f"{HOME}\n{render.text(text)}"))
    read = [out / f"{name}.html" for name in (*(path.stem for path in paths), "words", "equations")]
    read += sorted((out / "data").rglob("*.html"))
    reference.write(out, [place for page in read for place in places(page, out)])
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    say(f"{out / 'index.html'}: open it in a browser; {len(sizes)} files, {sum(sizes) / 1e6:.0f} MB")


def first(paths, out):
    """The first page, with a panel that moves and a search; what its text links to is written under `out`."""
    rows = "| lesson | question | slides |\n| --- | --- | --- |"
    for path in paths:
        question = outline.QUESTIONS.get(path.stem[:2], "")
        rows += f"\n| [{pages.title(notebooks.read(path))}]({path.name}) | {question} | [slides](slides/{path.name}) |"
    source = render.asset("first.md")
    pages.beside({"cells": [notebooks.markdown("first", source)]}, paths[0], out)
    with MOVES:
        panel = render.output({"data": doubt.panel()._repr_mimebundle_()})
    text = render.text(pages.here(source).replace("{lessons}", rows))
    text = text.replace("<p>{panel}</p>", f'<div class="outputs">{panel}</div>')
    body = f'{SEARCH}\n<main class="pdoc">\n{text}\n</main>\n{reference.search()}'
    return render.page("i2pemd-lite", body, "search.css")


def words(paths, out):
    """The `WORDS` as Markdown, each with the lesson whose page under `out` explains it."""
    text, read = "# The words", {path: (out / f"{path.stem}.html").read_text(encoding="utf-8") for path in paths}
    for word, meaning in WORDS.items():
        text += f"\n\n### {word}\n\n{meaning[0].upper()}{meaning[1:]}."
        for path, page in read.items():
            before, met, _ = page.partition(f'title="{meaning}"')
            if met:
                cell = re.findall(r'<section [^>]*id="([^"]*)"', before)[-1]
                text += f" You meet it in lesson [{path.stem[:2]}]({path.name}#{cell})."
                break
    return text


def equations():
    """The ledger as Markdown, each formula with links to its code and to its lessons."""
    rows = ledger.ledger()
    text = f"# The equations\n\n{rows.caption}. Each was computed twice, on random inputs: by this module, and by "
    text += "somebody else's code."
    for row in rows:
        number, test, (module, name) = int(row.id[2:]), row.test, row.test.home.split(":")
        cells = {each.file: each.name for each in reversed(row.lessons)}
        lessons = ", ".join(f"[{file.stem[:2]}]({file.name}#{cells[file]})" for file in sorted(cells))
        gap = f"The module differs from {test.independent} by {row.gap:.1e} at most; {test.tolerance:.0e} is allowed."
        text += f"\n\n### Equation {number}\n\n{test.meaning}\n\n$$ {test.tex} \\tag{{{number}}} $$\n\n"
        code = f"[`{name}`]({module.replace('.', '/')}.html#{name})"
        text += f"In the module it is {code}. You meet it in lesson {lessons}. "
        text += f"This is wrong: {'; '.join(row.wrong)}." if row.wrong else gap
    return text


def places(page, out):
    """What a search finds on a page: each heading, with the text below it, as pdoc's index has it."""
    read, above = page.read_text(encoding="utf-8"), ""
    for place, *texts in HEADING.findall(read):
        heading, below = (" ".join(UNREAD.sub("", text.replace("</t", " </t")).split()) for text in texts)
        name = f"{above}: {heading}" if above else heading
        above = above or heading
        where = page.relative_to(out).with_suffix("").as_posix()
        yield {"fullname": name, "modulename": where, "qualname": place, "kind": "page", "doc": below}
