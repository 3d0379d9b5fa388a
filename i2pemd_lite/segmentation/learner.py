"""Where data, network and prototypes meet: the patches of a step, its loss (Eq. 7), predictions of whole volumes."""

import copy
import functools
import itertools
import math

import numpy as np
import torch
from scipy import ndimage

from i2pemd_lite import distributed
from i2pemd_lite.emd import i2pemd
from i2pemd_lite.files import BadInput
from i2pemd_lite.losses import mmd, segmentation_loss
from i2pemd_lite.prototypes import PrototypeBank
from i2pemd_lite.runs.sampling import Resident, Shuffled, generator, seeded
from i2pemd_lite.runs.task import Example, Learner, decay, ema_update
from i2pemd_lite.segmentation.augment import COPIES, cut, turned, view
from i2pemd_lite.segmentation.data import split
from i2pemd_lite.segmentation.layout import CLASSES, MODALITIES
from i2pemd_lite.segmentation.methods import EXTRAS, GROUNDS, METHODS, POOLS
from i2pemd_lite.segmentation.network import NETWORKS, SHARING
from i2pemd_lite.segmentation.report import class_costs, doc_row, probe_blocks, sample_voxels, summary


class Segmenter(Learner):
    """One network for CT and MR, where the settings say so its `averaged` weights, which then answer for it, the shared
    prototypes of five classes, and the volumes to learn from."""

    def __init__(self, settings, data):
        super().__init__()
        s = self.settings = settings
        self.data = data
        with seeded(s.seed, "weights"):
            own = {"upconv": s.upconv, "init": s.init} if s.network == "dou" else {}
            shape = (METHODS[s.method].sharing, s.width, s.dim, len(CLASSES))
            self.network = NETWORKS[s.network](*shape, deep=s.deep > 0, **own)
        self.network.to(memory_format=self.network.LAYOUT)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False) if s.average else None
        self.bank = PrototypeBank(len(CLASSES), s.dim, s.momentum)
        self.bank.seen.fill_(s.first == "zeros")
        self.training_cases, self.test_cases = split(data, s.test, s.split_seed)
        if s.scans:
            self.training_cases = some_of(self.training_cases, s.scans, s.seed)
        self.samples = sample_voxels(self.test_cases)
        self.probed = probe_blocks(self.test_cases, s.patch_depth)
        self.resident = Resident()
        self.cases = {m: [case for case in self.training_cases if case.modality == m] for m in MODALITIES}
        self.streams = {m: Shuffled(len(cases), f"{m} scans", s.seed) for m, cases in self.cases.items()}
        # A head of its own learns from its own modality alone.
        shared = "head" in SHARING[METHODS[s.method].sharing][0]
        for cases in [self.training_cases] if shared else self.cases.values():
            for k in set(range(len(CLASSES))) - set(torch.cat([case.label.unique() for case in cases]).tolist()):
                other = "seed, or more with scans" if s.scans else "split_seed, or add a case"
                found = f"none among {', '.join(case.name for case in cases)}; choose another {other}"
                raise BadInput(f"training cases: expected one with {CLASSES[k]}, found {found}")

    def source(self):
        """Where the volumes came from and what they are."""
        folder = (self.data.dataset or self.data).folder.resolve()
        return {"folder": str(folder), "name": self.data.name, "fingerprint": self.data.fingerprint}

    def expect_shares(self, count):
        """A process without a patch of a modality would not take part in that modality's batch normalisation."""
        if self.settings.batch < count:
            found = f"{self.settings.batch}; start fewer processes, or take more with --set batch={count}"
            raise BadInput(f"batch: expected a patch of each modality for each of {count} processes, found {found}")

    def losses(self, t):
        """Eq. 7 for one batch, with what the method adds."""
        s, method = self.settings, METHODS[self.settings.method]
        images, labels, sizes = self.batch(t)
        forward = self.network if s.forward == "together" else self._apart
        features, logits, *levels = forward(images, sizes, deep=True)
        self.bank.momentum = s.momentum
        POOLS[s.pool](self.bank, features, labels, sizes)  # Eq. 10, 11
        ground = GROUNDS[method.ground](self.bank, s)  # Eq. 3-5
        how = {"ce": s.ce, "sizes": sizes, "add": s.add, "dice": s.dice}
        loss = segmentation_loss(logits, labels, ground, s.weight, **how)  # Eq. 7-9
        terms = dict(loss.terms)
        if levels:  # the first two terms again, on every second or fourth voxel
            terms["deep"] = sum(segmentation_loss(z, _like(z, labels), None, **how) for z in levels)
            loss = loss + s.deep * terms["deep"]
        if method.extra:
            weight, terms[method.extra] = EXTRAS[method.extra](self.bank, s, features, logits, labels, sizes)
            loss = loss + weight * terms[method.extra]
        return {"loss": loss, **terms}

    def updated(self, t):
        """Let the averaged weights follow, at first those of the last tenth of the steps."""
        if self.averaged is not None:
            ema_update(self.averaged, self.network, decay(t / 10, self.settings.average), statistics=True)

    def _apart(self, images, sizes, deep):
        ones = [tuple(n if i == j else 0 for j, n in enumerate(sizes)) for i in range(len(sizes))]
        outputs = [self.network(x, size, deep) for x, size in zip(images.split(sizes), ones, strict=True)]
        return map(torch.cat, zip(*outputs, strict=True))

    def batch(self, t):
        """Step t's patches: images (B, 1, D, H, W), labels (B, D, H, W), sizes; first CT, then MR. In training, each of
        several processes gets its own of them."""
        s, images, labels = self.settings, [], []
        draws = generator(s.seed, "patches", t)
        for modality, cases in self.cases.items():
            for case in (cases[i] for i in self.streams[modality].take(t * s.batch, s.batch).tolist()):
                corner = first_voxel(case, s.patch, s.around, draws)
                volume = self._resident(case)
                key = functools.partial(generator, s.seed, "augment", t, len(images))
                views = s.views if self.training else ()
                others = functools.partial(self._other, modality)
                image, label = view(*volume, corner, s.patch, s.spacing, modality, views, key, others)
                images.append(image)
                labels.append(label)
        images, labels = torch.stack(images)[:, None], torch.stack(labels)
        sizes = (s.batch,) * len(MODALITIES)
        if self.training:
            sizes, (images, labels) = distributed.shard(sizes, images, labels)
        return images.contiguous(memory_format=self.network.LAYOUT), labels, sizes

    def _resident(self, case):
        """Image and label of a case, on the device."""
        return self.resident.on(self.device, case.name, lambda: (case.image, case.label))

    def _other(self, modality, draws):
        """The image of a training case of the other modality, each alike often."""
        cases = self.cases[next(m for m in MODALITIES if m != modality)]
        return self._resident(cases[int(torch.rand(1, generator=draws) * len(cases))])[0]

    def volume(self, case, voxels=()):
        """Softmax output (K, D, H, W) of a whole volume, and the features (n, d) at n of its voxels, (n, 3) indices.
        Both are means over the blocks that hold a voxel, by `weights` where the settings say so."""
        s, shape, patch = self.settings, case.image.shape, self.settings.patch
        voxels = torch.as_tensor(voxels, dtype=torch.long, device=self.device).reshape(-1, 3)
        p = torch.zeros(len(CLASSES), *shape, device=self.device)
        f = torch.zeros(len(voxels), s.dim, device=self.device)
        count, w = torch.zeros(shape, device=self.device), weights(patch, s.blend).to(self.device)
        steps = (max(1, n * s.block_step // s.patch_depth) for n in patch)
        corners = [*itertools.product(*map(block_starts, shape, patch, steps))]
        for few in torch.tensor(corners).split(2 * s.batch):  # as many at once as in a step, whatever the volume
            for corner, block, F in zip(few, *self._blocks(case, few.tolist()), strict=True):
                place = cut(corner.tolist(), patch)
                p[:, *place] += w * block
                count[place] += w
                at = voxels - corner.to(self.device)
                here = ((at >= 0) & (at < torch.tensor(patch, device=self.device))).all(1)
                i, y, x = at[here].T
                f[here] += (w[i, y, x] * F[:, i, y, x]).T
        return (p / count).cpu(), (f / count[tuple(voxels.T)][:, None]).cpu()

    def _blocks(self, case, corners):
        """Softmax output and features of the blocks of a volume, the output as mean over the settings' copies."""
        places = [cut(corner, self.settings.patch) for corner in corners]
        blocks = torch.stack([case.image[place] for place in places]).to(self.device)[:, None]
        modalities = [case.modality] * len(corners)
        features, logits = self._answer(blocks, modalities)
        outputs = logits.float().softmax(1)
        for copy_ in COPIES[1 : self.settings.copies]:
            _, logits = self._answer(turned(blocks, *copy_), modalities)
            outputs += turned(logits.float().softmax(1), *copy_, back=True)
        return outputs / self.settings.copies, features.float()

    def _answer(self, images, modalities):
        """Features and logits of (n, 1, D, H, W) images, those of CT first."""
        network = self.network if self.averaged is None else self.averaged
        sizes = tuple(map(modalities.count, MODALITIES))
        return network(images.contiguous(memory_format=network.LAYOUT), sizes)

    def probabilities(self, case, *others):
        """(K, D, H, W) softmax output for a whole volume, its mean with that of other learners; where the settings say
        so, of each organ the largest piece alone."""
        return self._kept(torch.stack([each.volume(case)[0] for each in (self, *others)]).mean(0))

    def _kept(self, p):
        return largest_pieces(p) if self.settings.largest else p

    def evaluate(self):
        """Figures on the held-back cases: DOC in percent, and the other two that Table 2 follows over the epochs.

        doc, that of each modality, that of each organ; mi2pemd, Eq. 8 over all voxels with the present G; mmd, MMD²
        between the features of CT and of MR (`mmd`, at most `VOXELS` of each class and modality, the same every time),
        with five kernels as wide as the features lie apart just then; mmd_fixed, with one that stays the same, β = 2d,
        the mean squared distance of features of variance 1. NaN where no case is held back.
        """
        if not self.test_cases:
            return summary([]) | dict.fromkeys(("mi2pemd", "mmd", "mmd_fixed"), math.nan)
        rows, costs, features = [], [], {modality: [] for modality in MODALITIES}
        G = self.bank.ground_distance().cpu()
        for case in self.test_cases:
            p, f = self.volume(case, self.samples[case.name])
            p = self._kept(p)
            rows.append(doc_row(case, p))
            costs.append((i2pemd(p[None], case.label[None], G)[0], case.label))
            features[case.modality].append(f)
        clouds = [torch.cat(f) for f in features.values()]
        fixed = mmd(*clouds, kernels=1, bandwidth=2 * self.settings.dim)
        mi2pemd = class_costs(costs).nanmean().item()
        return {**summary(rows), "mi2pemd": mi2pemd, "mmd": mmd(*clouds).item(), "mmd_fixed": fixed.item()}

    def example(self):
        """The slice with most organ voxels of the first probed block, its truth, and the classes that are predicted."""
        if not self.probed:
            return None
        block = self.probed[0]
        z = int((block.label > 0).sum((1, 2)).argmax())
        _, logits = self._answer(block.image[None, None].to(self.device), [block.modality])
        low, high = block.image.quantile(torch.tensor([0.01, 0.995]))
        grey = 255 * ((block.image[z] - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
        return Example(*(x.byte().cpu().numpy() for x in (grey, block.label[z], logits[0, :, z].argmax(0))))

    def probe(self):
        """Features, labels and modalities of a few voxels of each class, from a block of some held-back cases."""
        if not self.probed:
            return None
        images = torch.stack([block.image for block in self.probed])[:, None].to(self.device)
        F, _ = self._answer(images, [block.modality for block in self.probed])
        features = [f[(slice(None), *block.voxels.T)].T for f, block in zip(F, self.probed, strict=True)]
        groups = [torch.full_like(block.labels, MODALITIES.index(block.modality)) for block in self.probed]
        return torch.cat(features), torch.cat([block.labels for block in self.probed]), torch.cat(groups)


def some_of(cases, counts, seed):
    """So many of the cases of each modality, drawn by the seed, in their order: all methods get those of their seed."""
    kept = set()
    for m, n in zip(MODALITIES, counts, strict=True):
        names = [case.name for case in cases if case.modality == m]
        if n > len(names):
            found = f"{n}; take fewer, or hold back fewer with test"
            raise BadInput(f"scans: expected up to {len(names)} of {m.upper()}, which are not held back, found {found}")
        order = torch.randperm(len(names), generator=generator(seed, "scans", m))
        kept.update(names[i] for i in order[:n])
    return tuple(case for case in cases if case.name in kept)


def largest_pieces(p):
    """Softmax output (K, D, H, W) in which all but the largest connected piece of each organ is sure background."""
    labels, p = p.max(0).indices.numpy(), p.clone()
    for k in range(1, len(p)):
        pieces, count = ndimage.label(labels == k)
        if count > 1:
            sizes = np.bincount(pieces.ravel())
            stray = torch.from_numpy((pieces > 0) & (pieces != sizes[1:].argmax() + 1))
            p[:, stray] = torch.eye(len(p))[:, :1]
    return p


def block_starts(depth, size, step):
    """First slices of the blocks that cover a volume, the last one anchored at its end.

    Example
    -------
    >>> block_starts(20, size=8, step=8), block_starts(20, size=8, step=4)
    ([0, 8, 12], [0, 4, 8, 12])
    """
    return [*range(0, depth - size, step), depth - size]


def weights(patch, blend):
    """How much a block says of each of its voxels (D, H, W): "mean", all alike; "gaussian", most of its middle, with a
    deviation of an eighth of each side, and nowhere less than a thousandth of that."""
    w = torch.ones(patch)
    for axis, n in enumerate(patch if blend == "gaussian" else ()):
        x = (torch.arange(n) - (n - 1) / 2) / (n / 8)
        w *= (-x.square() / 2).exp().reshape([-1 if a == axis else 1 for a in range(len(patch))])
    return w.clamp(min=w.max() / 1000)


def _like(logits, labels):
    """The labels at the first voxel of each that a coarser level has."""
    steps = (slice(None, None, n // few) for n, few in zip(labels.shape[1:], logits.shape[2:], strict=True))
    return labels[:, *steps].contiguous()


def first_voxel(case, patch, around, draws):
    """Where a training patch begins, (z, y, x): where `around` is None by `first_slice`, and anywhere in-plane. Else so
    many of the patches are around a voxel of an organ, every organ alike often, the others anywhere."""
    room = [n - size for n, size in zip(case.image.shape, patch, strict=True)]
    if around is None:
        z = first_slice(case, patch[0], draws)
        u = torch.rand(2, generator=draws).tolist() if any(room[1:]) else (0, 0)
        return z, *(int(a * (n + 1)) for a, n in zip(u, room[1:], strict=True))
    coin, organ, voxel, *u = torch.rand(6, generator=draws, dtype=torch.float64).tolist()
    if coin >= around or not case.organ_voxels:
        return tuple(int(a * (n + 1)) for a, n in zip(u, room, strict=True))
    where = case.organ_voxels[int(organ * len(case.organ_voxels))]
    middle = where[int(voxel * len(where))].tolist()
    return tuple(min(max(at - size // 2, 0), n) for at, size, n in zip(middle, patch, room, strict=True))


def first_slice(case, size, draws):
    """Where a training patch begins: half of the time one of the blocks, else anywhere between the ends of the organs.
    The rule of Dou et al. 2020, whose patches span the whole plane: where slices a to b show organs, a patch begins at
    a + 1 to b − size − 1. Organs too short for that, for which their code fails, have it around their middle."""
    depth = len(case.image)
    starts = block_starts(depth, size, step=size)
    coin, place = torch.rand(2, generator=draws).tolist()
    if coin < 0.5:
        return starts[int(place * len(starts))]
    shown = case.organ_slices or [0, depth - 1]
    first, last = shown[0], shown[-1]
    room = last - first - size - 1
    return first + 1 + int(place * room) if room > 0 else min(max((first + last + 1 - size) // 2, 0), depth - size)
