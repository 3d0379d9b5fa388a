"""Where each setting of segmentation comes from (see `i2pemd_lite.tables.choices`)."""

from i2pemd_lite.tables.choices import PRECISION, SHARED, Choice

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
    "steps": Choice("base", f"100 times 500 in the code of {DOU}, whose decay the paper has; it prints no number"),
    "width": Choice("base", f"16 in the code of {DOU}, whose backbone it is"),
    "patch_depth": Choice("base", f"8 slices in the code of {DOU}"),
    "block_step": Choice("base", f"no overlap in the code of {DOU}", measured="4: about 2 points of DOC"),
    "weight": Choice("open", "λ", "1, the λ of its other task", "λ 0.2: 80.4, 1: 81.6, 5: 80.3 (seed 0)"),
    "add": Choice(
        "open",
        f"how CT and MR add up in Eq. 7; the code of {DOU} has the sum over both",
        "I2PEMD is one mean over both, so that λ = 1 is half of what it is beside their mean",
        "sum 79.2, mean 79.1 after 400 steps (seed 0)",
    ),
    "ce": Choice("open", f"which cross-entropy; the code of {DOU} weights it by 1 - N_k/N"),
    "weight_decay": Choice(
        "open", f"any weight decay; the code of {DOU} has 1e-4 for each modality", "Eq. 7 is the whole loss"
    ),
    "fixed": Choice(
        "open", "the diagonal of a G fixed to one", "0 on the diagonal, else all answers cost 1", "0.5: 81.7 (seed 0)"
    ),
    "pool": Choice("open", "how CT and MR meet in Eq. 11", "all voxels count alike"),
    "first": Choice("open", "how a prototype begins", "its first mean: zero is near whatever is small"),
    "forward": Choice("open", "whether CT and MR share batch statistics", "together, else nothing is joint"),
    "upconv": Choice(
        "open",
        f"whose up-convolutions: Çiçek et al. 2016, or {DOU}, whose kernel of 1 along z leaves slices empty",
    ),
    "init": Choice("open", f"the first weights; the code of {DOU} has a truncated normal of 0.01, the head's too"),
    "normalise": Choice(
        "open", "whose mean and variance: it says “within each modality”", "of each volume: MR has no scale"
    ),
    "ct_window": Choice("open", "any cut of intensities"),
    "mr_clip": Choice("open", "any cut of intensities"),
    "precision": PRECISION,
    "split_seed": Choice("open", "which split: it was random"),
    "augment": Choice("paper", "none"),
    "copies": Choice("paper", "none"),
    "largest": Choice("paper", "none"),
    "weight_kd": Choice("rival", f"0.5 in the 2D code of {DOU}; 0 in that for 3D, where it is commented out"),
    "temperature": Choice("rival", f"2 in the code of {DOU}"),
    "weight_i2ped": Choice(
        "open",
        "the weight of I2PED, but prints 91.5, so it did train",
        "a distance without bound: with 1 its gradient is 14 to 26 times that of I2PEMD with λ = 1 (laptop, 60 steps)",
        "1: collapses, 20.3; 0.1: 80.6; 0.05: 79.9 (seed 0)",
    ),
}
OTHERS = SHARED | {
    "a class without voxels": (
        "left out of the mean of Eq. 8",
        Choice("open", "what 0/0 of Eq. 9 is", 'as 0, it would make the term smaller; readings.panel("absent")'),
    ),
    "activation": ("LeakyReLU, 0.2", Choice("paper", f"ReLU; the code of {DOU}, whose backbone it is, has ours")),
    "optimiser": ("Adam", Choice("open", f"which; Adam in the code of {DOU}")),
    "patches": (
        "3 of each modality, from cases drawn anew",
        Choice("base", f"2 of each from one volume of each in the code of {DOU}", "the paper's 6"),
    ),
    "overlapping blocks": ("averaged", Choice("base", f"the last one wins in the code of {DOU}")),
    "clip of cross-entropy": (
        "none",
        Choice(
            "base", f"p cut to [0.005, 1] in the code of {DOU}", "the cut leaves no gradient where p is most wrong"
        ),
    ),
    "KD of an absent class": (
        "left out",
        Choice("rival", f"the code of {DOU} takes its mean logits for 0, which pulls the other modality to uniform"),
    ),
    "X- and Y-shaped, Individual, Joint": (
        f"rebuilt from the figure of {DOU}",
        Choice("rival", "Valindria et al. 2018 and " + DOU + " released no network file of these rows"),
    ),
    "levels that X shares": ("the lowest", Choice("open", f"which; in a figure of {DOU} the middle is shared")),
    "batch norm of X and Y": (
        "shared where the kernels are",
        Choice("open", "whether each modality has its own", "separate ones are what the rows with sepBN add"),
    ),
    "the last iterate": ("is evaluated", Choice("open", "which weights; it has no validation part to select by")),
}
"""Decisions that are no setting -> what is had here, and where it comes from."""


def others(settings):
    """`OTHERS`."""
    return OTHERS
