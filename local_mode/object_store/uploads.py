"""Bytes that a client sends for an object or a part of one: taken out of AWS's chunks, checked, kept as a piece."""

import base64
import io
from dataclasses import dataclass
from wsgiref.types import WSGIEnvironment

from local_mode.object_store import checksums
from local_mode.object_store.body import Body
from local_mode.object_store.checksums import Digest, Md5
from local_mode.object_store.chunked import CODING, Chunks, MalformedError
from local_mode.object_store.pieces import CHUNK, Folder, Piece

_STREAMING = "STREAMING-"


class UploadError(Exception):
    """The bytes are not those that the client says it sends; nothing of them is kept."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, kw_only=True)
class Upload:
    """Bytes that lie in a piece."""

    piece: Piece
    etag: str
    """MD5 in hex."""
    algorithm: str = ""
    """Of the checksum, as headers name it in capitals; empty without one."""
    checksum: str = ""


def take(environ: WSGIEnvironment, folder: Folder) -> Upload:
    """Keep the body of a request, a `Body`; whoever reads the request next finds it empty, and the checksum in it.

    Raises:
        UploadError: length, MD5 or checksum are others than those that were sent along.
        OSError: it cannot be written.
    """
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    upload = _chunked(environ["wsgi.input"], headers, folder) if _is_chunked(headers) else _whole(environ, headers)
    try:
        _check_md5(headers.get("content-md5", ""), upload.etag)
    except UploadError:
        folder.remove([upload.piece.name])
        raise
    for name in ("HTTP_CONTENT_MD5", "HTTP_TRANSFER_ENCODING", "wsgi.input_terminated", "HTTP_X_AMZ_TRAILER"):
        environ.pop(name, None)
    environ |= {"wsgi.input": io.BytesIO(), "CONTENT_LENGTH": "0", "HTTP_X_AMZ_CONTENT_SHA256": "UNSIGNED-PAYLOAD"}
    environ.pop("HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM", None)
    if upload.checksum:
        environ["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"] = upload.algorithm
        environ[f"HTTP_X_AMZ_CHECKSUM_{upload.algorithm}"] = upload.checksum
    return upload


def _is_chunked(headers: dict[str, str]) -> bool:
    codings = headers.get("content-encoding", "").replace(" ", "").split(",")
    return headers.get("x-amz-content-sha256", "").startswith(_STREAMING) or CODING in codings


def _wanted(headers: dict[str, str]) -> str:
    """The algorithm that a client names, with a value before the bytes, behind them, or with none."""
    algorithm, _ = checksums.given(headers)
    trailer = headers.get("x-amz-trailer", "").strip().lower()
    named = trailer.removeprefix(checksums.HEADER) if trailer.startswith(checksums.HEADER) else ""
    return algorithm or named.upper() or headers.get("x-amz-sdk-checksum-algorithm", "").upper()


def _whole(environ: WSGIEnvironment, headers: dict[str, str]) -> Upload:
    body: Body = environ["wsgi.input"]
    algorithm = _wanted(headers)
    digest = checksums.begin(algorithm)
    while digest and (chunk := body.read(CHUNK)):
        digest.update(chunk)
    value = _check(algorithm, digest, checksums.given(headers)[1])
    return Upload(piece=body.keep(), etag=body.md5, algorithm=algorithm if value else "", checksum=value)


def _chunked(body: Body, headers: dict[str, str], folder: Folder) -> Upload:
    algorithm = _wanted(headers)
    digest, tag, chunks = checksums.begin(algorithm), Md5(), Chunks(body)

    def seen(chunk: bytes) -> None:
        tag.update(chunk)
        if digest:
            digest.update(chunk)

    try:
        piece = folder.write(chunks, seen)
    except MalformedError as error:
        raise UploadError("IncompleteBody", str(error)) from None
    try:
        _check_length(headers.get("x-amz-decoded-content-length", ""), piece.size)
        value = _check(algorithm, digest, checksums.given(headers | chunks.trailers)[1])
    except UploadError:
        folder.remove([piece.name])
        raise
    return Upload(piece=piece, etag=tag.digest().hex(), algorithm=algorithm if value else "", checksum=value)


def _check_length(told: str, size: int) -> None:
    if told and told != str(size):
        raise UploadError("IncompleteBody", f"The body has {size} bytes, and says that it has {told}.")


def _check(algorithm: str, digest: Digest | None, value: str) -> str:
    """The checksum to keep: the one that was sent, or ours where none was."""
    if digest is None:
        return value
    ours = checksums.text(digest.digest())
    if value and value != ours:
        text = f"The {algorithm} you specified did not match the calculated checksum: {value} and {ours}."
        raise UploadError("BadDigest", text)
    return ours


def _check_md5(sent: str, etag: str) -> None:
    if sent and sent.strip() != base64.b64encode(bytes.fromhex(etag)).decode():
        raise UploadError("BadDigest", "The Content-MD5 you specified did not match what we received.")
