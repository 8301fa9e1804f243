"""Files that are whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from trainjob.contract import NOT_SYNCED_SUFFIX


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that gets its name only once all its bytes are on the disk; on any error nothing of it is left.

    Raises:
        OSError: The file could not be written; what was under its name before is untouched.
    """
    partial = path.with_name(path.name + NOT_SYNCED_SUFFIX)
    try:
        with partial.open("wb", buffering=1 << 20) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # the new name, too, must survive a power cut
    finally:
        os.close(folder)
