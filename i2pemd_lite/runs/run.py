"""Training as an iterator: a `Run` yields one `Step` at a time, can be paused, steered, forked, killed and resumed.

A run knows no task. A `Learner` (task.py) holds the network, the prototypes and the data, and turns the number of a
step into losses. Everything random in step t is drawn from a generator seeded by (seed, t), so the state of a run is
its weights, its optimiser, its settings and t: nothing else is saved (store.py), and a resumed run gives the same
numbers.
"""

import contextlib
import copy
import dataclasses
import functools
import inspect
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import torch

from i2pemd_lite import distributed
from i2pemd_lite.device import has_bfloat16, keep_memory, peak_memory, profile, told
from i2pemd_lite.files import BadInput
from i2pemd_lite.runs import moments, store
from i2pemd_lite.runs.sampling import seeded
from i2pemd_lite.runs.settings import Settings, rate_of
from i2pemd_lite.text import bar


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
    def loss(self) -> float:
        """The loss that was minimised, as a float."""
        return float(self.losses["loss"])


@functools.cache
def eager(optimiser):
    """An optimiser of `torch.optim` without the wrappers of its methods, which load torch's compiler in two seconds."""
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict", "step")
    bare = {name: inspect.unwrap(getattr(optimiser, name)) for name in names}
    return type(optimiser.__name__, (optimiser,), bare | {"step": torch.no_grad()(bare["step"])})


@contextlib.contextmanager
def uninterrupted():
    """Inside, an interrupt (Ctrl-C, the stop button of a notebook) waits for the end; a second one stops at once."""
    stop = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if not callable(stop):  # interrupts do not come here, or are ignored
        yield
        return
    came = []

    def wait(*about):
        came.append(about)
        if len(came) > 1:
            stop(*about)
        with contextlib.suppress(Exception):  # such as that it came while something was being printed
            print("stopping after this step; to stop at once, interrupt again", file=sys.stderr, flush=True)

    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, stop)
        if came:
            stop(*came[0])


S = TypeVar("S", bound=Settings)


class Paused(KeyboardInterrupt):
    """An interrupt that found a run between two steps and saved it there; a notebook says so in place of a traceback.

    Example
    -------
    >>> print(Paused("ours", 35, 120))
    ours: paused at step 35 of 120. Run this cell again, and the training goes on from there.
    """

    def __str__(self):
        name, number, total = self.args
        return f"{name}: paused at step {number} of {total}. Run this cell again, and the training goes on from there."

    def _render_traceback_(self):
        return [str(self)]


class Run(Generic[S]):
    """A training run: an iterator over its steps.

    learner : a `Learner`
    folder : where to keep the run; None keeps it in memory only. The folder then holds settings.json, history.csv,
        evaluations.csv, checkpoint.safetensors, moments/, and after evaluation report.json and what a task adds to it.
    task : name of the task, for settings.json

    settings : those of the learner; assign to a live one between steps (`run.settings.weight = 0.5`)
    number : steps done;  saved : those of them that were saved, None before the first time
    history, evaluations : lists of dicts;  moments : list of `Moment`, one before the first step and one at each
        evaluation, where the learner has a `probe`;
    changes : list of [step, name, value], a live setting that was changed and the first step that had its new value
    began : the settings of the first step, as a dict, also those of a fork; before that step those that were last saved
    on_save : functions of the run, called each time that it was saved
    brought : whether it came with the course (brought.py): it can be looked at and evaluated, and cannot go on
    seconds, seconds_left;  memory : the process's `peak_memory` when the run was last saved

    `for step in run` goes on where the run stands; not asking for the next step pauses it. `fork()` goes on from here
    with other settings, `save()` writes a checkpoint, `Run.load` (by the task's `resume`) goes on after a kill.

    An interrupt waits until the step, its evaluation and its checkpoint are done. What stops them all the same, such as
    a second interrupt or a full memory, leaves a run that refuses to go on: its folder, resumed, does. What could not
    be written, as on a full disk, is written by the next call.

    In several processes (`distributed.joined`) each has a run, and all take the same steps; the first alone evaluates
    and keeps the folder.
    """

    settings: S
    best: tuple | None

    @told()
    def __init__(self, learner: Any, folder: Path | str | None = None, task: str = ""):
        self.task, self.learner, self.settings = task, learner, learner.settings
        self.profile = profile(self.settings.profile)
        if self.settings.precision != "auto":
            self._compute_in(self.settings.precision)
        self.folder = Path(folder) if folder is not None and distributed.is_main() else None
        if any("\udc80" <= c <= "\udcff" for c in str(self.folder)):  # how Python holds such bytes
            found = f"{str(self.folder)!r}; choose another folder"
            raise BadInput(f"folder: expected a name in UTF-8, which safetensors needs, found {found}")
        self._disk = store.Writer()
        self.expect_own()
        if distributed.count() > 1:
            distributed.prepare(learner, self.profile.device)
        if self.profile.device == "cpu":
            keep_memory()
        learner.to(self.profile.device, torch.float64 if self.profile.precision == "float64" else None)
        self.parameters = [p for p in learner.parameters() if p.requires_grad]
        fused = True if self.profile.device == "cpu" else None  # one kernel, which was measured there alone
        adam, groups = torch.optim.Adam, self.parameters
        if self.settings.optimiser == "adamw":
            self.parameters = sorted(self.parameters, key=lambda p: p.ndim == 1)  # in the order of the groups
            kernels, others = ([p for p in self.parameters if (p.ndim == 1) == one] for one in (False, True))
            adam, groups = torch.optim.AdamW, [{"params": kernels}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = eager(adam)(
            groups, lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay, fused=fused
        )
        self.number, self.saved, self.seconds, self.memory, self.best = 0, None, 0.0, None, None
        self.history, self.evaluations, self.moments, self.changes, self._pending = [], [], [], [], []
        self.live = self.began = None  # what the live settings were in the last step; all settings of the first one
        self._whole, self.brought = True, False  # no step is half done
        self._fetching = threading.Lock()  # a panel may look while another thread trains
        self.on_save, self._unsaved = [], True  # from its first moment on, a run that is killed can be resumed

    def __repr__(self):
        return f"<{self.settings.method}, {self.number} of {len(self)} steps, in {self.folder or 'memory only'}>"

    def __iter__(self):
        return self

    def __len__(self):
        return self.settings.steps

    @told()
    def __next__(self):
        with uninterrupted():
            self._expect_whole()
            if self.number >= self.settings.steps:
                self.save()
                raise StopIteration
            self._expect_own_training()
            if self.number == 0 and not self.moments and distributed.is_main():
                self._keep_moment()
            if self._unsaved or self.number == 0 and self.began != dataclasses.asdict(self.settings):
                self.save()
            self.settings.check()
            step = self._step()
            if self._unsaved:
                self.save()
            return step

    def _step(self):
        started, live = time.perf_counter(), {name: getattr(self.settings, name) for name in self.settings.LIVE}
        rate = rate_of(self.settings, self.number)
        self._whole = False
        losses = self._optimise(rate)
        self.number += 1
        new = live.items() - (self.live or live).items()
        self.changes += [[self.number, name, live[name]] for name, _ in sorted(new)]
        self.live = live
        self._pending.append((self.number, rate, losses))
        evaluates = self._due(self.settings.evaluate_every)
        evaluation = self._evaluate() if evaluates and distributed.is_main() else None
        self.seconds += time.perf_counter() - started
        self._unsaved = evaluates or self._due(self.settings.checkpoint_every)
        self._whole = True
        bank = getattr(self.learner, "bank", None)
        prototypes, ground = (None, None) if bank is None else (bank.prototypes.clone(), bank.ground_distance())
        return Step(self.number, len(self), losses, rate, prototypes, ground, evaluation, self.seconds_left)

    def _expect_whole(self):
        """Raise `BadInput` where a step was stopped in its middle: weights, prototypes or rows are of neither side."""
        if not self._whole:
            do = f"resume it from its last checkpoint in {self.folder}" if self.folder else "train it again"
            raise BadInput(f"the run: expected one that stands between two steps, found one stopped within one; {do}")

    def _expect_own_training(self):
        """Raise `BadInput` for a run without the state of its optimiser."""
        if self.brought:
            found = "one that came with the course, without what a training needs to go on; train it yourself"
            raise BadInput(f"{self.folder}: expected a run that was trained here, found {found}")

    @property
    def seconds_left(self) -> float | None:
        """The time to the last step, at the pace until now; None before the first."""
        return self.seconds / self.number * (len(self) - self.number) if self.number else None

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
            distributed.average_gradients(self.parameters)
            if self.settings.clip:
                torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            self.optimiser.step()
            self.learner.updated(self.number)
        return {name: value.detach() for name, value in losses.items()}

    def _evaluate(self):
        with self.learner.evaluating():
            figures = self.learner.evaluate()
        figures = {name: value.item() if hasattr(value, "item") else value for name, value in figures.items()}
        self._keep_moment()
        self.evaluations.append({"step": self.number, **figures})
        if self.best is not None and not self.learner.selects(self.best[1] - 1):  # `steps` was raised since
            self.best = None
        chosen = math.isfinite(figures.get("selection", math.nan)) and self.learner.selects(self.number - 1)
        if chosen and (self.best is None or figures["selection"] > self.best[0]):
            self.best = (figures["selection"], self.number, self._weights())
        return figures

    def _keep_moment(self):
        with self.learner.evaluating():
            probe = self.learner.probe()
            if probe is not None:
                self.moments.append(moments.moment(self.number, self.learner.bank, probe))

    def progress(self) -> Iterator[Step]:
        """The run with a `bar` that shows the loss and the time left."""
        return bar(self, f"training {self.settings.method}", "step", done=self.number, shown=True,
                   stop="pause", words=lambda step: f"loss {step.loss:.3f}", known=lambda: self.number)  # fmt: skip

    def finish(self, progress: bool = True) -> Self:
        """Train to the end; the run itself."""
        with self.pausing():
            for _ in self.progress() if progress else self:
                pass
        return self

    @contextlib.contextmanager
    def pausing(self, name: str | None = None) -> Iterator[None]:
        """Inside, an interrupt that comes between two steps saves the run there, and is raised as `Paused`, in which
        the run has this name; None: that of its method."""
        try:
            yield
        except KeyboardInterrupt:
            if not self._whole:
                raise
            self.save()
            raise Paused(name or self.settings.method, self.number, len(self)) from None

    def change(self, **values: Any) -> None:
        """Change live settings of a run that goes on; `BadInput`, and nothing is changed, where one cannot be."""
        for name in values:
            if name not in self.settings.LIVE:
                raise BadInput(f"{name}: cannot change in a run; what can are {', '.join(self.settings.LIVE)}")
        self.settings.changed(**values)  # raises for a value that no run can use
        vars(self.settings).update(values)

    @told()
    def fork(self, folder: Path | str | None = None, **changes: Any) -> "Run[S]":
        """A second run that goes on from here with other live settings; this one stays as it is."""
        self._expect_whole()
        self._expect_own_training()
        self.fetch()
        twin = Run(copy.deepcopy(self.learner), folder, self.task)
        twin.profile = self.profile
        twin.optimiser.load_state_dict(copy.deepcopy(self.optimiser.state_dict()))
        twin.number, twin.seconds, twin.best = self.number, self.seconds, copy.copy(self.best)
        twin.change(**changes)
        twin.history, twin.evaluations = [dict(row) for row in self.history], [dict(row) for row in self.evaluations]
        twin.moments, twin.changes, twin.live = list(self.moments), list(self.changes), self.live
        twin.began = self.began
        return twin

    @contextlib.contextmanager
    def best_weights(self) -> Iterator[int]:
        """Inside: the weights of the best evaluation where the task selects one, else the last; gives their step."""
        self._expect_whole()
        if self.best is None:
            yield self.number
            return
        last, self._whole = self._weights(), False
        try:
            self.learner.load_state_dict(self.best[2])
            yield self.best[1]
        finally:
            with uninterrupted():
                self.learner.load_state_dict(last)
                self._whole = True

    def _weights(self):
        return {name: value.clone() for name, value in self.learner.state_dict().items()}

    def fetch(self) -> None:
        """Bring `history` up to date: losses stay on the device until then. Stops at a loss that is no number."""
        with self._fetching:
            while self._pending:
                number, rate, losses = self._pending[0]
                row = {"step": number, "learning_rate": rate, **{name: float(value) for name, value in losses.items()}}
                if not math.isfinite(row["loss"]):
                    raise FloatingPointError(
                        f"the loss of step {number} is {row['loss']}; resume from the last checkpoint with a lower "
                        f"learning_rate than {rate:g}, or a lower weight than {self.settings.weight:g}"
                    )
                self.history[number - 1 :] = [row]  # once, also where it was stopped here before
                del self._pending[0]

    def expect_own(self) -> None:
        """Raise `BadInput` where the folder was moved, or somebody else has gone on with the run in it."""
        if self.folder is not None:
            self._disk.expect_own(self.folder)

    def save(self) -> None:
        """Write the run to its folder, the checkpoint last; without a folder nothing is done but check the losses.

        `BadInput` where there is no room for it, or where the folder was moved or written by somebody else since.
        """
        self._expect_whole()
        self.fetch()
        if self.number == 0:
            self.began = dataclasses.asdict(self.settings)
        self.memory = max(self.memory or 0, peak_memory(self.profile.device) or 0) or None
        if self.folder is not None and not self.brought:  # nothing in it is new
            self._disk.write(self)
        for tell in self.on_save:
            tell(self)
        self.saved, self._unsaved = self.number, False

    @classmethod
    @told()
    def load(cls, learner: Any, folder: Path | str, task: str = "") -> Self:
        """The run in `folder` at its last checkpoint, around a learner built from its settings.

        Nothing is written until the run goes on, so that a run which trains elsewhere can be looked at.
        """
        about, tensors = store.read_checkpoint(folder)
        for name in learner.settings.LIVE:  # as they were last, not as the run began
            setattr(learner.settings, name, about["settings"][name])
        learner.settings.check()
        run = cls(learner, task=task)
        # "auto" is another precision on another machine; a run goes on in that in which it began.
        run._compute_in(store.read_about(folder)["profile"]["precision"])
        run.folder = Path(folder) if distributed.is_main() else None
        store.restore(run, folder, about, tensors)
        run._disk, run.saved = store.Writer(about["mark"]), run.number
        return run
