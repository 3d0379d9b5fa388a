# Not a docstring, which python -OO leaves out.
__doc__ = """The commands: python -m i2pemd_lite data | train | evaluate | predict | tables, and those of the course.

    python -m i2pemd_lite lab
    python -m i2pemd_lite doctor
    python -m i2pemd_lite data segmentation
    python -m i2pemd_lite data segmentation --compact
    python -m i2pemd_lite train segmentation joint_sepbn_i2pemd --out runs/ours
    python -m i2pemd_lite train --resume runs/ours
    torchrun --nproc-per-node=2 -m i2pemd_lite train segmentation joint_sepbn_i2pemd --out runs/two
    python -m i2pemd_lite evaluate runs/ours
    python -m i2pemd_lite predict runs/ours --images FOLDER --out labels
    python -m i2pemd_lite tables segmentation --seeds 0,1,2
    python -m i2pemd_lite tables classification --methods baseline,fixmatch,i2pemd
    python -m i2pemd_lite sweep segmentation joint_sepbn_i2pemd --out sweeps/weight --vary weight=log:0.1:10
    python -m i2pemd_lite gpu
    python -m i2pemd_lite ledger
    python -m i2pemd_lite release --out out/course
    python -m i2pemd_lite outline
    python -m i2pemd_lite readings
    python -m i2pemd_lite lessons 02
    python -m i2pemd_lite site --out out/site
    python -m i2pemd_lite ship --check
    python -m i2pemd_lite report hand-ins --out out/class
"""

import argparse
import contextlib
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from i2pemd_lite import __version__
from i2pemd_lite.course import commands
from i2pemd_lite.files import BadInput, grouped, home, refusal, root, run_lock
from i2pemd_lite.runs import TASKS, module_of
from i2pemd_lite.text import about, spoken

TABLES = {"segmentation": Path("out/tables"), "classification": Path("out/tables-classification")}


@spoken
def main(arguments=None):
    """Run one command; exit status 0, or 1 with a sentence on what is wrong."""
    parser, own = _parser(), argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--home", default=os.environ.get("I2PEMD_HOME"))
    asked, arguments = own.parse_known_args(arguments)
    if asked.home:  # wherever this process and those that it starts look from
        os.environ["I2PEMD_HOME"] = asked.home
        os.environ["I2PEMD_HOME"] = str(home())
    chosen, rest = parser.parse_known_args(arguments)
    if rest and chosen.command not in (gpu, commands.lab):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if chosen.command is None:
        parser.print_help()
        return 2
    try:
        if getattr(chosen, "device", None):
            os.environ["I2PEMD_DEVICE"] = chosen.device
        if _processes() > 1 and chosen.command is not train:
            raise BadInput(f"{chosen.command.__name__}: expected one process, found several; start it without torchrun")
        given = rest if chosen.command in (gpu, commands.lab) else chosen
        return int(chosen.command(given) or 0)
    except (BadInput, FloatingPointError, OSError) as error:
        if not (why := refusal(error) if isinstance(error, OSError) else error):
            raise
        _say(why)
        return 1
    except KeyboardInterrupt as stop:
        by = "with the same command" if chosen.command in (tables, sweep) else "with train --resume and its folder"
        _say(stop.args[0] if len(stop.args) == 1 else f"stopped; what had begun goes on {by}")
        return 130


def _processes():
    """How many processes torchrun started; torch is not loaded where nothing looks like it."""
    if "WORLD_SIZE" not in os.environ:
        return 1
    from i2pemd_lite.distributed import world_size_from_env

    return world_size_from_env()


def _say(words):
    if _processes() == 1 or os.environ["RANK"] == "0":  # several processes say the same
        print(f"i2pemd_lite: {words}", file=sys.stderr)


def data(chosen):
    """Find the data of a task and prepare it for a profile, so that training starts at once."""
    from i2pemd_lite import compact

    task = module_of(chosen.task)
    settings = task.TASK.settings_for(next(iter(task.METHODS)), chosen.profile, changes=read_changes(task, chosen.set))
    if chosen.compact:
        compact.expect_name(chosen.compact)
    dataset = task.load(chosen.data)
    print(dataset)
    prepared = task.TASK.prepared(dataset, settings)
    for line in grouped(prepared.assumed):
        print(f"assumed: {line}")
    print(f"prepared for profile {settings.profile}, fingerprint {prepared.fingerprint}")
    if chosen.compact is not None:
        print("packing it takes seconds, or minutes for many images", flush=True)
        file = chosen.compact or f"out/compact/{chosen.task}.safetensors"
        print(prepared.save_compact(file))
        print(f"train with it by --data {file}, at the same profile and settings")


def train(chosen):
    """Train a method, or go on with a run; a table of results at the end."""
    from i2pemd_lite import distributed
    from i2pemd_lite.runs.watch import tensorboard

    try:
        with distributed.joined(), contextlib.ExitStack() as locks:
            lock = run_lock if distributed.is_main() else contextlib.nullcontext
            task, run = distributed.run_on_first_then_all(lambda: _run_to_train(chosen, locks, lock))
            if not distributed.is_main():
                run.finish(progress=False)
                return
            many = f" in {distributed.count()} processes" if distributed.count() > 1 else ""
            if chosen.log:
                tensorboard(run)
            settings = f"{run.settings.method}, seed {run.settings.seed}, {run.profile}{many}"
            done = f"{run.number} of " * bool(run.number) + f"{len(run)} steps" + " done" * bool(run.number)
            print(f"{settings}, {done}, kept in {run.folder}")
            run.finish()
            print(task.evaluate(run))
    except distributed.Lost as error:
        print(f"i2pemd_lite: {error}", file=sys.stderr, flush=True)
        os._exit(1)  # a connection to processes that have ended may not let this one end


def _run_to_train(chosen, locks, lock):
    if chosen.resume:
        if any((chosen.task, chosen.method, chosen.out, chosen.profile, chosen.seed is not None)):
            raise BadInput("--resume: expected beside it only --data, --device and --set, for the folder says the rest")
        task = _task_of(chosen.resume)
        locks.enter_context(lock(chosen.resume))
        run = task.resume(chosen.resume, chosen.data)
        run.change(**read_changes(task, chosen.set))
        if run.number >= len(run) and chosen.set:
            raise BadInput(f"{chosen.resume}: all {run.number} steps are done; to go on, give more with --set steps=…")
    else:
        if not (chosen.task and chosen.method):
            raise BadInput("train: expected a task and a method, or --resume FOLDER; see --help")
        task = module_of(chosen.task)
        seed, changes = chosen.seed or 0, read_changes(task, chosen.set)
        settings = task.TASK.settings_for(chosen.method, chosen.profile, seed, changes)
        folder = chosen.out or Path("runs") / chosen.task / f"{chosen.method}-{settings.profile}-seed{seed}"
        run = task.train(chosen.method, chosen.data, settings.profile, seed, folder, **changes)
        locks.enter_context(lock(folder))
    return task, run


def evaluate(chosen):
    """Print the table of a run in a folder."""
    from i2pemd_lite.runs.brought import shipped

    task = _task_of(chosen.run)
    if chosen.stress and task.TASK.name != "segmentation":
        raise BadInput(f"--stress: expected with a run of segmentation only, found {task.TASK.name}; leave it out")
    with contextlib.nullcontext() if shipped(chosen.run) else run_lock(chosen.run):
        print(task.evaluate(task.resume(chosen.run, chosen.data), **({"stress": True} if chosen.stress else {})))


def _resumed(folder, data):
    """The run of a folder; a line on stderr where it is unfinished."""
    run = _task_of(folder).resume(folder, data)
    if run.number < len(run):
        print(f"{folder}: unfinished, {run.number} of {len(run)} steps are done", file=sys.stderr)
    return run


def predict(chosen):
    """Label maps (segmentation), or a table of class scores and a page (classification), for images without labels."""
    task = _task_of(chosen.run)
    if found := [str(each) for each in chosen.others or () if _task_of(each) is not task]:
        raise BadInput(f"--others: expected runs of {task.TASK.name}, found {found[0]}, of another task; leave it out")
    run = _resumed(chosen.run, chosen.data)
    owners = dict.fromkeys(("modality", "seg", "others"), "segmentation")
    owners |= dict.fromkeys(("page", "mirrored"), "classification")
    options = {name: value for name in ("out", *owners) if (value := getattr(chosen, name))}
    for name, owner in owners.items():
        if name in options and task.TASK.name != owner:
            raise BadInput(f"--{name}: expected with a run of {owner} only, found {task.TASK.name}; leave it out")
    if chosen.others:
        options["others"] = [_resumed(each, chosen.data) for each in chosen.others]
    try:
        written = task.predict(run, chosen.images, **options)
    except BadInput as error:
        for path in error.written:
            print(path)
        raise
    for path in written if isinstance(written, list) else [written]:
        print(path)


def tables(chosen):
    """Train what is missing for the tables of the paper, print them with its numbers beside, and write them."""
    for name, owner in (("dims", "segmentation"), ("thresholds", "classification")):
        if getattr(chosen, name) is not None and chosen.task != owner:
            raise BadInput(f"--{name}: expected with {owner} only, found with {chosen.task}; leave it out")
    task, out = module_of(chosen.task), chosen.out or TABLES[chosen.task]
    asked = {name: getattr(chosen, name) for name in ("profile", "seeds", "methods", "dims", "thresholds", "folder")}
    asked = {name: value for name, value in asked.items() if value is not None} | read_changes(task, chosen.set)
    if chosen.runs and asked:
        raise BadInput(f"--runs: expected beside it only --data and --out, found {', '.join(asked)}; leave these out")
    result = task.from_runs(chosen.runs, chosen.data) if chosen.runs else task.tables(chosen.data, **asked)
    result.save(out)
    print(f"{result}\n\nwritten to {out}; tables.md has all of it to read")


def sweep(chosen):
    """Train a method with many settings, which Optuna chooses; the same command goes on, and processes can share it."""
    from i2pemd_lite.sweeps import Sweep

    asked = {name: getattr(chosen, name) for name in ("seeds", "goal", "profile")}
    asked = {name: value for name, value in asked.items() if value is not None}
    if chosen.method:
        pairs = [_ranges(pair) for pair in chosen.vary]
        if len(dict(pairs)) < len(pairs):
            found = f"{' '.join(chosen.vary)}; say all values of a setting at once, as in weight=0.1,1,10"
            raise BadInput(f"--vary: expected each setting once, found {found}")
        asked |= {"vary": dict(pairs) or None} | read_changes(module_of(chosen.task), chosen.set)
    elif asked or chosen.set or chosen.vary:
        raise BadInput("sweep: expected a task and a method, or --out FOLDER with what may change; see --help")
    if chosen.workers < 1:
        raise BadInput(f"--workers: expected a whole number from 1, found {chosen.workers}")
    made = Sweep(chosen.out, chosen.task, chosen.method, **asked)
    plan = {name: getattr(chosen, name) for name in ("trials", "sampler", "prune", "data")}
    made.planned(**plan).finish(chosen.workers)
    print(f"{made}\n\nall trials are in {chosen.out / 'results.csv'}")


def _ranges(pair):
    name, _, values = pair.partition("=")
    if not (name and values):
        raise BadInput(f"--vary {pair}: expected NAME=VALUES, such as weight=log:0.1:10, found no values; give some")
    return name, values


def gpu(words):
    """Check, time and train all methods on a GPU, and report; `gpu --help` says more."""
    kit = root() / "tests" / "benchmarks" / "gpu.py"
    if not kit.is_file():
        raise BadInput(f"gpu: expected {kit}, found the module alone; run it in a clone of the project")
    return subprocess.run([sys.executable, kit, *words]).returncode


def folder(text):
    """The folder of a run that a word names: it, or the run of that name that came with the course."""
    path, there = Path(text), root() / "data" / "runs" / text
    return there if there.is_dir() and not path.exists() else path


def numbers(text):
    """(0, 1) from "0,1"; argparse names a word that is none by this function's name."""
    return tuple(int(word) for word in text.split(","))


def pairs(text):
    """((0.6, 0.7),) from "0.6-0.7", () from "none"."""
    return tuple(tuple(float(word) for word in pair.split("-")) for pair in text.split(",") if text != "none")


def _task_of(run):
    from i2pemd_lite.runs.store import read_about

    return module_of(read_about(run)["task"])


def read_changes(task, words):
    """{"steps": 100} from ["steps=100"], each value read as the type that the setting has."""
    from i2pemd_lite.runs.settings import meant, read

    own = ("method", "seed", "profile")  # these have options of their own
    kinds = {field.name: field.type for field in dataclasses.fields(task.TASK.settings) if field.name not in own}
    changes = {}
    for pair in words:
        name, _, text = pair.partition("=")
        if name not in kinds:
            do = meant(name, kinds, f"python -m pydoc {task.__name__}.train")
            do = "it has a word of its own, see --help" if name in own else do
            raise BadInput(f"--set {pair}: expected NAME=VALUE with a setting, found {name}; {do}")
        if not text and kinds[name] is not str:
            raise BadInput(f"--set {pair}: expected {name}=VALUE, found no value; give one")
        try:
            changes[name] = read(kinds[name], text)
        except ValueError:
            expected = getattr(kinds[name], "__name__", kinds[name])
            raise BadInput(f"--set {pair}: expected a value of type {expected}, found {text!r}") from None
    return changes


PROFILE = {"choices": ("ci", "laptop", "gpu"), "help": "default: I2PEMD_PROFILE"}
DEVICE = "cpu, cuda, or one of several GPUs, as in cuda:1; default: I2PEMD_DEVICE, else that of the profile"
DATA = {"type": Path, "help": "folder of data, compact file or .npz; default: I2PEMD_DATA, else the synthetic set"}
SET = {"action": "append", "default": [], "metavar": "NAME=VALUE"}
SETTINGS = {"--set": SET | {"help": "change a setting"}, "--profile": PROFILE, "--data": DATA}
RUN = {
    "run": {"type": folder, "help": "the folder of a run, or one that came with the course, such as lesson05/ours"},
    "--data": {"type": Path, "help": "the data it was trained on, where they moved"},
}
OTHERS = "segmentation: average the answers with those of these runs, such as those of other seeds"
COMPACT = "also write all that training needs as one small file; default: out/compact/TASK.safetensors"
STRESS = "segmentation: also on unusual scans made from the held-back ones: a large spleen, a turned contrast, …"
THRESHOLDS = "pairs for Table 6; default: its five where i2pemd is among the methods; or none"
RUNS = "train nothing: tables of these finished runs"
VARY = "a range, weight=0.1:10, one by its powers of ten, weight=log:0.1:10, or a choice, momentum=0.5,0.8,0.95"
PRUNE = "stop trials early that are below the median of the others, or by successive halving: halving; default: none"
WHERE = f"where to write; default: {', '.join(f'{folder} ({task})' for task, folder in TABLES.items())}"
IMAGES = "folder, zip or file of images, or folder of DICOM series; default: those without labels in the data"
COMMANDS = {  # {command: {what can be said to it: what that means}}
    data: {
        "task": {"choices": TASKS},
        "--compact": {"nargs": "?", "const": "", "metavar": "FILE", "help": COMPACT},
        **SETTINGS,
    },
    train: {
        "task": {"choices": TASKS, "nargs": "?"},
        "method": {"nargs": "?", "help": "a key of METHODS, such as joint_sepbn_i2pemd or i2pemd"},
        "--seed": {"type": int, "help": "default: 0"},
        "--out": {"type": Path, "help": "folder for the run; default: runs/TASK/METHOD-PROFILE-seedN"},
        "--log": {"choices": ("tensorboard",), "help": "write event files, too, into events/ of the folder"},
        "--resume": {"type": Path, "metavar": "FOLDER", "help": "go on with the run in this folder"},
        "--device": {"help": DEVICE},
        **SETTINGS,
    },
    evaluate: RUN | {"--stress": {"action": "store_true", "help": STRESS}},
    predict: {
        **RUN,
        "--images": {"type": Path, "help": IMAGES},
        "--others": {"type": folder, "nargs": "+", "metavar": "RUN", "help": OTHERS},
        "--modality": {"choices": ("ct", "mr"), "help": "of a folder that just holds NIfTI files"},
        "--seg": {"action": "store_true", "help": "of DICOM series also DICOM SEG, by highdicom"},
        "--page": {"action": "store_true", "help": "write a page, too, that shows each image and its scores"},
        "--mirrored": {"action": "store_true", "help": "average the scores of an image and of its mirror images"},
        "--out": {"type": Path, "help": "folder of maps, or table of scores; default: out/segmentation, out/skin.csv"},
    },
    tables: {
        "task": {"choices": TASKS},
        "--seeds": {"type": numbers, "metavar": "0,1,2", "help": "one run a method for each; default: 0"},
        "--methods": {"type": commands.words, "metavar": "NAME,NAME", "help": "keys of METHODS; default: all"},
        "--dims": {"type": numbers, "metavar": "8,16,32", "help": "feature sizes for Figure 6 (a); default: none"},
        "--thresholds": {"type": pairs, "metavar": "0.6-0.7,0.7-0.9", "help": THRESHOLDS},
        "--profile": PROFILE,
        "--set": SET | {"help": "change a setting of every run"},
        "--device": {"help": DEVICE},
        "--data": DATA,
        "--folder": {"type": Path, "help": "where the runs are kept and found; default: runs/TASK"},
        "--runs": {"type": Path, "nargs": "+", "metavar": "DIR", "help": RUNS},
        "--out": {"type": Path, "help": WHERE},
    },
    sweep: {
        "task": {"choices": TASKS, "nargs": "?", "help": "not needed where the folder holds a sweep"},
        "method": {"nargs": "?", "help": "a key of METHODS, such as joint_sepbn_i2pemd or i2pemd"},
        "--vary": {"action": "append", "default": [], "metavar": "NAME=VALUES", "help": VARY},
        "--seeds": {"type": numbers, "metavar": "0,1,2", "help": "a run of each trial for each; default: 0"},
        "--goal": {"help": "what is to be high on held-back data: doc, ct or mr; auc or f1; default: the first"},
        **SETTINGS,
        "--trials": {"type": int, "help": "how many in all, of all processes together; default: 20"},
        "--sampler": {"help": "how Optuna chooses: tpe, random or grid; default: tpe"},
        "--prune": {"nargs": "?", "const": "median", "help": PRUNE},
        "--workers": {"type": int, "default": 1, "help": "processes; several have one thread each; default: 1"},
        "--device": {"help": DEVICE},
        "--out": {"type": Path, "required": True, "help": "the folder of the sweep"},
    },
    gpu: {},  # the kit has its own words
}


def _parser():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m i2pemd_lite", description=__doc__, formatter_class=raw)
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(command=None)
    subs = parser.add_subparsers(metavar="command")
    for function, options in (COMMANDS | commands.COMMANDS).items():
        said = about(function)
        sub = subs.add_parser(function.__name__, help=said, description=said, add_help=function is not gpu)
        sub.set_defaults(command=function)
        for name, meaning in options.items():
            sub.add_argument(name, **meaning)
    return parser


if __name__ == "__main__":
    sys.exit(main())
