"""A channel on disk for tests: files or FIFOs that a thread feeds as the platform does."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from trainjob.channel import Channel
from trainjob.contract import PIPE, Paths
from trainjob.environment import ChannelConfig
from trainjob.stop import Stop

EPOCHS = 20
"""FIFOs a feeder makes."""


@contextmanager
def channel_of(base: Path, mode: str, objects: list[bytes], name: str = "train") -> Iterator[Channel]:
    """A channel that holds the objects."""
    files = {f"part-{index:03d}": content for index, content in enumerate(objects)}
    with channel_of_files(base, mode, files, name) as opened:
        yield opened


@contextmanager
def channel_of_files(base: Path, mode: str, files: Mapping[str, bytes], name: str = "train") -> Iterator[Channel]:
    """A channel that holds files of these names; in Pipe mode their bytes, in this order."""
    paths = Paths(base)
    paths.data.mkdir(parents=True)
    if mode == PIPE:
        os.mkfifo(paths.fifo(name, 0))
        threading.Thread(target=_feed, args=(paths, name, b"".join(files.values())), daemon=True).start()
    else:
        paths.channel(name).mkdir()
        for file, content in files.items():
            (paths.channel(name) / file).parent.mkdir(parents=True, exist_ok=True)
            (paths.channel(name) / file).write_bytes(content)
    config = ChannelConfig(
        name=name, input_mode=mode, content_type=None, distribution="FullyReplicated", record_wrapper="None"
    )
    opened = Channel(config, paths, Stop())
    try:
        yield opened
    finally:
        opened.close()


def open_descriptors(folder: Path) -> list[str]:
    """The FIFOs and files of a folder that this process has open, but for a feeder's own ends."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            target = entry.readlink()
            flags = int(Path(f"/proc/self/fdinfo/{entry.name}").read_text().split("flags:")[1].split()[0], 8)
            if target.is_relative_to(folder) and flags & os.O_ACCMODE == os.O_RDONLY:
                found.append(target.name.removesuffix(" (deleted)"))
    return found


def _feed(paths: Paths, name: str, content: bytes) -> None:
    for epoch in range(EPOCHS):
        fifo = paths.fifo(name, epoch)
        # A reader that leaves early ends the epoch, as the platform has it.
        with suppress(BrokenPipeError), fifo.open("wb", buffering=0) as file:
            view = memoryview(content)
            while view:
                view = view[file.write(view[:50_000]) :]
        os.mkfifo(paths.fifo(name, epoch + 1))
        fifo.unlink()
