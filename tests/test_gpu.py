"""The kit for a GPU on a machine that has none, and nothing but what a bare GPU machine has: whole, packed, damaged."""

import contextlib
import errno
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch

from i2pemd_lite.files import root
from i2pemd_lite.runs.store import read_checkpoint, read_tables

ROOT = root()
BENCHMARKS = ROOT / "tests" / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import gpu  # noqa: E402
import gpu_check  # noqa: E402
import gpu_speed  # noqa: E402
import gpu_train  # noqa: E402

BLOCK = """
import importlib.machinery, sys

class Bare:
    '''Finds nothing that a bare GPU machine does not have.'''

    @staticmethod
    def find_spec(name, path=None, target=None):
        found = importlib.machinery.PathFinder.find_spec(name, path)
        if path is None and found and "site-packages" in str(found.origin or found.submodule_search_locations):
            if name not in ALLOWED:
                return None
        return found

sys.meta_path[:] = [each for each in sys.meta_path if each is not importlib.machinery.PathFinder
                    and "editable" not in repr(each)] + [Bare]
"""
ALLOWED = {
    *("torch", "torchgen", "functorch", "numpy", "scipy", "sklearn", "PIL", "safetensors", "filelock", "tqdm"),
    *("sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec", "typing_extensions", "joblib", "threadpoolctl",
      "setuptools", "_distutils_hack", "narwhals", "cloudpickle"),  # what those bring
}  # fmt: skip


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Run Python as on a bare machine: (exit status, what it said), within so many seconds."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(f"ALLOWED = {ALLOWED!r}\n{BLOCK}", encoding="utf-8")

    def run(*words, cwd=ROOT):
        own = {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        env = {name: value for name, value in os.environ.items() if not name.startswith("I2PEMD_")} | own
        done = subprocess.run([sys.executable, *map(str, words)], cwd=cwd, env=env, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_bare_machine_is_bare(bare, tmp_path):
    for name in ("monai", "nibabel", "pydicom", "ot", "matplotlib", "IPython", "pytest", "i2pemd_lite"):
        code, said = bare("-c", f"import {name}", cwd=tmp_path)
        assert code and "ModuleNotFoundError" in said, name
    code, said = bare("-c", "import torch, scipy, sklearn.metrics, PIL, safetensors, filelock, tqdm", cwd=tmp_path)
    assert code == 0, said


@pytest.fixture(scope="module")
def packed(both, tmp_path_factory):
    """A packed folder of small data, in a place from which the project cannot be seen."""
    folder, said = tmp_path_factory.mktemp("carried") / "pack", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setenv("I2PEMD_DATA", str(both))
        assert gpu.main(["--pack", str(folder), "--profile", "ci"]) == 0
    size = float(re.search(r"pack: ([\d.]+) MiB", said.getvalue())[1])
    assert size == pytest.approx(gpu._mebibytes(folder), abs=0.1)
    return folder


@pytest.mark.slow
def test_a_packed_folder_is_all_that_a_bare_machine_needs(bare, packed, tmp_path):
    out, back = packed / "results", tmp_path / "back"
    words = ("gpu.py", "--profile", "ci", "--device", "cpu", "--seeds", "0", "--steps", "2")
    code, said = bare(*words, "--minutes", "9", "--back", back, cwd=packed)
    assert code == 0 and "noise" not in said, said
    kit = gpu.Kit(out, "ci", time.time())
    kept = {name: kit.read(name) for name in ("check", "speed", "report")}
    assert kept["check"].keys() == gpu_check.todo(kit).keys() and kept["speed"].keys() == gpu_speed.todo(kit).keys()
    assert kept["report"]["wrong"] == [] and not re.search("wrong|begun", str([kept["check"], kept["speed"]]))
    rows = [row["method"] for task in gpu.TASKS for row in kept["report"]["trained"][task]]
    assert rows == [method for task in gpu.TASKS for method in gpu_train.rows(task)] and len(rows) == 22
    assert all(row["steps"] == 2 for row in kit.read("train").values())
    assert kept["report"]["lessons"] == {}  # of which times at this size say nothing
    resumed = kept["check"]["segmentation: killed and resumed"]
    assert resumed["resumed at"] == 2 and resumed["differs by"] == 0.0
    page = (out / "report.md").read_text(encoding="utf-8")
    assert "12 of Table 4 are finished" in page and "Segmentation: synthetic data, 2 steps of 50,000" in page
    assert "Table 1" in page and "Table 4" in page and "not tried yet" not in page
    for task, method in gpu_check.OURS.items():
        source = json.loads((out / "runs" / f"{task}-{method}-seed0" / "settings.json").read_text("utf-8"))["data"]
        assert source["folder"] == str(packed / "data" / f"{task}.safetensors")
    names = {path.name for path in back.iterdir()}
    stages = (f"{name}.json" for name in ("kit", "check", "speed", "train", "report"))
    assert names == {"report.md", "runs.zip", *stages}
    assert len(names) <= gpu.FILES
    with zipfile.ZipFile(back / "runs.zip") as file:
        inside = file.namelist()
    assert "runs/segmentation-joint-seed0/labels.npz" in inside and "runs/classification-vat-seed0/scores.csv" in inside
    assert not [name for name in inside if name.endswith(".safetensors")]
    words = ("-m", "i2pemd_lite", "gpu", *words[1:-1], "3", "--out", out, "--only", "train")
    code, said = bare(*words, "--until", str(time.time() + 9))
    assert code == gpu.REFUSED and "--steps: expected 3 for all runs" in said and "found 2 of an earlier call" in said


def test_training_goes_on_where_it_stopped(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "TASKS", ("classification",))
    monkeypatch.setattr(gpu_train, "TASKS", ("classification",))
    monkeypatch.setattr(gpu_train, "rows", lambda task: ("baseline",))
    monkeypatch.setenv("I2PEMD_DEVICE", "cpu")
    kit = gpu.Kit(tmp_path, "ci", time.time() + 100, steps=3)
    gpu._claim(tmp_path, "ci")
    todo, out_of_time = gpu_train.todo(kit), iter([1.0, -1.0])
    with monkeypatch.context() as patch:
        patch.setattr(gpu.Kit, "left", lambda kit: next(out_of_time))
        assert kit.do("train", todo) == {}
    folder = tmp_path / "runs" / "classification-baseline-seed0"
    assert read_checkpoint(folder, tensors=False)[0]["number"] == 1
    assert kit.do("train", todo)["classification-baseline-seed0"]["steps"] == 3
    assert [row["step"] for row in read_tables(folder, 3)[0]] == [1, 2, 3]


def test_a_packed_folder_that_was_damaged_says_so(bare, packed, tmp_path):
    folder = shutil.copytree(packed, tmp_path / "pack", ignore=shutil.ignore_patterns("results"))
    file = folder / "data" / "classification.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    code, said = bare("gpu.py", "--profile", "ci", "--device", "cpu", cwd=folder)
    assert code == 1 and f"{file}: expected the file that was packed, found another one; carry the folder again" in said
    file.unlink()
    code, said = bare("gpu.py", "--profile", "ci", "--device", "cpu", cwd=folder)
    assert code == 1 and "found none; carry the folder again" in said


@pytest.mark.parametrize("name", ["version", "profile", "device", "card", "torch"])
def test_results_of_another_version_or_card_are_left_alone(monkeypatch, tmp_path, capsys, name):
    monkeypatch.setenv("I2PEMD_DEVICE", "cpu")
    gpu._claim(tmp_path, "ci")
    gpu._claim(tmp_path, "ci")
    kit = json.loads((tmp_path / "kit.json").read_text(encoding="utf-8"))
    (tmp_path / "kit.json").write_text(json.dumps(kit | {name: "another"}), encoding="utf-8")
    assert gpu.main(["--profile", "ci", "--only", "report", "--until", "0", "--out", str(tmp_path)]) == gpu.REFUSED
    said = capsys.readouterr().err
    assert f"expected results of {name}" in said and "found 'another'; choose another folder with --out" in said


def test_without_a_gpu_the_kit_says_how_to_try_it(monkeypatch, tmp_path, capfd):
    monkeypatch.delenv("I2PEMD_DEVICE", raising=False)
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert gpu.main(["--out", str(tmp_path / "out")]) == 1
    said = capfd.readouterr().err
    assert "gpu: device: expected a GPU, found " in said and "--profile ci --device cpu" in said
    assert not (tmp_path / "out" / "kit.json").exists()
    monkeypatch.setenv("I2PEMD_DEVICE", "cpu")
    assert gpu.main(["--out", str(tmp_path / "out"), "--only", "check"]) == gpu.REFUSED
    assert "found --device cpu, where a step takes minutes; add --profile ci" in capfd.readouterr().err


def test_a_full_disk_is_said_in_a_sentence(monkeypatch, tmp_path, capsys):
    def full(path, value):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(gpu, "write_json", full)
    monkeypatch.setenv("I2PEMD_DEVICE", "cpu")
    assert gpu.main(["--profile", "ci", "--only", "report", "--until", "0", "--out", str(tmp_path)]) == gpu.REFUSED
    said = capsys.readouterr().err
    assert f"gpu: {tmp_path / 'kit.json'}: expected room to write it, found: No space left" in said


@pytest.mark.parametrize("words, said", [
    (["--minutes", "0"], "expected a number above 0, found 0"),
    (["--steps", "-1"], "expected a number above 0, found -1"),
    (["--seeds", "x"], "expected whole numbers such as 0,1,2, found x"),
])  # fmt: skip
def test_a_number_that_cannot_be_is_refused(capsys, words, said):
    with pytest.raises(SystemExit) as stop:
        gpu.main(words)
    assert stop.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_a_stage_that_dies_or_hangs_is_ended_with_all_that_it_started(tmp_path):
    assert gpu.ran([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"], 60) == -9
    hangs = "import subprocess as s, sys, time; p = s.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    hangs += f"open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); time.sleep(60)"
    assert gpu.ran([sys.executable, "-c", hangs], 5) == -9
    grandchild = int((tmp_path / "pid").read_text(encoding="utf-8"))
    for _ in range(50):
        state = Path(f"/proc/{grandchild}/stat")
        if not state.exists() or state.read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("what the stage had started goes on")


def test_what_did_not_end_is_tried_again_and_what_failed_if_asked(tmp_path):
    kit, tried = gpu.Kit(tmp_path, "ci", time.time() + 100), []

    def stage(**outcomes):
        return {name: lambda name=name: tried.append(name) or outcomes[name]() for name in outcomes}

    def killed():
        raise KeyboardInterrupt

    def fails():
        raise FloatingPointError("the loss is nan")

    def breaks():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            kit.do("check", stage(a=dict, b=killed, c=fails, d=dict))
    assert kit.read("check") == {"a": {}, "b": {"begun": 2}} and tried == ["a", "b", "b"]
    with pytest.raises(SystemExit) as stop:
        kit.do("check", stage(a=dict, b=dict, c=fails, d=breaks))
    assert stop.value.code == gpu.AGAIN and tried[3:] == ["c", "d"]
    found = kit.do("check", stage(a=dict, b=dict, c=dict, d=dict))
    assert tried[5:] == ["b"] and found["b"] == {} and "CUDA error" in found["d"]["wrong"][0]
    (wrong,) = found["c"]["wrong"]
    assert wrong.startswith("FloatingPointError: the loss is nan (") and "test_gpu.py" in wrong
    kit.until = time.time() - 1
    assert kit.do("check", stage(e=dict)) == found and "e" not in tried
    kit.until, kit.again = time.time() + 100, True
    assert kit.do("check", stage(a=dict, b=dict, c=dict, d=dict)) == dict.fromkeys("abcd", {})


def test_the_device_gives_the_loss_and_the_views_of_a_cpu():
    """Of most use where there is a GPU; elsewhere the CPU is compared with itself."""
    assert gpu_check.same_loss() == gpu_check.same_views() == {}


def test_a_method_that_is_wrong_on_the_device_is_found(monkeypatch):
    loss, gradient = gpu_check.first_step(gpu_check.started("classification", "baseline", "ci", precision="float64"))
    assert gpu_check.differences((loss, gradient), (loss, gradient)) == [0, 0]
    assert gpu_check.differences((1.01, gradient), (1.0, 2 * gradient)) == [pytest.approx(0.01), pytest.approx(0.5)]
    exact = gpu_check.first_step

    def off(run, *given, **options):
        found = exact(run, *given, **options)
        return found if run.profile.precision == "float64" else (1.1 * found[0], found[1])

    monkeypatch.setattr(gpu_check, "first_step", off)
    row = gpu_check.three_steps("classification", "baseline", "ci")
    assert "loss in float32 differs from float64 by 1.0e-01, more than 1e-03" in row["wrong"]


def test_rows_are_trained_seed_by_seed_the_main_ones_first(tmp_path):
    kit = gpu.Kit(tmp_path, "ci", 0, seeds=(0, 1))
    found = list(gpu_train.places(kit).values())
    assert found[:4] == [("segmentation", name, 0) for name in ("joint_sepbn", "joint_sepbn_i2pemd", "joint", "ummkd")]
    assert found[10:14] == [("classification", name, 0) for name in ("fixmatch", "i2pemd", "baseline", "i2pemd_fix")]
    assert len(set(found)) == 44 and [seed for _, _, seed in found] == [0] * 22 + [1] * 22


def test_times_of_lessons_are_those_of_their_steps():
    speed = {name: {"ms float32": 60.0, "ms bfloat16": 50.0} for name in gpu_speed.TRAINS["05"]}
    found = gpu_train._lessons(speed | {"lesson 02": {"seconds": 4.2}, "classification baseline": {"ms float32": 60.0}})
    assert found == {"02": "gpu 5 s", "05": "gpu about 5 min by estimate"}


def test_lessons_train_what_their_times_are_made_of():
    numbers = {}
    for number in gpu_speed.TRAINS:
        (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        text = path.read_text(encoding="utf-8")
        numbers[number] = [int(each) for each in re.search(r'\\"gpu\\": \(?([\d, ]+)', text)[1].split(", ")]
        assert all(f'\\"{name.split()[1]}\\"' in text for name in gpu_speed.TRAINS[number])
    (steps,), (_, early, skin), (scan_seeds, seeds, scans, images, _) = numbers.values()
    assert set(gpu_speed.TRAINS["05"].values()) == {steps}
    assert list(gpu_speed.TRAINS["06"].values()) == [early + skin, skin, skin, skin]
    assert list(gpu_speed.TRAINS["07"].values()) == [scan_seeds * scans] * 2 + [seeds * images] * 3


def test_a_pack_that_is_too_large_is_not_left_there(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gpu, "TASKS", ())
    monkeypatch.setattr(gpu, "MOST", 0.1)
    assert gpu.main(["--pack", str(tmp_path / "pack")]) == 1
    assert "expected at most 0.1 MiB" in capsys.readouterr().err and not list(tmp_path.iterdir())
    monkeypatch.setattr(gpu, "MOST", 60)
    for _ in range(2):  # the second one in place of the first
        assert gpu.main(["--pack", str(tmp_path / "pack")]) == 0
    (tmp_path / "pack" / "results").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine", encoding="utf-8")
    for place in ("pack", "other"):
        assert gpu.main(["--pack", str(tmp_path / place)]) == 1
        assert "expected an empty folder, or an earlier pack without results" in capsys.readouterr().err
    assert (tmp_path / "pack" / "results").exists() and (tmp_path / "other" / "thesis.tex").exists()
