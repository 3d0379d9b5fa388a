"""Weak and strong views: seeds, distinct draws, pixel values, and agreement with Pillow's operations."""

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from i2pemd_lite.classification import augment
from i2pemd_lite.files import BadInput


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(batch=4, side=55, seed=0):
    return torch.randint(0, 256, (batch, 3, side, side), dtype=torch.uint8, generator=generator(seed))


def smooth(batch=4, side=55):
    """Pictures of a limited range whose neighbours differ by a few grey levels."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    waves = [110 + 60 * torch.sin(x / 9 + b) + 50 * torch.cos(y / 7 + c) for b in range(batch) for c in range(3)]
    return torch.stack(waves).view(batch, 3, side, side).round().to(torch.uint8)


def pictures(images):
    return [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]


def tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float()


def denormalise(views):
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (augment.IMAGENET_MEAN, augment.IMAGENET_STD))
    return (views * std + mean) * 255


# Colour: the same strength and sign for each of two pictures, one of noise and one smooth.
# Tolerances: Pillow cuts off its result's fraction (1) and rounds the start of the blend, the grey picture, its mean or
# the smoothed picture, which is then scaled by up to 0.9 (0.5). Operations on whole numbers agree exactly.
ENHANCE = {"Brightness": 1.0, "Color": 1.5, "Contrast": 1.5, "Sharpness": 1.5}


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("strength", [0.0, 0.35, 1.0])
@pytest.mark.parametrize("name", ENHANCE)
def test_enhancing_agrees_with_pillow(name, strength, sign):
    images = torch.cat([noise(1), smooth(1)])
    ours = augment.COLOUR[name](images.float(), torch.full((2, 1, 1, 1), strength), torch.full((2, 1, 1, 1), sign))
    enhance = getattr(ImageEnhance, name)
    for picture, view in zip(pictures(images), ours, strict=True):
        theirs = tensor(enhance(picture).enhance(1 + 0.9 * strength * sign))
        assert (view - theirs).abs().max() <= ENHANCE[name] + 1e-3, (view - theirs).abs().max()


@pytest.mark.parametrize("strength", [0.0, 0.45, 0.6, 1.0])
def test_posterize_and_solarize_are_pillows(strength):
    images, s = noise(2), torch.full((2, 1, 1, 1), strength)
    bits, threshold = 8 - math.floor(4 * strength), 256 * (1 - strength)
    for i, picture in enumerate(pictures(images)):
        assert torch.equal(augment.posterize(images.float(), s)[i], tensor(ImageOps.posterize(picture, bits)))
        assert torch.equal(augment.solarize(images.float(), s)[i], tensor(ImageOps.solarize(picture, threshold)))


def test_equalize_is_pillows():
    # Above 255 pixels a value and below, with gaps, and a constant channel, each takes another path of the formula.
    images = torch.cat([noise(1, 64), smooth(1, 64), noise(1, 64) // 32 * 32])
    images[2, 1] = 77
    ours = augment.equalize(images.float())
    for picture, view in zip(pictures(images), ours, strict=True):
        assert torch.equal(view, tensor(ImageOps.equalize(picture)))


def test_autocontrast_is_pillows_but_for_rounding_down():
    images = torch.cat([smooth(2), torch.full((1, 3, 55, 55), 9, dtype=torch.uint8)])
    ours = augment.autocontrast(images.float())
    for picture, view in zip(pictures(images), ours, strict=True):
        # Pillow's table cuts off the fraction: at most one grey level less.
        difference = view - tensor(ImageOps.autocontrast(picture))
        assert -1e-3 <= difference.min() and difference.max() < 1


# Geometry: the inner part is compared; outside the image ours is mirrored and Pillow's black.
def inner(image):
    return image[..., 18:-18, 18:-18]


def pillows(name, picture, strength):
    """Pillow's operation around the centre of a picture of side n; Pillow maps places counted from the corner."""
    n, s = picture.size[0], 0.3 * strength
    middle = n / 2
    how = {"resample": Image.Resampling.BILINEAR}
    if name == "Rotate":
        return picture.rotate(30 * strength, **how)
    data = {
        "ShearX": (1, s, -s * middle, 0, 1, 0),
        "ShearY": (1, 0, 0, s, 1, -s * middle),
        "TranslateX": (1, 0, s * n, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, s * n),
    }[name]
    return picture.transform(picture.size, Image.Transform.AFFINE, data, **how)


@pytest.mark.parametrize("strength", [-1.0, 0.4, 1.0])
@pytest.mark.parametrize("name", augment.GEOMETRIC)
def test_geometry_agrees_with_pillow(name, strength):
    images = smooth(2)
    choice = torch.full((2,), augment.POOL.index(name))
    maps = augment.geometric_maps(choice, torch.full((2,), strength), 55)
    ours = augment.warp(images, maps, 55)
    for picture, view in zip(pictures(images), ours, strict=True):
        difference = inner(view - tensor(pillows(name, picture, strength)))
        # Both interpolate between the same four pixels; Pillow cuts off the fraction of a grey level.
        assert -1e-3 <= difference.min() and difference.max() <= 1 + 1e-3, (difference.min(), difference.max())
        if strength == 1.0:  # the operation moves pixels at all
            assert inner(view - tensor(picture)).abs().max() > 3


def test_the_other_operations_move_nothing():
    others = torch.tensor([augment.POOL.index(n) for n in augment.POOL if n not in augment.GEOMETRIC])
    maps = augment.geometric_maps(others, torch.ones(len(others)), 55)
    assert torch.equal(maps, torch.eye(3).expand(len(others), 3, 3))


def test_crop_and_flip_keep_pixel_values():
    images = noise(64, 55)
    u = torch.rand(64, 6, generator=generator(1))
    u[:, 2:5] = 0.5  # neither turned nor shifted
    views = augment.warp(images, augment.weak_maps(u, (55, 55), 48), 48)
    top, left = (u[:, :2].T * 8).floor().int()
    assert {0, 7} <= set(top.tolist()) and 0 < (u[:, 5] < 0.5).sum() < 64
    for i in range(64):
        crop = images[i, :, top[i] : top[i] + 48, left[i] : left[i] + 48].float()
        # float32 places: within 2^-23 * 64 px of whole ones, times at most 255 grey levels a px.
        assert (views[i] - (crop.flip(-1) if u[i, 5] < 0.5 else crop)).abs().max() < 0.01


def test_weak_stays_within_its_ranges():
    u = torch.rand(2000, 6, generator=generator())
    u[:, :2], u[:, 5] = 0.5, 1.0  # the middle crop, not mirrored
    maps = augment.weak_maps(u, (55, 55), 48)
    angle = torch.rad2deg(torch.atan2(maps[:, 1, 0], maps[:, 0, 0]))
    assert 9.9 < angle.abs().max() <= 10.001 and angle.min() < -9.9
    shift = maps[:, :2, 2] - 0.5  # the middle of 55 px is half a px off the middle of 48
    assert 0.019 * 48 < shift.abs().max() <= 0.02 * 48 + 1e-4


def test_identity_is_the_weak_view(monkeypatch):
    images = noise(8)
    monkeypatch.setattr(augment, "POOL", ("Identity",))
    monkeypatch.setattr(augment, "GEOMETRIC", ())
    monkeypatch.setattr(augment, "geometric_maps", lambda choice, *_: torch.eye(3).expand(len(choice), 3, 3))
    monkeypatch.setattr(augment, "COLOUR", {})
    ours = augment.strong(images, 48, generator())
    u = torch.rand(8, 15, generator=generator())[:, :6]
    weak = augment.normalise(augment.warp(images, augment.weak_maps(u, (55, 55), 48), 48))
    assert torch.equal(ours, weak)


@pytest.mark.parametrize("view", [augment.weak, augment.strong])
def test_a_seed_repeats_exactly(view):
    images = noise(16)
    first, again, other = (view(images, 48, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (16, 3, 48, 48) and first.dtype == torch.float32


def test_consecutive_draws_differ_and_the_state_resumes():
    images, g = noise(4), generator()
    first, state = augment.strong(images, 48, g), g.get_state()
    second = augment.strong(images, 48, g)
    assert not torch.equal(first, second)
    assert torch.equal(augment.strong(images, 48, generator(9).set_state(state)), second)


@pytest.mark.parametrize("view", [augment.weak, augment.strong])
def test_identical_images_get_distinct_views(view):
    views = view(noise(1).expand(48, 3, 55, 55), 48, generator())
    assert len({v.numpy().tobytes() for v in views}) == 48


def test_every_operation_is_drawn_equally_and_acts_on_its_own_images_only():
    choice = torch.arange(len(augment.POOL)).repeat(3)[torch.randperm(42, generator=generator())]
    images, half, one = smooth(1).float().expand(42, 3, 55, 55), torch.full((42,), 0.7), torch.ones(42)
    views = augment.colour(images, choice, half, one)
    for k, name in enumerate(augment.POOL):
        mine = views[choice == k]
        s = torch.full((3, 1, 1, 1), 0.7)
        alone = augment.COLOUR[name](images[:3], s, torch.ones_like(s)) if name in augment.COLOUR else images[:3]
        assert torch.equal(mine, alone), name
        assert torch.equal(mine, images[:3]) == (name not in augment.COLOUR), name


def test_strength_grows_with_m():
    images = noise(64)
    weak = denormalise(augment.strong(images, 48, generator(), m=0))
    change = [(denormalise(augment.strong(images, 48, generator(), m=m)) - weak).abs().mean() for m in (2, 5, 10)]
    assert 1 < change[0] < change[1] < change[2]


def test_cutout_covers_a_square_of_its_own_in_each_image():
    views, u = torch.ones(200, 3, 48, 48), torch.rand(200, 3, generator=generator())
    cut = augment.cut_out(views, u, 0.5)
    rows, columns = (cut[:, 0] == 0).any(2).sum(1), (cut[:, 0] == 0).any(1).sum(1)
    assert torch.equal(((cut == 0).sum((1, 2, 3)) // 3), rows * columns)
    assert rows.max() <= 24 and columns.max() <= 24 and rows.max() >= 22
    assert len(torch.unique(rows)) > 10
    assert torch.equal(cut.amin(1), cut.amax(1))
    whole, cut = (augment.strong(noise(), 48, generator(), cutout=c) for c in (0.0, 0.5))
    assert torch.equal(torch.where(cut == 0, cut, whole), cut) and (cut == 0).any()


def test_plain_is_the_normalised_centre():
    images = noise(2, 55)
    centre = images[..., 3:51, 3:51].double() / 255
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(3, 1, 1)
    assert (augment.plain(images, 48) - (centre - mean) / std).abs().max() < 1e-5  # float32


@pytest.mark.parametrize(
    "images, size, settings, words",
    [
        (torch.zeros(2, 3, 55, 55), 48, {}, "uint8, found .* torch.float32"),
        (torch.zeros(2, 1, 55, 55, dtype=torch.uint8), 48, {}, r"found \(2, 1, 55, 55\)"),
        (noise(), 64, {}, "at most the 55 px"),
        (noise(), 48, {"m": 11}, "m = 11"),
        (noise(), 48, {"cutout": 2}, "2"),
    ],
)
def test_bad_input_is_named(images, size, settings, words):
    with pytest.raises(BadInput, match=words):
        augment.strong(images, size, generator(), **settings)
