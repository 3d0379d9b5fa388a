"""The rooms of the module and what each may import, as ARCHITECTURE.md says; imports inside functions count too."""

import ast
from pathlib import Path

import pytest

import i2pemd_lite

PACKAGE = Path(i2pemd_lite.__file__).parent
BASE = {"files", "text", "device", "distributed", "fused", "compact"}
METHOD = {"emd", "ground", "prototypes", "losses", "selection", "metrics"}
BELOW = {  # room -> the rooms that it may import beside itself; what lies in no folder is the method and its base
    "method": set(),
    "": {"method", "runs"},  # the names that the module itself has
    "runs": {"method"},
    "tables": {"method", "runs"},
    "segmentation": {"method", "runs", "tables"},
    "classification": {"method", "runs", "tables"},
    "sweeps": {"method", "runs", "tables"},
    "panels": {"method", "runs", "tables", "segmentation", "classification", "sweeps"},
    "course": {"method", "runs", "tables", "segmentation", "classification", "panels"},
    "__main__": {"method", "runs", "tables", "segmentation", "classification", "sweeps", "course"},
}


def imports(package):
    """{module: {modules of the package that it imports, wherever in the file}}."""
    files = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    found = {}
    for module, file in files.items():
        nodes = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
        names = {f"{n.module}.{alias.name}" for n in nodes if isinstance(n, ast.ImportFrom) for alias in n.names}
        names |= {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
        homes = {name if name in files else name.rpartition(".")[0] for name in names}
        found[module] = (homes & files.keys()) - {package.name}
    return found


def room(module):
    name = (module.split(".") + [""])[1]
    return name if name in BELOW else "method"


def wrong_floors(found):
    """(importer, imported) where a room imports one that does not lie below it."""
    pairs = ((one, other) for one, others in found.items() for other in others)
    return sorted((a, b) for a, b in pairs if room(a) != room(b) and room(b) not in BELOW[room(a)])


def circles(found):
    """Modules that import themselves by way of others."""
    reached = {module: set(others) for module, others in found.items()}
    for middle in reached:
        for module in reached:
            if middle in reached[module]:
                reached[module] |= reached[middle]
    return sorted(module for module, others in reached.items() if module in others)


def test_every_room_imports_only_what_lies_below_it():
    assert wrong_floors(imports(PACKAGE)) == []


def test_there_is_no_circle():
    assert circles(imports(PACKAGE)) == []


def test_the_method_stands_on_its_base_alone():
    found = imports(PACKAGE)
    loose = {module.split(".")[1] for module in found if "." in module and room(module) == "method"}
    assert loose == METHOD | BASE
    for name in BASE - {"distributed", "fused"}:  # which compute in at least float32, and check labels, as the method
        assert {other.split(".")[1] for other in found[f"i2pemd_lite.{name}"]} <= BASE, name


def planted(folder, files):
    for name, text in {"__init__.py": "", **files}.items():
        (folder / "house" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "house" / name).write_text(text)
    return imports(folder / "house")


WAYS = ("import house.panels.a", "from house.panels import a", "from house.panels.a import x")


@pytest.mark.parametrize("line", WAYS)
def test_a_room_that_looks_up_is_found(tmp_path, line):
    found = planted(tmp_path, {"runs/run.py": f"def late():\n    {line}\n", "panels/a.py": "x = 1\n"})
    assert wrong_floors(found) == [("house.runs.run", "house.panels.a")] and circles(found) == []


def test_a_circle_is_found(tmp_path):
    files = {"emd.py": "from house import ground\n", "ground.py": "def f():\n    from house.losses import g\n"}
    found = planted(tmp_path, {**files, "losses.py": "from house.emd import h\n", "files.py": ""})
    assert circles(found) == ["house.emd", "house.ground", "house.losses"]
