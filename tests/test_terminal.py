"""Every command in any terminal: with few characters, with a reader who goes away, without docstrings or room."""

import ast
import errno
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from masters import notebook_of

from i2pemd_lite import __main__
from i2pemd_lite.course import commands
from i2pemd_lite.course.about import equations, ledger
from i2pemd_lite.course.publish import notebooks, pages, reference, updates
from i2pemd_lite.course.record import progress
from i2pemd_lite.files import refusal
from i2pemd_lite.panels.engine import moving
from i2pemd_lite.text import about, plain

ROOT = Path(__file__).resolve().parent.parent
LESSON = [notebooks.markdown("a-00", "# 02 · One\n\nλ ≥ 1 …"), notebooks.code("a-01", "print('λ ≥ 1 …')")]
COMMANDS = {
    "doctor": "",
    "data": "classification --data {skin}",
    "train": "classification i2pemd --data {skin} --out {out}/run --set steps=1",
    "evaluate": "{run}",
    "predict": "{run} --out {out}/scores.csv",
    "tables": "classification --runs {run} --out {out}/tables",
    "sweep": "classification i2pemd --data {skin} --out {out}/sweep --vary top=4,8 --set steps=1 --trials 1",
    "ledger": "",
    "outline": "",
    "readings": "",
    "lessons": "--out {out}/lessons",
    "site": "--out {out}/site",
    "release": "--out {out}/course",
    "ship": "--check 02",
    "work": "",
    "clean": "",
    "report": "{here}/hand-ins --out {out}/class",
}
BARE = """
import importlib.machinery as machinery, json, sys, warnings

class Bare(machinery.SourceFileLoader):
    def get_code(self, name):
        return compile(self.get_data(self.path), self.path, "exec", dont_inherit=True, optimize=2)

class Finder(machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = super().find_spec(name, path, target) if name.split(".")[0] == "i2pemd_lite" else None
        if spec and spec.origin:
            spec.loader = Bare(name, spec.origin)
        return spec

sys.meta_path.insert(0, Finder)
sys.path[:0] = [sys.argv[1], f"{sys.argv[1]}/tests"]
warnings.filterwarnings("error", category=EncodingWarning, module=r"i2pemd_lite\\b")
from tests.test_terminal import run_all
from i2pemd_lite.course.about import equations

found = run_all(json.loads(sys.argv[2]))
with open(sys.argv[3], "w", encoding="utf-8") as file:
    json.dump([run_all.__globals__["__main__"].main.__doc__, found, equations.eq01.meaning], file)
"""  # the package as -OO has it, but not torch and all others, which would have to be compiled for it


def run_all(places, before=lambda: None):
    """{command: exit status}, each after a call of `before`; those that copy lessons copy a small one."""
    found = {}
    for name, words in COMMANDS.items():
        with pytest.MonkeyPatch.context() as patch:
            if name in ("lessons", "release", "site", "work"):
                for module, which in ((notebooks, "root"), (updates, "root"), (updates, "home")):
                    patch.setattr(module, which, lambda: Path(places["here"]))
            if name == "site":
                patch.setattr(ledger, "DRAWS", 0)
                patch.setattr(moving, "SECONDS", 0)
                patch.setattr(reference, "modules", lambda: ["i2pemd_lite.ground"])
            if name in ("clean", "doctor"):  # what others write meanwhile is not told
                patch.setenv("I2PEMD_CACHE", f"{places['here']}/empty")
                patch.setenv("I2PEMD_HOME", f"{places['here']}/empty")
            before()
            found[name] = __main__.main([name, *words.format(**places).split()])
    return found


def said(text, places):
    """What was printed, without what differs from run to run: folders, figures, the widths of columns, and whether a
    lesson had to be run anew or was in the cache, which all processes of the tests share."""
    text = re.sub(r"^lessons: running lesson .*\n", "", text.replace(places["out"], "OUT"), flags=re.M)
    return re.sub(r"\d+(\.\d+)?", "0", text).split()


@pytest.fixture(scope="module")
def here(skin, shared, tmp_path_factory):
    """A run, a hand-in and a lesson, each as small as can be, and a cache in which all that takes long is done."""
    folder = tmp_path_factory.mktemp("terminal")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("I2PEMD_CACHE", str(folder / "learner"))
        progress.record("check", "02a", right=True, hint=0, finding="", by="learner")
        (folder / "hand-ins").mkdir()
        progress.save(folder / "hand-ins" / "anna.json")
        patch.setenv("I2PEMD_CACHE", str(shared / "cache"))
        # Of a name that no other test has: all share this cache, which keeps one copy of a name.
        notebooks.write(folder / "notebooks" / "02_told.ipynb", notebook_of(LESSON))
        pages.write(folder / "pages", folder=folder / "notebooks")
        words = COMMANDS["train"].format(skin=skin, out=folder)
        assert __main__.main(["train", *words.split()]) == 0
    return {"here": str(folder), "skin": str(skin), "run": str(folder / "run")}


@pytest.fixture
def places(here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return here | {"out": str(tmp_path / "out")}


@pytest.fixture(scope="module")
def told(here, shared, tmp_path_factory):
    """What all commands print where every character can be printed, and the files that they write."""
    places = here | {"out": str(tmp_path_factory.mktemp("out"))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("I2PEMD_CACHE", str(shared / "cache"))
        out = streams(patch, "utf-8")
        assert set(run_all(places).values()) == {0}
    return [stream.buffer.getvalue().decode() for stream in out], files(places), places


def streams(monkeypatch, encoding):
    out = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    for name, stream in zip(("stdout", "stderr"), out, strict=True):
        monkeypatch.setattr(sys, name, stream)
    return out


def files(places):
    return sorted(str(path.relative_to(places["out"])) for path in Path(places["out"]).rglob("*") if path.is_file())


def closed():
    """A pipe to write to whose reader has gone."""
    reads, writes = os.pipe()
    os.close(reads)
    return writes


def test_all_commands_are_run_here():
    (known,) = (action.choices for action in __main__._parser()._actions if action.choices)
    assert {*COMMANDS, "gpu", "lab"} == known.keys()  # programs of their own, run in test_gpu.py and test_home.py


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii"])
def test_every_command_prints_what_the_output_can_hold(encoding, told, places, monkeypatch):
    out = streams(monkeypatch, encoding)
    assert set(run_all(places).values()) == {0}
    (printed, _), written, reference = told
    found, complaints = (stream.buffer.getvalue().decode(encoding) for stream in out)
    assert said(found, places) == said(plain(printed, encoding), reference)
    assert "≥" in printed and "λ" in printed and ("?" in found) == ("?" in printed)
    assert "Error" not in complaints and "█" not in plain(complaints, encoding) and "100%|###" in complaints
    assert files(places) == written


def test_every_command_does_its_work_to_the_end_when_nobody_reads(told, places, monkeypatch):
    opened = []

    def before():
        for name in ("stdout", "stderr"):
            opened.append(open(closed(), "w", encoding="utf-8"))
            monkeypatch.setattr(sys, name, opened[-1])

    found = run_all(places, before)
    monkeypatch.undo()
    for file in opened:
        file.close()
    assert found == dict.fromkeys(COMMANDS, 141) | {"work": 0}  # which prints nothing
    assert files(places) == told[1]


def test_every_command_runs_without_docstrings(told, places, tmp_path):
    """And opens no file in the encoding of the machine: Python warns of that when it is asked to."""
    words = ["-X", "warn_default_encoding", "-c", BARE, ROOT, json.dumps(places), tmp_path / "found.json"]
    done = subprocess.run([sys.executable, *words], capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr.decode()
    docstring, found, meaning = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert docstring is None and found == dict.fromkeys(COMMANDS, 0) and meaning == equations.eq01.meaning
    assert said(done.stdout.decode(), places) == said(plain(told[0][0], "ascii"), told[2])
    assert files(places) == told[1]


def test_help_is_there_without_docstrings():
    words = [sys.executable, "-OO", "-m", "i2pemd_lite", "--help"]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", cwd=ROOT, env=os.environ | {"COLUMNS": "100"})
    assert done.returncode == 0 and done.stderr == ""
    assert all(about(vars(commands)[name]) in " ".join(done.stdout.split()) for name in ("doctor", "ledger", "work"))
    assert "python -m i2pemd_lite train --resume runs/ours" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGPIPE there")
@pytest.mark.parametrize(("words", "status"), [("-m i2pemd_lite clean", 141), ("run.py", -13)])
def test_a_pipe_that_is_closed_ends_a_program_quietly(words, status, tmp_path):
    with open(closed(), "wb") as out:
        words = [sys.executable, *words.format(tmp_path).split()]
        done = subprocess.run(words, stdout=out, stderr=subprocess.PIPE, cwd=ROOT)
    assert (done.returncode, done.stderr) == (status, b"")


def test_run_py_says_its_words_anywhere():
    """Nothing is installed when it runs, so all that it prints is ASCII."""
    words = [sys.executable, "-OO", "run.py", "--help"]
    done = subprocess.run(words, capture_output=True, cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and b"run.py lab" in done.stdout and done.stderr == b""
    calls = [node for node in ast.walk(ast.parse((ROOT / "run.py").read_bytes())) if isinstance(node, ast.Call)]
    assert calls and all(ast.unparse(call).isascii() for call in calls)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")
def test_output_without_room_is_said_in_a_sentence(monkeypatch, capsys):
    with open("/dev/full", "w", encoding="utf-8") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert __main__.main(["outline"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("i2pemd_lite: standard output: expected room for what is printed, found: No space left")
    assert "make room" in said and said.count("\n") == 1


def test_an_error_of_the_system_is_said_in_a_sentence():
    said = refusal(FileExistsError(errno.EEXIST, "File exists", "out/course"))
    assert said == "out/course: expected a file or folder to use, found: File exists; choose another path"
    said = "a file: expected room to write it, found: Full; make room on its disk, or choose another path"
    assert refusal(OSError(errno.ENOSPC, "Full")) == said and refusal(OSError(errno.EPERM, "Not permitted")) == ""


def test_a_cache_that_cannot_be_written_to_is_said_in_a_sentence(here, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path / "file" / "cache"))
    assert __main__.main(["data", "classification", "--data", here["skin"]]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"i2pemd_lite: {tmp_path / 'file'}") and "expected a file or folder to use, found: " in said
    assert said.endswith("; set I2PEMD_CACHE to a folder that can be written to")


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files there")
def test_a_training_without_room_is_said_in_a_sentence(places, monkeypatch):
    import resource

    _, complaints = streams(monkeypatch, "utf-8")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        assert __main__.main(["train", *COMMANDS["train"].format(**places).split()]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    last = complaints.buffer.getvalue().decode().splitlines()[-1]
    file = Path(places["out"]) / "run" / "checkpoint.safetensors"
    assert re.match(rf"i2pemd_lite: {file}: expected room for [.0-9]+ MiB, found: File too large; make room on", last)
