"""Panels as pages: a small notebook for each that needs no data, which Voilà serves without code.

    python3 run.py pages
"""

from pathlib import Path

from i2pemd_lite.course.publish import notebooks

VOILA = "/voila/render"  # where it serves the notebooks of its folder
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
    """Write the notebooks into the folder `out`, and `index.ipynb` that leads to them; their paths."""
    boards = [_board(Path(out) / f"{name}.ipynb", name, *parts) for name, parts in BOARDS.items()]
    return [*boards, _index(Path(out) / "index.ipynb")]


def _board(path, name, call, question):
    title = notebooks.markdown(f"{name}-01", f"# {name}\n\n**Before you move anything:** {question}")
    return _put(path, title, notebooks.code(f"{name}-02", f"from i2pemd_lite.panels import {name}\n\n{call}"))


def _index(path):
    lines = [f"- [{name}]({VOILA}/{name}.ipynb): {question}" for name, (_, question) in BOARDS.items()]
    title = "# Panels to move\n\nEach asks a question. Answer it before you move anything."
    return _put(path, notebooks.markdown("index-01", f"{title}\n\n" + "\n".join(lines)))


def _put(path, *cells):
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = {"cells": list(cells), "metadata": {**kernel, "language_info": {"name": "python"}}}
    notebooks.write(path, {**notebook, "nbformat": 4, "nbformat_minor": 5})
    return path
