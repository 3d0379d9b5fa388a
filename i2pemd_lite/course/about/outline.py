"""The outline of the course: its lessons with their times, and how they fill two, three or four sessions."""

import re
from html import escape

from i2pemd_lite.course import exercises
from i2pemd_lite.course.about.lessons import lessons
from i2pemd_lite.course.publish import teacher

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


def rows():
    """One row a lesson, in the order of `HEADER`.

    Reading is that of the text, aloud; in class there is time to predict, to move and to talk, as the notes for
    teachers have it. Exercises are how many, and their minutes.
    """
    return [
        (
            lesson.number,
            lesson.title,
            QUESTIONS[lesson.number],
            f"{lesson.reading} min",
            f"{_in_class(lesson.number)} min",
            f"{len(_exercises(lesson.number))}, {_practice(lesson.number)} min",
            _laptop(lesson),
            _ranges(_equations(lesson)),
        )
        for lesson in lessons()
    ]


def sessions(count):
    """The lessons of each session and its minutes: in class, exercises, and the trainings that one waits for.

    Example
    -------
    >>> [taught for taught, minutes in sessions(2)]
    [('00', '01', '02', '03'), ('04', '05', '06')]
    """
    known = {lesson.number: lesson for lesson in lessons()}
    return [
        (taught, sum(_in_class(n) + _practice(n) + _waiting(known[n]) for n in taught if n in known))
        for taught in SESSIONS[count]
    ]


def markdown():
    """The outline as Markdown, with links to the lessons; notebooks/README.md holds it."""
    named = {lesson.number: f"[{lesson.title}]({lesson.path.name})" for lesson in lessons()}
    table = [HEADER, ("---",) * len(HEADER), *((n, named[n], *row) for n, _, *row in rows())]
    return "\n".join(f"| {' | '.join(row)} |" for row in table) + "\n\n" + "\n".join(_plans())


def _plans():
    home = set(QUESTIONS)
    for count in SESSIONS:
        parts = [f"{', '.join(taught)} ({_hours(minutes)})" for taught, minutes in sessions(count)]
        rest = sorted(home - {n for taught in SESSIONS[count] for n in taught})
        yield f"- {count} sessions: {'; '.join(parts)}. At home: {', '.join(rest)}."


def _hours(minutes):
    return f"{minutes // 60} h {minutes % 60:02d}"


def _exercises(number):
    return exercises.of_lesson(number) if number in exercises.lessons() else {}


def _in_class(number):
    return sum(note.minutes for note in teacher.notes(number))


def _practice(number):
    return sum(each.minutes for each in _exercises(number).values())


def _laptop(lesson):
    return re.search(r"laptop (?:about )?(\d+ (?:s|min))", lesson.running)[1]


def _waiting(lesson):
    count, unit = _laptop(lesson).split()
    return int(count) if unit == "min" else 0


def _equations(lesson):
    text = "\n".join(cell["source"] for cell in lesson.cells)
    return sorted({int(n) for n in re.findall(r"`eq(\d\d)`", text)})


def _ranges(numbers):
    """Numbers as short as they can be written.

    Example
    -------
    >>> _ranges([1, 2, 6, 7, 8, 20])
    '1–2, 6–8, 20'
    """
    runs = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def outline():
    """The outline in a notebook: a table with links, and the sessions of a course."""
    return _Outline()


class _Outline:
    def __repr__(self):
        table = [HEADER, *rows()]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(word.ljust(n) for word, n in zip(row, widths, strict=True)).rstrip() for row in table]
        return "\n".join([*lines, "", *_plans()])

    def _repr_html_(self):
        files = {lesson.number: lesson.path.name for lesson in lessons()}
        head = "".join(f"<th style='text-align:left'>{word}</th>" for word in HEADER)
        body = "".join(
            f"<tr><td>{n}</td><td style='text-align:left'><a href='{files[n]}'>{escape(title)}</a></td>"
            + "".join(f"<td style='text-align:left'>{escape(word)}</td>" for word in row)
            + "</tr>"
            for n, title, *row in rows()
        )
        plans = "".join(f"<li>{plan.removeprefix('- ')}</li>" for plan in _plans())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><ul>{plans}</ul>"
