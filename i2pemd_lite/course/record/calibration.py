"""Whether one is as often right as one is sure.

Of n predictions with stated confidence s_i and outcome h_i (1 right, 0 not), the Brier score is Σ (s_i − h_i)² / n: 0
is best, and to say 50 % every time gives 0.25.
"""

from typing import NamedTuple

import numpy as np

from i2pemd_lite.panels.engine import style

FEW = 8  # predictions, below which no tendency is named
ENOUGH, SMALL = 20, 0.1  # predictions, and between sure and right, to call them equal


class Score(NamedTuple):
    """Of predictions with a stated confidence."""

    n: int
    brier: float
    guessing: float  # the Brier score of one who says the chance of a guess every time
    sure: float  # the mean stated confidence
    right: float  # the share that was right
    groups: tuple  # (mean confidence, share right, n), by the confidence in steps of 20 %


def score(predictions):
    """The score of predictions, dicts with "confidence", "chance" and "hit"; None without any."""
    told = [each for each in predictions if each["confidence"] is not None]
    if not told:
        return None
    s, c, h = (np.array([float(each[key]) for each in told]) for key in ("confidence", "chance", "hit"))
    step = np.minimum((s / 0.2 + 1e-9).astype(int), 4)
    groups = [(s[step == each].mean(), h[step == each].mean(), (step == each).sum()) for each in np.unique(step)]
    return Score(len(s), ((s - h) ** 2).mean(), ((c - h) ** 2).mean(), s.mean(), h.mean(), groups)


def words(score):
    """A score in sentences."""
    if score is None:
        return "No prediction yet: commit to one, and say how sure you are."
    sentence = (
        f"{score.n} prediction{'s' * (score.n > 1)}: you were {100 * score.sure:.0f} % sure on average, and "
        f"{100 * score.right:.0f} % were right. Brier score {score.brier:.2f} (0 is best; if you had called each one "
        f"a guess, it would be {score.guessing:.2f})."
    )
    if score.n < FEW:
        return f"{sentence} These are too few to say more."
    gap = score.sure - score.right
    # With n predictions the share that is right spreads by sqrt(s (1 − s) / n), whoever makes them.
    if abs(gap) > 2 * (score.sure * (1 - score.sure) / score.n) ** 0.5:
        return f"{sentence} You are {'surer than you are right' if gap > 0 else 'right more often than you say'}."
    if score.n < ENOUGH or abs(gap) > SMALL:
        return f"{sentence} These are too few to tell: luck alone can set the two so far apart."
    return f"{sentence} You are about as often right as you are sure."


def draw(card, score):
    """Stated confidence against the share that was right; on the diagonal both agree."""
    look = {"xlim": (0, 105), "ylim": (-4, 108), "title": "Are you as often right as you are sure?"}
    plane = card.plane("sure", [0.125, 0.16, 0.67, 0.74], xlabel="how sure you were (%)", ylabel="right (%)", **look)
    plane.line([0, 100], [0, 100], color=style.QUIET, lw=1)
    # Outside, at the end of the line: a group can lie anywhere within.
    plane.text(107, 100, "as often\nright as sure", size=8, color=style.QUIET, va="center")
    for sure, right, n in score.groups if score else ():
        plane.line([100 * sure] * 2, [100 * sure, 100 * right], color=style.LINE)
        plane.points(100 * sure, 100 * right, ms=8, **style.SOURCE)
        # Away from the diagonal: right below it where there is room, else left above.
        below = right < sure <= 0.8
        side = {"x": 100 * sure + 2.5, "ha": "left"} if below or sure < 0.2 else {"x": 100 * sure - 2.5, "ha": "right"}
        y, va = (100 * right - 1, "top") if below and right > 0.1 else (100 * right + 1, "bottom")
        plane.text(y=y, words=f"{round(right * n)} of {n}", size=8.5, va=va, color=style.BLUE, **side)
