"""Nights: from noon to noon, named by the date of their evening."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ..events.field_table import read_site
from ..system.utc_time import utc_text

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HALF_DAY = datetime.timedelta(hours=12)


@dataclass(frozen=True)
class Place:
    """Where the telescope stands.

    Attributes:
        latitude: degrees, north positive, -90 to 90.
        longitude: degrees, east positive, -180 to 180.
    """

    latitude: float
    longitude: float


def parse_place(text: str) -> Place:
    """Parse ``LATITUDE,LONGITUDE`` in degrees.

    Raises:
        UsageError: it is not a position on the Earth.
    """
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"'{text}' is not a position: use LATITUDE,LONGITUDE in degrees, e.g. 48.2,16.4") from None
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise UsageError(f"'{text}' is not on the Earth: latitudes end at 90, longitudes at 180 degrees")
    return Place(latitude, longitude)


def place_of(folder: Path) -> Place | None:
    """Return the place that the frames' headers give; None if they do not."""
    site = read_site(folder)
    return None if site is None else Place(*site)


@dataclass(frozen=True)
class Night:
    """A night.

    Attributes:
        name: date of its evening, ISO 8601.
        since, until: its noons in UTC, as `utc_text` writes times; `until` is not part of it.
    """

    name: str
    since: str
    until: str


def night_from_name(name: str, place: Place | None = None) -> Night:
    """Return the night whose evening has a date.

    Noon is that of the place, or of this computer's time zone where the place is unknown.

    Raises:
        UsageError: the name is not a date.
    """
    try:
        if not _DATE.fullmatch(name):
            raise ValueError
        date = datetime.date.fromisoformat(name)
        return Night(name, _noon(date, place), _noon(date + datetime.timedelta(days=1), place))
    except (ValueError, OverflowError):  # in the years 1 and 9999, UTC may be outside the calendar
        raise UsageError(f"'{name}' is not a night: use the date of its evening, e.g. 2026-11-28") from None


def night_of(time: str, place: Place | None = None) -> Night:
    """Return the night that a UTC time belongs to."""
    moment = datetime.datetime.fromisoformat(time)
    local = moment + datetime.timedelta(hours=place.longitude / 15) if place else moment.astimezone()
    return night_from_name((local - _HALF_DAY).date().isoformat(), place)


def _noon(date: datetime.date, place: Place | None) -> str:
    noon = datetime.datetime.combine(date, datetime.time(12))
    if place:
        return utc_text(noon.replace(tzinfo=datetime.UTC) - datetime.timedelta(hours=place.longitude / 15))
    return utc_text(noon.astimezone().astimezone(datetime.UTC))
