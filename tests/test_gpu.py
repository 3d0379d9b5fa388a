"""The kit for a GPU on a machine that has none, and nothing but what a bare GPU machine has: whole, packed, damaged."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile

import pytest

from i2pemd_lite.files import root
from i2pemd_lite.training import read_checkpoint, read_tables

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


@pytest.mark.slow
def test_the_kit_runs_whole_on_a_bare_machine(bare, tmp_path):
    out, back = tmp_path / "out", tmp_path / "back"
    words = ("-m", "i2pemd_lite", "gpu", "--profile", "ci", "--device", "cpu", "--seeds", "0", "--steps", "2")
    code, said = bare(*words, "--minutes", "9", "--out", out, "--back", back)
    assert code == 0, said
    kit = gpu.Kit(out, "ci", time.time())
    kept = {name: kit.read(name) for name in ("check", "speed", "report")}
    assert kept["check"].keys() == gpu_check.todo(kit).keys() and kept["speed"].keys() == gpu_speed.todo(kit).keys()
    assert kept["report"]["wrong"] == [] and "wrong" not in str([kept["check"], kept["speed"]])
    rows = [row["method"] for task in gpu.TASKS for row in kept["report"]["trained"][task]]
    assert rows == [method for task in gpu.TASKS for method in gpu_train.rows(task)]
    assert kept["report"]["lessons"] == {}  # of which times at this size say nothing
    resumed = kept["check"]["segmentation: killed and resumed"]
    assert resumed["resumed at"] == 2 and resumed["differs by"] == 0.0
    page = (out / "report.md").read_text(encoding="utf-8")
    assert "segmentation and classification on noise: 2 steps each" in page
    assert "Table 1" in page and "Table 4" in page and "not tried yet" not in page
    names = {path.name for path in back.iterdir()}
    assert names == {"report.md", "report.json", "check.json", "speed.json", "kit.json", "runs.zip"}
    assert len(names) <= gpu.FILES
    with zipfile.ZipFile(back / "runs.zip") as file:
        inside = file.namelist()
    assert "runs/segmentation-joint-seed0/labels.npz" in inside and "runs/classification-vat-seed0/scores.csv" in inside
    assert not [name for name in inside if name.endswith(".safetensors")]
    code, said = bare(*words[:-2], "--steps", "3", "--out", out)
    assert code == 1 and "--steps: expected 3 for all runs" in said and "found 2 of an earlier call" in said


@pytest.fixture(scope="module")
def packed(abdomen, skin, tmp_path_factory):
    """A packed folder of small data, in a place from which the project cannot be seen."""
    folder, data = tmp_path_factory.mktemp("carried") / "pack", tmp_path_factory.mktemp("data")
    shutil.copytree(abdomen, data, dirs_exist_ok=True)
    shutil.copytree(skin, data / "isic2018")
    words = [sys.executable, str(BENCHMARKS / "gpu.py"), "--pack", str(folder), "--profile", "ci"]
    done = subprocess.run(words, env=os.environ | {"I2PEMD_DATA": str(data)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    size = float(re.search(r"pack: ([\d.]+) MiB", done.stdout)[1])
    assert size == pytest.approx(gpu._mebibytes(folder), abs=0.1)
    return folder


def test_a_packed_folder_is_all_that_is_needed(bare, packed):
    words = ("gpu.py", "--profile", "ci", "--device", "cpu", "--minutes", "0.4", "--steps", "2")
    code, said = bare(*words, cwd=packed)
    assert code == 0 and "out of time" in said, said
    page = (packed / "results" / "report.md").read_text(encoding="utf-8")
    assert "not tried yet" in page and "on noise" not in said + page
    source = json.loads((packed / "results/runs/segmentation-joint_sepbn-seed0/settings.json").read_text())["data"]
    assert source["folder"] == str(packed / "data" / "segmentation.safetensors") and source["name"] == "synthetic"


def test_training_goes_on_where_it_stopped(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_train, "rows", lambda task: ("baseline",) if task == "classification" else ())
    kit = gpu.Kit(tmp_path, "ci", 0, steps=3)
    gpu._claim(tmp_path, "ci", "cpu")
    gpu_train.train(kit)
    folder = tmp_path / "runs" / "classification-baseline-seed0"
    assert read_checkpoint(folder, tensors=False)[0]["number"] == 1 and not (folder / "done.json").exists()
    kit.until = time.time() + 100
    gpu_train.train(kit)
    assert json.loads((folder / "done.json").read_text(encoding="utf-8"))["steps"] == 3
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


def test_results_of_another_version_or_card_are_left_alone(tmp_path, capsys):
    gpu._claim(tmp_path, "ci", "cpu")
    gpu._claim(tmp_path, "ci", "cpu")
    kit = json.loads((tmp_path / "kit.json").read_text(encoding="utf-8"))
    (tmp_path / "kit.json").write_text(json.dumps(kit | {"version": "of last week"}), encoding="utf-8")
    assert gpu.main(["--profile", "ci", "--device", "cpu", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "expected results of version" in said and "found 'of last week'; choose another folder with --out" in said


def test_without_a_gpu_the_kit_says_how_to_try_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.delenv("I2PEMD_DEVICE", raising=False)
    assert gpu.main(["--out", str(tmp_path / "out")]) == 1
    assert "expected a GPU, found none" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_what_failed_or_did_not_end_is_tried_again_after_the_rest(tmp_path):
    kit, tried = gpu.Kit(tmp_path, "ci", time.time() + 100), []

    def stage(**outcomes):
        return {name: lambda name=name: tried.append(name) or outcomes[name]() for name in outcomes}

    def killed():
        raise KeyboardInterrupt

    def fails():
        raise FloatingPointError("the loss is nan")

    with pytest.raises(KeyboardInterrupt):
        kit.do("check", stage(a=dict, b=killed, c=fails, d=dict))
    assert kit.read("check") == {"a": {}, "b": {"wrong": ["it was begun and did not end"]}}
    found = kit.do("check", stage(a=dict, b=dict, c=fails, d=dict))
    assert tried == ["a", "b", "c", "d", "b"] and found["b"] == {}
    (wrong,) = found["c"]["wrong"]
    assert wrong.startswith("FloatingPointError: the loss is nan (") and "test_gpu.py" in wrong
    kit.until = time.time() - 1
    assert kit.do("check", stage(a=dict, b=dict, c=dict, d=dict)) == found and len(tried) == 5


def test_a_method_that_is_wrong_on_the_device_is_found(monkeypatch):
    loss, gradient = gpu_check.first_step(gpu_check.begun("classification", "baseline", "ci", precision="float64"))
    assert gpu_check.differences((loss, gradient), (loss, gradient)) == [0, 0]
    assert gpu_check.differences((1.01, gradient), (1.0, 2 * gradient)) == [pytest.approx(0.01), pytest.approx(0.5)]
    exact = gpu_check.first_step

    def off(run):
        found = exact(run)
        return found if run.profile.precision == "float64" else (1.1 * found[0], found[1])

    monkeypatch.setattr(gpu_check, "first_step", off)
    row = gpu_check.three_steps("classification", "baseline", "ci")
    assert "loss in float32 differs from float64 by 1.0e-01, more than 1e-03" in row["wrong"]


def test_rows_are_trained_seed_by_seed_the_main_ones_first(tmp_path):
    kit = gpu.Kit(tmp_path, "ci", 0, seeds=(0, 1))
    found = [(task, method, seed) for task, method, seed, _ in gpu_train.places(kit)]
    assert found[:4] == [("segmentation", name, 0) for name in ("joint_sepbn", "joint_sepbn_i2pemd", "joint", "ummkd")]
    assert found[10:14] == [("classification", name, 0) for name in ("fixmatch", "i2pemd", "baseline", "i2pemd_fix")]
    assert len(set(found)) == 44 and [seed for _, _, seed in found] == [0] * 22 + [1] * 22


def test_times_of_lessons_are_those_of_their_steps():
    speed = {name: {"ms float32": 60.0, "ms bfloat16": 50.0} for name in gpu_speed.TRAINS["05"]}
    found = gpu_train._lessons(speed | {"lesson 02": {"seconds": 4.2}, "classification baseline": {"ms float32": 60.0}})
    assert found == {"02": "gpu 5 s", "05": "gpu about 5 min by estimate"}


def test_lessons_train_what_their_times_are_made_of():
    for number, wanted in gpu_speed.TRAINS.items():
        (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
        text = path.read_text(encoding="utf-8")
        (sizes,) = re.findall(r'\\"gpu\\": \(?([\d, ]+)', text)
        assert max(map(int, sizes.strip(", ").split(", "))) in (3000, 5000), sizes
        assert all(f'\\"{name.split()[1]}\\"' in text for name in wanted)


def test_a_pack_that_is_too_large_is_not_left_there(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(gpu, "TASKS", ())
    monkeypatch.setattr(gpu, "MOST", 0.1)
    assert gpu.main(["--pack", str(tmp_path / "pack")]) == 1
    assert "expected at most 0.1 MiB" in capsys.readouterr().err and not (tmp_path / "pack").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine", encoding="utf-8")
    assert gpu.main(["--pack", str(tmp_path / "other")]) == 1
    assert "expected an empty folder" in capsys.readouterr().err and (tmp_path / "other" / "thesis.tex").exists()
