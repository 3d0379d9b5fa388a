"""What only the teacher's copy says: how long each part takes, what to say, and what a wrong answer reveals.

The notes of a lesson stand in `notes/NN.md`: the lesson's own headings with minutes, and under each what to say.

    ## Equation 4: ranks instead of distances (4 min)

    - Let somebody rank a row of four numbers aloud before the formula is on the wall.

What is to be said of an exercise comes from its entry in `exercises/`, so that it stands once.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from i2pemd_lite.course import exercises
from i2pemd_lite.course.publish import notebooks
from i2pemd_lite.files import BadInput

FOLDER = Path(__file__).parent / "notes"


@dataclass(frozen=True)
class Note:
    """What a teacher needs for one part of a lesson: its heading, minutes, and what to say."""

    heading: str
    minutes: int
    text: str


def notes(number, folder=FOLDER):
    """The `Note`s of a lesson, in their order; none when there is no file for it.

    Example
    -------
    >>> notes("02")[0].heading
    'You will be able to'
    """
    path = Path(folder) / f"{number}.md"
    if not path.exists():
        return []
    parts = re.split(r"^## +(.*?)\s*$", path.read_text(encoding="utf-8"), flags=re.M)[1:]
    found = []
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        timed = re.fullmatch(r"(.*\S) \((\d+) min\)", title)
        if timed is None:
            raise BadInput(f"{path}: expected '## heading (N min)', found '## {title}'; say how long this part takes")
        found.append(Note(timed[1], int(timed[2]), text.strip()))
    return found


def contents(notes, notebook):
    """A cell with what the lesson takes, part by part; none when there are no notes."""
    if not notes:
        return []
    tasks = [task for task in map(notebooks.task, notebook["cells"]) if task]
    found = [(task.name, entry) for task in tasks if (entry := _exercise(task.name))]
    rows = [f"| {note.heading} | {note.minutes} |" for note in notes]
    rows += [f"| exercise {name} ({entry.kind}): {entry.title} | {entry.minutes} |" for name, entry in found]
    read, solved = sum(note.minutes for note in notes), sum(entry.minutes for _, entry in found)
    rows += [f"| **together** | **{read} + {solved} for the exercises** |"]
    top = ["**For the teacher.** What this lesson takes:", "", "| part | minutes |", "| --- | ---: |"]
    return [notebooks.markdown("teacher-contents", "\n".join(top + rows))]


def after(cell, notes):
    """The teacher's cells that follow a cell of the master: notes to its headings, or on its exercise."""
    task = notebooks.task(cell)
    if task is not None:
        entry = _exercise(task.name)
        return [notebooks.markdown(f"{cell['id']}-teacher", _about(task.name, entry))] if entry else []
    named = [note for heading in notebooks.headings(cell) for note in notes if note.heading == heading]
    texts = (f"**For the teacher, {note.minutes} min: {_ended(note.heading)}**\n\n{note.text}" for note in named)
    text = "\n\n".join(texts)
    return [notebooks.markdown(f"{cell['id']}-teacher", text)] if text else []


def _exercise(name):
    try:
        return exercises.find(name)
    except BadInput:
        return None


def _about(name, entry):
    written = _written(name)
    lines = [f"**For the teacher, exercise {name}, {entry.minutes} min** ({entry.kind}): {_ended(entry.title)}", ""]
    lines += [f"It is judged in random cases against {entry.against}.", ""]
    lines += ["Typical wrong answers, and what is said:", ""]
    lines += [f"- `{code}`: {said}" if (code := written.get(said)) else f"- {said}" for said in entry.mistakes]
    lines += ["", "Hints, a plainer one after each attempt:", ""]
    lines += [f"{number}. {hint}" for number, hint in enumerate(entry.hints, 1)]
    return "\n".join(lines)


def _ended(heading):
    """A heading as a sentence, which ends once.

    Example
    -------
    >>> _ended("Is G a distance?"), _ended("Equation 4, with ties")
    ('Is G a distance?', 'Equation 4, with ties.')
    """
    return heading if heading.endswith(("?", "!", ".")) else f"{heading}."


def _written(name):
    """{sentence: code} of the typical mistakes of an exercise, as its file has them; "" where it needs other functions
    of that file, which nobody would write.

    Example
    -------
    >>> [code for code in _written("02a").values() if "mean" in code]
    ['(c[:, None] - c).abs().mean(2)']
    """
    file = Path(exercises.__file__).parent / f"lesson{name[:2]}.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict) and name in (keys := [getattr(key, "value", None) for key in node.keys]):
            entry = node.values[keys.index(name)]
            mistakes = [keyword.value for keyword in entry.keywords if keyword.arg == "mistakes"]
            if mistakes and isinstance(mistakes[0], ast.Dict):
                pairs = zip(mistakes[0].keys, mistakes[0].values, strict=True)
                return {ast.literal_eval(key): _code(value, functions) for key, value in pairs}
    return {}


def _code(node, functions):
    """A function's result in one line: of a lambda its expression, of a name the lines of its `def`."""
    body = functions.get(node.id, node) if isinstance(node, ast.Name) else node
    inner = [each.id for each in ast.walk(body) if isinstance(each, ast.Name) and each.id.startswith("_")]
    if inner or any(isinstance(each, ast.If | ast.For | ast.While) for each in ast.walk(body)):
        return ""
    if isinstance(node, ast.Lambda):
        return ast.unparse(node.body)
    if isinstance(node, ast.Name) and node.id in functions:
        return "; ".join(ast.unparse(line) for line in functions[node.id].body if not _is_docstring(line))
    return ast.unparse(node)


def _is_docstring(line):
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
