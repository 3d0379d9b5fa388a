"""What an evaluation measures: the figures of Table 4 by two decisions, the scores of each image, and the bands."""

import base64
import csv
import dataclasses
import io
from html import escape
from typing import Any

import numpy as np
import torch

from i2pemd_lite.classification.layout import CLASSES
from i2pemd_lite.classification.methods.bands import band_report, counted
from i2pemd_lite.files import fingerprint, hashed, parsing, unguarded, write_csv, write_text
from i2pemd_lite.metrics import classification_metrics
from i2pemd_lite.tables.report import Report
from i2pemd_lite.text import bar

DECISIONS = {"largest score": "argmax", "score ≥ 0.18": 0.18}
"""How a score becomes a class: for teaching the largest one; the code of SRC-MT calls every class from 0.18 on."""
SHOWN = 3  # classes of an image on a page, those of the largest scores
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>:root {{ color-scheme: light dark; font: 15px system-ui, sans-serif }} body {{ margin: 1em }}
.images {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(13em, 1fr)); gap: 1em }}
figure {{ margin: 0; overflow-wrap: anywhere }} img {{ width: 100% }} table {{ white-space: nowrap }}
th {{ text-align: left }} td:last-child {{ text-align: right }} meter {{ width: 5em }}</style>
<main><h1>{title}</h1><p>Scores of {run}, for teaching and research. They are no diagnosis.</p>
<div class="images">
{figures}
</div></main></html>
"""


@dataclasses.dataclass
class Evaluation(Report):
    """Figures in percent, a row for each of `DECISIONS`; where there are pseudo-labels, `below` has their "bands".

    The scores are a file of their own, see `save_scores`.

    images    names of the held-back images;  truth  (n,) their classes;  scores  (n, K) softmax output
    figures   those of the largest score by name: auc, sensitivity, specificity, accuracy, f1, top1
    """

    images: tuple = ()
    truth: np.ndarray | None = None
    scores: np.ndarray | None = None

    def content(self) -> dict[str, Any]:
        """What JSON holds: a hash of the scores too."""
        return hashed(super().content() | {"scores": hash_of(self.images, self.truth, self.scores)})

    @property
    def figures(self) -> dict[str, float]:
        """{"auc": percent, …} where the class is that of the largest score."""
        return {name: value for name, value in self.rows[0].items() if name != "decision"}


def score(learner, history, about):
    """The `Evaluation` of a learner on its held-back images; history: the rows of its run."""
    held_back = learner.test
    batches = bar(held_back.split(128), f"evaluating {learner.settings.method}", "batch")
    scores = torch.cat([learner.probabilities(part) for part in batches]).numpy()
    truth = learner.data.labels[held_back].numpy()
    parts = {"labelled": len(learner.labelled), "held back": len(held_back), "split by": learner.split_by}
    rows = []
    for words, decision in DECISIONS.items():
        figures = classification_metrics(scores, truth, decision)
        rows.append({"decision": words, **{name: 100 * value for name, value in figures.items()}})
    below = {"bands": band_report(history)} if counted(history) else {}
    images = tuple(learner.data.ids[i] for i in held_back.tolist())
    return Evaluation("Classification (%) on held-back images", rows, about | parts, below=below,
                      images=images, truth=truth, scores=scores)  # fmt: skip


def hash_of(images, truth, scores):
    """A hash of the scores of some images, as exact as they are written."""
    return fingerprint(tuple(images), truth.tolist(), scores.astype(np.float32).tolist())


def save_scores(path, images, scores, truth=None):
    """Write a table of scores: image, then `truth` where it is known, then one column a class as in ISIC 2018. Beside
    the truth they have all digits of a float32, else nine decimals: scores that are rounded to 0 tie, which changes
    AUC."""
    head, digits = ([], ".9f") if truth is None else (["truth"], ".9g")
    rows = [["image", *head, *CLASSES]]
    for i, name in enumerate(images):
        classes = [] if truth is None else [CLASSES[truth[i]]]
        rows.append([name, *classes, *(f"{p:{digits}}" for p in scores[i])])
    write_csv(path, rows)


def save_page(path, run, data, scores, apart, views=1):
    """Write a page of the test images of a `Prepared`: each with its scores, and the class of the nearest prototype.

    scores, apart: (n, K) each, as `Classifier.answers` gives them, or their means over so many views of each image.
    """
    from PIL import Image

    figures = []
    for image, name, p, distance in zip(data.test_images.permute(0, 2, 3, 1).numpy(), data.test_ids, scores, apart,
                                        strict=True):  # fmt: skip
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=90)
        source = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
        rows = "".join(f'<tr><th scope="row">{CLASSES[k]}<td><meter aria-hidden="true" value="{p[k]:.3f}"></meter>'
                       f"<td>{100 * p[k]:.1f} %" for k in (-p).argsort()[:SHOWN])  # fmt: skip
        near = f"nearest prototype: {CLASSES[distance.argmin()]}" if np.isfinite(distance).any() else ""
        figures.append(f'<figure><img src="{source}" alt=""><figcaption><b>{escape(name)}</b>'
                       f'<table aria-label="largest scores">{rows}</table>{near}</figcaption></figure>')  # fmt: skip
    s = run.settings
    words = f"{s.method}, seed {s.seed}, step {run.number} of {len(run)}" + f", mean of {views} views" * (views > 1)
    page = PAGE.format(title=escape(f"Images of {data.name}"), run=words, figures="\n".join(figures))
    write_text(path, page)


def read_scores(path):
    """(images, truth (n,), scores (n, K)) of a table that `save_scores` wrote with the truth."""
    what = f"image,truth,{','.join(CLASSES)}"
    with parsing(path, what, "evaluate again"), open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
        truth = np.array([CLASSES.index(row["truth"]) for row in rows])
        scores = np.array([[float(row[name]) for name in CLASSES] for row in rows])
        return tuple(unguarded(row["image"]) for row in rows), truth, scores
