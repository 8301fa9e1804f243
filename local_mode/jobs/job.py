"""A training job's life: the state machine around one execution, in a thread of its own."""

import errno
import threading
import traceback
from collections.abc import Callable
from typing import Any

from local_mode.errors import LocalModeError
from local_mode.jobs.execution import Control, Ended, Execution, Task
from local_mode.jobs.folder import clear, release
from local_mode.jobs.record import COMPLETED, FAILED, MESSAGES, REASON_LIMIT, STOPPED, STOPPING, Record, algorithm_error


class Job:
    """A job that was created. Its record on disk is the truth; this is the handle of its owner."""

    def __init__(self, task: Task, *, held: int, record: Record) -> None:
        """`held` is the descriptor of the folder's lock; the job gives it up when it has ended and cleaned up."""
        self.folder = task.folder
        self._held = held
        self._record = record
        self._execution = Execution(task)
        self._listener = task.listener
        self._control = Control()
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

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the job has ended and left nothing behind, within `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def describe(self) -> dict[str, Any]:
        """The job as DescribeTrainingJob answers; times in seconds since 1970."""
        return self._record.describe()

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
        try:
            self._execution.close()
        except Exception:  # noqa: BLE001  # the job must end whatever cannot be removed; a sweep tries again
            self._listener.note(traceback.format_exc())
        # Cleared first: it may be the room that the record needs. Released last: until then a sweep would end it.
        self._try(lambda: clear(self.folder))
        end["FinalMetricDataList"] = self._execution.metrics.final()
        self._try(lambda: self._record.enter(**end))
        self._try(lambda: release(self.folder, self._held))
        self._listener.status(end["secondary"], MESSAGES[end["secondary"]])

    def _act(self) -> dict[str, Any]:
        """Everything from data to artifacts; the fields of the final status."""
        self._enter("Downloading")
        self._execution.prepare()
        if self._control.stop.is_set():
            self._enter("Stopping", status=STOPPING)
            return {"secondary": "Stopped", "status": STOPPED}
        self._execution.start()
        self._enter("Training")
        ended = self._execution.run(self._control, lambda _: self._enter("Stopping", status=STOPPING))
        self._enter("Uploading")
        return self._end(ended, self._execution.collect())

    def _end(self, ended: Ended, failure: str | None) -> dict[str, Any]:
        if ended.stopped_by:
            return {"secondary": ended.stopped_by, "status": STOPPED}
        if ended.exit_code:
            return self._failed(algorithm_error(failure, ended.exit_code))
        if failure is not None:
            self._listener.note("the program wrote output/failure and ended with exit code 0: the exit code decides")
        return {"secondary": "Completed", "status": COMPLETED}

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

    def _try(self, act: Callable[[], object]) -> None:
        """Do what must not cost a job its result when it fails: a full disk is no reason to drop a model."""
        try:
            act()
        except OSError as error:
            self._listener.note(f"cannot write or remove {error.filename}: {error.strerror}; see to it by hand")
