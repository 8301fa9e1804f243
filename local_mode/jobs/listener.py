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

    def note(self, text: str) -> None:
        """Drop a note."""
