"""The commands of the course: each a function, and in `COMMANDS` what can be said to it."""

import importlib.util
import os
import re
import sys
from functools import partial
from pathlib import Path

from i2pemd_lite.course.publish import badges, copies, updates
from i2pemd_lite.files import BadInput, home, root, write_text

_say = partial(print, flush=True)


def words(text):
    """What is given as words with commas between them."""
    return tuple(text.split(","))


def doctor(_):
    """Say what is installed and what is found, and for each thing that is missing what to do."""
    from i2pemd_lite.course.about import doctor

    lines = doctor.doctor()
    print(lines)
    return any(line.todo for line in lines)


def ledger(chosen):
    """Compute every numbered equation of the paper twice, and say where it lives and in which lesson it is met."""
    from i2pemd_lite.course.about import ledger

    rows = ledger.ledger(chosen.notebooks, chosen.seed)
    print(rows)
    return any(row.wrong for row in rows)


def outline(_):
    """Print the outline of the course, with the time that each lesson takes, and its words, as Markdown."""
    from i2pemd_lite.course.about import outline

    print(outline.markdown())


def readings(chosen):
    """Print where the paper is silent or says two things, where each setting comes from, and what a profile sets."""
    from i2pemd_lite import classification, segmentation
    from i2pemd_lite.panels import readings
    from i2pemd_lite.tables import choices

    tasks = {"segmentation": segmentation, "classification": classification}
    tables = {"The paper's passages": readings.table()}
    tables |= {f"Settings of {name}": choices.table(task) for name, task in tasks.items()}
    if chosen.word:
        says = re.compile(rf"(?<!\w){re.escape(chosen.word)}(?!\w)", re.IGNORECASE)
        for title, table in tables.items():
            tables[title] = type(table)(row for row in table if says.search(table.text(row)))
        if not any(tables.values()):
            raise BadInput(f"{chosen.word}: expected a word that readings has, found none; leave it out to see all")
    else:
        tables |= {f"Profiles of {name}": choices.profiles(task) for name, task in tasks.items()}
    for title, table in tables.items():
        if table:
            print(f"{title}\n{'-' * len(title)}\n{table}\n")


def lessons(chosen):
    """Run the lessons and write them as pages, for readers without a kernel or a network."""
    from i2pemd_lite.course.publish import pages

    pages.write(_to(chosen, "lessons"), chosen.lessons, say=_say)


def site(chosen):
    """Write the course as one folder, for any host or a stick: lessons, slides, words, equations, tables, reference."""
    from i2pemd_lite.course.publish import site

    site.write(_to(chosen, "site"), say=_say)


def release(chosen):
    """Write the copies of the lessons: for students, for teachers, slides, and for nbgrader."""
    where = badges.repository(chosen.repository) if chosen.repository else badges.origin()
    wanted = chosen.only or copies.COPIES
    copies.release(out := _to(chosen, "course"), chosen.lessons, wanted, where, say=_say)
    if where and "student" in wanted:
        _say(f"The badges lead to {where.url}/tree/{where.branch}/{where.folder}: commit what is in "
             f"{out / 'student'} there\n"
             f"as {where.folder}/ (another place: --repository {where.url}/tree/BRANCH/FOLDER).")  # fmt: skip


def ship(chosen):
    """Train the runs that come with the course anew, or say whether those that are there still fit."""
    from i2pemd_lite.course.publish import shipped

    shipped.ship(chosen.lessons, chosen.check, say=_say)


def work(chosen):
    """Write the lessons without solutions into work/, a learner's own copies, or bring those there up to date."""
    for said in updates.working(chosen.lessons, chosen.fresh, chosen.restore):
        _say(said)


def clean(chosen):
    """What was written on this disk, and remove what can be made again; answers, runs and results never."""
    from i2pemd_lite.course.about import kept

    found = kept.kept()
    again = [each for each in found if each.again]
    for title, part in (("Can be made again", again), ("Stays", [each for each in found if not each.again])):
        print(title + ":", *part or ["nothing"], sep="\n")
    asked = again and not chosen.yes and sys.stdin.isatty() and input("Remove what can be made again? [y/N] ")
    if again and (chosen.yes or asked and asked.lower() in ("y", "yes")):
        print(f"removed {sum(each.size for each in kept.remove(again)) / 2**20:.1f} MiB")
    elif again:
        print("Nothing was removed; clean --yes removes what can be made again.")


def lab(words):
    """JupyterLab on your own copies of the lessons, with --solutions on the lessons themselves; without news pop-ups.

    --home FOLDER says where they and all that you write are, with any command; further words are JupyterLab's.
    """
    words, solved = [word for word in words if word != "--solutions"], "--solutions" in words
    if not (program := importlib.util.find_spec("jupyterlab")):
        raise BadInput("lab: expected JupyterLab, found none; install it with: pip install i2pemd-lite[lab]")
    place = home()
    own = Path(sys.prefix) if place == root() else place / ".lab"
    try:
        news = own / "jupyter-settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
        write_text(news, '{"fetchNews": "false", "checkForUpdates": false}\n')
    except OSError as error:
        found = f"found: {error.strerror}; choose another folder by --home"
        raise BadInput(f"{place}: expected a folder to write to, {found}") from None
    if not os.path.exists(program.cached):  # uv and uvx leave that to the first start
        _say("Python has not compiled JupyterLab here yet, so this start takes up to two minutes.")
    from jupyterlab.labapp import main as start

    if place != root():
        _say(f"What you write is kept in {place}.")
    if not solved:
        for said in updates.working():
            _say(said)
    for name, value in {
        "I2PEMD_HEADLESS": 0,  # somebody answers, in the profile ci too
        # Threads that wait for each other leave their core to others sooner (Linux's OpenMP). On two cores a step of
        # training took 130 to 200 ms in place of 400 to 900 beside two busy processes, alone 1.15 times as long.
        "GOMP_SPINCOUNT": 10_000,
    }.items():
        os.environ.setdefault(name, str(value))
    return start([
        f"--ServerApp.root_dir={root() if solved else place}",
        f"--LabApp.default_url=/lab/tree/{'notebooks' if solved else 'work'}/00_start_here.ipynb",
        f"--LabApp.user_settings_dir={own / 'jupyter-settings'}",
        f"--LabApp.workspaces_dir={own / 'jupyter-workspaces'}",  # else the tabs of another clone open here
        # Of two learners who start at once Jupyter would tell both that the first free port from 8888 on is theirs.
        *(["--ServerApp.port=0"] if place != root() else []),
        "--LanguageServerManager.autodetect=False",  # which would list a dozen servers that are not installed
        *(["--allow-root"] if hasattr(os, "geteuid") and not os.geteuid() else []),
        *words,
    ])  # fmt: skip


def report(chosen):
    """A folder of hand-ins as a table, a picture of where the class struggled, and a few sentences."""
    from i2pemd_lite.course.record import classroom

    words, left_out = classroom.report(chosen.folder, chosen.out)
    print(f"{words}\n\nwritten to {chosen.out}: class.csv, class.svg, class.txt")
    return bool(left_out)


def _to(chosen, folder):
    return chosen.out or (Path() if home() == root() else home()) / "out" / folder


def _out(folder):
    return {"type": Path, "help": f"folder; default: out/{folder}, of a home of your own where there is one"}


LESSONS = {"nargs": "*", "help": "numbers, such as 02; default: all"}
WHERE = "public, https://github.com/OWNER/NAME, for links to Colab and Binder; default: origin, if it is"
COMMANDS = {  # {command: {what can be said to it: what that means}}
    doctor: {},
    ledger: {
        "--seed": {"type": int, "default": 0, "help": "of the random inputs; default: 0"},
        "--notebooks": {"type": Path, "metavar": "FOLDER", "help": "default: those beside the module"},
    },
    outline: {},
    readings: {"word": {"nargs": "?", "help": "only what has it, such as SRC-MT or Dou; default: all"}},
    lessons: {"lessons": LESSONS, "--out": _out("lessons")},
    site: {"--out": _out("site")},
    release: {
        "lessons": LESSONS,
        "--out": _out("course"),
        "--only": {"type": words, "metavar": "COPY,COPY", "help": "of student, instructor, pages, slides, source"},
        "--repository": {"metavar": "URL", "help": WHERE},
    },
    ship: {
        "lessons": {"nargs": "*", "help": "05, 06 or 07; default: all three"},
        "--check": {"action": "store_true", "help": "write nothing; do those in data/runs still fit?"},
    },
    lab: {},
    work: {
        "lessons": LESSONS,
        "--fresh": {"action": "store_true", "help": "write them anew, and keep those that you worked in beside"},
        "--restore": {"action": "store_true", "help": "also bring cells back that you deleted"},
    },
    clean: {"--yes": {"action": "store_true", "help": "remove what can be made again, without a question"}},
    report: {
        "folder": {"type": Path, "help": "a folder of files that progress.save wrote"},
        "--out": {"type": Path, "default": Path("out/class"), "help": "where to write; default: out/class"},
    },
}
