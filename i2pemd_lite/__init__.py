"""Instance-to-Prototype Earth Mover's Distance: the method, its two tasks, and lessons about both.

Zhou et al., Medical Image Analysis 82 (2022) 102607, https://doi.org/10.1016/j.media.2022.102607

Importing this package is instant: torch, POT and the tasks are loaded when one of the names is first used.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "emd": ["i2pemd"],  # the function emd shares its name with its module: from i2pemd_lite.emd import emd
    "ground": ["prototype_distances", "percentile_ranks", "ground_distance", "fixed_ground_distance"],
    "prototypes": ["class_means", "PrototypeBank"],
    "losses": ["i2pemd_loss", "i2ped_loss", "segmentation_loss", "mmd"],
    "selection": ["select"],
    "files": ["BadInput"],
    "device": ["profile"],
    "runs.sampling": ["seed_everything"],
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
_SUBPACKAGES = ["emd", "metrics", "segmentation", "classification", "panels"]
__all__ = [*_MODULE, *_SUBPACKAGES]


def __getattr__(name):
    if name in _MODULE:
        return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)
    if name in _SUBPACKAGES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
