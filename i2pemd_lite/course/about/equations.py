"""The 21 numbered equations of the paper, each computed twice: by the module, and by somebody else.

Each function eq01 … eq21 draws inputs of random sizes and returns `(ours, independent)`, two arrays that must agree.
`ours` comes from the equation's home in the module, `independent` shares no code with it: a linear program, POT,
scikit-learn, SciPy, pandas, finite differences, or plain float64 loops over the printed sums.
"""

from functools import partial

import numpy as np
import torch
from scipy import ndimage
from scipy.signal import lfilter
from scipy.spatial.distance import cdist
from sklearn.metrics import log_loss

from i2pemd_lite import emd, ground, losses, prototypes, selection
from i2pemd_lite.classification.methods import METHODS, pseudo
from i2pemd_lite.classification.settings import ClassificationSettings
from i2pemd_lite.course.about import independent as other
from i2pemd_lite.panels.transport import linear_program
from i2pemd_lite.text import about

EXACT, SINGLE = 1e-9, 1e-5  # float64, and float32 where the module computes in it
STEP = "classification.methods.pseudo:pseudo_labels"
HIGHS, POT = "a linear program by SciPy's HiGHS", "POT, voxel by voxel"


def equation(home, tex, independent, tolerance=EXACT):
    """Note on a function where its equation lives, how the paper prints it, who else computes it, and how near."""

    def noted(function):
        function.meaning, function.home, function.tex = about(function), f"i2pemd_lite.{home}", tex
        function.independent, function.tolerance = independent, tolerance
        return function

    return noted


@equation("emd:emd", r"\min_x \sum_{ij} g_{ij} x_{ij},\; x \ge 0,\; \sum_j x_{ij} \le p_i,\; \sum_i x_{ij} \le q_j",
          HIGHS)  # fmt: skip
def eq01(random):
    """The cheapest way to carry the supplies to the demands."""
    p, q, g = other.masses(random)
    return emd.emd(p, q, g).cost, linear_program(p, q, g, flow=min(p.sum(), q.sum())).cost


@equation("emd:Transport.emd", r"\mathrm{EMD}(p, q) = \sum_{ij} g_{ij} x_{ij} \,/\, \sum_{ij} x_{ij}", HIGHS)
def eq02(random):
    """The cost of a unit of flow."""
    p, q, g = other.masses(random)
    flow = min(p.sum(), q.sum())
    return emd.emd(p, q, g).emd, linear_program(p, q, g, flow).cost / flow


@equation("ground:prototype_distances", r"g_{ij} = \lVert c_i - c_j \rVert_1", "SciPy's cdist")
def eq03(random):
    """How far apart two classes are in feature space."""
    c = other.points(random)
    return ground.prototype_distances(torch.tensor(c)), cdist(c, c, "cityblock")


@equation("ground:percentile_ranks", r"\bar g_{ij} = \tfrac1m R(g_{ij}, \{g_{i1}, \dots, g_{im}\})", "SciPy's rankdata")
def eq04(random):
    """The share of a row of distances that is smaller."""
    K = random.integers(2, 12)
    g = random.integers(0, 9, (K, K)).astype(float)  # small whole numbers, so that some are equal
    return ground.percentile_ranks(torch.tensor(g)), other.ranks(g)


@equation("ground:ground_distance", r"G = (\bar G + \bar G^T) / 2", "SciPy's cdist and rankdata")
def eq05(random):
    """The ground distance: ranks and their transpose, averaged."""
    c = other.points(random)
    return ground.ground_distance(torch.tensor(c)), other.ground_of(c)


@equation("emd:i2pemd", r"\mathrm{I2PEMD}(p, e_k) = \sum_i p_i g_{ik}", "POT's network simplex")
def eq06(random):
    """What it costs to carry a prediction to its label."""
    z, y, _ = other.voxels(random)
    g = random.random((z.shape[1],) * 2)  # not symmetric, so that a row is not a column
    p = z.softmax(1)
    return emd.i2pemd(p, y, torch.tensor(g)).flatten(), other.transported(other.rows(p), y.flatten(), g)


@equation("losses:segmentation_loss",
          r"\mathcal L_{Seg} = \mathcal L_{CE} + \mathcal L_{Dice} + \lambda \mathcal L_{I2PEMD}",
          "scikit-learn's log_loss, loops for Dice, POT")  # fmt: skip
def eq07(random):
    """The objective of segmentation: cross-entropy, Dice, and λ times I2PEMD."""
    z, y, G = other.voxels(random)
    p, k, weight = other.rows(z.softmax(1)), y.flatten().numpy(), random.uniform(0.5, 3)
    dice = [2 * sum(p[k == c, c]) / (sum(p[:, c] ** 2) + sum(k == c) + losses.EPSILON) for c in range(len(G))]
    independent = other.weighted_ce(p, k) + 1 - np.mean(dice) + weight * np.mean(other.class_costs(p, k, G))
    return losses.segmentation_loss(z, y, G, weight), independent


@equation("losses:i2pemd_loss", r"\mathcal L_{I2PEMD} = \tfrac1K \sum_k \ell^k_{I2PEMD}", POT)
def eq08(random):
    """The mean over the classes, each counting the same."""
    z, y, G = other.voxels(random)
    costs = other.class_costs(other.rows(z.softmax(1)), y.flatten(), G)
    return losses.i2pemd_loss(z, y, G), np.mean(costs)


@equation("losses:i2pemd_loss", r"\ell^k_{I2PEMD} = \tfrac1{N_k} \sum_{i=1}^{N_k} \mathrm{I2PEMD}(a^i_k, e_k)", POT)
def eq09(random):
    """The mean over the voxels of one class."""
    z, y, G = other.voxels(random)
    alone = [y.where(y == k, -100) for k in y.unique()]  # where only class k counts, the mean over classes is ℓ_k
    ours = [losses.i2pemd_loss(z, labels, G).item() for labels in alone]
    return ours, other.class_costs(other.rows(z.softmax(1)), y.flatten(), G)


@equation("prototypes:PrototypeBank", r"c_k^t = \alpha c_k^{t-1} + (1 - \alpha) c_k^{update}",
          "SciPy's lfilter", SINGLE)  # fmt: skip
def eq10(random):
    """A prototype follows the voxels of its class by momentum."""
    K, d, T, α = random.integers(2, 6), random.integers(1, 5), random.integers(3, 9), random.uniform(0.55, 0.95)
    updates, bank = random.normal(size=(T, K, d)), prototypes.PrototypeBank(int(K), int(d), α).double()
    for u in updates:  # two voxels of each class, about its mean
        around = np.stack([u + 0.5, u - 0.5], -1)
        bank.update(torch.tensor(around), torch.arange(K)[:, None].repeat(1, 2))
    # y_t = α y_{t−1} + (1 − α) u_t, begun at u_1
    filtered, _ = lfilter([1 - α], [1, -α], updates, axis=0, zi=α * updates[:1])
    return bank.prototypes, filtered[-1]


@equation("prototypes:class_means", r"c_k^{update} = \tfrac1{N_k} \sum_i M_k^i \cdot F_k^i", "SciPy's ndimage.mean")
def eq11(random):
    """The mean feature of the voxels of a class."""
    F, y, _ = other.voxels(random)
    means, counts = prototypes.class_means(F, y, F.shape[1])
    present = np.flatnonzero(counts)
    return means[present], np.transpose([ndimage.mean(one, y.flatten(), present) for one in other.rows(F).T])


class Desk:
    """What a step of pseudo-labels asks of a learner, with a linear network z = x θ and views drawn beforehand."""

    def __init__(self, random, method):
        d, K, N, M = (int(n) for n in random.integers([2, 3, 4, 30], [5, 6, 9, 50]))
        self.settings = ClassificationSettings(method=method, labelled=N, unlabelled=M, weight=random.uniform(0.5, 3),
                                               tau_low=0.6, tau_high=0.85, top=M // 3)  # fmt: skip
        self.method, self.memory, self.class_weights = METHODS[method], None, None
        sizes = {"labelled": N, "weak": M, "strong": M}
        self.views = {name: random.normal(size=(n, d)).astype(np.float32) for name, n in sizes.items()}
        self.y = random.integers(K, size=N)
        self.θ = torch.tensor(1.5 * random.normal(size=(d, K)), dtype=torch.float32, requires_grad=True)
        self.bank = prototypes.PrototypeBank(K, d)
        self.bank.update(torch.tensor(random.normal(size=(K, d))), torch.arange(K))

    def draw(self, part, t, count):
        """Images are known by the name of their view; only the labels count."""
        return None, torch.tensor(self.y if part == "labelled" else np.zeros(count, int)), None

    def view(self, how, images, t, name, **options):
        """The views of a part of the batch."""
        return torch.tensor(self.views[name])

    def network(self, views):
        """Features and logits."""
        return views, views @ self.θ

    def answers(self, name, θ=None):
        """Softmax outputs for a part of the batch in float64."""
        z = np.exp(self.views[name].astype(np.float64) @ (self.θ.detach().double().numpy() if θ is None else θ))
        return z / z.sum(1, keepdims=True)

    def loss(self, chosen, θ=None):
        """L_s + λ L_u, image by image: L_u is that of the chosen ones, divided by the number of all; a pseudo-label
        stays what it is at another θ."""
        p, strong = self.answers("labelled", θ), self.answers("strong", θ)
        labelled = sum(-np.log(p[i, k]) for i, k in enumerate(self.y)) / len(p)
        pseudo_labels = enumerate(self.answers("weak").argmax(1))
        unlabelled = sum(-np.log(strong[i, k]) for i, k in pseudo_labels if chosen[i]) / len(strong)
        return labelled + self.settings.weight * unlabelled


@equation(STEP, r"\min_\theta \sum_{i \le N} \mathcal L_s(f(x_i; \theta), y_i) + \lambda \sum_{i > N} \mathcal L_u",
          "finite differences", SINGLE)  # fmt: skip
def eq12(random):
    """The network's weights are what is minimised, over both sums at once."""
    desk = Desk(random, "filter_all")
    pseudo.pseudo_labels(desk, 0)["loss"].backward()
    objective = partial(desk.loss, np.ones(desk.settings.unlabelled))
    return desk.θ.grad, other.slopes(objective, desk.θ.detach().double().numpy())


@equation(STEP, r"\sum_{i > N} \mathcal L_u(f(x_i | \eta'; \theta), y_i^p)", "scikit-learn's log_loss", SINGLE)
def eq13(random):
    """Strong views answer to the pseudo-labels of weak ones, of all unlabelled images."""
    desk = Desk(random, "filter_all")
    strong = desk.answers("strong")
    expected = log_loss(desk.answers("weak").argmax(1), strong, labels=range(strong.shape[1]))
    return pseudo.pseudo_labels(desk, 0)["unlabelled"], expected


@equation(STEP, r"\mathcal L = \mathcal L_s + \lambda \mathcal L_u", "float64 loops", SINGLE)
def eq14(random):
    """The loss of the labelled images, and λ times that of the unlabelled ones."""
    desk = Desk(random, "filter_all")
    return pseudo.pseudo_labels(desk, 0)["loss"], desk.loss(np.ones(desk.settings.unlabelled))


def selected(random):
    """Answers, what `select` chooses of them, and N_s^2, N_s^low and N_s by others."""
    o, G, rule = other.answers(random)
    return o, selection.select(torch.tensor(o), G, **rule), other.selections(o, G, **rule)


@equation("selection:select", r"s_i = \max(o_i),\; r_i = \mathrm{argmax}(o_i)", "NumPy's sort")
def eq15(random):
    """The confidence of an answer, and its pseudo-label."""
    o, ours, _ = selected(random)
    return np.stack([ours.scores, ours.labels]), np.stack([np.sort(o)[:, -1], np.argsort(o)[:, -1]])


@equation("selection:select", r"N_s^2 = \mathrm{top}^T(\mathrm{I2PEMD}(o_i, l_i))", "POT and sorting", 0)
def eq16(random):
    """The T answers with the smallest transport cost to their own pseudo-label."""
    _, ours, (near, _, _) = selected(random)
    return ours.near, near


@equation("selection:select", r"N_s^{low} = N_s^1 \cap N_s^2", "POT and Python's sets", 0)
def eq17(random):
    """Those of them that are confident enough."""
    _, ours, (_, low, _) = selected(random)
    return ours.low, low


@equation("selection:select", r"N_s = N_s^{low} \cup N_s^{high}", "POT and Python's sets", 0)
def eq18(random):
    """Who may teach: those, and all that are very confident."""
    _, ours, (_, _, chosen) = selected(random)
    return ours.mask, chosen


@equation(STEP,
          r"\mathcal L = \sum_{i \le N} \mathcal L_s + \lambda \sum_{i \in N_s} \mathcal L_u(f(x_i | \eta'), l_i)",
          "POT, Python's sets, float64 loops", SINGLE)  # fmt: skip
def eq19(random):
    """The same loss over the selected images only."""
    desk = Desk(random, "i2pemd")
    s, o = desk.settings, desk.answers("weak")
    *_, chosen = other.selections(o, desk.bank.ground_distance().double().numpy(), s.tau_low, s.tau_high, s.top)
    return pseudo.pseudo_labels(desk, 0)["loss"], desk.loss(chosen)


@equation("prototypes:PrototypeBank", r"c_k^t = \alpha c_k^{t-1} + (1 - \alpha) c_k^{update}", "pandas' ewm", SINGLE)
def eq20(random):
    """A prototype follows the images of its class, and stays where none of them is in the batch."""
    import pandas

    K, T, α = int(random.integers(2, 6)), int(random.integers(6, 15)), random.uniform(0.55, 0.95)
    rows, present = random.normal(3, 1, (T, K)), random.random((T, K)) < 0.5
    present[0], present[-1, 0] = True, False
    bank = prototypes.PrototypeBank(K, 1, α).double()
    for row, here in zip(rows, present, strict=True):
        bank.update(torch.tensor(row)[:, None], torch.arange(K), mask=torch.tensor(here))
    frame = pandas.DataFrame(np.where(present, rows, np.nan))
    return bank.prototypes[:, 0], frame.ewm(alpha=1 - α, adjust=False, ignore_na=True).mean().iloc[-1]


@equation("prototypes:PrototypeBank.update",
          r"c_k^{update} = \tfrac1{|Z_k|} \big(\sum_{i \le N} f'(x_i | y_i = k) + \sum_{i \in N_s} f'(x_i | r_i = k)"
          r"\big)", "float64 loops")  # fmt: skip
def eq21(random):
    """The mean feature of a class over labelled and selected images."""
    K, d, N, M = (int(n) for n in random.integers([2, 1, 4, 8], [6, 5, 9, 20]))
    f, labels = random.normal(size=(N + M, d)), random.integers(K, size=N + M)
    labels[:K] = np.arange(K) if N >= K else labels[:K]
    chosen = np.r_[np.ones(N, bool), random.random(M) < 0.5]
    bank = prototypes.PrototypeBank(K, d).double()
    bank.update(torch.tensor(f), torch.tensor(labels), mask=torch.tensor(chosen))
    Z = [[i for i in range(N + M) if chosen[i] and labels[i] == k] for k in range(K)]
    return bank.prototypes, [sum(f[i] for i in Z_k) / len(Z_k) if Z_k else np.zeros(d) for Z_k in Z]
