"""What is shown once and does not move: a picture or a table, with its words."""

import base64
from html import escape

from i2pemd_lite.panels.engine import picture, style


def drawn(width, height, draw, *what):
    """What `draw(figure, *what)` draws in the house style, once, as PNG bytes; sizes in inches.

    Example
    -------
    >>> drawn(2, 1, lambda figure: figure.text(0.5, 0.5, "once"))[:4]
    b'\\x89PNG'
    """
    import matplotlib

    figure = style.figure(width, height)
    with matplotlib.rc_context(style.RC):
        draw(figure, *what)
    return style.png(figure)


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
        below = f'<p style="line-height:1.4;max-width:940px">{escape(self.words)}</p>'
        if self.png is None:
            return {"text/plain": self.words, "text/html": self.html + below}
        png = base64.b64encode(self.png).decode()
        return {"text/plain": self.words, "text/html": picture.html(self.png, self.words) + below, "image/png": png}


def count(n, what):
    """A number of things, in words.

    Example
    -------
    >>> count(1, "exercise"), count(0, "exercise"), count(2, "panel")
    ('1 exercise', '0 exercises', '2 panels')
    """
    return f"{n} {what}{'s' * (n != 1)}"
