"""Where data, network and prototypes meet: the patches of a step, its loss (Eq. 7), predictions of whole volumes."""

import numpy as np
import torch
from scipy import ndimage

from i2pemd_lite import distributed
from i2pemd_lite.emd import i2pemd
from i2pemd_lite.files import BadInput
from i2pemd_lite.losses import mmd, segmentation_loss
from i2pemd_lite.prototypes import PrototypeBank
from i2pemd_lite.runs.sampling import Resident, Shuffled, generator, seeded
from i2pemd_lite.runs.task import Example, Learner
from i2pemd_lite.segmentation.augment import COPIES, augmented, turned
from i2pemd_lite.segmentation.data import split
from i2pemd_lite.segmentation.layout import CLASSES, MODALITIES
from i2pemd_lite.segmentation.methods import EXTRAS, GROUNDS, METHODS, POOLS
from i2pemd_lite.segmentation.network import SHARING, UNet
from i2pemd_lite.segmentation.report import class_costs, doc_row, probe_blocks, sample_voxels, summary


class Segmenter(Learner):
    """One network for CT and MR, the shared prototypes of five classes, and the volumes to learn from."""

    def __init__(self, settings, data):
        super().__init__()
        s = self.settings = settings
        self.data = data
        with seeded(s.seed, "weights"):
            self.network = UNet(METHODS[s.method].sharing, s.width, s.dim, len(CLASSES), s.upconv, s.init)
        self.network.to(memory_format=torch.channels_last_3d)
        self.bank = PrototypeBank(len(CLASSES), s.dim, s.momentum)
        self.bank.seen.fill_(s.first == "zeros")
        self.training_cases, self.test_cases = split(data, s.test, s.split_seed)
        self.samples = sample_voxels(self.test_cases)
        self.probed = probe_blocks(self.test_cases, s.patch_depth)
        self.resident = Resident()
        self.cases = {m: [case for case in self.training_cases if case.modality == m] for m in MODALITIES}
        self.streams = {m: Shuffled(len(cases), f"{m} scans", s.seed) for m, cases in self.cases.items()}
        # A head of its own learns from its own modality alone.
        shared = "head" in SHARING[METHODS[s.method].sharing][0]
        for cases in [self.training_cases] if shared else self.cases.values():
            for k in set(range(len(CLASSES))) - set(torch.cat([case.label.unique() for case in cases]).tolist()):
                found = f"none among {', '.join(case.name for case in cases)}; choose another split_seed, or add a case"
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
        features, logits = self.network(images, sizes) if s.forward == "together" else self._apart(images, sizes)
        self.bank.momentum = s.momentum
        POOLS[s.pool](self.bank, features, labels, sizes)  # Eq. 10, 11
        ground = GROUNDS[method.ground](self.bank, s)  # Eq. 3-5
        loss = segmentation_loss(logits, labels, ground, s.weight, ce=s.ce, sizes=sizes, add=s.add)  # Eq. 7-9
        terms = dict(loss.terms)
        if method.extra:
            weight, terms[method.extra] = EXTRAS[method.extra](self.bank, s, features, logits, labels, sizes)
            loss = loss + weight * terms[method.extra]
        return {"loss": loss, **terms}

    def _apart(self, images, sizes):
        ones = [tuple(n if i == j else 0 for j, n in enumerate(sizes)) for i in range(len(sizes))]
        outputs = [self.network(x, size) for x, size in zip(images.split(sizes), ones, strict=True)]
        return map(torch.cat, zip(*outputs, strict=True))

    def batch(self, t):
        """Step t's patches: images (B, 1, D, H, W), labels (B, D, H, W), sizes; first CT, then MR. In training, each of
        several processes gets its own of them."""
        s, images, labels = self.settings, [], []
        draws = generator(s.seed, "patches", t)
        for modality, cases in self.cases.items():
            for case in (cases[i] for i in self.streams[modality].take(t * s.batch, s.batch).tolist()):
                z = first_slice(case, s.patch_depth, draws)
                image, label = self.resident.on(self.device, case.name, lambda case=case: (case.image, case.label))
                images.append(image[z : z + s.patch_depth])
                labels.append(label[z : z + s.patch_depth])
        images, labels = torch.stack(images)[:, None], torch.stack(labels)
        if s.augment and self.training:
            images, labels = augmented(images, labels, generator(s.seed, "augment", t))
        sizes = (s.batch,) * len(MODALITIES)
        if self.training:
            sizes, (images, labels) = distributed.shard(sizes, images, labels)
        return images.contiguous(memory_format=torch.channels_last_3d), labels, sizes

    def volume(self, case, voxels=()):
        """Softmax output (K, D, H, W) of a whole volume, and the features (n, d) at n of its voxels, (n, 3) indices.
        Both are means over the blocks along z that hold a slice."""
        s, depth = self.settings, len(case.image)
        voxels = torch.as_tensor(voxels, dtype=torch.long, device=self.device).reshape(-1, 3)
        p = torch.zeros(len(CLASSES), *case.image.shape, device=self.device)
        f = torch.zeros(len(voxels), s.dim, device=self.device)
        count = torch.zeros(depth, device=self.device)
        starts = block_starts(depth, s.patch_depth, s.block_step)
        for few in torch.tensor(starts).split(2 * s.batch):  # as many at once as in a step, whatever the depth
            for z, block, F in zip(few.tolist(), *self._blocks(case, few.tolist()), strict=True):
                p[:, z : z + s.patch_depth] += block
                here = (voxels[:, 0] >= z) & (voxels[:, 0] < z + s.patch_depth)
                i, y, x = voxels[here].T
                f[here] += F[:, i - z, y, x].T
                count[z : z + s.patch_depth] += 1
        p, f = (p / count[:, None, None]).cpu(), (f / count[voxels[:, :1]]).cpu()
        return (largest_pieces(p) if s.largest else p), f

    def _blocks(self, case, starts):
        """Softmax output and features of the blocks of a volume, the output as mean over the settings' copies."""
        blocks = torch.stack([case.image[z : z + self.settings.patch_depth] for z in starts]).to(self.device)[:, None]
        modalities = [case.modality] * len(starts)
        features, logits = self._answer(blocks, modalities)
        outputs = logits.float().softmax(1)
        for copy in COPIES[1 : self.settings.copies]:
            _, logits = self._answer(turned(blocks, *copy), modalities)
            outputs += turned(logits.float().softmax(1), *copy, back=True)
        return outputs / self.settings.copies, features.float()

    def _answer(self, images, modalities):
        """Features and logits of (n, 1, D, H, W) images, those of CT first."""
        sizes = tuple(map(modalities.count, MODALITIES))
        return self.network(images.contiguous(memory_format=torch.channels_last_3d), sizes)

    def probabilities(self, case):
        """(K, D, H, W) softmax output for a whole volume."""
        return self.volume(case)[0]

    def evaluate(self):
        """Figures on the held-back cases: DOC in percent, and the other two that Table 2 follows over the epochs.

        doc, that of each modality, that of each organ; mi2pemd, Eq. 8 over all voxels with the present G; mmd, MMD²
        between the features of CT and of MR (`mmd`, at most `VOXELS` of each class and modality, the same every time),
        with five kernels as wide as the features lie apart just then; mmd_fixed, with one that stays the same, β = 2d,
        the mean squared distance of features of variance 1.
        """
        rows, costs, features = [], [], {modality: [] for modality in MODALITIES}
        G = self.bank.ground_distance().cpu()
        for case in self.test_cases:
            p, f = self.volume(case, self.samples[case.name])
            rows.append(doc_row(case, p))
            costs.append((i2pemd(p[None], case.label[None], G)[0], case.label))
            features[case.modality].append(f)
        clouds = [torch.cat(f) for f in features.values()]
        fixed = mmd(*clouds, kernels=1, bandwidth=2 * self.settings.dim)
        mi2pemd = class_costs(costs).nanmean().item()
        return {**summary(rows), "mi2pemd": mi2pemd, "mmd": mmd(*clouds).item(), "mmd_fixed": fixed.item()}

    def example(self):
        """The slice with most organ voxels of the first probed block, its truth, and the classes that are predicted."""
        block = self.probed[0]
        z = int((block.label > 0).sum((1, 2)).argmax())
        _, logits = self._answer(block.image[None, None].to(self.device), [block.modality])
        low, high = block.image.quantile(torch.tensor([0.01, 0.995]))
        grey = 255 * ((block.image[z] - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
        return Example(*(x.byte().cpu().numpy() for x in (grey, block.label[z], logits[0, :, z].argmax(0))))

    def probe(self):
        """Features, labels and modalities of a few voxels of each class, from a block of some held-back cases."""
        images = torch.stack([block.image for block in self.probed])[:, None].to(self.device)
        F, _ = self._answer(images, [block.modality for block in self.probed])
        features = [f[(slice(None), *block.voxels.T)].T for f, block in zip(F, self.probed, strict=True)]
        groups = [torch.full_like(block.labels, MODALITIES.index(block.modality)) for block in self.probed]
        return torch.cat(features), torch.cat([block.labels for block in self.probed]), torch.cat(groups)


def largest_pieces(p):
    """Softmax output (K, D, H, W) in which all but the largest connected piece of each organ is sure background."""
    labels, p = p.argmax(0).numpy(), p.clone()
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
