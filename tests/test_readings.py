"""Readings of the paper: each outcome against plain loops and other people's code, and the panel that shows them."""

import re
from html import escape
from math import log
from pathlib import Path

import numpy as np
import ot
import pytest
import torch
from controls import marks, move_every_control
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score

from i2pemd_lite import __main__, classification, segmentation
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels import museum, passages, readings
from i2pemd_lite.panels.readings import PASSAGES
from i2pemd_lite.segmentation import paper
from i2pemd_lite.tables import choices

EXACT = 1e-9
LESSONS = {f"{n:02d}" for n in range(1, 7)}
NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setenv("I2PEMD_STRICT", "1")


def ground(c, equal=0.0):
    """G by loops; an equal entry counts as `equal` of a smaller one, itself not counted unless it is 1."""
    K, c = len(c), np.asarray(c, dtype=float)
    g = [[sum(abs(c[i] - c[j])) for j in range(K)] for i in range(K)]
    ranks = np.zeros((K, K))
    for i in range(K):
        for j in range(K):
            same = sum(g[i][m] == g[i][j] for m in range(K)) - (equal < 1)
            ranks[i, j] = (sum(g[i][m] < g[i][j] for m in range(K)) + equal * same) / K
    return (ranks + ranks.T) / 2


def flow(key):
    p, q, g = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6]), np.array([[0, 4, 8], [4, 0, 6], [8, 6, 0]]) / 10
    return ot.emd(p, q, g) if key == "whole" else np.zeros((3, 3))


def scale(key):
    c = np.array([[1.0, 0.0], [2.0, 0.4], [5.0, 1.0], [0.2, 1.0], [0.8, 5.0]])
    return ground(c if key == "raw" else c / np.sqrt((c**2).sum(1))[:, None])


def start(key):
    c = np.array([[1.0, 1.0], [3.0, 1.0], [1.0, 3.0], [6.0, 6.0]])
    return ground(c if key == "mean" else c * (1 - 0.8 ** np.array([20, 20, 20, 1]))[:, None])


def order(key):
    p, costs, c = np.exp([3.0, 0.0, 1.0, 0.0]), [], None
    before = np.zeros((4, 4))
    for step in range(8):
        u = np.array([[0.0, 0], [6, 0], [step, 1], [3, 5]])
        c = u if c is None else 0.5 * c + 0.5 * u
        costs.append(p / p.sum() @ (ground(c) if key == "after" else before)[:, 2])
        before = ground(c)
    return costs


def pool(key):
    ct, mr = np.array([30, 9, 0, 1]), np.array([5, 5, 20, 10])
    if key == "voxels":
        return (ct + 4 * mr) / (ct + mr)
    both = 2.5 if key == "modalities" else 0.8 * 1 + 0.2 * 4
    return np.where(ct == 0, 4.0, both)


def weights(key):
    w = np.array([0.1] * 9 + [0.9]) if key == "weighted" else np.ones(10)
    ce = np.mean(w * -np.log([0.9] * 9 + [0.4]))
    dice = 1 - np.mean([2 * 8.1 / (9 * 0.81 + 0.36 + 9), 2 * 0.4 / (9 * 0.01 + 0.16 + 1)])
    return [ce, dice, (0.1 + 0.6) / 2]


def top(key):
    o, G = (each.double().numpy() for each in museum.predictions())
    s = o.max(1)
    d = [ot.emd2(row / row.sum(), np.eye(len(G))[row.argmax()], G) for row in o]
    near = set(sorted(range(36), key=d.__getitem__)[:key])
    sure, high = ({i for i in range(36) if s[i] > tau} for tau in (0.6, 0.8))
    return [len(sure), len(near), len(sure & near), len(high), len(sure & near | high)]


def mean_over(key):
    return [-log(0.6) * (n / 36 if key == "all" else 1) for n in (1, 6, 18, 36)]


def threshold(key):
    o, truth = (each.numpy() for each in passages.answers())
    taken = [i for i in range(len(o)) if max(o[i]) > key]
    right = [i for i in range(len(o)) if list(o[i]).index(max(o[i])) == truth[i]]
    return [100 * len(taken) / len(o), 100 * len(set(taken) & set(right)) / len(taken), 100 * len(right) / len(o)]


def decision(key):
    o, truth = (each.numpy() for each in passages.answers())
    rows = []
    for k in range(7):
        yes = (o.argmax(1) == k) if key == "argmax" else o[:, k] >= key
        (tn, fp), (fn, tp) = confusion_matrix(truth == k, yes)
        rows.append([roc_auc_score(truth == k, o[:, k]), tp / (tp + fn), tn / (tn + fp), (tp + tn) / len(o),
                     f1_score(truth == k, yes)])  # fmt: skip
    return 100 * np.mean(rows, 0)


def taken(key):
    limits = {">": (float.__gt__,) * 2, "≥": (float.__ge__,) * 2, "own": (float.__gt__, float.__ge__)}[key]
    both = zip(limits, (0.7, 0.8), strict=True)
    return [[limit(s, tau) for s in (0.6, 0.7, 0.75, 0.8, 0.9)] for limit, tau in both]


def table1(key):
    rows = paper.TABLE1.values()
    if key == "printed":
        return [row.means[2] for row in rows]
    return [np.mean([doc for organs in (row.ct, row.mr) for doc, _ in organs]) for row in rows]


EXPECTED = {
    "flow": flow,
    "ties": lambda key: ground(np.arange(4)[:, None], {"strict": 0.0, "average": 0.5, "max": 1.0}[key]),
    "scale": scale,
    "diagonal": lambda key: np.array([1, 0.8, 0.6, 0.4, 0.2, 0]) ** (key != "one") * (0.5 if key == "half" else 1),
    "absent": lambda key: [0.18125, 0.08125, 0, 0.29375, 0.55625 / (3 if key == "present" else 4)],
    "start": start,
    "order": order,
    "pool": pool,
    "weights": weights,
    "table1": table1,
    "T": top,
    "mean_over": mean_over,
    "strict": taken,
    "threshold": threshold,
    "decision": decision,
}
OUTCOMES = [(name, key) for name, each in PASSAGES.items() for key in each.readings.values()]


def test_every_passage_but_the_split_is_computed_otherwise_here():
    assert set(PASSAGES) - set(EXPECTED) == {"split"} and set(EXPECTED) < set(PASSAGES)
    assert 12 <= len(PASSAGES) <= 18


@pytest.mark.parametrize("name, key", [pair for pair in OUTCOMES if pair[0] in EXPECTED])
def test_an_outcome_is_that_of_plain_loops(name, key):
    # float32, and in percent what a network answers; Dice has 1e-7 in its denominator
    tolerance = {"threshold": 1e-4, "decision": 1e-4, "mean_over": 1e-6, "pool": 1e-6, "weights": 1e-6}.get(name, EXACT)
    np.testing.assert_allclose(PASSAGES[name].compute(key), EXPECTED[name](key), atol=tolerance, rtol=0)


def test_split_by_image_half_of_the_test_was_seen_and_by_lesion_nothing():
    by_lesion, by_image = (PASSAGES["split"].compute(key) for key in ("lesion", "image"))
    assert by_lesion[1] == 0 and by_image[1] > by_image[0] / 3
    assert all(abs(held_back - 140) < 10 for held_back, _ in (by_lesion, by_image))


@pytest.mark.parametrize("name", PASSAGES)
def test_something_hangs_on_every_reading(name):
    passage = PASSAGES[name]
    ours, *others = (np.asarray(passage.compute(key), dtype=float) for key in passage.readings.values())
    assert others and all(np.abs(other - ours).max() > 0.01 for other in others)
    shape = tuple(map(len, passage.labels)) if ours.ndim == 2 else (len(passage.labels),)
    assert ours.shape == shape


def test_what_the_prose_claims_of_table_1():
    rows = dict(zip(paper.TABLE1, readings.compute("table1", "as printed").ours, strict=True))
    assert rows["individual"] > rows["joint_i2pemd"]
    printed = paper.TABLE1
    assert printed["individual"].means == printed["joint_i2pemd"].means


# The panel


def holds(result):
    passage = PASSAGES[result.name]
    keys = list(passage.readings.values())
    np.testing.assert_array_equal(result.ours, passage.compute(keys[0]))
    np.testing.assert_array_equal(result.other, passage.compute(passage.readings[result.reading]))
    np.testing.assert_allclose(result.ours + result.change, result.other, atol=EXACT, rtol=0)


@pytest.mark.parametrize("name", PASSAGES)
def test_every_passage_opens_with_another_reading_and_can_be_read_as_here(name):
    panel = readings.panel(name)
    words = list(PASSAGES[name].readings)
    assert panel.state == {"passage": name, "reading": words[1]} and panel.numbers["at"] != "nowhere"
    for reading in reversed(words):
        panel.set(reading=reading)
        holds(panel.result)
        assert panel.error.value == "" and (f"Read as “{reading}”" in panel.words)
    assert "nothing changes" in panel.words and panel.numbers["at"] == "nowhere"


def test_every_control_works_at_both_ends_and_in_the_middle():
    panel = readings.panel()
    move_every_control(panel, holds)


def test_another_passage_brings_its_own_readings():
    panel = readings.panel("ties", reading="the mean rank")
    panel.controls["passage"].value = "pool"
    assert panel.state["reading"] == "both modalities alike"
    assert list(panel.controls["reading"].options) == list(PASSAGES["pool"].readings)
    holds(panel.result)


def test_bars_reach_their_values_and_titles_name_the_readings():
    panel = readings.panel("T")
    values = (panel.result.ours, panel.result.other, panel.result.change)
    for (name, plane), heights in zip(panel._card.planes.items(), values, strict=True):
        zero, *ends = plane.at(0, [0, *heights])[:, 1]
        bars = [(float(bar.y), float(bar.y) + float(bar.height)) for bar in marks(panel.image.value, f"{name} rect")]
        np.testing.assert_allclose(bars, [sorted((zero, end)) for end in ends], atol=0.11)
    titles = ["as read here: 24, of all", "read as: 18, of those unlabelled", "change"]
    assert [title.text for title in marks(panel.image.value, "paper text")] == titles


def test_the_axis_of_a_change_has_no_empty_half():
    panel = readings.panel("diagonal")  # whose changes all go up
    *_, change = panel._card.planes.values()
    low, high = change._look["ylim"]
    assert panel.result.change.min() >= 0 > low > -0.25 * high and high > panel.result.change.max()


@pytest.mark.parametrize("name", PASSAGES)
def test_labels_of_a_view_lie_beside_the_view_before(name):
    panel = readings.panel(name)
    ends = [0, *(plane._ends()[0][0] + plane._ends()[0][2] for plane in panel._card.planes.values())]
    for end, view in zip(ends, panel._card.planes, strict=False):
        labels = [mark for mark in marks(panel.image.value, f"{view} axes text") if hasattr(mark, "text_anchor")]
        assert all(float(mark.x) - 0.58 * float(mark.font_size) * len(mark.text) > end
                   for mark in labels if mark.text_anchor == "end")  # fmt: skip


def test_controls_words_and_state(tmp_path):
    panel, other = readings.panel("pool", reading="CT, then MR"), readings.panel()
    assert all(control.description for control in panel.controls.values())
    assert f'aria-label="{escape(panel.words)}"' in panel.image.value and len(panel.numbers) >= 3
    panel.save(tmp_path / "state.json")
    other.load(tmp_path / "state.json")
    assert other.state == panel.state and other.image.value == panel.image.value


def test_what_is_no_passage_or_no_reading_is_refused():
    with pytest.raises(BadInput, match="expected one of flow, ties.*found 'knots'"):
        readings.panel("knots")
    with pytest.raises(BadInput, match="reading: expected a value"):
        readings.panel("ties", reading="both modalities alike")
    with pytest.raises(BadInput, match="expected one of 'strictly smaller'.*found 'loosely'"):
        readings.compute("ties", "loosely")


def test_the_table_lists_every_passage_with_its_switch_and_lesson():
    shown = readings.table()._repr_mimebundle_()
    for each in PASSAGES.values():
        assert each.lesson in LESSONS and each.equation[0].isalpha() and each.switch
        for sentence in (each.says, each.ours, each.why):
            assert sentence[-1] == "." and sentence in shown["text/plain"]
    assert shown["text/html"].count("<tr>") == len(PASSAGES) + 1
    assert not re.search(r"color:(?!inherit)|background", shown["text/html"])


def test_a_passage_is_met_in_the_lesson_that_it_names():
    shown = [(path.name[:2], name) for path in sorted(NOTEBOOKS.glob("*.ipynb"))
             for name in re.findall(r'readings\.panel\(\\"(\w+)\\"', path.read_text(encoding="utf-8"))]  # fmt: skip
    assert {lesson for lesson, _ in shown} == LESSONS
    assert all(PASSAGES[name].lesson == lesson for lesson, name in shown)
    assert len({name for _, name in shown}) == len(shown) >= 12


def test_what_switches_a_passage_is_in_the_tables_of_choices():
    tables = {"segmentation": choices.table(segmentation), "classification": choices.table(classification)}
    names = {task: {name for name, *_ in table} for task, table in tables.items()}
    told = set(re.findall(r'readings\.panel\("(\w+)"\)', "\n".join(map(str, tables.values()))))
    for name, each in PASSAGES.items():
        if each.switch == "none":  # then no setting tells of it
            assert name in told
        named = re.findall(r"(\w+)(?: = [^()]*)? \((segmentation|classification)\)", each.switch)
        assert all(setting in names[task] for setting, task in named)
        call = re.fullmatch(r"[\w.]+\(.*\)", each.switch)  # that shows the other reading
        assert named or name in told or call
    assert told <= PASSAGES.keys()


def test_a_word_shows_its_rows_alone(capsys):
    assert __main__.main(["readings", "src-mt"]) == 0
    shown = capsys.readouterr().out
    assert "when is a class given?" in shown and "SRC-MT's relations" in shown and "src_weight" in shown
    assert "mix_beta" not in shown and "Settings of segmentation" not in shown
    assert __main__.main(["readings", "ties"]) == 0
    assert "ct_window" not in capsys.readouterr().out  # whose theirs has "intensities"
    assert __main__.main(["readings", "nonsense"]) == 1
    assert "nonsense: expected a word that readings has" in capsys.readouterr().err


SETTINGS = {"first": "segmentation", "pool": "segmentation", "ce": "segmentation", "fixed": "segmentation",
            "top": "classification", "mean_over": "classification", "tau_high": "classification",
            "split_by": "classification", "prototypes": "classification"}  # fmt: skip


def test_a_switch_is_a_setting_that_exists_and_takes_the_values():
    from i2pemd_lite.classification import ClassificationSettings
    from i2pemd_lite.segmentation.settings import SegmentationSettings

    kinds = {"segmentation": SegmentationSettings, "classification": ClassificationSettings}
    named = {word for each in PASSAGES.values() for word in re.findall(r"\b(\w+) (?:=|\()", each.switch)}
    assert set(SETTINGS) <= named | {"top", "tau_high"}
    for name, task in SETTINGS.items():
        (passage,) = (each for each in PASSAGES.values() if re.search(rf"\b{name}\b", each.switch))
        values = re.findall(r"“(\w[\w ]*)”", passage.switch.partition(name)[2].partition("(")[0])
        for value in values:
            kinds[task](**{name: value})
        assert values or name in ("fixed", "top", "tau_high")
    assert torch.is_tensor(passages.answers()[0])
