"""Unpacks what an engine hands out of a container: nothing may land outside, nothing may come out as root's.

Not tarfile's own filters: Python 3.11 has them only from 3.11.4 on, and Debian 12 has 3.11.2.
"""

import shutil
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath


def unpack(chunks: Iterable[bytes], folder: Path) -> None:
    """Unpack an archive below `folder`, which has nothing of it yet, as this user's files.

    Links that lead out of `folder`, devices and FIFOs are left out: they mean nothing outside the container.
    """
    links: list[tuple[Path, str]] = []
    with tarfile.open(fileobj=_Stream(chunks), mode="r|", bufsize=1 << 20) as archive:  # type: ignore[call-overload]
        for member in archive:
            name = PurePosixPath(member.name)
            if name.is_absolute() or ".." in name.parts:
                continue
            target = folder / name
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif member.isfile():
                _write(archive, member, target)
            elif member.islnk() and not _leads_out(name.parent, member.linkname, hard=True):
                target.hardlink_to(folder / member.linkname)
            elif member.issym() and not _leads_out(name.parent, member.linkname):
                links.append((target, member.linkname))
    # Last, so that no file is ever written through a link.
    for target, to in links:
        target.symlink_to(to)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = archive.extractfile(member)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        if source is not None:
            shutil.copyfileobj(source, file, 1 << 20)
    target.chmod(0o755 if member.mode & 0o100 else 0o644)


def _leads_out(folder: PurePosixPath, to: str, *, hard: bool = False) -> bool:
    """Whether a link in `folder` leads out of the archive; a hard link's name starts at the archive's top."""
    if to.startswith("/"):
        return True
    depth = 0
    for part in (PurePosixPath(to) if hard else folder / to).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


class _Stream:
    """Chunks as a file to read from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        parts = [self._rest]
        have = len(self._rest)
        while have < size and (chunk := next(self._chunks, None)) is not None:
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]
