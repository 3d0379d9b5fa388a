"""The losses of segmentation (Eq. 7-9), the compared distances, and the gap between two feature clouds.

Every term of Eq. 7 needs only a few sums over the voxels of each class, `class_statistics` (fused.py), which one pass
over the logits gives. `segmentation_loss_reference` says the same voxel by voxel, for reading and for checking.

In several processes the sums are over the shares of all of them: each has the loss of the whole batch.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from i2pemd_lite import distributed
from i2pemd_lite.emd import at_least_float32, check_labels, i2pemd, without_autocast
from i2pemd_lite.files import BadInput
from i2pemd_lite.fused import ClassStatistics, class_statistics

EPSILON = 1e-7


class Loss(Tensor):
    """What `segmentation_loss` gives, for editors: a scalar with its `terms`. No tensor is of this class."""

    terms: dict[str, Tensor]


def i2pemd_loss(logits: Tensor, labels: Tensor, ground: Tensor, ignore_index: int = -100) -> Tensor:
    """The mean transport cost between predictions and labels, each class counting the same.

    ℓ_k = (1/N_k) Σ_{v : y_v = k} I2PEMD(p_v, e_k) = p̄_k · G[:, k]                         (Eq. 9, eq09)
    L_I2PEMD = mean of ℓ_k over the classes present                                         (Eq. 8, eq08)

    The paper divides by K; a class without a voxel has no ℓ_k, so the mean is over those present.

    Parameters
    ----------
    logits : (B, K, *S), labels : (B, *S), ground : (K, K)
    ignore_index : voxels with this label count nowhere

    Returns
    -------
    scalar; 0 when no voxel counts

    Example
    -------
    >>> logits = torch.log(torch.tensor([[.7, .2, .1], [.1, .8, .1]]))
    >>> i2pemd_loss(logits, torch.tensor([0, 0]), 1 - torch.eye(3)).item()
    0.6000...
    """
    statistics = class_statistics(logits, labels, ignore_index)
    check_labels("logits", logits, labels, ground)
    return _i2pemd(_pooled(statistics), ground)


@without_autocast
def i2ped_loss(features: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
    """The Euclidean rival of `i2pemd_loss`: how far features lie from their class's prototype.

    ℓ_k = (1/N_k) Σ_{v : y_v = k} ‖f_v − c_k‖₂,   mean over the classes present           (Table 3, after Eq. 8, 9)

    Parameters
    ----------
    features : (B, d, *S), labels : (B, *S), negative ones left out, prototypes : (K, d), without gradient

    Returns
    -------
    scalar, in feature units; its gradient reaches the features, unlike that of I2PEMD

    Raises
    ------
    BadInput
        when shapes do not fit, or (on a CPU) a label is no class of the prototypes

    Example
    -------
    >>> f = torch.tensor([[3., 4.], [0., 0.], [1., 1.]])
    >>> round(i2ped_loss(f, torch.tensor([0, 0, 1]), torch.tensor([[0., 0.], [1., 0.]])).item(), 5)
    1.75
    """
    f = at_least_float32(check_labels("features", features, labels))
    c = prototypes.detach().to(f)
    if c.ndim != 2 or c.shape[1] != f.shape[1]:
        raise BadInput(f"prototypes: expected shape (K, {f.shape[1]}) to fit features, found {tuple(c.shape)}")
    f, y = f.reshape(*f.shape[:2], -1).movedim(1, -1).flatten(0, 1), labels.reshape(-1).long()
    _expect_below(len(c), y)
    k = y.clamp(min=0)
    distance = ((f - c[k]).square().sum(-1) + 1e-12).sqrt()
    # M[k, v] = [y_v = k]
    M = (y == torch.arange(len(c), device=y.device)[:, None]).to(f)
    return _class_balanced(*distributed.all_reduce_sum(M @ distance, M.sum(1)))


def _expect_below(K, labels):
    """Raise `BadInput` for a label above the last class, on a CPU."""
    if labels.device.type == "cpu" and labels.numel() and labels.max() >= K:
        raise BadInput(f"labels: expected classes below {K}, of which there are as many, found {int(labels.max())}")


def _class_balanced(sums, N):
    """mean of ℓ_k = sums_k / N_k over the classes present (Eq. 8); 0 when there is none"""
    return (sums / N.clamp(min=1)).sum() / (N > 0).sum().clamp(min=1)


def segmentation_loss(
    logits: Tensor, labels: Tensor, ground: Tensor | None, weight: float = 1.0, ignore_index: int = -100,
    ce: str = "weighted", sizes: Sequence[int] | None = None, add: str = "sum", dice: str = "all"
) -> Loss:  # fmt: skip
    """The whole objective of segmentation, from one pass over the logits.

    L_Seg = L_CE + L_Dice + λ L_I2PEMD                                                      (Eq. 7, eq07)
    L_CE   = (1/N) Σ_v −w_{y_v} log p_{v,y_v},   w_k = 1 − N_k/N      (w = 1 with ce="plain")
    L_Dice = 1 − (1/K) Σ_k 2 Σ_v p_vk y_vk / (Σ_v p_vk² + Σ_v y_vk)

    Parameters
    ----------
    logits : (B, K, *S), labels : (B, *S)
    ground : (K, K) ground distance G, or None to leave the last term out
    weight : λ
    ce : "weighted", as in the code of Dou et al. 2020 whose base all rows of Table 1 share, or "plain"
    sizes : how many samples of the batch belong to each modality, such as (3, 3). CE and Dice are then taken for each
        modality and added up, while I2PEMD pools all voxels. One group when None.
    add : "sum" of the modalities, as in the code of Dou et al., or their "mean", beside which λ weighs twice as much
    dice : whose mean L_Dice is: of "all" classes, or of "organs", all but class 0

    Returns
    -------
    scalar tensor that backpropagates; its attribute `terms` holds ce, dice and i2pemd, detached

    Raises
    ------
    BadInput
        when shapes or types do not fit, sizes do not add up to B, or `ce`, `add` or `dice` is unknown

    Example
    -------
    >>> logits = torch.log(torch.tensor([[.9, .1], [.6, .4], [.2, .8], [.3, .7]]))
    >>> loss = segmentation_loss(logits, torch.tensor([0, 0, 1, 0]), 1 - torch.eye(2), weight=0.5)
    >>> {name: round(term.item(), 6) for name, term in loss.terms.items()}
    {'ce': 0.155599, 'dice': 0.233569, 'i2pemd': 0.3}
    """
    known = {"add": (add, "sum", "mean"), "ce": (ce, "weighted", "plain"), "dice": (dice, "all", "organs")}
    for name, (value, *choices) in known.items():
        if value not in choices:
            raise BadInput(f"{name}: expected {' or '.join(map(repr, choices))}, found {value!r}")
    statistics = class_statistics(logits, labels, ignore_index)
    check_labels("logits", logits, labels, ground)
    groups = _groups(statistics, sizes)
    n = 1 if add == "sum" else len(groups)
    terms = {"ce": sum(_cross_entropy(s, ce) for s in groups) / n, "dice": sum(_soft_dice(s, dice) for s in groups) / n}
    if ground is not None:
        terms["i2pemd"] = _i2pemd(_pooled(statistics), ground)
    return _total(terms, weight)


def segmentation_loss_reference(
    logits: Tensor, labels: Tensor, ground: Tensor | None, weight: float = 1.0, ignore_index: int = -100,
    ce: str = "weighted", sizes: Sequence[int] | None = None, add: str = "sum", dice: str = "all"
) -> Loss:  # fmt: skip
    """`segmentation_loss`, written voxel by voxel as the equations are: slower, and what the fast one is held to.

    Example
    -------
    >>> logits, labels = torch.randn(2, 3, 4, 4), torch.randint(3, (2, 4, 4))
    >>> fast, slow = (f(logits, labels, 1 - torch.eye(3)) for f in (segmentation_loss, segmentation_loss_reference))
    >>> torch.testing.assert_close(fast, slow)
    """
    parts = _expect_sizes(sizes or (len(logits),), len(logits))
    terms = {"ce": 0.0, "dice": 0.0}
    for z, y in zip(logits.split(parts), labels.split(parts), strict=True):
        valid = y != ignore_index
        z, y = at_least_float32(z).movedim(1, -1)[valid], y[valid].long()
        p, onehot = z.softmax(-1), F.one_hot(y, z.shape[-1]).to(z)
        w = 1 - onehot.mean(0) if ce == "weighted" else torch.ones_like(z[0])
        terms["ce"] = terms["ce"] + (w[y] * F.cross_entropy(z, y, reduction="none")).mean()
        overlap = 2 * (p * onehot).sum(0) / ((p**2).sum(0) + onehot.sum(0) + EPSILON)
        terms["dice"] = terms["dice"] + 1 - overlap[dice == "organs" :].mean()
    terms = {name: term / (1 if add == "sum" else len(parts)) for name, term in terms.items()}
    if ground is not None:
        p = at_least_float32(logits).softmax(1)
        d = i2pemd(p, labels.where(labels != ignore_index, 0), ground)
        terms["i2pemd"] = torch.stack([d[labels == k].mean() for k in labels[labels != ignore_index].unique()]).mean()
    return _total(terms, weight)


def _total(terms, weight):
    loss = terms["ce"] + terms["dice"] + weight * terms.get("i2pemd", 0.0)
    # An attribute of this one tensor: a subclass could not be formatted, and a tuple could not be backpropagated.
    loss.terms = {name: term.detach() for name, term in terms.items()}
    return loss


def _groups(statistics, sizes):
    """The statistics of each modality, summed over its samples."""
    if sizes is None:
        return [_pooled(statistics)]
    sizes = _expect_sizes(sizes, len(statistics.counts))
    parts = zip(*(field.split(sizes) for field in statistics), strict=True)
    return [_pooled(ClassStatistics(*part)) for part, size in zip(parts, sizes, strict=True) if size]


def _expect_sizes(sizes, B):
    """The sizes as a tuple; `BadInput` unless they are whole numbers that add up to the batch."""
    sizes = tuple(sizes) if isinstance(sizes, tuple | list) else (sizes,)
    if not all(isinstance(size, int) and size >= 0 for size in sizes) or sum(sizes) != B:
        raise BadInput(f"sizes: expected whole numbers that add up to the batch of {B}, found {sizes}")
    return sizes


def _pooled(statistics):
    return ClassStatistics(*distributed.all_reduce_sum(*(field.sum(0) for field in statistics)))


def _cross_entropy(s, ce):
    N = s.counts.sum().clamp(min=1)
    w = 1 - s.counts / N if ce == "weighted" else torch.ones_like(s.counts)
    return (w * s.nll).sum() / N


def _soft_dice(s, dice):
    return 1 - (2 * s.mass.diagonal() / (s.squares + s.counts + EPSILON))[dice == "organs" :].mean()


def _i2pemd(s, ground):
    # ℓ_k = Σ_i p̄_ki G_ik, with p̄_k = mass_k / N_k the mean prediction over class k
    return _class_balanced((s.mass * ground.detach().to(s.mass).T).sum(1), s.counts)


@without_autocast
def kd_loss(logits: Tensor, labels: Tensor, sizes: Sequence[int], temperature: float = 2.0) -> Tensor:
    """Knowledge distillation between the modalities, of Dou et al. 2020 (the row UMMKD of Table 1).

    z_k^m = mean logits of modality m over voxels of class k,   q_k^m = softmax(z_k^m / T)
    L_KD = mean_k ½ [KL(q_k^CT ‖ q_k^MR) + KL(q_k^MR ‖ q_k^CT)]

    A class that is absent from a modality has no mean and is skipped. Gradients flow to both sides. `BadInput` for a
    label that is no class (on a CPU; negative ones are left out), other sizes than two, and a temperature up to 0.

    Parameters
    ----------
    logits : (B, K, *S), labels : (B, *S), sizes : (number of CT, number of MR) samples, in this order, temperature : T

    Example
    -------
    >>> logits = torch.tensor([[2., 0.], [4., -2.], [0., 2.], [1., 1.], [-1., 3.], [1., 5.]])
    >>> round(kd_loss(logits, torch.tensor([0, 0, 1, 0, 1, 1]), (3, 3)).item(), 6)
    0.227833
    """
    K = check_labels("logits", logits, labels).shape[1]
    sizes = _expect_sizes(sizes, len(logits))
    _expect_below(K, labels)
    if len(sizes) != 2 or min(sizes) < 1 or not 0 < temperature < torch.inf:
        expected = "two modalities with samples and a temperature above 0"
        raise BadInput(f"sizes, temperature: expected {expected}, found {sizes} and {temperature}")
    log_q, counts = [], []
    for z, y in zip(logits.split(sizes), labels.split(sizes), strict=True):
        z, y = at_least_float32(z).reshape(len(z), K, -1), y.reshape(len(y), -1)
        M = (y[:, None] == torch.arange(K, device=y.device)[:, None]).to(z)
        sums, N = distributed.all_reduce_sum(torch.einsum("bkv,biv->ki", M, z), M.sum((0, 2)))
        means = sums / N.clamp(min=1)[:, None]
        log_q.append((means / temperature).log_softmax(1))
        counts.append(N)
    a, b = log_q
    # KL(q_a ‖ q_b) + KL(q_b ‖ q_a) = Σ (q_a − q_b)(log q_a − log q_b)
    divergence = ((a.exp() - b.exp()) * (a - b)).sum(1) / 2
    both = (counts[0] > 0) & (counts[1] > 0)
    return (divergence * both).sum() / both.sum().clamp(min=1)


def mmd(x: Tensor, y: Tensor, kernels: int = 5, bandwidth: float | None = None, unbiased: bool = False) -> Tensor:
    """The squared maximum mean discrepancy between two clouds of features: 0 when they look the same.

    MMD² = mean k(x, x') + mean k(y, y') − 2 mean k(x, y),   k(a, b) = Σ_u exp(−‖a − b‖² / β_u),   β_u = β 2^(u − ⌊n/2⌋)

    with n kernels (Long et al. 2015 use five), and β the mean squared distance between two different points of both
    clouds together. The paper reports an MMD in Table 2 without saying which.

    Parameters
    ----------
    x, y : (n, d), (m, d)
    bandwidth : β; from the data when None
    unbiased : leave out k(a, a), which lets the value fall below 0

    Example
    -------
    >>> x, y = torch.tensor([[0., 0.], [1., 0.], [0., 1.]]), torch.tensor([[2., 2.], [3., 2.]])
    >>> round(mmd(x, y, kernels=1).item(), 4), round(mmd(x, y, kernels=5).item(), 4)
    (1.2736, 5.4961)
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 1 + unbiased:
        raise BadInput(f"x, y: expected two clouds (n, d) and (m, d), found {tuple(x.shape)} and {tuple(y.shape)}")
    if not isinstance(kernels, int) or kernels < 1 or not (bandwidth is None or 0 < bandwidth < torch.inf):
        raise BadInput(f"kernels, bandwidth: expected 1 or more, and above 0 or None, found {kernels} and {bandwidth}")
    n, m = len(x), len(y)
    points = torch.cat([at_least_float32(x), at_least_float32(y)])
    squared = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()
    tiny = torch.finfo(points.dtype).tiny  # where all points are one, 0 is divided by it
    β = bandwidth or (squared.detach().sum() / ((n + m) * (n + m - 1))).clamp(min=tiny)
    k = kernel = torch.exp(-squared / (β * 2.0 ** ((kernels - 1) // 2)))  # the widest; half as wide is its square
    for _ in range(kernels - 1):
        kernel = kernel.square()
        k = k + kernel
    within_x, within_y, across = k[:n, :n], k[n:, n:], k[:n, n:]
    if unbiased:
        off = [(block.sum() - block.trace()) / (len(block) * (len(block) - 1)) for block in (within_x, within_y)]
        return off[0] + off[1] - 2 * across.mean()
    return within_x.mean() + within_y.mean() - 2 * across.mean()
