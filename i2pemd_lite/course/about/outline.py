"""The outline of the course: its lessons with their times, and how they fill two, three or four sessions."""

import re
from functools import cache
from html import escape
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from i2pemd_lite.course import exercises
from i2pemd_lite.course.publish import notebooks, teacher
from i2pemd_lite.files import BadInput
from i2pemd_lite.tables import report

QUESTIONS = {
    "00": "What is the whole idea, on one picture?",
    "01": "What is the cheapest way to carry one heap into another?",
    "02": "What does it cost to mistake one class for another?",
    "03": "What is the price of one prediction, and where does its gradient push?",
    "04": "How do the prototypes follow a network that learns?",
    "05": "Does it help CT and MR to learn together?",
    "06": "Does it help to choose which pseudo-labels to trust?",
    "07": "How far do the paper's tables hold, and what would it take to know?",
    "08": "How does it enter your own model, data and machines?",
    "09": "Why is the loss slow when it is readable, and how does it become fast?",
}
SESSIONS = {  # the lessons of each session; the others are for home
    2: (("00", "01", "02", "03"), ("04", "05", "06")),
    3: (("00", "01", "02"), ("03", "04", "05"), ("06", "07")),
    4: (("00", "01"), ("02", "03"), ("04", "05"), ("06", "07")),
}
HEADER = ("", "lesson", "question", "reading", "in class", "exercises", "laptop", "equations")


class Lesson(NamedTuple):
    """A lesson: its number "02", title, file, cells with whole sources, minutes of reading, and times of running."""

    number: str
    title: str
    path: Path
    cells: tuple
    reading: int
    running: str


@cache
def lessons(folder=None):
    """All lessons of a folder, in order; by default those of the project."""
    return tuple(map(_read, notebooks.lessons(folder=folder)))


def _read(path):
    cells = tuple(notebooks.read(path)["cells"])
    title = re.search(r"^# \d\d · (.+)", cells[0]["source"], flags=re.M)
    times = re.search(r"^Reading: (\d+) minutes\. Running: (.+)", cells[0]["source"], flags=re.M)
    if not title or not times:
        first = "a first cell with '# NN · Title' and a line 'Reading: N minutes. Running: …'"
        raise BadInput(f"{path}: expected {first}, found none; write them")
    return Lesson(path.name[:2], title[1], path, cells, int(times[1]), times[2])


def rows():
    """One row a lesson, in the order of `HEADER`: reading is that of the text, aloud."""
    for lesson in lessons():
        in_class, practice, laptop = _times(lesson)
        times = f"{lesson.reading} min", f"{in_class} min", f"{len(exercises.of_lesson(lesson.number))}, {practice} min"
        equations = {int(n) for cell in lesson.cells for n in re.findall(r"`eq(\d\d)`", cell["source"])}
        yield lesson.number, lesson.title, QUESTIONS[lesson.number], *times, laptop, _ranges(sorted(equations))


def _times(lesson):
    """Minutes in class, as the notes for teachers have it, and of its exercises; how long it runs, such as "8 min"."""
    in_class = sum(note.minutes for note in teacher.notes(lesson.number))
    practice = sum(each.minutes for each in exercises.of_lesson(lesson.number).values())
    return in_class, practice, re.search(r"laptop (?:about )?(\d+ (?:s|min))", lesson.running)[1]


def _ranges(numbers):
    """Numbers as short as they can be written: 1–2, 6–8, 20."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def sessions(count):
    """The lessons of each session and its minutes: in class, exercises, and the trainings that one waits for."""
    minutes = {}
    for lesson in lessons():
        in_class, practice, laptop = _times(lesson)
        time, unit = laptop.split()
        minutes[lesson.number] = in_class + practice + (int(time) if unit == "min" else 0)
    return [(taught, sum(minutes.get(number, 0) for number in taught)) for taught in SESSIONS[count]]


def _plans():
    for count in SESSIONS:
        parts = [f"{', '.join(taught)} ({n // 60} h {n % 60:02d})" for taught, n in sessions(count)]
        rest = sorted(set(QUESTIONS) - {number for taught in SESSIONS[count] for number in taught})
        yield f"- {count} sessions: {'; '.join(parts)}. At home: {', '.join(rest)}."


def _linked(link, written=str):
    """The rows, each title as a link to its lesson: `link` has places for {title} and {file}."""
    for row, lesson in zip(rows(), lessons(), strict=True):
        number, title, *more = map(written, row)
        yield [number, link.format(title=title, file=lesson.path.name), *more]


def markdown():
    """The outline as Markdown, with links to the lessons; notebooks/README.md holds it."""
    return "\n".join([report.markdown(HEADER, _linked("[{title}]({file})")), "", *_plans()])


def outline():
    """The outline in a notebook: a table with links, and the sessions of a course."""
    return _Outline()


class _Outline:
    def __repr__(self):
        return "\n".join([*report.lines([HEADER, *rows()]), "", *_plans()])

    def _repr_html_(self):
        table = report.html_table(HEADER, _linked("<a href='{file}'>{title}</a>", escape))
        return f"{table}<ul>{''.join(f'<li>{plan[2:]}</li>' for plan in _plans())}</ul>"
