"""The outline of the course: its lessons with their times, the sessions that they fill, and the words that they use."""

import re
from functools import cache
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from i2pemd_lite.course import exercises
from i2pemd_lite.course.publish import notebooks, teacher
from i2pemd_lite.course.publish.words import WORDS
from i2pemd_lite.files import BadInput
from i2pemd_lite.tables import report

QUESTIONS = {
    "00": "What is the whole idea, on one picture?",
    "01": "What is the cheapest way to carry one pile into another?",
    "02": "What does it cost to mistake one class for another?",
    "03": "What is the price of one prediction, and where does its gradient push?",
    "04": "How do the prototypes follow a network that learns?",
    "05": "Does it help CT and MR to learn together?",
    "06": "Does it help to choose which pseudo-labels to trust?",
    "07": "How far do the paper's tables hold, and what would it take to know?",
    "08": "How do you use it with your own model, data and machines?",
    "09": "Why is the loss slow when it is readable, and how does it become fast?",
}
SESSIONS = {  # the lessons of each session; the others are for home
    2: (("00", "01", "02", "03"), ("04", "05", "06")),
    3: (("00", "01", "02"), ("03", "04", "05"), ("06", "07")),
    4: (("00", "01"), ("02", "03"), ("04", "05"), ("06", "07")),
}
HEADER = ("", "lesson", "question", "reading", "in class", "exercises", "laptop", "equations")


class Lesson(NamedTuple):
    """A lesson: its number "02", title, file, and cells with whole sources; then minutes of reading it aloud, of class
    by the notes for teachers, and of its exercises; how long it runs in each profile, and on a laptop ("8 to 16 min").
    """

    number: str
    title: str
    path: Path
    cells: tuple
    reading: int
    in_class: int
    practice: int
    running: str
    laptop: str


@cache
def lessons(folder=None):
    """All lessons of a folder, in order; by default those of the project."""
    return tuple(map(_read, notebooks.lessons(folder=folder)))


def _read(path):
    number, cells = path.name[:2], tuple(notebooks.read(path)["cells"])
    title = re.search(r"^# \d\d · (.+)", cells[0]["source"], flags=re.M)
    times = re.search(r"^Reading: (\d+) minutes\. Running: (.+)", cells[0]["source"], flags=re.M)
    if not title or not times:
        first = "a first cell with '# NN · Title' and a line 'Reading: N minutes. Running: …'"
        raise BadInput(f"{path}: expected {first}, found none; write them")
    in_class = sum(note.minutes for note in teacher.notes(number))
    practice = sum(each.minutes for each in exercises.of_lesson(number).values())
    laptop = re.search(r"laptop (?:about )?((?:\d+ to )?\d+ (?:s|min))", times[2])[1]
    return Lesson(number, title[1], path, cells, int(times[1]), in_class, practice, times[2], laptop)


def rows(link="{title}", written=str):
    """One row a lesson, in the order of `HEADER`, each cell as it is `written`; the title in a `link` that has places
    for {title} and {file}."""
    for each in lessons():
        practice = f"{len(exercises.of_lesson(each.number))}, {each.practice} min"
        equations = {int(n) for cell in each.cells for n in re.findall(r"`eq(\d\d)`", cell["source"])}
        title = link.format(title=written(each.title), file=each.path.name)
        times = f"{each.reading} min", f"{each.in_class} min", practice, each.laptop
        yield each.number, title, *map(written, (QUESTIONS[each.number], *times, _ranges(sorted(equations))))


def _ranges(numbers):
    """Numbers as short as they can be written: 1–2, 6–8, 20."""
    runs = [[n for _, n in run] for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def sessions(count):
    """The lessons of each session and its minutes: in class, exercises, and the trainings that one waits for."""
    minutes = {}
    for each in lessons():
        *_, time, unit = each.laptop.split()  # the longest: a class waits for the slowest
        minutes[each.number] = each.in_class + each.practice + int(time) * (unit == "min")
    return [(taught, sum(minutes.get(number, 0) for number in taught)) for taught in SESSIONS[count]]


def _plans():
    for count in SESSIONS:
        parts = [f"{', '.join(taught)} ({n // 60} h {n % 60:02d})" for taught, n in sessions(count)]
        rest = sorted(set(QUESTIONS) - {number for taught in SESSIONS[count] for number in taught})
        yield f"- {count} sessions: {'; '.join(parts)}. At home: {', '.join(rest)}."


def markdown():
    """The outline as Markdown, with links to the lessons, and the `WORDS`; notebooks/README.md holds it."""
    words = ["", "## Words", "", *(f"- **{word}**: {meaning}" for word, meaning in WORDS.items())]
    return "\n".join([report.markdown(HEADER, rows("[{title}]({file})")), "", *_plans(), *words])


def outline() -> Any:
    """The outline in a notebook: a table with links, and the sessions of a course."""
    return _Outline()


class _Outline:
    def __repr__(self):
        return "\n".join([*report.lines([HEADER, *rows()]), "", *_plans()])

    def _repr_html_(self):
        table = report.html_table(HEADER, rows("<a href='{file}'>{title}</a>", escape))
        return f"{table}<ul>{''.join(f'<li>{plan[2:]}</li>' for plan in _plans())}</ul>"
