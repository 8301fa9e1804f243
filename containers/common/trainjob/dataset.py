"""A channel as epochs of batches: framing, share of this process, cache, shuffle window and batches in one place.

Three lines read a channel in any script, whatever its input mode:

    train = connect("train", record_bytes=3073, batch_size=128, window=10_000)
    for epoch in range(8):
        for batch in train.epoch(epoch): ...
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainjob import batching, channel, environment
from trainjob.cache import Cache
from trainjob.channel import Channel
from trainjob.errors import ChannelError, RecordError
from trainjob.framing import detection, fixed, recordio, tfrecord
from trainjob.framing.fixed import ByteStream
from trainjob.memory import Recycled
from trainjob.stop import Stop

Block = NDArray[np.uint8]
Decode = Callable[[Block, str, int], Block | tuple[Block, ...]]
"""From records `(n, length)`, the framing's name and the index of the first of them, to rows `(n, record_bytes)`.

A tuple is the columns that make the rows side by side; of records that are framed, that saves a copy."""
Framing = Literal["auto", "fixed", "tfrecord", "recordio"]

BLOCK_BYTES = 4 << 20
"""Rows are shuffled by blocks of about this size. Part of what decides the order, so not a setting."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """Which records are this process's own: those whose index in the stream is `index` modulo `count`."""

    index: int = 0
    count: int = 1
    may_be_empty: bool = False
    """Whether the channel may deliver no record at all, as it does to a host that gets none of a few objects."""

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"share {self.index} of {self.count}: the index must be 0 to {self.count - 1}")


@dataclass(kw_only=True)
class Dataset:
    """The records of one length that a channel holds, epoch by epoch."""

    channel: Channel
    record_bytes: int
    """Bytes of a row, which is a record after `decode`."""
    batch_size: int
    window: int = 0
    """Records of the shuffle window; 0 keeps the channel's order."""
    seed: int = 0
    framing: Framing = "auto"
    """`auto` tells it from the first bytes of each epoch."""
    share: Share = field(default_factory=Share)
    cache_bytes: int = 0
    """Keep the first epoch in memory if it is not larger; 0 streams every epoch."""
    drop_remainder: bool = False
    decode: Decode | None = None
    """Makes rows of records that hold them in another form; without it a record is a row."""

    found: str | None = field(default=None, init=False)
    """The framing of the epoch last read; None before the first record."""

    def __post_init__(self) -> None:
        self._cache = Cache(self.cache_bytes, f"Channel '{self.channel.config.name}'")
        if self.cache_bytes:
            self.channel.looks_ahead = False  # a second epoch is most likely not to be read

    @property
    def batches_in_block(self) -> int:
        """Whole batches that one block holds, 1 or more."""
        return max(1, BLOCK_BYTES // self.record_bytes // self.batch_size)

    def epoch(self, number: int, group: int = 1) -> Iterator[Block]:
        """One pass over the channel.

        Args:
            number: Of the training's epoch; with `seed` it decides the order.
            group: Batches to give at a time, in one array, for a caller who takes them apart; a remainder is then kept.

        Yields:
            Batches `(batch_size, record_bytes)` uint8 in memory of their own; the last may be smaller.

        Raises:
            ChannelError: The channel cannot be opened, or delivered no record at all.
            RecordError: Its bytes are not such records.
            StopRequested: The job was asked to stop while this waited.
        """
        blocks = self._cache.epoch(self._stream) if self.cache_bytes else self._stream()
        rows = batching.shuffled(blocks, self.window, (self.seed, number))
        return batching.batches(rows, self.batch_size * group, self.drop_remainder and group == 1)

    def _stream(self) -> Iterator[Block]:
        """The next epoch's rows of this share, in blocks whose size depends on nothing but the row's."""
        count = 0
        with self.channel.open() as stream:
            for block in self._rows(stream):
                first = -(count - self.share.index) % self.share.count if self.share.count > 1 else 0
                count += len(block)
                yield block[first :: self.share.count]
        if count == 0 and not self.share.may_be_empty:
            raise ChannelError(
                f"{self.channel.description} delivered no record: the channel is empty; check its S3Uri, "
                "and that it has at least one object for every host."
            )

    def _rows(self, stream: ByteStream) -> Iterator[Block]:
        name = self.channel.description
        per_block = max(1, BLOCK_BYTES // self.record_bytes)
        if self.window == 0 and per_block > self.batch_size:
            # Without a window blocks have no bearing on the order, and batches of one block need not be joined.
            per_block = self.batches_in_block * self.batch_size
        framing, stream = detection.detect(stream, self.framing, name)
        self.found = framing
        if framing == detection.FIXED:
            parts = fixed.blocks(stream, self.record_bytes, per_block, name, Recycled().empty)
            for columns in self._decoded(parts, framing, name):
                yield columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
        else:
            read = tfrecord.read if framing == detection.TFRECORD else recordio.read
            parts = (part for records in read(stream, name) for part in records.alike())
            yield from batching.regrouped(self._decoded(parts, framing, name), per_block)

    def _decoded(self, parts: Iterable[Block], framing: str, name: str) -> Iterator[tuple[Block, ...]]:
        first = 0
        for part in parts:
            try:
                rows = self.decode(part, framing, first) if self.decode else part
            except RecordError as error:
                raise RecordError(f"{name}: {error}") from None  # a decoder knows records, not where they come from
            columns = rows if isinstance(rows, tuple) else (rows,)
            if (row_bytes := sum(column.shape[1] for column in columns)) != self.record_bytes:
                raise RecordError(
                    f"{name}: record {first} ({framing}) has {row_bytes} bytes, but {self.record_bytes} are "
                    "expected; check which data set the channel's S3Uri names."
                )
            first += len(part)
            yield columns


def connect(
    name: str,
    *,
    record_bytes: int,
    batch_size: int,
    window: int = 0,
    seed: int = 0,
    framing: Framing = "auto",
    cache_bytes: int = 0,
) -> Dataset:
    """The channel of that name in the job this process runs in, as a data set; see `Dataset` for the arguments.

    Raises:
        ChannelError: The job has no such channel.
        EnvironmentFileError: The platform's files are missing or malformed.
    """
    return Dataset(
        channel=channel.find(environment.read(), name, Stop()),
        record_bytes=record_bytes,
        batch_size=batch_size,
        window=window,
        seed=seed,
        framing=framing,
        cache_bytes=cache_bytes,
    )
