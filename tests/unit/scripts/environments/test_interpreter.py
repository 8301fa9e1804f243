import json
import re
import sys
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
    put_needs(tmp_path, {"torch": "2.4", "numpy": "1.26"})
    monkeypatch.setattr(interpreter, "ROOT", tmp_path)
    for module in (interpreter, environment):
        monkeypatch.setattr(module, "ENVIRONMENTS", tmp_path / "envs")
    monkeypatch.setattr(interpreter.wheels, "install", _refuse)
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(variable, raising=False)
    put_python(tmp_path / "system" / "bin" / "python3", has_torch=False)
    monkeypatch.setenv("PATH", f"{tmp_path}/system/bin:/usr/bin:/bin")
    return tmp_path


def put_needs(folder: Path, needs: dict[str, str]) -> None:
    entry = {"framework": "torch", "needs": needs, "folder": "image"}
    (folder / "images.json").write_text(json.dumps({"pytorch": entry}))


def put_real_python(path: Path, **versions: str) -> Path:
    """This interpreter, with modules of those names and versions in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    modules = path.with_name(path.name + "-modules")
    for name, version in versions.items():
        (modules / name).mkdir(parents=True)
        (modules / name / "__init__.py").write_text(f"__version__ = {version!r}\n")
    path.write_text(f'#!/bin/sh\nPYTHONPATH={modules} exec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path


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


@pytest.mark.parametrize(
    ("versions", "told"),
    [
        ({"torch": "2.3.1+cu121", "numpy": "2.4.6"}, r"torch 2\.3\.1\+cu121 is too old: 2\.4 is the least"),
        ({"torch": "2.15.0", "numpy": "1.9"}, r"numpy 1\.9 is too old: 1\.26 is the least"),
        ({"torch": "2.15.0"}, "No module named 'absent_module'"),
    ],
)
def test_framework_that_will_not_do_is_passed_over_with_the_reason(
    machine: Path, capsys: pytest.CaptureFixture[str], versions: dict[str, str], told: str
):
    put_needs(machine, {"torch": "2.4", ("numpy" if "numpy" in versions else "absent_module"): "1.26"})
    python3 = put_real_python(machine / "system" / "bin" / "python3", **versions)

    with pytest.raises(SetupError, match="package index"):
        interpreter.find("pytorch")

    said = capsys.readouterr().err
    assert re.search(rf"torch: {python3} will not do \(.*{told}\); wanted is one that has torch >= 2\.4, ", said)


@pytest.mark.parametrize("torch", ["2.4", "2.4.0a1+git", "2.15.0", "10.0"])
def test_framework_of_the_least_version_or_newer_will_do(machine: Path, torch: str):
    named = put_real_python(machine / "named", torch=torch, numpy="1.26.4")

    assert interpreter.find("pytorch", str(named)) == Path(sys.executable)


def test_old_framework_that_was_named_is_refused_with_what_is_wanted(machine: Path):
    named = put_real_python(machine / "named", torch="1.13.1", numpy="1.26.4")

    told = r"cannot run the job: torch 1\.13\.1 is too old: 2\.4 is the least; give one that has torch >= 2\.4, numpy"
    with pytest.raises(SetupError, match=told):
        interpreter.find("pytorch", str(named))


def test_python_without_the_framework_is_passed_over_in_silence(machine: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SetupError, match="package index"):
        interpreter.find("pytorch")

    assert "will not do" not in capsys.readouterr().err


def test_finding_is_asked_again_once_more_is_needed(machine: Path):
    named = put_real_python(machine / "named", torch="2.5", numpy="1.26.4")
    interpreter.find("pytorch", str(named))

    put_needs(machine, {"torch": "2.6", "numpy": "1.26"})
    with pytest.raises(SetupError, match=r"torch 2\.5 is too old: 2\.6"):
        interpreter.find("pytorch", str(named))


def test_every_image_says_what_its_programs_need():
    images = json.loads((Path(__file__).parents[4] / "images.json").read_text())

    assert images["keras"]["needs"].keys() == {"tensorflow", "keras", "numpy"}
    assert all(entry["framework"] in entry["needs"] for entry in images.values())
    assert int(images["keras"]["needs"]["keras"].split(".")[0]) == 3


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

    with pytest.raises(
        SetupError, match="package index; or give PYTHON=an interpreter that has torch >= 2.4, numpy >= 1.26"
    ):
        interpreter.find("pytorch")

    assert not (machine / "envs" / "pytorch").exists()
