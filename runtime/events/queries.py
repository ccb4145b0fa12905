"""What was found, read back from an output folder: list, look up, export, prune."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError, UserError
from ..system import folder_lock as lock
from .database import SCHEMA_VERSION, open_database

ID = re.compile(r"[0-9a-f]{8}-\d{5,9}")
COLUMNS = (
    "id", "run", "number", "state", "kind", "class", "probability", "sure", "score", "x0", "y0", "x1", "y1", "frames",
    "first_time", "last_time", "first_frame", "last_frame", "best_frame", "source", "crop", "device", "engine",
    "detector", "classifier", "version", "probabilities",
)  # fmt: skip
"""Of a record, in the order of a CSV file's columns."""


class NoSuchEvent(UserError):
    """An event that is not there."""

    exit_code = 2


@dataclass(frozen=True)
class Query:
    """Which events are wanted; None takes all.

    Attributes:
        run: number of a run.
        kind: ``object``, or what an object turned out to be.
        name: a class, or the beginning of its name (``spiral``).
        since, before: of the last and the first sighting, UTC as ISO 8601.
        min_score, min_probability: least values.
        limit: the last so many.
    """

    run: int | None = None
    kind: str | None = None
    name: str | None = None
    since: str | None = None
    before: str | None = None
    min_score: float | None = None
    min_probability: float | None = None
    limit: int | None = None

    def where(self) -> tuple[str, list[Any]]:
        """Turn into an SQL condition and its values."""
        terms = {
            "run = ?": self.run, "kind = ?": self.kind, "instr(class, ?) = 1": self.name, "last_time >= ?": self.since,
            "first_time < ?": self.before, "score >= ?": self.min_score, "probability >= ?": self.min_probability,
        }  # fmt: skip
        given = {term: value for term, value in terms.items() if value is not None}
        return " AND ".join(given) or "1", list(given.values())


def query_events(folder: Path, query: Query) -> list[dict[str, Any]]:
    """List events as records (see `COLUMNS`), in the order they began.

    Raises:
        UsageError: the folder has no event file, or none that can be read.
    """
    condition, values = query.where()
    last = f"LIMIT {int(query.limit)}" if query.limit is not None else ""
    with _opened(folder) as base:
        rows = base.execute(f"SELECT * FROM told WHERE {condition} ORDER BY run DESC, number DESC {last}", values)
        going_on = _going_on(folder, base)
        return [_record(folder, row, going_on) for row in reversed(rows.fetchall())]


def get_event(folder: Path, event: str) -> dict[str, Any]:
    """Look up an event by its id.

    Raises:
        NoSuchEvent: there is none.
    """
    if ID.fullmatch(event):
        uid, number = event.split("-")
        with _opened(folder) as base:
            row = base.execute("SELECT * FROM told WHERE uid = ? AND number = ?", (uid, int(number))).fetchone()
            going_on = _going_on(folder, base)
        if row:
            return _record(folder, row, going_on)
    raise NoSuchEvent(f"there is no event '{event}' in {folder}: galaxy-edge events list shows them")


def as_csv(records: list[dict[str, Any]]) -> str:
    """Write records as CSV (RFC 4180) with a header; probabilities are a JSON object in one field."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for record in records:
        box = dict(zip(("x0", "y0", "x1", "y1"), record["box"], strict=True))
        flat = {**record, **box, "probabilities": json.dumps(record["probabilities"])}
        writer.writerow({key: flat[key] for key in COLUMNS})
    return stream.getvalue()


def prune_events(folder: Path, query: Query, crops_only: bool = False, dry_run: bool = False) -> dict[str, int]:
    """Delete events and their crops; a run that is going on is not disturbed, and what it has in sight stays.

    Args:
        crops_only: whether events stay and only their crops go.
        dry_run: whether nothing is deleted, only counted.

    Returns:
        Counts: events, crops, bytes.
    """
    condition, values = query.where()
    with _opened(folder, write=True) as base:
        rows = base.execute(
            f"SELECT run, number, crop FROM told WHERE ({condition}) AND (state = 'ended' OR run < ?)",
            (*values, _going_on(folder, base)),
        ).fetchall()
        files = {path: size for _, _, crop in rows for path, size in _files(folder, crop).items()}
        counts = {
            "events": 0 if crops_only else len(rows), "crops": sum(path.suffix == ".png" for path in files),
            "bytes": sum(files.values()),
        }  # fmt: skip
        if dry_run:
            return counts
        for path in files:  # first of all: on a full disk the rows need the room
            path.unlink(missing_ok=True)
        change = "UPDATE event SET crop = NULL" if crops_only else "DELETE FROM event"
        with base:
            base.execute("BEGIN IMMEDIATE")
            base.executemany(f"{change} WHERE run = ? AND number = ?", [(run, number) for run, number, _ in rows])
    return counts


@contextmanager
def _opened(folder: Path, write: bool = False) -> Iterator[sqlite3.Connection]:
    """Open the event file of a folder; one of an older version is brought up to date first."""
    path = folder / "events.sqlite"
    if not path.is_file():
        raise UsageError(f"'{folder}' has no events.sqlite: name the output folder of a run")
    try:
        with closing(_connected(path, write)) as base:
            base.row_factory = sqlite3.Row
            version = base.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise UsageError(f"{path} was written by a newer galaxy-edge (schema {version})")
            if version < SCHEMA_VERSION:
                open_database(path)[0].close()
            yield base
    except sqlite3.Error as problem:
        raise UsageError(f"{path} cannot be read: {problem}") from None


def _connected(path: Path, write: bool) -> sqlite3.Connection:
    """Connect to a file; where the disk has no room for the memory that processes share of it, for this one alone."""
    for alone in (False, True):
        mode = "rw" if write or alone else "ro"
        base = sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=10, isolation_level=None)
        try:
            if alone:
                base.execute("PRAGMA locking_mode = EXCLUSIVE")
            base.execute("SELECT count(*) FROM sqlite_schema")
            break
        except sqlite3.Error as problem:
            base.close()
            if alone or not problem.sqlite_errorname.startswith("SQLITE_IOERR_SHM"):
                raise
    return base


def _going_on(folder: Path, base: sqlite3.Connection) -> int:
    """Tell the number of the run that goes on, or of the next one where none does: all below it are over.

    A run that was killed could not say so; that it no longer holds the folder does.
    """
    following = base.execute("SELECT coalesce(max(id), 0) + 1 FROM run").fetchone()[0]
    if not lock.is_locked(folder):
        return following
    return base.execute("SELECT coalesce(max(id), ?) FROM run WHERE ended IS NULL", (following,)).fetchone()[0]


def _record(folder: Path, row: sqlite3.Row, going_on: int) -> dict[str, Any]:
    """Turn a row into plain values; a crop that is gone is None, and an event of a run that is over has ended."""
    record = {key: row[key] for key in row.keys() if key not in ("x0", "y0", "x1", "y1", "uid")}  # noqa: SIM118
    record["box"] = [row["x0"], row["y0"], row["x1"], row["y1"]]
    record["sure"] = None if row["sure"] is None else bool(row["sure"])
    record["state"] = "ended" if record["run"] < going_on else record["state"]
    record["probabilities"] = json.loads(row["probabilities"])
    if record["crop"] and not (folder / record["crop"]).is_file():
        record["crop"] = None
    return record


def _files(folder: Path, crop: str | None) -> dict[Path, int]:
    """Find the files of a crop, with their bytes; a name that leads out of the crops folder is none of ours."""
    found: dict[Path, int] = {}
    if not crop or not re.fullmatch(r"crops/\d+/\d+\.png", crop):
        return found
    for path in (folder / crop, (folder / crop).with_suffix(".fits")):
        with suppress(FileNotFoundError):  # the run that goes on may delete it at any moment, for its quota
            if path.is_file():
                found[path] = path.stat().st_size
    return found
