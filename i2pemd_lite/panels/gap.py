"""The gap between the modalities, seen: features of CT and of MR in the plane of their largest variance.

The features are those of voxels of held-back cases, as many of each class and modality as there are (`sample_voxels`),
and the plane is fitted to both modalities together. It shows only a part of what sets them apart; MMD² sees all of it.
"""

from typing import NamedTuple

import numpy as np
import torch

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.files import BadInput
from i2pemd_lite.losses import mmd
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider
from i2pemd_lite.panels.segmentation import MARKS, SHORT
from i2pemd_lite.segmentation import CLASSES, MODALITIES
from i2pemd_lite.segmentation.report import VOXELS, ClassMean

MOST = 3  # runs beside each other
ALL = "all classes"


class Cloud(NamedTuple):
    """What one run makes of the held-back voxels."""

    features: dict  # modality -> (n, d)
    labels: dict  # modality -> (n,)
    prototypes: np.ndarray  # (K, d)
    cost: np.ndarray  # (K,) ℓ_k of Eq. 9 over all voxels of the held-back cases
    mean: np.ndarray  # (d,) of both modalities
    axes: np.ndarray  # (2, d) orthonormal: where they vary most
    part: float  # of the variance that lies in this plane
    mmd: dict  # a class, or `ALL` -> MMD², in all d dimensions


class View(NamedTuple):
    """One run as it is drawn."""

    points: dict  # modality -> (n, 2), those of the classes shown
    others: np.ndarray  # (n, 2), those of the other classes
    prototypes: dict  # class index -> (2,), of the classes shown
    part: float
    mmd: float  # of the classes shown
    cost: float  # I2PEMD: the mean of ℓ_k over the classes shown (Eq. 8)
    middle: np.ndarray  # (2,) of the picture
    half: float  # its half height, feature units


class Result(NamedTuple):
    """Run -> `View`, and the class that is shown, or `ALL`."""

    views: dict
    shown: str


def measure(run):
    """Features, prototypes and I2PEMD of a run as it is, on its held-back cases -> `Cloud`."""
    from sklearn.decomposition import PCA

    learner, cost = run.learner, ClassMean(len(CLASSES))
    features, labels = ({modality: [] for modality in MODALITIES} for _ in range(2))
    G = learner.bank.ground_distance().cpu()
    with learner.evaluating():
        for case in learner.test_cases:
            voxels = learner.samples[case.name]
            p, f = learner.volume(case, voxels)
            cost.add(i2pemd(p[None], case.label[None], G)[0], case.label)
            features[case.modality].append(f)
            labels[case.modality].append(case.label[tuple(voxels.T)])
    features, labels = ({m: torch.cat(part) for m, part in parts.items()} for parts in (features, labels))
    of = {ALL: list(features.values())}
    of |= {name: [features[m][labels[m] == k] for m in MODALITIES] for k, name in enumerate(CLASSES)}
    plane = PCA(2, svd_solver="full").fit(torch.cat(of[ALL]).numpy())
    return Cloud(
        *({m: values.numpy() for m, values in parts.items()} for parts in (features, labels)),
        learner.bank.prototypes.cpu().numpy(),
        (cost.sums / cost.counts).numpy(),
        plane.mean_,
        plane.components_,
        float(plane.explained_variance_ratio_.sum()),
        {name: mmd(*both).item() if all(map(len, both)) else np.nan for name, both in of.items()},
    )


class Clouds:
    """The clouds of some runs; each is measured once for each state of its run."""

    def __init__(self, runs):
        self.runs, self.known = runs, {}

    def of(self, name):
        """The `Cloud` of a run."""
        number = self.runs[name].number
        if self.known.get(name, (None,))[0] != number:
            self.known[name] = number, measure(self.runs[name])
        return self.known[name][1]


def compute(clouds, state):
    """Every run in its own plane: state has classes (a class, or `ALL`) and share (percent of the points drawn)."""
    return Result({name: view(clouds.of(name), **state) for name in clouds.runs}, state["classes"])


def view(cloud, classes, share):
    """A cloud in its plane, whole or one class of it -> `View`."""
    kept = list(range(len(CLASSES))) if classes == ALL else [CLASSES.index(classes)]
    labels, points = cloud.labels, {m: (f - cloud.mean) @ cloud.axes.T for m, f in cloud.features.items()}
    together = np.concatenate(list(points.values()))
    prototypes = (cloud.prototypes - cloud.mean) @ cloud.axes.T
    low, high = np.quantile(together, (0.005, 0.995), axis=0)
    low, high = np.minimum(low, prototypes.min(axis=0)), np.maximum(high, prototypes.max(axis=0))
    return View(
        {m: np.concatenate([thinned(points[m][labels[m] == k], share) for k in kept]) for m in MODALITIES},
        together[~np.isin(np.concatenate(list(labels.values())), kept)],
        {k: prototypes[k] for k in kept},
        cloud.part,
        cloud.mmd[classes],
        float(np.nanmean(cloud.cost[kept])),
        (low + high) / 2,
        0.56 * float(max(high[1] - low[1], (high[0] - low[0]) / WIDE)),
    )


def thinned(points, share):
    """The first `share` percent of points that are in no order."""
    return points[: round(len(points) * share / 100)]


def draw(figure, result):
    """One plane for each run: CT, MR, prototypes, and the names of the classes at their points."""
    art = style.artists(figure, lambda figure: _Card(figure, list(result.views)))
    for name, seen in result.views.items():
        plane = art.planes[name]
        (x, y), half = seen.middle, seen.half
        style.limits(plane.axes, (x - WIDE * half, x + WIDE * half), (y - half, y + half))
        for modality, points in seen.points.items():
            plane.points[modality].set_data(*points.T)
        plane.others.set_data(*seen.others.T)
        places = np.array(list(seen.prototypes.values()))
        plane.prototypes.set_data(*places.T)
        for text in plane.names:
            text.set_text("")
        for k, at, height in zip(seen.prototypes, places, style.apart(places[:, 1], 0.13 * half), strict=True):
            side = -1 if at[0] > x + 0.5 * WIDE * half else 1
            plane.names[k].set(x=at[0] + 0.09 * half * side, y=height, ha="left" if side > 0 else "right")
            plane.names[k].set_text(SHORT[k])
        plane.numbers.set_text(f"MMD² {seen.mmd:.3f}   I2PEMD {seen.cost:.3f}")
        plane.part.set_text(f"{100 * seen.part:.0f} % of the variance lies in this plane")


SIDE, HEAD, FOOT = 2.7, 0.62, 0.62  # inches: height of a plane, what is above it, and below
WIDE = 1.1  # width of a plane over its height


def size(planes):
    """Inches of the figure that holds a row of planes."""
    return 0.15 + (WIDE * SIDE + 0.11) * planes, HEAD + SIDE + FOOT


class _Card:
    """The artists of one plane for each run."""

    def __init__(self, figure, names):
        width, height = size(len(names))
        self.planes = {}
        for j, name in enumerate(names):
            left = (0.12 + (WIDE * SIDE + 0.11) * j) / width
            box = [left, FOOT / height, WIDE * SIDE / width, SIDE / height]
            self.planes[name] = _Plane(figure, box, name, height)
        for inches, words, colour in ((0.12, *MARKS["ct"]), (0.72, *MARKS["mr"]), (1.32, "prototype ◆", style.BLACK)):
            figure.text(inches / width, 0.14 / height, words, color=colour, size=9, weight="bold")


class _Plane:
    """The artists of one run."""

    def __init__(self, figure, box, name, height):
        self.axes = figure.add_axes(box)
        self.axes.set(xticks=[], yticks=[])
        self.axes.spines[:].set_visible(True)
        self.others = self.axes.plot([], [], ls="", marker=".", ms=2.5, color=style.LINE)[0]
        self.points = {
            "ct": self.axes.plot([], [], ls="", ms=3.4, alpha=0.5, **style.SOURCE, mfc="none")[0],
            "mr": self.axes.plot([], [], ls="", ms=3.6, alpha=0.6, **{**style.TARGET, "markeredgewidth": 1.0})[0],
        }
        self.prototypes = self.axes.plot([], [], ls="", ms=9, **style.PROTOTYPE)[0]
        paper = {"facecolor": style.CARD, "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
        self.names = [self.axes.text(0, 0, "", size=8.5, weight="bold", va="center", bbox=paper) for _ in CLASSES]
        figure.text(box[0], 1 - 0.22 / height, name, size=9.5, weight="bold")
        self.numbers = figure.text(box[0], 1 - 0.5 / height, "", size=9)
        self.part = figure.text(box[0], 0.4 / height, "", size=8.5, color=style.QUIET)


def describe(result):
    """What the planes show, and what they leave out."""
    of = "of each class and modality" if result.shown == ALL else f"of {result.shown} in each modality"
    words = [f"Features of up to {VOXELS} voxels {of}, from held-back cases; each run in a plane of its own."]
    numbers = {}
    for name, seen in result.views.items():
        words.append(
            f"{name}: MMD² between CT and MR is {seen.mmd:.3f} in all dimensions; "
            f"the plane holds {100 * seen.part:.0f} % of the variance."
        )
        numbers |= {f"MMD², {name}": f"{seen.mmd:.4f}", f"I2PEMD, {name}": f"{seen.cost:.4f}"}
    return " ".join(words), numbers


def gap(classes=ALL, share=100, **runs):
    """Features of CT and MR in the plane, for one to three runs beside each other.

    `classes` is a class or "all classes", `share` the percentage of the points that are drawn.

    Example
    -------
        gap(joint=joint, ours=ours, classes="liver")
    """
    if not 1 <= len(runs) <= MOST:
        raise BadInput(f"runs: expected one to {MOST}, found {len(runs)}; open another panel")
    clouds = Clouds(runs)
    shown = Panel(
        "modality gap",
        {
            "classes": choice("show", [ALL, *CLASSES], ALL, "240px"),
            "share": slider("points drawn", 100, 5, 100, 5, "%", width="340px"),
        },
        lambda state: compute(clouds, state),
        draw,
        describe,
        layout=[["classes", "share"]],
        size=size(len(runs)),
    )
    shown.set(classes=classes, share=share)
    return shown
