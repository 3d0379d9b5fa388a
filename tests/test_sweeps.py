"""Sweeps: what can be asked for, who works on which trial, and what a kill, a pause or a bad trial leaves."""

import asyncio
import builtins
import csv
import json
import random
import re
import time
from dataclasses import replace

import child
import numpy as np
import optuna
import pytest
import torch
from controls import marks, places

from i2pemd_lite import classification, sweeps
from i2pemd_lite.__main__ import main
from i2pemd_lite.files import BadInput, run_lock
from i2pemd_lite.panels import sweeps as panels

SMALL = {"size": 12, "width": 4, "labelled": 14, "unlabelled": 12, "tau_low": 0.15, "tau_high": 0.2, "top": 4,
         "share": 0.75, "steps": 6, "evaluate_every": 2, "checkpoint_every": 3}  # fmt: skip
VARY = {"weight": "log:0.1:10", "momentum": "0.5,0.8"}


@pytest.fixture
def made(skin, tmp_path):
    """A small sweep; `plan`, `vary`, `seeds` and settings may be others."""

    def make(vary=VARY, seeds=(0, 1), goal=None, folder="sweep", trials=2, sampler=None, prune=None, data=skin, **more):
        sweep = sweeps.Sweep(tmp_path / folder, "classification", "i2pemd", vary, seeds, goal, **SMALL | more)
        return sweep.planned(trials=trials, sampler=sampler, prune=prune, data=data)

    return make


def states(sweep):
    return [trial.state.name for trial in sweep.study.trials]


def weights(run):
    return torch.cat([x.double().flatten() for x in run.learner.state_dict().values()])


def alone(sweep, skin, number, seed):
    """The run of a trial as it is without a sweep."""
    changes = sweep.about["settings"] | sweep.study.trials[number].params
    return classification.train("i2pemd", skin, "ci", seed, **changes).finish(progress=False)


def quiet(line):
    pass


def test_a_trial_is_the_mean_of_its_runs_each_as_one_trained_alone(made, skin):
    said = []
    sweep = made().work(say=said.append)
    with open(sweep.folder / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert states(sweep) == ["COMPLETE"] * 2 == [row["state"].upper() for row in rows] and len(said) == 2
    for number, row in enumerate(rows):
        runs = [alone(sweep, skin, number, seed) for seed in (0, 1)]
        for seed, run in enumerate(runs):
            kept = classification.resume(sweep.run_folder(number, seed))
            assert torch.equal(weights(kept), weights(run)) and kept.history == run.history
            assert float(row[f"seed {seed}"]) == run.evaluations[-1]["auc"]
        reported = sweep.study.trials[number].intermediate_values
        pairs = zip(*(run.evaluations for run in runs), strict=True)
        means = {one["step"]: (one["auc"] + other["auc"]) / 2 for one, other in pairs}
        assert reported == pytest.approx(means) and float(row["auc"]) == pytest.approx(means[6])
        assert float(row["sd"]) == pytest.approx(abs(float(row["seed 0"]) - float(row["seed 1"])) / 2**0.5)
        assert 0.1 <= float(row["weight"]) <= 10 and float(row["momentum"]) in (0.5, 0.8)


@pytest.mark.parametrize("other, words", [
    ({"vary": {"lamda": "0:1"}}, "lamda: not a setting; .*help\\(classification.train\\) lists all"),
    ({"vary": {"vat_xi": "0.1,1"}}, "--vary vat_xi: expected a setting that i2pemd reads, found one that changes"),
    ({"vary": {"seed": "0,1"}}, "--vary seed: expected a setting that is free"),
    ({"vary": {"steps": "4,6"}}, "--vary steps: expected a setting that is free, found one that all trials share"),
    ({"vary": {"weight": "10:0.1"}}, "--vary weight=10:0.1: expected the lower end first, found 10.0 before 0.1; swap"),
    ({"vary": {"weight": "log:0:1"}}, "--vary weight=log:0:1: expected a lower end above 0, .* found 0.0; raise it"),
    ({"vary": {"weight": "-1:1"}}, "weight: expected a number from 0 to 1e30, found -1.0"),
    ({"vary": {"momentum": [0.5, 1.5]}}, "momentum: expected a number from 0 to 1, found 1.5"),
    ({"vary": {"weight": "low:high"}}, "--vary weight=low:high: expected LOW:HIGH, .* of type float, found 'low:high'"),
    ({"vary": {"weight": "1:2:3"}}, "--vary weight=1:2:3: expected two numbers for a range"),
    ({"vary": {"loss": "plain:weighted"}}, "--vary loss=plain:weighted: expected two numbers .* VALUE,VALUE for"),
    ({"vary": {"loss": "plain,wieghted"}}, "loss: expected 'plain' or 'weighted' or .*, found 'wieghted'"),
    ({"vary": {"weight": "1,2,1"}}, "--vary weight=1,2,1: expected values that differ, found 3 with 2 of them"),
    ({"vary": {"weight": 3.0}}, "vary: expected a text or a list for weight, found 3.0; give a range"),
    ({"vary": "weight=0:1"}, "sweep: expected {name: values} to vary .*, found vary 'weight=0:1'"),
    ({"seeds": 3}, "sweep: expected .* different whole numbers as seeds, found .* and seeds 3"),
    ({"vary": {}}, "sweep: expected {name: values} to vary .*, found vary {} and"),
    ({"seeds": (1, 1)}, "sweep: expected .* different whole numbers as seeds, found .* and seeds \\(1, 1\\)"),
    ({"goal": "doc"}, "goal: expected one of auc, f1, found 'doc'"),
    ({"trials": "30"}, "trials: expected a whole number from 1, found '30'"),
    ({"trials": 0}, "trials: expected a whole number from 1, found 0"),
    ({"sampler": "grid"}, "grid: expected a list of values of each setting, found a range of weight"),
    ({"sampler": "best"}, "sampler: expected one of tpe, random, grid, found 'best'"),
])  # fmt: skip
def test_what_cannot_be_swept_is_said_before_anything_is_trained(made, tmp_path, other, words):
    with pytest.raises(BadInput, match=f"^{words}"):
        made(**other)
    assert not list(tmp_path.rglob("trials"))


def test_what_was_corrected_before_the_first_trial_is_a_sweep(made):
    with pytest.raises(BadInput, match="grid: expected a list"):
        made({"weight": "0:1"}, sampler="grid")
    assert made({"weight": "0,1"}, sampler="grid").most == 2


def test_ends_of_ranges_go_with_those_of_the_others(tmp_path):
    def swept(**vary):
        return sweeps.Sweep(tmp_path, "classification", "i2pemd", vary, profile="ci").about["vary"]

    pair = swept(tau_low="0.1:0.3", tau_high="0.31:0.9")  # 0.31 is below the usual tau_low
    assert [told["low"] for _, told in pair.values()] == [0.1, 0.31]
    with pytest.raises(BadInput, match="tau_low: expected a threshold below tau_high"):
        swept(tau_low="0.1:0.3", tau_high="0.05:0.09")
    again = sweeps.Sweep(tmp_path, "classification", "i2pemd", seeds=range(2), profile="ci")  # that of before
    assert [*again.about["vary"]] == ["tau_low", "tau_high"] and again.about["seeds"] == [0, 1]


def test_a_setting_of_several_numbers_cannot_be_varied(tmp_path):
    with pytest.raises(BadInput, match="^--vary spacing=1,2: expected a setting that is one number or word"):
        sweeps.Sweep(tmp_path, "segmentation", "joint", {"spacing": "1,2"}, profile="ci")


def test_a_folder_holds_one_sweep_of_one_task_and_data(made, tmp_path):
    sweep = made(trials=1).work(say=quiet)
    made(trials=1), sweeps.Sweep(sweep.folder)  # the same once more
    for other, name in (({"vary": {"weight": "0:1"}}, "vary"), ({"seeds": (0,)}, "seeds"), ({"goal": "f1"}, "goal"),
                        ({"steps": 7}, "settings")):  # fmt: skip
        with pytest.raises(BadInput, match=f"sweep: expected the same .*, found one with {name} .* beside") as said:
            made(**other)
        assert "suggest" not in str(said.value)
    with pytest.raises(BadInput, match="vary weight=log:0.1:10 momentum=0.5,0.8 beside weight=0:1; choose another"):
        made({"weight": "0:1"})
    with pytest.raises(BadInput, match="sampler: expected random, by which the trials were chosen, found grid; choose"):
        made({"weight": "0,1"}, seeds=(0,), folder="of a grid", trials=1, steps=1, sampler="random").work(say=quiet)
        sweeps.Sweep(sweep.folder.parent / "of a grid").planned(sampler="grid")
    with pytest.raises(BadInput, match="found one with task classification beside segmentation; choose another"):
        sweeps.Sweep(sweep.folder, "segmentation", "joint_i2pemd", {"momentum": "0:1"})
    from i2pemd_lite.classification.synthetic import make

    others = make(tmp_path / "others", images=120, progress=False)
    with pytest.raises(BadInput, match="sweep: expected the data .*, found others in .*; give the data that the sweep"):
        made(trials=2, data=others).work()
    assert states(sweep) == ["COMPLETE"]


def test_a_folder_without_a_sweep_and_a_damaged_one_are_named(made, tmp_path, skin):
    with pytest.raises(BadInput, match="task: expected segmentation or classification, found 'speech'"):
        sweeps.Sweep(tmp_path / "nothing", "speech", "i2pemd", VARY)
    with pytest.raises(BadInput, match="nothing: expected the folder of a sweep, found no study.log in it; give"):
        sweeps.Sweep(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    sweeps.study(tmp_path / "own")
    with pytest.raises(BadInput, match="own: expected a sweep of settings, found a study of something else"):
        sweeps.Sweep(tmp_path / "own")
    log = made().folder / "study.log"
    log.write_bytes(b"{not json\n" + log.read_bytes())
    with pytest.raises(BadInput, match="study.log: expected Optuna's log of a sweep, found .*; restore it"):
        made()


def test_without_optuna_a_sentence_says_how_to_get_it(made, monkeypatch):
    real = builtins.__import__

    def missing(name, *rest):
        if name == "optuna":
            raise ImportError(name)
        return real(name, *rest)

    sweeps.optuna.cache_clear()
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(BadInput, match="^optuna: expected the package .*, found none; install it with: pip"):
        made()


def test_a_trial_that_diverges_is_kept_and_the_others_go_on(made):
    said = []
    sweep = made({"learning_rate": [1e-3, 1e30]}, sampler="grid", trials=5).work(say=said.append)
    assert sorted(states(sweep)) == ["COMPLETE", "FAIL"]
    failed = next(trial for trial in sweep.study.trials if trial.state.name == "FAIL")
    assert failed.params == {"learning_rate": 1e30} and "diverged" in failed.user_attrs["why"]
    assert f"trial {failed.number}, learning_rate 1e+30: failed: {failed.user_attrs['why']}" in said
    assert (sweep.run_folder(failed.number, 0) / "settings.json").is_file()
    assert "Fewer than two trials are complete" in str(sweep)


def test_a_full_disk_ends_the_work_and_not_the_trial(made, monkeypatch):
    from i2pemd_lite.runs import store

    def full(*_):
        raise OSError(28, "No space left on device", "checkpoint.safetensors")

    sweep = made()
    with monkeypatch.context() as patch:
        patch.setattr(store, "_write_checkpoint", full)
        with pytest.raises(BadInput, match="expected room for"):
            sweep.work()
    assert states(sweep) == ["RUNNING"]
    with monkeypatch.context() as patch:  # a table that is open in Excel
        patch.setattr(sweeps, "write_csv", full)
        assert states(sweep.work(say=quiet)) == ["COMPLETE"] * 2


def test_a_log_that_was_cut_off_goes_on(made, monkeypatch, capsys):
    sweep = made(trials=1)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="study.log"):
            sweep.study.ask()
    log = sweep.folder / "study.log"
    for end in (b'{"op_code":8,"worker_', b"{"):
        whole = log.read_bytes()
        log.write_bytes(whole + end)
        made(trials=1)
        assert log.read_bytes().startswith(whole + b"{") and sweeps.Sweep(sweep.folder).plan["trials"] == 1
    log.write_bytes(log.read_bytes() + b"{not json\n{}\n")
    assert sweeps.main(sweep.folder) == 1
    assert re.match("i2pemd_lite: .*study.log: expected Optuna's log of a sweep, found", capsys.readouterr().err)


def test_what_is_wrong_around_a_trial_fails_it_at_the_third_time(made, monkeypatch):
    def refused(*_):
        raise BadInput("GPU: expected room, found less")

    sweep = made(trials=1)
    with monkeypatch.context() as patch:
        patch.setattr(sweep, "_open", refused)
        for _ in range(2):
            with pytest.raises(BadInput, match="GPU"):
                sweep.work(say=quiet)
            assert states(sweep) == ["RUNNING"]
        sweep.work(say=quiet)
    assert states(sweep) == ["FAIL"] and sweep.rows()[0]["why"] == "GPU: expected room, found less"


def test_a_trial_with_known_settings_is_not_trained_again(made):
    sweep = made({"momentum": "0.5,0.8"}, trials=3)
    for momentum in (0.5, 0.8, 0.8):
        sweep.study.enqueue_trial({"momentum": momentum})
    sweep.work(say=quiet)
    _, second, third = sweep.rows()
    assert third["auc"] == second["auc"] and third["why"].startswith("as trial 1")
    assert not (sweep.run_folder(2, 0) / "settings.json").exists()
    it = panels.panel(sweep.folder)
    it.set(trial=2)
    assert it.run_folder() == sweep.run_folder(1, 0)
    assert re.search(r"trial \d, momentum (.*): .* leads trial \d by", str(sweep))


def test_another_machine_goes_on_with_its_own_data(made, skin, tmp_path, monkeypatch):
    sweep = made(trials=1)
    trial, claim = sweep._take()
    next(sweep._open(trial, 0))
    claim.close()
    (tmp_path / "there").symlink_to(skin)
    other = sweeps.Sweep(sweep.folder).planned(data=tmp_path / "there")
    assert other.data == str(tmp_path / "there") and sweeps.Sweep(sweep.folder).data == str(skin)
    real = other._prepared  # another processor rounds otherwise
    settings = other.task.settings_for("i2pemd", "ci", changes=SMALL)
    other.study.set_user_attr("sketch", [number * 1.0001 for number in real(settings).sketch])
    monkeypatch.setattr(other, "_prepared", lambda s: replace(real(s), fingerprint="another"))
    assert states(other.work(say=quiet)) == ["COMPLETE"]


def test_a_grid_has_each_combination_once_and_no_more(made):
    vary = {"features": "weak,strong", "momentum": "0.5,0.8"}
    sweep = made(vary, seeds=(0,), sampler="grid", trials=9, steps=2).work(say=quiet)
    tried = sorted(tuple(trial.params[name] for name in vary) for trial in sweep.study.trials)
    assert tried == [("strong", 0.5), ("strong", 0.8), ("weak", 0.5), ("weak", 0.8)]


@pytest.mark.parametrize("prune, last", [("median", "PRUNED"), ("halving", "PRUNED"), ("none", "COMPLETE")])
def test_a_trial_that_falls_behind_is_stopped_early(made, monkeypatch, prune, last):
    monkeypatch.setattr(sweeps, "_figure", lambda run, step, goal: run.settings.learning_rate)
    sweep = made({"learning_rate": "0:1"}, seeds=(0,), trials=6, prune=prune)
    for rate in (5e-3, 6e-3, 7e-3, 8e-3, 9e-3, 0.0):
        sweep.study.enqueue_trial({"learning_rate": rate})  # Optuna's, which is asked first
    sweep.work(say=quiet)
    assert states(sweep) == ["COMPLETE"] * 5 + [last]
    assert classification.resume(sweep.run_folder(5, 0)).number == (6 if prune == "none" else 2)
    assert (sweep.rows()[5]["auc"] == "") == (prune != "none")


def test_what_is_paused_is_saved_and_goes_on(made, skin, monkeypatch):
    sweep, report = made(trials=1), optuna.trial.Trial.report

    def paused(trial, value, step):
        report(trial, value, step)
        sweep.paused.touch()

    with monkeypatch.context() as patch:
        patch.setattr(optuna.trial.Trial, "report", paused)
        with pytest.raises(KeyboardInterrupt, match="trial 0, seed 0: paused at step 2 of 6"):
            sweep.work()
    assert [classification.resume(sweep.run_folder(0, seed)).number for seed in (0, 1)] == [2, 2]
    sweep.finish()
    assert states(sweep) == ["COMPLETE"]
    assert torch.equal(weights(classification.resume(sweep.run_folder(0, 1))), weights(alone(sweep, skin, 0, 1)))


def test_what_is_stopped_finishes_what_it_began_and_goes_on_with_more(made):
    sweep = made({"momentum": "0.5,0.8,0.9"}, seeds=(0,), trials=4, steps=2)
    sweep.work(say=lambda line: sweep.stop())
    assert states(sweep) == ["COMPLETE"] and sweep.over
    it = panels.panel(sweep.folder)
    it.buttons["Start"].click()
    assert "expected some that are to be trained, found a plan of 1" in it.error.value and it.going == 0
    trial, claim = sweep.planned(trials=3)._take()
    sweep.stop()
    with claim:
        assert sweep._take() is None and sweep.plan["trials"] == 2
    sweep.work(say=quiet)  # what was in training then
    assert states(sweep) == ["COMPLETE"] * 2


def test_equal_settings_are_not_trained_by_two_at_once(made):
    sweep = made({"momentum": "0.5,0.8"}, seeds=(0,), trials=3, steps=2)
    for momentum in (0.5, 0.5, 0.8):
        sweep.study.enqueue_trial({"momentum": momentum})
    first, claim = sweep._take()
    with claim:
        other, held = sweep._take()
        with held:
            assert (first.number, other.number) == (0, 2) and sweep._take() is None and states(sweep) == ["RUNNING"] * 3
        assert sweep.at_work() == [0]
    sweep.work(say=quiet)
    assert states(sweep) == ["COMPLETE"] * 3 and sweep.rows()[1]["why"].startswith("as trial 0")
    assert not (sweep.run_folder(1, 0) / "settings.json").exists()


def test_nothing_is_prepared_where_nothing_is_left(made, monkeypatch):
    sweep = made(trials=1)
    sweep.study.tell(sweep._take()[0], 1.0)
    monkeypatch.setattr(sweep, "_prepared", None)
    assert sweep.over and sweep.work() is sweep


def test_a_trial_is_drawn_by_its_own_number(made):
    sweep = made(sampler="random", seeds=(0,))
    sweep.study._storage.create_new_trial(sweep.study._study_id)  # by a process that was killed in that moment
    (first, _), (second, _) = sweep._take(), sweep._take()
    assert first.params["weight"] != second.params["weight"]


def test_a_run_that_somebody_trains_or_has_steered_is_left_alone(made):
    sweep = made(trials=1)
    trial, claim = sweep._take()
    claim.close()
    with run_lock(sweep.run_folder(0, 1)):
        assert sweep._take() is None
    run = sweep._open(trial, 0)
    next(run)
    run.change(weight=3.0)
    run.save()
    sweep.work(say=quiet)
    assert states(sweep) == ["FAIL"] and "somebody steered it" in sweep.rows()[0]["why"]


def test_a_trial_that_is_told_just_now_is_not_taken_up(made, monkeypatch):
    sweep = made(trials=1)
    trial, claim = sweep._take()
    seen, real = sweep.study.trials, sweep.study.get_trials
    sweep.study.tell(trial, 1.0)
    claim.close()
    stale = {"states": (optuna.trial.TrialState.RUNNING,), "deepcopy": False}
    monkeypatch.setattr(sweep.study, "get_trials", lambda *args, **how: seen if how == stale else real(*args, **how))
    assert sweep._take() is None


def test_killed_workers_lose_nothing(made, skin):
    moments = random.Random(21)
    sweep = made(trials=4, steps=24, evaluate_every=8)
    crew, left = [child.started(sweeps.main, sweep.folder) for _ in range(2)], 0
    for turn in range(6):
        time.sleep(moments.uniform(0.3, 0.9))
        crew[turn % 2].kill()
        crew[turn % 2].join()
        left += "RUNNING" in states(sweep)
        crew[turn % 2] = child.started(sweeps.main, sweep.folder)
    for process in crew:
        process.join(120)
    sweep.work(say=quiet)  # what the last of them left
    assert left >= 3 and [process.exitcode for process in crew] == [0, 0]
    assert states(sweep) == ["COMPLETE"] * 4 and len({tuple(t.params.items()) for t in sweep.study.trials}) == 4
    for number in range(4):
        for seed in (0, 1):
            kept, run = classification.resume(sweep.run_folder(number, seed)), alone(sweep, skin, number, seed)
            assert torch.equal(weights(kept), weights(run)) and kept.history == run.history
            assert sweep.rows()[number][f"seed {seed}"] == run.evaluations[-1]["auc"]


def test_two_workers_never_have_the_same_trial(made):
    sweep = made(seeds=(0,), trials=7, steps=2)
    crew = [child.started(sweeps.main, sweep.folder, out=sweep.folder / f"said{i}") for i in range(2)]
    for process in crew:
        process.join(120)
    told = [(sweep.folder / f"said{i}").read_text().splitlines() for i in range(2)]
    assert all(told) and sorted(line[:7] for lines in told for line in lines) == [f"trial {i}" for i in range(7)]
    assert states(sweep) == ["COMPLETE"] * 7 and len({trial.params["weight"] for trial in sweep.study.trials}) == 7


def test_what_seeds_alone_can_do_is_said(made):
    def said(*values):
        sweep = made({"weight": "1:9"}, seeds=tuple(range(len(values[0]))), folder=str(values))
        for seeds in values:
            trial = sweep.study.ask({"weight": optuna.distributions.FloatDistribution(1, 9)})
            trial.set_user_attr("values", seeds)
            sweep.study.tell(trial, sum(seeds) / len(seeds))
        return sweep

    close = said([1.0, 2.0, 6.5], [5.0, 4.0, 3.5])  # 1 ± 4.303 · 3.606 / √3
    assert str(close).startswith("Best is trial 1") and str(close).endswith(close.compared(1, 0))
    assert "Trial 1 leads trial 0 by 1; over seeds the 95 % interval of this difference is -8 to 10." in str(close)
    assert "Seeds alone can do that, so this sweep does not tell the two apart" in close.compared(0, 1)
    clear = said([1.0, 2.0, 3.0], [5.0, 6.1, 7.2], [0.0, 0.0, 0.0])
    picture = panels.panel(clear.folder, trials=99)
    assert picture.state["trials"] == clear.plan["trials"] == 2  # what was planned, whatever a cell began with
    lines = [places(line) for line in marks(picture.image.value, "trials line")]
    x = np.argsort([trial.params["weight"] for trial in clear.study.trials])
    heights = np.concatenate([line[:, 1] for line in lines])  # of each seed, from one trial to the next
    values = np.array([[1.0, 2.0, 3.0], [5.0, 6.1, 7.2], [0.0, 0.0, 0.0]])[x].T.flatten()
    assert np.corrcoef(heights, values)[0, 1] < -0.999  # measured from above
    assert "Best is trial 1" in str(clear) and "These are two of 3: check them with other seeds, and" in str(clear)
    trails = "Trial 2 trails trial 1 by 6.1; over seeds the 95 % interval of this difference is 3.4 to 8.8."
    assert clear.compared(2, 1).startswith(f"{trails} Seeds alone rarely do that to two")  # 6.1 ± 4.303 · 1.1 / √3
    assert "With one seed nobody can say" in str(said([1.0], [2.0]))
    assert clear.compared(1, 1) == "Trial 1 has the settings of trial 1."
    clear.study.ask({"weight": optuna.distributions.FloatDistribution(1, 9)})
    assert re.fullmatch(r"Trial 3, weight \S+: running\.", clear.compared(3, 1))


def test_the_command_makes_a_sweep_and_goes_on_with_it(skin, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    words = f"sweep classification i2pemd --out s --data {skin} --seeds 0,1 --profile ci".split()
    words += [w for name, value in SMALL.items() for w in ("--set", f"{name}={value}")]
    assert main([*words, "--vary", "weight=log:0.1:10", "--vary", "momentum=0.5,0.8", "--trials", "1"]) == 0
    assert main(["sweep", "--out", "s", "--trials", "3", "--workers", "2"]) == 0
    assert states(sweeps.Sweep("s")) == ["COMPLETE"] * 3
    out = capfd.readouterr().out
    assert all(f"trial {number}, weight" in out for number in range(3)) and "all trials are in s" in out
    assert main([*words, "--vary", "weight"]) == 1 and main(["sweep", "--out", "s", "--set", "steps=3"]) == 1
    assert main([*words, "--vary", "weight=5:1"]) == 1 and main(["sweep", "--out", "s", "--workers", "0"]) == 1
    assert main([*words, "--vary", "weight=0.1,1", "--vary", "weight=2,3"]) == 1
    assert main(["sweep", "segmentation", "--out", "s"]) == 1
    err = capfd.readouterr().err
    for said in ("--vary weight: expected NAME=VALUES", "sweep: expected a task and a method", "swap them",
                 "--workers: expected a whole number from 1, found 0", "--vary: expected each setting once",
                 "s: expected the same sweep or none, found one with task classification beside segmentation"):
        assert said in err


@pytest.fixture
def shown(made):
    """A sweep of three trials that are told and not trained, one that failed, and one that a killed process left."""
    vary = {"learning_rate": "log:0.001:0.1", "features": "weak,strong"}
    sweep = made(vary, seeds=(0, 1, 2), trials=3)
    told = [(0.01, "weak", [60.0, 61.0, 62.0]), (0.001, "strong", [50.0, 55.0, 60.0]), (0.1, "weak", [70.0, 69, 71])]
    for rate, features, values in told:
        sweep.study.enqueue_trial({"learning_rate": rate, "features": features})
        trial, claim = sweep._take()
        trial.report(values[0], 2), trial.report(sum(values) / 3, 4)
        trial.set_user_attr("values", values)
        sweep.study.tell(trial, sum(values) / 3)
        claim.close()
    sweep.planned(trials=5)
    trial, claim = sweep._take()
    sweep.study.tell(trial, state=optuna.trial.TrialState.FAIL)
    claim.close()
    _, claim = sweep._take()
    claim.close()
    return sweep


def test_the_panel_shows_every_trial_with_the_spread_of_its_seeds(shown, monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")
    it = panels.panel(shown.folder)
    np.testing.assert_allclose(it.result.mean[:3], [61, 55, 70])
    np.testing.assert_allclose(it.result.sd[:3], [1, 5, 1])
    assert it.result.curves[1] == [(2, 50.0), (4, 55.0)]
    words = str(shown).replace("learning_rate", "learning rate")
    assert it.words == words
    assert it.numbers == {"trials": 5, "complete": 3, "in training": 0, "pruned": 0, "fail": 1}
    bars, points = marks(it.image.value, "trials segments"), marks(it.image.value, "trials points")
    lines = places(bars[0]).reshape(3, 2, 2)
    assert np.allclose(np.ptp(lines[..., 1], axis=1) / np.ptp(lines[0, :, 1]), [1, 5, 1], atol=0.05)
    assert np.allclose(np.diff(np.sort(lines[:, 0, 0])), np.diff(np.sort(lines[:, 0, 0]))[0], atol=0.2)  # a decade each
    assert len(points) == 2 and it.state["trial"] == "best" and it.result.chosen == 2  # of all, and of the best one
    it.set(trial=1)
    assert it.words == f"{words} {shown.compared(1, 2)}" and "Trial 1 trails trial 2 by 15" in it.words
    it.set(**{"with": 0})
    assert it.words == f"{words} {shown.compared(1, 0)}" and "Trial 1 trails trial 0 by 6" in it.words
    it.set(trial=0, **{"with": "best"})  # the best two, which are compared anyway
    assert it.words == words
    it.set(order="auc", trial=2, picture="slices")
    it.children[2].children[-1].click()  # Reset, which keeps what is chosen of the trials
    assert (it.state["trial"], it.state["order"], it.state["picture"]) == (2, "auc", "none")
    assert [int(row) for row in re.findall(r'font-weight:inherit">(\d)</th>', it.table.value)][:3] == [2, 0, 1]
    it.set(order="learning_rate")
    assert it.result.order[:3].index(1) < it.result.order.index(0) < it.result.order.index(2)
    assert it.table.value.count("waiting") == 1 == it.table.value.count("fail")
    shown.study.ask()  # whose settings are not written yet
    it.refresh()
    assert np.isnan(it.result.x[5]) and it.table.value.count("waiting") == 2
    it.set(against="features")
    assert it.result.x[:3].tolist() == [0, 1, 0] and it.result.named == ["weak", "strong"]


def test_a_click_chooses_the_nearest_trial_and_its_settings(shown, skin, monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")
    it = panels.panel(shown.folder, against="learning_rate")
    plane = it._card.planes["trials"]
    x, y = plane.at(0.08, 70.0)
    it._touched((x / it._card.width, 1 - y / it._card.height), True)
    assert it.state["trial"] == 2
    it.buttons["Use these settings"].click()
    assert "expected the folder of a run" in it.error.value  # which was never trained
    shown.work(say=quiet)
    it.set(trial=4)
    it.buttons["Use these settings"].click()
    words = it.said.value.splitlines()[1].split()
    given = dict(word.split("=") for before, word in zip(words, words[1:], strict=False) if before == "--set")
    params = shown.study.trials[4].params
    assert float(given["learning_rate"]) == params["learning_rate"] and given["width"] == "4"
    assert f"learning_rate={params['learning_rate']!r}" in it.said.value
    assert "classification.train('i2pemd', data, seed=0, **panel.settings)" in it.said.value
    kept = classification.resume(shown.run_folder(4, 1))
    assert json.loads(it.said.value.splitlines()[-1]) == {**vars(kept.settings), "seed": 0}
    run = classification.train("i2pemd", skin, seed=1, **it.settings).finish(progress=False)
    assert torch.equal(weights(kept), weights(run)) and run.history == kept.history
    it.buttons["Open in the cockpit"].click()
    it.buttons["Open in the cockpit"].click()
    assert it.children[-1].controls["run"].options == ("seed0", "seed1", "seed2")
    assert sum(type(child) is type(it.children[-1]) for child in it.children) == 1


@pytest.mark.parametrize("name", [name for name in panels.PICTURES if name != "none"])
def test_optunas_pictures_are_drawn(shown, monkeypatch, name):
    monkeypatch.setenv("I2PEMD_STRICT", "1")
    it = panels.panel(shown.folder, picture=name)
    assert it.live in it.children and len(it.live.data) >= 1
    if name == "slices":
        bars = {bar for trace in it.live.data for bar in trace.error_y.array}
        assert bars == {1.0, 5.0}
    it.set(picture="none")
    assert it.live not in it.children


def test_a_sweep_is_started_from_the_panel(skin, tmp_path):
    folder = tmp_path / "new"
    it = panels.panel(folder, "classification", "i2pemd", data=skin, seeds=(0,), profile="ci", **SMALL)
    assert it.shown == ["vary", "low", "high", "trials", "workers"] and "with λ from 0 to 4." in it.words
    ends, base = {}, classification.TASK.settings_for("i2pemd", "ci", changes=SMALL)
    for _, name in it.controls["vary"].options:
        it.set(vary=name)
        ends[name] = it.state["low"], it.state["high"]
        sweeps.suggestions(base, {name: ends[name]})  # which a run can have
    it.children[2].children[-1].click()  # Reset
    assert [it.state[name] for name in ("vary", "low", "high")] == ["weight", 0.0, 4.0]
    assert ends["momentum"] == (0.0, 1.0) and ends["tau_low"] == (0.0, 0.19) and ends["learning_rate"] == (1e-4, 0.1)
    it.set(vary="weight", low=3.0, high=1.0)
    it.buttons["Start"].click()
    assert "expected the lower end first, found 3.0 before 1.0" in it.error.value and not folder.exists()
    it.set(vary="momentum")
    for _ in range(2):
        it.buttons["Vary another setting"].click()
    assert it.shown[3:9] == ["vary 2", "low 2", "high 2", "vary 3", "low 3", "high 3"] and "vary 4" not in it.shown
    assert (it.state["vary 2"], it.state["vary 3"]) == ("weight", "learning_rate")
    assert "with α from 0 to 1 and λ from 0 to 4 and learning rate from 0.0001 to 0.1." in it.words
    it.set(**{"vary": "weight", "vary 3": ""})
    assert "low 3" not in it.shown
    it.buttons["Start"].click()
    assert "expected each setting once, found λ, λ; choose another" in it.error.value and not folder.exists()
    it.set(**{"vary 2": "learning_rate", "low 2": 1e-3, "high 2": 1e-2})
    it.buttons["Open in the cockpit"].click()
    assert "expected a chosen trial, found none" in it.error.value
    it.set(low=0.3, trials=2, workers=1)
    it.buttons["Start"].click()
    assert it.error.value == "" and it.going == 1 and "low" not in it.shown and "1 process is starting" in it.words
    begun = sweeps.suggestions(base, {"weight": "0.3:4", "learning_rate": "log:0.001:0.01"})
    assert it.sweep.about["vary"] == begun and it.sweep.plan["trials"] == 2
    it.buttons["Start"].click()
    assert "expected a sweep on which no process is at work, found some" in it.error.value and it.going == 1
    it._workers[0].wait(120)
    it.refresh()
    assert it.numbers["complete"] == 2 == len(it.result.rows)
    assert "lead" in it.words and panels.panel(folder).words == it.words
    with pytest.raises(BadInput, match="expected the same sweep or none, found one with vary"):
        panels.panel(folder, "classification", "i2pemd", {"momentum": "0:1"}, seeds=(0,), profile="ci", **SMALL)
    for task, method in (("segmentation", "joint_sepbn_i2pemd"), ("classification", "fixmatch")):
        with pytest.raises(BadInput, match="expected the same sweep or none, found one with (task|method)"):
            panels.panel(folder, task, method)
    assert panels.panel(folder, "classification", "i2pemd", seeds=(0,), profile="ci", **SMALL).words == it.words
    with pytest.raises(BadInput, match="none: expected the folder of a sweep"):
        panels.panel(tmp_path / "none")


class Process:
    """One that was started, and has ended with a status, or not (None)."""

    def __init__(self, status=None):
        self.poll = lambda: status


def test_the_panel_says_what_its_processes_do(shown, monkeypatch):
    it = panels.panel(shown.folder)
    monkeypatch.setattr(shown.__class__, "start", lambda *_, **__: [Process(), Process()])
    shown.planned(trials=60)
    it.buttons["Start"].click()
    assert it.going == 2 and shown.plan["trials"] == 60  # the slider was not moved
    assert "2 processes are starting" in it.words
    it.buttons["Pause"].click()
    assert "It is pausing" in it.words
    shown.paused.unlink()
    with run_lock(shown.run_folder(4, 0)):
        it.buttons["Stop"].click()
        assert "No other trial begins after those that are in training." in it.words
    assert shown.plan["trials"] == 5 == it.state["trials"]
    it._workers = []
    with run_lock(shown.run_folder(4, 0)):  # by another panel
        it.buttons["Start"].click()
    assert "expected a sweep on which no process is at work" in it.error.value and it.going == 0
    log, it._workers = shown.folder / "workers.log", [Process(1), Process(0)]
    log.write_text("i2pemd_lite: GPU: expected room\ntrial 3, weight 0.5: auc 71\n")
    assert "GPU: expected room" in it.complaint
    log.write_text("trial 3, weight 0.5: auc 71\n")
    assert "exit status 1" in it.complaint and "auc 71" not in it.complaint


def test_the_panel_looks_on_until_all_is_done(shown, monkeypatch):
    async def looked():
        it = panels.panel(shown.folder)
        with monkeypatch.context() as patch:
            patch.setattr(it.sweep, "rows", lambda: (_ for _ in ()).throw(OSError(5, "Input/output error")))
            await asyncio.sleep(0.1)
        assert "Input/output error" in it.error.value and not it._task.done()  # nobody has a trial, and one look failed
        shown.study.tell(4, 50.0)
        await asyncio.wait_for(it._task, 10)
        assert it.numbers["complete"] == 4

    monkeypatch.setattr(panels, "PERIOD", 0.02)
    asyncio.run(looked())
