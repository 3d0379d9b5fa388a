"""A panel that plotly draws live, where plotly can be had; its still picture everywhere else.

The still picture is drawn in any case: it is what pages without a kernel show.
"""

from importlib import import_module

import ipywidgets as widgets

from i2pemd_lite.panels import style
from i2pemd_lite.panels.panel import Panel


class LivePanel(Panel):
    """A `Panel` with a plotly figure in the picture's place.

    Parameters
    ----------
    build : makes, without arguments, an object with `.figure`, a plotly `FigureWidget`, and `.show(result)`;
        None for the still picture alone
    others : those of `Panel`

    Attributes
    ----------
    live : what `build` made, or None
    """

    def __init__(self, build, title, controls, compute, draw, describe, **others):
        missing = build and unavailable()
        self.live = build() if build and not missing else None

        def paint(figure, result):
            draw(figure, result)
            if self.live is not None:
                self.live.show(result)

        super().__init__(title, controls, compute, paint, describe, **others)
        shown = [self.live.figure] if self.live is not None else [self.image]
        if missing:
            look = f"margin:2px 0;border-left:4px solid {style.ORANGE};padding:2px 8px"
            shown.insert(0, widgets.HTML(f'<p role="note" style="{look}">{missing}</p>'))
        at = self.children.index(self.image)
        self.children = [*self.children[:at], *shown, *self.children[at + 1 :]]


def unavailable():
    """Why no live figure can be made, and what to do; "" where one can."""
    # plotly itself is imported without anywidget, and complains only when a FigureWidget is made.
    for name in ("plotly", "anywidget"):
        try:
            import_module(name)
        except ImportError:
            return (
                f"This is a still picture: the figure that the mouse turns needs <code>{name}</code>, which cannot be "
                f"imported. Install it with <code>pip install {name}</code> and restart the kernel."
            )
    return ""
