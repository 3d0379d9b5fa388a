"""How long a whole training step of the segmentation takes, beside a plain MONAI loop on the same volumes.

python tests/benchmarks/bench.py step [--quick] [--set NAME=VALUE] [--json FILE] [--threads N]

Ours is `next(run)`: the batch, the network, the loss, the optimiser and what a step reports. The MONAI loop is that of
its tutorials: CacheDataset, RandSpatialCropd to the same patch, DataLoader, DiceCELoss, Adam, autocast at the same
precision, the loss fetched at each step. Its networks are ours, MONAI's UNet and its DynUNet, these of about as many
parameters. Parts are timed alone in the same rounds, as a share of the step of `OURS`. I2PEMD adds the prototypes
(which all methods follow, so that two runs do not differ by them), the ground distance and its term of the loss.

Peak memory is that of a fresh process a contestant: on a GPU the most that torch had allocated, on Linux's CPU the most
that was resident beyond what was before the contestant was made, the volumes among it. The laptop's size on a CPU, the
paper's on a GPU; `--set preset=beyond` times another recipe, at its own patch.
"""

import importlib.util
import itertools
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from timing import interleaved

from i2pemd_lite import segmentation
from i2pemd_lite.device import profile
from i2pemd_lite.losses import segmentation_loss
from i2pemd_lite.runs.sampling import generator
from i2pemd_lite.segmentation.data import CLASSES, MODALITIES
from i2pemd_lite.segmentation.layout import Grid
from i2pemd_lite.segmentation.network import NETWORKS
from i2pemd_lite.segmentation.prepare import Case

OURS, WITHOUT, JOINT = "joint_sepbn_i2pemd", "joint_sepbn", "joint"
PLAIN, THEIRS, DYNAMIC = "MONAI loop, our network", "MONAI loop, MONAI's UNet", "MONAI loop, MONAI's DynUNet"
CASES = 6  # of each modality


def step_rows(quick, rounds=None, changes=None):
    """One row for each contestant, then one for each part of the step of `OURS`."""
    name = "ci" if quick else "laptop" if profile("gpu").device == "cpu" else "gpu"
    settings, device = settings_for(OURS, name, changes), profile(name).device
    steps = {what: make() for what, make in makers(name, changes, volumes(settings)).items()}
    ours = steps[OURS]
    taken = interleaved(steps | parts(ours), rounds or (2 if quick else 15), device)
    milliseconds = {what: statistics.median(values) for what, values in taken.items()}
    measured = torch.cuda.is_available() or sys.platform == "linux"
    memory = {what: peak(what, name, changes) for what in ([OURS] if quick else steps) if measured}
    where = f"{device} {'x'.join(map(str, (2 * settings.batch, *settings.patch)))} {precision(settings)}"
    rows = [
        {"where": where, "what": what, "time": milliseconds[what], "unit": "ms", "parameters": step.parameters}
        | ratios("x MONAI loop", milliseconds, what)
        | ({"peak MB": memory[what]} | ratios("x its memory", memory, what) if what in memory else {})
        for what, step in steps.items()
    ]
    shares = {what: statistics.median(np.divide(taken[what], taken[OURS])) for what in taken if what not in steps}
    with_term, without_term = (shares.pop(what) for what in (WITH_TERM, WITHOUT_TERM))
    shares["Eq. 8, 9 in the loss"] = with_term - without_term
    added = shares["prototypes (Eq. 10, 11)"] + shares["ground distance (Eq. 3-5)"] + with_term - without_term
    shares["I2PEMD in all, by its parts"] = added / (1 - added)
    shares["I2PEMD without its prototypes, by two runs"] = statistics.median(np.divide(taken[OURS], taken[WITHOUT])) - 1
    rows += [{"where": where, "what": what, "% of a step": 100 * share} for what, share in shares.items()]
    if torch.device(device).type == "cuda":
        print(f"host syncs in a step: {host_sync(ours)}")
    return rows


def ratios(name, values, what):
    return {name: values[what] / values[PLAIN]} if PLAIN in values else {}


def settings_for(method, name, changes):
    return segmentation.TASK.settings_for(method, name, 0, changes)


def precision(settings):
    return profile(settings.profile).precision if settings.precision == "auto" else settings.precision


def volumes(settings):
    """Prepared volumes of noise, with labels in organ-like blobs, at the size of these settings."""
    cases = []
    for modality, number in itertools.product(MODALITIES, range(CASES)):
        draws = generator("benchmark", modality, number)
        shape = (max(24, settings.patch_depth) + number, *settings.size)
        coarse = torch.randn(1, len(CLASSES), *(size // 8 for size in shape), generator=draws)
        label = F.interpolate(coarse, shape, mode="trilinear").argmax(1)[0].to(torch.uint8)
        image = torch.randn(shape, generator=draws) + label
        grid = Grid(shape, np.eye(4))
        cases.append(Case(f"{modality}/{number}", modality, image, label, np.eye(4), grid, (image.numel(), 0.0, 1.0)))
    return segmentation.Prepared(tuple(cases), settings.geometry, "benchmark", Path(), "noise", {})


class Ours:
    """A run that never evaluates nor writes; each call is a step."""

    def __init__(self, method, name, changes, data):
        never = {"steps": 10**6, "evaluate_every": 10**6, "checkpoint_every": 10**6}
        self.run = segmentation.train(method, data, name, **(changes or {}) | never)
        self.settings, self.learner = self.run.settings, self.run.learner
        self.parameters = sum(p.numel() for p in self.run.parameters)

    def __call__(self):
        next(self.run)


class MonaiLoop:
    """The loop of MONAI's tutorials; each call is a step. `views` are transforms of a patch that its caller adds."""

    def __init__(self, network, settings, cases, views=()):
        from monai.data import CacheDataset, DataLoader
        from monai.losses import DiceCELoss
        from monai.transforms import Compose, EnsureTyped, RandSpatialCropd

        self.device, self.mixed = profile(settings.profile).device, precision(settings) == "bfloat16"
        keys = ("image", "label")
        first = views or [RandSpatialCropd(keys, settings.patch, random_size=False)]
        self.loader = DataLoader(
            CacheDataset(
                [{"image": case.image[None], "label": case.label[None]} for case in cases],
                Compose([EnsureTyped(keys), *first]),
                num_workers=0,
                progress=False,
            ),
            batch_size=2 * settings.batch,
            shuffle=True,
            drop_last=True,
            num_workers=0,
        )
        self.batches = itertools.chain.from_iterable(itertools.repeat(self.loader))
        self.network = network.to(self.device)
        self.loss = DiceCELoss(to_onehot_y=True, softmax=True)
        self.optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
        self.parameters, self.epoch_loss = sum(p.numel() for p in network.parameters()), 0.0

    def __call__(self):
        device, batch = self.device, next(self.batches)
        images, labels = batch["image"].to(device), batch["label"].to(device)
        self.optimiser.zero_grad()
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=self.mixed):
            loss = self.loss(self.network(images), labels)
        loss.backward()
        self.optimiser.step()
        self.epoch_loss += loss.item()


class Logits(torch.nn.Module):
    """Our network with both modalities as one, as a MONAI loop calls a network."""

    def __init__(self, settings):
        super().__init__()
        s = settings
        own = {"upconv": s.upconv, "init": s.init} if s.network == "dou" else {}
        self.network = NETWORKS[s.network]("joint", s.width, s.dim, len(CLASSES), deep=s.deep > 0, **own)

    def forward(self, images):
        return self.network(images, (len(images), 0))[1]


def monai_unet(width, settings):
    """MONAI's UNet of four levels."""
    from monai.networks.nets import UNet

    channels = [width * 2**level for level in range(4)]
    return UNet(3, 1, len(CLASSES), channels, strides=(2, 2, 2), num_res_units=2, norm="batch")


def monai_dynunet(width, settings):
    """MONAI's DynUNet with residual blocks of up to six levels, by its authors' rule: an axis of 8 voxels or more is
    halved."""
    from monai.networks.nets import DynUNet

    sides, strides = list(settings.patch), [(1, 1, 1)]
    while max(sides) >= 8 and len(strides) < 6:
        strides.append(tuple(2 if n >= 8 and n % 2 == 0 else 1 for n in sides))
        sides = [n // stride for n, stride in zip(sides, strides[-1], strict=True)]
    filters = [min(width * 2**level, 20 * width) for level in range(len(strides))]
    kernels = [3] * len(strides)
    return DynUNet(3, 1, len(CLASSES), kernels, strides, strides[1:], filters, norm_name="instance", res_block=True)


MONAIS = {THEIRS: monai_unet, DYNAMIC: monai_dynunet}


def as_large(make, settings):
    """What `make` makes, so wide that it has about as many parameters as our network of these settings."""
    wanted, narrow = (sum(p.numel() for p in n.parameters()) for n in (Logits(settings), make(8, settings)))
    return make(round(8 * (wanted / narrow) ** 0.5), settings)


def makers(name, changes, data):
    """Name to a function that makes the contestant; MONAI's where it is installed."""
    settings = settings_for(JOINT, name, changes)
    cases, _ = segmentation.split(data, settings.test, settings.split_seed)
    ours = {method: lambda method=method: Ours(method, name, changes, data) for method in (OURS, WITHOUT, JOINT)}
    if importlib.util.find_spec("monai") is None:
        return ours
    theirs = {what: lambda make=make: MonaiLoop(as_large(make, settings), settings, cases)
              for what, make in MONAIS.items()}  # fmt: skip
    return ours | {PLAIN: lambda: MonaiLoop(Logits(settings), settings, cases)} | theirs


# Parts

WITH_TERM, WITHOUT_TERM = "loss with Eq. 8, 9", "loss without"


def parts(ours):
    """Name to a function that does one part of the step of `ours`, on the features and logits of its first batch."""
    learner, s = ours.learner, ours.settings
    images, labels, sizes = learner.batch(0)
    features, logits = (x.detach().float() for x in learner.network(images, sizes)[:2])
    leaf, numbers = logits.requires_grad_(), itertools.count()

    def loss(ground):
        leaf.grad = None
        segmentation_loss(leaf, labels, ground, s.weight, ce=s.ce, sizes=sizes).backward()

    learner.bank.update(features, labels)
    G = learner.bank.ground_distance()
    return {
        "the batch": lambda: learner.batch(next(numbers)),
        "prototypes (Eq. 10, 11)": lambda: learner.bank.update(features, labels),
        "ground distance (Eq. 3-5)": learner.bank.ground_distance,
        WITH_TERM: lambda: loss(G),
        WITHOUT_TERM: lambda: loss(None),
    }


def host_sync(ours):
    """"none", or what torch says of the first operation in a step that makes the host wait for the GPU."""
    ours()
    torch.cuda.set_sync_debug_mode("error")
    try:
        ours()
    except RuntimeError as error:
        return str(error)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "none"


def flops(step):
    """How many floating-point operations `step()` asks for: two for each multiply-add of a convolution or a product of
    matrices, forward and backward. What is done number by number (normalisation, activation, optimiser) is not counted.

    By time, and by a card's rate in the same precision, it is the share of the card that a step uses.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


# Memory


def peak(what, name, changes):
    """Peak memory in MB of three steps in a process of their own."""
    given = f"{what!r}, {name!r}, {changes!r}, {torch.get_num_threads()}"
    words = f"import sys; sys.path = {sys.path!r}; import step; step.measure_memory({given})"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def measure_memory(what, name, changes, threads):
    """Print the peak memory of three steps; see the module."""
    torch.set_num_threads(threads)
    make = makers(name, changes, volumes(settings_for(OURS, name, changes)))[what]
    device = torch.device(profile(name).device)
    before = 0.0 if device.type == "cuda" else resident("VmRSS")
    step = make()
    for _ in range(3):
        step()
    held = torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else resident("VmHWM")
    print(held - before)


def resident(what):
    """MB that this process has resident now ("VmRSS") or had at most ("VmHWM").

    `resource.getrusage` would do, were the most that a process held not handed on to the processes that it starts.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) * 1024 / 1e6

