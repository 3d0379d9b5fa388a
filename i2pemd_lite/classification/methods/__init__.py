"""The rows of Tables 4 and 5: a step of each method, and what it needs beside a network."""

from collections.abc import Callable
from typing import NamedTuple

from i2pemd_lite.classification.methods import mixmatch, pseudo, supervised, teachers, vat


class Method(NamedTuple):
    """A row of the tables.

    losses: (learner, t) -> the loss of step t and its terms; labels: those of a "part" of the training images, or "all"
    of them; selection: a key of `pseudo.SELECTIONS`, which unlabelled samples teach; teacher: the decay of averaged
    weights (0: there are none); answers: whether these take part in training, as a teacher with batch statistics of its
    own; evaluated: the "student" or the "teacher".
    """

    losses: Callable
    labels: str = "part"
    selection: str | None = None
    teacher: float = 0.0
    answers: bool = False
    evaluated: str = "student"

    @property
    def unlabelled(self):
        """Whether it looks at images without labels."""
        return self.losses is not supervised.supervised


METHODS = {
    "upper_bound": Method(supervised.supervised, labels="all"),
    "baseline": Method(supervised.supervised),
    "flexmatch": Method(pseudo.pseudo_labels, selection="flexible"),
    "mean_teacher": Method(teachers.mean_teacher, teacher=0.97, answers=True, evaluated="teacher"),
    "src_mt": Method(teachers.src_mt, teacher=0.99, answers=True),
    "ua_mt": Method(teachers.ua_mt, teacher=0.99, answers=True),
    "vat": Method(vat.vat),
    "mixmatch": Method(mixmatch.mixmatch, teacher=0.999, evaluated="teacher"),
    "fixmatch": Method(pseudo.pseudo_labels, selection="threshold"),
    "filter_all": Method(pseudo.pseudo_labels, selection="all"),
    "i2pemd_fix": Method(pseudo.pseudo_labels, selection="fixed"),
    "i2pemd": Method(pseudo.pseudo_labels, selection="learned"),
}
