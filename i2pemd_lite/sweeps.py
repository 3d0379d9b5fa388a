"""Sweeps: many trainings of one method with different settings, which Optuna chooses, stops early and compares.

A sweep is a folder. `study.log` is Optuna's study, and `trials/0007/seed0` is the run of trial 7 with seed 0, a run
like any other. Processes on one machine, or on several that share the folder, work on a sweep together: each takes a
trial, trains a run for each seed, and tells Optuna their mean. They need no server, and who is at work is known by the
locks of the runs, so that a process may be killed at any time: the next one takes its trial up where the runs were last
saved.

The best of many trials looks better than it is, because the same held-back data chose it. Train it anew with other
seeds before you report it: that removes the luck of its seeds. The luck of the choice on these data stays, which only
data that no trial was measured on can remove.

Example
-------
>>> from i2pemd_lite.sweeps import Sweep
>>> vary = {"weight": "log:0.1:10", "momentum": "0.5,0.8"}
>>> sweep = Sweep("sweeps/weight", "classification", "i2pemd", vary, seeds=(0, 1, 2))  # doctest: +SKIP
>>> print(sweep.planned(trials=30, prune="median").finish(workers=2))  # doctest: +SKIP
>>> sweep.rows()[0]  # doctest: +SKIP
"""

import contextlib
import functools
import json
import math
import os
import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from i2pemd_lite.files import BadInput, lock, parsing, refusal, run_lock, write_csv, write_json
from i2pemd_lite.runs import module_of
from i2pemd_lite.runs.brought import alike, sketched
from i2pemd_lite.runs.sampling import generator
from i2pemd_lite.runs.settings import read
from i2pemd_lite.runs.store import read_about
from i2pemd_lite.tables.results import begun, differences, in_words
from i2pemd_lite.tables.statistics import interval
from i2pemd_lite.text import bar

SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler", "grid": "GridSampler"}
PRUNERS = {"none": "NopPruner", "median": "MedianPruner", "halving": "SuccessiveHalvingPruner"}
FINISHED = ("COMPLETE", "PRUNED", "FAIL")
TRIES = 3  # errors of its surroundings after which a trial is given up
PLAN = {"trials": 20, "sampler": "tpe", "prune": "none", "data": None}


@functools.cache
def optuna():
    """The package; `BadInput` says how to get it where it is not installed."""
    try:
        import optuna
    except ImportError:
        found = "none; install it with: pip install optuna"
        raise BadInput(f"optuna: expected the package that chooses the settings of a sweep, found {found}") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def study(folder: Path | str) -> Any:
    """The Optuna study in a folder, made where there is none; more is better. For a model of your own that is enough:

    Example
    -------
    >>> import tempfile
    >>> from i2pemd_lite import sweeps
    >>> study = sweeps.study(tempfile.mkdtemp())  # other processes may ask and tell in the same folder
    >>> for _ in range(3):
    ...     trial = study.ask()
    ...     rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    ...     _ = study.tell(trial, -abs(rate - 0.01))  # train your model, and tell what it reached
    >>> sorted(study.best_params), len(study.trials)
    (['rate'], 3)
    """
    journal, path = optuna().storages.journal, Path(folder) / "study.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    what = "Optuna's log of a sweep", "restore it, or choose another folder"

    class Log(journal.JournalFileBackend):
        def read_logs(self, start):
            with parsing(path, *what):
                yield from super().read_logs(start)

        def append_logs(self, logs):
            with own, open(path, "rb+") as file:
                if file.seek(0, 2) and file.seek(-1, 2) + 1 and file.read() != b"\n":  # cut off, as by a full disk
                    file.seek(0)
                    file.truncate(file.read().rfind(b"\n") + 1)
                try:
                    super().append_logs(logs)
                except OSError as error:
                    raise OSError(error.errno, error.strerror, str(path)) from None

    with parsing(path if path.exists() else None, *what):
        # Optuna's own locks wait 30 s when a process was killed; one makes links, which Windows does not let
        # everybody do.
        own = lock(path.with_suffix(".lock"))
        storage = optuna().storages.JournalStorage(Log(str(path), own))
        return optuna().create_study(storage=storage, study_name="sweep", direction="maximize", load_if_exists=True)


def suggestions(settings, vary):
    """{setting: [how a trial of Optuna's suggests it, what that is told]}, for values that these settings can have.

    vary : {setting: values}, "0.1:10", a range; "log:0.1:10", one whose powers of ten are equally likely; "0.5,0.8", or
        a list: a choice. Each end or value has to go with the others as they are, or all lowest, or all highest.

    Example
    -------
    >>> from i2pemd_lite.runs.settings import Settings
    >>> suggestions(Settings(), {"weight": "log:0.1:10"})
    {'weight': ['suggest_float', {'low': 0.1, 'high': 10.0, 'log': True}]}
    """
    kinds = settings.__dataclass_fields__
    found = {name: _range(name, values, kinds[name].type) for name, values in vary.items()}
    ends = {name: told.get("choices") or [told["low"], told["high"]] for name, (_, told) in found.items()}
    for name, value in ((name, value) for name, values in ends.items() for value in values):
        for others in ({}, *({other: ends[other][at] for other in ends} for at in (0, -1))):
            try:
                settings.changed(**others | {name: value})
                break
            except BadInput as error:
                refused = error
        else:
            raise refused
    return found


def _range(name, values, kind):
    if not isinstance(values, str | list | tuple):
        found = f"{values!r}; give a range, as in '0.1:10', or a list of values"
        raise BadInput(f"vary: expected a text or a list for {name}, found {found}")
    said = f"--vary {name}={values if isinstance(values, str) else ','.join(map(str, values))}"
    if kind is tuple:
        raise BadInput(f"{said}: expected a setting that is one number or word, found one of several; choose another")
    log, text = (values.startswith("log:"), values.removeprefix("log:")) if isinstance(values, str) else (False, "")
    parts = text.split(":" if ":" in text or log else ",") if isinstance(values, str) else values
    try:
        parts = [read(kind, part) if isinstance(part, str) else part for part in parts]
    except ValueError:
        expected = f"LOW:HIGH, log:LOW:HIGH or VALUE,VALUE of type {getattr(kind, '__name__', kind)}"
        raise BadInput(f"{said}: expected {expected}, found {text!r}") from None
    if ":" not in text and not log:
        if not parts or len(set(parts)) < len(parts):
            raise BadInput(f"{said}: expected values that differ, found {len(parts)} with {len(set(parts))} of them")
        return ["suggest_categorical", {"choices": list(parts)}]
    if len(parts) != 2 or any(type(part) not in (int, float) for part in parts):
        raise BadInput(f"{said}: expected two numbers for a range, or VALUE,VALUE for a choice, found {text!r}")
    low, high = parts
    if not low < high:
        raise BadInput(f"{said}: expected the lower end first, found {low} before {high}; swap them")
    if log and low <= 0:
        raise BadInput(f"{said}: expected a lower end above 0, which has a logarithm, found {low}; raise it")
    return ["suggest_int" if kind is int else "suggest_float", {"low": low, "high": high, "log": log}]


class Refused(BadInput):
    """A trial has settings that cannot be trained, so that it is over."""


class Sweep:
    """The sweep in a folder; with a task and a method a new one, or the same one there.

    task : "segmentation" or "classification";  method : a key of its `METHODS`
    vary : {setting: values}, as `suggestions` takes them; None: those of the sweep that is there
    seeds : a run of each trial for each
    goal : which figure on held-back data is to be high; None: the first of the task's `goals`
    profile : as for `train`;  settings : those that are the same in all trials

    study : Optuna's;  about : all of the above as plain values;  plan : see `planned`

    `BadInput` for a setting that there is not, that the method ignores, or that refuses one of its values, and where
    the folder holds a sweep that asks for something else and has trials.
    """

    def __init__(
        self, folder: Path | str, task: str | None = None, method: str | None = None, vary: dict | None = None,
        seeds: Sequence[int] = (0,), goal: str | None = None, profile: str | None = None, **settings: Any
    ):  # fmt: skip
        self.folder, self._ready, self._data = Path(folder), {}, None
        there = (self.folder / "study.log").is_file()
        if not (method or there):
            found = "no study.log in it; give a task, a method and what to vary, or check the name"
            raise BadInput(f"{folder}: expected the folder of a sweep, found {found}")
        self.study: Any = there and study(self.folder)
        if there and method and vary is None:
            known = self.study.user_attrs.get("about", {"vary": {}})["vary"]  # pyrefly: ignore[missing-attribute]
            vary = {name: _typed(values) for name, values in known.items()}
        asked = method and _asked(task, method, vary or {}, seeds, goal, profile, settings)
        self.study = self.study or study(self.folder)  # which is not made for what cannot be asked
        self._taking = lock(self.folder / ".taking")  # inside, nobody else takes a trial
        with self._taking:
            self.about = self.study.user_attrs.get("about")
            free = not self.study.trials and (not self.about or task == self.about["task"])  # nobody began it
            if asked and asked != self.about and free:
                self.study.set_user_attr("sketch", None)
                self.study.set_user_attr("about", asked)
                self.about = asked
        if self.about is None:
            found = "a study of something else; look at it by sweeps.study, or choose another folder"
            raise BadInput(f"{folder}: expected a sweep of settings, found {found}")
        asked = asked or ({"task": task} if task else {})
        for name in asked:
            if asked[name] != self.about[name]:
                found = f"one with {name} {_typed(self.about[name])} beside {_typed(asked[name])}"
                raise BadInput(f"{folder}: expected the same sweep or none, found {found}; choose another folder")
        self.task = module_of(self.about["task"]).TASK

    @property
    def plan(self) -> dict[str, Any]:
        """What was `planned`."""
        return PLAN | self.study.user_attrs.get("plan", {})

    def planned(self, **plan: Any) -> Self:
        """This sweep, with another plan for all who work on it.

        trials : how many there are to be in all;  sampler : a key of `SAMPLERS`;  prune : a key of `PRUNERS`, by which
        trials are stopped early at their evaluations;  data : a folder, as for `train`, of this process; others without
        one take the first that was given
        """
        before, plan = self.plan, self.plan | {name: value for name, value in plan.items() if value is not None}
        for name, known in {"sampler": SAMPLERS, "prune": PRUNERS}.items():
            if plan[name] not in known:
                raise BadInput(f"{name}: expected one of {', '.join(known)}, found {plan[name]!r}")
        if type(plan["trials"]) is not int or plan["trials"] < 1:
            raise BadInput(f"trials: expected a whole number from 1, found {plan['trials']!r}")
        if plan["sampler"] == "grid" and (found := [name for name, values in self._choices().items() if not values]):
            raise BadInput(f"grid: expected a list of values of each setting, found a range of {', '.join(found)}")
        samplers = {before["sampler"], plan["sampler"]}
        if len(samplers) > 1 and "grid" in samplers and self.study.trials:
            found = f"{plan['sampler']}; choose another folder"
            raise BadInput(f"sampler: expected {before['sampler']}, by which the trials were chosen, found {found}")
        self._data = plan["data"] and str(Path(plan["data"]).absolute())
        self.study.set_user_attr("plan", plan | {"data": before["data"] or self._data})
        return self

    @property
    def most(self) -> float:
        """How many trials there are to be: as planned, in a grid at most one for each combination."""
        grid = self.plan["sampler"] == "grid"
        return min(self.plan["trials"], math.prod(map(len, self._choices().values())) if grid else math.inf)

    @property
    def over(self) -> bool:
        """Whether so many trials are finished."""
        return len(self._trials(*FINISHED)) >= self.most

    def _choices(self):
        """{setting: its values, where it is a choice}."""
        return {name: values.get("choices") for name, (_, values) in self.about["vary"].items()}

    # --- work -----------------------------------------------------------------------------------------------------

    @property
    def paused(self) -> Path:
        """A file that lets nobody work on this sweep, on any machine, while it is there."""
        return self.folder / "paused"

    def start(self, workers: int = 1, **options: Any) -> list[subprocess.Popen]:
        """Processes of one thread each that `work`, and outlive this one; `options` are those of `subprocess.Popen`.

        To stop them, make the file `paused`: each saves its runs after its present step, and ends.
        """
        self.paused.unlink(missing_ok=True)
        command = [sys.executable, "-m", "i2pemd_lite.sweeps", str(self.folder), *filter(None, [self._data])]
        return [subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, **options) for _ in range(workers)]

    def finish(self, workers: int = 1, say: Callable = print) -> Self:
        """Train all trials, here or in so many processes; the sweep itself. An interrupt, Ctrl-C, saves and ends this
        process; with several it makes the file `paused`, so that all that work on the sweep end, on any machine."""
        if workers < 1:
            raise BadInput(f"workers: expected a whole number from 1, found {workers}")
        if workers == 1:
            self.paused.unlink(missing_ok=True)
            return self.work(say)
        processes = self.start(workers)
        try:
            ended = [process.wait() for process in processes]
        except KeyboardInterrupt:
            self.paused.touch()
            ended = [process.wait() for process in processes]
        if self.paused.exists():
            raise KeyboardInterrupt(f"{self.folder}: paused and saved; it goes on with the same command")
        if any(ended):
            found = f"exit status {', '.join(map(str, ended))}; what it trained goes on with the same command"
            raise BadInput(f"{self.folder}: expected workers that end well, found {found}")
        return self

    def work(self, say: Callable = print) -> Self:
        """Take trial after trial and train it here, until there are as many as planned; the sweep itself.

        A trial whose loss is no number, or whose settings cannot be trained, is kept with the reason; the others go on.
        Any other error, as of a full disk, is raised, and the trial waits to be taken up; at its third it is given up.
        `BadInput` for other data than the sweep began with.
        """
        a = self.about
        if not self.over:
            settings = self.task.settings_for(a["method"], a["profile"], changes=a["settings"])
            found = self._prepared(settings)
            with self._taking:  # whoever comes first says it for all
                if not self.study.user_attrs.get("sketch"):
                    self.study.set_user_attr("sketch", sketched(found))
            if not alike(self.study.user_attrs["sketch"], found):
                found = f"others in {self.data or 'the usual place'}; give the data that the sweep began with"
                raise BadInput(f"{self.folder}: expected the data that the sweep began with, found {found}")
        while taken := self._take():
            trial, claim = taken
            with claim:
                self._train(trial)
            say(self.line(trial.number))
        return self

    @property
    def data(self) -> Path | str | None:
        """The folder of data of this process; None: the usual place."""
        return self._data or self.plan["data"]

    def _take(self):
        """(a trial, the locks of its runs): one that was left by a killed process, else a new one; None: no more."""
        with self._taking:
            for left, claim in self._left():
                now = self.study.trials[left.number].state  # it may have been told in this moment
                if now.name == "RUNNING" and not self._again(left):
                    return self._suggested(left.number, left), claim
                claim.close()
            while (number := len(self._trials("RUNNING", *FINISHED))) < self.most:  # those in a queue come after them
                trial = self._suggested(number)
                if not self._again(trial):
                    return trial, self._claim(number)
            return None

    def _trials(self, *states):
        """The trials in these states, as Optuna names them."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.name in states]

    def _again(self, trial):
        """Whether an earlier trial with these settings is in training, whose figures this one takes when it is done."""
        return any(each.number < trial.number and each.params == trial.params for each in self._trials("RUNNING"))

    def stop(self) -> None:
        """Let nobody take another trial: what has begun is finished, at least one. A plan with more trials goes on."""
        with self._taking:
            self.planned(trials=len(self._trials("RUNNING", *FINISHED)) or 1, data=self._data)

    def _suggested(self, number, left=None):
        """The trial of this number, one that was left or a new one, with its settings."""
        plan = self.plan
        # Random by the trial's number, so that no two processes draw the same.
        how = {"seed": generator("trial", number).initial_seed() % 2**32}
        how = {"search_space": self._choices()} if plan["sampler"] == "grid" else how
        self.study.sampler = getattr(optuna().samplers, SAMPLERS[plan["sampler"]])(**how)
        trial = optuna().trial.Trial(self.study, left._trial_id) if left else self.study.ask()
        for name, (suggest, values) in self.about["vary"].items():
            getattr(trial, suggest)(name, **values)  # what was suggested before stays
        self.study.sampler = optuna().samplers.RandomSampler()  # that of a grid lets nobody tell the last trial
        return trial

    def _left(self):
        """(trial, the locks of its runs) of each that nobody trains, though it is not finished."""
        for trial in self._trials("RUNNING"):
            with contextlib.suppress(BadInput):
                yield trial, self._claim(trial.number)

    def _claim(self, number):
        """The locks of the runs of a trial; `BadInput` where somebody has one of them."""
        with contextlib.ExitStack() as claim:
            for seed in self.about["seeds"]:
                claim.enter_context(run_lock(self.run_folder(number, seed)))
            return claim.pop_all()

    def at_work(self) -> list[int]:
        """The numbers of the trials that somebody trains now, here or on another machine."""
        with self._taking:
            free = [claim.close() or trial.number for trial, claim in self._left()]
        return [trial.number for trial in self._trials("RUNNING") if trial.number not in free]

    def run_folder(self, number: int, seed: int) -> Path:
        """Where a run of a trial is kept."""
        return self.folder / "trials" / f"{number:04d}" / f"seed{seed}"

    def _train(self, trial):
        """Train the runs of a trial, and tell Optuna what came of it."""
        self.study.pruner = getattr(optuna().pruners, PRUNERS[self.plan["prune"]])()
        try:
            if same := next((each for each in self._trials("COMPLETE") if each.params == trial.params), None):
                trial.set_user_attr("same", number := same.user_attrs.get("same", same.number))
                trial.set_user_attr("why", f"as trial {number}, which has the same settings and seeds")
                values = same.user_attrs["values"]
            else:
                values = self._trained(trial)
            if not math.isfinite(mean := statistics.fmean(values)):
                raise FloatingPointError(f"the {self.about['goal']} on held-back data is {mean}")
            trial.set_user_attr("values", values)
            self.study.tell(trial, mean)
        except optuna().TrialPruned:
            self.study.tell(trial, state=optuna().trial.TrialState.PRUNED)
        except Exception as error:
            tries = trial.user_attrs.get("tries", 0) + 1
            its_own = isinstance(error, Refused | FloatingPointError) or "diverged" in str(error)
            if not its_own and tries < TRIES:
                trial.set_user_attr("tries", tries)
                raise
            trial.set_user_attr("why", str(error) or type(error).__name__)
            self.study.tell(trial, state=optuna().trial.TrialState.FAIL)
        with self._taking, contextlib.suppress(OSError):  # that somebody has it open in Excel is no reason to end
            rows = self.rows()
            write_csv(self.folder / "results.csv", [[*rows[0]], *(row.values() for row in rows)])

    def _trained(self, trial):
        """What the runs of a trial reached, which are trained to their ends; `TrialPruned` where they fall behind."""
        runs = [self._open(trial, seed) for seed in self.about["seeds"]]
        with contextlib.ExitStack() as saved:
            for run in runs:
                saved.enter_context(run.pausing(f"trial {trial.number}, seed {run.settings.seed}"))
            total, done = sum(map(len, runs)), sum(run.number for run in runs)
            for _ in bar(self._steps(trial, runs), f"trial {trial.number}", "step", total, done, stop="pause"):
                pass
        return [_figure(run, run.best[1] if run.best else run.number, self.about["goal"]) for run in runs]

    def _open(self, trial, seed):
        """The run of a trial for a seed, at its last checkpoint where it has one."""
        a, folder = self.about, self.run_folder(trial.number, seed)
        try:
            settings = self.task.settings_for(a["method"], a["profile"], seed, a["settings"] | trial.params)
        except BadInput as error:
            raise Refused(error) from None
        data = self._prepared(settings)
        if not begun(folder):
            return self.task.train(a["method"], data, a["profile"], seed, folder, **a["settings"] | trial.params)
        if (about := read_about(folder))["data"]["fingerprint"] != data.fingerprint:
            # Another machine, which rounds otherwise, began it; `work` has seen that the data are the same.
            write_json(folder / "settings.json", about | {"data": about["data"] | {"fingerprint": data.fingerprint}})
        run = self.task.resume(folder, data)
        if words := in_words(differences(run.settings, settings, free=()), "beside"):
            raise Refused(f"{folder}: expected the settings of its trial, found {words}; somebody steered it")
        return run

    def _prepared(self, settings):
        """The data, made ready once for all runs that need it in the same way."""
        key = getattr(settings, self.task.prepared_by)
        if key not in self._ready:
            self._ready = {key: self.task.prepared(self.data, settings)}
        return self._ready[key]

    def _steps(self, trial, runs):
        """The steps of some runs, which go on together from evaluation to evaluation; there their mean is reported."""
        s, known = runs[0].settings, {*self.study.trials[trial.number].intermediate_values}
        for mark in [*range(s.evaluate_every, s.steps, s.evaluate_every), s.steps]:
            for run in runs:
                while run.number < mark:
                    if self.paused.exists():
                        raise KeyboardInterrupt
                    yield next(run)
            if mark not in known:
                trial.report(statistics.fmean(_figure(run, mark, self.about["goal"]) for run in runs), mark)
            if mark < s.steps and trial.should_prune():
                raise optuna().TrialPruned

    # --- what came of it ------------------------------------------------------------------------------------------

    def rows(self) -> list[dict[str, Any]]:
        """A dict for each trial: number, state, settings, the goal's mean and SD over seeds, each seed's, and why."""
        a, rows = self.about, []
        for trial in self.study.get_trials(deepcopy=False):
            values = trial.user_attrs.get("values") or [""] * len(a["seeds"])
            rows.append({
                "trial": trial.number, "state": trial.state.name.lower(),
                **{name: trial.params.get(name, "") for name in a["vary"]},
                a["goal"]: trial.value if trial.state.name == "COMPLETE" else "",
                "sd": statistics.stdev(values) if len(values) > 1 and "" not in values else "",
                **{f"seed {seed}": value for seed, value in zip(a["seeds"], values, strict=True)},
                "why": trial.user_attrs.get("why", ""),
            })  # fmt: skip
        return rows

    def line(self, number: int) -> str:
        """A trial in a line."""
        row, goal = self.rows()[number], self.about["goal"]
        what = ", ".join(f"{name} {short(row[name])}" for name in self.about["vary"])
        sd = f" ± {short(row['sd'])}" if row["sd"] != "" else ""
        came = {"complete": f"{goal} {short(row[goal])}{sd}", "fail": f"failed: {row['why']}"}
        return f"trial {number}, {what}: {came.get(row['state'], row['state'])}"

    def ranked(self) -> list[int]:
        """The numbers of the complete trials, the best first; of those with the same settings the first."""
        rising = sorted(self._trials("COMPLETE"), key=lambda trial: (trial.value, -trial.number))
        return [*{str(trial.params): trial.number for trial in rising}.values()][::-1]

    def compared(self, a: int, b: int) -> str:
        """By how much trial `a` leads or trails trial `b`, and whether seeds alone can do that, in sentences.

        The interval is for two trials that were chosen before anybody looked. Of many, some two differ by luck.
        """
        first, second = trials = [self.study.trials[number] for number in (a, b)]
        for trial in trials:
            if trial.state.name != "COMPLETE":
                return f"T{self.line(trial.number)[1:]}."
        if first.params == second.params:
            return f"Trial {a} has the settings of trial {b}."
        does, sign = ("leads", 1) if first.value >= second.value else ("trails", -1)
        ours, theirs = (trial.user_attrs["values"] for trial in trials)
        lead = interval([sign * (x - y) for x, y in zip(ours, theirs, strict=True)])
        said = f"Trial {a} {does} trial {b} by {lead.mean:.2g}"
        if math.isnan(lead.sd):
            return f"{said}. With one seed nobody can say whether that is the setting or the seed: sweep with three."
        said += f"; over seeds the 95 % interval of this difference is {lead.low:.2g} to {lead.high:.2g}. Seeds alone "
        if lead.low <= 0:
            return said + "can do that, so this sweep does not tell the two apart."
        if (many := len(self.ranked())) == 2:
            return f"{said}rarely do that."
        said += f"rarely do that to two that one chose beforehand. These are two of {many}: "
        return f"{said}check them with other seeds, and on data that did not choose them."

    def __str__(self):
        """Whether the best trial leads the next one by more than seeds explain, in sentences.

        Not by more than the choice explains: the best of many is ahead by luck on these held-back data, too.
        """
        if len(ranked := self.ranked()) < 2:
            return "Fewer than two trials are complete, so there is nothing to compare yet."
        return f"Best is {self.line(ranked[0])}. {self.compared(*ranked[:2])}"


def _asked(task, method, vary, seeds, goal, profile, settings):
    """`Sweep.about` of a sweep that is asked for; `BadInput` where it cannot be."""
    own = module_of(task).TASK
    base = own.settings_for(method, profile, changes=settings)
    known = isinstance(vary, dict) and isinstance(seeds, list | tuple | range) and {*map(type, seeds)} == {int}
    if not (vary and known and len({*seeds}) == len(seeds)):
        found = f"vary {vary!r} and seeds {seeds!r}"
        expected = "{name: values} to vary and a list of different whole numbers as seeds"
        raise BadInput(f"sweep: expected {expected}, found {found}")
    base.expect_names(*vary)
    for name in vary:
        if name in settings or name in ("method", "seed", "profile"):
            raise BadInput(f"--vary {name}: expected a setting that is free, found one that all trials share")
        if name in own.ignored(method):
            found = "one that changes nothing in it; leave it out"
            raise BadInput(f"--vary {name}: expected a setting that {method} reads, found {found}")
    goal = goal or own.goals[0]
    if goal not in own.goals:
        raise BadInput(f"goal: expected one of {', '.join(own.goals)}, found {goal!r}")
    vary = suggestions(base, vary)
    asked = {"task": task, "method": method, "vary": vary, "seeds": [*seeds], "goal": goal, "settings": settings}
    return json.loads(json.dumps(asked | {"profile": base.profile}))  # as the study gives it back


def _typed(value):
    """A part of `Sweep.about` as a person says it: weight=log:0.1:10, or 0,1."""
    if isinstance(value, dict):
        return " ".join(f"{name}={_typed(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list) and isinstance(told := value[-1], dict):
        return _typed(told.get("choices") or "log:" * told["log"] + f"{_typed(told['low'])}:{_typed(told['high'])}")
    return ",".join(map(_typed, value)) if isinstance(value, list) else str(value).removesuffix(".0")


def _figure(run, step, goal):
    return next(row[goal] for row in run.evaluations if row["step"] == step)


def short(value):
    """A value of a setting or a figure as it is said, with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main(folder, data=None):
    """What a process of `Sweep.start` does."""
    try:
        sweep = Sweep(folder)
        sweep._data = data
        sweep.work(say=lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        return 130
    except (BadInput, OSError) as error:
        print(f"i2pemd_lite: {isinstance(error, OSError) and refusal(error) or error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
