"""Bars: what is done, how far it is, the time left; in a notebook a line that is no error, and how a training stops."""

import queue
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from i2pemd_lite import text
from i2pemd_lite.course.publish import render
from i2pemd_lite.text import bar

STEP = "from test_run import line, Line\nimport time\nlosses = Line.losses\n"
STEP += "def slow(self, t):\n    time.sleep(0.05)\n    return losses(self, t)\n\nLine.losses = slow\n"
STEP += "run = line(steps=200)"


@pytest.fixture
def page(monkeypatch):
    """What a notebook would show: each state of the line, as text and HTML."""
    shown = []

    class Handle:
        def update(self, bundle, raw):
            shown.append(bundle)

    def display(bundle, raw, display_id):
        assert raw and display_id
        shown.append(bundle)
        return Handle()

    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=True), display=SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", shell.display)
    monkeypatch.setattr(text, "PERIOD", 0.0)
    return shown


def said(page):
    return [bundle["text/plain"] for bundle in page]


def test_a_line_is_there_before_the_first_thing_and_says_how_far_it_is(page, monkeypatch):
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(text.time, "monotonic", lambda: next(now))
    seen = []
    for thing in bar("abc", "spelling", "letter", stop="pause", words=lambda thing: f"now {thing}"):
        assert len(page) == 1 + len(seen)
        seen.append(thing)
    assert seen == ["a", "b", "c"]
    first, second, *_, last = said(page)
    assert first == "spelling: letter 0 of 3. To pause it, press ■ above."
    assert second.startswith("spelling: letter 1 of 3, now a, ") and "left. To pause it" in second
    assert last.startswith("spelling: letter 3 of 3, now c, ") and last.endswith(" in all")
    html = page[1]["text/html"]
    assert 'role="progressbar" aria-label="spelling" aria-valuenow="1" aria-valuemax="3"' in html and second in html
    assert "#3d7fc1 33.3%" in html


def test_the_time_left_is_that_of_the_pace_since_the_bar_began(page, monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(text.time, "monotonic", lambda: clock.now)
    for _ in bar(range(6), "walking", "mile", total=10, done=4):
        clock.now += 30.0
    assert ["walking: mile 5 of 10, 2 min 30 s left" in line for line in said(page)] == [0, 1, *[0] * 6]
    assert said(page)[-1] == "walking: mile 10 of 10, 3 min 0 s in all"


def test_a_thing_that_takes_long_is_told_of_meanwhile(page, monkeypatch):
    monkeypatch.setattr(text, "LONG", 0.01)
    for _ in bar("ab", "walking", "mile"):
        until = time.monotonic() + 10
        while "the next mile has taken" not in said(page)[-1]:
            assert time.monotonic() < until
            time.sleep(0.001)
    assert said(page)[-1].startswith("walking: mile 2 of 2, ") and said(page)[-1].endswith(" in all")


def test_a_page_and_slides_leave_it_out(page):
    list(bar("ab", "spelling", "letter"))
    assert render.output({"data": page[-1]}) == "" != render.output({"data": {"text/html": "<p></p>"}})


def test_what_stops_it_leaves_how_far_it_came(page):
    with pytest.raises(KeyboardInterrupt):
        for n in bar(range(9), "counting", "number"):
            if n == 3:
                raise KeyboardInterrupt
    assert said(page)[-1].startswith("counting: number 3 of 9, ")


def test_what_is_said_is_text_and_no_markup(page):
    list(bar([1], "training <b>&</b>", "step"))
    assert "training &lt;b&gt;&amp;&lt;/b&gt;: step 1 of 1" in page[-1]["text/html"]
    assert "training <b>&</b>: step 1 of 1" in said(page)[-1]


def test_nothing_is_shown_of_nothing_or_where_it_is_not_wanted(page):
    for things, more in (([], {}), ("ab", {"shown": False}), ("ab", {"total": 5, "done": 5})):
        assert list(bar(things, "reading", "line", **more)) == list(things)
    assert page == []


def test_outside_of_a_notebook_it_is_a_meter_on_standard_error_where_asked_for(capsys):
    assert list(bar("abc", "spelling", "letter", shown=True, words=str.upper)) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert out == "" and "spelling" in err and "3/3" in err
    assert list(bar("abc", "spelling", "letter")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


@pytest.fixture(scope="module")
def kernel():
    """`ask(code, wait)` of a real kernel: what it sent, until the cell ended or `wait(message)` holds."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(Path(__file__).parent))

    def ask(code, until=lambda message: False, seconds=120):
        if code:
            client.execute(code)
        heard, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                message = client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            heard.append((message["msg_type"], message["content"]))
            if until(heard[-1]) or heard[-1] == ("status", {"execution_state": "idle"}):
                return heard
        raise AssertionError(f"waited for {seconds} s, heard {heard[-3:]}")

    yield ask, manager
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def plain(heard):
    return [content["data"]["text/plain"] for kind, content in heard if kind.endswith("display_data")]


@pytest.mark.parametrize("train", ["run.finish()", "panel.go()"])
def test_a_training_that_is_stopped_in_a_notebook_says_where_it_is_paused_and_goes_on(kernel, train):
    ask, manager = kernel
    code = STEP.replace("run =", "from i2pemd_lite.runs.run import Run\nrun =")
    if "panel" in train:
        code += "\nfrom i2pemd_lite.panels.training import Training\nfrom types import SimpleNamespace\n"
        code += "panel = SimpleNamespace(controls={'run': SimpleNamespace(value='line')}, chosen=run)\n"
        code += "panel._train = lambda last: Training._train(panel, last)\n"
        code += "panel._follow = panel.refresh = lambda: None\n"
        code += "panel.go = lambda: Training.go(panel)"
    assert [content for kind, content in ask(code) if kind == "error"] == []
    heard = ask(train, lambda message: message[0] == "update_display_data")
    assert plain(heard)[0] == "training line: step 0 of 200. To pause it, press ■ above."
    assert " of 200, " in plain(heard)[-1] and " left. To pause it" in plain(heard)[-1]
    manager.interrupt_kernel()
    heard = ask("")
    (error,) = [content for kind, content in heard if kind == "error"]
    at = int(error["traceback"][0].split("step ")[1].split(" of")[0])
    words = f"line: paused at step {at} of 200. Run this cell again, and the training goes on from there."
    assert (error["ename"], error["traceback"]) == ("Paused", [words])
    assert plain(heard)[-1].startswith(f"training line: step {at} of 200, ")  # the bar counts as the sentence does
    assert not any("%|" in str(content) for _, content in heard)  # no meter in red
    again = ask(f"Line.losses = losses\nbefore = run.number\n{train}\n(before, run.number)")
    assert plain(again)[0].startswith(f"training line: step {at} of 200")
    assert [c["data"]["text/plain"] for kind, c in again if kind == "execute_result"] == [f"({at}, 200)"]
