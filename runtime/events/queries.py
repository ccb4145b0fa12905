"""Read the events of an output folder: list, look up, export, prune."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ...errors import UsageError, UserError
from ..system import folder_lock
from .event_row import EventRow, event_row
from .maintenance import give_space_back
from .reader import open_for_reading, running_run

logger = logging.getLogger(__name__)

ID = re.compile(r"[0-9a-f]{8}-\d{5,9}")
NUMBER = re.compile(r"\d{1,9}")
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
        run_before: of runs that began before.
        min_score, min_probability: minimum values.
        is_in_sky: only objects of the sky: galaxies, and catalogued objects that are not galaxies.
        near: right ascension, declination and radius in degrees that they must lie in; `query_events` only.
        limit: only the latest events, at most this number.
    """

    run: int | None = None
    kind: str | None = None
    name: str | None = None
    since: str | None = None
    before: str | None = None
    last_before: str | None = None
    run_before: str | None = None
    min_score: float | None = None
    min_probability: float | None = None
    is_in_sky: bool = False
    near: tuple[float, float, float] | None = None
    limit: int | None = None

    def where(self) -> tuple[str, list[Any]]:
        """Return an SQL condition and its values."""
        terms = {
            "run = ?": self.run, "kind = ?": self.kind, "instr(class, ?) = 1": self.name, "last_time >= ?": self.since,
            "first_time < ?": self.before, "last_time < ?": self.last_before, "started < ?": self.run_before,
            "score >= ?": self.min_score, "probability >= ?": self.min_probability,
        }  # fmt: skip
        given = {term: value for term, value in terms.items() if value is not None}
        conditions = [*given, *["(kind = 'object' OR kind = object_kind)"] * self.is_in_sky]
        return " AND ".join(conditions) or "1", list(given.values())


def query_events(folder: Path, query: Query) -> list[EventRow]:
    """Return the events that match a query, in the order they began.

    Raises:
        UsageError: the folder has no event file, or it cannot be read.
    """
    condition, values = query.where()
    last = f"LIMIT {int(query.limit)}" if query.limit is not None else ""
    with open_for_reading(folder) as database:
        if query.near:
            from .near import near_condition

            more, bounds = near_condition(database, query.near)
            condition, values = f"{condition} AND {more}", [*values, *bounds]
        rows = database.execute(f"SELECT * FROM told WHERE {condition} ORDER BY run DESC, number DESC {last}", values)
        running = running_run(folder, database)
        events = []
        for row in reversed(rows.fetchall()):
            try:
                events.append(event_row(folder, row, running))
            except (ValueError, TypeError) as error:
                _warn_of_damage(folder, row["run"], row["number"], str(error))
        return events


@lru_cache(maxsize=100)  # the live page asks every few seconds
def _warn_of_damage(folder: Path, run: object, number: object, reason: str) -> None:
    logger.warning("event %s of run %s in %s is damaged and left out: %s", number, run, folder, reason)


def class_counts(folder: Path) -> dict[str, int]:
    """Return the number of events by class, the most frequent first."""
    with open_for_reading(folder) as database:
        rows = database.execute("SELECT class, count(*) FROM told GROUP BY class ORDER BY count(*) DESC, class")
        return dict(rows.fetchall())


def get_event(folder: Path, event: str) -> EventRow:
    """Return the event with an id, or with a number in the latest run.

    Raises:
        NoSuchEvent: it does not exist.
    """
    if ID.fullmatch(event) or NUMBER.fullmatch(event):
        uid, _, number = event.rpartition("-")
        run = "uid = ?" if uid else "run = (SELECT max(run) FROM event)"
        values = (uid, int(number)) if uid else (int(number),)
        with open_for_reading(folder) as database:
            row = database.execute(f"SELECT * FROM told WHERE {run} AND number = ?", values).fetchone()
            running = running_run(folder, database)
        if row:
            try:
                return event_row(folder, row, running)
            except (ValueError, TypeError) as error:
                raise UsageError(f"event {event} in {folder} is damaged: {error}") from None
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
    with open_for_reading(folder, write=True) as database:
        rows = database.execute(
            f"SELECT run, number, crop FROM told WHERE ({condition}) AND (state = 'ended' OR run < ?)",
            (*values, running_run(folder, database)),
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
