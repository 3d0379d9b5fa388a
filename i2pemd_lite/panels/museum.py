"""The failure museum: the method broken on purpose, each time beside a healthy one, with the sign that gives it away.

An exhibit runs one function of `exhibits.py` twice, with sane settings and with the learner's. Its sign says from where
on the number it returns is bad, and why there.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import exhibits
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider, steps, switch
from i2pemd_lite.panels.exhibits import BLOBS, CENTRES, POINT, RARE, RIGHT, SETTLED, SPREADS, STEPS, TRAINING, WRONG, K

P = exhibits.P.numpy()


class Exhibit(NamedTuple):
    """A failure on show, with its sign: a number to watch in a training of one's own, and from where on it is bad."""

    headline: str
    view: Callable  # setting -> what is drawn, with its `sign`
    sane: dict  # the values of its controls that work; those it does not name stay the learner's
    broken: dict  # the values it opens with
    in_words: Callable  # setting -> the setting in a few words
    picture: Callable  # `picture(plane, view)`, for the healthy view and for the learner's
    places: tuple  # (left, width) of these two pictures, and of the chart
    sign: str  # what the number is
    limit: float
    limit_in_words: str
    above: bool  # whether it is bad above the limit, or below
    reason: str  # for the limit
    scale: Callable  # the number -> its place on a gauge from 0 to 1
    seen: str  # how the sign shows in a training
    do: str
    beside: dict  # further numbers: name -> (view -> words)
    form: str = "{:.0f}"  # of the number
    chart: Callable | None = None  # `chart(card, box, healthy, yours)`, for both together

    def there(self, value):
        """Whether a value of the sign gives the failure away."""
        return value > self.limit if self.above else value < self.limit


def hill(plane, view):
    """A hill to roll down: arrows are steps of the gradient."""
    plane.look(xlim=(0, 1.04), ylim=(0, 1.19), xlabel="probability pₖ of the true class", ylabel="I2PEMD")
    plane.line(P, view.cost, color=style.BLACK, lw=1.6)
    start, cost = P[14:80:15], view.cost[14:80:15]
    # With 0.5 the longest step, pₖ (1 − pₖ) = 1/4, ends before the next one begins.
    end = start + 0.5 * view.push[14:80:15]
    ends = np.c_[end, np.interp(end, P, view.cost)]
    plane.arrows(np.c_[start, cost], ends, lw=4, color=style.BLUE, zorder=3)
    plane.points(WRONG, view.wrong, marker="X", ms=10, mfc=style.RED, mec=style.PAPER, zorder=4)
    plane.points(RIGHT, view.sign, marker="o", ms=10, mfc=style.BLACK, mec=style.PAPER, zorder=4)
    plane.text(WRONG - 0.02, view.wrong + 0.09, f"wrong: {view.wrong:.2f}", size=8.5)
    plane.text(RIGHT + 0.09, view.sign + 0.11, f"right: {view.sign:.2f}", size=8.5, ha="right")
    words = "flat: no gradient anywhere" if np.abs(view.push).max() < 1e-9 else "→  steps of the gradient"
    plane.text(0.52, 0.84, words, size=8.5, color=style.BLUE)


def _prototypes(plane, places, outside, off):
    """Prototypes, each with its name `off` to its outside, so that four in one point can still be told apart."""
    plane.points(*places.T, ms=8, **style.PROTOTYPE)
    away = off * outside.numpy() / np.linalg.norm(outside, axis=1, keepdims=True)
    for at, name in zip(places + away, style.names("c", K), strict=True):
        plane.text(*at, name, weight="bold", ha="center", va="center")


def features(plane, view):
    """A plane of features that are drawn together, and their prototypes."""
    plane.look(xlim=(-1.2, 7.6), ylim=(-2.0, 5.9), xticks=[], yticks=[])
    plane.points(*view.features.T, ms=3, alpha=0.5, **style.SOURCE)
    plane.text(-1.0, -1.75, "○ features   ◆ prototypes", size=8, color=style.QUIET)
    _prototypes(plane, view.prototypes, CENTRES - POINT, 0.75)


def spreads(card, box, _, yours):
    """What G and g say of every spread, with the learner's marked."""
    ticks, x = [0, 2, 4, 6, 8, 11], SPREADS.index(yours.spread)
    plane = card.plane("spreads", box, xlim=(-0.4, len(SPREADS) - 0.4), ylim=(0, 2.0), xlabel="spread of the features",
                       title="What G tells of it, and what g tells", xticks=ticks,
                       xticklabels=[fraction(SPREADS[n]) for n in ticks])  # fmt: skip
    views = [exhibits.collapsed(spread, False) for spread in SPREADS]
    plane.line(range(len(views)), [view.price for view in views], color=style.BLACK, lw=1.6)
    plane.line(range(len(views)), [view.sign for view in views], color=style.BLUE, lw=1.6, ls="--")
    plane.text(2.3, 0.56, "mean of G", size=8.5)
    plane.text(1.25, 1.2, "largest g ÷ size", size=8.5, color=style.BLUE)
    plane.line([x, x], [0, 2.0], color=style.QUIET, lw=1, ls=":", zorder=1)
    look = {"marker": "o", "ms": 7, "mfc": style.RED, "mec": style.PAPER, "zorder": 4, "clip": False}
    plane.points([x, x], [yours.price, yours.sign], **look)


def absent(plane, view):
    """A run: how far the rare prototype is from its class, and below which batches hold the class."""
    plane.look(xlim=(0, STEPS + 1), ylim=(-1.5, 8.8), xlabel="step", ylabel="c₄ from its class", yticks=range(0, 9, 2))
    zero = CENTRES[RARE].norm().item()
    plane.line([0, STEPS + 1], [zero, zero], color=style.LINE, lw=1, ls="--")
    look = {"size": 8, "va": "center"}
    plane.text(STEPS + 1, 8.3, "as far as zero is", ha="right", color=style.QUIET, **look)
    plane.text(0.6, 8.3, "▏ class 4 is in this batch", color=style.BLUE, **look)
    plane.line(range(1, STEPS + 1), view.error, color=style.BLACK, lw=1.5, marker="D", ms=3.5)
    here = np.flatnonzero(view.present[:, RARE]) + 1
    plane.points(here, np.full(len(here), -0.95), marker="|", ms=9, mew=2, color=style.BLUE)
    for gone in np.flatnonzero(np.isnan(view.error))[:1]:
        last = view.error[gone - 1] if gone else 0.0
        plane.points(gone + 1, last, marker="X", ms=11, mfc=style.RED, mec=style.PAPER, zorder=4)
        words = f"not a number (NaN)\nfrom step {gone + 1} on, for ever"
        plane.text(0.8, 4.0, words, size=9, weight="bold", color=style.RED)


def band(plane, view):
    """A batch: confidence against distance, with the band shaded, or what stands in its place."""
    top, (low, high) = 0.42, view.thresholds
    plane.look(xlim=(0.3, 1.12), ylim=(0, 1.25 * top), xlabel="confidence s", ylabel="I2PEMD d")
    plane.text(0.31, 0.03, "★ in by I2PEMD\n● in by s > τ_high\n○ out", size=7.5, color=style.QUIET)
    plane.rect(low, 0, max(high - low, 0), 1.12 * top, fc=style.BAND, zorder=0)
    plane.rect(high, 0, max(low - high, 0), 1.12 * top, ec=style.RED, hatch=style.RED, zorder=0)
    left, right = ("right", "left") if low <= high else ("left", "right")  # a name stands outside of the band
    for tau, name, ls, ha in ((low, "τ_low", "--", left), (high, "τ_high", "-", right)):
        plane.line([tau, tau], [0, 1.12 * top], color=style.INK, lw=1, ls=ls)
        plane.text(tau, 1.18 * top, f" {name} {tau:.2f} ", size=8, va="center", ha=ha)
    edge, face = {"mec": style.QUIET, "mfc": style.PAPER}, {"mec": style.PAPER, "mfc": style.BLACK}
    out, near = ~(view.low | view.high), view.low & ~view.high
    for members, marker, ms, look in ((out, "o", 5.5, edge), (view.high, "o", 6.5, face), (near, "*", 12, face)):
        plane.points(view.scores[members], view.distances[members], marker=marker, ms=ms, zorder=3, **look)
    words = "no\nband" if low >= high else "band"
    plane.text((low + high) / 2, 1.06 * top, words, size=8.5, weight="bold", ha="center", va="top", halo=True)


def ways(plane, view):
    """A plane with the ways of the prototypes in a training."""
    plane.look(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), xticks=[], yticks=[])
    for k in range(K):
        plane.line(*view.path[:, k].T, color=style.QUIET, lw=0.9, marker=".", ms=3)
    _prototypes(plane, view.path[-1], BLOBS, 0.3)


def losses(card, box, healthy, yours):
    """The losses of both trainings, and the steps in which G changed."""
    floor = 0.02  # of the losses drawn: a saturated network has almost none on one batch and a huge one on the next
    plane = card.plane("losses", box, yscale="log", xlabel="step", xlim=(0, TRAINING + 1), ylim=(0.0015, 60),
                       title="Loss   ─ yours   ╌ healthy   ┈ guessing",
                       yticks=[floor, 0.1, 1, 10], yticklabels=[f"≤ {floor}", "0.1", "1", "10"])  # fmt: skip
    plane.text(TRAINING + 1, 0.0075, "▏ G changed in this step", ha="right", size=8, color=style.QUIET)
    step = np.arange(1, TRAINING + 1)
    plane.line(step, yours.guess, color=style.QUIET, lw=1, ls=":")
    for view, height, ink, ls in ((healthy, 0.0045, style.BLUE, "--"), (yours, 0.0025, style.RED, "-")):
        plane.line(step, np.maximum(view.loss, floor), lw=1.4, color=ink, ls=ls)
        plane.points(step[view.flips], np.full(view.flips.sum(), height), marker="|", ms=6, mew=1, color=ink)


EXHIBITS = {
    "one on the diagonal": Exhibit(
        "G with ones on its diagonal: being right costs as much as being wrong",
        exhibits.diagonal_of_one, sane={"diagonal": 0.0}, broken={"diagonal": 1.0},
        in_words=lambda diagonal: f"diagonal of G {diagonal:.2f}",
        picture=hill, places=((0.075, 0.415), (0.555, 0.415)),
        sign=f"I2PEMD of a right prediction (pₖ = {RIGHT})", limit=0.1, limit_in_words="0.1", above=True,
        reason="with zeros on the diagonal it is at most (1 − pₖ) max G = 0.05; twice that leaves no doubt",
        scale=lambda cost: cost, form="{:.2f}",
        seen="I2PEMD stays high while the network gets\nbetter, and pushes nothing.",
        do="Keep zeros on the diagonal of G:\nfixed_ground_distance(K) is 1 − I.",
        beside={
            "I2PEMD of a wrong prediction": lambda view: f"{view.wrong:.2f}",
            "largest gradient": lambda view: f"{abs(view.push).max():.3f}",
        }),
    "collapsed prototypes": Exhibit(
        "Prototypes drawn into one point: the ranks hide it to the last, then G is zero",
        exhibits.collapsed, sane={"spread": 1.0, "fresh": False}, broken={"spread": 2**-8, "fresh": False},
        in_words=lambda spread, fresh: "a bank of zeros" if fresh else f"spread {fraction(spread)}",
        picture=features, places=((0.03, 0.29), (0.36, 0.29), (0.725, 0.255)), chart=spreads,
        sign="largest g ÷ mean size ‖c‖₁ of a prototype", limit=2**-7, limit_in_words="1/128", above=False,
        reason="bfloat16 has 8 bits: features that differ by less than 1/128 of their size are rounded to the same "
        "number",
        scale=lambda ratio: np.clip(1 + np.log2(max(ratio, 1e-9) / 2) / 12, 0, 1), form="{:.4f}",
        seen="G and the loss look as always while g shrinks;\nin the end both are exactly 0.",
        do="Log g, not G alone. Look for dead features;\nupdate the bank before you use its G.",
        beside={
            "mean of G": lambda view: f"{view.price:.3f}",
            "I2PEMD of guessing": lambda view: f"{view.loss:.3f}",
            "all classes seen": lambda view: "yes" if view.ready else "no",
        }),
    "a batch without a class": Exhibit(
        "A batch without class 4: what to do with the mean of nothing",
        exhibits.class_absent, sane={"absent": exhibits.OURS}, broken={"share": 0.04, "absent": exhibits.ZERO},
        in_words=lambda share, absent: f"the class {absent.removesuffix(' (ours)')}",
        picture=absent, places=((0.065, 0.425), (0.555, 0.425)),
        sign="updates of a class that was not in the batch", limit=0, limit_in_words="0", above=True,
        reason="Eq. 10 and 11 have none for N_k = 0", scale=lambda count: count / (1.5 * STEPS),
        seen="A prototype moves or turns NaN in a step\nthat shows no instance of its class.",
        do="Divide only where N_k > 0, and let the others\nkeep what they have. Log the age of each.",
        beside={
            "farthest from its class": lambda view: f"{view.error.max():.2f}".replace("nan", "not a number"),
            "longest without an update": lambda view: f"{view.age} step{'s' * (view.age != 1)}",
        }),
    "thresholds crossed": Exhibit(
        "τ_low above τ_high: I2PEMD has nobody left to decide about",
        exhibits.thresholds_crossed, sane={"tau_low": 0.7, "tau_high": 0.8}, broken={"tau_low": 0.8, "tau_high": 0.7},
        in_words=lambda tau_low, tau_high: "τ_low < τ_high" if tau_low < tau_high else "τ_low ≥ τ_high",
        picture=band, places=((0.065, 0.425), (0.555, 0.425)),
        sign=f"samples with τ_low < s ≤ τ_high, of {exhibits.UNLABELLED} in a batch",
        limit=1, limit_in_words="1", above=False,
        reason="about all others the thresholds alone decide", scale=lambda count: min(count / 20, 1),
        seen="Nobody is let in by I2PEMD (★): all are\nchosen by s > τ_high alone, unasked.",
        do="Keep τ_low < τ_high; select() refuses all else.\nCount the band in each batch.",
        beside={
            "let in by I2PEMD": lambda view: f"{(view.low & ~view.high).sum()}",
            "chosen in all": lambda view: f"{(view.low | view.high).sum()}",
        }),
    "learning rate too high": Exhibit(
        "A learning rate too high: the loss jumps, prototypes are thrown about",
        exhibits.train, sane={"rate": 0.1}, broken={"rate": 10.0},
        in_words=lambda rate: f"learning rate {rate:g}",
        picture=ways, places=((0.03, 0.27), (0.335, 0.27), (0.68, 0.30)), chart=losses,
        sign="steps with a loss above that of guessing", limit=5, limit_in_words="5 %", above=True,
        reason=f"who learns is below it after {SETTLED} steps; one in twenty is allowed to an unlucky batch",
        scale=lambda percent: percent / 100, form="{:.0f} %",
        seen="Now and then the loss is above that of\nequal probabilities for all classes.",
        do="Divide the learning rate by 3 until it stays\nbelow. G flips in healthy runs too.",
        beside={
            "largest loss after step 20": lambda view: f"{view.loss[SETTLED:].max():.2f}",
            "steps in which G changed": lambda view: f"{view.flips.sum()}",
        }),
}  # fmt: skip


def fraction(spread):
    """A power of two as a fraction."""
    return f"{spread:g}" if spread in (0, 1) else f"1/{1 / spread:g}"


def compute(state):
    """An exhibit under sane settings and under those of the state: exhibit, and the controls that it names."""
    exhibit = EXHIBITS[state["exhibit"]]
    yours = {name: state[name] for name in exhibit.broken}
    settings = {**yours, **exhibit.sane}, yours
    views = [exhibit.view(**setting) for setting in settings]
    return SimpleNamespace(name=state["exhibit"], settings=settings, views=views, signs=[view.sign for view in views])


def draw(card, result):
    """Above the healthy one beside the learner's, on the same axes; below the sign on a gauge, and what to do."""
    exhibit, paper = EXHIBITS[result.name], card.paper
    bad = exhibit.there(result.signs[1])
    boxes = [[left, 0.455, width, 0.36] for left, width in exhibit.places]
    paper.text(0.02, 0.945, exhibit.headline, size=11, weight="bold")
    heads = ("✓  healthy", style.INK), ("✖  yours", style.RED) if bad else ("✓  yours", style.INK)
    for n, ((words, ink), setting, view) in enumerate(zip(heads, result.settings, result.views, strict=True)):
        title = f"{words}:  {exhibit.in_words(**setting)}"
        paper.text(boxes[n][0], 0.845, title, size=9.5, weight="bold", color=ink)
        exhibit.picture(card.plane(f"{result.name} {n}", boxes[n]), view)
    if exhibit.chart:
        exhibit.chart(card, boxes[2], *result.views)

    paper.rect(0, 0, 1, 0.315, fc=style.SHADE)
    paper.text(0.02, 0.262, f"The sign to watch: {exhibit.sign}", size=9.5, weight="bold")
    why = f"bad {'above' if exhibit.above else 'below'} {exhibit.limit_in_words}: {exhibit.reason}"
    paper.text(0.02, 0.02, why, size=7.5, color=style.QUIET)
    gauge = card.plane("gauge", [0.02, 0.125, 0.56, 0.052], "framed")
    limit = float(exhibit.scale(exhibit.limit))
    shaded = (limit, 0, 1 - limit, 1) if exhibit.above else (0, 0, limit, 1)
    gauge.rect(*shaded, fc=style.ALARM, hatch=style.RED, zorder=0)
    gauge.line([limit, limit], [-0.25, 1.25], color=style.RED, lw=2, clip=False)
    marks = (("healthy", "o", style.BLUE, {"va": "bottom", "weight": ""}, 1.35),
             ("yours", "D", style.RED if bad else style.BLACK, {"va": "top", "weight": "bold"}, -0.4))  # fmt: skip
    for value, (word, marker, ink, look, y) in zip(result.signs, marks, strict=True):
        x = float(exhibit.scale(value))
        gauge.points(x, 0.5, marker=marker, mfc=ink, ms=11, mec=style.PAPER, clip=False, zorder=4)
        side = "left" if x < 0.15 else "right" if x > 0.85 else "center"
        gauge.text(x, y, f"{word} {exhibit.form.format(value)}", size=8.5, ha=side, **look)

    verdict, ink = ("✖  The sign is there.", style.RED) if bad else ("✓  The sign is not there.", style.INK)
    paper.text(0.62, 0.262, verdict, size=10, weight="bold", color=ink)
    for y, word, sentence in ((0.20, "You see", exhibit.seen), (0.105, "To do", exhibit.do)):
        paper.text(0.62, y, word, size=8.5, color=style.QUIET, va="center")
        paper.text(0.685, y, sentence, size=8.5, va="center")


def describe(result):
    """The sign in both, and what the library and the equations say beside it."""
    exhibit = EXHIBITS[result.name]
    healthy, yours = (exhibit.form.format(value) for value in result.signs)
    sane, broken = (exhibit.in_words(**setting) for setting in result.settings)
    there = "The sign is there" if exhibit.there(result.signs[1]) else "The sign is not there"
    words = f"{exhibit.headline}. {there}: {exhibit.sign} is {healthy} ({sane}), and {yours} ({broken})."
    words += f" {exhibit.seen} {exhibit.do}".replace("\n", " ")
    if said := getattr(result.views[1], "refusal", ""):
        words += f" The library says: {said}."
    numbers = {"sign, healthy": healthy, "sign, yours": yours}
    for name, number in exhibit.beside.items():
        numbers[f"{name} (healthy → yours)"] = " → ".join(map(number, result.views))
    return words, numbers


def panel(exhibit="one on the diagonal", **start):
    """The museum, opened at an exhibit (a key of EXHIBITS) with its broken settings; `start` sets controls."""
    if exhibit not in EXHIBITS:
        raise BadInput(f"exhibit: expected one of {', '.join(map(repr, EXHIBITS))}, found {exhibit!r}")
    opening = {name: value for one in EXHIBITS.values() for name, value in one.broken.items()}
    controls = {
        "exhibit": choice("exhibit", list(EXHIBITS), exhibit),
        "diagonal": slider("diagonal of G (cost)", opening["diagonal"], 0.0, 1.0, 0.05),
        "spread": steps("spread of the features", [(fraction(s), s) for s in SPREADS], opening["spread"]),
        "fresh": switch("the bank had no update yet (zeros)", opening["fresh"]),
        "share": slider("class 4 is (part of all)", opening["share"], 0.0, 0.25, 0.01),
        "absent": choice("an absent class", exhibits.RULES, opening["absent"]),
        "tau_low": slider("τ_low", opening["tau_low"], 0.5, 0.95, 0.01),
        "tau_high": slider("τ_high", opening["tau_high"], 0.5, 0.95, 0.01),
        "rate": steps("learning rate", exhibits.RATES, opening["rate"]),
    }

    def bring(change):
        for name in opening:
            controls[name].layout.display = None if name in EXHIBITS[change["new"]].broken else "none"

    bring({"new": exhibit})
    controls["exhibit"].observe(bring, "value")
    museum = Panel("failure museum", controls, compute, draw, describe, layout=[list(controls)], size=(9.4, 4.6),
                   start=start)  # fmt: skip
    museum.boxes[0].children, museum.more.layout.display = tuple(controls.values()), "none"  # at most two at a time
    return museum
