"""Scans and label maps as users have them on disk: NIfTI files, CHAOS DICOM folders, CHAOS PNG masks.

Every reader returns arrays indexed (i, j, k) with an affine that takes (i, j, k, 1) to millimetres in nibabel's
convention: +x to the patient's Right, +y to Anterior, +z to Superior (RAS). nibabel, pydicom and PIL are imported where
they are used, so that training on prepared scans needs none of them.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2pemd_lite.files import BadInput, atomic_write, parsing

CLASSES = ("background", "liver", "right kidney", "left kidney", "spleen")
ORGANS = CLASSES[1:]
MODALITIES = ("ct", "mr")
MANIFEST = "synthetic.json"  # marks a folder as made by `synthetic.make`
CODES = {
    "btcv": ("BTCV's label values 0 to 13", {0: range(14), 1: [6], 2: [2], 3: [3], 4: [1]}),
    "pairs": ("label values 0 to 4", {k: [k] for k in range(5)}),
    "chaos": ("grey values 0 55-70 110-135 175-200 240-255",
              {0: [0], 1: range(55, 71), 2: range(110, 136), 3: range(175, 201), 4: range(240, 256)}),
    "first chaos": ("grey values 0 80 160 240 255", {0: [0], 1: [80], 2: [160], 3: [240], 4: [255]}),
}  # fmt: skip
"""What is on disk, in words and as {class: values}, later classes over earlier ones: nine of BTCV's thirteen organs are
background. In the first release of CHAOS, its later grey values would take a left kidney for a spleen."""
PITCH_TOLERANCE = 0.05  # how far the distance of two neighbouring slices may be from the median one, as a part of it


class Volume(NamedTuple):
    """One scan in memory. `image` (i, j, k) float32 in scanner units (Hounsfield units for CT), `label` (i, j, k) uint8
    of class ids or None, `affine` (4, 4) from index to RAS millimetres."""

    image: np.ndarray
    label: np.ndarray | None
    affine: np.ndarray


class Grid(NamedTuple):
    """Where the voxels of a scan are: `shape` (3 numbers) and `affine` (4, 4), index to RAS millimetres."""

    shape: tuple
    affine: np.ndarray

    def differs(self, other):
        """What tells two grids apart in words, or None where no corner is a tenth of a voxel away from the other's."""
        if self.shape != other.shape:
            return f"shape {other.shape} beside {self.shape}"
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], [1])).reshape(4, -1)
        apart = np.abs((self.affine - other.affine) @ corners).max()
        voxel = np.linalg.norm(self.affine[:3, :3], axis=0).min()
        return f"affines that put a corner {apart:.3g} mm apart" if not apart < 0.1 * voxel else None


def nifti_files(folder):
    """{path: name without .nii or .nii.gz} of the NIfTI files in `folder`, in order of name, hidden ones left out."""
    names = {path: re.fullmatch(r"([^.].*)\.nii(\.gz)?", path.name) for path in sorted(Path(folder).glob("*"))}
    return {path: match[1] for path, match in names.items() if match}


def read_nifti(path, pixels=True):
    """The `Grid` in the header of a NIfTI file, and its voxels (float32, the file's scaling applied; None unless
    `pixels`). Raises `BadInput` where it is unreadable, not three-dimensional or not in millimetres."""
    import nibabel

    with parsing(path, "a NIfTI file"):
        image = nibabel.load(path)
        shape, affine = tuple(int(n) for n in image.shape), np.asarray(image.affine, dtype=np.float64)
        units = image.header.get_xyzt_units()[0]
    if units not in ("mm", "unknown"):
        raise BadInput(f"{path}: expected millimetres, found {units}; convert the volume again")
    if len(shape) != 3 or min(shape) < 1:
        raise BadInput(f"{path}: expected three dimensions, found shape {shape}; convert the volume again")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise BadInput(f"{path}: expected an affine with an inverse, found {affine[:3].tolist()}; convert it again")
    with parsing(path, "a NIfTI file with all its voxels"):
        return Grid(shape, affine), np.asarray(image.dataobj, dtype=np.float32) if pixels else None


PLACE = ("qform_code", "sform_code", *(f"quatern_{c}" for c in "bcd"), *(f"qoffset_{c}" for c in "xyz"),
         *(f"srow_{c}" for c in "xyz"), "pixdim", "xyzt_units")  # fmt: skip
"""The fields of a NIfTI header that say where the voxels are. Viewers differ in which of them they follow."""


def write_nifti(path, array, affine, like=None):
    """Write `array` (i, j, k) with its RAS `affine` to a NIfTI file, whole or not at all.

    `like`, a NIfTI file on the same grid, lends the fields of its header that say so, to the bit: every viewer then
    lays the two on each other.
    """
    import nibabel

    path = Path(path)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise BadInput(f"{path}: expected a name ending in .nii or .nii.gz; rename the output")
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    if like is not None:
        source = nibabel.load(like).header
        for field in PLACE:
            image.header[field] = source[field]
    with atomic_write(path) as temporary:
        nibabel.save(image, temporary)


def _files(folder, suffix, what):
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() == suffix and not p.name.startswith("."))
    if not files:
        raise BadInput(f"{folder}: expected {what} (*{suffix}), found none; unpack them again")
    return files


def dicom_files(folder, echo=None):
    """The DICOM files of one series in `folder`, in order of name. `echo`: "long" or "short" picks one of two echoes
    that lie in one folder (the first release of CHAOS merged the in-phase, longer, and opposed-phase images of
    T1-DUAL); None takes every file."""
    import pydicom

    files = _files(folder, ".dcm", "DICOM slices")
    if echo is None:
        return files
    times = {}
    for path in files:
        with parsing(path, "a DICOM file with an EchoTime"):
            times[path] = float(pydicom.dcmread(path, stop_before_pixels=True).EchoTime)
    short, long = min(times.values()), max(times.values())
    if short == long:
        raise BadInput(f"{folder}: expected two echoes, found only EchoTime {long}; use another sequence")
    return [path for path, time in times.items() if time == (long if echo == "long" else short)]


def dicom_series(files, pixels=False):
    """The `Grid` of DICOM slices, and their voxels (float32, rescaled; None unless `pixels`).

    Slices are put in order by ImagePositionPatient along the normal of ImageOrientationPatient (SliceLocation where the
    position is missing), from inferior to superior. The distance of slices is that of their positions: SliceThickness
    can differ. Raises `BadInput` on unreadable files, mixed geometry, positions that occur twice, uneven distances.
    """
    shapes, axes, places, values = zip(*(_slice(path, pixels) for path in files), strict=True)
    for path, shape, one in zip(files, shapes, axes, strict=True):
        if shape != shapes[0] or not np.allclose(one, axes[0], rtol=0, atol=1e-3):
            expected = f"the size, spacing and orientation of {files[0].name}"
            raise BadInput(f"{path}: expected {expected}, found others; keep one series in a folder")
    normal = np.cross(*axes[0].T)
    normal *= np.sign(normal[2] or 1.0) / np.linalg.norm(normal)
    along = np.array([place if np.isscalar(place) else place @ normal for place in places])
    order = np.argsort(along, kind="stable")
    _check_pitch(files[0].parent, along[order])
    lowest, highest = (n * normal if np.isscalar(n) else n for n in (places[i] for i in order[[0, -1]]))
    affine = np.eye(4)
    affine[:3, :2], affine[:3, 2], affine[:3, 3] = axes[0], (highest - lowest) / (len(order) - 1), lowest
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # DICOM's patient axes are LPS
    grid = Grid((*shapes[0][::-1], len(order)), affine)
    return grid, np.stack([values[n].T for n in order], axis=2) if pixels else None


def _slice(path, pixels):
    """Of one slice: (rows, columns); LPS millimetres for one column on and one row on, (3, 2); its position in them, or
    its SliceLocation where that is missing; and its pixels, or None."""
    import pydicom

    with parsing(path, "a DICOM slice"):
        dicom = pydicom.dcmread(path, stop_before_pixels=not pixels)
        if int(dicom.get("SamplesPerPixel", 1)) != 1 or int(dicom.get("NumberOfFrames", 1)) != 1:
            raise ValueError("colours or several frames in one file")
        cosines = np.array(dicom.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
        row_distance, column_distance = (float(v) for v in dicom.PixelSpacing)
        place, values = dicom.get("ImagePositionPatient"), None
        place = float(dicom.SliceLocation) if place is None else np.array(place, dtype=np.float64)
        if pixels:
            slope, intercept = float(dicom.get("RescaleSlope", 1)), float(dicom.get("RescaleIntercept", 0))
            values = dicom.pixel_array.astype(np.float32) * np.float32(slope) + np.float32(intercept)
        axes = (cosines * [[column_distance], [row_distance]]).T
        return (int(dicom.Rows), int(dicom.Columns)), axes, place, values


def _check_pitch(folder, along):
    """Raise where slices at positions `along` (mm, ascending) are too few, coincide or are unevenly spaced."""
    if len(along) < 2:
        raise BadInput(f"{folder}: expected a series of slices, found {len(along)}; unpack the series again")
    steps = np.diff(along)
    pitch = float(np.median(steps))
    if steps.min() < 1e-3:
        raise BadInput(f"{folder}: expected one slice at a position, found two at {along[steps.argmin()]:.2f} mm; "
                       "keep one series in a folder")
    if np.abs(steps - pitch).max() > PITCH_TOLERANCE * pitch:
        raise BadInput(f"{folder}: expected slices {pitch:.2f} mm apart, found {steps.min():.2f} to {steps.max():.2f}; "
                       "a slice may be missing")


def mask_files(folder):
    """The PNG masks of a CHAOS `Ground` folder by the integer after the last `-` of their names, ascending."""
    numbered = {}
    for path in _files(folder, ".png", "masks"):
        match = re.fullmatch(r"(.*-)?(\d+)", path.stem)
        if not match:
            raise BadInput(f"{path}: expected a name that ends in -NUMBER.png; unpack the masks again")
        if (twin := numbered.setdefault(int(match[2]), path)) is not path:
            raise BadInput(f"{path}: expected one mask {int(match[2])}, found {twin.name} too; remove one")
    return [path for _, path in sorted(numbered.items())]


def read_masks(folder, grid, pixels=True):
    """The grey values (i, j, k) uint8 of the masks in `folder`, lowest number most inferior; None unless `pixels`.
    Raises `BadInput` unless they are grey pictures of the size and number of `grid`'s slices."""
    import PIL.Image

    files, layers, (columns, rows, depth) = mask_files(folder), [], grid.shape
    if len(files) != depth:
        raise BadInput(f"{folder}: expected {depth} masks, one a slice, found {len(files)}; unpack them again")
    for path in files:
        with parsing(path, "a PNG mask"), PIL.Image.open(path) as picture:
            (width, height), mode = picture.size, picture.mode
            if (width, height, mode) != (columns, rows, "L"):
                raise ValueError(f"{width} x {height} in mode {mode}, not {columns} x {rows} in mode L")
            layers.append(np.asarray(picture, dtype=np.uint8).T if pixels else None)
    return np.stack(layers, axis=2) if pixels else None


def class_ids(values, kind, name="label"):
    """Class ids, uint8, of what is on disk; `kind` is a key of `CODES`, but for "first chaos", which 80 or 160 show."""
    if kind == "chaos" and np.isin(values, (80, 160)).any():
        kind = "first chaos"
    expected, codes = CODES[kind]
    table = np.full(256, 255, dtype=np.uint8)
    for one, written in codes.items():
        table[written] = one
    index = np.clip(np.nan_to_num(values, nan=-1), 0, 255).astype(np.uint8)
    classes = table[index]
    wrong = (index != values) | (classes == 255)
    if wrong.any():
        found = ", ".join(f"{value:g}" for value in np.unique(np.asarray(values)[wrong])[:8])
        raise BadInput(f"{name}: expected {expected}, found {found}; correct the label or leave the case out")
    return classes
