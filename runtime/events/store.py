"""The event file: SQLite, one row per object and per run, one writer."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import UsageError
from .database import BUSY_TIMEOUT, open_database
from .event import Event


class EventStore:
    """The events of all runs in an output folder that this process has locked.

    See `system.folder_lock`.

    Events that earlier runs left open are ended here, at their last sighting, and these runs are marked as
    interrupted.

    Args:
        path: the SQLite file; created if missing.
        run: description of this run: started, source, version, engine, device, detector and classifier (bundle
            hashes), and settings (JSON).
        after: the highest run number among the folder's other files; this run's is higher.
        busy_timeout: seconds to wait while another program has locked the file.
        uid: of the run if it has one already; None for a new one.

    Attributes:
        run: this run's number.
        uid: 8 hexadecimal digits, unique to this run.
        aside: new path of a damaged file; None if the file was intact.

    Raises:
        UsageError: the file was made by a newer version or another program, or the disk does not support it.
    """

    def __init__(
        self,
        path: Path,
        run: dict[str, str],
        after: int = 0,
        busy_timeout: float = BUSY_TIMEOUT,
        uid: str | None = None,
    ) -> None:
        self._database, self.aside = open_database(path)
        self.uid = uid or os.urandom(4).hex()
        try:
            known = self._database.execute("SELECT coalesce(max(id), 0) FROM run").fetchone()[0]
            self.run = max(known, after) + 1
            values: dict[str, Any] = {"id": self.run, "uid": self.uid, **run}
            insert = f"INSERT INTO run ({', '.join(values)}) VALUES ({', '.join('?' for _ in values)})"
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                # Selected by run, through the primary key, so that the start of a run does not read all events.
                self._database.execute(_END_OPEN)
                self._database.execute(_INTERRUPTED)
                self._database.execute(insert, tuple(values.values()))
            self.set_busy_timeout(busy_timeout)
        except sqlite3.Error as error:
            self._database.close()
            raise UsageError(f"{path} cannot be used as an event file: {error}") from None

    def save(
        self,
        events: Sequence[tuple[Event, str | None]],
        deleted: Sequence[str] = (),
        entered: Sequence[tuple[int, str]] = (),
        clock_step: float = 0.0,
    ) -> list[tuple[Event, str]]:
        """Write events and changes of crops in one transaction.

        Args:
            events: pairs of an event and the name of its crop, or None.
            deleted: names of crops that were deleted.
            entered: pairs of an event's number and the name of its crop, which is on the disk now.
            clock_step: seconds by which the clock was set since the rows before were written: theirs of this run are
                moved, and the beginning of the run.

        Returns:
            Events that break a constraint of the table, each with the reason; all others are written.

        Raises:
            sqlite3.Error: nothing was written.
        """
        refused: list[tuple[Event, str]] = []
        self._database.execute("BEGIN IMMEDIATE")
        try:
            if clock_step:
                seconds = f"{clock_step:+.3f} seconds"
                self._database.execute(_MOVE_EVENTS, (seconds, seconds, self.run))
                self._database.execute(_MOVE_RUN, (seconds, self.run))
            for event, crop in events:
                try:
                    self._database.execute(_SAVE, _row(self.run, event, crop))
                    self._save_object(event)
                except _ROW_ERRORS as error:  # only this statement is undone
                    refused.append((event, str(error)))
            self._database.executemany("UPDATE event SET crop = NULL WHERE crop = ?", [(name,) for name in deleted])
            self._database.executemany(
                "UPDATE event SET crop = ? WHERE run = ? AND number = ?",
                [(name, self.run, number) for number, name in entered],
            )
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        return refused

    def _save_object(self, event: Event) -> None:
        """Keep the object that an event is of, if it has one, for later runs."""
        if event.sky is not None and event.sky.object_id:
            from .objects import SAVE, object_row

            self._database.execute(SAVE, object_row(event.sky))

    def crops(self) -> list[str]:
        """Return the names of all crops.

        Raises:
            sqlite3.Error: the file cannot be read.
        """
        return [name for (name,) in self._database.execute("SELECT crop FROM event WHERE crop IS NOT NULL")]

    def end(self, ended: str, frames: int, bad_pictures: int) -> None:
        """Record the end of the run.

        Raises:
            sqlite3.Error: it cannot be written.
        """
        values = (ended, frames, bad_pictures, self.run)
        self._database.execute("UPDATE event SET state = 'ended' WHERE run = ? AND state <> 'ended'", (self.run,))
        self._database.execute("UPDATE run SET ended = ?, frames = ?, bad_pictures = ? WHERE id = ?", values)

    def set_busy_timeout(self, seconds: float) -> None:
        """Set the time to wait while another program has locked the file."""
        self._database.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")

    def close(self) -> None:
        """Close the file."""
        self._database.close()


_ROW_ERRORS = (
    sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError, ValueError, TypeError,
    OverflowError,
)  # fmt: skip
"""Errors of one row: a value that is missing, not finite, too large, or of a type that cannot be stored."""
_END_OPEN = """
UPDATE event SET state = 'ended' WHERE run IN (SELECT id FROM run WHERE ended IS NULL) AND state <> 'ended'
"""
_INTERRUPTED = """
UPDATE run SET interrupted = 1, ended = coalesce((SELECT max(last_time) FROM event WHERE event.run = run.id), started)
WHERE ended IS NULL
"""
_TIME = "coalesce(strftime('%Y-%m-%dT%H:%M:%fZ', {0}, ?), {0})"
_MOVE_EVENTS = (
    f"UPDATE event SET first_time = {_TIME.format('first_time')}, last_time = {_TIME.format('last_time')} WHERE run = ?"
)
_MOVE_RUN = f"UPDATE run SET started = {_TIME.format('started')} WHERE id = ?"
_COLUMNS = (
    "run", "number", "first_frame", "last_frame", "first_time", "last_time", "frames", "source", "best_frame",
    "x0", "y0", "x1", "y1", "score", "class", "probability", "probabilities", "crop", "state", "kind", "sure",
    "ra", "dec", "position_error", "size_arcsec", "position_angle", "object_name", "object_kind", "object_type",
    "object_separation", "object_id", "object_neighbours", "sky_note",
)  # fmt: skip
_SKY_COLUMNS = _COLUMNS[_COLUMNS.index("ra") :]  # those of `sky.position`, which a run without positions never loads
_SAVE = f"INSERT OR REPLACE INTO event ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' for _ in _COLUMNS)})"


def _row(run: int, event: Event, crop: str | None) -> tuple[Any, ...]:
    sky = event.sky.to_row() if event.sky else (None,) * len(_SKY_COLUMNS)
    return (
        run, event.number, event.first_frame, event.last_frame, event.first_time, event.last_time, event.frames,
        event.source, event.best_frame, *event.box, event.score, event.name, event.probability,
        json.dumps(event.probabilities, allow_nan=False), crop, event.state, event.kind, event.sure,
        *sky,
    )  # fmt: skip
