"""The tables of the paper: its own numbers, what runs give beside them, and the command."""

import csv
import dataclasses
import importlib
import json
import math
import re
import shutil
import statistics

import pandas as pd
import pytest
import scipy.stats

from i2pemd_lite import BadInput, segmentation
from i2pemd_lite.__main__ import main
from i2pemd_lite.segmentation import METHODS, SegmentationSettings, paper
from i2pemd_lite.segmentation.tables import TASK, Tables
from i2pemd_lite.tables import choices
from i2pemd_lite.tables.report import WORDS, Report, html_table, plus_minus
from i2pemd_lite.tables.results import FREE

TINY = {"steps": 4, "learning_rate": 2e-2, "width": 2, "dim": 4, "spacing": (8.0, 16.0, 16.0), "size": (24, 24)}
BOTH = ("joint", "joint_sepbn_i2pemd")


@pytest.fixture(scope="module")
def data(abdomen):
    return segmentation.load(abdomen)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def tables(data, folder):
    """Two methods with two seeds each, and a second feature size."""
    return segmentation.tables(data, "ci", (0, 1), BOTH, folder, dims=(2, 4), progress=False, **TINY)


def figures(folder, seed, method="joint"):
    """DOC of a run, from what its training wrote at the last step."""
    with open(folder / f"{method}-ci-seed{seed}" / "evaluations.csv", newline="") as file:
        return {name: float(value) for name, value in list(csv.DictReader(file))[-1].items()}


# --- the paper ----------------------------------------------------------------------------------------------------


def test_v22_the_means_of_individual_are_those_of_another_row():
    found = paper.audit()
    assert list(found) == ["individual", "y_shaped"]
    assert paper.TABLE1["individual"].recomputed() == pytest.approx((91.2125, 89.8525, 90.5325), abs=1e-9)
    assert paper.TABLE1["y_shaped"].recomputed()[0] == pytest.approx(91.23, abs=1e-9)
    assert "those of Joint+I2PEMD, perhaps copied" in found["individual"] and "copied" not in found["y_shaped"]


def test_the_audit_finds_what_is_wrong_and_nothing_else(monkeypatch):
    rows = {method: paper.TABLE1[method] for method in paper.audit()}
    gaps = {m: max(abs(a - b) for a, b in zip(r.means, r.recomputed(), strict=True)) for m, r in rows.items()}
    assert [method for method, gap in gaps.items() if gap > 0.25] == ["individual"]
    row = paper.TABLE1["joint"]
    monkeypatch.setattr(paper, "TABLE1", {"joint": row._replace(means=row.recomputed())})
    assert paper.audit() == {}
    monkeypatch.setattr(paper, "TABLE1", {"joint": row._replace(means=(89.7, 88.5, 89.3))})
    assert list(paper.audit()) == ["joint"]


def test_tables_1_and_3_of_the_paper_agree():
    assert list(paper.NAMES) == list(METHODS)
    assert list(paper.TABLE1) == [method for method in METHODS if method != "joint_sepbn_i2ped"]
    shared = [method for method in paper.TABLE3 if method in paper.TABLE1]
    assert len(shared) == 5 and all(paper.TABLE3[m] == paper.TABLE1[m].means[-1] for m in shared)


# --- runs ---------------------------------------------------------------------------------------------------------


def test_table_1_is_the_mean_and_sd_of_its_runs(tables, folder):
    assert [row["method"] for row in tables.table1.rows] == list(BOTH)
    row = tables.table1.rows[0]
    runs = [figures(folder, seed) for seed in (0, 1)]
    columns = {"ct mean": "ct", "mr mean": "mr", "mean": "doc"}
    columns |= {f"{m} {organ}": f"{m} {organ}" for m in ("ct", "mr") for organ in segmentation.ORGANS}
    assert any(runs[0][name] != runs[1][name] for name in columns.values())
    for name, theirs in columns.items():
        values = [run[theirs] for run in runs]
        assert row[name] == pytest.approx(statistics.fmean(values), rel=1e-9)
        assert row[f"{name} sd"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2), rel=1e-9)
    assert (row["setting"], row["seeds"]) == ("synthetic", 2)
    assert (row["paper ct liver"], row["paper ct liver sd"], row["paper mean"]) == (92.30, 0.27, 89.1)


def test_table_1_prints_within_a_terminal(tables):
    text = str(tables)
    assert [line for line in text.splitlines() if len(line) > 120] == []
    row, mr = tables.table1.rows[1], text[text.index("organs in MR") :]
    spleen = re.escape(plus_minus(row["mr spleen"], row["mr spleen sd"]))
    assert re.search(rf"Joint\+sepBN\+I2PEMD +synthetic .* {spleen} .*\n +paper .* 88\.7 ± 0\.8  91\.3$", mr, re.M)
    assert tables._repr_html_().count("<table>") == 10


def test_table_2_correlates_the_evaluations_of_a_run(tables, folder):
    rows = tables.table2.rows
    assert [(row["seed"], row["n"]) for row in rows] == 4 * [(0, 4)] + 4 * [(1, 4)]
    with open(folder / "joint_sepbn_i2pemd-ci-seed1" / "evaluations.csv", newline="") as file:
        values = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    others = ([v["doc"] for v in values], [v["mmd"] for v in values], [v["mmd"] ** 0.5 for v in values],
              [v["mmd_fixed"] for v in values])  # fmt: skip
    for row, y in zip(rows[4:], others, strict=True):
        r, p = scipy.stats.pearsonr([v["mi2pemd"] for v in values], y)
        assert row["r"] == pytest.approx(r, abs=1e-9) and row["p"] == pytest.approx(p, abs=1e-9)
    assert [row["paper r"] for row in rows[:4]] == [-0.79, 0.56, 0.56, 0.56]
    assert "p is too small" in " ".join(str(tables.table2).split())


def test_table_2_says_when_there_are_too_few_evaluations(tables):
    few = [dataclasses.replace(result, evaluations=result.evaluations[:2]) for result in tables.results]
    table = Tables(few, main=(4,)).table2
    assert all(math.isnan(row["r"]) and row["n"] == 2 for row in table.rows)
    assert "too few evaluations" in str(table)
    without = Tables([result for result in tables.results if result.settings.method == "joint"])
    assert without.table2.rows == [] and "no run of joint_sepbn_i2pemd" in str(without)


def test_table_3_and_figure_6a_take_the_overall_mean(tables, folder):
    (row,) = tables.table3.rows
    assert (row["method"], row["paper"], row["mean"]) == (BOTH[1], 91.8, tables.table1.rows[1]["mean"])
    assert [(row["d"], row["seeds"]) for row in tables.figure6a.rows] == [(2, 2), (4, 2)]
    two = [json.loads(path.read_text()) for path in folder.glob("*-dim2/report.json")]
    assert tables.figure6a.rows[0]["mean"] == pytest.approx(statistics.fmean(r["rows"][2]["mean"] for r in two))
    assert tables.figure6a.rows[1]["mean sd"] == row["mean sd"] > 0


def test_figure_6b_is_the_mean_of_the_losses_that_each_run_wrote(tables, folder):
    found = tables.figure6b.rows
    runs = [pd.read_csv(folder / f"{BOTH[1]}-ci-seed{seed}" / "history.csv") for seed in (0, 1)]
    assert [(row["up to step"], row["setting"], row["seeds"]) for row in found] == [
        (step, "synthetic", 2) for step in (1, 2, 3, 4)
    ]
    for term, title in {"ce": "CE", "dice": "Dice", "i2pemd": "I2PEMD"}.items():
        both = pd.concat([run[term] for run in runs], axis=1)
        assert [row[title] for row in found] == pytest.approx(both.mean(axis=1).tolist(), rel=1e-9)
        assert [row[f"{title} sd"] for row in found] == pytest.approx(both.std(axis=1).tolist(), rel=1e-9)
    text = " ".join(str(tables.figure6b).split())
    assert f"{found[0]['CE']:.3f} {found[0]['CE sd']:.3f}" in text and "prints no numbers" in text


def test_figure_6b_of_a_long_run_has_twenty_equal_parts(tables):
    proposed = [result for result in tables.results if result.settings.method == BOTH[1]]
    terms = {step: step**0.5 for step in range(1, 48)}
    history = [{"step": step, "ce": x, "dice": 2 * x, "i2pemd": 3 * x} for step, x in terms.items()]
    found = Tables([dataclasses.replace(result, history=history) for result in proposed], main=(4,)).figure6b.rows
    ends = [row["up to step"] for row in found]
    assert len(ends) == 20 and ends[-1] == 47
    for begin, row in zip([0, *ends], found, strict=False):
        part = [terms[step] for step in range(begin + 1, row["up to step"] + 1)]
        assert len(part) in (2, 3) and row["CE sd"] == 0
        means = [row["CE"], row["Dice"], row["I2PEMD"]]
        assert means == pytest.approx([n * sum(part) / len(part) for n in (1, 2, 3)], rel=1e-12)


def test_surfaces_are_the_means_of_the_runs(tables, folder):
    saved = [json.loads((folder / f"joint-ci-seed{seed}" / "report.json").read_text()) for seed in (0, 1)]
    hd95 = [report["surfaces"]["rows"][4]["mean"] for report in saved]
    row = tables.surfaces.rows[0]
    assert row["method"] == "joint" and row["MR HD95"] > row["MR ASSD"] > 0
    assert row["MR HD95"] == pytest.approx(statistics.fmean(hd95), rel=1e-9)
    assert tables.costs.rows[0]["missing organs"] == len(saved[0]["missing"])


def reports_of(folder):
    """report.json of each run of `BOTH`, by method and seed."""
    return {(method, seed): json.loads((folder / f"{method}-ci-seed{seed}" / "report.json").read_text())
            for method in BOTH for seed in (0, 1)}  # fmt: skip


def test_differences_are_paired_by_seed_and_by_case(tables, folder):
    row = tables.differences.rows[0]
    reports = reports_of(folder)
    by_seed = [figures(folder, s, BOTH[1])["doc"] - figures(folder, s, BOTH[0])["doc"] for s in (0, 1)]
    assert len(tables.differences.rows) == 1 and row["seeds"] == 2 and row["doc"] == pytest.approx(sum(by_seed) / 2)
    half = scipy.stats.t.ppf(0.975, 1) * statistics.stdev(by_seed) / math.sqrt(2)
    assert (row["doc low"], row["doc high"]) == pytest.approx((row["doc"] - half, row["doc"] + half))
    by_case = {}
    for sign, method in ((-1, BOTH[0]), (1, BOTH[1])):
        for s in (0, 1):
            for case in reports[method, s]["cases"]:
                by_case.setdefault(case["case"], []).extend(sign * case[organ] for organ in segmentation.ORGANS)
    by_case = [2 * sum(values) / len(values) for values in by_case.values()]  # so many of one sign, and of the other
    half = scipy.stats.sem(by_case) * scipy.stats.t.ppf(0.975, len(by_case) - 1)
    assert row["n"] == len(by_case) and row["cases"] == pytest.approx(statistics.mean(by_case))
    assert row["cases high"] == pytest.approx(row["cases"] + half) and math.isnan(row["stress"])


def test_differences_on_unusual_scans_are_there_once_runs_were_asked(tables, folder, data, tmp_path):
    found = {}
    for method in BOTH:
        shutil.copytree(folder / f"{method}-ci-seed0", tmp_path / method)
        run = segmentation.resume(tmp_path / method, data)
        found[method] = segmentation.evaluate(run, stress=True)
    own = Tables.from_runs([tmp_path / method for method in BOTH], data)
    first, second = (found[method].below["stress"].rows for method in BOTH)
    row = own.differences.rows[0]
    assert row["stress"] == pytest.approx(second[-1]["mean"] - first[-1]["mean"]) and math.isnan(row["stress low"])
    row = own.unusual.rows[0]
    assert row["method"] == BOTH[0] and row["usual"] == pytest.approx(found[BOTH[0]].figures["doc"])
    both = {each["stress"]: each["mean"] for each in first if each["modality"] == "both"}
    assert {name: row[name] for name in both} == pytest.approx(both) and len(both) == 5
    assert not tables.unusual.rows and "unusual" not in tables.reports()


def test_mistakes_weigh_what_was_taken_for_what_by_the_mean_g_of_the_proposed_runs(tables, folder):
    reports = reports_of(folder)
    G = [[sum(reports[BOTH[1], s]["ground"][k][j] for s in (0, 1)) / 2 for j in range(5)] for k in range(5)]
    off = [(k, j) for k in range(5) for j in range(5) if k != j]
    mean = sum(G[k][j] for k, j in off) / 20
    for row in tables.mistakes.rows:
        found = []
        for s in (0, 1):
            C = reports[row["method"], s]["confusion"]
            organs, wrong = sum(map(sum, C[1:])), sum(C[k][j] for k, j in off)
            far = sum(C[k][j] for k, j in off if G[k][j] > mean)
            found.append((100 * wrong / organs, 100 * far / organs, sum(C[k][j] * G[k][j] for k, j in off) / wrong))
        means = [sum(values) / 2 for values in zip(*found, strict=True)]
        assert [row[name] for name in ("wrong", "far", "cost")] == pytest.approx(means)
        assert 0 <= row["far"] <= row["wrong"] and 0 < row["cost"] < 1
    assert [row["method"] for row in tables.mistakes.rows] == [*BOTH]


def test_one_seed_has_no_sd(tables):
    one = Tables([result for result in tables.results if result.settings.seed == 0], main=(4,))
    assert math.isnan(one.table1.rows[0]["mean sd"]) and not math.isnan(one.table1.rows[0]["mean"])
    assert plus_minus(one.table1.rows[0]["mean"], math.nan) in str(one)


def test_an_organ_that_no_run_has_is_left_out(tables):
    first, *others = tables.results
    lacking = dataclasses.replace(first, figures=first.figures | {"ct spleen": math.nan})
    row = Tables([lacking, *others], main=(4,)).table1.rows[0]
    assert row["ct spleen"] == others[0].figures["ct spleen"] and math.isnan(row["ct spleen sd"])


def test_finished_runs_are_used_as_they_are(tables, data, folder):
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    again = segmentation.tables(data, "ci", (1, 0), BOTH, folder, progress=False, **TINY)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")} == times
    assert again.table1.rows == tables.table1.rows
    assert tables.costs.rows[0]["peak MiB"] > 100 and len(tables.costs.rows) == 6


def test_a_run_that_was_stopped_goes_on(tables, data, folder, tmp_path):
    settings = tables.results[0].settings
    changes = {name: value for name, value in dataclasses.asdict(settings).items() if name in {*TINY, "evaluate_every"}}
    run = segmentation.train("joint", data, "ci", 0, tmp_path / "joint-ci-seed0", **changes, checkpoint_every=2)
    next(run), next(run)
    one = segmentation.tables(data, "ci", (0,), ("joint",), tmp_path, progress=False, **TINY)
    assert [row["step"] for row in one.results[0].history] == [1, 2, 3, 4]
    assert one.results[0].figures == tables.results[0].figures


def test_a_folder_with_another_run_is_refused_before_training(data, folder, tables, tmp_path):
    before = sorted(folder.iterdir())
    with pytest.raises(BadInput, match="2 problems") as caught:
        segmentation.tables(data, "ci", (0, 7), BOTH, folder, progress=False, **TINY, weight_decay=0.5)
    assert "weight_decay 0.0 instead of 0.5; choose another folder" in str(caught.value)
    assert sorted(folder.iterdir()) == before
    shutil.copytree(folder / "joint-ci-seed0", tmp_path / "joint-ci-seed0")
    about = tmp_path / "joint-ci-seed0" / "settings.json"
    about.write_text(about.read_text().replace(tables.results[0].fingerprint, "another"))
    with pytest.raises(BadInput, match="a run on the data asked for, found one on synthetic scans"):
        segmentation.tables(data, "ci", (0,), BOTH, tmp_path, progress=False, **TINY)


def test_what_is_asked_for_is_checked(data, folder):
    with pytest.raises(BadInput, match="seeds: expected none twice, found 0, 0"):
        segmentation.tables(data, "ci", (0, 0), BOTH, folder)
    with pytest.raises(BadInput, match="method: expected one of individual"):
        segmentation.tables(data, "ci", (0,), ("jont",), folder)
    with pytest.raises(BadInput, match="expected at least one run"):
        segmentation.tables(data, "ci", (), BOTH, folder)


def test_tables_of_runs_that_are_there(tables, folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    old = copy / "joint-ci-seed0" / "report.json"
    old.write_text(json.dumps({"title": "of older code", "about": {"steps": 4}, "rows": []}))
    stale = copy / "joint-ci-seed1" / "report.json"  # of an earlier step of the run
    content = json.loads(stale.read_text())
    stale.write_text(json.dumps(content | {"about": content["about"] | {"steps": 2}, "cases": content["cases"][:1]}))
    found = segmentation.from_runs(sorted(copy.iterdir()))
    assert found.table1.rows == tables.table1.rows and found.main == (4,)
    assert "cases" in json.loads(old.read_text())  # evaluated anew
    assert [row["d"] for row in found.figure6a.rows] == [2, 4]


def test_an_unfinished_or_doubled_run_is_refused(tables, data, folder, tmp_path):
    run = segmentation.train("joint", data, "ci", 3, tmp_path / "half", **TINY, checkpoint_every=1)
    next(run)
    with pytest.raises(BadInput, match="half: expected 4 steps, found 1"):
        segmentation.from_runs([folder / "joint-ci-seed0", tmp_path / "half"])
    with pytest.raises(BadInput, match="each seed of a method once"):
        Tables([*tables.results, dataclasses.replace(tables.results[0], folder=tmp_path)])
    other = dataclasses.replace(tables.results[1], settings=tables.results[1].settings.changed(weight_decay=0.5))
    with pytest.raises(BadInput, match="found weight_decay 0.5 beside 0.0"):
        Tables([tables.results[0], other])
    with pytest.raises(BadInput, match="expected the data of"):
        Tables([tables.results[0], dataclasses.replace(tables.results[1], fingerprint="another")])


def test_methods_trained_otherwise_are_no_fair_comparison(tables):
    def joint(**changes):
        return str(Tables([
            dataclasses.replace(r, settings=r.settings.changed(**changes)) if r.settings.method == "joint" else r
            for r in tables.results[::-1]
        ], (4,)).table1)  # fmt: skip

    said = "Joint: learning_rate 2.0 beside {:g} of joint_sepbn_i2pemd; no fair comparison"
    assert said.format(tables.results[0].settings.learning_rate) in joint(learning_rate=2.0)
    assert "no fair comparison" not in joint(weight=2.0)  # which Joint does not read
    assert "no fair comparison" not in str(tables)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "paper's setting"),
        ({"crop": "organs", "seed": 4, "evaluate_every": 9, "profile": "laptop"}, "paper's setting"),
        ({"crop": "none"}, "scaled down"),
        ({"steps": 40_000}, "scaled down"),
        ({"dim": 16}, "scaled down"),
        ({"weight": 0.5}, "paper's setting"),
        ({"weight": 0.0, "method": "joint_sepbn_i2pemd"}, "scaled down"),
        ({"ce": "plain", "upconv": "ummkd", "normalise": "modality", "weight_decay": 2e-4}, "paper's setting"),
        ({"augment": "noise"}, "scaled down"),
        ({"precision": "bfloat16"}, "paper's setting"),
    ],
)
def test_labels(changes, expected):
    settings = SegmentationSettings(method="joint").changed(**changes)
    assert Tables.label(settings, "real") == expected and Tables.label(settings, "synthetic") == "synthetic"


def test_every_setting_says_whose_it_is():
    for task in ("segmentation", "classification"):
        module = importlib.import_module(f"i2pemd_lite.{task}")
        facts = module.settings
        names = {field.name for field in dataclasses.fields(module.TASK.settings)}
        assert names - {*FREE, "preset"} | {"precision"} == facts.SETTINGS.keys()
        found = choices.table(module)
        assert {choice.kind for _, _, choice in found} <= choices.KINDS.keys()
        assert all(choice.theirs and not choice.theirs.endswith(".") for _, _, choice in found)
        page = found._repr_mimebundle_()["text/html"]  # a fold for each kind, each row in one
        assert page.count("<details>") == len({choice.kind for _, _, choice in found})
        assert page.count('scope="row"') == len(found) and "ours at full size" in page
        ramped = ("MT", "SRC-MT", "augMT", "VAT", "MixMatch") if task == "classification" else ()
        own = {f"{name}'s own term" for name in ramped}
        own |= {"own term of FlexMatch, FixMatch, Filter_all, Baseline+I2PEMD_fix, Ours"} if ramped else set()
        assert facts.others(module.TASK.settings()).keys() == facts.OTHERS.keys() | own


def test_the_table_says_which_open_choices_are_others(tables):
    plain = [dataclasses.replace(r, settings=r.settings.changed(ce="plain")) for r in tables.results]
    other, here = (" ".join(str(each.table1).split()) for each in (Tables(plain, (4,)), tables))
    assert "not as in our full-size default (float32): ce plain, init torch" in other and "ce plain" not in here
    assert "python -m i2pemd_lite readings" in here


def beside(tables):
    """What every table says of the open choices, by its name; none is without."""
    found = {}
    for name, report in tables.reports().items():
        assert "setting" in report.rows[0]
        (found[name],) = (line for line in report.notes if "python -m i2pemd_lite readings" in line)
    return found


def test_beside_every_table_stand_the_open_choices_of_all_its_runs(tables):
    words = beside(tables)
    assert words.keys() == Tables.REPORTS.keys() - {"unusual"}  # which no run was asked for
    assert {each.count("(float32): init torch, ct_window") for each in words.values()} == {1}
    last = tables.results[-1]  # of the proposed method, with the d of Figure 6 (a) alone
    assert last.settings.dim == 2
    mixed = [*tables.results[:-1], dataclasses.replace(last, settings=last.settings.changed(ce="plain"))]
    mixed[0] = dataclasses.replace(mixed[0], settings=mixed[0].settings.changed(precision="bfloat16"))
    mixed[-2] = dataclasses.replace(mixed[-2], settings=mixed[-2].settings.changed(ce="plain"))
    words = beside(Tables(mixed, (4,)))
    said = {name: re.findall(r"precision \w+ \([^)]*\)|ce plain \([^)]*\)", each) for name, each in words.items()}
    one, half = ["precision bfloat16 (1 of 4 runs)"], ["ce plain (2 of 4 runs)"]
    every = dict.fromkeys(("table1", "differences", "mistakes", "surfaces"), one)
    assert said == every | {"table2": [], "table3": [], "figure6a": half, "figure6b": []}


def test_what_is_shown_is_the_precision_that_a_run_had(tables, data, folder, tmp_path):
    assert {run.settings.precision for run in tables.results} == {"float32"}  # set to "auto", on a CPU
    shutil.copytree(folder / "joint-ci-seed0", tmp_path / "auto")
    about = tmp_path / "auto" / "settings.json"
    assert about.read_text().count('"precision": "float32"') == 1
    about.write_text(about.read_text().replace('"precision": "float32"', '"precision": "bfloat16"'))  # of a GPU
    segmentation.train("joint", data, "ci", 1, tmp_path / "set", **TINY, precision="bfloat16").finish(False)
    found = segmentation.from_runs([tmp_path / "auto", tmp_path / "set", folder / "joint_sepbn_i2pemd-ci-seed0"])
    assert "precision bfloat16 (2 of 3 runs)" in " ".join(str(found.table1).split())
    assert [row["precision"] for row in found.costs.rows] == ["bfloat16", "bfloat16", "float32"]


def test_a_preset_at_full_size_has_its_own_label():
    beyond = TASK.settings_for("joint", "gpu", changes={"preset": "beyond"})
    assert Tables.label(beyond, "real") == "beyond" and Tables.label(beyond.changed(width=4), "real") == "scaled down"


# --- files and the command ----------------------------------------------------------------------------------------


def test_tables_are_written(tables, tmp_path):
    tables.save(tmp_path)
    saved = json.loads((tmp_path / "table1.json").read_text())
    assert saved["rows"][0]["mean"] == tables.table1.rows[0]["mean"]
    with open(tmp_path / "table3.csv", newline="") as file:
        assert float(list(csv.DictReader(file))[0]["mean"]) == tables.table3.rows[0]["mean"]
    text = (tmp_path / "tables.md").read_text()
    assert "`seed` 0, 1" in text and "MiB" in text and "| Joint+sepBN+I2PEMD | synthetic |" in text
    names = ("table1", "differences", "mistakes", "table2", "table3", "surfaces", "figure6a", "figure6b", "runs")
    files = {f"{name}.{suffix}" for name in names for suffix in ("json", "csv")}
    assert {path.name for path in tmp_path.iterdir()} == {"tables.md", *files}


def test_the_command_prints_and_writes(tables, abdomen, folder, tmp_path, capsys):
    texts = {name: str(value).strip("()").replace(" ", "") for name, value in TINY.items()}
    sets = [f"--set={name}={text}" for name, text in texts.items()]
    words = ["tables", "segmentation", "--profile=ci", "--seeds=0,1", "--methods=joint,joint_sepbn_i2pemd", *sets]
    assert main([*words, f"--data={abdomen}", f"--folder={folder}", f"--out={tmp_path / 'a'}"]) == 0
    printed = capsys.readouterr().out
    assert "Table 1" in printed and "Table 2" in printed and "Table 3" in printed and "Figure 6 (a)" not in printed
    assert "Figure 6 (b)" in printed
    runs = [f"{folder}/{method}-ci-seed{seed}" for method in BOTH for seed in (0, 1)]
    assert main(["tables", "segmentation", f"--out={tmp_path / 'b'}", "--runs", *runs]) == 0
    assert (tmp_path / "a" / "table1.json").read_text() == (tmp_path / "b" / "table1.json").read_text()
    assert main(["tables", "segmentation", "--seeds=0", "--runs", *runs]) == 1
    assert "--runs: expected beside it only --data and --out, found seeds" in capsys.readouterr().err


def test_a_method_of_ones_own_is_a_row_by_its_own_name():
    own = {**segmentation.METHODS, "mine": segmentation.METHODS["joint"]}

    class Mine(segmentation.Tables):
        TASK = dataclasses.replace(segmentation.TASK, methods=own)

    assert list(Mine.NAMES) == [*segmentation.Tables.NAMES, "mine"] and Mine.NAMES["mine"] == "mine"


def test_a_table_in_a_page_shows_words_as_they_are():
    assert Report("1 < 2", [{"a": "<b>"}])._repr_html_() == (
        f'<table><caption>1 &lt; 2</caption><tr><th style="{WORDS}">a</th></tr><tr><td>&lt;b&gt;</td></tr></table>'
    )
    page = html_table(["a < b"], [["<b>1</b>", "2"]], "1 < 2", names=1)  # whose cells are HTML already
    assert "<caption>1 &lt; 2</caption><thead>" in page and "a &lt; b</th></tr></thead>" in page
    assert "<b>1</b></td>" in page and "2</th></tr></tbody>" in page
    assert "caption" not in html_table((), [["1"]]) and "<thead></thead>" in html_table((), [["1"]])
