"""An engine's words for an upload that failed, as they were seen, and what is made of them."""

import pytest

from scripts.publishing.errors import PublishError, TransientError
from scripts.publishing.refusal import explain
from scripts.publishing.target import Credentials, Target

TARGET = Target(registry="r.example", repository="images/a", credentials=Credentials(user="AWS", password="a-password"))
PERMANENT, PASSING = PublishError, TransientError


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        ("no basic auth credentials", PERMANENT, "does not take the credentials of user 'AWS' .*log in anew"),
        ("unauthorized: authentication required", PERMANENT, "does not take the credentials of user 'AWS'"),
        ("denied: requested access to the resource is denied", PERMANENT, "does not let this user at 'images/a'"),
        (
            "denied: User: arn:aws:sts::1:assumed-role/r is not authorized to perform: ecr:PutImage on resource: arn:x",
            PERMANENT,
            "The permission ecr:PutImage is missing for 'images/a'.*have it added",
        ),
        ("tag invalid: The image tag '1' already exists in the 'a' repository and cannot be overwritten because the "
         "tag is immutable.", PERMANENT, "'r.example/images/a:1' names another image already"),
        ("received unexpected HTTP status: 503 Service Unavailable", PASSING, "fails .HTTP 503"),
        ("received unexpected HTTP status: 507 Insufficient Storage", PERMANENT, "disk of 'r.example'.*make room"),
        ("write /var/lib/docker/tmp/x: no space left on device", PERMANENT, "the engine's own, is full"),
        ("error parsing HTTP 403 response body: invalid character '<'", PERMANENT, "does not let this user"),
        ("unknown: unknown error", PASSING, "a full disk is the usual reason"),
        ("Patch \"https://r/v2/\": EOF", PASSING, "broke off"),
        ("read tcp 1.2.3.4:1->5.6.7.8:443: read: connection reset by peer", PASSING, "broke off"),
        ("Get \"https://r/v2/\": dial tcp 1.2.3.4:443: connect: connection refused", PASSING, "broke off"),
        ("net/http: TLS handshake timeout", PASSING, "broke off"),
        ("toomanyrequests: Rate exceeded", PASSING, "broke off"),
        ("blob upload unknown", PASSING, "broke off"),
        ("Get \"https://r/v2/\": x509: certificate signed by unknown authority", PERMANENT, "certs.d/r.example/ca.crt"),
        ("Get \"https://r/v2/\": http: server gave HTTP response to HTTPS client", PERMANENT, "insecure-registries"),
        ("something nobody has seen", PERMANENT, r"did not take 'r.example/images/a:1' \(something nobody has seen\)"),
    ],
)  # fmt: skip
def test_engines_words_become_one_error_that_says_what_to_do(said, kind, told):
    error = explain(TARGET, "1", said)

    assert type(error) is kind
    with pytest.raises(kind, match=told):
        raise error
    assert "a-password" not in str(error)
