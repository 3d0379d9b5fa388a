"""A card shows what its last drawing said, whatever the drawings before it said."""

import numpy as np
import pytest

from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.card import Card
from i2pemd_lite.panels.engine.panel import Panel, slider


def draw(card, random):
    """Marks of every kind in numbers, places and looks of their own, on planes that come and go."""
    n = int(random.integers(1, 5))
    x, y = random.random((2, n))
    ink = str(random.choice([style.BLUE, style.ORANGE, style.BLACK]))
    for name, left in (("one", 0.05), ("two", 0.55)):
        if random.random() < 0.3:
            continue
        plane = card.plane(name, [left, 0.2, 0.4, 0.6], xlim=(0, n), ylim=(-0.1, 1.1), title=f"{n} places")
        plane.rect(0, 0, n / 2, float(y[0]), color=ink, zorder=0)
        plane.segments(np.stack([np.c_[x, y], np.c_[y, x]], 1), colors=ink, linewidths=float(n))
        plane.line(x, y, color=ink, lw=1.0, ls=str(random.choice(["-", ":"])))
        plane.points(x, y, color=ink, marker="o", ms=int(random.integers(3, 9)))
        plane.dots(np.c_[y, x], 40 * x, color=ink)
        plane.arrows(np.c_[x, y], np.c_[y, x] / 5, color=ink, angles="xy", scale_units="xy", scale=1)
        for place in zip(x, y, strict=True):
            plane.text(*place, f"{place[0]:.2f}", size=8, color=ink)
        plane.text(0.5, 0.9, "still" + "!" * n, size=8, still=True)
    if random.random() < 0.5:
        card.plane("G", [0.4, 0.1, 0.2, 0.6], style.blank).matrix(random.random((n, n)), ["a"] * n, ["b"] * n)
    if random.random() < 0.7:
        card.plane("image", [0.05, 0.0, 0.2, 0.2], style.blank).image(random.random((3, 3)), 0, 1 + n, cmap="gray")
    card.paper.rect(0.9, 0.0, 0.02 * n, 0.1, color=ink)
    card.paper.text(0.5, 0.02, f"{n} and {ink}", size=9)


def test_a_drawing_shows_what_a_fresh_card_shows():
    card = Card(6, 3)
    for seed in range(12):
        card.begin()
        draw(card, np.random.default_rng(seed))
        fresh = Card(6, 3)
        draw(fresh, np.random.default_rng(seed))
        assert card.png() == fresh.png(), seed


def test_what_was_said_before_is_made_once():
    card, made = Card(6, 3), []
    for _ in range(2):
        for seed in range(12):
            card.begin()
            draw(card, np.random.default_rng(seed))
            card.png()
        owners = [*card.axes, card]
        made.append({mark for each in owners for mark in [*each.images, *each.patches, *each.lines, *each.texts]})
    assert made[0] == made[1]


def test_paper_shows_texts_and_rectangles():
    card, pictures = Card(2, 1), set()
    for marks in ((), ("rect",), ("text",), ("rect", "text")):
        card.begin()
        if "rect" in marks:
            card.paper.rect(0.1, 0.1, 0.5, 0.5, color=style.RED)
        if "text" in marks:
            card.paper.text(0.5, 0.5, "words")
        pictures.add(card.png())
    assert len(pictures) == 4


def test_a_still_mark_that_changes_is_drawn_anew_and_one_that_does_not_leaves_the_frame():
    card, pictures = Card(2, 1), []
    for words in ("one", "one", "two"):
        card.begin()
        card.paper.text(0.1, 0.5, words, still=True)
        stale = card.stale
        pictures.append((stale, card.png()))
    (_, one), (stale, again), (stale_after, two) = pictures
    assert not stale and one == again and stale_after and two != one


def test_a_drawing_that_fails_leaves_nothing_for_the_next(monkeypatch):
    monkeypatch.delenv("I2PEMD_STRICT", raising=False)

    def draw(card, value):
        card.paper.text(0.1, 0.5, f"{value}")
        assert value != 2, "two"

    panel = Panel("test", {"x": slider("x", 1, 0, 5, 1)}, lambda state: state["x"], draw, lambda x: (f"{x}", {}))
    first = panel.image.value
    panel.controls["x"].value = 2
    assert panel.image.value == first and "two" in panel.error.value
    panel.controls["x"].value = 1
    assert panel.image.value == first and not panel.error.value


@pytest.mark.parametrize("wrong", [{"colour": "red"}, {"mssize": 3}])
def test_a_look_that_does_not_exist_is_an_error(wrong):
    with pytest.raises(AttributeError, match=next(iter(wrong))):
        Card(2, 1).plane("p", [0, 0, 1, 1]).line([0, 1], [0, 1], **wrong)


def test_names_with_dollars_are_words():
    card = Card(2, 2)
    card.begin()
    for n, name in enumerate([r"$\frac{1$", "$x_$", "$a$"]):
        card.paper.text(0.1, 0.2 * n, name)
    assert card.png()
