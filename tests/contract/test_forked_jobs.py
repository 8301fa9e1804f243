"""Jobs that are forked from a process which has imported what they need: nothing that a program can see is different.

That the rest of the contract holds for them as well follows from one comparison, and from how they are stopped and end.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import isal
import pytest

from local_mode.errors import RunnerError
from local_mode.jobs.forking import FORK, TAG
from local_mode.runners import bubblewrap, sandbox
from local_mode.runners.forks import ForkServers
from tests.containers import miss
from tests.contract.conftest import process_runner
from tests.contract.endpoint import BUCKET, Server
from tests.contract.lab import IMAGE, PROGRAM, REPOSITORY, Lab, eventually, stand_ins
from tests.contract.test_command_line import NOBODY, as_user, python_for
from tests.contract.tuning import create, ended

pytestmark = pytest.mark.contract("4.7", "U")
TAGS = ({"Key": TAG, "Value": FORK},)


@pytest.fixture(params=["bubblewrap", "plain"])
def kind(request):
    if request.param == "bubblewrap" and (reason := bubblewrap.why_not()):
        miss(reason)
    return request.param


@pytest.fixture
def notes():
    return []


@pytest.fixture
def forks(tmp_path, notes):
    made = ForkServers(tmp_path / "fork-servers", notes.append)
    yield made
    made.close()
    assert servers(tmp_path) == []
    assert not (tmp_path / "fork-servers").exists()


@pytest.fixture
def lab(kind, tmp_path, forks):
    runner = process_runner("" if kind == "bubblewrap" else "the suite says so", forks)
    return Lab(runner=runner, kind=kind, folder=tmp_path, tags=TAGS)


def servers(folder):
    """Processes whose interpreter is that of a fork server of this folder: servers, keepers and jobs."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].startswith(os.fsencode(folder)) and any(word.endswith(b"fork_server.py") for word in words):
                found.append(int(entry.name))
    return found


def test_forked_program_finds_what_it_finds_in_an_interpreter_of_its_own(lab, notes):
    forked = lab.run(["look_closely"]).report
    again = lab.run(["look_closely"]).report
    lab.tags = ()
    alone = lab.run(["look_closely"]).report

    assert [each.pop("preloaded") for each in (forked, again, alone)] == [True, True, False]
    assert len({each.pop("random") for each in (forked, again, alone)}) == 3
    # An interpreter that became `python -m` has where it was started from in the first place, and it is always /.
    alone["path"] = [place for place in alone["path"] if place != "/"]
    assert forked == again == alone
    assert notes == []


def test_user_other_than_root_has_the_same_in_the_sandbox():
    """There it has two user namespaces, and none of root's rights on the way in."""
    if reason := bubblewrap.why_not():
        miss(reason)
    if os.getuid() != 0:
        pytest.skip("whoever runs this is no root, and the test above shows it")
    home = Path(tempfile.mkdtemp(prefix="local-mode-"))  # pytest's folders are closed to others
    try:
        shutil.chown(home, NOBODY, NOBODY)
        as_nobody = as_user(NOBODY, socket=None)
        command = [*as_nobody, python_for(as_nobody), str(PROGRAM / "forked_and_alone.py"), str(home)]
        path = f"{REPOSITORY}:{REPOSITORY}/containers/common:{Path(isal.__file__).parents[1]}"
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=90, check=True)
    finally:
        shutil.rmtree(home)
    told = json.loads(done.stdout.splitlines()[-1])
    forked, alone = told["seen"]

    assert told["notes"] == []
    assert [each.pop("preloaded") for each in (forked, alone)] == [True, False]
    assert {name for name in alone if forked[name] != alone[name]} == {"random", "path"}
    assert forked["path"] == [place for place in alone["path"] if place != "/"]
    assert forked["kernel"]["CapEff"] == "0000000000000000"


def test_job_without_the_tag_is_started_by_itself(lab, tmp_path):
    lab.tags = ()

    assert lab.run(["look_closely"]).report["preloaded"] is False
    assert servers(tmp_path) == []


def test_forked_program_is_stopped_in_order(lab):
    run = lab.start(["wait_for_stop"])
    assert run.recorder.ready.wait(30)
    run.job.stop()

    assert run.end().status == "Stopped"
    assert run.report["saved"]


def test_forked_program_that_ignores_the_stop_is_killed(lab):
    run = lab.start(["ignore_stop"], grace=0.5)
    assert run.recorder.ready.wait(30)
    run.job.stop()

    assert run.end().status == "Stopped"


@pytest.mark.parametrize(
    ("act", "words"), [(["end", 41, "why"], "why, exit code: 41"), (["crash"], ", exit code: 139")]
)
def test_forked_programs_end_is_told(lab, act, words):
    assert lab.run(act).description["FailureReason"] == f"AlgorithmError: {words}"


@pytest.mark.parametrize("act", ["leave_child", "leave_fork"])
def test_what_a_forked_program_leaves_ends_with_it(lab, act):
    run = lab.run([act])  # which looks for it

    assert run.status == "Completed"
    if lab.kind == "plain":
        eventually(lambda: not Path("/proc", str(run.report["child"])).exists())


def test_server_that_is_killed_takes_its_jobs_along_and_is_replaced(lab, tmp_path):
    run = lab.start(["ignore_stop"])
    assert run.recorder.ready.wait(30)
    for number in servers(tmp_path):
        if Path("/proc", str(number), "stat").read_text().rpartition(")")[2].split()[1] == str(os.getpid()):
            os.kill(number, signal.SIGKILL)

    assert run.end().description["FailureReason"] == "AlgorithmError: , exit code: 137"
    assert lab.run(["look_closely"]).report["preloaded"]


def test_forked_program_imports_what_its_own_python_path_names(lab, kind, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "brought_along.py").write_text("VALUE = 7\n")
    # The first of them is in the sandbox alone, which the server is not in.
    place = "/opt/ml/input/data/code" if kind == "bubblewrap" else str(tmp_path / "code")
    run = lab.run(
        ["import_and_tell", "brought_along"],
        channels={"code": tmp_path / "code"},
        mode="File",
        Environment={"PYTHONPATH": place},
    )
    assert run.report == {"value": 7, "preloaded": True}


def test_server_that_cannot_import_leaves_jobs_to_start_without_it(kind, tmp_path, forks, notes, monkeypatch):
    entries = stand_ins()
    entries[IMAGE]["preload"] = "no_such_module:load"
    monkeypatch.setattr("tests.contract.conftest.stand_ins", lambda: entries)
    runner = process_runner("" if kind == "bubblewrap" else "the suite says so", forks)
    lab = Lab(runner=runner, kind=kind, folder=tmp_path, tags=TAGS)

    assert [lab.run(["look_closely"]).report["preloaded"] for _ in range(2)] == [False, False]
    assert notes == [
        "The fork server does not start: ModuleNotFoundError: No module named 'no_such_module'. Jobs start without it."
    ]


def test_keeper_whose_sandbox_never_stands_goes_and_the_job_starts_without_it(tmp_path, forks, notes, monkeypatch):
    if reason := bubblewrap.why_not():
        miss(reason)
    lab = Lab(runner=process_runner("", forks), kind="bubblewrap", folder=tmp_path, tags=TAGS)
    assert lab.run(["look_closely"]).report["preloaded"]
    real, calls = sandbox.start, []

    def start(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise RunnerError("bubblewrap makes no sandbox: as the test says.")
        return real(*arguments)

    monkeypatch.setattr(sandbox, "start", start)
    assert not lab.run(["look_closely"]).report["preloaded"]
    assert notes == ["bubblewrap makes no sandbox: as the test says. The job starts without it."]
    eventually(lambda: len(servers(tmp_path)) == 1)  # the server alone


def test_server_without_a_job_ends_and_another_takes_its_place(kind, tmp_path, notes):
    forks = ForkServers(tmp_path / "fork-servers", notes.append, idle_seconds=0.2)
    lab = Lab(runner=process_runner("" if kind == "bubblewrap" else "x", forks), kind=kind, folder=tmp_path, tags=TAGS)
    try:
        lab.run(["end", 0])
        eventually(lambda: not [number for number in servers(tmp_path) if not is_zombie(number)])
        assert list((tmp_path / "fork-servers").iterdir()) == []
        assert lab.run(["end", 0]).status == "Completed"
    finally:
        forks.close()


def is_zombie(number):
    try:
        return Path("/proc", str(number), "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_sweeps_servers_end_with_a_service_that_is_killed(tmp_path):
    server = Server.start(tmp_path, "--stop-grace", "5")
    server.client("s3").create_bucket(Bucket=BUCKET)
    create(server, "forked", ["learn", 200, 0.1], jobs=2, parallel=2, Tags=list(TAGS))
    eventually(lambda: len(servers(tmp_path)) == 1 + 2 * 2, 60)
    server.process.kill()
    server.process.wait(20)

    eventually(lambda: servers(tmp_path) == [])
    assert list((server.root / "fork-servers").iterdir()) == []
    server = Server.start(tmp_path, "--stop-grace", "5")
    assert ended(server, "forked")["HyperParameterTuningJobStatus"] == "Failed"
    assert server.end() == 0
