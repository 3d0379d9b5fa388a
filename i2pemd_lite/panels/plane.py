"""Features seen flat: the plane in which they vary most, and points and prototypes drawn in it."""

import numpy as np

from i2pemd_lite.panels.engine import style


def fit(features, solver="covariance_eigh"):
    """The plane of the largest variance of features (n, d), as scikit-learn's `PCA`."""
    from sklearn.decomposition import PCA

    return PCA(2, svd_solver=solver).fit(features)


def project(plane, features):
    """Features (…, d) in a plane, (…, 2)."""
    return (features - plane.mean_) @ plane.components_.T


def window(points, prototypes, room, wide=1.0):
    """What a picture shows of the plane: its middle (2,), half its height, and `wide`, its width over its height.

    It holds all prototypes (m, 2) but those that are NaN, and nearly all points (n, 2).
    """
    ends = [*np.quantile(points, (0.005, 0.995), axis=0), *prototypes[~np.isnan(prototypes).any(-1)]]
    low, high = np.min(ends, axis=0), np.max(ends, axis=0)
    width, height = high - low
    return (low + high) / 2, room * float(max(width / wide, height, 1e-6)), wide


def draw(card, name, box, window, marked, others, prototypes):
    """The plane of a name in a box -> its `Plane`.

    marked : pairs of a look and points (n, 2);  others : points (n, 2) in grey
    prototypes : name -> place (2,), each with its name on its outer side
    """
    (x, y), half, wide = window
    plane = card.plane(name, box, "framed", xlim=(x - wide * half, x + wide * half), ylim=(y - half, y + half))
    plane.points(*others.T, marker=".", ms=2.5, color=style.LINE)
    for look, points in marked:
        plane.points(*points.T, **look)
    places = np.array(list(prototypes.values())).reshape(-1, 2)
    sides = np.where(places[:, 0] > x + 0.4 * half, -1, 1)
    ends = np.c_[places[:, 0] + 0.12 * half * sides, style.apart(places[:, 1], 0.13 * half)]
    draw_leaders(plane, places, ends)
    plane.points(*places.T, ms=8.5, zorder=3.2, **style.PROTOTYPE)
    for name, end, side in zip(prototypes, ends, sides, strict=True):
        plane.text(*end, name, size=8.5, weight="bold", va="center", ha="left" if side > 0 else "right", halo=True,
                   zorder=3.3)  # fmt: skip
    return plane


def draw_leaders(plane, places, ends):
    """Thin lines from places (n, 2) to the ends (n, 2) where their names are: one line with gaps."""
    gaps = np.full_like(ends, np.nan)
    plane.line(*np.stack([places, ends, gaps], 1).reshape(-1, 2).T, color=style.QUIET, lw=0.7)
