"""Tables 4 to 6: what the paper prints, and beside it what these methods give here; and which differences count."""

import functools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from i2pemd_lite.classification import paper
from i2pemd_lite.classification.data import Dataset
from i2pemd_lite.classification.methods.bands import COUNTS, SETS, band_report, counted
from i2pemd_lite.classification.prepare import Prepared
from i2pemd_lite.classification.report import DECISIONS, hash_of, read_scores
from i2pemd_lite.classification.settings import SETTINGS, ClassificationSettings
from i2pemd_lite.classification.task import TASK, evaluate
from i2pemd_lite.files import BadInput, Problems
from i2pemd_lite.runs.run import Run
from i2pemd_lite.tables import results
from i2pemd_lite.tables.report import BLANK, ROW, SEEDS, SETTING, Column, Report, with_nan, with_paper
from i2pemd_lite.tables.statistics import Interval, interval, jackknife, mcnemar, paired_t

PROPOSED = "i2pemd"
FIGURES = {"auc": "AUC", "sensitivity": "Sens", "specificity": "Spec", "accuracy": "Acc", "f1": "F1", "top1": "top-1"}
"""Figure -> the head of its column."""
AT = " at 0.18"  # end of the names of what the threshold gives
COMPARED = ("auc", "f1")  # the figures whose differences are given with intervals
VERDICTS = {"ahead": "ahead of", "behind": "behind", "not told apart": "not told apart from",
            "unknown": "without an interval over seeds beside"}  # fmt: skip
"""`statistics.Interval.verdict` -> how a sentence on the proposed method says it."""
OF_THRESHOLD = ("sensitivity", "specificity", "accuracy", "f1")  # that the paper prints and a decision changes
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
    "An interval over test images is the figure ± t s. Its standard error s comes from leaving out one lesion after "
    "the other (statistics.jackknife). In a simulation with 750 lesions, 93 to 96 of 100 such intervals held the true "
    "AUC, F1 and top-1 of a network, and 95 to 98 those of a difference of two. With 100 lesions 92 held the true AUC "
    "and 80 the true F1, because rare classes were missing."
)
DEPENDENT = "p takes images for independent. Those of one lesion are not, so it is too small."
CLAIM = (
    "right %: of the pseudo-labels above τ_high, of those in the band, of those that I2PEMD lets in there, of as many "
    "that are the most confident there or drawn at random, of those that I2PEMD_fix lets in, of those below, of those "
    "that taught the network; the truth is only shown. I2PEMD decides about the band alone: it helps where \"let in\" "
    "is above \"surest\", \"random\" and \"by fix\"."
)


def tables(
    data: Dataset | Prepared | Path | str | None = None, profile: str | None = None, seeds: Sequence[int] = (0,),
    methods: Collection[str] | None = None, thresholds: Sequence[tuple[float, float]] | None = None,
    folder: Path | str = "runs/classification", progress: bool = True, brought: str | None = None, **settings: Any
) -> "Tables":  # fmt: skip
    """Train what is missing for Tables 4 to 6, as `Tables.trained` says, and give the `Tables`.

    data, profile   as for `train`
    seeds           one run of each method for each; a SD takes two
    methods         keys of `METHODS`; None: all twelve
    thresholds      pairs (τ_low, τ_high) for Table 6, each a run of the proposed method for each seed; None: the
                    paper's five where the proposed method is among the `methods`, else none
    settings        any field of `ClassificationSettings`, for every run
    """
    if thresholds is None:
        thresholds = paper.TABLE6 if methods is None or PROPOSED in methods else ()
    try:
        pairs = [(float(low), float(high)) for low, high in thresholds]
    except (TypeError, ValueError):
        found = f"{thresholds!r}; give ((0.6, 0.7),)"
        raise BadInput(f"thresholds: expected pairs (τ_low, τ_high), found {found}") from None
    return Tables.trained(data, profile, seeds, methods, {"thresholds": pairs}, folder, progress, brought, settings)


@dataclass(frozen=True, eq=False)
class Result(results.Result):
    """What the tables take from a finished run.

    figures : percent by name, those of the other one of `DECISIONS` as "f1 at 0.18", …
    images, truth, scores : of the n held-back images: names, classes (n,), softmax output (n, K)
    lesions : their n lesions, or None where the data name none
    leaks : how many of them show a lesion that the other images show too, or None
    shares : percent of the training images that are used with and without their label
    counts : the `bands.COUNTS` of all steps together and their number as "steps"; empty without pseudo-labels
    """

    images: tuple
    truth: np.ndarray
    scores: np.ndarray
    lesions: tuple | None
    leaks: int | None
    shares: tuple
    counts: dict

    @property
    def right(self) -> np.ndarray:
        """(n,) booleans: whether the largest score is that of the true class."""
        return self.scores.argmax(1) == self.truth


@dataclass(repr=False)
class Tables(results.Tables):
    """Tables 4 to 6. `main` is (τ_low, τ_high) of all tables but Table 6, which has the runs of the proposed method
    with any pair.

    A run can have the paper's setting with any file of ImageNet's weights, and with any `split_by`: "image" is the
    paper's protocol; one that keeps lesions apart makes the task harder and so flatters nobody. The tables say which.
    """

    TASK, CHOICES, NAMES, RESULT, PROPOSED = TASK, SETTINGS, paper.NAMES, Result, PROPOSED
    VARIED, SUFFIX = {"tau_low": "τ_low", "tau_high": "τ_high"}, "-{:g}-{:g}"
    REPORTS = {"table4": 0, "comparison": 0, "intervals": 0, "threshold018": 0, "table5": 0, "table6": 2, "bands": 0}
    STEPS, AS_IT_IS = ("steps", "weights of step"), ("split_by", "imagenet")
    WORTH = {"AUC": "auc", "F1": "f1"}

    def __post_init__(self):
        super().__post_init__()
        problems, first = Problems("the runs of the tables"), self.results[0]
        for result in self.results:
            if result.images != first.images:
                others = f"{len(result.images)} others by another split"
                problems.add(result.folder, f"the held-back images of {first.folder}", others, "leave it out")
        problems.raise_if_any()

    @staticmethod
    def is_like(settings: ClassificationSettings, data: str) -> bool:
        """Whether it is on ISIC 2018, from weights of ImageNet."""
        return bool(settings.imagenet) and data == "ISIC 2018"

    @classmethod
    def figures_of(cls, run: Run) -> dict[str, Any]:
        """What a `Result` has beside its run, from report.json and scores.csv where these tell all."""
        learner, file = run.learner, run.folder / "scores.csv"
        data, held_back = learner.data, learner.test.tolist()

        def agrees(content):
            there = read_scores(file)
            decisions = [row.get("decision") for row in content["rows"]]
            same = decisions == list(DECISIONS) and there[0] == tuple(data.ids[i] for i in held_back)
            return same and content.get("scores") in (None, hash_of(*there))

        content = results.report_of(run, evaluate, {"about": dict, "rows": [dict]}, agrees)
        images, truth, scores = read_scores(file)
        figures = {}
        for row, end in zip(with_nan(content["rows"]), ("", AT), strict=True):
            figures |= {f"{name}{end}": value for name, value in row.items() if name != "decision"}
        lesions = data.lesions and tuple(data.lesions[i] for i in held_back)
        elsewhere = data.lesions and set(np.delete(data.lesions, held_back))
        training = len(data.ids) - len(learner.val) - len(learner.test)
        used = len(learner.labelled), len(learner.unlabelled) if learner.method.unlabelled else 0
        counts = {name: sum(row[name] for row in run.history) for name in COUNTS} if counted(run.history) else {}
        leaks = lesions and sum(lesion in elsewhere for lesion in lesions)
        return {
            "figures": figures, "about": content["about"], "images": images, "truth": truth, "scores": scores,
            "lesions": lesions, "leaks": leaks, "shares": tuple(100 * n / training for n in used),
            "counts": counts and counts | {"steps": len(run.history)},
        }  # fmt: skip

    @property
    def table4(self) -> Report:
        """The five figures of every method and top-1, and p of a paired t-test with the proposed one."""
        rows = []
        for method in self.present(paper.TABLE4):
            pairs, shares = self.pairs(method), self.runs(method)[0].shares
            row = self._row(method, paper.TABLE4) | dict(zip(("labelled %", "unlabelled %"), shares, strict=True))
            p = paired_t(*_mean_right(pairs)).p if pairs else math.nan
            rows.append(row | {"p": p, "paper p": paper.TABLE4[method].p})
        notes = [P.format(n=len(self.results[0].images)), SINGLE] if rows else [results.no_run_of(paper.TABLE4)]
        audit = paper.audit(self.present(paper.TABLE4))["table4"]
        notes += self._dependent() + self.unlike() + audit + [self.note(self.of(paper.TABLE4))]
        first = [ROW, SETTING, SEEDS]
        for column in _means(COMPARED):
            first += [column, column.paper(2)._replace(head=f"paper {column.head}")]
        p = Column("p", kind="p")
        shares = [Column("labelled %", digits=0), Column("unlabelled %", digits=0)]
        others = with_paper(_means(("sensitivity", "specificity", "accuracy", "top1")), shares, digits=2)
        follows = ["the paper's top-1 follows from its accuracy, if the largest score decides"]
        title, about = "Table 4: figures in percent, mean ± SD over seeds", self.about()
        pages = [Report(title, rows, about, notes=notes, lines=[[*first, p, p.paper()]])]
        pages.append(Report("Table 4, the other figures", rows, notes=follows, lines=others))
        return Report(title, rows, about, notes=notes, pages=pages)

    @functools.cached_property
    def comparison(self) -> Report:
        """What the proposed method gains over each other one: intervals over test images and over seeds, and tests."""
        rows, alike, first = [], [], self.results[0]
        for method in filter(self.pairs, self.present()):
            pairs = self.pairs(method)
            ours, theirs = ([run.scores for run in runs] for runs in zip(*pairs, strict=True))
            bounds = jackknife(ours, first.truth, first.lesions, against=theirs)
            row = {"method": method, "row": self.NAMES[method], "seeds": len(pairs)}
            for figure in COMPARED:
                differences = [a.figures[figure] - b.figures[figure] for a, b in pairs]
                unknown = Interval(math.nan, math.nan, math.nan, math.nan, len(pairs))  # where AUC is undefined
                over = interval(differences) if np.isfinite(differences).all() else unknown
                row |= _bounded(figure, differences, bounds)
                row |= {f"{figure} seeds low": over.low, f"{figure} seeds high": over.high}
                row[f"{figure} verdict"] = over.verdict
            t, exact = paired_t(*_mean_right(pairs)), mcnemar(pairs[0][0].right, pairs[0][1].right)
            row |= {"top1": 100 * t.difference, "t": t.t if math.isfinite(t.t) else math.nan, "p": t.p}
            rows.append(row | {"only ours": exact.only_a, "only theirs": exact.only_b, "McNemar p": exact.p})
            if all(map(np.array_equal, ours, theirs)):
                alike.append(row["row"])
        by = "" if first.lesions is None else " (whole lesions)"
        title = f"Ours minus each other method (points): 95 % intervals of these networks over images{by}; over seeds"
        if not rows:
            return Report(title, rows, notes=[f"no other method has a seed of {PROPOSED}"])
        of_intervals, of_tests = [CAN, COVERS, *(_verdicts(rows, figure) for figure in COMPARED)], self._dependent()
        if alike:
            names = ", ".join(alike)
            of_tests.append(f"every score is that of Ours: {names}; up to these weights nothing set them apart")
        intervals = [ROW, SEEDS]
        for figure in COMPARED:
            intervals.append(Column(figure, f"Δ {FIGURES[figure]}", "interval", sign="+"))
            intervals.append(Column(f"{figure} seeds", f"{FIGURES[figure]} over seeds", "ends", sign="+"))
        tests = [ROW, SEEDS, Column("top1", "Δ top-1", digits=1, sign="+"), Column("t", kind="mean")]
        tests += [Column("p", kind="p"), Column("only ours"), Column("only theirs"), Column("McNemar p", kind="p")]
        test = "Ours and each other method by image: paired t-test of top-1 (points), McNemar's test of the first seed"
        pages = [Report(title, rows, notes=of_intervals, lines=[intervals])]
        pages.append(Report(test, rows, notes=of_tests, lines=[tests]))
        return Report(title, rows, notes=of_intervals + of_tests, pages=pages)

    @functools.cached_property
    def intervals(self) -> Report:
        """Figures of each method with intervals over test images."""
        rows, first, figures = [], self.results[0], ("auc", "f1", "top1")
        for method in self.present():
            runs = self.runs(method)
            bounds = jackknife([run.scores for run in runs], first.truth, first.lesions)
            rows.append({"method": method, "row": self.NAMES[method], "seeds": len(runs)})
            for figure in figures:
                rows[-1] |= _bounded(figure, [run.figures[figure] for run in runs], bounds)
        columns = [ROW, SEEDS, *(Column(figure, FIGURES[figure], "interval") for figure in figures)]
        title = "Figures in percent, mean over seeds, with 95 % intervals of these networks over test images"
        return Report(title, rows, notes=[COVERS], lines=[columns])

    @property
    def threshold018(self) -> Report:
        """The figures by both decisions, and how far each is from the paper's."""
        rows = []
        for method in self.present(paper.TABLE4):
            row = self._row(method, paper.TABLE4)
            row |= results.means(self.runs(method), {f"{figure}{AT}": f"{figure}{AT}" for figure in FIGURES})
            for end in ("", AT):
                apart = [abs(row[f"{figure}{end}"] - row[f"paper {figure}"]) for figure in OF_THRESHOLD]
                row[f"off{end}"] = float(np.mean(apart))
            rows.append(row)
        nearer = [row["row"] for row in rows if row[f"off{AT}"] < row["off"]]
        notes = [
            "off: mean distance to the paper's four figures, in points. AUC is the same for both.",
            f"nearer to the paper by score ≥ 0.18: {', '.join(nearer) or 'none'}",
            self.note(self.of(paper.TABLE4)),
        ]
        (largest, threshold), columns = DECISIONS, [*_means(OF_THRESHOLD), Column("off", kind="mean")]
        first = [ROW, Column(largest, "setting", "words"), *columns]
        second = [BLANK, Column(threshold, kind="words"), *(each._replace(name=f"{each.name}{AT}") for each in columns)]
        lines = [first, second, with_paper(columns[:-1], columns[-1:], digits=2)[1]]
        title = "Decided by the largest score, or as SRC-MT's code does by score ≥ 0.18"
        return Report(title, rows, notes=notes, lines=lines)

    @property
    def table5(self) -> Report:
        """Which pseudo-labels teach: all, the confident ones, or those that I2PEMD selects."""
        rows = [self._row(m, paper.TABLE5, name=paper.FILTERS[m]) for m in self.present(paper.TABLE5)]
        notes = [*self.unlike(), *paper.audit()["table5"], self.note(self.of(paper.TABLE5))]
        return _five("Table 5: which pseudo-labels teach; mean ± SD over seeds", rows, notes, paper.TABLE5)

    @property
    def table6(self) -> Report:
        """The proposed method by its thresholds."""
        every = self.every(PROPOSED)
        pairs = {self.variant(result.settings) for result in every}
        rows, usual = [], dict(zip(self.VARIED, paper.CHOSEN, strict=True))
        for pair in [*(pair for pair in paper.TABLE6 if pair in pairs), *sorted(pairs - paper.TABLE6.keys())]:
            # Another pair is what this table is about; it makes no run another setting than the paper's.
            rows.append(self._row(PROPOSED, paper.TABLE6, pair, "({:g}, {:g})".format(*pair), **usual))
        title = "Table 6: the proposed method by (τ_low, τ_high); mean ± SD over seeds"
        return _five(title, rows, [*paper.audit()["table6"], self.note(every)], [PROPOSED])

    @property
    def bands(self) -> Report:
        """How many pseudo-labels are right above, in and below the band that I2PEMD decides about; of all seeds."""
        rows = []
        for method in (name for name in self.present() if any(run.counts for run in self.runs(name))):
            counts = [run.counts for run in self.runs(method) if run.counts]
            row = {"method": method, "row": self.NAMES[method], "seeds": len(counts)}
            steps = sum(each["steps"] for each in counts) / len(counts)
            for name, region in zip(SETS, band_report(counts).rows, strict=True):
                row[f"{name} a step"] = region["a step"] / steps
                row |= {f"{name} {figure}": region[figure] for figure in ("% of all", "right %", "±")}
            rows.append(row)
        notes = [CLAIM] if rows else ["no run of a method with pseudo-labels"]
        columns = [ROW, Column("band a step", "a step in band"), Column("near a step", "let in a step")]
        columns += [Column(f"{name} right %", short) for name, short in SHORT.items()]
        title = "Pseudo-labels by region: how many are right (%)"
        return Report(title, rows, notes=notes, lines=[columns])

    def pairs(self, method: str) -> list[tuple[Result, Result]]:
        """[(a run of the proposed method, one of the other method)], a pair for each seed that both have."""
        theirs = {run.settings.seed: run for run in self.runs(method)} if method != PROPOSED else {}
        return [(run, theirs[run.settings.seed]) for run in self.runs(PROPOSED) if run.settings.seed in theirs]

    def about(self) -> dict[str, Any]:
        """What the runs have in common, for the line under Table 4."""
        first = self.results[0]
        s, by, leaks = first.settings, first.about["split by"], first.leaks
        shared = f"{leaks} of them of a lesion that other parts show too" if leaks else "lesions unknown"
        apart = "no lesion in two parts: stricter than the paper's split by image" if leaks == 0 else shared
        return {
            "data": first.data, "held-back images": len(first.images), "split by": f"{by}, {apart}", "steps": s.steps,
            "network": s.network, "from": "ImageNet" if s.imagenet else "random weights", "px": s.size,
            "(τ_low, τ_high)": "({:g}, {:g})".format(*self.main), "λ": s.weight,
        }  # fmt: skip

    def _row(self, method, table, pair=(), name=None, **usual):
        """The row of a method, or of a pair of thresholds: its own figures, then those of the paper's table."""
        runs, printed = self.runs(method, *pair), table.get(pair or method)
        row = self.row(method, runs, name, **usual) | results.means(runs, {figure: figure for figure in FIGURES})
        theirs = printed._asdict() | {"top1": paper.top1(printed.accuracy)} if printed else {}
        return row | {f"paper {figure}": theirs.get(figure, math.nan) for figure in FIGURES}

    def _dependent(self):
        lesions = self.results[0].lesions
        return [DEPENDENT] if lesions is not None and len(set(lesions)) < len(lesions) else []


from_runs = Tables.from_runs


def _mean_right(pairs):
    """For both sides of some pairs of runs, (n,) the share of the seeds that got each image right."""
    return [np.mean([run.right for run in runs], 0) for runs in zip(*pairs, strict=True)]


def _bounded(figure, values, bounds):
    """The mean of a figure, in percent, and the ends of its interval."""
    low, high = bounds[figure]
    return {figure: float(np.mean(values)), f"{figure} low": 100 * low, f"{figure} high": 100 * high}


def _means(figures):
    return [Column(figure, FIGURES[figure], "mean") for figure in figures]


def _five(title, rows, notes, methods):
    """A report that prints the paper's five figures."""
    lines = with_paper(_means(paper.FIGURES), [Column("seeds", digits=0)], digits=2)
    return Report(title, rows, notes=notes if rows else [results.no_run_of(methods)], lines=lines)


def _verdicts(rows, figure):
    """A sentence on the methods in rows of the comparison, by the seeds alone."""
    methods = {word: [row["row"] for row in rows if row[f"{figure} verdict"] == word] for word in VERDICTS}
    words = (f"{VERDICTS[word]} {', '.join(names)}" for word, names in methods.items() if names)
    return f"{FIGURES[figure]} over seeds: Ours is {'; '.join(words)}"
