"""A run is an iterator that can be paused, steered, forked, killed and resumed, and gives the same numbers."""

import itertools
import json
import math
import random
import shutil
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lines import Lines
from torch import nn

from i2pemd_lite import BadInput, PrototypeBank, segmentation
from i2pemd_lite.device import profile
from i2pemd_lite.runs.run import Run, eager
from i2pemd_lite.runs.sampling import Shuffled, generator, seed_everything
from i2pemd_lite.runs.settings import Settings
from i2pemd_lite.runs.store import read_about, read_checkpoint, read_tables
from i2pemd_lite.runs.task import Learner
from i2pemd_lite.runs.watch import saved, tensorboard, watch

OPTIMISERS = [(torch.optim.Adam, {"weight_decay": 0.1}), (torch.optim.SGD, {"momentum": 0.9})]


@pytest.mark.parametrize(("kind", "more"), OPTIMISERS)
def test_an_eager_optimiser_takes_the_steps_of_torchs(kind, more):
    weights = [torch.linspace(-1, 1, 5).requires_grad_() for _ in range(2)]
    both = [make([w], lr=0.3, **more) for make, w in zip((kind, eager(kind)), weights, strict=True)]
    for _ in range(3):
        for optimiser, w in zip(both, weights, strict=True):
            optimiser.zero_grad()
            (w**3).sum().backward()
            optimiser.step()
        both[1].load_state_dict(both[1].state_dict())
        assert torch.equal(*weights) and not weights[1].equal(torch.linspace(-1, 1, 5))
    assert str(both[0].state_dict()) == str(both[1].state_dict())


@pytest.fixture(autouse=True)
def interruptible():
    """Interrupts raise, also where they were ignored, as in a worker of pytest-xdist."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Frozen:
    def __deepcopy__(self, memo):
        return self


class Line(Learner):
    """The smallest learner: a line with dropout on noise, so that every random draw shows in the weights."""

    def __init__(self, settings, scores=()):
        super().__init__()
        self.settings, self.data = settings, Frozen()
        self.layer, self.dropout = nn.Linear(2, 1), nn.Dropout(0.5)
        nn.init.ones_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)
        self.bank = PrototypeBank(2, 2)
        self.scores = scores

    def source(self):
        return {"folder": "", "name": "line", "fingerprint": "0"}

    def losses(self, t):
        x = torch.randn(4, 2, generator=generator(self.settings.seed, "x", t))
        self.bank.update(x, torch.tensor([0, 0, 1, 1]))
        error = (self.layer(self.dropout(x)) - x.sum(1, keepdim=True)).square().mean()
        return {"loss": self.settings.weight * error, "error": error}

    def evaluate(self):
        assert not self.training and torch.is_inference_mode_enabled()
        scores = {"selection": self.scores[len(self.weights_seen())]} if self.scores else {}
        self.weights_seen().append(self.layer.weight.clone())
        return {"weight": float(self.layer.weight[0, 0])} | scores

    def weights_seen(self):
        return self.__dict__.setdefault("seen_weights", [])


def line(folder=None, scores=(), **changes):
    settings = Settings(method="line", profile="ci", steps=20, evaluate_every=5, checkpoint_every=3, learning_rate=0.05)
    return Run(Line(settings.changed(**changes), scores), folder)


def weights(run):
    return {name: value.clone() for name, value in run.learner.state_dict().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_a_run_yields_every_step_once_and_says_where_it_stands():
    run = line()
    steps = list(run)
    assert [step.number for step in steps] == list(range(1, 21)) and len(run) == 20
    assert [step.number for step in steps if step.evaluation] == [5, 10, 15, 20]
    assert steps[-1].seconds_left == 0 and steps[0].seconds_left > 0
    assert steps[3].prototypes.shape == (2, 2) and steps[3].ground.tolist() == [[0, 0.5], [0.5, 0]]
    assert [row["step"] for row in run.history] == list(range(1, 21))
    assert run.history[6]["loss"] == steps[6].loss == pytest.approx(float(steps[6].losses["error"]))
    assert steps[-1].loss < steps[0].loss
    assert list(run) == []


def test_not_asking_pauses():
    whole, paused = line(), line()
    whole.finish(progress=False)
    for _ in range(7):
        next(paused)
    assert paused.number == 7
    torch.randn(100)  # whatever the user does meanwhile
    paused.finish(progress=False)
    assert_same(weights(whole), weights(paused))
    assert whole.history == paused.history


def test_a_run_leaves_the_users_random_numbers_alone():
    run = line()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    next(run)
    assert torch.equal(torch.rand(3), expected)


def test_seeds_differ_and_repeat():
    first, again, other = line().finish(False), line().finish(False), line(seed=1).finish(False)
    assert_same(weights(first), weights(again))
    assert first.history != other.history


def test_live_settings_are_read_afresh():
    run = line()
    a = [next(run) for _ in range(2)][-1]
    run.settings.weight, run.settings.learning_rate = 0.0, 0.25
    b = next(run)
    assert a.loss > 0 and b.loss == 0 and b.learning_rate == 0.25
    run.settings.momentum = 1.5
    with pytest.raises(BadInput, match="momentum: expected a number from 0 to 1, found 1.5"):
        next(run)


def test_schedules():
    run = line(schedule="cosine", learning_rate=1.0)
    assert [round(step.learning_rate, 4) for step in run][::10] == [1.0, 0.5]
    run = line(decay=0.5, decay_every=10, learning_rate=1.0)
    assert {step.learning_rate for step in run} == {1.0, 0.5}


def test_a_fork_goes_on_by_itself():
    run, whole = line(), line().finish(False)
    for _ in range(8):
        next(run)
    fork, same = run.fork(weight=0.0), run.fork()
    before = weights(run)
    fork.finish(False)
    assert fork.learner.data is run.learner.data and fork.learner.layer is not run.learner.layer
    assert_same(before, weights(run))  # the fork's steps moved only the fork
    assert fork.history[:8] == run.history and fork.history[8]["loss"] == 0
    assert_same(weights(same.finish(False)), weights(whole))
    assert_same(weights(run.finish(False)), weights(whole))
    with pytest.raises(BadInput, match="seed: cannot change in a run"):
        run.fork(seed=3)


def test_a_loss_that_is_no_number_stops_the_run_with_advice(tmp_path):
    run = line(tmp_path / "run")
    for _ in range(4):
        next(run)
    run.learner.layer.weight.data.fill_(math.inf)
    with pytest.raises(FloatingPointError, match="loss of step 5 is nan.*lower learning_rate than 0.05"):
        run.finish(False)
    about, _ = read_checkpoint(tmp_path / "run")
    assert about["number"] == 3  # the last good one


def test_losses_are_fetched_once_also_where_one_is_no_number():
    run = line(evaluate_every=20)
    for _ in range(4):
        next(run)
    run.learner.layer.weight.data.fill_(float("nan"))
    next(run)
    for _ in range(3):
        with pytest.raises(FloatingPointError, match="loss of step 5 is nan"):
            run.fetch()
        assert [row["step"] for row in run.history] == [1, 2, 3, 4]


def test_every_change_of_a_live_setting_is_kept_with_the_first_step_that_had_it(tmp_path):
    run = line(tmp_path)
    run.settings.weight = 3.0  # before the first step nothing has changed
    next(run)
    run.change(momentum=0.5, learning_rate=1e-3)
    next(run)
    run.settings.weight = 3.0  # which it was
    next(run)
    changes = [[2, "learning_rate", 1e-3], [2, "momentum", 0.5]]
    assert run.changes == changes
    run.change(weight=0.25)
    run.save()
    for other in (run.fork(tmp_path / "fork"), Run.load(Line(run.settings.changed(), ()), tmp_path)):
        next(other)
        assert other.began["weight"] == read_about(other.folder)["settings"]["weight"] == 3.0
        assert other.changes == [*changes, [4, "weight", 0.25]] and run.changes == changes


def test_the_settings_of_the_first_step_are_in_the_folder_before_it(tmp_path):
    run = line(tmp_path)
    run.save()  # as a cockpit does, before anybody steers
    run.change(weight=3.0)
    next(run)
    killed, resumed = saved(tmp_path), Run.load(Line(run.settings.changed()), tmp_path)  # before the next checkpoint
    assert killed.number == 0 and killed.began["weight"] == killed.settings["weight"] == 3.0
    resumed.change(weight=0.5)
    next(resumed)
    assert saved(tmp_path).began == resumed.began and resumed.began["weight"] == 0.5 and resumed.changes == []


def test_the_best_evaluation_is_kept():
    run = line(scores=(0.1, 0.9, 0.3, 0.2)).finish(False)
    last = weights(run)
    with run.best_weights() as step:
        assert step == 10
        assert torch.equal(run.learner.layer.weight, run.learner.weights_seen()[1])
    assert_same(last, weights(run))
    with line().finish(False).best_weights() as step:
        assert step == 20


def test_a_run_folder_is_whole_and_resumes(tmp_path):
    whole = line(tmp_path / "whole", scores=(0.1, 0.9, 0.3, 0.2)).finish(False)
    run = line(tmp_path / "run", scores=(0.1, 0.9, 0.3, 0.2))
    for _ in range(14):
        next(run)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "checkpoint.safetensors", "evaluations.csv", "history.csv", "settings.json"
    ]  # fmt: skip
    # The last checkpoint is of step 12; 13 and 14 are lost, and done again.
    learner = Line(run.settings.changed(), (0.3, 0.2))
    resumed = Run.load(learner, tmp_path / "run")
    assert resumed.number == 12 and len(resumed.history) == 12
    resumed.finish(False)
    assert_same(weights(resumed), weights(whole))
    assert_same(resumed.best[2], whole.best[2])
    for name in ("history.csv", "evaluations.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    for there in ("whole", "damaged"):
        with pytest.raises(BadInput, match="holds a run already"):
            line(tmp_path / "run")
        (tmp_path / "run" / "checkpoint.safetensors").write_bytes(there.encode())


def test_a_run_that_was_steered_resumes_as_steered(tmp_path):
    def steered(folder):
        run = line(folder)
        for step in run:
            if step.number == 7:
                run.settings.weight, run.settings.learning_rate, run.settings.steps = 0.25, 0.01, 24
            yield run

    whole = list(steered(tmp_path / "whole"))[-1]
    killed = list(itertools.islice(steered(tmp_path / "killed"), 14))[-1]
    began = json.loads((tmp_path / "killed" / "settings.json").read_text())["settings"]
    resumed = Run.load(Line(Settings(**began)), tmp_path / "killed")
    assert resumed.number == 12 < killed.number and resumed.settings.weight == 0.25 and len(resumed) == 24
    assert_same(weights(resumed.finish(False)), weights(whole))
    assert (tmp_path / "killed" / "history.csv").read_bytes() == (tmp_path / "whole" / "history.csv").read_bytes()


def test_from_its_first_moment_a_run_can_be_resumed(tmp_path):
    run = line(tmp_path / "run", steps=1)
    run.learner.losses = None  # whatever happens in the first step
    with pytest.raises(TypeError):
        next(run)
    resumed = Run.load(Line(Settings(method="line", profile="ci")), tmp_path / "run")
    assert resumed.number == 0 and next(resumed).number == 1


def test_a_checkpoint_that_cannot_be_written_doubles_no_row(tmp_path, monkeypatch):
    import safetensors.torch

    run, write, fails = line(tmp_path / "run", steps=9), safetensors.torch.save_file, [False, False, True]

    def sometimes(*given, **options):
        if fails and fails.pop(0):
            raise OSError(28, "No space left on device")
        write(*given, **options)

    monkeypatch.setattr(safetensors.torch, "save_file", sometimes)  # the third is that of step 6
    with pytest.raises(BadInput, match="expected room for 0.1 MiB, found: No space left on device; make room .* go on"):
        run.finish(False)
    run.finish(False)
    steps = [line.split(",")[0] for line in (tmp_path / "run" / "history.csv").read_text().splitlines()]
    assert steps == ["step", *map(str, range(1, 10))] and run.number == 9


def stop():
    raise KeyboardInterrupt


def own(frame):
    return frame.f_code.co_filename == __file__ and isinstance(frame.f_locals.get("self"), Line)


def interrupted(folder, do):
    """A run for each line of its fifth step (with an evaluation and a checkpoint), where `do()` was called at it.

    Each goes on from a copy of the same three steps, since whatever comes before a line is the same.
    """
    begun, n, more = line(folder / "begun", steps=7, scores=(0.1, 0.9)), 0, True
    for _ in range(3):
        next(begun)
    while more:
        n += 1
        copied = shutil.copytree(begun.folder, folder / str(n))
        run, came = Run.load(Line(begun.settings.changed(), (0.1, 0.9)), copied), False
        interrupt = Lines(n, do, once=True, also=own)
        next(run)
        with interrupt:
            try:
                next(run)
            except KeyboardInterrupt:
                came = True
        more = interrupt.count >= n
        if more:
            yield run, came
    assert n > 150, n


def test_an_interrupt_waits_until_a_step_is_whole(tmp_path):
    whole = line(tmp_path / "whole", steps=7, scores=(0.1, 0.9)).finish(False)
    for run, came in interrupted(tmp_path, lambda: signal.raise_signal(signal.SIGINT)):
        assert came and run.number in (4, 5)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert_same(weights(run.finish(False)), weights(whole))
        assert run.history == whole.history and run.evaluations == whole.evaluations
        for name in ("history.csv", "evaluations.csv"):
            assert (run.folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_is_stopped_at_any_line_goes_on_or_refuses_to(tmp_path):
    whole, went, refused = line(tmp_path / "whole", steps=7, scores=(0.1, 0.9)).finish(False), 0, 0
    for run, _ in interrupted(tmp_path, stop):
        signal.signal(signal.SIGINT, signal.default_int_handler)  # no interrupt comes at a line that sets the handler
        try:
            run.finish(False)
            went += 1
        except BadInput as error:
            assert "found one stopped within one; resume it from its last checkpoint" in str(error)
            for use in (run.save, run.fork, run.best_weights().__enter__):
                with pytest.raises(BadInput, match="found one stopped within one"):
                    use()
            run = Run.load(Line(run.settings, (0.1, 0.9)), run.folder).finish(False)
            refused += 1
        assert_same(weights(run), weights(whole))
        assert run.history == whole.history and run.evaluations == whole.evaluations
        assert (run.best[1], run.number) == (whole.best[1], 7)
        assert not [path for path in run.folder.rglob(".partial-*")]
        for name in ("history.csv", "evaluations.csv"):
            assert (run.folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert went > 100 and refused > 30


def test_what_an_abandoned_start_left_does_not_stay(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "settings.json").write_text("{}")
    (folder / "history.csv").write_text("step,learning_rate,loss,error\n1,0.05,9.0,9.0\n")
    run = line(folder, seed=5).finish(False)
    assert json.loads((folder / "settings.json").read_text())["settings"]["seed"] == 5
    assert len((folder / "history.csv").read_text().splitlines()) == 1 + len(run.history)


def test_looking_at_a_run_that_trains_elsewhere_changes_nothing(tmp_path):
    run = line(tmp_path / "run")
    for _ in range(7):
        next(run)
    with open(tmp_path / "run" / "history.csv", "a") as file:
        file.write("7,0.05,1.0,1.0\n")  # written, its checkpoint not yet
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    assert Run.load(Line(run.settings), tmp_path / "run").number == 6
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}


def test_what_was_written_after_the_checkpoint_is_cut_off(tmp_path):
    run = line(tmp_path / "run")
    for _ in range(6):
        next(run)
    with open(tmp_path / "run" / "history.csv", "a") as file:
        file.write("7,0.05,1.0,1.0\n8,0.0")  # a kill in the middle of a line
    assert [row["step"] for row in Run.load(Line(run.settings), tmp_path / "run").history] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:100]),
                                    lambda p: p.write_bytes(b"")])  # fmt: skip
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    run = line(tmp_path / "run").finish(False)
    damage(tmp_path / "run" / "checkpoint.safetensors")
    with pytest.raises(BadInput, match="checkpoint.safetensors: expected the checkpoint of a run"):
        Run.load(Line(run.settings), tmp_path / "run")


def test_profile_and_settings_say_what_is_wrong(monkeypatch):
    with pytest.raises(BadInput, match="profile: expected one of ci, laptop, gpu, found 'huge'"):
        profile("huge")
    monkeypatch.setenv("I2PEMD_PROFILE", "tiny")
    with pytest.raises(BadInput, match="found 'tiny'"):
        profile()
    wrong = {"steps": 0, "schedule": "linear", "learning_rate": -1.0, "weight": math.nan, "decay": math.inf}
    wrong |= {"seed": 1.5, "evaluate_every": 2.5, "method": 3, "decay_every": True}
    for name, value in wrong.items():
        with pytest.raises(BadInput, match=f"{name}: expected"):
            Settings(**{name: value})


def test_without_a_gpu_the_laptop_is_the_default(monkeypatch):
    monkeypatch.delenv("I2PEMD_PROFILE")
    assert profile().name == ("gpu" if torch.cuda.is_available() else "laptop")


def test_streams_visit_everything_once_a_pass():
    stream = Shuffled(7, "images", seed=3)
    taken = torch.cat([stream.take(5 * t, 5) for t in range(7)])
    for i in range(5):
        assert sorted(taken[7 * i : 7 * i + 7].tolist()) == list(range(7))
    assert len({tuple(taken[7 * i : 7 * i + 7].tolist()) for i in range(5)}) > 1
    assert sorted(stream.take(0, 21).tolist()) == sorted(list(range(7)) * 3)
    with pytest.raises(BadInput, match="images: expected at least one"):
        Shuffled(0, "images", 0)


def test_seed_everything_repeats():
    draws = []
    for _ in range(2):
        seed_everything(3)
        draws.append((random.random(), torch.rand(1).item()))
    assert draws[0] == draws[1]


def test_a_run_that_is_interrupted_is_saved_where_it_stands(tmp_path):
    run, losses = line(tmp_path / "run", checkpoint_every=20, evaluate_every=20), Line.losses
    run.learner.losses = lambda t: (t == 7 and signal.raise_signal(signal.SIGINT)) or losses(run.learner, t)
    with pytest.raises(KeyboardInterrupt):
        run.finish(False)
    again = Run.load(Line(run.settings), tmp_path / "run")
    assert again.number == run.number == 8
    assert_same(weights(again.finish(False)), weights(line().finish(False)))


def test_a_second_interrupt_stops_at_once(tmp_path):
    run, losses = line(tmp_path / "run"), Line.losses

    def twice(learner, t):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("went on")

    run.learner.losses = lambda t: twice(run.learner, t)
    with pytest.raises(KeyboardInterrupt):
        next(run)
    with pytest.raises(BadInput, match="stopped within one; resume it from its last checkpoint in .*run"):
        next(run)
    run.learner.losses = lambda t: losses(run.learner, t)
    with pytest.raises(BadInput, match="stopped within one"):
        next(run)


def test_an_interrupt_is_not_lost_where_a_run_ends_or_refuses(tmp_path, monkeypatch):
    run = line(tmp_path / "run", steps=2)
    for _ in range(2):
        next(run)
    monkeypatch.setattr(run, "save", lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):  # which the last save of a loop would have swallowed
        run.finish(False)

    def full():
        signal.raise_signal(signal.SIGINT)
        raise BadInput("no room")

    monkeypatch.setattr(run, "save", full)
    with pytest.raises(KeyboardInterrupt):
        run.finish(False)


def test_an_evaluation_that_is_no_number_is_not_the_best(tmp_path):
    run = line(tmp_path / "run", steps=15, scores=(math.nan, 0.9, 0.3)).finish(False)
    assert run.best[:2] == (0.9, 10)
    assert Run.load(Line(run.settings), tmp_path / "run").best[:2] == (0.9, 10)


def test_figures_may_be_numbers_of_numpy_or_torch(tmp_path):
    run, figures = line(tmp_path / "run", steps=5), {"selection": np.float32(1e9), "tensor": torch.tensor(0.1)}
    run.learner.evaluate = lambda: figures
    run.finish(False)
    again = Run.load(Line(run.settings), tmp_path / "run")
    assert again.evaluations == run.evaluations == [{"step": 5, "selection": 1e9, "tensor": pytest.approx(0.1)}]
    assert again.best[:2] == (1e9, 5)


def test_a_column_that_one_row_has_and_a_table_that_was_removed_or_cut_are_written_whole(tmp_path):
    run, losses, path = line(tmp_path / "run", steps=12), Line.losses, tmp_path / "run" / "history.csv"
    run.learner.losses = lambda t: losses(run.learner, t) | ({"extra": torch.tensor(1.0)} if t == 3 else {})
    for number in range(1, 13):
        if number == 7:
            path.unlink()
        if number == 10:
            path.write_bytes(path.read_bytes()[:40])
        next(run)
    history = Run.load(Line(run.settings), tmp_path / "run").history
    assert [row["loss"] for row in history] == [row["loss"] for row in run.history] and history[3]["extra"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files there")
def test_a_table_without_room_is_named_and_written_when_there_is_room(tmp_path):
    import resource

    run = line(tmp_path / "run", steps=2000, checkpoint_every=200, evaluate_every=2000)
    for _ in range(200):
        next(run)
    path = tmp_path / "run" / "history.csv"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
        with pytest.raises(BadInput, match="history.csv: expected room to write it, found: File too large; make room"):
            run.finish(False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    run.finish(False)
    assert [row["step"] for row in read_tables(tmp_path / "run", 2000)[0]] == [*range(1, 2001)]


def test_one_folder_has_one_writer(tmp_path):
    run = line(tmp_path / "run")
    for _ in range(4):
        next(run)
    other = Run.load(Line(run.settings.changed()), tmp_path / "run")
    other.finish(False)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(BadInput, match="this run, found one of step 20 that somebody else wrote; resume that one"):
        run.finish(False)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    late, early = line(tmp_path / "new"), line(tmp_path / "new")
    next(early)
    with pytest.raises(BadInput, match="new: holds a run already"):
        next(late)


def test_a_folder_that_is_moved_while_it_trains_is_asked_for_and_the_run_goes_on(tmp_path):
    run, whole = line(tmp_path / "run"), line().finish(False)
    for _ in range(4):
        next(run)
    (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.raises(BadInput, match="last checkpoint of this run, found none; put the folder back where"):
        run.finish(False)
    assert not (tmp_path / "run").exists()
    (tmp_path / "moved").rename(tmp_path / "run")
    assert_same(weights(run.finish(False)), weights(whole))
    assert [row["step"] for row in read_tables(tmp_path / "run", 20)[0]] == [*range(1, 21)]


def test_what_a_kill_left_goes_when_the_run_goes_on(tmp_path):
    run = line(tmp_path / "run")
    next(run)
    for name in (".partial-a.safetensors", "moments/.partial-b.safetensors"):
        (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_bytes(b"half")
    Run.load(Line(run.settings), tmp_path / "run").finish(False)
    assert not [*(tmp_path / "run").rglob(".partial-*")]


def test_no_bit_of_a_checkpoint_changes_without_a_word(tmp_path):
    run, random_ = line(tmp_path / "run", steps=6, scores=(0.1, 0.9)).finish(False), random.Random(0)
    path, same = tmp_path / "run" / "checkpoint.safetensors", 0
    whole, (_, tensors) = path.read_bytes(), read_checkpoint(tmp_path / "run")
    for _ in range(400):
        data = bytearray(whole)
        data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
        path.write_bytes(data)
        try:
            again = Run.load(Line(run.settings.changed()), tmp_path / "run")
        except BadInput as error:
            assert str(path) in str(error)
        else:  # a byte that says nothing, such as the blanks after the header
            same += 1
            assert_same(read_checkpoint(tmp_path / "run")[1], tensors)
            assert again.best[:2] == run.best[:2] and again.settings == run.settings
    assert same < 40


@pytest.mark.parametrize(("old", "new", "found"), [
    ("\n3,", "\n4,", "step 4 in row 3"),
    ("\n3,0.05", "\n3,0.04", "others"),
    ("\n3,", "\nx,", "step 4 in row 3"),
])  # fmt: skip
def test_a_history_that_is_not_the_runs_is_named(tmp_path, old, new, found):
    run = line(tmp_path / "run", steps=6).finish(False)
    path = tmp_path / "run" / "history.csv"
    path.write_text(path.read_text().replace(old, new, 1))
    for use in (lambda: Run.load(Line(run.settings), tmp_path / "run"), lambda: saved(tmp_path / "run")):
        with pytest.raises(BadInput, match=f"history.csv: expected .*found {found}.*; restore it"):
            use()


def test_a_header_and_a_row_twice_are_mended(tmp_path):
    run = line(tmp_path / "run", steps=6).finish(False)
    path = tmp_path / "run" / "history.csv"
    head, first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([head, first, head, first, *rest, "7,0.0"]))
    assert Run.load(Line(run.settings), tmp_path / "run").history == run.history


def test_settings_that_differ_from_the_checkpoints_are_named(tmp_path):
    run = line(tmp_path / "run", steps=3).finish(False)
    path = tmp_path / "run" / "settings.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(BadInput, match=r"settings.json: expected one seed, found 1 beside 0 in the checkpoint"):
        Run.load(Line(run.settings), tmp_path / "run")


@pytest.mark.parametrize(("text", "found"), [
    ('{"settings": 1}', "expected task, found only"),
    ("[" * 100_000, "expected a JSON file, found"),
    ('{"task": "x", "settings": 1, "profile": {}, "data": {}}', "at settings names with values, found 1"),
    ('{"task": "x", "settings": {}, "profile": {"precision": 3}, "data": {}}', "at profile, precision 'auto' or"),
    ('{"task": "x", "settings": {}, "profile": {"precision": "auto"}, "data": {}}', "at data folder, found only"),
])  # fmt: skip
def test_settings_of_another_form_are_named(tmp_path, text, found):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(BadInput, match=f"settings.json: .*{found}"):
        read_about(tmp_path)


class Elsewhere:
    """Like a process that trains a run elsewhere: a step each time that it is asked whether it has ended."""

    def __init__(self, run):
        self.run = run

    def poll(self):
        return None if next(self.run, None) else 0


def test_a_run_that_is_half_done_when_somebody_looks_says_so(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr("i2pemd_lite.runs.watch.bar", lambda things, *_, **more: asked.update(more) or things)
    run = line(tmp_path / "run", steps=10)
    for _ in itertools.islice(run, 6):
        pass
    list(watch(tmp_path / "run", Elsewhere(run), 10, every=0))
    assert asked["done"] == 6 and asked["known"]() == 10


def test_a_run_that_trains_elsewhere_is_watched_by_its_folder(tmp_path):
    run = line(tmp_path / "run", steps=10)
    seen = list(watch(tmp_path / "run", Elsewhere(run), 10, every=0))
    assert [now.number for now in seen] == [0, 3, 5, 6, 9, 10]  # each checkpoint and evaluation, and none twice
    assert [len(now.history) for now in seen] == [0, 3, 5, 6, 9, 10] and seen[-1].history == run.history
    assert [now.number for now in watch(tmp_path / "run", Elsewhere(run), 10, every=0)] == [10]


@pytest.mark.parametrize("status", [1, -9])
def test_watching_tells_that_a_training_crashed(status, tmp_path):
    run, seen = line(tmp_path / "run", steps=10), []
    half = Elsewhere(itertools.islice(run, 5))
    crashed = SimpleNamespace(poll=lambda: None if half.poll() is None else status)
    with pytest.raises(BadInput, match=f"found that it ended with status {status} after step 5; see what it printed"):
        seen.extend(now.number for now in watch(tmp_path / "run", crashed, 10, every=0))
    assert seen[-1] == 5  # what it left is shown first


def test_watching_ends_with_the_process_though_it_left_no_run(tmp_path):
    with pytest.raises(BadInput, match="expected the folder of a run, found no settings.json"):
        list(watch(tmp_path / "none", Elsewhere(iter([])), 10))


def test_event_files_have_the_tables_also_after_a_kill(tmp_path, monkeypatch):
    files = []

    class Events(dict):  # as tensorboard reads them: a file drops what came before its first step
        def __init__(self, folder, purge_step):
            assert folder == tmp_path / "run" / "events" and purge_step == 0
            files.append(self)

        def add_scalar(self, name, value, step):
            assert (name, step) not in self
            self[name, step] = value

        def flush(self):
            pass

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Events))
    killed = tensorboard(line(tmp_path / "run", steps=10))
    for _ in range(4):
        next(killed)
    run = tensorboard(Run.load(Line(killed.settings), tmp_path / "run"))
    run.finish(False)
    tables = {"train": run.history, "held back": run.evaluations}
    assert files[1] == {(f"{part}/{name}", row["step"]): value for part, rows in tables.items()
                        for row in rows for name, value in row.items() if name != "step"}  # fmt: skip
    assert {step for _, step in files[0]} == {1, 2, 3} and ("train/loss", 10) in files[1]
    with pytest.raises(BadInput, match="--log tensorboard: expected a run with a folder, found one in memory only"):
        tensorboard(line())
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(BadInput, match="--log tensorboard: expected TensorBoard to write for, found none; install it"):
        tensorboard(run)


def test_a_run_of_an_earlier_version_goes_on_with_the_columns_that_it_lacks(tmp_path, monkeypatch):
    run = line(tmp_path / "run", steps=20)
    for _ in range(10):
        next(run)
    monkeypatch.setattr(Line, "evaluate", lambda self: {"weight": 1.0, "new": 2.0})
    again = Run.load(Line(run.settings), tmp_path / "run")
    again.finish(False)
    rows = read_tables(tmp_path / "run", 20)[1]
    assert [row["step"] for row in rows] == [5, 10, 15, 20] and rows[-1]["new"] == 2
    assert math.isnan(rows[0]["new"])


def test_settings_of_an_earlier_version_are_named(tmp_path, abdomen):
    folder = tmp_path / "run"
    segmentation.train("joint", abdomen, profile="ci", steps=1, folder=folder, width=2, dim=4).finish(False)
    about = json.loads((folder / "settings.json").read_text())
    about["settings"]["gone"] = 1
    (folder / "settings.json").write_text(json.dumps(about))
    with pytest.raises(BadInput, match="run: expected the settings of this version, found gone of an earlier one"):
        segmentation.resume(folder)


@pytest.mark.parametrize("layer", [nn.Linear(2, 1, bias=False), nn.Linear(3, 1)])
def test_weights_of_an_earlier_versions_network_are_refused(tmp_path, layer):
    run = line(tmp_path / "run", steps=1).finish(False)
    learner = Line(run.settings)
    learner.layer = layer
    expected = "run: expected the weights of this version's network, found others; use the version that trained it, or"
    with pytest.raises(BadInput, match=expected):
        Run.load(learner, tmp_path / "run")
