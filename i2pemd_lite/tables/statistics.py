"""Is one method better than another: on the same test images, whatever the seed, and how many seeds does it take?"""

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from i2pemd_lite.emd import Numbers, numbers
from i2pemd_lite.files import BadInput
from i2pemd_lite.metrics import weighted_metrics

LEVEL, POWER = 0.95, 0.8
MOST = 100_000  # seeds, where a search ends


class PairedT(NamedTuple):
    """The mean `difference` of `n` pairs, its `t` with n − 1 degrees of freedom, and the two-sided `p`."""

    difference: float
    t: float
    p: float
    n: int


def paired_t(a: Numbers, b: Numbers) -> PairedT:
    """Paired t-test between two methods on the same images, as under Table 4.

    With Δᵢ = aᵢ − bᵢ, sd the standard deviation with n − 1, and n − 1 degrees of freedom

    t = mean(Δ) / (sd(Δ) / √n);  p = P(|T| ≥ |t|)

    An affine map of correctness, a → c + d a with d > 0 for both, changes neither t nor p. One such map gives the
    accuracy of an image over 7 one-against-the-rest problems, 1 where it is right and 5/7 where it is wrong: testing
    that or top-1 is the same test.

    a, b : (n,) finite numbers, n ≥ 2: correctness of each image, 0 or 1, or its mean over seeds; else `BadInput`. Where
    all Δ are the same, t = 0 and p = 1 if they are 0, else t = ±∞ and p = 0.

    Example
    -------
    >>> test = paired_t([1, 1, 1, 0, 1, 1, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0, 0, 1, 0, 1])
    >>> round(test.difference, 6), round(test.t, 6), round(test.p, 6), test.n
    (0.3, 1.963961, 0.081126, 10)
    """
    from scipy.stats import t as student

    a, b = _pair(numbers("a", a), numbers("b", b))
    d, n = a - b, len(a)
    if (d == d[0]).all():
        t = np.sign(d[0]) * np.inf if d[0] else 0.0
    else:
        t = d.mean() / (d.std(ddof=1) / np.sqrt(n))
    return PairedT(float(d.mean()), float(t), float(2 * student.sf(abs(t), n - 1)), n)


class McNemar(NamedTuple):
    """How many images `only_a` and `only_b` got right, and the two-sided `p`."""

    only_a: int
    only_b: int
    p: float


def mcnemar(a: Numbers, b: Numbers) -> McNemar:
    """McNemar's exact test: are the images that only one of two methods got right spread evenly over both?

    If so, the number that only a got right is binomial with m = only_a + only_b trials of chance ½:

    p = min(1, 2 Σ_{i ≤ min(only_a, only_b)} C(m, i) / 2ᵐ),  and p = 1 where m = 0

    Unlike `paired_t` it assumes no normal mean, so it also holds for few images.

    a, b : (n,) booleans, n ≥ 2: whether each method got each image right; else `BadInput`

    Example
    -------
    >>> mcnemar([True, True, True, True, False], [False, False, False, True, False])
    McNemar(only_a=3, only_b=0, p=0.25)
    """
    from scipy.stats import binomtest

    a, b = _pair(a, b)
    for name, values in (("a", a), ("b", b)):
        if values.dtype != bool:
            raise BadInput(f"{name}: expected booleans, found {values.dtype}; give predictions == labels")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    return McNemar(only_a, only_b, float(binomtest(only_a, discordant).pvalue) if discordant else 1.0)


def _pair(a, b):
    """Both as arrays. Raises `BadInput` unless they are lists of one length of at least 2."""
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        shapes = f"shapes {a.shape} and {b.shape}"
        raise BadInput(f"a, b: expected two lists for the same images, at least 2, found {shapes}; give one value each")
    return a, b


def jackknife(runs, labels, groups=None, against=None):
    """95 % intervals of the figures of Table 4, over test sets that might have been there instead.

    Of a figure θ, the mean over the runs, let θ₍g₎ be its value when group g is left out, for each of G groups, with
    second and fourth central moments m₂ and m₄ over the groups. Then

    θ ± t_{ν, 0.975} · s,  s² = (G − 1) m₂,  ν = min(G − 1, 2G / (m₄/m₂² − 1))

    cut at the ends of what θ can be. With ν the variance of s² is that of σ² χ²_ν/ν. Where a few images decide, as
    those of rare classes do about F1, ν is small and the interval wide. It tells how much the choice of test images
    matters for these networks, not how much a further seed of training would differ.

    Images of one lesion are not independent: let `groups` name the lesions. In a simulation with 750 lesions of ISIC
    2018's classes, 93 % of these intervals held the true F1, where 89 % of those from a bootstrap's percentiles did;
    with 100 lesions 80 and 65 %, since classes were missing (`tests/benchmarks/intervals.py`).

    runs : list of (N, K) scores of the same N ≥ 2 images, one for each seed of a method
    labels : (N,) class indices
    groups : (N,) names of lesions, or None where each image is on its own; an image without a name needs its own
    against : runs of another method; then the interval is that of the difference, `runs` less `against`

    Returns {figure of `metrics.classification_metrics`: (low, high)}; NaN where leaving out a group leaves AUC
    undefined. `BadInput` for no runs, fewer than 2 images or groups, other shapes, and scores that are not finite.

    Source: Tukey 1958 (s, and t with G − 1); Satterthwaite 1946 (ν by the moments of a variance), which Hinkley 1977,
    Biometrika 64:21-28, takes to the jackknife.

    Example
    -------
    >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8], [0.7, 0.3]])
    >>> [round(bound, 4) for bound in jackknife([scores], [0, 0, 0, 1, 1, 1])["top1"]]
    [0.1247, 1.0]
    >>> jackknife([scores], [0, 0, 0, 1, 1, 1], against=[scores])["f1"]
    (0.0, 0.0)
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) < 2:
        raise BadInput(f"labels: expected one for each of at least 2 images, found shape {labels.shape}")
    runs = _runs("runs", runs, len(labels))
    against = [] if against is None else _runs("against", against, len(labels), runs[0].shape[1])
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if groups.shape != labels.shape:
        raise BadInput(f"groups: expected a name for each of {len(labels)} images, found shape {groups.shape}")
    if missing := sum(name in (None, "", "nan") or name != name for name in groups.tolist()):
        found = f"{missing} without one; give each image without a lesion a name of its own"
        raise BadInput(f"groups: expected a name for each image, found {found}")
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise BadInput(f"groups: expected at least 2 different ones, found {len(names)}; leave groups out")

    def mean(runs, weights):
        figures = [weighted_metrics(scores, labels, weights) for scores in runs]
        return {name: np.mean([each[name] for each in figures], 0) for name in figures[0]}

    def figures(weights):
        ours = mean(runs, weights)
        theirs = mean(against, weights) if against else dict.fromkeys(ours, 0)
        return {name: values - theirs[name] for name, values in ours.items()}

    whole = figures(np.ones((1, len(labels))))
    # In blocks: a set of 10,000 images would otherwise take gigabytes.
    left = [figures(member != block[:, None]) for block in np.split(np.arange(len(names)), range(500, len(names), 500))]
    lowest = -1 if against else 0
    return {name: _interval(value, np.concatenate([each[name] for each in left]), lowest)
            for name, (value,) in whole.items()}  # fmt: skip


def _runs(name, runs, N, K=None):
    """The runs as float64 arrays. Raises `BadInput` unless there are some, all finite and of one shape (N, K)."""
    runs = [numbers(f"{name}[{i}]", scores) for i, scores in enumerate(runs)]
    if not runs:
        raise BadInput(f"{name}: expected at least one array of scores, found none; give one for each seed")
    if K is None and runs[0].ndim == 2:
        K = runs[0].shape[1]
    for i, scores in enumerate(runs):
        if scores.shape != (N, K):
            expected = f"({N}, {K or 'K'})"
            raise BadInput(f"{name}[{i}]: expected scores of shape {expected}, found {scores.shape}; give a list")
    return runs


def _interval(value, left, lowest):
    """θ ± t_ν s of a figure from its value and those with each group left out, between `lowest` and 1."""
    G, m2, m4 = len(left), *(np.mean((left - left.mean()) ** power) for power in (2, 4))
    nu = min(G - 1, 2 * G * m2**2 / (m4 - m2**2)) if m4 > m2**2 else G - 1
    half = _reach(nu) * np.sqrt((G - 1) * m2)
    return float(np.clip(value - half, lowest, 1)), float(np.clip(value + half, lowest, 1))


def _reach(df):
    """t_{ν, 0.975}, so many standard errors an interval reaches, with ν degrees of freedom."""
    from scipy.stats import t

    return t.ppf((1 + LEVEL) / 2, df)


class Interval(NamedTuple):
    """The mean of n differences, its 95 % interval, and their SD with n − 1; NaN what one difference cannot tell."""

    mean: float
    low: float
    high: float
    sd: float
    n: int

    @property
    def verdict(self) -> str:
        """What the seeds say of the first method: "ahead" or "behind" where the interval leaves out 0, "not told apart"
        where it holds 0, and "unknown" where there is none. A sentence on a method takes its word from here.

        Example
        -------
        >>> [interval(d).verdict for d in ([1.0, 1.1, 0.9], [-2.3, -1.2, -12.4], [0.0, 0.0], [7.0])]
        ['ahead', 'not told apart', 'not told apart', 'unknown']
        """
        if np.isnan(self.sd):
            return "unknown"
        return "ahead" if self.low > 0 else "behind" if self.high < 0 else "not told apart"


def interval(differences: Numbers) -> Interval:
    """The t-interval of the mean difference: mean(Δ) ± t_{n−1, 0.975} · sd(Δ)/√n.

    Example
    -------
    >>> [round(bound, 2) for bound in interval([1.0, 2.0, 3.0])[:3]]
    [2.0, -0.48, 4.48]
    """
    d = numbers("differences", differences)
    if d.ndim != 1 or not len(d):
        raise BadInput(f"differences: expected a list of numbers, one for each seed, found {differences!r}")
    if len(d) < 2:
        return Interval(float(d[0]), np.nan, np.nan, np.nan, 1)
    mean, sd, n = float(d.mean()), float(d.std(ddof=1)), len(d)
    half = float(_reach(n - 1) * sd / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, sd, n)


def sd_interval(sd: float, n: int) -> tuple[float, float]:
    """The 95 % interval of the SD behind n differences with this SD: √((n − 1) sd² / χ²_{n−1}); wide for few seeds.

    Example
    -------
    >>> [round(bound, 2) for bound in sd_interval(1.0, 3)]
    [0.52, 6.28]
    """
    from scipy.stats import chi2

    _expect(sd, n)
    upper, lower = chi2.ppf([(1 + LEVEL) / 2, (1 - LEVEL) / 2], n - 1)
    return float(sd * np.sqrt((n - 1) / upper)), float(sd * np.sqrt((n - 1) / lower))


def _expect(sd, n):
    if numbers("sd", sd).ndim or not sd >= 0 or not (numbers("n", n) >= 2).all():
        raise BadInput(f"sd, n: expected an SD from 0 and at least 2 differences, found {sd} and {n}")


def power(gap, sd, n):
    """How often the interval of n differences leaves out 0 when they are drawn with mean `gap` and this SD.

    P(|T| > t_{n−1, 0.975}), where T has the noncentral t distribution with n − 1 degrees of freedom about √n gap/sd.

    Example
    -------
    >>> round(float(power(1.0, 1.0, 10)), 3), round(float(power(0.0, 1.0, 10)), 3)
    (0.803, 0.05)
    """
    from scipy.stats import nct

    _expect(sd, n)
    n, gap = np.asarray(n), abs(numbers("gap", gap))
    if sd == 0:
        return np.full(n.shape, float(gap > 0))
    with np.errstate(all="ignore"):
        far, edge = np.sqrt(n) * gap / sd, _reach(n - 1)
        above, below = nct.sf(edge, n - 1, far), nct.cdf(-edge, n - 1, far)
    # SciPy has no number for a tail that is as good as nothing, which that below is beside a large gap, or all.
    return np.clip(np.where(np.isfinite(above), above, far > edge) + np.nan_to_num(below), 0, 1)


def needed(gap: float, sd: float) -> int | None:
    """The smallest number of seeds whose `power` is 80 %; None where that is more than 100,000.

    Example
    -------
    >>> needed(1.0, 1.0), needed(0.1, 1.0), needed(0.0, 1.0)
    (10, 787, None)
    """
    n = bisect_left(range(MOST + 1), POWER, lo=2, key=lambda n: power(gap, sd, n))
    return n if n <= MOST else None
