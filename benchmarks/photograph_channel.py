"""Channels of photographs for benchmarks: real ones in files, and the same streamed into FIFOs as the platform does."""

import io
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from trainjob.channel import Channel
from trainjob.contract import FILE, PIPE, Paths
from trainjob.environment import ChannelConfig
from trainjob.framing import recordio
from trainjob.photographs.epochs import INDEX, Photographs
from trainjob.stop import Stop

EPOCHS = 100
"""FIFOs that are fed at most."""


def in_files(base: Path, photographs: Path, times: int) -> Channel:
    """A File channel with links to every JPEG below a folder, as often as asked, one class a folder."""
    folder = Paths(base).channel("train")
    folder.mkdir(parents=True)
    with (folder / INDEX).open("w") as index:
        for label, name in enumerate(sorted(path.name for path in photographs.iterdir())):
            (folder / name).mkdir()
            for path in sorted((photographs / name).iterdir()):
                for number in range(times):
                    (folder / name / f"{number}-{path.name}").symlink_to(path)
                    index.write(f'{{"key": "{name}/{number}-{path.name}", "label": {label}}}\n')
    return _channel(base, FILE)


@contextmanager
def in_a_pipe(base: Path, files: Channel) -> Iterator[Channel]:
    """A Pipe channel with the same photographs, fed in the block: RecordIO, as an augmented manifest gives them."""
    content = io.BytesIO()
    for photograph in Photographs(channel=files, classes=1000).epoch(0):
        recordio.write(content, photograph.content.data)
        recordio.write(content, str(photograph.label).encode())
    paths = Paths(base)
    paths.data.mkdir(parents=True)
    os.mkfifo(paths.fifo("train", 0))
    feeder = get_context("fork").Process(target=_feed, args=(paths, content.getvalue()), daemon=True)
    feeder.start()
    channel = _channel(base, PIPE)
    try:
        yield channel
    finally:
        channel.close()
        feeder.kill()  # it waits for a reader that will not come
        feeder.join()


def speed(batches: Iterable[Any], count: Callable[[Any], int]) -> float:
    """Images a second, from the first batch on, so that no process's start counts."""
    images, begun = 0, 0.0
    for batch in batches:
        if not begun:
            begun = time.perf_counter()
            continue
        images += count(batch)
    return images / (time.perf_counter() - begun)


def _channel(base: Path, mode: str) -> Channel:
    config = ChannelConfig(
        name="train", input_mode=mode, content_type=None, distribution="FullyReplicated", record_wrapper="None"
    )
    return Channel(config, Paths(base), Stop())


def _feed(paths: Paths, content: bytes) -> None:
    view = memoryview(content)
    for epoch in range(EPOCHS):
        with paths.fifo("train", epoch).open("wb", buffering=0) as fifo:
            sent = 0
            while sent < len(view):
                try:
                    sent += fifo.write(view[sent : sent + (1 << 20)]) or 0
                except BrokenPipeError:
                    break  # opened ahead, and not read
        os.mkfifo(paths.fifo("train", epoch + 1))
