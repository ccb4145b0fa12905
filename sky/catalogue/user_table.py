"""Objects of a user's own table: any that astropy reads, with ra, dec and name.

Units must be known, because hours taken for degrees would name everything wrongly: those of the columns (ECSV, FITS,
VOTable), or at the end of their names (``ra_deg``, ``ra_hours``, ``size_arcmin``), or the letters of sexagesimal text
(``12h50m53s``).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError, require_extra
from ..angles import separation
from .objects import CatalogueObject, compact_name
from .openngc import select_within

if TYPE_CHECKING:
    from astropy.table import Column, Table

logger = logging.getLogger(__name__)

MAX_ROWS = 200_000
_NAMES = {
    "ra": ("ra", "raj2000", "ra_j2000", "ra_icrs", "right_ascension"),
    "dec": ("dec", "de", "decj2000", "dej2000", "dec_j2000", "dec_icrs", "de_icrs", "declination"),
    "name": ("name", "object", "id", "main_id", "designation"),
    "kind": ("kind", "type", "class"),
    "size": ("size", "diameter", "major", "major_axis", "majax"),
    "magnitude": ("magnitude", "mag", "vmag", "mag_v"),
}
"""Accepted names of columns, in small letters; a unit may follow after an underscore."""
_SUFFIXES = {
    "deg": "deg", "degrees": "deg", "hours": "hourangle", "h": "hourangle", "rad": "rad", "arcsec": "arcsec",
    "arcmin": "arcmin",
}  # fmt: skip


class UserTable:
    """The objects of a table, searched by position and name like a `Catalogue`.

    Args:
        path: of the table.

    Raises:
        UsageError: it cannot be read, lacks a column or a unit, or has a value outside its range.
        MissingExtra: astropy is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._objects = _read(path)
        self._by_name = {compact_name(item.name): item for item in reversed(self._objects)}

    def __len__(self) -> int:
        return len(self._objects)

    def within(self, ra: float, dec: float, radius: float, *, extent: bool = False) -> list[CatalogueObject]:
        """Return the objects within a radius of a position in degrees, see `Catalogue`."""
        return select_within(self._objects, ra, dec, radius, extent)

    def find(self, name: str) -> CatalogueObject | None:
        """Return the object with a name."""
        return self._by_name.get(compact_name(name))


def _read(path: Path) -> list[CatalogueObject]:
    require_extra("astropy", "sky")
    table = _table(path)
    if not len(table):
        raise UsageError(f"'{path}' cannot be read as a table: it has no rows")
    if len(table) > MAX_ROWS:
        raise UsageError(f"'{path}' has {len(table)} rows; a catalogue may have {MAX_ROWS}")
    found = {field: _column(table, field) for field in _NAMES}
    if missing := [field for field in ("ra", "dec", "name") if found[field] is None]:
        raise UsageError(
            f"'{path}' has no column {' and '.join(missing)}: a catalogue needs ra, dec and name (it has "
            f"{', '.join(table.colnames[:12])})"
        )
    ra, dec = (_degrees(path, table, found[field], field) for field in ("ra", "dec"))
    size = _degrees(path, table, found["size"], "size") if found["size"] else [math.nan] * len(table)
    objects = []
    for row in range(len(table)):
        position = _checked(path, row, ra[row], dec[row])
        arcsec = size[row] * 3600.0 if size[row] > 0 else None
        name, kind = _text(table, found["name"], row), _text(table, found["kind"], row)
        magnitude = _number(table, found["magnitude"], row)
        entry = CatalogueObject(name or f"row {row + 1}", (), kind or "object", *position, arcsec, arcsec)
        objects.append(replace(entry, magnitude=magnitude))
    if len(objects) >= 5 and max(ra) <= 24.0:
        logger.warning("'%s': all right ascensions are below 24 degrees; if they are hours, give them that unit", path)
    return objects


def _table(path: Path) -> Table:
    """Read a table with astropy, which finds out its format."""
    import warnings

    from astropy.table import Table

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of units that are not in a standard: what matters is checked here
            return Table.read(path)
    except FileNotFoundError:
        raise UsageError(f"the catalogue '{path}' does not exist") from None
    except Exception as first:  # noqa: BLE001  # readers raise anything
        try:
            return Table.read(path, format="ascii")
        except Exception:  # noqa: BLE001
            reason = str(first).strip().splitlines()[0] if str(first).strip() else type(first).__name__
            raise UsageError(f"'{path}' cannot be read as a table: {reason[:200]}") from None


def _column(table: Table, field: str) -> str | None:
    """Return the name of a field's column, without regard to case and unit."""
    for wanted in _NAMES[field]:
        for name in table.colnames:
            low = name.strip().lstrip("_").lower()
            if low == wanted or (low.startswith(f"{wanted}_") and low[len(wanted) + 1 :] in _SUFFIXES):
                return str(name)
    return None


def _unit(path: Path, table: Table, name: str | None, field: str) -> str:
    """Return the unit of a column; "" where its values are sexagesimal text.

    Raises:
        UsageError: it is not known.
    """
    assert name is not None
    column = table[name]
    if column.unit is not None and str(column.unit) not in ("", '"h:m:s"', '"d:m:s"', "h:m:s", "d:m:s"):
        return str(column.unit)
    if (suffix := _SUFFIXES.get(name.lower().rpartition("_")[2])) and "_" in name.strip("_"):
        return suffix
    if column.dtype.kind in "UOS" and len(table) and any(letter in str(column[0]) for letter in "hd°"):
        return ""
    better = "size_arcmin" if field == "size" else f"{field}_deg"
    raise UsageError(
        f"'{path}': the column '{name}' has no unit: name it {better}, or give the table units (ECSV, FITS, VOTable)"
    )


def _degrees(path: Path, table: Table, name: str | None, field: str) -> list[float]:
    """Return a column of angles in degrees; masked values are NaN."""
    import numpy as np
    from astropy import units
    from astropy.coordinates import Angle

    unit = _unit(path, table, name, field)
    column: Column = table[name]
    try:
        if unit == "":
            angles = Angle([str(value) for value in column])
        else:
            angles = Angle(np.ma.filled(np.ma.asarray(column).astype(float), np.nan), units.Unit(unit))
        return [float(value) for value in np.atleast_1d(angles.to_value(units.deg))]
    except (ValueError, TypeError, units.UnitsError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0][:150]
        raise UsageError(f"'{path}': the column '{name}' does not hold angles: {reason}") from None


def _checked(path: Path, row: int, ra: float, dec: float) -> tuple[float, float]:
    if not (math.isfinite(ra) and math.isfinite(dec)):
        raise UsageError(f"'{path}', row {row + 1}: ra or dec is missing")
    if not (-90.0 <= dec <= 90.0 and -180.0 <= ra <= 360.0):
        raise UsageError(f"'{path}', row {row + 1}: ra {ra:g}, dec {dec:g} degrees are not on the sky")
    return ra % 360.0, dec


def _text(table: Table, name: str | None, row: int) -> str:
    if name is None:
        return ""
    value = table[name][row]
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    text = "".join(character for character in text if character.isprintable()).strip()
    return "" if text in ("--", "nan") else text[:60]


def _number(table: Table, name: str | None, row: int) -> float | None:
    try:
        value = float(table[name][row]) if name else math.nan
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def merge_tables(first: Sequence[CatalogueObject], others: Sequence[CatalogueObject]) -> list[CatalogueObject]:
    """Return the objects of two catalogues; those in both once, named by the first.

    Two are the same within 5 arcsec, or a tenth of the object's major axis if that is more.
    """
    rest = list(others)
    merged = []
    for item in first:
        if rest:
            distances = separation(item.ra, item.dec, [other.ra for other in rest], [other.dec for other in rest])
            nearest = int(distances.argmin())
            other = rest[nearest]
            if distances[nearest] * 3600.0 <= max(5.0, 0.1 * (other.major_arcsec or 0.0)):
                rest.pop(nearest)
                kind = other.kind if item.kind == "object" else item.kind
                item = replace(
                    other, name=item.name, kind=kind, aliases=(other.name, *other.aliases),
                    magnitude=other.magnitude if item.magnitude is None else item.magnitude,
                )  # fmt: skip
        merged.append(item)
    return merged + rest
