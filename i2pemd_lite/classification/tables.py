"""Tables 4 to 6: what the paper prints, and beside it what these methods give here; and which differences count.

    tables = classification.tables(seeds=(0, 1, 2))     # trains what is missing
    tables = classification.from_runs(folders)          # or: of runs that are there
    print(tables)
    tables.save("out/tables-classification")
"""

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from i2pemd_lite.classification import paper
from i2pemd_lite.classification.methods import METHODS
from i2pemd_lite.classification.methods.bands import SETS, band_report
from i2pemd_lite.classification.report import DECISIONS
from i2pemd_lite.classification.results import label, read
from i2pemd_lite.classification.task import TASK
from i2pemd_lite.files import BadInput, Problems
from i2pemd_lite.tables import results
from i2pemd_lite.tables.choices import note
from i2pemd_lite.tables.report import Report
from i2pemd_lite.tables.results import MEMORY, p_value, plus_minus, spread
from i2pemd_lite.tables.statistics import Interval, interval, jackknife, mcnemar, paired_t

PROPOSED = "i2pemd"
FIGURES = {
    "auc": "AUC",
    "sensitivity": "Sens",
    "specificity": "Spec",
    "accuracy": "Acc",
    "f1": "F1",
    "top1": "top-1",
}
"""Figure -> the head of its column."""
LARGEST, THRESHOLD = DECISIONS
COMPARED = ("auc", "f1")
"""The figures whose differences are given with intervals."""
VERDICTS = {
    "ahead": "ahead of",
    "behind": "behind",
    "not told apart": "not told apart from",
    "unknown": "without an interval over seeds beside",
}
"""`seeds.Interval.verdict` -> how a sentence on the proposed method says it."""
OF_THRESHOLD = ("sensitivity", "specificity", "accuracy", "f1")
"""The figures that depend on how a score becomes a class, and that the paper prints."""
SHORT = dict(zip(SETS, ("above", "band", "let in", "surest", "random", "by fix", "below", "taught"), strict=True))
SINGLE = "the paper's Table 4 prints no spread: take its figures for those of single runs"
P = (
    "p: paired t-test of Ours with the method over {n} held-back images, each right or wrong, averaged over the seeds "
    "that both have; the paper names the same test"
)
CAN = (
    "The intervals beside the differences, and p, tell how far the choice of test images matters, for these very "
    "networks. Another seed gives other networks, so only the intervals over seeds speak of methods; they take two "
    "seeds. Of many comparisons at 95 %, one in twenty seems to differ by chance."
)
COVERS = (
    "An interval over test images is the figure ± t s, by leaving out each lesion in turn (comparison.jackknife). In a "
    "simulation with 750 lesions, 93 to 96 of 100 such intervals held the true AUC, F1 and top-1 of a network, and 95 "
    "to 98 those of a difference of two. With 100 lesions 92 held the true AUC and 80 the true F1, because rare "
    "classes were missing."
)
DEPENDENT = "p takes images for independent. Those of one lesion are not, so it is too small."
CLAIM = (
    "right %: of the pseudo-labels above τ_high, of those in the band, of those that I2PEMD lets in there, of as many "
    "that are the most confident there or drawn at random, of those that I2PEMD_fix lets in, of those below, of those "
    "that taught the network; the truth is only shown. I2PEMD decides about the band alone: it helps where \"let in\" "
    "is above \"surest\", \"random\" and \"by fix\"."
)


def tables(
    data=None,
    profile=None,
    seeds=(0,),
    methods=None,
    thresholds=None,
    folder="runs/classification",
    progress=True,
    **settings,
):
    """Train what is missing for Tables 4 to 6, and give the `Tables`.

    Each run has a folder of its own in `folder`. One that was stopped goes on where it stands; one that is finished is
    used as it is.

    Parameters
    ----------
    data, profile : as for `train`
    seeds : one run of each method for each; a SD takes two
    methods : keys of `METHODS`; None: all twelve
    thresholds : pairs (τ_low, τ_high) for Table 6, each a run of the proposed method for each seed; None: the paper's
        five where the proposed method is among the `methods`, else none
    folder : where the runs are kept
    settings : any field of `ClassificationSettings`, for every run

    Raises
    ------
    BadInput
        before anything is trained, for a folder that holds a run with other settings or on other data
    """
    if thresholds is None:
        thresholds = paper.TABLE6 if methods is None or PROPOSED in methods else ()
    thresholds = [_pair(pair) for pair in thresholds]
    results.each_once(seeds=seeds, methods=methods, thresholds=thresholds)
    for method in methods or ():
        TASK.settings_for(method, profile)
    usual = TASK.settings_for(PROPOSED, profile, changes=settings)
    main_pair = usual.tau_low, usual.tau_high
    wanted = {}
    for method in (name for name in METHODS if methods is None or name in methods):
        for seed in seeds:
            wanted |= _place(folder, method, profile, seed, settings)
    for low, high in thresholds:
        suffix = "" if (low, high) == main_pair else f"-{low:g}-{high:g}"
        for seed in seeds:
            wanted |= _place(folder, PROPOSED, profile, seed, {**settings, "tau_low": low, "tau_high": high}, suffix)
    if not wanted:
        raise BadInput("seeds, methods, thresholds: expected at least one run, found none; give some")
    return Tables(results.all_trained(TASK, wanted, read, data, "images", progress), main_pair)


def _pair(pair):
    try:
        low, high = pair
        return float(low), float(high)
    except (TypeError, ValueError):
        raise BadInput(f"thresholds: expected pairs (τ_low, τ_high), found {pair!r}; give ((0.6, 0.7),)") from None


def _place(folder, method, profile, seed, changes, suffix=""):
    """{the folder of a run: its settings}."""
    chosen = TASK.settings_for(method, profile, seed, changes)
    return {Path(folder) / f"{method}-{chosen.profile}-seed{seed}{suffix}": chosen}


def from_runs(folders, data=None):
    """The `Tables` of finished runs, whoever trained them.

    Rows may have any number of seeds. A run is evaluated anew where its report.json or scores.csv is missing or older
    than its last step; the others are taken as they are.

    Parameters
    ----------
    folders : of runs
    data : the data that they were trained on, where they moved

    Raises
    ------
    BadInput
        that lists each run that is unfinished, on other data, there twice, or of other settings than its row
    """
    return Tables(results.finished(TASK, folders, read, lambda settings: settings.size, data))


@dataclass(repr=False)
class Tables(results.Tables):
    """The tables of some `results`, each a `Report`: `table4`, `comparison`, `intervals`, `threshold018`, `table5`,
    `table6`, `bands`.

    Means are over runs with different seeds, and so is the SD (of a sample, n − 1), which takes two. `main_pair` is
    (τ_low, τ_high) of all tables but Table 6 (None: that of most runs), which has the runs of the proposed method with
    any pair.
    """

    main_pair: tuple | None = None

    PROPOSED, TITLE, NAMES, VARIED = PROPOSED, "Classification", paper.NAMES, ("tau_low", "tau_high")

    def __post_init__(self):
        super().__post_init__()
        self.main_pair = tuple(self.main_pair or self.usual())
        problems, first = Problems("the runs of the tables"), self.results[0]
        for result in self.results:
            if result.images != first.images:
                found = f"{len(result.images)} others by another split"
                problems.add(result.folder, f"the held-back images of {first.folder}", found, "leave it out")
        problems.raise_if_any()

    @property
    def main(self):
        """(τ_low, τ_high) of all tables but Table 6."""
        return self.main_pair

    @property
    def table4(self):
        """The five figures of every method and top-1, and p of a paired t-test with the proposed one."""
        rows = []
        for method, printed in self._rows(paper.TABLE4):
            runs = self.runs(method)
            row = _row(method, paper.NAMES[method], runs, printed)
            row |= dict(zip(("labelled %", "unlabelled %"), runs[0].shares, strict=True))
            pairs = self.pairs(method)
            p = paired_t(*_mean_right(pairs)).p if pairs else math.nan
            rows.append({**row, "p": p, "paper p": printed.p})
        notes = [P.format(n=len(self.results[0].images)), SINGLE] if rows else [_no_run_of(paper.TABLE4)]
        notes += [DEPENDENT] * _several(self.results[0].lesions) + self.unlike() + paper.audit()["table4"]
        notes += [note("classification", self.of(paper.TABLE4))]
        return Table4("Table 4: figures in percent, mean ± SD over seeds", rows, self.about(), notes=notes)

    @functools.cached_property
    def comparison(self):
        """What the proposed method gains over each other one: intervals over test images and over seeds, and tests."""
        rows, first = [], self.results[0]
        for method in (name for name in METHODS if name != PROPOSED):
            pairs = self.pairs(method)
            if not pairs:
                continue
            ours, theirs = ([run.scores for run in runs] for runs in zip(*pairs, strict=True))
            bounds = jackknife(ours, first.truth, first.lesions, against=theirs)
            row = {"method": method, "row": paper.NAMES[method], "seeds": len(pairs)}
            for figure in COMPARED:
                found = [a.figures[LARGEST][figure] - b.figures[LARGEST][figure] for a, b in pairs]
                low, high = bounds[figure]
                row |= {figure: float(np.mean(found)), f"{figure} low": 100 * low, f"{figure} high": 100 * high}
                row |= over_seeds(figure, found)
            t, exact = paired_t(*_mean_right(pairs)), mcnemar(pairs[0][0].right, pairs[0][1].right)
            row |= {"top1": 100 * t.difference, "t": t.t if math.isfinite(t.t) else math.nan, "p": t.p}
            rows.append(row | {"only ours": exact.only_a, "only theirs": exact.only_b, "McNemar p": exact.p})
        whole = "" if first.lesions is None else " (whole lesions)"
        title = f"Ours less each other method (points): 95 % intervals of these networks over images{whole}; over seeds"
        if not rows:
            return Report(title, rows, notes=[f"no other method has a seed of {PROPOSED}"])
        alike = [row["row"] for row in rows if _same_scores(self.pairs(row["method"]))]
        notes = [CAN, COVERS, *(verdicts(rows, figure) for figure in COMPARED)] + [DEPENDENT] * _several(first.lesions)
        if alike:
            notes.append(f"every score is that of Ours: {', '.join(alike)}; up to these weights nothing set them apart")
        return Comparison(title, rows, notes=notes)

    @functools.cached_property
    def intervals(self):
        """Figures of each method with intervals over test images."""
        rows, first = [], self.results[0]
        for method in (name for name in METHODS if self.runs(name)):
            runs = self.runs(method)
            bounds = jackknife([run.scores for run in runs], first.truth, first.lesions)
            row = {"method": method, "row": paper.NAMES[method], "seeds": len(runs)}
            for figure in ("auc", "f1", "top1"):
                low, high = bounds[figure]
                row[figure] = float(np.mean([run.figures[LARGEST][figure] for run in runs]))
                row |= {f"{figure} low": 100 * low, f"{figure} high": 100 * high}
            rows.append(row)
        title = "Figures in percent, mean over seeds, with 95 % intervals of these networks over test images"
        return Intervals(title, rows, notes=[COVERS])

    @property
    def threshold018(self):
        """The figures by both decisions, and how far each is from the paper's."""
        rows = []
        for method, printed in self._rows(paper.TABLE4):
            runs = self.runs(method)
            row = _row(method, paper.NAMES[method], runs, printed)
            for figure in FIGURES:
                row |= spread(f"{figure} at 0.18", [run.figures[THRESHOLD][figure] for run in runs])
            for name, suffix in (("off", ""), ("off at 0.18", " at 0.18")):
                apart = [abs(row[f"{figure}{suffix}"] - row[f"paper {figure}"]) for figure in OF_THRESHOLD]
                row[name] = float(np.mean(apart))
            rows.append(row)
        nearer = [row["row"] for row in rows if row["off at 0.18"] < row["off"]]
        notes = [
            "off: mean distance to the paper's four figures, in points. AUC is the same for both.",
            f"nearer to the paper by score ≥ 0.18: {', '.join(nearer) or 'none'}",
            note("classification", self.of(paper.TABLE4)),
        ]
        return Threshold("Decided by the largest score, or as SRC-MT's code does by score ≥ 0.18", rows, notes=notes)

    @property
    def table5(self):
        """Which pseudo-labels teach: all, the confident ones, or those that I2PEMD selects."""
        rows = [
            _row(method, paper.FILTERS[method], self.runs(method), printed)
            for method, printed in self._rows(paper.TABLE5)
        ]
        own = [*self.unlike(), *paper.audit()["table5"], note("classification", self.of(paper.TABLE5))]
        notes = own if rows else [_no_run_of(paper.TABLE5)]
        return Beside("Table 5: which pseudo-labels teach; mean ± SD over seeds", rows, notes=notes)

    @property
    def table6(self):
        """The proposed method by its thresholds."""
        every = [result for result in self.results if result.settings.method == PROPOSED]
        pairs = {self.variant(result) for result in every}
        rows, usual = [], dict(zip(self.VARIED, paper.CHOSEN, strict=True))
        for pair in [*(pair for pair in paper.TABLE6 if pair in pairs), *sorted(pairs - paper.TABLE6.keys())]:
            # Another pair is what this table is about; it makes no run another setting than the paper's.
            runs = [replace(run, settings=run.settings.changed(**usual)) for run in self.runs(PROPOSED, *pair)]
            rows.append(_row(PROPOSED, "({:g}, {:g})".format(*pair), runs, paper.TABLE6.get(pair)))
        title = "Table 6: the proposed method by (τ_low, τ_high); mean ± SD over seeds"
        notes = [*paper.audit()["table6"], note("classification", every)] if rows else [_no_run_of([PROPOSED])]
        return Beside(title, rows, notes=notes)

    @property
    def bands(self):
        """How many pseudo-labels are right above, in and below the band that I2PEMD decides about; of all seeds."""
        rows = []
        for method in METHODS:
            counts = [run.counts for run in self.runs(method) if run.counts]
            if not counts:
                continue
            row = {"method": method, "row": paper.NAMES[method], "seeds": len(counts)}
            steps = sum(each["steps"] for each in counts) / len(counts)
            for name, found in zip(SETS, band_report(counts).rows, strict=True):
                row |= {f"{name} a step": found["a step"] / steps, f"{name} % of all": found["% of all"]}
                row |= {f"{name} right %": found["right %"], f"{name} ±": found["±"]}
            rows.append(row)
        notes = [CLAIM] if rows else ["no run of a method with pseudo-labels"]
        return Bands("Pseudo-labels by region: how many are right (%)", rows, notes=notes)

    @property
    def costs(self):
        """What each run cost."""
        rows = [
            {
                "method": result.settings.method,
                "τ_low": result.settings.tau_low,
                "τ_high": result.settings.tau_high,
                "seed": result.settings.seed,
                "steps": result.about["steps"],
                "weights of step": result.about["weights of step"],
                "precision": result.settings.precision,
                "seconds": result.about["seconds"],
                "peak MiB": result.about.get("peak MiB", "unknown"),
                "AUC": result.figures[LARGEST]["auc"],
                "F1": result.figures[LARGEST]["f1"],
            }
            for result in self.results
        ]
        return Report("The runs", rows, notes=[MEMORY])

    def reports(self):
        """{"table4": …, …} in the order to read them; with more than one pair of thresholds also "table6"."""
        names = ("table4", "comparison", "intervals", "threshold018", "table5", "table6", "bands")
        found = {name: getattr(self, name) for name in names}
        return {name: report for name, report in found.items() if name != "table6" or len(report.rows) > 1}

    def pairs(self, method):
        """[(a run of the proposed method, one of the other method)], a pair for each seed that both have."""
        theirs = {run.settings.seed: run for run in self.runs(method)} if method != PROPOSED else {}
        ours = self.runs(PROPOSED)
        return [(run, theirs[run.settings.seed]) for run in ours if run.settings.seed in theirs]

    def about(self):
        """What the runs have in common, for the line under Table 4."""
        first = self.results[0]
        s = first.settings
        return {
            "data": first.data,
            "held-back images": len(first.images),
            "split by": _split_by(first),
            "steps": s.steps,
            "network": s.network,
            "from": "ImageNet" if s.imagenet else "random weights",
            "px": s.size,
            "(τ_low, τ_high)": "({:g}, {:g})".format(*self.main_pair),
            "λ": s.weight,
        }

    def _rows(self, table):
        return [(method, printed) for method, printed in table.items() if self.runs(method)]


def _no_run_of(methods):
    return f"no run of {', '.join(methods)}"


def _mean_right(pairs):
    """For both sides of some pairs of runs, (n,) the share of the seeds that got each image right."""
    return [np.mean([run.right for run in runs], 0) for runs in zip(*pairs, strict=True)]


def _same_scores(pairs):
    return all(np.array_equal(ours.scores, theirs.scores) for ours, theirs in pairs)


def _several(lesions):
    return lesions is not None and len(set(lesions)) < len(lesions)


def _split_by(result):
    by = result.about["split by"]
    if result.leaks is None:
        return f"{by}, lesions unknown"
    if result.leaks:
        return f"{by}, {result.leaks} of them of a lesion that other parts show too"
    return f"{by}, no lesion in two parts: stricter than the paper's split by image"


def _row(method, name, runs, printed=None):
    """The row of a method: its own figures, then the paper's under the same names with "paper " before them."""
    kinds = {label(run.settings, run.data) for run in runs}
    row = {"method": method, "row": name, "setting": ", ".join(sorted(kinds)), "seeds": len(runs)}
    for figure in FIGURES:
        row |= spread(figure, [run.figures[LARGEST][figure] for run in runs])
    theirs = dict(zip(paper.FIGURES, printed.figures, strict=True)) if printed else {}
    theirs["top1"] = paper.top1(theirs["accuracy"]) if printed else math.nan
    return row | {f"paper {figure}": theirs.get(figure, math.nan) for figure in FIGURES}


def _printed(value):
    return "-" if math.isnan(value) else f"{value:.2f}"


def _lines(row, figures, kinds):
    """Lines of a printed table for one row, one for each of {what it is: the pattern of its figures' names}."""
    for i, (kind, pattern) in enumerate(kinds.items()):
        names = {FIGURES[figure]: pattern.format(figure) for figure in figures}
        if kind == "paper":  # with its two digits
            cells = {head: _printed(row[name]) for head, name in names.items()}
        else:
            cells = {head: plus_minus(row[name], row[f"{name} sd"]) for head, name in names.items()}
        yield {"": "" if i else row["row"], "setting": kind, **cells}


class Beside(Report):
    """A report that prints the paper's figures on a line below the measured ones."""

    def pages(self):
        """Two lines a row."""
        lines = [line for row in self.rows for line in _beside(row, paper.FIGURES, seeds=str(row["seeds"]))]
        return [Report(self.title, lines, notes=self.notes)]


def _beside(row, figures, **more):
    """The line of a row, with `more` cells at its end, and the paper's line."""
    measured, theirs = _lines(row, figures, {row["setting"]: "{}", "paper": "paper {}"})
    return measured | more, theirs | dict.fromkeys(more, "")


class Table4(Report):
    """A row a method with all its figures; printed as a table of AUC, F1 and p, and one of the other figures."""

    def pages(self):
        """What decides, beside the paper's; then the rest, the paper's on lines of their own."""
        first, rest = [], []
        for row in self.rows:
            cells = {"": row["row"], "setting": row["setting"], "seeds": row["seeds"]}
            for name in ("auc", "f1"):
                cells[FIGURES[name]] = plus_minus(row[name], row[f"{name} sd"])
                cells[f"paper {FIGURES[name]}"] = _printed(row[f"paper {name}"])
            first.append(cells | {"p": p_value(row["p"]), "paper p": row["paper p"] or "-"})
            shares = {name: f"{row[name]:.0f}" for name in ("labelled %", "unlabelled %")}
            rest += _beside(row, ("sensitivity", "specificity", "accuracy", "top1"), **shares)
        note = ["the paper's top-1 follows from its accuracy, if the largest score decides"]
        return [
            Report(self.title, first, self.about, notes=self.notes),
            Report("Table 4, the other figures", rest, notes=note),
        ]


class Threshold(Report):
    """A report that prints three lines a row: both decisions, and the paper's figures."""

    def pages(self):
        """The figures that depend on the decision."""
        kinds, lines = {LARGEST: "{}", THRESHOLD: "{} at 0.18", "paper": "paper {}"}, []
        for row in self.rows:
            apart = [plus_minus(row["off"]), plus_minus(row["off at 0.18"]), ""]
            found = zip(_lines(row, OF_THRESHOLD, kinds), apart, strict=True)
            lines += [line | {"off": cell} for line, cell in found]
        return [Report(self.title, lines, notes=self.notes)]


def _between(row, figure, sign=""):
    """A figure and its interval as text.

    Example
    -------
    >>> _between({"auc": 1.25, "auc low": -0.5, "auc high": 3.0}, "auc", "+")
    '+1.2 [-0.5, +3.0]'
    """
    return "-" if math.isnan(row[figure]) else f"{row[figure]:{sign}.1f} {_ends(row, figure, sign)}"


def _ends(row, name, sign=""):
    """An interval as text; "-" where there is none."""
    low, high = row[f"{name} low"], row[f"{name} high"]
    return "-" if math.isnan(low) else f"[{low:{sign}.1f}, {high:{sign}.1f}]"


def over_seeds(figure, differences):
    """What the `differences` of a figure, one for each seed, add to a row of the comparison.

    Example
    -------
    >>> over_seeds("f1", [-2.5, -1.5, -12.5])["f1 verdict"]
    'not told apart'
    """
    unknown = Interval(math.nan, math.nan, math.nan, math.nan, len(differences))  # where AUC is undefined
    found = interval(differences) if np.isfinite(differences).all() else unknown
    return {f"{figure} seeds low": found.low, f"{figure} seeds high": found.high, f"{figure} verdict": found.verdict}


def verdicts(rows, figure):
    """A sentence on the methods in rows of the comparison, by the seeds alone.

    Example
    -------
    >>> verdicts([{"row": "VAT", "f1 verdict": "behind"}, {"row": "MT", "f1 verdict": "unknown"}], "f1")
    'F1 over seeds: Ours is behind VAT; without an interval over seeds beside MT'
    """
    said = {word: [row["row"] for row in rows if row[f"{figure} verdict"] == word] for word in VERDICTS}
    words = (f"{VERDICTS[word]} {', '.join(names)}" for word, names in said.items() if names)
    return f"{FIGURES[figure]} over seeds: Ours is {'; '.join(words)}"


class Intervals(Report):
    """A report that prints each figure and its interval in one cell."""

    def pages(self):
        """The same rows, shorter."""
        rows = []
        for row in self.rows:
            cells = {FIGURES[name]: _between(row, name) for name in ("auc", "f1", "top1")}
            rows.append({"": row["row"], "seeds": row["seeds"], **cells})
        return [Report(self.title, rows, notes=self.notes)]


class Comparison(Report):
    """A report that prints intervals of differences, then the tests of each image being right or wrong."""

    def pages(self):
        """A table for each."""
        intervals, tests = [], []
        for row in self.rows:
            name = {"": row["row"], "seeds": row["seeds"]}
            cells = {}
            for figure in COMPARED:
                cells[f"Δ {FIGURES[figure]}"] = _between(row, figure, "+")
                cells[f"{FIGURES[figure]} over seeds"] = _ends(row, f"{figure} seeds", "+")
            intervals.append(name | cells)
            tests.append({
                **name,
                "Δ top-1": f"{row['top1']:+.1f}",
                "t": plus_minus(row["t"]),
                "p": p_value(row["p"]),
                "only ours": row["only ours"],
                "only theirs": row["only theirs"],
                "McNemar p": p_value(row["McNemar p"]),
            })  # fmt: skip
        title = "Ours and each other method by image: paired t-test of top-1 (points), McNemar's test of the first seed"
        n = 2 + len(COMPARED)  # CAN, COVERS, and what the seeds say of each figure
        return [Report(self.title, intervals, notes=self.notes[:n]), Report(title, tests, notes=self.notes[n:])]


class Bands(Report):
    """A report that prints of each region how many pseudo-labels are right, and how many a step I2PEMD lets in."""

    def pages(self):
        """The shares that are right."""
        rows = [
            {
                "": row["row"],
                "a step in band": row["band a step"],
                "let in a step": row["near a step"],
                **{short: row[f"{name} right %"] for name, short in SHORT.items()},
            }
            for row in self.rows
        ]
        return [Report(self.title, rows, notes=self.notes)]
