"""Signatures: who vouches for a bundle. Ed25519 (RFC 8032) over the hash of the manifest, which holds every file's.

Keys are PEM files: NAME.key, for whoever signs, and NAME.pub, for every device. The signature lies in the bundle as
``bundle.sig``; it is no part of the manifest, so that a bundle can be signed later and by another.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .bundle import Bundle, read_plain
from .manifest import BundleError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "bundle.sig"
HEADER = "galaxy-edge signature 1"
MAX_KEY_BYTES = 2**16


class SignatureError(BundleError):
    """A key that cannot be used, or a bundle that is not signed by it."""


def generate_keypair(name: Path) -> tuple[Path, Path]:
    """Make a pair of keys, NAME.key (for its owner only) and NAME.pub; nothing is overwritten.

    Raises:
        SignatureError: a file is there already, or cannot be written.
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
        except OSError as problem:
            raise SignatureError(f"{path} cannot be written: {problem.strerror}") from None
    return paths


def sign(bundle: Bundle, key: Path) -> Path:
    """Sign a verified bundle with a private key; an older signature is replaced.

    Raises:
        SignatureError: the key is none, or the signature cannot be written.
    """
    private = _load(key, private=True)
    path = bundle.path / SIGNATURE
    beside = path.with_name(f".{SIGNATURE}.{os.getpid()}.part")
    text = f"{HEADER}\n{private.sign(_message(bundle)).hex()}\n"
    try:
        # A bundle may come from anybody: what lies in it is neither written to nor followed.
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="ascii") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except OSError as problem:
        if not isinstance(problem, FileExistsError):
            beside.unlink(missing_ok=True)
        raise SignatureError(f"{path} cannot be written: {problem.strerror}") from None
    return path


def verify(bundle: Bundle, key: Path) -> None:
    """Check that a loaded bundle was signed with the private half of a public key.

    Args:
        bundle: as loaded: what is checked is the hash of the manifest that was read, not of the file as it is now.

    Raises:
        SignatureError: it is not signed, or by another key, or the package for it is missing.
    """
    public = _load(key, private=False)
    from cryptography.exceptions import InvalidSignature

    path = bundle.path / SIGNATURE
    try:
        lines = read_plain(path, MAX_KEY_BYTES).decode("ascii").split("\n")
        header, signature = lines[0], bytes.fromhex(lines[1])
    except FileNotFoundError:
        raise SignatureError(f"{bundle.path} is not signed: it has no {SIGNATURE}") from None
    except (ValueError, IndexError):
        raise SignatureError(f"{path} is no signature") from None
    if header != HEADER:
        raise SignatureError(f"{path} is no signature of a form that this version knows")
    try:
        public.verify(signature, _message(bundle))
    except InvalidSignature:
        raise SignatureError(f"{bundle.path} was not signed with the key {key}, or changed since") from None


def _message(bundle: Bundle) -> bytes:
    return f"galaxy-edge bundle {bundle.hash}".encode("ascii")


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise SignatureError("signatures need the extra [sign]: pip install 'galaxy-edge[sign]'") from None
    return serialization, ed25519


def _load(path: Path, private: bool) -> Any:
    """Read a key file; of a private key, its public half serves as well."""
    serialization, ed25519 = _cryptography()
    try:
        content = read_plain(path.resolve(), MAX_KEY_BYTES)
    except FileNotFoundError:
        raise SignatureError(f"there is no key file {path}") from None
    try:
        if b"PRIVATE" in content:
            found: Ed25519PrivateKey | Ed25519PublicKey = serialization.load_pem_private_key(content, None)
        else:
            found = serialization.load_pem_public_key(content)
    except (ValueError, TypeError) as problem:
        raise SignatureError(f"{path} is no key file: {problem}") from None
    if isinstance(found, ed25519.Ed25519PrivateKey):
        return found if private else found.public_key()
    if private:
        raise SignatureError(f"{path} holds a public key: signing needs the private one, NAME.key")
    if not isinstance(found, ed25519.Ed25519PublicKey):
        raise SignatureError(f"{path} is no Ed25519 key")
    return found
