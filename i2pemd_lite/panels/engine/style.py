"""The house style of every picture: one look, legible on light and dark pages, in colour and without it.

A colour is a variable, which the page's theme gives its value. Marks differ in shape as well as colour: source or CT a
blue circle, target or MR an orange cross, a prototype a black diamond with a light edge. Where classes have colours,
the shapes stay. Distances and plans go from paper, which costs nothing, to `top`, with their numbers; what is negative
goes from paper to `below`.
"""

from functools import cache

import numpy as np

THEMES = {
    "light": {
        "paper": "#ffffff", "ink": "#1d2230", "quiet": "#575d6b", "line": "#c9c7bf", "top": "#0a1c3a",
        "blue": "#1f66a8", "orange": "#a84808", "red": "#b3261e", "black": "#15171c", "gold": "#7a5a00",
        "band": "#f0e8d2", "shade": "#f1f0ec", "alarm": "#f7e0dd", "deep": "#2e3b56", "steel": "#566487",
        "grey": "#80848e", "green": "#19704c", "violet": "#6a3d9a", "below": "#3b0d03", "on-light": "#000000",
        "on-dark": "#ffffff",
    },
    "dark": {
        "paper": "#111111", "ink": "#e6e7ea", "quiet": "#a9aebb", "line": "#4a4e58", "top": "#bfd4f0",
        "blue": "#7db8f0", "orange": "#f2a15c", "red": "#ff8f85", "black": "#f4f4f2", "gold": "#e3c04f",
        "band": "#3a3323", "shade": "#1e2024", "alarm": "#47231f", "deep": "#a9b8da", "steel": "#7f90b8",
        "grey": "#8d919b", "green": "#6fcf9f", "violet": "#c3a3ee", "below": "#f7c6b0", "on-light": "#ffffff",
        "on-dark": "#000000",
    },
}  # fmt: skip
"""`on-light` and `on-dark`: of numbers on little and on much of `top`."""
(PAPER, INK, QUIET, LINE, TOP, BLUE, ORANGE, RED, BLACK, GOLD, BAND, SHADE, ALARM, DEEP, STEEL, GREY, GREEN, VIOLET,
 BELOW, ON_LIGHT, ON_DARK) = (f"var(--i2-{name})" for name in THEMES["light"])  # fmt: skip
MASS, LABEL, GROUND = BLUE, ORANGE, VIOLET  # p, the label k or what is wanted (q), and G, wherever they are drawn
SYMBOLS = {"p": MASS, "q": LABEL, "k": LABEL, "G": GROUND}  # and in formulas
SOURCE = {"color": BLUE, "marker": "o"}
TARGET = {"color": ORANGE, "marker": "x", "mew": 2.0}
CLASSES = GREEN, GOLD, STEEL, RED  # of which a mark also has a name or a line of its own
PROTOTYPE = {"color": BLACK, "marker": "D", "mec": PAPER, "mew": 1.2}
TURN = 0.565  # of paper and `top` or `below`: from here on either theme's cell takes a number in `on-dark`


@cache
def css():
    """The rules that give the colours their values, in pictures and formulas: as the page says it is, else as the
    reader's system is."""
    light, dark = (";".join(f"--i2-{name}:{colour}" for name, colour in theme.items()) for theme in THEMES.values())
    inked = ":is(.i2pemd-svg,mjx-container,math)"
    symbols = "".join(f":is(.jp-Notebook:has(.i2pemd-svg),math) .{symbol(letter)}{{color:{colour}}}"
                      for letter, colour in SYMBOLS.items())  # fmt: skip
    return (
        f".i2pemd-svg text{{white-space:pre}}{symbols}"
        f"{inked}{{{light}}}@media(prefers-color-scheme:dark){{{inked}{{{dark}}}}}"
        f"[data-jp-theme-light=true] {inked},.vscode-light {inked}{{{light}}}"
        f"[data-jp-theme-light=false] {inked},.vscode-dark {inked}{{{dark}}}"
        f"@media print{{{inked * 3}{{{light}}}}}"
    )


def symbol(letter):
    """The class that MathJax gives to an italic letter of a formula, after its code point; pages give it the same.

    Example
    -------
    >>> symbol("p"), symbol("G")
    ('mjx-c1D45D', 'mjx-c1D43A')
    """
    return f"mjx-c{ord(letter) + (0x1D3F3 if letter.isupper() else 0x1D3ED):X}"


def heat(part):
    """The colour of a part from -1 (`below`) by 0 (paper) to 1 (`top`), and the one in which a number reads on it."""
    part = min(max(float(part), -1.0), 1.0) if part == part else 0.0  # NaN is nothing
    end, part = BELOW if part < 0 else TOP, abs(part)
    return f"color-mix(in oklab,{end} {100 * part:.3g}%,{PAPER})", ON_DARK if part > TURN else ON_LIGHT


def apart(heights, gap, top=np.inf):
    """The heights, moved up just enough to lie `gap` apart, so that labels do not overlap, and down from `top` where
    they would pass it; NaN counts as 0.

    Example
    -------
    >>> apart([0.5, 0.0, 0.1], 0.25)
    [0.5, 0.0, 0.25]
    >>> apart([0.9, 1.0], 0.25, top=1.0)
    [0.75, 1.0]
    """
    placed, floor, ceiling = np.nan_to_num(np.array(heights, dtype=float)), -np.inf, top + gap
    order = np.argsort(placed, kind="stable")
    for k in order:
        placed[k] = floor = max(placed[k], floor + gap)
    for k in order[::-1]:
        placed[k] = ceiling = min(placed[k], ceiling - gap)
    return placed.tolist()


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
    """A number as a Unicode subscript, for labels in plain text, as p₁₂."""
    return str(k).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def names(symbol, count):
    """Symbols with indices from 1, as the paper counts: `names("p", 2)` is `["p₁", "p₂"]`."""
    return [symbol + subscript(k + 1) for k in range(count)]
