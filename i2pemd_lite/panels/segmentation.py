"""Slices of scans with truth, the predictions of runs and the I2PEMD of every voxel; curves of runs."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from nibabel.affines import voxel_sizes

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.files import BadInput
from i2pemd_lite.metrics import dice
from i2pemd_lite.panels.curves import Shown
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import choice
from i2pemd_lite.panels.training import Training
from i2pemd_lite.runs.run import Run
from i2pemd_lite.segmentation import CLASSES, MODALITIES, ORGANS, Prepared
from i2pemd_lite.segmentation.report import known_mean
from i2pemd_lite.segmentation.task import TASK

SHORT = ("backgr.", "liver", "R kidney", "L kidney", "spleen")
# Neither the blue of CT nor the orange of MR; each region also carries its name. The first is of what is taken for
# background and is none.
COLOURS = np.array([[221, 59, 46], [240, 212, 74], [99, 192, 138], [214, 120, 184], [156, 139, 224]]) / 255
TOP = (len(CLASSES) - 1) / len(CLASSES)  # no entry of G is larger (Eq. 4)
MOST = 4  # runs beside each other
PLANES = {"axial": 0, "coronal": 1, "sagittal": 2}  # the axis of (D, H, W) that is cut
OVERLAYS = ["image only", "truth", "prediction", "I2PEMD", "only mistakes"]
MARKS = {"ct": ("CT  ○", style.BLUE), "mr": ("MR  ×", style.ORANGE)}


class Slice(NamedTuple):
    """One slice of one case; what a run says of it is None without a run."""

    case: str
    plane: str
    index: int
    depth: int
    spacing: tuple  # mm from one row to the next, from one column to the next
    image: np.ndarray  # (H, W), 0..1 for display
    truth: np.ndarray  # (H, W) classes
    prediction: np.ndarray | None = None
    distance: np.ndarray | None = None  # (H, W) I2PEMD(p_v, e_{y_v})
    doc: float | None = None  # of the whole case

    @property
    def sides(self):
        """(left, right, bottom, top) in mm from the middle of the upper left voxel; y runs downwards."""
        (H, W), (dy, dx) = self.image.shape, self.spacing
        return -0.5 * dx, (W - 0.5) * dx, (H - 0.5) * dy, -0.5 * dy


class CaseViewer:
    """Slices of prepared cases, and of what a run says of them; a case is predicted once for each state of the run."""

    def __init__(self, source):
        self.run = None if isinstance(source, Prepared) else source
        self.cases = {case.name: case for case in (source if self.run is None else source.learner.data).labelled}
        self.held_back = () if self.run is None else {case.name for case in source.learner.test_cases}
        self.answers, self.windows = {}, {}  # case -> the run's number then and its answer; -> grey values, both ends

    def names(self, modality):
        """(text, name) of its cases; those held back from a run come first."""
        mine = [name for name, case in self.cases.items() if case.modality == modality]
        mine.sort(key=lambda name: name not in self.held_back)
        return [(name.split("/")[-1] + " (held back)" * (name in self.held_back), name) for name in mine]

    def choices(self):
        """The controls of the CT and of the MR case."""
        names = {modality: self.names(modality) for modality in MODALITIES}
        return {m: choice(f"{m.upper()} case", cases, cases[0][1]) for m, cases in names.items()}

    def predicted(self, case):
        """What the run says of a whole case, None without a run: labels (D, H, W), p (K, D, H, W), G, and mean DOC."""
        if self.run is None:
            return None
        number, answer = self.answers.get(case.name, (None, None))
        if number != self.run.number:
            with self.run.learner.evaluating():
                p = self.run.learner.probabilities(case)
            labels, G = p.argmax(0), self.run.learner.bank.ground_distance().cpu()
            doc = overlap(labels, case.label)
            answer = SimpleNamespace(labels=labels.byte().numpy(), p=p, ground=G, doc=doc)
            self.answers[case.name] = self.run.number, answer
        return answer

    def slice(self, name, plane, i):
        """The `Slice` of a case across an axis of its stack, which begins below, in front, or on the right."""
        case, axis = self.cases[name], PLANES[plane]
        if name not in self.windows:
            self.windows[name] = np.quantile(case.image[:: max(1, len(case.image) // 4)], (0.01, 0.995))
        low, high = self.windows[name]
        image = np.clip((cut(case.image.numpy(), axis, i) - low) / max(high - low, 1e-6), 0, 1)
        spacing, truth = tuple(np.delete(voxel_sizes(case.affine), axis)), cut(case.label.numpy(), axis, i)
        part = Slice(name, plane, i, case.image.shape[axis], spacing, image, truth)
        if (answer := self.predicted(case)) is None:
            return part
        price = i2pemd(answer.p.select(axis + 1, i)[None], case.label.select(axis, i)[None], answer.ground)[0].numpy()
        return part._replace(prediction=cut(answer.labels, axis, i), distance=upright(price, axis), doc=answer.doc)


def cut(volume, axis, i):
    """Slice i of a volume (D, H, W) as a picture: the head above, or the front above where the cut is axial."""
    return upright(volume.take(i, axis), axis)


def upright(picture, axis):
    """A slice across an axis of (D, H, W) with its first row on top: slices are stacked from below."""
    return picture[::-1] if axis else picture


def overlap(labels, truth):
    """The mean DOC of the organs in percent, of labels against the truth; NaN where both have none."""
    return 100 * known_mean(dice(labels, truth, len(CLASSES))[1:].tolist())


def percent(value):
    """A DOC in percent as it is written, "-" where there is none."""
    return "-" if np.isnan(value) else f"{value:.1f}"


def slice_doc(part):
    """The mean DOC in percent of the organs that truth or prediction have in a slice."""
    return overlap(part.prediction.copy(), part.truth.copy())


def case_viewers(prepared, runs):
    """A `CaseViewer` for the truth and for each of up to four runs; cases held back from all of them come first."""
    if len(runs) > MOST:
        raise BadInput(f"runs: expected at most {MOST}, found {len(runs)}; open another panel")
    marks = {name: run.learner.data.fingerprint for name, run in runs.items()}
    if len(set(marks.values())) > 1:
        which = ", ".join(f"{mark} of {name}" for name, mark in marks.items())
        raise BadInput(f"runs: expected the same prepared data, found {which}; train them on one folder in one profile")
    viewers = {name: CaseViewer(run) for name, run in runs.items()}
    truth = CaseViewer(prepared)
    truth.held_back = set.intersection(*[viewer.held_back for viewer in viewers.values()] or [set()])
    return {"truth": truth, **viewers}


def border(labels):
    """The borders between organs, as one line along the sides of voxels, (3n, 2), x before y, with gaps of NaN.

    Sides that follow each other are one part of it: a line for each would take half of a picture's time.
    """
    parts = []
    for beside, turned in ((labels[:, 1:] != labels[:, :-1], False), ((labels[1:] != labels[:-1]).T, True)):
        steps = np.diff(np.pad(beside, ((1, 1), (0, 0))).astype(np.int8), axis=0).T
        (x, first), (_, last) = np.nonzero(steps > 0), np.nonzero(steps < 0)
        lines = np.stack([np.stack([x + 0.5, y - 0.5], -1) for y in (first, last)], 1)  # (n, 2, 2)
        parts.append(lines[..., ::-1] if turned else lines)
    return np.pad(np.concatenate(parts), [(0, 0), (0, 1), (0, 0)], constant_values=np.nan).reshape(-1, 2)


def paint(part, overlay):
    """The overlay of a slice as (H, W, 4) colours, transparent where there is nothing to say."""
    from matplotlib import colormaps

    if overlay == "I2PEMD":
        rgba = colormaps["cividis"](part.distance / TOP)
        rgba[..., 3] = 0.92
        return rgba
    if overlay == "only mistakes":
        wrong = part.prediction != part.truth
        return np.concatenate([COLOURS[part.prediction], 0.85 * wrong[..., None]], -1)
    return tint({"truth": part.truth, "prediction": part.prediction}.get(overlay, np.zeros_like(part.truth)))


def tint(labels):
    """The colours of organs, (H, W, 4), transparent where there is none."""
    return np.concatenate([COLOURS[labels], 0.55 * (labels > 0)[..., None]], -1)


def blend(image, overlay):
    """An image (H, W) of 0..1 under an overlay (H, W, 4), as one picture (H, W, 3).

    Example
    -------
    >>> blend(np.array([[1.0, 1.0]]), np.array([[[0, 0, 0, 0.0], [1, 0, 0, 0.5]]])).tolist()
    [[[1.0, 1.0, 1.0], [1.0, 0.5, 0.5]]]
    """
    share = overlay[..., 3:]
    return image[..., None] * (1 - share) + overlay[..., :3] * share


def show(plane, part, overlay, outline, names=SHORT):
    """A slice on a plane that has its limits: picture with overlay, outline and those `names` of organs."""
    (dy, dx), (left, right, bottom, top) = part.spacing, part.sides
    plane.image(blend(part.image, paint(part, overlay)), extent=part.sides)
    if outline:
        plane.line(*(border(part.truth) * (dx, dy)).T, color="white", lw=1.3, cap="square")
    if not names or (overlay == "image only" and not outline):
        return
    mm = 1 / np.abs(plane.at(1, 0) - plane.at(0, 0)).max()  # of the body, in a unit of the card
    labels, tops = part.prediction if overlay == "prediction" else part.truth, {}
    for k in np.unique(labels[labels > 0]):
        y, x = np.nonzero(labels == k)
        # Above the organ, within the picture; a letter is 7 units wide, and a name 15 high with its rim.
        aside, up = (3.5 * len(str(names[k])) + 2) * mm, 7.5 * mm
        x, y = np.clip(x.mean() * dx, left + aside, right - aside), np.clip(y.min() * dy - up, top + up, bottom - up)
        tops[k] = x, y, 2 * aside
    places = moved_apart(tops, 15 * mm)
    for k in tops:
        plane.text(*places[k], names[k], size=8, ha="center", va="center", halo=True)


def moved_apart(tops, high):
    """Places (x, y) of names, of which no two lie on each other; the lower one of two moves down, where y grows.

    `tops` has by name (x, y, width), its middle and how wide it is, and each is so `high`.

    Example
    -------
    >>> moved_apart({"liver": (5, 2, 4), "spleen": (8, 1, 4), "kidney": (20, 2, 4)}, 3)
    {'spleen': (8, 1), 'liver': (5, 4), 'kidney': (20, 2)}
    """
    placed = {}
    for name, (x, y, width) in sorted(tops.items(), key=lambda item: item[1][1]):
        for other, (beside, above) in sorted(placed.items(), key=lambda item: item[1][1]):
            if abs(x - beside) < (width + tops[other][2]) / 2 and abs(y - above) < high:
                y = above + high
        placed[name] = x, y
    return placed


MEASURES = {"DOC": "doc", "DOC of CT": "ct", "DOC of MR": "mr"}
MEASURES |= {f"DOC of {m.upper()} {organ}": f"{m} {organ}" for m in MODALITIES for organ in ORGANS}
SHOWN = Shown(TASK, "Loss terms (Eq. 7)", ("ce", "dice", "i2pemd", "i2ped", "kd"), MEASURES,
              ("bg", "liver", "R kid", "L kid", "spl"))  # fmt: skip


def panel(**runs: Run) -> Training:
    """Curves of segmentation runs (see `Training`): the terms of Eq. 7 and of rivals, DOC on held-back cases, G."""
    return Training(SHOWN, runs)
