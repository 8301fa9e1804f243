import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROLOGUE = """
import errno, logging, signal, sys, time
from trainjob import lifecycle
from trainjob.errors import ChannelError
from trainjob.lifecycle import StopRequested

def wait(stop):
    print("ready", flush=True)
    while not stop.requested:
        time.sleep(0.01)

def main(env, stop):
"""


@contextmanager
def program(base: Path, body: str) -> Iterator[subprocess.Popen[str]]:
    indented = "".join(f"    {line}\n" for line in body.strip().splitlines())
    source = f"{PROLOGUE}{indented}\nlifecycle.run(main, {{'SAGEMAKER_BASE_DIR': {str(base)!r}}})"
    pipe = subprocess.PIPE
    argv = [sys.executable, "-c", source]
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def run(base: Path, body: str) -> tuple[int, str, str]:
    with program(base, body) as child:
        out, err = child.communicate(timeout=20)
        return child.returncode, out, err


def failure_text(base: Path) -> str:
    return (base / "output" / "failure").read_text()


def test_a_program_that_returns_ends_with_zero_and_leaves_no_failure_file(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, "print(env.current_host, stop.requested)")
    assert (code, out) == (0, "algo-1 False\n")
    assert not (tmp_path / "output").exists()


def test_log_lines_go_to_stderr_with_time_and_level(tmp_path: Path) -> None:
    _, out, err = run(tmp_path, "logging.getLogger('x').info('hello %d', 7)")
    assert out == ""
    assert err[2:3] == ":"
    assert err.endswith(" INFO hello 7\n")


def test_an_error_of_ours_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    code, _, err = run(tmp_path, "raise ChannelError('Channel \"train\" is empty.')")
    assert code == 1
    assert err == 'error: Channel "train" is empty.\n'
    assert failure_text(tmp_path).startswith('Channel "train" is empty.\n\nTraceback:\n')


def test_any_other_error_shows_its_traceback(tmp_path: Path) -> None:
    code, _, err = run(tmp_path, "raise KeyError('layer')")
    assert code == 1
    assert "Traceback (most recent call last)" in err
    assert failure_text(tmp_path).startswith("KeyError: 'layer'\n\nTraceback:\n")


def test_a_full_disk_is_told_with_its_remedy_and_without_a_traceback(tmp_path: Path) -> None:
    code, _, err = run(tmp_path, "open('/dev/full', 'w').write('x' * 100_000)")
    assert code == 1
    assert err.splitlines()[0].startswith("error: The disk is full (No space left on device); raise VolumeSizeInGB")
    assert failure_text(tmp_path).startswith("The disk is full")


def test_a_config_file_that_is_broken_is_an_error_of_ours(tmp_path: Path) -> None:
    config = tmp_path / "input" / "config"
    config.mkdir(parents=True)
    (config / "hyperparameters.json").write_text("{")
    code, _, err = run(tmp_path, "pass")
    assert code == 1
    assert err.startswith("error: ")
    assert "hyperparameters.json is not JSON" in failure_text(tmp_path)


def test_a_code_the_program_chooses_itself_is_kept(tmp_path: Path) -> None:
    assert run(tmp_path, "sys.exit(7)")[0] == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_stop_flag_and_the_program_ends_in_its_own_time(
    tmp_path: Path, number: signal.Signals
) -> None:
    with program(tmp_path, "wait(stop)\nprint(100 < stop.seconds_left <= 105)") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        out, err = child.communicate(timeout=10)
    assert (child.returncode, out) == (0, "True\n")
    assert f"{number.name}: stopping within 105 s" in err
    assert not (tmp_path / "output").exists()


def test_a_signal_sets_the_flag_while_the_main_thread_does_not_come_back_to_the_interpreter(tmp_path: Path) -> None:
    # A mutex is waited for in C, where a signal does not end the wait: no handler in Python runs meanwhile.
    body = """
import ctypes, threading
libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
libc.pthread_mutex_lock(mutex)
def unlock_when_stopped():
    while not stop.requested:
        time.sleep(0.01)
    libc.pthread_mutex_unlock(mutex)
threading.Thread(target=unlock_when_stopped, daemon=True).start()
print("ready", flush=True)
libc.pthread_mutex_lock(mutex)
print("over")
"""
    with program(tmp_path, body) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=10)
    assert (child.returncode, out) == (0, "over\n")
    assert "SIGTERM: stopping within 105 s" in err


def test_more_signals_while_stopping_break_nothing(tmp_path: Path) -> None:
    with program(tmp_path, "wait(stop)\nprint('saving', flush=True)\nsys.stdin.readline()\nprint('saved')") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGTERM)
        assert child.stdout.readline() == "saving\n"
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            child.send_signal(number)
        out, _ = child.communicate("\n", timeout=10)
    assert (child.returncode, out) == (0, "saved\n")


def test_a_signal_while_the_interpreter_goes_down_does_not_replace_the_exit_code(tmp_path: Path) -> None:
    body = "import atexit, os\natexit.register(lambda: print(signal.getsignal(15) == signal.SIG_IGN))\n"
    code, out, _ = run(tmp_path, body + "atexit.register(os.kill, os.getpid(), 15)")
    assert out == "True\n"
    assert code == 0


def test_what_is_registered_for_the_exit_runs_and_threads_are_waited_for(tmp_path: Path) -> None:
    body = """
import atexit, threading
from concurrent.futures import ThreadPoolExecutor
atexit.register(print, "registered")
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
ThreadPoolExecutor().submit(lambda: (time.sleep(0.4), print("pool")))
"""
    assert run(tmp_path, body) == (0, "thread\npool\nregistered\n", "")


def test_a_stop_that_unwinds_the_program_is_no_failure(tmp_path: Path) -> None:
    with program(tmp_path, "wait(stop)\nraise StopRequested") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=10)
    assert child.returncode == 0
    assert err.endswith("INFO stopped as requested\n")
    assert not (tmp_path / "output").exists()


def test_a_failure_while_stopping_is_still_a_failure(tmp_path: Path) -> None:
    with program(tmp_path, "wait(stop)\nraise ChannelError('no checkpoint')") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=10)
    assert child.returncode == 1
    assert failure_text(tmp_path).startswith("no checkpoint")


def test_importing_it_installs_no_handler_and_no_logging() -> None:
    source = "import signal, logging, trainjob.lifecycle, trainjob.launch; "
    source += "print(signal.getsignal(15) == signal.SIG_DFL, logging.root.handlers)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "True []\n"


UNDISTURBED = """
import ctypes, os, signal, time
from trainjob import lifecycle
stop = lifecycle.listen()
with lifecycle.undisturbed():
    ctypes.CDLL(None).signal(signal.SIGTERM, ctypes.c_void_p(1))  # a library that ignores it, behind Python's back
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)
    print(stop.requested)
time.sleep(0.2)
print(stop.requested)
"""


def test_signal_that_comes_while_a_library_takes_signals_for_itself_is_not_lost():
    command = [sys.executable, "-c", UNDISTURBED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert done.stdout.split() == ["False", "True"], done.stderr
