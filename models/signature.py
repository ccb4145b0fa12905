"""Sign and verify bundles with Ed25519 (RFC 8032).

The hash of the manifest is signed, which holds the hash of every file.

Keys are PEM files: NAME.key, for the person who signs, and NAME.pub, for every device. The signature is the file
``bundle.sig`` in the bundle; it is not part of the manifest, so that a bundle can be signed later, and by another
person.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..extras import extra_command
from ..files import write_atomic
from .bundle import Bundle, read_plain
from .manifest import BundleError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "bundle.sig"
HEADERS = {"galaxy-edge signature 1": 2, "galaxy-edge signature 2": 4}
"""First line and number of lines of each format. Format 1 has no times: the manifest's ``created`` is used."""
REVOKED = "revoked-keys"
"""File next to a public key with the fingerprints of revoked keys, one per line; # begins a comment."""
NEVER = "never"
MAX_KEY_BYTES = 2**16


class SignatureError(BundleError):
    """A key that cannot be used, or a bundle that is not signed by it."""


def generate_keypair(name: Path) -> tuple[Path, Path]:
    """Create a pair of keys, NAME.key (readable by its owner only) and NAME.pub.

    Existing files are kept.

    Raises:
        SignatureError: a file exists already, or cannot be written.
    """
    serialization, ed25519 = _cryptography()
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    paths = name.with_name(name.name + ".key"), name.with_name(name.name + ".pub")
    for path in paths:
        if path.exists():
            raise SignatureError(f"{path} exists: a key is never overwritten")
    for path, content, mode in zip(paths, (private, public), (0o600, 0o644), strict=True):
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise SignatureError(f"{path} cannot be written: {error.strerror}") from None
    return paths


@dataclass(frozen=True)
class Signature:
    """A signature that was verified.

    Attributes:
        key: fingerprint of the key, see `fingerprint`.
        signed: UTC time at which it was made, ISO 8601.
        expires: UTC time from which it is no longer valid, or `NEVER`.
    """

    key: str
    signed: str
    expires: str


def fingerprint(key: Path) -> str:
    """Return the SHA-256 of a public key's 32 bytes, in hexadecimal.

    For a private key, it is that of its public half.

    Raises:
        SignatureError: it is not a key.
    """
    return _fingerprint(_load(key, private=False))


def public_pem(key: Path) -> bytes:
    """Return the public half of a key as a PEM file."""
    serialization, _ = _cryptography()
    public = _load(key, private=False)
    pem: bytes = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem


def _fingerprint(public: Any) -> str:
    serialization, _ = _cryptography()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()


def revoke(key: Path, file: Path) -> None:
    """Add a key's fingerprint to a file of revoked keys.

    Raises:
        SignatureError: it is not a key, or the file cannot be written.
    """
    line = f"{fingerprint(key)}  # {key.name.encode('ascii', 'replace').decode()}\n"
    try:
        with open(file, "a", encoding="ascii") as stream:
            stream.write(line)
    except OSError as error:
        raise SignatureError(f"{file} cannot be written: {error.strerror}") from None


def _check_revoked(public: Any, key: Path) -> None:
    path = key.resolve().with_name(REVOKED)
    try:
        lines = read_plain(path, MAX_KEY_BYTES).decode("ascii").splitlines()
    except FileNotFoundError:
        return
    except UnicodeDecodeError:
        raise SignatureError(f"{path} is not a list of fingerprints") from None
    if _fingerprint(public) in {line.partition("#")[0].strip().lower() for line in lines}:
        raise SignatureError(f"the key {key} was revoked (in {path}): get bundles that are signed with another")


def sign(bundle: Bundle, key: Path, expires: str = NEVER) -> Path:
    """Sign a verified bundle with a private key; an older signature is replaced.

    Args:
        bundle: as loaded.
        key: the private key's file.
        expires: UTC time from which the signature is no longer valid, ISO 8601, or `NEVER`.

    Raises:
        SignatureError: the key is not a private key, or the signature cannot be written.
    """
    private = _load(key, private=True)
    path = bundle.path / SIGNATURE
    signed = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    head = f"galaxy-edge signature 2\nsigned {signed}\nexpires {expires}\n"
    text = f"{head}{private.sign(_message(bundle, head)).hex()}\n"
    try:
        write_atomic(path, text.encode("ascii"))  # not through a file or link that someone else put into the bundle
    except OSError as error:
        raise SignatureError(f"{path} cannot be written: {error.strerror}") from None
    return path


def verify(bundle: Bundle, key: Path, now: str | None = None) -> Signature:
    """Check that a loaded bundle was signed with a public key's private half.

    Args:
        bundle: as loaded; the hash of the manifest that was read is checked, not that of the file as it is now.
        key: the public key's file; keys that a file `REVOKED` next to it lists are refused.
        now: UTC time, ISO 8601; None for the clock's.

    Returns:
        The signature, whose time the caller compares with that of the newest seen, see `newest_signed`.

    Raises:
        SignatureError: it is not signed or signed with another key, the key was revoked, the signature has expired, or
            the package for signatures is missing.
    """
    public = _load(key, private=False)
    _check_revoked(public, key)
    from cryptography.exceptions import InvalidSignature

    path = bundle.path / SIGNATURE
    try:
        lines = read_plain(path, MAX_KEY_BYTES).decode("ascii").split("\n")
        length = HEADERS.get(lines[0])
        signature = bytes.fromhex(lines[length - 1]) if length else b""
    except FileNotFoundError:
        raise SignatureError(f"{bundle.path} is not signed: it has no {SIGNATURE}") from None
    except (ValueError, IndexError):
        raise SignatureError(f"{path} is not a signature") from None
    if length is None:
        raise SignatureError(f"{path} is not a signature in a format that this version reads")
    try:
        head = "\n".join(lines[: length - 1]) + "\n" if length > 2 else ""
        public.verify(signature, _message(bundle, head))
    except InvalidSignature:
        raise SignatureError(f"{bundle.path} was not signed with the key {key}, or changed since") from None
    times = (lines[1].partition(" ")[2], lines[2].partition(" ")[2]) if length > 2 else (_created(bundle), NEVER)
    found = Signature(_fingerprint(public), *times)
    now = now or datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    # A device without a clock has an early date: signatures later than its own time are accepted.
    if found.expires != NEVER and now >= found.expires:
        raise SignatureError(f"the signature of {bundle.path} has expired ({found.expires}): get a newer bundle")
    return found


def _created(bundle: Bundle) -> str:
    return bundle.manifest.created


def _message(bundle: Bundle, head: str) -> bytes:
    return f"{head}galaxy-edge bundle {bundle.hash}".encode("ascii")


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise SignatureError(f"signatures need the extra [sign]: {extra_command('sign')}") from None
    return serialization, ed25519


def _load(path: Path, private: bool) -> Any:
    """Read a key file.

    A private key's file also serves where the public key is needed.
    """
    serialization, ed25519 = _cryptography()
    try:
        content = read_plain(path.resolve(), MAX_KEY_BYTES)
    except FileNotFoundError:
        raise SignatureError(f"there is no key file {path}") from None
    try:
        if b"PRIVATE" in content:
            key: Ed25519PrivateKey | Ed25519PublicKey = serialization.load_pem_private_key(content, None)
        else:
            key = serialization.load_pem_public_key(content)
    except (ValueError, TypeError) as error:
        raise SignatureError(f"{path} is not a key file: {error}") from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key if private else key.public_key()
    if private:
        raise SignatureError(f"{path} holds a public key: signing needs the private one, NAME.key")
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise SignatureError(f"{path} is not an Ed25519 key")
    return key
