"""The stages "train" and "report": rows of Tables 1 and 4 by a short schedule, and a page of all that was found."""

import functools
import math
import re
from importlib import import_module

import gpu_check
import gpu_speed
import numpy as np
from gpu import PACKED, ROOT, TASKS
from gpu_check import EXACT, OURS, SMALLER, WITHIN, noise
from gpu_speed import TRAINS
from timing import OUTSIDE, markdown_lines

from i2pemd_lite.files import BadInput, atomic_write, read_json, write_json
from i2pemd_lite.tables.report import without_nan
from i2pemd_lite.tables.results import begun

FIRST = {
    "segmentation": ("joint_sepbn", "joint_sepbn_i2pemd", "joint", "ummkd"),
    "classification": ("fixmatch", "i2pemd", "baseline", "i2pemd_fix"),
}
"""The rows that are trained before the others."""
SHORT = {
    "segmentation": {"learning_rate": 2e-3, "schedule": "cosine", "init": "torch", "block_step": 4,
                     "ct_window": (-125.0, 275.0), "mr_clip": 0.99},
    "classification": {"learning_rate": 1e-3, "schedule": "cosine", "stratified": True, "split_by": ""},
}  # fmt: skip
"""What a schedule of few steps asks for, and a window without which 8 bits are few grey levels."""
SHARE = 0.6
"""Of the time for training, what the steps of one seed of all rows may take: evaluations take the rest."""
FEWEST = {"gpu": 100, "ci": 1}
"""Steps below which a run is not worth its time."""


def rows(task):
    """The methods of a task, those of `FIRST` first."""
    first = FIRST[task]
    return (*first, *(name for name in import_module(f"i2pemd_lite.{task}").METHODS if name not in first))


def plan(task, profile):
    """What the settings of a short training are beside those of the profile."""
    return SHORT[task] | SMALLER.get((task, profile), {})


def settings_for(task, method, profile, seed=0, **changes):
    """The settings of a short training."""
    return import_module(f"i2pemd_lite.{task}").TASK.settings_for(method, profile, seed, plan(task, profile) | changes)


@functools.cache
def data_for(task, profile):
    """The packed data, or what I2PEMD_DATA names, or the synthetic set.

    Noise at the small size without a pack of it, and where the packages that read scans and images are missing.
    """
    TASK, settings = import_module(f"i2pemd_lite.{task}").TASK, settings_for(task, rows(task)[0], profile)
    packed = read_json(ROOT / "pack.json")["profile"] if PACKED else None
    if packed == profile:
        return TASK.prepared(ROOT / "data" / f"{task}.safetensors", settings)
    if profile == "ci":
        return noise(task, settings)
    if PACKED:
        raise BadInput(f"{ROOT}: expected data packed for profile {profile}, found {packed}; pack without --profile")
    try:
        return TASK.prepared(None, settings)
    except ImportError as error:
        print(f"train: {task} learns from noise: {error}", flush=True)
        return noise(task, settings)


def places(kit):
    """{name: (task, method, seed)} of every run, in the order in which they are trained."""
    return {f"{task}-{method}-seed{seed}": (task, method, seed)
            for seed in kit.seeds for task in TASKS for method in rows(task)}  # fmt: skip


def todo(kit):
    """{name of a run: the function that trains and evaluates it}, as long as there is time for steps worth taking."""
    if steps := _steps(kit):
        for task in TASKS:
            data_for(task, kit.profile)  # which says at once what is wrong with them
    return {name: functools.partial(trained, kit, steps, name, *place) for name, place in places(kit).items() if steps}


def trained(kit, steps, name, task, method, seed):
    """Train and evaluate a run; None where time ran out, and the next call goes on."""
    module, data, folder = import_module(f"i2pemd_lite.{task}"), data_for(task, kit.profile), kit.folder / "runs" / name
    if begun(folder):
        run = module.resume(folder, data)
    else:
        often = {"evaluate_every": max(1, steps // (6 if method == OURS[task] else 1)), "checkpoint_every": 100}
        run = module.train(method, data, kit.profile, seed, folder, steps=steps, **plan(task, kit.profile), **often)
    for _ in run:
        if kit.left() < 0 and run.number < steps:
            run.save()
            print(f"train: out of time at step {run.number} of {name}; call again to go on", flush=True)
            return None
    report = module.evaluate(run)
    if task == "segmentation":
        _keep_labels(run, folder / "labels.npz")
    figure = report.figures["doc"] if task == "segmentation" else report.rows[0]["auc"]
    return {"steps": run.number, "seconds": run.seconds, "figure": figure}


def _steps(kit):
    """The number of steps of every run, kept so that all calls have the same; 0 where there is no time for `FEWEST`."""
    kept = kit.read("kit")
    if "steps" not in kept:
        speeds = kit.read("speed")
        taken = [_milliseconds(speeds.get(f"{task} {method}", {})) or 100 for task in TASKS for method in rows(task)]
        fit = min(int(SHARE * kit.left() * 1e3 / sum(taken)), *map(_full, TASKS))
        if not kit.steps and fit < FEWEST[kit.profile]:
            print(f"train: only {max(fit, 0)} steps of each row would end in time; call again, with more --minutes")
            return 0
        kit.keep("kit", kept := kept | {"steps": kit.steps or fit})
    if kit.steps not in (None, kept["steps"]):
        found = f"{kept['steps']} of an earlier call; leave --steps out, or choose another folder with --out"
        raise BadInput(f"--steps: expected {kit.steps} for all runs in {kit.folder}, found {found}")
    return kept["steps"]


def _full(task):
    """The steps of a whole schedule."""
    return import_module(f"i2pemd_lite.{task}").TASK.settings().steps


def _keep_labels(run, path):
    """The label map of every held-back case, on its prepared grid."""
    with run.learner.evaluating():
        maps = {case.name.replace("/", "-"): run.learner.probabilities(case).argmax(0).byte().numpy()
                for case in run.learner.test_cases}  # fmt: skip
    with atomic_write(path) as temporary:
        np.savez_compressed(temporary, **maps)


# --- the page ---------------------------------------------------------------------------------------------------------


def report(kit):
    """Write report.md, report.json, and the tables of finished runs under tables/."""
    about, stages = kit.read("kit"), {stage: kit.read(stage) for stage in ("check", "speed", "train")}
    check, speed, train = stages.values()
    wanted = {"check": gpu_check.todo(kit), "speed": gpu_speed.todo(kit), "train": places(kit)}
    wrong = [f"{stage}: {name}: {each}" for stage, found in stages.items() for name, row in found.items()
             for each in row.get("wrong", ["it was begun and did not end"] if "begun" in row else ())]  # fmt: skip
    tables = {task: found for task in TASKS if (found := _tables(kit, task, train))}
    for task, found in tables.items():
        found.save(kit.folder / "tables" / task)
    machine, full = ", ".join(f"{name} {value}" for name, value in about["machine"].items()), kit.profile == "gpu"
    lessons = _lessons(speed) if full else {}
    parts = [f"# What one {about['card']} does", f"{about['began']}, profile {about['profile']}, {machine}.",
             "\n".join(f"- {each}" for each in wrong), "## Checked",
             _counted(check, wanted["check"], "passed"), _checked(check), "## Timed",
             _counted(speed, wanted["speed"], "were timed"), *_timed(speed, full), "## Trained",
             *_schedule(kit, tables), *(re.sub("^#", "###", found.markdown(), flags=re.M) for found in tables.values()),
             "## What the lessons can say of their times" if lessons else "",
             "\n".join(f"- Lesson {lesson}: {words}" for lesson, words in lessons.items())]  # fmt: skip
    with atomic_write(kit.folder / "report.md") as temporary:
        temporary.write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")
    costs = {task: without_nan(found.costs.rows) for task, found in tables.items()}
    left = [f"{stage}: {name}" for stage, names in wanted.items() for name in names if name not in stages[stage]]
    found = {"about": about, "wrong": wrong, "left": left, **stages, "trained": costs, "lessons": lessons}
    write_json(kit.folder / "report.json", found)


def _counted(found, todo, what):
    well = sum("wrong" not in found[name] and "begun" not in found[name] for name in todo if name in found)
    left = [name for name in todo if name not in found]
    return f"{well} of {len(todo)} things {what}" + (f"; not tried yet: {', '.join(left)}." if left else ".")


def _tables(kit, task, train):
    done = [kit.folder / "runs" / name for name, place in places(kit).items()
            if place[0] == task and "steps" in train.get(name, {})]  # fmt: skip
    return import_module(f"i2pemd_lite.{task}").from_runs(done, data_for(task, kit.profile)) if done else None


def _schedule(kit, tables):
    """What was trained, on what, and by which schedule."""
    done, steps = {task: len(found.results) for task, found in tables.items()}, kit.read("kit").get("steps")
    yield f"{done.get('segmentation', 0)} runs of Table 1 and {done.get('classification', 0)} of Table 4 are finished."
    for task, found in tables.items():
        settings = ", ".join(f"`{name}` {value!r}" for name, value in SHORT[task].items())
        many = f"{found.results[0].data} data, {steps} steps of {_full(task):,}"
        yield f"{task.capitalize()}: {many}; settings that differ from those of the profile: {settings}."
        if found.results[0].data == "noise":
            yield "**What networks learn from noise shows that everything runs, and says nothing of the methods.**"


def _checked(check):
    """The table of every method's errors."""
    body = [[name, *(_pair(row.get(precision)) for precision in ("float64 to a CPU's, small", "float32", "bfloat16")),
             row.get("MiB bfloat16", row.get("MiB float32")) or "-"]
            for name, row in check.items() if "float32" in row]  # fmt: skip
    header = ["relative errors of loss and gradient in a first step", "float64 on a CPU, small", "float32", "bfloat16",
              "MiB"]  # fmt: skip
    most = [f"{task} in {precision} {loss:g} and {most:g}" for (task, precision), (loss, most) in WITHIN.items()]
    allowed = f"At most are allowed, of loss and gradient: {', '.join(most)} (inf: any); in float64 {EXACT:g}."
    return "\n".join([allowed, "", *markdown_lines(header, body)])


def _pair(errors):
    return ", ".join(f"{error:.1e}" for error in errors) if errors else "-"


def _timed(speed, full):
    """The limits of the card, then one table for each thing that was timed."""
    limits = speed.get("limits", {})
    if full and "TB/s" in limits:
        yield f"It copies {limits['TB/s']:.2f} TB/s, both ways counted, and multiplies {limits['TFLOP/s']:.0f} TFLOP/s."
    body = []
    for name, row in speed.items():
        if "TFLOP" in row:
            rate = limits.get("TFLOP/s") if full else None
            share = 1e5 * row["TFLOP"] / _milliseconds(row) / rate if rate else None
            body.append([name, *(_number(row.get(f"ms {precision}")) for precision in ("float32", "bfloat16")),
                         _number(row.get("patches a second", row.get("images a second"))),
                         row.get("MiB bfloat16", row.get("MiB float32")) or "-", _number(row["% outside"]),
                         _number(row["TFLOP"], 3), _number(share)])  # fmt: skip
    if body:
        header = ["a step", "ms float32", "ms bfloat16", "patches or images a second", "MiB", f"% {OUTSIDE}", "TFLOP",
                  "% of the card's rate in bfloat16"]  # fmt: skip
        yield "\n".join(markdown_lines(header, body))
    for ours, other in (("segmentation joint_sepbn_i2pemd", "segmentation joint_sepbn"),
                        ("classification i2pemd", "classification fixmatch")):  # fmt: skip
        if (a := _milliseconds(speed.get(ours, {}))) and (b := _milliseconds(speed.get(other, {}))):
            yield f"A step of {ours.split()[1]} takes {a / b:.2f} times one of {other.split()[1]}."
    for name, found in speed.items():
        if "rows" in found:
            columns = list(dict.fromkeys(key for row in found["rows"] for key in row))
            lines = [[_number(row.get(key), 2) for key in columns] for row in found["rows"]]
            yield f"**{name}**\n\n" + "\n".join(markdown_lines(columns, lines))


def _number(value, digits=1):
    return "-" if value is None else f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _milliseconds(row):
    """Of a step in the precision of a training, or None."""
    return row.get("ms bfloat16", row.get("ms float32"))


def _lessons(speed):
    """{lesson: what its first cell can say of the gpu profile}, by the times of the steps that it trains."""
    found = {name.split()[1]: f"gpu {math.ceil(row['seconds'])} s" for name, row in speed.items() if "seconds" in row}
    for lesson, wanted in TRAINS.items():
        taken = {name: _milliseconds(speed.get(name, {})) for name in wanted}
        if all(taken.values()):
            minutes = math.ceil(sum(count * taken[name] for name, count in wanted.items()) / 6e4)
            found[lesson] = f"gpu about {minutes} min by estimate"
    return dict(sorted(found.items()))
