"""What the predictions of a run are worth: overlap and surfaces of every organ in every held-back case."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import torch

from i2pemd_lite.metrics import dice, surface_distances
from i2pemd_lite.runs.sampling import generator
from i2pemd_lite.segmentation.layout import CLASSES, MODALITIES, ORGANS
from i2pemd_lite.tables.report import Report, without_nan

VOXELS = 200
"""Of each class and modality, whose features an evaluation compares: about so many, shared out over the cases."""
BLOCKS, PROBE = 2, 20
"""Blocks of each modality, and voxels of each class in each, whose features every `Moment` of a run keeps."""
DISTANCES = {"assd": "ASSD", "hd95": "HD95", "hd": "max"}
"""Field of `SurfaceDistances` -> its name in a table."""
MISSING = {
    "truth": "organs that the truth does not show but the prediction does, of DOC 0 and no distance",
    "prediction": "organs that the prediction does not show but the truth does, of DOC 0 and no distance",
    "both": "organs in neither truth nor prediction, left out of every mean",
}
"""Where an organ is missing -> what that means for the figures."""


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
        voxels = []
        for k in range(len(CLASSES)):
            where = (case.label == k).nonzero()
            order = torch.randperm(len(where), generator=generator("voxels", case.name, k))
            voxels.append(where[order[: share[case.modality]]])
        samples[case.name] = torch.cat(voxels)
    return samples


class Block(NamedTuple):
    """Some slices of a case, and voxels in it."""

    modality: str
    image: torch.Tensor  # (D, H, W)
    label: torch.Tensor  # (D, H, W)
    voxels: torch.Tensor  # (n, 3) indices
    labels: torch.Tensor  # (n,) their classes


def probe_blocks(cases, depth):
    """`BLOCKS` blocks of `depth` slices of each modality, CT first, with up to `PROBE` voxels of each class in each.

    Of its case a block is the one with most of all classes, and its voxels of a class are spread evenly over them.
    """
    blocks = []
    for case in (case for m in MODALITIES for case in [c for c in cases if c.modality == m][:BLOCKS]):
        # A class counts up to its share, so that a large organ does not outweigh a small one.
        slices = torch.stack([(case.label == k).sum((1, 2)) for k in range(len(CLASSES))])
        z = int(slices.unfold(1, depth, 1).sum(-1).clamp(max=PROBE).sum(0).argmax())
        label, voxels = case.label[z : z + depth], []
        for k in range(len(CLASSES)):
            where = (label == k).nonzero()
            voxels.append(where[torch.linspace(0, len(where) - 1, min(PROBE, len(where))).long()])
        voxels = torch.cat(voxels)
        blocks.append(Block(case.modality, case.image[z : z + depth], label, voxels, label[tuple(voxels.T)]))
    return blocks


def doc_row(case, p):
    """The DOC in percent of each organ in a case, from its softmax output; NaN where there is none."""
    doc = 100 * dice(p.argmax(0), case.label, len(CLASSES))
    return {"case": case.name, "modality": case.modality, **dict(zip(ORGANS, doc[1:].tolist(), strict=True))}


def summary(rows):
    """Means over the rows of `doc_row`, as Table 1 takes them: over cases for each organ, over organs, over modalities.

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
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan


@dataclasses.dataclass
class Evaluation(Report):
    """DOC in percent, a row each for CT, MR and both, the organs as columns; printed with `surfaces` below.

    cases     a dict a case: DOC in percent by organ, and in mm "liver assd", "liver hd95", "liver hd", …
    missing   a dict for each organ that a case lacks: case, organ, and what it is missing from (`MISSING`)
    figures   the means of DOC by name, as `summary` gives them
    """

    cases: list = dataclasses.field(default_factory=list)
    missing: list = dataclasses.field(default_factory=list)

    @property
    def figures(self):
        """Means of DOC: doc, ct, mr, "ct liver", …"""
        return summary(self.cases)

    @property
    def surfaces(self):
        """A `Report` of the distances of surfaces, means over the cases that have one."""
        return self.below["surfaces"]

    def content(self):
        """What JSON holds: every case and every missing organ too."""
        return super().content() | {"cases": without_nan(self.cases), "missing": self.missing}


def score(learner, about):
    """The `Evaluation` of a learner on its held-back cases.

    DOC and distances are those of the prepared volumes, whose voxels have the spacing of the settings.
    """
    cases, missing = [], []
    for case in learner.test_cases:
        p = learner.probabilities(case)
        cases.append(doc_row(case, p) | distance_row(case, p))
        missing += missing_organs(case, p)
    by_place = {place: [f"{row['case']} {row['organ']}" for row in missing if row["missing from"] == place]
                for place in MISSING}  # fmt: skip
    return Evaluation(
        "Dice overlap (DOC, %) on held-back cases",
        _overlap(summary(cases)),
        {**about, "held-back cases": len(cases)},
        notes=[f"{MISSING[place]}: {', '.join(organs)}" for place, organs in by_place.items() if organs],
        below={"surfaces": Report("Distances of surfaces (mm) on held-back cases", _surfaces(cases))},
        cases=cases,
        missing=missing,
    )


def distance_row(case, p):
    """The distances in mm of each organ in a case, from its softmax output; NaN where truth or prediction lacks it."""
    spacing = np.linalg.norm(case.affine[:3, :3], axis=0).tolist()
    distances = surface_distances(p.argmax(0), case.label, len(CLASSES), spacing)._asdict()
    return {f"{organ} {name}": float(distances[name][k]) for k, organ in enumerate(ORGANS, 1) for name in DISTANCES}


def missing_organs(case, p):
    """A dict for each organ that the truth, the prediction, or both do not show."""
    predicted, true = (set(labels.unique().tolist()) for labels in (p.argmax(0), case.label))
    missing = []
    for k, organ in enumerate(ORGANS, 1):
        if k not in predicted or k not in true:
            place = "both" if k not in predicted | true else "prediction" if k in true else "truth"
            missing.append({"case": case.name, "organ": organ, "missing from": place})
    return missing


def _overlap(figures):
    rows = [
        {"": m.upper(), **{organ: figures[f"{m} {organ}"] for organ in ORGANS}, "mean": figures[m]} for m in MODALITIES
    ]
    both = {organ: known_mean(row[organ] for row in rows) for organ in ORGANS}
    return [*rows, {"": "both", **both, "mean": figures["doc"]}]


def _surfaces(cases):
    rows = []
    for m in MODALITIES:
        for name, title in DISTANCES.items():
            organs = {
                organ: known_mean(row[f"{organ} {name}"] for row in cases if row["modality"] == m) for organ in ORGANS
            }
            rows.append({"": m.upper(), "distance": title, **organs, "mean": known_mean(organs.values())})
    return rows
