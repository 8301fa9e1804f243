"""Every file of an image as it will be found in a container, and how the files of two images differ."""

import hashlib
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import IO

BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class File:
    """What is compared of a file, a folder or a link. Not among it: when it was written."""

    kind: str
    mode: str
    owner: str
    """By number, `user:group`: names are the image's own matter."""
    sha256: str
    """Of its bytes, of where a link points to, or of a device's numbers."""


KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
}


def read(stream: IO[bytes]) -> dict[str, File]:
    """All files of a tar, by path."""
    files = {}
    with tarfile.open(fileobj=stream, mode="r|", bufsize=BLOCK) as archive:
        for member in archive:
            files[member.name.removeprefix("./").rstrip("/")] = File(
                kind=KINDS.get(member.type, "other"),
                mode=f"{member.mode:04o}",
                owner=f"{member.uid}:{member.gid}",
                sha256=_digest(_content(archive, member)),
            )
    return files


def differences(one: Mapping[str, File], other: Mapping[str, File]) -> Iterator[str]:
    """One line for each path that is not the same in both, in their order."""
    for path in sorted(one.keys() | other.keys()):
        if path not in other:
            yield f"{path}: only in the first"
        elif path not in one:
            yield f"{path}: only in the second"
        elif one[path] != other[path]:
            yield f"{path}: {', '.join(_unequal(one[path], other[path]))}"


def _unequal(one: File, other: File) -> Iterator[str]:
    for field in fields(File):
        here, there = getattr(one, field.name), getattr(other, field.name)
        if here != there:
            yield f"{field.name} {here[:12]} and {there[:12]}"


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    if member.isreg():
        opened = archive.extractfile(member)
        assert opened is not None  # noqa: S101 - it is a file
        while block := opened.read(BLOCK):
            yield block
    else:
        yield f"{member.linkname} {member.devmajor}:{member.devminor}".encode()


def _digest(blocks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()
