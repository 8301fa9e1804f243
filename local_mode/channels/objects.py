"""Objects by their keys, wherever they are kept: the one door to a channel's data.

Standard library only, the feeder uses it. What serves s3:// keys is another `Source`, which is handed to `find`.
"""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import unquote, urlsplit

SCHEME = "s3://"


class ObjectError(Exception):
    """An object is missing, cannot be read, or is not what it should be; the text names it."""


class Readable(Protocol):
    """An open object."""

    def read(self, size: int, /) -> bytes | memoryview:
        """At most `size` bytes; none at the end only."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


@dataclass(frozen=True)
class Found:
    """One object of a source."""

    key: str
    """Its whole address: `find` takes it, too."""
    size: int
    """Bytes, when it was found."""
    tag: str = ""
    """ETag, when it was found: another one means other bytes. Empty where the store has none."""


@dataclass(frozen=True)
class Part:
    """Some bytes of an object, and what the object was when they were read."""

    data: bytes | bytearray | mmap
    found: Found


class Source(Protocol):
    """A store of objects. A key is the whole address of one; a prefix is the beginning of a key's text."""

    def list(self, prefix: str) -> list[Found]:
        """Every object whose key begins with `prefix`, in the binary order of their keys.

        Raises:
            ObjectError: something that matches cannot be an object.
            OSError: the store cannot be listed.
        """
        ...

    def one(self, key: str) -> Found:
        """An object as it is now.

        Raises:
            ObjectError: it cannot be asked for.
            OSError: there is none of this key.
        """
        ...

    def read(self, key: str, offset: int = 0) -> Readable:
        """An object's bytes from `offset` on; an io.FileIO is sent by the kernel, anything else is copied.

        Raises:
            ObjectError: it is gone, or became another one meanwhile.
            OSError: it cannot be read.
        """
        ...


@runtime_checkable
class Remote(Source, Protocol):
    """A store that is far away: what is needed next is fetched ahead, in parts and in parallel."""

    def fetch(self, wanted: Found, start: int, length: int, stop: threading.Event) -> Part:
        """`length` bytes from `start` on, fewer at the end only; a `wanted` without tag is whatever is there now.

        Safe to call from several threads. `stop` set means that nobody waits for the answer any more.

        Raises:
            ObjectError: it is gone, is another one now, or cannot be read.
        """
        ...


class Folder:
    """The files of this machine: a folder stands in for a bucket, its files are the objects, a path is a key."""

    def list(self, prefix: str) -> list[Found]:
        """Files whose path begins with the text `prefix`."""
        parent, _, beginning = prefix.rpartition("/")
        siblings = [entry.name for entry in os.scandir(parent or "/") if entry.name.startswith(beginning)]
        paths = sorted((path for name in siblings for path in _walk(f"{parent}/{name}")), key=os.fsencode)
        return [self._listed(path) for path in paths]

    def one(self, key: str) -> Found:
        """A file as it is now."""
        status = os.stat(key)  # noqa: PTH116  # half of a listing's time would go into Paths
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a plain file, as S3 objects are", key)
        return Found(key, status.st_size)

    def read(self, key: str, offset: int = 0) -> Readable:
        """A file's bytes."""
        file = open(key, "rb", buffering=0)  # noqa: SIM115, PTH123  the caller closes it; Path.open hides its type
        file.seek(offset)
        return file

    def _listed(self, path: str) -> Found:
        try:
            return self.one(path)
        except OSError as error:
            raise ObjectError(f"Cannot read {path}: {error.strerror}; mend it or move it out of the channel.") from None


def find(uri: str, s3: Source | None = None) -> tuple[Source, str]:
    """The source that has what `uri` names, and the key or prefix that it names there; `s3` serves s3:// URIs.

    Raises:
        ObjectError: the scheme is not served, or the URI names nothing.
    """
    if not uri.startswith(SCHEME):
        return Folder(), local_path(uri)
    if s3 is None:
        raise ObjectError(unserved(uri))
    if not uri.removeprefix(SCHEME).partition("/")[0]:
        raise ObjectError(f"{uri!r} names no bucket; write s3://BUCKET/PREFIX.")
    return s3, uri


def unserved(uri: str) -> str:
    """What is said of an s3:// URI where no S3 is served."""
    return (
        f"local_mode does not read or write {uri!r} here: run the job at its endpoint (python -m local_mode serve), or "
        "with `train --aws` on your own account; or give a folder or a file:/// URI."
    )


def local_path(uri: str) -> str:
    """The absolute path text of a folder path or file:// URI; a final slash is kept, it means a whole folder.

    Raises:
        ObjectError: the URI has another scheme, or names another machine.
    """
    parts = urlsplit(uri)
    if parts.scheme == "" or "://" not in uri:
        text = uri
    elif parts.scheme == "file" and parts.netloc in ("", "localhost"):
        text = unquote(parts.path)
    else:
        raise ObjectError(f"local_mode does not read or write {uri!r} yet; give a folder or a file:/// URI.")
    if not text or "\0" in text or not _encodes(text):
        raise ObjectError(f"{uri!r} names no path; give a folder or a file:/// URI.")
    absolute = str(Path(text).absolute())
    return os.path.normpath(absolute) + ("/" if text.endswith("/") and absolute != "/" else "")


def _encodes(text: str) -> bool:
    """Whether a file can have this name: half a character, which JSON can hold, is none."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _walk(top: str) -> Iterator[str]:
    """Paths of the files at or below `top`."""
    if not Path(top).is_dir():
        yield top
        return
    for folder, folders, files in os.walk(top, onerror=_raise):
        for name in folders:
            if Path(folder, name).is_symlink():
                raise ObjectError(f"{folder}/{name} is a link to a folder; S3 has none. Put the folder itself there.")
        yield from (f"{folder}/{name}" for name in files)


def _raise(error: OSError) -> None:
    raise ObjectError(f"Cannot list {error.filename}: {error.strerror}; check its permissions.") from None
