"""Cells of an executed notebook as HTML that needs nothing else: formulas as MathML, pictures inside the page."""

import base64
import contextlib
import re
import unicodedata
from html import escape, unescape
from pathlib import Path

from nbconvert.filters import Highlight2HTML, strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.engine.picture import part
from i2pemd_lite.panels.engine.style import SYMBOLS, symbol

TAG = re.compile(r"\\tag\{([^}]*)\}")
LETTER = re.compile(r'<mi mathvariant="(?!normal)([a-z-]+)">([A-Za-z])</mi>')


class _Renderer(IPythonRenderer):
    def heading(self, text, level, **_):
        place = re.sub(r"\s+", "-", re.sub(r"<[^>]*>", "", text))  # as JupyterLab names it
        return f'<h{level} id="{escape(place)}">{text}</h{level}>\n'

    def inline_html(self, html):
        return super().inline_html(html) if "<img" in html else html  # it would close <abbr> before its word

    def block_math(self, body):
        return mathml(body, block=True)

    def inline_math(self, body):
        return mathml(body)

    def latex_environment(self, name, body):
        return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", block=True)


def page(title, body, *styles):
    """A whole page, with the named style sheets of the folder `static` in it, and what moves its panels."""
    style = "\n".join(asset(name) for name in ("page.css", *styles))
    if 'class="i2pemd-moves"' in body:
        looks, script = part("panel.css"), part("patch.js", "play.js", "moving.js")
        body += f"\n<style>{looks}</style>\n<script>\n{script}</script>"
    return asset("page.html").format(title=escape(title), style=style, body=body)


def asset(name):
    """A file of the folder `static` beside this module."""
    return (Path(__file__).parent / "static" / name).read_text(encoding="utf-8")


def text(source, folder=None):
    """Markdown as HTML, with links to the pages made of others; pictures are read from `folder` and put inside."""
    source = re.sub(r"(\]\((?!https?:)[^)\s#]+)\.(?:ipynb|md)(?=[)#])", r"\1.html", source)
    source = re.sub(r"(\]\([^)\s#]*#)cell-id=", r"\1", source)
    renderer = _Renderer(escape=False, embed_images=folder is not None, path=str(folder or ""))
    return MarkdownWithMath(renderer=renderer).render(source).strip()


def code(source, folded="", results=""):
    """Python as HTML, in colours, then its `results`; under a line to click that says `folded`, if that is given."""
    html = Highlight2HTML(pygments_lexer="python")(source) + results
    return f"<details><summary>{folded}</summary>{html}</details>" if folded else html


def wordless(page):
    """The pictures of a page that have no words for those who cannot see them, as the beginnings of their tags."""
    tags = re.findall(r"<(?:img|svg)\b[^>]*>", page)
    return [tag[:80] for tag in tags if not re.search(r'\b(alt|aria-label)="(?!&lt;|No description)[^"]', tag)]


def output(said):
    """One output as HTML; empty for one that a page cannot show."""
    if "text" in said:
        return f"<pre>{escape(strip_ansi(''.join(said['text'])))}</pre>"
    data = {kind: "".join(value) for kind, value in said.get("data", {}).items() if isinstance(value, (str, list))}
    plain = data.get("text/plain", "")
    if "text/html" in data:
        if 'class="i2pemd-bar"' in data["text/html"]:  # how far a cell was, which ran long ago
            return ""
        html = re.sub(r"""(href=["'][^"':]+)\.ipynb\b""", r"\1.html", data["text/html"])
        html = re.sub(r'(href="[^"]*\.html#)cell-id=', r"\1", html)
        # What is no page, such as a run or a line of code, is not beside this one.
        html = re.sub(r"""<a href=(["'])(?!\w+:|#|[^"']*\.html\b)[^"']*\1[^>]*>(.*?)</a>""", r"\2", html)
        if "<script" not in html:
            html = re.sub(r"\$([^$<>\n]+)\$", lambda formula: mathml(unescape(formula[1])), html)
        # In the page itself a picture has the page's colours.
        svg = r'<img src="data:image/svg\+xml;base64,([^"]*)"[^>]*>'
        return re.sub(svg, lambda image: base64.b64decode(image[1]).decode(), html)
    if "text/markdown" in data:
        return text(data["text/markdown"])
    if "image/svg+xml" in data:
        return data["image/svg+xml"]
    if "image/png" in data:
        png = data["image/png"].replace("\n", "")
        return f'<img src="data:image/png;base64,{png}" alt="{escape(plain)}">'
    if "application/vnd.jupyter.widget-view+json" in said.get("data", {}):  # whose text is for where it should live
        return ""
    return f"<pre>{escape(plain)}</pre>" if plain else ""


def mathml(tex, block=False):
    """A formula as MathML; a block stands on a line of its own, with the number that its `\\tag` gives at the right."""
    from latex2mathml.converter import convert

    number = TAG.search(tex)
    # It knows arrays, and not `aligned`, which is one of two columns that meet.
    plain = TAG.sub("", tex).replace(r"\begin{aligned}", r"\begin{array}{rl}").replace(r"\end{aligned}", r"\end{array}")
    try:
        math = convert(plain.strip(), display="block" if block else "inline")
    except Exception as error:  # its errors have no base of their own
        raise BadInput(f"formula {tex}: expected TeX that MathML has, found {error!r}; write it otherwise") from None
    math = LETTER.sub(_letter, math)
    math = re.sub(rf"<mi>(?=([{''.join(SYMBOLS)}])<)", lambda match: f'<mi class="{symbol(match[1])}">', math)
    # The bars of a norm, which browsers stretch, one of them to its line and the other, with an index, to itself
    math = re.sub(r"<mo>(?=&#x02016;|&#x0007C;)", '<mo stretchy="false">', math)
    if unknown := re.findall(r"\\[A-Za-z]+|(?<=>)&(?=<)", math):
        raise BadInput(f"formula {tex}: expected TeX that MathML has, found {unknown[0]}; write it otherwise")
    if not block:
        return math
    right = f'<span class="number">({number[1]})</span>' if number else ""
    return f'<div class="formula">{math}{right}</div>'


def _letter(match):
    """A letter of another alphabet: browsers draw the character, and pass over the attribute `mathvariant`."""
    style, letter = match.groups()
    size = "CAPITAL" if letter.isupper() else "SMALL"
    for name in (f"{style} {size} {letter}", f"MATHEMATICAL {style} {size} {letter}"):
        with contextlib.suppress(KeyError):
            return f"<mi>{unicodedata.lookup(name.upper())}</mi>"
    return f"<mi>{letter}</mi>"
