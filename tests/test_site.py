"""The site: that its links lead somewhere, that it needs no network, and what its search and its reference have."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest
from masters import astray, dead, outside

import i2pemd_lite
from i2pemd_lite import __main__
from i2pemd_lite.course.about import ledger
from i2pemd_lite.course.publish import pages, reference, render
from i2pemd_lite.course.publish.words import WORDS
from i2pemd_lite.files import root

LARGEST = 60_000_000  # bytes, of the whole site


def names(page):
    return set(re.findall(r'\bid="([^"]*)"', page.read_text(encoding="utf-8")))


def test_no_link_is_dead_and_nothing_is_asked_of_a_network(site):
    every = list(site.rglob("*.html"))
    assert dead(site) == [] and len(every) > 30
    assert {page.name: asked for page in every if (asked := outside(page.read_text(encoding="utf-8")))} == {}
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < LARGEST


def test_the_ledger_that_a_lesson_shows_has_formulas_and_links_that_a_page_can_follow():
    page = render.output({"data": ledger.ledger(only=["eq06"])._repr_mimebundle_()})
    assert astray(page) == [] and "<math " in page and "$" not in page
    assert 'href="03_instance_to_prototype.html#instance-09"' in page and "emd.py:" in page
    links = "<a href='02_one.html'>1</a><a href='#a'>2</a><a href=\"https://a.org\">3</a>"
    assert render.output({"data": {"text/html": f"{links}<a href='runs/a.csv' x>4</a>"}}) == f"{links}4"


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "a.html").write_text('<p id="x"><a href="#y">y</a> <a href="b.html">b</a> <a href="a.html#x">x</a></p>')
    assert dead(tmp_path) == ["a.html: #y", "a.html: b.html"]


def test_the_search_finds_lessons_words_equations_tables_and_names_where_they_are(site):
    index = (site / "search.js").read_text(encoding="utf-8")
    entries, _ = json.JSONDecoder().raw_decode(index, index.index("const docs = ") + len("const docs = "))
    wanted = {}
    for each in entries:
        wanted.setdefault(each["modulename"].replace(".", "/"), set()).add(each.get("qualname"))
    assert [where for where, ids in wanted.items() if ids - names(site / f"{where}.html") - {None}] == []
    found = {each["fullname"]: each.get("doc", "") for each in entries}
    assert found["The words: prototype"].startswith("The mean of the features of a class. You meet it in lesson 00.")
    assert "The equations: Equation 21" in found and "02 · Ground distance: Exercise 02b: the ranks" in found
    assert "How far apart the classes are" in found["i2pemd_lite.ground.prototype_distances"]
    assert any("Table" in doc for name, doc in found.items() if name.startswith("Results on real data"))


def test_every_word_leads_to_the_lesson_that_explains_it(site):
    assert (site / "words.html").read_text(encoding="utf-8").count("You meet it in lesson") == len(WORDS)


def test_every_public_name_is_in_the_reference_and_no_private_one(site):
    every = reference.modules()
    assert not [name for name in every if "._" in name or "__main__" in name]
    assert {"i2pemd_lite.losses", "i2pemd_lite.classification.task", "i2pemd_lite.panels.ground"} < {*every}
    modules = {"emd", "metrics", "segmentation", "classification", "panels"}
    assert {*i2pemd_lite.__all__} - names(site / "i2pemd_lite.html") == modules
    verbs = {"METHODS", "load", "train", "evaluate", "predict", "tables", "resume"}
    assert verbs < reference._module("i2pemd_lite.segmentation").members.keys()
    ground = names(site / "i2pemd_lite" / "ground.html")
    assert {"prototype_distances", "ground_distance"} < ground and "_finite" not in ground


@pytest.mark.parametrize(("docstring", "page"), [
    ("Of (B, *S) and *S.\n\ng = c   (Eq. 3)", "<p>Of (B, *S) and *S.</p>\n<pre>g = c   (Eq. 3)</pre>"),
    ("a = b" + " " * 60 + "(Eq. 3, eq03)", "<pre>a = b   (Eq. 3, eq03)</pre>"),
    ("x : a\n    <b\ny : `z`", "<dl><dt>x</dt><dd>a\n    &lt;b</dd><dt>y</dt><dd><code>z</code></dd></dl>"),
    ("Raises\n------\nBadInput\n    for x", "\n<h6>Raises</h6>\n<dl><dt>BadInput</dt><dd>    for x</dd></dl>"),
    ("- a\n- b", "<ul><li>a\n</li><li>b</li></ul>"),
])  # fmt: skip
def test_a_docstring_is_plain_text_on_a_page(docstring, page):
    assert reference.html(docstring) == page


def test_every_docstring_of_the_module_can_be_shown():
    files = Path(i2pemd_lite.__file__).parent.rglob("*.py")
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    said = [ast.get_docstring(node) for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Module)]
    assert len([reference.html(docstring) for docstring in said if docstring]) > 1000


def test_what_others_wrote_is_no_docstring_of_ours():
    from i2pemd_lite.emd import Transport

    assert Transport.cost.__doc__.startswith("Alias for field")
    module = reference._module("i2pemd_lite.emd")
    assert module.get("Transport.cost").docstring == "" and "cost of a unit" in module.get("Transport.emd").docstring


def test_without_pdoc_no_lesson_is_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pdoc", None)
    monkeypatch.setattr(pages, "executed", None)
    assert __main__.main(["site", "--out", str(tmp_path / "site")]) == 1
    said = capsys.readouterr()
    assert said.err == ("i2pemd_lite: site: expected pdoc, which writes the reference, found none; "
                        "install it with: pip install i2pemd-lite[site]\n")  # fmt: skip
    assert said.out == "" and not (tmp_path / "site").exists()


def test_no_signature_shows_where_the_writer_of_the_site_has_the_course():
    told = [str(each.signature) for each in reference._module("i2pemd_lite.course").flattened_own_members
            if each.kind == "function"]  # fmt: skip
    assert any("notebooks" in signature for signature in told) and str(root()) not in " ".join(told)
