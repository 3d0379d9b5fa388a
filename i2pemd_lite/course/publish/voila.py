"""Panels as pages: a small notebook for each that needs no data, which Voilà serves without code."""

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
    pages = {}
    for name, (call, question) in BOARDS.items():
        title = notebooks.markdown(f"{name}-01", f"# {name}\n\n**Before you move anything:** {question}")
        pages[name] = [title, notebooks.code(f"{name}-02", f"from i2pemd_lite.panels import {name}\n\n{call}")]
    links = "\n".join(f"- [{name}]({VOILA}/{name}.ipynb): {question}" for name, (_, question) in BOARDS.items())
    title = "# Panels to move\n\nEach asks a question. Answer it before you move anything."
    pages["index"] = [notebooks.markdown("index-01", f"{title}\n\n{links}")]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    about = {"metadata": {**kernel, "language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
    for name, cells in pages.items():
        notebooks.write(Path(out) / f"{name}.ipynb", {"cells": cells, **about})
    return [Path(out) / f"{name}.ipynb" for name in pages]
