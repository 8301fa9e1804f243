"""Where a data set comes from, whichever it is."""

from pathlib import Path
from typing import Any, Protocol


class Source(Protocol):
    """Where the published files come from."""

    def identity(self) -> dict[str, Any]:
        """What the manifest keeps of it; equal identities give equal shards."""

    def publish(self, work: Path) -> Path:
        """The folder of published files; it may lie in `work`, of which shards.UNPACKED is cleared away afterwards.

        Raises:
            DatasetError: They cannot be had.
        """
