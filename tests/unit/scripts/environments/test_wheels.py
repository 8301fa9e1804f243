import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scripts.environments import wheels
from scripts.environments.environment import SetupError

LOCK = """\
# made by a machine
numpy==2.4.6 \\
    --hash=sha256:00
    # via -r requirements.in
sagemaker-training==5.1.4 \\
    --hash=sha256:11 \\
    --hash=sha256:22
    # via -r requirements.in
torch==2.15.0 \\
    --hash=sha256:33
"""


@dataclass
class FakeEnvironment:
    """Records what pip was asked; finds the wheel it is told about."""

    folder: Path
    wheel: str | None = None
    asked: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def pip(self, *arguments: str) -> str:
        self.asked.append(arguments)
        if "--dry-run" not in arguments:
            return ""
        if self.wheel is None:
            raise SetupError("pip found no release")
        version = self.wheel.split("-")[1].replace("%2B", "+")
        url = f"file://{self.folder}/{self.wheel}"
        return json.dumps({"install": [{"metadata": {"version": version}, "download_info": {"url": url}}]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An image's folder."""
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "requirements.lock").write_text(LOCK)
    (tmp_path / "image" / "requirements-cpu.lock").write_text("numpy==2.4.6 --hash=sha256:00\n")
    return tmp_path / "image"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEnvironment:
    """An empty environment on a machine without a GPU, with a uv that finds nothing."""
    monkeypatch.setattr(wheels, "has_gpu", lambda: False)
    (tmp_path / "env" / "bin").mkdir(parents=True)
    put_uv(tmp_path / "env", "echo no such build >&2; exit 1")
    return FakeEnvironment(tmp_path / "env")


def put_uv(folder: Path, script: str) -> None:
    (folder / "bin" / "uv").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / "uv").chmod(0o755)


def test_gpu_machine_gets_the_lock_of_the_image(
    environment: FakeEnvironment, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(wheels, "has_gpu", lambda: True)
    environment.wheel = "torch-2.13.0%2Bcpu-cp311.whl"

    wheels.install(environment, "torch", folder)

    assert [call[:3] for call in environment.asked] == [("install", "--no-deps", "--require-hashes")]
    assert "torch with CUDA, for this machine's GPU: 2.9 GB to download" in capsys.readouterr().err


def test_lock_of_the_image_is_taken_without_its_front_door(
    environment: FakeEnvironment, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(wheels, "has_gpu", lambda: True)

    wheels.install(environment, "torch", folder)

    kept = (environment.folder / "requirements.lock").read_text()
    assert "sagemaker-training" not in kept
    assert "sha256:22" not in kept
    assert "numpy==2.4.6 \\\n    --hash=sha256:00" in kept
    assert kept.endswith("torch==2.15.0 \\\n    --hash=sha256:33\n")


def test_wheel_at_hand_is_taken_before_anything_is_downloaded(
    environment: FakeEnvironment, folder: Path, capsys: pytest.CaptureFixture[str]
):
    environment.wheel = "torch-2.13.0%2Bcpu-cp311.whl"
    (environment.folder / "torch-2.13.0+cpu-cp311.whl").write_bytes(b"0" * 3_000_000)

    wheels.install(environment, "torch", folder)

    assert environment.asked[-1] == ("install", "--no-index", "--no-deps", "torch==2.13.0+cpu")
    assert str(folder / "requirements-cpu.lock") in environment.asked[-2]
    assert "torch 2.13.0+cpu for CPUs, from pip's find-links (3 MB); about 50 MB more" in capsys.readouterr().err


def test_torchvision_comes_beside_a_cpu_build_without_the_torch_it_asks_for(environment: FakeEnvironment, folder: Path):
    environment.wheel = "torch-2.13.0%2Bcpu-cp311.whl"
    (folder / "requirements.lock").write_text(LOCK + "torchvision==0.29.2 \\\n    --hash=sha256:55\n")

    wheels.install(environment, "torch", folder)

    lock = environment.folder / "requirements-beside.lock"
    assert environment.asked[-1] == ("install", "--no-deps", "--require-hashes", "--requirement", str(lock))
    assert lock.read_text() == "torchvision==0.29.2 \\\n    --hash=sha256:55\n"


def test_cuda_wheel_at_hand_is_no_cpu_build(environment: FakeEnvironment, folder: Path):
    environment.wheel = "torch-2.15.0-cp311.whl"

    wheels.install(environment, "torch", folder)

    assert ("install", "--no-index", "--no-deps", "torch==2.15.0") not in environment.asked


def test_uv_gets_the_cpu_build_of_the_locked_version(
    environment: FakeEnvironment, folder: Path, capsys: pytest.CaptureFixture[str]
):
    put_uv(environment.folder, f'echo "$@" >> {environment.folder}/uv.log')

    wheels.install(environment, "torch", folder)

    command = f"pip install --python {environment.python} --torch-backend=cpu --no-deps torch==2.15.0"
    assert (environment.folder / "uv.log").read_text() == f"{command} --dry-run\n{command}\n"
    assert str(folder / "requirements-cpu.lock") in environment.asked[-1]
    assert "torch for CPUs, by uv's choice of backend: about 190 MB to download" in capsys.readouterr().err


def test_cuda_build_comes_last_and_its_size_is_told(
    environment: FakeEnvironment, folder: Path, capsys: pytest.CaptureFixture[str]
):
    wheels.install(environment, "torch", folder)

    said = capsys.readouterr().err
    assert "uv failed: no such build" in said
    assert "no CPU build of torch can be had here; the CUDA build, which runs on CPUs too: 2.9 GB to download" in said
    assert str(environment.folder / "requirements.lock") in environment.asked[-1]


def test_cpu_build_that_is_locked_itself_is_installed_from_its_lock_alone(
    environment: FakeEnvironment, folder: Path, capsys: pytest.CaptureFixture[str]
):
    lock = folder / "requirements-cpu.lock"
    lock.write_text("tensorflow-cpu==2.21.0 --hash=sha256:00\n")

    wheels.install(environment, "tensorflow", folder)

    # Without dependencies: another package of the lock asks for `tensorflow`, which must not come as well.
    assert environment.asked == [("install", "--no-deps", "--require-hashes", "--requirement", str(lock))]
    assert "tensorflow for CPUs, as locked: about 320 MB to download" in capsys.readouterr().err


def test_plugin_that_needs_a_compiler_is_left_to_the_image(
    environment: FakeEnvironment, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(wheels, "has_gpu", lambda: True)
    plugin = "nvidia-dali-tf-plugin-cuda120==2.4.0 \\\n    --hash=sha256:44\n"
    (folder / "requirements.lock").write_text(LOCK + plugin)

    wheels.install(environment, "tensorflow", folder)

    assert "sha256:44" not in (environment.folder / "requirements.lock").read_text()
