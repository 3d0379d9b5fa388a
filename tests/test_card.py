"""The picture is SVG that says what was drawn, where it was drawn."""

import base64
import io
from xml.etree import ElementTree

import numpy as np
import pytest
from controls import marks, places
from PIL import Image

from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.card import Card, nice
from i2pemd_lite.panels.engine.panel import Panel, slider


def plane(frame="blank", **look):
    """A plane from (0, 0) to (10, 5) in the middle of a card of 200 x 100."""
    card = Card(2, 1)
    return card, card.plane("p", [0.25, 0.25, 0.5, 0.5], frame, **{"xlim": (0, 10), "ylim": (0, 5)} | look)


def test_a_place_of_the_plane_is_a_place_on_the_card_and_back():
    for look in {}, {"ylim": (5, 0)}, {"xscale": "log", "xlim": (1, 100)}, {"aspect": "equal", "ylim": (0, 1)}:
        _, here = plane(**look)
        for spot in (2.0, 0.5), (7.0, 0.9):
            x, y = here.at(*spot)
            np.testing.assert_allclose(here.place((x / 200, 1 - y / 100)), spot)
    assert plane()[1].at(0, 0).tolist() == [50, 75] and plane()[1].at(10, 5).tolist() == [150, 25]


def test_lines_break_where_a_number_is_missing_and_are_cut_off_where_they_leave_the_plane():
    card, here = plane()
    here.line([0, 5, 10, 10], [0, 5, np.nan, 0])
    here.line([0, 20], [0, 0])
    here.line([0, 20], [0, 0], clip=False, cap="square")
    here.line([0, 5, 10], [0, np.inf, 0])
    inside, outside, free, broken = marks(card.svg(), "p line")
    assert inside.d == "M50 75L100 25M150 75" and not hasattr(inside, "clip_path")
    assert outside.clip_path == f"url(#{ElementTree.fromstring(card.svg()).find('.//*[@id]').get('id')})"
    assert not hasattr(free, "clip_path") and free.stroke_linecap == "square"


@pytest.mark.filterwarnings("error")
def test_what_has_no_place_is_nowhere():
    card, here = plane()
    here.line([0, 20], [np.nan, np.nan], marker="o")
    assert {mark.d for mark in marks(card.svg(), "p")} == {""}


@pytest.mark.parametrize("marker", "o.DsX*x|_^v")
def test_a_marker_lies_around_its_place(marker):
    card, here = plane()
    here.points([2, np.nan, 8], [1, 1, 4], marker=marker, ms=7.2)
    (mark,) = [mark for mark in marks(card.svg(), "p") if mark.tag == "path"]
    ends = places(mark)
    near = np.abs(ends[:, None] - here.at([2, 8], [1, 4])).max(-1).min(1)
    assert len(ends) >= 2 and (near <= 1.1 * 7.2 / 2 * 100 / 72).all()


def test_a_full_dot_is_a_line_of_no_length_as_wide_as_the_dot_and_a_hollow_one_is_a_ring():
    card, here = plane()
    here.points([2, 8], [1, 4], ms=7.2, mew=1.44, color="red", marker="o")
    here.points([2, 8], [1, 4], ms=7.2, mew=1.44, color="red", marker="o", mfc="none")
    full, hollow = marks(card.svg(), "p points")
    assert (full.stroke, full.stroke_width, full.stroke_linecap, full.fill) == ("red", "12", "round", "none")
    np.testing.assert_allclose(places(full), here.at([2, 8], [1, 4]), atol=0.06)
    assert (hollow.stroke, hollow.stroke_width, hollow.fill) == ("red", "2", "none") and "a5 5 0 1 0" in hollow.d


def test_a_matrix_is_paper_where_it_is_zero_and_top_where_it_is_largest():
    card = Card(2, 2)
    card.plane("G", [0.2, 0, 0.8, 0.8], "blank").matrix([[0, 0.5], [2, 1]], ["a", "b"], ["c", "d"], top=2)
    parts = [mark.fill for mark in marks(card.svg(), "G cell")]
    assert [part.split(style.TOP)[1].split(",")[0] for part in parts] == [" 0%", " 25%", " 100%", " 50%"]
    assert [mark.text for mark in marks(card.svg(), "G number")] == ["0", ".5", "2", "1"]
    assert [mark.text for mark in marks(card.svg(), "G axes text")] == ["c", "d", "a", "b"]


def test_what_is_negative_goes_the_other_way():
    card = Card(2, 2)
    card.plane("D", [0.2, 0, 0.8, 0.8], "blank").matrix([[0, -0.5], [-2, 2]], ["a", "b"], ["c", "d"], top=2)
    parts = [mark.fill for mark in marks(card.svg(), "D cell")]
    inks = [(part.split("oklab,")[1].split(" ")[0], part.split(" ")[2].split(",")[0]) for part in parts]
    assert inks == [(style.TOP, "0%"), (style.BELOW, "25%"), (style.BELOW, "100%"), (style.TOP, "100%")]


def test_marks_have_the_names_within_which_they_were_said():
    card, here = plane()
    with here.link("a", "b<"):
        here.points(1, 1, marker="o")
        here.text(1, 1, "both")
    here.line([0, 1], [0, 1])
    here.flow([[(0, 0), (10, 5)]], [0.25])
    points, line, flow, text = marks(card.svg(), "p ")
    assert points.data_l == text.data_l == "a b<" and not hasattr(line, "data_l")
    assert (flow.data_flow, flow.opacity, flow.d) == ("0.2", "0", "M50 75L150 25")
    assert float(flow.stroke_dasharray.split()[0]) == 0


def test_each_mark_is_a_line_whatever_it_says():
    card, here = plane()
    with here.link("a\nb"):
        here.text(1, 1, "two\nlines")
    here.matrix([[1.0]], ["r\ns"], ["c\nd"], 1, 9)
    head, *lines, end = card.svg("words\nof two lines").split("\n")
    assert lines == [*card.marks().values()] and "</style>" in head and end == "</svg>"


def test_an_image_comes_back_from_its_address():
    card, here = plane()
    colours = np.random.default_rng(0).integers(0, 256, (3, 4, 3))
    here.image(colours, 0, 255, extent=(0, 10, 0, 5))
    (image,) = marks(card.svg(), "p image")
    data = base64.b64decode(image.href.split(",")[1])
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(data))), colours)
    assert [image.x, image.y, image.width, image.height] == ["50", "25", "100", "50"]


def test_what_has_a_higher_zorder_lies_above_and_else_what_is_said_later():
    card, here = plane()
    here.text(1, 1, "above")
    here.rect(0, 0, 1, 1, fc=style.RED)
    here.line([0, 1], [0, 1])
    here.rect(0, 0, 1, 1, zorder=9)
    assert [mark.key for mark in marks(card.svg(), "p")] == ["p rect 0", "p line 0", "p text 0", "p rect 1"]


def test_letters_are_markers_too():
    card, here = plane()
    here.points([1, 9, np.nan], [1, 9, 9], marker="$B$", color=style.RED)
    (letters,) = marks(card.svg(), "p letters")
    assert letters.text == "BB" and letters.fill == style.RED
    np.testing.assert_allclose(list(map(float, letters.x.split())), here.at([1, 9], [1, 9])[:, 0], atol=0.06)


def test_ticks_are_round_and_within_the_plane():
    card, here = plane("axes", xlim=(-0.3, 1.7), ylim=(1, 1000), yscale="log", ticks=4)
    said = [mark.text for mark in marks(card.svg(), "p axes text")]
    assert said == ["0.0", "0.5", "1.0", "1.5", "1", "10", "100", "1,000"]
    here.look(ylim=(0.01, 100))
    assert [mark.text for mark in marks(card.svg(), "p axes text")][4:] == ["0.01", "0.1", "1", "10", "100"]
    here.look(ylim=(1e3, 1e6))
    assert [mark.text for mark in marks(card.svg(), "p axes text")][4:] == ["1,000", "10,000", "1e5", "1e6"]
    for low, high in (0, 1), (-7.3, 2.1), (0.001, 0.0042), (99, 30_000):
        found = nice(low, high, 5)
        assert 2 <= len(found) <= 7 and low <= min(found) and max(found) <= high


def test_an_empty_line_of_a_text_takes_its_place():
    card, here = plane()
    here.text(1, 1, "one\n\nthree")
    assert ElementTree.fromstring(card.svg()).findall(".//{*}tspan")[0].text == "\xa0"


def test_no_text_is_smaller_than_eleven_pixels():
    card, here = plane("axes", title="T")
    here.text(0, 0, "small", size=3)
    sizes = [float(mark.font_size) for mark in marks(card.svg(), "p") if mark.tag == "text"]
    assert len(sizes) > 4 and min(sizes) >= 11


def test_names_are_words_and_never_markup():
    card = Card(2, 2)
    for n, name in enumerate(["$x_$", "<b>&", 'a  "b"']):
        card.paper.text(0.1, 0.2 * n, name)
        card.plane(name, [0, 0, 1, 1]).rect(0, 0, 1, 1)
    assert [mark.text for mark in marks(card.svg('"words" <i>'), "paper text")] == ["$x_$", "<b>&", 'a  "b"']
    assert "text{white-space:pre}" in card.svg()


def test_a_drawing_that_fails_leaves_the_picture_as_it_was(monkeypatch):
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


@pytest.mark.parametrize("wrong", [{"colour": "red"}, {"mssize": 3}, {"linewidth": 2}])
def test_a_look_that_does_not_exist_is_an_error(wrong):
    with pytest.raises(TypeError, match=next(iter(wrong))):
        plane()[1].line([0, 1], [0, 1], marker="o", **wrong)
