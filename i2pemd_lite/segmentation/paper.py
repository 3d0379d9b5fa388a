"""What Tables 1 to 3 of the paper print, and whether it agrees with itself.

Everything is Dice overlap (DOC) in percent but Table 2, which is Pearson's r. Keys are those of `METHODS`.
"""

import math
from typing import NamedTuple

from i2pemd_lite.segmentation.layout import MODALITIES, ORGANS

NAMES = {
    "individual": "Individual", "joint": "Joint", "joint_i2pemd": "Joint+I2PEMD", "joint_sepbn": "Joint+sepBN",
    "x_shaped": "X-shaped", "y_shaped": "Y-shaped", "ummkd": "UMMKD",
    "joint_sepbn_i2pemd_fix": "Joint+sepBN+I2PEMD_fix", "joint_sepbn_i2ped": "Joint+sepBN+I2PED",
    "joint_sepbn_i2pemd": "Joint+sepBN+I2PEMD",
}  # fmt: skip
"""Method -> the name of its row. (The text at hand has "fin" for the "fix" in Table 1, which may be its scan.)"""


class Row(NamedTuple):
    """A row of Table 1: (mean, SD over three runs) of liver, right kidney, left kidney, spleen; and three means."""

    ct: tuple
    mr: tuple
    means: tuple  # CT, MR, both

    def recomputed(self):
        """The three means as they follow from the organs."""
        ct, mr = (sum(mean for mean, _ in organs) / len(organs) for organs in (self.ct, self.mr))
        return ct, mr, (ct + mr) / 2


TABLE1 = {
    "individual": Row(((93.78, 0.66), (91.34, 0.28), (88.42, 0.36), (91.31, 0.14)),
                      ((91.71, 0.65), (90.49, 0.77), (90.97, 0.52), (86.24, 3.1)), (90.8, 89.1, 90.0)),
    "joint": Row(((92.30, 0.27), (88.65, 3.2), (88.14, 0.50), (89.86, 1.22)),
                 ((87.44, 0.57), (90.28, 0.45), (91.52, 0.47), (84.67, 0.05)), (89.7, 88.5, 89.1)),
    "joint_i2pemd": Row(((92.30, 0.61), (91.94, 0.13), (89.46, 0.11), (89.3, 1.45)),
                        ((87.65, 1.64), (90.42, 0.15), (90.91, 0.28), (87.39, 0.61)), (90.8, 89.1, 90.0)),
    "joint_sepbn": Row(((93.90, 0.05), (92.36, 0.49), (88.48, 0.75), (91.33, 0.37)),
                       ((91.51, 0.58), (91.51, 0.67), (92.58, 0.76), (83.55, 1.29)), (91.5, 89.8, 90.7)),
    "x_shaped": Row(((93.11, 0.44), (90.92, 1.29), (88.6, 0.1), (91.16, 0.69)),
                    ((91.35, 0.68), (91.03, 0.22), (91.13, 0.60), (81.17, 1.64)), (91.0, 88.7, 89.9)),
    "y_shaped": Row(((94.06, 0.34), (91.29, 0.23), (88.36, 1.36), (91.21, 0.32)),
                    ((91.58, 0.05), (91.21, 0.32), (91.06, 0.67), (84.04, 1.21)), (91.0, 89.5, 90.3)),
    "ummkd": Row(((93.2, 0.23), (91.95, 0.65), (88.93, 0.62), (91.18, 1.27)),
                 ((90.37, 0.12), (92.25, 0.31), (92.70, 0.08), (86.79, 3.32)), (91.3, 90.5, 90.9)),
    "joint_sepbn_i2pemd_fix": Row(((94.03, 0.32), (92.62, 0.54), (88.44, 0.86), (90.23, 0.66)),
                                  ((91.45, 0.46), (92.12, 0.39), (92.85, 0.52), (86.79, 1.87)), (91.3, 90.8, 91.1)),
    "joint_sepbn_i2pemd": Row(((94.15, 0.24), (92.62, 0.27), (89.78, 0.17), (92.31, 0.17)),
                              ((91.31, 0.23), (92.26, 0.18), (92.77, 0.23), (88.66, 0.82)), (92.2, 91.3, 91.8)),
}  # fmt: skip
TABLE2 = {"doc": (-0.79, "< 0.001"), "mmd": (0.56, "< 0.001")}
"""What the mean I2PEMD on the test part is correlated with -> Pearson's r and p."""
TABLE3 = {
    "x_shaped": 89.9, "y_shaped": 90.3, "joint_sepbn": 90.7, "ummkd": 90.9, "joint_sepbn_i2ped": 91.5,
    "joint_sepbn_i2pemd": 91.8,
}  # fmt: skip


def figures(method):
    """What Table 1 prints for a method, {"ct liver": mean, "ct liver sd": SD, …}, and its means as they follow from the
    organs ("ct mean recomputed", …); NaN where the table has no such row."""
    row = TABLE1.get(method, Row(*[((math.nan, math.nan),) * len(ORGANS)] * 2, (math.nan,) * 3))
    printed, means = {}, dict(zip(("ct mean", "mr mean", "mean"), row.means, strict=True))
    for m in MODALITIES:
        for organ, (mean, sd) in zip(ORGANS, getattr(row, m), strict=True):
            printed |= {f"{m} {organ}": mean, f"{m} {organ} sd": sd}
        printed[f"{m} mean"] = means[f"{m} mean"]
    printed["mean"] = means["mean"]
    return printed | dict(zip((f"{name} recomputed" for name in means), row.recomputed(), strict=True))


def audit() -> dict[str, str]:
    """{method: sentence} of the rows of Table 1 whose printed means lie more than 0.1 from those of their organs, where
    rounding moves one by 0.05.

    Example
    -------
    >>> for sentence in audit().values():
    ...     print(sentence)
    Individual, CT / MR / both: the paper prints 90.8 / 89.1 / 90.0, but its organs average to 91.21 / 89.85 / 90.53;
    the printed means are those of Joint+I2PEMD, perhaps copied
    Y-shaped, CT / MR / both: the paper prints 91.0 / 89.5 / 90.3, but its organs average to 91.23 / 89.47 / 90.35
    """
    sentences = {}
    for method, row in TABLE1.items():
        again = row.recomputed()
        if any(abs(a - b) > 0.1 for a, b in zip(row.means, again, strict=True)):
            printed, found = (" / ".join(f"{mean:.{n}f}" for mean in m) for m, n in ((row.means, 1), (again, 2)))
            alike = [NAMES[name] for name, other in TABLE1.items() if name != method and other.means == row.means]
            why = f"; the printed means are those of {alike[0]}, perhaps copied" if alike else ""
            names = f"{NAMES[method]}, CT / MR / both"
            sentences[method] = f"{names}: the paper prints {printed}, but its organs average to {found}{why}"
    return sentences
