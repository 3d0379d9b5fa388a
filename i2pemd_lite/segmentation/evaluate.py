"""Train, resume, evaluate and predict: the verbs of the segmentation task."""

import dataclasses
from pathlib import Path

from i2pemd_lite.files import BadInput, Problems
from i2pemd_lite.segmentation.data import CLASSES, Dataset, Scan, load
from i2pemd_lite.segmentation.methods import METHODS, PRESETS, SIZES, SegmentationSettings, Segmenter
from i2pemd_lite.segmentation.prepare import Prepared, prepare, prepare_case, to_source_grid, write_labels
from i2pemd_lite.segmentation.scores import score
from i2pemd_lite.training import Task


def _prepare(data, settings):
    if isinstance(data, Dataset):
        return prepare(data, settings.geometry)
    if not isinstance(data, Prepared):
        raise BadInput(f"data: expected what load() or prepare() gave, found {type(data).__name__}")
    if data.geometry != settings.geometry:
        raise BadInput(f"data: expected volumes prepared with {settings.geometry}, found {data.geometry}; use load()")
    return data


def _opened(path):
    return Prepared.open(path) if (path / "prepared.json").is_file() else None


TASK = Task("segmentation", SegmentationSettings, Segmenter, METHODS, SIZES, load, _prepare, _opened, PRESETS)
train, resume = TASK.train, TASK.resume


def evaluate(run, **about):
    """DOC in percent and distances of surfaces in mm on the held-back cases, as an `Evaluation`, which is a `Report`.

    Parameters
    ----------
    about : more to say of the run under the table, such as memory="900 MiB"

    Returns
    -------
    Evaluation
        a row each for CT, MR and both, the organs as columns. `.cases` lists every case, `.surfaces` are the distances
        as a table of their own, `.missing` names the organs that a case lacks, `.figures` are the means by name. With a
        run folder, report.json is written there.
    """
    settings, learner = run.settings, run.learner
    about = {
        "method": settings.method,
        "λ": settings.weight,
        "profile": settings.profile,
        "seed": settings.seed,
        "steps": run.number,
        "seconds": round(run.seconds),
        **about,
        "data": learner.data.name,
    }
    with learner.evaluating():
        report = score(learner, about)
    if run.folder is not None:
        report.save(run.folder / "report.json")
    return report


def predict(run, images=None, out="out/segmentation", modality=None, progress=True):
    """Label maps for scans without labels, as NIfTI on each scan's own grid: out/ct/NAME.nii.gz, out/mr/NAME.nii.gz.

    Parameters
    ----------
    images : a folder that `load` reads (its scans without labels, or all if every one has some), a `Dataset`, or a
        list of `Scan`; None: the unlabelled scans of the run's data. A label, where there is one, is not looked at.
    out : folder to write to
    modality : "ct" or "mr", for a folder that just holds NIfTI files of it

    Returns
    -------
    list of the files written. A scan that cannot be used does not stop the others; they are reported together at the
    end as a `BadInput`, whose attribute `written` is that list.
    """
    from tqdm.auto import tqdm

    out, problems, written = Path(out), Problems("the scans to predict"), []
    for scan in tqdm(_scans(run, images, modality), desc="predict", unit="scan", disable=not progress):
        with problems.collect(scan.name), run.learner.evaluating():
            moments = (run.learner.data.moments or {}).get(scan.modality)
            case = prepare_case(dataclasses.replace(scan, label=None), run.settings.geometry, moments)
            p = run.learner.probabilities(case)
            path = out / scan.modality / f"{scan.name.split('/')[-1]}.nii.gz"
            write_labels(path, *to_source_grid(p, case))
            written.append(path)
    try:
        problems.raise_if_any()
    except BadInput as error:
        error.written = written
        raise
    return written


def _scans(run, images, modality):
    if modality is not None and isinstance(images, str | Path):
        found = sorted(path for path in Path(images).glob("*") if path.name.endswith((".nii", ".nii.gz")))
        if not found:
            raise BadInput(f"{images}: expected NIfTI files (.nii, .nii.gz), found none")
        return [Scan(f"{modality}/{path.name.split('.nii')[0]}", modality, path) for path in found]
    if images is None and run.learner.data.dataset is None:
        raise BadInput("images: expected scans to predict, found none, and the run was trained from a bare cache")
    found = run.learner.data.dataset if images is None else images
    found = load(found, labelled=False) if isinstance(found, str | Path) else found
    scans = (found.unlabelled or found.scans) if isinstance(found, Dataset) else list(found)
    if not scans or not all(isinstance(scan, Scan) for scan in scans):
        raise BadInput("images: expected a folder, a Dataset or a list of Scan with at least one scan, found none")
    return scans


__all__ = ["CLASSES", "METHODS", "evaluate", "predict", "resume", "train"]
