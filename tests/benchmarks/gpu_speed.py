"""The stage "speed": what losses and steps take, beside what else there is and beside the limits of the card."""

import functools
import statistics
import time
from importlib import import_module
from importlib.util import find_spec

import torch
from gpu_check import OURS, device, memory, precisions, started
from loss import loss_table
from skin import skin_rows
from step import flops, step_rows
from timing import OUTSIDE, Marks, timed

from i2pemd_lite.files import root

LARGE = {"gpu": (2**30, 8192), "ci": (2**22, 256)}
"""Bytes that are copied, and the side of the matrices that are multiplied, to know what the card can."""
TRAINS = {
    "05": {"segmentation joint": 3000, "segmentation joint_sepbn_i2pemd": 3000},
    "06": {"classification baseline": 6000, "classification fixmatch": 5000, "classification i2pemd": 5000,
           "classification mean_teacher": 5000},
    "07": {"segmentation joint_sepbn": 15000, "segmentation joint_sepbn_i2pemd": 15000,
           "classification baseline": 25000, "classification fixmatch": 25000, "classification i2pemd": 25000},
}  # fmt: skip
"""Lesson -> how many steps of which method it trains under the gpu profile, as its notebook says."""


def todo(kit):
    """{what is timed: the function that does}."""
    quick = kit.profile == "ci"
    found = {"limits": functools.partial(limits, *LARGE[kit.profile])}
    found["losses"] = lambda: {"rows": loss_table(quick, [device()])}
    for task in OURS:
        for method in import_module(f"i2pemd_lite.{task}").METHODS:
            found[f"{task} {method}"] = functools.partial(steps, task, method, kit.profile)
    for task, method in OURS.items():
        found[f"{task}: longest kernels"] = functools.partial(kernels, task, method, kit.profile)
    found["segmentation beside other loops"] = lambda: {"rows": step_rows(quick, 1 if quick else 8)}
    found["classification beside other loops"] = lambda: {"rows": skin_rows(quick, 1 if quick else 3)}
    if not quick and find_spec("nbclient"):
        for path in sorted((root() / "notebooks").glob("0*.ipynb")):
            if path.name[:2] not in TRAINS:
                found[f"lesson {path.name[:2]}"] = functools.partial(lesson, path)
    return found


def lesson(path):
    """Seconds that a lesson takes under the gpu profile."""
    from lessons import run

    return {"seconds": run(path, "gpu")[0]}


def limits(size, side):
    """TB/s of a copy, counting both ways, and TFLOP/s of a product of matrices in the fastest precision."""
    source = torch.empty(size, dtype=torch.uint8, device=device())
    target = torch.empty_like(source)
    x = torch.randn(side, side, device=device(), dtype=getattr(torch, precisions()[-1]))
    milliseconds = [
        min(timed(function, device()) for _ in range(10)) for function in (lambda: target.copy_(source), lambda: x @ x)
    ]
    return {"TB/s": 2 * size / milliseconds[0] / 1e9, "TFLOP/s": 2 * side**3 / milliseconds[1] / 1e9}


def steps(task, method, name):
    """Milliseconds of a step in each precision; memory; in the last one patches or images a second, the share of time
    outside forward, backward and optimiser, and TFLOP."""
    row, run = {}, None
    for precision in precisions():
        run = None
        run = started(task, method, name, precision=precision)
        s, (turns, few) = run.settings, (1, 1) if name == "ci" else (3, 10)
        for _ in range(turns):
            next(run)
        _wait()
        taken, before = [], time.perf_counter()
        for _ in range(turns):
            for _ in range(few):  # in a row: the host runs ahead of the device, as in a training
                next(run)
            _wait()
            now = time.perf_counter()
            taken.append(1e3 * (now - before) / few)
            before = now
        row |= {f"ms {precision}": statistics.median(taken)} | memory(run, precision)
    if task == "segmentation":
        row["patches a second"] = 2e3 * s.batch / row[f"ms {precision}"]
    else:
        both = run.learner.method.unlabelled or run.learner.method.labels == "all"
        row["images a second"] = 1e3 * (s.labelled + both * s.unlabelled) / row[f"ms {precision}"]
    marks = Marks(run)
    for _ in range(few):
        marks.turn(lambda: next(run))
    _wait()
    row["% outside"] = 100 * marks.shares()[OUTSIDE]
    row["parameters"], row["TFLOP"] = sum(p.numel() for p in run.parameters), flops(lambda: next(run)) / 1e12
    return row


def kernels(task, method, name):
    """The ten kernels, on a CPU operations, that take longest in a step, and all together, by torch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    run, cuda, count = started(task, method, name), torch.device(device()).type == "cuda", 1 if name == "ci" else 3
    next(run)
    _wait()
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    with profile(activities=activities) as seen:
        for _ in range(count):
            next(run)
        _wait()
    where, spent = ("CUDA", "self_device_time_total") if cuda else ("CPU", "self_cpu_time_total")
    events = [event for event in seen.key_averages() if event.device_type.name == where]
    events = [event for event in events if not event.is_user_annotation]
    spent = {event.key: getattr(event, spent) / 1e3 / count for event in events}
    calls = {event.key: event.count / count for event in events}
    rows = [{"kernel": key[:90], "ms a step": spent[key], "calls a step": calls[key]}
            for key in sorted(spent, key=spent.get, reverse=True)[:10]]  # fmt: skip
    return {"rows": [*rows, {"kernel": "all", "ms a step": sum(spent.values()), "calls a step": sum(calls.values())}]}


def _wait():
    if torch.device(device()).type == "cuda":
        torch.cuda.synchronize(device())
