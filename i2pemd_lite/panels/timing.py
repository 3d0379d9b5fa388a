"""How long things take: side by side, in medians, because a machine does other work meanwhile.

All functions that are compared run once in a round, in an order that rotates, so that whatever slows the machine down
for a while slows all of them. Read the ratios: the milliseconds are those of one machine in one minute.
"""

import functools
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch

from i2pemd_lite.files import BadInput
from i2pemd_lite.text import bar


class Timings(NamedTuple):
    """`milliseconds[name][size]`, the median time of each version at each size; slow ones lack the large sizes."""

    sizes: tuple
    milliseconds: dict


def interleaved(functions: dict[str, Callable], rounds: int = 7, warm_up: int = 1) -> dict[str, list[float]]:
    """{name: the milliseconds of each round} of {name: function without arguments}.

    `warm_up` rounds before the others, in which memory is first touched, are not counted.
    """
    names = list(functions)
    if not names or rounds < 1:
        raise BadInput(f"functions, rounds: expected at least one of each, found {len(names)} and {rounds}")
    taken = {name: [] for name in names}
    for number in range(rounds + warm_up):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            taken[name].append(once(functions[name]))
    return {name: values[warm_up:] for name, values in taken.items()}


def medians(taken: dict[str, list[float]]) -> dict[str, float]:
    """{name: the median}, which one interrupted round does not move."""
    return {name: statistics.median(values) for name, values in taken.items()}


def once(function: Callable) -> float:
    """The milliseconds of one call, the work that it left to a GPU included."""
    _wait()
    start = time.perf_counter()
    function()
    _wait()
    return 1e3 * (time.perf_counter() - start)


def _wait():
    # A GPU is only asked to work; without waiting one would time the asking.
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def scaling(
    versions: dict[str, Callable], make: Callable, sizes: Sequence[int], rounds: int = 5, most: float = 200.0
) -> Timings:
    """Time versions of one computation, {name: function}, as `function(*make(size))` at rising sizes -> `Timings`.

    A version that is expected to need more than `most` milliseconds at the next size, as many times longer as that is
    larger, is left out from there on.

    Example
    -------
    >>> timings = scaling({"sum": sum, "sorted": sorted}, lambda n: (list(range(n)),), [10, 1000])
    >>> timings.sizes, list(timings.milliseconds)
    ((10, 1000), ['sum', 'sorted'])
    """
    sizes, alive = sorted(sizes), dict(versions)
    milliseconds = {name: {} for name in versions}
    for size, following in zip(sizes, [*sizes[1:], 0], strict=True):
        arguments = make(size)
        taken = interleaved({name: functools.partial(f, *arguments) for name, f in alive.items()}, rounds)
        for name, value in medians(taken).items():
            milliseconds[name][size] = value
        # The shortest round: an interruption shall not end a version.
        alive = {name: f for name, f in alive.items() if min(taken[name]) * following / size <= most}
        if not alive:
            break
    return Timings(tuple(max(milliseconds.values(), key=len)), milliseconds)


def laps(step: Callable[[], Iterable[str]], rounds: int = 7, warm_up: int = 1) -> dict[str, float]:
    """{part: median milliseconds} of a step; `step()` yields the name of a part whenever it has done one."""
    taken = {}
    for n in bar(range(rounds + warm_up), "timing a step", "round"):
        _wait()
        start = time.perf_counter()
        for part in step():
            _wait()
            if n >= warm_up:
                taken.setdefault(part, []).append(1e3 * (time.perf_counter() - start))
            start = time.perf_counter()
    return medians(taken)


def kept(function: Callable) -> int:
    """The bytes of the tensors that autograd keeps from a forward pass for its backward pass, each counted once."""
    sizes = {}

    def note(tensor):
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        _result = function()  # while it lives, no storage is given to another tensor
    return sum(sizes.values())
