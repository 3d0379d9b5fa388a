"""How good a prediction is: overlap of organs, and the five figures of the classification tables."""

import numpy as np
import torch

from i2pemd_lite.files import BadInput


def dice(prediction, truth, num_classes):
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
    prediction, truth = torch.as_tensor(prediction), torch.as_tensor(truth)
    if prediction.shape != truth.shape:
        raise BadInput(f"prediction: expected the truth's shape {tuple(truth.shape)}, found {tuple(prediction.shape)}")
    for name, labels in (("prediction", prediction), ("truth", truth)):
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
            found = f"{int(labels.min())} to {int(labels.max())}"
            raise BadInput(f"{name}: expected class indices 0 to {num_classes - 1}, found {found}")
    pairs = truth.reshape(-1).long() * num_classes + prediction.reshape(-1).long()
    confusion = torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes).double()
    return 2 * confusion.diagonal() / (confusion.sum(0) + confusion.sum(1))


def classification_metrics(scores, labels, decision="argmax"):
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
    from sklearn.metrics import roc_auc_score

    s, y = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if s.ndim != 2 or y.shape != s.shape[:1] or not len(y):
        raise BadInput(f"scores, labels: expected shapes (N, K) and (N,), found {s.shape} and {y.shape}")
    if not np.isfinite(s).all():
        raise BadInput("scores: expected finite numbers, found NaN or infinity; the network has diverged")
    K = s.shape[1]
    truth = y[:, None] == np.arange(K)
    if decision == "argmax":
        positive = s.argmax(1)[:, None] == np.arange(K)
    elif isinstance(decision, int | float):
        positive = s >= decision
    else:
        raise BadInput(f"decision: expected 'argmax' or a threshold such as 0.18, found {decision!r}")
    tp, fp = (truth & positive).sum(0), (~truth & positive).sum(0)
    fn, tn = (truth & ~positive).sum(0), (~truth & ~positive).sum(0)
    mixed = [k for k in range(K) if 0 < truth[:, k].sum() < len(y)]
    return {
        "auc": float(np.mean([roc_auc_score(truth[:, k], s[:, k]) for k in mixed])) if mixed else float("nan"),
        "sensitivity": float(_ratio(tp, tp + fn).mean()),
        "specificity": float(_ratio(tn, tn + fp).mean()),
        "accuracy": float(((tp + tn) / len(y)).mean()),
        "f1": float(_ratio(2 * tp, 2 * tp + fp + fn).mean()),
        "top1": float((s.argmax(1) == y).mean()),
    }


def _ratio(a, b):
    return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)
