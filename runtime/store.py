"""The event file: SQLite in WAL mode, one row an object, one row a run."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from .errors import RunFailure, UsageError
from .track import Track

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT, source TEXT NOT NULL, version TEXT NOT NULL,
    engine TEXT NOT NULL, detector TEXT NOT NULL, classifier TEXT NOT NULL, frames INTEGER, bad_pictures INTEGER
);
CREATE TABLE event (
    run INTEGER NOT NULL REFERENCES run(id), number INTEGER NOT NULL,
    first_frame INTEGER NOT NULL, last_frame INTEGER NOT NULL, first_time TEXT NOT NULL, last_time TEXT NOT NULL,
    frames INTEGER NOT NULL, source TEXT NOT NULL, best_frame INTEGER NOT NULL,
    x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL, score REAL NOT NULL,
    class TEXT NOT NULL, probability REAL NOT NULL, probabilities TEXT NOT NULL, crop TEXT,
    PRIMARY KEY (run, number)
);
CREATE INDEX event_class ON event(class);
"""


class EventStore:
    """Events of all runs into one output folder.

    Args:
        path: the SQLite file; made if it is not there.
        run: what to note of this run: started, source, version, engine, detector and classifier (bundle hashes).

    Raises:
        UsageError: the file is no event file, or was made by a newer version.
    """

    def __init__(self, path: Path, run: dict[str, str], classes: tuple[str, ...]) -> None:
        self._path = path
        self._classes = classes
        try:
            self._base = sqlite3.connect(path)
            version = self._base.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise UsageError(f"{path} was written by a newer galaxy-edge (schema {version}): name another --out")
            if self._base.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
                raise UsageError(f"{path} cannot be opened for safe writing (WAL): the disk may be a network share")
            self._base.execute("PRAGMA synchronous=NORMAL")
            if version == 0:
                self._base.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
            columns = ", ".join(run)
            marks = ", ".join("?" for _ in run)
            cursor = self._base.execute(f"INSERT INTO run ({columns}) VALUES ({marks})", tuple(run.values()))
            self._base.commit()
        except sqlite3.Error as problem:
            raise UsageError(f"{path} cannot be used as an event file: {problem}") from None
        self.run = int(cursor.lastrowid or 0)

    def save(self, track: Track, crop: str | None) -> None:
        """Write a track as an event, or write it anew; it is durable after the next `commit`."""
        probabilities = track.probabilities
        best = int(np.argmax(probabilities))
        x0, y0, x1, y1 = (round(float(value), 2) for value in track.box)
        spread = {name: round(float(p), 4) for name, p in zip(self._classes, probabilities, strict=True)}
        row: tuple[Any, ...] = (
            self.run, track.number, track.first[0], track.last[0], track.first[1], track.last[1], track.frames,
            track.source, track.best_frame, x0, y0, x1, y1, round(track.score, 4), self._classes[best],
            round(float(probabilities[best]), 4), json.dumps(spread), crop,
        )
        self._do(f"INSERT OR REPLACE INTO event VALUES ({', '.join('?' for _ in row)})", row)

    def commit(self) -> None:
        """Make what was saved durable."""
        try:
            self._base.commit()
        except sqlite3.Error as problem:
            raise RunFailure(f"events cannot be written to {self._path}: {problem}") from None

    def close(self, ended: str, frames: int, bad_pictures: int) -> None:
        """Note the end of the run and close the file."""
        values = (ended, frames, bad_pictures, self.run)
        self._do("UPDATE run SET ended = ?, frames = ?, bad_pictures = ? WHERE id = ?", values)
        self.commit()
        self._base.close()

    def _do(self, statement: str, values: tuple[Any, ...]) -> None:
        try:
            self._base.execute(statement, values)
        except sqlite3.Error as problem:
            raise RunFailure(f"events cannot be written to {self._path}: {problem}") from None
