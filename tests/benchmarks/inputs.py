"""What becomes of input that is damaged: seeded changes of files as people have them on disk, and how each ended.

A small set of each kind of input is changed at one place and read again, in a process of its own with a hard end:

bit, byte   one of a file is another
zeros       a part of it is zeros;  more: something was put in;  twice: a part of it is there twice
cut         the file ends early, or is empty
number      four bytes, as of a header, are a very large, a negative or a small number
word        (of text) a cell or a line is empty, twice, or changed for another one
name        the file has another name: of another case, a copy's, without its ending
else        in place of the file there is a folder, a pipe, a link to nowhere or to a device

"same": what was read is what was there before; "named": a `BadInput` says what is wrong; "other": other values were
taken, which can be right only where a file has no checksum; "raw", another exception; "hung", after 20 s; "large", more
than 2 GiB of memory.
"""

import os
import random
import resource
import shutil
import sys
import tempfile
import time
import zipfile
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
from faults import in_a_process

from i2pemd_lite import classification, segmentation
from i2pemd_lite.course.record import handin
from i2pemd_lite.files import BadInput, Problems, fingerprint
from i2pemd_lite.segmentation.data import find_scans
from i2pemd_lite.segmentation.prepare import Geometry

sys.path.append(str(Path(__file__).parent.parent))
import scans  # noqa: E402

OUTCOMES = ("same", "named", "other", "raw", "hung", "large")
SLOW, MEMORY = 20, 2 * 2**30  # seconds and bytes of one reading
NUMBERS = [(2**31 - 1).to_bytes(4, "little"), b"\xff\xff\xff\xff", b"\xff\x7f\xff\x7f", b"\0\0\0\0", b"\x01\0\0\0",
           b"\0\0\xc0\x7f", b"\0\0\x80\x7f"]  # fmt: skip
"""The largest and smallest of whole numbers, and as floating point a NaN and infinity."""


def write_nifti(folder):
    """Two CT and two MR pairs and an MR scan without a label, uncompressed."""
    scans.write_pairs(folder)
    for path in list(folder.rglob("*.nii.gz")):
        import nibabel

        nibabel.save(nibabel.load(path), path.with_suffix(""))
        path.unlink()


def write_chaos(folder):
    """Two MR series with masks, beside two CT pairs."""
    scans.write_pairs(folder)
    shutil.rmtree(folder / "chaos_mr_t2spir")
    label = scans.classes()
    for patient in (1, 2):
        place = folder / "chaos/Train_Sets/MR" / str(patient) / "T2SPIR"
        scans.write_dicom(place / "DICOM_anon", scans.picture(label, patient))
        scans.write_masks(place / "Ground", label)


def write_series(folder):
    """DICOM series as a clinic has them: implicit, deflated, with run lengths, and one enhanced file."""
    label = scans.classes()
    for number, syntax in enumerate(("1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5", None), 1):
        place, tags = folder / str(number), {"SeriesInstanceUID": f"1.2.{number}", "Modality": "MR"}
        scans.write_dicom(place, scans.picture(label, number), SeriesNumber=number, SeriesDescription="T2", **tags)
        if syntax == "1.2.840.10008.1.2.5":
            scans.edit_dicom(place, lambda one: one.compress("1.2.840.10008.1.2.5"))
        elif syntax:
            scans.edit_dicom(place, lambda one, to=syntax: setattr(one.file_meta, "TransferSyntaxUID", to))
        else:
            scans.enhance(place)


def read_series(folder):
    """What `predict` reads of it."""
    problems = Problems("the scans")
    found, unused = find_scans(folder, problems)
    volumes = []
    for scan in found:
        with problems.collect():
            volumes.append(scan.read())
    problems.raise_if_any()
    return fingerprint(*[(v.image.tobytes(), v.affine.tolist()) for v in volumes], unused)


def write_skin(folder):
    """Fourteen images in a folder, with all tables, and one without a label."""
    import PIL.Image

    stem, names = f"isic2018/{classification.data.TRAINING}", [f"ISIC_{i:07d}" for i in range(14)]
    for place, wanted in ((f"{stem}_Input", names), ("isic2018/ISIC2018_Task3_Test_Input", ["ISIC_0034524"])):
        (folder / place).mkdir(parents=True)
        for i, name in enumerate(wanted):
            pixels = np.random.default_rng(i).integers(0, 256, (24, 32, 3), dtype=np.uint8)
            PIL.Image.fromarray(pixels).save(folder / place / f"{name}{'.png' if i % 2 else '.jpg'}")
    rows = ["image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"]
    rows += [f"{name}," + ",".join(f"{float(k == i % 7)}" for k in range(7)) for i, name in enumerate(names)]
    (folder / f"{stem}_GroundTruth.csv").write_text("\n".join(rows) + "\n")
    rows = ["image,lesion_id", *(f"{name},HAM_{i // 2:07d}" for i, name in enumerate(names))]
    (folder / f"{stem}_LesionGroupings.csv").write_text("\n".join(rows) + "\n")
    rows = ["image,split", *(f"{name},{('train', 'train', 'val', 'test')[i // 2 % 4]}" for i, name in enumerate(names))]
    (folder / "isic2018/split.csv").write_text("\n".join(rows) + "\n")


def write_zip(folder):
    """The same, images and truth in zips."""
    write_skin(folder)
    stem = folder / f"isic2018/{classification.data.TRAINING}"
    images, truth = Path(f"{stem}_Input"), Path(f"{stem}_GroundTruth.csv")
    for paths, name in ((sorted(images.iterdir()), images.name), ([truth], truth.stem)):
        with zipfile.ZipFile(stem.with_name(f"{name}.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
            for path in paths:
                archive.write(path, path.name)
    shutil.rmtree(images)
    truth.unlink()


def write_npz(folder):
    """A small MedMNIST file."""
    draw, arrays = np.random.default_rng(0), {}
    for part in ("train", "val", "test"):
        arrays[f"{part}_images"] = draw.integers(0, 256, (7, 12, 12, 3), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.arange(7, dtype=np.uint8)[:, None]
    np.savez_compressed(folder / "dermamnist.npz", **arrays)


GEOMETRY = Geometry(spacing=(8, 4, 4), size=(20, 20), min_depth=2)


def read_scans(folder):
    prepared = segmentation.prepare(segmentation.load(folder), GEOMETRY, progress=False)
    return fingerprint(prepared.fingerprint, [case.name for case in prepared.cases])


def read_skin(folder):
    return classification.prepare(classification.load(folder), 16, progress=False).fingerprint


def write_cache(folder):
    """What `prepare` leaves."""
    scans.write_pairs(folder / "data")
    os.environ["I2PEMD_CACHE"] = str(folder)
    read_scans(folder / "data")
    shutil.rmtree(folder / "data")


def read_cache(folder):
    (place,) = (folder / "segmentation").iterdir()
    return segmentation.Prepared.open(place).fingerprint


def write_compact(folder):
    """What `save_compact` leaves."""
    scans.write_pairs(folder / "data")
    prepared = segmentation.prepare(segmentation.load(folder / "data"), GEOMETRY, progress=False)
    prepared.save_compact(folder / "scans.safetensors")
    shutil.rmtree(folder / "data")


def read_compact(folder):
    file = min(folder.iterdir())
    return segmentation.Prepared.open(file).fingerprint


def write_handin(folder):
    """What a learner hands in."""
    from i2pemd_lite.course.record import progress

    progress.save(folder / "one.json")


def read_handin(folder):
    file = min(folder.iterdir())
    return repr(handin.read(file))


KINDS = {  # {kind of input: (write one, read it)}
    "nifti.gz": (scans.write_pairs, read_scans),
    "nifti": (write_nifti, read_scans),
    "chaos": (write_chaos, read_scans),
    "series": (write_series, read_series),
    "skin": (write_skin, read_skin),
    "zip": (write_zip, read_skin),
    "npz": (write_npz, read_skin),
    "cache": (write_cache, read_cache),
    "compact": (write_compact, read_compact),
    "hand-in": (write_handin, read_handin),
}


def input_rows(quick, minutes=2.0, seed=0):
    """A row for each kind of input: how many were changed, and how many ended how."""
    draw, counts, until = random.Random(seed), {kind: Counter() for kind in KINDS}, time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        base, place = Path(folder) / "base", Path(folder) / "tried"
        before = {}
        for kind, (write, read) in KINDS.items():
            (base / kind).mkdir(parents=True)
            os.environ["I2PEMD_CACHE"] = str(base / f"cache-{kind}")
            write(base / kind)
            before[kind] = read(base / kind)
        while not any(map(len, counts.values())) or (not quick and time.monotonic() < until):
            for kind, (_, read) in KINDS.items():
                number = draw.getrandbits(32)
                shutil.rmtree(place, ignore_errors=True)
                os.environ["I2PEMD_CACHE"] = str(place / "cache")
                shutil.copytree(base / kind, place / "data")
                did = change(place / "data", random.Random(number))
                outcome, words = in_a_process(partial(_read, read, place / "data", before[kind]), SLOW)
                counts[kind][outcome] += 1
                if outcome in ("raw", "hung", "large"):
                    print(f"{kind} {number}, {did}: {outcome}: {words}", file=sys.stderr, flush=True)
    return [{"where": kind, "what": "input", "tried": count.total(), **{each: count[each] for each in OUTCOMES}}
            for kind, count in counts.items()]  # fmt: skip


def _read(read, folder, before):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    started, small = time.monotonic(), _memory()
    try:
        outcome = ("same" if read(folder) == before else "other"), ""
    except BadInput as error:
        outcome = "named", str(error)
    if (grown := _memory() - small) > MEMORY:
        return "large", f"{grown / 2**30:.1f} GiB"
    if (seconds := time.monotonic() - started) > SLOW:
        return "hung", f"{seconds:.0f} s"
    return outcome


def _memory():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def change(folder, draw):
    """Change one file at one place -> which, and how."""
    path = draw.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    data, text = path.read_bytes(), path.suffix in (".csv", ".json")
    kind = draw.choice(["bit", "byte", "zeros", "more", "twice", "cut", "number", "word", "word", "name", "else"])
    if kind == "name":
        stem, dot, ending = path.name.partition(".")
        names = [path.name.upper(), path.name.lower(), f"{stem} (1){dot}{ending}", stem, f"x{path.name}", f".{stem}"]
        name = draw.choice([name for name in names if name != path.name])
        (shutil.copy if draw.random() < 0.5 else shutil.move)(path, path.with_name(name))
        return f"{path.relative_to(folder)} {kind} {name}"
    if kind == "else":
        path.unlink()
        match draw.choice(["folder", "pipe", "loop", "device"]):
            case "folder":
                path.mkdir()
            case "pipe":
                os.mkfifo(path)
            case "loop":
                path.symlink_to(path.name)
            case "device":
                path.symlink_to("/dev/zero")
        return f"{path.relative_to(folder)} {kind}"
    head = min(len(data), 600 if draw.random() < 0.5 else len(data))  # half of the time within the header
    where = draw.randrange(max(head, 1))
    many = draw.choice([1, 4, 64, 4096])
    path.write_bytes(_changed(data, kind, where, many, draw, text))
    return f"{path.relative_to(folder)} {kind} at {where}"


def _changed(data, kind, where, many, draw, text):
    match kind:
        case "bit":
            return data[:where] + bytes([data[where] ^ 1 << draw.randrange(8)]) + data[where + 1 :]
        case "byte":
            return data[:where] + bytes([draw.choice(b'019.-,;:"[]{}\n\x00\xff')]) + data[where + 1 :]
        case "zeros":
            return data[:where] + bytes(len(data[where : where + many])) + data[where + many :]
        case "more":
            return data[:where] + draw.randbytes(many) + data[where:]
        case "twice":
            return data[: where + many] + data[where:]
        case "cut":
            return data[: draw.choice([where, 0, len(data) - 1, len(data) - 8])]
        case "number":
            where -= where % 2
            return data[:where] + draw.choice(NUMBERS) + data[where + 4 :]
    if not text:
        return data[::-1]
    separator = draw.choice([b"\n", b","])
    words = data.split(separator)
    i, j = draw.randrange(len(words)), draw.randrange(len(words))
    match draw.choice(["empty", "twice", "gone", "changed"]):
        case "empty":
            words[i] = b""
        case "twice":
            words.insert(j, words[i])
        case "gone":
            del words[i]
        case "changed":
            words[i], words[j] = words[j], words[i]
    return separator.join(words)
