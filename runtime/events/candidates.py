"""Candidates for something new near a galaxy, as rows of the event file."""

from __future__ import annotations

import dataclasses
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .database import BUSY_TIMEOUT
from .reader import open_for_reading


@dataclass(frozen=True)
class CandidateRow:
    """A candidate; the fields are columns of ``candidates`` and keys of its JSON.

    Attributes:
        id: date, number of the run and of the candidate, and galaxy, such as ``20261129-0003-01-M94``.
        run: number of the run that found it.
        first_time, last_time: UTC of the stacks that show it.
        ra, dec: degrees, J2000; position_error: arcsec; magnitude, magnitude_error: VT.
        galaxy: that it is near to; offset_east, offset_north: arcsec from its nucleus.
        sightings: number of stacks that show it, of `stacks` that reach its position since the first one.
        signal: greatest signal over noise in a stack; limiting_magnitude: of the latest one.
        recovered: share of artificial stars of this magnitude that the same stacks show; None if unknown.
        reference: file name of the reference; folder: of its files, within the output folder.
    """

    id: str
    run: int
    first_time: str
    last_time: str
    ra: float
    dec: float
    position_error: float
    magnitude: float
    magnitude_error: float
    galaxy: str
    offset_east: float
    offset_north: float
    sightings: int
    stacks: int
    signal: float
    limiting_magnitude: float
    recovered: float | None
    reference: str
    folder: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dataclasses.asdict(self)


COLUMNS = tuple(item.name for item in dataclasses.fields(CandidateRow))
"""Names of the fields, in their order."""


def save_candidate(path: Path, row: CandidateRow) -> None:
    """Write a candidate to an event file, in place of what was known of it before.

    Raises:
        sqlite3.Error: it cannot be opened or written.
    """
    marks = ", ".join("?" * len(COLUMNS))
    # Not `open_database`, which checks and migrates the file: the run that it belongs to has done that.
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT)) as database:
        database.execute(
            f"INSERT OR REPLACE INTO candidates ({', '.join(COLUMNS)}) VALUES ({marks})", dataclasses.astuple(row)
        )
        database.commit()


def query_candidates(folder: Path, since: str = "", before: str = "9") -> list[CandidateRow]:
    """Return the candidates first seen in a time (UTC, ISO 8601), in its order.

    Raises:
        UsageError: the folder has no event file, or it cannot be read.
    """
    query = f"SELECT {', '.join(COLUMNS)} FROM candidates WHERE first_time >= ? AND first_time < ? ORDER BY first_time"
    with open_for_reading(folder) as database:
        rows: list[sqlite3.Row] = database.execute(query, (since, before)).fetchall()
    return [CandidateRow(*row) for row in rows]
