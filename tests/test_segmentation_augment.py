"""Views of patches: what they keep, what repeats, and that a view is undone where a prediction is averaged over it."""

import math
from functools import partial

import pytest
import torch

from i2pemd_lite import BadInput, segmentation
from i2pemd_lite.runs.sampling import generator, seeded
from i2pemd_lite.segmentation import augment
from i2pemd_lite.segmentation.learner import largest_pieces


def body(side=48):
    """A batch of two bodies, an off-centre disc of organ 1 in each, brighter than what is around it."""
    y, x = torch.meshgrid(*[torch.arange(side) - side / 2] * 2, indexing="ij")
    labels = (((x - 6) ** 2 + (y + 4) ** 2) < 64).to(torch.uint8).expand(2, 8, -1, -1).clone()
    return labels[:, None].float() * 2 - 0.5, labels


def ball(shape, spacing, radius, at=0.0):
    """A volume with an organ 1 that is a ball of a radius in mm, its middle so many mm from that of the volume."""
    axes = [(torch.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, spacing, strict=True)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    label = ((z - at) ** 2 + y**2 + x**2 < radius**2).to(torch.uint8)
    return label.float() * 2 - 0.5, label


SPACING, PATCH = (5.0, 2.5, 2.5), (16, 32, 32)
VOLUME = ball((24, 48, 64), SPACING, 30.0)
CORNER = (4, 8, 16)  # of the patch in the middle


def view(views, seed=0, modality="mr", volume=VOLUME, corner=CORNER):
    with seeded(seed, "noise"):
        draws = partial(generator, seed)
        return augment.view(*volume, corner, PATCH, SPACING, modality, views, draws, lambda _: 3 * volume[0].square())


def test_without_views_a_patch_is_as_it_was_scanned():
    image, label = view((), corner=(1, 2, 3))
    assert torch.equal(image, VOLUME[0][1:17, 2:34, 3:35]) and torch.equal(label, VOLUME[1][1:17, 2:34, 3:35])


def test_a_patch_that_is_not_moved_is_sampled_where_it_is_cut():
    noise = torch.randn(24, 48, 64)
    label = (5 * torch.rand(24, 48, 64)).to(torch.uint8)
    place = slice(7, 23), slice(11, 43), slice(30, 62)
    image, classes = augment.moved(noise, label, (7, 11, 30), PATCH, SPACING, [torch.eye(3).double()])
    torch.testing.assert_close(image, noise[place], atol=1e-4, rtol=0)
    assert torch.equal(classes, label[place])


@pytest.mark.parametrize("factor", [0.7, 1.35])
def test_a_ball_grows_by_the_factor_and_stays_a_ball(factor):
    """In mm along each axis: where nothing is cut, 2 r f / spacing voxels are in it."""
    _, label = augment.moved(*VOLUME, CORNER, PATCH, SPACING, [factor * torch.eye(3).double()])
    for axis, mm in enumerate(SPACING):
        others = [a for a in range(3) if a != axis]
        assert label.any(others[1]).any(others[0]).sum() * mm == pytest.approx(60 * factor, abs=1.01 * mm)


def test_a_turn_is_one_of_millimetres():
    """A ball 25 mm above the middle of the patch lies 25 sin 30° before or behind it after a tilt by 30°."""
    image, label = ball((24, 48, 64), SPACING, 10.0, at=25.0)
    z, y, x = (torch.stack([*augment.moved(image, label, CORNER, PATCH, SPACING, [augment._rotation(30.0, 0, 1)])[1]
                            .nonzero().T]).double().mean(1) - torch.tensor([7.5, 15.5, 15.5])) * torch.tensor(SPACING)
    assert (z.item(), y.item(), x.item()) == pytest.approx((21.65, 12.5, 0.0), abs=1.5)


def test_moves_stay_in_their_range_and_mirror_nothing():
    for seed in range(200):
        scale, turn, tilt, wide = (move(generator(seed, name)) for name, move in augment.MOVES.items())
        assert 0.7**3 < torch.linalg.det(scale) < 1.35**3 and 1.6**-3 < torch.linalg.det(wide) < 1.6**3
        for turned, degrees in ((turn, 20.0), (tilt, 11.4)):  # two tilts by 8 at right angles are one by 11.3
            torch.testing.assert_close(torch.linalg.det(turned), torch.tensor(1.0).double())
            assert math.degrees(math.acos(min(1.0, (torch.trace(turned).item() - 1) / 2))) <= degrees
        assert turn[0].tolist() == [1, 0, 0]  # about the long axis of the body


@pytest.mark.parametrize("name", augment.VIEWS + augment.UNUSUAL)
def test_each_view_changes_the_patch_by_its_own_draw(name):
    same = partial(torch.allclose, atol=1e-4) if name == "wide" else torch.equal  # it samples what it keeps, too
    changed = [seed for seed in range(24) if not same(view((name,), seed)[0], view((), seed)[0])]
    seldom = {"curve": range(6, 19), "organ": range(6, 19)} | dict.fromkeys(("coarse", "wide", "fold"), range(2, 15))
    often = (seldom | {"exchange": range(2, 15)}).get(name, [24])
    assert len(changed) in often
    one, other = changed[:2]
    assert torch.equal(view((name,), one)[0], view((name,), one)[0])
    if name != "exchange":  # which draws whether, and from whom, but not how
        assert not torch.equal(view((name,), one)[0], view((name,), other)[0])
    alike = all(torch.equal(view((name,), seed)[1], view((), seed)[1]) for seed in changed)
    assert alike == (name not in {*augment.MOVES, "organ"})


def test_a_view_draws_the_same_whichever_others_are_in():
    """The gain of a patch that is turned, too: a x + b with the same a and b."""
    plain, alone = view(())[0], view(("gain",))[0]
    turned, both = view(("turn",))[0], view(("turn", "gain"))[0]
    a = (alone.max() - alone.min()) / (plain.max() - plain.min())
    torch.testing.assert_close(both, a * turned + (alone.min() - a * plain.min()), atol=1e-5, rtol=0)


def test_labels_follow_their_image():
    for seed in range(8):
        image, label = view(augment.VIEWS, seed)
        assert image[label == 1].mean() - image[label == 0].mean() > 0.5
        assert label.dtype == torch.uint8 and set(label.unique().tolist()) == {0, 1}


@pytest.mark.parametrize("factor", [0.6, 1.6])
def test_one_organ_grows_alone_and_what_lies_far_from_it_stays(factor):
    """A ball of 15 mm, and another organ 60 mm away from it: lengths, labels with their image, places."""
    image, label = ball((24, 48, 64), SPACING, 15.0)
    image, label = image.roll(-14, 2), label.roll(-14, 2)
    label[:, :, 50:] = 2
    grown, classes = augment.grown(image, label, 1, factor)
    for axis, mm in enumerate(SPACING):
        others = tuple(a for a in range(3) if a != axis)
        shown = [(each == 1).sum(others).count_nonzero().item() for each in (label, classes)]
        assert shown[1] * mm == pytest.approx(shown[0] * mm * factor, abs=1.01 * mm)
    volumes = [(each == 1).sum().item() for each in (label, classes)]
    assert volumes[1] / volumes[0] == pytest.approx(factor**3, rel=0.12)
    assert grown[classes == 1].mean() > 1.2 > -0.3 > grown[classes == 0].mean()
    assert torch.equal(classes == 2, label == 2)
    torch.testing.assert_close(grown[:, :, 50:], image[:, :, 50:], atol=1e-4, rtol=0)
    assert all(torch.equal(a, b) for a, b in zip(augment.grown(image, label, 4, factor), (image, label), strict=True))


def test_a_fold_turns_contrasts_and_keeps_the_darkest():
    x = torch.linspace(-1, 3, 400).reshape(4, 10, 10)
    folds = [y for seed in range(60) if not torch.equal(y := augment.fold(x, "mr", generator(seed)), x)]
    assert 10 < len(folds) < 30 and all(y.min() == y[0, 0, 0] == -1 and y.max() <= 3 for y in folds)
    assert all((y.flatten().diff() < 0).any() for y in folds)


def test_an_exchanged_patch_has_the_quantiles_of_the_other_volume():
    whole, theirs = torch.randn(32, 64, 64), torch.rand(32, 64, 64) ** 2
    changed = [y for seed in range(30) if not torch.equal(y := augment.exchange(whole, whole, lambda _: theirs,
                                                                              generator(seed)), whole)]  # fmt: skip
    q = torch.linspace(0, 1, 9)
    assert 2 < len(changed) < 20
    torch.testing.assert_close(changed[0].flatten().quantile(q), theirs.flatten().quantile(q), atol=0.08, rtol=0)
    order = whole.flatten().argsort()
    assert (changed[0].flatten()[order].diff() >= 0).all()


def test_a_curve_rises_and_keeps_both_ends():
    x = torch.linspace(-1, 3, 400).reshape(4, 10, 10)
    curves = [augment.curve(x, "ct", generator(seed)) for seed in range(20)]
    for y in curves:
        assert (y.flatten().diff() > 0).all() and (y.min(), y.max()) == (-1, pytest.approx(3, abs=1e-5))
    assert max((y - x).abs().max() for y in curves) > 0.5


def test_a_bias_field_is_of_mr_alone_and_smooth():
    x = torch.ones(8, 64, 64)
    x[0, 0, 0] = 0.0
    assert torch.equal(augment.bias(x, "ct", generator(0)), x)
    field = augment.bias(x, "mr", generator(0))
    assert field[0, 0, 0] == 0 and field[1:].std() > 0.05 and field[1:].diff(dim=2).abs().max() < 0.1


@pytest.mark.parametrize("copy", augment.COPIES[1:])
def test_a_turned_prediction_is_turned_back(copy):
    images, labels = body()
    p = torch.stack([1.0 - labels.float(), labels.float()], 1)
    again = augment.turned(augment.turned(p, *copy), *copy, back=True).argmax(1)
    overlap = 2 * (again * labels).sum() / (again.sum() + labels.sum())
    wrong = augment.turned(augment.turned(p, *copy), *copy).argmax(1)
    assert overlap > 0.97 > 2 * (wrong * labels).sum() / (wrong.sum() + labels.sum())


def test_the_largest_piece_of_each_organ_stays():
    labels = torch.zeros(1, 1, 12, dtype=torch.long)
    labels[..., [1, 2, 4]] = 1  # two pieces
    labels[..., [6, 8, 9, 10]] = 2
    p = torch.nn.functional.one_hot(labels, 3).movedim(-1, 0) * 0.8 + 0.1
    kept = largest_pieces(p).argmax(0).flatten().tolist()
    assert kept == [0, 1, 1, 0, 0, 0, 0, 0, 2, 2, 2, 0]


def test_a_stray_voxel_becomes_background_whatever_its_second_choice():
    p = torch.full((3, 1, 1, 9), 0.05)
    p[1, ..., :3] = p[2, ..., 4:7] = 0.9
    p[0, ..., [3, 7]] = 0.9
    p[:, 0, 0, 8] = torch.tensor([0.1, 0.4, 0.5])  # a second piece of organ 2, whose second choice is organ 1
    kept = largest_pieces(p)
    assert kept.argmax(0).flatten().tolist() == [1, 1, 1, 0, 2, 2, 2, 0, 0]
    assert kept[:, 0, 0, 8].tolist() == [1, 0, 0] and torch.equal(kept[..., :8], p[..., :8])


def test_the_preset_beyond_changes_the_recipe_and_trains(abdomen):
    data = segmentation.load(abdomen)
    small = {"profile": "ci", "preset": "beyond", "steps": 2}
    run, plain = (segmentation.train("joint", data, **small, **more) for more in ({}, {"augment": ""}))
    assert run.settings.preset == "beyond" and run.settings.views == list(augment.VIEWS)
    (images, labels, sizes), (again, _, _), (scanned, _, _) = (r.learner.batch(3) for r in (run, run, plain))
    assert images.shape == (2, 1, 8, 32, 32) and labels.shape == (2, 8, 32, 32) and sizes == (1, 1)
    assert not torch.equal(images, scanned)
    with seeded(0), run.learner.evaluating():  # what is looked at is as it was scanned
        assert torch.equal(run.learner.batch(3)[0], scanned)
    assert 0 <= list(run)[-1].evaluation["doc"] <= 100
    unusual = segmentation.train("joint", data, **small, augment=",".join(augment.UNUSUAL)).finish(False)
    assert math.isfinite(unusual.history[-1]["loss"])
    images = {case.name: case.image for case in unusual.learner.training_cases}
    for modality, other in (("ct", "mr"), ("mr", "ct")):
        image = unusual.learner._other(modality, generator(0))
        (name,) = [name for name, each in images.items() if each is image or torch.equal(each, image)]
        assert name.startswith(other)
    with pytest.raises(BadInput, match="preset: expected one of paper, beyond, found 'byond'"):
        segmentation.train("joint", data, preset="byond")


def test_copies_are_averaged(abdomen):
    small = {"profile": "ci", "steps": 2, "width": 2, "dim": 4}
    run = segmentation.train("joint", segmentation.load(abdomen), **small)
    learner, case = run.learner, run.learner.test_cases[0]
    with learner.evaluating():
        learner.network.head.weight.mul_(300)  # an untrained network says the same everywhere
        alone = []
        for copy in augment.COPIES[:3]:
            slices = augment.turned(case.image[None, None], *copy)[0, 0]
            p = learner.probabilities(type(case)(**{**case_fields(case), "image": slices}))
            alone.append(augment.turned(p[None], *copy, back=True)[0])
        learner.settings.copies = 3
        torch.testing.assert_close(learner.probabilities(case), torch.stack(alone).mean(0), atol=1e-5, rtol=0)


def case_fields(case):
    return {name: getattr(case, name) for name in type(case).__dataclass_fields__}
