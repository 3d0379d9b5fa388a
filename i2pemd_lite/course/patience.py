"""A block of code with a time limit, also for a loop that never ends, on every platform."""

import contextlib
import ctypes
import signal
import threading


class OutOfTime(BaseException):
    """The time is over. No `Exception`: an answer that catches every one of them is stopped all the same."""


@contextlib.contextmanager
def at_most(seconds):
    """Raise `OutOfTime` inside the block when it takes longer than that many seconds.

    An alarm stops even a call that sleeps, where the system has alarms and this is the main thread. Elsewhere the
    exception is planted into the running thread, which meets it at its next line.

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
    def ring(*_):
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.2)  # again and again, for a bare `except:` swallows the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _planted(seconds):
    thread, over = threading.get_ident(), threading.Event()

    def plant():
        wait = seconds
        while not over.wait(wait):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(OutOfTime))
            wait = 0.2

    watch = threading.Thread(target=plant, daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()
