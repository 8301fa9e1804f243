import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from trainjob import launch
from trainjob.contract import Paths

SECONDS = 20  # bound on every wait for a process
WAITING = """
import signal, sys
stops = {signal.SIGTERM, signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # a handler would miss what comes just before a sleep begins
print("ready", flush=True)
print(signal.Signals(signal.sigwait(stops)).name, flush=True)
sys.exit(CODE)
"""
LAUNCH = "from trainjob import launch; launch.main()"


class Job:
    """A job's tree, a package of built-in programs, and the launcher to run them with."""

    def __init__(self, folder: Path) -> None:
        self.paths = Paths(folder / "ml")
        self.paths.config.mkdir(parents=True)
        self.programs = folder / "programs"
        (self.programs / "some_job").mkdir(parents=True)
        self.environ = {
            **os.environ,
            "SAGEMAKER_BASE_DIR": str(self.paths.base),
            "TRAINJOB_PROGRAMS": "some_job",
            "PYTHONPATH": os.pathsep.join((str(self.programs), os.environ["PYTHONPATH"])),
        }

    def program(self, source: str, dataset: str = "cifar10") -> None:
        (self.programs / "some_job" / f"train_{dataset}.py").write_text(source)

    def script(self, source: str) -> None:
        self.paths.code.mkdir()
        (self.paths.code / "train.py").write_text(source)
        self.environ["SAGEMAKER_PROGRAM"] = "train.py"

    def hyperparameters(self, **values: str) -> None:
        self.paths.hyperparameters.write_text(json.dumps(values))

    @property
    def failure(self) -> str:
        return self.paths.failure.read_text(encoding="utf-8")

    @contextmanager
    def start(self, source: str = LAUNCH, prefix: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[bytes]]:
        argv, pipe = [*prefix, sys.executable, "-c", source], subprocess.PIPE
        with subprocess.Popen(argv, env=self.environ, stdout=pipe, stderr=pipe) as child:
            try:
                yield child
            finally:
                child.kill()

    def run(self, source: str = LAUNCH) -> tuple[int, bytes, bytes]:
        with self.start(source) as child:
            out, err = child.communicate(timeout=SECONDS)
            return child.returncode, out, err


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def line(child: subprocess.Popen[bytes]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().decode().strip()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_the_programs_exit_code_is_the_launchers(job: Job, code: int) -> None:
    job.program(f"import sys; print('out'); sys.exit({code})")
    returned, out, err = job.run()
    assert (returned, out, err) == (code, b"out\n", b"")
    assert job.paths.failure.exists() == bool(code)


def test_the_module_itself_is_an_entry_of_its_own(job: Job) -> None:
    job.program("print('ran')")
    done = subprocess.run(
        [sys.executable, "-m", "trainjob.launch"], env=job.environ, capture_output=True, timeout=SECONDS, check=True
    )
    assert done.stdout == b"ran\n"


def test_the_exit_code_survives_a_caller_that_exits_in_its_finally(job: Job) -> None:
    job.program("raise SystemExit(7)")
    toolkit = "import os\ntry:\n    from trainjob import launch\n    launch.main()\nfinally:\n    os._exit(0)"
    assert job.run(toolkit)[0] == 7


def test_a_death_by_sigkill_is_137_and_the_failure_file_says_why(job: Job) -> None:
    job.program("import os, sys; print('last words', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)")
    assert job.run()[0] == 137
    assert job.failure.startswith("The program was killed by SIGKILL (exit code 137): most likely it ran out of memory")
    assert job.failure.endswith("\n\nLog:\nlast words")


def test_the_failure_file_opens_with_the_programs_error_and_ends_with_its_traceback(job: Job) -> None:
    job.program("def main():\n    raise ValueError('bad shape')\nmain()")
    code, _, err = job.run()
    assert code == 1
    assert job.failure.startswith("The program ended with exit code 1: ValueError: bad shape\n\nLog:\nTraceback")
    assert job.failure.endswith("ValueError: bad shape")
    assert err.endswith(b"ValueError: bad shape\n")


def test_the_failure_file_of_a_long_multi_byte_log_keeps_to_the_limit(job: Job) -> None:
    job.program("import sys; sys.stderr.write('é' * 200_000 + '🙂'); sys.exit(3)")
    assert job.run()[0] == 3
    assert len(job.failure) <= 1024
    assert job.failure.startswith("The program ended with exit code 3")
    assert job.failure.endswith("é🙂")


def test_a_failure_file_of_the_program_is_left_as_it_is(job: Job) -> None:
    job.program(f"import sys; open({str(job.paths.failure)!r}, 'w').write('mine'); sys.exit(1)")
    job.paths.output.mkdir()
    assert job.run()[0] == 1
    assert job.failure == "mine"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("code", [0, 5])
def test_a_signal_reaches_the_program_and_its_exit_code_is_kept(job: Job, number: signal.Signals, code: int) -> None:
    job.program(WAITING.replace("CODE", str(code)))
    with job.start() as child:
        assert line(child) == "ready"
        child.send_signal(number)
        assert line(child) == number.name
        assert child.wait(SECONDS) == code


def test_sigterm_to_process_one_of_a_container_reaches_the_program(job: Job) -> None:
    namespace = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc")
    if not shutil.which("unshare") or subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets no unprivileged user make a process namespace")
    job.program("import os; print(os.getppid(), flush=True)\n" + WAITING.replace("CODE", "6"))
    with job.start(prefix=namespace) as child:
        assert line(child) == "1"
        assert line(child) == "ready"
        process_one = int(Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text())
        os.kill(process_one, signal.SIGTERM)
        assert line(child) == "SIGTERM"
        assert child.wait(SECONDS) == 6


def test_a_program_that_does_not_handle_sigterm_ends_with_143(job: Job) -> None:
    job.program("import time; print('ready', flush=True); time.sleep(60)")
    with job.start() as child:
        assert line(child) == "ready"
        child.send_signal(signal.SIGTERM)
        assert child.wait(SECONDS) == 143
    assert job.failure.startswith("The program was killed by SIGTERM (exit code 143): it was told to stop")


def test_a_program_that_does_not_stop_in_time_is_killed_and_the_failure_file_says_so(job: Job) -> None:
    job.program("import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)")
    with job.start(f"from trainjob.launching import relay; relay.CHILD_SECONDS = 0.5; {LAUNCH}") as child:
        assert line(child) == "ready"
        begin = time.monotonic()
        child.send_signal(signal.SIGTERM)
        assert child.wait(SECONDS) == 137
    assert 0.4 < time.monotonic() - begin < 5
    assert job.failure.startswith("The program did not stop in time after SIGTERM and was killed.")


def test_a_program_never_outlives_a_launcher_that_is_killed(job: Job) -> None:
    job.program("import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    with job.start() as child:
        program = int(line(child))
        child.kill()
        child.wait(SECONDS)
        deadline = time.monotonic() + 5
        while alive(program) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not alive(program)


def test_stderr_comes_through_live_and_byte_for_byte(job: Job) -> None:
    every = "bytes(range(256))"
    lines = ["import os, sys", f"os.write(2, {every})", "sys.stdin.readline()"]
    job.program("\n".join([*lines, f"for _ in range(40): os.write(2, {every} * 100)"]))
    pipe = subprocess.PIPE
    argv = [sys.executable, "-c", LAUNCH]
    with subprocess.Popen(argv, env=job.environ, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0) as child:
        assert child.stderr is not None
        assert child.stderr.read(256) == bytes(range(256))
        assert child.poll() is None
        _, err = child.communicate(b"\n", timeout=SECONDS)
        assert err == bytes(range(256)) * 4000
        assert child.returncode == 0


def test_a_reader_of_stderr_that_goes_away_does_not_block_the_program(job: Job) -> None:
    job.program("import sys\nfor _ in range(100): sys.stderr.write('x' * 10_000)\nprint('done')\nsys.exit(3)")
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", LAUNCH], env=job.environ, stdout=pipe, stderr=pipe) as child:
        assert child.stderr is not None
        child.stderr.close()
        assert line(child) == "done"
        assert child.wait(SECONDS) == 3


def test_a_process_left_behind_with_stderr_open_does_not_hold_up_the_end(job: Job) -> None:
    job.program(
        "import subprocess; print(subprocess.Popen(['sleep', '50'], stdout=subprocess.DEVNULL).pid, flush=True)"
    )
    begin = time.monotonic()
    with job.start() as child:
        left = int(line(child))
        try:
            assert child.wait(SECONDS) == 0
        finally:
            with suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize("written", ["cub200", '"cub200"'])
def test_the_hyperparameter_dataset_picks_the_program_in_any_encoding(job: Job, written: str) -> None:
    job.program("raise SystemExit(9)")
    job.program("print('cub200 ran')", "cub200")
    job.hyperparameters(dataset=written)
    assert job.run()[:2] == (0, b"cub200 ran\n")


@pytest.mark.parametrize("dataset", ["mnist", "cifar10; touch x", "../cifar10", "cifar10.x", ""])
def test_an_unknown_dataset_is_told_with_those_there_are_and_imports_no_program(job: Job, dataset: str) -> None:
    for known in ("cifar10", "cub200"):
        job.program(f"open({str(job.paths.base / 'imported')!r}, 'w')", known)
    job.hyperparameters(dataset=dataset)
    code, _, err = job.run()
    message = f"There is no program for the data set '{dataset}' in some_job; "
    assert code == 1
    assert err.decode().startswith(f"error: {message}")
    assert job.failure.startswith(f"{message}set the hyperparameter 'dataset' to one of: cifar10, cub200.")
    assert not (job.paths.base / "imported").exists()


def test_without_a_package_of_programs_the_error_says_what_to_set(job: Job) -> None:
    del job.environ["TRAINJOB_PROGRAMS"]
    code, _, err = job.run()
    assert code == 1
    assert err.startswith(b"error: The job names no script and TRAINJOB_PROGRAMS is not set; set it to the package")


@pytest.mark.parametrize("package", ["no_such_job", "no.such.job", "json.decoder", ".x"])
def test_a_package_that_is_not_there_is_named(job: Job, package: str) -> None:
    job.environ["TRAINJOB_PROGRAMS"] = package
    code, _, err = job.run()
    assert code == 1
    assert err.decode().startswith(f"error: TRAINJOB_PROGRAMS is '{package}', which is no package here")


def test_a_broken_config_file_is_one_clear_line_and_a_failure_file(job: Job) -> None:
    job.paths.hyperparameters.write_text("{'a': 1}")
    code, _, err = job.run()
    assert code == 1
    assert err.count(b"\n") == 1
    assert b"hyperparameters.json is not JSON" in err
    assert "hyperparameters.json is not JSON" in job.failure


AWKWARD = {
    "note": "two words",
    "quoted": 'it\'s "so"',
    "dollar": "$HOME `id` $(id)",
    "glob": "*",
    "semi": "a; touch x && b | c > d",
    "newline": "a\nb",
    "empty": "",
    "unicode": "é🙂",
    "back": "a\\b",
}
DUMP = "import json, sys; print(json.dumps(sys.argv[1:]))"


@pytest.mark.parametrize("encode", [str, json.dumps])
def test_arguments_of_a_python_script_arrive_verbatim(job: Job, encode: type[str]) -> None:
    job.paths.code.mkdir()
    (job.paths.code / "train.py").write_text(DUMP)
    job.hyperparameters(sagemaker_program='"train.py"', **{name: encode(value) for name, value in AWKWARD.items()})
    code, out, _ = job.run()
    assert code == 0
    assert json.loads(out) == [part for name in sorted(AWKWARD) for part in (f"--{name}", AWKWARD[name])]


def test_arguments_of_a_shell_script_arrive_verbatim(job: Job) -> None:
    job.paths.code.mkdir()
    (job.paths.code / "train.sh").write_text(f'exec "{sys.executable}" -c "{DUMP}" "$@"')
    job.hyperparameters(sagemaker_program="train.sh", **AWKWARD)
    code, out, _ = job.run()
    assert code == 0
    assert json.loads(out) == [part for name in sorted(AWKWARD) for part in (f"--{name}", AWKWARD[name])]


def test_a_shell_script_gets_the_shell_its_first_line_names(job: Job) -> None:
    job.paths.code.mkdir()
    (job.paths.code / "train.sh").write_text(
        "#!/usr/bin/env bash\n[[ $1 == --x* ]] && echo ${BASH_VERSION:+bash}\nexit 4\n"
    )
    job.hyperparameters(sagemaker_program="train.sh", xx="1")
    assert job.run()[:2] == (4, b"bash\n")


def test_a_script_runs_in_its_folder_gets_sigterm_and_keeps_its_code(job: Job) -> None:
    job.paths.code.mkdir()
    (job.paths.code / "helper.py").write_text("CODE = 8")
    (job.paths.code / "train.py").write_text(f"from helper import CODE\n{WAITING}")
    job.environ["SAGEMAKER_PROGRAM"] = "train.py"
    with job.start() as child:
        assert line(child) == "ready"
        child.send_signal(signal.SIGTERM)
        assert line(child) == "SIGTERM"
        assert child.wait(SECONDS) == 8


def test_prints_of_a_script_arrive_while_it_runs(job: Job) -> None:
    job.paths.code.mkdir()
    (job.paths.code / "train.py").write_text("import sys; print('loss=1'); sys.stdin.readline()")
    job.environ["SAGEMAKER_PROGRAM"] = "train.py"
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCH], env=job.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert line(child) == "loss=1"
        assert child.poll() is None
        child.communicate(b"\n", timeout=SECONDS)


def test_an_interpreter_that_is_not_there_is_a_clear_error(job: Job) -> None:
    job.paths.code.mkdir()
    (job.paths.code / "train.sh").write_text("#!/no/such/shell\n")
    job.environ["SAGEMAKER_PROGRAM"] = "train.sh"
    code, _, err = job.run()
    assert code == 1
    assert err.startswith(b"error: '/no/such/shell' cannot be started: ")


def test_a_stop_while_the_code_is_prepared_ends_the_job_at_once_and_starts_nothing(job: Job) -> None:
    job.script("print('started')")
    # What installs is slow: stands for a large download.
    slow = """
from trainjob import launch
from trainjob.launching import child, script_mode
def install(code, environ, is_package):
    print("installing", flush=True)
    child.start(["sleep", "30"], environ, code).wait()
script_mode._install = install
launch.main()
"""
    begin = time.monotonic()
    with job.start(slow) as child:
        assert line(child) == "installing"
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=SECONDS)
    assert (child.returncode, out) == (143, b"")
    assert err == b"stopped before the program was started\n"
    assert time.monotonic() - begin < 10


def test_a_stop_amid_the_start_of_what_prepares_the_code_is_not_lost(job: Job) -> None:
    job.script("print('started')")
    # Python drops what a signal's handler raises in a hook of a fork; logging has such hooks in every process.
    amid = """
import os, signal
from trainjob import launch
from trainjob.launching import child, script_mode
def install(code, environ, is_package):
    os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))
    child.start(["sleep", "30"], environ, code).wait()
script_mode._install = install
launch.main()
"""
    assert job.run(amid) == (143, b"", b"stopped before the program was started\n")


def test_datasets_are_found_by_the_names_of_the_modules(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.program("", "b")
    job.program("", "a")
    (job.programs / "some_job" / "models.py").touch()
    monkeypatch.syspath_prepend(job.programs)
    assert launch.datasets("some_job") == ["a", "b"]


SHARED = """
import json, os, pathlib, sys
from trainjob import channel, environment
from trainjob.stop import Stop
env = environment.read()
source = channel.find(env, "train", Stop())
source.looks_ahead = False
with source.open() as stream:
    buffer = memoryview(bytearray(100))
    content = bytes(buffer[: stream.readinto(buffer)])
    while count := stream.readinto(buffer):
        content += buffer[:count]
visible = os.environ["CUDA_VISIBLE_DEVICES"]
print(env.rank, env.ranks, visible, content.decode(), json.loads(os.environ["TF_CONFIG"])["task"]["index"], flush=True)
"""


def test_processes_of_a_host_are_ranks_that_each_read_the_whole_fifo(job: Job) -> None:
    job.program(SHARED)
    job.hyperparameters(processes_per_host="2")
    job.paths.input_data_config.write_text(json.dumps({"train": {"TrainingInputMode": "Pipe"}}))
    job.paths.data.mkdir(parents=True, exist_ok=True)
    fifo = job.paths.fifo("train", 0)
    os.mkfifo(fifo)
    with job.start() as launcher:
        with fifo.open("w") as file:
            file.write("records")
        out, err = launcher.communicate(timeout=40)
    assert launcher.returncode == 0, err
    assert sorted(out.decode().splitlines()) == ["0 2 0 records 0", "1 2 1 records 1"]
    assert not job.paths.failure.exists()


def test_process_that_is_alone_is_told_of_no_others(job: Job) -> None:
    job.program(
        "import os; print({'RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'TF_CONFIG', 'TRAINJOB_FIFOS'} & {*os.environ})"
    )
    code, out, err = job.run()
    assert code == 0, err
    assert out == b"set()\n"
