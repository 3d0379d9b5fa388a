"""The networks: forward(images) returns (features (B, d), logits (B, K)), which is all that a method needs."""

import re
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from i2pemd_lite import distributed
from i2pemd_lite.files import BadInput, parsing


def build(name="small", num_classes=7, **options):
    """"small" (for two cores) or "densenet121" (the paper's), with random weights from torch's seed. options: dropout
    between features and classifier; width, depth of `Small`. Raises `BadInput` for another name."""
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

    def trunk(self, images):
        """(B, 3, S, S) -> features (B, d)."""
        return F.relu(self.features(images)).mean((-2, -1))


NETWORKS = {"small": Small, "densenet121": DenseNet121}


def load_imagenet(net, file):
    """Put torchvision's ImageNet weights of DenseNet-121 from a local file into a `DenseNet121`; its classifier stays.
    file: .safetensors; other formats can hold code. Returns `net`. Raises `BadInput` that lists every weight which is
    missing, unknown or of another shape; `net` is unchanged then."""
    from safetensors.torch import load_file

    if not isinstance(net, DenseNet121):
        raise BadInput(f"net: expected densenet121, found {type(net).__name__}")
    once = "safetensors.torch.save_file(torch.load(file, weights_only=True), other)"
    with parsing(file, "weights as .safetensors", f"a .pth file is converted once by {once}"):
        read = load_file(Path(file))
    # In torchvision's first file format norm1 is norm.1.
    weights = {re.sub(r"(norm|conv)\.(\d)", r"\1\2", k): v for k, v in read.items() if not k.startswith("classifier.")}
    own = {k: v for k, v in net.state_dict().items() if not k.startswith("classifier.")}
    counters = {k for k in own if k.endswith("num_batches_tracked")}
    wrong = [f"no {k}" for k in own.keys() - weights.keys() - counters]
    wrong += [f"unknown {k}" for k in weights.keys() - own.keys()]
    both = own.keys() & weights.keys()
    wrong += [f"{k} of {tuple(weights[k].shape)}" for k in both if weights[k].shape != own[k].shape]
    if wrong:
        raise BadInput(f"{file}: expected torchvision's DenseNet-121, found {'; '.join(sorted(wrong)[:5])}"
                       f"{f' and {len(wrong) - 5} more' if len(wrong) > 5 else ''}")  # fmt: skip
    net.load_state_dict(weights, strict=False)
    return net
