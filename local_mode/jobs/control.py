"""What others ask of a running job, and what its time allows: when it must stop or is interrupted, and why."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_mode.errors import JobStateError
from local_mode.jobs.request import TrainingJobRequest

STOPPED, INTERRUPTED = "Stopped", "Interrupted"
MAX_RUNTIME, MAX_WAIT = "MaxRuntimeExceeded", "MaxWaitTimeExceeded"
TAG = "local_mode:interrupt-after"
"""Tag of a request: interrupt its job by itself. See `planned`."""


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """The loss of a spot instance, of our own making."""

    after: float = 0.0
    """Seconds of training in its attempt."""
    wait: float = 0.0
    """Seconds until there is an instance again."""


class Control:
    """One job's. Its secondary statuses are reasons; times are monotonic. Safe to use from several threads."""

    def __init__(
        self, request: TrainingJobRequest, *, orders: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`orders` is a file that `interrupt` writes; the job's time of waiting begins now."""
        self.stop = threading.Event()
        self.kill = threading.Event()
        self.interrupt = threading.Event()
        self._is_spot = request.EnableManagedSpotTraining
        self._limits = request.StoppingCondition
        self._planned = list(planned(request.Tags))
        self._orders = orders if self._is_spot else None
        self._clock = clock
        self._created = clock()
        self._first: float | None = None
        self._began: float | None = None
        """When this attempt's training began; None outside of it."""
        self._lost: float | None = None
        """When the instance was lost; None while there is one."""
        self._trained = self._waited = self._wait = 0.0

    def ask_interruption(self, wait: float = 0.0) -> None:
        """Interrupt the training; an instance is there again after `wait` seconds. Returns at once.

        Raises:
            JobStateError: it is no managed spot training.
        """
        if not self._is_spot:
            raise JobStateError("Only managed spot training is interrupted; set EnableManagedSpotTraining to true.")
        self._wait = wait
        self.interrupt.set()

    def training_begins(self) -> None:
        """An attempt's container runs."""
        self._began = self._clock()
        self._first = self._first if self._first is not None else self._began
        if self._lost is not None:
            self._waited += self._began - self._lost
            self._lost = None

    def training_ends(self) -> None:
        """An attempt's container runs no more."""
        if self._began is not None:
            self._trained += self._clock() - self._began
            self._began = None

    def instance_is_lost(self) -> None:
        """From now on until `training_begins`, nothing is billed."""
        self._lost = self._clock()

    def reason(self, so_far: str | None = None) -> str | None:
        """Why the job is to stop or be interrupted now; `so_far` is the reason that is acted upon already."""
        if so_far not in (None, INTERRUPTED):
            return so_far
        if self.stop.is_set():
            return STOPPED
        if so_far is not None:
            return so_far
        now = self._clock()
        running = now - self._began if self._began is not None else 0.0
        if self._trained + running > self._limits.MaxRuntimeInSeconds:
            return MAX_RUNTIME
        if self._patience(now) < 0:
            return MAX_WAIT
        return INTERRUPTED if self._began is not None and self._is_interrupted(running) else None

    def await_instance(self) -> str | None:
        """Wait for an instance after an interruption; why there will be none, None when there is one."""
        now = self._clock()
        wait, patience = self._wait, self._patience(now)
        self._wait = 0.0
        if self.stop.wait(max(0.0, min(wait, patience))):
            return STOPPED
        return MAX_WAIT if wait > patience else None

    def times(self) -> dict[str, int]:
        """TrainingTimeInSeconds, and BillableTimeInSeconds, which is without the waiting; none before the training."""
        if self._first is None:
            return {}
        now = self._clock()
        waiting = now - self._lost if self._lost is not None else 0.0
        whole, waited = now - self._first, self._waited + waiting
        return {
            "TrainingTimeInSeconds": max(1, round(whole)),
            "BillableTimeInSeconds": max(1, round(whole - waited)),
        }

    def _patience(self, now: float) -> float:
        """Seconds that are left of MaxWaitTimeInSeconds."""
        most = self._limits.MaxWaitTimeInSeconds
        return float("inf") if most is None else most - (now - self._created)

    def _is_interrupted(self, running: float) -> bool:
        if self._is_spot and self._planned and running >= self._planned[0].after:
            self._wait = self._planned.pop(0).wait
            return True
        if self._orders is not None and (order := _take(self._orders)) is not None:
            self._wait = order
            return True
        asked = self.interrupt.is_set()
        self.interrupt.clear()
        return asked


def planned(tags: Any) -> Sequence[Interruption]:
    """The interruptions that the tag TAG plans: `after` or `after/wait` in seconds, one an attempt, by spaces.

    Raises:
        ValueError: it has another form.
    """
    texts = [tag.get("Value", "") for tag in tags or () if isinstance(tag, dict) and tag.get("Key") == TAG]
    found = []
    for word in " ".join(texts).split():
        after, _, wait = word.partition("/")
        found.append(Interruption(after=float(after), wait=float(wait or 0)))
    if not all(0 <= seconds < float("inf") for item in found for seconds in (item.after, item.wait)):
        raise ValueError(f"{' '.join(texts)!r} has a number that is no time")
    return found


def _take(path: Path) -> float | None:
    """The wait of an order, which is removed; None when there is none."""
    if not path.exists():
        return None
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        wait = float(json.loads(path.read_text(encoding="utf-8"))["wait"])
        path.unlink()
        return wait
    path.unlink(missing_ok=True)
    return None
