"""Everything random by its key: what is drawn in step t depends on (seed, t) alone, so a resumed run draws the same."""

import contextlib
import functools
import hashlib
import random

import numpy as np
import torch

from i2pemd_lite.files import BadInput


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, for the small experiments of a lesson; a `Run` seeds itself."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries that a lesson calls draw from the global state)
    torch.manual_seed(seed)


def generator(*key):
    """A torch generator on the CPU that depends on `key` alone, such as (seed, "batch", step).

    Example
    -------
    >>> torch.equal(torch.rand(3, generator=generator(0, "a", 7)), torch.rand(3, generator=generator(0, "a", 7)))
    True
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") % 2**63)


class Shuffled:
    """An endless shuffled stream of 0..n-1, each pass in a new order, whose every part is known by its position.

    Example
    -------
    >>> stream = Shuffled(3, "labelled", seed=0)
    >>> sorted(stream.take(0, 3).tolist()), torch.equal(stream.take(2, 5), stream.take(0, 7)[2:])
    ([0, 1, 2], True)
    """

    def __init__(self, n, name, seed):
        if n < 1:
            raise BadInput(f"{name}: expected at least one to draw from, found none")
        self.n, self.name, self.seed = n, name, seed

    def take(self, start, count):
        """The `count` indices from position `start` on."""
        passes = range(start // self.n, (start + count - 1) // self.n + 1)
        order = torch.cat([_permutation(self.n, self.seed, self.name, i) for i in passes])
        return order[start - passes[0] * self.n :][:count]


@functools.lru_cache(64)
def _permutation(n, *key):
    return torch.randperm(n, generator=generator(*key))


class Unchanging:
    """What is never changed, so that the forks of a run share it."""

    def __deepcopy__(self, memo):
        return self


class Resident(Unchanging, dict):
    """Tensors that stay on a device, {(device, name): tensors}: a step then copies nothing there and never waits."""

    def on(self, device, name, tensors):
        """The tensors that `tensors()` gives, brought to the device when `name` is first asked for."""
        if (device, name) not in self:
            self[device, name] = tuple(tensor.to(device) for tensor in tensors())
        return self[device, name]


@contextlib.contextmanager
def seeded(*key):
    """Inside: torch's own random numbers depend on `key` alone; outside they stay as they were.

    Example
    -------
    >>> with seeded(0, "weights"):
    ...     first = torch.rand(2)
    >>> with seeded(0, "weights"):
    ...     print(torch.equal(torch.rand(2), first))
    True
    """
    count = torch.cuda.device_count()
    with torch.random.fork_rng(range(count) if count > 1 else None):  # unless they are named, torch warns of several
        torch.manual_seed(generator(*key).initial_seed())
        yield
