"""What the tests of panels do with their controls."""

import io
from unittest.mock import patch

import ipywidgets as widgets
import numpy as np
from PIL import Image

from i2pemd_lite.panels.engine.card import Card


def ends(control):
    """Values at both ends and in the middle of what a control takes."""
    if isinstance(control, widgets.Checkbox):
        return [False, True]
    if hasattr(control, "options"):
        values = [option[1] if isinstance(option, tuple) else option for option in control.options]
        return [values[0], values[len(values) // 2], values[-1]]
    middle = (control.min + control.max) / 2
    return [control.min, type(control.value)(middle), control.max]


def unseen():
    """While it holds, panels compute, draw and describe, but no picture is made of it."""
    return patch.object(Card, "png", return_value=b"")


def move_every_control(panel, holds):
    """Each control on the page to both ends and the middle: the picture's result holds, and no error is shown."""
    before = panel.state
    for name, control in panel.controls.items():
        if getattr(control, "shown", control).layout.display == "none":
            continue
        for value in ends(control):
            control.value = value
            assert panel.state[name] == value and panel.error.value == ""
            holds(panel.result)
        with unseen():
            panel.set(**before)
    panel.refresh()


def as_fresh(panel, moved):
    """Pixel by pixel the picture is the one that a fresh figure shows."""
    fresh = Card(*panel._card.get_size_inches())
    panel._draw(fresh, panel.result)
    different = pixels(fresh.png()) != pixels(panel.image.value)
    assert not different.any(), f"{moved}: {different.any(-1).sum()} pixels differ"


def moved_as_fresh(panel, every=1):
    """The same while all controls are moved, looked at after each `every`-th."""
    for n, (name, control) in enumerate(panel.controls.items()):
        control.value = ends(control)[1]
        if n % every == 0:
            as_fresh(panel, name)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))
