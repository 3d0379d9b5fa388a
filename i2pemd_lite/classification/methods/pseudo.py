"""Pseudo-labels: the answer to a weak view teaches a strong view, for the samples that are selected.

FixMatch, FlexMatch and the paper's I2PEMD differ in the selection alone, and so do the filters of Table 5.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from i2pemd_lite.classification.augment import strong, weak
from i2pemd_lite.classification.methods.bands import bands
from i2pemd_lite.classification.methods.supervised import labelled_loss
from i2pemd_lite.emd import at_least_float32
from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.selection import select


def pseudo_labels(learner, t):
    """A step of consistency: the answers to weak views, as labels of the strong views of the same images.

    min_θ L,   θ the weights of the network f: one minimum over both terms                      (Eq. 12, eq12)
    L_u = (1/M) Σ_i −log f(strong view of x_i)_{r_i},   r_i the answer to the weak view         (Eq. 13, eq13)
    L = L_s + λ L_u                                                                             (Eq. 14, eq14)
    L_u = (1/M) Σ_{i ∈ N_s} …   the same over the images that a method selects                  (Eq. 19, eq19)

    The paper prints sums. Here L_s is the mean over the labelled images of the batch, and L_u is divided by all M
    unlabelled ones however many are selected (`mean_over="selected"`: by those), so that one λ serves any batch.
    """
    s = learner.settings
    x, y, _ = learner.draw("labelled", t, s.labelled)
    u, truth, members = learner.draw("unlabelled", t, s.unlabelled)
    views = [learner.view(weak, x, t, "labelled"), learner.view(weak, u, t, "weak"),
             learner.view(strong, u, t, "strong", n=s.n_ops, m=s.magnitude, cutout=s.cutout)]  # fmt: skip
    (features_x, logits_x), (features_weak, logits_weak), (features_strong, logits_strong) = of_views(learner, views)

    o = logits_weak.detach().softmax(1)
    G = learner.bank.ground_distance()  # from the prototypes of step t−1, because Eq. 21 needs N_s
    chosen = SELECTIONS[learner.method.selection](o, G, s, learner.memory, members)

    L_s = labelled_loss(logits_x, y, s.loss, learner.class_weights)
    each = F.cross_entropy(logits_strong, chosen.labels, reduction="none") * chosen.mask
    L_u = each.sum() / (len(each) if s.mean_over == "all" else chosen.mask.sum().clamp(min=1))
    learner.bank.update(  # Eq. 20, 21
        torch.cat([features_x, features_weak if s.features == "weak" else features_strong]),
        torch.cat([y, chosen.labels]),
        mask=torch.cat([torch.ones_like(y, dtype=torch.bool), chosen.mask]),
    )
    counts = bands(o, truth, G, chosen.mask, s.tau_low, s.tau_high, s.top)
    return {"loss": L_s + s.weight * L_u, "labelled": L_s, "unlabelled": L_u, **counts}


def of_views(learner, views):
    """[(features without gradient, logits)] of labelled, weak and strong views.

    Together (`norms`), batch normalisation sees all views in one forward, as in FixMatch's code, and a gradient flows
    to the weak ones through its statistics. Apart, the weak views are answered by themselves and without a gradient,
    which is all that Eq. 13 asks of them and saves a quarter of the step; the running statistics move twice then.
    """

    def outputs(*some):
        features, logits = learner.network(torch.cat(some))
        sizes = [len(view) for view in some]
        return list(zip(features.detach().split(sizes), at_least_float32(logits).split(sizes), strict=True))

    if learner.settings.norms == "together":
        return outputs(*views)
    with torch.no_grad():
        [weak_ones] = outputs(views[1])
    labelled, strong_ones = outputs(views[0], views[2])
    return [labelled, weak_ones, strong_ones]


class Chosen(NamedTuple):
    """What every selection says of N samples; `Selection` says more."""

    mask: torch.Tensor  # (N,) bool: N_s
    labels: torch.Tensor  # (N,) r_i
    scores: torch.Tensor  # (N,) s_i


def above(o, tau):
    """The samples whose score s_i = max o_i is at least τ, one number or one for each class: FixMatch and FlexMatch."""
    s, r = o.max(1)
    return Chosen(s >= (tau[r] if isinstance(tau, torch.Tensor) else tau), r, s)


def flexible_thresholds(memory, num_classes, tau=0.95, warm_up=True):
    """A threshold for each class, lower while few samples are known to be of it (FlexMatch, arXiv:2110.08263).

    σ_k = number of unlabelled samples last seen with s >= τ and r = k;   β_k = σ_k / max_j σ_j
    τ_k = τ β_k / (2 − β_k)

    With warm_up, β_k = σ_k / max(max_j σ_j, number of samples not seen so yet): all thresholds stay low until most are.

    memory: (M,) for each unlabelled sample its class r, or -1. Returns (K,) float64.
    """
    classes = torch.arange(-1, num_classes, device=memory.device)
    counts = (memory == classes[:, None]).sum(1).double()  # unlike bincount, a GPU is not waited for
    sigma, unused = counts[1:], counts[0]
    most = torch.maximum(sigma.max(), unused) if warm_up else sigma.max()
    beta = sigma / most.clamp(min=1)
    return tau * beta / (2 - beta)


def _flexible(o, G, s, memory, members):
    # An image that a batch across the end of a pass holds twice keeps either of its two answers.
    chosen = above(o, flexible_thresholds(memory, o.shape[1], s.flex_tau, s.flex_warm_up))
    memory[members] = torch.where(chosen.scores >= s.flex_tau, chosen.labels, memory[members])
    return chosen


# N_s from softmax outputs o (N, K), the learned ground distance G, the settings s; and for FlexMatch what it remembers
# of all M unlabelled samples, and which N of them these are.
SELECTIONS = {
    "threshold": lambda o, G, s, *_: above(o, s.tau_high),
    "flexible": _flexible,
    "all": lambda o, G, s, *_: above(o, 0.0),
    "fixed": lambda o, G, s, *_: select(o, fixed_ground_distance(len(G), G.device), s.tau_low, s.tau_high, s.top),
    "learned": lambda o, G, s, *_: select(o, G, s.tau_low, s.tau_high, s.top),
}
