"""Cross-entropy on labelled images: baseline, upper bound, and the first term of every other method."""

import torch
import torch.nn.functional as F

from i2pemd_lite.classification.augment import weak
from i2pemd_lite.emd import at_least_float32


def supervised(learner, t):
    """L_s on weak views of labelled images: 12 of the 20 % for the baseline, as many of all as the others see, 48
    at the paper's size, for the upper bound."""
    s = learner.settings
    count = s.labelled + s.unlabelled if learner.method.labels == "all" else s.labelled
    x, y, _ = learner.draw("labelled", t, count)
    features, logits = learner.network(learner.view(weak, x, t, "labelled"))
    learner.bank.update(features, y)
    loss = labelled_loss(logits, y, s.loss, learner.class_weights)
    return {"loss": loss, "labelled": loss}


def labelled_loss(logits, labels, kind, weights):
    """L_s of Eq. 14, the paper's cross-entropy or one of three that weigh rare classes more.

    "plain"     mean over i of -log p_{i, y_i}, p = softmax(logits): what the paper states
    "weighted"  sum_i -w_{y_i} log p_{i, y_i} / sum_i w_{y_i}
    "srcmt"     the same with p = softmax(softmax(logits)), as the code of SRC-MT computes it: the second softmax
                bounds the loss of 7 classes below by -log(e / (e + 6)) = 1.165 and flattens what the network answers
    "adjusted"  the mean of -log p_{i, y_i}, p = softmax(logits + log π), π_k = 1 / w_k the share of class k: the logits
                themselves then answer as if all classes were as frequent (Menon et al., arXiv:2007.07314)

    logits: (B, K); labels: (B,); weights: (K,) w_k, see `class_weights`.
    """
    logits = at_least_float32(logits)
    weight = None if kind in ("plain", "adjusted") else weights.to(logits)
    return F.cross_entropy(changed(logits, kind, weights), labels, weight=weight)


def changed(logits, kind, weights):
    """The logits that a kind of `labelled_loss` puts into cross-entropy."""
    if kind == "adjusted":
        return logits - weights.log().to(logits)
    return logits.softmax(1) if kind == "srcmt" else logits


def class_weights(labels, num_classes):
    """w_k = N / n_k from N labels, n_k of class k, (K,) float64: the weights of SRC-MT for a set of any size. A class
    without a label counts as one with one: a guess (`mixmatch`) can name it."""
    return len(labels) / torch.bincount(labels, minlength=num_classes).clamp(min=1).double()
