"""A learner at a real browser: JupyterLab and Chromium started and stopped, lessons opened, run, looked at, moved.

    with Lab(folder) as lab, Browser() as browser:
        lesson = Lesson(Desk(browser, lab), "00_start_here")
        lesson.run_all()
        panel = lesson.panel("one prediction, 3 classes")
        panel.change(lambda: panel.drag("p₁ (share)", 0.8))
        panel.change(lambda: panel.press("p₁ (share)", "ArrowRight"))
        panel.status, panel.alert

Every selector of the page stands once, in the table below. Nothing here asserts: tests do.
"""

import base64
import contextlib
import ctypes
import io
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
SCREENSHOTS = ROOT / "out" / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OLDEST = 109  # draws MathML; JupyterLab asks for :has, of 105; 92 cannot read the script of plotly's pictures

PANEL = ".i2pemd-panel"
LIVE = ".js-plotly-plot"
PICTURE = f".i2pemd-picture, img.widget-image, {LIVE}"
NAMELESS = "svg.i2pemd-svg:is(:not([aria-label]), [aria-label=''])"
ALERT = ".i2pemd-error"
STATUS, NUMBER = "[role=status]", "dd"
SLIDER, RANGE, FIELD = ".i2pemd-control", "input[type=range]", "input[type=text]"
LABELLED = ".widget-inline-hbox, .widget-checkbox, .i2pemd-control"
LABEL = "label"
BUTTON = "button.jupyter-button"
CONTROLS = {"slider", "combobox", "checkbox", "textbox", "spinbutton", "button", "radio", "DisclosureTriangle"}
QUESTION = ".i2pemd-question"
OUTPUT = ".jp-OutputArea-output, .jp-Notebook, body"  # what a panel stands in; the nearest counts
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

NOTEBOOK = "window.jupyterapp?.shell.currentWidget"
OPENED = f"{NOTEBOOK}?.content?.model?.cells?.length > 0"
# Once the kernel answers, ipywidgets asks for the widgets that it has. One that a cell makes meanwhile can be on the
# page twice, and what is shown then hears of no change.
READY = f"""async () => {{
    const it = {NOTEBOOK}
    await it.context.ready
    await it.context.sessionContext.ready
    for (let manager; !manager?.restoredStatus;) {{
        const pause = new Promise(resolve => setTimeout(resolve, 20))
        const shown = it.content.rendermime.createRenderer("application/vnd.jupyter.widget-view+json")
        manager = await Promise.race([shown._manager.promise, pause])
        await pause
    }}
}}"""
STARTED = "window.jupyterapp?.commands.hasCommand('docmanager:open')"
# Not the promise itself: that of a page which is loaded anew meanwhile, as `reset` may have it, is never kept.
RESTORED = """() => {
    window.jupyterapp?.restored.then(() => { window.i2pemdRestored = true })
    return window.i2pemdRestored
}"""
CLOSE = """async () => {
    for (const it of [...window.jupyterapp.shell.widgets("main")]) {
        await it.context?.sessionContext?.shutdown()
        it.dispose()
    }
}"""
RUN_ALL = """() => {
    window.i2pemdRan = null
    window.jupyterapp.commands.execute("notebook:run-all-cells").then(() => { window.i2pemdRan = true })
}"""
ERRORS = f"""{NOTEBOOK}.content.widgets.filter(c => !c.model.getMetadata("tags")?.includes("raises-exception"))
    .flatMap(c => c.model.outputs?.toJSON() ?? [])
    .filter(o => o.output_type === "error").map(o => `${{o.ename}}: ${{o.evalue}}`)"""
RAN = f"""window.i2pemdRan && ({ERRORS}.length > 0 || {NOTEBOOK}.content.widgets.every(
    c => c.model.type !== "code" || c.model.executionCount !== null))"""  # a cell that may fail ends the command early
DRAWN = f"""{NOTEBOOK}.content.widgets.every(c => !c.isPlaceholder())
    && ![...document.querySelectorAll(".jp-OutputArea-output")].some(e => e.textContent === "Loading widget...")"""
SWALLOWED = ".jupyter-widgets [data-mime-type='application/vnd.jupyter.stderr']"  # by an Output of ipywidgets
IDLE = f"({NOTEBOOK}?.context?.sessionContext.session?.kernel?.status ?? 'idle') === 'idle'"
TITLE = """panel => [...panel.querySelectorAll("p")].map(p => p.textContent.split(" · profile "))
    .find(parts => parts[1])?.[0] ?? ''"""


def missing():
    """Why there is no browser to test in, or "" when there is one."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "playwright is not installed: pip install playwright"
    if not chromium():
        return f"no browser found among {', '.join(NAMES)}: install Debian's chromium, or Chrome"
    found = version()
    if found and int(re.search(r"\d+", found)[0]) < OLDEST:
        return f"{chromium()}: expected Chromium {OLDEST} or newer, found {found}: update it, or install Chrome"
    return ""


def chromium():
    """The path of the first browser found, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def version():
    """What the browser says it is, or "" where it says nothing."""
    said = subprocess.run([chromium(), "--version"], capture_output=True, text=True).stdout
    return (re.findall(r"\S+ \d+\.[\d.]+", said) or [""])[0]


def _ends_with_its_parent():
    """Of a process of Linux: when the tests are killed no server stays."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Server:
    """A Jupyter server of this Python on a free port of loopback, with a token of its own; `with` stops it.

    Parameters
    ----------
    folder : what it serves; settings and logs go there too, in a hidden folder
    words : the module and its options, in which {port}, {token} and {folder} are filled in
    answers, ready : the path at which it answers when it is ready, and with which errors beside 200 it may
    environment : variables for the server and its kernels, beside those of this process
    """

    def __init__(self, folder, words, answers, ready=(), **environment):
        self.folder, self.token = Path(folder), secrets.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url, self.log = f"http://127.0.0.1:{self.port}", self.folder / ".jupyter" / "log.txt"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        fill = {"port": self.port, "token": self.token, "folder": self.folder}
        self._command = [sys.executable, "-m", *(word.format(**fill) for word in words)]
        self._answers, self._ready, self._given = answers, ready, environment

    def __enter__(self):
        home = {f"JUPYTER_{name}_DIR": str(self.log.parent / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        # Sizes of the ci profile, but with somebody who answers the questions.
        learner = {"I2PEMD_PROFILE": "ci", "I2PEMD_HEADLESS": "0", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        self.environment = {**os.environ, **home, **learner, **self._given}
        # As a learner has it: an error shows where it happens, and the data are the synthetic ones.
        for name in ("I2PEMD_STRICT", "I2PEMD_DATA"):
            self.environment.pop(name, None)
        with self.log.open("w") as log:
            own = {"cwd": self.folder, "env": self.environment, "stdout": log, "stderr": log, "start_new_session": True}
            self._process = subprocess.Popen(self._command, preexec_fn=_ends_with_its_parent, **own)
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self, seconds=60):
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}{self._answers}?token={self.token}", timeout=5):
                    return
            except urllib.error.HTTPError as error:
                if error.code in self._ready:
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass  # it does not listen yet
            time.sleep(0.1)
        raise RuntimeError(f"the server did not answer within {seconds} s:\n{self.log.read_text()[-3000:]}")

    def __exit__(self, *_):
        """Ask it to end, which ends its kernels; then make sure of both."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Lab(Server):
    """JupyterLab on a copy of the lessons, so that the repository stays as it is."""

    def __init__(self, folder, **environment):
        folder = Path(folder)
        shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".*"))
        quiet = folder / ".jupyter" / "settings" / "@jupyterlab" / "apputils-extension"
        quiet.mkdir(parents=True)
        news = {"fetchNews": "false", "checkForUpdates": False}
        (quiet / "notification.jupyterlab-settings").write_text(json.dumps(news))
        first = folder / ".ipython" / "profile_default" / "startup"
        first.mkdir(parents=True)
        shutil.copy(Path(__file__).parent / "silence.py", first)
        words = [
            "jupyterlab",
            "--no-browser",
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            "--ServerApp.token={token}",
            "--ServerApp.root_dir={folder}",
            "--LabApp.expose_app_in_browser=True",
            *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
        ]
        settings = {"JUPYTERLAB_SETTINGS_DIR": str(folder / ".jupyter" / "settings")}
        workspaces = {"JUPYTERLAB_WORKSPACES_DIR": str(folder / ".jupyter" / "workspaces")}
        own = {"IPYTHONDIR": str(folder / ".ipython")}
        super().__init__(folder, words, "/api/status", **settings, **workspaces, **own, **environment)


class Browser:
    """Headless Chromium that can reach loopback only; `with` closes it."""

    def __init__(self, width=1280, height=1500):
        self._size = {"width": width, "height": height}

    def __enter__(self):
        from playwright.sync_api import sync_playwright

        quiet = ("disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
                 "disable-component-update", "disable-sync")  # fmt: skip
        flags = [f"--{flag}" for flag in quiet]
        flags += ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        flags += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        self._playwright = sync_playwright().start()
        try:
            # With a profile on the disk, of playwright's own ("") and removed by it: scripts that one page has compiled
            # are not compiled again by the next, as they are where a page has a context of its own.
            made = {"executable_path": chromium(), "args": flags, "viewport": self._size}
            self._browser = self._playwright.chromium.launch_persistent_context("", **made)
        except BaseException:
            self._playwright.stop()
            raise
        return self

    def __exit__(self, *_):
        self._browser.close()
        self._playwright.stop()

    def page(self):
        """A new page, in front of all others."""
        return self._browser.new_page()


class Desk:
    """JupyterLab in a page of its own.

    Attributes
    ----------
    page : playwright's page, for what has no word here
    complaints : what the page wrote to its console as errors, and exceptions in it
    outside : addresses beyond loopback that it asked for
    """

    def __init__(self, browser, lab):
        self.page, self.complaints, self.outside = browser.page(), [], []
        listen(self.page, self.complaints, self.outside)
        self.page.goto(f"{lab.url}/lab/workspaces/{secrets.token_hex(4)}?reset&token={lab.token}")
        self.page.wait_for_function(STARTED, timeout=60_000)
        self.page.wait_for_function(RESTORED, timeout=60_000, polling=100)

    def close(self):
        """Close the page; kernels live on."""
        self.page.close()


class Lesson:
    """A notebook in JupyterLab.

    Attributes
    ----------
    desk, page : where it is open
    notebook : the notebook as JSON, with its outputs, as it was when all cells had run
    """

    def __init__(self, desk, name):
        self.name, self.desk, self.page, self.notebook = name, desk, desk.page, None
        place = json.dumps({"path": f"notebooks/{name}.ipynb"})
        self.page.evaluate(f"() => {{ window.jupyterapp.commands.execute('docmanager:open', {place}) }}")
        self.page.wait_for_function(OPENED, timeout=60_000)
        self.page.evaluate(READY)

    def run_all(self, seconds=300):
        """Run all cells, up to the first that fails; wait until the kernel is idle and all is drawn."""
        self.page.evaluate(RUN_ALL)
        self.page.wait_for_function(RAN, timeout=1000 * seconds, polling=100)
        self.page.wait_for_function(f"{IDLE} && {DRAWN}", timeout=1000 * seconds, polling=100)
        self.notebook = self.page.evaluate(f"{NOTEBOOK}.content.model.toJSON()")
        for more in self.page.locator(f"{PANEL} {BUTTON}").filter(has_text=re.compile("^more$")).all():
            if more.is_visible():
                more.click()

    @property
    def errors(self):
        """The errors that cells ended with, where none was to be expected, and that widgets and panels show."""
        shown = self.page.locator(f"{SWALLOWED}, {ALERT}").all_text_contents()
        return [*self.page.evaluate(ERRORS), *shown]

    @property
    def panels(self):
        """Every panel of the page, in its order."""
        return [Panel(self.page, box) for box in self.page.locator(PANEL).all()]

    def panel(self, title, number=0):
        """The panel with this title; the first of several, or the one with this number."""
        found = [panel for panel in self.panels if panel.title == title]
        if number >= len(found):
            raise LookupError(f"{self.name}: no panel {title!r} {number}, but {[p.title for p in self.panels]}")
        return found[number]

    @property
    def questions(self):
        """Every question of the page; use `pick`, `click` and `status` of it."""
        return [Panel(self.page, box) for box in self.page.locator(QUESTION).all()]

    def theme(self, name):
        """Change the page's theme: "light" or "dark"."""
        chosen = json.dumps(THEMES[name])
        self.page.evaluate(f"window.jupyterapp.commands.execute('apputils:change-theme', {{theme: {chosen}}})")
        self.page.wait_for_function(f"document.body.dataset.jpThemeName === {chosen}", timeout=20_000)

    def resize(self, width, height=1500):
        """Make the window as large, in pixels of the page."""
        self.page.set_viewport_size({"width": width, "height": height})

    def close(self):
        """Close it and what was opened from it, without saving, once their kernels have ended."""
        self.page.evaluate(CLOSE)


def controls(box):
    """[(role, name)] of the controls in a part of a page, as the browser tells them to a screen reader."""
    session = box.page.context.new_cdp_session(box.page)
    box.evaluate("it => { window.i2pemdBox = it }")
    found = session.send("Runtime.evaluate", {"expression": "window.i2pemdBox"})["result"]
    nodes = session.send("Accessibility.queryAXTree", {"objectId": found["objectId"]})["nodes"]
    session.detach()
    told = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    return [(role, name) for role, name in told if role in CONTROLS]


def listen(page, complaints, outside):
    """Note into these lists what goes wrong in a page, and what it asks for beyond loopback."""
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def asked(request):
        url = urlsplit(request.url)
        if url.scheme in ("http", "https", "ws", "wss") and url.hostname != "127.0.0.1":
            outside.append(request.url)

    page.on("request", asked)


class Panel:
    """A panel on a page, or another box with controls; every control goes by its label."""

    def __init__(self, page, box):
        self.page, self.box = page, box

    @property
    def title(self):
        """Its title, from the caption under its picture; "" without one."""
        return self.box.evaluate(TITLE)

    @property
    def status(self):
        """What it says of its state, for eyes and for screen readers."""
        return " ".join(self.box.locator(STATUS).all_text_contents())

    @property
    def said(self):
        """Its words and the numbers under its picture, as they are read aloud."""
        return " ".join(self.box.locator(f"{STATUS}, {NUMBER}").all_text_contents())

    @property
    def alert(self):
        """The error that it shows, or ""."""
        return " ".join(self.box.locator(ALERT).all_text_contents())

    # The picture

    @property
    def alternative(self):
        """The alternative text of its picture."""
        picture = self.box.locator(PICTURE).first
        drawn = picture.locator("svg")
        return drawn.first.get_attribute("aria-label") if drawn.count() else picture.get_attribute("alt") or ""

    @property
    def nameless(self):
        """How many images in it have no alternative text."""
        return self.box.locator(NAMELESS).count()

    @property
    def touchable(self):
        """Whether its picture takes the pointer."""
        found = self.box.locator(PICTURE)
        return found.count() > 0 and found.first.evaluate("it => getComputedStyle(it).cursor") == "crosshair"

    def picture(self):
        """The pixels of its picture, (height, width, 3) uint8; None where it has none."""
        found = self.box.locator(PICTURE)
        if not found.count():
            return None
        data = found.first.evaluate(PIXELS)
        if data == "":
            return None
        png = base64.b64decode(data.split(",")[1]) if data else found.first.screenshot()
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    def rest(self, seconds=30):
        """What its picture shows, once for a fifth of a second the kernel has been idle and it has been the same.

        That is the address of an image, another one for other bytes, or the camera of a live figure: no pixels are
        asked for, since a screenshot of a live figure can put out a frame in which it is not drawn.
        """
        shown = self.box.evaluate(REST, [PICTURE, seconds])
        if shown is None:
            raise TimeoutError(f"{self.title}: its picture did not come to rest within {seconds} s")
        return shown

    def settled(self, seconds=30):
        """Its picture, at rest."""
        self.rest(seconds)
        return self.picture()

    def change(self, act, seconds=20):
        """Do `act()`, and wait until its picture is another one, at rest."""
        before = self.rest()
        act()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.rest() != before:
                return
        raise TimeoutError(f"{self.title}: its picture stayed the same for {seconds} s")

    @contextlib.contextmanager
    def watched(self):
        """Within it every frame is noted: the sizes of the picture's box as a set, and what was painted there.

        Gives a `SimpleNamespace` of sizes and frames, which are filled in at the end. A frame is what the browser's
        compositor put out, at half its size, cut to where the picture was at that time, (height, width, 3) uint8; those
        of a page that scrolls, or of which less than half of the picture is on the page, are left out.
        """
        seen, shots = SimpleNamespace(sizes=set(), frames=[]), []
        self.show()
        session = self.page.context.new_cdp_session(self.page)

        def keep(frame):
            shots.append((frame["metadata"]["timestamp"], frame["data"]))
            session.send("Page.screencastFrameAck", {"sessionId": frame["sessionId"]})

        session.on("Page.screencastFrame", keep)
        small = {f"max{side.title()}": length // 2 for side, length in self.page.viewport_size.items()}
        session.send("Page.startScreencast", {"format": "jpeg", "quality": 80, **small})
        self.box.evaluate(WATCH, PICTURE)
        try:
            yield seen
        finally:
            places = np.array(self.box.evaluate("panel => { panel.watching = false; return panel.places }"))
            session.send("Page.stopScreencast")
            session.detach()
        seen.sizes |= {tuple(place[3:]) for place in places.tolist()}
        for moment, data in shots:
            n = int(np.searchsorted(places[:, 0], moment))
            around = places[max(0, n - 2) : n + 2, 1:]
            whole = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
            scale = whole.shape[1] / self.page.viewport_size["width"]
            x, y, width, height = scale * around[0]
            inside = [np.clip((start, start + length), 0, most).astype(int) for start, length, most in
                      ((y, height, whole.shape[0]), (x, width, whole.shape[1]))]  # fmt: skip
            if (around == around[0]).all() and np.ptp(inside, axis=1).prod() >= width * height / 2:
                rows, columns = (slice(low + 2, high - 2) for low, high in inside)
                seen.frames.append(whole[rows, columns])

    def show(self, what=None):
        """Scroll to it, or to a control of it, and wait until the page, which lays out cells as they come, is still."""
        (what or self.box).evaluate(SHOW)

    def screenshot(self, name):
        """Write what the panel looks like into SCREENSHOTS; the path."""
        path = SCREENSHOTS / f"{re.sub(r'[^a-z0-9.]+', '-', name.lower())}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.box.screenshot(path=path)
        return path

    # Controls

    @property
    def sliders(self):
        """The labels of its sliders, without those that are hidden now."""
        return self.box.locator(f"{SLIDER} {LABEL}:visible").all_text_contents()

    @property
    def fields(self):
        """The labels of those sliders that have a field to type in."""
        return [label for label in self.sliders if self.slider(label).locator(FIELD).count()]

    def _labelled(self, kind, label):
        return self.box.locator(kind).filter(has=self.page.get_by_text(label, exact=True)).first

    def slider(self, label):
        """A slider, as playwright locates it."""
        return self._labelled(SLIDER, label)

    def value(self, label):
        """The value of a slider, as a screen reader has it."""
        return self.slider(label).locator(RANGE).get_attribute("aria-valuetext")

    def part(self, label):
        """Where the handle of a slider is on its track, from 0 to 1."""
        return self.slider(label).locator(RANGE).evaluate(PART)

    def drag(self, label, to, moves=6):
        """Take the handle of a slider by the mouse to a part of its track, in small moves."""
        slider, mouse = self.slider(label).locator(RANGE), self.page.mouse
        self.show(slider)
        track = slider.bounding_box()
        track["x"], track["width"] = track["x"] + THUMB / 2, track["width"] - THUMB
        start, y = track["x"] + track["width"] * self.part(label), track["y"] + track["height"] / 2
        mouse.move(start, y)
        mouse.down()
        for n in range(1, moves + 1):
            mouse.move(start + (track["x"] + to * track["width"] - start) * n / moves, y)
        mouse.up()

    def drag_picture(self, start, end, moves=6):
        """Drag inside of its picture, from one place to another, in parts of its size from the lower left."""
        picture, mouse = self.box.locator(PICTURE).first, self.page.mouse
        self.show(picture)
        box = picture.bounding_box()
        left, bottom, size = box["x"], box["y"] + box["height"], (box["width"], box["height"])
        way = np.linspace(start, end, moves + 1) * size * (1, -1) + (left, bottom)
        mouse.move(*way[0])
        mouse.down()
        for x, y in way[1:]:
            mouse.move(x, y)
        mouse.up()

    def press(self, label, key, times=1):
        """Press a key with the focus on a slider: ArrowRight, ArrowLeft, Home, End."""
        handle = self.slider(label).locator(RANGE)
        for _ in range(times):
            handle.press(key)

    def type(self, label, text):
        """Type over the number beside a slider, then Enter; or over another field."""
        field = self.slider(label).locator(FIELD) if label in self.fields else self.box.get_by_label(label, exact=True)
        field.fill(text)
        field.press("Enter")

    def choose(self, label, option):
        """Choose from a drop-down list."""
        self._labelled(LABELLED, label).locator("select").select_option(label=option)

    def tick(self, label, on=True):
        """Set a checkbox."""
        self._labelled(LABELLED, label).locator("input").set_checked(on)

    def pick(self, option):
        """Pick one of several by its round button."""
        self.box.get_by_label(option, exact=True).check()

    def click(self, text):
        """Click a button by its words, and again where the page moved it from under the mouse before it was up."""
        found = self.box.locator(BUTTON).filter(has_text=re.compile(f"^{re.escape(text)}$")).first
        button = found.element_handle()
        heard = button.evaluate_handle(HEARD)
        while not heard.evaluate("it => it.clicks"):
            button.click()

    # Looks

    def clipped(self):
        """What is cut off at its right, numbers not below their names, sliders too short to drag: a list of words."""
        return self.box.evaluate(CLIPPED, [PICTURE, OUTPUT, LABEL, NUMBER, RANGE])

    def contrasts(self):
        """(contrast, text, colour, background) of every visible text in it, as its styles make it, the worst first."""
        return sorted(self.box.evaluate(CONTRASTS))


# The pixels of an image as the page has decoded them; "" for an empty one, null for what is no image.
PIXELS = """async picture => {
    if (!(picture instanceof HTMLImageElement)) return null
    await picture.decode().catch(() => 0)
    if (!picture.naturalWidth) return ""
    const canvas = Object.assign(document.createElement("canvas"),
        {width: picture.naturalWidth, height: picture.naturalHeight})
    canvas.getContext("2d").drawImage(picture, 0, 0)
    return canvas.toDataURL()
}"""

# What is shown when it came to rest, null where it did not. Of a live figure that is how its first scene is seen.
REST = f"""(panel, [kind, seconds]) => new Promise(resolve => {{
    const end = performance.now() + 1000 * seconds, seen = []
    const look = () => {{
        const it = panel.querySelector(kind)
        const drawn = it?.src ?? it?.querySelector("svg.i2pemd-svg")?.outerHTML
        seen.push(drawn ?? `camera ${{JSON.stringify(it?._fullLayout?.scene?._scene?.getCamera())}}`)
        if (!({IDLE})) seen.length = 0
        if (seen.length > 4 && new Set(seen.slice(-5)).size === 1) resolve(seen.at(-1))
        else if (performance.now() > end) resolve(null)
        else setTimeout(look, 50)
    }}
    look()
}})"""

HEARD = """button => {
    const heard = {clicks: 0}
    button.addEventListener("click", () => { heard.clicks += 1 })
    return heard
}"""

SHOW = """element => new Promise(resolve => {
    const seen = []
    const look = () => {
        element.scrollIntoViewIfNeeded()
        seen.push(JSON.stringify(element.getBoundingClientRect()))
        if (seen.length > 4 && new Set(seen.slice(-5)).size === 1) resolve()
        else setTimeout(look, 30)
    }
    look()
})"""

WATCH = """(panel, kind) => {
    panel.places = []
    panel.watching = true
    const look = () => {
        const box = panel.querySelector(kind)?.getBoundingClientRect() ?? new DOMRect()
        panel.places.push([(performance.timeOrigin + performance.now()) / 1000, box.x, box.y, box.width, box.height])
        if (panel.watching) requestAnimationFrame(look)
    }
    look()
}"""

PART = "slider => (slider.value - slider.min) / (slider.max - slider.min)"
THUMB = 16  # pixels that the handle of a slider is wide, so that its middle stays away from the ends

CLIPPED = """(panel, [kind, around, label, figure, rail]) => {
    const found = [], name = e => `${e.textContent.slice(0, 40)}: ${e.scrollWidth} px in ${e.clientWidth}`
    if (panel.scrollWidth > panel.clientWidth) found.push(`the panel: ${panel.scrollWidth} px in ${panel.clientWidth}`)
    const outer = panel.closest(around).getBoundingClientRect()
    for (const picture of panel.querySelectorAll(kind)) {
        const box = picture.getBoundingClientRect()
        if (box.left < outer.left - 1 || box.right > outer.right + 1)
            found.push(`the picture: ${box.left} to ${box.right} px in ${outer.left} to ${outer.right}`)
    }
    for (const e of panel.querySelectorAll(`${label}, button`))
        if (e.checkVisibility() && e.scrollWidth > e.clientWidth + 1) found.push(name(e))
    for (const track of panel.querySelectorAll(rail)) {
        const wide = track.getBoundingClientRect().width
        if (track.checkVisibility() && wide < 40) found.push(`a slider's track of ${Math.round(wide)} px`)
    }
    for (const number of panel.querySelectorAll(figure)) {
        const [over, under] = [number.previousElementSibling, number].map(e => e.getBoundingClientRect())
        if (under.top < over.bottom - 1) found.push(`the number ${number.textContent} is not below its name`)
        const row = number.closest("dl").getBoundingClientRect(), pair = number.parentElement.getBoundingClientRect()
        if (pair.height > 50 && pair.width < row.width - 20) found.push(`${number.parentElement.textContent}: wraps`)
    }
    for (const e of [...panel.querySelectorAll("select")].filter(e => e.checkVisibility())) {
        const pen = document.createElement("canvas").getContext("2d"), style = getComputedStyle(e)
        pen.font = style.font
        const room = e.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)
        const text = e.selectedOptions[0]?.textContent ?? "", wide = pen.measureText(text).width
        if (wide > room) found.push(`the list entry ${text}: ${Math.ceil(wide)} px in ${Math.floor(room)}`)
    }
    return found
}"""

# WCAG 2: colours laid over each other from the page up to the text, opacities of all ancestors included.
CONTRASTS = """panel => {
    const pen = document.createElement("canvas").getContext("2d", {willReadFrequently: true})
    const rgba = colour => {
        pen.clearRect(0, 0, 1, 1)
        pen.fillStyle = colour
        pen.fillRect(0, 0, 1, 1)
        const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data
        return [r, g, b, a / 255]
    }
    const over = ([r, g, b, a], below) => [r, g, b].map((x, i) => a * x + (1 - a) * below[i])
    const luminance = rgb => rgb.map(x => x / 255).map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
        .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0)
    const ancestors = e => e ? [...ancestors(e.parentElement), e] : []
    const found = []
    for (const e of panel.querySelectorAll("*")) {
        const text = e.value !== undefined && e.matches("input[type=text], input[type=number], select")
            ? String(e.selectedOptions?.[0]?.textContent ?? e.value)
            : [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent).join("").trim()
        if (!text || !e.checkVisibility() || e.disabled || e.closest("svg, option, style, script")) continue
        let behind = [255, 255, 255], opacity = 1
        for (const each of ancestors(e)) {
            const style = getComputedStyle(each), [r, g, b, a] = rgba(style.backgroundColor)
            opacity *= Number(style.opacity)
            behind = over([r, g, b, a * opacity], behind)
        }
        const [r, g, b, a] = rgba(getComputedStyle(e).color)
        const ink = over([r, g, b, a * opacity], behind)
        const [light, dark] = [luminance(ink), luminance(behind)].sort((x, y) => y - x)
        const name = rgb => `rgb(${rgb.map(Math.round)})`
        found.push([(light + 0.05) / (dark + 0.05), text.slice(0, 60), name(ink), name(behind)])
    }
    return found
}"""
