"""A certificate authority of the endpoint's own, which can speak for names of AWS and for no others."""

import contextlib
import ipaddress
import ssl
import tempfile
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local_mode.endpoint import write_private

DOMAINS = ("amazonaws.com", "amazonaws.com.cn")
"""All that a certificate of ours is valid for, whoever should get hold of the key."""
_AUTHORITY_LIVES, _RENEWED = timedelta(days=60), timedelta(days=30)
"""Renewed at a start that finds less than the second left, so that a service may run that long."""
_LEAF_LIVES, _LEAF_USED = timedelta(days=3), timedelta(days=1)
_BACKDATED = timedelta(hours=1)
_MOST_HOSTS = 1000
"""Each bucket may have a name of its own."""


@dataclass(frozen=True, kw_only=True)
class _Leaf:
    context: ssl.SSLContext
    made: datetime


class Authority:
    """Makes a TLS context for each host that is asked for. Safe to use from several threads."""

    def __init__(self, *, certificate: Path, key: Path) -> None:
        """Take the authority that the two files hold, or make one and write them; the key is its owner's alone.

        Raises:
            OSError: they cannot be written.
        """
        self._folder = key.parent
        self._lock = threading.Lock()
        self._leaves: dict[str, _Leaf] = {}
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        found = _load(certificate, key)
        if found is None or found[0].not_valid_after_utc - datetime.now(UTC) < _RENEWED:
            found = _make_authority()
            write_private(key, _pem(found[1]).decode("ascii"))
            write_private(certificate, found[0].public_bytes(serialization.Encoding.PEM).decode("ascii"))
        self._certificate, self._key = found

    def context(self, host: str) -> ssl.SSLContext:
        """What a server that goes by the name of `host` shows its clients."""
        now = datetime.now(UTC)
        with self._lock:
            leaf = self._leaves.pop(host, None)
            if leaf is None or not timedelta(0) <= now - leaf.made < _LEAF_USED:
                leaf = _Leaf(context=self._make(host, now), made=now)
            self._leaves[host] = leaf  # at the end: the first one is the one that was not used for longest
            if len(self._leaves) > _MOST_HOSTS:
                del self._leaves[next(iter(self._leaves))]
            return leaf.context

    def _make(self, host: str, now: datetime) -> ssl.SSLContext:
        public = self._leaf_key.public_key()
        builder = _builder(_name("local_mode"), self._certificate.subject, public, now, _LEAF_LIVES)
        for extension, critical in (
            (x509.SubjectAlternativeName([x509.DNSName(host)]), False),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(digital_signature=True), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectKeyIdentifier.from_public_key(public), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
        ):
            builder = builder.add_extension(extension, critical)
        chain = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # OpenSSL takes files only.
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix=".leaf.") as file:
            file.write(_pem(self._leaf_key) + chain)
            file.flush()
            context.load_cert_chain(file.name)
        return context


def _make_authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("local_mode, for this machine only")
    builder = _builder(name, name, key.public_key(), datetime.now(UTC), _AUTHORITY_LIVES)
    for extension in (
        x509.BasicConstraints(ca=True, path_length=0),
        _usage(key_cert_sign=True),
        x509.NameConstraints(
            permitted_subtrees=[x509.DNSName(domain) for domain in DOMAINS],
            excluded_subtrees=[x509.IPAddress(ipaddress.ip_network(every)) for every in ("0.0.0.0/0", "::/0")],
        ),
    ):
        builder = builder.add_extension(extension, critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return builder.sign(key, hashes.SHA256()), key


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, lives: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + lives)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, text)])


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature, key_cert_sign=key_cert_sign, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, crl_sign=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load(certificate: Path, key: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """The authority that the files hold; None if they hold none, or two halves of different ones."""
    with contextlib.suppress(OSError, ValueError):
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        if isinstance(private, ec.EllipticCurvePrivateKey) and found.public_key() == private.public_key():
            return found, private
    return None
