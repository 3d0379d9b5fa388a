"""Everything that needs a GPU in one command: it is checked, timed and trained with, and a page says what came of it.

python3 run.py gpu [--minutes M] [--out FOLDER] [--back FOLDER] [--device cuda:1] [--profile ci]
python -m i2pemd_lite gpu                         the same where there is no .venv
python3 run.py gpu --pack FOLDER                  all that a bare machine needs; there: cd FOLDER; python3 gpu.py

Four stages, each in a process of its own and bounded in time: check (every method in three precisions, host waits,
resuming after a kill), speed (losses, steps, the limits of the card), train (rows of Tables 1 and 4 by a short
schedule, seed by seed, as long as there is time) and report. Whatever is done is written at once, and the same command
goes on where the last one stopped. A bare machine needs Python with torch, numpy, scipy, scikit-learn, Pillow,
safetensors, filelock and tqdm. Without packed or readable scans and images the networks learn from noise with planted
classes, which is said.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKED = (HERE / "pack.json").is_file()
ROOT = HERE if PACKED else HERE.parents[1]
sys.path[:0] = [path for path in (str(ROOT), str(HERE)) if path not in sys.path]

NEEDED = ("torch", "numpy", "scipy", "sklearn", "PIL", "safetensors", "filelock", "tqdm")
if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
    for above in HERE.parents:  # of a pack that is tried where it was made
        python = above / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if python.exists() and sys.executable != str(python):
            sys.exit(subprocess.run([python, *sys.argv]).returncode)
    sys.exit(f"gpu: expected a Python that has {', '.join(NEEDED)}, found no {', '.join(missing)}; install what is "
             "missing, or start another python3")

from i2pemd_lite.files import BadInput, read_json, refusal, write_json, written_whole  # noqa: E402
from i2pemd_lite.text import spoken  # noqa: E402

MOST = 60
"""MiB that a packed folder may have."""
FILES, LARGEST = 8, 15
"""How many files come back, and how many MiB one has at most."""
KIT = ("gpu.py", "gpu_check.py", "gpu_speed.py", "gpu_train.py", "loss.py", "skin.py", "step.py", "timing.py")
LEFT_OUT = ("__pycache__", "panels", "course")
"""Parts of the module that training does without."""
BOUNDS = {"check": 120, "speed": 180}
"""Seconds that a stage gets at most; training gets what is left."""
STAGES = ("check", "speed", "train", "report")
TASKS = ("segmentation", "classification")


class Kit:
    """What the stages share: the folder of results, the profile, and the time until which new work is begun."""

    def __init__(self, folder, profile, until, steps=None, seeds=(0,)):
        self.folder, self.profile, self.until, self.steps, self.seeds = Path(folder), profile, until, steps, seeds

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
        """Do what is not done yet of {name: function -> dict}; what fails is kept too, and tried again by a later call.

        What is begun is kept as such first: a machine that stops answering in the middle does not stop there twice.
        """
        found = self.read(stage)
        tried = [name for name in todo if "wrong" in found.get(name, {})]
        for name in [*(name for name in todo if name not in found), *tried]:
            if self.left() < 0:
                print(f"{stage}: out of time before {name}; call again to go on", flush=True)
                break
            self.keep(stage, found | {name: {"wrong": ["it was begun and did not end"]}})
            began = time.perf_counter()
            found[name] = _outcome(todo[name])
            self.keep(stage, found)
            wrong = "; ".join(found[name].get("wrong", ()))
            print(f"{stage}: {name}: {wrong or 'done'} ({time.perf_counter() - began:.1f} s)", flush=True)
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
        print(f"gpu: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if not (why := refusal(error)):
            raise
        print(f"gpu: {why}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("gpu: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _parsed(given):
    parser = argparse.ArgumentParser("gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, help="time for this call; default: 60, or 2 with --profile ci")
    usual, back = ROOT / ("results" if PACKED else "out/gpu-results"), f"at most {FILES} files, {LARGEST} MiB each"
    parser.add_argument("--out", type=Path, default=usual, metavar="FOLDER", help="keep all there and go on from it")
    parser.add_argument("--back", type=Path, metavar="FOLDER", help=f"copy what is wanted at home there: {back}")
    parser.add_argument("--profile", choices=("gpu", "ci"), default="gpu", help="the paper's size, or a small one")
    parser.add_argument("--device", help="cuda, cuda:1 or cpu; default: the first GPU")
    parser.add_argument("--steps", type=int, help="of every training; default: one seed of all rows ends in time")
    parser.add_argument("--seeds", type=_numbers, default=(0, 1, 2), help="default: 0,1,2")
    parser.add_argument("--pack", type=Path, metavar="FOLDER", help="write the folder that a bare machine needs")
    parser.add_argument("--only", choices=STAGES, help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    return parser.parse_args(given)


def _numbers(text):
    return tuple(int(word) for word in text.split(","))


def _all_stages(chosen, given):
    _undamaged()
    from i2pemd_lite.device import profile

    began, seconds = time.time(), 60 * (chosen.minutes or (2 if chosen.profile == "ci" else 60))
    found = profile(chosen.profile)
    if found.name == "gpu" and found.device == "cpu" and chosen.device != "cpu":
        raise BadInput("gpu: expected a GPU, found none that torch can use; python -m i2pemd_lite doctor says why; to "
                       "try the kit without one: --profile ci --device cpu")  # fmt: skip
    _claim(chosen.out, chosen.profile, found.device)
    print(f"{found}, results in {chosen.out}", flush=True)
    for stage in STAGES:
        left = began + seconds - time.time()
        bound = min(BOUNDS[stage], left / 3) if stage in BOUNDS else max(left - 20, 1)
        words = [*given, "--only", stage, "--until", str(time.time() + bound)]
        child = subprocess.Popen([sys.executable, __file__, *words])
        try:
            child.wait(bound + 120 + seconds / 4)
        except subprocess.TimeoutExpired:
            child.kill()
            print(f"gpu: {stage} did not end and was stopped; the same command goes on after it", file=sys.stderr)
        except BaseException:
            child.terminate()
            child.wait(30)
            raise
        if child.returncode in (1, 2, 130):  # it has said why; after a crash the other stages may have their say
            return child.returncode
    if chosen.back:
        _bring(chosen.out, chosen.back)
    report = chosen.out / "report.json"
    if not report.is_file():
        raise BadInput(f"{report}: expected the report, found none; the lines above say what failed; call again")
    wrong = read_json(report)["wrong"]
    print(f"{chosen.out / 'report.md'}: {f'{len(wrong)} things are wrong' if wrong else 'nothing is wrong'}")
    return 1 if wrong else 0


def _one_stage(chosen):
    import gpu_check
    import gpu_speed
    import gpu_train
    import torch

    if torch.device(gpu_check.device()).type == "cuda":
        torch.cuda.set_device(gpu_check.device())  # for what just says "cuda"
    kit = Kit(chosen.out, chosen.profile, chosen.until, chosen.steps, chosen.seeds)
    if chosen.only in BOUNDS:
        kit.do(chosen.only, {"check": gpu_check, "speed": gpu_speed}[chosen.only].todo(kit))
    else:
        {"train": gpu_train.train, "report": gpu_train.report}[chosen.only](kit)
    return 0


def _claim(folder, profile, device):
    """Make the folder of results, or see that it is one of this version, profile and card."""
    import torch
    from timing import describe

    machine = {name: value for name, value in describe().items() if name != "load"}
    card = torch.cuda.get_device_name(device) if device.startswith("cuda") else machine["cpu"]
    own = {"version": version(), "profile": profile, "card": card, "torch": torch.__version__}
    path = folder / "kit.json"
    if path.is_file():
        there = read_json(path)
        for name, value in own.items():
            if there.get(name) != value:
                found = f"{there.get(name)!r}; choose another folder with --out"
                raise BadInput(f"{path}: expected results of {name} {value!r}, found {found}")
        return
    write_json(path, own | {"machine": machine, "began": time.strftime("%Y-%m-%d")})


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
    """Write code and compact data into an empty folder, with checksums; refuse more than `MOST` MiB."""
    from importlib import import_module

    from gpu_train import settings_for

    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not (folder / "pack.json").is_file():
        raise BadInput(f"{folder}: expected an empty folder or an earlier pack, found something else; choose another")
    shutil.rmtree(folder, ignore_errors=True)
    for name, path in _code().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    room = MOST - 2 - _mebibytes(folder)
    for task in TASKS:
        module = import_module(f"i2pemd_lite.{task}")
        settings = settings_for(task, next(iter(module.METHODS)), profile)
        file = folder / "data" / f"{task}.safetensors"
        print(module.TASK.prepared(None, settings).save(file, min(45, room)), flush=True)
        room -= file.stat().st_size / 2**20
    files = {path.relative_to(folder).as_posix(): _sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    write_json(folder / "pack.json", {"version": version(), "files": files})
    size = _mebibytes(folder)
    if size > MOST:
        shutil.rmtree(folder)
        raise BadInput(f"{folder}: expected at most {MOST} MiB, found {size:.1f}; pack fewer scans or images")
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
    back.mkdir(parents=True, exist_ok=True)
    for name in ("report.md", "report.json", "check.json", "speed.json", "kit.json"):
        if (out / name).is_file():
            shutil.copyfile(out / name, back / name)
    kept = [path for path in sorted((out / "runs").rglob("*")) + sorted((out / "tables").rglob("*"))
            if path.is_file() and path.suffix in (".json", ".csv", ".npz", ".md")]  # fmt: skip
    size, left = 0.0, []
    with written_whole(back / "runs.zip") as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(kept, key=lambda path: path.suffix == ".npz"):  # tables first, then pictures
            size += path.stat().st_size / 2**20 / (1 if path.suffix == ".npz" else 2)
            if size > LARGEST:
                left.append(path.relative_to(out).as_posix())
            else:
                file.write(path, path.relative_to(out))
    for name in left:
        print(f"gpu: {name} is left out of what comes back, which would be larger than {LARGEST} MiB")
    print(json.dumps({path.name: round(path.stat().st_size / 2**20, 2) for path in sorted(back.iterdir())}), "MiB")


if __name__ == "__main__":
    sys.exit(main())
