import subprocess
import sys
from pathlib import Path

import pytest

from scripts.environments import environment
from scripts.environments.environment import Environment, SetupError, explain, key_of


@pytest.fixture(autouse=True)
def quick_venv(monkeypatch: pytest.MonkeyPatch):
    """Environments without pip of their own: five seconds less each."""
    run = subprocess.run

    def run_without_pip(command: list[str], **settings: object) -> object:
        if command[1:3] == ["-m", "venv"]:
            return run([*command, "--without-pip", "--system-site-packages"], **settings)
        return run(command, **settings)

    monkeypatch.setattr(environment.subprocess, "run", run_without_pip)


def test_environment_carries_its_key_when_it_is_whole(tmp_path: Path):
    made = Environment(tmp_path / "env")
    assert made.stamp == ""

    with made.making("the key"):
        assert made.stamp == ""

    assert made.stamp == "the key"
    assert subprocess.run([made.python, "-c", "pass"], check=False).returncode == 0


@pytest.mark.parametrize("error", [SetupError("no"), KeyboardInterrupt()])
def test_environment_is_gone_when_filling_it_fails(tmp_path: Path, error: BaseException):
    made = Environment(tmp_path / "env")

    with pytest.raises(type(error)), made.making("the key"):
        raise error

    assert not made.folder.exists()


def test_environment_that_was_found_is_kept_when_filling_it_fails(tmp_path: Path):
    made = Environment(tmp_path / "env")
    with made.making("one"):
        (made.folder / "precious").touch()

    with pytest.raises(SetupError, match="no network"), made.making("two"):
        raise SetupError("no network")

    assert (made.folder / "precious").exists()
    assert made.stamp == ""


def test_environment_half_made_by_a_killed_command_is_made_anew(tmp_path: Path):
    made = Environment(tmp_path / "env")
    made.folder.mkdir()
    (made.folder / ".making").touch()
    (made.folder / "rubbish").touch()

    with made.making("the key"):
        pass

    assert made.stamp == "the key"
    assert not (made.folder / "rubbish").exists()


def test_environment_whose_python_has_changed_is_not_ready(tmp_path: Path):
    made = Environment(tmp_path / "env")
    with made.making("the key"):
        pass
    made.python.unlink()
    made.python.symlink_to("/bin/sh")

    assert made.stamp == ""


def test_folder_without_pip_is_left_alone_and_named(tmp_path: Path):
    foreign = tmp_path / "env"
    (foreign / "bin").mkdir(parents=True)
    (foreign / "bin" / "python").symlink_to("/bin/false")

    refused = pytest.raises(SetupError, match=f"{foreign} holds an environment without pip; remove it")
    with refused, Environment(foreign).making("the key"):
        pass

    assert foreign.exists()


def test_python_without_ensurepip_names_the_package_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)

    refused = pytest.raises(SetupError, match=f"{sys.executable} cannot make .*apt-get install python3-venv")
    with refused, Environment(tmp_path / "env").making("the key"):
        pass


class ThisPython(Environment):
    """The environment of the tests, which has a pip."""

    @property
    def python(self) -> Path:
        return Path(sys.executable)


def test_index_out_of_reach_is_named_with_what_pip_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in (("INDEX_URL", "http://127.0.0.1:9/simple"), ("CONFIG_FILE", "/dev/null"), ("RETRIES", "1")):
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)

    with pytest.raises(SetupError, match=r"could not reach .* /simple/absent-thing/: .*refused.*; set PIP_INDEX_URL"):
        ThisPython(tmp_path).pip("install", "--dry-run", "absent-thing")


def test_package_that_no_index_has_is_named():
    said = "ERROR: Could not find a version that satisfies the requirement torch==9 (from versions: none)\n"

    assert explain(said).startswith(
        "pip found no release of torch==9, so its package index is out of reach or lacks it"
    )


def test_other_errors_of_pip_are_told_in_its_words():
    said = "WARNING: noise\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES\nERROR: numpy\n"

    assert explain(said) == "pip failed: THESE PACKAGES DO NOT MATCH THE HASHES; numpy"


def test_key_follows_the_content_of_every_file(tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    two.write_text("b")
    before = key_of(one, two)

    two.write_text("c")

    assert key_of(one, two) != before
