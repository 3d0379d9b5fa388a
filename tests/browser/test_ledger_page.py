"""The ledger in JupyterLab: it reads in both themes, and a click on a lesson leads to the very cell."""

import re

import pytest
from masters import plant

from browser import lab as learner

TABLE = ".jp-OutputArea-output table"
LINK = "a[href*='cell-id']"
# How far below the top of its notebook a cell begins, in parts of the notebook's height; null where it is not drawn.
PLACE = f"""cell => {{
    const notebook = {learner.NOTEBOOK}?.content, node = notebook?.widgets?.find(c => c.model.id === cell)?.node
    if (!node?.isConnected) return null
    const [one, all] = [node, notebook.node].map(e => e.getBoundingClientRect())
    return (one.top - all.top) / all.height
}}"""


@pytest.fixture(scope="module")
def page(desk, lab):
    """A notebook beside the lessons, in which the ledger and the readings of the paper are shown."""
    sources = [
        "from i2pemd_lite.course import ledger\nfrom i2pemd_lite.panels import readings",
        "ledger()",
        "readings.table()",
    ]
    plant(sources, lab.folder / "notebooks", "ledger")
    page = learner.Lesson(desk, "ledger")
    page.run_all()
    yield page
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_word_of_the_tables_reads(page, theme):
    page.theme(theme)
    page.page.wait_for_function(f"document.body.dataset.jpThemeLight === '{str(theme == 'light').lower()}'")
    assert page.errors == [] and page.page.locator(TABLE).count() == 2
    for table in page.page.locator(TABLE).all():
        worst = sorted(table.evaluate(learner.CONTRASTS))[0]
        assert worst[0] >= 4.5, worst


def test_formulas_are_set_and_not_left_as_source(page):
    table = page.page.locator(TABLE).first
    table.locator("mjx-container").first.wait_for(timeout=30_000)
    assert table.locator("mjx-container").count() == 21
    assert not re.search(r"\$|\\sum", table.inner_text())


def test_a_click_on_a_lesson_leads_to_its_cell(page):
    link = page.page.locator(TABLE).first.locator(LINK, has_text="03").first
    number, cell = link.inner_text(), link.get_attribute("href").partition("#cell-id=")[2]
    assert page.page.evaluate(PLACE, cell) is None
    link.click()
    page.page.wait_for_function(f"{learner.NOTEBOOK}?.context?.path?.startsWith('notebooks/{number}_')", timeout=60_000)
    # While it opens, all cells lie at the top: the first one has to be gone from there.
    jumped = f"""([first, cell]) => {{
        const [above, at] = [first, cell].map({PLACE})
        return (above === null || above < -0.1) && at !== null && at > -0.01 && at < 0.2
    }}"""
    page.page.wait_for_function(jumped, arg=[f"{cell.rpartition('-')[0]}-01", cell], timeout=20_000)
