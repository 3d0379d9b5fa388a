"""Prediction of folders of scans: every label map on its scan's own voxels, every bad scan named, the others done."""

import gzip
import os

import nibabel
import numpy as np
import pytest
import torch
from scans import compressed, edit_dicom, enhance, write_dicom, write_masks, write_pairs

from i2pemd_lite import segmentation
from i2pemd_lite.__main__ import main
from i2pemd_lite.files import BadInput
from i2pemd_lite.segmentation.learner import Segmenter

BLOCK = (slice(6, 14), slice(4, 12), slice(3, 8))
SHAPE = (24, 20, 12)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    small = {"profile": "ci", "steps": 1, "width": 2, "dim": 4, "spacing": (8.0, 8.0, 8.0), "size": (48, 48)}
    return segmentation.train("joint_sepbn", write_pairs(folder), folder=folder / "run", **small).finish(False)


@pytest.fixture
def bright(monkeypatch):
    """In place of the network: class 2 where the prepared scan is bright, which tells where a label map has to be."""

    def probabilities(self, case):
        shown = (case.image > case.image.min() + 0.5 * (case.image.max() - case.image.min())).long()
        return torch.nn.functional.one_hot(2 * shown, 5).movedim(-1, 0).float()

    monkeypatch.setattr(Segmenter, "probabilities", probabilities)


def volume(modality="ct"):
    """A bright block in fat (CT), or in the dark (MR)."""
    image = np.full(SHAPE, -90 if modality == "ct" else 10, dtype=np.int16)
    image[BLOCK] = 150
    return image


def write(path, image=None, affine=None, codes=(1, 1), units="mm"):
    """A NIfTI file with an affine in sform and qform under the two codes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-8.0, -8.0, 8.0, 1.0]) if affine is None else affine
    scan = nibabel.Nifti1Image(volume() if image is None else image, affine)
    scan.set_sform(affine, codes[0])
    scan.set_qform(affine, codes[1])
    scan.header.set_xyzt_units(units)
    nibabel.save(scan, path)
    return path


def turned(degrees, *columns):
    """An affine whose axes are those columns, turned about z and shifted."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array(columns).T
    affine[:3, 3] = 31, -17, 240
    return affine


GRIDS = {
    "oblique": (turned(15, (8, 0, 0), (0, 8, 0), (0, 0, 8)), (1, 1), "mm"),
    "flipped": (turned(0, (-8, 0, 0), (0, 8, 0), (0, 0, -8)), (2, 1), "mm"),
    "other axes": (turned(-8, (0, 0, -8), (8, 0, 0), (0, -8, 0)), (1, 2), "mm"),
    "small voxels": (turned(5, (-5, 0, 0), (0, -4.5, 0), (0, 0, 6)), (1, 1), "mm"),
    "sform alone": (turned(10, (-7, 0, 0), (0, 7, 0), (0, 0, 9)), (4, 0), "unknown"),
    "qform alone": (turned(10, (-7, 0, 0), (0, 7, 0), (0, 0, 9)), (0, 1), "unknown"),
    "neither": (np.diag([-8.0, 8.0, 8.0, 1.0]), (0, 0), "unknown"),
}


@pytest.mark.parametrize("name", GRIDS)
def test_a_label_map_lies_on_its_scan_in_every_viewer(run, bright, tmp_path, name):
    affine, codes, units = GRIDS[name]
    path = write(tmp_path / "scans/a.nii.gz", affine=affine, codes=codes, units=units)
    (written,) = segmentation.predict(run, path.parent, tmp_path / "out", "ct", progress=False)
    scan, label = nibabel.load(path), nibabel.load(written)
    assert label.shape == SHAPE and label.get_data_dtype() == np.uint8
    for field in ("qform_code", "sform_code", "pixdim", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c",
                  "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "xyzt_units"):  # fmt: skip
        assert label.header[field].tobytes() == scan.header[field].tobytes(), field
    np.testing.assert_array_equal(label.affine, scan.affine)
    found, truth = np.asarray(label.dataobj), np.zeros(SHAPE, dtype=bool)
    truth[BLOCK] = True
    assert set(np.unique(found)) == {0, 2}
    # A shift by one voxel along any axis would leave 0.87 or less; resampling to 8 mm and back leaves more.
    assert 2 * (truth & (found == 2)).sum() / (truth.sum() + (found == 2).sum()) > 0.9


class Bright(torch.nn.Module):
    """A network that answers class 2 where a block is bright."""

    LAYOUT = torch.contiguous_format

    def forward(self, images, sizes):
        logits = 20 * torch.nn.functional.one_hot(2 * (images[:, 0] > 1).long(), 5).movedim(-1, 1).float()
        return images.expand(-1, 2, -1, -1, -1), logits


@pytest.mark.parametrize("name", GRIDS)
def test_a_scan_smaller_and_thinner_than_a_patch_is_predicted_by_its_blocks(tmp_path, name):
    """19 × 16 × 7 to 10 cm where a patch has 32 × 32 × 12, whatever its axes: all that `volume` puts together."""
    settings = {"profile": "laptop", "preset": "beyond", "width": 2, "dim": 2}
    run = segmentation.train("joint_sepbn", write_pairs(tmp_path / "train"), **settings)
    assert run.settings.patch == (24, 128, 128) and run.settings.spacing == (5.0, 2.5, 2.5)
    run.learner.averaged = Bright()
    affine, codes, units = GRIDS[name]
    path = write(tmp_path / "scans/a.nii.gz", affine=affine, codes=codes, units=units)
    (written,) = segmentation.predict(run, path.parent, tmp_path / "out", "ct", progress=False)
    found, truth = np.asarray(nibabel.load(written).dataobj), np.zeros(SHAPE, dtype=bool)
    truth[BLOCK] = True
    assert found.shape == SHAPE and set(np.unique(found)) == {0, 2}
    # As above: a shift by one voxel would leave 0.87 or less.
    assert 2 * (truth & (found == 2)).sum() / (truth.sum() + (found == 2).sum()) > 0.95


def test_runs_of_several_seeds_answer_together(run, tmp_path, monkeypatch, capsys):
    """Seed 0 has a large piece that seed 1 denies, and a small one of which seed 1 is sure: together just the small
    one, which is lost where pieces are counted before the mean is taken."""
    write(tmp_path / "scans/a.nii.gz")
    other = segmentation.train(run.settings.method, run.learner.data, "ci", 1, tmp_path / "seed1",
                               **{name: getattr(run.settings, name) for name in ("width", "dim", "spacing", "size")},
                               steps=1).finish(False)  # fmt: skip
    small = (slice(2, 4), slice(22, 25), slice(22, 25))

    def volume(self, case, voxels=()):
        p = torch.zeros(5, *case.image.shape)
        if self.settings.seed == 0:
            p[2, 6:10] = 0.9
        p[2][small] = 0.6 + 0.3 * self.settings.seed
        p[0] = 1 - p[2]
        return p, None

    monkeypatch.setattr(Segmenter, "volume", volume)
    monkeypatch.setattr(run.settings, "largest", True)
    out, options = tmp_path / "out", {"modality": "ct", "progress": False}
    (alone,) = segmentation.predict(run, tmp_path / "scans", out / "alone", **options)
    (both,) = segmentation.predict(run, tmp_path / "scans", out / "both", **options, others=[other])
    sizes = [np.count_nonzero(np.asarray(nibabel.load(path).dataobj)) for path in (alone, both)]
    assert 0 < sizes[1] < 20 < sizes[0]
    command = ["predict", str(run.folder), "--images", str(tmp_path / "scans"), "--modality", "ct", "--out", str(out)]
    assert main([*command, "--others", str(other.folder)]) == 0
    np.testing.assert_array_equal(nibabel.load(out / "ct/a.nii.gz").dataobj, nibabel.load(both).dataobj)
    assert main([*command, "--others", "lesson06/i2pemd"]) == 1
    assert "--others: expected runs of segmentation, found" in capsys.readouterr().err
    monkeypatch.setattr(run.settings, "spacing", (8.0, 8.0, 4.0))
    grid = r"runs whose scans are .* found spacing \(8.0, 8.0, 8.0\) instead of \(8.0, 8.0, 4.0\) in .*seed1; leave"
    for words, others in (("a list of runs", other), ("each run once", [other, other]), (grid, [other])):
        with pytest.raises(BadInput, match=f"others: expected {words}"):
            segmentation.predict(run, tmp_path / "scans", tmp_path / "no", "ct", progress=False, others=others)
    assert not (tmp_path / "no").exists()


def test_label_maps_of_dicom_lie_where_its_slices_do(run, bright, tmp_path):
    (tmp_path / "chaos/Train_Sets/MR").mkdir(parents=True)
    write_dicom(tmp_path / "chaos/Test_Sets/MR/4/T2SPIR/DICOM_anon", volume("mr").astype(float), slope=1.0, intercept=0)
    (written,) = segmentation.predict(run, tmp_path, tmp_path / "out", progress=False)
    label = nibabel.load(written)
    assert written == tmp_path / "out/mr/chaos_4.nii.gz" and label.header.get_xyzt_units()[0] == "mm"
    # By hand: LPS (-30, -25, -40) is the first voxel; 4, 3 and 7.7 mm follow; RAS has the first two negated.
    np.testing.assert_allclose(label.affine @ (1, 1, 1, 1), (26, 22, -32.3, 1), rtol=0, atol=1e-4)
    found = np.asarray(label.dataobj)
    # Its inside and its outside by more than a voxel of 8 mm, which is two or three of these.
    assert (found[8:12, 6:10, 4:7] == 2).all() and not found[:3].any() and not found[17:].any()
    assert not found[:, 15:].any() and not found[..., :2].any() and not found[..., 9:].any()


def slices(folder, modality="CT", image=None, **tags):
    """A DICOM series with all that DICOM SEG refers to."""
    patient = {"PatientID": "1", "PatientName": "A^B", "PatientBirthDate": "", "PatientSex": "", "StudyID": "1",
               "StudyInstanceUID": "1.2.1", "StudyDate": "", "StudyTime": "", "AccessionNumber": "",
               "FrameOfReferenceUID": "1.2.2"}  # fmt: skip
    image = volume(modality.lower()).astype(float) if image is None else image
    write_dicom(folder, image, slope=1.0, intercept=0.0, Modality=modality, **patient | tags)


def write_clinic(folder):
    """What a clinic hands out: series of CT and MR, each in a way of its own, and what lies beside them."""
    order = np.random.default_rng(0).permutation(SHAPE[2])
    slices(folder / "a/b", SeriesInstanceUID="1.3.1", SeriesNumber=3, SeriesDescription="Venous 5/B30f", order=order)
    for path in (folder / "a/b").iterdir():
        path.rename(path.with_suffix(""))
    slices(folder / "a", "MR", SeriesInstanceUID="1.3.2", prefix="MR")
    slices(folder / "a", "MR", SeriesInstanceUID="1.3.3", SeriesNumber=0, SeriesDescription="T2", prefix="T2")
    for number, uid in enumerate(("1.3.4", "1.3.5")):
        slices(folder / "again", SeriesInstanceUID=uid, SeriesNumber=5, SeriesDescription="same", prefix=f"{number}-")
    slices(folder, SeriesInstanceUID="1.3.6", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], prefix="scout")
    slices(folder, "SR", SeriesInstanceUID="1.3.7", prefix="report", image=volume()[..., :1].astype(float))
    slices(folder / "one", "MR", SeriesInstanceUID="1.3.8")
    enhance(folder / "one", lambda frame: 80.0)
    (folder / "README.TXT").write_text("how to see the pictures")
    return folder


def test_series_of_a_clinic_are_scans(run, bright, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["predict", str(run.folder), "--images", str(write_clinic(tmp_path / "in")), "--out", str(out)]) == 0
    said = capsys.readouterr()
    names = ["ct/3_Venous_5_B30f", "ct/5_same_1.3.4", "ct/5_same_1.3.5", "mr/0_T2", "mr/1.3.2", "mr/1.3.8"]
    assert sorted(said.out.split()) == [str(out / f"{name}.nii.gz") for name in names]
    assert "not used, as it is a localizer (12): scout00000.dcm, " in said.err
    assert "not used, as it is MR Image Storage of modality SR (1): report00000.dcm" in said.err
    assert "not used, as it is no NIfTI or DICOM file (1): README.TXT" in said.err
    for name in names:
        label = nibabel.load(out / f"{name}.nii.gz")
        # By hand, as for CHAOS: LPS (-30, -25, -40) is the first voxel; 4, 3 and 7.7 mm follow.
        np.testing.assert_allclose(label.affine @ (1, 1, 1, 1), (26, 22, -32.3, 1), rtol=0, atol=1e-4)
        found = np.asarray(label.dataobj)
        assert (found[8:12, 6:10, 4:7] == 2).all() and not found[..., :2].any() and not found[..., 9:].any()
        assert not found[:3].any() and not found[17:].any() and not found[:, 15:].any()
    written = segmentation.predict(run, tmp_path / "in/a", out, "mr", progress=False)
    assert [path.name for path in written] == ["1.3.2.nii.gz", "0_T2.nii.gz"]
    assert "not used, as it is CT (12): b/IMG-00000, " in capsys.readouterr().err


def test_series_without_a_uid_are_told_apart_by_their_folders(run, tmp_path):
    for patient in "ab":
        slices(tmp_path / "in" / patient / "1")
    written = segmentation.predict(run, tmp_path / "in", tmp_path / "out", progress=False)
    assert [path.name for path in written] == ["1_a_1.nii.gz", "1_b_1.nii.gz"]


def test_nifti_beside_series_needs_a_modality_and_does_not_stop_them(run, tmp_path):
    slices(tmp_path / "in/series", SeriesInstanceUID="1.2")
    write(tmp_path / "in/a.nii.gz")
    with pytest.raises(BadInput, match="a.nii.gz: expected the modality of NIfTI files, 'ct' or 'mr'") as caught:
        segmentation.predict(run, tmp_path / "in", tmp_path / "out", progress=False)
    assert [path.name for path in caught.value.written] == ["1.2.nii.gz"]
    assert len(segmentation.predict(run, tmp_path / "in", tmp_path / "out", "ct", progress=False)) == 2


@pytest.mark.parametrize("description, name", [("a.nii.gz b", "1_a.nii.gz_b"), ("\U00020000" * 64, None)])
def test_every_description_makes_a_name(run, tmp_path, description, name):
    pytest.importorskip("highdicom")
    about = {"SeriesInstanceUID": "1.2", "SeriesNumber": 1, "SpecificCharacterSet": "ISO_IR 192"}
    slices(tmp_path / "in", SeriesDescription=description, **about)
    written = segmentation.predict(run, tmp_path / "in", tmp_path / "out", progress=False, seg=True)
    names = [path.name for path in written]
    name = name or names[0].removesuffix(".nii.gz")
    assert names == [f"{name}.nii.gz", f"{name}.dcm"] and set(name[2:]) <= {*description, "_"}


def changed(which, change):
    """A series whose files `which` have other tags."""
    return lambda folder: edit_dicom(folder, lambda one: one.update(change(one)), which)


def missing(folder):
    sorted(folder.iterdir())[5].unlink()


def twice(folder):
    path = sorted(folder.iterdir())[5]
    path.with_name("again").write_bytes(path.read_bytes())


def damaged(folder):
    path = sorted(folder.iterdir())[5]
    path.write_bytes(path.read_bytes()[:200])


BAD_SERIES = {
    "gap": (missing, "expected slices 7.70 mm apart, found 7.70 to 15.40; a slice may be missing"),
    "twice": (twice, "expected one slice at a position, found two at"),
    "echoes": (changed(slice(None, None, 2), lambda one: {"EchoTime": 4.6}), "EchoTime 4.6 in 6 and none in 6"),
    "planes": (
        changed(slice(4, 8), lambda one: {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}),
        "expected the size, spacing and orientation of IMG-00000.dcm, found others, as in a localizer",
    ),
    "scout": (lambda folder: [path.unlink() for path in sorted(folder.iterdir())[1:]], "expected a series of slices"),
    "inverted": (changed(slice(None), lambda one: {"PhotometricInterpretation": "MONOCHROME1"}), "found Photometric"),
    "compressed": (
        lambda folder: compressed(folder, "1.2.840.10008.1.2.4.70"),
        "JPEG Lossless, Non-Hierarchical",
    ),
    "MR": (lambda folder: edit_dicom(folder, lambda one: setattr(one, "Modality", "MR")), "expected MR, less than 2%"),
    "damaged": (damaged, "IMG-00005.dcm: expected a DICOM"),
}


def test_a_series_that_cannot_be_used_is_named_and_does_not_stop_the_others(run, tmp_path):
    for number, (name, (damage, _)) in enumerate(BAD_SERIES.items()):
        slices(tmp_path / "in" / name, SeriesInstanceUID=f"1.3.{number}", SeriesNumber=number, SeriesDescription=name)
        damage(tmp_path / "in" / name)
    slices(tmp_path / "in/good", SeriesInstanceUID="1.4", SeriesNumber=99, SeriesDescription="good")
    with pytest.raises(BadInput) as caught:
        segmentation.predict(run, tmp_path / "in", tmp_path / "out", progress=False)
    assert [path.name for path in caught.value.written] == ["99_good.nii.gz"]
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{len(BAD_SERIES) + 1} problems")  # without its damaged slice, one series has a gap too
    for number, (name, (_, message)) in enumerate(BAD_SERIES.items()):
        assert any(f"{number}_{name}: " in line or name == "damaged" for line in lines if message in line), name


def test_dicom_seg_lies_on_the_slices_of_its_series(run, bright, tmp_path):
    import highdicom

    write_clinic(tmp_path / "in")
    written = segmentation.predict(run, tmp_path / "in", tmp_path / "out", progress=False, seg=True)
    assert [path.suffix for path in written] == [".gz", ".dcm"] * 6
    for nifti, seg in zip(written[::2], written[1::2], strict=True):
        label, made = nibabel.load(nifti), highdicom.seg.segread(seg)
        assert [one.SegmentLabel for one in made.SegmentSequence] == list(segmentation.ORGANS)
        found = made.get_volume(combine_segments=True)  # its slices that show an organ, in an order of its own
        places = found.affine @ np.append(np.argwhere(found.array), np.ones((np.sum(found.array > 0), 1)), axis=1).T
        index = np.linalg.inv(label.affine) @ np.diag([-1, -1, 1, 1]) @ places
        truth = np.asarray(label.dataobj)
        assert (truth[tuple(np.round(index[:3]).astype(int))] == found.array[found.array > 0]).all()
        assert (truth > 0).sum() == (found.array > 0).sum() > 100


def test_dicom_seg_of_a_series_that_has_a_label(run, bright, tmp_path):
    pytest.importorskip("highdicom")
    folder = tmp_path / "chaos/Train_Sets/MR/1/T2SPIR"
    slices(folder / "DICOM_anon", "MR", SeriesInstanceUID="1.2")
    write_masks(folder / "Ground", np.zeros(SHAPE, np.uint8))
    written = segmentation.predict(run, tmp_path, tmp_path / "out", progress=False, seg=True)
    assert [path.name for path in written] == ["chaos_1.nii.gz", "chaos_1.dcm"]


def test_dicom_seg_without_highdicom_or_without_dicom(run, tmp_path, monkeypatch, capsys):
    write(tmp_path / "scans/a.nii.gz")
    command = ["predict", str(run.folder), "--images", str(tmp_path / "scans"), "--modality", "ct", "--seg"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(command) == 1
    assert "seg: expected highdicom, which writes DICOM SEG, found none; pip install" in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    assert main(command) == 1
    assert "seg: expected DICOM series, to which DICOM SEG refers, found" in capsys.readouterr().err


def truncated(path):
    path.write_bytes(path.read_bytes()[:-2000])


def nan(path):
    image = volume().astype(np.float32)
    image[0, 0, 0] = np.nan
    write(path, image)


def endless(path):
    """A header that promises 60 TB."""
    header = nibabel.Nifti1Header()
    header.set_data_shape((32000, 32000, 30000))
    header.set_data_dtype(np.int16)
    path.write_bytes(header.binaryblock + bytes(1000))


def huge_voxels(path):
    write(path, affine=np.diag([8.0, 8.0, 8e9, 1.0]))


BAD = {
    "img0001.nii.gz": (lambda path: path.write_bytes(b"no scan"), "expected a NIfTI file"),
    "img0002.nii": (truncated, "with all its voxels"),
    "img0003.nii.gz": (nan, "expected finite values, found 1 NaN"),
    "img0004.nii": (endless, "with all its voxels"),
    "img0005.nii.gz": (lambda path: write(path, volume("mr")), "expected CT in Hounsfield units"),
    "img0006.nii.gz": (huge_voxels, "expected a scan of 10 to 3000 mm, found 192 x 160 x 9.6e+10 mm"),
    "img0007.nii.gz": (lambda path: (path.unlink(), path.mkdir()), "expected a NIfTI file, found a folder"),
}


def test_bad_scans_are_named_at_the_end_and_all_others_are_written(run, tmp_path, capsys):
    cts, mrs = tmp_path / "in/btcv/RawData/Testing/img", tmp_path / "in/chaos_mr_t2spir/Testing/img"
    for name, (damage, _) in BAD.items():
        damage(write(cts / name))
    write(cts / "img0008.nii")
    write(mrs / "image_3.nii.gz", volume("mr"))
    out = tmp_path / "out"
    assert main(["predict", str(run.folder), "--images", str(tmp_path / "in"), "--out", str(out)]) == 1
    said = capsys.readouterr()
    wanted = [out / "ct/img0008.nii.gz", out / "mr/image_3.nii.gz"]
    assert said.out.split() == [str(path) for path in wanted]
    assert f"{len(BAD)} problems in the scans to predict" in said.err
    for name, (_, message) in BAD.items():
        (line,) = (line for line in said.err.splitlines() if line.startswith(f"  ct/{name.split('.')[0]}: "))
        assert message in line
    assert sorted(path for path in out.rglob("*") if path.is_file()) == wanted
    assert all(nibabel.load(path).shape == SHAPE for path in wanted)


def test_whatever_goes_wrong_with_one_scan_stays_with_it(run, tmp_path, monkeypatch):
    for name in "abc":
        write(tmp_path / f"scans/{name}.nii.gz")
    whole = Segmenter.probabilities

    def failing(self, case):
        if case.name == "ct/b":
            raise failure
        return whole(self, case)

    monkeypatch.setattr(Segmenter, "probabilities", failing)
    failure = ZeroDivisionError("by nothing")
    with pytest.raises(BadInput, match="ct/b: .*b.nii.gz: expected .* found ZeroDivisionError: by nothing") as caught:
        segmentation.predict(run, tmp_path / "scans", tmp_path / "out", "ct", progress=False)
    assert [path.name for path in caught.value.written] == ["a.nii.gz", "c.nii.gz"]
    failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        segmentation.predict(run, tmp_path / "scans", tmp_path / "again", "ct", progress=False)
    assert os.listdir(tmp_path / "again/ct") == ["a.nii.gz"]


def test_nothing_is_half_written(run, tmp_path, monkeypatch):
    write(tmp_path / "scans/a.nii.gz")

    def full(image, path):
        path.write_bytes(b"the first half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nibabel, "save", full)
    with pytest.raises(BadInput, match="No space left on device"):
        segmentation.predict(run, tmp_path / "scans", tmp_path / "out", "ct", progress=False)
    assert not os.listdir(tmp_path / "out/ct")


def test_what_was_assumed_of_a_scan_is_told(run, tmp_path, capsys):
    write(tmp_path / "scans/a.nii.gz", units="unknown")
    write(tmp_path / "scans/b.nii.gz")
    segmentation.predict(run, tmp_path / "scans", tmp_path / "out", "ct", progress=False)
    assert capsys.readouterr().err == "assumed: it names no unit; millimetres were taken (1): ct/a\n"


def test_a_plain_folder_holds_both_endings_and_hidden_files(run, tmp_path):
    for name in ("a.nii", "b.nii.gz", "c.nii.d.nii.gz"):
        write(tmp_path / "scans" / name)
    (tmp_path / "scans/._a.nii").write_bytes(b"what a Mac leaves")
    (tmp_path / "scans/notes.txt").write_text("no scan")
    written = segmentation.predict(run, tmp_path / "scans", tmp_path / "out", "ct", progress=False)
    assert [path.name for path in written] == ["a.nii.gz", "b.nii.gz", "c.nii.d.nii.gz"]

def test_scans_in_subfolders_keep_their_names(run, tmp_path, capsys):
    for name in ("part_1/a.nii", "part_2/a.nii.gz", "B.NII.GZ", "part_2/more/c.nii.gz"):
        write(tmp_path / "in" / name) if name.islower() else write(tmp_path / "b.nii.gz").rename(tmp_path / "in" / name)
    for name in ("part_1/notes.txt", ".hidden/d.nii.gz", "__MACOSX/e.nii.gz"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"no scan")
    written = segmentation.predict(run, tmp_path / "in", tmp_path / "out", "ct", progress=False)
    names = ["B.nii.gz", "part_1/a.nii.gz", "part_2/a.nii.gz", "part_2/more/c.nii.gz"]
    assert written == [tmp_path / "out/ct" / name for name in names]
    assert capsys.readouterr().err == (
        f"{tmp_path / 'in'}: not used, as it is no NIfTI or DICOM file (1): part_1/notes.txt\n"
    )


def test_one_file_is_predicted_alone(run, tmp_path):
    path = write(tmp_path / "scans/a.nii.gz", volume()[..., None], codes=(0, 1))
    write(tmp_path / "scans/b.nii.gz")
    (written,) = segmentation.predict(run, path, tmp_path / "out", "ct", progress=False)
    assert written == tmp_path / "out/ct/a.nii.gz" and nibabel.load(written).shape == SHAPE
    path.write_bytes(gzip.decompress(path.read_bytes()))  # and whatever its name says
    assert segmentation.predict(run, path, tmp_path / "out", "ct", progress=False) == [written]


def test_what_is_no_file_is_named_and_never_opened(run, tmp_path):
    write(tmp_path / "scans/a.nii.gz")
    os.mkfifo(tmp_path / "scans/b.nii.gz")
    (tmp_path / "scans/c.nii").symlink_to("/dev/zero")
    with pytest.raises(BadInput, match="2 problems(?s:.*)b.nii.gz: .* found a pipe(?s:.*)found a device") as caught:
        segmentation.predict(run, tmp_path / "scans", tmp_path / "out", "ct", progress=False)
    assert [path.name for path in caught.value.written] == ["a.nii.gz"]


def test_an_output_inside_the_scans_is_no_scan_the_next_time(run, tmp_path):
    write(tmp_path / "a.nii.gz")
    once, twice = (segmentation.predict(run, tmp_path, tmp_path / "out", "ct", progress=False) for _ in range(2))
    assert once == twice == [tmp_path / "out/ct/a.nii.gz"]


def test_scans_are_never_overwritten(run, tmp_path):
    path = write(tmp_path / "ct/a.nii.gz")
    before = path.read_bytes()
    with pytest.raises(BadInput, match="a.nii.gz: expected label maps in another folder"):
        segmentation.predict(run, tmp_path / "ct", tmp_path, "ct", progress=False)
    assert path.read_bytes() == before


def test_two_scans_of_one_name_are_refused_before_anything_is_written(run, tmp_path):
    for name in ("a.nii", "A.nii.gz", "b.nii.gz"):
        write(tmp_path / "scans" / name)
    with pytest.raises(BadInput) as caught:
        segmentation.predict(run, tmp_path / "scans", tmp_path / "out", "ct", progress=False)
    assert "2 problems" in str(caught.value) and "a.nii: expected a name of its own" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_used_are_named(run, tmp_path, monkeypatch):
    write(tmp_path / "scans/a.nii.gz")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "zip").write_bytes(b"PK\3\4")
    os.mkfifo(tmp_path / "pipe")

    def predict(images, out="out", modality="ct"):
        segmentation.predict(run, tmp_path / images, tmp_path / out, modality, progress=False)

    for images in ("empty", "nowhere", "file"):
        with pytest.raises(BadInput, match=f"{images}: expected a folder with NIfTI files"):
            predict(images)
    with pytest.raises(BadInput, match="pipe: expected a folder with NIfTI files .* found a pipe; give"):
        predict("pipe")
    with pytest.raises(BadInput, match="found not used, as it is a zip that is not unpacked"):
        predict("zip")
    with pytest.raises(BadInput, match="modality: expected 'ct' or 'mr' for .*scans"):
        predict("scans", modality=None)
    with pytest.raises(BadInput, match="empty: expected a folder that holds btcv/RawData"):
        predict("empty", modality=None)
    with pytest.raises(BadInput, match="file.*: expected a file or folder to use, found: .*; choose another"):
        predict("scans", out="file")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(BadInput, match="out: expected a folder that can be read and written, found .*out"):
        predict("scans")
