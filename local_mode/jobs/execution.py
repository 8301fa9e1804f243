"""One attempt at a job: its hosts given their data, started, followed, stopped, and what they leave collected."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from local_mode.errors import ArtifactError, RunnerError
from local_mode.instance import artifacts, opt_ml
from local_mode.jobs.control import Control
from local_mode.jobs.door import Door, open_door
from local_mode.jobs.host_run import HostRun
from local_mode.jobs.metrics import MetricScanner
from local_mode.jobs.task import Task
from local_mode.runners.protocol import Network

_LOOK_SECONDS = 0.1
_AFTER_KILL_SECONDS = 60
"""A killed container that still runs after this is stuck in the kernel."""
_CLASHES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a job's containers ended."""

    exit_code: int
    """Of the first that failed by itself; 0 when none did."""
    stopped_by: str | None
    """Secondary status of a job that was stopped or interrupted; None when it ended by itself."""


class Execution:
    """All hosts of a job on this machine, once. `close` must follow, whatever happens."""

    def __init__(self, task: Task, metrics: MetricScanner) -> None:
        """`metrics` are the job's, over all attempts."""
        self._task = task
        self._request = task.request
        self._hosts = [HostRun(task, name) for name in task.cluster.hosts]
        self._network: Network | None = None
        self._door: Door | None = None
        self._failed: HostRun | None = None
        """The host whose failure is the job's: the first that was seen."""
        self._metrics = metrics

    def prepare(self) -> None:
        """Write /opt/ml, bring checkpoints and the channels that are copied.

        Raises:
            LocalModeError: a checkpoint or an object cannot be copied.
        """
        for host in self._hosts:
            host.write()
            host.restore_checkpoints()
        for host in self._hosts:
            host.bring()

    def start(self) -> None:
        """Start the feeders and the containers.

        Raises:
            LocalModeError: a container cannot be started.
        """
        names, isolated = self._task.cluster.hosts, self._request.EnableNetworkIsolation
        for host in self._hosts:
            host.feed()
        interface = self._task.settings.choices.nic
        folder = self._task.folder.path
        self._network = self._task.runner.connect(folder, names, isolated=isolated, interface=interface)
        self._door = open_door(self._request, self._network, self._task.settings.door, self._task.listener)
        for host in self._hosts:
            host.start(self._network, self._door.environment if self._door else {})

    def run(self, control: Control, on_stop: Callable[[str], None]) -> Ended:
        """Follow the containers to the end of all; `on_stop` is told the secondary status a stop leads to.

        Raises:
            FeederError: a channel could not be fed; the containers were killed for it.
            RunnerError: a killed container does not end.
        """
        self._each(lambda host: host.follow(self._take))
        stopped_by = None
        kill_at, give_up_at = float("inf"), float("inf")
        while not self._have_ended(by_themselves=stopped_by is None and give_up_at == float("inf")):
            now = time.monotonic()
            reason = control.reason(stopped_by) if self._failed is None else stopped_by
            if reason is not None and reason != stopped_by:
                on_stop(reason)
                if stopped_by is None:
                    self._each(HostRun.terminate)
                    kill_at = now + self._task.settings.grace_seconds
                stopped_by = reason
            if now > kill_at or control.kill.is_set() or self._failed or self._fed_badly():
                self._each(HostRun.kill)
                kill_at, give_up_at = float("inf"), min(give_up_at, now + _AFTER_KILL_SECONDS)
            if now > give_up_at:
                raise RunnerError(f"A container was killed and still runs after {_AFTER_KILL_SECONDS} s.")
        self._each(HostRun.finish)  # a feeder's last word on every channel comes before the next status
        for host in self._hosts:
            if error := host.feeder_error():
                raise error
        return Ended(exit_code=(self._failed and self._failed.exit_code) or 0, stopped_by=stopped_by)

    def failure_text(self) -> str | None:
        """What the failed program wrote to output/failure, after `collect`; None if nothing.

        Of one of several hosts that wrote nothing, as one that was killed: which it was.
        """
        texts = (opt_ml.failure_text(host.paths) for host in ([self._failed] if self._failed else self._hosts))
        text = next((text for text in texts if text is not None), None)
        if text is None and self._failed is not None and len(self._hosts) > 1:
            return f"host {self._failed.name} ended without a word in output/failure"
        return text

    def collect(self) -> None:
        """Bring back artifacts, TensorBoard's files and checkpoints.

        Raises:
            LocalModeError: something cannot be read or written; all that can be is.
        """
        with contextlib.ExitStack() as left:  # last first, and each whatever became of the others
            left.callback(self.save_checkpoints)
            left.callback(self._each, HostRun.save_tensorboard)
            self._collect_artifacts()

    def save_checkpoints(self) -> None:
        """Bring the last checkpoints out; keep them with the job where they have no other place.

        Raises:
            LocalModeError: they cannot be brought to S3Uri; they are with the job then.
        """
        several = len(self._hosts) > 1
        self._each(lambda host: host.save_checkpoints(self._task.folder.checkpoints(host.name if several else None)))

    def _collect_artifacts(self) -> None:
        self._each(HostRun.collect)
        models = [host.paths.model for host in self._hosts]
        if not any(any(model.iterdir()) for model in models if model.is_dir()):
            self._task.listener.note("the program left nothing in model/: model.tar.gz is empty")
        folder, output, note = self._task.folder.path, self._request.OutputDataConfig, self._task.listener.note
        left = {host.name: host.paths for host in self._hosts}
        packed = artifacts.pack(left, folder) if output.is_compressed else artifacts.lay_out(left, folder, note)
        clashing = [_clash(name, clashes) for name, clashes in packed.items() if clashes]
        for text in clashing:
            note(text)
        self._task.outputs.publish(folder, output.S3OutputPath, self._request.TrainingJobName)
        if clashing and self._task.settings.choices.clashes == "fail":
            raise ArtifactError(f"{'; '.join(clashing)} (by the choice clashes=fail).")

    def close(self) -> None:
        """End what still runs and remove its traces."""
        with contextlib.ExitStack() as left:  # last first, and each whatever became of the others
            if self._network:
                left.callback(self._network.close)
            if self._door:
                left.callback(self._door.close)
            left.callback(self._each, HostRun.close)

    def _each(self, act: Callable[[HostRun], None]) -> None:
        """Do it to every host, also when it fails for one.

        Raises:
            Exception: what it first failed with.
        """
        problem: Exception | None = None
        for host in self._hosts:
            try:
                act(host)
            except Exception as error:  # noqa: BLE001  # raised below; a host's trouble is not to leave another running
                problem = problem or error
        if problem:
            raise problem

    def _have_ended(self, *, by_themselves: bool) -> bool:
        """Look at every container for a moment; which failed first is known to that moment."""
        running = [host for host in self._hosts if host.exit_code is None]
        for host in running:
            code = host.wait(_LOOK_SECONDS / len(running))
            if code and by_themselves and self._failed is None:
                self._failed = host
                if len(self._hosts) > 1:
                    self._task.listener.note(f"{host.name} ended with exit code {code}; the other hosts are ended")
        return all(host.exit_code is not None for host in self._hosts)

    def _fed_badly(self) -> bool:
        return any(host.feeder_error() for host in self._hosts)

    def _take(self, line: bytes, host: str) -> None:
        try:
            self._task.listener.line(line, host)
        finally:
            self._metrics.scan(line.decode("utf-8", "replace").rstrip("\n"), time.time())


def _clash(archive: str, names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_CLASHES_SHOWN]) + (" ..." if len(names) > _CLASHES_SHOWN else "")
    return (
        f"{archive}: several hosts wrote {shown}; the first host's is kept, SageMaker does not say whose it keeps: "
        "let one host write, or put the host's name in it"
    )
