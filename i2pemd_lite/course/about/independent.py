"""Inputs of random sizes for the equations, and how others compute them: nothing here calls the method's own code.

The one exception is `Desk`: it holds the prototype bank that a step of pseudo-labels asks for.
"""

import numpy as np
import torch

from i2pemd_lite import prototypes
from i2pemd_lite.classification.methods import METHODS
from i2pemd_lite.classification.settings import ClassificationSettings

# Inputs of random sizes


def masses(random):
    """Supplies (m,), demands (n,) of another total, and costs (m, n)."""
    m, n = random.integers(2, 8, 2)
    return 2 * random.random(m), random.random(n), random.random((m, n))


def points(random, least=2):
    """Prototypes (K, d)."""
    return random.normal(size=(random.integers(least, 12), random.integers(1, 9)))


def voxels(random):
    """Logits (B, K, *S) and labels (B, *S) of zero to three dimensions, some classes absent; a ground distance G."""
    B, K, space = random.integers(2, 4), random.integers(3, 7), random.integers(2, 5, random.integers(0, 4))
    classes = random.permutation(K)[: random.integers(2, K + 1)]
    y = random.choice(classes, (B, *space))
    y.flat[:2] = classes[:2]
    return torch.tensor(2 * random.normal(size=(B, K, *space))), torch.tensor(y), costs(random, K)


def costs(random, K):
    """A symmetric (K, K) ground distance with a zero diagonal."""
    G = random.random((K, K))
    return (G + G.T) / 2 * (1 - np.eye(K))


def answers(random):
    """Softmax outputs, most near a corner, so that thresholds cut between them; G, and a rule of selection."""
    N, K = random.integers(40, 70), random.integers(3, 8)
    o = random.dirichlet(np.full(K, 0.15), N)
    rule = {"tau_low": random.uniform(0.5, 0.6), "tau_high": random.uniform(0.8, 0.9), "top": int(N // 3)}
    return o, costs(random, K), rule


# The independent side


def linear_program(p, q, g):
    """The least cost of carrying min(Σ p, Σ q), without the network simplex."""
    from scipy.optimize import linprog

    m, n = g.shape
    sums = np.vstack([np.kron(np.eye(m), np.ones(n)), np.kron(np.ones(m), np.eye(n))])
    flow = {"A_eq": np.ones((1, m * n)), "b_eq": [min(p.sum(), q.sum())]}
    return linprog(g.ravel(), A_ub=sums, b_ub=np.r_[p, q], method="highs-ds", **flow).fun


def ranks(g):
    """The share of its row that is smaller, for each entry (Eq. 4)."""
    from scipy.stats import rankdata

    return (rankdata(g, method="min", axis=1) - 1) / len(g)


def rows(values):
    """(B, C, *S) as float64 rows (B · S, C)."""
    return np.moveaxis(np.asarray(values, dtype=np.float64), 1, -1).reshape(-1, values.shape[1])


def transported(p, labels, g):
    """For each row of p what POT pays to carry it to its label."""
    import ot

    bins, cost_alone = np.eye(p.shape[1]), {"center_dual": False, "check_marginals": False}
    return np.array([ot.emd2(row / row.sum(), bins[k], g, **cost_alone) for row, k in zip(p, labels, strict=True)])


def class_means(values, labels):
    """The mean value of each class present, in the order of the classes."""
    return [np.mean([v for v, label in zip(values, labels, strict=True) if label == k]) for k in sorted(set(labels))]


def sets(o, g, tau_low, tau_high, top):
    """N^1, N^2 and N^high as sets of numbers of samples."""
    d, s = transported(o, o.argmax(1), g), o.max(1)
    near = sorted(range(len(o)), key=d.__getitem__)[:top]
    return {"confident": {i for i in range(len(o)) if s[i] > tau_low}, "near": set(near),
            "high": {i for i in range(len(o)) if s[i] > tau_high}}  # fmt: skip


def member(numbers, o):
    """Which samples of o are in a set of numbers, as a mask."""
    return np.array([i in numbers for i in range(len(o))])


def slopes(function, θ, step=1e-5):
    """∂ function / ∂ θ by central differences."""
    slopes = np.zeros_like(θ)
    for at in np.ndindex(θ.shape):
        ends = []
        for sign in (1, -1):
            moved = θ.copy()
            moved[at] += sign * step
            ends.append(function(moved))
        slopes[at] = (ends[0] - ends[1]) / (2 * step)
    return slopes


class Desk:
    """What a step of pseudo-labels asks of a learner, with a linear network z = x θ and views drawn beforehand."""

    def __init__(self, random, method):
        d, K, N, M = (int(n) for n in random.integers([2, 3, 4, 30], [5, 6, 9, 50]))
        self.settings = ClassificationSettings(method=method, labelled=N, unlabelled=M, weight=random.uniform(0.5, 3),
                                               tau_low=0.6, tau_high=0.85, top=M // 3)  # fmt: skip
        self.method, self.memory, self.class_weights = METHODS[method], None, None
        self.x, self.weak, self.strong = (random.normal(size=(n, d)).astype(np.float32) for n in (N, M, M))
        self.y = random.integers(K, size=N)
        self.θ = torch.tensor(1.5 * random.normal(size=(d, K)), dtype=torch.float32, requires_grad=True)
        self.bank = prototypes.PrototypeBank(K, d)
        self.bank.update(torch.tensor(random.normal(size=(K, d))), torch.arange(K))

    def draw(self, part, t, count):
        """Images are known by the name of their view; only the labels count."""
        return None, torch.tensor(self.y if part == "labelled" else np.zeros(count, int)), None

    def view(self, how, images, t, name, **options):
        """The views of a part of the batch."""
        return torch.tensor({"labelled": self.x, "weak": self.weak, "strong": self.strong}[name])

    def network(self, views):
        """Features and logits."""
        return views, views @ self.θ

    def answers(self, x, θ=None):
        """Softmax outputs in float64."""
        z = np.exp(x.astype(np.float64) @ (self.θ.detach().double().numpy() if θ is None else θ))
        return z / z.sum(1, keepdims=True)

    def by_hand(self, labels, chosen, θ=None):
        """L_s and L_u, image by image: the latter over the chosen ones, divided by the number of all."""
        p, strong = self.answers(self.x, θ), self.answers(self.strong, θ)
        labelled = sum(-np.log(p[i, k]) for i, k in enumerate(self.y)) / len(p)
        return labelled, sum(-np.log(strong[i, k]) for i, k in enumerate(labels) if chosen[i]) / len(strong)
