"""A Pipe-mode channel that a second process feeds from memory, epoch after epoch; for the benchmarks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

from trainjob import channel
from trainjob.channel import Channel
from trainjob.contract import PIPE, Paths
from trainjob.environment import ChannelConfig, JobEnvironment
from trainjob.stop import Stop

NAME = "train"


@contextmanager
def fed_channel(base: Path, content: bytes, times: int = 1) -> Iterator[Channel]:
    """The channel `train` under `base`, each epoch `times` times the content."""
    paths = Paths(base)
    paths.data.mkdir(parents=True)
    os.mkfifo(paths.fifo(NAME, 0))
    feeder = get_context("spawn").Process(target=_feed, args=(paths.data, content, times), daemon=True)
    feeder.start()
    opened = channel.find(_job(paths), NAME, Stop())
    try:
        yield opened
    finally:
        opened.close()
        feeder.terminate()
        feeder.join(10)


def _feed(folder: Path, content: bytes, times: int) -> None:
    view, epoch = memoryview(content), 0
    while True:
        fifo = folder / f"{NAME}_{epoch}"
        # A reader that leaves early ends the epoch.
        with suppress(BrokenPipeError), fifo.open("wb", buffering=0) as file:
            for _ in range(times):
                sent = 0
                while sent < len(view):
                    sent += file.write(view[sent : sent + (1 << 20)]) or 0
        epoch += 1
        os.mkfifo(folder / f"{NAME}_{epoch}")
        fifo.unlink()


def _job(paths: Paths) -> JobEnvironment:
    config = ChannelConfig(name=NAME, input_mode=PIPE)
    return JobEnvironment(
        paths=paths,
        job_name="benchmark",
        hyperparameters={},
        channels={NAME: config},
        hosts=("algo-1",),
        current_host="algo-1",
        network_interface="eth0",
    )
