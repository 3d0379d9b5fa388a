"""The lessons as slides: static pages from the same cells, with their figures, for a browser without network.

The rules, so that no lesson needs marks of its own:

- a heading starts a slide; what does not fit on one goes on to the next, under the same heading;
- a question waits: a paragraph that asks in bold, the choices of a prediction and the result after it come with a key;
- short code is shown; imports, plumbing, more than `LINES` lines, and what solves or checks an exercise are not;
- results are shown: pictures, tables, what was printed;
- the teacher's notes are there, and N shows them.
"""

import re

from i2pemd_lite.course.publish import notebooks, pages, render, teacher

LINES = 8  # of code on a slide
ROOM = 20  # lines of text on a slide: a picture takes 14, a formula 3
TALL = {"<img": 14, "<svg": 14, 'class="formula"': 3, "<tr": 1.5, "<li": 0.5}


def deck(notebook, path):
    """The page of slides of an executed notebook."""
    notes = {note.heading: note for note in teacher.notes(path.name[:2])}
    slides, heading, room = [], "", 0
    for part in parts(notebook, path):
        title, lines = re.match(r"<h[12][^>]*>(.*?)</h[12]>", part, flags=re.S), _lines(part)
        if title or lines > room:
            again = f'<h2 class="again">{heading}</h2>\n' if slides and not title else ""
            heading, room = title[1] if title else heading, ROOM
            slides.append(f"<section>\n{again}")
        room -= lines
        slides[-1] += f"{part}\n"
        if title and (note := notes.get(heading)):
            about = render.text(f"**{note.minutes} min.** {note.text}")
            slides[-1] += f'<aside class="notes">{about}</aside>\n'
    main = "\n".join(f"{slide}</section>" for slide in slides)
    script = f"<script>\n{render.asset('slides.js')}</script>"
    return render.page(pages.title(notebook), f"<main>\n{main}\n</main>\n<footer></footer>\n{script}", "slides.css")


def parts(notebook, path):
    """What goes on the slides, in order, as pieces of HTML that stay whole."""
    asked = False
    for cell in notebooks.spoken(notebook)["cells"]:
        if notebooks.is_text(cell):
            for block in _blocks(pages.here(cell["source"])):
                html = render.text(block, path.parent)
                yield f'<div class="fragment">{html}</div>' if re.search(r"\*\*[^*]+\*\*.*\?", block, re.S) else html
            continue
        if task := notebooks.task(cell):
            yield render.code(notebooks.cleared(task.solution))
            continue  # what a right answer prints is not the class's yet
        source, hidden = cell["source"], cell["metadata"].get("jupyter", {}).get("source_hidden")
        waits = bool(re.search(r"^(predict|estimate|sketch)\(", source, re.M))
        plumbing = hidden or len(source.splitlines()) > LINES or re.search(r"^(import|from)\s", source, re.M)
        if not waits and not plumbing:
            yield render.code(source)
        results = [piece for each in cell.get("outputs", ()) for piece in _pieces(render.output(each))]
        for piece in results:
            yield f'<div class="outputs{" fragment" * (waits or asked)}">{piece}</div>'
        asked = waits if results else asked


def _pieces(html):
    """What was printed, cut where a slide ends; anything else as a whole."""
    if not html.startswith("<pre>"):
        return [html] if html else []
    lines, most = html.removeprefix("<pre>").removesuffix("</pre>").splitlines(), ROOM - 2
    return ["<pre>" + "\n".join(lines[at : at + most]) + "</pre>" for at in range(0, len(lines), most)]


def _blocks(source):
    """Markdown cut at its empty lines, save within formulas and lists."""
    blocks = []
    for part in re.split(r"\n\s*\n", source.strip()):
        goes_on = blocks and (blocks[-1].count("$$") % 2 or blocks[-1].count("```") % 2)
        if goes_on or (blocks and re.match(r"[-*] |\d+\. | ", part) and re.match(r"[-*] |\d+\. ", blocks[-1])):
            blocks[-1] += f"\n\n{part}"
        else:
            blocks.append(part)
    return blocks


def _lines(part):
    """About how many lines of a slide a piece takes."""
    words = re.sub(r"<[^>]*>", " ", re.sub(r"<(math|svg|script).*?</\1>", " x ", part, flags=re.S))
    lines = sum(max(1, len(line) / 85) for line in words.splitlines() if line.strip())
    return lines + sum(part.count(mark) * height for mark, height in TALL.items())
