"""Removes folders that a job's program wrote to, whatever permissions it left them with."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def remove_tree(folder: Path) -> None:
    """Remove `folder` and all below it; nothing when it is not there. A program may have made folders unreadable.

    Raises:
        OSError: something below it belongs to another user.
    """
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder, onerror=_open_up)


def _open_up(function: Callable[..., Any], path: str, error: Any) -> None:
    """Make a folder and its parent writable, then try again; called by rmtree for what it could not do."""
    if isinstance(error[1], FileNotFoundError):
        return
    for place in (Path(path).parent, Path(path)):
        if place.is_dir() and not place.is_symlink():
            place.chmod(0o700)
    if function in (os.open, os.scandir, os.lstat):
        shutil.rmtree(path)
    else:
        function(path)
