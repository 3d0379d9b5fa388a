"""The exercises, one file a lesson: what the judge asks of an answer, and what it says of a wrong one."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from i2pemd_lite.files import BadInput


@cache
def of_lesson(number):
    """{name: Exercise} of one lesson, in the lesson's order.

    Example
    -------
    >>> list(of_lesson("02"))
    ['02a', '02b', '02c']
    """
    if number not in lessons():
        raise BadInput(f"lesson: expected one of {', '.join(lessons())}, found {number!r}")
    return import_module(f"{__name__}.lesson{number}").EXERCISES


def lessons():
    """The numbers of the lessons that have exercises."""
    return sorted(module.name[-2:] for module in iter_modules(__path__) if module.name.startswith("lesson"))


def find(name):
    """The exercise of that name, such as "02b"."""
    here = of_lesson(name[:2]) if name[:2] in lessons() else {}  # and not the others: they import much
    if name not in here:
        known = [each for number in lessons() for each in of_lesson(number)]
        raise BadInput(f"check: expected the name of an exercise, one of {', '.join(known)}, found {name!r}")
    return here[name]


def known_mistakes(name):
    """The sentences that name the typical mistakes of an exercise; none for an exercise of another version."""
    known = of_lesson(name[:2]) if name[:2] in lessons() else {}
    return tuple(known[name].mistakes) if name in known else ()
