"""What becomes of a run that is killed, stopped, out of room or damaged: seeded faults, and how each ended.

python tests/benchmarks/bench.py faults [--minutes N] [--quick] [--json FILE]

kill        a process that trains is killed (SIGKILL) at a random moment, and the run resumed
interrupt   at a random line of a step, an evaluation or a save comes an interrupt, which waits; then the run goes on
stop        there an exception is raised, as by a second interrupt or a full memory; then the run goes on, or is
            resumed where it refuses to
full        nothing beyond a random number of bytes can be written to a file; then there is room, and the run goes on
damage      a random bit or byte of a file of a finished run is changed, or the file is cut short; then the run is
            looked at, resumed and put into tables
input       a file of data is damaged, or is none (`inputs.py`)

Each is tried on a method of each task, of six steps with three checkpoints and two evaluations, in a process of its own
with a hard end. "same": the weights, both tables and the figures are those of a run that nothing befell; "named": a
`BadInput` says what is wrong. What must not be is "other", numbers that differ without a word, "raw", another
exception, and "hung". A seed draws the same faults again, but for the moments of kills.
"""

import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from i2pemd_lite import classification, segmentation
from i2pemd_lite.files import BadInput
from i2pemd_lite.runs.store import read_checkpoint
from i2pemd_lite.runs.watch import saved

sys.path.append(str(Path(__file__).parent.parent))
from lines import Lines  # noqa: E402

METHODS = {segmentation: "joint_sepbn_i2pemd", classification: "i2pemd"}
CHANGES = {segmentation: {"width": 2, "dim": 4, "size": (16, 16), "spacing": (8.0, 24.0, 24.0)}, classification: {}}
OUTCOMES = ("same", "named", "other", "raw", "hung")
SECONDS = 60  # that one fault may take


def fault_rows(quick, minutes=2.0, seed=0):
    """A row for each kind of fault and task: how many were tried, and how many ended how."""
    if "fork" not in multiprocessing.get_all_start_methods():
        raise BadInput("faults: expected a system that can fork a process, found none; run it on Linux or macOS")
    torch.set_num_threads(1)
    draw, rows = random.Random(seed), []
    with tempfile.TemporaryDirectory() as folder:
        tasks = [Tried(task, Path(folder)) for task in METHODS]
        counts = {(task.name, kind): Counter() for task in tasks for kind in KINDS}
        until, words = time.monotonic() + 60 * minutes, []
        while (quick and not words) or (not quick and time.monotonic() < until):
            for task in tasks:
                for kind in KINDS:
                    number = draw.getrandbits(32)
                    outcome, said = task.outcome(kind, number)
                    counts[task.name, kind][outcome] += 1
                    words.append(said)
                    if outcome in ("other", "raw", "hung"):
                        print(f"{task.name} {kind} {number}: {outcome}: {said}", file=sys.stderr, flush=True)
    for (name, kind), count in counts.items():
        rows.append({"where": name, "what": kind, "tried": count.total(), **{each: count[each] for each in OUTCOMES}})
    return rows


def in_a_process(work, seconds=SECONDS):
    """What `work()` says of how it ended, (outcome, words), or how it ended otherwise."""

    def tell():
        try:
            here.send(work())
        except BadInput as error:
            here.send(("named", str(error)))
        except BaseException as error:
            here.send(("raw", f"{type(error).__name__}: {error}"))

    there, here = FORK.Pipe(duplex=False)
    process = FORK.Process(target=tell)
    process.start()
    here.close()
    try:
        outcome = there.recv() if there.poll(seconds) else ("hung", f"after {seconds} s")
    except EOFError:
        outcome = "raw", f"exit code {process.exitcode}"
    process.kill()
    process.join()
    return outcome


class Tried:
    """A method of a task, and what its run gives that nothing befalls."""

    def __init__(self, task, folder):
        self.task, self.name, self.folder = task, task.__name__.split(".")[-1], folder / task.__name__
        settings = task.TASK.settings_for(METHODS[task], "ci", changes=CHANGES[task])
        self.data = task.TASK.prepared(None, settings)
        started = time.monotonic()
        self.whole = self.folder / "whole"
        run = self.train(self.whole).finish(progress=False)
        self.seconds, self.lines, self.size = time.monotonic() - started, None, 0
        self.size = (self.whole / "checkpoint.safetensors").stat().st_size
        task.evaluate(run)
        with Lines() as lines:
            self.train(self.folder / "counted").finish(progress=False)
        self.lines = lines.count
        self.tables = str(task.from_runs([self.whole], self.data).reports())

    def train(self, folder):
        chosen = {"steps": 6, "checkpoint_every": 2, "evaluate_every": 3} | CHANGES[self.task]
        return self.task.train(METHODS[self.task], self.data, profile="ci", folder=folder, **chosen)

    def go_on(self, folder):
        """The run in a folder, resumed where one can be, and trained to its end."""
        begun = (folder / "checkpoint.safetensors").exists()
        (self.task.resume(folder, self.data) if begun else self.train(folder)).finish(progress=False)

    def outcome(self, kind, number):
        """How one fault ended, and in which words."""
        place, draw = self.folder / "tried", random.Random(number)
        shutil.rmtree(place, ignore_errors=True)
        if kind == "kill":
            train = FORK.Process(target=lambda: self.train(place).finish(progress=False))
            train.start()
            train.join(draw.uniform(0, self.seconds))
            train.kill()
            train.join()
        return in_a_process(lambda: self._try(KINDS[kind], place, draw))

    def _try(self, fault, place, draw):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # "stopping after this step" and the like
        signal.signal(signal.SIGINT, signal.default_int_handler)
        fault(self, place, draw)
        return ("same", "") if self.is_same(place) else ("other", str(place))

    def is_same(self, place):
        """Whether a run's folder holds what that of the whole one does."""
        pairs = [(self.whole / name, place / name) for name in ("history.csv", "evaluations.csv")]
        ours, theirs = (read_checkpoint(folder)[1] for folder in (self.whole, place))
        tables = str(self.task.from_runs([place], self.data).reports())
        return (
            all(one.read_bytes() == other.read_bytes() for one, other in pairs)
            and ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
            and tables.replace(str(place), str(self.whole)) == self.tables
        )  # fmt: skip


def kill(tried, place, draw):
    tried.go_on(place)


def interrupt(tried, place, draw):
    _stopped(tried, place, draw, lambda: signal.raise_signal(signal.SIGINT)).finish(progress=False)


def stop(tried, place, draw):
    def raise_it():
        raise draw.choice([KeyboardInterrupt, MemoryError, RuntimeError])

    run = _stopped(tried, place, draw, raise_it)
    try:
        run.finish(progress=False)
    except BadInput:
        tried.go_on(place)


def _stopped(tried, place, draw, do):
    run = tried.train(place)
    try:
        with Lines(draw.randint(1, tried.lines), do):
            run.finish(progress=False)
    except (KeyboardInterrupt, MemoryError, RuntimeError):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run


def full(tried, place, draw):
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    run, named = tried.train(place), False
    resource.setrlimit(resource.RLIMIT_FSIZE, (draw.randint(0, tried.size - 1), hard))
    try:
        run.finish(progress=False)
    except BadInput as error:
        named = "expected room" in str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    if not named:
        raise RuntimeError("a full disk was not told")
    run.finish(progress=False)


def damage(tried, place, draw):
    shutil.copytree(tried.whole, place)
    path = draw.choice(sorted(path for path in place.rglob("*") if path.is_file()))
    data = bytearray(path.read_bytes())
    where = draw.randrange(len(data)) if data else 0
    match draw.choice(["bit", "byte", "cut", "line"]) if data else "":
        case "bit":
            data[where] ^= 1 << draw.randrange(8)
        case "byte":
            data[where] = draw.choice(b'0189.-,:"[]{}\n\x00\xff')
        case "cut":
            del data[where:]
        case "line":
            lines = data.splitlines(keepends=True)
            data = b"".join(lines[:1] + draw.sample(lines[1:], max(0, len(lines) - 2)))
    path.write_bytes(data)
    looked = saved(place)
    run = tried.task.resume(place, tried.data)
    if looked.history != run.history:
        raise RuntimeError("two readers read two histories")
    run.finish(progress=False)  # all its steps are done, so that it is written again


KINDS = {"kill": kill, "interrupt": interrupt, "stop": stop, "full": full, "damage": damage}
FORK = multiprocessing.get_context("fork") if "fork" in multiprocessing.get_all_start_methods() else None
