"""Where a setting's value comes from: what the paper states, what it follows, what it leaves open; and what differs.

Each task declares its facts once, as `Choice`s (`segmentation/choices.py`, `classification/choices.py`). The label of a
row of the tables, the words beside it, `python -m i2pemd_lite readings` and lesson 07 are made from these. Our own
value is not written down a second time: it is the default of the settings at full size.
"""

import importlib
from html import escape
from typing import NamedTuple

from i2pemd_lite.results import differences

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


def changed(settings, full, choices):
    """(settings that make a run another one than the paper's, those that fill its silence otherwise), both as words.

    Parameters
    ----------
    settings, full : of the run, and of its method at full size
    choices : {setting: Choice}

    Example
    -------
    >>> from i2pemd_lite.segmentation import SegmentationSettings as S
    >>> from i2pemd_lite.segmentation.choices import SETTINGS
    >>> changed(S(width=8, ce="plain"), S(), SETTINGS)
    (['width 8'], ['ce plain'])
    """
    words = ([], [])
    for name, (value, _) in differences(settings, full).items():
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
        from i2pemd_lite.panels import sheet  # which brings the notebook's packages; training needs none

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
    module, facts = (importlib.import_module(f"i2pemd_lite.{task}{part}") for part in ("", ".choices"))
    settings = module.TASK.settings_for(next(iter(module.METHODS)), "gpu")
    own = {name: getattr(settings, name) for name in facts.SETTINGS}
    rows = [(name, "not set" if own[name] == "" else own[name], choice) for name, choice in facts.SETTINGS.items()]
    return Table(rows + [(name, ours, choice) for name, (ours, choice) in facts.others(settings).items()])


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
    lines = (", ".join(f"{size} {getattr(s, name)}" for size, s in each.items()) for name in names)
    return "\n".join(f"{name}: {line}" for name, line in zip(names, lines, strict=True))


def note(settings, full, choices):
    """What stands under a table: which of the settings that the paper leaves open were others, and where all are told.

    Example
    -------
    >>> from i2pemd_lite.segmentation import SegmentationSettings as S
    >>> from i2pemd_lite.segmentation.choices import SETTINGS
    >>> print(note(S(ce="plain"), S(), SETTINGS))
    left open by the paper, and not our default: ce plain; whose each setting is: python -m i2pemd_lite readings
    """
    words = ", ".join(changed(settings, full, choices)[1]) or "nothing"
    where = "whose each setting is: python -m i2pemd_lite readings"
    return f"left open by the paper, and not our default: {words}; {where}"
