"""The controls of panels: sliders in whose field a number can be typed, lists, switches and steps."""

import math
from decimal import Decimal
from numbers import Real

import anywidget
import ipywidgets as widgets
from traitlets import Any, Bool, Callable, Float, Int, List, Unicode, observe, validate

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.engine.picture import part


class Control(anywidget.AnyWidget):
    """A slider with its name and what it says: an `<input type=range>`, which keyboards and screen readers know."""

    _esm = part("play.js", "slider.js")
    _css = part("panel.css")
    description = Unicode().tag(sync=True)
    disabled = Bool(False).tag(sync=True)
    plays = Bool(False, help="whether it can be played, as a film").tag(sync=True)
    films = Int(0, help="one more plays it anew, on the page").tag(sync=True)


class Slider(Control):
    """A slider of numbers, and a field in which they can be typed, which is read when Enter is pressed or it is left.

    What is typed and no number within the slider's ends is told to `on_typed(error)`, marks the field, and leaves the
    slider where it is; what is one tells None.

    Example
    -------
    >>> share = slider("share", 0.5, 0.0, 1.0, 0.05)
    >>> share.on_typed = print
    >>> share.typed = "half"
    share: expected a number from 0 to 1, found 'half'; the last good one, 0.50, still holds
    >>> share.wrong, share.value
    (True, 0.5)
    >>> share.typed = "0.25"
    None
    >>> share.value
    0.25
    """

    value = Float().tag(sync=True)
    min, max, step = Float(0).tag(sync=True), Float(1).tag(sync=True), Float(1).tag(sync=True)
    digits = Int(0, help="decimals that the field shows").tag(sync=True)
    bare = Bool(False, help="whether the field stands alone, as in a table").tag(sync=True)
    typed = Unicode().tag(sync=True)
    wrong = Bool(False).tag(sync=True)
    on_typed = Callable(lambda error: None)

    @validate("value")
    def _within(self, proposal):
        return type(proposal["value"])(min(max(proposal["value"], self.min), self.max))

    @observe("min", "max")
    def _clip(self, _):
        self.value = type(self.value)(min(max(self.value, self.min), self.max))

    @observe("value")
    def _moved(self, _):
        self.wrong = False

    @observe("typed")
    def _type(self, change):
        if change["new"]:
            text, error = change["new"].strip(), None
            number = _number(text)
            if number is None or not self.min <= number <= self.max or (self.digits == 0 and number % 1):
                kind = "a number" if self.digits else "a whole number"
                error = BadInput(f"{self.description}: expected {kind} from {self.min:g} to {self.max:g}, found "
                                 f"{text!r}; the last good one, {self.value:.{self.digits}f}, still holds")  # fmt: skip
            else:
                self.value = type(self.value)(number)
            self.wrong, self.typed = error is not None, ""
            self.on_typed(error)


class WholeSlider(Slider):
    """A slider of whole numbers."""

    value = Int().tag(sync=True)
    min, max, step = Int(0).tag(sync=True), Int(1).tag(sync=True), Int(1).tag(sync=True)


class Steps(Control):
    """A slider that stops only at given values.

    Example
    -------
    >>> scale = steps("scale", [0.5, 1, 2], 1)
    >>> scale.index, scale.words
    (1, ['0.5', '1', '2'])
    >>> scale.index = 2
    >>> scale.value
    2
    """

    options = List()
    value = Any()
    words = List(Unicode()).tag(sync=True)
    index = Int(0).tag(sync=True)

    def __init__(self, options, value, **look):
        super().__init__(options=options, **look)
        self.value = value

    @observe("options")
    def _offered(self, _):
        values = [value for _, value in pairs(self.options)]
        self.words = [words for words, _ in pairs(self.options)]
        self.index = values.index(self.value) if self.value in values else 0
        self._stepped(None)

    @observe("index")
    def _stepped(self, _):
        self.value = pairs(self.options)[min(self.index, len(self.options) - 1)][1]

    @observe("value")
    def _set(self, change):
        self.index = [value for _, value in pairs(self.options)].index(change["new"])

    @validate("value")
    def _offer(self, proposal):
        if proposal["value"] not in (offered := [value for _, value in pairs(self.options)]):
            raise BadInput(f"{self.description}: expected one of {offered}, found {proposal['value']!r}")
        return proposal["value"]


def pairs(options):
    """The options of a list or of steps, plain values or (text, value), all as [(text, value)]."""
    return [option if isinstance(option, tuple) else (f"{option}", option) for option in options]


def _number(text):
    try:
        return float(text) if math.isfinite(float(text)) else None
    except ValueError:
        return None


def grid(controls):
    """Controls in columns that line up: name, slider, number. Fields of a table are side by side, below the rest."""
    cells = [control for control in controls if getattr(control, "bare", False)]
    rest = [control for control in controls if control not in cells]
    rest += [widgets.Box(cells, _dom_classes=["i2pemd-cells"])] * bool(cells)
    return widgets.Box(rest, _dom_classes=["i2pemd-controls"])


def slider(label, value, low, high, step, unit="", *, plays=False):
    """A slider with a label, a unit and a field to type in; whole numbers when `step` is one.

    The field shows the decimals that the step has. With `plays` it can be played, as a film.
    """
    whole = all(isinstance(x, int) for x in (value, low, high, step))
    label = f"{label} ({unit})" if unit else label
    # It would move to the nearer end, and say nothing.
    if not (isinstance(value, Real) and low <= value <= high):
        raise BadInput(f"{label}: expected a number from {low:g} to {high:g}, found {value!r}; correct it")
    digits = 0 if whole else max(1, -Decimal(str(step)).normalize().as_tuple().exponent)
    made = {"min": low, "max": high, "step": step, "description": label, "digits": digits}
    return (WholeSlider if whole else Slider)(**made, value=value, plays=plays)


def cell(label, value, low, high):
    """A number to type, as in the cell of a table; it is a slider of which only the field is shown."""
    number = slider(label, value, low, high, 0.01)
    number.bare = True
    return number


def choice(label, options, value):
    """A drop-down list; `options` are plain values or (text, value) pairs. One alone is said in words."""
    if options and value not in (values := [each for _, each in pairs(options)]):
        raise BadInput(f"{label}: expected one of {', '.join(map(str, values))}, found {value!r}; choose one of these")
    wide = any(len(words) > 32 for words, _ in pairs(options))
    made = widgets.Dropdown(options=options, value=value, description=label, _dom_classes=["i2pemd-wide"] * wide)

    def say(_):
        made.disabled = len(made.options) < 2  # which the page shows as words
        (made.add_class if made.disabled else made.remove_class)("i2pemd-said")

    made.observe(say, "options")
    say(None)
    return made


def switch(label, value):
    """A checkbox."""
    return widgets.Checkbox(value=value, description=label, indent=False)


def steps(label, values, value, *, plays=False):
    """A slider that stops only at the given values; they may be (text, value) pairs."""
    return Steps(list(values), value, description=label, plays=plays)


def text(label, value):
    """A line of text, which is read when Enter is pressed or it is left."""
    return widgets.Text(value, description=label, continuous_update=False)
