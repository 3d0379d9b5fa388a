"""Inputs of random sizes, then how others compute what the method computes: nothing here calls the method's own code.

The equations of the ledger are held to it, and the exercises of the lessons.
"""

import numpy as np
import ot
import torch
from scipy.spatial.distance import cdist
from scipy.special import softmax
from scipy.stats import rankdata
from sklearn.metrics import log_loss


def masses(random):
    """Supplies (m,), demands (n,) of another total, and costs (m, n)."""
    m, n = random.integers(2, 8, 2)
    return 2 * random.random(m), random.random(n), random.random((m, n))


def histogram(random, n):
    """Masses that add up to 1, none of them close to 0."""
    masses = random.dirichlet(np.ones(n)) + 0.05
    return masses / masses.sum()


def points(random):
    """Prototypes (K, d); of two classes the ranks would be symmetric already."""
    return random.normal(size=(random.integers(3, 12), random.integers(1, 9)))


def voxels(random):
    """Logits (B, K, *S) and labels (B, *S) of zero to three dimensions, some classes absent; a ground distance G."""
    B, K, space = random.integers(2, 4), random.integers(3, 7), random.integers(2, 5, random.integers(0, 4))
    classes = random.permutation(K)[: random.integers(2, K + 1)]
    y = random.choice(classes, (B, *space))
    y.flat[:2] = classes[:2]
    return torch.tensor(2 * random.normal(size=(B, K, *space))), torch.tensor(y), random_ground(random, K)


def random_ground(random, K):
    """G of K random prototypes, as a tensor."""
    return torch.tensor(ground_of(random.normal(size=(K, 3))))


def logits_and_labels(random, classes=None):
    """Logits (N, K) and labels (N,) of a batch in which so many classes, or some or all, have instances; and G."""
    K = random.integers(3, 7)
    classes = classes or (K if random.random() < 0.5 else random.integers(1, K))
    present = random.choice(K, classes, replace=False)
    y = np.concatenate([present, random.choice(present, random.integers(3, 9))])
    return torch.tensor(random.normal(size=(len(y), K))), torch.tensor(y), random_ground(random, K)


def answers(random):
    """Softmax outputs, most near a corner, so that thresholds cut between them; G, and a rule of selection."""
    N, K = random.integers(40, 70), random.integers(3, 8)
    o = random.dirichlet(np.full(K, 0.15), N)
    rule = {"tau_low": random.uniform(0.5, 0.6), "tau_high": random.uniform(0.8, 0.9), "top": int(N // 3)}
    return o, random_ground(random, K), rule


def ranks(g):
    """The share of its row that is smaller, for each entry (Eq. 4)."""
    return (rankdata(g, method="min", axis=1) - 1) / len(g)


def ground_of(c):
    """G of prototypes (K, d) as an array (Eq. 3 to 5)."""
    one_way = ranks(cdist(c, c, "cityblock"))
    return (one_way + one_way.T) / 2


def rows(values):
    """(B, C, *S) as float64 rows (B · S, C)."""
    return np.moveaxis(np.asarray(values, dtype=np.float64), 1, -1).reshape(-1, values.shape[1])


def transported(p, labels, g):
    """For each row of p what POT pays to carry its mass to its label."""
    p, g = np.asarray(p), np.asarray(g)
    targets, cost_alone = np.eye(len(g))[np.asarray(labels)], {"center_dual": False, "check_marginals": False}
    pairs = zip(p, targets, strict=True)
    return np.array([row.sum() * ot.emd2(row / row.sum(), target, g, **cost_alone) for row, target in pairs])


def weighted_ce(p, labels):
    """The mean cross-entropy of rows p, each weighted by the share of rows with another label."""
    weights = (1 - np.bincount(labels, minlength=p.shape[1]) / len(labels))[labels]
    return log_loss(labels, p, sample_weight=weights, labels=range(p.shape[1]), normalize=False) / len(labels)


def class_means(values, labels):
    """The mean value of each class present, in the order of the classes."""
    labels = np.asarray(labels)
    return [np.mean([v for v, label in zip(values, labels, strict=True) if label == k]) for k in np.unique(labels)]


def class_costs(p, labels, g):
    """The mean of what POT pays for the rows p of each class present."""
    return class_means(transported(p, labels, g), labels)


def loss_by_class(z, y, G):
    """The I2PEMD loss of logits (N, K) by loops over classes and voxels (Eq. 6, 8 and 9)."""
    return np.mean(class_means((softmax(np.asarray(z), 1) * np.asarray(G)[:, np.asarray(y)].T).sum(1), y))


def selections(o, g, tau_low, tau_high, top):
    """N_s^2, N_s^low and N_s as masks of the samples, by Python's sets of their numbers."""
    d, s, every = transported(o, o.argmax(1), g), np.asarray(o).max(1), range(len(o))
    near = set(sorted(every, key=d.__getitem__)[:top])
    low = {i for i in every if s[i] > tau_low} & near
    chosen = low | {i for i in every if s[i] > tau_high}
    return [np.array([i in numbers for i in every]) for numbers in (near, low, chosen)]


def slopes(function, θ, step=1e-5):
    """∂ function / ∂ θ by central differences."""
    slopes = np.zeros_like(θ)
    for at in np.ndindex(θ.shape):
        h = np.zeros_like(θ)
        h[at] = step
        slopes[at] = (function(θ + h) - function(θ - h)) / (2 * step)
    return slopes
