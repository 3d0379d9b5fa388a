"""Runs in a process of their own: the commands, what is told, and that nothing is lost."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from i2pemd_lite import classification, segmentation
from i2pemd_lite.files import BadInput, run_lock
from i2pemd_lite.runs.worker import Process, Worker, plane

QUICK = {"profile": "ci", "seed": 3, "evaluate_every": 2, "steps": 6}


@pytest.fixture(scope="module", autouse=True)
def folders(abdomen, skin):
    """The data of each task, as text."""
    DATA.update(segmentation=str(abdomen), classification=str(skin))


DATA = {}


class Heard(list):
    """What a worker says."""

    def of(self, run, event="steps"):
        return [message for message in self if message["run"] == run and message["event"] == event]


@pytest.fixture
def worker():
    heard = Heard()
    made = Worker(heard.append)
    made.heard = heard
    yield made
    made.close()


def do(worker, do, run, **more):
    worker.handle({"do": do, "run": run, **more})


def begin(worker, folder, task="classification", method="i2pemd", **changes):
    do(worker, "open", "ours", task=task, method=method, folder=str(folder), data=DATA[task], **QUICK | changes)


def train(worker):
    while worker.going:
        worker.turn()


@pytest.mark.parametrize("task, method", [("classification", "i2pemd"), ("segmentation", "joint_sepbn_i2pemd")])
def test_a_steered_run_is_the_run_of_an_iterator(worker, tmp_path, task, method):
    begin(worker, tmp_path / "ours", task, method)
    do(worker, "step", "ours")
    do(worker, "set", "ours", values={"weight": 0.25})
    do(worker, "go", "ours")
    train(worker)
    module = {"classification": classification, "segmentation": segmentation}[task]
    mine = module.train(method, DATA[task], **QUICK)
    next(mine)
    mine.settings.weight = 0.25
    mine.finish(progress=False)
    theirs = worker.runs["ours"].run.learner.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in mine.learner.state_dict().items())
    told = {name: [row for message in worker.heard.of("ours") for row in message[name]]
            for name in ("history", "evaluations", "changes")}  # fmt: skip
    assert [row["step"] for row in told["history"]] == list(range(1, 7)) and told["history"] == mine.history
    np.testing.assert_equal(told["evaluations"], mine.evaluations)
    assert told["changes"] == mine.changes == [[2, "weight", 0.25]]
    last = worker.heard.of("ours")[-1]
    assert (last["state"], last["number"], last["seconds_left"]) == ("done", 6, 0)
    np.testing.assert_allclose(last["ground"], mine.learner.bank.ground_distance(), atol=1e-6, rtol=0)
    image = np.array(last["example"]["image"])
    assert image.min() >= 0 and image.max() <= 255 and np.ptp(image) > 50


def test_runs_take_turns_and_a_fork_goes_its_own_way(worker, tmp_path):
    begin(worker, tmp_path / "ours")
    do(worker, "go", "ours")
    worker.turn()
    worker.turn()
    do(worker, "fork", "ours", to="twin", folder=str(tmp_path / "twin"))
    do(worker, "set", "twin", values={"learning_rate": 0.0})
    assert worker.going == ["ours", "twin"]
    worker.turn()
    assert [trained.run.number for trained in worker.runs.values()] == [3, 3]
    train(worker)
    one, other = (worker.runs[name].run for name in ("ours", "twin"))
    assert one.history[:2] == other.history[:2] and one.folder != other.folder
    assert worker.heard.of("twin", "settings")[0]["number"] == 2
    assert (tmp_path / "twin" / "checkpoint.safetensors").exists()
    weights = [torch.cat([p.detach().flatten() for p in run.parameters]) for run in (one, other)]
    assert not torch.equal(*weights)


def test_a_stopped_run_can_be_picked_up_and_a_stop_saves_it(worker, tmp_path):
    begin(worker, tmp_path / "ours", steps=4)
    do(worker, "step", "ours")
    do(worker, "stop", "ours")
    assert not worker.runs
    assert classification.resume(tmp_path / "ours").number == 1
    do(worker, "open", "ours", task="classification", method="baseline", folder=str(tmp_path / "ours"))
    opened = worker.heard.of("ours", "settings")[-1]
    assert (opened["number"], opened["settings"]["method"]) == (1, "i2pemd")


def test_what_is_wrong_is_told_and_the_others_go_on(worker, tmp_path):
    begin(worker, tmp_path / "ours")
    begin(worker, tmp_path / "twice")
    opening = {"task": "classification", "folder": str(tmp_path / "bad")}
    do(worker, "open", "bad", method="none", **opening)
    do(worker, "open", "bad", method="i2pemd", steps=-3, **opening)
    do(worker, "set", "ours", values={"weight": -1})
    do(worker, "set", "ours", values={"seed": 1})
    do(worker, "pause", "nobody")  # which is not open, as was told
    errors = [message["error"] for message in worker.heard if message["event"] == "failed"]
    expected = "ours: expected the name|method: expected|steps: expected|weight: expected|seed: cannot"
    assert all(words in found for words, found in zip(expected.split("|"), errors, strict=True))
    assert worker.runs["ours"].run.settings.weight == 1.0
    with run_lock(tmp_path / "bad"):
        pass  # what could not be opened is not claimed


def test_a_loss_that_is_no_number_stops_its_run_alone_and_says_what_to_do(worker, tmp_path, monkeypatch):
    monkeypatch.setattr("i2pemd_lite.runs.worker.REPORT", 0)
    begin(worker, tmp_path / "ours", steps=20, evaluate_every=20)
    do(worker, "fork", "ours", to="twin", folder=str(tmp_path / "twin"))
    do(worker, "set", "ours", values={"learning_rate": 1e30})
    for name in ("ours", "twin"):
        do(worker, "go", name)
    train(worker)
    (failed,) = worker.heard.of("ours", "failed")
    assert "diverged; resume from the last checkpoint with a lower learning_rate" in failed["error"]
    assert worker.heard.of("twin")[-1]["state"] == "done"
    begin(worker, tmp_path / "ours")  # picked up where it was good
    assert worker.heard.of("ours", "settings")[-1]["number"] == 0
    do(worker, "set", "ours", values={"learning_rate": 1e-3})
    do(worker, "go", "ours")
    train(worker)
    assert worker.heard.of("ours")[-1]["state"] == "done"


def test_one_run_has_one_trainer(worker, tmp_path):
    begin(worker, tmp_path / "ours")
    other = Heard()
    begin(Worker(other.append), tmp_path / "ours")
    assert "being trained elsewhere" in other.of("ours", "failed")[0]["error"]
    with pytest.raises(BadInput, match="being trained elsewhere"), run_lock(tmp_path / "ours"):
        pass
    do(worker, "stop", "ours")
    with run_lock(tmp_path / "ours"):
        pass


def until(process, done, seconds=120):
    """What is heard until `done(message)`."""
    heard, end = Heard(), time.monotonic() + seconds
    while time.monotonic() < end:
        for message in process.heard():
            heard.append(message)
            if message["event"] != "failed" and done(message):
                return heard
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {heard}")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_closed_notebook_loses_nothing_and_a_killed_process_is_told(tmp_path):
    """Its input ends, as when a kernel dies: the run is saved where it stands, which is no multiple of a checkpoint."""
    process = Process()
    opening = {"task": "classification", "method": "i2pemd", "folder": str(tmp_path / "ours")}
    process.tell("open", "ours", **opening, **QUICK | {"steps": 5000, "evaluate_every": 5000, "checkpoint_every": 5000})
    process.tell("go", "ours")
    until(process, lambda message: message["event"] == "steps" and message["number"] > 3)
    os.kill(process.number, signal.SIGINT)  # a notebook that is interrupted passes it on to nobody
    process.close()
    kept = classification.resume(tmp_path / "ours")
    assert kept.number > 3 and len(kept.history) == kept.number

    process = Process()
    process.tell("open", "ours", **opening)
    process.tell("go", "ours")
    until(process, lambda message: message["event"] == "steps" and message["number"] > kept.number + 2)
    os.kill(process.number, signal.SIGTERM)  # as at the end of a container
    process._process.wait(60)
    kept = classification.resume(tmp_path / "ours")
    assert kept.number > 6 and len(kept.history) == kept.number

    process = Process()
    process.tell("open", "ours", **opening)
    until(process, lambda message: message["event"] == "settings")
    os.kill(process.number, signal.SIGKILL)
    heard = until(process, lambda message: message["event"] == "ended")
    assert "exit status -9" in heard[-1]["error"]
    process.tell("go", "ours")  # nobody listens, and nothing breaks
    with run_lock(tmp_path / "ours"):
        pass


NOTEBOOK = """
import time
from i2pemd_lite.runs.worker import Process
process = Process()
process.tell("open", "ours", task="classification", method="i2pemd", folder="{folder}", profile="ci", steps=5000,
             evaluate_every=5000, checkpoint_every=5000)
process.tell("go", "ours")
while not any(message["event"] == "steps" and message["number"] > 3 for message in process.heard()):
    time.sleep(0.01)
print(process.number, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_killed_notebook_loses_nothing(tmp_path):
    """Both pipes of the process break at once, while it trains and tells."""
    source = NOTEBOOK.format(folder=tmp_path / "ours")
    notebook = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    number = int(notebook.stdout.readline())
    notebook.kill()
    notebook.wait()
    end = time.monotonic() + 60
    while os.path.exists(f"/proc/{number}") and time.monotonic() < end:
        time.sleep(0.05)
    kept = classification.resume(tmp_path / "ours")
    assert kept.number > 3 and len(kept.history) == kept.number


def test_a_message_that_is_torn_does_not_hide_the_end(monkeypatch):
    real = subprocess.Popen
    torn = [sys.executable, "-c", "import sys; sys.stdout.write('{\"event\": \"st')"]
    monkeypatch.setattr("i2pemd_lite.runs.worker.subprocess.Popen", lambda command, **options: real(torn, **options))
    assert "exit status 0" in until(Process(), lambda message: message["event"] == "ended")[-1]["error"]


def test_an_image_that_cannot_be_shown_stops_its_run_alone(worker, tmp_path):
    begin(worker, tmp_path / "ours")
    do(worker, "fork", "ours", to="twin", folder=str(tmp_path / "twin"))
    broken = worker.runs["ours"].run.learner
    broken.example = lambda: 1 / 0
    for name in ("ours", "twin"):
        do(worker, "go", name)
    train(worker)
    assert "ZeroDivisionError" in worker.heard.of("ours", "failed")[0]["error"]
    assert worker.heard.of("twin")[-1]["state"] == "done" and list(worker.runs) == ["twin"]


def test_the_plane_does_not_turn_between_two_looks():
    random = np.random.default_rng(0)
    prototypes = random.normal(size=(5, 16))
    before = plane(prototypes)
    after = plane(prototypes + 0.01 * random.normal(size=(5, 16)), before)
    assert np.abs(after - before).max() < 0.2
    centred = prototypes - prototypes.mean(0)
    largest = np.linalg.eigvalsh(centred @ centred.T)[-2:].sum()
    np.testing.assert_allclose((before**2).sum(), largest, rtol=1e-9)
    np.testing.assert_allclose(plane(prototypes[:, ::-1] + 0.01, before), before, atol=1e-9, rtol=0)
