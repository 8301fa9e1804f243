"""A training job's life: the state machine around its attempts, in a thread of its own."""

import errno
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from local_mode.errors import ArtifactError, LocalModeError
from local_mode.instance.cleaning import remove_tree
from local_mode.jobs.control import INTERRUPTED, Control
from local_mode.jobs.execution import Ended, Execution
from local_mode.jobs.folder import clear, release
from local_mode.jobs.metrics import MetricScanner
from local_mode.jobs.record import COMPLETED, FAILED, MESSAGES, REASON_LIMIT, STOPPED, STOPPING, Record, algorithm_error
from local_mode.jobs.task import Task

_METRICS_SECONDS = 3.0
"""Between two writings of metrics to the record on disk; `describe` knows them at once."""


class Job:
    """A job that was created. Its record on disk is the truth; this is the handle of its owner."""

    def __init__(self, task: Task, *, held: int, record: Record) -> None:
        """`held` is the descriptor of the folder's lock; the job gives it up when it has ended and cleaned up."""
        self.folder = task.folder
        self._held = held
        self._record = record
        self._task = task
        self._listener = task.listener
        self._trace = task.trace
        self._log = task.folder.log(task.cluster.hosts[0])
        definitions = task.request.AlgorithmSpecification.MetricDefinitions
        self._metrics = MetricScanner(definitions, task.trace.metric, self._keep_metrics)
        self._metrics_kept = 0.0
        self._execution = Execution(task, self._metrics)
        self._control = Control(task.request, orders=task.folder.orders)
        self._has_ended = False
        self._attempt = 1
        # Not a daemon: an interpreter that exits waits for the clean-up.
        self._thread = threading.Thread(target=self._live, name=task.request.TrainingJobName)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """StopTrainingJob: SIGTERM, the grace period, SIGKILL. Returns at once; nothing when the job has ended."""
        self._control.stop.set()

    def kill(self) -> None:
        """Stop with no grace. Returns at once."""
        self._control.stop.set()
        self._control.kill.set()

    def interrupt(self, wait: float = 0.0) -> None:
        """Take the spot instance away while it trains; there is another one after `wait` seconds. Returns at once.

        Raises:
            JobStateError: it is no managed spot training.
        """
        self._control.ask_interruption(wait)

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the job has ended and left nothing behind, within `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def describe(self) -> dict[str, Any]:
        """The job as DescribeTrainingJob answers; times in seconds since 1970."""
        document = self._record.describe()
        if not self._has_ended:
            document["FinalMetricDataList"] = self._metrics.final()
        return document

    def curves(self) -> dict[str, Any]:
        """How its metrics and channels have gone so far."""
        return self._trace.curves()

    @property
    def record(self) -> Record:
        """What is kept of the job on disk."""
        return self._record

    def _live(self) -> None:
        try:
            end = self._act()
        except LocalModeError as error:
            end = self._failed(f"ClientError: {error}")
        except Exception as error:  # noqa: BLE001  # the outermost frame of this thread: the job must end and say so
            end = self._failed(self._explain(error))
        end |= {"FinalMetricDataList": self._metrics.final(), **self._control.times(), **self._conclude()}
        self._has_ended = True
        # Before anything is removed: whoever waits for the end has all of it by now.
        is_stored = self._try(lambda: self._record.enter(**end))
        self._clean_up()
        if not is_stored:
            self._try(self._record.amend)  # what was removed may be the room that it needed
        # Last: until then a sweep leaves the job alone.
        self._try(lambda: release(self.folder, self._held))
        self._listener.status(end["secondary"], MESSAGES[end["secondary"]])

    def _clean_up(self) -> None:
        try:
            self._execution.close()
        except Exception:  # noqa: BLE001  # the job must end whatever cannot be removed; a sweep tries again
            self._listener.note(traceback.format_exc())
        self._try(lambda: clear(self.folder))

    def _act(self) -> dict[str, Any]:
        """Everything from data to artifacts; the fields of the final status."""
        while True:
            self._enter("Downloading")
            self._execution.prepare()
            if reason := self._control.reason():
                return self._stopped(reason)
            self._execution.start()
            self._enter("Training")
            self._control.training_begins()
            ended = self._execution.run(self._control, self._stop_begins)
            self._control.training_ends()
            if ended.stopped_by != INTERRUPTED:
                break
            if reason := self._await_instance():
                return self._stopped(reason)
        self._enter("Uploading")
        try:
            self._execution.collect()
        except ArtifactError as error:
            if not ended.exit_code:
                raise
            self._listener.note(str(error))  # of two failures the program's own is the reason
        return self._end(ended, self._execution.failure_text())

    def _stop_begins(self, reason: str) -> None:
        if reason == INTERRUPTED:
            self._enter(INTERRUPTED)
        else:
            self._enter("Stopping", status=STOPPING)

    def _stopped(self, reason: str) -> dict[str, Any]:
        """The end of a job that has no container now."""
        self._enter("Stopping", status=STOPPING)
        return {"secondary": reason, "status": STOPPED}

    def _await_instance(self) -> str | None:
        """From a lost spot instance to a new one, with nothing on it; why there will be none, None when there is."""
        self._control.instance_is_lost()
        config = self._task.request.CheckpointConfig
        if config:
            try:
                self._execution.save_checkpoints()
            except LocalModeError as error:
                self._listener.note(f"{error} The next attempt goes on from an older one.")
        self._execution.close()
        remove_tree(self.folder.scratch)
        self.folder.scratch.mkdir()
        if reason := self._control.await_instance():
            return reason
        self._attempt += 1
        start = f"from what is at {config.S3Uri}" if config else "from nothing: the request has no CheckpointConfig"
        self._listener.note(f"attempt {self._attempt} begins, {start}")
        self._execution = Execution(self._task, self._metrics)
        self._enter("Starting")
        return None

    def _keep_metrics(self) -> None:
        """Write the metrics seen so far to disk, now and then; `describe` knows them at once."""
        now = time.monotonic()
        if not self._has_ended and now - self._metrics_kept >= _METRICS_SECONDS:
            self._metrics_kept = now
            self._try(lambda: self._record.amend(FinalMetricDataList=self._metrics.final()))

    def _end(self, ended: Ended, failure: str | None) -> dict[str, Any]:
        if ended.stopped_by:
            return {"secondary": ended.stopped_by, "status": STOPPED}
        if ended.exit_code:
            return self._failed(algorithm_error(failure, ended.exit_code))
        if failure is not None and self._task.settings.choices.failure_file == "fails":
            return self._failed(algorithm_error(failure, 0))
        if failure is not None:
            self._listener.note("the program wrote output/failure and ended with exit code 0: the exit code decides")
        return {"secondary": "Completed", "status": COMPLETED}

    def _conclude(self) -> dict[str, Any]:
        try:
            return self._trace.conclude(self._record.describe(), self._log)
        except Exception:  # noqa: BLE001  # a job keeps its result, whatever cannot be said of it
            self._listener.note(traceback.format_exc())
            return {}

    def _explain(self, error: Exception) -> str:
        """The failure reason of what nobody foresaw; its traceback goes to the listener, unless the disk is full."""
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f"{self.folder.path} ({error.strerror})"
            return f"ClientError: The disk is full under {where}; make room there, or give another folder as --root."
        self._listener.note(traceback.format_exc())
        return f"InternalServerError: {type(error).__name__}: {error}"

    def _failed(self, reason: str) -> dict[str, Any]:
        return {"secondary": "Failed", "status": FAILED, "FailureReason": reason[:REASON_LIMIT]}

    def _enter(self, secondary: str, status: str | None = None) -> None:
        self._try(lambda: self._record.enter(secondary, status=status))
        self._listener.status(secondary, MESSAGES[secondary])

    def _try(self, act: Callable[[], object]) -> bool:
        """Do what must not cost a job its result when it fails: a full disk is no reason to drop a model.

        Whether it could be done.
        """
        try:
            act()
        except OSError as error:
            self._listener.note(f"cannot write or remove {error.filename}: {error.strerror}; see to it by hand")
            return False
        return True
