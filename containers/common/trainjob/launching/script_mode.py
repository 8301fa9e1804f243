"""Script mode: the user's own code, fetched, its requirements installed, ready to run as sagemaker-training runs it."""

import importlib
import os
import shutil
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainjob import contract, failure
from trainjob.environment import JobEnvironment
from trainjob.errors import EntryPointError
from trainjob.hyperparameters import plain
from trainjob.launching import child, sm_variables
from trainjob.launching.stderr_tee import StderrTee
from trainjob.stop import StopRequested

_S3, _FILE = "s3://", "file://"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A process to start: argv is passed as it stands, no shell reads it."""

    argv: tuple[str, ...]
    environ: Mapping[str, str]
    folder: Path | None = None
    """Where it runs; None for where the launcher runs."""
    installs: bool = False
    """Whether packages were installed for it."""


def program(env: JobEnvironment, environ: Mapping[str, str]) -> str | None:
    """The script the job names, relative to its code: by SAGEMAKER_PROGRAM, else by the hyperparameter."""
    return environ.get(contract.PROGRAM) or plain(env.hyperparameters.get(contract.HP_PROGRAM, "")) or None


def prepare(env: JobEnvironment, script: str, environ: Mapping[str, str]) -> Command:
    """Fetch the code, install what it requires, and say how to run the script.

    Raises:
        EntryPointError: The code cannot be had, does not hold the script, or its requirements cannot be installed.
    """
    code = env.paths.code
    fetch(env, code)
    is_package = (code / "setup.py").is_file()
    if not (code / script).is_file():
        held = ", ".join(sorted(path.name for path in code.iterdir()))
        raise EntryPointError(
            f"The code in {code} holds no '{script}', only: {held}. Give {contract.HP_PROGRAM} relative to its root."
        )
    start = _interpreter(code, script, is_package=is_package)
    installs = _install(code, environ, is_package=is_package)
    python_path = os.pathsep.join(filter(None, (str(code), environ.get("PYTHONPATH"))))
    # Unbuffered, because a script's print() into a pipe would else reach the log only at its end.
    variables = {"PYTHONUNBUFFERED": "1", **environ, **sm_variables.variables(env, script, environ)}
    return Command(
        argv=(*start, *sm_variables.arguments(env)),
        environ={**variables, "PYTHONPATH": python_path},
        folder=code,
        installs=installs,
    )


def fetch(env: JobEnvironment, code: Path) -> None:
    """Fill the code folder from sagemaker_submit_directory; one that is not empty is used as it is.

    Raises:
        EntryPointError: There is no code, or it cannot be fetched; the folder is then empty as before.
    """
    if code.is_dir() and any(code.iterdir()):
        return
    source = plain(env.hyperparameters.get(contract.HP_SUBMIT_DIRECTORY, ""))
    if not source:
        raise EntryPointError(
            f"The job names a script, but {code} is empty and no code is named; set the hyperparameter "
            f"{contract.HP_SUBMIT_DIRECTORY} to a folder, a .tar.gz or an s3:// address."
        )
    code.mkdir(parents=True, exist_ok=True)
    try:
        if source.startswith(_S3):
            with tempfile.TemporaryDirectory() as folder:
                archive = Path(folder, "sourcedir.tar.gz")
                _download(source, archive)
                _extract(archive, code)
        else:
            _copy(Path(source.removeprefix(_FILE)), code)
    except BaseException:
        # Half of the code would be taken for all of it by the next attempt.
        for path in code.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        raise


def _copy(source: Path, code: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, code, symlinks=True, dirs_exist_ok=True)
    elif not source.is_file():
        raise EntryPointError(
            f"{contract.HP_SUBMIT_DIRECTORY} is '{source}', which does not exist here; "
            "give a folder or a .tar.gz that the container can see, or an s3:// address."
        )
    elif source.suffix == ".py":
        shutil.copy2(source, code)
    else:
        _extract(source, code)


def _extract(archive: Path, code: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            if hasattr(tarfile, "data_filter"):
                tar.extractall(code, filter="data")  # refuses what would leave the folder
            else:  # before Python 3.11.4; Debian 12 has 3.11.2
                tar.extractall(code, [_harmless(member) for member in tar])  # noqa: S202 - as checked there
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        if failure.is_full_disk(error):
            raise
        raise EntryPointError(
            f"The code in {archive} cannot be unpacked: {' '.join(str(error).split())}; "
            "make the archive with `tar -czf sourcedir.tar.gz -C SOURCE_DIR .`"
        ) from error


def _harmless(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """An archive's member, if it stays in its folder: what tarfile's own filter refuses, and links upwards too."""
    names = (member.name, member.linkname) if member.islnk() or member.issym() else (member.name,)
    if any(name.startswith("/") or ".." in Path(name).parts for name in names):
        raise tarfile.ExtractError(f"{' -> '.join(names)} leads out of the folder")
    if member.isdev():
        raise tarfile.ExtractError(f"{member.name} is a device or a FIFO")
    member.mode &= 0o755
    return member


def _download(address: str, target: Path) -> None:
    try:
        # Here and nowhere else: outside an image the toolkit, and the AWS client it brings, need not be installed.
        files = importlib.import_module("sagemaker_training.files")
    except ImportError as error:
        raise EntryPointError(
            f"{contract.HP_SUBMIT_DIRECTORY} is '{address}', but nothing here can fetch from S3 ({error}); "
            "install sagemaker-training, or give a local folder or .tar.gz."
        ) from error
    try:
        files.s3_download(address, str(target))
    except StopRequested:
        raise
    except Exception as error:
        # Its classes are the AWS client's, which is not imported here.
        raise EntryPointError(
            f"The code {address} cannot be fetched: {error}; "
            "check the address, the role's right to read it and the network."
        ) from error


def _interpreter(code: Path, script: str, *, is_package: bool) -> tuple[str, ...]:
    if script.endswith(".sh"):
        return (*_shebang(code / script), script)
    if is_package:
        return (sys.executable, "-m", script.removesuffix(".py").replace("/", "."))
    if script.endswith(".py"):
        return (sys.executable, script)
    raise EntryPointError(f"The script '{script}' is neither .py nor .sh, and its code has no setup.py; rename it.")


def _shebang(script: Path) -> tuple[str, ...]:
    # Read here and not left to the kernel: the file may lack its x bit, or lie where nothing may be executed.
    with script.open("rb") as file:
        first = file.readline(256)
    words = first[2:].decode(errors="replace").split(maxsplit=1) if first.startswith(b"#!") else []
    return tuple(word.strip() for word in words) or ("/bin/sh",)


def _install(code: Path, environ: Mapping[str, str], *, is_package: bool) -> bool:
    """Install what the code needs; whether that was anything."""
    requirements = code / "requirements.txt"
    wanted = [*(["."] if is_package else []), *(["-r", requirements.name] if requirements.is_file() else [])]
    if not wanted:
        return False
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *wanted]
    installer = child.start(pip, environ, code)
    try:
        with StderrTee(installer.stderr) as tee:
            installer.wait()
    except BaseException:
        installer.kill()
        installer.wait()
        raise
    if installer.returncode:
        lines = [line for line in tee.tail.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise EntryPointError(
            f"`pip install {' '.join(wanted)}` failed for the code in {code}: {' '.join(errors[-3:])} "
            "Check the names and versions, and that a package index can be reached from here."
        )
    return True
