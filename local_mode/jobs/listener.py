"""What a job tells whoever follows it, as it goes."""

from typing import Protocol


class Listener(Protocol):
    """Follows one job. Called from the job's threads; must not block them for long."""

    def line(self, text: bytes, host: str) -> None:
        """One line of the log of a host's container, as it was written, with its line end."""
        ...

    def status(self, secondary: str, message: str) -> None:
        """The job entered a secondary status."""
        ...

    def progress(self, channel: str, epoch: int, bytes_sent: int, host: str) -> None:
        """A host's Pipe channel moved on; bytes are counted over all epochs."""
        ...

    def metric(self, name: str, value: float, at: float) -> None:
        """A log line had a point of a metric; `at` is in seconds since 1970."""
        ...

    def note(self, text: str) -> None:
        """Something the user should know."""
        ...


class Silent:
    """Follows nothing; for callers that poll `describe`."""

    def line(self, text: bytes, host: str) -> None:
        """Drop a log line: logs/ has it."""

    def status(self, secondary: str, message: str) -> None:
        """Drop a status: the record has it."""

    def progress(self, channel: str, epoch: int, bytes_sent: int, host: str) -> None:
        """Drop progress."""

    def metric(self, name: str, value: float, at: float) -> None:
        """Drop a point: the job's curves have it."""

    def note(self, text: str) -> None:
        """Drop a note."""


class Both:
    """Two that follow one job."""

    def __init__(self, first: Listener, second: Listener) -> None:
        self._all = (first, second)

    def line(self, text: bytes, host: str) -> None:
        """Hand a log line on."""
        for each in self._all:
            each.line(text, host)

    def status(self, secondary: str, message: str) -> None:
        """Hand a status on."""
        for each in self._all:
            each.status(secondary, message)

    def progress(self, channel: str, epoch: int, bytes_sent: int, host: str) -> None:
        """Hand progress on."""
        for each in self._all:
            each.progress(channel, epoch, bytes_sent, host)

    def metric(self, name: str, value: float, at: float) -> None:
        """Hand a point on."""
        for each in self._all:
            each.metric(name, value, at)

    def note(self, text: str) -> None:
        """Hand a note on."""
        for each in self._all:
            each.note(text)
