"""The 3D U-Net of Dou et al. 2020, a residual one past it, and the five ways in which CT and MR can share either.

Tensors are (B, channels, D, H, W), slices first; the paper writes H × W × D. A batch holds first the CT samples, then
the MR samples; `sizes = (number of CT, number of MR)` tells them apart.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2pemd_lite.files import BadInput
from i2pemd_lite.segmentation.layout import MODALITIES

DECODER = ("dec3", "dec2", "dec1", "dec0", "last", "head", "coarse1", "coarse2")
STAGES = ("edge", "enc0", "enc1", "enc2", "enc3", "enc4", *DECODER)
# Which stages CT and MR share, of those that a network has, and whether their normalisation is separate where the
# kernels are shared.
SHARING = {
    "individual": ((), False),
    "joint": (STAGES, False),
    "joint_sepbn": (STAGES, True),
    "x_shaped": (("enc4",), False),
    "y_shaped": (DECODER, False),
}
CUBE = {"kernel_size": 3, "padding": 1}
FLAT = {"kernel_size": (1, 3, 3), "padding": (0, 1, 1)}  # does not reach along z
IN_PLANE = (1, 2, 2)  # a stride


class PerModality(nn.Module):
    """One copy of a layer for each modality: each part of the batch goes through its own, and they are rejoined."""

    def __init__(self, make: Callable[[], nn.Module]):
        super().__init__()
        self.copies = nn.ModuleDict({modality: make() for modality in MODALITIES})

    def forward(self, *inputs, sizes):
        parts, outputs = zip(*(x.split(sizes) for x in inputs), strict=True), []
        for modality, part, size in zip(MODALITIES, parts, sizes, strict=True):
            if size:
                only = tuple(size * (m == modality) for m in MODALITIES)
                outputs.append(_apply(self.copies[modality], part, only))
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


def by_batch(channels, separate):
    """Batch normalisation, of CT and MR together or of each alone."""
    make = functools.partial(nn.BatchNorm3d, channels, eps=1e-3, momentum=0.1)
    return PerModality(make) if separate else make()


class BySample(nn.Module):
    """Normalisation over each sample and channel, with one scale and shift or, `separate`, those of its modality."""

    def __init__(self, channels, separate):
        super().__init__()
        names = MODALITIES if separate else ("both",)
        self.copies = nn.ModuleDict({name: nn.GroupNorm(channels, channels) for name in names})

    def forward(self, x, sizes):
        sizes = sizes if len(self.copies) > 1 else (len(x),)
        norms = [norm for norm, size in zip(self.copies.values(), sizes, strict=True) for _ in range(size)]
        scale, shift = (torch.cat([getattr(norm, name) for norm in norms]) for name in ("weight", "bias"))
        # As one sample of so many more channels, so that no part of the batch has to be copied. Not F.group_norm,
        # which refuses a channel of one voxel: that becomes its shift.
        return torch.group_norm(x.reshape(1, -1, *x.shape[2:]), len(scale), scale, shift, 1e-5).view_as(x)


class Unit(nn.Module):
    """Convolution → normalisation → LeakyReLU(0.2), the brick that both networks are made of."""

    def __init__(self, convolution, norm, separate_norm, active=True):
        super().__init__()
        self.convolution = convolution
        self.norm = norm(convolution.out_channels, separate_norm)
        self.activation = nn.LeakyReLU(0.2, inplace=True) if active else nn.Identity()

    def forward(self, x, sizes):
        return self.activation(_apply(self.norm, (_convolved(self.convolution, x),), sizes))


class Residual(nn.Module):
    """y = LeakyReLU(second(first(x)) + shortcut(x)); the shortcut is x itself where that has the shape of y."""

    def __init__(self, first, second, shortcut=None):
        super().__init__()
        self.first, self.second, self.shortcut = first, second, shortcut
        self.activation = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, x, sizes):
        y = self.second(self.first(x, sizes), sizes)
        return self.activation(y + (x if self.shortcut is None else self.shortcut(x, sizes)))


class Stage(nn.Module):
    """Units one after the other; a decoder stage first brings x to the skip's resolution and puts the two together."""

    def __init__(self, *units, up=None):
        super().__init__()
        self.up, self.units = up, nn.ModuleList(units)

    def forward(self, x, skip=None, *, sizes):
        if self.up is not None:
            x = torch.cat([self.up(x, sizes), skip], 1)
        for unit in self.units:
            x = unit(x, sizes)
        return x


class Network(nn.Module):
    """What both networks do: their stages, which CT and MR share or not, and the way through the decoder.

    The features F are the output of the last unit before the 1 × 1 × 1 head, as the paper's "penultimate layer". The
    two stages before that can have such a head each as well, `coarse1` of the coarser, for the loss of a step alone.
    """

    MULTIPLES = (8, 8, 8)  # of which (D, H, W) have to be
    LAYOUT = torch.channels_last_3d  # in which its convolutions and its normalisation need the fewest copies

    def __init__(
        self, sharing: str, stages: dict[str, Any], channels: dict[str, int], num_classes: int, deep: bool = False
    ):
        """stages : {name: function that makes a copy of it}; channels : {stage: of its output} where a head may be."""
        super().__init__()
        if sharing not in SHARING:
            raise BadInput(f"sharing: expected one of {', '.join(SHARING)}, found {sharing!r}")
        self.decoder = [name for name in stages if name in DECODER]
        heads = dict(zip(("head", "coarse2", "coarse1")[: 1 + 2 * deep], self.decoder[::-1], strict=False))
        self.coarse = sorted([*heads][1:])
        stages |= {name: functools.partial(nn.Conv3d, channels[of], num_classes, 1) for name, of in heads.items()}
        for name, make in stages.items():
            self.add_module(name, make() if name in SHARING[sharing][0] else PerModality(make))

    def forward(self, x: Tensor, sizes: Sequence[int], deep: bool = False) -> tuple[Tensor, ...]:
        """(B, 1, D, H, W) images -> features (B, d, D, H, W) and logits (B, K, D, H, W); D, H, W as `MULTIPLES` says.

        deep : give after these the logits of `coarse1` and `coarse2` too, where they are
        """
        if x.ndim != 5 or x.shape[1] != 1 or any(n % m for n, m in zip(x.shape[2:], self.MULTIPLES, strict=True)):
            multiples = " × ".join(map(str, self.MULTIPLES))
            raise BadInput(f"images: expected (B, 1, D, H, W), multiples of {multiples}, found {tuple(x.shape)}")
        if sum(sizes) != len(x):
            raise BadInput(f"sizes: expected {len(x)} samples in all, found {sizes}")
        x, *skips = self.encoded(x.to(next(self.parameters()).dtype), sizes)
        outputs = [x]
        for name in self.decoder:
            outputs.append(_apply(getattr(self, name), (outputs[-1], skips.pop()), sizes))
        logits = _apply(self.head, outputs[-1:], sizes)
        pairs = zip(self.coarse * deep, outputs[-3:-1], strict=False)
        return outputs[-1], logits, *(_apply(getattr(self, name), (x,), sizes) for name, x in pairs)

    def encoded(self, x: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
        """The output of the deepest stage, and the skips, the finest first."""
        raise NotImplementedError


class UNet(Network):
    """The paper's 3D U-Net for two modalities.

    Four levels; convolutions reach along z on the two finer levels only, three 2 × 2 × 2 poolings between them.

    sharing: a key of `SHARING`; width: b, channels of the first unit (paper: 16), which every other follows; dim: d,
    channels of the features (paper: 32); num_classes: K; upconv: "cicek" for 2³ up-convolutions, or "ummkd" for those
    of Dou et al.'s code, whose kernel of 1 along z leaves every second slice empty on two levels; init: of the kernels:
    "ummkd", a truncated normal of deviation 0.01, the head's too, with a bias of 0; or "torch", wider for fewer inputs.
    Under batch normalisation only a kernel's direction matters, and Adam turns one ten times smaller ten times faster.

    Example
    -------
    >>> net = UNet("joint_sepbn", width=4, dim=8, num_classes=5)
    >>> features, logits = net(torch.randn(3, 1, 8, 16, 16), sizes=(2, 1))
    >>> tuple(features.shape), tuple(logits.shape)
    ((3, 8, 8, 16, 16), (3, 5, 8, 16, 16))
    """

    def __init__(
        self, sharing: str, width: int = 16, dim: int = 32, num_classes: int = 5, upconv: str = "cicek",
        init: str = "ummkd", deep: bool = False
    ):  # fmt: skip
        for name, value, one, other in (("upconv", upconv, "cicek", "ummkd"), ("init", init, "ummkd", "torch")):
            if value not in (one, other):
                raise BadInput(f"{name}: expected {one!r} or {other!r}, found {value!r}")
        _, separate_norm = SHARING.get(sharing, ((), False))
        b = width

        def unit(convolution):
            if init == "ummkd":
                _narrow(convolution.weight)
            return Unit(convolution, by_batch, separate_norm)

        def conv(c_in, c_out, kernel=CUBE):
            return unit(nn.Conv3d(c_in, c_out, **kernel, bias=False))

        def up(c_in, c_out, kernel=CUBE):
            how = kernel | {"output_padding": 1} if upconv == "ummkd" else {"kernel_size": 2}
            return unit(nn.ConvTranspose3d(c_in, c_out, stride=2, bias=False, **how))

        stages = {
            "enc1": lambda: Stage(conv(1, b), conv(b, 2 * b)),
            "enc2": lambda: Stage(conv(2 * b, 2 * b), conv(2 * b, 4 * b)),
            "enc3": lambda: Stage(conv(4 * b, 4 * b, FLAT), conv(4 * b, 8 * b, FLAT)),
            "enc4": lambda: Stage(conv(8 * b, 8 * b, FLAT), conv(8 * b, 16 * b, FLAT)),
            "dec3": lambda: Stage(conv(16 * b, 8 * b, FLAT), conv(8 * b, 8 * b, FLAT), up=up(16 * b, 8 * b, FLAT)),
            "dec2": lambda: Stage(conv(12 * b, 4 * b), conv(4 * b, 4 * b), up=up(8 * b, 8 * b, FLAT)),
            "dec1": lambda: Stage(conv(6 * b, 2 * b), conv(2 * b, dim), up=up(4 * b, 4 * b)),
        }
        super().__init__(sharing, stages, {"dec3": 8 * b, "dec2": 4 * b, "dec1": dim}, num_classes, deep)
        if init == "ummkd":
            for head in (module for module in self.head.modules() if isinstance(module, nn.Conv3d)):
                _narrow(head.weight)
                nn.init.zeros_(head.bias)  # pyrefly: ignore[bad-argument-type]
        self.pool = nn.MaxPool3d(2)

    def encoded(self, x: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
        """Three stages, each pooled for the next, and the deepest."""
        skips = []
        for stage in (self.enc1, self.enc2, self.enc3):
            skips.append(_apply(stage, (x,), sizes))
            x = self.pool(skips[-1])
        return _apply(self.enc4, (x,), sizes), *skips


class ResidualUNet(Network):
    """A residual 3D U-Net past the paper's: most of its work is on cubes of voxels, and it does not see its batch.

    The first convolution, 3 × 4 × 4, halves the plane, so that voxels of 5 × 2.5 × 2.5 mm become cubes. Five levels
    of b, 2b, 4b, 8b, 16b channels follow, a `Residual` on the way down and a `Unit` on the way up, the deepest coarser
    in-plane only. `last` brings b channels back to full resolution, where `edge` has seen the image with b/2, and makes
    F of both. Normalisation is over each sample and channel: CT and MR never share statistics, and what can be separate
    is their scale and shift.

    Arguments and sharing are those of `UNet`.

    Example
    -------
    >>> net = ResidualUNet("joint_sepbn", width=4, dim=8, num_classes=5, deep=True)
    >>> features, logits, *coarse = net(torch.randn(2, 1, 8, 32, 32), sizes=(1, 1), deep=True)
    >>> [tuple(x.shape) for x in (features, logits, *coarse)]
    [(2, 8, 8, 32, 32), (2, 5, 8, 32, 32), (2, 5, 4, 8, 8), (2, 5, 8, 16, 16)]
    """

    MULTIPLES = (8, 32, 32)
    LAYOUT = torch.contiguous_format

    def __init__(self, sharing, width=16, dim=32, num_classes=5, deep=False):
        _, separate_norm = SHARING.get(sharing, ((), False))
        b = width
        half = max(b // 2, 1)

        def conv(c_in, c_out, kernel=CUBE, stride=1, active=True):
            return Unit(nn.Conv3d(c_in, c_out, **kernel, stride=stride, bias=False), BySample, separate_norm, active)

        def block(c_in, c_out, stride=1):
            same = c_in == c_out and stride == 1
            shortcut = None if same else conv(c_in, c_out, {"kernel_size": 1}, stride, active=False)
            return Residual(conv(c_in, c_out, stride=stride), conv(c_out, c_out, active=False), shortcut)

        def up(c_in, c_out, stride):
            return Unit(nn.ConvTranspose3d(c_in, c_out, stride, stride, bias=False), BySample, separate_norm)

        def decoder(c, stride):
            return lambda: Stage(conv(2 * c, c), up=up(2 * c, c, stride))

        stem = {"kernel_size": (3, 4, 4), "padding": (1, 1, 1)}
        stages = {
            "edge": lambda: Stage(conv(1, half, FLAT)),
            "enc0": lambda: Stage(conv(1, b, stem, IN_PLANE), block(b, b)),
            "enc1": lambda: Stage(block(b, 2 * b, 2)),
            "enc2": lambda: Stage(block(2 * b, 4 * b, 2)),
            "enc3": lambda: Stage(block(4 * b, 8 * b, 2)),
            "enc4": lambda: Stage(block(8 * b, 16 * b, IN_PLANE)),
            "dec3": decoder(8 * b, IN_PLANE),
            "dec2": decoder(4 * b, 2),
            "dec1": decoder(2 * b, 2),
            "dec0": decoder(b, 2),
            "last": lambda: Stage(conv(b + half, dim, FLAT), up=up(b, b, IN_PLANE)),
        }
        super().__init__(sharing, stages, {"dec1": 2 * b, "dec0": b, "last": dim}, num_classes, deep)

    def encoded(self, x, sizes):
        """The image itself seen by `edge`, then one level after the other."""
        outputs = [_apply(self.edge, (x,), sizes)]
        for stage in (self.enc0, self.enc1, self.enc2, self.enc3, self.enc4):
            x = _apply(stage, (x,), sizes)
            outputs.append(x)
        return outputs.pop(), *outputs


NETWORKS = {"dou": UNet, "residual": ResidualUNet}


def _convolved(convolution, x):
    """convolution(x), past two faults of torch on a CPU.

    It takes a slow way for one sample of so few voxels and channels (five times slower for 32 to 32 channels at 12 × 32
    × 32), not for two of them. In bfloat16 the gradient of a kernel of 3 × 3 × 3 over two slices, not over three, is
    what lay in memory (oneDNN with AVX-512, torch 2.13), so an empty slice comes behind them.
    """
    if x.device.type != "cpu":
        return convolution(x)
    if convolution.stride[0] == 1 and 1 < x.shape[2] < convolution.kernel_size[0]:
        return _convolved(convolution, F.pad(x, (0, 0, 0, 0, 0, 1)))[:, :, :-1]
    few = len(x) == 1 and x[0].numel() <= 20480 * x.shape[-1]
    return convolution(x.expand(2, *x.shape[1:]))[:1] if few else convolution(x)


def _narrow(weight):
    nn.init.trunc_normal_(weight, std=0.01, a=-0.02, b=0.02)


def _apply(layer, inputs, sizes):
    """Call a layer, telling it the sizes if it or something in it cares which sample is CT and which is MR."""
    if isinstance(layer, PerModality | BySample | Stage):
        return layer(*inputs, sizes=sizes)
    return _convolved(layer, *inputs) if isinstance(layer, nn.Conv3d) else layer(*inputs)
