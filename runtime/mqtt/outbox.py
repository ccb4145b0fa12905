"""A persistent queue of messages, delivered at least once and in order."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ...errors import UsageError
from ..events.database import damage, quarantine
from ..system.output_text import json_line
from ..system.utc_time import move_utc_text

logger = logging.getLogger(__name__)

MAX_MESSAGES = 10_000


class Message(NamedTuple):
    """A queued message: its position in the queue, its topic and its content."""

    position: int
    topic: str
    content: str


class Outbox:
    """A queue in an SQLite file, used by one thread.

    When the file cannot be written, e.g. on a full disk, messages wait in memory, up to the same limit.

    Args:
        path: of the file, created if it does not exist; messages of an earlier run are delivered first.
        max_messages: maximum number of messages; beyond it the oldest are dropped and counted.
        busy_timeout: seconds to wait while another program locks the file.

    Attributes:
        lost: number of messages dropped.

    Raises:
        sqlite3.Error: the file cannot be used.
    """

    def __init__(self, path: Path, max_messages: int = MAX_MESSAGES, busy_timeout: float = 10.0) -> None:
        self.path, self._max_messages, self._busy_timeout = path, max_messages, busy_timeout
        self._unwritten: deque[tuple[str, str]] = deque()
        self.lost = 0
        self._database = sqlite3.connect(path, timeout=busy_timeout, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        # A power cut may lose the last second, but does not damage the file.
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS message (place INTEGER PRIMARY KEY AUTOINCREMENT, topic, content)"
        )
        self._opened = path.stat()
        self._wal = wal.stat() if (wal := self._beside("-wal")).exists() else None

    def __len__(self) -> int:
        """Return the number of messages, on disk and in memory."""
        return int(self._database.execute("SELECT count(*) FROM message").fetchone()[0]) + len(self._unwritten)

    def add(self, messages: Iterable[tuple[str, str]]) -> None:
        """Append messages (topic, content) on disk, or in memory if that fails."""
        self._unwritten.extend(messages)
        try:
            if self._unwritten:
                self._execute_many("INSERT INTO message (topic, content) VALUES (?, ?)", list(self._unwritten))
                self._unwritten.clear()
                excess = len(self) - self._max_messages
                if excess > 0:
                    oldest = "SELECT place FROM message ORDER BY place LIMIT ?"
                    self._execute_many(f"DELETE FROM message WHERE place IN ({oldest})", [(excess,)])
                    self.lost += excess
        except sqlite3.Error:  # they stay in memory, and the next call tries again
            while len(self._unwritten) > self._max_messages:
                self._unwritten.popleft()
                self.lost += 1

    def peek(self, count: int, after: int = 0) -> list[Message]:
        """Return up to `count` messages after position `after`, oldest first.

        They stay queued.
        """
        rows = self._database.execute("SELECT * FROM message WHERE place > ? ORDER BY place LIMIT ?", (after, count))
        return [Message(*row) for row in rows]

    def remove(self, positions: Iterable[int]) -> None:
        """Remove acknowledged messages.

        When the file cannot be written they may be delivered twice.
        """
        try:
            self._execute_many("DELETE FROM message WHERE place = ?", [(position,) for position in positions])
        except sqlite3.Error as error:
            logger.debug("acknowledged messages could not be removed: %s", error)

    def move_times(self, uid: str, seconds: float) -> None:
        """Move the times of a run's events: the clock was set.

        Those in a file that cannot be written keep theirs.
        """
        self._unwritten = deque((topic, _moved(content, uid, seconds)) for topic, content in self._unwritten)
        stored = self._database.execute("SELECT content, place FROM message").fetchall()
        changed = [(new, place) for content, place in stored if (new := _moved(content, uid, seconds)) != content]
        try:
            self._execute_many("UPDATE message SET content = ? WHERE place = ?", changed)
        except sqlite3.Error as error:
            logger.debug("the times of messages could not be moved: %s", error)

    def why_moved(self) -> str:
        """Return what happened if the path no longer leads to the file; else ""."""
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return "was removed or renamed"
        is_same = (now.st_dev, now.st_ino) == (self._opened.st_dev, self._opened.st_ino)
        return "" if is_same else "was replaced by another"

    def recreated(self) -> Outbox:
        """Close the removed file, and return a queue in a new one.

        It has the same messages and positions.

        Raises:
            sqlite3.Error: it cannot be created; the messages are lost.
        """
        stored = self._database.execute("SELECT place, topic, content FROM message").fetchall()
        self.close()
        for end in ("-wal", "-shm"):  # of the file that was removed: SQLite would apply them to the new one
            self._beside(end).unlink(missing_ok=True)
        new = Outbox(self.path, self._max_messages, self._busy_timeout)
        new._execute_many("INSERT INTO message (place, topic, content) VALUES (?, ?, ?)", stored)
        new._unwritten, new.lost = self._unwritten, self.lost
        return new

    def detach(self) -> None:
        """Remove this queue's write-ahead log next to a file that replaced its own.

        SQLite would apply it to that file. The queue itself stays usable until it is closed.
        """
        try:
            now = self._beside("-wal").stat()
        except FileNotFoundError:
            return
        if self._wal and (now.st_dev, now.st_ino) == (self._wal.st_dev, self._wal.st_ino):
            for end in ("-wal", "-shm"):
                self._beside(end).unlink(missing_ok=True)

    def _beside(self, end: str) -> Path:
        return self.path.with_name(f"{self.path.name}{end}")

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _execute_many(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Execute a statement for each row, in one transaction."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany(statement, rows)
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise


def _moved(content: str, uid: str, seconds: float) -> str:
    """Return the message of an event with other times, if it is one of a run."""
    with suppress(ValueError):
        event = json.loads(content)
        if isinstance(event, dict) and str(event.get("id")).startswith(f"{uid}-"):
            times = {key: move_utc_text(event[key], seconds) for key in ("first_time", "last_time") if key in event}
            return json_line(event | times)
    return content


def open_outbox(path: Path) -> Outbox:
    """Open the queue in a file.

    A damaged file is renamed, which is logged, and replaced by a new one.

    Raises:
        UsageError: it cannot be used.
    """
    try:
        if path.exists() and damage(path) and (renamed := quarantine(path)):
            logger.warning("%s was damaged; it is now %s, and a new one was created", path, renamed)
        return Outbox(path)
    except sqlite3.Error as error:
        raise UsageError(f"{path} cannot be used: {error}; delete it to continue without its messages") from None
