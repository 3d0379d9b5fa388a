"""The failure museum: six ways to break the method, each beside a healthy run, with the sign that gives it away.

An exhibit is a class. An instance is what it shows under some settings, computed on a little seeded data.
"""

import textwrap
from fractions import Fraction
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.ground import fixed_ground_distance, ground_distance, prototype_distances
from i2pemd_lite.losses import i2pemd_loss
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider, steps, switch
from i2pemd_lite.prototypes import PrototypeBank, class_means
from i2pemd_lite.runs.run import eager

K, ALPHA = 4, 0.8
CENTRES = torch.tensor([[0.5, 0.5], [4.0, 1.0], [1.5, 3.5], [6.0, 4.5]])


class Exhibit:
    """A failure on show; of its settings `sane` are those that work, `broken` those it opens with.

    Of the class: headline; watch, what its sign is; bad, from where on it is ("above 0.1"), and the reason for this;
    ends of the gauge, logarithmic where the first is not 0; what to do. An instance has a sign, the number to watch in
    a training of one's own, its setting in words, and `draw(plane)`.
    """

    @classmethod
    def limit(cls):
        """The number in `bad`."""
        return float(Fraction(cls.bad.split()[1]))

    @classmethod
    def there(cls, sign):
        """Whether a value of the sign gives the failure away."""
        return sign > cls.limit() if cls.bad.startswith("above") else sign < cls.limit()


WRONG, RIGHT = 0.05, 0.95  # pₖ of a wrong and of a right prediction
P = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)


class Diagonal(Exhibit):
    """I2PEMD under G = (1 − I) + δ I, so that it is 1 − (1 − δ) pₖ; the rest of p lies evenly on the other classes."""

    headline = "G with ones on its diagonal: being right costs as much as being wrong"
    sane, broken = {"diagonal": 0.0}, {"diagonal": 1.0}
    watch, bad, ends = f"I2PEMD of a right prediction (pₖ = {RIGHT})", "above 0.1", (0, 1)
    reason = "with zeros on the diagonal it is at most (1 − pₖ) max G = 0.05; twice that leaves no doubt"
    do = "Keep zeros on the diagonal of G: fixed_ground_distance(K) is 1 − I."

    def __init__(self, diagonal):
        G = fixed_ground_distance(K, dtype=torch.float64) + diagonal * torch.eye(K, dtype=torch.float64)
        rest = ((1 - P) / (K - 1))[:, None].expand(-1, K - 1)
        z = torch.cat([P[:, None], rest], 1).log().requires_grad_()
        cost = i2pemd(z.softmax(1), torch.zeros(len(P), dtype=torch.long), G)
        # Both (99,), by the pₖ of `P`: Eq. 6, and what a gradient step raises the logit of the true class by.
        self.cost, self.push = cost.detach().numpy(), -torch.autograd.grad(cost.sum(), z)[0][:, 0].numpy()
        self.wrong, self.sign = (cost[(P - p).abs().argmin()].item() for p in (WRONG, RIGHT))
        self.setting = f"diagonal of G {diagonal:.2f}"

    def draw(self, plane):
        plane.look(xlim=(0, 1.04), ylim=(0, 1.19), xlabel="probability pₖ of the true class", ylabel="I2PEMD")
        plane.line(P, self.cost, color=style.BLACK, lw=1.6)
        start, cost = P[14:80:15].numpy(), self.cost[14:80:15]
        # With 0.5 the longest step, pₖ (1 − pₖ) = 1/4, ends before the next one begins.
        end = start + 0.5 * self.push[14:80:15]
        plane.arrows(np.c_[start, cost], np.c_[end, np.interp(end, P, self.cost)], lw=4, color=style.BLUE, zorder=3)
        plane.points(WRONG, self.wrong, marker="X", ms=10, mfc=style.RED, mec=style.PAPER, zorder=4)
        plane.points(RIGHT, self.sign, marker="o", ms=10, mfc=style.BLACK, mec=style.PAPER, zorder=4)
        plane.text(WRONG - 0.02, self.wrong + 0.09, f"wrong: {self.wrong:.2f}")
        plane.text(RIGHT + 0.09, self.sign + 0.11, f"right: {self.sign:.2f}", ha="right")
        words = "flat: no gradient anywhere" if np.abs(self.push).max() < 1e-9 else "→  steps of the gradient"
        plane.text(0.52, 0.84, words, color=style.BLUE)


SPREADS = [1.0, *(2.0**-n for n in range(1, 11)), 0.0]
POINT = torch.tensor([3.0, 2.5])  # in which the features collapse


class Collapsed(Exhibit):
    """All features drawn together to one point; `fresh` asks a bank that had no update yet and still holds zeros.

    sign = max g / mean ‖c_k‖₁ (Eq. 3), free of the features' unit; 0 when all prototypes are zero.
    """

    headline = "All prototypes at one point: the ranks hide it until the very end, then G is zero"
    sane, broken = {"spread": 1.0, "fresh": False}, {"spread": 2**-8, "fresh": False}
    watch, bad, ends = "largest g ÷ mean size ‖c‖₁ of a prototype", "below 1/128", (2**-11, 2)
    reason = "bfloat16 has 8 bits: features that differ by less than 1/128 of their size are rounded to the same number"
    do = "Log g, not G alone. Look for dead features; update the bank before you use its G."

    def __init__(self, spread, fresh):
        random = torch.Generator().manual_seed(0)
        labels = torch.arange(K).repeat(12)
        whole = CENTRES[labels] + 0.3 * torch.randn(len(labels), 2, generator=random)
        features, bank = POINT + spread * (whole - POINT), PrototypeBank(K, 2)
        if not fresh:
            bank.update(features, labels)
        c, G = bank.prototypes, bank.ground_distance()
        size = c.abs().sum(1).mean().item()
        self.features, self.prototypes = features.numpy(), c.numpy()
        self.price = G.sum().item() / (K * (K - 1))  # mean of G off its diagonal
        self.sign = prototype_distances(c).max().item() / size if size else 0.0
        self.setting = "a bank of zeros" if fresh else f"spread {Fraction(spread)}"

    def draw(self, plane):
        plane.look(xlim=(-1.2, 7.6), ylim=(-2.0, 5.9), xticks=[], yticks=[])
        plane.points(*self.features.T, ms=3, alpha=0.5, **style.SOURCE)
        plane.text(-1.0, -1.75, f"○ features   ◆ prototypes   mean of G {self.price:.2f}", color=style.QUIET)
        plane.points(*self.prototypes.T, ms=8, **style.PROTOTYPE)
        outside = F.normalize(CENTRES - POINT).numpy()  # so that four names at one point can still be told apart
        for at, name in zip(self.prototypes + 0.75 * outside, style.names("c", K), strict=True):
            plane.text(*at, name, weight="bold", ha="center", va="center")


STEPS, BATCH, RARE = 32, 16, K - 1
OURS, NAN, ZERO = RULES = ("keeps its prototype (ours)", "gets 0/0 = NaN", "gets a mean of zero")


class Absent(Exhibit):
    """Prototypes over 32 batches of 16, all classes seen before the first. `share` of all instances are of the last
    class; `absent` is one of `RULES`.

    Ours is `PrototypeBank`. The other two take Eq. 10 for every class, in the batch or not, with 0/0 or 0 for the mean
    of nothing.
    """

    headline = "A batch without class 4: the mean of no instances has no value"
    sane, broken = {"absent": OURS}, {"share": 0.04, "absent": ZERO}
    watch, bad, ends = "updates of a class that was not in the batch", "above 0", (0, 1.5 * STEPS)
    reason = "Eq. 10 and 11 define no update when Nₖ = 0"
    do = "Divide only where Nₖ > 0. The other classes keep their prototypes. Log the age of each one."

    def __init__(self, share, absent):
        random = torch.Generator().manual_seed(0)
        all_labels = torch.randint(K - 1, (STEPS, BATCH), generator=random)
        all_labels[torch.rand(STEPS, BATCH, generator=random) < share] = RARE
        all_features = CENTRES[all_labels] + 0.35 * torch.randn(STEPS, BATCH, 2, generator=random)
        bank = PrototypeBank(K, 2, momentum=ALPHA)
        bank.update(CENTRES, torch.arange(K))
        path = [CENTRES]
        for features, labels in zip(all_features, all_labels, strict=True):
            bank.update(features, labels)
            means, counts = class_means(features, labels, K)
            if absent == NAN:
                means = means * (counts / counts)[:, None]
            path.append(bank.prototypes.clone() if absent == OURS else ALPHA * path[-1] + (1 - ALPHA) * means)
        path = torch.stack(path)
        present = (all_labels[..., None] == torch.arange(K)).any(1)
        moved = (path[1:] != path[:-1]).any(-1)  # NaN equals nothing, so what is NaN counts as moved
        self.labels, self.path = all_labels.numpy(), path.numpy()  # (STEPS + 1, K, 2), NaN where the update made it so
        self.error = (path[1:, RARE] - CENTRES[RARE]).norm(dim=-1).numpy()  # of the rare class's prototype
        self.present = present.numpy()  # (STEPS, K)
        self.sign = int((~present & moved).sum())
        self.setting = f"the class {absent.removesuffix(' (ours)')}"

    def draw(self, plane):
        plane.look(xlim=(0, STEPS + 1), ylim=(-1.5, 8.8), xlabel="step", ylabel="c₄ from its class", yticks=(0, 4, 8))
        zero = CENTRES[RARE].norm().item()
        plane.line([0, STEPS + 1], [zero, zero], color=style.LINE, lw=1, ls="--")
        plane.text(STEPS + 1, 8.3, "distance of a zero prototype", ha="right", va="center", color=style.QUIET)
        plane.text(0.6, 8.3, "▏ class 4 is in this batch", va="center", color=style.BLUE)
        plane.line(range(1, STEPS + 1), self.error, color=style.BLACK, marker="D", ms=3.5)
        here = np.flatnonzero(self.present[:, RARE]) + 1
        plane.points(here, np.full(len(here), -0.95), marker="|", ms=9, mew=2, color=style.BLUE)
        for gone in np.flatnonzero(np.isnan(self.error))[:1]:
            last = self.error[gone - 1] if gone else 0.0
            plane.points(gone + 1, last, marker="X", ms=11, mfc=style.RED, mec=style.PAPER, zorder=4)
            words = f"not a number (NaN)\nfrom step {gone + 1} on, for ever"
            plane.text(0.8, 4.0, words, weight="bold", color=style.RED)


UNLABELLED, TOP = 36, 18


@cache
def predictions():
    """Softmax outputs of 36 samples, (36, K), with confidences from 0.4 to 1, and a G."""
    random = torch.Generator().manual_seed(0)
    sure = torch.linspace(1.0, 3.5, UNLABELLED)[:, None] * F.one_hot(torch.arange(UNLABELLED) % K, K)
    o = (sure + 0.9 * torch.randn(UNLABELLED, K, generator=random)).softmax(1)
    return o, ground_distance(CENTRES)


class Crossed(Exhibit):
    """Eq. 15 to 18 written out, whatever the thresholds; they agree with `select` where that takes them."""

    headline = "τ_low above τ_high: no sample is left for I2PEMD to decide about"
    sane, broken = {"tau_low": 0.7, "tau_high": 0.8}, {"tau_low": 0.8, "tau_high": 0.7}
    watch, bad, ends = f"samples with τ_low < s ≤ τ_high, of {UNLABELLED} in a batch", "below 1", (0, 20)
    reason = "the thresholds alone decide about all other samples"
    do = "Keep τ_low < τ_high; select() refuses anything else. Count the samples in the band of each batch."

    def __init__(self, tau_low, tau_high):
        o, G = predictions()
        s, r = o.max(1)
        d = i2pemd(o, r, G)
        near = torch.zeros(UNLABELLED, dtype=torch.bool)
        near[d.argsort(stable=True)[:TOP]] = True
        self.scores, self.distances, self.thresholds = s.numpy(), d.numpy(), (tau_low, tau_high)
        self.high, self.low = (s > tau_high).numpy(), ((s > tau_low) & near).numpy()  # chosen by Eq. 18, by Eq. 17
        self.sign = int(((s > tau_low) & (s <= tau_high)).sum())
        self.setting = "τ_low < τ_high" if tau_low < tau_high else "τ_low ≥ τ_high"

    def draw(self, plane):
        top, (low, high) = 0.42, self.thresholds
        plane.look(xlim=(0.3, 1.12), ylim=(0, 1.25 * top), xlabel="confidence s", ylabel="I2PEMD d")
        plane.text(0.31, 0.03, "★ in by I2PEMD\n● in by s > τ_high\n○ out", color=style.QUIET)
        plane.rect(low, 0, max(high - low, 0), 1.12 * top, fc=style.BAND, zorder=0)
        plane.rect(high, 0, max(low - high, 0), 1.12 * top, ec=style.RED, hatch=style.RED, zorder=0)
        left, right = ("right", "left") if low <= high else ("left", "right")  # a name stands outside of the band
        for tau, name, ls, ha in ((low, "τ_low", "--", left), (high, "τ_high", "-", right)):
            plane.line([tau, tau], [0, 1.12 * top], lw=1, ls=ls)
            plane.text(tau, 1.18 * top, f" {name} {tau:.2f} ", va="center", ha=ha)
        edge, face = {"mec": style.QUIET, "mfc": style.PAPER}, {"mec": style.PAPER, "mfc": style.BLACK}
        out, near = ~(self.low | self.high), self.low & ~self.high
        for members, marker, ms, look in ((out, "o", 5.5, edge), (self.high, "o", 6.5, face), (near, "*", 12, face)):
            plane.points(self.scores[members], self.distances[members], marker=marker, ms=ms, zorder=3, **look)
        words = "no\nband" if low >= high else "band"
        plane.text((low + high) / 2, 1.06 * top, words, weight="bold", ha="center", va="top", halo=True)


RATES = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0]
TRAINING, SETTLED, INSTANCES = 60, 20, 24
BLOBS = torch.tensor([[-2.0, -1.2], [-0.8, 0.2], [0.3, -1.0], [1.6, 1.6]])


class Hasty(Exhibit):
    """Learn four classes of the plane through two tanh features, by SGD with momentum 0.9: L = L_CE + L_I2PEMD,
    with G from prototypes that follow the features (Eq. 3-6, 10)."""

    headline = "The learning rate is too high: the loss jumps above that of guessing"
    sane, broken = {"rate": 0.1}, {"rate": 10.0}
    watch, bad, ends = "percent of steps with a loss above that of guessing", "above 5", (0, 100)
    reason = f"a network that learns is below it after {SETTLED} steps; one step in twenty may be an unlucky batch"
    do = "Divide the learning rate by 3 until the loss stays below."

    def __init__(self, rate):
        random = torch.Generator().manual_seed(0)
        W = torch.eye(2) + 0.2 * torch.randn(2, 2, generator=random)
        parameters = [W.requires_grad_(), torch.zeros(2, K, requires_grad=True), torch.zeros(K, requires_grad=True)]
        bank, optimiser = PrototypeBank(K, 2, momentum=ALPHA), eager(torch.optim.SGD)(parameters, rate, momentum=0.9)
        losses, guesses = [], []
        for _ in range(TRAINING):
            y = torch.randint(K, (INSTANCES,), generator=random)
            features = torch.tanh((BLOBS[y] + 0.3 * torch.randn(INSTANCES, 2, generator=random)) @ W)
            z = features @ parameters[1] + parameters[2]
            bank.update(features, y)
            G = bank.ground_distance()
            loss = F.cross_entropy(z, y) + i2pemd_loss(z, y, G)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            guesses.append(np.log(K) + G.mean().item())  # p = 1/K for all classes: log K, and the mean of a column of G
        self.loss, self.guess = np.array(losses), np.array(guesses)  # each by step
        self.sign = float(100 * (self.loss > self.guess)[SETTLED:].mean())
        self.setting = f"learning rate {rate:g}"

    def draw(self, plane):
        floor = 0.02  # of the losses drawn: a saturated network has almost none on one batch and a huge one on the next
        plane.look(yscale="log", xlabel="step", ylabel="loss", xlim=(0, TRAINING + 1), ylim=(0.015, 60),
                   yticks=[floor, 0.1, 1, 10], yticklabels=[f"≤ {floor}", "0.1", "1", "10"])  # fmt: skip
        step = np.arange(1, TRAINING + 1)
        plane.line(step, self.guess, color=style.QUIET, lw=1, ls="--")
        plane.line(step, np.maximum(self.loss, floor), color=style.BLACK)
        plane.text(TRAINING, 0.6, "╌ loss of guessing", ha="right", color=style.QUIET)


SCANS, VOXELS = 12, 10  # in training, and of each class in each
NAMES = ("background", "liver", "kidney", "spleen")
USUAL = torch.tensor([[0.0, 0.0], [2.0, -1.5], [4.0, 0.0], [3.0, 1.5]])  # brightness, and place from right to left
LOW, HIGH = (-3.0, -3.2), (8.0, 3.2)  # of what is drawn


class Unusual(Exhibit):
    """A scan with a spleen brighter by so many deviations, and a linear discriminant that has seen `SCANS` usual ones;
    `views`: each of them as bright as it likes. With C the covariance within classes the answer is that of the nearest
    mean, (x − mₖ)ᵀ C⁻¹ (x − mₖ)."""

    headline = "An unusual scan: what was true of every scan in training is not true of this one"
    sane, broken = {"brighter": 0.0}, {"brighter": 2.0, "views": False}
    watch, bad, ends = "percent of the spleen that is found", "below 50", (0, 100)
    reason = "with less than half of an organ found, its DOC is below 67, whatever the mean over all scans is"
    do = "Change brightness and size of the patches in training (preset=\"beyond\"). Look at the worst scan."

    def __init__(self, brighter, views):
        random = torch.Generator().manual_seed(0)
        spread = 0.35 * torch.randn(SCANS + 1, K, VOXELS, 2, generator=random)
        self.seen = spread[1:] + USUAL[:, None]
        self.seen[..., 0] += views * 3 * torch.randn(SCANS, 1, 1, generator=random)
        means = self.seen.mean((0, 2))
        inverse = torch.linalg.inv(torch.cov((self.seen - means[:, None]).reshape(-1, 2).T))
        self.scan = spread[0] + USUAL[:, None]
        self.scan[-1, :, 0] += brighter

        def answer(x):
            away = x[:, None] - means
            return torch.einsum("nki,ij,nkj->nk", away, inverse, away).argmin(1)

        axes = (torch.linspace(low, high, n) for low, high, n in zip(LOW, HIGH, (66, 161), strict=True))
        grid = torch.cartesian_prod(*axes)
        self.answer = grid.numpy(), answer(grid).numpy()
        self.found = (answer(self.scan[-1]) == K - 1).numpy()
        self.sign = 100 * float(self.found.mean())
        self.setting = f"spleen brighter by {brighter:.1f}, {'with' if views else 'without'} views"

    def draw(self, plane):
        plane.look(xlim=(LOW[0], HIGH[0]), ylim=(LOW[1], HIGH[1]), xlabel="brightness", ylabel="place", yticks=[])
        where, answer = self.answer
        spleen = where[answer == K - 1]  # from left to right, and each column upwards
        columns = np.split(spleen, np.flatnonzero(np.diff(spleen[:, 0])) + 1)
        plane.polygons([[c[0] for c in columns] + [c[-1] for c in columns[::-1]]], fc=style.BAND, zorder=0)
        for name, voxels, at in zip(NAMES, self.scan.numpy(), ((0, 1), (0, 1), (1.5, -1), (-1.2, 0.8)), strict=True):
            if name != "spleen":
                plane.points(*voxels.T, marker="o", ms=3.5, color=style.QUIET)
            plane.text(*(voxels.mean(0) + at), name, ha="center", va="center", halo=True)
        for here, marker, colour in ((self.found, "o", style.BLACK), (~self.found, "X", style.RED)):
            plane.points(*self.scan[-1].numpy()[here].T, marker=marker, ms=7, mfc=colour, mec=style.PAPER, zorder=3)
        plane.text(LOW[0] + 0.2, LOW[1] + 0.15, "■ the answer is spleen   ● found   ✖ not", color=style.QUIET)


EXHIBITS = {"one on the diagonal": Diagonal, "collapsed prototypes": Collapsed, "a batch without a class": Absent,
            "thresholds crossed": Crossed, "learning rate too high": Hasty,
            "an unusual scan": Unusual}  # fmt: skip


@lru_cache(1024)
def run(exhibit, **settings):
    """What an exhibit shows under its settings."""
    return exhibit(**settings)


def compute(state):
    """An exhibit under sane settings and under those of the state: exhibit, and the controls that it names."""
    exhibit = EXHIBITS[state["exhibit"]]
    yours = {name: state[name] for name in exhibit.broken}
    settings = yours | exhibit.sane, yours
    return SimpleNamespace(name=state["exhibit"], exhibit=exhibit, settings=settings,
                           views=[run(exhibit, **setting) for setting in settings])  # fmt: skip


def draw(card, result):
    """Above the healthy one beside the learner's, on the same axes; below the sign on a gauge, and what to do."""
    exhibit, paper, bad = result.exhibit, card.paper, result.exhibit.there(result.views[1].sign)
    (low, high), limit, ink = exhibit.ends, exhibit.limit(), style.RED if bad else style.BLACK
    paper.text(0.02, 0.945, exhibit.headline, size=11, weight="bold")
    paper.rect(0, 0, 1, 0.315, fc=style.SHADE)
    paper.text(0.02, 0.262, f"The sign to watch: {exhibit.watch}", size=9.5, weight="bold")
    paper.text(0.02, 0.02, f"bad {exhibit.bad}: {exhibit.reason}", color=style.QUIET)
    gauge = card.plane("gauge", [0.06, 0.125, 0.48, 0.052], "framed", xlim=exhibit.ends, xscale="log" if low else "")
    start, end = (limit, high) if exhibit.bad.startswith("above") else (low, limit)
    gauge.rect(start, 0, end - start, 1, fc=style.ALARM, hatch=style.RED, zorder=0)
    gauge.line([limit, limit], [-0.25, 1.25], color=style.RED, lw=2, clip=False)
    for view, left, mark, word, marker, colour, y, va in (
        (result.views[0], 0.07, "✓", "healthy", "o", style.BLUE, 1.35, "bottom"),
        (result.views[1], 0.555, "✖" if bad else "✓", "yours", "D", ink, -0.4, "top"),
    ):
        paper.text(left, 0.845, f"{mark}  {word}:  {view.setting}", size=9.5, weight="bold", color=colour)
        view.draw(card.plane(f"{result.name} {word}", [left, 0.455, 0.415, 0.36]))
        x = np.clip(view.sign, low, high)
        gauge.points(x, 0.5, marker=marker, mfc=colour, ms=11, mec=style.PAPER, clip=False, zorder=4)
        gauge.text(x, y, f"{word} {view.sign:.3g}", ha="center", va=va)
    paper.text(0.62, 0.262, f"{'✖' if bad else '✓'}  The sign is {'' if bad else 'not '}there.", size=10, weight="bold",
               color=ink)  # fmt: skip
    paper.text(0.62, 0.16, textwrap.fill(exhibit.do, 54), va="center")


def describe(result):
    """The sign in both, and what to do."""
    exhibit, (healthy, yours) = result.exhibit, result.views
    words = f"{exhibit.headline}. The sign is {'' if exhibit.there(yours.sign) else 'not '}there. "
    words += f"{exhibit.watch[0].upper()}{exhibit.watch[1:]}: {healthy.sign:.3g} in the healthy run "
    words += f"({healthy.setting}), {yours.sign:.3g} in yours ({yours.setting}). {exhibit.do}"
    return words, {"bad": exhibit.bad, "sign, healthy": f"{healthy.sign:.3g}", "sign, yours": f"{yours.sign:.3g}"}


def panel(exhibit: str = "one on the diagonal", **start: Any) -> Panel:
    """The museum, opened at an exhibit (a key of EXHIBITS) with its broken settings; `start` sets controls."""
    controls = {
        "exhibit": choice("exhibit", list(EXHIBITS), exhibit),
        "diagonal": slider("diagonal of G (cost)", 1.0, 0.0, 1.0, 0.05),
        "spread": steps("spread of the features", [(f"{Fraction(s)}", s) for s in SPREADS], 2**-8),
        "fresh": switch("the bank had no update yet (zeros)", False),
        "share": slider("class 4 is (part of all)", 0.04, 0.0, 0.25, 0.01),
        "absent": choice("an absent class", RULES, ZERO),
        "tau_low": slider("τ_low", 0.8, 0.5, 0.95, 0.01),
        "tau_high": slider("τ_high", 0.7, 0.5, 0.95, 0.01),
        "rate": steps("learning rate", RATES, 10.0),
        "brighter": slider("the spleen is brighter by", 2.0, 0.0, 4.0, 0.1),
        "views": switch("training saw other brightness", False),
    }
    start = {name: value for each in EXHIBITS.values() for name, value in each.broken.items()} | start
    return Panel("failure museum", controls, compute, draw, describe, size=(9.4, 4.6), start=start,
                 shows=lambda state: {"exhibit", *EXHIBITS[state["exhibit"]].broken})  # fmt: skip
