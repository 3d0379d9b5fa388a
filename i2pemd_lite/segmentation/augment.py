"""Other views of training patches, each drawn by (seed, step) and its own name, and copies of volumes to predict.

Nothing is mirrored. A body is not symmetric: in a mirror the liver lies on the left, and the left kidney is the right
one. The paper's recipe has no augmentation; the preset "beyond" has all of `VIEWS`.
"""

import math

import torch
import torch.nn.functional as F

SCALE, TURN, TILT = (0.7, 1.35), 20.0, 8.0  # factors; degrees about z; degrees about y and about x
SEGMENTS, SLOPE = 8, 0.7  # of a curve of intensities; deviation of the log of their slopes
GAIN, OFFSET, BIAS, NOISE = 0.25, 0.2, 0.3, 0.15  # log of a factor; deviations; log of a factor; deviations
COARSE = 2.0  # times as large voxels, at most
COPIES = ((0.0, 1.0), (7.0, 1.0), (-7.0, 1.0), (0.0, 1.1), (0.0, 0.9))
"""(degrees, zoom) of the copies that a prediction is averaged over, in this order."""


def view(image, label, corner, patch, spacing, modality, views, draws):
    """A patch of a volume, changed in some ways -> image and label, both (d, h, w).

    image, label : (D, H, W) float of mean 0 and variance 1, and uint8; corner : of the patch, (3,) whole numbers
    patch : (d, h, w); spacing : mm of a voxel (z, y, x); views : names of `VIEWS`
    draws : name -> a CPU `torch.Generator`, so that what one way draws does not hang on the others
    Noise alone comes from torch's own generator, on the image's device, which `sampling.seeded` seeds in a step.
    """
    place = tuple(slice(a, a + n) for a, n in zip(corner, patch, strict=True))
    moves = [move(draws(name)) for name, move in MOVES.items() if name in views]
    image, label = moved(image, label, corner, patch, spacing, moves) if moves else (image[place], label[place])
    for name, look in LOOKS.items():
        if name in views:
            image = look(image, modality, draws(name))
    return image, label


def moved(image, label, corner, patch, spacing, moves):
    """The patch at `corner` of a body that was moved about the patch's centre by 3 × 3 matrices in mm.

    What comes from outside the volume shows its border and is background. Sampled once, from the whole volume:
    place in it = centre + S⁻¹ M⁻¹ S (place in the patch − its centre), S = diag(spacing).
    """
    S, n, p = (torch.tensor([*each], dtype=torch.float64) for each in (spacing, image.shape, patch))
    back = torch.linalg.inv(torch.linalg.multi_dot([*moves, torch.eye(3).double()])) * S / S[:, None]
    centre = torch.tensor([*corner]) + (p - 1) / 2
    # As affine_grid has it: −1 to 1 from the first voxel to the last along each axis, and x before y before z.
    map_ = torch.cat([back * (p - 1) / (n - 1)[:, None], (2 * centre / (n - 1) - 1)[:, None]], 1)
    map_ = torch.cat([map_[:, :3].flip(0, 1), map_[:, 3:].flip(0)], 1)[None]
    map_ = map_.to(image.device, image.dtype, non_blocking=True)
    grid = F.affine_grid(map_, (1, 1, *patch), align_corners=True)
    sampled = F.grid_sample(image[None, None], grid, "bilinear", "border", align_corners=True)[0, 0]
    classes = F.grid_sample(label[None, None].to(image.dtype), grid, "nearest", "zeros", align_corners=True)[0, 0]
    return sampled, classes.to(label.dtype)


def scale(draws):
    """A body of another size, 0.7 to 1.35 times as long in each direction, evenly in the logarithm."""
    low, high = map(math.log, SCALE)
    return (low + (high - low) * _uniform(draws, 1)).exp().double() * torch.eye(3).double()


def turn(draws):
    """A body turned about its long axis."""
    return _rotation(TURN * _signed(draws, 1), 1, 2)


def tilt(draws):
    """A body tilted forwards or backwards, and to a side."""
    forwards, aside = TILT * _signed(draws, 2)
    return _rotation(forwards, 0, 1) @ _rotation(aside, 0, 2)


def curve(x, modality, draws):
    """For every second patch another curve of intensities, which rises from its lowest to its highest."""
    if _uniform(draws, 1) < 0.5:
        return x
    steps = (SLOPE * torch.randn(SEGMENTS, generator=draws)).exp()
    heights = torch.cat([torch.zeros(1), steps.cumsum(0) / steps.sum()]).to(x.device, x.dtype, non_blocking=True)
    low, reach = _range(x)
    t = SEGMENTS * (x - low) / reach
    i = t.long().clamp(max=SEGMENTS - 1)
    return low + reach * torch.lerp(heights[i], heights[i + 1], t - i)


def gain(x, modality, draws):
    """a x + b: another contrast and brightness."""
    a, b = _signed(draws, 2).to(x.device, x.dtype, non_blocking=True)
    return x * (GAIN * a).exp() + OFFSET * b


def coarse(x, modality, draws):
    """For every fourth patch voxels up to twice as large along z, and in-plane."""
    often, *factors = _uniform(draws, 3).tolist()
    if often > 0.25:
        return x
    sides = [max(1, round(n / COARSE**u)) for n, u in zip(x.shape, (factors[0], factors[1], factors[1]), strict=True)]
    return F.interpolate(F.interpolate(x[None, None], sides, mode="area"), x.shape, mode="trilinear")[0, 0]


def bias(x, modality, draws):
    """Of MR brighter here and darker there, as a coil sees it: (x − min) times a smooth field."""
    if modality != "mr":
        return x
    knots = (BIAS * torch.randn(1, 1, 3, 3, 3, generator=draws)).to(x.device, x.dtype, non_blocking=True)
    field = F.interpolate(knots, x.shape, mode="trilinear", align_corners=True)[0, 0].exp()
    return x.amin() + (x - x.amin()) * field


def noise(x, modality, draws):
    """Noise of a deviation drawn anew for each patch."""
    deviation = (NOISE * _uniform(draws, 1)).to(x.device, x.dtype, non_blocking=True)
    return x + deviation * torch.randn_like(x)


MOVES = {"scale": scale, "turn": turn, "tilt": tilt}
LOOKS = {"curve": curve, "gain": gain, "coarse": coarse, "bias": bias, "noise": noise}
VIEWS = (*MOVES, *LOOKS)
"""What a patch can be changed in, in the order in which it is."""


def _uniform(draws, n):
    return torch.rand(n, generator=draws)


def _signed(draws, n):
    return 2 * torch.rand(n, generator=draws) - 1


def _range(x):
    low = x.amin()
    return low, (x.amax() - low).clamp(min=1e-6)


def _rotation(degrees, one, other):
    """By an angle in the plane of two axes, 3 × 3."""
    angle, M = math.radians(float(degrees)), torch.eye(3).double()
    M[one, one] = M[other, other] = math.cos(angle)
    M[one, other], M[other, one] = -math.sin(angle), math.sin(angle)
    return M


def turned(x, degrees, zoom, back=False):
    """x (N, C, D, H, W) turned and zoomed in-plane about its centre; `back` undoes it. In an oblong plane the turn is
    taken in voxels, or it would shear."""
    (H, W), angle = x.shape[-2:], math.radians(-degrees if back else degrees)
    zoom = 1 / zoom if back else zoom
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    map_ = torch.tensor([[[cos, -sin * H / W, 0], [sin * W / H, cos, 0]]])
    grid = F.affine_grid(map_.to(x), (1, 1, H, W), align_corners=False).expand(len(x), -1, -1, -1)
    return F.grid_sample(x.flatten(1, 2), grid, "bilinear", "border", align_corners=False).view(x.shape)
