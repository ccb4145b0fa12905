"""Sessions of browsers that logged in to the live page.

Each can be ended, and all of them survive a restart.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ...files import write_atomic

LIFETIME = 30 * 86400
"""Seconds after which a session ends by itself."""
MAX_SESSIONS = 32
"""Maximum number of sessions; one more ends the oldest."""
MAX_FILE_BYTES = 65536

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """A browser that is logged in.

    Attributes:
        id: identifies it in the API, without giving access.
        digest: SHA-256 of the cookie's value. Only the browser has the value itself.
        created: when it logged in, in seconds since 1970.
        client: address that it logged in from.
    """

    id: str
    digest: str
    created: float
    client: str


class Sessions:
    """All sessions of a live page, kept in a file that only this user can read.

    Args:
        path: the file; None to keep them in memory only.
        token: all sessions end if it differs from the token that the file was written with.
        clock: returns seconds since 1970.
    """

    def __init__(self, path: Path | None, token: str, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._seal = hmac.new(token.encode(), b"galaxy-edge sessions", hashlib.sha256).hexdigest()
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {session.digest: session for session in self._read()}

    def begin(self, client: str) -> str:
        """Begin a session; return the value of its cookie."""
        value = secrets.token_urlsafe(32)
        session = Session(secrets.token_hex(4), _digest(value), round(self._clock(), 1), client)
        with self._lock:
            self._drop_expired()
            while len(self._sessions) >= MAX_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[session.digest] = session
            self._write()
        return value

    def find(self, value: str) -> Session | None:
        """Return the session of a cookie's value; None if there is none, or it has ended."""
        session = self._sessions.get(_digest(value))
        return session if session and self._clock() - session.created < LIFETIME else None

    def active(self) -> list[Session]:
        """Return the sessions that have not ended, oldest first."""
        with self._lock:
            self._drop_expired()
            return list(self._sessions.values())

    def end(self, name: str | None = None) -> int:
        """End the session with an id, or all; return how many ended."""
        with self._lock:
            kept = {digest: session for digest, session in self._sessions.items() if name not in (None, session.id)}
            ended = len(self._sessions) - len(kept)
            self._sessions = kept
            if ended:
                self._write()
        return ended

    def _drop_expired(self) -> None:
        now = self._clock()
        self._sessions = {key: value for key, value in self._sessions.items() if now - value.created < LIFETIME}

    def _read(self) -> list[Session]:
        if self._path is None or not self._path.is_file():
            return []
        try:
            with open(self._path, "rb") as stream:
                content = json.loads(stream.read(MAX_FILE_BYTES))
            return [Session(**entry) for entry in content["sessions"]] if content["seal"] == self._seal else []
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.warning("the sessions in %s cannot be used (%s): browsers must log in again", self._path, error)
            return []

    def _write(self) -> None:
        if self._path is None:
            return
        content = {"seal": self._seal, "sessions": [asdict(session) for session in self._sessions.values()]}
        try:
            write_atomic(self._path, json.dumps(content).encode(), mode=0o600)
        except OSError as error:
            # An ended session must not come back with the next run.
            self._path.unlink(missing_ok=True)
            logger.warning("the sessions of the live view cannot be kept: %s", error.strerror)


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
