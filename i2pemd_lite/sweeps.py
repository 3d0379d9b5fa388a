"""Sweeps: many trainings of one method with different settings, which Optuna chooses, stops early and compares.

A sweep is a folder. `study.log` is Optuna's study, and `trials/0007/seed0` is the run of trial 7 with seed 0, a run
like any other. Processes on one machine, or on several that share the folder, work on a sweep together: each takes a
trial, trains a run for each seed, and tells Optuna their mean. They need no server, and who is at work is known by the
locks of the runs, so that a process may be killed at any time: the next one takes its trial up where the runs were last
saved.

The best of many trials looks better than it is, because the same held-back data chose it. Train it anew with other
seeds before you report it.
"""

import contextlib
import functools
import importlib
import json
import math
import os
import statistics
import subprocess
import sys
import warnings
from pathlib import Path

from filelock import FileLock

from i2pemd_lite.files import BadInput, parsing, run_lock, write_csv
from i2pemd_lite.runs.sampling import generator
from i2pemd_lite.runs.settings import read
from i2pemd_lite.tables.results import begun, differences, in_words
from i2pemd_lite.tables.statistics import interval
from i2pemd_lite.text import bar

SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler", "grid": "GridSampler"}
PRUNERS = {"none": "NopPruner", "median": "MedianPruner", "halving": "SuccessiveHalvingPruner"}
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


def study(folder):
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
    with parsing(path if path.exists() else None, "Optuna's log of a sweep", "restore it, or choose another folder"):
        # Of the operating system, which frees it when a process is killed; Optuna's own locks wait 30 s then, and one
        # of them makes links, which Windows does not let everybody do.
        backend = journal.JournalFileBackend(str(path), FileLock(path.with_suffix(".lock")))
        storage = optuna().storages.JournalStorage(backend)
        return optuna().create_study(storage=storage, study_name="sweep", direction="maximize", load_if_exists=True)


def suggestion(settings, name, values):
    """[how a trial of Optuna's suggests a setting, what it is told], for values that these settings can have.

    values : "0.1:10", a range; "log:0.1:10", one whose powers of ten are equally likely; "0.5,0.8", or a list: a choice

    Example
    -------
    >>> from i2pemd_lite.runs.settings import Settings
    >>> suggestion(Settings(), "weight", "log:0.1:10")
    ['suggest_float', {'low': 0.1, 'high': 10.0, 'log': True}]
    >>> suggestion(Settings(), "momentum", [0.5, 0.8, 1.2])
    Traceback (most recent call last):
    i2pemd_lite.files.BadInput: momentum: expected a number from 0 to 1, found 1.2
    """
    how, told = _range(name, values, settings.__dataclass_fields__[name].type)
    for value in told.get("choices") or (told["low"], told["high"]):
        settings.changed(**{name: value})
    return [how, told]


def _range(name, values, kind):
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


class Sweep:
    """The sweep in a folder; with a task and a method a new one, or the same one there.

    task : "segmentation" or "classification";  method : a key of its `METHODS`
    vary : {setting: values}, as `suggestion` takes them;  seeds : a run of each trial for each
    goal : which figure on held-back data is to be high; None: the first of the task's `goals`
    profile : as for `train`;  settings : those that are the same in all trials

    study : Optuna's;  about : all of the above as plain values;  plan : see `planned`

    `BadInput` for a setting that there is not, that the method ignores, or that refuses one of its values, and where
    the folder holds a sweep that asks for something else.
    """

    def __init__(self, folder, task=None, method=None, vary=None, seeds=(0,), goal=None, profile=None, **settings):
        self.folder, self._ready = Path(folder), {}
        if not (method or (self.folder / "study.log").is_file()):
            found = "no study.log in it; give a task, a method and what to vary, or check the name"
            raise BadInput(f"{folder}: expected the folder of a sweep, found {found}")
        asked = method and _asked(task, method, vary or {}, seeds, goal, profile, settings)
        self.study = study(self.folder)
        self._taking = FileLock(self.folder / ".taking")  # inside, nobody else takes a trial
        self.about = self._agreed("about", asked)
        if self.about is None:
            found = "a study of something else; look at it by sweeps.study, or choose another folder"
            raise BadInput(f"{folder}: expected a sweep of settings, found {found}")
        for name in asked or ():
            if asked[name] != self.about[name]:
                found = f"one with {name} {self.about[name]} beside {asked[name]}; choose another folder"
                raise BadInput(f"{folder}: expected the same sweep or none, found {found}")
        self.task = task_of(self.about["task"])

    def _agreed(self, name, value):
        """What the study has under a name, or from now on the value, if any: whoever comes first says it for all."""
        with self._taking:
            if name not in self.study.user_attrs and value is not None:
                self.study.set_user_attr(name, value)
            return self.study.user_attrs.get(name)

    @property
    def plan(self):
        """What was `planned`."""
        return PLAN | self.study.user_attrs.get("plan", {})

    def planned(self, **plan):
        """This sweep, with another plan for all who work on it.

        trials : how many there are to be in all;  sampler : a key of `SAMPLERS`;  prune : a key of `PRUNERS`, by which
        trials are stopped early at their evaluations;  data : a folder, as for `train`
        """
        plan = self.plan | {name: value for name, value in plan.items() if value is not None}
        for name, known in {"sampler": SAMPLERS, "prune": PRUNERS}.items():
            if plan[name] not in known:
                raise BadInput(f"{name}: expected one of {', '.join(known)}, found {plan[name]!r}")
        if plan["trials"] < 1:
            raise BadInput(f"trials: expected a whole number from 1, found {plan['trials']}")
        if plan["sampler"] == "grid" and (found := [name for name, values in self._choices().items() if not values]):
            raise BadInput(f"grid: expected a list of values of each setting, found a range of {', '.join(found)}")
        plan["data"] = plan["data"] and str(Path(plan["data"]).absolute())
        self.study.set_user_attr("plan", plan)
        return self

    def _choices(self):
        """{setting: its values, where it is a choice}."""
        return {name: values.get("choices") for name, (_, values) in self.about["vary"].items()}

    # --- work -----------------------------------------------------------------------------------------------------

    @property
    def paused(self):
        """A file that lets nobody work on this sweep, on any machine, while it is there."""
        return self.folder / "paused"

    def start(self, workers=1, **options):
        """Processes of one thread each that `work`, and outlive this one; `options` are those of `subprocess.Popen`.

        To stop them, make the file `paused`: each saves its runs after its present step, and ends.
        """
        self.paused.unlink(missing_ok=True)
        command = [sys.executable, "-m", "i2pemd_lite.sweeps", str(self.folder)]
        return [subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, **options) for _ in range(workers)]

    def finish(self, workers=1, say=print):
        """Train all trials, here or in so many processes; the sweep itself. An interrupt stops them, and they save."""
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

    def work(self, say=print):
        """Take trial after trial and train it here, until there are as many as planned; the sweep itself.

        A trial whose loss is no number, or whose settings cannot be trained, is kept with the reason; the others go on.
        `BadInput` for other data than the sweep began with.
        """
        a, data = self.about, self.plan["data"]
        found = self._prepared(self.task.settings_for(a["method"], a["profile"], changes=a["settings"])).fingerprint
        if (mark := self._agreed("fingerprint", found)) != found:
            found += f" in {data or 'the usual place'}; give the data that the sweep began with"
            raise BadInput(f"{self.folder}: expected the data of fingerprint {mark}, found {found}")
        while taken := self._take():
            trial, claim = taken
            with claim:
                self._train(trial)
            say(self.line(trial.number))
        return self

    def _take(self):
        """(a trial, the locks of its runs): one that was left by a killed process, else a new one; None: no more."""
        plan, choices, state = self.plan, self._choices(), optuna().trial.TrialState
        grid = plan["sampler"] == "grid"
        most = min(plan["trials"], math.prod(map(len, choices.values()))) if grid else plan["trials"]
        with self._taking:
            count = sum(trial.state != state.WAITING for trial in self.study.get_trials(deepcopy=False))
            # Random by the trial's number, so that no two processes draw the same.
            how = {"search_space": choices} if grid else {"seed": generator("trial", count).initial_seed() % 2**32}
            self.study.sampler = getattr(optuna().samplers, SAMPLERS[plan["sampler"]])(**how)
            for left in self.study.get_trials(deepcopy=False, states=(state.RUNNING,)):
                with contextlib.suppress(BadInput):
                    claim = self._claim(left.number)
                    if self.study.trials[left.number].state == state.RUNNING:  # else it was told in this moment
                        trial = optuna().trial.Trial(self.study, left._trial_id)
                        break
                    claim.close()
            else:
                if count >= most:
                    return None
                trial = self.study.ask()
                claim = self._claim(trial.number)
            for name, (suggest, values) in self.about["vary"].items():
                getattr(trial, suggest)(name, **values)  # what was suggested before stays
            self.study.sampler = optuna().samplers.RandomSampler()  # that of a grid lets nobody tell the last trial
            return trial, claim

    def _claim(self, number):
        """The locks of the runs of a trial; `BadInput` where somebody has one of them."""
        with contextlib.ExitStack() as claim:
            for seed in self.about["seeds"]:
                claim.enter_context(run_lock(self.run_folder(number, seed)))
            return claim.pop_all()

    def at_work(self):
        """The numbers of the trials that somebody trains now, here or on another machine."""
        busy, state = [], optuna().trial.TrialState
        with self._taking:
            for trial in self.study.get_trials(deepcopy=False, states=(state.RUNNING,)):
                try:
                    self._claim(trial.number).close()
                except BadInput:
                    busy.append(trial.number)
        return busy

    def run_folder(self, number, seed):
        """Where a run of a trial is kept."""
        return self.folder / "trials" / f"{number:04d}" / f"seed{seed}"

    def _train(self, trial):
        """Train the runs of a trial, and tell Optuna what came of it."""
        state, seeds = optuna().trial.TrialState, self.about["seeds"]
        self.study.pruner = getattr(optuna().pruners, PRUNERS[self.plan["prune"]])()
        try:
            runs = [self._open(trial, seed) for seed in seeds]
            with contextlib.ExitStack() as saved:
                for run in runs:
                    saved.enter_context(run.pausing(f"trial {trial.number}, seed {run.settings.seed}"))
                total, done = sum(map(len, runs)), sum(run.number for run in runs)
                for _ in bar(self._steps(trial, runs), f"trial {trial.number}", "step", total, done, stop="pause"):
                    pass
            values = [_figure(run, run.best[1] if run.best else run.number, self.about["goal"]) for run in runs]
            if not math.isfinite(mean := statistics.fmean(values)):
                raise FloatingPointError(f"the {self.about['goal']} on held-back data is {mean}")
            trial.set_user_attr("values", values)
            self.study.tell(trial, mean)
        except optuna().TrialPruned:
            self.study.tell(trial, state=state.PRUNED)
        except (BadInput, FloatingPointError) as error:
            if isinstance(error.__context__, OSError):  # a full disk is no fault of the trial
                raise
            trial.set_user_attr("why", str(error))
            self.study.tell(trial, state=state.FAIL)
        with self._taking:
            rows = self.rows()
            write_csv(self.folder / "results.csv", [[*rows[0]], *(row.values() for row in rows)])

    def _open(self, trial, seed):
        """The run of a trial for a seed, at its last checkpoint where it has one."""
        a, folder = self.about, self.run_folder(trial.number, seed)
        settings = self.task.settings_for(a["method"], a["profile"], seed, a["settings"] | trial.params)
        data = self._prepared(settings)
        if not begun(folder):
            return self.task.train(a["method"], data, a["profile"], seed, folder, **a["settings"] | trial.params)
        run = self.task.resume(folder, data)
        if words := in_words(differences(run.settings, settings, free=()), "beside"):
            raise BadInput(f"{folder}: expected the settings of its trial, found {words}; somebody steered it")
        return run

    def _prepared(self, settings):
        """The data, made ready once for all runs that need it in the same way."""
        key = getattr(settings, self.task.prepared_by)
        if key not in self._ready:
            self._ready = {key: self.task.prepared(self.plan["data"], settings)}
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

    def rows(self):
        """A dict for each trial: number, state, settings, the goal's mean and SD over seeds, each seed's, and why."""
        a, rows = self.about, []
        for trial in self.study.get_trials(deepcopy=False):
            values = trial.user_attrs.get("values") or [""] * len(a["seeds"])
            row = {"trial": trial.number, "state": trial.state.name.lower()}
            row |= {name: trial.params.get(name, "") for name in a["vary"]}
            row |= {a["goal"]: "" if trial.value is None else trial.value}
            row |= {"sd": statistics.stdev(values) if len(values) > 1 and "" not in values else ""}
            row |= {f"seed {seed}": value for seed, value in zip(a["seeds"], values, strict=True)}
            rows.append(row | {"why": trial.user_attrs.get("why", "")})
        return rows

    def line(self, number):
        """A trial in a line."""
        row, goal = self.rows()[number], self.about["goal"]
        what = ", ".join(f"{name} {short(row[name])}" for name in self.about["vary"])
        sd = f" ± {short(row['sd'])}" if row["sd"] != "" else ""
        came = {"complete": f"{goal} {short(row[goal])}{sd}", "fail": f"failed: {row['why']}"}
        return f"trial {number}, {what}: {came.get(row['state'], row['state'])}"

    def __str__(self):
        """Whether the best trial leads the next one by more than seeds explain, in sentences."""
        whole = self.study.get_trials(deepcopy=False, states=(optuna().trial.TrialState.COMPLETE,))
        first, second = [*sorted(whole, key=lambda trial: -trial.value), None, None][:2]
        if second is None:
            return "Fewer than two trials are complete, so there is nothing to compare yet."
        ours, theirs = (trial.user_attrs["values"] for trial in (first, second))
        lead = interval([a - b for a, b in zip(ours, theirs, strict=True)])
        said = f"Best is {self.line(first.number)}. It leads trial {second.number} by {lead.mean:.2g}"
        if math.isnan(lead.sd):
            return f"{said}. With one seed nobody can say whether that is the setting or the seed: sweep with three."
        said += f"; over seeds the 95 % interval of this lead is {lead.low:.2g} to {lead.high:.2g}."
        if lead.low <= 0:
            return f"{said} Seeds alone can do that, so this sweep does not tell the two apart."
        return f"{said} Seeds alone rarely do that. But it is the best of {len(whole)}: check it with other seeds."


def _asked(task, method, vary, seeds, goal, profile, settings):
    """`Sweep.about` of a sweep that is asked for; `BadInput` where it cannot be."""
    own = task_of(task)
    base = own.settings_for(method, profile, changes=settings)
    base.expect_names(*vary)
    for name in vary:
        if name in settings or name in ("method", "seed", "profile"):
            raise BadInput(f"--vary {name}: expected a setting that is free, found one that all trials share")
        if name in own.ignored(method):
            found = "one that changes nothing in it; leave it out"
            raise BadInput(f"--vary {name}: expected a setting that {method} reads, found {found}")
    if not vary or not seeds or len(set(seeds)) < len(seeds):
        found = f"{len(vary)} settings and the seeds {', '.join(map(str, seeds)) or 'none'}"
        raise BadInput(f"sweep: expected something to vary, and seeds that differ, found {found}")
    goal = goal or own.goals[0]
    if goal not in own.goals:
        raise BadInput(f"goal: expected one of {', '.join(own.goals)}, found {goal!r}")
    vary = {name: suggestion(base, name, values) for name, values in vary.items()}
    asked = {"task": task, "method": method, "vary": vary, "seeds": seeds, "goal": goal, "settings": settings}
    return json.loads(json.dumps(asked | {"profile": base.profile}))  # as the study gives it back


def task_of(name):
    """The `Task` of this name."""
    if name not in ("segmentation", "classification"):
        raise BadInput(f"task: expected segmentation or classification, found {name!r}")
    return importlib.import_module(f"i2pemd_lite.{name}").TASK


def _figure(run, step, goal):
    return next(row[goal] for row in run.evaluations if row["step"] == step)


def short(value):
    """A value of a setting or a figure as it is said, with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main(folder):
    """What a process of `Sweep.start` does."""
    try:
        Sweep(folder).work(say=lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        return 130
    except (BadInput, OSError) as error:
        print(f"i2pemd_lite: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
