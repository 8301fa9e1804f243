"""From blocks of records to batches: a seeded shuffle window, then batches of one size."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from trainjob.memory import Recycled

Block = NDArray[np.uint8]


def shuffled(blocks: Iterable[Block], window: int, seed: tuple[int, ...]) -> Iterator[Block]:
    """Shuffle records within a window that moves along the stream.

    The order depends on the seed, the window and the sizes of the blocks, so give every input mode the same blocks.

    Args:
        blocks: `(n, record_bytes)` uint8, memory of their own, or read-only.
        window: Records held back to draw from. 0 leaves the order as it is; the size of the data set shuffles it fully.
        seed: Any integers, such as `(seed, epoch)`.

    Yields:
        `(n, record_bytes)` uint8, memory of its own.
    """
    memory = Recycled()
    if window == 0:
        yield from (block if block.flags.writeable else memory.copy(block) for block in blocks)
        return
    random = np.random.Generator(np.random.PCG64(seed))
    pool: Block | None = None
    held = 0
    for block in blocks:
        if pool is None:
            pool = np.empty((window, block.shape[1]), np.uint8)
        room = min(window - held, len(block))
        pool[held : held + room] = block[:room]
        held += room
        arriving = block[room:]
        for start in range(0, len(arriving), window):  # a block may be larger than the window
            part = arriving[start : start + window]
            slots = random.choice(window, len(part), replace=False)
            leaving = memory.empty((len(part), part.shape[1]))
            np.take(pool, slots, axis=0, out=leaving, mode="clip")  # the default mode would fill a second array first
            pool[slots] = part
            yield leaving
    if pool is not None:
        yield pool[:held][random.permutation(held)]


def batches(blocks: Iterable[Block], size: int, drop_remainder: bool = False) -> Iterator[Block]:
    """Regroup records into batches of `size`; the last may be smaller unless `drop_remainder`.

    Args:
        blocks: `(n, record_bytes)` uint8 of any lengths, memory of their own: a batch may be a view of one.
        size: Records in a batch.
        drop_remainder: Leave out a last batch that is not full.

    Yields:
        `(size, record_bytes)` uint8.
    """
    waiting: list[Block] = []
    count = 0
    memory = Recycled()
    for block in blocks:
        start = 0
        while count + len(block) - start >= size:
            end = start + size - count
            waiting.append(block[start:end])
            yield waiting[0] if len(waiting) == 1 else _joined(waiting, memory)
            waiting, count, start = [], 0, end
        if start < len(block):
            waiting.append(block[start:])
            count += len(block) - start
    if waiting and not drop_remainder:
        yield _joined(waiting, memory)


def _joined(blocks: list[Block], memory: Recycled) -> Block:
    shape = (sum(len(block) for block in blocks), blocks[0].shape[1])
    return np.concatenate(blocks, out=memory.empty(shape))


def regrouped(parts: Iterable[tuple[Block, ...]], size: int) -> Iterator[Block]:
    """Copy rows into blocks of `size`, so that what follows does not depend on how the parts happened to fall.

    Args:
        parts: Rows `(n, row_bytes)` uint8 of any number, as the columns that make them side by side; each may be
            overwritten once the next is asked for.
        size: Rows in every block but the last.

    Yields:
        `(size, row_bytes)` uint8, memory of their own.
    """
    memory = Recycled()
    buffer: Block | None = None
    filled = 0
    for part in parts:
        start, length = 0, len(part[0])
        while start < length:
            if buffer is None:
                buffer = memory.empty((size, sum(columns.shape[1] for columns in part)))
            count = min(size - filled, length - start)
            copied = [columns[start : start + count] for columns in part]
            np.concatenate(copied, axis=1, out=buffer[filled : filled + count])
            start, filled = start + count, filled + count
            if filled == size:
                yield buffer
                buffer, filled = None, 0
    if buffer is not None and filled:
        yield buffer[:filled]
