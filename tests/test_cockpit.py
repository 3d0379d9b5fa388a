"""The training cockpit without a browser: its worker in this process, or a real one where processes matter."""

import asyncio
import csv
import io
import os
import shlex
import shutil
import signal
import time
from types import SimpleNamespace

import ipywidgets as widgets
import numpy as np
import pytest
from controls import ends, on_page, unseen

from i2pemd_lite import __main__, classification, segmentation
from i2pemd_lite.files import BadInput, run_lock
from i2pemd_lite.panels import cockpit, workbench
from i2pemd_lite.panels.board import _draw_prototypes
from i2pemd_lite.panels.engine.card import Card
from i2pemd_lite.panels.engine.panel import Panel, slider
from i2pemd_lite.runs.worker import Worker
from i2pemd_lite.tables import statistics


class Near:
    """A worker in this process, that takes one turn each time somebody listens."""

    def __init__(self):
        self.messages = []
        self.worker = Worker(self.messages.append)

    def tell(self, do, run, **more):
        self.worker.handle({"do": do, "run": run, **more})

    def heard(self):
        self.worker.turn()
        found, self.messages[:] = list(self.messages), []
        return found

    def close(self):
        self.worker.close()


TELL = Near.tell


@pytest.fixture(autouse=True)
def near(monkeypatch):
    monkeypatch.setattr(cockpit, "Process", Near)
    monkeypatch.setattr("i2pemd_lite.runs.worker.REPORT", 0)


@pytest.fixture(scope="module")
def kept(abdomen, skin, tmp_path_factory):
    """A folder with a run of organs and two of skin, each at step 4 of 6."""
    folder = tmp_path_factory.mktemp("runs")
    for name, module, data, method in (
        ("organs", segmentation, abdomen, "joint_sepbn_i2pemd"),
        ("skin", classification, skin, "i2pemd"),
        ("skin 2", classification, skin, "baseline"),
    ):
        run = module.train(method, data, folder=folder / name, profile="ci", steps=6, evaluate_every=2)
        for _ in range(4):
            next(run)
        run.save()
    return folder


@pytest.fixture
def runs(kept, tmp_path):
    """A copy of it."""
    return shutil.copytree(kept, tmp_path / "runs")


def press(board, button):
    assert not board.buttons[button].disabled, f"{button} is grey while the run is {board.chosen.state}"
    board.buttons[button].click()


def until(board, done, seconds=120):
    """Listen until `done()`; a picture is made of what is there then, and not of each step on the way."""
    end = time.monotonic() + seconds
    with unseen():
        while not done():
            assert time.monotonic() < end, (board.chosen, board.error.value)
            board.listen()
            time.sleep(0.01)
    board.refresh()


def test_a_run_is_started_paused_stepped_resumed_forked_and_stopped(tmp_path, task):
    board = cockpit.cockpit(tmp_path, task.name, task.folder, profile="ci")
    assert "press Start" in board.words and board.buttons["Pause"].disabled
    board.controls["steps"].value = "6"
    board.controls["name"].value = "ours"
    press(board, "Start")
    until(board, lambda: board.chosen.number == 2)
    press(board, "Pause")
    board.listen()
    number = board.chosen.number
    for _ in range(3):
        board.listen()
    assert (board.chosen.state, board.chosen.number) == ("paused", number)
    press(board, "Step")
    until(board, lambda: board.chosen.number == number + 1)
    assert board.chosen.state == "paused"
    board.controls["name"].value = "twin"
    press(board, "Fork")
    until(board, lambda: board.chosen.state == "paused")
    assert (board.chosen.name, board.chosen.number) == ("twin", number + 1)
    assert board.tracks["twin"].history[-1]["loss"] == board.tracks["ours"].history[-1]["loss"]
    board.controls["weight"].value = 0.25
    for name in ("ours", "twin"):
        board.controls["run"].value = name
        press(board, "Resume")
    until(board, lambda: {track.state for track in board.tracks.values()} == {"done"})
    assert board.tracks["twin"].changes == [[number + 2, "weight", 0.25]] and board.tracks["ours"].changes == []
    assert [row["step"] for row in board.tracks["ours"].history] == list(range(1, 7))
    measure = {"classification": "Validation AUC", "segmentation": "DOC"}[task.name]
    assert f"{measure} in percent: twin" in board.words and board.numbers["step"] == "6 of 6"
    assert board.numbers["time left"] == "-" and board.numbers["memory of all runs"].endswith("MiB")
    press(board, "Stop")
    board.listen()
    with run_lock(tmp_path / "twin"):
        pass
    twin = task.module.resume(tmp_path / "twin")
    assert twin.settings.weight == 0.25
    np.testing.assert_allclose(board.chosen.ground, twin.learner.bank.ground_distance(), atol=1e-6, rtol=0)
    board.end()


def test_a_run_is_stopping_until_its_step_is_done_and_what_takes_long_is_told(tmp_path, skin, monkeypatch):
    board = cockpit.cockpit(tmp_path, "classification", skin, profile="ci", steps=8, evaluate_every=3)
    assert board.state["steps"] == "8"
    press(board, "Start")
    until(board, lambda: board.chosen.number == 2)
    assert board.chosen.settings["steps"] == 8 and board.chosen.settings["evaluate_every"] == 3
    assert f"It needs about {board.numbers['time left']} more." in board.words != "-"
    with monkeypatch.context() as silent:
        silent.setattr(board._process, "heard", list)
        board.chosen.since -= 4
        board.listen()
        assert "The next step has taken 4 s so far." in board.words
    monkeypatch.setattr(Near, "tell", lambda *_, **__: None)  # a step goes on while Stop is pressed
    press(board, "Stop")
    board._process.worker.turn()
    board.listen()
    assert board.chosen.state == "stopping" and board.chosen.number > 2
    monkeypatch.setattr(Near, "tell", TELL)
    board._process.tell("stop", board.chosen.name)
    number = board._process.messages[-1]["number"]
    board.listen()
    assert (board.chosen.state, board.chosen.number, board.numbers["time left"]) == ("stopped", number, "-")
    board.end()


def test_what_happens_before_the_first_step_is_told(tmp_path, skin, monkeypatch):
    told, tell = [], Near.tell
    monkeypatch.setattr(Near, "tell", lambda *_, **__: None)  # as a process that is still loading
    board = cockpit.cockpit(tmp_path, "classification", skin, profile="ci")
    press(board, "Start")
    since = board.chosen.since
    for seconds in (0.0, 9.0):
        monkeypatch.setattr("i2pemd_lite.panels.board.time.monotonic", lambda: since + seconds)  # noqa: B023
        board.listen()  # in which nothing is heard
        told.append(board.words)
    monkeypatch.undo()
    start = "i2pemd is starting: a process of its own starts and loads PyTorch. So far {} s."
    assert told == [start.format(0), start.format(9)] and board.numbers["step"] == "-"
    board._process.messages.append({"event": "doing", "run": "i2pemd", "doing": "it reads the data"})
    board.listen()
    assert board.words.startswith("i2pemd is starting: it reads the data. So far ")
    about = {"task": "classification", "method": "i2pemd", "profile": "ci", "steps": 2, "data": str(skin)}
    tell(board._process, "open", "i2pemd", folder=str(tmp_path / "i2pemd"), **about)
    assert [message["event"] for message in board._process.messages] == ["doing", "settings"]
    board.listen()
    assert board.words.startswith("i2pemd (i2pemd) is paused: step 0 of 2.")
    board.end()


def test_every_live_control_reaches_the_run(runs):
    board = cockpit.cockpit(runs, "classification")
    press(board, "Fork")
    until(board, lambda: board.chosen.state == "paused")
    values = {"weight": 2.0, "momentum": 0.5, "learning_rate": 2e-5, "tau_low": 0.3, "tau_high": 0.6, "top": 5}
    for name, value in values.items():
        board.controls[name].value = value
    settings = board._process.worker.runs[board.chosen.name].run.settings
    assert {name: getattr(settings, name) for name in values} == values
    board.controls["run"].value = "skin 2"  # whose sliders are its own
    assert board.state["weight"] == 1.0 and settings.weight == 2.0
    assert shown(board) == ["learning_rate"]
    board.end()


def test_thresholds_that_cross_reach_the_run_together(runs):
    board = cockpit.cockpit(runs, "classification")
    press(board, "Fork")
    until(board, lambda: board.chosen.state == "paused")
    board.controls["tau_low"].value = 0.9
    board.listen()
    settings = board._process.worker.runs[board.chosen.name].run.settings
    assert (settings.tau_low, settings.tau_high) == (board.state["tau_low"], board.state["tau_high"]) == (0.9, 0.92)
    assert board.error.value == ""
    board.end()


def test_a_change_that_the_run_refuses_is_taken_back_on_the_panel(runs):
    board = cockpit.cockpit(runs, "segmentation")
    press(board, "Fork")
    until(board, lambda: board.chosen.state == "paused")
    board.controls["learning_rate"].options = [1e-3, -1.0]
    board.controls["learning_rate"].value = -1.0
    board.listen()
    assert "learning_rate: expected" in board.error.value
    assert board.state["learning_rate"] == board._process.worker.runs[board.chosen.name].run.settings.learning_rate > 0
    board.end()


def test_what_is_typed_wrongly_is_told_while_it_trains(tmp_path, skin, monkeypatch):
    monkeypatch.delenv("I2PEMD_STRICT", raising=False)
    board = cockpit.cockpit(tmp_path, "classification", skin, profile="ci")
    press(board, "Start")
    until(board, lambda: board.chosen.number >= 1)
    board.controls["weight"].typed = "abc"
    for _ in range(3):
        board.listen()
        assert "found &#x27;abc&#x27;" in board.error.value
    board.controls["weight"].typed = "2"
    board.listen()
    assert board.error.value == "" and board.chosen.settings["weight"] == 2.0
    board.end()


def test_a_bad_start_leaves_a_good_one_alone(tmp_path, skin, monkeypatch):
    """Both are asked for before the process answers the first; the good one takes the data that it finds."""
    monkeypatch.setenv("I2PEMD_DATA", str(skin))
    board = cockpit.cockpit(tmp_path, "classification", profile="ci")
    told, Near.tell = [], lambda self, do, run, **more: told.append((self, do, run, more))
    try:
        board.controls["data"].value = "/nowhere"
        press(board, "Start")
        board.controls["data"].value = ""
        press(board, "Start")
    finally:
        Near.tell = TELL
    for near, do, run, more in told:
        near.tell(do, run, **more)
    until(board, lambda: board.chosen.number >= 1)
    assert "expected a folder or compact file of data" in board.error.value and len(board.tracks) == 1
    board.end()


def test_a_change_that_is_on_its_way_while_its_run_is_stopped_and_resumed_is_answered(runs, monkeypatch):
    board = cockpit.cockpit(runs, "classification")
    press(board, "Step")
    until(board, lambda: board.chosen.state == "paused")
    late = []
    monkeypatch.setattr(Near, "tell", lambda self, do, run, **more: late.append((do, run, more)))
    board.controls["weight"].value = 0.5
    press(board, "Stop")
    press(board, "Step")
    monkeypatch.setattr(Near, "tell", TELL)
    for do, run, more in late:
        board._process.tell(do, run, **more)
    until(board, lambda: board.chosen.number == 6)
    board.controls["learning_rate"].options = [1e-3, -1.0]
    board.controls["learning_rate"].value = -1.0  # which is refused, and taken back
    board.listen()
    assert (board.state["weight"], board.chosen.asked) == (0.5, 0) and board.state["learning_rate"] > 0
    board.end()


def test_a_run_that_is_damaged_after_it_was_found_is_told(runs):
    board = cockpit.cockpit(runs, "classification")
    history = runs / "skin" / "history.csv"
    history.write_text("\n".join(history.read_text().splitlines()[:2]))
    press(board, "Step")
    board.listen()
    assert "history.csv" in board.error.value
    board.controls["run"].value = "skin 2"
    press(board, "Step")
    until(board, lambda: board.chosen.number == 5)
    board.end()


NAMES = [  # those that nobody gave are the run's or the method's; how the others are cleaned, both buttons share
    ("skin", "skin 3"), ("../away", "away"), ("..", "i2pemd"), ("x" * 300, "x" * 60), ("λ 0/1?", "λ 0-1"),
    ("", "i2pemd"), ("a file", "a file 2"), ("Skin", "Skin 3"), ("NUL", "NUL-"), ("com1.x", "com1-.x"),
    ("console", "console"),
]  # fmt: skip


@pytest.mark.parametrize(("button", "name", "expected"), [
    *(("Start", *each) for each in NAMES), ("Fork", "skin", "skin 3"), ("Fork", "..", "skin 3"), ("Fork", "", "skin 3"),
])  # fmt: skip
def test_no_name_is_refused(runs, skin, button, name, expected):
    (runs / "a file").touch()
    board = cockpit.cockpit(runs, "classification", skin, profile="ci")
    board.controls["name"].value = name
    press(board, button)
    board.listen()
    assert (board.chosen.name, board.error.value) == (expected, "") and (runs / expected / "settings.json").exists()
    board.end()


def test_what_is_changed_before_a_saved_run_is_resumed_holds(runs):
    board = cockpit.cockpit(runs, "classification")
    board.controls["momentum"].value = 0.3
    board.controls["weight"].value = 0.5
    press(board, "Step")
    assert board._process.worker.runs["skin"].run.settings.momentum == 0.3
    board.listen()
    assert board.chosen.changes == [[5, "momentum", 0.3], [5, "weight", 0.5]]
    assert board.result.changes == [(5, "α .3, λ .5")]
    press(board, "Stop")
    board.listen()
    again = cockpit.Cockpit(runs, "classification")
    assert again.chosen.changes == board.chosen.changes  # the folder tells them
    board.end()


def shown(board):
    return [name for name in board.shown if name in board.live]


def test_controls_that_a_task_has_not_are_not_shown(runs, tmp_path):
    board = cockpit.cockpit(runs, "segmentation")
    assert shown(board) == ["weight", "momentum", "learning_rate"]
    board.controls["task"].value = "classification"
    assert shown(board) == ["weight", "momentum", "tau_low", "tau_high", "top", "learning_rate"]
    assert board.controls["run"].options == ("skin", "skin 2")
    assert cockpit.cockpit(tmp_path / "none").shown == [
        "method", "run", "task", "profile", "seed", "steps", "batch", "data", "name"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "own"),
    {"upper_bound": "", "mean_teacher": "", "flexmatch": "weight", "fixmatch": "weight tau_high",
     "i2pemd": "weight momentum tau_low tau_high top", "joint": "", "ummkd": "weight_kd",
     "joint_sepbn_i2pemd_fix": "weight", "joint_sepbn_i2ped": "weight_i2ped momentum"}.items(),
)  # fmt: skip
def test_only_controls_that_the_method_reads_are_shown(runs, method, own):
    board = cockpit.cockpit(runs, "segmentation" if method in segmentation.METHODS else "classification")
    board.chosen.settings["method"] = method
    board.refresh()
    assert shown(board) == [*own.split(), "learning_rate"]
    before = dict(board.chosen.settings)
    hidden = {name: board.live[name] for name in board.live.keys() - {*shown(board), "learning_rate"}}
    board.set(**{name: control.min for name, control in hidden.items()})
    assert board.chosen.settings == before  # as Reset does


def test_three_controls_are_there_at_first_and_the_others_one_click_away():
    controls = {name: slider(name, 0, 0, 5, 1) for name in "abcd"}
    panel = Panel("four", controls, dict, lambda card, result: None, lambda result: ("", {}))
    assert on_page(panel) == ["a", "b", "c"] and panel.more.layout.display == ""
    panel.more.value = True
    assert on_page(panel) == ["a", "b", "c", "d"]


def test_every_control_works_at_both_ends_and_in_the_middle(runs):
    board = cockpit.cockpit(runs, "classification")
    for control in board.controls.values():
        if isinstance(control, widgets.Text):
            continue
        before = control.value
        for value in ends(control):
            control.value = value
            assert board.error.value == "" and board.state["tau_low"] < board.state["tau_high"]
            result = board.result
            assert result.run.task == board.state["task"]
            for line in result.losses + result.scores:
                assert len(line.x) == len(line.y) and np.isfinite(line.y).all()
            if result.run.ground is not None:
                np.testing.assert_array_equal(result.run.ground, np.transpose(result.run.ground))
        control.value = before


@pytest.mark.parametrize(
    "values, expected",
    [
        ({"seed": "1.5"}, "seed: expected a whole number, or nothing"),
        ({"batch": "12"}, "batch: expected labelled + unlabelled, as in 12 + 36, or nothing, found"),
        ({"batch": "0 + 4"}, "labelled: expected a whole number from 1"),
        ({"steps": "many"}, "steps: expected a whole number"),
        ({"steps": "0"}, "steps: expected a whole number from 1"),
        ({"data": "/nowhere"}, "expected a folder or compact file of data"),
    ],
)
def test_what_is_wrong_with_a_start_is_told_and_nothing_is_lost(runs, values, expected, monkeypatch):
    monkeypatch.delenv("I2PEMD_STRICT", raising=False)
    board = cockpit.cockpit(runs, "classification", profile="ci")
    picture, before = board.image.value, list(board.tracks)
    for name, value in values.items():
        board.controls[name].value = value
    press(board, "Start")
    board.listen()
    assert expected in board.error.value and 'role="alert"' in board.error.value
    assert list(board.tracks) == before and board.image.value == picture
    marked = {name for name, control in board.controls.items() if "i2pemd-wrong" in control._dom_classes}
    assert marked == values.keys()
    board.controls["measure"].value = "F1"  # it stays until something is done about it
    assert expected in board.error.value
    press(board, "Step")
    assert board.error.value == ""
    board.end()


def test_an_error_in_a_step_stops_its_run_and_says_what_to_do(tmp_path, skin):
    board = cockpit.cockpit(tmp_path, "classification", skin, profile="ci")
    press(board, "Start")
    until(board, lambda: board.chosen.number >= 1)
    board.controls["learning_rate"].options = [1e-3, 1e30]
    board.controls["learning_rate"].value = 1e30
    until(board, lambda: board.chosen.state == "failed")
    assert "lower learning_rate" in board.error.value
    board.controls["learning_rate"].value = 1e-3
    press(board, "Resume")
    until(board, lambda: board.chosen.state == "done")
    assert board.error.value == "" and all(np.isfinite(row["loss"]) for row in board.chosen.history)
    assert [row["step"] for row in board.chosen.history] == list(range(1, 21))
    board.end()


def test_damaged_and_half_written_runs_are_named_and_the_others_shown(runs):
    (runs / "skin 2" / "checkpoint.safetensors").write_bytes(b"half")
    board = cockpit.cockpit(runs, "classification")
    assert "skin 2" in board.error.value and list(board.controls["run"].options) == ["skin"]
    assert board.result.scores[0].label == "skin"
    (runs / "skin 2" / "checkpoint.safetensors").unlink()
    assert "still being written" in cockpit.cockpit(runs, "classification").error.value


def test_seed_and_batch_are_chosen(tmp_path, task):
    board = cockpit.cockpit(tmp_path, task.name, task.folder, profile="ci")
    names = board.controls["batch"].description.split(" (")[0].split(" + ")
    board.controls["seed"].value, board.controls["batch"].value = "7", " + ".join("23"[: len(names)])
    press(board, "Start")
    until(board, lambda: board.chosen.number >= 1)
    settings = board._process.worker.runs[board.chosen.name].run.settings
    assert [getattr(settings, name) for name in ("seed", *names)] == [7, 2, 3][: 1 + len(names)]
    assert getattr(settings, "top", 2) == 2  # of 3, as 24 of 36
    board.end()


def test_the_table_says_what_differs_and_who_is_drawn(runs):
    board = cockpit.cockpit(runs, "classification")
    table = board.controls["run"]
    assert table.heads == ["run", "compare", "note", "", "state", "step", "Validation AUC", "method"]
    auc = [f"{track.evaluations[-1]['auc']:.1f}" for track in (board.tracks["skin"], board.tracks["skin 2"])]
    assert [row["cells"] for row in table.rows] == [
        ["saved", "4 of 6", auc[0], "i2pemd"], ["saved", "4 of 6", auc[1], "baseline"]
    ]  # fmt: skip
    board.controls["weight"].value = 0.5
    assert table.heads[7:] == ["method", "λ"] and [row["cells"][4] for row in table.rows] == [".5", "1"]
    assert table.ticked == ["skin 2", "skin"] and board.result.names == ["skin", "skin 2"]
    table.ticked = []
    assert table.ticked == board.result.names == ["skin"]  # the chosen one is always drawn
    for name in "abc":
        shutil.copytree(runs / "skin", runs / name)
    board = cockpit.Cockpit(runs, "classification")
    table = board.controls["run"]
    table.ticked = [*table.ticked, "skin"]
    assert len(table.ticked) == len(board.result.names) == 4
    board.controls["task"].value = "segmentation"
    assert table.ticked == board.result.names == ["organs"]


def test_runs_of_as_many_steps_as_the_chosen_one_are_ticked_first(runs, skin):
    for name in "abc":
        shutil.copytree(runs / "skin", runs / name)
    longer = classification.train("baseline", skin, "ci", folder=runs / "z", steps=7)
    next(longer)
    longer.save()
    assert cockpit.Cockpit(runs, "classification").controls["run"].ticked == ["c", "skin", "skin 2", "a"]


def test_prototypes_are_not_drawn_before_the_first_step():
    names = []
    for places in (None, np.zeros((2, 2)), np.array([[-1.0, 0.0], [1.0, 0.0]])):
        card = Card(9.4, 5.6)
        _draw_prototypes(card, places, ("liver", "spleen"))
        names.append("liver" in card.svg(""))
    assert names == [False, False, True]


def test_the_changes_of_all_runs_are_listed(runs):
    board = cockpit.cockpit(runs, "classification")
    board.controls["weight"].value = 0.5
    press(board, "Step")
    until(board, lambda: board.chosen.number == 5)
    assert board.controls["run"].log == ["skin, step 5: λ .5"]
    board.end()


def asked(board, do, **more):
    """As the page asks it."""
    board.controls["run"]._handle_custom_msg({"do": do, **more}, [])


def test_a_note_is_kept_with_its_run(runs):
    asked(cockpit.cockpit(runs, "classification"), "note", name="skin 2", text="β: nothing\n learned")
    again = cockpit.Cockpit(runs, "classification")
    assert [row["note"] for row in again.controls["run"].rows] == ["", "β: nothing\n learned"]
    asked(again, "note", name="gone", text="too late")
    assert again.error.value == ""


def test_a_run_is_deleted_with_its_folder_and_nothing_else(runs):
    board = cockpit.cockpit(runs, "classification")
    (runs / "skin 2 own.txt").touch()
    before = {path for path in runs.rglob("*") if (runs / "skin") not in (path, *path.parents)}
    press(board, "Step")
    until(board, lambda: board.chosen.state == "paused")
    deletes = [row["deletes"] for row in board.controls["run"].rows]
    assert deletes[0] == "" and f"its folder {runs / 'skin 2'} with its 4 steps" in deletes[1]
    asked(board, "delete", name="skin")
    assert f"skin: expected a run in {runs} that is closed, found one paused" in board.error.value
    press(board, "Stop")
    board.listen()
    with run_lock(runs / "skin"):
        asked(board, "delete", name="skin")
        assert "being trained elsewhere" in board.error.value and (runs / "skin" / "history.csv").exists()
    asked(board, "delete", name="skin")
    assert board.error.value == "" and {*runs.rglob("*")} - before <= {runs / "skin 2" / ".training"}
    assert before <= {*runs.rglob("*")} and not (runs / "skin").exists()
    assert board.controls["run"].options == ("skin 2",) and board.chosen.name == "skin 2"
    board.set(**board._start)  # as Reset does
    asked(board, "delete", name="skin 2")
    assert board.chosen is None and "press Start" in board.words and board.controls["run"].rows == []
    board.end()


def test_a_link_to_a_run_is_not_followed(runs, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (runs / "skin").rename(tmp_path / "elsewhere" / "skin")
    (runs / "skin").symlink_to(tmp_path / "elsewhere" / "skin")
    board, before = cockpit.cockpit(runs, "classification"), {*(tmp_path / "elsewhere").rglob("*")}
    asked(board, "delete", name="skin")
    assert "found a link" in board.error.value and {*(tmp_path / "elsewhere").rglob("*")} == before


def test_a_folder_with_another_run_in_it_is_not_deleted(runs):
    shutil.copytree(runs / "skin 2", runs / "skin" / "later" / "skin 2")
    board, before = cockpit.cockpit(runs, "classification"), {*runs.rglob("*")}
    asked(board, "delete", name="skin")
    assert f"found another run in {runs / 'skin' / 'later' / 'skin 2'}" in board.error.value
    assert {*runs.rglob("*")} == before


def test_a_run_whose_folder_is_gone_is_gone(runs):
    board = cockpit.cockpit(runs, "classification")
    shutil.rmtree(runs / "skin 2")
    asked(board, "note", name="skin 2", text="late")
    assert board.error.value == "" and not (runs / "skin 2").exists() and board.controls["run"].options == ("skin",)


def copied(board, words):
    given = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(board.controls["run"], "send", given.append)
        asked(board, "copy", text=words)
    assert board.error.value == ""
    return given[0]["text"]


def test_the_copied_command_trains_the_run_again(runs, task, monkeypatch):
    board = cockpit.cockpit(runs, task.name)
    name, twin = {"segmentation": ("organs", "organs 2"), "classification": ("skin", "skin 3")}[task.name]
    words = shlex.split(copied(board, "Copy as command"))
    assert words[:4] == ["python", "-m", "i2pemd_lite", "train"] and words[-1] == str(runs / twin)
    assert __main__.main(words[3:]) == 0
    again, whole = (cockpit.Track(each, runs / each, "").read() for each in (twin, name))
    assert again.began == whole.began and again.history[:4] == whole.history and again.number == 6


@pytest.mark.parametrize(("system", "quoted"), [("posix", "'{}'"), ("nt", '"{}"')])
def test_the_copied_command_is_quoted_as_its_shell_reads_it(runs, monkeypatch, system, quoted):
    track = cockpit.Track("skin", runs / "skin", "").read()
    track.data["folder"] = "my own data"
    monkeypatch.setattr(workbench.os, "name", system)
    assert f" --data {quoted.format('my own data')} --out" in workbench.command(track, "new")


def test_the_copied_python_trains_a_run_again_that_was_steered_and_forked(runs):
    board = cockpit.cockpit(runs, "classification")
    assert board.controls["top"].max == board.chosen.settings["unlabelled"]
    board.controls["weight"].value = 0.5
    board.controls["tau_high"].value = 0.5  # and τ_low before it
    press(board, "Step")
    until(board, lambda: board.chosen.number == 5)
    press(board, "Fork")
    until(board, lambda: board.chosen.name == "skin 3" and board.chosen.state == "paused")
    board.controls["momentum"].value = 0.25
    press(board, "Resume")
    until(board, lambda: board.chosen.state == "done")
    assert "step 5: λ .5; step 6: α .25" in copied(board, "Copy as command").split("\n# ")[1]
    exec(copied(board, "Copy as Python"), {})
    again, whole = (cockpit.Track(name, runs / name, "").read() for name in ("skin 3 2", "skin 3"))
    assert again.history == whole.history and again.changes == whole.changes
    assert [change[:2] for change in whole.changes] == [
        [5, "tau_high"], [5, "tau_low"], [5, "weight"], [6, "momentum"]
    ]  # fmt: skip
    board.end()


def test_all_runs_are_saved_as_csv(runs):
    board = cockpit.cockpit(runs, "classification")
    asked(board, "note", name="skin 2", text="=1+1")
    rows = list(csv.DictReader(io.StringIO(copied(board, "Save all as CSV"))))
    assert [(row["run"], row["method"], row["seed"], row["note"]) for row in rows] == [
        ("skin", "i2pemd", "0", ""), ("skin 2", "baseline", "0", "'=1+1")
    ]  # fmt: skip
    assert [float(row["auc"]) for row in rows] == [track.evaluations[-1]["auc"] for track in board._runs(
        "classification").values()]  # fmt: skip


def test_a_run_that_is_being_prepared_is_not_copied(tmp_path, skin, monkeypatch):
    board = cockpit.cockpit(tmp_path, "classification", skin, profile="ci")
    monkeypatch.setattr(Near, "tell", lambda self, do, run, **more: None)
    press(board, "Start")
    asked(board, "copy", text="Copy as Python")
    assert "wait a moment" in board.error.value
    monkeypatch.setattr(Near, "tell", TELL)


def test_all_runs_of_the_notebook_are_there(runs, skin, tmp_path, monkeypatch):
    one = classification.train("i2pemd", skin, profile="ci", steps=6, evaluate_every=2)
    two = classification.train("baseline", skin, folder=tmp_path / "elsewhere", profile="ci", steps=6)
    here = classification.resume(runs / "skin", skin)
    for run in (one, two):
        next(run), next(run)
    new = classification.train("baseline", skin, folder=runs / "new", profile="ci", steps=6)  # at step 0, not written
    names = {"one": one, "by_name": {"skin 2": two, "same": one}, "here": here, "_": two, "Out": {9: two}, "x": 1}
    names["new"] = new
    monkeypatch.setattr(cockpit, "get_ipython", lambda: SimpleNamespace(user_ns=names))
    board = cockpit.cockpit(runs, "classification")
    assert board.controls["run"].options == ("new", "skin", "skin 2", "one", "skin 2 (notebook)")
    assert (board.tracks["new"].number, new.number, next(new).number) == (0, 0, 1)
    board.controls["run"].value = "one"
    assert "one (i2pemd) is in the notebook: step 2 of 6" in board.words
    assert {label for label, button in board.buttons.items() if not button.disabled} == {"Start", "Fork"}
    board.controls["weight"].value = 0.25
    assert one.settings.weight == 0.25
    asked(board, "note", name="one", text="mine")
    asked(board, "delete", name="skin")
    assert "found one of this notebook" in board.error.value and board.controls["run"].rows[0]["deletes"] == ""
    next(one), next(here)
    assert board.tracks["skin"].number == 4
    press(board, "Fork")
    assert board.tracks["skin"].number == 4  # a press saves no run of the notebook, as a cell may train it
    assert (board.chosen.name, board.chosen.number, board.chosen.state) == ("one 2", 3, "saved")
    row = next(row for row in board.controls["run"].rows if row["name"] == "one")
    assert row["cells"][:2] == ["in the notebook", "3 of 6"] and (row["note"], row["deletes"]) == ("mine", "")
    asked(board, "delete", name="skin 2 (notebook)")
    assert "in the notebook" in board.error.value and (tmp_path / "elsewhere" / "settings.json").exists()
    press(board, "Resume")
    until(board, lambda: board.chosen.state == "done")
    assert board.chosen.changes == [[3, "weight", 0.25]] == one.changes
    assert [row["loss"] for row in board.chosen.history][:3] == [row["loss"] for row in one.history]
    names.clear()
    press(board, "Stop")
    assert board.controls["run"].options == ("new", "skin", "skin 2", "one 2")
    names["here"] = here
    assert cockpit.cockpit(runs, "classification").tracks["skin"].number == 5
    board.end()


def test_the_interval_of_two_settings_takes_every_seed_that_both_have(runs, skin):
    board = cockpit.cockpit(runs, "classification")
    assert "skin − skin 2, Validation AUC at step 4: with one seed, the difference is" in board.words
    for seed in (1, 2):
        for method in ("i2pemd", "baseline"):
            folder = runs / f"{method} {seed}"
            run = classification.train(method, skin, "ci", seed, folder, steps=6, evaluate_every=2)
            for _ in range(6 if seed == 1 else 2):  # those of seed 2 are not there yet
                next(run)
            run.save()
    board = cockpit.Cockpit(runs, "classification")
    board.controls["run"].value = "skin"
    board.controls["run"].ticked = ["skin 2"]
    auc = {name: {row["step"]: row["auc"] for row in track.evaluations}[4] for name, track in board.tracks.items()
           if name.startswith("skin") or name.endswith(" 1")}  # fmt: skip
    differences = [auc["skin"] - auc["skin 2"], auc["i2pemd 1"] - auc["baseline 1"]]
    assert board.result.pair.differences == pytest.approx(differences)
    low, high = statistics.interval(differences)[1:3]
    assert f"the mean of 2 differences is {np.mean(differences):+.2f} points, with a 95 % interval of {low:+.2f} to " \
           f"{high:+.2f}" in board.words  # fmt: skip
    assert "mean, 95 %" in board.image.value
    board.controls["run"].ticked = ["i2pemd 1"]
    gap = auc["skin"] - {row["step"]: row["auc"] for row in board.tracks["i2pemd 1"].evaluations}[4]
    assert f"only the seeds differ, so chance alone makes a difference of {gap:+.2f} points" in board.words
    board.controls["run"].ticked = ["baseline 1"]
    assert "the mean of 2 differences" in board.words
    shutil.copytree(runs / "skin", runs / "twin")
    twins = cockpit.Cockpit(runs, "classification")
    twins.controls["run"].value = "skin"
    twins.controls["run"].ticked = ["twin"]
    assert "the two have the same settings and the same seed" in twins.words
    board.tracks["skin 2"].settings["weight"] = board.tracks["i2pemd 1"].settings["weight"] = 2.0
    board.controls["run"].value = "i2pemd 1"
    board.controls["run"].ticked = ["skin 2"]
    assert "the two have different seeds" in board.words and board.result.pair.mean is None
    board.tracks["baseline 1"].data = {"name": "other", "fingerprint": "other"}
    board.controls["run"].ticked = ["baseline 1"]
    assert "the two have different data" in board.words and "data" in board.controls["run"].heads


def test_a_later_cockpit_takes_over_while_the_run_goes_on(tmp_path, skin):
    one = cockpit.cockpit(tmp_path, "classification", skin, profile="ci")
    press(one, "Start")
    until(one, lambda: one.chosen.number == 3)
    other = cockpit.cockpit(tmp_path, "classification")
    assert "another cockpit was opened" in one.error.value and other.chosen.state == "training"
    until(other, lambda: other.chosen.state == "done")
    assert [row["step"] for row in other.chosen.history] == list(range(1, 21))
    press(one, "Step")
    one.listen()
    assert "being trained elsewhere" in one.error.value
    other.end()


def test_two_cockpits_on_one_run(runs):
    """As in two notebooks, which know nothing of each other."""
    one, other = (cockpit.Cockpit(runs, "classification") for _ in range(2))
    press(one, "Step")
    press(other, "Step")
    other.listen()
    assert "being trained elsewhere" in other.error.value and other.chosen.state == "saved"
    assert other.chosen.name == "skin"
    one.end()
    press(other, "Step")
    other.listen()
    assert other.error.value == "" and other.chosen.state in ("paused", "done")
    other.end()


def test_a_new_cockpit_picks_up_what_a_closed_one_left(tmp_path, skin):
    board = cockpit.cockpit(tmp_path, "classification", skin, profile="ci")
    press(board, "Start")
    until(board, lambda: board.chosen.number == 3)
    board.end()
    assert board.chosen.state == "stopped"
    again = cockpit.Cockpit(tmp_path, "classification")  # as after the kernel was started again
    assert again.chosen.state == "saved" and again.chosen.number >= 3
    assert len(again.result.losses[0].x) == again.chosen.number
    press(again, "Resume")
    until(again, lambda: again.chosen.state == "done")
    whole = classification.train("i2pemd", skin, profile="ci").finish(progress=False)
    assert [row["loss"] for row in again.chosen.history] == [row["loss"] for row in whole.history]
    again.end()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_the_notebook_goes_on_while_it_trains_and_a_killed_process_is_told(tmp_path, skin, monkeypatch):
    from i2pemd_lite.runs.worker import Process

    monkeypatch.setattr(cockpit, "Process", Process)

    async def notebook():
        board = cockpit.cockpit(tmp_path, "classification", skin, profile="ci")
        board.controls["steps"].value = "100000"
        press(board, "Start")
        end = time.monotonic() + 120
        while board.chosen.number < 20:
            assert time.monotonic() < end, board.error.value
            await asyncio.sleep(0.01)
        press(board, "Pause")
        while board.chosen.state != "paused":
            await asyncio.sleep(0.01)
        os.kill(board._process.number, signal.SIGKILL)
        while board._process is not None:
            await asyncio.sleep(0.01)
        assert "the training process ended" in board.error.value and board.chosen.state == "stopped"
        press(board, "Step")
        number = board.chosen.number
        while board.chosen.number == number:
            await asyncio.sleep(0.01)
        assert board.error.value == ""
        board.end()

    asyncio.run(notebook())


def test_an_unknown_task_is_refused():
    with pytest.raises(BadInput, match="task: expected one of segmentation, classification, found .*; choose "):
        cockpit.cockpit(task="skin")
