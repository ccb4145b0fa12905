"""Events near a position of the sky, and the objects that they are of."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import MissingExtra, UsageError
from ...sky.angles import separation
from ...sky.catalogue.objects import compact_name
from ...sky.coordinates import parse_position
from .event_row import EventRow
from .reader import open_for_reading

Circle = tuple[float, float, float]
"""Right ascension, declination and radius in degrees."""


@dataclass(frozen=True)
class ObjectSummary:
    """All events of an object.

    Attributes:
        id, name, kind: of the object; the name is None where it is not catalogued.
        ra, dec: of its best event, degrees J2000.
        runs, events, frames: how many it was seen in.
        first_time, last_time: of its sightings, UTC.
        best: id of the event with the best score.
        score: that score.
    """

    id: str
    name: str | None
    kind: str | None
    ra: float | None
    dec: float | None
    runs: int
    events: int
    frames: int
    first_time: str
    last_time: str
    best: str
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def resolve_position(folder: Path, text: str) -> tuple[float, float]:
    """Return right ascension and declination in degrees of coordinates or of a name.

    Names are those of the folder's objects, then of OpenNGC.

    Raises:
        UsageError: it is neither.
    """
    if position := parse_position(text):
        return position
    wanted = compact_name(text)
    with open_for_reading(folder) as database:
        for row in database.execute("SELECT id, name, ra, dec FROM sky_object"):
            if wanted in (compact_name(row["id"]), compact_name(row["name"] or "")):
                return row["ra"], row["dec"]
    unknown = f"'{text}' is neither a known object nor a position such as '192.72 41.12' or '12h50m53s +41d07m13s'"
    from ...sky.catalogue.openngc import OpenNgc

    try:
        found = OpenNgc().find(text)
    except MissingExtra as error:
        raise UsageError(f"{unknown}; to look up catalogued names, {error}") from None
    if found is None:
        raise UsageError(unknown)
    return found.ra, found.dec


def near_condition(database: sqlite3.Connection, circle: Circle) -> tuple[str, list[float]]:
    """Return an SQL condition on ra and dec, and its values, for events in a circle."""
    ra, dec, radius = circle

    def is_within(row_ra: float, row_dec: float) -> bool:
        return float(separation(ra, dec, row_ra, row_dec)) <= radius

    database.create_function("is_within", 2, is_within, deterministic=True)
    return "dec BETWEEN ? AND ? AND is_within(ra, dec)", [dec - radius, dec + radius]


def summarise_objects(rows: Iterable[EventRow]) -> list[ObjectSummary]:
    """Return a summary of each object, the one seen last at the end."""
    groups: dict[str, list[EventRow]] = {}
    for row in rows:
        if row.sky and row.sky.object_id:
            groups.setdefault(row.sky.object_id, []).append(row)
    summaries = []
    for object_id, events in groups.items():
        best = max(events, key=lambda event: event.score)
        named = [event.sky for event in events if event.sky and event.sky.object_name]
        assert best.sky is not None
        summaries.append(
            ObjectSummary(
                object_id, named[-1].object_name if named else None, named[-1].object_kind if named else None,
                best.sky.ra, best.sky.dec, len({event.run for event in events}), len(events),
                sum(event.frames for event in events), min(event.first_time for event in events),
                max(event.last_time for event in events), best.id, best.score,
            )
        )  # fmt: skip
    return sorted(summaries, key=lambda item: item.last_time)
