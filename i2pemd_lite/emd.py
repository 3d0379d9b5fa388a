"""Optimal transport between two histograms (Eq. 1, 2) and its closed form against a one-hot label (Eq. 6)."""

import functools
import reprlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor

from i2pemd_lite.files import BadInput

Numbers = Sequence | np.ndarray | Tensor  # of the shape that a docstring says
P = ParamSpec("P")
T = TypeVar("T")


class Transport(NamedTuple):
    """An optimal flow: its `cost` Σᵢⱼ gᵢⱼ xᵢⱼ (Eq. 1), the `plan` x of shape (m, n), and the total `flow` Σᵢⱼ xᵢⱼ. When
    the masses are 1, cost and `emd` agree."""

    cost: float
    plan: np.ndarray
    flow: float

    @property
    def emd(self) -> float:
        """The cost of a unit of flow, Σᵢⱼ gᵢⱼ xᵢⱼ / Σᵢⱼ xᵢⱼ (Eq. 2, eq02)."""
        return self.cost / self.flow


def emd(p: Numbers, q: Numbers, cost: Numbers) -> Transport:
    """The cheapest way to carry the supplies `p` to the demands `q`, solved exactly: a `Transport`.

    min_x Σᵢⱼ gᵢⱼ xᵢⱼ   subject to   xᵢⱼ ≥ 0,   Σⱼ xᵢⱼ ≤ pᵢ,   Σᵢ xᵢⱼ ≤ qⱼ                (Eq. 1, eq01)
    and                 Σᵢⱼ xᵢⱼ = min(Σᵢ pᵢ, Σⱼ qⱼ)

    The last line is not printed in the paper; without it x = 0 is optimal and Eq. 2 is 0/0. Where the masses differ,
    the surplus goes to (or the shortage comes from) an extra bin at cost 0, which the plan does not show.

    Parameters
    ----------
    p, q : (m,), (n,) masses, not negative, each with some mass; arrays, lists or tensors
    cost : (m, n) ground distance, not negative

    Raises
    ------
    BadInput
        when a mass or a cost is no number, negative or not finite, a side has no mass, or shapes do not fit.

    Source: Zhou et al. 2022, section 3.1.1; solved by POT's network simplex.

    Example
    -------
    >>> transport = emd([0.5, 0.5], [1.0, 0.0], [[0, 2], [2, 0]])
    >>> transport.cost, transport.flow
    (1.0, 1.0)
    >>> transport.plan.tolist()
    [[0.5, 0.0], [0.5, 0.0]]
    """
    p, q, g = _masses("p", p, 1), _masses("q", q, 1), _masses("cost", cost, 2)
    if g.shape != (len(p), len(q)):
        raise BadInput(f"cost: expected shape {(len(p), len(q))} to fit p and q, found {g.shape}; is it transposed?")
    for name, mass in (("p", p), ("q", q)):
        if not mass.any():
            raise BadInput(f"{name}: expected some mass, found a sum of 0; give at least one bin a positive mass")
    # No bin sends or takes more than the other side has: without the rest a large one hides no small one.
    with np.errstate(over="ignore"):
        p = np.minimum(p, q.sum())
        q = np.minimum(q, p.sum())
    mass = _power_of_two(max(p.max(), q.max()))
    p, q = p / mass, q / mass
    plan = _plan(p, q, g)
    cost, flow = (plan * g).sum(), plan.sum()
    # Beside costs that are millions of times this one, the solver takes small ones for nothing. Below a cap it sees
    # them, and a plan that is cheaper than this one is so under the costs as they are.
    while 0 < (cap := 1e6 * cost / flow) < g.max():
        again = _plan(p, q, np.minimum(g, cap))
        if not (less := (again * g).sum()) < cost:
            break
        plan, cost, flow = again, less, again.sum()
    return Transport(float(cost * mass), plan * mass, float(flow * mass))


def _plan(p, q, g):
    """The cheapest plan (m, n) under costs g, where an extra bin at cost 0 takes up the difference of the masses.

    The solver's tolerances are absolute. So masses and costs are given to it in units that make them about 1, and that
    are powers of two, by which no digit is lost.
    """
    import ot

    (m, n), supply, demand = g.shape, p.sum(), q.sum()
    if supply > demand:
        g, q = np.hstack([g, np.zeros((m, 1))]), np.append(q, supply - demand)
    elif demand > supply:
        g, p = np.vstack([g, np.zeros((1, n))]), np.append(p, demand - supply)
    plan, log = ot.emd(p, q, g / _power_of_two(g.max()), numItermax=10_000_000, log=True)
    if log["warning"]:
        raise RuntimeError(f"the exact solver did not finish: {log['warning']}")
    return plan[:m, :n]


def _power_of_two(x):
    """The largest power of two up to x; 1 for 0."""
    return float(np.ldexp(0.5, np.frexp(x)[1])) if x else 1.0


def i2pemd(probabilities: Tensor, labels: Tensor, ground: Tensor) -> Tensor:
    """Instance-to-Prototype EMD: the transport cost between a prediction and its label.

    All mass has to go to the one bin of the label k, so the optimal plan is xᵢₖ = pᵢ and

    I2PEMD(p, e_k) = Σᵢ pᵢ G_ik                                                            (Eq. 6, eq06)

    Parameters
    ----------
    probabilities : (B, K, *S) softmax output p; any spatial shape S, empty for images
    labels : (B, *S) class index k of each instance, 0 to K-1
    ground : (K, K) ground distance G (Eq. 5); no gradient flows into it

    Returns
    -------
    (B, *S) distances, in the unit of G; differentiable in `probabilities`. Half precision is raised to float32.

    Raises
    ------
    BadInput
        when shapes do not fit, or (on a CPU) a label is not a class index, a probability not between 0 and 1, or an
        entry of G negative or not finite.

    Example
    -------
    >>> ground = torch.tensor([[0, 1/3, 1/2], [1/3, 0, 1/2], [1/2, 1/2, 0]])
    >>> p = torch.tensor([[0.2, 0.5, 0.3]])
    >>> [round(i2pemd(p, torch.tensor([k]), ground).item(), 6) for k in range(3)]
    [0.316667, 0.216667, 0.35]
    """
    K = check_labels("probabilities", probabilities, labels, ground).shape[1]
    if K < 2:
        raise BadInput("probabilities: expected at least 2 classes in dimension 1, found 1")
    if labels.device.type == "cpu" and labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < K:
        found = f"{int(labels.min())} to {int(labels.max())}; drop ignored instances first, or use i2pemd_loss"
        raise BadInput(f"labels: expected class indices 0 to {K - 1}, found {found}")
    p = at_least_float32(probabilities)
    if p.device.type == "cpu" and p.numel() and (p.is_complex() or not 0 <= p.min() <= p.max() < 1.001):
        found, do = ("complex ones" if p.is_complex() else f"{p.min():g} to {p.max():g}"), "give what the softmax gives"
        if p.isnan().any():
            found, do = "NaN", "the network has diverged"
        raise BadInput(f"probabilities: expected numbers from 0 to 1, found {found}; {do}")
    # G[:, labels] is (K, B, *S): the column of G for each instance.
    columns = ground.detach().to(p)[:, labels.long()].movedim(0, 1)
    return (p * columns).sum(1)


def check_labels(name: str, values: Tensor, labels: Tensor, ground: Tensor | None = None) -> Tensor:
    """The (B, C, *S) `values` themselves, after checking that (B, *S) integer `labels` fit them, and so does the (C, C)
    `ground` distance where it is given, whose entries (on a CPU) have to be finite and not negative."""
    if values.ndim < 2:
        raise BadInput(f"{name}: expected shape (B, channels, ...), found {tuple(values.shape)}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise BadInput(f"labels: expected integers, found {labels.dtype}; pass class numbers, labels.long()")
    expected = (values.shape[0], *values.shape[2:])
    if labels.shape != expected:
        found = f"{tuple(labels.shape)}; pass class numbers without a channel axis"
        raise BadInput(f"labels: expected shape {expected} for {name} {tuple(values.shape)}, found {found}")
    if ground is not None:
        K = values.shape[1]
        if ground.shape != (K, K):
            raise BadInput(f"ground: expected shape {(K, K)} for {K} classes, found {tuple(ground.shape)}")
        if ground.device.type == "cpu" and (ground.is_complex() or not 0 <= ground.min() <= ground.max() < torch.inf):
            raise BadInput("ground: expected finite numbers, none negative, found others; see ground_distance")
    return values


def at_least_float32(x: Tensor) -> Tensor:
    """`x` itself, or a float32 copy of half precision, whose 8 to 11 bits are too few for sums over many instances."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def without_autocast(function: Callable[P, T]) -> Callable[P, T]:
    """Compute in the precision of the inputs: mixed precision would round the sums of a loss to 8 bits."""

    @functools.wraps(function)
    def exact(*arguments, **options):
        tensors = (each for each in (*arguments, *options.values()) if isinstance(each, torch.Tensor))
        with torch.autocast(next(tensors, torch.empty(0)).device.type, enabled=False):
            return function(*arguments, **options)

    return exact


def numbers(name: str, values: Numbers | float) -> np.ndarray:
    """A number, list, array or tensor as float64; `BadInput` where one of them is no finite real number.

    Example
    -------
    >>> numbers("p", [1, 0.5])
    array([1. , 0.5])
    """
    if isinstance(values, torch.Tensor) and not values.is_complex():
        values = values.detach().cpu().double()
    try:
        array = np.asarray(values)
        array = None if array.dtype.kind in "cUSVmM" else array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError):
        array = None
    if array is None:
        raise BadInput(f"{name}: expected numbers, found {reprlib.repr(values)}; give real ones, in one array")
    if not np.isfinite(array).all():
        raise BadInput(f"{name}: expected finite numbers, found {array[~np.isfinite(array)][0]}; leave it out")
    return array


def _masses(name, values, ndim):
    array = numbers(name, values)
    if array.ndim != ndim or array.size == 0:
        raise BadInput(f"{name}: expected {ndim} dimension(s) and no empty one, found shape {array.shape}")
    if (array < 0).any():
        raise BadInput(f"{name}: expected no negative number, found {array.min()}; correct that entry")
    return array
