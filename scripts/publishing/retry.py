"""Doing again what failed for a reason that passes, within a bound."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from scripts.publishing.errors import TransientError

Done = TypeVar("Done")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How often something is tried, and what is done in between."""

    say: Callable[[str], None]
    """Is told of each failure that is not the last."""
    attempts: int = 3
    first_seconds: float = 2.0
    """Before the second attempt; each later wait is four times as long."""
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, act: Callable[[], Done]) -> Done:
        """What `act` answers.

        Raises:
            TransientError: its last failure.
        """
        for attempt in range(1, self.attempts):
            try:
                return act()
            except TransientError as error:
                seconds = self.first_seconds * 4 ** (attempt - 1)
                self.say(f"{error}; attempt {attempt + 1} of {self.attempts} in {seconds:g} s")
                self.sleep(seconds)
        return act()
