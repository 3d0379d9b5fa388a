"""Passages of the paper that can be read in more than one way: the method and segmentation (Eq. 1-11, Table 1).

Each is a `Passage`: what is printed, how this module reads it and why, and a `compute` that gives the outcome of each
reading on one small example. `readings.py` shows them; `passages_images.py` has those of classification.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from i2pemd_lite.emd import emd, i2pemd
from i2pemd_lite.ground import fixed_ground_distance, ground_distance, prototype_distances
from i2pemd_lite.losses import i2pemd_loss, segmentation_loss
from i2pemd_lite.panels import transport
from i2pemd_lite.panels.engine import style
from i2pemd_lite.prototypes import PrototypeBank
from i2pemd_lite.segmentation import paper
from i2pemd_lite.segmentation.methods import POOLS


class Passage(NamedTuple):
    """A place where the paper is silent, or says two things.

    title : in a few words;  equation : where it stands;  lesson : where a learner meets it, "NN"
    says, ours, why : what the paper says, how it is read here, and the reason; a sentence each
    switch : the name of the setting or argument that changes it, "none" where there is none
    readings : {words: key}, ours first;  compute : `compute(key)` -> numbers, a vector (bars) or a matrix
    labels : of the bars, or (of the rows, of the columns);  shown : what the numbers are, with their unit
    low : where the axis of the bars begins
    """

    title: str
    equation: str
    lesson: str
    says: str
    ours: str
    why: str
    switch: str
    readings: dict
    compute: Callable
    labels: tuple
    shown: str
    low: float = 0.0


def flow(key):
    """The plan of lesson 01's problem, with all mass carried or by the letter of Eq. 1."""
    p, q, g = (0.5, 0.3, 0.2), (0.2, 0.2, 0.6), ((0.0, 0.4, 0.8), (0.4, 0.0, 0.6), (0.8, 0.6, 0.0))
    return transport.linear_program(p, q, g).plan if key == "printed" else emd(p, q, g).plan


def ties(key):
    """G of four classes in equal steps on a line, by three ways to rank equal distances."""
    from scipy.stats import rankdata

    c = torch.arange(4.0, dtype=torch.float64)[:, None]
    if key == "strict":
        return ground_distance(c).numpy()
    # rankdata counts from 1; "max" is the number of entries that are smaller or equal.
    ranks = (rankdata(prototype_distances(c), method=key, axis=1) - (key == "average")) / len(c)
    return (ranks + ranks.T) / 2


def scale(key):
    """G of five prototypes of unlike length, raw or scaled to length 1."""
    c = torch.tensor([[1.0, 0.0], [2.0, 0.4], [5.0, 1.0], [0.2, 1.0], [0.8, 5.0]], dtype=torch.float64)
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
    p = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.4, 0.3, 0.2, 0.1], [0.1, 0.8, 0.05, 0.05],
                      [0.05, 0.05, 0.1, 0.8], [0.25, 0.25, 0.25, 0.25]], dtype=torch.float64)  # fmt: skip
    y, G = torch.tensor([0, 0, 1, 3, 3]), ground_distance(_four())
    each = [i2pemd_loss(p.log(), y.where(y == k, -100), G).item() for k in range(4)]
    return np.array([*each, i2pemd_loss(p.log(), y, G).item() if key == "present" else sum(each) / 4])


def start(key):
    """G after 20 batches, the last of which is the first to show class 4."""
    bank = PrototypeBank(4, 2).double()
    bank.seen.fill_(key == "zeros")
    c = torch.tensor([[1.0, 1.0], [3.0, 1.0], [1.0, 3.0], [6.0, 6.0]], dtype=torch.float64)
    for step in range(20):
        shown = 3 + (step == 19)
        bank.update(c[:shown], torch.arange(shown))
    return bank.ground_distance().numpy()


def order(key):
    """What class 3 taken for class 1 costs in eight steps, while it walks away from that class."""
    bank, losses = PrototypeBank(4, 2, momentum=0.5).double(), []
    logits, label = torch.tensor([[3.0, 0.0, 1.0, 0.0]], dtype=torch.float64), torch.tensor([2])
    for step in range(8):
        c = torch.tensor([[0.0, 0], [6, 0], [step, 1], [3, 5]], dtype=torch.float64)
        before = bank.ground_distance()
        bank.update(c, torch.arange(4))
        losses.append(i2pemd_loss(logits, label, bank.ground_distance() if key == "after" else before).item())
    return np.array(losses)


def pool(key):
    """The first prototypes of four classes with unlike numbers of CT voxels, whose feature is 1, and MR ones, 4."""
    labels = torch.full((2, 40), -100)
    for modality, counts in enumerate([(30, 9, 0, 1), (5, 5, 20, 10)]):
        labels[modality, : sum(counts)] = torch.arange(4).repeat_interleave(torch.tensor(counts))
    features = torch.tensor([1.0, 4.0], dtype=torch.float64)[:, None, None].expand(2, 1, 40)
    bank = PrototypeBank(4, 1).double()
    POOLS[key](bank, features, labels, (1, 1))
    return bank.prototypes[:, 0].numpy()


def weights(key):
    """The terms of Eq. 7 when nine voxels of ten are background, which the network finds and the organ it does not."""
    p = torch.tensor([[0.9, 0.1]] * 9 + [[0.6, 0.4]], dtype=torch.float64)
    terms = segmentation_loss(p.log(), torch.tensor([0] * 9 + [1]), fixed_ground_distance(2), ce=key).terms
    return np.array([terms["ce"], terms["dice"], terms["i2pemd"]])


def table1(key):
    """The mean DOC of the rows of Table 1, as printed or taken again from the organs."""
    return np.array([row.means[2] if key == "printed" else row.recomputed()[2] for row in paper.TABLE1.values()])


def _four():
    return torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 3, 1], [2, 2, 6]], dtype=torch.float64)


C3, C4, C5 = (style.names("c", K) for K in (3, 4, 5))
METHOD = {
    "flow": Passage(
        "how much is carried", "Eq. 1, 2", "01",
        "Eq. 1 only forbids to carry more than there is.",
        "All that can be carried is carried, Σ x = min(Σ p, Σ q).",
        "By the letter x = 0 is the cheapest plan, and Eq. 2 is 0/0; Eq. 6 counts on all mass being moved.",
        "transport.panel(printed=True)",
        {"all that can be": "whole", "Eq. 1 to the letter": "printed"}, flow,
        (style.names("p", 3), style.names("q", 3)), "plan x (mass)",
    ),
    "ties": Passage(
        "equal distances", "Eq. 4", "02",
        "R counts the entries that are smaller, and nothing is said of equal ones.",
        "Strictly smaller: equal distances share the lower rank.",
        "It is what is printed, and with real features no two distances are equal; with ≤ even staying would cost.",
        "none", {"strictly smaller": "strict", "smaller or equal": "max", "the mean rank": "average"}, ties,
        (C4, C4), "G",
    ),
    "scale": Passage(
        "the length of features", "Eq. 3", "02",
        "Eq. 3 takes distances of features as they are, and no normalisation is mentioned.",
        "Raw features.",
        "Ranks do not see a common scale; but they do see when classes differ in length.",
        "none", {"raw features": "raw", "scaled to length 1": "unit"}, scale, (C5, C5), "G",
    ),
    "diagonal": Passage(
        "entries fixed to one", "Table 1, fix", "03",
        "In the fixed form all entries of G are “fixed to one”.",
        "All but the diagonal: G = 1 − I.",
        "With ones on the diagonal every prediction costs 1, which has no gradient, and Table 1 reports a gain.",
        "fixed = 1.0 or 0.5 (segmentation), instance.panel(diagonal=True)",
        {"0 on the diagonal": "zero", "1 everywhere": "one", "half: the mean of a learned G": "half"}, diagonal,
        ("0", ".2", ".4", ".6", ".8", "1"), "cost, by the share on the label",
    ),
    "absent": Passage(
        "a class without voxels", "Eq. 8, 9", "03",
        "Eq. 9 divides by N_k, Eq. 8 by K, also when a class is not in the batch.",
        "The mean over the classes that are present.",
        "0/0 has no value, and counting it as 0 makes the term smaller the more classes are away.",
        "none", {"mean of those present": "present", "0, divided by K": "all"}, absent,
        ("ℓ₁", "ℓ₂", "ℓ₃", "ℓ₄", "mean"), "I2PEMD",
    ),
    "start": Passage(
        "the first prototype", "Eq. 10", "04",
        "Eq. 10 needs a prototype of the step before, and the first is not given.",
        "The first mean that is seen.",
        "From zeros, t updates reach 1 − αᵗ of the way, so a rare class stays near zero and looks like a neighbour.",
        "first = “mean” or “zeros” (segmentation), prototypes = “labelled_pass” or “first” (classification)",
        {"the first mean": "mean", "zeros": "zeros"}, start, (C4, C4), "G",
    ),
    "order": Passage(
        "update, then use?", "Eq. 10", "04",
        "It is not said whether a step prices with the prototypes before or after their update.",
        "After, for voxels; before, for images, where the update needs the selection.",
        "It is the order of the text, and before the first update there are no prices.",
        "none", {"after the update": "after", "before it": "before"}, order,
        tuple(map(str, range(1, 9))), "I2PEMD of steps 1 to 8",
    ),
    "pool": Passage(
        "CT and MR together", "Eq. 11", "04",
        "Eq. 11 adds over the pixels of a class, and says nothing of their modality.",
        "All voxels count alike.",
        "N_k is “the number of pixels belonging to class k”.",
        "pool = “voxels”, “modalities” or “in turn” (segmentation)",
        {"all voxels alike": "voxels", "both modalities alike": "modalities", "CT, then MR": "in turn"}, pool,
        tuple(C4), "prototype (CT at 1, MR at 4)",
    ),
    "weights": Passage(
        "which cross-entropy", "Eq. 7", "05",
        "The loss has “multi-class cross entropy”, and no more is said.",
        "Weighted with 1 − N_k/N, as in the code of the base method.",
        "All rows of Table 1 build on that code; organs are small, and count for more.",
        "ce = “weighted” or “plain” (segmentation)", {"weighted": "weighted", "plain": "plain"}, weights,
        ("CE", "Dice", "I2PEMD"), "terms of Eq. 7",
    ),
    "table1": Passage(
        "means of another row", "Table 1", "05",
        "The means of Individual are those of the row Joint+I2PEMD.",
        "The mean of the printed organs.",
        "Individual then is above Joint+I2PEMD, which changes what the table says.",
        "segmentation.paper.audit()", {"mean of the organs": "organs", "as printed": "printed"}, table1,
        ("Ind.", "J", "J+I", "sep", "X", "Y", "KD", "fix", "ours"), "mean DOC (%)", low=88.0,
    ),
}  # fmt: skip
