import subprocess
import sys
from pathlib import Path

import pytest

from scripts import make_environment
from scripts.environments import interpreter

SCRIPT = Path(make_environment.__file__)


def test_it_imports_nothing_but_the_standard_library():
    # -S leaves out site-packages, -I the environment: what a bare python3 has.
    command = [sys.executable, "-I", "-S", SCRIPT, "--help"]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert "{host,serve,tune,test,notebooks,pytest,pytorch,keras}" in ended.stdout


def test_old_python_is_told_what_is_missing():
    command = [sys.executable, "-c", f"import sys; sys.version_info = (3, 9, 2); exec(open({str(SCRIPT)!r}).read())"]

    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: this needs Python 3.11 or newer, but ")
    assert "is Python 3.9; install a newer one and say make PYTHON3=" in ended.stderr


def test_interpreter_is_the_one_line_on_stdout(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(interpreter, "find", lambda framework, python: Path(f"/{framework}/{python}"))
    monkeypatch.setattr(sys, "argv", ["make_environment.py", "pytorch", "--python", "mine"])

    assert make_environment.main() == 0
    assert capsys.readouterr().out == "/pytorch/mine\n"


def test_error_is_one_line_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["make_environment.py", "pytorch", "--python", "/no/python"])

    assert make_environment.main() == 1

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: PYTHON=/no/python cannot run the job: No such file or directory; give one")
