"""Finished runs, as the tables need them: trained where they are missing, read where they are there."""

import dataclasses
import importlib.util
import math
from pathlib import Path

from i2pemd_lite.files import BadInput, Problems, read_json
from i2pemd_lite.segmentation.evaluate import TASK, evaluate
from i2pemd_lite.segmentation.scores import DISTANCES, summary
from i2pemd_lite.segmentation.settings import SegmentationSettings
from i2pemd_lite.training import read_about, read_checkpoint

FREE = ("method", "seed", "profile", "precision", "evaluate_every", "checkpoint_every")
"""Settings that neither make a run another one than the paper's nor another one than asked for."""
CROPS = ("organs", "z")
"""Values of `crop` with which a run can have the paper's setting; see `label`."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What the tables take from a finished run.

    figures : means of DOC by name, as `scores.summary` gives them
    distances : means over cases and organs in mm, "ct assd", "mr hd95", …; empty where MONAI was missing
    missing : number of organs that a held-back case lacks, in its truth or in its prediction
    about : what report.json says under its table
    evaluations, history : the rows of the two tables of the run; `history` has the loss curves of Figure 6 (b)
    data : "real" or "synthetic"; `fingerprint` that of the prepared volumes
    """

    folder: Path
    settings: SegmentationSettings
    data: str
    fingerprint: str
    figures: dict
    distances: dict
    missing: int
    about: dict
    evaluations: list
    history: list

    @property
    def name(self):
        """(method, seed)."""
        return self.settings.method, self.settings.seed


def label(settings, data):
    """What a row is worth beside the paper's: "paper's setting", "scaled down" or "synthetic"; or a preset's name.

    A run on synthetic scans is "synthetic". One on real scans has the paper's setting where all settings are those of
    its preset at full size but `FREE`, which say who runs it, in which precision, and how often one looks. `crop` may
    be "organs", the paper's protocol, whose cut in-plane takes the truth of held-back scans for granted; or "z", the
    default, which makes the task harder and so flatters nobody; the tables say which. Everything else is "scaled down",
    whatever it changes. A preset other than the paper's has its own name at full size.

    Example
    -------
    >>> paper_size = SegmentationSettings(method="joint", seed=2, crop="organs")
    >>> label(paper_size, "real"), label(paper_size.changed(width=8), "real"), label(paper_size, "synthetic")
    ("paper's setting", 'scaled down', 'synthetic')
    """
    if data == "synthetic":
        return "synthetic"
    full = TASK.settings_for(settings.method, "gpu", changes={"preset": settings.preset})
    if settings.crop not in CROPS or differences(settings, full.changed(crop=settings.crop)):
        return "scaled down"
    return "paper's setting" if settings.preset == "paper" else settings.preset


def differences(settings, others, free=FREE):
    """{name: (value, other value)} where two settings differ but for the `free` ones.

    Example
    -------
    >>> differences(SegmentationSettings(seed=1, dim=8), SegmentationSettings())
    {'dim': (8, 32)}
    """
    one, other = dataclasses.asdict(settings), dataclasses.asdict(others)
    return {name: (one[name], other[name]) for name in one if one[name] != other[name] and name not in free}


def begun(place):
    """Whether the folder holds a run that can be resumed."""
    return (Path(place) / "checkpoint.safetensors").is_file()


def check_folders(wanted, data):
    """Raise one `BadInput` that lists the folders which hold another run than the one that is wanted there.

    wanted : {folder: settings};  data : `Prepared`
    """
    problems = Problems("the folders of runs")
    for place in filter(begun, wanted):
        with problems.collect():
            source = read_about(place)["data"]
            if source["fingerprint"] != data.fingerprint:
                found = f"one on {source['name']} scans from {source['folder']}, or prepared in another way"
                problems.add(place, "a run on the data asked for", found, "choose another folder")
            there = TASK.settings().changed(**read_checkpoint(place)[0]["settings"])
            if found := in_words(differences(there, wanted[place]), "instead of"):
                problems.add(place, "a run with the settings asked for", found, "choose another folder")
    problems.raise_if_any()


def in_words(found, beside):
    """What `differences` found, as text.

    Example
    -------
    >>> in_words({"dim": (8, 32)}, "beside")
    'dim 8 beside 32'
    """
    return ", ".join(f"{name} {one} {beside} {other}" for name, (one, other) in found.items())


def trained(place, settings, data, progress=True):
    """The `Result` of the run in a folder, begun where there is none and trained to its end where it is not."""
    if begun(place):
        run = TASK.resume(place, data)
    else:
        own = ("method", "profile", "seed")
        changes = {name: value for name, value in dataclasses.asdict(settings).items() if name not in own}
        run = TASK.train(settings.method, data, settings.profile, settings.seed, place, **changes)
    if run.number < len(run):
        evaluate(run.finish(progress))
    return result(run)


def finished(folders, data=None):
    """The `Result` of each folder; see `tables.from_runs`."""
    results, prepared, problems = [], {}, Problems("the folders of runs")
    for place in map(Path, folders):
        with problems.collect():
            about = read_about(place)
            settings, source = TASK.settings().changed(**about["settings"]), data or about["data"]["folder"]
            key = str(source), settings.geometry
            if key not in prepared:
                prepared[key] = TASK.prepared(source, settings)
            run = TASK.resume(place, prepared[key])
            if run.number < len(run):
                raise BadInput(f"{place}: expected {len(run)} steps, found {run.number}; resume it, or leave it out")
            results.append(result(run))
    problems.raise_if_any()
    return results


def result(run):
    """The `Result` of a run in a folder, from its report.json where that tells all."""
    path = run.folder / "report.json"
    content = read_json(path) if path.is_file() else {}
    if not _tells_all(content, run.number):
        content = evaluate(run).content()
    cases = [{name: math.nan if value is None else value for name, value in row.items()} for row in content["cases"]]
    fields = {title: field for field, title in DISTANCES.items()}
    distances = {
        f"{row[''].lower()} {fields[row['distance']]}": math.nan if row["mean"] is None else row["mean"]
        for row in content["surfaces"]["rows"]
    }
    source = run.learner.source()
    return Result(
        run.folder,
        run.settings,
        source["name"],
        source["fingerprint"],
        summary(cases),
        distances,
        len(content["missing"]),
        content["about"],
        run.evaluations,
        run.history,
    )


def _tells_all(content, number):
    measured = content.get("surfaces", {}).get("rows") or importlib.util.find_spec("monai") is None
    return bool("cases" in content and measured and content["about"].get("steps") == number)
