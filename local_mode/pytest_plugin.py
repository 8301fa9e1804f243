"""A pytest plugin: the fixture `local_sagemaker` gives a test a SageMaker, an S3 and a role of its own.

Light until a test asks for the fixture. What can be set, `local_sagemaker_options` says; redefine it in a conftest.py.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local_mode.endpoint import Endpoint, Files, launch
from local_mode.shell import UNSET, variables

_KILL_SECONDS = 60
"""What packing and uploading may take after a job's program has ended."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How jobs run in tests."""

    runtime: str = "auto"
    """auto: in Docker, if an engine answers and has the image, else as a process. docker, process: only so."""
    stand_ins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What runs in place of an image without Docker, by the image's name: `interpreter`, the absolute path of a
    Python; `train`, its arguments, such as ["-m", "my_package.train"]; and, if need be, `python_path`, folders of
    modules (under bubblewrap a program sees nothing else of /tmp), and `environment`."""
    region: str = "us-east-1"
    stop_grace: float = 5
    """Seconds from SIGTERM to SIGKILL, for StopTrainingJob and for jobs that run when their test ends; AWS's is 120."""
    choose: Mapping[str, str] = field(default_factory=dict)
    """What `serve --choose` takes, such as {"shards": "contiguous"}: where SageMaker is not known."""


@dataclass(frozen=True, kw_only=True)
class LocalSageMaker:
    """The endpoint of one test."""

    url: str
    region: str
    environment: Mapping[str, str]
    """What leads a process there; set already for the test itself and for what it starts."""
    root: Path
    """Its folder: a job's log, record and archives lie in jobs/NAME."""

    def log(self, job: str = "") -> str:
        """What the program of a job has written, host after host; without a name, what the endpoint has said."""
        files = sorted((self.root / "jobs" / job / "logs").glob("*.log")) if job else [Files(root=self.root).log]
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


@pytest.fixture(scope="session")
def local_sagemaker_options() -> Options:
    """Redefine this fixture to set options, in whatever scope."""
    return Options()


@pytest.fixture
def local_sagemaker(
    local_sagemaker_options: Options, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalSageMaker]:
    """A local SageMaker of the test's own; every AWS client that is made in the test calls it, and never AWS."""
    files = Files(root=tmp_path_factory.mktemp("local_sagemaker"))
    process, endpoint = start_endpoint(files, local_sagemaker_options)
    try:
        with monkeypatch.context() as patch:
            environment = _lead(patch, files, endpoint)
            yield LocalSageMaker(url=endpoint.url, region=endpoint.region, environment=environment, root=files.root)
    finally:
        end_endpoint(process, local_sagemaker_options.stop_grace)


def start_endpoint(files: Files, options: Options) -> tuple[subprocess.Popen[bytes], Endpoint]:
    """An endpoint in a folder of its own, once it answers."""
    stand_ins = files.root / "stand_ins.json"
    stand_ins.write_text(json.dumps({image: _placed(entry) for image, entry in options.stand_ins.items()}))
    arguments = ["--tied", "--port", "0", "--root", str(files.root), "--runtime", options.runtime]
    arguments += ["--stand-ins", str(stand_ins), "--stop-grace", str(options.stop_grace), "--region", options.region]
    arguments += [word for name, value in options.choose.items() for word in ("--choose", f"{name}={value}")]
    # Not in the project's folder, where something of its own may be called local_mode.
    return launch(files, arguments, stdin=subprocess.PIPE, cwd=files.root)


def _placed(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A stand-in whose folders are found from anywhere."""
    return {**entry, "python_path": [str(Path(folder).absolute()) for folder in entry.get("python_path", ())]}


def _lead(patch: pytest.MonkeyPatch, files: Files, endpoint: Endpoint) -> dict[str, str]:
    import boto3  # noqa: PLC0415  # a test session that never comes here should not pay for it

    environment = variables(files, endpoint, os.environ)
    for name in UNSET:
        patch.delenv(name, raising=False)
    for name, value in environment.items():
        patch.setenv(name, value)
    # boto3 keeps the credentials it found first, for all clients made without a session.
    patch.setattr(boto3, "DEFAULT_SESSION", None)
    return environment


def end_endpoint(process: subprocess.Popen[bytes], grace: float) -> None:
    """End it, jobs included."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(grace + _KILL_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdin:
            process.stdin.close()
