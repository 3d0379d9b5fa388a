"""What a task is to a run: a learner, a table of methods, and the verbs that are the same for every task."""

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

import numpy as np
import torch
from torch import nn

from i2pemd_lite.device import expect_room, profile, told
from i2pemd_lite.files import BadInput, data_folder
from i2pemd_lite.runs import brought
from i2pemd_lite.runs.run import Run, S
from i2pemd_lite.runs.store import read_about


class Learner(nn.Module):
    """What a task brings to a run: `settings`, `data`, networks and a prototype `bank` as submodules, and two verbs.

    `data` is never changed, and shared between a run and its forks. `kept`, {name: tensor}, are the answers of a run
    that came without its networks' weights.
    """

    kept = None

    @property
    def device(self):
        """Where the weights are."""
        return next(self.parameters()).device

    def source(self):
        """Where the data came from and what it is: {"folder": …, "name": …, "fingerprint": …}."""
        raise NotImplementedError

    def expect_shares(self, count):
        """Raise `BadInput` unless so many processes can share a step and get the numbers of one; see `distributed`."""
        raise BadInput(f"{self.settings.method}: expected one process, found {count}; start it without torchrun")

    def begin(self):
        """What a new run begins with beside its random weights, and a resumed one has in its checkpoint."""

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

    def to_keep(self, best_weights):
        """What a run is to answer where it came without its networks' weights, {name: tensor}; inside `best_weights()`
        they are the best ones."""
        return {}

    def go_without(self, kept):
        """From now on know the answers that were `kept`; the networks, which are not trained, refuse to give others."""
        self.kept = kept
        for network in self.children():
            if next(network.parameters(), None) is not None:
                network.register_forward_pre_hook(_refuse)

    def updated(self, t):
        """Called after the optimiser's step t; a method with an averaged teacher moves it here."""


def decay(t, largest):
    """a = min(1 − 1/(t+1), largest), by which θ' ← a θ' + (1 − a) θ after step t = 0, 1, …"""
    return min(1 - 1 / (t + 1), largest)


@torch.no_grad()
def ema_update(teacher, student, a, statistics):
    """θ' ← a θ' + (1 − a) θ for the weights. statistics: copy batch normalisation's too, of a teacher with no own."""
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1 - a)
    if statistics:
        for theirs, ours in zip(teacher.buffers(), student.buffers(), strict=True):
            theirs.copy_(ours)


def _refuse(*_):
    found = "one that came with the course without them, and so knows a few answers only; train it yourself"
    raise BadInput(f"the run: expected one with the weights of its network, found {found}")


class Example(NamedTuple):
    """One held-back image, for somebody who watches."""

    image: np.ndarray  # (H, W) or (H, W, 3) uint8
    truth: np.ndarray  # (H, W) classes, or the class as an array without axes
    answer: np.ndarray  # (H, W) classes, or (K,) probabilities


@told()
def evaluated(run, score):
    """The report `score(learner, about)` on the weights that a run kept, written to its folder as report.json."""
    s, learner = run.settings, run.learner
    preset = {} if s.preset == "paper" else {"preset": s.preset}
    unfinished = {} if run.number == len(run) else {"of": f"{len(run)}, unfinished"}
    with run.best_weights() as step, learner.evaluating():
        report = score(learner, {
            "method": s.method, "λ": s.weight, "profile": s.profile, **preset, "seed": s.seed, "steps": run.number,
            **unfinished, "weights of step": step, "seconds": round(run.seconds), "peak MiB": run.memory or "unknown",
            "data": learner.data.name, **(brought.MARK if run.brought else {}),
        })  # fmt: skip
    if run.folder is not None and not brought.shipped(run.folder):
        run.expect_own()
        report.save(run.folder / "report.json")
    return report


P = ParamSpec("P")
V = TypeVar("V", bound=Callable)


@dataclasses.dataclass
class Asked:
    """What `train` is asked for before the settings of a task.

    A task makes a class of its settings and this one, in this order, for a field keeps the place that the last base
    gives it. Nobody makes one: editors, completion and `help` know each setting and its type by its signature.
    """

    method: str = ""
    data: Any = None
    profile: str = ""
    seed: int = 0
    folder: Path | str | None = None


class Preset:
    """The default of a setting as `help` shows it: what the preset has for the profile."""

    def __repr__(self):
        return "…"


def signed(verb: V, asked: type[Asked]) -> V:
    """A task's `train` as a function that shows each setting by its name."""
    shown: Any = functools.wraps(verb)(lambda *asked, **settings: verb(*asked, **settings))
    shown.__module__, shown.__qualname__ = asked.__module__, verb.__name__  # by which pickle finds it
    own, preset = {field.name for field in dataclasses.fields(Asked)}, Preset()
    shown.__signature__ = inspect.Signature([
        each if each.name in own else each.replace(kind=each.KEYWORD_ONLY, default=preset)
        for each in inspect.signature(asked).parameters.values()
    ], return_annotation=Run)  # fmt: skip
    return shown


@dataclasses.dataclass(frozen=True)
class Task(Generic[P, S]):
    """A task as its table of methods, and the verbs that are the same for every task.

    `settings` and `learner` are its classes, `methods` its rows, `presets` what each preset changes of the settings for
    each profile. `load(folder)` finds a `dataset` of some `things`, which
    `prepare(dataset, settings)` makes `ready`, for the value that `prepared_by` has in the settings. What is ready lies
    in a compact file, or in a folder with a file called `listing`. Of the figures of `Learner.evaluate`, a sweep may
    look for the best of the `goals`, of which more is better, the first unless told. `asked` has as fields what `train`
    takes.
    """

    name: str
    settings: type[S]
    learner: type
    methods: dict
    presets: dict
    load: Callable
    dataset: type
    prepare: Callable
    ready: type
    things: str
    prepared_by: str
    goals: tuple
    asked: Callable[P, Asked]
    listing: str = ""

    def train(self, *asked: P.args, **settings: P.kwargs) -> Run[S]:
        """A `Run` of one method, not started yet: iterate over it, or call `.finish()`.

        method : a key of `METHODS`
        data : a folder, or what `load` or `prepare` gave; None: `load()`
        profile : "ci", "laptop" or "gpu"; None: the one that `I2PEMD_PROFILE` names
        folder : where to keep the run; None: in memory only
        settings : any field of the task's settings, such as steps=100 or weight=0.5; else as the preset has it for the
            profile

        Raises `BadInput` for an unknown method, profile or setting, and for data that cannot be used.
        """
        return self._train(*asked, **settings)

    def _train(self, method, data=None, profile=None, seed=0, folder=None, **settings):
        chosen = self.settings_for(method, profile, seed, settings)
        expect_room(chosen)
        learner = self.learner(chosen, self.prepared(data, chosen))
        learner.begin()
        return Run(learner, folder, self.name)

    def resume(self, folder: Path | str, data: Any = None) -> Run[S]:
        """The run kept in `folder`, at its last checkpoint, ready to go on.

        `data` is looked for where the run had it, unless given; a run that came with the course has the synthetic set.
        Raises `BadInput` when it is not the data that the run was trained on, or the folder holds no whole run.
        """
        about = read_about(folder)
        if about["task"] != self.name:
            raise BadInput(f"{folder}: expected a {self.name} run, found {about['task']!r}; choose another folder")
        settings, trained_on = self.settings_of(folder), about["data"]
        place = data or trained_on["folder"] or None
        prepared = self.prepared(place, settings)
        same = prepared.fingerprint == trained_on["fingerprint"]
        if not (same or brought.alike(trained_on.get("sketch", []), prepared)):
            do = "the data that the run was trained on" if trained_on["folder"] else "the synthetic set, or none"
            raise BadInput(
                f"{folder}: expected the data of fingerprint {trained_on['fingerprint']}, found {prepared.fingerprint} "
                f"in {place or data_folder() or 'the synthetic set'}; give {do}"
            )
        return Run.load(self.learner(settings, prepared), folder, self.name)

    def ignored(self, method):
        """The settings that change nothing of what a method learns: what only other rows read, and what it ignores."""
        row, read = self.methods[method], {name for each in self.methods.values() for name in each.reads}
        return read - {*row.reads} | {*row.ignores}

    def settings_for(self, method, profile_name=None, seed=0, changes=None):
        """The settings of the paper or of another preset, at the size of the profile, with the user's changes."""
        if method not in self.methods:
            raise BadInput(f"method: expected one of {', '.join(self.methods)}, found {method!r}")
        changes, name = changes or {}, profile(profile_name).name
        preset = changes.get("preset", "paper")
        if preset not in self.presets:
            raise BadInput(f"preset: expected one of {', '.join(self.presets)}, found {preset!r}")
        own = {"method": method, "seed": seed, "profile": name}
        return self.settings(**self.presets[preset][name]).changed(**{**changes, **own})

    def settings_of(self, folder):
        """The settings of the run kept in `folder`; `BadInput` where another version wrote some that are no more."""
        own = read_about(folder)["settings"]
        if gone := sorted(own.keys() - {field.name for field in dataclasses.fields(self.settings)}):
            found = f"{', '.join(gone)} of an earlier one; use the version that trained it, or train it again"
            raise BadInput(f"{folder}: expected the settings of this version, found {found}")
        return self.settings().changed(**own)

    @told()
    def prepared(self, data, settings):
        """Data made ready for these settings, from a folder, from what `load` gave, or as they are."""
        if isinstance(data, str | Path):
            place = Path(data)
            if not place.exists():
                raise BadInput(f"{data}: expected a folder or compact file of data, found neither; check the name")
            whole = place.suffix == ".safetensors" if place.is_file() else (place / self.listing).is_file()
            data = self.ready.open(place) if whole else self.load(data)
        data = self.load() if data is None else data
        if isinstance(data, self.dataset):
            return self.prepare(data, settings)
        if not isinstance(data, self.ready):
            raise BadInput(f"data: expected what load() or prepare() gave, found {type(data).__name__}")
        theirs, wanted = (getattr(each, self.prepared_by) for each in (data, settings))
        if theirs != wanted:
            expected = f"{self.things} prepared for {self.prepared_by} {wanted}"
            found = f"{theirs}; use load(), or the profile and settings that they were prepared for"
            raise BadInput(f"data: expected {expected}, found {found}")
        return data
