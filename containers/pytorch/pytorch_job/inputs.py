"""From a channel to tensors: epochs of uint8 batches on the host, augmented and normalised on the device."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional
from trainjob import batching, cifar10
from trainjob.channel import Channel
from trainjob.errors import ChannelError
from trainjob.framing import fixed

BLOCK_RECORDS = 1024
"""Records read at a time: 3 MiB. Part of what decides the shuffled order, so not a setting."""


def epoch(
    channel: Channel, batch_size: int, window: int = 0, seed: tuple[int, ...] = ()
) -> Iterator[tuple[Tensor, Tensor]]:
    """One pass over a channel of CIFAR-10 records.

    Args:
        channel: Its next epoch is opened.
        batch_size: Images in a batch; the last may be smaller.
        window: Records of the shuffle window; 0 keeps the channel's order.
        seed: Decides the order together with the window.

    Yields:
        Images `(n, 3, 32, 32)` uint8 and labels `(n,)` int64, on the host, in memory of their own.

    Raises:
        ChannelError: The channel cannot be opened or delivered no record.
        RecordError: Its bytes are not CIFAR-10 records.
        StopRequested: The job was asked to stop while this waited for data.
    """
    with channel.open() as stream:
        blocks = fixed.blocks(stream, cifar10.RECORD_BYTES, BLOCK_RECORDS, channel.description)
        first = 0
        for batch in batching.batches(batching.shuffled(_checked(blocks), window, seed), batch_size):
            first += len(batch)
            images, labels = cifar10.decode(batch)
            yield torch.from_numpy(images), torch.from_numpy(labels)
    if first == 0:
        raise ChannelError(
            f"{channel.description} delivered no record: the channel is empty; check its S3Uri, "
            "and that it has at least one object for every host."
        )


def augment(images: Tensor, generator: torch.Generator, flip: bool, crop_padding: int) -> Tensor:
    """Flip half of the images left to right and move each by up to `crop_padding` pixels, edges mirrored.

    Args:
        images: `(n, c, h, w)` float, on any device.
        generator: Of the host, so that every device gets the same draws.
        flip: Whether to flip.
        crop_padding: Pixels; 0 moves nothing.
    """
    count, _, height, width = images.shape
    if flip:
        mirrored = (torch.rand(count, generator=generator) < 0.5).to(images.device)
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    if crop_padding:
        shift = torch.randint(0, 2 * crop_padding + 1, (2, count), generator=generator).to(images.device)
        padded = functional.pad(images, (crop_padding,) * 4, mode="reflect")
        # Every possible crop as a view, then one gather: no Python loop over images.
        crops = padded.unfold(2, height, 1).unfold(3, width, 1)
        images = crops[torch.arange(count, device=images.device), :, shift[0], shift[1]]
    return images


class Normalise:
    """uint8 images on a device to floats of zero mean and unit variance, channels last as convolutions like them."""

    def __init__(self, device: torch.device) -> None:
        self._mean = torch.tensor(cifar10.MEAN, device=device).view(1, 3, 1, 1) * 255
        self._scale = 1 / (torch.tensor(cifar10.STD, device=device).view(1, 3, 1, 1) * 255)

    def __call__(self, images: Tensor) -> Tensor:
        """`(n, 3, h, w)` uint8 to the same shape in float32."""
        return ((images.float() - self._mean) * self._scale).contiguous(memory_format=torch.channels_last)


def _checked(blocks: Iterator[batching.Block]) -> Iterator[batching.Block]:
    """Check labels in the order of the stream, so that an error names the record where it lies."""
    first = 0
    for block in blocks:
        cifar10.check_labels(block, first)
        first += len(block)
        yield block
