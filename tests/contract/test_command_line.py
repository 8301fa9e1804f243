"""The command line over every runner: exit codes, signals, and what a killed one leaves to the next."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.contract.lab import IMAGE, KEPT, assert_nothing_left, document, eventually, launch, processes

NOBODY = 65534
END_SECONDS = 60

pytestmark = pytest.mark.contract("command line", "U")


def follow_until_ready(command):
    """Read the job's log up to the line that says its program waits."""
    for line in command.stdout:
        if "ready" in line:
            return
    raise AssertionError(f"no ready: {command.stderr.read()}")


def end(command):
    out, err = command.communicate(timeout=END_SECONDS)
    return command.returncode, out, err


def test_log_is_on_stdout_and_all_else_on_stderr(kind, lab, tmp_path, source):
    request = document("talks", ["epochs"], tmp_path, channels={"train": source})
    request["AlgorithmSpecification"]["MetricDefinitions"] = [{"Name": "my:loss", "Regex": "loss=([0-9.]+)"}]
    code, out, err = end(launch(kind, tmp_path, request))

    assert code == 0
    assert out == "".join(f"epoch={n} channel=train loss={1 / (n + 1):.3f};\n" for n in range(3))
    assert "Training - " in err
    assert "my:loss = 0.333" in err
    assert "MB/s" in err
    assert f"file://{tmp_path}/out/talks/output/model.tar.gz" in err
    assert "as asked" in err
    assert ("not enforced" in err) == (kind == "plain")


def test_failed_job_ends_with_exit_code_1_and_its_reason(kind, lab, tmp_path):
    code, _, err = end(launch(kind, tmp_path, document("fails", ["end", 5, "why"], tmp_path)))

    assert code == 1
    assert "AlgorithmError: why, exit code: 5" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_stops_the_job_as_the_service_would(kind, lab, tmp_path, number):
    command = launch(kind, tmp_path, document("stops", ["wait_for_stop"], tmp_path))
    follow_until_ready(command)
    command.send_signal(number)
    code, _, err = end(command)

    assert code == 2
    assert f"{number.name}: stopping the job" in err
    folder = tmp_path / "root" / "jobs" / "stops"
    assert (folder / "checkpoints" / "last.ckpt").read_text() == "state"
    assert_nothing_left(folder, lab.client)


def test_second_signal_kills_at_once(kind, lab, tmp_path):
    command = launch(kind, tmp_path, document("killed", ["ignore_stop"], tmp_path))
    follow_until_ready(command)
    command.send_signal(signal.SIGINT)
    time.sleep(0.5)
    command.send_signal(signal.SIGINT)
    start = time.monotonic()
    code, _, err = end(command)

    assert code == 2
    assert "killing the job" in err
    assert time.monotonic() - start < 20
    assert_nothing_left(tmp_path / "root" / "jobs" / "killed", lab.client)


def test_next_run_sweeps_what_a_killed_one_left(kind, lab, tmp_path, source):
    command = launch(kind, tmp_path, document("murdered", ["ignore_stop"], tmp_path, channels={"train": source}))
    follow_until_ready(command)
    command.kill()
    command.communicate()
    folder = tmp_path / "root" / "jobs" / "murdered"
    assert (folder / "scratch").exists()

    code, _, err = end(launch(kind, tmp_path, document("after", ["look"], tmp_path)))

    assert code == 0
    assert "cleaned up after job murdered" in err
    assert_nothing_left(folder, lab.client)
    record = json.loads((folder / "job.json").read_text())
    assert record["TrainingJobStatus"] == "Failed"
    assert record["FailureReason"].startswith("InternalServerError: local_mode was killed")


def test_feeder_and_its_fifos_go_when_local_mode_is_killed(kind, lab, tmp_path, source):
    command = launch(kind, tmp_path, document("alone", ["ignore_stop"], tmp_path, channels={"train": source}))
    follow_until_ready(command)
    command.kill()
    command.communicate()
    folder = tmp_path / "root" / "jobs" / "alone"

    eventually(lambda: not [path for path in folder.rglob("*") if path.is_fifo()])
    if kind == "bubblewrap":  # its sandbox dies with it; the others' programs wait for the sweep
        eventually(lambda: processes(folder) == [])
    end(launch(kind, tmp_path, document("after", ["look"], tmp_path)))


def test_sweep_leaves_running_jobs_alone(kind, lab, tmp_path):
    first = launch(kind, tmp_path, document("running", ["wait_for_stop"], tmp_path))
    follow_until_ready(first)
    code, _, err = end(launch(kind, tmp_path, document("beside", ["look"], tmp_path)))
    assert (code, "cleaned up" in err) == (0, False)
    first.send_signal(signal.SIGTERM)

    assert end(first)[0] == 2


def test_unprivileged_user_can_delete_all_that_a_job_leaves(kind, lab, tmp_path, source):
    if os.getuid() != 0:
        pytest.skip("we are unprivileged: every other test of this suite shows it")
    # pytest's own folders are closed to others.
    home = Path(f"/var/tmp/local-mode-contract-{os.getpid()}")
    home.mkdir()
    try:
        shutil.copytree(source, home / "train")
        request = document("unprivileged", ["lock_up"], home, channels={"train": home / "train"})
        as_nobody = as_user(NOBODY, socket="/var/run/docker.sock" if kind == "docker" else None)
        shutil.chown(home, NOBODY, NOBODY)
        python = python_for(as_nobody)
        code, _, err = end(launch(kind, home, request, prefix=as_nobody, python=python))
        assert code == 0, err
        job = home / "root" / "jobs" / "unprivileged"
        assert {path.name for path in job.iterdir()} <= KEPT
        subprocess.run([*as_nobody, "rm", "-r", str(home / "root"), str(home / "out")], check=True, timeout=20)
    finally:
        shutil.rmtree(home)


def as_user(user, socket):
    """A prefix that runs a command as `user`, who may talk to the engine at `socket`."""
    groups = ["--groups", str(Path(socket).stat().st_gid)] if socket else ["--clear-groups"]
    return ["/usr/bin/setpriv", f"--reuid={user}", f"--regid={user}", *groups, "--"]


def python_for(prefix):
    """An interpreter that the user behind `prefix` may run, and that can load what is installed for ours."""
    version = sys.version_info[:2]
    check = f"import os, sys; sys.exit(sys.version_info[:2] != {version} or not os.access(sys.executable, os.X_OK))"
    for python in (sys.executable, "/usr/bin/python3"):
        done = subprocess.run([*prefix, python, "-I", "-c", check], capture_output=True, timeout=20, check=False)
        if done.returncode == 0:
            return python
    return pytest.skip(f"no Python {version[0]}.{version[1]} that an unprivileged user may run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"TrainingJobName": "no_underscores"}, "error: TrainingJobName is 'no_underscores'; it must match"),
        ({"StopingCondition": {}}, "did you mean StoppingCondition?"),
        ({"InputDataConfig": "train"}, "error: InputDataConfig is 'train'; it must be a list."),
    ],
)
def test_mistakes_are_one_error_with_exit_code_1_and_no_trace(tmp_path, change, message):
    code, out, err = end(launch("plain", tmp_path, {**document("x", ["look"], tmp_path), **change}))

    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "root").exists()


def test_image_without_stand_in_is_refused(tmp_path):
    request = document("x", ["look"], tmp_path)
    request["AlgorithmSpecification"]["TrainingImage"] = "unknown:1"
    code, _, err = end(launch("plain", tmp_path, request))

    assert code == 1
    assert f"error: No stand-in for image 'unknown:1' (known: {IMAGE})" in err


def test_wrong_command_line_is_exit_code_1_because_2_means_stopped():
    done = subprocess.run([sys.executable, "-m", "local_mode", "trian"], capture_output=True, text=True, timeout=30,
                          env={"PYTHONPATH": ".:containers/common"}, check=False)  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
