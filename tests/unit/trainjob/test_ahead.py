"""The next epoch's FIFO, opened while this one is drained."""

import os
import threading
import time
from pathlib import Path

import pytest
from trainjob.ahead import NextFifo
from trainjob.channel import Channel
from trainjob.contract import PIPE, Paths
from trainjob.environment import ChannelConfig
from trainjob.stop import Stop

from tests.unit.trainjob.channels import channel_of, open_descriptors

pytestmark = pytest.mark.timeout(20)


def opening_threads() -> int:
    return sum(thread.name.startswith("open ") for thread in threading.enumerate())


def until(condition, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return bool(condition())


class Writer:
    """Opens a FIFO for writing, which waits for its reader, and sends."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.let_in = threading.Event()
        self.broken = False
        self._path, self._content = path, content
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._path.open("wb", buffering=0) as file:
            self.let_in.set()
            view = memoryview(self._content)
            try:
                while view:
                    view = view[file.write(view) :]
            except BrokenPipeError:
                self.broken = True

    def join(self) -> None:
        self._thread.join(5)
        assert not self._thread.is_alive()


@pytest.fixture
def channel(tmp_path: Path):
    paths = Paths(tmp_path)
    paths.data.mkdir(parents=True)
    config = ChannelConfig(
        name="train", input_mode=PIPE, content_type=None, distribution="FullyReplicated", record_wrapper="None"
    )
    opened = Channel(config, paths, Stop())
    yield opened
    opened.close()
    assert opening_threads() == 0
    assert open_descriptors(tmp_path) == []


def drain(stream) -> bytes:
    buffer, content = bytearray(1000), b""
    while count := stream.readinto(memoryview(buffer)):
        content += buffer[:count]
    return content


def test_writer_of_the_next_fifo_is_let_in_while_this_one_is_drained(channel, tmp_path):
    fifos = [Paths(tmp_path).fifo("train", epoch) for epoch in range(2)]
    for fifo in fifos:
        os.mkfifo(fifo)
    writers = [Writer(fifo, str(index).encode() * 5000) for index, fifo in enumerate(fifos)]
    with channel.open() as stream:
        assert writers[1].let_in.wait(5), "before epoch 0 has been read to its end"
        assert channel.opened == 1
        assert drain(stream) == b"0" * 5000
    with channel.open() as stream:
        assert drain(stream) == b"1" * 5000
    for writer in writers:
        writer.join()


def test_fifo_that_appears_while_this_one_is_drained_is_opened(channel, tmp_path):
    fifo, following = (Paths(tmp_path).fifo("train", epoch) for epoch in range(2))
    os.mkfifo(fifo)
    Writer(fifo, b"first")
    with channel.open() as stream:
        assert drain(stream) == b"first"
        os.mkfifo(following)
        assert Writer(following, b"second").let_in.wait(5)
    with channel.open() as stream:
        assert drain(stream) == b"second"


def test_closing_the_channel_lets_go_of_the_fifo_opened_ahead(channel, tmp_path):
    for epoch in range(2):
        os.mkfifo(Paths(tmp_path).fifo("train", epoch))
    Writer(Paths(tmp_path).fifo("train", 0), b"first")
    following = Writer(Paths(tmp_path).fifo("train", 1), bytes(1 << 22))
    with channel.open():
        assert following.let_in.wait(5)
    channel.close()
    following.join()
    assert following.broken
    assert opening_threads() == 0


def test_next_fifo_is_left_alone_where_nobody_will_read_it(channel, tmp_path):
    channel.looks_ahead = False
    for epoch in range(2):
        os.mkfifo(Paths(tmp_path).fifo("train", epoch))
    Writer(Paths(tmp_path).fifo("train", 0), b"first")
    following = Writer(Paths(tmp_path).fifo("train", 1), b"second")
    with channel.open() as stream:
        assert drain(stream) == b"first"
    assert not following.let_in.wait(0.3)
    with channel.open() as stream:
        assert drain(stream) == b"second"


def test_taking_before_the_fifo_is_there_ends_the_watch_at_once(tmp_path):
    ahead = NextFifo(tmp_path / "train_1", "epoch 1", Stop())
    begun = time.monotonic()
    assert ahead.take() is None
    assert time.monotonic() - begun < 1
    assert opening_threads() == 0


def test_what_is_no_fifo_is_left_to_whoever_opens_the_epoch(tmp_path):
    (tmp_path / "train_1").write_bytes(b"no pipe")
    ahead = NextFifo(tmp_path / "train_1", "epoch 1", Stop())
    assert until(lambda: opening_threads() == 0)
    assert ahead.take() is None


def test_no_epoch_is_skipped_or_mixed_over_many(tmp_path):
    with channel_of(tmp_path / "base", PIPE, [b"content" * 1000]) as opened:
        for _ in range(8):
            with opened.open() as stream:
                assert drain(stream) == b"content" * 1000
        assert opening_threads() <= 1
    assert opening_threads() == 0
