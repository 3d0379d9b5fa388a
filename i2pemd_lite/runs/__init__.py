"""Runs of any task: settings, an iterator over steps, its folder, and who watches or steers it."""

from importlib import import_module
from types import ModuleType

from i2pemd_lite.files import BadInput

TASKS = ("segmentation", "classification")


def module_of(task: str) -> ModuleType:
    """The module of a task, by its name, loaded when it is first asked for."""
    if task not in TASKS:
        raise BadInput(f"task: expected {' or '.join(TASKS)}, found {task!r}")
    return import_module(f"i2pemd_lite.{task}")
