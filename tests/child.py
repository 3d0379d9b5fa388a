"""Processes forked from one that has imported torch and the package, which takes longer than most of what they do."""

import multiprocessing
import os
import sys

METHODS = multiprocessing.get_all_start_methods()
CONTEXT = multiprocessing.get_context("forkserver" if "forkserver" in METHODS else "spawn")
CONTEXT.set_forkserver_preload(["i2pemd_lite.segmentation", "i2pemd_lite.classification", "i2pemd_lite.__main__"])


def started(function, *given, out=os.devnull, err=os.devnull, **environment):
    """A process that has begun to call `function(*given)`, with its output in the files `out` and `err`.

    Its exit code is what the function returns, as with `sys.exit`. It ends at the latest with this process.
    """
    process = CONTEXT.Process(target=_run, args=(function, given, (out, err), environment), daemon=True)
    process.start()
    return process


def _run(function, given, files, environment):
    os.environ.update({"OMP_NUM_THREADS": "1"} | environment)
    for stream, path in zip((sys.stdout, sys.stderr), files, strict=True):
        with open(path, "wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.exit(function(*given))
