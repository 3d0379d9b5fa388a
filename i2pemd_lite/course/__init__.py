"""The course around the method: exercises that check themselves, predictions, the ledger of equations, hand-ins."""

import sys
from importlib import import_module
from types import ModuleType

_HOME = {
    "start": "i2pemd_lite.panels.lesson",
    "agree": "i2pemd_lite.panels.lesson",
    "check": "i2pemd_lite.course.judge",
    "predict": "i2pemd_lite.course.predict",
    "estimate": "i2pemd_lite.course.predict",
    "sketch": "i2pemd_lite.course.predict",
    "ledger": "i2pemd_lite.course.ledger",
    "doctor": "i2pemd_lite.course.examination",
    "outline": "i2pemd_lite.course.plan",
}
_MODULES = ("judge", "exercises", "progress")
__all__ = [*_HOME, "progress"]


class _Course(ModuleType):
    """A function stays in front of the file of its name: importing the file first would else put that in its place."""

    def __setattr__(self, name, value):
        if name in _HOME and isinstance(value, ModuleType):
            value = getattr(value, name, value)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Course


def __getattr__(name):
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
