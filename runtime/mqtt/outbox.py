"""Messages that wait for a broker, on disk: in their order, up to a cap, given again until they are acknowledged."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from ...errors import UsageError
from ..events.database import damage, quarantine

MAX_MESSAGES = 10_000


class Message(NamedTuple):
    """A message: its place in the box, its topic, its content."""

    place: int
    topic: str
    content: str


class Outbox:
    """A queue in an SQLite file, used by one thread.

    Where the disk takes nothing, messages wait in memory, up to the same cap.

    Args:
        path: made if it is not there; what waits in it from an earlier run is given first.
        most: messages it holds; beyond it the oldest go, and are counted.

    Attributes:
        lost: messages that were given up.

    Raises:
        sqlite3.Error: the file cannot be used.
    """

    def __init__(self, path: Path, most: int = MAX_MESSAGES) -> None:
        self._most = most
        self._waiting: deque[tuple[str, str]] = deque()
        self.lost = 0
        self._base = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=NORMAL")  # a power cut may cost the last second, not the box
        self._base.execute(
            "CREATE TABLE IF NOT EXISTS message (place INTEGER PRIMARY KEY AUTOINCREMENT, topic, content)"
        )

    def __len__(self) -> int:
        return int(self._base.execute("SELECT count(*) FROM message").fetchone()[0]) + len(self._waiting)

    def add(self, messages: Iterable[tuple[str, str]]) -> None:
        """Put messages, each a topic and a content, at the end: on the disk, or in memory where it takes nothing."""
        self._waiting.extend(messages)
        try:
            if self._waiting:
                self._transact("INSERT INTO message (topic, content) VALUES (?, ?)", list(self._waiting))
                self._waiting.clear()
                over = len(self) - self._most
                if over > 0:
                    oldest = "SELECT place FROM message ORDER BY place LIMIT ?"
                    self._transact(f"DELETE FROM message WHERE place IN ({oldest})", [(over,)])
                    self.lost += over
        except sqlite3.Error:
            while len(self._waiting) > self._most:
                self._waiting.popleft()
                self.lost += 1

    def first(self, count: int, after: int = 0) -> list[Message]:
        """Look at the first messages behind a place."""
        rows = self._base.execute("SELECT * FROM message WHERE place > ? ORDER BY place LIMIT ?", (after, count))
        return [Message(*row) for row in rows]

    def done(self, places: Iterable[int]) -> None:
        """Take messages out that were acknowledged; where the disk takes nothing, they may be given twice."""
        try:
            self._transact("DELETE FROM message WHERE place = ?", [(place,) for place in places])
        except sqlite3.Error:
            return

    def close(self) -> None:
        """Close the file."""
        self._base.close()

    def _transact(self, statement: str, values: list[tuple]) -> None:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            self._base.executemany(statement, values)
            self._base.execute("COMMIT")
        except sqlite3.Error:
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")
            raise


def open_outbox(path: Path, alert: Callable[[str], None]) -> Outbox:
    """Open the file of what waits; one that is damaged is set aside, and named.

    Raises:
        UsageError: it cannot be used.
    """
    try:
        if path.exists() and damage(path) and (aside := quarantine(path)):
            alert(f"{path} was damaged; it is now {aside}, and a new one was begun")
        return Outbox(path)
    except sqlite3.Error as problem:
        raise UsageError(f"{path} cannot be used: {problem}; delete it to go on") from None
