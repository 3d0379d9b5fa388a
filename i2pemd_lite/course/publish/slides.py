"""The lessons as slides: static pages from the same cells, with their figures, for a browser without network.

The rules, so that no lesson needs marks of its own:

- a slide has a heading, one sentence, and one thing to look at: a picture, a table, a formula, a list, or short code
  and what it prints; what else there is to look at comes on further slides with the same heading;
- the sentence is the question of the paragraph before, or else its first sentence, with one more where it is short; the
  paragraphs themselves are notes for the speaker, below those of the teacher, and N shows them;
- a question waits: what is shown after a paragraph that asks in bold comes with a key, and the answer to a prediction
  is on the next slide;
- imports, plumbing, more than `LINES` lines of code, and what solves or checks an exercise are not shown.
"""

import re
from dataclasses import dataclass, field

from i2pemd_lite.course.ask.question import ANSWER, REVEALED
from i2pemd_lite.course.publish import notebooks, pages, render, teacher

LINES = 8  # of code on a slide
ROOM = 18  # lines that were printed
SHORT = 40  # characters of a sentence that says too little alone
NO_PARAGRAPH = re.compile(r"^(\$\$| *[-*] | *\d+\. |\||!\[|```|<| {4})", flags=re.M)
SENTENCE = re.compile(r"""\S.*?[.?!](?:</\w+>|[)”"])*(?=\s+(?:<\w|["“(A-Z])|\s*$)""", flags=re.S)  # of HTML


@dataclass
class Slide:
    """One slide, in HTML: its heading and sentence, what is to be seen below these, and what the speaker says to it."""

    heading: str
    idea: str = ""
    shown: str = ""
    notes: list = field(default_factory=list)

    def html(self):
        """The slide as a section of a page."""
        idea = f'<div class="idea">{self.idea}</div>' if self.idea else ""
        notes = f'<aside class="notes">{"".join(self.notes)}</aside>' if self.notes else ""
        return "\n".join(["<section>", self.heading, idea, self.shown, notes, "</section>"])


def deck(notebook, path):
    """The page of slides of an executed notebook."""
    main = "\n".join(slide.html() for slide in slides(notebook, path))
    script = f"<script>\n{render.asset('slides.js')}</script>"
    return render.page(pages.title(notebook), f"<main>\n{main}\n</main>\n<footer></footer>\n{script}", "slides.css")


def slides(notebook, path):
    """The `Slide`s of an executed notebook, in order."""
    notes, made = {render.text(f"## {note.heading}"): note for note in teacher.notes(path.name[:2])}, []
    waits, last = False, ""  # whether what is shown next waits for a key; a sentence that is on no slide yet
    for kind, html in parts(notebook, path):
        if kind == "heading":
            made.append(Slide(html))
            waits, last = False, ""
            if note := notes.get(html):
                made[-1].notes.append(render.text(f"**{note.minutes} min.**\n\n{note.text}"))
        elif kind == "shown":
            if made[-1].shown:
                title = re.sub(r"</?h\d[^>]*>", "", made[-1].heading)
                made.append(Slide(f'<h2 class="again">{title}</h2>', last))
            made[-1].shown = f'<div class="fragment">{html}</div>' if waits else html
            waits, last = False, ""
        else:
            made[-1].notes.append(html)
            waits, last = waits or kind == "asked", _idea(html)
            if not made[-1].shown and (kind == "asked" or not made[-1].idea):
                made[-1].idea = last
    return made


def parts(notebook, path):
    """(kind, HTML) of all that a lesson has: a "heading", a paragraph that is "said" or "asked", or what is "shown"."""
    for cell in notebooks.spoken(notebook, path.name)["cells"]:
        if notebooks.is_text(cell):
            for block in _blocks(pages.here(cell["source"])):
                asks = re.search(r"\*\*[^*]+\*\*.*\?", block, re.S)
                kind = "shown" if NO_PARAGRAPH.search(block) else "asked" if asks else "said"
                yield "heading" if block.startswith("#") else kind, render.text(block, path.parent)
            continue
        if task := notebooks.task(cell):
            yield "shown", render.code(notebooks.cleared(task.solution))
            continue  # what a right answer prints is not the class's yet
        yield from _shown(cell)


def _shown(cell):
    """What a cell of code shows: its results, and the code where that is short and prints."""
    source, hidden = cell["source"], cell["metadata"].get("jupyter", {}).get("source_hidden")
    imports = re.search(r"^(import|from)\s", source, re.M)
    results = [out for out in cell.get("outputs", ()) if not (imports and "text" in out)]
    pieces = [piece for each in results for piece in _pieces(render.output(each))]
    plumbing = hidden or imports or len(source.splitlines()) > LINES
    if pieces and not plumbing and "<svg" not in pieces[0]:
        pieces[0] = render.code(source) + pieces[0]
    for piece in pieces:
        asked, _, answer = piece.partition(ANSWER)
        yield "shown", f'<div class="outputs">{asked}</div>'
        if answer:
            verdict, _, below = answer.removesuffix("</details>").removeprefix("<p>").partition("</p>")
            yield "said", f"<p>{verdict}</p>"
            for picture in [each for each in below.split(REVEALED) if each] or [""]:
                yield "shown", f'<div class="outputs">{picture}</div>'


def _idea(html):
    """The sentence of a paragraph that a slide shows: its question, or else the first, with its neighbours while it is
    short; all of it where a mark would be torn."""
    inside = re.sub(r"^<p>|</p>$", "", html)
    sentences = SENTENCE.findall(inside) or [inside]
    start = next((n for n, each in enumerate(sentences) if "?" in each[-12:]), 0)
    end = start + 1
    while len(re.sub(r"<[^>]*>", "", "".join(sentences[start:end]))) < SHORT and end - start < len(sentences):
        start, end = (start - 1, end) if start else (start, end + 1)
    idea = " ".join(sentences[start:end])
    return idea if len(re.findall(r"<\w", idea)) == idea.count("</") else inside


def _pieces(html):
    """What was printed, cut where a slide ends; anything else as a whole."""
    if not html.startswith("<pre>"):
        return [html] if html else []
    lines = html.removeprefix("<pre>").removesuffix("</pre>").splitlines()
    return ["<pre>" + "\n".join(lines[at : at + ROOM]) + "</pre>" for at in range(0, len(lines), ROOM)]


def _blocks(source):
    """Markdown cut at its empty lines, save within formulas and lists."""
    blocks = []
    source = source.replace(ANSWER, "").replace("</details>", "")  # what is folded in a lesson is for the speaker
    for part in re.split(r"\n\s*\n", source.strip()):
        goes_on = blocks and (blocks[-1].count("$$") % 2 or blocks[-1].count("```") % 2)
        if goes_on or (blocks and re.match(r"[-*] |\d+\. | ", part) and re.match(r"[-*] |\d+\. ", blocks[-1])):
            blocks[-1] += f"\n\n{part}"
        else:
            blocks.append(part)
    return blocks
