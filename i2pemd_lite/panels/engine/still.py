"""What is shown once and does not move: a picture or a table, with its words."""

import base64
from html import escape

from i2pemd_lite.panels.engine import style


def drawn(width, height, draw, *what):
    """What `draw(card, *what)` draws in the house style, once, as PNG bytes; sizes in inches."""
    import matplotlib

    from i2pemd_lite.panels.engine.card import Card

    card = Card(width, height)
    with matplotlib.rc_context(style.RC):
        draw(card, *what)
    return card.png()


def html(png, words):
    """PNG bytes with their alternative text, for a page in which no kernel runs.

    Example
    -------
    >>> html(b"...", "A line & a dot.")
    '<img src="data:image/png;base64,Li4u" alt="A line &amp; a dot." style="max-width:100%">'
    """
    data = base64.b64encode(png).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(words)}" style="max-width:100%">'


class Still:
    """Words, with a PNG picture or a table of HTML above them; it shows itself in a notebook.

    Example
    -------
    >>> Still("Nothing yet.")
    Nothing yet.
    """

    def __init__(self, words, png=None, html=""):
        self.words, self.png, self.html = words, png, html

    def __repr__(self):
        return self.words

    def _repr_mimebundle_(self, **_):
        above, bundle = self.html, {"text/plain": self.words}
        if self.png is not None:
            above, bundle["image/png"] = html(self.png, self.words), base64.b64encode(self.png).decode()
        below = f'<p style="line-height:1.4;max-width:940px">{escape(self.words)}</p>'
        return bundle | {"text/html": above + below}


def count(n, what):
    """A number of things in words: "1 exercise", but "0 exercises" and "2 exercises"."""
    return f"{n} {what}{'s' * (n != 1)}"
