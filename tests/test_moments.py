"""Moments of a run: kept without touching the training, whole on disk, and read without network or data."""

import importlib
import json
import math
import shutil

import numpy as np
import pytest
import torch
from controls import marks, move_every_control
from test_run import Line, assert_same, line, weights

from i2pemd_lite import BadInput, PrototypeBank, ground_distance
from i2pemd_lite.panels import moments as panel
from i2pemd_lite.runs import moments
from i2pemd_lite.runs.run import Run
from i2pemd_lite.runs.sampling import generator
from i2pemd_lite.runs.watch import saved

EXACT = 1e-6  # float32


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")


class Probed(Line):
    """The smallest learner with a probe: its dropout would show in the features, were it in training."""

    def __init__(self, settings):
        super().__init__(settings)
        self.bank = PrototypeBank(5, 2)

    def losses(self, t):
        self.bank.update(torch.arange(10.0).view(5, 2) * (1 + t), torch.arange(5))
        x = torch.randn(4, 2, generator=generator(self.settings.seed, "x", t))
        return {"loss": (self.layer(self.dropout(x)) - x.sum(1, keepdim=True)).square().mean()}

    def probe(self):
        assert not self.training and torch.is_inference_mode_enabled()
        x = torch.ones(4, 2)
        return self.dropout(x) * self.layer.weight, torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])


def probed(folder=None, **changes):
    return Run(Probed(line(**changes).settings), folder, "segmentation")


def same(one, other):
    assert [kept.step for kept in one] == [kept.step for kept in other]
    for a, b in zip(one, other, strict=True):
        for x, y in zip(a[1:], b[1:], strict=True):
            np.testing.assert_array_equal(x, y)


def names(folder):
    return sorted(path.name for path in (folder / "moments").iterdir())


def test_a_run_keeps_a_moment_before_its_first_step_and_at_each_evaluation():
    run = probed()
    assert run.moments == []
    next(run)
    start = run.moments[0]
    assert start.step == 0 and not start.seen.any() and not start.ground.any()
    assert start.features.tolist() == [[1, 1]] * 4  # the weights before the first step
    run.finish(False)
    assert [kept.step for kept in run.moments] == [0, 5, 10, 15, 20]
    last, bank = run.moments[-1], run.learner.bank
    np.testing.assert_array_equal(last.prototypes, bank.prototypes.numpy())
    np.testing.assert_array_equal(last.ground, bank.ground_distance().numpy())
    assert last.seen.all() and last.labels.tolist() == [0, 0, 1, 1] and last.groups.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(last.features, run.learner.layer.weight.detach().half().numpy().repeat(4, 0))
    assert line().finish(False).moments == []  # a learner without a probe


def test_keeping_moments_changes_no_bit_of_the_training(task, monkeypatch):
    """Weights, optimiser and tables, beside a run whose learner has no probe; and the user's random numbers."""

    def trained():
        torch.manual_seed(5)
        run = task.train(task.method, task.folder, profile="ci", steps=4, evaluate_every=2).finish(False)
        return run, torch.rand(3)

    run, drawn = trained()
    assert [kept.step for kept in run.moments] == [0, 2, 4]
    monkeypatch.setattr(type(run.learner), "probe", lambda self: None)
    bare, expected = trained()
    assert bare.moments == []
    assert_same(weights(run), weights(bare))
    assert run.history == bare.history and run.evaluations == bare.evaluations
    assert torch.equal(drawn, expected)
    states = [r.optimiser.state_dict()["state"] for r in (run, bare)]
    for i, state in states[0].items():
        assert_same({k: v for k, v in state.items()}, states[1][i])


def test_a_run_that_was_saved_before_its_first_step_keeps_the_moment_before_it(task, tmp_path):
    run = task.train(task.method, task.folder, profile="ci", steps=2, evaluate_every=1, folder=tmp_path / "run")
    run.save()
    run.finish(False)
    assert [path.stem for path in sorted((tmp_path / "run" / "moments").iterdir())] == ["000000", "000001", "000002"]


def test_the_probe_is_of_held_back_data_and_says_what_it_is(task):
    run = task.train(task.method, task.folder, profile="ci", steps=2, evaluate_every=1).finish(False)
    first, *_, last = run.moments
    np.testing.assert_array_equal(first.labels, last.labels)
    assert not np.array_equal(first.features, last.features)
    learner = run.learner
    if task.name == "classification":
        held_back = set((learner.val if len(learner.val) else learner.test).tolist())
        assert set(learner.probed.tolist()) <= held_back and not last.groups.any()
        with learner.evaluating():
            F = torch.cat([learner.network(x)[0] for x in learner.batches(learner.probed)])
        np.testing.assert_array_equal(last.labels, learner.data.labels[learner.probed].numpy())
        np.testing.assert_allclose(last.features, F.numpy(), rtol=1e-3, atol=1e-4)  # float16
        return
    assert set(last.labels) == set(range(5)) and set(last.groups) == {0, 1}
    for block in learner.probed:
        (case,) = [c for c in learner.test_cases if c.modality == block.modality and holds(c.image, block.image)]
        z = first_slice(case.image, block.image)
        i, y, x = block.voxels.T
        assert torch.equal(case.label[z + i, y, x], block.labels)
    # Where one block alone predicts a voxel, its features are those of the whole volume.
    block = learner.probed[0]
    (case,) = [c for c in learner.test_cases if c.modality == block.modality and holds(c.image, block.image)]
    with learner.evaluating():
        F, _ = learner._blocks(case, [(first_slice(case.image, block.image), 0, 0)])[::-1]
    found = last.features[: len(block.voxels)].astype(np.float32)
    expected = F[(0, slice(None), *block.voxels.T)].T.numpy()
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)  # float16


def first_slice(image, block):
    return next((z for z in range(len(image) - len(block) + 1) if torch.equal(image[z : z + len(block)], block)), None)


def holds(image, block):
    return image.shape[1:] == block.shape[1:] and first_slice(image, block) is not None


def test_a_folder_holds_the_moments_whole_and_small(tmp_path):
    run = probed(tmp_path / "run").finish(False)
    expected = [f"{step:06d}.safetensors" for step in (0, 5, 10, 15, 20)]
    assert names(tmp_path / "run") == expected
    same(moments.read(tmp_path / "run", 20), run.moments)
    same(saved(tmp_path / "run").moments, saved(run).moments)
    assert sum((tmp_path / "run" / "moments" / name).stat().st_size for name in expected) < 5000


def test_a_resumed_run_keeps_the_moments_of_a_whole_one(tmp_path):
    whole = probed(tmp_path / "whole").finish(False)
    killed = probed(tmp_path / "killed", checkpoint_every=7)
    for _ in range(8):
        next(killed)
    # A kill after a moment was written and before its checkpoint: step 10 is done again, otherwise.
    moments.write(tmp_path / "killed", whole.moments[2])
    resumed = Run.load(Probed(killed.settings), tmp_path / "killed", "segmentation")
    assert [kept.step for kept in resumed.moments] == [0, 5] and "000010.safetensors" in names(tmp_path / "killed")
    resumed.settings.evaluate_every = 20
    next(resumed)
    assert names(tmp_path / "killed") == ["000000.safetensors", "000005.safetensors"]
    resumed.settings.evaluate_every = 5
    same(resumed.finish(False).moments, whole.moments)
    same(saved(tmp_path / "killed").moments, whole.moments)


def test_an_abandoned_start_leaves_no_moments(tmp_path):
    old = probed(tmp_path / "run", seed=1).finish(False)
    moments.write(tmp_path / "run", old.moments[0]._replace(features=old.moments[-1].features))
    (tmp_path / "run" / "checkpoint.safetensors").unlink()
    new = probed(tmp_path / "run")
    next(new)
    assert names(tmp_path / "run") == ["000000.safetensors"]
    same(moments.read(tmp_path / "run", 20), new.moments)
    assert len(old.moments) == 5


def test_a_fork_has_the_moments_of_its_beginning(tmp_path):
    run = probed()
    for _ in range(6):
        next(run)
    fork = run.fork(tmp_path / "fork", learning_rate=0.5)
    fork.finish(False), run.finish(False)
    same(fork.moments[:2], run.moments[:2])
    assert len(fork.moments) == len(run.moments) == 5
    assert not np.array_equal(fork.moments[-1].features, run.moments[-1].features)
    same(saved(tmp_path / "fork").moments, fork.moments)


def test_a_run_of_an_older_version_loads_and_keeps_moments_from_there_on(tmp_path):
    run = probed(tmp_path / "run")
    for _ in range(6):
        next(run)
    shutil.rmtree(tmp_path / "run" / "moments")
    resumed = Run.load(Probed(run.settings), tmp_path / "run", "segmentation")
    assert resumed.moments == []
    with pytest.raises(BadInput, match="expected moments of the training, found none in moments/; train it again"):
        panel.scrub(tmp_path / "run")
    assert [kept.step for kept in resumed.finish(False).moments] == [10, 15, 20]
    shown = panel.scrub(tmp_path / "run", probed(tmp_path / "new").finish(False))
    shown.set(step=5)
    assert shown.result.at["run"] == -1 and "run has no saved moment yet" in shown.words


# --- reading from disk -----------------------------------------------------------------------------------------------


def cut(path):
    path.write_bytes(path.read_bytes()[:60])


def other(path, **changes):
    """The moment of another format, or of another step."""
    from safetensors.numpy import load_file, save_file

    about = {"step": int(path.stem), "format": moments.FORMAT} | changes
    save_file(load_file(path), path, {"moment": json.dumps(about)})


def without(path, name):
    from safetensors.numpy import load_file, save_file

    arrays = load_file(path)
    del arrays[name]
    save_file(arrays, path, {"moment": json.dumps({"step": int(path.stem), "format": moments.FORMAT})})


def narrower(path):
    (kept,) = [m for m in moments.read(path.parent.parent, 20) if m.step == int(path.stem)]
    moments.write(path.parent.parent, kept._replace(prototypes=kept.prototypes[:, :1], features=kept.features[:, :1]))


def cast(path):
    from safetensors.numpy import load_file, save_file

    arrays = load_file(path)
    save_file(arrays | {"ground": arrays["ground"].astype(float)}, path, {"moment": '{"step": 10, "format": 1}'})


DAMAGE = {
    "dtype": ("moments/000010.safetensors", cast, r"found ground \(\d, \d\) float64 instead of float32 K K; delete"),
    "letters for a step": ("moments/000010.safetensors", lambda p: other(p, step="10"), "at step 10, found '10'"),
    "cut": ("moments/000010.safetensors", cut, "expected a moment of a run, found"),
    "empty": ("moments/000010.safetensors", lambda p: p.write_bytes(b""), "expected a moment of a run, found"),
    "other version": ("moments/000010.safetensors", lambda p: other(p, format=9), "at format 1, found 9; delete"),
    "other step": ("moments/000010.safetensors", lambda p: other(p, step=15), "expected at step 10, found 15; delete"),
    "a part": ("moments/000010.safetensors", lambda p: without(p, "ground"), "expected a moment of a run, found"),
    "other run": ("moments/000010.safetensors", narrower, r"as at step 0, found \(4, 1\), of another run"),
    "checkpoint": ("checkpoint.safetensors", cut, "expected the checkpoint of a run, found"),
    "being written": ("checkpoint.safetensors", lambda p: p.unlink(), "still being written, or was stopped"),
    "no history": ("history.csv", lambda p: p.unlink(), "expected a row for each of 20 steps, found 0"),
    "short history": ("history.csv", lambda p: cut(p), "expected a row for each of 20 steps, found"),
    "no table": ("evaluations.csv", lambda p: p.write_text("a,b\n1,2\n"), "expected a table of a run, found no step"),
    "letters": ("evaluations.csv", lambda p: p.write_text("step,doc\n5,x\n"), "expected a table of a run, found could"),
    "not text": ("history.csv", lambda p: p.write_bytes(b"\xff\xfe\x00step"), "expected a table of a run, found 'utf"),
    "settings": ("settings.json", lambda p: p.write_text("{"), "expected a JSON file, found"),
    "no run": ("settings.json", lambda p: p.unlink(), "expected the folder of a run, found no settings.json"),
}


def test_one_flipped_bit_of_a_moment_is_told(tmp_path):
    probed(tmp_path / "run").finish(False)
    (path,) = (tmp_path / "run" / "moments").glob("000010.*")
    whole, expected, draws = path.read_bytes(), moments.read(tmp_path / "run", 20), np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(whole)
        data[draws.integers(len(data))] ^= 1 << draws.integers(8)
        path.write_bytes(data)
        try:
            same(moments.read(tmp_path / "run", 20), expected)
        except BadInput as error:
            assert str(error).startswith(f"{path}: expected "), error


@pytest.mark.parametrize("name, damage, message", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_named(name, damage, message, tmp_path):
    probed(tmp_path / "run").finish(False)
    damage(tmp_path / "run" / name)
    place = "run: " if message.startswith("expected the folder") else f"{name.split('/')[-1]}: "
    with pytest.raises(BadInput, match=f"{place}.*{message}"):
        panel.scrub(tmp_path / "run")


def test_a_checkpoint_of_another_version_is_named(tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    probed(tmp_path / "run").finish(False)
    path = tmp_path / "run" / "checkpoint.safetensors"
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["run"])
    del about["settings"]["weight"], about["hash"]  # older ones had no hash
    save_file(load_file(path), path, {"run": json.dumps(about)})
    with pytest.raises(BadInput, match="settings in .*checkpoint.safetensors: expected weight, found only"):
        saved(tmp_path / "run")


def test_a_run_that_trains_meanwhile_is_shown_as_it_was(tmp_path):
    run = probed(tmp_path / "run")
    for _ in range(10):
        next(run)
    (tmp_path / "run" / "moments" / ".partial-x.safetensors").write_bytes(b"half")
    moments.write(tmp_path / "run", run.moments[-1]._replace(step=15))  # its checkpoint is not written yet
    with open(tmp_path / "run" / "history.csv", "a") as file:
        file.write("11,0.05,1.0\n12,0.0")
    found = saved(tmp_path / "run")
    assert found.number == 10 and len(found.history) == 10 and [kept.step for kept in found.moments] == [0, 5, 10]
    shown = panel.scrub(tmp_path / "run")
    assert "steps 10 of 20" in shown.numbers["run"] and shown.controls["step"].options == [0, 5, 10]


# --- the panel -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(abdomen, skin, tmp_path_factory):
    """Folders of short runs of each task."""
    folder, made = tmp_path_factory.mktemp("runs"), {}
    for task, data, plan in (
        ("segmentation", abdomen, {"joint": (4, 2), "joint_sepbn_i2pemd": (6, 2), "joint_sepbn": (3, 3)}),
        ("classification", skin, {"baseline": (12, 4), "i2pemd": (12, 3)}),
    ):
        module = importlib.import_module(f"i2pemd_lite.{task}")
        for method, (count, every) in plan.items():
            run = module.train(method, data, profile="ci", folder=folder / method, steps=count, evaluate_every=every)
            run.finish(False)
        made[task] = [folder / method for method in plan]
    return made


def result_holds(result):
    assert len(result.panes) == max(2, len(result.at))
    for name, at in result.at.items():
        film = result.films.films[name]
        assert at == -1 or film.steps[at] <= result.step
        assert (film.steps[at + 1 :] > result.step).all()
        assert film.points.shape == (len(film.steps), len(film.labels), 2)
        assert 0 < film.part <= 1 + EXACT
        np.testing.assert_array_equal(film.grounds, film.grounds.swapaxes(1, 2))
        assert not np.diagonal(film.grounds, axis1=1, axis2=2).any()
        assert len(result.films.rows[name])
    for curve in result.curves.values():
        assert len(curve.x) == len(curve.y) and (np.diff(curve.x) > 0).all()
        before = curve.y[curve.x <= result.step]
        assert math.isnan(curve.now) if not len(before) else curve.now == before[-1]


CASES = [("segmentation", 1), ("segmentation", 2), ("segmentation", 3), ("classification", 1), ("classification", 2)]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def scrubbed(request, trained):
    """The panel of some runs, which the tests of it share, and their number."""
    task, count = request.param
    return panel.scrub(*trained[task][:count]), count


def test_every_control_works_at_both_ends_and_in_the_middle(scrubbed):
    shown, count = scrubbed
    result_holds(shown.result)
    move_every_control(shown, result_holds)
    assert len(shown.numbers) == count and "steps" in next(iter(shown.numbers.values()))


def test_no_words_leave_the_card(scrubbed):
    shown, count = scrubbed
    for state in [{}, {"curve": "loss"}, *[{"show": panel.GROUND}] * (count > 1)]:
        for step in shown.controls["step"].options:
            shown.set(step=step, **state)
            for text in marks(shown.image.value):
                if text.tag != "text" or "letters" in text.key or hasattr(text, "transform"):
                    continue
                part = {"start": 0, "middle": 0.5, "end": 1}[getattr(text, "text_anchor", "start")]
                wide, high = 0.56 * float(text.font_size) * len(text.text), float(text.font_size)
                left, foot = float(text.x) - part * wide, float(text.y)
                assert 0 <= left and left + wide <= shown._card.width, text
                assert high <= foot <= shown._card.height - 0.2 * high, text


def test_marks_tell_modalities_and_classes_apart(trained):
    lesions = panel.scrub(trained["classification"][0])
    film = lesions.result.films.films["baseline"]
    for n, letters in enumerate(marks(lesions.image.value, "embedding 0 letters")):
        assert letters.text == "MNCABDV"[n] * (film.marks == n).sum() and letters.fill == panel.INK[n]
        xs = [float(x) for x in letters.x.split()]
        places = lesions._card.planes["embedding 0"].at(*film.points[-1][film.marks == n].T)
        np.testing.assert_allclose(xs, places[:, 0], atol=0.06)
    scans = panel.scrub(trained["segmentation"][0])
    assert [mark.stroke for mark in marks(scans.image.value, "embedding 0 x 0")] == [panel.style.ORANGE]


def test_the_plane_is_one_for_all_moments_and_the_best_there_is(trained):
    run = saved(trained["segmentation"][1])
    film = panel.film(run.moments, panel.LOOKS["segmentation"])
    F = np.concatenate([kept.features.astype(np.float64) for kept in run.moments])
    centred = F - F.mean(0)
    values = np.linalg.svd(centred, compute_uv=False) ** 2
    assert film.part == pytest.approx(values[:2].sum() / values.sum(), rel=1e-4)
    assert (film.points.reshape(-1, 2) ** 2).sum() == pytest.approx(values[:2].sum(), rel=1e-3)
    assert np.isnan(film.prototypes[0]).all()  # before the first step no class was seen
    # A prototype lies where its features would: both are projected alike.
    centre = run.moments[-1]._replace(prototypes=run.moments[-1].features[:5].astype(np.float32))
    there = panel.film([*run.moments[:-1], centre], panel.LOOKS["segmentation"])
    np.testing.assert_allclose(there.prototypes[-1], there.points[-1, :5], atol=1e-5)


def test_a_prototype_outside_of_the_clouds_is_in_the_picture(trained):
    run = saved(trained["segmentation"][1])
    last = run.moments[-1]
    far = last._replace(prototypes=last.prototypes + 30 * np.outer(np.arange(5), np.eye(last.prototypes.shape[1])[0]))
    film = panel.film([*run.moments[:-1], far], panel.LOOKS["segmentation"])
    low, high = np.array(list(film.window.values())).T
    assert (low <= film.prototypes[-1]).all() and (film.prototypes[-1] <= high).all()


def test_no_name_lies_on_a_prototype_or_another_name_or_leaves_the_frame():
    random = np.random.default_rng(0)
    names = panel.LOOKS["classification"].classes
    half = np.array([[4 * len(name), 7] for name in names])
    for spread in (10, 40, 120):
        places = 136 + random.uniform(-spread, spread, (len(names), 2))
        middles = panel.beside(places, names, [[0, 272], [272, 0]])
        assert (middles >= half).all() and (middles + half <= 272).all()
        assert not (np.abs(middles[:, None] - places) < half[:, None] + 6).all(-1).any()
        covers = (np.abs(middles[:, None] - middles) < half[:, None] + half).all(-1)
        assert (covers == np.eye(len(names), dtype=bool)).all()


def test_the_gap_is_the_mmd_of_the_marks_that_are_drawn(trained):
    run, shown = saved(trained["segmentation"][1]), panel.scrub(trained["segmentation"][1])
    for moment in run.moments:
        for name in (panel.ALL, "liver"):
            shown.set(step=moment.step, classes=name)
            mine = np.isin(moment.labels, shown.result.classes)
            x = moment.features[mine].astype(np.float64)
            squared, ct = ((x[:, None] - x) ** 2).sum(-1), moment.groups[mine] == 0
            wide = squared.sum() / (len(x) * (len(x) - 1))
            k = sum(np.exp(-squared / (wide * 2.0**u)) for u in range(-2, 3))
            within = [(k[c][:, c].sum() - 5 * c.sum()) / (c.sum() * (c.sum() - 1)) for c in (ct, ~ct)]
            gap = shown.result.gaps["joint_sepbn_i2pemd"]
            assert gap == pytest.approx(sum(within) - 2 * k[ct][:, ~ct].mean(), abs=1e-5)  # float32
            assert f"MMD² {gap:.3f} " in shown.image.value and f"MMD² of the marks drawn {gap:.3g}" in shown.words
    shown.set(curve="biased MMD²")
    assert shown.result.curves["joint_sepbn_i2pemd"].y.tolist() == [row["mmd"] for row in run.evaluations]
    lesions = panel.scrub(trained["classification"][0])
    assert np.isnan(lesions.result.gaps["baseline"]) and "MMD" not in lesions.image.value


def test_g_at_a_moment_is_that_of_its_prototypes(trained):
    for folder in trained["segmentation"] + trained["classification"]:
        for kept in saved(folder).moments:
            if kept.seen.all():
                expected = ground_distance(torch.from_numpy(kept.prototypes))
                np.testing.assert_allclose(kept.ground, expected.numpy(), atol=EXACT)
            else:
                assert not kept.ground.any()


def test_what_the_runs_say_of_themselves_is_in_their_files(trained):
    joint, ours = (saved(folder) for folder in trained["segmentation"][:2])
    shown = panel.scrub(*trained["segmentation"])
    assert list(shown.numbers) == list(shown.result.films.rows) == ["joint", "joint_sepbn_i2pemd", "joint_sepbn"]
    rows = list(shown.result.films.rows.values())
    assert rows[0]["DOC (%), last"] == joint.evaluations[-1]["doc"]
    best = max(ours.evaluations, key=lambda row: row["doc"])
    assert (rows[1]["best"], rows[1]["at step"]) == (best["doc"], best["step"])
    assert rows[1]["steps"] == "6 of 6" and rows[1]["method"] == "joint_sepbn_i2pemd"
    assert "Validation AUC (%), last" in panel.scrub(trained["classification"][0]).numbers["baseline"]


def test_runs_and_folders_are_shown_alike(trained, tmp_path):
    run = probed(tmp_path / "run").finish(False)
    live, read = panel.scrub(run), panel.scrub(tmp_path / "run")
    assert live.words == read.words and live.numbers == read.numbers
    np.testing.assert_array_equal(live.result.films.films["run"].points, read.result.films.films["run"].points)


def test_a_saved_run_is_shown_without_its_data(trained, monkeypatch, tmp_path):
    shutil.copytree(trained["segmentation"][1], tmp_path / "copy")
    about = json.loads((tmp_path / "copy" / "settings.json").read_text())
    about["data"]["folder"] = str(tmp_path / "gone")
    (tmp_path / "copy" / "settings.json").write_text(json.dumps(about))
    monkeypatch.setattr(torch.nn.Module, "__init__", None)  # no network is built
    copied, whole = (panel.scrub(run=folder) for folder in (tmp_path / "copy", trained["segmentation"][1]))
    assert copied.words == whole.words and copied.numbers == whole.numbers


def test_a_long_name_is_shortened_in_its_middle():
    names = "joint_sepbn_i2pemd", "joint_sepbn_i2pemd_fix"
    assert tuple(map(panel.short, names)) == ("joint_sepbn_i2pemd", "joint_sep…pemd_fix")


def test_a_touch_of_the_curves_chooses_the_nearest_moment(trained):
    shown = panel.scrub(*trained["segmentation"][:2])
    card, curves = shown._card, shown._card.planes["curves"]
    (left, _, wide, _), *_ = curves._ends()
    for x, step in ((-0.1, 0), (0.9, 0), (1.2, 2), (4.8, 4), (100, 6)):
        at = min(curves.at(x, 0)[0], left + wide - 0.1) / card.width, 0.5
        assert panel.point(card, shown.result, at, True) == {"step": step}
    assert panel.point(shown._card, shown.result, (0.1, 0.5), True) == {}


@pytest.mark.parametrize("count, message", [(0, "expected one to 3, found 0"), (4, "expected one to 3, found 4")])
def test_too_few_and_too_many_runs(count, message, trained):
    with pytest.raises(BadInput, match=message):
        panel.scrub(*[trained["segmentation"][0]] * count)


def test_runs_that_cannot_stand_beside_each_other(trained):
    scans, skins = trained["segmentation"], trained["classification"]
    with pytest.raises(BadInput, match="runs of one task.*segmentation of joint, classification of baseline"):
        panel.scrub(scans[0], skins[0])
    with pytest.raises(BadInput, match="different names, found one twice"):
        panel.scrub(scans[0], scans[0])
    run = probed().finish(False)
    run.moments[1] = run.moments[1]._replace(features=np.full((4, 2), np.inf, np.float16))
    with pytest.raises(BadInput, match="in memory: expected finite features, found others at step 5"):
        panel.scrub(run)
