"""Where each setting of segmentation comes from (see `i2pemd_lite.choices`)."""

from i2pemd_lite.choices import Choice

DOU = "Dou et al. 2020"
SETTINGS = {
    "learning_rate": Choice("paper", f"5e-4; the code of {DOU} has 1e-4"),
    "decay": Choice("paper", "decayed by 5 %"),
    "decay_every": Choice("paper", "per 500 iterations"),
    "schedule": Choice("paper", "that decay"),
    "momentum": Choice("paper", "α = 0.8"),
    "batch": Choice("paper", "6, not said whether of both modalities", "3 of each: as many voxels of either"),
    "spacing": Choice("paper", "1.5 x 1.5 x 8.0 mm"),
    "size": Choice("paper", "256 x 256"),
    "test": Choice("paper", "30 % of the patients"),
    "dim": Choice("paper", "32, the best of its Figure 6 (a), and the width of that layer in the code of " + DOU),
    "crop": Choice(
        "paper",
        "around the organs, whose place the truth tells",
        "along z only: a cut in-plane takes the truth of the held-back scans for granted",
    ),
    "steps": Choice("base", "not said; 100 times 500 in the code of " + DOU + ", whose decay it has"),
    "width": Choice("base", "the backbone of " + DOU + ": 16"),
    "patch_depth": Choice("base", f"8 slices in the code of {DOU}"),
    "block_step": Choice("base", f"no overlap in the code of {DOU}", measured="4: about 2 points of DOC"),
    "weight": Choice("open", "λ is not said", "1, the λ of its other task", "λ 0.2: 80.4, 1: 81.6, 5: 80.3 (seed 0)"),
    "add": Choice(
        "open",
        f"Eq. 7 does not say how CT and MR add up; the code of {DOU} has the sum over both",
        "I2PEMD is one mean over both, so that λ = 1 is half of what it is beside their mean",
        "norm of the gradient, random logits: CE + Dice 0.0153 summed, I2PEMD 0.0041",
    ),
    "ce": Choice("open", f"cross-entropy; weighted by 1 - N_k/N in the code of {DOU}, which all rows share"),
    "weight_decay": Choice("open", f"Eq. 7 has none; 1e-4 for each modality in the code of {DOU}"),
    "fixed": Choice("open", "entries fixed to one", "0 on the diagonal, else all answers cost 1", "0.5: 81.7 (seed 0)"),
    "pool": Choice("open", "Eq. 11 does not say how CT and MR meet", "all voxels count alike"),
    "first": Choice("open", "not said how a prototype begins", "its first mean: zero is near whatever is small"),
    "forward": Choice("open", "not said whether CT and MR share batch statistics", "together, else nothing is joint"),
    "upconv": Choice("open", f"Çiçek et al. 2016, or {DOU}, whose kernel of 1 along z leaves every second slice empty"),
    "init": Choice("open", f"not said; a truncated normal of 0.01 in the code of {DOU}, the head's too"),
    "normalise": Choice("open", "zero mean and unit variance within each modality", "of each volume: MR has no scale"),
    "ct_window": Choice("open", "none is said"),
    "mr_clip": Choice("open", "none is said"),
    "split_seed": Choice("open", "a random split"),
    "augment": Choice("paper", "nothing of it"),
    "copies": Choice("paper", "nothing of it"),
    "largest": Choice("paper", "nothing of it"),
    "weight_kd": Choice("rival", f"0.5 in the 2D code of {DOU}; 0 in that for 3D, where it is commented out"),
    "temperature": Choice("rival", f"2 in the code of {DOU}"),
    "weight_i2ped": Choice(
        "open",
        "the weight of I2PED, but prints 91.5, so it did train",
        "a distance without bound: with 1 its gradient is 14 to 26 times that of I2PEMD with λ = 1 (laptop, 60 steps)",
        "1, the letter: collapses, 20.3; 0.1: 80.6 (seed 0)",
    ),
}
OTHERS = {
    "precision": (
        "bfloat16 on a GPU that has it",
        Choice("open", "not said; its V100 has no bfloat16", "half the time; --set precision=float32 is the other"),
    ),
    "KD of an absent class": (
        "left out",
        Choice("rival", f"the code of {DOU} takes its mean logits for 0, which pulls the other modality to uniform"),
    ),
    "X- and Y-shaped, Individual, Joint": (
        "rebuilt from the figure",
        Choice("rival", "Valindria et al. 2018 and " + DOU + " released no network file of these rows"),
    ),
    "the last iterate": ("is evaluated", Choice("open", "there is no validation part to select by")),
}
"""Decisions that are no setting -> what is had here, and where it comes from."""


def others(settings):
    """`OTHERS`."""
    return OTHERS
