"""Runs in a process of their own, for somebody who watches and steers them from elsewhere.

    python -m i2pemd_lite.runs.worker

Commands come in as lines of JSON, `{"do": "go", "run": "ours"}`, and what happens goes out as lines of JSON. The
process lives as long as its input: when that ends, it saves every run and ends too. So what a closed notebook trained
lies in its folder and can be picked up.
"""

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from enum import StrEnum
from pathlib import Path

import numpy as np

from i2pemd_lite.files import BadInput, run_lock
from i2pemd_lite.runs import module_of

REPORT, LOOK = 0.25, 3.0
"""Seconds between two reports of a run that trains, and between two looks at its example image."""

ADVICE = {
    "diverged": "resume from the last checkpoint with a lower learning_rate",
    "memory": "stop other runs, or start one with a smaller profile",
}
"""What to do about errors in which these words are and that do not say it themselves."""


class State(StrEnum):
    """How a run stands."""

    SAVED = "saved"  # in its folder; nobody trains it
    STARTING = "starting"  # a worker was asked for it, and did not answer yet
    TRAINING = "training"
    PAUSED = "paused"
    DONE = "done"
    STOPPING = "stopping"  # asked to stop, after the step that it is in
    STOPPED = "stopped"  # saved, and let go of
    FAILED = "failed"
    NOTEBOOK = "in the notebook"  # which trains it itself


class Worker:
    """Runs by name, of which those that train take turns, a step each.

    say : called with what happens, as a dict of plain values:
        {"event": "doing", "run", "doing"}, in words what takes time before a run is open,
        {"event": "settings", "run", "settings", "number"}, when a run is open and after each "set",
        {"event": "steps", "run", and what `Trained.news` says}, and {"event": "failed", "run", "do", "error"}, where a
        fork that failed is named as it would have been

    Its commands, as `handle` takes them: open (run, task, method, folder, data, settings), go, pause, step, set
    (values), fork (to, folder), stop; each names its run.
    """

    def __init__(self, say):
        self.say, self.runs = say, {}

    @property
    def going(self):
        """The names of the runs that train."""
        return [name for name, trained in self.runs.items() if trained.going]

    def handle(self, command):
        """Do what a command says; why a run is not open was told before."""
        do, name = command.pop("do"), command["run"]
        if name in self.runs or do == "open":
            self._attempt(do, command.get("to", name), lambda: getattr(self, f"_{do}")(**command))

    def turn(self):
        """One step of every run that trains."""
        for name in self.going:
            self._attempt("go", name, lambda name=name: self._turn(name))

    def _attempt(self, do, name, work):
        """Tell what is wrong with it; a run that cannot go on is let go of, and the others go on."""
        try:
            work()
        except Exception as error:
            own = isinstance(error, BadInput | FloatingPointError)
            words = str(error) if own else f"{type(error).__name__}: {error}"
            advice = next((advice for sign, advice in ADVICE.items() if sign in words and advice not in words), "")
            words += f"; {advice}" if advice else ""
            self.say({"event": "failed", "run": name, "do": do, "error": words})
            if do in ("go", "step", "pause", "stop"):
                self._drop(name)

    def _turn(self, name):
        trained = self.runs[name]
        trained.going = next(trained.run, None) is not None
        if not trained.going or time.monotonic() - trained.told > REPORT:
            self._tell(name)

    def close(self):
        """Save every run and let go of its folder."""
        for name, trained in list(self.runs.items()):
            with contextlib.suppress(Exception):  # what cannot be saved has its last checkpoint, and the others go on
                trained.run.save()
            self._drop(name)

    # --- the commands -------------------------------------------------------------------------------------------------

    def _open(self, run, task, method, folder, data=None, settings=None, **chosen):
        """Train a new run in `folder`, or pick up the one that is there."""
        module = module_of(task)

        def make():
            doing = "it finds and prepares the data, which takes a minute or two the first time"
            self.say({"event": "doing", "run": run, "doing": doing})
            if (Path(folder) / "checkpoint.safetensors").exists():
                return module.resume(folder, data)
            return module.train(method, data, folder=folder, **chosen)

        self._add(run, folder, make, **(settings or {}))

    def _go(self, run):
        self.runs[run].going = True
        self._tell(run)

    def _pause(self, run):
        self.runs[run].going = False
        self.runs[run].run.save()
        self._tell(run)

    def _step(self, run):
        next(self.runs[run].run, None)
        self._pause(run)

    def _set(self, run, values):
        try:
            self.runs[run].run.change(**values)
        finally:
            self._tell_settings(run)

    def _fork(self, run, to, folder):
        origin = self.runs[run]
        self._add(to, folder, lambda: origin.run.fork(folder))
        self.runs[to].going = origin.going
        self._tell(to)

    def _stop(self, run):
        self._pause(run)
        self._drop(run)

    # --- what is told -------------------------------------------------------------------------------------------------

    def _add(self, name, folder, make, **values):
        """Claim the folder, and save the run that `make()` gives; without a run there is no claim."""
        if name in self.runs:
            raise BadInput(f"{name}: expected the name of a run that is not open yet; choose another")
        with contextlib.ExitStack() as claim:
            claim.enter_context(run_lock(folder))
            run = make()
            run.change(**values)
            run.save()
            self.runs[name] = Trained(run, claim.pop_all())
        self._tell_settings(name)

    def _tell_settings(self, name):
        run = self.runs[name].run
        self.say({"event": "settings", "run": name, "settings": dataclasses.asdict(run.settings), "number": run.number})

    def _tell(self, name):
        self.say({"event": "steps", "run": name, **self.runs[name].news(max(1, len(self.going)))})

    def _drop(self, name):
        """Let go of a run: what is good of it is in its folder."""
        if name in self.runs:
            self.runs.pop(name).claim.close()


class Trained:
    """A run, the claim on its folder, whether it trains, and how much of it was told."""

    def __init__(self, run, claim):
        self.run, self.claim, self.going = run, claim, False
        self.sent, self.told, self.looked, self.places = run.number, 0.0, 0.0, None

    def news(self, turns):
        """What happened since the last news, and how things stand, with every `turns`-th step its own.

        While it trains the example is shown only now and then.
        """
        run, since, bank = self.run, self.sent, self.run.learner.bank
        run.fetch()
        self.sent, self.told, example = run.number, time.monotonic(), None
        if not self.going or self.told - self.looked > LOOK:
            with run.learner.evaluating():
                example = run.learner.example()
            self.looked = time.monotonic()
        self.places = plane(bank.prototypes.float().cpu().numpy(), self.places)
        return {
            "state": State.TRAINING if self.going else State.DONE if run.number >= len(run) else State.PAUSED,
            "number": run.number,
            "history": run.history[since:],
            "evaluations": [row for row in run.evaluations if row["step"] > since],
            "changes": [change for change in run.changes if change[0] > since],
            "places": self.places.tolist(),
            "ground": bank.ground_distance().cpu().tolist(),
            "seconds_left": run.seconds_left and turns * run.seconds_left,
            "memory": run.memory,
            "example": example and {name: value.tolist() for name, value in example._asdict().items()},
        }


def plane(prototypes, before=None):
    """Prototypes (K, d) in the plane in which they vary most, (K, 2), turned to lie as they lay `before`."""
    x = prototypes - prototypes.mean(0)
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    places = x @ axes[:2].T
    if before is None:
        return places
    u, _, v = np.linalg.svd(places.T @ before)  # the rotation that brings them nearest (orthogonal Procrustes)
    return places @ u @ v


class Process:
    """A `Worker` in another process, from the side of whoever gives the commands.

    It has all processors but one, so that a notebook beside it goes on answering, unless OMP_NUM_THREADS says how many.
    """

    def __init__(self):
        threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) - 1))}
        self._complaints = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "i2pemd_lite.runs.worker"], env={**threads, **os.environ},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints, encoding="utf-8", errors="replace",
            start_new_session=True,  # so that it outlives a killed notebook, and saves
        )  # fmt: skip
        self.number = self._process.pid
        self._messages = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, do, run, **more):
        """Give a command; what comes of it is heard."""
        with contextlib.suppress(OSError):  # a process that has ended is heard of below
            self._process.stdin.write(json.dumps({"do": do, "run": run, **more}) + "\n")
            self._process.stdin.flush()

    def heard(self):
        """What happened since it was last asked; the last thing of all is {"event": "ended", "error": …}."""
        return [self._messages.get() for _ in range(self._messages.qsize())]

    def close(self, seconds=30):
        """Let it save its runs and end."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        self._process.kill()

    def _listen(self):
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):  # the last line of a process that was killed while it spoke
                self._messages.put(json.loads(line))
        code = self._process.wait()
        with self._complaints as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8000))  # a library may have said much more
            last = b" ".join(file.read().splitlines()[-3:]).decode(errors="replace").strip()
        self._messages.put({"event": "ended", "error": f"exit status {code}" + (f", {last}" if last else "")})


def main():
    """Obey standard input; what libraries print goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a notebook that is interrupted interrupts no training
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    commands = queue.SimpleQueue()

    def read():
        for line in sys.stdin:
            with contextlib.suppress(ValueError):  # the last line of a notebook that was killed while it spoke
                commands.put(json.loads(line))
        commands.put(None)

    def say(message):
        with contextlib.suppress(OSError):  # nobody listens any more; the end of the input follows
            print(json.dumps(message), file=out, flush=True)

    signal.signal(signal.SIGTERM, lambda *_: commands.put(None))
    threading.Thread(target=read, daemon=True).start()
    with contextlib.closing(Worker(say)) as worker:
        while True:
            while not worker.going or not commands.empty():
                command = commands.get()
                if command is None:
                    return
                worker.handle(command)
            worker.turn()


if __name__ == "__main__":
    main()
