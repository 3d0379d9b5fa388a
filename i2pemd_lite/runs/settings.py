"""What every run can set, which of it may change while the run goes on, and the schedules of the learning rate."""

import ast
import dataclasses
import difflib
import functools
import math
import types
from typing import Any, Self

import numpy as np

from i2pemd_lite.files import KINDS, BadInput


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

    # Of a task that has them as settings, else as here.
    optimiser = "adam"  # "adamw": weight_decay draws the kernels alone to 0, and is no part of the gradient
    warm_up = 0  # steps in which the rate rises to that of the schedule
    clip = 0.0  # the norm of all gradients together at most; 0: whatever it is

    LIVE = ("learning_rate", "weight", "momentum", "steps", "evaluate_every")
    ROOM = ()  # what to make smaller where the memory of the machine is
    LISTED = "help(Settings)"

    def __post_init__(self):
        self.check()

    def __setattr__(self, name, value):
        self.expect_names(name)
        super().__setattr__(name, value)

    def check(self) -> None:
        """Raise `BadInput` for a value that no run can use."""
        for field in dataclasses.fields(self):
            expected, fits = KINDS.get(field.type, ("", lambda value: True))
            self._expect(field.name, fits(getattr(self, field.name)), expected)
        for name in ("steps", "decay_every", "evaluate_every", "checkpoint_every"):
            self._expect(name, getattr(self, name) >= 1, "a whole number from 1")
        self._expect("steps", self.steps <= 10**7, "a whole number from 1 to 10^7")  # each has a rate, and a row
        self._expect("decay", 0 < self.decay <= 1, "a number above 0, up to 1")
        for name in ("weight_decay", "learning_rate", "weight"):
            self._expect(name, 0 <= getattr(self, name) <= 1e30, "a number from 0 to 1e30")
        self._expect("momentum", 0 <= self.momentum <= 1, "a number from 0 to 1")
        self._expect("schedule", self.schedule in SCHEDULES, " or ".join(SCHEDULES))
        self._expect("precision", self.precision in PRECISIONS, " or ".join(PRECISIONS))
        for field in dataclasses.fields(self):
            if needs := field.metadata.get("needs"):
                expected, holds = needs
                self._expect(field.name, holds(getattr(self, field.name)), expected)

    def least_memory(self) -> int:
        """Bytes that a training needs in any case: weights, gradients, Adam's averages, and what a batch leaves."""
        return 0

    def expect_names(self, *names: str) -> None:
        """Raise `BadInput` for a name that is not a setting."""
        known = self.__dataclass_fields__
        for name in names:
            if name not in known:
                raise BadInput(f"{name}: not a setting; {meant(name, known, self.LISTED)}")

    def _expect(self, name, holds, expected):
        if not holds:
            raise BadInput(f"{name}: expected {expected}, found {getattr(self, name)!r}")

    def changed(self, **changes: Any) -> Self:
        """These settings with some changed; `BadInput` for a name that is not a setting."""
        self.expect_names(*changes)
        return dataclasses.replace(self, **changes)


def meant(name, known, listed):
    """What a name is told that is none of the `known` ones: the nearest of these, and what lists all.

    Example
    -------
    >>> meant("wieght", ["steps", "weight", "weight_kd"], "help(train)")
    'did you mean weight or weight_kd? help(train) lists all'
    """
    near = difflib.get_close_matches(name, known)
    return f"did you mean {' or '.join(near)}? " * bool(near) + f"{listed} lists all"


def read(kind, text):
    """The value of a setting, of the type `kind`, that is written as `text`; ValueError where that is no such value.

    Example
    -------
    >>> read(int, "24"), read(bool, "true"), read(tuple, "32,32"), read(float | None, "none")
    (24, True, (32, 32), None)
    """
    if kind in (int, float, str):
        return kind(text)
    try:  # none, true or false, a number, or some with commas between them
        return ast.literal_eval(text.capitalize())
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(text) from error


PRECISIONS = ("auto", "float32", "bfloat16", "float64")

SCHEDULES = {
    "step": lambda settings, t: settings.decay ** (t // settings.decay_every),
    "cosine": lambda settings, t: (1 + math.cos(math.pi * t / settings.steps)) / 2,
}


def rate_of(settings, t):
    """The learning rate of step t: that of the schedule, in the first `warm_up` steps a growing part of it.

    Example
    -------
    >>> s = types.SimpleNamespace(learning_rate=1.0, steps=4, schedule="cosine", warm_up=2)
    >>> [round(rate_of(s, t), 3) for t in range(4)]
    [0.5, 0.854, 0.5, 0.146]
    """
    warm = min(1.0, (t + 1) / max(1, settings.warm_up))
    return settings.learning_rate * SCHEDULES[settings.schedule](settings, t) * warm


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
