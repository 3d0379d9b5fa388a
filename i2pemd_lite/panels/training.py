"""Trainings that are watched and steered while they run: the curves of up to four runs beside each other.

A run waits for whoever asks for its next step, so a panel pauses it by not asking. Settings that a step reads afresh,
such as λ, are bound to a slider.
"""

import asyncio
import contextlib
import time
from typing import NamedTuple

import ipywidgets as widgets
import numpy as np

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider

LINES = ("-", "--", "-.", ":")  # one for each run
POINTS = 300  # of a curve, at most: more cannot be told apart
PERIOD = 0.4  # seconds between two pictures


class Terms(NamedTuple):
    """What the rows of a history are drawn as: `names` of columns, title, and whether they are counts of `per`."""

    title: str
    names: tuple
    per: float = 0.0


class Line(NamedTuple):
    """One curve: its label, where it is, which run's line style it has, and whether it is drawn heavily."""

    label: str
    x: np.ndarray
    y: np.ndarray
    run: int = 0
    heavy: bool = True


class Result(NamedTuple):
    """What the card shows of the runs."""

    run: str  # the chosen one
    groups: list  # of lists of `Line`: losses, counts where there are some, figures on held-back data
    changes: list  # (step, λ) of the chosen run: where λ changed
    ground: np.ndarray | None
    done: dict  # run -> (steps done, steps in all)
    figures: dict  # run -> what the latest evaluation gave for the chosen measure
    measure: str


class Record:
    """What is known of one run: a row of floats for each step, and the λ that the step used."""

    def __init__(self, run, others=()):
        self.run, self.waiting, self.ground = run, [], None
        self.rows = [dict(row) for row in run.history]
        # A fork shares its beginning, and so its λ, with the run that it was forked from.
        same = [other.weights for other in others if other.run.history[: len(self.rows)] == run.history]
        self.weights = (same or [[run.settings.weight] * len(self.rows)])[0][: len(self.rows)]
        bank = getattr(run.learner, "bank", None)
        if bank is not None:
            self.ground = bank.ground_distance()

    def take(self, step, weight):
        """Keep a step; its losses stay where they are until a picture is drawn."""
        self.waiting.append((step.number, step.losses))
        self.weights.append(weight)
        self.ground = step.ground

    def column(self, name, smooth):
        """Steps and values of one column, each value the mean of up to `smooth` steps, and at most POINTS of them."""
        self.rows += [{"step": n, **{k: float(v) for k, v in losses.items()}} for n, losses in self.waiting]
        self.waiting = []
        return column(self.rows, name, smooth)

    def scores(self, measure):
        """Steps and values of one figure on held-back data."""
        return column(self.run.evaluations, measure)

    def changes(self):
        """(step, λ) of the first step after each change of λ."""
        return changes(self.weights)


def column(rows, name, smooth=1):
    """Steps and values of one column of rows, each the mean of up to `smooth` rows, and at most POINTS of them.

    Example
    -------
    >>> column([{"step": 1, "ce": 3.0}, {"step": 2}, {"step": 3, "ce": 2.0}], "ce")
    (array([1., 3.]), array([3., 2.]))
    """
    found = [row for row in rows if name in row]
    kept = np.unique(np.linspace(0, len(found) - 1, min(len(found), POINTS)).round().astype(int)) if found else []
    y = [np.mean([row[name] for row in found[max(0, n - smooth + 1) : n + 1]]) for n in kept]
    return np.array([found[n]["step"] for n in kept], dtype=float), np.array(y, dtype=float)


def changes(weights):
    """(step, λ) of the first step after each change of λ, from the λ of each step.

    Example
    -------
    >>> changes([1, 1, 0.5, 0.5])
    [(3, 0.5)]
    """
    pairs = zip(weights, weights[1:], strict=False)
    return [(n, after) for n, (before, after) in enumerate(pairs, 2) if before != after]


class Training(Panel):
    """Curves of runs, with a slider for λ and a button that trains and pauses.

    Parameters
    ----------
    runs : dict of name -> Run, one to four of one task
    terms : tuple of `Terms`: the losses, and where there are some the counts
    measures : dict of words -> column of the evaluations, of which the first is shown at the beginning
    classes : names for the rows of the ground distance, which is drawn when there are no counts
    """

    def __init__(self, runs, terms, measures, classes):
        self.records = {name: Record(run) for name, run in runs.items()}
        self.terms, self.measures, self.classes = terms, measures, classes
        self._count(len(runs))
        first = next(iter(runs))
        controls = {
            "run": choice("run", list(runs), first, "200px"),
            "show": choice("losses", ["all of this run", *terms[0].names], "all of this run", "220px"),
            "smooth": slider("mean over (steps)", 5, 1, 50, 1, width="260px"),
            "measure": choice("held back", list(measures), next(iter(measures)), "250px"),
            "weight": slider("λ of this run", float(runs[first].settings.weight), 0.0, 4.0, 0.05, width="280px"),
        }
        controls["run"].observe(self._chosen, "value")
        controls["weight"].observe(self._weigh, "value")
        self.button = widgets.Button(description="Train", tooltip="Train the chosen run, or pause it")
        self.button.on_click(lambda _: self._toggle())
        self._task, self._drawn, self._following = None, 0.0, False
        layout = [["run", "show", "smooth"], ["measure", "weight"]]
        super().__init__("training", controls, self._look, self._paint, describe, layout, size=(9.4, 3.3))
        self.children[1].children += (self.button,)

    def _count(self, runs):
        if not 1 <= runs <= len(LINES):
            raise BadInput(f"runs: expected one to {len(LINES)}, found {runs}; open another panel")

    @property
    def chosen(self):
        """The record of the run that is chosen."""
        return self.records[self.controls["run"].value]

    def _chosen(self, change):
        if change["new"] is not None:
            self._follow(self.chosen.run)

    def _follow(self, run):
        """Move the slider to the run's λ, which may lie beyond its ends and stays as it is."""
        self._following = True
        self.controls["weight"].value = run.settings.weight
        self._following = False

    def _weigh(self, change):
        if not self._following:
            self.chosen.run.settings.weight = change["new"]

    def add(self, name, run):
        """Draw one more run, such as a fork, and choose it."""
        self._count(len({*self.records, name}))
        self.records[name] = Record(run, self.records.values())
        # A drop-down that gets new options falls back to the first; what is drawn in between is not worth it.
        self._quiet = True
        self.controls["run"].options = list(self.records)
        self.controls["run"].value = name
        self._quiet = False
        self.refresh()

    def go(self, steps=None, run=None):
        """Train a run (the chosen one) for some steps, or to its end, with the picture following."""
        if run is not None:
            self.controls["run"].value = run
        for _ in self._train(self.chosen, steps):
            pass

    def _train(self, record, steps=None):
        run = record.run
        last = len(run) if steps is None else min(len(run), run.number + steps)
        self._follow(run)
        try:
            while run.number < last:
                weight = run.settings.weight
                record.take(next(run), weight)
                if time.monotonic() - self._drawn > PERIOD:
                    self.refresh()
                yield
        finally:
            self.refresh()

    def refresh(self):
        super().refresh()
        self._drawn = time.monotonic()

    def _toggle(self):
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self.background())
        else:
            self._task.cancel()

    async def background(self):
        """Train the chosen run between other events, so that every control goes on working; the button's work."""
        self.button.description = "Pause"
        try:
            with contextlib.closing(self._train(self.chosen)) as steps:
                for _ in steps:
                    await asyncio.sleep(0.01)  # the kernel reads moved sliders and clicks here
        except Exception as error:
            self._report(error)
            raise
        finally:
            self.button.description, self._task = "Train", None

    def _shown(self, state):
        """name -> record of the runs that are drawn: all of them."""
        return self.records

    def _look(self, state):
        records = self._shown(state)
        chosen, names = records[state["run"]], list(records)
        smooth, show = state["smooth"], state["show"]
        if show in self.terms[0].names:
            losses = [Line(n, *r.column(show, smooth), i, r is chosen) for i, (n, r) in enumerate(records.items())]
        else:
            here = names.index(state["run"])
            losses = [Line(term, *chosen.column(term, smooth), here) for term in self.terms[0].names]
        groups = [losses]
        for counts in self.terms[1:]:
            columns = [(name, *chosen.column(name, smooth)) for name in counts.names]
            groups.append([Line(n.replace("_", ", "), x, y / counts.per, i) for i, (n, x, y) in enumerate(columns)])
        measure = state["measure"]
        name = self.measures[measure]
        groups.append([Line(n, *r.scores(name), i, r is chosen) for i, (n, r) in enumerate(records.items())])
        return Result(
            state["run"],
            groups,
            chosen.changes(),
            None if len(self.terms) > 1 or chosen.ground is None else chosen.ground.cpu().numpy(),
            {name: (record.run.number, len(record.run)) for name, record in records.items()},
            {line.label: line.y[-1] for line in groups[-1] if len(line.y)},
            measure,
        )

    def _paint(self, figure, result):
        art = style.artists(figure, lambda figure: _Card(figure, self.terms, self.classes))
        total = max(total for _, total in result.done.values())
        for axes, lines in zip(art.lines, result.groups, strict=True):
            axes.show(lines, total)
        art.lines[0].mark(result.changes)
        art.title.set_text(f"{result.measure} on held-back data (%)")
        if art.ground is not None:
            art.ground.show(np.zeros((len(self.classes),) * 2) if result.ground is None else result.ground)


class _Card:
    """The artists: losses on a logarithmic scale, counts where there are some, figures in percent, and else G."""

    def __init__(self, figure, terms, classes):
        width = 0.235
        boxes = [[0.05 + 0.335 * i, 0.14, width, 0.72] for i in range(3)]
        self.lines = [Curves(figure.add_axes(boxes[0]), terms[0].title, log=True)]
        for counts, box in zip(terms[1:], boxes[1:], strict=False):
            self.lines.append(Curves(figure.add_axes(box), counts.title, (0, 1.02)))
        box = boxes[len(self.lines)]
        self.lines.append(Curves(figure.add_axes(box), "", (0, 102)))
        self.title = figure.text(box[0], 0.895, "", size=9.5)
        self.ground = None
        if len(terms) == 1:
            axes = figure.add_axes([0.755, 0.06, 0.24, 0.66])
            self.ground = style.Matrix(axes, "", classes, classes)
            figure.text(0.755, 0.895, "G of this run, now (Eq. 5)", size=9.5)


class Curves:
    """Axes with a pool of lines, each with its label at its right end."""

    def __init__(self, axes, title, limits=None, log=False):
        self.axes, self.log, self.fixed = axes, log, limits
        axes.set(title=title, xlabel="step")
        if log:
            axes.set_yscale("log")
            axes.set_yticks([m * 10.0**e for e in range(-5, 4) for m in (1, 2, 5)])
            axes.yaxis.set_major_formatter(lambda value, _: style.number(value, 5))
            axes.minorticks_off()
        if limits:
            axes.set_ylim(*limits)
        self.pool = [axes.plot([], [], color=style.BLACK, marker="o", ms=0)[0] for _ in range(6)]
        self.labels = [axes.text(0, 0, "", size=8, va="center") for _ in self.pool]
        self.marks = axes.plot([], [], color=style.QUIET, lw=0.8)[0]
        self.note = axes.text(0, 0, "", size=8, color=style.QUIET, va="top")

    def show(self, lines, total):
        style.limits(self.axes, (0, 1.36 * total))
        lines = [line for line in lines if len(line.x)]
        low, high = self._limits([line.y for line in lines])
        for artist, line in zip(self.pool, lines, strict=False):
            artist.set_data(line.x, np.clip(line.y, low, None) if self.log else line.y)
            artist.set(linestyle=LINES[line.run % 4], linewidth=1.6 if line.heavy else 1.0)
            artist.set(color=style.BLACK if line.heavy else style.QUIET, markersize=3 if len(line.x) < 12 else 0)
        for artist, label in list(zip(self.pool, self.labels, strict=True))[len(lines) :]:
            artist.set_data([], [])
            label.set_text("")
        ends = apart([self._scaled(line.y[-1], low, high) for line in lines], 0.075)
        for label, line, height in zip(self.labels, lines, ends, strict=False):
            label.set_position((line.x[-1] + 0.03 * total, self._value(height, low, high)))
            label.set(text=line.label, color=style.BLACK if line.heavy else style.QUIET)

    def mark(self, changes):
        """A thin vertical line at each change of λ, and the value after the last one."""
        low, high = self.axes.get_ylim()
        self.marks.set_data(*np.array([[(n, n, n), (low, high, np.nan)] for n, _ in changes]).reshape(-1, 2, 3)
                            .transpose(1, 0, 2).reshape(2, -1))  # fmt: skip
        self.note.set_text(f" λ {style.number(changes[-1][1])}" if changes else "")
        self.note.set_position((changes[-1][0], high) if changes else (0, low))

    def _limits(self, values):
        """Fixed ones, or powers of two around what is shown, so that they seldom change."""
        if self.fixed:
            return self.fixed
        seen = np.concatenate(values) if values else np.array([])
        seen = seen[seen > 0]
        low, high = (seen.min(), seen.max()) if len(seen) else (0.1, 1.0)
        low, high = 2.0 ** np.floor(np.log2(max(low, high / 2**12))), 2.0 ** np.ceil(np.log2(high) + 0.01)
        low = min(low, high / 4)
        style.limits(self.axes, y=(low, high))
        return low, high

    def _scaled(self, value, low, high):
        if self.log:
            return np.log(max(value, low) / low) / np.log(high / low)
        return (value - low) / (high - low)

    def _value(self, height, low, high):
        return low * (high / low) ** height if self.log else low + height * (high - low)


def apart(heights, gap):
    """The heights, moved up just enough to lie `gap` apart, so that labels do not overlap.

    Example
    -------
    >>> apart([0.5, 0.0, 0.1], 0.25)
    [0.5, 0.0, 0.25]
    """
    placed, floor = list(heights), -np.inf
    for k in np.argsort(heights):
        placed[k] = floor = max(placed[k], floor + gap)
    return placed


def describe(result):
    """Where the runs stand, in words and numbers."""
    number, total = result.done[result.run]
    found = ", ".join(f"{name} {value:.1f}" for name, value in result.figures.items())
    words = f"Run {result.run} has done {number} of {total} steps. " + (
        f"{result.measure} on held-back data, in percent: {found}." if found else "Nothing was evaluated yet."
    )
    last = {line.label: f"{line.y[-1]:.3g}" for lines in result.groups[:-1] for line in lines if len(line.y)}
    return words, {"step": f"{number} of {total}", **last, **{f"{result.measure}, {n}": f"{v:.1f}"
                   for n, v in result.figures.items()}}  # fmt: skip
