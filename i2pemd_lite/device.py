"""Where and at what size things run, and what a GPU refuses, in a sentence."""

import contextlib
import copy
import ctypes
import dataclasses
import math
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator

import numpy as np
import torch

from i2pemd_lite.files import BadInput, refusal

PROFILES = ("ci", "laptop", "gpu")


@dataclasses.dataclass(frozen=True)
class Profile:
    """Where and at what size things run: `ci` (minutes for all lessons), `laptop`, or `gpu` (the paper's setting)."""

    name: str
    device: str
    precision: str  # "float32", or "bfloat16" for mixed precision, or "float64"

    def __str__(self):
        return f"profile {self.name} on {self.device} in {self.precision}"


def profile(name: str | None = None) -> Profile:
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
        _expect(device)
    else:
        device = "cuda" if name in (None, "", "gpu") and torch.cuda.is_available() else "cpu"
    name = name or ("laptop" if device == "cpu" else "gpu")
    return Profile(name, device, "bfloat16" if name == "gpu" and has_bfloat16(device) else "float32")


def _expect(device):
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
        do = "update the driver, or install a torch for an older CUDA, see pytorch.org"
        return f"an NVIDIA driver{version} that is too old for this torch (CUDA {torch.version.cuda}); {do}"
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return f"CUDA_VISIBLE_DEVICES={visible!r}, which leaves none; unset or correct it"
    return "none, or no driver for it; see whether nvidia-smi lists one"


def has_bfloat16(device):
    """Whether the device has instructions for bfloat16, and does not just imitate it."""
    if device == "cpu":  # where it is imitated, it is tens of times slower than float32
        return getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Inside: what a GPU or a disk refuses is a `BadInput` that says what to do. Also a decorator."""
    try:
        yield
    except OSError as error:
        if not (why := refusal(error)):
            raise
        raise BadInput(why) from None
    except RuntimeError as error:
        said = str(error)
        words = next((words for pattern, words in REFUSALS.items() if re.search(pattern, said)), None)
        if words is None:
            raise
        more = re.search(r"Tried to allocate ([\d.]+ \w+)", said)
        free = re.search(r"total capacity of ([\d.]+ \w+) of which ([\d.]+ \w+) is free", said)
        facts = {"more": more[1] if more else "something", "found": f"{free[2]} free of {free[1]}" if free else "less"}
        traceback.clear_frames(error.__traceback__)  # or a notebook, which keeps errors, keeps what filled the memory
        raise BadInput(words.format(**facts)) from None


_GO_ON = "and what had begun goes on with train --resume and its folder"
_OTHER = "choose another with I2PEMD_DEVICE or --device cuda:1"
REFUSALS = {  # what torch says of the GPU itself: the sentence in its place
    "out of memory|ALLOC_FAILED": "GPU: expected room for {more} more, found {found}; close other programs on it "
    f"(nvidia-smi lists them) or {_OTHER}, {_GO_ON}; or begin a smaller one with --set (segmentation: size, batch; "
    "classification: size, labelled, unlabelled)",
    "busy or unavailable": "GPU: expected one that is free, found it busy or unavailable; end the program that has it "
    f"(nvidia-smi lists them) or {_OTHER}, {_GO_ON}",
    "no kernel image": f"GPU: expected one that torch {torch.__version__} was built for, found an older or newer one; "
    "install the build that pytorch.org names for it, or choose the CPU with I2PEMD_DEVICE or --device cpu, " + _GO_ON,
}


def memory(device="cpu"):
    """Bytes of memory that a device has; infinitely many where the system does not tell."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return math.inf


def expect_room(settings):
    """Raise `BadInput` where a training needs more memory than there is, with a value of each setting that fits."""

    def fits(name, value):
        other = copy.copy(settings)
        setattr(other, name, value)
        return other.least_memory() <= room

    room, fitting = memory(profile(settings.profile).device), []
    if (need := settings.least_memory()) <= room:
        return
    room_for = {name: value for name in settings.ROOM if (value := getattr(settings, name)) is not None}
    for name, given in room_for.items():
        value = given
        while not fits(name, value) and np.max(value) > 8:  # halved, to a multiple of 8, which some have to be
            value = tuple(max(n // 16 * 8, 8) for n in value) if isinstance(value, tuple) else max(value // 16 * 8, 8)
        if fits(name, value):
            fitting.append(f"{name} {str(value).strip('()')} in place of {str(given).strip('()')}")
    expected, found = f"what fits into {room / 2**30:.1f} GiB of memory", f"a need of {need / 2**30:.4g} GiB or more"
    do = " or ".join(fitting) or f"less of each of {', '.join(room_for)}"
    raise BadInput(f"settings: expected {expected}, found {found} for weights and a batch; what fits is {do}")


def keep_memory():
    """Let this process keep memory that it gave back, where glibc gives it out: a step takes what the last one had.

    A large tensor is else given back to the system when it goes, and its pages are zeroed again for the next one: a
    seventh of a step of `preset=beyond` on a CPU, 3 % of others, for up to two fifths more memory at the peak.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another system's library, or none by that name
        for name, value in ((-4, 0), (-1, 2**31 - 1)):  # M_MMAP_MAX, M_TRIM_THRESHOLD
            ctypes.CDLL(None).mallopt(name, value)


def peak_memory(device):
    """The most memory that this process has had so far, in MiB; None where the system does not tell.

    On a GPU what torch had allocated there, else what was resident, with the libraries and whatever ran before.
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)
