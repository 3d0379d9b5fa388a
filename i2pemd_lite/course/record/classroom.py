"""A folder of hand-ins as a table, a picture of where the class struggled, and a few sentences."""

import csv
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from i2pemd_lite.course.record import calibration
from i2pemd_lite.course.record.handin import read_all
from i2pemd_lite.files import atomic_write, guarded, write_text
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.card import nice
from i2pemd_lite.panels.engine.still import count, drawn

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
        """What exercises are compared by: of those who tried, the share not right yet, then that right later."""
        n = self.counts[FIRST] + self.counts[LATER] + self.counts[NOT_YET]
        return self.counts[NOT_YET] / n, self.counts[LATER] / n, self.attempts


def exercises(hand_ins):
    """What became of each exercise that somebody tried."""
    rows = []
    for name in sorted({name for one in hand_ins for name in one.checks}):
        tried = [one.checks[name] for one in hand_ins if name in one.checks]
        states = [(FIRST if each["attempts"] == 1 else LATER) if each["right"] else NOT_YET for each in tried]
        counts = {state: states.count(state) for state in (FIRST, LATER, NOT_YET)}
        attempts = sum(each["attempts"] for each in tried) / len(tried)
        mistakes = Counter(mistake for each in tried for mistake in each["mistakes"])
        hinted = sum(each["hint"] > 0 for each in tried)
        rows.append(Exercise(name, counts | {OPEN: len(hand_ins) - len(tried)}, attempts, hinted, mistakes))
    return rows


def predictions(hand_ins):
    """[(name, `calibration.Score`)] of what the class predicted, the most surprising first."""
    scores = {}
    for name in {name for one in hand_ins for name in one.predictions}:
        scores[name] = calibration.score(one.predictions[name] for one in hand_ins if name in one.predictions)
    return sorted(scores.items(), key=lambda pair: (pair[1].right - pair[1].sure, pair[0]))


def table(hand_ins):
    """Rows of the CSV table, its columns first: one row a hand-in, a cell is empty where nothing was done."""
    tried = [each.name for each in exercises(hand_ins)]
    said = sorted(name for name, _ in predictions(hand_ins))
    columns = ["hand-in", "profile", "seed"]
    columns += [f"{name}{what}" for name in tried for what in ("", " attempts", " hint")]
    columns += [f"{name}{what}" for name in said for what in ("", " confidence")]
    rows = [[*columns, "predictions", "mean confidence", "share right", "Brier score"]]
    for one in hand_ins:
        row = [one.file.removesuffix(".json"), one.profile, one.seed]
        for name in tried:
            check = one.checks.get(name)
            row += [int(check["right"]), check["attempts"], check["hint"]] if check else ["", "", ""]
        for name in said:
            prediction = one.predictions.get(name)
            row += [int(prediction["hit"]), f"{prediction['confidence']:.2f}"] if prediction else ["", ""]
        score = calibration.score(one.predictions.values())
        numbers = [f"{x:.3f}" for x in (score.sure, score.right, score.brier)] if score else [""] * 3
        rows.append([*row, len(one.predictions), *numbers])
    return [guarded(row) for row in rows]


def words(hand_ins, problems):
    """What a teacher should know, in a few lines."""
    tried, said = exercises(hand_ins), predictions(hand_ins)
    n, out = len(hand_ins), len(problems.found)
    lines = [f"{count(n, 'hand-in')} counted" + (f", {out} left out:" if out else ".")]
    lines += [f"  {problem}" for problem in problems.found]
    if tried:
        hardest = max(tried, key=lambda e: e.struggle)
        c = hardest.counts
        became = f"{c[FIRST]} right at first try, {c[LATER]} later, {c[NOT_YET]} not yet, {c[OPEN]} did not try"
        took = f"{hardest.attempts:.1f} attempts on average, {hardest.hinted} saw a hint"
        lines.append(f"The class struggled most with {hardest.name}: {became}; {took}.")
        common = Counter({(e.name, m): k for e in tried for m, k in e.mistakes.items()}).most_common(3)
        lines += [f"Typical mistake in {name}, {count(k, 'time')}: {mistake}" for (name, mistake), k in common]
    if said and said[0][1].sure > said[0][1].right:
        name, score = said[0]
        lines.append(f"{name} surprised the class most: {_sure_and_right(score)} ({count(score.n, 'prediction')}).")
    if score := calibration.score(each for one in hand_ins for each in one.predictions.values()):
        lines.append(f"All predictions: {_sure_and_right(score)}, Brier score {score.brier:.2f}.")
    return "\n".join(lines)


def _sure_and_right(score):
    return f"{100 * score.sure:.0f} % sure on average, {100 * score.right:.0f} % right"


def report(folder, out):
    """Write class.csv, class.svg and class.txt of the hand-ins in `folder` into `out`; (the words, how many hand-ins
    were left out)."""
    hand_ins, problems = read_all(folder)
    tried, said = exercises(hand_ins)[:ROWS], predictions(hand_ins)[:SHOWN]
    text, out = words(hand_ins, problems), Path(out)
    picture = drawn(9.4, 1.5 + 0.3 * max(len(tried), len(said), 3), text, draw, tried, said, len(hand_ins))
    with atomic_write(out / "class.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(table(hand_ins))
    write_text(out / "class.svg", picture)
    write_text(out / "class.txt", text + "\n")
    return text, len(problems.found)


LOOKS = {
    FIRST: {"fc": style.BLUE},
    LATER: {"fc": style.SHADE, "ec": style.BLUE, "hatch": style.BLUE},
    NOT_YET: {"fc": style.ORANGE},
    OPEN: {"fc": style.SHADE},
}
INKS = {FIRST: style.PAPER, LATER: style.INK, NOT_YET: style.PAPER, OPEN: style.QUIET}


def draw(card, tried, said, n):
    """Left each exercise and what became of it, right each prediction: how sure they were, and how often right."""
    height = card.height / 100
    bottom, top = 0.62 / height, 1 - 0.72 / height
    left = card.plane(
        "exercises", [0.06, bottom, 0.47, top - bottom], xlim=(0, n), ylim=(max(len(tried), 1) - 0.4, -0.6),
        yticks=range(len(tried)), yticklabels=[each.name for each in tried], xlabel=f"hand-ins, of {n}",
        xticks=[place for place in nice(0, n, 5) if place % 1 == 0],
    )  # fmt: skip
    for row, each in enumerate(tried):
        begin = 0
        for what, people in each.counts.items():
            if people:
                left.rect(begin, row - 0.36, people, 0.72, **LOOKS[what])
                look = {"size": 8, "color": INKS[what], "halo": what == LATER}
                left.text(begin + people / 2, row, people, ha="center", va="center", **look)
            begin += people
        left.text(1.02 * n, row, f"{each.attempts:.1f} · {each.hinted}", size=8, va="center")
    left.text(1.02 * n, -0.75, "attempts · saw a hint", size=8, va="bottom", color=style.QUIET)
    x = 0.06
    for what, look in LOOKS.items():
        card.paper.rect(x, 1 - 0.295 / height, 0.012, 0.11 / height, **look)
        card.paper.text(x + 0.02, 1 - 0.24 / height, what, size=8.5, va="center")
        x += 0.035 + 0.0068 * len(what)
    right = card.plane(
        "predictions", [0.72, bottom, 0.26, top - bottom], xlim=(-3, 103), ylim=(max(len(said), 1) - 0.4, -0.6),
        yticks=range(len(said)), yticklabels=[f"{name} ({score.n})" for name, score in said], xlabel="%",
    )  # fmt: skip
    for row, (_, score) in enumerate(said):
        right.line([100 * score.sure, 100 * score.right], [row, row], color=style.LINE, lw=2)
        right.points(100 * score.sure, row, ms=7, **style.SOURCE)
        right.points(100 * score.right, row, ms=7, **style.TARGET)
    card.paper.text(0.72, 1 - 0.24 / height, "●  sure, on average", size=8.5, color=style.BLUE, va="center")
    card.paper.text(0.87, 1 - 0.24 / height, "×  right", size=8.5, color=style.ORANGE, va="center")
