"""Programs that are forks of their launcher: started, signalled and ended as others are."""

import json
import signal
from pathlib import Path

import pytest

from tests.unit.trainjob.test_launch import WAITING, Job, line

FORKED = "from trainjob import launch; from trainjob.launching import forked; forked.ready = True; launch.main()"
LOADED = """
import sys
from trainjob import launch
from trainjob.launching import preloading
preloading.load()
sys.modules.pop("trainjob.launch")
launch.main()
"""
SEEN = """
import atexit, json, os, sys, threading, time
atexit.register(print, "exit handler", flush=True)
threading.Thread(target=lambda: (time.sleep(0.2), print("thread", flush=True))).start()
print(json.dumps([__name__, sys.argv, os.environ["TRAINJOB_PROGRAMS"], os.getppid() == int(os.environ["LAUNCHER"])]))
"""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def forked(more: str = "") -> str:
    return f"import os; os.environ['LAUNCHER'] = str(os.getpid()); {more}{FORKED}"


def test_forked_program_runs_as_main_and_ends_as_an_interpreter_does(job: Job) -> None:
    job.program(SEEN)
    code, out, err = job.run(forked())

    first, *rest = out.decode().splitlines()
    program = str(job.programs / "some_job" / "train_cifar10.py")
    assert (code, err) == (0, b"")
    assert json.loads(first) == ["__main__", [program], "some_job", True]
    assert rest == ["thread", "exit handler"]


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        ("import sys; sys.exit(7)", 7, "exit code 7"),
        ("raise ValueError('of no use')", 1, "ValueError: of no use"),
        ("import os; os.kill(os.getpid(), 9)", 137, "137"),
    ],
)
def test_forked_programs_end_is_the_launchers(job: Job, source: str, code: int, words: str) -> None:
    job.program(source)
    returned, _, err = job.run(forked())

    assert returned == code
    assert words in job.failure
    assert b"During handling" not in err


def test_forked_program_hears_of_the_launchers_signal(job: Job) -> None:
    job.program(WAITING.replace("CODE", "5"))
    with job.start(forked()) as launcher:
        assert line(launcher) == "ready"
        launcher.send_signal(signal.SIGTERM)
        assert line(launcher) == "SIGTERM"
        assert launcher.wait(20) == 5


def test_two_forks_draw_different_numbers_of_numpys(job: Job) -> None:
    job.program("import numpy; print(numpy.random.random())")
    drawn = "import numpy; numpy.random.seed(1); "

    assert job.run(forked(drawn))[1] != job.run(forked(drawn))[1]


def test_preloading_imports_what_programs_need_and_leaves_them_to_be_run(job: Job) -> None:
    (job.programs / "some_job" / "__init__.py").touch()
    (job.programs / "some_job" / "late.py").write_text("import colorsys")
    # As a module, when it is imported, it says nothing; as a program, that it is no longer the launcher.
    job.program("import os\nif __name__ == '__main__':\n print(os.getpid() != int(os.environ['LAUNCHER']), end='')")
    code, out, err = job.run(f"import os; os.environ['LAUNCHER'] = str(os.getpid()){LOADED}")

    assert (code, out, err) == (0, b"True", b"")
