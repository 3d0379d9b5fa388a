"""Where a setting's value comes from: what the paper states, what it follows, what it leaves open; and what differs.

Each task declares its facts once, as `Choice`s, each where its setting is (`settings.py` of a task). The label of a
row of the tables, the words beside it, `python -m i2pemd_lite readings` and lesson 07 are made from these. Our own
value is not written down a second time: it is the default of the settings at full size.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import NamedTuple, TypeVar

from i2pemd_lite.tables.report import WordTable, html_table

KINDS = {
    "paper": "the paper states",
    "base": "the code that the paper follows has",
    "open": "the paper leaves open",
    "rival": "its authors have",
}
"""Kind of a choice -> how `theirs` goes on. Whatever a run has of the open ones, its label is "paper's setting"."""


class Choice(NamedTuple):
    """One decision.

    kind : a key of `KINDS`
    theirs : what is stated, left open, or had by others, as the words of its kind go on
    why : the reason where ours is another value, or why it is this one; "" where it is the same
    measured : what it was seen to do
    """

    kind: str
    theirs: str
    why: str = ""
    measured: str = ""


T = TypeVar("T")
NEEDS = {
    "from 1": ("a whole number from 1", lambda value: value >= 1),
    "from 0": ("a number from 0", lambda value: value >= 0),
    "above 0": ("a number above 0", lambda value: value > 0),
    "0 to 1": ("a number from 0 to 1", lambda value: 0 <= value <= 1),
    "0 to below 1": ("a number from 0, below 1", lambda value: 0 <= value < 1),
}


def one_of(*values):
    """What a setting needs that is one of a few words."""
    return " or ".join(map(repr, values)), values.__contains__


def setting(default: T, kind: str, *words: str, needs: str | tuple[str, Callable] | None = None) -> T:
    """A field of a task's settings: its default, the `Choice` behind it, and what a value needs.

    That is a key of `NEEDS`, or words with a function that says whether a value fits.
    """
    needs = NEEDS[needs] if isinstance(needs, str) else needs
    return dataclasses.field(default=default, metadata={"choice": Choice(kind, *words), "needs": needs})


def choices(settings):
    """{setting: Choice} of a class of settings, what the paper states first."""
    each = {field.name: field.metadata["choice"] for field in dataclasses.fields(settings) if field.metadata}
    return dict(sorted(each.items(), key=lambda item: [*KINDS].index(item[1].kind)))


PRECISION = setting(
    "auto", "open", "the precision; its V100 has neither bfloat16 nor TF32",
    "auto: bfloat16 on a GPU that has it, else float32, for whose convolutions a GPU takes TF32",
)  # fmt: skip
SHARED = {
    "equal distances": ("strictly smaller, as printed", Choice(
        "open", "what they count in Eq. 4", 'real features have none; readings.panel("ties")')),
    "features in Eq. 3": ("raw", Choice(
        "open", "any normalisation", 'Eq. 3 takes them as they are; readings.panel("scale")')),
    "G": ("of all K classes, 0 until each was seen", Choice(
        "open", "what it is before that", "ranks beside a class that was never seen mean nothing")),
    "prices": ("for voxels by the prototypes after a step's update, for images by those before it", Choice(
        "open", "which", 'the order of its text; Eq. 21 needs the selection first; readings.panel("order")')),
}  # fmt: skip
"""What is no setting of either task: decision -> what is had here, and where it comes from."""


class Table(WordTable):
    """The choices of one task: rows (name, ours, `Choice`)."""

    HEADS = ("what", "ours at full size", "theirs", "ours, because; measured")
    caption = "where each choice comes from"

    def _repr_mimebundle_(self, **_):
        """A line for each kind, which opens: all of them are several screens."""
        page = ""
        for kind, words in KINDS.items():
            rows = [self.html_cells(row) for row in self if row[2].kind == kind]
            table = html_table(self.HEADS, rows, self.caption)
            page += f"<details><summary>{words}: {len(rows)}</summary>{table}</details>" * bool(rows)
        return {"text/html": page, "text/plain": str(self)}

    @staticmethod
    def cells(row: tuple) -> tuple[str, ...]:
        """One choice under `HEADS`."""
        name, ours, choice = row
        more = "; ".join(filter(None, (choice.why, choice.measured)))
        return name, ours, f"{KINDS[choice.kind]}: {choice.theirs}", more

    def text(self, row: tuple) -> str:
        """The lines of one choice."""
        name, ours, choice = row
        more = {"ours, because": choice.why, "measured": choice.measured}
        more = [f"  {head}: {words}" for head, words in more.items() if words]
        return "\n".join([f"{name}: {ours}", f"  {self.cells(row)[2]}", *more])


def table(task: ModuleType) -> Table:
    """The `Table` of a task, `segmentation` or `classification`: its settings at full size, then what is no setting.

    Example
    -------
    >>> from i2pemd_lite import segmentation
    >>> print(table(segmentation))
    learning_rate: 0.0005
      the paper states: 5e-4; the code of Dou et al. 2020 has 1e-4
    ...
    """
    full, facts = _settings(task)["gpu"], task.settings
    rows = [(name, _value(full, name), choice) for name, choice in facts.SETTINGS.items()]
    return Table(rows + [(name, ours, choice) for name, (ours, choice) in facts.others(full).items()])


def profiles(task: ModuleType) -> str:
    """What profiles and another preset set beside the paper's values, a line for each setting that one of them changes.

    Example
    -------
    >>> from i2pemd_lite import classification, segmentation
    >>> print(profiles(classification).splitlines()[0])
    checkpoint_every: ci 4, laptop 50, gpu 50
    >>> print(profiles(segmentation).splitlines()[0])
    around: ci not set, laptop not set, gpu not set, preset=beyond 0.6
    """
    found = _settings(task)
    named = {name for sizes in task.TASK.presets.values() for values in sizes.values() for name in values}
    return "\n".join(f"{name}: {', '.join(f'{size} {_value(settings, name)}' for size, settings in found.items())}"
                     for name in sorted(named))  # fmt: skip


def _settings(task):
    """{size, or another preset at full size: the settings there}."""
    ask, (paper, *others) = partial(task.TASK.settings_for, next(iter(task.METHODS))), task.TASK.presets
    found = {size: ask(size) for size in task.TASK.presets[paper]}
    return found | {f"preset={name}": ask("gpu", changes={"preset": name}) for name in others}


def _value(settings, name):
    value = getattr(settings, name)
    return "not set" if value in ("", None) else value
