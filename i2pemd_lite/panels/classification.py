"""Skin images by class, their views, the selection of pseudo-labels on frozen predictions, and the curves of runs."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from i2pemd_lite.classification import CLASSES
from i2pemd_lite.classification.augment import plain, strong, weak
from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.panels import style
from i2pemd_lite.panels.panel import Panel, choice, slider
from i2pemd_lite.panels.training import Terms, Training
from i2pemd_lite.selection import Selection, select
from i2pemd_lite.training import generator

COLUMNS = 9  # images of a class on a contact sheet
VIEWS = 7


# --- the data: a contact sheet ------------------------------------------------------------------------------------


class Sheet(NamedTuple):
    """Some images of each class, and how many there are."""

    pictures: list  # K arrays (n, S, S, 3) uint8
    counts: np.ndarray  # (K,)
    lesions: np.ndarray | None  # (K,)


def contact(data, page=0):
    """The `page`-th COLUMNS images of each class; the pages begin again where a class has no more."""
    pictures, lesions = [], None
    for k in range(len(CLASSES)):
        members = (data.labels == k).nonzero().flatten()
        chosen = members[(page * COLUMNS + torch.arange(min(COLUMNS, len(members)))) % max(len(members), 1)]
        pictures.append(data.images[chosen].permute(0, 2, 3, 1).numpy())
    if data.lesions is not None:
        names, labels = np.array(data.lesions), data.labels.numpy()
        lesions = np.array([len(np.unique(names[labels == k])) for k in range(len(CLASSES))])
    return Sheet(pictures, np.bincount(data.labels.numpy(), minlength=len(CLASSES)), lesions)


def draw_sheet(figure, sheet):
    """A row of pictures for each class, and its count as a bar."""
    side = next(len(p[0]) for p in sheet.pictures if len(p))
    art = style.artists(figure, lambda figure: _SheetCard(figure, side))
    canvas = np.full((len(CLASSES) * (side + 2), COLUMNS * (side + 2), 3), 246, np.uint8)
    for k, pictures in enumerate(sheet.pictures):
        for n, picture in enumerate(pictures):
            canvas[k * (side + 2) : k * (side + 2) + side, n * (side + 2) : n * (side + 2) + side] = picture
    art.images.set_data(canvas)
    total = sheet.counts.sum()
    style.limits(art.axes, x=(0, 1.62 * sheet.counts.max()))
    for bar, text, count in zip(art.bars, art.texts, sheet.counts, strict=True):
        bar.set_width(count)
        text.set_position((count + 0.03 * sheet.counts.max(), text.get_position()[1]))
        text.set_text(f"{count}  ({100 * count / total:.1f} %)")


class _SheetCard:
    """The artists of the contact sheet."""

    def __init__(self, figure, side):
        K, step = len(CLASSES), side + 2
        axes = style.blank(figure.add_axes([0.06, 0.02, 0.62, 0.96]))
        self.images = axes.imshow(np.zeros((K * step, COLUMNS * step, 3), np.uint8), aspect="auto")
        axes.set_yticks([k * step + side / 2 for k in range(K)], CLASSES)
        self.axes = style.blank(figure.add_axes([0.70, 0.02, 0.29, 0.96]))
        self.axes.set_ylim(K - 0.5, -0.5)
        self.bars = self.axes.barh(range(K), [0] * K, 0.5, color=style.QUIET)
        self.texts = [self.axes.text(0, k, "", va="center", size=8.5) for k in range(K)]


def describe_sheet(sheet):
    """The long tail in words and numbers."""
    most, least = int(sheet.counts.argmax()), int(sheet.counts.argmin())
    words = (
        f"{sheet.counts.sum()} images. {CLASSES[most]} has {sheet.counts[most]} of them, {CLASSES[least]} "
        f"{sheet.counts[least]}: {sheet.counts[most] / max(sheet.counts[least], 1):.0f} times fewer."
    )
    numbers = {"images": int(sheet.counts.sum())}
    if sheet.lesions is not None:
        numbers["lesions"] = int(sheet.lesions.sum())
    return words, numbers | dict(zip(CLASSES, sheet.counts.tolist(), strict=True))


def sheet(data):
    """Images of each class of a `Prepared`, page by page, and the long tail.

    Example
    -------
        sheet(classification.prepare(classification.load(), 48))
    """
    pages = max(1, -(-int(np.bincount(data.labels.numpy()).max()) // COLUMNS))
    controls = {"page": slider("page", 1, 1, pages, 1, width="420px")}
    return Panel(
        "contact sheet",
        controls,
        lambda state: contact(data, state["page"] - 1),
        draw_sheet,
        describe_sheet,
        size=(9.4, 5.2),
    )


# --- weak and strong views ----------------------------------------------------------------------------------------


def look(data, state):
    """(2, VIEWS + 1, S, S, 3) uint8: weak views above, strong ones below, each row led by the plain image.

    `state` has image (from 1), n (operations), m (largest strength) and draw (seed).
    """
    batch = data.images[[state["image"] - 1] * VIEWS]
    rows = []
    for name, how in (("weak", weak), ("strong", strong)):
        options = {"n": state["n"], "m": state["m"]} if name == "strong" else {}
        views = how(batch, data.size, generator(state["draw"], name), **options)
        rows.append(torch.cat([plain(batch[:1], data.size), views]))
    return _bytes(torch.stack(rows))


def _bytes(views):
    """Normalised views as pictures."""
    from i2pemd_lite.classification.augment import IMAGENET_MEAN, IMAGENET_STD

    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((views * std + mean).clamp(0, 1) * 255).round().byte().movedim(-3, -1).numpy()


def draw_views(figure, views):
    """Two rows of pictures."""
    art = style.artists(figure, lambda figure: _ViewsCard(figure))
    for image, view in zip(art, views.reshape(-1, *views.shape[2:]), strict=True):
        image.set_data(view)


def _ViewsCard(figure):  # noqa: N802 (a card like the others, without a state of its own)
    images = []
    for row, name in enumerate(("weak", "strong")):
        figure.text(0.02, 0.68 - 0.47 * row, name, size=10, weight="bold")
        for n in range(VIEWS + 1):
            left = 0.075 + 0.112 * n + 0.018 * (n > 0)
            axes = style.blank(figure.add_axes([left, 0.49 - 0.47 * row, 0.106, 0.42]))
            images.append(axes.imshow(np.zeros((2, 2, 3), np.uint8), extent=(0, 1, 0, 1)))
    figure.text(0.085, 0.935, "as it is", size=9)
    figure.text(0.21, 0.935, f"{VIEWS} views, each with its own draw", size=9)
    return images


def views(data):
    """One image of a `Prepared` in its weak and strong views, with sliders for RandAugment.

    Example
    -------
        views(classification.prepare(classification.load(), 48))
    """

    def describe(shown):
        plain_view, strong_views = shown[1, 0].astype(float), shown[1, 1:].astype(float)
        far, near = (np.abs(rows - plain_view).mean() for rows in (strong_views, shown[0, 1:].astype(float)))
        words = f"A strong view differs from the image by {far:.0f} grey values on average, a weak one by {near:.0f}."
        state = made.state if made else {"image": 1}
        label = CLASSES[int(data.labels[state["image"] - 1])]
        return words, {"class": label, "weak: mean change": f"{near:.1f}", "strong: mean change": f"{far:.1f}"}

    made = None
    controls = {
        "image": slider("image", 1, 1, len(data), 1, width="320px"),
        "n": slider("operations n", 2, 0, 4, 1, width="220px"),
        "m": slider("largest strength m (of 10)", 10, 0, 10, 1, width="300px"),
        "draw": slider("draw (seed)", 0, 0, 20, 1, width="220px"),
    }
    made = Panel(
        "views",
        controls,
        lambda state: look(data, state),
        draw_views,
        describe,
        layout=[["image", "draw"], ["n", "m"]],
        size=(9.4, 2.75),
    )
    return made


# --- selection on frozen predictions ------------------------------------------------------------------------------


class Frozen(NamedTuple):
    """Predictions of one network that learns no more, for batches of unlabelled images whose truth is known here."""

    o: torch.Tensor  # (batches, N, K) softmax output of weak views
    truth: torch.Tensor  # (batches, N)
    ground: torch.Tensor  # (K, K), from the network's own prototypes
    step: int


def freeze(run, batches=25, seed=0):
    """Let a run predict weak views of `batches` batches of its unlabelled images, as large as in training."""
    learner, s = run.learner, run.settings
    count, there = s.unlabelled, len(learner.unlabelled)
    orders = [torch.randperm(there, generator=generator(seed, "frozen", b))[:count] for b in range(batches)]
    members, outputs = learner.unlabelled[torch.cat(orders)], []
    with learner.evaluating():
        for b, part in enumerate(members.split(count)):
            images = weak(learner.data.images[part].to(learner.device), s.size, generator(seed, "frozen view", b))
            outputs.append(learner.network(images)[1].float().softmax(1).cpu())
    truth = learner.data.labels[members].view(batches, -1)
    return Frozen(torch.stack(outputs), truth, learner.bank.ground_distance().cpu(), run.number)


class Judged(NamedTuple):
    """The selection in one batch, and in all of them together."""

    chosen: Selection  # of the shown batch
    right: np.ndarray  # (N,) bool
    others: np.ndarray  # (2, M): s and d of all batches
    regions: dict  # name -> (number, right) over all batches
    kept: tuple  # (number, right) in the shown batch
    state: dict


REGIONS = ("s > τ_high: always in", "band, among the T nearest: in", "band, not among them: out", "s ≤ τ_low: never in")


def compute(frozen, state):
    """Apply Eq. 15-18 to every batch, each with its own T nearest.

    `state` has tau_low, tau_high, top (T), batch (from 1) and ground ("learned", or "fix, 1 − I").
    """
    G = frozen.ground if state["ground"] == "learned" else fixed_ground_distance(frozen.o.shape[-1])
    judged = [select(o, G, state["tau_low"], state["tau_high"], state["top"]) for o in frozen.o]
    every = Selection(*(torch.cat(field) for field in zip(*judged, strict=True)))
    high = every.scores > state["tau_high"]
    band = every.confident & ~high
    right = every.labels == frozen.truth.flatten()
    masks = (high, band & every.mask, band & ~every.mask, ~every.confident)
    regions = {name: (int(m.sum()), int((m & right).sum())) for name, m in zip(REGIONS, masks, strict=True)}
    here = judged[state["batch"] - 1]
    mine = here.labels == frozen.truth[state["batch"] - 1]
    return Judged(
        here,
        mine.numpy(),
        torch.stack([every.scores, every.distances]).numpy(),
        regions,
        (int(here.mask.sum()), int((here.mask & mine).sum())),
        state,
    )


def draw(figure, result):
    """Left confidence against distance with the three regions, right what each region holds over all batches."""
    art = style.artists(figure, _SelectionCard)
    low, high = result.state["tau_low"], result.state["tau_high"]
    s, d = result.chosen.scores.numpy(), result.chosen.distances.numpy()
    top = max(0.05, np.ceil(20 * result.others[1].max()) / 20)
    style.limits(art.axes, y=(0, 1.12 * top))
    for patch, (left, right) in zip(art.shades, ((low, high), (high, 1.0)), strict=True):
        patch.set_bounds(left, 0, right - left, 1.12 * top)
    middles = {"never": max(low / 2, 0.2), "band": (low + high) / 2, "always": (1 + high) / 2}
    for text, (name, x) in zip(art.names, middles.items(), strict=True):
        text.set_text(name)
        text.set_position((x, 1.065 * top))
    last = np.sort(d)[result.state["top"] - 1]
    art.limit.set_data([0, 1], [last, last])
    art.limit_name.set_text(f"the T = {result.state['top']} nearest lie below")
    art.limit_name.set_position((0.135, last))
    art.others.set_data(*result.others)
    chosen = result.chosen.mask.numpy()
    for (kept, right), artist in art.marks.items():
        mine = (chosen == kept) & (result.right == right)
        artist.set_data(s[mine], d[mine])
    longest = max(number for number, _ in result.regions.values())
    for bars, (number, right) in zip(art.bars, result.regions.values(), strict=True):
        for bar, value in zip(bars[:2], (right, number - right), strict=True):
            bar.set_width(value / longest)
        bars[1].set_x(right / longest)
        bars[2].set_text(f"{number}, of them {100 * right / number:.1f} % right" if number else "0")
        bars[2].set_position((0.0, bars[2].get_position()[1]))


class _SelectionCard:
    """The artists of the selection."""

    def __init__(self, figure):
        from matplotlib.patches import Rectangle

        axes = self.axes = figure.add_axes([0.065, 0.145, 0.50, 0.74])
        axes.set(xlim=(0.12, 1.005), xlabel="confidence s (Eq. 15)", title="One batch: I2PEMD d against confidence s")
        axes.set_ylabel("I2PEMD d")
        shades = ({"facecolor": "#e6dcc3"}, {"facecolor": "#dfe5ea"})
        self.shades = [axes.add_patch(Rectangle((0, 0), 1, 1, zorder=0, **look)) for look in shades]
        self.others = axes.plot([], [], ls="", marker=".", ms=2.5, color=style.LINE, zorder=1)[0]
        self.limit = axes.plot([], [], color=style.QUIET, lw=1, ls="--", zorder=2)[0]
        self.limit_name = axes.text(0, 0, "", size=8, color=style.QUIET, va="bottom")
        self.names = [axes.text(0, 0, "", size=8.5, weight="bold", ha="center", va="center") for _ in range(3)]
        looks = {
            (False, True): {"marker": "o", "mfc": "none", "mec": style.QUIET, "ms": 6},
            (False, False): {"marker": "x", "mec": style.QUIET, "ms": 6, "mew": 1.2},
            (True, True): {"marker": "o", "mfc": style.BLACK, "mec": style.CARD, "ms": 7},
            (True, False): {"marker": "X", "mfc": style.RED, "mec": style.CARD, "ms": 9},
        }
        self.marks = {key: axes.plot([], [], ls="", zorder=3, **look)[0] for key, look in looks.items()}
        figure.text(0.60, 0.905, "All batches: pseudo-labels by region", size=9.5)
        right = style.blank(figure.add_axes([0.60, 0.20, 0.385, 0.66]))
        right.set(xlim=(0, 1), ylim=(3.6, -0.55))
        self.bars = []
        for k, name in enumerate(REGIONS):
            inside = k < 2
            right.text(0, k - 0.30, name, size=8.5, weight="bold" if inside else "normal")
            good = right.barh([k], [0], 0.26, color=style.BLACK if inside else style.QUIET)[0]
            bad = right.barh([k], [0], 0.26, color="none", edgecolor=style.RED, hatch="//////", linewidth=0.8)[0]
            self.bars.append((good, bad, right.text(0, k + 0.30, "", size=8.5, color=style.QUIET, va="center")))
        figure.text(0.60, 0.115, "●  chosen, right     ✖  chosen, wrong", size=8.5)
        figure.text(0.60, 0.05, "○  left out, right    ×  left out, wrong    ▨  wrong", size=8.5, color=style.QUIET)


def describe(result):
    """Who was chosen and how well, in the shown batch and over all."""
    (high, high_right), (kept, kept_right), (out, out_right), (never, _) = result.regions.values()
    total, band = high + kept + out + never, kept + out
    words = (
        f"I2PEMD decides about {band} of {total} pseudo-labels, {100 * band / total:.1f} %: it lets in {kept} and "
        f"keeps out {out}. The thresholds alone decide about the rest."
    )
    good = high_right + kept_right
    return words, {
        "chosen here": f"{result.kept[0]} of {len(result.right)}",
        "right here": result.kept[1],
        "chosen in all": high + kept,
        "of them right": _percent(good, high + kept),
        "band, let in: right": _percent(kept_right, kept),
        "band, kept out: right": _percent(out_right, out),
    }


def _percent(part, whole):
    return f"{100 * part / whole:.1f} %" if whole else "none"


def selection(frozen, **start):
    """The selection rule on `Frozen` predictions; values in `start` set controls.

    Example
    -------
        selection(freeze(run), tau_low=0.6)
    """
    batches, count, _ = frozen.o.shape
    controls = {
        "tau_low": slider("τ_low", 0.7, 0.3, 0.97, 0.01, width="320px"),
        "tau_high": slider("τ_high", 0.8, 0.32, 0.99, 0.01, width="320px"),
        "top": slider("T (nearest of the batch)", min(24, count), 1, count, 1, width="320px"),
        "batch": slider("batch", 1, 1, batches, 1, width="260px"),
        "ground": choice("G", ["learned", "fix, 1 − I"], "learned", "200px"),
    }

    # A threshold takes the other along before they cross.
    def push(name, other, shift, take):
        def pushed(change):
            controls[other].value = take(controls[other].value, round(change["new"] + shift, 2))

        controls[name].observe(pushed, "value")

    push("tau_low", "tau_high", 0.02, max)
    push("tau_high", "tau_low", -0.02, min)

    @lru_cache(64)
    def cached(items):
        return compute(frozen, dict(items))

    made = Panel(
        "selection",
        controls,
        lambda state: cached(tuple(state.items())),
        draw,
        describe,
        layout=[["tau_low", "tau_high"], ["top", "batch", "ground"]],
        size=(9.4, 3.7),
    )
    if start:
        made.set(**start)
    return made


def panel(**runs):
    """Curves of up to four classification runs: losses, what the selection did, and figures on held-back images.

    Example
    -------
        curves = panel(baseline=baseline, ours=ours)
        curves.go(run="ours")
    """
    unlabelled = max(run.settings.unlabelled for run in runs.values())
    terms = (
        Terms("Losses (Eq. 14)", ("labelled", "unlabelled")),
        Terms(f"Part of the {unlabelled} unlabelled", ("kept", "right", "band", "band_kept"), per=unlabelled),
    )
    measures = {"AUC": "auc", "top-1 accuracy": "top1", "F1": "f1", "sensitivity": "sensitivity"}
    measures |= {"specificity": "specificity", "accuracy (Table 4)": "accuracy"}
    return Training(runs, terms, measures, CLASSES)
