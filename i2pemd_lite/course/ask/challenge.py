"""A state of a panel to be found: its controls are the answer, which can be tried as often as one likes."""

import os
from html import escape

import ipywidgets as widgets

from i2pemd_lite.course import exercises
from i2pemd_lite.course.ask.feedback import card, status
from i2pemd_lite.course.record import progress
from i2pemd_lite.panels.engine.panel import Panel, alert


class Challenge(widgets.VBox):
    """One challenge of a lesson (`exercises.Challenge`), and a button that judges the panel as it is.

    After a judgement it has `right` and `verdict`.
    """

    right, verdict = False, ""

    def __init__(self, name: str, challenge: exercises.Challenge, panel: Panel):
        self.name, self.challenge, self.panel = name, challenge, panel
        button = widgets.Button(description="Check", tooltip="Judge the panel as it is now")
        button.on_click(lambda _: self.check())
        self.feedback = widgets.HTML()
        words = f'<p style="margin:0;line-height:1.4"><b>Challenge {name}.</b> {escape(challenge.question)}</p>'
        super().__init__([widgets.HTML(words), button, self.feedback])
        self.add_class("i2pemd-challenge")

    def check(self) -> None:
        """Judge the panel as it is, and say what is missing or found."""
        self.feedback.value = status("Training five seeds, each with its twin …")
        try:
            self.right, said = self.challenge.judge(self.panel.state)
        except Exception as error:
            self.feedback.value = alert(error, "This could not be judged.")
            if os.environ.get("I2PEMD_STRICT") == "1":
                raise
            return
        found = "Right." if self.right else "Not yet."
        self.verdict = f"{found} {said}"
        self.feedback.value = card(self.right, found, said)
        progress.record("challenge", self.name, right=self.right)

    def _repr_mimebundle_(self, **_):
        name, words = f"Challenge {self.name}.", f"{self.challenge.question} It is judged in JupyterLab."
        html = f"<p><b>{name}</b> {escape(words)}</p>"
        return {**(super()._repr_mimebundle_() or {}), "text/html": html, "text/plain": f"{name} {words}"}


def challenges(number: str, panel: Panel) -> list[Challenge]:
    """The challenges of a lesson ("00"), which `panel` answers by its state."""
    return [Challenge(name, each, panel) for name, each in exercises.challenges(number).items()]
