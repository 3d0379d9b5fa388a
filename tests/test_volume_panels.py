"""Whole volumes seen: surfaces of organs, what CT and MR share, and how figures move together."""

import sys

import numpy as np
import ot
import pytest
import torch
from controls import ends, marks, move_every_control, places, unseen
from scans import case_of
from test_task_panels import short

from i2pemd_lite import segmentation
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import epochs, sharing, surfaces, volumes
from i2pemd_lite.panels.engine.card import Card
from i2pemd_lite.segmentation import CLASSES, METHODS, MODALITIES, ORGANS, network
from i2pemd_lite.segmentation.network import PerModality, UNet


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")


@pytest.fixture(scope="module")
def scans(abdomen):
    """A short segmentation run on voxels that are no cubes."""
    size = {"spacing": (8.0, 8.0, 6.0), "size": (48, 64)}
    run = short(segmentation, "joint_sepbn_i2pemd", abdomen, steps=8, evaluate_every=2, **size)
    return run.finish(progress=False)


def closed(mesh):
    """Whether each edge is passed once in either direction, as on a closed surface of one orientation."""
    a, b = np.concatenate([mesh.faces[:, [i, (i + 1) % 3]] for i in range(3)]).astype(np.int64).T
    there, back = a * len(mesh.vertices) + b, b * len(mesh.vertices) + a
    return len(np.unique(there)) == len(there) and np.array_equal(np.sort(there), np.sort(back))


def solid_holds(result):
    for organs in result.solid.columns.values() if result.solid else ():
        for mesh in organs.values():
            if mesh is not None:
                assert closed(mesh) and surfaces.volume(mesh) > 0
                assert (mesh.vertices >= result.solid.box[0]).all() and (mesh.vertices <= result.solid.box[1]).all()


def sharing_holds(result):
    assert sum(block.parameters for block in result.blocks) == result.parameters
    assert sum(block.gives == "F" for block in result.blocks) == 1
    for earlier, block in zip(("", *(b.name for b in result.blocks)), result.blocks, strict=False):
        assert block.inputs[0] == earlier


def epochs_hold(result):
    x, y = result.values["mI2PEMD"][result.first :], result.values[result.against][result.first :]
    assert result.correlation.n == len(x)
    assert result.correlation.r == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)


@pytest.fixture(scope="module", params=["3D", "sharing", "epochs"])
def case(request):
    """A panel that the tests of it share, what must hold of every result, and a way to make it."""
    get = request.getfixturevalue
    make, holds = {
        "3D": lambda: (lambda: volumes.volumes(get("scans"), view="MR in 3D"), solid_holds),
        "sharing": lambda: (lambda: sharing.sharing(), sharing_holds),
        "epochs": lambda: (lambda: epochs.epochs(get("scans")), epochs_hold),
    }[request.param]()
    return make(), holds, make


def test_every_control_works_at_both_ends_and_in_the_middle(case):
    panel, holds, _ = case
    assert panel.image.value.startswith("<svg")  # before anything is touched
    holds(panel.result)
    move_every_control(panel, holds)


def test_a_picture_comes_back_from_its_file(case, tmp_path):
    panel, _, make = case
    with unseen():
        other = make()
    assert all(control.description for control in panel.controls.values())
    assert len(panel.words) > 20 and len(panel.numbers) >= 1
    with unseen():
        for control in panel.controls.values():
            control.value = ends(control)[1]
    panel.refresh()
    panel.save(tmp_path / "state.json")
    other.load(tmp_path / "state.json")
    assert other.state == panel.state and other.image.value == panel.image.value


def ball(radius, spacing, shape):
    """The voxels whose centres lie within a ball in the middle of a volume."""
    z, y, x = (s * (np.arange(n) - (n - 1) / 2) for s, n in zip(spacing, shape, strict=True))
    return z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= radius**2


@pytest.mark.parametrize("spacing", [(8.0, 1.5, 1.5), (8.0, 4.0, 4.0), (3.0, 2.0, 5.0)])
def test_a_ball_has_its_volume_and_its_extent_in_millimetres(spacing):
    mask = ball(40.0, spacing, [int(100 / s) for s in spacing])
    mesh = surfaces.surface(mask, spacing)
    assert closed(mesh)
    assert surfaces.volume(mesh) == pytest.approx(4 / 3 * np.pi * 40.0**3, rel=0.04)
    # A slice more or less is half a slice of 8 mm at either end.
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), 80.0, atol=max(spacing), rtol=0)
    np.testing.assert_allclose(mesh.vertices.mean(0), 0, atol=1.0, rtol=0)
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    outwards = np.cross(b - a, c - a)
    assert (np.sum(outwards * (a + b + c), 1) > 0).all()


@pytest.mark.parametrize("smooth", [0.0, 3.0])
def test_an_organ_at_the_border_of_the_volume_is_closed(smooth):
    mesh = surfaces.surface(np.ones((3, 30, 20), bool), (8.0, 1.5, 2.0), detail=1.0, smooth=smooth)
    assert closed(mesh)
    # The corners of the box are cut by half a voxel or, if smoothed, rounded.
    assert surfaces.volume(mesh) == pytest.approx(3 * 8 * 30 * 1.5 * 20 * 2, rel=0.03 if smooth == 0 else 0.1)


def test_what_is_small_keeps_a_surface_and_what_is_empty_has_none():
    mask = np.zeros((4, 20, 20), bool)
    assert surfaces.surface(mask, (8.0, 1.5, 1.5)) is None
    mask[2, 5, 5] = True
    assert closed(surfaces.surface(mask, (8.0, 1.5, 1.5)))


@pytest.mark.parametrize(("mask", "spacing"), [((4, 4), (8, 1, 1)), ((4, 4, 4), (8, 1)), ((4, 4, 4), (8, 1, 0))])
def test_a_mask_and_a_spacing_that_do_not_fit_are_named(mask, spacing):
    with pytest.raises(BadInput, match="mask, spacing: expected"):
        surfaces.surface(np.ones(mask, bool), spacing)


def test_the_patients_left_is_where_the_caption_says():
    mask = np.zeros((8, 12, 12), bool)
    mask[1, 2, 9] = True  # below, in front, on the left: the axes are to Superior, Posterior and Left
    x, y, z = surfaces.surface(mask, (8.0, 4.0, 4.0)).vertices.mean(0)
    assert x > 0 and y < 0 and z < 0
    for turn in range(-180, 181, 15):
        right, away = surfaces.axes_of(turn)
        np.testing.assert_allclose(np.cross(right, [0, 0, 1]), -away, atol=1e-12, rtol=0)  # no mirror
        words, left = surfaces.seen_from(turn), np.array([1.0, 0, 0])
        place = "right" if left @ right > 1e-9 else "left" if left @ right < -1e-9 else None
        assert words.endswith(f"is on the {place}." if place else "is nearest." if left @ away < 0 else "is farthest.")
    assert "from the patient's left" in surfaces.seen_from(90) and "from behind" in surfaces.seen_from(180)


def test_the_liver_of_a_case_is_on_the_left_of_the_picture(scans):
    panel = volumes.volumes(scans, view="CT in 3D")
    liver, spleen = (panel.result.solid.columns["truth"][organ].vertices.mean(0) for organ in ("liver", "spleen"))
    assert liver[0] < 0 < spleen[0]
    assert "The slider shows the organs from the front: the patient's left is on the right" in panel.words
    names = {name.text: name.x for name in panel.live.figure.layout.scene.annotations}
    assert names["liver"] < names["spleen"]


def test_surfaces_enclose_the_organs_of_truth_and_prediction(scans):
    panel = volumes.volumes(run=scans, view="CT in 3D")
    case = case_of(scans.learner.data, panel.state["ct"])
    with scans.learner.evaluating():
        labels = {"truth": case.label, "run": scans.learner.probabilities(case).argmax(0)}
    for column, organs in panel.result.solid.columns.items():
        for k, organ in enumerate(ORGANS, 1):
            voxels = int((labels[column] == k).sum())
            if organs[organ] is None:
                assert voxels == 0 and f"no {organ}" in panel.words
            elif voxels > 200:
                assert surfaces.volume(organs[organ]) == pytest.approx(voxels * 8.0 * 8.0 * 6.0, rel=0.2)


def test_an_organ_that_is_missing_is_said_in_words(scans):
    run = scans.fork()
    with torch.no_grad():
        run.learner.network.head.bias[4] = -1e4  # no voxel is spleen
    panel = volumes.volumes(run=run, view="MR in 3D")
    assert panel.result.solid.columns["run"]["spleen"] is None
    assert "no spleen" in panel.words and "no spleen" in panel.live.figure.layout.annotations[1].text


def test_the_live_figure_has_the_same_surfaces_to_scale_and_turns_as_one(scans):
    panel = volumes.volumes(one=scans, two=scans)
    flat = panel.children
    panel.set(turn=30)
    assert panel.live is None and panel.image in flat
    said = []
    panel.error.observe(lambda change: said.append(change["new"]), "value")
    panel.set(view="CT in 3D")
    figure = panel.live.figure
    assert said[0].startswith("Drawing in 3D") and panel.error.value == ""
    assert [child for child in panel.children if child is not figure] == list(flat)
    assert panel.children[flat.index(panel.image)] is figure  # above the picture
    panel.set(view="axial")
    assert panel.children == flat and "turn" not in panel.shown
    panel.set(view="CT in 3D", turn=0)
    for trace in figure.data:
        column = {scene: name for name, scene in panel.live.scenes.items()}[trace.scene]
        mesh = panel.result.solid.columns[column][trace.name]
        corners = np.zeros((0, 3)) if mesh is None else mesh.vertices
        np.testing.assert_array_equal(np.stack([trace.x, trace.y, trace.z], -1), corners)
    scenes = [figure.layout[name] for name in panel.live.scenes.values()]
    for scene in scenes:
        mm = [scene[f"{axis}axis"].range[1] - scene[f"{axis}axis"].range[0] for axis in "xyz"]
        per_mm = [scene.aspectratio[axis] / length for axis, length in zip("xyz", mm, strict=True)]
        np.testing.assert_allclose(per_mm, per_mm[0], rtol=1e-6, atol=0)
    assert scenes[0].camera.eye.y < -1  # from the front
    panel.set(turn=90)
    assert all(scene.camera.eye.x > 1 for scene in scenes)
    # What the browser sends when the second scene was turned by the mouse.
    moved = {"scene2.camera": {"eye": {"x": 0.5, "y": 1.5, "z": 1.0}}}
    figure._js2py_relayout = {"relayout_data": moved, "source_view_id": None}
    assert [scene.camera.eye.y for scene in scenes] == [1.5] * 3
    panel.set(view="MR in 3D")
    assert [scene.camera.eye.y for scene in scenes] == [1.5] * 3


def test_without_plotly_three_planes_and_the_words_remain(scans, monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "0")
    monkeypatch.setitem(sys.modules, "plotly", None)
    panel = volumes.volumes(scans, view="CT in 3D")
    assert panel.image in panel.children and "Volumes are in ml" in panel.words and "plotly" in panel.error.value
    assert len(marks(panel.image.value, "('ct', 'coronal') image")) == 1


def touch(panel, modality, column, h, w, pressed=True):
    """What a touch of the voxel in row h and column w of a slice sets."""
    part, card = panel.result.cells[modality][column], panel._card
    x, y = card.planes[modality, column].at(w * part.spacing[1], h * part.spacing[0])
    return panel._aim(card, panel.result, (x / card.width, 1 - y / card.height), pressed)


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_touch_of_a_plane_moves_the_others_to_the_voxel_touched(scans, modality):
    panel = volumes.volumes(scans)
    depth, rows, columns = case_of(scans.learner.data, panel.state[modality]).image.shape
    for plane, (row, column), expected in (
        ("axial", (3, 50), (None, 3, 50)),
        ("coronal", (2, 7), (depth - 3, None, 7)),
        ("sagittal", (depth - 1, 40), (0, 40, None)),
    ):
        before = panel.result.voxels[modality].index
        panel.set(**touch(panel, modality, plane, row, column))
        index = panel.result.voxels[modality].index
        assert index == tuple(b if e is None else e for b, e in zip(before, expected, strict=True))
        d, h, w = index
        across = {"axial": (w, h), "coronal": (w, depth - 1 - d), "sagittal": (h, depth - 1 - d)}
        for name, (x, y) in across.items():  # the lines meet there in all three planes
            dy, dx = panel.result.cells[modality][name].spacing
            ways = places(marks(panel.image.value, f"{(modality, name)} line")[-1])
            expected = panel._card.planes[modality, name].at(x * dx, y * dy)
            np.testing.assert_allclose((ways[-1, 0], ways[0, 1]), expected, atol=0.051, rtol=0)  # one decimal


def test_a_drag_stays_in_its_plane_and_ends_at_the_border(scans):
    panel = volumes.volumes(scans)
    assert touch(panel, "ct", "axial", 5, 5, pressed=False) == {}  # nothing was pressed
    assert set(touch(panel, "ct", "axial", 5, 5)) == {"x", "y"}
    assert touch(panel, "ct", "coronal", 5, 5, pressed=False) == {}
    assert touch(panel, "ct", "axial", -2, 65, pressed=False) == {"x": 100.0, "y": 0.0}  # on the margin
    assert panel._aim(panel._card, panel.result, (0.01, 0.01), True) == {}
    assert touch(panel, "ct", "axial", 5, 5, pressed=False) == {}  # it was pressed beside the planes


def test_the_numbers_of_a_voxel_are_the_runs_own(scans):
    panel = volumes.volumes(scans, x=31.0, y=40.0, z=60.0)
    G = scans.learner.bank.ground_distance().double()
    for modality in MODALITIES:
        case, found = case_of(scans.learner.data, panel.state[modality]), panel.result.voxels[modality].answers["run"]
        at = tuple(round(s / 100 * (n - 1)) for s, n in zip((60, 40, 31), case.image.shape, strict=True))
        with scans.learner.evaluating():
            p = scans.learner.probabilities(case)[(slice(None), *at)].double()
        k = int(case.label[at])
        exact = ot.emd2((p / p.sum()).numpy(), np.eye(5)[k], G.numpy())
        assert found.distance == pytest.approx(exact, abs=1e-6)  # a float32 softmax
        name = modality.upper()
        assert panel.numbers[f"{name} truth → prediction"] == f"{CLASSES[k]} → {CLASSES[p.argmax()]}"
        total, products = panel.numbers[f"{name} I2PEMD = Σ p × G(·, {CLASSES[k]})"].split(" = ")
        assert float(total) == pytest.approx(exact, abs=5.01e-4)  # three decimals
        pairs = np.array([[float(n) for n in product.split(" × ")] for product in products.split(" + ")])
        np.testing.assert_allclose(pairs, np.stack([p, G[:, k]], 1), atol=5.01e-3, rtol=0)  # two decimals
        x, y, z = case.affine[:3, :3] @ at + case.affine[:3, 3]
        said = dict(part.split(" ") for part in panel.numbers[f"{name} at (mm)"].split(", "))
        for value, plus, minus in ((x, "R", "L"), (y, "A", "P"), (z, "S", "I")):
            assert int(said[plus if value >= 0 else minus]) == pytest.approx(abs(value), abs=0.51)


def test_letters_follow_the_affine_and_stand_at_their_sides(scans):
    affine = case_of(scans.learner.data, volumes.volumes(scans).state["mr"]).affine
    up, back, left = affine[:3, :3].T  # of (d, h, w)
    for plane, right, above in (("axial", left, -back), ("coronal", left, up), ("sagittal", back, up)):
        for step, side in ((right, slice(0, 2)), (above, slice(3, 1, -1))):  # left to right, bottom to top
            i = np.abs(step).argmax()
            expected = ("LR", "PA", "IS")[i]
            assert volumes.letters(affine, plane)[side] == (expected if step[i] > 0 else expected[::-1])
    turned = np.array([[2.0, 0, 0, 0], [0, 0, 2, 0], [0, -2, 0, 0], [0, 0, 0, 1]])  # d to R, h to I, w to A
    assert [volumes.letters(turned, plane) for plane in volumes.PLANES] == ["PASI", "PARL", "SIRL"]
    panel = volumes.volumes(scans)
    letters = [mark for mark in marks(panel.image.value, "('ct', 'coronal') text") if len(mark.text) == 1]
    assert [mark.text for mark in letters] == list("RLSI")
    (right, left), (up, down) = [float(m.x) for m in letters[:2]], [float(m.y) for m in letters[2:]]
    x, y = panel._card.planes["ct", "coronal"].at(0, 0)
    assert right < x < left and up < y < down


def test_all_planes_have_one_scale_and_a_voxel_its_size(scans):
    panel = volumes.volumes(scans)
    for parts in panel.result.cells.values():  # a body that is much less deep than wide
        for plane, spacing in (("axial", (3.0, 6.0)), ("sagittal", (8.0, 3.0))):
            parts[plane] = parts[plane]._replace(spacing=spacing)
    card = Card(*volumes.size({"truth", "run"}))
    volumes.draw(card, panel.result)
    svg, per_mm = card.svg(), set()
    for key, part in volumes.slices(panel.result):
        origin, aside, down = card.planes[key].at([0, 1, 0], [0, 0, 1])
        (image,), span = marks(svg, f"{key} image"), np.multiply(part.image.shape, part.spacing)
        written = [float(image.height), float(image.width)]
        np.testing.assert_allclose(written, span * (aside - origin)[0], atol=0.051, rtol=0)  # one decimal is written
        per_mm |= {round(aside[0] - origin[0], 6), round(down[1] - origin[1], 6)}
    assert len(per_mm) == 1


def test_a_prepared_data_set_has_truth_but_no_prices(scans):
    panel = volumes.volumes(scans.learner.data)
    assert list(panel.numbers) == ["CT at (mm)", "CT truth", "MR at (mm)", "MR truth"]
    with pytest.raises(BadInput, match="overlay: expected a value that the control takes"):
        panel.set(overlay="I2PEMD")


COUNTS = {"individual": 4_149_226, "joint": 2_074_613, "joint_sepbn": 2_077_589, "x_shaped": 3_706_090,
          "y_shaped": 2_726_213}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_the_drawing_counts_what_the_module_has(method):
    panel = sharing.sharing(method)
    result, boxes = panel.result, marks(panel.image.value, "network rect")
    scheme = METHODS[method].sharing
    assert result.parameters == COUNTS[scheme]
    shared, separate = network.SHARING[scheme]
    assert all(block.shared == (block.name in shared) for block in result.blocks)
    assert {layer.norms for block in result.blocks for layer in block.layers if block.name != "head"} == {1 + separate}
    with torch.device("meta"):
        module = UNet(scheme)
    for block in result.blocks:
        assert block.parameters == sum(p.numel() for p in getattr(module, block.name).parameters())
    for x, block in enumerate(result.blocks):
        lanes = [0] if block.shared else [1, -1]
        middle, *ends = panel._card.planes["network"].at(x, [0, *lanes])
        mine = [box for box in boxes if 0 < middle[0] - float(box.x) < float(box.width)]
        drawn = [float(box.y) + float(box.height) / 2 for box in mine]
        np.testing.assert_allclose(drawn, [y for _, y in ends], atol=0.1, rtol=0)  # one decimal of y and of height


def test_a_module_that_is_built_otherwise_is_drawn_otherwise(monkeypatch):
    net = UNet("joint", width=2, dim=3)
    before = {block.name: block for block in sharing.walk(net)}
    net.enc2 = PerModality(lambda: UNet("joint", width=2, dim=3).enc2)
    after = {block.name: block for block in sharing.walk(net)}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"enc2"} and not after["enc2"].shared
    assert after["enc2"].parameters == 2 * before["enc2"].parameters
    monkeypatch.setitem(network.SHARING, "joint", (("enc1", "head"), True))
    sharing._built.cache_clear()
    panel = sharing.sharing("joint", width=8)
    assert [block.name for block in panel.result.blocks if block.shared] == ["enc1", "head"]
    assert "share enc1, head; each has its own normalisation" in panel.words
    sharing._built.cache_clear()


def test_a_walk_sees_kernels_channels_skips_and_levels_and_leaves_the_network_alone():
    net = UNet("joint_sepbn", width=4, dim=6, upconv="ummkd").train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    blocks = {block.name: block for block in sharing.walk(net)}
    assert net.training and all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
    assert [block.inputs[0] for block in blocks.values()] == ["", *list(blocks)[:-1]]
    assert [block.level for block in blocks.values()] == [0, 1, 2, 3, 2, 1, 0, 0]
    assert {name: block.inputs[1] for name, block in blocks.items() if len(block.inputs) > 1} == {
        "dec3": "enc3", "dec2": "enc2", "dec1": "enc1"
    }  # fmt: skip
    assert blocks["dec1"].gives == "F" and blocks["head"].gives == "logits"
    assert blocks["dec1"].layers[-1].channels == (8, 6) and blocks["head"].layers[0].channels == (6, 5)
    up, first = blocks["dec3"].layers[0], blocks["enc1"].layers[0]
    assert (up.up, up.kernel) == (True, (1, 3, 3)) and (first.up, first.kernel) == (False, (3, 3, 3))


def test_a_method_that_is_not_there_is_named():
    with pytest.raises(BadInput, match="method: expected one of individual, .* found 'jont'"):
        sharing.sharing("jont")


def test_the_curves_of_epochs_are_the_evaluations(scans):
    panel = epochs.epochs(scans, against="MMD²", first=1)
    rows = scans.evaluations[1:]
    step, x, doc, y = np.array([[row[name] for row in rows] for name in ("step", "mi2pemd", "doc", "mmd")])
    for name, line, curve in (("pairs", 0, (x, y)), ("mDOC (%)", 1, (step, doc))):
        (way,) = marks(panel.image.value, f"{name} line {line}")
        np.testing.assert_allclose(places(way), panel._card.planes[name].at(*curve), atol=0.06)
    assert panel.numbers["n"] == len(rows) and "autocorrelated" in panel.words
    assert f"r = {np.corrcoef(x, y)[0, 1]:.2f}" in marks(panel.image.value, "paper text 0")[0].text


def test_evaluations_that_do_not_vary_are_drawn_without_a_correlation(scans):
    run = scans.fork()
    for row in run.evaluations:
        row["doc"] = 20.0
    run.evaluations[0]["mmd"] = float("nan")
    panel = epochs.epochs(run)
    assert np.isnan(panel.result.correlation.r) and "r is undefined, n = 4" in panel.words
    panel.set(against="MMD²")
    kept = [(row["mi2pemd"], row["mmd"]) for row in run.evaluations[1:]]
    assert panel.result.correlation.n == 3
    assert panel.result.correlation.r == pytest.approx(np.corrcoef(np.array(kept).T)[0, 1], abs=1e-9)


def test_a_run_with_two_evaluations_has_no_correlation(scans):
    run = scans.fork()
    del run.evaluations[2:]
    with pytest.raises(BadInput, match="run: expected at least 3 evaluations, found 2; train on"):
        epochs.epochs(run)
