"""Five ways to break the method, for the failure museum: each a function of its settings, run on a little seeded data.

What a view returns has a `sign`, one number by which the failure is recognised, that can be watched in any training.
"""

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.files import BadInput
from i2pemd_lite.ground import fixed_ground_distance, ground_distance, prototype_distances
from i2pemd_lite.losses import i2pemd_loss
from i2pemd_lite.prototypes import PrototypeBank, class_means
from i2pemd_lite.runs.run import eager
from i2pemd_lite.selection import select

K, ALPHA = 4, 0.8
CENTRES = torch.tensor([[0.5, 0.5], [4.0, 1.0], [1.5, 3.5], [6.0, 4.5]])

WRONG, RIGHT = 0.05, 0.95  # pₖ of a wrong and of a right prediction
P = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)


class Hill(NamedTuple):
    """I2PEMD by the probability pₖ of the true class, at `P`."""

    cost: np.ndarray  # (99,) Eq. 6
    push: np.ndarray  # (99,) −∂I2PEMD/∂zₖ, with which a gradient step raises the true class
    wrong: float  # cost at `WRONG`
    sign: float  # cost at `RIGHT`


@lru_cache(256)
def diagonal_of_one(diagonal):
    """I2PEMD under G = (1 − I) + δ I, so that it is 1 − (1 − δ) pₖ; the rest of p lies evenly on the other classes.

    Example
    -------
    >>> healthy, broken = diagonal_of_one(0.0), diagonal_of_one(1.0)
    >>> round(healthy.sign, 6), round(broken.sign, 6), float(abs(broken.push).max()) < 1e-12
    (0.05, 1.0, True)
    """
    G = fixed_ground_distance(K, dtype=torch.float64) + diagonal * torch.eye(K, dtype=torch.float64)
    rest = ((1 - P) / (K - 1))[:, None].expand(-1, K - 1)
    z = torch.cat([P[:, None], rest], 1).log().requires_grad_()
    cost = i2pemd(z.softmax(1), torch.zeros(len(P), dtype=torch.long), G)
    push = -torch.autograd.grad(cost.sum(), z)[0][:, 0]
    wrong, right = (cost[(P - p).abs().argmin()].item() for p in (WRONG, RIGHT))
    return Hill(cost.detach().numpy(), push.numpy(), wrong, right)


SPREADS = [1.0, *(2.0**-n for n in range(1, 11)), 0.0]
POINT = torch.tensor([3.0, 2.5])  # in which the features collapse


class Collapse(NamedTuple):
    """A batch of features, the prototypes that a bank takes from it, and what becomes of them."""

    spread: float
    features: np.ndarray  # (n, 2)
    prototypes: np.ndarray  # (K, 2)
    price: float  # mean of G off its diagonal
    loss: float  # I2PEMD of guessing
    ready: bool  # every class has been seen
    sign: float  # largest g over the mean size of a prototype


@lru_cache(64)
def collapsed(spread, fresh):
    """All features drawn together to one point; `fresh` asks a bank that had no update yet and still holds zeros.

    sign = max g / mean ‖c_k‖₁ (Eq. 3), free of the features' unit; 0 when all prototypes are zero.

    Example
    -------
    >>> [(round(view.sign, 4), round(view.price, 4)) for view in (collapsed(s, False) for s in (1.0, 2**-10, 0.0))]
    [(1.7834, 0.5), (0.0017, 0.5), (0.0, 0.0)]
    """
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(K).repeat(12)
    whole = CENTRES[labels] + 0.3 * torch.randn(len(labels), 2, generator=random)
    features, bank = POINT + spread * (whole - POINT), PrototypeBank(K, 2)
    if not fresh:
        bank.update(features, labels)
    c, G = bank.prototypes, bank.ground_distance()
    price, loss = G.sum().item() / (K * (K - 1)), i2pemd_loss(torch.zeros(K, K), torch.arange(K), G).item()
    size = c.abs().sum(1).mean().item()
    sign = prototype_distances(c).max().item() / size if size else 0.0
    return Collapse(spread, features.numpy(), c.numpy(), price, loss, bool(bank.seen.all()), sign)


STEPS, BATCH, RARE = 32, 16, K - 1
RULES = {"keeps its prototype (ours)": "keep", "gets 0/0 = NaN": "nan", "gets a mean of zero": "zero"}


class Absent(NamedTuple):
    """A run in which a class is often missing."""

    path: np.ndarray  # (STEPS + 1, K, 2), NaN where the update made it so
    error: np.ndarray  # (STEPS,) distance of the rare class's prototype from its class
    present: np.ndarray  # (STEPS, K)
    age: int  # the longest time, in steps, that a prototype was without an update
    refusal: str  # what the ground distance says of the last prototypes, "" if it takes them
    sign: int  # updates of a class without an instance


@lru_cache(8)
def batches(share):
    """Features (STEPS, BATCH, 2) and labels (STEPS, BATCH); `share` of all are of the last class."""
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(K - 1, (STEPS, BATCH), generator=random)
    labels[torch.rand(STEPS, BATCH, generator=random) < share] = RARE
    return CENTRES[labels] + 0.35 * torch.randn(STEPS, BATCH, 2, generator=random), labels


@lru_cache(256)
def class_absent(share, absent):
    """Prototypes over 32 batches of 16, all classes seen before the first; `absent` is a value of `RULES`.

    "keep" is `PrototypeBank`. The other two take Eq. 10 for every class, in the batch or not, with 0/0 or 0 for
    the mean of nothing.

    Example
    -------
    >>> [class_absent(0.05, rule).sign > 0 for rule in ("keep", "nan", "zero")]
    [False, True, True]
    """
    bank = PrototypeBank(K, 2, momentum=ALPHA)
    bank.update(CENTRES, torch.arange(K))
    all_features, all_labels = batches(share)
    path = [CENTRES]
    for features, labels in zip(all_features, all_labels, strict=True):
        bank.update(features, labels)
        means, counts = class_means(features, labels, K)
        if absent == "nan":
            means = means * (counts / counts)[:, None]
        path.append(bank.prototypes.clone() if absent == "keep" else ALPHA * path[-1] + (1 - ALPHA) * means)
    path = torch.stack(path)
    present = (all_labels[..., None] == torch.arange(K)).any(1)
    moved = (path[1:] != path[:-1]).any(-1)  # NaN equals nothing, so what is NaN counts as moved
    step = torch.arange(1, STEPS + 1)[:, None]
    age = int((step - torch.where(present, step, 0).cummax(0).values).max())
    error = (path[1:, RARE] - CENTRES[RARE]).norm(dim=-1).numpy()
    refused, sign = refusal(lambda: ground_distance(path[-1])), int((~present & moved).sum())
    return Absent(path.numpy(), error, present.numpy(), age, refused, sign)


def refusal(call):
    """What the library says against a call, "" when it is fine."""
    try:
        call()
    except BadInput as error:
        return str(error)
    return ""


UNLABELLED, TOP = 36, 18


class Chosen(NamedTuple):
    """One unlabelled batch under Eq. 15 to 18, without the check that `select` makes."""

    scores: np.ndarray  # (36,) s
    distances: np.ndarray  # (36,) d
    high: np.ndarray  # (36,) bool, chosen because s > τ_high
    low: np.ndarray  # (36,) bool, chosen by Eq. 17
    thresholds: tuple  # τ_low, τ_high
    refusal: str  # what `select` says, "" if it takes the thresholds
    sign: int  # samples about which I2PEMD decides: τ_low < s ≤ τ_high


@cache
def predictions():
    """Softmax outputs of 36 samples, (36, K), with confidences from 0.4 to 1, and a G."""
    random = torch.Generator().manual_seed(0)
    sure = torch.linspace(1.0, 3.5, UNLABELLED)[:, None] * F.one_hot(torch.arange(UNLABELLED) % K, K)
    o = (sure + 0.9 * torch.randn(UNLABELLED, K, generator=random)).softmax(1)
    return o, ground_distance(CENTRES)


@lru_cache(1024)
def thresholds_crossed(tau_low, tau_high):
    """Eq. 15 to 18 written out, whatever the thresholds; they agree with `select` where that takes them.

    Example
    -------
    >>> right, crossed = thresholds_crossed(0.7, 0.8), thresholds_crossed(0.8, 0.7)
    >>> right.sign > 0, crossed.sign, bool((crossed.low & ~crossed.high).any())
    (True, 0, False)
    """
    o, G = predictions()
    s, r = o.max(1)
    d = i2pemd(o, r, G)
    near = torch.zeros(UNLABELLED, dtype=torch.bool)
    near[d.argsort(stable=True)[:TOP]] = True
    high, low = s > tau_high, (s > tau_low) & near
    band, refused = (s > tau_low) & (s <= tau_high), refusal(lambda: select(o, G, tau_low, tau_high, TOP))
    return Chosen(*(each.numpy() for each in (s, d, high, low)), (tau_low, tau_high), refused, int(band.sum()))


RATES = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
TRAINING, SETTLED, INSTANCES = 60, 20, 24
BLOBS = torch.tensor([[-2.0, -1.2], [-0.8, 0.2], [0.3, -1.0], [1.6, 1.6]])


class Training(NamedTuple):
    """Sixty steps of a small classifier."""

    loss: np.ndarray  # (60,) cross-entropy + I2PEMD
    guess: np.ndarray  # (60,) what equal probabilities would have cost
    path: np.ndarray  # (60, K, 2) prototypes
    flips: np.ndarray  # (60,) bool, whether G changed in this step
    sign: float  # percent of the steps after the first 20 with a loss above that of guessing


def train(rate):
    """Learn four classes of the plane through two tanh features, by SGD with momentum 0.9: L = L_CE + L_I2PEMD,
    with G from prototypes that follow the features (Eq. 3-6, 10)."""
    random = torch.Generator().manual_seed(0)
    W = torch.eye(2) + 0.2 * torch.randn(2, 2, generator=random)
    parameters = [W.requires_grad_(), torch.zeros(2, K, requires_grad=True), torch.zeros(K, requires_grad=True)]
    bank, optimiser = PrototypeBank(K, 2, momentum=ALPHA), eager(torch.optim.SGD)(parameters, rate, momentum=0.9)
    losses, path, grounds = [], [], []
    for _ in range(TRAINING):
        y = torch.randint(K, (INSTANCES,), generator=random)
        features = torch.tanh((BLOBS[y] + 0.3 * torch.randn(INSTANCES, 2, generator=random)) @ W)
        z = features @ parameters[1] + parameters[2]
        bank.update(features, y)
        G = bank.ground_distance()
        loss = F.cross_entropy(z, y) + i2pemd_loss(z, y, G)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        path.append(bank.prototypes.clone())
        grounds.append(G)
    G = torch.stack(grounds)
    # p = 1/K for all classes costs log K, and the mean of a column of G.
    loss, guess = np.array(losses), np.log(K) + G.mean((1, 2)).numpy()
    flips = np.r_[False, (G[1:] != G[:-1]).flatten(1).any(1).numpy()]
    return Training(loss, guess, torch.stack(path).numpy(), flips, float(100 * (loss > guess)[SETTLED:].mean()))


@cache
def trainings():
    """All rates, trained when the first is asked for (a second or two), so that the slider only looks them up."""
    return {rate: train(rate) for rate in RATES}


def rate_too_high(rate):
    """The training with a learning rate out of `RATES`."""
    return trainings()[rate]
