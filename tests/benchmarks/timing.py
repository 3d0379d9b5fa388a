"""What the benchmarks share: the machine in words, functions timed side by side, tables."""

import contextlib
import os
import platform
import time
from pathlib import Path

import torch
from tqdm import tqdm


def describe():
    """What the figures depend on."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    found = {"cpu": cpu, "cores": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    if hasattr(os, "getloadavg"):
        found["load"] = f"{os.getloadavg()[0]:.1f}"
    return found | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


def interleaved(functions, rounds, device, seldom=()):
    """The milliseconds that each function took, as lists: every one runs once a round, in an order that rotates."""
    names, taken, warm_up = list(functions), {name: [] for name in functions}, min(2, rounds - 1)
    for number in tqdm(range(rounds + warm_up), desc=f"rounds on {device}", disable=None, leave=False):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            if name in seldom and number % 5 != 1:
                continue
            value = timed(functions[name], device)
            if number >= warm_up or rounds < 5:
                taken[name].append(value)
    return taken


def timed(function, device):
    if torch.device(device).type == "cuda":
        with torch.cuda.device(device):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            function()
            end.record()
            end.synchronize()
            return start.elapsed_time(end)
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1e3


def markdown_table(rows):
    """The lines of a Markdown table, numbers with one digit."""
    cells = [[f"{cell:.1f}" if isinstance(cell, float) else cell for cell in row.values()] for row in rows]
    return markdown_lines(list(rows[0]), cells)


def markdown_lines(header, cells):
    """The lines of a Markdown table with this header and these rows of cells."""
    return [f"| {' | '.join(map(str, line))} |" for line in (header, ["---"] * len(header), *cells)]


def show(rows):
    """One table; a cell that does not apply is empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = [columns]
    for row in rows:
        cells = [row.get(name, "") for name in columns]
        table.append([f"{cell:.1e}" if name == "largest error" and cell != "" else f"{cell:.2f}"
                      if isinstance(cell, float) else str(cell)
                      for name, cell in zip(columns, cells, strict=True)])  # fmt: skip
    widths = [max(len(line[column]) for line in table) for column in range(len(columns))]
    for line in table:
        cells = [cell.ljust(width) if column in (0, 1, 3) else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(line, widths, strict=True))]  # fmt: skip
        print("  ".join(cells).rstrip())
