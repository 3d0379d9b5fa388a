"""The picture of a panel in the browser, and what stands below it: SVG and HTML in, touches out."""

from pathlib import Path

import anywidget
from traitlets import Bool, Dict, Unicode


def part(*names):
    """What these files beside this one hold, of JavaScript or CSS, one after the other."""
    return "".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in names)


class Picture(anywidget.AnyWidget):
    """A picture, of which the page changes only what is new; it fills the page's width, and scrolls on a narrow one.

    `touched((x, y), pressed)` is called when the pointer goes down on the picture (pressed) and when it is dragged (not
    pressed); x and y are parts of the width and height, from the lower left. None: nothing happens.

    Example
    -------
    >>> places = []
    >>> touchable = Picture(lambda at, pressed: places.append((at, pressed)))
    >>> touchable.touch = {"at": [0.5, 0.25], "began": [0.5, 0.5], "count": 1}
    >>> places
    [((0.5, 0.5), True), ((0.5, 0.25), False)]
    """

    _esm = part("patch.js", "picture.js")
    _css = part("panel.css")
    value = Unicode().tag(sync=True)
    below = Unicode().tag(sync=True)
    touchable = Bool().tag(sync=True)
    touch = Dict().tag(sync=True)

    def __init__(self, touched=None):
        super().__init__(touchable=touched is not None)
        self._touched, self._count = touched, None
        self.observe(self._touch, "touch")

    def _touch(self, change):
        at, began, count = (change["new"][name] for name in ("at", "began", "count"))
        if count != self._count:
            self._count = count
            self._touched(tuple(began), True)
        if at != began:
            self._touched(tuple(at), False)
