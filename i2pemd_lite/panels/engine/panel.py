"""A panel: controls, one picture, a row of numbers, and the words that say what is seen.

A panel file has four plain parts, and only the last knows of widgets:

- `compute(state) -> result`: the maths, from a dict of plain values, through the public names of the module;
- `draw(figure, result)`: moves the artists of a matplotlib figure;
- `describe(result) -> (words, numbers)`: the alternative text, and the numbers under the picture;
- `panel(...) -> Panel`: the controls, bound to the three above.

The picture travels as PNG bytes (`picture.py`), which follow a dragged slider where inline plots do not.
"""

import base64
import math
import os
import time
import weakref
from decimal import Decimal
from html import escape
from numbers import Real

import ipywidgets as widgets
from traitlets import TraitError

from i2pemd_lite import __version__
from i2pemd_lite.files import BadInput, read_json, write_json
from i2pemd_lite.panels.engine import lesson, picture, style

TOUCH = "What is in the picture can be dragged. "
KEYBOARD = "Tab reaches a control, the arrow keys move it; a number in a field can be typed over."
_shown = []  # weak references to the panels that this kernel has shown, in their order
LONG = 0.25  # seconds of a change from which on the next one says beforehand that it takes a moment


class Panel(widgets.VBox):
    """Controls bound to `compute` and `draw`; the first picture is there before anything is touched.

    Parameters
    ----------
    title : str, the name of the panel and of the file it saves
    controls : dict of name -> widget with a `.value`; each needs a description, which is its label
    compute, draw, describe : as in the module's docstring
    layout : rows of control names, for controls that belong on one line; one column when None
    size : of the picture, in inches
    point : `point(figure, result, at, pressed) -> {name: value}`, the controls that a touch of the picture sets. `at`
        is (x, y) in parts of the figure from the lower left (`style.place` gives data coordinates); `pressed` is True
        when the pointer goes down, False while it is dragged. None: the picture cannot be touched
    start : dict of name -> value, controls to set before the first picture is drawn

    Attributes
    ----------
    state : dict of the controls' values, plain JSON
    result : what `compute` returned last without an error
    words, numbers : what `describe` said of it

    Raises
    ------
    Whatever `compute` or `draw` raise, when `I2PEMD_STRICT` is 1. Otherwise the error stands under the controls and the
    last good picture stays.

    Example
    -------
    >>> def draw(figure, result):
    ...     bar = style.artists(figure, lambda figure: figure.add_subplot().bar([0], [1])[0])
    ...     bar.set_height(result)
    >>> slider = widgets.IntSlider(3, min=0, max=5, description="side (mm)")
    >>> square = Panel("square", {"side": slider}, lambda state: state["side"] ** 2, draw,
    ...                lambda area: (f"A square of {area} square millimetres.", {"area (mm²)": area}))
    >>> square.set(side=4)
    >>> square.result, square.words
    (16, 'A square of 16 square millimetres.')
    """

    def __init__(self, title, controls, compute, draw, describe, layout=None, size=(9.4, 3.2), point=None, start=None):
        self.title, self.controls = title, controls
        self._compute, self._draw, self._describe, self._point = compute, draw, describe, point
        self._figure, self._quiet, self.result, self._took = style.figure(*size), False, None, 0.0
        self.words, self.numbers, self._hint = "", {}, TOUCH * (point is not None) + KEYBOARD
        self.image = picture.picture(round(100 * size[0]), point and self._touched)
        self.error, self.note = widgets.HTML(), widgets.HTML()
        for name, control in controls.items():
            if not control.description:
                raise BadInput(f"controls: expected a description for {name!r}, found none; it is the control's label")
            control.observe(self._changed, "value")
            if hasattr(control, "field"):
                control.field.on_typed = self._typed
        super().__init__([*rows(controls, layout), self.error, self.image, self.note])
        self.add_class("i2pemd-panel")
        self.set(**start or {})

    @property
    def state(self):
        """The values of all controls."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values):
        """Set some controls, then draw once; a value that a control does not take is an error."""
        before = self.state
        if unknown := set(values) - set(before):
            raise BadInput(f"{self.title}: expected controls among {sorted(before)}, found {sorted(unknown)}")
        self._quiet = True
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

    def _put(self, name, value):
        control = self.controls[name]
        try:
            control.value = value
        except (TraitError, TypeError, ValueError) as error:
            raise BadInput(f"{self.title}, {name}: expected a value that the control takes; {error}") from None
        if control.value != value:  # a slider clips to its ends instead of refusing
            raise BadInput(f"{self.title}, {name}: expected a value within its ends, found {value!r}")

    def _changed(self, _):
        if not self._quiet:
            self.refresh()

    def _touched(self, at, pressed):
        values = self.result is not None and self._point(self._figure, self.result, at, pressed)
        if values:
            self.set(**values)

    def _typed(self, error):
        """A field was typed into: what is no number is told, and what is one clears what was told before."""
        if error is None:
            self.error.value = ""
            return
        self._report(error)
        if os.environ.get("I2PEMD_STRICT") == "1":
            raise error

    def refresh(self):
        """Compute, draw and describe the present state."""
        began = time.perf_counter()
        if self._took > LONG:
            self.note.value = self._below("Working …")  # where a hint stands, so that nothing moves
        try:
            result = self._compute(self.state)
            self._draw(self._figure, result)
            words, numbers = self._describe(result)
            png = style.png(self._figure)
        except Exception as error:
            self._report(error)
            if self.result is not None:
                self.note.value = self._below(self._hint)
            if os.environ.get("I2PEMD_STRICT") == "1":
                raise
            return
        self.result, self.words, self.numbers = result, words, numbers
        picture.show(self.image, png, words)
        self.error.value, self.note.value = self._complaint(), self._below(self._hint)
        self._took = time.perf_counter() - began

    def _below(self, hint=""):
        return _note(self.words, self.numbers, f"{self.title} · {lesson.provenance()}", hint)

    def _complaint(self):
        """What stands under the controls when the picture could be drawn: nothing."""
        return ""

    def _report(self, error):
        after = "The picture still shows the last state that worked." * (self.result is not None)
        self.error.value = alert(error, "This cannot be drawn.", after)

    def save(self, file):
        """Write the state of the controls as JSON, to hand in or to come back to."""
        write_json(file, {"panel": self.title, "state": self.state, **lesson.versions()})

    def load(self, file):
        """Take up a state that `save` wrote."""
        saved = read_json(file)
        if not isinstance(saved, dict) or saved.get("panel") != self.title or not isinstance(saved.get("state"), dict):
            raise BadInput(f"{file}: expected the state of the panel {self.title!r}; save one with panel.save(file)")
        if saved["state"].keys() != self.state.keys():
            raise BadInput(
                f"{file}: expected values for {', '.join(self.state)}, found some for {', '.join(saved['state'])}; "
                f"it was saved by i2pemd-lite {saved.get('i2pemd-lite')}, this is {__version__}: set them by hand"
            )
        self.set(**saved["state"])

    def _repr_mimebundle_(self, **_):
        """The live widget, and beside it the picture, its words and numbers for pages in which no kernel runs."""
        note_shown(self)
        live = super()._repr_mimebundle_() or {}
        png = base64.b64encode(self.image.value).decode()
        return {
            **live,
            "text/html": picture.html(self.image.value, self.words) + self._below(),
            "image/png": png,
            "text/plain": f"{self.title}: {self.words}",
        }


def note_shown(panel):
    """Remember, as long as it lives, that this panel was shown."""
    if all(known() is not panel for known in _shown):
        _shown.append(weakref.ref(panel))


def states():
    """[{"panel": title, "state": values}] of the panels that this kernel has shown, each state once.

    What was typed as text is left out: a name or a path can stand in it.
    """
    found = []
    for panel in filter(None, (known() for known in _shown)):
        chosen = {name: c.value for name, c in panel.controls.items() if not _is_text(c)}
        one = {"panel": panel.title, "state": chosen}
        found += [one] if one not in found else []
    return found


def _is_text(control):
    return isinstance(control, widgets.Text | widgets.Textarea) and not isinstance(control, Field)


def alert(error, before, after=""):
    """An error as a sentence in a red frame, which screen readers say at once."""
    what = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
    return (
        f'<div role="alert" class="i2pemd-error" style="border-left:4px solid {style.RED};padding:2px 8px;'
        f'line-height:1.4"><b>{before}</b> {escape(what.rstrip("."))}. {after}</div>'
    )


def rows(controls, layout=None):
    """Lines of controls, with what belongs to each, for the rows of names in `layout`; one column when None."""
    shown = {name: getattr(control, "shown", control) for name, control in controls.items()}
    lines = [widgets.HBox([shown[name] for name in row], layout={"flex_flow": "row wrap"}) for row in layout or []]
    return lines or list(shown.values())


def _note(words, numbers, caption, hint):
    # Each number stays under its name, and those that do not fit go to a next line: a table would wrap within names.
    own = "all:unset;display:block"  # JupyterLab lets terms float, in a fifth of the width
    pairs = "".join(
        f'<div><dt style="{own};font-weight:400;opacity:.8">{escape(str(name))}</dt>'
        f'<dd style="{own};font-weight:600">{escape(str(value))}</dd></div>'
        for name, value in numbers.items()
    )
    row = "display:flex;flex-wrap:wrap;gap:3px 16px;margin:4px 0;font-size:13px;font-variant-numeric:tabular-nums"
    return (
        f'<div style="line-height:1.35;max-width:940px"><dl style="{row}">{pairs}</dl>'
        f'<p style="margin:4px 0" role="status">{escape(words)}</p>'
        f'<p style="margin:0;font-size:12px;opacity:.8">{escape(caption)}. {hint}</p></div>'
    )


class Field(widgets.Text):
    """Text in which the number of a slider can be typed; it is read when Enter is pressed or the field is left.

    What is no number within the slider's ends is told to `on_typed(error)`, and the slider stays where it is.

    Example
    -------
    >>> share = slider("share", 0.5, 0.0, 1.0, 0.05)
    >>> share.field.on_typed = print
    >>> share.field.value = "half"
    share: expected a number from 0 to 1, found 'half'; the last good one, 0.50, still holds
    >>> share.field.value = "0.25"
    None
    >>> share.value
    0.25
    """

    def __init__(self, control, digits, **options):
        self.control, self.digits, self.on_typed = control, digits, lambda error: None
        super().__init__(self._written(), continuous_update=False, **options)
        control.observe(self._follow, "value")
        self.observe(self._type, "value")

    def _written(self):
        return f"{self.control.value:.{self.digits}f}"

    def _follow(self, _):
        if _number(self.value) != self.control.value:
            self.value = self._written()

    def _type(self, change):
        control, found = self.control, _number(change["new"])
        if change["new"] == self._written():
            return self.on_typed(None)
        whole = isinstance(control, widgets.IntSlider)
        if found is None or not control.min <= found <= control.max or (whole and found % 1):
            kind = "a whole number" if whole else "a number"
            self.on_typed(BadInput(
                f"{control.description}: expected {kind} from {control.min:g} to {control.max:g}, found "
                f"{change['new'].strip()!r}; the last good one, {self._written()}, still holds"
            ))  # fmt: skip
            return
        self.on_typed(None)
        control.value = int(found) if whole else found


def _number(text):
    try:
        return float(text) if math.isfinite(float(text)) else None
    except ValueError:
        return None


def slider(label, value, low, high, step, unit="", width="300px", release=False):
    """A slider with a label, a unit and a field to type in; whole numbers when `step` is one.

    The field shows the decimals that the step has. With `release` it acts when it is let go, for what takes longer than
    an eye waits. `width` is that of slider and field together.
    """
    whole = all(isinstance(x, int) for x in (value, low, high, step))
    make = widgets.IntSlider if whole else widgets.FloatSlider
    label = f"{label} ({unit})" if unit else label
    # ipywidgets would move it to the nearer end, and say nothing.
    if not (isinstance(value, Real) and low <= value <= high):
        raise BadInput(f"{label}: expected a number from {low:g} to {high:g}, found {value!r}; correct it")
    options = {"readout": False, "continuous_update": not release, **_wide(f"{int(width.removesuffix('px')) - 62}px")}
    made = make(value=value if whole else float(value), min=low, max=high, step=step, description=label, **options)
    digits = 0 if whole else max(1, -Decimal(str(step)).normalize().as_tuple().exponent)
    made.field = Field(made, digits, layout={"width": "56px"}, tooltip=f"{label}, as a number")
    made.shown = widgets.HBox([made, made.field])
    return made


def cell(label, value, low, high, width="84px"):
    """A number to type, as in the cell of a table; it is a slider of which only the field is shown."""
    made = slider(label, value, low, high, 0.01)
    made.shown = made.field
    made.field.description = label
    made.field.layout.width, made.field.style.description_width = width, "26px"
    return made


def choice(label, options, value, width="300px"):
    """A drop-down list; `options` are plain values or (text, value) pairs."""
    return widgets.Dropdown(options=options, value=value, description=label, **_wide(width))


def switch(label, value, width="300px"):
    """A checkbox."""
    return widgets.Checkbox(value=value, description=label, indent=False, layout={"width": width})


def steps(label, values, value, width="300px"):
    """A slider that stops only at the given values."""
    return widgets.SelectionSlider(options=values, value=value, description=label, **_wide(width))


def _wide(width):
    return {"style": {"description_width": "initial"}, "layout": {"width": width}}
