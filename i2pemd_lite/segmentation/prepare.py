"""Preparing scans for training: one orientation, one voxel size, one field of view, zero mean and unit variance.

The prepared axes are (D, H, W): to Superior, to Posterior, to the patient's Left, so that a slice shown as a picture is
the usual radiological view, the liver on the left of the picture. They follow the scan's own axes, the nearest to these
directions, so that resampling never mixes an oblique stack of thick slices.
"""

import contextlib
import filecmp
import functools
import hashlib
import itertools
import math
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from scipy import ndimage

from i2pemd_lite import compact, files
from i2pemd_lite.device import memory
from i2pemd_lite.files import BadInput, Problems
from i2pemd_lite.runs.sampling import Unchanging
from i2pemd_lite.segmentation.data import Dataset, split
from i2pemd_lite.segmentation.layout import CLASSES, MODALITIES, Grid, class_ids
from i2pemd_lite.text import bar

FORMAT = 1  # counts the changes that make a cache written before of no use
GEOMETRY = {
    "spacing": [float], "size": [int], "crop": str, "ct_window": (None, [float]), "mr_clip": (None, float),
    "min_depth": int, "normalise": str,
}  # fmt: skip
MOMENTS = dict.fromkeys(MODALITIES, (None, [float]))
LISTED = {"name": str, "geometry": GEOMETRY, "cases": [str], "hashes": [str], "moments": MOMENTS}
"""The form of prepared.json, and of two of its parts, which compact files have too."""
NOTES = {"name": str, "geometry": GEOMETRY, "moments": MOMENTS, "cases": [{
    "name": str, "modality": MODALITIES, "affine": [[float]], "lo": float, "scale": float, "shape": [int],
    "moments": [float], "source": {"shape": [int], "affine": [[float]]},
}]}  # fmt: skip
"""The form of what a compact file says."""
CASE = {
    "image": "float32 D H W", "label?": "uint8 D H W", "moments": "float64 3", "affine": "float64 4 4",
    "source_affine": "float64 4 4", "source_shape": "int64 3",
}  # fmt: skip
ABOUT = {"name": str, "modality": MODALITIES, "assumed?": str}
"""What a case consists of in its file, and what its file says of it."""
SLAB = 2**22  # voxels of the source grid whose class is found at once
MARGIN_SLICES, MARGIN_MM = 2, 20.0  # that a crop leaves around the organs, along z and in-plane


@dataclass(frozen=True)
class Geometry:
    """What a prepared scan looks like; the defaults are the paper's sizes.

    spacing     millimetres of a voxel as (z, y, x)
    size        voxels in-plane as (y, x)
    crop        "z": cut along z to the labelled slices and 2 prepared slices more on either side, in-plane centred on
                the image; the whole scan where there is no label. "organs": the paper's protocol, in-plane also cut to
                the labels' bounding box and 20 mm more. "none": no cut. The first two look at the truth of held-back
                scans too, which nobody has of a new one.
    ct_window   Hounsfield units to clip CT to, or None
    mr_clip     quantile of an MR scan's voxels to clip its bright end to, or None
    min_depth   slices at least; scans with fewer are padded
    normalise   "volume": each scan has mean 0 and variance 1. "modality": the training scans of its modality have
                them together.
    """

    spacing: tuple = (8.0, 1.5, 1.5)
    size: tuple = (256, 256)
    crop: str = "z"
    ct_window: tuple | None = (-125.0, 275.0)
    mr_clip: float | None = 0.99
    min_depth: int = 8
    normalise: str = "volume"

    def __post_init__(self):
        for name, (expected, holds) in NEEDS.items():
            try:
                fits = holds(getattr(self, name))
            except TypeError:  # of a word, say
                fits = False
            if not fits:
                raise BadInput(f"{name}: expected {expected}, found {getattr(self, name)!r}")
        for name, kind in (("spacing", float), ("size", int), ("ct_window", float)):
            if (numbers := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(map(kind, numbers)))


NEEDS = {
    "spacing": ("3 lengths from 0.05 to 1000 mm", lambda mm: len(mm) == 3 and all(0.05 <= n <= 1000 for n in mm)),
    "size": ("2 whole numbers of voxels above 0",
             lambda size: len(size) == 2 and all(n > 0 and n % 1 == 0 for n in size)),
    "min_depth": ("a whole number of slices above 0", lambda depth: depth > 0 and depth % 1 == 0),
    "crop": ("'z', 'organs' or 'none'", ("z", "organs", "none").__contains__),
    "normalise": ("'volume' or 'modality'", ("volume", "modality").__contains__),
    "ct_window": ("(low, high) with low < high, or None",
                  lambda hu: hu is None or len(hu) == 2 and -1e9 < hu[0] < hu[1] < 1e9),
    "mr_clip": ("a quantile above 0.5 up to 1, or None", lambda clip: clip is None or 0.5 < clip <= 1),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Case(Unchanging):
    """One prepared scan.

    `image` (D, H, W) float32 and `label` (D, H, W) uint8 or None are torch tensors; `affine` (4, 4) takes (d, h, w, 1)
    to RAS millimetres; `source` is the `Grid` of the scan on disk; `moments` are (voxels, mean, deviation) of the
    scanner units in the field of view, before they were normalised.
    """

    name: str
    modality: str
    image: torch.Tensor
    label: torch.Tensor | None
    affine: np.ndarray
    source: Grid
    moments: tuple

    @functools.cached_property
    def organ_slices(self) -> list[int]:
        """The slices of a labelled case that show an organ, as a list of d."""
        return self.label.flatten(1).any(1).nonzero().flatten().tolist()

    @functools.cached_property
    def organ_voxels(self) -> list[torch.Tensor]:
        """The voxels (n, 3) of each organ that a labelled case shows, as a list."""
        return [where for k in range(1, len(CLASSES)) if len(where := (self.label == k).nonzero().int())]


@dataclass(frozen=True, eq=False)
class Prepared(Unchanging):
    """The prepared cases of a data set.

    `cases` in the data set's order; `geometry`; `fingerprint`, a hash of all voxels; `folder`, the cache or the compact
    file that they lie in; `name`, "real" or "synthetic"; `moments`, each modality's (mean, deviation) over its training
    scans in scanner units; `dataset`, or None where the cache or file alone was opened.
    """

    cases: tuple
    geometry: Geometry
    fingerprint: str
    folder: Path
    name: str
    moments: dict
    dataset: Dataset | None = None

    @property
    def assumed(self) -> dict[str, str]:
        """{name: what was taken to be so of its scan, as the file does not say it}; a compact file has none of this."""
        return {case.name: case.source.assumed for case in self.cases if case.source.assumed}

    @property
    def sketch(self) -> list[float]:
        """Numbers that are nearly the same for the same scans, also where a processor rounds them otherwise: each
        scan's moments, and how many voxels each class has."""
        counts = [sum(int((case.label == k).sum()) for case in self.labelled) for k in range(len(CLASSES))]
        return [number for case in self.cases for number in case.moments] + counts

    @property
    def labelled(self) -> tuple[Case, ...]:
        """The cases that have a label map."""
        return tuple(case for case in self.cases if case.label is not None)

    def save_compact(self, file: Path | str, limit: float = compact.LIMIT) -> str:
        """Write the labelled cases as one compact file, whole or not at all -> what was written, in words.

        Of each volume the nearest of 256 grey levels is kept, lo + scale level, so that it stays within half a level of
        what it was; all else is kept as it is. Raises `BadInput` above `limit` MiB; nothing is written then.
        """
        parts, notes = {}, {"name": self.name, "geometry": asdict(self.geometry), "moments": self.moments, "cases": []}
        for case in self.labelled:
            lo, hi = map(float, case.image.aminmax())
            scale, source = (hi - lo) / 255, {"shape": case.source.shape, "affine": case.source.affine.tolist()}
            notes["cases"].append({
                "name": case.name, "modality": case.modality, "affine": case.affine.tolist(), "lo": lo, "scale": scale,
                "shape": case.image.shape, "moments": case.moments, "source": source,
            })  # fmt: skip
            parts[f"{case.name} image"] = functools.partial(_levels, case.image.numpy(), lo, scale)
            parts[f"{case.name} label"] = case.label.numpy
        size = compact.write(file, "segmentation", notes, compact.packed(parts), limit)
        left = len(self.cases) - len(self.labelled)
        return f"{file}: {len(self.labelled)} labelled scans in {size:.1f} MiB; left out: {left} scans without labels"

    @classmethod
    def open(cls, folder: Path | str, dataset: Dataset | None = None) -> Self:
        """The prepared cases in a cache folder, or in a compact file that `save_compact` wrote, from that alone.

        Raises `BadInput` where it is neither, is not complete, is damaged or was written by another version.
        """
        folder = Path(folder)
        if folder.is_file():
            notes, mark, unpacked = compact.read(folder, "segmentation", NOTES)
            arrays = unpacked()
            cases = tuple(_of_levels(about, arrays) for about in notes["cases"])
            return cls(cases, Geometry(**notes["geometry"]), mark, folder, notes["name"], notes["moments"])
        listed = files.read_json(folder / "prepared.json", {"format": FORMAT} | LISTED)
        hashes = dict(zip(listed["cases"], listed["hashes"], strict=False))
        complete = len(hashes) == len(listed["hashes"]) == len(listed["cases"])
        if not (complete and files.is_whole(listed)):
            found = "other content; prepare the scans again"
            raise BadInput(f"{folder / 'prepared.json'}: expected the list as it was written, found {found}")
        geometry = Geometry(**{name: listed["geometry"][name] for name in GEOMETRY})
        cases = compact.at_once(lambda name: _read_case(folder / _file_name(name), hashes[name]), listed["cases"])
        if geometry.normalise == "modality":
            cases = [_of_modality(case, listed["moments"][case.modality]) for case in cases]
        mark = files.fingerprint(listed["cases"], listed["hashes"], listed["moments"], listed["geometry"])
        return cls(tuple(cases), geometry, mark, folder, listed["name"], listed["moments"], dataset)


def prepare(
    dataset: Dataset, geometry: Geometry | None = None, progress: bool = True, train: Collection[str] | None = None
) -> Prepared:
    """Prepare every scan of `dataset`, once -> `Prepared`.

    The cases are written to the folder of caches, under a name made of the scans' files and `geometry`. What is there
    and whole is not made again, so a preparation that was interrupted goes on where it stopped. `train` names the cases
    that `normalise="modality"` takes its mean and deviation from; None: the training part of `split(dataset)`.

    Raises `BadInput` that lists every scan whose voxels cannot be used, and any class that no label has.
    """
    geometry = geometry or Geometry()
    train = sorted(train or (scan.name for scan in split(dataset)[0]))
    if unknown := set(train) - {scan.name for scan in dataset.scans}:
        raise BadInput(f"train: expected names of scans in {dataset.folder}, found {', '.join(sorted(unknown)[:3])}")
    parts = [part for scan in dataset.scans for part in (scan.name, scan.modality, scan.layout, *scan.files())]
    key = files.fingerprint(FORMAT, asdict(geometry), *parts, *(train if geometry.normalise == "modality" else ()))
    for folder in files.caches("segmentation", key):
        with contextlib.suppress(BadInput):  # it is not there, or not as it was written
            return Prepared.open(folder, dataset)
    _fill(folder, dataset, geometry, progress, train)
    return Prepared.open(folder, dataset)


def prepare_case(scan, geometry, moments=None):
    """Read and prepare one scan, for a prediction -> `Case`. Raises `BadInput` for a scan that cannot be used.

    `moments` is the (mean, deviation) of its modality, from `Prepared.moments`, which `normalise="modality"` needs.
    """
    if geometry.normalise == "modality" and moments is None:
        raise BadInput("moments: expected (mean, deviation) for normalise='modality', found None; see Prepared.moments")
    scan.check()
    image, grid = scan.read_image()
    case = _case(scan, image, scan.read_label(), grid, geometry)
    return _of_modality(case, moments) if geometry.normalise == "modality" else case


def to_source_grid(prediction, case):
    """A prediction for `case` on the voxels of the scan on disk -> (labels (i, j, k) uint8, affine (4, 4)).

    `prediction` is (D, H, W) integer labels, taken from the nearest voxel, or (K, D, H, W) probabilities or logits,
    interpolated for each class, of which the largest is taken. Voxels outside the prepared ones are 0, background.
    Raises `BadInput` for a prediction of another shape, for labels that are no class ids, and for NaN.
    """
    values = prediction.detach().cpu().numpy() if isinstance(prediction, torch.Tensor) else np.asarray(prediction)
    shape = tuple(case.image.shape)
    if values.shape[-3:] != shape or values.ndim not in (3, 4):
        raise BadInput(f"prediction: expected (D, H, W) = {shape} or (K, D, H, W), found {values.shape}")
    if values.ndim == 3:
        values = class_ids(values, "pairs", "prediction")
    elif values.dtype.kind not in "biuf" or np.isnan(values).any():
        raise BadInput(f"prediction: expected numbers, found NaN or {values.dtype}; see what the network was given")
    way = _Way.between(case.affine, case.source.affine, case.source.shape)
    inside = [np.flatnonzero(along) for along in way.within(_whole(shape))]
    labels = np.zeros(case.source.shape, dtype=np.uint8)
    if all(map(len, inside)):
        first = way.offset + way.scale * [along[0] for along in inside]
        labels[np.ix_(*inside)] = way._replace(offset=first, shape=tuple(map(len, inside))).classes(values)
    return labels, case.source.affine


def _case(scan, image, label, grid, geometry):
    """The steps of the preparation, in order: clip, orient and place the grid, blur, resample, fill, normalise."""
    if scan.modality == "ct" and geometry.ct_window is not None:
        np.clip(image, *geometry.ct_window, out=image)
    if scan.modality == "mr" and geometry.mr_clip is not None:
        np.minimum(image, np.quantile(image, geometry.mr_clip).astype(np.float32), out=image)
    target, field = _target(grid, geometry, label)
    way = _Way.between(grid.affine, target.affine, target.shape)
    z, y, x = way.within(field)
    inside = z[:, None, None] & y[:, None] & x
    resampled = way.resampled(way.blurred(image))
    seen = resampled[inside]
    mean, deviation = float(seen.mean(dtype=np.float64)), float(seen.std(dtype=np.float64))
    if not deviation > 0:
        limits = geometry.ct_window if scan.modality == "ct" else f"the {geometry.mr_clip} quantile"
        found = f"the value {mean:g} only; check the scan's units and its modality"
        raise BadInput(f"{scan.image}: expected contrast after clipping to {limits}, found {found}")
    resampled = (np.where(inside, resampled, seen.min()) - np.float32(mean)) / np.float32(deviation)
    if label is not None:
        label = torch.from_numpy((way.resampled(label, order=0) * inside).astype(np.uint8))
        shown = set(label.unique().tolist())
        if not (shown & {1, 2} and shown & {3, 4}):
            words = "its label shows organs of one side only; left and right could not be checked"
            grid = grid._replace(assumed="; ".join(filter(None, [grid.assumed, words])))
    return Case(scan.name, scan.modality, torch.from_numpy(resampled.astype(np.float32)), label, target.affine, grid,
                (seen.size, mean, deviation))


def _target(grid, geometry, label):
    """The prepared `Grid` for a scan on `grid`, and its field of view (3, 2): from and to along each source axis.

    Along one source axis, in its voxels, where a crop has cut to the organs and a margin:

        grid    |-----------------------------|
        organs          |---------|
        box          |---------------|           centred in the prepared grid, which along z is as long
    """
    import nibabel

    world, flips = nibabel.io_orientation(grid.affine).T
    axes = np.array([list(world).index(w) for w in (2, 1, 0)])  # source axes that go along z, y, x
    signs, spacing = flips[axes] * (1, -1, -1), np.array(geometry.spacing)  # to Superior, Posterior, Left
    length = np.linalg.norm(grid.affine[:3, :3], axis=0)
    field = _whole(grid.shape)
    box = field - (-0.5, 0.5)
    if label is not None and geometry.crop != "none":
        organs = ndimage.find_objects((label > 0).view(np.uint8))[0]
        margins = (MARGIN_SLICES * geometry.spacing[0], MARGIN_MM, MARGIN_MM)
        for axis, margin in list(zip(axes, margins, strict=True))[: 3 if geometry.crop == "organs" else 1]:
            first, last = organs[axis].start, organs[axis].stop - 1
            more = margin / length[axis]
            box[axis] = max(first - more, 0), min(last + more, grid.shape[axis] - 1)
            if axis != axes[0]:  # what lies beyond is not to be seen; along z nothing of the grid does
                field[axis] = box[axis] + (-0.5, 0.5)
    # Rounded up, less a rounding error: the outermost centres then still lie within the field of view.
    extent = (box[axes[0], 1] - box[axes[0], 0] + 1) * length[axes[0]]
    shape = (max(int(np.ceil(extent / spacing[0] - 1e-3)), geometry.min_depth), *geometry.size)
    if (need := 9 * math.prod(shape)) > (room := memory()):  # the voxels twice in float32, and the label
        do = "correct the scan's header, or take larger voxels or a smaller size"
        found = f"{shape} voxels of {need / 2**30:.4g} GiB; {do}"
        raise BadInput(f"spacing, size: expected a scan that fits into {room / 2**30:.1f} GiB of memory, found {found}")
    affine = np.eye(4)
    affine[:3, :3] = grid.affine[:3, axes] / length[axes] * signs * spacing
    centre = grid.affine[:3, :3] @ box.mean(axis=1) + grid.affine[:3, 3]
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    for axis, along in enumerate(_Way.between(grid.affine, affine, shape).within(field)):
        if not along.any():  # a scan that lies between the two centres of voxels in the middle
            affine[:3, 3] += affine[:3, axis] / 2
    return Grid(shape, affine), field


def _whole(shape):
    """The field of view (3, 2) that is all of a grid: from edge to edge along each axis, in voxels."""
    return np.array([(-0.5, n - 0.5) for n in shape])


class _Way(NamedTuple):
    """From one grid to another, of `shape` voxels, that has the same axes up to order and direction: index j of the
    second lies at scale_j j + offset_j along axis axes_j of the first."""

    axes: np.ndarray
    scale: np.ndarray
    offset: np.ndarray
    shape: tuple

    @classmethod
    def between(cls, affine, to_affine, shape):
        matrix = np.linalg.inv(affine) @ to_affine
        axes = np.abs(matrix[:3, :3]).argmax(axis=0)
        return cls(axes, matrix[axes, range(3)], matrix[axes, 3], tuple(shape))

    def within(self, field):
        """For each axis of the second grid, which of its indices lie in a `field` (3, 2) of the first, as bool."""
        places = [s * np.arange(n) + start for s, n, start in zip(self.scale, self.shape, self.offset, strict=True)]
        limits = zip(places, field[self.axes], strict=True)
        return [(place >= first - 1e-6) & (place <= last + 1e-6) for place, (first, last) in limits]

    def resampled(self, array, order=1):
        """An array of the first grid on the second: interpolated, or with order 0 the nearest voxel's value."""
        array = array.transpose(self.axes)
        return ndimage.affine_transform(array, self.scale, self.offset, self.shape, order=order, mode="nearest")

    def classes(self, values):
        """Labels of the nearest voxel, or the class of the largest interpolated value (one slab at a time)."""
        if values.ndim == 3:
            return self.resampled(values, order=0)
        labels, thick = np.empty(self.shape, dtype=np.uint8), max(1, SLAB // math.prod(self.shape[1:]))
        for start in range(0, self.shape[0], thick):
            shape = min(thick, self.shape[0] - start), *self.shape[1:]
            slab = self._replace(offset=self.offset + self.scale * [start, 0, 0], shape=shape)
            labels[start : start + thick] = np.argmax([slab.resampled(each.astype(np.float32)) for each in values], 0)
        return labels

    def blurred(self, image):
        """`image` blurred along the axes that the second grid is coarser than 1.5 voxels along, against aliasing."""
        for axis, factor in zip(self.axes, np.abs(self.scale), strict=True):
            if factor > 1.5:  # the average of f voxels in a row has the variance (f^2 - 1) / 12
                sigma = np.sqrt((factor**2 - 1) / 12)
                ndimage.gaussian_filter1d(image, sigma, axis=int(axis), output=image, mode="nearest")
        return image


def _fill(folder, dataset, geometry, progress, train):
    """Write the cases that `folder` lacks or has damaged, then the list that makes it complete."""
    problems, cases = Problems(str(dataset.folder)), []
    for scan in bar(dataset.scans, "preparing scans", "scan", shown=progress):
        path, parts = folder / _file_name(scan.name), []
        with contextlib.suppress(BadInput):  # it is not there, or damaged
            cases.append(_read_case(path))
            continue
        for read in (scan.read_image, scan.read_label):
            with problems.collect():
                parts.append(read())
        if len(parts) == 2:
            (image, grid), label = parts
            with problems.collect():
                _write_case(path, _case(scan, image, label, grid, geometry))
                cases.append(_read_case(path))
    problems.raise_if_any()
    present = set().union(*(case.label.unique().tolist() for case in cases if case.label is not None))
    for name in (name for k, name in enumerate(CLASSES) if k not in present):
        problems.add(dataset.folder, f"a labelled case with {name}", "none", "add one: no class is learnt unseen")
    each = [(case, scan.image_files()) for case, scan in zip(cases, dataset.scans, strict=True)]
    for (one, its), (two, others) in itertools.combinations(each, 2):
        if one.moments == two.moments and torch.equal(one.image, two.image) or _same_files(its, others):
            problems.add(two.name, "a scan of its own", f"the voxels of {one.name}", "remove one of the two")
    problems.raise_if_any()
    trained = [case for case in cases if case.name in train]
    files.write_json(folder / "prepared.json", files.hashed({
        "format": FORMAT, "name": dataset.name, "geometry": asdict(geometry), "cases": [case.name for case in cases],
        "hashes": [_hash(case) for case in cases], "train": train,
        "moments": {m: _pooled([case.moments for case in trained if case.modality == m]) for m in MODALITIES},
    }))  # fmt: skip


def _pooled(moments):
    """(mean, deviation) of several parts together, from the (count, mean, deviation) of each; None of no parts."""
    if not moments:
        return None
    count, mean, deviation = np.array(moments).T
    pooled = float((count * mean).sum() / count.sum())
    return pooled, float(np.sqrt((count * (deviation**2 + (mean - pooled) ** 2)).sum() / count.sum()))


def _of_modality(case, moments):
    """`case` normalised by its modality's (mean, deviation) in place of its own."""
    (_, mean, deviation), (all_mean, all_deviation) = case.moments, moments
    return replace(case, image=(case.image * deviation + (mean - all_mean)) / all_deviation)


def _hash(case):
    """Of a case's voxels."""
    digest = hashlib.sha256(case.image.contiguous().numpy())
    if case.label is not None:
        digest.update(case.label.contiguous().numpy())
    return digest.hexdigest()[:16]


def _file_name(name):
    return name.replace("/", "-") + ".safetensors"


def _same_files(one, other):
    """Whether two lists of files hold the same, byte for byte."""
    return len(one) == len(other) and all(filecmp.cmp(*pair, shallow=False) for pair in zip(one, other, strict=True))


def _write_case(path, case):
    arrays = {
        "image": case.image, "moments": np.array(case.moments, np.float64), "affine": case.affine,
        "source_affine": case.source.affine, "source_shape": np.array(case.source.shape, np.int64),
    } | ({} if case.label is None else {"label": case.label})  # fmt: skip
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    notes = {"name": case.name, "modality": case.modality}
    files.write_arrays(path, arrays, notes | ({"assumed": case.source.assumed} if case.source.assumed else {}))


def _read_case(path, hashed=None):
    """The case in a file; `BadInput` where it is damaged, or its voxels have not the hash `hashed`.

    Without `hashed`, the file has to have a hash of its own, which older versions did not write.
    """
    what, do, mark = "a prepared case", "remove the file and prepare again", "mark?" if hashed else "mark"
    arrays, about = files.read_arrays(path, what, do, CASE, ABOUT | {mark: str})
    image, label = (torch.from_numpy(arrays[name]) if name in arrays else None for name in ("image", "label"))
    source = Grid(tuple(arrays["source_shape"].tolist()), arrays["source_affine"], about.get("assumed", ""))
    moments = tuple(arrays["moments"].tolist())
    case = Case(about["name"], about["modality"], image, label, arrays["affine"], source, moments)
    if hashed not in (None, _hash(case)):
        raise BadInput(f"{path}: expected {what} with the voxels that were listed, found others; {do}")
    return case


def _levels(image, lo, scale):
    """Grey levels as differences along y and x, modulo 256, in which packing sees how smooth an image is."""
    levels = np.rint((image - np.float64(lo)) / scale).astype(np.uint8)
    for axis in (1, 2):
        levels = np.diff(levels, axis=axis, prepend=np.uint8(0))
    return levels


def _of_levels(about, arrays):
    """The `Case` of its notes in a compact file, with the labels and what `_levels` gave among `arrays`."""
    image, label = (arrays[f"{about['name']} {kind}"].reshape(about["shape"]) for kind in ("image", "label"))
    for axis in (1, 2):
        image = np.add.accumulate(image, axis, dtype=np.uint8)
    values = (about["lo"] + about["scale"] * np.arange(256)).astype(np.float32)
    source = Grid(tuple(about["source"]["shape"]), np.array(about["source"]["affine"]))
    return Case(about["name"], about["modality"], torch.from_numpy(values[image]), torch.from_numpy(label.copy()),
                np.array(about["affine"]), source, tuple(about["moments"]))
