"""The failure museum: the method broken on purpose, each time beside a healthy one, with the sign that gives it away.

An exhibit runs one function of `exhibits.py` twice, with sane settings and with the learner's. The `Sign` says from
where on the number it returns is bad, and why there.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import exhibits
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider, steps, switch
from i2pemd_lite.panels.exhibits import BLOBS, CENTRES, POINT, RARE, RIGHT, SETTLED, SPREADS, STEPS, TRAINING, WRONG, K

P = exhibits.P.numpy()
BOTTOM, HEIGHT = 0.455, 0.36  # of the pictures, in parts of the figure


class Sign(NamedTuple):
    """A number to watch in a training of one's own, and from where on it is bad."""

    name: str
    limit: float
    limit_in_words: str
    above: bool  # whether it is bad above the limit, or below
    reason: str  # for the limit
    scale: Callable  # the number -> its place on a gauge from 0 to 1
    form: str = "{:.0f}"

    def there(self, value):
        """Whether a value gives the failure away."""
        return value > self.limit if self.above else value < self.limit


class Exhibit(NamedTuple):
    """A failure on show."""

    headline: str
    view: Callable  # setting -> what is drawn, with its `sign`
    sane: dict  # the values of its controls that work; those it does not name stay the learner's
    broken: dict  # the values it opens with
    in_words: Callable  # setting -> the setting in a few words
    picture: Callable  # `picture(plane, view)` draws the healthy view, and the learner's
    places: tuple  # (left, width) of these two pictures, and of the chart
    sign: Sign
    seen: str  # how the sign shows in a training
    do: str
    beside: dict  # further numbers: name -> (view -> words)
    chart: Callable | None = None  # `chart(plane, healthy, yours)` draws both together


def hill(plane, view):
    """A hill to roll down: arrows are steps of the gradient."""
    at = np.arange(14, 80, 15)  # of `P`, where arrows start
    plane.look(xlim=(0, 1.04), ylim=(0, 1.19), xlabel="probability pₖ of the true class", ylabel="I2PEMD")
    plane.line(P, view.cost, color=style.BLACK, lw=1.6)
    start, cost = P[at], view.cost[at]
    # With 0.5 the longest step, pₖ (1 − pₖ) = 1/4, ends before the next one begins.
    along = 0.5 * view.push[at]
    steps = np.c_[along, np.interp(start + along, P, view.cost) - cost]
    look = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.014, "color": style.BLUE, "zorder": 3}
    plane.arrows(np.c_[start, cost], steps, **look)
    plane.points(WRONG, view.wrong, marker="X", ms=10, mfc=style.RED, mec=style.CARD, zorder=4)
    plane.points(RIGHT, view.sign, marker="o", ms=10, mfc=style.BLACK, mec=style.CARD, zorder=4)
    plane.text(WRONG - 0.02, view.wrong + 0.09, f"wrong: {view.wrong:.2f}", size=8.5, ha="left")
    plane.text(RIGHT + 0.09, view.sign + 0.11, f"right: {view.sign:.2f}", size=8.5, ha="right")
    flat = np.abs(view.push).max() < 1e-9
    words = "flat: no gradient anywhere" if flat else "→  steps of the gradient"
    plane.text(0.52, 0.84, words, size=8.5, color=style.BLUE)


def named(plane, prototypes, away, far):
    """Prototypes with names that stand off to the outside, so that several in one point can still be told apart."""
    plane.points(*prototypes.T, ms=8, **style.PROTOTYPE)
    away = far * away / np.linalg.norm(away, axis=1, keepdims=True)
    for k, place in enumerate(prototypes + away):
        plane.text(*place, f"c{style.subscript(k + 1)}", weight="bold", ha="center", va="center")


def collapse(plane, view):
    """A plane of features that are drawn together, and their prototypes."""
    plane.look(xlim=(-1.2, 7.6), ylim=(-2.0, 5.9), xticks=[], yticks=[])
    plane.points(*view.features.T, ms=3, alpha=0.5, **style.SOURCE)
    plane.text(-1.0, -1.75, "○ features   ◆ prototypes", size=8, color=style.QUIET, still=True)
    named(plane, view.prototypes, (CENTRES - POINT).numpy(), 0.75)


def collapse_chart(plane, healthy, yours):
    """What G and g say of every spread."""
    views = [exhibits.collapsed(spread, False) for spread in SPREADS]
    plane.look(xlim=(-0.4, len(SPREADS) - 0.4), ylim=(0, 2.0), xlabel="spread of the features",
               xticks=[0, 2, 4, 6, 8, 11], xticklabels=["1", "1/4", "1/16", "1/64", "1/256", "0"],
               title="What G tells of it, and what g tells")  # fmt: skip
    steps = range(len(SPREADS))
    plane.line(steps, [view.price for view in views], color=style.BLACK, lw=1.6, still=True)
    plane.line(steps, [view.sign for view in views], color=style.BLUE, lw=1.6, ls="--", still=True)
    plane.text(2.3, 0.56, "mean of G", size=8.5, still=True)
    plane.text(1.25, 1.2, "largest g ÷ size", size=8.5, color=style.BLUE, still=True)
    x = SPREADS.index(yours.spread)
    plane.line([x, x], [0, 2.0], color=style.QUIET, lw=1, ls=":", zorder=1)
    look = {"marker": "o", "ms": 7, "mfc": style.RED, "mec": style.CARD, "zorder": 4, "clip_on": False}
    plane.points([x, x], [yours.price, yours.sign], **look)


def absent(plane, view):
    """A run: how far the rare prototype is from its class, and below which batches hold the class."""
    plane.look(xlim=(0, STEPS + 1), ylim=(-1.5, 8.8), xlabel="step", yticks=(0, 2, 4, 6, 8), ylabel="c₄ from its class")
    far = float(CENTRES[RARE].norm())
    plane.line([0, STEPS + 1], [far, far], color=style.LINE, lw=1, ls="--", still=True)
    look = {"size": 8, "color": style.QUIET, "va": "center"}
    plane.text(STEPS + 1, 8.3, "as far as zero is", ha="right", still=True, **look)
    plane.line(np.arange(1, STEPS + 1), view.error, color=style.BLACK, lw=1.5, marker="D", ms=3.5)
    present = np.flatnonzero(view.present[:, RARE]) + 1
    plane.points(present, np.full(len(present), -0.95), marker="|", ms=9, mew=2, color=style.BLUE)
    plane.text(0.6, 8.3, "▏ class 4 is in this batch", still=True, **{**look, "color": style.BLUE})
    if (gone := np.flatnonzero(np.isnan(view.error))[:1]).size:
        last = view.error[gone - 1] if gone[0] else 0.0
        plane.points(gone + 1, last, marker="X", ms=11, mfc=style.RED, mec=style.CARD, zorder=4)
        words = f"not a number (NaN)\nfrom step {gone[0] + 1} on, for ever"
        plane.text(0.8, 4.0, words, size=9, weight="bold", color=style.RED)


def thresholds(plane, view):
    """A batch: confidence against distance, with the band shaded, or what stands in its place."""
    top, (low, high) = 0.42, view.thresholds
    plane.look(xlim=(0.3, 1.12), ylim=(0, 1.25 * top), xlabel="confidence s", ylabel="I2PEMD d")
    words = "★ in by I2PEMD\n● in by s > τ_high\n○ out"
    plane.text(0.31, 0.015, words, size=7.5, color=style.QUIET, still=True)
    plane.rect(low, 0, max(high - low, 0), 1.12 * top, facecolor="#e6dcc3", lw=0, zorder=0)
    crossed = {"facecolor": "none", "edgecolor": style.RED, "hatch": "///", "zorder": 0}
    plane.rect(high, 0, max(low - high, 0), 1.12 * top, **crossed)
    for tau, ls in ((low, "--"), (high, "-")):
        plane.line([tau, tau], [0, 1.12 * top], color=style.INK, lw=1, ls=ls)
    full = {"mfc": style.BLACK, "mec": style.CARD, "zorder": 3}
    sets = (
        (~(view.low | view.high), {"marker": "o", "mfc": style.CARD, "mec": style.QUIET, "ms": 5.5, "zorder": 3}),
        (view.high, {"marker": "o", "ms": 6.5, **full}),
        (view.low & ~view.high, {"marker": "*", "ms": 12, **full}),
    )
    for members, look in sets:
        plane.points(view.scores[members], view.distances[members], **look)
    left, right = ("right", "left") if low <= high else ("left", "right")  # a name stands outside of the band
    plane.text(low, 1.18 * top, f" τ_low {low:.2f} ", size=8, va="center", ha=left)
    plane.text(high, 1.18 * top, f" τ_high {high:.2f} ", size=8, va="center", ha=right)
    plate = {"facecolor": style.CARD, "edgecolor": "none", "pad": 2}  # against hatching and lines behind it
    words = "no\nband" if low >= high else "band"
    plane.text((low + high) / 2, 1.06 * top, words, size=8.5, weight="bold", ha="center", va="top", bbox=plate)


def ways(plane, view):
    """A plane with the ways of the prototypes in a training."""
    plane.look(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), xticks=[], yticks=[])
    for k in range(K):
        plane.line(*view.path[:, k].T, color=style.QUIET, lw=0.9, marker=".", ms=3)
    named(plane, view.path[-1], BLOBS.numpy(), 0.3)


def loss_chart(plane, *views):
    """The losses of both trainings, and the steps in which G changed."""
    floor = 0.02  # of the losses drawn: a saturated network has almost none on one batch and a huge one on the next
    low, high, *ticks = np.log10([0.0015, 60, floor, 0.1, 1, 10])
    plane.look(xlim=(0, TRAINING + 1), ylim=(low, high), xlabel="step", yticks=ticks,
               yticklabels=[f"≤ {floor}", "0.1", "1", "10"],
               title="Loss   ─ yours   ╌ healthy   ┈ guessing")  # fmt: skip
    plane.text(TRAINING + 1, -2.12, "▏ G changed in this step", ha="right", size=8, color=style.QUIET, still=True)
    step = np.arange(1, TRAINING + 1)
    plane.line(step, np.log10(views[1].guess), color=style.QUIET, lw=1, ls=":")
    for view, ink, ls, height in zip(views, (style.BLUE, style.RED), ("--", "-"), (-2.35, -2.6), strict=True):
        plane.line(step, np.log10(np.maximum(view.loss, floor)), lw=1.4, color=ink, ls=ls)
        plane.points(step[view.flips], np.full(view.flips.sum(), height), marker="|", ms=6, mew=1, color=ink)


EXHIBITS = {
    "one on the diagonal": Exhibit(
        "G with ones on its diagonal: being right costs as much as being wrong",
        exhibits.diagonal_of_one, sane={"diagonal": 0.0}, broken={"diagonal": 1.0},
        in_words=lambda diagonal: f"diagonal of G {diagonal:.2f}",
        picture=hill, places=((0.075, 0.415), (0.555, 0.415)),
        sign=Sign(
            f"I2PEMD of a right prediction (pₖ = {RIGHT})", 0.1, "0.1", above=True,
            reason="with zeros on the diagonal it is at most (1 − pₖ) max G = 0.05; twice that leaves no doubt",
            scale=lambda cost: cost, form="{:.2f}",
        ),
        seen="I2PEMD stays high while the network gets\nbetter, and pushes nothing.",
        do="Keep zeros on the diagonal of G:\nfixed_ground_distance(K) is 1 − I.",
        beside={
            "I2PEMD of a wrong prediction": lambda view: f"{view.wrong:.2f}",
            "largest gradient": lambda view: f"{abs(view.push).max():.3f}",
        },
    ),
    "collapsed prototypes": Exhibit(
        "Prototypes drawn into one point: the ranks hide it to the last, then G is zero",
        exhibits.collapsed, sane={"spread": 1.0, "fresh": False}, broken={"spread": 2**-8, "fresh": False},
        in_words=lambda spread, fresh: "a bank of zeros" if fresh else f"spread {fraction(spread)}",
        picture=collapse, places=((0.03, 0.29), (0.36, 0.29), (0.725, 0.255)), chart=collapse_chart,
        sign=Sign(
            "largest g ÷ mean size ‖c‖₁ of a prototype", 2**-7, "1/128", above=False,
            reason="bfloat16 has 8 bits: features that differ by less than 1/128 of their size are rounded to the same "
            "number",
            scale=lambda ratio: np.clip(1 + np.log2(max(ratio, 1e-9) / 2) / 12, 0, 1), form="{:.4f}",
        ),
        seen="G and the loss look as always while g shrinks;\nin the end both are exactly 0.",
        do="Log g, not G alone. Look for dead features;\nupdate the bank before you use its G.",
        beside={
            "mean of G": lambda view: f"{view.price:.3f}",
            "I2PEMD of guessing": lambda view: f"{view.loss:.3f}",
            "all classes seen": lambda view: "yes" if view.ready else "no",
        },
    ),
    "a batch without a class": Exhibit(
        "A batch without class 4: what to do with the mean of nothing",
        lambda share, absent: exhibits.class_absent(share, exhibits.RULES[absent]),
        sane={"absent": "keeps its prototype (ours)"}, broken={"share": 0.04, "absent": "gets a mean of zero"},
        in_words=lambda share, absent: f"the class {absent.removesuffix(' (ours)')}",
        picture=absent, places=((0.065, 0.425), (0.555, 0.425)),
        sign=Sign(
            "updates of a class that was not in the batch", 0, "0", above=True,
            reason="Eq. 10 and 11 have none for N_k = 0", scale=lambda count: count / (1.5 * STEPS),
        ),
        seen="A prototype moves or turns NaN in a step\nthat shows no instance of its class.",
        do="Divide only where N_k > 0, and let the others\nkeep what they have. Log the age of each.",
        beside={
            "farthest from its class": lambda view: f"{view.error.max():.2f}".replace("nan", "not a number"),
            "longest without an update": lambda view: f"{view.age} step{'s' * (view.age != 1)}",
        },
    ),
    "thresholds crossed": Exhibit(
        "τ_low above τ_high: I2PEMD has nobody left to decide about",
        exhibits.thresholds_crossed, sane={"tau_low": 0.7, "tau_high": 0.8}, broken={"tau_low": 0.8, "tau_high": 0.7},
        in_words=lambda tau_low, tau_high: "τ_low < τ_high" if tau_low < tau_high else "τ_low ≥ τ_high",
        picture=thresholds, places=((0.065, 0.425), (0.555, 0.425)),
        sign=Sign(
            f"samples with τ_low < s ≤ τ_high, of {exhibits.UNLABELLED} in a batch", 1, "1", above=False,
            reason="about all others the thresholds alone decide", scale=lambda count: min(count / 20, 1),
        ),
        seen="Nobody is let in by I2PEMD (★): all are\nchosen by s > τ_high alone, unasked.",
        do="Keep τ_low < τ_high; select() refuses all else.\nCount the band in each batch.",
        beside={
            "let in by I2PEMD": lambda view: f"{(view.low & ~view.high).sum()}",
            "chosen in all": lambda view: f"{(view.low | view.high).sum()}",
        },
    ),
    "learning rate too high": Exhibit(
        "A learning rate too high: the loss jumps, prototypes are thrown about",
        exhibits.rate_too_high, sane={"rate": 0.1}, broken={"rate": 10.0},
        in_words=lambda rate: f"learning rate {rate:g}",
        picture=ways, places=((0.03, 0.27), (0.335, 0.27), (0.68, 0.30)), chart=loss_chart,
        sign=Sign(
            "steps with a loss above that of guessing", 5, "5 %", above=True,
            reason=f"who learns is below it after {SETTLED} steps; one in twenty is allowed to an unlucky batch",
            scale=lambda percent: percent / 100, form="{:.0f} %",
        ),
        seen="Now and then the loss is above that of\nequal probabilities for all classes.",
        do="Divide the learning rate by 3 until it stays\nbelow. G flips in healthy runs too.",
        beside={
            "largest loss after step 20": lambda view: f"{view.loss[SETTLED:].max():.2f}",
            "steps in which G changed": lambda view: f"{view.flips.sum()}",
        },
    ),
}  # fmt: skip


def fraction(spread):
    """A power of two as a fraction."""
    return f"{spread:g}" if spread in (0, 1) else f"1/{1 / spread:g}"


class Result(NamedTuple):
    """The two settings of an exhibit, sane and the learner's, and what they lead to."""

    name: str
    settings: tuple
    views: tuple

    @property
    def signs(self):
        """The sign of the healthy one and of the learner's."""
        return tuple(view.sign for view in self.views)


def compute(state):
    """An exhibit under sane settings and under those of the state: exhibit, and the controls that it names."""
    exhibit = EXHIBITS[state["exhibit"]]
    yours = {name: state[name] for name in exhibit.broken}
    settings = {**yours, **exhibit.sane}, yours
    return Result(state["exhibit"], settings, tuple(exhibit.view(**setting) for setting in settings))


def draw(card, result):
    """Above the healthy one beside the learner's, on the same axes; below the sign on a gauge, and what to do."""
    exhibit, sign = EXHIBITS[result.name], EXHIBITS[result.name].sign
    planes = [card.plane(f"{result.name} {n}", [left, BOTTOM, width, HEIGHT]) for n, (left, width) in
              enumerate(exhibit.places)]  # fmt: skip
    for plane, view in zip(planes, result.views, strict=False):
        exhibit.picture(plane, view)
    if exhibit.chart:
        exhibit.chart(planes[2], *result.views)
    there = sign.there(result.signs[1])
    ink, mark = (style.RED, "✖") if there else (style.INK, "✓")
    titles = ("✓  healthy:  ", style.INK), (f"{mark}  yours:  ", ink)
    bold, paper = {"weight": "bold"}, card.paper
    paper.text(0.02, 0.945, exhibit.headline, size=11, **bold)
    for (words, colour), (left, _), setting in zip(titles, exhibit.places, result.settings, strict=False):
        paper.text(left, 0.845, words + exhibit.in_words(**setting), size=9.5, color=colour, **bold)
    paper.rect(0.0, 0.0, 1, 0.315, color="#e9e6dc", lw=0, zorder=-1, still=True)
    paper.text(0.02, 0.262, f"The sign to watch: {sign.name}", size=9.5, **bold)
    _gauge(card, sign, result.signs, style.RED if there else style.BLACK)
    where = "above" if sign.above else "below"
    paper.text(0.02, 0.02, f"bad {where} {sign.limit_in_words}: {sign.reason}", size=7.5, color=style.QUIET)
    words = "The sign is there." if there else "The sign is not there."
    paper.text(0.62, 0.262, f"{mark}  {words}", size=10, color=ink, **bold)
    for y, word, words in ((0.20, "You see", exhibit.seen), (0.105, "To do", exhibit.do)):
        paper.text(0.62, y, word, size=8.5, color=style.QUIET, va="center", still=True)
        paper.text(0.685, y, words, size=8.5, va="center")


def _gauge(card, sign, values, ink):
    """The gauge, with its bad part shaded, and the values of the healthy one and of the learner's on it."""
    gauge = card.plane("gauge", [0.02, 0.125, 0.56, 0.052], _frame, xlim=(0, 1), ylim=(0, 1))
    limit = float(sign.scale(sign.limit))
    left, right = (limit, 1) if sign.above else (0, limit)
    gauge.rect(left, 0, right - left, 1, fc="#f3d9d5", ec=style.RED, hatch="////", lw=0, zorder=0)
    gauge.line([limit, limit], [-0.25, 1.25], color=style.RED, lw=2, clip_on=False)
    rows = (
        ("healthy", {"marker": "o", "mfc": style.BLUE}, {"y": 1.35, "va": "bottom", "weight": "normal"}),
        ("yours", {"marker": "D", "mfc": ink}, {"y": -0.4, "va": "top", "weight": "bold"}),
    )
    for value, (word, mark, text) in zip(values, rows, strict=True):
        x = float(sign.scale(value))
        gauge.points(x, 0.5, ms=9, mec=style.CARD, clip_on=False, zorder=4, **mark)
        side = "left" if x < 0.15 else "right" if x > 0.85 else "center"
        gauge.text(x, text.pop("y"), f"{word} {sign.form.format(value)}", size=8.5, ha=side, clip_on=False, **text)


def _frame(axes):
    style.blank(axes).spines[:].set_visible(True)
    axes.set_facecolor("none")


def describe(result):
    """The sign in both, and what the library and the equations say beside it."""
    exhibit, sign = EXHIBITS[result.name], EXHIBITS[result.name].sign
    healthy, yours = (sign.form.format(value) for value in result.signs)
    sane, broken = (exhibit.in_words(**setting) for setting in result.settings)
    there = "The sign is there" if sign.there(result.signs[1]) else "The sign is not there"
    words = f"{exhibit.headline}. {there}: {sign.name} is {healthy} ({sane}), and {yours} ({broken})."
    words += f" {exhibit.seen} {exhibit.do}".replace("\n", " ")
    if getattr(result.views[1], "refusal", ""):
        words += f" The library says: {result.views[1].refusal}."
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
        "diagonal": slider("diagonal of G (cost)", opening["diagonal"], 0.0, 1.0, 0.05, width="380px"),
        "spread": steps("spread of the features", [(fraction(s), s) for s in SPREADS], opening["spread"], "340px"),
        "fresh": switch("the bank had no update yet (zeros)", opening["fresh"]),
        "share": slider("class 4 is (part of all)", opening["share"], 0.0, 0.25, 0.01),
        "absent": choice("an absent class", list(exhibits.RULES), opening["absent"], "330px"),
        "tau_low": slider("τ_low", opening["tau_low"], 0.5, 0.95, 0.01),
        "tau_high": slider("τ_high", opening["tau_high"], 0.5, 0.95, 0.01),
        "rate": steps("learning rate", exhibits.RATES, opening["rate"], "340px"),
    }

    def bring(change):
        for one, item in EXHIBITS.items():
            for name in item.broken:
                control = controls[name]
                getattr(control, "shown", control).layout.display = None if one == change["new"] else "none"

    bring({"new": exhibit})
    controls["exhibit"].observe(bring, "value")
    return Panel(
        "failure museum", controls, compute, draw, describe, layout=[list(controls)], size=(9.4, 4.6), start=start
    )
