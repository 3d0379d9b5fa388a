"""Float64 means float64: the whole core against NumPy, to 1e-12, values and gradients.

NumPy's gradients are complex steps, f(x + ih) / h: exact to rounding, because nothing is subtracted.
"""

import importlib
import inspect
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from scipy.spatial.distance import cdist

from i2pemd_lite import classification, losses
from i2pemd_lite.classification.methods import mixmatch, pseudo, supervised, teachers, vat
from i2pemd_lite.emd import emd, i2pemd
from i2pemd_lite.fused import class_statistics
from i2pemd_lite.ground import fixed_ground_distance, ground_distance, percentile_ranks, prototype_distances
from i2pemd_lite.metrics import classification_metrics, dice, pearson, surface_distances, weighted_metrics
from i2pemd_lite.prototypes import PrototypeBank, class_means
from i2pemd_lite.runs.task import ema_update
from i2pemd_lite.segmentation.methods import GROUNDS
from i2pemd_lite.selection import select

random = np.random.default_rng(0)
B, K, d, S = 4, 3, 5, (2, 3)
IGNORED = -100
SIZES = (1, 3)
Z = 3 * random.normal(size=(B, K, *S))
Y = random.integers(K, size=(B, *S))
Y[0, 0, :2], Y[2, 1, 1] = IGNORED, IGNORED
LOGITS, F = 3 * random.normal(size=(8, K)), random.normal(size=(8, d))
LABELS = np.array([0, 2, 1, 1, 0, 0, 2, 0])
C = random.normal(size=(K, d))
W = np.array([0.3, 1.7, 2.9])
P, Q = (np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in random.normal(size=(2, 8, K)))
MAPS = random.integers(K, size=(2, 4, 5, 6))
WEIGHTS = random.random((2, 8))
CLOUD, X = random.normal(size=(6, d)) + 1, random.normal(size=(8, d))


# --- the equations, in NumPy ------------------------------------------------------------------------------------------


def softmax(z, axis=1):
    return np.exp(z) / np.exp(z).sum(axis, keepdims=True)


def rows(z, y):
    """(n, channels) values and (n,) labels of the instances that count."""
    z, y = np.moveaxis(z, 1, -1).reshape(-1, z.shape[1]), y.reshape(-1)
    return z[y >= 0], y[y >= 0]


def ranks(g):
    return np.array([[sum(other < each for other in row) for each in row] for row in g]) / len(g)


def ground(c):
    g = ranks(cdist(c, c, "cityblock"))
    return (g + g.T) / 2


G = ground(C)


def means(f, y):
    f, y = rows(f, y)
    return np.array([f[y == k].mean(0) for k in range(K)]), np.array([(y == k).sum() for k in range(K)])


def balanced(each, y):
    """The mean over the classes of the mean over a class."""
    return np.mean([each[y == k].mean() for k in np.unique(y)])


def transport_loss(z):
    z, y = rows(z, Y)
    return balanced((softmax(z) * G[:, y].T).sum(1), y)


def euclidean_loss(f):
    f, y = rows(f, LABELS)
    return balanced(np.sqrt(((f - C[y]) ** 2).sum(1) + 1e-12), y)


def ce_and_dice(z, y):
    z, y = rows(z, y)
    p, one = softmax(z), np.eye(K)[y]
    ce = -((1 - one.mean(0))[y] * np.log(p)[np.arange(len(y)), y]).mean()
    return ce + 1 - (2 * (p * one).sum(0) / ((p**2).sum(0) + one.sum(0) + 1e-7)).mean()


def objective(z):
    n = SIZES[0]
    return ce_and_dice(z[:n], Y[:n]) + ce_and_dice(z[n:], Y[n:]) + 0.3 * transport_loss(z)


def distilled(z):
    q = [softmax(means(part, y)[0] / 1.7) for part, y in ((z[:2], Y[:2]), (z[2:], Y[2:]))]
    return sum((a * np.log(a / b)).sum(1).mean() / 2 for a, b in (q, q[::-1]))


def discrepancy(x):
    points = np.concatenate([x, CLOUD])
    squared = ((points[:, None] - points) ** 2).sum(-1)
    β = squared.real.sum() / (len(points) * (len(points) - 1))  # through which no gradient flows
    k, n = sum(np.exp(-squared / (β * factor)) for factor in (0.25, 0.5, 1, 2, 4)), len(x)
    return k[:n, :n].mean() + k[n:, n:].mean() - 2 * k[:n, n:].mean()


def statistics(z):
    here = np.eye(K)[Y.clip(0)] * (Y >= 0)[..., None]
    p, axes = softmax(z), "bijk,bnij->bkn"
    nll, mass = -np.einsum("bijk,bkij->bk", here, np.log(p)), np.einsum(axes, here, p)
    return here.sum((1, 2)), nll, mass, (p**2 * (Y >= 0)[:, None]).sum((2, 3))


def cross_entropy(z, targets, weights=1.0):
    w = targets * weights
    return -(w * np.log(softmax(z))).sum() / w.sum()


def relations(a):
    s = a @ a.T
    return s / np.sqrt((s**2).sum(1, keepdims=True))


def divergence(z):
    return (P * np.log(P / softmax(z))).sum() / len(P)


def unit(v):
    return v / np.sqrt((v**2).sum(1, keepdims=True))


def adversarial(x):
    """With the matrix C as network, the gradient of the divergence is (softmax − p) Cᵀ ξ / B."""
    return unit((softmax((x + 0.4 * unit(F)) @ C.T) - P) @ C)


def transported(p, q):
    """Eq. 1 of equal masses as a linear program."""
    each = np.eye(K)
    rules = np.concatenate([np.kron(each, np.ones(K)), np.kron(np.ones(K), each)])
    return linprog(G.reshape(-1), A_eq=rules, b_eq=np.concatenate([p, q])).fun


def chosen(o):
    s, r = o.max(1), o.argmax(1)
    distances = (o * G[:, r].T).sum(1)
    near = np.isin(np.arange(len(o)), distances.argsort(kind="stable")[:4])
    return (s > 0.5) & near | (s > 0.7), r, s, distances, s > 0.5, near, (s > 0.5) & near, s > 0.7


def overlap(prediction, truth):
    masks = [(prediction == k, truth == k) for k in range(K)]
    return np.array([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in masks])


def surfaces(prediction, truth):
    """The mean, the 95th percentile and the maximum, by the distances of all pairs of surface voxels."""
    found = np.full((3, K), np.nan)
    for k in range(1, K):
        places = []
        for volume in (prediction == k, truth == k):
            around = np.pad(volume, 1)
            inner = volume.copy()
            for axis in range(3):
                for step in (-1, 1):
                    inner &= np.roll(around, step, axis)[1:-1, 1:-1, 1:-1]
            places.append(np.argwhere(volume & ~inner) * (2.5, 1.25, 0.75))
        apart = cdist(*places)
        there, back = apart.min(1), apart.min(0)
        found[:, k] = (
            np.concatenate([there, back]).mean(),
            max(np.percentile(there, 95), np.percentile(back, 95)),
            max(there.max(), back.max()),
        )
    return tuple(found)


def figures(o, w):
    found = []
    for k in range(K):
        t, s = o.argmax(1) == k, LABELS == k
        tp, fp, fn, tn = w @ (t & s), w @ (t & ~s), w @ (~t & s), w @ (~t & ~s)
        wins = (o[s, k][:, None] > o[~s, k]) + (o[s, k][:, None] == o[~s, k]) / 2
        auc = (wins * w[s][:, None] * w[~s]).sum() / (w[s].sum() * w[~s].sum())
        found.append([auc, tp / (tp + fn), tn / (tn + fp), (tp + tn) / w.sum(), 2 * tp / (2 * tp + fp + fn)])
    return [*np.mean(found, 0), w @ (o.argmax(1) == LABELS) / w.sum()]


def moved(banks):
    """Eq. 10, 11 for three updates, the second of some instances with another α, the third without class 1."""
    c = banks[0].copy()
    for f, y, α in banks[1:]:
        for k in np.unique(y[y >= 0]):
            c[k] = α * c[k] + (1 - α) * f[y == k].mean(0)
    return c


# --- the core, against them -------------------------------------------------------------------------------------------


def a_bank():
    bank = PrototypeBank(K, d, momentum=0.8).double()
    mask = torch.tensor([True, False, True, True, True, True, False, True])
    bank.update(t(F), t(LABELS))
    bank.momentum = 0.7
    bank.update(t(F) * 3, t(LABELS), mask=mask)
    bank.momentum = 1 / 3
    bank.update(t(F) - 1, t(np.where(LABELS == 1, IGNORED, LABELS)))
    return bank.prototypes, bank.ground_distance()


def a_bank_by_hand():
    some = np.where([True, False, True, True, True, True, False, True], LABELS, -1)
    last = np.where(LABELS == 1, -1, LABELS)
    c = moved([means(F, LABELS)[0], (3 * F, some, 0.7), (F - 1, last, 1 / 3)])
    return c, ground(c)


def a_teacher():
    theirs, ours = (torch.nn.Linear(d, K, bias=False, dtype=torch.float64) for _ in range(2))
    with torch.no_grad():
        theirs.weight.copy_(t(C))
        ours.weight.copy_(t(C**2))
    ema_update(theirs, ours, 0.9, statistics=True)
    return theirs.weight


def t(values):
    return torch.as_tensor(values)


def memory():
    return t(np.repeat([0, 1, 2, -1], (30, 15, 5, 31)))


ONE_HOT = np.eye(K)[LABELS]
PASSES = softmax(random.normal(size=(3, 8, K)), 2)
BETA = np.array([30, 15, 5]) / 31
# name: (the core's, NumPy's, of what: the array to which the gradient flows, or None when there is none to take)
TABLE = {
    "emd": (lambda: emd(P[0], Q[0], G).cost, lambda: transported(P[0], Q[0]), None),
    "i2pemd": (lambda o: i2pemd(o, t(LABELS), t(G)), lambda o: (o * G[:, LABELS].T).sum(1), P),
    "prototype_distances": (lambda: prototype_distances(t(C)), lambda: cdist(C, C, "cityblock"), None),
    "percentile_ranks": (lambda: percentile_ranks(t(C @ C.T)), lambda: ranks(C @ C.T), None),
    "ground_distance": (lambda: ground_distance(t(C)), lambda: G, None),
    "fixed_ground_distance": (lambda: fixed_ground_distance(K, dtype=torch.float64), lambda: 1 - np.eye(K), None),
    "class_means": (lambda: class_means(t(Z), t(Y), K), lambda: means(Z, Y), None),
    "PrototypeBank": (a_bank, a_bank_by_hand, None),
    "i2pemd_loss": (lambda z: losses.i2pemd_loss(z, t(Y), t(G)), transport_loss, Z),
    "i2ped_loss": (lambda f: losses.i2ped_loss(f, t(LABELS), t(C)), euclidean_loss, F),
    "segmentation_loss": (lambda z: losses.segmentation_loss(z, t(Y), t(G), 0.3, sizes=SIZES), objective, Z),
    "segmentation_loss_reference": (
        lambda z: losses.segmentation_loss_reference(z, t(Y), t(G), 0.3, sizes=SIZES), objective, Z,
    ),
    "kd_loss": (lambda z: losses.kd_loss(z, t(Y), (2, 2), 1.7), distilled, Z),
    "mmd": (lambda x: losses.mmd(x, t(CLOUD)), discrepancy, F),
    "class_statistics": (lambda z: class_statistics(z, t(Y)), statistics, Z),
    "select": (lambda: select(t(P), t(G), 0.5, 0.7, 4), lambda: chosen(P), None),
    "dice": (lambda: dice(*MAPS, K), lambda: overlap(*MAPS), None),
    "surface_distances": (lambda: surface_distances(*MAPS, K, (2.5, 1.25, 0.75)), lambda: surfaces(*MAPS), None),
    "pearson": (lambda: pearson(P[:, 0], Q[:, 0]).r, lambda: np.corrcoef(P[:, 0], Q[:, 0])[0, 1], None),
    "classification_metrics": (
        lambda: list(classification_metrics(P, LABELS).values()), lambda: figures(P, np.ones(8)), None,
    ),
    "weighted_metrics": (
        lambda: np.stack(list(weighted_metrics(P, LABELS, WEIGHTS).values()), 1),
        lambda: np.stack([figures(P, w) for w in WEIGHTS]),
        None,
    ),
    "labelled_loss": (
        lambda z: supervised.labelled_loss(z, t(LABELS), "weighted", t(W)),
        lambda z: cross_entropy(z, ONE_HOT, W),
        LOGITS,
    ),
    "changed": (
        lambda z: (supervised.changed(z, "adjusted", t(W)), supervised.changed(z, "srcmt", None)),
        lambda z: (z - np.log(W), softmax(z)), LOGITS,
    ),
    "class_weights": (lambda: supervised.class_weights(t(LABELS[:7]), K), lambda: 7 / np.array([3, 2, 2]), None),
    "above": (lambda: pseudo.above(t(P), 0.5)[::2], lambda: (P.max(1) > 0.5, P.max(1)), None),
    "flexible_thresholds": (
        lambda: pseudo.flexible_thresholds(memory(), K, 0.95), lambda: 0.95 * BETA / (2 - BETA), None,
    ),
    "consistency": (
        lambda p: teachers.consistency(p, t(Q), t(W)), lambda p: ((p - Q) ** 2 * W).sum(1).mean(), P,
    ),
    "relation_matrix": (teachers.relation_matrix, relations, F),
    "relation": (
        lambda a: teachers.relation(a, t(X)), lambda a: ((relations(a) - relations(X)) ** 2).sum() / 8, F,
    ),
    "uncertainty": (
        teachers.uncertainty, lambda p: -(p.mean(0) * np.log(p.mean(0) + 1e-6)).sum(1), PASSES,
    ),
    "ema_update": (a_teacher, lambda: 0.9 * C + 0.1 * C**2, None),
    "divergence": (lambda z: vat.divergence(t(P), z), divergence, LOGITS),
    "entropy": (vat.entropy, lambda z: -(softmax(z) * np.log(softmax(z))).sum(1).mean(), LOGITS),
    "adversarial_direction": (
        lambda: vat.adversarial_direction(lambda x: x @ t(C).T, t(X), t(P), 0.4, start=t(F)),
        lambda: adversarial(X),
        None,
    ),
    "sharpen": (lambda p: mixmatch.sharpen(p, 0.7), lambda p: p ** (1 / 0.7) / (p ** (1 / 0.7)).sum(1)[:, None], P),
    "soft_cross_entropy": (
        lambda z: mixmatch.soft_cross_entropy(z, t(Q), "weighted", t(W)), lambda z: cross_entropy(z, Q, W), LOGITS,
    ),
}  # fmt: skip

OTHERWISE = {
    "check_labels", "at_least_float32", "without_autocast", "numbers", "alone",  # no numbers of their own
    "uncertainty_threshold", "ramp",  # of Python numbers alone
    "mixture", "frozen_norms",  # draws; a state of a network
}  # fmt: skip
CORE = ("emd", "ground", "prototypes", "losses", "fused", "selection", "metrics", *(
    f"classification.methods.{name}" for name in ("supervised", "pseudo", "teachers", "vat", "mixmatch")
))  # fmt: skip


def test_the_table_has_every_public_function_of_the_core():
    found = set()
    for module in (importlib.import_module(f"i2pemd_lite.{name}") for name in CORE):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and "learner" not in inspect.signature(function).parameters:
                found.add(name)  # a step of a learner is made of these
    assert {name for name in found if name[0] != "_"} - OTHERWISE == set(TABLE) - {"PrototypeBank", "ema_update"}


def each_of(values):
    return list(values) if isinstance(values, (tuple, list)) else [values]


@pytest.mark.parametrize("name", TABLE)
def test_values_and_gradients_are_numpys(name):
    ours, theirs, x = TABLE[name]
    given = [] if x is None else [torch.tensor(x, requires_grad=True)]
    found, expected = each_of(ours(*given)), each_of(theirs(*[x] * len(given)))
    for one, other in zip(found, expected, strict=True):
        one = one if isinstance(one, torch.Tensor) else torch.from_numpy(np.asarray(one))
        assert not one.is_floating_point() or one.dtype == torch.float64
        np.testing.assert_allclose(one.detach().numpy(), other, rtol=1e-12, atol=1e-12)
    if x is None:
        return
    weights = [random.normal(size=np.shape(each)) for each in expected]
    sum((each * t(w)).sum() for each, w in zip(found, weights, strict=True)).backward()
    gradient, h = np.empty(x.shape), 1e-30
    for place in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[place] += 1j * h
        steps = zip(weights, each_of(theirs(moved)), strict=True)
        gradient[place] = sum((w * np.imag(each)).sum() / h for w, each in steps)
    np.testing.assert_allclose(given[0].grad.numpy(), gradient, rtol=1e-12, atol=1e-12)


def test_weights_in_float64_leave_a_loss_in_float32():
    z, q, w = t(LOGITS).float(), t(Q).float(), supervised.class_weights(t(LABELS), K)
    terms = supervised.labelled_loss(z, t(LABELS), "weighted", w), mixmatch.soft_cross_entropy(z, q, "weighted", w)
    assert {each.dtype for each in (*terms, teachers.consistency(z.softmax(1), q, w))} == {torch.float32}


def test_a_fixed_ground_distance_has_its_weight_in_float64():
    given = GROUNDS["fixed"](PrototypeBank(K, d).double(), SimpleNamespace(fixed=0.3))
    np.testing.assert_allclose(given.numpy(), 0.3 * (1 - np.eye(K)), rtol=1e-15)


def test_a_learner_in_float64_begins_with_prototypes_and_weights_in_float64(skin):
    run = classification.train("src_mt", classification.load(skin), profile="ci", steps=1, precision="float64")
    learner, count = run.learner, len(classification.CLASSES)
    labels = learner.data.labels[learner.labelled].numpy()
    with learner.evaluating():
        features = torch.cat([learner.network(x)[0] for x in learner.batches(learner.labelled)]).numpy()
    learner.start_prototypes()
    classes = [labels == k for k in range(count)]
    expected = np.stack([features[members].mean(0) for members in classes])
    np.testing.assert_allclose(learner.bank.prototypes.numpy(), expected, rtol=1e-12, atol=1e-12)
    expected = [len(labels) / members.sum() for members in classes]
    np.testing.assert_allclose(learner.class_weights.numpy(), expected, rtol=1e-15)
