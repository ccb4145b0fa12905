"""The access token of the live page: stored in a file, compared in constant time."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from errno import ELOOP
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from ...errors import UsageError
from ...files import write_atomic
from .failed_logins import FailedLogins
from .pairing import PairingCodes
from .sessions import Session, Sessions

COOKIE = "galaxy-edge"
MIN_TOKEN_LENGTH = 16
MAX_TOKEN_FILE_BYTES = 4096


def load_or_create_token(path: Path) -> tuple[str, bool]:
    """Read the token from a file, or create both.

    Return the token and whether it is new.

    No symbolic link is followed: someone who may write to the folder must neither choose the token by a link to a file
    that they know, nor have another file of this user overwritten.

    Raises:
        UsageError: other users may read the file, it is a link, it does not hold a token, or it cannot be read or
            written.
    """
    try:
        try:
            token = _read_private_file(path)
        except FileNotFoundError:
            token = secrets.token_urlsafe(24)
            write_atomic(path, f"{token}\n".encode(), mode=0o600)  # its rename replaces a link, and never follows it
            return token, True
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
        reason = "it is a link; name the file itself" if isinstance(error, OSError) and error.errno == ELOOP else reason
        raise UsageError(f"the token in {path} cannot be used: {reason}") from None
    if len(token) < MIN_TOKEN_LENGTH:
        raise UsageError(
            f"{path} does not hold a token of at least {MIN_TOKEN_LENGTH} characters; delete it to get a new one"
        )
    return token, False


def _read_private_file(path: Path) -> str:
    """Return a regular file's text if only this user, or root, can use it.

    Only they may read and change it.

    Raises:
        OSError: it is a link (`ELOOP`) or cannot be read.
        UsageError: it is not a regular file, belongs to another user, or others may use it.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
        status = os.fstat(stream.fileno())  # of the opened file, as the name may lead to another one a moment later
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"the token in {path} cannot be used: it is not a regular file")
        if status.st_uid not in (os.geteuid(), 0):
            raise UsageError(f"the token in {path} cannot be used: the file belongs to another user; delete it")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise UsageError(
                f"other users may read the token in {path}: run chmod 600 {path}, or delete it to get a new one"
            )
        return stream.read(MAX_TOKEN_FILE_BYTES).decode("ascii").strip()


class Token:
    """A secret that is compared in constant time.

    Args:
        token: the secret.
        sessions_file: keeps the sessions over a restart; None to keep them in memory.

    Attributes:
        sessions: of browsers that have logged in.
        failures: attempts with a wrong token.
        pairing: codes that log in in place of the token, each once.
    """

    def __init__(self, token: str, sessions_file: Path | None = None) -> None:
        self._token = token.encode()
        self.sessions = Sessions(sessions_file, token)
        self.failures = FailedLogins()
        self.pairing = PairingCodes()

    def matches(self, text: str) -> bool:
        """Return whether a text is the token."""
        return hmac.compare_digest(text.encode("utf-8", "replace"), self._token)

    def attempt(self, text: str, client: str, codes: bool = False) -> tuple[bool, float]:
        """Compare a token that a client gave, unless it must still wait.

        Args:
            text: the token.
            client: address that it came from.
            codes: whether a pairing code is accepted too; it is used up.

        Returns:
            Whether it is the token, and the seconds for which the client must wait; a token is not compared meanwhile.
        """
        wait = self.failures.wait(client)
        if wait == 0 and (self.matches(text) or (codes and self.pairing.redeem(text))):
            self.failures.forget(client)
            return True, 0.0
        self.failures.record(client)
        return False, wait

    def session(self, headers: Mapping[str, str]) -> Session | None:
        """Return the session of a request's cookie; None if it has none, or it has ended."""
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return None
        return self.sessions.find(cookie.value) if cookie is not None else None

    def authorises(self, headers: Mapping[str, str], client: str) -> tuple[bool, float]:
        """Return whether a request has a session's cookie or the token; see `attempt`.

        The token is given as ``Authorization: Bearer``.
        """
        if self.session(headers):
            return True, 0.0
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        return self.attempt(credentials.strip(), client) if scheme.lower() == "bearer" else (False, 0.0)
