"""Scans in a folder: unpaired abdominal CT and MR with liver, kidneys and spleen, in whatever layout they came."""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from i2pemd_lite import files
from i2pemd_lite.files import BadInput, Problems
from i2pemd_lite.segmentation import layout, synthetic
from i2pemd_lite.segmentation.layout import CLASSES, MANIFEST, MODALITIES, Volume

SEQUENCES = {
    "t2spir": ("T2SPIR", "", None),
    "t1_in": ("T1DUAL", "InPhase", "long"),
    "t1_out": ("T1DUAL", "OutPhase", "short"),
}
"""CHAOS sequence -> its folder, the folder of its phase, and its echo where both phases lie in one folder."""
FAT_HU, FAT_SHARE = -50.0, 0.02
"""At least so large a part of a CT scan has to lie below `FAT_HU`, and of an MR scan less: half of a CT scan or more is
fat and air. A normalised scan is let pass; CT that lost its scaling (0 to 255, 0 to 4095) is not."""


@dataclass(frozen=True)
class Scan:
    """One scan on disk and, where it has one, its label map.

    `name` is unique in a data set ("ct/img0002"), `modality` "ct" or "mr", `image` a NIfTI file or a folder of DICOM
    slices, `label` a NIfTI file, a folder of PNG masks, or None. `layout` ("btcv", "pairs", "chaos") says what the
    label's values mean; `echo` ("long", "short" or None) which echo to take where a DICOM folder holds two.
    """

    name: str
    modality: str
    image: Path
    label: Path | None = None
    layout: str = "pairs"
    echo: str | None = None

    def __post_init__(self):
        if self.modality not in MODALITIES:
            raise BadInput(f"modality: expected 'ct' or 'mr', found {self.modality!r}; name the scan's modality")

    def files(self):
        """Every file that the scan consists of: those of the image, then those of the label."""
        image = layout.dicom_files(self.image, self.echo) if self.image.is_dir() else [self.image]
        masks = [] if self.label is None else layout.mask_files(self.label) if self.label.is_dir() else [self.label]
        return image + masks

    def check(self):
        """The scan's `Grid` from its headers. Raises `BadInput` for bad headers, for a label on another grid, and where
        image or label is not there."""
        if not self.image.exists():
            name = self.label or self.name
            raise BadInput(f"{name}: expected its image {self.image}, found none; add it or remove the case")
        if self.label is not None and not self.label.exists():
            do = "add it or move the image to the testing folder"
            raise BadInput(f"{self.image}: expected its label {self.label}, found none; {do}")
        grid, _ = self._image(pixels=False)
        if self.label is not None and self.label.is_dir():
            layout.read_masks(self.label, grid, pixels=False)
        elif self.label is not None and (difference := grid.differs(layout.read_nifti(self.label, pixels=False)[0])):
            raise BadInput(f"{self.label}: expected the grid of {self.image.name}, found {difference}; "
                           "export image and label on one grid")
        return grid

    def read_image(self):
        """(image, `Grid`) in scanner units. Raises `BadInput` for images that are unreadable, not finite, constant, or
        of the other modality."""
        grid, image = self._image(pixels=True)
        if not np.isfinite(image).all():
            count = int((~np.isfinite(image)).sum())
            raise BadInput(f"{self.image}: expected finite values, found {count} NaN or infinite; convert it again")
        if image.min() == image.max():
            raise BadInput(f"{self.image}: expected an image, found the value {image.flat[0]:g} everywhere; "
                           "convert the scan again")
        share = float((image < FAT_HU).mean())
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
            return layout.dicom_series(layout.dicom_files(self.image, self.echo), pixels)
        return layout.read_nifti(self.image, pixels)

    def read_label(self):
        """(label uint8 of class ids, or None for a scan without). Raises `BadInput` for unknown or too few classes."""
        if self.label is None:
            return None
        if self.label.is_dir():
            label = layout.class_ids(layout.read_masks(self.label, self._image(pixels=False)[0]), "chaos", self.label)
        else:
            codes = "btcv" if self.layout == "btcv" else "pairs"
            label = layout.class_ids(layout.read_nifti(self.label)[1], codes, self.label)
        if label.min() == label.max():
            raise BadInput(f"{self.label}: expected at least two classes, found only {CLASSES[label.flat[0]]}; "
                           "leave the case out or label it")
        return label

    def read(self):
        """The scan as a `Volume`. Raises `BadInput` for headers or voxels that cannot be used."""
        self.check()
        image, grid = self.read_image()
        return Volume(image, self.read_label(), grid.affine)


@dataclass(frozen=True)
class Dataset:
    """The scans of a folder; `name` is "real", or "synthetic" where `synthetic.make` made it."""

    folder: Path
    name: str
    scans: tuple

    @property
    def labelled(self):
        """The scans that have a label map."""
        return tuple(scan for scan in self.scans if scan.label is not None)

    @property
    def unlabelled(self):
        """The scans that have none."""
        return tuple(scan for scan in self.scans if scan.label is None)

    def __str__(self):
        count = Counter((scan.modality, scan.label is not None) for scan in self.scans)
        counts = [f"{count[m, True]} + {count[m, False]} {m.upper()}" for m in MODALITIES]
        return f"{self.name} scans, labelled + unlabelled: {', '.join(counts)} in {self.folder}"


def split(data, test=0.3, seed=0):
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


def load(folder=None, sequence="t2spir", labelled=True):
    """Find the scans in `folder` and check every header -> `Dataset`.

    folder    holds any of the following; None is the folder that `I2PEMD_DATA` names, or the synthetic set, made once,
              where that is unset or holds no scans:
              `btcv/RawData/{Training/{img,label},Testing/img}` with imgNNNN.nii.gz and labelNNNN.nii.gz,
              `chaos/{Train_Sets,Test_Sets}/MR/<patient>/{T2SPIR,T1DUAL}` with DICOM_anon and Ground,
              `chaos_mr_t2spir/{Training/{img,label},Testing/img}` with image_N.nii.gz and label_N.nii.gz of class ids.
              With both of the last two the DICOM serves alone: they are the same patients.
    sequence  of CHAOS: "t2spir", "t1_in" or "t1_out".
    labelled  whether each modality needs labelled cases. False finds scans to be predicted: they need none, and as a
              bad one must not stop the others, each is checked when it is read.

    Raises `BadInput` that lists all that is wrong in the folder at once (with `labelled`).

    Example
    -------
    >>> load("/nowhere")
    Traceback (most recent call last):
    i2pemd_lite.files.BadInput: /nowhere: expected a folder that holds btcv/RawData, chaos/Train_Sets/MR or ...
    """
    if sequence not in SEQUENCES:
        raise BadInput(f"sequence: expected one of {', '.join(SEQUENCES)}, found {sequence!r}")
    if folder is None:
        folder = files.data_folder()
        if folder is None or not holds_scans(folder):
            folder = synthetic.make()
    folder = Path(folder)
    if not holds_scans(folder):
        raise BadInput(f"{folder}: expected a folder that holds btcv/RawData, chaos/Train_Sets/MR or chaos_mr_t2spir, "
                       "found none of them; data/README.md says where each comes from")
    made = (folder / MANIFEST).is_file()
    if made and not files.read_json(folder / MANIFEST, {"complete?": bool}).get("complete"):
        raise BadInput(f"{folder}: expected a complete synthetic set, found one made in part; make it again")
    problems = Problems(str(folder))
    chaos = folder / "chaos"
    scans = _pairs(folder / "btcv" / "RawData", "ct", "img", "label", "btcv", problems)
    if (chaos / "Train_Sets" / "MR").is_dir():
        scans += _chaos(chaos, sequence)
    elif sequence == "t2spir":
        scans += _pairs(folder / "chaos_mr_t2spir", "mr", "image_", "label_", "pairs", problems)
    if labelled:
        for scan in scans:
            with problems.collect():
                scan.check()
        for modality in sorted({scan.modality for scan in scans}):
            if not any(scan.label is not None for scan in scans if scan.modality == modality):
                problems.add(f"{folder} ({modality.upper()})", "labelled cases", "none",
                             "add some to its training folder")
    problems.raise_if_any()
    if not scans:
        raise BadInput(f"{folder}: expected scans, found only empty folders; unpack the download again")
    return Dataset(folder, "synthetic" if made else "real", tuple(scans))


def holds_scans(folder):
    """Whether `load` knows the layout of what is in `folder`."""
    return any((Path(folder) / part).is_dir() for part in ("btcv/RawData", "chaos/Train_Sets/MR", "chaos_mr_t2spir"))


def _numbered(folder, start, problems):
    """{number as written: path} of the NIfTI files in `folder` called `start` and a number, in order of the numbers."""
    paths = {}
    for path, name in layout.nifti_files(folder).items():
        match = re.fullmatch(start + r"(\d+)", name)
        if match and match[1] in paths:
            problems.add(path, "one file of a case", paths[match[1]].name, "remove one of the two")
        elif match:
            paths[match[1]] = path
    return dict(sorted(paths.items(), key=lambda item: int(item[0])))


def _pairs(folder, modality, image, label, codes, problems):
    """The scans of a folder of NIfTI pairs, with the files that they ought to have; `problems` notes what is double."""
    training, tests = folder / "Training", _numbered(folder / "Testing" / "img", image, problems)
    images, labels = (_numbered(training / p, start, problems) for p, start in (("img", image), ("label", label)))
    pairs = [(images.get(n, training / "img" / f"{image}{n}.nii.gz"),
              labels.get(n, training / "label" / f"{label}{n}.nii.gz"))
             for n in sorted(images.keys() | labels.keys(), key=int)]  # fmt: skip
    for number in tests.keys() & images.keys():
        problems.add(tests[number], "a case that is not in Training too", images[number].name, "remove one of the two")
    pairs += [(path, None) for path in tests.values()]
    return [Scan(f"{modality}/{path.name.split('.')[0]}", modality, path, mask, codes) for path, mask in pairs]


def _chaos(folder, sequence):
    """The scans of one sequence in CHAOS's own folders."""
    kind, phase, echo = SEQUENCES[sequence]
    scans = []
    for part, labelled in (("Train_Sets", True), ("Test_Sets", False)):
        patients = [p for p in (folder / part / "MR").glob("*") if p.is_dir() and not p.name.startswith(".")]
        for patient in sorted(patients, key=lambda p: (len(p.name), p.name)):
            image, label = patient / kind / "DICOM_anon", patient / kind / "Ground"
            merged = bool(phase) and not (image / phase).is_dir()
            image = image if merged else image / phase
            scans.append(Scan(f"mr/chaos_{patient.name}", "mr", image, label if labelled else None, "chaos",
                              echo if merged else None))
    return scans
