"""Text on its way out: bars, and characters that the output can hold, without an error where nobody reads any more."""

import ast
import codecs
import contextlib
import contextvars
import errno
import functools
import inspect
import os
import sys
import threading
import time
import unicodedata
from html import escape

TYPED = {  # how one types a character on a keyboard that has only ASCII
    "·": "|", "•": "*", "×": "x", "÷": "/", "±": "+-", "−": "-", "–": "-", "—": "-", "⁄": "/", "…": "...", "√": "sqrt",
    "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "←": "<-", "→": "->", "↑": "^", "↓": "v", "∞": "inf", "∑": "sum",
    "∂": "d", "∇": "grad", "∈": "in", "∩": "and", "∪": "or", "‖": "||", "⌊": "floor(", "⌋": ")", "°": " degrees",
    "“": '"', "”": '"', "‘": "'", "’": "'", "′": "'", "†": "+", "✓": "ok", "✗": "x", "✖": "x", "✚": "+", "★": "*",
    "─": "-", "━": "-", "┈": "-", "╌": "-", "│": "|", "┆": "|", "▏": "|", "■": "#", "▮": "#", "▲": "^", "▼": "v",
    "□": "o", "◆": "*", "◇": "o", "●": "*", "○": "o",
}  # fmt: skip

CONTROLS = {i: f"\\x{i:02x}" for i in (*range(32), *range(127, 160)) if chr(i) not in "\t\n\r"}
CONTROLS |= {i: f"\\u{i:x}" for i in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}  # turn the reading direction
GONE = (errno.EPIPE, errno.EINVAL)  # what writing to a closed pipe ends with; the second on Windows, at times


def plain(text, encoding):
    r"""Text with every character that `encoding` does not have replaced by how one types it, or by "?".

    Greek letters become their names; of letters with marks, and small or ornate ones, the letter stays. What would
    steer a terminal, and bytes that are no UTF-8 (in names of files), are shown as escapes.

    Example
    -------
    >>> plain("λ ≥ 0.5 ± σ², q̄₁ → Voilà …", "ascii")
    'lambda >= 0.5 +- sigma^2, q1 -> Voila ...'
    >>> plain("λ ≥ 0.5 ± σ², q̄₁ → Voilà …", "cp1252")
    'lambda >= 0.5 ± sigma², q1 -> Voilà …'
    >>> print(plain("a\x1b[2Jb\u202ec\udcff", "utf-8"))
    a\x1b[2Jb\u202ec\xff
    """
    return text.translate(CONTROLS).encode(encoding, "typed").decode(encoding)


def _typed(character):
    if character.isascii() or character in TYPED:
        return TYPED.get(character, character)
    if "\udc80" <= character <= "\udcff":  # how Python holds a byte of a name that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    size, _, letter = unicodedata.name(character, "").removeprefix("GREEK ").partition(" LETTER ")
    if size in ("SMALL", "CAPITAL") and letter.isalpha():
        letter = letter.replace("LAMDA", "LAMBDA")  # Unicode spells it so
        return letter.lower() if size == "SMALL" else letter.title()
    parts = unicodedata.normalize("NFKD", character)
    if parts != character:
        raised = "^" if unicodedata.decomposition(character).startswith("<super>") else ""
        return raised + "".join(map(_typed, parts))
    return "" if unicodedata.combining(character) > 1 else "?"  # 1: strokes through a sign, which negate it


codecs.register_error("typed", lambda lack: ("".join(map(_typed, lack.object[lack.start : lack.end])), lack.end))


class Out:
    """A stream for text that never raises: what its encoding lacks is written `plain`, what nobody takes is dropped."""

    def __init__(self, stream):
        self._stream, self.error = stream, None

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        """Write text, or drop it once an `error` has happened."""
        self._try(self._stream.write, plain(text, self._stream.encoding or "utf-8"))
        return len(text)

    def flush(self):
        """Hand on what was written."""
        self._try(self._stream.flush)

    def _try(self, function, *arguments):
        if self.error is None:
            try:
                function(*arguments)
            except OSError as error:
                self.error = error
                with open(os.devnull, "wb") as nowhere:  # for what is in the stream's buffer
                    os.dup2(nowhere.fileno(), self._stream.fileno())


def spoken(command):
    """A command whose output is an `Out`: it does its work to the end, whether or not somebody reads what it prints.

    Its exit status is 141 where the reader went away (as a shell has it for programs that end by that, 128 + SIGPIPE),
    and 1, with a sentence, where the output could not be written for another reason. Another status than 0 stays.
    """

    @functools.wraps(command)
    def heard(*arguments):
        out, err = (stream and Out(stream) for stream in (sys.stdout, sys.stderr))
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = command(*arguments)
        finally:
            for stream in filter(None, (out, err)):
                stream.flush()
        if out is None or out.error is None:
            return status
        if out.error.errno in GONE:
            return status or 128 + 13
        found = f"expected room for what is printed, found: {out.error.strerror}; make room, or write it elsewhere"
        print(f"i2pemd_lite: standard output: {found}", file=sys.stderr)
        return status or 1

    return heard


def about(function):
    """The first line of a function's docstring, from its source where python -OO has left it out."""
    said = function.__doc__ or ast.get_docstring(ast.parse(inspect.getsource(function)).body[0])
    return said.splitlines()[0]


PERIOD, LONG = 0.4, 2.0  # seconds between two looks of a bar, while things are done and while one takes long
BAR = (  # no <progress>, which is light on a dark page
    '<div class="i2pemd-bar" style="line-height:1.6"><span role="progressbar" aria-label="{doing}" '
    'aria-valuenow="{done}" aria-valuemax="{total}" style="display:inline-block;width:12em;height:.5em;'
    'border-radius:.25em;vertical-align:.1em;'
    'background:linear-gradient(to right,#3d7fc1 {part:.1f}%,#8885 {part:.1f}%)"></span> {words}</div>'
)


def bar(things, doing, unit, total=None, done=0, shown=None, stop="stop", words=None, known=None):
    """The things one by one; meanwhile it is shown what is done, how far it is, and the time left.

    In a notebook this is a line under the cell that says how to stop it, elsewhere tqdm's on standard error.

    doing, unit : what is done, and the name of one thing: "training joint", "step"
    total, done : how many there are in all, None: the length of the things; and how many were done before
    shown : True, None for in a notebook only, or False; where none is left to do, nothing is shown either
    stop : what an interrupt does to it: "stop", or "pause" where the next call goes on from there
    words : `words(thing)`, what else is said, asked only when it is shown
    known : `known()`, how many are done, where things are not given one by one, or an interrupt can come between

    Example
    -------
    >>> sum(bar(range(4), "adding", "number", shown=False))
    6
    """
    total = len(things) if total is None else total
    show = _line if _in_notebook() else _meter if shown else None
    if shown is False or show is None or done >= total:
        return iter(things)
    return show(things, doing, unit, total, done, stop, words, known)


def _in_notebook():
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def _line(things, doing, unit, total, done, stop, words, known):
    """A `bar` in a notebook: an output of the cell that is written anew, in the colours of the page."""
    from IPython.display import display

    began, first, more, over = time.monotonic(), done, "", threading.Event()

    def shown(end=False, long=""):
        took = time.monotonic() - began
        left = (since - began) / (done - first) * (total - done) if done > first else None
        time_said = f"{duration(took)} in all" if end else "" if left is None else f"{duration(left)} left"
        said = ", ".join(filter(None, (f"{doing}: {unit} {done} of {total}", more, time_said, long)))
        said += f". To {stop} it, press ■ above." * (not end)
        html = BAR.format(doing=escape(doing), words=escape(said), done=done, total=total, part=100 * done / total)
        return {"text/plain": said, "text/html": html}

    handle, told, since = display(shown(), raw=True, display_id=True), began, began

    def watch():
        while not over.wait(LONG):
            if done < total and (long := late(unit, since)):
                handle.update(shown(long=long), raw=True)

    watcher = threading.Thread(target=contextvars.copy_context().run, args=(watch,), daemon=True)
    watcher.start()
    try:
        for thing in things:
            yield thing
            done, since = known() if known else done + 1, time.monotonic()
            if since - told > PERIOD:
                more = words(thing) if words else ""
                handle.update(shown(), raw=True)
                told = time.monotonic()
    finally:
        over.set()
        watcher.join()
        done = known() if known else done
        handle.update(shown(end=True), raw=True)


def _meter(things, doing, unit, total, done, stop, words, _):
    """A `bar` elsewhere."""
    from tqdm import tqdm

    with tqdm(things, doing, total, initial=done, unit=unit) as meter:
        told = 0.0
        for thing in meter:
            if words and time.monotonic() - told > PERIOD:
                meter.set_postfix_str(words(thing), refresh=False)
                told = time.monotonic()
            yield thing


def late(unit, since):
    """That the next thing, a `unit`, has taken long `since` the last one was done, in words; "" before."""
    took = time.monotonic() - since
    return f"the next {unit} has taken {duration(took)} so far" if took > LONG else ""


def duration(seconds):
    """A time in the two largest units that say it.

    Example
    -------
    >>> duration(41.2), duration(192), duration(7321)
    ('41 s', '3 min 12 s', '2 h 2 min')
    """
    seconds = round(seconds)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
