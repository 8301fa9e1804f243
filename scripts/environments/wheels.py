"""Which build of a framework fits this machine, and its installation from the image's locks."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from scripts.environments.environment import Environment, SetupError, key_of, say

FULL_SIZES = {
    "torch": "2.9 GB to download, 5.4 GB on disk",
    "tensorflow": "3.9 GB to download, 7.4 GB on disk",
}
LIGHT_SIZES = {"torch": "about 190 MB to download", "tensorflow": "about 320 MB to download, 1.5 GB on disk"}
REST_SIZE = "about 50 MB"
"""What torch stands on. All measured with the locks of November 2026."""
NOT_ON_A_HOST = ("sagemaker-training", "nvidia-dali-tf-plugin-cuda[0-9]+")
"""The image's front door, without which the process runner starts programs, and DALI's plugin, which those programs do
not need. Both come as source that needs a compiler."""

BESIDE = ("torchvision",)
"""What a CPU build of torch gets out of the image's lock, without its dependencies: 8 MB. Its compiled half wants the
torch of that lock, CUDA and all; its networks, which are Python, do not."""


def locks(folder: Path) -> tuple[Path, Path]:
    """The image's lock, and that of all but the framework for use beside a CPU build of it."""
    return folder / "requirements.lock", folder / "requirements-cpu.lock"


def key(folder: Path) -> str:
    """Names all that decides what `install` puts into an environment."""
    return "+".join((key_of(*locks(folder)), *BESIDE))


def install(environment: Environment, framework: str, folder: Path) -> None:
    """Installs what suits the machine: with a GPU the image's lock, else a CPU build, else the image's lock after all.

    Args:
        environment: where to.
        framework: its name, for pip and for `import`.
        folder: the image's, which holds the locks.

    Raises:
        SetupError: pip failed.
    """
    if has_gpu():
        say(f"{framework} with CUDA, for this machine's GPU: {FULL_SIZES[framework]}")
        _install_image_lock(environment, folder)
    elif _locked_cpu_build(framework, folder):
        say(f"{framework} for CPUs, as locked: {LIGHT_SIZES[framework]}")
        # Without dependencies: the lock holds all of them, but for `framework`, whose place its CPU build takes.
        environment.pip("install", "--no-deps", "--require-hashes", "--requirement", str(locks(folder)[1]))
    elif wheel := _wheel_at_hand(environment, framework):
        version, path = wheel
        size = f"{path.stat().st_size / 1e6:.0f} MB" if path.exists() else LIGHT_SIZES[framework]
        say(f"{framework} {version} for CPUs, from pip's find-links ({size}); {REST_SIZE} more to download")
        environment.pip("install", "--require-hashes", "--requirement", str(locks(folder)[1]))
        environment.pip("install", "--no-index", "--no-deps", f"{framework}=={version}")
        _install_beside(environment, folder)
    elif uv := _uv_with_cpu_build(environment, framework, folder):
        say(f"{framework} for CPUs, by uv's choice of backend: {LIGHT_SIZES[framework]}, and {REST_SIZE} more")
        environment.pip("install", "--require-hashes", "--requirement", str(locks(folder)[1]))
        _run_uv(uv)
        _install_beside(environment, folder)
    else:
        size = FULL_SIZES[framework]
        say(f"no CPU build of {framework} can be had here; the CUDA build, which runs on CPUs too: {size}")
        _install_image_lock(environment, folder)


def _locked_cpu_build(framework: str, folder: Path) -> bool:
    """Whether the CPU lock holds the framework itself: the package index has a CPU build of some, not of all."""
    return re.search(rf"^{framework}-cpu==", locks(folder)[1].read_text(), re.MULTILINE) is not None


def has_gpu() -> bool:
    """Whether an NVIDIA GPU is in this machine, be it through WSL2."""
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return True
    if shutil.which("nvidia-smi") is None:
        return False
    return "GPU " in subprocess.run(["nvidia-smi", "-L"], check=False, capture_output=True, text=True).stdout


def _install_image_lock(environment: Environment, folder: Path) -> None:
    lock = environment.folder / "requirements.lock"
    lock.write_text(_block(NOT_ON_A_HOST).sub("", locks(folder)[0].read_text()))
    environment.pip("install", "--no-deps", "--require-hashes", "--requirement", str(lock))


def _install_beside(environment: Environment, folder: Path) -> None:
    found = _block(BESIDE).findall(locks(folder)[0].read_text())
    if found:
        lock = environment.folder / "requirements-beside.lock"
        lock.write_text("".join(found))
        environment.pip("install", "--no-deps", "--require-hashes", "--requirement", str(lock))


def _block(names: Iterable[str]) -> re.Pattern[str]:
    """Matches the lines of these packages in a lock; the names are patterns themselves."""
    return re.compile(rf"^(?:{'|'.join(names)})==.*\n(?:[ \t]+.*\n)*", re.MULTILINE)


def _wheel_at_hand(environment: Environment, framework: str) -> tuple[str, Path] | None:
    """Version and path of a CPU wheel in one of pip's find-links folders."""
    try:
        report = environment.pip(
            "install", "--dry-run", "--quiet", "--no-index", "--no-deps", "--report", "-", framework
        )
    except SetupError:
        return None  # nothing of that name, or nothing for this Python
    (found,) = json.loads(report)["install"]
    version = found["metadata"]["version"]
    # Without a local version it is the index's build, which does not import without its 2.7 GB of NVIDIA wheels.
    return (version, Path(unquote(urlsplit(found["download_info"]["url"]).path))) if "+cpu" in version else None


def _uv_with_cpu_build(environment: Environment, framework: str, folder: Path) -> list[str] | None:
    """The uv command that installs a CPU build; None where uv cannot be had or finds none."""
    pinned = re.search(rf"^{framework}==\S+", locks(folder)[0].read_text(), re.MULTILINE)
    if pinned is None:
        return None
    say(f"asking uv (25 MB) for a CPU build of {framework}")
    command = [str(environment.folder / "bin" / "uv"), "pip", "install", "--python", str(environment.python)]
    command += ["--torch-backend=cpu", "--no-deps", pinned[0]]
    try:
        environment.pip("install", "--quiet", "uv")
        _run_uv([*command, "--dry-run"])
    except SetupError as error:
        say(f"  {error}")
        return None
    return command


def _run_uv(command: list[str]) -> None:
    settings = {"UV_SYSTEM_CERTS": "1", "UV_NO_PROGRESS": "1"}
    result = subprocess.run(command, check=False, env=settings | os.environ, capture_output=True, text=True)
    if result.returncode != 0:
        said = " ".join(re.sub(r"[^\x00-\x7f]", " ", result.stderr).split())  # without its ornaments
        raise SetupError(f"uv failed: {said[-500:]}")
