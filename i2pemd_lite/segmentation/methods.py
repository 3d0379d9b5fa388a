"""The rows of Table 1 and 3: what CT and MR share, and what is added to the segmentation loss."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.files import BadInput
from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.losses import i2ped_loss, kd_loss, mmd, segmentation_loss
from i2pemd_lite.metrics import dice
from i2pemd_lite.prototypes import PrototypeBank, class_means
from i2pemd_lite.segmentation.augment import COPIES, augmented, turned
from i2pemd_lite.segmentation.data import CLASSES, MODALITIES
from i2pemd_lite.segmentation.network import UNet
from i2pemd_lite.segmentation.prepare import Geometry
from i2pemd_lite.training import Learner, Settings, Shuffled, generator, seeded

ORGANS = CLASSES[1:]
VOXELS = 200  # of each class and modality, whose features `Segmenter.evaluate` compares


class Method(NamedTuple):
    """A row: how the network is shared (`network.SHARING`), where G comes from, and what else is added to the loss."""

    sharing: str
    ground: str | None = None  # "learned" or "fixed": λ L_I2PEMD is in the loss (Eq. 7)
    extra: str | None = None  # "i2ped" or "kd"


METHODS = {
    "individual": Method("individual"),
    "joint": Method("joint"),
    "joint_i2pemd": Method("joint", ground="learned"),
    "joint_sepbn": Method("joint_sepbn"),
    "x_shaped": Method("x_shaped"),
    "y_shaped": Method("y_shaped"),
    "ummkd": Method("joint_sepbn", extra="kd"),
    "joint_sepbn_i2pemd_fix": Method("joint_sepbn", ground="fixed"),
    "joint_sepbn_i2ped": Method("joint_sepbn", extra="i2ped"),
    "joint_sepbn_i2pemd": Method("joint_sepbn", ground="learned"),
}


GROUNDS = {
    None: lambda bank, settings: None,
    "learned": lambda bank, settings: bank.ground_distance(),
    "fixed": lambda bank, settings: settings.fixed * fixed_ground_distance(bank.num_classes, bank.prototypes.device),
}


def _pool_voxels(bank, features, labels, sizes):
    bank.update(features, labels)


def _pool_modalities(bank, features, labels, sizes):
    parts = zip(features.split(sizes), labels.split(sizes), strict=True)
    means, counts = map(torch.cat, zip(*(class_means(F, y, bank.num_classes) for F, y in parts), strict=True))
    classes = torch.arange(bank.num_classes, device=counts.device).repeat(len(sizes))
    bank.update(means, classes.masked_fill(counts == 0, -100))


def _pool_in_turn(bank, features, labels, sizes):
    for F, y in zip(features.split(sizes), labels.split(sizes), strict=True):
        bank.update(F, y)


POOLS = {"voxels": _pool_voxels, "modalities": _pool_modalities, "in turn": _pool_in_turn}
"""Eq. 11 for two modalities: all voxels count alike, or the modalities do, or CT moves the prototypes, then MR."""


@dataclasses.dataclass
class SegmentationSettings(Settings):
    """The settings of a segmentation run; the defaults are the paper's, or methods that the paper builds on."""

    steps: int = 50_000
    learning_rate: float = 5e-4
    decay: float = 0.95
    decay_every: int = 500
    weight: float = 1.0  # λ of Eq. 7; the paper does not say
    weight_i2ped: float = 1.0
    weight_kd: float = 0.5
    temperature: float = 2.0  # T of the knowledge distillation of Dou et al. 2020
    ce: str = "weighted"
    fixed: float = 1.0  # what a mistake costs when G is fixed; 0.5 is the mean of a learned G
    pool: str = "voxels"  # which CT and MR features make a prototype: a key of `POOLS`
    first: str = "mean"  # a prototype begins as the first mean of its class, or as "zeros"
    forward: str = "together"  # CT and MR as one batch, whose statistics joint normalisation takes, or "apart"
    width: int = 16  # b
    dim: int = 32  # d
    upconv: str = "cicek"
    init: str = "ummkd"
    batch: int = 3  # of each modality
    patch_depth: int = 8
    block_step: int = 8  # slices from one block to the next when a whole volume is predicted; fewer overlap
    spacing: tuple = (8.0, 1.5, 1.5)  # mm, (z, y, x); this and the next five are those of `Geometry`
    size: tuple = (256, 256)
    crop: str = "z"  # unlike the paper's "organs", whose in-plane cut no scan without labels can have
    ct_window: tuple | None = None
    mr_clip: float | None = None
    normalise: str = "volume"
    test: float = 0.3
    split_seed: int = 0
    augment: bool = False  # this and the next two are not in the paper; see `PRESETS`
    copies: int = 1  # turned and zoomed ones that a prediction is the mean of, up to 5
    largest: bool = False  # of each organ keep the largest piece only

    LIVE = (*Settings.LIVE, "weight_i2ped", "weight_kd")

    def __post_init__(self):
        for name, length in (("spacing", 3), ("size", 2), ("ct_window", 2)):
            value = getattr(self, name)
            if name == "ct_window" and value is None:
                continue
            self._expect(name, isinstance(value, tuple | list) and len(value) == length, f"{length} numbers")
            setattr(self, name, tuple(value))
        super().__post_init__()

    def check(self):
        """Raise `BadInput` for a value that no run can use."""
        super().check()
        self._expect("method", self.method in ("", *METHODS), f"one of {', '.join(METHODS)}")
        for name in ("batch", "width", "dim"):
            self._expect(name, getattr(self, name) >= 1, "a whole number from 1")
        for name in ("weight_i2ped", "weight_kd"):
            self._expect(name, getattr(self, name) >= 0, "a number from 0")
        self._expect("temperature", self.temperature > 0, "a number above 0")
        self._expect("ce", self.ce in ("weighted", "plain"), "'weighted' or 'plain'")
        self._expect("fixed", self.fixed >= 0, "a number from 0")
        self._expect("pool", self.pool in POOLS, " or ".join(POOLS))
        self._expect("first", self.first in ("mean", "zeros"), "'mean' or 'zeros'")
        self._expect("forward", self.forward in ("together", "apart"), "'together' or 'apart'")
        self._expect("test", 0 < self.test < 1, "a part above 0 and below 1")
        self._expect("patch_depth", self.patch_depth % 8 == 0 < self.patch_depth, "a multiple of 8")
        self._expect("block_step", 1 <= self.block_step <= self.patch_depth, f"1 to patch_depth ({self.patch_depth})")
        self._expect("copies", 1 <= self.copies <= len(COPIES), f"1 to {len(COPIES)}")
        self._expect("size", all(isinstance(n, int) and n % 8 == 0 < n for n in self.size), "two multiples of 8")

    @property
    def geometry(self):
        """The grid that volumes are brought to."""
        names = ("spacing", "size", "crop", "ct_window", "mr_clip", "normalise")
        return Geometry(**{name: getattr(self, name) for name in names}, min_depth=self.patch_depth)


_SOFT_TISSUE = {"ct_window": (-125.0, 275.0), "mr_clip": 0.99}
SIZES = {
    "ci": _SOFT_TISSUE
    | {
        "steps": 24,
        "learning_rate": 5e-3,
        "schedule": "cosine",
        "width": 4,
        "dim": 8,
        "spacing": (8.0, 8.0, 8.0),
        "size": (48, 48),
        "evaluate_every": 12,
        "checkpoint_every": 4,
    },
    "laptop": _SOFT_TISSUE
    | {
        "init": "torch",  # 250 steps with it do as well as 600 with the other
        "block_step": 4,  # a slice at the edge of a block is predicted worse: about 2 points of DOC
        "steps": 600,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "width": 8,
        "dim": 16,
        "spacing": (8.0, 4.0, 4.0),
        "size": (96, 96),
        "evaluate_every": 100,
        "checkpoint_every": 20,
    },
    "gpu": {},
}
PRESETS = {
    "paper": {},
    # Past the paper's recipe, for each of its methods alike. Test-time copies are turned and zoomed, never mirrored:
    # no organ here has a twin on the other side.
    "beyond": _SOFT_TISSUE
    | {
        "augment": True,
        "init": "torch",
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "block_step": 4,
        "copies": len(COPIES),
        "largest": True,
    },
}


class Segmenter(Learner):
    """One network for CT and MR, the shared prototypes of five classes, and the volumes to learn from."""

    def __init__(self, settings, data):
        super().__init__()
        s = self.settings = settings
        self.data = data
        with seeded(s.seed, "weights"):
            self.network = UNet(METHODS[s.method].sharing, s.width, s.dim, len(CLASSES), s.upconv, s.init)
        self.network.to(memory_format=torch.channels_last_3d)
        self.bank = PrototypeBank(len(CLASSES), s.dim, s.momentum)
        self.bank.seen.fill_(s.first == "zeros")
        self.training_cases, self.test_cases = data.split(s.test, s.split_seed)
        self.samples = sample_voxels(self.test_cases)
        self.resident = Resident()
        shown = torch.cat([case.label.unique() for case in self.training_cases])
        for k in set(range(len(CLASSES))) - set(shown.tolist()):
            raise BadInput(
                f"training cases: expected one with {CLASSES[k]}, found none among "
                f"{', '.join(case.name for case in self.training_cases)}; choose another split_seed, or add a case"
            )
        self.streams = {
            modality: Shuffled(len(self._cases(modality)), f"{modality} scans", s.seed) for modality in MODALITIES
        }

    def _cases(self, modality):
        return [case for case in self.training_cases if case.modality == modality]

    def source(self):
        """Where the volumes came from and what they are."""
        folder = self.data.dataset.folder if self.data.dataset else self.data.folder
        return {"folder": str(folder.resolve()), "name": self.data.name, "fingerprint": self.data.fingerprint}

    def losses(self, t):
        """Eq. 7 for one batch, with what the method adds."""
        s, method = self.settings, METHODS[self.settings.method]
        images, labels, sizes = self.batch(t)
        features, logits = self.network(images, sizes) if s.forward == "together" else self._apart(images, sizes)
        self.bank.momentum = s.momentum
        POOLS[s.pool](self.bank, features, labels, sizes)  # Eq. 10, 11
        ground = GROUNDS[method.ground](self.bank, s)  # Eq. 3-5
        loss = segmentation_loss(logits, labels, ground, s.weight, ce=s.ce, sizes=sizes)  # Eq. 7-9
        terms = dict(loss.terms)
        if method.extra == "i2ped":
            terms["i2ped"] = i2ped_loss(features, labels, self.bank.prototypes)
            loss = loss + s.weight_i2ped * terms["i2ped"]
        if method.extra == "kd":
            terms["kd"] = kd_loss(logits, labels, sizes, s.temperature)
            loss = loss + s.weight_kd * terms["kd"]
        return {"loss": loss, **terms}

    def _apart(self, images, sizes):
        ones = [tuple(n if i == j else 0 for j, n in enumerate(sizes)) for i in range(len(sizes))]
        outputs = [self.network(x, size) for x, size in zip(images.split(sizes), ones, strict=True)]
        return map(torch.cat, zip(*outputs, strict=True))

    def batch(self, t):
        """Step t's patches: images (B, 1, D, H, W), labels (B, D, H, W), sizes; first CT, then MR."""
        s, images, labels = self.settings, [], []
        draws = generator(s.seed, "patches", t)
        for modality in MODALITIES:
            cases = self._cases(modality)
            for i in self.streams[modality].take(t * s.batch, s.batch).tolist():
                z = first_slice(cases[i], s.patch_depth, draws)
                image, label = self.resident.volume(cases[i], self.device)
                images.append(image[z : z + s.patch_depth])
                labels.append(label[z : z + s.patch_depth])
        images, labels = torch.stack(images)[:, None], torch.stack(labels)
        if s.augment and self.training:
            images, labels = augmented(images, labels, generator(s.seed, "augment", t))
        return images.contiguous(memory_format=torch.channels_last_3d), labels, (s.batch,) * len(MODALITIES)

    def volume(self, case, voxels=()):
        """Softmax output (K, D, H, W) of a whole volume, and the features (n, d) at n of its voxels, (n, 3) indices.

        Both are means over the blocks along z that hold a slice.
        """
        depth, size = len(case.image), self.settings.patch_depth
        starts = block_starts(depth, size, self.settings.block_step)
        blocks = torch.stack([case.image[z : z + size] for z in starts]).to(self.device)[:, None]
        sizes = tuple(len(starts) if modality == case.modality else 0 for modality in MODALITIES)
        features, logits = self.network(blocks.contiguous(memory_format=torch.channels_last_3d), sizes)
        outputs = logits.float().softmax(1)
        for copy in COPIES[1 : self.settings.copies]:
            _, logits = self.network(turned(blocks, *copy).contiguous(memory_format=torch.channels_last_3d), sizes)
            outputs += turned(logits.float().softmax(1), *copy, back=True)
        voxels = torch.as_tensor(voxels, dtype=torch.long, device=self.device).reshape(-1, 3)
        p = logits.new_zeros(logits.shape[1], depth, *logits.shape[3:])
        f = logits.new_zeros(len(voxels), features.shape[1])
        count = torch.zeros(depth, device=self.device)
        for z, block, F in zip(starts, outputs / self.settings.copies, features.float(), strict=True):
            p[:, z : z + size] += block
            here = (voxels[:, 0] >= z) & (voxels[:, 0] < z + size)
            i, y, x = voxels[here].T
            f[here] += F[:, i - z, y, x].T
            count[z : z + size] += 1
        p, f = (p / count[:, None, None]).cpu(), (f / count[voxels[:, :1]]).cpu()
        return (largest_pieces(p) if self.settings.largest else p), f

    def probabilities(self, case):
        """(K, D, H, W) softmax output for a whole volume."""
        return self.volume(case)[0]

    def evaluate(self):
        """Figures on the held-back cases: DOC in percent, and the other two that Table 2 follows over the epochs.

        doc, that of each modality, that of each organ; mi2pemd, Eq. 8 over all voxels with the present G; mmd, between
        the features of CT and of MR (`mmd`, at most `VOXELS` of each class and modality, the same every time).
        """
        rows, cost, features = [], ClassMean(len(CLASSES)), {modality: [] for modality in MODALITIES}
        G = self.bank.ground_distance().cpu()
        for case in self.test_cases:
            p, f = self.volume(case, self.samples[case.name])
            rows.append(doc_row(case, p))
            cost.add(i2pemd(p[None], case.label[None], G)[0], case.label)
            features[case.modality].append(f)
        gap = mmd(*(torch.cat(f) for f in features.values()))
        return {**summary(rows), "mi2pemd": cost.mean(), "mmd": gap.item()}


class Resident:
    """The training volumes on the device that last asked: a step then copies nothing there and never waits."""

    def __init__(self):
        self.device, self.volumes = None, {}

    def volume(self, case, device):
        """image (D, H, W) float32 and label (D, H, W) uint8 of a case."""
        if device != self.device:
            self.device, self.volumes = device, {}
        if case.name not in self.volumes:
            self.volumes[case.name] = case.image.to(device), case.label.to(device)
        return self.volumes[case.name]

    def __deepcopy__(self, memo):
        return self  # shared by the forks of a run


def largest_pieces(p):
    """Softmax output (K, D, H, W) in which each organ has no probability outside the largest connected piece of it.

    Example
    -------
    >>> p = torch.tensor([[0.1, 0.1, 0.9, 0.3], [0.9, 0.9, 0.1, 0.7]]).view(2, 1, 1, 4)
    >>> largest_pieces(p).argmax(0).flatten().tolist()
    [1, 1, 0, 0]
    """
    labels, p = p.argmax(0).numpy(), p.clone()
    for k in range(1, len(p)):
        pieces, count = ndimage.label(labels == k)
        if count > 1:
            sizes = np.bincount(pieces.ravel())
            p[k][torch.from_numpy((pieces > 0) & (pieces != sizes[1:].argmax() + 1))] = 0
    return p


class ClassMean:
    """The mean of a map over the voxels of each class, then over the classes present, over any number of volumes.

    Example
    -------
    >>> cost = ClassMean(3)
    >>> cost.add(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 1]))
    >>> cost.mean()
    3.5
    """

    def __init__(self, num_classes):
        self.sums, self.counts = torch.zeros(2, num_classes, dtype=torch.float64)

    def add(self, values, labels):
        """Count the voxels of one more volume."""
        labels, size = labels.flatten().long(), len(self.counts)
        self.sums += torch.bincount(labels, values.flatten().double(), size)
        self.counts += torch.bincount(labels, minlength=size)

    def mean(self):
        """mean of ℓ_k over the classes present (Eq. 8, 9)."""
        present = self.counts > 0
        return (self.sums[present] / self.counts[present]).mean().item()


def sample_voxels(cases):
    """Up to `VOXELS` voxels of each class from the cases of each modality together: {case name: (n, 3) indices}."""
    share = {m: math.ceil(VOXELS / max(1, sum(c.modality == m for c in cases))) for m in MODALITIES}
    samples = {}
    for case in cases:
        found = []
        for k in range(len(CLASSES)):
            where = (case.label == k).nonzero()
            order = torch.randperm(len(where), generator=generator("voxels", case.name, k))
            found.append(where[order[: share[case.modality]]])
        samples[case.name] = torch.cat(found)
    return samples


def doc_row(case, p):
    """The DOC in percent of each organ in a case, from its softmax output; NaN where there is none."""
    doc = 100 * dice(p.argmax(0), case.label, len(CLASSES))
    return {"case": case.name, "modality": case.modality, **dict(zip(ORGANS, doc[1:].tolist(), strict=True))}


def summary(rows):
    """Means of many a `doc_row`, as Table 1 takes them: over cases for each organ, over organs, over modalities.

    What is NaN, an organ that neither truth nor prediction has, is left out of each of them.

    Example
    -------
    >>> rows = [{"case": m, "modality": m, **dict.fromkeys(ORGANS, doc)} for m, doc in (("ct", 90.0), ("mr", 80.0))]
    >>> {name: value for name, value in summary(rows).items() if "liver" not in name and "kid" not in name}
    {'doc': 85.0, 'ct': 90.0, 'mr': 80.0, 'ct spleen': 90.0, 'mr spleen': 80.0}
    """
    organs = {
        f"{m} {organ}": known_mean(row[organ] for row in rows if row["modality"] == m)
        for m in MODALITIES
        for organ in ORGANS
    }
    means = {m: known_mean(organs[f"{m} {organ}"] for organ in ORGANS) for m in MODALITIES}
    return {"doc": known_mean(means.values()), **means, **organs}


def known_mean(values):
    """The mean of the values that are numbers; NaN where none is."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def block_starts(depth, size, step):
    """First slices of the blocks that cover a volume, the last one anchored at its end.

    Example
    -------
    >>> block_starts(20, size=8, step=8), block_starts(20, size=8, step=4)
    ([0, 8, 12], [0, 4, 8, 12])
    """
    return [*range(0, depth - size, step), depth - size]


def first_slice(case, size, draws):
    """Where a training patch begins: half of the time one of the blocks, else around a slice that shows an organ.

    The rule of Dou et al. 2020, whose patches span the whole plane.
    """
    depth = len(case.image)
    starts = block_starts(depth, size, step=size)
    coin, place = torch.rand(2, generator=draws).tolist()
    if coin < 0.5:
        return starts[int(place * len(starts))]
    shown = case.organ_slices or [depth // 2]
    return min(max(shown[int(place * len(shown))] - size // 2, 0), depth - size)
