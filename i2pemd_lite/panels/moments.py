"""Scrubbing through training time: embedding, prototypes and G of saved runs at each moment that they kept.

All moments of a run lie in one plane, fitted to all of their features together, so that what moves has moved. Two runs
have two planes: their features mean different things, and places must not be compared.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from i2pemd_lite.classification import CLASSES as LESIONS
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.curves import LINES, column
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


def _letters():
    ink = (style.BLUE, style.ORANGE, "#1c7c54", style.RED, "#6a3d9a", "#7a5c00", style.QUIET)
    letters = zip(LESIONS, ("M", "N", "C", "A", "B", "D", "V"), ink, strict=True)
    return tuple((f"{letter} {name}", {"marker": f"${letter}$", "color": c, "ms": 5.5}) for name, letter, c in letters)


LOOKS = {
    "segmentation": Look(
        SHORT,
        (
            ("CT ○", {**style.SOURCE, "mfc": "none", "ms": 4}),
            ("MR ×", {**style.TARGET, "markeredgewidth": 1.1, "ms": 4}),
        ),
        "groups",
        {"DOC (%)": "doc", "mI2PEMD": "mi2pemd", "MMD²": "mmd"},
    ),
    "classification": Look(
        LESIONS, _letters(), "labels", {"AUC (%)": "auc", "top-1 accuracy (%)": "top1", "F1 (%)": "f1"}
    ),
}


class Film(NamedTuple):
    """All moments of a run in its one plane, ready to be drawn."""

    steps: np.ndarray  # (T,)
    points: np.ndarray  # (T, n, 2)
    prototypes: np.ndarray  # (T, K, 2), NaN where the class was not seen yet
    grounds: np.ndarray  # (T, K, K)
    labels: np.ndarray  # (n,)
    marks: np.ndarray  # (n,) which mark a point has
    part: float  # of the variance of all features of all moments that lies in the plane
    middle: np.ndarray  # (2,) of the picture
    half: float  # its half side, feature units


class Shot(NamedTuple):
    """One run at one moment."""

    step: int | None  # of the moment; None: the run kept none so early
    film: Film
    index: int  # of the moment in the film


class Curve(NamedTuple):
    """One figure of one run over the steps, and where it stands at the cursor."""

    x: np.ndarray
    y: np.ndarray
    now: float  # NaN before the first


class Result(NamedTuple):
    """What the card shows: two panes, each (what, run), and the curves of all runs."""

    step: int
    last: int  # the step at which the longest run ends
    panes: list
    shots: dict  # run -> Shot
    shown: list  # indices of the classes that are drawn
    curves: dict  # run -> Curve
    measure: str
    look: Look
    rows: dict  # run -> its row of the table


def film(moments, look):
    """The moments of a run in the plane of their largest variance -> `Film`."""
    from sklearn.decomposition import PCA

    features = np.stack([moment.features.astype(np.float32) for moment in moments])  # (T, n, d)
    plane = PCA(2, svd_solver="covariance_eigh").fit(features.reshape(-1, features.shape[-1]))
    points = (features - plane.mean_) @ plane.components_.T
    prototypes = (np.stack([moment.prototypes for moment in moments]) - plane.mean_) @ plane.components_.T
    prototypes[~np.stack([moment.seen for moment in moments])] = np.nan
    low, high = np.quantile(points.reshape(-1, 2), (0.005, 0.995), axis=0)
    ends = [low, high, *prototypes[~np.isnan(prototypes).any(-1)]]
    low, high = np.min(ends, axis=0), np.max(ends, axis=0)
    return Film(
        np.array([moment.step for moment in moments]),
        points,
        prototypes,
        np.stack([moment.ground for moment in moments]),
        moments[0].labels,
        getattr(moments[0], look.by),
        float(plane.explained_variance_ratio_.sum()),
        (low + high) / 2,
        0.55 * float(max(*(high - low), 1e-6)),
    )


class Films:
    """The films, curves and table rows of some saved runs."""

    def __init__(self, runs):
        tasks = {run.task for run in runs.values()}
        if len(tasks) > 1 or not tasks <= LOOKS.keys():
            found = ", ".join(f"{run.task or 'no task'} of {name}" for name, run in runs.items())
            raise BadInput(f"runs: expected runs of one task, {' or '.join(LOOKS)}, found {found}; open two panels")
        for run in runs.values():
            if not run.moments:
                do = "train it again with this version, or resume it: it keeps one at each evaluation"
                raise BadInput(f"{run.place}: expected moments of the training, found none in moments/; {do}")
            for moment in run.moments:
                if not np.isfinite(moment.features).all():
                    do = "it has diverged; lower its learning_rate"
                    raise BadInput(f"{run.place}: expected finite features, found others at step {moment.step}; {do}")
        self.look = LOOKS[tasks.pop()]
        for run in runs.values():
            if (K := len(run.moments[0].prototypes)) != len(self.look.classes):
                do = "another version trained it: train it again"
                raise BadInput(f"{run.place}: expected prototypes of {len(self.look.classes)} classes, found {K}; {do}")
        self.runs = runs
        self.films = {name: film(run.moments, self.look) for name, run in runs.items()}
        self.stops = sorted({int(step) for film in self.films.values() for step in film.steps})
        self.last = max(self.stops[-1], *(run.number for run in runs.values()), 1)
        self.rows = {name: row(run, self.look) for name, run in runs.items()}
        terms = dict.fromkeys(name for run in runs.values() for line in run.history[:1] for name in line)
        self.measures = [*self.look.measures, *(name for name in terms if name not in ("step", "learning_rate"))]
        self.curves = {measure: {name: self._curve(run, measure) for name, run in runs.items()}
                       for measure in self.measures}  # fmt: skip

    def _curve(self, run, measure):
        """Steps and values; a loss is the mean of up to a sixtieth of the steps."""
        if measure in self.look.measures:
            return column(run.evaluations, self.look.measures[measure])
        return column(run.history, measure, max(len(run.history) // 60, 1))

    def shot(self, name, step):
        """The latest moment of a run not after `step`."""
        film = self.films[name]
        index = int(np.searchsorted(film.steps, step, side="right")) - 1
        return Shot(int(film.steps[index]) if index >= 0 else None, film, index)


def row(run, look):
    """What the table says of a saved run: its settings, and its figure at the last evaluation and at the best one."""
    words, column = next(iter(look.measures.items()))
    found = [(line[column], line["step"]) for line in run.evaluations if column in line]
    known = [pair for pair in found if np.isfinite(pair[0])]
    best, at = max(known, key=lambda pair: pair[0], default=(np.nan, "-"))
    return {
        "method": run.settings["method"],
        "λ": float(run.settings["weight"]),
        "seed": run.settings["seed"],
        "steps": f"{run.number} of {run.settings['steps']}",
        f"{words}, last": found[-1][0] if found else np.nan,
        "best": best,
        "at step": at,
    }


def compute(films, state):
    """The runs at one moment: state has step, curve, and where there are choices classes, show, left and right."""
    names, K = list(films.runs), len(films.look.classes)
    left = state.get("left", names[0])
    right = state.get("right", names[-1])
    show = state.get("show", EMBEDDING)
    panes = [(EMBEDDING, left), (GROUND, left)] if len(names) == 1 else [(show, left), (show, right)]
    shown = list(range(K)) if state["classes"] == ALL else [films.look.classes.index(state["classes"])]
    step, curves = state["step"], {}
    for name, (x, y) in films.curves[state["curve"]].items():
        before = int(np.searchsorted(x, step, side="right")) - 1
        curves[name] = Curve(x, y, y[before] if before >= 0 else np.nan)
    shots = {name: films.shot(name, step) for name in names}
    return Result(step, films.last, panes, shots, shown, curves, state["curve"], films.look, films.rows)


def draw(figure, result):
    """Two panes, each an embedding or a matrix, and the curves with a cursor at the step."""
    art = style.artists(figure, lambda figure: _Card(figure, result))
    for pane, (what, name) in zip(art.panes, result.panes, strict=True):
        pane.show(what, name, result.shots[name], result.shown)
    art.key.set_text(art.words if EMBEDDING in dict(result.panes) else "")
    art.curves.show(result)


WIDTH, HEIGHT = 9.4, 3.75
SIDE, BOTTOM = 2.72, 0.52  # inches: side of a pane, and what is below it


class _Card:
    """The artists of two panes and of the curves."""

    def __init__(self, figure, result):
        both = len(result.shots) > 1
        self.panes = [_Pane(figure, 0.12 + (SIDE + 0.2) * j, result.look, both or j == 0, both or j == 1)
                      for j in range(2)]  # fmt: skip
        self.curves = _Curves(figure, [0.7, BOTTOM / HEIGHT, 0.292, SIDE / HEIGHT], list(result.curves))
        self.words = "   ".join(name for name, _ in result.look.marks) + "   ◆ prototype and its way"
        self.key = figure.text(0.12 / WIDTH, 0.1 / HEIGHT, "", size=8, color=style.INK)


class _Pane:
    """A plane and a matrix in one place, of which one is seen."""

    def __init__(self, figure, left, look, plane, matrix):
        self.look, self.axes, self.matrix = look, None, None
        box = [left / WIDTH, BOTTOM / HEIGHT, SIDE / WIDTH, SIDE / HEIGHT]
        self.title = figure.text(box[0], 1 - 0.2 / HEIGHT, "", size=9.5, weight="bold", va="center")
        self.note = figure.text(box[0], 1 - 0.4 / HEIGHT, "", size=8.5, color=style.QUIET, va="center")
        if plane:
            self.axes = figure.add_axes(box)
            self.axes.set(xticks=[], yticks=[])
            self.axes.spines[:].set_visible(True)
            self.others = self.axes.plot([], [], ls="", marker=".", ms=2.5, color=style.LINE)[0]
            self.points = [self.axes.plot([], [], ls="", alpha=0.6, **mark)[0] for _, mark in look.marks]
            self.ways = self.axes.plot([], [], color=style.BLACK, lw=0.9, marker=".", ms=3.5, alpha=0.8)[0]
            self.leaders = self.axes.plot([], [], color=style.QUIET, lw=0.7)[0]
            self.prototypes = self.axes.plot([], [], ls="", ms=8.5, **style.PROTOTYPE)[0]
            paper = {"facecolor": style.CARD, "edgecolor": "none", "alpha": 0.85, "pad": 0.8}
            self.names = [self.axes.text(0, 0, "", size=8.5, weight="bold", va="center", bbox=paper)
                          for _ in look.classes]  # fmt: skip
        if matrix:
            # Below the labels of its columns, and right of those of its rows.
            inner = figure.add_axes([(left + 0.52) / WIDTH, BOTTOM / HEIGHT, (SIDE - 0.54) / WIDTH, 2.42 / HEIGHT])
            K = len(look.classes)
            self.matrix = style.Matrix(inner, "", look.classes, look.classes, (K - 1) / K)  # its largest value (Eq. 4)
            inner.tick_params(labelsize=7)
            inner.tick_params(axis="x", labelrotation=30)
            for label in inner.get_xticklabels():
                label.set_ha("left")

    def show(self, what, name, shot, shown):
        """One run at one moment."""
        for kind, axes in ((EMBEDDING, self.axes), (GROUND, self.matrix and self.matrix.axes)):
            if axes is not None and axes.get_visible() != (kind == what):
                axes.set_visible(kind == what)
        at = "no moment so early" if shot.step is None else f"step {shot.step}"
        self.title.set_text(f"{short(name)}, {at}" if what == EMBEDDING else f"G of {short(name)}, {at}")
        if what == EMBEDDING:
            self.note.set_text(f"{100 * shot.film.part:.0f} % of the variance of all moments lies here")
            self._show_plane(shot, shown)
        else:
            ground = np.zeros_like(shot.film.grounds[0]) if shot.step is None else shot.film.grounds[shot.index]
            self.note.set_text("Eq. 5" if ground.any() else "0: not every class was seen yet")
            self.matrix.show(ground)

    def _show_plane(self, shot, shown):
        film, now = shot.film, slice(shot.index, shot.index + 1)  # empty before the first moment
        (x, y), half = film.middle, film.half
        style.limits(self.axes, (x - half, x + half), (y - half, y + half))
        among = np.isin(film.labels, shown)
        self.others.set_data(*film.points[now, ~among].reshape(-1, 2).T)
        for mark, artist in enumerate(self.points):
            artist.set_data(*film.points[now, among & (film.marks == mark)].reshape(-1, 2).T)
        ways = film.prototypes[: shot.index + 1, shown]  # (t, k, 2)
        gaps = np.full((1, len(shown), 2), np.nan)
        self.ways.set_data(*np.concatenate([ways, gaps]).swapaxes(0, 1).reshape(-1, 2).T)
        places = film.prototypes[now, shown].reshape(-1, 2)
        self.prototypes.set_data(*places.T)
        for text in self.names:
            text.set_text("")
        seen = [(k, place) for k, place in zip(shown, places, strict=False) if np.isfinite(place).all()]
        heights = style.apart([place[1] for _, place in seen], 0.13 * half)
        leaders = []
        for (k, place), height in zip(seen, heights, strict=True):
            side = -1 if place[0] > x + 0.4 * half else 1
            end = place[0] + 0.12 * half * side
            self.names[k].set(x=end, y=height, ha="left" if side > 0 else "right")
            self.names[k].set_text(self.look.classes[k])
            leaders += [place, (end, height), (np.nan, np.nan)]
        self.leaders.set_data(*np.array(leaders).reshape(-1, 2).T)


def short(name):
    """A name of at most 18 letters, its middle left out, because names differ at their ends.

    Example
    -------
    >>> short("joint_sepbn_i2pemd"), short("joint_sepbn_i2pemd_fix")
    ('joint_sepbn_i2pemd', 'joint_sep…pemd_fix')
    """
    return name if len(name) <= 18 else f"{name[:9]}…{name[-8:]}"


class _Curves:
    """One line for each run, and a cursor."""

    def __init__(self, figure, box, names):
        self.axes = figure.add_axes(box)
        self.axes.set_xlabel("step")
        self.axes.locator_params(nbins=5)
        self.title = figure.text(box[0], 1 - 0.2 / HEIGHT, "", size=9.5, weight="bold", va="center")
        self.cursor = self.axes.plot([], [], color=style.QUIET, lw=1)[0]
        self.lines = {name: self.axes.plot([], [], color=style.BLACK, lw=1.4, ls=LINES[j])[0]
                      for j, name in enumerate(names)}  # fmt: skip
        self.now = self.axes.plot([], [], ls="", marker="o", ms=5, color=style.BLACK)[0]
        self.leaders = self.axes.plot([], [], color=style.QUIET, lw=0.7)[0]
        self.labels = {name: self.axes.text(0, 0, "", size=8, va="center") for name in names}

    def show(self, result):
        """The curves of the measure, from 0 to the last step, with room for their names."""
        known = [curve.y[np.isfinite(curve.y)] for curve in result.curves.values()]
        values = np.concatenate([*known, [0.0]]) if not sum(map(len, known)) else np.concatenate(known)
        room = 0.08 * (values.max() - values.min()) or 0.1 * abs(values.max()) or 1.0
        low, high = values.min() - room, values.max() + room
        room = 0.08 + 0.024 * max(map(len, map(short, self.labels)))  # of a letter of 8 points in the width
        style.limits(self.axes, (-0.02 * result.last, result.last / (1 - room)), (low, high))
        self.cursor.set_data([result.step, result.step], [low, high])
        drawn = {name: curve for name, curve in result.curves.items() if len(curve.x)}
        for name, label in self.labels.items():
            self.lines[name].set_data(*result.curves[name][:2])
            label.set_text("")
        heights = style.apart([curve.y[-1] for curve in drawn.values()], 0.07 * (high - low))
        leaders, end = [], 1.04 * result.last
        for (name, curve), height in zip(drawn.items(), heights, strict=True):
            self.labels[name].set(x=end, y=height)
            self.labels[name].set_text(short(name))
            leaders += [(curve.x[-1], curve.y[-1]), (end, height), (np.nan, np.nan)]
        self.leaders.set_data(*np.array(leaders).reshape(-1, 2).T)
        self.now.set_data([result.step] * len(drawn), [curve.now for curve in drawn.values()])
        self.title.set_text(f"{result.measure}, cursor at step {result.step}")


def point(figure, result, at, pressed):
    """A touch of the curves moves the cursor to the nearest moment that some run kept."""
    place = style.place(figure.house_artists.curves.axes, at)
    if place is None:
        return {}
    stops = {int(step) for shot in result.shots.values() for step in shot.film.steps}
    return {"step": min(stops, key=lambda step: abs(step - place[0]))}


def describe(result):
    """Where each run stands at the step, and what it came to."""
    words, classes = [f"Step {result.step}."], result.look.classes
    for name, shot in result.shots.items():
        if shot.step is None:
            words.append(f"{name} kept no moment so early.")
            continue
        G = shot.film.grounds[shot.index]
        upper = [(G[i, j], i, j) for i in range(len(G)) for j in range(i)]
        near, far = (f"{classes[j]} and {classes[i]} ({style.number(g)})" for g, i, j in (min(upper), max(upper)))
        said = f"nearest by G are {near}, farthest {far}" if G.any() else "G is 0, because not every class was seen"
        now = result.curves[name].now
        words.append(f"{name}: {said}" + (f"; {result.measure} {now:.3g}." if np.isfinite(now) else "."))
    return " ".join(words), {name: said_in_a_line(row) for name, row in result.rows.items()}


def said_in_a_line(row):
    """A row of the table as text.

    Example
    -------
    >>> said_in_a_line({"method": "joint", "λ": 1.0, "seed": 0, "steps": "24 of 24", "DOC (%), last": 71.23})
    'joint · λ 1.0 · seed 0 · steps 24 of 24 · DOC (%), last 71.2'
    """
    values = {name: f"{value:.1f}" if isinstance(value, float) else str(value) for name, value in row.items()}
    return " · ".join(text if name == "method" else f"{name} {text}" for name, text in values.items())


def table(*runs, **named):
    """The runs as a `Report`: method, λ, seed, steps, and the figure of the last evaluation and of the best one.

    Runs are given as to `scrub`, any number of them, of one task.
    """
    found = _named(runs, named)
    looks = {run.task: LOOKS.get(run.task) for run in found.values()}
    if len(looks) != 1 or None in looks.values():
        raise BadInput(f"runs: expected runs of one task, {' or '.join(LOOKS)}, found {', '.join(looks) or 'none'}")
    (look,) = looks.values()
    return Report("Runs, by their files", [{"run": name, **row(run, look)} for name, run in found.items()])


def _named(runs, named):
    """{name: Saved} of runs and folders; one without a name is called by its folder, or by its method."""
    found = {}
    for run in runs:
        folder = run if isinstance(run, str | Path) else run.folder
        found[Path(folder).name if folder else run.settings.method] = run
    if len(found) < len(runs) or found.keys() & named:
        raise BadInput(f"runs: expected names of their own, found one twice; say them: scrub(first={runs[0]!r}, …)")
    return {name: saved(run) for name, run in {**found, **named}.items()}


def scrub(*runs, **named):
    """A slider over the time of one to three trainings: embedding, prototypes and G of each at that moment.

    A run is a `Run` or the folder of a saved one, of which only the files are read: no data, no network. What is shown
    is what was known when the panel was opened.

    Raises
    ------
    BadInput
        for another number of runs, runs of two tasks, and a folder whose files cannot be used (see `saved`)

    Example
    -------
        scrub("runs/joint", "runs/ours")
        scrub(joint=joint, ours=ours)
    """
    if not 1 <= len(runs) + len(named) <= MOST:
        raise BadInput(f"runs: expected one to {MOST}, found {len(runs) + len(named)}; open another panel")
    films = Films(_named(runs, named))
    names = list(films.runs)
    controls = {
        "step": steps("step", films.stops, films.stops[-1], "420px"),
        "curve": choice("curve", films.measures, films.measures[0], "210px"),
        "classes": choice("classes", [ALL, *films.look.classes], ALL, "200px"),
    }
    if len(names) > 1:
        controls["show"] = choice("show", [EMBEDDING, GROUND], EMBEDDING, "210px")
    if len(names) > 2:
        controls["left"] = choice("left", names, names[0], "180px")
        controls["right"] = choice("right", names, names[-1], "180px")
    first, *others = controls
    return Panel(
        "moments of training",
        controls,
        lambda state: compute(films, state),
        draw,
        describe,
        layout=[[first], others],
        size=(WIDTH, HEIGHT),
        point=point,
    )
