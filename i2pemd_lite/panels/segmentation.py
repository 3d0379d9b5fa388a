"""CT and MR slices side by side, with truth, prediction and the I2PEMD of every voxel; and the curves of runs."""

from typing import NamedTuple

import numpy as np

from i2pemd_lite.emd import i2pemd
from i2pemd_lite.metrics import dice
from i2pemd_lite.panels import style
from i2pemd_lite.panels.panel import Panel, choice, slider, switch
from i2pemd_lite.panels.training import Terms, Training
from i2pemd_lite.segmentation import CLASSES, MODALITIES, ORGANS, Prepared

SHORT = ("backgr.", "liver", "R kidney", "L kidney", "spleen")
# Neither the blue of CT nor the orange of MR; each region also carries its name.
COLOURS = np.array([[0, 0, 0], [240, 212, 74], [99, 192, 138], [214, 120, 184], [156, 139, 224]]) / 255
TOP = (len(CLASSES) - 1) / len(CLASSES)  # no entry of G is larger (Eq. 4)


class Slice(NamedTuple):
    """One slice of one case; the fields that do not exist are None."""

    case: str
    index: int
    depth: int
    image: np.ndarray  # (H, W), 0..1 for display
    truth: np.ndarray | None  # (H, W) classes
    prediction: np.ndarray | None
    distance: np.ndarray | None  # (H, W) I2PEMD(p_v, e_{y_v})
    doc: np.ndarray | None  # (K,) of the whole case


class Result(NamedTuple):
    """What the two pictures show."""

    slices: dict  # modality -> Slice
    overlay: str
    outline: bool


class Looker:
    """Slices of prepared cases, and of what a run says of them; a case is predicted once for each state of the run."""

    def __init__(self, source):
        self.run = None if isinstance(source, Prepared) else source
        self.cases = {case.name: case for case in (source if self.run is None else source.learner.data).labelled}
        self.held_back = () if self.run is None else tuple(case.name for case in source.learner.test_cases)
        self.number, self.known = None, {}

    def names(self, modality):
        """(text, name) of its cases; those held back from a run come first."""
        mine = [name for name, case in self.cases.items() if case.modality == modality]
        mine.sort(key=lambda name: name not in self.held_back)
        return [(name.split("/")[-1] + " (held back)" * (name in self.held_back), name) for name in mine]

    def predicted(self, case):
        """Classes and distances (D, H, W) of a case, and the DOC of each class; None without a run."""
        if self.run is None:
            return None, None, None
        if self.number != self.run.number:
            self.number, self.known = self.run.number, {}
        if case.name not in self.known:
            with self.run.learner.evaluating():
                p = self.run.learner.probabilities(case)
            G = self.run.learner.bank.ground_distance().cpu()
            labels = p.argmax(0)
            distance = i2pemd(p[None], case.label[None].long(), G)[0]
            doc = dice(labels, case.label, len(CLASSES))
            self.known[case.name] = labels.numpy(), distance.numpy(), doc.numpy()
        return self.known[case.name]

    def slice(self, name, height):
        """The slice of a case at `height` percent of its depth."""
        case = self.cases[name]
        depth = len(case.image)
        z = round(height / 100 * (depth - 1))
        image = case.image[z].numpy()
        low, high = np.quantile(case.image[:: max(1, depth // 4)], (0.01, 0.995))
        shown = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
        labels, distance, doc = self.predicted(case)
        part = (None if labels is None else labels[z], None if distance is None else distance[z])
        return Slice(name, z, depth, shown, case.label[z].numpy(), *part, doc)


def compute(looker, state):
    """The two slices of the state: ct and mr (names of cases), height (percent), overlay, outline."""
    slices = {modality: looker.slice(state[modality], state["height"]) for modality in MODALITIES}
    return Result(slices, state["overlay"], state["outline"])


def edges(labels):
    """The borders of the organs, as (n, 2, 2) line segments between voxels, x before y.

    Example
    -------
    >>> edges(np.array([[0, 1]])).tolist()
    [[[0.5, -0.5], [0.5, 0.5]]]
    """
    y, x = np.nonzero(labels[:, 1:] != labels[:, :-1])
    upright = np.stack([[x + 0.5, y - 0.5], [x + 0.5, y + 0.5]])
    y, x = np.nonzero(labels[1:] != labels[:-1])
    level = np.stack([[x - 0.5, y + 0.5], [x + 0.5, y + 0.5]])
    return np.concatenate([upright, level], -1).transpose(2, 0, 1)


def paint(part, overlay):
    """The overlay of a slice as (H, W, 4) colours, transparent where there is nothing to say."""
    if overlay == "I2PEMD":
        import matplotlib

        rgba = matplotlib.colormaps[style.HEAT](part.distance / TOP)
        rgba[..., 3] = 0.92
        return rgba
    labels = {"truth": part.truth, "prediction": part.prediction}.get(overlay)
    if labels is None:
        return np.zeros((*part.image.shape, 4))
    return np.concatenate([COLOURS[labels], 0.55 * (labels > 0)[..., None]], -1)


def draw(figure, result):
    """CT on the left, MR on the right, an overlay on both, and the outline of the truth."""
    art = style.artists(figure, _Card)
    for modality, part in result.slices.items():
        view = art.views[modality]
        view.base.set_data(part.image)
        view.overlay.set_data(paint(part, result.overlay))
        view.outline.set_segments(edges(part.truth) if result.outline else [])
        extent = (-0.5, part.image.shape[1] - 0.5, part.image.shape[0] - 0.5, -0.5)
        for artist in (view.base, view.overlay):
            if tuple(artist.get_extent()) != extent:
                artist.set_extent(extent)
        view.title.set_text(f"{part.case.split('/')[-1]}, slice {part.index + 1} of {part.depth}")
        named = part.prediction if result.overlay == "prediction" else part.truth
        hidden = result.overlay == "image only" and not result.outline
        for k, text in enumerate(view.names, 1):
            text.set_visible(not hidden and bool((named == k).any()))
            if (named == k).any():
                y, x = np.nonzero(named == k)
                text.set_position((x.mean(), y.min() - 0.02 * len(named)))
                text.set_text(SHORT[k])
    art.bar.set_visible(result.overlay == "I2PEMD")
    for text, word in art.scale.items():
        text.set_text(word if result.overlay == "I2PEMD" else "")


class _View:
    """One slice: picture, overlay, outline and the names of organs."""

    def __init__(self, figure, left, title, mark):
        from matplotlib.collections import LineCollection

        axes = style.blank(figure.add_axes([left, 0.02, 0.44, 0.88]))
        self.base = axes.imshow(np.zeros((8, 8)), cmap="gray", vmin=0, vmax=1)
        self.overlay = axes.imshow(np.zeros((8, 8, 4)), interpolation="nearest")
        self.outline = axes.add_collection(LineCollection([], colors="white", linewidths=1.3))
        box = {"facecolor": style.CARD, "edgecolor": "none", "alpha": 0.85, "pad": 1.2}
        self.names = [axes.text(0, 0, "", size=8, ha="center", va="center", bbox=box) for _ in ORGANS]
        figure.text(left + 0.055, 0.935, title, size=10, weight="bold", color=mark)
        self.title = figure.text(left + 0.115, 0.935, "", size=9.5)


class _Card:
    """The artists of both slices and of the colour scale."""

    def __init__(self, figure):
        self.views = {
            "ct": _View(figure, 0.0, "CT  ○", style.BLUE),
            "mr": _View(figure, 0.46, "MR  ×", style.ORANGE),
        }
        axes = style.blank(figure.add_axes([0.925, 0.1, 0.016, 0.68]))
        steps = np.linspace(TOP, 0, 64)[:, None]
        self.bar = axes.imshow(steps, cmap=style.HEAT, vmin=0, vmax=TOP, aspect="auto", extent=(0, 1, 0, TOP))
        self.scale = {axes.text(1.4, y, "", size=8, va="center"): style.number(y) for y in (0, TOP / 2, TOP)}
        head = axes.text(0.5, TOP * 1.06, "", size=8.5, ha="center", va="bottom")
        self.scale[head] = "I2PEMD\nto the truth"


def describe(result):
    """What the slices show, and the overlaps of the two cases."""
    words, numbers = [], {}
    for modality, part in result.slices.items():
        seen = [ORGANS[k - 1] for k in range(1, len(CLASSES)) if (part.truth == k).any()]
        words.append(f"{modality.upper()} slice {part.index + 1} of {part.depth} shows {', '.join(seen) or 'no organ'}")
        numbers[f"{modality.upper()} organ voxels here"] = int((part.truth > 0).sum())
        if part.doc is not None:
            wrong = int((part.prediction != part.truth).sum())
            words[-1] += f", {wrong} voxels are labelled wrongly"
            numbers[f"{modality.upper()} DOC of the case (%)"] = f"{100 * np.nanmean(part.doc[1:]):.1f}"
            numbers[f"{modality.upper()} mean I2PEMD here"] = f"{part.distance.mean():.4f}"
    return ". ".join(words) + ".", numbers


def viewer(source, **start):
    """Slices of a `Prepared` (image and truth), or of a run (also its prediction, and I2PEMD by its own G).

    Values in `start` set controls.
    """
    looker = Looker(source)
    overlays = ["image only", "truth"] if looker.run is None else ["image only", "truth", "prediction", "I2PEMD"]
    cases = {modality: looker.names(modality) for modality in MODALITIES}
    made = Panel(
        "slices",
        {
            "ct": choice("CT case", cases["ct"], cases["ct"][0][1], "260px"),
            "mr": choice("MR case", cases["mr"], cases["mr"][0][1], "260px"),
            "height": slider("height (% of the stack)", 50, 0, 100, 1, width="380px"),
            "overlay": choice("overlay", overlays, "truth" if looker.run is None else "prediction", "220px"),
            "outline": switch("outline the truth in white", looker.run is not None, "220px"),
        },
        lambda state: compute(looker, state),
        draw,
        describe,
        layout=[["ct", "mr"], ["height", "overlay", "outline"]],
        size=(9.4, 4.4),
    )
    if start:
        made.set(**start)
    return made


def panel(**runs):
    """Curves of up to four segmentation runs: the terms of Eq. 7, DOC on held-back cases, and G.

    Example
    -------
        curves = panel(joint=joint, ours=ours)
        curves.go(run="ours")
    """
    terms = (Terms("Loss terms (Eq. 7)", ("ce", "dice", "i2pemd")),)
    measures = {"DOC": "doc", "DOC of CT": "ct", "DOC of MR": "mr"}
    measures |= {f"DOC of {m.upper()} {organ}": f"{m} {organ}" for m in MODALITIES for organ in ORGANS}
    return Training(runs, terms, measures, ("bg", "liver", "R kid", "L kid", "spl"))
