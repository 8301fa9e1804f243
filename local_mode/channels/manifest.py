"""Reads a ManifestFile: a prefix, and what follows it in the key of each object."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

from local_mode.channels.objects import SCHEME, ObjectError, Remote, Source, find
from local_mode.channels.sources import Listing, SourceObject, list_one, nothing
from local_mode.errors import SourceError

_CHUNK_BYTES = 1 << 20
_CONNECTIONS = 16
"""For the sizes of remote objects: one round trip each."""


def list_manifest(uri: str, *, full_keys: bool = True, s3: Source | None = None) -> Listing:
    """List the objects that the manifest at `uri` names, in its order.

    With `full_keys`, File mode puts them below the channel under their whole keys, else under what follows the prefix.
    The first is what one user reported of the service in 2019; nothing documents either. A folder has no bucket, so
    there a whole key begins with the last folder of the prefix: as if the folder above it were the bucket.

    Raises:
        SourceError: it cannot be read, is no manifest, is empty, or names something that is no object.
    """
    try:
        prefix, suffixes = _parse(uri, _text(uri, s3))
        source, start = find(prefix, s3)
        found = _all(partial(_object, uri, source, start, full_keys=full_keys), suffixes, source)
    except ObjectError as error:
        raise SourceError(f"The manifest {uri}: {error}") from None
    if not found:
        raise nothing(uri, "the manifest names a prefix and no object")
    return Listing(objects=found)


def _all(look: Callable[[str], SourceObject], suffixes: Sequence[str], source: Source) -> tuple[SourceObject, ...]:
    if not isinstance(source, Remote):
        return tuple(map(look, suffixes))
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        try:
            return tuple(pool.map(look, suffixes))
        finally:
            pool.shutdown(cancel_futures=True)


def _text(uri: str, s3: Source | None) -> bytes:
    (manifest,) = list_one(uri, s3).objects
    source, key = find(manifest.key, s3)
    try:
        with closing(source.read(key)) as stream:
            return b"".join(iter(lambda: stream.read(_CHUNK_BYTES), b""))
    except OSError as error:
        raise ObjectError(f"cannot be read: {error.strerror}") from None


def _parse(uri: str, text: bytes) -> tuple[str, list[str]]:
    """Prefix and suffixes."""
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"The manifest {uri} is not JSON: {error}.") from None
    like = '[{"prefix": "file:///folder/"}, "a/1.bin", "a/2.bin"]'
    if not isinstance(document, list) or not document or not isinstance(document[0], dict):
        raise SourceError(f"The manifest {uri} does not begin with a prefix; write it like {like}.")
    prefix = document[0].get("prefix")
    if list(document[0]) != ["prefix"] or not isinstance(prefix, str) or not prefix:
        raise SourceError(f"The manifest {uri} begins with {json.dumps(document[0])}; write it like {like}.")
    for number, entry in enumerate(document[1:], 1):
        if not isinstance(entry, str) or not entry:
            raise SourceError(f"The manifest {uri}: entry {number} is {json.dumps(entry)}; write it like {like}.")
    return prefix, document[1:]


def _object(uri: str, source: Source, start: str, suffix: str, *, full_keys: bool) -> SourceObject:
    folder, _, beginning = start.rpartition("/")
    rest = beginning + suffix
    if {"", ".", ".."} & set(rest.split("/")):
        raise SourceError(
            f"The manifest {uri} names {suffix!r}, which is no path below its prefix; "
            "write it without empty, '.' and '..' parts."
        )
    key = start + suffix if isinstance(source, Remote) else find(start + suffix)[1]
    try:
        item = source.one(key)
    except OSError as error:
        raise SourceError(f"The manifest {uri} names {suffix!r}, but {key} cannot be read: {error.strerror}.") from None
    name = _whole(source, folder, rest) if full_keys else suffix
    return SourceObject(name=name.lstrip("/"), key=key, size=item.size, tag=item.tag)


def _whole(source: Source, folder: str, rest: str) -> str:
    if isinstance(source, Remote):
        return f"{folder}/{rest}".removeprefix(SCHEME).partition("/")[2]
    return f"{folder.rpartition('/')[2]}/{rest}"
