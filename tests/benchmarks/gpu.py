"""Check, time and train every method on a GPU, and report what came of it, in one command.

python3 run.py gpu [--minutes M] [--out FOLDER] [--back FOLDER] [--device cuda:1] [--profile ci]
python -m i2pemd_lite gpu                         the same where there is no .venv
python3 run.py gpu --pack FOLDER                  all that a bare machine needs; there: cd FOLDER; python3 gpu.py

Four stages, each in a process of its own: check (every method in three precisions, host waits, resuming after a kill),
speed (losses, steps, the limits of the card), train (rows of Tables 1 and 4 by a short schedule, seed by seed, as long
as there is time) and report. Whatever is done is written at once. If the time is not enough, the same command goes on
where the last one stopped. A bare machine needs Python with torch, numpy, scipy, scikit-learn, Pillow, safetensors,
filelock and tqdm. The small profile, and a clone without the packages that read scans, learn from noise with planted
classes; the report says so.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKED = (HERE / "i2pemd_lite").is_dir()
ROOT = HERE if PACKED else HERE.parents[1]
sys.path[:0] = [path for path in (str(ROOT), str(HERE)) if path not in sys.path]

NEEDED = ("torch", "numpy", "scipy", "sklearn", "PIL", "safetensors", "filelock", "tqdm")
if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
    for above in HERE.parents:  # of a pack that is tried where it was made
        python = above / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if python.exists() and sys.executable != str(python):
            print(f"gpu: without {', '.join(missing)} here, by {python}", flush=True)
            sys.exit(subprocess.run([python, *sys.argv]).returncode)
    sys.exit(f"gpu: expected a Python that has {', '.join(NEEDED)}, found no {', '.join(missing)}; install what is "
             "missing, or start another python3")

from i2pemd_lite.files import BadInput, atomic_write, read_json, refusal, run_lock, write_json  # noqa: E402
from i2pemd_lite.text import spoken  # noqa: E402

MOST = 60
"""MiB that a packed folder may have."""
FILES, LARGEST = 8, 15
"""How many files come back, and how many MiB one has at most."""
KIT = ("gpu.py", "gpu_check.py", "gpu_speed.py", "gpu_train.py", "loss.py", "skin.py", "step.py", "timing.py")
LEFT_OUT = ("__pycache__", "panels", "course")
"""Parts of the module that training does without."""
BOUNDS = {"check": 120, "speed": 180}
"""Seconds in which these stages begin new work, at most a third of what is left; training has all but the report's."""
REPORT = {"gpu": 75, "ci": 20}
"""Seconds that are kept for the report."""
STAGES = ("check", "speed", "train", "report")
TASKS = ("segmentation", "classification")
REFUSED, AGAIN = 3, 4
"""Exit statuses of a stage: it has said in a sentence why it cannot go on; it has to be started once more."""


class Kit:
    """What the stages share: the folder of results, the profile, and the time until which new work is begun."""

    def __init__(self, folder, profile, until, steps=None, seeds=(0,), again=False):
        self.folder, self.profile, self.until = Path(folder), profile, until
        self.steps, self.seeds, self.again = steps, seeds, again

    def left(self):
        """Seconds that are left."""
        return self.until - time.time()

    def read(self, name):
        """What was kept under a name; {} where nothing was."""
        path = self.folder / f"{name}.json"
        return read_json(path) if path.is_file() else {}

    def keep(self, name, value):
        """Keep a value under a name."""
        write_json(self.folder / f"{name}.json", value)

    def do(self, stage, todo):
        """Do what is not done yet of {name: function -> dict, or None where time ran out}.

        Each outcome is kept at once. What fails is kept as "wrong", and tried again with `again` alone. What is begun
        is kept as such, so that what did not end twice, for the machine stopped answering, say, comes after the rest.
        """
        found = self.read(stage)
        again = ("begun", "wrong") if self.again else ("begun",)
        open_ = [name for name in todo if name not in found or any(mark in found[name] for mark in again)]
        for name in sorted(open_, key=lambda name: found.get(name, {}).get("begun", 0) > 1):
            if self.left() < 0:
                print(f"{stage}: out of time before {name}; call again to go on", flush=True)
                break
            self.keep(stage, found | {name: {"begun": found.get(name, {}).get("begun", 0) + 1}})
            began = time.perf_counter()
            outcome = _outcome(todo[name])
            found.pop(name, None)
            if outcome is None:
                self.keep(stage, found)
                break
            found[name] = outcome
            self.keep(stage, found)
            wrong = "; ".join(outcome.get("wrong", ()))
            print(f"{stage}: {name}: {wrong or 'done'} ({time.perf_counter() - began:.1f} s)", flush=True)
            if "CUDA error" in wrong:  # after which nothing works in this process
                sys.exit(AGAIN)
        return found


def _outcome(function):
    try:
        return function()
    except BadInput as error:
        return {"wrong": [str(error)]}
    except Exception as error:  # one method that fails is a finding, and no reason to try no other
        import traceback

        places = [f"{Path(at.filename).name}:{at.lineno}" for at in traceback.extract_tb(error.__traceback__)[-4:]]
        return {"wrong": [f"{type(error).__name__}: {str(error)[:300]} ({' > '.join(places)})"]}


@spoken
def main(arguments=None):
    """Run the stages, pack, or say in a sentence what is wrong."""
    given = sys.argv[1:] if arguments is None else arguments
    chosen = _parsed(given)
    try:
        if chosen.pack:
            return pack(chosen.pack, chosen.profile)
        if chosen.device:
            os.environ["I2PEMD_DEVICE"] = chosen.device
        return _one_stage(chosen) if chosen.only else _all_stages(chosen, given)
    except BadInput as error:
        why = error
    except OSError as error:
        if not (why := refusal(error)):
            raise
    except KeyboardInterrupt:
        print("gpu: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(f"gpu: {why}", file=sys.stderr)
    return REFUSED if chosen.only else 1


def _parsed(given):
    parser = argparse.ArgumentParser("gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual, back = ROOT / ("results" if PACKED else "out/gpu-results"), f"at most {FILES} files, {LARGEST} MiB each"
    parser.add_argument("--minutes", type=_above(float), help="time for this call; default: 60, or 2 with --profile ci")
    parser.add_argument("--out", type=Path, default=usual, metavar="FOLDER", help="keep all there and go on from it")
    parser.add_argument("--back", type=Path, metavar="FOLDER", help=f"copy what you take home there: {back}")
    parser.add_argument("--profile", choices=("gpu", "ci"), default="gpu", help="the paper's size, or a small one")
    parser.add_argument("--device", help="cuda, cuda:1 or cpu; default: the first GPU")
    parser.add_argument("--steps", type=_above(int), help="of every run; default: one seed of all rows ends in time")
    parser.add_argument("--seeds", type=_seeds, default=(0, 1, 2), help="default: 0,1,2")
    parser.add_argument("--again", action="store_true", help="try again what failed")
    parser.add_argument("--pack", type=Path, metavar="FOLDER", help="write the folder that a bare machine needs")
    parser.add_argument("--only", choices=STAGES, help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    return parser.parse_args(given)


def _above(kind):
    def number(text):
        if not (value := kind(text)) > 0:
            raise argparse.ArgumentTypeError(f"expected a number above 0, found {text}")
        return value

    return number


def _seeds(text):
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected whole numbers such as 0,1,2, found {text}") from None


def _all_stages(chosen, given):
    """Each stage in a child, for this process must not touch the GPU, nor wait for one that does not answer."""
    _undamaged()
    end = time.time() + 60 * (chosen.minutes or (2 if chosen.profile == "ci" else 60))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = chosen.out / "report.json"
    if chosen.back:
        if chosen.back.resolve() == chosen.out.resolve() or chosen.back.exists() and not chosen.back.is_dir():
            raise BadInput(f"--back {chosen.back}: expected a folder other than the results', found that or a file")
        chosen.back.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as claim:
        try:
            claim.enter_context(run_lock(chosen.out))
        except BadInput:
            found = "another call of the kit at work in it; wait for it, or choose another folder with --out"
            raise BadInput(f"{chosen.out}: expected a folder that is free, found {found}") from None
        for stage in STAGES:
            code = AGAIN
            if stage == "report":
                report.unlink(missing_ok=True)  # that of an earlier call would be taken for this one's
            while code == AGAIN and (stage == "report" or time.time() < end):
                left = end - REPORT[chosen.profile] - time.time()
                bound = min(BOUNDS[stage], left / 3) if stage in BOUNDS else left
                words = [*given, "--only", stage, "--until", str(time.time() + bound)]
                code = ran([sys.executable, __file__, *words], max(bound, 0) + REPORT[chosen.profile])
            if code in (2, REFUSED, 130):
                return 1 if code == REFUSED else code
            if code not in (0, AGAIN):
                ended = "was killed" if code < 0 else f"ended with status {code}"
                print(f"gpu: {stage} {ended}; the same command goes on with what is left", file=sys.stderr)
            if chosen.back:
                _bring(chosen.out, chosen.back)
    if not report.is_file():
        raise BadInput(f"{report}: expected the report, found none; the lines above say what failed; call again")
    wrong, left = (len(read_json(report)[name]) for name in ("wrong", "left"))
    todo = f"; {left} of all things are not done yet, call again" if left else "; all is done"
    print(f"{chosen.out / 'report.md'}: {wrong or 'nothing'} wrong{todo}")
    return 1 if wrong else 0


def ran(command, limit):
    """The exit status of a command, which is stopped after so many seconds, with all that it started."""
    child = subprocess.Popen(command, start_new_session=True)
    try:
        return child.wait(limit)
    except subprocess.TimeoutExpired:
        return -9
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL) if hasattr(os, "killpg") else child.kill()
        child.wait()


def _one_stage(chosen):
    threading.Thread(target=_ends_with, args=(os.getppid(),), daemon=True).start()
    _claim(chosen.out, chosen.profile)
    import gpu_check
    import gpu_speed
    import gpu_train

    kit = Kit(chosen.out, chosen.profile, chosen.until, chosen.steps, chosen.seeds, chosen.again)
    if chosen.only == "report":
        gpu_train.report(kit)
    else:
        kit.do(chosen.only, {"check": gpu_check, "speed": gpu_speed, "train": gpu_train}[chosen.only].todo(kit))
    return 0


def _ends_with(parent):
    """End this process when its parent has ended, for nobody bounds its time then, and the next call does its work."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _claim(folder, profile_name):
    """Make the folder of results, or see that it is one of this version, profile and device; name the device to all."""
    import torch
    from timing import describe

    from i2pemd_lite.device import no_gpu, profile

    chosen = profile("gpu")
    if chosen.device == "cpu" and os.environ.get("I2PEMD_DEVICE") != "cpu":
        raise BadInput(f"device: expected a GPU, found {no_gpu()}; or try the kit by --profile ci --device cpu")
    if chosen.device == "cpu" and profile_name == "gpu":
        raise BadInput("profile gpu: expected a GPU, found --device cpu, where a step takes minutes; add --profile ci")
    os.environ["I2PEMD_DEVICE"] = chosen.device
    if chosen.device != "cpu":
        torch.cuda.set_device(chosen.device)  # for what just says "cuda"
    machine = {name: value for name, value in describe().items() if name != "load"}
    card = machine.get("gpu", machine["cpu"]) if chosen.device != "cpu" else machine["cpu"]
    own = {"version": version(), "profile": profile_name, "device": chosen.device, "card": card}
    own["torch"] = torch.__version__
    path = folder / "kit.json"
    if path.is_file():
        there = read_json(path)
        for name, value in own.items():
            if there.get(name) != value:
                found = f"{there.get(name)!r}; choose another folder with --out"
                raise BadInput(f"{path}: expected results of {name} {value!r}, found {found}")
    else:
        write_json(path, own | {"machine": machine, "began": time.strftime("%Y-%m-%d")})
        print(f"profile {profile_name} on {chosen.device}, {card}; results in {folder}", flush=True)


def version():
    """A hash of the code of the module and of the kit, the same in a clone and in a packed folder."""
    digest = hashlib.sha256()
    for name, path in sorted(_code().items()):
        digest.update(f"{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _code():
    """{place in a packed folder: file} of all code."""
    module = ROOT / "i2pemd_lite"
    found = [path for path in module.rglob("*") if path.suffix in (".py", ".c")]
    found = [path for path in found if not set(LEFT_OUT) & set(path.relative_to(module).parts)]
    return {path.relative_to(ROOT).as_posix(): path for path in found} | {name: HERE / name for name in KIT}


# --- a folder to carry ------------------------------------------------------------------------------------------------


def pack(folder, profile="gpu"):
    """Write code and compact data into a folder, with checksums, whole or not at all; refuse more than `MOST` MiB."""
    from importlib import import_module

    from gpu_train import settings_for

    folder = Path(folder)
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if folder.exists() and (not folder.is_dir() or names and "pack.json" not in names or names & {"results", "back"}):
        raise BadInput(f"{folder}: expected an empty folder, or an earlier pack without results, found something else; "
                       "choose another")  # fmt: skip
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as partial:
        place = Path(partial) / "pack"
        for name, path in _code().items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place / name)
        room = MOST - 1 - _mebibytes(place)
        for task in TASKS:
            module = import_module(f"i2pemd_lite.{task}")
            settings = settings_for(task, next(iter(module.METHODS)), profile)
            file, prepared = place / "data" / f"{task}.safetensors", module.TASK.prepared(None, settings)
            said = prepared.save_compact(file, min(45, room)).removeprefix(f"{place}/")
            print(f"{prepared.name}, {said}", flush=True)
            room -= file.stat().st_size / 2**20
        marks = {name.relative_to(place).as_posix(): _sha256(name) for name in place.rglob("*") if name.is_file()}
        write_json(place / "pack.json", {"version": version(), "profile": profile, "files": marks})
        size = _mebibytes(place)
        if size > MOST:
            raise BadInput(f"{folder}: expected at most {MOST} MiB, found {size:.1f}; pack fewer scans or images")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(place, folder)
    print(f"{folder}: {size:.1f} MiB; there: cd {folder.name} && python3 gpu.py")
    return 0


def _undamaged():
    """Raise `BadInput` for a packed folder in which a file is missing or is not what it was."""
    if not PACKED:
        return
    for name, digest in read_json(HERE / "pack.json")["files"].items():
        path = HERE / name
        if not path.is_file() or _sha256(path) != digest:
            found = "another one" if path.is_file() else "none"
            raise BadInput(f"{path}: expected the file that was packed, found {found}; carry the folder again")


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _mebibytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def _bring(out, back):
    """Copy reports, and what runs left but their weights, in few files that are not large."""
    names = [f"{name}.json" for name in ("kit", "check", "speed", "train", "report")] + ["report.md"]
    for name in names:
        if (out / name).is_file():
            with atomic_write(back / name) as temporary:
                shutil.copyfile(out / name, temporary)
    kept = [path for folder in ("tables", "runs") for path in sorted((out / folder).rglob("*"))
            if path.suffix in (".json", ".csv", ".npz", ".md")]  # fmt: skip
    with atomic_write(back / "runs.zip") as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted(kept, key=lambda path: path.suffix == ".npz"):  # label maps last
                if temporary.stat().st_size + path.stat().st_size < LARGEST * 2**20:
                    file.write(path, path.relative_to(out))
                else:
                    print(f"gpu: {path.relative_to(out)} is left out of {back / 'runs.zip'}, which has {LARGEST} MiB")


if __name__ == "__main__":
    sys.exit(main())
