"""Finds the objects an S3Uri names, as S3 would, and says where in a channel's folder each of them goes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local_mode.channels import objects
from local_mode.channels.objects import Folder, Found, ObjectError, Source
from local_mode.errors import SourceError


@dataclass(frozen=True, kw_only=True)
class SourceObject:
    """One object of a channel."""

    name: str
    """Path below the channel's folder: the key with its prefix cut at a folder boundary."""
    key: str
    size: int
    """Bytes, when it was listed."""
    tag: str = ""
    """ETag, when it was listed; empty for files."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """All objects that one S3Uri names, in the order they are delivered."""

    objects: tuple[SourceObject, ...]
    root: Path | None = None
    """The folder that holds exactly these objects under exactly these names; None when there is none."""
    whole: bool = False
    """Whether these are all plain files of one folder and no others: what FastFile can show."""
    surprise: str = ""
    """What a user may not have meant by this prefix; empty when there is nothing to say."""


def list_objects(uri: str, s3: Source | None = None) -> Listing:
    """List every object whose key begins with what `uri` names, as text, in the binary order of their keys.

    Raises:
        SourceError: nothing matches, something that matches cannot be an object, or the scheme is not served.
    """
    try:
        source, prefix = objects.find(uri, s3)
        found = source.list(prefix)
    except ObjectError as error:
        raise SourceError(str(error)) from None
    except OSError as error:
        raise nothing(uri, f"{error.strerror}: check S3Uri") from None
    if not found:
        raise nothing(uri, "it must be the beginning of an object's key")
    named = tuple(
        SourceObject(name=cut(prefix, item.key), key=item.key, size=item.size, tag=item.tag) for item in found
    )
    others = _outside(prefix, found)
    surprise = ""
    if others and len(others) < len(found):
        names = ", ".join(dict.fromkeys(key[prefix.rfind("/") + 1 :].partition("/")[0] for key in others))
        surprise = f"the prefix {prefix} also matches {names}; end it with a slash to mean the folder alone"
    root = None if others else _mountable(source, prefix, found)
    whole = not others and (root is not None or not isinstance(source, Folder))
    return Listing(objects=named, root=root, whole=whole, surprise=surprise)


def list_one(uri: str, s3: Source | None = None) -> Listing:
    """The one object whose key is what `uri` names, such as a manifest.

    Raises:
        SourceError: there is none, or the scheme is not served.
    """
    try:
        source, key = objects.find(uri, s3)
        found = source.one(key)
        item = SourceObject(name=key.rpartition("/")[2], key=key, size=found.size, tag=found.tag)
    except ObjectError as error:
        raise SourceError(str(error)) from None
    except OSError as error:
        raise nothing(uri, f"{error.strerror}: it must be the manifest's own key") from None
    return Listing(objects=(item,))


def local_path(uri: str) -> str:
    """The absolute path text of a folder path or file:// URI; a final slash is kept, it means a whole folder.

    Raises:
        SourceError: the URI has another scheme, or names another machine.
    """
    try:
        return objects.local_path(uri)
    except ObjectError as error:
        raise SourceError(str(error)) from None


def nothing(uri: str, why: str) -> SourceError:
    """The service's words for an S3Uri that names nothing, and what to do."""
    if uri.startswith(objects.SCHEME):
        why = f"{why}. Please ensure that the bucket exists and that objects exist under that S3 prefix"
    return SourceError(f'No S3 objects found under S3 URL "{uri}" given in input data source; {why}.')


def cut(prefix: str, key: str) -> str:
    """The part of `key` that becomes a path below the channel: cut at a folder boundary, never inside a name.

    >>> cut("p/in", "p/in/y.csv"), cut("d/train", "d/train-data.csv"), cut("p/in/y.csv", "p/in/y.csv")
    ('y.csv', 'train-data.csv', 'y.csv')
    """
    folder = _folder(prefix)
    if key.startswith(folder):
        return key[len(folder) :]
    return key[prefix.rfind("/") + 1 :]


def _folder(prefix: str) -> str:
    return prefix if prefix.endswith("/") else f"{prefix}/"


def _outside(prefix: str, found: Sequence[Found]) -> list[str]:
    """Keys that the prefix matches by its text only, not as a folder."""
    return [item.key for item in found if not item.key.startswith(_folder(prefix))]


def _mountable(source: Source, folder: str, found: Sequence[Found]) -> Path | None:
    """The folder itself, where it can be shown in place of a copy: a link in it would lead out of a mount."""
    plain = isinstance(source, Folder) and not any(os.path.islink(item.key) for item in found)  # noqa: PTH114  # of a million objects: a tenth of Path's time
    return Path(folder) if plain else None


def refuse_clashes(uri: str, items: Sequence[SourceObject]) -> None:
    """See that every object can be a file of its own below a channel.

    Raises:
        SourceError: two go to one place, one would be a folder, or a name is no path.
    """
    seen: dict[str, str] = {}
    for item in items:
        if {"", ".", ".."} & set(item.name.split("/")) or "\0" in item.name:
            raise SourceError(f"{item.key} cannot be a file below a channel; give it another key.")
        if item.name in seen:
            both = f"{seen[item.name]} and {item.key}"
            raise SourceError(f"{uri} puts {both} at the same place, {item.name}; use a longer prefix.")
        seen[item.name] = item.key
    for item in items:
        parent = item.name
        while parent := parent.rpartition("/")[0]:
            if (above := seen.get(parent)) is not None:
                raise SourceError(
                    f"{uri} has both an object {above} and objects below it; they cannot be a file and a folder at "
                    "once."
                )
