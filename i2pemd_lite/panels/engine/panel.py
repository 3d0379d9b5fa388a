"""A panel: controls, one picture, a row of numbers, and the words that say what is seen.

A panel file has four plain parts, and only the last knows of widgets:

- `compute(state) -> result`: the maths, from a dict of plain values, through the public names of the module; what the
  two below need of it, under names;
- `draw(card, result)`: says all marks of the picture (`card.py`);
- `describe(result) -> (words, numbers)`: the alternative text, and the numbers under the picture;
- `panel(...) -> Panel`: the controls, bound to the three above.

The picture travels as SVG, of which the page changes what is new (`picture.py`).
"""

import os
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from traitlets import TraitError

from i2pemd_lite import __version__
from i2pemd_lite.files import BadInput, read_json, write_json
from i2pemd_lite.panels.engine import lesson, moving, style
from i2pemd_lite.panels.engine.card import Card
from i2pemd_lite.panels.engine.picture import Picture
from i2pemd_lite.panels.engine.slider import Slider, cell, choice, grid, slider, steps, switch  # noqa: F401 (for panels)
from i2pemd_lite.panels.engine.still import html

TOUCH = "You can drag what is in the picture. "
STILL = '<p class="i2pemd-still">This picture does not move here: its controls need {}.</p>'
KEYBOARD = "Press Tab to reach a control and the arrow keys to move it. Where it has a field, you can type a number."
_shown = weakref.WeakValueDictionary()  # by their ids the panels that this kernel has shown, in their order
FIRST = 3  # controls and numbers that are shown at once; the others are one click away
LONG = 0.25  # seconds of a change from which on the next one says beforehand that it takes a moment


class Panel(widgets.VBox):
    """Controls bound to `compute` and `draw`; the first picture is there before anything is touched.

    Parameters
    ----------
    title : str, the name of the panel and of the file it saves
    controls : dict of name -> widget with a `.value`; each needs a description, which is its label
    compute, draw, describe : as in the module's docstring
    layout : rows of control names: their order, and which belong together; each for itself when None
    size : of the picture, in inches
    point : `point(card, result, at, pressed) -> {name: value}`, the controls that a touch of the picture sets. `at`
        is (x, y) in parts of the card from the lower left (`Plane.place` gives those of a plane); `pressed` is True
        when the pointer goes down, False while it is dragged. None: the picture cannot be touched
    start : dict of name -> value, controls to set before the first picture is drawn
    shows : `shows(state)`, the names of the controls that count in a state, which alone are on the page; None: all
    first : how many controls are shown at once, the others under "more"

    `result` is what `compute` returned last without an error, `words` and `numbers` what `describe` said of it.

    An error of `compute` or `draw` is raised when `I2PEMD_STRICT` is 1. Otherwise it stands under the controls, and the
    last good picture stays.

    Example
    -------
    >>> def draw(card, result):
    ...     card.plane("square", [0.1, 0.1, 0.8, 0.8], xlim=(0, 25)).rect(0, 0.3, result, 0.4)
    >>> side = slider("side", 3, 0, 5, 1, "mm")
    >>> square = Panel("square", {"side": side}, lambda state: state["side"] ** 2, draw,
    ...                lambda area: (f"A square of {area} square millimetres.", {"area (mm²)": area}))
    >>> square.set(side=4)
    >>> square.result, square.words
    (16, 'A square of 16 square millimetres.')
    """

    complaint = ""  # what stands under the controls though the picture could be drawn
    kernel_only = {}  # {name of a control: its values whose picture a page without a kernel does not have}
    on_pages = None  # names of the controls that such a page has; None: all that are shown

    def __init__(
        self, title: str, controls: dict[str, Any], compute: Callable, draw: Callable, describe: Callable,
        layout: list[list[str]] | None = None, size: tuple[float, float] = (9.4, 3.2), point: Callable | None = None,
        start: dict[str, Any] | None = None, shows: Callable | None = None, first: int = FIRST
    ):  # fmt: skip
        self.title, self.controls, self._first = title, controls, first
        self._compute, self._draw, self._describe, self._point, self._shows = compute, draw, describe, point, shows
        self._size, self._card, self._quiet, self.result, self._took = size, None, False, None, 0.0
        self.words, self.numbers, self._hint = "", {}, TOUCH * (point is not None) + KEYBOARD
        self.image = Picture(point and self._touched)
        self.error = widgets.HTML()
        for name, control in controls.items():
            if not control.description:
                raise BadInput(f"controls: expected a description for {name!r}, found none; it is the control's label")
            control.observe(self._changed, "value")
            if isinstance(control, Slider):
                control.on_typed = partial(self._typed, control)
        self.rows = layout or [[name] for name in controls]
        self.more = widgets.ToggleButton(False, description="more")
        self.more.observe(lambda _: self._fill(), "value")
        reset = widgets.Button(description="Reset")
        reset.on_click(lambda _: self.set(**self._start))
        buttons = widgets.HBox([self.more, *[reset] * bool(controls)])
        first, others = self.parted([controls[name] for row in self.rows for name in row])
        self._placed = [*first, *others]  # they stay on the page: what goes is hidden, so no field and no focus is lost
        self.box = grid(self._placed)
        super().__init__([self.box, buttons, self.error, self.image])
        self.add_class("i2pemd-panel")
        self.set(**start or {})
        self._start = self.state

    @property
    def state(self) -> dict[str, Any]:
        """The values of all controls, plain JSON."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values: Any) -> None:
        """Set some controls, then draw once; a value that a control does not take is an error."""
        before = self.state
        if unknown := values.keys() - before.keys():
            raise BadInput(f"{self.title}: expected controls among {sorted(before)}, found {sorted(unknown)}")
        self._quiet = True
        with ExitStack() as held:  # the page hears of the picture before the controls: no frame is lost on these
            for name in values:
                held.enter_context(self.controls[name].hold_sync())
            try:
                for name, value in values.items():
                    self._put(name, value)
            except BadInput:
                for name, value in before.items():
                    self.controls[name].value = value
                raise
            finally:
                self._quiet = False
            self.refresh()

    def offer(self, name: str, options: list, value: Any) -> None:
        """Give a list other options and choose one of them, without a picture in between."""
        quiet, self._quiet = self._quiet, True
        self.controls[name].options = options  # which chooses the first
        self.controls[name].value = value
        self._quiet = quiet

    def _put(self, name, value):
        control = self.controls[name]
        try:
            control.value = value
        except (TraitError, TypeError, ValueError, OverflowError) as error:
            raise BadInput(f"{self.title}, {name}: expected a value that the control takes; {error}") from None
        if control.value != value:  # a slider clips to its ends instead of refusing
            raise BadInput(f"{self.title}, {name}: expected a value within its ends, found {value!r}")

    def acting(self, state: dict[str, Any]) -> list[str]:
        """Names of the controls that count in a state, in their order."""
        names = self._shows(state) if self._shows else self.controls
        return [name for row in self.rows for name in row if name in names]

    def _fill(self):
        """Put the controls that count, whose names are `shown`, on the page: some at once, the others under "more"."""
        self.shown = self.acting(self.state)
        first, others = self.parted([self.controls[name] for name in self.shown])
        seen = [*first, *others] if self.more.value else first
        for control in self._placed:
            control.layout.display = "" if control in seen else "none"
        self.more.layout.display = "" if others else "none"

    def parted(self, shown: list) -> tuple[list, list]:
        """What is shown at once, and what is under "more"."""
        return shown[: self._first], shown[self._first :]

    def _changed(self, _):
        if not self._quiet:
            self.refresh()

    def _touched(self, at, pressed):
        values = self.result is not None and self._point(self._card, self.result, at, pressed)
        if values:
            self.set(**values)

    def _typed(self, control, error):
        """A field was typed into: what is no number is told, and what is one clears what was told before."""
        if error is None:
            self._say("", control)
        else:
            self._report(error, control)

    def _say(self, words, about=None):
        """Put words under the controls, or none; of all fields only the one that they are about may stay marked."""
        self.error.value = words
        for control in self.controls.values():
            if isinstance(control, Slider) and control is not about:
                control.wrong = False

    def refresh(self) -> None:
        """Compute, draw and describe the present state."""
        began = time.perf_counter()
        self._fill()
        if self._took > LONG:
            # Where a hint stands, so that nothing moves.
            self.image.below = self.below(self.words, self.numbers, "Working …")
        try:
            result, card, words, numbers = self.drawn(self.state)
            picture = card.svg(words)
        except Exception as error:
            if self.result is not None:
                self.image.below = self.below(self.words, self.numbers, self._hint)
            return self._report(error)
        self.result, self.words, self.numbers, self._card = result, words, numbers, card
        with self.image.hold_sync():
            self.image.value, self.image.below = picture, self.below(words, numbers, self._hint)
        self._say(self.complaint)
        self._took = time.perf_counter() - began

    def drawn(self, state: dict[str, Any]) -> tuple:
        """(result, `Card`, words, numbers) of a state, whatever the controls say."""
        result, card = self._compute(state), Card(*self._size)
        self._draw(card, result)
        return result, card, *self._describe(result)

    def below(self, words: str, numbers: dict, hint: str = "") -> str:
        """What stands under a picture: the numbers, the words, and where they come from, as HTML."""
        pairs = [f"<div><dt>{escape(str(n))}</dt><dd>{escape(str(v))}</dd></div>" for n, v in numbers.items()]
        first, rest = "".join(pairs[:FIRST]), "".join(pairs[FIRST:])
        checks = f"<details><summary>checks</summary><dl>{rest}</dl></details>" * bool(rest)
        caption = escape(f"{self.title} · {lesson.provenance()}. {hint}")
        return (f'<div class="i2pemd-below"><dl>{first}</dl><p role="status">{escape(words)}</p>{checks}'
                f'<p class="caption">{caption}</p></div>')  # fmt: skip

    def _report(self, error, about=None):
        after = "The picture still shows the last state that worked." * (self.result is not None)
        self._say(alert(error, "This cannot be drawn.", after), about)
        if os.environ.get("I2PEMD_STRICT") == "1":
            raise error

    def save(self, file: Path | str) -> None:
        """Write the state of the controls as JSON, to hand in or to come back to."""
        write_json(file, {"panel": self.title, "state": self.state, **lesson.versions()})

    def load(self, file: Path | str) -> None:
        """Take up a state that `save` wrote."""
        saved = read_json(file, {"panel": str, "state": dict})
        if saved["panel"] != self.title:
            raise BadInput(f"{file}: expected the state of the panel {self.title!r}; save one with panel.save(file)")
        if saved["state"].keys() != self.state.keys():
            do = f"it was saved by i2pemd-lite {saved.get('i2pemd-lite')}, this is {__version__}: set them by hand"
            found = f"some for {', '.join(saved['state'])}; {do}"
            raise BadInput(f"{file}: expected values for {', '.join(self.state)}, found {found}")
        try:
            self.set(**saved["state"])
        except BadInput as error:
            raise BadInput(f"{file}: {error}") from None

    def _repr_mimebundle_(self, **_):
        """The live widget, and beside it the picture, its words and numbers for pages in which no kernel runs."""
        note_shown(self)
        moves = os.environ.get("I2PEMD_MOVES") == "1" and self.result is not None and not self.error.value
        still = STILL.format("a browser with JavaScript" if moves else "JupyterLab") * bool(self.controls)
        picture = f'<div class="i2pemd-picture">{html(self.image.value, self.words)}</div>'
        page = picture + self.below(self.words, self.numbers) + still
        return {
            **(super()._repr_mimebundle_() or {}),
            "text/html": moving.framed(page, self) if moves else page,
            "image/svg+xml": self.image.value,
            "text/plain": f"{self.title}: {self.words}",
        }


def note_shown(panel):
    """Remember, as long as it lives, that this panel was shown."""
    _shown.setdefault(id(panel), panel)


def states():
    """[{"panel": title, "state": values}] of the panels that this kernel has shown, each state once.

    What was typed as text is left out: a name or a path can stand in it.
    """
    seen = []
    for panel in list(_shown.values()):
        state = {n: c.value for n, c in panel.controls.items() if not isinstance(c, widgets.Text | widgets.Textarea)}
        if (one := {"panel": panel.title, "state": state}) not in seen:
            seen.append(one)
    return seen


def alert(error, before, after=""):
    """An error as a sentence in a red frame, which screen readers say at once."""
    what = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
    red = style.THEMES["light"]["red"]  # the variables of a theme are known within pictures alone
    return (
        f'<div role="alert" class="i2pemd-error" style="border-left:4px solid {red};padding:2px 8px;'
        f'line-height:1.4"><b>{before}</b> {escape(what.rstrip("."))}. {after}</div>'
    )
