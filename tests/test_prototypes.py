"""Eq. 3-5, 10, 11, 20, 21: ground distance and prototypes."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from child import started
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from i2pemd_lite import (
    BadInput,
    PrototypeBank,
    class_means,
    fixed_ground_distance,
    ground_distance,
    percentile_ranks,
    prototype_distances,
)


def f64(rows):
    return torch.tensor(rows, dtype=torch.float64)


def test_v1_ties():
    c = f64([[0, 0], [1, 1], [3, 0]])
    assert prototype_distances(c).tolist() == [[0, 2, 3], [2, 0, 3], [3, 3, 0]]
    torch.testing.assert_close(percentile_ranks(prototype_distances(c)) * 3, f64([[0, 1, 2], [1, 0, 2], [1, 1, 0]]))
    torch.testing.assert_close(ground_distance(c), f64([[0, 1 / 3, 1 / 2], [1 / 3, 0, 1 / 2], [1 / 2, 1 / 2, 0]]))


def test_v2():
    c = f64([[0, 0, 0], [1, 0, 0], [0, 3, 1], [2, 2, 6]])
    assert prototype_distances(c).tolist() == [[0, 1, 4, 10], [1, 0, 5, 9], [4, 5, 0, 8], [10, 9, 8, 0]]
    ranks = percentile_ranks(prototype_distances(c)) * 4
    torch.testing.assert_close(ranks, f64([[0, 1, 2, 3], [1, 0, 2, 3], [1, 2, 0, 3], [3, 2, 1, 0]]))
    torch.testing.assert_close(
        ground_distance(c) * 8, f64([[0, 2, 3, 6], [2, 0, 4, 5], [3, 4, 0, 4], [6, 5, 4, 0]])
    )


def test_v3_asymmetric_ranks_with_ties():
    c = f64([[0, 0], [4, 0], [1, 0], [1, 1], [0, 3]])
    ranks = [[0, 4, 1, 2, 3], [2, 0, 1, 2, 4], [1, 3, 0, 1, 4], [2, 4, 1, 0, 3], [1, 4, 3, 1, 0]]
    torch.testing.assert_close(percentile_ranks(prototype_distances(c)) * 5, f64(ranks))
    ground = [[0, 6, 2, 4, 4], [6, 0, 4, 6, 8], [2, 4, 0, 2, 7], [4, 6, 2, 0, 4], [4, 8, 7, 4, 0]]
    torch.testing.assert_close(ground_distance(c) * 10, f64(ground))


def test_v4_collinear():
    c = torch.arange(1.0, 8.0, dtype=torch.float64)[:, None]
    ranks = percentile_ranks(prototype_distances(c)) * 7
    torch.testing.assert_close(ranks[[0, 3]], f64([[0, 1, 2, 3, 4, 5, 6], [5, 3, 1, 0, 1, 3, 5]]))
    ground = ground_distance(c) * 14
    torch.testing.assert_close(ground[[0, 3]], f64([[0, 2, 5, 8, 10, 11, 12], [8, 6, 2, 0, 2, 6, 8]]))


@given(seed=st.integers(0, 2**32 - 1), K=st.integers(2, 12))
@settings(max_examples=150, deadline=None)
def test_properties_of_the_ground_distance(seed, K):
    rng = np.random.default_rng(seed)
    c = torch.from_numpy(rng.normal(size=(K, 5)))
    g, G = prototype_distances(c), ground_distance(c)
    # scipy's "min" rank counts the smaller ones, and one.
    by_scipy = (rankdata(g.numpy(), method="min", axis=1) - 1) / K
    torch.testing.assert_close(percentile_ranks(g), torch.from_numpy(by_scipy), atol=1e-15, rtol=0)
    assert torch.equal(G, G.T) and G.diagonal().eq(0).all()
    assert 0 <= G.min() and G.max() <= (K - 1) / K + 1e-12
    assert G.sum().item() / (K * (K - 1)) == pytest.approx(0.5, abs=1e-12)
    order = torch.from_numpy(rng.permutation(K))
    assert torch.equal(ground_distance(c[order]), G[order][:, order])
    # Powers of two scale floats exactly, so that not even a tie can break.
    assert torch.equal(ground_distance(c * 2.0 ** rng.integers(-20, 20)), G)


def test_prototypes_at_one_place_turn_the_distance_off():
    assert ground_distance(torch.zeros(4, 3)).eq(0).all()


def test_ground_distance_has_no_gradient():
    assert not ground_distance(torch.randn(3, 2, requires_grad=True)).requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_ranked_in_float32(dtype):
    G = ground_distance(torch.tensor([[0.0, 0], [1, 1], [3, 0]]).to(dtype))
    assert G.dtype == torch.float32 and G[0, 2].item() == 0.5


def test_ground_says_what_is_wrong():
    with pytest.raises(BadInput, match="at least 2 classes"):
        ground_distance(torch.zeros(1, 3))
    with pytest.raises(BadInput, match="finite"):
        ground_distance(torch.tensor([[0.0], [float("nan")]]))
    with pytest.raises(BadInput, match="distances: expected finite"):
        percentile_ranks(torch.full((2, 2), float("nan")))
    with pytest.raises(BadInput, match="square"):
        percentile_ranks(torch.zeros(2, 3))
    with pytest.raises(BadInput, match="at least 2"):
        fixed_ground_distance(1)


def test_eq11_class_means_against_a_loop():
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(3, 4, 2, 5, 6, generator=rng, dtype=torch.float64)
    labels = torch.randint(-1, 3, (3, 2, 5, 6), generator=rng)  # -1 is left out, class 3 is absent
    means, counts = class_means(features, labels, 4)
    for k in range(4):
        members = features.movedim(1, -1)[labels == k]
        assert counts[k] == len(members)
        expected = members.mean(0) if len(members) else torch.zeros(4, dtype=torch.float64)
        torch.testing.assert_close(means[k], expected, atol=1e-12, rtol=0)
    assert torch.equal(class_means(num_classes=4, labels=labels, features=features)[0], means)


def test_eq11_pools_voxels_of_both_modalities():
    # V6: CT mean 1.0 over 30 voxels, MR mean 4.0 over 10: together 1.75, not the mean of means 2.5.
    features = torch.cat([torch.full((1, 1, 30), 1.0), torch.full((1, 1, 30), 4.0)])
    labels = torch.zeros(2, 30, dtype=torch.long)
    labels[1, 10:] = 1
    assert class_means(features, labels, 2)[0][0].item() == pytest.approx(1.75, abs=1e-6)


def test_v6_eq10_momentum():
    features, labels = torch.tensor([[2.0, 0], [4, 2]]), torch.tensor([0, 0])
    bank = PrototypeBank(2, 2)
    bank.update(torch.tensor([[1.0, 2.0]]), torch.tensor([0]))
    assert bank.prototypes[0].tolist() == [1, 2]  # the first mean is taken whole
    bank.update(features, labels)
    torch.testing.assert_close(bank.prototypes[0], torch.tensor([1.4, 1.8]))
    assert bank.prototypes[1].eq(0).all() and bank.seen.tolist() == [True, False]

    from_zero = PrototypeBank(2, 2)
    from_zero.seen.fill_(True)
    for t, expected in enumerate([(0.6, 0.2), (1.08, 0.36), (1.464, 0.488)], 1):
        from_zero.update(features, labels)
        torch.testing.assert_close(from_zero.prototypes[0], torch.tensor(expected))
        torch.testing.assert_close(from_zero.prototypes[0], (1 - 0.8**t) * torch.tensor([3.0, 1.0]))


def test_v6_one_modality_after_the_other_weighs_the_last_more():
    bank = PrototypeBank(2, 1)
    bank.seen.fill_(True)
    for mean in (1.0, 4.0):
        bank.update(torch.full((5, 1), mean), torch.zeros(5, dtype=torch.long))
    assert bank.prototypes[0].item() == pytest.approx(0.96, abs=1e-6)


def test_momentum_may_change_while_it_runs():
    bank = PrototypeBank(2, 1, momentum=1.0)
    bank.update(torch.tensor([[1.0]]), torch.tensor([0]))
    bank.update(torch.tensor([[9.0]]), torch.tensor([0]))
    assert bank.prototypes[0].item() == 1
    bank.momentum = 0.0
    bank.update(torch.tensor([[9.0]]), torch.tensor([0]))
    assert bank.prototypes[0].item() == 9
    bank.momentum = 2
    with pytest.raises(BadInput, match="momentum"):
        bank.update(torch.tensor([[9.0]]), torch.tensor([0]))


def test_eq21_only_masked_samples_count():
    bank = PrototypeBank(2, 1)
    mask = torch.tensor([True, False, True])
    bank.update(torch.tensor([[1.0], [100.0], [5.0]]), torch.tensor([0, 0, 1]), mask=mask)
    assert bank.prototypes.flatten().tolist() == [1, 5]


def test_no_distance_before_every_class_was_seen():
    bank = PrototypeBank(3, 1)
    bank.update(torch.tensor([[1.0], [5.0]]), torch.tensor([0, 1]))
    assert bank.ground_distance().eq(0).all()
    bank.update(torch.tensor([[2.0]]), torch.tensor([2]))
    assert torch.equal(bank.ground_distance(), ground_distance(bank.prototypes))
    assert bank.ground_distance().gt(0).any()


def test_the_bank_keeps_no_gradient_and_is_in_the_state():
    bank = PrototypeBank(2, 1)
    bank.update(torch.ones(1, 1, requires_grad=True) * 2, torch.tensor([1]))
    assert not bank.prototypes.requires_grad
    twin = PrototypeBank(2, 1)
    twin.load_state_dict(bank.state_dict())
    assert torch.equal(twin.prototypes, bank.prototypes) and torch.equal(twin.seen, bank.seen)


def test_mixed_precision_does_not_round_the_sums():
    rng = torch.Generator().manual_seed(0)
    features, labels = torch.randn(2, 4, 500, generator=rng), torch.randint(3, (2, 500), generator=rng)
    exact = class_means(features, labels, 3)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(class_means(features, labels, 3)[0], exact)


def test_bank_says_what_is_wrong():
    with pytest.raises(BadInput, match="features: expected shape"):
        PrototypeBank(2, 2).update(torch.ones(2), torch.tensor([0, 1]))
    with pytest.raises(BadInput, match="mask: expected bool"):
        PrototypeBank(2, 2).update(torch.ones(1, 2), torch.tensor([0]), mask=torch.tensor([1]))
    with pytest.raises(BadInput, match="labels: expected integers"):
        PrototypeBank(2, 2).update(torch.ones(1, 2), torch.tensor([0.0]), mask=torch.tensor([True]))
    with pytest.raises(BadInput, match="expected 2 features"):
        PrototypeBank(2, 2).update(torch.ones(1, 3), torch.tensor([0]))
    with pytest.raises(BadInput, match="labels: expected shape"):
        PrototypeBank(2, 2).update(torch.ones(1, 2, 4), torch.tensor([0]))
    with pytest.raises(BadInput, match="num_classes"):
        PrototypeBank(1, 2)


def half(rank, folder):
    """What one of two processes does: three updates with its half of each batch."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    rng = torch.Generator().manual_seed(0)
    bank = PrototypeBank(3, 4)
    for _ in range(3):
        features, labels = torch.randn(4, 4, 7, generator=rng), torch.randint(3, (4, 7), generator=rng)
        bank.update(features[2 * rank : 2 * rank + 2], labels[2 * rank : 2 * rank + 2])
    torch.save(bank.prototypes, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_have_the_prototypes_of_one(tmp_path):
    both = [started(half, rank, tmp_path) for rank in range(2)]
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    rng = torch.Generator().manual_seed(0)
    bank = PrototypeBank(3, 4)
    for _ in range(3):
        bank.update(torch.randn(4, 4, 7, generator=rng), torch.randint(3, (4, 7), generator=rng))
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert torch.equal(first, second)
    torch.testing.assert_close(first, bank.prototypes, atol=1e-6, rtol=0)
