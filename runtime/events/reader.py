"""Open the event file of an output folder for queries, also during a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ...errors import UsageError
from ..system import folder_lock
from .database import BUSY_TIMEOUT, SCHEMA_VERSION, open_database


@contextmanager
def open_for_reading(folder: Path, write: bool = False) -> Iterator[sqlite3.Connection]:
    """Open the event file of a folder; migrate it first if an older version wrote it.

    Args:
        folder: the output folder.
        write: whether rows will be changed.

    Raises:
        UsageError: the folder has no event file, or it cannot be read.
    """
    path = folder / "events.sqlite"
    if not path.is_file():
        raise UsageError(f"'{folder}' has no events.sqlite: use the output folder of a run")
    try:
        with closing(_connected(path, write)) as database:
            database.row_factory = sqlite3.Row
            database.text_factory = lambda text: text.decode("utf-8", "replace")  # a flipped bit costs a letter
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


def running_run(folder: Path, database: sqlite3.Connection) -> int:
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
