"""Synthetic skin lesions: seven long-tailed classes of which some look alike, in the layout of ISIC 2018.

A lesion is a row of features drawn around the mean of its class; the means of look-alikes (MEL and NV, BKL and MEL,
AKIEC and BCC) lie close together. What is drawn belongs to the lesion; where it lies, the light, the hairs and the
camera belong to the view, so that images of one lesion are alike, as in the real data. No photograph went into it.
"""

import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from i2pemd_lite import files
from i2pemd_lite.classification.layout import CLASSES, MANIFEST, TEST, TRAINING
from i2pemd_lite.files import BadInput
from i2pemd_lite.text import bar

FORMAT = 2
WIDTH, HEIGHT = 96, 72
FREQUENCY = np.array([1113, 6705, 514, 327, 1099, 115, 142])  # images in ISIC 2018 Task 3, in the order of CLASSES

# Class means of the features, each in 0..1. melanin, blood: pigments; bumps: of the border; patchy: pigment that
# varies; soft: width of the edge; network, globules: of pigment; veil: blue-grey over it; white: pale patches, scale;
# scar: a pale centre; vessels: thin red branches; cysts: bright dots; lacunae: red lakes.
FEATURES = ("melanin", "blood", "bumps", "patchy", "soft", "network", "globules", "veil", "white", "scar", "vessels",
            "cysts", "lacunae")  # fmt: skip
MEANS = {
    "MEL":   (0.62, 0.20, 0.55, 0.62, 0.40, 0.42, 0.42, 0.34, 0.20, 0.05, 0.10, 0.04, 0.00),
    "NV":    (0.48, 0.18, 0.25, 0.30, 0.45, 0.50, 0.38, 0.05, 0.04, 0.04, 0.03, 0.03, 0.00),
    "BCC":   (0.16, 0.38, 0.40, 0.42, 0.55, 0.03, 0.16, 0.20, 0.20, 0.06, 0.58, 0.03, 0.03),
    "AKIEC": (0.18, 0.46, 0.48, 0.40, 0.72, 0.06, 0.14, 0.03, 0.48, 0.06, 0.26, 0.10, 0.00),
    "BKL":   (0.44, 0.18, 0.46, 0.42, 0.22, 0.22, 0.26, 0.07, 0.18, 0.04, 0.04, 0.48, 0.00),
    "DF":    (0.32, 0.30, 0.20, 0.22, 0.75, 0.38, 0.08, 0.03, 0.12, 0.70, 0.08, 0.04, 0.00),
    "VASC":  (0.18, 0.58, 0.30, 0.28, 0.25, 0.03, 0.06, 0.12, 0.10, 0.04, 0.08, 0.02, 0.55),
}  # fmt: skip
SPREAD = 0.13

# Optical density by channel (red, green, blue) of one unit of each pigment.
MELANIN, BLOOD = np.array([0.55, 0.95, 1.25]), np.array([0.18, 0.85, 0.70])
FAIR, DARK = np.array([236.0, 196.0, 184.0]), np.array([176.0, 126.0, 104.0])


def make(folder=None, images=1500, seed=0, progress=True):
    """Write the set into `folder`/isic2018 unless it is there, and return that folder.

    folder: None for `data/synthetic/skin-<images>`; images: about how many with labels (a class has at least 8); a
    tenth as many more, of other lesions, come as test images without labels. Written whole or not at all.
    Raises `BadInput` when the folder holds something else.
    """
    if images < 56:
        raise BadInput(f"images: expected at least 56, eight of each class, found {images}")
    settings = {"version": FORMAT, "images": images, "seed": seed}
    for place in [Path(folder)] if folder else files.places("data", "synthetic", f"skin-{images}"):
        if _holds(folder := place / "isic2018", settings):
            return folder
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise BadInput(f"{folder}: expected no folder or a synthetic set, found other files; choose another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder.parent) as temporary:
            whole = Path(temporary) / folder.name
            _write(whole, images, seed, progress)
            files.write_json(whole / MANIFEST, settings)
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(whole, folder)
    except OSError:
        if not _holds(folder, settings):  # else another process was faster
            raise
    return folder


def _holds(folder, settings):
    note = folder / MANIFEST
    return note.is_file() and files.read_json(note, dict) == settings


def plan(images, seed=0):
    """(class, lesion) of each image, (n, 2), shuffled: ISIC's shares, at least 8 a class, 1 to 4 views a lesion."""
    rng = np.random.default_rng([seed, images])
    counts = np.maximum(np.rint(images * FREQUENCY / FREQUENCY.sum()).astype(int), 8)
    rows, lesion = [], 0
    for k, count in enumerate(counts):
        while count > 0:
            views = min(count, 1 + rng.choice(4, p=[0.72, 0.18, 0.07, 0.03]))
            rows += [(k, lesion)] * views
            count, lesion = count - views, lesion + 1
    return rng.permutation(np.array(rows))


def _write(folder, images, seed, progress):
    training, test = plan(images, seed), plan(max(images // 10, 56), seed + 1)[: images // 10]
    test[:, 1] += training[:, 1].max() + 1
    inputs = [folder / f"{stem}_Input" for stem in (TRAINING, TEST)]
    for place in inputs:
        place.mkdir(parents=True)
    truth, lesions = [("image", *CLASSES)], [("image", "lesion_id")]
    for number, (k, lesion) in enumerate(bar([*training, *test], "drawing lesions", "image", shown=progress)):
        name, labelled = f"SYN_{number:07d}", number < len(training)
        image = draw(Lesion(CLASSES[k], [seed, lesion]), np.random.default_rng([seed, lesion, number]))
        image.save(inputs[not labelled] / f"{name}.jpg", quality=88)
        if labelled:
            truth.append((name, *(float(k == j) for j in range(len(CLASSES)))))
            lesions.append((name, f"LES_{lesion:07d}"))
    files.write_csv(folder / f"{TRAINING}_GroundTruth.csv", truth)
    files.write_csv(folder / f"{TRAINING}_LesionGroupings.csv", lesions)


class Waves:
    """A smooth random field of unit variance over the plane: a sum of plane waves of about one length (px). On a grid
    of columns c and rows r, cos(a c + b r + f) is the real part of exp(i (a c + f)) exp(i b r), so that a whole field
    is one small matrix product."""

    def __init__(self, rng, length, count=10):
        angle, k = rng.uniform(0, 2 * np.pi, count), 2 * np.pi / (length * rng.uniform(0.75, 1.35, count))
        self.k = np.stack([k * np.cos(angle), k * np.sin(angle)], 1)
        self.phase = rng.uniform(0, 2 * np.pi, count)

    def __call__(self, place):
        """(H, W) values; place: (2, 3), the x and y that go with a column, a row and 1."""
        a, b, f = (self.k @ place).T[..., None]
        f = f + self.phase[:, None]
        along, across = np.exp(1j * (a * np.arange(WIDTH) + f)), np.exp(1j * b * np.arange(HEIGHT))
        return (across.T @ along).real * np.sqrt(2 / len(self.phase))


class Lesion:
    """What all views of one lesion share: its features, outline, fields and skin. name: of the class; seed: anything
    that `numpy.random.default_rng` takes."""

    def __init__(self, name, seed):
        rng = np.random.default_rng(seed)
        drawn = np.array(MEANS[name]) + SPREAD * rng.standard_normal(len(FEATURES))
        self.features = dict(zip(FEATURES, drawn.clip(0, 1), strict=True))
        self.skin = FAIR + (DARK - FAIR) * rng.beta(1.2, 2.5) + rng.normal(0, 6, 3)
        self.radius, self.stretch, harmonics = rng.uniform(13, 29), rng.uniform(1.0, 1.45), np.arange(2, 8)
        self.outline = rng.normal(0, 1, 6) / harmonics**0.8, harmonics, rng.uniform(0, 2 * np.pi, 6)
        lengths = {"patch": 26, "net": rng.uniform(5.0, 7.5), "dots": rng.uniform(4.5, 7), "veil": 24, "pale": 15,
                   "vessel": 15, "vessel_where": 22, "cyst": 6.5, "lake": rng.uniform(9, 14), "skin": 40,
                   "pores": 3.6, "scale": 6}  # fmt: skip
        self.fields = {field: Waves(rng, length) for field, length in lengths.items()}

    def density(self, place):
        """(optical density (H, W, 3), share of blue-grey, share of white); place: as in `Waves`, of the view."""
        f = SimpleNamespace(**self.features)
        at = SimpleNamespace(**{name: field(place) for name, field in self.fields.items()})
        columns, rows = np.arange(WIDTH), np.arange(HEIGHT)[:, None]
        inside, depth = self._inside(*(a * columns + c + b * rows for a, b, c in place))
        melanin, blood = _melanin(f, at, depth), _blood(f, at).clip(0)
        skin = (0.035 * at.skin + 0.02 * at.pores)[..., None] * (MELANIN + BLOOD) / 2
        veil = 0.85 * f.veil * _step(at.veil, 0.35, 0.4) * depth.clip(0, 1) * inside
        density = inside[..., None] * (melanin[..., None] * MELANIN + blood[..., None] * BLOOD) + skin
        return density, veil, _white(f, at, depth) * inside

    def _inside(self, x, y):
        """(0 outside to 1 inside, 0 at the outline to 1 in the centre)."""
        f, (height, order, phase) = self.features, self.outline
        angle, distance = np.arctan2(y * self.stretch, x), np.hypot(x, y * self.stretch)
        bumps = (height[:, None, None] * np.cos(np.multiply.outer(order, angle) + phase[:, None, None])).sum(0)
        edge = self.radius * np.exp((0.06 + 0.34 * f["bumps"]) * bumps * 0.6)
        depth = 1 - distance / edge
        return 1 / (1 + np.exp(-depth / (0.025 + 0.13 * f["soft"]))), depth.clip(0, 1)


# What a lesion's features f make of its fields `at` each place, which is `depth` deep in it.


def _melanin(f, at, depth):
    """Pigment in patches; a network that fades towards the middle, where pigment is dense; globules; dark lakes."""
    line = np.exp(-((at.net / 0.45) ** 2))
    patches = 0.15 + 1.25 * f.melanin * np.exp(0.75 * f.patchy * at.patch)
    network = 1 + 1.1 * f.network * (line - 0.45) * (1.2 - 0.6 * depth)
    globules = 1.1 * f.globules * _step(at.dots, 1.15, 0.25) * (0.4 + f.melanin)
    return patches * network + globules + 0.5 * f.lacunae * _step(at.lake, 0.1, 0.15)


def _blood(f, at):
    """Redness, vessels in some places, lakes."""
    vessels = 1.3 * f.vessels * _step(at.vessel_where, 0.2, 0.3) * np.exp(-((at.vessel / 0.16) ** 2))
    red = 0.9 * f.blood * (1 + 0.25 * at.patch) + vessels
    return red * (1 - 0.55 * f.lacunae) + 2.4 * f.lacunae * _step(at.lake, 0.1, 0.15)


def _white(f, at, depth):
    """A scar in the middle, pale patches and scale, cysts."""
    scar = f.scar * np.exp(-((1 - depth) / 0.45) ** 2)
    pale = f.white * _step(at.pale + 0.6 * at.scale, 0.8, 0.3) + f.cysts * _step(at.cyst, 1.45, 0.12)
    return (0.6 * scar + 0.55 * pale).clip(0, 0.75)


def _step(field, threshold, width):
    return 1 / (1 + np.exp(-(field - threshold) / width))


def draw(lesion, rng):
    """A view of a `Lesion` as a 96 x 72 px `PIL.Image`; place, light, hairs and camera come from `rng`."""
    from PIL import Image

    turn, zoom, mirror = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.2), rng.choice([-1, 1])
    middle = np.array([WIDTH / 2 + rng.normal(0, 4), HEIGHT / 2 + rng.normal(0, 3)])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [mirror * np.sin(turn), mirror * np.cos(turn)]]) / zoom
    density, veil, white = lesion.density(np.column_stack([rotation, -rotation @ middle]))
    u, v = np.arange(WIDTH) - WIDTH / 2, np.arange(HEIGHT)[:, None] - HEIGHT / 2
    picture = lesion.skin * np.exp(-density)
    picture += veil[..., None] * (np.array([108.0, 118.0, 146.0]) - picture)
    picture += white[..., None] * (0.93 * lesion.skin + 14 - picture)
    picture *= _light(u, v, rng)
    if rng.random() < 0.35:
        picture *= 1 - _hairs(rng)[..., None] * rng.uniform(0.45, 0.85) * np.array([0.9, 0.95, 1.0])
    if rng.random() < 0.15:
        picture *= _step(-np.hypot(u, v), -rng.uniform(42, 56), 1.5)[..., None]
    picture = 255 * (picture.clip(0, None) / 255) ** rng.uniform(0.85, 1.15) + rng.normal(0, 2.5, picture.shape)
    return Image.fromarray(picture.clip(0, 255).round().astype(np.uint8))


def _light(u, v, rng):
    """(H, W, 3) gain: exposure, colour cast, a slope across the frame, a darker rim."""
    slope = rng.normal(0, 0.0016, 2)
    shade = 1 + slope[0] * u + slope[1] * v - rng.uniform(0, 0.16) * (u**2 + v**2) / 60**2
    return shade[..., None] * rng.normal(1, 0.07) * rng.normal(1, 0.045, 3)


def _hairs(rng):
    """(H, W) 0..1: a few curved hairs that cross the frame in about one direction."""
    from PIL import Image, ImageDraw

    sheet = Image.new("L", (3 * WIDTH, 3 * HEIGHT))
    pen, direction = ImageDraw.Draw(sheet), rng.uniform(0, np.pi)
    t = np.linspace(-1, 1, 16)
    for _ in range(rng.integers(1, 9)):
        angle, length = direction + rng.normal(0, 0.35), rng.uniform(40, 160)
        bend = rng.normal(0, 12) * t**2
        middle = rng.uniform(0, 1, 2) * (3 * WIDTH, 3 * HEIGHT)
        x = middle[0] + length * t * np.cos(angle) - bend * np.sin(angle)
        y = middle[1] + length * t * np.sin(angle) + bend * np.cos(angle)
        pen.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=255, width=int(rng.integers(2, 4)))
    return np.asarray(sheet.resize((WIDTH, HEIGHT), Image.Resampling.BOX), np.float32) / 255
