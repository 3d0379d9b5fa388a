"""Train, resume, evaluate and predict: the verbs of the segmentation task."""

import contextlib
import dataclasses
import functools
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from i2pemd_lite.device import told
from i2pemd_lite.files import BadInput, Problems, grouped, unlike_file
from i2pemd_lite.runs.run import Run
from i2pemd_lite.runs.task import Asked, Task, evaluated, signed
from i2pemd_lite.segmentation.data import Dataset, Scan, find_scans, holds_scans, load, split
from i2pemd_lite.segmentation.layout import write_nifti, write_seg
from i2pemd_lite.segmentation.learner import Segmenter
from i2pemd_lite.segmentation.methods import METHODS
from i2pemd_lite.segmentation.prepare import Prepared, prepare, prepare_case, to_source_grid
from i2pemd_lite.segmentation.report import Evaluation, score
from i2pemd_lite.segmentation.settings import PRESETS, SegmentationSettings
from i2pemd_lite.tables.results import differences, in_words
from i2pemd_lite.text import bar


def _prepare(data, settings):
    train = [scan.name for scan in split(data, settings.test, settings.split_seed)[0]]
    return prepare(data, settings.geometry, train=train)


@dataclasses.dataclass
class _Asked(SegmentationSettings, Asked):

    method: str = dataclasses.field()
    data: Dataset | Prepared | Path | str | None = None
    profile: str | None = None


TASK = Task("segmentation", SegmentationSettings, Segmenter, METHODS, PRESETS, load, dataset=Dataset, ready=Prepared,
            prepare=_prepare, things="scans", prepared_by="geometry", listing="prepared.json",
            goals=("doc", "ct", "mr"), asked=_Asked)  # fmt: skip
train, resume = signed(TASK.train, _Asked), TASK.resume


def evaluate(run: Run, stress: bool = False) -> Evaluation:
    """DOC in percent and distances of surfaces in mm on the held-back cases, as an `Evaluation`, which is a `Report`.

    A row each for CT, MR and both, the organs as columns, and the worst organ of a case. `.cases` lists every case,
    `.below["surfaces"]` are the distances as a table of their own, `.missing` names the organs that a case lacks,
    `.confusion` counts what was taken for what, `.figures` are the means by name.
    stress: also on unusual scans made from them (`stress.STRESS`), as `.below["stress"]`; four times as many scans.
    With a run folder, report.json is written there.
    """
    return evaluated(run, functools.partial(score, stress=stress))


@told()
def predict(
    run: Run, images: Dataset | Sequence[Scan] | Path | str | None = None, out: Path | str = "out/segmentation",
    modality: str | None = None, progress: bool = True, seg: bool = False, others: Sequence[Run] = ()
) -> list[Path]:  # fmt: skip
    """Label maps for scans without labels, as NIfTI on each scan's own grid: out/ct/NAME.nii.gz, out/mr/NAME.nii.gz.

    images: a folder that `load` reads (its scans without labels, or all if every one has some), a folder of DICOM
    series (CT and MR; files of any name, also in subfolders), a `Dataset`, or a list of `Scan`; None: the unlabelled
    scans of the run's data. A label, where there is one, is not looked at. modality: "ct" or "mr", of a NIfTI file or a
    folder that just holds such, also in subfolders, or of those DICOM series that alone are meant. seg: write each
    label map of a DICOM series as DICOM SEG too, NAME.dcm, for which highdicom has to be installed. others: runs on the
    same grid, such as those of other seeds, whose probabilities are averaged with the run's.

    A DICOM series is named by its number and description, or by its UID; what else lies in a folder that just holds
    scans, localizers too, is named on stderr.
    Returns the list of the files written. A scan that cannot be used does not stop the others; they are reported
    together at the end as a `BadInput`, whose attribute `written` is that list.
    Raises `BadInput` besides, before anything is written: for no scans, for two whose label maps would have one name,
    for others whose scans are prepared in another way, and for an `out` that cannot be written to or would put the
    label maps among the scans.
    """
    _expect_alike(run, others)
    if seg and not importlib.util.find_spec("highdicom"):
        raise BadInput("seg: expected highdicom, which writes DICOM SEG, found none; pip install highdicom")
    problems, written, assumed = Problems("the scans to predict"), [], {}
    scans = _scans(run, images, modality, problems, Path(out))
    if seg and (files := [str(scan.image) for scan in scans if not scan.image.is_dir()]):
        raise BadInput(f"seg: expected DICOM series, to which DICOM SEG refers, found {files[0]}; leave seg out")
    paths = _paths(scans, Path(out))
    for scan, path in bar(list(zip(scans, paths, strict=True)), "predicting", "scan", shown=progress):
        try:
            moments = (run.learner.data.moments or {}).get(scan.modality)
            case = prepare_case(dataclasses.replace(scan, label=None), run.settings.geometry, moments)
            with contextlib.ExitStack() as stack:
                for each in (run, *others):
                    stack.enter_context(each.learner.evaluating())
                p = run.learner.probabilities(case, *(each.learner for each in others))
            labels, affine = to_source_grid(p, case)
            if case.source.assumed:
                assumed[scan.name] = f"assumed: {case.source.assumed}"
            write_nifti(path, labels, affine, like=scan.image if scan.image.is_file() else None)
            written.append(path)
            if seg:
                written.append(write_seg(path.with_name(f"{path.name.removesuffix('.nii.gz')}.dcm"), labels,
                                         scan.image_files()))
        except BadInput as error:
            problems.found.append(f"{scan.name}: {error}")
        except Exception as error:  # a file that is not what it seems makes numpy, torch or the system raise anything
            found = f"{type(error).__name__}: {error}"
            problems.add(f"{scan.name}: {scan.image}", "a scan that can be predicted", found)
    print("".join(f"{words}\n" for words in grouped(assumed)), end="", file=sys.stderr)
    problems.raise_if_any(written)
    return written


def _expect_alike(run, others):
    """Raise `BadInput` for what is no other run, or one whose scans are prepared in another way."""
    if isinstance(others, Run) or not all(isinstance(getattr(each, "learner", None), Segmenter) for each in others):
        raise BadInput("others: expected a list of runs of segmentation, found something else; write others=[a, b]")
    if len({each.folder or id(each) for each in (run, *others)}) <= len(others):
        raise BadInput("others: expected each run once, found one twice; leave it out")
    for each in others:
        found = in_words(differences(each.settings.geometry, run.settings.geometry), "instead of")
        if run.settings.normalise == "modality" and each.learner.data.moments != run.learner.data.moments:
            found = found or "the mean and variance of other scans"
        if found:
            raise BadInput(f"others: expected runs whose scans are prepared as those of {run.folder}, found {found} in "
                           f"{each.folder}; leave it out")  # fmt: skip


def _paths(scans, out):
    """Where the label map of each scan goes, in folders that are there and can be written to."""
    problems, paths = Problems("the scans to predict"), []
    for scan in scans:
        parts = [part for part in scan.name.split("/") if part != ".."]
        paths.append(out.joinpath(scan.modality, *parts[1:-1], f"{parts[-1]}.nii.gz"))
    names = [str(path).lower() for path in paths]  # which is all that some disks tell apart
    for scan, path in zip(scans, paths, strict=True):
        if names.count(str(path).lower()) > 1:
            problems.add(scan.image, "a name of its own", f"another scan that goes to {path}", "rename one")
        if path.parent.resolve() in {place.parent.resolve() for place in (scan.image, *scan.slices)}:
            problems.add(scan.image, "label maps in another folder", f"them in {path.parent} too", "choose another out")
    problems.raise_if_any()
    for folder in sorted({path.parent for path in paths}):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise BadInput(f"out: expected a folder that can be read and written, found {folder}; choose another")
    return paths


def _scans(run, images, modality, problems, out):
    if isinstance(images, str | Path) and (modality or not holds_scans(images)):
        scans, unused = find_scans(images, problems, modality, out)
        if scans or problems.found:
            print("".join(f"{images}: {words}\n" for words in unused), end="", file=sys.stderr)
            return scans
        if modality or unused:
            expected = "a folder with NIfTI files (.nii, .nii.gz) or DICOM series"
            found = "; ".join(unused) or ("none" if os.path.isdir(images) else unlike_file(images))
            raise BadInput(f"{images}: expected {expected}, found {found}; give the folder of the scans")
    if images is None and run.learner.data.dataset is None:
        raise BadInput("images: expected scans to predict, found none, and the run was trained from a bare cache")
    source = run.learner.data.dataset if images is None else images
    source = load(source, labelled=False) if isinstance(source, str | Path) else source
    scans = (source.unlabelled or source.scans) if isinstance(source, Dataset) else list(source)
    if not scans or not all(isinstance(scan, Scan) for scan in scans):
        raise BadInput("images: expected a folder, a Dataset or a list of Scan with at least one scan, found none")
    return scans
