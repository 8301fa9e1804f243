"""Files that a program left below a folder: found, read and marked without ever leaving that folder.

A program may put links, FIFOs and devices where files are looked for, and change them while we look.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Stamp:
    """By which a changed file is known."""

    size: int
    """Bytes."""
    time: int
    """Of the last change of its contents, in ns."""
    inode: int


def files(folder: Path, wanted: Callable[[str], bool] = lambda _: True) -> tuple[dict[str, Stamp], list[str]]:
    """Stamps of the files below `folder`, by their paths in it; then what is no file, or a link that leads out.

    Links to files of the folder are files; those to folders are not followed. `wanted` sees the last part of a name.

    Raises:
        OSError: a folder cannot be read; nothing is left out unseen.
    """
    found, others, top = {}, [], os.path.realpath(folder)
    for parent, folders, names in os.walk(folder, onerror=_raise):
        for name in filter(wanted, names):
            path = os.path.join(parent, name)  # noqa: PTH118  # thousands of names, every second
            relative = os.path.relpath(path, folder)
            status = _status(path, top)
            if status is not None and stat.S_ISREG(status.st_mode):
                found[relative] = _stamp(status)
            elif os.path.lexists(path):
                others.append(relative)
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]  # noqa: PTH114, PTH118
        others += [os.path.relpath(os.path.join(parent, name), folder) for name in links]  # noqa: PTH118
    return found, others


def copy_whole(folder: Path, name: str, target: Path) -> Stamp | None:
    """Copy a file below `folder`; its stamp, None when it changed meanwhile and the copy is worth nothing.

    Raises:
        OSError: it is gone, cannot be read, or is not in `folder`; or `target` cannot be written.
    """
    with os.fdopen(_open(folder, name, os.O_RDONLY | os.O_NONBLOCK), "rb") as source, target.open("wb") as copy:
        before = os.fstat(source.fileno())
        shutil.copyfileobj(source, copy, _CHUNK)
        copied, after = copy.tell(), os.fstat(source.fileno())
        copy.flush()
        os.fsync(copy.fileno())
    now = (folder / name).stat()
    same = _stamp(before) == _stamp(after) == _stamp(now) and copied == before.st_size
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    return _stamp(before) if same and stat.S_ISREG(before.st_mode) else None


def mark(folder: Path, name: str, old: str, new: str) -> None:
    """Make the mark `name` + `new`, out of `name` + `old` where that is.

    Raises:
        OSError: the folder it would be in is gone, may not be written, or is not below `folder`.
    """
    with _parent(folder, name) as (parent, base):
        try:
            os.rename(base + old, base + new, src_dir_fd=parent, dst_dir_fd=parent)
        except FileNotFoundError:
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
            os.close(os.open(base + new, flags, 0o644, dir_fd=parent))


def unmark(folder: Path, name: str, *suffixes: str) -> None:
    """Remove the marks of a file; nothing where there are none.

    Raises:
        OSError: the folder they are in may not be written, or is not below `folder`.
    """
    with contextlib.suppress(FileNotFoundError), _parent(folder, name) as (parent, base):
        for suffix in suffixes:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(base + suffix, dir_fd=parent)


@contextlib.contextmanager
def _parent(folder: Path, name: str) -> Iterator[tuple[int, str]]:
    """An open descriptor of the folder that has the file `name`, and the file's own name."""
    above, _, base = name.rpartition("/")
    descriptor = _open(folder, above or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor, base
    finally:
        os.close(descriptor)


def _open(folder: Path, name: str, flags: int) -> int:
    descriptor = os.open(folder / name, flags | os.O_CLOEXEC | os.O_NOCTTY)
    # Asked of what is open: a name may lead elsewhere a moment later.
    real = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    if not _is_beneath(real, os.path.realpath(folder)):
        os.close(descriptor)
        raise OSError(0, "a link that leads out of its folder", str(folder / name))
    return descriptor


def _status(path: str, top: str) -> os.stat_result | None:
    """Of the file behind `path`; None when it is gone, or not below `top`."""
    try:
        status = os.lstat(path)
        if not stat.S_ISLNK(status.st_mode):
            return status
        return os.stat(path) if _is_beneath(os.path.realpath(path), top) else None  # noqa: PTH116
    except FileNotFoundError:
        return None


def _is_beneath(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top.rstrip('/')}/")


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino)


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # what is gone has no files
        raise error
