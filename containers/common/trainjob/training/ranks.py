"""What a job's ranks agree on: as many steps on each, the step to stop at, sums; by one sum that a framework lends.

A rank that went its own way would leave the others waiting in a collective. So each of them reaches each of these calls
as often and in the same order as every other, whatever it has left to read and whether or not it was told to stop.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainjob.stop import Stop, StopRequested

log = logging.getLogger(__name__)
T = TypeVar("T")
Values = NDArray[np.float64]
Add = Callable[[Values], Values]
"""From each rank's values, in one dimension, to their sum over all ranks, the same to the bit on each."""

NO_RECORD = "No host got a record of a channel: it is empty; check its S3Uri."
"""What a program says where `together` came to its end at once."""
ONE_OF_GPUS = (
    "this host has %d GPUs, of which one is used: a process for each is what processes_per_host of 0 gives, on hosts "
    "that are alike"
)
"""What a program says that has several before it, as no launcher gave it one of them."""
_PIECE_BYTES = 16 << 20


class Ranks:
    """A rank among its peers; alone, unless it is told otherwise. It knows no framework and moves no gradients."""

    def __init__(self, index: int = 0, count: int = 1, add: Add | None = None) -> None:
        """`add` is the framework's; a rank alone needs none."""
        if not 0 <= index < count or (count > 1) != (add is not None):
            raise ValueError(f"rank {index} of {count}: the index must be 0 to {count - 1}, and several need `add`")
        self.index, self.count, self._add = index, count, add
        self.wished = False
        """Whether a rank had a wish before the step under way; the same on all of them."""

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes: the model, the checkpoints, the metrics."""
        return self.index == 0

    def total(self, values: ArrayLike, *, stopped: bool = False) -> Values:
        """The sum of the ranks' values.

        Raises:
            StopRequested: A rank was stopped on its way here; raised on all of them.
        """
        mine = np.asarray(values, np.float64)
        sums = self._sum(np.append(mine.ravel(), float(stopped)))
        if sums[-1]:
            raise StopRequested
        return sums[:-1].reshape(mine.shape)

    def together(
        self,
        batches: Iterable[T],
        size: Callable[[T], int],
        stop: Stop,
        wish: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[T | None, int, int]]:
        """Batches for as long as any rank has one: a rank that ran dry takes part with None.

        `wish` is asked on every rank before each step: all know by `wished` whether any has something to do behind it.

        Yields:
            This rank's batch, the records in it, and those in all ranks' batches.

        Raises:
            StopRequested: A rank was asked to stop; raised on all of them before the same step.
        """
        iterator = iter(batches)
        while True:
            batch, asked = None, False
            try:
                batch = next(iterator, None)
                if batch is not None or self.count > 1:
                    stop.check()
            except StopRequested:
                batch, asked = None, True
            mine = 0 if batch is None else size(batch)
            everyone, wishes = self.total([mine, float(wish())], stopped=asked)
            if not everyone:
                return
            self.wished = bool(wishes)
            yield batch, mine, int(everyone)

    def gather(self, content: bytes) -> list[bytes]:
        """Every rank's content, by rank."""
        lengths = self.total(np.eye(self.count)[self.index] * len(content)).astype(int).tolist()
        rows = np.zeros((self.count, max(lengths)))
        rows[self.index, : len(content)] = np.frombuffer(content, np.uint8)
        whole = self.total(rows).astype(np.uint8)
        return [row[:length].tobytes() for row, length in zip(whole, lengths, strict=True)]

    def from_first(self, content: bytes) -> bytes:
        """The first rank's content, whatever the others gave."""
        if self.count == 1:
            return content
        length = int(self.total(len(content) if self.is_first else 0))
        result = np.zeros(-(-length // 4), "<u4")  # each fits into a float of 64 bits
        if self.is_first:
            result.view(np.uint8)[:length] = np.frombuffer(content, np.uint8)
        for start in range(0, len(result), _PIECE_BYTES // 4):
            piece = slice(start, start + _PIECE_BYTES // 4)
            result[piece] = self.total(result[piece]).astype("<u4")
        return result.tobytes()[:length]

    def check_equal(self, arrays: Sequence[NDArray[np.generic]]) -> str:
        """The checksum of the weights, once all ranks have the same.

        Raises:
            RuntimeError: They have not: the ranks have trained different models.
        """
        digest = hashlib.sha256()
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        found = [each.hex() for each in self.gather(digest.digest())]
        if len(set(found)) > 1:
            raise RuntimeError(f"the ranks end with different weights, sha256 by rank: {', '.join(found)}")
        log.info("rank %d of %d: weights sha256 %s, the same on all", self.index, self.count, found[0])
        return found[0]

    def _sum(self, values: Values) -> Values:
        return values if self._add is None else self._add(values)
