# Not a docstring, which python -OO leaves out.
__doc__ = """Set up and use i2pemd-lite, with the same words on Linux, macOS and Windows.

    python3 run.py lab       open JupyterLab on the lessons, in work/ (lab --solutions: with them, in notebooks/)
    python3 run.py test      lint, unit tests, doctests, and every lesson under the ci profile (test quick: the core)
    python3 run.py lessons   execute every lesson into pages that move, in out/lessons (lessons 02: only that one)
    python3 run.py site      write the whole course as one folder for a browser without network, in out/site
    python3 run.py course    write the copies for students, teachers, nbgrader and slides, in out/course
    python3 run.py work      renew your copies in work/ and keep what you wrote (work 02 --fresh, work 02 --restore)
    python3 run.py clean     show what lies where, and remove what can be made again
    python3 run.py doctor    say whether all is there, and what to do about what is not
    python3 run.py bench     time the loss and the solvers (or bench step, skin and others, as README says)
    python3 run.py gpu       check, time and train all methods on a GPU, and report (gpu --pack FOLDER: to carry to one)
    python3 run.py setup     only make .venv and install
    python3 run.py wheels    collect all that an installation without network takes (wheels FOLDER, wheels --help)
    python3 run.py pins      renew constraints.txt if the whole suite passes with it (pins numpy: only that package)

The first use makes .venv beside this file and installs; later uses start at once and need no network. On Linux it takes
torch without CUDA where there is no NVIDIA GPU; --cpu or --cuda after any of these words overrule that. Further words
go to the program behind: python3 run.py lab --no-browser, python3 run.py test tests/test_emd.py.

Whoever may only read this folder uses what its owner installed. What they write goes to ~/i2pemd, or to the folder that
--home FOLDER or I2PEMD_HOME names.
Only the standard library is used here, for it runs before anything is installed.
"""

import argparse
import ast
import collections
import contextlib
import hashlib
import importlib.util
import itertools
import json
import os
import platform
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CORE = ("float64", "fused", "losses", "metrics", "notebooks", "prototypes", "style", "run", "emd")
COURSE = {word: word for word in ("lab", "lessons", "site", "work", "clean", "doctor")}  # of the module
COURSE["course"] = "release"
WORDS = ("setup", "wheels", "test", "bench", "gpu", "pins", *COURSE)
WHEELS = ROOT / "wheels"  # what an installation takes, where it is there, in place of the network
PLATFORMS = {  # {system: (what uv calls it, tags of the wheels that it takes)}
    "linux": ("x86_64-manylinux_2_28",
              ["manylinux2014_x86_64", *(f"manylinux_2_{n}_x86_64" for n in range(28, 4, -1))]),
    "windows": ("x86_64-pc-windows-msvc", ["win_amd64"]),
    "macos": ("aarch64-apple-darwin", [f"macosx_{n}_{kind}" for n in ("14_0", "13_0", "12_0", "11_0", "10_13", "10_9")
                                       for kind in ("arm64", "universal2")]),
}  # fmt: skip
TORCH = "https://download.pytorch.org/whl/cpu"  # torch without CUDA; on Linux PyPI's brings gigabytes of it
UV_OPTIONS = {  # of pip, and what uv calls them
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "constraint": "--constraints",
    "trusted-host": "--allow-insecure-host",
    "no-binary": "--no-binary",
    "only-binary": "--only-binary",
}
UV_VARIABLES = {
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "HTTPS_PROXY",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
}
ADVICE = {  # what kind of failure, what pip, uv or the system say then, and what to do; the first that fits
    "space": (
        r"no space left|not enough space|disk quota",
        "there is no space left on the disk; free 3 GB (8 GB with CUDA), or name folders that have it in "
        "UV_CACHE_DIR and TMPDIR, and start again",
    ),
    "certificate": (
        r"certificate",
        "the package index shows a certificate that is not trusted here; give pip the certificates that your network "
        "uses (pip config set global.cert FILE) and start again",
    ),
    "network": (
        r"newconnectionerror|connecttimeout|readtimeout|name resolution|dns error|client error|network is unreachable"
        r"|connection (refused|reset|timed out|aborted)|cannot connect to proxy|timed out",
        "the package index does not answer; connect to the network, or tell pip of your proxy (pip config set "
        "global.proxy URL) or mirror (pip config set global.index-url URL), and start again",
    ),
    "rights": (
        r"permission denied|access is denied|read-only file system|not permitted|not a directory",
        "this cannot be written to; copy the project into a folder of your own, close programs that use its .venv, "
        "and start again",
    ),
    "build": (
        r"no matching distribution|no wheels with a matching|requires-python|requires a different python"
        r"|no solution found|not a supported wheel|resolutionimpossible",
        "the package index has no builds for this Python and system, or none that pip's constraints allow; use Python "
        "3.11 to 3.14 with 64 bits, on Linux, Windows, or macOS 14 with an Apple processor",
    ),
}


class Stop(Exception):
    """What is wrong and what to do, in one sentence."""


def main():
    """Do what the first word says with the words after it."""
    words = sys.argv[1:]
    if not words or words[0] not in WORDS:
        print(__doc__ if not words or words[0] in ("-h", "--help") else f"{__doc__}\nrun.py: no command {words[0]!r}")
        return 0 if words in (["-h"], ["--help"]) else 2
    if not (3, 11) <= sys.version_info[:2] <= (3, 14):
        print(f"run.py: expected Python 3.11 to 3.14, found {sys.version.split()[0]}; start it with another python3")
        return 1
    word, rest = words[0], [each for each in words[1:] if each not in ("--cpu", "--cuda")]
    try:
        install("cuda" if "--cuda" in words else "cpu" if "--cpu" in words else None)
        if word in COURSE:
            return run("-m", "i2pemd_lite", COURSE[word], *rest)
        return globals()[word](rest)
    except Stop as stop:
        print(f"run.py: {stop}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"run.py: this command failed: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return error.returncode or 1
    except KeyboardInterrupt:
        return 130


def install(build=None):
    """Make .venv and install this package with all that the words need, unless that is done already.

    `build` says which torch is wanted: "cpu", "cuda", or None for what the machine has use for. Only Linux has both.
    """
    build = build if sys.platform == "linux" else None
    if installed(build):
        return
    if not takes_files():
        if not usable():
            found = "none that starts" if not usable("") else "one that was made for another place"
            raise Stop(f"{ROOT}: expected a whole installation, found {found}, and it cannot be written to; ask its "
                       "owner for python3 run.py setup, or use a clone of your own")  # fmt: skip
        return
    try:
        with one_at_a_time() as waited:
            if not (waited and installed(build)):
                make(build)
    except OSError as error:
        raise Stop(f"{error.filename or VENV}: {advice(str(error))} ({error.strerror or error})") from error
    except KeyboardInterrupt:
        print("run.py: stopped before .venv was complete; the next start makes it anew", file=sys.stderr)
        raise


def installed(build):
    """Whether .venv was completed from the present files, with the wanted build of torch."""
    stamp = VENV / "installed.txt"
    found = PYTHON.exists() and stamp.exists() and stamp.read_text(encoding="utf-8")
    return found == state() and build in (None, torch_build())


def takes_files():
    """Whether one can write into this folder; Windows tells by trying alone."""
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=ROOT):
        return True
    return False


def usable(what="import i2pemd_lite"):
    """Whether the Python in .venv starts, and does what is asked of it outside of this folder."""
    with contextlib.suppress(OSError):
        return not subprocess.run([PYTHON, "-c", what], cwd=VENV, capture_output=True).returncode
    return False


def torch_build():
    """Which torch is in .venv, as `build` names it, or None."""
    found = [path.name for path in VENV.glob("lib/*/site-packages/torch-[0-9]*.dist-info")]
    return ("cpu" if "+cpu" in found[0] else "cuda") if found else None


@contextlib.contextmanager
def one_at_a_time():
    """Wait while another start installs here; gives whether there was one.

    The lock is on this file, and ends with the processes that hold it, however they end.
    """
    waited = False
    with open(__file__, "rb") as file:
        while not locked(file):
            if not waited:
                print("Another start is installing here; waiting for it ...", flush=True)
            waited = True
            time.sleep(0.5)
        yield waited


def locked(file):
    """Lock an open file for this process and those it starts; False if another process holds it."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(2**20)  # past the end, for what is locked cannot be read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.set_inheritable(file.fileno(), True)  # an installer that outlives a killed start keeps the lock
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks: go on without
        pass
    return True


def make(build):
    """Make .venv, or bring it up to date. Until it is complete for the first time its stamp is there and empty."""
    stamp = VENV / "installed.txt"
    why = useless(stamp, build) if VENV.exists() else ""
    if why:
        if not stamp.exists():
            raise Stop(f".venv {why}, and was not made by run.py; move it away and start again")
        print(f"run.py: .venv {why}, making it anew", flush=True)
        shutil.rmtree(VENV / PYTHON.parent.name, ignore_errors=True)  # first: what a stop leaves is useless, too
        shutil.rmtree(VENV)
    if not VENV.exists():
        if not importlib.util.find_spec("ensurepip"):
            raise Stop("this Python cannot make environments; on Debian and Ubuntu: apt install python3-venv")
        print("Making .venv ...", flush=True)
        VENV.mkdir()
        stamp.write_text("")
        try:
            venv.create(VENV, with_pip=True)
        except subprocess.CalledProcessError as error:
            said = error.output.decode(errors="replace")
            print(said if kind(said) is None else "", end="", file=sys.stderr)
            raise Stop(f".venv could not be made: {advice(said)}") from error
    was = stamp.read_text(encoding="utf-8").splitlines() if stamp.exists() else []
    now = state().splitlines()
    if os.name != "nt" and was[1:] not in ([], now[1:]):
        move(Path(was[1]))
    if os.name == "nt" or was[:1] != now[:1]:
        fill(build)
    quiet()
    stamp.write_text(state(), encoding="utf-8")


def move(old):
    """Tell .venv that this folder was moved, or renamed, since it was installed as `old`; nothing is downloaded."""
    print(f"This folder was {old} when it was installed; telling .venv so ...", flush=True)
    code, _ = tried("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "-e", ".")
    if code:
        raise Stop(".venv is of another place; move this folder back, or move .venv away and start again")
    venv.create(VENV)  # for its scripts that shells read
    was, now, sh = os.fsencode(old / ".venv"), os.fsencode(VENV), b"#!/bin/sh"
    programs = VENV / PYTHON.parent.name
    python = os.fsencode(programs / PYTHON.name)
    told = b"#!" + python
    if b" " in told or len(told) > 127:  # which no system takes there: pip's own way, read by sh and by Python
        told = b"%s\n'''exec' \"%s\" \"$0\" \"$@\"\n' '''" % (sh, python)
    for path in filter(Path.is_file, programs.iterdir()):
        first, _, rest = path.read_bytes().partition(b"\n")
        if first.startswith(b"#!" + was):
            path.write_bytes(told + b"\n" + rest)
        elif first == sh:
            path.write_bytes(sh + b"\n" + rest.replace(was, now, 1))


def useless(stamp, build):
    """Why .venv cannot be brought up to date, or ""."""
    if stamp.exists() and not stamp.stat().st_size:
        return "is incomplete"
    if not works():
        return "does not start, has no pip, or is of another Python"
    if stamp.exists() and build not in (None, torch_build()):
        return f"has torch for {torch_build()}"
    return ""


def fill(build):
    """Install everything into .venv: by uv, or by pip where uv cannot be had or fails."""
    if WHEELS.is_dir():
        print(f"Installing from {WHEELS}, without the network.", flush=True)
        os.environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS.as_uri()}
    told = pip_is_told()
    print("Getting uv, which installs faster than pip ...", flush=True)
    code, said = tried("-m", "pip", "install", f"uv=={pinned('uv')}")
    if code and kind(said) not in (None, "build"):
        raise Stop(f"nothing could be installed: {advice(said)}")
    if code:
        print("run.py: uv is not to be had here, so pip installs instead, which takes minutes", flush=True)
    tools = [by_pip] if code else [by_uv, by_pip]
    words = ["-c", "constraints.txt", "-e", ".[lab,site,test]"]
    if sys.platform == "linux":
        without = f"{pinned('torch')}+cpu"
        if build == "cuda":
            words.append(f"torch!={without}")  # which a folder of pip's find-links may have
        elif build == "cpu" or not (has_gpu() or torch_build() == "cuda" or WHEELS.is_dir()):
            torch_without_cuda(tools, told, f"torch=={without}", must=build == "cpu")
    cuda = sys.platform == "linux" and not torch_build()
    size = "3 GB to download, for torch comes with CUDA here (setup --cpu: without)" if cuda else "0.5 GB to download"
    size = "" if WHEELS.is_dir() else f"{size}, and "
    print(f"Installing i2pemd-lite and all that it needs: {size}a minute or two to compile it ...", flush=True)
    try:
        put(tools, told, *words)
    except Stop as stop:
        if not WHEELS.is_dir():
            raise
        raise Stop(f"{WHEELS}: expected what this version needs on this system with this Python, found other wheels; "
                   "collect them anew by python3 run.py wheels, or move the folder away to use the network") from stop


def torch_without_cuda(tools, told, torch, must):
    """Install torch alone, from the index of builds without CUDA if that answers, else if it `must` be from pip's."""
    index = not on(told.get("no-index", "")) and answers(f"{TORCH}/torch/", told.get("cert"), told.get("proxy"))
    if index:
        print("Installing torch without CUDA (setup --cuda takes it with CUDA, for an NVIDIA GPU) ...", flush=True)
        told = told | {"index-url": TORCH}
    elif not must:
        print("The index of torch without CUDA does not answer, so torch comes from where the rest does.", flush=True)
        return
    try:
        put(tools if must else tools[:1], told, "--no-deps", torch)
    except Stop as stop:
        if ADVICE["space"][1] in str(stop):
            raise
        if must:
            raise Stop(f"{stop}; without --cpu torch comes from where the rest does") from stop
        print("run.py: torch without CUDA is not to be had, so torch comes from where the rest does", flush=True)


def put(tools, told, *words):
    """Install what `words` say with the first of the tools; one that fails is left out from then on."""
    while True:
        code, said = tools[0](told, *words)
        if not code:
            return
        if len(tools) == 1 or kind(said) == "space":
            raise Stop(f"the installation failed: {advice(said)}")
        print("run.py: uv failed, as it says above, so pip installs instead, which takes minutes", flush=True)
        tools.pop(0)


def by_pip(told, *words):
    """Exit status and last words of pip."""
    index = ["--index-url", told["index-url"]] if "index-url" in told else []
    return tried("-m", "pip", "install", *index, *words)


def by_uv(told, *words):
    """Exit status and last words of uv, told what pip is told."""
    options, variables = for_uv(told)
    options.append("--compile-bytecode")  # as pip does; the first start, and each of whoever may only read it, would
    words = ("pip", "install", "--python", PYTHON, "--build-constraints", "constraints.txt", *options, *words)
    return tried("-m", "uv", *words, bars=True, UV_CACHE_DIR=uv_cache(), **variables)


def uv_cache():
    """The folder where uv keeps its downloads, or one in .venv if that cannot be written to."""
    place = subprocess.run([PYTHON, "-m", "uv", "cache", "dir"], capture_output=True, text=True).stdout.strip()
    try:
        os.makedirs(place, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        print(f"run.py: {place}: {error.strerror}; downloads are kept in .venv/cache instead", flush=True)
        return VENV / "cache"
    return place


def pip_is_told():
    """{option: value} that hold for `pip install`, from its configuration and the environment."""
    listed = subprocess.run([PYTHON, "-m", "pip", "config", "list"], cwd=ROOT, capture_output=True, text=True).stdout
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    told = {"cert": bundle} if bundle else {}
    for section in ("global.", "install.", ":env:."):  # the later ones win
        for line in listed.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(section):
                told[name[len(section) :]] = ast.literal_eval(value)
    return told


def for_uv(told):
    """uv's options and variables for what pip is told; folders of wheels that are not there are left out, as by pip."""
    options = ["--index-strategy", "unsafe-best-match"]  # as pip: the newest that any index has
    for name, option in UV_OPTIONS.items():
        for value in told.get(name, "").split():
            if value.startswith("file:") and name == "find-links":
                value = urllib.request.url2pathname(urllib.parse.urlsplit(value).path)
            if name != "find-links" or "://" in value or os.path.exists(value):
                options += [option, value]
    if on(told.get("no-index", "")):
        options.append("--no-index")
    variables = {variable: told[name] for name, variable in UV_VARIABLES.items() if name in told}
    return options, {"UV_SYSTEM_CERTS": "1"} | variables


def pinned(name):
    """The version of a package in constraints.txt."""
    return re.search(rf"^{name}==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)[1]


def on(text):
    """Whether a value of pip's configuration means yes."""
    return text.lower() in ("1", "y", "yes", "t", "true", "on")


def has_gpu():
    """Whether Linux shows an NVIDIA GPU."""
    return bool(shutil.which("nvidia-smi")) or any(map(os.path.exists, ("/proc/driver/nvidia", "/dev/nvidia0")))


def answers(url, certificates=None, proxy=None, seconds=3):
    """Whether a server gives a page within some seconds, the search for its name included."""
    found = []

    def ask():
        with contextlib.suppress(Exception):
            context = ssl.create_default_context(cafile=certificates)
            handlers = [urllib.request.HTTPSHandler(context=context)]
            handlers += [urllib.request.ProxyHandler({"http": proxy, "https": proxy})] if proxy else []
            found.append(urllib.request.build_opener(*handlers).open(url, timeout=seconds).status)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(found)


def kind(said):
    """What kind of failure the last words of an installer tell of, one of ADVICE, or None."""
    return next((each for each, (words, _) in ADVICE.items() if re.search(words, said, re.I)), None)


def advice(said):
    """What to do after a failure with these last words."""
    return ADVICE[kind(said)][1] if kind(said) else "the lines above say why; start again when that is mended"


def tried(*words, bars=False, **environment):
    """Run the Python of .venv; its exit status and the last lines that it wrote to stderr, shown as they come.

    With `bars` a terminal is left to the program, which draws there how far it is; its words are then unknown, but for
    a disk that is full.
    """
    command, environment = [PYTHON, *words], os.environ | {name: str(value) for name, value in environment.items()}
    last = collections.deque(maxlen=30)
    pipe = None if bars and sys.stderr.isatty() else subprocess.PIPE
    options = {"cwd": ROOT, "env": environment, "stderr": pipe, "text": True, "errors": "replace", "close_fds": False}
    with subprocess.Popen(command, **options) as process:
        for line in process.stderr or ():
            print(line, end="", file=sys.stderr, flush=True)
            last.append(line)
    if pipe is None and process.returncode and shutil.disk_usage(ROOT).free < 2**30:
        last.append("no space left")
    return process.returncode, "".join(last)


def quiet():
    """A learner's JupyterLab: without the menus of nbgrader and its Notebook, with a kernel of its own."""
    settings, parts = VENV / "etc" / "jupyter", ("formgrader", "validate_assignment", "assignment_list", "course_list")
    servers = [f"nbgrader.server_extensions.{part}" for part in parts] + ["notebook"]
    menus = {"disabledExtensions": {"@jupyter/nbgrader": True, "@jupyter-notebook/lab-extension": True}}
    off = {"ServerApp": {"jpserver_extensions": dict.fromkeys(servers, False)}}
    for name, value in (("labconfig/page_config.json", menus), ("jupyter_server_config.json", off)):
        (settings / name).parent.mkdir(parents=True, exist_ok=True)
        (settings / name).write_text(json.dumps(value, indent=1) + "\n")
    kernel = VENV / "share" / "jupyter" / "kernels" / "i2pemd-lite" / "kernel.json"  # for which own copies ask
    kernel.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "i2pemd_lite" / "course" / "publish" / "static" / "kernel.json", kernel)


def state():
    """What an installation depends on: a hash, and in another line where it is."""
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("pyproject.toml", "constraints.txt"))
    return f"{hashlib.sha256(f'{text}{sys.version}'.encode()).hexdigest()}\n{ROOT}"


def works():
    """Whether the Python in .venv starts, is of this version, and has pip."""
    if not PYTHON.exists():
        return False
    said = subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, text=True)
    return said.returncode == 0 and "(python {}.{})".format(*sys.version_info) in said.stdout


def setup(_):
    """Everything was done by `install`."""
    print(f"Ready. Next: {Path(sys.executable).name} run.py lab")
    return 0


def wheels(rest):
    """What an installation takes, as files in a folder, for computers without a network."""
    parser = argparse.ArgumentParser(prog="run.py wheels", description=(
        "Collect all that an installation takes. Put the folder beside run.py, under the name wheels, on computers "
        "without a network: python3 run.py lab then installs from it."))  # fmt: skip
    processor = {"x86_64": "", "amd64": "", "arm64": "-arm"}.get(platform.machine().lower(), "-other")
    here = {"linux": "linux", "win32": "windows", "darwin-arm": "macos"}.get(sys.platform + processor)
    parser.add_argument("folder", type=Path, help="on a stick, say; what is there stays")
    parser.add_argument("--platform", default=here, help="some of linux,windows,macos; default: this one")
    parser.add_argument("--python", default="{}.{}".format(*sys.version_info), help="such as 3.11,3.12; default: this")
    chosen = parser.parse_args(rest)
    if chosen.platform is None:
        raise Stop(f"--platform: expected some of {', '.join(PLATFORMS)}, found another machine; name one of them")
    for name, known in {"platform": [*PLATFORMS], "python": ["3.11", "3.12", "3.13", "3.14"]}.items():
        unknown = [each for each in getattr(chosen, name).split(",") if each not in known]
        if unknown:
            raise Stop(f"--{name}: expected some of {', '.join(known)}, found {', '.join(unknown)}")
    if os.environ.get("PIP_FIND_LINKS") == WHEELS.as_uri():  # by `fill`
        del os.environ["PIP_FIND_LINKS"], os.environ["PIP_NO_INDEX"]
    told = pip_is_told()
    options, variables = for_uv(told)
    folder, without = chosen.folder.absolute(), f"torch=={pinned('torch')}+cpu"
    for system in chosen.platform.split(","):
        target, tags = PLATFORMS[system]
        cpu = system == "linux"
        index = cpu and answers(f"{TORCH}/torch/", told.get("cert"), told.get("proxy"))
        more = ["--extra-index-url", TORCH] if index else []
        for python, patch in itertools.product(chosen.python.split(","), (0, 99)):  # which need others, at times
            exact, abi = f"{python}.{patch}", f"cp{python.replace('.', '')}"
            print(f"For {system} with Python {exact} ...", flush=True)
            words = [PYTHON, "-m", "uv", "pip", "compile", "--quiet", *options, *(["--index", TORCH] if index else []),
                     "--constraints", "constraints.txt", "--all-extras", "--python-platform", target,
                     "--python-version", exact, "--no-annotate", "--no-header", "pyproject.toml", "-"]  # fmt: skip
            for torch in (f"{without}\n", "") if cpu else ("",):
                came = subprocess.run(words, cwd=ROOT, text=True, capture_output=True,
                                      env=os.environ | variables | {"MACOSX_DEPLOYMENT_TARGET": "14.0"},
                                      input=f"{torch}uv\npip\nsetuptools>=77\nwheel\n")  # fmt: skip
                if not came.returncode:
                    break
            else:
                print(came.stderr, end="", file=sys.stderr)
                raise Stop(f"what {system} with Python {python} needs could not be found: {advice(came.stderr)}")
            kinds = [f"--{name}={value}" for name, values in {
                "platform": tags, "abi": [abi, "abi3", "none"], "python-version": [exact],
            }.items() for value in values]  # fmt: skip
            with tempfile.TemporaryDirectory() as place:
                listed = Path(place) / "needed.txt"
                listed.write_text(came.stdout)
                code, said = tried("-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                                   f"--dest={folder}", *kinds, *more, "-r", listed)  # fmt: skip
            if code:
                raise Stop(f"not everything could be downloaded: {advice(said)}")
    found = [path.stat().st_size for path in folder.glob("*.whl")]
    print(f"{len(found)} files, {sum(found) / 2**20:.0f} MiB, in {folder}")
    return 0


def test(rest):
    """Lint, then all tests, one more at once than cores, since some wait; `quick`: the core and doctests; or others."""
    options = {"I2PEMD_PROFILE": "ci", "I2PEMD_STRICT": "1", "OMP_NUM_THREADS": "1"}
    os.environ["PYTHONDONTWRITEBYTECODE"] = ""  # each of hundreds of processes would compile all that it imports anew
    quick, others = rest[:1] == ["quick"], rest[1:]
    if rest and not quick:
        return run("-m", "pytest", *rest, **options)
    call("-m", "ruff", "check", ".")
    call("-m", "pyrefly", "check", "--summary=none")
    workers = str(min(4, 1 + (os.cpu_count() or 1)))
    at_once = ("-n", workers, "--dist=loadfile", "--no-loadscope-reorder", "-p", "no:nbmake")
    which = ("-m", "not slow", "i2pemd_lite", *(f"tests/test_{name}.py" for name in CORE)) if quick else ()
    return run("-m", "pytest", *at_once, "--max-worker-restart", "0", *which, *others, limit=45 * 60, **options)


def bench(rest):
    """The tables of timings, or the one that is named."""
    return run(ROOT / "tests" / "benchmarks" / "bench.py", *rest)


def gpu(rest):
    """All that needs a GPU, in one command."""
    return run(ROOT / "tests" / "benchmarks" / "gpu.py", *rest)


def pins(rest):
    """Newer versions in constraints.txt, of all packages or those named, if the suite passes with them.

    It runs in a clone of what is committed; the file holds for all systems and Pythons, and is written whole or not.
    """
    options, variables = for_uv({name: value for name, value in pip_is_told().items() if name != "find-links"})
    options += [f"--upgrade-package={name}" for name in rest] or ["--upgrade"]
    options += ["--universal", "--python-version", "3.11", "--all-extras", "--no-annotate"]
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        subprocess.run(
            [PYTHON, "-m", "uv", "pip", "compile", *options, "--custom-compile-command=python3 run.py pins",
             "--quiet", "--output-file=constraints.txt", "pyproject.toml", "-"],
            cwd=clone, env=os.environ | variables, input="uv\nsetuptools>=77\n", text=True, check=True,
        )  # fmt: skip
        code = subprocess.run([sys.executable, clone / "run.py", "test"], cwd=clone).returncode
        if code:
            print("run.py: the suite fails with the newer packages, so constraints.txt stays as it is", file=sys.stderr)
        else:
            shutil.copy(clone / "constraints.txt", VENV / "constraints.txt")
            os.replace(VENV / "constraints.txt", ROOT / "constraints.txt")
    return code


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
            process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)  # pytest says what failed so far
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()
            print(f"run.py: stopped what had not ended after {limit // 60} minutes: {' '.join(map(str, words))}")
            return 1


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # run.py | head ends as any other program does
    sys.exit(main())
