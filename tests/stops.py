"""Stops of a job that come at a look that a test chooses."""

from trainjob.stop import Stop


class StopAfter(Stop):
    """A stop that comes once the program has looked for it so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def check(self) -> None:
        """One look."""
        self._looks -= 1
        if self._looks < 0:
            self.request()
        super().check()
