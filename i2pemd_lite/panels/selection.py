"""Who may teach: the selection rule on frozen predictions, and the fair test of what I2PEMD adds to confidence.

I2PEMD decides about τ_low < s ≤ τ_high alone. So those that it lets in there are held against as many of the same band
that were taken by confidence, and against as many that were drawn at random.
"""

from functools import lru_cache
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

GROUNDS = {"learned": "learned", "fixed, 1 − I": "fixed"}
ROWS = {
    "high": "above: s > τ_high",
    "band": "all of it",
    "near": "let in by I2PEMD",
    "sure": "as many, most confident",
    "chance": "as many, at random",
    "low": "below: s ≤ τ_low",
}
"""Of `bands.SETS`: those that are drawn, from above to below."""


class Frozen(NamedTuple):
    """Predictions of one network that learns no more, for batches of unlabelled images whose truth is known here."""

    o: torch.Tensor  # (B, N, K) softmax output of weak views
    truth: torch.Tensor  # (B, N)
    ground: torch.Tensor  # (K, K), from the network's own prototypes
    step: int


def freeze(run, batches=25, seed=0):
    """Let a run predict weak views of `batches` batches of its unlabelled images, as large as in training.

    It predicts as in use: with the last weights, its own statistics for batch normalisation and nothing dropped out.
    """
    learner, s = run.learner, run.settings
    there = len(learner.unlabelled)
    orders = [torch.randperm(there, generator=generator(seed, "frozen", b))[: s.unlabelled] for b in range(batches)]
    members = [learner.unlabelled[order] for order in orders]
    outputs = []
    with learner.evaluating():
        for b, batch in enumerate(members):
            images = weak(learner.data.images[batch].to(learner.device), s.size, generator(seed, "frozen view", b))
            outputs.append(learner.network(images)[1].float().softmax(1).cpu())
    truth = learner.data.labels[torch.stack(members)]
    return Frozen(torch.stack(outputs), truth, learner.bank.ground_distance().cpu(), run.number)


class Judged(NamedTuple):
    """All batches under one rule."""

    rule: dict  # tau_low, tau_high, top, ground
    chosen: Selection  # each field (B, N)
    right: torch.Tensor  # (B, N) bool
    sure: torch.Tensor  # (B, N) bool: of the band, as many as I2PEMD lets in, the most confident
    counts: dict  # key of `ROWS` -> (number, right)
    spread: float  # standard deviation of the right ones among "as many, at random", over all draws
    others: int  # how many of those let in are not among the most confident

    def share(self, name):
        """Right ones of a set in percent, NaN for an empty one."""
        number, right = self.counts[name]
        return 100 * right / number if number else np.nan

    def error(self, name):
        """± of a share: its standard error √(a (1 − a)/n); at random, the spread of all draws."""
        number, a = self.counts[name][0], self.share(name) / 100
        if not number:
            return np.nan
        return 100 * (self.spread / number if name == "chance" else np.sqrt(a * (1 - a) / number))


def judge(frozen, tau_low, tau_high, top, ground):
    """Apply Eq. 15-18 to every batch, each with its own T nearest, and count the sets of `classification.bands`.

    At random: if a batch lets n of the N in its band in, R of the N being right, the right ones of a draw are
    hypergeometric, with mean n R/N and variance n (R/N) (1 − R/N) (N − n)/(N − 1). Batches add up.

    Example
    -------
    >>> o = torch.tensor([[[.75, .20, .05], [.78, .02, .20], [.9, .1, 0], [.5, .3, .2]]])
    >>> G = torch.tensor([[0, .2, .8], [.2, 0, .6], [.8, .6, 0]])
    >>> found = judge(Frozen(o, torch.tensor([[0, 1, 0, 0]]), G, 0), .7, .8, top=2, ground="learned")
    >>> found.counts["near"], found.counts["sure"], found.counts["chance"], found.spread
    ((1, 1.0), (1, 0.0), (1, 0.5), 0.5)
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
    variance = n * a * (1 - a) * (N - n) / np.maximum(N - 1, 1)
    return Judged(
        {"tau_low": tau_low, "tau_high": tau_high, "top": top, "ground": ground},
        chosen,
        right,
        sets["sure"],
        {name: (int(members.sum()), float(good.sum())) for name, (members, good) in count.items()},
        float(np.sqrt(variance.sum())),
        int((sets["near"] & ~sets["sure"]).sum()),
    )


class Result(NamedTuple):
    """What the card shows: all batches, and which one is drawn."""

    judged: Judged
    batch: int  # from 0


def draw(figure, result):
    """Left one batch, confidence against distance; right how many of each set are right, over all batches."""
    art = style.artists(figure, _Card)
    _draw_batch(art, result)
    _draw_shares(art, result.judged)


def _draw_batch(art, result):
    rule, (judged, b) = result.judged.rule, result
    low, high, T = rule["tau_low"], rule["tau_high"], rule["top"]
    s, d, chosen, right = (x[b].numpy() for x in (*judged.chosen[2:4], judged.chosen.mask, judged.right))
    top = max(0.05, np.ceil(20 * float(judged.chosen.distances.max())) / 20)
    style.limits(art.axes, y=(0, 1.12 * top))
    for patch, (left, end) in zip(art.shades, ((low, high), (high, 1.0)), strict=True):
        patch.set_bounds(left, 0, end - left, 1.12 * top)
    middles = {"never": max(low / 2, 0.2), "band": (low + high) / 2, "always": (1 + high) / 2}
    room = {"never": 1.0, "band": high - low - 0.07, "always": 1.0 - high - 0.095}  # beside the words, in units of s
    for text, (name, x) in zip(art.names, middles.items(), strict=True):
        text.set_text(name if room[name] >= 0 else "")
        text.set_position((x, 1.065 * top))
    last = np.sort(d)[T - 1]
    art.limit.set_data([0, 1], [last, last])
    art.limit_name.set_text(f"T = {T} nearest: on or below")
    art.limit_name.set_position((0.135, last) if last < 0.3 * top else (1.0, last))
    art.limit_name.set_ha("left" if last < 0.3 * top else "right")
    rivals = s[judged.sure[b].numpy()]
    cut = rivals.min() if len(rivals) else np.nan
    art.cut.set_data([cut, cut], [0, 0.99 * top])
    art.cut_name.set_text(("as many by s: from here " if cut > 0.7 else " as many by s: from here") * len(rivals[:1]))
    art.cut_name.set(position=(np.nan_to_num(cut), 0.99 * top), ha="right" if cut > 0.7 else "left")
    art.others.set_data(judged.chosen.scores.flatten(), judged.chosen.distances.flatten())
    for (kept, correct), artist in art.marks.items():
        mine = (chosen == kept) & (right == correct)
        artist.set_data(s[mine], d[mine])


def _draw_shares(art, judged):
    for name, (bar, whisker, text) in art.bars.items():
        share, error, number = judged.share(name), judged.error(name), judged.counts[name][0]
        bar.set_width(share if number else 0)
        whisker.set_data(np.clip([share - error, share + error], 0, 100), [HEIGHTS[name]] * 2)  # NaN is not drawn
        text.set_text(f"{share:.1f} ± {error:.1f}   {number}" if number else "nobody")
    share = judged.share("chance")
    art.level.set_data([share] * 2, [HEIGHTS["band"] - 0.45, HEIGHTS["chance"] + 0.45])


HEIGHTS = {"high": 0.0, "band": 1.9, "near": 2.8, "sure": 3.7, "chance": 4.6, "low": 5.9}


class _Card:
    """The artists of the selection."""

    def __init__(self, figure):
        from matplotlib.patches import Rectangle

        axes = self.axes = figure.add_axes([0.06, 0.225, 0.415, 0.68])
        axes.set(xlim=(0.12, 1.005), xlabel="confidence s (Eq. 15)", title="One batch: I2PEMD d against confidence s")
        axes.set_ylabel("I2PEMD d")
        shades = ({"facecolor": "#e6dcc3"}, {"facecolor": "#dfe5ea"})
        self.shades = [axes.add_patch(Rectangle((0, 0), 1, 1, zorder=0, **look)) for look in shades]
        self.others = axes.plot([], [], ls="", marker=".", ms=2.5, color=style.LINE, zorder=1)[0]
        self.limit = axes.plot([], [], color=style.QUIET, lw=1, ls="--", zorder=2)[0]
        self.cut = axes.plot([], [], color=style.BLUE, lw=1.4, ls=":", zorder=2)[0]
        self.limit_name = axes.text(0, 0, "", size=8, color=style.QUIET, va="bottom")
        self.cut_name = axes.text(0, 0, "", size=8, color=style.BLUE, va="top")
        self.names = [axes.text(0, 0, "", size=8.5, weight="bold", ha="center", va="center") for _ in range(3)]
        looks = {
            (False, True): {"marker": "o", "mfc": "none", "mec": style.QUIET, "ms": 6},
            (False, False): {"marker": "x", "mec": style.QUIET, "ms": 6, "mew": 1.2},
            (True, True): {"marker": "o", "mfc": style.BLACK, "mec": style.CARD, "ms": 7},
            (True, False): {"marker": "X", "mfc": style.RED, "mec": style.CARD, "ms": 9},
        }
        self.marks = {key: axes.plot([], [], ls="", zorder=3, **look)[0] for key, look in looks.items()}
        figure.text(0.06, 0.035, "● ✖  chosen: right, wrong      ○ ×  left out: right, wrong", size=8.5)
        self._shares(figure)

    def _shares(self, figure):
        from matplotlib.patches import Rectangle

        figure.text(0.52, 0.93, "All batches: right pseudo-labels (%) ± and how many there are", size=9.5)
        axes = style.blank(figure.add_axes([0.69, 0.225, 0.165, 0.68], facecolor="none"))
        axes.set(xlim=(0, 100), ylim=(6.5, -0.55), xticks=(0, 50, 100))
        low, high = (0.225 + 0.68 * (6.5 - height) / 7.05 for height in (5.15, 0.7))  # behind the axes, so it stays
        figure.add_artist(Rectangle((0.51, low), 0.48, high - low, color="#e6dcc3", lw=0, zorder=-1))
        axes.text(-102, 1.15, "the band, where I2PEMD decides", size=8.5, weight="bold", va="center")
        self.bars = {}
        for name, words in ROWS.items():
            height, ours = HEIGHTS[name], name == "near"
            axes.text(-102, height, words, size=8.5, va="center", weight="bold" if ours else "normal")
            bar = axes.barh([height], [0], 0.58, color=style.BLACK if ours else "#8d919b", zorder=1)[0]
            whisker = axes.plot([], [], color=style.RED, lw=2, marker="|", ms=7, mew=1.5, zorder=3, clip_on=False)[0]
            text = axes.text(108, height, "", size=8.5, va="center", weight="bold" if ours else "normal")
            self.bars[name] = bar, whisker, text
        self.level = axes.plot([], [], color=style.INK, lw=1, ls="--", zorder=2)[0]
        figure.text(0.52, 0.09, "┆  what a draw at random gives on average; its ± is the", size=8, color=style.QUIET)
        figure.text(0.52, 0.035, "spread of such draws, the others' is the standard error", size=8, color=style.QUIET)


def describe(result):
    """The fair test in words and numbers."""
    judged = result.judged
    numbers = {name: number for name, (number, _) in judged.counts.items()}
    total = numbers["high"] + numbers["band"] + numbers["low"]
    words = [
        f"I2PEMD decides about {numbers['band']} of {total} pseudo-labels, {100 * numbers['band'] / total:.1f} %, and "
        f"lets in {numbers['near']} of them; the thresholds alone decide about the rest."
    ]
    near = numbers["near"]
    if near:
        words.append(
            f"Of those it lets in {judged.share('near'):.1f} % are right, of as many most confident "
            f"{judged.share('sure'):.1f} %, of as many at random {judged.share('chance'):.1f} ± "
            f"{judged.error('chance'):.1f} %. I2PEMD and confidence agree on {near - judged.others} of the {near}."
        )
    here, mine = judged.chosen.mask[result.batch], judged.right[result.batch]
    return " ".join(words), {
        "chosen here": f"{int(here.sum())} of {len(here)}",
        "of them right": int((here & mine).sum()),
        "in the band": numbers["band"],
        "let in": near,
        "let in: right": _percent(judged, "near"),
        "most confident": _percent(judged, "sure"),
        "at random": _percent(judged, "chance"),
        "not by confidence": judged.others,
    }


def _percent(judged, name):
    return f"{judged.share(name):.1f} ± {judged.error(name):.1f} %" if judged.counts[name][0] else "nobody"


def keep_apart(controls):
    """Let each of the sliders "tau_low" and "tau_high" take the other along before they cross."""

    def push(name, other, shift, take):
        def pushed(change):
            controls[other].value = take(controls[other].value, round(change["new"] + shift, 2))

        controls[name].observe(pushed, "value")

    push("tau_low", "tau_high", 0.02, max)
    push("tau_high", "tau_low", -0.02, min)


def selection(frozen, **start):
    """The selection rule on `Frozen` predictions; values in `start` set controls.

    The standard errors take pseudo-labels for independent. An image that is in several batches, in other views, is
    counted as often, so they are somewhat too small.

    Example
    -------
        selection(freeze(run), tau_low=0.6)
    """
    batches, count, _ = frozen.o.shape
    controls = {
        "tau_low": slider("τ_low", 0.7, 0.3, 0.97, 0.01, width="320px"),
        "tau_high": slider("τ_high", 0.8, 0.32, 0.99, 0.01, width="320px"),
        "top": slider("T (nearest of the batch)", min(24, count), 1, count, 1, width="320px"),
        "batch": slider("batch", 1, 1, batches, 1, width="260px"),
        "ground": choice("G", list(GROUNDS.items()), "learned", "200px"),
    }

    keep_apart(controls)
    judged = lru_cache(64)(lambda *rule: judge(frozen, *rule))
    return Panel(
        "selection",
        controls,
        lambda state: Result(judged(*(state[n] for n in ("tau_low", "tau_high", "top", "ground"))), state["batch"] - 1),
        draw,
        describe,
        layout=[["tau_low", "tau_high"], ["top", "batch", "ground"]],
        size=(9.4, 3.9),
        start=start,
    )
