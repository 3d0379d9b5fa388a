"""Everything random by its key: what is drawn in step t depends on (seed, t) alone, so a resumed run draws the same."""

import contextlib
import hashlib
import random

import numpy as np
import torch

from i2pemd_lite.files import BadInput


def seed_everything(seed):
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
        self.n, self.name, self.seed, self.passes = n, name, seed, {}

    def take(self, start, count):
        """The `count` indices from position `start` on."""
        wanted = range(start // self.n, (start + count - 1) // self.n + 1)
        self.passes = {i: self.passes[i] if i in self.passes else self._permutation(i) for i in wanted}
        return torch.cat(list(self.passes.values()))[start - wanted[0] * self.n :][:count]

    def _permutation(self, i):
        return torch.randperm(self.n, generator=generator(self.seed, self.name, i))


class Resident:
    """Tensors on the device that last asked for them: a step then copies nothing there and never waits.

    Example
    -------
    >>> resident = Resident()
    >>> resident.on("cpu", "images", lambda: (torch.zeros(2), torch.ones(2)))
    (tensor([0., 0.]), tensor([1., 1.]))
    """

    def __init__(self):
        self.device, self.kept = None, {}

    def on(self, device, name, tensors):
        """The tensors that `tensors()` gives, brought to the device when `name` is first asked for."""
        if device != self.device:
            self.device, self.kept = device, {}
        if name not in self.kept:
            self.kept[name] = tuple(tensor.to(device) for tensor in tensors())
        return self.kept[name]

    def __deepcopy__(self, memo):
        return self  # shared by the forks of a run


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
