"""The ranks of a job in PyTorch: a process group among the hosts, and the model whose gradients it averages."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from trainjob.environment import JobEnvironment
from trainjob.errors import PeerError
from trainjob.launching.peers import SILENCE_SECONDS
from trainjob.pipe import STALL_SECONDS
from trainjob.stop import Stop
from trainjob.training.ranks import ONE_OF_GPUS, Ranks, Values

log = logging.getLogger(__name__)

COLLECTIVE_SECONDS = STALL_SECONDS + 300
"""How long a collective waits: a peer may wait for data so long, and save a model. That one is gone, launchers see."""
_groups: list[Any] = []
"""Kept to the end: a group whose last owner is a DistributedDataParallel is destroyed under the interpreter's lock, and
waits for a thread of its own that may want it just then, for ever (PyTorch 2.14)."""
_HALVES = (torch.float16, torch.bfloat16)
_VERDICT_SECONDS = SILENCE_SECONDS + 5
"""How long the launchers may take to find out who is gone, and to end this process."""


@contextmanager
def joined(env: JobEnvironment, device: torch.device, stop: Stop) -> Iterator[Ranks]:
    """This process among the job's, for as long as the block lasts; alone if it has no others.

    Raises:
        PeerError: A collective failed for a reason that no launcher has found.
    """
    if device.type == "cuda" and (gpus := torch.cuda.device_count()) > 1:
        log.warning(ONE_OF_GPUS, gpus)
    if env.ranks == 1:
        yield Ranks()
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=COLLECTIVE_SECONDS))
        _groups.append(dist.group.WORLD)
        log.info("rank %d of %d, %s on %s", env.rank, env.ranks, backend, env.network_interface)
        yield Ranks(env.rank, env.ranks, _add)
    except RuntimeError as error:
        if not _is_collectives(error):
            raise
        deadline = time.monotonic() + _VERDICT_SECONDS
        while time.monotonic() < deadline and not stop.requested:
            time.sleep(0.1)
        raise PeerError(
            f"The hosts cannot exchange gradients: {error}; look at the ends of all hosts' logs for the first error."
        ) from error
    dist.destroy_process_group()


def _add(values: Values) -> Values:
    sums = torch.from_numpy(values.copy())
    dist.all_reduce(sums)
    return np.asarray(sums)


def _is_collectives(error: RuntimeError) -> bool:
    """Whether it is of a connection between the hosts; gloo's have no class of their own."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


class _Sum(torch.autograd.Function):
    """The sum of a tensor over the ranks, through which gradients flow back to all of them."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        sums = values.clone()
        dist.all_reduce(sums)
        return sums

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        sums = gradients[0].contiguous()
        dist.all_reduce(sums)
        return sums


class _SyncedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation by the statistics of all ranks' records, of which a rank may have none.

    Not PyTorch's own SyncBatchNorm, which refuses to work on a CPU. A state of either fits plain BatchNorm2d.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Of a model in training; in evaluation the parent's."""
        if not self.training:
            return super().forward(images)
        floats, dims = images.float() if images.dtype in _HALVES else images, (0, 2, 3)
        values = floats.new_tensor(images.numel() / images.shape[1], dtype=torch.float64)
        if len(images):
            own_variance, own_mean = (each.double() for each in torch.var_mean(floats, dims, correction=0))
        else:
            own_variance = own_mean = floats.sum(dims).double()
        # In float64, as these squares are then taken from each other.
        parts = [values[None], own_mean * values, (own_variance + own_mean.square()) * values]
        count, total, squares = _Sum.apply(torch.cat(parts)).split([1, *2 * [images.shape[1]]])
        mean = total / count
        variance = (squares / count - mean.square()).clamp_min(0)
        self._remember(mean.detach(), variance.detach() * count / (count - 1).clamp_min(1))
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        shift = (self.bias if self.affine else 0) - mean * scale
        scale, shift = (each.to(floats.dtype)[:, None, None] for each in (scale, shift))
        return (floats * scale + shift).to(images.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(variance.to(self.running_var.dtype), share)


def synchronise(model: nn.Module) -> None:
    """Have every batch normalisation of a model look at all ranks' records; its weights stay the very same objects."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _SyncedBatchNorm


class Answer(nn.Module):
    """A model that can be asked nothing: of a rank that ran dry, whose gradients are then nought."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor | None) -> Tensor:
        """Logits; without images a nought that depends on every weight, and touches no running mean."""
        if images is None:
            return 0 * torch.stack([weight.sum() for weight in self.model.parameters() if weight.requires_grad]).sum()
        answer: Tensor = self.model(images)
        return answer


def parallel(model: nn.Module, ranks: Ranks) -> nn.Module:
    """The model with gradients averaged over the ranks as they are computed; as it is, where there is one rank."""
    if ranks.count == 1:
        return model
    return nn.parallel.DistributedDataParallel(
        Answer(model),
        forward_sync_buffers=False,  # `share_buffers` does, for a first rank may have no batch
        gradient_as_bucket_view=True,
    )


def weights(model: nn.Module) -> list[NDArray[np.generic]]:
    """All that a model has learnt, running means included."""
    return [value.cpu().numpy() for value in model.state_dict().values() if value.is_floating_point()]


def share_buffers(model: nn.Module, weight: float) -> None:
    """Replace running means and the like by their mean over the ranks, each counting by its share of the records."""
    buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    if not buffers:
        return
    whole = torch.cat([buffer.flatten() for buffer in buffers]) * weight
    dist.all_reduce(whole)
    for buffer, mean in zip(buffers, whole.split([buffer.numel() for buffer in buffers]), strict=True):
        buffer.copy_(mean.view_as(buffer))
