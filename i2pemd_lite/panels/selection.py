"""Who may teach, on frozen answers: the rule of Eq. 15-18 and the fair test of what I2PEMD adds to confidence, the same
at every cut of the ranking and by class, and the held-back images that are hardest (Figure 7 of the paper).

I2PEMD decides about τ_low < s ≤ τ_high alone. So those that it lets in there are held against as many of the same band
that were taken by confidence, and against as many that were drawn at random.
"""

from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch

from i2pemd_lite.classification import CLASSES
from i2pemd_lite.classification.methods.bands import regions
from i2pemd_lite.files import BadInput
from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.metrics import classification_metrics
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider, switch
from i2pemd_lite.runs.run import Run
from i2pemd_lite.selection import Selection, select
from i2pemd_lite.text import bar

ROWS = {  # the sets of `bands` that are drawn: where from above, and what they are called
    "high": (0.0, "above: s > τ_high"),
    "band": (1.9, "all of it"),
    "near": (2.8, "let in by I2PEMD"),
    "sure": (3.7, "as many, most confident"),
    "chance": (4.6, "as many, at random"),
    "low": (5.9, "below: s ≤ τ_low"),
}
MOST = 4  # methods beside each other
PAGE = 4  # images
BLANK = 0.005  # scores that would be written as 0 are left out: most are, and writing is what takes time
ALL = "all classes"
HARDEST, APART = ORDERS = ("hardest for all", "methods disagree most")
FIRST = {HARDEST: "The hardest for all methods", APART: "Those on which the methods disagree most"}


class Frozen(NamedTuple):
    """What networks that learn no more answer: one of them to batches of unlabelled images, whose truth is known here,
    and all of them to the same held-back images."""

    o: torch.Tensor  # (B, N, K) softmax output of weak views
    truth: torch.Tensor  # (B, N)
    ground: torch.Tensor  # (K, K), from the network's own prototypes
    methods: tuple  # M names
    scores: np.ndarray  # (M, n, K) softmax output for the held-back images
    labels: np.ndarray  # (n,)
    images: np.ndarray  # (n, S, S, 3) uint8
    ids: tuple  # n names
    frequent: np.ndarray  # (K,), the share of each class among the labelled images, at least that of one image


def freeze(run: Run, batches: int = 25, seed: int = 0, beside: dict[str, Run] | None = None) -> Frozen:
    """Let a run answer weak views of `batches` batches of 36 unlabelled images, as many as the paper's have, and its
    held-back images, these with the runs `beside` it, one to four by name; alone when None.

    It answers as in use, with its own statistics for batch normalisation and nothing dropped out: the views with the
    last weights, the held-back images with the best ones where some were selected.

    Raises `BadInput` for more runs, or runs that hold back other images.
    """
    learner, scores = run.learner, []
    data, members = learner.data, learner.test
    runs = {run.settings.method: run} if beside is None else beside
    if not 1 <= len(runs) <= MOST:
        raise BadInput(f"beside: expected one to {MOST} runs, found {len(runs)}; freeze the others by themselves")
    for name, other in runs.items():
        if (other.learner.data.fingerprint, other.learner.test.tolist()) != (data.fingerprint, members.tolist()):
            raise BadInput(f"beside: expected runs with the same held-back images, found others in {name}")
    with learner.evaluating():
        o, truth = learner.frozen(batches, seed)
    for other in bar([*runs.values()], "asking every method", "method"):
        with other.best_weights(), other.learner.evaluating():
            scores.append(other.learner.probabilities(members).numpy())
    ground, images = learner.bank.ground_distance().double().cpu(), data.images[members].permute(0, 2, 3, 1).numpy()
    return Frozen(o, truth, ground, tuple(runs), np.stack(scores),
                  data.labels[members].numpy(), images, tuple(data.ids[i] for i in members.tolist()),
                  1 / learner.class_weights.cpu().numpy())  # fmt: skip


class Share(NamedTuple):
    """How many of a set there are, which part of them is right, and how sure that is."""

    number: int
    percent: float  # NaN for an empty set
    error: float  # ±, in points

    def __str__(self):
        return f"{self.percent:.1f} ± {self.error:.1f} %" if self.number else "none"


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

    chosen, right, sure : what was chosen, what is right, and as many of the band as I2PEMD lets in, the most confident
    shares : the `Share` of each of `ROWS`; of the "rule" (Eq. 18), and of its "rival", as many by confidence alone
    others : how many of those let in are not among the most confident
    ranks, precision : by falling s, and by rising d: the place of each image in its batch (B, N), and what percentage
        is right (N,) when the first n of each batch are taken, n = 1 … N
    lead, doubt : how far d is ahead of s at each n, and its standard error. Both take most images in common, which
        cannot make a difference. Of the m that only d takes, a are right, and of the m that only s takes, b: the lead
        is (a − b)/n of all n, its error √(a (1 − a/m) + b (1 − b/m))/n.
    """
    G = frozen.ground if ground == "learned" else fixed_ground_distance(frozen.o.shape[-1], dtype=torch.float64)
    batches = [select(o, G, tau_low, tau_high, top) for o in frozen.o]
    chosen = Selection(*(torch.stack(field) for field in zip(*batches, strict=True)))
    right, (B, N) = chosen.labels == frozen.truth, frozen.truth.shape
    sets = regions(chosen)
    sets |= {"rule": chosen.mask, "rival": sets["high"] | sets["sure"]}
    count = {name: (mask.sum(1).numpy(), (mask & right).sum(1).numpy()) for name, mask in sets.items()}  # (B,) each
    n, (band, good) = count["near"][0], count["band"]
    a = good / np.maximum(band, 1)
    count["chance"] = n, n * a
    spread = np.sqrt((n * a * (1 - a) * (band - n) / np.maximum(band - 1, 1)).sum())
    shares = {name: share(int(members.sum()), float(good.sum()), spread if name == "chance" else None)
              for name, (members, good) in count.items()}  # fmt: skip
    ranks = [key.argsort(stable=True).argsort() for key in (-chosen.scores, chosen.distances)]
    cuts = torch.arange(1, N + 1)
    by_s, by_d = (rank[..., None] < cuts for rank in ranks)  # (B, N, N): is the image among the first n?
    hits, first, a, b = ((part & right[..., None]).sum((0, 1)).numpy() for part in (by_s, by_d, by_d & ~by_s,
                                                                                   by_s & ~by_d))  # fmt: skip
    m, taken = np.maximum((by_d & ~by_s).sum((0, 1)).numpy(), 1), B * cuts.numpy() / 100
    return SimpleNamespace(chosen=chosen, right=right, sure=sets["sure"], shares=shares, ranks=ranks,
                           others=int((sets["near"] & ~sets["sure"]).sum()), precision=(hits / taken, first / taken),
                           lead=(a - b) / taken, doubt=np.sqrt(a * (1 - a / m) + b * (1 - b / m)) / taken)  # fmt: skip


def halving(frozen: Frozen, tau_low: float, tau_high: float) -> int:
    """The smallest T with which I2PEMD lets in half of the band or more: as many are left out as can be compared with
    those let in. The paper's where nobody is in the band."""
    B, N, _ = frozen.o.shape
    judged = judge(frozen, tau_low, tau_high, N, "learned")
    places = judged.ranks[1][regions(judged.chosen)["band"]]
    return int(places.median()) + 1 if len(places) else min(24, N)


def adjusted(frozen):
    """Each score divided by how frequent its class is among the labelled images, then all by their sum: the answers of
    networks to which no class is rare (logit adjustment, Menon et al., arXiv:2007.07314)."""
    o, scores = frozen.o / torch.from_numpy(frozen.frequent), frozen.scores / frozen.frequent
    return frozen._replace(o=o / o.sum(-1, keepdim=True), scores=scores / scores.sum(-1, keepdims=True))


def found(frozen):
    """Of the held-back images the part of each class that each method finds, (M, K) percent, NaN where there is none;
    and {method: its F1 and top-1 in percent}."""
    K, labels = frozen.scores.shape[-1], frozen.labels
    right = frozen.scores.argmax(2) == labels
    parts = [[100 * each[labels == k].mean() if (labels == k).any() else np.nan for k in range(K)] for each in right]
    figures = {}
    for method, scores in zip(frozen.methods, frozen.scores, strict=True):
        measured = classification_metrics(scores, labels)
        figures[method] = 100 * measured["f1"], 100 * measured["top1"]
    return np.array(parts), figures


def hardest(frozen, order, kind, page):
    """A page (from 1) of the held-back images of a class (or `ALL`), in one of `ORDERS`.

    With t_mi the score that method m of M gives to the true class of image i, the value of `HARDEST` is
    (1/M) Σ_m t_mi, ascending, of `APART` max_m t_mi − min_m t_mi, descending.

    Of each of the `cases` its place in the order, from 1, image, scores (M, K), and the value; `count` images are in
    the order, of which each method, and all methods together, have `missed` some.
    """
    t = frozen.scores[:, np.arange(len(frozen.labels)), frozen.labels].astype(float)
    values = t.mean(0) if order == HARDEST else t.min(0) - t.max(0)
    places = np.argsort(values, kind="stable")
    places = places[(kind == ALL) | (frozen.labels[places] == (kind != ALL and CLASSES.index(kind)))]
    first = (page - 1) * PAGE
    cases = [SimpleNamespace(place=n + 1, id=frozen.ids[i], truth=int(frozen.labels[i]), image=frozen.images[i],
                             scores=frozen.scores[:, i], value=abs(float(values[i])))
             for n, i in enumerate(places[first : first + PAGE], first)]  # fmt: skip
    wrong = frozen.scores[:, places].argmax(2) != frozen.labels[places]
    missed = {**dict(zip(frozen.methods, wrong.sum(1), strict=True)), "all methods": wrong.all(0).sum()}
    return SimpleNamespace(methods=frozen.methods, order=order, cases=cases, page=page, count=len(places),
                           missed=missed)  # fmt: skip


def pages_of(count):
    """Pages for so many images: at least one."""
    return max(1, -(-count // PAGE))


MARKS = {  # (chosen, right) -> look
    (False, True): {"marker": "o", "mfc": "none", "mec": style.QUIET, "ms": 6},
    (False, False): {"marker": "x", "mec": style.QUIET, "ms": 6, "mew": 1.2},
    (True, True): {"marker": "o", "mfc": style.BLACK, "mec": style.PAPER, "ms": 7},
    (True, False): {"marker": "X", "mfc": style.RED, "mec": style.PAPER, "ms": 9},
}


def draw_batch(card, result):
    """Left one batch, each image at its confidence s and its distance d, with what decides about it; right a bar for
    each of `ROWS`, over all batches."""
    (low, high, T, _), judged, shares = result.rule, result.judged, result.judged.shares
    each = (judged.chosen.scores, judged.chosen.distances, judged.chosen.mask, judged.right, judged.sure)
    s, d, taken, right, sure = (values[result.batch].numpy() for values in each)
    top = max(0.05, np.ceil(20 * float(each[1].max())) / 20)
    plane = card.plane("batch", [0.06, 0.225, 0.395, 0.68], xlim=(0.12, 1.005), ylim=(0, 1.12 * top),
                       ylabel="I2PEMD d", xlabel="confidence s (Eq. 15)",
                       title="One batch: I2PEMD d against confidence s")  # fmt: skip
    inks = ("never", 0.12, low, style.PAPER), ("band", low, high, style.BAND), ("always", high, 1.0, style.SHADE)
    for name, left, end, colour in inks:
        plane.rect(left, 0, end - left, 1.12 * top, fc=colour, zorder=0)
        if end - left > 0.12:  # which the name takes
            plane.text((left + end) / 2, 1.065 * top, name, weight="bold", ha="center", va="center")
    plane.points(each[0].flatten(), each[1].flatten(), marker=".", ms=2.5, color=style.GREY, alpha=0.7, zorder=1)
    for (is_taken, is_right), look in MARKS.items():
        mine = (taken == is_taken) & (right == is_right)
        plane.points(s[mine], d[mine], zorder=3, **look)
    words = "● ✖  chosen: right, wrong      ○ ×  left out: right, wrong\n╌  the T nearest: on or below"
    card.paper.text(0.06, 0.03, words + "      ┆  as many by s: from here on" * bool(sure.any()))
    last = np.sort(d)[T - 1]  # of the T nearest
    plane.line([0, 1], [last, last], color=style.QUIET, lw=1, ls="--", zorder=2)
    plane.text(1.015, last, f"T = {T}", color=style.QUIET, va="center")
    if sure.any():
        cut = s[sure].min()
        plane.line([cut, cut], [0, 0.99 * top], color=style.BLUE, lw=1.4, ls=":", zorder=2)

    plane = card.plane("shares", [0.7, 0.225, 0.155, 0.68], "blank", xlim=(0, 100), ylim=(6.5, -0.55),
                       xticks=(0, 50, 100))  # fmt: skip
    plane.rect(-121, 0.7, 308, 4.45, fc=style.BAND, clip=False, zorder=0)
    plane.text(-118, 1.15, "the band, where I2PEMD decides", weight="bold", va="center")
    for name, (height, title) in ROWS.items():
        (number, percent, error), look = shares[name], {"va": "center", "weight": "bold" if name == "near" else ""}
        plane.text(-118, height, title, **look)
        plane.text(108, height, f"{percent:.1f} ± {error:.1f}" if number else "none", **look)
        if number:
            plane.text(184, height, str(number), ha="right", **look)
            plane.rect(0, height - 0.29, percent, 0.58, fc=style.BLACK if name == "near" else style.GREY)
            ends = np.clip([percent - error, percent + error], 0, 100)
            plane.line(ends, [height] * 2, color=style.RED, lw=2, marker="|", ms=7, mew=1.5, zorder=3, clip=False)
    plane.line([shares["chance"].percent] * 2, [1.45, 5.05], lw=1, ls="--")
    card.paper.text(0.52, 0.93, "All batches: right pseudo-labels (%) ± and how many there are", size=9.5)
    words = "┆  what a draw at random gives on average; its ± is\n"
    words += "the spread of such draws; every other ± is a standard error"
    card.paper.text(0.52, 0.09, words, color=style.QUIET)


BY_S, BY_D = {"color": style.BLUE, "lw": 2.2}, {"color": style.ORANGE, "lw": 1.8, "ls": (5, 2)}
POINTS = {
    "high": {"marker": "s", "ms": 9, "mfc": "none", "mec": style.INK, "mew": 1.8},
    "rival": {"marker": "o", "ms": 11, "mfc": "none", "mec": style.BLUE, "mew": 1.8},
    "rule": {"marker": "*", "ms": 11, "mfc": style.ORANGE, "mec": style.PAPER, "mew": 0.8},
}


def draw_cuts(card, result):
    """Left what is right when the first of each batch are taken, by s and by d, and where rules cut; right how far d is
    ahead of s at the same coverage."""
    judged, shares = result.judged, result.judged.shares
    cuts = 100 * (1 + np.arange(len(judged.lead))) / len(judged.lead)
    part = {name: 100 * shares[name].number / judged.right.numel() for name in POINTS}
    low = 10 * np.floor(np.nanmin([*np.ravel(judged.precision), *(shares[name].percent for name in POINTS)]) / 10 - 0.2)
    across = {"xlim": (0, 101), "xlabel": "coverage: part of all that is taken (%)"}
    left = card.plane("precision", [0.065, 0.29, 0.43, 0.62], ylim=(low, 100 + 0.06 * (100 - low)), **across,
                      title="How much of what is taken is right?", ylabel="precision: right (%)")  # fmt: skip
    for percent, look in zip(judged.precision, (BY_S, BY_D), strict=True):
        left.line(cuts, percent, **look)
    for name, look in POINTS.items():
        _, percent, error = shares[name]
        left.line([part[name]] * 2, [percent - error, percent + error], color=style.QUIET, lw=1.2, zorder=3)
        left.points(part[name], percent, zorder=4, **look)
    top = max(2.0, np.ceil((np.abs(judged.lead) + judged.doubt).max()))
    right = card.plane("lead", [0.60, 0.29, 0.385, 0.62], ylim=(-1.15 * top, 1.15 * top), **across,
                       title="I2PEMD minus confidence", ylabel="difference (points)")  # fmt: skip
    above, below = (np.c_[cuts, judged.lead + sign * judged.doubt] for sign in (1, -1))
    right.polygons([np.r_[above, below[::-1]]], fc=style.BAND, zorder=0)
    right.line([0, 101], [0, 0], **BY_S)
    right.line(cuts, judged.lead, **BY_D)
    right.points(part["rule"], shares["rule"].percent - shares["rival"].percent, zorder=4, **POINTS["rule"])
    words = "━  confidence s    ╌  I2PEMD d   │ ± error\n□  s > τ_high (FixMatch)   ★  I2PEMD rule   ○  as many by s"
    card.paper.text(0.02, 0.085, words)
    words = "above 0: d ranks better than s; shaded: ± standard error\n★  the I2PEMD rule minus as many by s"
    card.paper.text(0.555, 0.085, words)


def describe_rule(result):
    """The fair test and the rankings in words and numbers."""
    judged, shares, everybody = result.judged, result.judged.shares, result.judged.right.numel()
    near, sure, chance, band, rule, rival = (shares[n] for n in ("near", "sure", "chance", "band", "rule", "rival"))
    by_s, by_d = (percent.mean() for percent in judged.precision)
    words = f"I2PEMD decides about {band.number} of {everybody} pseudo-labels ({100 * band.number / everybody:.1f} %) "
    words += f"and lets in {near.number} of them. The thresholds alone decide about the rest."
    if near.number:
        words += f" Of those it lets in, {near.percent:.1f} % are right. Of the same number of the most confident, "
        words += f"{sure.percent:.1f} % are right, and of the same number drawn at random, {chance}. "
        words += f"I2PEMD and confidence agree on {near.number - judged.others} of the {near.number}."
    words += f" Averaged over all cuts, confidence is right in {by_s:.1f} % and I2PEMD in {by_d:.1f} %."
    if rule.number:
        words += f" The I2PEMD rule takes {100 * rule.number / everybody:.1f} % of all and is right in "
        words += f"{rule.percent:.1f} %. The same number taken by confidence is right in {rival.percent:.1f} %."
    return words, {
        "let in: right": str(near), "most confident": str(sure), "at random": str(chance), "in the band": band.number,
        "let in": near.number, "not by confidence": judged.others, "I2PEMD rule: right": str(rule),
        "as many by s: right": str(rival), "s > τ_high: right": str(shares["high"]),
    }  # fmt: skip


def counts(result):
    """[(class, its images in the batches, its pseudo-labels, those of them that teach)]."""
    labels, taught = result.judged.chosen.labels, result.judged.chosen.mask
    each = (np.bincount(x.flatten(), minlength=len(CLASSES)) for x in (result.truth, labels, labels[taught]))
    return [(name, *map(int, row)) for name, *row in zip(CLASSES, *each, strict=True)]


def draw_classes(card, result):
    """Left the pseudo-labels of each class, beside how many of its images there are; right who finds which class."""
    K, most = len(CLASSES), 150
    left = card.plane("pseudo-labels", [0.07, 0.12, 0.28, 0.72], xlim=(0, most), ylim=(K - 0.5, -0.5), yticks=range(K),
                      yticklabels=CLASSES, xlabel="pseudo-labels, in % of the images of the class",
                      title="Which classes teach?   ▯ all answers   ▮ those that teach")  # fmt: skip
    for k, (_, images, answers, teach) in enumerate(counts(result)):
        every, some = (100 * n / images if images else most * bool(n) for n in (answers, teach))
        left.rect(0, k - 0.36, min(every, most), 0.72, fc=style.SHADE, ec=style.QUIET, lw=0.8)
        left.rect(0, k - 0.2, min(some, most), 0.4, fc=style.BLACK)
        left.text(most + 5, k, f"{'→ ' * (every > most)}{teach} of {answers} teach; {images} images", va="center")
    left.line([100, 100], [-0.5, K - 0.5], color=style.QUIET, lw=1, ls="--")
    parts, figures = result.found
    right = card.plane("found", [0.685, 0.2, 0.305, 0.13 * len(figures)], "blank", title="Held-back images found (%)")
    words = [["–" if np.isnan(value) else f"{value:.0f}" for value in row] for row in parts]
    right.matrix(np.nan_to_num(parts), figures, CLASSES, 100, aspect="auto", words=words)


def describe_classes(result):
    """Which classes get too many labels and which too few, and who finds how many, in words and numbers."""
    each = counts(result)
    many = [name for name, images, answers, _ in each if answers > 1.25 * images]
    few = [name for name, images, _, teach in each if teach < 0.25 * images]
    words = f"Of {sum(row[1] for row in each)} pseudo-labels {sum(row[3] for row in each)} teach. "
    words += f"The network says {', '.join(many)} too often. " * bool(many)
    words += f"In these classes, fewer labels teach than a quarter of the images: {', '.join(few)}. " * bool(few)
    parts, figures = result.found
    lost = {name: ", ".join(np.array(CLASSES)[part == 0]) for name, part in zip(figures, parts, strict=True)}
    words += " ".join(f"{name} finds no {classes}." for name, classes in lost.items() if classes)
    each = (", ".join(f"{name} {figure:.1f}" for name, figure in zip(figures, column, strict=True))
            for column in zip(*figures.values(), strict=True))  # fmt: skip
    return words.rstrip(), dict(zip(("F1 (%)", "top-1 (%)"), each, strict=True))


def draw_hardest(card, result):
    """For each image its picture, and the scores of every method by class, with the true class framed."""
    for n, case in enumerate(result.cases):
        left, foot = 0.502 * (n % 2), 0.52 - 0.5 * (n // 2)
        high = min(0.33, 0.085 * len(result.methods))
        seen = card.plane(f"image {n}", [left + 0.01, foot + 0.101, 0.095, 0.229], "blank")
        seen.image(case.image, 0, 255, extent=(0, 1, 0, 1))
        scores = card.plane(f"scores {n}", [left + 0.211, foot + 0.33 - high, 0.281, high], "blank")
        words = [["" if value < BLANK else style.number(value) for value in answer] for answer in case.scores]
        answers = case.scores == case.scores.max(1, keepdims=True)
        scores.matrix(case.scores, result.methods, CLASSES, aspect="auto", words=words, bold=answers)
        for edge, width in ((style.PAPER, 4.5), (style.RED, 2.2)):
            scores.rect(case.truth - 0.5, -0.5, 1, len(result.methods), ec=edge, lw=width, clip=False, zorder=4)
        value = f"{'mean score' if result.order == HARDEST else 'range'} {case.value:.2f}"
        card.paper.text(left + 0.01, foot + 0.41, f"{case.place}. {CLASSES[case.truth]}   {value}   {case.id[-24:]}",
                        weight="bold")  # fmt: skip


def describe_hardest(result):
    """Each image of the page in a sentence, and how many are missed."""
    first, last = result.cases[0].place, result.cases[-1].place
    words = [f"Images {first} to {last} of {result.count} held-back ones. {FIRST[result.order]} come first."]
    for case in result.cases:
        by_answer = {}
        for method, row in zip(result.methods, case.scores, strict=True):
            by_answer.setdefault(int(row.argmax()), []).append(f"{method} ({row.max():.2f})")
        answers = "; ".join(f"{CLASSES[k]} by {', '.join(methods)}" for k, methods in by_answer.items())
        words.append(f"{case.place}: {CLASSES[case.truth]}, called {answers}.")
    wrong = {f"wrong: {name}": f"{number} of {result.count}" for name, number in result.missed.items()}
    return " ".join(words), {"page": f"{result.page} of {pages_of(result.count)}", **wrong}


RULE = ("tau_low", "tau_high", "top", "ground")
VIEWS = {  # its controls, how it is drawn and described
    "one batch": ((*RULE, "batch"), draw_batch, describe_rule),
    "every cut": (RULE, draw_cuts, describe_rule),
    "by class": ((*RULE, "adjusted"), draw_classes, describe_classes),
    "hardest images": (("order", "kind", "page"), draw_hardest, describe_hardest),
}


def keep_apart(controls):
    """Let each of the sliders "tau_low" and "tau_high" take the other along before they cross."""
    low, high = controls["tau_low"], controls["tau_high"]
    low.observe(lambda change: setattr(high, "value", max(high.value, round(change["new"] + 0.02, 2))), "value")
    high.observe(lambda change: setattr(low, "value", min(low.value, round(change["new"] - 0.02, 2))), "value")


def panel(frozen: Frozen, view: str = "one batch", **start: Any) -> Panel:
    """A view of `Frozen` answers, as `panel(freeze(run), tau_low=0.6)`; `start` sets controls.

    The errors take pseudo-labels for independent. An image that is in several batches, in other views, is counted as
    often, so they are somewhat too small.
    """
    batches, N, _ = frozen.o.shape
    count = {ALL: len(frozen.labels), **{name: int((frozen.labels == k).sum()) for k, name in enumerate(CLASSES)}}
    controls = {
        "view": choice("view", list(VIEWS), view),
        "tau_low": slider("τ_low", 0.7, 0.3, 0.97, 0.01),
        "tau_high": slider("τ_high", 0.8, 0.32, 0.99, 0.01),
        "top": slider("T (nearest of the batch)", min(24, N), 1, N, 1),
        "ground": choice("G", [("learned", "learned"), ("fixed, 1 − I", "fixed")], "learned"),
        "batch": slider("batch", 1, 1, batches, 1),
        "adjusted": switch("divide scores by how frequent a class is", False),
        "order": choice("order", ORDERS, HARDEST),
        "page": slider("page", 1, 1, pages_of(count[ALL]), 1),
        "kind": choice("true class", [(f"{name} ({n})", name) for name, n in count.items() if n], ALL),
    }
    keep_apart(controls)
    controls["kind"].observe(lambda change: setattr(controls["page"], "max", pages_of(count[change["new"]])), "value")
    answers = lru_cache(2)(lambda balanced: adjusted(frozen) if balanced else frozen)
    judged = lru_cache(64)(lambda balanced, *rule: judge(answers(balanced), *rule))
    held_back = lru_cache(2)(lambda balanced: found(answers(balanced)))

    def compute(state):
        rule = tuple(state[name] for name in RULE)
        if state["view"] == "hardest images":
            result = hardest(frozen, state["order"], state["kind"], state["page"])
        elif state["view"] == "by class":
            balanced = state["adjusted"]
            result = SimpleNamespace(judged=judged(balanced, *rule), truth=frozen.truth, found=held_back(balanced))
        else:
            result = SimpleNamespace(rule=rule, judged=judged(False, *rule), batch=state["batch"] - 1)
        result.view = state["view"]
        return result

    return Panel("selection", controls, compute, lambda card, result: VIEWS[result.view][1](card, result),
                 lambda result: VIEWS[result.view][2](result), size=(9.4, 3.9), start=start,
                 shows=lambda state: ("view", *VIEWS[state["view"]][0]))  # fmt: skip
