"""Skin images as users have them on disk: ISIC 2018 Task 3 folders or unopened zips, MedMNIST npz, the synthetic set.

Nothing is decoded here but the tables: `prepare` decodes every image once.
"""

import csv
import io
import os
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath, PurePosixPath

import numpy as np

from i2pemd_lite import files
from i2pemd_lite.classification import layout, synthetic
from i2pemd_lite.classification.layout import CLASSES, MANIFEST, PIXELS, SUFFIXES, TEST, TRAINING, Arrays, Pictures
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
NONE = {"", "-", "?", "n/a", "na", "nan", "none", "null", "unknown"}  # what tools write into a cell that has no value


@dataclass(frozen=True)
class Dataset:
    """What is known of N images before any is decoded.

    folder: where it was read; name: "ISIC 2018", "DermaMNIST" or "synthetic"; ids: N names; labels: (N,) int64,
    positions in `CLASSES`; lesions: N lesion names, or None when unknown; parts: N of "train", "val", "test", or None
    when the data bring no split; test_ids: names of further images, without labels; sources: the files behind it all;
    unused: sentences on what else is there, and why it is not used, and on lesions with several classes.
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


def load(folder: Path | str | None = None, images: int = 1500) -> Dataset:
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
        real = files.data_folder("images", holds_images)
        return _find(real) if real else _isic(synthetic.make(images=images))
    if not (data := _find(Path(folder))):
        raise BadInput(f"{folder}: expected isic2018/ or dermamnist*.npz, found neither; see data/README.md")
    return data


def holds_images(folder):
    """Whether `load` knows the layout of what is in `folder`; of a file it is taken to be so."""
    return Path(folder).is_file() or any(_layout(Path(folder)))


def _layout(folder):
    """(the folder in the layout of ISIC 2018, `folder` or one in it, or None; the npz files there, the largest first),
    whatever the case of their names."""
    there = _children(folder)
    arrays = [path for path in there.values() if re.fullmatch(r"dermamnist.*\.npz", path.name.lower())]
    arrays.sort(key=lambda path: (-path.stat().st_size if path.is_file() else 0, path))
    begin = f"{TRAINING}_".lower()
    isic = (each for each in (folder, there.get("isic2018")) if any(name.startswith(begin) for name in _children(each)))
    return next(isic, None), arrays


def _find(folder):
    """The first data set in `folder`, or None."""
    isic, arrays = _layout(folder)
    if folder.is_file():
        return _medmnist(folder)
    if isic:
        data, why = _isic(isic, arrays), f"{isic} is there"
    elif arrays:
        data, why = _medmnist(arrays.pop(0)), "another is larger, or equal and before it"
    else:
        return None
    others = dict.fromkeys(arrays, f"not used, as {why}; I2PEMD_DATA=FILE or --data FILE chooses one")
    return replace(data, unused=(*data.unused, *files.grouped(others)))


def _children(folder):
    """{name in small letters: path} of what is in a folder, or nothing; of two of one name the other by its own."""
    found = {}
    for path in sorted(folder.iterdir(), reverse=True) if folder and folder.is_dir() else ():
        if not files.of_system(PurePath(path.name)):
            small = path.name.lower()
            found[path.name if small in found else small] = path  # small letters come first
    return found


def _pictures(there, folder, part, unused):
    """The `Pictures` of training or test, in a folder or zip of that name, which goes from `there`; None where there
    is no test. Raises `BadInput` where there are none for training."""
    places = [there.pop(name) for name in (f"{part}_Input".lower(), f"{part}_Input.zip".lower()) if name in there]
    if not places:
        if part == TRAINING:
            raise BadInput(f"{folder}: expected {part}_Input, a folder or a .zip, found neither; put the images there")
        return None
    found = Pictures(places[0])
    if part == TRAINING:
        found.expect_some()
    unused |= found.unused | {path: f"not used, as {places[0]} is taken" for path in places[1:]}
    return found


def _table(there, folder, stem, known, problems, unused):
    """(path, {image: {column: cell}}) of `<stem>.csv`, be it there, in a folder `<stem>` or in `<stem>.zip`; (None, {})
    without one. What was looked at goes from `there`. Raises `BadInput` where there is none of the classes."""
    name, found = f"{stem}.csv".lower(), {}
    for place in filter(None, [there.pop(each.lower(), None) for each in (f"{stem}.csv", stem, f"{stem}.zip")]):
        inside = layout.contents(place)
        tables = [path for short, path in inside if short.name.lower() == name]
        unused |= {path: "not used, as beside a table" for _, path in inside if path not in tables}
        if not inside:
            unused[place] = "not used, as no table is in it"
        elif found:
            unused |= {path: f"not used, as {[*found][0]} is taken" for path in tables}
        else:
            found = {path: path if isinstance(path, Path) else place for path in tables}
    if not found and stem.endswith("GroundTruth"):
        like = files.listed(path.name for small, path in there.items() if small.startswith(stem.lower())) or "none"
        raise BadInput(f"{folder}: expected {stem}.csv, found {like}; put the table there, under this name")
    for path in [*found][1:]:
        problems.add(path, "one table of its name", f"also {[*found][0]}", "remove one of the two")
    for table, path in found.items():
        return path, _rows(path, table, TABLES[stem], known, problems)
    return None, {}


def _rows(path, table, columns, known, problems):
    """{image: {column: cell}} of a table; an image is called as in `known`, {`_key`: name}."""
    what, do = "a CSV file in UTF-8, with commas", "open it in a spreadsheet and save it as CSV UTF-8, with commas"
    with files.parsing(path, what, do):
        data = layout.content(table, "a table", TABLE)
        kinds = [kind for start, kind in NO_TABLES.items() if data.startswith(start)]
        kinds += ["UTF-16"] * (data[:2].count(0) == 1)
        if b"\0" in data and not kinds:
            raise BadInput(f"{path}: expected {what}, found bytes of 0, as where a copy stopped; copy it again")
        text = "" if kinds else data.decode().lstrip("\ufeff")  # which two programs may have written, one after another
        text = re.sub(r"\Asep=.[\r\n]+", "", text)  # a line that Excel reads
        first = re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0].replace('"', "")
        kinds += [words for separator, words in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars"))
                  if {*columns} <= {*_header(first.split(separator), columns)}]  # fmt: skip
        if kinds:
            raise BadInput(f"{path}: expected {what}, found {kinds[0]}; {do}")
        if sum(map(data.count, (b",", b"\n", b"\r"))) > CELLS:
            raise BadInput(f"{path}: expected at most {CELLS:,} cells, found more; remove what is none of it")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        lines = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    header = _header(lines[0][1], columns) if lines else []
    if missing := [column for column in columns if column not in header]:
        raise BadInput(f"{path}: expected the columns {', '.join(columns)}, found {', '.join(header) or 'no header'}; "
                       f"add {', '.join(missing)}")  # fmt: skip
    if twice := [column for column in columns if header.count(column) > 1]:
        raise BadInput(f"{path}: expected each column once, found {', '.join(twice)} twice; remove one of the two")
    if len(lines) == 1:
        raise BadInput(f"{path}: expected rows of images, found a header alone; copy or download it again")
    if len(lines[-1][1]) < len(header) and not text.endswith(("\n", "\r")):
        found = f"{len(lines[-1][1])} of {len(header)} cells in the last, which does not end its line"
        problems.add(path, "whole rows", found, "copy or download it again")
    rows = {}
    for line, cells in lines[1:]:
        row = {column: cell.strip() for column, cell in zip(header, cells, strict=False)}
        name = row.get("image", "")
        name = known.get(_key(name), name)
        if not name:
            problems.add(f"{path} line {line}", "the name of an image", repr(row.get("image")), "correct the row")
        elif any(map(str.strip, cells[len(header) :])):
            problems.add(f"{path} row {name}", f"{len(header)} cells", f"{len(cells)}", "correct the row")
        elif name in rows:
            problems.add(f"{path} row {name}", "each image once", "it twice", "remove one row")
        rows.setdefault(name, row)
    rows.pop("", None)
    return rows


def _header(cells, columns):
    """The cells of a header without blanks, and in the letters of the `columns` that are meant."""
    ours = {column.casefold(): column for column in columns}
    return [ours.get(cell.strip().casefold(), cell.strip()) for cell in cells]


def _key(name):
    """What tables and files may spell differently of one image goes from its name: folders, the ending of an image,
    capitals, and how accents are written."""
    short = PurePosixPath(name.replace("\\", "/"))
    name = short.stem if short.suffix.lower() in SUFFIXES else short.name
    return unicodedata.normalize("NFC", name).casefold()


def _truth(path, rows, problems):
    """{image: class} of one-hot rows."""
    labels = {}
    for name, row in rows.items():
        scores = {c: _number(row.get(c)) for c in CLASSES}
        if None in scores.values():
            found = files.listed(f"{c} = {row.get(c)!r}" for c, score in scores.items() if score is None)
            problems.add(f"{path} row {name}", "numbers", found, "correct the row")
            continue
        if sorted(scores.values()) != [0.0] * (len(CLASSES) - 1) + [1.0]:
            found = ", ".join(f"{c} = {score:g}" for c, score in scores.items() if score) or "only zeros"
            others = () if any(scores.values()) else row.keys() - {"image", *CLASSES}
            more = sorted(c for c in others if _number(row[c]) == 1)
            found += "".join(f", and a 1 for {c}" for c in more)
            do = f"leave it out where that is a class: these are {', '.join(CLASSES)}" if more else "correct the row"
            problems.add(f"{path} row {name}", "one 1 and else 0", found, do)
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
    cells = {name: row.get(column, "") for name, row in rows.items()}
    cells = {name: cell.lower() for name, cell in cells.items()} if allowed else cells
    expected, spelled = " or ".join(allowed) if allowed else f"a {column}", {}
    for name in ids:
        if name not in cells:
            problems.add(f"{path}", f"a row of {name}", "none", "add the row")
        elif cells[name].lower() in NONE or (allowed and cells[name] not in allowed):
            problems.add(f"{path} row {name}", expected, repr(cells[name]), "correct the row")
        elif (other := spelled.setdefault(cells[name].casefold(), cells[name])) != cells[name]:
            problems.add(f"{path} row {name}", f"one spelling of {other}", cells[name], "correct the rows")
    unused |= {f"{path} row {name}": "not used, as no labelled image" for name in sorted(cells.keys() - set(ids))}
    return tuple(cells.get(name) for name in ids)


def _isic(folder, taken=()):
    """A `Dataset` from a folder in the layout of ISIC 2018 Task 3; `taken`: paths in it that are none of its own."""
    problems, read, unused = files.Problems(str(folder)), {}, {}
    there = {name: path for name, path in _children(folder).items() if path not in taken and path.name != MANIFEST}
    for part in (TRAINING, TEST):
        with problems.collect():
            read[part] = _pictures(there, folder, part, unused)
    names = {name for pictures in read.values() if pictures for name in pictures.names}
    once = Counter(map(_key, names))
    known = {key: name for name in names if once[key := _key(name)] == 1}  # else a table has to name them exactly
    for stem in TABLES:
        with problems.collect():
            read[stem] = _table(there, folder, stem, known, problems, unused)
    if len(read) < 2 + len(TABLES):
        problems.raise_if_any()
    unused |= dict.fromkeys(there.values(), "not used, as of another name than the files of ISIC 2018")

    train, test, (truth, rows), lesions, parts = read.values()
    labels = _truth(truth, rows, problems)
    _match(train, test, truth, rows, problems)
    ids = tuple(sorted(labels.keys() & train.names.keys()))
    lesion = _column(*lesions, "lesion_id", ids, problems, unused)
    part = _column(*parts, "split", ids, problems, unused, ("train", "val", "test"))
    for name, where in _by_lesion(lesion, part):
        do = "correct the split, or take the groupings away where you want a split by image"
        problems.add(f"{parts[0]} lesion {name}", "all its images in one part", " and ".join(where), do)
    labels = np.array([labels[name] for name in ids], np.int64)
    _check_classes(truth, labels, problems)
    odd = f"{lesions[0]}: images of one lesion are of several classes; are its rows those of the images"
    mixed = dict.fromkeys((name for name, _ in _by_lesion(lesion, labels.tolist())), odd)

    name = "synthetic" if (folder / MANIFEST).is_file() else "ISIC 2018"
    sources = *train.sources, *(test.sources if test else ()), *filter(None, (truth, lesions[0], parts[0]))
    short = {str(path).removeprefix(f"{folder}{os.sep}"): why for path, why in unused.items()}
    return Dataset(folder, name, ids, labels, lesion, part, tuple(sorted(test.names)) if test else (), sources,
                   files.grouped(short | mixed), train, test)  # fmt: skip


def _match(train, test, truth, rows, problems):
    """Note images without a row and the reverse, and those that are in training and test."""
    for name in sorted(train.names.keys() - rows.keys()):
        problems.add(train.names[name], f"a row in {truth.name}", "none", "add the row or remove the image")
    others = {path.stem: path.name for path in map(PurePath, map(str, train.unused))}
    for name in sorted(rows.keys() - train.names.keys()):
        found, do = (others[name], "save it as JPEG or PNG") if name in others else ("none", "add it or remove the row")
        problems.add(f"{truth} row {name}", f"an image in {train.place.name}", found, do)
    for name in sorted(train.names.keys() & (test.names.keys() if test else ())):
        expected = f"an image that is not in {train.place.name} too"
        problems.add(test.names[name], expected, train.names[name], "remove one of the two")


def _by_lesion(lesions, values):
    """[(lesion, its values)] of the lesions whose images have several values; none where either is unknown."""
    found = {}
    for lesion, value in zip(lesions or (), values or (), strict=bool(lesions and values)):
        found.setdefault(lesion, set()).add(value)
    found = {lesion: sorted(values - {"", None}) for lesion, values in found.items() if lesion}
    return sorted((lesion, values) for lesion, values in found.items() if len(values) > 1)


def _check_classes(name, labels, problems):
    """Raise what is wrong with a data set, its classes without an image too."""
    if len(labels) or not problems.found:  # which say why there are none
        for k in np.flatnonzero(np.bincount(labels, minlength=len(CLASSES)) == 0):
            problems.add(name, f"an image of each class, {CLASSES[k]} too", "none of it", "add one")
    problems.raise_if_any()


def _medmnist(path):
    """A `Dataset` from a MedMNIST file; its own split is by image, so that lesions are in several parts of it."""
    parts, problems = ("train", "val", "test"), files.Problems(str(path))
    what = "a MedMNIST file of plain arrays train_images, train_labels, val_…, test_…"
    names = [f"{part}_{kind}" for kind in ("images", "labels") for part in parts]
    arrays, others = layout.npz_arrays(path, names, what)
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
