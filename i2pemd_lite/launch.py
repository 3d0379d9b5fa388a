"""Whether torchrun started this process: known from the environment, without torch, which not every command needs."""

import os


def world_size_from_env():
    """How many processes torchrun started together with this one; 1 where it started none.

    It sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT. Some cluster managers set a part of them by themselves, or
    leave them empty: that is one process.

    Example
    -------
    >>> world_size_from_env()
    1
    """
    try:
        rank, size, _ = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
    except (KeyError, ValueError):
        return 1
    return size if os.environ.get("MASTER_ADDR") and 0 <= rank < size else 1
