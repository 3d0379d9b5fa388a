"""Train, resume, evaluate and predict: the verbs of the classification task."""

import csv
from pathlib import Path

import torch

from i2pemd_lite.classification.data import CLASSES, Dataset, load
from i2pemd_lite.classification.methods import METHODS, SIZES, ClassificationSettings, Classifier
from i2pemd_lite.classification.prepare import Prepared, prepare
from i2pemd_lite.files import BadInput, written_whole
from i2pemd_lite.report import Report
from i2pemd_lite.training import Run, read_settings, settings_for


def train(method, data=None, profile=None, seed=0, folder=None, **settings):
    """A run of one method, not started yet: iterate over it, or call `.finish()`.

    Parameters
    ----------
    method : a key of `METHODS`
    data : what `load` or `prepare` gave; None: `load()`
    profile : "ci", "laptop" or "gpu"; None: the one that `I2PEMD_PROFILE` names
    folder : where to keep the run; None: in memory only
    settings : any of `ClassificationSettings`, such as steps=100 or tau_low=0.6

    Returns
    -------
    Run

    Raises
    ------
    BadInput
        for an unknown method, profile or setting, and for data that cannot be used
    """
    chosen = settings_for(ClassificationSettings, SIZES, method, METHODS, profile, seed, settings)
    return Run(Classifier(chosen, _prepared(data, chosen.size)), folder)


def resume(folder, data=None):
    """The run kept in `folder`, at its last checkpoint, ready to go on.

    `data` is looked for where the run had it, unless given. Raises `BadInput` when it is not the data that the run was
    trained on, or the folder holds no whole run.
    """
    about = read_settings(folder, "classification")
    settings = ClassificationSettings().changed(**about["settings"])
    prepared = _prepared(data or load(about["data"]["folder"]), settings.size)
    if prepared.fingerprint != about["data"]["fingerprint"]:
        raise BadInput(
            f"{folder}: expected the data of fingerprint {about['data']['fingerprint']}, found {prepared.fingerprint} "
            f"in {about['data']['folder']}; give the data that the run was trained on"
        )
    return Run.load(Classifier(settings, prepared), folder)


def evaluate(run):
    """The figures of Table 4 in percent on the held-back labelled images, as a `Report`.

    The weights are those of the best validation AUC where the data have a validation part beside the test part, else
    the last ones. With a run folder, report.json is written there.
    """
    with run.best_weights() as step, run.learner.evaluating():
        figures = run.learner.figures(run.learner.test)
    about = {
        "method": run.settings.method,
        "profile": run.settings.profile,
        "seed": run.settings.seed,
        "steps": run.number,
        "weights of step": step,
        "seconds": round(run.seconds),
        "data": run.learner.data.name,
        "labelled": len(run.learner.labelled),
        "held back": len(run.learner.test),
        "split by": run.learner.split_by,
    }
    report = Report("Classification (%) on held-back images", [figures], about)
    report.figures = figures
    if run.folder is not None:
        report.save(run.folder / "report.json")
    return report


def predict(run, images=None, out="out/skin.csv"):
    """Class scores for images without labels, as CSV in the format of ISIC 2018: image,MEL,NV,BCC,AKIEC,BKL,DF,VASC.

    Parameters
    ----------
    images : a folder that `load` reads, a `Dataset` or a `Prepared`, whose unlabelled test images are meant; None:
        those of the run's own data
    out : the file to write, whole or not at all

    Returns
    -------
    Path of the file
    """
    data = run.learner.data if images is None else _prepared(images, run.settings.size)
    if not len(data.test_ids):
        raise BadInput("images: expected some images without labels (ISIC2018_Task3_Test_Input), found none")
    with run.best_weights(), run.learner.evaluating():
        scores = run.learner.scores(torch.arange(len(data.test_ids)), data.test_images)
    with written_whole(out) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", *CLASSES])
        for name, row in zip(data.test_ids, scores.tolist(), strict=True):
            writer.writerow([name, *(f"{p:.6f}" for p in row)])
    return Path(out)


def _prepared(data, size):
    data = load() if data is None else load(data) if isinstance(data, str | Path) else data
    if not isinstance(data, Dataset | Prepared):
        raise BadInput(f"data: expected what load() or prepare() gave, found {type(data).__name__}")
    if isinstance(data, Dataset):
        return prepare(data, size)
    if data.size != size:
        raise BadInput(f"data: expected images prepared for {size} px, found {data.size}; pass load()'s result")
    return data
