"""That the benchmark runs and prints usable figures; how large they are is not a test's business."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest


def figures_of(table, tmp_path):
    """What a quick run writes and prints, each name of it being in the printed table."""
    file = tmp_path / "figures.json"
    command = [sys.executable, str(Path(__file__).with_name("bench.py")), table, "--quick", "--threads", "1"]
    command += ["--json", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    figures = json.loads(file.read_text(encoding="utf-8"))
    assert figures.keys() == {"machine", table} and "cpu" in result.stdout.splitlines()[0]
    rows = {(row["where"], row["what"]): row for row in figures[table]}
    assert rows and all(name in result.stdout for key in rows for name in key)
    return rows, result.stdout


def positive(row):
    names = ("time", "x cross-entropy", "x copy", "x bound", "x MONAI loop", "x its memory", "peak MB", "parameters")
    values = [row[name] for name in names if name in row]
    return values and all(math.isfinite(value) and value > 0 for value in values)


@pytest.mark.slow
def test_losses_are_timed(tmp_path):
    rows, _ = figures_of("loss", tmp_path)
    for name in ("segmentation_loss", "segmentation_loss_reference", "F.cross_entropy", "copy of the logits", "bound"):
        assert ("cpu 2x5x4x64x64", name) in rows
    assert all(positive(row) for row in rows.values())
    assert rows["cpu 2x5x4x64x64", "F.cross_entropy"]["x cross-entropy"] == 1


@pytest.mark.slow
def test_transport_is_timed_and_exact(tmp_path):
    rows, printed = figures_of("transport", tmp_path)
    assert all(positive(row) for row in rows.values())
    for K in (5, 7):  # against a label the closed form is the optimum
        assert rows[f"cpu K={K} to label", "i2pemd (Eq. 6)"]["largest error"] < 1e-12
    assert "ot.solve_batch(reg=None)" in printed


@pytest.mark.slow
def test_steps_are_timed_beside_monai(tmp_path):
    rows, _ = figures_of("step", tmp_path)
    rows = {what: row for (_, what), row in rows.items()}
    steps = {what: row for what, row in rows.items() if "time" in row}
    assert list(steps)[0] == "joint_sepbn_i2pemd" and all(positive(row) for row in steps.values())
    assert steps["MONAI loop, our UNet"]["x MONAI loop"] == 1
    assert steps["joint"]["parameters"] == steps["MONAI loop, our UNet"]["parameters"]
    theirs = steps["MONAI loop, MONAI's UNet"]["parameters"]
    assert 0.8 < theirs / steps["MONAI loop, our UNet"]["parameters"] < 1.25
    assert sys.platform != "linux" or steps["joint_sepbn_i2pemd"]["peak MB"] > 1
    shares = {what: row["% of a step"] for what, row in rows.items() if what not in steps}
    for what in ("the batch", "prototypes (Eq. 10, 11)", "ground distance (Eq. 3-5)"):
        assert 0 < shares[what] < 100
    assert all(math.isfinite(share) for share in shares.values())
