"""Passages of the paper that can be read in more than one way.

Each is a `Passage`: what is printed, how this module reads it and why, and a `compute` that gives the outcome of each
reading on one small example. `readings.py` shows them.
"""

from collections.abc import Callable
from functools import cache, partial
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from i2pemd_lite.classification.data import CLASSES
from i2pemd_lite.classification.methods import METHODS
from i2pemd_lite.classification.methods.pseudo import above, pseudo_labels
from i2pemd_lite.classification.prepare import Prepared, split
from i2pemd_lite.classification.settings import ClassificationSettings
from i2pemd_lite.emd import emd, i2pemd
from i2pemd_lite.ground import fixed_ground_distance, ground_distance, prototype_distances
from i2pemd_lite.losses import i2pemd_loss, segmentation_loss
from i2pemd_lite.metrics import classification_metrics
from i2pemd_lite.panels import museum, transport
from i2pemd_lite.panels.engine import style
from i2pemd_lite.prototypes import PrototypeBank
from i2pemd_lite.segmentation import paper
from i2pemd_lite.segmentation.methods import POOLS
from i2pemd_lite.selection import select

exact = partial(torch.tensor, dtype=torch.float64)


class Passage(NamedTuple):
    """A place where the paper is silent, or says two things."""

    title: str  # in a few words
    equation: str  # where it stands
    lesson: str  # where a learner meets it, "NN"
    says: str  # what the paper says, a sentence as the next two
    ours: str  # how it is read here
    why: str
    switch: str  # the name of the setting or argument that changes it, "none" where there is none
    readings: dict  # words -> key, ours first
    compute: Callable  # key -> numbers, a vector (bars) or a matrix
    labels: tuple  # of the bars, or (of the rows, of the columns)
    numbers: str  # what they are, with their unit
    low: float = 0.0  # where the axis of the bars begins


def flow(key):
    """The plan of lesson 01's problem, with all mass carried or just as Eq. 1 is printed."""
    p, q, g = (0.5, 0.3, 0.2), (0.2, 0.2, 0.6), ((0.0, 0.4, 0.8), (0.4, 0.0, 0.6), (0.8, 0.6, 0.0))
    return transport.linear_program(p, q, g).plan if key == "printed" else emd(p, q, g).plan


def ties(key):
    """G of four classes in equal steps on a line, by three ways to rank equal distances."""
    from scipy.stats import rankdata

    c = torch.arange(4.0, dtype=torch.float64)[:, None]
    if key == "strict":
        return ground_distance(c).numpy()
    # Ranks count from 1; by "max" a rank is the number of entries that are smaller or equal.
    ranks = (rankdata(prototype_distances(c), method=key, axis=1) - (key == "average")) / len(c)
    return (ranks + ranks.T) / 2


def scale(key):
    """G of five prototypes of unlike length, raw or scaled to length 1."""
    c = exact([[1.0, 0.0], [2.0, 0.4], [5.0, 1.0], [0.2, 1.0], [0.8, 5.0]])
    return ground_distance(c if key == "raw" else c / c.norm(dim=1, keepdim=True)).numpy()


def diagonal(key):
    """What a prediction costs with a fixed G, by its share on the label."""
    share = torch.linspace(0, 1, 6, dtype=torch.float64)[:, None]
    p = torch.cat([share, (1 - share) / 3, (1 - share) / 3, (1 - share) / 3], 1)
    fixed = fixed_ground_distance(4, dtype=torch.float64)
    G = {"zero": fixed, "one": torch.ones_like(fixed), "half": fixed / 2}[key]
    return i2pemd(p, torch.zeros(6, dtype=torch.long), G).numpy()


def absent(key):
    """ℓ_k of four classes of which the third has no voxel, and their mean."""
    p = exact([[14, 2, 2, 2], [8, 6, 4, 2], [2, 16, 1, 1], [1, 1, 2, 16], [5, 5, 5, 5]]) / 20
    y, G = torch.tensor([0, 0, 1, 3, 3]), ground_distance(exact([[0, 0, 0], [1, 0, 0], [0, 3, 1], [2, 2, 6]]))
    each = [i2pemd_loss(p.log(), y.where(y == k, -100), G).item() for k in range(4)]
    return np.array([*each, i2pemd_loss(p.log(), y, G).item() if key == "present" else sum(each) / 4])


def start(key):
    """G after 20 batches, the last of which is the first to show class 4."""
    bank = PrototypeBank(4, 2).double()
    bank.seen.fill_(key == "zeros")
    c = exact([[1.0, 1.0], [3.0, 1.0], [1.0, 3.0], [6.0, 6.0]])
    for classes in [3] * 19 + [4]:
        bank.update(c[:classes], torch.arange(classes))
    return bank.ground_distance().numpy()


def order(key):
    """What class 3 taken for class 1 costs in eight steps, while it walks away from that class."""
    bank, losses = PrototypeBank(4, 2, momentum=0.5).double(), []
    logits, label = exact([[3.0, 0.0, 1.0, 0.0]]), torch.tensor([2])
    for step in range(8):
        c = exact([[0.0, 0], [6, 0], [step, 1], [3, 5]])
        before = bank.ground_distance()
        bank.update(c, torch.arange(4))
        losses.append(i2pemd_loss(logits, label, bank.ground_distance() if key == "after" else before).item())
    return np.array(losses)


def pool(key):
    """The first prototypes of four classes with unlike numbers of CT voxels, whose feature is 1, and MR ones, 4."""
    labels = torch.full((2, 40), -100)
    for modality, counts in enumerate([(30, 9, 0, 1), (5, 5, 20, 10)]):
        labels[modality, : sum(counts)] = torch.arange(4).repeat_interleave(torch.tensor(counts))
    features = exact([1.0, 4.0])[:, None, None].expand(2, 1, 40)
    bank = PrototypeBank(4, 1).double()
    POOLS[key](bank, features, labels, (1, 1))
    return bank.prototypes[:, 0].numpy()


def weights(key):
    """The terms of Eq. 7 when nine voxels of ten are background, which the network finds and the organ it does not."""
    p = exact([[0.9, 0.1]] * 9 + [[0.6, 0.4]])
    terms = segmentation_loss(p.log(), torch.tensor([0] * 9 + [1]), fixed_ground_distance(2), ce=key).terms
    return np.array([terms["ce"], terms["dice"], terms["i2pemd"]])


# Classification (Eq. 13-19, Tables 4 and 5)

SELECTED = (1, 6, 18, 36)  # of the 36 unlabelled images of a batch
SCORES = (0.6, 0.7, 0.75, 0.8, 0.9)
COUNTS = torch.tensor([60, 400, 40, 30, 60, 20, 20])  # images of each class, as unlike as in ISIC 2018


@cache
def answers():
    """Softmax outputs of a network that is right more often where it is sure, (N, 7), and the truth, (N,)."""
    random, K = torch.Generator().manual_seed(0), len(COUNTS)
    truth = torch.arange(K).repeat_interleave(COUNTS)
    logits = 2.2 * F.one_hot(truth, K) + COUNTS.log() / 3 + 1.2 * torch.randn(len(truth), K, generator=random)
    return (2 * logits).softmax(1), truth


def top(key):
    """How large the sets of Eq. 16 to 18 are, for one batch of 36 and T = 24 or 18."""
    sets = select(*museum.predictions(), tau_low=0.6, tau_high=0.8, top=key)
    return np.array([int(each.sum()) for each in (sets.confident, sets.near, sets.low, sets.high, sets.mask)])


def mean_over(key):
    """L_u of batches of which 1, 6, 18 and all 36 images are selected; every strong view answers with 0.6."""
    s, losses = ClassificationSettings(method="fixmatch", labelled=1, unlabelled=36, mean_over=key), []
    for selected in SELECTED:
        sure = torch.tensor([[0.95, 0.05]]).repeat(36, 1)
        sure[selected:] = 0.5
        logits = torch.cat([torch.tensor([[0.5, 0.5]]), sure, torch.tensor([[0.6, 0.4]]).repeat(36, 1)]).log()
        learner = SimpleNamespace(
            settings=s, method=METHODS["fixmatch"], memory=None, class_weights=None, bank=PrototypeBank(2, 2),
            draw=lambda part, t, count: (torch.zeros(count), torch.zeros(count, dtype=torch.long), None),
            view=lambda how, images, t, name, **options: images, network=lambda views, out=logits: (out, out),
        )  # fmt: skip
        losses.append(pseudo_labels(learner, 0)["unlabelled"].item())
    return np.array(losses)


def strict(key):
    """Who is taken of five images whose scores lie on the thresholds and between them: by I2PEMD, and by FixMatch."""
    s = torch.tensor(SCORES, dtype=torch.float64)[:, None]
    o = torch.cat([s, 1 - s], 1)
    # s ≥ τ is s > τ with the next smaller number as τ, and s > τ is s ≥ τ with the next larger one.
    low, high = (float(np.nextafter(tau, 0)) if key == "≥" else tau for tau in (0.7, 0.8))
    rule = select(o, fixed_ground_distance(2, dtype=torch.float64), low, high, top=len(s)).mask
    return np.stack([rule, above(o, float(np.nextafter(0.8, 1)) if key == ">" else 0.8).mask]).astype(float)


def threshold(key):
    """What FixMatch takes at a threshold, and how much of it is right, in percent."""
    o, truth = answers()
    chosen = above(o, key)
    right = chosen.labels == truth
    return 100 * np.array([chosen.mask.float().mean(), right[chosen.mask].float().mean(), right.float().mean()])


def decision(key):
    """The figures of Table 4 for the same scores, by two ways to decide."""
    o, truth = answers()
    figures = classification_metrics(o.numpy(), truth.numpy(), key)
    return 100 * np.array([figures[name] for name in ("auc", "sensitivity", "specificity", "accuracy", "f1")])


def parts(key):
    """How many of 700 images of 400 lesions are held back, and of how many of these the lesion is in training."""
    random = np.random.default_rng(0)
    lesions = np.sort(np.r_[np.arange(400), random.integers(400, size=300)])
    none, labels = torch.empty(0), torch.tensor(lesions % len(CLASSES))
    data = Prepared("", 8, none, labels, tuple(range(700)), tuple(lesions), None, none, (), (), "")
    divided = split(data, by=key, stratified=True)
    return np.array([len(divided.test), np.isin(lesions[divided.test], lesions[divided.train]).sum()])


C4, C5 = style.names("c", 4), style.names("c", 5)
PASSAGES = {
    "flow": Passage(
        "how much is carried", "Eq. 1, 2", "01",
        "Eq. 1 only forbids carrying more than there is.",
        "As much as possible is carried: Σ x = min(Σ p, Σ q).",
        "As printed, the cheapest plan is x = 0, and then Eq. 2 is 0/0. Eq. 6 also assumes that all mass is moved.",
        "transport.panel(printed=True)", {"all that can be": "whole", "Eq. 1 as printed": "printed"}, flow,
        (style.names("p", 3), style.names("q", 3)), "plan x (mass)"),
    "ties": Passage(
        "equal distances", "Eq. 4", "02",
        "R counts the entries that are smaller. The paper does not say what happens to equal ones.",
        "Strictly smaller: equal distances share the lower rank.",
        "It is what is printed. With real features no two distances are equal. If we counted equal ones too, even the "
        "mass that stays in place would pay.",
        "none", {"strictly smaller": "strict", "smaller or equal": "max", "the mean rank": "average"}, ties,
        (C4, C4), "G"),
    "scale": Passage(
        "the length of features", "Eq. 3", "02",
        "Eq. 3 takes distances between features as they are. The paper mentions no normalisation.",
        "We use the raw features.",
        "A scale that all features share does not change the ranks. A difference in length between classes does.",
        "none", {"raw features": "raw", "scaled to length 1": "unit"}, scale, (C5, C5), "G"),
    "diagonal": Passage(
        "entries fixed to one", "Table 1, fix", "03",
        "In the fixed form all entries of G are “fixed to one”.",
        "All entries are one except those on the diagonal: G = 1 − I.",
        "With ones on the diagonal, every prediction costs 1, so there is no gradient. But Table 1 reports a gain.",
        "fixed = 1.0 or 0.5 (segmentation), instance.ONES",
        {"0 on the diagonal": "zero", "1 everywhere": "one", "half: the mean of a learned G": "half"}, diagonal,
        ("0", ".2", ".4", ".6", ".8", "1"), "cost, by the share on the label"),
    "absent": Passage(
        "a class without voxels", "Eq. 8, 9", "03",
        "Eq. 9 divides by Nₖ and Eq. 8 by K, even when a class is not in the batch.",
        "We take the mean over the classes that are present.",
        "0/0 has no value. If it counts as 0, the term becomes smaller the more classes are missing.",
        "none", {"mean of those present": "present", "0, divided by K": "all"}, absent,
        ("ℓ₁", "ℓ₂", "ℓ₃", "ℓ₄", "mean"), "I2PEMD"),
    "start": Passage(
        "the first prototype", "Eq. 10", "04",
        "Eq. 10 needs the prototype of the step before. The paper does not say what the first one is.",
        "The first prototype is the first mean that is seen.",
        "From zeros, t updates go 1 − αᵗ of the way. So the prototype of a rare class stays near zero and looks like a "
        "neighbour.",
        "first = “mean” or “zeros” (segmentation), prototypes = “labelled_pass” or “first” (classification)",
        {"the first mean": "mean", "zeros": "zeros"}, start, (C4, C4), "G"),
    "order": Passage(
        "update, then use?", "Eq. 10", "04",
        "The paper does not say whether a step takes its prices from the prototypes before or after their update.",
        "For voxels, after the update. For images, before it, because there the update needs the selection.",
        "This is the order of the text. And before the first update there are no prices.",
        "none", {"after the update": "after", "before it": "before"}, order,
        tuple(map(str, range(1, 9))), "I2PEMD of steps 1 to 8"),
    "pool": Passage(
        "CT and MR together", "Eq. 11", "04",
        "Eq. 11 sums over the pixels of a class and does not mention their modality.",
        "All voxels count the same.",
        "Nₖ is “the number of pixels belonging to class k”.",
        "pool = “voxels”, “modalities” or “in turn” (segmentation)",
        {"all voxels alike": "voxels", "both modalities alike": "modalities", "CT, then MR": "in turn"}, pool,
        tuple(C4), "prototype (CT at 1, MR at 4)"),
    "weights": Passage(
        "which cross-entropy", "Eq. 7", "05",
        "The loss contains “multi-class cross entropy”. The paper says no more about it.",
        "Each class is weighted with 1 − Nₖ/N, as in the code of the base method.",
        "All rows of Table 1 build on that code. Organs are small, and the weights make them count for more.",
        "ce = “weighted” or “plain” (segmentation)", {"weighted": "weighted", "plain": "plain"}, weights,
        ("CE", "Dice", "I2PEMD"), "terms of Eq. 7"),
    "table1": Passage(
        "means of another row", "Table 1", "05",
        "The means in the row Individual are those of the row Joint+I2PEMD.",
        "We take the mean of the printed organs.",
        "Then Individual is above Joint+I2PEMD, which changes what the table says.",
        "segmentation.paper.audit()", {"mean of the organs": "organs", "as printed": "printed"},
        lambda key: np.array([(row.means if key == "printed" else row.recomputed())[2]
                              for row in paper.TABLE1.values()]),
        ("Ind.", "J", "J+I", "sep", "X", "Y", "KD", "fix", "ours"), "mean DOC (%)", low=88.0),
    "T": Passage(
        "half of which batch?", "Eq. 16", "06",
        "T is “half of the batchsize”, and a batch has 48 images, of which 36 have no label.",
        "T = 24, half of 48.",
        "48 is the only number that the paper calls the batch size. With 18 the band would close earlier.",
        "top (classification)", {"24, of all": 24, "18, of those unlabelled": 18}, top,
        ("N¹", "N²", "N low", "N high", "Nₛ"), "images of a batch of 36"),
    "mean_over": Passage(
        "a sum over whom?", "Eq. 13, 19", "06",
        "The loss is a sum over the selected images, whose number changes with every batch.",
        "The sum is divided by the number of all unlabelled images of the batch.",
        "Then a few selected images weigh little, as in FixMatch. And the row Filter_thresh has to be FixMatch.",
        "mean_over = “all” or “selected” (classification)", {"all unlabelled": "all", "the selected": "selected"},
        mean_over, tuple(map(str, SELECTED)), "Lᵤ, by the number selected of 36"),
    "strict": Passage(
        "> or ≥", "Eq. 17, 18", "06",
        "The sets are written with s > τ; FixMatch is defined with s ≥ τ.",
        "We use > for I2PEMD, and ≥ for FixMatch and FlexMatch.",
        "Each method follows its authors. And no score of a real network lies exactly on a threshold.",
        "none", {"each as its authors": "own", "all s > τ": ">", "all s ≥ τ": "≥"}, strict,
        (("I2PEMD", "FixMatch"), tuple(f"s={s:g}" for s in SCORES)),
        "taken (1) or not (0)"),
    "threshold": Passage(
        "the threshold of FixMatch", "Tables 4, 5", "06",
        "For FixMatch, Table 4 gives no threshold, and its numbers are those of Filter_thresh in Table 5.",
        "0.8, which is τ_high.",
        "Two rows that agree in all five figures are one run. The authors of FixMatch use 0.95.",
        "tau_high (classification)", {"0.8, as in Table 5": 0.8, "0.95, as its authors": 0.95}, threshold,
        ("taken", "right of those", "right of all"), "unlabelled images (%)"),
    "decision": Passage(
        "when is a class given?", "Table 4", "06",
        "Accuracy, sensitivity, specificity and F1 need a decision, and none is stated.",
        "We report both. Where only one is shown, the answer is the class with the largest score.",
        "The paper shares the set-up of SRC-MT, whose code gives every class that has a score of at least 0.18.",
        "classification_metrics(decision=…)", {"the largest score": "argmax", "every score ≥ 0.18": 0.18}, decision,
        ("AUC", "sens.", "spec.", "acc.", "F1"), "figures of Table 4 (%)"),
    "split": Passage(
        "what is drawn at random?", "section 4.2.1", "06",
        "The images are split at random into 70, 20 and 10 percent.",
        "Lesions, where we know which image shows which lesion. With split_by=“image”, images are drawn instead.",
        "A lesion can have several images. If you split by image, the test asks about lesions that the network has "
        "already learned by heart.",
        "split_by = “lesion” or “image” (classification)", {"lesions": "lesion", "images": "image"}, parts,
        ("held back", "lesion seen before"), "images of 700"),
}  # fmt: skip
