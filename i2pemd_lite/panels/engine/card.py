"""The card that a panel draws on: all marks of a picture are said in every drawing, and only what is new is made."""

from collections import Counter

import numpy as np
from matplotlib import rc_context
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.canvas import Canvas, encoded

KINDS = ("artists", "images", "patches", "collections", "lines", "texts")  # of marks, in the order of one zorder


class Card(Figure):
    """A figure in inches at 100 dots each, on which each drawing moves the marks of the one before.

    A `draw(card, result)` says all marks, every time, as if the card were empty:

        plane = card.plane("plane", [0.1, 0.1, 0.8, 0.8], xlim=(0, 1), title="Cost")
        plane.line(x, y, color=style.BLUE)
        plane.text(0.1, 0.9, f"{cost:.2f}", weight="bold")
        card.paper.text(0.1, 0.95, "beside all planes")

    `begin` begins a drawing, `png` ends it: what it did not say is hidden.

    Attributes
    ----------
    planes : name -> `Plane`
    paper : `Plane` of the figure itself, for texts and rectangles, in parts of it from the lower left
    """

    def __init__(self, width, height):
        super().__init__(figsize=(width, height), dpi=100, facecolor=style.CARD)
        self.planes, self.paper, self._said, self._still = {}, Plane(self), set(), None
        Canvas(self)

    def plane(self, name, box, once=None, **look):
        """The `Plane` of a name, in a box (left, bottom, width, height) of the figure, with looks of `Axes.set`.

        The box counts when the axes are made, when `once(axes)` is called, such as `style.blank`. A look that is said
        once is said in every drawing, the limits among them.
        """
        if name not in self.planes:
            with rc_context(style.RC):
                self.planes[name] = Plane(self.add_axes(box))
                if once:
                    once(self.planes[name].axes)
        self._said.add(name)
        self.planes[name].look(**look)
        return self.planes[name]

    def begin(self):
        """Begin the next drawing."""
        self._said.clear()
        for plane in (self.paper, *self.planes.values()):
            plane.said.clear()

    def png(self):
        """The picture as PNG bytes.

        Frames, ticks, titles and still marks seldom change. They are drawn once and kept; only the others are drawn on
        top, until matplotlib says that something else is stale.
        """
        for name, plane in self.planes.items():
            _show(plane.axes, name in self._said)
            plane.hide_the_rest()
        self.paper.hide_the_rest()
        if self.stale or self._still is None:
            with rc_context(style.RC):
                self.canvas.draw()
            self._still = self.canvas.copy_from_bbox(self.bbox)
        self.canvas.restore_region(self._still)
        renderer = self.canvas.get_renderer()
        for owner in (*self.axes, self):
            marks = [mark for kind in KINDS for mark in getattr(owner, kind, ())]
            for mark in sorted(marks, key=lambda mark: mark.get_zorder()) if owner.get_visible() else ():
                if mark.get_animated():
                    mark.draw(renderer)
        return encoded(np.asarray(self.canvas.buffer_rgba())[..., :3])


class Plane:
    """Axes, or a whole figure, whose marks are said anew in each drawing.

    Each method is a kind of mark: where it is, and its look as matplotlib names it, of which a drawing may change the
    values. The n-th mark of a kind with these names of looks is the same artist in every drawing; where such of other
    names may overlap, a `zorder` says which is above. One with `still=True` is drawn below the others, and quicker
    while it stays as it is.

    Example
    -------
    >>> card = Card(2, 1)
    >>> def draw(values):
    ...     card.begin()
    ...     for x in values:
    ...         card.paper.text(x, 0.5, f"{x}")
    ...     return card.png()
    >>> one = draw([0.2])
    >>> draw([0.2, 0.6]) != one, draw([0.2]) == one, len(card.texts)
    (True, True, 2)
    """

    def __init__(self, axes):
        self.axes, self._look = axes, {}
        self._marks, self.said = {}, Counter()  # kind -> its (artist, look), and how many of them this drawing said

    def look(self, **look):
        """Change what `Axes.set` takes; what stays the same costs nothing."""
        if new := _new(self._look, look):
            with rc_context(style.RC):
                self.axes.set(**new)
        self._look |= look

    def hide_the_rest(self):
        """Hide the marks that this drawing did not say."""
        for kind, marks in self._marks.items():
            for artist, _ in marks[self.said[kind] :]:
                _show(artist, False)

    def mark(self, kind, make, where=None, still=False, **look):
        """The next mark of any kind, `where` it is and its look as `Artist.set` takes them.

        `make(**look)` makes it when the picture has none. What is the same object as before counts as unchanged: an
        array that was said must not be changed in place.
        """
        kind = kind, still, *look
        marks, n = self._marks.setdefault(kind, []), self.said[kind]
        if n == len(marks):
            with rc_context(style.RC):
                marks.append((make(**look), look))
            marks[-1][0].set_animated(not still)
        artist, before = marks[n]
        now = look | (where or {})
        if new := _new(before, now):
            artist.set(**new)
            marks[n] = artist, now
        self.said[kind] += 1
        _show(artist, True)
        return artist

    def line(self, x, y, **look):
        """A line through points."""
        return self.mark("line", lambda **look: self.axes.plot([], [], **look)[0], {"data": (x, y)}, **look)

    def points(self, x, y, **look):
        """A marker on each point."""
        return self.line(np.atleast_1d(x), np.atleast_1d(y), ls="", **look)

    def text(self, x, y, words, **look):
        """Words at a place, as they are: a name may hold "$", which is no formula here."""
        where = {"position": (x, y), "text": words}
        return self.mark("text", lambda **look: self.axes.text(0, 0, "", parse_math=False, **look), where, **look)

    def rect(self, left, bottom, width, height, **look):
        """A rectangle."""
        where = {"bounds": (left, bottom, width, height)}
        return self.mark("rect", lambda **look: self.axes.add_artist(Rectangle((0, 0), 1, 1, **look)), where, **look)

    def segments(self, ends, **look):
        """Lines, each through its own points: (n, points of one, 2)."""
        where = {"segments": ends}
        return self.mark("segments", lambda **look: self.axes.add_collection(LineCollection([], **look)), where, **look)

    def polygons(self, corners, **look):
        """Filled areas, each with its own corners: (n, corners of one, 2)."""
        make = lambda **look: self.axes.add_collection(PolyCollection([], **look), autolim=False)  # noqa: E731
        return self.mark("polygons", make, {"verts": corners}, **look)

    def dots(self, places, sizes, **look):
        """Markers at places (n, 2) with sizes (n,), in points²."""
        where = {"offsets": places, "sizes": np.atleast_1d(sizes)}
        return self.mark("dots", lambda **look: self.axes.scatter([], [], **look), where, **look)

    def arrows(self, places, pushes, **look):
        """Arrows from places (n, 2) along pushes (n, 2)."""
        kind = f"arrows {len(places)}"
        arrows = self.mark(kind, lambda **look: self.axes.quiver(*np.zeros((4, len(places))), **look), **look)
        arrows.set_offsets(places)
        arrows.set_UVC(*np.transpose(pushes))
        return arrows

    def image(self, values, low, high, **look):
        """Values (height, width) in colours from `low` to `high`, or colours (height, width, 3)."""
        where = {"data": values, "clim": (low, high)}
        return self.mark(f"image {np.shape(values)}", lambda **look: self.axes.imshow(values, **look), where, **look)

    def matrix(self, values, rows, columns, top=1.0, size=8.0, aspect="equal", words=None, bold=None):
        """A small matrix in cividis from 0 to `top` with its numbers written in, below and beside its labels.

        words : what is written in place of the numbers;  bold : which of them are; (m, n) each

        Example
        -------
        >>> plane = Card(2, 2).plane("G", [0, 0, 1, 1], style.blank)
        >>> plane.matrix(np.array([[0, 0.5], [0.5, 0]]), ["a", "b"], ["a", "b"])
        >>> plane.axes.texts[1].get_text()
        '.5'
        """
        m, n = np.shape(values)
        if "xticks" not in self._look:
            self.axes.xaxis.tick_top()
        self.look(xticks=range(n), yticks=range(m), xticklabels=columns, yticklabels=rows)
        self.look(xlim=(-0.5, n - 0.5), ylim=(m - 0.5, -0.5))
        self.image(values, 0, top, cmap=style.HEAT, interpolation="nearest", aspect=aspect)
        for (i, j), value in np.ndenumerate(values):
            # cividis is dark below its middle: each number is set in the ink that reads on its cell.
            ink = style.CARD if value < 0.5 * top else style.BLACK
            weight = "bold" if bold is not None and bold[i][j] else "normal"
            text = style.number(value) if words is None else words[i][j]
            self.text(j, i, text, ha="center", va="center", size=size, color=ink, weight=weight)


def _new(before, look):
    """What of a look is not as before."""
    return {name: value for name, value in look.items()
            if name not in before or not (before[name] is value or np.array_equal(before[name], value))}  # fmt: skip


def _show(artist, visible):
    """In some versions of matplotlib, setting what is so already makes the figure stale."""
    if artist.get_visible() != visible:
        artist.set_visible(visible)
