"""Skin images as users have them on disk: ISIC 2018 Task 3 folders or unopened zips, MedMNIST npz, the synthetic set.

Nothing is decoded here but the tables: `prepare` decodes every image once.
"""

import csv
import io
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath

import numpy as np

from i2pemd_lite import files
from i2pemd_lite.classification import synthetic
from i2pemd_lite.classification.layout import (
    CLASSES,
    MANIFEST,
    PIXELS,
    SUFFIXES,
    TEST,
    TRAINING,
    Arrays,
    Pictures,
    content,  # fmt: skip
    npz_arrays,
    zip_files,
)
from i2pemd_lite.files import BadInput

MEDMNIST_CLASSES = ("AKIEC", "BCC", "BKL", "DF", "MEL", "NV", "VASC")  # DermaMNIST counts in another order
TABLES = {  # stem of the file -> columns
    f"{TRAINING}_GroundTruth": ("image", *CLASSES),
    f"{TRAINING}_LesionGroupings": ("image", "lesion_id"),
    "split": ("image", "split"),
}
TABLE, CELLS, IMAGES = 2**26, 2**21, 2**20  # bytes and cells that a table, images that an array may have
NO_TABLES = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"PK\3\4": "an Excel file", b"\x1f\x8b": "a gzip file",
             b"\xd0\xcf": "an Excel file", b"<": "a web page", b"{\\rtf": "a text with formats"}  # fmt: skip
"""What a file called .csv can be, by how it begins."""


@dataclass(frozen=True)
class Dataset:
    """What is known of N images before any is decoded.

    folder: where it was read; name: "ISIC 2018", "DermaMNIST" or "synthetic"; ids: N names; labels: (N,) int64,
    positions in `CLASSES`; lesions: N lesion names, or None when unknown; parts: N of "train", "val", "test", or None
    when the data bring no split; test_ids: names of further images, without labels; sources: the files behind it all;
    unused: sentences on what else is there, and why it is not used.
    """

    folder: Path
    name: str
    ids: tuple
    labels: np.ndarray
    lesions: tuple | None = None
    parts: tuple | None = None
    test_ids: tuple = ()
    sources: tuple = ()
    unused: tuple = ()
    pictures: Pictures | Arrays | None = field(default=None, repr=False)
    test_pictures: Pictures | None = field(default=None, repr=False)

    def __len__(self):
        return len(self.ids)

    def __str__(self):
        count = f"{len(self.ids)} + {len(self.test_ids)}"
        return "\n  ".join([f"{self.name} images, labelled + unlabelled: {count} in {self.folder}", *self.unused])


def load(folder=None, images=1500):
    """The data set in `folder`.

    folder: holds `isic2018/` or `dermamnist*.npz`, or is itself one of these. None: the folder that I2PEMD_DATA names
    when it holds one, else the synthetic set of about `images` images, made once under `data/synthetic/`.
    In an ISIC folder `<stem>` is `ISIC2018_Task3_Training`: `<stem>_Input` (a folder, or a .zip that stays closed),
    `<stem>_GroundTruth.csv`, and where there are such `<stem>_LesionGroupings.csv` (image,lesion_id), `split.csv`
    (image,split) and `ISIC2018_Task3_Test_Input`, images without labels. A table may lie in a folder or zip of its
    stem, and names images with or without the ending of their files. The largest of several npz files is taken.
    Returns a `Dataset`. Raises `BadInput` that lists everything that does not fit, such as an image that a table has
    twice, or a lesion whose images `split.csv` has in several parts.

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


def holds_images(folder):
    """Whether `load` knows the layout of what is in `folder`."""
    marks = f"{TRAINING}_*", f"isic2018/{TRAINING}_*", "dermamnist*.npz"
    return any(any(Path(folder).glob(mark)) for mark in marks)


def _find(folder):
    """The first data set in `folder`, or None."""
    if folder.is_file():
        return _medmnist(folder)
    sizes = {path: path.is_file() and path.stat().st_size for path in folder.glob("dermamnist*.npz")}
    arrays = sorted(sizes, key=lambda path: (-sizes[path], path))
    for candidate in (folder, folder / "isic2018"):
        if any(candidate.glob(f"{TRAINING}_*")):
            data, why = _isic(candidate, arrays), f"{candidate} is there"
            break
    else:
        if not arrays:
            return None
        data, why = _medmnist(arrays.pop(0)), "another is larger, or equal and before it"
    others = dict.fromkeys(arrays, f"not used, as {why}; I2PEMD_DATA=FILE or --data FILE chooses one")
    return replace(data, unused=(*data.unused, *files.grouped(others)))


def _table(there, stem, known, problems, unused):
    """(path, {image: {column: cell}}) of `<stem>.csv`, be it there, in a folder `<stem>` or in `<stem>.zip`; (None, {})
    without one. What was looked at goes from `there`."""
    name, found = f"{stem}.csv".lower(), []
    for place in [there.pop(each.lower(), None) for each in (f"{stem}.csv", stem, f"{stem}.zip")]:
        inside = [(place, place)] if place else []
        if place and place.name.lower() != name:
            inside = zip_files(place) if place.suffix else [(child, child) for child in _children(place).values()]
        if place and not inside:
            unused[place] = "not used, as no table is in it"
        for short, path in inside:
            if short.name.lower() == name:
                found.append((path if isinstance(path, Path) else place, path))
            elif not files.of_system(PurePosixPath(short.name)):
                unused[path] = "not used, as beside a table"
    unused |= {path: f"not used, as {found[0][1]} is taken" for _, path in found[1:]}
    return (found[0][0], _rows(*found[0], TABLES[stem], known, problems)) if found else (None, {})


def _rows(path, table, columns, known, problems):
    """{image: {column: cell}} of a table. Names that are not `known` go without folders and the ending of an image."""
    what, do = "a CSV file in UTF-8, with commas", "open it in a spreadsheet and save it as CSV UTF-8, with commas"
    with files.parsing(path, what, do):
        data = content(table, "a table", TABLE)
        kinds = [kind for start, kind in NO_TABLES.items() if data.startswith(start)]
        kinds += ["UTF-16"] * (b"\0" in data[:999])
        text = "" if kinds else re.sub(r"\Asep=.[\r\n]+", "", data.decode("utf-8-sig"))  # a line that Excel reads
        first = re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0].replace('"', "")
        kinds += [words for separator, words in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars"))
                  if {*columns} <= {cell.strip() for cell in first.split(separator)}]  # fmt: skip
        if kinds:
            raise BadInput(f"{path}: expected {what}, found {kinds[0]}; {do}")
        if sum(map(data.count, (b",", b"\n", b"\r"))) > CELLS:
            raise BadInput(f"{path}: expected at most {CELLS:,} cells, found more; remove what is none of it")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        lines = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    header = [cell.strip() for cell in lines[0][1]] if lines else []
    if missing := [column for column in columns if column not in header]:
        raise BadInput(f"{path}: expected the columns {', '.join(columns)}, found {', '.join(header) or 'no header'}; "
                       f"add {', '.join(missing)}")  # fmt: skip
    if twice := [column for column in columns if header.count(column) > 1]:
        raise BadInput(f"{path}: expected each column once, found {', '.join(twice)} twice; remove one of the two")
    if len(lines) == 1:
        raise BadInput(f"{path}: expected rows of images, found a header alone; copy or download it again")
    rows = {}
    for line, cells in lines[1:]:
        row = dict(zip(header, cells, strict=False))
        if (name := row.get("image")) not in known:
            short = PurePosixPath((name or "").strip().replace("\\", "/"))
            name = short.stem if short.suffix.lower() in SUFFIXES else short.name
        if not name:
            problems.add(f"{path} line {line}", "the name of an image", repr(row.get("image")), "correct the row")
        elif any(map(str.strip, cells[len(header) :])):
            problems.add(f"{path} row {name}", f"{len(header)} cells", f"{len(cells)}", "correct the row")
        elif name in rows:
            problems.add(f"{path} row {name}", "each image once", "it twice", "remove one row")
        rows.setdefault(name, row)
    rows.pop("", None)
    return rows


def _children(folder):
    """{name in small letters: path} of what is in a folder, or nothing."""
    found = {}
    for path in sorted(folder.iterdir(), reverse=True) if folder.is_dir() else ():
        if not files.of_system(PurePosixPath(path.name)):
            small = path.name.lower()
            found[path.name if small in found else small] = path  # small letters come first
    return found


def _truth(path, rows, problems):
    """{image: class} of one-hot rows."""
    labels = {}
    for name, row in rows.items():
        scores = {c: _number(row.get(c)) for c in CLASSES}
        if None in scores.values():
            found = ", ".join(f"{c} = {row.get(c)!r}" for c, score in scores.items() if score is None)
            problems.add(f"{path} row {name}", "numbers", found, "correct the row")
            continue
        if sorted(scores.values()) != [0.0] * (len(CLASSES) - 1) + [1.0]:
            found = ", ".join(f"{c} = {score:g}" for c, score in scores.items() if score) or "only zeros"
            problems.add(f"{path} row {name}", "one 1 and else 0", found, "correct the row")
        labels[name] = int(np.argmax(list(scores.values())))
    return labels


def _number(cell):
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def _column(path, rows, column, ids, problems, unused, allowed=None):
    """The cells of `column` in the order of `ids`, or None without a table."""
    if path is None:
        return None
    cells = {name: (row.get(column) or "").strip() for name, row in rows.items()}
    for name in ids:
        if name not in cells:
            problems.add(f"{path}", f"a row of {name}", "none", "add the row")
        elif not cells[name] or (allowed and cells[name] not in allowed):
            expected = " or ".join(allowed) if allowed else f"a {column}"
            problems.add(f"{path} row {name}", expected, repr(cells[name]), "correct the row")
    unused |= {f"{path} row {name}": "not used, as no labelled image" for name in sorted(cells.keys() - set(ids))}
    return tuple(cells.get(name) for name in ids)


def _isic(folder, taken=()):
    """A `Dataset` from a folder in the layout of ISIC 2018 Task 3; `taken`: paths in it that are none of its own."""
    problems, pictures, tables, unused = files.Problems(str(folder)), {}, {}, {}
    there = {name: path for name, path in _children(folder).items() if path not in taken and path.name != MANIFEST}
    for part in (TRAINING, TEST):
        with problems.collect():
            names = f"{part}_Input".lower(), f"{part}_Input.zip".lower()
            places = [there.pop(name) for name in names if name in there]
            if places:
                pictures[part] = Pictures(places[0])
                unused |= pictures[part].unused | {path: f"not used, as {places[0]} is taken" for path in places[1:]}
            elif part == TRAINING:
                problems.add(folder, f"{part}_Input, a folder or a .zip", "neither", "put the images there")
    with problems.collect():
        if TRAINING in pictures:
            pictures[TRAINING].expect_some()
    known = {name for each in pictures.values() for name in each.names}
    for stem in TABLES:
        with problems.collect():
            tables[stem] = _table(there, stem, known, problems, unused)
            if stem.endswith("GroundTruth") and tables[stem][0] is None:
                problems.add(folder, f"{stem}.csv", "none", "put the table there")
    truth = tables.get(f"{TRAINING}_GroundTruth", (None,))[0]
    if len(tables) < len(TABLES) or truth is None or TRAINING not in pictures or not pictures[TRAINING].names:
        problems.raise_if_any()
    unused |= dict.fromkeys(there.values(), "not used, as of another name than the files of ISIC 2018")

    (truth, rows), lesions, parts = (tables[stem] for stem in TABLES)
    train, test = pictures[TRAINING], pictures.get(TEST)
    labels = _truth(truth, rows, problems)
    for name in sorted(train.names.keys() - rows.keys()):
        problems.add(train.names[name], f"a row in {truth.name}", "none", "add the row or remove the image")
    others = {path.stem: path.name for path in map(PurePath, map(str, train.unused))}
    for name in sorted(rows.keys() - train.names.keys()):
        found, do = (others[name], "save it as JPEG or PNG") if name in others else ("none", "add it or remove the row")
        problems.add(f"{truth} row {name}", f"an image in {train.place.name}", found, do)
    for name in sorted(train.names.keys() & (test.names.keys() if test else ())):
        do = "remove one of the two"
        problems.add(test.names[name], f"an image that is not in {train.place.name} too", train.names[name], do)
    ids = tuple(sorted(labels.keys() & train.names.keys()))
    lesion = _column(*lesions, "lesion_id", ids, problems, unused)
    part = _column(*parts, "split", ids, problems, unused, ("train", "val", "test"))
    places = {}
    for name, where in zip(lesion or (), part or (), strict=bool(lesion and part)):
        places.setdefault(name, set()).add(where)
    for name, where in sorted((name, where - {"", None}) for name, where in places.items() if name):
        if len(where) > 1:
            do = "correct the split, or take the groupings away where you want a split by image"
            found = " and ".join(sorted(where))
            problems.add(f"{parts[0]} lesion {name}", "all its images in one part", found, do)
    labels = np.array([labels[name] for name in ids], np.int64)
    _check_classes(truth, labels, problems)

    name = "synthetic" if (folder / MANIFEST).is_file() else "ISIC 2018"
    sources = *train.sources, *(test.sources if test else ()), *(path for path, _ in tables.values() if path)
    short = {str(path).removeprefix(f"{folder}{os.sep}"): why for path, why in unused.items()}
    return Dataset(folder, name, ids, labels, lesion, part, tuple(sorted(test.names)) if test else (), sources,
                   files.grouped(short), train, test)  # fmt: skip


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
    names = [f"{part}_{kind}" for kind in ("images", "labels") for part in parts]
    arrays, others = npz_arrays(path, names, what)
    images, labels = ([arrays[name] for name in each] for each in (names[:3], names[3:]))
    for part, x, y in zip(parts, images, labels, strict=True):
        name, n = f"{path} {part}", len(x) if x.ndim else 0
        if x.dtype != np.uint8 or x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[-1] != 3):
            problems.add(f"{name}_images", "(N, H, W, 3) uint8", f"{x.shape} {x.dtype}")
        elif not (0 < x.shape[1] * x.shape[2] <= PIXELS and n <= IMAGES):
            problems.add(f"{name}_images", f"up to {IMAGES:,} images of 1 to {PIXELS:,} pixels", f"{x.shape}")
        if y.shape not in ((n,), (n, 1)):
            problems.add(f"{name}_labels", f"({n}, 1)", f"{y.shape}")
        elif not np.issubdtype(y.dtype, np.integer) or (y.size and not 0 <= y.min() <= y.max() < len(CLASSES)):
            problems.add(f"{name}_labels", "whole numbers 0 to 6", f"{y.dtype} {np.unique(y)[:9]}")
    problems.raise_if_any()
    named = {f"{part}_{i:05d}": image for part, x in zip(parts, images, strict=True) for i, image in enumerate(x)}
    ours = np.array([CLASSES.index(name) for name in MEDMNIST_CLASSES], np.int64)
    labels = ours[np.concatenate([y.ravel() for y in labels])]
    _check_classes(path, labels, problems)
    unused = files.grouped(dict.fromkeys(others, "not used, as no array of MedMNIST"))
    return Dataset(path, "DermaMNIST", tuple(named), labels, parts=tuple(name.split("_")[0] for name in named),
                   sources=(path,), unused=unused, pictures=Arrays(named))  # fmt: skip
