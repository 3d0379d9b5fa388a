"""Runs that come with the course, in data/runs: taken up instead of a training with the same settings on the same data.

Such a run is the folder of one that was trained (store.py), made small. It has no state of the optimiser, so it cannot
go on. Its weights are rounded to a byte each, or left out: then it knows the answers that were kept of it, no others.
"""

import contextlib
import shutil
import tempfile
from pathlib import Path

import numpy as np

from i2pemd_lite import __version__, files
from i2pemd_lite.files import BadInput
from i2pemd_lite.runs import moments, store

NEAR = 1e-3  # is the same set: another processor, which rounds otherwise, draws it with another fingerprint
AXES = 64  # features with more are kept along those of their largest variance
MARK = {"brought": "with the course"}  # in what report.json says of such a run
required = False  # whether what cannot be brought is a `BadInput`, so that nothing is trained in its place


def place(name):
    """Where the runs of a name lie."""
    return files.root() / "data" / "runs" / name


def shipped(folder):
    """Whether a folder is one of those there, which are only read."""
    return Path(folder).resolve().is_relative_to(place("").resolve())


def names(name):
    """What the runs there are called."""
    return sorted(path.parent.name for path in place(name or "").glob("*/settings.json"))


def came(folder):
    """Whether the run in a folder came with the course."""
    with contextlib.suppress(BadInput):
        return store.read_checkpoint(folder, tensors=False)[0].get("brought", False)
    return False


def bring(task, name, data, folder, wanted):
    """The runs that come with the course, {name: Run}, copied into a folder (None: they stay in memory); none where one
    was trained by another version, with other settings or on other data, or is damaged. A line says which.

    name : of their folder in data/runs; None: none are wanted;  data : what is prepared here
    wanted : {name of a run: its settings, None for a fork of another one}
    """
    if not name:
        return {}
    with tempfile.TemporaryDirectory() as there:
        try:
            if not place("").is_dir():
                raise BadInput("This installation comes without trained runs")
            runs = {}
            for each in wanted:
                said = _copy(task, name, each, data, wanted, Path(there) / each)
                runs[each] = task.resume(Path(there) / each, data)
                runs[each].folder = folder and Path(folder) / each
        except BadInput as why:
            if required:
                raise
            why = str(why).replace(there, f"data/runs/{name}").replace(str(place("")), "data/runs")
            print(f"{why}. So nothing is brought, and the runs are trained here.")
            return {}
        if folder:
            shutil.copytree(there, folder, dirs_exist_ok=True)
    threads, on = said.get("threads"), "CPU" if said["profile"].get("device") == "cpu" else "GPU"
    print(f"These {len(runs)} runs come with the course. They were trained with version {__version__}, on a {on} with "
          f"{threads} thread{'s' * (threads != 1)}. To train them yourself, write None instead of "
          f'"{name}", and run the lesson from its first cell, which says how long that takes.')  # fmt: skip
    return runs


def _copy(task, name, each, data, wanted, to):
    """Write a run into a folder as one that was trained on these data -> what its settings.json says; `BadInput` where
    it is of no use here."""
    origin = place(name) / each
    said, theirs, roots = store.read_about(origin), task.settings_of(origin), [*filter(None, wanted.values())]
    settings, trained_on = wanted[each] or (theirs if theirs in roots else roots[0]), said["data"]
    if (by := said.get("versions", {}).get("i2pemd_lite")) != __version__:
        raise BadInput(f"{origin}: expected a run of version {__version__}, found one of {by}")
    for setting, value in vars(settings).items():
        if (own := getattr(theirs, setting)) != value:
            raise BadInput(f"{origin}: expected a run with {setting} {value}, found one with {own}")
    if not alike(trained_on.get("sketch", []), data):
        raise BadInput(f"{origin}: expected a run on the data that are here, found one on others")
    about, tensors = store.read_checkpoint(origin)
    for path in filter(Path.is_file, origin.rglob("*")):  # not copytree: of a folder that one may not write to
        (to / path.relative_to(origin)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to / path.relative_to(origin))
    folder = str(Path((getattr(data, "dataset", None) or data).folder).resolve())
    here = {"folder": folder, "fingerprint": data.fingerprint}
    files.write_json(to / "settings.json", said | {"data": trained_on | here})
    store.write_checkpoint(to, tensors, about)
    return said


def ship(run, name, *keep):
    """Write a run that lies in its folder small into data/runs; `keep` names what it needs of "weights", "answers",
    "moments" and "reports"."""
    origin, folder = run.folder, place(name) / run.folder.name
    about, tensors = store.read_checkpoint(origin)
    if "weights" in keep and about.pop("best", (0, run.number))[1] != run.number:
        raise BadInput(f"{origin}: expected a run whose last weights are its best, found those of an earlier step")
    shutil.rmtree(folder, ignore_errors=True)
    part = "learner." if "weights" in keep else "learner.bank."
    tensors = {name: x for name, x in tensors.items() if name.startswith(part)}
    if "answers" in keep:
        tensors |= {f"kept.{name}": x for name, x in run.learner.to_keep(run.best_weights).items()}
    store.write_checkpoint(folder, store.rounded(tensors), about | {"brought": True})
    for file in [*store.TABLES, *["scores.csv"] * ("reports" in keep)]:
        if (origin / file).exists():
            shutil.copy(origin / file, folder)
    if "reports" in keep:
        report = files.read_json(origin / "report.json", {"about": dict})
        report["about"] |= MARK
        files.write_json(folder / "report.json", files.hashed({k: v for k, v in report.items() if k != "hash"}))
    for moment in thinned(run.moments) if "moments" in keep else ():
        moments.write(folder, moment)
    said, there = store.read_about(origin), {"folder": "", "sketch": sketched(run.learner.data)}
    files.write_json(folder / "settings.json", said | {"data": said["data"] | there})


def sketched(data):
    """The numbers by which the same data are known on another processor, as they are written down."""
    return [float(f"{number:.6g}") for number in data.sketch]


def alike(sketch, data):
    """Whether a sketch that was written down is that of these data, but for what processors differ in."""
    return len(sketch) == len(data.sketch) and np.allclose(sketch, data.sketch, NEAR, NEAR)


def thinned(kept):
    """Moments whose features have many axes, along those of their largest variance: the plane in which they vary most,
    and what is drawn in it, stay as they are."""
    features = np.concatenate([moment.features for moment in kept]).astype(np.float32)
    if features.shape[1] <= AXES:
        return kept
    mean = features.mean(0)
    axes = np.linalg.svd(features - mean, full_matrices=False)[2][:AXES].T
    return [moment._replace(features=((moment.features - mean) @ axes).astype(np.float16),
                            prototypes=(moment.prototypes - mean) @ axes) for moment in kept]  # fmt: skip
