"""Tables 1 to 3 and Figure 6: what the paper prints, and beside it what these methods give here.

    tables = segmentation.tables(seeds=(0, 1, 2))       # trains what is missing
    tables = segmentation.from_runs(folders)            # or: of runs that are there
    print(tables)
    tables.save("out/tables")
"""

import dataclasses
import math
from pathlib import Path

import numpy as np

from i2pemd_lite.files import BadInput
from i2pemd_lite.metrics import pearson
from i2pemd_lite.segmentation import paper
from i2pemd_lite.segmentation.layout import MODALITIES, ORGANS
from i2pemd_lite.segmentation.methods import METHODS
from i2pemd_lite.segmentation.report import DISTANCES
from i2pemd_lite.segmentation.results import label, read
from i2pemd_lite.segmentation.settings import SegmentationSettings
from i2pemd_lite.segmentation.task import TASK
from i2pemd_lite.tables import results
from i2pemd_lite.tables.choices import note
from i2pemd_lite.tables.report import Report
from i2pemd_lite.tables.results import MEMORY, p_value, plus_minus, spread

PROPOSED = "joint_sepbn_i2pemd"
EVALUATIONS = 12  # of a proposed run at least, for the correlations of Table 2
SHORT = dict(zip(ORGANS, ("liver", "R-kdy", "L-kdy", "spleen"), strict=True))
TABLE2 = {
    "mDOC": ("doc", lambda row: row["doc"]),
    "MMD²": ("mmd", lambda row: row["mmd"]),
    "MMD": ("mmd", lambda row: math.sqrt(max(row["mmd"], 0.0))),
    "MMD², fixed kernel": ("mmd", lambda row: row.get("mmd_fixed", math.nan)),  # a run of an earlier version has none
}
"""What mI2PEMD is correlated with -> the paper's row, and the value in a row of a run's evaluations."""
PARTS = 20  # of a run in Figure 6 (b)
WHICH_MMD = (
    "the paper does not say which MMD: MMD² is the sum of five kernels, as wide as the features lie apart at that "
    "evaluation (Long et al. 2015), MMD its root, and the fixed kernel is one with β = 2d, the same at all of them"
)
AUTOCORRELATED = (
    "p takes the evaluations for independent. Those of one training are not, for each goes on from the one before: p "
    "is too small, and two things that both change while a network learns have a large r whatever the cause."
)


def tables(
    data=None, profile=None, seeds=(0,), methods=None, folder="runs/segmentation", dims=None, progress=True, **settings
):
    """Train what is missing for Tables 1 to 3, and give the `Tables`.

    Each run has a folder of its own in `folder`. One that was stopped goes on where it stands; one that is finished is
    used as it is.

    Parameters
    ----------
    data, profile : as for `train`
    seeds : one run of each method for each; a SD takes two, the paper has three
    methods : keys of `METHODS`; None: all ten
    folder : where the runs are kept
    dims : feature sizes d for Figure 6 (a), each a run of the proposed method for each seed; the paper says that 32 is
        best and prints no others, {8, 16, 32, 64, 128} are a likely grid
    settings : any field of `SegmentationSettings`, for every run

    Raises
    ------
    BadInput
        before anything is trained, for a folder that holds a run with other settings or on other data
    """
    results.each_once(seeds=seeds, methods=methods, dims=dims)
    for method in methods or ():
        TASK.settings_for(method, profile)
    main_dim = TASK.settings_for(PROPOSED, profile, changes=settings).dim
    wanted = {}
    for method in (name for name in METHODS if methods is None or name in methods):
        for seed in seeds:
            wanted |= _place(folder, method, profile, seed, settings)
    for dim in dims or ():
        for seed in seeds:
            wanted |= _place(folder, PROPOSED, profile, seed, {**settings, "dim": dim}, "" if dim == main_dim else dim)
    if not wanted:
        raise BadInput("seeds, methods, dims: expected at least one run, found none; give some")
    return Tables(results.all_trained(TASK, wanted, read, data, "scans", progress), main_dim)


def _place(folder, method, profile, seed, changes, dim=""):
    """{the folder of a run: its settings}."""
    chosen = TASK.settings_for(method, profile, seed, changes)
    if method == PROPOSED and "evaluate_every" not in changes:
        chosen.evaluate_every = min(chosen.evaluate_every, max(1, chosen.steps // EVALUATIONS))
    name = f"{method}-{chosen.profile}-seed{seed}" + (f"-dim{dim}" if dim else "")
    return {Path(folder) / name: chosen}


def from_runs(folders, data=None):
    """The `Tables` of finished runs, whoever trained them.

    Rows may have any number of seeds. A run is evaluated anew where its report.json is older than its last step or has
    no distances of surfaces; the others are taken as they are.

    Parameters
    ----------
    folders : of runs
    data : the data that they were trained on, where they moved

    Raises
    ------
    BadInput
        that lists each run that is unfinished, on other data, there twice, or of other settings than its row
    """
    return Tables(results.finished(TASK, folders, read, lambda settings: settings.geometry, data))


@dataclasses.dataclass(repr=False)
class Tables(results.Tables):
    """The tables of some `results`, each a `Report`: `table1`, `table2`, `table3`, `surfaces`, `figure6a`,
    `figure6b`.

    Means are over runs with different seeds, and so is the SD (of a sample, n − 1), which takes two. An organ that no
    held-back case has is left out. `main_dim` is the feature size d of Tables 1 to 3 (None: that of most runs); the
    runs of the proposed method with any d are in Figure 6 (a).
    """

    main_dim: int | None = None

    PROPOSED, TITLE, NAMES, VARIED = PROPOSED, "Segmentation", paper.NAMES, ("dim",)

    def __post_init__(self):
        super().__post_init__()
        if self.main_dim is None:
            (self.main_dim,) = self.usual()

    @property
    def main(self):
        """(d,) of Tables 1 to 3."""
        return (self.main_dim,)

    @property
    def table1(self):
        """DOC of every organ, the means of a modality, and the overall mean; the paper's beside."""
        rows = [_table1_row(method, self.runs(method)) for method in METHODS if self.runs(method)]
        wrong = [f"† {discrepancy}" for discrepancy in paper.audit() if self.runs(discrepancy.method)]
        return Table1(
            "Table 1: Dice overlap (DOC, %), mean ± SD over seeds",
            rows,
            self.about(),
            notes=self.unlike() + wrong + [note("segmentation", self.of(METHODS))],
        )

    @property
    def table2(self):
        """Pearson's r of the mean I2PEMD with DOC and with MMD, over the evaluations of each proposed run."""
        absent = [f"no run of {PROPOSED}, which this table is of"]
        rows, runs = [], self.runs(PROPOSED)
        notes = [AUTOCORRELATED, WHICH_MMD, note("segmentation", runs)] if runs else absent
        for run in runs:
            for other, (row_of, value) in TABLE2.items():
                printed = paper.TABLE2[row_of]
                rows_of = [row for row in run.evaluations if {"mi2pemd", row_of} <= row.keys()]
                pairs = [(row["mi2pemd"], y) for row in rows_of if not math.isnan(y := value(row))]
                r, p, n = math.nan, math.nan, len(pairs)
                try:
                    r, p, n = pearson(*np.reshape(pairs, (n, 2)).T)
                except BadInput as error:
                    few = "too few evaluations, r takes 3; train with a lower evaluate_every"
                    few = few if n or not run.evaluations else "the run is of a version that did not measure it"
                    why = few if n < 3 else error
                    notes.append(f"seed {run.settings.seed}, mI2PEMD (x) and {other} (y): {why}")
                row = {"": f"mI2PEMD vs. {other}", "setting": label(run.settings, run.data)}
                row |= {"seed": run.settings.seed, "r": r, "p": p, "n": n}
                rows.append(row | {"paper r": printed[0], "paper p": printed[1]})
        return Table2("Table 2: Pearson's r over the evaluations of a run of the proposed method", rows, notes=notes)

    @property
    def table3(self):
        """The overall mean of DOC in the rows that show what each part of I2PEMD adds."""
        rows, own = [], note("segmentation", self.of(paper.TABLE3))
        for method in (name for name in paper.TABLE3 if self.runs(name)):
            row = _table1_row(method, self.runs(method))
            shown = {name: row[name] for name in ("method", "row", "setting", "seeds", "mean", "mean sd")}
            rows.append({**shown, "paper": paper.TABLE3[method]})
        notes = [*self.unlike(), own] if rows else [f"no run of {', '.join(paper.TABLE3)}"]
        return Short("Table 3: overall mean of DOC (%), mean ± SD over seeds", rows, notes=notes)

    @property
    def figure6a(self):
        """The overall mean of DOC by feature size d, of the proposed method."""
        rows, every = [], [result for result in self.results if result.settings.method == PROPOSED]
        for dim in sorted({result.settings.dim for result in every}):
            runs = self.runs(PROPOSED, dim)
            kinds = {label(run.settings.changed(dim=SegmentationSettings.dim), run.data) for run in runs}
            row = {"d": dim, "setting": ", ".join(sorted(kinds)), "seeds": len(runs)}
            for name, title in (("doc", "mean"), *((m, m.upper()) for m in MODALITIES)):
                row |= spread(title, [run.figures[name] for run in runs])
            rows.append(row)
        notes = ["the paper draws this figure and prints no numbers: d = 32 is best there", note("segmentation", every)]
        return Short("Figure 6 (a): mean of DOC (%) by feature size d, mean ± SD over seeds", rows, notes=notes)

    @property
    def figure6b(self):
        """The terms of Eq. 7 while the proposed method is trained: means over equal parts of a run, then over seeds."""
        rows, runs = [], self.runs(PROPOSED)
        for parts in zip(*(np.array_split(run.history, min(PARTS, len(run.history))) for run in runs), strict=True):
            row = {"up to step": parts[0][-1]["step"], "setting": _labels(runs), "seeds": len(runs)}
            for term, title in (("ce", "CE"), ("dice", "Dice"), ("i2pemd", "I2PEMD")):
                row |= spread(title, [float(np.mean([step[term] for step in part])) for part in parts])
            rows.append(row)
        add = "CE and Dice of CT and MR are added up as `add` says; I2PEMD is one mean over both, before λ"
        notes = ["the paper draws this figure and prints no numbers", add, note("segmentation", runs)]
        return Report("Figure 6 (b): terms of the loss, mean and SD over seeds", rows, digits=3, notes=notes)

    @property
    def surfaces(self):
        """Distances of surfaces, which the paper does not have: means over cases and organs."""
        rows = []
        for method in (name for name in METHODS if self.runs(name)):
            runs = self.runs(method)
            row = {"method": method, "row": paper.NAMES[method], "setting": _labels(runs), "seeds": len(runs)}
            for m in MODALITIES:
                for field, title in DISTANCES.items():
                    values = [run.distances.get(f"{m} {field}", math.nan) for run in runs]
                    row |= spread(f"{m.upper()} {title}", values)
            rows.append(row)
        title = "Distances of surfaces (mm; the paper has none), means over cases and organs, mean ± SD over seeds"
        lacking = "organs that truth or prediction lacks have none, and are left out"
        return Short(title, rows, notes=[lacking, note("segmentation", self.of(METHODS))])

    @property
    def costs(self):
        """What each run cost, and how many organs its held-back cases lack."""
        rows = [
            {
                "method": result.settings.method,
                "d": result.settings.dim,
                "seed": result.settings.seed,
                "steps": result.about["steps"],
                "precision": result.settings.precision,
                "seconds": result.about["seconds"],
                "peak MiB": result.about.get("peak MiB", "unknown"),
                "overall DOC": result.figures["doc"],
                "missing organs": result.missing,
            }
            for result in self.results
        ]
        return Report("The runs", rows, notes=[MEMORY])

    def reports(self):
        """{"table1": …, "table2": …, "table3": …, "surfaces": …}; "figure6a" of more than one d, "figure6b" of any."""
        found = {name: getattr(self, name) for name in ("table1", "table2", "table3", "surfaces")}
        found |= {"figure6a": self.figure6a} if len(self.figure6a.rows) > 1 else {}
        return found | ({"figure6b": self.figure6b} if self.runs(PROPOSED) else {})

    def about(self):
        """What the runs have in common, for the line under Table 1."""
        first = self.results[0]
        s = first.settings
        return {
            "data": first.data,
            "held-back cases": first.about["held-back cases"],
            "steps": s.steps,
            "mm": " × ".join(f"{n:g}" for n in s.spacing),
            "voxels in-plane": " × ".join(map(str, s.size)),
            "crop": s.crop,
            "width": s.width,
            "d": self.main_dim,
            "λ": s.weight,
        }


def _labels(runs):
    return ", ".join(sorted({label(run.settings, run.data) for run in runs}))


def _table1_row(method, runs):
    """The row of a method: its own figures, then the paper's under the same names with "paper " before them."""
    row = {"method": method, "row": paper.NAMES[method], "setting": _labels(runs), "seeds": len(runs)}
    printed = paper.TABLE1.get(method)
    theirs = {}
    for i, m in enumerate(MODALITIES):
        organs = getattr(printed, m) if printed else [(math.nan, math.nan)] * len(ORGANS)
        for organ, (mean, sd) in zip(ORGANS, organs, strict=True):
            row |= spread(f"{m} {organ}", [run.figures[f"{m} {organ}"] for run in runs])
            theirs |= {f"paper {m} {organ}": mean, f"paper {m} {organ} sd": sd}
        row |= spread(f"{m} mean", [run.figures[m] for run in runs])
        theirs[f"paper {m} mean"] = printed.means[i] if printed else math.nan
    row |= spread("mean", [run.figures["doc"] for run in runs])
    theirs["paper mean"] = printed.means[-1] if printed else math.nan
    again = printed.recomputed() if printed else [math.nan] * 3
    names = ("ct mean", "mr mean", "mean")
    return row | theirs | {f"paper {name} recomputed": mean for name, mean in zip(names, again, strict=True)}


class Short(Report):
    """A report that prints each mean and its SD in one cell, and not the keys of methods."""

    def pages(self):
        """The same rows, shorter."""
        rows = []
        for row in self.rows:
            shown = {name: value for name, value in row.items() if name != "method" and not name.endswith(" sd")}
            means = {name: plus_minus(row[name], row[f"{name} sd"]) for name in shown if f"{name} sd" in row}
            rows.append(shown | means)
        return [Report(self.title, rows, self.about, notes=self.notes)]


class Table2(Report):
    """A report that prints r with two digits, and a p below 0.001 as just that, as the paper does."""

    def pages(self):
        """The same rows, rounded."""
        rows = []
        for row in self.rows:
            r, p = row["r"], row["p"]
            r = "-" if math.isnan(r) else f"{r:+.2f}"
            rows.append({**row, "r": r, "p": p_value(p), "paper r": f"{row['paper r']:+.2f}"})
        return [Report(self.title, rows, notes=self.notes)]


class Table1(Report):
    """A row a method with all its figures; printed as a table of means and one for the organs of each modality."""

    def pages(self):
        """The means beside the paper's; then the organs in CT, and in MR, the paper's on lines of their own."""
        means, wrong = [], {discrepancy.method for discrepancy in paper.audit()}
        for row in self.rows:
            cells = {"": row["row"], "setting": row["setting"], "seeds": row["seeds"]}
            columns = {"CT": "ct mean", "MR": "mr mean", "overall": "mean"}
            cells |= {title: plus_minus(row[name], row[f"{name} sd"]) for title, name in columns.items()}
            cells |= {f"paper {title}": row[f"paper {name}"] for title, name in columns.items()}
            star = " †" if row["method"] in wrong else ""
            means.append(cells | {"recomputed": plus_minus(row["paper mean recomputed"]) + star})
        return [
            Report(self.title, means, self.about, notes=self.notes),
            *(Report(f"Table 1, organs in {m.upper()}", self._organs(m)) for m in MODALITIES),
        ]

    def _organs(self, m):
        names = {**{short: f"{m} {organ}" for organ, short in SHORT.items()}, "mean": f"{m} mean"}
        rows = []
        for row in self.rows:
            measured = {short: plus_minus(row[name], row[f"{name} sd"]) for short, name in names.items()}
            rows.append({"": row["row"], "setting": row["setting"], **measured})
            printed = {
                short: plus_minus(row[f"paper {name}"], row.get(f"paper {name} sd", math.nan))
                for short, name in names.items()
            }
            rows.append({"": "", "setting": "paper", **printed})
        return rows
