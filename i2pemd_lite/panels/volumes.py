"""Three linked planes of a CT and of an MR scan, with cross hairs through one voxel and what a run says of that voxel.

Prepared scans are stacked to Superior, their rows go to Posterior and their columns to the patient's Left; the letters
at the edges of a plane are read from the affine all the same. CT and MR are scans of different patients: the sliders
are percents of each scan's own field of view.
"""

from types import SimpleNamespace

import nibabel
import numpy as np

from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider, switch
from i2pemd_lite.panels.segmentation import MARKS, OVERLAYS, PLANES, SHORT, CaseViewer, key, percent, show
from i2pemd_lite.segmentation import CLASSES, MODALITIES

AXES = "zyx"  # the controls of the axes of (D, H, W)
ACROSS = {"axial": ("x", "y"), "coronal": ("x", "z"), "sagittal": ("y", "z")}  # what runs to the right, and down or up
OPPOSITE = dict(zip("RLAPIS", "LRPASI", strict=True))


def compute(viewer, state):
    """The planes and voxels of the state: ct and mr (names of cases), x, y, z (percent), overlay, outline."""
    planes, voxels = {}, {}
    for modality in MODALITIES:
        case = viewer.cases[state[modality]]
        planes[modality] = {plane: viewer.slice(case.name, state[AXES[axis]], plane) for plane, axis in PLANES.items()}
        voxels[modality] = voxel(viewer, case, tuple(part.index for part in planes[modality].values()))
    return SimpleNamespace(planes=planes, voxels=voxels, overlay=state["overlay"], outline=state["outline"])


def voxel(viewer, case, index):
    """The voxel under the cross hairs, the `affine` that says where it is, and its truth.

    With a run also its p (K,), the column G_ik of its class (K,), and its I2PEMD Σᵢ pᵢ G_ik (Eq. 6); else p is None.
    """
    truth = int(case.label[index])
    p = column = distance = None
    if answer := viewer.predicted(case):
        p, column = answer.p[:, *index].numpy(), answer.ground[:, truth].numpy()
        distance = float(p @ column)
    return SimpleNamespace(index=index, affine=case.affine, truth=truth, p=p, column=column, distance=distance)


def letters(affine, plane):
    """The directions at the left, right, top and bottom of a plane, for an affine from (d, h, w) to RAS."""
    ends = dict(zip(AXES, nibabel.aff2axcodes(affine), strict=True))
    right, upright = (ends[name] for name in ACROSS[plane])
    # Rows of (h, w) go down the picture, slices d go up.
    top, bottom = (OPPOSITE[upright], upright) if plane == "axial" else (upright, OPPOSITE[upright])
    return OPPOSITE[right] + right + top + bottom


def point(card, result, at, pressed):
    """The controls that a touch of a plane sets: its two directions; a drag stays in the plane where it began."""
    if pressed:
        card.held = None
    for (modality, plane), part in slices(result):
        spot = card.planes[modality, plane].place(at)
        if spot is not None and (pressed or getattr(card, "held", None) == (modality, plane)):
            card.held = modality, plane
            last = np.array(part.image.shape[::-1]) - 1
            x, y = np.clip(spot / part.spacing[::-1], 0, last) / last
            right, upright = ACROSS[plane]
            # A tenth of a percent tells apart the voxels of a thousand.
            return {right: round(float(100 * x), 1), upright: round(float(100 * (y if plane == "axial" else 1 - y)), 1)}
    return {}


def slices(result):
    """((modality, plane), Slice) of all six planes."""
    return [((modality, plane), part) for modality, row in result.planes.items() for plane, part in row.items()]


SIDE, LEFT, TOP, FOOT = 2.42, 1.4, 0.3, 0.26  # inches: a plane, the heads beside a row, above a row, below all
MARGIN = 0.055  # of the largest side, for the letters around a plane
SIZE = (9.4, 2 * (SIDE + TOP) + FOOT)


def draw(card, result):
    """Rows CT and MR; planes axial, coronal, sagittal, all to one scale."""
    width, height = SIZE
    reach = max(side for _, part in slices(result) for side in np.multiply(part.image.shape, part.spacing))
    for i, (modality, (title, colour)) in enumerate(MARKS.items()):
        row, voxel, bottom = result.planes[modality], result.voxels[modality], height - (i + 1) * (SIDE + TOP)
        head, above = (bottom + SIDE - 0.3) / height, (bottom + SIDE + 0.03) / height
        card.paper.text(0.1 / width, head, title, size=10, weight="bold", color=colour)
        lines = [row["axial"].case.split("/")[-1], "", "at the cross:", f"truth {SHORT[voxel.truth]}"]
        if voxel.p is not None:
            lines += [f"taken for {SHORT[voxel.p.argmax()]}", f"I2PEMD {style.number(voxel.distance, 3)}"]
        card.paper.text(0.1 / width, head - 0.012, "\n".join(lines), size=8.5, va="top", linespacing=1.45)
        for j, (name, part) in enumerate(row.items()):
            left = LEFT + j * SIDE
            card.paper.text((left + 0.1) / width, above, name, size=9.5)
            card.paper.text((left + 0.8) / width, above, f"{part.index + 1} of {part.depth}", size=8.5)
            x, y, half = np.mean(part.sides[:2]), np.mean(part.sides[2:]), (0.5 + MARGIN) * reach
            ends = {"xlim": (x - half, x + half), "ylim": (y + half, y - half)}
            box = [left / width, bottom / height, 0.97 * SIDE / width, 0.97 * SIDE / height]
            plane = card.plane((modality, name), box, "blank", **ends)
            show(plane, part, result.overlay, result.outline)
            place = dict(zip(AXES, voxel.index, strict=True))
            right, upright = ACROSS[name]
            at = place[right], place[upright] if name == "axial" else len(part.image) - 1 - place[upright]
            mark(plane, part, at, letters(voxel.affine, name), 0.01 * reach)
    key(card, [1 - 0.52 / width, 0.3, 0.13 / width, 0.4], (LEFT / width, 0.07 / height), result.overlay)


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
    """What is under the cross hairs, and what it costs."""
    words, numbers = [], {}
    for modality, voxel in result.voxels.items():
        name, parts = modality.upper(), result.planes[modality]
        case, k = parts["axial"].case.split("/")[-1], voxel.truth
        position = (voxel.affine @ (*voxel.index, 1))[:3]  # to Right, Anterior and Superior
        places = [f"{('LPI' if mm < 0 else 'RAS')[i]} {abs(mm):.0f}" for i, mm in enumerate(position)]
        numbers[f"{name} at (mm)"] = ", ".join(places)
        if voxel.p is None:
            numbers[f"{name} truth"] = CLASSES[k]
            words.append(f"{name} {case}: the cross hairs meet in {CLASSES[k]}.")
            continue
        guess, doc, distance = CLASSES[voxel.p.argmax()], parts["axial"].doc, style.number(voxel.distance, 3)
        numbers[f"{name} truth → prediction"] = f"{CLASSES[k]} → {guess}"
        terms = [f"{style.number(p)} × {style.number(g)}" for p, g in zip(voxel.p, voxel.column, strict=True)]
        numbers[f"{name} I2PEMD = Σ p × G(·, {CLASSES[k]})"] = f"{distance} = {' + '.join(terms)}"
        words.append(f"{name} {case}: the cross hairs meet in {CLASSES[k]}, taken for {guess}, I2PEMD {distance}; "
                     f"DOC of the case {percent(doc)} %.")  # fmt: skip
    if "=" in "".join(numbers):
        words.append(f"The terms go through {', '.join(CLASSES)}.")
    return " ".join(words), numbers


def volumes(source, **start):
    """Three linked planes of a `Prepared` (image and truth), or of a run (also its prediction, and I2PEMD by its G).

    x goes from the patient's right to the left, y from front to back, z from below upwards, in percent of the field of
    view. A touch of a plane moves the cross hairs of the others. Values in `start` set controls, as in
    `volumes(run, overlay="I2PEMD", z=40)`.
    """
    viewer = CaseViewer(source)
    run = viewer.run is not None
    controls = {
        **viewer.choices("220px"),
        "overlay": choice("overlay", OVERLAYS if run else OVERLAYS[:2], "prediction" if run else "truth", "190px"),
        "outline": switch("outline the truth in white", run, "195px"),
        "x": slider("x, right to left", 50.0, 0.0, 100.0, 1.0, "%", width="276px"),
        "y": slider("y, front to back", 50.0, 0.0, 100.0, 1.0, "%", width="276px"),
        "z": slider("z, upwards", 50.0, 0.0, 100.0, 1.0, "%", width="276px"),
    }
    layout = [["ct", "mr", "overlay", "outline"], ["x", "y", "z"]]
    return Panel("volumes", controls, lambda state: compute(viewer, state), draw, describe, layout, SIZE, point, start)
