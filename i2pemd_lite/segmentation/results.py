"""What the tables take from a finished run, and what it is worth beside the paper's."""

import dataclasses
import math
from pathlib import Path

from i2pemd_lite.files import read_json
from i2pemd_lite.segmentation.methods import METHODS
from i2pemd_lite.segmentation.report import DISTANCES, summary
from i2pemd_lite.segmentation.settings import SETTINGS, SegmentationSettings
from i2pemd_lite.segmentation.task import TASK, evaluate
from i2pemd_lite.tables.choices import changed

CROPS = ("organs", "z")
"""Values of `crop` with which a run can have the paper's setting; see `label`."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What the tables take from a finished run.

    settings : of the run, with the precision that it had in place of "auto"
    figures : means of DOC by name, as `scores.summary` gives them
    distances : means over cases and organs in mm, "ct assd", "mr hd95", …
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


def label(settings, data):
    """What a row is worth beside the paper's: "paper's setting", "scaled down" or "synthetic"; or a preset's name.

    A run on synthetic scans is "synthetic", one on noise "noise". One on real scans has the paper's setting where
    all settings are those of its preset at full size but those that the paper leaves open (`settings.SETTINGS`; the
    tables say which of them are others than here, bfloat16 among them) and `results.FREE`, which say who runs it
    and how often one looks. `crop` may be "organs", the paper's protocol, whose cut in-plane takes the truth of
    held-back scans for granted; or "z", the default, which makes the task harder and so flatters nobody; the tables
    say which. Everything else is "scaled down", whatever it changes. A preset other than the paper's has its own
    name at full size.

    Example
    -------
    >>> paper_size = SegmentationSettings(method="joint", seed=2, crop="organs")
    >>> label(paper_size, "real"), label(paper_size.changed(width=8), "real"), label(paper_size, "synthetic")
    ("paper's setting", 'scaled down', 'synthetic')
    """
    if data in ("synthetic", "noise"):
        return data
    full = TASK.settings_for(settings.method, "gpu", changes={"preset": settings.preset})
    absent = METHODS[settings.method].ground and settings.weight == 0  # λ is open, but not whether there is I2PEMD
    if absent or settings.crop not in CROPS or changed(settings, full.changed(crop=settings.crop), SETTINGS)[0]:
        return "scaled down"
    return "paper's setting" if settings.preset == "paper" else settings.preset


def read(run):
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
        run.settings.changed(precision=run.profile.precision),
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
    measured = content.get("surfaces", {}).get("rows")
    return bool("cases" in content and measured and content["about"].get("steps") == number)
