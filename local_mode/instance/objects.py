"""Objects by their keys, wherever they are kept: the one door to a channel's data.

Standard library only, the feeder uses it. Another kind of store (s3://) is another `Source`, chosen in `find`.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit


class ObjectError(Exception):
    """An object is missing, cannot be read, or is not what it should be; the text names it."""


class Readable(Protocol):
    """An open object."""

    def read(self, size: int, /) -> bytes:
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


class Source(Protocol):
    """A store of objects. A key is the whole address of one; a prefix is the beginning of a key's text."""

    def list(self, prefix: str) -> list[Found]:
        """Every object whose key begins with `prefix`, in the binary order of their keys.

        Raises:
            ObjectError: something that matches cannot be an object.
            OSError: the store cannot be listed.
        """
        ...

    def size(self, key: str) -> int:
        """Bytes of an object now.

        Raises:
            OSError: there is none of this key.
        """
        ...

    def read(self, key: str, offset: int = 0) -> Readable:
        """An object's bytes from `offset` on; an io.FileIO is sent by the kernel, anything else is copied.

        Raises:
            OSError: it cannot be read.
        """
        ...


class Folder:
    """The files of this machine: a folder stands in for a bucket, its files are the objects, a path is a key."""

    def list(self, prefix: str) -> list[Found]:
        """Files whose path begins with the text `prefix`."""
        parent, _, beginning = prefix.rpartition("/")
        siblings = [entry.name for entry in os.scandir(parent or "/") if entry.name.startswith(beginning)]
        paths = sorted((path for name in siblings for path in _walk(f"{parent}/{name}")), key=os.fsencode)
        return [Found(path, self._listed_size(path)) for path in paths]

    def size(self, key: str) -> int:
        """Bytes of a file."""
        status = Path(key).stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a plain file, as S3 objects are", key)
        return status.st_size

    def read(self, key: str, offset: int = 0) -> Readable:
        """A file's bytes."""
        file = open(key, "rb", buffering=0)  # noqa: SIM115, PTH123  the caller closes it; Path.open hides its type
        file.seek(offset)
        return file

    def _listed_size(self, path: str) -> int:
        try:
            return self.size(path)
        except OSError as error:
            raise ObjectError(f"Cannot read {path}: {error.strerror}; mend it or move it out of the channel.") from None


def find(uri: str) -> tuple[Source, str]:
    """The source that has what `uri` names, and the key or prefix that it names there.

    Raises:
        ObjectError: the scheme is not served, or the URI names nothing.
    """
    return Folder(), local_path(uri)


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
