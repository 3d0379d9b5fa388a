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
from i2pemd_lite.panels.exhibits import BLOBS, CENTRES, POINT, RARE, RIGHT, SPREADS, STEPS, TRAINING, WRONG, K

P = exhibits.P.numpy()
PICTURES = 0.455, 0.36  # bottom and height of the pictures, in parts of the figure
CENTRED = {"ha": "center", "va": "center"}


class Sign(NamedTuple):
    """A number to watch in a training of one's own, and from where on it is bad."""

    name: str
    limit: float
    above: bool  # whether it is bad above the limit, or below
    reason: str  # for the limit
    scale: Callable  # the number -> its place on a gauge from 0 to 1
    form: str = "{:.2f}"

    def there(self, value):
        """Whether a value gives the failure away.

        Example
        -------
        >>> COST.there(1.0), COST.there(0.05), BAND.there(0), BAND.there(9)
        (True, False, True, False)
        """
        return value > self.limit if self.above else value < self.limit


COST = Sign(
    f"I2PEMD of a right prediction (pₖ = {RIGHT})",
    0.1,
    True,
    "with zeros on the diagonal it is at most (1 − pₖ) max G = 0.05; twice that leaves no doubt",
    lambda cost: cost,
)
SPREAD = Sign(
    "largest g ÷ mean size ‖c‖₁ of a prototype",
    2**-7,
    False,
    "bfloat16 has 8 bits: features that differ by less than 1/128 of their size are rounded to the same number",
    lambda ratio: np.clip(1 + np.log2(max(ratio, 1e-9) / 2) / 12, 0, 1),
    "{:.4f}",
)
MOVED = Sign(
    "updates of a class that was not in the batch",
    0,
    True,
    "Eq. 10 and 11 have none for N_k = 0",
    lambda count: count / (1.5 * STEPS),
    "{:.0f}",
)
BAND = Sign(
    f"samples with τ_low < s ≤ τ_high, of {exhibits.UNLABELLED} in a batch",
    1,
    False,
    "about all others the thresholds alone decide",
    lambda count: min(count / 20, 1),
    "{:.0f}",
)
GUESS = Sign(
    "steps with a loss above that of guessing",
    5,
    True,
    f"who learns is below it after {exhibits.SETTLED} steps; one in twenty is allowed to an unlucky batch",
    lambda percent: percent / 100,
    "{:.0f} %",
)


def halves(figure, *places):
    """Axes at (left, width) for the healthy picture and for the learner's."""
    return [figure.add_axes([left, PICTURES[0], width, PICTURES[1]]) for left, width in places]


class HillCard:
    """Two hills to roll down: arrows are steps of the gradient."""

    at = np.arange(14, 80, 15)  # of `P`, where arrows start

    def __init__(self, figure):
        self.axes = halves(figure, [0.075, 0.415], [0.555, 0.415])
        self.hills = []
        for axes in self.axes:
            axes.set(xlim=(0, 1.04), ylim=(0, 1.19), xlabel="probability pₖ of the true class")
            axes.set_ylabel("I2PEMD")
            line = axes.plot([], [], color=style.BLACK, lw=1.6)[0]
            look = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.014, "color": style.BLUE, "zorder": 3}
            zero = np.zeros(len(self.at))
            arrows = axes.quiver(P[self.at], zero, zero, zero, **look)
            wrong = axes.plot([], [], ls="", marker="X", ms=10, mfc=style.RED, mec=style.CARD, zorder=4)[0]
            right = axes.plot([], [], ls="", marker="o", ms=10, mfc=style.BLACK, mec=style.CARD, zorder=4)[0]
            words = [axes.text(0, 0, "", size=8.5) for _ in range(3)]
            words[2].set_color(style.BLUE)
            self.hills.append((line, arrows, wrong, right, words))

    def show(self, *views):
        for view, (line, arrows, wrong, right, words) in zip(views, self.hills, strict=True):
            line.set_data(P, view.cost)
            arrows.set_offsets(np.c_[P[self.at], view.cost[self.at]])
            # With 0.5 the longest step, pₖ (1 − pₖ) = 1/4, ends before the next one begins.
            along = 0.5 * view.push[self.at]
            arrows.set_UVC(along, np.interp(P[self.at] + along, P, view.cost) - view.cost[self.at])
            wrong.set_data([WRONG], [view.wrong])
            right.set_data([RIGHT], [view.sign])
            words[0].set(text=f"wrong: {view.wrong:.2f}", position=(WRONG - 0.02, view.wrong + 0.09))
            words[1].set(text=f"right: {view.sign:.2f}", position=(RIGHT + 0.09, view.sign + 0.11), ha="right")
            flat = np.abs(view.push).max() < 1e-9
            words[2].set_position((0.52, 0.84))
            words[2].set_text("flat: no gradient anywhere" if flat else "→  steps of the gradient")


class CollapseCard:
    """Two planes of features, and what G and g say of every spread."""

    # Names stand off from their prototypes to the outside, so that four in one point can still be told apart.
    away = (CENTRES - POINT).numpy() / np.linalg.norm(CENTRES - POINT, axis=1, keepdims=True)

    def __init__(self, figure):
        planes = halves(figure, [0.03, 0.29], [0.36, 0.29])
        self.planes = []
        for axes in planes:
            axes.set(xlim=(-1.2, 7.6), ylim=(-2.0, 5.9), xticks=[], yticks=[])
            points = axes.plot([], [], ls="", ms=3, alpha=0.5, **style.SOURCE)[0]
            now = axes.plot([], [], ls="", ms=8, **style.PROTOTYPE)[0]
            axes.text(-1.0, -1.75, "○ features   ◆ prototypes", size=8, color=style.QUIET)
            self.planes.append((points, now, [axes.text(0, 0, "", weight="bold", **CENTRED) for _ in range(K)]))
        chart = figure.add_axes([0.725, PICTURES[0], 0.255, PICTURES[1]])
        known = [exhibits.collapsed(spread, False) for spread in SPREADS]
        chart.set(xlim=(-0.4, len(SPREADS) - 0.4), ylim=(0, 2.0), title="What G tells of it, and what g tells")
        chart.set_xticks([0, 2, 4, 6, 8, 11], ["1", "1/4", "1/16", "1/64", "1/256", "0"])
        chart.set_xlabel("spread of the features")
        chart.plot([view.price for view in known], color=style.BLACK, lw=1.6)
        chart.plot([view.sign for view in known], color=style.BLUE, lw=1.6, ls="--")
        chart.text(2.3, 0.56, "mean of G", size=8.5)
        chart.text(1.25, 1.2, "largest g ÷ size", size=8.5, color=style.BLUE)
        self.here = chart.plot([], [], color=style.QUIET, lw=1, ls=":", zorder=1)[0]
        look = {"marker": "o", "ms": 7, "mfc": style.RED, "mec": style.CARD, "zorder": 4, "clip_on": False}
        self.marks = chart.plot([], [], ls="", **look)[0]
        self.axes = [*planes, chart]

    def show(self, healthy, yours):
        for view, (points, now, names) in zip((healthy, yours), self.planes, strict=True):
            points.set_data(*view.features.T)
            now.set_data(*view.prototypes.T)
            for k, (name, at) in enumerate(zip(names, view.prototypes + 0.75 * self.away, strict=True)):
                name.set(text=f"c{style.subscript(k + 1)}", position=at)
        x = SPREADS.index(yours.spread)
        self.here.set_data([x, x], [0, 2.0])
        self.marks.set_data([x, x], [yours.price, yours.sign])


class AbsentCard:
    """Two runs: how far the rare prototype is from its class, and below which batches hold the class."""

    far = float(CENTRES[RARE].norm())

    def __init__(self, figure):
        self.axes = halves(figure, [0.065, 0.425], [0.555, 0.425])
        self.runs = []
        for axes in self.axes:
            axes.set(xlim=(0, STEPS + 1), ylim=(-1.5, 8.8), xlabel="step", yticks=(0, 2, 4, 6, 8))
            axes.set_ylabel("c₄ from its class")
            axes.axhline(self.far, color=style.LINE, lw=1, ls="--")
            axes.text(STEPS + 1, 8.3, "as far as zero is", ha="right", va="center", size=8, color=style.QUIET)
            line = axes.plot([], [], color=style.BLACK, lw=1.5, marker="D", ms=3.5)[0]
            lost = axes.plot([], [], ls="", marker="X", ms=11, mfc=style.RED, mec=style.CARD, zorder=4)[0]
            tick = axes.plot([], [], ls="", marker="|", ms=9, mew=2, color=style.BLUE)[0]
            words = axes.text(0.8, 4.0, "", size=9, weight="bold", color=style.RED)
            axes.text(0.6, 8.3, "▏ class 4 is in this batch", size=8, color=style.BLUE, va="center")
            self.runs.append((line, lost, tick, words))

    def show(self, *views):
        for view, (line, lost, tick, words) in zip(views, self.runs, strict=True):
            line.set_data(np.arange(1, STEPS + 1), view.error)
            gone = np.flatnonzero(np.isnan(view.error))[:1]
            lost.set_data(gone + 1, view.error[gone - 1] if gone.size and gone[0] else 0.0 * gone)
            here = np.flatnonzero(view.present[:, RARE]) + 1
            tick.set_data(here, np.full(len(here), -0.95))
            words.set_text(f"not a number (NaN)\nfrom step {gone[0] + 1} on, for ever" if gone.size else "")


class ThresholdCard:
    """Two batches: confidence against distance, with the band shaded, or what stands in its place."""

    top = 0.42

    def __init__(self, figure):
        from matplotlib.patches import Rectangle

        self.axes = halves(figure, [0.065, 0.425], [0.555, 0.425])
        self.batches = []
        for axes in self.axes:
            axes.set(xlim=(0.3, 1.12), ylim=(0, 1.25 * self.top), xlabel="confidence s")
            axes.set_ylabel("I2PEMD d")
            axes.text(0.31, 0.015, "★ in by I2PEMD\n● in by s > τ_high\n○ out", size=7.5, color=style.QUIET)
            looks = {"facecolor": "#e6dcc3", "lw": 0}, {"facecolor": "none", "edgecolor": style.RED, "hatch": "///"}
            shades = [axes.add_patch(Rectangle((0, 0), 1, 1, zorder=0, **look)) for look in looks]
            lines = [axes.plot([], [], color=style.INK, lw=1, ls=ls)[0] for ls in ("--", "-")]
            marks = {
                "out": {"marker": "o", "mfc": style.CARD, "mec": style.QUIET, "ms": 5.5},
                "high": {"marker": "o", "mfc": style.BLACK, "mec": style.CARD, "ms": 6.5},
                "low": {"marker": "*", "mfc": style.BLACK, "mec": style.CARD, "ms": 12},
            }
            marks = {name: axes.plot([], [], ls="", zorder=3, **look)[0] for name, look in marks.items()}
            names = [axes.text(0, 1.18 * self.top, "", size=8, va="center") for _ in range(2)]
            plate = {"facecolor": style.CARD, "edgecolor": "none", "pad": 2}  # against hatching and lines behind it
            words = axes.text(0, 1.06 * self.top, "", size=8.5, weight="bold", ha="center", va="top", bbox=plate)
            self.batches.append((shades, lines, marks, names, words))

    def show(self, *views):
        for view, (shades, lines, marks, names, words) in zip(views, self.batches, strict=True):
            low, high = view.thresholds
            shades[0].set_bounds(low, 0, max(high - low, 0), 1.12 * self.top)
            shades[1].set_bounds(high, 0, max(low - high, 0), 1.12 * self.top)
            for line, name, tau, word in zip(lines, names, view.thresholds, ("τ_low", "τ_high"), strict=True):
                line.set_data([tau, tau], [0, 1.12 * self.top])
                left = (word == "τ_low") == (low <= high)
                name.set(text=f" {word} {tau:.2f} ", x=tau, ha="right" if left else "left")
            words.set(text="no\nband" if low >= high else "band", x=(low + high) / 2)
            sets = {"out": ~(view.low | view.high), "high": view.high, "low": view.low & ~view.high}
            for kind, members in sets.items():
                marks[kind].set_data(view.scores[members], view.distances[members])


class TrainingCard:
    """Two planes with the ways of the prototypes, and both losses."""

    floor = 0.02  # of the losses drawn: a saturated network has almost none on one batch and a huge one on the next
    # As in `CollapseCard`, so that prototypes thrown together keep their names apart.
    away = 0.3 * BLOBS.numpy() / np.linalg.norm(BLOBS, axis=1, keepdims=True)

    def __init__(self, figure):
        planes = halves(figure, [0.03, 0.27], [0.335, 0.27])
        self.planes = []
        for axes in planes:
            axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), xticks=[], yticks=[])
            ways = [axes.plot([], [], color=style.QUIET, lw=0.9, marker=".", ms=3)[0] for _ in range(K)]
            now = axes.plot([], [], ls="", ms=8, **style.PROTOTYPE)[0]
            names = [axes.text(0, 0, "", weight="bold", **CENTRED) for _ in range(K)]
            self.planes.append((ways, now, names))
        chart = figure.add_axes([0.68, PICTURES[0], 0.30, PICTURES[1]])
        chart.set(xlim=(0, TRAINING + 1), yscale="log", ylim=(0.0015, 60), xlabel="step")
        chart.set_title("Loss   ─ yours   ╌ healthy   ┈ guessing")
        chart.text(TRAINING + 1, 0.0075, "▏ G changed in this step", ha="right", size=8, color=style.QUIET)
        chart.set_yticks([self.floor, 0.1, 1, 10], [f"≤ {self.floor}", "0.1", "1", "10"])
        chart.minorticks_off()
        self.guess = chart.plot([], [], color=style.QUIET, lw=1, ls=":")[0]
        looks = {"color": style.BLUE, "ls": "--"}, {"color": style.RED, "ls": "-"}
        self.losses = [chart.plot([], [], lw=1.4, **look)[0] for look in looks]
        self.flips = [chart.plot([], [], ls="", marker="|", ms=6, mew=1, color=look["color"])[0] for look in looks]
        self.axes = [*planes, chart]

    def show(self, healthy, yours):
        step = np.arange(1, TRAINING + 1)
        for i, (view, (ways, now, names)) in enumerate(zip((healthy, yours), self.planes, strict=True)):
            for k, way in enumerate(ways):
                way.set_data(*view.path[:, k].T)
                names[k].set(text=f"c{style.subscript(k + 1)}", position=view.path[-1, k] + self.away[k])
            now.set_data(*view.path[-1].T)
            self.losses[i].set_data(step, np.maximum(view.loss, self.floor))
            flips = step[view.flips]
            self.flips[i].set_data(flips, np.full(len(flips), (0.0045, 0.0025)[i]))
        self.guess.set_data(step, yours.guess)


class Exhibit(NamedTuple):
    """A failure on show."""

    headline: str
    view: Callable  # setting -> what is drawn, with its `sign`
    sane: dict  # the values of its controls that work; those it does not name stay the learner's
    broken: dict  # the values it opens with
    said: Callable  # setting -> the setting in a few words
    card: type
    sign: Sign
    seen: str  # how the sign shows in a training
    do: str


EXHIBITS = {
    "one on the diagonal": Exhibit(
        "G with ones on its diagonal: being right costs as much as being wrong",
        exhibits.diagonal_of_one,
        {"diagonal": 0.0},
        {"diagonal": 1.0},
        lambda diagonal: f"diagonal of G {diagonal:.2f}",
        HillCard,
        COST,
        "I2PEMD stays high while the network gets\nbetter, and pushes nothing.",
        "Keep zeros on the diagonal of G:\nfixed_ground_distance(K) is 1 − I.",
    ),
    "collapsed prototypes": Exhibit(
        "Prototypes drawn into one point: the ranks hide it to the last, then G is zero",
        exhibits.collapsed,
        {"spread": 1.0, "fresh": False},
        {"spread": 2**-8, "fresh": False},
        lambda spread, fresh: "a bank of zeros" if fresh else f"spread {fraction(spread)}",
        CollapseCard,
        SPREAD,
        "G and the loss look as always while g shrinks;\nin the end both are exactly 0.",
        "Log g, not G alone. Look for dead features;\nupdate the bank before you use its G.",
    ),
    "a batch without a class": Exhibit(
        "A batch without class 4: what to do with the mean of nothing",
        lambda share, absent: exhibits.class_absent(share, exhibits.RULES[absent]),
        {"absent": "keeps its prototype (ours)"},
        {"share": 0.04, "absent": "gets a mean of zero"},
        lambda share, absent: f"the class {absent.removesuffix(' (ours)')}",
        AbsentCard,
        MOVED,
        "A prototype moves or turns NaN in a step\nthat shows no instance of its class.",
        "Divide only where N_k > 0, and let the others\nkeep what they have. Log the age of each.",
    ),
    "thresholds crossed": Exhibit(
        "τ_low above τ_high: I2PEMD has nobody left to decide about",
        exhibits.thresholds_crossed,
        {"tau_low": 0.7, "tau_high": 0.8},
        {"tau_low": 0.8, "tau_high": 0.7},
        lambda tau_low, tau_high: "τ_low < τ_high" if tau_low < tau_high else "τ_low ≥ τ_high",
        ThresholdCard,
        BAND,
        "Nobody is let in by I2PEMD (★): all are\nchosen by s > τ_high alone, unasked.",
        "Keep τ_low < τ_high; select() refuses all else.\nCount the band in each batch.",
    ),
    "learning rate too high": Exhibit(
        "A learning rate too high: the loss jumps, prototypes are thrown about",
        exhibits.rate_too_high,
        {"rate": 0.1},
        {"rate": 10.0},
        lambda rate: f"learning rate {rate:g}",
        TrainingCard,
        GUESS,
        "Now and then the loss is above that of\nequal probabilities for all classes.",
        "Divide the learning rate by 3 until it stays\nbelow. G flips in healthy runs too.",
    ),
}


def distance(value):
    """A distance in words.

    Example
    -------
    >>> distance(0.268), distance(float("nan"))
    ('0.27', 'not a number')
    """
    return "not a number" if np.isnan(value) else f"{value:.2f}"


def fraction(spread):
    """A power of two as a fraction."""
    return f"{spread:g}" if spread in (0, 1) else f"1/{1 / spread:g}"


class Result(NamedTuple):
    """The two settings of an exhibit and what they lead to."""

    name: str
    settings: tuple  # sane, the learner's
    views: tuple  # the same two

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


def draw(figure, result):
    """Above the healthy one beside the learner's, on the same axes; below the sign on a gauge, and what to do."""
    art = style.artists(figure, _Card)
    exhibit, sign = EXHIBITS[result.name], EXHIBITS[result.name].sign
    if result.name not in art.cards:
        card = art.cards[result.name] = style.styled(exhibit.card, figure)
        # Asked for once: axes that are asked for their position make the figure stale.
        art.lefts[result.name] = [axes.get_position().x0 for axes in card.axes[:2]]
    for name, card in art.cards.items():
        for axes in card.axes:
            if axes.get_visible() != (name == result.name):
                axes.set_visible(name == result.name)
    art.cards[result.name].show(*result.views)
    healthy, yours = result.signs
    there = sign.there(yours)
    art.headline.set_text(exhibit.headline)
    words = ("✓  healthy:  ", "✖  yours:  " if there else "✓  yours:  ")
    for title, left, word, setting in zip(art.titles, art.lefts[result.name], words, result.settings, strict=True):
        title.set(text=word + exhibit.said(**setting), x=left)
    art.titles[1].set_color(style.RED if there else style.INK)
    art.name.set_text(f"The sign to watch: {sign.name}")
    limit = float(sign.scale(sign.limit))
    art.bad.set_bounds(*((limit, 0, 1 - limit, 1) if sign.above else (0, 0, limit, 1)))
    art.limit.set_data([limit, limit], [-0.25, 1.25])
    art.why.set_text(f"bad {'above' if sign.above else 'below'} {limit_said(sign)}: {sign.reason}")
    for value, mark, text, word in zip(result.signs, art.marks, art.values, ("healthy", "yours"), strict=True):
        x = float(sign.scale(value))
        mark.set_data([x], [0.5])
        side = "left" if x < 0.15 else "right" if x > 0.85 else "center"
        text.set(text=f"{word} {sign.form.format(value)}", x=x, ha=side)
    art.marks[1].set_markerfacecolor(style.RED if there else style.BLACK)
    art.verdict.set_text("✖  The sign is there." if there else "✓  The sign is not there.")
    art.verdict.set_color(style.RED if there else style.INK)
    art.seen.set_text(exhibit.seen)
    art.do.set_text(exhibit.do)


def limit_said(sign):
    """The limit of a sign as it is written on the gauge."""
    return "1/128" if sign is SPREAD else f"{sign.limit:g}" + " %" * (sign is GUESS)


class _Card:
    """The artists of all exhibits, of which one is seen, and those of the sign below."""

    def __init__(self, figure):
        from matplotlib.patches import Rectangle

        self.cards, self.lefts = {}, {}  # of the exhibits that were shown
        self.headline = figure.text(0.02, 0.945, "", size=11, weight="bold")
        self.titles = [figure.text(0, 0.845, "", size=9.5, weight="bold") for _ in range(2)]
        figure.add_artist(Rectangle((0.0, 0.0), 1, 0.315, color="#e9e6dc", lw=0, zorder=-1))
        self.name = figure.text(0.02, 0.262, "", size=9.5, weight="bold")
        gauge = style.blank(figure.add_axes([0.02, 0.125, 0.56, 0.052], facecolor="none"))
        gauge.set(xlim=(0, 1), ylim=(0, 1))
        gauge.spines[:].set_visible(True)
        self.bad = gauge.add_patch(Rectangle((0, 0), 1, 1, fc="#f3d9d5", ec=style.RED, hatch="////", lw=0, zorder=0))
        self.limit = gauge.plot([], [], color=style.RED, lw=2, clip_on=False)[0]
        looks = {"marker": "o", "mfc": style.BLUE, "ms": 9}, {"marker": "D", "mfc": style.BLACK, "ms": 9}
        self.marks = [gauge.plot([], [], ls="", mec=style.CARD, clip_on=False, zorder=4, **look)[0] for look in looks]
        self.values = [
            gauge.text(0, y, "", size=8.5, va=va, weight=weight, clip_on=False)
            for y, va, weight in ((1.35, "bottom", "normal"), (-0.4, "top", "bold"))
        ]
        self.why = figure.text(0.02, 0.02, "", size=7.5, color=style.QUIET)
        self.verdict = figure.text(0.62, 0.262, "", size=10, weight="bold")
        for y, word in ((0.20, "You see"), (0.105, "To do")):
            figure.text(0.62, y, word, size=8.5, color=style.QUIET, va="center")
        self.seen = figure.text(0.685, 0.20, "", size=8.5, va="center")
        self.do = figure.text(0.685, 0.105, "", size=8.5, va="center")


def describe(result):
    """The sign in both, and what the library and the equations say beside it."""
    exhibit, sign = EXHIBITS[result.name], EXHIBITS[result.name].sign
    healthy, yours = (sign.form.format(value) for value in result.signs)
    there = "The sign is there" if sign.there(result.signs[1]) else "The sign is not there"
    said = (exhibit.said(**setting) for setting in result.settings)
    words = f"{exhibit.headline}. {there}: {sign.name} is {healthy} ({next(said)}), and {yours} ({next(said)})."
    words += f" {exhibit.seen} {exhibit.do}".replace("\n", " ")
    if getattr(result.views[1], "refusal", ""):
        words += f" The library says: {result.views[1].refusal}."
    pairs = {name: tuple(f(view) for view in result.views) for name, f in BESIDE[result.name].items()}
    return words, {
        "sign, healthy": healthy,
        "sign, yours": yours,
        **{f"{name} (healthy → yours)": " → ".join(pair) for name, pair in pairs.items()},
    }


BESIDE = {
    "one on the diagonal": {
        "I2PEMD of a wrong prediction": lambda view: f"{view.wrong:.2f}",
        "largest gradient": lambda view: f"{abs(view.push).max():.3f}",
    },
    "collapsed prototypes": {
        "mean of G": lambda view: f"{view.price:.3f}",
        "I2PEMD of guessing": lambda view: f"{view.loss:.3f}",
        "all classes seen": lambda view: "yes" if view.ready else "no",
    },
    "a batch without a class": {
        "farthest from its class": lambda view: distance(view.error.max()),
        "longest without an update": lambda view: f"{view.age} step{'s' * (view.age != 1)}",
    },
    "thresholds crossed": {
        "let in by I2PEMD": lambda view: f"{(view.low & ~view.high).sum()}",
        "chosen in all": lambda view: f"{(view.low | view.high).sum()}",
    },
    "learning rate too high": {
        "largest loss after step 20": lambda view: f"{view.loss[exhibits.SETTLED:].max():.2f}",
        "steps in which G changed": lambda view: f"{view.flips.sum()}",
    },
}
"""Further numbers of each exhibit, said of both views."""


def panel(exhibit="one on the diagonal", **start):
    """The museum, opened at an exhibit (a key of EXHIBITS) with its broken settings; `start` sets controls.

    Example
    -------
    >>> museum = panel("thresholds crossed")
    >>> museum.result.signs[0] > 0, museum.result.signs[1]
    (True, 0)
    """
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
        "failure museum",
        controls,
        compute,
        draw,
        describe,
        layout=[list(controls)],
        size=(9.4, 4.6),
        start=start,
    )
