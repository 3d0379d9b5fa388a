"""How fast a semi-supervised step on skin images is, beside a plain FixMatch loop over Pillow images.

python tests/benchmarks/bench.py skin [--quick] [--json FILE] [--threads N]

Ours is `next(run)` of a run that neither evaluates nor writes. The plain loop is that of most public FixMatch code: two
DataLoaders, a Dataset that makes the views of one Pillow image after another, a forward of all views together, Adam,
the loss fetched at each step. Network, weights at the start, batch, precision and optimiser are ours; the network keeps
torch's default memory layout, the views Pillow's and torchvision's default interpolation, by the nearest pixel. Its
strong views are weak ones, then RandAugment with our pool and strengths. "PIL loop" has its images decoded and resized
in memory, as ours are; "JPEG loop" decodes and resizes them each time, as a loop over a folder does, but from bytes in
memory. "2 workers" are two processes for each DataLoader.

A turn is several steps, of which a loop with workers makes every batch within the turn: neither are batches made while
another contestant runs, nor do they come for free. A step is one of labelled + unlabelled images, 12 + 12 on a laptop,
12 + 36 at the paper's size, and its views (weak labelled, weak, strong) count as these. On a laptop ours answers the
weak ones apart, without a gradient (`norms`), which the loops do not. "x" is how many times as many images a second: of
the loops without workers, and of the fastest of all four.

Forward (of the network), backward and optimiser are timed by marks inside the steps of `OURS`, by events on a GPU;
"outside" is all else: draw, views, losses, selection, prototypes, counts, what a step reports. The parts listed after
it are timed alone in the same rounds, on one batch, as a share of that step; on a GPU they take, alone, no less than
their launches do. The last rows are what the two loops without workers do before their forward. The laptop's size on a
CPU, the paper's on a GPU.

The FixMatch step of Semi-supervised-learning (semilearn) takes no part: that package imports torchvision throughout,
which must be built for the very torch at hand and is no dependency here.
"""

import copy
import io
import math
import random
import statistics

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance, ImageOps
from step import host_sync
from timing import Marks, interleaved
from torch.utils.data import DataLoader, Dataset, RandomSampler

from i2pemd_lite import classification
from i2pemd_lite.classification.augment import IMAGENET_MEAN, IMAGENET_STD, ROTATION, SHIFT, strong, weak
from i2pemd_lite.classification.data import CLASSES
from i2pemd_lite.classification.methods.bands import bands
from i2pemd_lite.classification.methods.pseudo import SELECTIONS
from i2pemd_lite.classification.prepare import Prepared, stored_side
from i2pemd_lite.device import profile
from i2pemd_lite.runs.sampling import generator

OURS, FIXMATCH, PIL, JPEG, WORKERS = "i2pemd", "fixmatch", "PIL loop", "JPEG loop", ", 2 workers"
LOOPS = {PIL: 0, PIL + WORKERS: 2, JPEG: 0, JPEG + WORKERS: 2}
IMAGES = 700


def skin_rows(quick, rounds=None):
    """One row for each contestant, then one for each part of the step of `OURS`."""
    name = "ci" if quick else "laptop" if profile("gpu").device == "cpu" else "gpu"
    steps, device = 2 if quick else 8, profile(name).device
    turns = contestants(name, steps)
    ours = turns[OURS]
    alone = {what: repeated(part, steps) for what, part in parts(ours).items()}
    theirs = {f"batch and views of the {loop}": turns[loop].views for loop in (PIL, JPEG)}
    alone |= theirs
    taken = interleaved(turns | alone, rounds or (1 if quick else 9), device)
    milliseconds = {what: statistics.median(values) / steps for what, values in taken.items()}
    s = ours.settings
    where = f"{device} {s.labelled}+{s.unlabelled}x{s.size}x{s.size} {ours.run.profile.precision}"
    speed = {what: 1e3 * (s.labelled + s.unlabelled) / milliseconds[what] for what in turns}
    beside = {PIL: speed[PIL], JPEG: speed[JPEG], "fastest loop": max(speed[loop] for loop in LOOPS)}
    rows = [
        {"where": where, "what": what, "time": milliseconds[what], "unit": "ms", "images/s": speed[what]}
        | {f"x {loop}": speed[what] / other for loop, other in beside.items()}
        for what in turns
    ]
    rows += [{"where": where, "what": what, "% of a step": 100 * share} for what, share in ours.marks.shares().items()]
    for what in alone:
        share = {} if what in theirs else {"% of a step": 100 * statistics.median(np.divide(taken[what], taken[OURS]))}
        rows.append({"where": where, "what": what, "time": milliseconds[what], "unit": "ms"} | share)
    if torch.device(device).type == "cuda":
        print(f"host syncs in a step: {host_sync(lambda: next(ours.run))}")
    return rows


def repeated(function, times):
    def run():
        for _ in range(times):
            function()

    return run


def contestants(name, steps):
    """Name to a function that does one turn, so many steps."""
    jpegs = originals((600, 450) if name == "gpu" else (200, 150))
    size = classification.TASK.settings_for(OURS, name).size
    arrays = [np.asarray(opened(jpeg, stored_side(size))) for jpeg in jpegs]
    images, none = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous(), torch.empty(0)
    labels, ids = torch.arange(IMAGES) % len(CLASSES), tuple(map(str, range(IMAGES)))
    data = Prepared("noise", size, images, labels, ids, None, None, none, (), (), "benchmark")
    ours, fixmatch = Marked(OURS, name, data, steps), Ours(FIXMATCH, name, data, steps)
    sources = {PIL: arrays, JPEG: jpegs}
    loops = {loop: PlainLoop(fixmatch, sources[loop.removesuffix(WORKERS)], n, steps) for loop, n in LOOPS.items()}
    return {OURS: ours, FIXMATCH: fixmatch} | loops


def originals(side):
    """JPEG files, as bytes, of blobs with a little noise: noise alone would take longer to decode than a photograph."""
    (width, height), draws, files = side, generator("benchmark", "skin"), []
    for _ in range(IMAGES):
        coarse = 255 * torch.rand(1, 3, 6, 8, generator=draws)
        image = F.interpolate(coarse, (height, width), mode="bilinear")[0].movedim(0, -1)
        image = image + 4 * torch.randn(height, width, 1, generator=draws)
        file = io.BytesIO()
        Image.fromarray(image.clamp(0, 255).byte().numpy()).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


# Ours


class Ours:
    """A run that never evaluates nor writes, its first step done; each call is a turn."""

    def __init__(self, method, name, data, steps):
        never = {"steps": 10**6, "evaluate_every": 10**6, "checkpoint_every": 10**6}
        self.run, self.steps = classification.train(method, data, name, **never), steps
        self.settings, self.learner = self.run.settings, self.run.learner
        next(self.run)

    def __call__(self):
        for _ in range(self.steps):
            next(self.run)


class Marked(Ours):
    """One that also marks when its parts begin."""

    def __init__(self, *given):
        super().__init__(*given)
        self.marks = Marks(self.run)

    def __call__(self):
        self.marks.turn(super().__call__)


def parts(ours):
    """Name to a function that does one part of the step of `ours`, on its first batch."""
    learner, s = ours.learner, ours.settings

    def draw():
        return learner.draw("labelled", 0, s.labelled), learner.draw("unlabelled", 0, s.unlabelled)

    (x, y, _), (u, truth, members) = draw()

    def views():
        return torch.cat([
            learner.view(weak, x, 0, "labelled"),
            learner.view(weak, u, 0, "weak"),
            learner.view(strong, u, 0, "strong", n=s.n_ops, m=s.magnitude, cutout=s.cutout),
        ])  # fmt: skip

    with torch.no_grad():
        features, logits = learner.network(views()[: -s.unlabelled])
    o, G = logits[s.labelled :].softmax(1), learner.bank.ground_distance()

    def select():
        return SELECTIONS[learner.method.selection](o, G, s, learner.memory, members)

    chosen = select()
    labels, mask = torch.cat([y, chosen.labels]), torch.cat([torch.ones_like(y, dtype=torch.bool), chosen.mask])
    return {
        "draw of the batch": draw,
        "weak and strong views": views,
        "ground distance (Eq. 3-5)": learner.bank.ground_distance,
        "selection (Eq. 15-18)": select,
        "prototypes (Eq. 20, 21)": lambda: learner.bank.update(features, labels, mask=mask),
        "counts by region": lambda: bands(o, truth, G, chosen.mask, s.tau_low, s.tau_high, s.top),
    }


# The plain loop


class PlainLoop:
    """The loop of public FixMatch code with the network of `ours`; each call is a turn."""

    def __init__(self, ours, sources, workers, steps):
        s, learner = ours.settings, ours.learner
        self.settings, self.profile, labels = s, ours.run.profile, learner.data.labels
        self.network = copy.deepcopy(learner.network).to(memory_format=torch.contiguous_format).train()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=s.learning_rate)

        def loader(members, labels, batch):
            pictures = Pictures([sources[i] for i in members], labels, s)
            sampler = RandomSampler(pictures, num_samples=steps * batch)
            return DataLoader(
                pictures,
                batch,
                sampler=sampler,
                num_workers=workers,
                persistent_workers=workers > 0,
                pin_memory=torch.device(self.profile.device).type == "cuda",
            )

        self.labelled = loader(learner.labelled, labels[learner.labelled].tolist(), s.labelled)
        self.unlabelled = loader(learner.unlabelled, None, s.unlabelled)
        self.total = 0.0
        self()

    def views(self):
        """The batches of a turn: ((x, y), (weak, strong))."""
        return list(zip(self.labelled, self.unlabelled, strict=True))

    def __call__(self):
        device, s = torch.device(self.profile.device), self.settings
        for (x, y), (u_weak, u_strong) in zip(self.labelled, self.unlabelled, strict=True):
            images, y = torch.cat([x, u_weak, u_strong]), y.to(device, non_blocking=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=self.profile.precision == "bfloat16"):
                loss = fixmatch_loss(self.network(images.to(device))[1], y, s.tau_high, s.weight)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.total += loss.item()


def fixmatch_loss(logits, y, tau, weight):
    """L_s + λ L_u from the logits of labelled, weak and strong views together; L_u is a mean over all strong views."""
    logits_x, (logits_weak, logits_strong) = logits[: len(y)], logits[len(y) :].chunk(2)
    scores, labels = logits_weak.detach().softmax(1).max(1)
    each = F.cross_entropy(logits_strong, labels, reduction="none") * (scores > tau)
    return F.cross_entropy(logits_x, y) + weight * each.mean()


class Pictures(Dataset):
    """Item i: a weak view of an image and its label, or without labels a weak and a strong view."""

    def __init__(self, sources, labels, settings):
        self.sources, self.labels, self.settings = sources, labels, settings

    def __len__(self):
        return len(self.sources)

    def __getitem__(self, i):
        s = self.settings
        image = opened(self.sources[i], stored_side(s.size))
        view = to_tensor(weakly(image, s.size))
        if self.labels is not None:
            return view, self.labels[i]
        return view, to_tensor(randaugment(weakly(image, s.size), s.n_ops, s.magnitude))


def opened(source, side):
    """A Pillow image from an array, or from JPEG bytes that are decoded and resized."""
    if isinstance(source, np.ndarray):
        return Image.fromarray(source)
    return Image.open(io.BytesIO(source)).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)


def weakly(image, size):
    """Random crop, rotation within 10 degrees, shift within 2 % of the side, mirrored half of the time."""
    left, top = (random.randint(0, side - size) for side in image.size)
    image = image.crop((left, top, left + size, top + size))
    shift = [random.uniform(-SHIFT, SHIFT) * size for _ in range(2)]
    image = image.rotate(random.uniform(-ROTATION, ROTATION), translate=shift)
    return ImageOps.mirror(image) if random.random() < 0.5 else image


def randaugment(image, n, m):
    """n operations of `OPERATIONS`, each with a strength uniform in [0, m / 10] and a random sign."""
    for operation in random.choices(list(OPERATIONS.values()), k=n):
        image = operation(image, random.uniform(0, m / 10), random.choice((-1, 1)))
    return image


def to_tensor(image):
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float() / 255
    return (x - MEAN) / STD


MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))


def _enhance(kind):
    return lambda image, v, sign: kind(image).enhance(1 + 0.9 * v * sign)


def _affine(row):
    """`row(v)`: the six numbers of Pillow's map, v signed; a shift is a share of the side."""

    def apply(image, v, sign):
        a, b, c, d, e, f = row(0.3 * v * sign)
        return image.transform(image.size, Image.Transform.AFFINE, (a, b, c * image.width, d, e, f * image.height))

    return apply


# RandAugment's pool: (image, strength in [0, 1], sign) -> image.
OPERATIONS = {
    "AutoContrast": lambda image, v, sign: ImageOps.autocontrast(image),
    "Brightness": _enhance(ImageEnhance.Brightness),
    "Color": _enhance(ImageEnhance.Color),
    "Contrast": _enhance(ImageEnhance.Contrast),
    "Equalize": lambda image, v, sign: ImageOps.equalize(image),
    "Identity": lambda image, v, sign: image,
    "Posterize": lambda image, v, sign: ImageOps.posterize(image, 8 - math.floor(4 * v)),
    "Rotate": lambda image, v, sign: image.rotate(30 * v * sign),
    "Sharpness": _enhance(ImageEnhance.Sharpness),
    "ShearX": _affine(lambda v: (1, v, 0, 0, 1, 0)),
    "ShearY": _affine(lambda v: (1, 0, 0, v, 1, 0)),
    "Solarize": lambda image, v, sign: ImageOps.solarize(image, 256 * (1 - v)),
    "TranslateX": _affine(lambda v: (1, 0, v, 0, 1, 0)),
    "TranslateY": _affine(lambda v: (1, 0, 0, 0, 1, v)),
}
