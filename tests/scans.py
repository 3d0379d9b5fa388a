"""Scans written as users have them on disk."""

import nibabel
import nibabel.processing
import numpy as np
import PIL.Image

RAW_BTCV = {1: 6, 2: 2, 3: 3, 4: 1}
GREY = {1: 63, 2: 126, 3: 189, 4: 252}


def case_of(prepared, name):
    """The prepared case of that name."""
    return next(case for case in prepared.cases if case.name == name)


def classes(shape=(20, 18, 10)):
    """Class ids (x to Left, y to Posterior, z to Superior): the liver to the right, above the kidneys, before them."""
    label = np.zeros(shape, dtype=np.uint8)
    label[3:9, 3:9, 5:8] = 1
    label[4:8, 11:14, 2:5] = 2
    label[12:16, 11:14, 3:6] = 3
    label[14:18, 6:9, 5:8] = 4
    return label


def picture(label, seed=0):
    """Whole numbers that tell every voxel from its neighbours: they survive int16 on disk."""
    return np.random.default_rng(seed).integers(0, 60, label.shape).astype(np.float32) + 40.0 * label
LPS = np.diag([-4.0, -4.0, 8.0, 1.0])  # axes to Left, Posterior, Superior in RAS millimetres
LPS[:3, 3] = 30, 25, -40


def nifti(path, array, affine=LPS, dtype=np.int16):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array.astype(dtype), affine), path)
    return path


def hounsfield(label, seed=0):
    """`picture`, its background as fat in Hounsfield units: what passes for CT."""
    return picture(label, seed) - 110


def relabel(label, table):
    return np.vectorize(lambda one: table.get(one, 0))(label).astype(np.uint8)


def write_pairs(folder, cases=2):
    """`cases` CT and MR pairs and one MR without a label, all good."""
    label = classes()
    for n in range(1, cases + 1):
        ct, mr = folder / "btcv/RawData/Training", folder / "chaos_mr_t2spir/Training"
        nifti(ct / f"img/img{n:04d}.nii.gz", hounsfield(label, n))
        nifti(ct / f"label/label{n:04d}.nii.gz", relabel(label, RAW_BTCV), dtype=np.uint8)
        nifti(mr / f"img/image_{n}.nii.gz", picture(label, n + 50))
        nifti(mr / f"label/label_{n}.nii.gz", label, dtype=np.uint8)
    nifti(folder / "chaos_mr_t2spir/Testing/img/image_9.nii.gz", picture(label, 99))
    return folder


def write_dicom(folder, image, pitch=7.7, slope=2.0, intercept=-10.0, thickness=5.5, order=None, prefix="IMG-", **tags):
    """One series from `image` (x to Left, y to Posterior, z to Superior), its files named in `order` of position."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    for place, number in enumerate(order if order is not None else range(image.shape[2])):
        one = pydicom.Dataset()
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = MRImageStorage
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = generate_uid()
        stored = (image[:, :, place].T - intercept) / slope
        one.Rows, one.Columns = stored.shape
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
        one.PixelData = np.round(stored).astype("<i2").tobytes()
        one.RescaleSlope, one.RescaleIntercept = slope, intercept
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.ImagePositionPatient = [-30.0, -25.0, -40.0 + pitch * place]
        one.SliceLocation = -40.0 + pitch * place
        one.SliceThickness, one.PixelSpacing = thickness, [3.0, 4.0]
        for name, value in tags.items():
            setattr(one, name, value)
        one.save_as(folder / f"{prefix}{number:05d}.dcm", enforce_file_format=True)


def edit_dicom(folder, change, which=slice(None)):
    """Apply `change` to the data sets of some files in `folder`, by name."""
    import pydicom

    for path in sorted(folder.iterdir())[which]:
        one = pydicom.dcmread(path)
        change(one)
        one.save_as(path)


def compressed(folder, syntax):
    """Say that pixels are compressed in a transfer syntax; what there is in place of them is not."""
    import pydicom

    def change(one):
        one.PixelData, one["PixelData"].VR = pydicom.encaps.encapsulate([bytes(300)]), "OB"
        one["PixelData"].is_undefined_length, one.file_meta.TransferSyntaxUID = True, pydicom.uid.UID(syntax)

    edit_dicom(folder, change)


def enhance(folder, echo=lambda frame: 80.0):
    """Turn a series into one enhanced file, its frames not in the order of their positions."""
    import pydicom

    def part(**tags):
        group = pydicom.Dataset()
        group.update(tags)
        return group

    ones = [pydicom.dcmread(path) for path in sorted(folder.iterdir())[::-2] + sorted(folder.iterdir())[::2]]
    for path in folder.iterdir():
        path.unlink()
    one, groups = ones[0], [part(
        PlanePositionSequence=[part(ImagePositionPatient=each.ImagePositionPatient)],
        MREchoSequence=[part(EffectiveEchoTime=echo(frame))],
    ) for frame, each in enumerate(ones)]  # fmt: skip
    one.NumberOfFrames, one.PixelData = len(ones), b"".join(each.PixelData for each in ones)
    one.PerFrameFunctionalGroupsSequence = groups
    one.SharedFunctionalGroupsSequence = [part(
        PixelMeasuresSequence=[part(PixelSpacing=one.PixelSpacing, SliceThickness=one.SliceThickness)],
        PlaneOrientationSequence=[part(ImageOrientationPatient=one.ImageOrientationPatient)],
        PixelValueTransformationSequence=[part(RescaleSlope=one.RescaleSlope, RescaleIntercept=one.RescaleIntercept)],
    )]  # fmt: skip
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        del one[tag]
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedMRImageStorage
    one.save_as(folder / "all.dcm")


def write_masks(folder, label, grey=GREY, first=8):
    """PNG masks from inferior to superior; the numbers have no leading zeros, so that names do not sort like them."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in range(label.shape[2]):
        PIL.Image.fromarray(relabel(label[:, :, place].T, grey)).save(folder / f"IMG-0001-{first + place}.png")
