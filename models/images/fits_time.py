"""Read the time of a FITS image from the keywords that programs write.

They are the standard's keywords, and older ones.

FITS 4.0 (Pence et al. 2010, A&A 524, A42; 2018), section 9: DATE-OBS, MJD-OBS and TIMESYS. Before 1998 dates were
DD/MM/YY, and the time of day was in TIME-OBS, UT or UTC. The result is UTC; astropy is only needed for other time
scales.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

KEYWORDS = ("DATE-OBS", "DATE_OBS", "TIME-OBS", "TIME_OBS", "UT", "UTC", "UT-START", "UTSTART", "MJD-OBS", "TIMESYS")
"""Keywords that are read, of dates and of times in the order in which they are tried."""
EARLIEST, LATEST = 1970, 2100
"""Range of plausible years; other dates come from a clock that was never set or a damaged card."""
_MJD_ZERO = datetime.datetime(1858, 11, 17)
_OLD_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2}|\d{4})")
_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2}(?:\.\d*)?)")


def observation_time(header: Mapping[str, Any]) -> datetime.datetime | None:
    """Return the time of an image, UTC; None if it is missing, incomplete or absurd.

    A date without a time of day counts as incomplete.

    Args:
        header: values by keyword, in capitals.
    """
    time = _from_date(header) or _from_mjd(header.get("MJD-OBS"))
    if time is None or not EARLIEST <= time.year < LATEST:
        return None
    if time.tzinfo is not None:
        return time.astimezone(datetime.UTC)
    return _to_utc(time, str(header.get("TIMESYS", "UTC")).strip().lower())


def _from_date(header: Mapping[str, Any]) -> datetime.datetime | None:
    """Read DATE-OBS, with the time of day from another keyword if it has none."""
    text = next((str(header[name]).strip() for name in KEYWORDS[:2] if isinstance(header.get(name), str)), "")
    if "T" in text.upper() or re.match(r"\d{4}-\d\d-\d\d \d", text):
        try:
            return datetime.datetime.fromisoformat(text)
        except ValueError:
            return _normal_second(text)
    date = _date(text)
    times = (header.get(name) for name in KEYWORDS[2:8])
    found = next((match for value in times if (match := _TIME.fullmatch(str(value).strip()))), None)
    if date is None or found is None:
        return None
    return _at(date, found)


def _date(text: str) -> datetime.date | None:
    """Parse a date of the current or the previous FITS standard.

    The previous one has DD/MM/YY or DD/MM/YYYY.
    """
    try:
        if old := _OLD_DATE.fullmatch(text):
            day, month, year = (int(part) for part in old.groups())
            if len(old[3]) == 2:
                year += 2000 if year < EARLIEST - 1900 else 1900
            return datetime.date(year, day, month) if month > 12 else datetime.date(year, month, day)
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None


def _at(date: datetime.date, time: re.Match[str]) -> datetime.datetime | None:
    hours, minutes, seconds = int(time[1]), int(time[2]), float(time[3])
    if hours > 23 or minutes > 59 or seconds >= 61:
        return None
    passed = datetime.timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return datetime.datetime.combine(date, datetime.time()) + passed


def _normal_second(text: str) -> datetime.datetime | None:
    """Parse a time that Python's parser refuses.

    Such times have numbers of one digit, more than six decimals, or second 60.
    """
    date, _, time = text.upper().replace(" ", "T", 1).partition("T")
    found, day = _TIME.fullmatch(time.removesuffix("Z")), _date(date)
    return _at(day, found) if found and day else None


def _from_mjd(value: Any) -> datetime.datetime | None:
    """Read a Modified Julian Date in days."""
    try:
        days = float(value)
        return _MJD_ZERO + datetime.timedelta(days=days)
    except (TypeError, ValueError, OverflowError):
        return None


def _to_utc(time: datetime.datetime, scale: str) -> datetime.datetime:
    """Convert a time of another scale, e.g. TAI or TT, to UTC.

    Unknown scales and local times are taken as UTC.
    """
    if scale in ("tai", "tt", "tdb", "tcg", "tcb", "gps"):
        from astropy.time import Time

        seconds = 19 if scale == "gps" else 0  # behind TAI, always
        known = Time(time + datetime.timedelta(seconds=seconds), scale="tai" if scale == "gps" else scale)
        result: datetime.datetime = known.utc.to_datetime()
        return result.replace(tzinfo=datetime.UTC)
    return time.replace(tzinfo=datetime.UTC)
