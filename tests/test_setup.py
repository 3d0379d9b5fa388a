"""What a stranger relies on: pins that agree, imports that are light, commands that explain themselves."""

import ast
import contextlib
import functools
import importlib.metadata
import importlib.util
import os
import re
import socket
import subprocess
import sys
import threading
import time
import tomllib
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from i2pemd_lite import compact, files
from i2pemd_lite.__main__ import main
from i2pemd_lite.classification.prepare import Prepared
from i2pemd_lite.course.record import handin
from i2pemd_lite.runs import store

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = [*PROJECT["dependencies"], *(name for extra in EXTRAS.values() for name in extra)]


def pins(**system):
    """{name: version} that constraints.txt holds to on a system; on this one without words."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[0] != "#"]
    held = [each for each in map(Requirement, lines) if each.marker is None or each.marker.evaluate(system)]
    assert len({each.name for each in held}) == len(held), "a package with two versions"
    assert all(re.fullmatch(r"==[\w.]+", str(each.specifier)) and not each.url for each in held)
    return {each.name: str(each.specifier)[2:] for each in held}


@functools.cache
def requirements(name):
    """What an installed package requires; nothing for one that is not installed, as of another system."""
    try:
        return [Requirement(line) for line in importlib.metadata.requires(name) or []]
    except importlib.metadata.PackageNotFoundError:
        return []


def needed(**system):
    """The names of all that pyproject.toml brings on a system, as far as the packages that are installed here tell."""
    found, todo = set(), [(Requirement(line), "") for line in DIRECT]
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate(system | {"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras} - {extra for known, extra in found if known == name}:
            found.add((name, extra))
            todo += [(each, extra) for each in requirements(name)]
    return {name for name, _ in found}


def test_every_direct_dependency_is_pinned_within_its_range():
    def version(text):
        return [int(part) for part in re.findall(r"\d+", text)][:3]

    held = pins()
    for requirement in DIRECT:
        name, least = re.fullmatch(r"([\w-]+)>=([\w.]+)", requirement).groups()
        assert version(held[name]) >= version(least), name


SYSTEMS = {
    "Linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "macOS": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    "Windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_all_that_is_needed_is_pinned_on_every_system_and_python(system, python):
    words = SYSTEMS[system] | {"python_version": python, "python_full_version": f"{python}.7"}
    assert needed(**words) - pins(**words).keys() == set()
    assert {"uv", "setuptools"} <= pins(**words).keys()  # what installs, and what builds


def test_the_tested_versions_are_installed():
    held = pins()
    for name in needed():
        assert importlib.metadata.version(name).split("+")[0] == held[name], name


def test_environment_yml_installs_the_same():
    text = (ROOT / "environment.yml").read_text()
    assert "--constraint constraints.txt" in text
    assert re.search(r"--editable \.\[lab,site,test\]", text) and set(EXTRAS) == {"lab", "site", "pretrained", "test"}
    assert {*EXTRAS["pretrained"]} <= {*EXTRAS["lab"]}
    assert "python>=3.11,<3.15" in text and PROJECT["requires-python"] == ">=3.11"


def test_no_file_names_an_index_but_that_of_torch_without_cuda():
    for name in ("pyproject.toml", "constraints.txt", "environment.yml", "run.py"):
        text = (ROOT / name).read_text()
        if name in ("environment.yml", "run.py"):
            assert text.count("https://download.pytorch.org/whl/cpu") == 1
            text = text.replace("https://download.pytorch.org/whl/cpu", "")
        assert not re.search(r"https?://(?!doi|localhost)", text), name


def test_pip_takes_torch_without_cuda_where_an_index_has_it():
    """What environment.yml relies on, by the library that pip decides with."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    pinned, wanted = pins()["torch"], SpecifierSet(f"=={pins()['torch']}")
    found = [Version(pinned), Version(f"{pinned}+cpu"), Version("2.6.0+cpu")]
    assert max(wanted.filter(found)) == Version(f"{pinned}+cpu")
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in (ROOT / "environment.yml").read_text()


def test_run_py_is_standard_library_only():
    text = (ROOT / "run.py").read_text()
    assert set(re.findall(r"^ *(?:import|from) (\w+)", text, re.M)) <= set(sys.stdlib_module_names)
    ast.parse(text, feature_version=(3, 7))  # one too old says so, and not that there is an error of syntax


@pytest.fixture
def run(monkeypatch):
    """run.py as a module, which uses the Python of the tests."""
    spec = importlib.util.spec_from_file_location("run_py", ROOT / "run.py")
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    monkeypatch.setattr(module, "PYTHON", Path(sys.executable))
    return module


@pytest.fixture
def place(run, tmp_path, monkeypatch):
    """A place where run.py makes .venv, and installs nothing into it; `place.done` lists what it did."""
    done, real = [], run.state()
    environment = tmp_path / ".venv"

    def made(folder, with_pip):
        assert environment.joinpath("installed.txt").read_text() == ""
        done.append("made")

    monkeypatch.setattr(run, "VENV", environment)
    monkeypatch.setattr(run, "works", lambda: True)
    monkeypatch.setattr(run.venv, "create", made)
    monkeypatch.setattr(run, "fill", lambda build: done.append(f"filled {build}"))
    return SimpleNamespace(run=run, venv=environment, stamp=environment / "installed.txt", done=done, state=real)


def test_run_py_installs_once_and_again_after_a_change(place, monkeypatch):
    place.run.install()
    place.run.install()
    assert place.done == ["made", "filled None"] and place.stamp.read_text() == place.state
    monkeypatch.setattr(place.run, "ROOT", place.venv.parent)
    monkeypatch.setattr(place.run, "move", lambda old: None)
    for name in ("pyproject.toml", "constraints.txt", "i2pemd_lite/course/publish/static/kernel.json"):
        (place.venv.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (place.venv.parent / name).write_text((ROOT / name).read_text())
    for name in ("pyproject.toml", "constraints.txt"):
        place.run.install()
        (place.venv.parent / name).write_text((ROOT / name).read_text() + "# another")
        place.done.clear()
        place.run.install()
        assert place.done == ["filled None"], name


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_installation_is_made_anew(place, monkeypatch, stop):
    def fill(build):
        (place.venv / "half").touch()
        raise stop

    with monkeypatch.context() as patch, pytest.raises(stop):
        patch.setattr(place.run, "fill", fill)
        place.run.install()
    assert (place.venv / "half").exists()
    place.run.install()
    assert place.done == ["made", "made", "filled None"] and not (place.venv / "half").exists()


def test_an_environment_that_worked_outlives_an_update_that_fails(place, monkeypatch):
    place.run.install()
    place.stamp.write_text("of yesterday")
    (place.venv / "theirs").touch()
    with monkeypatch.context() as patch, pytest.raises(place.run.Stop):
        patch.setattr(place.run, "fill", lambda build: (_ for _ in ()).throw(place.run.Stop("no network")))
        place.run.install()
    place.run.install()
    assert place.done == ["made", "filled None", "filled None"] and (place.venv / "theirs").exists()


@pytest.mark.skipif(os.name == "nt", reason="on Windows the programs of .venv are made anew")
def test_a_clone_that_was_moved_downloads_nothing(place, monkeypatch, tmp_path):
    monkeypatch.setattr(place.run, "tried", lambda *words: (place.done.append(words[2:]), (0, ""))[1])
    old, text = "/old", "#!/old/.venv/bin/python\nprint('/old/.venv')\n"
    for name in ("a", "my course", "b"):  # a first line of a program takes no space
        venv = tmp_path / name / ".venv"
        programs = venv / Path(sys.executable).parent.name
        programs.mkdir(parents=True)
        (programs / place.run.PYTHON.name).symlink_to(sys.executable)
        script = programs / "torchrun"
        script.write_text(text)
        script.chmod(0o755)
        (venv / "installed.txt").write_text(place.state.replace(str(ROOT), old), encoding="utf-8")
        monkeypatch.setattr(place.run, "VENV", venv)
        monkeypatch.setattr(place.run.venv, "create", lambda folder: place.done.append("told"))
        place.done.clear()
        place.run.install()
        assert {"install", "--no-index", "--no-deps", "-e", "."} <= {*place.done[0]} and place.done[1:] == ["told"]
        done = subprocess.run([script], capture_output=True, text=True, check=True)
        assert done.stdout == "/old/.venv\n" and script.read_text().startswith(f"#!{programs}" * (name == "a"))
        place.run.install()
        assert len(place.done) == 2 and (venv / "installed.txt").read_text(encoding="utf-8") == place.state
        old, text = str(tmp_path / name), script.read_text()
    (venv / "installed.txt").write_text(f"another\n{tmp_path}", encoding="utf-8")  # moved, and updated then
    place.run.install()
    assert place.done[3:] == ["told", "filled None"]


@pytest.mark.parametrize("works", [True, False])
def test_an_environment_that_somebody_else_made_is_kept(place, monkeypatch, works):
    monkeypatch.setattr(place.run, "works", lambda: works)
    place.venv.mkdir()
    (place.venv / "theirs").touch()
    with contextlib.nullcontext() if works else pytest.raises(place.run.Stop, match="not made by run.py; move it away"):
        place.run.install()
    assert place.done == ["filled None"] * works and (place.venv / "theirs").exists()


def test_an_environment_of_another_python_does_not_work(run, monkeypatch):
    assert run.works()
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    assert not run.works()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has two builds of torch")
@pytest.mark.parametrize(("has", "asked", "done"), [
    ("2.13.0", "cuda", []), ("2.13.0+cpu", "cpu", []), ("2.13.0+cpu", None, []),
    ("2.13.0+cpu", "cuda", ["made", "filled cuda"]), ("2.13.0", "cpu", ["made", "filled cpu"]),
])  # fmt: skip
def test_another_torch_is_installed_when_it_is_asked_for(place, has, asked, done):
    place.run.install()
    (place.venv / "lib" / "python3.11" / "site-packages" / f"torch-{has}.dist-info").mkdir(parents=True)
    place.done.clear()
    place.run.install(asked)
    assert place.done == done


def test_words_about_torch_are_not_passed_on(run, monkeypatch):
    said = []
    monkeypatch.setattr(run, "install", lambda build: said.append(build))
    monkeypatch.setattr(run, "run", lambda *words: said.append([*words[3:]]))
    for words in (["--cpu"], ["--no-browser", "--cuda"], ["--no-browser"]):
        monkeypatch.setattr(sys, "argv", ["run.py", "lab", *words])
        run.main()
    assert said == ["cpu", [], "cuda", ["--no-browser"], None, ["--no-browser"]]


@pytest.mark.parametrize(("what", "todo"), [
    ({"VENV": "{tmp}/file/.venv"}, "file/.venv: this cannot be written to; copy"),
    ({"importlib.util.find_spec": lambda name: None}, "apt install python3-venv"),
    ({"sys.version_info": (3, 10, 4)}, "expected Python 3.11 to 3.14"),
    ({"venv.create": "No space left on device"}, "could not be made: there is no space left"),
])  # fmt: skip
def test_what_stops_an_installation_is_one_sentence(place, monkeypatch, capsys, what, todo):
    (name, value), *_ = what.items()
    if name == "VENV":
        (place.venv.parent / "file").touch()
        value = Path(value.format(tmp=place.venv.parent))
    elif name == "venv.create":
        error = subprocess.CalledProcessError(1, ["python"], output=f"Traceback\n{value}".encode())
        value = lambda *_, **__: (_ for _ in ()).throw(error)  # noqa: E731
    owner, _, name = f"run.{name}".rpartition(".")
    monkeypatch.setattr(eval(owner, {"run": place.run}), name, value)
    monkeypatch.setattr(sys, "argv", ["run.py", "setup"])
    assert place.run.main() == 1
    said = "".join(capsys.readouterr()).strip().removeprefix("Making .venv ...\n")
    assert todo in said and said.startswith("run.py: ") and "\n" not in said


def test_one_start_installs_at_a_time(run, tmp_path, monkeypatch):
    """The lock is held until the installer that a start began has ended, too, should the start be killed."""
    (tmp_path / "run.py").touch()
    monkeypatch.setattr(run, "__file__", str(tmp_path / "run.py"))
    with open(run.__file__, "rb") as other:
        with run.one_at_a_time() as waited:
            assert not waited and not run.locked(other)
            if os.name != "nt":
                left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
        if os.name != "nt":
            assert not run.locked(other)
            left.communicate(b"\n")
        assert run.locked(other)
        threading.Timer(0.2, other.close).start()
        with run.one_at_a_time() as waited:
            assert waited


def test_run_py_hears_what_pip_is_told(run, monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("PIP_") or name.endswith("_CA_BUNDLE")]:
        monkeypatch.delenv(name)
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://localhost/simple\ntimeout = 9\nfind-links =\n  /one\n  /two\n"
        "[install]\nconstraint = theirs.txt\ntimeout = 7\n[list]\nformat = json\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "https://localhost/other")
    told = run.pip_is_told()
    assert told["index-url"] == "https://localhost/other" and told["timeout"] == "7" and "format" not in told
    assert told["find-links"].split() == ["/one", "/two"] and told["constraint"] == "theirs.txt"
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)  # no files, then
    for name in ("REQUESTS_CA_BUNDLE", "PIP_CERT"):
        monkeypatch.setenv(name, f"/{name}.pem")
        assert run.pip_is_told()["cert"] == f"/{name}.pem"


def test_uv_is_told_what_pip_is_told(run, tmp_path):
    there, address = str(tmp_path), "https://localhost/wheels"
    told = {
        "index-url": "https://localhost/simple",
        "extra-index-url": "https://localhost/a\nfile:///nowhere/simple",
        "find-links": f"{there} /nowhere {tmp_path.as_uri()} file:///nowhere {address}",
        "constraint": "a.txt b.txt",
        "trusted-host": "localhost",
        "no-index": "yes",
        "cert": "/b.pem",
        "default-timeout": "180",
        "disable-pip-version-check": "1",
    }
    options, variables = run.for_uv(told)
    pairs = list(zip(options[2:-1:2], options[3:-1:2], strict=True))
    assert options[:2] == ["--index-strategy", "unsafe-best-match"] and options[-1] == "--no-index"
    assert [value for name, value in pairs if name == "--find-links"] == [there, there, address]
    assert [value for name, value in pairs if name == "--constraints"] == ["a.txt", "b.txt"]
    assert [value for name, value in pairs if name == "--index"] == told["extra-index-url"].split()
    assert ("--default-index", told["index-url"]) in pairs and ("--allow-insecure-host", "localhost") in pairs
    assert variables == {"UV_SYSTEM_CERTS": "1", "SSL_CERT_FILE": "/b.pem", "UV_HTTP_TIMEOUT": "180"}
    assert run.for_uv({"no-index": "0"}) == (options[:2], {"UV_SYSTEM_CERTS": "1"})


def test_packages_are_compiled_once_where_they_are_installed(run, monkeypatch):
    monkeypatch.setattr(run, "uv_cache", lambda: "cache")
    monkeypatch.setattr(run, "tried", lambda *words, **options: (words, options))
    words, options = run.by_uv({"cert": "/b.pem"}, "-e", ".")
    assert "--compile-bytecode" in words and words[-2:] == ("-e", ".")
    assert options == {"bars": True, "UV_CACHE_DIR": "cache", "UV_SYSTEM_CERTS": "1", "SSL_CERT_FILE": "/b.pem"}


def test_uv_has_the_options_that_run_py_uses():
    pytest.importorskip("uv", reason="this environment was not made by run.py")
    text = subprocess.run([sys.executable, "-m", "uv", "pip", "install", "--help"], capture_output=True, text=True)
    source = (ROOT / "run.py").read_text()
    names = re.findall(r'^    "[\w-]+": "(--[\w-]+)",$', source, re.M)
    for name in ("--build-constraints", "--index-strategy", "--python", *names):
        assert len(names) > 5 and re.search(rf"{name}\b", text.stdout), name


def fake(code, said=""):
    return lambda told, *words: (code, said)


def test_pip_installs_where_uv_fails(run, capsys, monkeypatch):
    tools = [fake(2, "error: no such option"), fake(0)]
    run.put(tools, {}, "-e", ".")
    assert len(tools) == 1 and "pip installs instead" in capsys.readouterr().out
    with pytest.raises(run.Stop, match="the package index does not answer; connect"):
        run.put([fake(2), fake(1, "Connection refused")], {})
    with pytest.raises(run.Stop, match="no space left on the disk; free"):
        run.put([fake(2, "No space left on device (os error 28)"), fake(0)], {})
    monkeypatch.setattr(run, "answers", lambda *_: True)
    with pytest.raises(run.Stop, match="no space left on the disk; free"):
        run.torch_without_cuda([fake(2, "No space left on device (os error 28)"), fake(0)], {}, "torch", must=False)


@pytest.mark.parametrize(("said", "kind"), [
    ("cause: failed to copy file to /tmp/a: No space left on device (os error 28)", "space"),
    ("OSError: [Errno 28] No space left on device", "space"),
    ("ERROR: Could not install packages due to an OSError: [WinError 112] There is not enough space", "space"),
    ("'NewConnectionError(...): Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')"
     "\nERROR: No matching distribution found for uv==0.13.9", "network"),
    ("cause: client error (Connect)\n  cause: dns error\n  cause: error resolving DNS", "network"),
    ("HTTPSConnectionPool(host='localhost', port=443): Read timed out.", "network"),
    ("cause: invalid peer certificate: UnknownIssuer", "certificate"),
    ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate", "certificate"),
    ("ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/x/.venv/lib'", "rights"),
    ("error: failed to create directory `/dev/null/.cache/uv`: Not a directory (os error 20)", "rights"),
    ("Because torch==2.13.0 has no wheels with a matching platform tag (e.g., `macosx_13_0_arm64`)", "build"),
    ("ERROR: No matching distribution found for torch==2.13.0", "build"),
    ("something else", None),
])  # fmt: skip
def test_the_last_words_of_an_installer_say_what_to_do(run, said, kind):
    assert run.kind(said) == kind
    assert run.advice(said).count("start again") == (kind != "build")


@pytest.mark.parametrize(("code", "said", "tools"), [
    (0, "", ["by_uv", "by_pip"]),
    (1, "ERROR: No matching distribution found for uv==0.13.9", ["by_pip"]),
    (1, "Failed to establish a new connection: NewConnectionError", None),
])  # fmt: skip
def test_uv_comes_first_and_is_done_without(run, monkeypatch, code, said, tools):
    used, words = [], []
    monkeypatch.setattr(run, "tried", lambda *each, **_: (words.append(each), (code, said))[1])
    monkeypatch.setattr(run, "pip_is_told", dict)
    monkeypatch.setattr(run, "has_gpu", lambda: True)
    monkeypatch.setattr(run, "put", lambda tools, told, *each: used.extend(tool.__name__ for tool in tools))
    if tools is None:
        with pytest.raises(run.Stop, match="nothing could be installed: the package index does not answer"):
            run.fill(None)
    else:
        run.fill(None)
        assert used == tools
    assert words == [("-m", "pip", "install", f"uv=={pins()['uv']}")]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has two builds of torch")
@pytest.mark.parametrize(("build", "gpu", "index", "told", "first"), [
    (None, False, True, {}, "cpu index"),
    (None, False, False, {}, None),
    (None, True, True, {}, None),
    ("cpu", True, True, {}, "cpu index"),
    ("cpu", True, False, {}, "cpu"),
    ("cuda", False, True, {}, None),
    (None, False, True, {"no-index": "true"}, None),
])  # fmt: skip
def test_torch_is_taken_without_cuda_where_there_is_no_gpu(
    run, monkeypatch, tmp_path, capsys, build, gpu, index, told, first
):
    done = []
    monkeypatch.setattr(run, "torch_build", lambda: "cpu" if any("+cpu" in words[-1] for _, words in done) else None)
    monkeypatch.setattr(run, "VENV", tmp_path)
    monkeypatch.setattr(run, "tried", lambda *_, **__: (0, ""))
    monkeypatch.setattr(run, "pip_is_told", lambda: told)
    monkeypatch.setattr(run, "has_gpu", lambda: gpu)
    monkeypatch.setattr(run, "answers", lambda *_: index)
    monkeypatch.setattr(run, "put", lambda tools, told, *words: done.append((told.get("index-url"), words)))
    run.fill(build)
    assert ("3 GB to download, for torch comes with CUDA" in capsys.readouterr().out) == (not first)
    without = f"{pins()['torch']}+cpu"
    if first:
        assert done.pop(0) == (run.TORCH if "index" in first else None, ("--no-deps", f"torch=={without}"))
    cuda = (f"torch!={without}",) if build == "cuda" else ()
    assert done == [(None, ("-c", "constraints.txt", "-e", ".[lab,site,test]", *cuda))]


def test_torch_comes_from_elsewhere_where_its_index_lacks_it(run, monkeypatch, capsys):
    monkeypatch.setattr(run, "answers", lambda *_: True)
    tools = [fake(1, "No solution found"), fake(1, "No matching distribution")]
    run.torch_without_cuda(tools, {}, "torch==2.13.0+cpu", must=False)
    assert len(tools) == 2 and "comes from where the rest does" in capsys.readouterr().out
    with pytest.raises(run.Stop, match="without --cpu"):
        run.torch_without_cuda(tools, {}, "torch==2.13.0+cpu", must=True)


def test_a_server_that_does_not_answer_is_not_waited_for(run):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def translate_path(self, path):
            return super().translate_path(path.removeprefix("http://nowhere.invalid"))  # as a proxy is asked

    with HTTPServer(("localhost", 0), Quiet) as server, socket.create_server(("localhost", 0)) as silent:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert run.answers(f"http://localhost:{server.server_port}/")
        assert not run.answers(f"http://localhost:{server.server_port}/nothing")
        assert run.answers("http://nowhere.invalid/", proxy=f"http://localhost:{server.server_port}")
        assert not run.answers(f"http://localhost:{silent.getsockname()[1]}/", seconds=0.2)
        server.shutdown()


def test_what_an_installer_says_is_shown_and_kept(run, capfd, monkeypatch):
    code = "import os, sys; print(os.environ['A']); [print('line', n, file=sys.stderr) for n in range(99)]; sys.exit(3)"
    status, last = run.tried("-c", code, A="shown")
    out, err = capfd.readouterr()
    assert (status, last.split("\n")[0], out) == (3, "line 69", "shown\n") and err.count("line") == 99
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run.tried("-c", code, bars=True, A="") == (3, "") and capfd.readouterr().err.count("line") == 99


def test_downloads_are_kept_in_the_environment_where_home_cannot_be_written_to(run, monkeypatch, tmp_path, capsys):
    (tmp_path / "home").touch()
    for place, kept in ((tmp_path / "home" / "uv", run.VENV / "cache"), (tmp_path / "uv", str(tmp_path / "uv"))):
        monkeypatch.setattr(run.subprocess, "run", lambda *_, place=place, **__: SimpleNamespace(stdout=f"{place}\n"))
        assert run.uv_cache() == kept
    assert capsys.readouterr().out.count("kept in .venv/cache") == 1


@pytest.mark.parametrize("code", [0, 1])
def test_pins_are_renewed_only_if_the_suite_passes(run, monkeypatch, tmp_path, code):
    commands = []

    def ran(command, cwd=None, **options):
        commands.append([str(word) for word in command])
        if "clone" in command:
            command[-1].mkdir()
        if "compile" in command:
            assert "uv\n" in options["input"]
            (cwd / "constraints.txt").write_text("new")
        return SimpleNamespace(returncode=code)

    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "VENV", tmp_path)
    monkeypatch.setattr(run, "pip_is_told", lambda: {"find-links": str(tmp_path)})
    monkeypatch.setattr(run.subprocess, "run", ran)
    (tmp_path / "constraints.txt").write_text("old")
    assert run.pins(["numpy"]) == code
    assert (tmp_path / "constraints.txt").read_text() == ("old" if code else "new")
    assert "--upgrade-package=numpy" in commands[1] and "--upgrade" not in commands[1]
    assert str(tmp_path) not in commands[1] and commands[2][-2].endswith("run.py") and commands[2][-1] == "test"


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
    """Data that were prepared elsewhere train where POT, nibabel, Pillow and Jupyter are not installed.

    Nor does it load torch's compiler, which takes longer than these steps.
    """
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
    assert "torch" in loaded and not loaded & {*LAB, "torch._dynamo"}


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
    said = capsys.readouterr().out
    assert said.count(f"method {task.method}") == 3
    assert ", 4 steps, kept in" in said and ", 4 of 6 steps done, kept in" in said
    assert main(["evaluate", str(run), "--stress"]) == (task.name != "segmentation")
    said = "".join(capsys.readouterr())
    assert ("large spleen" if task.name == "segmentation" else "--stress: expected with a run of segmentation") in said
    assert main(["predict", str(run), "--out", str(tmp_path / "out")]) == 0
    assert all(Path(line).is_file() for line in capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["train", "segmentation", "jont"], "method: expected one of"),
        (["train", "segmentation"], "expected a task and a method"),
        (["train", "segmentation", "joint", "--set", "steps"], "--set steps: expected steps=VALUE, found no value"),
        (["train", "segmentation", "joint", "--set", "stepps=2"], "found stepps; did you mean steps"),
        (["train", "segmentation", "joint", "--set", "spacing={[]}"], "expected a value of type tuple, found '{[]}'"),
        (["train", "segmentation", "joint", "--set", "size=eight"], "expected a value of type tuple, found 'eight'"),
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
    with pytest.raises(RuntimeError), files.atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]
    # So long a name that there is none for the temporary file.
    path = tmp_path / ("a." + "b" * 250)
    with pytest.raises(OSError) as told, files.atomic_write(path):
        pass
    assert told.value.filename == str(path)
    with pytest.raises(OSError) as told, files.atomic_write(tmp_path / "b.txt"):
        raise OSError(112, "Host is down")  # Linux's number, which on Windows is that of a full disk
    assert (told.value.errno, told.value.strerror) == (112, "Host is down")


def test_problems_are_told_together():
    problems = files.Problems("3 scans")
    problems.add("img2.nii.gz", "three dimensions", "two", "convert the volume again")
    said = "1 problem in 3 scans:\n  img2.nii.gz: expected three dimensions, found two; convert the volume again"
    with pytest.raises(files.BadInput) as error:
        problems.raise_if_any()
    assert str(error.value) == said


def test_one_cause_is_one_sentence_however_many_files_it_hits(tmp_path, monkeypatch):
    monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path))
    problems = files.Problems("12 photos")
    for i in range(10):
        problems.add(f"{i}.jpg", f"the size of {i}.csv", f"{i % 2} px", "resize it")
    for i in range(3):
        with problems.collect():
            raise files.BadInput(f"b{i}: expected an image, found none; add it")
    with pytest.raises(files.BadInput) as error:
        problems.raise_if_any()
    heading, ten, *three, place = str(error.value).splitlines()
    assert heading == "13 problems in 12 photos:" and len(three) == 3
    sizes = "the size of 0.csv, the size of 1.csv, the size of 2.csv and 7 more"
    assert ten == f"  0.jpg, 1.jpg, 2.jpg and 7 more: expected {sizes}, found 0 px, 1 px; resize it"
    written = Path(place.removeprefix("  each of them is listed in ")).read_text()
    assert written.splitlines() == problems.found and len(problems.found) == 13


def _odd(path, kind):
    """Something that is no file, or one that never ends."""
    make = {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "nowhere": lambda: path.symlink_to("nowhere"),
            "circle": lambda: path.symlink_to(path.name), "device": lambda: path.symlink_to("/dev/zero")}  # fmt: skip
    make[kind]()
    return path


def _parse(path):
    with files.parsing(path, "a file"):
        path.read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither pipes nor devices in folders")
@pytest.mark.parametrize("read", [
    files.read_json, _parse, lambda path: files.read_arrays(path, "a set", "copy it", {}, {}), handin.read,
    lambda path: compact.read(path, "classification"), Prepared.open, lambda path: store.read_checkpoint(path.parent),
])  # fmt: skip
@pytest.mark.parametrize("kind, words", [
    ("folder", "found a folder"), ("pipe", "found a pipe"), ("nowhere", "found a link to nowhere"),
    ("circle", "found Too many levels"), ("device", "found a device"),
])  # fmt: skip
def test_what_is_no_file_is_refused_and_never_opened(tmp_path, read, kind, words):
    with pytest.raises(files.BadInput, match=words):
        read(_odd(tmp_path / "checkpoint.safetensors", kind))


def test_a_link_to_a_file_is_a_file(tmp_path):
    (tmp_path / "a").write_text("{}")
    (tmp_path / "b").symlink_to("a")
    assert files.read_json(tmp_path / "b") == {} and files.unlike_file(tmp_path / "b") is None


def test_a_file_in_the_place_of_another_of_the_same_size_and_time_is_seen(tmp_path):
    path, other = tmp_path / "a", tmp_path / "b"
    for each, word in ((path, "one"), (other, "two")):
        each.write_text(word)
        os.utime(each, ns=(0, 0))
    before = files.fingerprint(path)
    assert before == files.fingerprint(path)
    os.replace(other, path)
    assert path.stat().st_mtime_ns == 0 and files.fingerprint(path) != before
    moved = files.fingerprint(path)
    time.sleep(0.02)  # the clock of file systems ticks more coarsely than that of programs
    path.write_text("six")
    os.utime(path, ns=(0, 0))
    assert files.fingerprint(path) != moved


def test_hidden_files_and_those_of_systems_are_known():
    assert all(files.of_system(Path(name)) for name in (".a.jpg", "__MACOSX/._a.jpg", "b/Thumbs.db", "a/.git/c"))
    assert not any(files.of_system(Path(name)) for name in ("a.jpg", "b/thumbs", "c.d/e"))


def test_json_that_is_none_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(files.BadInput, match="a.json: expected a JSON file"):
        files.read_json(tmp_path / "a.json")


def test_a_folder_of_wheels_takes_the_place_of_the_network(run, monkeypatch, tmp_path):
    said = []
    monkeypatch.setattr(run, "WHEELS", tmp_path / "für alle")
    run.WHEELS.mkdir()
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.setenv(name, "")  # so that what is set is taken back
    monkeypatch.setattr(run, "tried", lambda *words, **more: said.append(run.pip_is_told()) or (0, ""))
    monkeypatch.setattr(run, "answers", lambda *_: pytest.fail("the network was asked"))
    run.fill(None)
    assert said and all(told["no-index"] == "1" and told["find-links"] == run.WHEELS.as_uri() for told in said)
    options, _ = run.for_uv(said[0])
    assert options[options.index("--find-links") + 1] == str(run.WHEELS) and options[-1] == "--no-index"
    monkeypatch.setattr(run, "tried", lambda *words, **more: (1, "ERROR: No matching distribution found for numpy"))
    with pytest.raises(run.Stop, match="found other wheels; collect them anew by python3 run.py wheels, or move"):
        run.fill(None)


@pytest.mark.parametrize(("words", "found"), [
    (["--platform", "linux,amiga"], "--platform: expected some of linux, windows, macos, found amiga"),
    (["--python", "3.9"], "--python: expected some of 3.11, 3.12, 3.13, 3.14, found 3.9"),
])  # fmt: skip
def test_wheels_of_what_there_is_not_are_a_sentence(run, words, found):
    with pytest.raises(run.Stop, match=found):
        run.wheels(["stick", *words])


def test_wheels_are_collected_for_each_system_and_python(run, monkeypatch, tmp_path, capsys):
    """That an installation from them works without a network was tried by hand: it takes half a gigabyte."""
    asked, got = [], []

    def compiled(words, **more):
        target, python = (words[words.index(f"--python-{name}") + 1] for name in ("platform", "version"))
        asked.append((target.split("-")[-1], python, "+cpu" in more["input"]))
        return SimpleNamespace(returncode=int(asked[-1][2]), stdout="numpy==2.4.6\n", stderr="no solution found")

    def tried(*words):
        (tmp_path / f"numpy-{len(got)}.whl").write_bytes(b"x")
        got.append([word for word in map(str, words) if word.startswith(("--python", "--abi=cp"))])
        return 0, ""

    monkeypatch.setattr(run.subprocess, "run", compiled)
    monkeypatch.setattr(run, "pip_is_told", dict)
    monkeypatch.setattr(run, "answers", lambda *_: False)
    monkeypatch.setattr(run, "tried", tried)
    assert run.wheels([str(tmp_path), "--platform", "linux,windows", "--python", "3.12"]) == 0
    assert [(target, python) for target, python, cpu in asked if not cpu] == [
        ("manylinux_2_28", "3.12.0"), ("manylinux_2_28", "3.12.99"), ("msvc", "3.12.0"), ("msvc", "3.12.99")]
    assert [target for target, _, cpu in asked if cpu] == 2 * ["manylinux_2_28"]  # torch without CUDA comes first
    assert got[0] == ["--abi=cp312", "--python-version=3.12.0"] and "4 files, 0 MiB" in capsys.readouterr().out


def test_nbgrader_stays_out_of_a_learners_jupyterlab(run, tmp_path, monkeypatch):
    """run.py switches off what nbgrader switches on; the names are those that the installed nbgrader brings."""
    import json

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
