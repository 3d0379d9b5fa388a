"""What a segmentation run can set, its sizes by profile, and the preset that goes past the paper's recipe."""

import dataclasses

from i2pemd_lite.runs.settings import Settings
from i2pemd_lite.segmentation.augment import COPIES
from i2pemd_lite.segmentation.methods import METHODS, POOLS
from i2pemd_lite.segmentation.prepare import Geometry


@dataclasses.dataclass
class SegmentationSettings(Settings):
    """The settings of a segmentation run; `python -m i2pemd_lite readings` says where each default comes from."""

    steps: int = 50_000
    learning_rate: float = 5e-4
    decay: float = 0.95
    decay_every: int = 500
    weight: float = 1.0  # λ of Eq. 7; the paper does not say
    add: str = "sum"  # of CE and Dice over CT and MR, as Dou et al. have it, beside one I2PEMD of both: with "mean"
    # λ, weight_kd and weight_i2ped count twice as much as with "sum"
    weight_i2ped: float = 0.05  # its gradient is then about as large as that of I2PEMD with λ = 1
    weight_kd: float = 0.5
    temperature: float = 2.0  # T of the knowledge distillation of Dou et al. 2020
    ce: str = "weighted"
    fixed: float = 1.0  # what a mistake costs when G is fixed; 0.5 is the mean of a learned G
    pool: str = "voxels"  # which CT and MR features make a prototype: a key of `POOLS`
    first: str = "mean"  # a prototype begins as the first mean of its class, or as "zeros"
    forward: str = "together"  # CT and MR as one batch, whose statistics joint normalisation takes, or "apart"
    width: int = 16  # b
    dim: int = 32  # d
    upconv: str = "cicek"
    init: str = "ummkd"
    batch: int = 3  # of each modality
    patch_depth: int = 8
    block_step: int = 8  # slices from one block to the next when a whole volume is predicted; fewer overlap
    spacing: tuple = (8.0, 1.5, 1.5)  # mm, (z, y, x); this and the next five are those of `Geometry`
    size: tuple = (256, 256)
    crop: str = "z"  # unlike the paper's "organs", whose in-plane cut no scan without labels can have
    ct_window: tuple | None = None
    mr_clip: float | None = None
    normalise: str = "volume"
    test: float = 0.3
    split_seed: int = 0
    augment: bool = False  # this and the next two are not in the paper; see `PRESETS`
    copies: int = 1  # turned and zoomed ones that a prediction is the mean of, up to 5
    largest: bool = False  # of each organ keep the largest piece only

    LIVE = (*Settings.LIVE, "weight_i2ped", "weight_kd")

    def __post_init__(self):
        for name, length in (("spacing", 3), ("size", 2), ("ct_window", 2)):
            value = getattr(self, name)
            if name == "ct_window" and value is None:
                continue
            self._expect(name, isinstance(value, tuple | list) and len(value) == length, f"{length} numbers")
            setattr(self, name, tuple(value))
        super().__post_init__()

    def check(self):
        """Raise `BadInput` for a value that no run can use."""
        super().check()
        self._expect("method", self.method in ("", *METHODS), f"one of {', '.join(METHODS)}")
        for name in ("batch", "width", "dim"):
            self._expect(name, getattr(self, name) >= 1, "a whole number from 1")
        for name in ("weight_i2ped", "weight_kd"):
            self._expect(name, getattr(self, name) >= 0, "a number from 0")
        self._expect("temperature", self.temperature > 0, "a number above 0")
        self._expect("ce", self.ce in ("weighted", "plain"), "'weighted' or 'plain'")
        self._expect("add", self.add in ("sum", "mean"), "'sum' or 'mean'")
        self._expect("fixed", self.fixed >= 0, "a number from 0")
        self._expect("pool", self.pool in POOLS, " or ".join(POOLS))
        self._expect("first", self.first in ("mean", "zeros"), "'mean' or 'zeros'")
        self._expect("forward", self.forward in ("together", "apart"), "'together' or 'apart'")
        self._expect("test", 0 < self.test < 1, "a part above 0 and below 1")
        self._expect("patch_depth", self.patch_depth % 8 == 0 < self.patch_depth, "a multiple of 8")
        self._expect("block_step", 1 <= self.block_step <= self.patch_depth, f"1 to patch_depth ({self.patch_depth})")
        self._expect("copies", 1 <= self.copies <= len(COPIES), f"1 to {len(COPIES)}")
        self._expect("size", all(isinstance(n, int) and n % 8 == 0 < n for n in self.size), "two multiples of 8")

    @property
    def geometry(self):
        """The grid that volumes are brought to."""
        names = ("spacing", "size", "crop", "ct_window", "mr_clip", "normalise")
        return Geometry(**{name: getattr(self, name) for name in names}, min_depth=self.patch_depth)


_SOFT_TISSUE = {"ct_window": (-125.0, 275.0), "mr_clip": 0.99}
SIZES = {
    "ci": _SOFT_TISSUE
    | {
        "steps": 24,
        "init": "torch",  # the other takes more steps than these before anything but background is answered
        "learning_rate": 5e-3,
        "schedule": "cosine",
        "width": 4,
        "dim": 8,
        "spacing": (8.0, 12.0, 12.0),
        "size": (32, 32),
        "evaluate_every": 12,
        "checkpoint_every": 4,
    },
    "laptop": _SOFT_TISSUE
    | {
        "init": "torch",  # 250 steps with it do as well as 600 with the other
        "block_step": 4,  # a slice at the edge of a block is predicted worse: about 2 points of DOC
        "steps": 600,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "width": 8,
        "dim": 16,
        "spacing": (8.0, 4.0, 4.0),
        "size": (96, 96),
        "evaluate_every": 100,
        "checkpoint_every": 20,
    },
    "gpu": {},
}
PRESETS = {
    "paper": {},
    # Past the paper's recipe, for each of its methods alike. Test-time copies are turned and zoomed, never mirrored:
    # no organ here has a twin on the other side.
    "beyond": _SOFT_TISSUE
    | {
        "augment": True,
        "init": "torch",
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "block_step": 4,
        "copies": len(COPIES),
        "largest": True,
    },
}
