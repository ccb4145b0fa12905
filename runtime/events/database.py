"""The event file's tables and migrations, and the replacement of a damaged file."""

from __future__ import annotations

import logging
import os
import sqlite3
from pathlib import Path

from ...errors import UsageError
from ..system.utc_time import file_stamp

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 6
BUSY_TIMEOUT = 10.0
"""Seconds to wait while another program has locked the file."""
_RUN = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT, source TEXT NOT NULL, version TEXT NOT NULL,
    engine TEXT NOT NULL, detector TEXT NOT NULL, classifier TEXT NOT NULL, frames INTEGER, bad_pictures INTEGER,
    uid TEXT NOT NULL DEFAULT '', device TEXT NOT NULL DEFAULT ''
);
"""
_EVENT = """
CREATE TABLE event (
    run INTEGER NOT NULL REFERENCES run(id), number INTEGER NOT NULL,
    first_frame INTEGER NOT NULL, last_frame INTEGER NOT NULL, first_time TEXT NOT NULL, last_time TEXT NOT NULL,
    frames INTEGER NOT NULL, source TEXT NOT NULL, best_frame INTEGER NOT NULL,
    x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL, score REAL NOT NULL,
    class TEXT NOT NULL, probability REAL NOT NULL, probabilities TEXT NOT NULL, crop TEXT,
    state TEXT NOT NULL DEFAULT 'ended', kind TEXT NOT NULL DEFAULT 'object', sure INTEGER,
    PRIMARY KEY (run, number)
);
CREATE INDEX event_class ON event(class);
"""
# Added by later versions; run for a new file as well as for one that is migrated.
_SINCE_1 = """
CREATE UNIQUE INDEX run_uid ON run(uid);
CREATE INDEX event_time ON event(first_time);
CREATE INDEX event_crop ON event(crop);
CREATE VIEW told AS
    SELECT printf('%s-%05d', run.uid, event.number) AS id, event.*, run.uid, run.device, run.engine, run.detector,
        run.classifier, run.version, run.started
    FROM event JOIN run ON run.id = event.run;
"""
_SINCE_2 = "ALTER TABLE run ADD COLUMN interrupted INTEGER NOT NULL DEFAULT 0;"
# Positions on the sky, NULL where they are unknown, and the objects of all runs; see `objects`.
_SINCE_3 = """
ALTER TABLE event ADD COLUMN ra REAL;
ALTER TABLE event ADD COLUMN dec REAL;
ALTER TABLE event ADD COLUMN position_error REAL;
ALTER TABLE event ADD COLUMN size_arcsec REAL;
ALTER TABLE event ADD COLUMN position_angle REAL;
ALTER TABLE event ADD COLUMN object_name TEXT;
ALTER TABLE event ADD COLUMN object_kind TEXT;
ALTER TABLE event ADD COLUMN object_type TEXT;
ALTER TABLE event ADD COLUMN object_separation REAL;
ALTER TABLE event ADD COLUMN object_id TEXT;
ALTER TABLE event ADD COLUMN object_neighbours TEXT;
ALTER TABLE event ADD COLUMN sky_note TEXT;
CREATE INDEX event_object ON event(object_id) WHERE object_id IS NOT NULL;
CREATE INDEX event_dec ON event(dec) WHERE dec IS NOT NULL;
CREATE TABLE sky_object (
    id TEXT PRIMARY KEY, name TEXT, ra REAL NOT NULL, dec REAL NOT NULL, position_error REAL NOT NULL,
    size_arcsec REAL NOT NULL
);
"""
# Settings of the run as JSON, without addresses, paths and passwords; "" for runs of earlier versions.
_SINCE_4 = "ALTER TABLE run ADD COLUMN settings TEXT NOT NULL DEFAULT '';"
# Something new near a galaxy; see `candidates`.
_SINCE_5 = """
CREATE TABLE candidates (
    id TEXT PRIMARY KEY, run INTEGER NOT NULL, first_time TEXT NOT NULL, last_time TEXT NOT NULL,
    ra REAL NOT NULL, dec REAL NOT NULL, position_error REAL NOT NULL, magnitude REAL NOT NULL,
    magnitude_error REAL NOT NULL, galaxy TEXT NOT NULL, offset_east REAL NOT NULL, offset_north REAL NOT NULL,
    sightings INTEGER NOT NULL, stacks INTEGER NOT NULL, signal REAL NOT NULL, limiting_magnitude REAL NOT NULL,
    recovered REAL, reference TEXT NOT NULL, folder TEXT NOT NULL
);
CREATE INDEX candidates_time ON candidates(first_time);
"""
_FROM_1 = """
ALTER TABLE run ADD COLUMN uid TEXT NOT NULL DEFAULT '';
ALTER TABLE run ADD COLUMN device TEXT NOT NULL DEFAULT '';
UPDATE run SET uid = lower(hex(randomblob(4)));
ALTER TABLE event ADD COLUMN state TEXT NOT NULL DEFAULT 'ended';
ALTER TABLE event ADD COLUMN kind TEXT NOT NULL DEFAULT 'object';
ALTER TABLE event ADD COLUMN sure INTEGER;
"""
_MIGRATIONS = {
    0: _RUN + _EVENT + _SINCE_1 + _SINCE_2 + _SINCE_3 + _SINCE_4 + _SINCE_5,
    1: _FROM_1 + _SINCE_1 + _SINCE_2 + _SINCE_3 + _SINCE_4 + _SINCE_5,
    2: _SINCE_2 + _SINCE_3 + _SINCE_4 + _SINCE_5,
    3: _SINCE_3 + _SINCE_4 + _SINCE_5,
    4: _SINCE_4 + _SINCE_5,
    5: _SINCE_5,
}


def open_database(
    path: Path, busy_timeout: float = BUSY_TIMEOUT, vfs: str = ""
) -> tuple[sqlite3.Connection, Path | None]:
    """Open the event file for writing: check it, set its journal, migrate it.

    WAL mode is used where the disk supports it. A network share or a FUSE disk may lack the shared memory that it
    needs; there a rollback journal is used, and readers may wait for a commit.

    Args:
        path: created if missing. A damaged file is renamed together with its journal, and a new one is started.
        busy_timeout: seconds to wait while another program has locked the file.
        vfs: SQLite's layer for the operating system; "" for the default.

    Returns:
        The connection (to be used by one thread at a time), and the new path of a damaged file or None.

    Raises:
        UsageError: it was made by a newer version, belongs to another program, or the disk does not support it.
    """
    aside = None
    if path.exists() and (defect := damage(path, busy_timeout, full=False)):
        aside = quarantine(path)
        if aside is None:
            raise UsageError(f"{path} cannot be used as an event file ({defect}) and cannot be renamed")
    try:
        database = _connect(path, busy_timeout, vfs)
    except sqlite3.Error as error:
        raise UsageError(f"{path} cannot be used as an event file: {error}") from None
    try:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise UsageError(f"{path} was written by a newer galaxy-edge (schema {version}): use another --out")
        if version == 0 and database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise UsageError(f"{path} belongs to another program: use another --out")
        if version == 0:
            database.execute("PRAGMA auto_vacuum=INCREMENTAL")  # so that pruning releases space
        _set_journal(database, path)
        # FULL: a commit survives a power loss. There is at most about one commit a second.
        database.execute("PRAGMA synchronous=FULL")
        if version < SCHEMA_VERSION:
            database.executescript(
                f"BEGIN IMMEDIATE; {_MIGRATIONS[version]} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
            )
    except sqlite3.Error as error:
        database.close()
        raise UsageError(f"{path} cannot be used as an event file: {error}") from None
    except UsageError:
        database.close()
        raise
    return database, aside


def _connect(path: Path, busy_timeout: float, vfs: str = "") -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}{f'?vfs={vfs}' if vfs else ''}"
    return sqlite3.connect(uri, uri=True, timeout=busy_timeout, check_same_thread=False, isolation_level=None)


def _set_journal(database: sqlite3.Connection, path: Path) -> None:
    """Set WAL mode, or a rollback journal where the disk does not support it."""
    try:
        if database.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal":
            return
    except sqlite3.OperationalError as error:
        if not error.sqlite_errorname.startswith(("SQLITE_IOERR_SHM", "SQLITE_CANTOPEN", "SQLITE_PROTOCOL")):
            raise
    database.execute("PRAGMA locking_mode=NORMAL")
    mode = database.execute("PRAGMA journal_mode=TRUNCATE").fetchone()[0]
    logger.warning("%s: this disk does not support WAL, as some network shares: the journal is '%s'", path, mode)


def damage(path: Path, busy_timeout: float = BUSY_TIMEOUT, full: bool = True) -> str | None:
    """Return what is wrong with an SQLite file; None if it is intact.

    Args:
        path: of the file.
        busy_timeout: seconds to wait while another program has locked the file.
        full: whether to read all of it, which takes minutes for millions of events on a memory card; otherwise only
            its header, size, tables and latest rows are read.

    Raises:
        UsageError: it cannot be opened at the moment, e.g. for lack of permissions; it may be intact.
    """
    try:
        database = sqlite3.connect(path, timeout=busy_timeout)
        try:
            if not full:
                return _quick_damage(database, path)
            result = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
        finally:
            database.close()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise UsageError(f"{path} cannot be used: {error}") from None
        return str(error)
    return None if result == "ok" else str(result).splitlines()[0]


def _quick_damage(database: sqlite3.Connection, path: Path) -> str | None:
    """Return what is wrong with the parts of an event file that a start reads."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    pages, size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if path.stat().st_size and path.stat().st_size < (pages - _pages_in_wal(path, size)) * size:
        return f"it has {path.stat().st_size} bytes in place of {pages * size}"
    for table in {"run", "event"} & tables:
        database.execute(f"SELECT * FROM {table} ORDER BY rowid DESC LIMIT 100").fetchall()
        database.execute(f"SELECT * FROM {table} ORDER BY rowid LIMIT 100").fetchall()
    return None


def _pages_in_wal(path: Path, page_size: int) -> int:
    """Return how many pages may be in the journal and not yet in the file."""
    wal = path.with_name(f"{path.name}-wal")
    return wal.stat().st_size // page_size if wal.exists() else 0


def quarantine(path: Path) -> Path | None:
    """Rename a file and its journal to an unused name in the same folder.

    Return it, or None if that fails.
    """
    now = file_stamp()
    count = 1
    while (target := path.with_name(f"{path.stem}-unreadable-{now}-{count}{path.suffix}")).exists():
        count += 1
    try:
        for end in ("", "-wal", "-shm"):
            if (part := path.with_name(path.name + end)).exists():
                os.replace(part, target.with_name(target.name + end))
    except OSError:
        return None
    return target
