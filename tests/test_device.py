"""Devices, proven without a GPU: which one is taken, what it refuses, and steps at the paper's size without numbers."""

import contextlib
import importlib
import json
import os
import sys
import warnings
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from child import started
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from i2pemd_lite import BadInput, __main__, classification, device, distributed, segmentation
from i2pemd_lite.classification import augment
from i2pemd_lite.classification.prepare import Prepared as Images
from i2pemd_lite.classification.prepare import stored_side
from i2pemd_lite.course.about import doctor
from i2pemd_lite.device import Profile, profile
from i2pemd_lite.runs import run as runs
from i2pemd_lite.runs import store
from i2pemd_lite.runs.sampling import generator
from i2pemd_lite.runs.worker import Worker
from i2pemd_lite.segmentation.layout import Grid
from i2pemd_lite.segmentation.prepare import Case
from i2pemd_lite.segmentation.prepare import Prepared as Volumes

OURS = {"segmentation": "joint_sepbn_i2pemd", "classification": "i2pemd"}
TASKS = {"segmentation": segmentation, "classification": classification}
METHODS = [(name, method) for name, task in TASKS.items() for method in task.METHODS]
each_method = pytest.mark.parametrize("name, method", METHODS, ids=[method for _, method in METHODS])


# --- which device -----------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many GPUs, as torch tells of it."""

    def make(count, bfloat16=True, cuda="12.8", why="No CUDA GPUs are available"):
        def is_available():
            if "too old" in why:
                warnings.warn(f"CUDA initialization: {why}", stacklevel=1)
            return count > 0

        def init():
            raise RuntimeError(why)

        monkeypatch.setattr("torch.version.cuda", cuda)
        monkeypatch.setattr("torch.cuda.is_available", is_available)
        monkeypatch.setattr("torch.cuda.device_count", lambda: count)
        monkeypatch.setattr("torch.cuda.device", contextlib.nullcontext)
        monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: bfloat16)
        monkeypatch.setattr("torch.cuda.init", init)

    for name in ("I2PEMD_PROFILE", "I2PEMD_DEVICE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    return make


HALF, FULL = "bfloat16", "float32"


@pytest.mark.parametrize("count, asked, name, expected", [
    (1, None, None, ("gpu", "cuda", HALF)), (1, None, "laptop", ("laptop", "cpu", FULL)),
    (2, "cuda:1", None, ("gpu", "cuda:1", HALF)), (2, "cuda:1", "ci", ("ci", "cuda:1", FULL)),
    (2, "cpu", None, ("laptop", "cpu", FULL)), (0, None, None, ("laptop", "cpu", FULL)),
])  # fmt: skip
def test_a_device_is_chosen(machine, monkeypatch, count, asked, name, expected):
    machine(count)
    if asked:
        monkeypatch.setenv("I2PEMD_DEVICE", asked)
    assert profile(name) == Profile(*expected)


OLD = "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver"


@pytest.mark.parametrize("asked, given, said", [
    ("cuda:3", {"count": 2}, "expected a GPU of the 2 that torch sees, .* found cuda:3; .* CUDA_VISIBLE_DEVICES"),
    ("mps", {"count": 0}, "expected cpu, cuda or cuda:N, found 'mps'; .* take cpu"),
    ("xpu:0", {"count": 0}, "found 'xpu:0'"), ("cuda:-1", {"count": 1}, "found 'cuda:-1'"),
    ("cuda", {"count": 0, "cuda": None}, "found a torch without CUDA; install .*; or take cpu"),
    ("cuda", {"count": 0, "why": OLD}, r"driver \(CUDA 11.4\) .* too old .* \(CUDA 12.8\); update the driver, or"),
    ("cuda:1", {"count": 0}, "expected a GPU for cuda:1, found none, or no driver .* nvidia-smi .*; or take cpu"),
])  # fmt: skip
def test_a_device_that_cannot_be_is_refused(machine, monkeypatch, asked, given, said):
    machine(**given)
    monkeypatch.setenv("I2PEMD_DEVICE", asked)
    with warnings.catch_warnings(action="error"), pytest.raises(BadInput, match=said):
        profile("gpu")


def test_a_variable_that_hides_all_gpus_is_named(machine, monkeypatch):
    machine(0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert device.no_gpu().startswith("CUDA_VISIBLE_DEVICES='7', which leaves none")


def test_a_driver_too_old_leaves_the_cpu_and_the_doctor_says_why(machine, monkeypatch):
    machine(0, why=OLD)
    with pytest.warns(UserWarning, match="too old"):
        assert profile().device == "cpu"
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    with warnings.catch_warnings(action="error"):
        found, todo = doctor._device()
    assert "on cpu" in found and "update the driver" in todo


def test_the_device_is_an_option_of_train_and_tables(machine, monkeypatch, capsys):
    machine(1)
    for words in (["train", "segmentation", "joint"], ["tables", "segmentation"], ["train", "--resume", "no"]):
        monkeypatch.setenv("I2PEMD_DEVICE", "cpu")
        code = __main__.main([*words, "--device", "cuda:1"])
        assert (code, os.environ["I2PEMD_DEVICE"]) == (1, "cuda:1")
        said = capsys.readouterr().err
        assert "--resume: expected beside it only" not in said
        assert "found cuda:1" in said or "expected the folder of a run" in said


def test_a_gpu_without_bfloat16_computes_in_float32_and_refuses_it(machine, monkeypatch):
    machine(1, bfloat16=False)
    assert profile("gpu") == Profile("gpu", "cuda", FULL)
    run = SimpleNamespace(profile=profile("gpu"))
    runs.Run._compute_in(run, "float64")
    with pytest.raises(BadInput, match="expected float32 on cuda, .* --set precision=float32, or .* --device cpu"):
        runs.Run._compute_in(run, HALF)
    assert run.profile.precision == "float64"


def test_several_processes_do_not_share_one_gpu(monkeypatch):
    monkeypatch.setattr(distributed, "count", lambda: 2)
    learner = SimpleNamespace(expect_shares=lambda count: None)
    with pytest.raises(BadInput, match="a GPU for each of 2 processes, found cuda:1 for all; say cuda"):
        distributed.prepare(learner, "cuda:1")


def test_memory_is_asked_of_the_device_that_is_used(monkeypatch):
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda device=None: {"cuda:1": 3 * 2**20}.get(device, 0))
    assert device.peak_memory("cuda:1") == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc alone is asked")
def test_memory_that_is_given_back_stays_with_the_process():
    device.keep_memory()
    tensor = torch.ones(2**24)
    held = _resident()
    del tensor
    assert _resident() > held - 2**25  # of the tensor's 2**26 bytes


def _resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_torchs_own_settings_are_those_that_precision_states():
    assert not torch.backends.cudnn.benchmark and not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32


# --- what a device refuses --------------------------------------------------------------------------------------------

REFUSALS = {
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.25 GiB is "
    "free. Process 9 has 77.00 GiB memory in use.": "expected room for 2.50 GiB more, found 1.25 GiB free of 79.10 GiB",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`": "expected room for something more",
    "CUDA error: all CUDA-capable devices are busy or unavailable\nCUDA kernel errors": "expected one that is free",
    "CUDA error: no kernel image is available for execution on the device": "expected one that torch",
}


def refusing(words):
    return torch.OutOfMemoryError(words) if "out of memory" in words else RuntimeError(words)


@pytest.mark.parametrize("words", REFUSALS)
@pytest.mark.parametrize("where", ["to", "losses", "evaluate"])
def test_a_refusal_is_one_sentence_wherever_in_a_run(monkeypatch, skin, words, where):
    def refuse(*_, **__):
        raise refusing(words)

    monkeypatch.setattr(classification.TASK.learner, where, refuse)
    with pytest.raises(BadInput) as caught:
        classification.train("baseline", skin, "ci", steps=1).finish(progress=False)
    said = str(caught.value)
    assert said.startswith(f"GPU: {REFUSALS[words]}") and "\n" not in said
    assert "what had begun goes on with train --resume and its folder" in said


def test_other_errors_stay_as_they_are(monkeypatch, skin):
    def refuse(*_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(classification.TASK.learner, "losses", refuse)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        next(classification.train("baseline", skin, "ci", steps=1))


@pytest.fixture
def full(monkeypatch):
    """Memory that is full at the fourth step; call it, and there is room again. It holds what the step had made."""
    losses, made = classification.TASK.learner.losses, []

    def refuse(learner, t):
        given = losses(learner, t)
        if t == 3:
            made.append(weakref.ref(given["loss"]))
            raise refusing(next(iter(REFUSALS)))
        return given

    monkeypatch.setattr(classification.TASK.learner, "losses", refuse)
    room = SimpleNamespace(made=made, again=lambda: monkeypatch.setattr(classification.TASK.learner, "losses", losses))
    return room


SHORT = ["--set", "steps=6", "--set", "evaluate_every=3", "--set", "checkpoint_every=2"]


def test_a_command_says_it_and_goes_on_where_memory_was_full(full, skin, tmp_path, capsys):
    command = ["train", "classification", "i2pemd", "--profile", "ci", "--data", str(skin), *SHORT, "--out"]
    assert __main__.main([*command, str(tmp_path / "ours")]) == 1
    said = capsys.readouterr().err
    assert "\ni2pemd_lite: GPU: expected room for 2.50 GiB more" in said and "Traceback" not in said
    full.again()
    assert __main__.main(["train", "--resume", str(tmp_path / "ours")]) == 0
    assert __main__.main([*command, str(tmp_path / "whole")]) == 0
    one, other = (store.read_checkpoint(tmp_path / name)[1] for name in ("ours", "whole"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_cockpit_says_it_and_other_runs_go_on(full, skin, tmp_path):
    heard = []
    worker = Worker(heard.append)
    for name, task in (("ours", "i2pemd"), ("short", "baseline")):
        settings = {"steps": 6 if name == "ours" else 2, "evaluate_every": 6, "profile": "ci"}
        folder = str(tmp_path / name)
        worker.handle({"do": "open", "run": name, "task": "classification", "method": task, "folder": folder,
                       "data": str(skin), **settings})  # fmt: skip
        worker.handle({"do": "go", "run": name})
    while worker.going:
        worker.turn()
    worker.close()
    (failed,) = [message for message in heard if message["event"] == "failed"]
    assert failed["run"] == "ours" and failed["error"].endswith("classification: size, labelled, unlabelled)")
    assert store.read_checkpoint(tmp_path / "short", tensors=False)[0]["number"] == 2


def test_an_error_that_is_kept_keeps_no_memory(full, skin):
    run = classification.train("baseline", skin, "ci", steps=6)
    with pytest.raises(BadInput) as kept:
        run.finish(progress=False)
    assert kept.value.__context__ is not None and full.made[0]() is None


def test_a_fork_computes_in_the_precision_of_its_run(skin):
    run = classification.train("baseline", skin, "ci", steps=2)
    run._compute_in(HALF)  # as a run that began on a GPU and was resumed here
    assert run.fork().profile.precision == HALF


# --- data of the right size -------------------------------------------------------------------------------------------


def data_for(name, settings, draw):
    """Prepared data of the size of the settings, voxels or pixels from `draw(shape)`, with all classes in them."""
    if name == "classification":
        n, side, none = 280, stored_side(settings.size), torch.empty(0)
        images = draw(n, 3, side, side).to(torch.uint8)
        labels, ids = torch.arange(n) % len(classification.CLASSES), tuple(map(str, range(n)))
        return Images("drawn", settings.size, images, labels, ids, None, None, none, (), (), "drawn")
    shape = (16, *settings.size)
    label = (torch.arange(np.prod(shape)) // 7 % len(segmentation.data.CLASSES)).view(shape).to(torch.uint8)
    grid = Grid(shape, np.eye(4))
    cases = tuple(
        Case(f"{modality}/{n}", modality, draw(*shape) + label * (n % 2), label, np.eye(4), grid, (1, 0.0, 1.0))
        for modality in segmentation.data.MODALITIES
        for n in range(4)
    )
    return Volumes(cases, settings.geometry, "drawn", Path(), "drawn", {})


def blank(*shape):
    return torch.zeros(()).expand(shape)


def run_of(name, method, at, draw=blank, **changes):
    """A run on such data that never evaluates and keeps no moments, for neither can be without numbers."""
    task, never = TASKS[name], {"steps": 20, "evaluate_every": 10**6, "checkpoint_every": 10**6}
    settings = task.TASK.settings_for(method, at, changes=never | changes)
    run = task.train(method, data_for(name, settings, draw), at, **never | changes)
    run.moments = [None]
    return run


# --- steps without numbers --------------------------------------------------------------------------------------------
# Tensors on "meta" have a shape and no numbers. What makes a host wait for a GPU, because it asks for a number or for
# how many there are (item, bool, nonzero, a mask as an index), has no answer there and raises. Fake tensors would know
# more of CUDA, but then those on the CPU are fake as well, where a step reads what it drew.


class Strict(TorchDispatchMode):
    """Beside "meta" it is as beside a GPU: only single numbers may come from the CPU, and copies without a wait.

    Not seen is `torch.tensor(numbers, device=…)`, which waits inside of torch.
    """

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out, kwargs = function(*args, **kwargs or {}), kwargs or {}
        copies = function is torch.ops.aten._to_copy.default
        there = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor) and (x.ndim or copies)]
        if len({x.device for x in there}) > 1 and not (copies and kwargs.get("non_blocking")):
            raise RuntimeError(f"{function}: a host would wait, or a tensor is left on the CPU")
        return out


@pytest.fixture
def meta(monkeypatch):
    """The profile `gpu` is on "meta", to which autocast is unknown; `precision` tests it."""
    autocast = torch.autocast

    def known(device, *given, **options):
        return contextlib.nullcontext() if device == "meta" else autocast(device, *given, **options)

    monkeypatch.setattr(runs, "profile", lambda name=None: Profile("gpu", "meta", FULL))
    monkeypatch.setattr("torch.autocast", known)


def whole_step(run):
    """A step after the first, once the data are on the device."""
    learner, run.number = run.learner, max(1, run.number)
    if isinstance(run.settings, segmentation.TASK.settings):
        learner.batch(run.number)
    else:
        for part in learner.streams:
            images, _, _ = learner.draw(part, run.number, 1)
        augment.normalise(augment._grey(images))  # which keeps its constants there
    with Strict():
        step = next(run)
    assert {x.device.type for x in (step.prototypes, step.ground, *step.losses.values())} == {"meta"}
    assert {p.grad.device.type for p in run.parameters if p.grad is not None} == {"meta"}
    assert {x.device.type for state in run.optimiser.state.values() for x in state.values() if x.ndim} == {"meta"}


@each_method
def test_a_step_at_the_papers_size_never_waits_for_its_device(meta, name, method):
    """DenseNet-121 is below: twelve times it would take longer than all else here, and methods share its every line."""
    whole_step(run_of(name, method, "gpu", **{"network": "small"} if name == "classification" else {}))


OTHER = [("segmentation", {"augment": "noise", "pool": "modalities", "forward": "apart"}),
         ("segmentation", {"preset": "beyond", "patch_depth": 16}),
         ("classification", {"network": "small", "cutout": 0.5, "loss": "srcmt", "mean_over": "selected"})]  # fmt: skip


@pytest.mark.parametrize("name, settings", OTHER)
def test_nor_does_it_wait_with_other_settings(meta, name, settings):
    whole_step(run_of(name, OURS[name], "gpu", **settings))


PLANTED = {  # what a step may not do, each done to the logits of a step, and what is said of it
    "item": (lambda z: z.sum().item(), "cannot be called on meta"),
    "truth": (lambda z: bool((z > 0).any()), "cannot be called on meta"),
    "mask": (lambda z: z[z > 0], "nonzero"),
    "back": (lambda z: z.cpu(), "Cannot copy out of meta tensor"),
    "left": (lambda z: z @ torch.ones(z.shape[1], 1), "left on the CPU"),
    "index": (lambda z: z[torch.zeros(2, dtype=torch.long)], "index.*a host would wait"),
    "copy": (lambda z: torch.ones(2).to(z.device), "a host would wait"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_step_that_waits_is_seen(meta, planted):
    run, (wait, said) = run_of("classification", "i2pemd", "gpu", network="small", size=32, width=4), PLANTED[planted]
    next(run)

    def hook(network, given, out):
        wait(out[1])

    run.learner.network.register_forward_hook(hook)
    with pytest.raises((RuntimeError, NotImplementedError), match=said):
        whole_step(run)


# --- floating-point operations ----------------------------------------------------------------------------------------


def of_unet(voxels, b=16, d=32, K=5):
    """2 x multiply-adds of a forward pass, and those of the first layer alone, from the layers of the paper."""
    at = [voxels // 8**level for level in range(4)]
    convolutions = [  # input channels, output channels, size of the kernel, places to which it is put
        (1, b, 27, at[0]), (b, 2 * b, 27, at[0]), (2 * b, 2 * b, 27, at[1]), (2 * b, 4 * b, 27, at[1]),
        (4 * b, 4 * b, 9, at[2]), (4 * b, 8 * b, 9, at[2]), (8 * b, 8 * b, 9, at[3]), (8 * b, 16 * b, 9, at[3]),
        (16 * b, 8 * b, 8, at[3]), (16 * b, 8 * b, 9, at[2]), (8 * b, 8 * b, 9, at[2]),
        (8 * b, 8 * b, 8, at[2]), (12 * b, 4 * b, 27, at[1]), (4 * b, 4 * b, 27, at[1]),
        (4 * b, 4 * b, 8, at[1]), (6 * b, 2 * b, 27, at[0]), (2 * b, d, 27, at[0]), (d, K, 1, at[0]),
    ]  # fmt: skip
    each = [2 * np.prod(layer, dtype=float) for layer in convolutions]
    return sum(each), each[0]


def of_densenet121(images, side=224):
    """The same of DenseNet-121 (Huang et al., Table 1), with its classifier of seven classes."""
    first = 3 * 64 * 49 * (side // 2) ** 2
    all_of_them, channels, pixels = first, 64, (side // 4) ** 2
    for layers in (6, 12, 24, 16):
        for _ in range(layers):
            all_of_them += (channels * 128 + 9 * 128 * 32) * pixels
            channels += 32
        if layers != 16:
            all_of_them += channels * channels // 2 * pixels
            channels, pixels = channels // 2, pixels // 4
    return 2 * images * (all_of_them + 7 * channels), 2 * images * first


@pytest.mark.parametrize("name, forward, rest", [
    ("segmentation", of_unet(6 * 8 * 256 * 256), 0.002), ("classification", of_densenet121(12 + 2 * 36), 1e-4),
])  # fmt: skip
def test_the_flops_of_a_step_are_those_of_its_layers(meta, monkeypatch, name, forward, rest):
    """3 x forward, but for the gradient of the images; what is left are the sums of losses and prototypes."""
    monkeypatch.syspath_prepend(Path(__file__).parent / "benchmarks")
    run = run_of(name, OURS[name], "gpu")
    run.number = 1  # step 0 looks at all labelled images as well
    found, by_hand = importlib.import_module("step").flops(lambda: next(run)), 3 * forward[0] - forward[1]
    assert 0 <= found - by_hand < rest * by_hand, (found, by_hand)
    whole_step(run)


# --- precision --------------------------------------------------------------------------------------------------------


def noise(*shape):
    draws = torch.randn(shape, generator=generator("noise", shape))
    return draws if len(shape) == 3 else 127 + 60 * draws.clamp(-2, 2)


def gradients(name, method, precision):
    """The loss of a step in the middle of a run, its gradients, those of the last layer alone, and (1 - α) c_k^update.

    Nothing may hang on a rounding that crosses a border: prototypes lie far apart, so that no rank can change, and
    class 0 is the sure answer to each image, so that the same ones are chosen.
    """
    more = {"segmentation": {"size": (16, 16), "batch": 2},
            "classification": {"dropout": 0.0, "tau_low": 0.3, "tau_high": 0.4}}  # fmt: skip
    run = run_of(name, method, "ci", noise, precision=precision, **more[name])
    bank, learner = run.learner.bank, run.learner
    far = bank.prototypes.copy_(torch.arange(bank.num_classes)[:, None] ** 2).clone()
    bank.seen.fill_(True)
    if name == "classification":
        for network in filter(None, (learner.network, learner.teacher)):
            torch.nn.init.constant_(network.classifier.bias[:1], 3.0)
    run.number = 10  # so that every term has its weight
    loss = run._optimise(rate=0.0)["loss"]
    found = {part: p.grad.double().flatten() for part, p in learner.named_parameters() if p.grad is not None}
    last = [part for part in found if "head." in part or "classifier." in part]
    moved = (bank.prototypes - bank.momentum * far).double()
    return float(loss), torch.cat(list(found.values())), torch.cat([found[part] for part in last]), moved


# Of the loss, all gradients, those of the last layer and the means of classes: at most so far off, ‖x - y‖ / ‖y‖.
# Measured in float32 1.8e-7, 1.4e-3, 1.5e-6, 4.1e-6; in bfloat16 1.1e-4, 0.15, 5.7e-3, 2.0e-3 for the segmentation, and
# 1.6e-3, 0.25, 2.2e-2, 1.2e-2 for the classification. bfloat16 has 8 bits and rounds by up to 2e-3 of a number at each
# layer; a segmentation loss that was itself rounded would break the first bound. Back through all normalisations of a
# batch this small, and through units that begin or cease to answer, errors grow tenfold and more; the last layer's
# gradient shows the loss alone.
BOUNDS = {
    FULL: {"segmentation": (1e-6, 1e-2, 1e-5, 1e-5), "classification": (1e-6, 1e-2, 1e-5, 1e-5)},
    HALF: {"segmentation": (4e-4, 0.4, 1.5e-2, 6e-3), "classification": (4e-3, 0.5, 5e-2, 3e-2)},
}


@each_method
def test_a_step_in_low_precision_is_near_the_one_in_float64(name, method):
    exact = gradients(name, method, "float64")
    for precision, bounds in BOUNDS.items():
        found = gradients(name, method, precision)
        errors = [abs(found[0] - exact[0]) / abs(exact[0])]
        errors += [float((x - y).norm() / y.norm()) for x, y in zip(found[1:], exact[1:], strict=True)]
        assert all(error < bound for error, bound in zip(errors, bounds[name], strict=True)), (precision, errors)
    assert errors[1] > 1e-2  # in bfloat16 indeed


# --- steps for real ---------------------------------------------------------------------------------------------------


def step_for_real(name, more):
    """Print the loss of a step in float32 on the CPU, and the memory in MiB before it and at most."""
    run = run_of(name, OURS[name], "gpu", noise, precision=FULL, **more)
    before = device.peak_memory("cpu")
    print(json.dumps([next(run).loss, before, device.peak_memory("cpu")]))


SMALLEST = {
    "segmentation": {"batch": 1},
    "classification": {"labelled": 2, "unlabelled": 2, "top": 1, "prototypes": "first"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_the_papers_networks_take_a_step_on_a_laptop(tmp_path, name):
    """DenseNet-121 at 224 px, 2 + 2 images; the U-Net of width 16, a patch of 8 x 256 x 256 voxels of each modality.

    The U-Net took 37 s of one core and 3.6 GiB in all, DenseNet-121 3 s and 1.3 GiB.
    """
    process = started(step_for_real, name, SMALLEST[name], out=tmp_path / "said", err=tmp_path / "wrong")
    process.join(300)
    assert process.exitcode == 0, (tmp_path / "wrong").read_text(encoding="utf-8")
    loss, before, most = json.loads((tmp_path / "said").read_text(encoding="utf-8"))
    assert np.isfinite(loss)
    if most is not None:  # Windows does not tell
        assert before < most < 6 * 1024


def test_what_a_disk_refuses_is_one_sentence(tmp_path):
    found = f"{tmp_path}/x: expected room to write it, found: No space left on device; make room on its disk, or choose"
    with pytest.raises(BadInput, match=found), device.told():
        raise OSError(28, "No space left on device", f"{tmp_path}/x")
    with pytest.raises(OSError, match="no path"), device.told():
        raise OSError("no path")
