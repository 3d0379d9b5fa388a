"""The rows of Tables 4 and 5: a step of each method, and what it needs beside a network."""

from collections.abc import Callable
from typing import NamedTuple

from i2pemd_lite.classification.methods import mixmatch, pseudo, supervised, teachers, vat


class Method(NamedTuple):
    """A row of the tables.

    losses: (learner, t) -> the loss of step t and its terms; labels: those of a "part" of the training images, or "all"
    of them; selection: a key of `pseudo.SELECTIONS`, which unlabelled samples teach; teacher: the decay of averaged
    weights (0: there are none); answers: whether these take part in training, as a teacher with batch statistics of its
    own; evaluated: the "student" or the "teacher"; reads: the settings of its own, and λ.
    """

    losses: Callable
    labels: str = "part"
    selection: str | None = None
    teacher: float = 0.0
    answers: bool = False
    evaluated: str = "student"
    reads: tuple = ()

    @property
    def unlabelled(self):
        """Whether it looks at images without labels."""
        return self.losses is not supervised.supervised


def _pseudo(selection, *reads):
    return Method(pseudo.pseudo_labels, selection=selection, reads=("weight", *reads))


def _teacher(losses, decay, *reads):
    return Method(losses, teacher=decay, answers=True, reads=reads)


BAND = ("tau_low", "tau_high", "top")
METHODS = {
    "upper_bound": Method(supervised.supervised, labels="all"),
    "baseline": Method(supervised.supervised),
    "flexmatch": _pseudo("flexible", "flex_tau", "flex_warm_up"),
    "mean_teacher": _teacher(teachers.mean_teacher, 0.97, "mt_weight")._replace(evaluated="teacher"),
    "src_mt": _teacher(teachers.src_mt, 0.99, "src_weight"),
    "ua_mt": _teacher(teachers.ua_mt, 0.99, "ua_weight", "ua_passes", "ua_on"),
    "vat": Method(vat.vat, reads=("vat_weight", "vat_entropy", "vat_xi", "vat_epsilon")),
    "mixmatch": Method(mixmatch.mixmatch, teacher=0.999, evaluated="teacher",
                       reads=("mix_weight", "mix_temperature", "mix_beta")),
    "fixmatch": _pseudo("threshold", "tau_high"),
    "filter_all": _pseudo("all"),
    "i2pemd_fix": _pseudo("fixed", *BAND),
    "i2pemd": _pseudo("learned", *BAND),
}
