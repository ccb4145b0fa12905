"""A certificate made by this computer, for encrypted local connections."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import UsageError
from ...files import write_atomic

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

VALID_DAYS = 397
"""Phones refuse certificates that are valid for longer."""
RENEW_DAYS = 30


class Certificate(NamedTuple):
    """Files of a certificate and its key.

    Attributes:
        path, key: PEM files; the key is readable by its owner only.
        fingerprint: SHA-256 as browsers show it, to be compared before the first login.
    """

    path: Path
    key: Path
    fingerprint: str


def load_or_create_certificate(folder: Path, names: Sequence[str]) -> Certificate:
    """Return the certificate that a folder keeps; make one if it has none.

    A new one replaces it before it expires, and if it is not for all of the names.

    Args:
        folder: keeps ``tls-certificate.pem`` and ``tls-key.pem``.
        names: host names and IP addresses that it is for.

    Raises:
        UsageError: the files cannot be read or written.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    path, key = folder / "tls-certificate.pem", folder / "tls-key.pem"
    try:
        if not (path.is_file() and key.is_file()) or not _is_current(path, names):
            _create(path, key, names)
        digest = x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256())
    except (OSError, ValueError) as error:
        raise UsageError(f"the certificate {path} cannot be used ({error}): delete it to get a new one") from None
    return Certificate(path, key, digest.hex(":").upper())


def _is_current(path: Path, names: Sequence[str]) -> bool:
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    present = {str(name.value) for name in alternatives}
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return left > datetime.timedelta(days=RENEW_DAYS) and present.issuperset(names)


def _create(path: Path, key_path: Path, names: Sequence[str]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"galaxy-edge on {names[0]}"[:64])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # The clock of a board without a battery may be behind that of the phone, or ahead of it.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS - 1))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    os.makedirs(path.parent, exist_ok=True)
    write_atomic(key_path, private, mode=0o600)
    write_atomic(path, certificate.public_bytes(serialization.Encoding.PEM))


def _general_name(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
