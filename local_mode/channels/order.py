"""Which of a channel's entries a host gets in an epoch, and in which order: ShuffleConfig and ShardedByS3Key.

Entries are objects, a manifest's lines or an augmented manifest's lines. Standard library only, the feeder uses it.
"""

import hashlib
import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Order:
    """The same on every run and machine. Not the service's order: that is documented nowhere, only what it rests on."""

    seed: int | None = None
    """ShuffleConfig.Seed, 64 bits; None leaves entries in the order they have."""
    host: int = 0
    """Number of this host, from 0."""
    hosts: int = 1
    """Among how many hosts entries are divided; 1 where each gets all."""
    contiguous: bool = False
    """Each host gets a run of entries, not every n-th: which it is on the service is documented nowhere."""

    def of(self, count: int, epoch: int) -> Sequence[int]:
        """Indexes of this host's entries of `count`, in their order in this epoch.

        All are shuffled before they are divided, so with a seed a host's share is another in every epoch.
        """
        every = range(count) if self.seed is None else _shuffled(count, self.seed, epoch)
        if self.contiguous:
            return every[self.host * count // self.hosts : (self.host + 1) * count // self.hosts]
        return every[self.host :: self.hosts]


def _shuffled(count: int, seed: int, epoch: int) -> Sequence[int]:
    """Fisher and Yates, written out: of Python's generator, `random` alone is promised to stay as it is."""
    draw = random.Random(int.from_bytes(hashlib.sha256(f"{seed} {epoch}".encode()).digest())).random  # noqa: S311
    indexes = array("Q", range(count))  # 8 bytes an entry: there may be many millions
    for last in range(count - 1, 0, -1):
        other = int(draw() * (last + 1))
        indexes[last], indexes[other] = indexes[other], indexes[last]
    return indexes
