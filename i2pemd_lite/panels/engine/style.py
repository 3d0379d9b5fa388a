"""The house style of every figure: one look, legible on light and dark pages, in colour and without it.

A figure is an opaque card, so its contrast does not depend on the page around it (a test measures it). Marks differ in
shape as well as colour: source or CT a blue circle, target or MR an orange cross, a prototype a black diamond with a
light edge. Distances and plans are drawn in cividis with their numbers. Figures are plain `matplotlib.figure.Figure`
with an Agg canvas: no pyplot, no global state, no window.
"""

import numpy as np

CARD, INK, QUIET, LINE = "#f6f5f1", "#1d2230", "#575d6b", "#c9c7bf"
BLUE, ORANGE, BLACK, RED = "#1f66a8", "#b9500a", "#15171c", "#b3261e"
SOURCE = {"color": BLUE, "marker": "o"}
TARGET = {"color": ORANGE, "marker": "x", "markeredgewidth": 2.0}
PROTOTYPE = {"color": BLACK, "marker": "D", "markeredgecolor": CARD, "markeredgewidth": 1.2}
HEAT = "cividis"

RC = {
    "font.size": 9, "font.family": "DejaVu Sans", "text.color": INK, "figure.facecolor": CARD,
    "axes.titlesize": 9.5, "axes.titlelocation": "left", "axes.titlepad": 7, "axes.titlecolor": INK,
    "axes.labelsize": 8.5, "axes.labelcolor": QUIET, "axes.edgecolor": LINE, "axes.facecolor": CARD,
    "axes.spines.top": False, "axes.spines.right": False,
    "xtick.labelsize": 8, "xtick.color": QUIET, "xtick.major.size": 0,
    "ytick.labelsize": 8, "ytick.color": QUIET, "ytick.major.size": 0,
}  # fmt: skip


def place(axes, at):
    """Where a place of the figure, in parts of it from the lower left, is in the data of axes; None when outside.

    Example
    -------
    >>> from i2pemd_lite.panels.engine.card import Card
    >>> card = Card(2, 1)
    >>> axes = card.add_axes([0.5, 0, 0.5, 1])
    >>> axes.set(xlim=(0, 10), ylim=(0, 1)) and place(axes, (0.75, 0.5)).tolist(), place(axes, (0.25, 0.5))
    ([5.0, 0.5], None)
    """
    pixel = axes.figure.transFigure.transform(at)
    # The box as it was drawn: asking axes for their position makes the figure stale.
    return axes.transData.inverted().transform(pixel) if axes.bbox.contains(*pixel) else None


def apart(heights, gap):
    """The heights, moved up just enough to lie `gap` apart, so that labels do not overlap; NaN counts as 0.

    Example
    -------
    >>> apart([0.5, 0.0, 0.1], 0.25)
    [0.5, 0.0, 0.25]
    """
    placed, floor = np.nan_to_num(np.array(heights, dtype=float)), -np.inf
    for k in np.argsort(placed):
        placed[k] = floor = max(placed[k], floor + gap)
    return placed.tolist()


def blank(axes, title=""):
    """Axes without ticks and frame, for drawings in which position has no unit."""
    axes.set(xticks=[], yticks=[], title=title)
    axes.spines[:].set_visible(False)
    return axes


def framed(axes):
    """Axes without ticks and with a frame all round."""
    blank(axes).spines[:].set_visible(True)


def number(value, digits=2):
    """A number as short as it can be: no leading zero, no trailing ones, at most `digits` decimals.

    Example
    -------
    >>> [number(x) for x in (0, 0.5, 1/3, 2.0, -0.25, 12.345)]
    ['0', '.5', '.33', '2', '-.25', '12.35']
    """
    text = f"{float(value):.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    text = text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text
    return "0" if text in ("-0", "", "-") else text


def subscript(k):
    """A number as a Unicode subscript: labels in plain text, as p₁₂, draw several times faster than typeset ones."""
    return str(k).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def names(symbol, count):
    """Symbols with indices from 1, as the paper counts: `names("p", 2)` is `["p₁", "p₂"]`."""
    return [symbol + subscript(k + 1) for k in range(count)]
