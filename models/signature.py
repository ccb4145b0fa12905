"""Sign and verify bundles: Ed25519 (RFC 8032) over the hash of the manifest, which holds the hash of every file.

Keys are PEM files: NAME.key, for the person who signs, and NAME.pub, for every device. The signature is the file
``bundle.sig`` in the bundle; it is not part of the manifest, so that a bundle can be signed later and by someone else.
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
    """Create a pair of keys, NAME.key (readable by its owner only) and NAME.pub; existing files are kept.

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


def sign(bundle: Bundle, key: Path) -> Path:
    """Sign a verified bundle with a private key; an older signature is replaced.

    Raises:
        SignatureError: the key is not a private key, or the signature cannot be written.
    """
    private = _load(key, private=True)
    path = bundle.path / SIGNATURE
    partial = path.with_name(f".{SIGNATURE}.{os.getpid()}.part")
    text = f"{HEADER}\n{private.sign(_message(bundle)).hex()}\n"
    try:
        # A bundle may come from anyone: do not write through a file or link that exists in it.
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="ascii") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except OSError as error:
        if not isinstance(error, FileExistsError):
            partial.unlink(missing_ok=True)
        raise SignatureError(f"{path} cannot be written: {error.strerror}") from None
    return path


def verify(bundle: Bundle, key: Path) -> None:
    """Check that a loaded bundle was signed with the private key that belongs to a public key.

    Args:
        bundle: as loaded; the hash of the manifest that was read is checked, not that of the file as it is now.
        key: the public key's file.

    Raises:
        SignatureError: it is not signed or signed with another key, or the package for signatures is missing.
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
        raise SignatureError(f"{path} is not a signature") from None
    if header != HEADER:
        raise SignatureError(f"{path} is not a signature in a format that this version reads")
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
    """Read a key file; a private key's file also serves where the public key is needed."""
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
