"""AWS's wire: which operation a request asks for, and answers and errors in the form its service has."""

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment
from xml.sax.saxutils import escape

TARGET = "SageMaker."
"""What X-Amz-Target begins with for operations of SageMaker's API."""
_JSON = "application/x-amz-json-1.1"
_REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 413: "Payload Too Large", 500: "Internal Server Error",
            501: "Not Implemented"}  # fmt: skip
_XML_SERVICES = ("iam", "sts", "monitoring")
_ORIGINAL_NAMES = {
    "UnrecognizedClientException": "InvalidAccessKeyId",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "MissingAuthenticationTokenException": "AccessDenied",
}
"""The names S3 has for what the other services call by newer ones."""


class ApiError(Exception):
    """What a client is answered instead of a result."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A response, whole."""

    status: int
    body: bytes
    content_type: str = _JSON

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send it, as a WSGI application does."""
        status = f"{self.status} {_REASONS.get(self.status, 'Error')}"
        length = ("Content-Length", str(len(self.body)))
        headers = [("Content-Type", self.content_type), length, ("x-amzn-RequestId", str(uuid.uuid4()))]
        start_response(status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.body]


def operation(target: str) -> str | None:
    """The SageMaker operation that X-Amz-Target names; None for other services."""
    return target.removeprefix(TARGET) if target.startswith(TARGET) else None


def read(body: bytes) -> dict[str, Any]:
    """The members of a JSON request.

    Raises:
        ApiError: it is no JSON object.
    """
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        raise ApiError("SerializationException", "The request body is not JSON.") from None
    except RecursionError:
        raise ApiError("SerializationException", "The request body is nested too deeply.") from None
    if not isinstance(document, dict):
        raise ApiError("SerializationException", "The request body must be a JSON object.")
    return document


def result(document: Mapping[str, Any] | None) -> Answer:
    """The answer of a JSON operation; None for those that answer nothing."""
    return Answer(status=200, body=b"" if document is None else json.dumps(document).encode())


def error(problem: ApiError, service: str, content_type: str = "") -> Answer:
    """An error, in the form that clients of `service` (as in a credential scope) read; who sends a form reads XML."""
    if service == "s3":
        code = _ORIGINAL_NAMES.get(problem.code, problem.code)
        inner = f"<Code>{code}</Code><Message>{escape(problem.message)}</Message>"
        return _xml(problem.status, f"<Error>{inner}</Error>")
    if service == "ec2":
        inner = f"<Code>{problem.code}</Code><Message>{escape(problem.message)}</Message>"
        return _xml(problem.status, f"<Response><Errors><Error>{inner}</Error></Errors></Response>")
    if service in _XML_SERVICES or content_type.startswith("application/x-www-form-urlencoded"):
        kind = "Sender" if problem.status < 500 else "Receiver"
        inner = f"<Type>{kind}</Type><Code>{problem.code}</Code><Message>{escape(problem.message)}</Message>"
        return _xml(problem.status, f"<ErrorResponse><Error>{inner}</Error></ErrorResponse>")
    body = json.dumps({"__type": problem.code, "message": problem.message}).encode()
    return Answer(status=problem.status, body=body)


def _xml(status: int, text: str) -> Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    return Answer(status=status, body=body, content_type="text/xml")
