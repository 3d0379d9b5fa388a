"""The board of the cockpit: what is known of each run, and how it is drawn."""

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import Any, Self

import numpy as np

from i2pemd_lite import classification
from i2pemd_lite.panels import classification as skin
from i2pemd_lite.panels import curves, seeds
from i2pemd_lite.panels import segmentation as organs
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.moments import draw_prototypes
from i2pemd_lite.runs.run import Run
from i2pemd_lite.runs.watch import saved
from i2pemd_lite.runs.worker import State, plane
from i2pemd_lite.text import duration, late

NOTE = "note.txt"  # in the folder of a run
SHOWN = {shown.task.name: shown for shown in (organs.SHOWN, skin.SHOWN)}


@dataclasses.dataclass
class Track:
    """What is known of a run that trains elsewhere, in the words of `Run` and of `worker.Trained.news`."""

    name: str
    folder: Path
    task: str
    state: State = State.SAVED
    run: Run | None = None  # one of the notebook, which may have no folder
    held: bool = False  # whether the notebook has it, and its folder is one of the cockpit's
    settings: dict = dataclasses.field(default_factory=dict)
    number: int = 0
    history: list = dataclasses.field(default_factory=list)
    evaluations: list = dataclasses.field(default_factory=list)
    changes: list = dataclasses.field(default_factory=list)
    began: dict = dataclasses.field(default_factory=dict)  # the settings of its first step
    data: dict = dataclasses.field(default_factory=dict)
    brought: bool = False  # whether it came with the course, and can neither go on nor be forked
    note: str = ""
    saved: float = 0.0  # when that was, as the clock of its disk says
    places: list | None = None  # (K, 2) of the prototypes, in the plane in which they vary most
    ground: list | None = None
    example: dict | None = None
    seconds_left: float | None = None
    memory: float | None = None
    error: str = ""
    doing: str = ""  # what the process does before it can train
    since: float = dataclasses.field(default_factory=time.monotonic)  # when it was asked for, or told its last steps
    wishes: dict = dataclasses.field(default_factory=dict)  # settings that were changed while it was not open
    asked: int = 0  # changes of settings that the process has not answered yet, opening it among them

    @property
    def open(self) -> bool:
        """Whether the process has it."""
        return self.state in (State.STARTING, State.TRAINING, State.PAUSED, State.DONE)

    @property
    def late(self) -> str:
        """How long its next step takes, in words, where that is long."""
        return late("step", self.since) if self.state in (State.TRAINING, State.STOPPING) else ""

    @property
    def total(self) -> int:
        """Its steps, as far as they are known."""
        return self.settings.get("steps", 0)

    @property
    def older(self) -> bool:
        """Whether its folder says more by now; so does one without a checkpoint, in an error."""
        path = self.folder / "checkpoint.safetensors"
        return not path.exists() or path.stat().st_mtime != self.saved

    def read(self, number: int | None = None) -> Self:
        """Take up what its folder, or the notebook, says of the first `number` steps; None: of all that were saved."""
        if self.run is not None:
            with contextlib.suppress(FloatingPointError):  # which its next save says
                self.run.fetch()
        elif (path := self.folder / NOTE).is_file():
            self.note = path.read_text(encoding="utf-8", errors="replace")
        about = saved(self.folder if self.run is None else self.run)
        if self.run is None:
            self.saved = (self.folder / "checkpoint.safetensors").stat().st_mtime
        if number is None:
            number, self.task, self.settings = about.number, about.task, about.settings
        self.number, self.history, self.began, self.data = number, about.history[:number], about.began, about.data
        self.brought = about.brought
        self.evaluations = [row for row in about.evaluations if row["step"] <= number]
        self.changes = [change for change in about.changes if change[0] <= number]
        if about.moments:
            last = about.moments[-1]
            self.ground, self.places = last.ground, plane(np.asarray(last.prototypes, dtype=float))
        return self

    def take(
        self, state: str, history: list, evaluations: list, changes: list, example: dict | None, **now: Any
    ) -> None:
        """Take up what the process tells of the steps since it last did."""
        going, stopping = state == State.TRAINING, self.state == State.STOPPING
        self.state = State(state) if not stopping else State.STOPPING if going else State.STOPPED
        self.since = time.monotonic()
        self.history += history
        self.evaluations += evaluations
        self.changes += changes
        self.example = example or self.example
        vars(self).update(now)

    def acts(self, name: str) -> bool:
        """Whether a setting can be changed and acts in its method."""
        task, method = SHOWN[self.task].task, self.settings.get("method")
        return bool(method) and name in task.settings.LIVE and name not in task.ignored(method)


def draw(card, result):
    """Losses and figures on held-back data above; prototypes, G and an example below, or what seeds say of two runs."""
    curves.draw_watched(card, result, *([left, 0.585, 0.40, 0.345] for left in (0.055, 0.555)))
    _draw_prototypes(card, result.run.places, result.classes)
    curves.draw_ground(card, [0.375, 0.03, 0.28, 0.36], result.run.ground, result.classes)
    if result.pair and result.pair.mean and result.pair.mean.n > 1:
        box, title = [0.765, 0.12, 0.215, 0.27], "The chosen run minus the other"
        seeds.draw_differences(card, box, result.pair.differences, result.pair.mean, title)
    else:
        _draw_example(card, result.run.example)


def _draw_prototypes(card, places, classes):
    places = np.zeros((0, 2)) if places is None else np.array(places)
    half = 1.25 * max(np.abs(places).max(), 1e-9) if len(places) else 1.0
    limits = (-half, half), (-half, half)
    plane = card.plane("prototypes", [0.02, 0.03, 0.29, 0.40], "framed", xlim=limits[0], ylim=limits[1])
    plane.look(title="Prototypes, in their own plane")
    if places.any():  # before the first step all are at 0
        draw_prototypes(plane, places, classes[: len(places)], limits)


def _draw_example(card, example):
    """A held-back image and what the run says of it."""
    words, title = "none yet: it is shown while a run trains", "A held-back image, and the answer"
    plane = card.plane("example", [0.69, 0.09, 0.29, 0.34], "blank", title=title, ylim=(1, 0))
    plane.rect(0, 0, 1, 1, fc=style.SHADE, zorder=-1)
    if example is not None:
        image, truth, answer = (np.array(example[name]) for name in ("image", "truth", "answer"))
        if truth.ndim:
            plane.image(organs.blend(image / 255, organs.tint(answer)), extent=(0, 1, 1, 0))
            plane.line(*((organs.border(truth) + 0.5) / truth.shape[::-1]).T, color="white", lw=1.3)
            words = "answer: liver yellow, R kidney green,\nL kidney pink, spleen violet; white: truth"
        else:
            best = [f"{classification.CLASSES[k]} {answer[k]:.2f}" for k in answer.argsort()[:-4:-1]]
            plane.image(image, 0, 255, extent=(0, 1, 1, 0))
            words = f"the truth: {classification.CLASSES[truth]}\nthe answer: {', '.join(best)}"
    plane.text(0.5, 1.04, words, size=8.5, ha="center", va="top", linespacing=1.3)


def describe(result):
    """How the chosen run stands."""
    track, (words, numbers) = result.run, curves.told(result)
    if not track.name:
        return f"No {track.task} run yet: choose a method and press Start.", {"step": "-", "time left": "-"}
    if track.state == State.STARTING:
        doing, took = track.doing or "a process of its own starts and loads PyTorch", time.monotonic() - track.since
        return f"{track.name} is starting: {doing}. So far {duration(took)}.", {"step": "-", "time left": "-"}
    step, method = f"{track.number} of {track.total}", track.settings.get("method", "being prepared")
    left = "-"
    if track.state == State.TRAINING and track.seconds_left is not None:
        left = duration(track.seconds_left)
        words = f"It needs about {left} more. {words}"
    if track.late:
        words = f"{track.late[0].upper()}{track.late[1:]}. {words}"
    if result.pair:
        words += f" {result.pair.said}"
    return f"{track.name} ({method}) is {track.state}: step {step}. {words}", {
        "step": step,
        "time left": left,
        "memory of all runs": "-" if track.memory is None else f"{track.memory:.0f} MiB",
        **numbers,
    }


def frame(number, total):
    """Steps that the axis of a curve holds: 1, 2 or 5 times a power of ten above what is done, at most all.

    Example
    -------
    >>> frame(30, 100_000), frame(130, 150), frame(0, 24)
    (50, 150, 10)
    """
    ends = (m * 10**e for e in range(1, 10) for m in (1, 2, 5))
    return max(1, min(total, next(end for end in ends if end > number)))
