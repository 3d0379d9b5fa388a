"""Whether an answer is right, found out by asking it: random inputs, properties, an oracle that shares no code with us.

An answer is a function of the learner's. The judge calls it with inputs that it draws anew in each attempt, so a number
copied from somewhere fails. It says what is off and gives hints, plainer and plainer ones, never the solution. It
guards against slips, not against fraud: whoever wants to can look the oracle up.

A notebook before somebody shows a card with a button for hints (`feedback.py`). Anywhere else it is text, and an answer
that is not right raises: so a run of a lesson fails, and nbgrader gives no point.

What an answer prints and raises is shown in part, and its time is bounded. On Linux it is tried in a process of its own
first: there one that hangs in C, takes all memory or crashes ends without the kernel. Elsewhere nothing stops these.
"""

import contextlib
import copy
import io
import mmap
import re
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from itertools import cycle
from typing import NamedTuple

import numpy as np
import torch

from i2pemd_lite.course.ask.feedback import MOST, Verdict, card, next_hint, table
from i2pemd_lite.course.ask.timeout import OutOfTime, at_most, tried
from i2pemd_lite.course.exercises import find
from i2pemd_lite.course.record import progress
from i2pemd_lite.course.record.progress import OPEN
from i2pemd_lite.files import BadInput

CASES = 30  # random inputs for an answer
SECONDS = 10.0  # after which an answer is stopped
MEMORY = 2**31  # bytes that an answer may take, where that can be limited
STEP = 1e-6  # of finite differences, in float64
TOLERANCE = 1e-6  # of an answer, in parts of the oracle's largest value, or of 1: float32 keeps to it
ARRAY = torch.Tensor | np.ndarray
PRINTED = 500  # characters of what an answer prints or raises that are kept, and shown when it is off
CUT = ("The value is right, but no gradient flows through it. Stay in torch from the input to the result: "
       "no `.item()`, `.detach()`, `.numpy()` or `torch.tensor(...)` on the way.")  # fmt: skip
_draws = Counter()


class NotYet(AssertionError):
    """An answer that is not right yet. It is shown by its sentences and no traceback."""

    def _render_traceback_(self):
        return str(self).splitlines()


class _Finding(Exception):
    """What is off, in words, `briefly` where it stands beside the case and the value; then these two, where they are
    known, and the place in the value that is most off."""

    case = None

    def __init__(self, words, briefly="", value=None, at=None):
        super().__init__(words)
        self.briefly, self.value, self.at = briefly or words, value, at


class Finding(str):
    """What is off with an answer, in words, and `off`, the `_Finding` that has the case of it."""

    def __new__(cls, words, off):
        made = super().__new__(cls, words)
        made.off = off.with_traceback(None)
        return made


class _Printed(io.StringIO):
    """The first characters that are printed: a print without end fills no memory."""

    def write(self, text):
        super().write(text[: max(0, PRINTED - self.tell())])
        return len(text)


class Case(NamedTuple):
    """One random input, and what the oracle says of it before the answer is asked: the value, and where a gradient has
    to flow (weights, direction, the slope of the sum of weights times value along it, by central differences)."""

    arguments: tuple
    expected: np.ndarray | None = None
    slope: tuple | None = None


def check(name: str, answer: Callable) -> None:
    """Judge the learner's function `answer` to the exercise `name`, such as "02b".

    Where somebody sees it (`progress.seen`) a card says what is found. Elsewhere it is a line, or `NotYet` is raised:
    with what is off, for which input, and the next hint, if the answer gave a value: a crash uses up none. `BadInput`
    when there is no exercise of that name.

    Example
    -------
    >>> check("02a", lambda c: (c[:, None] - c).abs().sum(2))
    02a: right, in 30 random cases, against SciPy's cdist.
    >>> check("02a", lambda c: 0.5)
    Traceback (most recent call last):
    i2pemd_lite.course.ask.judge.NotYet: 02a: not yet. Expected an array of shape (...), yours is a single number...
    """
    if not isinstance(name, str):
        raise BadInput(f'check: expected the name of an exercise first, such as "02a", found {_a(name)}')
    exercise, seen = find(name), progress.seen()
    _draws[name] += 1
    # Without a learner every run asks the same; a learner meets new inputs, also after a restart.
    key = [int(name[:2]), ord(name[2]), _draws[name]] if progress.headless() else None
    finding = judge(exercise, answer, np.random.default_rng(key))
    off, number, hint = getattr(finding, "off", None), 0, ""
    if not finding:
        right, said = True, f"{name}: right, in {CASES} random cases, against {exercise.against}."
    elif finding.startswith(OPEN):
        right, said = None, f"{name}: {finding[0].lower()}{finding[1:]}"
    else:
        right, said = False, f"{name}: not yet. {finding}"
        if off and off.value is not None and not seen:
            number, hint = next_hint(name, exercise.hints)
    progress.record("check", name, right=not finding, finding=str(finding), hint=number)
    if seen:
        from IPython.display import display

        briefly = off.briefly if off and str(off) == finding else finding
        words = (f"{name}: not yet.", briefly) if right is False else (said,)
        html = card(right, *words, more=_tables(exercise, off) if off else "")
        display(Verdict(name, () if right else exercise.hints, html, said))
    elif right:
        print(said)
    else:
        raise NotYet(f"{said}\n{hint}".strip())


def skipped(shell, kind, error, trace, tb_offset=None):
    """Show, as IPython asks for a NameError, a card where the cell is a `check` of a function that is not there; else
    the error as it is."""
    asked = re.search(rf'check\("(.{{3}})", {error.name}\)', shell.user_ns["In"][-1])
    if not (asked and progress.seen()):
        return shell.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)
    words = f"{asked[1]}: `{error.name}` is not there yet. Run the cell above, which defines it, then this one again."
    shell.display_pub.publish({"text/html": card(None, words), "text/plain": words})


def _tables(exercise, off):
    """The case of a `_Finding`, what the answer gave for it, and the shape that is expected, side by side, as HTML."""
    tables = [_table(name, x) for name, x in zip(exercise.takes.split(", "), off.case.arguments, strict=True)]
    tables += [] if off.value is None else [_table("yours", off.value, off.at)]
    tables += [] if off.case.expected is None else [table("expected", off.case.expected.shape)]
    return f'<div style="display:flex;flex-wrap:wrap;gap:6px 28px;align-items:start">{"".join(tables)}</div>'


def _table(name, value, at=None):
    shape, values = np.shape(value), None
    if np.prod(shape) <= MOST**2:
        with contextlib.suppress(Exception):  # of no numbers there is the shape alone
            values = _array(value)
    return table(name, shape, values, at)


def judge(exercise, answer, random):
    """The first thing that is off with an answer, in words (a `Finding` where it was asked); "" when it is right."""
    if answer is None or answer is ...:
        return f"{OPEN}: give the function that you wrote."
    if not callable(answer):
        return f"Expected a function of ({exercise.takes}), found {_a(answer)}. Give its name, without brackets."
    cases = _cases(exercise, random)
    page = mmap.mmap(-1, 4096)  # how many cases were right, and what is off: a copy of this process writes here, too

    def ask():
        page[0] = 0
        for case in cases:
            _judge_one(exercise, answer, case)
            page[0] += 1

    def ask_apart():
        torch.set_num_threads(1)  # a copy of a process has no others
        try:
            ask()
        except BaseException as off:
            said = (str(off) if isinstance(off, _Finding) else f"It raised {type(off).__name__}.").encode()[:4000]
            page[1 : 1 + len(said)] = said
            _as_mistake(exercise, answer, cases)  # which calls it more often

    def found_apart():
        return page[1:].rstrip(b"\0").decode(errors="ignore")

    try:
        with _quiet():
            if ended := tried(SECONDS, MEMORY, ask_apart):
                why = "Does your function call itself without end, or take all memory?"
                return f"Your function ended the process in which it was tried ({ended}). {why}"
            if re.search("MemoryError|allocate memory", found_apart()):
                return f"{found_apart()} An answer may use {MEMORY / 2**30:g} GiB of memory."
            page[1:] = bytes(len(page) - 1)
            at_most(SECONDS, ask)
        return ""
    except _Finding as off:
        with contextlib.suppress(OutOfTime), _quiet():
            return Finding(at_most(SECONDS, _as_mistake, exercise, answer, cases) or str(off), off)
        return Finding(str(off), off)
    except OutOfTime:
        if off := found_apart():
            return off
        done = f"{page[0]} of {CASES} cases were right, and then the time was over. Can you do it in fewer steps?"
        nothing = "The first call did not come back. Is there a loop that never ends?"
        return f"Your function took more than {SECONDS:g} seconds. {done if page[0] else nothing}"


def _cases(exercise, random):
    """The cases of an attempt, the smallest first: what is off is shown where it is easiest to see."""
    inputs = exercise.inputs if isinstance(exercise.inputs, tuple) else (exercise.inputs,)
    cases = [_case(exercise, draw(random), random) for draw, _ in zip(cycle(inputs), range(CASES))]
    return sorted(cases, key=lambda case: sum(len(x.flatten()) for x in case.arguments if isinstance(x, ARRAY)))


def _case(exercise, arguments, random):
    if exercise.oracle is None:
        return Case(arguments)
    expected, at = _array(exercise.oracle(*copy.deepcopy(arguments))), exercise.gradient
    if at is None:
        return Case(arguments, expected)
    weights, direction = (torch.tensor(random.normal(size=tuple(x.shape))) for x in (expected, arguments[at]))

    def moved(step):
        there = [x + step * direction if n == at else x for n, x in enumerate(arguments)]
        return float((_array(exercise.oracle(*there)) * weights.numpy()).sum())

    return Case(arguments, expected, (weights, direction, (moved(STEP) - moved(-STEP)) / (2 * STEP)))


def _judge_one(exercise, answer, case):
    value = None
    try:
        value = _value(_called(exercise, answer, case.arguments), case.expected, case.arguments)
        _judge_value(exercise, answer, case, value)
    except _Finding as off:
        off.case, off.value = case, value if off.value is None else off.value
        raise


def _judge_value(exercise, answer, case, value):
    about = f"For {_shown(exercise, case.arguments)}"
    for sentence, holds in exercise.properties.items():
        good = False
        with contextlib.suppress(IndexError, ValueError, TypeError, RuntimeError):
            good = bool(holds(value, *copy.deepcopy(case.arguments)))
        if not good:
            words = f"One thing does not hold: {sentence}."
            raise _Finding(f"{words} {about} yours gives {_text(value)}.", words)
    if case.expected is None:
        return
    gap = np.abs(value - case.expected)
    if gap.size and gap.max() > TOLERANCE * max(1.0, float(np.abs(case.expected).max())):
        at = tuple(int(i) for i in np.unravel_index(int(gap.argmax()), gap.shape))
        where = f", at {list(at)} counted from 0" if at else ""
        off = f"off by {gap.max():.3g}{where}."
        raise _Finding(f"{about} yours gives {_text(value)}, which is {off}", f"Yours is {off}", at=at)
    if case.slope:
        _judge_gradient(exercise, answer, case.arguments, *case.slope)


def _judge_gradient(exercise, answer, arguments, weights, direction, slope):
    """Autograd through the answer against the oracle's differences."""
    at = exercise.gradient
    mine = [x.detach().clone().requires_grad_() if n == at else x for n, x in enumerate(arguments)]
    try:
        given = _called(exercise, answer, mine, copied=False)
    except _Finding as off:
        raise _Finding(CUT if "requires grad" in str(off) else str(off)) from None
    if not isinstance(given, torch.Tensor) or not given.requires_grad:
        raise _Finding(CUT)
    try:
        (gradient,) = torch.autograd.grad((given * weights).sum(), mine[at], allow_unused=True)
    except RuntimeError as error:
        raise _Finding(f"The value is right, but its gradient cannot be computed: {_words(error)}") from None
    if gradient is None:
        raise _Finding(f"A gradient flows, but not into {exercise.takes.split(', ')[at]}.")
    yours = float((gradient * direction).sum())
    if not np.isfinite(yours):
        raise _Finding("The value is right, but its gradient is not finite. Is there a root or 0/0 on the way?")
    if abs(slope - yours) > 1e-4 * max(1.0, abs(slope)):
        along = f"along a random direction it is {yours:.4g}, and by finite differences {slope:.4g}"
        raise _Finding(f"The value is right, but its gradient is not: {along}.")


def _called(exercise, answer, arguments, copied=True):
    """What the answer returns; its errors, and changes that it makes to its inputs, are findings."""
    mine = copy.deepcopy(arguments) if copied else arguments
    sys.stdout = printed = _Printed()
    try:
        given, off = _asked(answer, mine), ""
        if given is ... or given is None:
            missing = "dots" if given is ... else "nothing"
            off = f"The function returns {missing}. Is there a `return` with your result?"
    except (OutOfTime, KeyboardInterrupt):
        raise
    except NotImplementedError:
        raise _Finding(f"{OPEN}: the function raises NotImplementedError. Write your lines in its place.") from None
    except BaseException as error:  # sys.exit in an answer must not end the kernel
        off = _raised(exercise, error, arguments)
    if off:
        said = printed.getvalue().strip()
        raise _Finding(f"{off} It printed: {said}" if said else off)
    pairs = zip(mine, arguments, strict=True)
    if any(isinstance(one, ARRAY) and (one.shape != x.shape or not (one == x).all()) for one, x in pairs):
        raise _Finding("The function changes its input. Make a new array, and leave what you were given as it is.")
    return given


def _asked(answer, arguments):
    """What the answer returns. One whose own numbers are float32 cannot mix them with float64 everywhere, and is right
    all the same: after an error it is asked in float32."""
    try:
        return answer(*arguments)
    except RuntimeError:
        return answer(*map(in_float32, arguments))


def in_float32(value):
    """A float64 tensor or array in float32, and any other value as it is."""
    if isinstance(value, torch.Tensor) and value.dtype == torch.float64:
        return value.float()
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype == np.float64 else value


@contextlib.contextmanager
def _quiet():
    """Drop prints and warnings, because nbgrader takes what is on stderr for a failure. It stands around a time limit,
    never inside: a stop half way through its end would leave the streams redirected."""
    nowhere = _Printed()
    with warnings.catch_warnings(), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        yield


def _raised(exercise, error, arguments):
    lines = [frame.line for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    if not lines and isinstance(error, TypeError):
        return f"Your function cannot be called with ({exercise.takes}): {_words(error)}."
    where = f", in the line `{lines[-1][:PRINTED]}`" if lines and lines[-1] else ""
    said = f": {said}" if (said := _words(error)) else ""
    return f"It raised {type(error).__name__}{said}{where}. That was for {_shown(exercise, arguments)}."


def _words(error):
    """The first characters of an error's text, where it has one."""
    try:
        said = str(error)
    except Exception:  # a class of the learner's may fail in its own text
        return ""
    return f"{said[:PRINTED]}{'…' if len(said) > PRINTED else ''}".encode(errors="replace").decode()


def _value(given, expected, arguments):
    """The answer as an array in float64; a wrong type, device or shape, and what is no number, are findings."""
    home = {argument.device.type for argument in arguments if isinstance(argument, torch.Tensor)} or {"cpu"}
    if isinstance(given, torch.Tensor) and given.device.type not in home:
        there = f"Your result is on the device {given.device.type!r}, and the input is on {', '.join(home)!r}."
        raise _Finding(f"{there} Make new tensors on the device of the input, with `device=`.")
    try:
        # One of another shape may be too large to copy.
        fits = not isinstance(given, ARRAY) or expected is None or given.shape == expected.shape
        value = _array(given) if fits else given
    except Exception as error:  # whatever a strange object answers when it is asked for its numbers
        full = " that is too large (MemoryError)" if isinstance(error, MemoryError) else ""
        raise _Finding(f"Expected numbers, as a tensor or an array, found {_a(given)}{full}.") from None
    if expected is not None and value.shape != expected.shape:
        raise _Finding(f"Expected {_form(expected.shape)}, yours is {_form(value.shape)}.", value=value)
    if not np.isfinite(value).all():
        what = "NaN (not a number)" if np.isnan(value).any() else "infinity"
        raise _Finding(f"Your result holds {what}. Is there a division by zero, or the logarithm of zero?", value=value)
    return value


def _as_mistake(exercise, answer, cases):
    """The sentence of the typical mistake that gives what this answer gives, in every case; None when there is none."""
    for sentence, mistaken in exercise.mistakes.items():
        try:
            if all(_same(answer, mistaken, case.arguments) for case in cases):
                return sentence
        except (OutOfTime, KeyboardInterrupt):
            raise
        except BaseException:  # an answer that raises is no such mistake
            pass


def _same(answer, mistaken, arguments):
    one, other = (_array(_asked(function, copy.deepcopy(arguments))) for function in (answer, mistaken))
    return one.shape == other.shape and bool(np.all(np.abs(one - other) <= 1e-6))


def _array(value):
    if isinstance(value, torch.Tensor):
        if value.is_complex():
            raise TypeError
        return value.detach().cpu().to(torch.float64).numpy()
    value = np.asarray([_array(each) for each in value] if isinstance(value, (list, tuple)) else value)
    if value.dtype.kind not in "biuf":
        raise TypeError
    return value.astype(np.float64)


def _form(shape):
    if not shape:
        return "a single number"
    return f"an array of {shape[0]} numbers" if len(shape) == 1 else f"an array of shape {tuple(shape)}"


def _a(value):
    return f"a value of type {type(value).__name__}"


def _text(value):
    if value.ndim == 0:
        return f"{value:g}"
    return np.array2string(value, precision=3, suppress_small=True, threshold=12).replace("\n", "")[:PRINTED]


def _shown(exercise, arguments):
    texts = (_text(_array(value)) if isinstance(value, ARRAY) else value for value in arguments)
    return ", ".join(f"{name} = {text}" for name, text in zip(exercise.takes.split(", "), texts, strict=True))
