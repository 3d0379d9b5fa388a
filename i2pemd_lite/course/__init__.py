"""The course around the method: exercises that check themselves, predictions, the ledger of equations, hand-ins."""

from importlib import import_module

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


def __getattr__(name):
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value  # some functions share their name with their module: the function stays in front
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
