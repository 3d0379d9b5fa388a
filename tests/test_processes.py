"""Two processes give the numbers of one: same losses, prototypes, G, figures and checkpoint, to twelve digits.

In float64, because a network that learns from noise doubles a rounding error at every step: two float32 runs on one and
on two threads are as far apart after three steps as one and two processes are.
"""

import importlib
import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from i2pemd_lite import BadInput, classification, moments, processes, segmentation
from i2pemd_lite.training import Learner, Settings, read_checkpoint, read_tables

SETTINGS = {"precision": "float64", "steps": 2, "schedule": "step", "checkpoint_every": 1, "evaluate_every": 2}
SMALL = {"segmentation": {"width": 2, "dim": 4, "size": (16, 16), "spacing": (8.0, 24.0, 24.0)}, "classification": {}}
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def torchrun(*words):
    """Run in two processes; the exit status, and what they said on standard error is kept in `torchrun.said`."""
    done = subprocess.run([*TORCHRUN, *map(str, words)], env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    torchrun.said = done.stderr
    return done.returncode


def pairs(settings):
    texts = {name: str(value).strip("()").replace(" ", "") for name, value in settings.items()}
    return [word for name, text in texts.items() for word in ("--set", f"{name}={text}")]


def assert_same_run(one, two):
    """The same tables, moments and checkpoint but for the last digits; prototypes and G are in the moments."""
    for name, ours, theirs in zip(("history", "evaluations"), *(read_tables(f, 99) for f in (one, two)), strict=True):
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


def test_two_processes_have_the_numbers_of_one_and_each_goes_on_with_the_run_of_the_other(task, tmp_path):
    words, settings = ("-m", "i2pemd_lite", "train"), SETTINGS | SMALL[task.name]
    new = (task.name, task.method, "--data", task.folder, "--profile", "ci", "--out", tmp_path / "two")
    assert torchrun(*words, *new, *pairs(settings)) == 0, torchrun.said
    task.train(task.method, task.folder, "ci", 0, tmp_path / "one", **settings).finish(progress=False)
    assert_same_run(tmp_path / "one", tmp_path / "two")

    goes_on(task, tmp_path / "one", steps=4)
    goes_on(task, tmp_path / "two", steps=4)
    assert_same_run(tmp_path / "one", tmp_path / "two")

    goes_on(task, tmp_path / "one", steps=6)
    old = ("--resume", tmp_path / "two", "--data", task.folder, "--set", "steps=6")
    assert torchrun(*words, *old) == 0, torchrun.said
    assert_same_run(tmp_path / "one", tmp_path / "two")


def goes_on(task, folder, steps):
    """One process goes on with the run in a folder."""
    run = task.module.resume(folder, task.folder)
    run.change(steps=steps)
    run.finish(progress=False)


# What mixes samples in another way than the two methods above: relations, memories, mixtures, noise, other pools.
OTHERS = {
    "classification": {
        "flexmatch": {"prototypes": "first"},
        "src_mt": {"loss": "srcmt"},
        "ua_mt": {},
        "vat": {},
        "mixmatch": {},
    },
    "segmentation": {
        "ummkd": {"batch": 2},
        "joint_sepbn_i2ped": {"pool": "modalities"},
        "joint": {"forward": "apart", "preset": "beyond"},
        "x_shaped": {"pool": "in turn"},
    },
}


def trained(task, folder):
    """The loss of each of two steps, and where the weights and prototypes then are, by method."""
    module, found = importlib.import_module(f"i2pemd_lite.{task}"), {}
    for method, settings in OTHERS[task].items():
        settings = {**SETTINGS, **SMALL[task], **settings}
        run = processes.agreed(lambda: module.train(method, folder, "ci", **settings))  # noqa: B023
        run._evaluate = run._keep_moment = lambda: None
        losses = [step.loss for step in run]
        state = run.learner.state_dict().values()
        found[method] = [*losses, *(float(value.double().square().sum()) for value in state)]
    return found


def test_every_way_to_mix_samples_can_be_shared(task, tmp_path):
    code = (
        "import json, sys; from i2pemd_lite import processes; from tests.test_processes import trained\n"
        "with processes.joined():\n"
        "    found = trained(*sys.argv[1:3])\n"
        "    if processes.first(): json.dump(found, open(sys.argv[3], 'w'))"
    )
    (tmp_path / "job.py").write_text(code)
    assert torchrun(tmp_path / "job.py", task.name, task.folder, tmp_path / "found.json") == 0, torchrun.said
    one, two = trained(task.name, task.folder), json.loads((tmp_path / "found.json").read_text())
    for method, numbers in one.items():
        np.testing.assert_allclose(two[method], numbers, rtol=1e-7, err_msg=method)


def test_what_cannot_be_shared_is_refused_in_one_sentence(abdomen, tmp_path):
    words = ("train", "segmentation", "joint", "--data", abdomen, "--profile", "ci", "--out", tmp_path / "run")
    assert torchrun("-m", "i2pemd_lite", *words, "--set", "batch=1") == 1
    told = "batch: expected a patch of each modality for each of 2 processes, found 1; start fewer"
    assert torchrun.said.count(told) == 1
    assert not (tmp_path / "run" / "settings.json").exists()


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


def test_a_process_that_dies_ends_the_other_with_a_sentence(abdomen, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ("train", "segmentation", "joint", "--data", abdomen, "--profile", "ci", "--out", tmp_path / "run")
    command = [sys.executable, "-m", "i2pemd_lite", *map(str, words), *pairs(SMALL["segmentation"] | {"steps": 100000})]
    common = ENVIRONMENT | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [
        subprocess.Popen(command, env=common | {"RANK": str(r)}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for r in range(2)
    ]
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "run" / "history.csv").exists():  # written with the first checkpoint
            assert time.monotonic() < until and ranks[0].poll() is None
            time.sleep(0.05)
        ranks[1].kill()
        said = ranks[0].communicate(timeout=30)[1].decode()
    finally:
        for process in ranks:
            process.kill()
            process.wait()
    assert ranks[0].returncode == 1
    assert "process 0 of 2: lost the others (Connection " in said and "Traceback" not in said
    assert segmentation.resume(tmp_path / "run", abdomen).number >= 4


def test_other_commands_ask_for_one_process(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "i2pemd_lite", "evaluate", tmp_path],
        env=ENVIRONMENT | {"WORLD_SIZE": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "evaluate: expected one process, found several; start it without" in done.stderr


def test_with_one_process_nothing_is_touched():
    x, y = torch.zeros(3), torch.ones(2, 2)
    assert all(a is b for a, b in zip(processes.summed(x, y), (x, y), strict=True))
    assert processes.dealt((2, 1), x)[1][0] is x and processes.shared(lambda batch: batch, x) is x
    assert processes.agreed(lambda: x) is x and processes.first() and processes.count() == 1
