"""Features seen flat: the plane in which they vary most, and the artists of points and prototypes in it."""

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
    """The middle (2,) and half the height of a picture of points (n, 2) and prototypes (m, 2).

    It holds all prototypes but those that are NaN, and nearly all points; it is `wide` times as wide as high.
    """
    ends = [*np.quantile(points, (0.005, 0.995), axis=0), *prototypes[~np.isnan(prototypes).any(-1)]]
    low, high = np.min(ends, axis=0), np.max(ends, axis=0)
    width, height = high - low
    return (low + high) / 2, room * float(max(width / wide, height, 1e-6))


class Scatter:
    """The artists of a plane: points by mark, those of other classes in grey, prototypes and their names.

    axes : where it is drawn;  marks : style of each kind of points;  classes : their names
    wide : width over height;  turn : how far right of the middle a name stands on the left of its prototype;
    off : from a prototype to its name (both in half heights);  leaders : whether a line joins the two
    """

    def __init__(self, axes, marks, classes, wide, turn, off, ms, pad, leaders):
        self.axes, self.classes, self.wide, self.turn, self.off = axes, classes, wide, turn, off
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(True)
        self.others = axes.plot([], [], ls="", marker=".", ms=2.5, color=style.LINE)[0]
        self.points = [axes.plot([], [], ls="", **mark)[0] for mark in marks]
        self.ways = axes.plot([], [], color=style.BLACK, lw=0.9, marker=".", ms=3.5, alpha=0.8)[0]
        self.leaders = axes.plot([], [], color=style.QUIET, lw=0.7 * leaders)[0]
        self.prototypes = axes.plot([], [], ls="", ms=ms, **style.PROTOTYPE)[0]
        paper = {"facecolor": style.CARD, "edgecolor": "none", "alpha": 0.85, "pad": pad}
        self.names = [axes.text(0, 0, "", size=8.5, weight="bold", va="center", bbox=paper) for _ in classes]

    def show(self, middle, half, points, others, prototypes):
        """Points of each mark and others, each (n, 2), and class -> place (2,) of its prototype."""
        x, y = middle
        style.limits(self.axes, (x - self.wide * half, x + self.wide * half), (y - half, y + half))
        self.others.set_data(*others.T)
        for artist, mine in zip(self.points, points, strict=True):
            artist.set_data(*mine.T)
        places = np.array(list(prototypes.values())).reshape(-1, 2)
        self.prototypes.set_data(*places.T)
        for text in self.names:
            text.set_text("")
        leaders = []
        for k, at, height in zip(prototypes, places, style.apart(places[:, 1], 0.13 * half), strict=True):
            side = -1 if at[0] > x + self.turn * half else 1
            end = at[0] + self.off * half * side
            self.names[k].set(text=self.classes[k], x=end, y=height, ha="left" if side > 0 else "right")
            leaders += [at, (end, height), (np.nan, np.nan)]
        self.leaders.set_data(*np.array(leaders).reshape(-1, 2).T)
