"""A block of code with a time limit, also for a loop that never ends, on every platform."""

import contextlib
import ctypes
import signal
import sys
import threading
import time

AGAIN = 0.2  # seconds after which one who caught the exception gets the next


class OutOfTime(BaseException):
    """The time is over. No `Exception`: an answer that catches every one of them is stopped all the same."""


@contextlib.contextmanager
def at_most(seconds):
    """Raise `OutOfTime` inside the block when it takes longer than that many seconds.

    Where the system has alarms and this is the main thread, an alarm stops even a call that sleeps, and a loop that
    catches everything: from the second alarm on, the line that has caught it raises, too. Elsewhere the exception is
    planted into the running thread, which meets it at its next line; a call that sleeps ends first, and a loop that
    catches everything goes on. Limits can be nested: the one that is over first counts.

    Example
    -------
    >>> try:
    ...     with at_most(0.05):
    ...         while True: pass
    ... except OutOfTime:
    ...     print("stopped")
    stopped
    """
    main = threading.current_thread() is threading.main_thread()
    with _alarm(seconds) if main and hasattr(signal, "setitimer") else _planted(seconds):
        yield


@contextlib.contextmanager
def _alarm(seconds):
    rings, done, tracing = 0, False, sys.gettrace()
    outside = sys._getframe(4)  # whoever opened the block: between it and this are at_most and two of contextlib

    def ring(_, frame):
        nonlocal rings
        if done:
            return
        rings += 1
        if rings > 1:
            sys.settrace(lambda *_: None)  # which makes frames look at their own
            while frame not in (None, outside):
                frame.f_trace, frame = stop, frame.f_back
        raise OutOfTime

    def stop(frame, event, _):
        if event == "line" and not done:  # after the exception: the first line of what caught it
            raise OutOfTime
        return stop

    outer, began = signal.getitimer(signal.ITIMER_REAL)[0], time.monotonic()
    before = signal.signal(signal.SIGALRM, ring)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, min(seconds, outer or seconds), AGAIN)
            yield
        finally:
            done = True
    finally:  # one alarm may have met the line above; the next is not due yet
        done = True
        sys.settrace(tracing)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if outer:
            signal.setitimer(signal.ITIMER_REAL, max(outer - (time.monotonic() - began), 1e-3), AGAIN)


@contextlib.contextmanager
def _planted(seconds):
    thread, lock, ready, done = ctypes.c_ulong(threading.get_ident()), threading.Lock(), threading.Event(), False
    left = threading.Event()
    plant = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def watch():
        ready.wait()
        wait = seconds
        while not left.wait(wait):
            with lock:
                if not done:
                    plant(thread, ctypes.py_object(OutOfTime))
            wait = AGAIN

    threading.Thread(target=watch, daemon=True).start()
    try:
        ready.set()  # not before: what is planted into the starting of a thread leaves it half started
        yield
    finally:
        while not left.is_set():
            with contextlib.suppress(OutOfTime):  # at most one is on its way
                with lock:
                    done = True
                plant(thread, None)
                left.set()
