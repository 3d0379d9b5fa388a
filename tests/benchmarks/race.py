"""DOC on held-back scans against seconds of training: the preset "beyond" beside the loop of MONAI's tutorials.

python3 run.py bench race --out FOLDER [--minutes N] [--set NAME=VALUE]

All have the same prepared scans, split, patch, precision and number of patches a step, and so many minutes of this
process's own time, at whose end their schedules end; evaluations are not counted. The MONAI loop is that of the
tutorial on BTCV: patches around an organ or not alike often, mirrored and turned by right angles, other intensities,
`DiceCELoss`, AdamW, blocks at half overlap under a Gaussian. Its rate falls from 1e-3 by a cosine, where the tutorial
has 1e-4 for 25,000 steps. Of every prediction the largest piece of each organ is kept.

The folder has race.json, and race.svg, a line for each. Start it with `--threads 1` where another process has a core.
"""

import math
import time
from pathlib import Path

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from parts import pace
from step import JOINT, MONAIS, OURS, MonaiLoop, as_large, settings_for

from i2pemd_lite import segmentation
from i2pemd_lite.files import atomic_write, write_json
from i2pemd_lite.segmentation.learner import largest_pieces
from i2pemd_lite.segmentation.report import doc_row, summary
from i2pemd_lite.tables.report import without_nan

MARKS = 6  # evaluations, evenly over the time
RATE = 1e-3


def race_rows(quick, out=Path("out/race"), minutes=15.0, changes=None):
    """A row for each contestant and evaluation."""
    name, changes = "ci" if quick else None, {"preset": "beyond"} | (changes or {})
    settings, data, seconds = settings_for(JOINT, name, changes), segmentation.load(), 0.2 if quick else 60 * minutes
    marks = 2 if quick else MARKS
    steps = max(marks, round(seconds / pace(data, changes | {"profile": name})))
    ours = _Ours(segmentation.train(OURS, data, name, **changes, steps=steps + 1, evaluate_every=steps + 1), steps)
    learner, rows = ours.run.learner, _rows(OURS, ours, ours.run.learner.test_cases, seconds, marks)
    for what, make in MONAIS.items():
        torch.manual_seed(0)
        loop = _Theirs(as_large(make, settings), settings, learner.training_cases)
        rows += _rows(what, loop, learner.test_cases, seconds, marks)
    write_json(out / "race.json", {"rows": rows})
    with atomic_write(out / "race.svg") as file, rc_context({"svg.fonttype": "none", "svg.hashsalt": "race"}):
        _figure(rows).savefig(file, format="svg", metadata={"Date": None})
    return rows


def _rows(what, contestant, cases, seconds, marks):
    """Train it for so many seconds, and evaluate it at so many marks, evenly over them."""
    rows, share, spent, number = [], 0.0, 0.0, 0
    while share < 1:
        began = time.process_time()
        contestant()
        spent, number = spent + (time.process_time() - began) / torch.get_num_threads(), number + 1
        share = contestant.done(spent / seconds)
        if share >= (len(rows) + 1) / marks:
            print(f"{what}: evaluated after {spent:.0f} of {seconds:.0f} seconds, {number} steps", flush=True)
            with torch.inference_mode():
                found = summary([doc_row(case, contestant.probabilities(case)) for case in cases])
            row = {"where": f"{spent:.0f} s", "what": what, "seconds": spent, "steps": number}
            rows += without_nan([row | {"DOC": found["doc"], "CT": found["ct"], "MR": found["mr"]}])
    return rows


class _Ours:
    """A run of so many steps as fit into the time, but for a last one, with which its own evaluation would come."""

    def __init__(self, run, steps):
        self.run, self.steps = run, steps

    def __call__(self):
        next(self.run)

    def done(self, share):
        return self.run.number / self.steps

    def probabilities(self, case):
        with self.run.learner.evaluating():
            return self.run.learner.probabilities(case)


class _Theirs(MonaiLoop):
    """The loop of MONAI's tutorial on BTCV, whose rate ends with the time."""

    def __init__(self, network, settings, cases):
        from monai.transforms import RandCropByPosNegLabeld, RandFlipd, RandRotate90d, RandShiftIntensityd

        keys, self.patch = ("image", "label"), settings.patch
        around = RandCropByPosNegLabeld(keys, "label", self.patch, pos=1, neg=1, num_samples=1, allow_smaller=True)
        mirrored = [RandFlipd(keys, prob=0.1, spatial_axis=axis) for axis in range(3)]
        turned = RandRotate90d(keys, prob=0.1, max_k=3, spatial_axes=(1, 2))
        views = [around, *mirrored, turned, RandShiftIntensityd("image", 0.1, prob=0.5)]
        super().__init__(network, settings, cases, views)
        self.optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-5)

    def done(self, share):
        for group in self.optimiser.param_groups:
            group["lr"] = RATE * (1 + math.cos(math.pi * min(share, 1))) / 2
        return share

    def probabilities(self, case):
        from monai.inferers import sliding_window_inference

        def answer(images):
            with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.mixed):
                return self.network(images).float()

        self.network.eval()
        image = case.image[None, None].to(self.device)
        logits = sliding_window_inference(image, self.patch, 2, answer, overlap=0.5, mode="gaussian")
        self.network.train()
        return largest_pieces(logits[0].softmax(0).cpu())


def _figure(rows):
    """DOC against minutes, a line for each contestant."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for what in dict.fromkeys(row["what"] for row in rows):
        own = [row for row in rows if row["what"] == what]
        axes.plot([row["seconds"] / 60 for row in own], [row["DOC"] for row in own], "o-", label=what)
    axes.set(xlabel="minutes of training", ylabel="DOC (%) on held-back scans")
    axes.legend()
    return figure
