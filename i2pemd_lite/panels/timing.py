"""How long things take: side by side, in medians, because a machine does other work meanwhile.

All functions that are compared run once in a round, in an order that rotates, so that whatever slows the machine down
for a while slows all of them. Read the ratios: the milliseconds are those of one machine in one minute.
"""

import functools
import statistics
import time
from typing import NamedTuple

import torch

from i2pemd_lite.files import BadInput


class Timings(NamedTuple):
    """`milliseconds[name][size]`, the median time of each version at each size; slow ones lack the large sizes."""

    sizes: tuple
    milliseconds: dict


def interleaved(functions, rounds=7, warm_up=1):
    """The milliseconds that each function took in each round.

    Parameters
    ----------
    functions : {name: function without arguments}
    rounds : how often each runs; warm_up : rounds before these that are not counted, in which memory is first touched

    Returns
    -------
    {name: list of `rounds` milliseconds}

    Example
    -------
    >>> taken = interleaved({"short": lambda: time.sleep(0.001), "long": lambda: time.sleep(0.02)}, rounds=3)
    >>> [len(values) for values in taken.values()], medians(taken)["long"] >= 20
    ([3, 3], True)
    """
    names = list(functions)
    if not names or rounds < 1:
        raise BadInput(f"functions, rounds: expected at least one of each, found {len(names)} and {rounds}")
    taken = {name: [] for name in names}
    for number in range(rounds + warm_up):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            value = once(functions[name])
            if number >= warm_up:
                taken[name].append(value)
    return taken


def medians(taken):
    """{name: the median}, which one interrupted round does not move.

    Example
    -------
    >>> medians({"a": [1.0, 2.0, 90.0]})
    {'a': 2.0}
    """
    return {name: statistics.median(values) for name, values in taken.items()}


def once(function):
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


def scaling(versions, make, sizes, rounds=5, most=200.0):
    """Time versions of one computation at rising sizes.

    Parameters
    ----------
    versions : {name: function}, called as `function(*make(size))`
    sizes : whole numbers;  most : milliseconds; a version that is expected to need more at the next size, as many
        times longer as that is larger, is left out from there on

    Returns
    -------
    Timings

    Example
    -------
    >>> found = scaling({"sum": sum, "sorted": sorted}, lambda n: (list(range(n)),), [10, 1000])
    >>> found.sizes, list(found.milliseconds), len(found.milliseconds["sum"])
    ((10, 1000), ['sum', 'sorted'], 2)
    """
    sizes, alive = tuple(sorted(sizes)), dict(versions)
    found = {name: {} for name in versions}
    for number, size in enumerate(sizes):
        given = make(size)
        taken = interleaved({name: functools.partial(f, *given) for name, f in alive.items()}, rounds)
        for name, value in medians(taken).items():
            found[name][size] = value
        if number + 1 < len(sizes):
            growth = sizes[number + 1] / size
            # The shortest round: an interruption shall not end a version.
            alive = {name: f for name, f in alive.items() if min(taken[name]) * growth <= most}
        if not alive:
            return Timings(sizes[: number + 1], found)
    return Timings(sizes, found)


def laps(step, rounds=7, warm_up=1):
    """The median milliseconds of the parts of a step.

    Parameters
    ----------
    step : a function that yields a name whenever it has done a part

    Example
    -------
    >>> def step():
    ...     time.sleep(0.02)
    ...     yield "long"
    ...     yield "nothing"
    >>> found = laps(step, rounds=3)
    >>> list(found), found["long"] > 10 * found["nothing"]
    (['long', 'nothing'], True)
    """
    taken = {}
    for number in range(rounds + warm_up):
        _wait()
        start = time.perf_counter()
        for part in step():
            _wait()
            now = time.perf_counter()
            if number >= warm_up:
                taken.setdefault(part, []).append(1e3 * (now - start))
            start = time.perf_counter()
    return medians(taken)


def kept(function):
    """The bytes of the tensors that autograd keeps from a forward pass for its backward pass, each counted once.

    Example
    -------
    >>> x = torch.zeros(1000, requires_grad=True)
    >>> kept(lambda: x.exp().sum()), kept(lambda: x.sum())
    (4000, 0)
    """
    held = {}

    def note(tensor):
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = function()  # while it lives, no storage is given to another tensor
    del result
    return sum(held.values())
