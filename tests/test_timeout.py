"""Time limits: they are kept, they nest, and they leave nothing behind, by every Python that is there.

What is checked are functions that need no pytest, so that a Python without any packages can run them, too.
"""

import ctypes
import inspect
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from i2pemd_lite.course.ask import timeout
from i2pemd_lite.course.ask.timeout import OutOfTime, at_most

ALARMS = hasattr(signal, "setitimer")


def endless():
    while True:
        pass


def catching(caught):
    while True:
        try:
            while True:
                pass
        except caught:
            pass


def busy_until(until):
    while time.perf_counter() < until:
        pass


def stopped(seconds, function, *arguments):
    try:
        at_most(seconds, function, *arguments)
    except OutOfTime:
        return True
    return False


def left_behind():
    """What a limit changes while it lasts, and the threads that it has started and that do not end."""
    watching = [thread for thread in threading.enumerate() if "(watch)" in thread.name]
    for thread in watching:
        thread.join(30)
    alarm = (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[0]) if ALARMS else None
    return alarm, sys.gettrace(), [thread for thread in watching if thread.is_alive()]


def a_loop_is_stopped(way):
    assert stopped(0.05, endless)


def a_loop_that_catches_every_exception_is_stopped(way):
    assert stopped(0.05, catching, Exception)


def a_loop_that_catches_all_is_stopped_by_an_alarm(way):
    before = left_behind()
    assert way == "planted" or stopped(0.05, catching, BaseException)
    assert left_behind() == before


def a_call_that_sleeps_is_stopped_by_an_alarm(way):
    began = time.monotonic()
    assert way == "planted" or stopped(0.05, time.sleep, 60)
    assert time.monotonic() - began < 30


def what_is_in_time_is_left_alone(way):
    assert at_most(30, sum, range(1000)) == 499500
    try:
        at_most(30, int, "five")
    except ValueError as error:
        assert "five" in str(error)
    else:
        raise AssertionError("expected the function's own exception")


def nothing_is_left_behind_by_functions_that_end_at_their_limit(way):
    before, count = left_behind(), 0
    limit = 0.003 if way == "alarm" else 0.03  # a thread waits some milliseconds for its turn
    for n in range(63 if way == "alarm" else 21):
        count += stopped(limit, busy_until, time.perf_counter() + limit * (1 + 0.1 * (n % 21 - 5)))
    busy_until(time.perf_counter() + 0.5)  # an exception that comes late would end the check here
    assert count > 0 and left_behind() == before


def nothing_is_left_behind_by_an_end_of_time_in_the_midst_of_leaving(way):
    """At the worst moment the time is over: when the limit is about to be taken away."""
    before, ended = left_behind(), False
    owner, name = (signal, "setitimer") if way == "alarm" else (ctypes.pythonapi, "PyThreadState_SetAsyncExc")
    real = getattr(owner, name)

    def late(which, what, *rest):
        nonlocal ended
        if not what and not ended:  # the call that takes it away
            ended = True
            if way == "alarm":
                signal.raise_signal(signal.SIGALRM)
            else:
                real(which, ctypes.py_object(OutOfTime))
        return real(which, what, *rest)

    setattr(owner, name, late)
    try:
        stopped(30, sum, [])
    finally:
        setattr(owner, name, real)
    assert ended and left_behind() == before


def the_outer_of_two_limits_is_kept(way):
    def one_after_another():
        at_most(30, sum, [])
        at_most(30, endless)

    def inner_first():
        at_most(30, sum, [])
        endless()

    assert stopped(0.1, one_after_another) and stopped(0.1, inner_first)


def a_thread_beside_the_main_one_is_stopped(way):
    told = []
    thread = threading.Thread(target=lambda: told.append(stopped(0.05, endless)), daemon=True)
    thread.start()
    thread.join(30)
    assert told == [True]


CHECKS = [
    a_loop_is_stopped,
    a_loop_that_catches_every_exception_is_stopped,
    a_loop_that_catches_all_is_stopped_by_an_alarm,
    a_call_that_sleeps_is_stopped_by_an_alarm,
    what_is_in_time_is_left_alone,
    nothing_is_left_behind_by_functions_that_end_at_their_limit,
    nothing_is_left_behind_by_an_end_of_time_in_the_midst_of_leaving,
    the_outer_of_two_limits_is_kept,
    a_thread_beside_the_main_one_is_stopped,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("way", ["alarm", "planted"])
def test_time_limit(check, way, monkeypatch):
    """Both ways, the second as on a system without alarms."""
    if way == "planted":
        monkeypatch.setattr(timeout, "_alarm", timeout._planted)
    elif not ALARMS:
        pytest.skip("no alarms here")
    check(way)


OTHER = """
import ctypes, importlib.util, signal, sys, threading, time
spec = importlib.util.spec_from_file_location("timeout", sys.argv[1])
timeout = importlib.util.module_from_spec(spec)
spec.loader.exec_module(timeout)
OutOfTime, at_most, ALARMS = timeout.OutOfTime, timeout.at_most, hasattr(signal, "setitimer")
{functions}
for way in ["alarm"] * ALARMS + ["planted"]:
    if way == "planted":
        timeout._alarm = timeout._planted
    for check in [{names}]:
        print(way, check.__name__, flush=True)
        check(way)
print("all kept by", *sys.version_info[:2])
"""


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_time_limit_by_another_python(version):
    functions = [endless, catching, busy_until, stopped, left_behind, *CHECKS]
    names = ", ".join(check.__name__ for check in CHECKS)
    code = OTHER.format(functions="\n".join(map(inspect.getsource, functions)), names=names)
    words = [python(version), "-c", code, timeout.__file__]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.stdout.endswith(f"all kept by {version.replace('.', ' ')}\n"), done.stdout + done.stderr


def python(version):
    """The first Python of that version that runs, of those on PATH and those of pyenv."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        pytest.skip("this one, which all the other tests here ask")
    found = [shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
    for each in filter(None, found):
        if subprocess.run([each, "-c", ""], capture_output=True).returncode == 0:
            return each
    pytest.skip(f"there is no Python {version} on PATH or of pyenv")
