"""The panels of the two trainings: slices, views, selection and curves, without a browser."""

import asyncio

import numpy as np
import ot
import pytest
import torch
from controls import ends, marks, move_every_control, places, unseen
from scans import case_of
from sklearn.metrics import f1_score

from i2pemd_lite import classification, segmentation, select
from i2pemd_lite.classification.augment import IMAGENET_MEAN, IMAGENET_STD, weak
from i2pemd_lite.classification.methods import bands
from i2pemd_lite.files import BadInput
from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.panels import classification as skin_panels
from i2pemd_lite.panels import curves as lines_of
from i2pemd_lite.panels import segmentation as scan_panels
from i2pemd_lite.panels import selection, volumes
from i2pemd_lite.panels.engine.card import Card
from i2pemd_lite.runs.sampling import generator


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")


def short(module, method, folder, **settings):
    return module.train(method, module.load(folder), profile="ci", **settings)


@pytest.fixture(scope="module")
def scans(abdomen):
    """A segmentation run, two steps old."""
    run = short(segmentation, "joint_sepbn_i2pemd", abdomen, steps=4, evaluate_every=2)
    next(run), next(run)
    return run


@pytest.fixture(scope="module")
def lesions(skin):
    """A classification run, long enough that some answers are confident."""
    return short(classification, "baseline", skin, steps=60).finish(progress=False)


@pytest.fixture(scope="module")
def frozen(lesions):
    return selection.freeze(lesions, batches=4)


def volumes_hold(result):
    if result.compared:
        return rows_hold(result)
    for modality, parts in result.cells.items():
        found = result.voxels[modality]
        d, h, w = found.index
        assert [part.index for part in parts.values()] == [d, h, w]
        n = parts["axial"].depth
        places = {"axial": (h, w), "coronal": (n - 1 - d, w), "sagittal": (n - 1 - d, h)}
        for plane, part in parts.items():
            assert part.image.shape == part.truth.shape and 0 <= part.index < part.depth
            assert 0 <= part.image.min() and part.image.max() <= 1
            assert part.truth[places[plane]] == found.truth
            overlay = scan_panels.paint(part, result.overlay)
            assert overlay.shape == (*part.image.shape, 4)
            if result.overlay == "truth":
                np.testing.assert_array_equal(overlay[..., 3] > 0, part.truth > 0)
            for answer in found.answers.values():
                assert part.prediction.shape == part.distance.shape == part.image.shape
                assert 0 <= part.distance.min() and part.distance.max() <= scan_panels.TOP + 1e-6  # float32
                assert part.prediction[places[plane]] == answer.guess
                assert part.distance[places[plane]] == pytest.approx(answer.distance, abs=1e-6)


def rows_hold(result):
    for parts in result.cells.values():
        truth, *judged = parts.values()
        assert truth.prediction is None and truth.doc is None
        for part in judged:
            np.testing.assert_array_equal(part.image, truth.image)
            np.testing.assert_array_equal(part.truth, truth.truth)
            assert part.prediction.shape == part.distance.shape == part.image.shape
            wrong = scan_panels.paint(part, "only mistakes")[..., 3] > 0
            np.testing.assert_array_equal(wrong, part.prediction != part.truth)


def selection_holds(result):
    if result.view == "hardest images":
        return
    if result.view == "by class":
        each = np.array([row[1:] for row in selection.counts(result)])
        assert (each[:, 2] <= each[:, 1]).all() and each[:, 0].sum() == each[:, 1].sum() == result.truth.numel()
        return
    judged, (low, high, top, _) = result.judged, result.rule
    mask, s = judged.chosen.mask, judged.chosen.scores
    counts = {name: share.number for name, share in judged.shares.items()}
    assert counts["high"] + counts["band"] + counts["low"] == s.numel() == judged.right.numel()
    assert all(0 <= share.percent <= 100 for share in judged.shares.values() if share.number)
    assert counts["near"] == counts["sure"] == counts["chance"] <= counts["band"]
    assert not mask[s <= low].any() and mask[s > high].all()
    band = (s > low) & (s <= high)
    assert int((band & mask).sum()) == counts["near"] and ((band & mask).sum(1) <= top).all()
    assert not (judged.sure & ~band).any() and (judged.sure.sum(1) == (band & mask).sum(1)).all()
    assert 0 <= judged.others <= counts["near"] and 0 <= result.batch < len(s)


def sheet_holds(result):
    assert [len(pictures) for pictures in result.pictures] == np.minimum(result.counts, skin_panels.COLUMNS).tolist()


def views_hold(result):
    pictures = result.pictures
    assert pictures.shape[:2] == (2, skin_panels.VIEWS + 1) and pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures[0, 0], pictures[1, 0])


def curves_hold(result):
    for lines in (result.losses, result.scores, result.counts):
        for line in lines:
            assert len(line.x) == len(line.y) <= lines_of.POINTS
            assert (np.diff(line.x) > 0).all() and np.isfinite(line.y).all()


CASES = ["scans", "volumes", "rows", "selection", "sheet", "views", "curves", "skin curves"]


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """A panel that the tests of it share, what must hold of every result, and a way to make it."""
    get = request.getfixturevalue
    make, holds = {
        "scans": lambda: (lambda: volumes.volumes(get("scans").learner.data), volumes_hold),
        "volumes": lambda: (lambda: volumes.volumes(get("scans")), volumes_hold),
        "rows": lambda: (lambda: volumes.volumes(one=get("scans"), two=get("scans"), view="axial"), volumes_hold),
        "selection": lambda: (lambda: selection.panel(get("spread")), selection_holds),
        "sheet": lambda: (lambda: skin_panels.sheet(get("lesions").learner.data), sheet_holds),
        "views": lambda: (lambda: skin_panels.views(get("lesions").learner.data), views_hold),
        "curves": lambda: (lambda: scan_panels.panel(one=get("scans"), two=get("scans")), curves_hold),
        "skin curves": lambda: (lambda: skin_panels.panel(one=get("lesions")), curves_hold),
    }[request.param]()
    return make(), holds, make


def test_every_control_works_at_both_ends_and_in_the_middle(case):
    panel, holds, _ = case
    assert panel.image.value.startswith("<svg")  # before anything is touched
    holds(panel.result)
    move_every_control(panel, holds)


def test_labels_and_words(case):
    panel, *_ = case
    assert all(control.description for control in panel.controls.values())
    assert len(panel.words) > 20 and len(panel.numbers) >= 1
    assert panel._repr_mimebundle_()["image/svg+xml"] == panel.image.value


def test_a_picture_comes_back_from_its_file(case, tmp_path):
    panel, _, make = case
    with unseen():
        other = make()
        for control in panel.controls.values():
            control.value = ends(control)[1]
    panel.refresh()
    panel.save(tmp_path / "state.json")
    other.load(tmp_path / "state.json")
    assert other.state == panel.state and other.image.value == panel.image.value


@pytest.mark.parametrize("height", [0, 33, 100])
def test_a_slice_is_that_of_the_prediction_and_its_prices_are_those_of_a_solver(scans, height):
    part = volumes.volumes(scans, z=float(height)).result.cells["mr"]["axial"]
    case = case_of(scans.learner.data, part.case)
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
    panel = volumes.volumes(run)
    before = panel.result.cells["ct"]["axial"].distance
    next(run)
    panel.refresh()
    assert np.abs(panel.result.cells["ct"]["axial"].distance - before).max() > 0


def test_the_outline_has_the_length_of_the_border():
    labels = np.zeros((6, 6), dtype=int)
    labels[2:4, 1:5] = 1
    labels[2:4, 3:5] = 2
    line = scan_panels.border(labels).reshape(-1, 3, 2)
    sides = (line[:, 1] - line[:, 0]).tolist()
    assert sorted(sides) == [[0, 2]] * 3 + [[4, 0]] * 2 and np.isnan(line[:, 2]).all()  # around both, and between them
    assert line[:, :2].min((0, 1)).tolist() == [0.5, 1.5] and line[:, :2].max((0, 1)).tolist() == [4.5, 3.5]


@pytest.mark.parametrize("plane", scan_panels.PLANES)
def test_a_voxel_is_drawn_to_scale_in_every_plane(scans, plane):
    result = volumes.volumes(one=scans, view=plane).result
    for parts in result.cells.values():
        parts.update({name: part._replace(spacing=(8.0, 1.5)) for name, part in parts.items()})
    card = Card(*volumes.size({"truth", "one"}))
    volumes.draw(card, result)
    svg = card.svg()
    for key, part in volumes.slices(result):
        origin, aside, down = card.planes[key].at([0, 1.5, 0], [0, 0, 8.0])
        wide, high = (aside - origin)[0], (down - origin)[1]
        assert wide / high == pytest.approx(1.5 / 8.0)
        (image,), (H, W) = marks(svg, f"{key} image"), part.image.shape
        written = [float(image.width), float(image.height)]
        assert written == pytest.approx([W * wide, H * high], abs=0.051)  # one decimal is written


def test_planes_have_the_head_above_and_the_patients_left_on_the_right():
    volume = np.zeros((3, 4, 5))
    volume[-1, 0, -1] = 1  # the top, in front, on the left
    assert scan_panels.cut(volume, 0, 2)[0, -1] == 1
    assert scan_panels.cut(volume, 1, 0)[0, -1] == 1
    assert scan_panels.cut(volume, 2, 4)[0, 0] == 1  # from the side: in front is on the left


def test_the_overlaps_of_a_case_and_of_a_slice_are_those_of_a_count(scans):
    panel = volumes.volumes(run=scans, view="axial", z=40)
    for modality, parts in panel.result.cells.items():
        part, case = parts["run"], case_of(scans.learner.data, parts["run"].case)
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
    panel = volumes.volumes(one=scans, two=scans.fork(), view="axial")
    for y in (0, 60, 100):
        panel.set(y=y, view="coronal")
    panel.set(view="CT in 3D")
    assert sorted(asked) == sorted([panel.state["ct"], panel.state["mr"]] * 2)


def test_runs_on_other_data_are_not_compared(scans, abdomen):
    other = short(segmentation, "joint", abdomen, steps=1, size=(40, 40))
    with pytest.raises(BadInput, match="runs: expected the same prepared data, found .* of a, .* of b"):
        volumes.volumes(a=scans, b=other)
    with pytest.raises(BadInput, match="runs: expected at most 4, found 5"):
        volumes.volumes(**dict.fromkeys("abcde", scans))
    with pytest.raises(BadInput, match="expected controls among"):
        volumes.volumes(a=scans, hight=3)
    for source, runs in ((None, {}), (scans.learner.data, {"a": scans})):
        with pytest.raises(BadInput, match="source, runs: expected either"):
            volumes.volumes(source, **runs)


LOOSE = {"tau_low": 0.4, "tau_high": 0.6, "top": 16}


@pytest.fixture(scope="module")
def spread():
    """Made-up answers of every confidence, 6 batches of 36, that are right about as often as they are sure."""
    rng = np.random.default_rng(0)
    o = torch.tensor(rng.dirichlet(np.full(7, 0.4), (6, 36)))
    s, labels = o.max(-1)
    truth = torch.where(torch.tensor(rng.random((6, 36))) < s, labels, (labels + 1) % 7)
    ground = torch.tensor(rng.uniform(0.1, 0.9, (7, 7)))
    held = ("one",), o[:1, :9].numpy(), truth[0, :9].numpy(), np.zeros((9, 4, 4, 3), np.uint8), tuple("abcdefghi")
    frequent = np.array([0.1, 0.5, 0.1, 0.1, 0.1, 0.05, 0.05])
    return selection.Frozen(o, truth, (ground + ground.T).fill_diagonal_(0) / 2, *held, frequent)


@pytest.mark.parametrize("adjusted", [False, True])
def test_what_becomes_of_each_class(spread, adjusted):
    panel = selection.panel(spread, "by class", **LOOSE, adjusted=adjusted)
    by = spread.frequent if adjusted else np.ones(7)
    o, scores = spread.o / torch.from_numpy(by), spread.scores[0] / by
    o, scores = o / o.sum(-1, keepdim=True), scores / scores.sum(-1, keepdims=True)
    chosen = [select(each, spread.ground, 0.4, 0.6, 16) for each in o]
    labels, taught = torch.stack([c.labels for c in chosen]), torch.stack([c.mask for c in chosen])
    few, many, lost = [], [], []
    for k, (name, *row) in enumerate(selection.counts(panel.result)):
        images, answers, teach = ((spread.truth == k).sum(), (labels == k).sum(), ((labels == k) & taught).sum())
        assert row == [images, answers, teach] and name == classification.CLASSES[k]
        few += [name] * bool(teach < images / 4)
        many += [name] * bool(answers > 1.25 * images)
        mine = spread.labels == k
        part = panel.result.found[0][0, k]
        assert part == pytest.approx(100 * (scores[mine].argmax(1) == k).mean()) if mine.any() else np.isnan(part)
        lost += [name] * bool(part == 0)
    right = scores.argmax(1) == spread.labels
    f1 = 100 * f1_score(spread.labels, scores.argmax(1), average="macro", labels=range(7), zero_division=0)
    assert panel.numbers == {"F1 (%)": f"one {f1:.1f}", "top-1 (%)": f"one {100 * right.mean():.1f}"}
    told = {"says {} too often": many, "a quarter of the images: {}.": few, "one finds no {}.": lost}
    for words, names in told.items():
        assert (words.format(", ".join(names)) in panel.words) == bool(names)


@pytest.mark.parametrize("state", [{}, LOOSE, {"top": 1, "ground": "fixed"}])
def test_who_is_chosen_is_what_select_says(spread, state):
    frozen, panel = spread, selection.panel(spread, **state)
    s = panel.state
    G = frozen.ground if s["ground"] == "learned" else fixed_ground_distance(7, dtype=torch.float64)
    masks = [select(o, G, s["tau_low"], s["tau_high"], s["top"]).mask for o in frozen.o]
    right = frozen.o.argmax(-1) == frozen.truth
    for batch, mask in enumerate(masks):
        panel.set(batch=batch + 1)
        assert torch.equal(panel.result.judged.chosen.mask[batch], mask)
        _, *drawn = (
            mark.d.count("M") for mark in marks(panel.image.value, "batch points")
        )  # after those of all batches
        good = right[batch]
        assert drawn == [int(each.sum()) for each in (~mask & good, mask & good, mask & ~good)]


def sets_by_hand(spread, tau_low, tau_high, top, ground):
    """{key of ROWS: [(batch, sample), …]} but for "chance": with plain sorting, the distances by a solver."""
    G = spread.ground.double().numpy() if ground == "learned" else 1.0 - np.eye(7)
    sets = {name: [] for name in selection.ROWS if name != "chance"}
    for b, batch in enumerate(spread.o.numpy()):
        s = [float(o.max()) for o in batch]
        d = [ot.emd2(o / o.sum(), np.eye(7)[o.argmax()], G) for o in batch]
        nearest = sorted(range(len(d)), key=d.__getitem__)[:top]
        band = [i for i, value in enumerate(s) if tau_low < value <= tau_high]
        near = [i for i in band if i in nearest]
        sure = sorted(band, key=lambda i: -s[i])[: len(near)]
        high, low = ([i for i, v in enumerate(s) if v > tau_high], [i for i, v in enumerate(s) if v <= tau_low])
        for name, members in {"high": high, "band": band, "near": near, "sure": sure, "low": low}.items():
            sets[name] += [(b, i) for i in members]
    return sets


@pytest.mark.parametrize("ground", ["learned", "fixed"])
def test_the_fair_test_counts_what_plain_sorting_counts(spread, ground):
    rule = {**LOOSE, "ground": ground}
    judged = selection.panel(spread, **rule).result.judged
    sets = sets_by_hand(spread, **rule)
    truth, labels = spread.truth.tolist(), spread.o.argmax(-1).tolist()
    right = {name: sum(labels[b][i] == truth[b][i] for b, i in members) for name, members in sets.items()}
    for name, members in sets.items():
        share = judged.shares[name]
        assert share.number == len(members), name
        if members:
            a = right[name] / len(members)
            assert share.percent == pytest.approx(100 * a)
            assert share.error == pytest.approx(100 * (a * (1 - a) / len(members)) ** 0.5)
    assert {tuple(at) for at in judged.sure.nonzero().tolist()} == set(sets["sure"])
    assert judged.others == len(set(sets["near"]) - set(sets["sure"]))
    assert len(sets["band"]) > len(sets["near"]) > 0, "choose a rule that keeps somebody out"
    assert (judged.others > 0) == (ground == "learned")  # d = 1 − s: the fixed form is confidence


@pytest.mark.parametrize("low, high", [(0.4, 0.6), (0.5, 0.9)])
def test_the_halving_t_is_the_smallest_that_lets_in_half_of_the_band(spread, low, high):
    near, band = [], 0
    for T in range(1, 37):
        chosen = [select(o, spread.ground, low, high, T) for o in spread.o]
        near.append(sum(int((each.low & ~each.high).sum()) for each in chosen))
        band = sum(int((each.confident & ~each.high).sum()) for each in chosen)
    assert selection.halving(spread, low, high) == 1 + next(n for n, each in enumerate(near) if each >= band / 2)
    assert band > 24 and near[0] < band / 2
    assert selection.halving(spread._replace(o=torch.full_like(spread.o, 1 / 7)), low, high) == 24


def test_what_chance_gives_is_what_draws_give(spread):
    judged = selection.judge(spread, **LOOSE, ground="learned")
    sets, rng = sets_by_hand(spread, **LOOSE, ground="learned"), np.random.default_rng(0)
    right = (spread.o.argmax(-1) == spread.truth).numpy()
    draws = np.zeros(4000)
    for b in range(len(spread.o)):
        band = [i for batch, i in sets["band"] if batch == b]
        n = sum(batch == b for batch, _ in sets["near"])
        draws += [right[b, rng.permutation(band)[:n]].sum() if n else 0 for _ in draws]
    number, percent, error = judged.shares["chance"]
    assert number == len(sets["near"])
    assert percent * number / 100 == pytest.approx(draws.mean(), abs=4 * draws.std() / len(draws) ** 0.5)
    assert error * number / 100 == pytest.approx(draws.std(), rel=0.06) and error * number / 100 > 0.5


def test_bars_whiskers_and_words_are_those_of_the_counts(spread):
    panel = selection.panel(spread, **LOOSE)
    judged, svg, planes = panel.result.judged, panel.image.value, panel._card.planes
    level, *whiskers = (places(line)[:, 0] for line in marks(svg, "shares line"))
    _, *bars = marks(svg, "shares rect")  # after the ground of the band
    texts = [mark.text for mark in marks(svg, "shares text")]
    numbers = [pair for pair in zip(texts, texts[1:], strict=False) if "±" in pair[0]]
    zero, _ = planes["shares"].at(0, 0)
    for name, bar, whisker, text in zip(selection.ROWS, bars, whiskers, numbers, strict=True):
        number, percent, error = judged.shares[name]
        wide, *tips = planes["shares"].at([percent, percent - error, percent + error], 0)[:, 0]
        assert float(bar.width) == pytest.approx(wide - zero, abs=0.051)  # one decimal is written
        np.testing.assert_allclose(whisker, tips, atol=0.051)
        assert text == (f"{percent:.1f} ± {error:.1f}", str(number))
    assert level[0] == pytest.approx(planes["shares"].at(judged.shares["chance"].percent, 0)[0], abs=0.051)
    assert f"decides about {judged.shares['band'].number} of {spread.truth.numel()} pseudo-labels" in panel.words
    assert f"{judged.shares['near'].percent:.1f} % are right" in panel.words
    cut = places(marks(svg, "batch line")[-1])[0, 0]
    assert cut == pytest.approx(planes["batch"].at(judged.chosen.scores[0][judged.sure[0]].min(), 0)[0], abs=0.051)


def test_an_empty_band_is_said_and_not_divided_by(spread):
    panel = selection.panel(spread._replace(o=torch.full_like(spread.o, 1 / 7)))
    assert panel.result.judged.shares["near"].number == 0
    texts = [mark.text for mark in marks(panel.image.value, "shares text")]
    assert texts[texts.index(selection.ROWS["near"][1]) + 1] == panel.numbers["let in: right"] == "none"
    assert "nan" not in panel.words + str(panel.numbers)


def test_a_rule_is_judged_once(spread, monkeypatch):
    asked = []
    of = selection.judge
    monkeypatch.setattr(selection, "judge", lambda *rule: asked.append(rule[1:]) or of(*rule))
    panel = selection.panel(spread)
    panel.set(batch=2)
    panel.set(top=3)
    panel.set(top=24, batch=1, view="every cut")
    assert asked == [(0.7, 0.8, 24, "learned"), (0.7, 0.8, 3, "learned")]


def test_thresholds_take_each_other_along_and_never_cross(frozen):
    panel = selection.panel(frozen)
    panel.controls["tau_low"].value = 0.9
    assert panel.state["tau_high"] == pytest.approx(0.92)
    panel.controls["tau_high"].value = 0.5
    assert panel.state["tau_low"] == pytest.approx(0.48)


def test_freezing_repeats_itself_and_leaves_the_run_as_it_was(lesions, frozen):
    before = {name: value.clone() for name, value in lesions.learner.state_dict().items()}
    again = selection.freeze(lesions, batches=4)
    assert torch.equal(again.o, frozen.o) and torch.equal(again.truth, frozen.truth)
    assert all(torch.equal(value, before[name]) for name, value in lesions.learner.state_dict().items())
    assert torch.allclose(frozen.o.sum(-1), torch.ones((), dtype=torch.float64), atol=1e-9, rtol=0)


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
    shown = skin_panels.views(data).result.pictures
    made = weak(data.images[[0] * skin_panels.VIEWS], data.size, generator(0, "weak"))
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    expected = (255 * (made * std + mean).clamp(0, 1)).round().byte().permute(0, 2, 3, 1)
    np.testing.assert_array_equal(shown[0, 1:], expected.numpy())
    assert len({view.tobytes() for view in shown[1, 1:]}) > 1


def test_curves_are_the_history(scans):
    run = scans.fork(steps=6)
    curves = scan_panels.panel(run=run)
    curves.go(4)
    curves.go(3)  # as a cell that is run again
    assert run.number == 4
    curves.go()
    curves.set(smooth=1, show="ce")
    assert run.number == 6 == len(run.history)
    (line,) = curves.result.losses
    assert line.x.tolist() == [row["step"] for row in run.history]
    np.testing.assert_array_equal(line.y, [row["ce"] for row in run.history])
    assert curves.result.scores[0].y.tolist() == [row["doc"] for row in run.evaluations]
    torch.testing.assert_close(torch.tensor(curves.result.ground), run.learner.bank.ground_distance())


AXES = [([81.3, 84], (80, 92)), ([0, 100], (0, 102)), ([50], (50, 62)), ([], (0, 102))]


def drawn(values, changes=()):
    """The plane of four equal curves of percent over ten steps, and its texts."""
    card, y = Card(9, 3), np.array(values, dtype=float)
    lines = [lines_of.Line(f"run {n}", np.arange(1.0, len(y) + 1), y, n) for n in range(4 * (len(y) > 0))]
    lines_of.draw_curves(card, "scores", [0.1, 0.2, 0.4, 0.6], lines, (0, 10), limits=(0, 102), changes=changes)
    return card.planes["scores"], marks(card.svg(), "scores text")


@pytest.mark.parametrize("values, ends", AXES)
def test_an_axis_holds_its_values_and_labels_lie_apart(values, ends):
    plane, texts = drawn(values)
    assert plane._look["ylim"] == pytest.approx(ends)
    assert max(plane._look["xticks"]) <= 10 < plane._look["xlim"][1]  # no step is marked after the last one
    heights = sorted(float(text.y) for text in texts)
    assert all(np.diff(heights) >= 12.9) and all(60 < height < 245 for height in heights)


def test_every_change_is_named_above_all_curves():
    words = ["λ .5", "α .3, τ_low .6", "learning rate 2e-05"]
    plane, texts = drawn([80, 100], list(zip((3, 4, 9), words, strict=True)))
    named = [text for text in texts if not text.text.startswith("run")]
    assert [text.text for text in named] == words
    assert all(float(text.y) < plane.at(0, 100)[1] for text in named)
    assert [float(text.x) for text in named] == pytest.approx(plane.at([3, 4, 9], 0)[:, 0], abs=0.051)


def test_a_zoomed_curve_has_the_steps_and_the_axis_of_its_window(scans):
    run = scans.fork(steps=24).finish(False)
    curves = scan_panels.panel(run=run)
    curves.set(show="ce", smooth=3, zoom=4, at=50)
    (line,) = curves.result.losses
    assert curves.result.window == (9, 15) and line.x.tolist() == [*range(9, 16)]
    np.testing.assert_allclose(line.y, [np.mean([r["ce"] for r in run.history[n - 3 : n]]) for n in range(9, 16)])
    axis = curves._card.planes["losses"]._look["xlim"]
    curves.set(smooth=10, measure="DOC of CT")
    assert curves._card.planes["losses"]._look["xlim"] == axis == pytest.approx((9, 9 + 1.36 * 6))
    curves.set(at=100)
    assert curves.result.window == (18, 24)


def test_runs_of_different_profiles_say_theirs_and_equal_ones_do_not(scans):
    one, two = scans.fork(), scans.fork()
    curves = scan_panels.panel(one=one, two=two)
    assert [line.label for line in curves.result.scores] == ["one", "two"]
    two.settings.profile = "laptop"
    curves.refresh()
    assert [line.label for line in curves.result.scores] == ["one (ci)", "two (laptop)"]
    curves.set(show="dice")
    assert [line.label for line in curves.result.losses] == ["one (ci)", "two (laptop)"]


def test_the_slider_sets_lambda_of_the_chosen_run_and_a_change_is_marked(scans):
    one, two = scans.fork(steps=8, weight=1.0), scans.fork(steps=8, weight=3.0)
    curves = scan_panels.panel(one=one)
    curves.go(3)
    curves.controls["weight"].value = 0.25
    assert one.settings.weight == 0.25
    curves.go(5)
    assert curves.result.changes == [(3, "steps 8"), (4, "λ .25")]  # a fork has changed its own
    curves.add("two", two)
    assert curves.state["run"] == "two" and curves.state["weight"] == 3.0
    assert (one.settings.weight, two.settings.weight) == (0.25, 3.0)
    two.settings.weight = 9.0  # beyond the slider
    curves.go(3)
    assert two.settings.weight == 9.0 and two.number == 3


def test_a_run_that_has_diverged_does_not_close_the_picture_for_others(scans):
    good, bad = scans.fork(), scans.fork()
    [*bad.learner.parameters()][-1].data.fill_(np.nan)
    next(bad)
    panel = scan_panels.panel(bad=bad, good=good)
    panel.go(good.number + 1, run="good")
    assert not panel.error.value and panel.result.done == (good.number, len(good))
    assert panel.result.losses[0].x[-1] == good.number


def test_a_fork_shares_the_curves_of_its_beginning(scans):
    run = scans.fork(steps=8, weight=1.0)
    curves = scan_panels.panel(run=run)
    curves.go(4)
    curves.add("fork", run.fork(weight=0.0))
    curves.go(5)
    curves.set(show="dice", smooth=1)
    run_line, fork_line = curves.result.losses
    np.testing.assert_array_equal(fork_line.y[:-1], run_line.y)
    assert curves.result.changes == [(3, "steps 8"), (5, "λ 0")]


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


def test_counts_are_parts_of_the_unlabelled(skin):
    run = short(classification, "filter_all", skin, steps=3)
    curves = skin_panels.panel(run=run)
    curves.go()
    curves.set(smooth=1)
    kept = curves.result.counts[0]
    assert kept.label == "kept" and kept.y.tolist() == [1.0, 1.0, 1.0]
    counts = {line.label: line.y.tolist() for line in curves.result.counts}
    rows = {name: [row[name] / 36 for row in run.history] for name in ("kept_right", "band", "near")}
    assert (counts["kept, right"], counts["band"], counts["near"]) == tuple(rows.values())


def test_a_count_can_be_compared_and_a_figure_that_chooses_weights_is_that_of_validation(skin):
    run, other = (short(classification, "i2pemd", skin, steps=2, seed=seed) for seed in (0, 1))
    curves = skin_panels.panel(run=run.finish(False), other=other.finish(False))
    curves.set(show="band", smooth=1)
    for line, each in zip(curves.result.losses, (run, other), strict=True):
        assert line.y.tolist() == [row["band"] for row in each.history]
    assert curves.result.title == "band of the unlabelled in a step" and len(run.learner.val)
    assert curves.numbers["Validation AUC, run"] == f"{run.evaluations[-1]['auc']:.1f}"
    for each in (run, other):
        assert "Validation AUC, run" in curves.numbers  # one title, whichever run is chosen
        del each.evaluations[-1]["selection"]  # as of data with no validation part
        curves.refresh()
    assert "AUC, run" in curves.numbers


@pytest.fixture(scope="module")
def twelve(skin):
    """A run of every method, two steps old."""
    methods = classification.METHODS
    return {m: short(classification, m, skin, steps=2, ua_passes=2).finish(False) for m in methods}


def test_every_method_has_the_lines_of_its_own_terms(twelve):
    columns = {column for run in twelve.values() for column in run.history[0]}
    counted = {name + end for name in bands.SETS for end in ("", "_right")}  # UA-MT too has a "sure"
    assert columns - counted - {"step", "learning_rate", "loss"} == set(skin_panels.TERMS)
    assert columns >= set(skin_panels.COUNTS)
    curves = skin_panels.panel(**twelve)
    for name, run in twelve.items():
        curves.set(run=name)
        found = curves.result
        losses, counts = ({line.label: line.y for line in part if len(line.y)} for part in (found.losses, found.counts))
        own = [term for term in skin_panels.TERMS if term in run.history[0]]
        assert list(losses) == own and "labelled" in own
        assert len(counts) == len(skin_panels.COUNTS) * ("kept" in run.history[0])
        for term in own:
            assert losses[term][-1] == pytest.approx(np.mean([row[term] for row in run.history]))


def test_of_twelve_runs_four_are_drawn_as_chosen(twelve, tmp_path):
    curves = skin_panels.panel(**twelve)
    assert curves.result.names == ["upper_bound", "filter_all", "i2pemd_fix", "i2pemd"]

    def up_to_four(result):
        curves_hold(result)
        assert 1 <= len(result.names) <= 4 and curves.state["run"] in result.names

    move_every_control(curves, up_to_four)
    curves.set(run="vat", show="labelled", beside="baseline")
    assert [line.label for line in curves.result.losses] == curves.result.names == ["baseline", "vat"]
    assert [line.heavy for line in curves.result.losses] == [False, True]
    curves.set(beside="vat")
    assert curves.result.names == ["vat"]
    curves.save(tmp_path / "state.json")
    other = skin_panels.panel(**twelve)
    other.load(tmp_path / "state.json")
    assert other.state == curves.state and other.image.value == curves.image.value


def test_a_fork_joins_twelve_runs(twelve):
    curves = skin_panels.panel(**twelve)
    curves.add("fork", twelve["vat"].fork())
    assert curves.result.names == ["filter_all", "i2pemd_fix", "i2pemd", "fork"]
    curves.set(run="vat", beside="fork")
    assert curves.result.names == ["vat", "fork"] and len(curves.runs) == 13


def test_lambda_is_shown_of_a_run_whose_method_reads_it_and_one_run_is_no_list(twelve):
    curves = skin_panels.panel(baseline=twelve["baseline"])
    run = curves.controls["run"]
    assert "weight" not in curves.shown and run.disabled and "i2pemd-said" in run._dom_classes
    curves.add("ours", twelve["i2pemd"])
    assert "weight" in curves.shown and not run.disabled and "i2pemd-said" not in run._dom_classes


def test_no_run_is_told():
    with pytest.raises(BadInput, match="runs: expected at least one"):
        scan_panels.panel()


def test_a_moving_mean_is_a_mean():
    y = np.random.default_rng(0).normal(size=20)
    by_hand = [y[max(0, i - 6) : i + 1].mean() for i in range(20)]
    steps, means = lines_of.column([{"step": n, "ce": value} for n, value in enumerate(y, 1)], "ce", 7)
    np.testing.assert_array_equal(steps, range(1, 21))
    np.testing.assert_allclose(means, by_hand, atol=1e-12, rtol=0)


def test_fewer_unlabelled_images_than_a_batch_are_frozen_all_the_same(lesions):
    run = classification.train("baseline", lesions.learner.data, profile="ci", steps=1)
    run.learner.unlabelled = run.learner.unlabelled[:14]
    frozen = selection.freeze(run, batches=3)
    assert frozen.o.shape == (3, 14, 7) and frozen.truth.shape == (3, 14)
