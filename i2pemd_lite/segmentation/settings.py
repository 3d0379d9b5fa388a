"""What a segmentation run can set, where each value comes from, its sizes by profile, and a preset past the paper's."""

import dataclasses
import math

from i2pemd_lite.runs.settings import Settings
from i2pemd_lite.segmentation.augment import COPIES, UNUSUAL, VIEWS
from i2pemd_lite.segmentation.methods import METHODS, POOLS
from i2pemd_lite.segmentation.network import NETWORKS
from i2pemd_lite.segmentation.prepare import Geometry
from i2pemd_lite.tables.choices import PRECISION, SHARED, Choice, choices, one_of, setting

DOU = "Dou et al. 2020"


def _named(names):
    return [name.strip() for name in names.split(",") if name.strip()]


@dataclasses.dataclass
class SegmentationSettings(Settings):
    """The settings of a segmentation run, each with where it comes from (`python -m i2pemd_lite readings`)."""

    precision: str = PRECISION
    steps: int = setting(
        50_000, "base", f"100 times 500 in the code of {DOU}, whose decay the paper has; it prints no number")
    learning_rate: float = setting(5e-4, "paper", f"5e-4; the code of {DOU} has 1e-4")
    schedule: str = setting("step", "paper", "that decay")
    decay: float = setting(0.95, "paper", "decayed by 5 %")
    decay_every: int = setting(500, "paper", "per 500 iterations")
    weight_decay: float = setting(
        0.0, "open", f"any weight decay; the code of {DOU} has 1e-4 for each modality", "Eq. 7 is the whole loss")
    optimiser: str = setting("adam", "open", f"which; the code of {DOU} has Adam", needs=one_of("adam", "adamw"))
    warm_up: int = setting(  # steps
        0, "open", "any warm-up of the learning rate", "its decay per 500 iterations is the whole schedule",
        needs="from 0")
    clip: float = setting(  # the norm of all gradients together; 0: whatever it is
        0.0, "open", "any limit to the gradients", "Adam divides by their size", needs="from 0")
    average: float = setting(  # a of θ' ← a θ' + (1 − a) θ, which then is evaluated and predicts; 0: the last θ
        0.0, "open", "which weights; it has no validation part to select by", "the last, as it names no average",
        needs="0 to below 1")
    momentum: float = setting(0.8, "paper", "α = 0.8")
    weight: float = setting(  # λ of Eq. 7
        1.0, "open", "λ", "1, the λ of its other task", "λ 0.2: 80.4, 1: 81.6, 5: 80.3 (seed 0)")
    add: str = setting(  # with "mean" λ, weight_kd and weight_i2ped count twice as much as with "sum"
        "sum", "open", f"how CT and MR add up in Eq. 7; the code of {DOU} has the sum over both",
        "I2PEMD is one mean over both, so that λ = 1 is half of what it is beside their mean",
        "sum 79.2, mean 79.1 after 400 steps (seed 0)", needs=one_of("sum", "mean"))
    weight_i2ped: float = setting(
        0.05, "open", "the weight of I2PED, but prints 91.5, so it did train",
        "a distance without bound: with 1 its gradient is 14 to 26 times that of I2PEMD with λ = 1 (laptop, 60 steps)",
        "1: collapses, 20.3; 0.1: 80.6; 0.05: 79.9 (seed 0)", needs="from 0")
    weight_kd: float = setting(
        0.5, "rival", f"0.5 in the 2D code of {DOU}; 0 in that for 3D, where it is commented out", needs="from 0")
    temperature: float = setting(2.0, "rival", f"2 in the code of {DOU}", needs="above 0")  # T of that distillation
    ce: str = setting("weighted", "open", f"which cross-entropy; the code of {DOU} weights it by 1 - N_k/N",
                      needs=one_of("weighted", "plain"))
    dice: str = setting("all", "base", "the background among the classes of Dice",
                        needs=one_of("all", "organs"))
    deep: float = setting(  # the weight of CE and Dice on each of two coarser levels
        0.0, "paper", "Eq. 7 as the whole loss", needs="from 0")
    fixed: float = setting(  # what a mistake costs; 0.5 is the mean of a learned G
        1.0, "open", "the diagonal of a G fixed to one", "0 on the diagonal, else all answers cost 1",
        "0.5: 81.7 (seed 0)", needs="from 0")
    pool: str = setting("voxels", "open", "how CT and MR meet in Eq. 11", "all voxels count alike",
                        needs=(" or ".join(POOLS), POOLS.__contains__))
    first: str = setting("mean", "open", "how a prototype begins", "its first mean: zero is near whatever is small",
                         needs=one_of("mean", "zeros"))
    forward: str = setting("together", "open", "whether CT and MR share batch statistics",
                           "together, else nothing is joint", needs=one_of("together", "apart"))
    network: str = setting(  # in "residual", `upconv` and `init` change nothing
        "dou", "base", "a 3D U-Net", needs=(" or ".join(NETWORKS), NETWORKS.__contains__))
    width: int = setting(16, "base", f"16 in the code of {DOU}, whose backbone it is", needs="from 1")  # b
    dim: int = setting(  # d
        32, "paper", f"32, the best of its Figure 6 (a), and the width of that layer in the code of {DOU}",
        needs="from 1")
    upconv: str = setting(
        "cicek", "open",
        f"whose up-convolutions: Çiçek et al. 2016, or {DOU}, whose kernel of 1 along z leaves slices empty")
    init: str = setting(
        "ummkd", "open", f"the first weights; the code of {DOU} has a truncated normal of 0.01, the head's too")
    batch: int = setting(  # of each modality
        3, "paper", "6, not said whether of both modalities", "3 of each: as many voxels of either", needs="from 1")
    patch_depth: int = setting(
        8, "base", f"8 slices in the code of {DOU}", needs=("a multiple of 8", lambda n: n % 8 == 0 < n))
    block_step: int = setting(  # slices from one block to the next when a whole volume is predicted; fewer overlap
        8, "base", f"no overlap in the code of {DOU}", "", "4: about 2 points of DOC")
    patch_size: tuple | None = setting(None, "base", "the whole plane")  # voxels in-plane
    around: float | None = setting(  # so many of the patches around an organ, each organ alike; None: Dou et al.'s rule
        None, "base", "half of the patches between the ends of the organs")
    blend: str = setting("mean", "base", "no overlap", needs=one_of("mean", "gaussian"))
    spacing: tuple = setting((8.0, 1.5, 1.5), "paper", "1.5 x 1.5 x 8.0 mm")  # mm, (z, y, x)
    size: tuple = setting((256, 256), "paper", "256 x 256")
    crop: str = setting("z", "paper", "around the organs, whose place the truth tells",
                        "along z only: a cut in-plane takes the truth of the held-back scans for granted")
    ct_window: tuple | None = setting(None, "open", "any cut of intensities")
    mr_clip: float | None = setting(None, "open", "any cut of intensities")
    normalise: str = setting(
        "volume", "open", "whose mean and variance: it says “within each modality”", "of each volume: MR has no scale")
    test: float = setting(  # 0: a run learns from all, and measures nothing
        0.3, "paper", "30 % of the patients", needs="0 to below 1")
    split_seed: int = setting(0, "open", "which split: it was random")
    scans: tuple | None = setting(  # how many of CT and of MR are learnt from, each seed others; None: all
        None, "paper", "all that are not held back")
    augment: str = setting(  # names of `augment.VIEWS` and `UNUSUAL`, with commas between them
        "", "paper", "none",
        needs=(f"some of {','.join(VIEWS + UNUSUAL)}", lambda names: not {*_named(names)} - {*VIEWS, *UNUSUAL}))
    copies: int = setting(  # turned and zoomed ones that a prediction is the mean of
        1, "paper", "none", needs=(f"1 to {len(COPIES)}", lambda n: 1 <= n <= len(COPIES)))
    largest: bool = setting(False, "paper", "none")  # of each organ keep the largest piece only

    LIVE = (*Settings.LIVE, "weight_i2ped", "weight_kd")
    ROOM = ("width", "dim", "size", "batch", "patch_depth", "patch_size")
    LISTED = "help(segmentation.train)"

    def __post_init__(self):
        self.augment = self.augment or ""  # False in runs of earlier versions
        for name, length in {"spacing": 3, "size": 2, "ct_window": 2, "patch_size": 2, "scans": 2}.items():
            if (value := getattr(self, name)) is None and name not in ("spacing", "size"):
                continue
            self._expect(name, isinstance(value, tuple | list) and len(value) == length, f"{length} numbers")
            setattr(self, name, tuple(value))
        super().__post_init__()

    def check(self):
        super().check()
        self._expect("method", self.method in ("", *METHODS), f"one of {', '.join(METHODS)}")
        self._expect("block_step", 1 <= self.block_step <= self.patch_depth, f"1 to patch_depth ({self.patch_depth})")
        self._expect("around", self.around is None or 0 <= self.around <= 1, "a part from 0 to 1, or None")
        self._expect("scans", all(isinstance(n, int) and n > 0 for n in self.scans or ()), "two whole numbers from 1")
        m = NETWORKS[self.network].MULTIPLES[1]
        for name, expected in (("size", f"two multiples of {m}"), ("patch_size", f"two multiples of {m} up to size")):
            sides = zip(getattr(self, name) or self.size, self.size, strict=True)
            self._expect(name, all(isinstance(n, int) and n % m == 0 < n <= most for n, most in sides), expected)

    def least_memory(self) -> int:
        """Bytes that a training needs in any case; of a batch what full resolution keeps, in two bytes each."""
        voxels, b, d = 2 * self.batch * math.prod(self.patch), self.width, self.dim
        if self.network == "residual":
            return (16 + 4 * (self.average > 0)) * 19_000 * b**2 + 2 * voxels * (10 * b + 2 * d)
        return 16 * b * (8000 * b + 54 * d) + 2 * voxels * (18 * b + 2 * d)

    @property
    def patch(self) -> tuple[int, int, int]:
        """The voxels of a patch, (D, H, W)."""
        return self.patch_depth, *(self.patch_size or self.size)

    @property
    def views(self) -> list[str]:
        """The names that `augment` has."""
        return _named(self.augment)

    @property
    def geometry(self) -> Geometry:
        """The grid that volumes are brought to."""
        names = ("spacing", "size", "crop", "ct_window", "mr_clip", "normalise")
        return Geometry(**{name: getattr(self, name) for name in names}, min_depth=self.patch_depth)


SETTINGS = choices(SegmentationSettings)
_SOFT_TISSUE = {"ct_window": (-125.0, 275.0), "mr_clip": 0.99}
# init="ummkd" takes more steps than those of ci before anything but background is answered, and 600 where "torch" takes
# 250. A slice at the edge of a block is predicted worse: overlapping blocks are worth 2 points of DOC.
SIZES = {
    "ci": _SOFT_TISSUE | {
        "steps": 24, "init": "torch", "learning_rate": 5e-3, "schedule": "cosine", "width": 4, "dim": 8,
        "spacing": (8.0, 12.0, 12.0), "size": (32, 32), "evaluate_every": 12, "checkpoint_every": 4,
    },
    "laptop": _SOFT_TISSUE | {
        "init": "torch", "block_step": 4, "steps": 600, "learning_rate": 2e-3, "schedule": "cosine", "width": 8,
        "dim": 16, "spacing": (8.0, 4.0, 4.0), "size": (96, 96), "evaluate_every": 100, "checkpoint_every": 20,
    },
    "gpu": {},
}  # fmt: skip
# Past the paper's recipe, for each of its methods alike, and for a CPU as for a GPU. A patch is 12 × 32 × 32 cm.
_BEYOND = _SOFT_TISSUE | {
    "network": "residual", "width": 16, "dim": 16, "spacing": (5.0, 2.5, 2.5), "size": (192, 192),
    "patch_depth": 24, "patch_size": (128, 128), "batch": 1, "around": 0.6, "augment": ",".join(VIEWS),
    "ce": "plain", "dice": "organs", "deep": 0.3, "optimiser": "adamw", "learning_rate": 2e-3, "warm_up": 100,
    "schedule": "cosine", "weight_decay": 0.02, "clip": 12.0, "average": 0.999, "steps": 4000,
    "block_step": 12, "blend": "gaussian", "largest": True, "evaluate_every": 1000, "checkpoint_every": 100,
}  # fmt: skip
_BEYOND_CI = _BEYOND | {
    "width": 4, "dim": 8, "spacing": (8.0, 6.0, 6.0), "size": (64, 64), "patch_depth": 8, "patch_size": (32, 32),
    "learning_rate": 5e-3, "warm_up": 4, "average": 0.8, "steps": 24, "block_step": 4, "evaluate_every": 12,
    "checkpoint_every": 4,
}  # fmt: skip
PRESETS = {"paper": SIZES, "beyond": {"ci": _BEYOND_CI, "laptop": _BEYOND, "gpu": _BEYOND}}
OTHERS = SHARED | {
    "a class without voxels": ("left out of the mean of Eq. 8", Choice(
        "open", "what 0/0 of Eq. 9 is", 'as 0, it would make the term smaller; readings.panel("absent")')),
    "activation": ("LeakyReLU, 0.2", Choice("paper", f"ReLU; the code of {DOU}, whose backbone it is, has ours")),
    "patches": ("3 of each modality, from cases drawn anew", Choice(
        "base", f"2 of each from one volume of each in the code of {DOU}", "the paper's 6")),
    "overlapping blocks": ("averaged", Choice("base", f"the last one wins in the code of {DOU}")),
    "clip of cross-entropy": ("none", Choice(
        "base", f"p cut to [0.005, 1] in the code of {DOU}", "the cut leaves no gradient where p is most wrong")),
    "KD of an absent class": ("left out", Choice(
        "rival", f"the code of {DOU} takes its mean logits for 0, which pulls the other modality to uniform")),
    "X- and Y-shaped, Individual, Joint": (f"rebuilt from the figure of {DOU}", Choice(
        "rival", f"Valindria et al. 2018 and {DOU} released no network file of these rows")),
    "levels that X shares": ("the lowest", Choice("open", f"which; in a figure of {DOU} the middle is shared")),
    "batch norm of X and Y": ("shared where the kernels are", Choice(
        "open", "whether each modality has its own", "separate ones are what the rows with sepBN add")),
}  # fmt: skip
"""Decisions that are no setting -> what is had here, and where it comes from."""


def others(settings):
    """`OTHERS`."""
    return OTHERS
