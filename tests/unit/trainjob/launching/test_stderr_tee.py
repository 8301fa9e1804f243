import subprocess
import sys
import time

import pytest
from trainjob.launching.stderr_tee import TAIL_BYTES, StderrTee


def test_only_the_end_is_kept_and_bytes_that_are_no_text_are_replaced(capfd: pytest.CaptureFixture[str]) -> None:
    program = f"import os; os.write(2, b'first' + b'x' * {TAIL_BYTES}); os.write(2, b'\\xff last')"
    child = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    with StderrTee(child.stderr) as tee:
        assert child.wait(20) == 0
    assert len(tee.tail) == TAIL_BYTES
    assert tee.tail.endswith("x\ufffd last")
    assert "first" not in tee.tail
    assert "first" in capfd.readouterr().err


WRITER = "import os; [os.write(2, b'x' * 1000) for _ in range(1000)]"
NON_BLOCKING = f"""
import os, subprocess, sys
from trainjob.launching.stderr_tee import StderrTee
os.set_blocking(2, False)
child = subprocess.Popen([sys.executable, "-c", {WRITER!r}], stderr=subprocess.PIPE)
with StderrTee(child.stderr):
    child.wait()
"""


def test_a_slow_reader_of_a_pipe_that_does_not_block_loses_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", NON_BLOCKING], stderr=subprocess.PIPE) as child:
        time.sleep(0.5)  # by then the pipe is full
        _, err = child.communicate(timeout=20)
    assert len(err) == 1_000_000


def test_a_child_without_a_pipe_is_a_defect() -> None:
    with pytest.raises(ValueError, match="must be started with stderr=PIPE"):
        StderrTee(None)
