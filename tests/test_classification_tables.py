"""Tables 4 to 6 of the paper: its own numbers, what runs give beside them, tests of differences, and the command."""

import csv
import inspect
import json
import math
import re
import shutil
import signal
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from i2pemd_lite import BadInput, classification
from i2pemd_lite.__main__ import main
from i2pemd_lite.classification import CLASSES, METHODS, ClassificationSettings, paper
from i2pemd_lite.classification.methods.bands import COUNTS
from i2pemd_lite.classification.report import DECISIONS
from i2pemd_lite.classification.tables import AT, FIGURES, Result, Tables
from i2pemd_lite.metrics import classification_metrics
from i2pemd_lite.runs.run import Paused
from i2pemd_lite.tables.statistics import jackknife

TINY = {"steps": 3, "size": 16, "width": 4, "checkpoint_every": 1}
SOME = ("baseline", "fixmatch", "i2pemd")
PAIRS = ((0.6, 0.7), (0.7, 0.8))
PRINTED = {  # the tables as text
    "TABLE4": """
        95.84 83.87 96.19 96.11 80.04 | 90.65 68.68 93.69 93.42 60.98 | 87.83 64.79 93.18 93.00 51.90 0.000 **
        88.52 74.99 90.98 90.09 50.74 0.000 ** | 90.84 74.63 91.76 91.11 54.64 0.000 **
        92.35 68.98 93.96 93.15 58.65 0.000 ** | 94.30 67.82 92.90 93.65 63.43 0.000 **
        94.48 72.12 90.21 93.42 64.31 0.001 ** | 93.71 68.41 94.04 93.94 63.13 0.000 **
        94.00 70.84 93.93 93.35 63.02 | 94.79 69.73 94.05 94.54 66.99""",
    "TABLE5": """
        90.65 68.68 93.69 93.42 60.98 | 88.11 59.2 92.33 92.59 47.0
        93.71 68.41 94.04 93.94 63.13 | 94.79 69.73 94.05 94.54 66.99""",
    "TABLE6": """
        92.95 70.26 94.01 93.13 60.81 | 94.79 69.73 94.05 94.54 66.99 | 94.14 70.15 93.98 94.37 68.18
        94.56 71.1 94.29 94.14 65.51 | 94.41 69.38 93.95 94.61 68.69""",
}


@pytest.fixture(scope="module")
def data(skin):
    return classification.load(skin)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def tables(data, folder):
    """Three methods with two seeds each, and a second pair of thresholds."""
    return classification.tables(data, "ci", (0, 1), SOME, PAIRS, folder, progress=False, **TINY)


def planted(method, seed, right, sure=0.9, counts=None, lesions=None, **changes):
    """The result of a run that got some images right, out of images of the seven classes in turn."""
    truth = np.arange(len(right)) % 7
    decided = np.where(right, truth, (truth + 1) % 7)
    scores = np.where(decided[:, None] == np.arange(7), sure, (1 - sure) / 6)
    figures = {}
    for end, decision in zip(("", AT), DECISIONS.values(), strict=True):
        values = classification_metrics(scores, truth, decision).items()
        figures |= {f"{name}{end}": 100 * value for name, value in values}
    settings = ClassificationSettings(method=method, seed=seed, imagenet="weights.pth").changed(**changes)
    about = {"steps": 5, "weights of step": 5, "seconds": 1, "peak MiB": 2, "split by": "lesion"}
    images = tuple(f"image {i}" for i in range(len(right)))
    place = Path(f"{method}-{seed}-{settings.tau_low}-{settings.tau_high}")
    return Result(place, settings, "ISIC 2018", "same", figures, about, images, truth, scores, lesions, lesions and 0,
                  (20.0, 80.0), counts or {})  # fmt: skip


A0 = [1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1]
A1 = [1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]
B0 = [1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 0]
B1 = [1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1, 1, 0]
LESIONS = tuple("aabbccddeeffgg")


@pytest.fixture
def two():
    """Two seeds of ours and of FixMatch, and a third of FixMatch alone."""
    return Tables([
        planted("i2pemd", 0, A0, lesions=LESIONS),
        planted("i2pemd", 1, A1, lesions=LESIONS),
        planted("fixmatch", 1, B1, lesions=LESIONS),
        planted("fixmatch", 0, B0, lesions=LESIONS),
        planted("fixmatch", 2, A0, lesions=LESIONS),
    ])  # fmt: skip


# --- the paper ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRINTED)
def test_the_numbers_are_those_of_the_paper(name):
    rows = [row.split() for line in PRINTED[name].splitlines() for row in line.split("|") if row.strip()]
    found = [[f"{figure:g}" for figure in row[:-1]] + row.p.split() for row in getattr(paper, name).values()]
    assert found == [[f"{float(cell):g}" for cell in row[:5]] + row[5:] for row in rows]


def test_the_tables_of_the_paper_agree():
    assert list(paper.NAMES) == list(METHODS) and list(paper.FILTERS) == list(paper.TABLE5)
    assert list(paper.TABLE4) == [method for method in METHODS if method != "filter_all"]
    shared = [method for method in paper.TABLE5 if method in paper.TABLE4]
    assert len(shared) == 3 and all(paper.TABLE5[m][:-1] == paper.TABLE4[m][:-1] for m in shared)
    usual = ClassificationSettings()
    assert paper.CHOSEN == (usual.tau_low, usual.tau_high) and usual.tau_high == 0.8
    assert paper.TABLE6[paper.CHOSEN][:-1] == paper.TABLE4["i2pemd"][:-1]


def test_top_1_follows_from_accuracy():
    rng = np.random.default_rng(0)
    found = classification_metrics(rng.dirichlet(np.ones(7), 300), rng.integers(7, size=300))
    assert paper.top1(100 * found["accuracy"]) == pytest.approx(100 * found["top1"], abs=1e-9)
    assert [round(paper.top1(a), 1) for a in (94.54, 93.42, 96.11, 100)] == [80.9, 77.0, 86.4, 100]


def test_the_audit_follows_the_numbers(monkeypatch):
    found = paper.audit()
    assert "94.54 means that 80.9 %" in found["table4"][0]
    assert found["table4"][1] == "below the Baseline by AUC in the paper: FlexMatch, MT"
    assert found["table4"][2] == "below the Baseline by F1 in the paper: FlexMatch, MT, SRC-MT, augMT"
    assert "τ_high = 0.8" in found["table5"][0] and "(0.7, 0.9) with 68.69" in found["table6"][0]
    monkeypatch.setitem(paper.TABLE4, "baseline", paper.TABLE4["baseline"]._replace(auc=88.0, f1=52.0))
    monkeypatch.setitem(paper.TABLE6, (0.6, 0.7), paper.TABLE6[0.6, 0.7]._replace(f1=70.0))
    found = paper.audit()
    assert found["table4"][1] == "below the Baseline by AUC in the paper: FlexMatch"
    assert found["table4"][2] == "below the Baseline by F1 in the paper: FlexMatch, MT"
    assert "is (0.6, 0.7) with 70.00, not the chosen (0.7, 0.8) with 66.99" in found["table6"][0]


def test_a_note_tells_of_its_own_rows_alone(tables):
    assert "below the Baseline" not in str(paper.audit(("baseline", "fixmatch", "i2pemd"))["table4"])
    found = [each for each in paper.audit(("baseline", "mean_teacher"))["table4"] if "below" in each]
    assert found == [f"below the Baseline by {figure} in the paper: MT" for figure in ("AUC", "F1")]
    for note in tables.table4.notes:
        assert "below the Baseline" not in note or tables.present(("flexmatch", "mean_teacher", "src_mt", "ua_mt"))


# --- arithmetic ---------------------------------------------------------------------------------------------------


def test_table_4_is_the_mean_and_sd_of_its_runs(two):
    fixmatch, ours = two.table4.rows
    assert [row["method"] for row in two.table4.rows] == ["fixmatch", "i2pemd"]
    # 11 and 11 of 14 right for ours; 7, 7 and 11 for FixMatch
    assert (ours["top1"], ours["top1 sd"]) == pytest.approx((100 * 11 / 14, 0))
    assert fixmatch["top1"] == pytest.approx(100 * 25 / 42)
    assert fixmatch["top1 sd"] == pytest.approx(100 * 4 / 14 / math.sqrt(3))
    assert ours["accuracy"] == pytest.approx(100 - 2 * 300 / 14 / 7)
    assert (ours["seeds"], fixmatch["seeds"], ours["setting"]) == (2, 3, "paper's setting")
    assert (ours["paper auc"], ours["paper f1"], ours["paper p"], fixmatch["paper p"]) == (94.79, 66.99, "", "0.000 **")
    assert ours["paper top1"] == pytest.approx(80.89) and math.isnan(ours["p"])
    assert (ours["labelled %"], ours["unlabelled %"]) == (20, 80)


def test_p_is_of_correctness_averaged_over_the_seeds_that_both_have(two):
    expected = scipy.stats.ttest_rel(np.mean([A0, A1], 0), np.mean([B0, B1], 0))
    assert two.table4.rows[0]["p"] == pytest.approx(expected.pvalue, rel=1e-9)
    (row,) = two.comparison.rows
    assert (row["t"], row["p"]) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)
    assert (row["seeds"], row["top1"]) == (2, pytest.approx(100 * 8 / 28))
    # Of the first seed A0 alone is right in four images, B0 alone in none: p = 2 / 2⁴.
    assert (row["only ours"], row["only theirs"], row["McNemar p"]) == (4, 0, 0.125)


def test_intervals_leave_out_whole_lesions(two):
    truth = np.arange(14) % 7
    ours, theirs = ([run.scores for run in two.runs(m) if run.settings.seed < 2] for m in ("i2pemd", "fixmatch"))
    (row,) = two.comparison.rows
    figures = [[100 * classification_metrics(s, truth)["f1"] for s in runs] for runs in (ours, theirs)]
    assert row["f1"] == pytest.approx(statistics.fmean(figures[0]) - statistics.fmean(figures[1]))
    bounds = jackknife(ours, truth, LESIONS, against=theirs)
    assert (row["f1 low"], row["f1 high"]) == pytest.approx([100 * bound for bound in bounds["f1"]])
    assert bounds["f1"] != jackknife(ours, truth, against=theirs)["f1"]
    found = two.intervals.rows[-1]
    assert found["method"] == "i2pemd" and found["auc"] == pytest.approx(two.table4.rows[1]["auc"])
    bounds = jackknife(ours, truth, LESIONS)
    assert (found["auc low"], found["auc high"]) == pytest.approx([100 * bound for bound in bounds["auc"]])
    assert "whole lesions" in two.comparison.title and "it is too small" in str(two.comparison)
    alone = Tables([replace(result, lesions=None) for result in two.results])
    assert "whole lesions" not in alone.comparison.title and "it is too small" not in str(alone)


def test_a_sentence_on_a_method_takes_the_seeds(two):
    (row,) = two.comparison.rows
    ours, theirs = ([run.figures["f1"] for run in two.runs(m)[:2]] for m in ("i2pemd", "fixmatch"))
    found = scipy.stats.ttest_rel(ours, theirs).confidence_interval()
    assert (row["f1 seeds low"], row["f1 seeds high"]) == pytest.approx((found.low, found.high))
    assert row["f1 verdict"] == "ahead" and "F1 over seeds: Ours is ahead of FixMatch" in str(two.comparison)
    # The means of two seeds are as far apart for these networks, but one seed alone makes the difference.
    luck = [planted("i2pemd", 0, [1] * 14), planted("i2pemd", 1, A1), planted("fixmatch", 0, [0, 1] * 7),
            planted("fixmatch", 1, A1), planted("vat", 0, [0] * 14)]  # fmt: skip
    comparison = Tables(luck).comparison
    vat, fixmatch = comparison.rows
    assert fixmatch["f1 low"] > 0 and fixmatch["f1 verdict"] == "not told apart"
    assert vat["f1 low"] > 0 and vat["f1 verdict"] == "unknown" and math.isnan(vat["f1 seeds low"])
    words = "F1 over seeds: Ours is not told apart from FixMatch; without an interval over seeds beside VAT"
    assert words in " ".join(str(comparison).split())
    assert re.search(r"\| VAT \| 1 \| [^|]+ \| - \| [^|]+ \| - \|", comparison.markdown())


def test_without_a_common_seed_nothing_is_compared(two):
    apart = Tables(two.runs("i2pemd") + two.runs("fixmatch")[2:])
    assert apart.comparison.rows == [] and "no other method has a seed of i2pemd" in str(apart.comparison)
    assert math.isnan(apart.table4.rows[0]["p"]) and "nan" not in str(apart)
    without = Tables(two.runs("fixmatch"))
    assert math.isnan(without.table4.rows[0]["p"]) and "no run of a method with pseudo-labels" in str(without)
    only = Tables([planted("filter_all", 0, A0)])
    assert only.table4.rows == [] and "no run of upper_bound" in str(only.table4)


def test_runs_that_nothing_set_apart_are_named(two):
    same = Tables([planted("i2pemd", 0, A0), planted("fixmatch", 0, A0), planted("baseline", 0, A1)])
    assert "every score is that of Ours: FixMatch; up to" in str(same.comparison)
    assert "every score" not in str(two.comparison)


def test_the_other_decision_stands_beside():
    unsure = Tables([planted("i2pemd", 0, A0, sure=0.17), planted("vat", 0, A0, sure=0.5)])
    vat, ours = unsure.threshold018.rows
    assert ours["sensitivity at 0.18"] == 0 and ours["specificity at 0.18"] == 100  # no score reaches 0.18
    assert ours["accuracy at 0.18"] == pytest.approx(600 / 7) and ours["sensitivity"] == pytest.approx(100 * 11 / 14)
    assert vat["f1 at 0.18"] == vat["f1"]
    printed = {"sensitivity": 69.73, "specificity": 94.05, "accuracy": 94.54, "f1": 66.99}
    off = [abs(ours[f"{name} at 0.18"] - theirs) for name, theirs in printed.items()]
    assert ours["off at 0.18"] == pytest.approx(statistics.fmean(off)) and ours["off"] < ours["off at 0.18"]
    assert "nearer to the paper by score ≥ 0.18: none" in str(unsure.threshold018)
    figures = unsure.results[0].figures
    swapped = replace(unsure.results[0], figures={
        name: figures[name.removesuffix(AT) if name.endswith(AT) else name + AT] for name in figures
    })  # fmt: skip
    assert "by score ≥ 0.18: Ours" in str(Tables([swapped]).threshold018)


def test_table_5_has_the_filters():
    runs = [planted(method, 0, A0) for method in ("i2pemd", "fixmatch", "filter_all", "baseline", "vat")]
    found = Tables(runs).table5
    assert [row["row"] for row in found.rows] == ["Baseline", "Filter_all", "Filter_thresh", "Filter_I2PEMD"]
    assert [row["paper f1"] for row in found.rows] == [60.98, 47.0, 63.13, 66.99]
    assert "its threshold was" in " ".join(str(found).split())


def test_table_6_has_every_pair_and_the_others_only_the_main_one():
    runs = [planted("i2pemd", 0, A0), planted("baseline", 0, A0)]
    runs += [planted("i2pemd", 0, B0, tau_low=low, tau_high=high) for low, high in ((0.5, 0.95), (0.6, 0.7))]
    found = Tables(runs)
    assert found.main == (0.7, 0.8)
    rows = found.table6.rows
    assert [row["row"] for row in rows] == ["(0.6, 0.7)", "(0.7, 0.8)", "(0.5, 0.95)"]
    assert {row["setting"] for row in rows} == {"paper's setting"}
    assert rows[0]["paper f1"] == 60.81 and math.isnan(rows[2]["paper f1"])
    assert [row["top1"] for row in rows] == pytest.approx([50, 1100 / 14, 50])
    assert found.table4.rows[1]["top1"] == rows[1]["top1"] and len(found.costs.rows) == 4
    assert "table6" in found.reports() and "table6" not in Tables(runs[:2]).reports()
    assert [row["top1"] for row in Tables(runs, (0.6, 0.7)).table4.rows] == pytest.approx([50])


def test_bands_are_those_of_all_seeds_together():
    few, many = dict.fromkeys(COUNTS, 0) | {"steps": 2}, dict.fromkeys(COUNTS, 0) | {"steps": 8}
    few |= {"high": 10, "high_right": 9, "band": 10, "near": 4, "near_right": 1}
    many |= {"high": 30, "high_right": 15, "low": 50, "low_right": 5}
    found = Tables([planted("i2pemd", 0, A0, counts=few), planted("i2pemd", 1, A0, counts=many), planted("vat", 0, A0)])
    (row,) = found.bands.rows
    assert (row["high right %"], row["near right %"], row["low right %"]) == pytest.approx((60, 25, 10))
    assert (row["high a step"], row["near a step"], row["high % of all"]) == pytest.approx((4, 0.4, 40))
    assert row["high ±"] == pytest.approx(100 * math.sqrt(0.6 * 0.4 / 40)) and math.isnan(row["fix right %"])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "paper's setting"),
        ({"split_by": "lesion", "seed": 4, "evaluate_every": 9, "profile": "laptop"}, "paper's setting"),
        ({"network": "efficientnet_lite0", "imagenet": "package"}, "scaled down"),
        ({"imagenet": ""}, "scaled down"),
        ({"steps": 40_000}, "scaled down"),
        ({"size": 48}, "scaled down"),
        ({"tau_low": 0.5}, "scaled down"),
    ],
)
def test_labels(changes, expected):
    settings = ClassificationSettings(method="vat", imagenet="here.pth", split_by="image").changed(**changes)
    assert Tables.label(settings, "ISIC 2018") == expected and Tables.label(settings, "synthetic") == "synthetic"
    assert Tables.label(settings, "DermaMNIST") == "scaled down"


def test_beside_the_tables_of_the_paper_stand_the_open_choices_of_their_runs(tables):
    here, half = {"precision": "float32"}, {"precision": "bfloat16"}
    runs = [planted("i2pemd", 0, A0, **half), planted("fixmatch", 0, A0, **here), planted("filter_all", 0, A0, **half)]
    found = Tables([*runs, planted("i2pemd", 0, A0, tau_low=0.6, tau_high=0.7, **here)], (0.7, 0.8))
    said = {name: [line for line in report.notes if "full-size default (float32)" in line]
            for name, report in found.reports().items() if report.rows and "setting" in report.rows[0]}  # fmt: skip
    assert {name: re.findall(r"precision (.*?);", *notes) for name, notes in said.items()} == {
        "table4": ["bfloat16 (1 of 2 runs)"],
        "threshold018": ["bfloat16 (1 of 2 runs)"],
        "table5": ["bfloat16 (2 of 3 runs)"],
        "table6": ["bfloat16 (1 of 2 runs)"],
    }
    assert {row["setting"] for row in found.table4.rows} == {"paper's setting"}
    assert {row["precision"] for row in tables.costs.rows} == {"float32"}  # set to "auto", on a CPU


def test_the_line_below_says_what_the_split_keeps_apart(two):
    assert two.about()["split by"] == "lesion, no lesion in two parts: stricter than the paper's split by image"
    leaking = Tables([replace(result, leaks=3) for result in two.results])
    assert leaking.about()["split by"] == "lesion, 3 of them of a lesion that other parts show too"
    unknown = Tables([replace(result, lesions=None, leaks=None) for result in two.results])
    assert unknown.about()["split by"] == "lesion, lesions unknown"


def test_runs_that_do_not_belong_together_are_refused(two):
    first, other, third = two.results[:3]
    for wrong, found in (
        (replace(other, settings=other.settings.changed(weight=0.5)), "found weight 0.5 beside 1.0"),
        (replace(other, fingerprint="another"), "expected the data of"),
        (replace(other, settings=first.settings, folder=Path("copy")), "each seed of a method once"),
        (replace(other, images=("a",) * 14), "expected the held-back images of i2pemd-0-0.7-0.8, found 14 others"),
    ):
        with pytest.raises(BadInput, match=found):
            Tables([first, wrong])
    with pytest.raises(BadInput, match="expected at least one finished run"):
        Tables([])
    once, again = (planted("baseline", seed, A0, top=top) for seed, top in ((0, 24), (1, 8)))  # which it does not read
    assert Tables([once, again]).table4.rows[0]["seeds"] == 2
    unlike = Tables([first, replace(third, settings=third.settings.changed(loss="weighted"))])
    assert "FixMatch: loss weighted beside plain of i2pemd; no fair comparison" in str(unlike.table4)
    assert "no fair comparison" not in str(two)


def test_a_run_that_no_table_shows_is_named():
    own = planted("fixmatch", 0, A0, tau_high=0.95)
    tables = Tables([planted("i2pemd", 0, A0), planted("i2pemd", 1, A1), own])
    assert [row["method"] for row in tables.table4.rows] == ["i2pemd"]
    words = f"{own.folder.name}, with tau_high 0.95 instead of 0.8, is in the table of the runs alone"
    assert words in " ".join(tables.table4.notes)
    assert "of the runs alone" not in str(Tables([planted("i2pemd", 0, A0), planted("i2pemd", 0, A0, tau_low=0.6)]))


# --- runs ---------------------------------------------------------------------------------------------------------


def test_the_figures_are_those_of_the_runs(tables, folder):
    assert [row["method"] for row in tables.table4.rows] == list(SOME)
    for row in tables.table4.rows:
        saved = [json.loads((folder / f"{row['method']}-ci-seed{i}" / "report.json").read_text()) for i in (0, 1)]
        for figure in FIGURES:
            values = [report["rows"][0][figure] for report in saved]
            assert row[figure] == pytest.approx(statistics.fmean(values), rel=1e-9)
            assert row[f"{figure} sd"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2), rel=1e-9)
        assert (row["setting"], row["seeds"]) == ("synthetic", 2)
    assert tables.table4.rows[0]["unlabelled %"] == 0 < tables.table4.rows[1]["unlabelled %"]
    names = {f"{method}-ci-seed{seed}" for method in SOME for seed in (0, 1)}
    assert {path.name for path in folder.iterdir()} == names | {f"i2pemd-ci-seed{seed}-0.6-0.7" for seed in (0, 1)}


def test_scores_and_lesions_are_those_of_the_held_back_images(tables, folder):
    result = tables.results[0]
    with open(folder / "baseline-ci-seed0" / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    right = [max(CLASSES, key=lambda name: float(row[name])) == row["truth"] for row in rows]
    assert result.right.tolist() == right and result.images == tuple(row["image"] for row in rows)
    learner = classification.resume(result.folder).learner
    known = dict(zip(learner.data.ids, learner.data.lesions, strict=True))
    assert result.lesions == tuple(known[name] for name in result.images)
    assert result.leaks == 0 and "no lesion in two parts" in str(tables)
    with open(folder / "i2pemd-ci-seed1" / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    counts = tables.runs("i2pemd")[1].counts
    assert counts["steps"] == 3 and counts["low_right"] == sum(float(row["low_right"]) for row in rows)
    assert tables.results[0].counts == {}


def test_a_split_by_image_leaks_and_says_so(data, tmp_path):
    settings = {**TINY, "split_by": "image"}
    found = classification.tables(data, "ci", (0,), ("baseline",), folder=tmp_path, progress=False, **settings)
    (result,) = found.results
    names = classification.resume(result.folder).learner.data
    others = [names.lesions[i] for i, name in enumerate(names.ids) if name not in result.images]
    assert result.leaks == sum(lesion in others for lesion in result.lesions) > 0
    assert f"split by image, {result.leaks} of them of a lesion" in " ".join(str(found).split())


def test_everything_prints_within_a_terminal(tables, two):
    for found in (tables, two):
        text = str(found)
        assert max(map(len, text.splitlines())) <= 120 and "nan" not in text
    runs = [planted(method, seed, right) for method in METHODS for seed, right in ((0, A0), (1, B0))]
    runs += [planted("i2pemd", 0, A0, tau_low=0.6)]
    figures = [dict.fromkeys([f"{name}{end}" for name in FIGURES for end in ("", AT)], 70.0 + 30 * seed)
               for seed in (0, 1)]  # fmt: skip
    widest = [replace(run, figures=figures[run.settings.seed]) for run in runs]
    assert max(map(len, str(Tables(widest)).splitlines())) <= 120
    assert tables._repr_html_().count("<table>") == 9


def test_finished_runs_are_used_as_they_are(tables, data, folder):
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    again = classification.tables(data, "ci", (1, 0), SOME, PAIRS, folder, progress=False, **TINY)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")} == times
    assert str(again) == str(tables)
    assert tables.costs.rows[0]["peak MiB"] > 100 and len(tables.costs.rows) == 8


def test_the_data_are_prepared_once(tables, folder, data, monkeypatch):
    calls, module = [], inspect.unwrap(classification.evaluate).__globals__
    prepare = module["prepare"]
    monkeypatch.setitem(module, "prepare", lambda *given: calls.append(given) or prepare(*given))
    classification.tables(data, "ci", (0, 1), SOME, PAIRS, folder, progress=False, **TINY)
    assert len(calls) == 1
    classification.from_runs(sorted(folder.iterdir()))
    assert len(calls) == 2


def test_a_run_that_was_stopped_goes_on(tables, data, folder, tmp_path):
    run = classification.train("baseline", data, "ci", 0, tmp_path / "baseline-ci-seed0", **TINY)
    next(run), next(run)
    one = classification.tables(data, "ci", (0,), ("baseline",), folder=tmp_path, progress=False, **TINY)
    steps = (tmp_path / "baseline-ci-seed0" / "history.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0] for line in steps] == ["1", "2", "3"]
    assert one.results[0].figures == tables.results[0].figures
    assert [path.name for path in tmp_path.iterdir()] == ["baseline-ci-seed0"]  # and no thresholds without ours


def test_tables_that_are_stopped_say_where_and_go_on(data, tables, tmp_path, monkeypatch):
    losses, seen = classification.TASK.learner.losses, []

    def stopping(learner, t):
        seen.append((learner.settings.method, t))
        if seen[-1] == ("fixmatch", 1) and seen.count(seen[-1]) == 1:
            signal.raise_signal(signal.SIGINT)
        return losses(learner, t)

    monkeypatch.setattr(classification.TASK.learner, "losses", stopping)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Paused, match="fixmatch, seed 0: paused at step 2 of 3. Run this cell again"):
            classification.tables(data, "ci", (0,), ("baseline", "fixmatch"), folder=tmp_path, progress=False, **TINY)
    finally:
        signal.signal(signal.SIGINT, before)
    again = classification.tables(data, "ci", (0,), ("baseline", "fixmatch"), folder=tmp_path, progress=False, **TINY)
    assert seen == [(method, t) for method in ("baseline", "fixmatch") for t in range(3)]  # no step was taken twice
    for result in again.results:
        (same,) = [r for r in tables.results if (r.settings.method, r.settings.seed) == (result.settings.method, 0)]
        assert result.figures == same.figures


def test_an_interrupt_that_meets_the_bar_of_tables_says_where_they_are_paused(data, tmp_path, monkeypatch):
    def bar(steps, *_):
        for number, run in enumerate(steps, 1):
            yield run
            if number == 5:
                raise KeyboardInterrupt

    monkeypatch.setattr("i2pemd_lite.tables.results.bar", bar)
    rare = TINY | {"checkpoint_every": 9}
    with pytest.raises(Paused, match="fixmatch, seed 0: paused at step 2 of 3. Run this cell again"):
        classification.tables(data, "ci", (0,), ("baseline", "fixmatch"), folder=tmp_path, **rare)
    assert classification.resume(tmp_path / "fixmatch-ci-seed0", data).number == 2


def test_tables_have_one_bar_for_all_steps_that_are_left(data, tmp_path, capsys):
    run = classification.train("baseline", data, "ci", 0, tmp_path / "baseline-ci-seed0", **TINY)
    next(run), next(run), run.save()
    classification.tables(data, "ci", (0, 1), ("baseline",), folder=tmp_path, **TINY)
    err = capsys.readouterr().err
    assert "training 2 runs" in err and "2/6" in err and "6/6" in err and "now baseline, seed" in err
    classification.tables(data, "ci", (0, 1), ("baseline",), folder=tmp_path, **TINY)
    assert "training" not in capsys.readouterr().err


def test_the_thresholds_of_the_paper_are_the_default(data, tmp_path):
    for low, high in paper.TABLE6:
        suffix = "" if (low, high) == (0.7, 0.8) else f"-{low}-{high}"
        (tmp_path / f"i2pemd-ci-seed0{suffix}").mkdir()
        (tmp_path / f"i2pemd-ci-seed0{suffix}" / "checkpoint.safetensors").touch()  # of no run
    for methods in (("i2pemd",), None):
        with pytest.raises(BadInput, match="5 problems"):
            classification.tables(data, "ci", methods=methods, folder=tmp_path, progress=False, **TINY)
    with pytest.raises(BadInput, match="1 problem in"):
        classification.tables(data, "ci", methods=("i2pemd",), thresholds=(), folder=tmp_path, progress=False, **TINY)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_folder_with_another_run_is_refused_before_training(data, folder, tables, tmp_path):
    before = sorted(folder.iterdir())
    with pytest.raises(BadInput, match="4 problems") as caught:
        classification.tables(data, "ci", (0, 7), SOME, PAIRS, folder, progress=False, **TINY, weight_decay=0.5)
    assert "weight_decay 0.0 instead of 0.5; choose another folder" in str(caught.value)
    assert sorted(folder.iterdir()) == before
    shutil.copytree(folder / "baseline-ci-seed0", tmp_path / "baseline-ci-seed0")
    about = tmp_path / "baseline-ci-seed0" / "settings.json"
    about.write_text(about.read_text().replace(tables.results[0].fingerprint, "another"))
    with pytest.raises(BadInput, match="a run on the data asked for, found one on synthetic images"):
        classification.tables(data, "ci", (0,), SOME, (), tmp_path, progress=False, **TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["baseline-ci-seed0"]


def test_what_is_asked_for_is_checked(data, folder):
    for wrong, found in (
        ({"seeds": (0, 0)}, "seeds: expected none twice, found 0, 0"),
        ({"methods": ("fixmach",)}, "method: expected one of upper_bound"),
        ({"seeds": ()}, "expected at least one run"),
        ({"thresholds": ((0.6, 0.7), [0.6, 0.7])}, "thresholds: expected none twice"),
        ({"thresholds": (0.6, 0.7)}, r"thresholds: expected pairs \(τ_low, τ_high\), found \(0.6, 0.7\)"),
        ({"thresholds": ((0.6, 0.7, 0.8),)}, "thresholds: expected pairs"),
        ({"thresholds": ((0.8, 0.7),)}, "tau_low: expected a threshold below tau_high"),
        ({"tau": 0.9}, "tau: not a setting"),
    ):
        with pytest.raises(BadInput, match=found):
            classification.tables(data, "ci", folder=folder / "none", progress=False, **TINY, **wrong)
    assert not (folder / "none").exists()


def test_tables_of_runs_that_are_there(tables, folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "baseline-ci-seed0" / "scores.csv").unlink()
    (copy / "fixmatch-ci-seed0" / "report.json").write_text(json.dumps({"title": "of older code", "rows": []}))
    stale = copy / "baseline-ci-seed1" / "report.json"  # of an earlier step of the run
    content = json.loads(stale.read_text())
    content["rows"][0]["auc"] = 1.0
    stale.write_text(json.dumps(content | {"about": content["about"] | {"steps": 2}}))
    lines = (copy / "fixmatch-ci-seed1" / "scores.csv").read_text().splitlines()
    (copy / "fixmatch-ci-seed1" / "scores.csv").write_text("\n".join(lines[:-1]))  # an image fewer
    found = classification.from_runs(sorted(copy.iterdir()))
    assert str(found) == str(tables) and found.main == (0.7, 0.8)
    for run in ("baseline-ci-seed0", "fixmatch-ci-seed1"):
        assert (copy / run / "scores.csv").read_text() == (folder / run / "scores.csv").read_text()


def test_an_unfinished_run_is_refused(data, folder, tables, tmp_path):
    run = classification.train("baseline", data, "ci", 3, tmp_path / "half", **TINY)
    next(run)
    with pytest.raises(BadInput, match="half: expected 3 steps, found 1") as caught:
        classification.from_runs([folder / "baseline-ci-seed0", tmp_path / "half", tmp_path / "none"])
    assert "none: expected the folder of a run" in str(caught.value)


# --- files and the command ----------------------------------------------------------------------------------------


def test_tables_are_written(tables, tmp_path):
    tables.save(tmp_path)
    saved = json.loads((tmp_path / "table4.json").read_text())
    assert saved["rows"][0]["auc"] == tables.table4.rows[0]["auc"] and saved["rows"][2]["p"] is None
    with open(tmp_path / "comparison.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["baseline", "fixmatch"]
    assert float(rows[0]["auc low"]) == tables.comparison.rows[0]["auc low"]
    text = (tmp_path / "tables.md").read_text()
    assert "# Classification" in text and "`seed` 0, 1" in text and "MiB" in text and "| Ours | synthetic | 2 |" in text
    names = ("table4", "comparison", "intervals", "threshold018", "table5", "table6", "bands", "runs")
    files = {f"{name}.{suffix}" for name in names for suffix in ("json", "csv")}
    assert {path.name for path in tmp_path.iterdir()} == {"tables.md", *files}


def test_the_command_prints_and_writes(tables, skin, folder, tmp_path, capsys):
    words = ["tables", "classification", "--profile=ci", "--seeds=0,1", f"--methods={','.join(SOME)}"]
    words += ["--thresholds=0.6-0.7,0.7-0.8", *(f"--set={name}={value}" for name, value in TINY.items())]
    assert main([*words, f"--data={skin}", f"--folder={folder}", f"--out={tmp_path / 'a'}"]) == 0
    printed = capsys.readouterr().out
    assert all(words in printed for words in ("Table 4", "Table 5", "Table 6", "Ours minus", "tables.md has all"))
    runs = [str(result.folder) for result in tables.results]
    assert main(["tables", "classification", f"--out={tmp_path / 'b'}", "--runs", *runs]) == 0
    for name in ("table4.json", "comparison.csv", "bands.json", "tables.md"):
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["classification", "--seeds=0", "--runs", "x"], "--runs: expected beside it only --data and --out, found se"),
        (["classification", "--dims=8"], "--dims: expected with segmentation only, found with classification"),
        (["segmentation", "--thresholds=none"], "--thresholds: expected with classification only, found with segm"),
        (["classification", "--thresholds=0.7"], "thresholds: expected pairs (τ_low, τ_high), found ((0.7,),)"),
        (["classification", "--methods=baseline", "--seeds=0", "--set=tau=1"], "--set tau=1: expected NAME=VALUE"),
    ],
)
def test_the_command_says_what_is_wrong(words, found, capsys):
    assert main(["tables", *words]) == 1
    assert found in capsys.readouterr().err


def test_no_thresholds_can_be_asked_for(skin, folder, tables, tmp_path, capsys):
    words = ["tables", "classification", "--profile=ci", "--methods=i2pemd", "--thresholds=none", f"--folder={folder}"]
    sets = [f"--set={name}={value}" for name, value in TINY.items()]
    assert main([*words, *sets, f"--data={skin}", f"--out={tmp_path}"]) == 0
    assert "Table 6" not in capsys.readouterr().out and not (tmp_path / "table6.json").exists()
