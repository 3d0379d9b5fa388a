"""What a stranger relies on: pins that agree, imports that are light, commands that explain themselves."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from i2pemd_lite import files
from i2pemd_lite.__main__ import main

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = [*PROJECT["dependencies"], *(name for extra in EXTRAS.values() for name in extra)]


def pins():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    return dict(line.split("==") for line in lines)


def test_every_direct_dependency_is_pinned_within_its_range():
    ranges = dict(re.fullmatch(r"([\w-]+)>=([\w.]+)", requirement).groups() for requirement in DIRECT)
    assert ranges.keys() == pins().keys()

    def version(text):
        return [int(part) for part in re.findall(r"\d+", text)][:3]

    for name, least in ranges.items():
        assert version(pins()[name]) >= version(least), name


def test_the_tested_versions_are_installed():
    for name, version in pins().items():
        assert importlib.metadata.version(name).split("+")[0] == version, name


def test_environment_yml_installs_the_same():
    text = (ROOT / "environment.yml").read_text()
    assert "--constraint constraints.txt" in text
    assert re.search(r"--editable \.\[lab,test\]", text) and set(EXTRAS) == {"lab", "test"}
    assert "python>=3.11,<3.15" in text and PROJECT["requires-python"] == ">=3.11"


def test_no_file_names_an_index_but_that_of_torch_without_cuda():
    for name in ("pyproject.toml", "constraints.txt", "environment.yml", "run.py"):
        text = (ROOT / name).read_text()
        if name == "environment.yml":
            text = text.replace("- --extra-index-url https://download.pytorch.org/whl/cpu\n", "")
        assert not re.search(r"index-url|https?://(?!doi|localhost)", text), name


def test_pip_takes_torch_without_cuda_where_an_index_has_it():
    """What environment.yml relies on, by the library that pip decides with."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    pinned, wanted = pins()["torch"], SpecifierSet(f"=={pins()['torch']}")
    found = [Version(pinned), Version(f"{pinned}+cpu"), Version("2.6.0+cpu")]
    assert max(wanted.filter(found)) == Version(f"{pinned}+cpu")
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in (ROOT / "environment.yml").read_text()


def test_run_py_is_standard_library_only():
    imports = re.findall(r"^(?:import|from) (\w+)", (ROOT / "run.py").read_text(), re.M)
    assert set(imports) <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("words", [[], ["--help"], ["nonsense"]])
def test_run_py_explains_itself(words):
    done = subprocess.run([sys.executable, ROOT / "run.py", *words], capture_output=True, text=True)
    assert "python3 run.py lab" in done.stdout and done.returncode == (0 if words == ["--help"] else 2)


def loaded_by(statement, hidden=()):
    block = f"import sys; sys.modules.update(dict.fromkeys({list(hidden)!r}))\n"
    code = f"{block}{statement}\nprint(*(name for name, module in sys.modules.items() if module))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_importing_the_package_loads_neither_torch_nor_pot():
    assert not loaded_by("import i2pemd_lite; dir(i2pemd_lite)") & {"torch", "ot", "numpy", "matplotlib"}


LAB = ("ot", "nibabel", "pydicom", "PIL", "IPython", "ipywidgets", "matplotlib", "plotly", "skimage", "jupyterlab")


def test_the_training_path_needs_nothing_of_the_lab(abdomen, skin, tmp_path):
    """Data that were prepared elsewhere train where POT, nibabel, Pillow and Jupyter are not installed."""
    from i2pemd_lite import classification, segmentation

    volumes = segmentation.train("joint", abdomen, profile="ci").learner.data
    images = classification.train("baseline", skin, profile="ci").learner.data
    images.save(tmp_path / "images.safetensors")
    loaded = loaded_by(
        "from i2pemd_lite import segmentation, classification\n"
        f"volumes = segmentation.Prepared.open({str(volumes.folder)!r})\n"
        f"images = classification.Prepared.open({str(tmp_path / 'images.safetensors')!r})\n"
        "for run in (segmentation.train('joint_sepbn_i2pemd', volumes, profile='ci', steps=1),\n"
        "            classification.train('i2pemd', images, profile='ci', steps=1)):\n"
        "    assert next(run).evaluation",
        hidden=LAB,
    )
    assert "torch" in loaded and not loaded & set(LAB)


def test_public_names_are_where_the_design_puts_them():
    import i2pemd_lite
    from i2pemd_lite.emd import emd

    assert callable(emd)
    for name in i2pemd_lite.__all__:
        assert getattr(i2pemd_lite, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        i2pemd_lite.nothing  # noqa: B018


def test_doctor_says_that_all_is_well_and_what_is_not(capsys, monkeypatch, tmp_path):
    assert main(["doctor"]) == 0
    assert "all well" in capsys.readouterr().out
    monkeypatch.setenv("I2PEMD_DATA", str(tmp_path / "nowhere"))
    assert main(["doctor"]) == 1
    assert "I2PEMD_DATA: expected a folder" in capsys.readouterr().out


def test_commands_from_training_to_prediction(task, tmp_path, capsys):
    run, data = tmp_path / "run", ["--data", str(task.folder)]
    assert main(["data", task.name, "--profile", "ci", *data]) == 0
    new = ["train", task.name, task.method, "--profile", "ci", "--out", str(run), *data]
    assert main([*new, "--set", "steps=4", "--set", "evaluate_every=4"]) == 0
    assert main(["train", "--resume", str(run), "--set", "steps=6"]) == 0
    assert main(["train", "--resume", str(run), "--set", "weight=0.1"]) == 1  # no step is left to take with it
    assert main(["evaluate", str(run)]) == 0
    assert capsys.readouterr().out.count(f"method {task.method}") == 3
    assert main(["predict", str(run), "--out", str(tmp_path / "out")]) == 0
    assert all(Path(line).is_file() for line in capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["train", "segmentation", "jont"], "method: expected one of"),
        (["train", "segmentation"], "expected a task and a method"),
        (["train", "segmentation", "joint", "--set", "steps"], "--set steps: expected NAME=VALUE"),
        (["train", "segmentation", "joint", "--set", "steps=many"], "expected a value of type int, found 'many'"),
        (["train", "segmentation", "joint", "--set", "seed=1"], "--set seed=1: expected NAME=VALUE"),
        (["train", "classification", "i2pemd", "--set", "spacing=1,2,3"], "expected NAME=VALUE"),
        (["train", "classification", "i2pemd", "--set", "size=4"], "size: expected at least 8 px"),
        (["train", "segmentation", "joint", "--set", "size=64"], "size: expected"),
        (["train", "--resume", "nowhere", "--seed", "3"], "--resume: expected beside it only"),
        (["train", "segmentation", "joint", "--data", "nowhere"], "nowhere: expected a folder"),
        (["evaluate", "nowhere"], "nowhere: expected the folder of a run"),
        (["train", "--resume", "nowhere"], "nowhere: expected the folder of a run"),
    ],
)
def test_commands_say_what_is_wrong(words, named, capsys):
    assert main(words) == 1
    assert named in capsys.readouterr().err


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.written_whole(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_json_that_is_none_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(files.BadInput, match="a.json: expected a JSON file"):
        files.read_json(tmp_path / "a.json")


def test_nbgrader_stays_out_of_a_learners_jupyterlab(tmp_path, monkeypatch):
    """run.py switches off what nbgrader switches on; the names are those that the installed nbgrader brings."""
    import importlib.util
    import json

    spec = importlib.util.spec_from_file_location("run_py", ROOT / "run.py")
    spec.loader.exec_module(run := importlib.util.module_from_spec(spec))
    monkeypatch.setattr(run, "VENV", tmp_path)
    run.quiet()
    written = tmp_path / "etc" / "jupyter"
    off = json.loads((written / "jupyter_server_config.json").read_text())["ServerApp"]["jpserver_extensions"]
    menus = json.loads((written / "labconfig" / "page_config.json").read_text())["disabledExtensions"]
    files = [file for name in ("nbgrader", "notebook") for file in importlib.metadata.files(name)]
    brought = [json.loads(file.locate().read_text()) for file in files if "jupyter_server_config.d" in str(file)]
    servers = {name for each in brought for name in each["ServerApp"]["jpserver_extensions"]}
    assert len(servers) >= 5 and off == dict.fromkeys(servers, False)
    labs = {re.search(r"labextensions/((@[\w-]+/)?[\w-]+)/", str(file)) for file in files}
    assert menus == dict.fromkeys({found[1] for found in labs if found}, True)
