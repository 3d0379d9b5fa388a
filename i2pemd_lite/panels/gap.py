"""The gap between the modalities, seen: features of CT and of MR in the plane of their largest variance.

The features are those of voxels of held-back cases, as many of each class and modality as there are (`sample_voxels`),
and the plane is fitted to both modalities together. It shows only a part of what sets them apart; MMD² sees all of it.
"""

from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import torch

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.files import BadInput
from i2pemd_lite.losses import mmd
from i2pemd_lite.panels import plane
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider
from i2pemd_lite.panels.segmentation import MARKS, SHORT
from i2pemd_lite.segmentation import CLASSES, MODALITIES
from i2pemd_lite.segmentation.report import VOXELS, class_costs

MOST = 3  # runs beside each other
ALL = "all classes"


def measure(run):
    """Features (n, d), labels, prototypes and ℓ_k of Eq. 9 of a run on its held-back cases, their plane, and MMD².

    `mmd` is by class, or `ALL`, in all d dimensions; `part` is that of the variance that lies in the plane.
    """
    learner, costs = run.learner, []
    features, labels = ({modality: [] for modality in MODALITIES} for _ in range(2))
    G = learner.bank.ground_distance().cpu()
    with learner.evaluating():
        for case in learner.test_cases:
            voxels = learner.samples[case.name]
            p, f = learner.volume(case, voxels)
            costs.append((i2pemd(p[None], case.label[None], G)[0], case.label))
            features[case.modality].append(f)
            labels[case.modality].append(case.label[tuple(voxels.T)])
    features, labels = ({m: torch.cat(part).numpy() for m, part in parts.items()} for parts in (features, labels))
    pairs = {ALL: list(features.values())}
    pairs |= {name: [features[m][labels[m] == k] for m in MODALITIES] for k, name in enumerate(CLASSES)}
    distance = {name: mmd(*map(torch.from_numpy, pair)).item() if all(map(len, pair)) else np.nan
                for name, pair in pairs.items()}  # fmt: skip
    flat = plane.fit(np.concatenate(pairs[ALL]), "full")
    return SimpleNamespace(
        features=features, labels=labels, prototypes=learner.bank.prototypes.cpu().numpy(), mmd=distance, plane=flat,
        cost=class_costs(costs).numpy(), part=float(flat.explained_variance_ratio_.sum()),
    )  # fmt: skip


def view(cloud, classes, share):
    """What `measure` found in its plane, whole or one class of it, with the first `share` percent of its points."""
    ks = list(range(len(CLASSES))) if classes == ALL else [CLASSES.index(classes)]
    labels, points = cloud.labels, {m: plane.project(cloud.plane, f) for m, f in cloud.features.items()}
    together, prototypes = np.concatenate(list(points.values())), plane.project(cloud.plane, cloud.prototypes)

    def some(modality):
        mine = (points[modality][labels[modality] == k] for k in ks)
        return np.concatenate([part[: round(len(part) * share / 100)] for part in mine])  # they are in no order

    return SimpleNamespace(
        points={m: some(m) for m in MODALITIES},
        others=together[~np.isin(np.concatenate(list(labels.values())), ks)],
        prototypes={k: prototypes[k] for k in ks}, window=plane.window(together, prototypes, 0.56, WIDE),
        part=cloud.part, mmd=cloud.mmd[classes], cost=float(np.nanmean(cloud.cost[ks])),
    )  # fmt: skip


SIDE, HEAD, FOOT = 2.7, 0.62, 0.62  # inches: height of a plane, what is above it, and below
WIDE = 1.1  # width of a plane over its height
POINTS = (
    {**style.SOURCE, "ms": 3.4, "alpha": 0.5, "mfc": "none"},
    {**style.TARGET, "ms": 3.6, "alpha": 0.6, "mew": 1.0},
)


def size(planes):
    """Inches of the figure that holds a row of planes."""
    return 0.15 + (WIDE * SIDE + 0.11) * planes, HEAD + SIDE + FOOT


def draw(card, result):
    """One plane for each run: CT, MR, prototypes, and the names of the classes at their points."""
    width, height = size(len(result.views))
    for j, (name, seen) in enumerate(result.views.items()):
        left = (0.12 + (WIDE * SIDE + 0.11) * j) / width
        box = [left, FOOT / height, WIDE * SIDE / width, SIDE / height]
        marked = zip(POINTS, seen.points.values(), strict=True)
        prototypes = {SHORT[k]: place for k, place in seen.prototypes.items()}
        plane.draw(card, name, box, seen.window, marked, seen.others, prototypes)
        card.paper.text(left, 1 - 0.22 / height, name, size=9.5, weight="bold")
        card.paper.text(left, 1 - 0.5 / height, f"MMD² {seen.mmd:.3f}   I2PEMD {seen.cost:.3f}", size=9)
        words = f"{100 * seen.part:.0f} % of the variance lies in this plane"
        card.paper.text(left, 0.4 / height, words, size=8.5, color=style.QUIET)
    for inches, words, colour in ((0.12, *MARKS["ct"]), (0.72, *MARKS["mr"]), (1.32, "prototype ◆", style.BLACK)):
        card.paper.text(inches / width, 0.14 / height, words, color=colour, size=9, weight="bold")


def describe(result):
    """What the planes show, and what they leave out."""
    of = "of each class and modality" if result.classes == ALL else f"of {result.classes} in each modality"
    words = [f"Features of up to {VOXELS} voxels {of}, from held-back cases; each run in a plane of its own."]
    numbers = {}
    for name, seen in result.views.items():
        words.append(f"{name}: MMD² between CT and MR is {seen.mmd:.3f} in all dimensions; "
                     f"the plane holds {100 * seen.part:.0f} % of the variance.")  # fmt: skip
        numbers |= {f"MMD², {name}": f"{seen.mmd:.4f}", f"I2PEMD, {name}": f"{seen.cost:.4f}"}
    return " ".join(words), numbers


def gap(classes=ALL, share=100, **runs):
    """Features of CT and MR in the plane, for one to three runs, as in `gap(joint=joint, ours=ours, classes="liver")`.

    `classes` is a class or "all classes", `share` the percentage of the points that are drawn.
    """
    if not 1 <= len(runs) <= MOST:
        raise BadInput(f"runs: expected one to {MOST}, found {len(runs)}; open another panel")
    measured = lru_cache(MOST)(lambda name, number: measure(runs[name]))  # once for each state of a run

    def compute(state):
        views = {name: view(measured(name, run.number), **state) for name, run in runs.items()}
        return SimpleNamespace(views=views, classes=state["classes"])

    controls = {
        "classes": choice("show", [ALL, *CLASSES], ALL),
        "share": slider("points drawn", 100, 5, 100, 5, "%"),
    }
    return Panel("modality gap", controls, compute, draw, describe, layout=[list(controls)], size=size(len(runs)),
                 start={"classes": classes, "share": share})  # fmt: skip
