"""Moments of a training: what the representation was at some of its steps, small enough to keep them all.

A run keeps one before its first step and one at each evaluation, as `moments/000120.safetensors` in its folder. The
features are those of a probe, a few held-back instances of each class that stay the same for the whole run.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2pemd_lite.files import BadInput, read_arrays, write_arrays

FORMAT = 1  # of the files; one of another number is refused


class Moment(NamedTuple):
    """The state of the representation after `step` steps."""

    step: int
    prototypes: np.ndarray  # (K, d) float32: c_k of Eq. 10, 20; zeros where not `seen`
    seen: np.ndarray  # (K,) bool
    ground: np.ndarray  # (K, K) float32: G of Eq. 5; zeros until every class was seen
    features: np.ndarray  # (n, d) float16: F of the probe
    labels: np.ndarray  # (n,) uint8: its classes
    groups: np.ndarray  # (n,) uint8: its modalities, 0 where the task has one


KINDS = {
    "prototypes": "float32 K d", "seen": "bool K", "ground": "float32 K K", "features": "float16 n d",
    "labels": "uint8 n", "groups": "uint8 n",
}  # fmt: skip


def moment(step, bank, probe):
    """The `Moment` of a prototype bank and of what `Learner.probe` gives: features, labels, groups."""
    tensors = (bank.prototypes.float(), bank.seen, bank.ground_distance().float(), probe[0].half(), *probe[1:])
    arrays = [tensor.detach().cpu().numpy().copy() for tensor in tensors]
    return Moment(step, *arrays[:4], *(codes.astype(np.uint8) for codes in arrays[4:]))


def write(folder, moment):
    """Write a moment to the run's folder, whole or not at all."""
    arrays = {name: np.ascontiguousarray(array) for name, array in moment._asdict().items() if name != "step"}
    notes = {"moment": json.dumps({"step": moment.step, "format": FORMAT})}
    write_arrays(Path(folder) / "moments" / f"{moment.step:06d}.safetensors", arrays, notes)


def paths(folder):
    """The moments in a run's folder, {step: path} in the order of training; none where an older version trained it."""
    files = (Path(folder) / "moments").glob("*.safetensors")
    return dict(sorted((int(file.stem), file) for file in files if file.stem.isdigit()))


def read(folder, last):
    """The moments of the run in `folder` up to step `last`: those of later ones belong to no checkpoint."""
    moments, do = [], "delete the file, and the run is shown and goes on without it"
    for step, path in paths(folder).items():
        if step > last:
            break
        form = {"step": step, "format": FORMAT}
        arrays, _ = read_arrays(path, "a moment of a run", do, KINDS, form, "moment", "np")
        moments.append(Moment(step, **{name: arrays[name] for name in KINDS}))
        first, here = moments[0], moments[-1]
        if here.features.shape != first.features.shape or here.prototypes.shape != first.prototypes.shape:
            expected, found = f"features {first.features.shape} as at step {first.step}", here.features.shape
            raise BadInput(f"{path}: expected {expected}, found {found}, of another run; delete the file")
    return moments
