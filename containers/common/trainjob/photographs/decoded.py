"""The set kept decoded after its first epoch: later ones only cut parts out of it."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainjob.memory import Recycled
from trainjob.photographs.decoding import Batch, Batches
from trainjob.photographs.records import Photograph
from trainjob.photographs.views import Whole

log = logging.getLogger(__name__)


class Shelf(Protocol):
    """Where decoded photographs are kept, and how parts of them are cut out."""

    def keep(self, images: list[NDArray[np.uint8]]) -> list[Any]:
        """All images of the set, `(height, width, 3)` each, moved to where they stay."""

    def cut(self, images: Sequence[Any], tops: NDArray[np.int64], lefts: NDArray[np.int64], side: int) -> Any:
        """A part of each, `(n, side, side, 3)`, memory of its own."""


class Host:
    """Keeps them in the host's memory."""

    def __init__(self) -> None:
        self._memory = Recycled()

    def keep(self, images: list[NDArray[np.uint8]]) -> list[Any]:
        """The images as they are."""
        return images

    def cut(self, images: Sequence[Any], tops: NDArray[np.int64], lefts: NDArray[np.int64], side: int) -> Any:
        """A part of each, `(n, side, side, 3)`."""
        out = self._memory.empty((len(images), side * side * 3)).reshape(len(images), side, side, 3)
        for index, (image, top, left) in enumerate(zip(images, tops.tolist(), lefts.tolist(), strict=True)):
            out[index] = image[top : top + side, left : left + side]
        return out


@dataclass(kw_only=True)
class KeptBatches:
    """Batches of random parts. Epoch 0 decodes whole photographs and keeps them if they fit; later ones cut only."""

    whole: Batches
    """Of the view `Whole`."""
    side: int
    """Of the parts, pixels, the view's short side or less."""
    budget_bytes: int
    """Of pixels. A larger set is decoded anew in every epoch, and parts are cut out of that."""
    shelf: Shelf = field(default_factory=Host)

    _host: Host = field(default_factory=Host, init=False)
    _kept: list[tuple[Any, Photograph]] | None = field(default=None, init=False)
    _given_up: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        view = self.whole.decoder.view
        if not isinstance(view, Whole) or self.side > view.short:
            raise ValueError(
                f"parts of {self.side} pixels cannot be cut out of {view}; decode by a Whole that is no smaller"
            )
        self.whole.photographs.channel.looks_ahead = False  # a second epoch is most likely not to be read

    @property
    def dropped(self) -> int:
        """Photographs left out when the channel was read."""
        return self.whole.dropped

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """One epoch; see `Batches.epoch`. A job that resumes later than in epoch 0 decodes the whole set first."""
        if self._kept is None and not self._given_up and number > 0:
            for _ in self._first(0):
                pass  # only to be kept
        if self._kept is not None:
            yield from self._later(number, skip)
        elif self._given_up:
            yield from self._cut(self.whole.epoch(number, skip), number, skip)
        else:
            for index, batch in enumerate(self._cut(self._first(number), number, 0)):
                if index >= skip:
                    yield batch

    def _first(self, number: int) -> Iterator[Batch]:
        kept: list[tuple[NDArray[np.uint8], Photograph]] = []
        held = 0
        for batch in self.whole.epoch(number):
            held += sum(image.nbytes for image in batch.images)
            if held > self.budget_bytes and not self._given_up:
                self._given_up, kept = True, []
                log.warning(
                    "channel '%s' is larger than its cache of %.0f MB: every epoch is decoded; raise cache_mb",
                    self.whole.photographs.channel.config.name, self.budget_bytes / 1e6,
                )  # fmt: skip
            if not self._given_up:
                kept += zip(batch.images, map(_without_content, batch.photographs), strict=True)
            yield batch
        if not self._given_up:
            kept.sort(key=lambda pair: pair[1].index)  # the channel's order, whatever was read when
            images = self.shelf.keep([image for image, _ in kept])
            self._kept = list(zip(images, (photograph for _, photograph in kept), strict=True))

    def _later(self, number: int, skip: int) -> Iterator[Batch]:
        assert self._kept is not None  # noqa: S101 - the caller has looked
        size, seed = self.whole.batch_size, self.whole.seed
        order = np.random.Generator(np.random.PCG64((seed, number))).permutation(len(self._kept))
        for index in range(skip, -(-len(order) // size)):
            chosen = [self._kept[place] for place in order[index * size : (index + 1) * size]]
            images, photographs = [image for image, _ in chosen], [photograph for _, photograph in chosen]
            yield self._parts(images, photographs, self.shelf, (seed, number, index))

    def _cut(self, batches: Iterator[Batch], number: int, first: int) -> Iterator[Batch]:
        for index, batch in enumerate(batches, first):
            yield self._parts(batch.images, batch.photographs, self._host, (self.whole.seed, number, index))

    def _parts(
        self, images: Sequence[Any], photographs: list[Photograph], shelf: Shelf, seed: tuple[int, int, int]
    ) -> Batch:
        random = np.random.Generator(np.random.PCG64(seed))
        sizes = np.array([image.shape[:2] for image in images])
        tops, lefts = np.floor(random.random((2, len(images))) * (sizes.T - self.side + 1)).astype(np.int64)
        labels = np.array([photograph.label for photograph in photographs], np.int64)
        return Batch(shelf.cut(images, tops, lefts, self.side), labels, photographs)


@dataclass(kw_only=True)
class Replayed:
    """Batches that are the same in every epoch, as evaluation's are, kept after the first if they fit."""

    batches: Batches
    budget_bytes: int
    """Of pixels. A larger channel is decoded anew in every epoch."""

    _kept: list[Batch] | None = field(default=None, init=False)
    _given_up: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.batches.photographs.channel.looks_ahead = False

    @property
    def dropped(self) -> int:
        """Photographs left out when the channel was read."""
        return self.batches.dropped

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """One epoch; see `Batches.epoch`."""
        if self._kept is not None:
            yield from self._kept[skip:]
            return
        kept: list[Batch] = []
        held = 0
        for batch in self.batches.epoch(number, skip):
            held += math.prod(batch.images.shape)  # a byte each; TensorFlow's tensors do not tell
            self._given_up |= held > self.budget_bytes
            if self._given_up or skip:
                kept = []
            else:
                kept.append(Batch(batch.images, batch.labels, list(map(_without_content, batch.photographs))))
            yield batch
        self._kept = None if self._given_up or skip else kept


def _without_content(photograph: Photograph) -> Photograph:
    """A photograph whose pixels are kept needs no JPEG any more."""
    return Photograph(photograph.key, np.empty(0, np.uint8), photograph.label, photograph.box, photograph.index)
