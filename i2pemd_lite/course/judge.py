"""Whether an answer is right, found out by asking it: random inputs, properties, an oracle that shares no code with us.

An answer is a function of the learner's. The judge calls it with inputs that it draws anew in each attempt, so a number
copied from somewhere fails. It says what is off and gives a hint, a plainer one after each attempt, never the solution.
"""

import copy
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from i2pemd_lite.course.exercises import find
from i2pemd_lite.course.patience import OutOfTime, at_most

CASES = 30  # random inputs for an answer
STEP = 1e-6  # of finite differences, in float64
_attempts = Counter()


@dataclass(frozen=True)
class Exercise:
    """What the judge asks of an answer.

    Attributes
    ----------
    title, minutes, kind : for the reader; kind is "fill in", "write" or "open"
    takes : the arguments of the function, as the lesson writes them, such as "p, k"
    inputs : `inputs(random) -> arguments`, one random case; `random` is a numpy Generator
    oracle : `oracle(*arguments) -> value`, by other code than ours; None where any answer with the properties is right
    against : what the oracle is, in words
    properties : {sentence: holds(answer, *arguments)}, asked in this order and before the oracle
    hints : three sentences, from a nudge to nearly there
    mistakes : {sentence: function}, typical wrong answers, and what is said to one who gives the same
    gradient : the position of the argument into which a gradient has to flow; None where none has to
    tolerance : the largest difference that counts as agreement, in parts of the oracle's largest value, or of 1
    seconds : after which an answer is stopped
    """

    title: str
    minutes: int
    kind: str
    takes: str
    inputs: Callable
    oracle: Callable | None
    against: str
    hints: tuple
    properties: dict = field(default_factory=dict)
    mistakes: dict = field(default_factory=dict)
    gradient: int | None = None
    tolerance: float = 1e-6
    seconds: float = 10.0


class NotYet(AssertionError):
    """An answer that is not right yet. A notebook shows its sentences and no traceback."""

    def _render_traceback_(self):
        return str(self).splitlines()


class _Finding(Exception):
    """What is off, in words."""


def check(name, answer):
    """Judge the answer to an exercise, and say what is off.

    Parameters
    ----------
    name : of the exercise, such as "02b"
    answer : function, the learner's; what it takes stands in the lesson

    Raises
    ------
    NotYet, with what is off, for which input, and a hint. BadInput, when there is no exercise of that name.

    Example
    -------
    >>> check("02a", lambda c: (c[:, None] - c).abs().sum(2))
    02a: right, in 30 random cases, against SciPy's cdist.
    >>> check("02a", lambda c: 0.5)
    Traceback (most recent call last):
    i2pemd_lite.course.judge.NotYet: 02a: not yet. Expected shape (...), yours has none: it is a single number...
    """
    from i2pemd_lite.course import progress

    exercise, attempt = find(name), _attempts[name]
    _attempts[name] += 1
    try:
        with at_most(exercise.seconds):
            judge(exercise, answer, np.random.default_rng([int(name[:2]), ord(name[2]), attempt]))
    except OutOfTime:
        finding = f"It did not come back within {exercise.seconds:g} seconds. Does a loop in it never end?"
    except _Finding as found:
        finding = str(found)
    else:
        progress.record("check", name, right=True, finding="", hint=0)
        return print(f"{name}: right, in {CASES} random cases, against {exercise.against}.")
    opened = finding.startswith("Still open")
    hint = 0 if opened else min(sum(1 for _ in exercise.hints), attempt + 1)
    progress.record("check", name, right=False, finding=finding, hint=hint)
    if opened:
        raise NotYet(f"{name}: {finding[0].lower()}{finding[1:]}") from None
    told = f"\nHint {hint} of {len(exercise.hints)}: {exercise.hints[hint - 1]}"
    raise NotYet(f"{name}: not yet. {finding}{told}") from None


def judge(exercise, answer, random):
    """Ask an answer about random cases; the first thing that is off is raised as a `_Finding`."""
    if answer is None or answer is ...:
        raise _Finding("Still open: give the function that you wrote.")
    if not callable(answer):
        found = f"found {_a(answer)}. Give its name, without brackets."
        raise _Finding(f"Expected a function of ({exercise.takes}), {found}")
    # The smallest first: what is off is shown where it is easiest to see.
    cases, findings = sorted((exercise.inputs(random) for _ in range(CASES)), key=_size), []
    for arguments in cases:
        try:
            _judge_one(exercise, answer, arguments, random)
        except _Finding as found:
            findings.append(found)
            break
    if findings:
        raise _Finding(_as_mistake(exercise, answer, cases) or str(findings[0]))


def _judge_one(exercise, answer, arguments, random):
    given = _called(exercise, answer, arguments)
    expected = None if exercise.oracle is None else _array(exercise.oracle(*copy.deepcopy(arguments)))
    value = _value(given, expected, arguments)
    about = f"For {_shown(exercise, arguments)}"
    for sentence, holds in exercise.properties.items():
        try:
            kept = bool(holds(value, *copy.deepcopy(arguments)))
        except (IndexError, ValueError, TypeError, RuntimeError):
            kept = False
        if not kept:
            raise _Finding(f"One thing does not hold: {sentence}. {about} yours gives {_text(value)}.")
    if expected is None:
        return
    gap = np.abs(value - expected)
    if gap.size and gap.max() > exercise.tolerance * max(1.0, float(np.abs(expected).max())):
        at = tuple(int(i) for i in np.unravel_index(int(gap.argmax()), gap.shape))
        where = f", at {list(at)} counted from 0" if at else ""
        raise _Finding(f"{about} yours gives {_text(value)}, which is off by {gap.max():.3g}{where}.")
    if exercise.gradient is not None:
        _judge_gradient(exercise, answer, arguments, random)


def _called(exercise, answer, arguments):
    """What the answer returns; its errors, and changes that it makes to its inputs, are findings."""
    mine = copy.deepcopy(arguments)
    try:
        given = answer(*mine)
    except (OutOfTime, KeyboardInterrupt):
        raise
    except NotImplementedError:
        raise _Finding("Still open: the function raises NotImplementedError. Write your lines in its place.") from None
    except BaseException as error:  # sys.exit in an answer must not end the kernel
        raise _Finding(_raised(exercise, error, arguments)) from None
    if given is ... or given is None:
        missing = "dots" if given is ... else "nothing"
        raise _Finding(f"The function returns {missing}. Is there a `return` with your result?")
    if any(_changed(one, other) for one, other in zip(mine, arguments, strict=True)):
        raise _Finding("The function changes its input. Make a new array, and leave what you were given as it is.")
    return given


def _raised(exercise, error, arguments):
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    if not frames and isinstance(error, TypeError):
        return f"It cannot be called with ({exercise.takes}): {error}."
    where = f", in the line `{frames[-1].line}`" if frames and frames[-1].line else ""
    said = f": {error}" if str(error) else ""
    return f"It raised {type(error).__name__}{said}{where}. That was for {_shown(exercise, arguments)}."


def _value(given, expected, arguments):
    """The answer as an array in float64; a wrong type, device or shape, and what is no number, are findings."""
    home = {argument.device.type for argument in arguments if isinstance(argument, torch.Tensor)} or {"cpu"}
    if isinstance(given, torch.Tensor) and given.device.type not in home:
        raise _Finding(
            f"It is on the device {given.device.type!r}, and the input is on {', '.join(home)!r}. "
            "Make new tensors with `device=` that of the input."
        )
    try:
        value = _array(given)
    except (TypeError, ValueError, RuntimeError):
        raise _Finding(f"Expected numbers, as a tensor or an array, found {_a(given)}.") from None
    if expected is not None and value.shape != expected.shape:
        single = "none: it is a single number" if value.ndim == 0 else str(value.shape)
        raise _Finding(f"Expected shape {expected.shape}, yours has {single}.")
    if not np.isfinite(value).all():
        what = "NaN (not a number)" if np.isnan(value).any() else "infinity"
        raise _Finding(f"It holds {what}. Is there a division by zero, or the logarithm of one?")
    return value


def _judge_gradient(exercise, answer, arguments, random):
    """Autograd through the answer against central differences of the oracle, along one random direction."""
    mine, at = list(copy.deepcopy(arguments)), exercise.gradient
    mine[at] = mine[at].detach().clone().requires_grad_()
    given = answer(*mine)
    if not isinstance(given, torch.Tensor) or not given.requires_grad:
        raise _Finding(
            "The value is right, but no gradient flows through it. Stay in torch from the input to the result: "
            "no `.item()`, `.detach()`, `.numpy()` or `torch.tensor(...)` on the way."
        )
    weights = torch.tensor(random.normal(size=tuple(given.shape)))
    (gradient,) = torch.autograd.grad((given * weights).sum(), mine[at], allow_unused=True)
    names = [word.strip() for word in exercise.takes.split(",")]
    if gradient is None:
        raise _Finding(f"A gradient flows, but not into {names[at]}.")
    direction = torch.tensor(random.normal(size=tuple(mine[at].shape)))
    ends = []
    for sign in (1, -1):
        moved = list(copy.deepcopy(arguments))
        moved[at] = moved[at] + sign * STEP * direction
        ends.append(float((_array(exercise.oracle(*moved)) * weights.numpy()).sum()))
    slope, yours = (ends[0] - ends[1]) / (2 * STEP), float((gradient * direction).sum())
    if abs(slope - yours) > 1e-4 * max(1.0, abs(slope)):
        along = f"along a random direction it is {yours:.4g}, and by finite differences {slope:.4g}"
        raise _Finding(f"The value is right, its gradient is not: {along}.")


def _size(arguments):
    return sum(len(argument.flatten()) for argument in arguments if isinstance(argument, (torch.Tensor, np.ndarray)))


def _as_mistake(exercise, answer, cases):
    """The sentence of the typical mistake that gives what this answer gives, in every case; None when there is none."""
    for sentence, mistaken in exercise.mistakes.items():
        try:
            if all(_same(answer(*copy.deepcopy(a)), mistaken(*copy.deepcopy(a))) for a in cases):
                return sentence
        except (Exception, SystemExit):  # an answer that raises is no such mistake
            continue
    return None


def _same(one, other):
    one, other = _array(one), _array(other)
    return one.shape == other.shape and bool(np.all(np.abs(one - other) <= 1e-6))


def _array(value):
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
    if isinstance(value, (str, bytes, dict, set)):
        raise TypeError
    return np.asarray(value, dtype=np.float64)


def _changed(one, other):
    if isinstance(one, (torch.Tensor, np.ndarray)):
        return one.shape != other.shape or not bool((one == other).all())
    return False


def _a(value):
    return f"a value of type {type(value).__name__}"


def _text(value):
    value = np.asarray(value)
    if value.ndim == 0:
        return f"{value:g}"
    return np.array2string(value, precision=3, suppress_small=True, threshold=12).replace("\n", "")


def _shown(exercise, arguments):
    names = [word.strip() for word in exercise.takes.split(",")]
    return ", ".join(
        f"{name} = {_text(_array(value)) if isinstance(value, (torch.Tensor, np.ndarray)) else value}"
        for name, value in zip(names, arguments, strict=True)
    )
