"""Trainings in this process that are watched and steered while they run.

A run waits for whoever asks for its next step, so a panel pauses it by not asking. Settings that a step reads afresh,
such as λ, are bound to a slider.
"""

import asyncio
import contextlib
import time
from types import SimpleNamespace

import ipywidgets as widgets
import numpy as np

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.curves import ALL, LINES, draw_curves, last_values, loss_lines, score_lines
from i2pemd_lite.panels.engine.panel import Panel
from i2pemd_lite.panels.engine.slider import choice, slider

PERIOD = 0.4  # seconds between two pictures
BESIDE = tuple(f"beside {n}" for n in range(1, len(LINES)))
NOBODY = "nobody"


class Training(Panel):
    """Curves of runs, with a slider for λ and a button that trains and pauses.

    Parameters
    ----------
    runs : dict of name -> Run of one task: one to four, or `many`, of which the chosen one and up to three that are
        named beside it are drawn
    terms : tuple of `Terms`: the losses, and where there are some the counts
    measures : dict of words -> column of the evaluations
    classes : names for the rows of the ground distance, which is drawn when there are no counts
    """

    def __init__(self, runs, terms, measures, classes, many=False):
        self.runs, self.beside = dict(runs), BESIDE if many else ()
        self.terms, self.measures, self.classes = terms, measures, classes
        self._count(len(runs))
        first, *others = runs
        controls = {
            "run": choice("run", list(runs), first),
            "show": choice("losses", [ALL, *terms[0].names], ALL),
            "smooth": slider("mean over (steps)", 5, 1, 50, 1),
            "measure": choice("held back", list(measures), next(iter(measures))),
            "weight": slider("λ of this run", float(runs[first].settings.weight), 0.0, 4.0, 0.05),
        }
        for name, other in zip(self.beside, others, strict=False):
            controls[name] = choice(name, [NOBODY, *runs], other)
        controls["run"].observe(lambda _: self._follow(), "value")
        controls["weight"].observe(self._weigh, "value")
        self.button = widgets.Button(description="Train", tooltip="Train the chosen run, or pause it")
        self.button.on_click(lambda _: self._toggle())
        self._task, self._following = None, False
        layout = [["run", "weight", "show"], ["measure", "smooth"]] + [BESIDE] * many
        super().__init__("training", controls, self._look, self._paint, describe, layout, size=(9.4, 3.3))
        self.children = [self.button, *self.children]

    def _count(self, runs):
        if not 1 <= runs <= len(LINES) and not self.beside:
            raise BadInput(f"runs: expected one to {len(LINES)}, found {runs}; open another panel")

    @property
    def chosen(self):
        """The run that is chosen."""
        return self.runs[self.controls["run"].value]

    def _follow(self):
        """Move the slider to the λ of the chosen run, which may lie beyond its ends and stays as it is."""
        self._following = True
        self.controls["weight"].value = self.chosen.settings.weight
        self._following = False

    def _weigh(self, change):
        if not self._following:
            self.chosen.settings.weight = change["new"]

    def add(self, name, run):
        """Draw one more run, such as a fork, and choose it."""
        self._count(len({*self.runs, name}))
        self.runs[name] = run
        for beside in self.beside:
            self.offer(beside, [NOBODY, *self.runs], self.controls[beside].value)
        self.offer("run", list(self.runs), name)
        self.refresh()

    def go(self, step=None, run=None):
        """Train a run (the chosen one) to a step, or to its end, with the picture following."""
        if run is not None:
            self.controls["run"].value = run
        for _ in self._train(step):
            pass

    def _train(self, step=None):
        run, drawn = self.chosen, 0.0
        last = len(run) if step is None else min(len(run), step)
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

    async def background(self):
        """Train the chosen run between other events, so that every control goes on working; the button's work."""
        self.button.description = "Pause"
        try:
            with contextlib.closing(self._train()) as steps:
                for _ in steps:
                    await asyncio.sleep(0.01)  # the kernel reads moved sliders and clicks here
        except Exception as error:
            self._report(error)
            raise
        finally:
            self.button.description, self._task = "Train", None

    def _look(self, state):
        """What the card shows of the chosen `run` and those beside it.

        groups: lists of `Line`, losses, counts where there are some, figures on held-back data
        changes: (step, λ) of the chosen run, where λ changed;  done: run -> (steps done, steps in all)
        """
        runs, run, smooth = self.runs, state["run"], state["smooth"]
        if self.beside:
            names = dict.fromkeys([run, *(state[name] for name in self.beside)])
            runs = {name: self.runs[name] for name in names if name != NOBODY}
        for each in runs.values():
            with contextlib.suppress(FloatingPointError):  # which its next save says; the steps before it are drawn
                each.fetch()
        chosen = runs[run]
        groups = [loss_lines(runs, run, state["show"], self.terms[0].names, smooth)]
        for counts in self.terms[1:]:
            lines = loss_lines({run: chosen}, run, ALL, counts.names, smooth)
            groups.append([line._replace(label=line.label.replace("_", ", "), y=line.y / counts.per, run=i)
                           for i, line in enumerate(lines)])  # fmt: skip
        groups.append(score_lines(runs, run, self.measures[state["measure"]]))
        bank = getattr(chosen.learner, "bank", None)
        ground = None if len(self.terms) > 1 or bank is None else bank.ground_distance().cpu().numpy()
        done = {name: (each.number, len(each)) for name, each in runs.items()}
        return SimpleNamespace(run=run, groups=groups, changes=chosen.lambdas[1:], ground=ground, done=done,
                               measure=state["measure"])  # fmt: skip

    def _paint(self, card, result):
        """Losses on a logarithmic scale, counts where there are some, figures in percent, and else G."""
        boxes = [[0.05 + 0.335 * i, 0.14, 0.235, 0.72] for i in range(3)]
        total = max(total for _, total in result.done.values())
        losses, *counts, scores = result.groups
        draw_curves(card, "losses", boxes[0], losses, total, self.terms[0].title, changes=result.changes)
        for lines in counts:
            draw_curves(card, "counts", boxes[1], lines, total, self.terms[1].title, (0, 1.02))
        title = f"{result.measure} on held-back data (%)"
        draw_curves(card, "scores", boxes[len(self.terms)], scores, total, title, (0, 102))
        if not counts:
            ground = np.zeros((len(self.classes),) * 2) if result.ground is None else result.ground
            matrix = card.plane("ground", [0.755, 0.06, 0.24, 0.75], "blank", title="G of this run, now (Eq. 5)")
            matrix.look(anchor="NW")
            matrix.matrix(ground, self.classes, self.classes)


def describe(result):
    """Where the runs stand, in words and numbers."""
    (number, total), measure = result.done[result.run], result.measure
    *others, scores = result.groups
    scores = last_values(scores, ".1f")
    written = ", ".join(f"{name} {value}" for name, value in scores.items())
    words = f"Run {result.run} has done {number} of {total} steps. " + (
        f"{measure} on held-back data, in percent: {written}." if scores else "Nothing was evaluated yet."
    )
    numbers = {"step": f"{number} of {total}", **last_values(sum(others, []), ".3g")}
    return words, numbers | {f"{measure}, {name}": value for name, value in scores.items()}
