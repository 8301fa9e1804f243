import json

import pytest

from local_mode.api import wire
from local_mode.api.wire import ApiError


def sent(answer, method="POST"):
    """Status line, headers and body of an answer."""
    seen = []
    body = b"".join(answer({"REQUEST_METHOD": method}, lambda status, headers: seen.extend((status, dict(headers)))))
    return (*seen, body)


def test_operation_is_what_follows_the_name_of_the_service():
    assert wire.operation("SageMaker.CreateTrainingJob") == "CreateTrainingJob"
    assert wire.operation("Logs_20140328.GetLogEvents") is None


@pytest.mark.parametrize("body", [b"{", b"[]", b'"text"', b"\xff", b"[" * 100_000])
def test_body_that_is_no_json_object_is_a_serialization_exception(body):
    with pytest.raises(ApiError, match="request body") as caught:
        wire.read(body)
    assert caught.value.code == "SerializationException"


def test_result_is_json_1_1_with_a_request_id_of_its_own():
    status, headers, body = sent(wire.result({"A": 1}))
    other = sent(wire.result(None))

    assert (status, json.loads(body), other[2]) == ("200 OK", {"A": 1}, b"")
    assert headers["Content-Type"] == "application/x-amz-json-1.1"
    assert headers["Content-Length"] == str(len(body))
    assert headers["x-amzn-RequestId"] != other[1]["x-amzn-RequestId"]


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("sagemaker", '{"__type": "InvalidSignatureException", "message": "a < b"}'),
        ("s3", "<Error><Code>SignatureDoesNotMatch</Code><Message>a &lt; b</Message></Error>"),
        ("iam", "<Type>Sender</Type><Code>InvalidSignatureException</Code><Message>a &lt; b</Message>"),
    ],
)
def test_error_has_the_form_that_clients_of_the_service_read(service, expected):
    status, _, body = sent(wire.error(ApiError("InvalidSignatureException", "a < b", 403), service))

    assert status == "403 Forbidden"
    assert expected in body.decode()


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("ec2", "<Response><Errors><Error><Code>NotImplemented</Code><Message>a &lt; b</Message></Error></Errors>"),
        ("sns", "<ErrorResponse><Error><Type>Receiver</Type><Code>NotImplemented</Code>"),
    ],
)
def test_client_that_sends_a_form_is_told_in_xml(service, expected):
    form = "application/x-www-form-urlencoded; charset=utf-8"
    _, _, body = sent(wire.error(ApiError("NotImplemented", "a < b", 501), service, form))

    assert expected in body.decode()


def test_answer_to_head_has_no_body():
    _, headers, body = sent(wire.result({"A": 1}), "HEAD")

    assert (headers["Content-Length"], body) == ("8", b"")
