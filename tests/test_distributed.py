"""Two processes give the numbers of one: same losses, prototypes, G, figures and checkpoint, to nine digits.

In float64, because a network that learns from noise doubles a rounding error at every step: two float32 runs on one and
on two threads are as far apart after three steps as one and two processes are.
"""

import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from child import started

from i2pemd_lite import BadInput, __main__, classification, distributed, segmentation
from i2pemd_lite.runs import moments
from i2pemd_lite.runs.settings import Settings
from i2pemd_lite.runs.store import TABLES, read_about, read_checkpoint, read_tables
from i2pemd_lite.runs.task import Learner

METHODS = {"segmentation": "joint_sepbn_i2pemd", "classification": "i2pemd"}
SETTINGS = {"precision": "float64", "steps": 2, "schedule": "step", "checkpoint_every": 1, "evaluate_every": 2}
SMALL = {"segmentation": {"width": 2, "dim": 4, "size": (16, 16), "spacing": (8.0, 24.0, 24.0)}, "classification": {}}
OTHERS = {
    # What mixes samples in another way than the two above: memories, relations, noise, mixtures; other pools.
    "classification": {
        "flexmatch": {"prototypes": "first"},
        "fixmatch": {"norms": "apart"},
        "src_mt": {"loss": "srcmt"},
        "ua_mt": {},
        "vat": {},
        "mixmatch": {},
    },
    "segmentation": {
        "ummkd": {"batch": 2},
        "joint_sepbn_i2ped": {"pool": "modalities"},
        "joint": {"forward": "apart", "preset": "beyond", "batch": 2, "size": (32, 32), "patch_size": None},
        "x_shaped": {"pool": "in turn"},
    },
}
COMMAND = ["-m", "i2pemd_lite"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def module(task):
    return importlib.import_module(f"i2pemd_lite.{task}")


def train(task, data, folder):
    """The run that the tests compare, trained for two steps."""
    settings = SETTINGS | SMALL[task]
    begin = module(task).train
    run = distributed.run_on_first_then_all(lambda: begin(METHODS[task], data, "ci", 0, folder, **settings))
    return run.finish(progress=False)


def go_on(task, data, folder, steps):
    run = distributed.run_on_first_then_all(lambda: module(task).resume(folder, data))
    run.change(steps=steps)
    run.finish(progress=False)


def others(task, data):
    """By method: its losses in two steps, then the squares of each of its tensors."""
    found = {}
    for method, changes in OTHERS[task].items():
        settings = SETTINGS | SMALL[task] | changes
        run = distributed.run_on_first_then_all(lambda: module(task).train(method, data, "ci", **settings))  # noqa: B023
        run._evaluate = run._keep_moment = lambda: None
        losses = [step.loss for step in run]
        found[method] = [*losses, *(float(x.double().square().sum()) for x in run.learner.state_dict().values())]
    return found


def job(task, data, out):
    """What several processes do in these tests, and one does again to compare."""
    train(task, data, Path(out) / "new")
    go_on(task, data, Path(out) / "old", steps=4)
    numbers = others(task, data)
    if distributed.is_main():
        (Path(out) / "others.json").write_text(json.dumps(numbers))


def jobs(each):
    """`job` for each (task, data, out), in one of several processes."""
    with distributed.joined():
        for given in each:
            job(*given)


def ranks(folder, function, given):
    """Two processes as torchrun starts them; each says what is wrong in a file of `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    return [started(function, given, err=folder / f"rank {r}", RANK=str(r), **where) for r in range(2)]


def ended(both, folder, seconds):
    """The exit codes of both, and what they said."""
    for process in both:
        process.join(seconds)
    return [process.exitcode for process in both], [(folder / f"rank {r}").read_text() for r in range(2)]


def options(settings):
    texts = {name: str(value).strip("()").replace(" ", "") for name, value in settings.items()}
    return [word for name, text in texts.items() for word in ("--set", f"{name}={text}")]


@pytest.fixture(scope="module")
def made(tmp_path_factory, abdomen, skin):
    """{task: (data, folder of what one process did, folder of what two did)}; "old" was begun by one in both."""
    found = {}
    for task, data in (("segmentation", abdomen), ("classification", skin)):
        one, two = (tmp_path_factory.mktemp(f"{task}-{name}") for name in ("one", "two"))
        train(task, data, one / "old")
        shutil.copytree(one / "old", two / "old")
        job(task, data, one)
        found[task] = (data, one, two)
    folder = tmp_path_factory.mktemp("said")
    both = ranks(folder, jobs, [(task, data, two) for task, (data, _, two) in found.items()])
    codes, said = ended(both, folder, 300)
    assert codes == [0, 0], said
    return found


def assert_same_run(one, two):
    """The same tables, moments and checkpoint but for the last digits; prototypes and G are in the moments."""
    number = read_checkpoint(one)[0]["number"]
    for name, ours, theirs in zip(TABLES, *(read_tables(folder, number) for folder in (one, two)), strict=True):
        assert len(ours) == len(theirs) > 0
        for a, b in zip(ours, theirs, strict=True):
            assert a == pytest.approx(b, rel=1e-9, abs=1e-9, nan_ok=True), name
    (about, ours), (other, theirs) = (read_checkpoint(folder) for folder in (one, two))
    assert about["number"] == other["number"] and ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-7, atol=1e-9, msg=name.__add__)
    for a, b in zip(*(moments.read(folder, 99) for folder in (one, two)), strict=True):
        np.testing.assert_allclose(a.prototypes, b.prototypes, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(a.ground, b.ground)


@pytest.mark.parametrize("task", METHODS)
def test_two_processes_have_the_numbers_of_one(made, task):
    _, one, two = made[task]
    assert_same_run(one / "new", two / "new")
    assert [read_about(folder / "new")["processes"] for folder in (one, two)] == [1, 2]


@pytest.mark.parametrize("task", METHODS)
def test_two_processes_go_on_with_the_run_of_one_and_one_with_theirs(made, task, tmp_path):
    data, one, two = made[task]
    assert_same_run(one / "old", two / "old")
    go_on(task, data, two / "old", steps=5)
    go_on(task, data, one / "old", steps=5)
    assert_same_run(one / "old", two / "old")


@pytest.mark.parametrize("task", METHODS)
def test_every_way_to_mix_samples_can_be_shared(made, task):
    one, two = (json.loads((folder / "others.json").read_text()) for folder in made[task][1:])
    assert list(one) == list(two) == list(OTHERS[task])
    for method, numbers in one.items():
        np.testing.assert_allclose(two[method], numbers, rtol=1e-7, err_msg=method)


def test_the_command_trains_in_two_processes(made, tmp_path):
    data, one, _ = made["segmentation"]
    words = ("train", "segmentation", METHODS["segmentation"], "--data", data, "--profile", "ci")
    command = [*TORCHRUN, *COMMAND, *words, "--out", tmp_path / "run", *options(SETTINGS | SMALL["segmentation"])]
    done = subprocess.run(list(map(str, command)), env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "in 2 processes, 2 steps" in done.stdout
    assert_same_run(one / "new", tmp_path / "run")
    assert {path.name for path in tmp_path.iterdir()} == {"run"} and (tmp_path / "run" / "report.json").exists()


def test_what_cannot_be_shared_is_refused_in_one_sentence(abdomen, tmp_path):
    words = ("train", "segmentation", "joint", "--data", abdomen, "--profile", "ci", "--out", tmp_path / "run")
    both = ranks(tmp_path, __main__.main, [*map(str, words), *options(SMALL["segmentation"] | {"batch": 1})])
    codes, said = ended(both, tmp_path, 120)
    assert codes == [1, 1]
    expected = "i2pemd_lite: batch: expected a patch of each modality for each of 2 processes, found 1; start fewer"
    assert said[0].count(expected) == 1 and "Traceback" not in said[0] and said[1] == ""
    assert not (tmp_path / "run").exists()


def test_a_process_that_dies_ends_the_other_with_a_sentence(abdomen, tmp_path):
    words = ("train", "segmentation", "joint", "--data", abdomen, "--profile", "ci", "--out", tmp_path / "run")
    both = ranks(tmp_path, __main__.main, [*map(str, words), *options(SMALL["segmentation"] | {"steps": 100_000})])
    try:
        until = time.monotonic() + 120
        while not (tmp_path / "run" / "history.csv").exists():  # written with the first checkpoint
            assert time.monotonic() < until and both[0].is_alive()
            time.sleep(0.05)
        both[1].kill()
        (code, _), (said, _) = ended(both, tmp_path, 60)
    finally:
        for process in both:
            process.kill()
    assert code == 1
    assert "process 0 of 2: lost the others (" in said and "Traceback" not in said
    assert "goes on from its last checkpoint with train --resume" in said
    assert segmentation.resume(tmp_path / "run", abdomen).number >= 4


def test_refusals_say_what_to_do(abdomen, skin):
    learner = segmentation.train("joint", abdomen, "ci").learner
    learner.expect_shares(3)
    with pytest.raises(BadInput, match="4 processes, found 3; start fewer processes, or take more with --set batch=4"):
        learner.expect_shares(4)
    learner = classification.train("baseline", skin, "ci", unlabelled=37).learner
    learner.expect_shares(4)
    with pytest.raises(BadInput, match="labelled: expected images that 5 processes can share equally, found 12; start"):
        learner.expect_shares(5)
    with pytest.raises(BadInput, match="unlabelled: expected images that 4 processes"):
        classification.train("i2pemd", skin, "ci", unlabelled=37).learner.expect_shares(4)
    other = Learner()
    other.settings = Settings(method="mine")
    with pytest.raises(BadInput, match="mine: expected one process, found 2; start it without torchrun"):
        other.expect_shares(2)


WHOLE = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


def test_other_commands_ask_for_one_process(tmp_path, monkeypatch, capsys):
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    assert __main__.main(["evaluate", str(tmp_path)]) == 1
    assert "evaluate: expected one process, found several; start it without torchrun" in capsys.readouterr().err


@pytest.mark.parametrize(
    "where",
    [{"WORLD_SIZE": ""}, {"WORLD_SIZE": "2"}, {"RANK": "1", "WORLD_SIZE": "2"}, WHOLE | {"RANK": ""},
     WHOLE | {"MASTER_ADDR": ""}, WHOLE | {"WORLD_SIZE": "two"}, WHOLE | {"RANK": "2"}],
)  # fmt: skip
def test_what_a_cluster_manager_set_in_part_is_one_process(where, tmp_path, monkeypatch, capsys):
    for name in WHOLE:
        monkeypatch.delenv(name, raising=False)
    for name, value in where.items():
        monkeypatch.setenv(name, value)
    importlib.reload(__main__)
    with distributed.joined():
        assert distributed.count() == 1
    assert __main__.main(["evaluate", str(tmp_path)]) == 1
    assert "settings.json" in capsys.readouterr().err  # its own sentence, which no other process says for it


def test_with_one_process_nothing_is_touched():
    x, y = torch.zeros(3), torch.ones(2, 2)
    assert all(a is b for a, b in zip(distributed.all_reduce_sum(x, y), (x, y), strict=True))
    assert distributed.shard((2, 1), x)[1][0] is x and distributed.shared(lambda batch: batch, x) is x
    assert distributed.run_on_first_then_all(lambda: x) is x and distributed.is_main() and distributed.count() == 1
