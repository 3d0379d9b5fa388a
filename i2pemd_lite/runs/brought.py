"""Runs that come with the course, in data/runs: taken up instead of a training with the same settings on the same data.

Such a run is the folder of one that was trained (store.py), made small. It has no state of the optimiser, so it cannot
go on. Its weights are rounded to a byte each, or left out: then it knows the answers that were kept of it, no others.
"""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import torch

from i2pemd_lite import __version__, files
from i2pemd_lite.files import BadInput
from i2pemd_lite.runs import moments, store

NEAR = 1e-3  # is the same set: another processor, which rounds otherwise, draws it with another fingerprint
FEW = 3000  # weights: smaller kernels stay as they are, as to round those of the first layer cost a point of an organ
AXES, VARIANCE = 64, 0.999  # features with more axes are kept along those that hold so much of their variance


_required = False


@contextlib.contextmanager
def required(yes=True):
    """Inside, what cannot be brought is a `BadInput`, and nothing is trained in its place."""
    global _required
    _required, before = yes, _required
    try:
        yield
    finally:
        _required = before


def place(name):
    """Where the runs of a name lie."""
    return files.root() / "data" / "runs" / name


def names(name):
    """What the runs there are called."""
    return sorted(path.parent.name for path in place(name or "").glob("*/settings.json"))


def came(folder):
    """Whether the run in a folder came with the course."""
    with contextlib.suppress(BadInput):
        return store.read_checkpoint(folder, tensors=False)[0].get("brought", False)
    return False


def bring(task, name, data, folder, wanted):
    """Copy runs that come with the course, as {name of a run: its settings, None for a fork of another one}, into a
    folder; whether that could be, which a line says.

    None is copied where one was trained by another version, with other settings or on other data, or is damaged.
    name : of their folder in data/runs; None: there are none;  data : what is prepared here
    """
    try:
        found = name and {each: _read(task, name, each, data, wanted) for each in wanted}
    except BadInput as why:
        if _required:
            raise
        print(f"{why}. So nothing is brought, and the runs are trained here.")
        found = None
    if not found:
        return False
    for each, (about, tensors, said) in found.items():
        shutil.copytree(place(name) / each, Path(folder) / each, dirs_exist_ok=True)
        files.write_json(Path(folder) / each / "settings.json", said)
        store.write_checkpoint(Path(folder) / each, unrounded(tensors), about)
    made = f"version {__version__} trained them on {said['profile'].get('device')}, with threads: {said.get('threads')}"
    print(f"These {len(found)} runs come with the course: {made}. To train them yourself, write None instead of "
          f'"{name}", and run the lesson from its first cell, which says how long that takes.')  # fmt: skip
    return True


def _read(task, name, each, data, wanted):
    """(what the checkpoint of a run says, its tensors, what its settings.json is to say); `BadInput` where it is of no
    use here."""
    origin, here = place(name) / each, f"data/runs/{name}/{each}"
    said, settings = store.read_about(origin), wanted[each]
    if (by := said.get("versions", {}).get("i2pemd_lite")) != __version__:
        raise BadInput(f"{here}: expected a run of version {__version__}, found one of {by}")
    theirs, trained_on = task.settings_of(origin), said["data"]
    if settings is None and theirs not in wanted.values():
        others = ", ".join(other for other in wanted if wanted[other])
        raise BadInput(f"{here}: expected a fork of one of {others}, found a run that began with other settings")
    for setting, value in vars(settings or theirs).items():
        if (own := getattr(theirs, setting)) != value:
            raise BadInput(f"{here}: expected a run with {setting} {value}, found one with {own}")
    sketch = trained_on.get("sketch", [])
    if len(sketch) != len(data.sketch) or not np.allclose(sketch, data.sketch, NEAR, NEAR):
        raise BadInput(f"{here}: expected a run on the data that are here, found one on others")
    about, tensors = store.read_checkpoint(origin)
    store.read_tables(origin, about["number"], about["tables"])
    moments.read(origin, about["number"])
    folder = str(Path((getattr(data, "dataset", None) or data).folder).resolve())
    return about, tensors, said | {"data": trained_on | {"folder": folder, "fingerprint": data.fingerprint}}


def ship(run, name, *keep):
    """Write a run that lies in its folder small into data/runs; `keep` names what it needs of "weights", "answers",
    "moments" and "reports"."""
    origin, folder = run.folder, place(name) / run.folder.name
    shutil.rmtree(folder, ignore_errors=True)
    about, tensors = store.read_checkpoint(origin)
    if "best" in about and about.pop("best")[1] != run.number:
        raise BadInput(f"{origin}: expected a run whose last weights are its best, found those of an earlier step")
    part = "learner." if "weights" in keep else "learner.bank."
    tensors = {name: x for name, x in tensors.items() if name.startswith(part)}
    if "answers" in keep:
        tensors |= {f"kept.{name}": x for name, x in run.learner.to_keep().items()}
    store.write_checkpoint(folder, rounded(tensors), about | {"brought": True})
    for file in [*store.TABLES, *("report.json", "scores.csv") * ("reports" in keep)]:
        if (origin / file).exists():
            shutil.copy(origin / file, folder)
    for moment in thinned(run.moments) if "moments" in keep else ():
        moments.write(folder, moment)
    said, sketch = store.read_about(origin), [float(f"{number:.6g}") for number in run.learner.data.sketch]
    files.write_json(folder / "settings.json", said | {"data": said["data"] | {"folder": "", "sketch": sketch}})


def rounded(tensors):
    """Large kernels as whole numbers up to 127, with a unit for each of their first axis."""
    kernels = {name: w for name, w in tensors.items() if w.ndim > 2 and w.numel() > FEW and name.startswith("learner.")}
    units = {name: w.abs().flatten(1).amax(1).clamp(min=1e-30) / 127 for name, w in kernels.items()}
    found = {name: (w / _along(units[name], w)).round().to(torch.int8) for name, w in kernels.items()}
    return tensors | found | {f"{name} unit": unit for name, unit in units.items()}


def unrounded(tensors):
    """What `rounded` gave, in float32."""
    units = {name.removesuffix(" unit"): unit for name, unit in tensors.items() if name.endswith(" unit")}
    return {name: x * _along(units[name], x) if name in units else x for name, x in tensors.items()
            if not name.endswith(" unit")}  # fmt: skip


def _along(unit, w):
    return unit.reshape(-1, *[1] * (w.ndim - 1))


def thinned(kept):
    """Moments whose features have many axes, along those of their largest variance: the plane in which they vary most,
    and what is drawn in it, stay as they are."""
    features = np.concatenate([moment.features for moment in kept]).astype(np.float32)
    if features.shape[1] <= AXES:
        return kept
    mean = features.mean(0)
    _, s, axes = np.linalg.svd(features - mean, full_matrices=False)
    axes = axes[: 1 + np.searchsorted((s**2).cumsum() / (s**2).sum(), VARIANCE)].T
    return [moment._replace(features=((moment.features - mean) @ axes).astype(np.float16),
                            prototypes=(moment.prototypes - mean) @ axes) for moment in kept]  # fmt: skip
