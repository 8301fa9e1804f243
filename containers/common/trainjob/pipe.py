"""One epoch of a Pipe-mode channel: drains a FIFO into the caller's buffer.

The platform makes `<channel>_<epoch>` and writes the channel's objects into it, once (AWS: "Pipe mode"). A FIFO may
not be there yet when the reader is ready, has one reader, ends at once for an empty shard, and may be left early.
"""

import fcntl
import os
import select
import stat
import time
from pathlib import Path
from types import TracebackType

from trainjob.errors import ChannelError
from trainjob.stop import Stop, StopRequested

APPEAR_SECONDS = 120.0
"""How long a FIFO may take to appear and to get its writer; the bound of AWS's own reader."""
STALL_SECONDS = 600.0
"""How long the writer may send nothing in the middle of an epoch."""
PIPE_BYTES = 1 << 20
"""Linux's default upper bound for an unprivileged process; the kernel's 64 KiB drains at a quarter of the speed."""
_PAUSE_SECONDS = 3e-5
_SLICE_SECONDS = 0.2  # how late a stop request may be noticed while waiting


class PipeReader:
    """Reads one FIFO from its first byte to its end. It does not frame, seek or look at the bytes."""

    def __init__(
        self,
        path: Path,
        name: str,
        stop: Stop,
        appear_seconds: float = APPEAR_SECONDS,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        """Wait for the FIFO and open it; the epoch begins here.

        Args:
            path: The FIFO.
            name: What it is called in errors, such as "Channel 'train', epoch 0".
            stop: Ends every wait early.
            appear_seconds: Bound on waiting for the FIFO, and then for its writer.
            stall_seconds: Bound on waiting for more bytes.

        Raises:
            ChannelError: No FIFO appeared, or what lies there is none.
            StopRequested: The job was asked to stop meanwhile.
        """
        self.path, self.name = path, name
        self.offset = 0
        self._stop, self._appear_seconds, self._stall_seconds = stop, appear_seconds, stall_seconds
        wait_for_fifo(path, name, stop, appear_seconds)
        # Non-blocking, so that neither a missing writer nor a silent one can hold the process in the kernel.
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        enlarge(self._fd)
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the start of `buffer` with what the pipe holds; the number of bytes, 0 at the end of the epoch.

        Raises:
            ChannelError: No writer came, or it sent nothing for too long.
            StopRequested: The job was asked to stop while this waited.
        """
        # Before a writer has come an empty read means "no writer", not "end": only poll() tells the two apart.
        if self.offset == 0:
            self._wait_for_bytes()
        while True:
            try:
                count = os.readv(self._fd, [buffer])
            except BlockingIOError:
                # poll() would wake at the first page; let the writer put down more before the next read.
                time.sleep(_PAUSE_SECONDS)
                self._wait_for_bytes()
                continue
            self.offset += count
            return count

    def close(self) -> None:
        """Leave the epoch; bytes not read are lost, as the contract has it."""
        os.close(self._fd)

    def __enter__(self) -> "PipeReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _wait_for_bytes(self) -> None:
        patience = self._appear_seconds if self.offset == 0 else self._stall_seconds
        deadline = time.monotonic() + patience
        while not self._poll.poll(_SLICE_SECONDS * 1000):
            if self._stop.requested:
                raise StopRequested
            if time.monotonic() > deadline:
                raise ChannelError(
                    f"{self.name} sent nothing for {patience:g} s at byte {self.offset}; "
                    "look for what feeds the channel: it hangs or has gone away."
                )


def enlarge(fd: int) -> None:
    """Give a pipe PIPE_BYTES of room, where the system lets it."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except (AttributeError, OSError):
        # Not Linux, or the user's share of pipe memory is spent: the pipe then only is slower.
        return


def wait_for_fifo(path: Path, name: str, stop: Stop, seconds: float) -> None:
    """Return once there is a FIFO under `path`; `name` is what errors call it.

    Raises:
        ChannelError: None appeared within `seconds`, or what lies there is none.
        StopRequested: `stop` was requested meanwhile.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            if stop.requested:
                raise StopRequested from None
            if time.monotonic() > deadline:
                raise ChannelError(
                    f"{name} is in Pipe mode, but its FIFO {path.name} did not appear within {seconds:g} s; "
                    "start the job through SageMaker or local_mode, which create it."
                ) from None
            time.sleep(0.002)
            continue
        if not stat.S_ISFIFO(mode):
            raise ChannelError(
                f"{name} is in Pipe mode, but {path} is not a FIFO (mode {mode:o}); "
                "nothing but the platform may write there."
            )
        return
