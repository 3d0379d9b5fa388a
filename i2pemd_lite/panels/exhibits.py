"""Five ways to break the method, for the failure museum: each a function of its settings, run on a little seeded data.

What each returns has a `sign`, one number by which the failure is recognised, that can be watched in any training.
"""

from functools import cache, lru_cache
from types import SimpleNamespace

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


@lru_cache(256)
def diagonal_of_one(diagonal):
    """I2PEMD under G = (1 − I) + δ I, so that it is 1 − (1 − δ) pₖ; the rest of p lies evenly on the other classes."""
    G = fixed_ground_distance(K, dtype=torch.float64) + diagonal * torch.eye(K, dtype=torch.float64)
    rest = ((1 - P) / (K - 1))[:, None].expand(-1, K - 1)
    z = torch.cat([P[:, None], rest], 1).log().requires_grad_()
    cost = i2pemd(z.softmax(1), torch.zeros(len(P), dtype=torch.long), G)
    push = -torch.autograd.grad(cost.sum(), z)[0][:, 0]
    wrong, right = (cost[(P - p).abs().argmin()].item() for p in (WRONG, RIGHT))
    # Both (99,), by the pₖ of `P`: Eq. 6, and what a gradient step raises the logit of the true class by.
    return SimpleNamespace(cost=cost.detach().numpy(), push=push.numpy(), wrong=wrong, sign=right)


SPREADS = [1.0, *(2.0**-n for n in range(1, 11)), 0.0]
POINT = torch.tensor([3.0, 2.5])  # in which the features collapse


@lru_cache(64)
def collapsed(spread, fresh):
    """All features drawn together to one point; `fresh` asks a bank that had no update yet and still holds zeros.

    sign = max g / mean ‖c_k‖₁ (Eq. 3), free of the features' unit; 0 when all prototypes are zero.
    """
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(K).repeat(12)
    whole = CENTRES[labels] + 0.3 * torch.randn(len(labels), 2, generator=random)
    features, bank = POINT + spread * (whole - POINT), PrototypeBank(K, 2)
    if not fresh:
        bank.update(features, labels)
    c, G = bank.prototypes, bank.ground_distance()
    size = c.abs().sum(1).mean().item()
    return SimpleNamespace(
        spread=spread, features=features.numpy(), prototypes=c.numpy(), ready=bool(bank.seen.all()),
        price=G.sum().item() / (K * (K - 1)),  # mean of G off its diagonal
        loss=i2pemd_loss(torch.zeros(K, K), torch.arange(K), G).item(),  # of guessing
        sign=prototype_distances(c).max().item() / size if size else 0.0,
    )  # fmt: skip


STEPS, BATCH, RARE = 32, 16, K - 1
OURS, NAN, ZERO = RULES = ("keeps its prototype (ours)", "gets 0/0 = NaN", "gets a mean of zero")


@lru_cache(8)
def batches(share):
    """Features (STEPS, BATCH, 2) and labels (STEPS, BATCH); `share` of all are of the last class."""
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(K - 1, (STEPS, BATCH), generator=random)
    labels[torch.rand(STEPS, BATCH, generator=random) < share] = RARE
    return CENTRES[labels] + 0.35 * torch.randn(STEPS, BATCH, 2, generator=random), labels


@lru_cache(256)
def class_absent(share, absent):
    """Prototypes over 32 batches of 16, all classes seen before the first; `absent` is one of `RULES`.

    Ours is `PrototypeBank`. The other two take Eq. 10 for every class, in the batch or not, with 0/0 or 0 for the mean
    of nothing.
    """
    bank = PrototypeBank(K, 2, momentum=ALPHA)
    bank.update(CENTRES, torch.arange(K))
    all_features, all_labels = batches(share)
    path = [CENTRES]
    for features, labels in zip(all_features, all_labels, strict=True):
        bank.update(features, labels)
        means, counts = class_means(features, labels, K)
        if absent == NAN:
            means = means * (counts / counts)[:, None]
        path.append(bank.prototypes.clone() if absent == OURS else ALPHA * path[-1] + (1 - ALPHA) * means)
    path = torch.stack(path)
    present = (all_labels[..., None] == torch.arange(K)).any(1)
    moved = (path[1:] != path[:-1]).any(-1)  # NaN equals nothing, so what is NaN counts as moved
    step = torch.arange(1, STEPS + 1)[:, None]
    return SimpleNamespace(
        path=path.numpy(),  # (STEPS + 1, K, 2), NaN where the update made it so
        error=(path[1:, RARE] - CENTRES[RARE]).norm(dim=-1).numpy(),  # of the rare class's prototype
        present=present.numpy(),  # (STEPS, K)
        age=int((step - torch.where(present, step, 0).cummax(0).values).max()),  # the longest without an update
        refusal=refusal(lambda: ground_distance(path[-1])),
        sign=int((~present & moved).sum()),  # updates of a class without an instance
    )


def refusal(call):
    """What the library says against a call, "" when it is fine."""
    try:
        call()
        return ""
    except BadInput as error:
        return str(error)


UNLABELLED, TOP = 36, 18


@cache
def predictions():
    """Softmax outputs of 36 samples, (36, K), with confidences from 0.4 to 1, and a G."""
    random = torch.Generator().manual_seed(0)
    sure = torch.linspace(1.0, 3.5, UNLABELLED)[:, None] * F.one_hot(torch.arange(UNLABELLED) % K, K)
    o = (sure + 0.9 * torch.randn(UNLABELLED, K, generator=random)).softmax(1)
    return o, ground_distance(CENTRES)


@lru_cache(1024)
def thresholds_crossed(tau_low, tau_high):
    """Eq. 15 to 18 written out, whatever the thresholds; they agree with `select` where that takes them."""
    o, G = predictions()
    s, r = o.max(1)
    d = i2pemd(o, r, G)
    near = torch.zeros(UNLABELLED, dtype=torch.bool)
    near[d.argsort(stable=True)[:TOP]] = True
    return SimpleNamespace(
        scores=s.numpy(), distances=d.numpy(), thresholds=(tau_low, tau_high),
        high=(s > tau_high).numpy(),  # chosen by Eq. 18
        low=((s > tau_low) & near).numpy(),  # chosen by Eq. 17
        refusal=refusal(lambda: select(o, G, tau_low, tau_high, TOP)),
        sign=int(((s > tau_low) & (s <= tau_high)).sum()),  # samples about which I2PEMD decides
    )  # fmt: skip


RATES = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
TRAINING, SETTLED, INSTANCES = 60, 20, 24
BLOBS = torch.tensor([[-2.0, -1.2], [-0.8, 0.2], [0.3, -1.0], [1.6, 1.6]])


@cache
def train(rate):
    """Learn four classes of the plane through two tanh features, by SGD with momentum 0.9: L = L_CE + L_I2PEMD,
    with G from prototypes that follow the features (Eq. 3-6, 10). What is returned is by step."""
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
    flips = np.r_[False, (G[1:] != G[:-1]).flatten(1).any(1).numpy()]  # the steps in which G changed
    late = 100 * (loss > guess)[SETTLED:].mean()
    return SimpleNamespace(loss=loss, guess=guess, path=torch.stack(path).numpy(), flips=flips, sign=float(late))
