"""Read the events of an output folder: list, look up, export, prune."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError, UserError
from ..system import folder_lock
from .database import BUSY_TIMEOUT, SCHEMA_VERSION, open_database
from .event_row import EventRow, event_row
from .maintenance import give_space_back

ID = re.compile(r"[0-9a-f]{8}-\d{5,9}")
CLOCK_SET = "2020"
"""A run that began earlier began on a machine whose clock was not set: its events have no usable age."""


class NoSuchEvent(UserError):
    """The event does not exist."""

    exit_code = 2


@dataclass(frozen=True)
class Query:
    """Conditions that events must meet; None matches all.

    Attributes:
        run: number of a run.
        kind: ``object``, or the kind of artefact, see `tracking.track`.
        name: a class, or the beginning of its name (``spiral``).
        since, before: last seen at or after, first seen before; UTC, ISO 8601.
        last_before: last seen before.
        min_score, min_probability: minimum values.
        limit: only the latest events, at most this number.
    """

    run: int | None = None
    kind: str | None = None
    name: str | None = None
    since: str | None = None
    before: str | None = None
    last_before: str | None = None
    min_score: float | None = None
    min_probability: float | None = None
    limit: int | None = None

    def where(self) -> tuple[str, list[Any]]:
        """Return an SQL condition and its values."""
        terms = {
            "run = ?": self.run, "kind = ?": self.kind, "instr(class, ?) = 1": self.name, "last_time >= ?": self.since,
            "first_time < ?": self.before, "last_time < ?": self.last_before, "score >= ?": self.min_score,
            "probability >= ?": self.min_probability,
        }  # fmt: skip
        given = {term: value for term, value in terms.items() if value is not None}
        return " AND ".join(given) or "1", list(given.values())


def query_events(folder: Path, query: Query) -> list[EventRow]:
    """Return the events that match a query, in the order they began.

    Raises:
        UsageError: the folder has no event file, or it cannot be read.
    """
    condition, values = query.where()
    last = f"LIMIT {int(query.limit)}" if query.limit is not None else ""
    with _opened(folder) as database:
        rows = database.execute(f"SELECT * FROM told WHERE {condition} ORDER BY run DESC, number DESC {last}", values)
        running = _running(folder, database)
        return [event_row(folder, row, running) for row in reversed(rows.fetchall())]


def get_event(folder: Path, event: str) -> EventRow:
    """Return the event with an id.

    Raises:
        NoSuchEvent: it does not exist.
    """
    if ID.fullmatch(event):
        uid, number = event.split("-")
        with _opened(folder) as database:
            row = database.execute("SELECT * FROM told WHERE uid = ? AND number = ?", (uid, int(number))).fetchone()
            running = _running(folder, database)
        if row:
            return event_row(folder, row, running)
    raise NoSuchEvent(f"there is no event '{event}' in {folder}: galaxy-edge events list shows them")


def prune_events(folder: Path, query: Query, crops_only: bool = False, dry_run: bool = False) -> dict[str, int]:
    """Delete events and their crops, except events still in sight in a running run.

    Events by age of a run that began before `CLOCK_SET` stay too, unless the query names the run.

    Args:
        query: which events.
        crops_only: whether only the crops are deleted.
        dry_run: whether to count only, without deleting.

    Returns:
        Counts: events, crops, bytes.
    """
    condition, values = query.where()
    if query.run is None and (query.before or query.last_before):
        condition, values = f"{condition} AND started >= ?", [*values, CLOCK_SET]
    with _opened(folder, write=True) as database:
        rows = database.execute(
            f"SELECT run, number, crop FROM told WHERE ({condition}) AND (state = 'ended' OR run < ?)",
            (*values, _running(folder, database)),
        ).fetchall()
        files = {path: size for _, _, crop in rows for path, size in _files(folder, crop).items()}
        counts = {
            "events": 0 if crops_only else len(rows), "crops": sum(path.suffix == ".png" for path in files),
            "bytes": sum(files.values()),
        }  # fmt: skip
        if dry_run:
            return counts
        for path in files:  # first, because on a full disk the rows need the space
            path.unlink(missing_ok=True)
        change = "UPDATE event SET crop = NULL" if crops_only else "DELETE FROM event"
        with database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(f"{change} WHERE run = ? AND number = ?", [(run, number) for run, number, _ in rows])
        if not crops_only:
            give_space_back(database, is_running=folder_lock.is_locked(folder))
    return counts


@contextmanager
def _opened(folder: Path, write: bool = False) -> Iterator[sqlite3.Connection]:
    """Open the event file of a folder; migrate it first if an older version wrote it."""
    path = folder / "events.sqlite"
    if not path.is_file():
        raise UsageError(f"'{folder}' has no events.sqlite: use the output folder of a run")
    try:
        with closing(_connected(path, write)) as database:
            database.row_factory = sqlite3.Row
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise UsageError(f"{path} was written by a newer galaxy-edge (schema {version})")
            if version < SCHEMA_VERSION:
                open_database(path)[0].close()
            yield database
    except sqlite3.Error as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


def _connected(path: Path, write: bool) -> sqlite3.Connection:
    """Connect to a file, exclusively if the disk is too full for shared memory.

    SQLite shares this memory between processes.
    """
    for exclusive in (False, True):
        mode = "rw" if write or exclusive else "ro"
        database = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT, isolation_level=None
        )
        try:
            if exclusive:
                database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("SELECT count(*) FROM sqlite_schema")
            break
        except sqlite3.Error as error:
            database.close()
            if exclusive or not error.sqlite_errorname.startswith("SQLITE_IOERR_SHM"):
                raise
    return database


def _running(folder: Path, database: sqlite3.Connection) -> int:
    """Return the number of the running run, or of the next one if none is running.

    All lower ones have ended.

    A run that was killed could not record its end, but it no longer holds the lock of the folder.
    """
    next_run: int = database.execute("SELECT coalesce(max(id), 0) + 1 FROM run").fetchone()[0]
    if not folder_lock.is_locked(folder):
        return next_run
    running: int = database.execute("SELECT coalesce(max(id), ?) FROM run WHERE ended IS NULL", (next_run,)).fetchone()[
        0
    ]
    return running


def _files(folder: Path, crop: str | None) -> dict[Path, int]:
    """Return the files of a crop with their sizes in bytes.

    Names outside the crops folder are ignored.
    """
    found: dict[Path, int] = {}
    if not crop or not re.fullmatch(r"crops/\d+/\d+\.png", crop):
        return found
    for path in (folder / crop, (folder / crop).with_suffix(".fits")):
        with suppress(FileNotFoundError):  # a running run may delete it at any moment, for its quota
            if path.is_file():
                found[path] = path.stat().st_size
    return found
