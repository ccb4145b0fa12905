"""Objects of the sky, the same in all runs of an output folder.

An object is recognised by its catalogued name, or else by its position: an event is of the nearest known object within
the errors of both. So it keeps its id across slews, meridian flips, nights and telescopes. The id is the catalogue's
name (``M 94``), or the position where it was first seen (``J125053.1+410713``); it never changes, even if the object
later gets a name from another catalogue.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...sky.angles import separation
from ...sky.position import SkyPosition

logger = logging.getLogger(__name__)

SIGMAS = 3.0
"""Standard errors within which two positions are of one object."""
BOX_SHARE = 0.24
"""Share of the size of their boxes within which they are too: another telescope may show more of an object's light."""
MIN_DISTANCE = 3.0
"""Distance in arcsec within which they are in any case: a small telescope's resolution."""
SAVE = """
INSERT INTO sky_object (id, name, ra, dec, position_error, size_arcsec) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET name = coalesce(excluded.name, name)
"""
"""Adds an object to the event file, or its name."""


@dataclass(frozen=True)
class SkyObject:
    """An object as it was first seen; the fields are columns of ``sky_object``."""

    id: str
    name: str | None
    ra: float
    dec: float
    position_error: float
    size_arcsec: float


class ObjectRegistry:
    """The objects that are known, by name and position.

    Args:
        known: those of earlier runs.
    """

    def __init__(self, known: Iterable[SkyObject] = ()) -> None:
        self._objects = list(known)
        self._by_name = {item.name: row for row, item in enumerate(self._objects) if item.name}
        self._ids = {item.id for item in self._objects}

    def __len__(self) -> int:
        return len(self._objects)

    def identify(self, sky: SkyPosition) -> str:
        """Return the id of the object at a known position; a new object is added."""
        if sky.object_name in self._by_name:
            return self._objects[self._by_name[sky.object_name]].id
        row = self._nearest(sky)
        if row is None:
            row = len(self._objects)
            self._objects.append(_first_seen(sky, self._ids))
            self._ids.add(self._objects[row].id)
        elif sky.object_name:
            self._objects[row] = replace(self._objects[row], name=sky.object_name)
        if sky.object_name:
            self._by_name[sky.object_name] = row
        return self._objects[row].id

    def _nearest(self, sky: SkyPosition) -> int | None:
        """Return the row of the nearest object that a position may be of.

        Two names are two objects, however near.
        """
        rows = [row for row, item in enumerate(self._objects) if not (item.name and sky.object_name)]
        if not rows:
            return None
        objects = [self._objects[row] for row in rows]
        assert sky.ra is not None and sky.dec is not None
        distances = separation(sky.ra, sky.dec, [item.ra for item in objects], [item.dec for item in objects]) * 3600.0
        errors = np.hypot([item.position_error for item in objects], sky.position_error or 0.0)
        sizes = np.hypot([item.size_arcsec for item in objects], sky.size_arcsec or 0.0)
        nearest = int(distances.argmin())
        reach = max(MIN_DISTANCE, SIGMAS * errors[nearest], BOX_SHARE * sizes[nearest])
        return rows[nearest] if distances[nearest] <= reach else None


def object_row(sky: SkyPosition) -> tuple[str | float | None, ...]:
    """Return the values of `SAVE` for a position with an id."""
    return sky.object_id, sky.object_name, sky.ra, sky.dec, sky.position_error or 0.0, sky.size_arcsec or 0.0


def read_objects(path: Path) -> ObjectRegistry:
    """Return the objects in an event file; none, and a warning, if it is unreadable."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)) as database:
            columns = "id, name, ra, dec, position_error, size_arcsec"
            return ObjectRegistry(SkyObject(*row) for row in database.execute(f"SELECT {columns} FROM sky_object"))
    except sqlite3.Error as error:
        logger.warning("the known objects cannot be read from %s (%s): they get new ids", path, error)
        return ObjectRegistry()


def _first_seen(sky: SkyPosition, taken: set[str]) -> SkyObject:
    assert sky.ra is not None and sky.dec is not None
    name = sky.object_name or position_name(sky.ra, sky.dec)
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name} ({number})"
    return SkyObject(unique, sky.object_name, sky.ra, sky.dec, sky.position_error or 0.0, sky.size_arcsec or 0.0)


def position_name(ra: float, dec: float) -> str:
    """Return the name of a position as the IAU recommends, cut and not rounded.

    >>> position_name(192.7211, 41.1204)
    'J125053.0+410713'
    """
    tenths = int(ra % 360.0 / 15.0 * 36000.0)
    seconds = int(abs(dec) * 3600.0)
    right = f"{tenths // 36000:02d}{tenths // 600 % 60:02d}{tenths // 10 % 60:02d}.{tenths % 10}"
    return f"J{right}{'-' if dec < 0 else '+'}{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
