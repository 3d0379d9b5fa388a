"""Scans and label maps as users have them on disk: NIfTI files, CHAOS DICOM folders, CHAOS PNG masks.

Every reader returns arrays indexed (i, j, k) with an affine that takes (i, j, k, 1) to millimetres in nibabel's
convention: +x to the patient's Right, +y to Anterior, +z to Superior (RAS). nibabel, pydicom and PIL are imported where
they are used, so that training on prepared scans needs none of them.
"""

import contextlib
import functools
import gzip
import io
import itertools
import math
import re
import zlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from i2pemd_lite import __version__
from i2pemd_lite.files import BadInput, atomic_write, expect_file, fingerprint, parsing, unlike_file

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
NIFTI = r"([^.].*)\.nii(\.gz)?"
LARGEST_HEADER = 2**26  # bytes before the voxels of a NIfTI file
PADDING = 4096  # bytes that writers in blocks leave after the voxels
PART = 2**20  # voxels that are read at once
MIDDLE = "middle of both kidneys"
ANATOMY = [
    (0, "right", "liver", "spleen", 0), (0, "right", "right kidney", "left kidney", 0),
    (0, "right", "liver", MIDDLE, 0), (0, "right", MIDDLE, "spleen", 0),
    (0, "right", "liver", "left kidney", 0), (0, "right", "right kidney", "spleen", 0),
    *((axis, way, "liver", kidney, 10) for axis, way in ((1, "front"), (2, "head")) for kidney in CLASSES[2:4]),
]  # fmt: skip
"""(axis, direction, organ, the one that it is further that way than, mm that it may lack), of centroids: to the right
by 93 mm at least in 21 + 14 patients of BTCV and CHAOS (from the middle by 50), to the front and the head by 18. The
middle tells a liver that has the number of the spleen: it may lie on either side of the right kidney."""
SNOMED = ("10200004", "9846003", "18639004", "78961009")  # the codes of ORGANS in SNOMED CT
PITCH_TOLERANCE = 0.05  # how far the distance of two neighbouring slices may be from the median one, as a part of it

LARGEST_SCAN, LARGEST_FILE = 2**28, 2**28  # voxels, bytes of a DICOM file
SERIES = ("PatientID", "Modality", "SeriesNumber", "SeriesDescription", "ProtocolName", "ImageType", "FlipAngle",
          "FrameType", "SliceThickness", "ScanningSequence", "EchoTime", "EffectiveEchoTime", "EchoNumbers",
          "InversionTime", "SequenceName", "TemporalPositionIdentifier", "TemporalPositionIndex", "DiffusionBValue",
          "ConvolutionKernel", "KVP", "FrameOfReferenceUID", "StudyInstanceUID", "SeriesInstanceUID")  # fmt: skip
"""DICOM tags that are the same in all slices of one acquisition."""
NAMED = ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription")
PARTS = ("AcquisitionNumber", "ContrastBolusAgent", "RepetitionTime")
"""And tags that may change from one part of a series to the next, or from each slice to the next."""
PIXELS = ("SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated",
          "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration")  # fmt: skip
PLACES = (*PIXELS, "ImageOrientationPatient", "ImagePositionPatient", "SliceLocation", "PixelSpacing", "RescaleSlope",
          "RescaleIntercept", "ModalityLUTSequence", "SharedFunctionalGroupsSequence",
          "PerFrameFunctionalGroupsSequence")  # fmt: skip
ONE_SERIES = "keep one series in a folder"


class Volume(NamedTuple):
    """One scan in memory. `image` (i, j, k) float32 in scanner units (Hounsfield units for CT), `label` (i, j, k) uint8
    of class ids or None, `affine` (4, 4) from index to RAS millimetres."""

    image: np.ndarray
    label: np.ndarray | None
    affine: np.ndarray


class Grid(NamedTuple):
    """Where the voxels of a scan are: `shape` (3 numbers) and `affine` (4, 4), index to RAS millimetres. `assumed` says
    what of it was taken to be so as the file does not say it, or is ""."""

    shape: tuple
    affine: np.ndarray
    assumed: str = ""

    def differs(self, other: "Grid") -> str | None:
        """What tells two grids apart in words, or None where no corner is a tenth of a voxel away from the other's."""
        if self.shape != other.shape:
            return f"shape {other.shape} beside {self.shape}"
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], [1])).reshape(4, -1)
        apart = np.abs((self.affine - other.affine) @ corners).max()
        voxel = np.linalg.norm(self.affine[:3, :3], axis=0).min()
        return f"affines that put a corner {apart:.3g} mm apart" if not apart < 0.1 * voxel else None

    def turned(self, other: "Grid") -> "tuple[np.ndarray, Grid]":
        """How nibabel turns an array on `other` so that its axes go as these do, and the `Grid` it then has."""
        from nibabel.orientations import inv_ornt_aff, io_orientation

        turn = io_orientation(np.linalg.inv(self.affine) @ other.affine)
        shape = tuple(other.shape[axis] for axis in np.argsort(turn[:, 0]))
        return turn, Grid(shape, other.affine @ inv_ornt_aff(turn, other.shape))


def nifti_files(folder):
    """{path: name without .nii or .nii.gz} of what is called so in `folder`, in order of name, hidden ones left out."""
    names = {path: re.fullmatch(NIFTI, path.name, re.I) for path in sorted(Path(folder).glob("*"))}
    return {path: match[1] for path, match in names.items() if match}


@contextlib.contextmanager
def _opened(path):
    """A NIfTI file to read from, unpacked where it is packed by gzip, whatever its name says."""
    with open(path, "rb") as file:
        packed = file.peek(2)[:2] == b"\x1f\x8b"
        yield gzip.GzipFile(fileobj=file) if packed else file


def _header(path):
    """The header of a NIfTI file, but for its extensions, which nobody needs and nothing bounds."""
    from nibabel import Nifti1Header, Nifti2Header

    with parsing(path, "a NIfTI file"), _opened(path) as file:
        head = file.read(540)
        for kind in (Nifti1Header, Nifti2Header):
            if kind.may_contain_header(head):
                return kind.from_fileobj(io.BytesIO(head[: kind.sizeof_hdr] + bytes(4)))
        raise ValueError("another beginning than NIfTI has")


def read_nifti(path, pixels=True):
    """The `Grid` in the header of a NIfTI file, and its voxels (float32, the file's scaling applied; None unless
    `pixels`). For voxels the file is read to its end, so that gzip's checksum is held.

    Raises `BadInput` where it is no regular file, is unreadable, cut short or longer than its header says, has more
    than three axes (those of length one apart), 2^28 voxels, colours or complex numbers, or is not in millimetres.
    """
    header = _header(path)
    with parsing(path, "a NIfTI file"):
        shape, affine = tuple(map(int, header.get_data_shape())), np.asarray(header.get_best_affine(), np.float64)
        units, dtype, start = header.get_xyzt_units()[0], header.get_data_dtype(), header.get_data_offset()
        scaling = header.get_slope_inter()
    if units not in ("mm", "unknown"):
        raise BadInput(f"{path}: expected millimetres, found {units}; convert the volume again")
    if len(shape) < 3 or min(shape) < 1 or max(shape[3:], default=1) > 1:
        raise BadInput(f"{path}: expected three dimensions, found shape {shape}; convert the volume again")
    with np.errstate(all="ignore"):
        axes = affine[:3, :3] / (lengths := np.linalg.norm(affine[:3, :3], axis=0))
    # Of axes that nearly lie in one plane, or hardly have a length, no other program finds the directions again.
    if not (np.isfinite(affine).all() and lengths.min() > 1e-4 and np.linalg.cond(axes) < 1e3):
        raise BadInput(f"{path}: expected an affine with an inverse, found {affine[:3].tolist()}; convert it again")
    if dtype.kind not in "iuf":
        found = "colours" if dtype.fields else dtype.name
        raise BadInput(f"{path}: expected one real number a voxel, found {found}; convert the volume again")
    count, what = math.prod(shape), "a NIfTI file with all its voxels"
    if count > LARGEST_SCAN:
        raise BadInput(f"{path}: expected {what}, {LARGEST_SCAN} at most, found shape {shape}; correct or cut it")
    grid = Grid(shape[:3], affine)
    grid = grid._replace(assumed=_assumed(grid, header, units))
    with parsing(path, what), _opened(path) as file:
        most = Path(path).stat().st_size * (1032 if isinstance(file, gzip.GzipFile) else 1)  # what deflate can reach
        if not header.single_vox_offset <= start <= LARGEST_HEADER or most < start + count * dtype.itemsize:
            raise ValueError(f"{count} voxels of {dtype} after {start} bytes in a file of {Path(path).stat().st_size}")
        if not pixels:
            return grid, None
        file.seek(start)
        voxels = _voxels(file, count, dtype, *scaling)
        if len(file.read(PADDING + 1)) > PADDING:  # at the end gzip's checksum is compared
            raise ValueError(f"more than {count} voxels of {dtype}, as its header has it")
    return grid, voxels.reshape(grid.shape, order="F")


def _voxels(file, count, dtype, slope, inter):
    """Voxels as nibabel scales them, float32, read by parts: all at once take several times as much memory."""
    from nibabel.arrayproxy import ArrayProxy

    voxels, scale = np.empty(count, np.float32), (1.0 if slope is None else slope, 0.0 if inter is None else inter)
    for part in np.split(voxels, range(PART, count, PART)):
        stored = file.read(part.size * dtype.itemsize)
        if len(stored) < part.size * dtype.itemsize:
            raise EOFError(f"fewer than {count} voxels")
        part[:] = np.asarray(ArrayProxy(io.BytesIO(stored), (part.shape, dtype, 0, *scale)), dtype=np.float32)
    return voxels


def _assumed(grid, header, units):
    """What the header of a NIfTI file leaves open of its `grid`."""
    try:
        qform = header.get_qform() if header["qform_code"] > 0 else grid.affine
    except Exception:  # whatever nibabel has to say of a quaternion that is none
        qform = np.full((4, 4), np.nan)
    if not header["sform_code"] and not header["qform_code"]:
        words = ["neither sform nor qform says how it lies; its axes were taken to go to Left, Anterior and Superior"]
    elif np.array_equal(grid.affine, np.eye(4)):
        words = ["its affine is the identity; its axes were taken to go to Right, Anterior and Superior, 1 mm a voxel"]
    elif grid.differs(grid._replace(affine=qform)):
        words = ["its sform and qform differ; the sform was taken"]
    else:
        differ = not np.allclose(np.linalg.norm(grid.affine[:3, :3], axis=0), header["pixdim"][1:4], rtol=0.01)
        words = ["its affine and pixdim differ; the affine was taken"] * differ
    return "; ".join(words + ["it names no unit; millimetres were taken"] * (units == "unknown"))


PLACE = ("qform_code", "sform_code", *(f"quatern_{c}" for c in "bcd"), *(f"qoffset_{c}" for c in "xyz"),
         *(f"srow_{c}" for c in "xyz"), "pixdim", "xyzt_units")  # fmt: skip
"""The fields of a NIfTI header that say where the voxels are. Viewers differ in which of them they follow."""


def write_nifti(path, array, affine, like=None):
    """Write `array` (i, j, k) with its RAS `affine` to a NIfTI file, whole or not at all.

    `like`, a NIfTI file on the same grid, lends the fields of its header that say so, to the bit: every viewer then
    lays the two on each other.
    """
    import nibabel

    path, array = Path(path), np.asarray(array)
    if not path.name.endswith((".nii", ".nii.gz")):
        raise BadInput(f"{path}: expected a name ending in .nii or .nii.gz; rename the output")
    kinds = [f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)] + ["f4", "f8"]
    if array.ndim != 3 or array.dtype not in kinds or np.shape(affine) != (4, 4) or not np.isfinite(affine).all():
        found = f"{array.shape} of {array.dtype} and {np.shape(affine)}"
        raise BadInput(f"{path}: expected three axes of numbers ({', '.join(kinds)}) and a finite affine (4, 4), found "
                       f"{found}")
    image = nibabel.Nifti1Image(array, affine, dtype=array.dtype)
    image.header.set_xyzt_units("mm")
    if like is not None:
        source = _header(like)
        for field in PLACE:
            image.header[field] = source[field]
    with atomic_write(path) as temporary:
        nibabel.save(image, temporary)


def _files(folder, suffix, what):
    if re.fullmatch(NIFTI, folder.name, re.I):
        expect_file(folder, "a NIfTI file")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() == suffix and not p.name.startswith("."))
    if not files:
        raise BadInput(f"{folder}: expected {what} (*{suffix}), found none; unpack them again")
    return files


def dicom_files(folder, echo=None):
    """The DICOM files of one series in `folder`, in order of name. `echo`: "long" or "short" picks one of two echoes
    that lie in one folder (the first release of CHAOS merged the in-phase, longer, and opposed-phase images of
    T1-DUAL); None takes every file."""
    files = _files(folder, ".dcm", "DICOM slices")
    if echo is None:
        return files
    times = {}
    for path in files:
        with parsing(path, "a DICOM file with an EchoTime"):
            times[path] = float(dicom_header(path, ["EchoTime"]).EchoTime)
    echoes = sorted(set(times.values()))
    if len(echoes) != 2:
        found = ", ".join(f"{time:g}" for time in echoes)
        raise BadInput(f"{folder}: expected two echoes, found EchoTime {found}; use another sequence")
    return [path for path, time in times.items() if time == echoes[echo == "long"]]


def dicom_kind(path):
    """What a file is of: (modality, series, name) of a slice of CT or MR, else in words what it is. The series is its
    UID, or ""; the name its number and description, or the UID.

    Raises `BadInput` where it seems to be DICOM, by its name or its beginning, and cannot be read.
    """
    if path.suffix.lower() != ".dcm":
        if found := unlike_file(path):
            return found
        with parsing(path, "a file that can be read"), open(path, "rb") as file:
            head = file.read(132)
        if head[128:] != b"DICM":
            return "a zip that is not unpacked" if head[:4] == b"PK\3\4" else "no NIfTI or DICOM file"
    import pydicom

    head = dicom_header(path, ("SOPClassUID", "Modality", "ImageType", *NAMED))
    with parsing(path, "a DICOM file"):
        uid, number, words = ("" if head.get(tag) is None else str(head[tag].value) for tag in NAMED)
        stored = pydicom.uid.UID(head.get("SOPClassUID") or head.file_meta.MediaStorageSOPClassUID).name
        modality = str(head.get("Modality") or next(iter(re.findall(r"\b(CT|MR) Image", stored)), "none"))
        localizer = "LOCALIZER" in (head.get("ImageType") or ())
    if localizer:
        return "a localizer"
    if "Secondary" in stored or modality.lower() not in MODALITIES:
        return f"{stored} of modality {modality}"
    name = re.sub(r"[^\w.-]+", "_", f"{number} {words}" if words else uid or path.parent.name).strip("._")
    return modality.lower(), uid, name.encode()[:200].decode(errors="ignore") or "series"  # a disk may take 255 bytes


def dicom_header(path, tags, pixels=False):
    """The data set of a DICOM file, of the top level `tags` only, and of what its pixels need where asked for.

    Raises `BadInput` where that is no regular file, above 256 MiB, also once it is inflated, or unreadable.
    """
    import pydicom

    expect_file(path, "a DICOM slice", most=LARGEST_FILE)
    with parsing(path, "a DICOM slice"):
        if not pydicom.misc.is_dicom(path):
            raise ValueError("another beginning than DICOM has")
        size, meta = 0, pydicom.filereader.read_file_meta_info(path)
        if meta.TransferSyntaxUID == pydicom.uid.DeflatedExplicitVRLittleEndian:
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            rest = path.read_bytes()[144 + meta.FileMetaInformationGroupLength :]  # after preamble and that length
            while rest and size <= LARGEST_FILE and not inflate.eof:
                size += len(inflate.decompress(rest, 2**20))
                rest = inflate.unconsumed_tail
        if size > LARGEST_FILE:
            raise ValueError(f"more than {LARGEST_FILE >> 20} MiB once it is inflated")
        tags = [*tags, "PixelData"] if pixels else list(tags)
        return pydicom.dcmread(path, stop_before_pixels=not pixels, specific_tags=tags)


class Slice(NamedTuple):
    """A slice of a series: frame `number` of the file `path`, of (rows, columns) `shape`; `axes` (3, 2) are the LPS
    millimetres of one column on and one row on, `place` is its position in them, or its SliceLocation where the file
    has none; `rescale` is (slope, intercept), `about` {tag: value} of what tells acquisitions apart."""

    path: Path
    number: int
    shape: tuple
    axes: np.ndarray
    place: np.ndarray | float
    rescale: tuple
    about: dict


def dicom_series(files, pixels=False, modality=None):
    """The `Grid` of DICOM slices, and their voxels (float32, rescaled; None unless `pixels`).

    Slices, and the frames of enhanced files, are put in order by ImagePositionPatient along the normal of
    ImageOrientationPatient (SliceLocation where the position is missing), from inferior to superior. The distance of
    slices is that of their positions: SliceThickness can differ. Raises `BadInput` on files that are unreadable, not
    grey, of more than one acquisition or of another `modality`, on mixed geometry, positions that occur twice, uneven
    distances, and above 2^28 voxels.
    """
    grid, slices = in_order(files)
    said = slices[0].about.get("Modality")
    if said and modality and said.lower() != modality:
        raise BadInput(f"{files[0]}: expected {modality.upper()}, found Modality {said}; give it as that")
    if not pixels:
        return grid, None
    image, layers = np.empty(grid.shape, np.float32), {(one.path, one.number): k for k, one in enumerate(slices)}
    for path in files:
        for number, values in enumerate(_pixels(path)):
            slope, intercept = np.float32(slices[layer := layers[path, number]].rescale)
            image[:, :, layer] = (values.astype(np.float32) * slope + intercept).T
    return grid, image


def in_order(files):
    """The `Grid` of DICOM files of one series, and a `Slice` for each of its layers, from inferior to superior."""
    folder, slices = files[0].parent, []
    for path in files:
        slices += _slices(path, fingerprint(path) if path.exists() else None)
    first = slices[0]
    for tag in SERIES:
        found = Counter(one.about.get(tag) or "none" for one in slices)
        if len(found) > 1:
            told = " and ".join(f"{value} in {count}" for value, count in found.most_common(3))
            raise BadInput(f"{folder}: expected slices of one acquisition, found {tag} {told}; {ONE_SERIES}")
    for one in slices:
        if one.shape != first.shape or not np.allclose(one.axes, first.axes, rtol=0, atol=1e-3):
            expected = f"the size, spacing and orientation of {first.path.name}"
            raise BadInput(f"{one.path}: expected {expected}, found others, as in a localizer; {ONE_SERIES}")
    if len({np.ndim(one.place) for one in slices}) > 1:
        raise BadInput(f"{folder}: expected ImagePositionPatient in all slices, found some without; export them again")
    if (voxels := len(slices) * math.prod(first.shape)) > LARGEST_SCAN:
        raise BadInput(f"{folder}: expected up to {LARGEST_SCAN} voxels, found {voxels}; cut it in parts")
    normal = np.cross(*first.axes.T)
    normal *= np.sign(normal[2] or 1.0) / np.linalg.norm(normal)
    places = np.array([one.place * normal if np.isscalar(one.place) else one.place for one in slices])
    order = np.argsort(places @ normal, kind="stable")
    slices, places = [slices[n] for n in order], places[order]
    _check_places(folder, slices, places, normal)
    for tag in PARTS:
        found = [one.about.get(tag) for one in slices]
        changes = sum(one != other for one, other in itertools.pairwise(found))
        if 1 < len({*found}) <= min(changes, len(found) // 2):
            raise BadInput(f"{folder}: expected slices of one acquisition, found those of {tag} {found[0]} between "
                           f"others; {ONE_SERIES}")
    affine = np.eye(4)
    affine[:3, :2], affine[:3, 3] = first.axes, places[0]
    affine[:3, 2] = (places[-1] - places[0]) / (len(slices) - 1)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # DICOM's patient axes are LPS
    assumed = "ImagePositionPatient is missing; slices were put in order by SliceLocation, as if it grew upwards"
    return Grid((*first.shape[::-1], len(slices)), affine, assumed * np.isscalar(first.place)), slices


def _check_places(folder, slices, places, normal):
    """Raise where slices, in order of their `places` (mm), are too few, coincide, are uneven or not in a line."""
    if len(slices) < 2:
        raise BadInput(f"{folder}: expected a series of slices, found {len(slices)}; unpack the series again")
    along = places @ normal
    steps = np.diff(along)
    pitch, least = float(np.median(steps)), steps.argmin()
    if steps[least] < 1e-3:
        two = " and ".join(one.path.name for one in slices[least : least + 2])
        raise BadInput(f"{folder}: expected one slice at a position, found two at {along[least]:.2f} mm, {two}; "
                       f"{ONE_SERIES}, without copies")
    if np.abs(steps - pitch).max() > PITCH_TOLERANCE * pitch:
        raise BadInput(f"{folder}: expected slices {pitch:.2f} mm apart, found {steps.min():.2f} to {steps.max():.2f}; "
                       "a slice may be missing")
    off = np.linalg.norm(places - np.linspace(places[0], places[-1], len(places)), axis=1)
    if off.max() > 0.5 * np.linalg.norm(slices[0].axes, axis=0).min():
        raise BadInput(f"{slices[off.argmax()].path}: expected slices on a straight line, found it {off.max():.3g} mm "
                       f"beside it; {ONE_SERIES}")


@functools.lru_cache(4096)  # a scan is checked, then read
def _slices(path, _):
    """A `Slice` for each frame of a DICOM file, which is read again where its fingerprint is another."""
    dicom = dicom_header(path, (*SERIES, *PARTS, *PLACES))
    syntax = dicom.file_meta.TransferSyntaxUID
    with parsing(path, "a DICOM slice"):
        grey, samples = dicom.get("PhotometricInterpretation"), dicom.get("SamplesPerPixel", 1)
        if grey != "MONOCHROME2" or samples != 1:
            do = "invert its grey values" if grey == "MONOCHROME1" else "turn it into grey values"
            raise BadInput(f"{path}: expected grey values that rise with brightness (MONOCHROME2), found "
                           f"PhotometricInterpretation {grey or 'missing'}{f', {samples} samples' * (samples != 1)}; "
                           f"{do} and save it as MONOCHROME2, or export the series again")
        if "ModalityLUTSequence" in dicom:
            raise BadInput(f"{path}: expected RescaleSlope and RescaleIntercept, found a ModalityLUTSequence; export "
                           "the series in Hounsfield units or raw values")
        shape = int(dicom.Rows), int(dicom.Columns)
        bits = [int(getattr(dicom, tag)) for tag in ("BitsAllocated", "BitsStored", "HighBit")]
        if not 0 < math.prod(shape) <= LARGEST_SCAN:
            raise ValueError(f"{shape[0]} rows of {shape[1]} columns")
        if bits[0] not in (8, 16, 32) or not 0 < bits[1] <= bits[0] or bits[2] != bits[1] - 1:
            raise ValueError("BitsAllocated, BitsStored and HighBit {} {} {}".format(*bits))
        if wrong := undecodable(syntax):
            raise BadInput(f"{path}: expected pixels that can be decoded, found {wrong}")
        return [_slice(path, number, shape, frame) for number, frame in enumerate(_frames(dicom))]


def _frames(dicom):
    """The tags of each frame on one level: in enhanced files they lie in groups, of all frames and of each."""
    from pydicom import Dataset

    shared, each = (dicom.get(f"{one}FunctionalGroupsSequence") or [] for one in ("Shared", "PerFrame"))
    if not shared and not each and int(dicom.get("NumberOfFrames") or 1) == 1:
        yield dicom
        return
    if len(each or [0]) != int(dicom.get("NumberOfFrames") or 1):
        raise ValueError("several frames in one file, and not where each of them is")
    for frame in each or [[]]:
        flat = Dataset()
        flat.update(dicom)
        for element in itertools.chain(*shared[:1], frame):
            if element.VR == "SQ" and element.value:
                flat.update(element.value[0])
        yield flat


def _slice(path, number, shape, dicom):
    cosines = np.array(dicom.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    spacing, place = np.array(dicom.PixelSpacing, dtype=np.float64), dicom.get("ImagePositionPatient")
    place = float(dicom.SliceLocation) if place is None else np.array(place, dtype=np.float64).reshape(3)
    rescale = tuple(np.float64([dicom.get("RescaleSlope", 1), dicom.get("RescaleIntercept", 0)]).tolist())
    if not np.allclose(cosines @ cosines.T, np.eye(2), rtol=0, atol=1e-2):
        raise ValueError(f"ImageOrientationPatient {cosines.tolist()}, no two directions at right angles")
    if spacing.shape != (2,) or not spacing.min() > 0:
        raise ValueError(f"PixelSpacing {spacing.tolist()}")
    if not np.isfinite([*spacing, *np.ravel(place), *rescale]).all() or not rescale[0]:
        raise ValueError(f"PixelSpacing {spacing.tolist()}, position {place} and rescaling {rescale}")
    about = {element.keyword: element.value for element in dicom if element.VR != "SQ"}
    about = {tag: str(float(value) if isinstance(value, float) else value or "") for tag, value in about.items()}
    return Slice(path, number, shape, (cosines * spacing[::-1, None]).T, place, rescale, about)


def undecodable(syntax):
    """Why pydicom cannot decode a transfer syntax, in words that also say what helps; None where it can."""
    import pydicom

    syntax, lacking = pydicom.uid.UID(syntax), ""
    with contextlib.suppress(NotImplementedError):  # of a syntax that it never decodes
        decoder = pydicom.pixels.get_decoder(syntax)
        if decoder.is_available:
            return None
        lacking = f" ({' or '.join(decoder.missing_dependencies)})"
    name = syntax.name + f" ({syntax})" * (syntax.name != syntax)
    return f"the transfer syntax {name}, for which pydicom has no decoder here{lacking}; {_decoders(syntax)}"


def _decoders(syntax):
    more, tool = ("openjpeg", "") if "2000" in syntax.name else ("libjpeg", "dcmdjpeg or ")
    tool = "dcmdjpls or " if "JPEG-LS" in syntax.name else tool
    return f"pip install pylibjpeg pylibjpeg-{more}, or decompress the files with {tool}gdcmconv --raw"


def _pixels(path):
    """The stored values of a DICOM file as (frames, rows, columns)."""
    import pydicom

    dicom = dicom_header(path, PIXELS, pixels=True)
    syntax = dicom.file_meta.TransferSyntaxUID
    native = not syntax.is_compressed or syntax == pydicom.uid.RLELossless
    do = "copy or download it again" if native else f"copy or download it again, or {_decoders(syntax)}"
    within = f" in {syntax.name}" * syntax.is_compressed
    with parsing(path, f"a DICOM slice with all its pixels{within}", do):
        frames = int(dicom.get("NumberOfFrames") or 1), int(dicom.Rows), int(dicom.Columns)
        size, held = math.prod(frames) * dicom.BitsAllocated // 8, len(dicom.get("PixelData") or b"")
        if held not in (size, size + size % 2) and not (syntax.is_compressed and 0 < held <= 2 * size + 2**16):
            raise ValueError(f"{held} bytes of pixels instead of {size}")
        return dicom.pixel_array.reshape(frames)


def write_seg(path, labels, files):
    """Write `labels` (i, j, k) on the grid of the DICOM series in `files` as DICOM SEG, whole or not at all."""
    import highdicom as hd
    import pydicom
    from pydicom.sr.codedict import codes

    places = {(one.path, one.number): k for k, one in enumerate(in_order(files)[1])}
    frames = [k for _, k in sorted(places.items(), key=lambda item: (files.index(item[0][0]), item[0][1]))]
    made = hd.AlgorithmIdentificationSequence("i2pemd_lite", codes.DCM.ArtificialIntelligence, __version__)
    organs = [hd.seg.SegmentDescription(
        number, name, codes.SCT.Organ, hd.sr.CodedConcept(code, "SCT", name.capitalize()),
        hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC, made,
    ) for number, (name, code) in enumerate(zip(ORGANS, SNOMED, strict=True), 1)]  # fmt: skip
    with parsing(files[0], "a series that DICOM SEG can refer to", "take the NIfTI label map"):
        sources = [pydicom.dcmread(file, stop_before_pixels=True) for file in files]
        seg = hd.seg.Segmentation(
            sources, labels.T[frames], hd.seg.SegmentationTypeValues.BINARY, organs, hd.UID(), 1000, hd.UID(), 1,
            "I2PEMD-lite", "i2pemd_lite", __version__, "none", series_description="organs by i2pemd_lite",
        )  # fmt: skip
    with atomic_write(path) as temporary:
        seg.save_as(temporary)
    return path


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
        expect_file(path, "a PNG mask", most=2**26)
        with parsing(path, "a PNG mask"):
            whole = io.BytesIO(path.read_bytes())
            picture = PIL.Image.open(whole, formats=["PNG"])
            found, expected = (f"{size[0]} x {size[1]} in mode {mode}"
                               for size, mode in ((picture.size, picture.mode), ((columns, rows), "L")))  # fmt: skip
            if found != expected:
                raise ValueError(f"{found}, not {expected}")
            if pixels:
                layers.append(np.asarray(picture).T)
                PIL.Image.open(whole, formats=["PNG"]).verify()  # which alone compares the checksums of its pixels
    return np.stack(layers, axis=2) if pixels else None


def class_ids(values, kind, name="label"):
    """Class ids, uint8, of what is on disk; `kind` is a key of `CODES`, but for "first chaos", which 80 or 160 show.
    Numbers within 0.01 of a whole one are taken for it, as scaling leaves such.

    Raises `BadInput` for other values, and where they are 240 and 255 alone, of which CHAOS's releases differ.

    Example
    -------
    >>> class_ids([0, 6.0, 1.9999998], "btcv")
    array([0, 1, 2], dtype=uint8)
    >>> class_ids([0, 255], "chaos")
    Traceback (most recent call last):
    i2pemd_lite.files.BadInput: label: expected grey values that tell which release of CHAOS it is, found ...
    """
    values = np.asarray(values)
    if kind not in CODES or values.dtype.kind not in "biuf":
        expected, found = f"numbers and a kind among {', '.join(CODES)}", f"{values.dtype} and {kind!r}"
        raise BadInput(f"{name}: expected {expected}, found {found}; see segmentation.layout.CODES")
    if kind == "chaos" and np.isin(values, (80, 160)).any():
        kind = "first chaos"
    expected, codes = CODES[kind]
    table = np.full(256, 255, dtype=np.uint8)
    for one, written in codes.items():
        table[written] = one
    with np.errstate(invalid="ignore"):  # what is beyond 0 to 255, or NaN, becomes anything and is wrong then
        index = (values + 0.5).astype(np.uint8)
        wrong = ~(np.abs(values - index) <= 0.01)
    classes = table[index]
    wrong |= classes == 255
    if wrong.any():
        found = ", ".join(f"{value:g}" for value in np.unique(values[wrong])[:8])
        raise BadInput(f"{name}: expected {expected}, found {found}; correct the label or leave the case out")
    if kind == "chaos" and index.any() and np.isin(index, (0, 240, 255)).all():
        grey = ", ".join(map(str, np.unique(index)))
        found = f"{grey} alone, left kidney and spleen in the first and spleen in the second"
        raise BadInput(f"{name}: expected grey values that tell which release of CHAOS it is, found {found}; correct "
                       "the masks or leave the case out")
    return classes


def check_anatomy(label, affine, name="label"):
    """Raise `BadInput` where the organs of a label map (class ids) do not lie as in a patient: it or its affine is
    mirrored, upside down, or has two organs exchanged. Organs that it lacks are not asked for.

    Example
    -------
    >>> label = np.zeros((4, 4, 4), np.uint8)
    >>> label[0], label[3] = 1, 4
    >>> check_anatomy(label, np.diag([10.0, 10, 10, 1]), "label0001.nii.gz")
    Traceback (most recent call last):
    i2pemd_lite.files.BadInput: label0001.nii.gz: expected the liver to the right of the spleen, found it 30 mm ...
    """
    centre = {}
    for one, box in enumerate(ndimage.find_objects(label, max_label=4), 1):
        if box:
            within = [where.mean() for where in np.nonzero(label[box] == one)]
            centre[CLASSES[one]] = affine[:3, :3] @ np.add([side.start for side in box], within)
    if {"right kidney", "left kidney"} <= centre.keys():
        centre[MIDDLE] = (centre["right kidney"] + centre["left kidney"]) / 2
    for axis, way, organ, other, slack in ANATOMY:
        if organ in centre and other in centre and (by := (centre[other] - centre[organ])[axis]) > slack:
            wrong = {"right": "left", "front": "back", "head": "feet"}[way]
            do = ("image and label are mirrored or turned, or organs exchanged or numbered as elsewhere: correct the "
                  "affine or the label")
            if axis == 0 and organ == "liver":
                do += "; if the patient's organs are mirrored (situs inversus), leave the case out"
            raise BadInput(f"{name}: expected the {organ} to the {way} of the {other}, found it {by:.0f} mm to the "
                           f"{wrong}; {do}")
