"""The access token of the live page: stored in a file, compared in constant time."""

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
MIN_TOKEN_LENGTH = 16


def load_or_create_token(path: Path) -> tuple[str, bool]:
    """Read the token from a file, or create both; return the token and whether it is new.

    Raises:
        UsageError: other users may read the file, it does not hold a token, or it cannot be read or written.
    """
    try:
        if not path.exists():
            token = secrets.token_urlsafe(24)
            write_atomic(path, f"{token}\n".encode(), mode=0o600)
            return token, True
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UsageError(
                f"other users may read the token in {path}: run chmod 600 {path}, or delete it to get a new one"
            )
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
        raise UsageError(f"the token in {path} cannot be used: {reason}") from None
    if len(token) < MIN_TOKEN_LENGTH:
        raise UsageError(
            f"{path} does not hold a token of at least {MIN_TOKEN_LENGTH} characters; delete it to get a new one"
        )
    return token, False


class Token:
    """A secret that is compared in constant time.

    Attributes:
        cookie: value of the cookie that stands for the token in a browser.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.cookie = hmac.new(self._token, b"galaxy-edge session", hashlib.sha256).hexdigest()

    def matches(self, text: str) -> bool:
        """Return whether a text is the token."""
        return hmac.compare_digest(text.encode(), self._token)

    def authorises(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request carries the token (``Authorization: Bearer``) or its cookie."""
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.matches(credentials.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self.cookie.encode())
