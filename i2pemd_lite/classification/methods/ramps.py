"""The weight of each method's own term over a run: its authors' ramp, at the share of the learning that is done.

A ramp over steps says little by itself: where the learning rate falls early, full weight comes when nothing is learned
any more. So a ramp is read at the share S(t) of the learning that is done, the sum of the learning rates so far by that
of all steps (`settings.learned`):

    w(t) = w'(t'),   t' the step of the authors' own run with S'(t') = S(t)

Then a term acts on the same share of the learning, Σ_t η_t w(t) / Σ_t η_t, as in its authors' runs, whatever the
schedule here. FixMatch, FlexMatch and the paper's own selections have no ramp, there as here.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from i2pemd_lite.runs.settings import SCHEDULES, learned

STEPS = 20_000  # into how many an authors' run is cut
FULL = 0.9  # of its weight a term counts as there: UA-MT's is when 0.3 % of its learning is left


class Ramp(NamedTuple):
    """The schedule of a method's authors; both functions take the part x of their run that is done, 0 <= x < 1."""

    rate: Callable  # its learning rate, in any unit
    weight: Callable  # the weight of its own term, 1 where it is full
    source: str


def sigmoid(t, length=1.0):
    """exp(−5 (1 − min(t, R)/R)²): from e⁻⁵ to 1 within R = length."""
    return math.exp(-5 * (1 - min(t, length) / length) ** 2)


RAMPS = {
    "mean_teacher": Ramp(
        lambda x: 1 + math.cos(math.pi * 180 * x / 210), lambda x: sigmoid(math.floor(180 * x), 5),
        "CuriousAI/mean-teacher, pytorch/experiments/cifar10_test.py: 5 of 180 epochs"),
    "src_mt": Ramp(
        lambda x: 0.9 ** math.floor(100 * x),
        lambda x: sigmoid(math.floor(100 * x), 30) if math.floor(100 * x) > 20 else 0.0,
        "liuquande/SRC-MT, code/train_SRC_MT.py: none up to epoch 20, then 30 of 100 epochs"),
    "ua_mt": Ramp(
        lambda x: 0.1 ** math.floor(6000 * x / 2500), lambda x: sigmoid(math.floor(6000 * x / 150), 40),
        "yulequan/UA-MT, code/train_LA_meanteacher_certainty_unlabel.py: 40 times 150 of 6,000 steps"),
    "vat": Ramp(
        lambda x: math.cos(7 * math.pi * x / 16), lambda x: min(1.0, x / 0.4),
        "TorchSSL/TorchSSL, models/vat/vat.py: linear over 40 % of the steps; VAT's authors have none"),
    "mixmatch": Ramp(
        lambda x: 1.0, lambda x: min(1.0, 64 * x),
        "google-research/mixmatch, mixmatch.py: linear over 2²⁰ of 2²⁶ images"),
}  # fmt: skip
"""The methods whose own term begins with less than its full weight."""


@lru_cache
def _authors(method):
    """η', w', and S' in the middle, of each step of the authors' run, (STEPS,) each."""
    ramp, parts = RAMPS[method], [n / STEPS for n in range(STEPS)]
    rates, weights = (np.array([float(f(x)) for x in parts]) for f in (ramp.rate, ramp.weight))
    return rates, weights, (rates.cumsum() - rates / 2) / rates.sum()


def _step(method, done):
    """The step of the authors' run in which their share of the learning is `done`, one number or many."""
    return np.minimum(np.searchsorted(_authors(method)[2], done), STEPS - 1)


def followed(method, done):
    """The part of the authors' run in which their share of the learning is `done`, 0 to 1."""
    return float(_step(method, done) / STEPS)


def weight(method, done):
    """The weight of a method's own term, as a part of its full one, when the share `done` of the learning is done."""
    return float(_authors(method)[1][_step(method, done)]) if method in RAMPS else 1.0


def acts_on(method, settings=None):
    """Σ_t η_t w(t) / Σ_t η_t: the share of the learning that a method's own term acts on; None: in its authors' run."""
    rates, weights, _ = _authors(method)
    if settings is not None:
        rates = [SCHEDULES[settings.schedule](settings, t) for t in range(settings.steps)]
        weights = weights[_step(method, [learned(settings, t) for t in range(settings.steps)])]
    return float(np.average(weights, weights=rates))


@lru_cache
def full_share():
    """The share of the learning from which on the own term of every method has `FULL` of its weight."""
    shares = np.arange(STEPS) / STEPS
    full = [_authors(method)[1][_step(method, shares)] >= FULL for method in RAMPS]
    return float(shares[np.all(full, axis=0).argmax()])
