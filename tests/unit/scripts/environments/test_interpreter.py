import json
from pathlib import Path

import pytest

from scripts.environments import environment, interpreter
from scripts.environments.environment import Environment, SetupError


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one image on a machine whose python3 has no framework."""
    (tmp_path / "image").mkdir()
    for name in ("requirements.lock", "requirements-cpu.lock"):
        (tmp_path / "image" / name).write_text(name)
    (tmp_path / "images.json").write_text(json.dumps({"pytorch": {"framework": "torch", "folder": "image"}}))
    monkeypatch.setattr(interpreter, "ROOT", tmp_path)
    for module in (interpreter, environment):
        monkeypatch.setattr(module, "ENVIRONMENTS", tmp_path / "envs")
    monkeypatch.setattr(interpreter.wheels, "install", _refuse)
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(variable, raising=False)
    put_python(tmp_path / "system" / "bin" / "python3", has_torch=False)
    monkeypatch.setenv("PATH", f"{tmp_path}/system/bin:/usr/bin:/bin")
    return tmp_path


def put_python(path: Path, *, has_torch: bool) -> Path:
    """An interpreter that answers the probe, and counts how often it was asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    answer = json.dumps({"interpreter": str(path), "files": [str(path)]})
    missing = "echo \"ModuleNotFoundError: No module named 'torch'\" >&2; exit 1"
    action = f"echo '{answer}'" if has_torch else missing
    path.write_text(f"#!/bin/sh\necho asked >> {path}.log\n{action}\n")
    path.chmod(0o755)
    return path


def times_asked(path: Path) -> int:
    return len(Path(f"{path}.log").read_text().splitlines())


def _refuse(*arguments: object) -> None:
    raise SetupError("pip could not reach its package index")


def test_python_that_was_named_wins_over_the_active_environment(machine: Path, monkeypatch: pytest.MonkeyPatch):
    put_python(machine / "active" / "bin" / "python", has_torch=True)
    monkeypatch.setenv("VIRTUAL_ENV", str(machine / "active"))
    named = put_python(machine / "named", has_torch=True)

    assert interpreter.find("pytorch", str(named)) == named


def test_python_that_was_named_must_do(machine: Path):
    named = put_python(machine / "named", has_torch=False)

    with pytest.raises(SetupError, match=f"PYTHON={named} cannot run the job: .*No module named 'torch'; give one"):
        interpreter.find("pytorch", str(named))


def test_python_that_was_named_must_do_though_one_was_made_in_its_place_before(
    machine: Path, monkeypatch: pytest.MonkeyPatch
):
    made = machine / "envs" / "pytorch" / "bin" / "python"
    monkeypatch.setattr(Environment, "_create", lambda self, half_made: self.folder.mkdir(parents=True))
    monkeypatch.setattr(interpreter.wheels, "install", lambda *_: put_python(made, has_torch=True))
    named = machine / "system" / "bin" / "python3"
    assert interpreter.find("pytorch") == made

    with pytest.raises(SetupError, match=f"PYTHON={named} cannot run the job: .*No module named 'torch'"):
        interpreter.find("pytorch", str(named))


def test_python_that_does_not_exist_is_named():
    with pytest.raises(SetupError, match="PYTHON=/no/python cannot run the job: No such file"):
        interpreter.find("pytorch", "/no/python")


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_active_environment_with_the_framework_is_taken(machine: Path, monkeypatch: pytest.MonkeyPatch, variable: str):
    active = put_python(machine / "active" / "bin" / "python", has_torch=True)
    monkeypatch.setenv(variable, str(machine / "active"))

    assert interpreter.find("pytorch") == active


def test_plain_python3_with_the_framework_is_taken(machine: Path, capsys: pytest.CaptureFixture[str]):
    python3 = put_python(machine / "system" / "bin" / "python3", has_torch=True)

    assert interpreter.find("pytorch") == python3
    assert f"torch: found in {python3}; nothing to download" in capsys.readouterr().err


def test_second_call_asks_no_interpreter(machine: Path):
    python3 = put_python(machine / "system" / "bin" / "python3", has_torch=True)

    assert interpreter.find("pytorch") == interpreter.find("pytorch")
    assert times_asked(python3) == 1


def test_interpreter_that_has_gone_is_not_remembered(machine: Path):
    named = put_python(machine / "named", has_torch=True)
    interpreter.find("pytorch", str(named))
    named.unlink()

    with pytest.raises(SetupError, match="No such file"):
        interpreter.find("pytorch", str(named))


def test_environment_is_made_where_none_is_found(machine: Path, monkeypatch: pytest.MonkeyPatch):
    made = machine / "envs" / "pytorch" / "bin" / "python"
    monkeypatch.setattr(Environment, "_create", lambda self, half_made: self.folder.mkdir(parents=True))
    monkeypatch.setattr(interpreter.wheels, "install", lambda *_: put_python(made, has_torch=True))

    assert interpreter.find("pytorch") == made
    assert Environment(machine / "envs" / "pytorch").stamp


def test_changed_lock_makes_the_environment_anew(machine: Path, monkeypatch: pytest.MonkeyPatch):
    made, installed = machine / "envs" / "pytorch" / "bin" / "python", []
    monkeypatch.setattr(Environment, "_create", lambda self, half_made: self.folder.mkdir(parents=True))
    monkeypatch.setattr(interpreter.wheels, "install", lambda *_: installed.append(put_python(made, has_torch=True)))
    interpreter.find("pytorch")

    (machine / "image" / "requirements-cpu.lock").write_text("numpy, newer")
    interpreter.find("pytorch")

    assert len(installed) == 2


def test_other_active_environment_does_not_make_it_anew(machine: Path, monkeypatch: pytest.MonkeyPatch):
    made, installed = machine / "envs" / "pytorch" / "bin" / "python", []
    monkeypatch.setattr(Environment, "_create", lambda self, half_made: self.folder.mkdir(parents=True))
    monkeypatch.setattr(interpreter.wheels, "install", lambda *_: installed.append(put_python(made, has_torch=True)))
    interpreter.find("pytorch")

    put_python(machine / "active" / "bin" / "python", has_torch=False)
    monkeypatch.setenv("VIRTUAL_ENV", str(machine / "active"))

    assert interpreter.find("pytorch") == made
    assert len(installed) == 1


def test_environment_that_does_not_import_is_removed(machine: Path, monkeypatch: pytest.MonkeyPatch):
    made = machine / "envs" / "pytorch" / "bin" / "python"
    monkeypatch.setattr(Environment, "_create", lambda self, half_made: self.folder.mkdir(parents=True))
    monkeypatch.setattr(interpreter.wheels, "install", lambda *_: put_python(made, has_torch=False))

    with pytest.raises(SetupError, match=r"cannot make .*pytorch: .*No module named 'torch'; or give PYTHON="):
        interpreter.find("pytorch")

    assert not (machine / "envs" / "pytorch").exists()


def test_failed_installation_is_removed_and_names_the_ways_out(machine: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Environment, "_create", lambda self, half_made: self.folder.mkdir(parents=True))

    with pytest.raises(SetupError, match="package index; or give PYTHON=an interpreter that has torch and numpy"):
        interpreter.find("pytorch")

    assert not (machine / "envs" / "pytorch").exists()
