"""The commands of the course: doctor | ledger | outline | readings | lessons | pages | release | work | report."""

import re
from functools import partial
from pathlib import Path

from i2pemd_lite.files import BadInput

_say = partial(print, flush=True)


def doctor(_):
    """Say what is installed and what is found, and for each thing that is missing what to do."""
    from i2pemd_lite.course.about import doctor

    lines = doctor.examine()
    print(doctor.report(lines))
    return int(any(line.todo for line in lines))


def ledger(chosen):
    """Compute every numbered equation of the paper twice, and say where it lives and in which lesson it is met."""
    from i2pemd_lite.course.about import ledger

    rows = ledger.ledger(notebooks=chosen.notebooks or ledger.NOTEBOOKS, seed=chosen.seed)
    print(rows)
    return 0 if rows.right else 1


def outline(_):
    """Print the outline of the course, with the time that each lesson takes, as Markdown."""
    from i2pemd_lite.course.about import outline

    print(outline.markdown())
    return 0


def readings(chosen):
    """Print where the paper is silent or says two things, where each setting comes from, and what a profile sets."""
    from i2pemd_lite import classification, segmentation
    from i2pemd_lite.panels import readings
    from i2pemd_lite.tables import choices

    tasks = {"segmentation": segmentation, "classification": classification}
    parts = {"The paper's passages": readings.table()}
    parts |= {f"Settings of {name}": choices.table(task) for name, task in tasks.items()}
    if chosen.word:
        parts = {title: found for title, table in parts.items() if (found := _about(chosen.word, table))}
        if not parts:
            raise BadInput(f"{chosen.word}: expected a word that readings has, found none; leave it out to see all")
    else:
        parts |= {f"Profiles of {name}": choices.profiles(task) for name, task in tasks.items()}
    for title, found in parts.items():
        print(f"{title}\n{'-' * len(title)}\n{found}\n")
    return 0


def _about(word, table):
    """The part of a table of rows that have the word in them, as it is printed."""
    says = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
    return type(table)(row for row in table if says.search(str(type(table)([row]))))


def lessons(chosen):
    """Run the lessons and write them as pages, for readers without a kernel or a network."""
    from i2pemd_lite.course.publish import pages

    pages.write(chosen.out, chosen.lessons, say=_say)
    return 0


def pages(chosen):
    """Write a small notebook for each panel that needs no data, for Voilà to serve as a page."""
    from i2pemd_lite.course.publish import voila

    for path in voila.write(chosen.out):
        _say(path)
    return 0


def release(chosen):
    """Write the copies of the lessons: for students, for teachers, slides, and for nbgrader."""
    from i2pemd_lite.course.publish import badges, copies

    where = badges.repository(chosen.repository) if chosen.repository else badges.origin()
    wanted = chosen.only or copies.COPIES
    copies.release(chosen.out, chosen.lessons, wanted, where, say=_say)
    if where and "student" in wanted:
        _say(badges.to_do(where, chosen.out / "student"))
    return 0


def work(_):
    """Write the lessons without solutions into work/, those that are not there yet: a learner's own copies."""
    from i2pemd_lite.course.publish import copies

    copies.working()
    for path in copies.outdated():
        _say(f"{path}: imports what its lesson does not, as another version did; if its first cell fails, move it away "
             "and start again: a new copy is written")  # fmt: skip
    return 0


def report(chosen):
    """A folder of hand-ins as a table, a picture of where the class struggled, and a few sentences."""
    from i2pemd_lite.course.record import classroom

    words, left_out = classroom.report(chosen.folder, chosen.out)
    print(f"{words}\n\nwritten to {chosen.out}: class.csv, class.png, class.txt")
    return 1 if left_out else 0


def add(command):
    """Add these commands to a parser; `command(function)` makes the part of the parser that is one's own."""
    command(doctor)
    sub = command(ledger)
    sub.add_argument("--seed", type=int, default=0, help="of the random inputs; default: 0")
    sub.add_argument("--notebooks", type=Path, metavar="FOLDER", help="default: those beside the module")
    command(outline)
    sub = command(readings)
    sub.add_argument("word", nargs="?", help="only what has it, such as SRC-MT or Dou; default: all")
    for function, folder in ((lessons, "lessons"), (pages, "pages"), (release, "course")):
        sub = command(function)
        if function is not pages:
            sub.add_argument("lessons", nargs="*", help="numbers, such as 02; default: all")
        sub.add_argument("--out", type=Path, default=Path("out") / folder, help=f"folder; default: out/{folder}")
    words = {"type": lambda text: tuple(text.split(",")), "metavar": "COPY,COPY"}
    sub.add_argument("--only", **words, help="of student, instructor, slides, source")
    where = "public, https://github.com/OWNER/NAME, for links to Colab and Binder; default: origin, if it is"
    sub.add_argument("--repository", metavar="URL", help=where)
    command(work)
    sub = command(report)
    sub.add_argument("folder", type=Path, help="a folder of files that progress.save wrote")
    sub.add_argument("--out", type=Path, default=Path("out/class"), help="where to write; default: out/class")
