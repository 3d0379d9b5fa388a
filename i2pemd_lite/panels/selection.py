"""Who may teach: the selection rule on frozen predictions, and the fair test of what I2PEMD adds to confidence.

I2PEMD decides about τ_low < s ≤ τ_high alone. So those that it lets in there are held against as many of the same band
that were taken by confidence, and against as many that were drawn at random.
"""

from functools import lru_cache
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch

from i2pemd_lite.classification.augment import weak
from i2pemd_lite.classification.methods.bands import regions
from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider
from i2pemd_lite.runs.sampling import generator
from i2pemd_lite.selection import Selection, select

ROWS = {  # the sets of `bands` that are drawn: where from above, and what they are called
    "high": (0.0, "above: s > τ_high"),
    "band": (1.9, "all of it"),
    "near": (2.8, "let in by I2PEMD"),
    "sure": (3.7, "as many, most confident"),
    "chance": (4.6, "as many, at random"),
    "low": (5.9, "below: s ≤ τ_low"),
}


class Frozen(NamedTuple):
    """Predictions of one network that learns no more, for batches of unlabelled images whose truth is known here."""

    o: torch.Tensor  # (B, N, K) softmax output of weak views
    truth: torch.Tensor  # (B, N)
    ground: torch.Tensor  # (K, K), from the network's own prototypes


def freeze(run, batches=25, seed=0):
    """Let a run predict weak views of `batches` batches of its unlabelled images, as large as in training.

    It predicts as in use: with the last weights, its own statistics for batch normalisation and nothing dropped out.
    """
    learner, s = run.learner, run.settings
    outputs, truth = [], []
    with learner.evaluating():
        for b in range(batches):
            order = torch.randperm(len(learner.unlabelled), generator=generator(seed, "frozen", b))
            batch = learner.unlabelled[order[: s.unlabelled]]
            images = weak(learner.data.images[batch].to(learner.device), s.size, generator(seed, "frozen view", b))
            outputs.append(learner.network(images)[1].float().softmax(1).cpu())
            truth.append(learner.data.labels[batch])
    return Frozen(torch.stack(outputs), torch.stack(truth), learner.bank.ground_distance().cpu())


class Share(NamedTuple):
    """How many of a set there are, which part of them is right, and how sure that is."""

    number: int
    percent: float  # NaN for an empty set
    error: float  # ±, in points

    def __str__(self):
        return f"{self.percent:.1f} ± {self.error:.1f} %" if self.number else "nobody"


def share(number, right, spread=None):
    """The `Share` of `right` ones: ± the standard error √(a (1 − a)/n), or their spread where it is given."""
    if not number:
        return Share(0, np.nan, np.nan)
    a = right / number
    error = np.sqrt(a * (1 - a) / number) if spread is None else spread / number
    return Share(number, 100 * right / number, 100 * error)


def judge(frozen, tau_low, tau_high, top, ground):
    """Apply Eq. 15-18 to every batch, each with its own T nearest, and count the sets of `classification.bands`.

    At random: if a batch lets n of the N in its band in, R of the N being right, the right ones of a draw are
    hypergeometric, with mean n R/N and variance n (R/N) (1 − R/N) (N − n)/(N − 1). Batches add up.

    Returns what was chosen, what is right, and sure, as many of the band as I2PEMD lets in, the most confident (B, N
    each); the `Share` of each of `ROWS`; how many of those let in are not among the most confident.
    """
    G = frozen.ground if ground == "learned" else fixed_ground_distance(frozen.o.shape[-1])
    batches = [select(o, G, tau_low, tau_high, top) for o in frozen.o]
    chosen = Selection(*(torch.stack(field) for field in zip(*batches, strict=True)))
    right = chosen.labels == frozen.truth
    sets = regions(chosen)
    count = {name: (mask.sum(1).numpy(), (mask & right).sum(1).numpy()) for name, mask in sets.items()}  # (B,) each
    n, (N, R) = count["near"][0], count["band"]
    a = R / np.maximum(N, 1)
    count["chance"] = n, n * a
    spread = np.sqrt((n * a * (1 - a) * (N - n) / np.maximum(N - 1, 1)).sum())
    shares = {name: share(int(members.sum()), float(good.sum()), spread if name == "chance" else None)
              for name, (members, good) in count.items()}  # fmt: skip
    others = int((sets["near"] & ~sets["sure"]).sum())
    return SimpleNamespace(chosen=chosen, right=right, sure=sets["sure"], shares=shares, others=others)


MARKS = {  # (chosen, right) -> look
    (False, True): {"marker": "o", "mfc": "none", "mec": style.QUIET, "ms": 6},
    (False, False): {"marker": "x", "mec": style.QUIET, "ms": 6, "mew": 1.2},
    (True, True): {"marker": "o", "mfc": style.BLACK, "mec": style.PAPER, "ms": 7},
    (True, False): {"marker": "X", "mfc": style.RED, "mec": style.PAPER, "ms": 9},
}


def draw(card, result):
    """Left one batch, confidence against distance; right how many of each set are right, over all batches."""
    _draw_batch(card, result)
    _draw_shares(card, result.judged.shares)


def _draw_batch(card, result):
    """One batch: each image at its confidence s and its distance d; two shades and a line say what decides about it:
    s:  0 ─── never ─── τ_low ░░ band: the T nearest, on or below the line ░░ τ_high ▒▒ always ▒▒ 1
    """
    (low, high, T, _), judged, chosen = result.rule, result.judged, result.judged.chosen
    each = (chosen.scores, chosen.distances, chosen.mask, judged.right, judged.sure)
    s, d, taken, right, sure = (values[result.batch].numpy() for values in each)
    top = max(0.05, np.ceil(20 * float(chosen.distances.max())) / 20)
    plane = card.plane("batch", [0.06, 0.225, 0.415, 0.68], xlim=(0.12, 1.005), ylim=(0, 1.12 * top),
                       ylabel="I2PEMD d", xlabel="confidence s (Eq. 15)",
                       title="One batch: I2PEMD d against confidence s")  # fmt: skip
    for left, end, colour in ((low, high, style.BAND), (high, 1.0, style.SHADE)):
        plane.rect(left, 0, end - left, 1.12 * top, fc=colour, zorder=0)
    for name, x, room in (  # in units of s: where each name stands, and what is left beside it
        ("never", max(low / 2, 0.2), 1.0),
        ("band", (low + high) / 2, high - low - 0.07),
        ("always", (1 + high) / 2, 1.0 - high - 0.095),
    ):
        if room >= 0:
            plane.text(x, 1.065 * top, name, size=8.5, weight="bold", ha="center", va="center")
    plane.points(chosen.scores.flatten(), chosen.distances.flatten(), marker=".", ms=2.5, color=style.LINE, zorder=1)
    for (is_taken, is_right), look in MARKS.items():
        mine = (taken == is_taken) & (right == is_right)
        plane.points(s[mine], d[mine], zorder=3, **look)
    card.paper.text(0.06, 0.035, "● ✖  chosen: right, wrong      ○ ×  left out: right, wrong", size=8.5)
    # The distance of the last of the T nearest, and where as many by s begin
    last = np.sort(d)[T - 1]
    plane.line([0, 1], [last, last], color=style.QUIET, lw=1, ls="--", zorder=2)
    x, side = (0.135, "left") if last < 0.3 * top else (1.0, "right")
    look = {"va": "bottom" if last < 0.9 * top else "top", "ha": side, "color": style.QUIET}
    plane.text(x, last, f" T = {T} nearest: on or below ", size=8, **look)
    if sure.any():
        cut = s[sure].min()
        plane.line([cut, cut], [0, 0.99 * top], color=style.BLUE, lw=1.4, ls=":", zorder=2)
        words, side = ("as many by s: from here ", "right") if cut > 0.7 else (" as many by s: from here", "left")
        plane.text(cut, 0.99 * top, words, size=8, color=style.BLUE, va="top", ha=side)


def _draw_shares(card, shares):
    """A bar for each set of `ROWS`, with its words on the left and its numbers on the right."""
    plane = card.plane("shares", [0.69, 0.225, 0.165, 0.68], "blank", xlim=(0, 100), ylim=(6.5, -0.55),
                       xticks=(0, 50, 100))  # fmt: skip
    low, high = (0.225 + 0.68 * (6.5 - height) / 7.05 for height in (5.15, 0.7))
    card.paper.rect(0.51, low, 0.48, high - low, fc=style.BAND)
    plane.text(-102, 1.15, "the band, where I2PEMD decides", size=8.5, weight="bold", va="center")
    for name, (height, title) in ROWS.items():
        number, percent, error = shares[name]
        look = {"size": 8.5, "va": "center", "weight": "bold" if name == "near" else ""}
        plane.text(-102, height, title, **look)
        plane.text(108, height, f"{percent:.1f} ± {error:.1f}   {number}" if number else "nobody", **look)
        if number:
            colour = style.BLACK if name == "near" else style.GREY
            plane.rect(0, height - 0.29, percent, 0.58, fc=colour, zorder=1)
            ends = np.clip([percent - error, percent + error], 0, 100)
            plane.line(ends, [height] * 2, color=style.RED, lw=2, marker="|", ms=7, mew=1.5, zorder=3, clip=False)
    ends = ROWS["band"][0] - 0.45, ROWS["chance"][0] + 0.45
    plane.line([shares["chance"].percent] * 2, ends, color=style.INK, lw=1, ls="--", zorder=2)
    for y, size, ink, words in (
        (0.93, 9.5, style.INK, "All batches: right pseudo-labels (%) ± and how many there are"),
        (0.09, 8, style.QUIET, "┆  what a draw at random gives on average; its ± is the"),
        (0.035, 8, style.QUIET, "spread of such draws, the others' is the standard error"),
    ):
        card.paper.text(0.52, y, words, size=size, color=ink)


def describe(result):
    """The fair test in words and numbers."""
    judged, shares = result.judged, result.judged.shares
    near, sure, chance, band = (shares[name] for name in ("near", "sure", "chance", "band"))
    total = sum(shares[name].number for name in ("high", "band", "low"))
    words = f"I2PEMD decides about {band.number} of {total} pseudo-labels, {100 * band.number / total:.1f} %, and "
    words += f"lets in {near.number} of them; the thresholds alone decide about the rest."
    if near.number:
        words += f" Of those it lets in {near.percent:.1f} % are right, of as many most confident {sure.percent:.1f} "
        words += f"%, of as many at random {chance}. "
        words += f"I2PEMD and confidence agree on {near.number - judged.others} of the {near.number}."
    taken = judged.chosen.mask[result.batch]
    return words, {
        "chosen here": f"{int(taken.sum())} of {len(taken)}",
        "of them right": int((taken & judged.right[result.batch]).sum()),
        "in the band": band.number,
        "let in": near.number,
        "let in: right": str(near),
        "most confident": str(sure),
        "at random": str(chance),
        "not by confidence": judged.others,
    }


def keep_apart(controls):
    """Let each of the sliders "tau_low" and "tau_high" take the other along before they cross."""
    low, high = controls["tau_low"], controls["tau_high"]
    low.observe(lambda change: setattr(high, "value", max(high.value, round(change["new"] + 0.02, 2))), "value")
    high.observe(lambda change: setattr(low, "value", min(low.value, round(change["new"] - 0.02, 2))), "value")


def selection(frozen, **start):
    """The selection rule on `Frozen` predictions, as `selection(freeze(run), tau_low=0.6)`; `start` sets controls.

    The standard errors take pseudo-labels for independent. An image that is in several batches, in other views, is
    counted as often, so they are somewhat too small.
    """
    batches, count, _ = frozen.o.shape
    controls = {
        **rule_controls(count),
        "batch": slider("batch", 1, 1, batches, 1),
        "ground": choice("G", [("learned", "learned"), ("fixed, 1 − I", "fixed")], "learned"),
    }
    judged = lru_cache(64)(lambda *rule: judge(frozen, *rule))

    def compute(state):
        rule = tuple(state[name] for name in ("tau_low", "tau_high", "top", "ground"))
        return SimpleNamespace(rule=rule, judged=judged(*rule), batch=state["batch"] - 1)

    layout = [["tau_low", "tau_high"], ["top", "batch", "ground"]]
    return Panel("selection", controls, compute, draw, describe, layout=layout, size=(9.4, 3.9), start=start)


def rule_controls(count):
    """Sliders for τ_low, τ_high and T of batches of `count` images."""
    controls = {
        "tau_low": slider("τ_low", 0.7, 0.3, 0.97, 0.01),
        "tau_high": slider("τ_high", 0.8, 0.32, 0.99, 0.01),
        "top": slider("T (nearest of the batch)", min(24, count), 1, count, 1),
    }
    keep_apart(controls)
    return controls
