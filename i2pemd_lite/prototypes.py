"""Shared class prototypes, learned by momentum (Eq. 10, 11 for voxels; Eq. 20, 21 for images)."""

import math

import torch
from torch import Tensor, nn

from i2pemd_lite import distributed
from i2pemd_lite.emd import at_least_float32, check_labels, without_autocast
from i2pemd_lite.files import BadInput
from i2pemd_lite.ground import ground_distance


@without_autocast
def class_means(features: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """The mean feature of each class over all instances of a batch, whichever modality they come from.

    c_k^update = (1/N_k) Σ_{i : y_i = k} F_i                                        (Eq. 11, eq11; images: Eq. 21)

    Parameters
    ----------
    features : (B, d, *S) voxel features, or (B, d) image features
    labels : (B, *S) class indices; anything outside 0..K-1 (such as -100) is left out
    num_classes : K

    Returns
    -------
    means (K, d), zero where a class is absent, and counts (K,) = N_k; without gradient

    Example
    -------
    >>> means, counts = class_means(torch.tensor([[2., 0.], [4., 2.], [9., 9.]]), torch.tensor([0, 0, 2]), 3)
    >>> means.tolist(), counts.tolist()
    ([[3.0, 1.0], [0.0, 0.0], [9.0, 9.0]], [2.0, 0.0, 1.0])
    """
    F = at_least_float32(check_labels("features", features, labels).detach())
    F, y = F.reshape(*F.shape[:2], -1).mT, labels.reshape(len(labels), -1)
    # In parts of each sample: over all voxels at once, F would be copied first, float32 sums lose a digit, and most of
    # a GPU waits (15.8 ms in place of 0.8 for the voxels of a step at the paper's size on an H200).
    parts = math.gcd(F.shape[1], 64)
    F, y = F.unflatten(1, (parts, -1)), y.unflatten(1, (parts, 1, -1))
    # M[b, n, k, v] = [y_bnv = k]
    M = (y == torch.arange(num_classes, device=y.device)[:, None]).to(F.dtype)
    sums, counts = distributed.all_reduce_sum((M @ F).sum((0, 1)), M.sum((0, 1, 3)))
    return sums / counts.clamp(min=1)[:, None], counts


class PrototypeBank(nn.Module):
    """The prototypes c_k of all classes, one set for all modalities and all samples.

    c_k ← α c_k + (1−α) c_k^update   for each class in the batch           (Eq. 10, eq10; images: Eq. 20, eq20)

    The first mean seen of a class becomes its prototype as it is; a class that is absent keeps its prototype.
    Started from zeros instead (`bank.seen.fill_(True)` before the first update), c_k would lag by a factor 1−αᵗ.

    Parameters
    ----------
    num_classes : K
    dim : d, the feature size
    momentum : α, 0.8 throughout the paper; may be changed at any time

    Attributes
    ----------
    prototypes : (K, d) buffer
    seen : (K,) buffer, whether a class has had an update

    Example
    -------
    >>> bank = PrototypeBank(num_classes=2, dim=2)
    >>> bank.update(torch.tensor([[1., 2.]]), torch.tensor([0]))
    >>> bank.update(torch.tensor([[2., 0.], [4., 2.]]), torch.tensor([0, 0]))
    >>> bank.prototypes, bank.seen.tolist()
    (tensor([[1.4000, 1.8000],
            [0.0000, 0.0000]]), [True, False])
    """

    def __init__(self, num_classes: int, dim: int, momentum: float = 0.8):
        super().__init__()
        if num_classes < 2 or dim < 1:
            raise BadInput(f"num_classes, dim: expected at least 2 and 1, found {num_classes} and {dim}")
        self.num_classes, self.dim, self.momentum = num_classes, dim, momentum
        self.register_buffer("prototypes", torch.zeros(num_classes, dim))
        self.register_buffer("seen", torch.zeros(num_classes, dtype=torch.bool))

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor, mask: Tensor | None = None) -> None:
        """Move the prototypes of the classes present towards their mean in this batch (Eq. 10, 20).

        Parameters
        ----------
        features : (B, d, *S), labels : (B, *S) as for `class_means`
        mask : (B, *S) bool, which instances count (Eq. 21, eq21: the labelled and those of N_s); all when None

        With several processes, sums and counts are added up over all of them first, so that every process has the same
        prototypes as one process with the whole batch, whether each brings its share or all bring the whole.
        """
        if not 0 <= self.momentum <= 1:
            raise BadInput(f"momentum: expected a number from 0 to 1, found {self.momentum}")
        if check_labels("features", features, labels).shape[1] != self.dim:
            raise BadInput(f"features: expected {self.dim} features in dimension 1, found {tuple(features.shape)}")
        if mask is not None:
            if mask.dtype != torch.bool or mask.shape != labels.shape:
                found = f"{mask.dtype} of shape {tuple(mask.shape)}"
                raise BadInput(f"mask: expected bool of shape {tuple(labels.shape)} to fit labels, found {found}")
            labels = labels.long().masked_fill(~mask, -100)
        means, counts = class_means(features, labels, self.num_classes)
        present = counts > 0
        α = self.momentum * self.seen.to(self.prototypes)[:, None]
        moved = α * self.prototypes + (1 - α) * means.to(self.prototypes)
        self.prototypes.copy_(torch.where(present[:, None], moved, self.prototypes))
        self.seen.logical_or_(present)

    def ground_distance(self) -> Tensor:
        """G of the current prototypes (Eq. 3-5); all zeros until every class has been seen.

        Ranks among classes of which some were never seen mean nothing. With G = 0 the regulariser and its gradient
        are 0, without asking the device whether that is so.
        """
        return ground_distance(self.prototypes) * self.seen.all()

    def extra_repr(self):
        return f"num_classes={self.num_classes}, dim={self.dim}, momentum={self.momentum}"
