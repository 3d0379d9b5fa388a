"""What a kernel of the tests runs first: a cell that showed nothing new for long warns of it.

Long is five seconds of the kernel's own processor time, which other processes on the machine change little. The first
cell is let off: before its packages are loaded, nothing can be shown.
"""


def _watch(shell):
    import sys
    import time

    since = longest = 0.0
    send = shell.kernel.session.send

    def begun(*_):
        nonlocal since, longest
        since, longest = time.process_time(), 0.0

    def heard(*message, **more):
        nonlocal since, longest
        now = time.process_time()
        since, longest = now, max(longest, now - since)
        return message and send(*message, **more)

    def ended(result):
        heard()
        if longest > 5 and result.execution_count != 1:
            print(f"Warning: this cell showed nothing new for {longest:.0f} s", file=sys.stderr)

    shell.kernel.session.send = heard
    shell.events.register("pre_run_cell", begun)
    shell.events.register("post_run_cell", ended)


_watch(get_ipython())  # noqa: F821
del _watch
