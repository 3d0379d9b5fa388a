"""MixMatch (Berthelot et al., arXiv:1905.02249): guess labels, sharpen them, mix everything with everything."""

import torch
import torch.nn.functional as F

from i2pemd_lite.classification.augment import weak
from i2pemd_lite.classification.methods.supervised import changed
from i2pemd_lite.classification.methods.vat import frozen_norms
from i2pemd_lite.emd import at_least_float32


def mixmatch(learner, t):
    """L = L_x + w(t) L_u on mixtures of labelled images and two views of unlabelled ones."""
    s = learner.settings
    x, y, _ = learner.draw("labelled", t, s.labelled)
    u, _, _ = learner.draw("unlabelled", t, s.unlabelled)
    views = [learner.view(weak, x, t, "labelled"), *(learner.view(weak, u, t, f"weak {i}") for i in (1, 2))]
    W = torch.cat(views)
    with torch.no_grad(), frozen_norms(learner.network):
        features, logits = learner.network(W)
        both = at_least_float32(logits[s.labelled :]).softmax(1).unflatten(0, (2, s.unlabelled))
        q = sharpen(both.mean(0), s.mix_temperature)
    learner.bank.update(features[: s.labelled], y)

    targets = torch.cat([F.one_hot(y, q.shape[1]).to(q), q, q])
    share, order = mixture(len(W), s.mix_beta)
    order = order.to(W.device, non_blocking=True)
    mixed, targets = (share * v + (1 - share) * v[order] for v in (W, targets))
    # One forward, so that batch normalisation sees all mixtures together.
    logits = at_least_float32(learner.network(mixed)[1])
    L_x = soft_cross_entropy(logits[: s.labelled], targets[: s.labelled], s.loss, learner.class_weights)
    L_u = (logits[s.labelled :].softmax(1) - targets[s.labelled :]).square().mean()
    w = learner.ramped(s.mix_weight, t)
    return {"loss": L_x + w * L_u, "labelled": L_x, "unlabelled": L_u}


def sharpen(p, temperature):
    """p_k^{1/T} / Σ_j p_j^{1/T}: T below 1 makes an answer surer; p (…, K)."""
    powers = p ** (1 / temperature)
    return powers / powers.sum(-1, keepdim=True)


def mixture(n, beta):
    """λ' = max(λ, 1 − λ), λ ~ Beta(β, β), and the order in which n samples meet others; from torch's CPU numbers."""
    share = float(torch.distributions.Beta(beta, beta).sample())
    return max(share, 1 - share), torch.randperm(n)


def soft_cross_entropy(logits, targets, kind, weights):
    """Σ_k target_k · `labelled_loss` for class k, mean over the batch: the labelled loss for mixed labels, (B, K)."""
    logits = changed(logits, kind, weights)
    if kind in ("plain", "adjusted"):
        return F.cross_entropy(logits, targets)
    w = targets * weights.to(targets)
    return -(w * logits.log_softmax(1)).sum() / w.sum()
