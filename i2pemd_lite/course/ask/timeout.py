"""A function with a time limit, also for a loop that never ends, on every platform."""

import ctypes
import signal
import sys
import threading
import time

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
