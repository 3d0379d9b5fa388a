"""Scans of the abdomen: three linked planes, one plane as the truth and several runs see it, or the organs in 3D.

Cross hairs go through one voxel, and words say what each run makes of it. Prepared scans are stacked to Superior, their
rows go to Posterior and their columns to the patient's Left; the letters at the edges of a plane are read from the
affine all the same. CT and MR are scans of different patients: the sliders are percents of each scan's own field of
view.
"""

from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import surfaces
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider, switch
from i2pemd_lite.panels.segmentation import MARKS, OVERLAYS, PLANES, SHORT, TOP, case_viewers, percent, show, slice_doc
from i2pemd_lite.runs.run import Run
from i2pemd_lite.segmentation import CLASSES, MODALITIES
from i2pemd_lite.segmentation.prepare import Prepared

AXES = "zyx"  # the controls of the axes of (D, H, W)
ACROSS = {"axial": ("x", "y"), "coronal": ("x", "z"), "sagittal": ("y", "z")}  # what runs to the right, and down or up
OPPOSITE = dict(zip("RLAPIS", "LRPASI", strict=True))
THREE, SOLID = "three planes", {f"{modality.upper()} in 3D": modality for modality in MODALITIES}
KEYS = {
    "only mistakes": "A mistake has the colour of the organ it was taken for. Red is an organ taken for background.",
    "I2PEMD": "The colour is what it costs to carry the prediction of a voxel to its label, by each run's own G.",
}


def compute(viewers, meshes, state):
    """What the `view` of the state shows of the cases ct and mr: one plane of all `viewers`, or three of the one that
    `of` names; x, y, z are percents.

    cells : modality -> column ("truth" or a run, or one of three planes) -> `Slice`
    voxels : modality -> what is under the cross hairs, and what the runs that are seen say of it
    solid : what is shown in 3D, or None
    """
    view, of, cells, voxels = state["view"], state["of"], {}, {}
    seen, columns = {of: viewers[of]}, {plane: (viewers[of], plane) for plane in PLANES}
    if view in PLANES:
        seen, columns = viewers, {name: (viewer, view) for name, viewer in viewers.items()}
    for modality in MODALITIES:
        name = state[modality]
        shape = viewers["truth"].cases[name].image.shape
        index = tuple(round(state[axis] / 100 * (n - 1)) for axis, n in zip(AXES, shape, strict=True))
        cells[modality] = {column: viewer.slice(name, plane, index[PLANES[plane]])
                           for column, (viewer, plane) in columns.items()}  # fmt: skip
        voxels[modality] = voxel(seen, name, index)
    solid = surfaces.compute(viewers, meshes, state[SOLID[view]], state["turn"]) if view in SOLID else None
    return SimpleNamespace(cells=cells, voxels=voxels, solid=solid, compared=view in PLANES, overlay=state["overlay"],
                           outline=state["outline"])  # fmt: skip


def voxel(viewers, name, index):
    """The voxel of a case under the cross hairs, the `affine` that says where it is, its truth, and answers of runs.

    Of each its p (K,), the column G_ik of the voxel's class (K,), and its I2PEMD Σᵢ pᵢ G_ik (Eq. 6).
    """
    answers = {}
    for run, viewer in viewers.items():
        case = viewer.cases[name]
        truth = int(case.label[index])
        if answer := viewer.predicted(case):
            p, column = answer.p[:, *index].numpy(), answer.ground[:, truth].numpy()
            answers[run] = SimpleNamespace(p=p, column=column, distance=float(p @ column), guess=int(p.argmax()))
    return SimpleNamespace(index=index, affine=case.affine, truth=truth, answers=answers)


def letters(affine, plane):
    """The directions at the left, right, top and bottom of a plane, for an affine from (d, h, w) to RAS."""
    ends = dict(zip(AXES, nibabel.aff2axcodes(affine), strict=True))
    right, upright = (ends[name] for name in ACROSS[plane])
    # Rows of (h, w) go down the picture, slices d go up.
    top, bottom = (OPPOSITE[upright], upright) if plane == "axial" else (upright, OPPOSITE[upright])
    return OPPOSITE[right] + right + top + bottom


def slices(result):
    """((modality, column), Slice) of all."""
    return [((modality, column), part) for modality, row in result.cells.items() for column, part in row.items()]


LEFT, STEP = 1.4, 2.42  # inches: beside the rows, and from column to column at most
TITLE, NOTE, FOOT = 0.3, 0.4, 0.26  # inches: above a row, below one of compared slices, below all
MARGIN = 0.16  # inches around a slice, for the letters


def size(viewers):
    """Inches of the card, in any view."""
    return 9.4, 2 * (TITLE + 0.97 * STEP + NOTE * (len(viewers) > 1)) + FOOT


def draw(card, result):
    """Rows CT and MR; columns axial, coronal, sagittal, or the truth and runs; all to one scale."""
    width, height = card.width / 100, card.height / 100
    step = min(STEP, 7.4 / len(result.cells["ct"]))
    spans = [np.multiply(part.image.shape, part.spacing) for _, part in slices(result)]
    scale = (0.97 * step - 2 * MARGIN) / np.max(spans)  # inches of a mm
    wide, high = 0.97 * step, scale * np.max(spans, 0)[0] + 2 * MARGIN
    for i, (modality, (title, colour)) in enumerate(MARKS.items()):
        row, voxel = result.cells[modality], result.voxels[modality]
        bottom = height - i * (height - FOOT) / 2 - TITLE - high
        head, above = (bottom + high - 0.3) / height, (bottom + high + 0.06) / height
        card.paper.text(0.1 / width, head, title, size=10, weight="bold", color=colour)
        first, *_ = row.values()
        lines = [first.case.split("/")[-1], *[f"{first.plane} {first.index + 1} of {first.depth}"] * result.compared]
        lines += ["", "at the cross:", f"truth {SHORT[voxel.truth]}"]
        for answer in () if result.compared else voxel.answers.values():
            lines += [f"taken for {SHORT[answer.guess]}", f"I2PEMD {style.number(answer.distance, 3)}"]
        lines += ["", *(f"{k} {organ}" for k, organ in enumerate(SHORT) if k)] * result.compared
        card.paper.text(0.1 / width, head - 0.012, "\n".join(lines), size=8.5, va="top", linespacing=1.45)
        for j, (name, part) in enumerate(row.items()):
            left = LEFT + j * step
            card.paper.text((left + 0.1) / width, above, name, size=9.5, weight="bold")
            if not result.compared:
                card.paper.text((left + 0.9) / width, above, f"{part.index + 1} of {part.depth}", size=8.5)
            x, y, aside, up = np.mean(part.sides[:2]), np.mean(part.sides[2:]), wide / 2 / scale, high / 2 / scale
            box = [left / width, bottom / height, wide / width, high / height]
            ends = {"xlim": (x - aside, x + aside), "ylim": (y + up, y - up)}
            plane = card.plane((modality, name), box, "blank", **ends)
            overlay, names = result.overlay, () if result.compared else SHORT
            if name == "truth":
                overlay, names = overlay if overlay == "image only" else "truth", range(len(SHORT))
            show(plane, part, overlay, result.outline, names)
            place = dict(zip(AXES, voxel.index, strict=True))
            right, upright = ACROSS[part.plane]
            at = place[right], place[upright] if part.plane == "axial" else len(part.image) - 1 - place[upright]
            mark(plane, part, at, letters(voxel.affine, part.plane), 0.02 / scale)
            if result.compared and name in voxel.answers:
                answer = voxel.answers[name]
                words = f"DOC {percent(part.doc)}, here {percent(slice_doc(part))}\n"
                words += f"{SHORT[answer.guess]}, I2PEMD {style.number(answer.distance, 3)}"
                card.paper.text((left + 0.1) / width, (bottom - 0.02) / height, words, size=8.5, va="top")
    card.paper.text(LEFT / width, 0.07 / height, KEYS.get(result.overlay, ""), size=8.5, color=style.QUIET)
    if result.overlay == "I2PEMD":
        bar = card.plane("key", [1 - 0.5 / width, 0.3, 0.13 / width, 0.4], "blank", ylim=(0, TOP))
        bar.image(np.linspace(TOP, 0, 64)[:, None], 0, TOP, extent=(0, 1, 0, TOP), smooth=True)
        for y in (0, TOP / 2, TOP):
            bar.text(1.4, y, style.number(y), size=8, va="center")
        bar.text(0.5, TOP * 1.06, "I2PEMD", size=8.5, ha="center", va="bottom")


def mark(plane, part, at, letters, gap):
    """Cross hairs from the sides, which leave the pixel (column, row) itself free, and letters `gap` mm away."""
    (dy, dx), (left, right, bottom, top) = part.spacing, part.sides
    x, y = at[0] * dx, at[1] * dy
    xs = (left, x - 1.5 * dx, np.nan, x + 1.5 * dx, right, np.nan, x, x, np.nan, x, x)
    ys = (y, y, np.nan, y, y, np.nan, top, y - 1.5 * dy, np.nan, y + 1.5 * dy, bottom)
    for colour, wide in (("black", 1.8), ("white", 0.8)):  # dark under light reads on any tissue and on any overlay
        plane.line(np.clip(xs, left, right), np.clip(ys, top, bottom), color=colour, lw=wide, zorder=2.5)
    x, y = (left + right) / 2, (top + bottom) / 2
    plane.text(left - gap, y, letters[0], size=8, ha="right", va="center")
    plane.text(right + gap, y, letters[1], size=8, ha="left", va="center")
    plane.text(x, top - gap, letters[2], size=8, ha="center", va="bottom")
    plane.text(x, bottom + gap, letters[3], size=8, ha="center", va="top")


def describe(result):
    """What the view shows."""
    if result.solid is not None:
        return surfaces.describe(result.solid)
    return describe_slices(result) if result.compared else describe_voxels(result)


def describe_voxels(result):
    """What is under the cross hairs, and what it costs."""
    words, numbers = [], {}
    for modality, voxel in result.voxels.items():
        name, part, k = modality.upper(), result.cells[modality]["axial"], voxel.truth
        case = part.case.split("/")[-1]
        position = (voxel.affine @ (*voxel.index, 1))[:3]  # to Right, Anterior and Superior
        places = [f"{('LPI' if mm < 0 else 'RAS')[i]} {abs(mm):.0f}" for i, mm in enumerate(position)]
        numbers[f"{name} at (mm)"] = ", ".join(places)
        if not voxel.answers:
            numbers[f"{name} truth"] = CLASSES[k]
            words.append(f"{name} {case}: the cross hairs meet in {CLASSES[k]}.")
        for answer in voxel.answers.values():
            guess, distance = CLASSES[answer.guess], style.number(answer.distance, 3)
            numbers[f"{name} truth → prediction"] = f"{CLASSES[k]} → {guess}"
            terms = [f"{style.number(p)} × {style.number(g)}" for p, g in zip(answer.p, answer.column, strict=True)]
            numbers[f"{name} I2PEMD = Σ p × G(·, {CLASSES[k]})"] = f"{distance} = {' + '.join(terms)}"
            words.append(f"{name} {case}: the cross hairs meet in {CLASSES[k]}, which is taken for {guess}; "
                         f"I2PEMD is {distance}, and the DOC of the case is {percent(part.doc)} %.")  # fmt: skip
    if "=" in "".join(numbers):
        words.append(f"The terms are in the order {', '.join(CLASSES)}.")
    return " ".join(words), numbers


def describe_slices(result):
    """Which run labels these slices how well."""
    words, numbers = [], {}
    for modality, parts in result.cells.items():
        (_, part), *judged = parts.items()
        each = []
        for name, answer in judged:
            wrong = int((answer.prediction != answer.truth).sum())
            each.append(f"{name} {percent(slice_doc(answer))} with {wrong} wrong voxels")
            numbers[f"{modality.upper()} DOC of the case (%), {name}"] = percent(answer.doc)
        where = f"{modality.upper()} {part.case.split('/')[-1]}, slice {part.index + 1} of {part.depth}"
        words.append(f"{where}, DOC of this slice in percent: {', '.join(each)}")
    return ". ".join(words) + ".", numbers


class Volumes(Panel):
    """The panel of `volumes`, with `live`, a figure of plotly, above the picture while the view is in 3D.

    Not before: a live figure brings 5 MB along and keeps a page busy for seconds, while an anywidget of whatever cell
    comes next gives up after two and never changes again.
    """

    kernel_only = {"view": [*SOLID]}

    def __init__(self, viewers, controls, layout, start):
        self.live, self._held, meshes = None, None, surfaces.shapes(viewers)
        super().__init__("volumes", controls, lambda state: compute(viewers, meshes, state), draw, describe, layout,
                         size(viewers), self._aim, start, self._counting)  # fmt: skip

    def _counting(self, state):
        counts = {
            "turn": state["view"] in SOLID,
            "of": state["view"] not in PLANES and len(self.controls["of"].options) > 1,
        }
        return [name for name in self.controls if counts.get(name, True)]

    def refresh(self):
        first = self.live is None and self.controls["view"].value in SOLID
        self.complaint = "Drawing in 3D. The first time, this takes some seconds …" * first
        self._say(self.complaint)
        super().refresh()
        self.complaint, drawing = "", self.complaint
        if self.result is None:
            return
        solid = self.result.solid
        try:
            self.live = self.live or (surfaces.Scenes(list(solid.columns)) if solid else None)
        except ImportError as error:
            return self._report(error)
        others = [child for child in self.children if not self.live or child is not self.live.figure]
        at = others.index(self.image)
        self.children = [*others[:at], *([self.live.figure] if solid else []), *others[at:]]
        if solid:
            self.live.show(solid)
        if self.error.value == drawing:  # and no error since
            self._say("")

    def _aim(self, card, result, at, pressed):
        """The controls that a touch of a slice sets: its two directions; a drag stays in the slice where it began."""
        self._held = None if pressed else self._held
        for key, part in slices(result):
            spot = card.planes[key].place(at)
            if spot is not None and (pressed or self._held == key):
                self._held = key
                last = np.array(part.image.shape[::-1]) - 1
                x, y = np.clip(spot / part.spacing[::-1], 0, last) / last
                right, upright = ACROSS[part.plane]
                y = y if part.plane == "axial" else 1 - y
                # A tenth of a percent tells apart the voxels of a thousand.
                return {right: round(float(100 * x), 1), upright: round(float(100 * y), 1)}
        return {}


def volumes(source: Prepared | Run | None = None, **named: Any) -> Panel:
    """Scans of a `Prepared` (image and truth), or what one to four runs say of them (prediction, I2PEMD by their G).

    The view is of three linked planes, of one plane as the truth and each run see it, or of the organs in 3D. x goes
    from the patient's right to the left, y from front to back, z from below upwards, in percent of the field of view. A
    touch of a plane moves the cross hairs. Runs have names, and further values set controls, as in
    `volumes(joint=joint, ours=ours, view="axial", z=40)`; a single run can also be the `source`.
    """
    runs: dict[str, Any] = {name: run for name, run in named.items() if hasattr(run, "learner")}
    if hasattr(source, "learner"):
        runs, source = {"run": source} | runs, None
    if (source is None) != bool(runs):
        raise BadInput("source, runs: expected either prepared data or runs, as in ours=ours, found both or none")
    viewers = case_viewers(source or next(iter(runs.values())).learner.data, runs)  # pyrefly: ignore[missing-attribute]
    seers = list(runs) or ["truth"]
    controls = {  # what a page without a kernel records first comes first
        "view": choice("view", [THREE, *([*PLANES] if runs else []), *SOLID], THREE),
        "overlay": choice("overlay", OVERLAYS if runs else OVERLAYS[:2], "prediction" if runs else "truth"),
        "z": slider("z, upwards", 50.0, 0.0, 100.0, 1.0, "%", plays=True),
        "x": slider("x, right to left", 50.0, 0.0, 100.0, 1.0, "%"),
        "y": slider("y, front to back", 50.0, 0.0, 100.0, 1.0, "%"),
        "turn": slider("turn (°)", 0, -180, 180, 5, plays=True),
        **viewers["truth"].choices(),
        "of": choice("as seen by", seers, seers[-1]),
        "outline": switch("outline the truth in white", bool(runs)),
    }
    layout = [["view", "overlay", "z"], ["x", "y", "turn"], ["ct", "mr", "of", "outline"]]
    return Volumes(viewers, controls, layout, {name: v for name, v in named.items() if name not in runs})
