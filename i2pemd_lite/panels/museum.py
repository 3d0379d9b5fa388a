"""The failure museum: the method broken on purpose, each time beside a healthy one, with the sign that gives it away.

An exhibit runs one function of `exhibits.py` twice, with sane settings and with the learner's. The `Sign` says from
where on the number it returns is bad, and why there.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import exhibits
from i2pemd_lite.panels.engine import cards, style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider, steps, switch
from i2pemd_lite.panels.exhibits import BLOBS, CENTRES, POINT, RARE, RIGHT, SETTLED, SPREADS, STEPS, TRAINING, WRONG, K

P = exhibits.P.numpy()
BOTTOM, HEIGHT = 0.455, 0.36  # of the pictures, in parts of the figure
CENTRED = {"ha": "center", "va": "center"}


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
        """Whether a value gives the failure away.

        Example
        -------
        >>> cost = EXHIBITS["one on the diagonal"].sign
        >>> cost.there(1.0), cost.there(0.05)
        (True, False)
        """
        return value > self.limit if self.above else value < self.limit


class Exhibit(NamedTuple):
    """A failure on show."""

    headline: str
    view: Callable  # setting -> what is drawn, with its `sign`
    sane: dict  # the values of its controls that work; those it does not name stay the learner's
    broken: dict  # the values it opens with
    in_words: Callable  # setting -> the setting in a few words
    picture: type  # `picture(axes).show(view)`, made for the healthy view and for the learner's
    places: tuple  # (left, width) of these two pictures, and of the chart
    sign: Sign
    seen: str  # how the sign shows in a training
    do: str
    beside: dict  # further numbers: name -> (view -> words)
    chart: type | None = None  # `chart(axes).show(healthy, yours)`, for both together


class Hill:
    """A hill to roll down: arrows are steps of the gradient."""

    at = np.arange(14, 80, 15)  # of `P`, where arrows start

    def __init__(self, axes):
        axes.set(xlim=(0, 1.04), ylim=(0, 1.19), xlabel="probability pₖ of the true class")
        axes.set_ylabel("I2PEMD")
        self.line = axes.plot([], [], color=style.BLACK, lw=1.6)[0]
        look = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.014, "color": style.BLUE, "zorder": 3}
        zero = np.zeros(len(self.at))
        self.arrows = axes.quiver(P[self.at], zero, zero, zero, **look)
        self.wrong = axes.plot([], [], ls="", marker="X", ms=10, mfc=style.RED, mec=style.CARD, zorder=4)[0]
        self.right = axes.plot([], [], ls="", marker="o", ms=10, mfc=style.BLACK, mec=style.CARD, zorder=4)[0]
        self.wrong_name, self.right_name = (axes.text(0, 0, "", size=8.5, ha=ha) for ha in ("left", "right"))
        self.steps = axes.text(0.52, 0.84, "", size=8.5, color=style.BLUE)

    def show(self, view):
        self.line.set_data(P, view.cost)
        start, cost = P[self.at], view.cost[self.at]
        # With 0.5 the longest step, pₖ (1 − pₖ) = 1/4, ends before the next one begins.
        along = 0.5 * view.push[self.at]
        self.arrows.set_offsets(np.c_[start, cost])
        self.arrows.set_UVC(along, np.interp(start + along, P, view.cost) - cost)
        self.wrong.set_data([WRONG], [view.wrong])
        self.right.set_data([RIGHT], [view.sign])
        self.wrong_name.set(text=f"wrong: {view.wrong:.2f}", position=(WRONG - 0.02, view.wrong + 0.09))
        self.right_name.set(text=f"right: {view.sign:.2f}", position=(RIGHT + 0.09, view.sign + 0.11))
        flat = np.abs(view.push).max() < 1e-9
        self.steps.set_text("flat: no gradient anywhere" if flat else "→  steps of the gradient")


class Collapse:
    """A plane of features that are drawn together, and their prototypes."""

    # Names stand off from their prototypes to the outside, so that four in one point can still be told apart.
    away = 0.75 * (CENTRES - POINT).numpy() / np.linalg.norm(CENTRES - POINT, axis=1, keepdims=True)

    def __init__(self, axes):
        axes.set(xlim=(-1.2, 7.6), ylim=(-2.0, 5.9), xticks=[], yticks=[])
        self.features = axes.plot([], [], ls="", ms=3, alpha=0.5, **style.SOURCE)[0]
        self.prototypes = axes.plot([], [], ls="", ms=8, **style.PROTOTYPE)[0]
        axes.text(-1.0, -1.75, "○ features   ◆ prototypes", size=8, color=style.QUIET)
        self.names = [axes.text(0, 0, "", weight="bold", **CENTRED) for _ in range(K)]

    def show(self, view):
        self.features.set_data(*view.features.T)
        self.prototypes.set_data(*view.prototypes.T)
        for k, name in enumerate(self.names):
            name.set(text=f"c{style.subscript(k + 1)}", position=view.prototypes[k] + self.away[k])


class CollapseChart:
    """What G and g say of every spread."""

    def __init__(self, axes):
        views = [exhibits.collapsed(spread, False) for spread in SPREADS]
        axes.set(xlim=(-0.4, len(SPREADS) - 0.4), ylim=(0, 2.0), title="What G tells of it, and what g tells")
        axes.set_xticks([0, 2, 4, 6, 8, 11], ["1", "1/4", "1/16", "1/64", "1/256", "0"])
        axes.set_xlabel("spread of the features")
        axes.plot([view.price for view in views], color=style.BLACK, lw=1.6)
        axes.plot([view.sign for view in views], color=style.BLUE, lw=1.6, ls="--")
        axes.text(2.3, 0.56, "mean of G", size=8.5)
        axes.text(1.25, 1.2, "largest g ÷ size", size=8.5, color=style.BLUE)
        self.here = axes.plot([], [], color=style.QUIET, lw=1, ls=":", zorder=1)[0]
        look = {"marker": "o", "ms": 7, "mfc": style.RED, "mec": style.CARD, "zorder": 4, "clip_on": False}
        self.marks = axes.plot([], [], ls="", **look)[0]

    def show(self, healthy, yours):
        x = SPREADS.index(yours.spread)
        self.here.set_data([x, x], [0, 2.0])
        self.marks.set_data([x, x], [yours.price, yours.sign])


class Absent:
    """A run: how far the rare prototype is from its class, and below which batches hold the class."""

    def __init__(self, axes):
        axes.set(xlim=(0, STEPS + 1), ylim=(-1.5, 8.8), xlabel="step", yticks=(0, 2, 4, 6, 8))
        axes.set_ylabel("c₄ from its class")
        axes.axhline(float(CENTRES[RARE].norm()), color=style.LINE, lw=1, ls="--")
        axes.text(STEPS + 1, 8.3, "as far as zero is", ha="right", va="center", size=8, color=style.QUIET)
        self.line = axes.plot([], [], color=style.BLACK, lw=1.5, marker="D", ms=3.5)[0]
        self.lost = axes.plot([], [], ls="", marker="X", ms=11, mfc=style.RED, mec=style.CARD, zorder=4)[0]
        self.present = axes.plot([], [], ls="", marker="|", ms=9, mew=2, color=style.BLUE)[0]
        self.words = axes.text(0.8, 4.0, "", size=9, weight="bold", color=style.RED)
        axes.text(0.6, 8.3, "▏ class 4 is in this batch", size=8, color=style.BLUE, va="center")

    def show(self, view):
        self.line.set_data(np.arange(1, STEPS + 1), view.error)
        gone = np.flatnonzero(np.isnan(view.error))[:1]
        self.lost.set_data(gone + 1, view.error[gone - 1] if gone.size and gone[0] else 0.0 * gone)
        here = np.flatnonzero(view.present[:, RARE]) + 1
        self.present.set_data(here, np.full(len(here), -0.95))
        self.words.set_text(f"not a number (NaN)\nfrom step {gone[0] + 1} on, for ever" if gone.size else "")


class Thresholds:
    """A batch: confidence against distance, with the band shaded, or what stands in its place."""

    top = 0.42

    def __init__(self, axes):
        from matplotlib.patches import Rectangle

        axes.set(xlim=(0.3, 1.12), ylim=(0, 1.25 * self.top), xlabel="confidence s")
        axes.set_ylabel("I2PEMD d")
        axes.text(0.31, 0.015, "★ in by I2PEMD\n● in by s > τ_high\n○ out", size=7.5, color=style.QUIET)
        looks = {"facecolor": "#e6dcc3", "lw": 0}, {"facecolor": "none", "edgecolor": style.RED, "hatch": "///"}
        self.band, self.crossed = (axes.add_patch(Rectangle((0, 0), 1, 1, zorder=0, **look)) for look in looks)
        self.lines = [axes.plot([], [], color=style.INK, lw=1, ls=ls)[0] for ls in ("--", "-")]
        full = {"mfc": style.BLACK, "mec": style.CARD, "ls": "", "zorder": 3}
        self.out = axes.plot([], [], "o", mfc=style.CARD, mec=style.QUIET, ms=5.5, zorder=3)[0]
        self.high = axes.plot([], [], marker="o", ms=6.5, **full)[0]
        self.low = axes.plot([], [], marker="*", ms=12, **full)[0]
        self.names = [axes.text(0, 1.18 * self.top, "", size=8, va="center") for _ in range(2)]
        plate = {"facecolor": style.CARD, "edgecolor": "none", "pad": 2}  # against hatching and lines behind it
        self.words = axes.text(0, 1.06 * self.top, "", size=8.5, weight="bold", ha="center", va="top", bbox=plate)

    def show(self, view):
        low, high = view.thresholds
        self.band.set_bounds(low, 0, max(high - low, 0), 1.12 * self.top)
        self.crossed.set_bounds(high, 0, max(low - high, 0), 1.12 * self.top)
        for line, tau in zip(self.lines, view.thresholds, strict=True):
            line.set_data([tau, tau], [0, 1.12 * self.top])
        left, right = ("right", "left") if low <= high else ("left", "right")  # a name stands outside of the band
        self.names[0].set(text=f" τ_low {low:.2f} ", x=low, ha=left)
        self.names[1].set(text=f" τ_high {high:.2f} ", x=high, ha=right)
        self.words.set(text="no\nband" if low >= high else "band", x=(low + high) / 2)
        sets = {self.out: ~(view.low | view.high), self.high: view.high, self.low: view.low & ~view.high}
        for mark, members in sets.items():
            mark.set_data(view.scores[members], view.distances[members])


class Ways:
    """A plane with the ways of the prototypes in a training."""

    # As in `Collapse`, so that prototypes thrown together keep their names apart.
    away = 0.3 * BLOBS.numpy() / np.linalg.norm(BLOBS, axis=1, keepdims=True)

    def __init__(self, axes):
        axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), xticks=[], yticks=[])
        self.ways = [axes.plot([], [], color=style.QUIET, lw=0.9, marker=".", ms=3)[0] for _ in range(K)]
        self.prototypes = axes.plot([], [], ls="", ms=8, **style.PROTOTYPE)[0]
        self.names = [axes.text(0, 0, "", weight="bold", **CENTRED) for _ in range(K)]

    def show(self, view):
        self.prototypes.set_data(*view.path[-1].T)
        for k, (way, name) in enumerate(zip(self.ways, self.names, strict=True)):
            way.set_data(*view.path[:, k].T)
            name.set(text=f"c{style.subscript(k + 1)}", position=view.path[-1, k] + self.away[k])


class LossChart:
    """The losses of both trainings, and the steps in which G changed."""

    floor = 0.02  # of the losses drawn: a saturated network has almost none on one batch and a huge one on the next

    def __init__(self, axes):
        axes.set(xlim=(0, TRAINING + 1), yscale="log", ylim=(0.0015, 60), xlabel="step")
        axes.set_title("Loss   ─ yours   ╌ healthy   ┈ guessing")
        axes.text(TRAINING + 1, 0.0075, "▏ G changed in this step", ha="right", size=8, color=style.QUIET)
        axes.set_yticks([self.floor, 0.1, 1, 10], [f"≤ {self.floor}", "0.1", "1", "10"])
        axes.minorticks_off()
        self.guess = axes.plot([], [], color=style.QUIET, lw=1, ls=":")[0]
        looks = (style.BLUE, "--"), (style.RED, "-")
        self.losses = [axes.plot([], [], lw=1.4, color=ink, ls=ls)[0] for ink, ls in looks]
        self.flips = [axes.plot([], [], ls="", marker="|", ms=6, mew=1, color=ink)[0] for ink, _ in looks]

    def show(self, *views):
        step = np.arange(1, TRAINING + 1)
        for view, loss, flips, height in zip(views, self.losses, self.flips, (0.0045, 0.0025), strict=True):
            loss.set_data(step, np.maximum(view.loss, self.floor))
            flips.set_data(step[view.flips], np.full(view.flips.sum(), height))
        self.guess.set_data(step, views[1].guess)


EXHIBITS = {
    "one on the diagonal": Exhibit(
        "G with ones on its diagonal: being right costs as much as being wrong",
        exhibits.diagonal_of_one, sane={"diagonal": 0.0}, broken={"diagonal": 1.0},
        in_words=lambda diagonal: f"diagonal of G {diagonal:.2f}",
        picture=Hill, places=((0.075, 0.415), (0.555, 0.415)),
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
        picture=Collapse, places=((0.03, 0.29), (0.36, 0.29), (0.725, 0.255)), chart=CollapseChart,
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
        picture=Absent, places=((0.065, 0.425), (0.555, 0.425)),
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
        picture=Thresholds, places=((0.065, 0.425), (0.555, 0.425)),
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
        picture=Ways, places=((0.03, 0.27), (0.335, 0.27), (0.68, 0.30)), chart=LossChart,
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


def draw(figure, result):
    """Above the healthy one beside the learner's, on the same axes; below the sign on a gauge, and what to do."""
    frame, exhibit = style.artists(figure, _Frame), EXHIBITS[result.name]
    cards.card(frame.cards, result.name, figure, _Card, exhibit).show(*result.views)
    there = exhibit.sign.there(result.signs[1])
    frame.headline.set_text(exhibit.headline)
    words = ("✓  healthy:  ", "✖  yours:  " if there else "✓  yours:  ")
    for title, (left, _), word, setting in zip(frame.titles, exhibit.places, words, result.settings, strict=False):
        title.set(text=word + exhibit.in_words(**setting), x=left)
    frame.titles[1].set_color(style.RED if there else style.INK)
    frame.show_sign(exhibit.sign, result.signs)
    frame.marks[1].set_markerfacecolor(style.RED if there else style.BLACK)
    words = "✖  The sign is there." if there else "✓  The sign is not there."
    frame.verdict.set(text=words, color=style.RED if there else style.INK)
    frame.seen.set_text(exhibit.seen)
    frame.do.set_text(exhibit.do)


class _Card:
    """The pictures of an exhibit."""

    def __init__(self, figure, exhibit):
        self.axes = [figure.add_axes([left, BOTTOM, width, HEIGHT]) for left, width in exhibit.places]
        self.pictures = [exhibit.picture(axes) for axes in self.axes[:2]]
        self.chart = exhibit.chart and exhibit.chart(self.axes[2])

    def show(self, *views):
        for picture, view in zip(self.pictures, views, strict=True):
            picture.show(view)
        if self.chart:
            self.chart.show(*views)


class _Frame:
    """The artists around the exhibits, of which one is seen: headline, sign and what to do."""

    def __init__(self, figure):
        from matplotlib.patches import Rectangle

        self.cards = {}  # of the exhibits that were shown
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

    def show_sign(self, sign, values):
        """The gauge, with its bad part shaded, and the values of the healthy one and of the learner's on it."""
        self.name.set_text(f"The sign to watch: {sign.name}")
        limit = float(sign.scale(sign.limit))
        self.bad.set_bounds(*((limit, 0, 1 - limit, 1) if sign.above else (0, 0, limit, 1)))
        self.limit.set_data([limit, limit], [-0.25, 1.25])
        self.why.set_text(f"bad {'above' if sign.above else 'below'} {sign.limit_in_words}: {sign.reason}")
        for value, mark, text, word in zip(values, self.marks, self.values, ("healthy", "yours"), strict=True):
            x = float(sign.scale(value))
            mark.set_data([x], [0.5])
            side = "left" if x < 0.15 else "right" if x > 0.85 else "center"
            text.set(text=f"{word} {sign.form.format(value)}", x=x, ha=side)


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
        "failure museum", controls, compute, draw, describe, layout=[list(controls)], size=(9.4, 4.6), start=start
    )
