"""Type hints: every public function has them, and editors, completion and `help` know what `train` takes.

Public is what README and the lessons use and what the modules offer that they use, the methods of such classes, and of
those classes that the hint of a public function names. A method without a docstring does what its kind says.
"""

import ast
import importlib
import inspect
import pickle
import re
import typing
from pathlib import Path
from types import ModuleType

import pytest
from IPython.core.completer import IPCompleter, provisionalcompleter

import i2pemd_lite
from i2pemd_lite import classification, course, emd, metrics, segmentation
from i2pemd_lite.course.publish import notebooks

ROOT = Path(__file__).resolve().parent.parent


def sources():
    """The Python of README, and that of each lesson."""
    yield from re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    for path in notebooks.lessons():
        cells = notebooks.read(path)["cells"]
        yield "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "code")


def used(source):
    """What a source takes from the module: names that it imports, and what it uses of modules that it imports."""
    names, nodes = {}, [*ast.walk(ast.parse(source))]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("i2pemd_lite"):
            module = importlib.import_module(node.module)
            for each in node.names:
                names[each.asname or each.name] = getattr(module, each.name, None) or importlib.import_module(
                    f"{node.module}.{each.name}")  # fmt: skip
    yield from names.values()
    for node in nodes:
        module = names.get(getattr(node.value, "id", "")) if isinstance(node, ast.Attribute) else None
        if isinstance(module, ModuleType):
            yield getattr(module, node.attr)


def offered():
    """Everything public that is a function or a class."""
    yield from (value for source in sources() for value in used(source))
    for module in (i2pemd_lite, course, segmentation, classification):
        yield from (getattr(module, name) for name in module.__all__)
    for module in (emd, metrics, course.progress):
        own = (each for each in vars(module).values() if getattr(each, "__module__", "") == module.__name__)
        yield from (each for each in own if not each.__name__.startswith("_"))


def is_ours(value):
    return getattr(value, "__module__", "").startswith("i2pemd_lite") and not isinstance(value, ModuleType)


def functions(value, met):
    """Those of a function or a class that are to have hints; of a class that was not met yet also its bases'."""
    if inspect.isfunction(value := getattr(inspect.unwrap(value), "__func__", value)):
        yield value
    for kind in inspect.getmro(value) if inspect.isclass(value) else ():
        if not is_ours(kind) or kind in met:
            continue
        met.add(kind)
        for name, member in vars(kind).items():
            for inner in ("fget", "func", "__func__"):  # of a property, one that is kept, a method of the class
                member = getattr(member, inner, member)
            if inspect.isfunction(member) and (name == "__init__" or member.__doc__ and not name.startswith("_")):
                yield member


def parts(hint):
    """A hint, and all that it is made of."""
    yield hint
    for part in typing.get_args(hint):
        yield from parts(part) if not isinstance(part, list) else part


def without_hints(values):
    """{function: what has no hint in it}, of these and of the classes that their hints name."""
    found, met, todo, done = {}, set(), [*values], set()
    while todo:
        for function in functions(todo.pop(), met):
            if function in done:
                continue
            done.add(function)
            hints = typing.get_type_hints(function)
            names = {*inspect.signature(function).parameters, "return"} - {"self", "cls"}
            if missing := sorted(names - hints.keys() - ({"return"} if function.__name__ == "__init__" else set())):
                found[f"{function.__module__}.{function.__qualname__}"] = missing
            todo += [part for hint in hints.values() for part in parts(hint) if is_ours(part)]
    return found, len(done)


def test_every_public_function_has_hints():
    found, many = without_hints(filter(is_ours, offered()))
    assert found == {} and many > 250


@pytest.mark.parametrize("package", [i2pemd_lite, course])
def test_an_editor_is_told_of_each_name_that_is_loaded_when_it_is_asked_for(package):
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    told = next(node for node in tree.body if isinstance(node, ast.If) and node.test.id == "TYPE_CHECKING")
    names = {alias.asname or alias.name for node in told.body for alias in node.names}
    assert names == {*package.__all__} - {*vars(package).get("_SUBPACKAGES", ())}  # which editors find themselves


@pytest.mark.parametrize("task", [segmentation, classification])
def test_train_can_be_sent_to_another_process(task):
    assert pickle.loads(pickle.dumps(task.train)) is task.train


def test_a_function_without_hints_is_found():
    class Given:
        def __init__(self, x):
            pass

        @property
        def one(self):
            """It has no hint."""

        def _two(self, x):
            """Not public."""

    def gives(n) -> Given:
        """What gives a class makes its methods public."""

    Given.__module__ = gives.__module__ = "i2pemd_lite.planted"
    found, _ = without_hints([gives])
    assert [*found.values()] == [["n"], ["x"], ["return"]]


@pytest.mark.parametrize("task", [segmentation, classification], ids=lambda task: task.TASK.name)
def test_train_shows_each_setting_with_its_type(task):
    shown = inspect.signature(task.train).parameters
    first = ["method", "data", "profile", "seed", "folder"]
    settings = {name: field.type for name, field in task.TASK.settings.__dataclass_fields__.items()}
    assert [*shown][:5] == first and {*shown} == {*first, *settings}
    assert all(shown[name].annotation == kind for name, kind in settings.items() if name != "profile")
    assert "steps: int = …, learning_rate: float = …" in str(inspect.signature(task.train))
    asked = inspect.signature(task.TASK._train).parameters
    assert all(shown[name].default == asked[name].default and shown[name].kind == asked[name].kind for name in first)


@pytest.mark.parametrize("jedi", [True, False])
def test_completion_knows_what_train_takes(jedi):
    completer = IPCompleter(namespace={"segmentation": segmentation}, use_jedi=jedi)
    line = 'joint = segmentation.train("joint", data, we'
    with provisionalcompleter():
        names = {each.text for each in completer.completions(line, len(line))}
    assert names >= {"weight=", "weight_kd=", "weight_i2ped=", "weight_decay="}
