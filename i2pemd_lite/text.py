"""Text on its way out: in characters that the output can hold, and without an error where nobody reads any more."""

import ast
import codecs
import contextlib
import errno
import functools
import inspect
import os
import sys
import unicodedata

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
