"""A panel: controls, one picture, a row of numbers, and the words that say what is seen.

A panel file has four plain parts, and only the last knows of widgets:

- `compute(state) -> result`: the maths, from a dict of plain values, through the public names of the module;
- `draw(figure, result)`: moves the artists of a matplotlib figure;
- `describe(result) -> (words, numbers)`: the alternative text, and the numbers under the picture;
- `panel(...) -> Panel`: the controls, bound to the three above.

The picture travels as PNG bytes in an image widget, which follows a dragged slider where inline plots do not.
"""

import base64
import os
from html import escape

import ipywidgets as widgets
from traitlets import TraitError, Unicode

from i2pemd_lite.files import BadInput, read_json, write_json
from i2pemd_lite.panels import lesson, style

KEYBOARD = "Tab reaches a control, the arrow keys move it; a number beside a slider can be typed over."


class Picture(widgets.Image):
    """An image whose `tooltip` is its alternative text: where an image has no `alt`, screen readers take the title.

    The front end puts a tooltip on a widget that has a description, so an empty one is given along.
    """

    description = Unicode("").tag(sync=True)


class Panel(widgets.VBox):
    """Controls bound to `compute` and `draw`; the first picture is there before anything is touched.

    Parameters
    ----------
    title : str, the name of the panel and of the file it saves
    controls : dict of name -> widget with a `.value`; each needs a description, which is its label
    compute, draw, describe : as in the module's docstring
    layout : rows of control names, for controls that belong on one line; one column when None
    size : of the picture, in inches

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

    def __init__(self, title, controls, compute, draw, describe, layout=None, size=(9.4, 3.2)):
        self.title, self.controls = title, controls
        self._compute, self._draw, self._describe = compute, draw, describe
        self._figure, self._quiet, self.result = style.figure(*size), False, None
        self.words, self.numbers = "", {}
        self.image = Picture(format="png", layout={"width": f"{round(100 * size[0])}px", "max_width": "100%"})
        self.error, self.note = widgets.HTML(), widgets.HTML()
        for name, control in controls.items():
            if not control.description:
                raise BadInput(f"controls: expected a description for {name!r}, found none; it is the control's label")
            control.observe(self._changed, "value")
        lines = [widgets.HBox([controls[n] for n in row], layout={"flex_flow": "row wrap"}) for row in layout or []]
        super().__init__([*(lines or controls.values()), self.error, self.image, self.note])
        self.add_class("i2pemd-panel")
        self.refresh()

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

    def refresh(self):
        """Compute, draw and describe the present state."""
        try:
            result = self._compute(self.state)
            self._draw(self._figure, result)
            words, numbers = self._describe(result)
            picture = style.png(self._figure)
        except Exception as error:
            self._report(error)
            if os.environ.get("I2PEMD_STRICT") == "1":
                raise
            return
        self.result, self.words, self.numbers = result, words, numbers
        self.image.value, self.image.tooltip, self.error.value = picture, words, ""
        self.note.value = _note(words, numbers, f"{self.title} · {lesson.provenance()}")

    def _report(self, error):
        what = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
        self.error.value = (
            f'<div role="alert" class="i2pemd-error" style="border-left:4px solid {style.RED};padding:2px 8px;'
            f'line-height:1.4"><b>This cannot be drawn.</b> {escape(what)} '
            "The picture still shows the last state that worked.</div>"
        )

    def save(self, file):
        """Write the state of the controls as JSON, to hand in or to come back to."""
        write_json(file, {"panel": self.title, "state": self.state, **lesson.versions()})

    def load(self, file):
        """Take up a state that `save` wrote."""
        saved = read_json(file)
        if not isinstance(saved, dict) or saved.get("panel") != self.title or not isinstance(saved.get("state"), dict):
            raise BadInput(f"{file}: expected the state of the panel {self.title!r}; save one with panel.save(file)")
        self.set(**saved["state"])

    def _repr_mimebundle_(self, **_):
        """The live widget, and beside it the picture and its words for pages in which no kernel runs."""
        live = super()._repr_mimebundle_() or {}
        picture = base64.b64encode(self.image.value).decode()
        return {**live, "image/png": picture, "text/plain": f"{self.title}: {self.words}"}


def _note(words, numbers, caption):
    cell = "padding:0 14px 0 0;font-weight"
    head = "".join(f'<th scope="col" style="{cell}:400;opacity:.8">{escape(str(n))}</th>' for n in numbers)
    row = "".join(f'<td style="{cell}:600">{escape(str(v))}</td>' for v in numbers.values())
    return (
        f'<div style="line-height:1.35;max-width:940px"><table style="font-size:13px;text-align:left"><tr>{head}</tr>'
        f'<tr>{row}</tr></table><p style="margin:4px 0" role="status">{escape(words)}</p>'
        f'<p style="margin:0;font-size:12px;opacity:.8">{escape(caption)}. {KEYBOARD}</p></div>'
    )


def slider(label, value, low, high, step, unit="", width="300px"):
    """A slider with a label and a unit; whole numbers when `step` is one."""
    whole = all(isinstance(x, int) for x in (value, low, high, step))
    make = widgets.IntSlider if whole else widgets.FloatSlider
    options = {} if whole else {"readout_format": ".2f" if step < 0.1 else ".1f"}
    label = f"{label} ({unit})" if unit else label
    return make(value=value, min=low, max=high, step=step, description=label, **options, **_wide(width))


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
