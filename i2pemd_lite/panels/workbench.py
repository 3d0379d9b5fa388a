"""What the cockpit's table says of runs: what differs, how to train one again, and what the seeds of two say."""

import csv
import dataclasses
import io
import json
import os
import shlex
import subprocess
from types import SimpleNamespace

import numpy as np

from i2pemd_lite.files import BadInput, guarded
from i2pemd_lite.panels import curves, seeds
from i2pemd_lite.panels.board import SHOWN
from i2pemd_lite.tables import statistics

QUIET = ("evaluate_every", "checkpoint_every")  # settings that change nothing of what a run learns


def apart(tracks):
    """{name: of each track its value, as words}: their methods, and the settings and data in which they differ. Steps
    have a column of their own."""
    known = [track.settings and track.settings | {"data": track.data.get("name", "")} for track in tracks]
    names = dict.fromkeys(["method", *(name for each in known for name in each if name not in ("steps", *QUIET))])
    values = {name: [_written(each[name]) if name in each else "" for each in known] for name in names}
    return {name: words for name, words in values.items() if name == "method"
            or len({word for word, each in zip(words, known, strict=True) if each}) > 1}  # fmt: skip


def table(tracks, measure):
    """(heads, rows, log) of the table: each run's state, steps and last figure, its settings that differ, its note."""
    differ, figure = apart(tracks), curves.validated(tracks) + measure
    heads = ["run", "compare", "note", "", "state", "step", figure, *map(curves.said, differ)]
    rows, column = [], SHOWN[tracks[0].task].measures[measure] if tracks else ""
    for i, track in enumerate(tracks):
        last = curves.column(track.evaluations, column)[1][-1:]
        step = f"{track.number} of {track.total}" if track.settings else ""
        cells = [track.state, step, f"{last[0]:.1f}" if len(last) else "", *(words[i] for words in differ.values())]
        ask = f"Delete the run {track.name}? This deletes its folder {track.folder} with its {track.number} steps, its "
        ask += "curves and its note. Nothing else is touched, and it cannot be undone."
        free = track.run is None and not track.open and not track.held
        rows.append({"name": track.name, "cells": cells, "note": track.note, "deletes": ask if free else ""})
    return heads, rows, [f"{track.name}, {line}" for track in tracks for line in log(track)]


def log(track):
    """The changes of a run, a line each."""
    return [f"step {step}: {curves.said(name)} {_written(value)}" for step, name, value in track.changes]


def _written(value):
    return curves.written(value) if type(value) is float else str(value)


def command(track, folder):
    """The command that trains a run from its first step, as it began, into a folder, for a shell of this system."""
    s, settings = _began(track)
    words = [*"python -m i2pemd_lite train".split(), track.task, s["method"], "--profile", s["profile"]]
    words += ["--seed", str(s["seed"]), *(w for name, value in settings.items() for w in ("--set", f"{name}={value}"))]
    joined = subprocess.list2cmdline if os.name == "nt" else shlex.join
    later = f"\n# then, in Python or the cockpit: {'; '.join(log(track))}" * bool(track.changes)
    return f"{joined([*words, '--data', track.data['folder'], '--out', str(folder)])}{later}"


def python(track, folder):
    """The Python that trains a run from its first step into a folder, with all that was changed on the way."""
    s, settings = _began(track)
    said = {"profile": s["profile"], "seed": s["seed"], "folder": str(folder), **settings}
    said = ", ".join(f"{name}={value!r}" for name, value in said.items())
    lines = [f"from i2pemd_lite import {track.task}", ""]
    lines += [f"run = {track.task}.train({s['method']!r}, {track.data['folder']!r}, {said})"]
    if track.changes:
        of_step = {}
        for step, name, value in track.changes:
            of_step.setdefault(step, {})[name] = value
        lines += [f"for number, changes in {of_step}.items():", "    while run.number < number - 1:",
                  "        next(run)", "    run.change(**changes)"]  # fmt: skip
    return "\n".join([*lines, "run.finish()", ""])


def _began(track):
    """All settings of a run's first step, and those that its method, profile and preset do not have of themselves."""
    if not track.began:
        raise BadInput(f"{track.name}: expected a run that has begun, found one that is being prepared; wait a moment")
    task = SHOWN[track.task].task
    s = dataclasses.asdict(task.settings().changed(**track.began))
    preset = {} if s["preset"] == "paper" else {"preset": s["preset"]}
    usual = dataclasses.asdict(task.settings_for(s["method"], s["profile"], s["seed"], preset))
    return s, preset | {name: value for name, value in s.items() if value != usual[name]}


def as_csv(tracks):
    """All runs as CSV: a row each, with all settings, the last figures, the changes and the note."""
    rows = []
    for track in tracks:
        figures = track.evaluations[-1] if track.evaluations else {}
        row = {"run": track.name, "task": track.task, "state": track.state, "steps done": track.number}
        row |= {"data": track.data.get("name", ""), **track.settings, "evaluated at step": figures.get("step", "")}
        row |= {name: value for name, value in figures.items() if name != "step"}
        rows.append(row | {"changes": "; ".join(log(track)), "note": track.note, "folder": str(track.folder)})
    heads, text = dict.fromkeys(name for row in rows for name in row), io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(
        [[*heads], *(guarded([str(row.get(name, "")) for name in heads]) for row in rows)])  # fmt: skip
    return text.getvalue()


def compared(a, b, tracks, measure):
    """What the runs `a` and `b` say of their settings, by all `tracks` of these settings: the interval of lesson 07.

    Two runs are a pair where they have the same seed, one with the settings, data and changes of `a`, the other with
    those of `b`. None before both were evaluated at a common step, else said: sentences;  differences: of the pairs at
    the last such step, in points;  mean: their `statistics.Interval`, None without pairs
    """
    column = SHOWN[a.task].measures[measure]
    figures = {id(t): {r["step"]: r[column] for r in t.evaluations if r.get(column, np.nan) == r.get(column)}
               for t in (*tracks, a, b)}  # fmt: skip
    if not (steps := figures[id(a)].keys() & figures[id(b)].keys()):
        return None
    at = max(steps)
    mine, theirs = ({t.settings["seed"]: figures[id(t)][at] for t in (*tracks, one)
                     if _kind(t) == _kind(one) and at in figures[id(t)]} for one in (a, b))  # fmt: skip
    differences = [mine[seed] - theirs[seed] for seed in sorted(mine.keys() & theirs.keys())]
    mean, gap = None, figures[id(a)][at] - figures[id(b)][at]
    if a.data.get("fingerprint") != b.data.get("fingerprint"):
        said = "the two have different data, so their difference says nothing about their settings."
    elif _kind(a) == _kind(b) and a.settings["seed"] == b.settings["seed"]:
        said = "the two have the same settings and the same seed."
    elif _kind(a) == _kind(b):
        said = f"only the seeds differ, so chance alone makes a difference of {gap:+.2f} points."
    elif not differences:
        said = "the two have different seeds. To compare their settings, train both with the same seed."
    else:
        mean = statistics.interval(differences)
        said = seeds.told(mean, a.name, "the two settings")
    said = f"{a.name} − {b.name}, {curves.validated([a])}{measure} at step {at}: {said[0].lower()}{said[1:]}"
    return SimpleNamespace(said=said, differences=differences, mean=mean)


def _kind(track):
    """All that a run depends on but its seed."""
    settings = track.settings | dict.fromkeys(("seed", *QUIET))
    return json.dumps([settings, track.changes, track.data.get("fingerprint")], sort_keys=True)
