"""Trainings in this process that are watched and steered while they run.

A run waits for whoever asks for its next step, so a panel pauses it by not asking. Settings that a step reads afresh,
such as λ, are bound to a slider.
"""

import asyncio
import contextlib
import time

import ipywidgets as widgets

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import curves
from i2pemd_lite.panels.engine.panel import Panel
from i2pemd_lite.panels.engine.slider import slider
from i2pemd_lite.runs import brought
from i2pemd_lite.runs.run import Run
from i2pemd_lite.text import bar, duration

PERIOD = 0.4  # seconds between two pictures


class Training(Panel):
    """Curves of runs, with a slider for λ where the chosen one reads it, and a button that trains and pauses.

    At most four runs are drawn: the chosen one and the last others, or the one that is chosen beside it.
    `panel(joint=joint, ours=ours).go(run="ours")` trains one of them.

    look : how the runs of their task are drawn, `curves.Shown`; G is drawn where there are no counts
    runs : dict of name -> Run of that task
    """

    def __init__(self, look: curves.Shown, runs: dict[str, Run]):
        if not runs:
            raise BadInput("runs: expected at least one, found none; give some by their names, as in panel(ours=ours)")
        self.task, self.look, self.runs = look.task, look, dict(runs)
        controls = curves.controls(look, runs)
        controls["weight"] = slider("λ of this run", 1.0, 0.0, 4.0, 0.05)
        controls["run"].observe(lambda _: self._follow(), "value")
        controls["weight"].observe(self._weigh, "value")
        self.button = widgets.Button(description="Train", tooltip="Train the chosen run, or pause it")
        self.button.on_click(lambda _: self._toggle())
        self._task, self._following, self.controls = None, False, controls
        self._follow()
        layout = [["run", "weight", "show"], ["measure", "beside", "smooth"], ["zoom", "at"]]
        super().__init__("training", controls, self._look, draw, describe, layout, size=(9.4, 3.3), shows=self._acting)
        self.children = [self.button, *self.children]

    @property
    def chosen(self) -> Run:
        """The run that is chosen."""
        return self.runs[self.controls["run"].value]

    def _follow(self):
        """Move the slider to the λ of the chosen run, which may lie beyond its ends and stays as it is."""
        self._following = True
        self.controls["weight"].value = self.chosen.settings.weight
        self._following = False

    def _acting(self, state):
        return state.keys() - self.task.ignored(self.runs[state["run"]].settings.method)

    def _weigh(self, change):
        if not self._following:
            self.chosen.settings.weight = change["new"]

    def add(self, name: str, run: Run) -> Run:
        """Draw one more run, such as a fork, choose it, and give it back."""
        self.runs[name] = run
        self.offer("beside", [curves.OTHERS, *self.runs], self.state["beside"])
        self.offer("run", list(self.runs), name)
        self.refresh()
        return run

    def bring(self, name: str) -> bool:
        """Draw the runs that come with the course under this name in place of these, and those that were forked from
        them; whether they are drawn, which a line says (`runs.brought`). They are in `runs`. None that was trained here
        is replaced."""
        there = {each for each, run in self.runs.items() if run.brought}
        if there and there.issuperset(brought.names(name)):
            if not name:
                print("These runs came with the course. To train them yourself, run the lesson from its first cell.")
            return True
        if name and (mine := [each for each, run in self.runs.items() if run.number > 1]):  # a step is a look at one
            print(f"{', '.join(mine)}: trained here, so the course's runs are not put in their place. To see those, "
                  "run the lesson from its first cell.")  # fmt: skip
            return False
        first = next(iter(self.runs.values()))
        wanted = dict.fromkeys(brought.names(name)) | {each: run.settings for each, run in self.runs.items()}
        folder = first.folder and first.folder.parent
        found = brought.bring(self.task, name, first.learner.data, folder, wanted)
        self.runs |= found
        self.add(self.state["run"], self.chosen)
        return bool(found)

    def go(self, step: int | None = None, run: str | None = None) -> None:
        """Train a run (the chosen one) to a step, or to its end, with the picture and a bar following."""
        if run is not None:
            self.controls["run"].value = run
        name, chosen = self.controls["run"].value, self.chosen
        last = len(chosen) if step is None else min(len(chosen), step)
        with chosen.pausing(name):
            for _ in bar(self._train(last), f"training {name}", "step", last, chosen.number, stop="pause",
                         known=lambda: chosen.number):  # fmt: skip
                pass

    def _train(self, last):
        run, drawn = self.chosen, 0.0
        self._follow()
        try:
            while run.number < last:
                next(run)
                if time.monotonic() - drawn > PERIOD:
                    self.refresh()
                    drawn = time.monotonic()
                yield
        finally:
            self.refresh()

    def _toggle(self):
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self.background())
        else:
            self._task.cancel()

    async def background(self) -> None:
        """Train the chosen run between other events, so that every control goes on working; the button's work."""
        self.button.description = "Pause"
        try:
            with contextlib.closing(self._train(len(self.chosen))) as steps:
                for _ in steps:
                    await asyncio.sleep(0.01)  # the kernel reads moved sliders and clicks here
        except Exception as error:
            self._report(error)
            raise
        finally:
            self.button.description, self._task = "Train", None

    def _look(self, state):
        """What `curves.watched` says, and of the chosen `run` its name, the steps `done` and in all, and G."""
        for run in self.runs.values():
            with contextlib.suppress(FloatingPointError):  # which its next save says; the steps before it are drawn
                run.fetch()
        about = {name: (run.settings.profile, len(run)) for name, run in self.runs.items()}
        result, run = curves.watched(self.look, self.runs, state, about), self.runs[state["run"]]
        result.run, result.done, result.left = state["run"], (run.number, len(run)), run.seconds_left
        result.per = getattr(run.settings, "unlabelled", 0)
        result.counts = [line._replace(y=line.y / result.per, style=i) for i, line in enumerate(result.counts)]
        result.ground = run.learner.bank.ground_distance().cpu().numpy()
        return result


def draw(card, result):
    """Losses on a logarithmic scale, figures in percent, and between them counts where there are some, else G."""
    boxes = [[0.05 + 0.335 * i, 0.14, 0.235, 0.72] for i in range(3)]
    curves.draw_watched(card, result, boxes[0], boxes[2 if result.counts else 1])
    if result.counts:
        title = f"Part of the {result.per} unlabelled"
        curves.draw_curves(card, "counts", boxes[1], result.counts, result.window, title, (0, 1.02))
    else:
        curves.draw_ground(card, [0.755, 0.06, 0.24, 0.75], result.ground, result.classes)


def describe(result):
    """Where the runs stand, in words and numbers."""
    words, numbers = curves.told(result)
    step, left = "{} of {}".format(*result.done), "-" if result.left is None else duration(result.left)
    return f"Run {result.run} has done {step} steps. {words}", {"step": step, "time left": left, **numbers}
