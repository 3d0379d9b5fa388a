"""Skin images as users have them on disk: ISIC 2018 Task 3 folders or unopened zips, MedMNIST npz, the synthetic set.

Nothing is decoded here but the tables: `prepare` decodes every image once.
"""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from i2pemd_lite import files
from i2pemd_lite.classification import synthetic
from i2pemd_lite.classification.layout import CLASSES, MANIFEST, TEST, TRAINING, Arrays, Pictures, zip_files
from i2pemd_lite.files import BadInput

MEDMNIST_CLASSES = ("AKIEC", "BCC", "BKL", "DF", "MEL", "NV", "VASC")  # DermaMNIST counts in another order
TABLES = {  # stem of the file -> columns
    f"{TRAINING}_GroundTruth": ("image", *CLASSES),
    f"{TRAINING}_LesionGroupings": ("image", "lesion_id"),
    "split": ("image", "split"),
}


@dataclass(frozen=True)
class Dataset:
    """What is known of N images before any is decoded.

    folder: where it was read; name: "ISIC 2018", "DermaMNIST" or "synthetic"; ids: N names; labels: (N,) int64,
    positions in `CLASSES`; lesions: N lesion names, or None when unknown; parts: N of "train", "val", "test", or None
    when the data bring no split; test_ids: names of further images, without labels; sources: the files behind it all.
    """

    folder: Path
    name: str
    ids: tuple
    labels: np.ndarray
    lesions: tuple | None = None
    parts: tuple | None = None
    test_ids: tuple = ()
    sources: tuple = ()
    pictures: Pictures | Arrays | None = field(default=None, repr=False)
    test_pictures: Pictures | None = field(default=None, repr=False)

    def __len__(self):
        return len(self.ids)

    def __str__(self):
        return f"{self.name} images, labelled + unlabelled: {len(self.ids)} + {len(self.test_ids)} in {self.folder}"


def load(folder=None, images=1500):
    """The data set in `folder`.

    folder: holds `isic2018/` or `dermamnist*.npz`, or is itself one of these. None: the folder that I2PEMD_DATA names
    when it holds one, else the synthetic set of about `images` images, made once under `data/synthetic/`.
    In an ISIC folder `<stem>` is `ISIC2018_Task3_Training`: `<stem>_Input` (a folder, or a .zip that stays closed),
    `<stem>_GroundTruth.csv`, and where there are such `<stem>_LesionGroupings.csv` (image,lesion_id), `split.csv`
    (image,split) and `ISIC2018_Task3_Test_Input`, images without labels. A table may lie in a folder or zip of its
    stem. The larger of several npz files is taken.
    Returns a `Dataset`. Raises `BadInput` that lists everything that does not fit.

    Example
    -------
    >>> load("no such folder")
    Traceback (most recent call last):
    i2pemd_lite.files.BadInput: no such folder: expected isic2018/ or dermamnist*.npz, found neither; see data/README.md
    """
    if folder is None:
        real = files.data_folder()
        return (real and _find(real)) or _isic(synthetic.make(images=images))
    if not (data := _find(Path(folder))):
        raise BadInput(f"{folder}: expected isic2018/ or dermamnist*.npz, found neither; see data/README.md")
    return data


def _find(folder):
    """The first data set in `folder`, or None."""
    if folder.is_file():
        return _medmnist(folder)
    for candidate in (folder, folder / "isic2018"):
        if any(candidate.glob(f"{TRAINING}_*")):
            return _isic(candidate)
    arrays = sorted(folder.glob("dermamnist*.npz"), key=lambda path: path.stat().st_size)
    return _medmnist(arrays[-1]) if arrays else None


def _table(folder, stem):
    """(path, rows as dicts) of `<stem>.csv` in `folder`, a folder `<stem>` or `<stem>.zip`; (None, []) without one."""
    name, columns = f"{stem}.csv", TABLES[stem]
    path = next(filter(Path.is_file, (folder / name, folder / stem / name, folder / f"{stem}.zip")), None)
    zipped = path is not None and path.suffix == ".zip"
    table = next((file for file in zip_files(path) if file.name == name), None) if zipped else path
    if table is None:
        return None, []
    with files.parsing(path, "a CSV file in UTF-8"):
        reader = csv.DictReader(io.StringIO(table.read_bytes().decode("utf-8-sig"), newline=""))
        rows = list(reader)
    header = reader.fieldnames or []
    if missing := [column for column in columns if column not in header]:
        raise BadInput(f"{path}: expected the columns {', '.join(columns)}, found {', '.join(header) or 'no header'}; "
                       f"add {', '.join(missing)}")  # fmt: skip
    return path, rows


def _truth(path, rows, problems):
    """{image: class} of one-hot rows."""
    labels = {}
    for row in rows:
        name, scores = row["image"], {c: _number(row[c]) for c in CLASSES}
        if None in scores.values():
            found = ", ".join(f"{c} = {row[c]!r}" for c, score in scores.items() if score is None)
            problems.add(f"{path} row {name}", "numbers", found, "correct the row")
            continue
        if sorted(scores.values()) != [0.0] * (len(CLASSES) - 1) + [1.0]:
            found = ", ".join(f"{c} = {score:g}" for c, score in scores.items() if score) or "only zeros"
            problems.add(f"{path} row {name}", "one 1 and else 0", found, "correct the row")
        elif name in labels:
            problems.add(f"{path} row {name}", "each image once", "it twice", "remove one row")
        labels[name] = int(np.argmax(list(scores.values())))
    return labels


def _number(cell):
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def _column(path, rows, column, ids, problems, allowed=None):
    """The cells of `column` in the order of `ids`, or None without a table."""
    if path is None:
        return None
    cells = {row["image"]: row[column] for row in rows}
    for name in ids:
        if name not in cells:
            problems.add(f"{path}", f"a row of {name}", "none", "add the row")
        elif not cells[name] or (allowed and cells[name] not in allowed):
            expected = " or ".join(allowed) if allowed else f"a {column}"
            problems.add(f"{path} row {name}", expected, repr(cells[name]), "correct the row")
    return tuple(cells.get(name) for name in ids)


def _isic(folder):
    """A `Dataset` from a folder in the layout of ISIC 2018 Task 3."""
    problems, pictures, tables = files.Problems(str(folder)), {}, {}
    for part in (TRAINING, TEST):
        with problems.collect():
            place, archive = folder / f"{part}_Input", folder / f"{part}_Input.zip"
            if place.is_dir() or archive.is_file():
                pictures[part] = Pictures(place if place.is_dir() else archive)
            elif part == TRAINING:
                problems.add(folder, f"{place.name}, a folder or a .zip", "neither", "put the images there")
    for stem in TABLES:
        with problems.collect():
            tables[stem] = _table(folder, stem)
            if stem.endswith("GroundTruth") and tables[stem][0] is None:
                problems.add(folder, f"{stem}.csv", "none", "put the table there")
    problems.raise_if_any()

    (truth, rows), lesions, parts = (tables[stem] for stem in TABLES)
    train, test = pictures[TRAINING], pictures.get(TEST)
    labels, rows = _truth(truth, rows, problems), {row["image"] for row in rows}
    for name in sorted(train.names.keys() - rows):
        problems.add(train.names[name], f"a row in {truth.name}", "none", "add the row or remove the image")
    for name in sorted(rows - train.names.keys()):
        problems.add(f"{truth} row {name}", f"an image in {train.place.name}", "none", "add it or remove the row")
    ids = tuple(sorted(labels.keys() & train.names.keys()))
    lesion = _column(*lesions, "lesion_id", ids, problems)
    part = _column(*parts, "split", ids, problems, ("train", "val", "test"))
    labels = np.array([labels[name] for name in ids], np.int64)
    _check_classes(truth, labels, problems)

    name = "synthetic" if (folder / MANIFEST).is_file() else "ISIC 2018"
    sources = *train.sources, *(test.sources if test else ()), *(path for path, _ in tables.values() if path)
    return Dataset(folder, name, ids, labels, lesion, part, tuple(sorted(test.names)) if test else (), sources,
                   train, test)  # fmt: skip


def _check_classes(name, labels, problems):
    """Raise what is wrong with a data set, its classes without an image too."""
    counts = np.bincount(labels, minlength=len(CLASSES))
    if (counts > 0).sum() < 2:
        problems.add(name, "at least two classes", f"{(counts > 0).sum()}", "add images of other classes")
    else:
        for k in np.flatnonzero(counts == 0):
            problems.add(name, f"an image of each class, {CLASSES[k]} too", "none of it", "add one")
    problems.raise_if_any()


def _medmnist(path):
    """A `Dataset` from a MedMNIST file; its own split is by image, so that lesions are in several parts of it."""
    parts, problems = ("train", "val", "test"), files.Problems(str(path))
    what = "a MedMNIST file of plain arrays train_images, train_labels, val_…, test_…"
    with files.parsing(path, what), np.load(path, allow_pickle=False) as arrays:
        images, labels = ([arrays[f"{part}_{kind}"] for part in parts] for kind in ("images", "labels"))
    for part, x, y in zip(parts, images, labels, strict=True):
        name = f"{path} {part}"
        if x.dtype != np.uint8 or x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[-1] != 3):
            problems.add(f"{name}_images", "(N, H, W, 3) uint8", f"{x.shape} {x.dtype}")
        if y.shape not in ((len(x),), (len(x), 1)):
            problems.add(f"{name}_labels", f"({len(x)}, 1)", f"{y.shape}")
        elif not np.issubdtype(y.dtype, np.integer) or (y.size and not 0 <= y.min() <= y.max() < len(CLASSES)):
            problems.add(f"{name}_labels", "whole numbers 0 to 6", f"{y.dtype} {np.unique(y)[:9]}")
    problems.raise_if_any()
    named = {f"{part}_{i:05d}": image for part, x in zip(parts, images, strict=True) for i, image in enumerate(x)}
    ours = np.array([CLASSES.index(name) for name in MEDMNIST_CLASSES], np.int64)
    labels = ours[np.concatenate([y.ravel() for y in labels])]
    _check_classes(path, labels, problems)
    return Dataset(path.parent, "DermaMNIST", tuple(named), labels, parts=tuple(name.split("_")[0] for name in named),
                   sources=(path,), pictures=Arrays(named))  # fmt: skip
