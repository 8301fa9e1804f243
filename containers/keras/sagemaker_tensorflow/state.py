"""Which FIFO of a channel is next, kept in a file: whoever opens the channel, in whichever process, takes turns."""

import fcntl
from pathlib import Path


class PipeState:
    """Counts a channel's epochs as the original does, in its files: `.<channel>-pipe_mode-state` and `-lock`."""

    def __init__(self, folder: Path, channel: str) -> None:
        """Begin to count, from 0 where no file says otherwise.

        Raises:
            OSError: The folder cannot be made or written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._state = folder / f".{channel}-pipe_mode-state"
        self._lock = folder / f".{channel}-pipe_mode-lock"
        with self._lock.open("a"):
            self._state.touch()

    def take(self) -> int:
        """The next epoch's number; whoever asks after gets the one behind it.

        Raises:
            OSError: The file cannot be written.
            ValueError: It holds no number.
        """
        with self._lock.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            epoch = int(self._state.read_text() or "0")
            self._state.write_text(str(epoch + 1))
        return epoch
