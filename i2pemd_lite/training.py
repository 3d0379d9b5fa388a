"""Training as an iterator: a `Run` yields one `Step` at a time, can be paused, steered, forked, killed and resumed.

A run knows no task. A `Learner` (one of each task) holds the network, the prototypes and the data, and turns the number
of a step into losses. Everything random in step t is drawn from a generator seeded by (seed, t), so the state of a run
is its weights, its optimiser, its settings and t: nothing else has to be saved for a resumed run to give the same
numbers.
"""

import contextlib
import copy
import csv
import dataclasses
import functools
import hashlib
import inspect
import json
import math
import os
import random
import subprocess
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

import i2pemd_lite
from i2pemd_lite import moments, processes
from i2pemd_lite.device import has_bfloat16, peak_memory, profile, told
from i2pemd_lite.files import BadInput, read_json, write_json, written_whole


def seed_everything(seed):
    """Seed Python, NumPy and torch, for the small experiments of a lesson; a `Run` seeds itself."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries that a lesson calls draw from the global state)
    torch.manual_seed(seed)


def generator(*key):
    """A torch generator on the CPU that depends on `key` alone, such as (seed, "batch", step).

    Example
    -------
    >>> torch.equal(torch.rand(3, generator=generator(0, "a", 7)), torch.rand(3, generator=generator(0, "a", 7)))
    True
    """
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") % 2**63)


class Shuffled:
    """An endless shuffled stream of 0..n-1, each pass in a new order, whose every part is known by its position.

    Example
    -------
    >>> stream = Shuffled(3, "labelled", seed=0)
    >>> sorted(stream.take(0, 3).tolist()), torch.equal(stream.take(2, 5), stream.take(0, 7)[2:])
    ([0, 1, 2], True)
    """

    def __init__(self, n, name, seed):
        if n < 1:
            raise BadInput(f"{name}: expected at least one to draw from, found none")
        self.n, self.name, self.seed, self.passes = n, name, seed, {}

    def take(self, start, count):
        """The `count` indices from position `start` on."""
        wanted = range(start // self.n, (start + count - 1) // self.n + 1)
        self.passes = {i: self.passes[i] if i in self.passes else self._permutation(i) for i in wanted}
        return torch.cat(list(self.passes.values()))[start - wanted[0] * self.n :][:count]

    def _permutation(self, i):
        return torch.randperm(self.n, generator=generator(self.seed, self.name, i))


class Resident:
    """Tensors on the device that last asked for them: a step then copies nothing there and never waits.

    Example
    -------
    >>> resident = Resident()
    >>> resident.on("cpu", "images", lambda: (torch.zeros(2), torch.ones(2)))
    (tensor([0., 0.]), tensor([1., 1.]))
    """

    def __init__(self):
        self.device, self.kept = None, {}

    def on(self, device, name, tensors):
        """The tensors that `tensors()` gives, brought to the device when `name` is first asked for."""
        if device != self.device:
            self.device, self.kept = device, {}
        if name not in self.kept:
            self.kept[name] = tuple(tensor.to(device) for tensor in tensors())
        return self.kept[name]

    def __deepcopy__(self, memo):
        return self  # shared by the forks of a run


@contextlib.contextmanager
def seeded(*key):
    """Inside: torch's own random numbers depend on `key` alone; outside they stay as they were.

    Example
    -------
    >>> with seeded(0, "weights"):
    ...     first = torch.rand(2)
    >>> with seeded(0, "weights"):
    ...     print(torch.equal(torch.rand(2), first))
    True
    """
    count = torch.cuda.device_count()
    with torch.random.fork_rng(range(count) if count > 1 else None):  # unless they are named, torch warns of several
        torch.manual_seed(generator(*key).initial_seed())
        yield


@dataclasses.dataclass
class Settings:
    """What both tasks can set. The fields in `LIVE` may be changed while a run goes on; each step reads them afresh.

    No settings, since nobody needs the other value: images and weights lie channels last, copies to a GPU do not block,
    and `cudnn.benchmark` stays off, so that two runs give the same numbers.
    """

    method: str = ""
    seed: int = 0
    profile: str = "laptop"
    preset: str = "paper"
    precision: str = "auto"  # that of the profile; "float32", on a GPU with TF32 in convolutions alone; "bfloat16",
    # which few CPUs have; "float64", to compare
    steps: int = 1000
    learning_rate: float = 1e-3
    schedule: str = "step"  # "step": times `decay` every `decay_every` steps; "cosine": down to 0 at the last step
    decay: float = 0.95
    decay_every: int = 500
    weight_decay: float = 0.0
    weight: float = 1.0  # λ
    momentum: float = 0.8  # α
    evaluate_every: int = 500
    checkpoint_every: int = 50

    LIVE = ("learning_rate", "weight", "momentum", "steps", "evaluate_every")

    def __post_init__(self):
        self.check()

    def check(self):
        """Raise `BadInput` for a value that no run can use."""
        kinds = {int: "a whole number", float: "a finite number", str: "a word", bool: "True or False"}
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), field.type
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            right = {int: number and isinstance(value, int), float: number}.get(kind, kind not in kinds)
            if not right and not (kind in (str, bool) and isinstance(value, kind)):
                raise BadInput(f"{field.name}: expected {kinds[kind]}, found {value!r}")
        for name in ("steps", "decay_every", "evaluate_every", "checkpoint_every"):
            self._expect(name, getattr(self, name) >= 1, "a whole number from 1")
        self._expect("decay", 0 < self.decay <= 1, "a number above 0, up to 1")
        self._expect("weight_decay", self.weight_decay >= 0, "a number from 0")
        self._expect("learning_rate", self.learning_rate >= 0, "a number from 0")
        self._expect("weight", self.weight >= 0, "a number from 0")
        self._expect("momentum", 0 <= self.momentum <= 1, "a number from 0 to 1")
        self._expect("schedule", self.schedule in SCHEDULES, " or ".join(SCHEDULES))
        self._expect("precision", self.precision in PRECISIONS, " or ".join(PRECISIONS))

    def _expect(self, name, holds, expected):
        if not holds:
            raise BadInput(f"{name}: expected {expected}, found {getattr(self, name)!r}")

    def changed(self, **changes):
        """These settings with some changed; `BadInput` for a name that is not a setting.

        Example
        -------
        >>> Settings().changed(weigth=2)
        Traceback (most recent call last):
        i2pemd_lite.files.BadInput: weigth: not a setting; the settings are method, seed, profile, preset, ...
        """
        names = [field.name for field in dataclasses.fields(self)]
        for name in changes:
            if name not in names:
                raise BadInput(f"{name}: not a setting; the settings are {', '.join(names)}")
        return dataclasses.replace(self, **changes)


PRECISIONS = ("auto", "float32", "bfloat16", "float64")
SCHEDULES = {
    "step": lambda settings, t: settings.decay ** (t // settings.decay_every),
    "cosine": lambda settings, t: (1 + math.cos(math.pi * t / settings.steps)) / 2,
}


def learned(settings, t):
    """S(t) = Σ_{u<t} η_u / Σ_u η_u + half of step t's part: the share of a run's learning done in the middle of step t.

    By the schedule as it is set now: a `learning_rate` that was changed in the run does not count.

    Example
    -------
    >>> [round(learned(Settings(steps=4, schedule="cosine"), t), 3) for t in range(4)]
    [0.2, 0.571, 0.841, 0.971]
    """
    s = settings
    return float(_learned(s.schedule, s.steps, s.decay, s.decay_every)[t])


@functools.lru_cache(8)
def _learned(schedule, steps, decay, decay_every):
    settings = types.SimpleNamespace(steps=steps, decay=decay, decay_every=decay_every)
    rates = np.array([SCHEDULES[schedule](settings, t) for t in range(steps)])
    return (rates.cumsum() - rates / 2) / rates.sum()


class Learner(nn.Module):
    """What a task brings to a run: `settings`, `data`, networks and a prototype `bank` as submodules, and two verbs.

    `data` is never changed, and shared between a run and its forks.
    """

    @property
    def device(self):
        """Where the weights are."""
        return next(self.parameters()).device

    def source(self):
        """Where the data came from and what it is: {"folder": …, "name": …, "fingerprint": …}."""
        raise NotImplementedError

    def expect_shares(self, count):
        """Raise `BadInput` unless so many processes can share a step and get the numbers of one; see `processes`."""
        raise BadInput(f"{self.settings.method}: expected one process, found {count}; start it without torchrun")

    def losses(self, t):
        """The loss of step t (counted from 0) and its terms: {"loss": scalar that backpropagates, name: scalar, …}.

        Nothing here may wait for a GPU: data are `Resident`, random numbers are drawn on the CPU and go there with
        `non_blocking`, which needs no pinned memory for so few, and which values there are is not asked.
        """
        raise NotImplementedError

    def evaluate(self):
        """Figures on held-back data: {name: float}. If "selection" is among them, the best step's weights are kept."""
        raise NotImplementedError

    def selects(self, t):
        """Whether the weights after step t may be kept as the best."""
        return True

    def probe(self):
        """What a run's moments show: features (n, d) of some held-back instances, their labels and groups (n,).

        The same instances at each call, without gradients and random draws; `groups` are modalities by number, all 0
        where there is one. None: the run keeps no moments.
        """
        return None

    @contextlib.contextmanager
    def evaluating(self):
        """Inside: batch normalisation and dropout as in use, and no gradients."""
        training = self.training
        self.eval()
        try:
            with told(), torch.inference_mode():
                yield
        finally:
            self.train(training)

    def example(self):
        """What the learner says of one held-back image: an `Example`, or None for a learner that shows none."""

    def updated(self, t):
        """Called after the optimiser's step t; a method with an averaged teacher moves it here."""


class Example(NamedTuple):
    """One held-back image, for somebody who watches."""

    image: np.ndarray  # (H, W) or (H, W, 3) uint8
    truth: np.ndarray  # (H, W) classes, or the class as an array without axes
    answer: np.ndarray  # (H, W) classes, or (K,) probabilities


@dataclasses.dataclass
class Step:
    """One step of a run. Losses stay on the device until asked for, so that looking away costs nothing."""

    number: int  # counted from 1
    total: int
    losses: dict  # name -> scalar tensor; "loss" is what was minimised
    learning_rate: float
    prototypes: torch.Tensor | None  # (K, d)
    ground: torch.Tensor | None  # (K, K)
    evaluation: dict | None  # figures on held-back data, at the steps that evaluate
    seconds_left: float

    @property
    def loss(self):
        """The loss that was minimised, as a float."""
        return float(self.losses["loss"])


@dataclasses.dataclass(frozen=True)
class Task:
    """A task as its table of methods, and the verbs that are the same for every task.

    `settings` and `learner` are its classes, `methods` its rows, `sizes` what each profile changes of the settings,
    `presets` what each preset changes of these; `load(folder)` finds data, `prepare(data, settings)` makes them ready,
    `opened(path)` reads what is ready.
    """

    name: str
    settings: type
    learner: type
    methods: dict
    sizes: dict
    load: Callable
    prepare: Callable
    opened: Callable
    presets: dict = dataclasses.field(default_factory=lambda: {"paper": {}})

    def train(self, method, data=None, profile=None, seed=0, folder=None, **settings):
        """A run of one method, not started yet: iterate over it, or call `.finish()`.

        Parameters
        ----------
        method : a key of `METHODS`
        data : a folder, or what `load` or `prepare` gave; None: `load()`
        profile : "ci", "laptop" or "gpu"; None: the one that `I2PEMD_PROFILE` names
        folder : where to keep the run; None: in memory only
        settings : any field of the task's settings, such as steps=100 or weight=0.5

        Returns
        -------
        Run

        Raises
        ------
        BadInput
            for an unknown method, profile or setting, and for data that cannot be used
        """
        chosen = self.settings_for(method, profile, seed, settings)
        return Run(self.learner(chosen, self.prepared(data, chosen)), folder, self.name)

    def resume(self, folder, data=None):
        """The run kept in `folder`, at its last checkpoint, ready to go on.

        `data` is looked for where the run had it, unless given. Raises `BadInput` when it is not the data that the run
        was trained on, or the folder holds no whole run.
        """
        about = read_about(folder)
        if about["task"] != self.name:
            raise BadInput(f"{folder}: expected a {self.name} run, found {about['task']!r}; choose another folder")
        settings, trained_on = self.settings_of(folder), about["data"]
        prepared = self.prepared(data or trained_on["folder"], settings)
        if prepared.fingerprint != trained_on["fingerprint"]:
            raise BadInput(
                f"{folder}: expected the data of fingerprint {trained_on['fingerprint']}, found {prepared.fingerprint} "
                f"in {data or trained_on['folder']}; give the data that the run was trained on"
            )
        return Run.load(self.learner(settings, prepared), folder, self.name)

    def settings_for(self, method, profile_name=None, seed=0, changes=None):
        """The settings of the paper or of another preset, at the size of the profile, with the user's changes."""
        if method not in self.methods:
            raise BadInput(f"method: expected one of {', '.join(self.methods)}, found {method!r}")
        changes, name = changes or {}, profile(profile_name).name
        preset = changes.get("preset", "paper")
        if preset not in self.presets:
            raise BadInput(f"preset: expected one of {', '.join(self.presets)}, found {preset!r}")
        own = {"method": method, "seed": seed, "profile": name}
        return self.settings(**self.sizes[name]).changed(**{**self.presets[preset], **changes, **own})

    def settings_of(self, folder):
        """The settings of the run kept in `folder`; `BadInput` where another version wrote some that are no more."""
        kept = read_about(folder)["settings"]
        if gone := sorted(kept.keys() - {field.name for field in dataclasses.fields(self.settings)}):
            found = f"{', '.join(gone)} of an earlier one; use the version that trained it, or train it again"
            raise BadInput(f"{folder}: expected the settings of this version, found {found}")
        return self.settings().changed(**kept)

    def prepared(self, data, settings):
        """Data made ready for these settings, from a folder, from what `load` gave, or as they are."""
        if isinstance(data, str | Path) and not Path(data).exists():
            raise BadInput(f"{data}: expected a folder or compact file of data, found neither; check the name")
        if isinstance(data, str | Path):
            data = self.opened(Path(data)) or self.load(data)
        return self.prepare(self.load() if data is None else data, settings)


@functools.cache
def eager(optimiser):
    """The same optimiser of `torch.optim`, by a class that does not load torch's compiler.

    Around these methods torch has wrappers that load it, in two seconds, for what is not compiled here.

    Example
    -------
    >>> eager(torch.optim.SGD)([torch.zeros(1, requires_grad=True)], lr=0.5).defaults["lr"]
    0.5
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict", "step")
    bare = {name: inspect.unwrap(getattr(optimiser, name)) for name in names}
    return type(optimiser.__name__, (optimiser,), bare | {"step": torch.no_grad()(bare["step"])})


class Run:
    """A training run: an iterator over its steps.

    Parameters
    ----------
    learner : Learner
    folder : where to keep the run; None keeps it in memory only. The folder then holds settings.json, history.csv,
        evaluations.csv, checkpoint.safetensors, moments/, and after evaluation report.json and what a task adds to it.
    task : name of the task, for settings.json

    Attributes
    ----------
    settings : those of the learner; assign to a live one between steps (`run.settings.weight = 0.5`)
    number : steps done;  history, evaluations : lists of dicts;  moments : list of `Moment`, one before the first step
        and one at each evaluation, where the learner has a `probe`;
    seconds;  memory : the process's `peak_memory` when the run was last saved

    `for step in run` goes on where the run stands; not asking for the next step pauses it. `fork()` goes on from here
    with other settings, `save()` writes a checkpoint, `Run.load` (by the task's `resume`) goes on after a kill.

    In several processes (`processes.joined`) each has a run, and all take the same steps; the first one alone evaluates
    and keeps the folder.
    """

    @told()
    def __init__(self, learner, folder=None, task=""):
        self.task, self.learner, self.settings = task, learner, learner.settings
        self.profile = profile(self.settings.profile)
        if self.settings.precision != "auto":
            self._compute_in(self.settings.precision)
        self.folder = Path(folder) if folder is not None and processes.first() else None
        if self.folder is not None and (self.folder / "checkpoint.safetensors").exists():
            raise BadInput(f"{self.folder}: holds a run already; resume it, or choose another folder")
        if processes.count() > 1:
            processes.prepare(learner, self.profile.device)
        learner.to(self.profile.device, torch.float64 if self.profile.precision == "float64" else None)
        self.parameters = [p for p in learner.parameters() if p.requires_grad]
        self.optimiser = eager(torch.optim.Adam)(
            self.parameters, lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        self.number, self.seconds, self.memory, self.best = 0, 0.0, None, None
        self.history, self.evaluations, self.moments, self._pending = [], [], [], []
        self._written = None  # rows of the two tables that are on disk; None: the tables are not this run's yet

    def __iter__(self):
        return self

    def __len__(self):
        return self.settings.steps

    @told()
    def __next__(self):
        if self.number >= self.settings.steps:
            self.save()
            raise StopIteration
        if self.number == 0 and not self.moments and processes.first():
            self._keep_moment()
        if self.folder is not None and self._written is None:
            self.save()  # from its first moment on, a run that is killed can be resumed
        started = time.perf_counter()
        self.settings.check()
        rate = self.settings.learning_rate * SCHEDULES[self.settings.schedule](self.settings, self.number)
        losses = self._optimise(rate)
        self.number += 1
        self._pending.append((self.number, rate, losses))
        evaluates = self._due(self.settings.evaluate_every)
        evaluation = self._evaluate() if evaluates and processes.first() else None
        self.seconds += time.perf_counter() - started
        if evaluates or self._due(self.settings.checkpoint_every):
            self.save()
        bank = getattr(self.learner, "bank", None)
        return Step(
            self.number,
            self.settings.steps,
            losses,
            rate,
            None if bank is None else bank.prototypes.clone(),
            None if bank is None else bank.ground_distance(),
            evaluation,
            self.seconds / self.number * (self.settings.steps - self.number),
        )

    def _compute_in(self, precision):
        device = self.profile.device
        if precision == "bfloat16" and device != "cpu" and not has_bfloat16(device):
            do = "begin with --set precision=float32, or go on with --device cpu"
            raise BadInput(f"precision: expected float32 on {device}, which has no bfloat16, found {precision}; {do}")
        self.profile = dataclasses.replace(self.profile, precision=precision)

    def _due(self, every):
        return self.number % every == 0 or self.number == self.settings.steps

    def _optimise(self, rate):
        device = torch.device(self.profile.device)
        self.learner.train()
        with seeded(self.settings.seed, "step", self.number):
            mixed = self.profile.precision == "bfloat16"
            # Not cached: some versions of torch reuse a weight that was cast without gradients, which then gets none.
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed, cache_enabled=False):
                losses = self.learner.losses(self.number)
            self.optimiser.zero_grad(set_to_none=True)
            losses["loss"].backward()
            processes.average_gradients(self.parameters)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            self.optimiser.step()
            self.learner.updated(self.number)
        return {name: value.detach() for name, value in losses.items()}

    def _evaluate(self):
        with self.learner.evaluating():
            figures = self.learner.evaluate()
        self._keep_moment()
        self.evaluations.append({"step": self.number, **figures})
        if self.best is not None and not self.learner.selects(self.best[1] - 1):  # `steps` was raised since
            self.best = None
        chosen = "selection" in figures and self.learner.selects(self.number - 1)
        if chosen and (self.best is None or figures["selection"] > self.best[0]):
            weights = {name: value.clone() for name, value in self.learner.state_dict().items()}
            self.best = (figures["selection"], self.number, weights)
        return figures

    def _keep_moment(self):
        with self.learner.evaluating():
            probe = self.learner.probe()
            if probe is not None:
                self.moments.append(moments.moment(self.number, self.learner.bank, probe))

    def progress(self):
        """The run with a progress bar that shows the loss and the time left."""
        from tqdm.auto import tqdm

        bar = tqdm(self, desc=self.settings.method, total=self.settings.steps, initial=self.number, unit="step")
        for step in bar:
            if step.number % 10 == 0 or step.number == step.total:
                bar.set_postfix(loss=f"{step.loss:.3f}", refresh=False)
            yield step

    def finish(self, progress=True):
        """Train to the end; the run itself."""
        for _ in self.progress() if progress else self:
            pass
        return self

    def change(self, **values):
        """Change live settings of a run that goes on; `BadInput`, and nothing is changed, where one cannot be."""
        for name in values:
            if name not in self.settings.LIVE:
                raise BadInput(f"{name}: cannot change in a run; what can are {', '.join(self.settings.LIVE)}")
        self.settings.changed(**values)  # raises for a value that no run can use
        for name, value in values.items():
            setattr(self.settings, name, value)

    @told()
    def fork(self, folder=None, **changes):
        """A second run that goes on from here with other live settings; this one stays as it is."""
        self._flush()
        learner = copy.deepcopy(self.learner)
        twin = Run(learner, folder, self.task)
        twin.profile = self.profile
        twin.optimiser.load_state_dict(copy.deepcopy(self.optimiser.state_dict()))
        twin.number, twin.seconds, twin.best = self.number, self.seconds, copy.copy(self.best)
        twin.change(**changes)
        twin.history, twin.evaluations = [dict(row) for row in self.history], [dict(row) for row in self.evaluations]
        twin.moments = list(self.moments)
        return twin

    @contextlib.contextmanager
    def best_weights(self):
        """Inside: the weights of the best evaluation where the task selects one, else the last; gives their step."""
        if self.best is None:
            yield self.number
            return
        last = {name: value.clone() for name, value in self.learner.state_dict().items()}
        self.learner.load_state_dict(self.best[2])
        try:
            yield self.best[1]
        finally:
            self.learner.load_state_dict(last)

    # --- on disk ---------------------------------------------------------------------------------------------------

    def _flush(self):
        """Fetch the losses from the device, once for many steps, and stop at a loss that is no number."""
        for number, rate, losses in self._pending:
            row = {"step": number, "learning_rate": rate, **{name: float(value) for name, value in losses.items()}}
            if not math.isfinite(row["loss"]):
                raise FloatingPointError(
                    f"the loss of step {number} is {row['loss']}; resume from the last checkpoint with a lower "
                    f"learning_rate than {rate:g}, or a lower weight than {self.settings.weight:g}"
                )
            self.history.append(row)
        self._pending = []

    def save(self):
        """Write the run to its folder (none: do nothing but check the losses), the checkpoint after everything else."""
        self._flush()
        self.memory = max(self.memory or 0, peak_memory(self.profile.device) or 0) or None
        if self.folder is None:
            return
        if not (self.folder / "checkpoint.safetensors").exists():
            write_json(self.folder / "settings.json", self.description())
            for name in ("report.json", "scores.csv"):  # of a run that was here before
                (self.folder / name).unlink(missing_ok=True)
        tables = {"history.csv": self.history, "evaluations.csv": self.evaluations}
        for (name, rows), written in zip(tables.items(), self._written or (None, None), strict=True):
            _write_rows(self.folder / name, rows, written)
        self._write_moments()
        self._written = (len(self.history), len(self.evaluations))
        self._write_checkpoint()

    def _write_moments(self):
        own = {kept.step: kept for kept in self.moments}
        there = moments.paths(self.folder)
        if self._written is None:  # those of a kill after the last checkpoint, or of a run that was here before
            for step in there.keys() - own.keys():
                there[step].unlink()
            there = {}
        for step in own.keys() - there.keys():
            moments.write(self.folder, own[step])

    def _write_checkpoint(self):
        from safetensors.torch import save_file

        tensors = {f"learner.{name}": value for name, value in self.learner.state_dict().items()}
        for i, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{i}.{name}": value for name, value in state.items()}
        about = {"number": self.number, "seconds": self.seconds, "memory": self.memory}
        about["settings"] = dataclasses.asdict(self.settings)
        if self.best is not None:
            tensors |= {f"best.{name}": value for name, value in self.best[2].items()}
            about["best"] = self.best[:2]
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        with written_whole(self.folder / "checkpoint.safetensors") as temporary:
            save_file(tensors, temporary, metadata={"run": json.dumps(about)})

    @classmethod
    @told()
    def load(cls, learner, folder, task=""):
        """The run in `folder` at its last checkpoint, around a learner built from its settings.

        Nothing is written until the run goes on, so that a run which trains elsewhere can be looked at.
        """
        folder = Path(folder)
        about, tensors = read_checkpoint(folder)
        for name in learner.settings.LIVE:  # as they were last, not as the run began
            setattr(learner.settings, name, about["settings"][name])
        run = cls(learner, task=task)
        # "auto" is another precision on another machine; a run goes on in that in which it began.
        run._compute_in(read_about(folder)["profile"]["precision"])
        run.folder = folder if processes.first() else None
        run.number, run.seconds, run.memory = about["number"], about["seconds"], about.get("memory")
        there, own = _part(tensors, "learner."), run.learner.state_dict()
        if {name: x.shape for name, x in there.items()} != {name: x.shape for name, x in own.items()}:
            found = "others; use the version that trained it, or train it again"
            raise BadInput(f"{folder}: expected the weights of this version's network, found {found}")
        run.learner.load_state_dict(there)
        state = {}
        for name, value in _part(tensors, "optimiser.").items():
            i, key = name.split(".", 1)
            # In the memory layout of its weights, as before: another layout is summed in another order.
            like = run.parameters[int(i)]
            layout = torch.empty_like(like) if value.shape == like.shape else torch.empty_like(value)
            state.setdefault(int(i), {})[key] = layout.copy_(value)
        run.optimiser.load_state_dict({**run.optimiser.state_dict(), "state": state})
        if "best" in about:
            run.best = (*about["best"], _part(tensors, "best."))
        run.history, run.evaluations = read_tables(folder, run.number)
        run.moments = moments.read(folder, run.number)
        return run

    def description(self):
        """What settings.json says: the task, all settings, versions, the data's fingerprint and the commit."""
        return {
            "task": self.task,
            "settings": dataclasses.asdict(self.settings),
            "profile": dataclasses.asdict(self.profile),
            "data": self.learner.source(),
            "versions": {"i2pemd_lite": i2pemd_lite.__version__, "torch": torch.__version__, "numpy": np.__version__},
            "threads": torch.get_num_threads(),
            "processes": processes.count(),
            "commit": _commit(),
        }


def read_about(folder):
    """What settings.json says of the run in `folder`; `BadInput` when there is none."""
    path = Path(folder) / "settings.json"
    if not path.is_file():
        raise BadInput(f"{folder}: expected the folder of a run, found no settings.json in it; check the name")
    about = read_json(path)
    if not isinstance(about, dict) or not {"task", "settings", "profile", "data"} <= about.keys() or (
        not isinstance(about["profile"], dict) or about["profile"].get("precision") not in PRECISIONS
    ):
        raise BadInput(f"{path}: expected task, settings, profile and data of a run, found others; restore the file")
    return about


def read_checkpoint(folder, tensors=True):
    """What a checkpoint says about its run, and its tensors where wanted; `BadInput` when it is absent or damaged."""
    from safetensors import SafetensorError, safe_open

    path = Path(folder) / "checkpoint.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            # Cloned, because a tensor that is still mapped to the file keeps Windows from replacing it.
            names = file.keys() if tensors else ()
            return json.loads(file.metadata()["run"]), {name: file.get_tensor(name).clone() for name in names}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path}: expected the checkpoint of a run, found {error}; train again, or restore it") from None


def read_tables(folder, number):
    """history.csv and evaluations.csv of a run up to step `number`, each a list of dicts; `BadInput` when damaged."""
    return tuple(_read_rows(Path(folder) / name, number) for name in ("history.csv", "evaluations.csv"))


def _part(tensors, prefix):
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _write_rows(path, rows, written):
    """Append the rows after the first `written`; with None write the table anew, whole."""
    if written is None and rows:
        with written_whole(path) as temporary:
            _append(temporary, rows, header=True)
    elif written is None:
        path.unlink(missing_ok=True)
    elif rows[written:] and rows[-1].keys() != rows[0].keys():  # a run of an earlier version, with fewer columns
        _write_rows(path, rows, None)
    elif rows[written:]:
        _append(path, rows[written:], header=not path.exists())


def _append(path, rows, header):
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, dict.fromkeys(name for row in rows for name in row), restval="nan")
        if header:
            writer.writeheader()
        writer.writerows(rows)
        file.flush()
        os.fsync(file.fileno())


def _read_rows(path, number):
    """The rows up to step `number`, without what a killed run wrote after its last checkpoint."""
    if not path.exists():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        complete = [row for row in rows if None not in row and None not in row.values() and row["step"].isdigit()]
        return [{name: _number(value) for name, value in row.items()} for row in complete if int(row["step"]) <= number]
    except (KeyError, ValueError, csv.Error) as error:
        found = f"{type(error).__name__}: {error}"
        raise BadInput(f"{path}: expected a table of a run, found {found}; restore it, or train again") from None


def _number(text):
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _commit():
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, encoding="utf-8", timeout=10)
        return done.stdout.strip() or None
    return None
