"""The table of an output folder about the catalogued objects in its frames."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ...sky.catalogue.in_field import FieldObject
from .depth_tables import finite_number

FIELD_FILE = "field.csv"
"""Rows are catalogued objects in the frames, see `field_row`."""
SITE_FILE = "site.csv"
"""Rows are where the telescope stands, by the frames' headers: ``time``, ``run``, ``latitude``, ``longitude``."""
_OPTIONAL = ("magnitude", "size_arcsec")


def field_row(time: str, run: int, item: FieldObject) -> dict[str, Any]:
    """Return the row of an object; ``detected`` is 0 or 1."""
    return {"time": time, "run": run, **asdict(item), "detected": int(item.detected)}


def read_field(folder: Path, since: str = "", until: str = "~") -> list[FieldObject]:
    """Return the catalogued objects in a folder's frames, the brightest first.

    Args:
        folder: the output folder; without the table, there are none.
        since, until: UTC in ISO 8601, since <= time < until.
    """
    objects: dict[str, FieldObject] = {}
    for item in _rows(folder / FIELD_FILE, since, until):
        before = objects.get(item.name)
        objects[item.name] = replace(item, detected=item.detected or bool(before and before.detected))
    return sorted(objects.values(), key=lambda item: 99.0 if item.magnitude is None else item.magnitude)


def site_row(time: str, run: int, site: tuple[float, float]) -> dict[str, Any]:
    """Return the row of a place: latitude and longitude in degrees."""
    return {"time": time, "run": run, "latitude": site[0], "longitude": site[1]}


def read_site(folder: Path) -> tuple[float, float] | None:
    """Return latitude and longitude of the telescope used last in a folder.

    None where no header said it.
    """
    for row in reversed(_lines(folder / SITE_FILE)):
        try:
            latitude, longitude = finite_number(row["latitude"]), finite_number(row["longitude"])
        except (KeyError, ValueError, TypeError):  # a line cut short by a power failure
            continue
        if abs(latitude) <= 90 and abs(longitude) <= 180:
            return latitude, longitude
    return None


def _rows(path: Path, since: str, until: str) -> Iterator[FieldObject]:
    for row in _lines(path):
        try:
            if since <= row["time"] < until:
                magnitude, size = (finite_number(row[key]) if row[key] else None for key in _OPTIONAL)
                position = finite_number(row["ra"]), finite_number(row["dec"])
                yield FieldObject(row["name"], row["kind"], *position, magnitude, size, bool(int(row["detected"])))
        except (KeyError, ValueError, TypeError):  # a line cut short by a power failure
            continue


def _lines(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table; none without a file."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace").replace("\0", "")
    except FileNotFoundError:
        return []
    return list(csv.DictReader(text.splitlines()))
