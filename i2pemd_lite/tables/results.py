"""Runs as the tables of a task need them: trained where they are missing, read where they are there; and such tables.

A task adds how one of its runs is read (`read`: run -> result), and which reports its `Tables` are made of.
"""

import dataclasses
import math
import statistics
from collections import Counter
from pathlib import Path

from i2pemd_lite.files import BadInput, Problems, atomic_write
from i2pemd_lite.runs.store import read_about, read_checkpoint
from i2pemd_lite.tables.report import Report

FREE = {"method", "seed", "profile", "precision", "evaluate_every", "checkpoint_every"}
"""Settings that neither make a run another one than the paper's nor another one than asked for."""
MEMORY = (
    "peak MiB: on a GPU the most that torch had allocated there, on a CPU the most that the process had resident with "
    "its libraries; both since the process began, earlier runs included"
)


def differences(settings, others, free=FREE):
    """{name: (value, other value)} where two settings differ but for the `free` ones.

    Example
    -------
    >>> from i2pemd_lite.runs.settings import Settings
    >>> differences(Settings(seed=1, weight=0.5), Settings())
    {'weight': (0.5, 1.0)}
    """
    one, other = dataclasses.asdict(settings), dataclasses.asdict(others)
    return {name: (one[name], other[name]) for name in one if one[name] != other[name] and name not in free}


def in_words(found, beside):
    """What `differences` found, as text.

    Example
    -------
    >>> in_words({"dim": (8, 32)}, "beside")
    'dim 8 beside 32'
    """
    return ", ".join(f"{name} {one} {beside} {other}" for name, (one, other) in found.items())


def each_once(**lists):
    """Raise `BadInput` for a list that has something twice; None is no list.

    Example
    -------
    >>> each_once(seeds=(0, 0), methods=None)
    Traceback (most recent call last):
    i2pemd_lite.files.BadInput: seeds: expected none twice, found 0, 0; leave one out
    """
    for name, values in lists.items():
        if values is not None and len(set(values)) < len(values):
            raise BadInput(f"{name}: expected none twice, found {', '.join(map(str, values))}; leave one out")


def begun(place):
    """Whether the folder holds a run that can be resumed."""
    return (Path(place) / "checkpoint.safetensors").is_file()


def check_folders(task, wanted, data, things):
    """Raise one `BadInput` that lists the folders which hold another run than the one that is wanted there.

    wanted : {folder: settings};  data : `Prepared`;  things : what the data are made of, such as "scans"
    """
    problems = Problems("the folders of runs")
    for place in filter(begun, wanted):
        with problems.collect():
            source = read_about(place)["data"]
            if source["fingerprint"] != data.fingerprint:
                found = f"one on {source['name']} {things} from {source['folder']}, or prepared in another way"
                problems.add(place, "a run on the data asked for", found, "choose another folder")
            there = task.settings().changed(**read_checkpoint(place)[0]["settings"])
            if found := in_words(differences(there, wanted[place]), "instead of"):
                problems.add(place, "a run with the settings asked for", found, "choose another folder")
    problems.raise_if_any()


def trained(task, place, settings, data, progress=True):
    """The run in a folder, begun where there is none and trained to its end where it is not."""
    if begun(place):
        run = task.resume(place, data)
    else:
        own = ("method", "profile", "seed")
        changes = {name: value for name, value in dataclasses.asdict(settings).items() if name not in own}
        run = task.train(settings.method, data, settings.profile, settings.seed, place, **changes)
    return run.finish(progress) if run.number < len(run) else run


def all_trained(task, wanted, read, data, things, progress=True):
    """What `read` gives of every run in wanted = {folder: settings}; the data are prepared once, and all is checked
    before anything is trained."""
    data = task.prepared(data, next(iter(wanted.values())))
    check_folders(task, wanted, data, things)
    return [read(trained(task, place, settings, data, progress)) for place, settings in wanted.items()]


def finished(task, folders, read, size, data=None):
    """What `read` gives of the finished run in each folder; size: settings -> what the data are prepared by.

    Raises
    ------
    BadInput
        that lists every folder which holds no run, one that is unfinished, or one on other data
    """
    results, prepared, problems = [], {}, Problems("the folders of runs")
    for place in map(Path, folders):
        with problems.collect():
            about = read_about(place)
            settings, source = task.settings_of(place), data or about["data"]["folder"]
            key = str(source), size(settings)
            if key not in prepared:
                prepared[key] = task.prepared(source, settings)
            run = task.resume(place, prepared[key])
            if run.number < len(run):
                raise BadInput(f"{place}: expected {len(run)} steps, found {run.number}; resume it, or leave it out")
            results.append(read(run))
    problems.raise_if_any()
    return results


@dataclasses.dataclass(repr=False)
class Tables:
    """The tables of some `results`, each a `Report`.

    A result has `folder`, `settings`, `fingerprint` and `about`. A task's tables have, beside the reports themselves,

    PROPOSED  the method whose runs may vary;  TITLE  of tables.md
    NAMES     method -> the name of its row, in the order of rows
    VARIED    the settings that some runs of a method differ in, because one table is about them
    main      their values in all other tables
    reports() {name: report};  costs  the report of the runs themselves

    Raises
    ------
    BadInput
        that lists each run on other data, there twice, or of other settings than its row
    """

    results: list

    PROPOSED, TITLE, NAMES, VARIED = "", "", {}, ()

    def __post_init__(self):
        if not self.results:
            raise BadInput("runs: expected at least one finished run, found none; train some, or give their folders")
        problems, like, twins = Problems("the runs of the tables"), {}, {}
        for result in self.results:
            row = result.settings.method, self.variant(result)
            first, twin = like.setdefault(row, result), twins.setdefault((*row, result.settings.seed), result)
            if found := in_words(differences(result.settings, first.settings), "beside"):
                expected = f"the settings of {first.folder}"
                problems.add(result.folder, expected, found, "make tables of their own of them")
            if result.fingerprint != self.results[0].fingerprint:
                problems.add(result.folder, f"the data of {self.results[0].folder}", "others", "leave it out")
            if twin is not result:
                problems.add(result.folder, "each seed of a method once", f"that of {twin.folder}", "leave one out")
        problems.raise_if_any()

    def variant(self, result):
        """The values of `VARIED` in a run."""
        return tuple(getattr(result.settings, name) for name in self.VARIED)

    def usual(self):
        """The `variant` of most runs."""
        return Counter(map(self.variant, self.results)).most_common(1)[0][0]

    def runs(self, method, *variant):
        """The results of one method, by seed; those of the `main` variant unless another one is given."""
        wanted = variant or self.main
        found = [r for r in self.results if r.settings.method == method and self.variant(r) == wanted]
        return sorted(found, key=lambda result: result.settings.seed)

    def of(self, methods):
        """The `runs` of some methods, one after the other."""
        return [run for method in methods for run in self.runs(method)]

    def unlike(self):
        """A sentence for each method whose runs differ in settings from the first one's, and for each run left out."""
        first, found = self.results[0], []
        for method, name in self.NAMES.items():
            for run in self.runs(method)[:1]:
                if words := in_words(differences(run.settings, first.settings, FREE.union(self.VARIED)), "beside"):
                    found.append(f"{name}: {words} of {first.settings.method}; no fair comparison")
        for result in self.results:
            usual = result.settings.changed(**dict(zip(self.VARIED, self.main, strict=True)))
            words = in_words(differences(result.settings, usual), "instead of")
            if words and result.settings.method != self.PROPOSED:
                found.append(f"{result.folder.name}, with {words}, is in the table of the runs alone")
        return found

    def __str__(self):
        return "\n\n".join(map(str, self.reports().values()))

    __repr__ = __str__  # in a notebook, beside the HTML

    def _repr_html_(self):
        return "".join(report._repr_html_() for report in self.reports().values())

    def save(self, folder):
        """Write each report as JSON and CSV under its name, runs.json, and all of them as tables.md."""
        folder = Path(folder)
        for name, report in {**self.reports(), "runs": self.costs}.items():
            report.save(folder / f"{name}.json")
            report.save(folder / f"{name}.csv")
        with atomic_write(folder / "tables.md") as temporary:
            temporary.write_text(self.markdown(), encoding="utf-8")

    def markdown(self):
        """Every table, the runs, and their settings, as Markdown."""
        settings = {name: [] for name in dataclasses.asdict(self.results[0].settings)}
        for name, values in settings.items():
            for result in self.results:
                value = getattr(result.settings, name)
                if value not in values:
                    values.append(value)
        lines = [f"`{name}` {', '.join(map(str, values))}" for name, values in settings.items()]
        parts = [report.markdown() for report in [*self.reports().values(), self.costs]]
        return "\n\n".join([f"# {self.TITLE}: measured, and printed in the paper", *parts,
                            "**Settings of the runs**", " · ".join(lines)]) + "\n"  # fmt: skip


class Origins(Report):
    """A report in whose HTML the settings of each run are a link, where they lie below the folder of the notebook."""

    def _html(self):
        page = super()._html()
        for place in (row["settings"] for row in self.rows):
            page = page.replace(f"<td>{place}</td>", f'<td><a href="{place}">settings.json</a></td>')
        return page


def origins(tables):
    """Where each run of some `Tables` comes from: what it is worth beside the paper's, its settings, the commit.

    The commit is that of the code that trained the run; "unknown" outside of a repository.
    """
    first = next(iter(tables.reports().values()))
    worth = {row["method"]: row["setting"] for row in first.rows}
    rows = []
    for run in tables.results:
        place = Path(run.folder).resolve()
        shown = place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place
        rows.append({
            "row": tables.NAMES[run.settings.method],
            "seed": run.settings.seed,
            "steps": run.settings.steps,
            "setting": worth[run.settings.method],
            "commit": read_about(place).get("commit") or "unknown",
            "settings": (shown / "settings.json").as_posix(),
        })  # fmt: skip
    return Origins("Where each run comes from", rows)


def spread(name, values):
    """The mean of the known values, and their SD (of a sample, n − 1) where there are two.

    Example
    -------
    >>> spread("liver", [90.0, 92.0, math.nan])
    {'liver': 91.0, 'liver sd': 1.4142135623730951}
    """
    known = [value for value in values if not math.isnan(value)]
    mean = statistics.fmean(known) if known else math.nan
    return {name: mean, f"{name} sd": statistics.stdev(known) if len(known) > 1 else math.nan}


def plus_minus(mean, sd=math.nan):
    """Mean ± SD as text, above 100 without a digit after the point; without an SD the mean; without a mean "-".

    Example
    -------
    >>> plus_minus(91.25, 0.5), plus_minus(91.25), plus_minus(185.6, 106.3), plus_minus(math.nan)
    ('91.2 ± 0.5', '91.2', '186 ± 106', '-')
    """
    if math.isnan(mean):
        return "-"
    digits = 1 if mean <= 100 else 0
    return f"{mean:.{digits}f}" if math.isnan(sd) else f"{mean:.{digits}f} ± {sd:.{digits}f}"


def p_value(p):
    """A p as text, one below 0.001 as just that.

    Example
    -------
    >>> p_value(0.0123), p_value(1e-9), p_value(math.nan)
    ('0.012', '< 0.001', '-')
    """
    return "-" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"
