"""Eq. 1, 2, 6, 15-18: against POT, brute force and hand-computed vectors."""

import itertools

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from i2pemd_lite import BadInput, fixed_ground_distance, ground_distance, i2pemd, select
from i2pemd_lite.emd import emd

G_V2 = torch.tensor([[0, 2, 3, 6], [2, 0, 4, 5], [3, 4, 0, 4], [6, 5, 4, 0]], dtype=torch.float64) / 8


def random_case(rng):
    """A ground distance of random prototypes and a random prediction, K from 2 to 9."""
    K = int(rng.integers(2, 10))
    ground = ground_distance(torch.from_numpy(rng.normal(size=(K, 4))))
    return ground, torch.from_numpy(rng.dirichlet(np.full(K, 0.7))), int(rng.integers(K))


def test_eq06_closed_form_is_the_exact_transport_cost():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        ground, p, k = random_case(rng)
        q = np.eye(len(p))[k]
        closed = i2pemd(p[None], torch.tensor([k]), ground).item()
        assert closed == pytest.approx(ot.emd2(p.numpy(), q, ground.numpy()), abs=1e-12)


def test_eq01_emd_agrees_with_an_independent_linear_program():
    rng = np.random.default_rng(1)
    for _ in range(60):
        m, n = rng.integers(1, 6, size=2)
        p, q, cost = rng.random(m) + 0.01, rng.random(n) + 0.01, rng.random((m, n))
        rows = [np.kron(np.eye(m)[i], np.ones(n)) for i in range(m)]
        columns = [np.kron(np.ones(m), np.eye(n)[j]) for j in range(n)]
        flow = min(p.sum(), q.sum())
        program = linprog(
            cost.ravel(), np.array(rows + columns), np.concatenate([p, q]), np.ones((1, m * n)), [flow], method="highs"
        )
        transport = emd(p, q, cost)
        assert transport.cost == pytest.approx(program.fun, abs=1e-9)
        assert transport.flow == pytest.approx(flow, abs=1e-12)
        assert transport.emd == pytest.approx(program.fun / flow, abs=1e-9)
        assert (transport.plan >= 0).all()
        assert (transport.plan.sum(1) <= p + 1e-12).all() and (transport.plan.sum(0) <= q + 1e-12).all()


def test_emd_takes_lists_arrays_and_tensors():
    cost = [[0, 1], [1, 0]]
    for kind in (list, np.array, torch.tensor, lambda x: torch.tensor(x, dtype=torch.bfloat16)):
        transport = emd(kind([0.25, 0.75]), kind([1.0, 0.0]), kind(cost))
        assert transport.cost == pytest.approx(0.75, abs=1e-15)
        assert isinstance(transport.plan, np.ndarray)


@pytest.mark.parametrize(
    ("p", "q", "cost", "named"),
    [
        ([0.5, -0.5], [1, 0], np.ones((2, 2)), "p: .*found -0.5"),
        ([0.5, 0.5], [0, 0], np.ones((2, 2)), "q: .*sum of 0"),
        ([0.5, float("nan")], [1, 0], np.ones((2, 2)), "p: .*found nan"),
        ([0.5, 0.5], [1, 0], np.ones((3, 2)), r"cost: expected shape \(2, 2\).*\(3, 2\)"),
        ([0.5, 0.5], [1, 0], [[0, -1], [1, 0]], "cost: .*found -1"),
        ([0.5, "a"], [1, 0], np.ones((2, 2)), "p: expected numbers"),
        ([0.5, 0.5j], [1, 0], np.ones((2, 2)), "p: expected numbers"),
        (["0.5", "0.5"], [1, 0], np.ones((2, 2)), "p: expected numbers"),
        ([0.5, 0.5], [1, 0], torch.ones(2, 2) * 1j, "cost: expected numbers"),
        ([], [1, 0], np.ones((0, 2)), "p: expected 1 dimension"),
    ],
)
def test_emd_says_what_is_wrong(p, q, cost, named):
    with pytest.raises(BadInput, match=named):
        emd(p, q, cost)


@pytest.mark.parametrize("scale", [1e-300, 1e-15, 1e-13, 1.0, 1e32, 1e300])
def test_costs_have_any_unit(scale):
    random = np.random.default_rng(0)
    for _ in range(20):
        p, q, cost = random.dirichlet(np.ones(5)), random.dirichlet(np.ones(4)), random.random((5, 4))
        assert emd(p, q, cost * scale).cost / scale == pytest.approx(emd(p, q, cost).cost, rel=1e-12)
        assert emd(p * scale, q * scale, cost).cost / scale == pytest.approx(emd(p, q, cost).cost, rel=1e-12)


@pytest.mark.parametrize("dear", [1e8, 1e16, 1e32, 1e300])
def test_roads_that_cost_far_too_much_hide_nothing_of_the_others(dear):
    """The plan is optimal, for it is no dearer than one that a linear programme finds without those roads."""
    random, compared = np.random.default_rng(1), 0
    for _ in range(20):
        p, q = (random.integers(1, 9, n) / 8 for n in (5, 4))  # sums of these are exact
        cost, closed = 100 * random.random((5, 4)), random.random((5, 4)) < 0.4
        flow = min(p.sum(), q.sum())
        limits = np.vstack([np.kron(np.eye(5), np.ones(4)), np.kron(np.ones(5), np.eye(4))])
        ranges = [(0, 0) if shut else (0, None) for shut in closed.ravel()]
        best = linprog(cost.ravel(), limits, [*p, *q], np.ones((1, 20)), [flow], ranges)
        if best.status == 0:  # there is a plan without them
            compared += 1
            assert emd(p, q, np.where(closed, dear, cost)).cost == pytest.approx(best.fun, rel=1e-9)
    assert compared > 5


@pytest.mark.parametrize("large", [1e3, 1e15, 1e38, 1e300])
def test_a_large_mass_hides_no_small_one(large):
    transport = emd([0.5, large], [1.0, 0.0], [[0, 2], [2, 0]])
    assert (transport.cost, transport.flow, transport.plan.tolist()) == (1.0, 1.0, [[0.5, 0.0], [0.5, 0.0]])


def test_v1_v2_v3():
    p = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).expand(3, 3)
    ground = ground_distance(torch.tensor([[0.0, 0], [1, 1], [3, 0]], dtype=torch.float64))
    torch.testing.assert_close(
        i2pemd(p, torch.arange(3), ground), torch.tensor([19 / 60, 13 / 60, 0.35], dtype=torch.float64)
    )
    p = torch.tensor([0.1, 0.2, 0.6, 0.1], dtype=torch.float64).expand(4, 4)
    expected = torch.tensor([0.35, 0.3875, 0.1875, 0.5], dtype=torch.float64)
    torch.testing.assert_close(i2pemd(p, torch.arange(4), G_V2), expected)
    p = torch.tensor([2, 1, 0, -1, 0.5], dtype=torch.float64).softmax(0).expand(5, 5)
    ground = ground_distance(torch.tensor([[0.0, 0], [4, 0], [1, 0], [1, 1], [0, 3]], dtype=torch.float64))
    expected = torch.tensor([0.200977, 0.485612, 0.288999, 0.414973, 0.455458], dtype=torch.float64)
    torch.testing.assert_close(i2pemd(p, torch.arange(5), ground), expected, atol=5e-7, rtol=0)


def test_v2_gradient_in_the_logits():
    z = torch.tensor([[0.1, 0.2, 0.6, 0.1]], dtype=torch.float64).log().requires_grad_()
    i2pemd(z.softmax(1), torch.tensor([2]), G_V2).sum().backward()
    expected = torch.tensor([[0.01875, 0.0625, -0.1125, 0.03125]], dtype=torch.float64)
    torch.testing.assert_close(z.grad, expected, atol=1e-12, rtol=0)
    assert torch.autograd.gradcheck(lambda z: i2pemd(z.softmax(1), torch.tensor([2]), G_V2), z)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_properties_of_the_distance(seed):
    ground, p, k = random_case(np.random.default_rng(seed))
    K, labels = len(p), torch.tensor([k])
    d = i2pemd(p[None], labels, ground).item()
    assert 0 <= d <= (1 - p[k].item()) * (K - 1) / K + 1e-12
    assert i2pemd(torch.eye(K, dtype=p.dtype)[[k]], labels, ground).item() == 0
    z = p.log().clamp(min=-30)[None].requires_grad_()
    i2pemd(z.softmax(1), labels, ground).sum().backward()
    assert abs(z.grad.sum().item()) < 1e-12
    fixed = i2pemd(p[None], labels, fixed_ground_distance(K, dtype=p.dtype)).item()
    assert fixed == pytest.approx(1 - p[k].item(), abs=1e-12)


def test_two_classes_leave_nothing_to_learn():
    ground = ground_distance(torch.tensor([[0.0, 1.0], [5.0, -2.0]]))
    assert ground.tolist() == [[0, 0.5], [0.5, 0]]
    p = torch.tensor([[0.3, 0.7]])
    assert i2pemd(p, torch.tensor([1]), ground).item() == pytest.approx(0.15, abs=1e-7)


@pytest.mark.parametrize("shape", [(), (5,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_any_spatial_shape_and_precision(shape, dtype):
    rng = torch.Generator().manual_seed(3)
    p = torch.rand(2, 4, *shape, generator=rng).softmax(1).to(dtype)
    y = torch.randint(4, (2, *shape), generator=rng)
    d = i2pemd(p, y, G_V2)
    assert d.shape == y.shape and d.dtype == (torch.float32 if dtype is torch.bfloat16 else dtype)
    for index in itertools.product(*map(range, y.shape)):
        one = sum(float(p[(index[0], i, *index[1:])]) * float(G_V2[i, y[index]]) for i in range(4))
        assert float(d[index]) == pytest.approx(one, abs=1e-6)


@pytest.mark.parametrize(
    ("p", "y", "ground", "named"),
    [
        (torch.rand(2, 4), torch.tensor([0, 4]), G_V2, "labels: expected class indices 0 to 3, found 0 to 4"),
        (torch.rand(2, 4), torch.tensor([0.0, 1.0]), G_V2, "labels: expected integers"),
        (torch.rand(2, 4), torch.tensor([0]), G_V2, "labels: expected shape"),
        (torch.rand(2, 5), torch.tensor([0, 1]), G_V2, r"ground: expected shape \(5, 5\)"),
        (torch.rand(2, 1), torch.tensor([0, 0]), torch.zeros(1, 1), "at least 2 classes"),
        (torch.rand(2, 4), torch.tensor([0, 1]), G_V2 * 1j, "ground: expected finite numbers"),
        (torch.rand(2, 4) - 1, torch.tensor([0, 1]), G_V2, "probabilities: expected numbers from 0 to 1, found -"),
        (torch.rand(2, 4) * 1j, torch.tensor([0, 1]), G_V2, "probabilities: .*found complex ones"),
        (torch.full((2, 4), torch.nan), torch.tensor([0, 1]), G_V2, "found NaN; the network has diverged"),
        (torch.rand(2, 4), torch.tensor([0, 1]), G_V2.where(G_V2 > 0, torch.nan), "ground: expected finite numbers"),
        (torch.rand(2, 4), torch.tensor([0, 1]), -G_V2, "ground: expected finite numbers, none negative"),
    ],
)
def test_i2pemd_says_what_is_wrong(p, y, ground, named):
    with pytest.raises(BadInput, match=named):
        i2pemd(p, y, ground)


O_V7 = torch.tensor([
    [.97, .01, .01, .01], [.75, .20, .03, .02], [.75, .02, .03, .20], [.02, .90, .04, .04],
    [.10, .10, .72, .08], [.05, .03, .83, .09], [.60, .30, .05, .05], [.04, .04, .14, .78],
], dtype=torch.float64)  # fmt: skip


def members(mask):
    """1-based, as the vector is written."""
    return {i + 1 for i in mask.nonzero().flatten().tolist()}


def test_v7_selection():
    chosen = select(O_V7, G_V2, top=4)
    expected = torch.tensor([0.01375, 0.07625, 0.16625, 0.05, 0.1275, 0.07875, 0.13125, 0.125], dtype=torch.float64)
    torch.testing.assert_close(chosen.distances, expected, atol=1e-12, rtol=0)
    assert (chosen.labels + 1).tolist() == [1, 1, 1, 2, 3, 3, 1, 4]
    assert chosen.scores.tolist() == [0.97, 0.75, 0.75, 0.90, 0.72, 0.83, 0.60, 0.78]
    assert members(chosen.confident) == {1, 2, 3, 4, 5, 6, 8} and members(chosen.high) == {1, 4, 6}
    assert members(chosen.near) == members(chosen.low) == members(chosen.mask) == {1, 2, 4, 6}
    chosen = select(O_V7, G_V2, top=6)
    assert members(chosen.near) == members(chosen.low) == members(chosen.mask) == {1, 2, 4, 5, 6, 8}
    chosen = select(O_V7, fixed_ground_distance(4), top=4)
    assert members(chosen.near) == members(chosen.mask) == {1, 4, 6, 8}


def test_nothing_is_near_before_every_class_was_seen():
    chosen = select(O_V7, torch.zeros(4, 4), top=8)
    assert not chosen.low.any()
    assert members(chosen.mask) == {1, 4, 6}


@given(seed=st.integers(0, 2**32 - 1), top=st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_selection_holds_its_equations(seed, top):
    rng = np.random.default_rng(seed)
    ground = ground_distance(torch.from_numpy(rng.normal(size=(5, 3))))
    o = torch.from_numpy(rng.dirichlet(np.full(5, 0.3), size=12))
    chosen = select(o, ground, 0.6, 0.9, top)
    assert int(chosen.near.sum()) == top
    farthest, others = float(chosen.distances[chosen.near].max()), chosen.distances[~chosen.near].tolist()
    assert farthest <= min(others, default=np.inf)
    for i, score in enumerate(o.max(1).values.tolist()):
        assert bool(chosen.mask[i]) == (score > 0.9 or (score > 0.6 and bool(chosen.near[i])))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tau_low": 0.8, "tau_high": 0.8}, "tau_low, tau_high"),
        ({"tau_low": 0.9, "tau_high": 0.8}, "tau_low, tau_high"),
        ({"top": 9}, "top: expected 1 ≤ T ≤ 8"),
        ({"top": 0}, "top"),
        ({"probabilities": O_V7 * 100}, "probabilities: expected numbers from 0 to 1"),
        ({"probabilities": O_V7 * torch.nan}, "probabilities: expected .* found NaN; the network has diverged"),
        ({"ground": G_V2 / 0}, "ground: expected finite numbers"),
    ],
)
def test_select_says_what_is_wrong(options, named):
    with pytest.raises(BadInput, match=named):
        select(**{"probabilities": O_V7, "ground": G_V2, "top": 4} | options)


def test_select_refuses_an_empty_batch():
    with pytest.raises(BadInput, match="N ≥ 1"):
        select(O_V7[:0], G_V2)
