"""Mean teachers: the student's answer shall equal that of its own averaged weights (MT, SRC-MT, UA-MT)."""

import math

import torch

from i2pemd_lite.classification.augment import weak
from i2pemd_lite.classification.methods.ramps import followed, sigmoid
from i2pemd_lite.classification.methods.supervised import labelled_loss
from i2pemd_lite.emd import at_least_float32, without_autocast
from i2pemd_lite.runs.settings import learned


def mean_teacher(learner, t):
    """L = L_s + w(t) L_c on two weak views of labelled and unlabelled images (Tarvainen, Valpola, arXiv:1703.01780).

    L_c is the mean over the classes, with the weight, the decay and the evaluated network of their PyTorch code for
    CIFAR-10, where the labelled losses are summed and divided by the whole batch: beside their mean, 100 counts 400
    with 12 of 48 labelled. Not taken from there: a second head for L_c, tied to the first.
    """
    s = learner.settings
    L_s, p, p_teacher, _, _ = _student_and_teacher(learner, t)
    L_c = consistency(p, p_teacher) / p.shape[1]
    w = learner.ramped(s.mt_weight, t) * (s.labelled + s.unlabelled) / s.labelled
    return {"loss": L_s + w * L_c, "labelled": L_s, "consistency": L_c}


def src_mt(learner, t):
    """L = L_s + w(t) (L_c + L_src): and the batch's relations shall be the teacher's (Liu et al., arXiv:2005.07377).
    Its authors' code has loss="srcmt" and weight_decay=5e-4, takes w_k from all images, and the features after dropout;
    here w_k comes from the labelled images, and the features are those of every method."""
    L_s, p, p_teacher, A, A_teacher = _student_and_teacher(learner, t)
    L_c, L_src = consistency(p, p_teacher, learner.class_weights), relation(A, A_teacher)
    w = learner.ramped(learner.settings.src_weight, t)
    return {"loss": L_s + w * (L_c + L_src), "labelled": L_s, "consistency": L_c, "relation": L_src}


def ua_mt(learner, t):
    """L = L_s + w(t) L_c where the teacher is sure of itself (UA-MT, arXiv:1907.07034; the table's augMT).

    The teacher answers noisy copies of the student's unlabelled view, with dropout: 8 times to learn how sure it is,
    and once more as the target. The method is of segmentation, with 2 classes; here an image is what a voxel is there,
    and the largest entropy is ln K.
    """
    s = learner.settings
    x, y, _ = learner.draw("labelled", t, s.labelled)
    u, _, _ = learner.draw("unlabelled", t, s.unlabelled)
    views = torch.cat([learner.view(weak, x, t, "labelled"), learner.view(weak, u, t, "weak")])
    features, logits = learner.network(views)
    learner.bank.update(features[: s.labelled], y)
    L_s = labelled_loss(logits[: s.labelled], y, s.loss, learner.class_weights)

    first = 0 if s.ua_on == "all" else s.labelled
    p, views = at_least_float32(logits[first:]).softmax(1), views[first:]
    with torch.no_grad():
        noisy = (views + (0.1 * torch.randn_like(views)).clamp(-0.2, 0.2) for _ in range(s.ua_passes + 1))
        *passes, p_teacher = (at_least_float32(learner.teacher(x)[1]).softmax(1) for x in noisy)
        part = followed("ua_mt", learned(s, t))
        sure = uncertainty(torch.stack(passes)) < uncertainty_threshold(part, p.shape[1])
    each = (p - p_teacher).square().sum(1)
    L_c = (each * sure).sum() / (p.shape[1] * sure.sum() + 1e-16)
    w = learner.ramped(s.ua_weight, t)
    return {"loss": L_s + w * L_c, "labelled": L_s, "consistency": L_c, "sure": sure.float().mean()}


def _student_and_teacher(learner, t):
    """L_s; softmax outputs and features of student and teacher, each from its own weak view of the whole batch."""
    s = learner.settings
    x, y, _ = learner.draw("labelled", t, s.labelled)
    u, _, _ = learner.draw("unlabelled", t, s.unlabelled)
    images = torch.cat([x, u])
    features, logits = learner.network(learner.view(weak, images, t, "student"))
    with torch.no_grad():  # in training mode: the teacher's batch normalisation follows its own features
        features_teacher, logits_teacher = learner.teacher(learner.view(weak, images, t, "teacher"))
    learner.bank.update(features[: s.labelled], y)
    L_s = labelled_loss(logits[: s.labelled], y, s.loss, learner.class_weights)
    p, p_teacher = (at_least_float32(z).softmax(1) for z in (logits, logits_teacher))
    return L_s, p, p_teacher, features, features_teacher


def consistency(p, p_teacher, weights=None):
    """L_c = (1/B) Σ_i Σ_k w_k (p_ik − p'_ik)², w_k = 1 unless given; p, p' (B, K)."""
    squares = (p - p_teacher).square()
    return (squares if weights is None else squares * weights.to(p)).sum(1).mean()


@without_autocast
def relation_matrix(A):
    """R: the rows of S = A Aᵀ, each divided by its own L2 norm; A (B, d) features, R (B, B), not symmetric."""
    A = at_least_float32(A)
    return torch.nn.functional.normalize(A @ A.T, dim=1)


def relation(A, A_teacher):
    """L_src = (1/B) Σ_ij (R_ij − R'_ij)²: how far the relations within a batch are from those of the teacher."""
    return (relation_matrix(A) - relation_matrix(A_teacher)).square().sum() / len(A)


def uncertainty(passes):
    """u = −Σ_k p̄_k log(p̄_k + 1e−6), p̄ the mean over stochastic passes; passes (T, B, K) softmax, u (B,) in nats."""
    p = passes.mean(0)
    return -(p * (p + 1e-6).log()).sum(1)


def uncertainty_threshold(part, num_classes):
    """H = (0.75 + 0.25 sigmoid(part)) ln K: a teacher less uncertain than this is believed."""
    return (0.75 + 0.25 * sigmoid(part)) * math.log(num_classes)
