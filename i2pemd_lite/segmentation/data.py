"""Scans in a folder: unpaired abdominal CT and MR with liver, kidneys and spleen, in whatever layout they came."""

import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from i2pemd_lite import files
from i2pemd_lite.files import BadInput, Problems
from i2pemd_lite.segmentation import layout, synthetic
from i2pemd_lite.segmentation.layout import CLASSES, MANIFEST, MODALITIES, Grid, Volume

SEQUENCES = {
    "t2spir": ("T2SPIR", "", None),
    "t1_in": ("T1DUAL", "InPhase", "long"),
    "t1_out": ("T1DUAL", "OutPhase", "short"),
}
"""CHAOS sequence -> its folder, the folder of its phase, and its echo where both phases lie in one folder."""
IMAGE, LABEL = "img|image", "label"  # what comes before the number in the names of NIfTI pairs, whatever its case
FAT_HU, FAT_SHARE = -50.0, 0.02
"""At least so large a part of a CT scan has to lie below `FAT_HU`, and of an MR scan less: half of a CT scan or more is
fat and air. A normalised scan is let pass; CT that lost its scaling (0 to 255, 0 to 4095) is not."""
SIDES = (10, 3000)  # mm that the longest side of a scan may have: other figures are metres or microns


@dataclass(frozen=True)
class Scan:
    """One scan on disk and, where it has one, its label map.

    `name` is unique in a data set ("ct/img0002"), `modality` "ct" or "mr", `image` a NIfTI file or a folder of DICOM
    slices, `label` a NIfTI file, a folder of PNG masks, or None. `layout` ("btcv", "pairs", "chaos") says what the
    label's values mean; `echo` ("long", "short" or None) which echo to take where a DICOM folder holds two, `slices`
    which files, where it holds others.
    """

    name: str
    modality: str
    image: Path
    label: Path | None = None
    layout: str = "pairs"
    echo: str | None = None
    slices: tuple = ()

    def __post_init__(self):
        if self.modality not in MODALITIES:
            raise BadInput(f"modality: expected 'ct' or 'mr', found {self.modality!r}; name the scan's modality")
        for name in ("image", "label"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, Path(getattr(self, name)))

    def image_files(self) -> list[Path]:
        """The NIfTI file, or the DICOM files, of the image."""
        if self.image.is_dir():
            return list(self.slices) or layout.dicom_files(self.image, self.echo)
        return [self.image]

    def files(self) -> list[Path]:
        """Every file that the scan consists of: those of the image, then those of the label."""
        masks = [] if self.label is None else layout.mask_files(self.label) if self.label.is_dir() else [self.label]
        return self.image_files() + masks

    def check(self) -> Grid:
        """The scan's `Grid` from its headers. Raises `BadInput` for bad headers, for a label on another grid, and where
        image or label is not there."""
        if not self.image.exists():
            name, found = self.label or self.name, files.unlike_file(self.image)
            raise BadInput(f"{name}: expected its image {self.image}, found {found}; add it or remove the case")
        if self.label is not None and not self.label.exists():
            found = f"{files.unlike_file(self.label)}; add it or move the image to the testing folder"
            raise BadInput(f"{self.image}: expected its label {self.label}, found {found}")
        grid, _ = self._image(pixels=False)
        if self.label is not None:
            self._label(grid, pixels=False)
        return grid

    def read_image(self) -> tuple[np.ndarray, Grid]:
        """(image, `Grid`) in scanner units. Raises `BadInput` for images that are unreadable, not finite, constant, or
        of the other modality."""
        grid, image = self._image(pixels=True)
        if count := image.size - np.count_nonzero(np.isfinite(image)):
            raise BadInput(f"{self.image}: expected finite values, found {count} NaN or infinite; convert it again")
        if image.min() == image.max():
            raise BadInput(f"{self.image}: expected an image, found the value {image.flat[0]:g} everywhere; "
                           "convert the scan again")
        share = np.count_nonzero(image < FAT_HU) / image.size
        if self.modality == "ct" and share < FAT_SHARE:
            raise BadInput(f"{self.image}: expected CT in Hounsfield units, {FAT_SHARE:.0%} or more of it fat and air "
                           f"below {FAT_HU:g}, found {share:.1%}; if it is MR, give it as MR, else apply its lost "
                           "scaling")
        if self.modality == "mr" and share >= FAT_SHARE:
            raise BadInput(f"{self.image}: expected MR, less than {FAT_SHARE:.0%} of it below {FAT_HU:g}, found "
                           f"{share:.1%}, as in CT; if it is CT, give it as CT")
        return image, grid

    def _image(self, pixels):
        if self.image.is_dir():
            grid, image = layout.dicom_series(self.image_files(), pixels, self.modality)
        else:
            grid, image = layout.read_nifti(self.image, pixels)
        sides = np.linalg.norm(grid.affine[:3, :3], axis=0) * grid.shape
        if not SIDES[0] <= sides.max() <= SIDES[1]:
            found = " x ".join(f"{side:.4g}" for side in sides)
            raise BadInput(f"{self.image}: expected a scan of {SIDES[0]} to {SIDES[1]} mm, found {found} mm; correct "
                           "the unit or the voxel size in its header")
        return grid, image

    def read_label(self) -> np.ndarray | None:
        """(label uint8 of class ids along the image's axes, or None for a scan without). Raises `BadInput` for unknown
        or too few classes, and for organs that lie as in nobody (`layout.check_anatomy`)."""
        if self.label is None:
            return None
        grid, _ = self._image(pixels=False)
        codes = "chaos" if self.label.is_dir() else "btcv" if self.layout == "btcv" else "pairs"
        label = layout.class_ids(self._label(grid, pixels=True), codes, self.label)
        if label.min() == label.max():
            raise BadInput(f"{self.label}: expected at least two classes, found only {CLASSES[label.flat[0]]}; "
                           "leave the case out or label it")
        layout.check_anatomy(label, grid.affine, self.label)
        return label

    def _label(self, grid, pixels):
        """The label's values along the axes of the image's `grid`, however it has them itself; None unless `pixels`."""
        from nibabel.orientations import apply_orientation

        if self.label.is_dir():
            return layout.read_masks(self.label, grid, pixels)
        own, label = layout.read_nifti(self.label, pixels)
        turn, turned = grid.turned(own)
        if difference := grid.differs(turned):
            raise BadInput(f"{self.label}: expected the grid of {self.image.name}, found {difference}; "
                           "export image and label on one grid")
        return apply_orientation(label, turn) if pixels else None

    def read(self) -> Volume:
        """The scan as a `Volume`. Raises `BadInput` for headers or voxels that cannot be used."""
        self.check()
        image, grid = self.read_image()
        return Volume(image, self.read_label(), grid.affine)


@dataclass(frozen=True)
class Dataset:
    """The scans of a folder; `name` is "real", or "synthetic" where `synthetic.make` made it. `unused` are sentences on
    the files beside them that are no part of a scan, one a cause.

    Raises `BadInput` for two scans of one name, also where only capitals tell them apart: they would share a cache.
    """

    folder: Path
    name: str
    scans: tuple
    unused: tuple = ()

    def __post_init__(self):
        names = [scan.name.replace("/", "-").lower() for scan in self.scans]
        for scan, name in zip(self.scans, names, strict=True):
            if names.count(name) > 1:
                raise BadInput(f"{scan.name}: expected a name of its own, found two scans of it; rename one of them")

    @property
    def labelled(self) -> tuple[Scan, ...]:
        """The scans that have a label map."""
        return tuple(scan for scan in self.scans if scan.label is not None)

    @property
    def unlabelled(self) -> tuple[Scan, ...]:
        """The scans that have none."""
        return tuple(scan for scan in self.scans if scan.label is None)

    def __str__(self):
        count = Counter((scan.modality, scan.label is not None) for scan in self.scans)
        counts = [f"{count[m, True]} + {count[m, False]} {m.upper()}" for m in MODALITIES]
        said = f"{self.name} scans, labelled + unlabelled: {', '.join(counts)} in {self.folder}"
        return "\n".join([said, *self.unused])


def split(data: Any, test: float = 0.3, seed: int = 0) -> tuple[tuple, ...]:
    """Part the labelled scans or cases of `data` (a `Dataset`, a `Prepared`) into (train, test) within each modality.

    A part `test` of each modality's n patients, rounded, is held back: 30 CT and 20 MR give the paper's 21/9 and 14/6.
    Each patient has one scan, so this is a split by patient. Cases go by a hash of seed and name, so that the order of
    files does not matter and every machine and version gives the same split.

    Raises `BadInput` unless 0 <= test < 1, and for a modality with a single case: it cannot be in both parts.
    """
    if not 0 <= test < 1:
        raise BadInput(f"test: expected a part from 0 to below 1, found {test}; 0.3 is the paper's")
    held_back = set()
    for modality in MODALITIES:
        names = [case.name for case in data.labelled if case.modality == modality]
        names.sort(key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
        if test and len(names) == 1:
            raise BadInput(f"{names[0]}: expected two labelled cases of {modality.upper()} or more, found one, which "
                           "cannot be learnt from and held back; add some")
        count = min(max(round(test * len(names)), int(test > 0)), max(len(names) - 1, 0))
        held_back.update(names[:count])
    return tuple(tuple(case for case in data.labelled if (case.name in held_back) == back) for back in (False, True))


def load(folder: Path | str | None = None, sequence: str = "t2spir", labelled: bool = True) -> Dataset:
    """Find the scans in `folder` and check every header -> `Dataset`.

    folder    holds any of the following; None is the folder that `I2PEMD_DATA` names, or the synthetic set, made once,
              where that is unset or holds no scans:
              `btcv/RawData/{Training/{img,label},Testing/img}` with imgNNNN.nii.gz and labelNNNN.nii.gz (names count
              by their numbers: IMG_7.nii is img0007.nii.gz),
              `chaos/{Train_Sets,Test_Sets}/MR/<patient>/{T2SPIR,T1DUAL}` with DICOM_anon and Ground,
              `chaos_mr_t2spir/{Training/{img,label},Testing/img}` with image_N.nii.gz and label_N.nii.gz of class ids.
              With both of the last two the DICOM serves alone: they are the same patients. What else lies there is
              named by `Dataset.unused`.
    sequence  of CHAOS: "t2spir", "t1_in" or "t1_out".
    labelled  whether each modality needs labelled cases. False finds scans to be predicted: they need none, and as a
              bad one must not stop the others, each is checked when it is read.

    Raises `BadInput` that lists all that is wrong in the folder at once (with `labelled`).
    """
    if sequence not in SEQUENCES:
        raise BadInput(f"sequence: expected one of {', '.join(SEQUENCES)}, found {sequence!r}")
    if folder is None:
        folder = files.data_folder("scans", holds_scans) or synthetic.make()
    folder = Path(folder)
    if not holds_scans(folder):
        raise BadInput(f"{folder}: expected a folder that holds btcv/RawData, chaos/Train_Sets/MR or chaos_mr_t2spir, "
                       "found none of them; data/README.md says where each comes from")
    made = (folder / MANIFEST).is_file()
    if made and not files.read_json(folder / MANIFEST, {"complete?": bool}).get("complete"):
        raise BadInput(f"{folder}: expected a complete synthetic set, found one made in part; make it again")
    problems = Problems(str(folder))
    chaos = folder / "chaos"
    mr = _chaos(chaos, sequence, problems) if (chaos / "Train_Sets" / "MR").is_dir() else []
    if not mr and sequence == "t2spir":
        mr = _pairs(folder / "chaos_mr_t2spir", "mr", "image_", "label_", "pairs", problems)
    scans = _pairs(folder / "btcv" / "RawData", "ct", "img", "label", "btcv", problems) + mr
    unused = _unused(folder, scans, sequence)
    if labelled:
        for scan in scans:
            with problems.collect():
                scan.check()
        for modality in sorted({scan.modality for scan in scans}):
            if not any(scan.label is not None for scan in scans if scan.modality == modality):
                problems.add(f"{folder} ({modality.upper()})", "labelled cases", "none",
                             "add some to its training folder")
    try:
        problems.raise_if_any()
    except BadInput as error:  # one may be what another lacks
        raise BadInput("\n  ".join([str(error), *unused])) from None
    if not scans:
        found = "; ".join(unused) or "only empty folders"
        raise BadInput(f"{folder}: expected scans, found {found}; unpack the download again")
    return Dataset(folder, "synthetic" if made else "real", tuple(scans), unused)


def find_scans(images, problems, modality=None, out=None):
    """The NIfTI files and the CT and MR series in DICOM files in a folder and below it, or one file.

    -> (the scans, sentences on the files that are part of none, one a cause)

    NIfTI files are of `modality`, and have their path as name. The DICOM files of one SeriesInstanceUID are a scan,
    which is named by its series number and description, or by the UID; `modality` leaves those of the other one out.
    Label maps that were written to `out` are passed over. `problems` notes what cannot be read.
    """
    images, scans, series, others = Path(images), [], {}, {}
    written = [place for place in ((out / m).resolve() for m in MODALITIES if out)
               if not images.resolve().is_relative_to(place)]  # fmt: skip

    def failed(error):
        if isinstance(error, PermissionError):
            problems.add(error.filename, "a folder that can be read", error.strerror)

    paths = [Path(root) / name for root, folders, names in os.walk(images, onerror=failed)
             for name in (*names, *(one for one in folders if os.path.islink(os.path.join(root, one))))]  # fmt: skip
    for path in [images] if images.is_file() else sorted(paths):
        inner, kind = Path(path.name) if path == images else path.relative_to(images), None
        if files.of_system(inner) or any(path.parent.resolve().is_relative_to(place) for place in written):
            continue
        if match := re.fullmatch(layout.NIFTI, path.name, re.I):
            scans.append(Scan(f"{modality}/{inner.with_name(match[1]).as_posix()}", modality or "ct", path))
            continue
        with problems.collect():
            kind = layout.dicom_kind(path)
        if isinstance(kind, tuple) and modality in (None, kind[0]):
            key = kind[0], kind[1] or inner.parent.as_posix()
            series.setdefault(key, (kind[2], []))[1].append(path)
        elif kind:
            others[str(inner)] = f"not used, as it is {kind if isinstance(kind, str) else kind[0].upper()}"
    if scans and modality is None:
        if not series:
            raise BadInput(f"modality: expected 'ct' or 'mr' for {images}, which just holds NIfTI, found none; say "
                           "it, as in --modality ct")  # fmt: skip
        for scan in scans:
            problems.add(scan.image, "the modality of NIfTI files, 'ct' or 'mr'", "none", "say it, or move the file")
        scans = []
    names = Counter((kind, name.lower()) for (kind, _), (name, _) in series.items())
    for (kind, key), (name, slices) in series.items():
        name += f"_{key.replace('/', '_')}" * (names[kind, name.lower()] > 1)
        scans.append(Scan(f"{kind}/{name}", kind, slices[0].parent, slices=tuple(slices)))
    return scans, files.grouped(others)


def holds_scans(folder):
    """Whether `load` knows the layout of what is in `folder`."""
    return any((Path(folder) / part).is_dir() for part in ("btcv/RawData", "chaos/Train_Sets/MR", "chaos_mr_t2spir"))


def _numbered(folder, start, problems):
    """{number: path} of the NIfTI files in `folder` called `start` and a number, in order of the numbers."""
    paths = {}
    for path, name in layout.nifti_files(folder).items():
        if match := re.fullmatch(rf"(?:{start})[-_ ]?(\d+)", name, re.I):
            if (twin := paths.setdefault(int(match[1]), path)) is not path:
                problems.add(path, "one file of a case", twin.name, "remove one of the two")
    return dict(sorted(paths.items()))


def _pairs(folder, modality, image, label, codes, problems):
    """The scans of a folder of NIfTI pairs, with the files that they ought to have; `problems` notes what is double."""
    training, tests = folder / "Training", _numbered(folder / "Testing" / "img", IMAGE, problems)
    images, labels = (_numbered(training / p, start, problems) for p, start in (("img", IMAGE), ("label", LABEL)))
    pairs = [(images.get(number), labels.get(number)) for number in sorted(images.keys() | labels.keys())]
    for number in tests.keys() & images.keys():
        problems.add(tests[number], "a case that is not in Training too", images[number].name, "remove one of the two")
    scans = []
    for path, mask in pairs + [(path, None) for path in tests.values()]:
        digits = re.search(r"\d+", (path or mask).name)[0]
        if path not in tests.values():
            mask = mask or training / "label" / f"{label}{digits}.nii.gz"
        path = path or training / "img" / f"{image}{digits}.nii.gz"
        scans.append(Scan(f"{modality}/{image}{digits}", modality, path, mask, codes))
    return scans


def _chaos(folder, sequence, problems):
    """The scans of one sequence in CHAOS's own folders; `problems` notes patients that are there twice."""
    kind, phase, echo = SEQUENCES[sequence]
    scans, seen = [], {}
    for part, labelled in (("Train_Sets", True), ("Test_Sets", False)):
        patients = [p for p in (folder / part / "MR").glob("*") if p.is_dir() and not files.of_system(Path(p.name))]
        for patient in sorted(patients, key=lambda p: (len(p.name), p.name)):
            if (twin := seen.setdefault(patient.name.lower().lstrip("0"), patient)) is not patient:
                problems.add(patient, "a patient once", f"{twin} too", "remove one of the two")
                continue
            image, label = patient / kind / "DICOM_anon", patient / kind / "Ground"
            merged = bool(phase) and not (image / phase).is_dir()
            name = patient.name.encode(errors="backslashreplace").decode()  # it may be no UTF-8
            scans.append(Scan(f"mr/chaos_{name}", "mr", image if merged else image / phase,
                              label if labelled else None, "chaos", echo if merged else None))
    return scans


def _unused(folder, scans, sequence):
    """Sentences on the files of `load`'s folders that are no part of a scan; those of systems are left out."""
    used, said = {path for scan in scans for path in (scan.image, scan.label)}, {}
    parts = ("btcv", "chaos", "chaos_mr_t2spir")
    for path in (*layout.nifti_files(folder), *(path for part in parts for path in sorted((folder / part).rglob("*")))):
        inner, slices = path.relative_to(folder), path.parent in used and path.suffix.lower() in (".dcm", ".png")
        if not (path.is_dir() or path in used or slices or files.of_system(inner)):
            said[str(inner)] = f"not used, as {_why_unused(inner, scans, sequence)}"
    return files.grouped(said)


def _why_unused(path, scans, sequence):
    """The reason in words why `load` takes no file at that path from its folder."""
    layouts, (kind, phase, _), parts = {scan.layout for scan in scans}, SEQUENCES[sequence], path.parts
    chaos, pairs, name = parts[0] == "chaos", parts[0] == "chaos_mr_t2spir", path.name.lower()
    places = r"(btcv/RawData|chaos_mr_t2spir)/(Training/(img|label)|Testing/img)"
    reasons = (
        (name.endswith((".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar")), "it is not unpacked"),
        (chaos and "chaos" not in layouts, "chaos/Train_Sets/MR holds no patients"),
        (chaos and parts[2:3] != ("MR",), "of CHAOS only MR is read"),
        (chaos and not {kind, phase} <= {*parts, ""}, f"it is not of the sequence {sequence}"),
        (chaos and parts[1] == "Test_Sets" and "Ground" in parts, "scans in Test_Sets are read without labels"),
        (chaos, "it is no slice (.dcm) in DICOM_anon and no mask (.png) in Ground"),
        (pairs and "chaos" in layouts, "these patients are read from chaos"),
        (pairs and sequence != "t2spir", f"it is not of the sequence {sequence}"),
        (not re.fullmatch(places, path.parent.as_posix()),
         "it does not lie in Training/img, Training/label or Testing/img"),
        (not re.fullmatch(layout.NIFTI, name), "it is no NIfTI file (.nii, .nii.gz)"),
        (True, "its name is not img or image, or for labels label, and a number"),
    )  # fmt: skip
    return next(why for holds, why in reasons if holds)
