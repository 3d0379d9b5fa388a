"""The lessons as slides: static pages from the same cells, with their figures, for a browser without network.

The rules, so that no lesson needs marks of its own:

- a heading starts a slide; what does not fit on one goes on to the next, under the same heading;
- a question waits: a paragraph that asks in bold, the choices of a prediction and the result after it come with a key;
- short code is shown; imports, plumbing, more than `LINES` lines, and what solves or checks an exercise are not;
- results are shown: pictures, tables, what was printed;
- the teacher's notes are there, and N shows them.
"""

import re
from pathlib import Path

from i2pemd_lite.course.publish import notebooks, pages, render, teacher

LINES = 8  # of code on a slide
ROOM = 20  # lines of text on a slide: a picture takes 14, a formula 3
TALL = {"<img": 14, 'class="formula"': 3, "<tr": 1.5, "<li": 0.5}


def decks(out, paths, say=print):
    """Run the lessons, and write a deck for each under `out`; each path, told to `say`, as it is written."""
    return pages.write_each(Path(out), paths, deck, "slides", say)


def deck(notebook, path):
    """The page of slides of an executed notebook."""
    notes = {note.heading: note for note in teacher.notes(path.name[:2])}
    shown, heading, room = [], "", 0
    for part in parts(notebook, path):
        title, tall = _title(part), _tall(part)
        if title is not None or tall > room:
            if title is None and shown:
                part = f'<h2 class="again">{heading}</h2>\n{part}'
            heading, room = heading if title is None else title, ROOM
            shown.append([])
        room -= tall
        shown[-1].append(part)
        if title in notes:
            about = render.text(f"**{notes[title].minutes} min.** {notes[title].text}")
            shown[-1].append(f'<aside class="notes">{about}</aside>')
    slides = "\n".join("<section>\n" + "\n".join(slide) + "\n</section>" for slide in shown)
    script = f"<script>\n{render.asset('slides.js')}</script>"
    return render.page(pages.title(notebook), f"<main>\n{slides}\n</main>\n<footer></footer>\n{script}", "slides.css")


def parts(notebook, path):
    """What goes on the slides, in order, as pieces of HTML that stay whole."""
    asked = False
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            for block in _blocks(pages.here(notebooks.spoken(cell))):
                made = render.text(block, path.parent)
                yield f'<div class="fragment">{made}</div>' if re.search(r"\*\*[^*]+\*\*.*\?", block, re.S) else made
            continue
        if task := notebooks.task(cell):
            yield render.code(notebooks.cleared(task.solution))
            continue  # what a right answer prints is not the class's yet
        waits = bool(re.search(r"^(predict|estimate|sketch)\(", cell["source"], re.M))
        if not waits and not _plumbing(cell):
            yield render.code(cell["source"])
        results = [piece for each in cell.get("outputs", ()) for piece in _pieces(render.output(each))]
        for piece in results:
            yield f'<div class="outputs{" fragment" * (waits or asked)}">{piece}</div>'
        asked = waits if results else asked


def _pieces(shown):
    """What was printed, cut where a slide ends; anything else as a whole."""
    if not shown.startswith("<pre>"):
        return [shown] * bool(shown)
    lines, most = shown.removeprefix("<pre>").removesuffix("</pre>").splitlines(), ROOM - 2
    return ["<pre>" + "\n".join(lines[at : at + most]) + "</pre>" for at in range(0, len(lines), most)]


def _blocks(source):
    """Markdown cut at its empty lines, save within formulas and lists.

    Example
    -------
    >>> _blocks("## One\\n\\nTwo\\nlines.\\n\\n$$ a\\n\\nb $$\\n\\n- x\\n\\n- y")
    ['## One', 'Two\\nlines.', '$$ a\\n\\nb $$', '- x\\n\\n- y']
    """
    blocks = []
    for part in re.split(r"\n\s*\n", source.strip()):
        goes_on = blocks and (blocks[-1].count("$$") % 2 or blocks[-1].count("```") % 2)
        if goes_on or (blocks and re.match(r"[-*] |\d+\. | ", part) and re.match(r"[-*] |\d+\. ", blocks[-1])):
            blocks[-1] += f"\n\n{part}"
        else:
            blocks.append(part)
    return blocks


def _plumbing(cell):
    lines = cell["source"].splitlines()
    hidden = cell["metadata"].get("jupyter", {}).get("source_hidden")
    return hidden or len(lines) > LINES or any(re.match(r"(import|from)\s", line) for line in lines)


def _title(part):
    found = re.match(r"<h[12][^>]*>(.*?)</h[12]>", part, flags=re.S)
    return found and found[1]


def _tall(part):
    """About how many lines of a slide a piece takes."""
    words = re.sub(r"<[^>]*>", " ", re.sub(r"<math.*?</math>", " x ", part, flags=re.S))
    lines = sum(max(1, len(line) / 85) for line in words.splitlines() if line.strip())
    return lines + sum(part.count(mark) * height for mark, height in TALL.items())
