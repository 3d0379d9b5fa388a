"""Train, resume, evaluate and predict: the verbs of the segmentation task."""

from pathlib import Path

from i2pemd_lite.files import BadInput, Problems
from i2pemd_lite.report import Report
from i2pemd_lite.segmentation.data import CLASSES, MODALITIES, Dataset, Scan, load
from i2pemd_lite.segmentation.methods import METHODS, ORGANS, SIZES, SegmentationSettings, Segmenter, doc_table, summary
from i2pemd_lite.segmentation.prepare import Prepared, prepare, prepare_case, to_source_grid, write_labels
from i2pemd_lite.training import Run, read_settings, settings_for


def train(method, data=None, profile=None, seed=0, folder=None, **settings):
    """A run of one method, not started yet: iterate over it, or call `.finish()`.

    Parameters
    ----------
    method : a key of `METHODS`
    data : what `load` or `prepare` gave; None: `load()`
    profile : "ci", "laptop" or "gpu"; None: the one that `I2PEMD_PROFILE` names
    folder : where to keep the run; None: in memory only
    settings : any of `SegmentationSettings`, such as steps=100 or weight=0.5

    Returns
    -------
    Run

    Raises
    ------
    BadInput
        for an unknown method, profile or setting, and for data that cannot be used
    """
    chosen = settings_for(SegmentationSettings, SIZES, method, METHODS, profile, seed, settings)
    return Run(Segmenter(chosen, _prepared(data, chosen.geometry)), folder)


def resume(folder, data=None):
    """The run kept in `folder`, at its last checkpoint, ready to go on.

    `data` is looked for where the run had it, unless given. Raises `BadInput` when it is not the data that the run was
    trained on, or the folder holds no whole run.
    """
    about = read_settings(folder, "segmentation")
    settings = SegmentationSettings().changed(**about["settings"])
    prepared = _prepared(data or load(about["data"]["folder"]), settings.geometry)
    if prepared.fingerprint != about["data"]["fingerprint"]:
        raise BadInput(
            f"{folder}: expected the data of fingerprint {about['data']['fingerprint']}, found {prepared.fingerprint} "
            f"in {about['data']['folder']}; give the data that the run was trained on"
        )
    return Run.load(Segmenter(settings, prepared), folder)


def evaluate(run):
    """DOC in percent on the held-back cases, as a `Report`: a row each for CT, MR and both, the organs as columns.

    `report.cases` lists every case. With a run folder, report.json is written there.
    """
    with run.learner.evaluating():
        rows = doc_table(run.learner, run.learner.test_cases)
    figures = summary(rows)
    table = [
        {"": m.upper(), **{organ: figures[f"{m} {organ}"] for organ in ORGANS}, "mean": figures[m]} for m in MODALITIES
    ]
    columns = [[row[name] for row in table] for name in (*ORGANS, "mean")]
    table.append({"": "both", **{n: sum(c) / 2 for n, c in zip((*ORGANS, "mean"), columns, strict=True)}})
    missing = sum(value != value for row in rows for value in row.values())
    about = {
        "method": run.settings.method,
        "profile": run.settings.profile,
        "seed": run.settings.seed,
        "steps": run.number,
        "seconds": round(run.seconds),
        "data": run.learner.data.name,
        "held-back cases": len(rows),
        "organs in neither truth nor prediction": missing,
    }
    report = Report("Dice overlap (DOC, %) on held-back cases", table, about)
    report.cases, report.figures = rows, figures
    if run.folder is not None:
        report.save(run.folder / "report.json")
    return report


def predict(run, images=None, out="out/segmentation", progress=True):
    """Label maps for scans without labels, as NIfTI on each scan's own grid: out/ct/NAME.nii.gz, out/mr/NAME.nii.gz.

    Parameters
    ----------
    images : a folder that `load` reads (its scans without labels, or all if every one has some), a `Dataset`, or a
        list of `Scan`; None: the unlabelled scans of the run's data
    out : folder to write to

    Returns
    -------
    list of the files written. A scan that cannot be used does not stop the others; they are reported together at the
    end as a `BadInput`, whose attribute `written` is that list.
    """
    from tqdm.auto import tqdm

    out, problems, written = Path(out), Problems("the scans to predict"), []
    for scan in tqdm(_scans(run, images), desc="predict", unit="scan", disable=not progress):
        with problems.collect(scan.name), run.learner.evaluating():
            case = prepare_case(scan, run.settings.geometry)
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


def _scans(run, images):
    if images is None and run.learner.data.dataset is None:
        raise BadInput("images: expected scans to predict, found none, and the run was trained from a bare cache")
    found = run.learner.data.dataset if images is None else images
    found = load(found) if isinstance(found, str | Path) else found
    scans = (found.unlabelled or found.scans) if isinstance(found, Dataset) else list(found)
    if not scans or not all(isinstance(scan, Scan) for scan in scans):
        raise BadInput("images: expected a folder, a Dataset or a list of Scan with at least one scan, found none")
    return scans


def _prepared(data, geometry):
    data = load() if data is None else load(data) if isinstance(data, str | Path) else data
    if not isinstance(data, Dataset | Prepared):
        raise BadInput(f"data: expected what load() or prepare() gave, found {type(data).__name__}")
    if isinstance(data, Dataset):
        return prepare(data, geometry)
    if data.geometry != geometry:
        raise BadInput(f"data: expected volumes prepared with {geometry}, found {data.geometry}; pass load()'s result")
    return data


__all__ = ["CLASSES", "METHODS", "evaluate", "predict", "resume", "train"]
