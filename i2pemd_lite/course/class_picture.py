"""The picture of a class: where it struggled, and what surprised it. Counts only."""

from i2pemd_lite.course.classroom import FIRST, LATER, NOT_YET, OPEN
from i2pemd_lite.panels import style

LOOKS = {
    FIRST: {"color": style.BLUE},
    LATER: {"color": "#a9c4de", "hatch": "///", "edgecolor": style.BLUE},
    NOT_YET: {"color": style.ORANGE},
    OPEN: {"color": "#e4e2da"},
}
INKS = {FIRST: style.CARD, LATER: style.INK, NOT_YET: style.CARD, OPEN: style.QUIET}


def draw(figure, tried, said, n):
    """Left each exercise and what became of it, right each prediction: how sure they were, and how often right."""
    height = figure.get_figheight()
    bottom, top = 0.62 / height, 1 - 0.72 / height
    left = figure.add_axes([0.06, bottom, 0.47, top - bottom])
    left.set(xlim=(0, n), ylim=(max(len(tried), 1) - 0.4, -0.6))
    left.set_yticks(range(len(tried)), [each.name for each in tried])
    left.set_xlabel(f"hand-ins, of {n}")
    left.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    for row, each in enumerate(tried):
        begin = 0
        for what, count in each.counts.items():
            if count:
                left.barh(row, count, 0.72, begin, linewidth=0, **LOOKS[what])
                box = {"facecolor": "#a9c4de", "edgecolor": "none", "pad": 1} if what == LATER else None
                left.text(begin + count / 2, row, count, ha="center", va="center", size=8, color=INKS[what], bbox=box)
            begin += count
        left.text(1.02 * n, row, f"{each.attempts:.1f} · {each.hinted}", size=8, va="center")
    left.text(1.02 * n, -0.75, "attempts · saw a hint", size=8, va="bottom", ha="left", color=style.QUIET)
    x = 0.06
    for what, look in LOOKS.items():
        figure.patches.append(_square(figure, x, 1 - 0.24 / height, height, look))
        figure.text(x + 0.02, 1 - 0.24 / height, what, size=8.5, va="center")
        x += 0.035 + 0.0068 * len(what)
    right = figure.add_axes([0.72, bottom, 0.26, top - bottom])
    right.set(xlim=(-3, 103), ylim=(max(len(said), 1) - 0.4, -0.6), xlabel="%")
    right.set_yticks(range(len(said)), [f"{each.name} ({each.n})" for each in said])
    for row, each in enumerate(said):
        right.plot([100 * each.sure, 100 * each.right], [row, row], color=style.LINE, lw=2)
        right.plot([100 * each.sure], [row], ls="", ms=7, **style.SOURCE)
        right.plot([100 * each.right], [row], ls="", ms=7, **style.TARGET)
    figure.text(0.72, 1 - 0.24 / height, "●  sure, on average", size=8.5, color=style.BLUE, va="center")
    figure.text(0.87, 1 - 0.24 / height, "×  right", size=8.5, color=style.ORANGE, va="center")


def _square(figure, x, y, height, look):
    from matplotlib.patches import Rectangle

    options = {"facecolor": look["color"], "edgecolor": look.get("edgecolor", "none"), "hatch": look.get("hatch")}
    place, size = (x, y - 0.055 / height), (0.012, 0.11 / height)
    return Rectangle(place, *size, transform=figure.transFigure, linewidth=0, **options)
