"""That the benchmark runs and prints usable figures; how large they are is not a test's business."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_quick_run_prints_and_writes_finite_positive_numbers(tmp_path):
    file = tmp_path / "figures.json"
    command = [sys.executable, str(Path(__file__).with_name("bench.py")), "--quick", "--json", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    figures = json.loads(file.read_text(encoding="utf-8"))
    rows = {(row["where"], row["what"]): row for row in figures["rows"]}
    for name in ("segmentation_loss", "segmentation_loss_reference", "F.cross_entropy", "copy of the logits", "bound"):
        assert ("cpu 2x5x4x64x64", name) in rows
    for key, row in rows.items():
        assert all(name in result.stdout for name in key)
        values = [row[name] for name in ("time", "x cross-entropy", "x copy", "x bound") if name in row]
        assert values and all(math.isfinite(value) and value > 0 for value in values)
    assert rows["cpu 2x5x4x64x64", "F.cross_entropy"]["x cross-entropy"] == 1
    for K in (5, 7):  # against a label the closed form is the optimum
        assert rows[f"cpu K={K} to label", "i2pemd (Eq. 6)"]["largest error"] < 1e-12
    assert "ot.solve_batch(reg=None)" in result.stdout and "cpu" in result.stdout.splitlines()[0]
