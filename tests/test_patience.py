"""Time limits: they are kept, they nest, and they leave nothing behind."""

import signal
import sys
import threading
import time

import pytest

from i2pemd_lite.course import patience
from i2pemd_lite.course.patience import OutOfTime, at_most

CATCHES = """
def loop():
    while True:
        try:
            while True:
                pass
        except {}:
            pass
"""


@pytest.fixture(params=["alarm", "planted"])
def kind(request, monkeypatch):
    """Both ways, the second as on a system without alarms."""
    if request.param == "planted":
        monkeypatch.setattr(patience, "_alarm", patience._planted)
    elif not hasattr(signal, "setitimer"):
        pytest.skip("no alarms here")
    return request.param


def loop(caught):
    world = {}
    exec(CATCHES.format(caught), world)
    return world["loop"]


def test_a_loop_is_stopped(kind):
    with pytest.raises(OutOfTime), at_most(0.05):
        while True:
            pass


def test_a_loop_that_catches_every_exception_is_stopped(kind):
    with pytest.raises(OutOfTime), at_most(0.05):
        loop("Exception")()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarms here")
def test_a_loop_that_catches_all_is_stopped_by_an_alarm():
    with pytest.raises(OutOfTime), at_most(0.05):
        loop("BaseException")()
    assert sys.gettrace() is None


def test_what_is_in_time_is_left_alone(kind):
    with at_most(30):
        done = sum(range(1000))
    time.sleep(0.01)
    assert done == 499500


def test_nothing_is_left_behind_by_blocks_that_end_at_their_limit(kind):
    before, stopped = signal.getsignal(signal.SIGALRM) if hasattr(signal, "SIGALRM") else None, 0
    limit = 0.003 if kind == "alarm" else 0.03  # a thread waits some milliseconds for its turn
    for n in range(63):
        try:
            with at_most(limit):
                until = time.perf_counter() + limit * (1 + 0.1 * (n % 21 - 5))
                while time.perf_counter() < until:
                    pass
        except OutOfTime:
            stopped += 1
    deadline = time.perf_counter() + 0.6
    while time.perf_counter() < deadline:  # an exception that comes late would end the test here
        pass
    assert 0 < stopped
    if before is not None:
        assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert not [thread for thread in threading.enumerate() if "watch" in thread.name]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarms here")
def test_the_outer_of_two_limits_is_kept():
    with pytest.raises(OutOfTime), at_most(0.1):
        with at_most(30):
            pass
        with at_most(30):
            while True:
                pass
    with pytest.raises(OutOfTime), at_most(0.1):
        with at_most(30):
            pass
        while True:
            pass


def test_in_a_thread_beside_the_main_one():
    told = []

    def ask():
        try:
            with at_most(0.05):
                while True:
                    pass
        except OutOfTime:
            told.append("stopped")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(30)
    assert told == ["stopped"]
