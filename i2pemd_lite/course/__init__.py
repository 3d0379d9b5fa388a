"""The course around the method: exercises that check themselves, predictions, the ledger of equations, hand-ins."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # editors do not run `__getattr__`
    from i2pemd_lite.course.about.doctor import doctor as doctor
    from i2pemd_lite.course.about.ledger import ledger as ledger
    from i2pemd_lite.course.about.outline import outline as outline
    from i2pemd_lite.course.ask.challenge import challenges as challenges
    from i2pemd_lite.course.ask.curve import sketch as sketch
    from i2pemd_lite.course.ask.judge import check as check
    from i2pemd_lite.course.ask.number import estimate as estimate
    from i2pemd_lite.course.ask.question import predict as predict
    from i2pemd_lite.course.ask.recall import start as start
    from i2pemd_lite.course.record import progress as progress
    from i2pemd_lite.panels.engine.lesson import agree as agree

# No function has the name of a file here: importing the file would put it in the function's place.
_HOME = {
    "start": "course.ask.recall",
    "agree": "panels.engine.lesson",
    "check": "course.ask.judge",
    "predict": "course.ask.question",
    "estimate": "course.ask.number",
    "sketch": "course.ask.curve",
    "challenges": "course.ask.challenge",
    "ledger": "course.about.ledger",
    "doctor": "course.about.doctor",
    "outline": "course.about.outline",
    "progress": "course.record.progress",
}
__all__ = [*_HOME]


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"i2pemd_lite.{_HOME[name]}")
    return getattr(home, name, home)  # progress is a module


def __dir__():
    return sorted([*globals(), *__all__])
