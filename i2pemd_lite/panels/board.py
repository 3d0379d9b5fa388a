"""The board of the cockpit: what is known of each run, and how it is drawn."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2pemd_lite import classification, segmentation
from i2pemd_lite.panels import classification as skin
from i2pemd_lite.panels import segmentation as organs
from i2pemd_lite.panels.curves import Curves, Terms, last_values
from i2pemd_lite.panels.engine import style
from i2pemd_lite.runs.watch import saved
from i2pemd_lite.runs.worker import State, plane

TASKS = {"segmentation": segmentation, "classification": classification}


class Shown(NamedTuple):
    """How the runs of a task are drawn."""

    terms: Terms
    measures: dict  # words -> column of the evaluations
    classes: tuple


SHOWN = {
    "segmentation": Shown(organs.TERMS, organs.MEASURES, organs.BRIEF),
    "classification": Shown(Terms("Losses", skin.TERMS), skin.MEASURES, classification.CLASSES),
}


@dataclasses.dataclass
class Track:
    """What is known of a run that trains elsewhere, in the words of `Run` and of `worker.Trained.news`."""

    name: str
    folder: Path
    task: str
    state: State = State.SAVED
    settings: dict = dataclasses.field(default_factory=dict)
    number: int = 0
    history: list = dataclasses.field(default_factory=list)
    evaluations: list = dataclasses.field(default_factory=list)
    lambdas: list = dataclasses.field(default_factory=list)
    places: list | None = None  # (K, 2) of the prototypes, in the plane in which they vary most
    ground: list | None = None
    example: dict | None = None
    seconds_left: float | None = None
    memory: float | None = None
    error: str = ""
    wishes: dict = dataclasses.field(default_factory=dict)  # settings that were changed while it was not open
    asked: int = 0  # changes of settings that the process has not answered yet, opening it among them

    @property
    def open(self):
        """Whether the process has it."""
        return self.state in (State.STARTING, State.TRAINING, State.PAUSED, State.DONE)

    @property
    def total(self):
        """Its steps, as far as they are known."""
        return self.settings.get("steps", 0)

    def read(self, number=None):
        """Take up what its folder says of the first `number` steps; None: of all that were saved."""
        about = saved(self.folder)
        if number is None:
            number, self.task, self.settings = about.number, about.task, about.settings
            self.lambdas = [(1, about.settings["weight"])]
        # What was told is kept where it reaches so far: unlike a table on disk it knows each λ.
        self.number, self.history = number, (self.history if len(self.history) >= number else about.history)[:number]
        self.evaluations = [row for row in about.evaluations if row["step"] <= number]
        self.lambdas = [(step, weight) for step, weight in self.lambdas if step <= max(number, 1)]
        if about.moments:
            last = about.moments[-1]
            self.ground, self.places = last.ground, plane(np.asarray(last.prototypes, dtype=float))
        return self

    def take(self, state, history, evaluations, lambdas, example, **now):
        """Take up what the process tells of the steps since it last did."""
        self.state = State.STOPPED if self.state == State.STOPPED else State(state)
        self.history += history
        self.evaluations += evaluations
        self.lambdas += lambdas
        self.example = example or self.example
        vars(self).update(now)

    @property
    def acting(self):
        """The settings that its method reads; without one, nothing would change."""
        if "method" not in self.settings:
            return ()
        return ("momentum", "learning_rate", *TASKS[self.task].METHODS[self.settings["method"]].reads)


class Result(NamedTuple):
    """What the board shows."""

    task: str
    run: Track | None
    losses: list  # of `Line`
    scores: list  # of `Line`
    measure: str
    total: int  # steps that the axes hold


def draw(figure, result):
    """Losses and figures on held-back data above; prototypes, G and an example below."""
    cards = style.artists(figure, lambda figure: {})
    if result.task not in cards:
        cards[result.task] = style.styled(_Card, figure, result.task)
    for task, card in cards.items():
        card.show(task == result.task)
    card, track = cards[result.task], result.run or Track("", Path(), result.task)
    card.losses.show(result.losses, result.total)
    card.losses.mark(track.lambdas[1:])
    card.scores.show(result.scores, result.total)
    card.measure.set_text(f"{result.measure} on held-back data (%)")
    places = np.zeros((0, 2)) if track.places is None else np.array(track.places)
    card.prototypes.set_data(*places.T)
    classes, half = SHOWN[result.task].classes, 1.25 * max(np.abs(places).max(), 1e-9) if len(places) else 1.0
    style.limits(card.plane, (-half, half), (-half, half))
    heights = style.apart(places[:, 1], 0.15 * half)
    for text, name in zip(card.names, classes, strict=True):
        text.set_text(name if len(places) else "")
    for text, x, y in zip(card.names, places[:, 0], heights, strict=False):
        text.set(position=(x + (0.07 if x < 0.5 * half else -0.07) * half, y), ha="left" if x < 0.5 * half else "right")
    card.ground.show(np.zeros((len(classes),) * 2) if track.ground is None else track.ground)
    card.example.show(track.example)


class _Card:
    """The artists of a task."""

    def __init__(self, figure, task):
        shown = SHOWN[task]
        self.losses = Curves(figure.add_axes([0.055, 0.585, 0.40, 0.345]), shown.terms.title, log=True)
        self.scores = Curves(figure.add_axes([0.555, 0.585, 0.40, 0.345]), "", (0, 102))
        self.measure = figure.text(0.555, 0.945, "", size=9.5)
        self.plane = figure.add_axes([0.02, 0.03, 0.29, 0.40])
        self.plane.set(title="Prototypes, in their own plane", xticks=[], yticks=[])
        self.plane.spines[:].set_visible(True)
        self.prototypes = self.plane.plot([], [], ls="", ms=8, **style.PROTOTYPE)[0]
        self.names = [self.plane.text(0, 0, "", size=8.5, va="center") for _ in shown.classes]
        axes = figure.add_axes([0.375, 0.03, 0.27, 0.36])
        self.ground = style.Matrix(axes, "", shown.classes, shown.classes, size=8 if len(shown.classes) < 6 else 7)
        axes.set_title("G, now (Eq. 5)")
        self.example = _Example(figure, [0.69, 0.09, 0.29, 0.34])
        self.all = [self.losses.axes, self.scores.axes, self.plane, axes, self.example.axes]

    def show(self, visible):
        """Show the card of the task, and hide that of the other."""
        for axes in self.all:
            axes.set_visible(visible)
        if not visible:
            self.measure.set_text("")


class _Example:
    """A held-back image and what the run says of it."""

    def __init__(self, figure, box):
        from matplotlib.lines import Line2D

        self.axes = style.blank(figure.add_axes(box), "A held-back image, and the answer")
        self.picture = self.axes.imshow(np.full((8, 8, 3), 246, np.uint8), interpolation="nearest", extent=(0, 1, 1, 0))
        self.outline = self.axes.add_line(Line2D([], [], color="white", linewidth=1.3))
        self.words = self.axes.text(0.5, 1.04, "", size=8.5, ha="center", va="top", linespacing=1.3)

    def show(self, example):
        """Show an example, or none yet."""
        if example is None:
            self.picture.set_data(np.full((8, 8, 3), 246, np.uint8))
            self.outline.set_data([], [])
            self.words.set_text("none yet: it is shown while a run trains")
            return
        image, truth, answer = (np.array(example[name]) for name in ("image", "truth", "answer"))
        if truth.ndim:
            H, W = truth.shape
            self.picture.set_data(organs.blend(image / 255, organs.tint(answer)))
            self.outline.set_data(*((organs.border(truth) + 0.5) / (W, H)).T)
            self.words.set_text("answer: liver yellow, R kidney green,\nL kidney pink, spleen violet; white: truth")
        else:
            best = [f"{classification.CLASSES[k]} {answer[k]:.2f}" for k in answer.argsort()[:-4:-1]]
            self.picture.set_data(image.astype(np.uint8))
            self.words.set_text(f"the truth: {classification.CLASSES[truth]}\nthe answer: {', '.join(best)}")


def describe(result):
    """How the chosen run stands."""
    track = result.run
    if track is None:
        return f"No {result.task} run yet: choose a method and press Start.", {"step": "-", "time left": "-"}
    scores = ", ".join(f"{name} {value}" for name, value in last_values(result.scores, ".1f").items())
    words = (
        f"{track.name} ({track.settings.get('method', 'being prepared')}) is {track.state}: step {track.number} of "
        f"{track.total}. " + (f"{result.measure} in percent: {scores}." if scores else "Not evaluated yet.")
    )
    left, memory = track.seconds_left, track.memory
    return words, {
        "step": f"{track.number} of {track.total}",
        "time left": "-" if left is None else duration(left),
        "memory of all runs": "-" if memory is None else f"{memory:.0f} MiB",
        **last_values(result.losses, ".3g"),
    }


def duration(seconds):
    """A time in the two largest units that say it.

    Example
    -------
    >>> duration(41.2), duration(192), duration(7321)
    ('41 s', '3 min 12 s', '2 h 2 min')
    """
    seconds = round(seconds)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"


def frame(number, total):
    """Steps that the axis of a curve holds: 1, 2 or 5 times a power of ten above what is done, at most all.

    Example
    -------
    >>> frame(30, 100_000), frame(130, 150), frame(0, 24)
    (50, 150, 10)
    """
    ends = (m * 10**e for e in range(1, 10) for m in (1, 2, 5))
    return max(1, min(total, next(end for end in ends if end > number)))
