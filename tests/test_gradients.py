"""The gradients of every network under each level of the processor's instructions, with the heap watched.

oneDNN chooses a convolution's code by processor, layout, channels and threads, and such code can be wrong in one case
alone: with few channels the weight gradient of a strided 1 x 1 convolution wrote past a buffer, and in bfloat16 that of
a 3 x 3 x 3 one over two slices was what lay in memory. Run as a program this file compares all of them, each level in a
process of its own, since oneDNN asks for the level only once.
"""

import itertools
import multiprocessing
import os
import subprocess
import sys
import time

import pytest
import torch
from torch.nn import functional as F

from i2pemd_lite.classification.network import build
from i2pemd_lite.segmentation.network import SHARING, ResidualUNet, UNet

# width, depth
SMALL = [(1, 1), (2, 2), (3, 1), (4, 3), (5, 1), (6, 1), (7, 1), (8, 2), (9, 1), (12, 1), (15, 1), (16, 1)]
UNETS = [(1, 1), (2, 3), (3, 5), (4, 8), (5, 4), (7, 2), (1, 16), (3, 1), (4, 9), (2, 17)]  # width, d
RESIDUAL = [(2, 1), (2, 3), (3, 5), (4, 8), (8, 16)]  # one voxel of one channel, normalised, is rounding alone


def networks():
    """What each is called, the network, the shape of its images, and what else it is told."""
    for width, depth in SMALL:
        yield f"Small, width {width}, depth {depth}", build("small", width=width, depth=depth), (12, 3, 32, 32), ()
    yield "DenseNet121", build("densenet121"), (2, 3, 32, 32), ()
    ways = [(sharing, upconv) for sharing in SHARING for upconv in ("cicek", "ummkd")]
    for (sharing, upconv), (width, dim) in zip(ways, UNETS, strict=True):
        name = f"UNet, {sharing}, {upconv}, width {width}, d {dim}"
        yield name, UNet(sharing, width, dim, upconv=upconv, init="torch"), (4, 1, 8, 8, 16), ((2, 2),)
    for sharing, (width, dim) in zip(SHARING, RESIDUAL, strict=True):
        name = f"ResidualUNet, {sharing}, width {width}, d {dim}"
        yield name, ResidualUNet(sharing, width, dim), (2, 1, 8, 64, 64), ((1, 1),)


def gradients(network, images, more, weights):
    """By parameter, of the sum of all outputs times weights, which are drawn here where there are none yet."""
    outputs = network(images, *more)
    weights += [torch.randn(output.shape) for output in outputs[len(weights) :]]
    total = sum((output * weight).sum() for output, weight in zip(outputs, weights, strict=True))
    return dict(zip(dict(network.named_parameters()), torch.autograd.grad(total, [*network.parameters()]), strict=True))


def expected():
    """Each network with its images, the weights of its outputs, and its gradients in float64 without oneDNN."""
    # Where float32 and float64 lie on two sides of a kink, gradients differ by percents: all kinks are made smooth.
    F.relu = F.leaky_relu = lambda x, *_, **__: F.silu(x)
    F.max_pool2d = lambda x, size, stride, padding, *_, **__: F.avg_pool2d(x, size, stride, padding)
    F.max_pool3d = lambda x, size, *_, **__: F.avg_pool3d(x, size)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name, network, shape, more in networks():
        layout = torch.channels_last if len(shape) == 4 else network.LAYOUT
        # In training mode a batch's own statistics make some gradients zero but for rounding.
        network.eval().to(memory_format=layout)
        images = torch.randn(shape).contiguous(memory_format=layout)
        with torch.backends.mkldnn.flags(enabled=False):
            network.double()
            weights = []
            yield name, network, images, more, weights, gradients(network, images, more, weights)
        network.float()


def compare(level, cases):
    """Raise for the first gradient that is off by more than 1e-4 of its largest entry, in bfloat16 by all of it.

    Rounding moves them by up to 3.5e-5 here, in bfloat16 by up to 0.43; the strided 1 x 1 convolution moved one by half
    of it, and what lies in memory is far larger than any gradient, since glibc fills it so.
    """
    os.environ.pop("ONEDNN_MAX_CPU_ISA", None)
    if level:
        os.environ["ONEDNN_MAX_CPU_ISA"] = level
    ways = (False,) if level else (False, True)  # whether in bfloat16, with all that the processor has for it
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for (name, network, images, more, weights, right), mixed in itertools.product(cases, ways):
            print(f"{level or 'no level'}, {threads} threads{', bfloat16' * mixed}: {name}", flush=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                found = gradients(network, images, more, weights)
            for parameter, gradient in found.items():
                off = float((gradient - right[parameter]).abs().max() / right[parameter].abs().max())
                assert off < (1 if mixed else 1e-4), f"the gradient of {parameter} is off by {off:.1e}"


def main():
    cases = [*expected()]
    until = time.monotonic() + 240
    for level in ("SSE41", "AVX2", ""):
        process = multiprocessing.get_context("fork").Process(target=compare, args=(level, cases))
        process.start()
        process.join(max(0, until - time.monotonic()))
        if process.exitcode != 0:
            process.kill()
            sys.exit(f"The last case above ended with {process.exitcode or 'nothing within 240 s'}.")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc watches the heap, and oneDNN's levels are those of x86")
def test_every_gradient_is_that_of_float64_at_every_level_and_the_heap_stays_whole():
    # A thread that waits for work spins by default, which on a busy machine costs more than the work.
    watched = {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "1",
               "OMP_WAIT_POLICY": "PASSIVE"}  # fmt: skip
    done = subprocess.run([sys.executable, __file__], env=os.environ | watched, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    main()
