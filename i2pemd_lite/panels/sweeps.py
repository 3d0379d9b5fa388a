"""A sweep at a glance: what each trial reached, with the spread of its seeds, and Optuna's own pictures of all trials.

The trials are trained by processes of their own, which outlive the notebook (`i2pemd_lite.sweeps`): close the browser,
open the panel on the same folder again, and it shows how far they are.
"""

import asyncio
import contextlib
import json
import os
from functools import partial
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ipywidgets as widgets
import numpy as np

from i2pemd_lite import sweeps
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import workbench
from i2pemd_lite.panels.cockpit import LIVE, RATES, Cockpit, cockpit
from i2pemd_lite.panels.curves import ends, said
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import KEYBOARD, Panel, alert, choice, slider, steps
from i2pemd_lite.runs import module_of
from i2pemd_lite.runs.watch import saved
from i2pemd_lite.tables.report import html_table

GREY = style.THEMES["light"]["grey"]  # seen on either page; plotly knows no variables
PERIOD = 2.0  # seconds between two looks at a sweep that is being trained
PICTURES = {
    "none": None, "importance": "plot_param_importances", "slices": "plot_slice", "contours": "plot_contour",
    "parallel coordinates": "plot_parallel_coordinate",
}  # fmt: skip
CHOSEN = ("trial", "with", "against", "order")  # of the trials, which Reset leaves
BEST = [("the best", "best")]
BUTTONS = {  # what it does, and how the page says it
    "Start": ("begin", "Train trials in processes of their own, or go on"),
    "Pause": ("pause", "Save the trials that are in training, and end the processes; Start goes on with them"),
    "Stop": ("stop", "Finish the trials that are in training, and begin no other; Start goes on with more trials"),
    "Use these settings": ("use", "Show the chosen trial's settings as a command, as Python and as JSON"),
    "Open in the cockpit": ("open_cockpit", "Show the chosen trial's runs below, to compare or to steer a copy"),
    "Vary another setting": ("vary_another", "Give one more setting a range"),
}
INTRO = "Press Start: {} trials are then trained in processes of their own{}."


def _ranges(state):
    """[(" 2", setting, from, to)] of each row of a new sweep's controls; without a setting where none is chosen."""
    rows = [name.removeprefix("vary") for name in state if name.startswith("vary")]
    return [(row, *(state[f"{name}{row}"] for name in ("vary", "low", "high"))) for row in rows]


def compute(sweep, state, going=0):
    """The trials of a sweep as arrays: `x` (the setting in state's `against`), `mean`, `sd` over `seeds`, `curves`.

    going : how many processes are known to be there, whether they have a trial or not
    """
    rows = [] if sweep is None else sweep.rows()
    result = SimpleNamespace(rows=rows, x=np.zeros(0), log=False, curves=[], busy=[], sweep=sweep, goal="", chosen=None)
    if sweep is None:
        ranges = " and ".join(f"{said(name)} from {low:g} to {high:g}" for _, name, low, high in _ranges(state) if name)
        result.words = INTRO.format(state["trials"], f", with {ranges}" * bool(ranges))
        return result
    result.goal, result.busy, result.words, best = sweep.about["goal"], sweep.at_work(), str(sweep), sweep.ranked()[:2]
    pair = [next(iter(best), None) if state[name] == "best" else state[name] for name in ("trial", "with")]
    result.chosen, other = pair
    if None not in pair and len({*pair}) == 2 and {*pair} != {*best}:  # of whom the first words are
        result.words += f" {sweep.compared(result.chosen, other)}"
    for name in sweep.about["vary"]:
        result.words = result.words.replace(f", {name} ", f", {said(name)} ")
    if (going or result.busy) and sweep.paused.exists():
        result.words += " It is pausing: what is in training is saved first."
    elif result.busy and len(rows) >= sweep.most:
        result.words += " No other trial begins after those that are in training."
    elif going and not (result.busy or sweep.over):
        result.words += f" {going} process{' is' if going == 1 else 'es are'} starting."
    for row in rows:
        if row["state"] == "running":
            row["state"] = "in training" if row["trial"] in result.busy else "waiting"
    result.against, column, result.alone = state["against"], state["order"], len(sweep.about["vary"]) == 1
    told = sweep.about["vary"][result.against][1]
    result.log, result.named = told.get("log", False), [v for v in told.get("choices", ()) if isinstance(v, str)]
    places = {"": np.nan, None: np.nan} | {name: place for place, name in enumerate(result.named)}

    def numbers(values):
        return np.array([places.get(value, value) for value in values], float)

    heads = result.against, result.goal, "sd", *(f"seed {seed}" for seed in sweep.about["seeds"])
    result.x, result.mean, result.sd, *result.seeds = (numbers([row[head] for row in rows]) for head in heads)
    result.across = numbers(told.get("choices") or (told["low"], told["high"]))
    result.curves = [sorted(trial.intermediate_values.items()) for trial in sweep.study.get_trials(deepcopy=False)]
    known = [row["trial"] for row in rows if row[column] not in ("", None)]
    known.sort(key=lambda number: rows[number][column], reverse=column == result.goal)  # the best first
    result.order = known + [row["trial"] for row in rows if row["trial"] not in known]
    return result


def draw(card, result):
    """On the left a point for each trial, with its SD, and a line for each seed; on the right how each trial went."""
    if not result.rows:
        card.paper.text(0.5, 0.5, result.words, ha="center")
        return
    known = np.isfinite(result.mean)
    sd, x = np.nan_to_num(result.sd), result.x[known]
    spread = np.concatenate([result.mean - sd, result.mean + sd, *result.seeds])
    xlim, look = ends(np.log10(result.across) if result.log else result.across), {}
    if result.log:
        xlim, look = [10**end for end in xlim], {"xscale": "log"}
    if result.named:
        look = {"xticks": range(len(result.named)), "xticklabels": result.named}
    title = f"{result.goal}, mean ± SD over seeds{'; grey: each seed' * result.alone}"
    plane = card.plane("trials", [0.07, 0.17, 0.42, 0.7], xlim=xlim, ylim=ends(spread), xlabel=said(result.against),
                       title=title, **look)  # fmt: skip
    for values in result.seeds if result.alone else ():
        plane.line(np.sort(x), values[known][np.argsort(x)], color=style.GREY, lw=1)
    pairs = zip(x, (result.mean - sd)[known], (result.mean + sd)[known], strict=True)
    plane.segments([[(at, low), (at, high)] for at, low, high in pairs], color=style.BLUE, lw=1.2)
    plane.points(x, result.mean[known], color=style.BLUE, marker="o", ms=6)
    steps_done = [step for curve in result.curves for step, _ in curve]
    levels = np.array([value for curve in result.curves for _, value in curve])
    beside = card.plane("curves", [0.565, 0.17, 0.42, 0.7], xlim=(0, max(steps_done, default=1)), ylim=ends(levels),
                        xlabel="step", title=f"{result.goal} at each evaluation")  # fmt: skip
    chosen = np.arange(len(result.rows)) == result.chosen
    for number in np.argsort(chosen, kind="stable"):  # the chosen one above the others
        if curve := result.curves[number]:
            color, more = (style.ORANGE, 1) if chosen[number] else (style.GREY, 0)
            beside.line(*np.transpose(curve), color=color, lw=1 + more, marker="o", ms=3 + more)
    if (at := chosen & known).any():
        ring = {"marker": "o", "mfc": "none", "mec": style.ORANGE, "mew": 2.0, "ms": 12}
        plane.points(result.x[at], result.mean[at], color=style.ORANGE, **ring)


def describe(result):
    """What the lead of the best trial is worth, and how many trials there are."""
    states = [row["state"] for row in result.rows]
    busy = f" In training now: {', '.join(f'trial {n}' for n in result.busy)}." * bool(result.busy)
    numbers = {"trials": len(states), "complete": states.count("complete"), "in training": len(result.busy)}
    return result.words + busy, numbers | {name: states.count(name) for name in ("pruned", "fail")}


def point(card, result, at, pressed):
    """The trial that is nearest to a touch of the left picture."""
    if not (pressed and result.rows and (place := card.planes["trials"].place(at)) is not None):
        return {}
    x, place = (np.log10(result.x), np.log10(place[0])) if result.log else (result.x, place[0])
    away = np.where(np.isfinite(result.mean), np.abs(x - place), np.inf)
    return {"trial": int(away.argmin())} if np.isfinite(away.min()) else {}


class Sweeping(Panel):
    """The panel of a sweep: controls of a new one, buttons, the picture, Optuna's, and a table that is sorted."""

    sweep: Any
    result: Any

    def __init__(self, folder: Path | str, asked: dict[str, Any], data: Path | str | None, start: dict[str, Any]):
        self.folder, self._asked, self._data, self._workers = Path(folder), asked, data, []
        self.sweep = self.live = self._task = self._told = None
        if not asked or (self.folder / "study.log").is_file():
            self.sweep = sweeps.Sweep(folder, **asked)
        self._ends, new = {} if self.sweep or "vary" in asked else _ends(asked), {}
        for row in range(len(self._ends)):
            more, names = f" {row + 1}" * (row > 0), [(said(name), name) for name in self._ends]
            names = [("nothing more", "")] * (row > 0) + names
            new[f"vary{more}"] = choice(f"vary{more}", names, names[0][1]).add_class("i2pemd-wide")
            for name, label, at in (("low", "from", 0), ("high", "to", -1)):
                values = next(iter(self._ends.values()))
                new[f"{name}{more}"] = steps(f"{label}{more}", values, values[at])
            new[f"vary{more}"].observe(partial(self._other, more), "value")
        plan = self.sweep.plan["trials"] if self.sweep else 12
        self._planned = self.sweep and plan
        controls = new | {
            "trials": slider("trials", plan, 1, max(100, plan), 1),
            "workers": slider("processes", min(2, os.cpu_count() or 1), 1, max(2, os.cpu_count() or 1), 1),
            "trial": choice("trial", BEST, "best"),
            "with": choice("compare with", BEST, "best"),
            "against": choice("against", [("", "")], ""),
            "order": choice("sort by", [("number", "trial")], "trial"),
            "picture": choice("Optuna's picture", [(name, name) for name in PICTURES], "none"),
        }
        look = {"display": "none", "width": "98%", "height": "300px"}
        self.table, self.said, self.buttons = widgets.HTML(), widgets.Textarea(description="to copy", layout=look), {}
        for label, (do, words) in BUTTONS.items():
            self.buttons[label] = widgets.Button(description=label, tooltip=words, layout={"width": "auto"})
            self.buttons[label].on_click(lambda _, do=do: self._try(getattr(self, do)))
        super().__init__("sweep", controls, lambda state: compute(self.sweep, state, self.going), draw, describe, None,
                         (9.4, 3.4), point, None, self._counting, first=len(controls))  # fmt: skip
        self._hint = f"Click on a point to choose its trial. {KEYBOARD}"
        self.children = [widgets.HBox(list(self.buttons.values())), *self.children, self.said, self.table]
        self.set(**{name: value for name, value in start.items() if not (self.sweep and name == "trials")})
        self._start = {name: value for name, value in self.state.items() if name not in CHOSEN}
        self.watch()

    def _counting(self, state):
        """The ranges count before there is a sweep, and what is chosen of its trials from then on."""
        rows = [row for row, name, *_ in _ranges(state) if self.sweep or not name]
        gone = [f"{name}{row}" for row in rows for name in ("vary", "low", "high")]
        return state.keys() - {*gone, *(() if self.sweep else (*CHOSEN, "picture"))}

    def _try(self, do):
        try:
            do()
        except (BadInput, OSError) as error:
            self._say(alert(error, "This did not work."))

    def _other(self, more, change):
        for name, at in (("low", 0), ("high", -1)):
            values = self._ends[change["new"] or next(iter(self._ends))]
            self.offer(f"{name}{more}", values, values[at])

    def vary_another(self) -> None:
        """Give a setting that is not varied yet a range."""
        rows = {name: row for row, name, *_ in reversed(_ranges(self.state))}
        self.set(**{"vary" + rows[""]: next(name for name in self._ends if name not in rows)})

    def begin(self) -> None:
        """Start processes, on a new sweep where there is none yet; `BadInput` while some are at work."""
        state = self.state
        if self.sweep is None:
            ranges = [(name, low, high) for _, name, low, high in _ranges(state) if name]
            vary = {name: "log:" * (name == "learning_rate") + f"{low}:{high}" for name, low, high in ranges}
            if len(vary) < len(ranges):
                found = f"{', '.join(said(name) for name, *_ in ranges)}; choose another one, or nothing more"
                raise BadInput(f"vary: expected each setting once, found {found}")
            asked: dict[str, Any] = {"vary": vary} | self._asked
            self.sweep = sweeps.Sweep(self.folder, **asked)
        if self.going or self.sweep.at_work():
            found = "some; press Pause, and wait until they have saved"
            raise BadInput(f"{self.folder}: expected a sweep on which no process is at work, found {found}")
        moved = state["trials"] != self._planned
        self.sweep.planned(trials=state["trials"] if moved else None, data=self._data)
        if self.sweep.over:
            found = f"a plan of {self.sweep.most}, which are finished; move the slider of the trials up"
            raise BadInput(f"trials: expected some that are to be trained, found {found}")
        with open(self.folder / "workers.log", "wb") as log:
            self._workers = self.sweep.start(state["workers"], stdout=log, stderr=log, start_new_session=True)
        self.refresh()
        self.watch()

    def pause(self) -> None:
        """Let all processes save and end, also those that another notebook started."""
        self.sweep.paused.touch()
        self.refresh()

    def stop(self) -> None:
        """Let all processes finish the trials that are in training, and end."""
        self.sweep.stop()
        self.refresh()

    @property
    def trial(self) -> Any:
        """The chosen trial, else the best one; `BadInput` where there is none."""
        if self.result.chosen is None:
            raise BadInput("trial: expected a chosen trial, found none; start the sweep, then click on a point")
        return self.sweep.study.trials[self.result.chosen]

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the chosen trial, for `train(method, data, **panel.settings)`; the seed is yours to choose."""
        params, about = self.trial.params, self.sweep.about
        return {"profile": about["profile"], **about["settings"], **params}

    def run_folder(self) -> Path:
        """The folder of the first run of the chosen trial, or of the one it is the same as."""
        number = self.trial.user_attrs.get("same", self.trial.number)
        return self.sweep.run_folder(number, self.sweep.about["seeds"][0])

    def use(self) -> None:
        """Show how to train the chosen trial's first run: a command, Python, and all its settings as JSON."""
        run, to, about = saved(self.run_folder()), Path("runs") / f"trial{self.trial.number}", self.sweep.about
        by_name = f"run = {about['task']}.train({about['method']!r}, data, seed=0, **panel.settings)"
        parts = {f"Trial {self.trial.number} in a terminal": workbench.command(run, to),
                 "In Python": workbench.python(run, to).rstrip(),
                 "With a seed and data of your choice, where this panel is called panel": by_name,
                 "All its settings as JSON": json.dumps(run.settings)}  # fmt: skip
        self.said.value = "\n\n".join(f"# {title}:\n{words}" for title, words in parts.items())
        self.said.layout.display = ""

    def open_cockpit(self) -> None:
        """Show the runs of the chosen trial in a cockpit below."""
        others = [child for child in self.children if not isinstance(child, Cockpit)]
        self.children = [*others, cockpit(self.run_folder().parent, self.sweep.about["task"])]

    def watch(self) -> None:
        """Look again until all trials are finished or somebody pauses; in plain Python nobody does, but `refresh`."""
        if self.sweep is not None and (self._task is None or self._task.done()):
            with contextlib.suppress(RuntimeError):
                self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self):
        self._last = False
        while not self._last:
            await asyncio.sleep(PERIOD)
            self._try(self._look_again)

    def _look_again(self):
        over = self.sweep.over or self.sweep.paused.exists()
        self.refresh()
        self._last = over and not (self.going or self.result.busy)

    @property
    def going(self) -> int:
        """How many of the processes that this panel started are there."""
        return sum(worker.poll() is None for worker in self._workers)

    @property
    def complaint(self) -> str:
        """The last words of a process that ended by an error."""
        ended = [worker.poll() for worker in self._workers if worker.poll() not in (None, 0, 130)]
        if not ended:
            return ""
        log, why = self.folder / "workers.log", f"exit status {ended[-1]}; {self.folder / 'workers.log'} may say more"
        said = [why, *log.read_text(errors="replace").split("i2pemd_lite: ")[1:]]
        return alert(BadInput(said[-1].splitlines()[0]), "A process ended.")

    def refresh(self):
        if self.sweep is not None:
            rows, vary = self.sweep.rows(), [*self.sweep.about["vary"]]
            for name, options in {
                **dict.fromkeys(("trial", "with"), BEST + [(str(row["trial"]), row["trial"]) for row in rows]),
                "against": [(said(name), name) for name in vary],
                "picture": [(name, name) for name in PICTURES if len(vary) > 1 or name != "contours"],
                "order": [("number", "trial"), *((said(name), name) for name in (self.sweep.about["goal"], *vary))],
            }.items():
                if list(self.controls[name].options) != options:
                    now, values = self.controls[name].value, [value for _, value in options]
                    self.offer(name, options, now if now in values else values[0])
            if self._planned != (plan := self.sweep.plan["trials"]):  # here or by another panel
                self._planned, self.controls["trials"].max = plan, max(100, plan)
                self.controls["trials"].value = plan
        super().refresh()
        free = ["Vary another setting"] * ("" in {name for _, name, *_ in _ranges(self.state)})
        for label, button in self.buttons.items():
            button.layout.display = "" if label in ([*BUTTONS][:-1] if self.sweep else ["Start", *free]) else "none"
        if self.result is None or self.sweep is None:
            return
        heads = [head for head in (self.result.rows or [{}])[0] if head != "why"]
        cells = [[escape(sweeps.short(self.result.rows[i][head])) for head in heads] for i in self.result.order]
        self.table.value = html_table([*map(said, heads)], cells) if cells else ""
        self._show()

    def _show(self):
        """Optuna's picture, where one is asked for, with the SD over seeds on its points."""
        name = PICTURES[self.state["picture"]]
        figure = name and _optunas(self.result, name)
        others = [child for child in self.children if child is not self.live]
        if figure:
            if (told := figure.to_json()) != self._told:  # anew: one whose traces are changed may draw without them
                from plotly import graph_objects

                self._told, self.live = told, graph_objects.FigureWidget(figure).add_class("i2pemd-optuna")
            others.insert(others.index(self.image) + 1, self.live)
        self.children = others


def _optunas(result, name):
    """A picture of Optuna's in our style; None where there are too few trials for it."""
    from optuna import visualization

    if len({*result.mean[np.isfinite(result.mean)]}) < 2:
        return None
    figure = getattr(visualization, name)(result.sweep.study, target_name=result.goal)
    figure.update_layout(template="none", paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", title="",
                         margin={"l": 60, "r": 20, "t": 20, "b": 50})  # fmt: skip
    figure.update_coloraxes(colorscale="Cividis")
    if name == "plot_slice":
        for trace in figure.data:
            sd = np.nan_to_num(result.sd[list(trace.marker.color)])
            trace.update(error_y={"array": sd, "color": GREY}, marker_colorscale="Cividis")
    return figure


def _ends(asked):
    """{setting: what the ends of its range may be}, λ first: the numbers that act in a method and may change while a
    run goes on, and where their sliders in the cockpit stop, if a run can have it there."""
    task, ends = module_of(asked["task"]).TASK, {}
    own = {name: asked[name] for name in asked if name not in ("task", "method", "seeds", "goal", "profile")}
    base = task.settings_for(asked["method"], asked.get("profile"), changes=own)
    for name in sorted(task.settings.LIVE, key=lambda name: name != "weight"):
        if type(getattr(base, name)) is float and name not in task.ignored(asked["method"]):
            _, low, high, step = LIVE.get(name, (None, 0, 0, 1))
            values = np.linspace(low, high, round((high - low) / step) + 1).round(6).tolist()
            for value in values if name in LIVE else RATES[6:-2]:
                with contextlib.suppress(BadInput):
                    ends.setdefault(name, []).append(getattr(base.changed(**{name: value}), name))
    return ends


def panel(
    folder: Path | str, task: str = "segmentation", method: str | None = None, vary: dict | None = None,
    data: Path | str | None = None, **asked: Any
) -> Sweeping:  # fmt: skip
    """The panel of the sweep in a folder, or of a new one of a method, whose range you choose, unless `vary` says it.

    data : a folder, as for `train`;  asked : seeds, goal, profile and settings, as for `Sweep`, and values of controls,
        of which `trials` is for a new sweep

    Example: `sweeps.panel("sweeps/weight", "segmentation", "joint_sepbn_i2pemd", seeds=(0, 1, 2))`
    """
    start = {name: asked.pop(name) for name in ("trials", "workers", "against", "order", "picture") if name in asked}
    about = {"task": task, "method": method} | ({"vary": vary} if vary else {}) | asked
    return Sweeping(folder, about if method else {}, data, start)
