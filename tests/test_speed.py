"""Timing: the bookkeeping with a clock that is told what to say, and the panel on times that were made up."""

import time

import numpy as np
import pytest
import torch
from controls import marks, move_every_control, places

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import speed, timing
from i2pemd_lite.panels.timing import Timings

MADE_UP = Timings(
    (10, 100, 1000, 10_000),
    {
        "loop": {10: 1.0, 100: 10.0},
        "at once": {10: 0.5, 100: 0.5, 1000: 1.0, 10_000: 8.0},
        "one pass": {10: 2.0, 100: 2.0, 1000: 2.0, 10_000: 2.0},
    },
)


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")


class Clock:
    """Time passes only when somebody works."""

    def __init__(self, monkeypatch):
        self.now, self.log = 0.0, []
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def work(self, name, milliseconds):
        self.log.append(name)
        self.now += milliseconds / 1e3


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_every_function_runs_once_a_round_in_a_turning_order(clock):
    functions = {name: lambda name=name: clock.work(name, ord(name)) for name in "abc"}
    taken = timing.interleaved(functions, rounds=3, warm_up=1)
    assert clock.log == list("abc" "bca" "cab" "abc")
    assert taken == {name: pytest.approx([ord(name)] * 3) for name in "abc"}


def test_the_warm_up_does_not_count_and_one_interruption_does_not_move_the_median(clock):
    long = iter([500.0, 1.0, 70.0, 1.0, 2.0, 1.0])
    taken = timing.interleaved({"a": lambda: clock.work("a", next(long))}, rounds=5, warm_up=1)
    assert max(taken["a"]) == pytest.approx(70) and timing.medians(taken)["a"] == pytest.approx(1)


def test_a_version_that_would_take_too_long_is_left_out(clock):
    versions = {
        "linear": lambda n: clock.work("linear", n),
        "constant": lambda n: clock.work("constant", 3.0),
    }
    found = timing.scaling(versions, lambda n: (n,), [1000, 10, 100], rounds=2, most=500.0)
    assert found.sizes == (10, 100, 1000)
    assert found.milliseconds["linear"] == pytest.approx({10: 10, 100: 100})  # 1000 would take 1000
    assert found.milliseconds["constant"] == pytest.approx({10: 3, 100: 3, 1000: 3})
    alone = timing.scaling({"linear": versions["linear"]}, lambda n: (n,), [10, 100, 1000, 10_000], most=50.0)
    assert alone.sizes == (10,)


def test_interruptions_do_not_end_a_version(clock):
    long = iter([1.0, 90.0, 1.0, 90.0] + [1.0] * 4)  # a warm-up and three rounds of each size
    found = timing.scaling({"a": lambda n: clock.work("a", next(long))}, lambda n: (n,), [1, 10], rounds=3, most=50.0)
    assert found.milliseconds["a"] == pytest.approx({1: 90, 10: 1})


def test_laps_are_those_of_the_parts(clock, monkeypatch):
    seen = []
    monkeypatch.setattr(timing, "bar", lambda rounds, *words: seen.append((len(rounds), *words)) or rounds)

    def step():
        clock.work("a", 5)
        yield "a"
        clock.work("b", 2)
        yield "b"

    assert timing.laps(step, rounds=3) == pytest.approx({"a": 5, "b": 2})
    assert clock.log == ["a", "b"] * 4 and seen == [(4, "timing a step", "round")]


def test_a_gpu_is_waited_for(monkeypatch):
    waits = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append(len(waits)))
    order = []
    timing.once(lambda: order.append(len(waits)))
    assert order == [1] and len(waits) == 2  # once before, and once after the work was asked for


def test_time_is_in_milliseconds():
    assert timing.once(lambda: time.sleep(0.02)) >= 20


def test_what_autograd_keeps():
    x = torch.zeros(10, 100, requires_grad=True)
    assert timing.kept(lambda: x.sum()) == 0
    assert timing.kept(lambda: x.exp().sum()) == 4000
    assert timing.kept(lambda: (x * x.exp()).sum()) == 8000, "x, and its exp once though two operations want it"
    with torch.no_grad():
        assert timing.kept(lambda: x.exp().sum()) == 0


def test_nothing_to_time_is_refused():
    with pytest.raises(BadInput, match="functions, rounds"):
        timing.interleaved({})
    with pytest.raises(BadInput, match="found 1 and 0"):
        timing.interleaved({"a": time.time}, rounds=0)


# The panel


def holds(result):
    low, high = result.ends
    assert low < high
    factor = 1.0 if result.unit == "milliseconds" else 1e6
    for name, (sizes, values) in result.curves.items():
        expected = {n: ms for n, ms in MADE_UP.milliseconds[name].items() if low <= n <= high}
        assert sizes.tolist() == list(expected)
        divide = 1 if factor == 1.0 else np.array(list(expected))
        np.testing.assert_allclose(values * divide, factor * np.array(list(expected.values())), rtol=1e-12)
    for name, (size, ratio) in result.ratios.items():
        one, other = (MADE_UP.milliseconds[each] for each in (result.against, name))
        assert low <= size <= high and ratio == pytest.approx(one[size] / other[size])
        assert not [n for n in set(one) & set(other) if size < n <= high]
    assert result.ratios.get(result.against, (0, 1.0))[1] == 1.0
    for name, each in (("loop", 0.1), ("at once", 8e-4), ("one pass", 2e-4)):
        assert result.expected[name] == pytest.approx(each * result.batch)


def test_every_control_works_at_both_ends_and_in_the_middle():
    panel = speed.panel(MADE_UP)
    holds(panel.result)
    move_every_control(panel, holds)


def test_the_ends_take_each_other_along():
    panel = speed.panel(MADE_UP, largest=100)
    panel.controls["smallest"].value = 1000
    assert panel.state["largest"] == 10_000
    panel.controls["largest"].value = 100
    assert panel.state["smallest"] == 10
    panel.set(smallest=100, largest=1000)
    holds(panel.result)


def test_bars_reach_from_one_to_the_ratio_and_lines_go_through_the_times():
    panel = speed.panel(MADE_UP, against="at once")
    ratios, times = (panel._card.planes[name] for name in ("ratios", "times"))
    for bar, (_, ratio) in zip(marks(panel.image.value, "ratios rect"), panel.result.ratios.values(), strict=True):
        reached = sorted(ratios.at([1.0, ratio], [0, 0])[:, 0])
        assert [float(bar.x), float(bar.x) + float(bar.width)] == pytest.approx(reached, abs=0.11)
    lines = marks(panel.image.value, "times line")
    for line, curve in zip(lines, panel.result.curves.values(), strict=True):
        np.testing.assert_allclose(places(line), times.at(*curve), atol=0.06)
    assert len({line.stroke for line in lines}) == 3


def test_axes_have_few_powers_of_ten_and_no_words_leave_the_card():
    slow = Timings(MADE_UP.sizes, MADE_UP.milliseconds | {"by hand": {10: 2e4, 100: 2e5}})
    for state in ({}, {"show": "nanoseconds a voxel", "smallest": 1000}):
        picture = speed.panel(slow, **state).image.value
        found = marks(picture, "times axes text")
        powers = [mark for mark in found if mark.text.startswith("10")]
        assert 6 <= len(powers) <= 14 and len(found) == len(powers) + 1  # and the label
        beside = [mark for mark in powers if getattr(mark, "text_anchor", "") == "end"]
        assert all(float(mark.x) > 0.6 * float(mark.font_size) * len(mark.text) for mark in beside)


SAID = [(3, "3 milliseconds"), (1999, "2e+03 milliseconds"), (2000, "2 seconds"), (1.5e5, "2.5 minutes"),
        (9e6, "2.5 hours")]  # fmt: skip


@pytest.mark.parametrize("milliseconds, words", SAID)
def test_a_time_is_said_in_a_unit_that_fits(milliseconds, words):
    assert speed._long(milliseconds) == words


def test_words_say_who_wins_and_who_was_too_slow():
    panel = speed.panel(MADE_UP)
    assert "At 10,000 voxels “one pass” is the fastest, with 2 milliseconds." in panel.words
    assert "“loop” only up to 100" in panel.words
    assert "a batch of 3.15 million takes 5.25 minutes by “loop” and 630 milliseconds by “one pass”" in panel.words
    assert panel.numbers == {"at once": "20 × at 100", "one pass": "5 × at 100", "compared with": "loop"}
    panel.set(largest=100, show="nanoseconds a voxel", against="one pass")
    assert "At 100 voxels “at once” is the fastest, with 5,000 nanoseconds a voxel." in panel.words
    assert panel.numbers["loop"] == "0.2 × at 100" and "only up to" not in panel.words
    panel.set(largest=10_000, smallest=1000, against="loop")
    assert panel.numbers == {"compared with": "loop"}


def test_controls_and_state(tmp_path):
    panel, other = speed.panel(MADE_UP, against="at once", smallest=100), speed.panel(MADE_UP)
    assert all(control.description for control in panel.controls.values())
    assert f'aria-label="{panel.words}"' in panel.image.value
    panel.save(tmp_path / "state.json")
    other.load(tmp_path / "state.json")
    assert other.state == panel.state and other.image.value == panel.image.value


def test_too_little_to_draw_is_refused():
    with pytest.raises(BadInput, match="found 1 of 1"):
        speed.panel(Timings((10,), {"a": {10: 1.0}}))
    with pytest.raises(BadInput, match="found 2 of 7"):
        speed.panel(Timings((10, 20), {name: {10: 1.0, 20: 1.0} for name in "abcdefg"}))
