"""Unusual scans, made from the usual ones that are held back: what `evaluate(run, stress=True)` asks beside them.

What two scans of BTCV and CHAOS are, on which every network failed: a spleen far larger than any in the training part,
and an MR whose spleen is far brighter than its liver. No training sees these scans, and nothing in them is drawn, so
that every run is asked the same. But the view *organ* trains on the deformation that makes the large spleen, of other
scans and by factors of 0.5 to 2, and *fold* on contrasts like the turned one: what they gain there they were shown.
"""

import dataclasses

import torch
import torch.nn.functional as F

from i2pemd_lite.segmentation.augment import grown, through
from i2pemd_lite.segmentation.layout import CLASSES

SPLEEN = CLASSES.index("spleen")
GROWTH, BRIGHT, THICK = 1.6, 1.5, 3  # times as long; deviations of the volume; slices in one
DECREASING = torch.tensor([0.0, *torch.linspace(1, 0.2, 8)])  # from an eighth of the range on


def large_spleen(image, label):
    """A spleen 1.6 times as long in each direction, four times the volume; see `augment.grown`."""
    return grown(image, label, SPLEEN, GROWTH)


def bright_spleen(image, label):
    """A spleen brighter than it is by 1.5 deviations of the volume, less at its border."""
    return image + BRIGHT * F.avg_pool3d((label == SPLEEN)[None, None].to(image.dtype), 3, 1, 1)[0, 0], label


def turned_contrast(image, label):
    """What was brightest is dark, and the other way round; what is darkest, the air, stays so."""
    return through(image, DECREASING), label


def thick_slices(image, label):
    """Slices three times as thick, between which is what lies on a line."""
    few = (max(1, len(image) // THICK), *image.shape[1:])
    thick = F.interpolate(image[None, None], few, mode="area")
    return F.interpolate(thick, image.shape, mode="trilinear")[0, 0], label


STRESS = {"large spleen": large_spleen, "bright spleen": bright_spleen, "turned contrast": turned_contrast,
          "thick slices": thick_slices}  # fmt: skip
"""Name -> how image and label (D, H, W) of a prepared scan become those of an unusual one."""


def stressed(cases):
    """(name of the stress, case) for each of `STRESS` and each of some prepared cases."""
    for name, change in STRESS.items():
        for case in cases:
            image, label = change(case.image, case.label)
            yield name, dataclasses.replace(case, image=image, label=label)
