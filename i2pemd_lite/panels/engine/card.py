"""The card that a panel draws on: an SVG picture, of which a drawing says all planes and all marks."""

import base64
import html
import io
import math
import re
from collections import Counter
from contextlib import contextmanager

import numpy as np

from i2pemd_lite.panels.engine import style

POINT = 100 / 72  # units of the picture in a point, in which sizes and widths are said
SMALLEST = 8.95  # points of a text: 11 pixels where the picture is as narrow as it gets (`picture.js`)
FONT = "system-ui,-apple-system,Segoe UI,Helvetica Neue,DejaVu Sans,sans-serif"
POLYGONS = {  # markers as corners in a square from -1 to 1; "o" and "." are round
    "D": [(0, -1), (1, 0), (0, 1), (-1, 0)],
    "s": [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "^": [(0, -1), (0.95, 0.8), (-0.95, 0.8)],
    "v": [(0, 1), (0.95, -0.8), (-0.95, -0.8)],
    "*": [(r * np.sin(k * np.pi / 5), -r * np.cos(k * np.pi / 5)) for k, r in enumerate([1.1, 0.45] * 5)],
    "X": [(0, -0.5), (0.5, -1), (1, -0.5), (0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5), (-0.5, 1), (-1, 0.5), (-0.5, 0),
          (-1, -0.5), (-0.5, -1)],
}  # fmt: skip
STROKES = {  # markers as lines in that square
    "x": [[(-0.75, -0.75), (0.75, 0.75)], [(-0.75, 0.75), (0.75, -0.75)]],
    "|": [[(0, -1), (0, 1)]],
    "_": [[(-1, 0), (1, 0)]],
}
DASHES = {"-": None, "--": (3.7, 1.6), ":": (1, 1.65), "-.": (6.4, 1.6, 1, 1.6)}  # in widths of the line
ANCHORS = {"left": "start", "center": "middle", "right": "end"}
DROPS = {"baseline": 0.0, "center": 0.36, "top": 0.8, "bottom": -0.22}  # of the base line, in sizes of the text


class Card:
    """A picture of a size in inches, at 100 units each, with planes to draw in.

        plane = card.plane("plane", [0.1, 0.1, 0.8, 0.8], xlim=(0, 1), title="Cost")
        plane.line(x, y, color=style.BLUE)
        plane.text(0.1, 0.9, f"{cost:.2f}", weight="bold")
        card.paper.text(0.1, 0.95, "beside all planes")
    """

    def __init__(self, width, height):
        self.width, self.height = round(100 * width), round(100 * height)
        self.planes = {}
        self.paper = Plane(self, "paper", [0, 0, 1, 1], "blank")  # the whole card, in parts of it from the lower left

    def plane(self, name, box, frame="axes", **look):
        """A `Plane` in a box (left, bottom, width, height), in parts of the card."""
        self.planes[name] = Plane(self, name, box, frame, **look)
        return self.planes[name]

    def marks(self):
        """{key: SVG} of all marks, the lowest first."""
        return {key: mark for plane in (self.paper, *self.planes.values()) for key, mark in plane.written()}

    def head(self, words):
        """How its SVG begins, with its alternative text, its colours and its ground."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="i2pemd-svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img" aria-label="{escape(words)}" '
            f'font-family="{FONT}"><style>{style.css()}</style>'
            f'<rect width="100%" height="100%" fill="{style.PAPER}"/>'
        )

    def svg(self, words=""):
        """The picture as SVG, with its alternative text; each mark is a line, which the page knows again."""
        return "\n".join([self.head(words), *self.marks().values(), "</svg>"])


class Plane:
    """A part of a card with axes of its own, and the marks in it.

    frame : "axes" (ticks, a line on the left and below), "framed" (a line all round) or "blank" (nothing)
    look : title and its ink, xlabel, ylabel; xlim, ylim, of which the first is left or below; xscale, yscale ("log");
        aspect ("equal") and anchor ("NW"); xticks, yticks and their labels xticklabels, yticklabels, or about how many
        `ticks` on each axis; upper (whether the x labels stand above), slant (degrees by which they rise); grid

    Each method is a kind of mark: where it is, and its look with the short names that matplotlib has for it: color,
    alpha, lw, ls; marker, ms, mfc, mec, mew (of points); fc, ec (of areas); size, weight, ha, va (of texts). Widths and
    sizes are points, places numbers of the axes; what leaves the plane is cut off where `clip` is not False. A higher
    `zorder` lies above.

    Example
    -------
    >>> plane = Card(2, 1).plane("p", [0, 0, 1, 1], "blank", xlim=(0, 10))
    >>> plane.line([0, 10], [0, 1], lw=0.72)
    >>> plane.written()[0][1]
    '<path data-k="p line 0" d="M0 100L200 0" fill="none" stroke="var(--i2-ink)" stroke-width="1"/>'
    >>> plane.place((0.5, 0.5)).tolist(), plane.place((1.5, 0.5))
    ([5.0, 0.5], None)
    """

    def __init__(self, card, name, box, frame="axes", **look):
        self.card, self.name, self.box, self.frame = card, name, box, frame
        self._look, self._marks, self._said = {"xlim": (0, 1), "ylim": (0, 1)} | look, [], Counter()
        self._clip, self._frame, self._names = "", None, ""

    def look(self, **look):
        """Change the look, before marks are said."""
        self._look |= look
        self._frame = None

    def _scaled(self, axis, values):
        values = np.asarray(values, np.float64)
        return np.log10(np.maximum(values, 1e-300)) if self._look.get(f"{axis}scale") == "log" else values

    def _ends(self):
        """(left, top, width, height) on the card, and the ends of x and y, logarithms where they are scaled so."""
        if self._frame:
            return self._frame
        left, bottom, width, height = np.multiply(self.box, [self.card.width, self.card.height] * 2)
        (x0, x1), (y0, y1) = (self._scaled(axis, self._look[f"{axis}lim"]) for axis in "xy")
        x1, y1 = x1 + (x1 == x0), y1 + (y1 == y0)
        top = self.card.height - bottom - height
        if self._look.get("aspect") == "equal":
            unit = min(width / abs(x1 - x0), height / abs(y1 - y0))
            wide, high = unit * abs(x1 - x0), unit * abs(y1 - y0)
            if self._look.get("anchor") != "NW":
                left, top = left + (width - wide) / 2, top + (height - high) / 2
            width, height = wide, high
        self._frame = (left, top, width, height), (x0, x1), (y0, y1)
        return self._frame

    def at(self, x, y):
        """Where places of the plane are on the card, (..., 2), in its units from the upper left."""
        (left, top, width, height), (x0, x1), (y0, y1) = self._ends()
        x, y = np.broadcast_arrays(self._scaled("x", x), self._scaled("y", y))
        return np.stack([left + width * (x - x0) / (x1 - x0), top + height * (y1 - y) / (y1 - y0)], -1)

    def place(self, at):
        """The place in the plane of a spot on the card, in parts of it from the lower left; None when outside."""
        (left, top, width, height), (x0, x1), (y0, y1) = self._ends()
        u, v = (at[0] * self.card.width - left) / width, ((1 - at[1]) * self.card.height - top) / height
        if not (0 <= u <= 1 and 0 <= v <= 1):
            return None
        place = np.array([x0 + u * (x1 - x0), y1 - v * (y1 - y0)])
        return np.array([10**p if self._look.get(f"{axis}scale") == "log" else p
                         for axis, p in zip("xy", place, strict=True)])  # fmt: skip

    # Marks

    @contextmanager
    def link(self, *names):
        """What is said within has names: a page lights with a mark all whose names are among its own, or hold them."""
        self._names = " ".join(names)
        yield
        self._names = ""

    def line(self, x, y, color=style.INK, lw=1.5, ls="-", marker="", zorder=2, clip=True, **look):
        """A line through points, broken where one is NaN, and a marker on each where it has one."""
        places = self.at(x, y)
        ink = {name: look[name] for name in look.keys() & {"alpha", "cap"}}
        if ls:
            self._path("line", _lines([places]), places, zorder, clip, fc="none", ec=color, lw=lw, ls=ls, **ink)
        if marker:
            self._markers(places, color, marker, zorder, clip, **look)

    def points(self, x, y, **look):
        """A marker on each point."""
        self.line(np.atleast_1d(x), np.atleast_1d(y), ls="", **look)

    def segments(self, ends, color=style.INK, lw=1.5, zorder=2, **look):
        """Lines, each through its own points: (n, points of one, 2)."""
        lines = [self.at(*np.transpose(each)) for each in ends]
        places = np.concatenate([np.zeros((0, 2)), *lines])
        self._path("segments", _lines(lines), places, zorder, fc="none", ec=color, lw=lw, **look)

    def flow(self, ends, amounts, color=style.INK):
        """Dots that run along lines (n, points of one, 2) while what they carry, (n,), changes; they rest unseen."""
        for line, amount in zip(ends, amounts, strict=True):
            look = _ink("none", color, 4, (0, 3), 0, "round") | {"data-flow": _n(amount)}
            self._add("flow", "path", (), 2, {"d": _lines([self.at(*np.transpose(line))])} | look)

    def polygons(self, corners, fc=style.QUIET, ec="none", lw=0.0, zorder=1):
        """Filled areas, each with its own corners: (n, corners of one, 2); one without corners is none."""
        if areas := [self.at(*np.transpose(each)) for each in corners if len(each)]:
            self._path("polygons", _lines(areas, "Z"), np.concatenate(areas), zorder, fc=fc, ec=ec, lw=lw)

    def rect(self, left, bottom, width, height, fc="none", ec="none", lw=1.0, hatch="", zorder=1, round=0, clip=True):
        """A rectangle. hatch: the colour of lines within; round: the radius of its corners."""
        (x0, y0), (x1, y1) = self.at([left, left + width], [bottom, bottom + height])
        x, y, wide, high = min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)
        where = {"x": x, "y": y, "width": wide, "height": high} | ({"rx": round} if round else {})
        corners = np.array([[x, y], [x + wide, y + high]])
        self._add("rect", "rect", corners, zorder, where | _ink(fc, ec, lw), clip=clip)
        if hatch and wide + high > 7:
            cuts = np.arange(7, wide + high, 7)
            lines = np.array([[[max(0, c - high), min(c, high)], [min(c, wide), max(0, c - wide)]] for c in cuts])
            self._path("hatch", _lines(lines + [x, y]), corners, zorder, clip, fc="none", ec=hatch, lw=0.7)

    def arrows(self, starts, ends, lw=1.5, color=style.INK, ec="none", zorder=2):
        """Arrows from places (n, 2) to places (n, 2), with heads as far as they are long enough."""
        a, b = self.at(*np.transpose(starts)), self.at(*np.transpose(ends))
        length = np.linalg.norm(b - a, axis=1, keepdims=True)
        along = (b - a) / np.maximum(length, 1e-9)
        aside, half = along[:, ::-1] * [-1, 1], lw * POINT / 2
        neck = b - along * np.minimum(length, 8 * half)
        wing = aside * np.minimum(3 * half, 0.4 * length)
        shaft = aside * np.minimum(half, 0.15 * length)
        areas = np.stack([a - shaft, neck - shaft, neck - wing, b, neck + wing, neck + shaft, a + shaft], 1)
        self._path("arrows", _lines(areas, "Z"), areas.reshape(-1, 2), zorder, fc=color, ec=ec, lw=0.6)

    def image(self, values, low=0, high=1, *, extent, smooth=False):
        """Values (height, width) in cividis from `low` to `high`, or colours (height, width, 3 or 4) from `low` to
        `high`, in an extent (left, right, bottom, top) of the plane; the first row is at the top."""
        values = np.clip((np.asarray(values, np.float64) - low) / (high - low), 0, 1)
        if values.ndim == 2:
            from matplotlib import colormaps

            values = colormaps["cividis"](values)
        left, right, bottom, top = extent
        corners = self.at([left, right], [top, bottom])
        (x, y), (wide, high) = corners.min(0), np.abs(np.diff(corners, axis=0))[0]
        look = {} if smooth else {"style": "image-rendering:pixelated"}
        where = {"x": x, "y": y, "width": wide, "height": high, "preserveAspectRatio": "none"}
        self._add("image", "image", corners, 0, where | look | {"href": picture(values)})

    def text(self, x, y, words, size=9, color=style.INK, weight="", ha="left", va="baseline", zorder=3, linespacing=1.2,
             inside=False, halo=False, rotate=0):  # fmt: skip
        """Words at a place, or with `inside` at one in parts of the plane. halo: they have a rim of paper."""
        size, lines = max(size, SMALLEST) * POINT, str(words).split("\n")
        (left, top, width, height), *_ = self._ends()
        x, y = (left + x * width, top + (1 - y) * height) if inside else self.at(x, y)
        step = size * linespacing
        drop = {"center": 0.5, "bottom": 1.0, "baseline": 1.0}.get(va, 0) * step * (len(lines) - 1)
        y += DROPS[va] * size - drop
        look = {"x": x, "y": y, "font-size": f"{size:.4g}", "fill": color}
        look |= {"text-anchor": ANCHORS[ha]} if ha != "left" else {}
        look |= {"font-weight": weight} if weight else {}
        look |= {"transform": f"rotate({rotate} {x:.1f} {y:.1f})"} if rotate else {}
        if halo:
            look |= {"stroke": style.PAPER, "stroke-width": 4, "stroke-linejoin": "round", "paint-order": "stroke"}
        below = [escape(line, False) or "&#160;" for line in lines[1:]]  # SVG gives an empty line no height
        inner = "".join(f'<tspan x="{x:.1f}" dy="{step:.4g}">{line}</tspan>' for line in below)
        self._add("text", "text", (), zorder, look, escape(lines[0], False) + inner)

    def matrix(self, values, rows, columns, top=1.0, size=8.0, aspect="equal", words=None, bold=None, names=None,
               terms=None):  # fmt: skip
        """A small matrix from paper at 0 to ink at `top`, with its numbers, its labels to the left and above; what is
        negative goes to another ink, as far away.

        words : what is written in place of the numbers;  bold : which of them are;  names : of each cell, as of `link`;
        terms : how it was computed, which a page says below the matrix while a cell is pointed at; (m, n) each

        Example
        -------
        >>> plane = Card(2, 2).plane("G", [0, 0, 1, 1], "blank")
        >>> plane.matrix(np.array([[0, 0.5], [0.5, 0]]), ["a", "b"], ["a", "b"])
        >>> ">.5</text>" in dict(plane.written())["G number 1"]
        True
        """
        m, n = np.shape(values)
        self.look(xticks=range(n), yticks=range(m), xticklabels=columns, yticklabels=rows, upper=True)
        self.look(xlim=(-0.5, n - 0.5), ylim=(m - 0.5, -0.5), aspect=aspect)
        (x, y, wide, high), *_ = self._ends()
        frame = {"x": x, "y": y, "width": wide, "height": high}
        self._add("frame", "rect", (), 1, frame | _ink("none", style.LINE, 0.7))
        wide, high, look = wide / n, high / m, {"font-size": max(size, SMALLEST) * POINT, "text-anchor": "middle"}
        for (i, j), value in np.ndenumerate(values):
            fill, ink = style.heat(value / top)
            where = {"x": x + j * wide, "y": y + i * high, "width": wide, "height": high}
            term = {} if terms is None else {"data-t": escape(terms[i][j])}
            with self.link(*(() if names is None else names[i][j])):
                self._add("cell", "rect", (), 0, where | {"fill": fill} | term)
            middle = {"x": where["x"] + wide / 2, "y": where["y"] + high / 2 + DROPS["center"] * look["font-size"]}
            weight = {"font-weight": "bold"} if bold is not None and bold[i][j] else {}
            word = style.number(value) if words is None else escape(words[i][j], False)
            self._add("number", "text", (), 3, middle | look | {"fill": ink} | weight, word)
        if terms is not None:
            below = {"x": x, "y": y + m * high + 18, "font-size": SMALLEST * POINT, "fill": style.INK}
            self._add("term", "text", (), 3, below | {"font-weight": "bold"})

    # How marks are written

    def _path(self, kind, d, places, zorder, clip=True, **ink):
        self._add(kind, "path", places, zorder, {"d": d} | _ink(**ink), clip=clip)

    def _markers(self, places, color, marker, zorder, clip=True, ms=6.0, mfc=None, mec=None, mew=1.0, alpha=1):
        places, half = places[np.isfinite(places).all(-1)], ms * POINT / 2
        fill, edge = mfc or color, mec or color
        if marker.startswith("$"):  # a letter, in one text that says the place of each
            size = 2.8 * half
            x, y = (" ".join(map(_n, values)) for values in (places + [0, DROPS["center"] * size]).T)
            look = {"font-size": size, "font-weight": "bold", "text-anchor": "middle", "fill": fill, "opacity": alpha}
            look, letters = {"x": x, "y": y} | look, marker.strip("$") * len(places)
            return self._add("letters", "text", places, zorder, look, letters, clip)
        if marker in STROKES:
            lines = places[:, None, None] + half * np.array(STROKES[marker])
            lines = lines.reshape(-1, *lines.shape[2:])
            return self._path(marker, _lines(lines), places, zorder, clip, fc="none", ec=edge, lw=mew, alpha=alpha)
        if marker in POLYGONS:
            d = _lines(places[:, None] + half * np.array(POLYGONS[marker]), "Z")
        else:
            half = round(half * (0.5 if marker == "." else 1), 1)  # an arc must reach as far as its radii do
            if fill == edge:  # a line of no length with round ends, which is a third of the letters of two arcs
                ink = {"fc": "none", "ec": fill, "lw": 2 * half / POINT + mew, "cap": "round", "alpha": alpha}
                return self._path("points", _lines(places[:, None], "Z"), places, zorder, clip, **ink)
            arc = f"a{_n(half)} {_n(half)} 0 1 0"
            d = "".join(f"M{_n(x - half)} {_n(y)}{arc}{_n(2 * half)} 0{arc}{_n(-2 * half)} 0" for x, y in places)
        return self._path("points", d, places, zorder, clip, fc=fill, ec=edge, lw=mew, alpha=alpha)

    def _add(self, kind, tag, places, zorder, attributes, inner="", clip=True):
        key = f"{self.name} {kind} {self._said[kind]}"
        self._said[kind] += 1
        attributes |= {"data-l": escape(self._names)} if self._names else {}
        places = np.reshape(places, (-1, 2))
        places = places[np.isfinite(places).all(1)]
        if clip and len(places):
            (left, top, wide, high), *_ = self._ends()
            low, high = places.min(0) - (left, top), places.max(0) - (left + wide, top + high)
            if low.min() < -0.5 or high.max() > 0.5:
                self._clip = "-".join(f"{v:.0f}" for v in self._ends()[0])
                attributes["clip-path"] = f"url(#i2clip-{self._clip})"
        written = "".join(f' {name}="{value if isinstance(value, str) else _n(value)}"'
                          for name, value in attributes.items())  # fmt: skip
        end = f">{inner}</{tag}>" if inner else "/>"
        self._marks.append((zorder, key, f'<{tag} data-k="{escape(key)}"{written}{end}'))

    def written(self):
        """[(key, SVG)] of the marks, with ticks and titles below them."""
        axes, clip = Plane(self.card, f"{self.name} axes", self.box, self.frame, **self._look), []
        axes._draw_frame()
        if self._clip:
            (left, top, wide, high), *_ = self._ends()
            key = f"{self.name} clip"
            clip = [(key, f'<clipPath data-k="{escape(key)}" id="i2clip-{self._clip}"><rect x="{_n(left)}" '
                          f'y="{_n(top)}" width="{_n(wide)}" height="{_n(high)}"/></clipPath>')]  # fmt: skip
        return clip + [each[1:] for each in sorted([*axes._marks, *self._marks], key=lambda each: each[0])]

    def _draw_frame(self):
        look, ((left, top, wide, high), *ends) = self._look, self._ends()
        size = 8
        ticks = {axis: self._ticks(axis, *end, (wide, high)[axis == "y"]) for axis, end in zip("xy", ends, strict=True)}
        upper = look.get("upper", False)
        for at, words in ticks["x"]:
            x = left + wide * at
            if look.get("grid"):
                self._rule("grid", [[x, top], [x, top + high]], 0.5)
            self._word(x, top - 6 if upper else top + high + 5 + 0.8 * size * POINT, words, size, style.QUIET,
                       ha="left" if look.get("slant") else "center", rotate=-look.get("slant", 0))  # fmt: skip
        for at, words in ticks["y"]:
            y = top + high * (1 - at)
            if look.get("grid"):
                self._rule("grid", [[left, y], [left + wide, y]], 0.5)
            self._word(left - 6, y + 0.36 * size * POINT, words, size, style.QUIET, ha="right")
        right, foot = left + wide, top + high
        corners = [[left, top], [left, foot], [right, foot], [right, top], [left, top]]
        if self.frame != "blank":
            self._rule("frame", corners[: 3 if self.frame == "axes" else 5], 0.8)
        below = 1.5 * size * POINT * bool(ticks["x"] and not upper)
        if look.get("xlabel"):
            self._word(left + wide / 2, top + high + below + 16, look["xlabel"], 8.5, style.QUIET, ha="center")
        if look.get("ylabel"):
            longest = max((len(line) for _, words in ticks["y"] for line in str(words).split("\n")), default=0)
            aside = 0.58 * size * POINT * longest + 14  # about as far as the labels of its ticks
            self._word(left - aside, top + high / 2, look["ylabel"], 8.5, style.QUIET, ha="center", rotate=-90)
        if look.get("title"):
            self._word(left, top - 10 - 1.4 * size * POINT * upper, look["title"], 9.5, look.get("ink", style.INK))

    def _rule(self, kind, places, lw):
        self._path(kind, _lines([np.array(places)]), (), 0, fc="none", ec=style.LINE, lw=lw)

    def _word(self, x, y, words, size, color=style.INK, **look):
        """Words at a place of the card."""
        (left, top, wide, high), *_ = self._ends()
        self.text((x - left) / wide, 1 - (y - top) / high, words, size, color, inside=True, **look)

    def _ticks(self, axis, low, high, length):
        """[(part of the axis, words)] of its ticks."""
        places, words = self._look.get(f"{axis}ticks"), self._look.get(f"{axis}ticklabels")
        if places is None:
            if self.frame != "axes":
                return []
            count = self._look.get("ticks") or min(6, max(2, length / 48))
            places = nice(low, high, count, self._look.get(f"{axis}scale") == "log")
        digits = [len(f"{place:.6f}".rstrip("0").partition(".")[2]) for place in places]
        if self._look.get(f"{axis}scale") != "log":
            digits = [max(digits, default=0)] * len(digits)
        if words is None:
            words = [f"{place:,.{n}f}" if abs(place) < 1e5 else f"{place:.0e}".replace("e+0", "e")
                     for place, n in zip(places, digits, strict=True)]  # fmt: skip
        parts = (self._scaled(axis, list(places)) - low) / (high - low)
        return [(part, word) for part, word in zip(parts, words, strict=True) if -1e-9 <= part <= 1 + 1e-9]


def nice(low, high, count, log=False):
    """About `count` round numbers from `low` to `high`, more than one; with `log` those of 10^low to 10^high, if any.

    Example
    -------
    >>> nice(0, 1, 5), nice(-3, 17, 4), nice(30, 92, 2), nice(0.5, 4.7, 2), nice(0, 1, 5, log=True)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 5.0, 10.0, 15.0], [40.0, 60.0, 80.0], [2.0, 4.0], [1.0, 2.0, 5.0, 10.0])
    """
    low, high = min(low, high), max(low, high)
    if log:
        heads = (1, 2, 5) if high - low <= 2 else (1,)
        every = [head * 10.0**k for k in range(math.floor(low), math.ceil(high) + 1) for head in heads]
        return [float(f"{x:.6g}") for x in every if low - 1e-9 <= math.log10(x) <= high + 1e-9]
    rough = (high - low) / count
    step = 10.0 ** math.floor(math.log10(rough))
    step *= next(head for head in (1, 2, 5, 10) if head * step >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if last <= first and count > 1:  # one number alone tells no scale
        return nice(low, high, 2 * count)
    return [float(f"{k * step:.10g}") for k in range(first, last + 1)]


def escape(words, quote=True):
    """Words as XML has them, on one line, without characters that XML does not have, which a name may hold."""
    return html.escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", str(words).replace("\n", " ")), quote)


def picture(colours):
    """Colours (height, width, 3 or 4), 0 to 1, as the address of a PNG that is in it."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.rint(255 * np.asarray(colours)).astype(np.uint8)).save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _lines(lines, end=""):
    """Lines (points of one, 2) as the `d` of a path; one breaks where a number is not finite."""
    parts = []
    for line in lines:
        pen = "M"
        for x, y in line.tolist():
            if not (math.isfinite(x) and math.isfinite(y)):
                pen = "M"
            else:
                parts.append(f"{pen}{_n(x)} {_n(y)}")
                pen = "L"
        parts.append(end * (pen == "L"))
    return "".join(parts)


def _ink(fc, ec, lw, ls="-", alpha=1, cap=""):
    """The attributes of SVG that fill and stroke."""
    look = {"fill": fc} | ({"stroke": ec, "stroke-width": lw * POINT} if lw and ec != "none" else {})
    if dashes := DASHES.get(ls, ls):
        look["stroke-dasharray"] = " ".join(_n(part * lw * POINT) for part in dashes)
    return look | ({"opacity": alpha} if alpha != 1 else {}) | ({"stroke-linecap": cap} if cap else {})


def _n(value):
    """A number with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")
