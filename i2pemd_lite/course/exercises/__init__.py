"""The exercises, one file a lesson: what the judge asks of an answer, and what it says of a wrong one."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from i2pemd_lite.files import BadInput


@cache
def of_lesson(number):
    """{name: Exercise} of one lesson, in the lesson's order; none of a lesson without exercises."""
    return import_module(f"{__name__}.lesson{number}").EXERCISES if number in lessons() else {}


@cache
def lessons():
    """The numbers of the lessons that have exercises."""
    return sorted(module.name[-2:] for module in iter_modules(__path__) if module.name.startswith("lesson"))


def is_one(name):
    """Whether there is an exercise of that name."""
    return name in of_lesson(name[:2])  # and no other lesson's: they import much


def find(name):
    """The exercise of that name, such as "02b"."""
    if not is_one(name):
        known = [each for number in lessons() for each in of_lesson(number)]
        raise BadInput(f"check: expected the name of an exercise, one of {', '.join(known)}, found {name!r}")
    return of_lesson(name[:2])[name]


def known_mistakes(name):
    """The sentences that name the typical mistakes of an exercise; none for an exercise of another version."""
    return tuple(find(name).mistakes) if is_one(name) else ()
