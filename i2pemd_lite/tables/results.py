"""Runs as the tables of a task need them: trained where they are missing, read where they are there; and such tables.

A task declares its tables as a kind of `Tables`; how a figure becomes a row is in `spread`, how a row becomes a line in
`report.Column`.
"""

import contextlib
import dataclasses
import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Self

from i2pemd_lite.device import told
from i2pemd_lite.files import BadInput, Problems, is_whole, read_json, run_lock, write_text
from i2pemd_lite.runs.brought import bring, came
from i2pemd_lite.runs.run import Run
from i2pemd_lite.runs.settings import Settings
from i2pemd_lite.runs.store import read_about, read_checkpoint
from i2pemd_lite.tables.report import Column, Report, spread
from i2pemd_lite.text import bar

FREE = {"method", "seed", "profile", "precision", "evaluate_every", "checkpoint_every"}
"""Settings that neither make a run another one than the paper's nor another one than asked for."""
MEMORY = (
    "peak MiB: on a GPU the most that torch had allocated there, on a CPU the most that the process had resident with "
    "its libraries; both since the process began, earlier runs included"
)
BROUGHT = "seconds and peak MiB of runs that came with the course: on the machine that trained them, not on this one"


def differences(settings: Settings, others: Settings, free: Collection[str] = FREE) -> dict[str, tuple]:
    """{name: (value, other value)} where two settings differ but for the `free` ones.

    Example
    -------
    >>> differences(Settings(seed=1, weight=0.5), Settings())
    {'weight': (0.5, 1.0)}
    """
    pairs = {name: (value, getattr(others, name)) for name, value in vars(settings).items() if name not in free}
    return {name: (one, other) for name, (one, other) in pairs.items() if one != other}


def in_words(found: dict[str, tuple], beside: str) -> str:
    """What `differences` found, as text.

    Example
    -------
    >>> in_words({"dim": (8, 32)}, "beside")
    'dim 8 beside 32'
    """
    return ", ".join(f"{name} {one} {beside} {other}" for name, (one, other) in found.items())


def named(run):
    """A run as a table has it: its method and seed."""
    return f"{run.settings.method}, seed {run.settings.seed}"


def begun(place):
    """Whether the folder holds a run that can be resumed."""
    return (Path(place) / "checkpoint.safetensors").is_file()


def report_of(run, evaluate, form, agrees=lambda content: True):
    """report.json of a run; evaluated anew where that is not of its last step, has another form, or does not agree."""
    path = run.folder / "report.json"
    with contextlib.suppress(BadInput):
        content = read_json(path, form)
        if is_whole(content) and content["about"].get("steps") == run.number and agrees(content):
            return content
    with run_lock(run.folder):
        evaluate(run)
    return read_json(path)


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What the tables take from a finished run; a task adds what only it has.

    settings : of the run, with the precision that it had in place of "auto"
    data : the name of the data; `fingerprint` that of the prepared ones
    figures : {name: number}, percent where the name does not say otherwise; those that a table takes the mean of
    about : what report.json says under its table
    """

    folder: Path
    settings: Settings
    data: str
    fingerprint: str
    figures: dict
    about: dict


def means(runs, figures):
    """What figures = {name in a row: name in a run} add to a row: the mean over some runs, and the SD."""
    row = {}
    for name, figure in figures.items():
        row |= spread(name, [run.figures.get(figure, math.nan) for run in runs])
    return row


def no_run_of(methods):
    """What a table says in place of its notes where it has no row."""
    return f"no run of {', '.join(methods)}"


@dataclasses.dataclass(repr=False)
class Tables:
    """The tables of some `results`, each a `Report`. Means are over runs with different seeds, and so is the SD (of a
    sample, n − 1), which takes two.

    `main` are the values of the `VARIED` settings in all tables but the one that is about them; (): those of most
    runs. `BadInput` lists each run on other data, there twice, or of other settings than its row. A task declares

    TASK, CHOICES, NAMES   its verbs, whose choices its settings are, method -> name of its row, in the order of rows; a
               method that the paper does not have comes last, by its own name
    PROPOSED   the method whose runs may vary;  VARIED  {setting: name}, in what;  SUFFIX  of the folder of such a run
    REPORTS    {name of a table: the rows that it takes at least}, in the order to read them
    STEPS      what the table of the runs says about steps;  AS_IT_IS  settings that may differ from the paper's
    WORTH      {column: figure}, the last ones of the table of the runs;  figures_of(run)  the figures of a `RESULT`,
               its `about`, and what a task adds
    is_like(settings, data)   whether a run is like the paper's in what its `CHOICES` do not tell
    """

    results: list
    main: tuple = ()

    def __init_subclass__(cls):
        cls.NAMES = cls.NAMES | {method: method for method in cls.TASK.methods if method not in cls.NAMES}

    def __post_init__(self):
        if not self.results:
            raise BadInput("runs: expected at least one finished run, found none; train some, or give their folders")
        problems, like, twins = Problems("the runs of the tables"), {}, {}
        for result in self.results:
            row = result.settings.method, self.variant(result.settings)
            first, twin = like.setdefault(row, result), twins.setdefault((*row, result.settings.seed), result)
            if words := in_words(self.differing(result.settings, first.settings), "beside"):
                expected = f"the settings of {first.folder}"
                problems.add(result.folder, expected, words, "make tables of their own of them")
            if result.fingerprint != self.results[0].fingerprint:
                problems.add(result.folder, f"the data of {self.results[0].folder}", "others", "leave it out")
            if twin is not result:
                problems.add(result.folder, "each seed of a method once", f"that of {twin.folder}", "leave one out")
        problems.raise_if_any()
        variants = Counter(self.variant(result.settings) for result in self.results)
        self.main = tuple(self.main or variants.most_common(1)[0][0])

    # --- runs -----------------------------------------------------------------------------------------------------

    @classmethod
    def settings_for(cls, method: str, profile: str | None, seed: int, changes: dict) -> Settings:
        """The settings of a run of the tables."""
        return cls.TASK.settings_for(method, profile, seed, changes)

    @classmethod
    def variant(cls, settings: Settings) -> tuple:
        """The values of `VARIED`."""
        return tuple(getattr(settings, name) for name in cls.VARIED)

    @classmethod
    def trained(
        cls, data: Any, profile: str | None, seeds: Sequence[int], methods: Collection[str] | None, variants: dict,
        folder: Path | str, progress: bool, brought: str | None, settings: dict
    ) -> Self:  # fmt: skip
        """The tables of runs in a folder, trained where they are missing.

        Each run has a folder of its own in `folder`. One that was stopped goes on where it stands; one that is finished
        is used as it is. Raises `BadInput` before anything is trained, for a folder that holds a run with other
        settings or on other data.

        variants : {name: values of `VARIED`}, each a run of the proposed method for each seed
        brought : the name of runs that come with the course (`runs.brought`), which are taken where none was trained;
            None: those that were taken before are trained anew
        """
        for name, values in {"seeds": seeds, "methods": methods, **variants}.items():
            if values is not None and len(set(values)) < len(values):
                raise BadInput(f"{name}: expected none twice, found {', '.join(map(str, values))}; leave one out")
        for method in methods or ():
            cls.TASK.settings_for(method, profile)
        main = cls.variant(cls.TASK.settings_for(cls.PROPOSED, profile, changes=settings))
        asked = [(method, settings) for method in cls.NAMES if methods is None or method in methods]
        for value in next(iter(variants.values())) or ():
            variant = value if isinstance(value, tuple) else (value,)
            asked.append((cls.PROPOSED, settings | dict(zip(cls.VARIED, variant, strict=True))))
        wanted = {}
        for (method, changes), seed in product(asked, seeds):
            chosen = cls.settings_for(method, profile, seed, changes)
            suffix = "" if (variant := cls.variant(chosen)) == main else cls.SUFFIX.format(*variant)
            wanted[Path(folder) / f"{method}-{chosen.profile}-seed{seed}{suffix}"] = chosen
        if not wanted:
            raise BadInput(f"seeds, methods, {', '.join(variants)}: expected at least one run, found none; give some")
        data = cls.TASK.prepared(data, next(iter(wanted.values())))
        theirs = [place for place in filter(begun, wanted) if came(place)]
        mine = {place: wanted[place] for place in filter(begun, wanted) if place not in theirs}
        shown = {place.name: chosen for place, chosen in wanted.items()}
        results, done = [], cls._steps_done(mine, data)
        if not mine and bring(cls.TASK, brought, data, folder, shown):
            done = cls._steps_done(wanted, data)
        elif theirs:
            with contextlib.ExitStack() as locks:
                for place in theirs:
                    locks.enter_context(run_lock(place))
                print(f"{len(theirs)} runs in {folder} came with the course. They are trained anew, in their folders.")
                for place in theirs:
                    (place / "checkpoint.safetensors").unlink()
        steps, total = cls._training(wanted, data, results), sum(chosen.steps for chosen in wanted.values())
        about = f"training {len(wanted)} runs"
        with contextlib.closing(steps):  # whatever stops it: the run that trains is let go of
            try:
                for _ in bar(steps, about, "step", total, done, progress, "pause", lambda run: f"now {named(run)}"):
                    pass
            except KeyboardInterrupt as stop:
                steps.throw(stop)  # one that the bar met: the run that trains says where it is paused
        return cls(results, main)

    @classmethod
    def _training(cls, wanted, data, results):
        """Train each run to its end, given after every step, and append what the tables take from it to `results`."""
        task = cls.TASK
        for place, chosen in wanted.items():
            with run_lock(place):
                run = task.resume(place, data) if begun(place) else task.train(data=data, folder=place, **vars(chosen))
                with run.pausing(named(run)):
                    for _ in run if run.number < len(run) else ():
                        yield run
            with run.pausing(named(run)):
                results.append(cls.read(run))

    @classmethod
    def _steps_done(cls, wanted, data):
        """How many steps of the runs are in their folders; one `BadInput` lists those that hold another run."""
        problems, done = Problems("the folders of runs"), 0
        for place in filter(begun, wanted):
            with problems.collect():
                source = read_about(place)["data"]
                if source["fingerprint"] != data.fingerprint:
                    theirs = f"{source['name']} {cls.TASK.things} from {source['folder']}"
                    words = f"one on {theirs}, or prepared in another way"
                    problems.add(place, "a run on the data asked for", words, "choose another folder")
                saved = read_checkpoint(place, tensors=False)[0]
                there, done = cls.TASK.settings().changed(**saved["settings"]), done + saved["number"]
                if words := in_words(cls.differing(there, wanted[place]), "instead of"):
                    problems.add(place, "a run with the settings asked for", words, "choose another folder")
        problems.raise_if_any()
        return done

    @classmethod
    def from_runs(cls, folders: Iterable[Path | str], data: Any = None) -> Self:
        """The `Tables` of finished runs, whoever trained them, in some folders; `data`: theirs, where they moved.

        Rows may have any number of seeds. A run is evaluated anew where the files of its evaluation are missing, older
        than its last step, or lack what the tables need. `BadInput` lists each run that is unfinished, on other data,
        there twice, or of other settings than its row.
        """
        results, prepared, problems = [], {}, Problems("the folders of runs")
        for place in map(Path, folders):
            with problems.collect():
                about = read_about(place)
                settings, source = cls.TASK.settings_of(place), data or about["data"]["folder"] or None
                key = str(source), getattr(settings, cls.TASK.prepared_by)
                if key not in prepared:
                    prepared[key] = cls.TASK.prepared(source, settings)
                run = cls.TASK.resume(place, prepared[key])
                if run.number < len(run):
                    found = f"{run.number}; resume it, or leave it out"
                    raise BadInput(f"{place}: expected {len(run)} steps, found {found}")
                results.append(cls.read(run))
        problems.raise_if_any()
        return cls(results)

    @classmethod
    def read(cls, run: Run) -> Result:
        """The `RESULT` of a run in a folder."""
        source, settings = run.learner.source(), run.settings.changed(precision=run.profile.precision)
        return cls.RESULT(run.folder, settings, source["name"], source["fingerprint"], **cls.figures_of(run))

    def runs(self, method: str, *variant: Any) -> list[Any]:
        """The results of one method, by seed; those of the `main` variant unless another one is given."""
        wanted = variant or self.main
        return sorted((run for run in self.every(method) if self.variant(run.settings) == wanted),
                      key=lambda run: run.settings.seed)  # fmt: skip

    def every(self, method: str) -> list[Any]:
        """The results of one method, of any variant."""
        return [result for result in self.results if result.settings.method == method]

    def of(self, methods: Iterable[str]) -> list[Any]:
        """The `runs` of some methods, one after the other."""
        return [run for method in methods for run in self.runs(method)]

    def present(self, methods: Iterable[str] | None = None) -> list[str]:
        """Those of some methods (None: all) that have runs, in the order of rows."""
        return [method for method in (self.NAMES if methods is None else methods) if self.runs(method)]

    # --- what they are worth beside the paper's -------------------------------------------------------------------

    @classmethod
    def label(cls, settings: Settings, data: str) -> str:
        """What a row is worth beside the paper's: "paper's setting", "scaled down" or "synthetic"; or a preset's name.

        A run on synthetic data is "synthetic", one on noise "noise". One on the paper's data has its setting where all
        settings are those of its preset at full size but those that the paper leaves open (`settings.SETTINGS`; the
        tables say which of them are others than here, bfloat16 among them), `FREE`, which say who runs it and how often
        one looks, and `AS_IT_IS`, of which each task says why. Everything else is "scaled down", whatever it changes. A
        preset other than the paper's has its own name at full size.

        Example
        -------
        >>> from i2pemd_lite.classification import ClassificationSettings, Tables
        >>> full = ClassificationSettings(method="vat", seed=2, imagenet="weights.pth", split_by="lesion")
        >>> [Tables.label(full, "ISIC 2018"), Tables.label(full.changed(size=48), "ISIC 2018")]
        ["paper's setting", 'scaled down']
        """
        if data in ("synthetic", "noise"):
            return data
        if not cls.is_like(settings, data):
            return "scaled down"
        as_it_is = {name: getattr(settings, name) for name in cls.AS_IT_IS}
        if any(cls.CHOICES[name].kind != "open" for name in cls._unlike_full(settings, as_it_is)):
            return "scaled down"
        return "paper's setting" if settings.preset == "paper" else settings.preset

    @classmethod
    def _unlike_full(cls, settings, changes):
        """The `differences`, that of the precision too, from its method at full size with some changes."""
        full = cls.TASK.settings_for(settings.method, "gpu", changes={"preset": settings.preset})
        return differences(settings, full.changed(**changes), FREE - cls.CHOICES.keys())

    def labels(self, runs: Iterable[Result], **usual: Any) -> str:
        """The labels of some runs, as if they had the `usual` values of what a table is about."""
        return ", ".join(sorted({self.label(run.settings.changed(**usual), run.data) for run in runs}))

    def row(
        self, method: str, runs: Sequence[Result] | None = None, name: str | None = None, **usual: Any
    ) -> dict[str, Any]:
        """How the row of a method begins."""
        runs = self.runs(method) if runs is None else runs
        name = self.NAMES[method] if name is None else name
        return {"method": method, "row": name, "setting": self.labels(runs, **usual), "seeds": len(runs)}

    @classmethod
    def differing(cls, settings: Settings, others: Settings, free: Iterable[str] = ()) -> dict[str, tuple]:
        """The `differences` of two runs in what acts in both."""
        ignored = map(cls.TASK.ignored, (settings.method, others.method))
        return differences(settings, others, FREE.union(free, *ignored))

    def unlike(self) -> list[str]:
        """A sentence for each method whose runs differ from the proposed one's in a setting that acts in both, and for
        each run left out."""
        first, sentences = next(iter(self.runs(self.PROPOSED)), self.results[0]), []
        for method in self.present():
            found = self.differing(self.runs(method)[0].settings, first.settings, self.VARIED)
            if words := in_words(found, "beside"):
                sentences.append(f"{self.NAMES[method]}: {words} of {first.settings.method}; no fair comparison")
        for result in self.results:
            usual = result.settings.changed(**dict(zip(self.VARIED, self.main, strict=True)))
            words = in_words(differences(result.settings, usual), "instead of")
            if words and result.settings.method != self.PROPOSED:
                sentences.append(f"{result.folder.name}, with {words}, is in the table of the runs alone")
        return sentences

    @classmethod
    def note(cls, runs: Sequence[Result]) -> str:
        """What stands under a table: which open choices its `runs` have otherwise, and where all are told.

        The paper's card had no bfloat16, so a run's own precision is held beside float32.

        Example
        -------
        >>> from types import SimpleNamespace as Run
        >>> from i2pemd_lite.segmentation import SegmentationSettings, Tables
        >>> plain = SegmentationSettings(method="joint", ce="plain", precision="float32")
        >>> print(Tables.note([Run(settings=plain), Run(settings=plain.changed(precision="bfloat16"))]))
        left open by the paper, and not as in our full-size default (float32): ce plain, precision bfloat16 (1 of 2
        runs); where each setting comes from: python -m i2pemd_lite readings
        """
        counts = Counter()
        for s in (run.settings for run in runs):
            found = cls._unlike_full(s, {"precision": "float32"})
            counts.update(f"{name} {own}" for name, (own, _) in found.items() if cls.CHOICES[name].kind == "open")
        words = [each if n == len(runs) else f"{each} ({n} of {len(runs)} runs)" for each, n in counts.items()]
        presets = " and ".join(sorted({run.settings.preset for run in runs} - {"paper"}))
        return (
            f"left open by the paper, and not as in our full-size default{' of preset ' * bool(presets)}{presets} "
            f"(float32): {', '.join(words) or 'nothing'}; where each setting comes from: python -m i2pemd_lite readings"
        )

    # --- tables ---------------------------------------------------------------------------------------------------

    @property
    def costs(self) -> Report:
        """What each run cost, and what it is worth."""
        rows = []
        for result in self.results:
            s, about = result.settings, result.about
            row = {"method": s.method} | dict(zip(self.VARIED.values(), self.variant(s), strict=True))
            row |= {"seed": s.seed} | {name: about[name] for name in self.STEPS}
            row |= {"precision": s.precision, "seconds": about["seconds"], "peak MiB": about.get("peak MiB", "unknown")}
            rows.append(row | {column: result.figures[figure] for column, figure in self.WORTH.items()})
        notes = [MEMORY] + [BROUGHT] * any("brought" in result.about for result in self.results)
        return Report("The runs", rows, notes=notes)

    def reports(self) -> dict[str, Report]:
        """{name of a table: `Report`} in the order to read them, without those that have too few rows."""
        reports = {name: getattr(self, name) for name in self.REPORTS}
        return {name: report for name, report in reports.items() if len(report.rows) >= self.REPORTS[name]}

    def __str__(self):
        return "\n\n".join(map(str, self.reports().values()))

    __repr__ = __str__  # in a notebook, beside the HTML

    def _repr_html_(self):
        return "".join(report._repr_html_() for report in self.reports().values())

    @told()
    def save(self, folder: Path | str) -> None:
        """Write each report as JSON and CSV under its name, runs.json, and all of them as tables.md."""
        folder = Path(folder)
        for name, report in {**self.reports(), "runs": self.costs}.items():
            report.save(folder / f"{name}.json")
            report.save(folder / f"{name}.csv")
        write_text(folder / "tables.md", self.markdown())

    def markdown(self) -> str:
        """Every table, the runs, and their settings, as Markdown."""
        settings = [vars(result.settings) for result in self.results]
        values = {name: dict.fromkeys(str(each[name]) for each in settings) for name in settings[0]}
        lines = " · ".join(f"`{name}` {', '.join(each)}" for name, each in values.items())
        parts = [report.markdown() for report in [*self.reports().values(), self.costs]]
        title = f"# {self.TASK.name.capitalize()}: measured, and printed in the paper"
        return "\n\n".join([title, *parts, "**Settings of the runs**", lines]) + "\n"


def origins(tables: Tables) -> Report:
    """Where each run of some `Tables` comes from: what it is worth beside the paper's, its settings, the commit.

    The commit is that of the code that trained the run; "unknown" outside of a repository.
    """
    rows, main = [], dict(zip(tables.VARIED, tables.main, strict=True))
    for run in tables.results:
        s, place = run.settings, Path(run.folder).resolve()
        beside = place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place
        row = {"row": tables.NAMES[s.method], "seed": s.seed, "steps": s.steps, "setting": tables.labels([run], **main)}
        row |= {"commit": read_about(place).get("commit") or "unknown"}
        rows.append(row | {"settings": (beside / "settings.json").as_posix()})
    columns = [Column(name, kind="link" if name == "settings" else "value") for name in rows[0]]
    return Report("Where each run comes from", rows, lines=[columns])
