__doc__ = """Set up and use i2pemd-lite, with the same words on Linux, macOS and Windows.

    python3 run.py lab       open JupyterLab on the lessons, in work/ (lab --solutions: with them, in notebooks/)
    python3 run.py test      lint, unit tests, doctests, and every lesson under the ci profile (test quick: the core)
    python3 run.py lessons   execute every lesson into pages, in out/lessons (lessons 02: only that one)
    python3 run.py course    write the copies for students, teachers, nbgrader and slides, in out/course
    python3 run.py pages     serve the panels that need no data as pages, by Voila
    python3 run.py bench     time the loss and the solvers (bench step, skin, panels, lessons: those instead)
    python3 run.py setup     only make .venv and install

The first use makes .venv beside this file and installs; later uses start at once and need no network. Further words go
to the program behind: python3 run.py lab --no-browser, python3 run.py test -k emd.
Only the standard library is used here, for it runs before anything is installed.
"""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import venv
import webbrowser
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CORE = ("float64", "fused", "losses", "metrics", "notebooks", "prototypes", "style", "training", "transport")
WORDS = ("setup", "lab", "lessons", "course", "pages", "test", "bench")


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
    """Make .venv and install this package with all that the words need, unless that is done already."""
    stamp = VENV / "installed.txt"
    if PYTHON.exists() and stamp.exists() and stamp.read_text() == state():
        return
    if VENV.exists() and not works():
        print("run.py: .venv does not start, making it anew", flush=True)
        shutil.rmtree(VENV)
    if not VENV.exists():
        print("Making .venv ...", flush=True)
        venv.create(VENV, with_pip=True)
    print("Installing i2pemd-lite into .venv: about five minutes the first time, without a word ...", flush=True)
    stamp.unlink(missing_ok=True)
    call("-m", "pip", "install", "--quiet", "-c", "constraints.txt", "-e", ".[lab,test]")
    quiet()
    stamp.write_text(state())


def quiet():
    """Keep nbgrader's menus, and those of the Notebook that comes with it, out of a learner's JupyterLab."""
    settings, parts = VENV / "etc" / "jupyter", ("formgrader", "validate_assignment", "assignment_list", "course_list")
    servers = [f"nbgrader.server_extensions.{part}" for part in parts] + ["notebook"]
    menus = {"disabledExtensions": {"@jupyter/nbgrader": True, "@jupyter-notebook/lab-extension": True}}
    off = {"ServerApp": {"jpserver_extensions": dict.fromkeys(servers, False)}}
    for name, value in (("labconfig/page_config.json", menus), ("jupyter_server_config.json", off)):
        (settings / name).parent.mkdir(parents=True, exist_ok=True)
        (settings / name).write_text(json.dumps(value, indent=1) + "\n")


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
    """JupyterLab on a learner's own copy of lesson 00, or on the master with its solutions; without news pop-ups."""
    solved, rest = "--solutions" in rest, [word for word in rest if word != "--solutions"]
    if not solved:
        call("-m", "i2pemd_lite", "work")
    quiet = VENV / "jupyter-settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True, exist_ok=True)
    quiet.write_text('{"fetchNews": "false", "checkForUpdates": false}\n')
    root = [] if not hasattr(os, "geteuid") or os.geteuid() else ["--allow-root"]
    return run(
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={ROOT}",
        f"--LabApp.default_url=/lab/tree/{'notebooks' if solved else 'work'}/00_start_here.ipynb",
        *root,
        *rest,
        JUPYTERLAB_SETTINGS_DIR=VENV / "jupyter-settings",
    )


def lessons(rest):
    """Every lesson, or those whose number or file name is given, executed into pages under out/lessons."""
    return run("-m", "i2pemd_lite", "lessons", *rest)


def course(rest):
    """The copies of the lessons under out/course."""
    return run("-m", "i2pemd_lite", "release", *rest)


def pages(rest):
    """Voilà on the panels that need no data."""
    call("-m", "i2pemd_lite", "pages", "--out", "out/pages")
    port = next((word.split("=")[1] for word in rest if word.startswith("--port=")), "8866")
    place = f"http://localhost:{port}/voila/render/index.ipynb"
    print(f"The panels: {place}", flush=True)
    if "--no-browser" not in rest:
        threading.Thread(target=shown, args=(int(port), place), daemon=True).start()
    return run("-m", "voila", "out/pages", "--no-browser", "--Voila.port_retries=0", f"--port={port}", *rest)


def shown(port, place):
    """Open a place in the browser as soon as something answers at the port."""
    for _ in range(240):
        try:
            socket.create_connection(("localhost", port), timeout=1).close()
        except OSError:
            time.sleep(0.5)
        else:
            webbrowser.open(place)
            return


def test(rest):
    """Lint, then all tests, as many at once as there are cores; `quick`: those of the core, and doctests; or others."""
    options = {"I2PEMD_PROFILE": "ci", "I2PEMD_STRICT": "1", "OMP_NUM_THREADS": "1"}
    if rest and rest != ["quick"]:
        return run("-m", "pytest", *rest, **options)
    call("-m", "ruff", "check", ".")
    at_once = ("-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile", "--no-loadscope-reorder")
    which = ("-m", "not slow", "i2pemd_lite", *(f"tests/test_{name}.py" for name in CORE)) if rest else ()
    return run("-m", "pytest", *at_once, "--max-worker-restart", "0", *which, limit=45 * 60, **options)


def bench(rest):
    """The tables of timings, or the one that is named."""
    return run(ROOT / "tests" / "benchmarks" / "bench.py", *rest)


def call(*words):
    """Run the Python of .venv and stop here if it fails."""
    subprocess.run([PYTHON, *words], cwd=ROOT, check=True)


def run(*words, limit=None, **environment):
    """Run the Python of .venv, with some environment variables unless the user has set them; its exit status.

    After `limit` seconds, if there is one, the program is stopped.
    """
    environment = {name: os.environ.get(name, str(value)) for name, value in environment.items()}
    process = subprocess.Popen([PYTHON, *words], cwd=ROOT, env=os.environ | environment)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    until = time.monotonic() + (limit or float("inf"))
    while True:
        try:
            return process.wait(None if limit is None else max(0, until - time.monotonic()))
        except KeyboardInterrupt:  # Ctrl-C is the program's own to answer: JupyterLab asks, pytest sums up
            continue
        except subprocess.TimeoutExpired:
            process.kill()
            print(f"run.py: stopped what had not ended after {limit // 60} minutes: {' '.join(map(str, words))}")
            return 1


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # run.py | head ends as any other program does
    sys.exit(main())
