"""Other views of training patches, and of volumes to predict: each patch with its own draw, whole batches at once.

Nothing is mirrored. A body is not symmetric: in a mirror the liver lies on the left, and the left kidney is the right
one. The paper's recipe has no augmentation; the preset "beyond" has this one.
"""

import math

import torch
import torch.nn.functional as F

ROTATION, ZOOM, SHIFT, BEND = 12.0, 0.15, 0.06, 0.03  # degrees; log of a factor; shares of the side
CONTRAST, BRIGHTNESS, GAMMA, NOISE = 0.25, 0.2, 0.35, 0.12  # log of a factor; deviations; log of a power; deviations
KNOTS = 4  # of the bending, along each side
COPIES = ((0.0, 1.0), (7.0, 1.0), (-7.0, 1.0), (0.0, 1.1), (0.0, 0.9))
"""(degrees, zoom) of the copies that a prediction is averaged over, in this order."""


def augmented(images, labels, generator):
    """Patches turned, zoomed, shifted and bent in-plane, with another contrast, brightness, gamma, and noise.

    images: (B, 1, D, H, W) of mean 0 and variance 1; labels: (B, D, H, W) uint8, on one device; generator: a CPU
    `torch.Generator`, from which all but the noise is drawn; the noise comes from torch's own, which `sampling.seeded`
    seeds in a step. Returns images and labels of the same shapes; a voxel from outside the patch shows its border and
    is background.
    """
    B, side = len(images), images.shape[-2:]
    u = 2 * torch.rand(B, 7, generator=generator) - 1
    knots = 2 * BEND * (2 * torch.rand(B, 2, KNOTS, KNOTS, generator=generator) - 1)
    u, knots = (draw.to(images.device, non_blocking=True) for draw in (u, knots))
    maps = in_plane(u[:, 0] * math.radians(ROTATION), (ZOOM * u[:, 1]).exp(), 2 * SHIFT * u[:, 2:4], side)
    bend = F.interpolate(knots, side, mode="bicubic", align_corners=True).movedim(1, -1)
    grid = F.affine_grid(maps, (B, 1, *side), align_corners=False) + bend
    views = F.grid_sample(images[:, 0], grid, "bilinear", "border", align_corners=False)
    classes = F.grid_sample(labels.float(), grid, "nearest", "zeros", align_corners=False).to(labels.dtype)
    return intensities(views, *u[:, 4:, None, None, None].unbind(1))[:, None], classes


def intensities(x, contrast, brightness, gamma):
    """x (B, D, H, W) by another scanner: range^γ within its own range, then a x + b, then noise; draws in [-1, 1]."""
    low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
    reach = (high - low).clamp(min=1e-6)
    x = low + reach * ((x - low) / reach).clamp(0, 1) ** (GAMMA * gamma).exp()
    x = x * (CONTRAST * contrast).exp() + BRIGHTNESS * brightness
    return x + NOISE * torch.rand_like(x[:, :1, :1, :1]) * torch.randn_like(x)


def in_plane(angle, zoom, shift, side):
    """(B, 2, 3) maps for `affine_grid` from angles (radians), zooms and shifts (B, 2) in half sides (x, y). In an
    oblong plane the turn is taken in voxels, or it would shear."""
    cos, sin, oblong = angle.cos() / zoom, angle.sin() / zoom, side[0] / side[1]
    rows = (torch.stack([cos, -sin * oblong, shift[:, 0]], 1), torch.stack([sin / oblong, cos, shift[:, 1]], 1))
    return torch.stack(rows, 1)


def turned(x, degrees, zoom, back=False):
    """x (N, C, D, H, W) turned and zoomed in-plane about its centre; `back` undoes it."""
    side = x.shape[-2:]
    degrees, zoom = (-degrees, 1 / zoom) if back else (degrees, zoom)
    angle = torch.tensor([math.radians(degrees)])
    maps = in_plane(angle, torch.tensor([zoom]), torch.zeros(1, 2), side)
    grid = F.affine_grid(maps.to(x), (1, 1, *side), align_corners=False).expand(len(x), -1, -1, -1)
    return F.grid_sample(x.flatten(1, 2), grid, "bilinear", "border", align_corners=False).view(x.shape)
