"""Train, resume, evaluate and predict: the verbs of the classification task."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch

from i2pemd_lite.classification.data import Dataset, holds_images, load
from i2pemd_lite.classification.layout import SUFFIXES, Pictures
from i2pemd_lite.classification.learner import Classifier
from i2pemd_lite.classification.methods import METHODS
from i2pemd_lite.classification.prepare import Prepared, prepare
from i2pemd_lite.classification.report import Evaluation, save_page, save_scores, score
from i2pemd_lite.classification.settings import SIZES, ClassificationSettings
from i2pemd_lite.device import told
from i2pemd_lite.files import BadInput, Problems, grouped
from i2pemd_lite.runs import brought
from i2pemd_lite.runs.run import Run
from i2pemd_lite.runs.task import Asked, Task, evaluated, signed


@dataclasses.dataclass
class _Asked(ClassificationSettings, Asked):

    method: str = dataclasses.field()
    data: Dataset | Prepared | Path | str | None = None
    profile: str | None = None


TASK = Task("classification", ClassificationSettings, Classifier, METHODS, {"paper": SIZES}, load, dataset=Dataset,
            ready=Prepared, things="images", prepared_by="size", prepare=lambda data, s: prepare(data, s.size),
            goals=("auc", "f1"), asked=_Asked)  # fmt: skip
train, resume = signed(TASK.train, _Asked), TASK.resume


@told()
def evaluate(run: Run) -> Evaluation:
    """The figures of Table 4 in percent on the held-back labelled images, as an `Evaluation`, which is a `Report`.

    The weights are those of the best validation AUC where the data have a validation part beside the test part, else
    the last ones. With a run folder, report.json and scores.csv, the scores of every image, are written there.
    """
    report = evaluated(run, lambda learner, about: score(learner, run.history, about))
    if run.folder is not None and not brought.shipped(run.folder):
        save_scores(run.folder / "scores.csv", report.images, report.scores, report.truth)
    return report


def _unlabelled(images):
    """The images of a folder, a zip or a file, or those without labels of a `Dataset` or of a folder that `load` reads,
    as a `Dataset` of nothing else; what is prepared already as it is."""
    none = np.zeros(0, np.int64)
    if isinstance(images, str | Path):
        place = Path(images)
        if place.suffix == ".safetensors":
            return images
        direct = place.is_dir() and any(p.suffix.lower() in SUFFIXES and p.is_file() for p in place.iterdir())
        if place.suffix.lower() == ".npz" or place.is_dir() and not direct and holds_images(place):
            images = load(place)
        else:
            pictures = Pictures(place, by_path=True)
            pictures.expect_some()
            names, unused = tuple(sorted(pictures.names)), grouped(pictures.unused)
            images = Dataset(place, place.name, (), none, test_ids=names, test_pictures=pictures, unused=unused)
    if isinstance(images, Dataset) and images.test_ids:
        facts = {"lesions": None, "parts": None, "sources": getattr(images.test_pictures, "sources", ())}
        return dataclasses.replace(images, ids=(), labels=none, **facts)
    return images


@told()
def predict(
    run: Run, images: Dataset | Prepared | Path | str | None = None, out: Path | str = "out/skin.csv",
    page: bool = False, mirrored: bool = False
) -> Path | list[Path]:  # fmt: skip
    """Class scores for images without labels, as CSV in the format of ISIC 2018: image,MEL,NV,BCC,AKIEC,BKL,DF,VASC.

    images: a JPEG or PNG image, a folder, with its subfolders, or a zip of them (one whose name is in several folders
    is named by its path), or a folder, `Dataset` or `Prepared` whose unlabelled test images are meant; None: those of
    the run's own data. page: beside it, write NAME.html, which shows each image with its scores and its nearest
    prototype. mirrored: average the scores of four views, the image, mirrored left to right, top to bottom, and turned
    by 180°, since a lesion can be photographed from any side; that takes four times as long.

    Returns the path of the table, or with a page the list of both; each is written whole or not at all. An image that
    cannot be used does not stop the others; all such are reported at the end as a `BadInput`, whose attribute `written`
    is the list of what was written.
    """
    problems, data = Problems("the images to predict"), run.learner.data
    if Path(out).is_dir():
        raise BadInput(f"out: expected a table to write, found the folder {out}; give a file, {Path(out) / 'skin.csv'}")
    if images is not None:
        found = _unlabelled(images)
        if isinstance(found, Dataset) and found.test_ids:
            print(*found.unused, sep="\n", end="\n" * bool(found.unused), file=sys.stderr)
            data = prepare(found, run.settings.size, problems=problems)
        else:
            data = TASK.prepared(found, run.settings)
    if not len(data.test_ids):
        problems.raise_if_any()
        raise BadInput("images: expected some images without labels (ISIC2018_Task3_Test_Input), found none")
    with run.best_weights(), run.learner.evaluating():
        members, sides = torch.arange(len(data.test_ids)), [(), (2,), (3,), (2, 3)] if mirrored else [()]
        images = (data.test_images.flip(axes) if axes else data.test_images for axes in sides)  # `flip` copies them
        answers = [run.learner.answers(members, views) for views in images]
        scores, apart = torch.stack(answers).mean(0).numpy()
    save_scores(out, data.test_ids, scores)
    written = [Path(out)]
    if page:
        written.append(Path(f"{str(out).removesuffix('.csv')}.html"))
        save_page(written[1], run, data, scores, apart, len(answers))
    problems.raise_if_any(written)
    return written if page else written[0]
