"""Weak and strong views of whole batches on their device, each image with its own draw.

A view is made in three steps: a small table of uniform numbers from a CPU generator (the seed decides, not the device);
one affine map an image (crop, rotation, shift, flip and the geometric operations of RandAugment, multiplied together,
so that an image is interpolated once); then the colour operations, each on the images that drew it. Which these are is
known on the CPU, so that no step waits for the device.

RandAugment: Cubuk et al., arXiv:1909.13719; pool of FixMatch: Sohn et al., arXiv:2001.07685, Table 12.
"""

import math
from functools import cache

import torch
from torch.nn import functional as F

from i2pemd_lite.files import BadInput

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ROTATION, SHIFT = 10.0, 0.02  # of the weak view: degrees, share of the side


def plain(images, size):
    """The centre `size` x `size` px of (B, 3, H, W) uint8, normalised, for evaluation."""
    _check(images, size)
    top, left = ((side - size) // 2 for side in images.shape[-2:])
    return normalise(images[..., top : top + size, left : left + size].float())


def normalise(images):
    """(x / 255 - mean) / std by channel, with the mean and standard deviation of ImageNet; x (B, 3, H, W) in 0..255."""
    mean, std = (channels(values, images.device) * 255 for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / std


@cache
def channels(values, device):
    """Three numbers as (3, 1, 1) on a device; kept, because bringing them there waits for it."""
    with torch.inference_mode(False):  # a gradient with respect to the image (VAT) needs them after an evaluation
        return torch.tensor(values, device=device).view(3, 1, 1)


def weak(images, size, generator):
    """A weak view: random crop, rotation within 10 degrees, shift within 2 % of the side, mirrored half of the time.
    images: (B, 3, H, W) uint8, H, W >= size; generator: a CPU `torch.Generator`. Returns (B, 3, size, size) float32,
    normalised, on the device of `images`. Outside the image its mirror image is seen."""
    _check(images, size)
    u = torch.rand(len(images), 6, generator=generator)
    return normalise(warp(images, weak_maps(u, images.shape[-2:], size), size))


def strong(images, size, generator, n=2, m=10, cutout=0.0):
    """A strong view: a weak one, then RandAugment.

    n: operations an image draws from `POOL`; m: 1 to 10, an operation acts with a strength uniform in [0, m / 10], of
    random sign where it has one. cutout: the largest side, as share of `size`, of a square at a random place that is
    set to the mean colour; 0 for none. Otherwise as `weak`. Geometric operations come first, then those on colour, each
    in the order drawn: an image is interpolated once, and every colour operation sees the picture that results.
    """
    _check(images, size)
    if n < 0 or not 0 <= m <= 10 or not 0 <= cutout <= 1:
        raise BadInput(f"strong: expected n >= 0, 0 <= m <= 10 and 0 <= cutout <= 1, found n = {n}, m = {m}, {cutout}")
    u = torch.rand(len(images), 9 + 3 * n, generator=generator)
    choice = (u[:, 9 : 9 + n] * len(POOL)).long()
    strength = u[:, 9 + n : 9 + 2 * n] * m / 10
    sign = torch.where(u[:, 9 + 2 * n :] < 0.5, -1.0, 1.0)
    maps = weak_maps(u[:, :6], images.shape[-2:], size)
    for j in range(n):
        maps = maps @ geometric_maps(choice[:, j], strength[:, j] * sign[:, j], size)
    views = warp(images, maps, size)
    for j in range(n):
        views = colour(views, choice[:, j], strength[:, j], sign[:, j])
    views = normalise(views)
    return cut_out(views, u[:, 6:9], cutout) if cutout else views


def _check(images, size):
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise BadInput(f"images: expected (B, 3, H, W) uint8, found {tuple(images.shape)} {images.dtype}")
    if min(images.shape[-2:]) < size:
        raise BadInput(f"size: expected at most the {min(images.shape[-2:])} px of the images, found {size}")


# Geometry. A map is a 3 x 3 matrix from a place in the view to the place in the image that it shows, both in px from
# their centres, x to the right and y down.


def _maps(xx, xy, x0, yx, yy, y0):
    """(B, 3, 3) from numbers or (B,) tensors: x' = xx x + xy y + x0, y' = yx x + yy y + y0."""
    rows = torch.stack(torch.broadcast_tensors(*map(torch.as_tensor, (xx, xy, x0, yx, yy, y0, 0.0, 0.0, 1.0))), -1)
    return rows.unflatten(-1, (3, 3))


def weak_maps(u, sides, size):
    """(B, 3, 3) maps of weak views from (B, 6) uniform numbers; a crop starts at a whole px."""
    height, width = sides
    top, left = (u[:, 0] * (height - size + 1)).floor(), (u[:, 1] * (width - size + 1)).floor()
    crop = _maps(1.0, 0.0, left - (width - size) / 2, 0.0, 1.0, top - (height - size) / 2)
    angle = torch.deg2rad((2 * u[:, 2] - 1) * ROTATION)
    shift = (2 * u[:, 3:5] - 1) * SHIFT * size
    cos, sin = angle.cos(), angle.sin()
    flip = _maps(torch.where(u[:, 5] < 0.5, -1.0, 1.0), 0.0, 0.0, 0.0, 1.0, 0.0)
    return crop @ _maps(cos, -sin, shift[:, 0], sin, cos, shift[:, 1]) @ flip


def geometric_maps(choice, strength, size):
    """(B, 3, 3) maps of the geometric operations of `POOL` among `choice` (B,), at signed strengths (B,) in [-1, 1].
    Rotate: 30 degrees at 1, anticlockwise. ShearX, ShearY: x' = x + 0.3 y, y' = y + 0.3 x. TranslateX, TranslateY: 0.3
    of the side. Every other operation: the identity."""
    is_ = {name: choice == POOL.index(name) for name in GEOMETRIC}
    s, zero = 0.3 * strength, torch.zeros_like(strength)
    angle = torch.where(is_["Rotate"], math.radians(30) * strength, zero)
    cos, sin = angle.cos(), angle.sin()
    x = cos, torch.where(is_["ShearX"], s, -sin), torch.where(is_["TranslateX"], s * size, zero)
    return _maps(*x, torch.where(is_["ShearY"], s, sin), cos, torch.where(is_["TranslateY"], s * size, zero))


def warp(images, maps, size):
    """(B, 3, size, size) float32 in 0..255: what the maps show of uint8 images; bilinear, mirrored at the border."""
    height, width = images.shape[-2:]
    # grid_sample counts an image's width and height from -1 to 1.
    rows = (maps[:, :2] * torch.tensor([2 / width, 2 / height])[:, None]).to(images.device, non_blocking=True)
    place = torch.arange(size, device=images.device) - (size - 1) / 2
    along_x, along_y = rows[:, None, None, :, 0] * place[:, None], rows[:, None, None, :, 1] * place[:, None, None]
    grid = along_x + (along_y + rows[:, None, None, :, 2])
    return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="reflection", align_corners=False)


# Colour. Every operation takes images (n, 3, H, W) in 0..255 and strengths (n, 1, 1, 1) in [0, 1] with their signs, and
# agrees with Pillow's operation of that name but for its rounding.


def _grey(images):
    return (images * channels((0.299, 0.587, 0.114), images.device)).sum(1, keepdim=True)


def _smoothed(images):
    """By (1 1 1; 1 5 1; 1 1 1) / 13; the outermost pixels stay."""
    smooth = images.clone()
    smooth[..., 1:-1, 1:-1] = (9 * F.avg_pool2d(images, 3, stride=1) + 4 * images[..., 1:-1, 1:-1]) / 13
    return smooth


def away_from(start):
    """The operation towards or away from what `start` makes of the images: factor 1 +- 0.9 strength."""

    def operation(images, strength, sign):
        first = start(images)
        return (first + (1 + 0.9 * strength * sign) * (images - first)).clamp(0, 255)

    return operation


def posterize(images, strength, sign=None):
    """Keep the 8 - floor(4 strength) highest bits."""
    step = 2.0 ** (4 * strength).floor()
    return (images / step).floor() * step


def solarize(images, strength, sign=None):
    """255 - x where x >= 256 (1 - strength)."""
    return torch.where(images >= 256 * (1 - strength), 255 - images, images)


def autocontrast(images, strength=None, sign=None):
    """Stretch each channel to 0..255; a constant channel stays."""
    low, high = images.amin((-2, -1), keepdim=True), images.amax((-2, -1), keepdim=True)
    return torch.where(high - low < 1, images, (images - low) * (255 / (high - low).clamp(min=1)))


def equalize(images, strength=None, sign=None):
    """Flatten each channel's histogram h: x -> (step // 2 + sum_{i < x} h_i) // step, step = (sum h - h_last) // 255.
    h_last counts the brightest value that occurs; a channel with step 0 stays."""
    values = images.round().long().flatten(2)
    count = torch.zeros(*values.shape[:2], 256, device=images.device)
    count.scatter_add_(2, values, torch.ones_like(values, dtype=count.dtype))
    last = count.gather(2, values.amax(2, keepdim=True))
    step = ((values.shape[2] - last) / 255).floor()
    below = count.cumsum(2) - count
    table = (((step / 2).floor() + below) / step.clamp(min=1)).floor().clamp(0, 255)
    return torch.where(step == 0, images.flatten(2), table.gather(2, values)).view_as(images)


COLOUR = {
    "AutoContrast": autocontrast,
    "Brightness": away_from(torch.zeros_like),  # black
    "Color": away_from(_grey),
    "Contrast": away_from(lambda images: _grey(images).mean((-2, -1), keepdim=True)),
    "Equalize": equalize,
    "Posterize": posterize,
    "Sharpness": away_from(_smoothed),
    "Solarize": solarize,
}
GEOMETRIC = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
POOL = (*COLOUR, *GEOMETRIC, "Identity")


def colour(images, choice, strength, sign):
    """Apply to each of (B, 3, H, W) in 0..255 the colour operation it drew; choice, strength, sign: (B,) on the CPU."""
    order, counts = choice.argsort(stable=True), choice.bincount(minlength=len(COLOUR)).tolist()
    how = torch.stack([strength, sign])[:, order].to(images.device, non_blocking=True)[..., None, None, None]
    drawn, result = order.to(images.device, non_blocking=True).split(counts), images.clone()
    for operation, mine, parameters in zip(COLOUR.values(), drawn, how.split(counts, 1), strict=False):
        if len(mine):
            result[mine] = operation(images[mine], *parameters)
    return result


def cut_out(views, u, largest):
    """Set a square of side u_0 * largest * size around (u_1, u_2) * size to 0, the mean colour; u: (B, 3)."""
    size = views.shape[-1]
    half, row, column = (u * u.new_tensor([largest / 2, 1, 1]) * size).to(views.device, non_blocking=True).T
    place = torch.arange(size, device=views.device) + 0.5
    rows, columns = ((place - centre[:, None]).abs() < half[:, None] for centre in (row, column))
    return views.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)
