"""Eq. 7-9 and the rivals, against hand-computed vectors, the definitions voxel by voxel, and finite differences."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from i2pemd_lite import BadInput, fixed_ground_distance, i2ped_loss, i2pemd_loss, mmd, segmentation_loss
from i2pemd_lite.losses import kd_loss, segmentation_loss_reference

G_V2 = torch.tensor([[0, 2, 3, 6], [2, 0, 4, 5], [3, 4, 0, 4], [6, 5, 4, 0]], dtype=torch.float64) / 8
P_V5 = torch.tensor([
    [.7, .1, .1, .1], [.4, .3, .2, .1], [.1, .8, .05, .05], [.05, .05, .1, .8], [.25, .25, .25, .25],
], dtype=torch.float64)  # fmt: skip
Y_V5 = torch.tensor([0, 0, 1, 3, 3])


def test_v5_classes_count_the_same():
    assert i2pemd_loss(P_V5.log(), Y_V5, G_V2).item() == pytest.approx(0.185417, abs=5e-7)
    fixed = fixed_ground_distance(4)
    assert i2pemd_loss(P_V5.log(), Y_V5, fixed).item() == pytest.approx(0.375, abs=1e-12)
    # With ones on the diagonal too, the distance is 1 whatever is predicted.
    assert i2pemd_loss(P_V5.log(), Y_V5, fixed + torch.eye(4)).item() == pytest.approx(1, abs=1e-12)


def test_v8_i2ped():
    f = torch.tensor([[3.0, 4], [0, 0], [1, 1]], dtype=torch.float64)
    prototypes = torch.tensor([[0.0, 0], [1, 0]])
    assert i2ped_loss(f, torch.tensor([0, 0, 1]), prototypes).item() == pytest.approx(1.75, abs=1e-6)


def test_i2ped_of_voxels_against_a_loop_and_its_gradient():
    rng = torch.Generator().manual_seed(0)
    f = torch.randn(2, 3, 4, 5, generator=rng, dtype=torch.float64, requires_grad=True)
    y, c = torch.randint(-1, 2, (2, 4, 5), generator=rng), torch.randn(4, 3, generator=rng, dtype=torch.float64)
    per_class = [(f.movedim(1, -1)[y == k] - c[k]).norm(dim=1).mean() for k in range(2)]
    torch.testing.assert_close(i2ped_loss(f, y, c), torch.stack(per_class).mean(), atol=1e-9, rtol=0)
    assert torch.autograd.gradcheck(lambda f: i2ped_loss(f, y, c), f)


def test_i2ped_has_a_gradient_at_the_prototype_itself():
    f = torch.zeros(1, 2, requires_grad=True)
    i2ped_loss(f, torch.tensor([0]), torch.zeros(2, 2)).backward()
    assert f.grad.isfinite().all()


def test_v9_kd_and_a_class_absent_from_one_modality():
    logits = torch.tensor([[2.0, 0], [4, -2], [0, 2], [1, 1], [-1, 3], [1, 5]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 0, 1, 1])
    assert kd_loss(logits, labels, (3, 3)).item() == pytest.approx(0.227833, abs=5e-7)
    # Without class 0 in MR, only class 1 is compared: CT (0, 2) with the mean of all three MR rows (1/3, 3).
    q = [torch.tensor(z, dtype=torch.float64).div(2).softmax(0) for z in ([0.0, 2.0], [1 / 3, 3.0])]
    both = (F.kl_div(q[1].log(), q[0], reduction="sum") + F.kl_div(q[0].log(), q[1], reduction="sum")) / 2
    absent = torch.tensor([0, 0, 1, 1, 1, 1])
    assert kd_loss(logits, absent, (3, 3)).item() == pytest.approx(both.item(), abs=1e-12)


def test_v10_dice_and_weighted_cross_entropy():
    p = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1, 0])
    loss = segmentation_loss(p.log(), y, None)
    assert loss.terms["dice"].item() == pytest.approx(0.233569, abs=5e-7)
    assert loss.terms["ce"].item() == pytest.approx(0.155599, abs=5e-7)
    assert loss.item() == pytest.approx(0.233569 + 0.155599, abs=1e-6) and "i2pemd" not in loss.terms
    assert f"{2 * loss:.3f} {loss:.3f} {loss.terms['ce']:.3f}" == "0.778 0.389 0.156"  # as any scalar tensor
    plain = segmentation_loss(p.log(), y, None, ce="plain")
    assert plain.terms["ce"].item() == pytest.approx(0.510826, abs=5e-7)
    assert plain.terms["ce"].item() == pytest.approx(F.cross_entropy(p.log(), y).item(), abs=1e-12)


def test_v11_mmd():
    x, y = torch.tensor([[0.0, 0], [1, 0], [0, 1]]).double(), torch.tensor([[2.0, 2], [3, 2]]).double()
    assert mmd(x, y, kernels=1, bandwidth=5.4).item() == pytest.approx(1.273585, abs=5e-7)
    assert mmd(x, y).item() == pytest.approx(5.496059, abs=5e-7)
    assert mmd(x, y, kernels=1, bandwidth=2).item() == pytest.approx(1.418238, abs=5e-7)
    assert mmd(x, y, kernels=1, bandwidth=2, unbiased=True).item() == pytest.approx(1.063830, abs=5e-7)
    assert mmd(x, x).item() == pytest.approx(0, abs=1e-12)


def case(seed, K=5, shape=(4, 6, 6), batch=4, dtype=torch.float64, absent=()):
    rng = torch.Generator().manual_seed(seed)
    logits = (3 * torch.randn(batch, K, *shape, generator=rng)).to(dtype)
    labels = torch.randint(K, (batch, *shape), generator=rng)
    for k in absent:
        labels[labels == k] = 0
    labels[torch.rand(labels.shape, generator=rng) < 0.1] = -100
    ground = torch.rand(K, K, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), labels, ((ground + ground.T) / 2).fill_diagonal_(0)


@given(
    seed=st.integers(0, 10**6),
    K=st.integers(2, 7),
    shape=st.sampled_from([(), (9,), (5, 6), (3, 4, 5)]),
    ce=st.sampled_from(["weighted", "plain"]),
    sizes=st.sampled_from([None, (2, 2), (1, 3)]),
    add=st.sampled_from(["sum", "mean"]),
    dice=st.sampled_from(["all", "organs"]),
    absent=st.sampled_from([(), (1,)]),
)
@settings(max_examples=60, deadline=None)
def test_the_fast_loss_is_the_reference(seed, K, shape, ce, sizes, add, dice, absent):
    logits, labels, ground = case(seed, K, shape, absent=absent)
    labels.view(len(labels), -1)[:, 0] = 0  # every sample has a voxel that counts, so that the reference has no 0/0
    options = {"weight": 0.7, "ce": ce, "sizes": sizes, "add": add, "dice": dice}
    fast = segmentation_loss(logits, labels, ground, **options)
    slow = segmentation_loss_reference(logits, labels, ground, **options)
    torch.testing.assert_close(fast, slow, atol=1e-10, rtol=0)
    for name, term in slow.terms.items():
        torch.testing.assert_close(fast.terms[name], term, atol=1e-10, rtol=0)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (fast, slow)]
    torch.testing.assert_close(*gradients, atol=1e-10, rtol=0)


def test_eq7_gradient_by_finite_differences():
    logits, labels, ground = case(3, K=4, shape=(3, 4), batch=2)
    assert torch.autograd.gradcheck(lambda z: segmentation_loss(z, labels, ground, 0.5, sizes=(1, 1)), logits)
    assert torch.autograd.gradcheck(lambda z: i2pemd_loss(z, labels, ground), logits)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-5)])
def test_lower_precision_is_summed_in_float32(dtype, tolerance):
    # The reference sees the same rounded logits in float64, so that only the arithmetic differs.
    logits, labels, ground = case(4, shape=(16, 32, 32), dtype=dtype)
    exact = segmentation_loss_reference(logits.double(), labels, ground)
    assert segmentation_loss(logits, labels, ground).item() == pytest.approx(exact.item(), rel=tolerance)


def test_mixed_precision_rounds_no_loss():
    rng = torch.Generator().manual_seed(0)
    f, y, c = torch.randn(2, 4, 300, generator=rng), torch.randint(4, (2, 300), generator=rng), torch.randn(4, 4)
    losses = (lambda: i2ped_loss(f, y, c), lambda: kd_loss(f, y, (1, 1)), lambda: i2pemd_loss(f, y, torch.ones(4, 4)))
    exact = [loss() for loss in losses]
    with torch.autocast("cpu", torch.bfloat16):
        assert [loss() for loss in losses] == exact


def test_nothing_to_count_gives_zero_and_no_nan():
    logits, labels, ground = case(5)
    loss = i2pemd_loss(logits, torch.full_like(labels, -100), ground)
    loss.backward()
    assert loss.item() == 0 and logits.grad.eq(0).all()


def test_ignored_voxels_have_no_gradient():
    logits, labels, ground = case(6)
    segmentation_loss(logits, labels, ground).backward()
    ignored = (labels == -100)[:, None].expand_as(logits)
    assert logits.grad[ignored].eq(0).all() and logits.grad[~ignored].ne(0).any()


def test_the_distance_of_nothing_learned_is_off():
    logits, labels, ground = case(7)
    off = torch.autograd.grad(segmentation_loss(logits, labels, torch.zeros_like(ground)), logits)[0]
    without = torch.autograd.grad(segmentation_loss(logits, labels, None), logits)[0]
    assert torch.equal(off, without)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda z, y, g: (z, y, g[:3, :3]), "ground: expected shape"),
        (lambda z, y, g: (z, y, -g), "ground: expected finite numbers, none negative"),
        (lambda z, y, g: (z, y, g * torch.nan), "ground: expected finite numbers, none negative"),
        (lambda z, y, g: (z, y[:, 1:], g), "labels: expected"),
        (lambda z, y, g: (z, y.float(), g), "labels: expected integers"),
        (lambda z, y, g: (z, y.where(y != 0, 7), g), "labels"),
        (lambda z, y, g: (z[:, :1], y, g), "logits"),
    ],
)
def test_losses_say_what_is_wrong(change, named):
    logits, labels, ground = case(8)
    for loss in (segmentation_loss, i2pemd_loss):
        with pytest.raises(BadInput, match=named):
            loss(*change(logits, labels, ground))


def test_options_that_do_not_exist():
    logits, labels, ground = case(9)
    with pytest.raises(BadInput, match="ce: expected"):
        segmentation_loss(logits, labels, ground, ce="focal")
    with pytest.raises(BadInput, match="add up to the batch of 4"):
        segmentation_loss(logits, labels, ground, sizes=(1, 1))
    with pytest.raises(BadInput, match="prototypes: expected shape"):
        i2ped_loss(torch.zeros(2, 3), torch.tensor([0, 1]), torch.zeros(2, 4))
    with pytest.raises(BadInput, match="labels: expected classes below 2, .* found 2"):
        i2ped_loss(torch.zeros(2, 3), torch.tensor([0, 2]), torch.zeros(2, 3))
    for sizes in ((5, -1), (2.0, 2.0), (2, 1)):
        for loss in (segmentation_loss, segmentation_loss_reference):
            with pytest.raises(BadInput, match="sizes: expected whole numbers that add up to the batch of 4"):
                loss(logits, labels, ground, sizes=sizes)
        with pytest.raises(BadInput, match="sizes: expected whole numbers that add up to the batch of 4"):
            kd_loss(logits, labels, sizes)
    for options in ({"sizes": (4,)}, {"sizes": (4, 0)}, {"temperature": 0.0}, {"temperature": math.nan}):
        with pytest.raises(BadInput, match="sizes, temperature: expected two modalities with samples"):
            kd_loss(logits, labels, **{"sizes": (2, 2), **options})
    with pytest.raises(BadInput, match="labels: expected classes below 5, .* found 7"):
        kd_loss(logits, labels.where(labels != 0, 7), (2, 2))
    for options in ({"kernels": 0}, {"kernels": 2.5}, {"bandwidth": 0}, {"bandwidth": -1.0}):
        with pytest.raises(BadInput, match="kernels, bandwidth: expected"):
            mmd(torch.zeros(2, 3), torch.zeros(2, 3), **options)
    assert mmd(torch.ones(3, 2), torch.ones(2, 2)) == 0
    with pytest.raises(BadInput, match="two clouds"):
        mmd(torch.zeros(2, 3), torch.zeros(2, 4))
