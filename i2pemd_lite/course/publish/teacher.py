"""What only the teacher's copy says: how long each part takes, what to say, and what a wrong answer reveals.

The notes of a lesson stand in `notes/NN.md`: the lesson's own headings with minutes, and under each what to say.

    ## Equation 4: ranks instead of distances (4 min)

    - Let somebody rank a row of four numbers aloud before the formula is on the wall.

What is to be said of an exercise, and of a wrong answer to a question, comes from `exercises/`, so that it stands once.
"""

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from i2pemd_lite.course import exercises
from i2pemd_lite.course.publish import notebooks
from i2pemd_lite.files import BadInput

FOLDER = Path(__file__).parent / "notes"
ASKED = re.compile(r'^(?:predict|estimate|sketch)\(\s*"(p\d\d[a-z])"', flags=re.M)


class Note(NamedTuple):
    """What a teacher needs for one part of a lesson: its heading, minutes, and what to say."""

    heading: str
    minutes: int
    text: str


def notes(number, folder=FOLDER):
    """The `Note`s of a lesson, in their order; none when there is no file for it."""
    path = Path(folder) / f"{number}.md"
    if not path.exists():
        return []
    parts = re.split(r"^## +(.*?)\s*$", path.read_text(encoding="utf-8"), flags=re.M)[1:]
    notes = []
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        timed = re.fullmatch(r"(.*\S) \((\d+) min\)", title)
        if timed is None:
            raise BadInput(f"{path}: expected '## heading (N min)', found '## {title}'; say how long this part takes")
        notes.append(Note(timed[1], int(timed[2]), text.strip()))
    return notes


def contents(notes, notebook):
    """A cell with what the lesson takes, part by part; none when there are no notes."""
    if not notes:
        return []
    entries = {task.name: exercises.find(task.name) for task in map(notebooks.task, notebook["cells"]) if task}
    read, solved = sum(note.minutes for note in notes), sum(each.minutes for each in entries.values())
    rows = ["**For the teacher.** What this lesson takes:", "", "| part | minutes |", "| --- | ---: |"]
    rows += [f"| {note.heading} | {note.minutes} |" for note in notes]
    rows += [f"| exercise {name} ({each.kind}): {each.title} | {each.minutes} |" for name, each in entries.items()]
    rows += [f"| **together** | **{read} + {solved} for the exercises** |"]
    return [notebooks.markdown("teacher-contents", "\n".join(rows))]


def after(cell, notes):
    """The teacher's cells that follow a cell of the master: notes to its headings, on its exercise or its question."""
    named = [note for heading in notebooks.headings(cell) for note in notes if note.heading == heading]
    texts = [f"**For the teacher, {note.minutes} min: {_ended(note.heading)}**\n\n{note.text}" for note in named]
    texts += [_tempting(name) for name in ASKED.findall(cell["source"]) if exercises.tempts(name)]
    if task := notebooks.task(cell):
        texts = [_about(task.name)]
    return [notebooks.markdown(f"{cell['id']}-teacher", "\n\n".join(texts))] if texts else []


def _about(name):
    entry, written = exercises.find(name), _written(name[:2])
    wrong = [f"- `{code}`: {said}" if (code := written[said]) else f"- {said}" for said in entry.mistakes]
    hints = [f"{number}. {hint}" for number, hint in enumerate(entry.hints, 1)]
    return "\n".join([
        f"**For the teacher, exercise {name}, {entry.minutes} min** ({entry.kind}): {_ended(entry.title)}",
        f"\nIt is judged in random cases against {entry.against}.",
        "\nTypical wrong answers, and what is said:\n", *wrong,
        "\nHints, a plainer one after each attempt:\n", *hints,
    ])  # fmt: skip


def _tempting(name):
    said = [f"- {answer}: {why}" for answer, why in exercises.tempts(name).items()]
    return "\n".join([f"**For the teacher, {name}:** wrong answers, and what is said to those who gave them\n", *said])


def _ended(heading):
    """A heading as a sentence, which ends once."""
    return heading if heading.endswith(("?", "!", ".")) else f"{heading}."


@cache
def _written(number):
    """{sentence: code} of the typical mistakes of a lesson, as its file has them."""
    tree = ast.parse((Path(exercises.__file__).parent / f"lesson{number}.py").read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    tables = [node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "mistakes"]
    return {ast.literal_eval(said): _code(function, functions)
            for table in tables for said, function in zip(table.keys, table.values, strict=True)}  # fmt: skip


def _code(node, functions):
    """A function's result in one line: of a lambda its expression, of a name the lines of its `def`; "" where it needs
    more lines, or functions of its file, which nobody would write."""
    node = functions.get(node.id, node) if isinstance(node, ast.Name) else node
    for part in ast.walk(node):
        if isinstance(part, ast.If | ast.For | ast.While) or isinstance(part, ast.Name) and part.id.startswith("_"):
            return ""
    if isinstance(node, ast.FunctionDef):
        return "; ".join(map(ast.unparse, node.body[ast.get_docstring(node) is not None :]))
    return ast.unparse(node.body if isinstance(node, ast.Lambda) else node)
