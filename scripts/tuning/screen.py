"""Where a table is shown: drawn over itself at a terminal; in a log file, a line for each thing that happens."""

import shutil
from collections.abc import Sequence
from typing import TextIO

from scripts.tuning.table import Row

_LEAST_ROWS = 3


class Screen:
    """What is on it. It knows rows and lines, and nothing of what they mean."""

    def __init__(self, file: TextIO, header: str) -> None:
        """`file` says itself whether it is a terminal."""
        self._file, self._header = file, header
        self._drawn = 0
        """Lines of the table at the terminal, the cursor below them."""
        self._said: dict[int, str] = {}
        """By trial, the status that the log has a line of."""

    def show(self, rows: Sequence[Row], standing: str) -> None:
        """The table as it is now."""
        if self._file.isatty():
            self._draw(rows, standing)
        else:
            self._tell(rows, standing)
        self._file.flush()

    def line(self, text: str) -> None:
        """A line of its own; at a terminal the table goes on below it."""
        print(text, file=self._file, flush=True)
        self._drawn = 0

    def _draw(self, rows: Sequence[Row], standing: str) -> None:
        size = shutil.get_terminal_size()
        room = max(_LEAST_ROWS, size.lines - 4)
        left_out = [f"  ... {len(rows) - room} more above"] if len(rows) > room else []
        lines = [self._header, *left_out, *(row.text for row in rows[-room:]), standing]
        back = f"\x1b[{self._drawn}A" if self._drawn else ""
        # What would not fit would go on in the next line, and the count of lines be wrong.
        drawn = "".join(f"{line[: size.columns - 1]}\x1b[K\n" for line in lines)
        self._file.write(f"{back}{drawn}\x1b[J")
        self._drawn = len(lines)

    def _tell(self, rows: Sequence[Row], standing: str) -> None:
        fresh = [row for row in rows if self._said.get(row.number) != row.status]
        if fresh and not self._said:
            self._file.write(f"{self._header}\n")
        self._file.writelines(f"{row.text}\n" for row in fresh)
        if any(row.has_ended for row in fresh):
            self._file.write(f"       {standing}\n")
        self._said |= {row.number: row.status for row in fresh}
