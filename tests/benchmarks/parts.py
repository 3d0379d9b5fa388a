"""What each part of the preset "beyond" is worth: runs that differ from it in one part, one after another.

python3 run.py bench parts --out FOLDER [--only NAME,NAME] [--steps N | --minutes N] [--set NAME=VALUE]

Each part is a run of the proposed method in a folder of FOLDER, all with the same seed and split. The same command goes
on with what was stopped and reads what is finished. With `--steps` all take as many; with `--minutes` each takes as
many as fit into that time by the pace of its first ones, and its schedule ends there. Those of `PREDICTED` are the full
recipe's run, which predicts otherwise. Figures are of the held-back scans of I2PEMD_DATA, and of the unusual ones that
`segmentation.stress` makes of them; the hidden scans of a submission are never looked at.

Each part has a process of its own, so that its peak of memory is its own; where processes can be forked, from one that
has loaded torch once for all of them. Two commands with other parts can run side by side; the table is of all parts
that are finished, and of those that a parts.json in the folder already has.
"""

import contextlib
import functools
import math
import multiprocessing
import os
import re
import sys
import time
from pathlib import Path

import torch

from i2pemd_lite import segmentation
from i2pemd_lite.files import BadInput, is_whole, read_json, run_lock, write_text
from i2pemd_lite.segmentation.augment import UNUSUAL, VIEWS
from i2pemd_lite.segmentation.layout import MODALITIES, ORGANS
from i2pemd_lite.segmentation.report import overlap
from i2pemd_lite.segmentation.tables import EVALUATION, PROPOSED, SHORT, TASK, Tables
from i2pemd_lite.tables.report import Column, Report, with_nan, without_nan
from i2pemd_lite.tables.results import begun, in_words, report_of

sys.path.append(str(Path(__file__).parent.parent))
from child import CONTEXT  # noqa: E402

FULL = "full recipe"
TRAINED = {
    FULL: {},
    "voxels of 5 x 4 x 4 mm": {"spacing": (5.0, 4.0, 4.0), "size": (128, 128), "patch_size": (96, 96)},
    "voxels of 8 x 2.5 x 2.5 mm": {"spacing": (8.0, 2.5, 2.5), "patch_depth": 16, "block_step": 8},
    "the paper's network": {"network": "dou"},
    "patches of 8 x 24 x 24 cm": {"patch_depth": 16, "patch_size": (96, 96), "block_step": 8},
    "patches of 16 x 40 x 40 cm": {"patch_depth": 32, "patch_size": (160, 160), "block_step": 16},
    "no augmentation": {"augment": ""},
    **{f"without {name}": {"augment": ",".join(each for each in VIEWS if each != name)} for name in VIEWS},
    **{f"with {name}": {"augment": ",".join((*VIEWS, name))} for name in UNUSUAL},
    f"with {' + '.join(UNUSUAL)}": {"augment": ",".join(VIEWS + UNUSUAL)},
    "rate by steps": {"schedule": "step"},
    "no warm-up": {"warm_up": 0},
    "Adam without decay of kernels": {"optimiser": "adam", "weight_decay": 0.0},
    "gradients of any size": {"clip": 0.0},
    "the last weights": {"average": 0.0},
    "weighted cross-entropy": {"ce": "weighted"},
    "Dice with the background": {"dice": "all"},
    "no deep supervision": {"deep": 0.0},
    "patches anywhere": {"around": 0.0},
    "without I2PEMD": {"weight": 0.0},
}
"""Part -> what is other than in the preset."""
PREDICTED = {
    "blocks without overlap": {"block_step": "patch_depth"},
    "blocks that count alike everywhere": {"blend": "mean"},
    "three copies": {"copies": 3},
    "all pieces of an organ": {"largest": False},
}
"""Part -> what is other when the run of the full recipe predicts; a name is the value of that setting."""
QUICK = (FULL, "without scale", "all pieces of an organ")
TRIED = 3  # steps by whose pace a time becomes steps, after as many that are not counted
HEAD = ("part", "DOC", "Δ")  # the first columns
STRESSED = functools.partial(segmentation.evaluate, stress=True)


def part_rows(quick, out=Path("out/parts"), only=None, steps=None, minutes=30.0, changes=None):
    """A row for each part that is finished, once those asked for are; in the folder as parts.json, .csv, .md."""
    parts = TRAINED | PREDICTED
    if unknown := {*(only or ())} - {*parts}:
        raise BadInput(f"--only: expected some of {'; '.join(parts)}; found {', '.join(sorted(unknown))}")
    common = {"preset": "beyond", **(changes or {})} | ({"profile": "ci"} if quick else {})
    steps = 2 if quick and not steps else steps
    asked = only or (QUICK if quick else parts)
    for name in dict.fromkeys([*[FULL] * any(name in PREDICTED for name in asked), *asked]):
        if name in TRAINED:
            _alone(name, _train, out / _slug(name), common | TRAINED[name], steps, minutes)
        else:
            _alone(name, _predict, out / _slug(FULL), out / _slug(name), PREDICTED[name])
    found = {row["part"]: row for row in _earlier(out)}
    found |= {row["part"]: row for name in parts for row in _row(name, out / _slug(name))}
    rows = [found[name] for name in parts if name in found]
    full = [row["DOC"] for row in rows if row["part"] == FULL]
    for row in rows:
        row["Δ"] = row["DOC"] - full[0] if full else math.nan
    report = _report(rows)
    report.save(out / "parts.json")
    report.save(out / "parts.csv")
    write_text(out / "parts.md", f"{report.markdown()}\n")
    return [{"where": "parts", "what": row.pop("part"), **row} for row in without_nan(rows)]


def _alone(name, function, *arguments):
    """Call it in a process of its own, which ends with this one."""
    print(f"now {name}", flush=True)
    own = dict(os.environ), torch.get_num_threads()  # the server has those of its start
    process = CONTEXT.Process(target=_called, args=(*own, function, arguments), daemon=True)
    process.start()
    process.join()
    if process.exitcode:
        raise BadInput(f"{name}: expected a part that ends well, found what is printed above; correct it, and start "
                       "the same command again")  # fmt: skip


def _called(environment, threads, function, arguments):
    os.environ.update(environment)
    torch.set_num_threads(threads)
    function(*arguments)


def _train(place, changes, steps, minutes):
    """The run of a part, from where it stands to its end, and its report."""
    data = segmentation.load()
    if begun(place):
        run = TASK.resume(place, data)
        wanted = TASK.settings_for(PROPOSED, changes.get("profile"), 0, changes | ({"steps": steps} if steps else {}))
        free = () if steps else ("steps",)
        if words := in_words(Tables.differing(run.settings, wanted, free), "instead of"):
            raise BadInput(f"{place}: expected a run of this part, found one with {words}; choose another --out")
    else:
        steps = steps or max(1, round(60 * minutes / pace(data, changes)))
        run = TASK.train(PROPOSED, data, folder=place, **changes, steps=steps, evaluate_every=steps)
    parent = multiprocessing.parent_process()
    with run_lock(place):
        for _ in run.progress() if run.number < len(run) else ():
            if parent and not parent.is_alive():  # it was killed
                run.save()
                return
    report_of(run, STRESSED, EVALUATION, lambda content: "stress" in content)


def pace(data, changes):
    """Seconds of this process's own time that a step of the proposed method takes."""
    run, began = TASK.train(PROPOSED, data, **changes, steps=2 * TRIED + 1), 0.0
    for _ in range(2 * TRIED):
        if run.number == TRIED:
            began = time.process_time()
        next(run)
    return (time.process_time() - began) / TRIED / torch.get_num_threads()


def _predict(full, place, changes):
    """The report of the full recipe's run, predicted in another way, in a folder of its own."""
    run = TASK.resume(full, segmentation.load())
    with contextlib.suppress(BadInput):
        content = read_json(place / "report.json", EVALUATION)
        if is_whole(content) and content["about"]["steps"] == run.number:
            return
    for name, value in changes.items():
        setattr(run.settings, name, vars(run.settings).get(value, value) if isinstance(value, str) else value)
    run.folder = None  # that of the full recipe keeps its own report
    place.mkdir(parents=True, exist_ok=True)
    STRESSED(run).save(place / "report.json")


def _earlier(out):
    """The rows that parts.json has: their runs may lie elsewhere by now."""
    path = out / "parts.json"
    return with_nan(read_json(path, {"rows": [{"part": str}]})["rows"]) if path.exists() else []


def _row(name, place):
    """[the row of a part]; none where it is not finished."""
    try:
        content = read_json(place / "report.json", EVALUATION)
    except BadInput:
        return []
    about, stress = content["about"], with_nan(content["stress"]["rows"])
    usual = overlap(with_nan(content["cases"]))
    row = {"part": name, "DOC": usual[-1]["mean"], "Δ": math.nan}
    row |= {m.upper(): each["mean"] for m, each in zip(MODALITIES, usual, strict=False)}
    row |= {f"{m} {SHORT[organ]}": each[organ] for m, each in zip(MODALITIES, usual, strict=False) for organ in ORGANS}
    row |= {"worst": usual[-1]["worst"], "in": usual[-1]["in"], "unusual": stress[-1]["mean"]}
    row |= {each["stress"]: each["mean"] for each in stress[2:-1:3]}
    row |= {"worst unusual": stress[-1]["worst"], "steps": about["steps"], "seconds": about["seconds"]}
    row |= {name: about.get(name, "unknown") for name in ("peak MiB", "seconds a scan")}
    return [row]


def _report(rows):
    title = "The recipe taken apart: DOC (%) on held-back scans and on unusual ones made from them, one seed"
    notes = ["Δ: beside the full recipe. One seed each, so that a part which gains or loses less than seeds differ by "
             "says nothing", "DOC is that of the prepared volumes: with other voxels it is measured on another grid",
             "worst: the organ of a scan with the lowest DOC", "seconds: by the clock, of a machine that works on "
             "more; parts that predict otherwise have those of the full recipe's training"]  # fmt: skip
    signed = [Column("Δ", sign="+", digits=1)]
    columns = [Column("part"), Column("DOC"), *signed, *(Column(name) for name in rows[0] if name not in HEAD)]
    return Report(title, rows, notes=notes, lines=[columns])


def _slug(name):
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
