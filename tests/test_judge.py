"""The judge: right answers are called right, typical mistakes by their name, hard-coded ones and broken ones wrong."""

import ast
import contextlib
import copy
import dataclasses
import json
import multiprocessing
import re
import sys
import threading
import time
import tracemalloc
from functools import cache
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from answers import MISSES, OTHERS
from IPython.core.interactiveshell import InteractiveShell

from i2pemd_lite.course import exercises, start
from i2pemd_lite.course.ask import feedback, judge
from i2pemd_lite.course.ask.judge import NotYet, check
from i2pemd_lite.course.record import progress
from i2pemd_lite.files import BadInput

FOLDER = Path(__file__).parent.parent / "notebooks"
NAMES = [name for number in exercises.lessons() for name in exercises.of_lesson(number)]
MISTAKES = [(name, sentence) for name in NAMES for sentence in exercises.find(name).mistakes]
draw = judge._cases  # as it is, also where others stand in its place
SLOW = {"03a", "05a", "05b", "05c", "06a", "06b", "08a", "09b"}  # their oracles take long: one attempt is tried
every_exercise = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """On a busy machine an answer may take long, and is right all the same: only tests of the limit have one."""
    monkeypatch.setattr(judge, "SECONDS", 600)


@cache
def cells(number):
    (path,) = FOLDER.glob(f"{number}_*.ipynb")
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def asked_in(number):
    """{name of exercise: source of its cell} of a lesson."""
    found = {}
    for source in cells(number):
        if "### BEGIN SOLUTION" in source:
            found[re.search(r'^check\("(\w+)", \w+\)\Z', source.strip(), flags=re.M).group(1)] = source
    return found


@cache
def solution(name):
    """The answer of the master lesson: the function between the marks, in a world of the import cell alone."""
    source = asked_in(name[:2])[name]
    function = ast.parse(source).body[-1].value.args[1].id
    world = {}
    exec(cells(name[:2])[0], world)
    exec(source.rpartition("check(")[0], world)
    return world[function]


@cache
def drawn(name, attempt=0):
    return draw(exercises.find(name), np.random.default_rng())


@pytest.fixture
def here(monkeypatch):
    """An answer that harms no process is asked in this one alone: to copy it takes longer than the answers do."""
    monkeypatch.setattr(judge, "tried", lambda *_: "")


@pytest.fixture
def drawn_once(name, here, monkeypatch):
    """All wrong answers to an exercise meet the same random cases: what others compute for them takes long."""
    monkeypatch.setattr(judge, "_cases", lambda exercise, random: drawn(name))


@pytest.mark.parametrize("number", exercises.lessons())
def test_a_lesson_asks_exactly_its_exercises_at_least_three(number):
    known = exercises.of_lesson(number)
    assert list(asked_in(number)) == list(known)
    assert len(known) >= 3 and all(name[:2] == number for name in known)
    kinds = [each.kind for each in known.values()]
    assert set(kinds) <= {"fill in", "write", "open"} and kinds[0] == "fill in" and kinds[-1] == "open"


@every_exercise
def test_an_exercise_says_what_a_learner_and_a_teacher_need(name):
    exercise = exercises.find(name)
    assert len(exercise.hints) == 3 and len(set(exercise.hints)) == 3
    assert exercise.minutes > 0 and len(exercise.mistakes) >= 2
    assert exercise.oracle or exercise.properties
    for sentence in (*exercise.hints, *exercise.mistakes):
        assert sentence[0].upper() == sentence[0] and sentence[-1] in ".?", sentence


@every_exercise
def test_the_solution_of_the_lesson_is_right(name, monkeypatch, capsys):
    for attempt in range(3):
        monkeypatch.setattr(judge, "_cases", lambda exercise, random, attempt=attempt: drawn(name, attempt))
        check(name, solution(name))
        monkeypatch.setattr(judge, "tried", lambda *_: "")  # once in a copy of this process, too
    assert capsys.readouterr().out.count("right, in 30 random cases") == 3


@pytest.mark.parametrize(("name", "sentence"), MISTAKES, ids=[f"{n}-{i}" for i, (n, _) in enumerate(MISTAKES)])
def test_a_typical_mistake_is_called_by_its_name(name, sentence, drawn_once):
    with pytest.raises(NotYet) as told:
        check(name, exercises.find(name).mistakes[sentence])
    assert sentence in str(told.value)


@every_exercise
def test_a_hard_coded_answer_is_wrong_even_if_it_is_right_once(name, drawn_once):
    arguments = drawn(name)[0].arguments
    value = solution(name)(*copy.deepcopy(arguments))
    with pytest.raises(NotYet, match="not yet"):
        check(name, lambda *_: copy.deepcopy(value))


def found_in_attempts(name, answers, monkeypatch):
    """{what an answer is: what is found in each attempt}."""
    found = {said: [] for said in answers}
    for attempt in range(1 if name in SLOW else 2):
        monkeypatch.setattr(judge, "_cases", lambda exercise, random, attempt=attempt: drawn(name, attempt))
        for said, answer in answers.items():
            found[said].append(judge.judge(exercises.find(name), answer, None))
        monkeypatch.setattr(judge, "tried", lambda *_: "")  # once in a copy of this process, too
    return found


@every_exercise
def test_a_right_answer_of_another_dtype_order_or_definition_is_right(name, monkeypatch):
    def in_float32(*arguments):
        return solution(name)(*map(judge.in_float32, arguments))

    single = {} if name == "01a" else {"the solution in float32": in_float32}  # 01a asks for more digits itself
    answers = {**single, **OTHERS[name]}
    found = found_in_attempts(name, answers, monkeypatch)
    assert not {said: told for said, told in found.items() if any(told)}


@every_exercise
def test_a_near_miss_is_refused_in_every_attempt(name, here, monkeypatch):
    found = found_in_attempts(name, MISSES[name], monkeypatch)
    assert found and not [said for said, told in found.items() if not all(told)]


@every_exercise
def test_no_hint_and_no_finding_holds_the_solution(name):
    body = asked_in(name[:2])[name].split("### BEGIN SOLUTION\n")[1].split("### END SOLUTION")[0]
    statements = [line.strip().removeprefix("return ") for line in body.splitlines() if line.strip()]
    exercise = exercises.find(name)
    for statement in (each for each in statements if not each.isidentifier()):  # `return p` gives nothing away
        assert all(statement not in said for said in (*exercise.hints, *exercise.mistakes)), statement


BROKEN = {
    "still open: give the function": ...,
    "Expected a function of": 0.5,
    "still open: the function raises NotImplementedError": "raise NotImplementedError()",
    "returns nothing": "c.sum()",
    "returns dots": "return ...",
    "cannot be called with": None,
    "found a value of type str": "return 'three'",
    "found a value of type dict": "return {}",
    "Expected an array of shape": "return c",
    "NaN": "return (c[:, None] - c).abs().sum(2) / 0 * 0",
    "infinity": "return (c[:, None] - c).abs().sum(2) + float('inf')",
    "on the device 'meta'": "return (c[:, None] - c).abs().sum(2).to('meta')",
    "changes its input": "c += 1; return (c[:, None] - c).abs().sum(2)",
    "It raised ZeroDivisionError: division by zero": "return 1 / 0",
    "It raised SystemExit": "raise SystemExit('bye')",
    "the table equals its transpose": "return (c[:, None] - c).abs().sum(2).triu()",
    "which is off by": "return (c[:, None] - c).abs().sum(2) * 1.01",
}


def written(body):
    world = {"torch": torch, "LONG": LONG, "Mute": Mute}
    exec(f"def answer(c):\n    {body}", world)
    return world["answer"]


@pytest.mark.parametrize("told", BROKEN)
def test_an_answer_that_is_broken_is_told_in_what(told):
    body = BROKEN[told]
    answer = (lambda: 0) if body is None else written(body) if isinstance(body, str) else body
    with pytest.raises(NotYet, match=re.escape(told)):
        check("02a", answer)


CATCHES = "while True:\n        try:\n            c = c + 1\n        except {}:\n            pass"
LOOPS = {
    "runs on": "while True: pass",
    "sleeps": "import time; time.sleep(60)",
    "catches every Exception": CATCHES.format("Exception"),
    "catches all": CATCHES.format("BaseException"),
}


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(judge, "SECONDS", 0.3)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_that_never_returns_is_stopped(loop, impatient):
    began = time.perf_counter()
    with pytest.raises(NotYet, match="more than 0.3 seconds. The first call did not come back"):
        check("02a", written(LOOPS[loop]))
    assert time.perf_counter() - began < 30  # it ends at all


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="a process has no copy here that can be stopped")
HARMFUL = {
    "hangs in C": ("sum(range(10**12))", "The first call did not come back"),
    "takes all memory": ("return [torch.ones(10**7) for _ in range(1000)]", "An answer may use 0.25 GiB of memory"),
    "takes all in Python": ("return bytes(10**9)", "It raised MemoryError.*An answer may use 0.25 GiB of memory"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "ended the process in which it was tried .SIGSEGV."),
    "leaves": ("import os; os._exit(3)", "ended the process in which it was tried .status 3."),
}


@LINUX
@pytest.mark.parametrize("in_thread", [False, True], ids=["main", "thread"])
@pytest.mark.parametrize("harm", HARMFUL)
def test_an_answer_that_harms_its_process_is_told_by_this_one(harm, in_thread, monkeypatch):
    monkeypatch.setattr(judge, "SECONDS", 0.5 if "hangs" in harm else 30)
    monkeypatch.setattr(judge, "MEMORY", 2**28)
    body, told = HARMFUL[harm]
    found, exercise = [], exercises.find("02a")

    def ask():
        found.append(judge.judge(exercise, written(body), np.random.default_rng()))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start() if in_thread else ask()
    thread.join(60) if in_thread else None
    assert re.search(told, found[0]) and not multiprocessing.active_children()


@LINUX
def test_one_that_is_off_first_and_hangs_in_c_later_is_told_in_what_it_is_off(monkeypatch):
    calls = []

    def answer(c):
        calls.append(c)
        return torch.zeros(len(c), len(c)) + (sum(range(10**12)) if len(calls) > 1 else 1.0)

    monkeypatch.setattr(judge, "SECONDS", 0.5)
    found = judge.judge(exercises.find("02a"), answer, np.random.default_rng())
    assert "of a class to itself is 0" in found


def test_where_a_process_has_no_copy_an_answer_is_asked_all_the_same(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: pytest.fail("no copy there"))
    check("02a", lambda c: (c[:, None] - c).abs().sum(2))


def printing(c):
    while True:
        print("x" * 1000)
        print("y" * 1000, file=sys.stderr)


def test_a_print_without_end_is_stopped_and_fills_no_memory(monkeypatch):
    monkeypatch.setattr(judge, "SECONDS", 0.5)
    monkeypatch.setattr(judge, "tried", lambda *_: "")  # as where a process has no copy
    tracemalloc.start()
    try:
        with pytest.raises(NotYet, match="did not come back"):
            check("02a", printing)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


class Mute(Exception):
    def __str__(self):
        raise ValueError


LONG = "x" * 10**7
TALKERS = {
    "an error": ("raise ValueError(LONG)", "It raised ValueError: xxx"),
    "an error of the call": ("raise RuntimeError(LONG)", "It raised RuntimeError: xxx"),
    "a print": ("print(LONG)", "It printed: xxx"),
    "an error without text": ("raise Mute", "It raised Mute"),
    "a shape": ("return torch.ones(1).expand(10**12)", "yours is an array of 1000000000000 numbers."),
}


@pytest.mark.parametrize("talker", TALKERS)
def test_what_is_told_is_short_however_long_the_answer_talks(talker):
    body, told = TALKERS[talker]
    with pytest.raises(NotYet, match=told) as caught:
        check("02a", written(body))
    assert len(str(caught.value)) < 2000


def test_the_streams_are_given_back_whenever_the_time_ends(monkeypatch):
    kept, give_back = sys.stdout, contextlib.redirect_stdout.__exit__
    monkeypatch.setattr(judge, "SECONDS", 3.0)  # enough for all cases on a busy machine

    def slowly(*given):
        time.sleep(3.5)
        give_back(*given)

    monkeypatch.setattr(contextlib.redirect_stdout, "__exit__", slowly)
    check("02a", lambda c: (c[:, None] - c).abs().sum(2))
    assert sys.stdout is kept


def test_in_another_thread_too_where_no_alarm_rings(impatient):
    told = []

    def ask():
        try:
            check("02a", written("while True: pass"))
        except NotYet as error:
            told.append(str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(30)
    assert told and "did not come back" in told[0]


def test_a_gradient_that_is_missing_or_wrong_is_told(monkeypatch):
    monkeypatch.setattr(judge, "find", lambda name: dataclasses.replace(exercises.find(name), gradient=0))
    check("02a", lambda c: (c[:, None] - c).abs().sum(2))
    with pytest.raises(NotYet, match="no gradient flows"):
        check("02a", lambda c: (c[:, None] - c).abs().sum(2).detach())
    with pytest.raises(NotYet, match="its gradient is not"):
        check("02a", lambda c: (c.detach()[:, None] - c).abs().sum(2))
    with pytest.raises(NotYet, match="no gradient flows"):
        check("02a", lambda c: torch.tensor(np.abs(c.numpy()[:, None] - c.numpy()).sum(2)))
    with pytest.raises(NotYet, match="its gradient is not: along"):
        check("02a", lambda c: (lambda g: g.detach() + 1.01 * (g - g.detach()))((c[:, None] - c).abs().sum(2)))
    with pytest.raises(NotYet, match="its gradient is not finite"):
        check("02a", lambda c: ((c[:, None] - c) ** 2).sqrt().sum(2))  # the root of 0 has the slope of infinity


def test_hints_become_plainer_with_wrong_answers_only_and_end():
    feedback._shown.clear()
    hints = exercises.find("02a").hints
    check("02a", lambda c: (c[:, None] - c).abs().sum(2))
    with pytest.raises(NotYet, match="still open"):
        check("02a", None)
    for number in (1, 2, 3, 3):
        with pytest.raises(NotYet) as told:
            check("02a", lambda c: c @ c.T)
        assert f"Hint {number} of 3: {hints[number - 1]}" in str(told.value)


def test_a_crash_uses_no_hint_up():
    feedback._shown.clear()
    for body in ("return 1 / 0", "import os; os._exit(3)", "c.sum()", "return 'three'"):
        with pytest.raises(NotYet) as told:
            check("02a", written(body))
        assert "not yet" in str(told.value) and "Hint" not in str(told.value)
    with pytest.raises(NotYet, match="Hint 1 of 3"):
        check("02a", lambda c: c @ c.T)


@pytest.fixture
def shown(monkeypatch, tmp_path):
    """The cards that `check` displays to somebody who sees them, with a journal of their own."""
    found = []
    feedback._shown.clear()
    monkeypatch.setenv("I2PEMD_CACHE", str(tmp_path))
    monkeypatch.setenv("I2PEMD_HEADLESS", "0")
    monkeypatch.setattr(progress, "seen", lambda: True)
    monkeypatch.setattr("IPython.display.display", found.append)
    return found


def text(card):
    """What a card shows, without the marks of HTML."""
    html = re.sub("</?code>", "`", card._repr_mimebundle_()["text/html"])
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html)).split())


def test_who_sees_it_gets_a_card_and_no_error(shown, capsys):
    check("02a", lambda c: (c[:, None] - c).abs().sum(2))
    check("02a", lambda c: c @ c.T + 1.0)
    check("02a", written("raise NotImplementedError()"))
    right, wrong, still = shown
    assert text(right).startswith("✓ 02a: right, in 30 random cases") and len(right.children) == 1
    assert text(wrong).startswith("✗ 02a: not yet. One thing does not hold: the distance of a class to itself is 0.")
    assert text(still).startswith("○ 02a: still open: the function raises NotImplementedError.")
    said = [card._repr_mimebundle_()["text/plain"] for card in shown]
    assert [each.partition(": ")[2][:8] for each in said] == ["right, i", "not yet.", "still op"]
    assert "For c = [[" in said[1] and "For c =" not in text(wrong)  # there it is a table
    assert capsys.readouterr().out == ""


def test_a_card_shows_the_input_beside_the_answer_and_the_shape_that_is_expected(shown):
    check("02a", lambda c: c)
    check("02a", lambda c: (c[:, None] - c).abs().sum(2) + 2 * (torch.eye(len(c), dtype=c.dtype) - 1))
    shape, off = (card._repr_mimebundle_()["text/html"] for card in shown)
    captions = re.findall(r"<caption[^>]*>(.*?)</caption>", shape)
    assert [each.partition(":")[0] for each in captions] == ["c", "yours", "expected"]
    K, d = ast.literal_eval(captions[0].partition("shape ")[2])
    assert captions[1].endswith(f"shape ({K}, {d})") and captions[2].endswith(f"shape ({K}, {K})")
    tables = re.findall(r"<table.*?</table>", shape)
    assert [table.count("<td") for table in tables] == [K * d, K * d, K * K] and tables[2].count("·") == K * K
    assert "✗" not in "".join(tables) and off.count("<b>✗ ") == 1  # the entry that is most off


def test_a_typical_mistake_is_named_on_a_card_with_its_tables(shown):
    sentence, mistaken = next(iter(exercises.find("02a").mistakes.items()))
    check("02a", mistaken)
    assert f"not yet. {sentence}" in text(shown[0]) and "expected: shape" in text(shown[0])


def test_a_table_that_is_too_large_or_no_numbers_is_its_shape(shown):
    check("02a", lambda c: torch.ones(1).expand(10**12))
    check("02a", lambda c: np.full((2, 1, 2), "three"))
    check("00a", lambda p, k, G: torch.zeros(2, 30))
    assert "yours: shape (1000000000000,)" in text(shown[0]) and "yours: shape (2, 1, 2)" in text(shown[1])
    assert "k: a single number" in text(shown[2]) and "yours: shape (2, 30)" in text(shown[2])
    assert "Expected a single number, yours is an array of shape (2, 30)." in text(shown[2])
    assert text(shown[2]).endswith("expected: a single number")  # without a table of one dot


def test_only_the_button_shows_a_hint_and_after_the_last_a_sentence(shown):
    hints = exercises.find("02a").hints
    for answer in (lambda c: c @ c.T, lambda c: 1 / 0, lambda c: c @ c.T):
        check("02a", answer)
        assert "Hint 1" not in text(shown[-1])
    button = shown[-1].children[1]
    assert button.description == "Hint" and "02a" in button.tooltip
    for number in range(1, 4):
        button.click()
        assert [f"Hint {n} of 3: {hints[n - 1]}" in text(shown[-1]) for n in range(1, 4)].count(True) == number
    for _ in range(7):
        button.click()
    assert text(shown[-1]).count("Hint ") == 3 and feedback.NO_MORE in text(shown[-1])
    check("02a", lambda c: c)
    assert f"Hint 3 of 3: {hints[2]}" in text(shown[-1])  # what was shown stays there
    check("02a", lambda c: (c[:, None] - c).abs().sum(2))
    assert "Hint" not in text(shown[-1])
    assert progress.checks()["02a"] == {"attempts": 5, "right": True, "hint": 3, "mistakes": []}


def test_a_check_of_a_function_that_is_not_there_is_a_card_and_other_names_are_errors(shown, monkeypatch, capsys):
    shell = InteractiveShell()
    monkeypatch.setattr("i2pemd_lite.course.ask.recall.get_ipython", lambda: shell)
    start(0)
    shell.user_ns["check"] = check

    def ran(code):
        capsys.readouterr()
        result = shell.run_cell(code, store_history=True)
        assert isinstance(result.error_in_exec, NameError)  # so Run All stops there as before
        return capsys.readouterr().out

    said = "02a: `spread` is not there yet. Run the cell above, which defines it, then this one again."
    assert ran('check("02a", spread)').strip() == said
    assert "Traceback" in ran("spread") and "Traceback" in ran('check("02a", lambda c: c, spread)')
    monkeypatch.setattr(progress, "seen", lambda: False)
    assert "Traceback" in ran('check("02a", spread)')


def test_nobody_sees_what_a_program_runs_or_a_strict_run(monkeypatch):
    asked = {"content": {"allow_stdin": True}}
    shell = SimpleNamespace(get_parent=lambda: asked)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    for name, value in (("PROFILE", "laptop"), ("STRICT", "0"), ("HEADLESS", "0")):
        monkeypatch.setenv(f"I2PEMD_{name}", value)
    assert progress.seen()
    for name in ("STRICT", "HEADLESS"):
        with monkeypatch.context() as patch:
            patch.setenv(f"I2PEMD_{name}", "1")
            assert not progress.seen()
    asked["content"]["allow_stdin"] = False  # as nbclient has it, and so nbmake and nbgrader
    assert not progress.seen()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not progress.seen()


def test_a_text_shows_sentences_and_no_traceback():
    with pytest.raises(NotYet) as told:
        check("02a", lambda c: c @ c.T)
    assert told.value._render_traceback_() == str(told.value).splitlines()


def test_an_exercise_that_is_none_is_told_with_those_that_are():
    with pytest.raises(BadInput, match="expected the name of an exercise, one of .*02a.*found '99z'"):
        check("99z", lambda: 0)


def test_what_an_answer_prints_is_told_only_when_it_is_off_and_warnings_never(capfd):
    def noisy(c):
        print("shape", tuple(c.shape))
        np.array([1.0]) / np.array([0.0])
        return (c[:, None] - c).abs().sum(2)

    check("02a", noisy)
    heard = capfd.readouterr()
    assert heard.out.startswith("02a: right") and heard.err == ""
    with pytest.raises(NotYet, match=r"returns nothing.* It printed: shape"):
        check("02a", lambda c: print("shape", tuple(c.shape)))


STRANGE = {
    "a complex number": lambda c: (c[:, None] - c).abs().sum(2) + 5j,
    "texts": lambda c: [[str(x) for x in row] for row in (c[:, None] - c).abs().sum(2).tolist()],
    "a number beyond floats": lambda c: [[10**400]],
    "a generator": lambda c: (x for x in c),
}


@pytest.mark.parametrize("strange", STRANGE)
def test_what_is_no_table_of_numbers_is_refused(strange):
    with pytest.raises(NotYet, match="Expected numbers|infinity"):
        check("02a", STRANGE[strange])


def test_numbers_of_every_kind_are_read():
    for kind in (torch.bfloat16, torch.float16, torch.int32):
        assert judge._array(torch.ones(2, dtype=kind)).tolist() == [1, 1]
    for value in (True, np.float32(1), [np.int8(1)], [torch.tensor(1.0)], ((1,), (1.0,))):
        assert judge._array(value).max() == 1


def test_a_right_answer_that_is_too_slow_is_told_so(impatient):
    def slow(c):
        time.sleep(0.05)
        return (c[:, None] - c).abs().sum(2)

    with pytest.raises(NotYet, match=r"[1-9]\d* of 30 cases were right, and then the time was over"):
        check("02a", slow)


def test_a_learner_meets_new_inputs_after_a_restart(monkeypatch):
    seen = []
    monkeypatch.setattr(judge, "judge", lambda exercise, answer, random: seen.append(random.random()) or "")
    for headless in ("0", "0", "1", "1"):
        monkeypatch.setenv("I2PEMD_HEADLESS", headless)
        judge._draws.clear()  # as in a new kernel
        check("02a", None)
    assert seen[0] != seen[1] and seen[2] == seen[3]


@pytest.mark.parametrize("name", [None, 5, lambda c: c])
def test_a_name_that_is_none_is_told(name):
    with pytest.raises(BadInput, match="check: expected the name of an exercise"):
        check(name, lambda c: c)
