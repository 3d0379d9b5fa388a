"""The journal, the file to hand in and the report of a class, from simulated learners whose work is known."""

import csv
import json
import os
import re
from threading import Thread
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from child import started
from controls import marks
from filelock import FileLock

from i2pemd_lite.__main__ import main
from i2pemd_lite.course import exercises, predict
from i2pemd_lite.course.record import calibration, classroom, handin, progress
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import ground, instance
from i2pemd_lite.panels.engine import panel, style
from i2pemd_lite.panels.engine.card import Card

EXERCISES, PREDICTIONS = ("02a", "02b", "02c"), ("p00a", "p01a", "p01b", "p03a")
MISTAKE = exercises.known_mistakes("02a")[0]


@pytest.fixture(autouse=True)
def desk(monkeypatch, tmp_path):
    """A learner with a journal of their own."""
    monkeypatch.setenv("I2PEMD_HEADLESS", "0")
    monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(progress, "_unwritten", [])
    monkeypatch.setattr(panel, "_shown", type(panel._shown)())


def attempt(name, right, hint=0, finding="It is off.", **more):
    progress.record("check", name, right=right, hint=hint, finding=finding, **more)


def commit(name, hit, confidence=0.5, chance=0.5, **more):
    progress.record("prediction", name, value="x", hit=hit, confidence=confidence, chance=chance, **more)


def test_what_was_recorded_is_read_in_its_order():
    attempt("02a", False, 1)
    commit("p00a", True, 0.8)
    attempt("02a", True)
    assert [(r["kind"], r["name"]) for r in progress.records()] == [
        ("check", "02a"), ("prediction", "p00a"), ("check", "02a")
    ]  # fmt: skip
    assert progress.checks() == {"02a": {"attempts": 2, "right": True, "hint": 1, "mistakes": []}}
    assert progress.predictions() == {"p00a": {"value": "x", "confidence": 0.8, "chance": 0.5, "hit": True}}
    with pytest.raises(BadInput, match="kind"):
        progress.record("opinion", "02a")


def test_attempts_are_counted_up_to_the_first_right_answer():
    attempt("02a", False, 0, "Still open: put your function in place of the dots.")
    attempt("02a", False, 1, MISTAKE)
    attempt("02a", False, 2, "It raised OSError: /home/anna/x, in the line `open('/home/anna/x')`.")
    attempt("02a", True)
    attempt("02a", False, 3)
    attempt("02b", False, 0, "Still open: a hint was asked for.")
    assert progress.checks() == {"02a": {"attempts": 3, "right": True, "hint": 2, "mistakes": [MISTAKE]}}


def test_the_first_commitment_counts_and_the_key_counts_nowhere(monkeypatch):
    commit("p00a", False, 0.9)
    commit("p00a", True, 1.0)
    commit("p01a", True, None, by="key")
    monkeypatch.setenv("I2PEMD_HEADLESS", "1")
    attempt("02a", True)
    assert progress.predictions()["p00a"]["hit"] is False and len(progress.predictions()) == 1
    assert progress.checks() == {} and "p01a" not in progress.predictions()
    assert "No prediction yet" not in repr(progress.calibration())


def test_a_torn_line_costs_only_itself():
    attempt("02a", True)
    with open(progress.journal(), "ab") as file:
        file.write(b'{"kind": "check", "name": "02b", "ri')
    assert list(progress.checks()) == ["02a"]
    attempt("02c", True)
    assert list(progress.checks()) == ["02a", "02c"]
    with open(progress.journal(), "ab") as file:
        file.write(b'\xff\xfe\n[1, 2]\n"text"\n{"kind": "check"}\n\n')
    attempt("02b", True)
    assert list(progress.checks()) == ["02a", "02c", "02b"]


def test_two_kernels_at_once_lose_nothing():
    lines = "from i2pemd_lite.course import progress\n"
    lines += "for n in range(40): progress.record('check', {!r}, right=False, hint=1, finding='a' * 3000)"
    own = {name: os.environ[name] for name in ("I2PEMD_HEADLESS", "I2PEMD_CACHE")}
    both = [started(exec, lines.format(name), **own) for name in ("02a", "02b")]
    for each in both:
        each.join(120)
    assert [each.exitcode for each in both] == [0, 0]
    assert {name: each["attempts"] for name, each in progress.checks().items()} == {"02a": 40, "02b": 40}


def test_a_kernel_waits_while_another_one_writes():
    progress.journal().parent.mkdir(parents=True)
    with FileLock(f"{progress.journal()}.lock"):
        waiting = Thread(target=attempt, args=("02a", True))
        waiting.start()
        waiting.join(1)
        assert waiting.is_alive() and not progress.journal().exists()
    waiting.join(30)
    assert list(progress.checks()) == ["02a"]


def test_a_journal_that_cannot_be_written_is_said_once_and_kept_in_memory(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path / "file"))
    attempt("02a", False, 1)
    attempt("02a", True)
    assert capsys.readouterr().out.count("cannot be saved") == 1
    assert progress.checks()["02a"]["attempts"] == 2


def test_starting_over_counts_nothing_and_keeps_the_lines(capsys):
    attempt("02a", True)
    commit("p00a", True)
    progress.start_over()
    assert progress.checks() == {} and progress.predictions() == {}
    assert len(progress.journal().read_text().splitlines()) == 3
    commit("p00a", False)
    assert progress.predictions()["p00a"]["hit"] is False


def test_what_is_done_is_shown_by_lesson():
    attempt("02a", False, 1)
    attempt("02a", True)
    attempt("02b", False, 1)
    commit("p02a", True)
    progress.record("challenge", "00d", right=True)
    progress.record("challenge", "00e", right=False)
    shown = progress.show()
    assert re.search("1 exercise right, 1 not yet, [0-9]+ open; 1 prediction committed", repr(shown))
    html = shown._repr_mimebundle_()["text/html"]
    assert "02a right after 2 attempts" in html and "02b not yet, 1 attempt" in html and "02c open" in html
    assert "00d won · 00e open" in html
    assert "1 of 1" in html and re.search(r'<th scope="row"[^>]*>02</th>', html)
    heads, cells = re.findall(r"<th scope=.col.([^>]*)>", html), re.findall(r"<td([^>]*)>", html)
    assert len(heads) == 3 and set(heads) == set(cells) and all("text-align:left" in style for style in heads)


# Calibration


def said(pairs):
    return [{"confidence": s, "chance": 0.5, "hit": h} for s, h in pairs]


def test_the_brier_score_is_the_mean_square():
    pairs = [(0.9, True), (0.9, False), (0.5, True), (1.0, True)]
    found = calibration.score(said(pairs))
    assert found.brier == pytest.approx((0.01 + 0.81 + 0.25 + 0) / 4)
    assert found.guessing == pytest.approx(0.25) and found.right == 0.75 and found.sure == pytest.approx(0.825)
    assert [(round(s, 3), round(h, 3), n) for s, h, n in found.groups] == [(0.5, 1.0, 1), (0.933, 0.667, 3)]
    assert calibration.score([]) is None


@pytest.mark.parametrize(("shift", "words"), [(0.0, "about as often right"), (-0.35, "surer than you are right"),
                                              (0.3, "right more often than you say")])  # fmt: skip
def test_a_simulated_learner_is_told_their_tendency(shift, words):
    random = np.random.default_rng(0)
    sure = random.choice([0.5, 0.6, 0.7], 200)
    pairs = [(float(s), bool(random.random() < s + shift)) for s in sure]
    assert words in calibration.words(calibration.score(said(pairs)))
    assert "too few to say more" in calibration.words(calibration.score(said(pairs[:5])))


@pytest.mark.parametrize(("n", "right", "words"), [
    (8, 2, "too few to tell: luck"), (8, 4, "too few to tell: luck"), (20, 10, "about as often right"),
    (20, 12, "about as often right"), (20, 13, "too few to tell: luck"), (100, 30, "surer than you are right"),
])  # fmt: skip
def test_few_predictions_say_nothing_of_a_tendency(n, right, words):
    said_half = said([(0.5, k < right) for k in range(n)])
    told = calibration.words(calibration.score(said_half))
    assert words in told and told.count("as often right") == words.count("as often right")


def test_no_group_of_a_calibration_lies_under_a_name():
    pairs = [(sure, k < right) for right, sure in enumerate((0.3, 0.5, 0.7, 0.9)) for k in range(3)]
    found = calibration.score(said(pairs))
    card = Card(5.5, 3.1)
    calibration.draw(card, found)
    texts = marks(card.svg(), "sure text")
    name = next(text for text in texts if text.text.startswith("as often"))
    assert sum(" of 3" in text.text for text in texts) == 4
    assert float(name.x) >= card.planes["sure"].at(105, 0)[0] and float(name.x) + 12 * 6.5 <= card.width


def test_the_picture_of_a_calibration_has_words_and_ink():
    for h in (True, False):
        commit("p00a", h, 0.8)
        shown = progress.calibration()
        bundle = shown._repr_mimebundle_()
        assert "Brier score" in repr(shown) and 'alt="1 prediction: you were 80 % sure' in bundle["text/html"]
        assert shown.svg == bundle["image/svg+xml"] and "Brier score" in shown.svg
        progress.start_over()
    assert shown.svg != progress.calibration().svg


# The file to hand in


def test_what_is_handed_in(tmp_path, capsys):
    attempt("02a", False, 1, MISTAKE)
    commit("p00a", True, 0.7)
    first, second = instance.panel(), ground.panel()
    for each in (first, second, first):
        each._repr_mimebundle_()
    instance.panel(7)  # never shown
    progress.save(tmp_path / "work.json")
    assert "0 right of 1 exercise tried, 1 prediction, 2 panels" in capsys.readouterr().out
    content = json.loads((tmp_path / "work.json").read_text())
    assert [each["panel"] for each in content["panels"]] == [first.title, second.title]
    assert content["panels"][0]["state"] == json.loads(json.dumps(first.state))
    assert content["checks"]["02a"] == {"attempts": 1, "right": False, "hint": 1, "mistakes": [MISTAKE]}
    assert content["seed"] == 0 and content["profile"] and "torch" in content["versions"]
    found = handin.read(tmp_path / "work.json")
    assert found.checks == content["checks"] and found.predictions == content["predictions"]
    with pytest.raises(BadInput, match="ends in .json"):
        progress.save(tmp_path / "work.txt")


def test_a_panel_that_a_prediction_reveals_is_handed_in():
    asked = predict("p01a", "How many?", ["1", "2"], "2", "Count.", reveal=instance.panel)
    assert panel.states() == []
    asked.radio.value = "1"
    asked.commit()
    assert [each["panel"] for each in panel.states()] == [asked.revealed.title]


def test_nothing_in_the_file_tells_who_or_where(tmp_path, monkeypatch):
    import getpass
    import os
    import platform

    monkeypatch.setenv("USER", "anna.secret")
    attempt("02a", False, 1, f"It raised OSError: {tmp_path}/anna.secret, in the line `open('{tmp_path}')`.")
    progress.save(tmp_path / "work.json")
    text = (tmp_path / "work.json").read_text()
    for secret in (getpass.getuser(), "anna.secret", platform.node(), str(tmp_path), os.getcwd()):
        assert secret not in text
    assert not re.search(r"\d\d:\d\d|20\d\d-\d\d", text)


# The report of a class


def simulate(folder, monkeypatch, n=12, seed=0):
    """n hand-ins of learners with random skill, and what is true of them, counted while they work."""
    random = np.random.default_rng(seed)
    truth = SimpleNamespace(attempts={}, right={}, hinted=0, hits={}, sure={})
    for k in range(n):
        monkeypatch.setenv("I2PEMD_CACHE", str(folder.parent / f"cache{k}"))
        skill = random.uniform(0.2, 0.8)
        for j, name in enumerate(EXERCISES):
            if random.random() < 0.15:
                continue
            right, tries = False, 0
            while not right and tries < 6 and (tries == 0 or random.random() < 0.85):
                tries += 1
                right = bool(random.random() < skill / (1 + j))
                attempt(name, right, 0 if right else min(3, tries), "" if right else MISTAKE if j == 0 else "Off.")
            truth.attempts[k, name], truth.right[k, name] = tries, right
            truth.hinted += tries > right
        for name in PREDICTIONS:
            hit, sure = bool(random.random() < skill), float(random.choice([0.5, 0.6, 0.7, 0.8, 0.9, 1.0]))
            commit(name, hit, sure)
            truth.hits[k, name], truth.sure[k, name] = hit, sure
        progress.save(folder / f"learner{k:02d}.json")
    return truth


def test_the_table_has_what_is_true_of_the_simulated_class(tmp_path, monkeypatch, capsys):
    folder, out = tmp_path / "hand-ins", tmp_path / "out"
    truth = simulate(folder, monkeypatch)
    assert main(["report", str(folder), "--out", str(out)]) == 0
    with open(out / "class.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["hand-in"] for row in rows] == [f"learner{k:02d}" for k in range(12)]
    for k, row in enumerate(rows):
        for name in EXERCISES:
            tries = truth.attempts.get((k, name))
            assert row[f"{name} attempts"] == ("" if tries is None else str(tries))
            assert row[name] == ("" if tries is None else str(int(truth.right[k, name])))
        hits = np.array([truth.hits[k, name] for name in PREDICTIONS], dtype=float)
        sure = np.array([truth.sure[k, name] for name in PREDICTIONS])
        assert float(row["Brier score"]) == pytest.approx(((sure - hits) ** 2).mean(), abs=5e-4)
        assert float(row["share right"]) == pytest.approx(hits.mean(), abs=5e-4)
    hand_ins, problems = handin.read_all(folder)
    assert not problems.found
    for each in classroom.exercises(hand_ins):
        tries = {k: t for (k, name), t in truth.attempts.items() if name == each.name}
        right = {k for k in tries if truth.right[k, each.name]}
        first = sum(tries[k] == 1 for k in right)
        assert list(each.counts.values()) == [first, len(right) - first, len(tries) - len(right), 12 - len(tries)]
        assert each.attempts == pytest.approx(np.mean(list(tries.values())))
    assert sum(each.hinted for each in classroom.exercises(hand_ins)) == truth.hinted
    surprises = [score.sure - score.right for _, score in classroom.predictions(hand_ins)]
    assert surprises == sorted(surprises, reverse=True)
    words = (out / "class.txt").read_text()
    assert words.strip() in capsys.readouterr().out and "12 hand-ins counted." in words
    gaps = {n: np.mean([truth.sure[k, n] - truth.hits[k, n] for k in range(12)]) for n in PREDICTIONS}
    assert f"{max(gaps, key=gaps.get)} surprised the class most" in words
    tried = {n: [truth.right[k, name] for k, name in truth.right if name == n] for n in EXERCISES}
    assert f"struggled most with {min(tried, key=lambda n: np.mean(tried[n]))}" in words
    assert MISTAKE in words


def test_hand_ins_in_folders_are_found_and_named_by_their_paths(tmp_path, monkeypatch, capsys):
    for student in ("ada", "ben"):
        monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path / f"cache-{student}"))
        attempt("02a", student == "ada", int(student != "ada"))
        progress.save(tmp_path / "in" / student / "late" / "work.json")
    (tmp_path / "in" / "cy").mkdir()
    (tmp_path / "in" / "cy" / "bad.json").write_text("{")
    assert main(["report", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().out
    assert "2 hand-ins counted, 1 left out:" in said and "\n  cy/bad.json: expected a whole file" in said
    with open(tmp_path / "out" / "class.csv", encoding="utf-8-sig", newline="") as file:
        found = {row["hand-in"]: row["02a"] for row in csv.DictReader(file)}
    assert found == {"ada/late/work": "1", "ben/late/work": "0"}


def test_who_never_got_it_right_struggled_more_than_who_got_it_late(tmp_path, monkeypatch):
    """00a: all 6 solve it, late. 00b: 2 of the 3 who try never do. 00c: 1 of 6 does not."""
    for k in range(6):
        monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path / f"cache{k}"))
        for right in (False, False, False, True):
            attempt("00a", right, int(not right))
        if k < 3:
            attempt("00b", k == 0, int(k > 0))
        attempt("00c", k > 0, int(k == 0))
        commit("p00a", True, 0.5 + k / 20)  # no two hand-ins are the same
        progress.save(tmp_path / "in" / f"{k}.json")
    words, _ = classroom.report(tmp_path / "in", tmp_path / "out")
    assert "struggled most with 00b: 1 right at first try, 0 later, 2 not yet, 3 did not try" in words
    hand_ins, _ = handin.read_all(tmp_path / "in")
    ranked = sorted(classroom.exercises(hand_ins), key=lambda each: each.struggle, reverse=True)
    assert [each.name for each in ranked] == ["00b", "00c", "00a"]


def test_the_picture_grows_with_the_class_and_has_ink(tmp_path, monkeypatch):
    simulate(tmp_path / "hand-ins", monkeypatch, n=5)
    classroom.report(tmp_path / "hand-ins", tmp_path / "out")
    drawn = marks((tmp_path / "out" / "class.svg").read_text(), "exercises")
    bars, counts = ([mark for mark in drawn if mark.tag == tag] for tag in ("rect", "text"))
    assert {style.BLUE, style.ORANGE} <= {bar.fill for bar in bars}  # right at first try; not yet
    # The counts are written on the bars, not under them.
    bar = max((bar for bar in bars if bar.fill == style.BLUE), key=lambda bar: float(bar.width))
    middle = float(bar.x) + float(bar.width) / 2, float(bar.y) + float(bar.height) / 2
    (count,) = [text for text in counts if np.allclose((float(text.x), float(text.y)), middle, atol=5)]
    assert count.text.isdigit() and count.fill == style.PAPER and drawn.index(count) > drawn.index(bar)


def test_hand_ins_are_counted_in_whole_numbers():
    for n in (1, 2, 3, 30):
        card = Card(9.4, 2.4)
        counts = {classroom.FIRST: n, classroom.LATER: 0, classroom.NOT_YET: 0, classroom.OPEN: 0}
        classroom.draw(card, [classroom.Exercise("02a", counts, 1.0, 0, {})], [], n)
        ticks = [mark.text for mark in marks(card.svg(), "exercises axes text") if mark.text.isdigit()]
        assert len(ticks) > 1 and "0" in ticks


def edited(content, **changes):
    return {**content, **changes}


def signed(content):
    return {**content, "checksum": progress.checksum(content)}


CHECK = {"attempts": 1, "right": True, "hint": 0, "mistakes": []}
SAID = {"value": "x", "confidence": 0.5, "chance": 0.5, "hit": True}


def checked(content, **changes):
    """A hand-in of one check, with a right checksum."""
    return signed(edited(content, checks={"02a": {**CHECK, **changes}}))


BAD = {
    "edited.json": (lambda c: json.dumps(edited(c, seed=7)), "found one that was changed later"),
    "other.json": (lambda c: json.dumps(signed(edited(c, versions={"i2pemd-lite": "9.1.0"}))), "found 9.1.0"),
    "format.json": (lambda c: json.dumps(signed(edited(c, format=2))), "with that version"),
    "half.json": (lambda c: json.dumps(c)[:-40], "one that ends too early"),
    "empty.json": (lambda c: " \n", "found an empty file"),
    "text.json": (lambda c: "my answers", "expected JSON"),
    "deep.json": (lambda c: "[" * 100_000, "expected"),
    "list.json": (lambda c: "[1, 2]", "found other JSON"),
    "panel.json": (lambda c: '{"panel": "bars", "state": {}}', "the state of a panel"),
    "damaged.json": (lambda c: json.dumps(signed(edited(c, checks={"02a": {"attempts": "two"}}))), "damaged ones"),
    "none.json": (lambda c: json.dumps(signed(edited(c, predictions=None))), "found damaged ones"),
    "unsure.json": (
        lambda c: json.dumps(signed(edited(c, predictions={"p00a": {"confidence": 7, "chance": 0, "hit": True}}))),
        "found damaged ones",
    ),
    "digits.json": (lambda c: '{"seed": ' + "9" * 5000 + "}", "a number of thousands of digits"),
    "surrogate.json": (lambda c: json.dumps({**c, "checks": {"\ud800": CHECK}, "checksum": "x"}), "not valid text"),
    "huge.json": (lambda c: json.dumps(checked(c, attempts=10**400)), "that nobody can have"),
    "hint.json": (lambda c: json.dumps(checked(c, hint=10**400)), "that nobody can have"),
    "less.json": (lambda c: json.dumps(checked(c, hint=-1)), "that nobody can have"),
    "large.json": (lambda c: json.dumps(c) + " " * 1_000_001, "more than 1 MB"),
    "exercise.json": (lambda c: json.dumps(signed(edited(c, checks={"02a\x1b[31m": CHECK}))), "no exercise has"),
    "prediction.json": (lambda c: json.dumps(signed(edited(c, predictions={"p1": SAID}))), "no prediction has"),
    "newline.json": (lambda c: json.dumps(signed(edited(c, predictions={"p00a\n": SAID}))), "no prediction has"),
    "mistake.json": (lambda c: json.dumps(checked(c, mistakes=["\x1b[31mred"])), "this exercise does not have"),
    "series.json": (
        lambda c: json.dumps(signed(edited(c, versions={"i2pemd-lite": "\x1b[31m9"}))), "an unknown version"
    ),  # fmt: skip
    "profile.json": (lambda c: json.dumps(signed(edited(c, profile="\x1b[31m"))), "damaged ones"),
    "seed.json": (lambda c: json.dumps(signed(edited(c, seed="=1"))), "damaged ones"),
    "far.json": (lambda c: json.dumps(signed(edited(c, seed=10**400))), "damaged ones"),
    "nobody.json": (lambda c: json.dumps(signed(edited(c, journal=None))), "damaged ones"),
    "odd\x1b[31m.json": (lambda c: "text", "expected JSON"),
    "zz copy.json": (lambda c: json.dumps(c, indent=1), "the same journal as learner00.json"),
}


def test_every_bad_file_is_told_with_all_the_others_and_the_good_ones_count(tmp_path, monkeypatch, capsys):
    folder, out = tmp_path / "hand-ins", tmp_path / "out"
    simulate(folder, monkeypatch, n=3)
    content = json.loads((folder / "learner00.json").read_text())
    for name, (make, _) in BAD.items():
        (folder / name).write_text(make(content), encoding="utf-8")
    (folder / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (folder / "__MACOSX").mkdir()
    for name in ("._learner00.json", "__MACOSX/learner00.json"):  # as macOS packs them
        (folder / name).write_bytes(b"\0\5\x16\7Mac OS X")
    marked = folder / "learner01.json"
    marked.write_bytes(b"\xef\xbb\xbf" + marked.read_bytes())  # as an editor on Windows saves it
    (folder / "notes.txt").write_text("not looked at")
    assert main(["report", str(folder), "--out", str(out)]) == 1
    said = capsys.readouterr().out
    assert f"3 hand-ins counted, {len(BAD) + 1} left out:" in said
    for name, (_, words) in BAD.items():
        told = name.replace("\x1b", "\ufffd")
        [line] = [line for line in said.splitlines() if line.strip().startswith(f"{told}:")]
        assert words in line and ("ask" in line or "make the report" in line)
    assert "bytes.json: expected a text file" in said and "notes.txt" not in said and "\x1b" not in said
    assert len((out / "class.csv").read_text(encoding="utf-8-sig").splitlines()) == 4


def test_folders_without_a_good_file_are_told(tmp_path, capsys):
    assert main(["report", str(tmp_path / "nowhere")]) == 1
    assert "expected a folder of hand-ins" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / "empty")]) == 1
    assert "files that end in .json, found none" in capsys.readouterr().err
    (tmp_path / "empty" / "all.zip").write_bytes(b"PK")
    assert main(["report", str(tmp_path / "empty")]) == 1
    assert "files that end in .json, found all.zip; unpack it" in capsys.readouterr().err
    (tmp_path / "empty" / "a.json").write_text("{")
    assert main(["report", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 1
    assert "1 problem in 1 hand-in" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_name_that_a_spreadsheet_would_compute_stays_text(tmp_path):
    commit("p00a", True)
    progress.save(tmp_path / "=1+1.json")
    hand_ins, _ = handin.read_all(tmp_path)
    assert classroom.table(hand_ins)[1][0] == "'=1+1"


def test_learners_who_did_nothing_make_a_report_too(tmp_path):
    progress.save(tmp_path / "a.json")
    words, left_out = classroom.report(tmp_path, tmp_path / "out")
    assert words == "1 hand-in counted." and left_out == 0


ODD = [
    b"[" * 100_000,
    {"kind": "check", "name": "02a", "right": False, "hint": "x"},
    {"kind": "check", "name": "02a", "right": False, "hint": 10**400},
    {"kind": "check", "name": "02a", "right": "yes", "hint": 1},
    {"kind": "check", "name": "02a", "right": False, "hint": 1, "finding": ["a"]},
    {"kind": "check", "name": "02\ud800", "right": True, "hint": 0},
    {"kind": "prediction", "name": "p00a", "hit": True, "confidence": "x", "chance": 0.5},
    {"kind": "prediction", "name": "p00a", "hit": True, "confidence": None, "chance": 0.5},
    {"kind": "prediction", "name": "p00a", "hit": 2, "confidence": 0.5, "chance": 0.5},
    {"kind": "prediction", "name": "p00a", "hit": True, "confidence": 0.5, "chance": float("nan")},
    {"kind": "prediction", "name": "p00a", "value": "\ud800", "hit": True, "confidence": 0.5, "chance": 0.5},
]


@pytest.mark.parametrize("line", ODD)
def test_an_odd_line_costs_only_itself(line, tmp_path):
    attempt("02b", True)
    with open(progress.journal(), "ab") as file:
        file.write((line if isinstance(line, bytes) else json.dumps({"by": "learner", **line}).encode()) + b"\n")
    attempt("02c", False, 2)
    assert list(progress.checks()) == ["02b", "02c"] and progress.predictions() == {}
    assert "1 exercise right, 1 not yet" in repr(progress.show())
    progress.save(tmp_path / "work.json")
    assert list(handin.read(tmp_path / "work.json").checks) == ["02b", "02c"]


def test_what_was_typed_into_the_cockpit_is_not_handed_in(tmp_path):
    from i2pemd_lite.panels import cockpit

    secret = str(tmp_path / "anna.secret")
    board = cockpit.cockpit(tmp_path / "runs", "classification", profile="ci")
    for name, value in {"data": secret, "name": "anna", "steps": "12"}.items():
        board.controls[name].value = value
    board._repr_mimebundle_()
    progress.save(tmp_path / "work.json")
    [saved] = json.loads((tmp_path / "work.json").read_text())["panels"]
    assert saved["panel"] == "cockpit" and saved["state"]["weight"] == board.state["weight"]
    assert not {"data", "name", "steps"} & set(saved["state"]) and "anna" not in (tmp_path / "work.json").read_text()


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_text_of_the_table_is_computed_by_a_spreadsheet(sign):
    check = {"attempts": 1, "right": True, "hint": 0, "mistakes": []}
    prediction = {"value": "x", "confidence": 0.5, "chance": 0.5, "hit": True}
    text = f"{sign}HYPERLINK(1)"
    did = {"checks": {text: check}, "predictions": {text: prediction}}
    one = SimpleNamespace(file=f"{text}.json", profile=text, seed=text, **did)
    cells = [cell for row in classroom.table([one]) for cell in row]
    assert [cell for cell in cells if isinstance(cell, str) and cell[:1] == sign] == []
    assert sum(cell == f"'{text}" for cell in cells) == 5 and 1 in cells


def test_two_honest_learners_with_equal_work_both_count(tmp_path, monkeypatch):
    for name in ("anna", "ben"):
        monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path / f"cache of {name}"))
        attempt("02a", True)
        commit("p00a", True)
        progress.save(tmp_path / f"{name}.json")
    hand_ins, problems = handin.read_all(tmp_path)
    assert [one.file for one in hand_ins] == ["anna.json", "ben.json"] and not problems.found
    assert hand_ins[0].checks == hand_ins[1].checks and hand_ins[0].journal != hand_ins[1].journal


def test_of_two_from_one_journal_the_one_with_more_counts(tmp_path):
    for number, file in ((1, "b.json"), (2, "a.json"), (3, "c.json")):
        attempt(f"02{'abc'[number - 1]}", True)
        progress.save(tmp_path / file)
    (tmp_path / "d.json").write_text((tmp_path / "b.json").read_text())
    hand_ins, problems = handin.read_all(tmp_path)
    assert [(one.file, list(one.checks)) for one in hand_ins] == [("c.json", ["02a", "02b", "02c"])]
    assert [line.split(":")[0] for line in problems.found] == ["a.json", "b.json", "d.json"]
    assert all("the same journal as c.json" in line and "ask" in line for line in problems.found)


def test_a_journal_keeps_its_id_when_a_learner_starts_over(tmp_path):
    attempt("02a", True)
    ids = []
    for file in ("a.json", "b.json"):
        progress.save(tmp_path / file)
        ids.append(json.loads((tmp_path / file).read_text())["journal"])
        progress.start_over()
    assert ids[0] == ids[1] and len(ids[0]) == 16 and int(ids[0], 16) >= 0
    assert progress.records() == [] and progress.journal().read_text().count('"journal"') == 1


def test_a_picture_has_an_end(tmp_path):
    for number in range(10):
        for letter in "abcdefghijklmnopqrstuvwxyz":
            attempt(f"{number:02d}{letter}", True)
    progress.save(tmp_path / "a.json")
    classroom.report(tmp_path, tmp_path / "out")
    drawn = ElementTree.fromstring((tmp_path / "out" / "class.svg").read_text())
    assert float(drawn.get("height")) < 2200
