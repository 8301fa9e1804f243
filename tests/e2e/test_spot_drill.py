"""Jobs that are interrupted at random moments, as `make spot-drill` does it; of both frameworks."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import JOB_SECONDS, command

FRAMEWORKS = ("pytorch", "keras")
SOAK_SECONDS = 4 * 3600


def drill(state: Path, framework: str, count: int, seed: int, seconds: float) -> None:
    """Run one; all must be the same, and nothing but the picture be left."""
    wanted = ["--framework", framework, "--interruptions", str(count), "--seed", str(seed)]
    ended = subprocess.run(
        command("scripts/spot_drill.py", state, *wanted), capture_output=True, text=True, timeout=seconds, check=False
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(re.findall(rf"^interruption \d+ of {count}: ", ended.stderr, re.MULTILINE)) == count
    assert "steps, losses and final weights as uninterrupted" in ended.stderr
    picture = state / "drills" / f"{framework}-{seed}.png"
    assert ended.stdout == f"{picture}\n"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert list((state / "drills").iterdir()) == [picture]
    assert processes_of(state) == []


def processes_of(state: Path) -> list[str]:
    """Commands that still run and name the folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(state) in line and int(folder.name) != os.getpid():
            found.append(line)
    return found


@pytest.mark.parametrize(("framework", "count"), [("pytorch", 4), ("keras", 2)])
def test_job_interrupted_a_few_times_trains_as_if_nothing_had_been(tmp_path: Path, framework: str, count: int):
    drill(tmp_path, framework, count, 0, 2 * JOB_SECONDS)


@pytest.mark.soak
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_job_interrupted_fifty_times_trains_as_if_nothing_had_been(tmp_path: Path, framework: str):
    drill(tmp_path, framework, 50, 1, SOAK_SECONDS)


def test_drill_that_is_ended_by_ctrl_c_leaves_nothing(tmp_path: Path):
    started = command("scripts/spot_drill.py", tmp_path)
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("interruption 1 "):
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)

    assert (process.returncode, out) == (130, ""), err
    assert "everything of the drill is removed" in err
    assert list((tmp_path / "drills").iterdir()) == []
    assert processes_of(tmp_path) == []
