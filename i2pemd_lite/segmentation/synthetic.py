"""A synthetic abdomen in CT and MR contrast: the data set that serves where there is no real one.

Every case is another anatomy: smoothly deformed ellipsoids and tubes at plausible places, painted from back to front
with soft edges, then seen by a scanner: Hounsfield units with Gaussian noise, or a T2-weighted, fat-suppressed image
with a bias field, Rician noise and a scale of its own. It is built to look like the problem: CT and MR disagree on
which organs are bright, and each has background that looks like an organ (the stomach like the spleen, bowel like
kidneys, muscle like the liver in MR). Do not conclude anything about patients from it.

Coordinates p = (x, y, z) are millimetres to the patient's Left, to Posterior and to Superior, from mid-abdomen.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from i2pemd_lite import files
from i2pemd_lite.files import BadInput
from i2pemd_lite.segmentation import layout
from i2pemd_lite.segmentation.layout import MANIFEST, Volume
from i2pemd_lite.text import bar

FORMAT = 2  # counts the changes that make other voxels from the same seed
PLANE = 128  # voxels of a slice along x and y
UNLABELLED = 2  # scans of each modality without a label map


class Tissue(NamedTuple):
    """How a tissue looks: `hu` and `t2` as (mean, deviation from case to case), T2 relative to fluid; its label values;
    `grain`, how much its inside varies, as a part of the contrast range of the modality."""

    hu: tuple
    t2: tuple
    btcv: int = 0
    mr: int = 0
    grain: float = 0.01


TISSUES = {
    "fat": Tissue((-102, 6), (0.10, 0.02), grain=0.015),
    "muscle": Tissue((58, 6), (0.22, 0.03), grain=0.02),
    "lung": Tissue((-840, 25), (0.03, 0.01), grain=0.02),
    "bone": Tissue((210, 40), (0.17, 0.04), grain=0.05),
    "disc": Tissue((85, 10), (0.34, 0.10)),
    "canal": Tissue((35, 8), (0.95, 0.05)),
    "rib": Tissue((330, 60), (0.12, 0.03)),
    "bowel": Tissue((70, 35), (0.50, 0.17), grain=0.08),
    "gas": Tissue((-700, 80), (0.03, 0.01)),
    "pancreas": Tissue((92, 10), (0.38, 0.06), btcv=11, grain=0.03),
    "stomach": Tissue((85, 40), (0.58, 0.16), btcv=7, grain=0.05),
    "gallbladder": Tissue((12, 5), (0.98, 0.08), btcv=4),
    "vessel": Tissue((158, 14), (0.08, 0.03), btcv=8),
    "vein": Tissue((142, 14), (0.14, 0.05), btcv=9),
    "cyst": Tissue((6, 4), (1.0, 0.05)),
    "liver": Tissue((108, 14), (0.29, 0.04), btcv=6, mr=1, grain=0.02),
    "liver vein": Tissue((138, 12), (0.42, 0.08), btcv=6, mr=1),
    "right kidney": Tissue((182, 18), (0.66, 0.07), btcv=2, mr=2, grain=0.03),
    "left kidney": Tissue((182, 18), (0.66, 0.07), btcv=3, mr=3, grain=0.03),
    "right medulla": Tissue((162, 18), (0.78, 0.07), btcv=2, mr=2, grain=0.05),
    "left medulla": Tissue((162, 18), (0.78, 0.07), btcv=3, mr=3, grain=0.05),
    "spleen": Tissue((122, 10), (0.60, 0.07), btcv=1, mr=4, grain=0.015),
}


class Canvas:
    """The scan that is being painted: `points` (3, N), `image` and `label` (N,) of its voxels, X Y Z = `shape` of them.
    The axes go to Left, Posterior and Superior. A few long waves bend the whole body: `points` are where each voxel
    would lie in the straight one. What is painted is computed for the voxels about it only."""

    def __init__(self, modality, axes, voxel, rng):
        self.modality, self.axes, self.voxel, self.rng = modality, axes, voxel, rng
        x, y, z = (axis.astype(np.float32) for axis in np.meshgrid(*axes, indexing="ij", sparse=True))
        turn, (right, forth) = rng.normal(0, 0.04), rng.normal(0, 6, 2).astype(np.float32)
        straight = x - turn * y + right, y + turn * x + forth, z
        bent = np.stack([axis + waves(straight, draw_waves(rng, (110, 240), 3.5)) for axis in straight])
        self.points, self.shape = bent.reshape(3, -1), bent.shape[1:]
        self.numbers = np.arange(bent[0].size).reshape(self.shape)
        looks = {name: tissue.hu if modality == "ct" else tissue.t2 for name, tissue in TISSUES.items()}
        self.value = {name: rng.normal(*look) for name, look in looks.items()}
        # The four parts of a patient's kidneys are brighter or darker than other patients' together.
        shift = rng.normal(0, looks["right kidney"][1])
        self.value.update({name: looks[name][0] + shift for name in looks if name.endswith(("kidney", "medulla"))})
        self.range = 250.0 if modality == "ct" else 1.0
        self.grain = ndimage.gaussian_filter(rng.standard_normal(self.shape, dtype=np.float32), (1.6, 1.6, 0.8))
        self.grain = (self.grain / self.grain.std()).ravel()
        self.image = np.full(self.grain.shape, -1000.0 if modality == "ct" else 0.0, dtype=np.float32)
        self.label = np.zeros(self.grain.shape, dtype=np.uint8)

    def paint(self, tissue, distance, where, value=None):
        """Cover with `tissue` those voxels of `where` whose signed `distance` (mm) to it is negative, the edge soft."""
        value = self.value[tissue] if value is None else value
        close = np.flatnonzero(distance < self.voxel / 2)
        where, cover = where[close], np.clip(0.5 - distance[close] / self.voxel, 0, 1)
        filled = value + TISSUES[tissue].grain * self.range * self.grain[where]
        self.image[where] += cover * (filled - self.image[where])
        self.label[where[cover > 0.5]] = self.label_of(tissue)

    def label_of(self, tissue):
        """The label value of `tissue` on disk in this modality."""
        return np.uint8(TISSUES[tissue].btcv if self.modality == "ct" else TISSUES[tissue].mr)

    def around(self, centre, reach):
        """The voxels within `reach` millimetres of `centre` along each axis, the bending of the body allowed for."""
        reach = np.broadcast_to(reach, 3) + 26
        limits = [np.searchsorted(a, (c - r, c + r)) for a, c, r in zip(self.axes, centre, reach, strict=True)]
        return self.numbers[tuple(slice(first, last) for first, last in limits)].ravel()

    def ellipsoid(self, tissue, centre, radii, turns=(0, 0, 0), wobble=2.0, value=None, within=None):
        """Paint an ellipsoid, its surface uneven by about `wobble` millimetres; only on the tissue `within`, if any."""
        drawn = draw_waves(self.rng, (35, 80), wobble / 2)
        where = self.around(centre, max(radii))
        if within is not None:
            where = where[self.label[where] == self.label_of(within)]
        points = self.points[:, where]
        distance = ellipsoid(points, centre, radii, turns)
        close = np.flatnonzero(distance < self.voxel + np.abs(drawn[:, -1]).sum())
        self.paint(tissue, distance[close] + waves(points[:, close], drawn), where[close], value)

    def tube(self, tissue, centre, radius, bend):
        """Paint a tube along z through (x, y) = `centre`, its course bent by about `bend` millimetres."""
        where = self.around((*centre, 0), (radius + bend, radius + bend, np.inf))
        x, y, z = self.points[:, where]
        along = bend * np.sin(z / 45 + self.rng.uniform(0, 6))
        self.paint(tissue, np.hypot(x - centre[0] - along, y - centre[1]) - radius, where)


def draw_waves(rng, lengths, amplitude):
    """Waves for `waves`: random (direction, phase, height), `lengths` = (from, to) in mm."""
    drawn = []
    for _ in range(4):
        direction = rng.standard_normal(3)
        direction *= 2 * np.pi / rng.uniform(*lengths) / np.linalg.norm(direction)
        drawn.append((*direction, rng.uniform(0, 2 * np.pi), rng.normal(0, amplitude)))
    return np.array(drawn, dtype=np.float32)


def waves(points, drawn):
    """Smooth noise: the sum of plane waves at `points`, which are an array (3, ...) or three that broadcast."""
    x, y, z = points
    return sum(height * np.sin(a * x + b * y + c * z + phase) for a, b, c, phase, height in drawn)


def ellipsoid(points, centre, radii, turns=(0, 0, 0)):
    """About the signed distance (mm, negative inside) of `points` (3, N) to an ellipsoid turned about x, y, z (rad).

    With k_0 = |p / r| and k_1 = |p / r^2| it is k_0 (k_0 - 1) / k_1, which is exact in the first order at the surface.
    """
    p = points - np.asarray(centre, dtype=points.dtype)[:, None]
    for axis, angle in enumerate(turns):
        if angle:
            a, b = (axis + 1) % 3, (axis + 2) % 3
            p[a], p[b] = np.cos(angle) * p[a] + np.sin(angle) * p[b], np.cos(angle) * p[b] - np.sin(angle) * p[a]
    q = [place / radius for place, radius in zip(p, radii, strict=True)]
    k0 = np.sqrt(q[0] ** 2 + q[1] ** 2 + q[2] ** 2)
    k1 = np.sqrt(sum((place / radius) ** 2 for place, radius in zip(q, radii, strict=True)))
    return k0 * (k0 - 1) / np.maximum(k1, 1e-9)


def phantom(modality, seed=0, missing=(), kidneys=1.0):
    """One synthetic scan -> `Volume`, its label in the values it has on disk (BTCV's for CT, class ids for MR).

    modality: "ct" (Hounsfield units) or "mr" (T2-weighted with fat suppressed, arbitrary units); seed: an integer or a
    sequence of them; missing: organs to leave out, such as "right kidney"; kidneys: factor on the size of the kidneys.
    """
    if modality not in ("ct", "mr"):
        raise BadInput(f"modality: expected 'ct' or 'mr', found {modality!r}")
    rng = np.random.default_rng(seed)
    plane = rng.uniform(2.75, 3.1) if modality == "ct" else rng.uniform(2.65, 2.95)
    pitch = rng.choice([2.5, 3.0, 3.0, 5.0]) if modality == "ct" else rng.uniform(7.0, 8.6)
    layers = 1 if pitch in (2.5, 3.0) else 3  # thick slices are the mean of three thin ones
    low, high = -92 - rng.uniform(0, 14), 106 + rng.uniform(0, 14)
    count = int((high - low) / pitch)
    flat = (np.arange(PLANE) - (PLANE - 1) / 2) * plane
    upright = low + (np.arange(count * layers) - (layers - 1) / 2) * pitch / layers
    canvas = Canvas(modality, (flat, flat, upright), plane, rng)
    _abdomen(canvas, missing, kidneys)
    image = canvas.image.reshape(PLANE, PLANE, count, layers).mean(axis=3)
    label = canvas.label.reshape(PLANE, PLANE, count, layers)[..., layers // 2]
    image = _ct_scanner(image, rng) if modality == "ct" else _mr_scanner(image, rng)
    affine = np.diag([-plane, -plane, pitch, 1.0])  # the axes go to Left and Posterior, RAS the other way
    affine[:3, 3] = -flat[0], -flat[0], low
    return Volume(image, np.ascontiguousarray(label), affine)


def _abdomen(canvas, missing, kidneys):
    """Paint a body from back to front."""
    rng = canvas.rng
    fat = np.clip(rng.normal(17, 6), 7, 32)
    wide, deep = rng.normal(132, 7), rng.normal(88, 5)  # half-axes of the cavity within the muscles
    p, everywhere = canvas.points, canvas.numbers.ravel()
    inner = _cylinder(p, wide, deep)
    canvas.paint("fat", inner - 11 - fat - 6 * (p[1] > 0), everywhere)
    canvas.paint("muscle", inner - 11, everywhere)
    canvas.paint("fat", inner, everywhere)
    diaphragm = 98 + rng.normal(0, 4) - 78 * ((p[0] / wide) ** 2 + ((p[1] + 10) / deep) ** 2) ** 1.5
    canvas.paint("lung", np.maximum(inner + 1, diaphragm - p[2]), everywhere)
    canvas.ellipsoid("muscle", (18, -30, 122) + rng.normal(0, 5, 3), (58, 46, 40), wobble=3)  # the heart
    # Positions of organs are for a cavity of 132 x 88 mm and move with its size.
    size = np.array([wide / 132, deep / 88, 1.0])
    _bowel(canvas, size)
    _spleen_and_stomach(canvas, size, missing)
    _liver(canvas, size, np.maximum(inner + 2, p[2] - diaphragm + 3), missing)
    for side, sign in (("right", -1), ("left", 1)):
        canvas.ellipsoid("muscle", (sign * 34, 46, -80), (17, 17, 75), wobble=1)
        if f"{side} kidney" not in missing:
            _kidney(canvas, size, side, sign, kidneys)
    canvas.tube("vein", (-22, 24) + rng.normal(0, 3, 2), rng.uniform(8, 12), bend=3)
    canvas.tube("vessel", (9, 27) + rng.normal(0, 2, 2), rng.uniform(8, 11), bend=2)
    _spine_and_ribs(canvas, inner)


def _cylinder(p, wide, deep):
    """About the signed distance to a cylinder along z with half-axes `wide` and `deep`, blunter than an ellipse."""
    radius = (np.abs(p[0] / wide) ** 2.3 + np.abs(p[1] / deep) ** 2.3) ** (1 / 2.3)
    return (radius - 1) * np.hypot(p[0], p[1]) / np.maximum(radius, 1e-3)


def _bowel(canvas, size):
    """Loops of bowel before and below the organs, some with gas; the pancreas behind them."""
    rng = canvas.rng
    for _ in range(rng.integers(30, 46)):
        centre = size * (rng.uniform(-98, 98), rng.uniform(-68, 12), rng.uniform(-108, 8))
        radii = rng.uniform(10, 24, 3)
        # Fluid, food or contrast medium: each loop has its own brightness.
        value = canvas.value["bowel"] + rng.normal(0, 0.14) * canvas.range
        canvas.ellipsoid("bowel", centre, radii, rng.uniform(-1, 1, 3), wobble=3, value=value)
        if rng.random() < 0.3:
            canvas.ellipsoid("gas", centre - (0, radii[1] * 0.35, 0), radii * (0.6, 0.4, 0.6), wobble=1)
    for x, y, z in ((-92, 5, -62), (96, 12, -45), (-96, -20, -30)):  # colon, beside kidneys and liver
        centre = size * (x, y, z) + rng.normal(0, 5, 3)
        canvas.ellipsoid("bowel", centre, rng.uniform((16, 16, 26), (22, 22, 44)), wobble=3)
    centre = size * (8, -6, 4) + rng.normal(0, 5, 3)
    canvas.ellipsoid("pancreas", centre, (54, 10, 14), (0, rng.normal(0.35, 0.1), rng.normal(0.1, 0.1)), wobble=4)


def _spleen_and_stomach(canvas, size, missing):
    rng = canvas.rng
    centre = size * (96, 28, 46) + rng.normal(0, 5, 3)
    if "spleen" not in missing:
        radii = np.array([27, 42, 44]) * rng.normal(1, 0.1) * rng.normal(1, 0.06, 3)
        canvas.ellipsoid("spleen", centre, radii, (rng.normal(0.4, 0.15), 0, rng.normal(0.35, 0.12)), wobble=5)
    centre = size * (54, -30, 50) + rng.normal(0, 6, 3)
    radii = np.array([36, 32, 40]) * rng.normal(1, 0.14, 3)
    canvas.ellipsoid("stomach", centre, radii, (0, rng.normal(0.3, 0.2), rng.normal(-0.3, 0.2)), wobble=5)
    if rng.random() < 0.6:
        canvas.ellipsoid("gas", centre - (0, radii[1] * 0.6, 0), radii * (0.6, 0.25, 0.5), wobble=1)


def _liver(canvas, size, limit, missing):
    """A large right and a flat left lobe, run together and held within `limit`; veins; the gallbladder beneath."""
    rng = canvas.rng
    if "liver" not in missing:
        where = np.flatnonzero(limit < canvas.voxel)
        p, limit = canvas.points[:, where], limit[where]
        big = rng.normal(1, 0.07)
        right = ellipsoid(p, size * (-68, -4, 38) + rng.normal(0, 5, 3), big * np.array([64, 72, 76]), (0, -0.15, 0.15))
        turns = (rng.normal(0, 0.1), rng.normal(-0.25, 0.12), rng.normal(-0.2, 0.1))
        left = ellipsoid(p, size * (0, -46, 62) + rng.normal(0, 5, 3), big * np.array([66, 25, 32]), turns)
        near = np.clip(0.5 + (left - right) / 50, 0, 1)  # the smooth minimum of two distances
        both = left + near * (right - left) - 25 * near * (1 - near) * 2
        canvas.paint("liver", np.maximum(both + waves(p, draw_waves(rng, (45, 100), 3.0)), limit), where)
        for _ in range(7):
            centre = size * (-62, -8, 50) + rng.normal(0, (28, 26, 24))
            radii, turns = (rng.uniform(18, 42), 4, 4), rng.uniform(-1.5, 1.5, 3)
            canvas.ellipsoid("liver vein", centre, radii, turns, within="liver")
    centre = size * (-40, -46, 2) + rng.normal(0, 6, 3)
    canvas.ellipsoid("gallbladder", centre, rng.uniform((11, 16, 13), (17, 26, 20)), rng.normal(0, 0.3, 3), wobble=2)


def _kidney(canvas, size, side, sign, factor):
    """Cortex, medulla, and the sinus of fat that opens towards the spine; sometimes a cyst."""
    rng = canvas.rng
    centre = size * (sign * 62, 38, -20 + 4 * sign) + rng.normal(0, (4, 4, 7))
    radii = np.array([27, 24, 50]) * factor * rng.normal(1, 0.06) * rng.normal(1, 0.05, 3)
    turns = (rng.normal(-0.12, 0.08), rng.normal(-0.2, 0.08) * -sign, rng.normal(0.35, 0.15) * -sign)
    canvas.ellipsoid(f"{side} kidney", centre, radii, turns, wobble=2.5)
    canvas.ellipsoid(f"{side} medulla", centre, radii * (0.66, 0.64, 0.8), turns, wobble=3)
    hilum = centre - np.array([sign * 0.6, 0.25, 0]) * radii
    canvas.ellipsoid("fat", hilum, radii * (0.52, 0.3, 0.45), turns, wobble=2)
    if rng.random() < 0.2:
        outward = rng.standard_normal(3)
        outward *= (sign * outward[0] > 0) * 2.0 - 1 if outward[0] else 1
        canvas.ellipsoid("cyst", centre + radii * outward / np.linalg.norm(outward), [rng.uniform(6, 15)] * 3, wobble=0)


def _spine_and_ribs(canvas, inner):
    rng, where = canvas.rng, canvas.around((0, 72, 0), (66, 45, np.inf))
    x, y, z = canvas.points[:, where]
    for sign in (-1, 1):
        canvas.paint("muscle", _cylinder((x - sign * 35, y - 84), 30, 21), where)
    canvas.paint("bone", _cylinder((x, y - 50), 24, 19), where)
    between = np.abs((z + rng.uniform(0, 36)) % 36 - 18) - 4.5
    canvas.paint("disc", np.maximum(_cylinder((x, y - 50), 23, 18), between), where)
    arch = np.minimum(_cylinder((x, y - 80), 19, 13), _cylinder((x, y - 97), 6, 16))
    canvas.paint("bone", np.maximum(arch, -between), where)
    canvas.paint("canal", _cylinder((x, y - 78), 11, 8), where)
    where = np.flatnonzero(np.abs(inner - 5) < 4.2 + canvas.voxel)
    (x, y, z), inner = canvas.points[:, where], inner[where]
    # All ribs at once: each goes down from the spine to the front, the next one 27 mm above it.
    slope = 0.55 * (y - 60)
    rise = (z - slope + rng.uniform(0, 27)) % 27 - 13.5
    ribs = np.sqrt((inner - 5) ** 2 + (0.8 * rise) ** 2) - 4.2
    canvas.paint("rib", np.maximum.reduce([ribs, -55 - y, 34 - np.abs(x), -38 - z + 0.2 * y]), where)


def _ct_scanner(image, rng):
    """Blur and noise of a CT scanner, and the table; whole Hounsfield units."""
    image = ndimage.gaussian_filter(image, (0.45, 0.45, 0))
    noise = ndimage.gaussian_filter(rng.standard_normal(image.shape, dtype=np.float32), (0.6, 0.6, 0))
    image += rng.uniform(9, 18) / noise.std() * noise
    return np.clip(np.round(image), -1024, 1500).astype(np.float32)


def _mr_scanner(image, rng):
    """Blur, bias field, brightness from slice to slice, Rician noise and scale of an MR scanner; whole numbers."""
    image = ndimage.gaussian_filter(image, (0.5, 0.5, 0))
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    (a, b, c), (d, e, f) = rng.normal(0, 0.13, (2, 3))
    bias = (a * x + b * y + c * z) + (d * x**2 + e * y**2 + f * z**2)
    bias += rng.normal(0, 0.15) * x * y + 0.16 * waves((x, y, z), draw_waves(rng, (1.6, 3.0), 0.8))
    image *= np.exp(bias) * rng.normal(1, 0.03, image.shape[2])
    level = rng.uniform(0.02, 0.045)
    one, two = rng.standard_normal((2, *image.shape), dtype=np.float32) * np.float32(level)
    image = np.hypot(np.maximum(image, 0) + one, two)
    return np.round(image * rng.uniform(350, 1100)).astype(np.float32)


def make(folder: Path | str | None = None, cases: int = 10, seed: int = 0, progress: bool = True) -> Path:
    """Write the synthetic data set into `folder`, unless it is there -> `folder`; None: where the lessons look for it.

    `cases` labelled CT in `btcv/RawData` and as many MR in `chaos_mr_t2spir`, and 2 of each without label, in layouts
    that `data.load` reads. Case 2 has small kidneys, CT case 4 no right kidney. The file `synthetic.json` is written
    first and again at the end: a set that it does not call complete is made again.

    Raises `BadInput` for a folder that holds other files, or a number of cases below 1.
    """
    wanted = {"format": FORMAT, "cases": cases, "seed": seed}
    if cases < 1:
        raise BadInput(f"cases: expected 1 or more, found {cases}")
    for place in files.places("data", "synthetic", "abdomen") if folder is None else [folder]:
        folder, manifest = Path(place), Path(place) / MANIFEST
        before = files.read_json(manifest, dict) if manifest.is_file() else None
        if before == {**wanted, "complete": True}:
            return folder
    if before is not None:
        # Of the same set nothing need go: another process that makes it too writes the same files.
        if before != {**wanted, "complete": False}:
            for path in folder.glob("*/**/*.nii.gz"):
                path.unlink()
    elif folder.is_dir() and any(folder.iterdir()):
        raise BadInput(f"{folder}: expected a new folder or a synthetic set, found other files; choose another folder")
    files.write_json(manifest, {**wanted, "complete": False})
    jobs = [(modality, number) for modality in ("ct", "mr") for number in range(1, cases + UNLABELLED + 1)]
    for modality, number in bar(jobs, "drawing synthetic scans", "scan", shown=progress):
        missing = ("right kidney",) if (modality, number) == ("ct", 4) else ()
        scan = phantom(modality, (seed, modality == "mr", number), missing, kidneys=0.6 if number == 2 else 1.0)
        _write(folder, modality, number, scan, labelled=number <= cases)
    files.write_json(manifest, {**wanted, "complete": True})
    return folder  # pyrefly: ignore[bad-return]


def _write(folder, modality, number, scan, labelled):
    ct = modality == "ct"
    top = folder / ("btcv/RawData" if ct else "chaos_mr_t2spir") / ("Training" if labelled else "Testing")
    image, label = (f"img{number:04d}", f"label{number:04d}") if ct else (f"image_{number}", f"label_{number}")
    array, mask, affine = scan.image.astype(np.int16), scan.label, scan.affine
    if ct:  # turned to Anterior, as BTCV has it: the two modalities differ in orientation on disk
        affine = affine @ np.array([[1, 0, 0, 0], [0, -1, 0, PLANE - 1], [0, 0, 1, 0], [0, 0, 0, 1]])
        array, mask = array[:, ::-1], mask[:, ::-1]
    layout.write_nifti(top / "img" / f"{image}.nii.gz", array, affine)
    if labelled:
        layout.write_nifti(top / "label" / f"{label}.nii.gz", mask, affine)
