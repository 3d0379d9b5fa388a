"""Train, resume, evaluate and predict: the verbs of the classification task."""

from pathlib import Path

import numpy as np
import torch

from i2pemd_lite.classification.data import Dataset, load
from i2pemd_lite.classification.layout import SUFFIXES, Pictures
from i2pemd_lite.classification.learner import Classifier
from i2pemd_lite.classification.methods import METHODS
from i2pemd_lite.classification.prepare import Prepared, prepare
from i2pemd_lite.classification.report import save_scores, score
from i2pemd_lite.classification.settings import SIZES, ClassificationSettings
from i2pemd_lite.device import told
from i2pemd_lite.files import BadInput
from i2pemd_lite.runs.task import Task, evaluated

TASK = Task("classification", ClassificationSettings, Classifier, METHODS, SIZES, load, dataset=Dataset, ready=Prepared,
            things="images", prepared_by="size", prepare=lambda data, s: prepare(data, s.size))  # fmt: skip
train, resume = TASK.train, TASK.resume


@told()
def evaluate(run):
    """The figures of Table 4 in percent on the held-back labelled images, as an `Evaluation`, which is a `Report`.

    The weights are those of the best validation AUC where the data have a validation part beside the test part, else
    the last ones. With a run folder, report.json and scores.csv, the scores of every image, are written there.
    """
    report = evaluated(run, lambda learner, about: score(learner, run.history, about))
    if run.folder is not None:
        save_scores(run.folder / "scores.csv", report.images, report.scores, report.truth)
    return report


def _unlabelled(images):
    """A folder or zip that just holds images as a `Dataset` of test images; anything else as it is."""
    place = Path(images) if isinstance(images, str | Path) else None
    if place and (place.suffix == ".zip" or place.is_dir() and SUFFIXES & {p.suffix.lower() for p in place.iterdir()}):
        pictures = Pictures(place)
        names, none = tuple(sorted(pictures.names)), np.zeros(0, np.int64)
        return Dataset(place, place.name, (), none, test_ids=names, sources=pictures.sources, test_pictures=pictures)
    return images


@told()
def predict(run, images=None, out="out/skin.csv"):
    """Class scores for images without labels, as CSV in the format of ISIC 2018: image,MEL,NV,BCC,AKIEC,BKL,DF,VASC.

    images: a folder or zip of JPEG or PNG images, or a folder, `Dataset` or `Prepared` whose unlabelled test images are
    meant; None: those of the run's own data. Returns the path of the file, which is written whole or not at all.
    """
    data = run.learner.data if images is None else TASK.prepared(_unlabelled(images), run.settings)
    if not len(data.test_ids):
        raise BadInput("images: expected some images without labels (ISIC2018_Task3_Test_Input), found none")
    with run.best_weights(), run.learner.evaluating():
        scores = run.learner.probabilities(torch.arange(len(data.test_ids)), data.test_images)
    save_scores(out, data.test_ids, scores.numpy())
    return Path(out)
