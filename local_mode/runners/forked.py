"""Jobs that were forked, in a sandbox or as plain processes: what a runner's instance has to be."""

import signal
from collections.abc import Callable, Iterator

from local_mode.runners.forks import Fork
from local_mode.runners.sandbox import Sandbox


class _Forked:
    """What both have in common."""

    def __init__(self, fork: Fork) -> None:
        self._fork = fork
        self._ended = False

    def log_lines(self) -> Iterator[bytes]:
        """Lines as they come."""
        return self._fork.log_lines()

    def terminate(self) -> None:
        """SIGTERM to the program."""
        self._fork.send(signal.SIGTERM)

    def wait(self, timeout: float) -> int | None:
        """The exit code."""
        code = self._fork.wait(timeout)
        if code is not None and not self._ended:
            self._ended = True
            self._end_others()  # as a container's other processes end with its first
        return code

    def collect(self) -> None:
        """Nothing to bring: the program wrote to Launch.opt_ml itself."""

    def open_up(self) -> None:
        """Nothing to do: the program was this user."""

    def _end_others(self) -> None:
        raise NotImplementedError


class ForkedInSandbox(_Forked):
    """A program in a sandbox whose first process only holds it."""

    def __init__(self, fork: Fork, sandbox: Sandbox) -> None:
        super().__init__(fork)
        self._sandbox = sandbox

    def kill(self) -> None:
        """SIGKILL to the first process: the kernel ends all others with it."""
        self._sandbox.send(signal.SIGKILL)

    def close(self) -> None:
        """End it, at once if it runs."""
        self._sandbox.close()
        self._fork.close()

    def _end_others(self) -> None:
        self.kill()


class ForkedPlain(_Forked):
    """A program in a session of its own; its keeper ends its group with it."""

    def __init__(self, fork: Fork, end_others: Callable[[], None], clean: Callable[[], None]) -> None:
        super().__init__(fork)
        self._end, self._clean = end_others, clean

    def kill(self) -> None:
        """SIGKILL to the program; the others follow it."""
        self._fork.send(signal.SIGKILL)

    def close(self) -> None:
        """End it, at once if it runs."""
        self.kill()
        self._end_others()
        self._clean()
        self._fork.close()

    def _end_others(self) -> None:
        """Those too that left the group but carry the job's environment."""
        self._end()
