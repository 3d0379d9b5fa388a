"""Classification from data to scores: every method, what it selects, evaluation, prediction, errors."""

import csv
import math
import re
import zipfile
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score

from i2pemd_lite import BadInput, classification
from i2pemd_lite.classification import CLASSES, METHODS
from i2pemd_lite.classification.methods.bands import SETS
from i2pemd_lite.classification.methods.pseudo import SELECTIONS
from i2pemd_lite.classification.report import read_scores, save_scores
from i2pemd_lite.classification.settings import SIZES
from i2pemd_lite.metrics import classification_metrics
from i2pemd_lite.runs import brought

SMALL = {"profile": "ci", "steps": 2, "evaluate_every": 2}


@pytest.fixture(scope="module")
def data(skin):
    return classification.load(skin)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "ours"
    return classification.train("i2pemd", data, folder=folder, profile="ci").finish(False)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains(method, data):
    run = classification.train(method, data, **SMALL)
    before = [p.detach().clone() for p in run.parameters]
    steps = list(run)
    assert all(math.isfinite(float(value)) for step in steps for value in step.losses.values())
    assert all(not torch.equal(a, b) for a, b in zip(before, run.parameters, strict=True))
    assert ("kept" in steps[0].losses) == (METHODS[method].selection is not None)
    assert 0 <= steps[-1].evaluation["auc"] <= 100


def test_only_the_upper_bound_sees_every_label(data):
    learners = {m: classification.train(m, data, **SMALL).learner for m in ("upper_bound", "baseline")}
    assert len(learners["upper_bound"].labelled) == len(learners["baseline"].labelled) + len(
        learners["baseline"].unlabelled
    )


def test_what_each_method_selects():
    o = torch.tensor([[0.97, 0.01, 0.02], [0.75, 0.05, 0.2], [0.75, 0.2, 0.05], [0.5, 0.3, 0.2]])
    G = torch.tensor([[0, 0.2, 0.6], [0.2, 0, 0.5], [0.6, 0.5, 0]])
    s = classification.ClassificationSettings(top=2, unlabelled=4)
    memory, members = torch.full((4,), -1), torch.arange(4)
    chosen = {name: rule(o, G, s, memory, members).mask.tolist() for name, rule in SELECTIONS.items()}
    assert chosen["all"] == [True] * 4
    assert chosen["threshold"] == [True, False, False, False]
    # Equally confident; the rest of the third lies on a near class, that of the second on a far one.
    assert chosen["learned"] == [True, False, True, False]
    assert chosen["fixed"][0] and sum(chosen["fixed"]) == 2


def test_fixmatch_is_the_method_without_its_lower_threshold(data):
    """τ_low next to τ_high leaves the distance nothing to decide: every number is that of FixMatch."""
    fixmatch = classification.train("fixmatch", data, profile="ci", steps=6).finish(False)
    ours = classification.train("i2pemd", data, profile="ci", steps=6, tau_low=math.nextafter(0.8, 0)).finish(False)
    assert [row["loss"] for row in ours.history] == [row["loss"] for row in fixmatch.history]


def test_the_unlabelled_loss_is_divided_by_all_of_them(data):
    run = classification.train("filter_all", data, **SMALL)
    learner = run.learner
    learner.train()
    torch.manual_seed(0)
    found = learner.losses(1)
    assert found["kept"] == 36 and found["loss"].item() == pytest.approx(
        (found["labelled"] + found["unlabelled"]).item(), abs=1e-6
    )
    strict = classification.train("fixmatch", data, **SMALL, tau_high=1.0).learner.train()
    assert strict.losses(1)["unlabelled"] == 0


def test_counts_of_a_selection_add_up(trained):
    for row in trained.history:
        assert row["high"] + row["band"] + row["low"] == 36
        assert row["kept"] == row["high"] + row["near"]  # Eq. 18
        assert row["sure"] == row["near"] <= row["band"]
        assert all(0 <= row[f"{name}_right"] <= row[name] for name in SETS)


def test_the_prototypes_start_with_every_labelled_image(data):
    run = classification.train("i2pemd", data, **SMALL)
    assert next(run).ground.gt(0).any() and run.learner.bank.seen.all()


def test_evaluation_is_on_images_that_no_step_saw(trained):
    learner = trained.learner
    parts = [set(part.tolist()) for part in (learner.labelled, learner.unlabelled, learner.val, learner.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    report = classification.evaluate(trained)
    with trained.best_weights(), learner.evaluating():
        scores = learner.probabilities(learner.test).numpy()
    y = learner.data.labels[learner.test].numpy()
    assert report.figures["top1"] == pytest.approx(100 * accuracy_score(y, scores.argmax(1)))
    assert report.about["held back"] == len(learner.test)


def test_metrics_against_scikit_learn():
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=300)
    scores = rng.dirichlet(np.ones(4), size=300) + 0.3 * np.eye(4)[y]
    found, decided = classification_metrics(scores, y), scores.argmax(1)
    binary = [(y == k, decided == k) for k in range(4)]
    expected = {
        "auc": np.mean([roc_auc_score(y == k, scores[:, k]) for k in range(4)]),
        "sensitivity": np.mean([recall_score(a, b) for a, b in binary]),
        "specificity": np.mean([recall_score(~a, ~b) for a, b in binary]),
        "accuracy": np.mean([accuracy_score(a, b) for a, b in binary]),
        "f1": f1_score(y, decided, average="macro"),
        "top1": accuracy_score(y, decided),
    }
    assert found == pytest.approx(expected, abs=1e-12)


def test_v19():
    y = [0, 0, 1, 1, 1, 2]
    s = [[0.7, 0.2, 0.1], [0.3, 0.5, 0.2], [0.1, 0.8, 0.1], [0.15, 0.65, 0.2], [0.45, 0.35, 0.2], [0.2, 0.2, 0.6]]
    argmax = {"accuracy": 0.777778, "sensitivity": 0.722222, "specificity": 0.805556, "f1": 0.722222, "top1": 0.666667}
    found = classification_metrics(s, y)
    assert {name: found[name] for name in argmax} == pytest.approx(argmax, abs=5e-7)
    assert found["auc"] == pytest.approx(0.921296, abs=5e-7)
    threshold = {"accuracy": 0.555556, "sensitivity": 1, "specificity": 0.3, "f1": 0.577778}
    found = classification_metrics(s, y, decision=0.18)
    assert {name: found[name] for name in threshold} == pytest.approx(threshold, abs=5e-7)
    with pytest.raises(BadInput, match="decision"):
        classification_metrics(s, y, decision="best")
    with pytest.raises(BadInput, match="finite"):
        classification_metrics([[math.nan, 1.0]], [0])


def test_prediction_is_a_table_in_the_format_of_isic(trained, data, tmp_path):
    path = classification.predict(trained, out=tmp_path / "skin.csv")
    with open(path, newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == ["image", *CLASSES] == ["image", "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
    assert [row[0] for row in rows] == list(data.test_ids)
    assert all(sum(map(float, row[1:])) == pytest.approx(1, abs=1e-5) for row in rows)


def test_saturated_scores_are_kept_to_the_last_digit(tmp_path):
    """Scores that a table rounds to 0 would tie, and AUC with them."""
    scores = torch.randn(200, 7, generator=torch.Generator().manual_seed(0)).mul(12).softmax(1).numpy()
    truth = np.arange(200) % 7
    assert (scores < 5e-7).mean() > 0.3
    save_scores(tmp_path / "scores.csv", [str(i) for i in range(200)], scores, truth)
    _, labels, again = read_scores(tmp_path / "scores.csv")
    assert (labels == truth).all() and (again.astype(np.float32) == scores).all()


def test_names_of_images_run_in_no_spreadsheet(tmp_path):
    names = ("=HYPERLINK(1)", "'=a", "@b", "-1.5", "-c", "'d")
    save_scores(tmp_path / "scores.csv", names, np.full((6, 7), 0.5), np.arange(6))
    written = [row[0] for row in csv.reader((tmp_path / "scores.csv").read_text().splitlines())]
    assert written == ["image", "'=HYPERLINK(1)", "''=a", "'@b", "-1.5", "'-c", "'d"]
    assert read_scores(tmp_path / "scores.csv")[0] == names
    save_scores(tmp_path / "scores.csv", ["e\udcff"], np.full((1, 7), 0.5))
    assert "e\\udcff" in (tmp_path / "scores.csv").read_text(encoding="utf-8")


def test_a_run_in_a_used_folder_does_not_keep_its_figures(data, tmp_path):
    run = classification.train("baseline", data, folder=tmp_path / "run", **SMALL).finish(False)
    classification.evaluate(run)
    (tmp_path / "run" / "checkpoint.safetensors").unlink()
    next(classification.train("baseline", data, folder=tmp_path / "run", **SMALL))
    assert not (tmp_path / "run" / "report.json").exists() and not (tmp_path / "run" / "scores.csv").exists()


def test_a_run_that_came_with_the_course_is_evaluated_and_stays_as_it_is(trained, monkeypatch):
    run = trained.fork()
    run.folder = Path("nowhere")  # where nothing could be written
    monkeypatch.setattr(brought, "shipped", lambda folder: True)
    assert classification.evaluate(run).figures == classification.evaluate(trained).figures


def test_a_plain_folder_of_images_can_be_predicted(trained, tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("b", "a"):
        pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.jpg")
    path = classification.predict(trained, tmp_path / "images", tmp_path / "scores.csv")
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["image", "a", "b"]


def test_mirror_images_are_answered_together_whichever_side_is_up(trained, tmp_path):
    place = tmp_path / "in"
    place.mkdir()
    shot = PIL.Image.effect_noise((40, 40), 90).convert("RGB")
    for name, image in (("a", shot), ("b", PIL.ImageOps.mirror(shot)), ("c", PIL.ImageOps.flip(shot))):
        image.save(place / f"{name}.png")
    written = [classification.predict(trained, place, tmp_path / f"{n}.csv", mirrored=n) for n in (False, True)]
    once, four = (np.loadtxt(file, delimiter=",", skiprows=1, usecols=range(1, 8)) for file in written)
    assert abs(once[0] - once[1]).max() > 1e-4
    for row in four:
        assert row == pytest.approx(four[0], abs=1e-6) and row.sum() == pytest.approx(1, abs=1e-6)


def test_a_page_shows_each_image_with_its_scores_and_its_nearest_prototype(trained, data, tmp_path):
    table, page = classification.predict(trained, out=tmp_path / "skin.csv", page=True)
    assert (table.name, page.name) == ("skin.csv", "skin.html") and predicted(table) == list(data.test_ids)
    rows = [list(map(float, line.split(",")[1:])) for line in table.read_text().splitlines()[1:]]
    figures, learner = page.read_text().split("<figure>")[1:], trained.learner
    with learner.evaluating():
        (views,) = learner.batches(torch.arange(len(rows)), learner.data.test_images, len(rows))
        features = learner.network(views)[0]
    for figure, row, feature in zip(figures, rows, features, strict=True):
        said = re.findall(r'<th scope="row">(\w+)<td><meter aria-hidden="true" value="(.+?)"', figure)
        best = sorted(range(7), key=row.__getitem__)[:-4:-1]
        assert [name for name, _ in said] == [CLASSES[k] for k in best]
        assert [float(value) for _, value in said] == pytest.approx([row[k] for k in best], abs=1e-3)
        nearest = (feature - learner.bank.prototypes).square().sum(1).argmin()
        assert f"nearest prototype: {CLASSES[nearest]}" in figure and figure.count("data:image/jpeg;base64,") == 1


def test_a_prototype_that_was_never_seen_or_is_not_of_these_features_is_near_nothing(data):
    run = classification.train("mean_teacher", data, **SMALL)
    members = torch.arange(3)
    with run.learner.evaluating():
        assert run.learner.answers(members)[1].isinf().all()
    run = classification.train("baseline", data, **SMALL)
    with run.learner.evaluating():
        assert run.learner.answers(members)[1].isinf().all()
    run.learner.bank.seen[2] = True
    with run.learner.evaluating():
        assert run.learner.answers(members)[1].argmin(1).tolist() == [2] * 3


def test_no_page_has_the_name_of_another(trained, tmp_path):
    for out, page in (("skin.csv", "skin.html"), ("fold.1", "fold.1.html"), ("x.HTML", "x.HTML.html")):
        assert classification.predict(trained, out=tmp_path / out, page=True) == [tmp_path / out, tmp_path / page]


def test_a_page_of_photographs_as_they_come(trained, tmp_path):
    place = photos(tmp_path / "in", ["a<b.jpg", "c.png"])
    exif = PIL.Image.Exif()
    exif[0x112] = 6
    PIL.Image.new("CMYK", (30, 50), (10, 200, 30, 40)).save(place / "d.jpg", exif=exif)
    (place / "e.jpg").write_bytes(b"damaged")
    with pytest.raises(BadInput, match="e.jpg") as told:
        classification.predict(trained, place, tmp_path / "skin.csv", page=True)
    page = (tmp_path / "skin.html").read_text()
    assert told.value.written == [tmp_path / "skin.csv", tmp_path / "skin.html"]
    assert page.count("<figure>") == 3 and "a&lt;b" in page and "a<b" not in page


def photos(place, names):
    """Photographs, each in the folder that its name says."""
    for i, name in enumerate(names):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (30, 40, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(place / name)
    return place


def predicted(path):
    return [line.split(",")[0] for line in path.read_text().splitlines()[1:]]


@pytest.mark.parametrize("how", ["subfolders", "one", ".zip", ".ZIP", "isic"])
def test_images_can_be_predicted_wherever_they_are(trained, tmp_path, capsys, how):
    parts = ["HAM10000_images_part_1/a.jpg", "HAM10000_images_part_2/b.PNG"]
    if how == "isic":
        parts = ["isic2018/ISIC2018_Task3_Test_Input/a.jpg", "isic2018/ISIC2018_Task3_Test_Input/b.png"]
        place = photos(tmp_path / "in", parts)
        training = photos(place / "isic2018/ISIC2018_Task3_Training_Input", [f"t{i}.png" for i in range(7)])
        rows = [f"t{i}," + ",".join(str(int(k == i)) for k in range(7)) for i in range(7)]
        table = training.parent / "ISIC2018_Task3_Training_GroundTruth.csv"
        table.write_text("\n".join(["image,MEL,NV,BCC,AKIEC,BKL,DF,VASC", *rows]))
        (training / "t0.png").write_bytes(b"damaged")  # what is learnt from does not matter here
    else:
        place = photos(tmp_path / "in", parts)
        (place / "README.txt").write_text("words")
    if how == "one":
        place = place / parts[0]
    if how.lower() == ".zip":
        with zipfile.ZipFile(tmp_path / f"in{how}", "w") as archive:
            for name in (*parts, "README.txt"):
                archive.write(place / name, name)
        place = tmp_path / f"in{how}"
    path = classification.predict(trained, place, tmp_path / "scores.csv")
    assert predicted(path) == (["a"] if how == "one" else ["a", "b"])
    assert ("not used, as no JPEG or PNG (1)" in capsys.readouterr().err) == (how not in ("one", "isic"))


def test_one_bad_photograph_does_not_stop_the_others(trained, tmp_path):
    place = photos(tmp_path / "in", ["a.jpg", "b.jpg", "c.png", "d.png"])
    (place / "b.jpg").write_bytes((place / "b.jpg").read_bytes()[:300])
    PIL.Image.new("RGB", (20, 20)).save(place / "d.png")
    words = "(?s)2 problems in the images to predict:.*b.jpg: .*d: .*the value 0"
    for _ in range(2):  # nothing is kept by which the second time would say less
        with pytest.raises(BadInput, match=words) as told:
            classification.predict(trained, place, tmp_path / "scores.csv")
        assert told.value.written == [tmp_path / "scores.csv"] and predicted(told.value.written[0]) == ["a", "c"]
    photos(place, ["b.jpg", "d.png"])
    assert predicted(classification.predict(trained, place, tmp_path / "scores.csv")) == ["a", "b", "c", "d"]
    for name in ("a.jpg", "b.jpg", "c.png", "d.png"):
        (place / name).write_bytes(b"")
    with pytest.raises(BadInput, match="4 problems in the images to predict") as told:
        classification.predict(trained, place, tmp_path / "none.csv")
    assert told.value.written == () and not (tmp_path / "none.csv").exists()


@pytest.mark.parametrize("name, words", [
    ("a.tif", "expected a folder, a .zip, or a JPEG or PNG image, found .tif; save it as JPEG or PNG"),
    ("none", "found no such file"), ("twice", "expected one image of each name"), ("tif", "found 2 of .tif; save"),
    ("linked", "expected JPEG or PNG images, found a link to a folder; give the place of the images themselves"),
])  # fmt: skip
def test_what_cannot_be_predicted_is_named(trained, tmp_path, name, words):
    photos(tmp_path, ["a.tif", "twice/1/a.png", "twice/1/a.jpg", "tif/a.tif", "tif/b.tif"])
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "part").symlink_to(tmp_path / "twice")
    with pytest.raises(BadInput, match=words):
        classification.predict(trained, tmp_path / name, tmp_path / "scores.csv")


def test_one_name_in_several_folders_is_told_apart_by_its_path(trained, tmp_path):
    place = photos(tmp_path / "in", ["1/a.png", "2/a.jpg", "2/b.jpg"])
    path = classification.predict(trained, place, tmp_path / "scores.csv")
    assert predicted(path) == ["1/a", "2/a", "b"]
    with pytest.raises(BadInput, match="out: expected a table to write, found the folder .*; give a file, .*skin.csv"):
        classification.predict(trained, place, tmp_path)


def test_a_large_image_is_decoded_too(trained, tmp_path):
    place, pixels = tmp_path / "in", np.random.default_rng(0).integers(0, 255, (40, 1, 3), np.uint8)
    place.mkdir()
    PIL.Image.fromarray(np.repeat(np.repeat(pixels, 2**11 + 10, 1), 52, 0)).save(place / "a.png", compress_level=1)
    path = classification.predict(trained, place, tmp_path / "scores.csv")
    assert predicted(path) == ["a"]


def test_resume_finds_its_data(trained):
    again = classification.resume(trained.folder)
    assert again.number == trained.number and again.history == trained.history
    assert classification.evaluate(again).figures == classification.evaluate(trained).figures


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"tau_low": 0.9}, "tau_low: expected"),
        ({"top": 37}, "top: expected T from 1 to the 36 unlabelled"),
        ({"unlabelled": 0}, "unlabelled: expected"),
        ({"tau": 0.9}, "tau: not a setting"),
        ({"network": "vgg"}, "network: expected"),
        ({"network": "efficientnet_lite0"}, "size: expected at least 32 px, the stride of effic"),
        ({"prototypes": "random"}, "prototypes: expected"),
    ],
)
def test_settings_say_what_is_wrong(data, settings, named):
    with pytest.raises(BadInput, match=named):
        classification.train("i2pemd", data, profile="ci", **settings)


def test_a_threshold_crossed_while_running_stops_the_step(data):
    run = classification.train("i2pemd", data, profile="ci")
    next(run)
    run.settings.tau_low = 0.95
    with pytest.raises(BadInput, match="tau_low"):
        next(run)
    with pytest.raises(BadInput, match=r"tau_lou: not a setting; did you mean tau_low.* help\(classification.train\)"):
        run.settings.tau_lou = 0.6
    run.settings.tau_low = 0.7
    assert next(run).number == 2


def test_the_paper_is_the_default():
    paper = classification.ClassificationSettings()
    assert (paper.network, paper.size, paper.labelled, paper.unlabelled) == ("densenet121", 224, 12, 36)
    assert (paper.tau_low, paper.tau_high, paper.top, paper.weight, paper.momentum) == (0.7, 0.8, 24, 1.0, 0.8)
    assert (paper.learning_rate, paper.decay) == (1e-4, 0.9) and SIZES["gpu"].keys() == {"evaluate_every", "split_by"}


@pytest.mark.real
def test_a_few_steps_on_real_images(real, tmp_path):
    run = classification.train("i2pemd", classification.load(), folder=tmp_path / "run", profile="ci", steps=6)
    steps = list(run)
    assert all(math.isfinite(step.loss) for step in steps)
    assert len(run.learner.test) == 997 and 50 < classification.evaluate(run).figures["accuracy"] <= 100
    path = classification.predict(run, out=tmp_path / "skin.csv")
    assert len(path.read_text().splitlines()) == 2013


@pytest.mark.parametrize("method", ["baseline", "fixmatch", "i2pemd"])
def test_a_training_that_diverges_says_so(method, data):
    with pytest.raises(BadInput, match="diverged"):
        classification.train(method, data, profile="ci", steps=6, learning_rate=1e30).finish(False)


def test_a_folder_that_the_other_task_made_ready_is_none_of_ours(tmp_path):
    (tmp_path / "prepared.json").write_text("{}")
    with pytest.raises(BadInput, match="expected isic2018/ or dermamnist"):
        classification.train("baseline", tmp_path, profile="ci")
