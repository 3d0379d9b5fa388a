"""The rows of Tables 4 and 5: a step of each method, and what it needs beside a network."""

from collections.abc import Callable
from typing import NamedTuple

from i2pemd_lite.classification.methods import mixmatch, pseudo, supervised, teachers, vat


class Method(NamedTuple):
    """A row of the tables.

    losses: (learner, t) -> the loss of step t and its terms; labels: those of a "part" of the training images, or "all"
    of them; selection: a key of `pseudo.SELECTIONS`, which unlabelled samples teach; teacher: the decay of averaged
    weights (0: there are none); answers: whether these take part in training, as a teacher with batch statistics of its
    own; evaluated: the "student" or the "teacher"; reads: the settings that act in it, of those that do not act in
    every row; ignores: those that act in every other row.
    """

    losses: Callable
    labels: str = "part"
    selection: str | None = None
    teacher: float = 0.0
    answers: bool = False
    evaluated: str = "student"
    reads: tuple = ()
    ignores: tuple = ()

    @property
    def unlabelled(self):
        """Whether it looks at images without labels."""
        return self.losses is not supervised.supervised


STRONG = ("weight", "n_ops", "magnitude", "cutout", "norms")  # the strong view, and how it counts
BAND = (*STRONG, "mean_over", "tau_low", "tau_high", "top")
METHODS = {
    "upper_bound": Method(supervised.supervised, labels="all", ignores=("share",)),
    "baseline": Method(supervised.supervised, ignores=("unlabelled",)),
    "flexmatch": Method(
        pseudo.pseudo_labels, selection="flexible", reads=(*STRONG, "mean_over", "flex_tau", "flex_warm_up")),
    "mean_teacher": Method(
        teachers.mean_teacher, teacher=0.97, answers=True, evaluated="teacher", reads=("mt_weight",)),
    "src_mt": Method(teachers.src_mt, teacher=0.99, answers=True, reads=("src_weight",)),
    "ua_mt": Method(teachers.ua_mt, teacher=0.99, answers=True, reads=("ua_weight", "ua_passes", "ua_on")),
    "vat": Method(vat.vat, reads=("vat_weight", "vat_entropy", "vat_xi", "vat_epsilon")),
    "mixmatch": Method(
        mixmatch.mixmatch, teacher=0.999, evaluated="teacher", reads=("mix_weight", "mix_temperature", "mix_beta")),
    "fixmatch": Method(pseudo.pseudo_labels, selection="threshold", reads=(*STRONG, "mean_over", "tau_high")),
    "filter_all": Method(pseudo.pseudo_labels, selection="all", reads=STRONG),
    "i2pemd_fix": Method(pseudo.pseudo_labels, selection="fixed", reads=BAND),
    "i2pemd": Method(
        pseudo.pseudo_labels, selection="learned", reads=(*BAND, "momentum", "features", "prototypes")),
}  # fmt: skip
"""The rows of the paper's Tables 4 and 5, by the names that `train` takes."""
