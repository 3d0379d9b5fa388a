"""The outline of the course says of each lesson what the lesson says of itself; notebooks/README.md holds it."""

import json
import re
from pathlib import Path

import pytest

from i2pemd_lite.course import exercises
from i2pemd_lite.course.about import outline
from i2pemd_lite.course.about.outline import lessons
from i2pemd_lite.course.publish import teacher
from i2pemd_lite.files import BadInput

ROOT = Path(__file__).parent.parent


def test_the_readme_of_the_lessons_holds_the_outline():
    page = ROOT / "notebooks" / "README.md"
    assert outline.markdown() in page.read_text(encoding="utf-8"), "python -m i2pemd_lite outline"


def test_equations_in_a_row_are_written_as_a_range():
    assert outline._ranges([1, 2, 6, 7, 8, 20]) == "1–2, 6–8, 20"


def test_lesson_00_shows_it():
    assert any(cell["source"] == "outline()" for cell in lessons()[0].cells)


def test_every_lesson_has_a_question_and_a_place():
    numbers = [lesson.number for lesson in lessons()]
    assert numbers == list(outline.QUESTIONS) == [f"{n:02d}" for n in range(10)]
    for count, sessions in outline.SESSIONS.items():
        taught = [number for session in sessions for number in session]
        assert len(sessions) == count and taught == sorted(set(taught)) and set(taught) <= set(numbers)


@pytest.mark.parametrize("count", outline.SESSIONS)
def test_a_session_takes_what_its_parts_take(count):
    for taught, minutes in outline.sessions(count):
        expected = 0
        for lesson in lessons():
            if lesson.number in taught:
                expected += sum(note.minutes for note in teacher.notes(lesson.number))
                expected += sum(each.minutes for each in exercises.of_lesson(lesson.number).values())
                waiting = re.search(r"laptop (?:\d+ to )?(\d+) min", lesson.running)
                expected += int(waiting[1]) if waiting else 0
        assert minutes == expected
        assert 60 <= minutes <= 4 * 60  # what one can sit through


def test_in_a_notebook_it_has_links_and_in_a_terminal_it_fits():
    shown = outline.outline()
    assert shown._repr_html_().count("<a href='") == len(lessons())
    assert all(len(line) <= 170 for line in repr(shown).splitlines())


SILENT = ("# 02 · Title", "Reading: 9 minutes. Running: ci 3 s.", "# 02 · Title\n\nReading: soon.")


@pytest.mark.parametrize("opening", SILENT)
def test_a_lesson_that_does_not_say_its_time_is_named(tmp_path, opening):
    cells = [{"cell_type": "markdown", "source": [opening]}]
    (tmp_path / "02_x.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    with pytest.raises(BadInput, match=r"02_x\.ipynb: expected a first cell"):
        lessons(tmp_path)
    with pytest.raises(BadInput, match="expected the lessons"):
        lessons(tmp_path / "nowhere")
