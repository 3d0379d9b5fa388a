"""A question to commit to before the answer is shown."""

from html import escape

import ipywidgets as widgets

from i2pemd_lite.files import BadInput


class Question(widgets.VBox):
    """Choices to pick from and a button; the answer appears when the choice is committed.

    Attributes
    ----------
    choice : what is picked, None before
    verdict : what was said of it, empty until `commit()`

    Example
    -------
    >>> question = predict("What is the exact cost of x = 0?", ["0", "1"], "0", "Nothing is carried.")
    >>> question.radio.value = "1"
    >>> question.commit()
    >>> question.verdict
    'Not so: the answer is “0”. Nothing is carried.'
    """

    def __init__(self, question, choices, answer, because):
        if answer not in choices:
            raise BadInput(f"answer: expected one of {choices}, found {answer!r}")
        self.question, self.answer, self.because, self.verdict = question, answer, because, ""
        self.radio = widgets.RadioButtons(options=choices, value=None, layout={"width": "max-content"})
        self.button = widgets.Button(description="Commit", tooltip="Commit to the choice and see the answer")
        self.feedback = widgets.HTML()
        self.button.on_click(lambda _: self.commit())
        super().__init__([widgets.HTML(f"<b>Predict.</b> {escape(question)}"), self.radio, self.button, self.feedback])

    @property
    def choice(self):
        """What is picked."""
        return self.radio.value

    def commit(self):
        """Take the choice as final and say whether it is right, and why."""
        if self.choice is None:
            self.feedback.value = "Pick one first: a wrong guess teaches more than none."
            return
        opening = "Right." if self.choice == self.answer else f"Not so: the answer is “{self.answer}”."
        self.verdict = f"{opening} {self.because}"
        self.feedback.value = f'<p role="status" style="margin:4px 0;line-height:1.4">{escape(self.verdict)}</p>'
        self.radio.disabled = self.button.disabled = True

    def _repr_mimebundle_(self, **_):
        """The live widget, and the question in words for pages in which no kernel runs."""
        options = "\n".join(f"  ( ) {option}" for option in self.radio.options)
        return {**(super()._repr_mimebundle_() or {}), "text/plain": f"Predict. {self.question}\n{options}"}


def predict(question, choices, answer, because):
    """Ask `question` with these `choices`; `because` is the one sentence that follows the answer."""
    return Question(question, choices, answer, because)
