"""Cells of an executed notebook as HTML that needs nothing else: formulas as MathML, pictures inside the page."""

import re
from html import escape
from importlib.resources import files

from nbconvert.filters import Highlight2HTML, strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from i2pemd_lite.course.publish.formulas import mathml


class _Renderer(IPythonRenderer):
    def heading(self, text, level, **_):
        place = re.sub(r"\s+", "-", re.sub(r"<[^>]*>", "", text))  # as JupyterLab names it
        return f'<h{level} id="{escape(place)}">{text}</h{level}>\n'

    def block_math(self, body):
        return mathml(body, block=True)

    def inline_math(self, body):
        return mathml(body)

    def latex_environment(self, name, body):
        return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", block=True)


def page(title, body, *styles):
    """A whole page, with the named style sheets of the folder `static` in it."""
    style = "\n".join(asset(name) for name in ("page.css", *styles))
    return asset("page.html").format(title=escape(title), style=style, body=body)


def asset(name):
    """A file of the folder `static` beside this module."""
    return (files("i2pemd_lite.course.publish") / "static" / name).read_text(encoding="utf-8")


def text(source, folder=None):
    """Markdown as HTML; pictures in it are read from `folder` and put inside.

    Example
    -------
    >>> text("Price $p$.")
    '<p>Price <math ...><mrow><mi>p</mi></mrow></math>.</p>'
    """
    renderer = _Renderer(escape=False, embed_images=folder is not None, path=str(folder or ""))
    return MarkdownWithMath(renderer=renderer).render(_to_pages(source)).strip()


def _to_pages(source):
    """Links to notebooks and to Markdown lead to the pages made of them, and those to a cell to its place there."""
    source = re.sub(r"(\]\((?!https?:)[^)\s#]+)\.(?:ipynb|md)(?=[)#])", r"\1.html", source)
    return re.sub(r"(\]\([^)\s#]*#)cell-id=", r"\1", source)


def code(source, folded="", results=""):
    """Python as HTML, in colours, then its `results`; under a line to click that says `folded`, if that is given."""
    html = Highlight2HTML(pygments_lexer="python")(source) + results
    return f"<details><summary>{folded}</summary>{html}</details>" if folded else html


def wordless(page):
    """The pictures of a page that have no words for those who cannot see them, as the beginnings of their tags."""
    tags = re.findall(r"<img\b[^>]*>", page)
    return [tag[:80] for tag in tags if not re.search(r'\balt="(?!&lt;|No description)[^"]', tag)]


def output(said):
    """One output as HTML; empty for one that a page cannot show."""
    if "text" in said:
        return f"<pre>{escape(strip_ansi(''.join(said['text'])))}</pre>"
    data = {kind: "".join(value) for kind, value in said.get("data", {}).items() if isinstance(value, (str, list))}
    plain = data.get("text/plain", "")
    if "text/html" in data:
        return re.sub(r"""(href=["'][^"':]+)\.ipynb\b""", r"\1.html", data["text/html"])
    if "text/markdown" in data:
        return text(data["text/markdown"])
    if "image/png" in data:
        png = data["image/png"].replace("\n", "")
        return f'<img src="data:image/png;base64,{png}" alt="{escape(plain)}">'
    return f"<pre>{escape(plain)}</pre>" if plain else ""
