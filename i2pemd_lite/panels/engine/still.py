"""What is shown once and does not move: a picture or a table, with its words."""

import base64
from html import escape

from i2pemd_lite.panels.engine.card import Card


def drawn(width, height, words, draw, *what):
    """What `draw(card, *what)` draws in the house style, once, as SVG with its words; sizes in inches."""
    card = Card(width, height)
    draw(card, *what)
    return card.svg(words)


def html(svg, words):
    """A picture with its alternative text, for a page in which no kernel runs, and no SVG of others is shown.

    Example
    -------
    >>> html("<svg/>", "A line & a dot.")
    '<img src="data:image/svg+xml;base64,PHN2Zy8+" alt="A line &amp; a dot." style="max-width:100%">'
    """
    data = base64.b64encode(svg.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(words)}" style="max-width:100%">'


class Still:
    """Words, with a picture or a table of HTML above them; it shows itself in a notebook.

    Example
    -------
    >>> Still("Nothing yet.")
    Nothing yet.
    """

    def __init__(self, words: str, svg: str | None = None, html: str = ""):
        self.words, self.svg, self.html = words, svg, html

    def __repr__(self):
        return self.words

    def _repr_mimebundle_(self, **_):
        above, bundle = self.html, {"text/plain": self.words}
        if self.svg is not None:
            above, bundle["image/svg+xml"] = html(self.svg, self.words), self.svg
        below = f'<p style="line-height:1.4;max-width:940px">{escape(self.words)}</p>'
        return bundle | {"text/html": above + below}


def count(n, what):
    """A number of things in words: "1 exercise", but "0 exercises" and "2 exercises"."""
    return f"{n} {what}{'s' * (n != 1)}"
