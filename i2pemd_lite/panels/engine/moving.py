"""What still moves on a page without a kernel: a panel's pictures around its state, recorded beforehand."""

import base64
import itertools
import json
import math
import time
import zlib

import ipywidgets as widgets
import numpy as np

from i2pemd_lite.panels.engine.slider import Slider, Steps, pairs

ALONE, TOGETHER, APART = 41, 13, 5  # positions of a control that are recorded: alone, with one of its row, with another
SECONDS, BYTES = 6.0, 300_000  # of the processor, and of a page, that a panel may take


def framed(html, panel):
    """The HTML of a panel as a page has it: still, and with what moves it where there is JavaScript."""
    moves = json.dumps(recorded(panel)).replace("<", "\\u003c")
    return f'<div class="i2pemd-moves">{html}<script type="application/json">{moves}</script></div>'


def recorded(panel):
    """A panel's picture, words and numbers for each position of each control, then of pairs, as JSON.

    {"controls": [{"label", "words" of the positions, "at", "list", "plays", "bare", "moves": whether anything recorded
    depends on it, "first": whether it is shown at once}], "packed"}; packed, by zlib and base64: {"head" of the SVG,
    "marks" {key: SVG} of the state itself, "frames" {"control:position,…": [marks that differ, keys in their order or
    null where it is the same, what stands below, which controls count]}}. It ends with the time and the bytes that a
    panel may take. A position is recorded where its control counts.
    """
    names = [name for row in panel.rows for name in row if panel.on_pages is None or name in panel.on_pages]
    there = {name: _positions(panel.controls[name], panel.kernel_only.get(name, ())) for name in names}
    controls = {name: each for name, each in there.items() if each}
    state, until, packer, parts = panel.state, time.process_time() + SECONDS, zlib.compressobj(9), []
    seen, moves, first = {}, set(), {}
    _, card, *said = panel.drawn(state)
    marks = card.marks()
    start = json.dumps({"head": card.head(said[0]), "marks": marks})[:-1] + ', "frames": {'
    hint = "Its other controls need JupyterLab." if panel.on_pages else "JupyterLab has every combination."
    frame = [{}, None, panel.below(*said, hint)]
    for n, chosen in enumerate(itertools.chain([{}], _moves(controls, panel.rows, panel.shown))):
        moved = state | {name: controls[name]["values"][i] for name, i in chosen.items()}
        if not chosen.keys() <= {*(acting := panel.acting(moved))}:
            continue
        if chosen:
            try:
                _, card, *said = panel.drawn(moved)
            except Exception:  # a state that the panel refuses is none that a page can show
                continue
            now = card.marks()
            changed = {key: mark for key, mark in now.items() if marks.get(key) != mark}
            frame = [changed, None if list(now) == list(marks) else list(now), panel.below(*said, hint)]
        at_once, _ = panel.parted([panel.controls[name] for name in acting])
        first = {name: panel.controls[name] in at_once for name in acting} | first
        on = [i for i, name in enumerate(controls) if name in acting]
        places, written = [f"{list(controls).index(name)}:{i}" for name, i in chosen.items()], json.dumps([*frame, on])
        seen[",".join(places)] = mark = hash(written)
        moves |= {name for name, at in zip(chosen, places, strict=True)
                  if seen.get(",".join(place for place in places if place != at)) != mark}  # fmt: skip
        text = f"{', ' if n else start}{json.dumps(','.join(places))}: {written}"
        parts += [packer.compress(text.encode()), packer.flush(zlib.Z_SYNC_FLUSH)]
        if time.process_time() > until or sum(map(len, parts)) > BYTES:
            break
    parts += [packer.compress(b"}}"), packer.flush()]
    look = ("label", "words", "at", "list", "plays", "bare")
    shown = [{"moves": name in moves, "first": first.get(name, False)} | {what: each[what] for what in look}
             for name, each in controls.items()]  # fmt: skip
    return {"controls": shown, "packed": base64.b64encode(b"".join(parts)).decode()}


def _moves(controls, rows, shown):
    """Which positions are recorded, as {name: position}, in order: films, then a few of every control, then pairs, all
    of them coarsely before any finely: with what is not `shown` unless another control moves, then of a row, then all;
    those with a list, all of whose choices are taken, after those of sliders.
    """
    films = {name: each for name, each in controls.items() if each["plays"]}
    passes = (films, ALONE), (controls, APART), (controls, ALONE)
    alone = ((name, i) for some, count in passes for name, each in some.items() for i in _some(each, count))
    yield from ({name: i} for name, i in dict.fromkeys(alone) if i != controls[name]["at"])
    row = {name: n for n, names in enumerate(rows) for name in names}

    def apart(pair):
        return (row[pair[0]] != row[pair[1]]) + 1 if {*pair} <= {*shown} else 0

    def late(pair):  # another choice of a list is seldom asked for beside something else, and changes the whole picture
        return apart(pair) > 0 and any(controls[name]["list"] for name in pair), apart(pair)

    ordered, seen = sorted(itertools.combinations(controls, 2), key=late), set()
    for pair, count in [(pair, APART) for pair in ordered] + [(pair, TOGETHER) for pair in ordered if apart(pair) < 2]:
        some = (_some(controls[name], ALONE if controls[name]["list"] else count) for name in pair)
        for places in itertools.product(*some):
            moved = dict(zip(pair, places, strict=True))
            if (pair, places) not in seen and all(i != controls[name]["at"] for name, i in moved.items()):
                seen.add((pair, places))
                yield moved


def _positions(control, without):
    """{"label", "values", "words", "at", "list", "plays", "bare"} of what a control can be set to, save the values in
    `without`; None for one that cannot be set."""
    if control.disabled:
        return None
    if isinstance(control, widgets.Checkbox):
        values, words = [False, True], ["no", "yes"]
    elif hasattr(control, "options"):
        offered = [pair for pair in pairs(control.options) if pair[1] not in without]
        words, values = zip(*offered, strict=True) if offered else ((), ())
    elif isinstance(control, Slider):
        count = math.floor((control.max - control.min) / control.step + 1e-9) + 1
        values = [type(control.value)(round(control.min + i * control.step, 9)) for i in range(count)]
        values = [control.value if abs(value - control.value) < control.step / 2 else value for value in values]
        words = [f"{value:.{control.digits}f}" for value in values]
    else:
        return None
    at = next((i for i, value in enumerate(values) if value == control.value), None)
    if at is None or len(values) < 2:
        return None
    kept = _some({"values": values, "at": at}, ALONE)
    listed = not isinstance(control, Slider | Steps)
    return {"label": control.description, "values": [values[i] for i in kept], "words": [words[i] for i in kept],
            "at": kept.index(at), "list": listed, "plays": getattr(control, "plays", False),
            "bare": getattr(control, "bare", False)}  # fmt: skip


def _some(control, count):
    """At most about so many positions of a control, both ends and where it stands among them."""
    n = len(control["values"])
    return sorted({*np.linspace(0, n - 1, min(n, count)).round().astype(int).tolist(), control["at"]})
