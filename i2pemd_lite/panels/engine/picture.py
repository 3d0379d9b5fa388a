"""The picture of a panel in the browser: PNG bytes in, touches out; without anywidget it cannot be touched."""

import base64
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path

import ipywidgets as widgets
from traitlets import Bool, Bytes, Dict, Int, Unicode


def picture(width, touched=None):
    """A widget that shows PNG bytes, `width` pixels wide; on a narrower page it shrinks.

    `touched((x, y), pressed)` is called when the pointer goes down on the picture (pressed) and when it is dragged (not
    pressed); x and y are parts of the width and height, from the lower left. None: nothing happens.

    Example
    -------
    >>> places = []
    >>> touchable = picture(400, lambda at, pressed: places.append((at, pressed)))
    >>> touchable.touch = {"at": [0.5, 0.25], "began": [0.5, 0.5], "count": 1}
    >>> places
    [((0.5, 0.5), True), ((0.5, 0.25), False)]
    """
    return _touchable()(width, touched) if find_spec("anywidget") else Still(width)


def show(widget, png, words):
    """Replace the bytes of a picture and its alternative text, in one message."""
    with widget.hold_sync():
        widget.value, widget.alt = png, words


def html(png, words):
    """PNG bytes with their alternative text, for a page in which no kernel runs.

    Example
    -------
    >>> html(b"...", "A line & a dot.")
    '<img src="data:image/png;base64,Li4u" alt="A line &amp; a dot." style="max-width:100%">'
    """
    data = base64.b64encode(png).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(words)}" style="max-width:100%">'


class Still(widgets.Image):
    """An image of ipywidgets, which have no alternative text: screen readers take the title of what has none.

    The front end puts a tooltip on a widget that has a description, so an empty one is given along.
    """

    description = Unicode("").tag(sync=True)

    def __init__(self, width):
        super().__init__(format="png", layout={"width": f"{width}px", "max_width": "100%"})

    @property
    def alt(self):
        """The alternative text."""
        return self.tooltip

    @alt.setter
    def alt(self, words):
        self.tooltip = words


@cache
def _touchable():
    """The class of pictures that can be touched; made here, because anywidget need not be there."""
    import anywidget

    class Touchable(anywidget.AnyWidget):
        """An `<img>` with its own alternative text that reports the pointer."""

        _esm = Path(__file__).with_name("picture.js")
        value = Bytes().tag(sync=True)
        alt = Unicode().tag(sync=True)
        width = Int().tag(sync=True)
        touchable = Bool().tag(sync=True)
        touch = Dict().tag(sync=True)

        def __init__(self, width, touched=None):
            super().__init__(width=width, touchable=touched is not None)
            self._touched, self._count = touched, None
            self.observe(self._touch, "touch")

        def _touch(self, change):
            at, began, count = (change["new"][name] for name in ("at", "began", "count"))
            if count != self._count:
                self._count = count
                self._touched(tuple(began), True)
            if at != began:
                self._touched(tuple(at), False)

    return Touchable
