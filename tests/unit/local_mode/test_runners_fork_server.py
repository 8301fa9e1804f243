"""The process that jobs are forked from: its memory lies in huge pages, so that a fork copies few table entries."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

COLLAPSED = """
import ctypes, re
from pathlib import Path
from local_mode.runners import fork_server

def huge():
    return int(re.search(r"AnonHugePages: +([0-9]+) kB", Path("/proc/self/smaps_rollup").read_text())[1])

held = bytearray(b"x") * (64 << 20)
fork_server._collapse(ctypes.CDLL(None, use_errno=True))
print(huge(), held == bytearray(b"x") * (64 << 20))
"""


def test_what_is_in_memory_is_gathered_in_huge_pages_and_stays_what_it_was():
    version = tuple(map(int, platform.release().split(".")[:2]))
    if version < (6, 1) or not Path("/sys/kernel/mm/transparent_hugepage").exists():
        pytest.skip(f"Linux {platform.release()} cannot gather pages on demand (MADV_COLLAPSE, from 6.1 on)")
    done = subprocess.run([sys.executable, "-c", COLLAPSED], check=True, stdout=subprocess.PIPE, text=True, timeout=60)
    gathered, is_same = done.stdout.split()
    assert is_same == "True"
    assert int(gathered) > 32 << 10, "kB, of 64 MiB"
