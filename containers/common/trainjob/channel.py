"""A channel of the job, whatever its input mode: epoch n as a stream of bytes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from trainjob.ahead import NextFifo
from trainjob.contract import INPUT_MODES, PIPE, SHARDED, Paths
from trainjob.environment import ChannelConfig, JobEnvironment
from trainjob.errors import ChannelError
from trainjob.framing.fixed import ByteStream
from trainjob.pipe import PipeReader
from trainjob.stop import Stop


class FileStream:
    """The bytes of several files one after another, as a FIFO would bring them."""

    def __init__(self, files: list[Path]) -> None:
        self._rest = iter(files)
        first = next(self._rest, os.devnull)  # of no file there is nothing to read
        self._file = open(first, "rb", buffering=0)  # noqa: SIM115, PTH123 - closed by close(), one open at a time

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the start of `buffer`; the number of bytes, 0 after the last file's last byte."""
        while True:
            count = self._file.readinto(buffer) or 0
            if count:
                return count
            following = next(self._rest, None)
            if following is None:
                return 0
            self._file.close()
            self._file = following.open("rb", buffering=0)

    def close(self) -> None:
        """Close the file that is open."""
        self._file.close()

    def __enter__(self) -> "FileStream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Channel:
    """One channel of a job. It counts the FIFO's epochs itself: they are reads of this container, not the training's.

    A job that resumes at its epoch 5 in a new container reads FIFO 0 first. In Pipe mode the next FIFO is opened in the
    background, so `close` a channel that is not read on.
    """

    def __init__(self, config: ChannelConfig, paths: Paths, stop: Stop) -> None:
        self.config = config
        self._paths, self._stop = paths, stop
        self.opened = 0
        """Epochs opened so far."""
        self.looks_ahead = True
        """Whether to open the next FIFO in the background. A process that ends before it reads that one must not: it
        would end that epoch for its writer."""
        self._next: NextFifo | None = None

    @property
    def description(self) -> str:
        """What errors call the epoch last opened."""
        return self._describe(self.opened - 1)

    def close(self) -> None:
        """Let go of an epoch that was opened ahead of its time."""
        ahead, self._next = self._next, None
        if ahead and (reader := ahead.take()):
            reader.close()

    def _describe(self, epoch: int) -> str:
        return f"Channel '{self.config.name}', epoch {epoch}"

    @contextmanager
    def open(self) -> Iterator[ByteStream]:
        """Open the next epoch. In Pipe mode that is the next FIFO; else all files, in UTF-8 order of their paths.

        Raises:
            ChannelError: The FIFO does not appear, or the channel's folder is missing or empty.
            StopRequested: The job was asked to stop while this waited.
        """
        epoch = self.opened
        self.opened += 1
        with self._stream(epoch) as stream:
            yield stream

    def _stream(self, epoch: int) -> PipeReader | FileStream:
        return self._fifo(epoch) if self.config.input_mode == PIPE else FileStream(self.files())

    def _fifo(self, epoch: int) -> PipeReader:
        name = self.config.name
        ahead, self._next = self._next, None
        reader = ahead.take() if ahead else None
        reader = reader or PipeReader(self._paths.fifo(name, epoch), self._describe(epoch), self._stop)
        if self.looks_ahead:
            self._next = NextFifo(self._paths.fifo(name, epoch + 1), self._describe(epoch + 1), self._stop)
        return reader

    @property
    def folder(self) -> Path:
        """Where its files lie, unless it is in Pipe mode."""
        return self._paths.channel(self.config.name)

    def files(self) -> list[Path]:
        """All files, in UTF-8 order of their paths; of a channel that is not in Pipe mode.

        Raises:
            ChannelError: The channel's folder is missing, or empty though the channel is not divided among hosts.
        """
        folder = self.folder
        if not folder.is_dir():
            raise ChannelError(
                f"Channel '{self.config.name}' is in {self.config.input_mode} mode, but its folder {folder} does "
                "not exist; start the job through SageMaker or local_mode, which fill it."
            )
        files = [path for path in folder.rglob("*") if path.is_file()]
        if not files and self.config.distribution != SHARDED:
            raise ChannelError(
                f"Channel '{self.config.name}' is empty: there is no file under {folder}; check the channel's S3Uri."
            )
        return sorted(files, key=lambda path: path.relative_to(folder).as_posix().encode())


def find(env: JobEnvironment, name: str, stop: Stop) -> Channel:
    """The channel of that name.

    Raises:
        ChannelError: The job has no such channel; names those it has.
    """
    config = env.channels.get(name)
    if config is None:
        known = ", ".join(f"'{known}'" for known in sorted(env.channels)) or "none"
        raise ChannelError(
            f"This job has no channel '{name}'; its channels are: {known}. "
            f"Add a channel named '{name}' to InputDataConfig."
        )
    if config.input_mode not in INPUT_MODES:
        raise ChannelError(
            f"Channel '{name}' has the input mode '{config.input_mode}'; known modes are {', '.join(INPUT_MODES)}."
        )
    return Channel(config, env.paths, stop)
