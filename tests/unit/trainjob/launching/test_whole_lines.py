"""Lines of several processes in one stream."""

import os
import time

import pytest
from trainjob.launching.stderr_tee import DRAIN_SECONDS
from trainjob.launching.whole_lines import LINE_BYTES, WholeLines

SECONDS = 20


class Pipes:
    """Two sources and the stream that their lines go to, each a pipe."""

    def __init__(self):
        self.target, self._out = os.pipe()
        self.lines = WholeLines(self._out)
        self.sources = []
        for _ in range(2):
            reading, writing = os.pipe()
            self.lines.follow(os.fdopen(reading, "rb"))
            self.sources.append(writing)

    def write(self, index: int, text: bytes):
        os.write(self.sources[index], text)

    def close(self):
        for source in self.sources:
            os.close(source)
        self.lines.drain()
        os.close(self._out)
        return self.rest()

    def rest(self):
        with os.fdopen(self.target, "rb") as file:
            return file.read()


def test_line_that_another_broke_into_comes_whole_and_after_it():
    pipes = Pipes()
    pipes.write(0, b"loss")
    pipes.write(1, b"other\n")
    assert os.read(pipes.target, 100) == b"other\n"
    pipes.write(0, b"=1\n")
    assert pipes.close() == b"loss=1\n"


def test_progress_bar_moves_before_its_line_ends():
    pipes = Pipes()
    pipes.write(0, b"10 %\r20 %\r3")
    assert os.read(pipes.target, 100) == b"10 %\r20 %\r"
    assert pipes.close() == b"3\n"


def test_what_is_too_long_for_a_line_is_passed_on_before_its_end():
    pipes = Pipes()
    for _ in range(16):
        pipes.write(0, b"x" * (LINE_BYTES // 16))
    assert len(os.read(pipes.target, LINE_BYTES)) > 0
    pipes.close()


def test_source_that_somebody_holds_open_is_not_waited_for():
    pipes = Pipes()
    started = time.monotonic()
    pipes.lines.drain()
    assert DRAIN_SECONDS <= time.monotonic() - started < SECONDS
    pipes.close()


def test_source_goes_on_when_nobody_listens():
    pipes = Pipes()
    os.close(pipes.target)
    for _ in range(64):
        pipes.write(0, b"x\n" * (LINE_BYTES // 8))
    for source in pipes.sources:
        os.close(source)
    started = time.monotonic()
    pipes.lines.drain()
    assert time.monotonic() - started < DRAIN_SECONDS


def test_process_without_a_pipe_is_a_defect():
    with pytest.raises(ValueError, match="must be started with a pipe"):
        WholeLines(1).follow(None)
