"""Where each setting of classification comes from, and where a rival differs from its authors' code.

See `i2pemd_lite.tables.choices`; the ramps of the rivals' own terms, with their sources, are in `ramps.RAMPS`.
"""

from i2pemd_lite.classification import paper
from i2pemd_lite.classification.methods import METHODS, ramps
from i2pemd_lite.tables.choices import PRECISION, SHARED, Choice

SRC = "liuquande/SRC-MT"
SETTINGS = {
    "learning_rate": Choice("paper", "1e-4"),
    "decay": Choice("paper", "0.9"),
    "decay_every": Choice("paper", "6 epochs; an epoch is a pass over the labelled images in the code of SRC-MT"),
    "schedule": Choice("paper", "that decay"),
    "steps": Choice("paper", "600 epochs"),
    "weight": Choice("paper", "λ = 1"),
    "momentum": Choice("paper", "α = 0.8"),
    "tau_low": Choice("paper", "0.7"),
    "tau_high": Choice("paper", "0.8"),
    "labelled": Choice("paper", "12"),
    "unlabelled": Choice("paper", "36"),
    "network": Choice("paper", "DenseNet-121"),
    "imagenet": Choice("paper", "pretrained on ImageNet", "no weights are brought along: name a file"),
    "size": Choice("paper", "224 x 224"),
    "share": Choice("paper", "20 %"),
    "loss": Choice(
        "paper",
        "cross-entropy; weighted by class and fed with the softmax output in the code of SRC-MT (srcmt)",
    ),
    "split_by": Choice(
        "paper",
        "image, at random",
        "a lesion is then in several parts: other profiles keep lesions apart where the data name them",
    ),
    "top": Choice("open", "half of which batchsize T is", "of 48, the number that is so named; of 36 it would be 18"),
    "mean_over": Choice(
        "open", "what the sums of Eq. 13 and 19 are divided by", "all 36: Filter_thresh is then FixMatch, as printed"
    ),
    "features": Choice(
        "open", "which view moves the prototypes", measured="AUC / F1 90.5 / 46.2, strong 90.6 / 47.7 (seed 0)"
    ),
    "prototypes": Choice("open", "how they begin", measured="first: the same to all digits shown"),
    "dropout": Choice("open", "any dropout; the code of SRC-MT has 0.2 before the classifier"),
    "weight_decay": Choice("open", "any weight decay; the code of SRC-MT and TorchSSL has 5e-4", "Eq. 14 is the loss"),
    "teacher": Choice("open", "any average of the weights", "0: that of each method's authors, see averaged weights"),
    "evaluated": Choice(
        "open", "which network is evaluated", "the student, but where a method is its average: MT and MixMatch"
    ),
    "n_ops": Choice("open", "the numbers of RandAugment; FixMatch, FlexMatch in TorchSSL take 3"),
    "magnitude": Choice("open", "the numbers of RandAugment"),
    "cutout": Choice("open", "any cutout; TorchSSL has one of up to half the side", "a lesion can be smaller"),
    "stratified": Choice("open", "whether each class keeps its share of labels: they were drawn at random"),
    "precision": PRECISION,
    "split_seed": Choice("open", "which split: it was random"),
    "width": Choice("open", "the small network, which it does not have"),
    "flex_tau": Choice("rival", "0.95 for FlexMatch in TorchSSL/TorchSSL"),
    "flex_warm_up": Choice("rival", "on for FlexMatch in TorchSSL/TorchSSL"),
    "mt_weight": Choice(
        "rival",
        "100 on the mean over classes in CuriousAI/mean-teacher, pytorch/experiments/cifar10_test.py, beside labelled "
        "losses divided by the whole batch",
    ),
    "src_weight": Choice("rival", f"1 in {SRC}, on squares weighted by class and on relations"),
    "ua_weight": Choice(
        "rival",
        "0.1 in yulequan/UA-MT (augMT)",
        measured="adds 0.02 % to the baseline's gradient: inert (laptop, 400 steps, seed 0)",
    ),
    "ua_passes": Choice("rival", "8 in yulequan/UA-MT (augMT)"),
    "ua_on": Choice("rival", "unlabelled in one file of yulequan/UA-MT (augMT), all in the other"),
    "vat_weight": Choice(
        "rival",
        "0.3 in TorchSSL/TorchSSL and google-research/mixmatch; 1 in takerum/vat_tf",
        measured="adds 7 % to the baseline's gradient (laptop, 400 steps, seed 0)",
    ),
    "vat_entropy": Choice("rival", "0.06 in TorchSSL/TorchSSL and google-research/mixmatch; 1 or 0 in takerum/vat_tf"),
    "vat_xi": Choice(
        "rival",
        "1e-6 in takerum/vat_tf and TorchSSL/TorchSSL",
        "lost in float32 beside normalised pixels: 96 % of them stay as they are",
    ),
    "vat_epsilon": Choice(
        "rival",
        "6 for 32 x 32 pixels in TorchSSL/TorchSSL and google-research/mixmatch, 8 in takerum/vat_tf",
        "as strong for each pixel: times size / 32, so 9 for 48 x 48, 42 for 224 x 224",
    ),
    "mix_weight": Choice("rival", "100 in google-research/mixmatch; 75 in its paper"),
    "mix_temperature": Choice("rival", "0.5 in google-research/mixmatch"),
    "mix_beta": Choice("rival", "0.5 in google-research/mixmatch; 0.75 in its paper"),
}
OTHERS = SHARED | {
    "thresholds": (
        "s > τ for I2PEMD, s ≥ τ for FixMatch and FlexMatch",
        Choice("rival", "s ≥ τ in FixMatch and FlexMatch", 'the paper prints s > τ; readings.panel("strict")'),
    ),
    "weights kept": (
        "best validation AUC, once the term of every method has 90 % of its weight",
        Choice(
            "open",
            "how the weights were chosen",
            "else a row could keep weights that its own term never saw. The last to reach 90 % of its weight is augMT, "
            "with 0.3 % of the learning left: in effect the last weights are kept",
        ),
    ),
    "optimiser of all": ("Adam, the paper's", Choice("rival", "SGD with momentum in TorchSSL, CuriousAI and UA-MT")),
    "FixMatch's τ": (
        "τ_high = 0.8",
        Choice(
            "open",
            "no τ for FixMatch, but prints the row of Filter_thresh in Table 5; its authors have 0.95",
            measured="AUC / F1 89.2 / 44.0, with 0.95 89.7 / 47.9 (seed 0)",
        ),
    ),
    "dropout in pseudo-labels": (
        "on, as in the rest of that forward",
        Choice(
            "rival",
            "no dropout in TorchSSL. Here VAT's answers and MixMatch's guesses are made without it, the rest with",
            "one forward for all three views",
            "in all five rows at most 0.3 points of labels right and 0.2 of 36 let in, in any quarter of 1,000 steps",
        ),
    ),
    "FixMatch, FlexMatch, VAT": ("the student is evaluated", Choice("rival", "averaged weights, 0.999, in TorchSSL")),
    "MT's head": ("one", Choice("rival", "two in CuriousAI/mean-teacher, tied by 0.01, or one")),
    "SRC-MT's class weights": (
        "N / n_k of the labelled images",
        Choice("rival", f"10000 / n_k of all images in {SRC}", "the labels of the others are not to be looked at"),
    ),
    "SRC-MT's relations": ("before dropout", Choice("rival", f"after it in {SRC}", "one feature for all methods")),
    "UA-MT's supervised loss": (
        "cross-entropy",
        Choice("rival", "half of cross-entropy plus Dice in yulequan/UA-MT, beside which its 0.1 counts twice"),
    ),
    "UA-MT's task": (
        "an image is what a voxel is there; largest entropy ln 7",
        Choice("rival", "segmentation in two classes in yulequan/UA-MT: ln 2"),
    ),
    "MixMatch's average": (
        "begins as a plain mean",
        Choice(
            "rival",
            "0.999 from the first step on in google-research/mixmatch",
            "after 2,000 steps the first, random weights would still be 13.5 % of it",
        ),
    ),
    "MixMatch's share": (
        "one for a batch, as in TorchSSL/TorchSSL",
        Choice("rival", "one for each image in google-research/mixmatch"),
    ),
    "averaged weights": (
        ", ".join(f"{paper.NAMES[name]} {each.teacher:g}" for name, each in METHODS.items() if each.teacher),
        Choice("rival", "the same decays"),
    ),
    "labelled to unlabelled": ("12 to 36 for all", Choice("rival", "1 to 7 in FixMatch and FlexMatch", "the paper's")),
    "Upper Bound": (
        "48 labelled images a step",
        Choice("open", "how many", "as many images a step as the others see; the Baseline sees its 12"),
    ),
    "SRC-MT's schedule": ("that of all", Choice("rival", f"100 epochs, times 0.9 each, in {SRC}")),
    "MixMatch's batch": (
        "one forward of all mixtures",
        Choice("rival", "equal blocks, interleaved, in google-research/mixmatch", "12 and 72 make no equal blocks"),
    ),
}
"""Decisions that are no setting -> what is had here, and where it comes from."""


def others(settings):
    """`OTHERS`, and on which share of the learning the own term of each method acts, here and in its authors' run."""
    whole = [paper.NAMES[method] for method, each in METHODS.items() if each.selection]
    found = {f"own term of {', '.join(whole)}": ("acts on 100 % of the learning", Choice("rival", "the same"))}
    for method, ramp in ramps.RAMPS.items():
        ours, theirs = ramps.acts_on(method, settings), ramps.acts_on(method)
        found[f"{paper.NAMES[method]}'s own term"] = (
            f"acts on {100 * ours:.0f} % of the learning, steps by their rate",
            Choice("rival", f"{100 * theirs:.0f} %; {ramp.source}"),
        )
    return found | OTHERS
