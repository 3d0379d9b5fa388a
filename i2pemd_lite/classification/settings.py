"""What a classification run can set, where each value and each rival's difference comes from, and its sizes."""

import dataclasses

from i2pemd_lite.classification import paper
from i2pemd_lite.classification.methods import METHODS, ramps
from i2pemd_lite.classification.network import installed
from i2pemd_lite.runs.settings import Settings
from i2pemd_lite.tables.choices import PRECISION, SHARED, Choice, choices, one_of, setting

SRC, TORCH, GOOGLE, UA = "liuquande/SRC-MT", "TorchSSL/TorchSSL", "google-research/mixmatch", "yulequan/UA-MT"
VAT = "takerum/vat_tf"


@dataclasses.dataclass
class ClassificationSettings(Settings):
    """The settings of a classification run, each with where it comes from (`python -m i2pemd_lite readings`).

    Those of one method begin with its name: flex_ FlexMatch, mt_ mean teacher, src_ SRC-MT, ua_ UA-MT, vat_ VAT, mix_
    MixMatch. Their defaults are those of the code that `ramps.RAMPS` names, but for what `readings` lists. What all
    methods share is the paper's: optimiser, batches, plain cross-entropy (SRC-MT's authors: loss="srcmt",
    weight_decay=5e-4), student weights (those of FixMatch and FlexMatch: evaluated="teacher"), dropout.
    """

    precision: str = PRECISION
    steps: int = setting(69_600, "paper", "600 epochs")  # passes over 1,402 labelled images, 12 a step
    learning_rate: float = setting(1e-4, "paper", "1e-4")
    schedule: str = setting("step", "paper", "that decay")
    decay: float = setting(0.9, "paper", "0.9")
    decay_every: int = setting(
        696, "paper", "6 epochs; an epoch is a pass over the labelled images in the code of SRC-MT")
    weight_decay: float = setting(
        0.0, "open", "any weight decay; the code of SRC-MT and TorchSSL has 5e-4", "Eq. 14 is the loss")
    weight: float = setting(1.0, "paper", "λ = 1")  # of Eq. 14
    momentum: float = setting(0.8, "paper", "α = 0.8")
    loss: str = setting(  # of labelled images: see `labelled_loss`
        "plain", "paper",
        "cross-entropy; weighted by class and fed with the softmax output in the code of SRC-MT (srcmt)",
        needs=one_of("plain", "weighted", "srcmt", "adjusted"))
    tau_low: float = setting(0.7, "paper", "0.7")
    tau_high: float = setting(0.8, "paper", "0.8", needs="0 to 1")  # FixMatch's too
    top: int = setting(  # T
        24, "open", "half of which batchsize T is", "of 48, the number that is so named; of 36 it would be 18")
    mean_over: str = setting("all", "open", "what the sums of Eq. 13 and 19 are divided by",
                             "all 36: Filter_thresh is then FixMatch, as printed", needs=one_of("all", "selected"))
    features: str = setting("weak", "open", "which view moves the prototypes", "",
                            "AUC / F1 90.5 / 46.2, strong 90.6 / 47.7 (seed 0)", needs=one_of("weak", "strong"))
    norms: str = setting(  # see `pseudo.of_views`
        "together", "open", "whether batch normalisation sees all views together",
        "FixMatch's code does; apart, its statistics move twice a step",
        needs=one_of("together", "apart"))
    prototypes: str = setting(  # a pass over the labelled images, or the first mean seen
        "labelled_pass", "open", "how they begin", "", "first: the same to all digits shown",
        needs=one_of("labelled_pass", "first"))

    flex_tau: float = setting(0.95, "rival", f"0.95 for FlexMatch in {TORCH}", needs="0 to 1")
    flex_warm_up: bool = setting(True, "rival", f"on for FlexMatch in {TORCH}")

    mt_weight: float = setting(
        100.0, "rival", "100 on the mean over classes in CuriousAI/mean-teacher, pytorch/experiments/cifar10_test.py, "
        "beside labelled losses divided by the whole batch", needs="from 0")

    src_weight: float = setting(
        1.0, "rival", f"1 in {SRC}, on squares weighted by class and on relations", needs="from 0")

    ua_weight: float = setting(
        0.1, "rival", f"0.1 in {UA} (augMT)", "",
        "adds 0.02 % to the baseline's gradient: inert (small, 400 steps, seed 0)", needs="from 0")
    ua_passes: int = setting(8, "rival", f"8 in {UA} (augMT)",
                             needs=("a whole number from 1 to 1000", lambda n: 1 <= n <= 1000))
    ua_on: str = setting("unlabelled", "rival", f"unlabelled in one file of {UA} (augMT), all in the other",
                         needs=one_of("unlabelled", "all"))  # the images that consistency is asked of

    vat_weight: float = setting(0.3, "rival", f"0.3 in {TORCH} and {GOOGLE}; 1 in {VAT}", "",
                                "adds 7 % to the baseline's gradient (small, 400 steps, seed 0)", needs="from 0")
    vat_entropy: float = setting(0.06, "rival", f"0.06 in {TORCH} and {GOOGLE}; 1 or 0 in {VAT}", needs="from 0")
    vat_xi: float = setting(1.0, "rival", f"1e-6 in {VAT} and {TORCH}",
                            "lost in float32 beside normalised pixels: 96 % of them stay as they are", needs="above 0")
    vat_epsilon: float = setting(  # L2 norm over an image of 32 x 32 px
        6.0, "rival", f"6 for 32 x 32 pixels in {TORCH} and {GOOGLE}, 8 in {VAT}",
        "as strong for each pixel: times size / 32, so 18 for 96 x 96, 42 for 224 x 224", needs="from 0")

    mix_weight: float = setting(100.0, "rival", f"100 in {GOOGLE}; 75 in its paper", needs="from 0")
    mix_temperature: float = setting(0.5, "rival", f"0.5 in {GOOGLE}", needs="above 0")
    mix_beta: float = setting(0.5, "rival", f"0.5 in {GOOGLE}; 0.75 in its paper",
                             needs=("a number from 0.001 to 1000", lambda beta: 0.001 <= beta <= 1000))

    teacher: float = setting(  # decay of averaged weights; 0: the method's own, 0.999 where it has none
        0.0, "open", "any average of the weights", "0: that of each method's authors, see averaged weights",
        needs="0 to below 1")
    evaluated: str = setting(  # "": the method's own
        "", "open", "which network is evaluated", "the student, but where a method is its average: MT and MixMatch",
        needs=one_of("", "student", "teacher"))
    labelled: int = setting(12, "paper", "12", needs="from 1")
    unlabelled: int = setting(36, "paper", "36", needs="from 1")
    network: str = setting("densenet121", "paper", "DenseNet-121")
    width: int = setting(0, "open", "the small network, which it does not have", needs="from 0")  # 0: its own default
    dropout: float = setting(  # between features and classifier
        0.2, "open", "any dropout; the code of SRC-MT has 0.2 before the classifier", needs="0 to below 1")
    imagenet: str = setting(  # a file, or "package"
        "", "paper", "pretrained on ImageNet", "no weights of DenseNet-121 are brought along: name a file")
    size: int = setting(224, "paper", "224 x 224")
    n_ops: int = setting(2, "open", "the numbers of RandAugment; FixMatch, FlexMatch in TorchSSL take 3",
                         needs=("a whole number from 0 to 100", lambda n: 0 <= n <= 100))
    magnitude: int = setting(
        10, "open", "the numbers of RandAugment", needs=("a whole number from 0 to 10", lambda m: 0 <= m <= 10))
    cutout: float = setting(  # largest side of a grey square in strong views, as share of the image
        0.0, "open", "any cutout; TorchSSL has one of up to half the side", "a lesion can be smaller", needs="0 to 1")
    split_by: str = setting(  # "": the first of file, lesion and image that the data allow
        "", "paper", "image, at random",
        "a lesion is then in several parts: other profiles keep lesions apart where the data name them")
    share: float = setting(0.2, "paper", "20 %", needs="0 to 1")  # of the training images that keep their label
    stratified: bool = setting(False, "open", "whether each class keeps its share of labels: they were drawn at random")
    split_seed: int = setting(0, "open", "which split: it was random", needs="from 0")

    LIVE = (*Settings.LIVE, "tau_low", "tau_high", "top")
    ROOM = ("width", "size", "labelled", "unlabelled")
    LISTED = "help(classification.train)"

    def check(self):
        super().check()
        self._expect("method", self.method in ("", *METHODS), f"one of {', '.join(METHODS)}")
        stride = 32 if self.network in ("densenet121", "efficientnet_lite0") else 8
        self._expect("size", self.size >= stride, f"at least {stride} px, the stride of {self.network}")
        self._expect("tau_low", 0 <= self.tau_low < self.tau_high, f"a threshold below tau_high ({self.tau_high})")
        selects = not self.method or METHODS[self.method].selection
        fits = not selects or 1 <= self.top <= self.unlabelled
        self._expect("top", fits, f"T from 1 to the {self.unlabelled} unlabelled")

    def least_memory(self) -> int:
        """Bytes that a training needs in any case; of a batch a few of the maps that are kept, in two bytes each."""
        width = self.width or 16
        networks = {"small": (666 * width**2, 2 * width), "efficientnet_lite0": (3_400_000, 60)}
        weights, kept = networks.get(self.network, (7_000_000, 100))
        return 16 * weights + 2 * kept * self.size**2 * (self.labelled + self.unlabelled)


SETTINGS = choices(ClassificationSettings)
_SHORT = {"learning_rate": 1e-3, "schedule": "cosine", "stratified": True}
SIZES = {
    "ci": _SHORT | {
        "network": "small", "width": 8, "size": 24, "steps": 20, "evaluate_every": 10, "checkpoint_every": 4},
    "laptop": _SHORT | {
        "network": "efficientnet_lite0", "imagenet": "package" if installed() else "", "size": 96, "norms": "apart",
        "steps": 240, "evaluate_every": 24, "unlabelled": 12, "top": 8},
    "gpu": {"evaluate_every": 696, "split_by": "image"},
}
SMALL = _SHORT | {"network": "small", "imagenet": "", "size": 48, "norms": "together", "unlabelled": 36, "top": 24}
"""Changes by which any profile trains a small network from random weights, whose step takes milliseconds."""
OTHERS = SHARED | {
    "thresholds": ("s > τ for I2PEMD, s ≥ τ for FixMatch and FlexMatch", Choice(
        "rival", "s ≥ τ in FixMatch and FlexMatch", 'the paper prints s > τ; readings.panel("strict")')),
    "weights kept": ("best validation AUC, once the term of every method has 90 % of its weight", Choice(
        "open", "how the weights were chosen",
        "else a row could keep weights that its own term never saw. The last to reach 90 % of its weight is augMT, "
        "with 0.3 % of the learning left: in effect the last weights are kept")),
    "optimiser of all": ("Adam, the paper's", Choice("rival", "SGD with momentum in TorchSSL, CuriousAI and UA-MT")),
    "FixMatch's τ": ("τ_high = 0.8", Choice(
        "open", "no τ for FixMatch, but prints the row of Filter_thresh in Table 5; its authors have 0.95", "",
        "AUC / F1 89.2 / 44.0, with 0.95 89.7 / 47.9 (seed 0)")),
    "dropout in pseudo-labels": ("on, as in the rest of that forward", Choice(
        "rival",
        "no dropout in TorchSSL. Here VAT's answers and MixMatch's guesses are made without it, the rest with",
        "one forward for all three views",
        "in all five rows at most 0.3 points of labels right and 0.2 of 36 let in, in any quarter of 1,000 steps")),
    "FixMatch, FlexMatch, VAT": ("the student is evaluated", Choice("rival", "averaged weights, 0.999, in TorchSSL")),
    "MT's head": ("one", Choice("rival", "two in CuriousAI/mean-teacher, tied by 0.01, or one")),
    "SRC-MT's class weights": ("N / n_k of the labelled images", Choice(
        "rival", f"10000 / n_k of all images in {SRC}", "the labels of the others are not to be looked at")),
    "SRC-MT's relations": ("before dropout", Choice("rival", f"after it in {SRC}", "one feature for all methods")),
    "UA-MT's supervised loss": ("cross-entropy", Choice(
        "rival", f"half of cross-entropy plus Dice in {UA}, beside which its 0.1 counts twice")),
    "UA-MT's task": ("an image is what a voxel is there; largest entropy ln 7", Choice(
        "rival", f"segmentation in two classes in {UA}: ln 2")),
    "MixMatch's average": ("begins as a plain mean", Choice(
        "rival", f"0.999 from the first step on in {GOOGLE}",
        "after 2,000 steps the first, random weights would still be 13.5 % of it")),
    "MixMatch's share": (f"one for a batch, as in {TORCH}", Choice("rival", f"one for each image in {GOOGLE}")),
    "averaged weights": (
        ", ".join(f"{paper.NAMES.get(name, name)} {each.teacher:g}" for name, each in METHODS.items() if each.teacher),
        Choice("rival", "the same decays")),
    "labelled to unlabelled": ("12 to 36 for all", Choice("rival", "1 to 7 in FixMatch and FlexMatch", "the paper's")),
    "Upper Bound": ("48 labelled images a step", Choice(
        "open", "how many", "as many images a step as the others see; the Baseline sees its 12")),
    "SRC-MT's schedule": ("that of all", Choice("rival", f"100 epochs, times 0.9 each, in {SRC}")),
    "MixMatch's batch": ("one forward of all mixtures", Choice(
        "rival", f"equal blocks, interleaved, in {GOOGLE}", "12 and 72 make no equal blocks")),
}  # fmt: skip
"""Decisions that are no setting -> what is had here, and where it comes from."""


def others(settings):
    """`OTHERS`, and on which share of the learning the own term of each method acts, here and in its authors' run."""
    whole = [paper.NAMES.get(method, method) for method, each in METHODS.items() if each.selection]
    terms = {f"own term of {', '.join(whole)}": ("acts on 100 % of the learning", Choice("rival", "the same"))}
    for method, ramp in ramps.RAMPS.items():
        ours, theirs = ramps.acts_on(method, settings), ramps.acts_on(method)
        terms[f"{paper.NAMES[method]}'s own term"] = (
            f"acts on {100 * ours:.0f} % of the learning, steps by their rate",
            Choice("rival", f"{100 * theirs:.0f} %; {ramp.source}"),
        )
    return terms | OTHERS
