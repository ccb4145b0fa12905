"""The event file's tables, how older ones become these, and how a file that cannot be read is set aside."""

from __future__ import annotations

import datetime
import os
import sqlite3
from pathlib import Path

from ...errors import UsageError

SCHEMA_VERSION = 3
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
# What has come since, both of a new file and of one that is brought up to date.
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
_FROM_1 = """
ALTER TABLE run ADD COLUMN uid TEXT NOT NULL DEFAULT '';
ALTER TABLE run ADD COLUMN device TEXT NOT NULL DEFAULT '';
UPDATE run SET uid = lower(hex(randomblob(4)));
ALTER TABLE event ADD COLUMN state TEXT NOT NULL DEFAULT 'ended';
ALTER TABLE event ADD COLUMN kind TEXT NOT NULL DEFAULT 'object';
ALTER TABLE event ADD COLUMN sure INTEGER;
"""
_MIGRATIONS = {0: _RUN + _EVENT + _SINCE_1 + _SINCE_2, 1: _FROM_1 + _SINCE_1 + _SINCE_2, 2: _SINCE_2}


def open_database(path: Path) -> tuple[sqlite3.Connection, Path | None]:
    """Open the event file for writing: checked, in WAL mode, with the tables of this version.

    Args:
        path: made if it is not there. A file that is damaged is renamed, with what belongs to it, and a new one begun.

    Returns:
        The connection (usable from any one thread at a time), and where a damaged file now is.

    Raises:
        UsageError: it was made by a newer version, belongs to another program, or the disk is not fit for it.
    """
    aside = None
    if path.exists() and (problem := damage(path)):
        aside = quarantine(path)
        if aside is None:
            raise UsageError(f"{path} cannot be used as an event file ({problem}) and cannot be set aside")
    base = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
    try:
        version = base.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise UsageError(f"{path} was written by a newer galaxy-edge (schema {version}): name another --out")
        if version == 0 and base.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise UsageError(f"{path} belongs to another program: name another --out")
        if base.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
            raise UsageError(f"{path} cannot be opened for safe writing (WAL): the disk may be a network share")
        # FULL: what is committed outlives a power cut. There is a commit a second at most.
        base.execute("PRAGMA synchronous=FULL")
        if version < SCHEMA_VERSION:
            base.executescript(f"BEGIN IMMEDIATE; {_MIGRATIONS[version]} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
    except sqlite3.Error as problem:
        base.close()
        raise UsageError(f"{path} cannot be used as an event file: {problem}") from None
    except UsageError:
        base.close()
        raise
    return base, aside


def damage(path: Path) -> str | None:
    """Tell what is wrong with an SQLite file; None if it is whole.

    Raises:
        UsageError: it cannot be looked at now, e.g. for want of rights; that says nothing about the file.
    """
    try:
        base = sqlite3.connect(path, timeout=10)
        try:
            told = base.execute("PRAGMA integrity_check(1)").fetchone()[0]
        finally:
            base.close()
    except sqlite3.DatabaseError as problem:
        if isinstance(problem, sqlite3.OperationalError):
            raise UsageError(f"{path} cannot be used: {problem}") from None
        return str(problem)
    return None if told == "ok" else told.splitlines()[0]


def quarantine(path: Path) -> Path | None:
    """Rename a file, with its journal, to a free name beside it; return that, or None if the disk does not let us."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
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
