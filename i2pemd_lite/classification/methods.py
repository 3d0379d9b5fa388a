"""The rows of Tables 4 and 5: a step of each method, and what it needs beside a network."""

from collections.abc import Callable
from typing import NamedTuple

from i2pemd_lite.classification.mixmatch import mixmatch
from i2pemd_lite.classification.pseudo import pseudo_labels
from i2pemd_lite.classification.supervised import supervised
from i2pemd_lite.classification.teachers import mean_teacher, src_mt, ua_mt
from i2pemd_lite.classification.vat import vat


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
        return self.losses is not supervised


METHODS = {
    "upper_bound": Method(supervised, labels="all"),
    "baseline": Method(supervised),
    "flexmatch": Method(pseudo_labels, selection="flexible"),
    "mean_teacher": Method(mean_teacher, teacher=0.97, answers=True, evaluated="teacher"),
    "src_mt": Method(src_mt, teacher=0.99, answers=True),
    "ua_mt": Method(ua_mt, teacher=0.99, answers=True),
    "vat": Method(vat),
    "mixmatch": Method(mixmatch, teacher=0.999, evaluated="teacher"),
    "fixmatch": Method(pseudo_labels, selection="threshold"),
    "filter_all": Method(pseudo_labels, selection="all"),
    "i2pemd_fix": Method(pseudo_labels, selection="fixed"),
    "i2pemd": Method(pseudo_labels, selection="learned"),
}
