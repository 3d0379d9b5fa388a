"""Scrubbing through training time: embedding, prototypes, G and the gap between modalities at each moment of a run.

All moments of a run lie in one plane, fitted to all of their features together, so that what moves has moved. Two runs
have two planes: their features mean different things, and places must not be compared. A plane shows only a part of
what sets two modalities apart; MMD² sees all of it.
"""

from bisect import bisect
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch

from i2pemd_lite.classification import CLASSES as LESIONS
from i2pemd_lite.files import BadInput
from i2pemd_lite.losses import mmd
from i2pemd_lite.panels.curves import LINES, column, ends, validated
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, steps
from i2pemd_lite.panels.segmentation import SHORT
from i2pemd_lite.runs.run import Run
from i2pemd_lite.runs.watch import saved

ALL = "all classes"
EMBEDDING, GROUND = "embedding", "ground distance"


class Look(NamedTuple):
    """How the moments of a task are drawn."""

    classes: tuple
    marks: tuple  # (name, style) of each modality, or of each class where there is one modality
    by: str  # "groups" or "labels": what the marks tell apart
    measures: dict  # words -> column of the evaluations; the first is what a run is worth


INK = (style.BLUE, style.ORANGE, style.GREEN, style.RED, style.VIOLET, style.BLACK, style.QUIET)
SCANS = (("● CT", {**style.SOURCE, "ms": 3.4}), ("× MR", {**style.TARGET, "mew": 1.1, "ms": 4}))
LETTERS = tuple(
    (f"{letter} {name}", {"marker": f"${letter}$", "color": colour, "ms": 6.4, "alpha": 1})
    for letter, name, colour in zip("MNCABDV", LESIONS, INK, strict=True)
)
LOOKS = {
    "segmentation": Look(SHORT, SCANS, "groups", {"DOC (%)": "doc", "mI2PEMD": "mi2pemd", "biased MMD²": "mmd"}),
    "classification": Look(
        LESIONS, LETTERS, "labels", {"AUC (%)": "auc", "top-1 accuracy (%)": "top1", "F1 (%)": "f1"}
    ),
}


def film(moments, look):
    """All moments of a run in the one plane of their largest variance, ready to be drawn.

    steps (T,), points (T, n, 2), prototypes (T, K, 2), NaN where the class was not seen yet, grounds (T, K, K),
    labels (n,), marks (n,); the part of the variance that lies in the plane, and the window of it, xlim and ylim, that
    holds all prototypes and nearly all points; gap(t, classes), the unbiased MMD² between the features of two
    modalities at moment t, in all dimensions, NaN where there are none.
    """
    from sklearn.decomposition import PCA

    features = np.stack([moment.features.astype(np.float32) for moment in moments])  # (T, n, d)
    labels, groups = moments[0].labels, moments[0].groups
    flat = PCA(2, svd_solver="covariance_eigh").fit(features.reshape(-1, features.shape[-1]))
    prototypes = np.stack([moment.prototypes for moment in moments])
    points, prototypes = ((x - flat.mean_) @ flat.components_.T for x in (features, prototypes))
    seen = np.stack([moment.seen for moment in moments])
    prototypes[~seen] = np.nan
    within = np.concatenate([np.quantile(points.reshape(-1, 2), (0.005, 0.995), axis=0), prototypes[seen]])
    half = 0.55 * max(*np.ptp(within, axis=0), 1e-6)
    window = (within.min(0) + within.max(0))[:, None] / 2 + [-half, half]

    @cache
    def gap(t, classes):
        clouds = [torch.from_numpy(features[t, np.isin(labels, classes) & (groups == group)]) for group in (0, 1)]
        return mmd(*clouds, unbiased=True).item() if t >= 0 and min(map(len, clouds)) > 1 else np.nan

    return SimpleNamespace(
        steps=np.array([moment.step for moment in moments]), points=points, prototypes=prototypes, gap=gap,
        grounds=np.stack([moment.ground for moment in moments]), labels=labels, marks=getattr(moments[0], look.by),
        part=flat.explained_variance_ratio_.sum(), window=dict(zip(("xlim", "ylim"), window, strict=True)),
    )  # fmt: skip


class Films:
    """The films, curves and table rows of some saved runs; a loss is the mean of up to a sixtieth of the steps."""

    def __init__(self, runs):
        look, part = look_of(runs), validated(runs.values())
        self.look = look._replace(measures={part + words: measure for words, measure in look.measures.items()})
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
        raise BadInput(f"runs: expected runs of one task, {' or '.join(LOOKS)}, found {others}; open a panel for each")
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
    """The runs at one moment: state has step, curve, classes, and where there are several runs show.

    at: run -> which moment of its film it is, -1 where it kept none so early;  panes: (what, run);  gaps: run -> MMD²
    between the modalities of the chosen classes
    """
    step, curves, shown = state["step"], {}, [state["show"]] if "show" in state else [EMBEDDING, GROUND]
    for name, (x, y) in films.curves[state["curve"]].items():
        t = bisect(x, step) - 1
        curves[name] = SimpleNamespace(x=x, y=y, now=y[t] if t >= 0 else np.nan)
    at = {name: bisect(film.steps, step) - 1 for name, film in films.films.items()}
    classes = tuple(k for k, name in enumerate(films.look.classes) if state["classes"] in (ALL, name))
    gaps = {name: film.gap(at[name], classes) for name, film in films.films.items()}
    return SimpleNamespace(films=films, step=step, at=at, panes=[(what, name) for name in at for what in shown],
                           gaps=gaps, classes=classes, curves=curves, measure=state["curve"])  # fmt: skip


WIDTH, SIDE, HEAD, FOOT = 9.4, 2.72, 0.51, 0.52  # inches: of the card, of a pane, above it, and below it
ROW = 2.1  # inches of the curves under three panes; beside two they are as high as these
TITLE = {"size": 9.5, "weight": "bold", "va": "center"}


def draw(card, result):
    """A pane for each run, an embedding or a matrix, of one run both, and the curves with a cursor at the step."""
    look, dashes, height = result.films.look, dict(zip(result.at, LINES, strict=False)), card.height / 100
    low, all_of_it = height - HEAD - SIDE, np.array([WIDTH, height, WIDTH, height])
    card.paper.look(xlim=(0, WIDTH), ylim=(0, height))  # in inches
    for j, (what, name) in enumerate(result.panes):
        film, t, gap, left = result.films.films[name], result.at[name], result.gaps[name], 0.12 + (SIDE + 0.3) * j
        if what == EMBEDDING:
            note = f"MMD² {gap:.3f}   " * bool(np.isfinite(gap)) + f"{film.part:.0%} of the variance lies here"
            box = np.array([left, low, SIDE, SIDE]) / all_of_it
            plane = card.plane(f"{what} {j}", box, "framed", **film.window)
            if t >= 0:
                _draw_embedding(plane, film, t, result.classes, look)
        else:
            ground, K = film.grounds[t] * (t >= 0), len(look.classes)
            note = "Eq. 5" if ground.any() else "0: not every class was seen yet"
            # Below the labels of its columns, and right of those of its rows; (K − 1)/K is the largest value of Eq. 4.
            box = np.array([left + 0.62, low, SIDE - 0.64, SIDE - 0.3]) / all_of_it
            card.plane(f"{what} {j}", box, "blank", slant=30).matrix(ground, look.classes, look.classes, (K - 1) / K)
        when = "no moment yet" if t < 0 else f"step {film.steps[t]}"
        card.paper.line([left, left + 0.28], [height - 0.2] * 2, lw=1.4, ls=dashes[name])
        card.paper.text(left + 0.36, height - 0.2, f"{'G of ' * (what == GROUND)}{short(name)}, {when}",
                        color=style.GROUND if what == GROUND else style.INK, **TITLE)  # fmt: skip
        card.paper.text(left, height - 0.4, note, color=style.QUIET, va="center")
    if EMBEDDING in dict(result.panes):
        key = "   ".join(name for name, _ in look.marks) + "   ◆ prototype and its track"
        card.paper.text(0.12, low - 0.24, key, va="center")

    left, top = (6.72, height) if len(result.panes) == 2 else (0.62, low - 0.3)
    box = np.array([left, FOOT, WIDTH - left - 0.15, top - HEAD - FOOT]) / all_of_it
    last, limits = result.films.last, ends(np.concatenate([curve.y for curve in result.curves.values()]), 0.08)
    curves = card.plane("curves", box, ticks=5, xlabel="step", xlim=(-0.02 * last, 1.02 * last), ylim=limits)
    curves.line([result.step, result.step], limits, color=style.QUIET, lw=1)
    for name, curve in result.curves.items():
        curves.line(curve.x, curve.y, lw=1.4, ls=dashes[name])
        curves.points(result.step, curve.now, marker="o", ms=5)
    card.paper.text(left, top - 0.2, f"{result.measure}, at step {result.step}", **TITLE)


def _draw_embedding(plane, film, t, classes, look):
    """The points of moment t, and the way of each prototype from the first moment to it, its name beside it."""
    mine = np.isin(film.labels, classes)
    plane.points(*film.points[t, ~mine].T, marker=".", ms=2.5, color=style.LINE)
    for n, (_, mark) in enumerate(look.marks):
        plane.points(*film.points[t, mine & (film.marks == n)].T, **{"alpha": 0.6, **mark})
    seen = [k for k in classes if np.isfinite(film.prototypes[t, k]).all()]
    for k in seen:
        plane.line(*film.prototypes[: t + 1, k].T, lw=0.9, marker=".", ms=3.5, alpha=0.8, zorder=2.1)
    draw_prototypes(plane, film.prototypes[t, seen], [look.classes[k] for k in seen], film.window.values())


def draw_prototypes(plane, places, names, limits):
    """Prototypes at their places (n, 2), the name of each beside it, in a plane with these limits of x and of y."""
    at, unit = plane.at(*places.T), plane.at(1, 1) - plane.at(0, 0)
    way = beside(at, names, plane.at(*limits)) - at
    edge = 1 - (_halves(names) / np.maximum(np.abs(way), 1e-9)).min(1, keepdims=True)  # where a name begins on its way
    labels = places + way / unit
    plane.segments(np.stack([places, places + np.maximum(edge, 0) * way / unit], 1), style.QUIET, lw=0.7)
    plane.points(*places.T, ms=8.5, zorder=3.2, **style.PROTOTYPE)
    for label, name in zip(labels, names, strict=True):
        plane.text(*label, name, size=8.5, weight="bold", ha="center", va="center", halo=True, zorder=3.3)


def beside(places, names, corners):
    """The middle of each name (n, 2), in units of the card: of the spots to both sides of its place (n, 2) the nearest
    where it covers no place and no other name, and stays between the corners (2, 2).

    Example
    -------
    >>> beside(np.array([[50, 50], [70, 50]]), ["A", "B"], [[0, 0], [100, 100]]).tolist()
    [[34.0, 50.0], [86.0, 50.0]]
    """
    placed, halves = np.zeros((0, 2)), _halves(names)
    for place, half in zip(places, halves, strict=True):
        across = half[0] + 10 + 16 * np.arange(6)
        spots = place + np.stack(np.meshgrid([*across, *-across], 16 * np.arange(-6, 7)), -1).reshape(-1, 2)
        wrong = (spots - half < np.min(corners, 0)).any(1) | (spots + half > np.max(corners, 0)).any(1)
        for others, room in ((places, 7), (placed, halves[: len(placed)])):
            wrong = wrong + (np.abs(spots[:, None] - others) < half + room).all(-1).sum(1)
        placed = np.r_[placed, spots[[np.argmin(1e4 * wrong + np.abs(spots - place).sum(1))]]]
    return placed


def _halves(names):
    """Half of the width and of the height of each name, (n, 2), in units of the card."""
    return np.array([[4.0 * len(name) + 2, 8] for name in names]).reshape(-1, 2)


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
            words.append(f"{name} has no saved moment yet at this step.")
            continue
        G = result.films.films[name].grounds[t]
        pairs = [(G[i, j], i, j) for i in range(len(G)) for j in range(i)]
        near, far = (f"{classes[j]} and {classes[i]} ({style.number(g)})" for g, i, j in (min(pairs), max(pairs)))
        grounds = f"by G the nearest classes are {near}, the farthest are {far}"
        grounds = grounds if G.any() else "G is 0, because not every class was seen yet"
        figures = ("MMD² of the marks drawn", result.gaps[name]), (result.measure, result.curves[name].now)
        words.append("; ".join([f"{name}: {grounds}", *(f"{of} {x:.3g}" for of, x in figures if np.isfinite(x))]) + ".")
    numbers = {}
    for name, row in result.films.rows.items():
        values = {key: f"{value:.1f}" if isinstance(value, float) else str(value) for key, value in row.items()}
        numbers[name] = " · ".join(text if key == "method" else f"{key} {text}" for key, text in values.items())
    return " ".join(words), numbers


def _named(runs, named):
    """{name: Saved} of runs and folders; one without a name is called by its folder, or by its method."""
    by_name = {}
    for run in runs:
        folder = run if isinstance(run, str | Path) else run.folder
        by_name[Path(folder).name if folder else run.settings.method] = run
    if len(by_name) < len(runs) or by_name.keys() & named:
        raise BadInput(f"runs: expected different names, found one twice; give names: scrub(first={runs[0]!r}, …)")
    return {name: saved(run) for name, run in {**by_name, **named}.items()}


def scrub(*runs: Run | Path | str, **named: Run | Path | str) -> Panel:
    """A slider over the time of one to three trainings: embedding, prototypes and G of each at that moment.

    As in `scrub("runs/joint", "runs/ours")` and `scrub(joint=joint, ours=ours)`, a run is a `Run` or the folder of a
    saved one, of which only the files are read: no data, no network. What is shown is what was known when the panel
    was opened.

    Raises `BadInput` for another number of runs, runs of two tasks, and a folder that cannot be used (see `saved`).
    """
    if not 1 <= (count := len(runs) + len(named)) <= 3:
        raise BadInput(f"runs: expected one to 3, found {count}; open another panel")
    films = Films(_named(runs, named))
    controls = {
        "step": steps("step", films.stops, films.stops[-1], plays=True),
        "classes": choice("classes", [ALL, *films.look.classes], ALL),
        "curve": choice("curve", list(films.curves), next(iter(films.curves))),
    }
    if count > 1:
        controls["show"] = choice("show", [EMBEDDING, GROUND], EMBEDDING)
    size = WIDTH, HEAD + SIDE + FOOT + (ROW if count == 3 else 0)
    return Panel("moments of training", controls, lambda state: compute(films, state), draw, describe, [list(controls)],
                 size, point)  # fmt: skip
