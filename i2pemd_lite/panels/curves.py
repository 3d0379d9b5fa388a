"""Curves of runs: their losses step by step, and their figures on held-back data, of up to four beside each other."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.card import nice
from i2pemd_lite.panels.engine.slider import choice, slider, steps
from i2pemd_lite.runs.task import Task

LINES = ("-", "--", "-.", ":")  # one for each run
POINTS = 300  # of a curve, at most: more cannot be told apart
ALL = "all of this run"  # what is chosen where all losses of one run are drawn
OTHERS = "the last others"  # what is chosen where as many runs as there are lines stand beside each other
ZOOMS = [(f"{n} ×", n) for n in (1, 2, 4, 10, 20)]
SAID = {"weight": "λ", "momentum": "α", "learning_rate": "learning rate", "tau_low": "τ_low", "tau_high": "τ_high",
        "top": "T", "weight_kd": "weight of KD", "weight_i2ped": "weight of I2PED"}  # fmt: skip
"""What settings are called beside a curve and on a slider; others have their own name."""


class Shown(NamedTuple):
    """How the runs of a task are drawn: columns of a history and their title, words -> columns of the evaluations, and
    names for the rows of G. `counts` are columns too, that count some of the unlabelled images of a step; `batch` says
    which settings are the size of a batch."""

    task: Task
    title: str
    losses: tuple
    measures: dict
    classes: tuple
    counts: tuple = ()
    batch: tuple = ("batch",)


class Line(NamedTuple):
    """One curve: its label, where it is, which line style it has, and whether it is drawn heavily."""

    label: str
    x: np.ndarray
    y: np.ndarray
    style: int = 0
    heavy: bool = True


def column(rows, name, smooth=1, window=(0, np.inf)):
    """Steps and values of one column of rows in a window of steps, each the mean of up to `smooth` rows, and at most
    POINTS of them.

    Example
    -------
    >>> column([{"step": 1, "ce": 3.0}, {"step": 2}, {"step": 3, "ce": 2.0}], "ce")
    (array([1., 3.]), array([3., 2.]))
    """
    rows = [row for row in rows if name in row]
    inside = [n for n, row in enumerate(rows) if window[0] <= row["step"] <= window[1]]
    at = np.unique(np.linspace(0, len(inside) - 1, min(len(inside), POINTS)).round().astype(int))
    at = [inside[n] for n in at]
    y = [np.mean([row[name] for row in rows[max(0, n - smooth + 1) : n + 1]]) for n in at]
    return np.array([rows[n]["step"] for n in at], dtype=float), np.array(y, dtype=float)


def said(name):
    """A setting as panels call it."""
    return SAID.get(name, name)


def validated(runs):
    """What stands before the figures of runs: that they are of the validation part, where one chooses the weights."""
    return "Validation " * any("selection" in line for run in runs for line in run.evaluations)


def offers(shown):
    """Which losses, and which figures on held-back data, can be chosen."""
    return {"show": [ALL, *shown.losses, *shown.counts], "measure": list(shown.measures)}


def controls(shown, names):
    """The controls of what is watched of the runs of these names, as `watched` has them in its state."""
    show, measure = offers(shown).values()
    return {
        "run": choice("run", list(names), next(iter(names), None)),
        "show": choice("curve", show, ALL),
        "measure": choice("held back", measure, measure[0]),
        "beside": choice("beside it", [OTHERS, *names], OTHERS),
        "smooth": slider("mean over (steps)", 5, 1, 50, 1),
        "zoom": steps("zoom", ZOOMS, 1),
        "at": slider("zoomed in at (% of the steps)", 100, 0, 100, 5),
    }


def watched(shown, runs, state, about, ticked=None):
    """What the controls say of `runs`, {name: one with a history, evaluations and changes}.

    names: of the run of the `state` and those beside it;  losses, scores, counts: lists of `Line`, the last empty where
    there are none;  measure: the figure of the scores, of validation where it chooses the weights to keep;  window: the
    steps that are drawn;  changes: those of the run in it, as [(step, words)]

    `about` has (profile, steps to draw) of each run; its profile is behind its name where not all are the same. Where
    names are `ticked`, those are drawn.
    """
    run, others = runs[state["run"]], [name for name in runs if name != state["run"]]
    if (beside := ticked) is None:
        beside = [state["beside"]] if state["beside"] in runs else others[1 - len(LINES) :]
    names = [name for name in runs if name == state["run"] or name in beside]
    apart, total = len({about[name][0] for name in names}) > 1, max(about[name][1] for name in names)
    wide = total / state["zoom"]
    low = min(max(state["at"] / 100 * total - wide / 2, 0), total - wide)
    window = low, low + wide

    def each(table, name, smooth=1):
        labels = [f"{who} ({about[who][0]})" if apart else who for who in names]
        return [Line(label, *column(getattr(runs[who], table), name, smooth, window), i, who == state["run"])
                for i, (who, label) in enumerate(zip(names, labels, strict=True))]  # fmt: skip

    def own(columns):
        return [Line(name.replace("_", ", "), *column(run.history, name, state["smooth"], window)) for name in columns]

    chosen, changes = state["show"] != ALL, {}
    for step, name, value in run.changes:
        if window[0] <= step <= window[1]:
            changes.setdefault(step, []).append(f"{said(name)} {written(value)}")
    return SimpleNamespace(
        names=names, window=window, changes=[(step, ", ".join(words)) for step, words in changes.items()],
        losses=each("history", state["show"], state["smooth"]) if chosen else own(shown.losses),
        scores=each("evaluations", shown.measures[state["measure"]]), counts=own(shown.counts),
        measure=validated(runs[name] for name in names) + state["measure"], classes=shown.classes,
        title=f"{state['show']} of the unlabelled in a step" if state["show"] in shown.counts else shown.title,
    )  # fmt: skip


def written(value):
    """The value of a setting, also of a small one such as a learning rate.

    Example
    -------
    >>> written(0.25), written(2e-5), written(12)
    ('.25', '2e-05', '12')
    """
    return style.number(value) if value == 0 or abs(value) >= 0.01 else f"{value:g}"


def last_values(lines, digits):
    """{label: the last value, in words} of the lines that have one."""
    return {line.label: format(line.y[-1], digits) for line in lines if len(line.y)}


def told(result):
    """What the last figures, of the chosen run first, and losses are: words, numbers."""
    scores = last_values(sorted(result.scores, key=lambda line: not line.heavy), ".1f")
    words = ", ".join(f"{name} {value}" for name, value in scores.items())
    words = f"{result.measure} in percent: {words}." if scores else "Nothing has been evaluated yet."
    numbers = last_values([*result.losses, *result.counts], ".3g")
    return words, numbers | {f"{result.measure}, {name}": value for name, value in scores.items()}


def draw_watched(card, result, losses, scores):
    """The losses in one box of the card, the figures on held-back data in the other."""
    draw_curves(card, "losses", losses, result.losses, result.window, result.title, changes=result.changes)
    title = result.measure + " on held-back data" * (not result.measure.startswith("Validation")) + " (%)"
    draw_curves(card, "scores", scores, result.scores, result.window, title, (0, 102), result.changes)


def draw_curves(card, name, box, lines, window, title="", limits=None, changes=()):
    """The lines that have points in a plane of a window of steps, each with its label to the right of all.

    With `limits`, of what the values can be, the axis has as many tenths of it as hold them; without, it is logarithmic
    between powers of two. Each (step, words) of `changes` is a thin vertical line, with its words above all curves.
    """
    lines = [line for line in lines if len(line.x)]
    values, wide = np.concatenate([[], *(line.y for line in lines)]), window[1] - window[0]
    low, high = _tenths(values, *limits) if limits else _powers(values)
    scale, back = (float, float) if limits else (np.log, np.exp)
    gap = 13 / (box[3] * card.height)  # of a line of text in the height
    high = back(scale(high) + (scale(high) - scale(low)) * (room := gap * min(len(changes), 3)) / (1 - room))
    ticks = nice(*window, min(6, max(2, box[2] * card.width / 65)))  # none under the names, where no step is
    plane = card.plane(name, box, xlabel="step", title=title, xlim=(window[0], window[0] + 1.36 * wide),
                       xticks=ticks, ylim=(low, high), yscale="linear" if limits else "log")  # fmt: skip
    bottom, height = scale(low), scale(high) - scale(low)
    ends = [(scale(max(line.y[-1], low)) - bottom) / height for line in lines]
    ends = style.apart([max(end, gap / 2) for end in ends], gap, 1.0)  # clear of the axis
    aside = max((line.x[-1] for line in lines), default=0) + 0.05 * wide  # of all lines, so that no name lies on one
    for line, end in zip(lines, ends, strict=True):
        ink, width = (style.BLACK, 1.6) if line.heavy else (style.QUIET, 1.0)
        y, marker = np.maximum(line.y, low), "o" if len(line.x) < 12 else ""
        plane.line(line.x, y, ls=LINES[line.style % 4], lw=width, color=ink, marker=marker, ms=3)
        up = back(bottom + end * height)
        plane.line([line.x[-1] + 0.01 * wide, aside - 0.01 * wide], [y[-1], up], color=style.LINE, lw=0.7)
        words = line.label + " (0)" * bool(not limits and line.y[-1] == 0)  # which a logarithmic axis has no place for
        plane.text(aside, up, words, color=ink, size=8, va="center")
    for n, (step, words) in enumerate(changes):
        top = back(bottom + (1 - gap * (1 + n % 3)) * height)
        plane.line([step, step], [low, top], color=style.QUIET, lw=0.8, zorder=2.1)
        plane.text(step, top, words, color=style.QUIET, size=8, halo=True)


def draw_ground(card, box, ground, classes):
    """G of a run, all 0 where there is none."""
    plane = card.plane("ground", box, "blank", title="G of this run, now (Eq. 5)", ink=style.GROUND)
    plane.matrix(np.zeros((len(classes),) * 2) if ground is None else ground, classes, classes, aspect="")


def _tenths(values, low, high):
    """As many of the about ten parts from `low` to `high`, powers of ten, as hold the values."""
    part = 10.0 ** np.floor(np.log10(high - low) - 1)
    seen = values[np.isfinite(values)]
    if not len(seen):
        return low, high
    low = max(low, part * np.floor(seen.min() / part))
    return low, min(high, max(part * np.ceil(seen.max() / part), low + part) + 0.2 * part)


def ends(values, part=0.1):
    """Limits around values, with a part of their range as room."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    room = part * (high - low) or part * abs(high) or 1.0
    return low - room, high + room


def _powers(values):
    """Powers of two around what is shown, so that they seldom change."""
    seen = values[values > 0]
    low, high = (seen.min(), seen.max()) if len(seen) else (0.1, 1.0)
    low, high = 2.0 ** np.floor(np.log2(max(low, high / 2**12))), 2.0 ** np.ceil(np.log2(high) + 0.01)
    return min(low, high / 4), high
