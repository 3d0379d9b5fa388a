"""Passages of the paper that can be read in more than one way: classification (Eq. 13-19, Tables 4 and 5)."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F

from i2pemd_lite.classification.data import CLASSES
from i2pemd_lite.classification.methods import METHODS
from i2pemd_lite.classification.methods.pseudo import above, pseudo_labels
from i2pemd_lite.classification.prepare import Prepared, split
from i2pemd_lite.classification.settings import ClassificationSettings
from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.metrics import classification_metrics
from i2pemd_lite.panels import exhibits
from i2pemd_lite.panels.passages import Passage
from i2pemd_lite.prototypes import PrototypeBank
from i2pemd_lite.selection import select

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
    found = select(*exhibits.predictions(), tau_low=0.6, tau_high=0.8, top=key)
    return np.array([int(each.sum()) for each in (found.confident, found.near, found.low, found.high, found.mask)])


def mean_over(key):
    """L_u of batches of which 1, 6, 18 and all 36 images are selected; every strong view answers with 0.6."""
    return np.array([_unlabelled_loss(count, key) for count in SELECTED])


def _unlabelled_loss(selected, key):
    s = ClassificationSettings(method="fixmatch", labelled=1, unlabelled=36, mean_over=key)
    sure = torch.tensor([[0.95, 0.05]]).repeat(36, 1)
    sure[selected:] = 0.5
    logits = torch.cat([torch.tensor([[0.5, 0.5]]), sure, torch.tensor([[0.6, 0.4]]).repeat(36, 1)]).log()
    labels = {"labelled": torch.zeros(1, dtype=torch.long), "unlabelled": torch.zeros(36, dtype=torch.long)}
    learner = SimpleNamespace(
        settings=s, method=METHODS["fixmatch"], memory=None, class_weights=None, bank=PrototypeBank(2, 2),
        draw=lambda part, t, count: (torch.zeros(count), labels[part], None),
        view=lambda how, images, t, name, **options: images, network=lambda views: (logits, logits),
    )  # fmt: skip
    return pseudo_labels(learner, 0)["unlabelled"].item()


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
    figures = classification_metrics(*(each.numpy() for each in answers()), key)
    return 100 * np.array([figures[name] for name in ("auc", "sensitivity", "specificity", "accuracy", "f1")])


def parts(key):
    """How many of 700 images of 400 lesions are held back, and of how many of these the lesion is in training."""
    random = np.random.default_rng(0)
    lesions = np.sort(np.r_[np.arange(400), random.integers(400, size=300)])
    none, labels = torch.empty(0), torch.tensor(lesions % len(CLASSES))
    data = Prepared("", 8, none, labels, tuple(range(700)), tuple(lesions), None, none, (), (), "")
    found = split(data, by=key, stratified=True)
    seen = np.isin(lesions[found.test], lesions[found.train])
    return np.array([len(found.test), seen.sum()])


IMAGES = {
    "T": Passage(
        "half of which batch?", "Eq. 16", "06",
        "T is “half of the batchsize”, and a batch has 48 images, of which 36 have no label.",
        "T = 24, half of 48.",
        "48 is the only number that the paper calls the batch size; 18 would shut the band earlier.",
        "top (classification)", {"24, of all": 24, "18, of those unlabelled": 18}, top,
        ("N¹", "N²", "N low", "N high", "Nₛ"), "images of a batch of 36",
    ),
    "mean_over": Passage(
        "a sum over whom?", "Eq. 13, 19", "06",
        "The loss is a sum over the selected images, whose number changes with every batch.",
        "Divided by the number of all unlabelled images of the batch.",
        "So few selected ones weigh little, as in FixMatch, whose row Filter_thresh has to be.",
        "mean_over = “all” or “selected” (classification)", {"all unlabelled": "all", "the selected": "selected"},
        mean_over, tuple(map(str, SELECTED)), "L_u, by the number selected of 36",
    ),
    "strict": Passage(
        "> or ≥", "Eq. 17, 18", "06",
        "The sets are written with s > τ; FixMatch is defined with s ≥ τ.",
        "> for I2PEMD, ≥ for FixMatch and FlexMatch.",
        "Each is what its authors have, and no score of a real network lies on a threshold.",
        "none", {"each as its authors": "own", "all s > τ": ">", "all s ≥ τ": "≥"}, strict,
        (("I2PEMD", "FixMatch"), tuple(f"s={s:g}" for s in SCORES)),
        "taken (1) or not (0)",
    ),
    "threshold": Passage(
        "the threshold of FixMatch", "Tables 4, 5", "06",
        "FixMatch in Table 4 has no threshold, and the numbers of Filter_thresh in Table 5.",
        "0.8, which is τ_high.",
        "Two rows that agree in all five figures are one run; the authors of FixMatch use 0.95.",
        "tau_high (classification)", {"0.8, as in Table 5": 0.8, "0.95, as its authors": 0.95}, threshold,
        ("taken", "right of those", "right of all"), "unlabelled images (%)",
    ),
    "decision": Passage(
        "when is a class given?", "Table 4", "06",
        "Accuracy, sensitivity, specificity and F1 need a decision, and none is stated.",
        "Both are reported; where one is shown, the class of the largest score.",
        "The code of SRC-MT, whose set-up the paper shares, calls every class from a score of 0.18 on.",
        "classification_metrics(decision=…)", {"the largest score": "argmax", "every score ≥ 0.18": 0.18}, decision,
        ("AUC", "sens.", "spec.", "acc.", "F1"), "figures of Table 4 (%)",
    ),
    "split": Passage(
        "what is drawn at random?", "section 4.2.1", "06",
        "The images are split at random into 70, 20 and 10 percent.",
        "Lesions are, where it is known which image shows which; images are with split_by=“image”.",
        "A lesion has up to several images: split by image, the test asks about lesions that were learned by heart.",
        "split_by = “lesion” or “image” (classification)", {"lesions": "lesion", "images": "image"}, parts,
        ("held back", "lesion seen before"), "images of 700",
    ),
}  # fmt: skip
