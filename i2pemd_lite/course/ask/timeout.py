"""A function with a time limit, also for a loop that never ends, on every platform.

An exception stops Python alone: one call into C that never ends, such as `sum(range(10**12))`, meets none. On Linux
`tried` finds such a call out. On Windows and macOS nothing can end it but a restart of the kernel.
"""

import contextlib
import ctypes
import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

DONE = 77  # the exit status of a trial that came to its end, and of hardly anything else
AGAIN = 0.2  # seconds after which one who caught the exception gets the next


class OutOfTime(BaseException):
    """The time is over. No `Exception`: an answer that catches every one of them is stopped all the same."""


def at_most(seconds, function, *arguments):
    """The value of `function(*arguments)`, or `OutOfTime` when that takes longer than so many seconds.

    Limits can be nested: the one that is over first counts.

    A function and no `with` block: CPython 3.13 looks for no handler in the frame that an exception from outside meets
    at the end of a `while` loop (python/cpython#130279), but always in the frame that has called that one.
    """
    rings = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    return (_alarm if rings else _planted)(seconds, lambda: function(*arguments))


def _alarm(seconds, run):
    """By alarms, where the system has them and in the main thread. They come again, so that none of these goes on:

        time.sleep(60)      an alarm ends even a call that sleeps
        try: work()         here is the first alarm; the next ones are here, too,
        except: go_on()     and raise on this line as well: they make Python trace it

    An alarm of a limit around this one is put off, and set again with what is left of it.
    """
    alarms, running, here, tracing = 0, False, sys._getframe().f_code, sys.gettrace()

    def ring(_, frame):
        nonlocal alarms
        if not running or frame.f_code is here:
            return  # not begun, or ended
        alarms += 1
        if alarms > 1:
            sys.settrace(lambda *_: None)  # which makes frames look at their own
            while frame and frame.f_code is not here:
                frame.f_trace, frame = raise_at_line, frame.f_back
        raise OutOfTime

    def raise_at_line(frame, event, _):
        if event == "line" and running:
            raise OutOfTime
        return raise_at_line

    outer, began = signal.getitimer(signal.ITIMER_REAL)[0], time.monotonic()
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, min(seconds, outer or seconds), AGAIN)
        running = True
        return run()
    finally:
        running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.settrace(tracing)
        signal.signal(signal.SIGALRM, before)
        if outer:
            signal.setitimer(signal.ITIMER_REAL, max(outer - (time.monotonic() - began), 1e-3), AGAIN)


def _planted(seconds, run):
    """By an exception that another thread plants into this one, which meets it at its next line: a call that sleeps
    ends first, and a loop that catches everything goes on."""
    thread, lock, running, left = ctypes.c_ulong(threading.get_ident()), threading.Lock(), False, threading.Event()
    plant = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def watch():
        wait = seconds
        while not left.wait(wait):
            with lock:
                if running:
                    plant(thread, ctypes.py_object(OutOfTime))
            wait = AGAIN

    def leave():
        nonlocal running
        running = False
        with lock:
            plant(thread, None)
        left.set()

    try:
        try:
            threading.Thread(target=watch, daemon=True).start()
            running = True
            return run()
        finally:
            leave()
    finally:
        leave()  # one that was on its way may have met the line above, and there is no other


def tried(seconds, memory, function):
    """Run `function()` in a copy of this process first, which can be stopped whatever it does; "" when that went well.

    Else it is the signal or status by which the process ended, or `OutOfTime` when it worked on after so many seconds.
    memory : bytes that it may take beyond what is taken already

    Only on Linux: elsewhere a process has no copies, or no safe ones. Where it cannot be said, it is "", too: a copy
    that waits may wait for a thread that it does not have.
    """
    if sys.platform != "linux":
        return ""
    import resource

    pages = [int(each) for each in Path("/proc/self/statm").read_text().split()]
    taken = (pages[5] or pages[0]) * resource.getpagesize()  # of data; some sandboxes count all alone
    ends = (int(seconds) + 2) * os.cpu_count()  # also when this process is gone
    limits = {resource.RLIMIT_DATA: taken + memory, resource.RLIMIT_CPU: ends, resource.RLIMIT_CORE: 0}

    def run():
        faulthandler.disable()  # a crash is told in a sentence
        for limit, most in limits.items():
            with contextlib.suppress(ValueError, OSError):  # a lower one holds already
                resource.setrlimit(limit, (most, most))
        function()
        os._exit(DONE)

    trial = multiprocessing.get_context("fork").Process(target=run)
    try:
        trial.start()
    except (OSError, AssertionError):  # no room for one more, or none is allowed here
        return ""
    try:
        trial.join(seconds)
        if trial.is_alive():
            if Path(f"/proc/{trial.pid}/stat").read_text().rpartition(") ")[2][0] != "S":
                raise OutOfTime
            return ""
        status = trial.exitcode
        return "" if status in (DONE, 1) else signal.Signals(-status).name if status < 0 else f"status {status}"
    finally:
        trial.kill()
        trial.join()
