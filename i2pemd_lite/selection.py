"""Which unlabelled samples may teach: confidence and transport distance together (Eq. 15-18)."""

from typing import NamedTuple

import torch

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.files import BadInput


class Selection(NamedTuple):
    """N unlabelled samples of a batch, judged; every field has shape (N,)."""

    mask: torch.Tensor  # N_s = N_s^low ∪ N_s^high                  (Eq. 18)
    labels: torch.Tensor  # r_i = argmax o_i, the pseudo-labels     (Eq. 15)
    scores: torch.Tensor  # s_i = max o_i, the confidence           (Eq. 15)
    distances: torch.Tensor  # d_i = I2PEMD(o_i, e_{r_i})           (Eq. 6)
    confident: torch.Tensor  # N_s^1 = {s_i > τ_low}
    near: torch.Tensor  # N_s^2 = the T smallest d_i                (Eq. 16)
    low: torch.Tensor  # N_s^low = N_s^1 ∩ N_s^2                    (Eq. 17)
    high: torch.Tensor  # N_s^high = {s_i > τ_high}


def select(
    probabilities: torch.Tensor, ground: torch.Tensor, tau_low: float = 0.7, tau_high: float = 0.8, top: int = 24
) -> Selection:
    """Choose the unlabelled samples whose pseudo-label is to be trusted: a `Selection`.

    s_i = max o_i,  r_i = argmax o_i                                                       (Eq. 15, eq15)
    N_s^2 = the T samples with the smallest I2PEMD(o_i, e_{r_i})                           (Eq. 16, eq16)
    N_s^low = {s_i > τ_low} ∩ N_s^2                                                        (Eq. 17, eq17)
    N_s = N_s^low ∪ {s_i > τ_high}                                                         (Eq. 18, eq18)

    So the distance decides only about samples with τ_low < s_i ≤ τ_high. While G is all zeros (a class was never
    seen, see `PrototypeBank.ground_distance`) no distance means anything and N_s^low is empty.

    Parameters
    ----------
    probabilities : (N, K) softmax output o of the unlabelled part of the batch
    ground : (K, K) ground distance G
    tau_low, tau_high : 0 ≤ τ_low < τ_high ≤ 1
    top : T, at most N. The paper's "half of the batchsize" is 24 of 48; N = 36 of them are unlabelled.

    Raises
    ------
    BadInput
        for thresholds that cross, T no whole number or larger than the batch, an empty batch, and what `i2pemd`
        refuses, such as (on a CPU) numbers that are no probabilities.

    Example
    -------
    >>> from i2pemd_lite import fixed_ground_distance
    >>> o = torch.tensor([[.9, .1, 0.], [.75, .15, .1], [.72, .18, .1], [.4, .3, .3]])
    >>> select(o, fixed_ground_distance(3), top=2).mask.tolist()
    [True, True, False, False]
    """
    if probabilities.ndim != 2 or not len(probabilities):
        raise BadInput(f"probabilities: expected shape (N, K) with N ≥ 1, found {tuple(probabilities.shape)}")
    if not 0 <= tau_low < tau_high <= 1:
        raise BadInput(f"tau_low, tau_high: expected 0 ≤ τ_low < τ_high ≤ 1, found {tau_low} and {tau_high}")
    if not isinstance(top, int) or not 1 <= top <= len(probabilities):
        raise BadInput(f"top: expected 1 ≤ T ≤ {len(probabilities)}, the unlabelled samples in the batch, found {top}")
    o = probabilities.detach()
    s, r = o.max(1)
    d = i2pemd(o, r, ground)
    nearest = d.argsort(stable=True)[:top]
    near = torch.zeros_like(s, dtype=torch.bool).scatter(0, nearest, True)
    confident, high = s > tau_low, s > tau_high
    low = confident & near & (ground.to(d.device) > 0).any()
    return Selection(low | high, r, s, d, confident, near, low, high)
