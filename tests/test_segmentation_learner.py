"""Segmentation from data to label maps: the network's sizes, every row of the table, evaluation, prediction, errors."""

import dataclasses
import itertools
import json
import math
import re
import shutil
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from i2pemd_lite import BadInput, segmentation
from i2pemd_lite.device import expect_room
from i2pemd_lite.losses import segmentation_loss_reference
from i2pemd_lite.metrics import dice, surface_distances
from i2pemd_lite.prototypes import PrototypeBank
from i2pemd_lite.runs.sampling import generator, seeded
from i2pemd_lite.segmentation import METHODS
from i2pemd_lite.segmentation.learner import block_starts, first_slice, first_voxel, weights
from i2pemd_lite.segmentation.network import NETWORKS, SHARING, BySample, PerModality, ResidualUNet, UNet
from i2pemd_lite.segmentation.report import doc_row, score, summary
from i2pemd_lite.segmentation.settings import SIZES
from i2pemd_lite.segmentation.stress import STRESS, stressed
from i2pemd_lite.segmentation.task import TASK

SMALL = {"profile": "ci", "steps": 2, "evaluate_every": 2, "width": 2, "dim": 4}


@pytest.fixture(scope="module")
def data(abdomen):
    return segmentation.load(abdomen)


@pytest.fixture(scope="module")
def trained(abdomen, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "ours"
    return segmentation.train("joint_sepbn_i2pemd", abdomen, folder=folder, profile="ci").finish(False)


@pytest.mark.parametrize(
    ("sharing", "cicek", "ummkd"),
    [
        ("individual", 4_149_226, 4_403_178),
        ("joint", 2_074_613, 2_201_589),
        ("joint_sepbn", 2_077_589, 2_204_565),
        ("x_shaped", 3_706_090, 3_960_042),
        ("y_shaped", 2_726_213, 2_853_189),
    ],
)
def test_v23_parameter_counts(sharing, cicek, ummkd):
    for upconv, expected in (("cicek", cicek), ("ummkd", ummkd)):
        assert sum(p.numel() for p in UNet(sharing, upconv=upconv).parameters()) == expected


@pytest.mark.parametrize("network", NETWORKS.values())
@pytest.mark.parametrize("sharing", SHARING)
def test_a_gradient_reaches_just_what_a_modality_uses(network, sharing):
    net = network(sharing, width=2, dim=4, deep=True)
    _, *logits = net(torch.randn(2, 1, 8, 32, 32), sizes=(2, 0), deep=True)
    assert len(logits) == 3
    sum(x.sum() for x in logits).backward()
    for name, p in net.named_parameters():
        assert (p.grad is None) == (".mr." in name), name


@pytest.mark.parametrize("network", NETWORKS.values())
@pytest.mark.parametrize("sharing", SHARING)
def test_what_is_shared_is_there_once(network, sharing):
    net, separate = network(sharing, width=2, dim=4, deep=True), sharing == "joint_sepbn"
    stages = {name: stage for name, stage in net.named_children() if list(stage.parameters())}
    encoder = {name for name in stages if name.startswith("e")}
    twice = {"individual": {*stages}, "x_shaped": {*stages} - {"enc4"}, "y_shaped": encoder}.get(sharing, set())
    assert {name for name, stage in stages.items() if isinstance(stage, PerModality)} == twice
    for name, stage in stages.items():
        if name not in twice:
            own = {n for n, _ in stage.named_parameters() if ".ct." in n or ".mr." in n}
            assert bool(own) == (separate and not isinstance(stage, torch.nn.Conv3d)), name
            assert all(".norm." in n for n in own)


@pytest.mark.parametrize("sharing", ["joint", "joint_sepbn"])
def test_a_residual_network_does_not_see_its_batch(sharing):
    net, x = ResidualUNet(sharing, width=2, dim=4), torch.randn(3, 1, 16, 32, 64)
    for norm in (module for module in net.modules() if isinstance(module, torch.nn.GroupNorm)):
        torch.nn.init.normal_(norm.weight), torch.nn.init.normal_(norm.bias)
    together = net(x, sizes=(2, 1))[1]
    alone = torch.cat([net(one[None], sizes=size)[1] for one, size in zip(x, [(1, 0), (1, 0), (0, 1)], strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    other = net(x[2:], sizes=(1, 0))[1]
    assert torch.allclose(other, together[2:], atol=1e-5) == (sharing == "joint")


@pytest.mark.parametrize("separate", [False, True])
def test_normalisation_is_over_each_sample_and_channel(separate):
    norm, x = BySample(3, separate), 5 + 2 * torch.randn(3, 3, 4, 5, 6)
    for module in norm.copies.values():
        torch.nn.init.normal_(module.weight), torch.nn.init.normal_(module.bias)
    copies = [*norm.copies.values()]
    expected = [torch.nn.functional.instance_norm(one[None], weight=copy.weight, bias=copy.bias)
                for one, copy in zip(x, [copies[0], copies[-1], copies[-1]], strict=True)]  # fmt: skip
    torch.testing.assert_close(norm(x, (1, 2)), torch.cat(expected))


class Backends(TorchDispatchMode):
    """What torch would take for each convolution, none of which is computed."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is not torch.ops.aten.convolution.default:
            return function(*args, **kwargs or {})
        if tuple(args[1].shape[2:]) != (1, 1, 1):  # for these it has a fast way in one thread, too
            x, weight, bias, stride, padding, dilation, transposed, more, groups = args
            way = torch._C._select_conv_backend(x, weight, bias, stride, padding, dilation, transposed, more, groups)
            self.found.add((str(way), tuple(x.shape), tuple(weight.shape)))
        shape = function(*(a.to("meta") if isinstance(a, torch.Tensor) else a for a in args))
        return torch.zeros(shape.shape)


@pytest.mark.parametrize("preset", TASK.presets)
@pytest.mark.parametrize("profile", ["ci", "laptop"])
@pytest.mark.parametrize("sharing", ["individual", "joint_sepbn"])
def test_no_layer_meets_the_slow_convolution(preset, profile, sharing):
    """In a step, and where one block alone is predicted, torch takes none of its slow ways."""
    s = TASK.settings_for("joint", profile, changes={"preset": preset})
    net = NETWORKS[s.network](sharing, s.width, s.dim, deep=s.deep > 0)
    with torch.no_grad(), Backends() as backends:
        for sizes in ((s.batch, s.batch), (1, 0)):
            net(torch.zeros(sum(sizes), 1, *s.patch), sizes, deep=True)
    assert len(backends.found) > 10
    assert not [each for each in backends.found if "Slow" in each[0]]


def test_a_lone_sample_is_convolved_as_it_would_be_among_others():
    net = UNet("joint", width=2, dim=4)
    x, weight = torch.randn(2, 1, 8, 16, 16), net.enc1.units[0].convolution.weight
    F, _ = net.eval()(x, sizes=(2, 0))
    alone, _ = net(x[:1], sizes=(1, 0))
    torch.testing.assert_close(alone, F[:1], atol=1e-5, rtol=1e-5)
    (whole,), (part,) = (torch.autograd.grad(f[0].sum(), weight) for f in (F, alone))
    torch.testing.assert_close(part, whole, atol=1e-4, rtol=1e-4)


def test_each_sample_goes_through_its_own_copy():
    layer = PerModality(lambda: torch.nn.BatchNorm3d(1))
    x = torch.cat([torch.full((2, 1, 1, 2, 2), 10.0), torch.full((3, 1, 1, 2, 2), -5.0)])
    layer(x + 0.01 * torch.randn_like(x), sizes=(2, 3))
    assert layer.copies["ct"].running_mean.item() == pytest.approx(1.0, abs=0.1)  # 0.1 of the batch's 10
    assert layer.copies["mr"].running_mean.item() == pytest.approx(-0.5, abs=0.1)


def test_joint_normalises_both_modalities_together():
    one, separate = UNet("joint", width=2, dim=4), UNet("joint_sepbn", width=2, dim=4)
    assert not [name for name, _ in one.named_parameters() if ".ct." in name]
    assert len([name for name, _ in separate.named_parameters() if ".ct." in name]) == 2 * 17


def test_network_says_what_is_wrong():
    with pytest.raises(BadInput, match="multiples of 8"):
        UNet("joint", 2, 4)(torch.zeros(1, 1, 8, 12, 16), sizes=(1, 0))
    with pytest.raises(BadInput, match="sizes: expected 2"):
        UNet("joint", 2, 4)(torch.zeros(2, 1, 8, 16, 16), sizes=(1, 0))
    with pytest.raises(BadInput, match="sharing: expected one of"):
        UNet("z_shaped")


@pytest.mark.parametrize("preset", TASK.presets)
@pytest.mark.parametrize("method", METHODS)
def test_every_row_of_the_table_trains(method, preset, data):
    run = segmentation.train(method, data, **SMALL, preset=preset)
    before = [p.detach().clone() for p in run.parameters]
    steps = list(run)
    assert all(math.isfinite(float(value)) for step in steps for value in step.losses.values())
    moved = [not torch.equal(a, b) for a, b in zip(before, run.parameters, strict=True)]
    assert sum(moved) > 0.9 * len(moved)
    expected = {"loss", "ce", "dice", METHODS[method].extra, "deep" if preset == "beyond" else None} - {None}
    assert set(steps[0].losses) == expected | ({"i2pemd"} if METHODS[method].ground else set())
    assert 0 <= steps[-1].evaluation["doc"] <= 100


def test_the_methods_are_those_of_the_tables_in_order():
    assert list(METHODS) == [
        "individual", "joint", "joint_i2pemd", "joint_sepbn", "x_shaped", "y_shaped", "ummkd",
        "joint_sepbn_i2pemd_fix", "joint_sepbn_i2ped", "joint_sepbn_i2pemd",
    ]  # fmt: skip


def test_rows_that_differ_in_the_loss_start_alike(data):
    first = {m: next(segmentation.train(m, data, **SMALL)) for m in ("joint_sepbn", "joint_sepbn_i2pemd")}
    ours, base = first["joint_sepbn_i2pemd"], first["joint_sepbn"]
    assert ours.losses["ce"].item() == base.losses["ce"].item()
    assert ours.loss == pytest.approx(base.loss + ours.losses["i2pemd"].item(), abs=1e-6)
    free = next(segmentation.train("joint_sepbn_i2pemd", data, **SMALL, weight=0.0))
    assert free.loss == pytest.approx(base.loss, abs=1e-6)


def test_training_learns(trained):
    losses = [row["loss"] for row in trained.history]
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])


def test_the_split_is_by_case_and_the_same_for_every_seed(data):
    runs = [segmentation.train("joint", data, **SMALL | {"seed": seed}).learner for seed in (0, 1)]
    names = [{c.name for c in r.training_cases} for r in runs]
    assert names[0] == names[1] and not names[0] & {c.name for c in runs[0].test_cases}


def test_blocks_cover_a_volume():
    for depth, step in itertools.product(range(8, 40), (1, 3, 8)):
        starts = block_starts(depth, 8, step)
        assert {z for start in starts for z in range(start, start + 8)} == set(range(depth))
        assert starts[0] == 0 and len(starts) == 1 + math.ceil((depth - 8) / step)


def test_overlapping_blocks_are_averaged(trained):
    learner, case = trained.learner, trained.learner.test_cases[0]
    depth, size = len(case.image), (1, 0) if case.modality == "ct" else (0, 1)
    learner.settings.block_step = 3
    with learner.evaluating():
        found = learner.probabilities(case)
        patches = {z: case.image[None, None, z : z + 8] for z in range(depth - 7)}
        blocks = {z: learner.network(patch, size)[1].softmax(1)[0] for z, patch in patches.items()}
    learner.settings.block_step = 8
    starts = block_starts(depth, 8, 3)
    for slice_ in range(depth):
        holding = torch.stack([blocks[z][:, slice_ - z] for z in starts if z <= slice_ < z + 8])
        torch.testing.assert_close(found[:, slice_], holding.mean(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.sum(0), torch.ones_like(found[0]), atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def beyond(abdomen, tmp_path_factory):
    folder = tmp_path_factory.mktemp("beyond") / "run"
    return segmentation.train("joint_sepbn_i2pemd", abdomen, "ci", folder=folder, preset="beyond").finish(False)


def test_a_report_names_a_preset_other_than_the_papers(trained, beyond):
    assert segmentation.evaluate(beyond).about["preset"] == "beyond"
    assert "preset" not in segmentation.evaluate(trained).about


def test_blocks_that_overlap_along_three_axes_are_averaged_under_a_gaussian(beyond):
    learner = beyond.learner
    case = next(case for case in learner.test_cases if case.modality == "mr")
    image, p, count = case.image, torch.zeros(5, *case.image.shape), torch.zeros(case.image.shape)
    voxels = torch.tensor([[0, 0, 0], [5, 20, 33], [len(image) - 1, 63, 63]])
    f = torch.zeros(3, learner.settings.dim)
    z, y, x = (torch.arange(n) - (n - 1) / 2 for n in (8, 32, 32))
    w = (-z[:, None, None] ** 2 / 2 - (y[:, None] ** 2 + x**2) / 2 / 16).exp().clamp(min=1e-3 * 0.849)
    torch.testing.assert_close(weights((8, 32, 32), "gaussian"), w, atol=1e-3, rtol=0)
    w = weights((8, 32, 32), "gaussian")
    with learner.evaluating():
        found, features = learner.volume(case, voxels)
        for a, b, c in itertools.product(block_starts(len(image), 8, 4), (0, 16, 32), (0, 16, 32)):
            place = slice(a, a + 8), slice(b, b + 32), slice(c, c + 32)
            F, logits = learner.averaged(image[place][None, None], (0, 1))
            p[:, *place] += w * logits[0].softmax(0)
            count[place] += w
            for i, (d, h, v) in enumerate((voxels - torch.tensor([a, b, c])).tolist()):
                if 0 <= d < 8 and 0 <= h < 32 and 0 <= v < 32:
                    f[i] += w[d, h, v] * F[0, :, d, h, v]
    torch.testing.assert_close(found, p / count, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(features, f / count[tuple(voxels.T)][:, None], atol=1e-4, rtol=1e-4)


def test_the_averaged_weights_are_those_of_a_tenth_of_the_steps_then_of_the_last(abdomen):
    """θ' ← a θ' + (1 − a) θ, a = min(t / (t + 10), average)."""
    run = segmentation.train("joint", abdomen, "ci", preset="beyond", steps=6, average=0.25)
    weight, mean = run.learner.network.last.units[0].convolution.weight, 0.0
    for t, _ in enumerate(run):
        a = min(t / (t + 10), 0.25)
        mean = a * mean + (1 - a) * weight.detach().double()
        found = run.learner.averaged.last.units[0].convolution.weight.double()
        torch.testing.assert_close(found, mean, atol=1e-6, rtol=1e-5)
    assert not any(p.requires_grad for p in run.learner.averaged.parameters())
    case = run.learner.test_cases[0]
    with run.learner.evaluating():
        p = run.learner.probabilities(case)
        run.learner.network.load_state_dict(run.learner.averaged.state_dict())
        run.learner.averaged = None
        assert torch.equal(run.learner.probabilities(case), p)


def test_a_run_of_beyond_goes_on_as_if_it_had_not_stopped(beyond, abdomen, tmp_path):
    run = segmentation.train("joint_sepbn_i2pemd", abdomen, "ci", folder=tmp_path / "run", preset="beyond")
    for _ in range(10):
        next(run)
    run.save()
    twin, again = run.fork(), segmentation.resume(tmp_path / "run", abdomen)
    for each in (twin.finish(False), again.finish(False)):
        state = each.learner.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in beyond.learner.state_dict().items())
        assert [row["doc"] for row in each.evaluations] == [row["doc"] for row in beyond.evaluations]


def test_decay_draws_kernels_alone_and_the_gradient_is_clipped(abdomen):
    run = segmentation.train("joint", abdomen, "ci", preset="beyond", clip=0.01)
    kernels, others = run.optimiser.param_groups
    assert (kernels["weight_decay"], others["weight_decay"]) == (0.02, 0.0)
    assert {p.ndim for p in kernels["params"]} == {5} and {p.ndim for p in others["params"]} == {1}
    rows = [next(run) for _ in range(2)]
    assert torch.cat([p.grad.flatten() for p in run.parameters]).norm() == pytest.approx(0.01, rel=1e-3)
    assert [row.learning_rate for row in rows] == pytest.approx([5e-3 / 4, 5e-3 / 2], rel=0.01)  # of 4 steps of warm-up


def test_coarser_levels_learn_the_same(abdomen):
    with_, without = (segmentation.train("joint", abdomen, "ci", preset="beyond", deep=deep) for deep in (0.3, 1e-9))
    one, other = (next(run).losses for run in (with_, without))
    assert one["loss"] == pytest.approx(float(one["ce"] + one["dice"] + 0.3 * one["deep"]), rel=1e-6)
    assert other["loss"] == pytest.approx(float(one["ce"] + one["dice"]), rel=1e-5)
    fresh = segmentation.train("joint", abdomen, "ci", preset="beyond").learner
    with seeded(0, "step", 0):
        images, labels, sizes = fresh.batch(0)
        _, _, *levels = fresh.network(images, sizes, deep=True)
    assert [tuple(z.shape[2:]) for z in levels] == [(4, 8, 8), (8, 16, 16)]
    how = {"ground": None, "ce": "plain", "sizes": sizes, "dice": "organs"}
    expected = sum(segmentation_loss_reference(z, labels[:, ::a, ::b, ::b], **how)
                   for z, a, b in zip(levels, (2, 1), (4, 2), strict=True))  # fmt: skip
    assert one["deep"] == pytest.approx(expected.item(), rel=1e-4)


def test_a_run_may_learn_from_every_labelled_scan(data, tmp_path):
    run = segmentation.train("joint_sepbn_i2pemd", data, **SMALL, test=0.0, folder=tmp_path / "run").finish(False)
    assert len(run.learner.training_cases) == len(run.learner.data.labelled) and not run.learner.test_cases
    assert math.isnan(run.evaluations[-1]["doc"]) and run.evaluations[-1].keys() >= {"ct liver", "mi2pemd", "mmd"}
    assert run.learner.example() is None and not run.moments
    again = segmentation.resume(tmp_path / "run", data)
    report = segmentation.evaluate(again)
    assert again.number == 2 and math.isnan(report.figures["doc"]) and "(test = 0)" in str(report)
    assert len(segmentation.predict(again, data, tmp_path / "out", progress=False)) == len(data.unlabelled)


def test_patches_are_around_each_organ_alike_and_stay_inside(trained):
    label = torch.zeros(20, 40, 60, dtype=torch.uint8)
    label[:, 2:20, 30:50], label[19, 39, 59] = 1, 3  # a large organ, and one of a voxel in a corner
    case = SimpleNamespace(image=label, organ_voxels=[(label == k).nonzero() for k in (1, 3)])
    corners = [first_voxel(case, (8, 16, 16), 0.6, generator(t)) for t in range(2000)]
    assert all(0 <= a <= n - m for each in corners for a, n, m in zip(each, label.shape, (8, 16, 16), strict=True))
    assert sum(corner == (12, 24, 44) for corner in corners) / 2000 == pytest.approx(0.3, abs=0.03)
    corners = {first_voxel(case, (8, 16, 16), 0.0, generator(t)) for t in range(2000)}
    assert {z for z, _, _ in corners} == set(range(13)) and {y for _, y, _ in corners} == set(range(25))
    whole = {first_voxel(trained.learner.training_cases[0], (8, 32, 32), None, generator(t))[1:] for t in range(20)}
    assert whole == {(0, 0)}


def test_patches_stay_inside_and_reach_every_slice(trained):
    case = trained.learner.training_cases[0]
    depth = len(case.image)
    starts = {first_slice(case, 8, generator(0, t)) for t in range(300)}
    assert min(starts) == 0 and max(starts) == depth - 8


def test_patches_between_the_ends_of_the_organs_are_dous():
    """Begins at a + 1 to b − 9, as often as at one of the blocks, 0, 8, 16 and 17 of 25 slices."""
    case = SimpleNamespace(image=range(25), organ_slices=list(range(5, 25)))
    starts = [first_slice(case, 8, generator(1, t)) for t in range(4000)]
    assert set(starts) == set(range(6, 16)) | {0, 8, 16, 17}
    assert sum(6 <= z < 16 for z in starts) / 4000 == pytest.approx((1 + 1 / 4) / 2, abs=0.03)  # an error of 0.008
    short = SimpleNamespace(image=range(25), organ_slices=[10, 11, 12])
    assert {first_slice(short, 8, generator(1, t)) for t in range(200)} == {0, 7, 8, 16, 17}
    at_the_end = SimpleNamespace(image=range(25), organ_slices=[24])
    assert max(first_slice(at_the_end, 8, generator(1, t)) for t in range(200)) == 17


def test_the_head_begins_as_dous_does():
    for sharing in ("joint_sepbn", "individual"):
        heads = [(name, p) for name, p in UNet(sharing, init="ummkd").named_parameters() if name.startswith("head")]
        assert len(heads) == (4 if sharing == "individual" else 2)
        for name, p in heads:
            assert (p == 0).all() if name.endswith("bias") else 0 < p.abs().max() <= 0.02


def test_lambda_counts_double_beside_the_mean_of_the_modalities(data):
    """L = mean + λ I = ½ (sum + 2 λ I)."""
    one = segmentation.train("joint_sepbn_i2pemd", data, profile="ci", steps=1, add="mean").finish(False).history[0]
    two = segmentation.train("joint_sepbn_i2pemd", data, profile="ci", steps=1, weight=2.0).finish(False).history[0]
    assert 2 * one["loss"] == pytest.approx(two["loss"], rel=1e-6) and one["ce"] == pytest.approx(two["ce"] / 2)


def test_evaluation_is_dice_on_whole_volumes(trained):
    report = segmentation.evaluate(trained)
    learner = trained.learner
    case = learner.test_cases[0]
    with learner.evaluating():
        predicted = learner.probabilities(case).argmax(0)
    for k, organ in enumerate(segmentation.ORGANS, 1):
        overlap, size = ((predicted == k) & (case.label == k)).sum(), (predicted == k).sum() + (case.label == k).sum()
        expected = 100 * 2 * overlap.item() / size.item() if size else math.nan
        assert report.cases[0][organ] == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert report.figures["doc"] == pytest.approx((report.figures["ct"] + report.figures["mr"]) / 2)
    assert [row["mean"] for row in report.rows] == [report.figures[name] for name in ("ct", "mr", "doc")]
    assert "Dice" in str(report) and report._repr_html_().count("<table>") == 2 and len(report.to_pandas()) == 3
    saved = json.loads((trained.folder / "report.json").read_text())
    assert saved["about"]["method"] == "joint_sepbn_i2pemd" and len(saved["rows"]) == 3
    assert [row["case"] for row in saved["cases"]] == [case.name for case in learner.test_cases]


def test_distances_are_those_of_each_case(trained):
    report, learner = segmentation.evaluate(trained), trained.learner
    case = learner.test_cases[-1]
    with learner.evaluating():
        predicted = learner.probabilities(case).argmax(0)
    found = surface_distances(predicted, case.label, 5, trained.settings.spacing)
    for name in ("assd", "hd95", "hd"):
        row = [report.cases[-1][f"{organ} {name}"] for organ in segmentation.ORGANS]
        assert row == pytest.approx(list(getattr(found, name)[1:]), nan_ok=True)
    known = [row["liver hd95"] for row in report.cases if row["modality"] == "mr"]
    assert all(value > 0 for value in known)
    row = report.below["surfaces"].rows[4]
    assert (row[""], row["distance"], row["liver"]) == ("MR", "HD95", pytest.approx(sum(known) / len(known)))


class Prescribed(torch.nn.Module):
    """A learner whose predictions are given."""

    def __init__(self, cases, predictions):
        super().__init__()
        self.test_cases, self.predictions, self.bank = cases, predictions, PrototypeBank(5, 4)

    def probabilities(self, case):
        return torch.nn.functional.one_hot(self.predictions[case.name].long(), 5).movedim(-1, 0).float()


def prescribed(trained):
    """One CT case each whose spleen is missing from the truth, from the prediction, from both; and a whole MR case."""
    ct, mr = (next(c for c in trained.learner.test_cases if c.modality == m) for m in ("ct", "mr"))
    without = ct.label.where(ct.label != 4, 0)
    truths = {"t": without, "p": ct.label, "b": without}
    cases = [dataclasses.replace(ct, name=name, label=label) for name, label in truths.items()]
    return Prescribed([*cases, mr], {"t": ct.label, "p": without, "b": without, mr.name: mr.label})


def test_the_worst_organ_of_a_case_is_named_and_what_was_taken_for_what_is_counted(trained):
    learner = prescribed(trained)
    ct, mr = learner.test_cases[1], learner.test_cases[3]
    learner.predictions["p"] = ct.label.where(ct.label != 2, 3)  # the right kidney taken for the left
    learner.test_cases = [ct, mr]
    report = score(learner, {"method": "ours"})
    assert [(row["worst"], row["in"]) for row in report.rows[::2]] == [(0.0, "p right kidney")] * 2
    assert report.rows[1]["worst"] == 100.0 and report.about["seconds a scan"] >= 0
    C = torch.tensor(report.confusion)
    assert C.sum() == ct.label.numel() + mr.label.numel() and C[2, 3] == (ct.label == 2).sum() and C.sum(1)[2] > C[2, 3]
    assert C[2, 3] == C.sum() - C.diagonal().sum()


def test_unusual_scans_are_the_same_each_time_and_beside_the_usual_ones(trained):
    learner = trained.learner
    report, again = (segmentation.evaluate(trained, stress=True) for _ in range(2))
    rows = report.below["stress"].rows
    assert [(row["stress"], row["modality"]) for row in rows] == [*itertools.product([*STRESS, "all"],
                                                                                    ("CT", "MR", "both"))]  # fmt: skip
    assert rows == again.below["stress"].rows and report.figures == segmentation.evaluate(trained).figures
    case = learner.test_cases[0]
    made = {name: one for name, one in stressed([case])}
    for name, one in made.items():
        with learner.evaluating():
            expected = doc_row(one, learner.probabilities(one))
        alone = [row for row in rows if (row["stress"], row["modality"]) == (name, case.modality.upper())]
        assert alone[0]["worst"] <= expected["liver"] and one.image.shape == case.image.shape
        assert not torch.equal(one.image, case.image) and (torch.equal(one.label, case.label) == (name[:5] != "large"))
    spleens = [(one.label == 4).sum().item() for one in (made["large spleen"], case)]
    assert spleens[0] > 2 * spleens[1]
    inner = torch.nn.functional.avg_pool3d((case.label == 4)[None, None].float(), 3, 1, 1)[0, 0] == 1
    brighter = made["bright spleen"].image - case.image
    torch.testing.assert_close(brighter[inner], torch.full_like(brighter[inner], 1.5), atol=1e-4, rtol=0)
    outer = torch.nn.functional.max_pool3d((case.label == 4)[None, None].float(), 3, 1, 1)[0, 0] == 0
    assert len(brighter[inner]) and brighter[outer].abs().max() == 0
    x, y = case.image.flatten(), made["turned contrast"].image.flatten()
    inside = x > x.min() + (x.max() - x.min()) / 8
    assert y[x.argmin()] == x.min() and torch.corrcoef(torch.stack([x[inside], y[inside]]))[0, 1] < -0.99
    assert json.loads((trained.folder / "report.json").read_text()).keys().isdisjoint({"stress"})


def test_a_few_scans_of_each_modality_can_be_learnt_from(data):
    def names(**more):
        learner = segmentation.train("joint", data, profile="ci", **more).learner
        return [case.name for case in learner.training_cases], [case.name for case in learner.test_cases]

    every, held = names()
    drawn = [names(scans=(2, 1), seed=seed) for seed in range(4)]
    assert all(test == held and [name[:2] for name in few] == ["ct", "ct", "mr"] for few, test in drawn)
    assert len({*map(str, drawn)}) > 1 and all({*few} < {*every} for few, _ in drawn)
    assert names(scans=(2, 1), seed=1) == drawn[1] == names(scans=(2, 1), seed=1, weight=0.5)
    with pytest.raises(BadInput, match="scans: expected up to . of CT, which are not held back, found 9; take"):
        names(scans=(9, 1))


def test_missing_organs_are_named_and_not_averaged_in(trained):
    report = score(prescribed(trained), {"method": "ours"})
    places = {row["case"]: row["missing from"] for row in report.missing}
    assert places == {"t": "truth", "p": "prediction", "b": "both"}
    assert all(row["organ"] == "spleen" for row in report.missing)
    text = str(report)
    for case, place in (("t", "truth does not show"), ("p", "prediction does not show"), ("b", "left out")):
        assert [line for line in text.splitlines() if place in line and line.endswith(f": {case} spleen")]
    ct, mr, both = report.rows
    assert ct["spleen"] == 0 and ct["liver"] == 100 and mr["spleen"] == 100 and both["spleen"] == 50
    assert [row["spleen"] for row in report.cases[:3]] == pytest.approx([0, 0, math.nan], nan_ok=True)
    assert math.isnan(report.below["surfaces"].rows[0]["spleen"]) and report.below["surfaces"].rows[0]["mean"] == 0
    assert report.content()["cases"][2]["spleen"] is None


def test_an_organ_that_a_case_lacks_is_not_averaged_in():
    rows = [
        {"case": "a", "modality": "ct", **dict.fromkeys(segmentation.ORGANS, 80.0)},
        {"case": "b", "modality": "ct", **dict.fromkeys(segmentation.ORGANS, 90.0), "spleen": math.nan},
        {"case": "c", "modality": "mr", **dict.fromkeys(segmentation.ORGANS, 50.0)},
    ]
    figures = summary(rows)
    assert figures["ct spleen"] == 80 and figures["ct liver"] == 85
    assert figures["ct"] == pytest.approx((85 * 3 + 80) / 4) and figures["doc"] == pytest.approx((83.75 + 50) / 2)


def test_v10_hard_dice():
    truth, prediction = torch.tensor([1, 1, 1, 0, 0, 2]), torch.tensor([1, 1, 0, 0, 2, 2])
    found = dice(prediction, truth, 4)
    assert found[1].item() == pytest.approx(0.8) and found[2].item() == pytest.approx(2 / 3) and found[3].isnan()
    with pytest.raises(BadInput, match="prediction: expected class indices 0 to 2, found 0 to 3"):
        dice(torch.tensor([0, 3, 1]), torch.tensor([0, 0, 1]), 3)
    with pytest.raises(BadInput, match="expected the truth's shape"):
        dice(prediction[:5], truth, 4)


def test_prediction_is_on_each_scans_own_grid(trained, data, tmp_path):
    written = segmentation.predict(trained, out=tmp_path, progress=False)
    assert len(written) == len(data.unlabelled) == 4
    for scan, path in zip(data.unlabelled, written, strict=True):
        assert path.parent.name == scan.modality
        image, labels = nibabel.load(scan.image), nibabel.load(path)
        assert labels.shape == image.shape
        np.testing.assert_allclose(labels.affine, image.affine, atol=1e-4)
        assert set(np.unique(np.asarray(labels.dataobj))) <= set(range(5))


def test_prediction_does_not_look_at_the_truth(trained, data, tmp_path):
    scan = data.labelled[0]
    with_label, without = (
        segmentation.predict(trained, [one], tmp_path / name, progress=False)[0].read_bytes()
        for name, one in (("with", scan), ("without", dataclasses.replace(scan, label=None)))
    )
    assert with_label == without


def test_a_plain_folder_of_images_can_be_predicted(trained, data, tmp_path):
    (tmp_path / "scans").mkdir()
    scan = data.unlabelled[0]
    shutil.copy(scan.image, tmp_path / "scans" / "patient.nii.gz")
    written = segmentation.predict(trained, tmp_path / "scans", tmp_path, modality=scan.modality, progress=False)
    assert written == [tmp_path / scan.modality / "patient.nii.gz"] and written[0].is_file()
    (tmp_path / "none").mkdir()
    with pytest.raises(BadInput, match="expected a folder with NIfTI files"):
        segmentation.predict(trained, tmp_path / "none", tmp_path, modality="ct", progress=False)


def test_forks_share_the_volumes(trained):
    fork = trained.fork()
    one, other = (run.learner.training_cases[0].image for run in (trained, fork))
    assert one.data_ptr() == other.data_ptr()


def test_a_scan_that_fails_does_not_stop_the_others(trained, data, tmp_path):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no image")
    scans = [dataclasses.replace(data.unlabelled[0], name="ct/broken", image=broken), *data.unlabelled]
    with pytest.raises(BadInput, match="ct/broken") as caught:
        segmentation.predict(trained, scans, tmp_path / "out", progress=False)
    assert len(caught.value.written) == 4 and len(list((tmp_path / "out").rglob("*.nii.gz"))) == 4


def test_resume_needs_the_same_data(trained, abdomen, tmp_path):
    again = segmentation.resume(trained.folder)
    assert again.number == trained.number and again.history == trained.history
    other = shutil.copytree(abdomen, tmp_path / "other")
    scan = next(other.rglob("label0001.nii.gz"))
    image = nibabel.load(scan)
    labels = np.asarray(image.dataobj)
    nibabel.save(nibabel.Nifti1Image(labels * (labels != 6), image.affine, image.header), scan)  # without its liver
    with pytest.raises(BadInput, match="fingerprint"):
        segmentation.resume(trained.folder, other)
    with pytest.raises(BadInput, match="settings.json"):
        segmentation.resume(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"weigth": 1}, "weigth: not a setting"),
        ({"patch_depth": 12}, "patch_depth: expected a multiple of 8"),
        ({"size": (50, 48)}, "size: expected two multiples of 8"),
        ({"steps": 0}, "steps: expected"),
        ({"ce": "focal"}, "ce: expected"),
        ({"width": 0}, "width: expected"),
        ({"steps": 2.5}, "steps: expected a whole number"),
        ({"steps": "100"}, "steps: expected a whole number"),
        ({"temperature": 0.0}, "temperature: expected"),
        ({"augment": "turn,mirror"}, "augment: expected some of scale,turn,.* found 'turn,mirror'"),
        ({"around": 1.5}, "around: expected a part from 0 to 1, or None"),
        ({"network": "transformer"}, "network: expected dou or residual"),
        ({"preset": "beyond", "size": (80, 80)}, "size: expected two multiples of 32, found"),
        ({"preset": "beyond", "patch_size": (96, 32)}, "patch_size: expected two multiples of 32 up to size, found"),
        ({"patch_size": (32,)}, "patch_size: expected 2 numbers"),
    ],
)
def test_settings_say_what_is_wrong(data, settings, named):
    with pytest.raises(BadInput, match=named):
        next(segmentation.train("joint", data, **{"profile": "ci"} | settings))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"width": 10**8}, "fits into 16.0 GiB of memory, found .* a batch; what fits is width [0-9]+ in place"),
        ({"size": (80000, 80000)}, "what fits is size ([0-9]+), \\1 in place of 80000, 80000$"),
        ({"patch_depth": 8 * 10**9}, "what fits is patch_depth [0-9]+ in place of"),
        ({"preset": "beyond", "batch": 10**6}, "what fits is batch [0-9]+ in place of 1000000$"),
        ({"batch": 10**9, "dim": 10**12}, "what fits is less of each of width, dim, size, batch, patch_depth$"),
        ({"spacing": (1e-9, 1.5, 1.5)}, "spacing: expected 3 lengths from 0.05 to 1000 mm, found"),
    ],
)
def test_what_cannot_fit_is_told_before_anything_is_made(data, settings, named, monkeypatch):
    monkeypatch.setattr("i2pemd_lite.device.memory", lambda device: 2**34)
    monkeypatch.setattr("i2pemd_lite.segmentation.task.prepare", lambda *a, **k: pytest.fail("prepared"))
    with pytest.raises(BadInput, match=named):
        segmentation.train("joint", data, profile="ci", **settings)


def test_what_is_said_to_fit_does(monkeypatch):
    monkeypatch.setattr("i2pemd_lite.device.memory", lambda device: 2**34)
    settings = segmentation.TASK.settings_for("joint", "gpu", changes={"width": 10**6})
    with pytest.raises(BadInput, match="what fits is width [0-9]+") as told:
        expect_room(settings)
    expect_room(settings.changed(width=int(re.search("width ([0-9]+)", str(told.value))[1])))
    expect_room(segmentation.TASK.settings_for("joint", "gpu"))  # the paper's


def test_methods_and_data_say_what_is_wrong(data):
    with pytest.raises(BadInput, match="method: expected one of individual, joint"):
        segmentation.train("jont", data)
    with pytest.raises(BadInput, match="data: expected what load"):
        segmentation.train("joint", 3)


def test_the_paper_is_the_default():
    paper = segmentation.SegmentationSettings()
    assert (paper.width, paper.dim, paper.batch, paper.spacing, paper.size) == (16, 32, 3, (8.0, 1.5, 1.5), (256, 256))
    assert paper.ct_window is None and paper.mr_clip is None  # the paper clips nothing
    assert (paper.learning_rate, paper.decay, paper.decay_every, paper.momentum) == (5e-4, 0.95, 500, 0.8)
    assert SIZES["gpu"] == {}


@pytest.mark.real
def test_a_few_steps_on_real_scans(real, tmp_path):
    whole = segmentation.load()
    few = [scan for m in segmentation.MODALITIES for scan in [s for s in whole.labelled if s.modality == m][:4]]
    data = dataclasses.replace(whole, scans=(*few, *whole.unlabelled[:1]))
    run = segmentation.train("joint_sepbn_i2pemd", data, folder=tmp_path / "run", profile="ci", steps=6)
    first, *_, last = list(run)
    assert last.loss < first.loss and run.learner.data.name == "real"
    assert 0 <= segmentation.evaluate(run).figures["doc"] <= 100
    assert len(segmentation.predict(run, data.unlabelled, tmp_path / "out", progress=False)) == 1
