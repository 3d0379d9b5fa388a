"""The course around the method: exercises that check themselves, predictions, the ledger of equations, hand-ins."""

from importlib import import_module

# No function has the name of a file here: importing the file would put it in the function's place.
_HOME = {
    "start": "i2pemd_lite.panels.engine.lesson",
    "agree": "i2pemd_lite.panels.engine.lesson",
    "check": "i2pemd_lite.course.ask.judge",
    "predict": "i2pemd_lite.course.ask.question",
    "estimate": "i2pemd_lite.course.ask.number",
    "sketch": "i2pemd_lite.course.ask.curve",
    "ledger": "i2pemd_lite.course.about.ledger",
    "doctor": "i2pemd_lite.course.about.doctor",
    "outline": "i2pemd_lite.course.about.outline",
}
__all__ = [*_HOME, "progress"]


def __getattr__(name):
    if name == "progress":
        return import_module(f"{__name__}.record.progress")
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
