"""The environment of the project's own commands, and pytest for other interpreters."""

import shutil
from pathlib import Path

from scripts.environments.environment import (
    ENVIRONMENTS,
    ROOT,
    Environment,
    SetupError,
    alone,
    key_of,
    say,
    shown,
    write_whole,
)

REQUIREMENTS = ROOT / "requirements"
SIZES = {"host": "about 27 MB", "serve": "about 62 MB", "test": "about 135 MB"}
"""To download, measured with the locks of November 2026."""
HOST = Environment(ROOT / ".venv")


def make(name: str) -> Path:
    """Makes `.venv` with everything of `requirements/<name>.lock`, and the project itself, editable.

    Returns:
        Its interpreter.

    Raises:
        SetupError: It cannot be made; what was made by this call is gone.
    """
    # Each lock holds all of those before it.
    names = ("host", "serve", "test")
    keys = {each: _project_key(each) for each in names}
    good = tuple(keys[each] for each in names[names.index(name) :])
    if HOST.stamp not in good:
        with alone("host"):
            if HOST.stamp not in good:
                _fill(name, keys[name])
    return HOST.python


def make_pytest() -> Path:
    """Makes a folder with nothing but pytest, pure Python, for the PYTHONPATH of any interpreter.

    Raises:
        SetupError: It cannot be made.
    """
    folder, lock = ENVIRONMENTS / "pytest", REQUIREMENTS / "pytest.lock"
    ready, key = folder / ".ready", key_of(lock)
    if not ready.exists() or ready.read_text() != key:
        make("host")
        with alone("pytest"):
            unfinished = folder.with_name(".pytest.unfinished")
            for old in (unfinished, folder):
                shutil.rmtree(old, ignore_errors=True)
            HOST.pip(*_install_locked(lock), "--no-deps", "--target", str(unfinished))
            write_whole(unfinished / ".ready", key)
            unfinished.rename(folder)
    return folder


def make_sdk(version: str) -> Path:
    """Makes an environment with one version ("v2") of the SageMaker SDK, as locked, and nothing of ours.

    Returns:
        Its interpreter.

    Raises:
        SetupError: It cannot be made.
    """
    return make_apart(f"sdk_{version}")


def make_apart(name: str) -> Path:
    """Makes an environment with what is in `requirements/<name>.lock`, and nothing of ours.

    Returns:
        Its interpreter.

    Raises:
        SetupError: It cannot be made.
    """
    environment, lock = Environment(ENVIRONMENTS / name), REQUIREMENTS / f"{name}.lock"
    key = key_of(lock)
    if environment.stamp != key:
        with alone(name):
            if environment.stamp != key:
                say(f"{shown(environment.folder)}: installing {shown(lock)}")
                with environment.making(key, afresh=True):
                    environment.pip(*_install_locked(lock))
    return environment.python


def _fill(name: str, key: str) -> None:
    lock = REQUIREMENTS / f"{name}.lock"
    say(f"{shown(HOST.folder)}: installing {shown(lock)} ({SIZES[name]} to download, less what pip has already)")
    try:
        with HOST.making(key):
            HOST.pip(*_install_locked(lock))
            editable = ("-e", str(ROOT / "containers" / "common"), "-e", str(ROOT))
            HOST.pip("install", "--no-deps", "--no-build-isolation", *editable)
    except SetupError as error:
        raise SetupError(f"cannot make {shown(HOST.folder)} from {shown(lock)}: {error}") from error


def _install_locked(lock: Path) -> tuple[str, ...]:
    return ("install", "--require-hashes", "--requirement", str(lock))


def _project_key(name: str) -> str:
    projects = (ROOT / "pyproject.toml", ROOT / "containers" / "common" / "pyproject.toml")
    return f"{name} {key_of(REQUIREMENTS / f'{name}.lock', *projects)}"
