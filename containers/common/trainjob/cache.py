"""Keeps the first epoch's records in memory, within a budget, so that later epochs need no stream."""

import logging
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

Block = NDArray[np.uint8]


class Cache:
    """The blocks of one channel, as uint8. It keeps a whole epoch or nothing."""

    def __init__(self, budget_bytes: int, name: str) -> None:
        self._budget_bytes, self._name = budget_bytes, name
        self._blocks: list[Block] = []
        self._whole = False
        self._given_up = False

    def epoch(self, stream: Callable[[], Iterable[Block]]) -> Iterator[Block]:
        """One epoch's blocks, from memory if it holds them, else from `stream`, which is then not left unread.

        Args:
            stream: Opens the channel's next epoch.

        Yields:
            `(n, record_bytes)` uint8; not to be written to.
        """
        if self._whole:
            yield from self._blocks
            return
        self._blocks, held = [], 0
        for block in stream():
            held += block.nbytes
            if not self._given_up and held > self._budget_bytes:
                self._give_up(held)
            if not self._given_up:
                kept = block.copy()
                kept.flags.writeable = False
                self._blocks.append(kept)
            yield block
        self._whole = not self._given_up

    def _give_up(self, held: int) -> None:
        self._given_up = True
        self._blocks = []
        log.warning(
            "%s is larger than its cache of %.0f MB (%.0f MB so far): every epoch is streamed; raise the budget",
            self._name,
            self._budget_bytes / 1e6,
            held / 1e6,
        )
