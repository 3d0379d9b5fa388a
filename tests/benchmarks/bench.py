"""How fast the three-term loss and the closed-form EMD are, beside what else one could call.

python tests/benchmarks/bench.py [--quick] [--json FILE] [--threads N]

Losses: median milliseconds of forward + backward on float32 logits and int64 labels. In every round each contestant
runs once, and the order rotates, so that whatever else the machine does hits all alike: read the ratios. "bound" is the
time to read logits and labels once and write the gradient once, at the speed of a copy into memory already in use.
The reference and the version without a compiler take part in every fifth round, since they take longer than all else.
"""

import argparse
import contextlib
import os
import platform
import statistics
import time
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.files import write_json
from i2pemd_lite.ground import ground_distance
from i2pemd_lite.losses import segmentation_loss, segmentation_loss_reference

SHAPES = [(2, 5, 16, 128, 128), (6, 5, 8, 256, 256)]
QUICK_SHAPES = [(2, 5, 4, 64, 64)]
OURS, YARDSTICK, COPY, BOUND = "segmentation_loss", "F.cross_entropy", "copy of the logits", "bound"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small shape, few rounds: that it runs, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads that torch may use (all cores)")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    machine = describe()
    print(", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)

    losses = []
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        for shape in QUICK_SHAPES if chosen.quick else SHAPES:
            losses += loss_rows(device, shape, rounds=3 if chosen.quick else 15)
    transport = [row for K in (5, 7) for row in emd_rows(K, instances=50 if chosen.quick else 1000)]
    show([*losses, *transport])
    print(lesson(K=5, instances=50))
    if chosen.json:
        write_json(chosen.json, {"machine": machine, "rows": [*losses, *transport]})


def describe():
    """What the figures depend on."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    found = {"cpu": cpu, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    return found | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


# Losses


def loss_rows(device, shape, rounds):
    """One row for each contestant: what, device, shape, ms, ratios to cross-entropy, to a copy and to the bound."""
    seldom = (f"{OURS}_reference", f"{OURS}, not compiled")
    milliseconds = interleaved(contestants(*batch(device, shape)), rounds, device, seldom)
    logits, labels = (4 * np.prod(shape), 8 * np.prod(shape) / shape[1])
    # A copy moves the logits twice.
    milliseconds[BOUND] = milliseconds.pop("copy into place") * (2 * logits + labels) / (2 * logits)
    return [
        {
            "what": what,
            "where": f"{device} {'x'.join(map(str, shape))}",
            "time": value,
            "unit": "ms",
            "x cross-entropy": value / milliseconds[YARDSTICK],
            "x copy": value / milliseconds[COPY],
            "x bound": value / milliseconds[BOUND],
        }
        for what, value in milliseconds.items()
    ]


def batch(device, shape, seed=0):
    """Logits, labels in organ-like blobs, labels drawn voxel by voxel, and a ground distance."""
    generator = torch.Generator().manual_seed(seed)
    B, K, *space = shape
    coarse = torch.randn(B, K, *(max(2, size // 16) for size in space), generator=generator)
    labels = F.interpolate(coarse, space, mode="trilinear").argmax(1)
    logits = torch.randn(shape, generator=generator) + 2 * F.one_hot(labels, K).movedim(-1, 1)
    drawn = torch.randint(K, labels.shape, generator=generator)
    ground = ground_distance(torch.randn(K, 16, generator=generator))
    return [each.to(device) for each in (logits, labels, drawn, ground)]


def contestants(logits, labels, drawn, ground):
    """Name to a function without arguments that does one forward + backward."""
    from monai.losses import DiceCELoss

    dice_ce = DiceCELoss(softmax=True, to_onehot_y=True)
    leaf, buffer = logits.clone().requires_grad_(), torch.empty_like(logits)

    def both_ways(loss, *given):
        def run():
            leaf.grad = None
            loss(leaf, *given).backward()

        return run

    def plain():
        with mock.patch.dict(os.environ, I2PEMD_COMPILE="0"):
            both_ways(segmentation_loss, labels, ground)()

    return {
        OURS: both_ways(segmentation_loss, labels, ground),
        f"{OURS}, labels without any order": both_ways(segmentation_loss, drawn, ground),
        f"{OURS}, not compiled": plain,
        f"{OURS}_reference": both_ways(segmentation_loss_reference, labels, ground),
        YARDSTICK: both_ways(F.cross_entropy, labels),
        "monai DiceCELoss (two terms)": both_ways(dice_ce, labels[:, None]),
        COPY: logits.clone,
        "copy into place": lambda: buffer.copy_(logits),
    }


def interleaved(functions, rounds, device, seldom=(), warm_up=2):
    """Median milliseconds of each function: every one runs once a round, in an order that rotates."""
    names, taken = list(functions), {name: [] for name in functions}
    for number in tqdm(range(rounds + warm_up), desc=f"rounds on {device}", disable=None, leave=False):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            if name in seldom and number % 5 != 1:
                continue
            value = timed(functions[name], device)
            if number >= warm_up or rounds < 5:
                taken[name].append(value)
    return {name: statistics.median(values) for name, values in taken.items()}


def timed(function, device):
    if device == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        end.synchronize()
        return start.elapsed_time(end)
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1e3


# Transport


def histograms(K, instances, seed=0):
    """Predictions p, labels k, any histograms q, and a ground distance G."""
    random = np.random.default_rng(seed)
    ground = ground_distance(torch.from_numpy(random.normal(size=(K, 16)))).numpy()
    p, q = random.dirichlet(np.ones(K), (2, instances))
    return p, random.integers(K, size=instances), q, ground


def emd_rows(K, instances):
    """Microseconds an instance and the largest error, against a label (one-hot) and between any two histograms."""
    import ot

    p, k, q, G = histograms(K, instances)
    costs = np.broadcast_to(G, (instances, K, K)).copy()
    probabilities, labels, ground = (torch.from_numpy(each) for each in (p, k, G))

    def one_at_a_time(b):
        return np.array([ot.emd2(x, y, G) for x, y in zip(p, b, strict=True)])

    def sinkhorn(b):
        with np.errstate(divide="ignore"):  # log 0, where a label has no mass
            return ot.batch.solve_batch(costs, reg=0.05, a=p, b=b).value_linear

    rows = []
    for target, b in (("label", np.eye(K)[k]), ("any histogram", q)):
        exact = one_at_a_time(b)
        solvers = {"ot.emd2 one at a time": one_at_a_time, "ot.solve_batch Sinkhorn, reg 0.05": sinkhorn}
        if target == "label":
            solvers = {"i2pemd (Eq. 6)": lambda _: i2pemd(probabilities, labels, ground).numpy()} | solvers
        for what, solve in solvers.items():
            values = solve(b)
            median = statistics.median(timed(lambda solve=solve, b=b: solve(b), "cpu") for _ in range(3))
            rows.append(
                {
                    "what": what,
                    "where": f"cpu K={K} to {target}",
                    "time": median / instances * 1e3,
                    "unit": "us each",
                    "largest error": float(np.abs(values - exact).max()),
                }
            )
    return rows


def lesson(K, instances):
    """A line on POT's batched solver without regularisation: exact by name, the independent coupling by result."""
    import ot

    p, _, q, G = histograms(K, instances)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ot.batch.solve_batch(np.broadcast_to(G, (instances, K, K)).copy(), reg=None, a=p, b=q)
    exact = np.array([ot.emd2(x, y, G) for x, y in zip(p, q, strict=True)])
    off = np.abs(found.plan - p[:, :, None] * q[:, None]).max()
    ratio = np.median(found.value_linear / exact)
    if off < 1e-6 and ratio > 1.01:
        return (
            f"WARNING: ot.solve_batch(reg=None) of POT {ot.__version__} is no exact solver: its plans are the"
            f" independent coupling a b^T to {off:.0e} and cost {ratio:.1f} times the optimum. Check solvers."
        )
    return f"ot.solve_batch(reg=None) of POT {ot.__version__}: cost {ratio:.6f} times the optimum."


def show(rows):
    """One table; a cell that does not apply is empty."""
    columns = ["where", "what", "time", "unit", "x cross-entropy", "x copy", "x bound", "largest error"]
    table = [columns]
    for row in rows:
        cells = [row.get(name, "") for name in columns]
        table.append([f"{cell:.1e}" if name == "largest error" and cell != "" else f"{cell:.2f}"
                      if isinstance(cell, float) else str(cell)
                      for name, cell in zip(columns, cells, strict=True)])  # fmt: skip
    widths = [max(len(line[column]) for line in table) for column in range(len(columns))]
    for line in table:
        cells = [cell.ljust(width) if column in (0, 1, 3) else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(line, widths, strict=True))]  # fmt: skip
        print("  ".join(cells).rstrip())


if __name__ == "__main__":
    main()
