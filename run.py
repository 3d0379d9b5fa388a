"""Set up and use i2pemd-lite, with the same words on Linux, macOS and Windows.

    python3 run.py lab       open JupyterLab on the lessons
    python3 run.py test      lint, unit tests, doctests, and every lesson under the ci profile
    python3 run.py lessons   execute every lesson into HTML, in out/lessons (lessons 02: only that one)
    python3 run.py bench     time the loss, the solvers, a training step and the panels (bench panels: only those)
    python3 run.py setup     only make .venv and install

The first use makes .venv beside this file and installs; later uses start at once and need no network. Further words go
to the program behind: python3 run.py lab --no-browser, python3 run.py test -k emd.
Only the standard library is used here, for it runs before anything is installed.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
WORDS = ("setup", "lab", "lessons", "test", "bench")


def main():
    """Do what the first word says with the words after it."""
    words = sys.argv[1:]
    if not words or words[0] not in WORDS:
        print(__doc__ if not words or words[0] in ("-h", "--help") else f"{__doc__}\nrun.py: no command {words[0]!r}")
        return 0 if words in (["-h"], ["--help"]) else 2
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        print(f"run.py: expected Python 3.11 to 3.14, found {sys.version.split()[0]}; start it with another python3")
        return 1
    word, rest = words[0], words[1:]
    try:
        install()
        return globals()[word](rest)
    except subprocess.CalledProcessError as error:
        print(f"run.py: this command failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return error.returncode or 1
    except KeyboardInterrupt:
        return 130


def install():
    """Make .venv and install this package with all that the five words need, unless that is done already."""
    stamp = VENV / "installed.txt"
    if PYTHON.exists() and stamp.exists() and stamp.read_text() == state():
        return
    if VENV.exists() and not works():
        print("run.py: .venv does not start, making it anew", flush=True)
        shutil.rmtree(VENV)
    if not VENV.exists():
        print("Making .venv …", flush=True)
        venv.create(VENV, with_pip=True)
    print("Installing i2pemd-lite into .venv, a few minutes the first time …", flush=True)
    stamp.unlink(missing_ok=True)
    call("-m", "pip", "install", "--quiet", "-c", "constraints.txt", "-e", ".[lab,test]")
    stamp.write_text(state())


def state():
    """A hash of what an installation depends on."""
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "constraints.txt"))
    return hashlib.sha256(f"{text}{sys.version}{ROOT}".encode()).hexdigest()


def works():
    """Whether the Python in .venv starts and has pip."""
    if not PYTHON.exists():
        return False
    return subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode == 0


def setup(_):
    """Everything was done by `install`."""
    print(f"Ready. Next: {Path(sys.executable).name} run.py lab")
    return 0


def lab(rest):
    """JupyterLab on lesson 00, with the repository as its root, without news pop-ups."""
    quiet = VENV / "jupyter-settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True, exist_ok=True)
    quiet.write_text('{"fetchNews": "false", "checkForUpdates": false}\n')
    root = [] if not hasattr(os, "geteuid") or os.geteuid() else ["--allow-root"]
    return run(
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={ROOT}",
        "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb",
        *root,
        *rest,
        JUPYTERLAB_SETTINGS_DIR=VENV / "jupyter-settings",
    )


def lessons(rest):
    """Every lesson, or those whose number or file name is given, executed into HTML under out/lessons."""
    named = tuple(Path(word).stem for word in rest if not word.startswith("-"))
    options = [word for word in rest if word.startswith("-")]
    every = sorted(ROOT.glob("notebooks/*.ipynb"))
    chosen = [lesson for lesson in every if not named or lesson.stem.startswith(named)]
    if not chosen:
        print(f"run.py: expected lessons among {', '.join(lesson.stem for lesson in every)}, found {', '.join(named)}")
        return 1
    to = str(ROOT / "out" / "lessons")
    # Without stored widget state a page shows each panel's picture, where it would ask a server for the widgets.
    no_state = "--ExecutePreprocessor.store_widget_state=False"
    options = ["--to=html", "--execute", no_state, f"--output-dir={to}", *options]
    return run("-m", "jupyter", "nbconvert", *options, *chosen)


def test(rest):
    """Lint, then all tests; with further words only the tests that they choose."""
    if not rest:
        call("-m", "ruff", "check", ".")
    return run("-m", "pytest", *rest, I2PEMD_PROFILE="ci", I2PEMD_STRICT="1", OMP_NUM_THREADS="1")


def bench(rest):
    """The tables of timings, or the one that is named."""
    return run(ROOT / "tests" / "benchmarks" / "bench.py", *rest)


def call(*words):
    """Run the Python of .venv and stop here if it fails."""
    subprocess.run([PYTHON, *words], cwd=ROOT, check=True)


def run(*words, **environment):
    """Run the Python of .venv, with some environment variables unless the user has set them; its exit status."""
    environment = {name: os.environ.get(name, str(value)) for name, value in environment.items()}
    process = subprocess.Popen([PYTHON, *words], cwd=ROOT, env=os.environ | environment)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # Ctrl-C is the program's own to answer: JupyterLab asks, pytest sums up
            continue


if __name__ == "__main__":
    sys.exit(main())
