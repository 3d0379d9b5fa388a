"""Two rows of a table of the paper, seed by seed: the runs, their differences, the seeds that it would take."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from i2pemd_lite.classification import paper as skin
from i2pemd_lite.files import BadInput, read_json, root
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider
from i2pemd_lite.panels.engine.still import count
from i2pemd_lite.segmentation import paper as organs
from i2pemd_lite.segmentation.report import Evaluation
from i2pemd_lite.tables import statistics
from i2pemd_lite.tables.report import ROW, Column, Report, spread

MOST = 60  # seeds on the axis of the right picture
SEEDS = np.arange(2, MOST + 1)
FIGURES = (  # folder of data/results, title, column in it, and name in an evaluation
    ("segmentation", "Table 1, DOC", "overall DOC", "doc"),
    ("classification", "Table 4, AUC", "AUC", "auc"),
    ("classification", "Table 4, F1", "F1", "f1"),
    ("segmentation-beyond-rows", "Table 1 past the paper's recipe, DOC", "overall DOC", "doc"),
    ("segmentation-beyond-few", "Table 1 past the paper's recipe from few scans, DOC", "overall DOC", "doc"),
)


def committed() -> list[SimpleNamespace]:
    """What was measured on real data and is kept in data/results: DOC of Table 1, AUC and F1 of Table 4, and DOC of
    four rows of Table 1 with `preset="beyond"`, trained on all scans that are not held back and on few."""
    measured = []
    for task, title, column, _ in FIGURES:
        runs = read_json(root() / "data" / "results" / task / "runs.json")["rows"]
        # Only those of the tables themselves: Table 6 varies the thresholds, Figure 6 (a) the feature size.
        rows = [(row["method"], row["seed"], row[column]) for row in runs if row.get("d", 16) == 16
                and (row.get("τ_low", 0.7), row.get("τ_high", 0.8)) == skin.CHOSEN]  # fmt: skip
        measured.append(_measured(f"{title}, real data", column, rows))
    return measured


def of_runs(tables: Any, words: str = "your runs") -> list[SimpleNamespace]:
    """The same of `segmentation.tables(...)` or `classification.tables(...)`."""
    runs = [(run.settings, run.figures) for method in tables.NAMES for run in tables.runs(method)]
    mine = "classification" if tables.PROPOSED == "i2pemd" else "segmentation"
    return [
        _measured(f"{title}, {words}", column, [(s.method, s.seed, float(figures[figure])) for s, figures in runs])
        for task, title, column, figure in FIGURES if task == mine
    ]  # fmt: skip


def beside(evaluations: dict[str, Evaluation]) -> Report:
    """A `Report` of the DOC of {method of Table 1: its evaluation}, of what was measured on real data, and of the
    paper's."""
    real, rows = committed()[0], []
    for method, evaluation in evaluations.items():
        figures, values = evaluation.figures, [*real.values[method].values()]
        row = {"row": real.names[method], **{part: figures[part] for part in ("ct", "mr", "doc")}}
        rows.append(row | spread("real", values) | {"seeds": len(values), "paper": real.paper[method]})
    columns = [ROW, Column("ct", "yours: CT"), Column("mr", "MR"), Column("doc", "both"),
               Column("real", "real scans", "mean"), Column("seeds"), Column("paper")]  # fmt: skip
    return Report("DOC (%): yours, on real scans (data/results), and in the paper", rows, lines=[columns])


def _measured(title, column, rows):
    """One figure of every run of a table, from rows of method, seed, value: `values` method -> {seed: percent}, and
    what the paper prints for each."""
    values = {}
    for method, seed, value in rows:
        values.setdefault(method, {})[seed] = value
    if column == "overall DOC":
        # Where the printed mean is not that of its organs, the organs are believed.
        again = {name: organs.TABLE1[name].recomputed()[-1] for name in organs.audit()}
        printed = {name: row.means[-1] for name, row in organs.TABLE1.items()} | organs.TABLE3 | again
        names, proposed = organs.NAMES, "joint_sepbn_i2pemd"
    else:
        printed = {name: getattr(row, column.lower()) for name, row in skin.TABLE4.items()}
        names, proposed = skin.NAMES, "i2pemd"
    return SimpleNamespace(title=title, values=values, paper=printed, names=names, proposed=proposed)


def pairs(measured: Sequence[SimpleNamespace]) -> dict[str, tuple[SimpleNamespace, str]]:
    """{words: (what was measured, other method)} of each method with a seed in common with the proposed one; those with
    more seeds first."""
    rows = []
    for each in measured:
        for other in each.values:
            common = len(each.values[other].keys() & each.values.get(each.proposed, {}).keys())
            if other != each.proposed and other in each.paper and common:
                words = f"{each.title}: {each.names[each.proposed]} minus {each.names[other]} ({count(common, 'seed')})"
                rows.append((common, words, each, other))
    return {words: (each, other) for _, words, each, other in sorted(rows, key=lambda row: -row[0])}


def compute(measured: SimpleNamespace, other: str, n: int) -> SimpleNamespace:
    """The rows of the proposed method and of another one, over the seeds that both have."""
    mine, theirs = measured.values[measured.proposed], measured.values[other]
    common = sorted(mine.keys() & theirs.keys())
    a, b = (np.array([values[seed] for seed in common]) for values in (mine, theirs))
    interval, gap = statistics.interval(a - b), measured.paper[measured.proposed] - measured.paper[other]
    curve, needed = np.full(MOST - 1, np.nan), None
    if interval.verdict != "unknown":
        curve, needed = statistics.power(gap, interval.sd, SEEDS), statistics.needed(gap, interval.sd)
    return SimpleNamespace(measured=measured, other=other, seeds=common, theirs=b, ours=a, mean=interval, gap=gap, n=n,
                           power=float(curve[n - 2]), needed=needed, curve=curve)  # fmt: skip


def draw(card, result):
    """Left the runs, seed by seed; in the middle their differences and the paper's; right the chance to see it."""
    d, names = result.ours - result.theirs, result.measured.names
    low, high = min(result.theirs.min(), result.ours.min()), max(result.theirs.max(), result.ours.max())
    margin = max(0.35 * (high - low), 0.3)
    left = card.plane("runs", [0.055, 0.2, 0.2, 0.66], xlim=(-0.35, 1.35), ylim=(low - margin, high + margin),
                      xticks=[], ticks=6, title="The runs, seed by seed (%)")  # fmt: skip
    for pair in zip(result.theirs, result.ours, strict=True):
        left.line([0, 1], pair, color=style.LINE, lw=1.2, zorder=1)
    left.points(np.zeros(len(d)), result.theirs, ms=7, zorder=2, **style.SOURCE)
    left.points(np.ones(len(d)), result.ours, ms=7, zorder=2, **style.TARGET)
    for x, ink, method in ((0.1, style.BLUE, result.other), (0.21, style.ORANGE, result.measured.proposed)):
        name = names[method].replace("Joint+sepBN", "J+sepBN").replace("Baseline+", "B+")
        card.paper.text(x, 0.13, name, size=8.5, color=ink, ha="center")
    draw_differences(card, [0.35, 0.2, 0.28, 0.66], d, result.mean, "Proposed minus other (points)", result.gap)
    right = card.plane("power", [0.71, 0.2, 0.27, 0.66], xlim=(1, MOST), ylim=(0, 105), xlabel="seeds of both methods",
                       ticks=6, title="Chance to see the paper's gap (%)")  # fmt: skip
    right.line([1, MOST], [80, 80], color=style.LINE, lw=1.2, zorder=0)
    right.text(MOST, 81, "four times in five", size=8, ha="right", va="bottom", color=style.QUIET)
    right.line(SEEDS, 100 * result.curve, color=style.BLUE, lw=2)
    if result.needed and result.needed <= MOST:
        right.line([result.needed] * 2, [0, 80], color=style.BLUE, lw=1.2, ls="--")
    right.points(result.n, 100 * result.power, ms=9, **style.TARGET)


def draw_differences(card, box, differences, mean, title, gap=None):
    """Each seed's difference, and below the paper's `gap`, where there is one, their mean with its interval."""
    rows = {"seeds": 0.5, "mean, 95 %": 1.15} | ({} if gap is None else {"the paper": 1.6})
    bounds = [b for b in (mean.low, mean.high, *differences, 0.0, gap or 0.0) if not np.isnan(b)]
    reach = max(max(bounds) - min(bounds), 0.5)
    top = max(rows.values()) + 0.3
    plane = card.plane("differences", box, ylim=(-0.1, top), title=title, xlabel="difference (points)",
                       xlim=(min(bounds) - 0.1 * reach, max(bounds) + 0.1 * reach),
                       yticks=[*rows.values()], yticklabels=[*rows])  # fmt: skip
    plane.line([0, 0], [-0.1, top], color=style.LINE, lw=1.2, zorder=0)
    heights = np.linspace(0.25, 0.75, len(differences)) if len(differences) > 1 else [0.5]
    plane.points(differences, heights, marker=".", ms=9, color=style.INK)
    plane.line([mean.low, mean.high], [rows["mean, 95 %"]] * 2, color=style.INK, lw=2)
    plane.points(mean.mean, rows["mean, 95 %"], marker="|", ms=14, mew=2.4, color=style.INK)
    if gap is not None:
        plane.points(gap, rows["the paper"], ms=8, **style.PROTOTYPE)


def told(mean, first, both):
    """What an `Interval` of differences says, in words, of the `first` of `both`."""
    if np.isnan(mean.sd):
        return f"With one seed, the difference is {mean.mean:+.2f} points. To see a spread, you need two seeds."
    apart = f"leaves out 0, so by these seeds {first} is {mean.verdict}"
    if mean.verdict == "not told apart":
        apart = f"holds 0, so these seeds cannot tell {both} apart"
    return (f"The mean of {mean.n} differences is {mean.mean:+.2f} points, with a 95 % interval of {mean.low:+.2f} to "
            f"{mean.high:+.2f}. The interval {apart}.")  # fmt: skip


def describe(result):
    """What the differences say, and what it would take."""
    mean, n = result.mean, len(result.seeds)
    gap = f"The paper's gap is {result.gap:+.2f} points."
    words = f"{told(mean, 'the proposed method', 'the two methods')} {gap}"
    if np.isnan(mean.sd):
        return words, {"seeds of both": 1, "difference": f"{mean.mean:+.2f}", "the paper": f"{result.gap:+.2f}"}
    low, high = statistics.sd_interval(mean.sd, n)
    every = result.needed, statistics.needed(result.gap, low), statistics.needed(result.gap, high)
    needed, fewest, most = (f"{seeds:,}" if seeds else f"over {statistics.MOST:,}" for seeds in every)
    words += f" With this spread, you need {needed} seeds of both methods to see such a gap four times in five."
    return words, {
        "seeds of both": n,
        "mean difference": f"{mean.mean:+.2f}",
        "95 % interval": f"{mean.low:+.2f} to {mean.high:+.2f}",
        "SD of the differences": f"{mean.sd:.2f}",
        "SD, 95 %": f"{low:.2f} to {high:.2f}",
        "the paper's gap": f"{result.gap:+.2f}",
        "seeds needed": needed,
        "by the ends of the SD": f"{fewest} to {most}",
        f"chance with {result.n} seeds": f"{100 * result.power:.0f} %",
    }


def panel(measured: Sequence[SimpleNamespace], n: int = 3, **start: Any) -> Panel:
    """The panel for what `committed` or `of_runs` gives; further values set controls."""
    rows = pairs(measured)
    if not rows:
        raise BadInput("measured: expected the proposed method and another with a common seed, found none; train both")
    controls = {
        "pair": choice("rows", list(rows), next(iter(rows))),
        "n": slider("seeds that you could run", n, 2, MOST, 1),
    }
    return Panel("seeds", controls, lambda state: compute(*rows[state["pair"]], state["n"]), draw, describe,
                 layout=[["pair"], ["n"]], start=start)  # fmt: skip
