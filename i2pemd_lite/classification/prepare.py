"""Every image decoded once into one compact file, and the split into labelled, unlabelled, validation and test."""

import bisect
import contextlib
import hashlib
import json
import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import save_file

from i2pemd_lite import compact, files
from i2pemd_lite.classification import codec
from i2pemd_lite.classification.data import Dataset
from i2pemd_lite.classification.layout import CLASSES, Arrays
from i2pemd_lite.device import memory
from i2pemd_lite.files import BadInput, Problems
from i2pemd_lite.runs.sampling import Unchanging
from i2pemd_lite.text import bar

FORMAT = 1  # counts the changes that make a cache written before of no use


@dataclass(frozen=True)
class Prepared(Unchanging):
    """N decoded images and what is known of them.

    images: (N, 3, S, S) uint8; labels: (N,) int64; ids, lesions, parts: N names each, lesions and parts None when
    unknown; test_images: (M, 3, S, S) uint8 and test_ids: images without labels; size: the side that training crops to,
    px; converted: ids that were not RGB; name: that of the data set; fingerprint: of all of the above, the same on
    every machine that decodes the same pixels; folder: where they were read, or the file that `open` read.
    """

    name: str
    size: int
    images: torch.Tensor
    labels: torch.Tensor
    ids: tuple
    lesions: tuple | None
    parts: tuple | None
    test_images: torch.Tensor
    test_ids: tuple
    converted: tuple
    fingerprint: str
    folder: str = ""

    def __len__(self):
        return len(self.ids)

    @property
    def assumed(self) -> dict[str, str]:
        """{id: what was assumed of an image that does not say it}."""
        said = {id: "made RGB, though grey, with a palette, transparent or CMYK" for id in self.converted}
        again = "taken as an image of its own, though another one has the same pixels"
        for i, _ in _twins(self.images):
            said[self.ids[i]] = f"{said[self.ids[i]]}, and {again}" if self.ids[i] in said else again
        return said

    @property
    def sketch(self) -> list[float]:
        """Numbers that are nearly the same for the same images, also where another version decodes them: means of some
        images, and how many each class has."""
        means = [float(part.mean()) for part in np.array_split(self.images.numpy(), min(64, len(self)))]
        return means + [int((self.labels == k).sum()) for k in range(len(CLASSES))]

    def save_compact(self, file: Path | str, limit: float = compact.LIMIT) -> str:
        """Write the labelled images as one compact file, whole or not at all -> what was written, in words.

        They are coded with as little loss as `limit` MiB allow. Raises `BadInput` where even the coarsest code needs
        more; nothing is written then.
        """
        images, n, names = self.images.numpy(), len(self), ("name", "size", "ids", "lesions", "parts")
        notes = {name: getattr(self, name) for name in names} | {"labels": self.labels.tolist()}
        notes["converted"] = sorted({*self.converted} & {*self.ids})
        room = max(limit * 2**20 - len(json.dumps(json.dumps(notes))) - 1000, 1)  # as a string within JSON
        parts, more, errors = _coded(images, room)
        psnr, off = 10 * np.log10(255**2 / max(np.median(errors[0]), 1e-9)), errors[1].mean()
        notes |= more | {"psnr": round(psnr, 2), "error": round(off, 3)}
        size = compact.write(file, "classification", notes, parts, limit)
        loss = f"median PSNR {psnr:.1f} dB, mean error {off:.2f} grey levels"
        left = f"left out: {len(self.test_ids)} images without labels"
        return f"{file}: {n} labelled images in {size:.1f} MiB ({loss}); {left}"

    def save(self, file: Path | str) -> None:
        """Write everything as it is in one file, whole or not at all."""
        notes = {name: getattr(self, name) for name in _NOTES}
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        with files.atomic_write(file) as temporary:
            save_file(tensors, temporary, metadata={"skin": json.dumps(notes)})

    @classmethod
    def open(cls, file: Path | str) -> Self:
        """Read what `save` or `save_compact` wrote; needs no image library."""
        if compact.is_one(file):
            return _open_compact(file)
        what, again = "prepared skin images", "copy it again, or remove it and prepare the images again"
        arrays, notes = files.read_arrays(file, what, again, _TENSORS, _NOTES, "skin")
        parts: dict[str, Any] = {name: torch.from_numpy(arrays[name]) for name in _TENSORS}
        parts |= {name: tuple(notes[name]) if isinstance(notes[name], list) else notes[name] for name in _NOTES}
        found = cls(**parts, folder=str(Path(file).resolve()))
        if found.fingerprint != _fingerprint(found) or not _fits(found):
            raise BadInput(f"{file}: expected {what} as they were written, found others; {again}")
        return found


_TENSORS = {"images": "uint8 N 3 S S", "labels": "int64 N", "test_images": "uint8 M 3 S S"}
_NAMES = {"ids": [str], "lesions": (None, [str]), "parts": (None, [str]), "converted": [str]}
_COMPACT = {"name": str, "size": int, "labels": [int], "count": int, "step": float} | _NAMES
_NOTES = {"name": str, "size": int, "test_ids": [str], "fingerprint": str} | _NAMES


def _fingerprint(p):
    """A hash of the pixels of a `Prepared`, and of all that is known of them."""
    notes = [p.name, p.ids, p.lesions, p.parts, p.test_ids, p.labels.tolist()]
    return files.fingerprint(*notes, *(hashlib.sha256(x.numpy()).digest() for x in (p.images, p.test_images)))


def _fits(p):
    """Whether what a `Prepared` holds is of as many images, with names of their own, classes and parts that there are,
    and of its size."""
    n, ids, names = len(p.images), p.ids + p.test_ids, [p.labels, p.ids, *filter(None, (p.lesions, p.parts))]
    known = all(0 <= k < len(CLASSES) for k in p.labels.tolist()) and {*(p.parts or ())} <= {"train", "val", "test"}
    return known and {*map(len, names)} == {n} and len({*ids}) == len(ids) and p.images.shape[-1] == stored_side(p.size)


def stored_side(size):
    """Side in px at which images are kept for training at `size` px: 8/7 of it, as 256 is to a random crop of 224."""
    return round(size * 8 / 7)


def prepare(dataset: Dataset, size: int, progress: bool = True, problems: Problems | None = None) -> Prepared:
    """Decode the images of `dataset` (`data.Dataset`) for training at `size` px, once: later calls read the cache.

    Each image is made RGB and resized to a square, as the reference implementations do: the lesion fills the 4:3 frame
    to its sides, a central square would cut it. The side is `stored_side(size)`, so that a random crop has room.
    progress: show a bar. problems: a `files.Problems` for what is wrong with test images, which are left out then.
    Returns `Prepared`. Raises `BadInput` that lists every image which cannot be decoded.
    """
    if size < 8:
        raise BadInput(f"size: expected at least 8 px, found {size}")
    about = dataset.ids, dataset.labels.tolist(), dataset.lesions, dataset.parts, dataset.test_ids
    key = files.fingerprint("skin", FORMAT, size, dataset.name, *about, *dataset.sources)
    folder = str(Path(dataset.folder).resolve())
    for file in files.caches(f"skin-{size}-{key}.safetensors"):
        with contextlib.suppress(BadInput):  # it is not there, or not as it was written
            return replace(Prepared.open(file), folder=folder)
    side, most = stored_side(size), math.sqrt(memory() / 3 / (len(dataset) + len(dataset.test_ids))) * 7 / 8
    if size > most:
        raise BadInput(f"size: expected at most {most:.0f} px, so that all images fit into the memory, found {size}")
    strict = files.Problems(str(dataset.folder))
    problems = strict if problems is None else problems
    images, ids, odd = _decode_all(dataset.pictures, dataset.ids, side, progress, "images", strict)
    more = dataset.test_pictures, dataset.test_ids
    test_images, test_ids, odd_test = _decode_all(*more, side, progress, "test images", problems)
    strict.raise_if_any()
    prepared = Prepared(
        dataset.name, size, torch.from_numpy(images), torch.from_numpy(dataset.labels), ids, dataset.lesions,
        dataset.parts, torch.from_numpy(test_images), test_ids, (*odd, *odd_test),
        "", folder,
    )  # fmt: skip
    if not isinstance(dataset.pictures, Arrays):  # MedMNIST's split is by image, and said to be so
        _expect_one_truth(prepared, strict)
        strict.raise_if_any()
    prepared = replace(prepared, fingerprint=_fingerprint(prepared))
    if dataset.sources and test_ids == dataset.test_ids:  # images that come from no file have no key
        prepared.save(file)
    return prepared


def _twins(images):
    """[(i, j)] of images, where image i has the pixels of an earlier one, j."""
    first = {}
    places = [first.setdefault(hashlib.sha256(image).digest(), i) for i, image in enumerate(images.numpy())]
    return [(i, j) for i, j in enumerate(places) if j < i]


def _expect_one_truth(prepared, problems):
    """Note images that are there twice, under two names, with another class, lesion or part."""
    known = {"class": prepared.labels.tolist(), "lesion": prepared.lesions, "part": prepared.parts}
    for i, j in _twins(prepared.images):
        if differ := [name for name, values in known.items() if values and values[i] != values[j]]:
            expected = f"the {' and '.join(differ)} of {prepared.ids[j]}, which has the same pixels"
            problems.add(prepared.ids[i], expected, "another", "remove one of the two")


def _decode_all(pictures, ids, side, progress, what, problems):
    """((n, 3, side, side) uint8, their ids, the ids that were not RGB); `problems` notes what is left out."""
    from PIL import Image

    images = np.empty((len(ids), 3, side, side), np.uint8)

    def decode(i, large=False):
        try:
            image = pictures.open(ids[i], side, large)
        except BadInput as error:
            return error
        if image is None:
            return None
        square = image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
        images[i] = np.asarray(square).transpose(2, 0, 1)
        if images[i].min() == images[i].max():
            return BadInput(f"{ids[i]}: expected an image, found the value {images[i, 0, 0, 0]} everywhere; replace it")
        return image.mode

    shown = partial(bar, doing=f"preparing {what}", unit="image", total=len(ids), shown=progress)
    modes = compact.at_once(decode, range(len(ids)), shown)
    modes = [decode(i, True) if mode is None else mode for i, mode in enumerate(modes)]  # one at a time: they are large
    problems.found += [str(mode) for mode in modes if isinstance(mode, BadInput)]
    good = [i for i, mode in enumerate(modes) if not isinstance(mode, BadInput)]
    images = images if len(good) == len(ids) else images[good]
    return images, tuple(ids[i] for i in good), tuple(ids[i] for i in good if modes[i] != "RGB")


def _coded(images, room):
    """The `compact.packed` parts of (N, 3, S, S) images, what decodes them, and the errors (2, N), mean square and mean
    absolute, with the finest step for which a sample says that all fit into `room` bytes, or a coarser one."""
    n, side = len(images), images.shape[-1]
    errors, count = np.empty((2, n)), max(2**22 // side**2, 1)  # images of a part

    def part(chosen, step):
        levels = []
        for i in chosen:
            levels.append(codec.rounded(codec.transformed(images[i]), step))
            off = np.abs(codec.pixels(levels[-1], step, side).astype(float) - images[i])
            errors[:, i] = (off**2).mean(), off.mean()
        return codec.coded(np.stack(levels))

    def packed(chosen, step):
        jobs = {f"images from {i}": partial(part, chosen[i : i + count], step) for i in range(0, len(chosen), count)}
        parts = compact.packed(jobs)
        return parts, sum(len(data) + 200 for data, _ in parts.values()) * n / len(chosen) / room

    sample = np.unique(np.linspace(0, n - 1, min(n, 256)).astype(int))

    def fits(step):
        return packed(sample, step)[1] < 0.97

    first = 0 if fits(codec.STEPS[0]) else bisect.bisect_left(codec.STEPS[:-1], True, key=fits)
    for step in codec.STEPS[first:].tolist():
        parts, filled = packed(range(n), step)
        if filled < 1:
            break
    return parts, {"count": count, "step": step}, errors


def _open_compact(file):
    what = "a compact set as it was written"
    notes, mark, unpacked = compact.read(file, "classification", _COMPACT)
    side, count, step = stored_side(notes["size"]), notes["count"], notes["step"]
    starts = [f"images from {i}" for i in range(0, len(notes["ids"]), max(count, 1))]
    if count < 1 or step not in codec.STEPS or not 8 <= side <= 2**15 or starts != [*notes["sha256"]]:
        raise BadInput(f"{file}: expected {what}, found other parts; make it anew")
    with files.parsing(file, what):
        images = np.empty((len(notes["ids"]), 3, side, side), np.uint8)

        def fill(name, coded):
            here = images[int(name.split()[-1]) :][:count]
            for image, levels in zip(here, codec.decoded(coded, len(here), -(-side // codec.B)), strict=True):
                image[:] = codec.pixels(levels, step, side)

        unpacked(fill)
    names = {name: notes[name] and tuple(notes[name]) for name in _NAMES}
    images, labels = torch.from_numpy(images), torch.tensor(notes["labels"])
    found = Prepared(notes["name"], notes["size"], images, labels, **names, test_images=images[:0], test_ids=(),
                     fingerprint=mark, folder=str(Path(file).resolve()))  # fmt: skip
    if not _fits(found):
        raise BadInput(f"{file}: expected {what}, found others than it has images; make it anew")
    return found


@dataclass(frozen=True)
class Split:
    """Positions in a `Prepared`, ascending, int64; by: "file", "lesion" or "image"."""

    labelled: torch.Tensor
    unlabelled: torch.Tensor
    val: torch.Tensor
    test: torch.Tensor
    by: str

    @property
    def train(self) -> torch.Tensor:
        """Labelled and unlabelled positions together."""
        return torch.cat([self.labelled, self.unlabelled]).sort().values


def split(
    prepared: Prepared, by: str | None = None, labelled: float = 0.2, stratified: bool = False, seed: int = 0,
    test: float = 0.2, val: float = 0.1
) -> Split:  # fmt: skip
    """Split a `Prepared` into labelled, unlabelled, validation and test.

    by: "file" takes the parts that the data bring (`val` and `test` may be empty then), "lesion" draws lesions so that
    none is in two parts, "image" draws images as the paper does, which leaks lesions from training into test. None: the
    first of the three that the data allow. labelled: share of the training images that keep their labels, drawn at
    random; the others are the unlabelled ones. stratified: draw from each class apart, at least one labelled image
    each. test, val: shares of all images, not used by "file". Returns `Split`.
    Raises `BadInput`, also when a class has no labelled image.
    """
    by = by or ("file" if prepared.parts else "lesion" if prepared.lesions else "image")
    if not 0 < labelled <= 1 or min(test, val) < 0 or test + val >= 1:
        raise BadInput(f"split: expected 0 < labelled <= 1 and 0 <= test + val < 1, found {labelled}, {test} and {val}")
    images = range(len(prepared.labels))
    sources = {"file": (prepared.parts, "a split.csv or MedMNIST file"),
               "lesion": (prepared.lesions, "a LesionGroupings.csv"), "image": (images, "")}  # fmt: skip
    if by not in sources:
        raise BadInput(f"by: expected 'file', 'lesion' or 'image', found {by!r}")
    groups, what = sources[by]
    if groups is None:
        raise BadInput(f"by = {by!r}: expected data with {what}, found none; choose by = 'image'")
    labels, rng = prepared.labels.numpy(), np.random.default_rng(seed)
    if by == "file":
        part = np.array(groups)
    else:
        part = _hold_out(np.unique(groups, return_inverse=True)[1], labels, test, val, stratified, rng)
    train, val, test = (np.flatnonzero(part == name) for name in ("train", "val", "test"))
    draws = [train[:0]]
    for members in _strata(labels[train], stratified):
        draws.append(rng.permutation(train[members])[: max(round(labelled * len(members)), 1)])
    chosen = np.sort(np.concatenate(draws))
    problems = files.Problems("the split")
    for k in sorted(set(range(len(CLASSES))) - set(labels[chosen])):
        count = (labels[train] == k).sum()
        do = f"use stratified=True, a larger share or another seed than {seed}" if count else "split otherwise"
        problems.add(CLASSES[k], "a labelled training image", f"none of {count} training images", do)
    problems.raise_if_any()
    rest = np.setdiff1d(train, chosen, assume_unique=True)
    kept, others, validation, held_back = map(torch.from_numpy, (chosen, rest, val, test))
    return Split(kept, others, validation, held_back, by)


def _hold_out(groups, labels, test, val, stratified, rng):
    """(N,) of "train", "val", "test": whole groups, in random order, as long as they fit in N * share images."""
    part, sizes = np.full(len(labels), "train"), np.bincount(groups)
    _, first = np.unique(groups, return_index=True)
    for members in _strata(labels[first], stratified):
        order = rng.permutation(members)
        total = np.cumsum(sizes[order])
        n_test, n_val = round(test * total[-1]), round(val * total[-1])
        in_test = total <= n_test
        start = total[in_test][-1] if in_test.any() else 0
        in_val = ~in_test & (total - start <= n_val)
        part[np.isin(groups, order[in_test])] = "test"
        part[np.isin(groups, order[in_val])] = "val"
    return part


def _strata(labels, stratified):
    """Positions in `labels`: those of each class apart, or all together."""
    strata = labels if stratified else np.zeros(len(labels), int)
    return [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
