"""What is said of answers, in JupyterLab: cards and no red errors, hints by the keyboard, words for screen readers."""

import pytest
from masters import plant

from browser import lab as learner

CELLS = [
    "import os\nos.environ['I2PEMD_CACHE'] += '/feedback'\n"  # a journal of its own
    "from i2pemd_lite.course import check, estimate, predict, start\nstart(seed=0, after='02')",
    "check('02a', lambda c: c @ c.T)",
    "check('02a', lambda c: (c[:, None] - c).abs().sum(2))",
    "def distances(c):\n    raise NotImplementedError()\n\n\ncheck('02a', distances)",
    "estimate('p01d', 'How many?', 4.0, 'Count.', 0, 10)",
    "predict('p02a', 'Which?', ['(0, .25, .5, .75)', '(0, .1, .4, 1)'], '(0, .25, .5, .75)', 'Count.')",
]
ERROR = "[data-mime-type='application/vnd.jupyter.stderr']"


@pytest.fixture(scope="module")
def lesson(desk, lab):
    """A notebook of one recall, three checks, an estimate and a prediction, run."""
    plant(CELLS, lab.folder / "notebooks", "feedback")
    lesson = learner.Lesson(desk, "feedback")
    lesson.run_all()
    yield lesson
    lesson.close()


@pytest.fixture
def cards(lesson):
    """The cards of the three checks."""
    return [learner.Panel(lesson.page, box) for box in lesson.page.locator(".i2pemd-check").all()]


def test_a_check_is_a_card_and_no_red_error(lesson, cards):
    assert lesson.errors == [] and lesson.page.locator(ERROR).count() == 0
    wrong, right, still = (card.status for card in cards)
    assert wrong.startswith("02a: not yet.") and right.startswith("02a: right") and "still open" in still
    assert [caption.partition(":")[0] for caption in cards[0].box.locator("caption").all_text_contents()] == [
        "c", "yours", "expected"
    ]  # fmt: skip
    assert [learner.controls(card.box) for card in cards] == [[("button", "Hint")], [], [("button", "Hint")]]


def test_hints_come_by_the_keyboard_and_are_read_aloud(cards):
    button = cards[0].box.get_by_role("button", name="Hint")
    for number in (1, 2, 3):
        button.press("Enter")
        cards[0].box.locator(learner.STATUS).filter(has_text=f"Hint {number} of 3").wait_for()
    button.press("Enter")
    cards[0].box.locator(learner.STATUS).filter(has_text="There are no more hints").wait_for()


def test_the_number_where_a_slider_begins_can_be_meant(lesson):
    question = lesson.questions[1]
    question.click("Commit")
    meant = question.box.get_by_role("button", name="I mean 5")
    meant.wait_for()
    assert "Do you mean the one it shows?" in question.status
    meant.press("Enter")
    question.box.locator(learner.STATUS).filter(has_text="The truth is 4, yours 5").wait_for()
    assert not meant.is_visible()


def test_who_chose_what_tempts_reads_why_and_a_lesson_opens_with_a_recall(lesson):
    recall, _, question = lesson.questions
    for asked, choice, why in ((recall, "it is doubled", "Eq. 4 replaces them by ranks"),
                               (question, "(0, .1, .4, 1)", "You divided by the largest entry.")):  # fmt: skip
        asked.show()
        asked.pick(choice)
        asked.click("Commit")
        asked.box.locator(learner.STATUS).filter(has_text=why).wait_for()
        assert asked.status.startswith("Not so")


@pytest.mark.parametrize(("theme", "width"), list(zip(learner.THEMES, (1280, 1920), strict=True)))
def test_cards_read_in_both_themes(lesson, cards, theme, width):
    lesson.theme(theme)
    lesson.resize(width)
    for number, box in enumerate((*cards, *lesson.questions)):
        box.show()
        box.screenshot(f"feedback {theme} {number}")
        assert [text for text in box.contrasts() if text[0] < 4.5] == []
