"""Runs that come with the course: small, taken up where they fit and told where they do not, and never trained on."""

import dataclasses
import itertools
import json
import re
import shutil
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from i2pemd_lite import BadInput, classification, segmentation
from i2pemd_lite.__main__ import main
from i2pemd_lite.course.publish import notebooks, shipped
from i2pemd_lite.files import read_json, root, run_lock
from i2pemd_lite.panels import classification as image_panels
from i2pemd_lite.panels import cockpit, moments, selection
from i2pemd_lite.panels import segmentation as scan_panels
from i2pemd_lite.runs import brought, store
from i2pemd_lite.runs.store import read_about, read_checkpoint, read_tables, write_checkpoint

PLAN = {"steps": 4, "evaluate_every": 2}
SMALL = {"size": (16, 16), "spacing": (8.0, 24.0, 24.0)}  # of scans
IMAGES = {"methods": ("baseline", "i2pemd"), "thresholds": (), "progress": False, "profile": "ci", **PLAN}
RUNS = root() / "data" / "runs"
SHIPPED = sorted(path.parent for path in RUNS.rglob("settings.json"))


@pytest.fixture(scope="module", autouse=True)
def shelf(tmp_path_factory):
    """A folder in place of data/runs."""
    folder = tmp_path_factory.mktemp("shelf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(brought, "place", lambda name: folder / name)
        yield folder


@pytest.fixture(scope="module")
def course(tmp_path_factory, abdomen, shelf):
    """Two runs of scans with a fork of one, trained here and shipped under the name "lesson"."""
    folder = tmp_path_factory.mktemp("course")
    data = segmentation.TASK.prepared(abdomen, segmentation.TASK.settings_for("joint", "ci", changes=SMALL))
    methods = {"joint": "joint", "ours": "joint_sepbn_i2pemd"}

    def begun(place, **settings):
        return {name: segmentation.train(method, data, "ci", folder=folder / place / name, **PLAN | SMALL | settings)
                for name, method in methods.items()}  # fmt: skip

    runs = begun("trained")
    for run in runs.values():
        for _ in itertools.islice(run, 2):
            pass
    runs["λ 0"] = runs["ours"].fork(folder / "trained" / "λ 0", weight=0.0)
    for run in runs.values():
        brought.ship(run.finish(progress=False), "lesson", "weights", "moments")
    places = (f"place-{n}" for n in itertools.count())
    return SimpleNamespace(runs=runs, data=data, shipped=shelf / "lesson",
                           begun=lambda **settings: begun(next(places), **settings))  # fmt: skip


@pytest.fixture
def damaged(course):
    """The shipped runs, to be damaged; whole again afterwards."""
    shutil.copytree(course.shipped, course.shipped.with_name("whole"))
    yield course.shipped
    shutil.rmtree(course.shipped)
    course.shipped.with_name("whole").rename(course.shipped)


def test_a_run_that_is_brought_is_the_one_that_was_trained(course, capsys):
    new = course.begun()
    next(new["joint"])  # as in lesson 05
    panel = scan_panels.panel(**new)
    assert panel.bring("lesson")
    said = capsys.readouterr().out
    assert "3 runs come with the course" in said and 'write None instead of "lesson"' in said
    assert panel.runs.keys() == course.runs.keys() and not new["joint"].brought
    for name, run in course.runs.items():
        there = panel.runs[name]
        assert (there.number, there.brought, there.changes, there.settings) == (4, True, run.changes, run.settings)
        assert there.history == run.history and there.evaluations == run.evaluations
        assert there.learner.bank.prototypes.equal(run.learner.bank.prototypes)
        for now, before in zip(there.moments, run.moments, strict=True):
            assert all(map(np.array_equal, now, before))
        for now, before in zip(there.parameters, run.parameters, strict=True):
            assert (now - before).abs().max() <= before.abs().max() / 253
        figures = segmentation.evaluate(there)
        assert figures.figures["doc"] == pytest.approx(segmentation.evaluate(run).figures["doc"], abs=0.5)
        assert figures.about["brought"] == "with the course"
    ours = panel.runs["ours"]
    moments.scrub(ours.folder)
    again = segmentation.resume(ours.folder, course.data)
    assert again.brought and segmentation.evaluate(again).figures == segmentation.evaluate(ours).figures


def test_a_cell_that_is_run_again_brings_nothing_again(course, capsys):
    panel = scan_panels.panel(**course.begun())
    assert panel.bring("lesson")
    assert re.search(r"They were trained with version \S+, on a CPU with \d+ threads?\. To", capsys.readouterr().out)
    panel.runs["λ 0"].settings.weight = 3.0  # as λ 4 of lesson 05 is at another λ than it began with
    before = dict(panel.runs)
    assert panel.bring("lesson") and panel.runs == before and capsys.readouterr().out == ""
    assert panel.bring(None) and panel.runs == before
    assert capsys.readouterr().out == (
        "These runs came with the course. To train them yourself, run the lesson from its first cell.\n"
    )


def test_what_was_trained_here_is_not_replaced(course, capsys):
    panel = scan_panels.panel(**course.begun())
    panel.go(2, run="ours")
    before = dict(panel.runs)
    assert not panel.bring("lesson") and panel.runs == before and panel.runs["ours"].number == 2
    assert capsys.readouterr().out.startswith("ours: trained here, so the course's runs are not put in their place.")


def test_runs_without_a_folder_are_brought_into_memory(course):
    new = {name: segmentation.train(run.settings.method, course.data, "ci", **PLAN | SMALL)
           for name, run in course.runs.items() if name != "λ 0"}  # fmt: skip
    panel = scan_panels.panel(**new)
    assert panel.bring("lesson") and {run.folder for run in panel.runs.values()} == {None}
    assert segmentation.evaluate(panel.runs["ours"]).about["brought"] == "with the course"


def test_a_kernel_takes_a_byte_a_weight(course):
    for name, run in course.runs.items():
        tensors = load_file(course.shipped / name / "checkpoint.safetensors")
        assert not any(part.startswith(("optimiser.", "best.")) for part in tensors)
        kernels = sum(p.numel() for p in run.parameters if p.ndim > 2 and p.numel() > store.FEW)
        assert sum(x.numel() for x in tensors.values() if x.dtype == torch.int8) == kernels > 30_000
        assert read_about(course.shipped / name)["data"]["folder"] == ""  # no folder of who shipped it


def test_a_run_predicts_and_is_evaluated_where_it_lies_and_nothing_is_written_there(
    course, damaged, abdomen, tmp_path, monkeypatch, capsys
):
    within(damaged / "ours", "data", fingerprint="that of another processor")
    monkeypatch.setenv("I2PEMD_DATA", str(abdomen))  # in place of the synthetic set, on which those of the course are
    place, before = str(damaged / "ours"), {path: path.stat().st_mtime_ns for path in damaged.rglob("*")}
    scan = next((abdomen / "btcv" / "RawData" / "Testing").rglob("*.nii.gz"))
    assert main(["predict", place, "--images", str(scan), "--modality", "ct", "--out", str(tmp_path / "theirs")]) == 0
    segmentation.predict(course.runs["ours"], scan, tmp_path / "mine", "ct", progress=False)
    mine, theirs = (np.asarray(nibabel.load(tmp_path / each / "ct" / scan.name).dataobj) for each in ("mine", "theirs"))
    assert (mine == theirs).mean() > 0.99 and (mine > 0).any()
    assert main(["evaluate", place]) == 0 and "with the course" in " ".join(capsys.readouterr().out.split())
    assert {path: path.stat().st_mtime_ns for path in damaged.rglob("*")} == before
    within(damaged / "ours", "data", sketch=[1.0])
    assert main(["predict", place]) == 1 and f"in {abdomen}; give the synthetic set" in capsys.readouterr().err


def test_a_run_that_is_brought_cannot_go_on(course):
    panel = scan_panels.panel(**course.begun())
    assert panel.bring("lesson")
    new, words = panel.runs, "ours: expected a run that was trained here, found one that came with the course"
    with pytest.raises(BadInput, match=words):
        new["ours"].fork()
    assert next(new["ours"], None) is None  # it is at its end
    new["ours"].change(steps=9)
    with pytest.raises(BadInput, match=words):
        next(new["ours"])
    marks = [read_checkpoint(new["ours"].folder)[0]["mark"]]
    new["ours"].save()
    assert marks == [read_checkpoint(new["ours"].folder)[0]["mark"]] and new["ours"].number == 4


def test_the_cockpit_offers_no_fork_of_a_run_that_is_brought(course):
    panel = scan_panels.panel(**course.begun())
    assert panel.bring("lesson")
    for folder, fork in ((panel.runs["ours"].folder.parent, False), (course.runs["ours"].folder.parent, True)):
        board = cockpit.cockpit(folder, "segmentation")
        board.set(run="ours")
        assert board.buttons["Resume"].disabled and board.buttons["Fork"].disabled != fork


def test_a_run_that_is_not_shipped_leaves_the_one_that_was(course, tmp_path):
    shutil.copytree(course.runs["ours"].folder, tmp_path / "ours")
    about, tensors = read_checkpoint(tmp_path / "ours")
    write_checkpoint(tmp_path / "ours", tensors, about | {"best": [50.0, 2]})
    with pytest.raises(BadInput, match="expected a run whose last weights are its best, found those of an earlier"):
        brought.ship(SimpleNamespace(folder=tmp_path / "ours", number=4), "lesson", "weights")
    assert read_about(course.shipped / "ours")


def test_whoever_wants_none_trains(course, capsys):
    new = course.begun()
    panel = scan_panels.panel(**new)
    assert not panel.bring(None) and capsys.readouterr().out == ""
    panel.go(run="ours")
    assert not new["ours"].brought and new["ours"].history == course.runs["ours"].history


def otherwise(path, **changes):
    about = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(about | changes), encoding="utf-8")


def smaller(folder):
    about, tensors = read_checkpoint(folder)
    write_checkpoint(folder, {name: x[:1] if "network" in name and x.ndim else x for name, x in tensors.items()}, about)


def within(folder, part, **changes):
    otherwise(folder / "settings.json", **{part: read_about(folder)[part] | changes})


UNFIT = {
    "another version": (lambda here: otherwise(here / "settings.json", versions={"i2pemd_lite": "0.0.9"}),
                        r"expected a run of version \S+, found one of 0\.0\.9"),
    "another setting": (lambda here: within(here, "settings", dim=4), "expected a run with dim 8, found one with 4"),
    "a setting that is no more": (lambda here: within(here, "settings", gone=4),
                                  "expected the settings of this version, found gone of an earlier one"),
    "other data": (lambda here: within(here, "data", sketch=[1.0]),
                   "expected a run on the data that are here, found one on others"),
    "a sketch of something else": (lambda here: within(here, "data", sketch=["a"]), "expected at data, sketch, 1"),
    "a damaged file of weights": (
        lambda here: (here / "checkpoint.safetensors").write_bytes(
            (whole := (here / "checkpoint.safetensors").read_bytes())[:-1] + bytes([whole[-1] ^ 1])),
        "expected the checkpoint of a run, found other content than was written"),
    "a damaged table": (lambda here: (here / "history.csv").write_text("step,loss\n1,2\n2,2\n3,2\n4,2\n"),
                        "expected the rows of the checkpoint, found others"),
    "a damaged moment": (lambda here: (here / "moments" / "000002.safetensors").write_bytes(b"0" * 99),
                         "expected a moment of a run, found"),
    "another network": (lambda here: smaller(here), "expected the weights of this version's network, found others"),
    "no run": (shutil.rmtree, "expected the folder of a run, found no settings.json"),
}  # fmt: skip


@pytest.mark.parametrize("unfit", UNFIT)
def test_a_run_that_does_not_fit_is_told_in_a_sentence_and_none_is_brought(course, damaged, capsys, unfit, monkeypatch):
    damage, words = UNFIT[unfit]
    damage(damaged / "ours")
    new = course.begun()
    panel = scan_panels.panel(**new)
    assert not panel.bring("lesson")
    said = capsys.readouterr().out
    assert re.search(rf"^data/runs/lesson/ours\S*: {words}", said) and said.endswith("the runs are trained here.\n")
    assert said.count("\n") == 1 and {run.number for run in panel.runs.values()} == {0}
    assert panel.runs == new and not any(run.folder.exists() for run in new.values())
    monkeypatch.setattr(brought, "required", True)
    with pytest.raises(BadInput, match=words):
        panel.bring("lesson")


def test_an_installation_without_runs_says_so_in_a_sentence(course, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(brought, "place", lambda name: tmp_path / "gone" / name)
    assert not scan_panels.panel(**course.begun()).bring("lesson")
    assert capsys.readouterr().out == (
        "This installation comes without trained runs. So nothing is brought, and the runs are trained here.\n"
    )


def test_settings_and_data_of_ones_own_are_trained(course, capsys, skin):
    for settings, words in (({"steps": 6}, "expected a run with steps 6, found one with 4"),
                            ({"seed": 1}, "expected a run with seed 1, found one with 0")):  # fmt: skip
        assert not scan_panels.panel(**course.begun(**settings)).bring("lesson")
        assert words in capsys.readouterr().out
    new = course.begun()
    new["ours"].settings.weight = 2.0  # by the slider
    assert not scan_panels.panel(**new).bring("lesson")
    assert "expected a run with weight 2.0, found one with 1.0" in capsys.readouterr().out


def test_a_set_that_another_processor_draws_is_the_same(course, monkeypatch):
    sketch = course.data.sketch
    for factor, fits in ((1 + 1e-5, True), (1.01, False)):
        monkeypatch.setattr(type(course.data), "sketch", [number * factor for number in sketch])
        assert scan_panels.panel(**course.begun()).bring("lesson") == fits


def test_other_labels_are_other_data(course, images):
    scans, some = course.data, images.data
    case = dataclasses.replace(scans.labelled[0], label=scans.labelled[0].label.clone())
    case.label[case.label == 1] = 2
    cases = tuple(case if each.name == case.name else each for each in scans.cases)
    labels = some.labels.clone()
    labels[0] = 1 - labels[0].clamp(max=1)
    pairs = (scans, dataclasses.replace(scans, cases=cases)), (some, dataclasses.replace(some, labels=labels))
    for data, edited in pairs:
        assert np.allclose(data.sketch, data.sketch, brought.NEAR, brought.NEAR)
        assert not np.allclose(data.sketch, edited.sketch, brought.NEAR, brought.NEAR)


@pytest.fixture(scope="module")
def images(tmp_path_factory, skin, shelf):
    """Runs of images, shipped without weights: as those of lesson 06, and as those of the tables of lesson 07."""
    folder = tmp_path_factory.mktemp("images")
    data = classification.TASK.prepared(skin, classification.TASK.settings_for("baseline", "ci"))
    tables = classification.tables(data, folder=folder, **IMAGES)
    trained = {result.settings.method: classification.resume(result.folder, data) for result in tables.results}
    for run in trained.values():
        brought.ship(run, "lesson07", "reports")
        run.folder.rename(run.folder.with_name(run.settings.method))
        run.folder = run.folder.with_name(run.settings.method)
        brought.ship(run, "lesson06", "answers", "moments")
    return SimpleNamespace(data=data, trained=trained, tables=tables)


@pytest.fixture
def without_weights(images, tmp_path):
    new = {name: classification.train(name, images.data, "ci", folder=tmp_path / name, **PLAN)
           for name in images.trained}  # fmt: skip
    panel = image_panels.panel(**new)
    assert panel.bring("lesson06")
    return panel.runs


def test_without_weights_a_run_shows_what_lesson_06_asks(images, without_weights, tmp_path):
    for name, run in without_weights.items():
        now, before = (classification.evaluate(each) for each in (run, images.trained[name]))
        assert np.array_equal(now.scores, before.scores) and now.rows == before.rows and now.images == before.images
        assert run.learner.example() is not None  # in the cockpit
    both = [selection.freeze(runs["i2pemd"], beside=runs) for runs in (without_weights, images.trained)]
    for now, before in zip(*both, strict=True):
        assert np.array_equal(np.asarray(now), np.asarray(before))
    moments.scrub(tmp_path / "baseline", tmp_path / "i2pemd")


def test_the_answers_that_are_kept_are_those_of_the_best_weights(images, tmp_path):
    run = classification.train("baseline", images.data, "ci", folder=tmp_path / "baseline", **PLAN)
    for step in run:
        if step.number == 2:
            best = 99.0, 2, {name: x.clone() for name, x in run.learner.state_dict().items()}
    run.best = best
    run._unsaved = True
    next(run, None)
    brought.ship(run, "best", "answers")
    panel = image_panels.panel(baseline=classification.train("baseline", images.data, "ci", **PLAN))
    assert panel.bring("best")
    now, before = (classification.evaluate(each) for each in (panel.runs["baseline"], run))
    assert now.about["weights of step"] == before.about["weights of step"] == 2
    assert np.array_equal(now.scores, before.scores) and now.rows == before.rows
    assert not np.array_equal(now.scores, run.learner.probabilities(run.learner.test).detach().numpy())


def test_without_weights_a_run_refuses_every_other_question(without_weights, tmp_path):
    run = classification.resume(tmp_path / "i2pemd")
    asked = (lambda: classification.predict(run, out=tmp_path / "skin.csv"), run.learner.probe,
             lambda: selection.freeze(run, batches=3))  # fmt: skip
    for ask in asked:
        with pytest.raises(BadInput, match="expected one with the weights of its network, found one that came with"):
            ask()


def test_a_run_of_tables_refuses_what_its_report_does_not_say(images, tmp_path):
    classification.tables(images.data, folder=tmp_path, brought="lesson07", **IMAGES)
    run = classification.resume(tmp_path / "i2pemd-ci-seed0", images.data)
    for ask in (run.learner.example, run.learner.frozen):
        with pytest.raises(BadInput, match="expected one with the weights of its network, found one that came with"):
            ask()


def test_features_of_many_axes_are_kept_in_their_plane():
    random = np.random.default_rng(0)
    flat = random.normal(size=(3, 200, 5)) @ random.normal(size=(5, 100)) + random.normal(size=100)
    labels = np.zeros(200, np.uint8)
    many = [brought.moments.Moment(step, x[:4].astype(np.float32), np.ones(4, bool), np.eye(4),
            x.astype(np.float16), labels, labels) for step, x in enumerate(flat)]  # fmt: skip
    few = brought.thinned(many)
    assert few[0].features.shape == (200, 64) and few[0].prototypes.shape == (4, 64)
    apart = [np.linalg.norm(each[2].features[0].astype(float) - each[0].prototypes[3]) for each in (many, few)]
    assert apart[0] == pytest.approx(apart[1], rel=1e-2)


def test_tables_take_them_up_and_train_them_where_none_are_wanted(images, tmp_path, capsys):
    for _ in range(2):  # the second time they lie there
        came = classification.tables(images.data, folder=tmp_path, brought="lesson07", **IMAGES)
        assert "2 runs come with the course" in capsys.readouterr().out
        assert str(came) == str(images.tables) and came.comparison.rows == images.tables.comparison.rows
        assert all(brought.came(result.folder) for result in came.results)
        assert all(result.about["brought"] == "with the course" for result in came.results)
        assert any("on the machine that trained them" in note for note in came.costs.notes)
    run = tmp_path / "i2pemd-ci-seed0"
    with run_lock(run), pytest.raises(BadInput, match="found one that is being trained elsewhere"):
        classification.tables(images.data, folder=tmp_path, **IMAGES)
    own = classification.train("baseline", images.data, "ci", seed=1, folder=tmp_path / "baseline-ci-seed1", steps=2)
    own.save()
    with pytest.raises(BadInput, match="steps 2 instead of 4"):  # before anything is deleted
        classification.tables(images.data, folder=tmp_path, seeds=(0, 1), **IMAGES)
    assert brought.came(run)
    capsys.readouterr()
    mine = classification.tables(images.data, folder=tmp_path, **IMAGES)
    assert not any(brought.came(result.folder) for result in mine.results) and mine.table4.rows == came.table4.rows
    said = capsys.readouterr().out
    assert said == f"2 runs in {tmp_path} came with the course. They are trained anew, in their folders.\n"
    classification.tables(images.data, folder=tmp_path, brought="lesson07", **IMAGES)  # one's own go before
    assert not any(brought.came(result.folder) for result in mine.results)
    assert capsys.readouterr().out == ""


# --- made by the lessons themselves -------------------------------------------------------------------------------

CELLS = {
    "05": """from i2pemd_lite import segmentation
from i2pemd_lite.course.record.progress import headless
assert headless()
from i2pemd_lite.panels import segmentation as panels
SMALL = {"steps": 2, "evaluate_every": 1, "width": 2, "dim": 4, "size": (16, 16), "spacing": (8.0, 24.0, 24.0)}
ours = segmentation.train("joint_sepbn_i2pemd", FOLDER, folder="runs/ours", **SMALL)
curves = panels.panel(ours=ours)
if not curves.bring("lesson05"):
    next(ours)
    curves.add("λ 0", ours.fork(weight=0.0))
    curves.go(run="ours")
    curves.go(run="λ 0")
""",
    "07": """from i2pemd_lite import segmentation
SMALL = {"steps": 2, "evaluate_every": 1, "width": 2, "dim": 4, "size": (16, 16), "spacing": (8.0, 24.0, 24.0)}
mine = segmentation.tables(FOLDER, methods=("joint",), folder="runs/mine", brought="lesson07/scans", **SMALL)
""",
}


def test_a_lesson_makes_its_runs_and_is_held_against_them(tmp_path, abdomen, monkeypatch):
    monkeypatch.setattr(brought, "place", lambda name: tmp_path / "data" / name)
    monkeypatch.setattr(notebooks, "lessons", lambda numbers: [tmp_path / f"{number}.ipynb" for number in numbers])

    def written(number, cell):
        cells = [notebooks.code("a", cell.replace("FOLDER", repr(str(abdomen)))), notebooks.code("b", "1 / 0")]
        notebooks.write(tmp_path / f"{number}.ipynb", {"cells": cells})

    said = []
    for number, cell in CELLS.items():
        written(number, cell)
        for check in (False, True):
            shipped.ship([number], check, say=said.append)
    runs = "data/runs/lesson05: ours, λ 0", "data/runs/lesson07/scans: joint-laptop-seed0"
    assert said == [words for words in runs for _ in range(2)]
    fork = tmp_path / "data" / "lesson05" / "λ 0"
    about, _ = read_checkpoint(fork)
    assert (read_about(fork)["settings"]["weight"], about["changes"]) == (1.0, [[2, "weight", 0.0]])
    losses = segmentation.learner.Segmenter.losses
    with monkeypatch.context() as patch:
        patch.setattr(segmentation.learner.Segmenter, "losses",
                      lambda *given: {name: 1.01 * loss for name, loss in losses(*given).items()})  # fmt: skip
        for number, name in (("05", "lesson05/ours"), ("07", "lesson07/scans/joint-laptop-seed0")):
            written(number, CELLS[number])
            with pytest.raises(BadInput, match=f"^data/runs/{name}: expected in step 1 loss "):
                shipped.ship([number], check=True)
    for number, cell in CELLS.items():
        written(number, cell.replace('"steps": 2', '"steps": 3'))
        with pytest.raises(BadInput, match="expected a run with steps 3, found one with 2"):
            shipped.ship([number], check=True)


# --- those of the course ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", SHIPPED, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_run_of_the_course_is_whole_small_and_of_this_version(place, monkeypatch, tmp_path):
    monkeypatch.setattr(brought, "place", RUNS.joinpath)
    about = read_about(place)
    task = {"segmentation": segmentation, "classification": classification}[about["task"]].TASK
    sketch = SimpleNamespace(sketch=about["data"]["sketch"], folder="", fingerprint="")
    settings, name = task.settings_of(place), place.parent.relative_to(RUNS).as_posix()
    brought._copy(task, name, place.name, sketch, {place.name: settings}, copy := tmp_path / "run")
    said, tensors = read_checkpoint(copy)
    read_tables(copy, said["number"], said["tables"])
    brought.moments.read(copy, said["number"])
    assert len(sketch.sketch) > 64 or about["task"] == "segmentation"
    if (report := copy / "report.json").exists():
        assert read_json(report)["about"]["brought"] == "with the course"
    assert settings.profile == "laptop" and about["data"]["name"] == "synthetic"
    plain = task.settings_for(settings.method, "laptop", settings.seed)
    assert settings.learning_rate == plain.learning_rate and settings.schedule == plain.schedule
    assert sum(file.stat().st_size for file in place.rglob("*.*")) < 1.3 * 2**20
    if settings.method in segmentation.METHODS and "lesson05" in place.parts:
        network = segmentation.network.UNet(segmentation.METHODS[settings.method].sharing, settings.width, settings.dim)
        shapes = {f"learner.network.{name}": x.shape for name, x in network.state_dict().items()}
        assert {name: x.shape for name, x in tensors.items() if ".network." in name} == shapes
    else:
        assert not any(".network." in name for name in tensors)


def test_each_run_of_the_course_is_asked_for_by_its_lesson():
    asked = {}
    for path in notebooks.lessons(shipped.KEPT):
        code = [cell["source"] for cell in notebooks.read(path)["cells"] if cell["cell_type"] == "code"]
        found = dict(shipped.NAME.findall("\n".join(code)))
        assert {*found.values()} <= {path.name[:2]}
        asked |= found
    folders = {path.parent.relative_to(RUNS).as_posix() for path in SHIPPED}
    assert folders == asked.keys() and set(asked.values()) <= set(shipped.KEPT)
    assert sum(file.stat().st_size for file in RUNS.rglob("*.*")) < 6.5 * 2**20
