"""moto's S3 with its objects on disk: what changes one is written down before it is answered, and reads skip moto."""

import copy
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote
from wsgiref.types import StartResponse, WSGIEnvironment

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML, NoSuchUpload
from moto.s3.models import FakeBucket, FakeKey, FakeMultipart, S3Backend, s3_backends
from moto.settings import S3_UPLOAD_PART_MIN_SIZE
from moto.utilities.utils import get_partition

from local_mode.object_store import answers, checksums, uploads
from local_mode.object_store.index import Bucket, Record
from local_mode.object_store.objects import ObjectStore
from local_mode.object_store.pieces import Piece
from local_mode.object_store.uploads import Upload, UploadError

_KEPT = re.compile(
    r"content-(?!length|md5|sha256|crc32).*|cache-control|expires|x-amz-meta-.*|x-amz-website-redirect-location"
)
_CHANGING = ("PUT", "POST", "DELETE")


class _Kept(bytes):
    """What moto is handed in place of bytes: it is empty, they lie in pieces."""

    pieces: tuple[Piece, ...] = ()
    etag = ""


class _Key(FakeKey):
    """An object, or a part of one, whose bytes are on disk."""

    store: ObjectStore
    pieces: tuple[Piece, ...]

    @property
    def value(self) -> bytes:
        """All bytes; for what only moto does, such as older versions."""
        reader = self.store.reader(self.pieces)
        try:
            return b"".join(reader)
        finally:
            reader.close()

    def __getstate__(self) -> dict[str, Any]:
        return vars(self).copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def dispose(self, garbage: bool = False) -> None:
        """Nothing: the pieces are the store's."""

    def record(self, tags: dict[str, str]) -> Record:
        """What the index is told of it."""
        known = {name: getattr(self, f"checksum_{name}") for name in ("algorithm", "value", "type", "parts")}
        return Record(
            bucket=str(self.bucket_name),
            key=self.name,
            etag=self.etag.strip('"'),
            modified=self.last_modified.replace(tzinfo=UTC).timestamp(),
            pieces=self.pieces,
            headers={name: value for name, value in self.metadata.items() if _KEPT.fullmatch(name.lower())},
            tags=tags,
            storage=self.storage_class or "STANDARD",
            checksum={name: value for name, value in known.items() if value},
            encryption=self.encryption,
        )

    def item(self) -> answers.Item:
        """What GET and HEAD answer."""
        mine = ("etag", "last-modified", "content-length", "x-amz-sdk-checksum-algorithm")
        told = {name: value for name, value in self.response_dict.items() if name.lower() not in mine}
        kept = {name: value for name, value in self.metadata.items() if _KEPT.fullmatch(name.lower())}
        checksum = {}
        if self.checksum_algorithm and self.checksum_value:
            composite = f"-{self.checksum_parts}" if self.checksum_type == "COMPOSITE" else ""
            checksum[f"{checksums.HEADER}{self.checksum_algorithm.lower()}"] = f"{self.checksum_value}{composite}"
            checksum["x-amz-checksum-type"] = self.checksum_type or "FULL_OBJECT"
        modified = self.last_modified.replace(tzinfo=UTC)
        return answers.Item(
            etag=self.etag.strip('"'), modified=modified, pieces=self.pieces, headers=told | kept, checksum=checksum
        )


class _Source(_Key):
    """An object that is being copied."""

    @property
    def value(self) -> bytes:
        """The same bytes, linked."""
        kept = _Kept()
        kept.pieces, kept.etag = self.store.folder.link(self.pieces), self.etag.strip('"')
        return kept


class _Multipart(FakeMultipart):
    """An upload in parts, whose parts become the object's pieces as they are."""

    def complete(self, body: Iterator[tuple[int, str]]) -> tuple[bytes, str, tuple[str, str, int] | None]:
        """The object's bytes, tag and checksum."""
        parts: list[_Key] = []
        for number, tag in body:
            part: Any = self.parts.get(number)
            if part is None or part.etag.strip('"') != tag.replace('"', ""):
                raise InvalidPart
            if parts and parts[-1].size < S3_UPLOAD_PART_MIN_SIZE:
                raise EntityTooSmall
            parts.append(part)
        if not parts:
            raise MalformedXML
        tags = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
        kept = _Kept()
        kept.pieces = tuple(piece for part in parts for piece in part.pieces)
        algorithm = self.metadata.get("x-amz-checksum-algorithm", "")
        whole = "" if self.metadata.get("x-amz-checksum-type") == "FULL_OBJECT" else "COMPOSITE"
        value = checksums.composite(algorithm, [part.checksum_value or "" for part in parts]) if whole else ""
        return kept, f"{checksums.md5(tags)}-{len(parts)}", (whole, value, len(parts)) if value else None


class _Call(threading.local):
    """What one request brings and changes."""

    upload: Upload | None = None
    made: tuple[Piece, ...] = ()
    keys: frozenset[tuple[str, str]] = frozenset()
    buckets: frozenset[str] = frozenset()

    def begin(self, upload: Upload | None) -> None:
        self.upload, self.made = upload, (upload.piece,) if upload else ()
        self.keys, self.buckets = frozenset(), frozenset()


class Objects(S3Backend):
    """moto's S3 with its objects on disk: all that changes one is written down before it is answered."""

    def __init__(self, region: str, store: ObjectStore) -> None:
        partition = get_partition(region)
        super().__init__(partition, DEFAULT_ACCOUNT_ID)
        self._store, self._lock, self._call = store, threading.RLock(), _Call()
        for model in (FakeKey, FakeMultipart):
            type.__setattr__(model, "instances_tracked", deque(maxlen=0))  # moto would keep every one for ever
        for bucket in store.buckets():
            made = FakeBucket(bucket.name, DEFAULT_ACCOUNT_ID, bucket.region)  # type: ignore[abstract]  # as moto does
            made.creation_date = datetime.fromtimestamp(bucket.created, UTC)
            self.buckets[bucket.name] = made
        self._unread = set(self.buckets)
        s3_backends[DEFAULT_ACCOUNT_ID][partition] = self

    def answer(self, environ: WSGIEnvironment, start_response: StartResponse, moto: Any) -> Iterable[bytes]:
        """Answer one request for S3: GET and HEAD of objects from disk, all else by moto."""
        bucket, key = _place(environ)
        method = environ["REQUEST_METHOD"]
        if method in ("GET", "HEAD") and key and answers.is_plain(environ):
            with self._lock:
                held = self.get_object(bucket, key) if bucket in self.buckets else None
                if isinstance(held, _Key):
                    return answers.answer(environ, start_response, held.item(), self._store.folder)
        if method not in _CHANGING:
            return moto(environ, start_response)  # type: ignore[no-any-return]
        try:
            upload = uploads.take(environ, self._store.folder) if _brings_bytes(environ, key) else None
        except UploadError as error:
            return answers.refuse(error.code, error.message, start_response)
        return self._change(environ, start_response, moto, upload)

    def _change(
        self, environ: WSGIEnvironment, start_response: StartResponse, moto: Any, upload: Upload | None
    ) -> Iterable[bytes]:
        """Let moto make a change, and write it down; one at a time, and nothing of it stays when it fails."""
        said: list[Any] = []
        with self._lock:
            self._call.begin(upload)
            done = False
            try:
                body = moto(environ, lambda *line: said.append(line))
                if done := said[0][0].startswith("2"):
                    self._write_down()
            finally:
                if not done:
                    self._take_back()
        start_response(*said[0])
        return body  # type: ignore[no-any-return]

    def _write_down(self) -> None:
        for name in self._call.buckets:
            if bucket := self.buckets.get(name):
                created = bucket.creation_date.timestamp()
                self._store.index.add_bucket(Bucket(name=name, region=bucket.region_name, created=created))
            else:
                self._store.index.drop_bucket(name)
        for name, key in self._call.keys:
            versions = self.buckets[name].keys.getlist(key, [])
            wanted = {piece.name for each in versions if isinstance(each, _Key) for piece in each.pieces}
            if versions and isinstance(versions[-1], _Key):
                tags = self.tagger.get_tag_dict_for_resource(versions[-1].arn)
                self._store.put(versions[-1].record(tags), wanted=wanted)
            else:
                self._store.drop(name, key, wanted=wanted)

    def _take_back(self) -> None:
        """What is on disk holds: read it anew when it is asked for next."""
        for name in {name for name, _ in self._call.keys} & set(self.buckets):
            self._unread.add(name)
        if self._call.made:
            known = self._store.index.names()
            self._store.folder.remove({piece.name for piece in self._call.made} - known)

    def get_bucket(self, bucket_name: str) -> Any:
        """A bucket, with its objects."""
        bucket = super().get_bucket(bucket_name)
        if bucket_name in self._unread:
            with self._lock:
                if bucket_name in self._unread:
                    self._read(bucket)
                    self._unread.discard(bucket_name)
        return bucket

    def _read(self, bucket: Any) -> None:
        keys = type(bucket.keys)()
        for record in self._store.records(bucket.name):
            key = FakeKey(
                record.key, b"", DEFAULT_ACCOUNT_ID, self.region_name, record.storage, version_id="null",
                bucket_name=record.bucket, encryption=record.encryption,
            )  # fmt: skip
            self._hold(key, record.pieces, record.etag)
            key.last_modified = datetime.fromtimestamp(record.modified, UTC).replace(tzinfo=None)
            key.set_metadata(dict(record.headers))
            for name, value in record.checksum.items():
                setattr(key, f"checksum_{name}", value)
            if record.tags:
                self.tagger.tag_resource(key.arn, self.tagger.convert_dict_to_tags_input(dict(record.tags)))
            keys.setlist(record.key, [key])
        bucket.keys = keys

    def _hold(self, held: FakeKey, pieces: tuple[Piece, ...], etag: str) -> _Key:
        """Make one of moto's keys one whose bytes are on disk."""
        key: Any = held
        vars(key).pop("_value_buffer").close()
        key.__class__ = _Key
        key.store, key.pieces, key._etag = self._store, pieces, etag
        key.contentsize = sum(piece.size for piece in pieces)
        return key  # type: ignore[no-any-return]

    def _bytes(self, value: bytes) -> tuple[tuple[Piece, ...], str]:
        """Where the bytes of an object are that moto was handed, and their tag."""
        if isinstance(value, _Kept):
            pieces, etag = value.pieces, value.etag
        elif upload := self._call.upload:
            self._call.upload = None
            return (upload.piece,), upload.etag
        else:
            pieces, etag = (self._store.folder.write([value]),), checksums.md5(value)
        self._call.made += pieces
        return pieces, etag

    def create_bucket(self, bucket_name: str, *arguments: Any, **options: Any) -> FakeBucket:
        """A new bucket."""
        made = super().create_bucket(bucket_name, *arguments, **options)
        self._call.buckets |= {bucket_name}
        return made

    def delete_bucket(self, bucket_name: str) -> FakeBucket | None:
        """A bucket that is empty."""
        gone = super().delete_bucket(bucket_name)
        if gone is not None:
            self._call.buckets |= {bucket_name}
            self._drop_parts(part for upload in gone.multiparts.values() for part in upload.parts.values())
        return gone

    def put_object(self, bucket_name: str, key_name: str, value: bytes, *arguments: Any, **options: Any) -> FakeKey:
        """A new object, from wherever its bytes come."""
        pieces, etag = self._bytes(value)
        options["etag"] = options.get("etag") or etag
        self._call.keys |= {(bucket_name, key_name)}
        key = super().put_object(bucket_name, key_name, b"", *arguments, **options)
        return self._hold(key, pieces, options["etag"])

    def copy_object(self, src_key: FakeKey, *arguments: Any, **options: Any) -> None:
        """The same bytes under another key, with the tag they have."""
        source = copy.copy(src_key)
        if isinstance(src_key, _Key):
            source.__class__ = _Source
        super().copy_object(source, *arguments, **options)

    def create_multipart_upload(self, *arguments: Any, **options: Any) -> FakeMultipart:
        """An upload in parts."""
        made = super().create_multipart_upload(*arguments, **options)
        made.__class__ = _Multipart
        return made

    def upload_part(self, bucket_name: str, multipart_id: str, part_id: int, value: bytes) -> FakeKey:
        """A part, in place of an earlier one of its number."""
        upload = self._upload(bucket_name, multipart_id)
        checksum = self._call.upload.checksum if self._call.upload else None
        pieces, etag = self._bytes(value)
        old = upload.parts.get(part_id)
        key = self._hold(upload.set_part(part_id, b""), pieces, etag)
        key.checksum_value = checksum
        self._drop_parts([old] if old else [])
        return key

    def upload_part_copy(
        self,
        dest_bucket_name: str,
        multipart_id: str,
        part_id: int,
        src_bucket_name: str,
        src_key_name: str,
        src_version_id: str | None,
        start_byte: int,
        end_byte: int,
    ) -> FakeKey:
        """A part from bytes of another object; None for both ends is all of it."""
        source: Any = self.get_object(src_bucket_name, src_key_name, version_id=src_version_id)
        begin = start_byte or 0
        length = None if end_byte is None else min(end_byte, source.size - 1) - begin + 1
        reader, digest = self._store.reader(source.pieces, begin, length), checksums.Md5()
        try:
            kept = _Kept()
            kept.pieces = (self._store.folder.write(reader, digest.update),)
            kept.etag = digest.digest().hex()
        finally:
            reader.close()
        return self.upload_part(dest_bucket_name, multipart_id, part_id, kept)

    def complete_multipart_upload(
        self, bucket_name: str, multipart_id: str, body: Iterator[tuple[int, str]]
    ) -> FakeKey | None:
        """The object that the parts make."""
        upload = self._upload(bucket_name, multipart_id)
        key: Any = super().complete_multipart_upload(bucket_name, multipart_id, body)
        used = {piece.name for piece in key.pieces}
        self._drop_parts(part for part in upload.parts.values() if part.pieces[0].name not in used)
        upload.parts.clear()
        return key  # type: ignore[no-any-return]

    def abort_multipart_upload(self, bucket_name: str, multipart_id: str) -> None:
        """Forget an upload and its parts."""
        upload = self._upload(bucket_name, multipart_id)
        super().abort_multipart_upload(bucket_name, multipart_id)
        self._drop_parts(upload.parts.values())

    def put_object_tagging(self, key: FakeKey, tags: dict[str, str] | None) -> FakeKey:
        """Other tags for an object."""
        self._call.keys |= {(str(key.bucket_name), key.name)}
        return super().put_object_tagging(key, tags)

    def delete_object_tagging(self, bucket_name: str, key_name: str, version_id: str | None = None) -> None:
        """An object without tags."""
        self._call.keys |= {(bucket_name, key_name)}
        super().delete_object_tagging(bucket_name, key_name, version_id)

    def delete_object(self, bucket_name: str, key_name: str, *arguments: Any, **options: Any) -> Any:
        """No such object any more."""
        self._call.keys |= {(bucket_name, key_name)}
        return super().delete_object(bucket_name, key_name, *arguments, **options)

    def _upload(self, bucket_name: str, multipart_id: str) -> Any:
        upload = self.get_bucket(bucket_name).multiparts.get(multipart_id)
        if upload is None:
            raise NoSuchUpload(upload_id=multipart_id)
        return upload

    def _drop_parts(self, parts: Iterable[Any]) -> None:
        self._store.folder.remove(piece.name for part in parts for piece in part.pieces)


def _place(environ: WSGIEnvironment) -> tuple[str, str]:
    """Bucket and key of a request, empty without."""
    path = unquote((environ.get("REQUEST_URI") or environ["RAW_URI"]).partition("?")[0])
    bucket, _, key = path[1:].partition("/")
    return bucket, key


def _brings_bytes(environ: WSGIEnvironment, key: str) -> bool:
    """Whether a request's body is bytes of an object or a part, and not words about one."""
    if environ["REQUEST_METHOD"] != "PUT" or not key or "HTTP_X_AMZ_COPY_SOURCE" in environ:
        return False
    return answers.words(environ) <= {"partnumber", "uploadid", "x-id"}
