"""Opens the next epoch's FIFO while this one is drained, so that its writer is at work before it is needed."""

import math
import threading
from pathlib import Path

from trainjob.errors import ChannelError
from trainjob.pipe import PipeReader, wait_for_fifo
from trainjob.stop import Stop, StopRequested


class NextFifo:
    """A FIFO that a thread opens as soon as it appears. Nothing is read from it before it is taken."""

    def __init__(self, path: Path, name: str, stop: Stop) -> None:
        """Begin to watch for `path`; `name` and `stop` are the reader's."""
        self._path, self._name, self._stop = path, name, stop
        self._cancel = Stop()
        self._reader: PipeReader | None = None
        self._thread = threading.Thread(target=self._open, name=f"open {path.name}", daemon=True)
        self._thread.start()

    def take(self) -> PipeReader | None:
        """Stop watching; the reader, which is the caller's to close, if the FIFO has been opened."""
        self._cancel.request()
        self._thread.join()  # it looks at the cancellation every 2 ms
        return self._reader

    def _open(self) -> None:
        try:
            # No bound: the epoch before may take days. Taking or cancelling ends it.
            wait_for_fifo(self._path, self._name, self._cancel, math.inf)
            self._reader = PipeReader(self._path, self._name, self._stop)
        except (ChannelError, StopRequested, OSError):
            return  # whoever opens the epoch in earnest meets the same, and tells it
