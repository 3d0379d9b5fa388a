"""About whom a selection decides: pseudo-labels above, inside and below the band τ_low < s ≤ τ_high (Eq. 15-18).

I2PEMD takes every sample above the band and none below it, so the paper's claim stands or falls inside: are the samples
that it lets in there labelled better than as many that were chosen in another way?
"""

import math

import torch

from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.selection import select
from i2pemd_lite.tables.report import Report

SETS = {
    "high": "above: s > τ_high",
    "band": "band: τ_low < s ≤ τ_high",
    "near": "  let in by I2PEMD",
    "sure": "  as many, the most confident",
    "chance": "  as many, at random",
    "fix": "  let in by I2PEMD_fix",
    "low": "below: s ≤ τ_low",
    "kept": "taught the network (N_s)",
}
COUNTS = (*SETS, *(f"{name}_right" for name in SETS))
"""What `bands` gives of a step, and a run's history keeps."""


def regions(chosen):
    """The sets of `SETS` that follow from a `Selection` of N samples, or of N samples in each of several batches.

    {"high", "band", "low": by confidence alone; "near": of the band, those that the selection lets in; "sure": of the
    band, as many as `near`, those of the largest s}, each a mask of the shape of the fields of `chosen`, (…, N) bool.
    """
    high, low = chosen.high, ~chosen.confident
    band = chosen.confident & ~high
    near = band & chosen.low
    rank = torch.where(band, chosen.scores, -1.0).argsort(descending=True, stable=True).argsort()
    sure = band & (rank < near.sum(-1, keepdim=True))
    return {"high": high, "band": band, "low": low, "near": near, "sure": sure}


def bands(o, truth, ground, mask, tau_low, tau_high, top):
    """Counts of one batch, for every method that has pseudo-labels: members of each set of `SETS`, and how many of them
    are right. The truth of "unlabelled" images is known in teaching, and only shown.

    kept is N_s, what the method selected (`mask`); near, of the band, the T nearest of the batch by the learned G; the
    right ones by chance are the mean of a draw at random, near · band_right / band; fix are the T of the largest s.

    o: (N, K) softmax output; truth: (N,); ground: (K, K) learned G; mask: (N,) bool; the rest as for `select`.
    Returns {"high": scalar tensor, "high_right": …, …}.
    """
    learned = select(o, ground, tau_low, tau_high, top)
    fixed = select(o, fixed_ground_distance(len(ground), ground.device), tau_low, tau_high, top)
    sets = {"kept": mask, **regions(learned), "fix": regions(fixed)["near"]}
    right = learned.labels == truth
    counts = {}
    for name, members in sets.items():
        counts |= {name: members.sum(), f"{name}_right": (members & right).sum()}
    chance = counts["near"] * counts["band_right"] / counts["band"].clamp(min=1)
    return counts | {"chance": counts["near"], "chance_right": chance}


def counted(history):
    """Whether the rows of a run's history have the counts of `bands`."""
    return bool(history) and set(COUNTS) <= history[0].keys()


def band_report(history):
    """A `Report` of the counts of `bands`, summed over steps: rows of a run's history, or of several runs.

    A standard error is that of a share among so many independent samples, √(a (1 − a)/n). The same image comes back
    every pass, so it is too small; for random draws it stays empty, since they are a mean.

    Example
    -------
    >>> row = {name: 10 for name in SETS} | {f"{name}_right": 7 for name in SETS}
    >>> print(band_report([row, row]))  # doctest: +ELLIPSIS
    Pseudo-labels by region
                                   a step  % of all  right %  ±
    above: s > τ_high                10.0      33.3     70.0  10.2
    ...
    """
    totals = {name: sum(row[name] for row in history) for name in COUNTS}
    everything, rows = totals["high"] + totals["band"] + totals["low"], []
    for name, words in SETS.items():
        n = totals[name]
        share = totals[f"{name}_right"] / n if n else math.nan
        error = 100 * math.sqrt(share * (1 - share) / n) if n and name != "chance" else math.nan
        part = 100 * n / everything if everything else math.nan
        rows.append(
            {"": words, "a step": n / max(1, len(history)), "% of all": part, "right %": 100 * share, "±": error}
        )
    return Report("Pseudo-labels by region", rows)
