"""What every lesson needs and no lesson should show: the opening line, and whether two computations agree."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from i2pemd_lite import __version__
from i2pemd_lite.emd import Numbers
from i2pemd_lite.files import BadInput

_seed = 0


def start(seed: int = 0) -> None:
    """Seed everything, and say under which profile, device, seed and versions the lesson's figures are made."""
    global _seed
    from i2pemd_lite.runs.sampling import seed_everything

    _seed = seed
    seed_everything(seed)
    about = versions()
    print(f"profile {about.pop('profile')} · {about.pop('device')} · seed {about.pop('seed')}")
    print(" · ".join(f"{name} {version}" for name, version in about.items()))


def provenance():
    """The profile and seed of a figure, for its caption."""
    from i2pemd_lite.device import profile

    return f"profile {profile().name}, seed {_seed}"


def versions():
    """What a number depends on: profile, device, seed, and the versions of what computes it."""
    from i2pemd_lite.device import profile

    about = {"profile": profile().name, "device": str(profile().device), "seed": _seed}
    about |= {"i2pemd-lite": __version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "POT"):
        try:
            about[name] = version(name)
        except PackageNotFoundError:
            about[name] = "not installed"
    return about


def agree(name: str, yours: Numbers | float, oracle: Numbers | float, tolerance: float = 1e-9) -> None:
    """Say whether a result agrees with an independent computation of the same thing, and where it does not.

    name : of the comparison
    yours, oracle : numbers, arrays or tensors of one shape
    tolerance : the largest absolute difference that counts as agreement

    One line is printed. Where they do not agree, AssertionError is raised when `I2PEMD_STRICT` is 1.

    Example
    -------
    >>> agree("two sums", 0.3, 0.1 + 0.2)
    two sums: agree. Largest difference 5.6e-17.
    """
    a, b = _numbers(name, yours), _numbers(name, oracle)
    line = f"{name}: do not agree. The shapes are {a.shape} and {b.shape}."
    if a.shape == b.shape:
        gap = np.abs(a - b)
        worst = float(gap.max(initial=0.0))
        if worst <= tolerance:
            return print(f"{name}: agree. Largest difference {worst:.2g}.")
        at = [int(i) for i in np.unravel_index(int(np.argmax(np.nan_to_num(gap, nan=np.inf))), gap.shape)]
        line = f"{name}: do not agree. Largest difference {worst:.3g}{f' at {at}, counted from 0' if at else ''}."
    print(line)
    if os.environ.get("I2PEMD_STRICT") == "1":
        raise AssertionError(line)


def _numbers(name, values):
    values = values.detach().cpu() if hasattr(values, "detach") else values
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadInput(f"{name}: expected numbers, found {type(values).__name__}") from None
