"""A control that is a table: one row is chosen, some are ticked, and each has a note and can be deleted."""

from traitlets import Dict, List, Tuple, Unicode, observe, validate

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.engine.picture import part
from i2pemd_lite.panels.engine.slider import Control


class Table(Control):
    """A list to choose from, as a table whose radio buttons, ticks and fields keyboards and screen readers know.

    options, value : names of the rows, and the chosen one, None where there is none
    heads : of the columns: name, tick, note, that of the button that deletes, and those of the cells
    rows : {"name", "cells", "note", "deletes": what is asked before it is deleted, "" where it cannot be} of each
    ticked : names, the one that was ticked last at the end;  log : lines below the table
    copies : words of the buttons that give a text;  `asked(do, name="", text="")` is called for "note", "delete" and
        "copy", whose text is answered by `give`

    Example
    -------
    >>> table = Table("run", print)
    >>> table.options = ["ours", "joint"]
    >>> table.value
    'ours'
    >>> table.value = "theirs"
    Traceback (most recent call last):
    i2pemd_lite.files.BadInput: run: expected one of ours, joint, found 'theirs'; choose one
    """

    _esm = part("table.js")
    options, value = Tuple(), Unicode(None, allow_none=True).tag(sync=True)
    heads, ticked, log = (List(Unicode()).tag(sync=True) for _ in range(3))
    copies, rows = List(Unicode()).tag(sync=True), List(Dict()).tag(sync=True)

    def __init__(self, description, asked, copies=()):
        super().__init__(description=description, copies=list(copies), _dom_classes=["i2pemd-table"])
        self.on_msg(lambda _, message, __: asked(**message))

    def give(self, text, file=""):
        """Put a text into the clipboard, or have the browser save it as a file."""
        self.send({"text": text, "file": file})

    @observe("options")
    def _offered(self, _):
        if self.value not in self.options:
            self.value = next(iter(self.options), None)

    @validate("value")
    def _offer(self, proposal):
        if proposal["value"] is not None and proposal["value"] not in self.options:
            names = ", ".join(self.options)
            raise BadInput(f"{self.description}: expected one of {names}, found {proposal['value']!r}; choose one")
        return proposal["value"]
