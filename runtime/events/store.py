"""The event file: SQLite in WAL mode, one row an object, one row a run, one writer."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...errors import UsageError
from .database import open_database
from .event import Event


class EventStore:
    """Events of all runs into one output folder, which this process has for its own (see `lock`).

    What earlier runs left open they will not end any more: their events are ended here, at their last sighting, and
    the runs marked as interrupted.

    Args:
        path: the SQLite file; made if it is not there.
        run: what to note of this run: started, source, version, engine, device, detector and classifier (bundle
            hashes).
        after: the highest run number that the folder knows of otherwise; this run's is higher.

    Attributes:
        run: this run's number.
        uid: 8 hexadecimal digits, unlike any other run's.
        aside: where a file that could not be read was put; None if there was none.

    Raises:
        UsageError: the file was made by a newer version or another program, or the disk is not fit for it.
    """

    def __init__(self, path: Path, run: dict[str, str], after: int = 0) -> None:
        self._base, self.aside = open_database(path)
        self.uid = secrets.token_hex(4)
        try:
            known = self._base.execute("SELECT coalesce(max(id), 0) FROM run").fetchone()[0]
            self.run = max(known, after) + 1
            values: dict[str, Any] = {"id": self.run, "uid": self.uid, **run}
            marks = ", ".join("?" for _ in values)
            with self._base:
                self._base.execute("BEGIN IMMEDIATE")
                self._base.execute("UPDATE event SET state = 'ended' WHERE state <> 'ended'")
                self._base.execute(_INTERRUPTED)
                self._base.execute(f"INSERT INTO run ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))
        except sqlite3.Error as problem:
            self._base.close()
            raise UsageError(f"{path} cannot be used as an event file: {problem}") from None

    def save(self, events: Iterable[tuple[Event, str | None]], gone: Sequence[str] = ()) -> None:
        """Write events, each with the name of its crop, and forget crops that are gone: all in one transaction.

        Raises:
            sqlite3.Error: nothing of it was written.
        """
        self._base.execute("BEGIN IMMEDIATE")
        try:
            self._base.executemany(_SAVE, [_row(self.run, event, crop) for event, crop in events])
            self._base.executemany("UPDATE event SET crop = NULL WHERE crop = ?", [(name,) for name in gone])
            self._base.execute("COMMIT")
        except BaseException:
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")
            raise

    def crops(self) -> list[str]:
        """List the crops that events name.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        return [name for (name,) in self._base.execute("SELECT crop FROM event WHERE crop IS NOT NULL")]

    def end(self, ended: str, frames: int, bad_pictures: int) -> None:
        """Note the end of the run.

        Raises:
            sqlite3.Error: it could not be written.
        """
        values = (ended, frames, bad_pictures, self.run)
        self._base.execute("UPDATE run SET ended = ?, frames = ?, bad_pictures = ? WHERE id = ?", values)

    def close(self) -> None:
        """Close the file."""
        self._base.close()


_INTERRUPTED = """
UPDATE run SET interrupted = 1, ended = coalesce((SELECT max(last_time) FROM event WHERE event.run = run.id), started)
WHERE ended IS NULL
"""
_COLUMNS = (
    "run", "number", "first_frame", "last_frame", "first_time", "last_time", "frames", "source", "best_frame",
    "x0", "y0", "x1", "y1", "score", "class", "probability", "probabilities", "crop", "state", "kind", "sure",
)  # fmt: skip
_SAVE = f"INSERT OR REPLACE INTO event ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"


def _row(run: int, event: Event, crop: str | None) -> tuple[Any, ...]:
    return (
        run, event.number, event.first_frame, event.last_frame, event.first_time, event.last_time, event.frames,
        event.source, event.best_frame, *event.box, event.score, event.name, event.probability,
        json.dumps(event.probabilities), crop, event.state, event.kind, event.sure,
    )  # fmt: skip
