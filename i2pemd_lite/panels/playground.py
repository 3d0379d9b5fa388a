"""The whole method on points in the plane: two modalities, a small network, prototypes, G and the loss, step by step.

A state says all that matters, its seed too: the same state shows the same picture, at once or played.
"""

import re
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from i2pemd_lite.files import BadInput
from i2pemd_lite.fused import alone
from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.losses import i2pemd_loss, mmd
from i2pemd_lite.panels.curves import Line, draw_curves
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider, steps
from i2pemd_lite.panels.engine.slider import pairs, text
from i2pemd_lite.prototypes import PrototypeBank

PICTURES, EACH, HIDDEN = 40, 3, 16  # pictures of a training, its steps between two, hidden units
TRAIN, TEST, DRAWN = 12, 100, slice(None, None, 10)  # points of a class and modality, and those that are drawn
TINTS = {style.GREEN: 18, style.VIOLET: 24, style.GOLD: 20, style.STEEL: 34, style.RED: 13}  # of regions, in percent
START = {"picture": PICTURES, "weight": 1, "norm": "joint", "shift": 1.0, "alike": 0.5, "ground": "learned",
         "alpha": 0.8, "rate": 0.05, "classes": 4, "noise": 0.6, "seed": 0}  # fmt: skip
TWIN = {"weight": 0, "ground": "none"}
OWN = "your own"
NAMED = {
    "as it opens": {},
    "built for the idea: near is harmless": {"weight": 20, "alike": 0.9, "noise": 0.8},
    "the same, with all costs 1": {"weight": 20, "alike": 0.9, "noise": 0.8, "ground": "fixed"},
}
"""Named states, by what differs from START."""
NUMBER = r"-?\d{1,9}(\.\d{1,9})?"


def centres(classes, alike):
    """Where the classes of CT lie, (K, 2): on a circle, the second moved towards the first by a share of the way."""
    angle = 2 * np.pi * np.arange(classes) / classes
    places = 2.2 * np.c_[np.cos(angle), np.sin(angle)]
    places[1] += alike * (places[0] - places[1])
    return places


def points(classes, shift, alike, noise, seed, count):
    """Points (2 · classes · count, 2) and their classes, of CT, then other ones of MR, shifted, turned and scaled."""
    y = np.tile(np.repeat(np.arange(classes), count), 2)
    x = centres(classes, alike)[y] + noise * np.random.default_rng(seed).standard_normal((len(y), 2))
    mr, cos, sin = x[len(y) // 2 :], np.cos(0.9 * shift), np.sin(0.9 * shift)
    mr[:] = (1 - 0.4 * shift) * mr @ np.array([[cos, sin], [-sin, cos]]) + shift * np.array([2.0, -1.2])
    return torch.from_numpy(x), torch.from_numpy(y)


class Training:
    """One network on its way, from a seed: `looks(n)` are what it was in the pictures up to the n-th.

    Points → tanh units, normalised by the training points (of both modalities together, or of each) → two features →
    logits; by gradient descent with momentum 0.9 on cross-entropy + λ I2PEMD (Eq. 8, 9), all points in each step.

    It trains `alone`, since JupyterLab moves sliders in a thread of its own, and since several threads of torch wait
    for each other in so small a network: on two busy cores for 2 to 10 s a training, in place of 0.3.
    """

    def __init__(self, weight, ground, norm, alpha, rate, classes, shift, alike, noise, seed):
        self.weight, self.ground, self.rate, self.groups = weight, ground, rate, 1 + (norm == "separate")
        self.x, self.y = points(classes, shift, alike, noise, seed, TRAIN)
        self.test = points(classes, shift, alike, noise, seed + 1000, TEST)
        far = torch.cdist(c := torch.from_numpy(centres(classes, alike)), c)
        self.harm = far / far.max()  # of taking one class for another, which the network is not told
        draw = torch.Generator().manual_seed(seed)
        shapes = [(2, HIDDEN), (HIDDEN, 2), (2, classes)]
        self.weights = [torch.randn(s, generator=draw, dtype=torch.float64) / s[0] ** 0.5 for s in shapes]
        self.weights += [torch.zeros(n, dtype=torch.float64) for _, n in shapes]
        self.speed = [torch.zeros_like(w) for w in self.weights]
        for w in self.weights:
            w.requires_grad_()
        self.bank, self._looks = PrototypeBank(classes, 2, alpha).double(), []
        self.bank.update(self.forward(self.x)[0], self.y)

    def forward(self, x):
        """Features (N, 2) and logits (N, K) of points, of which the first half is CT."""
        a, b, c, a0, b0, c0 = self.weights
        own = torch.tanh(self.x @ a + a0).view(self.groups, -1, HIDDEN)
        hidden = own if x is self.x else torch.tanh(x @ a + a0).view(self.groups, -1, HIDDEN)
        normal = (hidden - own.mean(1, keepdim=True)) / (own.std(1, keepdim=True) + 0.05)
        features = normal.view(-1, HIDDEN) @ b + b0
        return features, features @ c + c0

    def costs(self):
        """G as it is now, (K, K); zero where there is none."""
        if self.ground == "fixed":
            return fixed_ground_distance(self.bank.num_classes, dtype=torch.float64)
        return self.bank.ground_distance() * (self.ground == "learned")

    def step(self):
        """One step of the network, then of the prototypes (Eq. 10)."""
        features, logits = self.forward(self.x)
        loss = F.cross_entropy(logits, self.y)
        if self.weight and self.ground != "none":
            loss = loss + self.weight * i2pemd_loss(logits, self.y, self.costs())
        gradients = torch.autograd.grad(loss, self.weights)
        with torch.no_grad():
            torch._foreach_mul_(self.speed, 0.9)
            torch._foreach_sub_(self.speed, gradients, alpha=self.rate)
            torch._foreach_add_(self.weights, self.speed)
        self.bank.update(features, self.y)

    def looks(self, n):
        """What it was in the pictures 0 to n."""
        with alone():
            while len(self._looks) <= n:
                for _ in range(EACH * bool(self._looks)):
                    self.step()
                self._looks.append(self.look())
            return self._looks[: n + 1]

    @torch.no_grad()
    def look(self):
        """What it is now. Accuracy (%), harm, MMD and the drawn features are of points that it does not learn from."""
        (x, y), logits = self.test, self.forward(self.x)[1]
        features, answers = self.forward(x)
        guess, half = answers.argmax(1), len(y) // 2
        ct, mr = 100 * (guess == y).view(2, -1).double().mean(1)
        # harm of a prediction p of class y: Σ_k p_k harm_ky
        harms = (answers.softmax(1) * self.harm[y]).sum(1).mean(), self.harm[guess, y].mean()
        numbers = {
            "ce": F.cross_entropy(logits, self.y), "i2pemd": i2pemd_loss(logits, self.y, self.costs()), "ct": ct,
            "mr": mr, "mmd": mmd(features[:half:4], features[half::4]), "harm": harms[0], "decided": harms[1],
        }  # fmt: skip
        return SimpleNamespace(
            **{name: float(number) for name, number in numbers.items()}, accuracy=float(ct + mr) / 2,
            features=features[DRAWN].numpy(), wrong=(guess != y)[DRAWN].numpy(), ground=self.costs().numpy(),
            prototypes=self.bank.prototypes.numpy().copy(), lines=self.weights[2].detach().numpy().copy(),
            offsets=self.weights[5].detach().numpy().copy())  # fmt: skip


training = lru_cache(32)(Training)  # of the same settings the same one, kept as far as it got


def settings(state):
    """What of a state a training is made of."""
    return {name: value for name, value in state.items() if name != "picture"}


def ended(state, seed):
    """What the training of a state is at its end from another seed: the last of its `looks`, without the others."""
    one = Training(**settings(state) | {"seed": seed})
    with alone():
        for _ in range(EACH * PICTURES):
            one.step()
        return one.look()


def compared(state, other, figure, seeds):
    """How far a figure of a state is from that of another one at the end of training, from the same seeds.

    other : what differs from the state, such as TWIN;  figure : one of a look, such as "harm"

    Returns the mean of the differences and its standard error, both as parts of the other's mean, and in how many seeds
    the figure is lower than the other's.
    """
    mine, theirs = ([getattr(ended(each, seed), figure) for seed in seeds] for each in (state, state | other))
    difference = np.subtract(mine, theirs) / np.mean(theirs)
    return difference.mean(), difference.std(ddof=1) / len(difference) ** 0.5, int((difference < 0).sum())


def region(look, k, half):
    """Corners (n, 2) of the part of a square from −half to half in which class k has the largest logit."""
    corners = half * np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    for normal, offset in zip(look.lines.T[k] - look.lines.T, look.offsets[k] - look.offsets, strict=True):
        above, kept = corners @ normal + offset, []
        for n in range(len(corners)):
            (a, b), (before, here) = corners[[n - 1, n]], above[[n - 1, n]]
            if before * here < 0:
                kept.append(a + before / (before - here) * (b - a))
            if here >= 0:
                kept.append(b)
        corners = np.reshape(kept, (-1, 2))
    return corners


def compute(state):
    """The pictures of a training and of its twin up to that of the state, and the points that it learns from."""
    both = training(**settings(state)), training(**settings(state) | TWIN)
    mine, twin = (each.looks(state["picture"]) for each in both)
    return SimpleNamespace(mine=mine, twin=twin, points=both[0].x.numpy(), labels=both[0].y.numpy(),
                           picture=state["picture"], weight=None if state["ground"] == "none" else state["weight"])


def _plane(card, name, left, title, looks):
    """The features of held-back points in the regions of the classes, with the prototypes and their tracks."""
    look, tracks = looks[-1], np.array([each.prototypes for each in looks])
    reach, half = max(np.abs(look.features).max(), np.abs(tracks).max()), len(look.features) // 2
    power = 2.0 ** np.floor(np.log2(1.02 * reach))
    size = next(size for size in (power, 1.5 * power, 2 * power) if size >= 1.02 * reach)  # which seldom changes
    plane = card.plane(name, [left, 0.42, 0.245, 0.48], "framed", xlim=(-size, size), ylim=(-size, size), title=title)
    for k, (ink, percent) in zip(range(len(look.ground)), TINTS.items(), strict=False):
        corners, fill = region(look, k, size), f"color-mix(in oklab,{ink} {percent}%,{style.PAPER})"
        plane.polygons([corners], fc=fill, ec=style.LINE, lw=0.8)
        if len(corners):
            plane.text(*corners.mean(0), k + 1, 11, style.INK, "bold", "center", "center")
    plane.points(*look.features[:half].T, ms=4.5, alpha=0.8, **style.SOURCE)
    plane.points(*look.features[half:].T, ms=5, alpha=0.8, **style.TARGET | {"mew": 1.4})
    plane.points(*look.features[look.wrong].T, marker="o", ms=9, mfc="none", mec=style.RED)
    for k, (x, y) in enumerate(look.prototypes):
        plane.line(*tracks[:, k].T, color=style.BLACK, lw=1.3)
        plane.text(x + 0.07 * size, y + 0.05 * size, f"c{style.subscript(k + 1)}", weight="bold", halo=True)
    plane.points(*look.prototypes.T, ms=9, **style.PROTOTYPE)


def draw(card, result):
    """Above the points, the features of both trainings and G; below the terms of the loss, accuracy, MMD and harm."""
    mine, twin, K = result.mine, result.twin, result.labels.max() + 1
    (x0, y0), (x1, y1) = result.points.min(0) - 0.3, result.points.max(0) + 0.3
    middle, size = np.array([x0 + x1, y0 + y1]) / 2, max(x1 - x0, y1 - y0) / 2
    look = {"xlim": (middle[0] - size, middle[0] + size), "ylim": (middle[1] - size, middle[1] + size)}
    plane = card.plane("points", [0.01, 0.42, 0.245, 0.48], "framed", title="Points   ○ CT   × MR", **look)
    half = len(result.points) // 2
    for part, mark in ((slice(half), style.SOURCE), (slice(half, None), style.TARGET)):
        x, y = result.points[part], result.labels[part]
        plane.points(*x.T, ms=4.5, alpha=0.8, **mark | {"mew": 1.4})
        for k in range(K):
            plane.text(*x[y == k].mean(0), k + 1, 11, mark["color"], "bold", "center", "center", halo=True)
    title = "without I2PEMD" if result.weight is None else f"with λ = {style.number(result.weight)}"
    _plane(card, "features", 0.27, f"Features, {title}", mine)
    _plane(card, "twin", 0.53, "Its twin: the same, with λ = 0", twin)
    matrix = card.plane("G", [0.825, 0.50, 0.165, 0.32], "blank", title="G: costs of mistakes", ink=style.GROUND)
    matrix.matrix(mine[-1].ground, *[style.names("c", K)] * 2, size=8.5)
    key = "◯ red: a wrong decision\n◆ prototype and its track\nshades: where each class wins"
    card.paper.text(0.795, 0.395, key, size=8.5, color=style.QUIET)

    step = EACH * np.arange(len(mine))
    charts = {
        "Loss": ([("CE", "ce", 0), ("I2PEMD", "i2pemd", 0), ("CE, twin", "ce", 1)], None),
        "Accuracy (%)": ([("CT", "ct", 0), ("MR", "mr", 0), ("CT, twin", "ct", 1), ("MR, twin", "mr", 1)], (0, 100)),
        "MMD of CT and MR": ([("yours", "mmd", 0), ("twin", "mmd", 1)], (0, 10)),
        "Harm of the predictions": ([("yours", "harm", 0), ("twin", "harm", 1)], (0, 1)),
    }
    for n, (title, (curves, limits)) in enumerate(charts.items()):
        lines = [Line(name, step, np.array([getattr(look, term) for look in (mine, twin)[run]]), run, not run)
                 for name, term, run in curves]  # fmt: skip
        draw_curves(card, title, [0.05 + 0.25 * n, 0.09, 0.19, 0.22], lines, (0, EACH * PICTURES), title, limits)


def describe(result):
    """How far the training and its twin have come, and all figures of both."""
    mine, twin = result.mine[-1], result.twin[-1]
    words = f"Picture {result.picture} of {PICTURES}, after {EACH * result.picture} of {EACH * PICTURES} steps: "
    words += f"{mine.accuracy:.1f} % of the held-back points are right, and {twin.accuracy:.1f} % in the twin. "
    words += f"The harm of your predictions is {mine.harm:.3f}, and the harm of the twin's is {twin.harm:.3f}."
    if mine.ce > (guessing := np.log(len(mine.ground))):
        words += f" Your cross-entropy of {mine.ce:.3g} is above {guessing:.3g}, which is that of guessing."
    digits = {
        "accuracy, %": ("accuracy", 1), "MMD": ("mmd", 3), "harm of the predictions": ("harm", 3),
        "accuracy of CT, %": ("ct", 1), "accuracy of MR, %": ("mr", 1), "harm of the decisions": ("decided", 3),
        "cross-entropy": ("ce", 3),
    }  # fmt: skip
    numbers = {f"{name} (yours · twin)": f"{getattr(mine, key):.{n}f} · {getattr(twin, key):.{n}f}"
               for name, (key, n) in digits.items()}  # fmt: skip
    return words, numbers | {"I2PEMD (Eq. 8, 9) of yours": f"{mine.i2pemd:.3f}"}


class Playground(Panel):
    """The panel, with a list of named states and the state as a line of text, to copy and to paste.

    A control or the list that changes the training sets picture to 0, and the page plays the film; `set`, Reset and the
    line show the picture that they say.
    """

    on_pages = ("picture", "weight", "norm", "ground")  # each other value is a training of its own, and takes long

    def __init__(self, controls, start):
        self.named = choice("settings", [*NAMED, OWN], OWN)
        self.line = text("state, to copy and paste", "")
        super().__init__("playground", controls, compute, draw, describe, size=(9.4, 5.0), start=start,
                         shows=lambda state: controls.keys() - ({"weight"} if state["ground"] == "none" else ()))
        self.named.observe(self._choose, "value")
        self.line.observe(self._read, "value")

    def parted(self, shown):
        """As of every panel, with the list of settings among the first, and the line of the state at the end."""
        first, others = super().parted(shown)
        return [*first[:2], self.named], [*first[2:], *others, self.line]

    def refresh(self):
        """As every panel; the list and the line say the state."""
        with self.named.hold_sync(), self.line.hold_sync():
            self.named.value, self.line.value = called(self.state), written(self.state)
            super().refresh()

    def _changed(self, change):
        film = change["owner"] is self.controls["picture"]
        super()._changed(change) if film or self._quiet else self._anew({})

    def _choose(self, change):
        if change["new"] not in (OWN, called(self.state)):
            self._anew(START | NAMED[change["new"]])

    def _anew(self, values):
        """Another training takes a while, so it is shown from its beginning, as a film."""
        self.set(**values | {"picture": 0})
        self.controls["picture"].films += 1

    def _read(self, change):
        try:
            state = self.read(change["new"])
        except BadInput as error:
            self.line.add_class("i2pemd-wrong")
            return self._report(error)
        self.line.remove_class("i2pemd-wrong")
        self._say("")
        if state != self.state:
            self.set(**state)

    def read(self, line):
        """The state that a line says, as `written` writes it; `BadInput` when it says none."""
        state = dict(START)
        for word in line.split() or [""]:
            name, _, value = word.partition("=")
            if name not in state:
                names = ", ".join(START)
                raise BadInput(f"state: expected words such as weight=20, with {names} before =, found {word!r}; copy "
                               "the whole line")  # fmt: skip
            control = self.controls[name]
            if not isinstance(START[name], str) and re.fullmatch(NUMBER, value):
                value = float(value) if float(value) % 1 else int(float(value))
            if hasattr(control, "options"):
                offered = [option for _, option in pairs(control.options)]
                good, expected = value in offered, f"one of {', '.join(map(str, offered))}"
            else:
                good = not isinstance(value, str) and control.min <= value <= control.max
                good &= control.digits > 0 or isinstance(value, int)
                kind = "a number" if control.digits else "a whole number"
                expected = f"{kind} from {control.min:g} to {control.max:g}"
            if not good:
                raise BadInput(f"state, {name}: expected {expected}, found {value!r}; correct it")
            state[name] = value
        return state


def called(state):
    """The name of a state, whatever its picture and its seed; OWN for one without."""
    plain = state | {name: START[name] for name in ("picture", "seed")}
    return next((name for name, other in NAMED.items() if START | other == plain), OWN)


def written(state):
    """A state as a line of text: λ, and what differs from START.

    Example
    -------
    >>> written(START | {"alike": 0.9, "norm": "separate"})
    'weight=1 norm=separate alike=0.9'
    """
    said = (name for name, value in state.items() if name == "weight" or value != START[name])
    return " ".join(f"{name}={state[name] if isinstance(state[name], str) else f'{state[name]:g}'}" for name in said)


def panel(**start: Any) -> Panel:
    """The playground; values in `start` set controls."""
    controls = {
        "picture": slider("picture", START["picture"], 0, PICTURES, 1, plays=True),
        "weight": steps("λ", [0, 0.1, 0.5, 1, 2, 5, 10, 20, 50, 100], START["weight"]),
        "norm": choice("normalise CT and MR", [("together", "joint"), ("each by its own", "separate")], START["norm"]),
        "shift": slider("MR is moved by", START["shift"], 0.0, 1.5, 0.1),
        "alike": slider("classes 1 and 2 are alike", START["alike"], 0.0, 1.0, 0.1, "share"),
        "ground": choice("G", [("learned (Eq. 3-5)", "learned"), ("all mistakes cost 1", "fixed"), ("none", "none")],
                         START["ground"]),
        "alpha": slider("momentum α", START["alpha"], 0.0, 1.0, 0.1),
        "rate": steps("learning rate", [0.01, 0.02, 0.05, 0.1, 0.2, 0.5], START["rate"]),
        "classes": slider("classes", START["classes"], 3, 5, 1),
        "noise": slider("noise of the points", START["noise"], 0.2, 1.2, 0.1),
        "seed": slider("seed", START["seed"], 0, 9, 1),
    }  # fmt: skip
    return Playground(controls, start)
