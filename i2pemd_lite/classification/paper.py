"""What Tables 4 to 6 of the paper print, and what follows from it by arithmetic.

All figures are in percent. Keys are those of `METHODS`, in Table 6 (τ_low, τ_high).
"""

from collections.abc import Collection
from typing import NamedTuple

from i2pemd_lite.classification.layout import CLASSES

NAMES = {
    "upper_bound": "Upper Bound", "baseline": "Baseline", "flexmatch": "FlexMatch", "mean_teacher": "MT",
    "src_mt": "SRC-MT", "ua_mt": "augMT", "vat": "VAT", "mixmatch": "MixMatch", "fixmatch": "FixMatch",
    "filter_all": "Filter_all", "i2pemd_fix": "Baseline+I2PEMD_fix", "i2pemd": "Ours",
}  # fmt: skip
"""Method -> the name of its row; "augMT" is what the text calls uncertainty-aware mean teacher, UA-MT. Filter_all is in
Table 5 alone."""
FILTERS = {"baseline": "Baseline", "filter_all": "Filter_all", "fixmatch": "Filter_thresh", "i2pemd": "Filter_I2PEMD"}
"""Method -> the name of its row in Table 5."""
FIGURES = ("auc", "sensitivity", "specificity", "accuracy", "f1")
CHOSEN = (0.7, 0.8)  # (τ_low, τ_high) of Tables 4 and 5


class Row(NamedTuple):
    """A row: the five figures in percent, and in Table 4 the p-value of a paired t-test with Ours, as printed."""

    auc: float
    sensitivity: float
    specificity: float
    accuracy: float
    f1: float
    p: str = ""

    @property
    def figures(self):
        """The row without p."""
        return self[: len(FIGURES)]


TABLE4 = {
    "upper_bound": Row(95.84, 83.87, 96.19, 96.11, 80.04),
    "baseline": Row(90.65, 68.68, 93.69, 93.42, 60.98),
    "flexmatch": Row(87.83, 64.79, 93.18, 93.00, 51.90, "0.000 **"),
    "mean_teacher": Row(88.52, 74.99, 90.98, 90.09, 50.74, "0.000 **"),
    "src_mt": Row(90.84, 74.63, 91.76, 91.11, 54.64, "0.000 **"),
    "ua_mt": Row(92.35, 68.98, 93.96, 93.15, 58.65, "0.000 **"),
    "vat": Row(94.30, 67.82, 92.90, 93.65, 63.43, "0.000 **"),
    "mixmatch": Row(94.48, 72.12, 90.21, 93.42, 64.31, "0.001 **"),
    "fixmatch": Row(93.71, 68.41, 94.04, 93.94, 63.13, "0.000 **"),
    "i2pemd_fix": Row(94.00, 70.84, 93.93, 93.35, 63.02),
    "i2pemd": Row(94.79, 69.73, 94.05, 94.54, 66.99),
}
TABLE5 = {
    "baseline": Row(90.65, 68.68, 93.69, 93.42, 60.98),
    "filter_all": Row(88.11, 59.2, 92.33, 92.59, 47.0),
    "fixmatch": Row(93.71, 68.41, 94.04, 93.94, 63.13),
    "i2pemd": Row(94.79, 69.73, 94.05, 94.54, 66.99),
}
TABLE6 = {
    (0.6, 0.7): Row(92.95, 70.26, 94.01, 93.13, 60.81),
    (0.7, 0.8): Row(94.79, 69.73, 94.05, 94.54, 66.99),
    (0.8, 0.9): Row(94.14, 70.15, 93.98, 94.37, 68.18),
    (0.6, 0.9): Row(94.56, 71.1, 94.29, 94.14, 65.51),
    (0.7, 0.9): Row(94.41, 69.38, 93.95, 94.61, 68.69),
}


def top1(accuracy):
    """The share of images whose class is the right one, in percent, from the mean accuracy of one-against-the-rest.

    With an argmax decision every mistake is one of two of the K problems: accuracy = 1 − 2 (1 − top-1) / K.
    """
    return 100 - len(CLASSES) / 2 * (100 - accuracy)


def audit(methods: Collection[str] = tuple(TABLE4)) -> dict[str, list[str]]:
    """{name of a table: sentences} that say what the numbers of the tables imply; of Table 4 about these rows alone.

    Example
    -------
    >>> print(audit()["table6"][0])
    by F1 the best pair of the paper's Table 6 is (0.7, 0.9) with 68.69, not the chosen (0.7, 0.8) with 66.99
    """
    ours, upper, baseline = (TABLE4[name] for name in ("i2pemd", "upper_bound", "baseline"))
    of_table4 = [
        f"the paper's accuracy is the mean over {len(CLASSES)} one-against-the-rest problems; if the largest score "
        f"decides, {ours.accuracy:.2f} means that {top1(ours.accuracy):.1f} % of the images are right, and the upper "
        f"bound's {upper.accuracy:.2f} that {top1(upper.accuracy):.1f} % are"
    ]
    for figure, words in (("auc", "AUC"), ("f1", "F1")):
        rows = {name: row for name, row in TABLE4.items() if name in methods}
        if below := [NAMES[name] for name, row in rows.items() if getattr(row, figure) < getattr(baseline, figure)]:
            of_table4.append(f"below the Baseline by {words} in the paper: {', '.join(below)}")
    of_table5 = (
        f"FixMatch in the paper's Table 4 has all {len(FIGURES)} figures of Filter_thresh in Table 5: one run, so "
        f"that its threshold was τ_high = {CHOSEN[1]}, not FixMatch's own 0.95"
    )
    best = max(TABLE6, key=lambda pair: TABLE6[pair].f1)
    words = f"is {best} with {TABLE6[best].f1:.2f}, not the chosen {CHOSEN} with {TABLE6[CHOSEN].f1:.2f}"
    of_table6 = f"by F1 the best pair of the paper's Table 6 {words}"
    return {"table4": of_table4, "table5": [of_table5], "table6": [of_table6]}
