"""What the benchmarks share: the machine in words, functions timed side by side, tables."""

import contextlib
import os
import platform
import statistics
import time
from pathlib import Path

import torch
from tqdm import tqdm

OUTSIDE = "outside forward, backward, optimiser"


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


class Marks:
    """When the parts of a run's steps begin: for each of its `turns` a list of (part, clock or event of the GPU)."""

    def __init__(self, run):
        self.device, self.turns, losses = run.learner.device, [], run.learner.losses

        def marked(t):
            found = losses(t)
            self.mark("backward")
            return found

        run.learner.losses = marked
        for network in filter(None, (run.learner.network, getattr(run.learner, "teacher", None))):
            network.register_forward_pre_hook(lambda *_: self.mark("forward"))
            network.register_forward_hook(lambda *_: self.mark(OUTSIDE))
        run.optimiser.register_step_pre_hook(lambda *_: self.mark("optimiser"))
        run.optimiser.register_step_post_hook(lambda *_: self.mark(OUTSIDE))

    def mark(self, part):
        """A part begins here; what was before it ends."""
        now = torch.cuda.Event(enable_timing=True) if self.device.type == "cuda" else time.perf_counter()
        if not isinstance(now, float):
            now.record(torch.cuda.current_stream(self.device))
        if self.turns:
            self.turns[-1].append((part, now))

    def turn(self, function):
        """Call a function as a turn of its own."""
        self.turns.append([])
        self.mark(OUTSIDE)
        function()
        self.mark("end")

    def shares(self):
        """Median over turns of the share of each part; the last events must have come to pass."""
        found = {part: [] for part in ("forward", "backward", "optimiser", OUTSIDE)}
        for turn in self.turns:
            spans = [(part, passed(start, end)) for (part, start), (_, end) in zip(turn, turn[1:], strict=False)]
            whole = sum(span for _, span in spans)
            for part, shares in found.items():
                shares.append(sum(span for name, span in spans if name == part) / whole)
        return {part: statistics.median(shares) for part, shares in found.items()}


def passed(start, end):
    return end - start if isinstance(start, float) else start.elapsed_time(end)


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
