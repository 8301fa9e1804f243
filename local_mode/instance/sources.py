"""Finds the objects an S3Uri names, as S3 would: by textual prefix, in the binary order of their keys.

A folder stands in for a bucket; its files are the objects. Other kinds of source (s3://) will be other
functions with `list_folder`'s result, chosen in `list_objects`.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from local_mode.errors import SourceError


@dataclass(frozen=True, kw_only=True)
class SourceObject:
    """One object of a channel."""

    name: str
    """Path below the channel's folder: the key with its prefix cut at a folder boundary."""
    path: Path
    size: int
    """Bytes, when it was listed."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All objects that one S3Uri names, in the order they are delivered."""

    objects: tuple[SourceObject, ...]
    root: Path | None
    """The folder that holds exactly these objects under exactly these names; None when there is none."""
    surprise: str = ""
    """What a user may not have meant by this prefix; empty when there is nothing to say."""


def list_objects(uri: str) -> Listing:
    """List what `uri` names.

    Raises:
        SourceError: nothing matches, something is not a plain file, or the scheme is not served yet.
    """
    return list_folder(local_path(uri))


def local_path(uri: str) -> str:
    """The absolute path text of a folder path or file:// URI; a final slash is kept, it means a whole folder.

    Raises:
        SourceError: the URI has another scheme, or names another machine.
    """
    parts = urlsplit(uri)
    if parts.scheme == "" or "://" not in uri:
        text = uri
    elif parts.scheme == "file" and parts.netloc in ("", "localhost"):
        text = unquote(parts.path)
    else:
        raise SourceError(f"local_mode does not read or write {uri!r} yet; give a folder or a file:/// URI.")
    absolute = str(Path(text).absolute()) if text else text
    if not text or "\0" in text:
        raise SourceError(f"{uri!r} names no path; give a folder or a file:/// URI.")
    return os.path.normpath(absolute) + ("/" if text.endswith("/") and absolute != "/" else "")


def list_folder(prefix: str) -> Listing:
    """List every file whose path begins with the text `prefix`, as S3 does with keys.

    Raises:
        SourceError: nothing matches, or something that matches cannot be an object.
    """
    parent, _, beginning = prefix.rpartition("/")
    try:
        siblings = sorted(entry.name for entry in os.scandir(parent or "/") if entry.name.startswith(beginning))
    except OSError as error:
        raise SourceError(f"No objects found under {prefix}: {error.strerror}; check S3Uri.") from None
    paths = sorted((path for name in siblings for path in _walk(f"{parent}/{name}")), key=os.fsencode)
    if not paths:
        raise SourceError(f"No objects found under {prefix}; S3Uri must be the beginning of a file's path.")
    objects = tuple(_object(prefix, path) for path in paths)
    _refuse_clashes(prefix, objects)
    folder = Path(prefix)
    whole = folder.is_dir() and (not beginning or siblings == [beginning])
    surprise = ""
    if folder.is_dir() and not whole:
        others = ", ".join(name for name in siblings if name != beginning)
        surprise = f"the prefix {prefix} also matches {others}; end it with a slash to mean the folder alone"
    plain = not any(item.path.is_symlink() for item in objects)
    return Listing(objects=objects, root=folder if whole and plain else None, surprise=surprise)


def cut(prefix: str, key: str) -> str:
    """The part of `key` that becomes a path below the channel: cut at a folder boundary, never inside a name.

    >>> cut("p/in", "p/in/y.csv"), cut("d/train", "d/train-data.csv"), cut("p/in/y.csv", "p/in/y.csv")
    ('y.csv', 'train-data.csv', 'y.csv')
    """
    folder = prefix if prefix.endswith("/") else f"{prefix}/"
    if key.startswith(folder):
        return key[len(folder) :]
    return key[prefix.rfind("/") + 1 :]


def _walk(top: str) -> Iterator[str]:
    """Paths of the files at or below `top`."""
    if not Path(top).is_dir():
        yield top
        return
    for folder, folders, files in os.walk(top, onerror=_raise):
        for name in folders:
            if Path(folder, name).is_symlink():
                raise SourceError(f"{folder}/{name} is a link to a folder; S3 has none. Put the folder itself there.")
        yield from (f"{folder}/{name}" for name in files)


def _raise(error: OSError) -> None:
    raise SourceError(f"Cannot list {error.filename}: {error.strerror}; check its permissions.") from None


def _object(prefix: str, path: str) -> SourceObject:
    try:
        status = Path(path).stat()
    except OSError as error:
        raise SourceError(f"Cannot read {path}: {error.strerror}; mend it or move it out of the channel.") from None
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(f"{path} is not a plain file; S3 objects are files. Move it out of the channel.")
    return SourceObject(name=cut(prefix, path), path=Path(path), size=status.st_size)


def _refuse_clashes(prefix: str, objects: tuple[SourceObject, ...]) -> None:
    seen: dict[str, Path] = {}
    for item in objects:
        if item.name in seen:
            both = f"{seen[item.name]} and {item.path}"
            raise SourceError(f"{prefix} puts {both} at the same place, {item.name}; use a longer prefix.")
        seen[item.name] = item.path
