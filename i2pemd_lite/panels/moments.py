"""Scrubbing through training time: embedding, prototypes and G of saved runs at each moment that they kept.

All moments of a run lie in one plane, fitted to all of their features together, so that what moves has moved. Two runs
have two planes: their features mean different things, and places must not be compared.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from i2pemd_lite.classification import CLASSES as LESIONS
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import plane
from i2pemd_lite.panels.curves import LINES, column, ends
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, steps
from i2pemd_lite.panels.segmentation import SHORT
from i2pemd_lite.runs.watch import saved
from i2pemd_lite.tables.report import Report

MOST = 3  # runs
ALL = "all classes"
EMBEDDING, GROUND = "embedding", "ground distance"


class Look(NamedTuple):
    """How the moments of a task are drawn."""

    classes: tuple
    marks: tuple  # (name, style) of each modality, or of each class where there is one modality
    by: str  # "groups" or "labels": what the marks tell apart
    measures: dict  # words -> column of the evaluations; the first is what a run is worth


INK = (style.BLUE, style.ORANGE, style.GREEN, style.RED, style.VIOLET, style.BLACK, style.QUIET)
SCANS = (
    ("CT ○", {**style.SOURCE, "mfc": "none", "ms": 4}),
    ("MR ×", {**style.TARGET, "mew": 1.1, "ms": 4}),
)
LETTERS = tuple(
    (f"{letter} {name}", {"marker": f"${letter}$", "color": colour, "ms": 6.4, "alpha": 1})
    for letter, name, colour in zip("MNCABDV", LESIONS, INK, strict=True)
)
SCORES = {"AUC (%)": "auc", "top-1 accuracy (%)": "top1", "F1 (%)": "f1"}
LOOKS = {
    "segmentation": Look(SHORT, SCANS, "groups", {"DOC (%)": "doc", "mI2PEMD": "mi2pemd", "MMD²": "mmd"}),
    "classification": Look(LESIONS, LETTERS, "labels", SCORES),
}


def film(moments, look):
    """All moments of a run in the one plane of their largest variance, ready to be drawn.

    steps (T,), points (T, n, 2), prototypes (T, K, 2), NaN where the class was not seen yet, grounds (T, K, K),
    labels (n,), marks (n,), and the part of the variance that lies in the plane.
    """
    features = np.stack([moment.features.astype(np.float32) for moment in moments])  # (T, n, d)
    flat = plane.fit(features.reshape(-1, features.shape[-1]))
    points, prototypes = (plane.project(flat, x) for x in (features, np.stack([m.prototypes for m in moments])))
    prototypes[~np.stack([moment.seen for moment in moments])] = np.nan
    return SimpleNamespace(
        steps=np.array([moment.step for moment in moments]), points=points, prototypes=prototypes,
        grounds=np.stack([moment.ground for moment in moments]), labels=moments[0].labels,
        marks=getattr(moments[0], look.by), part=float(flat.explained_variance_ratio_.sum()),
        window=plane.window(points.reshape(-1, 2), prototypes.reshape(-1, 2), 0.55),
    )  # fmt: skip


def latest(steps, step):
    """The place of the last of rising steps that is not after `step`; -1 where all are after it."""
    return int(np.searchsorted(steps, step, side="right")) - 1


class Films:
    """The films, curves and table rows of some saved runs; a loss is the mean of up to a sixtieth of the steps."""

    def __init__(self, runs):
        self.look = look_of(runs)
        for run in runs.values():
            if not run.moments:
                do = "train it again with this version, or resume it: it keeps one at each evaluation"
                raise BadInput(f"{run.place}: expected moments of the training, found none in moments/; {do}")
            for moment in run.moments:
                if not np.isfinite(moment.features).all():
                    do = "it has diverged; lower its learning_rate"
                    raise BadInput(f"{run.place}: expected finite features, found others at step {moment.step}; {do}")
            if (K := len(run.moments[0].prototypes)) != len(self.look.classes):
                do = "another version trained it: train it again"
                raise BadInput(f"{run.place}: expected prototypes of {len(self.look.classes)} classes, found {K}; {do}")
        self.films = {name: film(run.moments, self.look) for name, run in runs.items()}
        self.stops = sorted({int(step) for film in self.films.values() for step in film.steps})
        self.last = max(self.stops[-1], *(run.number for run in runs.values()), 1)
        self.rows = {name: row(run, self.look) for name, run in runs.items()}
        self.curves = {words: {name: column(run.evaluations, measure) for name, run in runs.items()}
                       for words, measure in self.look.measures.items()}  # fmt: skip
        logged = dict.fromkeys(name for run in runs.values() for line in run.history[:1] for name in line)
        for loss in (name for name in logged if name not in ("step", "learning_rate")):
            self.curves[loss] = {name: column(run.history, loss, max(len(run.history) // 60, 1))
                                 for name, run in runs.items()}  # fmt: skip


def look_of(runs):
    """How the task of all these runs, by name, is drawn -> `Look`."""
    tasks = {run.task for run in runs.values()}
    if len(tasks) != 1 or not tasks <= LOOKS.keys():
        others = ", ".join(f"{run.task or 'no task'} of {name}" for name, run in runs.items()) or "none"
        raise BadInput(f"runs: expected runs of one task, {' or '.join(LOOKS)}, found {others}; take them apart")
    return LOOKS[tasks.pop()]


def row(run, look):
    """What the table says of a saved run: its settings, and its figure at the last evaluation and at the best one."""
    words, column = next(iter(look.measures.items()))
    values = [(line[column], line["step"]) for line in run.evaluations if column in line]
    best, at = max((pair for pair in values if np.isfinite(pair[0])), key=lambda pair: pair[0], default=(np.nan, "-"))
    return {
        "method": run.settings["method"], "λ": float(run.settings["weight"]), "seed": run.settings["seed"],
        "steps": f"{run.number} of {run.settings['steps']}",
        f"{words}, last": values[-1][0] if values else np.nan, "best": best, "at step": at,
    }  # fmt: skip


def compute(films, state):
    """The runs at one moment: state has step, curve, and where there are choices classes, show, left and right.

    at: run -> which moment of its film it is, -1 where it kept none so early;  panes: two pairs of (what, run)
    """
    names, step, curves = list(films.films), state["step"], {}
    left, right, show = state.get("left", names[0]), state.get("right", names[-1]), state.get("show", EMBEDDING)
    panes = [(EMBEDDING, left), (GROUND, left)] if len(names) == 1 else [(show, left), (show, right)]
    for name, (x, y) in films.curves[state["curve"]].items():
        t = latest(x, step)
        curves[name] = SimpleNamespace(x=x, y=y, now=y[t] if t >= 0 else np.nan)
    at = {name: latest(film.steps, step) for name, film in films.films.items()}
    classes = [k for k, name in enumerate(films.look.classes) if state["classes"] in (ALL, name)]
    return SimpleNamespace(films=films, step=step, at=at, panes=panes, classes=classes, curves=curves,
                           measure=state["curve"])  # fmt: skip


WIDTH, HEIGHT = 9.4, 3.75
SIDE, BOTTOM = 2.72, 0.52  # inches: side of a pane, and what is below it
TITLE = {"size": 9.5, "weight": "bold", "va": "center"}


def draw(card, result):
    """Two panes, each an embedding or a matrix, and the curves with a cursor at the step."""
    look = result.films.look
    for j, (what, name) in enumerate(result.panes):
        film, t, left = result.films.films[name], result.at[name], 0.12 + (SIDE + 0.2) * j
        when = "no moment so early" if t < 0 else f"step {film.steps[t]}"
        title = f"{'G of ' * (what == GROUND)}{short(name)}, {when}"
        card.paper.text(left / WIDTH, 1 - 0.2 / HEIGHT, title, **TITLE)
        if what == EMBEDDING:
            note = f"{100 * film.part:.0f} % of the variance of all moments lies here"
            box = [left / WIDTH, BOTTOM / HEIGHT, SIDE / WIDTH, SIDE / HEIGHT]
            _draw_moment(card, f"{what} {j}", box, film, t, result.classes, look)
        else:
            ground = np.zeros_like(film.grounds[0]) if t < 0 else film.grounds[t]
            note = "Eq. 5" if ground.any() else "0: not every class was seen yet"
            # Below the labels of its columns, and right of those of its rows.
            box = [(left + 0.62) / WIDTH, BOTTOM / HEIGHT, (SIDE - 0.64) / WIDTH, 2.42 / HEIGHT]
            K = len(look.classes)  # (K − 1)/K is the largest value of Eq. 4
            matrix = card.plane(f"{what} {j}", box, "blank", slant=30)
            matrix.matrix(ground, look.classes, look.classes, (K - 1) / K)
        card.paper.text(left / WIDTH, 1 - 0.4 / HEIGHT, note, size=8.5, color=style.QUIET, va="center")
    if EMBEDDING in dict(result.panes):
        key = "   ".join(name for name, _ in look.marks) + "   ◆ prototype and its way"
        card.paper.text(0.12 / WIDTH, 0.1 / HEIGHT, key, size=8, color=style.INK)
    _draw_curves(card, result)


def _draw_moment(card, name, box, film, t, classes, look):
    """The points of moment t, and the way of each prototype from the first moment to it:
    c₁(0) ─ c₁(1) ─ … ─ c₁(t)   c₂(0) ─ c₂(1) ─ … ─ c₂(t)   …   one line, with a gap after each class
    """
    mine = np.isin(film.labels, classes)
    points = film.points[t] if t >= 0 else np.full_like(film.points[0], np.nan)  # NaN is not drawn
    marked = [({"alpha": 0.6, **mark}, points[mine & (film.marks == n)]) for n, (_, mark) in enumerate(look.marks)]
    ways = np.full((len(classes), t + 2, 2), np.nan)  # its last place is the gap
    ways[:, :-1] = film.prototypes[: t + 1, classes].swapaxes(0, 1)
    places = zip(classes, ways[:, t], strict=True)  # at t = -1 the gap
    prototypes = {look.classes[k]: place for k, place in places if np.isfinite(place).all()}
    drawn = plane.draw(card, name, box, film.window, marked, points[~mine], prototypes)
    drawn.line(*ways.reshape(-1, 2).T, color=style.BLACK, lw=0.9, marker=".", ms=3.5, alpha=0.8, zorder=2.1)


def _draw_curves(card, result):
    """One line for each run from 0 to the last step, with its name at its end, and a cursor."""
    left, last = 0.7, result.films.last
    low, high = ends(np.concatenate([curve.y for curve in result.curves.values()]), 0.08)
    room = 0.08 + 0.024 * max(map(len, map(short, result.curves)))  # of a letter of 8 points in the width
    box = [left, BOTTOM / HEIGHT, 0.292, SIDE / HEIGHT]
    curves = card.plane("curves", box, ticks=5, xlabel="step",
                       xlim=(-0.02 * last, last / (1 - room)), ylim=(low, high))  # fmt: skip
    curves.line([result.step, result.step], [low, high], color=style.QUIET, lw=1)
    for ls, curve in zip(LINES, result.curves.values(), strict=False):
        curves.line(curve.x, curve.y, color=style.BLACK, lw=1.4, ls=ls)
    drawn = {name: curve for name, curve in result.curves.items() if len(curve.x)}
    now = [curve.now for curve in drawn.values()]
    curves.points([result.step] * len(drawn), now, marker="o", ms=5, color=style.BLACK)
    last_points = np.array([(curve.x[-1], curve.y[-1]) for curve in drawn.values()]).reshape(-1, 2)
    heights = style.apart(last_points[:, 1], 0.05 * (high - low), high)
    labels = np.c_[np.full(len(heights), 1.04 * last), heights]
    plane.draw_leaders(curves, last_points, labels)
    for name, label in zip(drawn, labels, strict=True):
        curves.text(label[0] + 0.01 * last, label[1], short(name), size=8, va="center")
    card.paper.text(left, 1 - 0.2 / HEIGHT, f"{result.measure}, cursor at step {result.step}", **TITLE)


def short(name):
    """A name of at most 18 letters, its middle left out, because names differ at their ends."""
    return name if len(name) <= 18 else f"{name[:9]}…{name[-8:]}"


def point(card, result, at, pressed):
    """A touch of the curves moves the cursor to the nearest moment that some run kept."""
    place = card.planes["curves"].place(at)
    return {} if place is None else {"step": min(result.films.stops, key=lambda step: abs(step - place[0]))}


def describe(result):
    """Where each run stands at the step, and what it came to."""
    words, classes = [f"Step {result.step}."], result.films.look.classes
    for name, t in result.at.items():
        if t < 0:
            words.append(f"{name} kept no moment so early.")
            continue
        G = result.films.films[name].grounds[t]
        pairs = [(G[i, j], i, j) for i in range(len(G)) for j in range(i)]
        near, far = (f"{classes[j]} and {classes[i]} ({style.number(g)})" for g, i, j in (min(pairs), max(pairs)))
        grounds = f"nearest by G are {near}, farthest {far}" if G.any() else "G is 0, because not every class was seen"
        now = result.curves[name].now
        words.append(f"{name}: {grounds}" + (f"; {result.measure} {now:.3g}." if np.isfinite(now) else "."))
    numbers = {}
    for name, row in result.films.rows.items():
        values = {key: f"{value:.1f}" if isinstance(value, float) else str(value) for key, value in row.items()}
        numbers[name] = " · ".join(text if key == "method" else f"{key} {text}" for key, text in values.items())
    return " ".join(words), numbers


def table(*runs, **named):
    """The runs, given as to `scrub` but any number of them, as a `Report`: method, λ, seed, steps, and the figure of
    the last evaluation and of the best one."""
    runs = _named(runs, named)
    look = look_of(runs)
    return Report("Runs, by their files", [{"run": name, **row(run, look)} for name, run in runs.items()])


def _named(runs, named):
    """{name: Saved} of runs and folders; one without a name is called by its folder, or by its method."""
    by_name = {}
    for run in runs:
        folder = run if isinstance(run, str | Path) else run.folder
        by_name[Path(folder).name if folder else run.settings.method] = run
    if len(by_name) < len(runs) or by_name.keys() & named:
        raise BadInput(f"runs: expected names of their own, found one twice; say them: scrub(first={runs[0]!r}, …)")
    return {name: saved(run) for name, run in {**by_name, **named}.items()}


def scrub(*runs, **named):
    """A slider over the time of one to three trainings: embedding, prototypes and G of each at that moment.

    As in `scrub("runs/joint", "runs/ours")` and `scrub(joint=joint, ours=ours)`, a run is a `Run` or the folder of a
    saved one, of which only the files are read: no data, no network. What is shown is what was known when the panel
    was opened.

    Raises `BadInput` for another number of runs, runs of two tasks, and a folder that cannot be used (see `saved`).
    """
    if not 1 <= len(runs) + len(named) <= MOST:
        raise BadInput(f"runs: expected one to {MOST}, found {len(runs) + len(named)}; open another panel")
    films = Films(_named(runs, named))
    names = list(films.films)
    controls = {
        "step": steps("step", films.stops, films.stops[-1], plays=True),
        "curve": choice("curve", list(films.curves), next(iter(films.curves))),
        "classes": choice("classes", [ALL, *films.look.classes], ALL),
    }
    if len(names) > 1:
        controls["show"] = choice("show", [EMBEDDING, GROUND], EMBEDDING)
    if len(names) > 2:
        controls["left"] = choice("left", names, names[0])
        controls["right"] = choice("right", names, names[-1])
    layout = [[name for name in ("step", "show", "curve", "classes", "left", "right") if name in controls]]
    return Panel("moments of training", controls, lambda state: compute(films, state), draw, describe, layout,
                 (WIDTH, HEIGHT), point)  # fmt: skip
