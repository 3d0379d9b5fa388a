"""The hardest images of a test set, and what each method answers to them: Figure 7 of the paper."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from i2pemd_lite.classification import CLASSES
from i2pemd_lite.files import BadInput
from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, slider

MOST = 4  # methods beside each other
PAGE = 6  # images
BLANK = 0.005  # scores that would be written as 0 are left out: most are, and writing is what takes time
ALL = "all classes"
ORDERS = {
    "hardest for all": "smallest mean score of the true class first",
    "methods disagree most": "largest difference between two methods' scores of the true class first",
}


class Scored(NamedTuple):
    """What each method answers to the same held-back images."""

    methods: tuple  # M names
    scores: np.ndarray  # (M, n, K) softmax output
    truth: np.ndarray  # (n,)
    images: np.ndarray  # (n, S, S, 3) uint8
    ids: tuple  # n names


def scored(runs):
    """Let the runs, a dict by name, answer to their held-back images: with the best weights where some were selected.

    Raises `BadInput` for no run, more than four, or runs that hold back other images.
    """
    if not 1 <= len(runs) <= MOST:
        raise BadInput(f"runs: expected one to {MOST}, found {len(runs)}; open another panel")
    first = next(iter(runs))
    data, members = runs[first].learner.data, runs[first].learner.test
    for name, run in runs.items():
        if (run.learner.data.fingerprint, run.learner.test.tolist()) != (data.fingerprint, members.tolist()):
            raise BadInput(f"runs: expected the same held-back images, found others in {name} than in {first}")
    scores = []
    for run in runs.values():
        with run.best_weights(), run.learner.evaluating():
            scores.append(run.learner.probabilities(members).numpy())
    truth, images = data.labels[members].numpy(), data.images[members].permute(0, 2, 3, 1).numpy()
    return Scored(tuple(runs), np.stack(scores), truth, images, tuple(data.ids[i] for i in members.tolist()))


def ranked(answers, order, kind=ALL):
    """Positions of the images, of one class or of all, in an order, and the values that it is by.

    With t_mi the score that method m of M gives to the true class of image i these are (1/M) Σ_m t_mi, ascending, for
    the hardest, and max_m t_mi − min_m t_mi, descending, for those on which the methods disagree.
    """
    t = answers.scores[:, np.arange(len(answers.truth)), answers.truth].astype(float)
    values = t.mean(0) if order == "hardest for all" else t.max(0) - t.min(0)
    places = np.argsort(values if order == "hardest for all" else -values, kind="stable")
    if kind != ALL:
        places = places[answers.truth[places] == CLASSES.index(kind)]
    return places, values[places]


def compute(answers, state):
    """A page of the order: `state` has order (a key of `ORDERS`), kind (a class or `ALL`) and page (from 1).

    Of each of its `cases` the place in the order, from 1, image, scores (M, K), and the value that the order is by;
    `count` images are in the order, of which each method, and all methods together, have `missed` some.
    """
    places, values = ranked(answers, state["order"], state["kind"])
    first = (state["page"] - 1) * PAGE
    cases = [
        SimpleNamespace(place=n + 1, id=answers.ids[i], truth=int(answers.truth[i]), image=answers.images[i],
                        scores=answers.scores[:, i], value=float(values[n]))
        for n, i in enumerate(places[first : first + PAGE], first)
    ]  # fmt: skip
    wrong = answers.scores[:, places].argmax(2) != answers.truth[places]
    missed = {**dict(zip(answers.methods, wrong.sum(1), strict=True)), "all methods": wrong.all(0).sum()}
    return SimpleNamespace(methods=answers.methods, order=state["order"], cases=cases, page=state["page"],
                           count=len(places), missed=missed)  # fmt: skip


def pages_of(count):
    """Pages for so many images: at least one."""
    return max(1, -(-count // PAGE))


def draw(card, result):
    """For each image its picture, and the scores of every method by class, with the true class framed."""
    methods = len(result.methods)
    wide, high, row = size(methods)
    tall, side = row - HEAD, min(1.05, row - HEAD)
    for n, case in enumerate(result.cases):
        left, bottom = 4.72 * (n % 2), high - row * (n // 2 + 1) + 0.07
        box = [(left + 0.1) / wide, bottom / high, side / wide, side / high]
        card.plane(f"image {n}", box, "blank").image(case.image, 0, 255, extent=(0, 1, 0, 1))
        box = [(left + 2.1) / wide, bottom / high, 2.5 / wide, tall / high]
        scores = card.plane(f"scores {n}", box, "blank")
        words = [["" if value < BLANK else style.number(value) for value in answer] for answer in case.scores]
        answers = case.scores == case.scores.max(1, keepdims=True)
        scores.matrix(case.scores, result.methods, CLASSES, aspect="auto", words=words, bold=answers)
        for edge, width in ((style.PAPER, 4.5), (style.RED, 2.2)):
            scores.rect(case.truth - 0.5, -0.5, 1, methods, ec=edge, lw=width, clip=False, zorder=4)
        value = ("mean score" if result.order == "hardest for all" else "range") + f" {case.value:.2f}"
        title = f"{case.place}. {CLASSES[case.truth]}   {value}   {case.id[-24:]}"
        card.paper.text((left + 0.1) / wide, (bottom + row - 0.31) / high, title, size=9, weight="bold")


HEAD = 0.64  # inches above the scores of an image: its title, and the classes


def size(methods):
    """Inches of the figure for so many methods: width, height, and the height of one of its three rows."""
    row = max(0.88, 0.25 * methods) + HEAD
    return 9.4, 3 * row, row


def describe(result):
    """Each image of the page in a sentence, and how many are missed."""
    if not result.cases:
        return "No held-back image is of this class.", {"images": 0}
    first, last = result.cases[0].place, result.cases[-1].place
    words = [f"Images {first} to {last} of {result.count}, {ORDERS[result.order]}."]
    for case in result.cases:
        by_answer = {}
        for method, row in zip(result.methods, case.scores, strict=True):
            by_answer.setdefault(int(row.argmax()), []).append(f"{method} ({row.max():.2f})")
        answers = "; ".join(f"{CLASSES[k]} by {', '.join(methods)}" for k, methods in by_answer.items())
        words.append(f"{case.place}: {CLASSES[case.truth]}, called {answers}.")
    wrong = {f"wrong: {name}": f"{number} of {result.count}" for name, number in result.missed.items()}
    return " ".join(words), {"page": f"{result.page} of {pages_of(result.count)}", **wrong}


def hardest(runs, **start):
    """The held-back images that are hardest for up to four runs, page by page, with the scores of each run.

    `runs` is a dict by name, as in `hardest({"fixmatch": fixmatch, "i2pemd": ours}, kind="MEL")`. The scores are
    computed once, here. Values in `start` set controls: order (a key of `ORDERS`), kind (a class or `ALL`), page.
    """
    answers = scored(runs)
    count = {ALL: len(answers.truth), **{name: int((answers.truth == k).sum()) for k, name in enumerate(CLASSES)}}
    controls = {
        "order": choice("order", list(ORDERS), "hardest for all"),
        "kind": choice("true class", [(f"{name} ({n})", name) for name, n in count.items() if n], ALL),
        "page": slider("page", 1, 1, pages_of(count[ALL]), 1),
    }
    controls["kind"].observe(lambda change: setattr(controls["page"], "max", pages_of(count[change["new"]])), "value")
    return Panel("hardest images", controls, lambda state: compute(answers, state), draw, describe,
                 layout=[list(controls)], size=size(len(runs))[:2], start=start)  # fmt: skip
