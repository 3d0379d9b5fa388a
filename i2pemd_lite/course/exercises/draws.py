"""What several lessons draw their random cases from, and the ranks of Eq. 4 by SciPy."""

import numpy as np
import torch
from scipy.spatial.distance import cdist
from scipy.stats import rankdata


def histogram(random, n):
    """Masses that add up to 1, none of them close to 0."""
    masses = random.dirichlet(np.ones(n)) + 0.05
    return masses / masses.sum()


def ranks(g):
    """Eq. 4 for every row: the share of entries that are strictly smaller."""
    return (rankdata(g, method="min", axis=1) - 1) / len(g)


def ground(c):
    """G of Eq. 3 to 5, by SciPy, as an array."""
    one_way = ranks(cdist(c, c, "cityblock"))
    return (one_way + one_way.T) / 2


def mean_of_means(d, one_hot):
    """Eq. 8 and 9 of costs (N,) by a product with one-hot labels (N, K)."""
    present = (counts := one_hot.sum(0)) > 0
    return ((one_hot.T @ d)[present] / counts[present]).mean()


def random_ground(random, K):
    """G of K random prototypes, as a tensor."""
    return torch.tensor(ground(random.normal(size=(K, 3))))
