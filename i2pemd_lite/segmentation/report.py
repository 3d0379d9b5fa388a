"""What the predictions of a run are worth: overlap and surfaces of every organ in every held-back case."""

import dataclasses
import math
import time
from typing import Any, NamedTuple

import numpy as np
import torch

from i2pemd_lite.files import hashed
from i2pemd_lite.metrics import dice, surface_distances
from i2pemd_lite.runs.sampling import generator
from i2pemd_lite.segmentation.layout import CLASSES, MODALITIES, ORGANS
from i2pemd_lite.segmentation.stress import STRESS, stressed
from i2pemd_lite.tables.report import Report, without_nan
from i2pemd_lite.text import bar

VOXELS = 200  # of each class and modality, about, whose features an evaluation compares, shared out over the cases
BLOCKS, PROBE = 2, 20  # of each modality, and voxels of each class in each, whose features a `Moment` keeps
DISTANCES = {"assd": "ASSD", "hd95": "HD95", "hd": "max"}  # field of `SurfaceDistances` -> its name in a table
MISSING = {
    "truth": "organs that the truth does not show but the prediction does, of DOC 0 and no distance",
    "prediction": "organs that the prediction does not show but the truth does, of DOC 0 and no distance",
    "both": "organs in neither truth nor prediction, left out of every mean",
}
"""Where an organ is missing -> what that means for the figures."""


def class_costs(maps):
    """(K,) the mean of maps, [(values, labels)], over the voxels of each class (Eq. 9); NaN where a class has none.

    Example
    -------
    >>> class_costs([(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 1]))])[:3]
    tensor([2., 5., nan], dtype=torch.float64)
    """
    sums, counts = torch.zeros(2, len(CLASSES), dtype=torch.float64)
    for values, labels in maps:
        labels = labels.flatten().long()
        sums += torch.bincount(labels, values.flatten().double(), len(CLASSES))
        counts += torch.bincount(labels, minlength=len(CLASSES))
    return sums / counts


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
    """Some slices of a case: `image` and `label` (D, H, W), `voxels` in it (n, 3), and their classes `labels` (n,)."""

    modality: str
    image: torch.Tensor
    label: torch.Tensor
    voxels: torch.Tensor
    labels: torch.Tensor


def probe_blocks(cases, depth):
    """`BLOCKS` blocks of `depth` slices of each modality, CT first, with up to `PROBE` voxels of each class in each. Of
    its case a block is the one with most of all classes, and its voxels of a class are spread evenly over them."""
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
    doc = 100 * dice(p.max(0).indices, case.label, len(CLASSES))  # `argmax` takes five times as long here
    return {"case": case.name, "modality": case.modality, **dict(zip(ORGANS, doc[1:].tolist(), strict=True))}


def summary(rows):
    """Means over the rows of `doc_row`, as Table 1 takes them: over cases for each organ, over organs, over modalities.

    What is NaN, an organ that neither truth nor prediction has, is left out of each of them.
    """
    organs = {m: organ_means(rows, m) for m in MODALITIES}
    means = {m: known_mean(organs[m].values()) for m in MODALITIES}
    every = {f"{m} {organ}": mean for m in MODALITIES for organ, mean in organs[m].items()}
    return {"doc": known_mean(means.values()), **means, **every}


def organ_means(rows, modality, figure=""):
    """{organ: mean over the rows of a modality} of DOC, or of a `figure` of each organ, as " assd"."""
    rows = [row for row in rows if row["modality"] == modality]
    return {organ: known_mean(row[organ + figure] for row in rows) for organ in ORGANS}


def known_mean(values):
    """The mean of the values that are numbers; NaN where none is."""
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan


def overlap(rows, first="", **more):
    """A row each for CT, MR and both from those of `doc_row`: means of DOC by organ and over all, and the worst organ
    of a case, with its name; `more` begins each row, and CT, MR and both stand in the column `first`."""
    figures, table = summary(rows), []
    for m in MODALITIES:
        few = [row for row in rows if row["modality"] == m]
        each = [(row[organ], f"{row['case']} {organ}") for row in few for organ in ORGANS if not math.isnan(row[organ])]
        worst = dict(zip(("worst", "in"), min(each, default=(math.nan, "-")), strict=True))
        table.append({**more, first: m.upper(), **organ_means(rows, m), "mean": figures[m], **worst})
    both = {organ: known_mean(row[organ] for row in table) for organ in ORGANS} | {"mean": figures["doc"]}
    worst = min(table, key=lambda row: math.inf if math.isnan(row["worst"]) else row["worst"])
    table.append({**more, first: "both", **both, "worst": worst["worst"], "in": worst["in"]})
    return table


@dataclasses.dataclass
class Evaluation(Report):
    """DOC in percent, a row each for CT, MR and both, the organs as columns, and the worst organ of a case; `below` has
    the distances of "surfaces" and, where it was asked for, the same DOC on the unusual scans of "stress".

    cases     a dict a case: DOC in percent by organ, and in mm "liver assd", "liver hd95", "liver hd", …
    missing   a dict for each organ that a case lacks: case, organ, and what it is missing from (`MISSING`)
    confusion (K, K) how many voxels of each class were given each class; `ground`, G of the run (K, K)
    """

    cases: list = dataclasses.field(default_factory=list)
    missing: list = dataclasses.field(default_factory=list)
    confusion: list = dataclasses.field(default_factory=list)
    ground: list = dataclasses.field(default_factory=list)

    @property
    def figures(self) -> dict[str, float]:
        """The means of DOC by name, as `summary` gives them: doc, ct, mr, "ct liver", …"""
        return summary(self.cases)

    def content(self) -> dict[str, Any]:
        """What JSON holds: every case, every missing organ, and what was taken for what."""
        more = {name: getattr(self, name) for name in ("missing", "confusion", "ground")}
        return hashed(super().content() | {"cases": without_nan(self.cases)} | more)


def score(learner, about, stress=False):
    """The `Evaluation` of a learner on its held-back cases, and where it is asked for on the unusual ones of `stress`
    made from them. DOC and distances are those of the prepared volumes, whose voxels have the spacing of the settings.
    "seconds a scan" are those of a prediction by this machine."""
    cases, missing, surfaces, seconds, K = [], [], [], 0.0, len(CLASSES)
    confusion = torch.zeros(K, K, dtype=torch.long)
    for case in bar(learner.test_cases, f"evaluating {about['method']}", "scan"):
        began = time.perf_counter()
        p = learner.probabilities(case)
        seconds += time.perf_counter() - began
        found = p.max(0).indices
        confusion += torch.bincount((K * case.label.long() + found).flatten(), minlength=K**2).view(K, K)
        spacing = np.linalg.norm(case.affine[:3, :3], axis=0).tolist()
        distances = surface_distances(found, case.label, K, spacing)._asdict()
        cases.append(doc_row(case, p))
        predicted, true = (set(labels.unique().tolist()) for labels in (found, case.label))
        for k, organ in enumerate(ORGANS, 1):
            cases[-1] |= {f"{organ} {field}": float(distances[field][k]) for field in DISTANCES}
            if k not in predicted & true:
                place = "both" if k not in predicted | true else "prediction" if k in true else "truth"
                missing.append({"case": case.name, "organ": organ, "missing from": place})
    for m in MODALITIES:
        for field, title in DISTANCES.items():
            organs = organ_means(cases, m, f" {field}")
            surfaces.append({"": m.upper(), "distance": title, **organs, "mean": known_mean(organs.values())})
    notes = [] if cases else ["no scan is held back (test = 0), so that there is nothing to measure"]
    for place, words in MISSING.items():
        if absent := [f"{row['case']} {row['organ']}" for row in missing if row["missing from"] == place]:
            notes.append(f"{words}: {', '.join(absent)}")
    title, about = "Dice overlap (DOC, %) on held-back cases", about | {"held-back cases": len(cases)}
    about |= {"seconds a scan": round(seconds / len(cases), 1)} if cases else {}
    about.pop("weights of step", None)  # which is always the last one
    below = {"surfaces": Report("Distances of surfaces (mm) on held-back cases", surfaces)}
    if stress:
        unusual = {name: [] for name in STRESS}
        for name, case in bar([*stressed(learner.test_cases)], f"stressing {about['method']}", "scan"):
            unusual[name].append(doc_row(case, learner.probabilities(case)))
        unusual["all"] = [row for rows in unusual.values() for row in rows]
        rows = [row for name, few in unusual.items() for row in overlap(few, "modality", stress=name)]
        below["stress"] = Report("Dice overlap (DOC, %) on unusual scans made from the held-back ones", rows)
    more = {"missing": missing, "confusion": confusion.tolist(), "ground": learner.bank.ground_distance().tolist()}
    return Evaluation(title, overlap(cases), about, notes=notes, below=below, cases=cases, **more)
