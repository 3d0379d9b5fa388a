"""How good a prediction is: overlap and surfaces of organs, the figures of the classification tables, Pearson's r.

Whether one method is better than another on the same images (paired t-test, McNemar, intervals): `tables.statistics`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from i2pemd_lite.emd import Numbers, numbers
from i2pemd_lite.files import BadInput


def dice(prediction: Numbers, truth: Numbers, num_classes: int) -> Tensor:
    """Dice overlap coefficient (DOC) of each class on a whole volume.

    DOC_k = 2 |P_k ∩ T_k| / (|P_k| + |T_k|)

    Parameters
    ----------
    prediction, truth : integer label maps of one shape

    Returns
    -------
    (K,) float64 in [0, 1]; NaN where a class is in neither, so that it is reported and not averaged in

    Example
    -------
    >>> dice(torch.tensor([1, 1, 0, 0, 2, 2]), torch.tensor([1, 1, 1, 0, 0, 2]), 4)
    tensor([0.5000, 0.8000, 0.6667,    nan], dtype=torch.float64)
    """
    prediction, truth = _label_maps(prediction, truth, num_classes)
    pairs = truth.reshape(-1) * num_classes + prediction.reshape(-1)
    confusion = torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes).double()
    return 2 * confusion.diagonal() / (confusion.sum(0) + confusion.sum(1))


class SurfaceDistances(NamedTuple):
    """Distances of surfaces in mm, (K,) float64 each: `assd` mean, `hd95` 95th percentile, `hd` maximum."""

    assd: np.ndarray
    hd95: np.ndarray
    hd: np.ndarray


def surface_distances(
    prediction: Numbers, truth: Numbers, num_classes: int, spacing: Sequence[float]
) -> SurfaceDistances:
    """How far the surface of each predicted class lies from the true one, in mm.

    With S the voxels of a mask that touch another class or the border of the volume, in-plane or along z, and
    d(v, S) = min_s ‖v − s‖ between centres of voxels:

    ASSD = (Σ_{v∈S_P} d(v, S_T) + Σ_{v∈S_T} d(v, S_P)) / (|S_P| + |S_T|)
    HD95 = the larger of the 95th percentiles of d(v, S_T) over S_P and of d(v, S_P) over S_T
    HD   = the larger of their maxima

    Parameters
    ----------
    prediction, truth : integer label maps of one shape (D, H, W), class 0 the background
    spacing : (z, y, x) of a voxel in mm

    Returns
    -------
    SurfaceDistances; NaN where a class is missing from either map, and for the background, which has no surface of
    its own.

    Example
    -------
    >>> truth, prediction = torch.zeros(2, 8, 8, 8, dtype=torch.long)
    >>> truth[2:5, 2:5, 2:5] = 1
    >>> prediction[2:6, 2:5, 2:5] = 1
    >>> distances = surface_distances(prediction, truth, 3, (8.0, 1.5, 1.5))
    >>> distances.hd.tolist(), round(float(distances.assd[1]), 3)
    ([nan, 8.0, nan], 1.225)
    """
    from scipy.ndimage import binary_erosion
    from scipy.spatial import KDTree

    prediction, truth = _label_maps(prediction, truth, num_classes)
    lengths = numbers("spacing", spacing)
    if lengths.shape != (truth.ndim,) or not (lengths > 0).all():
        raise BadInput(f"spacing: expected {truth.ndim} lengths above 0 in mm, found {spacing}; give (z, y, x)")
    distances = np.full((3, num_classes), np.nan)
    for k in range(1, num_classes):
        masks = [(labels == k).numpy() for labels in (prediction, truth)]
        if all(mask.any() for mask in masks):
            P, T = (np.argwhere(mask & ~binary_erosion(mask)) * lengths for mask in masks)
            there, back = KDTree(T).query(P)[0], KDTree(P).query(T)[0]
            distances[0, k] = np.concatenate([there, back]).mean()
            distances[1, k] = max(np.percentile(there, 95), np.percentile(back, 95))
            distances[2, k] = max(there.max(), back.max())
    return SurfaceDistances(*distances)


def _label_maps(prediction, truth, num_classes):
    """Both as int64 tensors. Raises `BadInput` for other shapes and for labels that are no class."""
    if not isinstance(num_classes, int) or num_classes < 1:
        raise BadInput(f"num_classes: expected a whole number from 1, found {num_classes!r}; give how many there are")
    prediction, truth = _whole("prediction", prediction), _whole("truth", truth)
    if prediction.shape != truth.shape:
        raise BadInput(f"prediction: expected the truth's shape {tuple(truth.shape)}, found {tuple(prediction.shape)}")
    for name, labels in (("prediction", prediction), ("truth", truth)):
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
            found = f"{int(labels.min())} to {int(labels.max())}"
            raise BadInput(f"{name}: expected class indices 0 to {num_classes - 1}, found {found}")
    return prediction, truth


def _whole(name, labels):
    if isinstance(labels, torch.Tensor) and not (labels.is_floating_point() or labels.is_complex()):
        return labels.long()
    labels = numbers(name, labels)
    if (odd := labels[labels != labels.round()]).size:
        raise BadInput(f"{name}: expected whole numbers, found {odd[0]}; round the labels, or mend what made them")
    return torch.from_numpy(labels).long()


class Correlation(NamedTuple):
    """Pearson's `r`, its two-sided `p`, and the number of pairs `n`."""

    r: float
    p: float
    n: int


def pearson(x: Numbers, y: Numbers) -> Correlation:
    """Pearson's correlation coefficient, as Table 2 has it: a `Correlation`.

    r = Σ (x − x̄)(y − ȳ) / √(Σ (x − x̄)² Σ (y − ȳ)²);  p from t = r √((n − 2)/(1 − r²)) with n − 2 degrees of freedom

    p holds for pairs that are independent of one another. Figures of successive epochs are not, so theirs is too small.

    Parameters
    ----------
    x, y : (n,) finite numbers, n ≥ 3, neither all the same

    Example
    -------
    >>> r, p, n = pearson([0.5, 0.4, 0.3, 0.25, 0.2], [60, 70, 78, 80, 86])
    >>> round(r, 6), round(p, 7), n
    (-0.994747, 0.0004566, 5)
    """
    from scipy.stats import pearsonr

    x, y = numbers("x", x), numbers("y", y)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 3:
        raise BadInput(f"x, y: expected two lists of at least 3 numbers, found shapes {x.shape} and {y.shape}")
    for name, values in (("x", x), ("y", y)):
        if (values == values[0]).all():
            found = f"{values[0]:g} {len(values)} times"
            raise BadInput(f"{name}: expected numbers that vary, found {found}; r is undefined")
    r, p = pearsonr(x, y)
    return Correlation(float(r), float(p), len(x))


def classification_metrics(scores: Numbers, labels: Numbers, decision: str | float = "argmax") -> dict[str, float]:
    """The figures of Table 4, each the plain mean over K one-against-the-rest problems, and top-1 accuracy.

    AUC; sensitivity TP/(TP+FN); specificity TN/(TN+FP); accuracy (TP+TN)/N; F1 2TP/(2TP+FP+FN)

    With an argmax decision the mean accuracy is 1 − 2 (1 − top-1)/K, which is why 94 % of 7 classes means a top-1 of
    only 79 %.

    Parameters
    ----------
    scores : (N, K) softmax output
    labels : (N,) class indices
    decision : "argmax", or a number t: every class with score ≥ t is called positive (several or none can be)

    Returns
    -------
    dict of floats in [0, 1]: auc, sensitivity, specificity, accuracy, f1, top1. A ratio 0/0 counts as 0; the AUC of a
    class that never or always occurs is undefined and left out of the mean.

    Example
    -------
    >>> scores = [[.7, .2, .1], [.3, .5, .2], [.1, .8, .1], [.15, .65, .2], [.45, .35, .2], [.2, .2, .6]]
    >>> {name: round(value, 4) for name, value in classification_metrics(scores, [0, 0, 1, 1, 1, 2]).items()}
    {'auc': 0.9213, 'sensitivity': 0.7222, 'specificity': 0.8056, 'accuracy': 0.7778, 'f1': 0.7222, 'top1': 0.6667}
    """
    labels = np.asarray(labels)
    figures = weighted_metrics(scores, labels, np.ones((1, labels.size)), decision)
    return {name: float(value) for name, (value,) in figures.items()}


def weighted_metrics(
    scores: Numbers, labels: Numbers, weights: Numbers, decision: str | float = "argmax"
) -> dict[str, np.ndarray]:
    """The figures of `classification_metrics` under many sets of weights of the images at once.

    A whole weight repeats its image that many times, 0 leaves it out. TP, FP, FN, TN and N become sums of weights, and
    with P the images of a class, Q all others and s their scores for it

    AUC = Σ_{i∈P} Σ_{j∈Q} wᵢ wⱼ ([sᵢ > sⱼ] + ½ [sᵢ = sⱼ]) / (Σ_{i∈P} wᵢ Σ_{j∈Q} wⱼ)

    Parameters
    ----------
    scores, labels, decision : as for `classification_metrics`
    weights : (B, N) finite numbers, not negative, some above 0 in each row

    Returns
    -------
    dict of (B,) float64, the same figures; where under a row of weights no class has an AUC, it is NaN

    Example
    -------
    >>> scores, labels = [[0.8, 0.2], [0.4, 0.6], [0.3, 0.7]], [0, 0, 1]
    >>> weighted_metrics(scores, labels, [[1, 1, 1], [2, 0, 1], [1, 3, 0]])["top1"].tolist()
    [0.6666666666666666, 1.0, 0.25]
    """
    s, y, w = numbers("scores", scores), np.asarray(labels), numbers("weights", weights)
    if s.ndim != 2 or y.shape != s.shape[:1] or not len(y):
        raise BadInput(f"scores, labels: expected shapes (N, K) and (N,), found {s.shape} and {y.shape}")
    if w.ndim != 2 or w.shape[1] != len(y):
        raise BadInput(f"weights: expected shape (B, {len(y)}), a column for each image, found {w.shape}")
    if not ((w >= 0).all() and w.any(1).all()):
        raise BadInput("weights: expected numbers from 0, some above 0 in each row, found others; give counts")
    K = s.shape[1]
    truth = y[:, None] == np.arange(K)
    if not truth.any(1).all():
        found = sorted(set(y[~truth.any(1)].tolist()))
        raise BadInput(f"labels: expected classes 0 to {K - 1}, found {found[:5]}; leave out images without a class")
    if isinstance(decision, str) and decision == "argmax":
        positive = s.argmax(1)[:, None] == np.arange(K)
    elif isinstance(decision, int | float) and not isinstance(decision, bool) and np.isfinite(decision):
        positive = s >= decision
    else:
        raise BadInput(f"decision: expected 'argmax' or a threshold such as 0.18, found {decision!r}")
    tp, fp = w @ (truth & positive), w @ (~truth & positive)
    fn, tn = w @ (truth & ~positive), w @ (~truth & ~positive)
    total = w.sum(1)
    return {
        "auc": _mean_auc(s, truth, w),
        "sensitivity": _ratio(tp, tp + fn).mean(1),
        "specificity": _ratio(tn, tn + fp).mean(1),
        "accuracy": (tp + tn).mean(1) / total,
        "f1": _ratio(2 * tp, 2 * tp + fp + fn).mean(1),
        "top1": w @ (s.argmax(1) == y) / total,
    }


def _mean_auc(scores, truth, weights):
    """(B,) mean AUC of the classes that have weight on both sides."""
    wins, pairs = np.zeros((2, len(weights), scores.shape[1]))
    for k, s in enumerate(scores.T):
        P, Q = np.flatnonzero(truth[:, k]), np.flatnonzero(~truth[:, k])
        Q = Q[s[Q].argsort()]
        # below[:, n] is the weight of the n lowest of Q: Σⱼ wⱼ ([sᵢ > sⱼ] + ½ [sᵢ = sⱼ]) is the mean of two of these.
        below = np.pad(weights[:, Q].cumsum(1), ((0, 0), (1, 0)))
        less, less_or_equal = (below[:, np.searchsorted(s[Q], s[P], side)] for side in ("left", "right"))
        wins[:, k] = (weights[:, P] * (less + less_or_equal) / 2).sum(1)
        pairs[:, k] = weights[:, P].sum(1) * below[:, -1]
    defined = (pairs > 0).sum(1)
    return _ratio(wins, pairs).sum(1) / np.where(defined, defined, np.nan)


def _ratio(a, b):
    return np.divide(a, b, out=np.zeros(a.shape), where=b > 0)
