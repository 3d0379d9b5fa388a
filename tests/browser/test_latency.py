"""That the benchmark of panels runs and prints usable figures; how large they are is not a test's business."""

import json
import sys
from contextlib import nullcontext

from masters import plant

from browser import lab as learner

sys.path.append(str(learner.ROOT / "tests" / "benchmarks"))
import bench  # noqa: E402


def test_panels_are_timed(browser, desk, lab, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(learner, "Lab", lambda *_, **__: nullcontext(lab))
    monkeypatch.setattr(learner, "Browser", lambda **_: nullcontext(browser))
    monkeypatch.setattr(learner, "Desk", lambda *_: desk)
    monkeypatch.setattr(learner, "ROOT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    for folder in (tmp_path, lab.folder):
        plant(["from i2pemd_lite.panels import instance", "instance.panel()"], folder / "notebooks", "00_instance")
    page, file = tmp_path / "panels.md", tmp_path / "figures.json"
    bench.main(["panels", "--quick", "--threads", "1", "--json", str(file), "--markdown", str(page)])
    printed = capsys.readouterr().out
    rows = json.loads(file.read_text(encoding="utf-8"))["panels"]
    assert {row["where"] for row in rows} == {"keyboard", "mouse", "page"}
    for row in rows:
        assert row["what"].startswith("00 one prediction, 3 classes: ") and row["what"] in printed and row["n"] == 4
        assert 0 < row["time"] <= row["p95"]
        assert row["where"] == "page" or 0 < row["compute"] < row["kernel"]
        assert ("p95" in row["above"]) == (row["p95"] > (16 if row["where"] == "page" else 50))  # of lesson 00
        assert f"| {row['what']} | {row['where']} | {row['time']:.1f} |" in page.read_text(encoding="utf-8")
