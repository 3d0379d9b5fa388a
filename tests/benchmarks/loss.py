"""The three-term loss beside what else one could call: medians of forward + backward on float32 logits, int64 labels.

"bound" is the time to read logits and labels once and write the gradient once, at the speed of a copy into memory
already in use. The reference and the version without a compiler take part in every fifth round, since they take longer
than all else.
"""

import importlib.util
import os
import statistics
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from timing import interleaved

from i2pemd_lite.ground import ground_distance
from i2pemd_lite.losses import segmentation_loss, segmentation_loss_reference

SHAPES = [(2, 5, 16, 128, 128), (6, 5, 8, 256, 256)]
QUICK_SHAPES = [(2, 5, 4, 64, 64)]
OURS, YARDSTICK, COPY, BOUND = "segmentation_loss", "F.cross_entropy", "copy of the logits", "bound"


def loss_table(quick, devices=None):
    """The rows of every device and shape."""
    devices = devices or ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    shapes, rounds = (QUICK_SHAPES, 3) if quick else (SHAPES, 15)
    return [row for device in devices for shape in shapes for row in loss_rows(device, shape, rounds)]


def loss_rows(device, shape, rounds):
    """One row for each contestant: what, device, shape, ms, ratios to cross-entropy, to a copy and to the bound."""
    seldom = (f"{OURS}_reference", f"{OURS}, not compiled")
    taken = interleaved(contestants(*batch(device, shape)), rounds, device, seldom)
    milliseconds = {what: statistics.median(values) for what, values in taken.items()}
    logits, labels = (4 * np.prod(shape), 8 * np.prod(shape) / shape[1])
    # A copy moves the logits twice.
    milliseconds[BOUND] = milliseconds.pop("copy into place") * (2 * logits + labels) / (2 * logits)
    return [
        {
            "what": what,
            "where": f"{device} {'x'.join(map(str, shape))}",
            "time": value,
            "unit": "ms",
            "x cross-entropy": value / milliseconds[YARDSTICK],
            "x copy": value / milliseconds[COPY],
            "x bound": value / milliseconds[BOUND],
        }
        for what, value in milliseconds.items()
    ]


def batch(device, shape, seed=0):
    """Logits, labels in organ-like blobs, labels drawn voxel by voxel, and a ground distance."""
    generator = torch.Generator().manual_seed(seed)
    B, K, *space = shape
    coarse = torch.randn(B, K, *(max(2, size // 16) for size in space), generator=generator)
    labels = F.interpolate(coarse, space, mode="trilinear").argmax(1)
    logits = torch.randn(shape, generator=generator) + 2 * F.one_hot(labels, K).movedim(-1, 1)
    drawn = torch.randint(K, labels.shape, generator=generator)
    ground = ground_distance(torch.randn(K, 16, generator=generator))
    return [each.to(device) for each in (logits, labels, drawn, ground)]


def contestants(logits, labels, drawn, ground):
    """Name to a function without arguments that does one forward + backward."""
    leaf, buffer = logits.clone().requires_grad_(), torch.empty_like(logits)

    def both_ways(loss, *given):
        def run():
            leaf.grad = None
            loss(leaf, *given).backward()

        return run

    def plain():
        with mock.patch.dict(os.environ, I2PEMD_COMPILE="0"):
            both_ways(segmentation_loss, labels, ground)()

    found = {
        OURS: both_ways(segmentation_loss, labels, ground),
        f"{OURS}, labels without any order": both_ways(segmentation_loss, drawn, ground),
        f"{OURS}, not compiled": plain,
        f"{OURS}_reference": both_ways(segmentation_loss_reference, labels, ground),
        YARDSTICK: both_ways(F.cross_entropy, labels),
        COPY: logits.clone,
        "copy into place": lambda: buffer.copy_(logits),
    }
    if importlib.util.find_spec("monai"):
        from monai.losses import DiceCELoss

        dice_ce = DiceCELoss(softmax=True, to_onehot_y=True)
        found["monai DiceCELoss (two terms)"] = both_ways(dice_ce, labels[:, None])
    return found
