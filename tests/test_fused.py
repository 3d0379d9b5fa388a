"""The fast pass against its definition, F.cross_entropy, finite differences, and itself by another route."""

import math
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from child import started

from i2pemd_lite import fused
from i2pemd_lite.files import BadInput
from i2pemd_lite.fused import ClassStatistics, class_statistics

NAMES = ("counts", "nll", "mass", "squares")


@pytest.fixture(params=["compiled", "torch"])
def route(request, monkeypatch):
    """Both implementations, at every size; the compiled one where there is a compiler."""
    if request.param == "torch":
        monkeypatch.setenv("I2PEMD_COMPILE", "0")
    else:
        need_compiler()
    monkeypatch.setattr(fused, "SMALL", 1)
    return request.param


def need_compiler():
    """A compiler that is there has to serve: its failing is no reason to skip."""
    if not os.environ.get("CC") and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler here")
    assert fused._compiled(5) is not None


def batch(shape, seed=0, ignored=0.1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator, dtype=dtype) * 4
    labels = torch.randint(shape[1], (shape[0], *shape[2:]), generator=generator)
    skip = torch.rand(labels.shape, generator=generator) < ignored
    return logits, labels.masked_fill(skip, -100)


def definition(logits, labels, ignore_index=-100):
    """`class_statistics`, written as it is defined."""
    z, y = logits.reshape(*logits.shape[:2], -1), labels.reshape(len(labels), -1).long()
    valid = y != ignore_index
    here = F.one_hot(torch.where(valid, y, 0), z.shape[1]) * valid[..., None].to(z.dtype)
    log_p = z.log_softmax(1)
    p = log_p.exp()
    return ClassStatistics(
        counts=here.sum(1),
        nll=-torch.einsum("bvk,bkv->bk", here, log_p),
        mass=torch.einsum("bvk,biv->bki", here, p),
        squares=torch.einsum("biv,bv->bi", p.square(), valid.to(z.dtype)),
    )


def weighted(statistics, seed=1):
    """A scalar in which every sum has its own random weight, so that a gradient that is wrong anywhere shows."""
    generator = torch.Generator().manual_seed(seed)
    fields = (statistics.nll, statistics.mass, statistics.squares)
    return sum((torch.randn(each.shape, generator=generator).to(each) * each).sum() for each in fields)


def naming(name):
    return lambda text: f"{name}: {text}"


def assert_same(logits, labels, ignore_index=-100, rtol=2e-6, atol=2e-6):
    """Values and gradients agree with the definition taken in float64. float32 rounds at 6e-8 an operation."""
    fast, exact = logits.clone().requires_grad_(), logits.double().clone().requires_grad_()
    ours = class_statistics(fast, labels, ignore_index)
    theirs = definition(exact, labels, ignore_index)
    for name, a, b in zip(NAMES, ours, theirs, strict=True):
        assert a.dtype == (logits.dtype if logits.dtype == torch.float64 else torch.float32)
        torch.testing.assert_close(a.double(), b, rtol=rtol, atol=atol * 10, msg=naming(name))
    weighted(ours).backward()
    weighted(theirs).backward()
    assert fast.grad.shape == logits.shape
    torch.testing.assert_close(fast.grad.double(), exact.grad, rtol=rtol * 10, atol=atol * 10)


@pytest.mark.parametrize("classes", [2, 3, 5, 7, 16, 17])
@pytest.mark.parametrize("space", [(), (1,), (1000,), (9, 31), (3, 20, 40)])
def test_is_its_definition(route, classes, space):
    assert_same(*batch((3, classes, *space), seed=classes))


@pytest.mark.parametrize("voxels", [4095, 32768, 32769, 70001])
def test_pieces_and_chunks_leave_no_voxel_out(route, voxels, monkeypatch):
    monkeypatch.setattr(fused, "CHUNK", 10_000)
    assert_same(*batch((2, 3, voxels)), rtol=5e-6)


def test_float64_stays_exact(route):
    assert_same(*batch((2, 5, 6, 7), dtype=torch.float64), rtol=1e-12, atol=1e-13)


def test_gradcheck(route):
    logits, labels = batch((2, 4, 3, 2), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: class_statistics(z, labels)[1:], (logits.requires_grad_(),))


def test_finite_differences_in_float32(route):
    """Central differences, independent of autograd: h = 0.02 leaves an error of h squared and one of 1e-6 / h."""
    logits, labels = batch((1, 5, 64), ignored=0.2)
    logits.requires_grad_()
    weighted(class_statistics(logits, labels)).backward()
    for voxel in (0, 17, 63):
        for k in range(5):
            step = torch.zeros_like(logits)
            step[0, k, voxel] = 0.02
            with torch.no_grad():
                up, down = (weighted(class_statistics(logits + s * step, labels)).item() for s in (1, -1))
            assert (up - down) / 0.04 == pytest.approx(logits.grad[0, k, voxel].item(), abs=3e-3)


def test_cross_entropy_follows(route):
    logits, labels = batch((2, 5, 40, 50))
    a, b = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    statistics = class_statistics(a, labels)
    ours = statistics.nll.sum() / statistics.counts.sum()
    theirs = F.cross_entropy(b, labels)
    torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=0)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-9)


def test_mass_and_squares_keep_what_must_hold(route):
    logits, labels = batch((2, 5, 3000), ignored=0)
    statistics = class_statistics(logits, labels)
    torch.testing.assert_close(statistics.mass.sum(2), statistics.counts, rtol=1e-6, atol=0)
    assert statistics.counts.sum() == labels.numel()
    assert (statistics.squares <= statistics.mass.sum(1)).all()


def test_ignored_voxels_count_nowhere(route):
    logits, labels = batch((2, 5, 900), ignored=0.5)
    logits.requires_grad_()
    statistics = class_statistics(logits, labels)
    weighted(statistics).backward()
    gone = (labels == -100)[:, None].expand_as(logits)
    assert (logits.grad[gone] == 0).all() and (logits.grad[~gone] != 0).float().mean() > 0.9
    other = torch.where(gone, logits.detach() + 7, logits.detach())
    for a, b in zip(statistics, class_statistics(other, labels), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("ignore_index", [0, 2, 255])
def test_any_label_can_be_the_ignored_one(route, ignore_index):
    logits, labels = batch((2, 3, 500), ignored=0)
    if ignore_index == 255:
        labels[:, ::3] = 255
    assert_same(logits, labels, ignore_index)


def test_all_ignored_and_absent_classes(route):
    logits, labels = batch((2, 5, 300))
    assert_same(logits, torch.full_like(labels, -100))
    assert_same(logits, torch.full_like(labels, 3))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_label_types(route, dtype):
    logits, labels = batch((2, 5, 700), ignored=0)
    expected = class_statistics(logits, labels)
    for a, b in zip(class_statistics(logits, labels.to(dtype)), expected, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("size", [1e4, 1e2, 1e-3])
def test_extreme_logits_are_exact(route, size):
    """Where float32 has spacing s at a logit, the sums can only be right to about s."""
    logits, labels = batch((1, 5, 600))
    logits = logits.sign() * size
    assert_same(logits, labels, rtol=2e-6)


def test_infinities_and_nan(route):
    logits, labels = batch((1, 5, 600), ignored=0)
    labels[labels == 4] = 0
    logits[:, 4] = -torch.inf  # class 4 is masked out, as padding logits are
    four = class_statistics(logits[:, :4], labels)
    five = class_statistics(logits, labels)
    torch.testing.assert_close(five.nll[:, :4], four.nll, rtol=1e-6, atol=0)
    assert (five.mass[..., 4] == 0).all()
    logits[0, 1, 5] = torch.nan
    assert class_statistics(logits, labels).nll.isnan().any(), "a NaN must not pass unseen"


def test_three_million_voxels_sum_to_five_digits(route):
    """One confident class: 3 million small losses next to few large ones is where float32 sums go wrong."""
    logits, labels = batch((1, 3, 48, 256, 256), ignored=0)
    logits[:, 0] += 12
    labels[:] = 0
    labels[0, 0, 0, :50] = 1
    ours, exact = class_statistics(logits, labels), definition(logits.double(), labels)
    for name, a, b in zip(NAMES, ours, exact, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-6, msg=naming(name))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(route, dtype):
    logits, labels = batch((2, 5, 700))
    half = logits.to(dtype).requires_grad_()
    full = half.detach().float().requires_grad_()
    a, b = class_statistics(half, labels), class_statistics(full, labels)
    for x, y in zip(a, b, strict=True):
        assert torch.equal(x, y)
    weighted(a).backward()
    weighted(b).backward()
    assert torch.equal(half.grad, full.grad.to(dtype))


def test_autocast_does_not_round_the_sums(route):
    logits, labels = batch((2, 5, 700))
    expected = class_statistics(logits, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits.requires_grad_()
        found = class_statistics(logits, labels)
        weighted(found).backward()
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)
    assert logits.grad.dtype == torch.float32


def views(logits, labels):
    """The same values in other memory."""
    yield "channels last", logits.contiguous(memory_format=torch.channels_last_3d), labels
    yield "a crop", F.pad(logits, (1, 2, 3, 1))[..., 3:-1, 1:-2], F.pad(labels, (2, 2))[..., 2:-2]
    yield "transposed", logits.mT.contiguous().mT, labels.mT.contiguous().mT
    yield "every second sample", logits.repeat_interleave(2, 0)[::2], labels.repeat_interleave(2, 0)[::2]
    yield "classes flipped in memory", logits.flip(1).contiguous().flip(1), labels
    yield "expanded", logits[:1].expand_as(logits), labels


def test_memory_layout_changes_nothing(route):
    for name, z, y in views(*batch((2, 5, 4, 12, 50))):
        fast = z.detach().requires_grad_()
        plain = z.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
        weighted(class_statistics(fast, y)).backward()
        weighted(definition(plain, y)).backward()
        torch.testing.assert_close(fast.grad, plain.grad, rtol=2e-5, atol=2e-5, msg=naming(name))


def test_callers_side_by_side_leave_the_number_of_threads_as_it_was():
    """The second comes while the first is at work, and would end after it."""
    logits, before = torch.zeros(1, 1, 4 * fused.CHUNK), torch.get_num_threads()
    begun, joined, ended = (threading.Event() for _ in range(3))

    def first():
        fused._by_chunk(lambda *_: begun.set() or joined.wait(0.3), logits)
        ended.set()

    def second():
        begun.wait(10)
        fused._by_chunk(lambda *_: joined.set() or ended.wait(0.3), logits)

    try:
        torch.set_num_threads(2)
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(first), pool.submit(second)]:
                done.result()
        with ThreadPoolExecutor(1) as pool:  # each thread keeps a number of its own; a new one takes that of all
            assert pool.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)


def test_threads_change_no_bit(route):
    logits, labels = batch((2, 5, 100_000))
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            z = logits.clone().requires_grad_()
            statistics = class_statistics(z, labels)
            weighted(statistics).backward()
            found.append([*statistics, z.grad])
    finally:
        torch.set_num_threads(before)
    if route == "compiled":  # torch's own matrix product does not promise it
        assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=2e-6, atol=1e-6)


def test_bad_input_is_named(route):
    logits, labels = batch((2, 5, 20), ignored=0)
    for bad, message in [
        ((logits[:, :1], labels), "logits: expected .* K at least 2"),
        ((logits[0, 0], labels), "logits"),
        ((logits.long(), labels), "logits: expected a floating"),
        ((logits, labels.float()), "labels: expected integers, found torch.float32"),
        ((logits, labels > 2), "labels: expected integers"),
        ((logits, labels[:, None]), "labels: expected shape .2, 20. .* channel axis"),
        ((logits, labels[:, :19]), "labels: expected shape"),
        ((logits, labels.to("meta")), "labels: expected them on cpu"),
    ]:
        with pytest.raises(BadInput, match=message):
            class_statistics(*bad)


@pytest.mark.parametrize("value", [5, -1, 255, 2**32 + 1])
def test_a_label_that_is_no_class_is_refused(route, value):
    logits, labels = batch((2, 5, 20))
    labels[1, 7] = value
    with pytest.raises(BadInput, match="labels: expected 0 to 4 or ignore_index -100"):
        class_statistics(logits, labels)


def test_off_the_cpu_nothing_waits_for_a_value():
    """On tensors without data, any look at a value raises."""
    logits, labels = torch.empty(2, 5, 700, device="meta"), torch.empty(2, 700, dtype=torch.long, device="meta")
    sums = fused._torch_sums(logits, labels, -100)
    assert [tuple(each.shape) for each in sums] == [(2, 5), (2, 5), (2, 5, 5), (2, 5)]
    assert fused._torch_gradient(logits, labels, -100, *sums[1:]).shape == logits.shape
    assert len(fused._by_chunk(lambda *_: None, logits.repeat(1, 1, 1000))) == 2  # the whole rows, and what is left


def print_sums():
    for K in (2, 3, 3):
        print(class_statistics(torch.zeros(1, K, 2**15), torch.zeros(1, 2**15, dtype=torch.long)).nll.sum().item())


SCRIPTS = {  # compilers that fail in their own way
    "bytes": r"printf '\377\n' >&2; exit 1",
    "no symbols": 'while [ "$1" != -o ]; do shift; done; echo "int x;" | cc -shared -fPIC -x c - -o "$2"',
}


@pytest.mark.parametrize("compiler", ["a-compiler-that-does-not-exist", "false", " ", *SCRIPTS])
def test_without_a_compiler_it_says_so_once_and_goes_on(compiler, tmp_path):
    out, err = tmp_path / "out", tmp_path / "err"
    if compiler in SCRIPTS:
        (tmp_path / "cc").write_text(f"#!/bin/sh\n{SCRIPTS[compiler]}\n")
        (tmp_path / "cc").chmod(0o755)
        compiler = str(tmp_path / "cc")
    process = started(print_sums, out=out, err=err, CC=compiler, PATH="/usr/bin:/bin", I2PEMD_COMPILE="1")
    process.join(120)
    assert process.exitcode == 0, err.read_text()
    expected = [2**15 * math.log(K) for K in (2, 3, 3)]
    assert [float(line) for line in out.read_text().split()] == pytest.approx(expected, rel=1e-6)
    assert err.read_text().count("plain torch") == 1, err.read_text()


def test_a_wrongly_compiled_library_is_not_used(monkeypatch):
    need_compiler()
    assert fused._agrees(fused._compiled(5), 5)
    right = fused._compiled_gradient
    monkeypatch.setattr(fused, "_compiled_gradient", lambda *given: right(*given) * 1.01)
    assert not fused._agrees(fused._compiled(5), 5)
