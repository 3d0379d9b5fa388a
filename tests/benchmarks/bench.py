"""How fast the three-term loss, the closed-form EMD and a training step are, beside what else one could call.

python tests/benchmarks/bench.py [loss | transport | step | skin | added | panels | lessons | coverage | faults | sweep
                                  | parts | race]
                                 [--quick] [--minutes N] [--screenshots]
                                 [--json FILE] [--markdown FILE] [--threads N]

In every round each contestant runs once, and the order rotates, so that whatever else the machine does hits all alike:
read the ratios. The losses are those of `loss.py`, the steps those of `step.py` and `skin.py`, the panels and lessons
those of `panels.py` and `lessons.py`; the lessons take nine minutes and are timed only when they are named. So are what
each method adds to the baseline's gradient (`added.py`), what becomes of a run that is killed, stopped, out of room or
damaged (`faults.py`), what a second worker gains a sweep (`sweep.py`), how often intervals of the tables hold the truth
(`intervals.py`), what each part of a recipe is worth (`parts.py`, which trains for hours), and how soon it is as good
as MONAI's networks (`race.py`).
"""

import argparse
import os
import statistics
import sys
import warnings
from pathlib import Path

import faults
import figures as pages
import inputs
import intervals
import lessons
import numpy as np
import panels
import torch
from added import added_rows
from loss import loss_table
from parts import part_rows
from race import race_rows
from skin import skin_rows
from step import step_rows
from sweep import sweep_rows
from timing import describe, show, timed

from i2pemd_lite import segmentation
from i2pemd_lite.__main__ import SET, read_changes
from i2pemd_lite.course.commands import words
from i2pemd_lite.emd import i2pemd
from i2pemd_lite.files import BadInput, atomic_write, write_json
from i2pemd_lite.ground import ground_distance
from i2pemd_lite.text import spoken


@spoken
def main(arguments=None):
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("table", nargs="?", choices=TABLES, help=f"default: all but {', '.join(ALONE)}")
    parser.add_argument("--quick", action="store_true", help="a small shape, few rounds: that it runs, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write panels, lessons or coverage there")
    parser.add_argument("--screenshots", action="store_true", help="with panels: pictures of all of them instead")
    parser.add_argument("--minutes", type=float, metavar="N", help="faults (2), each part (30), race (15)")
    parser.add_argument("--steps", type=int, metavar="N", help="with parts: steps of each, in place of minutes")
    parser.add_argument("--only", type=words, metavar="NAME,NAME", help="with parts: these parts; default: all")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="with parts or race: what they write")
    parser.add_argument("--set", dest="changes", **SET, help="step, parts, race: change a setting of all")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads that torch may use (all cores)")
    chosen = parser.parse_args(arguments)
    if chosen.screenshots:
        return panels.screenshots()
    torch.set_num_threads(chosen.threads)
    chosen.changes = read_changes(segmentation, chosen.changes)
    machine = describe()
    print(", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)

    figures = {"machine": machine}
    for table in [chosen.table] if chosen.table else [each for each in TABLES if each not in ALONE]:
        given = {name: value for name in OPTIONS.get(table, ()) if (value := getattr(chosen, name)) is not None}
        figures[table] = TABLES[table](chosen.quick, **given)
        show(figures[table])
    if chosen.json:
        write_json(chosen.json, figures)
    for table, module in (("panels", panels), *PAGES.items()):
        path = chosen.markdown or (table in PAGES and not chosen.quick and Path(module.__file__).with_suffix(".md"))
        if path and figures.get(table):
            page = module.markdown(figures[table], machine, f"python3 run.py bench {table}")
            with atomic_write(path) as file:
                file.write_text(page, encoding="utf-8")


# Transport


def transport_table(quick):
    """The rows of five and of seven classes, and a line on POT's batched solver."""
    print(lesson(K=5, instances=50))
    return [row for K in (5, 7) for row in emd_rows(K, instances=50 if quick else 1000)]


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


def fault_rows(quick, minutes=2.0):
    """What becomes of runs, and of inputs, each half of the time."""
    return faults.fault_rows(quick, minutes / 2) + inputs.input_rows(quick, minutes / 2)


TABLES = {"loss": loss_table, "transport": transport_table, "step": step_rows, "skin": skin_rows,
          "added": added_rows, "panels": panels.panel_rows, "lessons": lessons.lesson_rows,
          "coverage": intervals.coverage_rows, "figures": pages.figure_rows, "faults": fault_rows,
          "sweep": sweep_rows, "parts": part_rows, "race": race_rows}  # fmt: skip
OPTIONS = {"faults": ("minutes",), "parts": ("minutes", "steps", "only", "out", "changes"), "step": ("changes",),
           "race": ("minutes", "out", "changes")}  # fmt: skip
"""Which of the options a table takes."""
PAGES = {"lessons": lessons, "coverage": intervals}
"""What has a page of its own beside its module."""
ALONE = ("added", "figures", "faults", "sweep", "parts", "race", *PAGES)
"""What is run only where it is named."""

if __name__ == "__main__":
    try:
        sys.exit(main())
    except BadInput as error:
        sys.exit(f"bench: {error}")
