"""From photographs to batches of pixels: checked, a part of each chosen, decoded ahead, the bad ones told by name."""

import itertools
import logging
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainjob.errors import PhotographError
from trainjob.photographs import jpeg
from trainjob.photographs.epochs import Photographs
from trainjob.photographs.records import Photograph
from trainjob.photographs.views import Regions, View, regions
from trainjob.prefetch import prefetch

log = logging.getLogger(__name__)
T = TypeVar("T")

REQUESTED_AHEAD = 2
"""Batches of JPEGs read while others are decoded."""


@dataclass(frozen=True, slots=True)
class Request:
    """A batch of JPEGs, and the part of each that is to be shown."""

    photographs: list[Photograph]
    regions: Regions


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a request."""

    photographs: list[Photograph]
    """Those that could be decoded, in the request's order."""
    regions: Regions
    """Of these."""
    images: Any
    """uint8, RGB: `(n, side, side, 3)`, on the host or on a GPU; of the view `Whole` a list of `(height, width, 3)`."""
    failed: list[tuple[Photograph, str]]
    """The others, and what is wrong with each."""


class Decoder(Protocol):
    """Shows what is asked for. It knows one view, which it was made for."""

    view: View

    def decode(self, requests: Iterable[Request]) -> Iterator[Decoded]:
        """One answer a request, in order; some of them are under way at once."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step takes."""

    images: Any
    """As `Decoded` has them."""
    labels: NDArray[np.int64]
    """`(n,)`."""
    photographs: list[Photograph]


@dataclass(kw_only=True)
class Batches:
    """A channel's photographs as batches of pixels, decoded anew in every epoch."""

    photographs: Photographs
    decoder: Decoder
    batch_size: int
    seed: int = 0
    on_corrupt: Literal["fail", "drop"] = "fail"
    """What a photograph that cannot be decoded does: end the job, or be left out alone."""

    dropped: int = field(default=0, init=False)
    """Photographs left out in the epoch last read."""

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """One pass over the channel.

        Args:
            number: Of the training's epoch; with the seed it decides the order and what is shown.
            skip: Batches at its start that are read but not decoded; one that the decoder lost whole counts as one.

        Yields:
            Batches of `batch_size`; the last may be smaller, and one that lost a photograph in the decoder, too.

        Raises:
            PhotographError: One cannot be decoded, and `on_corrupt` is `fail`; named by its key. Or not one can be.
            ChannelError, RecordError, StopRequested: As `Photographs.epoch` has them.
        """
        self.dropped, kept = 0, skip
        with (
            _closed(prefetch(self._requests(number, skip), REQUESTED_AHEAD)) as requests,
            _closed(self.decoder.decode(requests)) as answers,
        ):
            for decoded in answers:
                for photograph, reason in decoded.failed:
                    self._refuse(photograph, reason)
                if decoded.photographs:
                    kept += 1
                    labels = np.array([photograph.label for photograph in decoded.photographs], np.int64)
                    yield Batch(decoded.images, labels, decoded.photographs)
        name = self.photographs.channel.config.name
        if self.dropped and not kept:
            raise PhotographError(
                f"Channel '{name}': none of its {self.dropped} photographs can be decoded; prepare the data again."
            )
        if self.dropped:
            log.warning("channel '%s', epoch %d: %d photographs left out", name, number + 1, self.dropped)

    def _requests(self, number: int, skip: int) -> Iterator[Request]:
        with _closed(self.photographs.epoch(number)) as read:
            checked = self._checked(read)
            for index in itertools.count():
                part = list(itertools.islice(checked, self.batch_size))
                if not part:
                    return
                if index < skip:
                    continue
                photographs, sizes = [photograph for photograph, _ in part], [size for _, size in part]
                random = np.random.Generator(np.random.PCG64((self.seed, number, index)))
                boxes = [photograph.box for photograph in photographs]
                yield Request(photographs, regions(self.decoder.view, sizes, boxes, random))

    def _checked(self, photographs: Iterable[Photograph]) -> Iterator[tuple[Photograph, tuple[int, int]]]:
        for photograph in photographs:
            try:
                size = jpeg.size(photograph.content)
            except PhotographError as error:
                self._refuse(photograph, str(error))
            else:
                yield photograph, size

    def _refuse(self, photograph: Photograph, reason: str) -> None:
        channel = self.photographs.channel.config.name
        text = f"Channel '{channel}': '{photograph.key}' {reason}"
        if self.on_corrupt == "fail":
            raise PhotographError(f"{text}; mend or remove it, or set on_corrupt=drop to leave such ones out.")
        self.dropped += 1
        log.warning("%s; left out", text)


@contextmanager
def _closed(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """Closes a generator at the end of the block, though an error's traceback may still refer to it."""
    try:
        yield items
    finally:
        if isinstance(items, Generator):
            items.close()
