"""Skin images by class, their weak and strong views, and the curves of up to twelve methods."""

from types import SimpleNamespace

import numpy as np
import torch

from i2pemd_lite.classification import CLASSES
from i2pemd_lite.classification.augment import IMAGENET_MEAN, IMAGENET_STD, plain, strong, weak
from i2pemd_lite.classification.prepare import Prepared
from i2pemd_lite.classification.task import TASK
from i2pemd_lite.panels.curves import Shown
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, slider
from i2pemd_lite.panels.training import Training
from i2pemd_lite.runs.run import Run
from i2pemd_lite.runs.sampling import generator

COLUMNS = 9  # images of a class on a contact sheet
VIEWS = 7


def contact(data, page=0):
    """The `page`-th COLUMNS images of each class; the pages begin again where a class has no more."""
    pictures = []
    for k in range(len(CLASSES)):
        members = (data.labels == k).nonzero().flatten().roll(-page * COLUMNS)
        pictures.append(data.images[members[:COLUMNS]].permute(0, 2, 3, 1).numpy())
    labels = data.labels.tolist()
    lesions = None if data.lesions is None else len(set(zip(data.lesions, labels, strict=True)))
    return SimpleNamespace(pictures=pictures, lesions=lesions, counts=np.bincount(labels, minlength=len(CLASSES)))


def draw_sheet(card, sheet):
    """A row of pictures for each class, and its count as a bar."""
    side, K = next(len(p[0]) for p in sheet.pictures if len(p)), len(CLASSES)
    canvas = np.zeros((K, side + 2, COLUMNS, side + 2, 4), np.uint8)
    for k, pictures in enumerate(sheet.pictures):
        canvas[k, :side, : len(pictures), :side, :3] = pictures.swapaxes(0, 1)
        canvas[k, :side, : len(pictures), :side, 3] = 255
    left = card.plane("images", [0.06, 0.02, 0.675, 0.96], "blank", ylim=(K - 0.5, -0.5), yticks=range(K),
                      yticklabels=CLASSES)  # fmt: skip
    left.image(canvas.reshape(K * (side + 2), -1, 4), 0, 255, extent=(0, 1, K - 0.5, -0.5))
    total, most = sheet.counts.sum(), sheet.counts.max()
    right = card.plane("counts", [0.75, 0.02, 0.24, 0.96], "blank", xlim=(0, 1.8 * most), ylim=(K - 0.5, -0.5))
    for k, count in enumerate(sheet.counts):
        right.rect(0, k - 0.25, count, 0.5, fc=style.QUIET)
        right.text(count + 0.03 * most, k, f"{count}  ({100 * count / total:.1f} %)", va="center", size=8.5)


def describe_sheet(sheet):
    """The long tail in words and numbers."""
    counts, total = dict(zip(CLASSES, sheet.counts.tolist(), strict=True)), int(sheet.counts.sum())
    most, least = max(counts, key=counts.get), min(counts, key=counts.get)
    words = f"There are {total} images. {most} has {counts[most]} of them and {least} has {counts[least]}, which is "
    words += f"{counts[most] / max(counts[least], 1):.0f} times fewer."
    lesions = {} if sheet.lesions is None else {"lesions": sheet.lesions}
    return words, {"images": total, **lesions, **counts}


def sheet(data: Prepared) -> Panel:
    """Images of each class of a `Prepared`, page by page, and the long tail."""
    pages = max(1, -(-int(np.bincount(data.labels.numpy()).max()) // COLUMNS))
    controls = {"page": slider("page", 1, 1, pages, 1)}
    return Panel("contact sheet", controls, lambda state: contact(data, state["page"] - 1), draw_sheet, describe_sheet,
                 size=(9.4, 5.2))  # fmt: skip


def look(data, state):
    """One image in weak views (above) and strong ones, each row led by the image as it is."""
    i, seed = state["image"] - 1, state["draw"]
    batch = data.images[[i] * VIEWS]
    rows = [weak(batch, data.size, generator(seed, "weak")),
            strong(batch, data.size, generator(seed, "strong"), n=state["n"], m=state["m"])]  # fmt: skip
    pictures = torch.stack([torch.cat([plain(batch[:1], data.size), row]) for row in rows])
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    pictures = ((pictures * std + mean).clamp(0, 1) * 255).round().byte().movedim(-3, -1).numpy()
    return SimpleNamespace(label=CLASSES[int(data.labels[i])], pictures=pictures)


def draw_views(card, views):
    """Two rows of pictures."""
    for row, (name, pictures) in enumerate(zip(("weak", "strong"), views.pictures, strict=True)):
        card.paper.text(0.008, 0.68 - 0.47 * row, name, size=10, weight="bold")
        for n, picture in enumerate(pictures):
            box = [0.075 + 0.112 * n + 0.018 * (n > 0), 0.49 - 0.47 * row, 0.106, 0.42]
            card.plane(f"{name} {n}", box, "blank", aspect="equal").image(picture, 0, 255, extent=(0, 1, 0, 1))
    card.paper.text(0.085, 0.935, "as it is", size=9)
    card.paper.text(0.21, 0.935, f"{VIEWS} views, each with its own random draw", size=9)


def describe_views(views):
    """How far the views are from the image, in grey values."""
    pictures = views.pictures.astype(float)
    near, far = (np.abs(row[1:] - row[0]).mean() for row in pictures)
    words = f"A strong view differs from the image by {far:.0f} grey values on average, a weak one by {near:.0f}."
    return words, {"class": views.label, "weak: mean change": f"{near:.1f}", "strong: mean change": f"{far:.1f}"}


def views(data: Prepared) -> Panel:
    """One image of a `Prepared` in its weak and strong views, with sliders for RandAugment."""
    controls = {
        "image": slider("image", 1, 1, len(data), 1),
        "n": slider("operations n", 2, 0, 4, 1),
        "m": slider("largest strength m (of 10)", 10, 0, 10, 1),
        "draw": slider("draw (seed)", 0, 0, 20, 1),
    }
    layout = [["image", "draw"], ["n", "m"]]
    return Panel("views", controls, lambda state: look(data, state), draw_views, describe_views, layout, (9.4, 2.75))


MEASURES = {
    "AUC": "auc", "top-1 accuracy": "top1", "F1": "f1", "sensitivity": "sensitivity", "specificity": "specificity",
    "accuracy (Table 4)": "accuracy",
}  # fmt: skip
TERMS = ("labelled", "unlabelled", "consistency", "relation", "vat", "entropy")
COUNTS = ("kept", "kept_right", "band", "near")  # of `bands`: N_s, the right ones; the band, and whom I2PEMD lets in
SHOWN = Shown(TASK, "Losses", TERMS, MEASURES, CLASSES, COUNTS, ("labelled", "unlabelled"))


def panel(**runs: Run) -> Training:
    """Curves of classification runs (see `Training`): losses, what the selection did, figures on held-back images.

    A run has the terms of its own method: one without pseudo-labels has no line in the middle.
    """
    return Training(SHOWN, runs)
