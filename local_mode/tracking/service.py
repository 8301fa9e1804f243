"""Jobs followed for MLflow: each is written down, and a process beside this one sends it where that is asked for."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue

from local_mode.errors import LocalModeError
from local_mode.jobs.request import TrainingJobRequest
from local_mode.tracking.machine import Machine
from local_mode.tracking.recorder import Recorder
from local_mode.tracking.sender import LAST_SECONDS
from local_mode.tracking.spool import spool_folder

VARIABLE = "MLFLOW_TRACKING_URI"
FIRST_SAMPLE_SECONDS = 1.0
SAMPLE_SECONDS = 10.0
"""Between two looks at the machine, as MLflow itself does it."""
_GIT_SECONDS = 5
_LOOK_SECONDS = 1.0
_GRACE_SECONDS = 2
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the sender tries again by itself
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
}


def local_store(root: Path) -> str:
    """The URI of the store beside the jobs."""
    return f"sqlite:///{root.resolve() / 'mlflow' / 'mlflow.db'}"


def where(asked: str | None, root: Path, caller: Mapping[str, str]) -> str:
    """Where runs are to be sent: what `--track` names, else MLFLOW_TRACKING_URI, else the store beside the jobs.

    Empty when it was not asked for.

    Raises:
        LocalModeError: a package that it takes is not installed.
    """
    if asked is None:
        return ""
    uri = asked or caller.get(VARIABLE) or local_store(root)
    missing = [name for name in ("mlflow", "sqlalchemy") if find_spec(name) is None]
    if uri.startswith("arn:") and find_spec("sagemaker_mlflow") is None:
        missing.append("sagemaker-mlflow")
    if missing:
        raise LocalModeError(
            f"`--track` {uri.partition('@')[0]} needs {missing[0]}, which is not installed: pip install {missing[0]}; "
            "without --track jobs are written down, and `make experiments` shows them later."
        )
    return uri


def shared(uri: str) -> dict[str, str]:
    """What programs are told of a tracking server that they can reach; of a file of this machine nothing."""
    return {VARIABLE: uri} if uri.startswith(("http://", "https://", "arn:")) else {}


def followed(tracking: "Tracking", request: TrainingJobRequest) -> Recorder:
    """Who follows the job of a request."""
    return tracking.follow(request.TrainingJobName, request.AlgorithmSpecification.TrainingImage)


class Tracking:
    """Of one root folder. Safe to use from several threads."""

    def __init__(
        self, root: Path, *, uri: str, note: Callable[[str], None], image_id: Callable[[str], str] = lambda _: ""
    ) -> None:
        """`uri` is where runs go; empty for nowhere yet. `image_id` tells the digest of an image, where it has one."""
        self._root, self._uri, self._note, self._image_id = root.resolve(), uri, note, image_id
        self._begun: SimpleQueue[tuple[Recorder, str]] = SimpleQueue()
        self._over = threading.Event()
        self._sender: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._lock = threading.Lock()

    def follow(self, name: str, image: str | None) -> Recorder:
        """Who follows the job of this name, which is about to be created."""
        return Recorder(self._root, name, self._note, lambda recorder: self._begin(recorder, image or ""))

    def start(self) -> None:
        """Start to send, if runs go somewhere."""
        if self._uri and self._sender is None:
            self._sender = start_sender(self._root, self._uri)
            threading.Thread(target=self._tell, args=(self._sender,), daemon=True, name="sender").start()

    def close(self) -> None:
        """Send what is left, for some seconds."""
        self._over.set()
        if self._watcher:
            self._watcher.join(_GRACE_SECONDS)
        if self._sender:
            end_sender(self._sender)

    def _begin(self, recorder: Recorder, image: str) -> None:
        self._begun.put((recorder, image))
        with self._lock:
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, daemon=True, name="tracking")
                self._watcher.start()

    def _watch(self) -> None:
        """Find out what a job's record does not say, and look at the machine while jobs run."""
        machine = Machine(self._root)
        following: list[Recorder] = []
        due = time.monotonic() + FIRST_SAMPLE_SECONDS
        while not self._over.is_set():
            with contextlib.suppress(Empty):
                recorder, image = self._begun.get(timeout=max(0.0, min(due - time.monotonic(), _LOOK_SECONDS)))
                following.append(recorder)
                recorder.facts(self._facts(image))
            if time.monotonic() < due:
                continue
            following = [each for each in following if not each.has_ended]
            sample = machine.sample() if following else {}
            for recorder in following:
                recorder.sample(sample)
            due = time.monotonic() + SAMPLE_SECONDS

    def _facts(self, image: str) -> dict[str, str]:
        found = {"sagemaker.image_digest": self._image_id(image), "mlflow.source.git.commit": commit(Path.cwd())}
        return {name: value for name, value in found.items() if value}

    def _tell(self, sender: "subprocess.Popen[bytes]") -> None:
        for line in sender.stdout or ():
            self._note(f"tracking: {line.decode('utf-8', 'replace').rstrip()}")


def start_sender(root: Path, uri: str) -> "subprocess.Popen[bytes]":
    """A sender of its own process group, so that a Ctrl-C does not end it before the last is sent."""
    folder = spool_folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "sender.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "local_mode.tracking.sender", str(root)],
            env={**_SETTINGS, **os.environ, VARIABLE: uri},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )


def end_sender(sender: "subprocess.Popen[bytes]") -> None:
    """Have a sender send what is left; what it cannot within its time is the next one's."""
    if sender.stdin:
        sender.stdin.close()
    try:
        sender.wait(LAST_SECONDS + _GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        sender.kill()
        sender.wait()


def commit(folder: Path) -> str:
    """The commit that a folder is at, with `-dirty` where it is not quite that; empty outside git."""
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=_GIT_SECONDS).stdout.strip()
    return ""
