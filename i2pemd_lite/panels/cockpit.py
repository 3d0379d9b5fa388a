"""The training cockpit: start, pause, step, resume, stop and fork runs, and steer them while they train.

The runs live in a process of their own (`worker.py`), so the notebook stays free, and in folders on disk, so a closed
tab or a kernel that is restarted loses nothing: the next cockpit on the same folder finds them and picks them up.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import math
import re
import shutil
import time
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from IPython import get_ipython

from i2pemd_lite import device
from i2pemd_lite.files import BadInput, run_lock, write_text
from i2pemd_lite.panels import curves, workbench
from i2pemd_lite.panels.board import NOTE, SHOWN, Track, describe, draw, frame
from i2pemd_lite.panels.engine.panel import Panel, alert
from i2pemd_lite.panels.engine.slider import choice, slider, steps, text
from i2pemd_lite.panels.engine.table import Table
from i2pemd_lite.panels.selection import keep_apart
from i2pemd_lite.panels.training import Training
from i2pemd_lite.runs.run import Run
from i2pemd_lite.runs.worker import Process, State

RATES = tuple(float(f"{m}e{e}") for e in range(-6, 0) for m in (1, 2, 5))
PERIOD = 0.2  # seconds between two looks at what the process says
LIVE = {  # settings that change in a run -> a value, both ends and the step of a slider
    "weight": (1.0, 0.0, 4.0, 0.05), "weight_kd": (0.5, 0.0, 4.0, 0.05), "weight_i2ped": (0.05, 0.0, 1.0, 0.01),
    "momentum": (0.8, 0.0, 1.0, 0.01), "tau_low": (0.7, 0.0, 0.97, 0.01), "tau_high": (0.8, 0.02, 0.99, 0.01),
    "top": (24, 1, 360, 1),
}  # fmt: skip
BEST = {"segmentation": "joint_sepbn_i2pemd", "classification": "i2pemd"}
WAITING = (State.SAVED, State.PAUSED, State.STOPPING, State.STOPPED, State.FAILED)
BUTTONS = {  # command -> label, what it does, and in which states of the chosen run
    "start": ("Start", "Train a new run of this method, under this name", None),
    "pause": ("Pause", "Save the chosen run and wait", (State.TRAINING,)),
    "step": ("Step", "Take one step of the chosen run", WAITING),
    "go": ("Resume", "Continue the chosen run from where it was saved", WAITING),
    "stop": ("Stop", "Save the chosen run and close it", (State.TRAINING, State.PAUSED, State.DONE)),
    "fork": ("Fork", "Copy the chosen run as it is now; you then train the copy separately",
             (State.SAVED, State.TRAINING, State.PAUSED, State.STOPPED, State.DONE, State.NOTEBOOK)),
}  # fmt: skip
RESERVED = re.compile(r"^(con|prn|aux|nul|(?:com|lpt)\d)(?=\.|$)", re.IGNORECASE)  # of which Windows has no folder
COPIES = ("Copy as command", "Copy as Python", "Save all as CSV")


class Cockpit(Panel):
    """Controls, buttons, and the table and board of the runs in a folder and in the notebook; those of the cockpit
    `before` go on in this one."""

    def __init__(
        self, folder: Path | str, task: str, data: str = "", profile: str | None = None,
        before: "Cockpit | None" = None, **settings: Any
    ):  # fmt: skip
        self.folder, self.tracks, self.buttons = Path(folder).resolve(), {}, {}
        self.settings = settings  # of new runs; those that have a field begin in it
        self._process, self._task, self._wrong, self._quiet = None, None, "", False
        if before is not None:
            self.tracks, self._process = before.hand_over()
        self._wrong = self._save_own() or self._find()
        start = {
            "task": choice("task", list(SHOWN), task),
            "method": choice("method", list(SHOWN[task].task.methods), BEST[task]),
            "profile": choice("profile", list(device.PROFILES), device.profile(profile).name),
            "seed": text("seed", str(settings.pop("seed", 0))),
            "steps": text("steps (empty: the profile's)", str(settings.pop("steps", ""))),
            "batch": text(_batch(SHOWN[task]), ""),
            "data": text("data folder (empty: as found)", data),
            "name": text("name", ""),
        }
        watch = curves.controls(SHOWN[task], ()) | {"run": Table("run", self._press, COPIES)}
        del watch["beside"]  # which is ticked in the table
        live = {name: slider(curves.SAID[name], *ends) for name, ends in LIVE.items()}
        live["learning_rate"] = steps(curves.SAID["learning_rate"], RATES, 1e-3)
        start["task"].observe(self._other_task, "value")
        watch["run"].observe(lambda _: self._quiet or self._follow_run(), "value")
        watch["run"].observe(lambda _: self._quiet or self.refresh(), "ticked")
        keep_apart(live)  # first, so that a threshold that is taken along reaches the run before the one that takes it
        for name, control in live.items():
            control.observe(lambda change, name=name: self._steer(name, change["new"]), "value")
        self.live, self.controls = live, {**start, **watch, **live}
        self.curves = self.controls.keys() - start.keys() - {"run"}
        self._choose()
        for do, (label, words, _) in BUTTONS.items():
            self.buttons[label] = widgets.Button(description=label, tooltip=words, layout={"width": "84px"})
            self.buttons[label].on_click(lambda _, do=do: self._press(do))
        first = ["method", "run", "weight"]
        layout = [first, *([name for name in group if name not in first] for group in (start, watch, live))]
        super().__init__("cockpit", self.controls, self._look, draw, describe, layout, (9.4, 5.6), shows=self._acting)
        self._start.pop("run")  # it may be deleted by then
        self.children = [widgets.HBox(list(self.buttons.values())), *self.children]
        self._watch()

    # --- the runs in the folder --------------------------------------------------------------------------------------

    def _save_own(self):
        """Save the notebook's runs of the folder, so that it has all their steps; says what is wrong with one of them.
        Not while the panel is there: a cell may train them then."""
        wrong = ""
        for run in of_notebook().values():
            place = run.folder and run.folder.resolve()
            opened = place and place.name in self.tracks and self.tracks[place.name].open
            if place and place.parent == self.folder and not opened and run.saved != run.number:
                try:
                    run.save()
                except (BadInput, OSError, FloatingPointError) as error:
                    wrong = str(error)
        return wrong

    def _find(self):
        """Take up the runs of the folder and of the notebook as they are now; says what is wrong with one of them."""
        wrong, mine, runs = "", {}, of_notebook()
        held = {run.folder.resolve() for run in runs.values() if run.folder}
        self.tracks = {name: track for name, track in self.tracks.items()  # else its folder was deleted meanwhile
                       if track.open or track.run is not None or (track.folder / "settings.json").exists()}  # fmt: skip
        for about in sorted(self.folder.glob("*/settings.json")):
            name = about.parent.name
            track = self.tracks.get(name, Track(name, about.parent, ""))
            try:
                if not track.open and track.older:
                    self.tracks[name] = track.read()
            except (BadInput, OSError) as error:
                wrong = str(error)
            track.held = about.parent.resolve() in held
        for name, run in runs.items():
            if run.folder is None or run.folder.resolve().parent != self.folder:
                name += " (notebook)" * (name in self.tracks and self.tracks[name].run is None)
                old = self.tracks.get(name)
                note = old.note if old and old.run is run else ""
                mine[name] = Track(name, Path(), "", State.NOTEBOOK, run, note=note).read()
        self.tracks = {name: track for name, track in self.tracks.items() if track.run is None} | mine
        return wrong

    def hand_over(self) -> tuple:
        """Give the runs and the process to a cockpit that was opened later, as after a closed tab."""
        tracks, process = self.tracks, self._process
        self.tracks = {name: dataclasses.replace(track, state=State.STOPPED, asked=0)
                       for name, track in tracks.items() if track.run is None}  # fmt: skip
        self._process = None
        self._wrong = "another cockpit was opened on this folder and has taken over its runs; continue there"
        self.refresh()
        return tracks, process

    def _runs(self, task):
        return {name: track for name, track in self.tracks.items() if track.task == task}

    @property
    def chosen(self) -> Track | None:
        """The `Track` that is chosen, or None."""
        return self.tracks.get(self.controls["run"].value)

    def _choose(self, name=None):
        """Offer the runs of the task, tick what is new, and choose one; where there is none of this name, the first."""
        table, names = self.controls["run"], list(self._runs(self.controls["task"].value))
        self._before, new = table.value, [each for each in names if each not in table.options]
        self.offer("run", names, name if name in names else next(iter(names), None))
        new.sort(key=lambda each: self.tracks[each].total == self.chosen.total)  # last, so ticked: of as many steps
        self._tick([*table.ticked, *new])
        self._follow_run()

    def _tick(self, names):
        """Tick the last of these names, as many as can be drawn, the chosen one always among them."""
        table = self.controls["run"]
        names = [name for name in dict.fromkeys(names) if name in table.options and name != table.value]
        self._quiet, quiet = True, self._quiet
        table.ticked = [*names[1 - len(curves.LINES) :], *filter(None, [table.value])]
        self._quiet = quiet

    # --- what the buttons do -----------------------------------------------------------------------------------------

    def _press(self, do, name="", text=""):
        """Do what a button asks for, or the table, which names a run or has a text."""
        self._wrong = ""
        try:
            self._find()
            self._choose(self.controls["run"].value)
            if do in ("start", "fork"):
                getattr(self, f"_do_{do}")()
            elif do not in ("note", "delete", "copy"):
                self._tell(do, self._opened().name)
            elif not name or name in self.tracks:  # else it was deleted meanwhile
                getattr(self, f"_do_{do}")(name, text)
            if do == "stop":
                self.chosen.state = State.STOPPING
        except (BadInput, OSError) as error:
            self._wrong = str(error)
        self.refresh()

    def _do_start(self):
        """Train a new run, as the controls say."""
        state, chosen = self.state, dict(self.settings)
        for name, settings in self._typed_in(state["task"]).items():
            if state[name].strip():
                numbers = [number.strip() for number in state[name].split("+")]
                if len(numbers) != len(settings) or not all(map(str.isdecimal, numbers)):
                    expected = "a whole number" if len(settings) == 1 else f"{' + '.join(settings)}, as in 12 + 36"
                    raise BadInput(f"{name}: expected {expected}, or nothing, found {state[name]!r}; correct it")
                chosen |= dict(zip(settings, map(int, numbers), strict=True))
        if "unlabelled" in chosen:  # T keeps its part of them
            usual = SHOWN[state["task"]].task.settings_for(state["method"], state["profile"])
            chosen["top"] = max(1, round(usual.top * chosen["unlabelled"] / usual.unlabelled))
        track = self._new(state["method"], state["task"])
        self._open(track, method=state["method"], profile=state["profile"], **chosen)
        self._tell("go", track.name)
        self._choose(track.name)

    def _do_fork(self):
        """Let a copy of the chosen run go its own way; a copy of one of the notebook is saved in the folder."""
        origin = self.chosen
        if origin is not None and origin.run is not None:
            name = self._free(self.state["name"], origin.name)
            origin.run.fork(self.folder / name).save()
            self._find()
        else:
            origin = self._opened()
            name = self._new(origin.name, origin.task).name
            self._tell("fork", origin.name, to=name, folder=str(self.folder / name))
        self._choose(name)

    def _new(self, base, task):
        """The track of a run to begin, by the name that was typed, else by `base`."""
        name = self._free(self.state["name"], base)
        self.tracks[name] = Track(name, self.folder / name, task, State.STARTING, asked=1)
        return self.tracks[name]

    def _free(self, *wanted):
        """The first of these names that a folder can have, without what it cannot, and with a number where it is taken;
        so no name is refused."""
        names = (re.sub(r"[^\w .,+=()-]", "-", name)[:60].strip(" .-") for name in (*wanted, "run"))
        name = RESERVED.sub(r"\1-", next(filter(None, names)))
        there = (path.name for path in self.folder.glob("*") if not _empty(path))
        taken = {each.casefold() for each in (*self.tracks, *there)}
        tries = (name if n == 1 else f"{name} {n}" for n in itertools.count(1))
        return next(each for each in tries if each.casefold() not in taken)

    def _typed_in(self, task):
        """{field: settings of a new run of the task that are typed in it, as whole numbers}."""
        return {"seed": ("seed",), "steps": ("steps",), "batch": SHOWN[task].batch}

    def _opened(self):
        """The chosen run, which the process has, or picks up now."""
        track = self.chosen
        if track is None:
            raise BadInput("run: expected a chosen run, found none; start one, or choose another task")
        if not track.open:
            self._open(track, method=track.settings["method"], settings=track.wishes)
            track.state, track.wishes, track.error = State.STARTING, {}, ""
            track.doing, track.since = "", time.monotonic()
            track.asked += 1
        return track

    def _open(self, track, **more):
        data = self.state["data"].strip() or None
        self._tell("open", track.name, task=track.task, folder=str(track.folder), data=data, **more)

    def _tell(self, do, name, **more):
        if self._process is None:
            self._process = Process()
        self._process.tell(do, name, **more)
        self._watch()

    def _watch(self):
        """Let somebody listen to the process; in plain Python nobody does, unless `listen` is called."""
        if self._process is not None and (self._task is None or self._task.done()):
            with contextlib.suppress(RuntimeError):
                self._task = asyncio.get_running_loop().create_task(self.background())

    # --- what is asked in the table ----------------------------------------------------------------------------------

    def _do_note(self, name, text):
        """Keep a note on a run, in its folder where it has one here."""
        track = self.tracks[name]
        if track.run is None:
            write_text(track.folder / NOTE, text)
        track.note = text

    def _do_delete(self, name, _):
        """Delete the folder of a run that nobody trains or holds, and in which there is no other run."""
        track = self.tracks[name]
        if track.run is not None or track.open:
            raise BadInput(f"{name}: expected a run in {self.folder} that is closed, found one {track.state}; stop it")
        if track.held:
            raise BadInput(f"{name}: expected a run that nobody has, found one of this notebook; it keeps its folder")
        others = [path.parent for path in track.folder.glob("*/**/settings.json")]
        if track.folder.is_symlink() or others:
            found = "a link" if track.folder.is_symlink() else f"another run in {others[0]}"
            raise BadInput(f"{track.folder}: expected a folder of one run, found {found}; delete by hand what you mean")
        with run_lock(track.folder):
            pass
        shutil.rmtree(track.folder)
        del self.tracks[name]
        self._choose(self.controls["run"].value)

    def _do_copy(self, _, words):
        """Give the page the chosen run as a command or as Python, or all runs of the task as CSV."""
        table, track, (as_command, as_python, _) = self.controls["run"], self.chosen, COPIES
        if make := {as_command: workbench.command, as_python: workbench.python}.get(words):
            table.give(make(track, self.folder / self._free(track.name)))
        else:
            table.give(workbench.as_csv(list(self._runs(self.state["task"]).values())), "runs.csv")

    # --- what comes back ---------------------------------------------------------------------------------------------

    async def background(self) -> None:
        """Follow the process between other events, until it ends."""
        while self._process is not None:
            self.listen()
            await asyncio.sleep(PERIOD)

    def listen(self) -> None:
        """Take in what the process says, and draw it."""
        messages = self._process.heard() if self._process is not None else []
        for message in messages:
            if "run" in message and message["run"] not in self.tracks:
                continue  # it was deleted meanwhile
            try:
                getattr(self, f"_heard_{message.pop('event')}")(**message)
            except BadInput as error:
                self._wrong = str(error)
        if messages or any(track.state == State.STARTING or track.late for track in self.tracks.values()):
            self.refresh()

    def _heard_doing(self, run, doing):
        self.tracks[run].doing = doing

    def _heard_steps(self, run, **news):
        self.tracks[run].take(**news)

    def _heard_settings(self, run, settings, number):
        track = self.tracks[run]
        track.asked -= 1
        if not track.asked or not track.settings:  # else what was asked for later is still on its way
            track.settings = settings
            if track is self.chosen:
                self._follow_run()
        if track.state == State.STARTING:
            track.state = State.PAUSED
            track.read(number)

    def _heard_failed(self, run, do, error):
        track = self.tracks[run]
        if do not in ("open", "fork", "set"):
            track.state, track.error, track.asked = State.FAILED, error, 0
            return
        self._wrong = error
        if do != "set":  # it could not be opened: a new one is none, an old one is where it was
            track.state, track.asked = State.SAVED, 0
            if not track.settings:
                del self.tracks[run]
                self._choose(self._before)

    def _heard_ended(self, error):
        self._process = None
        for track in self.tracks.values():
            track.asked = 0
            if track.open or track.state == State.STOPPING:
                track.state = State.STOPPED
        self._wrong = f"the training process ended: {error}; press Resume to continue a run where it was last saved"

    def end(self) -> None:
        """Save every run and end the process, as the end of the kernel does."""
        if self._process is not None:
            self._process.close()
            self.listen()
            self._heard_ended("it was closed")
            self.refresh()

    # --- controls that follow ----------------------------------------------------------------------------------------

    def _other_task(self, change):
        shown = SHOWN[change["new"]]
        self.offer("method", list(shown.task.methods), BEST[change["new"]])
        for name, options in curves.offers(shown).items():
            self.offer(name, options, options[0])
        self.controls["batch"].description = _batch(shown)
        self._choose()

    def _follow_run(self):
        """Move the live controls to the settings of the chosen run."""
        track, quiet = self.chosen, self._quiet
        self._quiet = self._following = True
        settings = {} if track is None else track.settings | track.wishes
        for name, control in self.live.items():
            if name == "learning_rate" and name in settings:
                control.options = sorted({*RATES, settings[name]})
            if name == "top":
                control.max = settings.get("unlabelled", LIVE["top"][2])
            if name in settings:
                control.value = settings[name]
        self._quiet, self._following = quiet, False

    def _acting(self, state):
        """Without a run only what begins one; else all but what its method ignores."""
        track = self.tracks.get(state["run"])
        return state.keys() - (self.curves if track is None else set(itertools.filterfalse(track.acts, self.live)))

    def _steer(self, name, value):
        track = self.chosen
        if self._following or track is None or not track.acts(name):
            return
        if math.isclose(track.settings[name], value):  # a page sends .7000000000000002 for .7
            return
        self._wrong = ""
        if track.run is not None:
            try:
                track.run.change(**{name: value})
            except BadInput as error:
                self._wrong = str(error)
                return
        track.settings[name] = value
        if track.open:
            track.asked += 1
            self._tell("set", track.name, values={name: value})
        elif track.run is None:
            track.wishes[name] = value

    def refresh(self):
        self._tick(self.controls["run"].ticked)
        super().refresh()
        table = self.controls["run"]
        with table.hold_sync():
            about = workbench.table(list(self._runs(self.state["task"]).values()), self.state["measure"])
            table.heads, table.rows, table.log = about
        for name, settings in (self._typed_in(self.state["task"]) | {"data": ()}).items():
            field = self.controls[name]
            wrong = self._wrong.startswith(tuple(f"{each}:" for each in (name, *settings, field.value.strip() or name)))
            (field.add_class if wrong else field.remove_class)("i2pemd-wrong")
        track = self.chosen
        for label, _, states in BUTTONS.values():
            able = states is None or (track is not None and track.state in states)
            able = able and not (label in ("Resume", "Fork") and track.brought)
            self.buttons[label].disabled = not able or (states is WAITING and track.number >= max(track.total, 1))

    def _typed(self, control, error):
        self._wrong = "" if error is None else str(error)
        super()._typed(control, error)

    @property
    def complaint(self):
        wrong = self._wrong or (self.chosen.error if self.chosen is not None else "")
        return alert(BadInput(wrong), "This did not work.") if wrong else ""

    def _look(self, state):
        """What `curves.watched` says, and the `Track` of the chosen run, one without a name where there is none."""
        runs, name = self._runs(state["task"]), state["run"]
        if name not in runs:
            runs = {name: Track("", Path(), state["task"])}
        about = {each: (run.settings.get("profile"), frame(run.number, run.total)) for each, run in runs.items()}
        result = curves.watched(SHOWN[state["task"]], runs, state, about, self.controls["run"].ticked)
        result.run, result.pair = runs[name], None
        if len(result.names) == 2:
            other = next(runs[each] for each in result.names if each != name)
            result.pair = workbench.compared(result.run, other, list(runs.values()), state["measure"])
        return result


def _empty(path):
    """Whether it is a folder in which a run failed to begin."""
    return path.is_dir() and {each.name for each in path.iterdir()} <= {".training"}


def _batch(shown):
    return f"{' + '.join(shown.batch)} (empty: the profile's)"


def of_notebook():
    """{name: run} of the runs that this notebook has under a name, in a `Training`, or in a dict that has a name."""
    runs = {}
    for name, value in list(getattr(get_ipython(), "user_ns", {}).items()):
        value = value.runs if isinstance(value, Training) else value
        named = value if isinstance(value, dict) else {name: value}
        if not name.startswith("_") and name != "Out":
            runs |= {str(each): run for each, run in named.items()
                     if isinstance(run, Run) and run.task in SHOWN and run not in runs.values()}  # fmt: skip
    return runs


def cockpit(
    folder: Path | str = "runs", task: str = "segmentation", data: Path | str = "", profile: str | None = None,
    **settings: Any
) -> Cockpit:  # fmt: skip
    """The cockpit of the runs in a folder, which is made when the first run is started, and of those of the notebook.

    A second one on the same folder takes over from the first, so that a closed tab can be opened again. The controls
    begin with `task`, `data` (a folder; empty: what `load()` finds) and `profile` (None: as `I2PEMD_PROFILE` says), and
    new runs have these `settings`, such as `steps=120`.
    """
    if task not in SHOWN:
        raise BadInput(f"task: expected one of {', '.join(SHOWN)}, found {task!r}; choose one of these")
    place = Path(folder).resolve()
    _opened[place] = Cockpit(folder, task, str(data), profile, _opened.get(place), **settings)
    return _opened[place]


_opened = {}  # folder -> the cockpit that was opened on it last
