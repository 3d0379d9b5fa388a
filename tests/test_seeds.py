"""The panels of rows compared seed by seed and of a recipe's parts, and the committed measurements that they show."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from i2pemd_lite.files import BadInput, root
from i2pemd_lite.panels import parts
from i2pemd_lite.panels import seeds as panels
from i2pemd_lite.segmentation import paper
from i2pemd_lite.tables import statistics
from i2pemd_lite.tables.results import origins


def made(ours=(80.0, 81.0, 83.0), theirs=(79.0, 80.5, 81.0)):
    rows = [("joint", *row) for row in enumerate(theirs)] + [("joint_sepbn_i2pemd", *row) for row in enumerate(ours)]
    return panels._measured("Table 1, DOC", "overall DOC", [*rows, ("ummkd", 7, 80.0)])


def test_rows_are_paired_by_seed():
    each = made()
    each.values["joint"][9] = 10.0  # a seed that the other row lacks
    found = panels.compute(each, "joint", 5)
    assert found.seeds == [0, 1, 2] and (found.ours - found.theirs).tolist() == [1.0, 0.5, 2.0]
    assert found.mean == statistics.interval([1.0, 0.5, 2.0]) and found.gap == pytest.approx(91.8 - 89.1)
    assert list(panels.pairs([each])) == ["Table 1, DOC: Joint+sepBN+I2PEMD minus Joint (3 seeds)"]


def test_where_the_paper_misprints_a_mean_its_organs_are_believed():
    printed = made().paper
    assert printed["individual"] == pytest.approx(90.5325) and printed["joint_i2pemd"] == 90.0
    assert printed["joint_sepbn_i2ped"] == paper.TABLE3["joint_sepbn_i2ped"]


MAIN = {"segmentation": {"joint", "joint_sepbn", "joint_sepbn_i2pemd"},
        "segmentation-beyond-rows": {"joint", "joint_sepbn", "joint_sepbn_i2pemd_fix", "joint_sepbn_i2pemd"},
        "segmentation-beyond-few": {"joint", "joint_sepbn", "joint_sepbn_i2pemd_fix", "joint_sepbn_i2pemd"},
        "classification": {"upper_bound", "baseline", "fixmatch", "i2pemd_fix", "i2pemd"}}  # fmt: skip


def test_the_committed_measurements_are_those_of_the_tables():
    for each, (task, file, column) in zip(panels.committed(), [
        ("segmentation", "table1", "mean"), ("classification", "table4", "auc"), ("classification", "table4", "f1"),
        ("segmentation-beyond-rows", "table1", "mean"), ("segmentation-beyond-few", "table1", "mean")
    ], strict=True):  # fmt: skip
        rows = json.loads((root() / "data" / "results" / task / f"{file}.json").read_text(encoding="utf-8"))["rows"]
        assert {row["method"] for row in rows} == each.values.keys() - {"filter_all"}  # which Table 5 has
        assert {row["method"] for row in rows if row["seeds"] >= 3} >= MAIN[task]
        for row in rows:
            values = each.values[row["method"]]
            assert len(values) == row["seeds"] and np.mean(list(values.values())) == pytest.approx(row[column])


def test_the_committed_verdicts_are_those_of_the_committed_seeds():
    rows = json.loads((root() / "data/results/classification/comparison.json").read_text(encoding="utf-8"))["rows"]
    for each, figure in zip(panels.committed()[1:3], ("auc", "f1"), strict=True):
        ours = each.values["i2pemd"]
        for row in rows:
            found = statistics.interval([ours[seed] - value for seed, value in each.values[row["method"]].items()])
            ends = np.array([row[f"{figure} seeds {end}"] for end in ("low", "high")], dtype=float)
            assert (found.n, found.verdict) == (row["seeds"], row[f"{figure} verdict"])
            assert (found.low, found.high) == pytest.approx(ends, nan_ok=True)


def test_what_the_lesson_says_of_the_committed_runs_holds():
    doc = panels.committed()[0]
    found = panels.compute(doc, "joint_sepbn", 3)
    assert found.needed == 6 and found.gap == pytest.approx(1.1)
    assert [statistics.needed(found.gap, sd) for sd in statistics.sd_interval(found.mean.sd, 3)] == [4, 151]


def test_the_panel_shows_every_pair_and_says_what_it_takes(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")
    shown = panels.panel(panels.committed())
    pictures = set()
    for pair in shown.controls["pair"].options:
        shown.set(pair=pair)
        pictures.add(shown.image.value)
        found = shown.result.mean
        if found.n == 1:
            assert "you need two seeds" in shown.words and "seeds needed" not in shown.numbers
            continue
        assert (("holds 0" in shown.words) == (found.low <= 0 <= found.high)) and f"{found.mean:+.2f}" in shown.words
        assert shown.numbers["seeds needed"] == str(shown.result.needed)
    assert len(pictures) == len(shown.controls["pair"].options)
    shown.set(pair=shown.controls["pair"].options[0])
    chances = []
    for n in (2, 10, 60):
        shown.controls["n"].value = n
        chances.append(shown.result.power)
    assert chances == sorted(chances) and shown.numbers["chance with 60 seeds"] == "100 %"


def test_rows_that_are_alike_and_rows_without_a_partner(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")
    same = panels.panel([made(ours=(80.0, 81.0), theirs=(80.0, 81.0))])
    assert same.result.needed == 2 and "+0.00" in same.words
    with pytest.raises(BadInput, match="common seed"):
        panels.panel([panels._measured("Table 1", "overall DOC", [("joint", 0, 1.0)])])


def test_luck_is_the_spread_of_differences_between_runs_of_one_seed():
    runs = json.loads((root() / "data/results/segmentation-beyond-rows/runs.json").read_text(encoding="utf-8"))["rows"]
    doc = {(row["method"], row["seed"]): row["overall DOC"] for row in runs}
    names = {name for name, _ in doc} - {"joint_sepbn_i2pemd"}
    apart = np.array([[doc["joint_sepbn_i2pemd", seed] - doc[name, seed] for seed in (0, 1, 2)] for name in names])
    sd = np.sqrt(apart.var(1, ddof=1).mean())
    assert parts.committed().luck["DOC"] == pytest.approx(stats.t(6).interval(0.95)[1] * sd)


def test_what_lesson_05_says_of_augmentation_holds():
    found = parts.committed()
    assert found.worth["no augmentation"] > found.luck["DOC"] > abs(found.worth[parts.LAMBDA])
    rows = [json.loads((root() / f"data/results/segmentation-beyond/{name}.json").read_text(encoding="utf-8"))
            for name in ("report", "report-no-augmentation", "report-wide-organ")]  # fmt: skip
    usual, large = ([each["mean"] for each in found] for found in zip(*((
        each["rows"][-1], next(row for row in each["stress"]["rows"][2::3] if row["stress"] == "large spleen")
    ) for each in rows), strict=True))  # fmt: skip
    assert 0 < usual[0] - usual[1] < large[0] - large[1] and large[0] < large[2]
    assert abs(usual[0] - usual[2]) < found.luck["DOC"]


def test_the_panel_of_parts_shows_what_each_is_other_by(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")
    found, shown, pictures = parts.committed(), parts.panel(), set()
    names = {row["part"] for row in found.rows}
    assert parts.LAMBDA in names and parts.FULL not in names and len(names) == len(found.rows)
    for beside, column in parts.BESIDE.items():
        shown.set(beside=beside)
        pictures.add(shown.image.value)
        ours = next(row[column] for row in found.rows if row["part"] == parts.LAMBDA) - found.full[column]
        assert f"{found.full[column]:.1f} by the full recipe, {ours:+z.1f} without I2PEMD" in shown.words
        assert ("was not measured" in shown.words) == np.isnan(found.luck[column])
        most = sorted(zip(abs(shown.result.beside), shown.result.names, strict=True))[-3:]
        assert "was not" not in shown.words or all(name in shown.words.split("was not")[1] for _, name in most)
        for name, x in zip(shown.result.names, shown.result.beside, strict=True):
            assert x == next(row[column] for row in found.rows if row["part"] == name) - found.full[column]
    for order in parts.ORDERS:
        shown.set(order=order)
        pictures.add(shown.image.value)
        assert {*shown.result.names} == names
    assert len(pictures) == len(parts.BESIDE) + len(parts.ORDERS) - 1
    assert [*shown.result.names] == [row["part"] for row in found.rows]
    for row in found.rows:
        assert shown.numbers[row["part"]] == f"{row['DOC'] - found.full['DOC']:+.2f}"
        assert found.worth[row["part"]] == pytest.approx(row["DOC"] - found.full["DOC"])


@pytest.mark.slow
def test_runs_of_ones_own_are_shown_with_where_they_come_from(task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = {"segmentation": "joint", "classification": "baseline"}[task.name]
    options = {"thresholds": ()} if task.name == "classification" else {}
    options |= {"folder": "runs", "progress": False, "steps": 2, "evaluate_every": 2}
    tables = task.module.tables(task.folder, "ci", (0, 1), (other, task.method), **options)
    kinds = panels.of_runs(tables)
    assert len(kinds) == {"segmentation": 1, "classification": 2}[task.name]
    main = tables.costs.to_pandas()
    for each, column in zip(kinds, ("overall DOC", "AUC", "F1")[task.name == "classification" :], strict=False):
        for row in main.itertuples():
            mine = dict(zip(main.columns, row[1:], strict=True))
            assert each.values[mine["method"]][mine["seed"]] == pytest.approx(mine[column])
    report = origins(tables)
    assert [row["setting"] for row in report.rows] == ["synthetic"] * 4
    for row in report.rows:
        about = json.loads((tmp_path / row["settings"]).read_text(encoding="utf-8"))
        assert about["settings"]["seed"] == row["seed"] and row["commit"] == (about["commit"] or "unknown")
        assert f'<a href="{row["settings"]}">' in report._repr_html_()


def test_evaluations_of_ones_own_lie_beside_real_scans_and_the_paper():
    mine = SimpleNamespace(figures={"ct": 70.0, "mr": 60.0, "doc": 65.0})
    evaluations = {"individual": mine, "joint": mine}
    alone, joint = panels.beside(evaluations).rows
    runs = json.loads((root() / "data" / "results" / "segmentation" / "runs.json").read_text())["rows"]
    values = [row["overall DOC"] for row in runs if (row["method"], row["d"]) == ("joint", 16)]
    assert (joint["real"], joint["real sd"]) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert (joint["ct"], joint["doc"], joint["seeds"], joint["paper"]) == (70.0, 65.0, len(values), 89.1)
    assert alone["row"] == "Individual" and alone["paper"] == pytest.approx(90.5325)
    assert "Individual" in str(panels.beside(evaluations)) and "81.0 ± 0.5" in str(panels.beside(evaluations))
