"""The endpoint's own authority: private, short-lived, and good for AWS's names only."""

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from local_mode.api.certificates import Authority


@pytest.fixture
def make(tmp_path):
    return lambda: Authority(certificate=tmp_path / "ca.pem", key=tmp_path / "ca_key.pem")


def handshake(authority, folder, host, asked):
    """The subject names that a client which trusts the authority alone is shown."""
    ours, theirs = socket.socketpair()
    client = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # what Python 3.13 sets by default
    served = threading.Thread(target=serve, args=(authority.context(host), ours), daemon=True)
    served.start()
    with theirs:
        theirs.settimeout(10)
        try:
            with client.wrap_socket(theirs, server_hostname=asked) as tls:
                return [name for _, name in tls.getpeercert()["subjectAltName"]]
        finally:
            theirs.close()
            served.join(10)


def serve(context, stream):
    stream.settimeout(10)
    try:
        with context.wrap_socket(stream, server_side=True) as tls:
            tls.recv(1)
    except (OSError, ssl.SSLError):
        pass  # the client tells why
    finally:
        stream.close()


@pytest.mark.parametrize("host", ["sts.amazonaws.com", "a.dotted.bucket.s3.cn-north-1.amazonaws.com.cn"])
def test_client_that_trusts_the_authority_takes_a_host_of_aws(make, tmp_path, host):
    assert handshake(make(), tmp_path, host, host) == [host]


def test_authority_cannot_speak_for_anyone_else(make, tmp_path):
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(make(), tmp_path, "pypi.org", "pypi.org")


def test_certificate_of_one_host_is_none_of_another(make, tmp_path):
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(make(), tmp_path, "sts.amazonaws.com", "iam.amazonaws.com")


def test_key_is_its_owners_alone_and_nothing_else_is_left(make, tmp_path):
    make().context("sts.amazonaws.com")

    assert {path.name for path in tmp_path.iterdir()} == {"ca.pem", "ca_key.pem"}
    assert stat.S_IMODE((tmp_path / "ca_key.pem").stat().st_mode) == 0o600


def test_authority_is_kept_while_it_is_young_and_made_anew_when_it_is_not(make, tmp_path, monkeypatch):
    make()
    first = (tmp_path / "ca.pem").read_bytes()
    make()
    assert (tmp_path / "ca.pem").read_bytes() == first
    lives = x509.load_pem_x509_certificate(first).not_valid_after_utc - datetime.now(UTC)
    assert lives < timedelta(days=61)

    monkeypatch.setattr("local_mode.api.certificates._RENEWED", timedelta(days=61))
    make()
    assert (tmp_path / "ca.pem").read_bytes() != first


@pytest.mark.parametrize("name", ["ca.pem", "ca_key.pem"])
def test_damaged_authority_is_made_anew(make, tmp_path, name):
    make()
    (tmp_path / name).write_text("damaged")

    assert handshake(make(), tmp_path, "sts.amazonaws.com", "sts.amazonaws.com") == ["sts.amazonaws.com"]


def test_context_of_a_host_is_made_once(make):
    authority = make()

    assert authority.context("sts.amazonaws.com") is authority.context("sts.amazonaws.com")
    assert authority.context("sts.amazonaws.com") is not authority.context("iam.amazonaws.com")
