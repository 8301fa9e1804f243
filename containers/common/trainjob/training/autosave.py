"""Checkpoints while the training goes on: when the next one is due, and the thread that writes it.

The training hands over a copy of its state and goes on at once. One is written at a time: what falls due meanwhile is
due still when the writer is idle, and what cannot be put off, an epoch's end or a stop, waits for it.
"""

import atexit
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from trainjob.errors import CheckpointError
from trainjob.stop import Stop
from trainjob.training import checkpoint
from trainjob.training.progress import Progress
from trainjob.training.ranks import Ranks

Write = Callable[[BinaryIO], Any]
"""Writes a checkpoint's content."""

WRITE_SECONDS = 900.0
"""How long a checkpoint may take to be written before the job gives up; less, where a stop leaves less."""
_LOOK_SECONDS = 0.2
_LAST_SECONDS = 30.0
"""What a program that ends otherwise than it should still gives to a write: its thread must not outlive Python."""


class Autosave:
    """The checkpoints of one process in one folder. To be used from one thread."""

    def __init__(
        self,
        folder: Path,
        stop: Stop,
        *,
        seconds: float = 0.0,
        steps: int = 0,
        keep: int = 2,
        suffix: str = ".ckpt",
        step: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A checkpoint is due so many seconds or steps after the one before; 0 is never.

        Args:
            folder: Where they go; made if absent.
            stop: Its deadline bounds every wait.
            seconds: Between two, epochs' ends counted.
            steps: Due at multiples of it.
            keep: Number of whole checkpoints to leave.
            suffix: Ending of the files' names, with its dot.
            step: Optimizer steps done so far.
            clock: Seconds that only grow.
        """
        self._folder, self._stop, self._keep, self._suffix = folder, stop, keep, suffix
        self._seconds, self._steps, self._clock = seconds, steps, clock
        self._step, self._taken = step, clock()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        atexit.register(self._leave)

    def due(self, step: int) -> bool:
        """Whether one should be taken after that step: the writer is idle, and it is time, or the writer failed."""
        if self._thread is not None and self._thread.is_alive():
            return False
        by_steps = self._steps > 0 and step // self._steps > self._step // self._steps
        by_time = self._seconds > 0 and self._clock() - self._taken >= self._seconds
        return by_steps or by_time or self._error is not None

    def save(self, step: int, write: Write, **progress: float | str) -> None:
        """Have a thread write a checkpoint, as `checkpoint.save` does; waits for the one before.

        Args:
            step: Optimizer steps done.
            write: Writes the content; whatever it refers to must not change any more.
            progress: As `checkpoint.save` takes it.

        Raises:
            CheckpointError: The one before could not be written.
        """
        self.finish()
        self._step, self._taken = step, self._clock()
        work = (step, write, progress)
        self._thread = threading.Thread(target=self._work, args=work, name=f"checkpoint {step}", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait until what was handed over is written.

        Raises:
            CheckpointError: It could not be, or not in time.
        """
        begun = time.monotonic()
        while self._thread is not None and self._thread.is_alive():
            waited = time.monotonic() - begun
            if waited > WRITE_SECONDS or not self._stop.seconds_left:
                raise CheckpointError(
                    f"The checkpoint of step {self._step} is not written after {waited:.0f} s in {self._folder}; check "
                    "the folder's disk, or train a smaller model. Older checkpoints are untouched."
                )
            self._thread.join(_LOOK_SECONDS)
        self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _work(self, step: int, write: Write, progress: dict[str, Any]) -> None:
        try:
            checkpoint.save(self._folder, step, write, keep=self._keep, suffix=self._suffix, **progress)
        except BaseException as error:  # noqa: BLE001 - raised again where the training meets it, by `finish`
            self._error = error

    def _leave(self) -> None:
        if self._thread is not None:
            self._thread.join(_LAST_SECONDS)


class Checkpoints:
    """The checkpoints of a training: its state is copied at once and written beside it. Only the first rank has any."""

    def __init__(self, writer: Autosave, copy: Callable[[Progress], Write], ranks: Ranks | None = None) -> None:
        """`writer` is told of the first rank's alone; what `copy` returns writes the state as it was then."""
        self._writer, self._copy = writer, copy
        self._writes = ranks is None or ranks.is_first

    def due(self, step: int) -> bool:
        """Whether one should be taken after that step."""
        return self._writes and self._writer.due(step)

    def save(self, progress: Progress, *, wait: bool = False) -> None:
        """Take a checkpoint of where the training stands; with `wait` it is written when this returns.

        Raises:
            CheckpointError: It, or the one before, could not be written; older ones are untouched.
        """
        if not self._writes:
            return
        self._writer.save(progress.step, self._copy(progress), epoch=progress.epoch, batch=progress.batch)
        if wait:
            self._writer.finish()
