"""Features seen flat: the plane in which they vary most, and points and prototypes drawn in it."""

from typing import NamedTuple

import numpy as np

from i2pemd_lite.panels.engine import style


def fit(features, solver="covariance_eigh"):
    """The plane of the largest variance of features (n, d), as scikit-learn's `PCA`."""
    from sklearn.decomposition import PCA

    return PCA(2, svd_solver=solver).fit(features)


def project(plane, features):
    """Features (…, d) in a plane, (…, 2)."""
    return (features - plane.mean_) @ plane.components_.T


class Window(NamedTuple):
    """What a picture shows of the plane: its middle (2,), half its height in feature units, and width over height."""

    middle: np.ndarray
    half: float
    wide: float


def window(points, prototypes, room, wide=1.0):
    """The `Window` of all prototypes (m, 2) but those that are NaN, and of nearly all points (n, 2)."""
    ends = [*np.quantile(points, (0.005, 0.995), axis=0), *prototypes[~np.isnan(prototypes).any(-1)]]
    low, high = np.min(ends, axis=0), np.max(ends, axis=0)
    width, height = high - low
    return Window((low + high) / 2, room * float(max(width / wide, height, 1e-6)), wide)


def draw_points(card, name, box, window, marked, others):
    """The plane of a name in a box, with `marked` points (look, (n, 2)), and others (n, 2) in grey -> its `Plane`."""
    (x, y), half, wide = window
    plane = card.plane(name, box, style.framed, xlim=(x - wide * half, x + wide * half), ylim=(y - half, y + half))
    plane.points(*others.T, marker=".", ms=2.5, color=style.LINE)
    for look, points in marked:
        plane.points(*points.T, **look)
    return plane


def draw_prototypes(plane, window, prototypes, turn, off, ms, pad, leaders):
    """Prototypes, name -> place (2,), with their names beside them.

    turn : how far right of the middle a name stands on the left of its prototype;  off : from a prototype to its name
    (both in half heights);  ms, pad : size of a prototype and around a name;  leaders : whether a line joins the two
    """
    (x, _), half, _ = window
    places = np.array(list(prototypes.values())).reshape(-1, 2)
    paper = {"facecolor": style.CARD, "edgecolor": "none", "alpha": 0.85, "pad": pad}
    sides = np.where(places[:, 0] > x + turn * half, -1, 1)
    ends = np.c_[places[:, 0] + off * half * sides, style.apart(places[:, 1], 0.13 * half)]
    if leaders:
        draw_leaders(plane, places, ends)
    plane.points(*places.T, ms=ms, **style.PROTOTYPE)
    for name, end, side in zip(prototypes, ends, sides, strict=True):
        plane.text(*end, name, size=8.5, weight="bold", va="center", ha="left" if side > 0 else "right", bbox=paper)


def draw_leaders(plane, places, ends):
    """Thin lines from places (n, 2) to the ends (n, 2) where their names are: one line with gaps."""
    gaps = np.full_like(ends, np.nan)
    plane.line(*np.stack([places, ends, gaps], 1).reshape(-1, 2).T, color=style.QUIET, lw=0.7)
