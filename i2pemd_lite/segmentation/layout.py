"""Scans and label maps as users have them on disk: NIfTI files, CHAOS DICOM folders, CHAOS PNG masks.

Every reader returns arrays indexed (i, j, k) with an affine that takes (i, j, k, 1) to millimetres in nibabel's
convention: +x to the patient's Right, +y to Anterior, +z to Superior (RAS). nibabel, pydicom and PIL are imported where
they are used, so that training on prepared scans needs none of them.
"""

import contextlib
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2pemd_lite.files import BadInput

BTCV_IDS = {6: 1, 2: 2, 3: 3, 1: 4}
"""BTCV label -> class; the other nine of its thirteen organs are background."""
CHAOS_BANDS = {1: (55, 70), 2: (110, 135), 3: (175, 200), 4: (240, 255)}
"""Class -> grey values of a CHAOS MR mask, first and last. A missing organ would shift ids taken by order."""
CHAOS_EARLY = {80: 1, 160: 2, 240: 3, 255: 4}
"""Grey value -> class in the first release of CHAOS, where the bands would take a left kidney for a spleen."""
PITCH_TOLERANCE = 0.05
"""How far the distance of two neighbouring slices may be from the median one, as a part of it."""


class Grid(NamedTuple):
    """Where the voxels of a scan are: `shape` (3 numbers) and `affine` (4, 4), index to RAS millimetres."""

    shape: tuple
    affine: np.ndarray

    def differs(self, other):
        """What tells two grids apart in words, or None where no corner is a tenth of a voxel away from the other's.

        Example
        -------
        >>> Grid((2, 2, 2), np.eye(4)).differs(Grid((2, 2, 3), np.eye(4)))
        'shape (2, 2, 3) beside (2, 2, 2)'
        """
        if self.shape != other.shape:
            return f"shape {other.shape} beside {self.shape}"
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], [1])).reshape(4, -1)
        apart = np.abs((self.affine - other.affine) @ corners).max()
        voxel = np.linalg.norm(self.affine[:3, :3], axis=0).min()
        return f"affines that put a corner {apart:.3g} mm apart" if not apart < 0.1 * voxel else None


@contextlib.contextmanager
def _parsing(path, what):
    """Turn whatever a parser raises on a broken file into a `BadInput` that names the file.

    nibabel, pydicom, PIL, zlib and numpy raise a dozen unrelated exceptions on damaged files, hence the wide net.
    """
    try:
        yield
    except (BadInput, ImportError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(f"{path}: expected {what}, found {reason}; copy or download it again") from None


def nifti_files(folder):
    """{path: name without .nii or .nii.gz} of the NIfTI files in `folder`, in order of name, hidden ones left out."""
    found = {path: re.fullmatch(r"([^.].*)\.nii(\.gz)?", path.name) for path in sorted(Path(folder).glob("*"))}
    return {path: match[1] for path, match in found.items() if match}


def nifti_grid(path):
    """The `Grid` in the header of a NIfTI file.

    Raises `BadInput` where the header is unreadable, not three-dimensional or not in millimetres.
    """
    import nibabel

    with _parsing(path, "a NIfTI file"):
        image = nibabel.load(path)
        shape, affine = tuple(int(n) for n in image.shape), np.asarray(image.affine, dtype=np.float64)
        units = image.header.get_xyzt_units()[0]
    if units not in ("mm", "unknown"):
        raise BadInput(f"{path}: expected millimetres, found {units}; convert the volume again")
    if len(shape) != 3 or min(shape) < 1:
        raise BadInput(f"{path}: expected three dimensions, found shape {shape}; convert the volume again")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise BadInput(f"{path}: expected an affine with an inverse, found {affine[:3].tolist()}; convert it again")
    return Grid(shape, affine)


def read_nifti(path):
    """The voxels (float32, the file's scaling applied) and `Grid` of a NIfTI file. Raises `BadInput`.

    Example
    -------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_nifti(Path(folder) / "a.nii.gz", np.ones((2, 3, 4)), np.eye(4))
    ...     array, grid = read_nifti(Path(folder) / "a.nii.gz")
    >>> array.dtype, grid.shape
    (dtype('float32'), (2, 3, 4))
    """
    import nibabel

    grid = nifti_grid(path)
    with _parsing(path, "a NIfTI file with all its voxels"):
        return np.asarray(nibabel.load(path).dataobj, dtype=np.float32), grid


PLACE = ("qform_code", "sform_code", *(f"quatern_{c}" for c in "bcd"), *(f"qoffset_{c}" for c in "xyz"),
         *(f"srow_{c}" for c in "xyz"), "pixdim", "xyzt_units")  # fmt: skip
"""The fields of a NIfTI header that say where the voxels are. Viewers differ in which of them they follow."""


def write_nifti(path, array, affine, like=None):
    """Write `array` (i, j, k) with its RAS `affine` to a NIfTI file, whole or not at all.

    `like`, a NIfTI file on the same grid, lends the fields of its header that say so, to the bit: every viewer then
    lays the two on each other.
    """
    import nibabel

    from i2pemd_lite.files import atomic_write

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


def dicom_files(folder, echo=None):
    """The DICOM files of one series in `folder`, in order of name.

    `echo`: "long" or "short" picks one of two echoes that lie in one folder (the first release of CHAOS merged the
    in-phase, longer, and opposed-phase images of T1-DUAL); None takes every file.
    """
    import pydicom

    files = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".dcm" and not p.name.startswith("."))
    if not files:
        raise BadInput(f"{folder}: expected DICOM slices (*.dcm), found none; unpack the series again")
    if echo is None:
        return files
    times = {}
    for path in files:
        with _parsing(path, "a DICOM file with an EchoTime"):
            times[path] = float(pydicom.dcmread(path, stop_before_pixels=True).EchoTime)
    wanted = (max if echo == "long" else min)(times.values())
    if min(times.values()) == max(times.values()):
        raise BadInput(f"{folder}: expected two echoes, found only EchoTime {wanted}; use another sequence")
    return [path for path, time in times.items() if time == wanted]


def dicom_series(files, pixels=False):
    """The `Grid` of DICOM slices, and their voxels (float32, rescaled; None unless `pixels`).

    Slices are put in order by ImagePositionPatient along the normal of ImageOrientationPatient (SliceLocation where the
    position is missing), from inferior to superior. The distance of slices is that of their positions: SliceThickness
    can differ. Raises `BadInput` on unreadable files, mixed geometry, positions that occur twice, uneven distances.
    """
    import pydicom

    folder, slices = files[0].parent, []
    for path in files:
        with _parsing(path, "a DICOM slice"):
            slices.append(_slice(pydicom.dcmread(path, stop_before_pixels=not pixels), pixels))
    first = slices[0]
    for path, one in zip(files, slices, strict=True):
        if one.shape != first.shape or not np.allclose(one.axes, first.axes, rtol=0, atol=1e-3):
            raise BadInput(f"{path}: expected the size, spacing and orientation of {files[0].name}, found others; "
                           "keep one series in a folder")
    normal = np.cross(*first.axes.T)
    normal *= np.sign(normal[2] or 1.0) / np.linalg.norm(normal)
    along = np.array([one.position @ normal if one.position is not None else one.location for one in slices])
    order = np.argsort(along, kind="stable")
    _check_pitch(folder, along[order])
    origins = [slices[n].position if slices[n].position is not None else along[n] * normal for n in order]
    affine = np.eye(4)
    affine[:3, :2], affine[:3, 3] = first.axes, origins[0]
    affine[:3, 2] = (origins[-1] - origins[0]) / (len(order) - 1)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # DICOM's patient axes are LPS
    grid = Grid((first.shape[1], first.shape[0], len(order)), affine)
    return grid, np.stack([slices[n].pixels.T for n in order], axis=2) if pixels else None


class _Slice(NamedTuple):
    shape: tuple  # rows, columns
    axes: np.ndarray  # (3, 2): LPS millimetres for one column on, one row on
    position: np.ndarray | None
    location: float
    pixels: np.ndarray | None


def _slice(dicom, pixels):
    """What matters of one slice; raises whatever pydicom raises."""
    if int(dicom.get("SamplesPerPixel", 1)) != 1 or int(dicom.get("NumberOfFrames", 1)) != 1:
        raise ValueError("colours or several frames in one file")
    cosines = np.array(dicom.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    row_distance, column_distance = (float(v) for v in dicom.PixelSpacing)
    position = dicom.get("ImagePositionPatient")
    values = None
    if pixels:
        slope, intercept = float(dicom.get("RescaleSlope", 1)), float(dicom.get("RescaleIntercept", 0))
        values = dicom.pixel_array.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    return _Slice(
        (int(dicom.Rows), int(dicom.Columns)),
        (cosines * [[column_distance], [row_distance]]).T,
        None if position is None else np.array(position, dtype=np.float64),
        float(dicom.SliceLocation) if position is None else 0.0,
        values,
    )


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
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() == ".png" and not p.name.startswith(".")):
        try:
            number = int(path.stem.rsplit("-", 1)[-1])
        except ValueError:
            raise BadInput(f"{path}: expected a name that ends in -NUMBER.png; unpack the masks again") from None
        if number in numbered:
            raise BadInput(f"{path}: expected one mask {number}, found {numbered[number].name} too; remove one")
        numbered[number] = path
    if not numbered:
        raise BadInput(f"{folder}: expected masks (*.png), found none; unpack the folder again")
    return [numbered[number] for number in sorted(numbered)]


def check_masks(folder, grid):
    """Raise `BadInput` unless the masks in `folder` are grey pictures of the size and number of `grid`'s slices."""
    import PIL.Image

    files = mask_files(folder)
    if len(files) != grid.shape[2]:
        raise BadInput(f"{folder}: expected {grid.shape[2]} masks, one a slice, found {len(files)}; unpack them again")
    for path in files:
        with _parsing(path, "a PNG mask"), PIL.Image.open(path) as picture:
            if picture.mode != "L" or picture.size != grid.shape[:2]:
                raise ValueError(f"{picture.size[0]} x {picture.size[1]} in mode {picture.mode}, "
                                 f"not {grid.shape[0]} x {grid.shape[1]} in mode L")


def read_masks(folder):
    """The grey values (i, j, k) uint8 of the masks in `folder`; the lowest number is the most inferior slice."""
    import PIL.Image

    layers = []
    for path in mask_files(folder):
        with _parsing(path, "a PNG mask"), PIL.Image.open(path) as picture:
            layers.append(np.asarray(picture, dtype=np.uint8).T)
    if len({layer.shape for layer in layers}) != 1:
        raise BadInput(f"{folder}: expected masks of one size, found several; unpack them again")
    return np.stack(layers, axis=2)


def chaos_classes(grey, name="masks"):
    """Class ids of CHAOS grey values: by band, or by the first release's values where 80 or 160 shows that it is that.

    Example
    -------
    >>> chaos_classes(np.array([0, 63, 126, 189, 252]))
    array([0, 1, 2, 3, 4], dtype=uint8)
    >>> chaos_classes(np.array([0, 80, 240]))
    array([0, 1, 3], dtype=uint8)
    """
    early = np.isin(grey, (80, 160)).any()
    bands = {one: (value, value) for value, one in CHAOS_EARLY.items()} if early else CHAOS_BANDS
    table = np.full(256, 255, dtype=np.uint8)
    table[0] = 0
    for one, (first, last) in bands.items():
        table[first : last + 1] = one
    known = " ".join(f"{first}-{last}" if first < last else str(first) for first, last in bands.values())
    return _look_up(table, grey, name, f"grey values 0 {known}")


def btcv_classes(labels, name="label"):
    """Class ids of BTCV's raw label values 0 to 13.

    Example
    -------
    >>> btcv_classes(np.array([0, 1, 2, 3, 4, 6, 13]))
    array([0, 4, 2, 3, 0, 1, 0], dtype=uint8)
    """
    table = np.full(256, 255, dtype=np.uint8)
    table[:14] = [BTCV_IDS.get(raw, 0) for raw in range(14)]
    return _look_up(table, labels, name, "BTCV's label values 0 to 13")


def plain_classes(labels, name="label"):
    """Class ids 0 to 4 as they are, once it is sure that there are no others.

    Example
    -------
    >>> plain_classes(np.array([0.0, 4.0]))
    array([0, 4], dtype=uint8)
    """
    table = np.full(256, 255, dtype=np.uint8)
    table[:5] = range(5)
    return _look_up(table, labels, name, "label values 0 to 4")


def _look_up(table, values, name, expected):
    """`table[values]`; raises `BadInput` for values that are no index or whose entry is 255."""
    index = np.clip(np.nan_to_num(values, nan=-1), 0, 255).astype(np.uint8)
    classes = table[index]
    wrong = (index != values) | (classes == 255)
    if wrong.any():
        found = ", ".join(f"{value:g}" for value in np.unique(np.asarray(values)[wrong])[:8])
        raise BadInput(f"{name}: expected {expected}, found {found}; correct the label or leave the case out")
    return classes
