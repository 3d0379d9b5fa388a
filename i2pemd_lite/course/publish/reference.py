"""Every public name with its docstring, as pages by pdoc, and the search of the site.

Docstrings here are plain text and no Markdown, so pdoc gets them as HTML, in which what spaces align stays aligned.
"""

import importlib
import json
import pkgutil
import re
import types
from functools import cache
from html import escape
from pathlib import Path

import pygments
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonConsoleLexer

import i2pemd_lite
from i2pemd_lite.files import BadInput, write_text

SECTION = re.compile(r"^(\S.*)\n-{3,}$", re.M)
ENTRIES = re.compile(r"\S[^:\n]* : |\S+\n {4}")  # what a name means, or when an error is raised
ALIGNED = re.compile(r"\S {3,}\S|\A {4}")
NUMBER = re.compile(r" {4,}(?=\((Eq\.|Table))")  # before it, where a docstring has it at the end of a line
CODE = HtmlFormatter(cssclass="pdoc-code codehilite")


def modules():
    """The names of all modules with public names; of the course it is the package itself."""
    found = pkgutil.walk_packages(i2pemd_lite.__path__, "i2pemd_lite.")
    return ["i2pemd_lite", *(each.name for each in found if not re.search(r"\._|\.course\.", each.name))]


def pdoc():
    """The generator. `BadInput` where it is not installed."""
    try:
        import pdoc.render
        import pdoc.search
    except ImportError:
        found = "none; install it with: pip install i2pemd-lite[site]"
        raise BadInput(f"site: expected pdoc, which writes the reference, found {found}") from None
    return pdoc


def write(out, others=()):
    """Write a page for each module under `out`, and `search.js`, by which all pages find names and `others`, which are
    entries of its index. `BadInput` without pdoc."""
    render, every = pdoc().render, {name: _module(name) for name in modules()}
    render.configure(docformat="markdown", template_directory=Path(__file__).parent / "static")
    render.env.filters |= {"to_markdown": str, "to_html": str}  # for docstrings are HTML already
    render.env.globals["dark"] = HtmlFormatter(style="github-dark").get_style_defs(".pdoc-code")
    pdoc().render_helpers.formatter = CODE  # without an anchor for each line, which makes pages three times as large
    for name, module in every.items():
        write_text(out / f"{name.replace('.', '/')}.html", render.html_module(module, every))
    names = pdoc().search.make_index(every, lambda doc: doc.docstring and not doc.name.startswith("_"), "markdown")
    names = [each | {"default_value": ""} for each in names]  # a constant is found by what is said of it
    index = render.env.get_template("search.js.jinja2").render(search_index=json.dumps([*names, *others]))
    write_text(out / "search.js", index)


def search():
    """What makes a field on a page beside `search.js` search, as HTML."""
    return pdoc().render.env.get_template("search.html.jinja2").render()


def _module(name):
    """pdoc's view of a module, with docstrings as HTML; of a package all that can be imported from it is its own."""
    real = importlib.import_module(name)
    names = getattr(real, "__all__", None)
    if names is None and hasattr(real, "__path__"):
        names = [each for each in vars(real) if each[0] != "_"]
    twin = types.ModuleType(name, real.__doc__)  # with what the module itself loads only when it is asked for
    twin.__dict__.update(vars(real))
    if names is not None:
        here = {each: getattr(real, each) for each in names}
        twin.__dict__.update(here, __all__=[each for each in names if not isinstance(here[each], types.ModuleType)])
    module = pdoc().doc.Module(twin)
    module.source = ""  # that of its members is there
    for each in (module, *module.flattened_own_members):
        _dress(each)
    return module


def _dress(doc):
    """Give a docstring as HTML to an object of pdoc's and, if it is a class, to what is in it; none where it comes from
    a class of somebody else, or is Python's own."""
    doc.docstring = html(doc.docstring) if doc.docstring.partition("\n")[0] in _written() else ""
    for each in doc.own_members if doc.kind == "class" else ():
        _dress(each)


@cache
def _written():
    """All lines of the module's files, without quotes around them."""
    files = Path(i2pemd_lite.__file__).parent.rglob("*.py")
    return {line.strip(" \n\"") for file in files for line in file.read_text(encoding="utf-8").splitlines()}


def html(docstring):
    """A docstring as HTML: sections, the entries in them, examples, and formulas as they are.

    Example
    -------
    >>> print(html("Half of `x`.\\n\\nParameters\\n----------\\nx : (B, *S)"))
    <p>Half of <code>x</code>.</p>
    <h6>Parameters</h6>
    <dl><dt>x</dt><dd>(B, *S)</dd></dl>
    """
    first, *sections = SECTION.split(docstring)
    parts = [_blocks(first)]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        parts.append(f"<h6>{escape(title)}</h6>\n{_blocks(body)}")
    return "\n".join(parts)


def _blocks(text):
    return "\n".join(map(_block, filter(str.strip, re.split(r"\n[ \t]*\n", text.strip("\n")))))


def _block(text):
    if text.lstrip().startswith(">>>"):
        return pygments.highlight(text, PythonConsoleLexer(), CODE)
    if ALIGNED.search(text):
        return f"<pre>{escape(NUMBER.sub('   ', text))}</pre>"
    if text.startswith("- "):
        return "<ul>" + "".join(f"<li>{_words(item)}</li>" for item in re.split(r"^- ", text, flags=re.M)[1:]) + "</ul>"
    if ENTRIES.match(text):
        entries = re.split(r"(?:\n|;  )(?=\S[^:;\n]* : )", text)
        entries = (re.split(r" : |\n", entry, maxsplit=1) for entry in entries)
        return "<dl>" + "".join(f"<dt>{_words(name)}</dt><dd>{_words(says)}</dd>" for name, says in entries) + "</dl>"
    return f"<p>{_words(text)}</p>"


def _words(text):
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
