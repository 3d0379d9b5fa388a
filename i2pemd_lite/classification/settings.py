"""What a classification run can set, and its sizes by profile."""

import dataclasses

from i2pemd_lite.classification.methods import METHODS
from i2pemd_lite.runs.settings import Settings


@dataclasses.dataclass
class ClassificationSettings(Settings):
    """The settings of a classification run; `python -m i2pemd_lite readings` says where each default comes from.

    Those of one method begin with its name: flex_ FlexMatch, mt_ mean teacher, src_ SRC-MT, ua_ UA-MT, vat_ VAT, mix_
    MixMatch. Their defaults are those of the code that `ramps.RAMPS` names, but for what `readings` lists. What all
    methods share is the paper's: optimiser, batches, plain cross-entropy (SRC-MT's authors: loss="srcmt",
    weight_decay=5e-4), student weights (those of FixMatch and FlexMatch: evaluated="teacher"), dropout.
    """

    steps: int = 69_600  # 600 passes over 1,402 labelled images, 12 a step
    learning_rate: float = 1e-4
    decay: float = 0.9
    decay_every: int = 696  # 6 passes
    weight: float = 1.0  # λ of Eq. 14
    loss: str = "plain"  # of labelled images, or "weighted" by class, or "srcmt": see `labelled_loss`
    tau_low: float = 0.7
    tau_high: float = 0.8  # FixMatch's too: the paper's tables 4 and 5 print the same numbers for both; its own is 0.95
    top: int = 24  # T: half of the batch of 48; of the unlabelled part it would be 18
    mean_over: str = "all"  # Eq. 13 is divided by the number of all unlabelled samples of a batch, or of the "selected"
    features: str = "weak"  # the view whose features move the prototypes (Eq. 21), or "strong"
    prototypes: str = "labelled_pass"  # start: a pass over the labelled images, or "first": the first mean seen
    flex_tau: float = 0.95
    flex_warm_up: bool = True
    mt_weight: float = 100.0  # on the mean over classes
    src_weight: float = 1.0
    ua_weight: float = 0.1
    ua_passes: int = 8
    ua_on: str = "unlabelled"  # or "all": the images that consistency is asked of
    vat_weight: float = 0.3
    vat_entropy: float = 0.06
    vat_xi: float = 1.0  # the authors' 1e-6 is lost in float32 beside normalised pixels
    vat_epsilon: float = 6.0  # L2 norm over an image of 32 x 32 px; in a larger one it grows with the side
    mix_weight: float = 100.0
    mix_temperature: float = 0.5
    mix_beta: float = 0.5
    teacher: float = 0.0  # decay of averaged weights; 0: the method's own, 0.999 where it has none
    evaluated: str = ""  # "student" or "teacher", the averaged weights; "": the method's own
    labelled: int = 12
    unlabelled: int = 36
    network: str = "densenet121"
    width: int = 0  # of the small network; 0: its own default
    dropout: float = 0.2  # between features and classifier
    imagenet: str = ""  # a local file with ImageNet weights for densenet121
    size: int = 224
    n_ops: int = 2  # RandAugment: operations a view …
    magnitude: int = 10  # … and their largest strength
    cutout: float = 0.0  # largest side of a grey square in strong views, as share of the image
    split_by: str = ""  # "file", "lesion", "image"; "": the first that the data allow
    share: float = 0.2  # of the training images that keep their label
    stratified: bool = False
    split_seed: int = 0

    LIVE = (*Settings.LIVE, "tau_low", "tau_high", "top")

    def check(self):
        """Raise `BadInput` for a value that no run can use."""
        super().check()
        self._expect("method", self.method in ("", *METHODS), f"one of {', '.join(METHODS)}")
        self._expect("tau_low", 0 <= self.tau_low < self.tau_high, f"a threshold below tau_high ({self.tau_high})")
        for name, values in _WORDS.items():
            self._expect(name, getattr(self, name) in values, " or ".join(repr(value) for value in values))
        for name in ("labelled", "unlabelled", "ua_passes"):
            self._expect(name, getattr(self, name) >= 1, "a whole number from 1")
        for name in ("mt_weight", "src_weight", "ua_weight", "vat_weight", "vat_entropy", "mix_weight", "vat_epsilon"):
            self._expect(name, getattr(self, name) >= 0, "a number from 0")
        for name in ("vat_xi", "mix_temperature", "mix_beta"):
            self._expect(name, getattr(self, name) > 0, "a number above 0")
        for name in ("tau_high", "flex_tau", "cutout", "share"):
            self._expect(name, 0 <= getattr(self, name) <= 1, "a number from 0 to 1")
        for name in ("dropout", "teacher"):
            self._expect(name, 0 <= getattr(self, name) < 1, "a number from 0, below 1")
        selects = not self.method or METHODS[self.method].selection
        fits = not selects or 1 <= self.top <= self.unlabelled
        self._expect("top", fits, f"T from 1 to the {self.unlabelled} unlabelled")
        self._expect("n_ops", self.n_ops >= 0, "a whole number from 0")
        self._expect("magnitude", 0 <= self.magnitude <= 10, "a whole number from 0 to 10")


_WORDS = {
    "loss": ("plain", "weighted", "srcmt"),
    "mean_over": ("all", "selected"),
    "features": ("weak", "strong"),
    "prototypes": ("labelled_pass", "first"),
    "ua_on": ("unlabelled", "all"),
    "evaluated": ("", "student", "teacher"),
}
_SMALL = {"network": "small", "learning_rate": 1e-3, "schedule": "cosine", "stratified": True}
SIZES = {
    "ci": _SMALL | {"steps": 20, "size": 24, "width": 8, "evaluate_every": 10, "checkpoint_every": 4},
    "laptop": _SMALL | {"steps": 2000, "size": 48, "evaluate_every": 200},
    "gpu": {"evaluate_every": 696, "split_by": "image"},
}
