"""Files that are whole or not there, also after a power cut."""

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
        with on_disk(partial) as file:
            yield file
        partial.replace(path)
        sync_names(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def on_disk(path: Path) -> Iterator[BinaryIO]:
    """Open a file whose bytes are on the disk once it is closed."""
    with path.open("wb", buffering=1 << 20) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def sync_names(folder: Path) -> None:
    """Bring the folder's names to the disk, which renaming alone does not."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
