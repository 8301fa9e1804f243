"""From a channel to tensors: epochs of uint8 batches, brought to the device, augmented and normalised there."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import IterableDataset, get_worker_info
from trainjob import cifar10
from trainjob.channel import Channel
from trainjob.dataset import Dataset
from trainjob.errors import ChannelError
from trainjob.memory import Recycled
from trainjob.prefetch import prefetch

Batch = tuple[Tensor, Tensor]
"""Images `(n, 3, 32, 32)` uint8 and labels `(n,)` int64."""

PREFETCHED = 3
"""Batches read ahead of a GPU, which computes while the host reads."""


def cifar10_dataset(channel: Channel, batch_size: int, **settings: Any) -> Dataset:
    """CIFAR-10's records in a channel, of any framing; `settings` are Dataset's."""
    return Dataset(
        channel=channel, record_bytes=cifar10.RECORD_BYTES, batch_size=batch_size, decode=cifar10.rows, **settings
    )


def epoch(dataset: Dataset, number: int, device: torch.device, skip: int = 0) -> Iterator[Batch]:
    """One pass over a data set but for its first `skip` batches, on the device.

    A GPU gets them ahead of time: a thread reads into pinned memory, and a stream of their own copies while the step
    before still computes. On a CPU they are the reader's own arrays, which it does not touch again.

    Raises:
        ChannelError: The channel cannot be opened or delivered no record.
        RecordError: Its bytes are not CIFAR-10's records.
        StopRequested: The job was asked to stop while this waited for data.
    """
    batches = _tensors(dataset, number, skip)
    return batches if device.type != "cuda" else copied(batches, device)


def _tensors(dataset: Dataset, number: int, skip: int = 0) -> Iterator[Batch]:
    for index, rows in enumerate(dataset.epoch(number)):
        if index >= skip:
            images, labels = cifar10.split(rows)
            yield torch.from_numpy(images), torch.from_numpy(labels)


def copied(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Batches on a GPU: those of the host read into pinned memory, and copied while the one before is in use."""
    pinned = (tuple(part if part.is_cuda else part.pin_memory() for part in batch) for batch in batches)
    copying = torch.cuda.Stream(device)
    ahead: Batch | None = None
    for host in prefetch(pinned, PREFETCHED):
        with torch.cuda.stream(copying):
            images, labels = (part.to(device, non_blocking=True) for part in host)
        if ahead is not None:
            yield ahead
        torch.cuda.current_stream(device).wait_stream(copying)
        for part in (images, labels):
            # Made on one stream and used on another: its memory must not be given away before that use is over.
            part.record_stream(torch.cuda.current_stream(device))
        ahead = images, labels
    if ahead is not None:
        yield ahead


class Batches(IterableDataset[Batch]):
    """A data set for `torch.utils.data.DataLoader(Batches(...), batch_size=None)`; every pass is the next epoch.

    A FIFO has one reader, so a DataLoader may have one worker at most. The training loop here needs none.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        # In shared memory, as a worker is a new process in every epoch and must know which FIFO is next.
        self._passes = torch.zeros(1, dtype=torch.int64).share_memory_()

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        if worker is not None and worker.num_workers > 1:
            raise ChannelError(
                f"Channel '{self._dataset.channel.config.name}' is read by a DataLoader with {worker.num_workers} "
                "workers, but a stream has one reader; set num_workers to 0 or 1."
            )
        if worker is not None:
            self._dataset.channel.looks_ahead = False  # it may be gone before the next pass
        number = int(self._passes)
        self._passes += 1
        self._dataset.channel.opened = number
        return _tensors(self._dataset, number)


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images left to right, on whatever device they are; uint8 costs a quarter of float.

    Args:
        images: `(n, c, h, w)`. Use them no more: what decoders left in the host's memory is mirrored where it lies.
        generator: Of the host, so that every device gets the same draws.
    """
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    if images.device.type == "cpu" and _by_pixels(images):
        # One by one: of pixels that lie whole, a tenth of the time that it takes to mirror and choose among them all.
        pixels = images.permute(0, 2, 3, 1)
        with _one_thread():
            for index in mirrored.nonzero()[:, 0].tolist():
                pixels[index] = pixels[index].flip(1)
        return images
    return torch.where(mirrored.to(images.device)[:, None, None, None], images.flip(3), images)


def crop(images: Tensor, generator: torch.Generator, padding: int) -> Tensor:
    """Move each image by up to `padding` pixels, edges mirrored.

    Args:
        images: `(n, c, h, w)` float, on any device.
        generator: Of the host, so that every device gets the same draws.
        padding: Pixels, 1 or more.
    """
    count, _, height, width = images.shape
    shift = torch.randint(0, 2 * padding + 1, (2, count), generator=generator).to(images.device)
    padded = functional.pad(images, (padding,) * 4, mode="reflect")
    # Every possible crop as a view, then one gather: no Python loop over images.
    crops = padded.unfold(2, height, 1).unfold(3, width, 1)
    return crops[torch.arange(count, device=images.device), :, shift[0], shift[1]]


class Normalise:
    """uint8 images on a device to floats of zero mean and unit variance."""

    def __init__(
        self,
        device: torch.device,
        memory_format: torch.memory_format = torch.contiguous_format,
        statistics: tuple[Sequence[float], Sequence[float]] = (cifar10.MEAN, cifar10.STD),
    ) -> None:
        """`statistics` are mean and standard deviation of each channel, pixels scaled to 0..1."""
        self._memory_format = memory_format
        mean, std = (torch.tensor(each, device=device).view(1, 3, 1, 1) for each in statistics)
        self._scale = 1 / (255 * std)
        self._shift = -mean / std
        self._memory = Recycled()

    def __call__(self, images: Tensor) -> Tensor:
        """`(n, 3, h, w)` uint8 to the same shape in float32."""
        if _by_pixels(images):
            # Rows of whole pixels, as the three factors of a pixel alone are too short a run to vectorise.
            count, _, height, width = images.shape
            rows = images.permute(0, 2, 3, 1).reshape(count * height, width * 3)
            scale, shift = (each.view(3).repeat(width) for each in (self._scale, self._shift))
            floats = self._empty(rows).copy_(rows)
            torch.addcmul(shift, floats, scale, out=floats)
            floats = floats.view(count, height, width, 3).permute(0, 3, 1, 2)
        else:
            # Scaled before the channels go last: a whole plane then has one factor, and vectorises.
            floats = torch.addcmul(self._shift, images.float(), self._scale)
        return floats.contiguous(memory_format=self._memory_format)

    def _empty(self, rows: Tensor) -> Tensor:
        """Floats of that shape, of unknown content; on a CPU in memory that is used again once nothing refers to it."""
        if rows.device.type != "cpu":
            return torch.empty_like(rows, dtype=torch.float32)
        count, width = rows.shape
        return torch.from_numpy(self._memory.empty((count, 4 * width)).view(np.float32))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in this thread alone: a second one would spin at the end of each small operation, on a decoder's core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _by_pixels(images: Tensor) -> bool:
    """Whether the channels of a pixel lie together, as decoders leave them."""
    return images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
