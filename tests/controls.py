"""What the tests of panels do with their controls."""

import re
from types import SimpleNamespace
from unittest.mock import patch
from xml.etree import ElementTree

import ipywidgets as widgets
import numpy as np

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
    return patch.object(Card, "svg", return_value="")


def move_every_control(panel, holds):
    """Each control on the page to both ends and the middle: the picture's result holds, and no error is shown."""
    before = panel.state
    for name, control in panel.controls.items():
        if name not in panel.shown:
            continue
        for value in ends(control):
            control.value = value
            assert panel.state[name] == value and panel.error.value == ""
            holds(panel.result)
        with unseen():
            panel.set(**before)
    panel.refresh()


def on_page(panel):
    """The names of the controls that can be seen, in their order."""
    names = {control: name for name, control in panel.controls.items()}
    children = (each for child in panel.box.children for each in getattr(child, "children", (child,)))
    return [names[child] for child in children if child.layout.display != "none"]


def marks(svg, start=""):
    """The marks of a picture whose keys begin so ("plane kind 0"), as namespaces of key, tag, text and attributes."""
    found = []
    for node in ElementTree.fromstring(svg).iter():
        key = node.get("data-k", "")
        if key and key.startswith(start):
            look = {name.replace("-", "_"): value for name, value in node.attrib.items()}
            found.append(SimpleNamespace(key=key, tag=node.tag.split("}")[1], text="".join(node.itertext()), **look))
    return found


def places(mark):
    """The points of a path, (n, 2), in units of the card from the upper left; of round markers where each begins."""
    return np.array([[float(number) for number in pair] for pair in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", mark.d)])
