"""The endpoint as others find it: a file in the root folder says where it is and with which key it is called."""

import contextlib
import fcntl
import hmac
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from local_mode.errors import LocalModeError

DEFAULT_PORT = 4640
_START_SECONDS = 60
_LOOK_SECONDS = 0.02
_TELEMETRY = "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A running endpoint."""

    pid: int
    url: str
    region: str
    access_key: str
    secret: str

    @property
    def proxy_password(self) -> str:
        """What the proxy is asked with: it tells nothing of the secret, and lives as long."""
        return hmac.new(self.secret.encode(), b"proxy", "sha256").hexdigest()[:32]


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
    def objects(self) -> Path:
        """The objects of the embedded S3."""
        return self.root / "s3"

    @property
    def authority(self) -> Path:
        """The certificate of the endpoint's own authority."""
        return self.root / "ca.pem"

    @property
    def authority_key(self) -> Path:
        """Its key."""
        return self.root / "ca_key.pem"

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
    withdraw(files)  # one that was killed left its file: its process is another by now, and not for `end` to signal
    return held


def access_key(files: Files) -> tuple[str, str]:
    """Id and secret: those of the last endpoint here, or new ones."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        kept = json.loads(files.key.read_text(encoding="utf-8"))
        return str(kept["access_key"]), str(kept["secret"])
    made = {"access_key": f"LOCAL{secrets.token_hex(8).upper()}", "secret": secrets.token_urlsafe(30)}
    write_private(files.key, json.dumps(made))
    return made["access_key"], made["secret"]


def publish(files: Files, endpoint: Endpoint) -> None:
    """Let others find the endpoint."""
    write_private(files.sdk, _TELEMETRY)
    write_private(files.endpoint, json.dumps(asdict(endpoint), indent=2))


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


def start_in_background(files: Files, arguments: Sequence[str]) -> Endpoint:
    """Start `serve` with `arguments` as a process that outlives this one; returns when it answers.

    Raises:
        LocalModeError: it ends at once; the text is what it said.
    """
    with contextlib.suppress(LocalModeError):
        return find(files)
    return launch(files, arguments, stdin=subprocess.DEVNULL)[1]


def launch(
    files: Files, arguments: Sequence[str], *, stdin: int, cwd: Path | None = None
) -> tuple[subprocess.Popen[bytes], Endpoint]:
    """Start `serve` with `arguments` as a process of its own, its output in the log; returns when it answers.

    Raises:
        LocalModeError: it ends at once, or does not answer; the text is what it said.
    """
    files.root.mkdir(parents=True, exist_ok=True)
    with files.log.open("ab") as log:
        begin = log.tell()
        argv = [sys.executable, "-m", "local_mode", "serve", *arguments]
        process = subprocess.Popen(argv, stdin=stdin, stdout=log, stderr=log, start_new_session=True, cwd=cwd)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(LocalModeError):
            return process, find(files)
        time.sleep(_LOOK_SECONDS)
    process.kill()
    process.wait()
    if process.stdin:
        process.stdin.close()
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


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, and for its owner's eyes only."""
    half = path.with_name(f".{path.name}.part")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    half.replace(path)
