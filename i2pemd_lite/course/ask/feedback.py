"""What is said of an answer, as a card: right or not, by a mark and in words; arrays as tables; hints on request."""

import re
from collections import Counter
from html import escape

import ipywidgets as widgets
import numpy as np

from i2pemd_lite.course.record import progress
from i2pemd_lite.panels.engine import style

MARKS = {True: ("✓", "green", "solid"), False: ("✗", "red", "double"), None: ("○", "quiet", "dotted")}
MOST = 8  # rows and columns of a table that is shown
NO_MORE = "There are no more hints to this exercise. Read them again, with the smallest input that you can think of."
_shown = Counter()  # the hints to each exercise that this kernel has shown


def status(*paragraphs):
    """Words that screen readers say when they appear, a paragraph each; `code` in them as in a lesson."""
    told = "".join(f'<p style="margin:4px 0">{escape(words)}</p>' for words in paragraphs if words)
    told = re.sub("`([^`]+)`", r"<code>\1</code>", told)
    return f'<div role="status" style="line-height:1.4;max-width:940px">{told}</div>'


def card(right, *paragraphs, more=""):
    """A card that says True for right, False for wrong, None for open: by its mark, the form of its edge, and its first
    words; below them HTML with what else there is to see."""
    mark, ink, edge = MARKS[right]
    look = f"display:flex;gap:10px;max-width:940px;margin:4px 0;padding:2px 10px;border-left:6px {edge} var(--i2-{ink})"
    look += ";background:color-mix(in srgb, currentColor 4%, transparent)"
    sign = f'<span aria-hidden="true" style="font-size:20px;font-weight:bold;color:var(--i2-{ink})">{mark}</span>'
    return (f'<style>{style.css()}</style><div class="i2pemd-svg i2pemd-card" style="{look}">{sign}'
            f'<div style="min-width:0">{status(*paragraphs)}{more}</div></div>')  # fmt: skip


def table(name, shape, values=None, at=None):
    """An array as a table whose caption tells its shape, with a mark on the entry `at` that is off. Without values, or
    where it is too large, it is the shape alone."""
    said = f"{escape(name)}: shape {tuple(shape)}" if shape else f"{escape(name)}: a single number"
    single = not shape and values is None
    if single or len(shape) > 2 or not 0 < min(shape, default=1) <= max(shape, default=1) <= MOST:
        return f'<p style="margin:4px 0">{said}</p>'
    texts = np.full(shape, "·", dtype=object)
    for place in np.ndindex(*shape) if values is not None else ():
        texts[place] = f"<b>✗ {values[place]:.3g}</b>" if place == at else f"{values[place]:.3g}"
    look = "padding:1px 7px;text-align:right;border:1px solid var(--i2-line)"
    cells = [[f'<td style="{look}">{text}</td>' for text in row] for row in np.atleast_2d(texts)]
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    looks = "border-collapse:collapse;font-variant-numeric:tabular-nums"
    return f'<table style="{looks}"><caption style="text-align:left;white-space:nowrap">{said}</caption>{rows}</table>'


def next_hint(name, hints):
    """(number, sentence) of the next hint to an exercise, a plainer one each time; after the last it stays."""
    _shown[name] = number = min(_shown[name] + 1, len(hints))
    return number, _seen(name, hints)[-1]


def _seen(name, hints):
    """The hints that were shown, as sentences."""
    return [f"Hint {n} of {len(hints)}: {hint}" for n, hint in enumerate(hints[: _shown[name]], 1)]


class Verdict(widgets.VBox):
    """What a notebook shows of a check: the card, and where the answer is not right a button that shows the next hint.

    Only the button shows a new one, whatever the answer was. `said` is the card as text.
    """

    def __init__(self, name, hints, html, said):
        self.name, self.hints, self.said, self._html = name, hints, said, html
        button = widgets.Button(description="Hint", tooltip=f"Show the next hint to exercise {name}")
        button.on_click(lambda _: self.hint())
        self.told = widgets.HTML(status(*_seen(name, hints)))
        super().__init__([widgets.HTML(html), *[button, self.told] * bool(hints)])
        self.add_class("i2pemd-check")

    def hint(self):
        """Show the next hint below those that were shown before; after the last, a sentence."""
        before = _shown[self.name]
        number, _ = next_hint(self.name, self.hints)
        if number > before:
            asked = f"{progress.OPEN}: a hint was asked for."
            progress.record("check", self.name, right=False, finding=asked, hint=number)
        self.told.value = status(*_seen(self.name, self.hints), NO_MORE * (number == before))

    def _repr_mimebundle_(self, **_):
        """The live widget; for pages in which no kernel runs, the card and the hints that were shown."""
        html = self._html + self.told.value * bool(self.hints)
        return {**(super()._repr_mimebundle_() or {}), "text/html": html, "text/plain": self.said}
