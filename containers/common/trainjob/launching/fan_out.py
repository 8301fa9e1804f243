"""One FIFO for several processes: a reader here passes all its bytes on to a FIFO of each process's own.

Of a FIFO that several processes open each byte goes to one of them, whichever. Each of them is to have all of them,
and takes its share of the records by itself, as the host of a job does that gets a channel whole.
"""

import errno
import itertools
import math
import os
import queue
import select
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from trainjob.contract import PIPE
from trainjob.environment import JobEnvironment
from trainjob.errors import TrainJobError
from trainjob.launching.stderr_tee import write_all
from trainjob.memory import Recycled
from trainjob.pipe import PIPE_BYTES, PipeReader, enlarge, wait_for_fifo
from trainjob.stop import Stop, StopRequested

_BLOCKS = 4
"""Of PIPE_BYTES, that wait for a process besides what its FIFO holds."""
_LOOK_SECONDS = 0.002
_SLICE_SECONDS = 0.2


class FanOut:
    """FIFOs for the processes of a host, within `with`; from `start` on each is filled with what the platform's holds.

    It bounds no wait: a process does, that waits for its FIFO or for bytes in it, and this ends with the processes.
    """

    def __init__(self, env: JobEnvironment, count: int) -> None:
        """`env` is the host's, `count` the number of its processes."""
        self._env, self._stop = env, Stop()
        # In the job's own tree, where it has one, which is removed with the job even if this process is killed.
        base = env.paths.base if os.access(env.paths.base, os.W_OK) else None
        self._root = Path(tempfile.mkdtemp(prefix=".fifos-", dir=base))
        self.folders = [self._root / str(index) for index in range(count)]
        """Each process's own, by its place: what `Paths.fifos` is to name there."""
        for folder in self.folders:
            folder.mkdir()
        self.error: Exception | None = None
        """Why a channel cannot be passed on."""

    def __enter__(self) -> "FanOut":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.request()
        shutil.rmtree(self._root, ignore_errors=True)

    def start(self) -> None:
        """Begin, once the processes stand: threads that a fork meets in the middle of a call are its undoing."""
        for name, channel in self._env.channels.items():
            if channel.input_mode == PIPE:
                threading.Thread(target=self._channel, args=(name,), name=f"fan out {name}", daemon=True).start()

    def _channel(self, name: str) -> None:
        """Epoch after epoch: one is opened while another is still passed on, as readers open the next ahead of time."""
        try:
            for epoch in itertools.count():
                source = self._env.paths.fifo(name, epoch)
                wait_for_fifo(source, source.name, self._stop, math.inf)
                outlets = self._opened([folder / source.name for folder in self.folders])
                threading.Thread(target=self._pass_on, args=(source, outlets), name=source.name, daemon=True).start()
        except StopRequested:
            return
        except (TrainJobError, OSError) as error:
            self.error = error

    def _opened(self, paths: Sequence[Path]) -> list["_Outlet"]:
        """The processes' FIFOs of one epoch, each once it has its reader."""
        for path in paths:
            os.mkfifo(path)
        outlets = []
        for path in paths:
            while (fd := _writing(path)) is None:
                if self._stop.requested:
                    raise StopRequested
                time.sleep(_LOOK_SECONDS)
            outlets.append(_Outlet(fd))
        for path in paths:
            path.unlink()
        return outlets

    def _pass_on(self, source: Path, outlets: Sequence["_Outlet"]) -> None:
        memory = Recycled()
        try:
            # A reader that opened it ahead of its time and left it would else begin the epoch, and end it.
            if any(outlet.wanted for outlet in outlets):
                with PipeReader(source, source.name, self._stop, math.inf, math.inf) as stream:
                    while any(outlet.wanted for outlet in outlets):
                        block = memoryview(memory.empty((1, PIPE_BYTES))[0])
                        count = stream.readinto(block)
                        if count == 0:
                            break
                        for outlet in outlets:
                            outlet.put(block[:count])
        except StopRequested:
            return
        except (TrainJobError, OSError) as error:
            self.error = error  # and no process hears of an end, which this is not
        else:
            for outlet in outlets:
                outlet.end()


class _Outlet:
    """The writing end of a process's FIFO, with a thread that fills it: one that is slow holds up the others late."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._blocks: queue.Queue[memoryview | None] = queue.Queue(_BLOCKS)
        self._left = threading.Event()
        enlarge(fd)
        threading.Thread(target=self._write, name="outlet", daemon=True).start()

    @property
    def wanted(self) -> bool:
        """Whether somebody still reads it."""
        if self._left.is_set():
            return False
        poll = select.poll()
        poll.register(self._fd, 0)
        return not any(found & select.POLLERR for _, found in poll.poll(0))

    def put(self, block: memoryview | None) -> None:
        """Have a block written, or nothing where nobody reads any more."""
        while not self._left.is_set():
            try:
                self._blocks.put(block, timeout=_SLICE_SECONDS)
            except queue.Full:
                continue
            return

    def end(self) -> None:
        """Its last byte has been put."""
        self.put(None)

    def _write(self) -> None:
        try:
            while (block := self._blocks.get()) is not None:
                write_all(self._fd, block)
        except BrokenPipeError:
            pass  # the reader has left the epoch early, which is its right
        finally:
            self._left.set()
            os.close(self._fd)


def _writing(path: Path) -> int | None:
    """The FIFO, opened to write, if it has a reader."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None
    os.set_blocking(fd, True)
    return fd
