"""The stage "check": whether each method gives on this device, at this size, what it gives in float64 on a CPU."""

import contextlib
import functools
import gc
import math
import multiprocessing
import os
import signal
import tempfile
from importlib import import_module

import torch
from step import host_sync, volumes

from i2pemd_lite.classification.augment import strong, weak
from i2pemd_lite.classification.data import CLASSES
from i2pemd_lite.classification.prepare import Prepared, stored_side
from i2pemd_lite.device import profile
from i2pemd_lite.files import BadInput
from i2pemd_lite.losses import segmentation_loss
from i2pemd_lite.runs.sampling import generator

NEVER = {"steps": 10**6, "evaluate_every": 10**6, "checkpoint_every": 10**6}
OURS = {"segmentation": "joint_sepbn_i2pemd", "classification": "i2pemd"}
WITHIN = {
    ("segmentation", "float32"): (1e-3, 2e-2),
    ("segmentation", "bfloat16"): (1e-2, 5e-2),
    ("classification", "float32"): (1e-3, math.inf),
    ("classification", "bfloat16"): (1e-2, math.inf),
}
"""(loss, gradient): the largest relative errors of a first step, against float64 on the same device. Convolutions in
float32 are TF32 on NVIDIA's cards. The gradients of 121 normalisations over a small batch magnify every rounding, the
baseline's too, so they are told and not judged."""
SMALLER = {("segmentation", "ci"): {"size": (16, 16), "spacing": (8.0, 24.0, 24.0)}}
"""The ci size, smaller again: convolutions of volumes in float64 take seconds on a CPU."""
WITHIN_SMALLER = {"bfloat16": 0.4}
"""The largest relative error of a gradient at such a size, where normalisations over few voxels magnify the rounding:
0.11 to 0.19 for the ten methods of segmentation on a CPU with bfloat16."""
EXACT = 1e-6
"""The largest relative error of loss and gradient of a small first step in float64, against a CPU's, whose views of the
images both get: views are made in float32, and a pixel at a threshold falls to one side or the other."""


def todo(kit):
    """{what is checked: the function that does}."""
    found = {"the losses are a CPU's": same_loss, "the views are a CPU's": same_views}
    for task in OURS:
        for method in import_module(f"i2pemd_lite.{task}").METHODS:
            found[f"{task} {method}"] = functools.partial(three_steps, task, method, kit.profile)
    for task in OURS:
        found[f"{task}: killed and resumed"] = functools.partial(resumed, task, kit.profile)
    return found


def device():
    """The device that runs train on."""
    return profile("gpu").device


@contextlib.contextmanager
def on(name):
    """Inside, runs train on the device of this name."""
    before = os.environ.get("I2PEMD_DEVICE")
    os.environ["I2PEMD_DEVICE"] = name
    try:
        yield
    finally:
        del os.environ["I2PEMD_DEVICE"]
        if before:
            os.environ["I2PEMD_DEVICE"] = before


def noise(task, settings):
    """A prepared set of noise in which brightness tells the classes apart, for the size of these settings."""
    if task == "segmentation":
        return volumes(settings)
    side, n = stored_side(settings.size), 420
    labels = torch.arange(n) % len(CLASSES)
    images = torch.randint(0, 60, (n, 3, side, side), dtype=torch.uint8, generator=generator("benchmark", "skin"))
    images += (20 * labels).to(torch.uint8)[:, None, None, None]
    ids = tuple(map(str, range(n)))
    return Prepared("noise", settings.size, images, labels, ids, None, None, torch.empty(0), (), (), "benchmark")


def started(task, method, name, **changes):
    """A run on noise that neither evaluates nor writes, unless `changes` say otherwise; memory is counted from here."""
    if torch.device(device()).type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device())
    changes = SMALLER.get((task, name), {}) | NEVER | changes
    return import_module(f"i2pemd_lite.{task}").train(method, _noise(task, name), name, **changes)


@functools.cache
def _noise(task, name):
    changes = SMALLER.get((task, name))
    return noise(task, import_module(f"i2pemd_lite.{task}").TASK.settings_for(OURS[task], name, changes=changes))


def precisions():
    """The precisions of a training that the device has, the fastest last."""
    return ("float32", "bfloat16") if profile("gpu").precision == "bfloat16" else ("float32",)


def three_steps(task, method, name):
    """Three steps in float32 and bfloat16, the first against float64; host waits, and where the prototypes are."""
    row, wrong, run = {}, [], None
    still = {"dropout": 0.0} if task == "classification" else {}  # masks differ from precision to precision
    exact = {}
    for place in dict.fromkeys([("cpu", "ci"), (device(), "ci"), (device(), name)]):
        with on(place[0]):
            try:
                run = started(task, method, place[1], precision="float64", **still)
                exact[place] = first_step(run, views_of_a_cpu=place[1] == "ci")
            except BadInput as error:  # float64 takes twice the memory of a training
                row["no float64"] = str(error)
    row["float64 to a CPU's, small"] = errors = differences(exact[device(), "ci"], exact["cpu", "ci"])
    if not max(errors) <= EXACT:
        wrong.append(f"float64 at the ci size differs from a CPU's by {errors[0]:.1e} (loss) and {errors[1]:.1e}")
    for precision in precisions():
        run = None
        run = started(task, method, name, precision=precision, **still)
        found, errors = first_step(run), []
        if (device(), name) in exact:
            row[precision] = errors = differences(found, exact[device(), name])
        loss, gradient = WITHIN[task, precision]
        gradient = WITHIN_SMALLER.get(precision, gradient) if (task, name) in SMALLER else gradient
        for what, error, most in zip(("loss", "gradient"), errors, (loss, gradient), strict=False):
            if not error <= most:
                wrong.append(f"{what} in {precision} differs from float64 by {error:.1e}, more than {most:.0e}")
        losses = [next(run).loss for _ in range(2)]
        if not all(map(math.isfinite, losses)):
            wrong.append(f"losses in {precision} are {losses}")
        row |= memory(run, precision)
    if torch.device(device()).type == "cuda" and (wait := host_sync(lambda: next(run))) != "none":
        wrong.append(f"a step waits for the device: {wait}")
    bank = run.learner.bank
    places = {str(bank.prototypes.device), str(bank.ground_distance().device)}
    if {torch.device(place).type for place in places} != {torch.device(device()).type}:
        wrong.append(f"prototypes and ground distance are on {', '.join(sorted(places))}")
    return row | ({"wrong": wrong} if wrong else {})


def memory(run, precision):
    """The most memory that a run had on the GPU so far; a CPU's is that of the whole process."""
    run.save()
    return {f"MiB {precision}": run.memory} if run.learner.device.type == "cuda" else {}


def first_step(run, views_of_a_cpu=False):
    """(loss, gradient of all weights as one vector in float64 on the CPU) of the next step."""
    if views_of_a_cpu and hasattr(run.learner, "view"):
        view, where = run.learner.view, run.learner.device
        run.learner.view = lambda how, images, *given, **options: view(how, images.cpu(), *given, **options).to(where)
    loss = next(run).loss
    return loss, torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).detach().double().cpu().flatten()
                            for p in run.parameters])  # fmt: skip


def differences(found, expected):
    """Relative errors of loss and of gradient, ‖x − y‖ / ‖y‖."""
    (loss, gradient), (true_loss, true_gradient) = found, expected
    return [abs(loss - true_loss) / abs(true_loss), float((gradient - true_gradient).norm() / true_gradient.norm())]


def same_loss():
    """The three-term loss and its gradient on the device, against a CPU's."""
    wrong = []
    for name, within in {"float64": 1e-10, "float32": 1e-4, "bfloat16": 1e-2}.items():
        if name != "float64" and name not in precisions():
            continue
        dtype, draws = getattr(torch, name), generator("benchmark", "loss")
        logits = torch.randn(2, 5, 8, 32, 32, generator=draws).to(dtype)
        labels, ground = torch.randint(5, (2, 8, 32, 32), generator=draws), torch.rand(5, 5, generator=draws)
        results = []
        for where in ("cpu", device()):
            leaf = logits.to(where).requires_grad_()
            loss = segmentation_loss(leaf, labels.to(where), ground.to(where))
            results.append((loss.item(), torch.autograd.grad(loss, leaf)[0].double().cpu()))
        errors = differences(results[1], results[0])
        if not max(errors) <= within:
            wrong.append(f"in {name} loss and gradient differ by {errors[0]:.1e} and {errors[1]:.1e}")
    return {"wrong": wrong} if wrong else {}


def same_views():
    """Weak and strong views on the device, against a CPU's: all but a pixel in a hundred, which lie at thresholds."""
    settings = import_module("i2pemd_lite.classification").TASK.settings_for("i2pemd", "ci")
    wrong, images = [], noise("classification", settings).images[:48]
    for view in (weak, strong):
        draws = [generator("benchmark", "view") for _ in range(2)]
        here, there = view(images, settings.size, draws[0]), view(images.to(device()), settings.size, draws[1]).cpu()
        share = ((here - there).abs() > 1e-3).float().mean().item()
        if share > 0.01:
            wrong.append(f"{view.__name__}: {share:.1%} of the numbers differ")
    return {"wrong": wrong} if wrong else {}


def resumed(task, name):
    """How far a run that was killed after its third step and went on from its second is from one left alone."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = multiprocessing.get_context("spawn").Process(target=killed, args=(task, name, folder))
        process.start()
        process.join()
        plan = {"steps": 6, "evaluate_every": 6, "checkpoint_every": 2}
        one, other = (started(task, OURS[task], name, **plan) for _ in range(2))
        run = import_module(f"i2pemd_lite.{task}").resume(folder, _noise(task, name))
        row = {"resumed at": run.number, "killed by": -process.exitcode}
        states = [weights(each.finish(progress=False)) for each in (run, one, other)]
    row["differs by"], row["two runs differ by"] = ((x - states[1]).abs().max().item() for x in (states[0], states[2]))
    wrong = [] if run.number == 6 and row["resumed at"] == 2 else [f"it went on at step {row['resumed at']}, not at 2"]
    if row["differs by"] > 10 * row["two runs differ by"]:
        wrong.append(f"weights differ by {row['differs by']:.1e}, those of two runs by {row['two runs differ by']:.1e}")
    return row | ({"wrong": wrong} if wrong else {})


def weights(run):
    """All that a run has learned, as one vector."""
    return torch.cat([value.double().flatten().cpu() for value in run.learner.state_dict().values()])


def killed(task, name, folder):
    """Train three steps into a folder, its checkpoint the second, and die."""
    run = started(task, OURS[task], name, folder=folder, steps=6, evaluate_every=6, checkpoint_every=2)
    for _ in range(3):
        next(run)
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
