"""The words of the course: where a lesson first uses one, its copies and pages say what it means."""

import re

import pytest

from i2pemd_lite.course.publish import copies, notebooks, pages
from i2pemd_lite.course.publish.words import WORDS, explained

LESSONS = notebooks.lessons()


def told(notebook):
    """{what is explained: its meaning} in the text of a notebook."""
    text = "\n".join(cell["source"] for cell in notebook["cells"] if notebooks.is_text(cell))
    return dict((said, title) for title, said in re.findall(r'<abbr title="([^"]*)">([^<]*)</abbr>', text))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_copies_explain_each_word_once_and_change_nothing_else(path):
    master = notebooks.read(path)
    for copy in (copies.student(copies.source(master, path.name)), copies.instructor(master, path.name)):
        found = told(copy)
        assert len(found) >= 3
        plain = {said: " ".join(said.split()) for said in found}
        assert all(found[said] == WORDS.get(word, WORDS.get(word.lower())) for said, word in plain.items())
        assert len(set(found.values())) == len(found)
    assert not told(master)
    texts = [cell["source"] for cell in notebooks.changed(master, str)["cells"] if notebooks.is_text(cell)]
    again = explained(explained(texts))
    assert again == explained(texts) and [re.sub(r"</?abbr[^>]*>", "", text) for text in again] == texts


def test_every_word_is_one_of_a_lesson():
    met = set().union(*(told(notebooks.spoken(notebooks.read(path), path.name)).values() for path in LESSONS))
    assert set(WORDS.values()) == met


APART = ["`seed`", "$seed$", "# The seed", "[seed](seed.md)", "| seed |", "seeded", "<b a='seed'>"]


@pytest.mark.parametrize("text", APART)
def test_code_formulas_headings_links_tables_and_longer_words_stay(text):
    assert explained([text, "A seed."]) == [text, f'A <abbr title="{WORDS["seed"]}">seed</abbr>.']


def test_a_page_tells_it_to_a_mouse():
    cells = [notebooks.markdown("a-01", "# 02 · Title\n\nThe prototypes move.")]
    page = pages.lesson({"cells": cells}, LESSONS[2])
    assert f'The <abbr title="{WORDS["prototype"]}">prototype</abbr>s move.' in page
