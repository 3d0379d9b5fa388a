"""How long after a hand moves a slider the picture is another one: in JupyterLab, in a real browser.

Each lesson is run whole under the ci profile. Then each slider of each panel (of several with one title and the same
sliders, the first) is moved by the mouse, one step at a time, and the first of each panel by the keyboard too. (Not
those of the cockpit, which steer a run and show in its next steps.) Last the lesson's page, which needs no kernel, is
opened, and the first slider of each of its panels is moved by the mouse. Each step begins at rest. The time runs from
the time stamp of the input event to the end of the first frame that shows the new picture, decoded; both are taken in
the page. What the kernel needs for the same steps without a browser is beside: `compute` alone, and `kernel` for all
that a step asks of it (compute, draw, words, SVG).

A row is marked when its 95th percentile is above 100 ms, of the conceptual panels of lessons 00 to 04 above 50 ms, of
pages above 16 ms, or its compute above 16 ms. Without times: the slider acts when it is let go, or changes
nothing in the picture that the lesson shows.

A page that holds one slider and one number needs 3 ms. Nothing asks for frames meanwhile, as a mouse's event would wait
for the next one.

Momentum α and the learning rate of the playground change nothing in the first picture, which is the untrained
network's: where it was shown already, the film's second one counts.
"""

import base64
import datetime
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

from i2pemd_lite.course.publish import pages

sys.path.append(str(Path(__file__).parent.parent))
from browser import lab as learner  # noqa: E402

EYE, CONCEPTUAL, PAGE, COMPUTE = 100.0, 50.0, 16.0, 16.0  # ms: for 95th percentiles, and the median of compute
MOVES = ".i2pemd-moves"
STEPS, TRIES, MISSES = 25, 60, 4  # with a new picture; in all; one after the other without one


def panel_rows(quick):
    """One row for each slider and way of moving it."""
    if why := learner.missing():
        print(f"no table of panels: {why}")
        return []
    lessons = sorted(path.stem for path in (learner.ROOT / "notebooks").glob("*.ipynb"))
    rows, steps = [], 4 if quick else STEPS
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cache = os.environ.get("I2PEMD_CACHE", str(Path(folder) / "cache"))
        with learner.Lab(Path(folder) / "lab", I2PEMD_CACHE=cache) as lab:
            for lesson in lessons[:1] if quick else lessons:
                try:
                    with learner.Browser(height=1100) as browser:
                        seen = in_browser(browser, lab, lesson, steps)
                    alone = in_kernel(lab.folder / "notebooks" / f"{lesson}.ipynb", lab.environment)
                    paged = list(on_page(lesson, Path(folder) / "pages", steps, lab.environment))
                except Exception as error:  # the half hour of the other lessons is not lost with it
                    print(f"{lesson}: {error}", file=sys.stderr)
                    rows.append(row(lesson, 0, "whole lesson", "-", "-", [], {}) | {"above": "not measured"})
                    continue
                rows += [row(lesson, number, *where, times, alone) for (number, *where), times in seen.items()]
                rows += [row(lesson, None, *where, times, {}) for where, times in paged]
    return rows


def row(lesson, number, title, label, way, times, alone):
    compute, kernel = alone.get((number, label), (float("nan"),) * 2)
    p50, p95 = np.percentile(times, [50, 95]) if times else (float("nan"),) * 2
    eye = PAGE if way == "page" else CONCEPTUAL if lesson < "05" else EYE
    missed = [word for word, over in (("p95", p95 > eye), ("compute", compute > COMPUTE)) if over]
    return {
        "what": f"{lesson[:2]} {title}: {label}",
        "where": way,
        "time": float(p50),
        "unit": "ms",
        "p95": float(p95),
        "n": len(times),
        "compute": compute,
        "kernel": kernel,
        "above": ", ".join(missed),
    }


# In the browser


def in_browser(browser, lab, name, steps):
    """(number of the panel, its title, label, way) -> milliseconds, for the panels of a lesson."""
    lesson, found, known = learner.Lesson(learner.Desk(browser, lab), name), {}, set()
    lesson.run_all()
    for number, panel in enumerate(lesson.panels):
        title = panel.title
        ranges = [label for label in panel.sliders if panel.slider(label).locator(learner.RANGE).count()]
        if (title, *ranges) in known or title == "cockpit":
            continue
        known.add((title, *ranges))
        for n, label in enumerate(ranges):
            before = panel.part(label)
            for way in ("mouse", "keyboard")[: 1 + (n == 0)]:
                panel.settled()
                found[number, title, label, way] = timed_steps(lesson.page, panel, label, way, steps)
                panel.drag(label, before, moves=3)
    lesson.close()
    return found


def on_page(name, folder, steps, environment):
    """((title, label, "page"), milliseconds) of the first slider of each panel on the page of a lesson."""
    path = learner.ROOT / "notebooks" / f"{name}.ipynb"
    with mock.patch.dict(os.environ, environment, clear=True):
        (written,) = pages.write_each(folder, [path], pages.lesson, "page", say=lambda _: None)
    with learner.Browser(height=1100) as browser:
        page, known = browser.page(), set()
        page.goto(written.as_uri())
        page.wait_for_function("!document.querySelector('.i2pemd-moves:not(.i2pemd-moving)')")
        for panel in (learner.Panel(page, box) for box in page.locator(MOVES).all()):
            label = next((each for each in panel.sliders if panel.slider(each).locator(learner.RANGE).count()), None)
            if label and (where := (panel.title, label, "page")) not in known:
                known.add(where)
                yield where, timed_steps(page, panel, label, "mouse", steps)
        page.close()


def timed_steps(page, panel, label, way, steps):
    """Milliseconds of up to `steps` steps that changed the picture."""
    slider, mouse, times, misses = panel.slider(label), page.mouse, [], 0
    slider = slider.locator(learner.RANGE)
    panel.show(slider)
    track = slider.bounding_box()
    width = max(2.0, track["width"] / 40)
    x = track["x"] + learner.THUMB / 2 + (track["width"] - learner.THUMB) * panel.part(label)
    y, forth = track["y"] + track["height"] / 2, 1
    if way == "mouse":
        mouse.move(x, y)
        mouse.down()
    for _ in range(TRIES):
        if len(times) == steps or misses == MISSES:
            break
        panel.box.evaluate(PAUSE)  # a film that another setting began
        panel.rest()
        part = panel.part(label)
        forth = -1 if part > 0.95 else 1 if part < 0.05 else forth
        slider.evaluate(ARM, [f"{learner.PANEL}, {MOVES}", learner.PICTURE])
        if way == "mouse":
            x = track["x"] + min(max((x - track["x"]) + forth * width, 0), track["width"])
            mouse.move(x, y)
        else:
            slider.press("ArrowRight" if forth > 0 else "ArrowLeft")
        taken = page.evaluate("window.i2pemdTaken")
        if taken == "still":  # less than a step of the slider
            continue
        times += [taken] if taken else []
        misses = 0 if taken else misses + 1
    if way == "mouse":
        mouse.up()
    return times


PAUSE = "box => box.querySelector('button[aria-label^=pause]')?.click()"

# Milliseconds from the next input event to the end of the frame that has another picture; null when none came in two
# seconds; "still" when the handle did not move.
ARM = """(slider, [around, kind]) => {
    const panel = slider.closest(around), picture = () => panel.querySelector(kind)
    const shown = () => picture().dataset.drawn ?? picture().src ?? picture().innerHTML
    const before = shown(), place = () => slider.value, stood = place()
    window.i2pemdTaken = new Promise(resolve => {
        let began = null
        const begin = event => { began ??= event.timeStamp }
        const painted = () => { // after the frame that is being made
            const channel = new MessageChannel()
            channel.port1.onmessage = () => end(performance.now() - began)
            channel.port2.postMessage(0)
        }
        const end = value => {
            for (const kind of ["keydown", "pointermove"]) document.removeEventListener(kind, begin, true)
            clearInterval(watchdog)
            observer.disconnect()
            resolve(value)
        }
        for (const kind of ["keydown", "pointermove"]) document.addEventListener(kind, begin, true)
        const armed = performance.now()
        const watchdog = setInterval(() => {
            const now = performance.now()
            if (now > armed + 300 && place() === stood) end("still")
            if (now > armed + 2500) end(null)
        }, 50)
        const drawn = async () => {
            if (shown() === before) return
            observer.disconnect()
            const images = [picture(), ...picture().querySelectorAll("image")].filter(each => each.decode)
            await Promise.allSettled(images.map(image => image.decode()))
            requestAnimationFrame(painted)
        }
        const observer = new MutationObserver(drawn)
        const all = {subtree: true, childList: true, attributes: true, characterData: true}
        if (picture().once) picture().once("plotly_afterplot", () => requestAnimationFrame(painted))
        else observer.observe(picture(), all)
    })
}"""


# By eye

WIDTHS, SCALES = (400, 900, 1600), (1, 2)
ALONE = """() => {
    const parts = [...document.querySelectorAll(".outputs")].filter(part => part.querySelector(".i2pemd-moves"))
    for (const fold of parts.flatMap(part => [...part.querySelectorAll("details")])) fold.open = true
    document.head.append(...document.querySelectorAll("body style"))
    document.body.replaceChildren(...parts)
    document.body.style.maxWidth = "none"
    return parts.length
}"""


def screenshots(folder=learner.SCREENSHOTS / "panels"):
    """The panels of every lesson, as its page shows them, in both themes, at 1x and 2x, at each width: PNG files."""
    made = [sys.executable, "-m", "i2pemd_lite", "lessons", "--out", str(folder)]
    subprocess.run(made, env=os.environ | {"I2PEMD_PROFILE": "ci"}, cwd=learner.ROOT, check=True)
    with learner.Browser() as browser:
        for path in sorted(folder.glob("[0-9]*.html")):
            page = browser.page()
            page.goto(path.as_uri())
            page.wait_for_function("document.querySelectorAll('.i2pemd-moves:not(.i2pemd-moving)').length === 0")
            if not page.evaluate(ALONE):
                continue
            session = page.context.new_cdp_session(page)
            for theme, width, scale in itertools.product(learner.THEMES, WIDTHS, SCALES):
                page.emulate_media(color_scheme=theme)
                size = {"width": width, "height": 1000, "deviceScaleFactor": scale, "mobile": False}
                session.send("Emulation.setDeviceMetricsOverride", size)
                shot = session.send("Page.captureScreenshot", {"captureBeyondViewport": True})
                file = folder / f"{path.stem}-{theme}-{width}-{scale}x.png"
                file.write_bytes(base64.b64decode(shot["data"]))
            print(f"{folder / path.stem}-*.png", flush=True)
            page.close()


# In the kernel alone

BEFORE = """
from i2pemd_lite.panels.engine.panel import Panel
shown_panels, bundle = [], Panel._repr_mimebundle_
def noted(panel, **options):
    shown_panels.append(panel)
    return bundle(panel, **options)
Panel._repr_mimebundle_ = noted
"""

AFTER = """
import json, time
from i2pemd_lite.panels.engine import slider

def clocked(function, taken):
    def run(*given):
        began = time.perf_counter()
        try:
            return function(*given)
        finally:
            taken.append(1e3 * (time.perf_counter() - began))
    return run

def places(control, count=12):
    if isinstance(control, slider.Steps):
        values = [option[1] if isinstance(option, tuple) else option for option in control.options]
    else:
        steps = int(round((control.max - control.min) / control.step))
        values = [control.min + control.step * n for n in range(steps + 1)]
    here = min(range(len(values)), key=lambda n: values[n] != control.value)
    forth = [*range(here + 1, len(values)), *range(len(values) - 2, -1, -1), *range(1, here + 1)]
    return [values[n] for n in (forth * count)[:2 * count]] if len(values) > 1 else []

rows = []
for number, panel in enumerate(shown_panels):
    computed, whole = [], []
    original, panel._compute = panel._compute, clocked(panel._compute, computed)
    for name, control in panel.controls.items():
        if not isinstance(control, slider.Control):
            continue
        before = control.value
        computed.clear()
        whole.clear()
        for value in places(control):
            try:
                clocked(lambda: setattr(control, "value", value), whole)()
            except Exception:
                pass
        control.value = before
        rows.append([number, control.description, computed[:len(whole)], list(whole)])
    panel._compute = original
print("I2PEMD" + json.dumps(rows))
"""


def in_kernel(path, environment):
    """(number of the panel, label) -> median milliseconds of compute, and of all that the kernel does for a step."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [nbformat.v4.new_code_cell(BEFORE), *notebook.cells, nbformat.v4.new_code_cell(AFTER)]
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}})
    client.execute(env=environment)
    said = "".join(output.get("text", "") for output in notebook.cells[-1].outputs)
    rows = json.loads(said.split("I2PEMD", 1)[1])
    return {
        (number, label): tuple(statistics.median(x) if x else float("nan") for x in taken)
        for number, label, *taken in rows
    }


def markdown(rows, machine, command):
    """The table as a Markdown page, with the machine and the date."""
    machine = machine | {"browser": learner.version()}
    said = ", ".join(f"{name} {value}" for name, value in machine.items())
    cells = [[f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row.values()] for row in rows]
    lines = ["| " + " | ".join(line) + " |" for line in (list(rows[0]), ["---"] * len(rows[0]), *cells)]
    return "\n".join(
        [
            "# From a moved slider to another picture",
            "",
            f"`{command}`, {datetime.date.today()}, profile ci: {said}.",
            "",
            *__doc__.strip().split("\n")[2:],
            "",
            "`time` is the median, `p95` the 95th percentile of `n` steps.",
            "",
            *lines,
            "",
        ]
    )
