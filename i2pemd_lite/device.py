"""Where and at what size things run, and what a GPU refuses, in a sentence."""

import contextlib
import dataclasses
import importlib.util
import os
import re
import sys
import traceback
import warnings

import torch

from i2pemd_lite.files import BadInput

PROFILES = ("ci", "laptop", "gpu")


@dataclasses.dataclass(frozen=True)
class Profile:
    """Where and at what size things run: `ci` (minutes for all lessons), `laptop`, or `gpu` (the paper's setting)."""

    name: str
    device: str
    precision: str  # "float32", or "bfloat16" for mixed precision, or "float64"

    def __str__(self):
        return f"profile {self.name} on {self.device} in {self.precision}"


def profile(name=None):
    """The profile of that name, or the one that `I2PEMD_PROFILE` names; without either `gpu` where there is one.

    `I2PEMD_DEVICE` names the device of any profile: cpu, cuda, or one of several GPUs, as in cuda:1. Without it `gpu`
    is on the GPU that torch takes first, where there is one, and all else on the CPU.

    Raises `BadInput` for another name, and for a GPU that is not there or that torch cannot use.

    Example
    -------
    >>> profile("ci")
    Profile(name='ci', device='cpu', precision='float32')
    """
    name, device = name or os.environ.get("I2PEMD_PROFILE"), os.environ.get("I2PEMD_DEVICE")
    if name and name not in PROFILES:
        raise BadInput(f"profile: expected one of {', '.join(PROFILES)}, found {name!r}")
    if device:
        _expect_device(device)
    else:
        device = "cuda" if name in (None, "", "gpu") and torch.cuda.is_available() else "cpu"
    name = name or ("laptop" if device == "cpu" else "gpu")
    return Profile(name, device, "bfloat16" if name == "gpu" and has_bfloat16(device) else "float32")


def _expect_device(device):
    if device == "cpu":
        return
    named = re.fullmatch(r"cuda(?::(\d+))?", device)
    if not named:
        raise BadInput(f"device: expected cpu, cuda or cuda:N, found {device!r}; no other was tried yet, so take cpu")
    with warnings.catch_warnings(action="ignore"):  # that a driver is too old, which `no_gpu` says
        available = torch.cuda.is_available()
    if not available:
        raise BadInput(f"device: expected a GPU for {device}, found {no_gpu()}; or take cpu")
    if int(named[1] or 0) >= (count := torch.cuda.device_count()):
        do = "take another number, or let CUDA_VISIBLE_DEVICES name more"
        raise BadInput(f"device: expected a GPU of the {count} that torch sees, from cuda:0 on, found {device}; {do}")


def no_gpu():
    """Why torch sees no GPU, and what to do about it."""
    if torch.version.cuda is None:
        return "a torch without CUDA; install the build that pytorch.org names for the GPU's driver"
    try:
        torch.cuda.init()  # which raises what torch.cuda.is_available() says at most once
        why = "none"
    except (AssertionError, RuntimeError) as error:
        why = str(error)
    if old := re.search(r"driver on your system is too old(?: \(found version (\d+)\))?", why):
        version = f" (CUDA {int(old[1]) // 1000}.{int(old[1]) % 1000 // 10})" if old[1] else ""
        return (
            f"an NVIDIA driver{version} that is too old for this torch (CUDA {torch.version.cuda}); update the driver, "
            "or install a torch for an older CUDA, see pytorch.org"
        )
    if os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
        return f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r}, which leaves none; unset or correct it"
    return "none, or no driver for it; see whether nvidia-smi lists one"


def has_bfloat16(device):
    """Whether the device has instructions for bfloat16, and does not just imitate it."""
    if device == "cpu":
        # On a processor without the instructions bfloat16 is emulated, tens of times slower than float32.
        probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(probe and probe())
    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)


@contextlib.contextmanager
def told():
    """Inside: what a GPU refuses is a `BadInput` that says what to do. Also a decorator.

    Example
    -------
    >>> with told():
    ...     raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity "
    ...                                  "of 8.00 GiB of which 1.50 GiB is free.")
    Traceback (most recent call last):
    i2pemd_lite.files.BadInput: GPU: expected room for 2.00 GiB more, found 1.50 GiB free of 8.00 GiB; ...
    """
    try:
        yield
    except RuntimeError as error:
        if not (words := _refused(str(error))):
            raise
        traceback.clear_frames(error.__traceback__)  # or a notebook, which keeps errors, keeps what filled the memory
        raise BadInput(words) from None


def _refused(words):
    """The sentence on an error of torch that is about the GPU itself; None for another."""
    go_on = "what had begun goes on with train --resume and its folder"
    if re.search("out of memory|ALLOC_FAILED", words):
        asked = re.search(r"Tried to allocate ([\d.]+ \w+)", words)
        free = re.search(r"total capacity of ([\d.]+ \w+) of which ([\d.]+ \w+) is free", words)
        more, found = asked[1] if asked else "something", f"{free[2]} free of {free[1]}" if free else "less"
        return (
            f"GPU: expected room for {more} more, found {found}; close other programs on it (nvidia-smi lists them) or "
            f"choose another with I2PEMD_DEVICE or --device cuda:1, and {go_on}; or begin a smaller one "
            "with --set (segmentation: size, batch; classification: size, labelled, unlabelled)"
        )
    if "busy or unavailable" in words:
        return (
            "GPU: expected one that is free, found it busy or unavailable; end the program that has it (nvidia-smi "
            f"lists them) or choose another with I2PEMD_DEVICE or --device cuda:1, and {go_on}"
        )
    if "no kernel image" in words:
        return (
            f"GPU: expected one that torch {torch.__version__} was built for, found an older or newer one; install the "
            f"build that pytorch.org names for it, or choose the CPU with I2PEMD_DEVICE or --device cpu, and {go_on}"
        )
    return None


def peak_memory(device):
    """The most memory that this process has had so far, in MiB; None where the system does not tell.

    On a GPU what torch had allocated there, else what was resident, with the libraries and whatever ran before.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    if importlib.util.find_spec("resource") is None:  # Windows
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)
