"""Panels as pages: a small notebook for each that needs no data, which Voilà serves without code.

    python3 run.py pages
"""

from pathlib import Path

from i2pemd_lite.course import master

BOARDS = {
    "overview": ("overview.panel()", "What does a prediction cost, against each label?"),
    "transport": ("transport.panel()", "Which single cost would you lower to make the plan cheaper?"),
    "ground": ('ground.panel("five organs")', "You double all prototypes. Which of the three tables change?"),
    "instance": ("instance.panel()", "In which triangle do the bands run parallel to the side opposite the label?"),
    "bars": ("bars.panel(K=7)", "Which class does I2PEMD push down hardest, and does cross-entropy agree?"),
    "dynamics": ("dynamics.panel()", "A rare class is seen seldom. What does its line do between two updates?"),
    "museum": ("museum.panel()", "Which one number gives the failure away?"),
    "cockpit": ('cockpit.cockpit("runs")', "Which shows first in the curves: four times the λ, or the learning rate?"),
}


def write(out):
    """Write the notebooks into the folder `out`; their paths."""
    return [_board(Path(out) / f"{name}.ipynb", name, *parts) for name, parts in BOARDS.items()]


def _board(path, name, call, question):
    title = master.markdown(f"{name}-01", f"# {name}\n\n**Before you move anything:** {question}")
    panel = master.code(f"{name}-02", f"from i2pemd_lite.panels import {name}\n\n{call}")
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = {"cells": [title, panel], "metadata": {**kernel, "language_info": {"name": "python"}}}
    master.write(path, {**notebook, "nbformat": 4, "nbformat_minor": 5})
    return path
