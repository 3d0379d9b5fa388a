"""Where a setting's value comes from: what the paper states, what it follows, what it leaves open; and what differs.

Each task declares its facts once, as `Choice`s, each where its setting is (`settings.py` of a task). The label of a
row of the tables, the words beside it, `python -m i2pemd_lite readings` and lesson 07 are made from these. Our own
value is not written down a second time: it is the default of the settings at full size.
"""

import dataclasses
import importlib
from collections import Counter
from html import escape
from typing import NamedTuple

from i2pemd_lite.tables.results import FREE, differences

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


def setting(default, kind, *words, needs=None):
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
    "equal distances": (
        "strictly smaller, as printed",
        Choice("open", "what they count in Eq. 4", 'real features have none; readings.panel("ties")'),
    ),
    "features in Eq. 3": (
        "raw",
        Choice("open", "any normalisation", 'Eq. 3 takes them as they are; readings.panel("scale")'),
    ),
    "G": (
        "of all K classes, 0 until each was seen",
        Choice("open", "what it is before that", "ranks beside a class that was never seen mean nothing"),
    ),
    "prices": (
        "for voxels by the prototypes after a step's update, for images by those before it",
        Choice("open", "which", 'the order of its text; Eq. 21 needs the selection first; readings.panel("order")'),
    ),
}
"""What is no setting of either task: decision -> what is had here, and where it comes from."""


def changed(settings, full, choices):
    """(settings that make a run another one than the paper's, those that fill its silence otherwise), both as words.

    Parameters
    ----------
    settings, full : of the run, and of its method at full size
    choices : {setting: Choice}

    Example
    -------
    >>> from i2pemd_lite.segmentation import SegmentationSettings as S
    >>> from i2pemd_lite.segmentation.settings import SETTINGS
    >>> changed(S(width=8, ce="plain"), S(), SETTINGS)
    (['width 8'], ['ce plain'])
    """
    words = ([], [])
    for name, (value, _) in differences(settings, full, FREE - choices.keys()).items():
        words[choices[name].kind == "open"].append(f"{name} {value}")
    return words


class Table(tuple):
    """The choices of one task as a table, for a terminal (`str`) or a notebook: rows (name, ours, Choice)."""

    def __str__(self):
        lines = []
        for name, ours, choice in self:
            lines += [f"{name}: {ours}", f"  {KINDS[choice.kind]}: {choice.theirs}"]
            more = (("ours, because", choice.why), ("measured", choice.measured))
            lines += [f"  {head}: {words}" for head, words in more if words]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_mimebundle_(self, **_):
        from i2pemd_lite.panels.engine import sheet  # which brings the notebook's packages; training needs none

        names = ("what", "ours", "theirs", "ours, because", "measured")
        rows = ((name, ours, f"{KINDS[kind]}: {theirs}", *more) for name, ours, (kind, theirs, *more) in self)
        html = sheet.html(names, (map(escape, map(str, row)) for row in rows), "where each choice comes from")
        return {"text/html": html, "text/plain": str(self)}


def table(task):
    """The `Table` of "segmentation" or "classification": its settings at full size, then what is no setting.

    Example
    -------
    >>> print(table("segmentation"))
    learning_rate: 0.0005
      the paper states: 5e-4; the code of Dou et al. 2020 has 1e-4
    ...
    """
    module, facts = _modules(task)
    settings = module.TASK.settings_for(next(iter(module.METHODS)), "gpu")
    own = {name: getattr(settings, name) for name in facts.SETTINGS}
    rows = [(name, _shown(own[name]), choice) for name, choice in facts.SETTINGS.items()]
    return Table(rows + [(name, ours, choice) for name, (ours, choice) in facts.others(settings).items()])


def _shown(value):
    return "not set" if value in ("", None) else value


def _modules(task):
    return [importlib.import_module(f"i2pemd_lite.{task}{part}") for part in ("", ".settings")]


def profiles(task):
    """What a profile sets beside the paper's values, a line for each setting that any of them changes.

    Example
    -------
    >>> print(profiles("classification").splitlines()[0])
    checkpoint_every: ci 4, laptop 50, gpu 50
    """
    module = importlib.import_module(f"i2pemd_lite.{task}")
    each = {name: module.TASK.settings_for(next(iter(module.METHODS)), name) for name in module.TASK.sizes}
    names = sorted({name for sizes in module.TASK.sizes.values() for name in sizes})
    lines = (", ".join(f"{size} {_shown(getattr(s, name))}" for size, s in each.items()) for name in names)
    return "\n".join(f"{name}: {line}" for name, line in zip(names, lines, strict=True))


def note(task, runs):
    """What stands under a table: which open choices its `runs` have otherwise, and where all are told.

    The paper's card had no bfloat16, so a run's own precision is held beside float32.

    Example
    -------
    >>> from types import SimpleNamespace as Run
    >>> from i2pemd_lite.segmentation import SegmentationSettings as S
    >>> plain = S(method="joint", ce="plain", precision="float32")
    >>> print(note("segmentation", [Run(settings=plain), Run(settings=plain.changed(precision="bfloat16"))]))
    left open by the paper, and not as in our full-size default (float32): ce plain, precision bfloat16 (1 of 2 runs);
    where each setting comes from: python -m i2pemd_lite readings
    """
    (module, facts), found = _modules(task), Counter()
    for s in (run.settings for run in runs):
        full = module.TASK.settings_for(s.method, "gpu", changes={"preset": s.preset, "precision": "float32"})
        found.update(changed(s, full, facts.SETTINGS)[1])
    words = [each if n == len(runs) else f"{each} ({n} of {len(runs)} runs)" for each, n in found.items()]
    which = f"left open by the paper, and not as in our full-size default (float32): {', '.join(words) or 'nothing'}"
    return f"{which}; where each setting comes from: python -m i2pemd_lite readings"
