"""One pass over the logits from which every loss of Eq. 7 follows.

Cross-entropy, soft Dice and I2PEMD (Eq. 8) need only four sums per class, so the logits are read once for the sums and
once for the gradient, which is written in closed form; nothing of the logits' size is kept in between.

The sums have two implementations: plain torch in cache-sized chunks, which runs everywhere, and `fused.c`, which is
compiled in half a second when a process first meets large float32 logits on a CPU and a C compiler is at hand (the
compiler is `CC`, or cc, gcc or clang; `I2PEMD_COMPILE=0` leaves it out). torch.compile and numba were slower here, took
20 to 40 seconds at first use, and numba would be 200 MB more to install.

Off the CPU, the torch version takes all voxels as one chunk and never makes the host wait. Its sums are matrix
products: leave `torch.backends.cuda.matmul.allow_tf32` off. What a compiled one could save there, 8 % of a step, is in
`tests/benchmarks/gpu.md`.
"""

import contextlib
import ctypes
import functools
import itertools
import logging
import os
import shutil
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch

from i2pemd_lite.emd import check_labels
from i2pemd_lite.files import BadInput

SMALL = 2**14  # voxels below which torch alone is as fast
PIECE = 2**15  # voxels a thread takes at a time; fixed, so that sums do not depend on the number of threads
CHUNK = 2**18  # probabilities a chunk of the torch version holds: 1 MB; calls of smaller ones take longer than work
ROW = 2**10  # voxels the torch version sums in the logits' own precision
MOST_CLASSES = 16  # fused.c keeps a voxel's classes in registers


class ClassStatistics(NamedTuple):
    """Sums over the voxels v of each sample b, with probabilities p = softmax(logits) and labels y."""

    counts: torch.Tensor  # (B, K):    counts[b, k]  = #{v : y_v = k}
    nll: torch.Tensor  # (B, K):       nll[b, k]     = Σ_{v : y_v = k} −log p_vk
    mass: torch.Tensor  # (B, K, K):   mass[b, k, i] = Σ_{v : y_v = k} p_vi
    squares: torch.Tensor  # (B, K):   squares[b, k] = Σ_{v not ignored} p_vk²


def class_statistics(logits, labels, ignore_index=-100):
    """The four sums of `ClassStatistics` in one pass, differentiable in the logits.

    logits : (B, K, *S) floating tensor, K >= 2, S any spatial shape, empty for images. Half precision is computed in
        float32. Sums are exact to about 1e-6 of their value for millions of voxels.
    labels : (B, *S) integer tensor of classes 0 to K - 1. Voxels with `ignore_index` count nowhere.

    `BadInput` for shapes, dtypes or devices that do not fit, and for a label that is no class (on CUDA a device-side
    assertion, because looking would make the host wait).

    Example
    -------
    >>> logits = torch.zeros(1, 2, 4, requires_grad=True)
    >>> statistics = class_statistics(logits, torch.tensor([[0, 1, 1, -100]]))
    >>> statistics.counts, statistics.mass
    (tensor([[1., 2.]]), tensor([[[0.5000, 0.5000], [1.0000, 1.0000]]], grad_fn=...))
    >>> (statistics.nll.sum() / statistics.counts.sum()).backward()  # cross-entropy
    """
    if not logits.is_floating_point() or logits.dim() < 2 or logits.shape[1] < 2:
        found = f"{logits.dtype} of shape {tuple(logits.shape)}"
        raise BadInput(f"logits: expected a floating tensor (B, K, *S), K at least 2, found {found}; pass class scores")
    check_labels("logits", logits, labels)
    if labels.device != logits.device:
        raise BadInput(f"labels: expected them on {logits.device}, found {labels.device}; move them there")
    if logits.dtype not in (torch.float32, torch.float64):
        logits = logits.float()
    if labels.dtype not in (torch.uint8, torch.int64):
        labels = labels.long()
    flat = logits.flatten(2) if logits.dim() > 2 else logits[..., None]
    return ClassStatistics(*_Pass.apply(flat, labels.reshape(len(labels), flat.shape[2]), ignore_index))


class _Pass(torch.autograd.Function):
    """(B, K, N) logits and (B, N) labels to the four sums, with the gradient in closed form."""

    @staticmethod
    def forward(ctx, logits, labels, ignore):
        ctx.save_for_backward(logits, labels)
        given = logits.detach(), labels, ignore  # detached, for threads that do not know that autograd is off
        samples, classes, voxels = logits.shape
        suits = logits.device.type == "cpu" and logits.dtype == torch.float32 and classes <= MOST_CLASSES
        compiles = suits and samples * voxels >= SMALL and os.environ.get("I2PEMD_COMPILE") != "0"
        with torch.autocast(logits.device.type, enabled=False):  # bfloat16 sums are wrong, those of the check too
            ctx.ignore, ctx.library = ignore, _compiled(classes) if compiles else None
            counts, nll, mass, squares = _compiled_sums(ctx.library, *given) if ctx.library else _torch_sums(*given)
        ctx.mark_non_differentiable(counts)
        return counts, nll, mass, squares

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, _, g_nll, g_mass, g_squares):
        logits, labels = ctx.saved_tensors
        given = logits.detach(), labels, ctx.ignore, g_nll, g_mass, g_squares
        with torch.autocast(logits.device.type, enabled=False):
            gradient = _compiled_gradient(ctx.library, *given) if ctx.library else _torch_gradient(*given)
        return gradient, None, None


# Plain torch: all samples at once, voxels in chunks of rows.

_CORES = threading.RLock()  # the number of torch's threads is one for the whole process


@contextlib.contextmanager
def alone():
    """Within it torch works in one thread, and nobody else is within it; it gives how many threads there were before,
    which are put back."""
    with _CORES:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield threads
        finally:
            torch.set_num_threads(threads)


def _by_chunk(take, logits):
    """[take(start, end) for every chunk of voxels]: whole rows, then what is left over."""
    samples, classes, voxels = logits.shape
    whole = voxels - voxels % ROW
    on_cpu = logits.device.type == "cpu"
    size = ROW * max(1, CHUNK // max(1, ROW * samples * classes)) if on_cpu else max(1, whole)
    edges = sorted({*range(0, whole, size), whole, voxels})
    chunks = list(itertools.pairwise(edges)) or [(0, 0)]
    if not on_cpu:
        return [take(*chunk) for chunk in chunks]
    with alone() as threads:  # for each thread of ours: torch's own would wait for each other at every operation
        return _share(take, chunks, threads)


def _rows(x, start, end):
    """These voxels of x (B, J, N) as R rows of n: (B, R, J, n)."""
    row = max(1, min(ROW, end - start))
    return x[..., start:end].unflatten(2, ((end - start) // row, row)).transpose(1, 2)


def _read(logits, labels, ignore, start, end):
    """z - max z (B, R, K, n); as numbers 0 or 1 one-hot labels (B, R, K, n) and which are valid (B, R, 1, n)."""
    z, y = _rows(logits, start, end), _rows(labels[:, None], start, end).to(logits.dtype)
    classes = torch.arange(z.shape[2], dtype=z.dtype, device=z.device)[:, None]
    classes = classes.masked_fill(classes == ignore, torch.nan)  # which no label equals
    z = torch.sub(z, z.amax(2, keepdim=True), out=z.new_empty(z.shape))
    return z, torch.eq(y, classes, out=torch.empty_like(z)), y.ne_(ignore)


def _torch_sums(logits, labels, ignore):
    dtype = torch.float32 if logits.device.type == "mps" else torch.float64

    def take(start, end):
        z, one_hot, valid = _read(logits, labels, ignore, start, end)
        p = z.exp()
        total = p.sum(2, keepdim=True)
        p.mul_(valid / total)
        log_p = z.sub_(total.log_()).clamp_(min=torch.finfo(z.dtype).min)  # minus infinity times 0 is no number
        counts = one_hot.sum(3)
        _all_are_classes((counts.sum(2) == valid.sum((2, 3))).all(), z.shape[2], ignore)
        sums = counts, -log_p.mul_(one_hot).sum(3), one_hot @ p.mT, p.square_().sum(3)
        return [each.sum(1, dtype=dtype) for each in sums]

    return [sum(each).to(logits.dtype) for each in zip(*_by_chunk(take, logits), strict=True)]


def _torch_gradient(logits, labels, ignore, g_nll, g_mass, g_squares):
    """t_j = p_j a_j - [j = y] g_nll[y] is dL/dlog p_j; dL/dz_j = t_j - p_j sum_i t_i."""
    gradient = torch.empty_like(logits)
    g_nll, g_mass, g_squares = g_nll[:, None, :, None], g_mass[:, None].mT, g_squares[:, None, :, None]

    def take(start, end):
        z, one_hot, valid = _read(logits, labels, ignore, start, end)
        p = z.exp_()
        p.mul_(valid / p.sum(2, keepdim=True))
        a = (g_mass @ one_hot).addcmul_(g_squares, p, value=2)
        t = a.mul_(p).addcmul_(g_nll, one_hot, value=-1)
        torch.addcmul(t, p, t.sum(2, keepdim=True), value=-1, out=_rows(gradient, start, end))

    _by_chunk(take, logits)
    return gradient


def _all_are_classes(fine, classes, ignore):
    expected = f"labels: expected 0 to {classes - 1} or ignore_index {ignore}, found others; check how many there are"
    if fine.is_cuda:
        torch._assert_async(fine, expected)
    elif fine.device.type == "cpu" and not fine:
        raise BadInput(expected)


# Compiled: voxels in pieces, which as many threads as torch has take in turn.


def _compiled_sums(library, logits, labels, ignore):
    samples, classes, voxels = logits.shape
    sums = [torch.zeros(samples, -(-voxels // PIECE), *shape, dtype=torch.float64)
            for shape in [(classes,), (classes,), (classes, classes), (classes,)]]  # fmt: skip
    bad = _by_piece(library.statistics, logits, labels, ignore, logits, lambda *where: [each[where] for each in sums])
    _all_are_classes(torch.tensor(not any(bad)), classes, ignore)
    return [each.sum(1).to(logits.dtype) for each in sums]


def _compiled_gradient(library, logits, labels, ignore, *upstream):
    gradient = torch.empty_like(logits)
    arrays = [*(each.contiguous() for each in upstream), gradient]
    _by_piece(library.gradient, logits, labels, ignore, gradient, lambda b, _: [each[b] for each in arrays])
    return gradient


def _by_piece(function, logits, labels, ignore, gradient, arrays):
    """What a function of fused.c gives for each piece of each sample; its last arguments are arrays(sample, piece)."""
    samples, _, voxels = logits.shape
    numbers = *logits.stride()[1:], labels.stride(1), labels.element_size(), ignore, *gradient.stride()[1:]
    layout = (ctypes.c_int64 * len(numbers))(*numbers)  # `Layout` there

    def take(b, piece):
        span = piece * PIECE, min((piece + 1) * PIECE, voxels)
        where = [each.data_ptr() for each in arrays(b, piece)]
        return function(logits[b].data_ptr(), labels[b].data_ptr(), *span, layout, *where)

    return _share(take, list(itertools.product(range(samples), range(-(-voxels // PIECE)))), torch.get_num_threads())


def _share(take, todo, threads):
    """[take(*turn) for turn in todo], by so many threads; ctypes and torch let other threads run meanwhile."""
    if threads == 1 or len(todo) < 4:
        return [take(*turn) for turn in todo]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(take, *zip(*todo, strict=True)))


@functools.cache
def _compiled(classes):
    """`fused.c` compiled for this processor and number of classes and checked once, or None, which is said once."""
    compiler = os.environ.get("CC") or next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if not (compiler or "").split():
        return _say_once("no C compiler was found")
    options = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC", "-w", f"-DK={classes}"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        target = f"{folder}/fused.so"
        command = [*compiler.split(), *options, str(Path(__file__).with_name("fused.c")), "-o", target]
        try:
            for processor in (["-march=native"], []):
                result = subprocess.run(command + processor, capture_output=True, timeout=60)
                if result.returncode == 0:
                    break
            result.check_returncode()
            library = ctypes.CDLL(target)
            pointer, count = ctypes.c_void_p, ctypes.c_int64
            library.statistics.argtypes = library.gradient.argtypes = [pointer, pointer, count, count, *[pointer] * 5]
            library.statistics.restype, library.gradient.restype = count, None
        except (OSError, AttributeError, subprocess.SubprocessError) as error:  # AttributeError: it lacks one of them
            return _say_once(f"{compiler} could not compile it ({error})")
    return library if _agrees(library, classes) else _say_once(f"{compiler} compiled it wrongly")


def _agrees(library, classes):
    """Whether the compiled sums and gradient are torch's on a thousand voxels."""
    steps = torch.arange(1000.0)
    logits = (torch.outer(torch.arange(1.0, classes + 1), steps).sin() * 8)[None]
    labels = (steps.long() % (classes + 1))[None]  # class K serves as the ignored one
    mass = torch.arange(1.0 * classes**2).view(1, classes, classes)
    upstream = [mass[:, 1], mass, mass[:, 0]]
    given = logits, labels, classes
    ours = [*_compiled_sums(library, *given), _compiled_gradient(library, *given, *upstream)]
    theirs = [*_torch_sums(*given), _torch_gradient(*given, *upstream)]
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(ours, theirs, strict=True))


_warned = []


def _say_once(why):
    if not _warned:
        _warned.append(why)
        logging.getLogger(__name__).warning("The loss runs in plain torch, some 3 times slower: %s.", why)
