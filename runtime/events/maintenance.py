"""Copy an event file in use, and release the disk space of deleted rows."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from ...errors import UsageError
from ...files import commit_staged, fsync_directory, staging_path

PAGES_AT_ONCE = 500
"""Pages that are released in one transaction; a larger number would block a running run for longer."""
INCREMENTAL = 2
"""SQLite's value of auto_vacuum for files whose free pages can be released in parts."""


def give_space_back(database: sqlite3.Connection, is_running: bool) -> None:
    """Shorten an event file by its free pages.

    Files of earlier versions are rewritten, which needs as much free space as their size; while a run writes to them,
    they are not shortened.
    """
    try:
        if database.execute("PRAGMA auto_vacuum").fetchone()[0] != INCREMENTAL:
            if is_running:
                return
            database.execute("PRAGMA auto_vacuum=INCREMENTAL")
            database.execute("VACUUM")
        while database.execute("PRAGMA freelist_count").fetchone()[0]:
            before = database.execute("PRAGMA freelist_count").fetchone()[0]
            database.execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})").fetchall()
            if database.execute("PRAGMA freelist_count").fetchone()[0] >= before:
                break
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname not in ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED"):
            raise  # otherwise the rows are deleted, and the next call releases the space


def backup_events(folder: Path, target: Path) -> int:
    """Copy the event file of a folder to `target`, atomically.

    A run may write to the file meanwhile.

    Returns:
        Number of events in the copy.

    Raises:
        UsageError: there is no event file, the target exists, or it cannot be written.
    """
    path = folder / "events.sqlite"
    if not path.is_file():
        raise UsageError(f"'{folder}' has no events.sqlite: use the output folder of a run")
    if target.exists():
        raise UsageError(f"'{target}' exists: name another file")
    staged = staging_path(target)
    try:
        staged.unlink(missing_ok=True)
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as database:
            database.execute("VACUUM INTO ?", (os.fspath(staged),))
        with closing(sqlite3.connect(staged)) as copy:
            count = int(copy.execute("SELECT count(*) FROM event").fetchone()[0])
        commit_staged(target)
        fsync_directory(target.resolve().parent)
    except sqlite3.Error as error:
        staged.unlink(missing_ok=True)
        raise UsageError(f"'{target}' cannot be written: {error}") from None
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise UsageError(f"'{target}' cannot be written: {error.strerror}") from None
    return count
