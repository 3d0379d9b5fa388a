"""Other views of training patches, each drawn by (seed, step) and its own name, and copies of volumes to predict.

Nothing is mirrored. A body is not symmetric: in a mirror the liver lies on the left, and the left kidney is the right
one. The paper's recipe has no augmentation; the preset "beyond" has all of `VIEWS`. Those of `UNUSUAL` can be named
beside them: they show bodies that hardly a training scan has.
"""

import math

import torch
import torch.nn.functional as F

SCALE, TURN, TILT = (0.7, 1.35), 20.0, 8.0  # factors; degrees about z; degrees about y and about x
SEGMENTS, SLOPE = 8, 0.7  # of a curve of intensities; deviation of the log of their slopes
GAIN, OFFSET, BIAS, NOISE = 0.25, 0.2, 0.3, 0.15  # log of a factor; deviations; log of a factor; deviations
COARSE = 2.0  # times as large voxels, at most
WIDE, GROWN = 1.6, 2.0  # factors of a length, of a body and of one organ: 1 / this to this
QUANTILES = 64  # by which one volume gets the intensities of another
COPIES = ((0.0, 1.0), (7.0, 1.0), (-7.0, 1.0), (0.0, 1.1), (0.0, 0.9))
"""(degrees, zoom) of the copies that a prediction is averaged over, in this order."""


def view(image, label, corner, patch, spacing, modality, views, draws, other=None):
    """A patch of a volume, changed in some ways -> image and label, both (d, h, w).

    image, label : (D, H, W) float of mean 0 and variance 1, and uint8; corner : of the patch, (3,) whole numbers
    patch : (d, h, w); spacing : mm of a voxel (z, y, x); views : names of `VIEWS` and `UNUSUAL`
    draws : name -> a CPU `torch.Generator`, so that what one way draws does not hang on the others
    other : such a generator -> the image of a volume of the other modality, for "exchange"
    Noise alone comes from torch's own generator, on the image's device, which `sampling.seeded` seeds in a step.
    """
    place, whole = cut(corner, patch), image
    moves = [move(draws(name)) for name, move in MOVES.items() if name in views]
    image, label = moved(image, label, corner, patch, spacing, moves) if moves else (image[place], label[place])
    if "organ" in views:
        image, label = organ(image, label, draws("organ"))
    if "exchange" in views:
        image = exchange(image, whole, other, draws("exchange"))
    for name, look in LOOKS.items():
        if name in views:
            image = look(image, modality, draws(name))
    return image, label


def cut(corner, patch):
    """Where a patch lies in its volume, as slices."""
    return tuple(slice(a, a + n) for a, n in zip(corner, patch, strict=True))


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
    return _sampled(image, label, grid, "zeros")


def _sampled(image, label, grid, outside):
    """Both at the places of a grid; of the label the nearest, and outside background or its border."""
    sampled = F.grid_sample(image[None, None], grid, "bilinear", "border", align_corners=True)[0, 0]
    classes = F.grid_sample(label[None, None].to(image.dtype), grid, "nearest", outside, align_corners=True)[0, 0]
    return sampled, classes.to(label.dtype)


def scale(draws):
    """A body of another size, 0.7 to 1.35 times as long in each direction, evenly in the logarithm."""
    low, high = map(math.log, SCALE)
    return (low + (high - low) * _uniform(draws, 1)).exp().double() * torch.eye(3).double()


def wide(draws):
    """For every third patch a body of a rare size: 1 / 1.6 to 1.6 times as long, on top of what `scale` does."""
    rare, u = _uniform(draws, 1) < 1 / 3, _signed(draws, 1)
    return (WIDE ** (rare * u)).double() * torch.eye(3).double()


def turn(draws):
    """A body turned about its long axis."""
    return _rotation(TURN * _signed(draws, 1), 1, 2)


def tilt(draws):
    """A body tilted forwards or backwards, and to a side."""
    forwards, aside = TILT * _signed(draws, 2)
    return _rotation(forwards, 0, 1) @ _rotation(aside, 0, 2)


def organ(image, label, draws):
    """For every second patch one of its organs, each alike often, half to twice as long as it is; see `grown`."""
    often, which, u = _uniform(draws, 3).tolist()
    shown = [k for k in label.unique().tolist() if k] if often < 0.5 else []
    return grown(image, label, shown[int(which * len(shown))], GROWN ** (2 * u - 1)) if shown else (image, label)


def grown(image, label, k, factor):
    """Image and label (D, H, W), with organ k larger or smaller by a factor of its length; the rest makes room.

    With r the distance from the organ's middle as a multiple of that of an ellipsoid of its size along each axis, what
    comes to r was at s(r): r / f up to f, so that the organ is f times as long, then evenly on, to s(R) = R at R = 1 +
    max(f, 1). What lies further out stays.
    """
    where = (label == k).nonzero().to(image.dtype)
    if len(where) < 2:
        return image, label
    middle, sides = where.mean(0), where.std(0).clamp(min=0.5) * math.sqrt(5)  # the half axes of such an ellipsoid
    n = torch.tensor(image.shape, device=image.device)
    axes = [(torch.arange(m, device=image.device) - a) / b for m, a, b in zip(n, middle, sides, strict=True)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    r, R = (z.square() + y.square() + x.square()).sqrt().clamp(min=1e-6), 1 + max(factor, 1.0)
    s = torch.where(r < factor, r / factor, 1 + (r - factor) * (R - 1) / (R - factor)).where(r < R, r)
    grid = torch.stack([2 * (middle[a] + sides[a] * s / r * axis) / (n[a] - 1).clamp(min=1) - 1
                        for a, axis in ((2, x), (1, y), (0, z))], -1)[None]  # fmt: skip
    return _sampled(image, label, grid, "border")


def exchange(x, whole, other, draws):
    """For every third patch the look of the other modality: the quantiles of its volume become those of a volume of the
    other one, x → Q'(Q⁻¹(x)), so that what was darkest stays so, and how bright the rest is is the other's."""
    if _uniform(draws, 1) > 1 / 3:
        return x
    part = torch.linspace(0, 1, QUANTILES, device=x.device, dtype=x.dtype)
    own, theirs = (volume[::2, ::4, ::4].flatten().quantile(part) for volume in (whole, other(draws)))
    i = torch.searchsorted(own, x.contiguous()).clamp(1, QUANTILES - 1)
    t = ((x - own[i - 1]) / (own[i] - own[i - 1]).clamp(min=1e-6)).clamp(0, 1)
    return torch.lerp(theirs[i - 1], theirs[i], t)


def curve(x, modality, draws):
    """For every second patch another curve of intensities, which rises from its lowest to its highest."""
    if _uniform(draws, 1) < 0.5:
        return x
    steps = (SLOPE * torch.randn(SEGMENTS, generator=draws)).exp()
    return through(x, torch.cat([torch.zeros(1), steps.cumsum(0) / steps.sum()]))


def fold(x, modality, draws):
    """For every third patch a curve of intensities that rises and falls as it likes; what is darkest stays so."""
    if _uniform(draws, 1) > 1 / 3:
        return x
    return through(x, torch.cat([torch.zeros(1), _uniform(draws, SEGMENTS)]))


def through(x, heights):
    """Other intensities, by a line through these heights, 0 the lowest of x and 1 its highest, evenly far apart."""
    low, heights = x.amin(), heights.to(x.device, x.dtype, non_blocking=True)
    reach = (x.amax() - low).clamp(min=1e-6)
    t = (len(heights) - 1) * (x - low) / reach
    i = t.long().clamp(max=len(heights) - 2)
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


MOVES = {"scale": scale, "turn": turn, "tilt": tilt, "wide": wide}
LOOKS = {"fold": fold, "curve": curve, "gain": gain, "coarse": coarse, "bias": bias, "noise": noise}
UNUSUAL = ("wide", "organ", "fold", "exchange")
"""What makes a patch an unusual one: a size, an organ alone, a contrast, the look of the other modality."""
VIEWS = tuple(name for name in (*MOVES, *LOOKS) if name not in UNUSUAL)
"""What a patch is changed in by the preset, in the order in which it is."""


def _uniform(draws, n):
    return torch.rand(n, generator=draws)


def _signed(draws, n):
    return 2 * torch.rand(n, generator=draws) - 1


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
