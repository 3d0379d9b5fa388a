"""What a second worker gains a sweep, and what Optuna and the sweep cost beside the training."""

import contextlib
import tempfile
import time
from unittest.mock import patch

import torch

from i2pemd_lite.runs.run import Run
from i2pemd_lite.sweeps import Sweep
from i2pemd_lite.tables.results import begun

VARY = {"weight": "log:0.1:10", "momentum": "0.5,0.8,0.95"}


def made(folder, trials, steps, **more):
    """A sweep whose trials all take equally long."""
    chosen = {"profile": "ci", "steps": steps, "evaluate_every": max(1, steps // 3), "checkpoint_every": steps} | more
    return Sweep(folder, "classification", "i2pemd", VARY, **chosen).planned(trials=trials, prune="median")


def seconds(workers, trials, steps):
    """How long so many processes take for all trials, once the first of them has begun: their start is left out."""
    with tempfile.TemporaryDirectory() as folder:
        sweep = made(folder, trials, steps)
        processes = sweep.start(workers)
        while not begun(sweep.run_folder(0, 0)):
            time.sleep(0.01)
            if processes[0].poll():
                raise RuntimeError("a worker failed; see what it printed above")
        began = time.perf_counter()
        for process in processes:
            process.wait()
        return time.perf_counter() - began


def own_share(trials, steps):
    """(CPU milliseconds of a trial that are not of its run's steps, nor of opening it and its data; all of them)."""
    spent, threads = [0.0], torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker has; several that wait for each other would count as busy

    def timed(function):
        def call(*given, **named):
            began = time.process_time()
            try:
                return function(*given, **named)
            finally:
                spent[0] += time.process_time() - began

        return call

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as patched:
        sweep = made(folder, 1, steps).work(say=str)  # what is loaded once
        patched.enter_context(patch.object(Run, "__next__", timed(Run.__next__)))
        for verb in ("train", "prepared"):
            patched.enter_context(patch.object(type(sweep.task), verb, timed(getattr(type(sweep.task), verb))))
        began = time.process_time()
        sweep.planned(trials=1 + trials).work(say=str)
        total = time.process_time() - began
    torch.set_num_threads(threads)
    return 1000 * (total - spent[0]) / trials, 1000 * total / trials


def sweep_rows(quick):
    """The rows: one worker, two, how much faster these are, and what is not training."""
    trials, steps = (2, 2) if quick else (4, 60)
    one, two = (seconds(workers, trials, steps) for workers in (1, 2))
    where = f"{trials} trials of {steps} steps"
    own, whole = own_share(trials, steps)
    return [
        {"what": "one worker", "where": where, "time": one, "unit": "s"},
        {"what": "two workers", "where": where, "time": two, "unit": "s", "times as fast": one / two},
        {"what": "not training", "where": "a trial", "time": own, "unit": "ms", "percent of it": 100 * own / whole},
    ]
