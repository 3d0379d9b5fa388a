"""Tables 1 to 3 and Figure 6: what the paper prints, and beside it what these methods give here."""

import dataclasses
import itertools
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from i2pemd_lite.files import BadInput
from i2pemd_lite.metrics import pearson
from i2pemd_lite.runs.run import Run
from i2pemd_lite.runs.settings import Settings
from i2pemd_lite.segmentation import paper
from i2pemd_lite.segmentation.data import Dataset
from i2pemd_lite.segmentation.layout import MODALITIES, ORGANS
from i2pemd_lite.segmentation.methods import METHODS
from i2pemd_lite.segmentation.prepare import Prepared
from i2pemd_lite.segmentation.report import DISTANCES, known_mean, organ_means, summary
from i2pemd_lite.segmentation.settings import SETTINGS, SegmentationSettings
from i2pemd_lite.segmentation.stress import STRESS
from i2pemd_lite.segmentation.task import TASK, evaluate
from i2pemd_lite.tables import report, results
from i2pemd_lite.tables.report import ROW, SEEDS, SETTING, Column, Report
from i2pemd_lite.tables.statistics import Interval, interval

FIGURES_OF_CASE = {organ + end: (None, float) for organ in ORGANS for end in ("", " assd", " hd95", " hd")}
EVALUATION = {"about": dict, "cases": [{"case": str, "modality": MODALITIES} | FIGURES_OF_CASE], "missing": list,
              "confusion?": [[int]], "ground?": [[float]],
              "stress?": {"rows": [{"stress": str, "mean": (None, float)}]}}  # fmt: skip
"""The form of report.json, as far as the tables take from it."""

PROPOSED = "joint_sepbn_i2pemd"
EVALUATIONS = 12  # of a proposed run at least, for the correlations of Table 2
SHORT = dict(zip([*ORGANS, "mean"], ("liver", "R-kdy", "L-kdy", "spleen", "mean"), strict=True))
FIGURES = {f"{m} {name}": f"{m} {name}".removesuffix(" mean") for m in MODALITIES for name in SHORT} | {"mean": "doc"}
"""Figure of a row of Table 1 -> that of a run."""
MEANS = {"ct mean": "CT", "mr mean": "MR", "mean": "overall"}
TABLE2 = {
    "mDOC": ("doc", lambda row: row["doc"]),
    "MMD²": ("mmd", lambda row: row["mmd"]),
    "MMD": ("mmd", lambda row: math.sqrt(max(row["mmd"], 0.0))),
    "MMD², fixed kernel": ("mmd", lambda row: row.get("mmd_fixed", math.nan)),  # a run of an earlier version has none
}
"""What mI2PEMD is correlated with -> the paper's row, and the value in a row of a run's evaluations."""
UNUSUAL = "stress all"
PARTS = 20  # of a run in Figure 6 (b)
WHICH_MMD = (
    "the paper does not say which MMD: MMD² is the sum of five kernels, as wide as the features lie apart at that "
    "evaluation (Long et al. 2015), MMD its root, and the fixed kernel is one with β = 2d, the same at all of them"
)
AUTOCORRELATED = (
    "p takes the evaluations for independent. Those of one training are not, for each goes on from the one before: p "
    "is too small, and two things that both change while a network learns have a large r whatever the cause."
)
NO_NUMBERS = "the paper draws this figure and prints no numbers"


def tables(
    data: Dataset | Prepared | Path | str | None = None, profile: str | None = None, seeds: Sequence[int] = (0,),
    methods: Collection[str] | None = None, folder: Path | str = "runs/segmentation", dims: Sequence[int] | None = None,
    progress: bool = True, brought: str | None = None, **settings: Any
) -> "Tables":  # fmt: skip
    """Train what is missing for Tables 1 to 3, as `Tables.trained` says, and give the `Tables`.

    data, profile   as for `train`
    seeds           one run of each method for each; a SD takes two, the paper has three
    methods         keys of `METHODS`; None: all ten
    dims            feature sizes d for Figure 6 (a), each a run of the proposed method for each seed; the paper says
                    that 32 is best and prints no others, {8, 16, 32, 64, 128} are a likely grid
    settings        any field of `SegmentationSettings`, for every run
    """
    return Tables.trained(data, profile, seeds, methods, {"dims": dims}, folder, progress, brought, settings)


@dataclasses.dataclass(frozen=True, eq=False)
class Result(results.Result):
    """What the tables take from a finished run.

    figures : means of DOC by name, as `report.summary` gives them; means of distances over cases and organs in mm, "ct
        assd", "mr hd95", …; "missing organs", how many a held-back case lacks, in its truth or in its prediction
        "stress all", DOC on unusual scans, and "stress large spleen", …, on those of one kind, where it was asked
    evaluations, history : the rows of the two tables of the run; `history` has the loss curves of Figure 6 (b)
    cases : DOC in percent of the organs of each held-back case, {case: (4,)}
    confusion, ground : as of an `Evaluation`, (K, K); empty where an earlier version evaluated the run
    """

    evaluations: list
    history: list
    cases: dict
    confusion: np.ndarray
    ground: np.ndarray


@dataclasses.dataclass(repr=False)
class Tables(results.Tables):
    """Tables 1 to 3, Figure 6, distances of surfaces, differences, unusual scans and mistakes. An organ that no
    held-back case has is left out of a mean.

    `main` is the feature size d of Tables 1 to 3, as (d,); the runs of the proposed method with any d are in Figure 6
    (a).

    A run can have the paper's setting with two values of `crop`: "organs" is the paper's protocol, whose cut in-plane
    takes the truth of held-back scans for granted; "z", the default, makes the task harder and so flatters nobody. The
    tables say which.
    """

    TASK, CHOICES, NAMES, RESULT, PROPOSED = TASK, SETTINGS, paper.NAMES, Result, PROPOSED
    VARIED, SUFFIX = {"dim": "d"}, "-dim{}"
    REPORTS = {"table1": 0, "differences": 1, "unusual": 1, "mistakes": 1, "table2": 0, "table3": 0, "surfaces": 0,
               "figure6a": 2, "figure6b": 1}  # fmt: skip
    STEPS, AS_IT_IS = ("steps",), ("crop",)
    WORTH = {"overall DOC": "doc", "missing organs": "missing organs"}

    @classmethod
    def settings_for(cls, method: str, profile: str | None, seed: int, changes: dict) -> Settings:
        """The settings of a run; Table 2 takes some evaluations of a proposed one."""
        chosen = super().settings_for(method, profile, seed, changes)
        if method == PROPOSED and "evaluate_every" not in changes:
            chosen.evaluate_every = min(chosen.evaluate_every, max(1, chosen.steps // EVALUATIONS))
        return chosen

    @staticmethod
    def is_like(settings: SegmentationSettings, data: str) -> bool:
        """Whether the scans are cut as in the paper or along z, and a method with I2PEMD has some: λ alone is open."""
        return settings.crop in ("organs", "z") and not (METHODS[settings.method].ground and settings.weight == 0)

    @staticmethod
    def figures_of(run: Run) -> dict[str, Any]:
        """What a `Result` has beside its run, from report.json where that tells all."""
        content = results.report_of(run, evaluate, EVALUATION)
        cases = report.with_nan(content["cases"])
        figures = summary(cases) | {"missing organs": len(content["missing"])}
        for m, field in itertools.product(MODALITIES, DISTANCES):
            figures[f"{m} {field}"] = known_mean(organ_means(cases, m, f" {field}").values())
        rows = report.with_nan(content.get("stress", {"rows": []})["rows"])
        figures |= {f"stress {row['stress']}": row["mean"] for row in rows}  # the last of a kind is that of CT and MR
        more = {name: np.array(content.get(name, [])) for name in ("confusion", "ground")}
        more |= {"cases": {row["case"]: np.array([row[organ] for organ in ORGANS]) for row in cases}}
        return {"figures": figures, "about": content["about"], "evaluations": run.evaluations, "history": run.history,
                **more}  # fmt: skip

    @property
    def table1(self) -> Report:
        """DOC of every organ, the means of a modality, and the overall mean; the paper's beside."""
        rows, marked = self._rows(self.NAMES, FIGURES), []
        wrong = {method: f"† {sentence}" for method, sentence in paper.audit().items()}
        for row in rows:
            row |= {f"paper {name}": value for name, value in paper.figures(row["method"]).items()}
            sign = " †" * (row["method"] in wrong)
            marked.append(row | {"recomputed": report.plus_minus(row["paper mean recomputed"]) + sign})
        means = [Column(name, head, "mean") for name, head in MEANS.items()]
        theirs = [Column(f"paper {name}", f"paper {head}") for name, head in MEANS.items()]
        first = [ROW, SETTING, SEEDS, *means, *theirs, Column("recomputed")]
        notes = [*self.unlike(), *map(wrong.get, self.present(wrong)), self.note(self.of(self.NAMES))]
        title, about = "Table 1: Dice overlap (DOC, %), mean ± SD over seeds", self.about()
        pages = [Report(title, marked, about, notes=notes, lines=[first])]
        for m in MODALITIES:
            organs = [Column(f"{m} {organ}", short, "mean") for organ, short in SHORT.items()]
            pages.append(Report(f"Table 1, organs in {m.upper()}", rows, lines=report.with_paper(organs)))
        return Report(title, rows, about, notes=notes, pages=pages)

    @property
    def differences(self) -> Report:
        """What the proposed method gains over each other one, over the seeds that both have, with 95 % intervals
        (`statistics.interval`): over seeds of DOC, of CT, of MR and on unusual scans; and over the held-back cases, of
        each the mean over seeds and organs."""
        rows, ours = [], {run.settings.seed: run for run in self.runs(PROPOSED)}
        for method in (method for method in self.present() if method != PROPOSED):
            pairs = [(ours[seed], run) for run in self.runs(method) if (seed := run.settings.seed) in ours]
            if not pairs:
                continue
            row = self.row(method, [run for _, run in pairs])
            for name, figure in {"doc": "doc", "ct": "ct", "mr": "mr", "stress": UNUSUAL}.items():
                each = [[run.figures.get(figure, math.nan) for run in pair] for pair in pairs]
                row |= _bounded(name, [a - b for a, b in each])
            shared = sorted(set.intersection(*({*run.cases} for pair in pairs for run in pair)))
            cases = [known_mean(np.ravel([a.cases[case] - b.cases[case] for a, b in pairs])) for case in shared]
            rows.append(row | _bounded("cases", cases) | {"n": len(shared)})
        heads = {"doc": "Δ overall", "ct": "Δ CT", "mr": "Δ MR", "stress": "Δ unusual", "cases": "Δ over cases"}
        columns = [Column(name, head, "interval", sign="+") for name, head in heads.items()]
        title = f"{self.NAMES[PROPOSED]} minus each other method (DOC, points), mean and 95 % interval"
        note = "over seeds; over the held-back cases in the last column, which another split would change"
        columns = [ROW, SEEDS, *columns, Column("n", "cases")]
        return Report(title, rows, notes=[note, self.note(self.of(self.NAMES))], lines=[columns])

    @property
    def unusual(self) -> Report:
        """DOC on the scans of `stress`, beside that on the usual ones; of the runs that were asked for it."""
        names = {"usual": "doc"} | {name: f"stress {name}" for name in (*STRESS, "all")}
        asked = [method for method in self.present() if any(UNUSUAL in run.figures for run in self.runs(method))]
        title = "Dice overlap (DOC, %) on unusual scans made from the held-back ones"
        return _of_means(title, "row", self._rows(asked, names), names, [self.note(self.of(asked))] * bool(asked))

    @property
    def mistakes(self) -> Report:
        """How often a prediction takes a voxel of one class for another, of 100 voxels of organs, and how far apart G
        holds the two: `far` counts those further apart than classes are in the mean, `cost` is the mean of G over all
        that are wrong. G is for every method the mean of those that the proposed runs have learned."""
        rows, ground = [], [run.ground for run in self.runs(PROPOSED) if run.ground.size]
        G, off = np.mean(ground, 0) if ground else None, ~np.eye(len(ORGANS) + 1, dtype=bool)
        for method in self.present() if ground else ():
            counts = [run.confusion for run in self.runs(method) if run.confusion.size]
            found = [(100 * C[off].sum() / C[1:].sum(), 100 * C[off & (G > G[off].mean())].sum() / C[1:].sum(),
                      (C * G)[off].sum() / C[off].sum()) for C in counts]  # fmt: skip
            row = self.row(method)
            for name, values in zip(("wrong", "far", "cost"), zip(*found, strict=True), strict=bool(found)):
                row |= report.spread(name, [float(value) for value in values])
            rows += [row] * bool(found)
        title = "Voxels that are taken for another class, of 100 voxels of organs, and what G says of these mistakes"
        note = "far: G holds the two classes further apart than in the mean; cost: the mean of G over these mistakes"
        columns = [ROW, SETTING, SEEDS, Column("wrong", kind="mean"), Column("far", kind="mean"), Column("cost")]
        return Report(title, rows, digits=2, notes=[note, self.note(self.of(self.NAMES))], lines=[columns])

    @property
    def table2(self) -> Report:
        """Pearson's r of the mean I2PEMD with DOC and with MMD, over the evaluations of each proposed run."""
        rows, runs = [], self.runs(PROPOSED)
        absent = f"{results.no_run_of([PROPOSED])}, which this table is of"
        notes = [AUTOCORRELATED, WHICH_MMD, self.note(runs)] if runs else [absent]
        for run in runs:
            for other, (figure, value) in TABLE2.items():
                evaluations = [row for row in run.evaluations if {"mi2pemd", figure} <= row.keys()]
                pairs = [(row["mi2pemd"], y) for row in evaluations if not math.isnan(y := value(row))]
                r, p, n = math.nan, math.nan, len(pairs)
                try:
                    r, p, n = pearson(*np.reshape(pairs, (n, 2)).T)
                except BadInput as error:
                    few = "too few evaluations, r takes 3; train with a lower evaluate_every"
                    few = few if n or not run.evaluations else "the run is of a version that did not measure it"
                    notes.append(f"seed {run.settings.seed}, mI2PEMD (x) and {other} (y): {few if n < 3 else error}")
                row = {"": f"mI2PEMD vs. {other}", "setting": self.labels([run]), "seed": run.settings.seed}
                theirs = dict(zip(("paper r", "paper p"), paper.TABLE2[figure], strict=True))
                rows.append(row | {"r": r, "p": p, "n": n} | theirs)
        r, p = Column("r", digits=2, sign="+"), Column("p", kind="p")
        columns = [*map(Column, ("", "setting", "seed")), r, p, Column("n"), r._replace(name="paper r"), p.paper()]
        title = "Table 2: Pearson's r over the evaluations of a run of the proposed method"
        return Report(title, rows, notes=notes, lines=[columns])

    @property
    def table3(self) -> Report:
        """The overall mean of DOC in the rows that show what each part of I2PEMD adds."""
        rows = self._rows(paper.TABLE3, {"mean": "doc"})
        for row in rows:
            row["paper"] = paper.TABLE3[row["method"]]
        notes = [*self.unlike(), self.note(self.of(paper.TABLE3))] if rows else [results.no_run_of(paper.TABLE3)]
        title = "Table 3: overall mean of DOC (%)"
        return _of_means(title, "row", rows, ["mean"], notes, [Column("paper")])

    @property
    def figure6a(self) -> Report:
        """The overall mean of DOC by feature size d, of the proposed method."""
        rows, every = [], self.every(PROPOSED)
        figures = {"mean": "doc"} | {m.upper(): m for m in MODALITIES}
        for dim in sorted({result.settings.dim for result in every}):
            runs = self.runs(PROPOSED, dim)
            row = {"d": dim, "setting": self.labels(runs, dim=SegmentationSettings.dim), "seeds": len(runs)}
            rows.append(row | results.means(runs, figures))
        notes = [f"{NO_NUMBERS}: d = 32 is best there", self.note(every)]
        return _of_means("Figure 6 (a): mean of DOC (%) by feature size d", "d", rows, figures, notes)

    @property
    def figure6b(self) -> Report:
        """The terms of Eq. 7 while the proposed method is trained: means over equal parts of a run, then over seeds."""
        rows, runs = [], self.runs(PROPOSED)
        for parts in zip(*(np.array_split(run.history, min(PARTS, len(run.history))) for run in runs), strict=True):
            row = {"up to step": parts[0][-1]["step"], "setting": self.labels(runs), "seeds": len(runs)}
            for term, title in (("ce", "CE"), ("dice", "Dice"), ("i2pemd", "I2PEMD")):
                row |= report.spread(title, [float(np.mean([step[term] for step in part])) for part in parts])
            rows.append(row)
        add = "CE and Dice of CT and MR are added up as `add` says; I2PEMD is one mean over both, before λ"
        notes = [NO_NUMBERS, add, self.note(runs)]
        return Report("Figure 6 (b): terms of the loss, mean and SD over seeds", rows, digits=3, notes=notes)

    @property
    def surfaces(self) -> Report:
        """Distances of surfaces, which the paper does not have: means over cases and organs."""
        names = {f"{m.upper()} {title}": f"{m} {field}" for m in MODALITIES for field, title in DISTANCES.items()}
        title = "Distances of surfaces (mm; the paper has none), means over cases and organs"
        lacking = "organs that truth or prediction lacks have none, and are left out"
        return _of_means(title, "row", self._rows(self.NAMES, names), names, [lacking, self.note(self.of(self.NAMES))])

    def _rows(self, methods, figures):
        """A row of means for each of these methods that has runs."""
        return [self.row(method) | results.means(self.runs(method), figures) for method in self.present(methods)]

    def about(self) -> dict[str, Any]:
        """What the runs have in common, for the line under Table 1."""
        first, s = self.results[0], self.results[0].settings
        more = {} if s.preset == "paper" else {"preset": s.preset}
        more |= {"training scans of CT, MR": ", ".join(map(str, s.scans))} if s.scans else {}
        return {
            "data": first.data, "held-back cases": first.about["held-back cases"], **more, "steps": s.steps,
            "mm": " × ".join(f"{n:g}" for n in s.spacing), "voxels in-plane": " × ".join(map(str, s.size)),
            "crop": s.crop, "width": s.width, "d": self.main[0], "λ": s.weight,
        }  # fmt: skip


from_runs = Tables.from_runs


def _bounded(name, differences):
    """The mean of those differences that are numbers, and the ends of its interval, under this name."""
    known = [float(value) for value in differences if not math.isnan(value)]
    found = interval(known) if known else Interval(*[math.nan] * 4, 0)
    return {name: found.mean, f"{name} low": found.low, f"{name} high": found.high}


def _of_means(title, first, rows, means, notes, more=()):
    columns = [Column(first), SETTING, SEEDS, *(Column(name, kind="mean") for name in means), *more]
    return Report(f"{title}, mean ± SD over seeds", rows, notes=notes, lines=[columns])
