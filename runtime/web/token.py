"""The token that is wanted off loopback: where it is kept, and how it is compared."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stat
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from ...errors import UsageError
from ..system.atomic_files import write_atomic

COOKIE = "galaxy-edge"


def load_or_create_token(path: Path) -> tuple[str, bool]:
    """Read the token in a file, or make one; tell whether it is new.

    Raises:
        UsageError: others may read the file, it holds no token, or it cannot be read or written.
    """
    try:
        if not path.exists():
            token = secrets.token_urlsafe(24)
            write_atomic(path, f"{token}\n".encode(), mode=0o600)
            return token, True
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UsageError(f"others may read the token in {path}: chmod 600 {path}, or delete it for a new one")
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is no ASCII text"
        raise UsageError(f"the token in {path} cannot be used: {reason}") from None
    if len(token) < 16:
        raise UsageError(f"{path} holds no token of at least 16 characters; delete it for a new one")
    return token, False


class Token:
    """A secret that is compared in constant time, and the cookie that stands for it."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.cookie = hmac.new(self._token, b"galaxy-edge session", hashlib.sha256).hexdigest()

    def fits(self, given: str) -> bool:
        """Tell whether a text is the token."""
        return hmac.compare_digest(given.encode(), self._token)

    def allows(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request carries the token (``Authorization: Bearer``) or its cookie."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.fits(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self.cookie.encode())
