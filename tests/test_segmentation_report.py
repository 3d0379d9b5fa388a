"""What every evaluation of a segmentation run follows beside DOC: the mean I2PEMD and the gap between CT and MR."""

import contextlib
import math

import pytest
import torch

from i2pemd_lite import BadInput, fused, segmentation
from i2pemd_lite.losses import mmd, segmentation_loss, segmentation_loss_reference
from i2pemd_lite.segmentation import learner, methods, report

SMALL = {"profile": "ci", "steps": 3, "evaluate_every": 3, "width": 2, "dim": 4}


@pytest.fixture(scope="module")
def run(abdomen):
    return segmentation.train("joint_sepbn_i2pemd", segmentation.load(abdomen), **SMALL).finish(False)


def test_mi2pemd_is_eq_8_over_all_held_back_voxels(run):
    """As one loss over both modalities' voxels, from logits whose softmax is the prediction."""
    learner = run.learner
    with learner.evaluating():
        p = [learner.probabilities(case).flatten(1).T.double() for case in learner.test_cases]
    p, y = torch.cat(p), torch.cat([case.label.flatten() for case in learner.test_cases]).long()
    G = learner.bank.ground_distance().double()
    expected = torch.stack([(p[y == k] @ G[:, k]).mean() for k in y.unique()]).mean()
    assert run.evaluations[-1]["mi2pemd"] == pytest.approx(expected.item(), rel=1e-5)


def test_mmd_is_between_the_features_that_feed_the_head(run):
    learner = run.learner
    clouds = {"ct": [], "mr": []}
    with learner.evaluating():
        for case in learner.test_cases:
            voxels = learner.samples[case.name]
            p, f = learner.volume(case, voxels)
            clouds[case.modality].append(f)
            # Where one block alone holds a slice, the head's softmax of the features is the prediction.
            head, alone = learner.network.head, voxels[:, 0] < min(8, len(case.image) - 8)
            again = torch.nn.functional.linear(f[alone], head.weight.flatten(1), head.bias).softmax(1)
            assert alone.any()
            torch.testing.assert_close(again, p[(slice(None), *voxels[alone].T)].T, atol=1e-5, rtol=1e-4)
    expected = mmd(torch.cat(clouds["ct"]), torch.cat(clouds["mr"])).item()
    assert run.evaluations[-1]["mmd"] == pytest.approx(expected, rel=1e-6)


def test_sampled_voxels_are_balanced_and_always_the_same(run):
    cases = run.learner.test_cases
    samples, again = report.sample_voxels(cases), report.sample_voxels(cases[::-1])
    for modality in segmentation.MODALITIES:
        mine = [case for case in cases if case.modality == modality]
        classes = torch.cat([case.label[tuple(samples[case.name].T)] for case in mine])
        counts = torch.bincount(classes.long(), minlength=5)
        share = math.ceil(report.VOXELS / len(mine))
        assert counts.tolist() == [
            sum(min(share, int((case.label == k).sum())) for case in mine) for k in range(5)
        ]
        assert all(torch.equal(samples[case.name], again[case.name]) for case in mine)


def test_an_organ_that_no_case_has_leaves_the_other_means():
    rows = [
        {"case": m, "modality": m, **dict.fromkeys(segmentation.ORGANS, doc)} for m, doc in (("ct", 90.0), ("mr", 80.0))
    ]
    rows[0]["spleen"] = math.nan
    figures = report.summary(rows)
    assert math.isnan(figures["ct spleen"]) and figures["ct"] == 90.0 and figures["doc"] == 85.0


def test_a_class_that_no_training_case_has_is_an_error(abdomen, monkeypatch):
    run = segmentation.train("joint", segmentation.load(abdomen), **SMALL)
    cases = [without(case, 4) for case in run.learner.data.labelled]
    monkeypatch.setattr(learner, "split", lambda data, test, seed: (cases[2:], cases[:2]))
    with pytest.raises(BadInput, match="training cases: expected one with spleen, found none among"):
        learner.Segmenter(run.settings, run.learner.data)


def test_a_head_of_its_own_needs_every_class_in_its_own_modality(abdomen, monkeypatch):
    for method, head_of_its_own in (("joint", False), ("y_shaped", False), ("individual", True), ("x_shaped", True)):
        run = segmentation.train(method, segmentation.load(abdomen), **SMALL)
        cases = [without(case, 4) if case.modality == "mr" else case for case in run.learner.data.labelled]
        parts = cases, cases[:1] + cases[-1:]
        refused = pytest.raises(BadInput, match="training cases: expected one with spleen, found none among mr/")
        with monkeypatch.context() as patch, refused if head_of_its_own else contextlib.nullcontext():
            patch.setattr(learner, "split", lambda data, test, seed, parts=parts: parts)
            learner.Segmenter(run.settings, run.learner.data)


def test_a_modality_without_labelled_cases_is_an_error(abdomen, monkeypatch):
    run = segmentation.train("joint", segmentation.load(abdomen), **SMALL)
    cases = [case for case in run.learner.data.labelled if case.modality == "ct"]
    monkeypatch.setattr(learner, "split", lambda data, test, seed: (cases[1:], cases[:1]))
    with pytest.raises(BadInput, match="mr scans: expected at least one to draw from, found none"):
        learner.Segmenter(run.settings, run.learner.data)


def without(case, k):
    fields = {name: getattr(case, name) for name in type(case).__dataclass_fields__}
    return type(case)(**{**fields, "label": case.label * (case.label != k)})


def test_patches_come_from_their_own_case(run):
    """The volumes on the device are the prepared ones, and a fork shares them."""
    learner = run.learner
    learner.eval()
    images, labels, sizes = learner.batch(0)
    assert sizes == (3, 3)
    for i, (image, label) in enumerate(zip(images[:, 0], labels, strict=True)):
        cases = [case for case in learner.training_cases if case.modality == ("ct" if i < 3 else "mr")]
        assert any(
            torch.equal(image, case.image[z : z + 8]) and torch.equal(label, case.label[z : z + 8])
            for case in cases
            for z in range(len(case.image) - 7)
        )
    assert run.fork().learner.resident is learner.resident


def test_the_compiled_loss_serves_under_autocast_too():
    fused._compiled.cache_clear()
    logits = torch.randn(2, 5, 8, 32, 32, dtype=torch.bfloat16, requires_grad=True)
    labels = torch.randint(5, (2, 8, 32, 32), dtype=torch.uint8)
    with torch.autocast("cpu", torch.bfloat16):
        loss = segmentation_loss(logits, labels, 1 - torch.eye(5))
    assert fused._compiled(5) is not None or not any(map(fused.shutil.which, ("cc", "gcc", "clang")))
    expected = segmentation_loss_reference(logits.detach().float(), labels, 1 - torch.eye(5))
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-4, atol=1e-4)


def test_the_precision_of_a_run_can_be_chosen(abdomen):
    data = segmentation.load(abdomen)
    exact, mixed = (next(segmentation.train("joint", data, **SMALL, precision=p)) for p in ("auto", "bfloat16"))
    assert exact.loss != mixed.loss and exact.loss == pytest.approx(mixed.loss, rel=0.05)
    with pytest.raises(BadInput, match="precision: expected auto or float32 or bfloat16 or float64, found 'half'"):
        segmentation.train("joint", data, **SMALL, precision="half")


def test_v6_pooling_of_modalities():
    """CT mean 1.0 from 30 voxels, MR mean 4.0 from 10: pooled 1.75, by modality 2.5, in turn from zero .96."""
    from i2pemd_lite import PrototypeBank

    features = torch.cat([torch.full((1, 1, 30), 1.0), torch.full((1, 1, 30), 4.0)])
    labels = torch.zeros(2, 30, dtype=torch.long)
    labels[1, 10:] = -100
    found = {}
    for name, pool in methods.POOLS.items():
        bank = PrototypeBank(2, 1)
        bank.seen.fill_(name == "in turn")
        pool(bank, features, labels, (1, 1))
        found[name] = bank.prototypes[0].item()
        assert bank.prototypes[1].item() == 0 and bank.seen[1].item() == (name == "in turn")
    assert found == pytest.approx({"voxels": 1.75, "modalities": 2.5, "in turn": 0.96})


def test_what_the_paper_leaves_open_can_be_switched(abdomen):
    def first(method="joint_sepbn_i2pemd_fix", **changes):
        return next(segmentation.train(method, segmentation.load(abdomen), **SMALL, **changes)).losses

    base, half = first(), first(fixed=0.5)
    assert half["i2pemd"].item() == pytest.approx(base["i2pemd"].item() / 2, rel=1e-5)
    # Where the normalisation is separate, one batch or two are the same; where it is joint they are not.
    assert first(forward="apart")["ce"].item() == pytest.approx(base["ce"].item(), abs=1e-6)
    assert abs(first("joint", forward="apart")["ce"].item() - first("joint")["ce"].item()) > 1e-4
    run = segmentation.train("joint_sepbn_i2pemd", segmentation.load(abdomen), **SMALL, first="zeros")
    lagging, whole = next(run), next(segmentation.train("joint_sepbn_i2pemd", segmentation.load(abdomen), **SMALL))
    torch.testing.assert_close(lagging.prototypes, 0.2 * whole.prototypes)


def test_held_back_scans_do_not_set_the_scale(abdomen):
    """`normalise="modality"` takes its mean from the training part of the split that the run has."""
    moments = []
    for split_seed in (0, 1):
        run = segmentation.train(
            "joint", segmentation.load(abdomen), **SMALL, normalise="modality", split_seed=split_seed
        )
        cases = [case for case in run.learner.training_cases if case.modality == "mr"]
        count, mean, _ = torch.tensor([case.moments for case in cases], dtype=torch.float64).T
        moments.append(run.learner.data.moments["mr"][0])
        assert moments[-1] == pytest.approx(((count * mean).sum() / count.sum()).item(), rel=1e-9)
    assert moments[0] != moments[1]
