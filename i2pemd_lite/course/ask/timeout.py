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

    Where the system has alarms and this is the main thread, an alarm stops even a call that sleeps, and a loop that
    catches everything: from the second alarm on, the line that has caught it raises, too. Elsewhere the exception is
    planted into the running thread, which meets it at its next line; a call that sleeps ends first, and a loop that
    catches everything goes on. Limits can be nested: the one that is over first counts.

    A function and no `with` block: CPython 3.13 looks for no handler in the frame that an exception from outside meets
    at the end of a `while` loop (python/cpython#130279), but always in the frame that has called that one.

    Example
    -------
    >>> def endless():
    ...     while True: pass
    >>> try:
    ...     at_most(0.05, endless)
    ... except OutOfTime:
    ...     print("stopped")
    stopped
    """
    main = threading.current_thread() is threading.main_thread()
    limited = _alarm if main and hasattr(signal, "setitimer") else _planted
    return limited(seconds, lambda: function(*arguments))


def _alarm(seconds, run):
    rings, inside, mine, tracing = 0, False, sys._getframe().f_code, sys.gettrace()

    def ring(_, frame):
        nonlocal rings
        if not inside or frame.f_code is mine:  # nothing to stop: not begun, or ended
            return
        rings += 1
        if rings > 1:
            sys.settrace(lambda *_: None)  # which makes frames look at their own
            while frame and frame.f_code is not mine:
                frame.f_trace, frame = stop, frame.f_back
        raise OutOfTime

    def stop(frame, event, _):
        if event == "line" and inside:  # after the exception: the first line of what caught it
            raise OutOfTime
        return stop

    outer, began = signal.getitimer(signal.ITIMER_REAL)[0], time.monotonic()
    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, min(seconds, outer or seconds), AGAIN)
        inside = True
        return run()
    finally:
        inside = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.settrace(tracing)
        signal.signal(signal.SIGALRM, before)
        if outer:
            signal.setitimer(signal.ITIMER_REAL, max(outer - (time.monotonic() - began), 1e-3), AGAIN)


def _planted(seconds, run):
    thread, lock, inside, left = ctypes.c_ulong(threading.get_ident()), threading.Lock(), False, threading.Event()
    plant = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def watch():
        wait = seconds
        while not left.wait(wait):
            with lock:
                if inside:
                    plant(thread, ctypes.py_object(OutOfTime))
            wait = AGAIN

    def leave():
        nonlocal inside
        inside = False
        with lock:
            plant(thread, None)
        left.set()

    try:
        try:
            threading.Thread(target=watch, daemon=True).start()
            inside = True
            return run()
        finally:
            leave()
    finally:
        leave()  # one that was on its way may have met the line above, and there is no other
