"""One file a lesson: exercises, that is what the judge asks of an answer and what it says of a wrong one; why the wrong
answers to its questions tempt; and the question on it with which the next lesson opens."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from i2pemd_lite.files import BadInput


@dataclass(frozen=True)
class Exercise:
    """What the judge asks of an answer; the lesson states it."""

    title: str
    _: KW_ONLY
    minutes: int
    kind: str  # "fill in", "write" or "open"
    takes: str  # the arguments of the function, as the lesson writes them, such as "p, k"
    inputs: Callable | tuple  # of a numpy Generator: the arguments, one random case; several are asked in turn
    oracle: Callable | None = None  # of the arguments, by other code than ours; None: what has the properties is right
    against: str  # what the oracle is, in words
    gradient: int | None = None  # the position of the argument into which a gradient has to flow
    properties: dict = field(default_factory=dict)  # {sentence: holds(answer, *arguments)}, before the oracle, in order
    hints: tuple  # three sentences, from a nudge to nearly there
    mistakes: dict  # {sentence: function}, typical wrong answers, and what is said to one who gives the same


@dataclass(frozen=True)
class Challenge:
    """A state of a panel to be found, and what is said of one that was tried."""

    question: str
    judge: Callable  # of a state: (whether it is one, a sentence that says why)


@dataclass(frozen=True)
class Recall:
    """A question on a lesson, with which the next one opens."""

    question: str
    choices: dict  # {choice: why it tempts, and "" for the right one}
    because: str


def _part(number, what):
    return getattr(import_module(f"{__name__}.lesson{number}"), what, {}) if number in lessons() else {}


def of_lesson(number):
    """{name: Exercise} of one lesson, in the lesson's order; none of a lesson without exercises."""
    return _part(number, "EXERCISES")


def challenges(number):
    """{name: Challenge} of one lesson; none of most."""
    return _part(number, "CHALLENGES")


def tempts(name):
    """{a wrong answer: why it tempts} of a question, such as "p02a". An answer is the choice, of an estimate "below" or
    "above" the truth, and of a curve how it runs (`ask.curve.runs`), or "is straight"."""
    return _part(name[1:3], "TEMPTS").get(name, {})


def recall(number):
    """The `Recall` of the lesson "02"; `BadInput` where it has none."""
    if not (found := _part(number, "RECALL")):
        raise BadInput(f'after: expected a lesson with a question to recall, such as "02", found {number!r}')
    return found


@cache
def lessons():
    """The numbers of the lessons that have exercises."""
    return sorted(module.name.removeprefix("lesson") for module in iter_modules(__path__))


def find(name):
    """The exercise of that name, such as "02b"."""
    known = of_lesson(name[:2])  # and no other lesson's: they import much
    if name not in known:
        names = [each for number in lessons() for each in of_lesson(number)]
        raise BadInput(f"check: expected the name of an exercise, one of {', '.join(names)}, found {name!r}")
    return known[name]


def known_mistakes(name):
    """The sentences that name the typical mistakes of an exercise; none for an exercise of another version."""
    known = of_lesson(name[:2])
    return tuple(known[name].mistakes) if name in known else ()
