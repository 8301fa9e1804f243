import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local_mode.api.signature import AccessKey, Signed, admit, service_of, verify
from local_mode.api.wire import ApiError

KEY = AccessKey(id="LOCALKEY", secret="a secret")
EMPTY = hashlib.sha256(b"").hexdigest()


def signed(signer, service, *, path="/", method="POST", body=b"", headers=None, **options):
    """A request as a client sends it, and the hash of its body."""
    url = f"http://127.0.0.1:4640{path}"
    request = AWSRequest(method=method, url=url, data=body, headers={"Host": "127.0.0.1:4640", **(headers or {})})
    signer(Credentials(KEY.id, KEY.secret), service, "us-east-1", **options).add_auth(request)
    prepared = request.prepare()
    target = prepared.url.removeprefix("http://127.0.0.1:4640")
    fields = tuple((name, text(value)) for name, value in prepared.headers.items())
    return Signed(method=method, target=target, headers=fields), hashlib.sha256(body).hexdigest()


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def now():
    return datetime.now(UTC)


def accept(request, digest, at=None):
    admit(request, KEY, now=at or now())
    verify(request, KEY, body_sha256=digest)
    return service_of(request)


def changed(request, name, value):
    return Signed(
        method=request.method,
        target=request.target,
        headers=tuple((key, value if key.lower() == name else old) for key, old in request.headers),
    )


@pytest.mark.parametrize(
    ("signer", "service", "path"),
    [
        (SigV4Auth, "sagemaker", "/"),
        (SigV4Auth, "iam", "/?Action=GetRole&RoleName=a%20b"),
        (S3SigV4Auth, "s3", "/bucket/a%20b/%C3%BC%2B%3D.txt?list-type=2&prefix=&delimiter=%2F"),
        (S3SigV4Auth, "s3", "/bucket//twice/../up"),
        (S3SigV4Auth, "s3", "/bucket?uploads="),
        (S3SigV4QueryAuth, "s3", "/bucket/key"),
    ],
)
def test_what_botocore_signs_is_accepted(signer, service, path):
    request, digest = signed(signer, service, path=path, body=b"" if "s3" in service else b"{}")

    assert accept(request, digest) == service


def test_header_that_botocore_would_not_sign_counts_when_a_client_did():
    request, digest = signed(SigV4Auth, "sts", headers={"X-Spaced": "  a   b "})

    assert accept(request, digest) == "sts"
    with pytest.raises(ApiError, match="does not match the signature"):
        accept(changed(request, "x-spaced", "a c"), digest)


def test_body_must_be_the_signed_one_unless_the_client_signed_none():
    request, _ = signed(S3SigV4Auth, "s3", path="/b/k", body=b"data")
    with pytest.raises(ApiError, match="body is not the one that was signed"):
        accept(request, EMPTY)

    free, _ = signed(S3SigV4QueryAuth, "s3", path="/b/k", method="PUT")
    assert accept(free, EMPTY) == accept(free, "0" * 64) == "s3"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("authorization", "Basic bWU6", "Missing Authentication Token"),
        ("authorization", "AWS4-HMAC-SHA256 nonsense", "not one of Version 4"),
        ("authorization", "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c", "not one of Version 4"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=OTHER/{day}/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=c",
            "security token included in the request is invalid",
        ),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=LOCALKEY/{day}/us-east-1/s3/aws4_request, SignedHeaders=x, Signature=c",
            "not one of Version 4",
        ),
        ("x-amz-date", "{day}T999999Z", "no time of a signature"),
        ("host", "elsewhere", "does not match the signature"),
        ("x-amz-target", "SageMaker.CreateTrainingJob", "does not match the signature"),
    ],
)
def test_anything_else_than_was_signed_is_refused(name, value, message):
    request, digest = signed(SigV4Auth, "sagemaker", headers={"X-Amz-Target": "SageMaker.ListTrainingJobs"})

    with pytest.raises(ApiError, match=message) as refused:
        accept(changed(request, name, value.format(day=f"{now():%Y%m%d}")), digest)
    assert refused.value.status == 403


def test_signature_holds_for_a_quarter_of_an_hour():
    request, digest = signed(SigV4Auth, "sagemaker")

    accept(request, digest, now() + timedelta(minutes=14))
    for offset in (timedelta(minutes=16), timedelta(minutes=-16)):
        with pytest.raises(ApiError, match="Signature expired"):
            accept(request, digest, now() + offset)


def test_presigned_url_holds_as_long_as_it_says():
    request, digest = signed(S3SigV4QueryAuth, "s3", path="/b/k", method="GET", expires=3600)

    accept(request, digest, now() + timedelta(minutes=59))
    with pytest.raises(ApiError, match="Signature expired"):
        accept(request, digest, now() + timedelta(minutes=61))
    with pytest.raises(ApiError, match="does not match the signature"):
        accept(Signed(method="PUT", target=request.target, headers=request.headers), digest)


def test_service_of_an_unsigned_request_is_unknown():
    assert service_of(Signed(method="GET", target="/", headers=())) == ""


def presigned(path="/bucket/a%20b?versionId=3&x=y", host="127.0.0.1:4640", method="GET", expires=60):
    request = AWSRequest(method=method, url=f"http://{host}{path}")
    HmacV1QueryAuth(Credentials(KEY.id, KEY.secret), expires).add_auth(request)
    return Signed(method=method, target=request.url.removeprefix(f"http://{host}"), headers=(("Host", host),))


def test_url_of_version_2_is_accepted_for_s3():
    assert accept(presigned(), EMPTY) == "s3"


def test_url_of_version_2_for_a_bucket_in_the_hosts_name_is_accepted():
    request = AWSRequest(method="GET", url="https://bucket-1.s3.amazonaws.com/key", auth_path="/bucket-1/key")
    HmacV1QueryAuth(Credentials(KEY.id, KEY.secret), 60).add_auth(request)
    target = request.url.removeprefix("https://bucket-1.s3.amazonaws.com")

    signed = Signed(method="GET", target=target, headers=(("Host", "bucket-1.s3.amazonaws.com"),))
    assert accept(signed, EMPTY) == "s3"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda url: url.replace("a%20b", "other"), "InvalidSignatureException"),
        (lambda url: url.replace("versionId=3", "versionId=4"), "InvalidSignatureException"),
        (lambda url: url.replace("LOCALKEY", "OTHER"), "UnrecognizedClientException"),
        (lambda url: url.partition("&Expires=")[0], "IncompleteSignatureException"),
        (lambda url: url.replace("Expires=1", "Expires=9"), "AccessDenied"),
        (lambda url: url.replace("Expires=1", "Expires=x"), "AccessDenied"),
    ],
)
def test_url_of_version_2_that_was_changed_is_refused(change, code):
    request = presigned()
    with pytest.raises(ApiError) as caught:
        accept(Signed(method="GET", target=change(request.target), headers=request.headers), EMPTY)

    assert caught.value.code == code


def test_url_of_version_2_ends_when_it_says_and_holds_for_its_method():
    with pytest.raises(ApiError, match="has expired"):
        accept(presigned(), EMPTY, at=now() + timedelta(seconds=61))
    request = presigned()
    with pytest.raises(ApiError, match="does not match"):
        accept(Signed(method="PUT", target=request.target, headers=request.headers), EMPTY)
