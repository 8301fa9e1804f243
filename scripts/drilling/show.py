"""How a drill goes, told while it does: a bar at a terminal, lines in any case."""

import sys
from typing import TextIO

from tqdm import tqdm


class Show:
    """One training after the other."""

    def __init__(self, file: TextIO = sys.stderr) -> None:
        """`file` says itself whether it is a terminal."""
        self._file = file
        self._bar: tqdm[None] | None = None

    def begin(self, label: str, steps: int) -> None:
        """A training of so many steps begins."""
        self.end()
        self.line(f"{label}: {steps} steps")
        self._bar = tqdm(total=steps, desc=label, unit=" steps", file=self._file, leave=False, disable=None)

    def step(self, step: int) -> None:
        """So many steps are done; it may be fewer than before."""
        if self._bar is not None:
            self._bar.n = step
            self._bar.refresh() if self._bar.disable is False else None

    def line(self, text: str) -> None:
        """A line above the bar."""
        if self._bar is not None and not self._bar.disable:
            self._bar.write(text, file=self._file)
        else:
            print(text, file=self._file, flush=True)

    def end(self) -> None:
        """No more of the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
