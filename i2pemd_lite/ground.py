"""From prototypes to the ground distance of the transport problem (Eq. 3-5)."""

import torch
from torch import Tensor

from i2pemd_lite.emd import at_least_float32
from i2pemd_lite.files import BadInput


def prototype_distances(prototypes: Tensor) -> Tensor:
    """How far apart the classes are in feature space.

    g_ij = ‖c_i − c_j‖₁                                                                    (Eq. 3, eq03)

    Parameters
    ----------
    prototypes : (K, d) one row a class, in raw feature units

    Returns
    -------
    (K, K) symmetric, zero diagonal, in feature units; without gradient

    Example
    -------
    >>> prototype_distances(torch.tensor([[0., 0.], [1., 1.], [3., 0.]])).tolist()
    [[0.0, 2.0, 3.0], [2.0, 0.0, 3.0], [3.0, 3.0, 0.0]]
    """
    if prototypes.ndim != 2 or prototypes.shape[0] < 2:
        raise BadInput(f"prototypes: expected shape (K, d) with at least 2 classes, found {tuple(prototypes.shape)}")
    c = _finite("prototypes", at_least_float32(prototypes.detach()))
    return (c[:, None] - c[None]).abs().sum(-1)


def _finite(name, values):
    if values.device.type == "cpu" and not values.isfinite().all():
        raise BadInput(f"{name}: expected finite numbers, found NaN or infinity; the features have diverged")
    return values


def percentile_ranks(distances: Tensor) -> Tensor:
    """Each entry replaced by the share of its row that is smaller, which makes scale and spread irrelevant.

    ḡ_ij = (1/K) · #{ l : g_il < g_ij }                                                    (Eq. 4, eq04)

    The comparison is strict, so ties share the lower rank, and the largest value is (K−1)/K.

    Parameters
    ----------
    distances : (K, K)

    Returns
    -------
    (K, K) in {0, 1/K, …, (K−1)/K}; in general not symmetric

    Example
    -------
    >>> percentile_ranks(torch.tensor([[0., 1., 4.], [1., 0., 5.], [4., 5., 0.]])).mul(3).tolist()
    [[0.0, 1.0, 2.0], [1.0, 0.0, 2.0], [1.0, 2.0, 0.0]]
    """
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1]:
        raise BadInput(f"distances: expected a square matrix (K, K), found {tuple(distances.shape)}")
    g = _finite("distances", at_least_float32(distances))
    # smaller[i, j, l] = [g_il < g_ij]
    smaller = g[:, None, :] < g[:, :, None]
    return smaller.sum(-1).to(g) / g.shape[0]


def ground_distance(prototypes: Tensor) -> Tensor:
    """The ground distance G of the transport problem, from the classes' prototypes.

    G = (ḡ + ḡᵀ) / 2,   ḡ the row ranks (Eq. 4) of the L1 distances (Eq. 3)                 (Eq. 5, eq05)

    Parameters
    ----------
    prototypes : (K, d)

    Returns
    -------
    (K, K) symmetric, zero diagonal, entries at most (K−1)/K; without ties the off-diagonal mean is exactly 1/2.
    Piecewise constant in the prototypes, so no gradient can flow through it.

    Example
    -------
    >>> prototypes = torch.tensor([[0., 0., 0.], [1., 0., 0.], [0., 3., 1.], [2., 2., 6.]])
    >>> ground_distance(prototypes)
    tensor([[0.0000, 0.2500, 0.3750, 0.7500],
            [0.2500, 0.0000, 0.5000, 0.6250],
            [0.3750, 0.5000, 0.0000, 0.5000],
            [0.7500, 0.6250, 0.5000, 0.0000]])
    """
    ranks = percentile_ranks(prototype_distances(prototypes))
    return (ranks + ranks.T) / 2


def fixed_ground_distance(
    num_classes: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """The ground distance that knows nothing of the classes: every mistake costs 1.

    G = 1 − I,  so that  I2PEMD(p, e_k) = 1 − p_k.

    The paper calls it "entries fixed to one"; with ones on the diagonal too, the distance would be 1 for every
    prediction and have no gradient, so the diagonal is 0 here.

    Example
    -------
    >>> fixed_ground_distance(3).tolist()
    [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """
    if num_classes < 2:
        raise BadInput(f"num_classes: expected at least 2, found {num_classes}")
    return 1 - torch.eye(num_classes, device=device, dtype=dtype)
