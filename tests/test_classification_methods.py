"""The methods beside the paper's: their formulas against known numbers, their steps against slow ones by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from i2pemd_lite import BadInput, classification
from i2pemd_lite.classification import CLASSES, METHODS, ClassificationSettings
from i2pemd_lite.classification.augment import weak
from i2pemd_lite.classification.methods import ramps
from i2pemd_lite.classification.methods.bands import bands
from i2pemd_lite.classification.methods.mixmatch import mixture, sharpen, soft_cross_entropy
from i2pemd_lite.classification.methods.pseudo import flexible_thresholds, pseudo_labels
from i2pemd_lite.classification.methods.supervised import class_weights, labelled_loss
from i2pemd_lite.classification.methods.teachers import (
    consistency,
    relation,
    relation_matrix,
    uncertainty,
    uncertainty_threshold,
)
from i2pemd_lite.classification.methods.vat import adversarial_direction, divergence, entropy, frozen_norms
from i2pemd_lite.classification.network import build
from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.prototypes import PrototypeBank
from i2pemd_lite.runs.settings import learned
from i2pemd_lite.runs.task import decay

COUNTS = [1113, 6705, 514, 327, 1099, 115, 142]  # of ISIC 2018
SRC_MT = 10_000 / torch.tensor(COUNTS)


@pytest.fixture(scope="module")
def data(skin):
    return classification.load(skin)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


# --- FlexMatch and FixMatch ---------------------------------------------------------------------------------------


def test_v12_flexmatch():
    memory = torch.tensor([0] * 30 + [1] * 15 + [2] * 5 + [-1] * 50)
    assert flexible_thresholds(memory, 3).tolist() == pytest.approx([0.407143, 0.167647, 0.05], abs=5e-7)
    cold = flexible_thresholds(memory, 3, warm_up=False)
    assert cold.tolist() == pytest.approx([0.95, 0.316667, 0.086364], abs=5e-7)
    # While nothing is known, every threshold is 0 and everybody passes: FlexMatch begins as Filter_all.
    assert flexible_thresholds(torch.full((9,), -1), 3).tolist() == [0, 0, 0]


def test_flexmatch_remembers_who_was_sure(data):
    run = classification.train("flexmatch", data, profile="ci", steps=3, flex_tau=0.2)
    learner = run.learner
    counts = [(learner.memory >= 0).sum().item()]
    for _ in run:
        counts.append((learner.memory >= 0).sum().item())
    assert counts[0] == 0 < counts[1] <= counts[2] <= counts[3]
    drawn = torch.cat([learner.streams["unlabelled"].take(36 * t, 36) for t in range(3)])
    untouched = torch.ones(len(learner.memory), dtype=torch.bool).index_fill(0, drawn, False)
    assert (learner.memory[untouched] == -1).all()
    assert run.history[0]["kept"] == 36


def stub(method, logits, y, **settings):
    """A learner whose network gives the logits (B, K) whatever it sees; features are the logits."""
    s = ClassificationSettings(method=method, labelled=len(y), unlabelled=(len(logits) - len(y)) // 2, **settings)
    bank = PrototypeBank(logits.shape[1], logits.shape[1], s.momentum)
    bank.update(5 * torch.eye(logits.shape[1]), torch.arange(logits.shape[1]))
    parts = {"labelled": y, "unlabelled": torch.zeros(s.unlabelled, dtype=torch.long)}
    return SimpleNamespace(
        settings=s,
        method=METHODS[method],
        bank=bank,
        memory=torch.full((s.unlabelled,), -1),
        class_weights=torch.ones(logits.shape[1]),
        draw=lambda part, t, count: (torch.zeros(count), parts[part], torch.arange(count)),
        view=lambda how, images, t, name, **options: images,
        network=lambda views: (logits, logits),
    )


def answers(*probabilities):
    return tensor(*probabilities).log().float()


def test_v13_fixmatch_divides_by_all_unlabelled():
    # One labelled sample, two weak views of confidence .96 and .50, two strong ones; the first's strong answer is .7.
    logits = answers([0.5, 0.5], [0.96, 0.04], [0.5, 0.5], [0.7, 0.3], [0.1, 0.9])
    y = torch.tensor([0])
    found = pseudo_labels(stub("fixmatch", logits, y, tau_high=0.95, top=1), 0)
    assert found["unlabelled"].item() == pytest.approx(0.178337, abs=5e-7)
    assert found["loss"].item() == pytest.approx(math.log(2) + 0.178337, abs=1e-6)
    found = pseudo_labels(stub("fixmatch", logits, y, tau_high=0.95, top=1, mean_over="selected"), 0)
    assert found["unlabelled"].item() == pytest.approx(0.356675, abs=5e-7)
    nobody = pseudo_labels(stub("fixmatch", logits, y, tau_high=0.97, top=1, mean_over="selected"), 0)
    assert nobody["unlabelled"] == 0


def test_flexmatch_forgets_the_unsure_and_counts_before_it_asks():
    logits = answers([0.5, 0.5], [0.96, 0.04], [0.4, 0.6], [0.7, 0.3], [0.1, 0.9])
    learner = stub("flexmatch", logits, torch.tensor([0]), top=1)
    assert pseudo_labels(learner, 0)["kept"] == 2 and learner.memory.tolist() == [0, -1]
    # Now σ = (1, 0) of 2: with one unused β = (1, 0), so τ_0 = 0.95 and τ_1 = 0.
    assert pseudo_labels(learner, 1)["kept"] == 2
    learner.memory[1] = 1  # σ = (1, 1): both thresholds are 0.95
    assert pseudo_labels(learner, 2)["kept"] == 1 and learner.memory.tolist() == [0, 1]


def test_weak_views_apart_are_answered_alone_and_without_a_gradient():
    logits = answers([0.5, 0.5], [0.96, 0.04], [0.5, 0.5], [0.7, 0.3], [0.1, 0.9]).requires_grad_()
    found, asked = {}, []

    def network(views):
        asked.append((views.tolist(), torch.is_grad_enabled()))
        return logits[views], logits[views]

    for norms in ("together", "apart"):
        learner = stub("fixmatch", logits, torch.tensor([0]), top=1, norms=norms)
        images = {"labelled": torch.tensor([0]), "unlabelled": torch.tensor([1, 2])}
        learner.draw = lambda part, t, count, images=images: (images[part], images[part] * 0, images[part] - 1)
        learner.view = lambda how, images, t, name, **options: images + 2 * (name == "strong")
        learner.network = network
        found[norms] = pseudo_labels(learner, 0)
    assert asked == [([0, 1, 2, 3, 4], True), ([1, 2], False), ([0, 3, 4], True)]
    assert found["together"] == found["apart"]


def test_a_class_without_a_label_makes_no_loss_infinite():
    w = class_weights(torch.tensor([0, 0, 1]), 3)
    assert w.tolist() == [1.5, 3, 3]
    guess, z, y = torch.tensor([[0.2, 0.3, 0.5]]), torch.zeros(1, 3), torch.tensor([1])
    for kind in ("plain", "weighted", "srcmt", "adjusted"):
        assert soft_cross_entropy(z, guess, kind, w).isfinite() and labelled_loss(z, y, kind, w).isfinite()


@pytest.mark.parametrize("view", ["weak", "strong"])
def test_prototypes_move_with_labelled_and_selected_samples(view):
    """Eq. 20, 21: c_0 ← α c_0 + (1 − α) mean of the labelled sample of class 0 and the selected one."""
    logits = answers([0.6, 0.4], [0.96, 0.04], [0.5, 0.5], [0.7, 0.3], [0.1, 0.9])
    learner = stub("fixmatch", logits, torch.tensor([0]), top=1, features=view)
    pseudo_labels(learner, 0)
    selected = logits[1] if view == "weak" else logits[3]
    expected = 0.8 * torch.tensor([5.0, 0]) + 0.2 * (logits[0] + selected) / 2
    assert learner.bank.prototypes[0].tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert learner.bank.prototypes[1].tolist() == [0, 5]


# --- the bands ----------------------------------------------------------------------------------------------------


def test_v7_in_bands():
    o = tensor(
        [0.97, 0.01, 0.01, 0.01], [0.75, 0.20, 0.03, 0.02], [0.75, 0.02, 0.03, 0.20], [0.02, 0.90, 0.04, 0.04],
        [0.10, 0.10, 0.72, 0.08], [0.05, 0.03, 0.83, 0.09], [0.60, 0.30, 0.05, 0.05], [0.04, 0.04, 0.14, 0.78],
    )  # fmt: skip
    G = tensor([0, 0.25, 0.375, 0.75], [0.25, 0, 0.5, 0.625], [0.375, 0.5, 0, 0.5], [0.75, 0.625, 0.5, 0])
    truth = torch.tensor([0, 0, 1, 1, 2, 0, 0, 3])  # samples 3 and 6 are wrong
    mask = torch.tensor([1, 1, 0, 1, 0, 1, 0, 0], dtype=torch.bool)
    found = {name: float(value) for name, value in bands(o, truth, G, mask, 0.7, 0.8, 4).items()}
    # Above are 1, 4, 6; in the band 2, 3, 5, 8; below 7. I2PEMD lets in 2, I2PEMD_fix 8, confidence alone 8.
    assert [found[name] for name in ("high", "band", "low", "kept")] == [3, 4, 1, 4]
    assert [found[f"{name}_right"] for name in ("high", "band", "low", "kept")] == [2, 3, 1, 3]
    assert [found[name] for name in ("near", "near_right", "fix", "fix_right", "sure")] == [1, 1, 1, 1, 1]
    assert found["chance_right"] == pytest.approx(3 / 4)
    six = bands(o, truth, G, mask, 0.7, 0.8, 6)
    assert [int(six[name]) for name in ("near", "near_right", "sure", "sure_right")] == [3, 3, 3, 2]


def test_chance_is_the_mean_of_many_draws():
    draws = torch.Generator().manual_seed(0)
    o = torch.rand(36, 7, generator=draws).mul(4).softmax(1)
    o = 0.3 * o + 0.7 * F.one_hot(o.argmax(1), 7)  # most are in the band
    truth = torch.where(torch.rand(36, generator=draws) < 0.6, o.argmax(1), 0)
    G = torch.rand(7, 7, generator=draws).fill_diagonal_(0)
    found = bands(o, truth, G, o.max(1).values > 0.9, 0.7, 0.9, 10)
    s, r = o.max(1)
    band = ((s > 0.7) & (s <= 0.9)).nonzero().flatten()
    n = int(found["near"])
    assert 3 < n < len(band)
    drawn = [(r == truth)[band[torch.randperm(len(band), generator=draws)[:n]]].sum().item() for _ in range(4000)]
    # 4,000 draws of at most 10 samples: the standard error of their mean is below 0.03.
    assert float(found["chance_right"]) == pytest.approx(sum(drawn) / len(drawn), abs=0.1)


# --- mean teachers ------------------------------------------------------------------------------------------------


def test_v15_mean_teacher():
    p, p_teacher = tensor([0.7, 0.2, 0.1]), tensor([0.5, 0.3, 0.2])
    assert consistency(p, p_teacher).item() == pytest.approx(0.06, abs=1e-12)
    expected = [0.006738, 0.108368, 0.573753, 0.637628, 0.870325, 1]
    assert [ramps.sigmoid(t, 30) for t in (0, 10, 20, 21, 25, 30)] == pytest.approx(expected, abs=5e-7)
    assert [decay(t, 0.99) for t in (0, 1, 9, 98, 99)] == pytest.approx([0, 0.5, 0.9, 0.989899, 0.99], abs=5e-7)


def test_v16_sample_relations():
    A, A_teacher = tensor([1, 0], [1, 1], [0, 2]), tensor([1, 0], [0, 1], [0, 1])
    rows = [[0.707107, 0.707107, 0], [0.333333, 0.666667, 0.666667], [0, 0.447214, 0.894427]]
    for found, expected in zip(relation_matrix(A).tolist(), rows, strict=True):
        assert found == pytest.approx(expected, abs=5e-7)
    assert relation(A, A_teacher).item() == pytest.approx(0.267601, abs=5e-7)
    p = tensor([0.1, 0.6, 0.1, 0.05, 0.1, 0.02, 0.03])
    p_teacher = tensor([0.05, 0.7, 0.1, 0.05, 0.06, 0.02, 0.02])
    assert consistency(p, p_teacher, SRC_MT.double()).item() == pytest.approx(0.058977, abs=5e-7)
    assert consistency(p, p_teacher).item() == pytest.approx(0.0142, abs=1e-12)


def test_v16_labelled_losses():
    logits, y = torch.tensor([[2.0, 0, 0, 0, 0, 0, 0]]), torch.tensor([0])
    assert labelled_loss(logits, y, "plain", SRC_MT).item() == pytest.approx(0.594438, abs=5e-7)
    assert labelled_loss(logits, y, "srcmt", SRC_MT).item() == pytest.approx(1.552479, abs=5e-7)
    sure = labelled_loss(torch.tensor([[1e4, 0, 0, 0, 0, 0, 0]]), y, "srcmt", SRC_MT)
    assert sure.item() == pytest.approx(-math.log(math.e / (math.e + 6)), abs=1e-6)


@pytest.mark.parametrize("kind", ["plain", "weighted", "srcmt", "adjusted"])
def test_labelled_loss_by_hand(kind):
    logits, y = torch.randn(9, 7, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 7
    w = SRC_MT.tolist() if kind in ("weighted", "srcmt") else [1.0] * 7
    answer = logits.softmax(1).tolist()
    if kind == "adjusted":  # each class as often as it is: exp(z_k) n_k / Σ_j exp(z_j) n_j
        answer = [[math.exp(z) * n for z, n in zip(row, COUNTS, strict=True)] for row in logits.tolist()]
        answer = [[each / sum(row) for each in row] for row in answer]
    if kind == "srcmt":
        answer = [[math.exp(v) / sum(map(math.exp, row)) for v in row] for row in answer]
    expected = sum(-w[k] * math.log(row[k]) for row, k in zip(answer, y.tolist(), strict=True)) / sum(w[k] for k in y)
    assert labelled_loss(logits, y, kind, SRC_MT).item() == pytest.approx(expected, rel=1e-5)
    one_hot = F.one_hot(y, 7).float()
    assert soft_cross_entropy(logits, one_hot, kind, SRC_MT).item() == pytest.approx(expected, rel=1e-5)


def test_class_weights_are_those_of_src_mt():
    labels = torch.cat([torch.full((n,), k) for k, n in enumerate(COUNTS)])
    # Theirs are 10000 / n_k of 10,015 images.
    assert (class_weights(labels, 7) / 1.0015).tolist() == pytest.approx(SRC_MT.tolist(), abs=1e-3)


def test_v17_uncertainty():
    passes = tensor([[0.9, 0.1, 0.0]], [[0.7, 0.2, 0.1]])
    assert uncertainty(passes).item() == pytest.approx(0.612866, abs=5e-7)
    found = [uncertainty_threshold(0.0, K) for K in (2, 3, 7)]
    assert found == pytest.approx([0.521028, 0.825810, 1.462710], abs=5e-7)
    assert uncertainty_threshold(1.0, 7) == pytest.approx(1.945910, abs=5e-7)


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if method.teacher])
def test_the_teacher_is_the_mean_of_students(method, data):
    run = classification.train(method, data, profile="ci", steps=4)
    learner, expected = run.learner, None
    for step in run:
        a = min(1 - 1 / step.number, METHODS[method].teacher)
        weights = [p.detach().clone() for p in learner.network.parameters()]
        expected = weights if expected is None else [
            a * e + (1 - a) * w for e, w in zip(expected, weights, strict=True)
        ]  # fmt: skip
    assert all((p - e).abs().max() < 1e-6 for p, e in zip(learner.teacher.parameters(), expected, strict=True))
    same = [torch.equal(a, b) for a, b in zip(learner.teacher.buffers(), learner.network.buffers(), strict=True)]
    # A teacher that answers in training has batch statistics of its own; MixMatch's is only evaluated and has none.
    assert all(same) == (method == "mixmatch") == (not METHODS[method].answers)
    assert not any(p.requires_grad for p in learner.teacher.parameters())


def test_who_is_evaluated(data):
    for method, settings in (("mixmatch", {}), ("fixmatch", {"evaluated": "teacher"}), ("src_mt", {})):
        run = classification.train(method, data, profile="ci", steps=4, **settings).finish(False)
        learner = run.learner
        used = learner.network if method == "src_mt" else learner.teacher
        with learner.evaluating():
            images = torch.cat(list(learner.batches(learner.test)))
            expected = used(images)[1].softmax(1)
            other = (learner.teacher if used is learner.network else learner.network)(images)[1].softmax(1)
            assert (learner.probabilities(learner.test) - expected).abs().max() < 1e-5
        assert (other - expected).abs().max() > 1e-3


# Of the authors' own runs, by hand: (the rate of each of their epochs or steps, the weight then).
AUTHORS = {
    "mean_teacher": [
        (math.cos(math.pi * e / 420) ** 2, math.exp(-5 * (1 - min(e, 5) / 5) ** 2)) for e in range(180)
    ],
    "src_mt": [(0.9**e, math.exp(-5 * (1 - min(e, 30) / 30) ** 2) if e > 20 else 0) for e in range(100)],
    "ua_mt": [
        ((1, 0.1, 0.01)[150 * e // 2500], math.exp(-5 * (1 - e / 40) ** 2)) for e in range(40)
    ],
    "vat": [(math.cos(7 * math.pi * n / 16000), min(1, n / 400)) for n in range(1000)],
    "mixmatch": [(1, min(1, n / 100)) for n in range(6400)],
}  # fmt: skip


@pytest.mark.parametrize("method", AUTHORS)
@pytest.mark.parametrize("profile", ["gpu", "laptop"])
def test_a_term_acts_on_the_share_of_the_learning_that_it_has_in_its_authors_run(method, profile):
    rates, weights = zip(*AUTHORS[method], strict=True)
    theirs = sum(rate * w for rate, w in AUTHORS[method]) / sum(rates)
    settings = classification.TASK.settings_for(method, profile)
    assert ramps.acts_on(method, settings) == pytest.approx(theirs, rel=0.1)
    assert ramps.acts_on(method) == pytest.approx(theirs, rel=0.05)
    assert ramps.weight(method, 1.0) == pytest.approx(weights[-1], abs=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_a_term_without_a_ramp_acts_from_the_first_step_on(method):
    assert (ramps.weight(method, 0.0) == 1) == (method not in AUTHORS)


@pytest.mark.parametrize("method", ["mean_teacher", "src_mt"])
def test_consistency_comes_with_the_learning_that_is_done(method, data):
    run = classification.train(method, data, profile="ci", steps=40, evaluate_every=40).finish(False)
    rates = [math.cos(math.pi * t / 80) ** 2 for t in range(40)]
    late = 0
    for t, row in enumerate(run.history):
        done = (sum(rates[:t]) + rates[t] / 2) / sum(rates)
        if method == "src_mt":  # epoch e of 100 begins when 1 − 0.9ᵉ of its learning is done, as good as all at 100
            epoch = min(math.floor(math.log(1 - done * (1 - 0.9**100)) / math.log(0.9)), 99)
            w = math.exp(-5 * (1 - min(epoch, 30) / 30) ** 2) if epoch > 20 else 0
            late += w > 0
        else:
            w = 400 * ramps.weight(method, done)  # 12 of 48 images have a label
        terms = row["consistency"] + row.get("relation", 0)
        assert row["loss"] == pytest.approx(row["labelled"] + w * terms, rel=0.02 if 0 < w < 1 else 1e-4)
        assert terms > 0
    assert method != "src_mt" or 0 < late < 20


def test_weights_are_kept_once_every_method_has_begun(data, monkeypatch):
    """With a validation part: before, no evaluation is kept, however good; the same step for all methods."""
    run = classification.train("baseline", data, profile="ci", steps=10, evaluate_every=1)
    run.learner.val = run.learner.test
    module = "i2pemd_lite.classification.learner"
    monkeypatch.setattr(f"{module}.classification_metrics", lambda *given: {"auc": 1 - run.number / 100})
    run.finish(False)
    assert all(row["selection"] > run.best[0] for row in run.evaluations[: run.best[1] - 1])
    begun = [all(ramps.weight(m, learned(run.settings, t)) >= 0.9 for m in METHODS) for t in range(9)] + [True]
    assert run.best[1] == 1 + begun.index(True) > 5
    # Raised, `steps` makes what was late early: it is not kept.
    run.change(steps=40)
    next(run)
    assert run.best is None


def test_ua_mt_by_hand(data):
    """With one pass and a certain teacher the loss is the mean square over images and classes."""
    run = classification.train("ua_mt", data, profile="ci", steps=2, ua_passes=1, dropout=0.0)
    learner = run.learner.train()
    for network in (learner.network, learner.teacher):  # sharper answers, so that some are sure and some are not
        network.classifier.weight.data.mul_(8)
    torch.manual_seed(3)
    found = learner.losses(1)
    torch.manual_seed(3)
    u, _, _ = learner.draw("unlabelled", 1, 36)
    x, _, _ = learner.draw("labelled", 1, 12)
    views = torch.cat([learner.view(weak, x, 1, "labelled"), learner.view(weak, u, 1, "weak")])
    p = learner.network(views)[1].softmax(1)[12:]
    first, second = (
        learner.teacher(views[12:] + (0.1 * torch.randn_like(views[12:])).clamp(-0.2, 0.2))[1].softmax(1)
        for _ in range(2)
    )
    # A cosine of 2 steps has rates 1 and ½, so (1 + ¼) / 1½ of the learning is done in step 1; of UA-MT's 2,760
    # (2,500 steps at rate 1, as many at 0.1, 1,000 at 0.01) that are the first 2,300 steps of 6,000.
    part = 2300 / 6000
    sure = -(first * first.log()).sum(1) < (0.75 + 0.25 * math.exp(-5 * (1 - part) ** 2)) * math.log(7)
    assert 0 < sure.sum() < 36
    expected = (p - second)[sure].square().mean()
    assert found["consistency"].item() == pytest.approx(expected.item(), rel=1e-3)
    assert found["sure"].item() == pytest.approx(sure.float().mean().item())


# --- VAT ----------------------------------------------------------------------------------------------------------


def test_v18_adversarial_direction():
    x = torch.tensor([[1.0, 0.0]])
    p = x.softmax(1)
    for start, expected in ((torch.tensor([[1.0, 0.2]]), 0.152741), (torch.tensor([[-1.0, 0.2]]), 0.227947)):
        d = adversarial_direction(lambda v: v, x, p, 1e-2, start=start)
        assert d.abs().flatten().tolist() == pytest.approx([0.5**0.5] * 2, abs=1e-3)
        assert d[0, 0] * d[0, 1] < 0
        assert divergence(p, x + d).item() == pytest.approx(expected, abs=5e-5)
    assert entropy(torch.tensor([[1.0, 0.0]])).item() == pytest.approx(0.582203, abs=5e-7)


def test_the_adversarial_direction_hurts_more_than_random_ones():
    torch.manual_seed(0)
    network, x = build("small", 7, width=8).train(), torch.randn(8, 3, 24, 24)
    with frozen_norms(network):
        p = network(x)[1].detach().softmax(1)
        d = adversarial_direction(lambda v: network(v)[1], x, p, 1.0)
        assert d.flatten(1).norm(dim=1).tolist() == pytest.approx([1.0] * 8, abs=1e-5)
        with torch.no_grad():
            ours = divergence(p, network(x + 5 * d)[1])
            others = [F.normalize(torch.randn_like(x).flatten(1)).view_as(x) for _ in range(9)]
            assert all(divergence(p, network(x + 5 * other)[1]) < ours / 2 for other in others)


def test_still_leaves_statistics_and_dropout_as_they_were():
    network, x = build("small", 7, width=8, dropout=0.5).train(), torch.randn(8, 3, 24, 24)
    before = {name: value.clone() for name, value in network.state_dict().items() if "running" in name}
    with frozen_norms(network):
        first, second = network(x)[1], network(x)[1]
        assert torch.equal(first, second)
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    assert not torch.equal(network(x)[1], network(x)[1])
    assert not torch.equal(network.state_dict()["bn.running_mean"], before["bn.running_mean"])


# --- MixMatch -----------------------------------------------------------------------------------------------------


def test_v14_sharpening():
    p = tensor([0.6, 0.3, 0.1], [0.4, 0.5, 0.1]).mean(0)
    assert sharpen(p, 0.5).tolist() == pytest.approx([0.595238, 0.380952, 0.023810], abs=5e-7)
    assert sharpen(p, 1.0).tolist() == pytest.approx(p.tolist(), abs=1e-12)


def test_mixtures():
    torch.manual_seed(0)
    shares = [mixture(4, 0.5)[0] for _ in range(2000)]
    assert min(shares) >= 0.5 and max(shares) <= 1
    # λ ~ Beta(½, ½) is the arcsine law: E max(λ, 1 − λ) = ½ + 1/π; the standard error of 2,000 draws is 0.004.
    assert sum(shares) / 2000 == pytest.approx(0.5 + 1 / math.pi, abs=0.02)
    assert mixture(9, 0.5)[1].sort().values.tolist() == list(range(9))


def test_unmixed_mixmatch_is_supervision_and_squares(data, monkeypatch):
    from i2pemd_lite.classification.methods import mixmatch as module
    monkeypatch.setattr(module, "mixture", lambda n, beta: (1.0, torch.arange(n)))
    run = classification.train("mixmatch", data, profile="ci", steps=4, dropout=0.0)
    learner = run.learner.train()
    found = learner.losses(1)
    x, y, _ = learner.draw("labelled", 1, 12)
    u, _, _ = learner.draw("unlabelled", 1, 36)
    W = torch.cat([learner.view(weak, v, 1, name) for v, name in ((x, "labelled"), (u, "weak 1"), (u, "weak 2"))])
    with torch.no_grad():
        logits = learner.network(W)[1]
    p = logits[12:].softmax(1)
    q = ((p[:36] + p[36:]) / 2) ** 2
    q = q / q.sum(1, keepdim=True)
    assert found["labelled"].item() == pytest.approx(F.cross_entropy(logits[:12], y).item(), rel=1e-4)
    assert found["unlabelled"].item() == pytest.approx((p - torch.cat([q, q])).square().mean().item(), rel=1e-3)
    w = 100  # after a sixty-fourth of the learning
    assert found["loss"].item() == pytest.approx((found["labelled"] + w * found["unlabelled"]).item(), rel=1e-5)


# --- all of them --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_method_resumes_to_the_same_bits(method, data, tmp_path):
    # At this threshold FlexMatch remembers somebody, whom it must not forget.
    settings = {"profile": "ci", "steps": 4, "checkpoint_every": 2, "evaluate_every": 2, "flex_tau": 0.2}
    whole = classification.train(method, data, **settings).finish(False)
    run = classification.train(method, data, folder=tmp_path / "run", **settings)
    next(run), next(run), next(run)
    again = classification.resume(tmp_path / "run")
    assert again.number == 2
    again.finish(False)
    assert again.history == whole.history and again.evaluations == whole.evaluations
    state = again.learner.state_dict()
    assert state.keys() == whole.learner.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in whole.learner.state_dict().items())
    if method == "flexmatch":
        assert torch.equal(again.learner.memory, whole.learner.memory) and (whole.learner.memory >= 0).any()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_moves_the_prototypes_of_real_images(method, data):
    run = classification.train(method, data, profile="ci", steps=2)
    first, second = run
    assert not torch.equal(first.prototypes, second.prototypes) and second.ground.gt(0).any()
    assert first.prototypes.shape == (len(CLASSES), run.learner.network.dim)


def test_methods_differ_where_they_should(data):
    """From one start and one batch, the labelled loss of those with one joint forward is the same at step 1."""
    rows = {m: classification.train(m, data, profile="ci", steps=1).finish(False).history[0] for m in METHODS}
    joint = [rows[m]["labelled"] for m in METHODS if METHODS[m].selection]
    assert len(joint) == 5 and len(set(joint)) == 1
    assert rows["filter_all"]["kept"] == rows["flexmatch"]["kept"] == 36
    assert rows["baseline"]["loss"] == rows["baseline"]["labelled"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"loss": "focal"}, "loss: expected 'plain' or .* or 'adjusted', found 'focal'"),
        ({"mean_over": "none"}, "mean_over: expected 'all' or 'selected'"),
        ({"features": "both"}, "features: expected"),
        ({"evaluated": "best"}, "evaluated: expected"),
        ({"dropout": 1.0}, "dropout: expected a number from 0, below 1"),
        ({"teacher": 1.0}, "teacher: expected"),
        ({"vat_xi": 0.0}, "vat_xi: expected a number above 0"),
        ({"ua_passes": 0}, "ua_passes: expected a whole number from 1"),
        ({"mix_weight": -1.0}, "mix_weight: expected a number from 0"),
        ({"flex_tau": 1.5}, "flex_tau: expected a number from 0 to 1"),
        ({"magnitude": 11}, "magnitude: expected a whole number from 0 to 10"),
        ({"steps": 10**16}, r"steps: expected a whole number from 1 to 10\^7, found 10000000000000000"),
        ({"learning_rate": 1e300}, r"learning_rate: expected a number from 0 to 1e30, found 1e\+300"),
        ({"split_seed": -5}, "split_seed: expected a number from 0, found -5"),
        ({"width": -5}, "width: expected a number from 0, found -5"),
        ({"n_ops": 10**9}, "n_ops: expected a whole number from 0 to 100, found"),
        ({"ua_passes": 10**9}, "ua_passes: expected a whole number from 1 to 1000, found"),
        ({"mix_beta": 1e-300}, "mix_beta: expected a number from 0.001 to 1000, found"),
        ({"labelled": 10**19}, "labelled: expected a whole number of up to 18 digits, found"),
    ],
)
def test_settings_say_what_is_wrong(settings, named):
    with pytest.raises(BadInput, match=named):
        ClassificationSettings(**settings)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"labelled": 10**11}, "what fits is labelled [0-9]+ in place of 100000000000$"),
        ({"width": 10**8}, "fits into 16.0 GiB of memory, found .* a batch; what fits is width [0-9]+ in place"),
        ({"size": 10**7}, "what fits is size [0-9]+ in place of 10000000$"),
        ({"size": 10**7, "width": 10**8}, "what fits is less of each of width, size, labelled, unlabelled$"),
    ],
)
def test_what_cannot_fit_is_told_before_anything_is_made(settings, named, data, monkeypatch):
    monkeypatch.setattr("i2pemd_lite.device.memory", lambda device: 2**34)
    monkeypatch.setattr("i2pemd_lite.classification.task.prepare", lambda *a: pytest.fail("prepared"))
    with pytest.raises(BadInput, match=named):
        classification.train("i2pemd", data, profile="ci", **settings)


def test_a_batch_has_at_most_the_images_of_the_data(data):
    with pytest.raises(BadInput, match="unlabelled: expected a batch of at most the [0-9]+ images .*, found 2000"):
        classification.train("i2pemd", data, profile="ci", unlabelled=2000)


def test_a_fixed_ground_distance_is_confidence():
    """d = 1 − s where G = 1 − I, so that I2PEMD_fix lets in the most confident."""
    o = torch.rand(36, 7, generator=torch.Generator().manual_seed(1)).mul(3).softmax(1)
    found = bands(o, o.argmax(1), fixed_ground_distance(7), o.max(1).values > 0.5, 0.2, 0.5, 20)
    assert found["near"] == found["fix"] == found["sure"] > 0


@pytest.mark.parametrize("method", ["i2pemd", "ua_mt", "vat", "mixmatch"])
def test_the_papers_network_serves_them_all(method, data):
    """A step on DenseNet-121, whose features are the 1024 pooled ones."""
    run = classification.train(method, data, profile="ci", steps=1, network="densenet121", size=32, unlabelled=6, top=4)
    step = next(run)
    assert math.isfinite(step.loss) and step.prototypes.shape == (len(CLASSES), 1024)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_in_mixed_precision(method, data):
    run = classification.train(method, data, profile="ci", steps=2, precision="bfloat16")
    for step in run:
        assert all(math.isfinite(float(value)) for value in step.losses.values())
        # A weight that was cast without gradients, and used again, would have none.
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in run.parameters)


def test_relations_are_exact_in_mixed_precision():
    A = torch.randn(48, 64, generator=torch.Generator().manual_seed(0))
    near = A + 1e-3 * torch.randn(48, 64, generator=torch.Generator().manual_seed(1))
    expected = relation(A.double(), near.double()).item()
    with torch.autocast("cpu", torch.bfloat16):
        assert relation(A, near).item() == pytest.approx(expected, rel=1e-2)
    # Rounded to 8 bits, as features are on their way through the network, they are compared as they are.
    rounded = A.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert relation(rounded, rounded.clone()) == 0


def test_t_is_asked_of_methods_that_have_one():
    assert ClassificationSettings(method="baseline", unlabelled=12).top == 24
    with pytest.raises(BadInput, match="top: expected T from 1 to the 12 unlabelled"):
        ClassificationSettings(method="fixmatch", unlabelled=12)
