"""The synthetic lesions: repeatable, in ISIC's layout, long-tailed, alike within a lesion, and not solved by colour."""

import numpy as np
import pytest

from i2pemd_lite.classification import synthetic
from i2pemd_lite.classification.data import CLASSES, load
from i2pemd_lite.files import BadInput


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("skin")
    return folder, synthetic.make(folder, images=120, seed=1, progress=False)


def test_the_set_is_read_back_by_the_reader(made):
    folder, isic = made
    data = load(folder)
    plan = synthetic.plan(120, 1)
    assert data.name == "synthetic" and data.folder == isic
    assert data.labels.tolist() == plan[:, 0].tolist()
    assert [int(name[4:]) for name in data.lesions] == plan[:, 1].tolist()
    assert len(data.test_ids) == 12 and not set(data.test_ids) & set(data.ids)
    labelled, test = data.pictures.open(data.ids[0]), data.test_pictures.open(data.test_ids[11])
    assert labelled.size == (synthetic.WIDTH, synthetic.HEIGHT) == test.size
    size = sum(path.stat().st_size for path in isic.rglob("*"))
    assert size < 132 * 5000  # 1650 images stay below 8 MB


def test_it_is_made_once_and_made_again_for_other_settings(made, tmp_path):
    folder, isic = made
    stamp = (isic / "synthetic.json").stat().st_mtime_ns
    assert synthetic.make(folder, images=120, seed=1) == isic
    assert (isic / "synthetic.json").stat().st_mtime_ns == stamp
    other = synthetic.make(tmp_path, images=60, seed=1, progress=False)
    first = (other / "ISIC2018_Task3_Training_Input" / "SYN_0000000.jpg").read_bytes()
    synthetic.make(tmp_path, images=60, seed=2, progress=False)
    assert (other / "ISIC2018_Task3_Training_Input" / "SYN_0000000.jpg").read_bytes() != first
    synthetic.make(tmp_path, images=60, seed=1, progress=False)
    assert (other / "ISIC2018_Task3_Training_Input" / "SYN_0000000.jpg").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["isic2018"]


def test_test_images_show_other_lesions(tmp_path, monkeypatch):
    drawn, whole = [], synthetic.Lesion
    monkeypatch.setattr(synthetic, "Lesion", lambda name, seed: drawn.append(tuple(seed)) or whole(name, seed))
    synthetic.make(tmp_path, images=60, progress=False)
    training = len(synthetic.plan(60))
    assert len(drawn) == training + 6 and not set(drawn[:training]) & set(drawn[training:])


def test_what_is_not_ours_is_left_alone_and_a_failure_leaves_nothing(tmp_path, monkeypatch):
    mine = tmp_path / "isic2018" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(BadInput, match="other files"):
        synthetic.make(tmp_path, images=60)
    assert mine.read_text() == "mine"
    with pytest.raises(BadInput, match="at least 56"):
        synthetic.make(tmp_path / "few", images=20)
    monkeypatch.setattr(synthetic, "draw", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        synthetic.make(tmp_path / "new", images=60, progress=False)
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize("images", [56, 400, 1500])
def test_the_plan_has_isics_shares_and_several_views_of_a_lesion(images):
    plan = synthetic.plan(images)
    count = np.bincount(plan[:, 0], minlength=7)
    expected = np.maximum(images * synthetic.FREQUENCY / 10015, 8)
    assert synthetic.FREQUENCY.sum() == 10015 and np.abs(count - expected).max() <= 0.5
    if images >= 400:
        views = np.bincount(plan[:, 1])
        assert views.min() == 1 and views.max() <= 4 and 1.25 < views.mean() < 1.55  # 10015 / 7470 = 1.34 in ISIC
    assert all(len(np.unique(plan[plan[:, 1] == lesion, 0])) == 1 for lesion in np.unique(plan[:, 1]))
    assert (np.diff(plan[:, 0]) < 0).sum() > images / 10  # shuffled: names do not tell the class


def small(image):
    return np.asarray(image.resize((16, 12)), float)


def test_views_of_one_lesion_are_alike_and_not_the_same():
    """Features of a lesion are shared by its views; everything that moves them is the view's."""
    rng = np.random.default_rng(0)
    pigment = []
    for i in range(30):
        lesion = synthetic.Lesion("NV", i)
        views = [synthetic.draw(lesion, rng) for _ in range(2)]
        assert np.abs(small(views[0]) - small(views[1])).mean() > 2
        pigment.append([np.ptp(np.percentile(np.asarray(view)[18:54, 24:72], [10, 90])) for view in views])
    within, between = np.diff(pigment, axis=1).std(), np.std(pigment, axis=0).mean()
    assert within < between


def test_a_seed_repeats():
    first, again = (np.asarray(synthetic.draw(synthetic.Lesion("BCC", 5), np.random.default_rng(6))) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, np.asarray(synthetic.draw(synthetic.Lesion("BCC", 5), np.random.default_rng(7))))


def test_waves_are_the_sum_they_stand_for():
    field = synthetic.Waves(np.random.default_rng(0), 9.0)
    place = np.array([[0.9, -0.3, 4.0], [0.2, 1.1, -7.0]])
    values = field(place)
    assert values.shape == (synthetic.HEIGHT, synthetic.WIDTH)
    for row, column in ((0, 0), (71, 95), (30, 11)):
        at = place @ (column, row, 1)
        expected = np.sqrt(2 / 10) * np.cos(field.k @ at + field.phase).sum()
        assert abs(values[row, column] - expected) < 1e-9  # float64
    fields = np.stack([synthetic.Waves(np.random.default_rng(i), 9.0)(place) for i in range(60)])
    assert abs(fields.var() - 1) < 0.1 and abs(fields.mean()) < 0.05


def test_signs_show_in_the_picture():
    """Each feature, raised from 0 to 1 alone in the same view, changes the picture."""
    lesion = synthetic.Lesion("NV", 3)
    lesion.radius = 25
    lesion.features = dict.fromkeys(synthetic.FEATURES, 0.3)
    for name in synthetic.FEATURES:
        pictures = []
        for value in (0.0, 1.0):
            lesion.features[name] = value
            pictures.append(np.asarray(synthetic.draw(lesion, np.random.default_rng(0)), float))
        lesion.features[name] = 0.3
        change = np.abs(pictures[0] - pictures[1])
        assert (change.max(-1) > 20).mean() > 0.004, name


def test_colour_alone_does_not_tell_the_classes():
    """A linear classifier on colour histograms, on balanced classes: above chance (1 in 7), far from solved."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    rng = np.random.default_rng(0)
    histograms, labels = [], []
    for k, name in enumerate(CLASSES):
        for i in range(40):
            image = np.asarray(synthetic.draw(synthetic.Lesion(name, [k, i]), rng))[12:60, 16:80] // 43
            flat = image[..., 0].astype(int) * 36 + image[..., 1] * 6 + image[..., 2]
            histograms.append(np.sqrt(np.bincount(flat.ravel(), minlength=216) / flat.size))
            labels.append(k)
    score = cross_val_score(LogisticRegression(C=10, max_iter=300), np.array(histograms), labels, cv=4).mean()
    assert 0.2 < score < 0.6, score
