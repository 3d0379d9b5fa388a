"""The 3D U-Net of Dou et al. 2020, and the five ways in which CT and MR can share it.

Tensors are (B, channels, D, H, W), slices first; the paper writes H × W × D. A batch holds first the CT samples, then
the MR samples; `sizes = (number of CT, number of MR)` tells them apart.
"""

import functools

import torch
from torch import nn

from i2pemd_lite.files import BadInput
from i2pemd_lite.segmentation.layout import MODALITIES

STAGES = ("enc1", "enc2", "enc3", "enc4", "dec3", "dec2", "dec1", "head")
# Which stages CT and MR share, and whether their batch normalisation is separate where the kernels are shared.
SHARING = {
    "individual": ((), False),
    "joint": (STAGES, False),
    "joint_sepbn": (STAGES, True),
    "x_shaped": (("enc4",), False),
    "y_shaped": (("dec3", "dec2", "dec1", "head"), False),
}
CUBE = {"kernel_size": 3, "padding": 1}
FLAT = {"kernel_size": (1, 3, 3), "padding": (0, 1, 1)}  # does not reach along z


class PerModality(nn.Module):
    """One copy of a layer for each modality: each part of the batch goes through its own, and they are rejoined."""

    def __init__(self, make):
        super().__init__()
        self.copies = nn.ModuleDict({modality: make() for modality in MODALITIES})

    def forward(self, *inputs, sizes):
        parts, outputs = zip(*(x.split(sizes) for x in inputs), strict=True), []
        for modality, part, size in zip(MODALITIES, parts, sizes, strict=True):
            if size:
                only = tuple(size * (m == modality) for m in MODALITIES)
                outputs.append(_apply(self.copies[modality], part, only))
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0]


class Unit(nn.Module):
    """Convolution → batch normalisation → LeakyReLU(0.2), the brick that the whole network is made of."""

    def __init__(self, convolution, separate_norm, init="ummkd"):
        super().__init__()
        if init == "ummkd":
            _narrow(convolution.weight)
        self.convolution = convolution
        norm = functools.partial(nn.BatchNorm3d, convolution.out_channels, eps=1e-3, momentum=0.1)
        self.norm = PerModality(norm) if separate_norm else norm()
        self.activation = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, x, sizes):
        return self.activation(_apply(self.norm, (self.convolution(x),), sizes))


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


class UNet(nn.Module):
    """A 3D U-Net for two modalities.

    Four levels; convolutions reach along z on the two finer levels only, three 2 × 2 × 2 poolings between them. The
    features F are the output of the last unit before the 1 × 1 × 1 head, as the paper's "penultimate layer".

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

    def __init__(self, sharing, width=16, dim=32, num_classes=5, upconv="cicek", init="ummkd"):
        super().__init__()
        if sharing not in SHARING:
            raise BadInput(f"sharing: expected one of {', '.join(SHARING)}, found {sharing!r}")
        for name, value, one, other in (("upconv", upconv, "cicek", "ummkd"), ("init", init, "ummkd", "torch")):
            if value not in (one, other):
                raise BadInput(f"{name}: expected {one!r} or {other!r}, found {value!r}")
        shared, separate_norm = SHARING[sharing]
        b = width

        def conv(c_in, c_out, kernel=CUBE):
            return Unit(nn.Conv3d(c_in, c_out, **kernel, bias=False), separate_norm, init)

        def up(c_in, c_out, kernel=CUBE):
            how = kernel | {"output_padding": 1} if upconv == "ummkd" else {"kernel_size": 2}
            return Unit(nn.ConvTranspose3d(c_in, c_out, stride=2, bias=False, **how), separate_norm, init)

        stages = {
            "enc1": lambda: Stage(conv(1, b), conv(b, 2 * b)),
            "enc2": lambda: Stage(conv(2 * b, 2 * b), conv(2 * b, 4 * b)),
            "enc3": lambda: Stage(conv(4 * b, 4 * b, FLAT), conv(4 * b, 8 * b, FLAT)),
            "enc4": lambda: Stage(conv(8 * b, 8 * b, FLAT), conv(8 * b, 16 * b, FLAT)),
            "dec3": lambda: Stage(conv(16 * b, 8 * b, FLAT), conv(8 * b, 8 * b, FLAT), up=up(16 * b, 8 * b, FLAT)),
            "dec2": lambda: Stage(conv(12 * b, 4 * b), conv(4 * b, 4 * b), up=up(8 * b, 8 * b, FLAT)),
            "dec1": lambda: Stage(conv(6 * b, 2 * b), conv(2 * b, dim), up=up(4 * b, 4 * b)),
            "head": lambda: nn.Conv3d(dim, num_classes, 1),
        }
        for name, make in stages.items():
            self.add_module(name, make() if name in shared else PerModality(make))
        if init == "ummkd":
            for head in (module for module in self.head.modules() if isinstance(module, nn.Conv3d)):
                _narrow(head.weight)
                nn.init.zeros_(head.bias)
        self.pool = nn.MaxPool3d(2)

    def forward(self, x, sizes):
        """(B, 1, D, H, W) images -> features (B, d, D, H, W) and logits (B, K, D, H, W); D, H, W multiples of 8."""
        if x.ndim != 5 or x.shape[1] != 1 or any(n % 8 for n in x.shape[2:]):
            raise BadInput(f"images: expected (B, 1, D, H, W), all three multiples of 8, found {tuple(x.shape)}")
        if sum(sizes) != len(x):
            raise BadInput(f"sizes: expected {len(x)} samples in all, found {sizes}")
        x = x.to(next(self.parameters()).dtype)
        skips = []
        for stage in (self.enc1, self.enc2, self.enc3):
            skips.append(_apply(stage, (x,), sizes))
            x = self.pool(skips[-1])
        features = _apply(self.enc4, (x,), sizes)
        for stage in (self.dec3, self.dec2, self.dec1):
            features = _apply(stage, (features, skips.pop()), sizes)
        return features, _apply(self.head, (features,), sizes)


def _narrow(weight):
    nn.init.trunc_normal_(weight, std=0.01, a=-0.02, b=0.02)


def _apply(layer, inputs, sizes):
    """Call a layer, telling it the sizes if it or something in it cares which sample is CT and which is MR."""
    return layer(*inputs, sizes=sizes) if isinstance(layer, PerModality | Stage) else layer(*inputs)
