"""What the predictions of a run are worth: overlap and surfaces of every organ in every held-back case."""

import dataclasses
import importlib.util

import numpy as np

from i2pemd_lite.metrics import surface_distances
from i2pemd_lite.report import Report, without_nan
from i2pemd_lite.segmentation.data import CLASSES, MODALITIES
from i2pemd_lite.segmentation.methods import ORGANS, doc_row, known_mean, summary

DISTANCES = {"assd": "ASSD", "hd95": "HD95", "hd": "max"}
"""Field of `SurfaceDistances` -> its name in a table."""
MISSING = {
    "truth": "organs that the truth does not show but the prediction does, of DOC 0 and no distance",
    "prediction": "organs that the prediction does not show but the truth does, of DOC 0 and no distance",
    "both": "organs in neither truth nor prediction, left out of every mean",
}
"""Where an organ is missing -> what that means for the figures."""


@dataclasses.dataclass
class Evaluation(Report):
    """DOC in percent, a row each for CT, MR and both, the organs as columns; printed with `surfaces` below.

    cases     a dict a case: DOC in percent by organ, and in mm "liver assd", "liver hd95", "liver hd", …
    surfaces  a `Report` of the distances of surfaces, means over the cases that have one
    missing   a dict for each organ that a case lacks: case, organ, and what it is missing from (`MISSING`)
    figures   the means of DOC by name, as `methods.summary` gives them
    """

    cases: list = dataclasses.field(default_factory=list)
    surfaces: Report | None = None
    missing: list = dataclasses.field(default_factory=list)

    @property
    def figures(self):
        """Means of DOC: doc, ct, mr, "ct liver", …"""
        return summary(self.cases)

    def pages(self):
        """DOC, then distances."""
        return [self, self.surfaces]

    def content(self):
        """What JSON holds: every case and every missing organ too."""
        more = {"surfaces": self.surfaces.content(), "cases": without_nan(self.cases), "missing": self.missing}
        return {**super().content(), **more}


def score(learner, about):
    """The `Evaluation` of a learner on its held-back cases; without MONAI it has no distances, and says so.

    DOC and distances are those of the prepared volumes, whose voxels have the spacing of the settings.
    """
    measured = importlib.util.find_spec("monai") is not None
    cases, missing = [], []
    for case in learner.test_cases:
        p = learner.probabilities(case)
        cases.append(doc_row(case, p) | (distance_row(case, p) if measured else {}))
        missing += missing_organs(case, p)
    surfaces = _surfaces(cases) if measured else []
    needs = [] if measured else ["distances of surfaces need MONAI: pip install monai"]
    return Evaluation(
        "Dice overlap (DOC, %) on held-back cases",
        _overlap(summary(cases)),
        {**about, "held-back cases": len(cases)},
        notes=[f"{MISSING[place]}: {names}" for place, names in _by_place(missing).items()],
        cases=cases,
        surfaces=Report("Distances of surfaces (mm) on held-back cases", surfaces, notes=needs),
        missing=missing,
    )


def distance_row(case, p):
    """The distances in mm of each organ in a case, from its softmax output; NaN where truth or prediction lacks it."""
    spacing = np.linalg.norm(case.affine[:3, :3], axis=0).tolist()
    found = surface_distances(p.argmax(0), case.label, len(CLASSES), spacing)._asdict()
    return {f"{organ} {name}": float(found[name][k]) for k, organ in enumerate(ORGANS, 1) for name in DISTANCES}


def missing_organs(case, p):
    """A dict for each organ that the truth, the prediction, or both do not show."""
    predicted, true = (set(labels.unique().tolist()) for labels in (p.argmax(0), case.label))
    found = []
    for k, organ in enumerate(ORGANS, 1):
        if k not in predicted or k not in true:
            place = "both" if k not in predicted | true else "prediction" if k in true else "truth"
            found.append({"case": case.name, "organ": organ, "missing from": place})
    return found


def _by_place(missing):
    names = {}
    for place in MISSING:
        found = [f"{row['case']} {row['organ']}" for row in missing if row["missing from"] == place]
        if found:
            names[place] = ", ".join(found)
    return names


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
