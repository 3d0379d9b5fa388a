"""Virtual adversarial training (Miyato et al., arXiv:1704.03976): the answer shall not change where it would most."""

import contextlib

import torch
import torch.nn.functional as F
from torch import nn

from i2pemd_lite.classification.augment import weak
from i2pemd_lite.classification.methods.supervised import labelled_loss
from i2pemd_lite.emd import at_least_float32


def vat(learner, t):
    """L = L_s + w(t) L_vat + λ_ent H(p(u)), the last two on weak views of unlabelled images; as in TorchSSL."""
    s = learner.settings
    x, y, _ = learner.draw("labelled", t, s.labelled)
    u, _, _ = learner.draw("unlabelled", t, s.unlabelled)
    features, logits_x = learner.network(learner.view(weak, x, t, "labelled"))
    learner.bank.update(features, y)
    L_s = labelled_loss(logits_x, y, s.loss, learner.class_weights)

    u = learner.view(weak, u, t, "weak")
    with frozen_norms(learner.network):
        logits = at_least_float32(learner.network(u)[1])
        p = logits.detach().softmax(1)
        d = adversarial_direction(lambda v: learner.network(v)[1], u, p, s.vat_xi)
        epsilon = s.vat_epsilon * s.size / 32  # the same for each pixel as in 32 x 32
        L_vat = divergence(p, learner.network(u + epsilon * d)[1])
    L_ent = entropy(logits)
    w = learner.ramped(s.vat_weight, t)
    return {"loss": L_s + w * L_vat + s.vat_entropy * L_ent, "labelled": L_s, "vat": L_vat, "entropy": L_ent}


def adversarial_direction(network, x, p, xi, start=None):
    """The unit direction in which the answer to x changes most, by one step of power iteration.

    d ← ∇_d KL(p ‖ softmax f(x + ξ d)) / ‖·‖₂ from a random unit d, each sample's norm over all its pixels

    network: x -> logits (B, K); x: (B, …); p: (B, K) the answer to x itself; xi: length of the trial step (the
    reference's 1e-6 is lost in float32 beside normalised pixels, 1 is not); start: where d begins, None: at random.
    """
    d = _unit(torch.randn_like(x) if start is None else start).requires_grad_()
    return _unit(torch.autograd.grad(divergence(p, network(x + xi * d)), d)[0])


def _unit(d):
    d = at_least_float32(d.detach())
    norm = d.flatten(1).norm(dim=1).clamp(min=1e-30)
    return d / norm.view(-1, *[1] * (d.ndim - 1))


def divergence(p, logits):
    """KL(p ‖ softmax(logits)) = Σ_k p_k (log p_k − log softmax(logits)_k), mean over the batch."""
    return F.kl_div(at_least_float32(logits).log_softmax(1), p, reduction="batchmean")


def entropy(logits):
    """H = −Σ_k p_k log p_k of p = softmax(logits), mean over the batch, in nats."""
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()


@contextlib.contextmanager
def frozen_norms(network):
    """Inside: batch normalisation uses the batch's statistics but keeps its own as they are, and nothing drops out."""
    norms = {m: m.momentum for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    drops = {m: m.training for m in network.modules() if isinstance(m, nn.Dropout)}
    for m in norms:
        m.momentum = 0.0  # running ← (1 − 0) running + 0 batch
    for m in drops:
        m.eval()
    try:
        yield
    finally:
        for m, momentum in norms.items():
            m.momentum = momentum
        for m, training in drops.items():
            m.train(training)
