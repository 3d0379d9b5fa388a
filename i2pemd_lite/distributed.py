"""One training run in several processes, with the numbers of one.

    torchrun --nproc-per-node=2 -m i2pemd_lite train segmentation joint_sepbn_i2pemd --out runs/two

Each of W processes has all weights and computes its share of every batch. Whatever mixes samples is computed from all
of them: batch normalisation, the class sums of a loss, prototypes, the ranks of a selection. So the loss L is the same
number on every process, and the same as with one process up to the rounding of its sums. The processes talk by torch's
gloo (CPU) or nccl (GPU).

How gradients stay right: every process backpropagates its own copy of L, so that what it sends through a sum over
processes is sent W times, and the gradient of a weight, added up over the processes, is W dL/dθ. `average_gradients`
divides by W. So the losses of this module also fit DistributedDataParallel, which divides by W too.

With one process every function gives back what it was given, the very same tensors.
"""

import contextlib
import datetime
import os
import signal

import torch
import torch.distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm

from i2pemd_lite.emd import at_least_float32
from i2pemd_lite.files import BadInput, Problems

TIMEOUT = datetime.timedelta(hours=1)
"""How long a process waits for the others, as while the first one evaluates; one that dies is noticed at once."""


class Lost(RuntimeError):
    """Another process of this run has ended, or cannot be reached."""

    def __init__(self, why):
        super().__init__(
            f"process {rank()} of {count()}: lost the others ({why}); what ended them stands above or below. "
            "The run goes on from its last checkpoint with train --resume and its folder"
        )


def world_size_from_env():
    """How many processes torchrun started together with this one; 1 where it started none.

    Some cluster managers set a part of its variables by themselves, or leave them empty: that is one process.
    """
    try:
        rank, size, _ = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
    except (KeyError, ValueError):
        return 1
    return size if os.environ.get("MASTER_ADDR") and 0 <= rank < size else 1


def count():
    """W, the number of processes of this run; 1 where there are no others."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank():
    """This process's number r, from 0 to W − 1."""
    return dist.get_rank() if count() > 1 else 0


def is_main():
    """Whether this is the process that writes the folder, evaluates and prints."""
    return rank() == 0


@contextlib.contextmanager
def joined():
    """Inside: this process is one of those that torchrun started; without torchrun nothing is different.

    Raises `Lost` where another one ends before its time, so that none waits for it for ever.
    """
    if world_size_from_env() == 1:
        yield
        return
    # Each process needs a GPU of its own; where there are fewer, only profiles on the CPU can run.
    here, backend = int(os.environ.get("LOCAL_RANK", "0")), "gloo"
    if torch.cuda.is_available() and torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", "1")):
        torch.cuda.set_device(here)
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=TIMEOUT)

    def ended(*_):
        raise Lost("torchrun ends this one as well")

    signal.signal(signal.SIGTERM, ended)
    try:
        yield
    except Lost:
        raise  # the others cannot take leave any more
    except BaseException:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # all end for the same reason, which one has yet to say
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def run_on_first_then_all(make):
    """What `make()` gives. The first process makes it before the others, which then find data that it prepared.

    A `BadInput` in any of them is raised in all, so that none goes on alone.
    """
    if count() == 1:
        return make()
    result, problems = None, Problems("")
    for turn in (True, False):
        wrong = [None] * count()
        with problems.collect():
            if is_main() == turn:
                result = make()
        _talk(dist.all_gather_object, wrong, problems.found)
        if any(wrong):
            raise BadInput("\n".join(dict.fromkeys(sum(wrong, []))))
    return result


def prepare(learner, device):
    """Make a learner one that several processes share; `BadInput` where it, or this machine, cannot be shared."""
    learner.expect_shares(count())
    if torch.device(device).index is not None:
        do = "say cuda, and CUDA_VISIBLE_DEVICES which"
        raise BadInput(f"device: expected a GPU for each of {count()} processes, found {device} for all; {do}")
    here = int(os.environ.get("LOCAL_WORLD_SIZE", count()))
    if torch.device(device).type == "cuda" and torch.cuda.device_count() < here:
        found = f"{torch.cuda.device_count()}; start as many processes, or choose --profile laptop"
        raise BadInput(f"profile gpu: expected a GPU for each of {here} processes on this machine, found {found}")
    for module in learner.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = SharedNorm  # in place: names, weights and whoever holds the module stay


def shard(sizes, *tensors):
    """This process's samples of each tensor, dealt out in turn like cards, and how many are of each part of the batch.

    sizes : samples in each part, such as (number of CT, number of MR).  Returns (sizes, tensors)
    """
    if count() == 1:
        return sizes, tensors
    mine = torch.arange(sum(sizes)) % count() == rank()
    own = tuple(int(part.sum()) for part in mine.split(sizes))
    return own, tuple(tensor[rank() :: count()] for tensor in tensors)


def shared(function, batch):
    """function(batch), computed in equal shares: each process its own, and all get the whole of what comes out.

    For a network whose output is small: what follows it then needs no change. batch : (B, …) with W a divisor of B.
    """
    if count() == 1:
        return function(batch)
    batch = batch.view_as(batch)
    if batch.requires_grad:  # on the way back each process has the gradient of its own share, and 0 elsewhere
        batch.register_hook(lambda gradient: _all_reduced(gradient) / count())
    own = function(batch.chunk(count())[rank()])
    whole = torch.stack([own if r == rank() else torch.zeros_like(own) for r in range(count())])
    return all_reduce_sum(whole)[0].flatten(0, 1)


def all_reduce_sum(*tensors):
    """Each tensor added up over the processes, in one message; gradients are added up on their way back."""
    if count() == 1:
        return tensors
    sums = _Summed.apply(torch.cat([tensor.reshape(-1) for tensor in tensors]))
    parts = sums.split([tensor.numel() for tensor in tensors])
    return tuple(part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True))


class _Summed(torch.autograd.Function):
    forward = backward = staticmethod(lambda _, x: _all_reduced(x))  # what is sent back is added up too


@torch.no_grad()
def average_gradients(parameters):
    """Replace each gradient by its mean over the processes, in one message."""
    if count() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    for gradient, total in zip(gradients, all_reduce_sum(*gradients), strict=True):
        gradient.copy_(total / count())


class SharedNorm(_BatchNorm):
    """Batch normalisation by the mean and variance of the whole batch, on CPUs as well as GPUs.

    μ = Σ x / n,   σ² = Σ (x − μ)² / n,   x̂ = (x − μ) / √(σ² + ε),   y = γ x̂ + β;   sums over all processes

    In evaluation it is what it was, and so it is saved: one process can go on with what several trained.
    """

    def _check_input_dim(self, x):
        pass  # whether 2D or 3D was checked when the network was built

    def forward(self, x):
        if not self.training or count() == 1:
            return super().forward(x)
        z, over, along = at_least_float32(x), [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
        total, n = all_reduce_sum(z.sum(over), z.new_full((1,), z.numel() / z.shape[1]))
        mean = total / n
        z = z - mean.view(along)
        # Of what is centred, or float32 would lose it beside a large mean.
        variance = all_reduce_sum(z.square().sum(over))[0] / n
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_((variance * n / (n - 1)).to(self.running_var), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (z * scale.view(along) + self.bias.view(along)).to(x.dtype)


def _all_reduced(x):
    sums = x.clone(memory_format=torch.contiguous_format)
    _talk(dist.all_reduce, sums)
    return sums


def _talk(function, *arguments):
    try:
        function(*arguments)
    except RuntimeError as error:
        # "[/path/of/gloo.cc:553] Connection closed by peer [127.0.0.1]:4227. This is …"
        why = str(error).splitlines()[0].split(".cc")[-1].split("] ", 1)[-1].split(". ")[0]
        raise Lost(why) from None
