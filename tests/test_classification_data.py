"""Reading, preparing and splitting skin images: every layout, every kind of bad input, real files."""

import csv
import io
import json
import os
import re
import shutil
import struct
import tracemalloc
import types
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from i2pemd_lite import compact
from i2pemd_lite.classification import codec
from i2pemd_lite.classification.data import CLASSES, TEST, TRAINING, Dataset, load
from i2pemd_lite.classification.layout import Arrays, Pictures
from i2pemd_lite.classification.prepare import Prepared, prepare, split, stored_side
from i2pemd_lite.files import BadInput

IDS = [f"ISIC_{i:07d}" for i in range(14)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def picture(i, mode="RGB"):
    """40 x 30 px, left half of grey level 10 i, right half of 255 - 10 i."""
    array = np.full((30, 40, 3), 255 - 10 * i, np.uint8)
    array[:, :20] = 10 * i
    return Image.fromarray(array).convert(mode)


def jpeg(image, quality=95):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def truth(ids=IDS, labels=None):
    labels = [i % 7 for i in range(len(ids))] if labels is None else labels
    return [[name, *(float(k == j) for j in range(7))] for name, k in zip(ids, labels, strict=True)]


def write_csv(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def isic(tmp_path):
    """A folder of 14 images, two of each class and of each lesion, as ISIC 2018 Task 3 is laid out."""
    folder = tmp_path / "isic2018"
    (folder / f"{TRAINING}_Input").mkdir(parents=True)
    for i, name in enumerate(IDS):
        (folder / f"{TRAINING}_Input" / f"{name}.jpg").write_bytes(jpeg(picture(i)))
    write_csv(folder / f"{TRAINING}_GroundTruth.csv", ["image", *CLASSES], truth())
    groups = [[name, f"HAM_{i % 7:07d}", "histo"] for i, name in enumerate(IDS)]
    write_csv(folder / f"{TRAINING}_LesionGroupings.csv", ["image", "lesion_id", "diagnosis_confirm_type"], groups)
    return folder


def zipped(folder, stem, inside=True):
    """Replace a folder of images by a zip of them."""
    with zipfile.ZipFile(folder / f"{stem}.zip", "w") as archive:
        for path in sorted((folder / stem).iterdir()):
            archive.write(path, f"{stem}/{path.name}" if inside else path.name)
            path.unlink()
    (folder / stem).rmdir()
    return folder / f"{stem}.zip"


# Layouts.


@pytest.mark.parametrize("place", [".", ".."])
def test_a_folder_is_read(isic, place):
    data = load(isic / place)
    assert data.name == "ISIC 2018" and data.folder.resolve() == isic
    assert data.ids == tuple(IDS) and data.labels.tolist() == [i % 7 for i in range(14)]
    assert data.labels.dtype == np.int64
    assert data.lesions[9] == "HAM_0000002" and data.parts is None and data.test_ids == ()
    assert np.asarray(data.pictures.open(IDS[3]))[15, [5, 35], 0] == pytest.approx([30, 225], abs=2)  # JPEG


def test_a_zip_gives_the_same_and_stays_closed(isic):
    here = prepare(load(isic), 16, progress=False)
    zipped(isic, f"{TRAINING}_Input")
    write_csv(isic / "table.csv", ["image", *CLASSES], truth())
    with zipfile.ZipFile(isic / f"{TRAINING}_GroundTruth.zip", "w") as archive:
        archive.write(isic / f"{TRAINING}_GroundTruth.csv", f"deep/{TRAINING}_GroundTruth.csv")
    (isic / f"{TRAINING}_GroundTruth.csv").unlink()
    before = sorted(isic.rglob("*"))
    data = load(isic)
    there = prepare(data, 16, progress=False)
    assert data.pictures.place.suffix == ".zip" and sorted(isic.rglob("*")) == before
    assert torch.equal(here.images, there.images) and here.fingerprint == there.fingerprint


def test_columns_are_found_by_name_and_a_table_may_lie_in_its_folder(isic):
    (isic / f"{TRAINING}_GroundTruth.csv").unlink()
    rows = [[name, 0.5, *reversed(ones), 1.0] for name, *ones in truth()]
    header = ["image", "score_weight", *reversed(CLASSES), "validation_weight"]
    table = isic / f"{TRAINING}_GroundTruth" / f"{TRAINING}_GroundTruth.csv"
    write_csv(table, header, rows)
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())  # as spreadsheets write it
    assert load(isic).labels.tolist() == [i % 7 for i in range(14)]


def test_test_images_and_a_split_file(isic):
    (isic / f"{TEST}_Input").mkdir()
    for i in (3, 5):
        picture(i).save(isic / f"{TEST}_Input" / f"T_{i}.png")
    write_csv(isic / "split.csv", ["image", "split"], [[n, "val" if n < IDS[4] else "train"] for n in reversed(IDS)])
    (isic / f"{TRAINING}_LesionGroupings.csv").unlink()
    data = load(isic)
    assert data.test_ids == ("T_3", "T_5") and data.parts == ("val",) * 4 + ("train",) * 10
    prepared = prepare(data, 14, progress=False)
    assert prepared.test_images[:, 0, 8, 2].tolist() == [30, 50]
    parts = split(prepared, labelled=1.0)
    assert parts.by == "file" and parts.val.tolist() == [0, 1, 2, 3] and len(parts.test) == 0 == len(parts.unlabelled)


SIZES = {"train": 14, "val": 7, "test": 7}


def arrays(folder, name="dermamnist.npz", side=28, **changes):
    """A MedMNIST file: image i is of grey level 10 i, 5 brighter at its top, and of class i mod 7 in its order."""
    content = {}
    for part, n in SIZES.items():
        images = np.arange(n, dtype=np.uint8)[:, None, None, None] * 10
        content[f"{part}_images"] = np.broadcast_to(images, (n, side, side, 3)).copy()
        content[f"{part}_images"][:, : side // 4] += 5
        content[f"{part}_labels"] = (np.arange(n) % 7).astype(np.uint8)[:, None]
    np.savez(folder / name, **{k: v for k, v in (content | changes).items() if v is not None})
    return folder / name


def test_medmnist_is_read_in_our_order_of_classes(tmp_path):
    arrays(tmp_path, "dermamnist.npz", 28)
    arrays(tmp_path, "dermamnist_64.npz", 64)
    data = load(tmp_path)
    assert data.name == "DermaMNIST" and len(data) == 28
    assert data.pictures.open(data.ids[0]).size == (64, 64)
    # akiec, bcc, bkl, df, mel, nv, vasc, as MedMNIST's own table of its labels has them.
    assert [CLASSES[k] for k in data.labels[:7]] == ["AKIEC", "BCC", "BKL", "DF", "MEL", "NV", "VASC"]
    prepared = prepare(data, 28, progress=False)
    assert prepared.images.shape == (28, 3, 32, 32) and prepared.images[5].aminmax() == (50, 55)
    parts = split(prepared, labelled=0.5, stratified=True)
    assert parts.by == "file" and [len(x) for x in (parts.labelled, parts.val, parts.test)] == [7, 7, 7]
    with pytest.raises(BadInput, match="LesionGroupings"):
        split(prepared, by="lesion")


def test_images_that_show_nothing_are_named(tmp_path):
    flat = np.full((4, 28, 28, 3), 7, np.uint8)
    flat[1:, 0] = 9
    data = load(arrays(tmp_path, val_images=flat, val_labels=np.arange(4, dtype=np.uint8)[:, None]))
    with pytest.raises(BadInput, match="1 problem .*\n  val_00000: expected an image, found the value 7 everywhere"):
        prepare(data, 28, progress=False)


def test_arrays_that_come_from_no_file_are_not_mistaken_for_each_other():
    def brightness(value):
        picture = np.full((28, 28, 3), value, np.uint8)
        picture[0] = 0
        data = Dataset(".", "two", ("a", "b"), np.array([0, 1]), pictures=Arrays({"a": picture, "b": picture}))
        return prepare(data, 28, progress=False).images.max().item()

    assert (brightness(10), brightness(200)) == (10, 200)


def test_data_come_from_the_named_folder_or_are_made(isic, monkeypatch, tmp_path, caplog):
    made = []

    def make(images):
        made.append(images)
        return isic

    monkeypatch.setattr("i2pemd_lite.classification.synthetic.make", make)
    assert load(images=77).folder == isic and made == [77]
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("I2PEMD_DATA", str(tmp_path / "other"))
    assert load().folder == isic and len(made) == 2
    assert f"I2PEMD_DATA: no images in {tmp_path / 'other'}" in caplog.text and "synthetic" in caplog.text
    arrays(tmp_path / "other")
    assert load().name == "DermaMNIST" and len(made) == 2
    with pytest.raises(BadInput, match="isic2018/ or dermamnist"):
        load(tmp_path / "cache")


# Bad input.


def edit(isic, change):
    rows = truth()
    change(rows)
    write_csv(isic / f"{TRAINING}_GroundTruth.csv", ["image", *CLASSES], rows)


def test_a_class_of_ones_own_is_named(isic):
    rows = [[*row, 0.0] for row in truth()]
    rows[1][1:] = [0.0] * 7 + [1.0]
    write_csv(isic / f"{TRAINING}_GroundTruth.csv", ["image", *CLASSES, "SCC"], rows)
    words = "found only zeros, and a 1 for SCC; leave it out where that is a class: these are MEL, NV, BCC, AKIEC, BKL"
    refused(isic, words)


def test_everything_wrong_with_a_folder_is_said_at_once(isic):
    def change(rows):
        rows[0][1:] = [1.0, 1.0, 0, 0, 0, 0, 0]
        rows[1][1:] = [0.0] * 7
        rows[2][3] = "yes"
        rows[3][5] = 0.5
        rows[4][0] = "ISIC_elsewhere"
        rows.append(rows[5])

    edit(isic, change)
    write_csv(isic / "split.csv", ["image", "split"], [[n, "train"] for n in IDS[:-1]] + [["x", "holiday"]])
    with pytest.raises(BadInput) as error:
        load(isic)
    text = str(error.value)
    for words in (
        "row ISIC_0000000: expected one 1 and else 0, found MEL = 1, NV = 1",
        "row ISIC_0000001: expected one 1 and else 0, found only zeros",
        "row ISIC_0000002: expected numbers, found BCC = 'yes'",
        "row ISIC_0000003: expected one 1 and else 0, found AKIEC = 1, BKL = 0.5",
        "row ISIC_elsewhere: expected an image in ISIC2018_Task3_Training_Input, found none",
        "ISIC_0000004.jpg: expected a row in ISIC2018_Task3_Training_GroundTruth.csv, found none",
        "row ISIC_0000005: expected each image once, found it twice",
        "split.csv: expected a row of ISIC_0000013, found none",
    ):
        assert words in text, text


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda rows: [row.pop() for row in rows], "found VASC = None"),
        (lambda rows: [row.__setitem__(slice(1, 8), [0, 1, 0, 0, 0, 0, 0]) for row in rows], "MEL too, found none"),
        (lambda rows: [row.__setitem__(slice(6, 8), [row[6] + row[7], 0]) for row in rows], "VASC too, found none"),
        (lambda rows: rows[0].__setitem__(1, "nan"), "found MEL = nan"),
    ],
)
def test_bad_rows(isic, change, words):
    edit(isic, change)
    with pytest.raises(BadInput, match=words):
        load(isic)


def test_missing_columns_and_bad_cells_of_the_side_tables(isic):
    write_csv(isic / f"{TRAINING}_GroundTruth.csv", ["image", *CLASSES[:-1]], [row[:-1] for row in truth()])
    write_csv(isic / f"{TRAINING}_LesionGroupings.csv", ["picture", "lesion_id"], [])
    with pytest.raises(BadInput) as error:
        load(isic)
    assert "2 problems" in str(error.value) and "add VASC" in str(error.value) and "add image" in str(error.value)
    edit(isic, lambda rows: None)
    write_csv(isic / f"{TRAINING}_LesionGroupings.csv", ["image", "lesion_id"], [[n, ""] for n in IDS])
    write_csv(isic / "split.csv", ["image", "split"], [[n, "holiday"] for n in IDS])
    with pytest.raises(BadInput, match=r"(?s)28 prob.*a lesion_id, found ''.*train or val or test, found 'holiday'"):
        load(isic)


def test_missing_parts_are_named(isic):
    (isic / f"{TRAINING}_GroundTruth.csv").unlink()
    zipped(isic, f"{TRAINING}_Input").unlink()
    with pytest.raises(BadInput, match=r"(?s)2 problems.*_Input, a folder or a .zip.*_GroundTruth.csv, found none"):
        load(isic)
    (isic / f"{TRAINING}_GroundTruth.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="CSV file in UTF-8"):
        load(isic)


@pytest.mark.parametrize("odd", ["../I_9.jpg", "/tmp/I_9.jpg", "a/../../9.jpg", "..\\I_9.jpg", "C:\\9.jpg"])
def test_a_zip_with_a_path_that_leaves_it_is_refused(isic, odd):
    archive = zipped(isic, f"{TRAINING}_Input")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(odd, jpeg(picture(1)))
    with pytest.raises(BadInput, match="expected a path inside the archive, found one that leaves it"):
        load(isic)


def test_a_broken_zip_and_an_image_twice(isic, tmp_path):
    archive = zipped(isic, f"{TRAINING}_Input", inside=False)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("__MACOSX/._ISIC_0000001.jpg", b"")
        file.writestr("LICENSE.txt", "terms")
        file.writestr("./", "")
        file.writestr(".//more//ISIC_0000014.jpg", jpeg(picture(14)))
    edit(isic, lambda rows: rows.extend(truth(["ISIC_0000014"])))
    (isic / f"{TRAINING}_LesionGroupings.csv").unlink()
    assert len(data := load(isic)) == 15 and data.pictures.open(data.ids[14]).size == (40, 30)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("more/ISIC_0000001.JPEG", jpeg(picture(1)))
    with pytest.raises(BadInput, match="ISIC_0000001.JPEG: expected one image of each name"):
        load(isic)
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(BadInput, match="expected a whole zip"):
        load(isic)


@pytest.mark.parametrize("packed", [False, True])
def test_every_image_that_cannot_be_decoded_is_named_and_nothing_is_left(isic, cache, packed):
    pictures = isic / f"{TRAINING}_Input"
    whole = jpeg(Image.effect_noise((60, 60), 90).convert("RGB"))
    for i, data in ((1, whole[: len(whole) // 2]), (4, b""), (6, b"GIF89a"), (8, jpeg(picture(8)))):
        (pictures / f"{IDS[i]}.jpg").write_bytes(data)
    file = io.BytesIO()
    Image.fromarray(np.full((9, 9), 40000, np.uint16)).save(file, "PNG")
    (pictures / f"{IDS[9]}.jpg").write_bytes(file.getvalue())
    if packed:
        zipped(isic, f"{TRAINING}_Input")
    with pytest.raises(BadInput) as error:
        prepare(load(isic), 16, progress=False)
    text = str(error.value)
    assert "4 problems" in text and all(IDS[i] in text for i in (1, 4, 6, 9)), text
    assert "truncated" in text and "another format" in text and "mode I;16" in text
    assert not list(cache.glob("*"))


def test_a_damaged_zip_member_is_named(isic):
    archive = zipped(isic, f"{TRAINING}_Input")
    data = bytearray(archive.read_bytes())
    data[data.find(IDS[7].encode()) + 400] ^= 255
    archive.write_bytes(data)
    damaged = f"{IDS[7]}.jpg: expected a whole 8-bit JPEG or PNG, found Bad CRC-32"
    with pytest.raises(BadInput, match=f"(?s)1 problem.*{damaged}"):
        prepare(load(isic), 16, progress=False)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"val_labels": None}, "val_labels"),
        ({"train_labels": np.zeros((13, 1), np.uint8)}, r"train_labels: expected \(14, 1\), found \(13, 1\)"),
        ({"train_labels": np.full((14, 1), 7)}, "whole numbers 0 to 6"),
        ({"train_labels": np.zeros((14, 1), np.float32)}, "whole numbers 0 to 6"),
        ({"test_images": np.zeros((7, 28, 28, 3), np.float32)}, "uint8, found .* float32"),
        ({"test_images": np.zeros((7, 28, 28, 4), np.uint8)}, r"\(N, H, W, 3\)"),
        ({"train_labels": np.array([{}] * 14, dtype=object)}, "plain arrays"),
        ({f"{part}_labels": np.ones(n, int) for part, n in SIZES.items()}, "an image of each class, MEL too"),
    ],
)
def test_bad_arrays(tmp_path, changes, words):
    arrays(tmp_path, **changes)
    with pytest.raises(BadInput, match=words):
        load(tmp_path)


def test_a_truncated_npz_is_named(tmp_path):
    file = arrays(tmp_path)
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(BadInput, match="MedMNIST file"):
        load(file)


# What is there beside, twice, or something else than its name says.


def refused(folder, *words):
    """The sentences of the one `BadInput` that reading and preparing end with."""
    with pytest.raises(BadInput) as error:
        prepare(load(folder), 16, progress=False)
    text = str(error.value)
    for each in words:
        assert each in text, text
    assert len(text.splitlines()) <= 8, text
    return text


GROUPS = f"{TRAINING}_LesionGroupings.csv"


def split_csv(isic, rows):
    write_csv(isic / "split.csv", ["image", "split"], rows)


@pytest.mark.parametrize("table", ["split.csv", GROUPS, f"{TRAINING}_GroundTruth.csv"])
def test_an_image_twice_in_a_table_is_named(isic, table):
    split_csv(isic, [[n, ("train", "val")[i % 7 > 4]] for i, n in enumerate(IDS)])
    lines = (isic / table).read_text().splitlines()
    (isic / table).write_text("\n".join([*lines, lines[3].replace("HAM_0000002", "HAM_1").replace("train", "test")]))
    refused(isic, f"{table} row {IDS[2]}: expected each image once, found it twice")


def test_views_of_one_lesion_in_two_parts_are_named(isic):
    split_csv(isic, [[n, "test" if n == IDS[9] else "train"] for n in IDS])
    refused(isic, "split.csv lesion HAM_0000002: expected all its images in one part, found test and train")


def test_what_is_not_used_is_said_with_the_reason(isic):
    place = isic / f"{TRAINING}_Input"
    for name in ("LICENSE.txt", "ATTRIBUTION.txt", "a.tif", "b.tif", ".hidden", "Thumbs.db", ".DS_Store"):
        (place / name).write_text("words")
    (isic / "split (1).csv").write_text("image,split")
    (isic / f"{TRAINING}_GroundTruth").mkdir()
    (isic / f"{TRAINING}_GroundTruth" / "LICENSE.txt").write_text("words")
    zipfile.ZipFile(isic / f"{TRAINING}_Input.zip", "w").close()
    split_csv(isic, [[n, "train"] for n in (*IDS, "ISIC_1", "ISIC_2")])
    data = load(isic)
    text = "\n".join(data.unused)
    assert len(data) == 14 and str(data).endswith(data.unused[-1])
    for words in (
        "not used, as no JPEG or PNG (4): ISIC2018_Task3_Training_Input/ATTRIBUTION.txt, ",
        "LICENSE.txt, ISIC2018_Task3_Training_Input/a.tif and 1 more",
        "not used, as no labelled image (2): split.csv row ISIC_1, split.csv row ISIC_2",
        f"{TRAINING}_Input is taken (1): {TRAINING}_Input.zip",
        "not used, as beside a table (1): ISIC2018_Task3_Training_GroundTruth/LICENSE.txt",
        "not used, as of another name than the files of ISIC 2018 (1): split (1).csv",
    ):
        assert words in text, text
    assert not any(word in text for word in ("hidden", "Thumbs", "DS_Store")) and len(data.unused) == 5


def test_names_in_other_letters_are_taken_and_two_of_them_said(isic):
    split_csv(isic, [[n, "train"] for n in IDS])
    (isic / "split.csv").rename(isic / "Split.CSV")
    zipped(isic, f"{TRAINING}_Input").rename(isic / f"{TRAINING}_Input.ZIP")
    data = load(isic)
    assert data.parts == ("train",) * 14 and data.unused == ()
    (isic / "SPLIT.CSV").write_text("image,split")
    assert "not used, as of another name than the files of ISIC 2018 (1): SPLIT.CSV" in load(isic).unused


def test_a_part_of_a_data_set_is_not_served_the_whole(isic):
    data = load(isic)
    whole = prepare(data, 14, progress=False)
    part = replace(data, ids=data.ids[::2], labels=data.labels[::2], lesions=data.lesions[::2])
    assert len(prepare(part, 14, progress=False)) == 7 and len(prepare(data, 14, progress=False)) == len(whole) == 14


def test_a_member_that_a_zip_has_twice_is_named(isic):
    archive = zipped(isic, f"{TRAINING}_Input")
    with zipfile.ZipFile(archive, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr(f"{TRAINING}_Input/{IDS[3]}.jpg", jpeg(picture(9)))
    refused(isic, f"{IDS[3]}.jpg: expected one image of each name")


def test_an_image_with_and_without_a_label_is_named(isic):
    (isic / f"{TEST}_Input").mkdir()
    picture(3).save(isic / f"{TEST}_Input" / f"{IDS[3]}.png")
    refused(isic, f"{IDS[3]}.png: expected an image that is not in {TRAINING}_Input too")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_pipes_and_links_to_nowhere_are_no_images_and_no_tables(isic):
    place = isic / f"{TRAINING}_Input"
    os.mkfifo(place / "x.jpg")
    (place / "y.jpg").symlink_to("nowhere")
    (place / "z.png").mkdir()
    (place / "part_9").symlink_to(isic)
    assert [line.partition(" (")[0] for line in load(isic).unused] == [
        "not used, as a link to a folder", "not used, as a pipe", "not used, as a link to nowhere",
        "not used, as a folder",
    ]  # fmt: skip
    os.mkfifo(isic / "split.csv")
    refused(isic, "split.csv: expected a CSV file in UTF-8, with commas, found a pipe")


def test_links_to_files_are_files(isic):
    path = isic / f"{TRAINING}_Input" / f"{IDS[2]}.jpg"
    path.rename(isic.parent / "object")
    path.symlink_to(isic.parent / "object")
    assert len(prepare(load(isic), 16, progress=False)) == 14


def swap(isic, change, table=f"{TRAINING}_GroundTruth.csv"):
    """Change the bytes of a table."""
    path = isic / table
    path.write_bytes(change(path.read_bytes()))


LAST = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC", "image"]


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda data: data.replace(b",", b";"), "found semicolons; open it in a spreadsheet and save it as CSV UTF-8"),
        (lambda data: data.replace(b",", b"\t"), "found tabs; open it"),
        (lambda data: data.decode().encode("utf-16"), "found UTF-16; open it"),
        (lambda data: data.decode().encode("utf-16-le"), "found UTF-16; open it"),
        (lambda data: b"PK\x03\x04" + data, "found an Excel file; open it"),
        (lambda data: b"\xd0\xcf\x11\xe0" + data, "found an Excel file; open it"),
        (lambda data: data.splitlines(True)[0], "expected rows of images, found a header alone"),
        (lambda data: data.replace(b"MEL", b"NV", 1).replace(b"BCC", b"MEL,BCC", 1), "found NV twice"),
        (lambda data: data.replace(b"1.0", b"1,0").replace(b"0.0", b"0,0"), "expected 8 cells, found 15"),
        (lambda data: data + b'"x,1', "unexpected end of data"),
        (lambda data: b"sep=;\r\n" + data.replace(b",", b";"), "found semicolons; open it"),
        (lambda data: data + b"\n" * 2**21, "expected at most 2,097,152 cells"),
        (lambda data: data.replace(b"NV", b"N\xe9"), "in UTF-8, with commas, found 'utf-8' codec can't decode"),
        (lambda data: data.replace(b"ISIC_0000003", b""), "GroundTruth.csv line 5: expected the name of an image"),
    ],
)
def test_one_cause_in_a_table_is_one_sentence_with_its_mend(isic, change, words):
    swap(isic, change)
    refused(isic, words)


@pytest.mark.parametrize("table, columns", [(f"{TRAINING}_GroundTruth.csv", LAST), ("split.csv", ["split", "image"])])
def test_a_row_cut_short_before_its_image_is_named(isic, table, columns):
    rows = [[*ones, name] for name, *ones in truth()] if len(columns) > 2 else [["train", name] for name in IDS]
    write_csv(isic / table, columns, rows)
    assert len(load(isic)) == 14
    write_csv(isic / table, columns, [*rows[:4], rows[4][:-1], *rows[5:]])
    refused(isic, f"{table} line 6: expected the name of an image, found None; correct the row", IDS[4])


def test_a_line_for_excel_and_blanks_in_cells_are_taken(isic):
    swap(isic, lambda data: b"sep=,\r\n" + data.replace(b"ISIC_0000001", b" ISIC_0000001 "))
    swap(isic, lambda data: data.replace(b"HAM_0000002", b"HAM_0000002 ", 1), GROUPS)
    data = load(isic)
    assert data.ids == tuple(IDS) and data.lesions[2] == data.lesions[9] == "HAM_0000002"


def test_names_with_the_ending_of_their_file_are_taken(isic):
    for table in (f"{TRAINING}_GroundTruth.csv", GROUPS):
        swap(isic, lambda data: re.sub(rb"(ISIC_\d+)", rb"images/\1.JPG", data), table)
    assert load(isic).ids == tuple(IDS) and load(isic).lesions[9] == "HAM_0000002"
    edit(isic, lambda rows: rows.append([f"{IDS[0]}.jpg", *rows[0][1:]]))
    refused(isic, f"row {IDS[0]}: expected each image once")


def renamed(isic, change):
    for path in (isic / f"{TRAINING}_Input").iterdir():
        path.rename(path.with_name(change(path.name)))


@pytest.mark.parametrize(
    "image, row",
    [
        (str, str.lower),  # as Windows and macOS do not tell them apart
        (lambda name: f"la\u0308_{name}", lambda name: f"l\xe4_{name}"),  # as macOS writes it, and a keyboard
        (lambda name: f"{name}.jpg", str),  # where Windows hides the ending
        (lambda name: f"{name}.JPG", lambda name: f"C:\\photos\\{name}"),
    ],
)
def test_names_that_look_alike_are_those_of_one_image(isic, image, row):
    renamed(isic, image)
    for table in (f"{TRAINING}_GroundTruth.csv", GROUPS):
        swap(isic, lambda data: re.sub(r"ISIC_\d+", lambda name: row(name[0]), data.decode()).encode(), table)
    data = load(isic)
    assert data.labels.tolist() == [i % 7 for i in range(14)] and data.lesions[9] == "HAM_0000002"


def test_names_that_differ_in_capitals_only_are_two(isic):
    shutil.copy(isic / f"{TRAINING}_Input" / f"{IDS[3]}.jpg", isic / f"{TRAINING}_Input" / "isic_0000003.jpg")
    refused(isic, "isic_0000003.jpg: expected a row in")
    edit(isic, lambda rows: rows.append(["isic_0000003", *rows[3][1:]]))
    (isic / GROUPS).unlink()
    assert len(prepare(load(isic), 16, progress=False)) == 15
    edit(isic, lambda rows: rows.append(["Isic_0000003", *rows[3][1:]]))
    refused(isic, "row Isic_0000003: expected an image in")


def test_the_layout_is_known_in_any_letters_and_in_the_folders_that_unpacking_makes(isic, tmp_path):
    stem = f"{TRAINING}_GroundTruth"
    (isic / "temporary").mkdir()
    (isic / f"{stem}.csv").rename(isic / "temporary" / f"{stem}.csv")
    (isic / stem).mkdir()
    (isic / "temporary").rename(isic / stem / stem)
    for path in isic.iterdir():
        path.rename(path.with_name(path.name.lower()))
    isic.rename(tmp_path / "ISIC2018")
    assert len(load(tmp_path)) == 14 and load(tmp_path).lesions
    shutil.rmtree(tmp_path / "ISIC2018")
    arrays(tmp_path).rename(tmp_path / "DermaMNIST.NPZ")
    assert len(load(tmp_path)) == 28


def test_a_table_in_other_letters_or_marked_twice_as_utf_8_is_read(isic):
    swap(isic, lambda data: b"\xef\xbb\xbf" * 2 + data.replace(b"image,MEL", b"Image,mel"))
    split_csv(isic, [[n, ("Train", "VAL")[i % 7 > 4]] for i, n in enumerate(IDS)])
    assert load(isic).parts[4:6] == ("train", "val") and load(isic).labels[7] == 0


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda data: data + bytes(99), "found bytes of 0, as where a copy stopped; copy it again"),
        (lambda data: data[: data.rindex(b"6,histo")], "found 2 of 3 cells in the last, which does not end its line"),
        (lambda data: data.replace(b"HAM_0000003", b"nan"), "expected a lesion_id, found 'nan'"),
        (lambda data: data.replace(b"HAM_0000003", b"Unknown"), "expected a lesion_id, found 'Unknown'"),
        (lambda data: data.replace(b"HAM", b"ham", 1), "expected one spelling of ham_0000000, found HAM_0000000"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS; get the file by git lfs"),
    ],
)
def test_lesions_that_are_not_what_they_seem_are_named(isic, change, words):
    swap(isic, change, GROUPS)
    refused(isic, words)


def test_lesions_of_several_classes_are_said(isic):
    swap(isic, lambda data: data.replace(b"HAM_0000003", b"x").replace(b"HAM_0000004", b"x"), GROUPS)
    assert f"{isic / GROUPS}: images of one lesion are of several classes" in str(load(isic))
    assert load(isic).unused[0].endswith("(1): x")


def test_two_tables_of_one_name_and_one_of_another_name_are_told(isic):
    table = isic / f"{TRAINING}_GroundTruth.csv"
    with zipfile.ZipFile(table.with_suffix(".zip"), "w") as archive:
        for folder in "ab":
            archive.write(table, f"{folder}/{table.name}")
    table.rename(isic / f"{TRAINING}_GroundTruth (1).csv")
    refused(isic, f"b/{table.name}: expected one table of its name, found also", "; remove one of the two")
    table.with_suffix(".zip").unlink()
    refused(isic, f"expected {table.name}, found {TRAINING}_GroundTruth (1).csv; put the table there")


@pytest.mark.parametrize("groups", [True, False])
def test_one_image_under_two_names_has_one_class_lesion_and_part(isic, groups):
    place = isic / f"{TRAINING}_Input"
    shutil.copy(place / f"{IDS[3]}.jpg", place / f"{IDS[10]}.jpg")
    prepared = prepare(load(isic), 16, progress=False)
    assert prepared.assumed == {IDS[10]: "taken as an image of its own, though another one has the same pixels"}
    assert prepared.converted == () and len(prepared) == 14
    if not groups:
        (isic / GROUPS).unlink()
        split_csv(isic, [[n, "test" if n == IDS[10] else "train"] for n in IDS])
        refused(isic, f"{IDS[10]}: expected the part of {IDS[3]}, which has the same pixels, found another; remove one")
    shutil.copy(place / f"{IDS[3]}.jpg", place / f"{IDS[4]}.jpg")
    refused(isic, f"{IDS[4]}: expected the class{' and lesion' * groups} of {IDS[3]}, which has the same pixels")


def test_images_of_another_kind_are_one_sentence(isic):
    for path in (isic / f"{TRAINING}_Input").iterdir():
        path.rename(path.with_suffix(".tif"))
    refused(isic, "1 problem", "expected JPEG or PNG images, found 14 of .tif; save the images as JPEG or PNG")
    for name in IDS[:8]:
        (isic / f"{TRAINING}_Input" / f"{name}.jpg").write_bytes(jpeg(picture(1)))
    text = refused(isic, "6 problems", f"{IDS[8]}, ISIC_0000009, ISIC_0000010 and 3 more: expected an image in")
    assert "; save it as JPEG or PNG" in text


# Containers: read to their checksum, and never larger in memory than they may be.


def png(image, change=lambda data: data):
    file = io.BytesIO()
    image.save(file, "PNG")
    return change(file.getvalue())


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def declared(width, height, depth=8, colours=2):
    """A PNG of a few bytes that declares so many pixels."""
    head = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    data = zlib.compress(bytes(height * (1 + width * depth // 8 * {2: 3, 0: 1}[colours])) if width < 99 else b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "change, words",
    [
        (lambda data: flipped(data, data.index(b"IEND") - 5), "broken PNG file"),  # the checksum of the pixels
        (lambda data: flipped(data, data.index(b"IDAT") + 60), ""),
        (lambda data: data[: data.index(b"IEND") - 4], "truncated PNG"),
        (lambda data: declared(13300, 13300), "at most 33,554,432 pixels, found 13300 x 13300; make the image smaller"),
        (lambda data: declared(2**15, 2**10 + 1), "at most 33,554,432 pixels"),
        (lambda data: declared(60000, 60000), "at most 33,554,432 pixels, found far more"),
        (lambda data: declared(9, 9, 16), "found mode RGB of 16 bits or more; save it with 8"),
        (lambda data: b"%!PS-Adobe-3.0 EPSF-3.0\n", "another format"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_png_are_read_to_their_checksums_and_have_bounds(isic, change, words, packed):
    noise = Image.effect_noise((40, 30), 90).convert("RGB")
    (isic / f"{TRAINING}_Input" / f"{IDS[4]}.jpg").write_bytes(png(noise, change))
    if packed:
        zipped(isic, f"{TRAINING}_Input")
    refused(isic, f"{IDS[4]}.jpg: expected", words)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda data: data[: len(data) // 2] + bytes(len(data) // 2), "found a truncated image, of which the end is"),
        (lambda data: b"", "found an empty file; copy or download it again"),
        (lambda data: b"version https://git-lfs.github.com/spec/v1\n", "found a pointer of Git LFS; get the file by"),
        (lambda data: b"RIFF" + data, "found another format; copy or download it again, or save it as JPEG or PNG"),
    ],
)
def test_jpeg_that_are_not_whole_are_told(isic, change, words):
    noise = Image.effect_noise((60, 80), 90).convert("RGB")
    (isic / f"{TRAINING}_Input" / f"{IDS[4]}.jpg").write_bytes(jpeg(noise) + b"of a camera")
    assert len(prepare(load(isic), 16, progress=False)) == 14
    (isic / f"{TRAINING}_Input" / f"{IDS[4]}.jpg").write_bytes(change(jpeg(noise)))
    refused(isic, f"{IDS[4]}.jpg: expected a whole 8-bit JPEG or PNG, {words}")


@pytest.mark.parametrize("turn", range(1, 9))
def test_images_are_turned_as_their_exif_says(isic, turn):
    pixels = np.full((32, 32, 3), 200, np.uint8)
    pixels[:16, :16], pixels[:16, 16:] = 20, 100
    stored = {1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.transpose(1, 0, 2),
              6: np.rot90(pixels), 7: pixels[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(pixels, -1)}[turn]  # fmt: skip
    exif = Image.Exif()
    exif[0x112] = turn
    Image.fromarray(np.ascontiguousarray(stored)).save(isic / f"{TRAINING}_Input" / f"{IDS[0]}.jpg", exif=exif)
    image = prepare(load(isic), 28, progress=False).images[0, 0]
    assert [image[y, x].item() for y, x in ((8, 8), (8, 24), (24, 8))] == pytest.approx([20, 100, 200], abs=4)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_says_nothing_of_the_pixels(isic):
    path = isic / f"{TRAINING}_Input" / f"{IDS[0]}.jpg"
    before = prepare(load(isic), 14, progress=False)
    Image.open(path).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff", quality=95)
    assert prepare(load(isic), 14, progress=False).images[0].float().mean() == pytest.approx(
        before.images[0].float().mean().item(), abs=2
    )


def in_zip(path, stem, data, change=lambda data, entry: None, method=zipfile.ZIP_DEFLATED):
    """A zip of one file, whose bytes, and where its entry in the directory begins, are given to `change`."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(stem, data)
    data = bytearray(path.read_bytes())
    change(data, data.rindex(b"PK\1\2"))
    path.write_bytes(data)


def set_bytes(at, value):
    return lambda data, entry: data.__setitem__(slice(entry + at, entry + at + len(value)), value)


@pytest.mark.parametrize(
    "change, words",
    [
        (set_bytes(10, b"\x09\0"), "expected a zip packed by deflate, found method 9, deflate64; unpack it"),
        (set_bytes(10, b"\x63\0"), "found method 99"),
        (set_bytes(8, b"\x01\0"), "expected a zip without a password"),
        (set_bytes(6, b"\xff\0"), "a whole zip, found zip file version"),
        (
            lambda data, entry: data.__setitem__(
                slice(entry + 8, entry + 47), b"\0\x08" + data[entry + 10 : entry + 46] + b"\xff"
            ),
            "a whole zip, found 'utf-8' codec",
        ),
        (set_bytes(16, b"\1\2\3\4"), "Bad CRC-32"),
        (set_bytes(24, b"\xfe\xff\xff\xff"), "expected a table of at most 64 MiB, found 4096 MiB"),
        (lambda data, entry: data.__setitem__(slice(0, 2), b"XX"), "Bad magic number"),
        (lambda data, entry: data.__setitem__(30, 65), "differ"),
        (set_bytes(0, b"XX"), "a whole zip"),
    ],
)
def test_a_zip_that_is_not_as_it_should_be_is_named(isic, change, words):
    table = isic / f"{TRAINING}_GroundTruth.csv"
    in_zip(table.with_suffix(".zip"), table.name, table.read_bytes(), change)
    table.unlink()
    refused(isic, words)


@pytest.mark.parametrize(
    "method, most",
    [(zipfile.ZIP_STORED, 24), (zipfile.ZIP_DEFLATED, 24), (zipfile.ZIP_BZIP2, 28), (zipfile.ZIP_LZMA, 28)],
)
def test_what_unpacks_to_more_than_it_says_takes_no_memory(isic, method, most):
    table = isic / f"{TRAINING}_GroundTruth.csv"
    data = table.read_bytes()
    table.unlink()
    in_zip(table.with_suffix(".zip"), table.name, data, method=method)
    assert len(load(isic)) == 14
    more = data + bytes(2**25)
    in_zip(table.with_suffix(".zip"), table.name, more, set_bytes(24, struct.pack("<I", 900)), method)
    tracemalloc.start()
    refused(isic, "CSV file")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**most


def test_a_table_and_images_have_bounds_before_they_are_read(isic):
    os.truncate(isic / GROUPS, 2**26 + 1)
    refused(isic, "expected a table of at most 64 MiB, found 64 MiB")
    os.truncate(isic / GROUPS, 0)
    (isic / GROUPS).unlink()
    os.truncate(isic / f"{TRAINING}_Input" / f"{IDS[5]}.jpg", 2**28 + 1)
    refused(isic, f"{IDS[5]}.jpg: expected a whole 8-bit JPEG or PNG of at most 256 MiB")


def test_windows_zips_with_backslashes_are_read(isic):
    archive = isic / f"{TRAINING}_Input.zip"
    place = isic / f"{TRAINING}_Input"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(place.iterdir()):
            info = zipfile.ZipInfo("x")
            info.filename = f"part\\{path.name}"
            file.writestr(info, path.read_bytes())
            path.unlink()
    place.rmdir()
    with zipfile.ZipFile(archive, "a") as file:
        for info.filename in ("part\\", "@eaDir/x.jpg", "12:30.txt"):
            file.writestr(info, b"")
    assert load(isic).unused == ("not used, as no JPEG or PNG (1): ISIC2018_Task3_Training_Input.zip/12:30.txt",)
    assert load(isic).ids == tuple(IDS) and len(prepare(load(isic), 16, progress=False)) == 14


def npz_with(tmp_path, name, data):
    """A MedMNIST file in which one member has other bytes."""
    path = arrays(tmp_path)
    with zipfile.ZipFile(path) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in (members | {name: data}).items():
            archive.writestr(each, content)
    return path


def npy(array, shape=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    data = file.getvalue()
    return data.replace(repr(array.shape).encode(), repr(shape).encode()) if shape else data


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("train_images", npy(np.zeros((2, 2, 2, 3), np.uint8), (2**20, 2**10, 2**9, 4)), "declared as (1048576, 1024"),
        ("train_images", npy(np.array(7, np.uint8)), "expected (N, H, W, 3) uint8, found () uint8"),
        ("train_labels", npy(np.array(7, np.uint8)), "expected (14, 1), found ()"),
        ("train_labels", npy(np.array([{}] * 14, object)), "declared as (14,) object"),
        ("val_images", npy(np.zeros((7, 0, 0, 3), np.uint8)), "up to 1,048,576 images of 1 to 33,554,432 pixels"),
        ("val_labels", npy(np.zeros((7, 1), np.uint8))[:-1], "declared as (7, 1) uint8 in"),
        ("val_labels", b"", "magic"),
    ],
)
def test_members_of_an_npz_that_are_not_what_they_say(tmp_path, name, data, words):
    npz_with(tmp_path, f"{name}.npy", data)
    refused(tmp_path, words)


def test_an_npz_with_a_bad_checksum_or_two_of_one_name(tmp_path):
    path = arrays(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(b"train_images.npy") + 3000] ^= 1
    path.write_bytes(data)
    refused(tmp_path, "Bad CRC-32")
    arrays(tmp_path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("val_labels.npy", npy(np.zeros((7, 1), np.uint8)))
    refused(tmp_path, "val_labels twice")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_npz_that_could_unpack_to_any_size_is_refused(tmp_path, method):
    path = arrays(tmp_path)
    with zipfile.ZipFile(path) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for each, content in members.items():
            archive.writestr(each, content)
    refused(tmp_path, "found train_images packed as numpy packs nothing")


def test_which_of_several_npz_serves_is_said_and_can_be_chosen(tmp_path, monkeypatch):
    for name, side in (("dermamnist.npz", 28), ("dermamnist_64.npz", 64)):
        arrays(tmp_path, name, side)
    large, small = load(tmp_path), load(tmp_path / "dermamnist.npz")
    assert large.pictures.open(large.ids[0]).size == (64, 64) and small.pictures.open(small.ids[0]).size == (28, 28)
    assert str(large.folder).endswith("dermamnist_64.npz") and "--data FILE" in str(large)
    assert large.unused[0].endswith(f"(1): {tmp_path / 'dermamnist.npz'}") and small.unused == ()
    monkeypatch.setenv("I2PEMD_DATA", str(tmp_path / "dermamnist.npz"))
    assert load().folder == tmp_path / "dermamnist.npz"
    prepared = prepare(load(), 28, progress=False)
    assert prepared.folder == str(tmp_path / "dermamnist.npz")
    monkeypatch.setenv("I2PEMD_DATA", str(tmp_path / "dermamnist.txt"))
    with pytest.raises(BadInput, match="I2PEMD_DATA: expected a folder, or a file ending in .npz"):
        load()


def test_a_replaced_image_of_the_same_size_and_time_is_prepared_anew(isic):
    path = isic / f"{TRAINING}_Input" / f"{IDS[0]}.png"
    path.with_suffix(".jpg").unlink()
    seen = []
    for grey in (50, 90):
        pixels = np.full((8, 8, 3), grey, np.uint8)
        pixels[0, 0] = 0
        Image.fromarray(pixels).save(path, compress_level=0)
        os.utime(path, ns=(0, 0))
        seen.append(prepare(load(isic), 14, progress=False).images[0, 0, 12, 12].item())
    assert seen == [50, 90]


# Preparing.


def test_grey_palette_and_rgba_images_become_rgb_and_are_counted(isic):
    for i, mode in ((2, "L"), (3, "P"), (5, "RGBA"), (6, "CMYK")):
        path = isic / f"{TRAINING}_Input" / f"{IDS[i]}.jpg"
        path.unlink()
        picture(i, mode).save(path.with_suffix(".jpg" if mode == "CMYK" else ".png"))
    prepared = prepare(load(isic), 14, progress=False)
    assert prepared.converted == tuple(prepared.assumed) == tuple(IDS[i] for i in (2, 3, 5, 6))
    left = prepared.images[:, :, 8, 2].float()
    assert (left - 10 * torch.arange(14)[:, None]).abs().max() <= 3  # JPEG and the palette's nearest colour


def test_images_are_squeezed_to_a_square_with_room_for_a_crop(isic):
    prepared = prepare(load(isic), 21, progress=False)
    assert prepared.images.shape == (14, 3, 24, 24) and prepared.images.dtype == torch.uint8
    assert stored_side(21) == 24
    # The whole width is there: the middle of the picture is where its halves meet.
    row = prepared.images[0, 0, 12].int()
    assert row[:10].max() < 20 and row[14:].min() > 235


def test_the_cache_is_read_without_the_images_and_follows_them(isic, cache, monkeypatch):
    data = load(isic)
    first = prepare(data, 16, progress=False)
    (file,) = cache.glob("*.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(Pictures, "open", lambda *a: pytest.fail("decoded again"))
        again = prepare(data, 16, progress=False)
    for name in ("images", "labels", "test_images"):
        assert torch.equal(getattr(first, name), getattr(again, name)), name
    for name in ("name", "size", "ids", "lesions", "parts", "test_ids", "converted", "fingerprint"):
        assert getattr(first, name) == getattr(again, name) == getattr(Prepared.open(file), name), name
    edit(isic, lambda rows: rows.__setitem__(slice(None), truth(labels=[(i + 1) % 7 for i in range(14)])))
    changed = prepare(load(isic), 16, progress=False)
    assert changed.labels[0] == 1 and changed.fingerprint != first.fingerprint
    assert torch.equal(changed.images, first.images) and len(list(cache.glob("*"))) == 2


def test_a_broken_cache_file_is_named_and_made_again(isic, cache):
    first = prepare(load(isic), 16, progress=False)
    (file,) = cache.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(BadInput, match="prepared skin images"):
        Prepared.open(file)
    assert prepare(load(isic), 16, progress=False).fingerprint == first.fingerprint
    assert len(Prepared.open(file)) == 14


def test_one_flipped_bit_of_the_cache_is_told(isic, cache):
    first, draws = prepare(load(isic), 16, progress=False), np.random.default_rng(0)
    (file,) = cache.glob("*.safetensors")
    whole = file.read_bytes()
    for start in [0] * 20 + [len(whole) // 3] * 20:  # what it says lies in front
        data = bytearray(whole)
        data[draws.integers(start, len(data) if start else 2000)] ^= 1 << draws.integers(8)
        file.write_bytes(data)
        try:
            found = Prepared.open(file)
        except BadInput as error:
            assert str(error).startswith(f"{file}: expected "), error
        else:
            names = ("images", "labels", "test_images")
            assert not start and all(torch.equal(getattr(found, name), getattr(first, name)) for name in names)
    assert prepare(load(isic), 16, progress=False).fingerprint == first.fingerprint


def test_a_cache_file_of_another_form_is_named(isic, cache):
    prepare(load(isic), 16, progress=False)
    (file,) = cache.glob("*.safetensors")
    tensors, notes = load_file(file), json.loads(safe_open(file, "np").metadata()["skin"])
    for changed, words in (
        ({"skin": json.dumps(notes | {"size": "16"})}, "expected at size a whole number .*, found '16'"),
        ({"skin": json.dumps({k: v for k, v in notes.items() if k != "ids"})}, "expected ids, found only"),
        ({"skin": "[" * 10_000}, "expected prepared skin images, found maximum recursion"),
        ({"skin": json.dumps(notes | {"size": 20})}, "as they were written"),
    ):
        save_file(tensors, file, changed)
        with pytest.raises(BadInput, match=words):
            Prepared.open(file)
    save_file(tensors | {"labels": tensors["labels"].astype(np.int32)}, file, {"skin": json.dumps(notes)})
    with pytest.raises(BadInput, match=r"found labels \(14,\) int32 instead of int64 N"):
        Prepared.open(file)


def test_a_cache_file_is_written_whole_or_not_at_all(isic, cache, monkeypatch):
    def stop(tensors, path, metadata):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setitem(prepare.__globals__, "save_file", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare(load(isic), 16, progress=False)
    assert list(cache.iterdir()) == []


def test_a_size_beyond_the_memory_is_named(isic, monkeypatch):
    monkeypatch.setitem(prepare.__globals__, "memory", lambda: 2**30)
    with pytest.raises(BadInput, match="size: expected at most [0-9]+ px, .*, found 20000") as told:
        prepare(load(isic), 20_000, progress=False)
    assert 3 * 14 * (int(str(told.value).split()[4]) * 8 / 7) ** 2 < 2**30


def test_a_size_too_small_is_named(isic):
    with pytest.raises(BadInput, match="at least 8 px"):
        prepare(load(isic), 4)


# Splitting. A stand-in: `split` asks for labels, lesions and parts only.


def stand_in(n=10015, seed=0, parts=None):
    rng = np.random.default_rng(seed)
    lesions = np.sort(rng.integers(0, int(0.75 * n), n))
    of_lesion = rng.choice(7, n, p=np.array([1113, 6705, 514, 327, 1099, 115, 142]) / 10015)
    names = tuple(f"HAM_{i}" for i in lesions)
    return types.SimpleNamespace(labels=torch.from_numpy(of_lesion[lesions]), lesions=names, parts=parts)


def covers(parts, n):
    every = torch.cat([parts.labelled, parts.unlabelled, parts.val, parts.test])
    return torch.equal(every.sort().values, torch.arange(n))


def test_the_image_split_is_the_papers():
    parts = split(stand_in(), by="image")
    assert [len(x) for x in (parts.train, parts.test, parts.val)] == [7010, 2003, 1002]
    assert len(parts.labelled) == 1402 and covers(parts, 10015)
    assert all(torch.equal(x, x.sort().values) for x in (parts.labelled, parts.unlabelled, parts.val, parts.test))


@pytest.mark.parametrize("stratified", [False, True])
def test_no_lesion_is_in_two_parts(stratified):
    data = stand_in()
    parts = split(data, stratified=stratified)
    assert parts.by == "lesion" and covers(parts, 10015)
    lesions = [{data.lesions[i] for i in x.tolist()} for x in (parts.train, parts.val, parts.test)]
    assert not (lesions[0] & lesions[1] or lesions[0] & lesions[2] or lesions[1] & lesions[2])
    # Whole lesions are taken while they fit: a part may lack a few images of its share, of each class when stratified.
    assert 0 <= 2003 - len(parts.test) < 8 * 7 and abs(1002 - len(parts.val)) < 8 * 7
    by_image = split(data, by="image")
    leaked = {data.lesions[i] for i in by_image.train.tolist()} & {data.lesions[i] for i in by_image.test.tolist()}
    assert len(leaked) > 100


def test_stratified_keeps_the_shares_of_the_classes():
    data = stand_in()
    parts = split(data, by="image", stratified=True)
    count = torch.bincount(data.labels, minlength=7)
    for x, share in ((parts.test, 0.2), (parts.val, 0.1), (parts.labelled, 0.14)):
        assert (torch.bincount(data.labels[x], minlength=7) - share * count).abs().max() <= 1.01


def test_a_seed_repeats_and_another_differs():
    data = stand_in(2000)
    first, again, other = (split(data, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.labelled, again.labelled) and torch.equal(first.test, again.test)
    assert not torch.equal(first.labelled[:50], other.labelled[:50])
    assert not torch.equal(first.test[:50], other.test[:50])


def test_a_class_without_a_labelled_image_is_named_with_a_way_out():
    data = stand_in(200)
    data.labels[:] = 1
    data.labels[::28] = torch.arange(8) % 7
    with pytest.raises(BadInput, match="and 3 more: expected a labelled training image, found none of .*stratified=T"):
        split(data, by="image", labelled=0.1, test=0, val=0)
    assert covers(split(data, by="image", labelled=0.1, stratified=True, test=0, val=0), 200)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"by": "patient"}, "'file', 'lesion' or 'image', found 'patient'"),
        ({"by": "file"}, "split.csv"),
        ({"labelled": 0}, "0 < labelled"),
        ({"test": 0.7, "val": 0.3}, "test \\+ val < 1"),
    ],
)
def test_bad_settings_of_a_split_are_named(settings, words):
    with pytest.raises(BadInput, match=words):
        split(stand_in(500), **settings)


# Compact files.


def psnr(one, two):
    """dB, a number for each image."""
    return 10 * torch.log10(255**2 / (one.double() - two.double()).square().mean((1, 2, 3)))


def test_a_compact_file_keeps_all_but_the_finest_of_the_labelled_images(isic, tmp_path):
    rng = np.random.default_rng(0)
    (isic / f"{TEST}_Input").mkdir()
    for i in (3, 5):
        picture(i, "L").save(isic / f"{TEST}_Input" / f"T_{i}.png")
    for name in IDS:
        noise = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        noise.convert("L" if name == IDS[8] else "RGB").save(isic / f"{TRAINING}_Input" / f"{name}.jpg")
    write_csv(isic / "split.csv", ["image", "split"], [[n, "val" if n < IDS[4] else "train"] for n in IDS])
    write_csv(isic / f"{TRAINING}_LesionGroupings.csv", ["image", "lesion_id"], [[n, f"HAM_{n}"] for n in IDS])
    prepared = prepare(load(isic), 70, progress=False)
    assert prepared.converted == (IDS[8], "T_3", "T_5")
    said, file = prepared.save_compact(tmp_path / "x.safetensors", 45), tmp_path / "x.safetensors"
    there = Prepared.open(file)
    for name in ("name", "size", "ids", "lesions", "parts"):
        assert getattr(there, name) == getattr(prepared, name), name
    assert torch.equal(there.labels, prepared.labels) and there.labels.dtype == torch.int64
    assert there.converted == (IDS[8],) and there.test_ids == () and there.test_images.shape == (0, 3, 80, 80)
    assert there.folder == str(file) and there.fingerprint != prepared.fingerprint
    one, two = split(prepared, labelled=1.0), split(there, labelled=1.0)
    assert one.by == two.by == "file" and torch.equal(one.labelled, two.labelled) and torch.equal(one.val, two.val)
    found, off = psnr(prepared.images, there.images), (prepared.images.int() - there.images.int()).abs()
    assert found.min() > 50 and off.max() <= 4
    notes, _, _ = compact.read(file, "classification")
    assert notes["psnr"] == pytest.approx(float(np.median(found)), abs=0.006) and notes["step"] == 0.25
    assert notes["error"] == pytest.approx(off.double().mean().item(), abs=0.001)
    assert f"14 labelled images in 0.1 MiB (median PSNR {notes['psnr']:.1f} dB, mean error {notes['error']:.2f}" in said
    assert said.endswith("left out: 2 images without labels")


def noisy(n, side=32, fainter=()):
    """A `Prepared` of n images of smooth noise, which is fainter in some of them."""
    images = torch.from_numpy(np.random.default_rng(0).normal(0, 40, (n, 3, 8, 8)))
    images[list(fainter)] *= 0.4
    images = (128 + torch.nn.functional.interpolate(images, (side, side), mode="bicubic")).clamp(0, 255).byte()
    ids = tuple(map(str, range(n)))
    return Prepared("x", side * 7 // 8, images, torch.arange(n) % 7, ids, None, None, images[:0], (), (), "")


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0}, {"size": 10**9}, {"count": 0}, {"count": -1}, {"step": 0.0}, {"step": 1e300}, {"ids": ["a"] * 14},
        {"ids": ["a"]}, {"labels": [0]}, {"labels": [9] * 14}, {"lesions": ["a"]}, {"parts": ["day"] * 14},
    ],
)  # fmt: skip
def test_prepared_images_of_which_the_notes_do_not_fit_are_refused(tmp_path, change):
    prepared, file = noisy(14), tmp_path / "x.safetensors"
    prepared.save_compact(file)
    notes, _, unpacked = compact.read(file, "classification")
    parts = compact.packed({name: lambda part=part: part for name, part in unpacked().items()})
    notes = {name: value for name, value in notes.items() if name not in ("format", "task", "sha256")}
    compact.write(file, "classification", notes | change, parts)
    with pytest.raises(BadInput, match="x.safetensors: expected a compact set as it was written, found"):
        Prepared.open(file)
    if not change.keys() & {"count", "step", "size"}:
        kinds = {name: torch.tensor(value) if name == "labels" else tuple(value) for name, value in change.items()}
        other = replace(prepared, **kinds)
        replace(other, fingerprint=prepare.__globals__["_fingerprint"](other)).save(file)
        with pytest.raises(BadInput, match="x.safetensors: expected prepared skin images"):
            Prepared.open(file)


def test_images_are_coded_as_finely_as_the_limit_allows(tmp_path):
    prepared, found = noisy(40), []
    for limit in (1, 0.03, 0.02, 0.01):
        prepared.save_compact(tmp_path / "x.safetensors", limit)
        there = Prepared.open(tmp_path / "x.safetensors")
        size = (tmp_path / "x.safetensors").stat().st_size / 2**20 / limit
        found.append((psnr(prepared.images, there.images).median().item(), size))
    quality, filled = zip(*found, strict=True)
    assert quality[0] > 50 and list(quality) == sorted(quality, reverse=True) and quality[3] < quality[0] - 6
    assert filled[0] < 0.5 and all(0.85 < part <= 1 for part in filled[1:])


def test_a_sample_that_says_too_little_is_not_believed(tmp_path):
    prepared = noisy(400, side=16, fainter=np.linspace(0, 399, 256).astype(int))
    prepared.save_compact(tmp_path / "x.safetensors", 0.1)
    assert 0.09 * 2**20 < (tmp_path / "x.safetensors").stat().st_size <= 0.1 * 2**20
    assert len(Prepared.open(tmp_path / "x.safetensors")) == 400


@pytest.mark.parametrize("side", [8, 32, 45, 64])
def test_codes_come_back_exactly(side):
    rng, g = np.random.default_rng(side), -(-side // 32)
    levels = (rng.integers(-300, 301, (3, 3, g, 32, g, 32)) * (rng.random((3, 3, g, 32, g, 32)) < 0.1)).astype(np.int16)
    levels[:, :, 0, 0] = [-16384, 16384, 1270, 254, 255, 256] + [-127, -128, 0] + [0] * 23 if g == 1 else 254
    levels[0], levels[2, 2, -1, -1, -1, -1] = 0, 1
    assert np.array_equal(codec.decoded(codec.coded(levels), 3, g), levels)


def test_pixels_are_those_of_whole_numbers():
    """In integers of 64 bits the same sums come out, of the largest coefficients too: no order of adding matters."""
    rng = np.random.default_rng(0)
    levels = rng.choice([0, 0, 0, 0, 0, 0, 0, 1, -40, 16384, -16384], (3, 2, 32, 2, 32))
    given = codec.BASIS, codec.table(0.25), codec.TO_RGB
    basis, table, back = whole = [x.astype(np.int64) for x in given]
    assert all(map(np.array_equal, whole, given))
    whole = np.einsum("cgufv,ux,vy->cgxfy", levels.astype(np.int64) * table, basis, basis)
    assert 2**40 < np.abs(whole).max() < 2**53
    grey = np.rint(whole / 2**24).astype(np.int64).reshape(3, -1)
    right = np.clip(np.rint(back @ grey / 2**14) + 128, 0, 255).reshape(3, 64, 64)[:, :50, :50]
    assert np.array_equal(codec.pixels(levels.astype(np.int16), 0.25, 50), right)


@pytest.mark.real
def test_real_images_are_coded_better_than_by_jpeg_in_as_many_bytes(real, tmp_path):
    found = load(real)
    chosen = np.linspace(0, len(found) - 1, 24).astype(int)
    part = {"ids": tuple(found.ids[i] for i in chosen), "labels": found.labels[chosen], "test_ids": ()}
    part |= {name: None for name in ("lesions", "parts")}
    prepared, file = prepare(replace(found, **part), 224, progress=False), tmp_path / "x.safetensors"
    prepared.save_compact(file, 24 * 4300 / 2**20)
    found, size = psnr(prepared.images, Prepared.open(file).images).median(), file.stat().st_size / 24
    for quality in range(40, 96, 10):
        pictures = [jpeg(Image.fromarray(x), quality) for x in prepared.images.permute(0, 2, 3, 1).numpy()]
        if sum(map(len, pictures)) / 24 > size:
            break
    back = np.stack([np.asarray(Image.open(io.BytesIO(x))).transpose(2, 0, 1) for x in pictures])
    assert found > psnr(prepared.images, torch.from_numpy(back)).median() + 1


@pytest.mark.real
def test_every_real_image_is_read_and_prepared(real):
    data = load(real)
    prepared = prepare(data, 48, progress=False)
    n = len(data)
    assert n > 1000 and prepared.images.shape == (n, 3, 55, 55) and len(prepared.test_images) == len(data.test_ids)
    assert (prepared.images.flatten(1).float().std(1) > 1).all()  # no image is blank
    share = torch.bincount(prepared.labels, minlength=7) / n
    assert share.argmax() == CLASSES.index("NV") and 0.6 < share[1] < 0.72 and share.min() > 0.005
    parts = split(prepared)
    assert covers(parts, n) and abs(len(parts.labelled) - 0.2 * len(parts.train)) < 1
    if data.lesions and data.parts:
        shared = {data.lesions[i] for i in parts.train.tolist()} & {data.lesions[i] for i in parts.val.tolist()}
        assert not shared
