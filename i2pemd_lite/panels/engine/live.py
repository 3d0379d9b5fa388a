"""A panel whose still picture a click makes one that plotly draws live.

Not before the click: a live figure brings 5 MB along and keeps a page busy for seconds, while an anywidget of whatever
cell comes next gives up after two and never changes again.
"""

import ipywidgets as widgets

from i2pemd_lite.panels.engine.panel import Panel


class LivePanel(Panel):
    """A `Panel` with a button, labelled `words`, that puts a plotly figure in the picture's place.

    `build()` makes an object with `.figure`, a plotly `FigureWidget`, and `.show(result)`; None: there is no button.
    It is `live`, which is None before.
    """

    def __init__(self, build, words, title, controls, compute, draw, describe, **others):
        self.live, self._build = None, build

        def paint(card, result):
            draw(card, result)
            if self.live is not None:
                self.live.show(result)

        super().__init__(title, controls, compute, paint, describe, **others)
        if build is None:
            return
        self._button = widgets.Button(description=words, layout={"width": "max-content"})
        self._button.on_click(lambda _: self.enliven())
        at = self.children.index(self.image)
        self.children = [*self.children[:at], self._button, *self.children[at:]]

    def enliven(self):
        """Put the live figure in the place of the button and the still picture, once."""
        if self.live is not None:  # a second click, while the page was busy with the first
            return
        words, self._button.disabled, self._button.description = self._button.description, True, "Loading …"
        try:
            self.live = self._build()
        except ImportError as error:
            self._button.disabled, self._button.description = False, words
            return self._report(error)
        self.live.show(self.result)
        places = [child for child in self.children if child is not self._button]
        self.children = [self.live.figure if child is self.image else child for child in places]
