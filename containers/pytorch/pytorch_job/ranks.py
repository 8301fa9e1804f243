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
from trainjob.peers import SILENCE_SECONDS
from trainjob.pipe import STALL_SECONDS
from trainjob.ranks import Ranks, Values
from trainjob.stop import Stop

log = logging.getLogger(__name__)

COLLECTIVE_SECONDS = STALL_SECONDS + 300
"""How long a collective waits: a peer may wait for data so long, and save a model. That one is gone, launchers see."""
_groups: list[Any] = []
"""Kept to the end: a group whose last owner is a DistributedDataParallel is destroyed under the interpreter's lock, and
waits for a thread of its own that may want it just then, for ever (PyTorch 2.14)."""
_VERDICT_SECONDS = SILENCE_SECONDS + 5
"""How long the launchers may take to find out who is gone, and to end this process."""


@contextmanager
def joined(env: JobEnvironment, device: torch.device, stop: Stop) -> Iterator[Ranks]:
    """This host among the job's, for as long as the block lasts; alone if it has no others.

    Raises:
        PeerError: A collective failed for a reason that no launcher has found.
    """
    if len(env.hosts) == 1:
        yield Ranks()
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=COLLECTIVE_SECONDS))
        _groups.append(dist.group.WORLD)
        log.info("rank %d of %d, %s on %s", env.rank, len(env.hosts), backend, env.network_interface)
        yield Ranks(env.rank, len(env.hosts), _add)
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
