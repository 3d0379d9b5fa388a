"""The rows of Table 4 and 5: which unlabelled samples a method lets teach, and how."""

import dataclasses
import logging
from typing import NamedTuple

import torch
import torch.nn.functional as F

from i2pemd_lite.classification.augment import plain, strong, weak
from i2pemd_lite.classification.data import CLASSES
from i2pemd_lite.classification.network import build, load_imagenet
from i2pemd_lite.classification.prepare import split
from i2pemd_lite.files import BadInput
from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.metrics import classification_metrics
from i2pemd_lite.prototypes import PrototypeBank
from i2pemd_lite.selection import select
from i2pemd_lite.training import Learner, Settings, Shuffled, generator, seeded

log = logging.getLogger(__name__)


class Method(NamedTuple):
    """A row: which labels it sees, and how it selects pseudo-labelled samples (None: it uses no unlabelled sample)."""

    labels: str = "part"  # "all" for the upper bound
    selection: str | None = None  # a key of SELECTIONS


METHODS = {
    "upper_bound": Method(labels="all"),
    "baseline": Method(),
    "fixmatch": Method(selection="threshold"),
    "filter_all": Method(selection="all"),
    "i2pemd_fix": Method(selection="fixed"),
    "i2pemd": Method(selection="learned"),
}


class Chosen(NamedTuple):
    """What every selection says of N samples; `Selection` says more."""

    mask: torch.Tensor
    labels: torch.Tensor
    scores: torch.Tensor


def above(o, tau):
    """The samples whose score exceeds τ: FixMatch, and with τ below 0 every sample."""
    s, r = o.max(1)
    return Chosen(s > tau, r, s)


# N_s from softmax outputs o (N, K), the learned ground distance G and the settings s.
SELECTIONS = {
    "threshold": lambda o, G, s: above(o, s.tau_high),
    "all": lambda o, G, s: above(o, -1.0),
    "fixed": lambda o, G, s: select(o, fixed_ground_distance(len(G), G.device), s.tau_low, s.tau_high, s.top),
    "learned": lambda o, G, s: select(o, G, s.tau_low, s.tau_high, s.top),
}


@dataclasses.dataclass
class ClassificationSettings(Settings):
    """The settings of a classification run; the defaults are the paper's, or of the systems that it builds on."""

    steps: int = 69_600  # 600 passes over 1,402 labelled images, 12 a step
    learning_rate: float = 1e-4
    decay: float = 0.9
    decay_every: int = 696  # 6 passes
    weight: float = 1.0  # λ of Eq. 14
    tau_low: float = 0.7
    tau_high: float = 0.8
    top: int = 24  # T: half of the batch of 48
    labelled: int = 12
    unlabelled: int = 36
    network: str = "densenet121"
    width: int = 0  # of the small network; 0: its own default
    imagenet: str = ""  # a local file with ImageNet weights for densenet121
    size: int = 224
    n_ops: int = 2  # RandAugment: operations a view …
    magnitude: int = 10  # … and their largest strength
    split_by: str = ""  # "file", "lesion", "image"; "": the first that the data allow
    share: float = 0.2  # of the training images that keep their label
    stratified: bool = False
    split_seed: int = 0
    prototypes: str = "labelled_pass"  # start: a pass over the labelled images, or "first": the first mean seen

    LIVE = (*Settings.LIVE, "tau_low", "tau_high", "top")

    def check(self):
        """Raise `BadInput` for a value that no run can use."""
        super().check()
        self._expect("method", self.method in ("", *METHODS), f"one of {', '.join(METHODS)}")
        self._expect("tau_low", 0 <= self.tau_low < self.tau_high, f"a threshold below tau_high ({self.tau_high})")
        self._expect("tau_high", self.tau_high <= 1, "a threshold up to 1")
        self._expect("labelled", self.labelled >= 1, "a whole number from 1")
        self._expect("unlabelled", self.unlabelled >= 1, "a whole number from 1")
        self._expect("top", 1 <= self.top <= self.unlabelled, f"T from 1 to the {self.unlabelled} unlabelled")
        self._expect("prototypes", self.prototypes in ("labelled_pass", "first"), "'labelled_pass' or 'first'")


_SMALL = {"network": "small", "learning_rate": 2e-3, "schedule": "cosine", "stratified": True}
SIZES = {
    "ci": _SMALL | {"steps": 20, "size": 24, "width": 8, "evaluate_every": 10, "checkpoint_every": 4},
    "laptop": _SMALL | {"steps": 2000, "size": 48, "evaluate_every": 200},
    "gpu": {"evaluate_every": 696},
}


class Classifier(Learner):
    """A network, the prototypes of seven classes, and images of which some keep their label."""

    def __init__(self, settings, data):
        super().__init__()
        s = self.settings = settings
        self.data = data
        with seeded(s.seed, "weights"):
            options = {"width": s.width} if s.width else {}
            self.network = build(s.network, len(CLASSES), **options)
        if s.imagenet:
            load_imagenet(self.network, s.imagenet)
        elif s.network == "densenet121":
            log.warning("densenet121 starts from random weights; the paper's starts from ImageNet's: set imagenet=FILE")
        self.network.to(memory_format=torch.channels_last)
        self.bank = PrototypeBank(len(CLASSES), self.network.dim, s.momentum)
        parts = split(data, s.split_by or None, labelled=s.share, stratified=s.stratified, seed=s.split_seed)
        self.labelled = parts.train if METHODS[s.method].labels == "all" else parts.labelled
        self.unlabelled = parts.unlabelled
        # Data that bring no labelled test part: their validation part is held back to the end, and selects nothing.
        self.test, self.val = (parts.test, parts.val) if len(parts.test) else (parts.val, parts.test)
        self.split_by = parts.by
        if not len(self.test):
            raise BadInput("data: expected some labelled images held back for testing, found none; split otherwise")
        streams = {"labelled": self.labelled}
        if METHODS[s.method].selection:
            streams["unlabelled"] = self.unlabelled
        self.streams = {name: Shuffled(len(part), f"{name} images", s.seed) for name, part in streams.items()}

    def source(self):
        """Which images these are, and how they were split."""
        d = self.data
        return {"folder": d.folder, "name": d.name, "fingerprint": d.fingerprint, "split": self.split_by}

    def losses(self, t):
        """Eq. 14 for one batch: L_s + λ L_u."""
        if t == 0 and self.settings.prototypes == "labelled_pass":
            self.start_prototypes()
        self.bank.momentum = self.settings.momentum
        if METHODS[self.settings.method].selection is None:
            return self.supervised(t)
        return self.semi_supervised(t)

    def supervised(self, t):
        """Cross-entropy on the weak views of the labelled images."""
        s = self.settings
        count = s.labelled + s.unlabelled if METHODS[s.method].labels == "all" else s.labelled
        images, y = self.draw("labelled", t, count)
        features, logits = self.network(self.view(weak, images, t, "labelled"))
        self.bank.update(features, y)
        loss = F.cross_entropy(logits.float(), y)
        return {"loss": loss, "labelled": loss.detach()}

    def semi_supervised(self, t):
        """Pseudo-labels from weak views teach strong views, for the samples that are selected."""
        s = self.settings
        x, y = self.draw("labelled", t, s.labelled)
        u, truth = self.draw("unlabelled", t, s.unlabelled)
        views = [
            self.view(weak, x, t, "labelled"),
            self.view(weak, u, t, "weak"),
            self.view(strong, u, t, "strong", n=s.n_ops, m=s.magnitude),
        ]
        # One forward, so that batch normalisation sees labelled, weak and strong views together.
        features, logits = self.network(torch.cat(views))
        logits, sizes = logits.float(), (s.labelled, s.unlabelled, s.unlabelled)
        logits_x, logits_weak, logits_strong = logits.split(sizes)
        features_x, features_weak, _ = features.detach().split(sizes)

        o = logits_weak.detach().softmax(1)
        G = self.bank.ground_distance()  # from the prototypes of step t−1, because Eq. 21 needs N_s
        chosen = SELECTIONS[METHODS[s.method].selection](o, G, s)  # Eq. 15-18

        L_s = F.cross_entropy(logits_x, y)
        L_u = (F.cross_entropy(logits_strong, chosen.labels, reduction="none") * chosen.mask).mean()  # Eq. 13
        self.bank.update(  # Eq. 20, 21
            torch.cat([features_x, features_weak]),
            torch.cat([y, chosen.labels]),
            mask=torch.cat([torch.ones_like(y, dtype=torch.bool), chosen.mask]),
        )
        return {"loss": L_s + s.weight * L_u, "labelled": L_s, "unlabelled": L_u, **self.judged(chosen, truth)}

    def judged(self, chosen, truth):
        """What the selection did, as counts; the truth of "unlabelled" images is known here, and only shown.

        kept: |N_s|; right: how many of them have the true pseudo-label; band: τ_low < s ≤ τ_high, the only samples
        about which I2PEMD decides; band_kept, band_right: of those.
        """
        s, right = self.settings, chosen.labels == truth
        band = (chosen.scores > s.tau_low) & (chosen.scores <= s.tau_high)
        sets = {"kept": chosen.mask, "right": chosen.mask & right, "band": band}
        sets |= {"band_kept": band & chosen.mask, "band_right": band & chosen.mask & right}
        return {name: members.sum() for name, members in sets.items()}

    def start_prototypes(self):
        """Each class's mean feature over all labelled images: no class is unseen when the first rank is taken."""
        with self.evaluating():
            features = torch.cat([self.network(x)[0].float() for x in self.batches(self.labelled)])
        self.bank.update(features.clone(), self.data.labels[self.labelled].to(features.device))

    def draw(self, part, t, count):
        """Step t's images (count, 3, S, S) uint8 of a part of the data, on the device, and their labels."""
        members = getattr(self, part)[self.streams[part].take(t * count, count)]
        there = {"device": self.device, "non_blocking": True}
        return self.data.images[members].to(**there), self.data.labels[members].to(**there)

    def view(self, how, images, t, name, **options):
        """A view of a batch, its draws known by the seed, the step and the view's name."""
        views = how(images, self.settings.size, generator(self.settings.seed, "view", name, t), **options)
        return views.contiguous(memory_format=torch.channels_last)

    def batches(self, members, images=None, size=128):
        """The plain views of some images, batch by batch, on the device."""
        images = self.data.images if images is None else images
        for part in members.split(size):
            yield plain(images[part].to(self.device), self.settings.size).contiguous(memory_format=torch.channels_last)

    def scores(self, members, images=None):
        """(n, K) softmax output for images of the data, or of another array of the same size."""
        outputs = [self.network(x)[1].float().softmax(1).cpu() for x in self.batches(members, images)]
        return torch.cat(outputs) if outputs else torch.zeros(0, len(CLASSES))

    def figures(self, members):
        """The five figures of Table 4 and top-1 accuracy, in percent."""
        found = classification_metrics(self.scores(members), self.data.labels[members])
        return {name: 100 * value for name, value in found.items()}

    def evaluate(self):
        """Figures on the validation part, whose AUC selects the weights to keep; on the test part without one."""
        figures = self.figures(self.val if len(self.val) else self.test)
        return figures | ({"selection": figures["auc"]} if len(self.val) else {})
