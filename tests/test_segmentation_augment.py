"""Views of patches: what they keep, what repeats, and that a view is undone where a prediction is averaged over it."""

import itertools

import pytest
import torch

from i2pemd_lite import BadInput, segmentation
from i2pemd_lite.runs.sampling import generator, seeded
from i2pemd_lite.segmentation import augment
from i2pemd_lite.segmentation.learner import largest_pieces

SMALL = {"profile": "ci", "steps": 2, "evaluate_every": 2, "width": 2, "dim": 4}


def body(side=48):
    """A batch of two bodies, an off-centre disc of organ 1 in each, brighter than what is around it."""
    y, x = torch.meshgrid(*[torch.arange(side) - side / 2] * 2, indexing="ij")
    labels = (((x - 6) ** 2 + (y + 4) ** 2) < 64).to(torch.uint8).expand(2, 8, -1, -1).clone()
    return labels[:, None].float() * 2 - 0.5, labels


def views(images, labels, seed=0):
    with seeded(seed, "noise"):
        return augment.augmented(images, labels, generator(seed))


def test_one_seed_gives_one_view_and_each_patch_its_own():
    images, labels = body()
    (a, la), (b, lb), (c, _) = views(images, labels), views(images, labels), views(images, labels, 1)
    assert torch.equal(a, b) and torch.equal(la, lb) and not torch.equal(a, c)
    assert not torch.equal(la[0], la[1])


def test_labels_follow_their_image():
    images, labels = body()
    for seed in range(8):
        image, label = views(images, labels, seed)
        inside, outside = image[:, 0][label == 1], image[:, 0][label == 0]
        assert inside.mean() - outside.mean() > 1.0
        assert label.dtype == torch.uint8 and set(label.unique().tolist()) == {0, 1}
        assert torch.equal(label[:, 0], label[:, 7])  # in-plane only: one place for all slices


def test_nothing_is_mirrored_and_nothing_leaves_its_range():
    """A map keeps the hand (positive determinant), turns at most ROTATION and zooms at most exp(ZOOM)."""
    draws = torch.tensor(list(itertools.product((-1.0, 0.0, 1.0), repeat=2)))
    angle, zoom = draws[:, 0] * torch.pi * augment.ROTATION / 180, (augment.ZOOM * draws[:, 1]).exp()
    maps = augment.in_plane(angle, zoom, torch.zeros(len(draws), 2), (48, 96))[..., :2]
    voxels = maps * torch.tensor([[1.0, 0.5], [2.0, 1.0]]).T  # from half sides (x, y) to voxels: an oblong plane
    torch.testing.assert_close(torch.linalg.det(voxels), zoom**-2, atol=1e-5, rtol=0)
    turned = torch.atan2(voxels[:, 1, 0], voxels[:, 0, 0])
    torch.testing.assert_close(turned, angle, atol=1e-5, rtol=0)


def test_intensities_without_draws_are_the_image_and_noise():
    x = torch.randn(3, 8, 16, 16)
    zero = torch.zeros(3, 1, 1, 1)
    changed = augment.intensities(x, zero, zero, zero)
    assert 0 < (changed - x).std() < augment.NOISE
    brighter = augment.intensities(x, zero, zero + 1, zero)
    assert (brighter - changed).mean() == pytest.approx(augment.BRIGHTNESS, abs=0.02)


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
    paper, beyond = (segmentation.train("joint", data, **SMALL, preset=name) for name in ("paper", "beyond"))
    assert beyond.settings.preset == "beyond" and beyond.settings.augment and not paper.settings.augment
    assert not torch.equal(paper.learner.batch(0)[0], beyond.learner.batch(0)[0])
    assert torch.equal(beyond.learner.batch(3)[1], beyond.learner.batch(3)[1])
    with beyond.learner.evaluating():  # what is looked at is as it was scanned
        assert torch.equal(beyond.learner.batch(0)[1], paper.learner.batch(0)[1])
    assert 0 <= list(beyond)[-1].evaluation["doc"] <= 100
    with pytest.raises(BadInput, match="preset: expected one of paper, beyond, found 'byond'"):
        segmentation.train("joint", data, preset="byond")


def test_copies_are_averaged(abdomen):
    run = segmentation.train("joint", segmentation.load(abdomen), **SMALL)
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
