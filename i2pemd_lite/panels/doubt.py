"""One voxel of a CT, and a network that is not sure of it: what its doubt costs, and what cross-entropy sees of it.

Nothing is trained. The scan is synthetic, and the prototype of a class is the mean grey value of its voxels in it. What
the network says of the voxel is what the two controls say.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.ground import ground_distance
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, slider
from i2pemd_lite.panels.instance import draw_mass
from i2pemd_lite.panels.segmentation import Slice, show
from i2pemd_lite.prototypes import class_means
from i2pemd_lite.segmentation import CLASSES, synthetic
from i2pemd_lite.segmentation.layout import class_ids

SHOWN = ("right kidney", "left kidney", "background")  # the label, and where the doubt can go
IDS = [CLASSES.index(name) for name in SHOWN]
WINDOW, MARGIN = (-120, 260), 12  # Hounsfield units from black to white; voxels beside the kidneys


@cache
def patient():
    """What does not move: a slice of the first CT of the synthetic set, where in it the voxel is, and prices.

    part : `Slice` with the most of both kidneys;  at : (row, column) of the voxel of the right kidney whose grey value
    is the nearest to the middle of kidney and background;  prototypes : (K,) mean grey value of each class (Eq. 11)
    ground : (K, K), Eq. 3 to 5 of them
    """
    scan = synthetic.phantom("ct", (0, False, 1))
    labels, dx, dy = class_ids(scan.label, "btcv"), *np.abs(np.diag(scan.affine))[:2]
    grey, y = torch.tensor(scan.image).double()[None, None], torch.tensor(labels).long()[None]
    means, _ = class_means(grey, y, len(CLASSES))
    right, left, background = IDS
    most = np.minimum(*((labels == k).sum((0, 1)) for k in (right, left))).argmax()
    image, truth = scan.image[..., most].T, labels[..., most].T  # rows to the patient's back, columns to the left
    y, x = np.nonzero(np.isin(truth, (right, left)))
    middle, half = ((y.max() + y.min()) // 2 - MARGIN, (x.max() + x.min()) // 2), (x.max() - x.min()) // 2 + MARGIN
    rows, columns = (slice(at - half, at + half) for at in middle)
    image, truth = image[rows, columns], truth[rows, columns]
    off = np.abs(image - float(means[right, 0] + means[background, 0]) / 2)
    at = np.unravel_index(np.where(truth == right, off, np.inf).argmin(), off.shape)
    seen = np.clip((image - WINDOW[0]) / (WINDOW[1] - WINDOW[0]), 0, 1)
    part = Slice("img0001", "axial", int(most), labels.shape[2], (dy, dx), seen, truth)
    return SimpleNamespace(part=part, at=at, prototypes=means[:, 0].numpy(), ground=ground_distance(means))


def compute(state):
    """The prediction of a state, what it costs against the label, and its cross-entropy, −log p_k.

    state : share is p of the label; of the rest, the part `away` is background's, and the left kidney's what is left
    p (3,) and costs (3,) are of the classes `SHOWN`;  ends (2,): what it would cost with all the rest on either one
    """
    share, ground = state["share"], patient().ground
    p = torch.zeros(3, len(CLASSES), dtype=torch.float64)
    for row, away in zip(p, (state["away"], 0.0, 1.0), strict=True):
        row[IDS] = torch.tensor([share, (1 - share) * (1 - away), (1 - share) * away], dtype=row.dtype)
    price, *ends = i2pemd(p, torch.full((3,), IDS[0]), ground).tolist()
    return SimpleNamespace(p=p[0, IDS].numpy(), costs=ground[IDS, IDS[0]].numpy(), away=state["away"], price=price,
                           ends=ends, entropy=0.0 - float(np.log(share)))  # fmt: skip


def draw(card, result):
    """Left the scan with its voxel, in the middle the probability on its way to the label, right both measures."""
    part, (row, column), (dy, dx) = patient().part, patient().at, patient().part.spacing
    left, right, bottom, top = part.sides
    scan = card.plane("scan", [0.01, 0.05, 0.32, 0.82], "blank", aspect="equal")
    scan.look(xlim=(left, right), ylim=(bottom, top), title="A synthetic CT, and one voxel of it")
    show(scan, part, "truth", outline=False)
    for ink, lw in (style.PAPER, 5), (style.LABEL, 2.5):
        scan.points(column * dx, row * dy, marker="o", ms=13, mfc="none", mec=ink, mew=lw)

    card.paper.text(0.36, 0.90, "What the network says of this voxel", size=9.5)
    shares = [f"{name}\n{style.number(p)}" for name, p in zip(SHOWN, result.p, strict=True)]
    draw_mass(card, [0.40, 0.13, 0.28, 0.70], result.p, result.costs, 0, shares)
    card.paper.text(0.36, 0.03, "× label: right kidney", size=9, color=style.LABEL, weight="bold")

    look = {"xlim": (0, 1), "xticks": (0, 1), "xticklabels": ("left kidney", "background"), "yticks": ()}
    measures = {
        "entropy": (0.62, f"Cross-entropy: {result.entropy:.3f}", [result.entropy] * 3, 3.0),
        "price": (0.16, f"Price (I2PEMD): {result.price:.3f}", [result.price, *result.ends], 0.8),
    }
    for name, (bottom, title, (now, first, last), top) in measures.items():
        plane = card.plane(name, [0.755, bottom, 0.19, 0.25], ylim=(0, top), title=title, **look)
        plane.line([0, 1], [first, last], color=style.GROUND, lw=2)
        plane.points(result.away, now, marker="o", ms=10, color=style.MASS, mec=style.PAPER, mew=1.5)
    card.paper.text(0.755, 0.015, "where the rest goes", size=8.5, color=style.QUIET)


def describe(result):
    """The sum of Eq. 6, and what cross-entropy asks."""
    label, *others = SHOWN
    _, *shares = result.p
    _, *costs = result.costs
    terms = [f"{style.number(p, 4)} × {style.number(g, 4)}" for p, g in zip(shares, costs, strict=True) if p > 0]
    words = f"The {label} is right, and the network gives it {style.number(result.p[0])}. "
    words += f"The rest pays {' + '.join(terms)} = {result.price:.3f}. " * bool(terms)
    words += "Cross-entropy only asks how much is on the right class, and not where the rest is."
    numbers = {"I2PEMD": f"{result.price:.3f}", "cross-entropy": f"{result.entropy:.3f}"}
    numbers |= {f"price of {name}": style.number(cost) for name, cost in zip(others, costs, strict=True)}
    numbers |= {f"mean grey value of {name} (HU)": f"{mean:.0f}"
                for name, mean in zip(CLASSES, patient().prototypes, strict=True)}  # fmt: skip
    return words, numbers


def point(card, result, at, pressed):
    """Where the rest goes, by a touch of either chart."""
    places = (card.planes[name].place(at) for name in ("entropy", "price"))
    return next(({"away": round(float(place[0]), 2)} for place in places if place is not None), {})


def panel(**start: Any) -> Panel:
    """The panel; values in `start` set controls."""
    controls = {
        "away": slider("the rest, to background", 0.0, 0.0, 1.0, 0.05, plays=True),
        "share": slider("right kidney (probability)", 0.6, 0.05, 1.0, 0.05),
    }
    return Panel("one voxel", controls, compute, draw, describe, [list(controls)], (9.4, 3.4), point, start)
