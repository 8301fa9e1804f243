"""One FIFO's bytes for several processes: all of them for each, whatever each of them does."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from trainjob.channel import Channel
from trainjob.contract import PIPE, Paths
from trainjob.environment import ChannelConfig, JobEnvironment
from trainjob.errors import ChannelError
from trainjob.launching import fan_out
from trainjob.launching.fan_out import FanOut
from trainjob.launching.stderr_tee import write_all
from trainjob.pipe import PipeReader
from trainjob.stop import Stop, StopRequested

SECONDS = 30
CONFIG = ChannelConfig(name="train", input_mode=PIPE)


class Host:
    """A platform's FIFO, and the processes that are to share it."""

    def __init__(self, base: Path, fifos: FanOut, env: JobEnvironment) -> None:
        self.env, self.fifos = env, fifos
        self.stop = Stop()
        self.channels = [Channel(CONFIG, replace(env.paths, fifos=folder), self.stop) for folder in fifos.folders]

    def feed(self, epoch: int, content: bytes) -> None:
        """As the platform does: the FIFO is made, opened by its reader, filled and closed."""
        path = self.env.paths.fifo("train", epoch)
        os.mkfifo(path)
        with path.open("wb", buffering=0) as file:
            write_all(file.fileno(), content)

    def read(self, index: int, epochs: int = 1) -> list[bytes]:
        found = []
        for _ in range(epochs):
            with self.channels[index].open() as stream:
                content, buffer = b"", memoryview(bytearray(1 << 16))
                while count := stream.readinto(buffer):
                    content += buffer[:count]
                found.append(content)
        return found


@contextmanager
def host_of(base: Path, count: int) -> Iterator[Host]:
    env = JobEnvironment(
        paths=Paths(base), job_name="job", hyperparameters={}, channels={"train": CONFIG},
        hosts=("algo-1",), current_host="algo-1", network_interface="eth0",
    )  # fmt: skip
    env.paths.data.mkdir(parents=True)
    with FanOut(env, count) as fifos:
        host = Host(base, fifos, env)
        try:
            fifos.start()
            yield host
        finally:
            host.stop.request()
            for channel in host.channels:
                channel.close()
    assert not fifos.folders[0].parent.exists()


@pytest.mark.parametrize("count", [2, 8])
def test_every_process_reads_every_byte_of_every_epoch(tmp_path: Path, count: int):
    contents = [os.urandom(3_000_000), b"", os.urandom(5)]
    with host_of(tmp_path, count) as host, ThreadPoolExecutor(count) as pool:
        reading = [pool.submit(host.read, index, 3) for index in range(count)]
        for epoch, content in enumerate(contents):
            host.feed(epoch, content)
        assert all(each.result(SECONDS) == contents for each in reading)
        assert host.fifos.error is None


def test_one_that_leaves_an_epoch_early_does_not_hold_up_the_others(tmp_path: Path):
    content = os.urandom(20_000_000)
    with host_of(tmp_path, 2) as host, ThreadPoolExecutor(3) as pool:
        feeding = pool.submit(host.feed, 0, content)
        reading = pool.submit(host.read, 1)
        with host.channels[0].open() as stream:
            stream.readinto(memoryview(bytearray(1000)))
        assert reading.result(SECONDS) == [content]
        feeding.result(SECONDS)


def test_writer_learns_that_all_have_left(tmp_path: Path):
    with host_of(tmp_path, 2) as host, ThreadPoolExecutor(1) as pool:
        feeding = pool.submit(host.feed, 0, bytes(50_000_000))
        for channel in host.channels:  # the first waits for nobody: bytes come once all have opened
            channel.looks_ahead = False
        readers = [PipeReader(waited_for(channel, 0), "epoch 0", Stop()) for channel in host.channels]
        readers[0].readinto(memoryview(bytearray(1000)))
        for reader in readers:
            reader.close()
        with pytest.raises(BrokenPipeError):
            feeding.result(SECONDS)


def waited_for(channel: Channel, epoch: int) -> Path:
    path = channel._paths.fifo("train", epoch)
    until(path.exists)
    return path


def test_slow_process_bounds_what_is_held_for_it(tmp_path: Path):
    size, written = 1 << 20, []
    with host_of(tmp_path, 2) as host, ThreadPoolExecutor(2) as pool:
        path = host.env.paths.fifo("train", 0)
        os.mkfifo(path)

        def feed() -> None:
            with path.open("wb", buffering=0) as file:
                for _ in range(40):
                    write_all(file.fileno(), bytes(size))
                    written.append(size)

        feeding = pool.submit(feed)
        slow = PipeReader(waited_for(host.channels[0], 0), "epoch 0", Stop())
        reading = pool.submit(host.read, 1)
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline and len(written) < 40:
            time.sleep(0.05)
        # Its FIFO, what waits for it, a block in each thread's hands, and the source's own FIFO.
        assert 2 <= len(written) <= fan_out._BLOCKS + 5
        count, buffer = 0, memoryview(bytearray(size))
        while got := slow.readinto(buffer):
            count += got
        slow.close()
        feeding.result(SECONDS)
        assert [len(each) for each in reading.result(SECONDS)] == [count] == [40 * size]


def test_epoch_that_was_opened_ahead_is_let_go_at_the_end(tmp_path: Path):
    with host_of(tmp_path, 2) as host, ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(host.read, index) for index in range(2)]
        host.feed(0, b"all")
        assert [each.result(SECONDS) for each in reading] == [[b"all"], [b"all"]]
        following = host.env.paths.fifo("train", 1)
        os.mkfifo(following)
        until(lambda: has_reader(following))
    until(lambda: not has_reader(following))


def until(true) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def has_reader(path: Path) -> bool:
    if (fd := fan_out._writing(path)) is not None:
        os.close(fd)
    return fd is not None


def test_what_is_no_fifo_is_told_and_nothing_is_read(tmp_path: Path):
    with host_of(tmp_path, 2) as host:
        host.env.paths.fifo("train", 0).write_bytes(b"no FIFO")
        until(lambda: host.fifos.error)
        assert isinstance(host.fifos.error, ChannelError)
        assert "is not a FIFO" in str(host.fifos.error)


def test_stop_ends_what_waits(tmp_path: Path):
    with host_of(tmp_path, 2) as host, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(host.read, 0)
        host.stop.request()
        with pytest.raises(StopRequested):
            reading.result(SECONDS)
