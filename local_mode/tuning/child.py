"""Follows a training job for the tuning job that it is a part of."""

import threading

from local_mode.tuning.trial import Trial


class Child:
    """A `Listener` that takes the points of the objective metric, and wakes who waits for them."""

    def __init__(self, trial: Trial, metric: str, wake: threading.Event) -> None:
        self._trial, self._metric, self._wake = trial, metric, wake

    def line(self, text: bytes, host: str) -> None:
        """Drop a log line."""

    def status(self, secondary: str, message: str) -> None:
        """It may have ended."""
        self._wake.set()

    def progress(self, channel: str, epoch: int, bytes_sent: int, host: str) -> None:
        """Drop progress."""

    def metric(self, name: str, value: float, at: float) -> None:
        """Take a point, if it is the objective's."""
        if name == self._metric:
            self._trial.points.append(value)
            self._wake.set()

    def note(self, text: str) -> None:
        """Drop a note: who runs the service is told."""
