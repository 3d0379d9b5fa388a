"""What the tables take from a finished run, and what it is worth beside the paper's."""

import contextlib
import dataclasses
import math
from pathlib import Path

import numpy as np

from i2pemd_lite.classification.methods.bands import COUNTS, counted
from i2pemd_lite.classification.report import DECISIONS, read_scores
from i2pemd_lite.classification.settings import SETTINGS, ClassificationSettings
from i2pemd_lite.classification.task import TASK, evaluate
from i2pemd_lite.files import BadInput, read_json
from i2pemd_lite.tables.choices import changed


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What the tables take from a finished run.

    settings : of the run, with the precision that it had in place of "auto"
    figures : {decision: {"auc": percent, …}}, a decision one of `scores.DECISIONS`
    images, truth, scores : of the n held-back images: names, classes (n,), softmax output (n, K)
    lesions : their n lesions, or None where the data name none
    leaks : how many of them show a lesion that the other images show too, or None
    shares : percent of the training images that are used with and without their label
    counts : the `bands.COUNTS` of all steps together and their number as "steps"; empty without pseudo-labels
    about : what report.json says under its table
    data : "synthetic", "ISIC 2018" or "DermaMNIST"; `fingerprint` that of the prepared images
    """

    folder: Path
    settings: ClassificationSettings
    data: str
    fingerprint: str
    figures: dict
    images: tuple
    truth: np.ndarray
    scores: np.ndarray
    lesions: tuple | None
    leaks: int | None
    shares: tuple
    counts: dict
    about: dict

    @property
    def right(self):
        """(n,) booleans: whether the largest score is that of the true class."""
        return self.scores.argmax(1) == self.truth


def label(settings, data):
    """What a row is worth beside the paper's: "paper's setting", "scaled down" or "synthetic".

    A run on synthetic images is "synthetic", one on noise "noise". One on ISIC 2018 has the paper's setting where
    it starts from ImageNet's weights, whatever the name of their file, and all settings are those of its method at
    full size but those that the paper leaves open (`settings.SETTINGS`; the tables say which of them are others than
    here, bfloat16 among them) and `results.FREE`, which say who runs it and how often one looks. `split_by` may be
    "image", the paper's protocol, or one that keeps lesions apart, which makes the task harder and so flatters
    nobody; the tables say which. Everything else is "scaled down", whatever it changes.

    Example
    -------
    >>> paper_size = ClassificationSettings(method="vat", seed=2, imagenet="weights.pth", split_by="lesion")
    >>> label(paper_size, "ISIC 2018"), label(paper_size.changed(size=48), "ISIC 2018"), label(paper_size, "synthetic")
    ("paper's setting", 'scaled down', 'synthetic')
    """
    if data in ("synthetic", "noise"):
        return data
    full = TASK.settings_for(settings.method, "gpu", changes={"split_by": settings.split_by})
    like = settings.imagenet and not changed(settings, full.changed(imagenet=settings.imagenet), SETTINGS)[0]
    return "paper's setting" if like and data == "ISIC 2018" else "scaled down"


def read(run):
    """The `Result` of a run in a folder, from its report.json and scores.csv where these tell all."""
    learner, source = run.learner, run.learner.source()
    content, (images, truth, scores) = _evaluated(run)
    figures = {
        row["decision"]: {name: math.nan if row[name] is None else row[name] for name in row if name != "decision"}
        for row in content["rows"]
    }
    lesions, leaks = _lesions(learner)
    training = len(learner.data.ids) - len(learner.val) - len(learner.test)
    unlabelled = len(learner.unlabelled) if learner.method.unlabelled else 0
    return Result(
        run.folder,
        run.settings.changed(precision=run.profile.precision),
        source["name"],
        source["fingerprint"],
        figures,
        images,
        truth,
        scores,
        lesions,
        leaks,
        (100 * len(learner.labelled) / training, 100 * unlabelled / training),
        _counts(run.history),
        content["about"],
    )


def _evaluated(run):
    """(report.json, scores.csv) of a run, evaluated anew where they are not of its last step and its images."""
    report, table = run.folder / "report.json", run.folder / "scores.csv"
    expected = tuple(run.learner.data.ids[i] for i in run.learner.test.tolist())
    with contextlib.suppress(BadInput):
        content, scores = read_json(report), read_scores(table)
        if _tells_all(content, run.number) and scores[0] == expected:
            return content, scores
    evaluate(run)
    return read_json(report), read_scores(table)


def _tells_all(content, number):
    decisions = [row.get("decision") for row in content.get("rows", [])]
    return decisions == list(DECISIONS) and content["about"].get("steps") == number


def _lesions(learner):
    """The lesions of the held-back images, and how many of these show one that is in another part too."""
    lesions = learner.data.lesions
    if lesions is None:
        return None, None
    held_back = set(learner.test.tolist())
    elsewhere = {lesion for i, lesion in enumerate(lesions) if i not in held_back}
    own = tuple(lesions[i] for i in learner.test.tolist())
    return own, sum(lesion in elsewhere for lesion in own)


def _counts(history):
    if not counted(history):
        return {}
    return {name: sum(row[name] for row in history) for name in COUNTS} | {"steps": len(history)}
