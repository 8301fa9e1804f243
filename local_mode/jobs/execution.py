"""One run of a job's container: data brought to it, started, followed, stopped, and what it leaves collected."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local_mode.errors import LocalModeError, RunnerError
from local_mode.instance import artifacts, checkpoints, opt_ml
from local_mode.instance.feeding import Feeding
from local_mode.instance.plan import ChannelPlan, copy_channel
from local_mode.jobs.folder import JobFolder
from local_mode.jobs.listener import Listener
from local_mode.jobs.metrics import MetricScanner
from local_mode.jobs.request import TrainingJobRequest
from local_mode.jobs.staging import Staging
from local_mode.runners.protocol import ChannelMount, Instance, Launch, Runner, mark

if TYPE_CHECKING:  # it brings boto3, which a job of this machine's files does without
    from local_mode.instance.s3 import S3

_LOOK_SECONDS = 0.1
_FIRST_FIFO_SECONDS = 10
_AFTER_KILL_SECONDS = 60
"""A killed container that still runs after this is stuck in the kernel."""
_LAST_LINES_SECONDS = 30
PIPE = "Pipe"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What belongs to this machine and not to the request."""

    shm_bytes: int
    grace_seconds: float
    """From SIGTERM to SIGKILL."""
    region: str
    s3: "S3 | None" = None
    """Serves s3:// places; None refuses them."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One job on this machine: the request, and what was made of it."""

    request: TrainingJobRequest
    plans: tuple[ChannelPlan, ...]
    staging: Staging
    runner: Runner
    folder: JobFolder
    settings: Settings
    environment: Mapping[str, str]
    """What the platform and the request set for the program."""
    listener: Listener


class Control:
    """What others ask of a running job."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.kill = threading.Event()


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a container ended."""

    exit_code: int
    stopped_by: str | None
    """Secondary status of a job that was stopped; None when it ended by itself."""


class Execution:
    """A job's container on this machine. `close` must follow, whatever happens."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._request = task.request
        self._synced = ""
        """The folder that checkpoints come from and go to."""
        self._restored: frozenset[str] = frozenset()
        self._feeding: Feeding | None = None
        self._instance: Instance | None = None
        self.metrics = MetricScanner(task.request.AlgorithmSpecification.MetricDefinitions)

    def prepare(self) -> None:
        """Write /opt/ml, bring checkpoints and the channels that are copied.

        Raises:
            LocalModeError: a checkpoint or an object cannot be copied.
        """
        config = self._request.CheckpointConfig
        isolated = self._request.EnableNetworkIsolation
        self._paths = opt_ml.write(
            self._task.folder.opt_ml,
            hyperparameters=self._request.HyperParameters or {},
            channels=[plan.spec for plan in self._task.plans],
            instance_type=self._request.ResourceConfig.InstanceType,
            network_interface=self._task.runner.network_interface(isolated=isolated),
            checkpoint_path=(config.LocalPath or opt_ml.CHECKPOINTS) if config else None,
        )
        if config:
            self._synced = self._task.staging.folder(config.S3Uri)
            self._restored = checkpoints.restore(self._synced, self._paths.checkpoints)
        self._task.staging.bring()
        for plan in self._task.plans:
            if plan.spec.mode != PIPE:
                self._bring(plan)

    def start(self) -> None:
        """Start the feeder and the container.

        Raises:
            LocalModeError: the container cannot be started.
        """
        piped = [plan for plan in self._task.plans if plan.spec.mode == PIPE]
        if piped:
            marker, progress = mark(self._task.folder.path), self._task.listener.progress
            self._feeding = Feeding(piped, folder=self._paths.data, marker=marker, progress=progress)
            self._await_fifos(self._feeding, [self._paths.fifo(plan.spec.name, 0) for plan in piped])
        self._instance = self._task.runner.start(self._launch(pipes=bool(piped)))

    def run(self, control: Control, on_stop: Callable[[str], None]) -> Ended:
        """Follow the container to its end; `on_stop` is told the secondary status a stop leads to.

        Raises:
            FeederError: a channel could not be fed; the container was killed for it.
            RunnerError: a killed container does not end.
        """
        instance = self._running()
        pump = threading.Thread(target=self._pump, args=(instance,), daemon=True, name="log")
        pump.start()
        stopped_by = None
        now = time.monotonic()
        runtime_end = now + self._request.StoppingCondition.MaxRuntimeInSeconds
        kill_at, give_up_at = float("inf"), float("inf")
        while (code := instance.wait(_LOOK_SECONDS)) is None:
            now = time.monotonic()
            if stopped_by is None and (control.stop.is_set() or now > runtime_end):
                stopped_by = "Stopped" if control.stop.is_set() else "MaxRuntimeExceeded"
                on_stop(stopped_by)
                instance.terminate()
                kill_at = now + self._task.settings.grace_seconds
            if now > kill_at or control.kill.is_set() or self._fed_badly():
                instance.kill()
                kill_at, give_up_at = float("inf"), min(give_up_at, now + _AFTER_KILL_SECONDS)
            if now > give_up_at:
                raise RunnerError(f"The container was killed and still runs after {_AFTER_KILL_SECONDS} s.")
        pump.join(_LAST_LINES_SECONDS)
        if self._feeding:
            self._feeding.stop()  # its last word on every channel comes before the next status
            if self._feeding.error:
                raise self._feeding.error
        return Ended(exit_code=code, stopped_by=stopped_by)

    def collect(self) -> str | None:
        """Bring back artifacts and checkpoints; what the program wrote to output/failure, None if nothing.

        Raises:
            LocalModeError: something cannot be read or written.
        """
        self._running().collect()
        if self._paths.model.is_dir() and not any(self._paths.model.iterdir()):
            self._task.listener.note("the program left nothing in model/: model.tar.gz is empty")
        config = self._request.CheckpointConfig
        if config:
            checkpoints.save(self._paths.checkpoints, self._synced, restored=self._restored)
            self._task.staging.send_folder(config.S3Uri)
        else:
            checkpoints.keep(self._paths.checkpoints, self._task.folder.checkpoints)
        artifacts.pack(self._paths, self._task.folder.path)
        output, name = self._request.OutputDataConfig.S3OutputPath, self._request.TrainingJobName
        self._task.staging.publish(self._task.folder.path, output, name)
        return opt_ml.failure_text(self._paths)

    def close(self) -> None:
        """End what still runs and remove its traces."""
        if self._feeding:
            self._feeding.stop()
        if self._instance:
            self._instance.close()

    def _running(self) -> Instance:
        if self._instance is None:
            raise RuntimeError("start the container first")
        return self._instance

    def _bring(self, plan: ChannelPlan) -> None:
        """The folder of a File or FastFile channel: a mount point, or a copy where nothing can be mounted."""
        folder = self._paths.channel(plan.spec.name)
        folder.mkdir()
        if self._is_mounted(plan):
            return
        try:
            copy_channel(plan, folder)
        except OSError as error:
            raise LocalModeError(
                f"Data download failed: cannot copy channel {plan.spec.name!r} to {folder}: {error.strerror}."
            ) from None

    def _is_mounted(self, plan: ChannelPlan) -> bool:
        return plan.spec.mode != PIPE and plan.root is not None and self._task.runner.protects_channels

    def _launch(self, *, pipes: bool) -> Launch:
        algorithm = self._request.AlgorithmSpecification
        mounts = [
            ChannelMount(channel=plan.spec.name, source=plan.root.resolve())
            for plan in self._task.plans
            if plan.root is not None and self._is_mounted(plan)
        ]
        return Launch(
            job_name=self._request.TrainingJobName,
            image=algorithm.TrainingImage,
            job_folder=self._task.folder.path,
            opt_ml=self._task.folder.opt_ml,
            mounts=tuple(mounts),
            entrypoint=algorithm.ContainerEntrypoint,
            arguments=algorithm.ContainerArguments,
            environment=self._task.environment,
            network_isolation=self._request.EnableNetworkIsolation,
            shm_bytes=self._task.settings.shm_bytes,
            pipes=pipes,
        )

    def _await_fifos(self, feeding: Feeding, fifos: list[Path]) -> None:
        """A program finds the first FIFO of each channel when it starts."""
        deadline = time.monotonic() + _FIRST_FIFO_SECONDS
        while not all(fifo.exists() for fifo in fifos):
            if feeding.error:
                raise feeding.error
            if time.monotonic() > deadline:
                raise RunnerError(f"The feeder made no FIFO within {_FIRST_FIFO_SECONDS} s.")
            time.sleep(0.005)

    def _fed_badly(self) -> bool:
        return self._feeding is not None and self._feeding.error is not None

    def _pump(self, instance: Instance) -> None:
        """Hand every line to the log file, the listener and the metrics."""
        told = False
        with self._task.folder.log.open("ab", buffering=0) as log:
            for line in instance.log_lines():
                try:
                    log.write(line)
                except OSError as error:
                    # Read on whatever happens: a program whose output nobody reads stands still.
                    if not told:
                        self._task.listener.note(f"cannot write {log.name}: {error.strerror}; lines are missing there")
                    told = True
                self._task.listener.line(line)
                self.metrics.scan(line.decode("utf-8", "replace").rstrip("\n"), time.time())
