"""That the benchmark runs and prints usable figures; how large they are is not a test's business."""

import importlib
import json
import math
import shutil
import sys
from pathlib import Path

import bench
import faults
import figures
import inputs
import intervals
import lessons
import numpy as np
import parts
import pytest
import race
import skin
import step
import timing
import torch
from PIL import Image

from i2pemd_lite import classification
from i2pemd_lite.classification import augment
from i2pemd_lite.classification.tables import COVERS
from i2pemd_lite.files import BadInput, root
from i2pemd_lite.tables.statistics import jackknife


@pytest.fixture
def figures_of(tmp_path, capsys):
    """What a quick run writes, by (where, what), and prints, each name of it being in the printed table."""

    def run(table, *options):
        file, threads = tmp_path / "figures.json", torch.get_num_threads()
        bench.main([table, "--quick", "--threads", "1", "--json", str(file), *options])
        torch.set_num_threads(threads)
        printed = capsys.readouterr().out
        figures = json.loads(file.read_text(encoding="utf-8"))
        assert figures.keys() == {"machine", table} and "cpu" in printed.splitlines()[0]
        rows = {(row["where"], row["what"]): row for row in figures[table]}
        assert rows and all(name in printed for key in rows for name in key)
        return rows, printed

    return run


def positive(row):
    names = ("time", "x cross-entropy", "x copy", "x bound", "x MONAI loop", "x its memory", "peak MB", "parameters",
             "images/s", "x PIL loop", "x JPEG loop", "x fastest loop")  # fmt: skip
    values = [row[name] for name in names if name in row]
    return values and all(math.isfinite(value) and value > 0 for value in values)


@pytest.mark.skipif(faults.FORK is None, reason="no process can be forked here")
def test_faults_end_well(figures_of, both, monkeypatch):
    monkeypatch.setenv("I2PEMD_DATA", str(both))
    rows, _ = figures_of("faults")
    assert {what for _, what in rows} == {*faults.KINDS, "input"}
    assert len(rows) == 2 * len(faults.KINDS) + len(inputs.KINDS)
    for (_, what), row in rows.items():
        well = row["same"] + row["named"] + (row["other"] if what == "input" else 0)
        assert row["tried"] == 1 == well and (row["same"] or what in ("damage", "input"))


@pytest.mark.slow
def test_sweeps_are_timed_with_one_worker_and_with_two(figures_of):
    rows, _ = figures_of("sweep")
    assert [what for _, what in rows] == ["one worker", "two workers", "not training"]
    assert all(map(positive, rows.values())) and 0 < rows["a trial", "not training"]["percent of it"] < 100


def test_losses_are_timed(figures_of):
    rows, _ = figures_of("loss")
    for name in ("segmentation_loss", "segmentation_loss_reference", "F.cross_entropy", "copy of the logits", "bound"):
        assert ("cpu 2x5x4x64x64", name) in rows
    assert all(positive(row) for row in rows.values())
    assert rows["cpu 2x5x4x64x64", "F.cross_entropy"]["x cross-entropy"] == 1


@pytest.mark.slow
def test_what_each_method_adds_is_measured(figures_of):
    rows, _ = figures_of("added")
    rows = {what: row for (_, what), row in rows.items()}
    assert len(rows) == 10 and all(math.isfinite(row["over the run"]) for row in rows.values())
    # In a run of 8 steps SRC-MT's term comes in the last one, UA-MT's is nearly none; MT's is there from the first on.
    assert rows["SRC-MT"]["25 %"] == 0 < rows["MT"]["25 %"] and rows["augMT"]["25 %"] < 1e-3
    assert rows["Filter_all"]["over the run"] > rows["FixMatch"]["over the run"]


@pytest.mark.slow
def test_transport_is_timed_and_exact(figures_of):
    rows, printed = figures_of("transport")
    assert all(positive(row) for row in rows.values())
    for K in (5, 7):  # against a label the closed form is the optimum
        assert rows[f"cpu K={K} to label", "i2pemd (Eq. 6)"]["largest error"] < 1e-12
    assert "ot.solve_batch(reg=None)" in printed


@pytest.mark.slow
def test_steps_are_timed_beside_monai(figures_of):
    rows, _ = figures_of("step")
    rows = {what: row for (_, what), row in rows.items()}
    steps = {what: row for what, row in rows.items() if "time" in row}
    assert list(steps)[0] == "joint_sepbn_i2pemd" and all(positive(row) for row in steps.values())
    assert steps[step.PLAIN]["x MONAI loop"] == 1
    assert steps["joint"]["parameters"] == steps[step.PLAIN]["parameters"]
    for theirs in step.MONAIS:
        assert 0.8 < steps[theirs]["parameters"] / steps[step.PLAIN]["parameters"] < 1.25
    assert sys.platform != "linux" or steps["joint_sepbn_i2pemd"]["peak MB"] > 1
    shares = {what: row["% of a step"] for what, row in rows.items() if what not in steps}
    for what in ("the batch", "prototypes (Eq. 10, 11)", "ground distance (Eq. 3-5)"):
        assert 0 < shares[what] < 100
    assert all(math.isfinite(share) for share in shares.values())


@pytest.mark.slow
def test_skin_steps_are_timed_beside_plain_loops(figures_of):
    rows, _ = figures_of("skin")
    assert {where for where, _ in rows} == {"cpu 12+36x24x24 float32"}
    rows = {what: row for (_, what), row in rows.items()}
    steps = {what: row for what, row in rows.items() if "images/s" in row}
    loops = ["PIL loop", "PIL loop, 2 workers", "JPEG loop", "JPEG loop, 2 workers"]
    assert list(steps) == ["i2pemd", "fixmatch", *loops] and all(positive(row) for row in steps.values())
    speed = {what: row["images/s"] for what, row in steps.items()}
    for what, row in steps.items():
        assert speed[what] == pytest.approx(48 * 1000 / row["time"])
        for loop in ("PIL loop", "JPEG loop"):
            assert row[f"x {loop}"] == pytest.approx(speed[what] / speed[loop])
        assert row["x fastest loop"] == pytest.approx(speed[what] / max(speed[loop] for loop in loops))
    shares = {what: row["% of a step"] for what, row in rows.items() if "% of a step" in row}
    assert all(0 < share < 100 for share in shares.values()), shares
    inside = [shares.pop(part) for part in ("forward", "backward", "optimiser", timing.OUTSIDE)]
    assert 70 < sum(inside) < 130  # medians, each over other turns
    assert {"draw of the batch", "weak and strong views", "counts by region"} < shares.keys()
    theirs = {"batch and views of the PIL loop", "batch and views of the JPEG loop"}
    assert rows.keys() == {*steps, *shares, "forward", "backward", "optimiser", timing.OUTSIDE, *theirs}
    assert all(rows[what]["time"] > 0 for what in (*shares, *theirs))


def test_marks_divide_a_turn_into_its_parts():
    marks = timing.Marks.__new__(timing.Marks)
    turn = [(timing.OUTSIDE, 0.0), ("forward", 1.0), (timing.OUTSIDE, 3.0), ("backward", 4.0), ("optimiser", 8.0),
            (timing.OUTSIDE, 9.0), ("end", 10.0)]  # fmt: skip
    marks.turns = [turn, turn]
    assert marks.shares() == {"forward": 0.2, "backward": 0.4, "optimiser": 0.1, timing.OUTSIDE: 0.3}


def test_plain_loop_has_our_pool_and_views():
    s = classification.TASK.settings_for("fixmatch", "ci")
    assert set(skin.OPERATIONS) == set(augment.POOL) and len(skin.OPERATIONS) == len(augment.POOL) == 14
    array = np.asarray(Image.linear_gradient("L").convert("RGB").resize((27, 27)))
    view, label = skin.Pictures([array], [3], s)[0]
    weak, strong = skin.Pictures([array], None, s)[0]
    ours = augment.weak(torch.from_numpy(array.copy()).movedim(-1, 0)[None], s.size, torch.Generator().manual_seed(0))
    assert label == 3 and view.dtype == ours.dtype and view.shape == weak.shape == strong.shape == ours.shape[1:]
    plain = skin.to_tensor(Image.fromarray(array))
    torch.testing.assert_close(plain, augment.normalise(torch.from_numpy(array.copy()).movedim(-1, 0)[None].float())[0])


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", augment.POOL)
def test_plain_loop_operates_as_our_pool_does(name, sign):
    # A smooth picture, for they take the nearest pixel. They shear around the corner, ours around the centre.
    y, x = np.mgrid[:48, :48]
    array = np.stack([120 + 1.2 * x - y, 90 + y, 150 - 0.8 * x - 0.4 * y], -1).clip(0, 255).astype(np.uint8)
    theirs = np.asarray(skin.OPERATIONS[name](Image.fromarray(array), 0.5, sign)).astype(float)
    image, choice = torch.from_numpy(array).movedim(-1, 0)[None], torch.tensor([augment.POOL.index(name)])
    strength = torch.tensor([0.5])
    maps = augment.geometric_maps(choice, strength * sign, 48)
    ours = augment.colour(augment.warp(image, maps, 48), choice, strength, torch.tensor([float(sign)]))
    shifted = {"ShearX": (24 * 0.15 * sign * 1.2, 0, 24 * 0.15 * sign * -0.8),
               "ShearY": (24 * 0.15 * sign * -1, 24 * 0.15 * sign, 24 * 0.15 * sign * -0.4)}.get(name, 0)  # fmt: skip
    off = (theirs - shifted - ours[0].movedim(0, -1).numpy())[16:32, 16:32]
    assert np.abs(off).max() < 3.5, np.abs(off).max()


def test_plain_loop_has_the_loss_of_fixmatch():
    random = np.random.default_rng(0)
    logits, y, tau, weight = random.normal(size=(4 + 5 + 5, 7)) * 3, np.array([0, 3, 6, 3]), 0.8, 0.7
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    sure = [i for i in range(5) if p[4 + i].max() > tau]
    assert 0 < len(sure) < 5
    L_s = -sum(math.log(p[i, y[i]]) for i in range(4)) / 4
    L_u = -sum(math.log(p[9 + i, p[4 + i].argmax()]) for i in sure) / 5
    found = skin.fixmatch_loss(torch.from_numpy(logits), torch.from_numpy(y), tau, weight)
    assert found.item() == pytest.approx(L_s + weight * L_u)


@pytest.mark.slow
def test_lessons_are_timed_and_read_aloud(figures_of):
    rows, _ = figures_of("lessons")
    assert all(0 < row["silent s"] < row["time"] for row in rows.values())
    (row,) = rows.values()
    assert positive(row) and row["CPU s"] > 0 and row["runs"] == 1
    assert 500 < row["words"] < 3000 and 0.5 < row["aloud min"] / (row["words"] / lessons.PACE) < 2
    page = lessons.markdown([row], {"cpu": "one"}, "run")
    assert f"| {row['what']} | ci | {row['time']:.1f} | s |" in page


def test_intervals_are_asked_how_often_they_hold_the_truth(figures_of, tmp_path):
    rows, _ = figures_of("coverage", f"--markdown={tmp_path / 'intervals.md'}")
    whats = [f"{figure}, {what}" for what in ("A", "A less B") for figure in ("AUC", "F1", "top-1")]
    assert [*rows] == [("60 lesions", what) for what in whats]
    for row in rows.values():
        assert row["sets"] == 4 and 0 <= row["percentile"] <= 100 and 0 < row["width"]
        assert row["low"] + row["jackknife"] + row["high"] == pytest.approx(100)
    assert "| F1, A less B | 60 lesions | 4 |" in (tmp_path / "intervals.md").read_text(encoding="utf-8")
    plain, ours = np.array([[0, 0.4, 0.6], [1, 0.6, 0.7]]), np.array([[0, 0.4, 0.5], [1, 0.6, 0.7]])
    found = intervals.held(plain, ours, 0.55)
    assert (found["percentile"], found["jackknife"]) == pytest.approx((200 / 3, 100))


def test_what_is_said_of_intervals_was_measured():
    page = Path(intervals.__file__).with_suffix(".md").read_text(encoding="utf-8")
    head, _, *rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    held = {tuple(row[:2]): round(float(row[head.index("jackknife")])) for row in rows}
    plain = {tuple(row[:2]): round(float(row[head.index("percentile")])) for row in rows}
    alone, apart = ([held[f"{name}, {what}", "750 lesions"] for name in intervals.FIGURES.values()]
                    for what in ("A", "A less B"))  # fmt: skip
    assert f"{min(alone)} to {max(alone)} of 100" in COVERS and f"{min(apart)} to {max(apart)} those" in COVERS
    few, many = ("F1, A", "100 lesions"), ("F1, A", "750 lesions")
    assert f"{held['AUC, A', '100 lesions']} held the true AUC and {held[few]} the true F1" in COVERS
    said = " ".join(jackknife.__doc__.split())
    assert f"{held[many]} % of these intervals held the true F1, where {plain[many]} % of those" in said
    assert f"lesions {held[few]} and {plain[few]} %" in said
    (lesson,) = (root() / "notebooks").glob("07_*.ipynb")
    said = lesson.read_text(encoding="utf-8")
    assert f"held the true F1 of a network in {plain[many]} of 100 test sets" in said
    assert f"held the true F1 in {held[many]} of 100, but with 100 lesions only in {held[few]}," in said
    assert f"with 750 lesions, it was {min(apart)} to {max(apart)}, depending on the figure." in said


def test_the_population_is_as_frequent_and_as_hard_as_it_says():
    labels, groups, scores = intervals.population(20_000, np.random.default_rng(1))
    assert np.bincount(labels) / len(labels) == pytest.approx(intervals.COUNTS / intervals.COUNTS.sum(), abs=0.01)
    assert np.bincount(groups).mean() == pytest.approx(1.34, abs=0.02) and max(np.bincount(groups)) == 4
    assert [np.mean(each.argmax(1) == labels) for each in scores] == pytest.approx([0.76, 0.74], abs=0.01)


@pytest.mark.parametrize("page", figures.PAGES, ids=[path.name for path in figures.PAGES.values()])
def test_every_figure_of_a_page_is_that_of_its_file(page):
    template, whole = figures.PAGES[page].read_text(encoding="utf-8"), page.read_text(encoding="utf-8")
    assert figures.placed(whole, figures.filled(template)[0]) == whole, "python3 run.py bench figures"


def test_what_choices_say_was_measured_is_what_the_files_say():
    segmentation, skin = (importlib.import_module(f"i2pemd_lite.{task}.settings")
                          for task in ("segmentation", "classification"))  # fmt: skip
    doc = {each[""]: figures.number(each["overall"]) for each in figures.rows("segmentation/open_choices")}
    names = ("I2PED, weight_i2ped = 1", "I2PED, weight_i2ped = 0.1", "I2PED, weight_i2ped = 0.05, float32")
    one, tenth, half = (doc[name] for name in names)
    low, same, high = (doc[f"I2PEMD, λ = {weight}"] for weight in ("0.2", "1", "5"))
    found = {name: each.measured for name, each in segmentation.SETTINGS.items()}
    assert found["weight_i2ped"] == f"1: collapses, {one}; 0.1: {tenth}; 0.05: {half} (seed 0)"
    assert found["weight"] == f"λ 0.2: {low}, 1: {same}, 5: {high} (seed 0)"
    both, apart = (doc[f"I2PEMD, add = {name}, 400 steps, float32"] for name in ("sum", "mean"))
    assert found["add"] == f"sum {both}, mean {apart} after 400 steps (seed 0)"
    assert found["fixed"] == f"0.5: {doc['fixed G, a mistake costs 0.5']} (seed 0)"
    pair = {each["setting"]: f"{each['auc']:.1f} / {each['f1']:.1f}"
            for each in figures.rows(f"{figures.RANDOM}/open_choices")}  # fmt: skip
    strong, usual = pair["prototypes from strong views (features=strong)"], pair["I2PEMD as in the tables"]
    assert skin.SETTINGS["features"].measured == f"AUC / F1 {usual}, strong {strong} (seed 0)"
    own, theirs = pair["FixMatch as in the tables, τ = 0.8"], pair["τ = 0.95, its authors'"]
    assert skin.OTHERS["FixMatch's τ"][1].measured == f"AUC / F1 {own}, with 0.95 {theirs} (seed 0)"
    moved = [max(abs(each[f"on: {name}"] - each[f"off: {name}"]) for each in figures.rows(f"{figures.RANDOM}/dropout"))
             for name in ("right %", "let in of 36")]  # fmt: skip
    most = "in all five rows at most {:.1f} points of labels right and {:.1f} of 36 let in, in any quarter of"
    assert skin.OTHERS["dropout in pseudo-labels"][1].measured.startswith(most.format(*moved))
    added = {each["what"]: 100 * each["over the run"] for each in figures.rows(f"{figures.RANDOM}/added")}
    assert skin.SETTINGS["vat_weight"].measured.startswith(f"adds {added['VAT']:.0f} % ")
    assert skin.SETTINGS["ua_weight"].measured.startswith(f"adds {added['augMT']:.2f} % ")


def test_a_page_is_written_anew_from_its_files(tmp_path, monkeypatch):
    page, template = tmp_path / "page.md", tmp_path / "page.in.md"
    page.write_text("DOC 1.0\n", encoding="utf-8")
    template.write_text('DOC {{number(row("own", seed=1)["doc"])}}\n', encoding="utf-8")
    (tmp_path / "own.json").write_text('[{"seed": 0, "doc": 3.0}, {"seed": 1, "doc": -2.04}]', encoding="utf-8")
    for name, value in {"RESULTS": tmp_path, "PAGES": {page: template}, "root": lambda: tmp_path}.items():
        monkeypatch.setattr(figures, name, value)
    (found,) = figures.figure_rows(quick=True)
    assert page.read_text(encoding="utf-8") == "DOC 1.0\n" and found["figures"] == 1
    figures.figure_rows(quick=False)
    assert page.read_text(encoding="utf-8") == "DOC −2.0\n"


def test_marks_hold_what_is_written_between_them():
    assert figures.placed(f"a\n{figures.BEGIN}b\n{figures.END}\nc", "d\n") == f"a\n{figures.BEGIN}d\n{figures.END}\nc"


@pytest.mark.slow
def test_parts_of_the_recipe_are_measured_each_once(figures_of, both, monkeypatch, tmp_path):
    monkeypatch.setenv("I2PEMD_DATA", str(both))
    out = tmp_path / "parts"
    rows, _ = figures_of("parts", f"--out={out}")
    rows = {what: row for (_, what), row in rows.items()}
    assert tuple(rows) == parts.QUICK and rows["full recipe"]["Δ"] == 0
    for name, row in rows.items():
        assert row["steps"] == 2 and 0 <= row["worst"] <= row["DOC"] <= 100 and row["in"].startswith(("ct/", "mr/"))
        assert row["Δ"] == pytest.approx(row["DOC"] - rows["full recipe"]["DOC"]) and row["seconds a scan"] >= 0
        assert {"unusual", "large spleen", "turned contrast", "worst unusual", "peak MiB"} <= row.keys(), name
    shutil.rmtree(out / parts._slug("all pieces of an organ"))  # its row stays
    written = {path: path.stat().st_mtime_ns for path in out.rglob("report.json")}
    assert len(written) == len(parts.QUICK) - 1
    assert json.loads((out / "parts.json").read_text())["rows"][0]["part"] == "full recipe"
    assert "| without scale |" in (out / "parts.md").read_text() and (out / "parts.csv").is_file()
    again, _ = figures_of("parts", f"--out={out}", "--only=without scale")
    assert [row["DOC"] for row in again.values()] == [row["DOC"] for row in rows.values()]
    assert written == {path: path.stat().st_mtime_ns for path in out.rglob("report.json")}
    with pytest.raises(BadInput, match="--only: expected some of full recipe; .*; found without luck"):
        bench.main(["parts", "--quick", "--threads=1", f"--out={out}", "--only=without luck"])


def test_every_part_changes_the_recipe_in_what_a_run_can_set():
    full = parts.TASK.settings_for(parts.PROPOSED, "laptop", changes={"preset": "beyond"})
    found = {name: full.changed(**changes) for name, changes in parts.TRAINED.items()}
    assert all((found[name] == full) == (name == parts.FULL) for name in found)
    assert not any("," in name for name in parts.TRAINED | parts.PREDICTED)  # which --only parts names by
    assert len({parts._slug(name) for name in parts.TRAINED | parts.PREDICTED}) == len(parts.TRAINED | parts.PREDICTED)
    for changes in parts.PREDICTED.values():
        assert full.changed(**{name: full.patch_depth if value == "patch_depth" else value
                               for name, value in changes.items()}) != full  # fmt: skip


@pytest.mark.slow
def test_a_race_evaluates_all_on_their_way_and_draws_them(both, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("I2PEMD_DATA", str(both))
    bench.main(["race", "--quick", "--threads=1", f"--out={tmp_path}"])
    rows = json.loads((tmp_path / "race.json").read_text())["rows"]
    for what in (race.OURS, *step.MONAIS):
        own = [row for row in rows if row["what"] == what]
        assert 1 <= len(own) <= 2 and own[-1]["steps"] >= len(own) and all(0 <= row["DOC"] <= 100 for row in own)
        assert [row["seconds"] for row in own] == sorted(row["seconds"] for row in own)
    assert "<svg" in (tmp_path / "race.svg").read_text() and "evaluated after" in capsys.readouterr().out
