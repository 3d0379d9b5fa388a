"""Measured time against size, for several versions of one computation.

What is timed is timed once, by `timing.scaling`; the controls only choose what is shown of it, and for how large a
batch the price of a voxel is carried on.
"""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider, steps
from i2pemd_lite.panels.timing import Timings

UNITS = {"milliseconds": lambda ms, voxels: ms, "nanoseconds a voxel": lambda ms, voxels: 1e6 * ms / voxels}
MARKS = ("o", "s", "^", "D", "v", "X")
SIGNS = "●■▲◆▼✖"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
INKS = (style.BLUE, style.ORANGE, style.BLACK, style.QUIET, style.BLUE, style.ORANGE)


def compute(timings, state):
    """Cut `Timings` to the sizes from `smallest` to `largest`, and compare all versions with `against`.

    curves: name -> (sizes, values);  ratios: name -> (size, times as fast as `against`), at the largest shown size that
    both have;  expected: name -> milliseconds of a batch, if a voxel costs what it did at the largest size
    """
    low, high = state["smallest"], state["largest"]
    if low >= high:
        raise BadInput(f"smallest: expected fewer voxels than the largest, {high:,}, found {low:,}; move it down")
    unit, base, batch = state["show"], timings.milliseconds[state["against"]], 1e6 * state["batch"]
    curves, ratios, expected = {}, {}, {}
    for name, taken in timings.milliseconds.items():
        sizes = np.array([size for size in taken if low <= size <= high], dtype=float)
        curves[name] = sizes, UNITS[unit](np.array([taken[size] for size in sizes]), sizes)
        if shared := set(sizes) & set(base):
            size = max(shared)
            ratios[name] = int(size), base[size] / taken[size]
        expected[name] = batch * taken[max(taken)] / max(taken)
    return SimpleNamespace(curves=curves, against=state["against"], ratios=ratios, unit=unit, ends=(low, high),
                           batch=batch, expected=expected)  # fmt: skip


def draw(card, result):
    """Left the measured times over the number of voxels, both in powers of ten; right how many times as fast."""
    names = result.curves
    beyond = {name: UNITS[result.unit](taken, result.batch) for name, taken in result.expected.items()}
    values = np.concatenate([*(values for _, values in names.values()), list(beyond.values())])
    bottom, top = np.floor(np.log10(values.min())), np.ceil(np.log10(values.max()))
    xlim, ylim = (result.ends[0] / 1.5, 2e7), (10.0**bottom, 10.0 ** max(top, bottom + 1))
    left = card.plane("times", [0.07, 0.24, 0.36, 0.6], xscale="log", yscale="log", xlabel="voxels", grid=True,
                      xlim=xlim, ylim=ylim, **_powers("x", *xlim), **_powers("y", *ylim))  # fmt: skip
    reach = [0.0, *(np.log10(ratio) for _, ratio in result.ratios.values())]
    low = np.floor(min(reach))
    high = low + max(1.0, (max(reach) - low) / 0.62)  # the rest is for the words beside the longest bar
    right = card.plane("ratios", [0.66, 0.24, 0.32, 0.6], xscale="log", xlim=(10.0**low, 10.0**high), yticks=[],
                       ylim=(len(names) - 0.4, -0.6))  # fmt: skip
    card.paper.text(0.07, 0.87, result.unit, size=9.5)
    card.paper.text(0.07, 0.025, "hollow: a batch, if a voxel takes as long as at the largest size measured", size=8)
    card.paper.text(0.66, 0.87, f"times as fast as “{result.against}”", size=9.5)
    right.line([1, 1], [len(names) - 0.4, -0.6], color=style.LINE, lw=1, zorder=0)
    for n, (name, mark, ink) in enumerate(zip(names, MARKS, INKS, strict=False)):
        y, ls = 0.24 + 0.6 * (len(names) - 0.4 - n) / (len(names) + 0.2), "-" if n < 4 else "--"
        card.paper.text(0.655, y, f"{SIGNS[n]} {name}", size=8, color=ink, ha="right", va="center")
        left.line(*names[name], marker=mark, color=ink, ls=ls, ms=5.5, lw=1.4, mec=style.PAPER, mew=0.6, zorder=2)
        left.points(result.batch, beyond[name], marker=mark, mec=ink, ms=6, mfc="none", mew=1.3, zorder=2.1, clip=False)
        size, ratio = result.ratios.get(name, (0, 1.0))
        right.rect(1, n - 0.25, ratio - 1, 0.5, fc=ink)
        words = f"{_times(ratio)} at {size:,}" if size else "no size in common"
        right.text(max(ratio, 1.0) * 1.15, n, words, va="center", size=8.5)


def _powers(axis, low, high):
    """The ticks of a logarithmic axis at powers of ten, at most seven of them."""
    every = range(int(np.ceil(np.log10(low))), int(np.log10(high) + 1e-9) + 1)
    shown = every[:: -(-len(every) // 7)]
    words = ["10" + str(k).translate(RAISED) for k in shown]
    return {f"{axis}ticks": [10.0**k for k in shown], f"{axis}ticklabels": words}


def _times(ratio):
    return f"{ratio:,.0f} ×" if ratio >= 10 else f"{ratio:.2g} ×"


def _long(milliseconds):
    for unit, size in (("hours", 3.6e6), ("minutes", 6e4), ("seconds", 1e3)):
        if milliseconds >= 2 * size:
            return f"{milliseconds / size:.3g} {unit}"
    return f"{milliseconds:.3g} milliseconds"


def describe(result):
    """The fastest and the slowest at the largest size that is shown, and every ratio."""
    at = {name: (sizes[-1], values[-1]) for name, (sizes, values) in result.curves.items() if len(sizes)}
    last = {name: value for name, (size, value) in at.items() if size == max(size for size, _ in at.values())}
    best = min(last, key=last.get)
    least = float(f"{last[best]:.3g}")
    words = f"At {int(at[best][0]):,} voxels “{best}” is the fastest, with {least:,.10g} {result.unit}."
    gone = [f"“{name}” only up to {int(size):,}" for name, (size, _) in at.items() if name not in last]
    slow, fast = (pick(result.expected, key=result.expected.get) for pick in (max, min))
    times = [f"{_long(result.expected[name])} by “{name}”" for name in (slow, fast)]
    words += " If a voxel takes as long as at the largest size measured, a batch of "
    words += f"{result.batch / 1e6:.2f} million takes {times[0]} and {times[1]}."
    words += f" We measured {', '.join(gone)}, because the rest would have taken too long." if gone else ""
    numbers = {name: f"{_times(ratio)} at {size:,}" for name, (size, ratio) in result.ratios.items()}
    numbers.pop(result.against, None)
    return words, {**numbers, "compared with": result.against}


def panel(timings: Timings, **start: Any) -> Panel:
    """The panel for `Timings`; values in `start` set controls."""
    sizes, names = list(timings.sizes), list(timings.milliseconds)
    if len(sizes) < 2 or not 1 <= len(names) <= len(MARKS):
        found = f"{len(sizes)} of {len(names)}"
        raise BadInput(f"timings: expected 2 sizes or more of 1 to {len(MARKS)} versions, found {found}")
    controls = {
        "smallest": steps("smallest (voxels)", sizes[:-1], sizes[0]),
        "largest": steps("largest (voxels)", sizes[1:], sizes[-1]),
        # 6 patches of 8 x 256 x 256: the paper's step
        "batch": slider("batch", 3.15, 0.05, 10.0, 0.05, "million voxels"),
        "show": choice("show", list(UNITS), "milliseconds"),
        "against": choice("compared with", names, names[0]),
    }
    # Whichever is moved past the other takes it along: option i of `largest` is the size after option i.
    smallest, largest = controls["smallest"], controls["largest"]
    smallest.observe(lambda change: setattr(largest, "index", max(largest.index, change["new"])), "index")
    largest.observe(lambda change: setattr(smallest, "index", min(smallest.index, change["new"])), "index")
    return Panel("speed", controls, partial(compute, timings), draw, describe, start=start,
                 layout=[["show", "against", "largest"], ["smallest", "batch"]], size=(9.4, 3.2))  # fmt: skip
