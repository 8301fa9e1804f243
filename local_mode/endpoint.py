"""The endpoint as others find it: a file in the root folder says where it is and with which key it is called."""

import contextlib
import fcntl
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from local_mode.errors import LocalModeError

DEFAULT_PORT = 4640
_START_SECONDS = 60
_LOOK_SECONDS = 0.05
_TELEMETRY = "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n"
_UNSET = ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
          "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SAGEMAKER")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A running endpoint."""

    pid: int
    url: str
    region: str
    access_key: str
    secret: str


@dataclass(frozen=True, kw_only=True)
class Files:
    """What the endpoint keeps in its root folder."""

    root: Path

    @property
    def endpoint(self) -> Path:
        """There while an endpoint runs; its owner's alone, for it has the key."""
        return self.root / "endpoint.json"

    @property
    def key(self) -> Path:
        """The key, which outlives the endpoint, so that shells that have it can go on."""
        return self.root / "access_key.json"

    @property
    def lock(self) -> Path:
        """Held with flock by the endpoint."""
        return self.root / "endpoint.lock"

    @property
    def log(self) -> Path:
        """What an endpoint in the background says."""
        return self.root / "endpoint.log"

    @property
    def sdk(self) -> Path:
        """The SageMaker SDK's configuration for shells that use the endpoint."""
        return self.root / "sagemaker-config.yaml"


def hold(files: Files) -> int:
    """Take the root folder; the descriptor that holds it.

    Raises:
        LocalModeError: another endpoint has it, or it cannot be written.
    """
    try:
        files.root.mkdir(parents=True, exist_ok=True)
        held = os.open(files.lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LocalModeError(f"Cannot write to {files.root}: {error.strerror}; give another --root.") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise LocalModeError(f"An endpoint runs in {files.root} already; `env` says where, `down` ends it.") from None
    return held


def access_key(files: Files) -> tuple[str, str]:
    """Id and secret: those of the last endpoint here, or new ones."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        kept = json.loads(files.key.read_text(encoding="utf-8"))
        return str(kept["access_key"]), str(kept["secret"])
    made = {"access_key": f"LOCAL{secrets.token_hex(8).upper()}", "secret": secrets.token_urlsafe(30)}
    _write(files.key, json.dumps(made))
    return made["access_key"], made["secret"]


def publish(files: Files, endpoint: Endpoint) -> None:
    """Let others find the endpoint."""
    _write(files.sdk, _TELEMETRY)
    _write(files.endpoint, json.dumps(asdict(endpoint), indent=2))


def withdraw(files: Files) -> None:
    """Take the endpoint's file away."""
    files.endpoint.unlink(missing_ok=True)


def find(files: Files) -> Endpoint:
    """The endpoint that runs in a root folder.

    Raises:
        LocalModeError: none does.
    """
    if _is_held(files):
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Endpoint(**json.loads(files.endpoint.read_text(encoding="utf-8")))
    raise LocalModeError(f"No endpoint runs in {files.root}; start one with `make local-up` or `local-mode serve`.")


def exports(files: Files, endpoint: Endpoint, caller: Mapping[str, str]) -> str:
    """Shell commands that lead every AWS client of a shell to the endpoint."""
    direct = ",".join(dict.fromkeys(["127.0.0.1", "localhost", *filter(None, _no_proxy(caller).split(","))]))
    variables = {
        "AWS_ENDPOINT_URL": endpoint.url,
        "AWS_ACCESS_KEY_ID": endpoint.access_key,
        "AWS_SECRET_ACCESS_KEY": endpoint.secret,
        "AWS_REGION": endpoint.region,
        "AWS_DEFAULT_REGION": endpoint.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(files.sdk),
        "NO_PROXY": direct,
        "no_proxy": direct,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([f"unset {' '.join(_UNSET)}", *lines])


def start_in_background(files: Files, arguments: Sequence[str]) -> Endpoint:
    """Start `serve` with `arguments` as a process that outlives this one; returns when it answers.

    Raises:
        LocalModeError: it ends at once; the text is what it said.
    """
    with contextlib.suppress(LocalModeError):
        return find(files)
    files.root.mkdir(parents=True, exist_ok=True)
    with files.log.open("ab") as log:
        begin = log.tell()
        argv = [sys.executable, "-m", "local_mode", "serve", *arguments]
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, close_fds=True
        )
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(LocalModeError):
            return find(files)
        time.sleep(_LOOK_SECONDS)
    process.kill()
    said = files.log.read_bytes()[begin:].decode("utf-8", "replace").strip()
    raise LocalModeError(f"The endpoint did not start; {files.log} says: {said[-1000:] or 'nothing'}")


def end(files: Files, patience: float) -> None:
    """End the endpoint as SIGTERM does, jobs included; returns when it is gone.

    Raises:
        LocalModeError: there is none, or it still runs after `patience` seconds.
    """
    endpoint = find(files)
    os.kill(endpoint.pid, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while _is_held(files):
        if time.monotonic() > deadline:
            raise LocalModeError(f"The endpoint, process {endpoint.pid}, still runs; see {files.log}.")
        time.sleep(_LOOK_SECONDS)


def _no_proxy(caller: Mapping[str, str]) -> str:
    return caller.get("no_proxy") or caller.get("NO_PROXY") or ""


def _is_held(files: Files) -> bool:
    try:
        descriptor = os.open(files.lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and for its owner's eyes only."""
    half = path.with_name(f".{path.name}.part")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    half.replace(path)
