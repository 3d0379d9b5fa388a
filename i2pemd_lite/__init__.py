"""Instance-to-Prototype Earth Mover's Distance: the method, its two tasks, and lessons about both.

Zhou et al., Medical Image Analysis 82 (2022) 102607, https://doi.org/10.1016/j.media.2022.102607

Importing this package is instant: torch, POT and the tasks are loaded when one of the names is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # editors do not run `__getattr__`
    from i2pemd_lite.device import profile as profile
    from i2pemd_lite.emd import i2pemd as i2pemd
    from i2pemd_lite.files import BadInput as BadInput
    from i2pemd_lite.ground import fixed_ground_distance as fixed_ground_distance
    from i2pemd_lite.ground import ground_distance as ground_distance
    from i2pemd_lite.ground import percentile_ranks as percentile_ranks
    from i2pemd_lite.ground import prototype_distances as prototype_distances
    from i2pemd_lite.losses import i2ped_loss as i2ped_loss
    from i2pemd_lite.losses import i2pemd_loss as i2pemd_loss
    from i2pemd_lite.losses import mmd as mmd
    from i2pemd_lite.losses import segmentation_loss as segmentation_loss
    from i2pemd_lite.prototypes import PrototypeBank as PrototypeBank
    from i2pemd_lite.prototypes import class_means as class_means
    from i2pemd_lite.runs.sampling import seed_everything as seed_everything
    from i2pemd_lite.selection import select as select

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
