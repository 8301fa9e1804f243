"""Several ranks on one host: told apart, ended together, stopped together."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from trainjob import local_ranks
from trainjob.script_mode import Command

SECONDS = 40
TOLD = """
import os
print(*(os.environ[name] for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "WORLD_SIZE")), flush=True)
"""
WAITING = """
import os, signal, sys, time
index = int(os.environ["LOCAL_RANK"])
def stop(*_):
    print("saved", index, flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("up", os.getpid(), flush=True)
if index == FAILING:
    time.sleep(0.5)
    sys.exit(7)
time.sleep(60)
"""


@contextmanager
def started(source: str, count: int):
    command = [sys.executable, "-m", "trainjob.local_ranks", str(count), sys.executable, "-c", source]
    environ = {**os.environ, "RANK": "4", "WORLD_SIZE": "8"}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ranks_of_a_host_follow_its_first_and_are_told_their_place():
    with started(TOLD, 3) as process:
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert sorted(out.splitlines()) == ["4 0 3 8", "5 1 3 8", "6 2 3 8"]


def test_rank_that_fails_takes_the_others_along_and_its_exit_code_is_all_of_theirs():
    with started(WAITING.replace("FAILING", "1"), 3) as process:
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 7
    assert out.count("up") == 3
    assert "saved" not in out


def test_killed_rank_ends_all_with_the_code_of_its_signal():
    with started(WAITING.replace("FAILING", "-1"), 2) as process:
        first = int(process.stdout.readline().split()[1])
        process.stdout.readline()
        os.kill(first, signal.SIGKILL)
        process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signal.SIGKILL


def test_stop_goes_on_to_every_rank_and_each_may_finish():
    with started(WAITING.replace("FAILING", "-1"), 2) as process:
        for _ in range(2):
            process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert sorted(out.splitlines()) == ["saved 0", "saved 1"]


def test_ranks_die_with_what_started_them():
    with started(WAITING.replace("FAILING", "-1"), 2) as process:
        ranks = [int(process.stdout.readline().split()[1]) for _ in range(2)]
        process.kill()
        deadline = time.monotonic() + SECONDS
        while any(is_running(pid) for pid in ranks):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_lines_of_ranks_come_whole_however_they_are_written():
    source = """
import os, sys
text = os.environ["LOCAL_RANK"] * 50
for stream in (sys.stdout, sys.stderr):
    for _ in range(2000):
        os.write(stream.fileno(), text.encode())  # as an unbuffered print() does
        os.write(stream.fileno(), b"\\n")
    os.write(stream.fileno(), b"last of " + text[:1].encode())
"""
    command = [sys.executable, "-m", "trainjob.local_ranks", "3", sys.executable, "-c", source]
    environ = {**os.environ, "RANK": "0"}
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=SECONDS, check=True)
    written = Counter({**{str(rank) * 50: 2000 for rank in range(3)}, **{f"last of {rank}": 1 for rank in range(3)}})
    assert Counter(ended.stdout.splitlines()) == written
    assert Counter(ended.stderr.splitlines()) == written


def test_one_rank_needs_nothing_between_it_and_the_launcher():
    command = Command(argv=("python", "train.py"), environ={})
    assert local_ranks.several(command, 1) is local_ranks.several(command, 0) is command
    assert local_ranks.several(command, 2).argv[1:] == ("-m", "trainjob.local_ranks", "2", "python", "train.py")


@pytest.mark.parametrize(("given", "threads"), [({}, None), ({"OMP_NUM_THREADS": "9"}, "9")])
def test_ranks_share_the_cores_unless_the_job_says_otherwise(given, threads):
    told = local_ranks.environment({"RANK": "0", **given}, 1, 2)
    assert told["OMP_NUM_THREADS"] == (threads or str(max(1, len(os.sched_getaffinity(0)) // 2)))
