"""The panels of the two trainings: slices, views, selection and curves, without a browser."""

import asyncio
import io

import numpy as np
import ot
import pytest
import torch
from PIL import Image
from test_panels import ends

from i2pemd_lite import classification, segmentation, select
from i2pemd_lite.classification.augment import weak
from i2pemd_lite.files import BadInput
from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.panels import classification as skin_panels
from i2pemd_lite.panels import segmentation as scan_panels
from i2pemd_lite.panels import style, training
from i2pemd_lite.training import generator


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")


def _short(module, method, folder, tmp_path_factory, **settings):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("I2PEMD_CACHE", str(tmp_path_factory.mktemp("cache")))
        return module.train(method, module.load(folder), profile="ci", **settings)


@pytest.fixture(scope="module")
def scans(abdomen, tmp_path_factory):
    """A segmentation run, two steps old."""
    run = _short(segmentation, "joint_sepbn_i2pemd", abdomen, tmp_path_factory, steps=4, evaluate_every=2)
    next(run), next(run)
    return run


@pytest.fixture(scope="module")
def lesions(skin, tmp_path_factory):
    """A classification run, long enough that some answers are confident."""
    return _short(classification, "baseline", skin, tmp_path_factory, steps=60).finish(progress=False)


@pytest.fixture(scope="module")
def frozen(lesions):
    return skin_panels.freeze(lesions, batches=4)


def slices_hold(result):
    for part in result.slices.values():
        assert part.image.shape == part.truth.shape
        assert 0 <= part.image.min() and part.image.max() <= 1
        assert 0 <= part.index < part.depth
        overlay = scan_panels.paint(part, result.overlay)
        assert overlay.shape == (*part.image.shape, 4)
        if result.overlay == "truth":
            np.testing.assert_array_equal(overlay[..., 3] > 0, part.truth > 0)
        if part.prediction is not None:
            assert part.prediction.shape == part.distance.shape == part.image.shape
            assert 0 <= part.distance.min() and part.distance.max() <= scan_panels.TOP + 1e-6  # float32


def rows_hold(result):
    for parts in result.rows.values():
        truth, *judged = parts.values()
        assert truth.prediction is None and truth.doc is None
        for part in judged:
            np.testing.assert_array_equal(part.image, truth.image)
            np.testing.assert_array_equal(part.truth, truth.truth)
            assert part.prediction.shape == part.distance.shape == part.image.shape
            wrong = scan_panels.paint(part, "only mistakes")[..., 3] > 0
            np.testing.assert_array_equal(wrong, part.prediction != part.truth)


def selection_holds(result):
    assert sum(number for number, _ in result.regions.values()) == result.others.shape[1]
    assert all(0 <= right <= number for number, right in result.regions.values())
    s, t = result.chosen.scores, result.state
    assert result.kept[0] == int(result.chosen.mask.sum())
    assert not result.chosen.mask[s <= t["tau_low"]].any() and result.chosen.mask[s > t["tau_high"]].all()
    band = (s > t["tau_low"]) & (s <= t["tau_high"])
    assert int((band & result.chosen.mask).sum()) <= t["top"]


def sheet_holds(result):
    assert [len(pictures) for pictures in result.pictures] == np.minimum(result.counts, skin_panels.COLUMNS).tolist()


def views_hold(result):
    assert result.shape[:2] == (2, skin_panels.VIEWS + 1) and result.dtype == np.uint8
    np.testing.assert_array_equal(result[0, 0], result[1, 0])


def curves_hold(result):
    for lines in result.groups:
        for line in lines:
            assert len(line.x) == len(line.y) <= training.POINTS
            assert (np.diff(line.x) > 0).all() and np.isfinite(line.y).all()


@pytest.fixture(params=["scans", "slices", "rows", "selection", "sheet", "views", "curves", "skin curves"])
def case(request):
    """A way to make each panel, and what must hold of every result."""
    get = request.getfixturevalue
    return {
        "scans": lambda: (lambda: scan_panels.viewer(get("scans").learner.data), slices_hold),
        "slices": lambda: (lambda: scan_panels.viewer(get("scans")), slices_hold),
        "rows": lambda: (lambda: scan_panels.compare(one=get("scans"), two=get("scans")), rows_hold),
        "selection": lambda: (lambda: skin_panels.selection(get("frozen")), selection_holds),
        "sheet": lambda: (lambda: skin_panels.sheet(get("lesions").learner.data), sheet_holds),
        "views": lambda: (lambda: skin_panels.views(get("lesions").learner.data), views_hold),
        "curves": lambda: (lambda: scan_panels.panel(one=get("scans"), two=get("scans")), curves_hold),
        "skin curves": lambda: (lambda: skin_panels.panel(one=get("lesions")), curves_hold),
    }[request.param]()


def test_every_control_works_at_both_ends_and_in_the_middle(case):
    make, holds = case
    panel = make()
    assert panel.image.value[:4] == b"\x89PNG"  # before anything is touched
    holds(panel.result)
    before = panel.state
    for name, control in panel.controls.items():
        for value in ends(control):
            control.value = value
            assert panel.state[name] == value and panel.error.value == ""
            holds(panel.result)
        panel.set(**before)


def test_a_moved_picture_is_the_picture_of_a_fresh_panel(case):
    make, _ = case
    panel = make()
    for name, control in panel.controls.items():
        control.value = ends(control)[1]
        fresh = style.figure(*panel._figure.get_size_inches())
        panel._draw(fresh, panel.result)
        old, new = (np.asarray(Image.open(io.BytesIO(png))) for png in (panel.image.value, style.png(fresh)))
        assert not (old != new).any(), name


def test_labels_words_and_state(case, tmp_path):
    make, _ = case
    panel, other = make(), make()
    assert all(control.description for control in panel.controls.values())
    assert len(panel.words) > 20 and len(panel.numbers) >= 1
    assert panel._repr_mimebundle_()["image/png"].startswith("iVBOR")
    for control in panel.controls.values():
        control.value = ends(control)[1]
    panel.save(tmp_path / "state.json")
    other.load(tmp_path / "state.json")
    assert other.state == panel.state and other.image.value == panel.image.value


@pytest.mark.parametrize("height", [0, 33, 100])
def test_a_slice_is_that_of_the_prediction_and_its_prices_are_those_of_a_solver(scans, height):
    part = scan_panels.viewer(scans, height=height).result.slices["mr"]
    case = scans.learner.data.case(part.case)
    with scans.learner.evaluating():
        p = scans.learner.probabilities(case)
    np.testing.assert_array_equal(part.prediction, p.argmax(0)[part.index])
    np.testing.assert_array_equal(part.truth, case.label[part.index])
    G = scans.learner.bank.ground_distance().double().numpy()
    for y, x in np.random.default_rng(0).integers(0, min(part.image.shape), (10, 2)):
        a = p[:, part.index, y, x].double().numpy()
        exact = ot.emd2(a / a.sum(), np.eye(5)[part.truth[y, x]], G)
        assert abs(part.distance[y, x] - exact) < 1e-6  # a float32 softmax


def test_a_run_that_went_on_is_predicted_again(scans):
    run = scans.fork()
    viewer = scan_panels.viewer(run)
    before = viewer.result.slices["ct"].distance
    next(run)
    viewer.refresh()
    assert np.abs(viewer.result.slices["ct"].distance - before).max() > 0


def test_the_outline_has_the_length_of_the_border():
    labels = np.zeros((6, 6), dtype=int)
    labels[2:4, 1:5] = 1
    labels[2:4, 3:5] = 2
    segments = scan_panels.edges(labels)
    assert len(segments) == 2 * (2 + 4) + 2  # around both, and once between them
    assert np.abs(segments[:, 0] - segments[:, 1]).sum(1).tolist() == [1.0] * len(segments)


@pytest.mark.parametrize("plane", scan_panels.PLANES)
def test_a_voxel_is_drawn_to_scale_in_every_plane(scans, plane):
    result = scan_panels.compare(one=scans, plane=plane).result
    for parts in result.rows.values():
        parts.update({name: part._replace(spacing=(8.0, 1.5)) for name, part in parts.items()})
    figure = style.figure(*scan_panels.rows_size(2)[1])
    scan_panels.draw_beside(figure, result)
    style.png(figure)
    for view in figure.house_artists.views.values():
        origin, right, down = view.base.axes.transData.transform([(0, 0), (1.5, 0), (0, 8.0)])
        assert (right - origin)[0] / (origin - down)[1] == pytest.approx(1.5 / 8.0)
        left, right, bottom, top = view.base.get_extent()
        H, W = view.base.get_array().shape
        assert (right - left, bottom - top) == (W * 1.5, H * 8.0)


def test_planes_have_the_head_above_and_the_patients_left_on_the_right():
    volume = np.zeros((3, 4, 5))
    volume[-1, 0, -1] = 1  # the top, in front, on the left
    assert scan_panels.cut(volume, 0, 2)[0, -1] == 1
    assert scan_panels.cut(volume, 1, 0)[0, -1] == 1
    assert scan_panels.cut(volume, 2, 4)[0, 0] == 1  # from the side: in front is on the left


def test_the_overlaps_of_a_case_and_of_a_slice_are_those_of_a_count(scans):
    panel = scan_panels.compare(run=scans, height=40)
    for modality, parts in panel.result.rows.items():
        part, case = parts["run"], scans.learner.data.case(parts["run"].case)
        with scans.learner.evaluating():
            whole = scans.learner.probabilities(case).argmax(0).numpy()
        for prediction, truth, written in (
            (part.prediction, part.truth, scan_panels.slice_doc(part)),
            (whole, case.label.numpy(), float(panel.numbers[f"{modality.upper()} DOC of the case (%), run"])),
        ):
            pairs = [(prediction == k, truth == k) for k in range(1, 5)]
            docs = [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs if a.any() or b.any()]
            assert written == pytest.approx(100 * np.mean(docs), abs=0.0501)  # one decimal is written


def test_a_case_is_predicted_once_for_each_state_of_a_run(scans, monkeypatch):
    asked = []
    of = type(scans.learner).probabilities
    monkeypatch.setattr(type(scans.learner), "probabilities", lambda me, case: asked.append(case.name) or of(me, case))
    panel = scan_panels.compare(one=scans, two=scans.fork())
    for height in (0, 60, 100):
        panel.set(height=height, plane="coronal")
    assert sorted(asked) == sorted([panel.state["ct"], panel.state["mr"]] * 2)


def test_runs_on_other_data_are_not_compared(scans, abdomen, tmp_path_factory):
    other = _short(segmentation, "joint", abdomen, tmp_path_factory, steps=1, size=(40, 40))
    with pytest.raises(BadInput, match="runs: expected the same prepared data, found .* of a, .* of b"):
        scan_panels.compare(a=scans, b=other)
    with pytest.raises(BadInput, match="runs: expected one to 4, found 5"):
        scan_panels.compare(**dict.fromkeys("abcde", scans))
    with pytest.raises(BadInput, match="expected controls among"):
        scan_panels.compare(a=scans, hight=3)


LOOSE = {"tau_low": 0.35, "tau_high": 0.5, "top": 5}


@pytest.mark.parametrize("state", [{}, LOOSE, {"top": 1, "ground": "fix, 1 − I"}])
def test_who_is_chosen_is_what_select_says(frozen, state):
    panel = skin_panels.selection(frozen, **state)
    s = panel.state
    G = frozen.ground if s["ground"] == "learned" else fixed_ground_distance(7)
    masks = [select(o, G, s["tau_low"], s["tau_high"], s["top"]).mask for o in frozen.o]
    assert panel.numbers["chosen in all"] == int(torch.stack(masks).sum())
    right = frozen.o.argmax(-1) == frozen.truth
    inside = list(panel.result.regions.values())[:2]
    assert sum(right for _, right in inside) == int((torch.stack(masks) & right).sum())
    for batch, mask in enumerate(masks, 1):
        panel.set(batch=batch)
        assert torch.equal(panel.result.chosen.mask, mask)


def test_some_frozen_answers_lie_in_each_region(frozen):
    regions = skin_panels.selection(frozen, tau_low=0.5, tau_high=0.7, top=6).result.regions
    assert sum(number > 0 for number, _ in regions.values()) >= 3


def test_thresholds_take_each_other_along_and_never_cross(frozen):
    panel = skin_panels.selection(frozen)
    panel.controls["tau_low"].value = 0.9
    assert panel.state["tau_high"] == pytest.approx(0.92)
    panel.controls["tau_high"].value = 0.5
    assert panel.state["tau_low"] == pytest.approx(0.48)


def test_freezing_repeats_itself_and_leaves_the_run_as_it_was(lesions, frozen):
    before = {name: value.clone() for name, value in lesions.learner.state_dict().items()}
    again = skin_panels.freeze(lesions, batches=4)
    assert torch.equal(again.o, frozen.o) and torch.equal(again.truth, frozen.truth)
    assert all(torch.equal(value, before[name]) for name, value in lesions.learner.state_dict().items())
    assert torch.allclose(frozen.o.sum(-1), torch.ones(()), atol=1e-5, rtol=0)  # float32 softmax


def test_a_contact_sheet_shows_images_of_their_class(lesions):
    data = lesions.learner.data
    panel = skin_panels.sheet(data)
    np.testing.assert_array_equal(panel.result.counts, np.bincount(data.labels))
    panel.set(page=2)
    for k, pictures in enumerate(panel.result.pictures):
        mine = {image.numpy().tobytes() for image in data.images[data.labels == k].permute(0, 2, 3, 1).contiguous()}
        assert {picture.tobytes() for picture in pictures} <= mine


def test_views_are_those_of_the_module_each_with_its_own_draw(lesions):
    data = lesions.learner.data
    shown = skin_panels.views(data).result
    made = weak(data.images[[0] * skin_panels.VIEWS], data.size, generator(0, "weak"))
    np.testing.assert_array_equal(shown[0, 1:], skin_panels._bytes(made))
    assert len({view.tobytes() for view in shown[1, 1:]}) > 1


def test_curves_are_the_history(scans):
    run = scans.fork(steps=6)
    curves = scan_panels.panel(run=run)
    curves.go(2)
    assert run.number == 4
    curves.go()
    curves.set(smooth=1, show="ce")
    assert run.number == 6 == len(run.history)
    line = curves.result.groups[0][0]
    assert line.x.tolist() == [row["step"] for row in run.history]
    np.testing.assert_array_equal(line.y, [row["ce"] for row in run.history])
    assert curves.result.groups[1][0].y.tolist() == [row["doc"] for row in run.evaluations]
    torch.testing.assert_close(torch.tensor(curves.result.ground), run.learner.bank.ground_distance())


def test_the_slider_sets_lambda_of_the_chosen_run_and_a_change_is_marked(scans):
    one, two = scans.fork(steps=8), scans.fork(steps=8, weight=3.0)
    curves = scan_panels.panel(one=one)
    curves.go(1)
    curves.controls["weight"].value = 0.25
    assert one.settings.weight == 0.25
    curves.go(2)
    assert curves.result.changes == [(4, 0.25)]
    curves.add("two", two)
    assert curves.state["run"] == "two" and curves.state["weight"] == 3.0
    assert (one.settings.weight, two.settings.weight) == (0.25, 3.0)
    two.settings.weight = 9.0  # beyond the slider
    curves.go(1)
    assert two.settings.weight == 9.0


def test_a_fork_shares_the_curves_of_its_beginning(scans):
    run = scans.fork(steps=8)
    curves = scan_panels.panel(run=run)
    curves.go(2)
    curves.add("fork", run.fork(weight=0.0))
    curves.go(1)
    curves.set(show="dice", smooth=1)
    run_line, fork_line = curves.result.groups[0]
    np.testing.assert_array_equal(fork_line.y[:-1], run_line.y)
    assert curves.result.changes == [(5, 0.0)]


def test_the_button_trains_in_the_background_and_pauses(scans):
    run = scans.fork(steps=200)
    curves = scan_panels.panel(run=run)

    async def press():
        curves.button.click()
        assert curves._task is not None
        while run.number < 4:
            await asyncio.sleep(0.01)
        assert curves.button.description == "Pause"
        curves.button.click()
        for _ in range(3):
            await asyncio.sleep(0.01)
        number = run.number
        assert curves.button.description == "Train" and curves._task is None
        await asyncio.sleep(0.3)
        assert run.number == number < 200
        assert curves.numbers["step"] == f"{number} of 200"

    asyncio.run(press())


def test_counts_are_parts_of_the_unlabelled(skin, tmp_path_factory):
    run = _short(classification, "filter_all", skin, tmp_path_factory, steps=3)
    curves = skin_panels.panel(run=run)
    curves.go()
    kept = curves.result.groups[1][0]
    assert kept.label == "kept" and kept.y.tolist() == [1.0, 1.0, 1.0]


def test_five_runs_are_too_many(scans):
    with pytest.raises(BadInput, match="one to 4"):
        scan_panels.panel(**dict.fromkeys("abcde", scans))


def test_a_moving_mean_is_a_mean():
    y = np.random.default_rng(0).normal(size=20)
    by_hand = [y[max(0, i - 6) : i + 1].mean() for i in range(20)]
    np.testing.assert_allclose(training.moving_mean(y, 7), by_hand, atol=1e-12, rtol=0)
