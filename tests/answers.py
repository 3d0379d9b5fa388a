"""Other answers to the exercises, which the judge must take or refuse, beside the solutions of the lessons.

OTHERS are right by another dtype, order or definition; MISSES are nearly right, and wrong.
"""

from functools import reduce

import numpy as np
import ot
import torch
from scipy.stats import binom, rankdata, t, ttest_1samp

from i2pemd_lite.course.exercises import (
    lesson00,
    lesson01,
    lesson03,
    lesson04,
    lesson05,
    lesson06,
    lesson07,
    lesson08,
    lesson09,
)


def nearest(G, k, order=iter):
    return min((i for i in order(range(len(G))) if i != k), key=lambda i: G[i, k])


def carried(p, q, g, flow):
    return ot.partial.partial_wasserstein2(p, q, g, m=flow) / flow


def mean_of_means(d, one_hot):
    """Eq. 8 and 9 of costs (N,) by a product with one-hot labels (N, K)."""
    present = (counts := one_hot.sum(0)) > 0
    return ((one_hot.T @ d)[present] / counts[present]).mean()


def ordered(low, high):
    """The means at two places of their order, counted from 0."""
    return lambda d, picks: np.sort(d[picks].mean(1))[[low, high]]


def turned(K, last):
    """Classes of many updates from 2 on, and one with a single update, at the place `last`."""
    return np.stack([np.r_[np.full(K - 1, 1000), 1], np.r_[2 + np.arange(K - 1) / K, last]], axis=1)


def two_pairs(G, T, s_dear, s_cheap):
    """T images with the rest on the dearest pair of G, and T with the rest on its cheapest."""
    K = len(G)
    o = np.zeros((2, T, K))
    for half, s, pair in zip(o, (s_dear, s_cheap), (G.argmax(), (G + torch.eye(K)).argmin()), strict=True):
        half[:, divmod(int(pair), K)] = s, 1 - s
    return o.reshape(2 * T, K)


def _summed(z, y, G):
    return torch.stack([(z[y == k].softmax(1) @ G[:, k]).mean() for k in y.unique()]).sum()


# fmt: off
OTHERS = {
    "00a": {"the row of the label, since G is symmetric": lambda p, k, G: p @ G[k]},
    "00b": {"the last of several nearest": lambda G, k, share: lesson00._split(G, k, share, nearest(G, k, reversed))},
    "00c": {"leaning a hundred times less": lambda G: 0.01 * lesson00._leaning(G, G.sum(0).argmax()) + 0.99 / len(G)},
    "01a": {"by allclose": lambda x, p, q: np.allclose(x.sum(1), p) and np.allclose(x.sum(0), q) and not (x < 0).any()},
    "01b": {"the careless plan for the label": lambda p, k: np.outer(p, np.eye(len(p))[k])},
    "01c": {"by POT's partial transport": lambda p, q, g: carried(p, q, g, min(p.sum(), q.sum()))},
    "01d": {"fees in fractions":
            lambda p, q: np.fromfunction(lambda i, j: np.sqrt(i + 1) + np.exp(-j), (len(p), len(q)))},
    "02a": {
        "by cdist": lambda c: torch.cdist(c, c, p=1),
        "feature by feature, in NumPy": lambda c: sum(np.abs(np.subtract.outer(x, x)) for x in c.T.numpy()),
    },
    "02b": {"the place in the sorted row": lambda g: torch.searchsorted(g.sort(1).values, g) / len(g)},
    "02c": {"with a second feature": lambda K: np.stack([2.0 * np.arange(K), np.ones(K)], axis=1)},
    "03a": {
        "by einsum": lambda p, y, G: torch.einsum("bk,kb->b", p, G[:, y]),
        "one-hot labels in float32": lambda p, y, G: (torch.eye(len(G))[y] @ G * p).sum(1),
    },
    "03b": {
        "by the matrix of softmax": lesson03._at(lambda p, prices, e: (p.diag() - p.outer(p)) @ prices),
        "pair by pair": lesson03._at(lambda p, prices, e: p * ((prices[:, None] - prices) * p).sum(1)),
    },
    "03c": {
        "one-hot labels in float32": lambda z, y, G: mean_of_means((z.softmax(1) * G[y]).sum(1), torch.eye(len(G))[y]),
        "a weight for each voxel":
            lambda z, y, G: ((z.softmax(1) * G[y]).sum(1) / y.bincount()[y]).sum() / len(y.unique()),
    },
    "03d": {
        "a thousandth elsewhere, as a list":
            lambda G, k: [
                float(np.log(0.5 if i in (lesson03._others(G, k)[0], lesson03._others(G, k)[-1]) else 0.001))
                for i in range(len(G))
            ],
    },
    "04a": {
        "a step that may be 0":
            lambda c, means, counts, alpha: c + (1 - alpha) * (counts > 0)[:, None].float() * (means - c),
    },
    "04b": {
        "weights in float32": lambda u, alpha: (1 - alpha) * alpha ** torch.arange(len(u)).flip(0) @ u,
        "step by step": lambda u, alpha: reduce(lambda c, row: alpha * c + (1 - alpha) * row, u, 0 * u[0]),
    },
    "04c": {
        "by logarithms": lambda share, size: -1 / np.expm1(size * np.log1p(-share)),
        "one, two, three instances": lambda share, size: 1 / binom.pmf(range(1, size + 1), size, share).sum(),
    },
    "04d": {"in two features": lambda K, alpha: turned(K, 2 / (1 - alpha))[:, [0, 1, 1]]},
    "05a": {
        "weights in float32, as a product":
            lambda logits, labels: (
                -((1 - labels.bincount() / len(labels))[labels] @ logits.log_softmax(1)[range(len(labels)), labels])
                / len(labels)
            ),
        "torch's own, summed":
            lambda logits, labels: (
                torch.nn.functional.cross_entropy(logits, labels, 1 - labels.bincount() / len(labels), reduction="sum")
                / len(labels)
            ),
        "class by class":
            lambda logits, labels: (
                sum((labels != k).sum() * -logits.log_softmax(1)[labels == k, k].sum() for k in range(logits.shape[1]))
                / len(labels) ** 2
            ),
    },
    "05b": {
        "by einsum, in float32": lambda p, labels, G: torch.einsum("khw,hwk->hw", p.float(), G.float()[labels]),
        "chosen from all labels": lambda p, labels, G: torch.einsum("khw,kl->lhw", p, G).gather(0, labels[None])[0],
    },
    "05c": {"as a tensor": lambda b, K: torch.tensor(3**3 * 2 * b + 2 * 2 + K)},
    "05d": {"half a line": lambda n: lesson05._block(n, (slice(n // 2), n - 1))},
    "06a": {
        "up to the T-th distance, by Eq. 6":
            lambda o, G, low, high, T: (
                ((d := (o * G[o.argmax(1)]).sum(1)) <= d.kthvalue(T).values) & (o.amax(1) > low) | (o.amax(1) > high)
            ),
    },
    "06b": {"right answers counted": lambda top1, K: (top1 * K + (1 - top1) * (K - 2)) / K},
    "06c": {
        "sd by n, and the root of n − 1": lambda a, b: lesson06._t(a, b, ddof=0) * ((len(a) - 1) / len(a)) ** 0.5,
        "against 0, by SciPy": lambda a, b: ttest_1samp(a - b, 0).statistic,
    },
    "06d": {"other confidences, in float32": lambda G, T: two_pairs(G, T, 0.8, 0.75).astype(np.float32)},
    "07a": {
        "from the 11th to the 390th, which are 380": ordered(10, 389),
        "from the 10th to the 391st, with 380 between": ordered(9, 390),
        "without interpolation": lambda d, picks: np.percentile(d[picks].mean(1), (2.5, 97.5), method="inverted_cdf"),
    },
    "07b": {
        "in hundredths":
            lambda ct, mr, means: (
                np.abs(np.stack([2 * ct.sum(1), 2 * mr.sum(1), (ct + mr).sum(1)], 1) - 8 * means) > 0.8
            ).any(1),
    },
    "07c": {
        "the first of many":
            lambda gap, sd: 2 + np.argmax(t.ppf(0.975, (n := np.arange(2, 999)) - 1) * sd / np.sqrt(n) < gap),
    },
    "07d": {
        "the quantile of a t about the mean": lambda values: t.ppf(
            0.025, values.shape[1] - 1,
            (d := np.subtract(*values[np.argsort(-values.mean(1))[:2]])).mean(), d.std(ddof=1) / np.sqrt(d.size)),
    },
    "08a": {
        "one-hot labels in float32":
            lambda z, y, G, weight: lesson08._loss(z, y, G, weight, lambda d, y, K: mean_of_means(d, torch.eye(K)[y])),
        "added up in float32":
            lambda z, y, G, weight: lesson08._loss(
                z,
                y,
                G,
                weight,
                lambda d, y, K: (torch.zeros(K).index_add(0, y, d) / y.bincount(minlength=K)).nanmean(),
            ),
    },
    "08b": {
        "by einsum, counts in float32":
            lambda means, counts: (
                torch.einsum("wkd,wk->kd", means, counts.float()) / counts.sum(0).clamp(min=1)[:, None]
            ),
        "0/0 made 0": lambda means, counts: ((means * counts[:, :, None]).sum(0) / counts.sum(0)[:, None]).nan_to_num(),
    },
    "08c": {"away from 0": lambda n: np.stack([np.full(n, 4), np.full(n, 6)])},
    "09a": {"sorted, in NumPy": lambda t: (s := np.sort(t, axis=0)[len(t) // 2])[0] / s},
    "09b": {
        "one-hot labels in float32":
            lambda z, y, G: lesson09._hand(lambda y: (e := torch.eye(len(G))[y]) @ e.sum(0) * len(y.unique()))(z, y, G),
        "by autograd":
            lambda z, y, G: torch.func.grad(
                lambda z: ((z.softmax(1) * G[y]).sum(1) / (lesson09._counts(y) * len(y.unique()))).sum()
            )(z),
    },
    "09c": {"numbers that grow by half": lambda n: np.linspace(1, 1.5, n)},
}

MISSES = {
    "00a": {"the class after the label": lambda p, k, G: p @ G[:, (k + 1) % len(p)]},
    "00b": {
        "a hundredth of it is spread":
            lambda G, k, share: (
                0.99 * lesson00._split(G, k, share, nearest(G, k)) + 0.01 * lesson00._rest_evenly(G, k, share)
            ),
    },
    "00c": {"leaning too much": lambda G: 0.2 / len(G) + 0.8 * torch.eye(len(G))[G.sum(0).argmax()]},
    "01a": {
        "too much may be sent":
            lambda x, p, q: (p - x.sum(1)).max() < 1e-9 and (q - x.sum(0)).max() < 1e-9 and (x.min() >= -1e-9),
        "a hundredth may be missing":
            lambda x, p, q: (
                np.abs(x.sum(1) - p).max() < 0.01 and np.abs(x.sum(0) - q).max() < 0.01 and (x.min() >= -1e-9)
            ),
    },
    "01b": {"the bin before": lambda p, k: lesson01._filled(p, (slice(None), k - 1), p)},
    "01c": {"a hundredth stays that could flow": lambda p, q, g: carried(p, q, g, 0.99 * min(p.sum(), q.sum()))},
    "01d": {
        "a sum with a hundredth of a product":
            lambda p, q: np.fromfunction(lambda i, j: i + j + 0.01 * i * j, (len(p), len(q))),
    },
    "02a": {"without the last feature": lambda c: (c[:, None] - c).abs()[:, :, :-1].sum(2)},
    "02b": {
        "ties take the middle rank": lambda g: (rankdata(g, axis=1) - 1) / len(g),
        "ties count once": lambda g: (rankdata(g, method="dense", axis=1) - 1) / len(g),
    },
    "02c": {"one class too few": lambda K: np.arange(K - 1)},
    "03a": {"without the last class": lambda p, y, G: (p * G[y])[:, :-1].sum(1)},
    "03b": {"the plain average of the prices": lesson03._at(lambda p, prices, e: p * (prices - prices.mean()))},
    "03c": {
        "two classes at least": lambda z, y, G: _summed(z, y, G) / max(2, len(y.unique())),
        "never all classes": lambda z, y, G: _summed(z, y, G) / min(len(G) - 1, len(y.unique())),
        "one voxel more in each class":
            lambda z, y, G: torch.stack(
                [z[y == k].softmax(1).sum(0) @ G[:, k] / ((y == k).sum() + 1) for k in y.unique()]
            ).mean(),
    },
    "03d": {
        "a third on class k":
            lambda G, k: torch.tensor(
                [
                    0.0 if i in (k, lesson03._others(G, k)[0], lesson03._others(G, k)[-1]) else -9.0
                    for i in range(len(G))
                ]
            ),
    },
    "04a": {
        "a class of one instance counts as absent":
            lambda c, means, counts, alpha: torch.where((counts > 1)[:, None], alpha * c + (1 - alpha) * means, c),
    },
    "04b": {"the oldest batch is left out": lambda u, alpha: lesson04._ages(u[1:], alpha, lambda a, n: (1 - a) * a**n)},
    "04c": {
        "one image less": lambda share, size: 1 / (1 - (1 - share) ** (size - 1)),
        "by Poisson's distribution": lambda share, size: 1 / (1 - np.exp(-share * size)),
    },
    "04d": {"the last class lands at 1": lambda K, alpha: turned(K, 1 / (1 - alpha))},
    "05a": {
        "divided by N − 1":
            lambda logits, labels: lesson05._ce(logits, labels, lambda share: 1 - share, lambda w: len(w) - 1),
    },
    "05b": {"without the last class": lambda p, labels, G: (p.movedim(0, -1) * G[labels])[:, :, :-1].sum(-1)},
    "05c": {"one output less": lambda b, K: 54 * b + 4 + K - 1},
    "05d": {"a tenth of a line": lambda n: lesson05._block(n, (slice(n // 10), n - 1))},
    "06a": {
        "T one less": lambda o, G, low, high, T: lesson06.selections(o, G, low, high, T - 1)[2],
        "T one more": lambda o, G, low, high, T: lesson06.selections(o, G, low, high, T + 1)[2],
        "two at least": lambda o, G, low, high, T: lesson06.selections(o, G, low, high, max(T, 2))[2],
        "all but one at most": lambda o, G, low, high, T: lesson06.selections(o, G, low, high, min(T, len(o) - 1))[2],
    },
    "06b": {"one class less": lambda top1, K: 1 - 2 * (1 - top1) / (K - 1)},
    "06c": {"the root of n − 1": lambda a, b: lesson06._t(a, b) * ((len(a) - 1) / len(a)) ** 0.5},
    "06d": {
        "the surest have cheap mistakes": lambda G, T: two_pairs(G, T, 0.71, 0.79),
        "below the band": lambda G, T: two_pairs(G, T, 0.79, 0.7),
    },
    "07a": {
        "a mean less at each end": ordered(11, 388),
        "a mean more at each end": ordered(8, 391),
        "a mean further down": ordered(9, 388),
    },
    "07b": {
        "0.09 is too much": lambda ct, mr, means: lesson07._exactly(ct, mr, means, slack="0.09"),
        "0.11 is allowed": lambda ct, mr, means: lesson07._exactly(ct, mr, means, slack="0.11"),
        "the third from the two that are printed":
            lambda ct, mr, means: (np.abs(np.c_[ct.mean(1), mr.mean(1), means[:, :2].mean(1)] - means) > 0.1).any(1),
    },
    "07c": {
        "one seed more": lambda gap, sd: lesson07._search(gap, sd) + 1,
        "from three seeds on": lambda gap, sd: lesson07._search(gap, sd, start=3),
        "the root of n − 1": lambda gap, sd: lesson07._search(gap, sd, root=lambda n: np.sqrt(n - 1)),
    },
    "07d": {
        "the upper end": lambda values: -lesson07._lead(values, of=(-2, -1)),
        "a degree of freedom too many": lambda values: lesson07._lead(values, edge=lambda n: t.ppf(0.975, n)),
    },
    "08a": {
        "one instance more in each class":
            lambda z, y, G, weight: lesson08._loss(
                z,
                y,
                G,
                weight,
                lambda d, y, K: lesson08._each_class(d * y.bincount()[y] / (y.bincount()[y] + 1), y, K),
            ),
    },
    "08b": {
        "divided by 2 at least":
            lambda means, counts: (means * counts[:, :, None]).sum(0) / counts.sum(0).clamp(min=2)[:, None],
    },
    "08c": {"with 2n − 1 in the variance": lambda n: np.stack([np.ones(n), -np.ones(n)]) * (1 - 0.5 / n) ** 0.5},
    "09a": {"the round below the middle": lambda t: (s := t.sort(0).values[len(t) // 2 - 1])[0] / s},
    "09b": {"one voxel more in each class": lesson09._hand(lambda y: (lesson09._counts(y) + 1) * len(y.unique()))},
    "09c": {
        "the first is 0": lambda n: np.r_[0.0, np.ones(n - 1)],
        "one too few": lambda n: np.ones(n - 1),
    },
}
