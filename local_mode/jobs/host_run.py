"""One host of a running job: its /opt/ml, its feeder, its container and its log."""

import contextlib
import os
import secrets
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from local_mode.channels.copying import copy_channel
from local_mode.channels.fast_files import FastFiles
from local_mode.channels.feeding import Feeding
from local_mode.channels.objects import ObjectError
from local_mode.channels.plan import ChannelPlan
from local_mode.channels.s3_source import S3Source
from local_mode.errors import ArtifactError, FeederError, LocalModeError
from local_mode.instance import checkpoints, opt_ml
from local_mode.instance.checkpoint_sync import CheckpointSync
from local_mode.instance.cleaning import remove_tree
from local_mode.jobs.folder import JobFolder
from local_mode.jobs.forking import template
from local_mode.jobs.task import Task
from local_mode.runners.protocol import ChannelMount, Instance, Launch, Network, SharedFolder, mark

_LAST_LINES_SECONDS = 30
FILE, PIPE = "File", "Pipe"
Take = Callable[[bytes, str], None]
"""Called with a line of the log and the name of its host."""


class HostRun:
    """A host from its folder to its end. `close` must follow, whatever happens."""

    def __init__(self, task: Task, name: str) -> None:
        self.name = name
        self.exit_code: int | None = None
        """None until the container has ended."""
        self._task = task
        self._request = task.request
        self._plans = task.plans[name]
        config = task.request.CheckpointConfig
        self._checkpoints = checkpoint_mount(config.LocalPath, task.folder, name) if config else None
        self._sync: CheckpointSync | None = None
        self._tensorboard: CheckpointSync | None = None
        self._feeding: Feeding | None = None
        self._instance: Instance | None = None
        self._pump: threading.Thread | None = None
        s3 = task.settings.s3
        self._fast_files = FastFiles(
            task.folder.host(name) / "fast_file",
            marker=mark(task.folder.path),
            s3=s3.access if s3 else None,
            note=task.listener.note,
        )
        copied = (FILE,) if task.settings.choices.file_folders == "copied" else ()
        self._roots = {
            plan.spec.name: plan.root for plan in self._plans if plan.root is not None and plan.spec.mode not in copied
        }
        """Folders that can be mounted as channels."""

    def write(self) -> None:
        """Write /opt/ml, with nothing in it but what the platform says about the job; what was there before goes."""
        self._fast_files.close()
        remove_tree(self._task.folder.host(self.name))
        config = self._request.CheckpointConfig
        board = self._request.TensorBoardOutputConfig
        board_path = (board.LocalPath or opt_ml.TENSORBOARD) if board else ""
        isolated, cluster = self._request.EnableNetworkIsolation, self._task.cluster
        choices, count = self._task.settings.choices, len(cluster.hosts)
        self.paths = opt_ml.write(
            self._task.folder.opt_ml(self.name),
            hyperparameters=self._request.HyperParameters or {},
            channels=[plan.spec for plan in self._plans],
            cluster=cluster,
            host=self.name,
            network_interface=choices.nic or self._task.runner.network_interface(isolated=isolated, hosts=count),
            checkpoint_path=(config.LocalPath or opt_ml.CHECKPOINTS) if config else None,
            extra=f"local_mode_{secrets.token_hex(4)}" if choices.extra_keys == "random" else None,
            tensorboard={"S3OutputPath": board.S3OutputPath, "LocalPath": board_path} if board else None,
        )
        if board:
            self._tensorboard = CheckpointSync(
                self.paths.base / Path(board_path).relative_to(opt_ml.BASE),
                self._task.outputs.tensorboard(board.S3OutputPath, self._request.TrainingJobName),
                aside=self._task.folder.host(self.name) / "tensorboard-copy",
                note=self._task.listener.note,
                what="TensorBoard file",
                marks=False,  # its files are TensorBoard's alone: it would try to read any other
            )

    def restore_checkpoints(self) -> None:
        """Bring what lies at CheckpointConfig.S3Uri.

        Raises:
            LocalModeError: a checkpoint cannot be copied.
        """
        config = self._request.CheckpointConfig
        if config is not None and self._checkpoints is not None:
            store, note = self._task.outputs.checkpoints(config.S3Uri), self._task.listener.note
            aside = self._task.folder.host(self.name) / "copy"
            self._sync = CheckpointSync(self._checkpoints.source, store, aside=aside, note=note)
            self._sync.restore()

    def bring(self) -> None:
        """Bring the channels that are folders: as mount points, or as copies where nothing can be mounted.

        Raises:
            LocalModeError: an object cannot be copied.
        """
        for plan in self._plans:
            if plan.spec.mode == PIPE:
                continue
            folder = self.paths.channel(plan.spec.name)
            folder.mkdir()
            self._show(plan)
            if self._is_mounted(plan):
                continue
            s3 = self._task.settings.s3
            try:
                copy_channel(plan, folder, s3=S3Source(s3.access) if s3 else None)
            except ObjectError as error:
                raise LocalModeError(f"Data download failed: channel {plan.spec.name!r}: {error}") from None
            except OSError as error:
                raise LocalModeError(
                    f"Data download failed: cannot copy channel {plan.spec.name!r} to {folder}: {error.strerror}."
                ) from None

    def feed(self) -> None:
        """Start the feeder, if there is something to stream.

        Raises:
            FeederError: there will be no FIFOs.
        """
        if piped := self._piped():
            marker, progress = mark(self._task.folder.path), self._task.trace.progress
            s3 = self._task.settings.s3
            self._feeding = Feeding(
                piped,
                folder=self.paths.data,
                marker=marker,
                progress=lambda channel, epoch, sent, spent: progress(channel, epoch, sent, spent, self.name),
                s3=s3.access if s3 else None,
            )

    def start(self, network: Network, defaults: Mapping[str, str]) -> None:
        """Start the container, with variables that the request may set otherwise.

        Raises:
            LocalModeError: the container cannot be started.
        """
        self._instance = self._task.runner.start(self._launch(network, defaults))
        if self._sync:
            self._sync.start(self._instance.open_up)
        if self._tensorboard:
            # In Docker nothing is there before `collect`: /opt/ml is the container's own.
            self._tensorboard.start(lambda: None)

    def follow(self, take: Take) -> None:
        """Hand every line to the log file and to `take`, in a thread of the host's own."""
        arguments = (self._running(), take)
        self._pump = threading.Thread(target=self._read, args=arguments, daemon=True, name=f"log-{self.name}")
        self._pump.start()

    def wait(self, timeout: float) -> int | None:
        """The exit code, or None after `timeout` seconds."""
        if self.exit_code is None:
            self.exit_code = self._running().wait(timeout)
        return self.exit_code

    def terminate(self) -> None:
        """SIGTERM to PID 1."""
        if self.exit_code is None:
            self._running().terminate()

    def kill(self) -> None:
        """SIGKILL to everything."""
        if self.exit_code is None:
            self._running().kill()

    def feeder_error(self) -> FeederError | None:
        """Why a channel of this host cannot be fed or shown any more; None while all is well."""
        return (self._feeding.error if self._feeding else None) or self._fast_files.error

    def finish(self) -> None:
        """Take the last lines of a container that has ended, and the feeder's last word on every channel."""
        if self._pump:
            self._pump.join(_LAST_LINES_SECONDS)
        if self._feeding:
            self._feeding.stop()

    def collect(self) -> None:
        """Bring back what the container wrote.

        Raises:
            LocalModeError: it cannot be read.
        """
        self._running().collect()

    def save_checkpoints(self, place: Path) -> None:
        """Bring the last checkpoints out of a container that has ended; to `place` where no request claims them.

        Raises:
            ArtifactError: they cannot be brought to S3Uri; they are in `place` then.
        """
        if self._sync is None or self._checkpoints is None:
            checkpoints.keep(self.paths.checkpoints, place)
            return
        try:
            self._sync.finish()
        except LocalModeError as error:
            checkpoints.keep(self._checkpoints.source, place)
            raise ArtifactError(f"{error} The checkpoints are in {place}.") from None

    def save_tensorboard(self) -> None:
        """Bring the last of TensorBoard's files out, after `collect`.

        Raises:
            ArtifactError: they cannot be brought to S3OutputPath.
        """
        if self._tensorboard:
            self._tensorboard.finish()

    def close(self) -> None:
        """End what still runs and remove its traces."""
        with contextlib.ExitStack() as left:  # last first, and each whatever became of the others
            left.callback(self._fast_files.close)
            if self._instance:
                left.callback(self._instance.close)
            if self._feeding:
                left.callback(self._feeding.stop)
            for sync in (self._sync, self._tensorboard):
                if sync:
                    left.callback(sync.close)

    def _show(self, plan: ChannelPlan) -> None:
        """Mount a channel whose files are to be fetched when they are read, where that can be."""
        if not plan.is_lazy:
            return
        if not self._task.runner.protects_channels:
            self._fast_files.tell_of_copy(plan, "a process without bubblewrap sees folders of its own only")
        elif root := self._fast_files.mount(plan):
            self._roots[plan.spec.name] = root

    def _running(self) -> Instance:
        if self._instance is None:
            raise RuntimeError("start the container first")
        return self._instance

    def _piped(self) -> list[ChannelPlan]:
        return [plan for plan in self._plans if plan.spec.mode == PIPE]

    def _is_mounted(self, plan: ChannelPlan) -> bool:
        return plan.spec.mode != PIPE and plan.spec.name in self._roots and self._task.runner.protects_channels

    def _mount(self, plan: ChannelPlan) -> ChannelMount | None:
        """What is bound over a channel's folder; a copy that is FastFile's has to stay read-only, as all of data is."""
        name = plan.spec.name
        if self._is_mounted(plan):
            return ChannelMount(channel=name, source=self._roots[name].resolve())
        if plan.spec.mode == FILE:
            return ChannelMount(channel=name, source=self.paths.channel(name), writable=True)
        return None

    def _launch(self, network: Network, defaults: Mapping[str, str]) -> Launch:
        algorithm = self._request.AlgorithmSpecification
        return Launch(
            host=self.name,
            network=network,
            job_name=self._request.TrainingJobName,
            image=algorithm.TrainingImage,
            job_folder=self._task.folder.path,
            opt_ml=self.paths.base,
            mounts=tuple(mount for plan in self._plans if (mount := self._mount(plan))),
            checkpoints=self._checkpoints,
            entrypoint=algorithm.ContainerEntrypoint,
            arguments=algorithm.ContainerArguments,
            environment={**defaults, **self._task.environment},
            template=template(self._request, self._task.settings.environment),
            network_isolation=self._request.EnableNetworkIsolation,
            shm_bytes=self._task.settings.shm_bytes,
            pipes=bool(self._piped()),
        )

    def _read(self, instance: Instance, take: Take) -> None:
        """Read on whatever happens: a program whose output nobody reads stands still."""
        told: set[str] = set()

        def tell_once(what: str, why: str) -> None:
            if what not in told:
                told.add(what)
                self._task.listener.note(f"{what}: {why}")

        with self._task.folder.log(self.name).open("ab", buffering=0) as log:
            for line in instance.log_lines():
                try:
                    log.write(line)
                except OSError as error:
                    tell_once(f"cannot write {log.name}", f"{error.strerror}; lines are missing there")
                try:
                    take(line, self.name)
                except Exception:  # noqa: BLE001  # whatever a listener raises, the log file has the lines
                    tell_once("a line could not be handed on, nor may later ones", traceback.format_exc())


def checkpoint_mount(local_path: str | None, folder: JobFolder, host: str) -> SharedFolder:
    """Where CheckpointConfig.LocalPath is in a host's container, and which folder of the job's scratch is there."""
    target = Path(os.path.normpath(local_path or opt_ml.CHECKPOINTS))
    base = Path(opt_ml.BASE)
    inside = target.is_relative_to(base)
    source = folder.opt_ml(host) / target.relative_to(base) if inside else folder.host(host) / "checkpoints"
    return SharedFolder(source=source, target=target)
