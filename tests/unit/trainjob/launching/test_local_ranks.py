"""Several ranks on one host: told apart, ended together, stopped together."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from trainjob import cores
from trainjob.contract import Paths
from trainjob.environment import JobEnvironment
from trainjob.errors import EntryPointError
from trainjob.launching import local_ranks
from trainjob.launching.script_mode import Command

SECONDS = 40
TOLD = """
import os
print(*(os.environ[name] for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "WORLD_SIZE")), flush=True)
"""
WAITING = """
import os, signal, sys, time
index = int(os.environ["LOCAL_RANK"])
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # a handler would miss what comes just before a sleep begins
print("up", os.getpid(), flush=True)
if index == FAILING:
    time.sleep(0.5)
    sys.exit(7)
signal.sigwait({signal.SIGTERM})
print("saved", index, flush=True)
"""


def ranks(source: str, count: int, devices: str = "all") -> list[str]:
    return [sys.executable, "-m", "trainjob.launching.local_ranks", str(count), devices, sys.executable, "-c", source]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Of the second of two hosts."""
    paths = Paths(tmp_path / "ml")
    paths.config.mkdir(parents=True)
    paths.resource_config.write_text(json.dumps({"hosts": ["algo-1", "algo-2"], "current_host": "algo-2"}))
    return {**os.environ, "SAGEMAKER_BASE_DIR": str(paths.base), "WORLD_SIZE": "6"}


@contextmanager
def started(source: str, count: int, environ: dict[str, str]):
    with subprocess.Popen(ranks(source, count), env=environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ranks_of_a_host_follow_those_of_the_host_before_and_are_told_their_place(environ):
    told = subprocess.run(ranks(TOLD, 3), env=environ, capture_output=True, text=True, timeout=SECONDS, check=True)
    assert sorted(told.stdout.splitlines()) == ["3 0 3 6", "4 1 3 6", "5 2 3 6"]


def test_rank_that_fails_takes_the_others_along_and_its_exit_code_is_all_of_theirs(environ):
    with started(WAITING.replace("FAILING", "1"), 3, environ) as process:
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 7
    assert out.count("up") == 3
    assert "saved" not in out


def test_killed_rank_ends_all_with_the_code_of_its_signal(environ):
    with started(WAITING.replace("FAILING", "-1"), 2, environ) as process:
        first = int(process.stdout.readline().split()[1])
        process.stdout.readline()
        os.kill(first, signal.SIGKILL)
        process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signal.SIGKILL


def test_stop_goes_on_to_every_rank_and_each_may_finish(environ):
    with started(WAITING.replace("FAILING", "-1"), 2, environ) as process:
        for _ in range(2):
            process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert sorted(out.splitlines()) == ["saved 0", "saved 1"]


def test_ranks_die_with_what_started_them(environ):
    with started(WAITING.replace("FAILING", "-1"), 2, environ) as process:
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
    ended = subprocess.run(ranks(source, 3), capture_output=True, text=True, timeout=SECONDS, check=True)
    written = Counter({**{str(rank) * 50: 2000 for rank in range(3)}, **{f"last of {rank}": 1 for rank in range(3)}})
    assert Counter(ended.stdout.splitlines()) == written
    assert Counter(ended.stderr.splitlines()) == written


def test_one_rank_needs_nothing_between_it_and_the_launcher():
    command = Command(argv=("python", "train.py"), environ={})
    assert local_ranks.several(command, 1, "own") is command
    several = local_ranks.several(command, 2, "own")
    assert several.argv[1:] == ("-m", "trainjob.launching.local_ranks", "2", "own", "python", "train.py")


def env_of(rank: int, count: int, **resource: object) -> JobEnvironment:
    return JobEnvironment(
        paths=Paths(fifos=Path("/fifos")), job_name="job", hyperparameters={}, channels={}, hosts=("algo-1",),
        current_host="algo-1", network_interface="eth0", local_rank=rank, local_ranks=count, resource_config=resource,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "threads"),
    [
        ({}, None),
        ({"OMP_NUM_THREADS": "9"}, "9"),
        ({"OMP_NUM_THREADS": "9", "LOCAL_MODE_THREADS": "4"}, "9"),
        ({"OMP_NUM_THREADS": "4", "LOCAL_MODE_THREADS": "4"}, "2"),
        ({"OMP_NUM_THREADS": "1", "LOCAL_MODE_THREADS": "1"}, "1"),
    ],
)
def test_ranks_share_the_cores_unless_the_job_says_otherwise(given, threads):
    told = local_ranks.told(env_of(1, 2), given, "all")
    assert told["OMP_NUM_THREADS"] == (threads or str(max(1, len(os.sched_getaffinity(0)) // 2)))


@pytest.mark.parametrize(
    ("given", "visible"),
    [(None, ["0", "1"]), ("4,7", ["4", "7"]), ("GPU-a,GPU-b,GPU-c", ["GPU-a", "GPU-b"])],
)
def test_rank_of_a_built_in_program_sees_one_gpu_and_a_scripts_all(given, visible):
    environ = {} if given is None else {"CUDA_VISIBLE_DEVICES": given}
    own = [local_ranks.told(env_of(rank, 2), environ, "own") for rank in range(2)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in own] == visible
    assert local_ranks.told(env_of(1, 2), environ, "all").get("CUDA_VISIBLE_DEVICES") == given


def test_rank_of_a_built_in_program_runs_on_its_part_of_the_cores():
    source = "import os; print(*sorted(os.sched_getaffinity(0)))"
    told = subprocess.run(ranks(source, 2, "own"), capture_output=True, text=True, timeout=SECONDS, check=True)
    have = cores.usable()
    assert sorted(told.stdout.splitlines()) == sorted(
        " ".join(map(str, cores.part(have, rank, 2))) for rank in range(2)
    )


UNEQUAL = [{"instance_group_name": "a", "instance_type": "ml.g5.xlarge"}, {"instance_type": "ml.g5.12xlarge"}]


def counted(asked: str, gpus: int, groups: object = None, environ: dict[str, str] | None = None) -> int:
    env = replace(env_of(0, 1, instance_groups=groups), hyperparameters={"processes_per_host": asked})
    return local_ranks.count(env, environ or {}, lambda: gpus)


@pytest.mark.parametrize(
    ("asked", "gpus", "groups", "count"),
    [
        ("0", 0, [], 1),
        ("0", 1, [], 1),
        ("0", 8, UNEQUAL[:1], 8),
        ("3", 8, [], 3),
        ('"3"', 0, [], 3),
        ("1", 8, [], 1),
        ("0", 4, UNEQUAL, 1),
        ("2", 4, UNEQUAL, 2),
        ("many", 2, [], 2),
    ],
)
def test_each_gpu_gets_a_process_unless_the_job_says_how_many_or_hosts_differ(asked, gpus, groups, count):
    assert counted(asked, gpus, groups) == count


@pytest.mark.parametrize(("visible", "count"), [("2,3", 2), ("", 1), ("-1", 1), ("GPU-a", 1)])
def test_only_gpus_that_a_process_may_see_count(visible, count):
    assert counted("0", 8, environ={"CUDA_VISIBLE_DEVICES": visible}) == count


@pytest.mark.parametrize(
    ("asked", "gpus", "text"),
    [
        ("1000", 0, "'processes_per_host' is 1000; it must be 0 to 64"),
        ("4", 2, "'processes_per_host' is 4, but this host has 2 GPUs; set it to 2 at the most"),
    ],
)
def test_more_processes_than_there_may_be_are_refused(asked, gpus, text):
    with pytest.raises(EntryPointError, match=text):
        counted(asked, gpus)


def test_channel_that_cannot_be_passed_on_ends_all_and_is_named(environ, tmp_path):
    paths = Paths(tmp_path / "ml")
    paths.input_data_config.write_text(json.dumps({"train": {"TrainingInputMode": "Pipe"}}))
    paths.data.mkdir()
    paths.fifo("train", 0).write_bytes(b"no FIFO")
    paths.output.mkdir()
    command = ranks("import time; time.sleep(60)", 2)
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ended.returncode == 1
    assert "is not a FIFO" in ended.stderr
    assert "is not a FIFO" in paths.failure.read_text()
