"""Objects of a user's own table: any that astropy reads, with ra, dec and name.

Units must be known, because hours taken for degrees would name everything wrongly: those of the columns (ECSV, FITS,
VOTable), or at the end of their names (``ra_deg``, ``ra_hours``, ``size_arcmin``), or the letters of sexagesimal text
(``12h50m53s``).
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UsageError, require_extra
from ..angles import separation
from .objects import CatalogueObject, compact_name
from .openngc import select_within

if TYPE_CHECKING:
    from astropy.table import Column, Table

logger = logging.getLogger(__name__)

MAX_ROWS = 200_000
MAX_SIZE = 90.0
"""Degrees; a larger size, or an infinite one, is none."""
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
    names, kinds = (_texts(table, found[field]) for field in ("name", "kind"))
    magnitudes = _numbers(table, found["magnitude"])
    objects = []
    for row, (name, kind, degrees) in enumerate(zip(_unique(path, names), kinds, size, strict=True)):
        position = _checked(path, row, ra[row], dec[row])
        arcsec = degrees * 3600.0 if 0 < degrees <= MAX_SIZE else None
        entry = CatalogueObject(name, (), kind or "object", *position, arcsec, arcsec, magnitude=magnitudes[row])
        objects.append(entry)
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
            table = Table.read(path)
            if len(table.colnames) == 1 and ";" in table.colnames[0]:  # of spreadsheet programs of many countries
                table = Table.read(path, format="ascii.csv", delimiter=";")
            return table
    except FileNotFoundError:
        raise UsageError(f"the catalogue '{path}' does not exist") from None
    except UnicodeDecodeError:
        raise UsageError(f"'{path}' cannot be read as a table: it is not UTF-8, save it as that") from None
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
            low = _plain(name)
            if low == wanted or (low.startswith(f"{wanted}_") and low[len(wanted) + 1 :] in _SUFFIXES):
                return str(name)
    return None


def _plain(name: str) -> str:
    """Return a column's name in small letters.

    Spreadsheet programs put a byte order mark before the first.
    """
    return name.strip().lstrip("\ufeff").strip('"').lstrip("_").lower()


def _unit(path: Path, table: Table, name: str | None, field: str) -> str:
    """Return the unit of a column; "" where its values are sexagesimal text.

    Raises:
        UsageError: it is not known.
    """
    assert name is not None
    column = table[name]
    if not hasattr(column, "unit"):
        raise UsageError(f"'{path}': the column '{name}' is not of numbers or texts")
    if column.unit is not None and str(column.unit) not in ("", '"h:m:s"', '"d:m:s"', "h:m:s", "d:m:s"):
        return str(column.unit)
    if (suffix := _SUFFIXES.get(_plain(name).rpartition("_")[2])) and "_" in _plain(name):
        return suffix
    is_text = column.dtype.kind in "UOS"
    if is_text and any(letter in str(value) for value in column[:20] for letter in "hd°"):
        return ""
    better = "size_arcmin" if field == "size" else f"{field}_hours" if is_text and field == "ra" else f"{field}_deg"
    raise UsageError(
        f"'{path}': the column '{name}' has no unit: name it {better}, or give the table units (ECSV, FITS, VOTable)"
    )


def _degrees(path: Path, table: Table, name: str | None, field: str) -> list[float]:
    """Return a column of angles in degrees; masked values are NaN."""
    from astropy import units
    from astropy.coordinates import Angle

    unit = _unit(path, table, name, field)
    column: Column = table[name]
    try:
        if unit == "" or column.dtype.kind in "UOS":  # sexagesimal: the unit is that of its first part
            texts = _texts(table, name)
            if "" in texts:
                raise UsageError(f"'{path}', row {texts.index('') + 1}: {field} is missing")
            angles = Angle(texts, unit or None)
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


def _texts(table: Table, name: str | None) -> list[str]:
    """Return a column as printable texts, "" where one is missing."""
    if name is None:
        return [""] * len(table)
    texts = []
    for value in table[name].tolist():  # masked ones are None
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str("" if value is None else value)
        text = "".join(character for character in text if character.isprintable()).strip()
        texts.append("" if text in ("--", "nan") else text[:60])
    return texts


def _unique(path: Path, names: Sequence[str]) -> list[str]:
    """Return names that differ, since two objects of the same name would be one.

    A name that was there before gets a number, and a row without a name that of its row.
    """
    taken, counts, unique = set(names), Counter[str](), []
    for row, name in enumerate(names):
        name = name or f"row {row + 1}"
        counts[name] += 1
        shown = name
        while counts[name] > 1 and (shown := f"{name} ({counts[name]})") in taken:
            counts[name] += 1
        unique.append(shown)
    if repeated := [name for name, count in counts.items() if count > 1]:
        more = "" if len(repeated) == 1 else f" and {len(repeated) - 1} more"
        logger.warning("'%s': several rows are named %s%s: they get numbers", path, repeated[0], more)
    return unique


def _numbers(table: Table, name: str | None) -> list[float | None]:
    """Return a column as numbers, None where one is missing or not finite."""

    def number(value: object) -> float | None:
        try:
            found = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return None
        return found if math.isfinite(found) else None

    return [number(value) for value in table[name].tolist()] if name else [None] * len(table)


def merge_tables(first: Sequence[CatalogueObject], others: Sequence[CatalogueObject]) -> list[CatalogueObject]:
    """Return the objects of two catalogues; those in both once, named by the first.

    Two are the same within 5 arcsec, or a tenth of the object's major axis if that is more.
    """
    if not first or not others:
        return [*first, *others]
    ra, dec = (np.array([getattr(other, axis) for other in others]) for axis in ("ra", "dec"))
    reach = np.maximum(5.0, 0.1 * np.array([other.major_arcsec or 0.0 for other in others])) / 3600.0
    is_free = np.ones(len(others), bool)
    merged = []
    for item in first:
        distances = np.where(is_free, separation(item.ra, item.dec, ra, dec), np.inf)
        nearest = int(distances.argmin())
        if distances[nearest] <= reach[nearest]:
            is_free[nearest] = False
            other = others[nearest]
            item = replace(
                other, name=item.name, kind=other.kind if item.kind == "object" else item.kind,
                aliases=(other.name, *other.aliases),
                magnitude=other.magnitude if item.magnitude is None else item.magnitude,
            )  # fmt: skip
        merged.append(item)
    return merged + [other for other, is_left in zip(others, is_free, strict=True) if is_left]
