"""How long each lesson runs under the ci profile, and how long its text takes to be read aloud.

Every round runs each lesson once, in an order that rotates, each in a kernel of its own; the median of the rounds
counts. `time` is from the first cell's start to the last cell's end, `CPU` that of the kernel and of the processes
that it started and waited for, on one thread; `silent` is the longest time in which a running cell showed nothing new.
The data are made and prepared before. A lesson is left out of a later round when it would not end within nine minutes
of all.

The text is read aloud by espeak-ng at 150 words a minute where it is installed; otherwise words are counted. Code is
not read, formulas are, sign by sign.
"""

import contextlib
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
import wave
from datetime import date, datetime
from pathlib import Path

from timing import markdown_table

ROUNDS, BUDGET = 3, 9 * 60  # seconds for all of them
PACE = 150  # words a minute
SIGNS = {"=": "equals", "<": "less than", ">": "greater than", "+": "plus", "-": "minus", "_": "sub", "^": "to the",
         "/": "over", "∑": "sum", "→": "to", "×": "times", "%": "percent"}  # fmt: skip
WORDS = {"frac": "over", "tfrac": "over", "cdot": "times", "le": "at most", "ge": "at least", "lVert": "norm of",
         "mathcal": "", "mathrm": "", "mathbf": "", "text": "", "quad": "", "qquad": "", "tag": "equation",
         "begin": "", "end": "", "aligned": "", "big": "", "Big": "", "rVert": "", "top": "transposed"}  # fmt: skip


def lesson_rows(quick):
    """One row a lesson: seconds of wall clock and CPU, minutes to read aloud, and what its first cell states."""
    from i2pemd_lite.course.about.outline import lessons

    found = [lesson for lesson in lessons() if not quick or lesson.number == "00"]
    taken = _interleaved([lesson.path for lesson in found], 1 if quick else ROUNDS, not quick)
    return [
        {
            "what": lesson.path.stem,
            "where": "ci",
            "time": statistics.median(wall for wall, *_ in taken[lesson.path]),
            "unit": "s",
            "runs": len(taken[lesson.path]),
            "CPU s": statistics.median(cpu for _, cpu, _ in taken[lesson.path]),
            "silent s": statistics.median(silent for *_, silent in taken[lesson.path]),
            "words": len(prose(lesson.cells).split()),
            "aloud min": spoken(prose(lesson.cells)),
            "reading min": lesson.reading,
        }
        for lesson in found
    ]


def markdown(rows, machine, command):
    """The rows as a Markdown page, with which a test compares what the lessons state."""
    said = ", ".join(f"{name} {value}" for name, value in machine.items())
    reader = "read aloud by espeak-ng" if shutil.which("espeak-ng") else "words counted"
    opening = f"`{command}`, {date.today()}, one thread, {reader}: {said}."
    return "\n".join(["# The time that a lesson takes", "", opening, "", *__doc__.strip().split("\n"), "",
                      *markdown_table(rows), ""])  # fmt: skip


def _interleaved(paths, rounds, prepare):
    """{path: [(wall, CPU, silent)]}, each lesson once a round while there is time."""
    if prepare:
        from i2pemd_lite.__main__ import main

        with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet):
            for task in ("segmentation", "classification"):
                main(["data", task, "--profile", "ci"])
    began, taken = time.monotonic(), {path: [] for path in paths}
    for number in range(rounds):
        turn = number % len(paths)
        for path in paths[turn:] + paths[:turn]:
            expected = taken[path][0][0] if taken[path] else 0
            if time.monotonic() - began + expected < BUDGET:
                taken[path].append(run(path))
                print(f"{path.stem}: {taken[path][-1][0]:.1f} s", flush=True)
    return taken


def run(path, profile="ci"):
    """Seconds of wall clock and of CPU that a lesson takes in a kernel of its own, and of its longest silence."""
    import nbformat
    from nbclient import NotebookClient

    class Heard(NotebookClient):
        said, silent = 0.0, 0.0

        def process_message(self, msg, cell, cell_index):
            if self.said and msg["msg_type"] != "execute_input":  # with which a cell begins
                self.silent = max(self.silent, time.monotonic() - self.said)
            self.said = time.monotonic()
            return super().process_message(msg, cell, cell_index)

    environment = {"I2PEMD_PROFILE": profile, "I2PEMD_HEADLESS": "1", "OMP_NUM_THREADS": "1"}
    notebook, before = nbformat.read(path, as_version=4), _children()
    with tempfile.TemporaryDirectory() as folder:  # a lesson that keeps its runs beside it would train only once
        here = {"metadata": {"path": folder}}
        client = Heard(notebook, timeout=None, resources=here)
        client.execute(env=os.environ | environment)
    times = [cell.metadata.execution for cell in notebook.cells if "execution" in cell.metadata]
    first, last = times[0]["iopub.execute_input"], times[-1]["shell.execute_reply"]
    wall = (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
    return wall, _children() - before, client.silent


def _children():
    with contextlib.suppress(ImportError):
        import resource

        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime
    return float("nan")


def prose(cells):
    """The text of a lesson as one would say it: no code, no addresses, formulas sign by sign.

    Example
    -------
    >>> prose([{"cell_type": "markdown", "source": "Eq. 3: $g_{ij} = 1$, see [lesson 02](02_x.ipynb)."}])
    'Eq. 3: g sub i j equals 1 , see lesson 02.'
    """
    text = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    text = re.sub(r"\]\([^)]*\)", "]", re.sub(r"<!--.*?-->|^ {4}.*?$|```.*?```", "", text, flags=re.S | re.M))
    text = re.sub(r"\$\$(.*?)\$\$|\$([^$\n]+)\$", lambda found: _formula(found[1] or found[2]), text, flags=re.S)
    return " ".join(re.sub(r"^[-#]+|[*`|]|---+:?", " ", re.sub(r"[][]", "", text), flags=re.M).split())


def _formula(tex):
    pieces = re.findall(r"\\[A-Za-z]+|\d+(?:\.\d+)?|[A-Za-z]|[=<>+\-_^/∑→×%]", tex)
    said = (WORDS.get(p[1:], p[1:]) if p[0] == "\\" else SIGNS.get(p, p) for p in pieces)
    return f" {' '.join(filter(None, said))} "


def spoken(text):
    """Minutes that it takes to read the text aloud."""
    if not shutil.which("espeak-ng"):
        return len(text.split()) / PACE
    with tempfile.TemporaryDirectory() as folder:
        source, sound = Path(folder) / "lesson.txt", Path(folder) / "lesson.wav"
        source.write_text(text, encoding="utf-8")
        subprocess.run(["espeak-ng", "-v", "en", "-s", str(PACE), "-w", str(sound), "-f", str(source)], check=True)
        with wave.open(str(sound)) as heard:
            return heard.getnframes() / heard.getframerate() / 60
