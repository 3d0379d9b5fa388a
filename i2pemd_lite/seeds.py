"""Is one method better than another, whatever the seed? Paired differences over seeds, and how many of them it takes.

A method trained with n seeds gives n networks. With the same seeds for another method there are n differences Δ_s;
their mean tells of the methods, their spread of luck. (`comparison.py` holds networks and varies the test images.)
"""

from typing import NamedTuple

import numpy as np

from i2pemd_lite.files import BadInput

LEVEL, POWER = 0.95, 0.8
MOST = 100_000  # seeds, where a search ends


class Interval(NamedTuple):
    """The mean of n differences, its 95 % interval, and their SD with n − 1; NaN what one difference cannot tell."""

    mean: float
    low: float
    high: float
    sd: float
    n: int

    @property
    def verdict(self):
        """What the seeds say of the first method: "ahead" or "behind" where the interval leaves out 0, "not told apart"
        where it holds 0, and "unknown" where there is none.

        A sentence on a method takes its word from here. An interval over test images speaks of the networks at hand.

        Example
        -------
        >>> [interval(found).verdict for found in ([1.0, 1.1, 0.9], [-2.3, -1.2, -12.4], [0.0, 0.0], [7.0])]
        ['ahead', 'not told apart', 'not told apart', 'unknown']
        """
        if np.isnan(self.sd):
            return "unknown"
        return "ahead" if self.low > 0 else "behind" if self.high < 0 else "not told apart"


def interval(differences):
    """The t-interval of the mean difference: mean(Δ) ± t_{n−1, 0.975} · sd(Δ)/√n.

    Example
    -------
    >>> found = interval([1.0, 2.0, 3.0])
    >>> round(found.mean, 2), round(found.low, 2), round(found.high, 2)
    (2.0, -0.48, 4.48)
    """
    from scipy.stats import t

    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or not len(d) or not np.isfinite(d).all():
        raise BadInput(f"differences: expected a list of finite numbers, one for each seed, found {differences!r}")
    n, mean = len(d), float(d.mean())
    if n < 2:
        return Interval(mean, np.nan, np.nan, np.nan, n)
    sd = float(d.std(ddof=1))
    half = float(t.ppf((1 + LEVEL) / 2, n - 1) * sd / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, sd, n)


def sd_interval(sd, n):
    """The 95 % interval of the SD behind n differences with this SD: √((n − 1) sd² / χ²_{n−1}); wide for few seeds.

    Example
    -------
    >>> [round(bound, 2) for bound in sd_interval(1.0, 3)]
    [0.52, 6.28]
    """
    from scipy.stats import chi2

    upper, lower = chi2.ppf([(1 + LEVEL) / 2, (1 - LEVEL) / 2], n - 1)
    return float(sd * np.sqrt((n - 1) / upper)), float(sd * np.sqrt((n - 1) / lower))


def power(gap, sd, n):
    """How often the interval of n differences leaves out 0 when they are drawn with mean `gap` and this SD.

    P(|T| > t_{n−1, 0.975}), where T has the noncentral t distribution with n − 1 degrees of freedom about √n gap/sd.

    Example
    -------
    >>> round(float(power(1.0, 1.0, 10)), 3), round(float(power(0.0, 1.0, 10)), 3)
    (0.803, 0.05)
    """
    from scipy.stats import nct, t

    n, gap = np.asarray(n), abs(gap)
    if sd == 0:
        return np.full(n.shape, float(gap > 0))
    with np.errstate(all="ignore"):
        far, edge = np.sqrt(n) * gap / sd, t.ppf((1 + LEVEL) / 2, n - 1)
        above, below = nct.sf(edge, n - 1, far), nct.cdf(-edge, n - 1, far)
    # SciPy has no number for a tail that is as good as nothing, which that below is beside a large gap, or all.
    return np.clip(np.where(np.isfinite(above), above, far > edge) + np.nan_to_num(below), 0, 1)


def needed(gap, sd):
    """The smallest number of seeds whose `power` is 80 %; None where that is more than 100,000.

    Example
    -------
    >>> needed(1.0, 1.0), needed(0.1, 1.0), needed(0.0, 1.0)
    (10, 787, None)
    """
    low, high = 1, 2
    while power(gap, sd, high) < POWER:
        low, high = high, 2 * high
        if low > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(gap, sd, middle) >= POWER else (middle, high)
    return high
