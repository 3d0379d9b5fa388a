"""The rows of Tables 1 and 3: what CT and MR share, where G comes from, and what else is in the loss."""

from typing import NamedTuple

import torch

from i2pemd_lite.ground import fixed_ground_distance
from i2pemd_lite.losses import i2ped_loss, kd_loss
from i2pemd_lite.prototypes import class_means


class Method(NamedTuple):
    """A row: how the network is shared (`network.SHARING`), where G comes from, and what else is added to the loss."""

    sharing: str
    ground: str | None = None  # a key of `GROUNDS`: λ L_I2PEMD is in the loss (Eq. 7)
    extra: str | None = None  # a key of `EXTRAS`
    reads: tuple = ()  # the settings that act in it, of those that do not act in every row
    ignores: tuple = ()  # those that act in every other row


BANK = ("momentum", "pool", "first")  # how the prototypes move, where something is learned by them
METHODS = {
    "individual": Method("individual", ignores=("forward",)),
    "joint": Method("joint"),
    "joint_i2pemd": Method("joint", ground="learned", reads=("weight", *BANK)),
    "joint_sepbn": Method("joint_sepbn"),
    "x_shaped": Method("x_shaped"),
    "y_shaped": Method("y_shaped"),
    "ummkd": Method("joint_sepbn", extra="kd", reads=("weight_kd", "temperature")),
    "joint_sepbn_i2pemd_fix": Method("joint_sepbn", ground="fixed", reads=("weight", "fixed")),
    "joint_sepbn_i2ped": Method("joint_sepbn", extra="i2ped", reads=("weight_i2ped", *BANK)),
    "joint_sepbn_i2pemd": Method("joint_sepbn", ground="learned", reads=("weight", *BANK)),
}
"""The rows of the paper's Table 1, and I2PED of Table 3, by the names that `train` takes."""
GROUNDS = {
    None: lambda bank, settings: None,
    "learned": lambda bank, settings: bank.ground_distance(),
    "fixed": lambda bank, s: s.fixed * fixed_ground_distance(bank.num_classes, bank.seen.device, bank.prototypes.dtype),
}
EXTRAS = {
    "i2ped": lambda bank, s, F, logits, y, sizes: (s.weight_i2ped, i2ped_loss(F, y, bank.prototypes)),
    "kd": lambda bank, s, F, logits, y, sizes: (s.weight_kd, kd_loss(logits, y, sizes, s.temperature)),
}
"""The weight and the loss that a row adds, from the prototypes, the settings and a batch."""


def _pool_modalities(bank, features, labels, sizes):
    parts = zip(features.split(sizes), labels.split(sizes), strict=True)
    means, counts = map(torch.cat, zip(*(class_means(F, y, bank.num_classes) for F, y in parts), strict=True))
    classes = torch.arange(bank.num_classes, device=counts.device).repeat(len(sizes))
    bank.update(means, classes.masked_fill(counts == 0, -100))


def _pool_in_turn(bank, features, labels, sizes):
    for F, y in zip(features.split(sizes), labels.split(sizes), strict=True):
        bank.update(F, y)


POOLS = {
    "voxels": lambda bank, features, labels, sizes: bank.update(features, labels),
    "modalities": _pool_modalities,
    "in turn": _pool_in_turn,
}
"""Eq. 11 for two modalities: all voxels count alike, or the modalities do, or CT moves the prototypes, then MR."""
