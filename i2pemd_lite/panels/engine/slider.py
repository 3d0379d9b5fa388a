"""The controls of panels: sliders in whose field a number can be typed, lists, switches and steps."""

import math
from decimal import Decimal
from numbers import Real

import ipywidgets as widgets
from traitlets import Callable, HasTraits, Instance, Int

from i2pemd_lite.files import BadInput


class Typed(HasTraits):
    """What a slider has besides what it is in ipywidgets: a field beside it, in which its number can be typed.

    The field is read when Enter is pressed or it is left. What is no number within the slider's ends is told to
    `on_typed(error)`, and the slider stays where it is; what is one tells None.

    Example
    -------
    >>> share = slider("share", 0.5, 0.0, 1.0, 0.05)
    >>> share.on_typed = print
    >>> share.field.value = "half"
    share: expected a number from 0 to 1, found 'half'; the last good one, 0.50, still holds
    >>> share.field.value = "0.25"
    None
    >>> share.value
    0.25
    """

    digits = Int(help="decimals that the field shows")
    field = Instance(widgets.Text)
    shown = Instance(widgets.DOMWidget, help="what stands on the page: slider and field")
    on_typed = Callable(lambda error: None)

    def __init__(self, **options):
        super().__init__(**options)
        self.field = widgets.Text(self._written(), continuous_update=False, layout={"width": "56px"},
                                  tooltip=f"{self.description}, as a number")  # fmt: skip
        self.shown = widgets.HBox([self, self.field])
        self.observe(self._follow, "value")
        self.observe(lambda change: setattr(self.field, "disabled", change["new"]), "disabled")
        self.field.observe(self._type, "value")

    def _written(self):
        return f"{self.value:.{self.digits}f}"

    def _follow(self, _):
        if _number(self.field.value) != self.value:
            self.field.value = self._written()

    def _type(self, change):
        number, whole = _number(change["new"]), self.digits == 0
        if change["new"] == self._written():
            return self.on_typed(None)
        if number is None or not self.min <= number <= self.max or (whole and number % 1):
            kind = "a whole number" if whole else "a number"
            return self.on_typed(BadInput(
                f"{self.description}: expected {kind} from {self.min:g} to {self.max:g}, found "
                f"{change['new'].strip()!r}; the last good one, {self._written()}, still holds"
            ))  # fmt: skip
        self.on_typed(None)
        self.value = int(number) if whole else number


class WholeSlider(Typed, widgets.IntSlider):
    """A slider of whole numbers."""


class Slider(Typed, widgets.FloatSlider):
    """A slider of numbers."""


def _number(text):
    try:
        return float(text) if math.isfinite(float(text)) else None
    except ValueError:
        return None


def slider(label, value, low, high, step, unit="", width="300px"):
    """A slider with a label, a unit and a field to type in; whole numbers when `step` is one.

    The field shows the decimals that the step has; `width` is that of slider and field together.
    """
    whole = all(isinstance(x, int) for x in (value, low, high, step))
    label = f"{label} ({unit})" if unit else label
    # ipywidgets would move it to the nearer end, and say nothing.
    if not (isinstance(value, Real) and low <= value <= high):
        raise BadInput(f"{label}: expected a number from {low:g} to {high:g}, found {value!r}; correct it")
    return (WholeSlider if whole else Slider)(
        value=value if whole else float(value), min=low, max=high, step=step, description=label, readout=False,
        digits=0 if whole else max(1, -Decimal(str(step)).normalize().as_tuple().exponent),
        **_wide(f"{int(width.removesuffix('px')) - 62}px"),
    )  # fmt: skip


def cell(label, value, low, high):
    """A number to type, as in the cell of a table; it is a slider of which only the field is shown."""
    number = slider(label, value, low, high, 0.01)
    number.shown = number.field
    number.field.description = label
    number.field.layout.width, number.field.style.description_width = "84px", "26px"
    return number


def choice(label, options, value, width="300px"):
    """A drop-down list; `options` are plain values or (text, value) pairs."""
    return widgets.Dropdown(options=options, value=value, description=label, **_wide(width))


def switch(label, value, width="300px"):
    """A checkbox."""
    return widgets.Checkbox(value=value, description=label, indent=False, layout={"width": width})


def steps(label, values, value, width="300px"):
    """A slider that stops only at the given values."""
    return widgets.SelectionSlider(options=values, value=value, description=label, **_wide(width))


def text(label, value, width):
    """A line of text, which is read when Enter is pressed or it is left."""
    return widgets.Text(value, description=label, continuous_update=False, **_wide(width))


def _wide(width):
    return {"style": {"description_width": "initial"}, "layout": {"width": width}}
