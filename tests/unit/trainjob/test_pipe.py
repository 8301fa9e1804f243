"""The FIFO reader against real FIFOs and real writers."""

import fcntl
import io
import os
import threading
import time
from pathlib import Path

import pytest
from trainjob.errors import ChannelError
from trainjob.pipe import PipeReader
from trainjob.stop import Stop, StopRequested

pytestmark = pytest.mark.timeout(20)


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "train_0"
    os.mkfifo(path)
    return path


def write(path: Path, chunks: list[bytes], pause: float = 0.0, before: float = 0.0) -> threading.Thread:
    def run() -> None:
        time.sleep(before)
        with path.open("wb", buffering=0) as file:
            for chunk in chunks:
                file.write(chunk)
                time.sleep(pause)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def drain(reader: PipeReader, size: int = 1 << 16) -> bytes:
    buffer, content = bytearray(size), io.BytesIO()
    while count := reader.readinto(memoryview(buffer)):
        content.write(buffer[:count])
    return content.getvalue()


def open_files(path: Path) -> int:
    """How many of this process's file descriptors are the FIFO."""
    return sum(fd.exists() and fd.samefile(path) for fd in Path("/proc/self/fd").iterdir())


def test_reader_gets_every_byte_and_then_the_end(fifo):
    content = os.urandom(3_000_001)
    thread = write(fifo, [content])
    with PipeReader(fifo, "epoch", Stop()) as reader:
        assert open_files(fifo) >= 1
        assert drain(reader) == content
        assert reader.offset == len(content)
    thread.join(5)
    assert open_files(fifo) == 0


def test_reader_waits_for_bytes_that_come_slowly(fifo):
    write(fifo, [b"ab", b"cd", b"ef"], pause=0.3, before=0.3)
    with PipeReader(fifo, "epoch", Stop()) as reader:
        assert drain(reader) == b"abcdef"


def test_writer_that_sends_nothing_is_an_empty_epoch(fifo):
    write(fifo, [], before=0.2)
    with PipeReader(fifo, "epoch", Stop()) as reader:
        assert drain(reader) == b""


def test_reader_waits_for_a_fifo_that_is_not_there_yet(tmp_path):
    path = tmp_path / "train_7"

    def appear() -> None:
        time.sleep(0.3)
        os.mkfifo(path)
        path.write_bytes(b"late")

    threading.Thread(target=appear, daemon=True).start()
    with PipeReader(path, "epoch", Stop()) as reader:
        assert drain(reader) == b"late"


def test_reader_that_leaves_early_breaks_the_writers_pipe(fifo):
    outcome: list[type[BaseException]] = []

    def run() -> None:
        try:
            with fifo.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 16))
        except BrokenPipeError as error:
            outcome.append(type(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    with PipeReader(fifo, "epoch", Stop()) as reader:
        assert reader.readinto(memoryview(bytearray(100))) > 0
    thread.join(5)
    assert outcome == [BrokenPipeError]


def test_missing_fifo_is_told_within_its_bound(tmp_path):
    with pytest.raises(
        ChannelError, match=r"Channel 'train', epoch 2 .*train_2 did not appear within 0\.2 s.*local_mode"
    ):
        PipeReader(tmp_path / "train_2", "Channel 'train', epoch 2", Stop(), appear_seconds=0.2)


def test_plain_file_in_place_of_a_fifo_is_refused(tmp_path):
    path = tmp_path / "train_0"
    path.write_bytes(b"no pipe")
    with pytest.raises(ChannelError, match="train_0 is not a FIFO"):
        PipeReader(path, "epoch", Stop())


def test_missing_writer_is_told_within_its_bound(fifo):
    with (
        PipeReader(fifo, "Channel 'train', epoch 0", Stop(), appear_seconds=0.3) as reader,
        pytest.raises(ChannelError, match=r"sent nothing for 0\.3 s at byte 0"),
    ):
        drain(reader)
    assert open_files(fifo) == 0


def test_stalled_writer_is_told_with_the_byte_where_it_stopped(fifo):
    write(fifo, [b"x" * 1234], pause=3)
    with (
        PipeReader(fifo, "epoch", Stop(), stall_seconds=0.3) as reader,
        pytest.raises(ChannelError, match=r"sent nothing for 0\.3 s at byte 1234"),
    ):
        drain(reader)


@pytest.mark.parametrize("sent", [[], [b"some"]])
def test_stop_ends_a_wait_for_bytes(fifo, sent):
    stop = Stop()
    if sent:
        write(fifo, sent, pause=5)
    threading.Timer(0.3, stop.request).start()
    begun = time.monotonic()
    with PipeReader(fifo, "epoch", stop) as reader, pytest.raises(StopRequested):
        drain(reader)
    assert time.monotonic() - begun < 2


def test_stop_ends_a_wait_for_the_fifo(tmp_path):
    stop = Stop()
    threading.Timer(0.2, stop.request).start()
    with pytest.raises(StopRequested):
        PipeReader(tmp_path / "train_0", "epoch", stop)


def test_reader_grows_the_pipe_beyond_the_kernels_default(fifo):
    limit = int(Path("/proc/sys/fs/pipe-max-size").read_text())
    with PipeReader(fifo, "epoch", Stop()):
        fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        try:
            assert fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) == min(limit, 1 << 20)
        finally:
            os.close(fd)
