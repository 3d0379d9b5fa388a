"""What CT and MR share: the network of each row of Table 1, drawn from the module that is trained.

`walk` asks a `UNet` for its stages, and sends a small volume through it to see which stage feeds which. Nothing of the
drawing is known beforehand but its order from left to right: a network that is built otherwise is drawn otherwise.
"""

import math
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from i2pemd_lite.panels.engine import style
from i2pemd_lite.panels.engine.panel import Panel, choice, steps
from i2pemd_lite.segmentation import CLASSES, METHODS, MODALITIES
from i2pemd_lite.segmentation.network import PerModality, UNet
from i2pemd_lite.segmentation.settings import SegmentationSettings


def walk(network):
    """The stages of a `UNet` in the order in which they are used; its weights and statistics stay as they are.

    Of each: `name`; `shared`, whether by both modalities; `layers` of one copy; `parameters` of all copies; `level`,
    how often the resolution was halved before its output; `inputs`, the stages whose output it takes, "" for the image,
    of which those after the first are skips; `gives`, "F" if its output is the features, "logits", or "".

    Example
    -------
    >>> for block in walk(UNet("y_shaped", width=2, dim=4)):
    ...     print(block.name, block.shared, block.inputs, block.gives)
    enc1 False ('',)
    enc2 False ('enc1',)
    enc3 False ('enc2',)
    enc4 False ('enc3',)
    dec3 True ('enc4', 'enc3')
    dec2 True ('dec3', 'enc2')
    dec1 True ('dec2', 'enc1') F
    head True ('dec1',) logits
    """
    stages = {name: module for name, module in network.named_children() if list(module.parameters())}
    calls, maker = {}, {}  # stage -> its inputs and its output; id of a tensor -> the stage that made it

    def note(name, module, inputs, output):
        maker[id(output)] = name or maker[id(inputs[0])]  # what was pooled is still its stage's
        calls[name] = inputs, output  # which keeps them, so that their ids stay theirs

    # Each stage says what it is given and what it gives:   image → enc1 → pool → enc2 → … → head
    hooks = [module.register_forward_hook(partial(note, name)) for name, module in {**stages, "": network.pool}.items()]
    training, image = network.training, torch.zeros(2, 1, 8, 8, 8, device=next(network.parameters()).device)
    try:
        with torch.inference_mode():
            features, logits = network.eval()(image, sizes=(1,) * len(MODALITIES))
    finally:
        network.train(training)
        for handle in hooks:
            handle.remove()
    calls.pop("")
    return tuple(
        SimpleNamespace(
            name=name, shared=not isinstance(stages[name], PerModality), layers=_layers(stages[name]),
            parameters=sum(p.numel() for p in stages[name].parameters()),
            level=round(math.log2(image.shape[-1] / output.shape[-1])),
            inputs=tuple(maker.get(id(tensor), "") for tensor in inputs),
            gives="F" if output is features else "logits" if output is logits else "",
        )
        for name, (inputs, output) in calls.items()
    )  # fmt: skip


def _layers(stage):
    """The convolutions of one copy of a stage, each with the number of normalisations after it: 0, 1, or one for each
    modality."""
    copy = stage.copies[MODALITIES[0]] if isinstance(stage, PerModality) else stage
    layers = []
    for module in copy.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            up, channels = isinstance(module, nn.ConvTranspose3d), (module.in_channels, module.out_channels)
            layers.append(SimpleNamespace(up=up, kernel=module.kernel_size, channels=channels, norms=0))
        if isinstance(module, nn.BatchNorm3d):
            layers[-1].norms += 1
    return layers


def compute(state):
    """The network of state's method, width (b), dim (d) and upconv, as it is built for a run."""
    method = state["method"]
    blocks = _built(METHODS[method].sharing, state["width"], state["dim"], state["upconv"])
    return SimpleNamespace(method=method, blocks=blocks, parameters=sum(block.parameters for block in blocks))


@lru_cache(64)
def _built(sharing, width, dim, upconv):
    with torch.device("meta"):  # no weights are drawn; a walk there would load torch's compiler
        network = UNet(sharing, width, dim, len(CLASSES), upconv)
    return walk(network.to_empty(device="cpu"))


LANES = (1, style.BLUE, "-", "CT ○"), (-1, style.ORANGE, (4, 2), "MR ×")
WIDE, TALL = 0.475, 0.84  # half a box
OFF = 0.12  # how far the two paths lie apart where they run through one box


def draw(card, result):
    """Two lanes from left to right, CT above and MR below, which meet in the stages that are shared."""
    bold = {"size": 9.5, "weight": "bold"}
    card.paper.text(0.012, 0.945, f"{result.method}: CT and MR share {said(result.blocks)}", **bold)
    card.paper.text(0.988, 0.945, f"{result.parameters:,} parameters", ha="right", **bold)
    card.paper.text(0.012, 0.9, added(result.method), size=9)
    key = "Kernel D·H·W → channels; ↑ doubles the resolution; ● one normalisation for both, ○× one for each."
    key += " Below: parameters, and resolution. Thin: skips."
    card.paper.text(0.012, 0.03, key, size=8.5, color=style.QUIET)

    look = {"xlim": (-0.87, len(result.blocks) - 0.5), "ylim": (-2.8, 2.8)}
    plane = card.plane("network", [0.005, 0.09, 0.99, 0.82], "blank", **look)
    places = {block.name: (x, block.shared) for x, block in enumerate(result.blocks)}
    lines = [(block.inputs, places[block.name]) for block in result.blocks]
    for side, ink, ls, _ in LANES:
        skips = [_skip(places[name], end, side) for inputs, end in lines for name in inputs[1:]]
        plane.line(*np.concatenate(skips).T, color=ink, ls=ls, lw=1.0, alpha=0.6)
    for side, ink, ls, mark in LANES:
        path = [_path(places.get(inputs[0]), end, side) for inputs, end in lines]
        plane.line(*np.concatenate(path).T, color=ink, ls=ls, lw=1.8)
        plane.text(-0.85, 1.35 * side, mark, color=ink, weight="bold", va="center")
    for x, block in enumerate(result.blocks):
        if block.shared:
            _box(plane, x, 0, block, style.INK, 1.8, "●")
        else:
            for side, ink, _, mark in LANES:
                _box(plane, x, side, block, ink, 1.3, mark[-1])


def _path(start, end, side):
    """A line from one box, or from the image, to the next, and a gap; a box is (x, shared)."""
    (x, shared), (to, to_shared) = start or (-0.85 - WIDE, False), end
    return [(x + WIDE, side * (OFF if shared else 1)), (to - WIDE, side * (OFF if to_shared else 1)), (np.nan, np.nan)]


def _skip(start, end, side):
    """A line from one box around those between to a later one, the higher the more there are, and a gap."""
    top = side * (1.95 + 0.12 * (end[0] - start[0]))
    (x, edge), (to, to_edge) = ((x, side * (TALL + (not shared))) for x, shared in (start, end))
    return [(x, edge), (x, top), (to, top), (to, to_edge), (np.nan, np.nan)]


def _box(plane, x, y, block, ink, lw, mark):
    """A stage around (x, y); `mark` says that a layer has one normalisation."""
    plane.rect(x - WIDE, y - TALL, 2 * WIDE, 2 * TALL, fc=style.PAPER, ec=ink, lw=lw, round=6, zorder=3)
    layers = [
        f"{'↑' * layer.up}{'·'.join(map(str, layer.kernel))}→{layer.channels[1]}{('', mark, '○×')[layer.norms]}"
        for layer in block.layers
    ]
    parameters = block.parameters // (1 if block.shared else len(MODALITIES))
    look = {"ha": "center", "va": "center", "zorder": 4}
    plane.text(x, y + 0.63, block.name + " → F" * (block.gives == "F"), size=8.5, weight="bold", color=ink, **look)
    plane.text(x, y + 0.03, "\n".join(layers), size=8, linespacing=1.3, **look)
    plane.text(x, y - 0.66, f"{parameters:,} · 1/{2**block.level}", size=8, color=style.QUIET, **look)


def said(blocks):
    """What CT and MR share, in words.

    Example
    -------
    >>> [said(compute({"method": m, "width": 4, "dim": 8, "upconv": "cicek"}).blocks) for m in ("joint", "y_shaped")]
    ['everything', 'dec3, dec2, dec1, head']
    """
    shared = [block for block in blocks if block.shared]
    apart = any(layer.norms > 1 for block in shared for layer in block.layers)
    names = ", ".join(block.name for block in shared)
    what = {0: "nothing", len(blocks): "all kernels" if apart else "everything"}.get(len(shared), names)
    return f"{what}; each has its own normalisation" if apart else what


def added(method):
    """What a row adds to the loss, in words.

    Example
    -------
    >>> added("joint"), added("ummkd")
    ('', 'The loss has a distillation term as well.')
    """
    row = METHODS[method]
    words = {"kd": "a distillation term", "i2ped": "λ L_I2PED"}.get(row.extra)
    if row.ground in ("learned", "fixed"):
        words = f"λ L_I2PEMD with the {row.ground} G"
    return f"The loss has {words} as well." if words else ""


def describe(result):
    """Which stages are shared, and how many parameters that takes."""
    split = ", ".join(block.name for block in result.blocks if not block.shared) or "none"
    words = f"{result.method}: CT and MR share {said(result.blocks)}. Stages with one copy for each modality: {split}. "
    words += added(result.method)
    features = next(block for block in result.blocks if block.gives == "F")
    shared = sum(block.parameters for block in result.blocks if block.shared)
    return words.strip(), {
        "parameters": f"{result.parameters:,}",
        "in shared stages": f"{shared:,}",
        "in copied stages": f"{result.parameters - shared:,}",
        "features F": f"{features.layers[-1].channels[1]} channels, of {features.name}",
    }


def sharing(method: str = "joint_sepbn", **start: Any) -> Panel:
    """The network of a row of Table 1 or 3, or of a sharing scheme; values in `start` set controls.

    Example
    -------
    >>> sharing("x_shaped").numbers["parameters"]
    '3,706,090'
    """
    paper = SegmentationSettings(method=method)  # which refuses one that is not there
    controls = {
        "method": choice("row", list(METHODS), method),
        "width": steps("b (channels of the first layer)", [4, 8, 16], paper.width),
        "dim": steps("d (channels of F)", [8, 16, 32, 64, 128], paper.dim),
        "upconv": choice("up-convolution", ["cicek", "ummkd"], paper.upconv),
    }
    layout = [["method", "upconv"], ["width", "dim"]]
    return Panel("sharing", controls, compute, draw, describe, layout=layout, size=(9.4, 4.3), start=start)
