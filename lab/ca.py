# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's certificate authority: one key in the state directory, server certificates for whatever name is asked.

Both the API (TLS for every amazonaws.com name) and the reconciler (databases, caches, load balancers, the registry)
issue from it; the lab's machine image trusts it system-wide.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_CERTIFICATE = "ca.pem"
CA_KEY = "ca.key"
_CA_DAYS = 3650
# Clients such as Apple's refuse server certificates that are valid for more than 825 days.
_SERVER_DAYS = 820
# A certificate is valid from a little earlier, because clocks differ.
_BACKDATE = timedelta(hours=1)
# X.509 limits the common name; longer names stand in the subject alternative names only.
_COMMON_NAME_LIMIT = 64


@dataclass(frozen=True)
class IssuedCertificate:
    """A server certificate with its chain, and its private key, both PEM."""

    chain_pem: bytes
    key_pem: bytes


@dataclass(frozen=True)
class CertificateAuthority:
    """Issues server certificates. Make it with `load_or_create`."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """What a client must trust."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, names: Iterable[str]) -> IssuedCertificate:
        """Issue a server certificate for DNS names (wildcards included) and IP addresses; the first is the subject."""
        names = list(names)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        common_name = names[0] if len(names[0]) <= _COMMON_NAME_LIMIT else "freehold lab server"
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATE)
            .not_valid_after(now + timedelta(days=_SERVER_DAYS))
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        chain = certificate.public_bytes(serialization.Encoding.PEM) + self.certificate_pem
        return IssuedCertificate(chain_pem=chain, key_pem=_key_pem(key))


def load_or_create(directory: Path) -> CertificateAuthority:
    """Load the authority of a state directory, or make it there; safe when two processes start at once."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".ca.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / CA_CERTIFICATE).exists():
            _create(directory)
        return load(directory)


def load(directory: Path) -> CertificateAuthority:
    """Load the authority of a state directory. Raises FileNotFoundError where there is none."""
    key = serialization.load_pem_private_key((directory / CA_KEY).read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{directory / CA_KEY} holds no elliptic curve key")
    certificate = x509.load_pem_x509_certificate((directory / CA_CERTIFICATE).read_bytes())
    return CertificateAuthority(certificate=certificate, key=key)


def _create(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Freehold"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Freehold lab CA {now:%Y-%m-%d %H:%M}"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + timedelta(days=_CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_private(directory / CA_KEY, _key_pem(key))
    # Last, because its presence is what says that the authority is complete.
    (directory / CA_CERTIFICATE).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
