"""A folder of hand-ins as a table, a picture of where the class struggled, and a few sentences.

    python -m i2pemd_lite report FOLDER --out out/class
"""

import csv
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from i2pemd_lite.course import calibration
from i2pemd_lite.course.handin import read_all
from i2pemd_lite.course.still import count, drawn
from i2pemd_lite.files import written_whole

FIRST, LATER, NOT_YET, OPEN = "right at first try", "right later", "tried, not yet right", "not tried"
ROWS = 60  # exercises in the picture
SHOWN = 12  # predictions in the picture, the most surprising first


class Exercise(NamedTuple):
    """One exercise, over the class."""

    name: str
    counts: dict  # FIRST, LATER, NOT_YET, OPEN -> hand-ins
    attempts: float  # mean, of those who tried
    hinted: int  # hand-ins in which a hint was shown
    mistakes: Counter

    @property
    def struggle(self):
        """What exercises are compared by: the share, of those who tried, that is not right yet, then that right later.

        Example
        -------
        >>> Exercise("00b", {FIRST: 1, LATER: 1, NOT_YET: 2, OPEN: 6}, 2.0, 0, Counter()).struggle
        (0.5, 0.25, 2.0)
        """
        n = self.counts[FIRST] + self.counts[LATER] + self.counts[NOT_YET]
        return self.counts[NOT_YET] / n, self.counts[LATER] / n, self.attempts


class Prediction(NamedTuple):
    """One prediction, over the class."""

    name: str
    n: int
    sure: float  # mean stated confidence
    right: float  # share of hits

    @property
    def surprise(self):
        """By how much they were surer than right.

        Example
        -------
        >>> Prediction("p00a", 4, 0.75, 0.25).surprise
        0.5
        """
        return self.sure - self.right


def exercises(hand_ins):
    """What became of each exercise that somebody tried."""
    found = []
    for name in sorted({name for one in hand_ins for name in one.checks}):
        tried = [one.checks[name] for one in hand_ins if name in one.checks]
        first = sum(each["right"] and each["attempts"] == 1 for each in tried)
        right = sum(each["right"] for each in tried)
        counts = {FIRST: first, LATER: right - first, NOT_YET: len(tried) - right, OPEN: len(hand_ins) - len(tried)}
        attempts = sum(each["attempts"] for each in tried) / len(tried)
        mistakes = Counter(mistake for each in tried for mistake in each["mistakes"])
        found.append(Exercise(name, counts, attempts, sum(each["hint"] > 0 for each in tried), mistakes))
    return found


def predictions(hand_ins):
    """What became of each prediction, the most surprising first."""
    found = []
    for name in sorted({name for one in hand_ins for name in one.predictions}):
        said = [one.predictions[name] for one in hand_ins if name in one.predictions]
        sure, right = (sum(each[key] for each in said) / len(said) for key in ("confidence", "hit"))
        found.append(Prediction(name, len(said), sure, right))
    return sorted(found, key=lambda each: (-each.surprise, each.name))


def table(hand_ins):
    """Rows of the CSV table, its columns first: one row a hand-in, a cell is empty where nothing was done."""
    tried = [each.name for each in exercises(hand_ins)]
    said = sorted(each.name for each in predictions(hand_ins))
    columns = ["hand-in", "profile", "seed"]
    columns += [f"{name}{what}" for name in tried for what in ("", " attempts", " hint")]
    columns += [f"{name}{what}" for name in said for what in ("", " confidence")]
    rows = [[*columns, "predictions", "mean confidence", "share right", "Brier score"]]
    for one in hand_ins:
        row = [one.file.removesuffix(".json"), one.about["profile"], one.about["seed"]]
        for name in tried:
            check = one.checks.get(name)
            row += [int(check["right"]), check["attempts"], check["hint"]] if check else ["", "", ""]
        for name in said:
            prediction = one.predictions.get(name)
            row += [int(prediction["hit"]), f"{prediction['confidence']:.2f}"] if prediction else ["", ""]
        score = calibration.score(one.predictions.values())
        numbers = [f"{x:.3f}" for x in (score.sure, score.right, score.brier)] if score else [""] * 3
        rows.append([*row, len(one.predictions), *numbers])
    return [[cell if isinstance(cell, int) else _plain(str(cell)) for cell in row] for row in rows]


def _plain(text):
    """A cell as text: a spreadsheet would compute one that begins with such a sign."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


def words(hand_ins, problems):
    """What a teacher should know, in a few lines."""
    tried, said = exercises(hand_ins), predictions(hand_ins)
    n, out = len(hand_ins), len(problems.found)
    lines = [f"{count(n, 'hand-in')} counted" + (f", {out} left out:" if out else ".")]
    lines += [f"  {problem}" for problem in problems.found]
    if tried:
        hardest = max(tried, key=lambda e: e.struggle)
        c = hardest.counts
        lines.append(
            f"The class struggled most with {hardest.name}: {c[FIRST]} right at first try, {c[LATER]} later, "
            f"{c[NOT_YET]} not yet, {c[OPEN]} did not try; {hardest.attempts:.1f} attempts on average, "
            f"{hardest.hinted} saw a hint."
        )
        common = Counter({(e.name, m): k for e in tried for m, k in e.mistakes.items()}).most_common(3)
        lines += [f"Typical mistake in {name}, {count(k, 'time')}: {mistake}" for (name, mistake), k in common]
    if said and said[0].surprise > 0:
        most = said[0]
        lines.append(
            f"{most.name} surprised most: {100 * most.sure:.0f} % sure on average, {100 * most.right:.0f} % right "
            f"({count(most.n, 'prediction')})."
        )
    score = calibration.score([each for one in hand_ins for each in one.predictions.values()])
    if score:
        lines.append(
            f"All predictions: {100 * score.sure:.0f} % sure on average, {100 * score.right:.0f} % right, Brier score "
            f"{score.brier:.2f}."
        )
    return "\n".join(lines)


def report(folder, out):
    """Write class.csv, class.png and class.txt of the hand-ins in `folder` into `out`.

    Returns
    -------
    (the words, how many hand-ins were left out)
    """
    from i2pemd_lite.course.class_picture import draw

    hand_ins, problems = read_all(folder)
    tried, said = exercises(hand_ins)[:ROWS], predictions(hand_ins)[:SHOWN]
    png = drawn(9.4, 1.5 + 0.3 * max(len(tried), len(said), 3), draw, tried, said, len(hand_ins))
    text, out = words(hand_ins, problems), Path(out)
    with written_whole(out / "class.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(table(hand_ins))
    with written_whole(out / "class.png") as temporary:
        temporary.write_bytes(png)
    with written_whole(out / "class.txt") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return text, len(problems.found)
